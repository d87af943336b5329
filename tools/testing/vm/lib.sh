# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Functions for the scripts of this directory and others. They source this file.

# Scripts read what apt and others print, and no other language. LANGUAGE wins over C.UTF-8.
export LC_ALL=C.UTF-8
unset LANGUAGE
# Users of a VM or of a new Debian read what root writes.
umask 022

# Everything that is downloaded goes here and nowhere else. XDG's specification says to ignore
# a path that is not absolute. A service or a job can be without HOME.
case ${XDG_CACHE_HOME:-} in
/*) ;;
*) XDG_CACHE_HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6 || true)}/.cache ;;
esac
export XDG_CACHE_HOME
CACHE=$XDG_CACHE_HOME/vfio-mig

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# The versions of Debian's kernels and QEMUs that a number selects.
KERNELS=(6.1 6.12 7.3)
QEMUS=(7.2 10.0 11.1)
# Kernels that ./kernel-build builds.
BUILT_KERNELS=(debug kcsan modern)

# shellcheck disable=SC2016 # for the person who reads it
CONTAINER='podman build -t vfio-mig .
  podman run --rm -it --privileged -v "$PWD":"$PWD" -w "$PWD" vfio-mig make demo'

# Prints the name of this machine's Debian, such as "trixie", or nothing.
host_suite() {
	# shellcheck source=/dev/null
	(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") 2>/dev/null
}

# Stops on a machine without Debian 12 or later, because the harness consists of Debian's
# packages.
need_debian() {
	local name suite
	suite=$(host_suite) || suite=
	case $suite in
	''|buster|bullseye)
		# shellcheck source=/dev/null
		name=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-}") || name=
		say "this machine runs ${name:-an unknown system}, and the harness needs Debian 12 or 13."
		say "In a container (--device /dev/kvm makes it fast, where the machine has it):"
		printf '  %s\n' "$CONTAINER" >&2
		exit 2 ;;
	esac
	[ "$(dpkg --print-architecture)" = amd64 ] && return
	say "this Debian is for $(dpkg --print-architecture), and the harness needs one for amd64 (x86-64)"
	exit 2
}

# Stops if a path here is one that kbuild, make or QEMU's options take for more than one.
need_plain_paths() {
	local path
	for path in "$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../..")" "$CACHE"; do
		[[ $path == *[[:space:]:,]* ]] || continue
		say "$path: a path with a blank, a colon or a comma, which kbuild or QEMU" \
			"cannot use: move the checkout, or set XDG_CACHE_HOME for the cache"
		exit 2
	done
}

# Stops a user who is not root, before anything is downloaded or built for a VM.
need_root() {
	need_plain_paths
	[ "$(id -u)" -ne 0 ] || return 0
	say "run as root, because the VM shares the files of this machine"
	exit 2
}

# The distribution's own versions.
default_kernel() {
	[ "$(host_suite)" = bookworm ] && echo 6.1 || echo 6.12
}

default_qemu() {
	[ "$(host_suite)" = bookworm ] && echo 7.2 || echo 10.0
}

# one_of WORD WORD...: returns whether the first word is among the others.
one_of() {
	local word=$1 other
	shift
	for other in "$@"; do
		[ "$word" != "$other" ] || return 0
	done
	return 1
}

# The suite that has Debian's kernel of a version.
suite_of() {
	case $1 in
	6.1) echo bookworm ;;
	6.12) [ "$(host_suite)" = bookworm ] && echo bookworm-backports || echo trixie ;;
	7.3) echo trixie-backports ;;
	*) no_kernel "$1" ;;
	esac
}

# The suite that has Debian's QEMU of a version.
suite_of_qemu() {
	case $1 in
	7.2) echo bookworm ;;
	10.0) [ "$(host_suite)" = bookworm ] && echo bookworm-backports || echo trixie ;;
	11.1) echo trixie-backports ;;
	*) no_qemu "$1" ;;
	esac
}

# An unknown value is wrong usage.
no_kernel() {
	say "no kernel $1. There are: ${KERNELS[*]} (Debian's), ${BUILT_KERNELS[*]} (built by" \
		"the harness), a build directory by its path (./DIR, /DIR), and host"
	exit 2
}

no_qemu() {
	say "no QEMU $1. There are: ${QEMUS[*]} (Debian's), and a program or a build" \
		"directory by its path (./PATH, /PATH)"
	exit 2
}

# hidden_part PATH: prints the directory or file that a VM needs as a share, because a file
# system of the VM hides this path. Prints nothing for other paths.
hidden_part() {
	if [[ $1 =~ ^(/(tmp|run|dev/shm)/[^/]+) ]]; then
		echo "${BASH_REMATCH[1]}"
	fi
}

# check_values: refuses wrong values of the variables that name kernels and QEMUs, and makes
# paths in them absolute. Scripts call it first.
check_values() {
	local name value tools
	need_plain_paths
	tools=$(dirname "${BASH_SOURCE[0]}")
	for name in KERNEL OTHER_KERNEL GUEST_KERNEL QEMU OTHER_QEMU; do
		value=${!name:-}
		[ -n "$value" ] || continue
		case $value in
		*/*) value=$(realpath -sm "$value") ;;
		esac
		case $name in
		*KERNEL) "$tools/kernel" --check "$value" > /dev/null || exit ;;
		*QEMU) "$tools/qemu" --check "$value" > /dev/null || exit ;;
		esac
		export "$name=$value"
	done
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

