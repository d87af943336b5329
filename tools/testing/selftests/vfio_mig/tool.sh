#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the program vfio-mig: a saved state loads, a damaged stream is refused, and reports
# are true. Needs mnvme, and vfio-mig beside this script or in the PATH.
# shellcheck disable=SC2317 # tests are called by their names
set -u
dir=$(dirname "$(realpath "$0")")
PATH=$dir:$PATH
KSFT_SKIP=4
MIB=4
WINDOW=/sys/module/vfio_mig_core/parameters/window_kib
# The errno of a device that somebody has open.
IN_USE=EBUSY
[ "${VFIO_MIG_OPEN:-group}" = group ] || IN_USE=EINVAL

cd "$(mktemp -d)" || exit 1
nr=0 failed=0 devices=()

cleanup() {
	local uuid
	for uuid in "${devices[@]}"; do
		echo 1 > "/sys/bus/mdev/devices/$uuid/remove"
	done
	echo "$window" > "$WINDOW"
	rm -rf "$PWD"
}

skip() {
	echo "1..0 # SKIP $1"
	exit $KSFT_SKIP
}

create() {
	local uuid
	printf -v uuid '76%06x-0000-4000-8000-%012d' $(($$ & 0xffffff)) "$1"
	echo "$uuid" > "/sys/class/mdev_bus/mnvme/mdev_supported_types/mnvme-$2/create" ||
		exit 1
	devices+=("$uuid")
}

# expect STATUS COMMAND...: runs the command, with its output in ./out and messages in ./err.
expect() {
	local want=$1 status=0
	shift
	"$@" > out 2> err || status=$?
	[ "$status" -eq "$want" ] && return
	echo "# status $status, not $want: $*"
	sed 's/^/# /' err
	return 1
}

# says FILE PATTERN: returns whether a file of expect has the pattern.
says() {
	grep -qE -- "$2" "$1" && return
	echo "# nothing in $1 like: $2"
	sed 's/^/#   /' "$1"
	return 1
}

# json EXPRESSION...: returns whether Python expressions are true. j is the JSON in ./out.
json() {
	python3 -I -S -c 'import json, sys
j = json.load(open("out"))
bad = [e for e in sys.argv[1:] if not eval(e)]
[print("# not true of the JSON:", e) for e in bad]
sys.exit(bool(bad))' "$@" && return
	sed 's/^/#   /' out
	return 1
}

