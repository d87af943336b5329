#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Shows how QEMU reacts to a device that fails, by the fault knobs.

Runs in the host VM: tools/testing/migration/in-vm faults.py [NUMBER...]. For each
fault it migrates an idle guest once, and prints a few lines about the result. It does
not judge the result, because no rule says how QEMU has to react.
Documentation/fault-knobs.rst describes the results.
"""

import sys
import time

from guest import MachineError
from lab import Lab
from live import ENDED, Migration, say
from qmp import QMPError

ERRORS = (MachineError, QMPError, OSError)
LIMIT = 60      # seconds; an undisturbed migration takes 5 to 30

# The machine whose device has the knob, the knob, and the value.
FAULTS = (
    ("source", "arcs", "any pre-copy fail 5"),
    ("source", "arcs", "any pre-copy break"),
    ("source", "arcs", "any stop-and-copy fail 5"),
    ("source", "arcs", "any stop-and-copy break"),
    ("source", "arcs", "any stop-and-copy delay 3000"),
    ("source", "arcs", "stop-and-copy any fail 5"),
    ("source", "chunk", "0 damage"),
    ("source", "chunk", "1 drop"),
    ("source", "pending", "1073741824"),
    ("source", "pending", "0"),
    ("source", "data_size", "1099511627776"),
    ("source", "bandwidth", "65536"),
    ("source", "dirty_rate", "5000"),
    ("target", "arcs", "any resuming fail 5"),
    ("target", "arcs", "any resuming break"),
    ("target", "arcs", "resuming any fail 5"),
    ("target", "arcs", "resuming any break"),
    ("target", "arcs", "resuming any delay 3000"),
    ("target", "bandwidth", "65536"),
)


def knob(device, name, text):
    """Set a knob of a device."""
    with open(f"/sys/kernel/debug/vfio_mig/{device.uuid}/{name}", "w",
              encoding="ascii") as f:
        f.write(text)


def result(migration):
    """Return how the migration ended, in QEMU's words."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            info = migration.query()
        except ERRORS:
            return "the source's QEMU does not answer"
        if info.get("status") in ENDED:
            text = f"{info['status']} {info.get('error-desc', '')}".strip()
            if "downtime" in info:
                text += f", downtime {info['downtime']} ms"
            return text
        time.sleep(0.1)
    return f"still {info.get('status')} after {LIMIT} s"


def describe(machine):
    """Return a QEMU's run state or exit status, its device's state, its last output."""
    time.sleep(0.5)
    words = [line for line in machine.errors().splitlines()
             if line.startswith("qemu-system") and "warning: " not in line][-2:]
    status = machine.process.poll()
    if status is None:
        try:
            status = machine.status()
        except ERRORS as error:
            status = f"no answer: {error}"
    else:
        status = f"ended with {status}"
    return f"{status}, device {machine.device.state()}; " + " / ".join(words)


def alive(guest, machine):
    """Return whether the guest still reports, on this machine."""
    guest.machine = machine
    try:
        guest.wait_alive(15)
    except ERRORS:
        return False
    return machine.process.poll() is None and machine.status() == "running"


def show(lab, source, fault):
    """Migrate with one fault; return the source if it can migrate again."""
    side, name, text = fault
    device = lab.device("64M")
    target = lab.destination("target", source.guest, device)
    victim = source.device if side == "source" else device
    knob(victim, name, text)
    migration = Migration(source, target, quiet=True)
    try:
        migration.start()
        said = result(migration)
    except ERRORS as error:
        said = f"not begun: {error}"
    say(f"== {side}: {name}: {text}")
    say(f"   migration: {said}")
    say(f"   source: {describe(source)}")
    say(f"   target: {describe(target)}")
    if said.startswith("still"):
        migration.source.qmp.execute("migrate_cancel")
        time.sleep(3)
        say(f"   cancelled: {migration.query().get('status')}; source: "
            f"{describe(source)}")
    here, there = alive(source.guest, source), alive(source.guest, target)
    say(f"   the guest runs: {'source ' * here}{'target' * there}".rstrip())
    lab.kill(target)
    if here:
        knob(source.device, name, "off")
        return source
    return None


def main():
    """Command line: the numbers of faults, all by default."""
    numbers = [int(n) for n in sys.argv[1:]] or range(len(FAULTS))
    with Lab() as lab:
        source = None
        for number in numbers:
            if source is None:
                for machine in list(lab.machines):
                    lab.kill(machine)
                source = lab.start("source", lab.device("64M"))
                source.guest.wait_ready()
            source.guest.machine = source
            source = show(lab, source, FAULTS[number])


if __name__ == "__main__":
    main()
