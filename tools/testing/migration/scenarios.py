#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrations that are disturbed, and what must come of them. TAP output.

Runs in the host VM; tools/testing/migration/run starts it there. One guest
serves as many scenarios as it survives.
"""

import re
import subprocess
import sys
import time

import mdev
from lab import Lab, Interrupted
from live import UNLIMITED, Migration, MigrationError, migrate, say
from machine import MachineError
from proxy import Proxy
from qmp import QMPError
from workload import Workload

ERRORS = (MachineError, MigrationError, QMPError, OSError)

# What must not be in the host's kernel log.
KERNEL_TROUBLE = re.compile(r"WARNING|BUG|Oops|Call Trace|blocked for more|"
                            r"general protection")


# So slow a disk has commands waiting whenever the guest is stopped.
DELAY_US = 20000


class Failure(Exception):
    """A scenario did not show what it should."""


def expect(condition, text):
    """Fail with this text unless the condition holds."""
    if not condition:
        raise Failure(text)


def kernel_log():
    """[line] of the host's kernel log."""
    return subprocess.run(["dmesg"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()


class Bench:
    """A guest with its work, wherever it is now."""

    def __init__(self, lab):
        self.lab = lab
        say("# booting a guest")
        self.machine = lab.start("source", lab.device())
        self.guest.wait_ready()
        self.work = Workload(self.guest, base_mib=24)
        self.work.prepare()

    @property
    def guest(self):
        """The program in the guest."""
        return self.machine.guest

    def target(self, device=None):
        """A machine to go to."""
        return self.lab.destination("target", self.machine,
                                    device or self.lab.device())

    def moved(self, target):
        """The guest is at the target now; forget the source."""
        self.lab.end(self.machine)
        self.lab.remove(self.machine.device)
        self.machine = target

    def hop(self, device=None):
        """An undisturbed migration to another machine."""
        target = self.target(device)
        migrate(self.machine, target, quiet=True)
        self.guest.wait_alive()
        self.moved(target)

    def note(self):
        """Let the guest note what is on its disk, then keep it busy.

        What it writes after that is not noted: it will not end in order.
        """
        self.work.finish()
        self.guest.check("keep_notes")
        self.guest.check("rm /tmp/stop; run_behind blocks")

    def disturb(self, target):
        """A migration that has begun to move the device and cannot end."""
        migration = Migration(self.machine, target, quiet=True)
        migration.start()
        migration.hold()
        return migration

    def stays(self):
        """The guest has to be running where it is, its device too."""
        self.guest.machine = self.machine
        self.guest.wait_alive()
        expect(self.machine.status() == "running", "the source's guest does "
               f"not run: {self.machine.status()}")
        state = self.machine.device.state()
        expect(state == "running", f"the source's device is {state}")

    def gone(self, target):
        """Clear away a target that failed; its device, to be used again."""
        self.lab.kill(target)
        expect(target.device.state() == "closed", "the target's device is "
               f"{target.device.state()} after its QEMU ended")
        return target.device


def live(bench):
    """migrate while the guest works"""
    bench.hop()


def cancel(bench):
    """cancel, then migrate again, to the same device"""
    target = bench.target()
    bench.disturb(target).cancel()
    bench.stays()
    bench.hop(bench.gone(target))


def stop_and_continue(bench):
    """stop and continue the guest in pre-copy"""
    target = bench.target()
    migration = bench.disturb(target)
    bench.machine.qmp.execute("stop")
    time.sleep(0.5)
    bench.machine.qmp.execute("cont")
    bench.guest.wait_alive()
    migration.bandwidth(UNLIMITED)
    migration.finish()
    bench.guest.wait_alive()
    bench.moved(target)


def system_reset(bench):
    """system_reset in pre-copy"""
    bench.note()
    target = bench.target()
    migration = bench.disturb(target)
    bench.guest.ready = False
    bench.machine.qmp.execute("system_reset")
    migration.bandwidth(UNLIMITED)
    migration.finish()
    bench.moved(target)
    bench.guest.wait_ready()
    bench.guest.check("adopt_notes", 120)
    bench.work.start()


def paused(bench):
    """migrate a paused guest, continue it on the target"""
    bench.machine.qmp.execute("stop")
    target = bench.target()
    migrate(bench.machine, target, quiet=True)
    expect(target.status() == "paused", f"the target is {target.status()}")
    target.qmp.execute("cont")
    bench.guest.wait_alive()
    bench.moved(target)


def in_flight(bench):
    """commands in flight at the stop are finished on the target"""
    mdev.set_delay(DELAY_US)
    for _ in range(40):
        time.sleep(0.3)
        bench.machine.qmp.execute("stop")
        queued = bench.machine.device.queued()
        if queued:
            break
        bench.machine.qmp.execute("cont")
    expect(queued, "no command was in flight in 40 stops")
    target = bench.target()
    migrate(bench.machine, target, quiet=True)
    expect(target.device.queued() == queued, f"{queued} commands were in "
           f"flight, {target.device.queued()} arrived")
    mdev.set_delay(0)
    target.qmp.execute("cont")
    bench.guest.wait_alive()
    bench.moved(target)
    say(f"# {queued} commands in flight")


def quiet(bench):
    """a quiet guest: the blackout moves 64 KiB at most"""
    bench.work.finish()
    bench.guest.check("sync")
    # The journal has its last word some seconds after the last write.
    time.sleep(8)
    target = bench.target()
    migration, _ = migrate(bench.machine, target, quiet=True)
    pre, stop = migration.sent()
    say(f"# {pre} bytes in pre-copy, {stop} in the blackout")
    expect(stop <= 64 << 10, "that is more than 64 KiB")
    bench.guest.wait_alive()
    bench.moved(target)


def refused_at_once(bench):
    """a target that refuses the header: another size"""
    target = bench.target(bench.lab.device("64M"))
    refused = target.device.counters()["refused"]
    migration = Migration(bench.machine, target, quiet=True)
    migration.start()
    info = migration.watch()
    expect(info["status"] == "failed", f"the migration is {info['status']}")
    expect(target.device.counters()["refused"] == refused + 1,
           "the target's device did not refuse")
    expect(migration.sent()[1] == 0, "the source had got to stop-and-copy")
    bench.stays()
    bench.lab.remove(bench.gone(target))
    bench.hop()


def refused_at_the_end(bench):
    """a target that refuses the last bytes: damaged on the way"""
    target = bench.target()
    refused = target.device.counters()["refused"]
    proxy = Proxy(target.path("proxy"), target.path("migration"))
    migration = Migration(bench.machine, target, quiet=True)
    migration.start("unix:" + target.path("proxy"))
    info = migration.watch()
    expect(proxy.damage.done, "the proxy saw no END chunk")
    expect(info["status"] == "failed", f"the migration is {info['status']}")
    expect(migration.sent()[1] > 0, "the source never got to stop-and-copy")
    expect(target.device.counters()["refused"] == refused + 1,
           "the target's device did not refuse")
    bench.stays()
    bench.hop(bench.gone(target))


def destination_killed(bench):
    """the destination is killed in the middle"""
    target = bench.target()
    migration = bench.disturb(target)
    bench.lab.kill(target)
    info = migration.watch()
    expect(info["status"] == "failed", f"the migration is {info['status']}")
    bench.stays()
    bench.hop(target.device)


def source_killed(bench):
    """the source is killed in the middle"""
    bench.note()
    target = bench.target()
    bench.disturb(target)
    source = bench.machine
    bench.lab.kill(source)
    target.process.wait(30)
    device = bench.gone(target)
    expect(source.device.state() == "closed", "the source's device is "
           f"{source.device.state()} after its QEMU was killed")
    # Both devices are good for more: the guest boots again from its disk, and
    # moves to the device that had taken half of a state.
    bench.machine = bench.lab.start("source", source.device)
    bench.guest.wait_ready()
    bench.work.guest = bench.guest
    bench.guest.check("adopt_notes", 120)
    bench.work.start()
    bench.hop(device)


SCENARIOS = {
    "live": live,
    "cancel": cancel,
    "stop-and-continue": stop_and_continue,
    "paused": paused,
    "in-flight": in_flight,
    "quiet": quiet,
    "refused-at-once": refused_at_once,
    "refused-at-the-end": refused_at_the_end,
    "destination-killed": destination_killed,
    "system-reset": system_reset,
    "source-killed": source_killed,
}


def check_memory(lab):
    """No page may be charged that no device shows."""
    shown = sum(device.memory_used() for device in lab.devices)
    used = mdev.memory_used()
    expect(used == shown, f"{used} bytes of namespace are charged, the devices "
           f"have {shown}")


def run(scenario, bench):
    """One scenario, from work that starts to data that is verified."""
    log = len(kernel_log())
    bench.work.start()
    try:
        scenario(bench)
    finally:
        mdev.set_delay(0)
    verified = bench.work.finish()
    found = bench.work.verify()
    bench.work.check_log()
    expect(len(bench.lab.devices) == 1, "a device was left behind")
    check_memory(bench.lab)
    trouble = [line for line in kernel_log()[log:]
               if KERNEL_TROUBLE.search(line)]
    expect(not trouble, "the host's kernel log: " + "; ".join(trouble[:3]))
    say(f"# {verified + found['blocks']} blocks and {found['files']} files "
        "verified")


def clear(lab):
    """Begin anew after a failure."""
    lab.show_logs()
    for machine in list(lab.machines):
        lab.kill(machine)
    for device in list(lab.devices):
        lab.remove(device)


def run_all(names):
    """Number of scenarios that failed."""
    failed = 0
    say("TAP version 13")
    say(f"1..{len(names)}")
    with Lab() as lab:
        memory = mdev.memory_used()
        bench = None
        for number, name in enumerate(names, 1):
            begun = time.monotonic()
            scenario = SCENARIOS[name]
            result = "ok"
            try:
                bench = bench or Bench(lab)
                run(scenario, bench)
            except (*ERRORS, Failure) as error:
                say(f"# {error}")
                result, bench = "not ok", None
                failed += 1
                clear(lab)
            say(f"{result} {number} - {scenario.__doc__} "
                f"# {time.monotonic() - begun:.0f} s")
        clear(lab)
        left = mdev.memory_used() - memory
        if left:
            say(f"# {left} bytes of namespace leaked")
            failed += 1
    return failed


def main():
    """Command line: names of scenarios, all by default."""
    names = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"no scenario {unknown[0]}; there are "
                 f"{', '.join(SCENARIOS)}")
    try:
        failed = run_all(names)
    except Interrupted as signal:
        sys.exit(f"Bail out! {signal}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