# fresh TYPE: creates a device for this test only; its UUID is in $new.
fresh() {
	create $((${#devices[@]} + 1)) "${1:-64M}"
	new=${devices[-1]}
}

# by PROTOCOL PROTOCOL: saves by the first and loads by the second; the data must be equal.
by() {
	fresh
	expect 0 vfio-mig save -p "$1" "$a" state || return
	expect 0 vfio-mig dump state || return
	says out '^complete: ' || return
	expect 0 vfio-mig restore -p "$2" "$new" state || return
	expect 0 nvme_disk check "/sys/bus/mdev/devices/$new" "$MIB"
}

t_v1_to_v1() { by v1 v1; }
t_v1_to_v2() { by v1 v2; }
t_v2_to_v1() { by v2 v1; }
t_v2_to_v2() { by v2 v2; }

t_pipe() {
	fresh
	# shellcheck disable=SC2016
	expect 0 bash -o pipefail -c \
		'vfio-mig save -r 2 "$0" | vfio-mig dump -q &&
		 vfio-mig save -r 2 -p v1 "$0" | vfio-mig restore "$1"' "$a" "$new" &&
		expect 0 nvme_disk check "/sys/bus/mdev/devices/$new" "$MIB"
}

t_copy() {
	fresh
	expect 0 vfio-mig copy -p v1,v2 --json -t 0 "$a" "$new" || return
	json "j['copied'] and j['from_protocol'] == 'v1' and j['to_protocol'] == 'v2'" \
			"sum(r['bytes'] for r in j['rounds']) == j['bytes'] > $MIB << 20" \
			"[r['phase'] for r in j['rounds']] == ['pre-copy', 'stop-and-copy']" \
			"j['rounds'][1]['bytes'] < $MIB << 18" &&
		expect 0 nvme_disk check "/sys/bus/mdev/devices/$new" "$MIB"
}

t_copy_shows_rounds() {
	fresh
	expect 0 vfio-mig copy -t 0 "$a" "$new" || return
	says out '^round 1 .* left$' && says out '^stopped ' && says out '^copied '
}

t_extracted_pages_are_the_saved() {
	fresh
	expect 0 vfio-mig save "$a" one && expect 0 vfio-mig restore "$new" one &&
		expect 0 vfio-mig save "$new" two &&
		expect 0 vfio-mig dump -q -x one.img one &&
		expect 0 vfio-mig dump -q -x two.img two &&
		expect 0 cmp one.img two.img || return
	expect 1 cmp one two || return	# another save has another identity
	[ "$(stat -c %s one.img)" -eq $((64 << 20)) ]
}

# with_hole: makes the stream ./holes from ./state: a hole over all pages comes after them.
with_hole() {
	python3 -I -S -c 'if 1:
		import struct
		M = (1 << 64) - 1
		P = (11400714785074694791, 14029467366897019727, 1609587929392839161,
		     9650029242287828579)
		rot = lambda x, n: (x << n | x >> 64 - n) & M
		lane = lambda acc, word: rot(acc + word * P[1] & M, 31) * P[0] & M

		# XXH64 of the 36 bytes of a chunk header before its sum.
		def head_sum(head):
			*words, last = struct.unpack("<4QI", head)
			acc = (P[0] + P[1] & M, P[1], 0, -P[0] & M)
			acc = [lane(a, w) for a, w in zip(acc, words)]
			h = sum(rot(a, n) for a, n in zip(acc, (1, 7, 12, 18))) & M
			for a in acc:
				h = ((h ^ lane(0, a)) * P[0] + P[3]) & M
			h = (rot(h + 36 & M ^ last * P[0] & M, 23) * P[1] + P[2]) & M
			h = (h ^ h >> 33) * P[1] & M
			h = (h ^ h >> 29) * P[2] & M
			return (h ^ h >> 32) & 0xffffffff

		def chunk(magic, type, flags, save, check, payload):
			head = struct.pack("<IHHQIIQI", magic, type, flags, save, seq,
					   len(payload), check, 0)
			return head + struct.pack("<I", head_sum(head)) + payload

		data = open("state", "rb").read()
		out, at, seq = open("holes", "wb"), 0, 0
		while at < len(data):
			magic, type, flags, save, _, length, check = \
				struct.unpack_from("<IHHQIIQ", data, at)
			if type == 3:	# the control state; pages from 0 on, 16384 of them
				out.write(chunk(magic, 2, 0, save, 0, struct.pack(
					"<QII4B4x", 0, 0, 4, 3, 128, 128, 1)))
				seq += 1
			out.write(chunk(magic, type, flags, save, check,
					data[at + 40:at + 40 + length]))
			at, seq = at + 40 + length, seq + 1'
}

t_zeros_become_holes_of_the_image() {
	expect 0 vfio-mig save "$a" state && with_hole && expect 0 vfio-mig dump -q holes &&
		expect 0 vfio-mig dump -q -x image holes || return
	[ "$(stat -c %s image)" -eq $((64 << 20)) ] && [ "$(stat -c %b image)" -lt 64 ]
}

t_dump_json() {
	expect 0 vfio-mig save "$a" state && expect 0 vfio-mig dump --json state &&
		json "j['complete'] and not j['problems'] and j['saves'] == 1" \
			"j['chunks'][0]['device_type'] == 'mnvme-64M'" \
			"j['chunks'][-1]['type'] == 'END'" \
			"j['pages'] == $MIB * 256" \
			"j['pages'] == sum(r['pages'] for c in j['chunks'] for r in c.get('runs', []) if not r['zero'])"
}

# damage FILE AT: changes a byte.
damage() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf '%b' "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

t_damaged_payload() {
	fresh
	expect 0 vfio-mig save "$a" state && damage state 500000 &&
		expect 3 vfio-mig dump state && says out "WRONG +the payload's sum" &&
		says out '^NOT GOOD' && expect 3 vfio-mig dump --json -s state &&
		json "not j['complete'] and j['problems'][0]['errno'] == 'EBADMSG'" &&
		expect 3 vfio-mig restore -p v1 "$new" state && says err EBADMSG &&
		expect 3 vfio-mig restore -p v2 "$new" state && says err EBADMSG
}

t_damaged_chunk_header() {
	expect 0 vfio-mig save "$a" state && damage state 150 &&
		expect 3 vfio-mig dump --json state &&
		json "j['problems'][0]['at'] == 136 and j['problems'][0]['errno'] == 'EBADMSG'" \
			"'skipped' in j['problems'][1]['text']" \
			"j['problems'][2]['errno'] == 'EILSEQ'" \
			"j['chunks'][-1]['type'] == 'CONTROL' or j['nr_problems'] > 3"
}

t_truncated() {
	fresh
	expect 0 vfio-mig save "$a" state && truncate -s -1 state &&
		expect 3 vfio-mig dump state && says out 'ENODATA' &&
		expect 3 vfio-mig restore "$new" state && says err 'not complete'
}

t_not_a_stream() {
	fresh
	echo 'this is something else, and longer than a header of a chunk' > state
	expect 3 vfio-mig dump state && says out 'no chunk starts here' &&
		expect 3 vfio-mig restore "$new" state && says err EBADMSG &&
		expect 3 vfio-mig dump /dev/null
}

t_another_type() {
	fresh 64M-4k
	expect 0 vfio-mig save "$a" state && expect 3 vfio-mig restore "$new" state &&
		says err 'another type'
}

t_info() {
	expect 0 vfio-mig info --json "$a" &&
		json "j['driver'] == 'mnvme' and j['type'] == 'mnvme-64M'" \
			"j['v1']['region'] == 9 and 'STOP_COPY' in j['v2']['states']" \
			"j['state_bytes'] > $MIB << 20 and j['migration']['saves'] > 0" \
			"j['migration']['state'] == 'closed'" &&
		expect 0 vfio-mig info "/sys/bus/mdev/devices/$a" && says out '^v1 .* region 9'
}

t_info_of_a_device_in_use() {
	local holder status
	rm -f state
	mkfifo full
	vfio-mig save -q "$a" full &
	holder=$!
	exec 7< full
	expect 0 vfio-mig info --json "$a" && json "j['open_error'] == '$IN_USE'" &&
		expect 1 vfio-mig save "$a" state && says err 'in use|has it open' &&
		[ ! -e state ]
	status=$?
	cat <&7 > /dev/null
	exec 7<&-
	wait "$holder" || status=1
	return "$status"
}

t_states() {
	expect 0 vfio-mig states --json "$a" &&
		json "len(j['v1']) == 25 and len(j['v2']) >= 25" \
			"[a['result'] for a in j['v1'] if a['from'] == 'stop-and-copy'] == ['success', 'success', 'success', 'EINVAL', 'EINVAL']" &&
		expect 0 vfio-mig states "$a" && says out '^010 +yes +yes +='
}

t_states_by_name() {
	expect 0 vfio-mig states -p v1 "$a" 011 stop-and-copy stopped running &&
		says out '^stopped +yes .* now stopped' &&
		expect 1 vfio-mig states -p v1 --json "$a" pre-copy resuming &&
		json "[s['result'] for s in j] == ['success', 'EINVAL']" &&
		expect 2 vfio-mig states -p v1 "$a" flying
}

t_exit_codes() {
	expect 2 vfio-mig && expect 2 vfio-mig fly && expect 2 vfio-mig save &&
		expect 2 vfio-mig info -p v1 "$a" && expect 2 vfio-mig save -r x "$a" f &&
		expect 2 vfio-mig save -p v1,v2 "$a" f && expect 0 vfio-mig --help &&
		expect 2 vfio-mig save "$a" -t && says err '-t needs a value' &&
		expect 2 vfio-mig save --fly "$a" && says err 'not take --fly' &&
		expect 2 vfio-mig save -qx f "$a" && says err 'no option -x' &&
		expect 2 vfio-mig save --json -Zq "$a" && says err 'no option -Z' &&
		expect 2 vfio-mig info --json=3 "$a" && says err 'not take --json=3' &&
		expect 0 vfio-mig --version && expect 0 vfio-mig save --version &&
		expect 1 vfio-mig save no-such-device f && says err 'no device' &&
		expect 1 vfio-mig restore "$a" no-such-file &&
		expect 1 vfio-mig save "$a" /dev/full && says err ENOSPC &&
		expect 1 bash -c 'vfio-mig --help > /dev/full'
}

# slow DEVICE [off]: a save takes 8 s and has data after 2 s, so a busy machine can interrupt it.
slow() {
	echo "${2:-500000}" > "/sys/kernel/debug/vfio_mig/$1/bandwidth"
}

# nothing_else DIR FILE...: returns whether a directory has only these files.
nothing_else() {
	local dir=$1 left
	shift
	left=$(ls -A "$dir")
	[ "$left" = "$(printf '%s\n' "$@")" ] && return
	echo "# left in $dir:" "$left"
	return 1
}

# until_true COMMAND...: repeats the command until it succeeds, for 20 seconds at most.
until_true() {
	local end=$((SECONDS + 20))
	while [ "$SECONDS" -lt "$end" ]; do
		"$@" && return
		sleep 0.1
	done
	echo "# not within 20 s: $*"
	return 1
}

# is_writing DIR: returns whether a directory has a temporary file with data.
is_writing() {
	[ -n "$(find "$1" -name '.vfio-mig.*' -size +0)" ]
}

# dies_of SIGNAL PID
dies_of() {
	local status=0
	kill -s "$1" "$2"
	wait "$2" || status=$?
	[ "$status" -eq $((128 + $(kill -l "$1"))) ] && return
	echo "# status $status after SIG$1"
	return 1
}

t_signals_keep_what_was_there() {
	local signal pid
	mkdir signals && echo before > signals/state && slow "$a"
	for signal in ALRM HUP INT IO PROF PWR QUIT STKFLT TERM USR1 USR2 VTALRM XCPU; do
		# A shell's background processes ignore some signals.
		env --default-signal vfio-mig save -q "$a" signals/state &
		pid=$!
		if ! { until_true is_writing signals && dies_of "$signal" "$pid" &&
		       nothing_else signals state && grep -qx before signals/state; }; then
			slow "$a" off
			return 1
		fi
	done
	env --default-signal vfio-mig save -q "$a" signals/new &
	pid=$!
	until_true is_writing signals && dies_of INT "$pid" && nothing_else signals state
	local status=$?
	slow "$a" off
	return "$status"
}

t_ignored_signals_stay_ignored() {
	local pid
	mkdir ignored && slow "$a"
	env --ignore-signal=HUP vfio-mig save -q "$a" ignored/state &
	pid=$!
	until_true is_writing ignored && kill -s HUP "$pid" && wait "$pid"
	local status=$?
	slow "$a" off
	[ "$status" -eq 0 ] && nothing_else ignored state && expect 0 vfio-mig dump -q ignored/state
}

t_signals_while_an_image_is_made() {
	local signal pid
	expect 0 vfio-mig save "$a" state && mkdir images && echo before > images/image || return
	for signal in HUP INT TERM; do
		rm -f way && mkfifo way
		env --default-signal vfio-mig dump -q -x images/image way &
		pid=$!
		exec 7> way
		head -c 1000000 state >&7
		until_true is_writing images && dies_of "$signal" "$pid"
		local status=$?
		exec 7>&-
		[ "$status" -eq 0 ] && nothing_else images image && grep -qx before images/image || return
	done
}

t_full_disk() {
	expect 0 vfio-mig save "$a" state && mkdir small &&
		mount -t tmpfs -o size=1m small small && echo before > small/state || return
	expect 1 vfio-mig save "$a" small/state && says err ENOSPC &&
		expect 1 vfio-mig save "$a" small/new && says err ENOSPC &&
		expect 1 vfio-mig dump -q -x small/state state && says err ENOSPC &&
		expect 1 env TMPDIR=small vfio-mig dump -q -x /dev/null state &&
		says err 'temporary file .*ENOSPC' &&
		expect 1 vfio-mig dump -x small/state state && ! grep '^NOT GOOD' out &&
		nothing_else small state && grep -qx before small/state
	local status=$?
	umount small
	return "$status"
}

t_file_size_limit() {
	mkdir limited && echo before > limited/state
	expect 1 bash -c "ulimit -f 100; vfio-mig save $a limited/state" && says err EFBIG &&
		nothing_else limited state && grep -qx before limited/state
}

t_failures_keep_what_was_there() {
	mkdir kept && echo before > kept/state && ln -s nowhere kept/link
	expect 0 vfio-mig save "$a" state && truncate -s -1 state &&
		expect 3 vfio-mig dump -q -x kept/state state && says err 'not written' &&
		expect 1 vfio-mig dump -q -x kept/link state &&
		expect 1 vfio-mig save no-such-device kept/state &&
		expect 1 vfio-mig save "$a" kept && says err EISDIR &&
		expect 1 vfio-mig save "$a" kept/no/state && says err ENOENT &&
		expect 1 vfio-mig save "$a" '' &&
		nothing_else kept link state && grep -qx before kept/state
}

t_replaced_files_stay_what_they_are() {
	mkdir replaced && echo before > replaced/file && chmod 640 replaced/file &&
		ln -s file replaced/link
	expect 0 vfio-mig save "$a" replaced/link && [ -L replaced/link ] &&
		[ "$(stat -c %a replaced/file)" = 640 ] &&
		expect 0 vfio-mig dump -q replaced/file && nothing_else replaced file link
}

t_new_files_are_for_their_owner() {
	rm -f new && expect 0 vfio-mig save "$a" new && [ "$(stat -c %a new)" = 600 ]
}

# The user is not in the group of the file, and may replace it.
t_rights_are_not_for_another_group() {
	expect 0 vfio-mig save "$a" state && mkdir shared && echo before > shared/image &&
		chmod 664 shared/image && chown -R 65534:12345 shared &&
		chmod 755 . && chmod 644 state && install "$(command -v vfio-mig)" . || return
	expect 0 setpriv --reuid=65534 --regid=65534 --clear-groups \
		./vfio-mig dump -q -x shared/image state &&
		[ "$(stat -c '%a %u %g' shared/image)" = "604 65534 65534" ]
}

# The bits of the mode for the group are the mask of the list. The new file "plain" must not
# get the list of the directory.
# cannot REASON: a test ends with the status of this function, and is skipped.
cannot() {
	why=$1
	return "$KSFT_SKIP"
}

t_access_control_lists_stay() {
	expect 0 vfio-mig save "$a" state && mkdir lists || return
	expect 0 python3 -I -S -c 'if 1:
		import errno, os, struct, subprocess, sys

		NAME = "system.posix_acl_access"

		def acl(group, mask):
			entries = (1, 6, -1), (2, 6, 12345), (4, group, -1), (16, mask, -1), (32, 0, -1)
			return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)

		def rights(path):
			return (os.stat(path).st_mode, NAME in os.listxattr(path) and
				os.getxattr(path, NAME))

		for path, mode in ("lists/listed", 0o600), ("lists/plain", 0o640):
			open(path, "w").close()
			os.chmod(path, mode)
		try:
			os.setxattr("lists/listed", NAME, acl(0, 6))
		except OSError as error:
			sys.exit(4 if error.errno == errno.EOPNOTSUPP else str(error))
		for path in "lists/listed", "lists/plain":
			before = rights(path)
			subprocess.run(["vfio-mig", "dump", "-q", "-x", path, "state"], check=True)
			if rights(path) != before:
				sys.exit(f"{path}: {rights(path)} instead of {before}")
			os.setxattr("lists", "system.posix_acl_default", acl(0, 7))
		' && return
	grep -qs . err && { cat err; return 1; }
	cannot "this file system has no access control lists"
}

t_report_apart_from_the_data() {
	expect 0 bash -c "vfio-mig save $a /dev/stdout 2> report | vfio-mig dump -q" &&
		says report '^saved' &&
		expect 0 bash -c "vfio-mig save $a /dev/stdout > state" &&
		expect 0 vfio-mig dump -q state
}

t_extract_to_a_pipe() {
	expect 0 vfio-mig save "$a" state && expect 0 vfio-mig dump -q -x image state || return
	expect 0 bash -o pipefail -c 'vfio-mig dump -x - state 2> report | cmp - image' &&
		says report '^complete' &&
		expect 0 bash -o pipefail -c 'vfio-mig dump -x /dev/stdout state | cmp - image' &&
		expect 0 bash -o pipefail -c 'vfio-mig dump -x >(cmp - image >&2) state' &&
		expect 1 vfio-mig dump -x /dev/full state && says err ENOSPC &&
		expect 0 vfio-mig dump -x /dev/null state &&
		expect 1 env TMPDIR=/no/such vfio-mig dump -x /dev/null state && says err TMPDIR
}

t_extract_to_a_block_device() {
	local disk
	expect 0 vfio-mig save "$a" state && expect 0 vfio-mig dump -q -x image state || return
	modprobe -q loop || { cannot "no loop devices"; return; }
	head -c 70000128 /dev/urandom > backing
	disk=$(losetup -f --show backing) || { cannot "no loop device"; return; }
	sum=$(sha256sum backing)
	# A damaged stream, and a device that is too small.
	truncate -s -1 state && expect 3 vfio-mig dump -q -x "$disk" state &&
		[ "$sum" = "$(sha256sum backing)" ] && expect 0 vfio-mig save "$a" state &&
		expect 0 vfio-mig dump -q -x "$disk" state && sync &&
		expect 0 cmp -n "$(stat -c %s image)" image "$disk"
	local status=$?
	losetup -d "$disk"
	[ "$status" -eq 0 ] || return
	truncate -s 1M backing && sum=$(sha256sum backing) &&
		disk=$(losetup -f --show backing) || return
	expect 1 vfio-mig dump -q -x "$disk" state && says err 'nothing is written' &&
		[ "$sum" = "$(sha256sum backing)" ]
	status=$?
	losetup -d "$disk"
	return "$status"
}

t_stream_is_not_replaced() {
	expect 0 vfio-mig save "$a" state && ln -sf state alias || return
	expect 2 vfio-mig dump -x state state && expect 2 vfio-mig dump -x alias state &&
		expect 2 bash -c 'vfio-mig dump -x state < state' &&
		expect 0 vfio-mig dump -q state
}

t_nothing_is_appended_to_the_stream() {
	local options
	expect 0 vfio-mig save "$a" state && cp state before || return
	# expect keeps the output in a file, and here the output is the stream.
	for options in '' -j '-x -'; do
		# shellcheck disable=SC2086,SC2094 # an option and its value; what must not be done
		vfio-mig dump $options state >> state 2> err
		[ $? -eq 2 ] && says err 'is the stream itself' && cmp state before || return
	done
}

t_no_device() {
	local name command
	for name in '' . .. / /etc/passwd /dev/null /sys /sys/bus/mdev/devices \
			/no/such "$(printf 'x%.0s' {1..5000})" 0000:ff:1f.7 \
			00000000-0000-4000-8000-000000000000; do
		for command in info 'info -j' save restore states; do
			# shellcheck disable=SC2086 # a command and its option
			expect 1 vfio-mig $command "$name" < /dev/null && says err . || return
		done
		expect 1 vfio-mig copy "$a" "$name" && says err . &&
			expect 1 vfio-mig copy "$name" "$a" && says err . || return
	done
	# A device without a VFIO driver.
	expect 1 vfio-mig info /sys/class/net/lo && says err ENOENT
}

t_unreadable_input() {
	expect 1 vfio-mig dump . && says err EISDIR &&
		expect 1 vfio-mig restore "$a" . && says err EISDIR &&
		expect 1 vfio-mig dump no-such-file && says err ENOENT &&
		expect 2 script -qec 'vfio-mig dump' typescript
}

t_input_that_does_not_block() {
	expect 0 vfio-mig save "$a" state && expect 0 python3 -I -S -c 'if 1:
		import os, subprocess, sys, time
		end, start = os.pipe()
		os.set_blocking(end, False)
		dump = subprocess.Popen(["vfio-mig", "dump", "-q"], stdin=end)
		os.close(end)
		with open("state", "rb") as state, open(start, "wb", buffering=0) as pipe:
			while part := state.read(50000):
				pipe.write(part)
				time.sleep(0.01)
		sys.exit(dump.wait())'
}

t_output_that_fails_ends_a_dump() {
	expect 0 vfio-mig save "$a" state &&
		expect 1 timeout 100 bash -c \
			'while cat state; do :; done | vfio-mig dump -v > /dev/full' &&
		says err ENOSPC
}

t_upper_case() {
	expect 0 vfio-mig info --json "${a^^}" && json "j['device'].endswith('$a')"
}

t_bad_environment() {
	local command
	for command in "info $a" "save $a state" "restore $a /dev/null" "copy $a $a" "states $a"; do
		# shellcheck disable=SC2086 # words
		expect 2 env VFIO_MIG_OPEN=bogus vfio-mig $command && says err 'VFIO_MIG_OPEN' ||
			return
	done
}

t_same_device_twice() {
	local saves
	saves=$(cat "/sys/bus/mdev/devices/$a/migration/saves")
	expect 2 vfio-mig copy "$a" "$a" && says err 'same device' &&
		expect 2 vfio-mig copy "$a" "/sys/bus/mdev/devices/$a" && says err 'same device' &&
		expect 2 vfio-mig copy "${a^^}" "$(realpath "/sys/bus/mdev/devices/$a")" &&
		[ "$(cat "/sys/bus/mdev/devices/$a/migration/saves")" = "$saves" ]
}

t_bad_numbers() {
	local number
	for number in '' ' 1' -1 ' -1' +1 1.5 1X 99999999999999999999 17179869184G; do
		expect 2 vfio-mig save -t "$number" "$a" state && says err . || return
		expect 2 vfio-mig save -r "$number" "$a" state && says err . || return
	done
}

t_closed_standard_files() {
	expect 0 vfio-mig save -q "$a" state &&
		expect 1 bash -c 'vfio-mig dump state >&-' &&
		expect 1 bash -c "vfio-mig save $a new >&-" &&
		expect 1 bash -c 'vfio-mig dump -q -x /dev/stdout state >&-' &&
		expect 1 bash -c "vfio-mig save -q $a /dev/fd/1 >&-" &&
		expect 0 vfio-mig dump -q new &&
		expect 1 bash -c "vfio-mig restore $a <&-"
}

t_progress() {
	expect 0 script -qec "vfio-mig save $a state" typescript &&
		says out '^.*save \[#{30}\] 100%'
}

command -v vfio-mig > /dev/null || skip "no vfio-mig here or in the PATH"
command -v python3 > /dev/null || skip "no python3, which reads the JSON"
modprobe -qa vfio_iommu_type1 mnvme || skip "no mnvme"
if [ "$IN_USE" = EINVAL ] && [ ! -e /dev/iommu ]; then
	skip "the kernel has no iommufd: there is no /dev/iommu"
fi
window=$(cat "$WINDOW")
trap cleanup EXIT
# A small window, because each session clears the window, and because a save then needs several
# iterations.
echo 512 > "$WINDOW"
fresh
a=$new
nvme_disk fill "/sys/bus/mdev/devices/$a" "$MIB" || exit 1

tests=$(declare -F | sed -n 's/^declare -f t_//p')
echo "TAP version 13"
echo "1..$(wc -w <<< "$tests")"
for t in $tests; do
	nr=$((nr + 1))
	status=0
	"t_$t" || status=$?
	case $status in
	0) echo "ok $nr $t" ;;
	"$KSFT_SKIP") echo "ok $nr $t # SKIP $why" ;;
	*)
		echo "not ok $nr $t"
		failed=1 ;;
	esac
done
exit $failed
