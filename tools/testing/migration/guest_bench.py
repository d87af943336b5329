#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures mnvme against QEMU's own NVMe controller and virtio-blk, in one guest.

All three are disks of the same guest. QEMU's disks are on files in the host's memory, and
virtio-blk has an iothread of its own. fio in the guest goes from one disk to the next and
back, and the tables have the medians.

The first table has the ratios of commands per second, and of the host's CPU time for a
command. The host is the host VM. Its CPU time is the time of QEMU, of the kernel's threads
and of the guest. The other tables divide the CPU time into guest, QEMU and kernel. They
also have KVM's counters for a command: exits, exits for a device's registers, interrupts
and halts. Runs in the host VM; tools/testing/bench/run starts it there.
"""

import os
import statistics
import sys

from emulation import ATTEMPTS, emulated
from guest import MachineError
from lab import Lab
from live import MIB, comment, say

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

# The disks with which measure() compares mnvme, in the order of Disks.disks.
OTHERS = ("QEMU's NVMe", "virtio-blk")

# Fields of fio's terse output: reads and writes per second.
READ_IOPS, WRITE_IOPS = 8, 49

# KVM's counters of all guests (Documentation/virt/kvm, debugfs), and a word for each.
KVM = "/sys/kernel/debug/kvm"
COUNTS = {"exits": "exits", "mmio_exits": "for registers",
          "irq_injections": "interrupts", "halt_exits": "halts"}

# The parts of the host's CPU time, in the order of busy().
PARTS = ("guest", "QEMU", "kernel")


def counted():
    """Return the present values of COUNTS."""
    result = []
    for name in COUNTS:
        with open(os.path.join(KVM, name), encoding="ascii") as f:
            result.append(int(f.read()))
    return result


def busy():
    """Return the host's CPU seconds in guests, in QEMU and in the kernel."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, _, guest = map(
            int, f.readline().split()[1:10])
    return [ticks / os.sysconf("SC_CLK_TCK")
            for ticks in (guest, user + nice - guest, system + irq + softirq)]


def measure(guest, disk, options, seconds):
    """Return the commands per second, and four kinds of values per command.

    These are the host's CPU seconds, then each part of busy(), then each of COUNTS.
    """
    before = busy() + counted()
    lines = guest.check(
        f"fio --name=x --filename=/dev/{disk} --size={SIZE} --direct=1 --thread "
        f"--ioengine=libaio --time_based --runtime={seconds} {options} "
        f"--output-format=terse --output=/tmp/x && "
        f"awk -F';' '{{ print ${READ_IOPS} + ${WRITE_IOPS} }}' /tmp/x", seconds + 45)
    rate = float(lines[-1])
    spent = [now - then for now, then in zip(busy() + counted(), before)]
    return [rate, *(value / (rate * seconds) for value in [sum(spent[:3]), *spent])]


def compare(guest, disks, options, rounds, seconds):
    """Return medians over the rounds, in the form of measure()'s values.

    The first list has a row for each disk. The second list has a row of ratios of the
    first disk to each other disk.
    """
    rows = [[] for _ in disks]
    ratios = [[] for _ in disks[1:]]
    for number in range(rounds):
        # Reverse the order, so that no disk is always the first.
        order = range(len(disks)) if number % 2 else reversed(range(len(disks)))
        for which in order:
            rows[which].append(measure(guest, disks[which], options, seconds))
        for ratio, row in zip(ratios, rows[1:]):
            ratio.append([mine / other if other else 0
                          for mine, other in zip(rows[0][-1], row[-1])])
    return tuple([[statistics.median(column) for column in zip(*row)] for row in part]
                 for part in (rows, ratios))


def show(results):
    """Print the tables of {case: compare()}."""
    say(f"{'case':30} {'mnvme/s':>9}" +
        "".join(f" {other + '/s':>14} {'ratio':>6} {'CPU':>5}" for other in OTHERS))
    for name, (rows, ratios) in results.items():
        say(f"{name:30} {rows[0][0]:9.0f}" +
            "".join(f" {row[0]:14.0f} {ratio[0]:6.2f} {ratio[1]:5.2f}"
                    for row, ratio in zip(rows[1:], ratios)))
    say("ratio: of commands per second; CPU: of CPU time for a command")
    for number, other in enumerate(OTHERS, 1):
        say("")
        say(f"{'per command: mnvme / ' + other:30}" +
            "".join(f" {word:>13}" for word in (*PARTS, *COUNTS.values())))
        for name, (rows, _) in results.items():
            parts = [f"{a * 1e6:.0f} / {b * 1e6:.0f}"
                     for a, b in zip(rows[0][2:5], rows[number][2:5])]
            counts = [f"{a:.2f} / {b:.2f}"
                      for a, b in zip(rows[0][5:], rows[number][5:])]
            say(f"{name:30}" + "".join(f" {text:>13}" for text in parts + counts))


class Disks:
    """A guest with all disks; another guest after the emulation broke it."""

    def __init__(self, lab):
        self.lab, self.guest, self.disks = lab, None, None

    def _boot(self):
        files = [os.path.join(self.lab.directory, name) for name in ("image", "virtio")]
        for name in files:
            with open(name, "wb") as f:
                f.truncate(SIZE)
        # On all processors, because users run QEMU like that.
        guest = self.lab.start("bench", self.lab.device("64M"), image=files[0],
                               virtio=files[1], processor=None).guest
        guest.wait_ready()
        self.disks = [*guest.check("disks")[-1].split(), "vda"]
        for disk in self.disks:
            guest.check(f"dd if=/dev/urandom of=/dev/{disk} bs=1M count=64", 120)
        self.guest = guest

    def compare(self, options, rounds, seconds):
        """Call compare(), and again if the emulation ends the guest (emulation.py).

        Such an end says nothing about the disks.
        """
        for _ in range(ATTEMPTS):
            try:
                if not self.guest:
                    self._boot()
                return compare(self.guest, self.disks, options, rounds, seconds)
            except MachineError as error:
                comment(str(error))
                self.lab.clear()
                self.guest = None
        raise MachineError(f"{ATTEMPTS} guests ended")


def main():
    """Command line: rounds, seconds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    kvm = "emulated" if emulated() else "real"
    say(f"# {kvm} virtualization, {rounds} rounds of {seconds} s, medians")
    with Lab() as lab:
        disks = Disks(lab)
        show({name: disks.compare(options, rounds, seconds)
              for name, options in CASES.items()})


if __name__ == "__main__":
    main()
