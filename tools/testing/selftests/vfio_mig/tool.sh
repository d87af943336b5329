#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vfio-mig, the program: what it saves loads, what is damaged is refused, and what
# it tells is true. Needs vfio-mig beside this script or in the PATH, and mnvme.
# shellcheck disable=SC2317 # tests are called by their names
set -u
dir=$(dirname "$(realpath "$0")")
PATH=$dir:$PATH
KSFT_SKIP=4
MIB=4
WINDOW=/sys/module/vfio_mig_core/parameters/window_kib
# How the kernel says that somebody has the device open.
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

# expect STATUS COMMAND...: its output is in ./out, its messages in ./err.
expect() {
	local want=$1 status=0
	shift
	"$@" > out 2> err || status=$?
	[ "$status" -eq "$want" ] && return
	echo "# status $status, not $want: $*"
	sed 's/^/# /' err
	return 1
}

# says FILE PATTERN: the output has it.
says() {
	grep -qE -- "$2" "$1" && return
	echo "# nothing in $1 like: $2"
	sed 's/^/#   /' "$1"
	return 1
}

# json EXPRESSION...: true of the JSON in ./out, which is j there.
json() {
	python3 -I -S -c 'import json, sys
j = json.load(open("out"))
bad = [e for e in sys.argv[1:] if not eval(e)]
[print("# not true of the JSON:", e) for e in bad]
sys.exit(bool(bad))' "$@" && return
	sed 's/^/#   /' out
	return 1
}

# fresh: a device of its own for the test, of a type; its UUID is in $new.
fresh() {
	create $((${#devices[@]} + 1)) "${1:-64M}"
	new=${devices[-1]}
}

# by PROTOCOL PROTOCOL: saved by one, loaded by the other, the data equal.
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

t_dump_json() {
	expect 0 vfio-mig save "$a" state && expect 0 vfio-mig dump --json state &&
		json "j['complete'] and not j['problems'] and j['saves'] == 1" \
			"j['chunks'][0]['device_type'] == 'mnvme-64M'" \
			"j['chunks'][-1]['type'] == 'END'" \
			"j['pages'] == $MIB * 256" \
			"j['pages'] == sum(r['pages'] for c in j['chunks'] for r in c.get('runs', []) if not r['zero'])"
}

# damage FILE AT: another byte there.
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
		expect 1 vfio-mig save no-such-device f && says err 'no device' &&
		expect 1 vfio-mig restore "$a" no-such-file &&
		expect 1 vfio-mig save "$a" /dev/full && says err ENOSPC &&
		expect 1 bash -c 'vfio-mig --help > /dev/full'
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
# A window is cleared for each session: a small one is fast, and takes several rounds.
echo 512 > "$WINDOW"
fresh
a=$new
nvme_disk fill "/sys/bus/mdev/devices/$a" "$MIB" || exit 1

tests=$(declare -F | sed -n 's/^declare -f t_//p')
echo "TAP version 13"
echo "1..$(wc -w <<< "$tests")"
for t in $tests; do
	nr=$((nr + 1))
	if "t_$t"; then
		echo "ok $nr $t"
	else
		echo "not ok $nr $t"
		failed=1
	fi
done
exit $failed