# For scripts that go on to run others, which may fill the cache, too.
unlock_cache() {
	exec 9>&-
}

# Prints the Debian mirror of this machine's own apt: that of the release itself, if there are
# more, because a disc or a mirror of debug symbols lacks packages. Before the first "apt-get
# update" apt does not know the origin of a suite, so its name has to suffice. Images for clouds
# have the mirrors in a file.
mirror() {
	local uri
	# shellcheck disable=SC2016 # apt expands it
	uri=$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(SUITE)|$(CODENAME)' \
		'Created-By: Packages' | awk -F '|' -v suite="$(host_suite)" '
		$3 ~ /security/ || $4 ~ /security/ || $1 ~ /security|^cdrom:/ { next }
		$2 == "Debian" && $4 == suite && !own { own = $1 }
		$2 == "Debian" && !any { any = $1 }
		$2 == "" && ($3 == suite || $4 == suite) && !guess { guess = $1 }
		END { print own ? own : any ? any : guess }')
	if [[ $uri == mirror+file:* ]]; then
		uri=${uri#mirror+file:}
		uri=$(awk '/^[^#]/ { print $1; exit }' "${uri%/}")
	fi
	[ -n "$uri" ] || die "apt has no Debian mirror here: add one to its sources, and run apt-get update"
	echo "$uri"
}

# private_apt SUITE COMMAND...: runs apt with the packages of one Debian suite, apart from the
# machine's own apt. So it cannot install anything by accident, and the machine's lists stay as
# they are. For backports it also has the release's own suite, because backports depend on
# packages of that suite.
private_apt() {
	local suite=$1 dir=$CACHE/apt/$1 part uri
	shift
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	# With each update, because a cache can come from a machine with another mirror.
	if [ ! -s "$dir/suites.list" ] || [ "${2:-}" = update ]; then
		uri=$(mirror) || exit
		for part in "$suite" "${suite%-backports}"; do
			echo "deb $uri $part main"
		done | sort -u > "$dir/suites.list.new" &&
			mv "$dir/suites.list.new" "$dir/suites.list" || exit
	fi
	"$1" -q -q -o Dir::Etc::sourcelist="$dir/suites.list" \
		-o APT::Default-Release="$suite" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$dir/lists" \
		-o Dir::Cache="$dir" -o Dir::State::status=/dev/null \
		-o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false "${@:2}"
}

# unpack_debs FROM DIR: unpacks all packages in FROM below DIR.
unpack_debs() {
	local deb
	mkdir -p "$2" || return
	for deb in "$1"/*.deb; do
		[ ! -e "$deb" ] || dpkg-deb -x "$deb" "$2" || return
	done
}

# fetch_debs SUITE DIR PACKAGE...: unpacks packages below DIR. The trap of the subshell removes
# the downloads also after Ctrl-C and on a full disk.
fetch_debs() {
	local suite=$1 dir=$2 debs=
	shift 2
	say "downloading from $suite: $*"
	(
		trap 'rm -rf "$debs"' EXIT
		debs=$(mktemp -d "$CACHE/debs.XXXXXX")
		(cd "$debs" && private_apt "$suite" apt-get download "$@") ||
			die "cannot download $* from $suite"
		unpack_debs "$debs" "$dir" || {
			rm -rf "$dir"
			die "cannot unpack $* below $dir"
		}
	)
}

# base_of SUITE: prints the release of a backports suite, or the suite itself.
base_of() {
	echo "${1%-backports}"
}

# all_libraries SUITE PACKAGE: prints the libraries that a package needs, also the C library.
all_libraries() {
	private_apt "$1" apt-get --simulate --no-install-recommends install "$2" |
		sed -nE 's/^Inst ((lib|zlib)[^ ]*) .*/\1/p'
}

# all_depends SUITE PACKAGE PATTERN: prints the dependencies that match the pattern.
all_depends() {
	private_apt "$1" apt-cache depends "$2" |
		sed -n 's/^ *Depends: //p' | grep -E -e "$3"
}

# depends SUITE PACKAGE PATTERN: prints the first such dependency.
depends() {
	all_depends "$@" | head -n 1 | grep .
}

# need_number NAME [MAXIMUM]: stops unless the variable is empty or a number from 1 on.
need_number() {
	local value=${!1:-}
	[ -n "$value" ] || return 0
	[[ $value =~ ^[1-9][0-9]{0,8}$ && $value -le ${2:-999999999} ]] && return
	say "$1=$value: no number from 1 to ${2:-999999999}"
	exit 2
}

# lock_output DIR: waits until no other run writes DIR, which the caller is going to remove.
lock_output() {
	mkdir -p "$(dirname "$1")"
	exec 8>> "$1.lock"
	flock -n 8 && return
	say "waiting for another run that writes $1"
	flock 8
}
