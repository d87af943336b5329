# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts that apply the series to a copy of a kernel tree. The copy is an overlay at
# OUT/linux. The script has mounts of its own, so the overlay ends with the script.

# mount_tree KTREE OUT
mount_tree() {
	local ktree=$1 out=$2
	mkdir -p "$out/linux" "$out/upper" "$out/work"
	mount -t overlay -o "lowerdir=$ktree,upperdir=$out/upper,workdir=$out/work" \
		overlay "$out/linux"
}

# apply_patch PATCH OUT: not by patch, which does not know the binary files of the selftests.
apply_patch() {
	GIT_CEILING_DIRECTORIES=$2 git -C "$2/linux" apply "$(realpath "$1")"
}
