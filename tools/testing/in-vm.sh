# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts that run kselftests in a VM. It runs the programs, and at the end checks
# what a kernel of tools/testing/vm/kernel-build noticed. WAY, group or cdev, is how the programs
# open devices. All results are TAP like that of the kselftest runner.

kmemleak=/sys/kernel/debug/kmemleak
kcsan=/sys/kernel/debug/kcsan
SLOW=10	# A test may take this many times longer than on another kernel.

# result NAME STATUS WAY: prints the result of a check that is no test program.
result() {
	if [ "$2" -eq 0 ]; then
		echo "ok 1 debug: $1, $3"
	else
		echo "not ok 1 debug: $1, $3 # exit=$2"
	fi
}

# Reduces the work of the tests to what such a kernel can do in time: the number of random
# operations is a tenth of the usual number, and all sequences have four moves instead of five.
# The tests divide the number of random streams by VFIO_MIG_SLOW.
reduce_work() {
	[ -e "$kmemleak" ] || [ -e "$kcsan" ] || return 0
	export VFIO_MIG_SLOW=$SLOW VFIO_MIG_OPS=100000 VFIO_MIG_MOVES=4
}

# take QUEUE: sets program to the next one of a queue, which is a directory with a file for each
# program. Fails at its end. VMs can share a queue, because only one of them removes a file.
take() {
	local file
	for file in "$1"/*; do
		if rm "$file" 2> /dev/null; then
			program=$(basename "$file")
			program=${program#*-}
			return 0
		fi
	done
	return 1
}

# kselftest WAY SELFTESTS PROGRAM: runs a program. Adds the way to the result, because a program
# can run in both ways. The runner's own header and plan are of one program, so they are left out.
kselftest() {
	local way=$1 selftests=$2 program=$3
	VFIO_MIG_OPEN=$way "$selftests/run_kselftest.sh" -t "vfio_mig:$program" |
		sed -uE -e '/^(TAP version 13|1\.\.1)$/d' \
			-e "s/^((not )?ok [0-9]+ selftests: vfio_mig: [^ ]+)/\1, $way/"
}

# Forgets the memory that was lost so far, because the modules are not loaded yet.
forget_leaks() {
	[ ! -e "$kmemleak" ] || echo clear > "$kmemleak"
}

# Scans twice, because kmemleak does not report memory that is younger than five seconds.
leaks() {
	local found
	echo scan > "$kmemleak"
	sleep 6
	echo scan > "$kmemleak"
	found=$(cat "$kmemleak")
	[ -z "$found" ] && return
	echo "# ${found//$'\n'/$'\n'# }"
	return 1
}

# Fails if KCSAN watched nothing, because such a run would pass with any race.
kcsan_watched() {
	sed 's/^/# kcsan: /' "$kcsan"
	grep -Eq '^setup_watchpoints: [1-9]' "$kcsan"
}

# lockdep turns itself off when its tables are full, and then reports nothing more.
lockdep() {
	grep -Eq 'debug_locks: +1$' /proc/lockdep_stats
}

# check_end WAY MODULE...: unloads the modules, and lets the kernel search for lost memory.
check_end() {
	local way=$1 module
	shift
	for module in "$@"; do
		# A module may be unloaded already, because hostile_slow unloads modules.
		[ ! -d "/sys/module/$module" ] || rmmod "$module"
		result "$module is not in use at the end" $? "$way"
	done
	if [ -e "$kmemleak" ]; then
		leaks
		result "no memory was lost" $? "$way"
	fi
	if [ -e "$kcsan" ]; then
		kcsan_watched
		result "KCSAN watched" $? "$way"
	fi
	if [ -e /proc/lockdep_stats ]; then
		lockdep
		result "lockdep saw all" $? "$way"
	fi
}
