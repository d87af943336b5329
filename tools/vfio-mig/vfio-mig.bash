# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of vfio-mig for bash.

_vfio_mig_devices() {
	local path
	for path in /sys/bus/mdev/devices/* /sys/bus/pci/drivers/*vfio*/*:*; do
		[ -e "$path" ] && echo "${path##*/}"
	done
}

_vfio_mig() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local cmd=${COMP_WORDS[1]} words=

	if [ "$COMP_CWORD" -eq 1 ]; then
		words="info save restore copy dump states --help --version"
	elif [[ $prev == -p || $prev == --protocol ]]; then
		words="v1 v2"
		[ "$cmd" = copy ] && words+=" v1,v2 v2,v1"
	elif [[ $cur == -* ]]; then
		case $cmd in
		copy|save) words="--protocol --rounds --threshold --json --quiet" ;;
		restore) words="--protocol --json --quiet" ;;
		dump) words="--summary --verbose --extract --json --quiet" ;;
		states) words="--protocol --json" ;;
		info) words="--json" ;;
		esac
	elif [ "$cmd" = states ] && [ "$COMP_CWORD" -gt 2 ]; then
		words="running stopped pre-copy stop-and-copy resuming running-p2p pre-copy-p2p"
	elif [ "$cmd" != dump ]; then
		words=$(_vfio_mig_devices)
	fi
	# Without words bash completes the name of a file.
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -o default -F _vfio_mig vfio-mig
