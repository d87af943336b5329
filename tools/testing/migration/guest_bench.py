#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures mnvme against QEMU's own NVMe controller, in one guest.

Both are disks of the same guest under the same QEMU; QEMU's is on a file in the host's
memory. fio in the guest goes from one to the other and back; what counts is the median
of the ratios. Host CPU time is that of the whole host, the host VM: of QEMU, of the
kernel's threads, and of the guest in it. Runs in the host VM; tools/testing/bench/run
starts it there.
"""

import os
import statistics
import sys

from emulation import emulated
from lab import Lab
from live import MIB, say

SIZE = 64 * MIB

# name: fio's options
CASES = {
    "4 KiB random read, depth 1": "--rw=randread --bs=4k --iodepth=1",
    "4 KiB random write, depth 1": "--rw=randwrite --bs=4k --iodepth=1",
    "4 KiB random read, depth 32": "--rw=randread --bs=4k --iodepth=32",
    "4 KiB random write, depth 32": "--rw=randwrite --bs=4k --iodepth=32",
    "1 MiB sequential read": "--rw=read --bs=1m --iodepth=2",
    "1 MiB sequential write": "--rw=write --bs=1m --iodepth=2",
}

# Fields of fio's terse output: what read and wrote per second.
READ_IOPS, WRITE_IOPS = 8, 49


def busy():
    """Seconds that the host's processors have spent with work."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measure(guest, disk, options, seconds):
    """(commands per second, host CPU seconds per command)"""
    before = busy()
    lines = guest.check(
        f"fio --name=x --filename=/dev/{disk} --size={SIZE} --direct=1 --thread "
        f"--ioengine=libaio --time_based --runtime={seconds} {options} "
        f"--output-format=terse --output=/tmp/x && "
        f"awk -F';' '{{ print ${READ_IOPS} + ${WRITE_IOPS} }}' /tmp/x", 120)
    rate = float(lines[-1])
    return rate, (busy() - before) / (rate * seconds)


def compare(guest, pair, options, rounds, seconds):
    """Medians: (commands per second of mnvme, of QEMU, ratio, ratio of CPU time)."""
    rows = []
    for number in range(rounds):
        # Neither always comes first.
        order = (0, 1) if number % 2 else (1, 0)
        result = {which: measure(guest, pair[which], options, seconds)
                  for which in order}
        rows.append((result[0][0], result[1][0], result[0][0] / result[1][0],
                     result[0][1] / result[1][1]))
    return [statistics.median(column) for column in zip(*rows)]


def main():
    """Command line: rounds, seconds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    with Lab() as lab:
        image = os.path.join(lab.directory, "image")
        with open(image, "wb") as f:
            f.truncate(SIZE)
        guest = lab.start("bench", lab.device("64M"), image=image).guest
        guest.wait_ready()
        pair = guest.check("disks")[-1].split()
        for disk in pair:
            guest.check(f"dd if=/dev/urandom of=/dev/{disk} bs=1M count=64", 120)
        kvm = "emulated" if emulated() else "real"
        say(f"# {kvm} virtualization, {rounds} rounds of {seconds} s, medians")
        say(f"{'case':30} {'mnvme/s':>9} {'QEMU/s':>9} {'ratio':>6} "
            f"{'CPU per command':>16}")
        for name, options in CASES.items():
            mine, other, ratio, cpu = compare(guest, pair, options, rounds, seconds)
            say(f"{name:30} {mine:9.0f} {other:9.0f} {ratio:6.2f} {cpu:16.2f}")


if __name__ == "__main__":
    main()
