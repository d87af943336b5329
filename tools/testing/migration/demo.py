#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The demonstration: A to B to A, live, with a guest that never notices.

Runs in the host VM; tools/testing/migration/demo starts it there.
"""

import time

import mdev
from guest import MachineError
from lab import run_alone
from live import MIB, MigrationError, migrate, say
from workload import Workload


class Demo:
    """The steps of the demonstration, and the figures of its summary."""

    def __init__(self, lab):
        self.lab = lab
        self.begun = time.monotonic()
        self.reports = []

    def step(self, text):
        """Announce the next step."""
        say(f"[{time.monotonic() - self.begun:6.1f} s] {text}")

    def hop(self, name, source, device):
        """Migrate to a new machine with the given device; return the machine."""
        lab = self.lab
        target = lab.destination(name, source.guest, device)
        self.step(f"live migration: {source.name} -> {target.name}, while fio "
                  "reads and writes")
        migration, info = migrate(source, target)
        pre, stop = migration.sent()
        self.reports.append((source.name, target.name, info, pre, stop))
        say(f"   done: {info['total-time'] / 1000:.1f} s, downtime "
            f"{info['downtime']} ms, device state {pre / MIB:.1f} MiB in "
            f"pre-copy and {stop / MIB:.1f} MiB in stop-and-copy")
        queued = source.device.queued()
        if queued is not None:
            say(f"   {queued} commands were submitted and not fetched when the "
                "device stopped: they travelled")
        if source.qemu.v1:
            self.check_mapping(source, pre + stop)
        source.guest.wait_alive()
        lab.end(source)
        lab.remove(source.device)
        return target

    @staticmethod
    def check_mapping(source, sent):
        """For v1, check that QEMU copied the data from its mapping and not by read()."""
        mapped = len(source.traced("vfio_save_buffer"))
        by_call = source.device.counters()["read_bytes"]
        say(f"   the data section: {mapped} buffers, {by_call} bytes of them "
            "read by system call, the rest copied from QEMU's mapping")
        if by_call or not sent:
            raise MigrationError("QEMU did not use its mapping of the data "
                                 "section")

    def run(self):
        """Run the demonstration."""
        lab = self.lab
        memory = mdev.memory_used()
        self.step("booting a guest: Debian's kernel and its nvme driver; its "
                  "disk is an mnvme device, A")
        machine = lab.start("A", lab.device())
        machine.guest.wait_ready()
        work = Workload(machine.guest)
        self.step("a file system, and fio with verification on it")
        work.prepare()
        work.start()
        machine = self.hop("B", machine, lab.device())
        time.sleep(2)
        machine = self.hop("A", machine, lab.device())
        self.step("letting fio end, which verifies all that it wrote")
        verified = work.finish()
        self.step("reading everything back: fsck, every block, every file")
        found = work.verify()
        work.check_log()
        lab.end(machine)
        lab.remove(machine.device)
        if mdev.memory_used() != memory:
            raise MachineError(f"{mdev.memory_used() - memory} bytes of "
                               "namespace leaked")
        self.summary(verified + found["blocks"], found["files"])

    def summary(self, blocks, files):
        """Print the results."""
        say("")
        say("migration      total      downtime   state in pre-copy   "
            "state in stop-and-copy")
        for source, target, info, pre, stop in self.reports:
            say(f"{source + ' -> ' + target:12} {info['total-time']:6} ms "
                f"{info['downtime']:10} ms {pre:15} bytes {stop:15} bytes")
        say("")
        say(f"total time          {time.monotonic() - self.begun:.0f} s")
        say(f"blocks verified     {blocks}")
        say(f"files verified      {files}")
        say("errors              0")


if __name__ == "__main__":
    run_alone(lambda lab: Demo(lab).run())
