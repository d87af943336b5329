#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Resets, and stops and continues, a guest while QEMU copies its device's state.

Runs in the host VM; tools/testing/migration/mid-copy starts it there. QEMU copies without
the lock under which it resets a guest, so a session can end in the middle of a copy. That
is rare without a gate on the migration's connection. While the gate is closed, QEMU waits
for space in the socket in the middle of a buffer. The migration may complete or fail. In
both cases the guest continues on one of the sides. The test verifies the guest's data at
its end. TAP output.
"""

import sys
import time

from bench import Bench, DOWNTIME, Failure, expect
from guest import MachineError
from lab import Interrupted, Lab
from live import ENDED, UNLIMITED, Migration, MigrationError, comment, say
from proxy import Gate, Proxy
from qmp import QMPError

ERRORS = (MachineError, MigrationError, QMPError, Failure, ConnectionError, TimeoutError)

# The largest number of attempts to catch a copy with the gate. QEMU sends device state
# only in rounds in which no memory is left to send.
CATCHES = 40


def flows(migration):
    """Wait until QEMU sends device state."""
    end = time.monotonic() + 120
    while not migration.copies()[0]:
        expect(migration.query().get("status") not in ENDED, "it ended too early")
        expect(time.monotonic() < end, "the device's state does not flow")
        time.sleep(0.02)


def caught(migration, gate):
    """Close the gate; return whether QEMU now waits in the middle of a copy.

    A v2 QEMU copies from a buffer of its own to the socket. With v2 it is enough that
    QEMU waits at all.
    """
    gate.close()
    time.sleep(0.3)
    begun, done = migration.copies()
    if migration.source.qemu.v1 and begun == done:
        gate.open()
        time.sleep(0.05)
        return False
    return True


def begin(bench):
    """Start a migration that waits in a copy; return it, its target and its gate."""
    target = bench.target()
    gate = Gate()
    Proxy(target.path("proxy"), target.endpoints["migration"], gate)
    bench.machine.set_downtime(1)
    migration = Migration(bench.machine, target, quiet=True)
    migration.start("unix:" + target.path("proxy"))
    flows(migration)
    for _ in range(CATCHES):
        if caught(migration, gate):
            return migration, target, gate
        expect(migration.query().get("status") not in ENDED, "it ended too early")
    raise Failure("no copy was caught in the middle")


def end(bench, migration, target, gate):
    """Let the migration end; return whether the guest is on the target then."""
    bench.machine.set_downtime(DOWNTIME)
    migration.bandwidth(UNLIMITED)
    gate.open()
    try:
        info = migration.watch(timeout=300 if migration.source.qemu.v1 else 60)
    except MigrationError:
        # A v2 QEMU waits for ever if it has read all data that the device announced. A
        # migration that is cancelled while it fails has the status "failed".
        migration.source.qmp.execute("migrate_cancel")
        migration.watch()
        return False
    if info["status"] != "completed":
        return False
    migration.finish()
    bench.moved(target)
    return True


def stays(bench, target):
    """Check that the guest is on the source, and remove the target."""
    bench.stays()
    bench.lab.remove(bench.gone(target))
    return "the source"


def stop_and_continue(bench):
    """stop and continue in the middle of a copy"""
    migration, target, gate = begin(bench)
    bench.machine.qmp.execute("stop")
    time.sleep(0.2)
    bench.machine.qmp.execute("cont")
    moved = end(bench, migration, target, gate)
    bench.guest.wait_alive()
    return "the target" if moved else stays(bench, target)


def system_reset(bench):
    """system_reset in the middle of a copy"""
    bench.note()
    migration, target, gate = begin(bench)
    bench.guest.ready = False
    bench.machine.qmp.execute("system_reset")
    moved = end(bench, migration, target, gate)
    bench.guest.wait_ready()
    place = "the target" if moved else stays(bench, target)
    bench.guest.check("adopt_notes", 120)
    bench.work.start()
    return place


def verify(bench):
    """Verify all data of the guest, and that each charged page is a device's."""
    verified = bench.work.finish()
    found = bench.work.verify()
    bench.work.check_log()
    bench.check_all_there()
    say(f"# {verified + found['blocks']} blocks and {found['files']} files verified")


def attempt(lab, scenario, bench):
    """Run a scenario; return whether it passed, and the guest for the next one."""
    try:
        if bench is None:
            bench = Bench(lab)
            bench.work.start()
        say(f"# the guest goes on at {scenario(bench)}")
    except ERRORS as error:
        comment(str(error))
        lab.show_logs()
        lab.clear()
        return False, None
    return True, bench


def run(lab, scenarios):
    """Run the scenarios; return the number of failures."""
    failed, bench = 0, None
    say(f"TAP version 13\n1..{len(scenarios) + 1}")
    for number, scenario in enumerate(scenarios, 1):
        for _ in lab.watch.tries():
            passed, bench = attempt(lab, scenario, bench)
            if passed:
                break
        failed += not passed
        say(f"{'ok' if passed else 'not ok'} {number} - {scenario.__doc__}")
    passed = bench is not None
    if passed:
        passed, _ = attempt(lab, lambda b: verify(b) or "its end", bench)
    say(f"{'ok' if passed else 'not ok'} {len(scenarios) + 1} - all data are there")
    return failed + (not passed)


def main():
    """Command line: COUNT of each scenario, then its name; both by default."""
    kinds = {"stop-and-continue": stop_and_continue, "system-reset": system_reset}
    count, names = int(sys.argv[1]), sys.argv[2:] or list(kinds)
    if not set(names) <= set(kinds):
        print(f"no {' or '.join(names)}; there are {', '.join(kinds)}", file=sys.stderr)
        sys.exit(2)
    try:
        with Lab() as lab:
            failed = run(lab, [kinds[name] for name in names for _ in range(count)])
            lab.clear()
    except Interrupted as number:
        sys.exit(f"Bail out! {number}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
