# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Common to the scripts of this directory; sourced, not run.

# Everything that is downloaded goes here and nowhere else.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vfio-mig

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# The suite that has Debian's kernel of a version.
suite_of() {
	case $1 in
	6.1) echo bookworm ;;
	6.12) echo bookworm-backports ;;
	7.3) echo trixie-backports ;;
	*) die "no kernel $1 here; there are 6.1, 6.12 and 7.3" ;;
	esac
}

# One process at a time fills the cache.
lock_cache() {
	mkdir -p "$CACHE"
	exec 9>"$CACHE/lock"
	if ! flock -n 9; then
		say "waiting for another process that fills the cache"
		flock 9
	fi
}

# The Debian mirror that this machine's own apt uses.
mirror() {
	# shellcheck disable=SC2016 # apt expands it
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' \
		'Created-By: Packages' |
		awk '$2 == "Debian" && $3 !~ /security/ { print $1; exit }'
}

# private_apt SUITE COMMAND...: runs apt with the packages of one Debian suite,
# apart from the machine's own apt: nothing can be installed by accident, and
# the machine's lists stay as they are. What a backport depends on is in the suite
# that it is for, where no backport of that is.
private_apt() {
	local suite=$1 dir=$CACHE/apt/$1 part
	shift
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	if [ ! -f "$dir/suites.list" ]; then
		for part in "$suite" "${suite%-backports}"; do
			echo "deb $(mirror) $part main"
		done | sort -u > "$dir/suites.list"
	fi
	"$1" -q -q -o Dir::Etc::sourcelist="$dir/suites.list" \
		-o APT::Default-Release="$suite" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$dir/lists" \
		-o Dir::Cache="$dir" -o Dir::State::status=/dev/null \
		-o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false "${@:2}"
}

# unpack_debs FROM DIR: unpacks the packages that are in FROM, if any, below DIR.
unpack_debs() {
	local deb
	mkdir -p "$2"
	for deb in "$1"/*.deb; do
		[ ! -e "$deb" ] || dpkg-deb -x "$deb" "$2"
	done
}

# fetch_debs SUITE DIR PACKAGE...: unpacks packages below DIR.
fetch_debs() {
	local suite=$1 dir=$2 debs
	shift 2
	say "downloading from $suite: $*"
	debs=$(mktemp -d "$CACHE/debs.XXXXXX")
	(cd "$debs" && private_apt "$suite" apt-get download "$@") || {
		rm -rf "$debs"
		die "cannot download $* from $suite"
	}
	unpack_debs "$debs" "$dir"
	rm -rf "$debs"
}

# all_depends SUITE PACKAGE PATTERN: the dependencies that match the pattern.
all_depends() {
	private_apt "$1" apt-cache depends "$2" |
		sed -n 's/^ *Depends: //p' | grep -E -e "$3"
}

# depends SUITE PACKAGE PATTERN: the first of them.
depends() {
	all_depends "$@" | head -n 1 | grep .
}
