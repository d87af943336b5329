#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Resets, and stops and continues, a guest while QEMU copies its device's state.

Runs in the host VM; tools/testing/migration/mid-copy starts it there. QEMU copies without the lock under which a guest is reset, so
a session can end under a copy. A gate in the migration's way makes that certain instead
of rare: QEMU waits for room in the socket in the middle of a buffer. The migration may
complete or fail. Either way the guest goes on, on the one side or on the other, and its
data are verified in the end. TAP output.
"""

import sys
import time

from bench import Bench, DOWNTIME, Failure, expect
from guest import MachineError
from lab import Interrupted, Lab
from live import ENDED, UNLIMITED, Migration, MigrationError, say
from proxy import Gate, Proxy
from qmp import QMPError

ERRORS = (MachineError, MigrationError, QMPError, Failure, ConnectionError, TimeoutError)

# How often the gate is closed before a copy is caught. Device state flows in rounds in
# which no memory is left to send.
CATCHES = 40


def flows(migration):
    """Wait until the device's state flows."""
    end = time.monotonic() + 120
    while not migration.copies()[0]:
        expect(migration.query().get("status") not in ENDED, "it ended too early")
        expect(time.monotonic() < end, "the device's state does not flow")
        time.sleep(0.02)


def caught(migration, gate):
    """Whether QEMU waits in the middle of a copy, behind the gate that is closed now.

    What v2's QEMU copies to the socket is its own buffer: there it is enough that it
    waits.
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
    """A migration that waits in the middle of a copy; its target and its gate."""
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
    """Let the migration come to its end; whether the guest is at the target then."""
    bench.machine.set_downtime(DOWNTIME)
    migration.bandwidth(UNLIMITED)
    gate.open()
    try:
        info = migration.watch(timeout=300 if migration.source.qemu.v1 else 60)
    except MigrationError:
        # v2's QEMU waits for ever where it has read all that it was told of. Cancelled
        # in the middle of a failure it is failed.
        migration.source.qmp.execute("migrate_cancel")
        migration.watch()
        return False
    if info["status"] != "completed":
        return False
    migration.finish()
    bench.moved(target)
    return True


def stays(bench, target):
    """The guest is where it was; the target goes."""
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
    """All that the guest wrote, and no memory that no device shows."""
    verified = bench.work.finish()
    found = bench.work.verify()
    bench.work.check_log()
    bench.check_all_there()
    say(f"# {verified + found['blocks']} blocks and {found['files']} files verified")


def attempt(lab, scenario, bench):
    """Whether it passed, and the guest that is left."""
    try:
        if bench is None:
            bench = Bench(lab)
            bench.work.start()
        say(f"# the guest goes on at {scenario(bench)}")
    except ERRORS as error:
        say(f"# {error}")
        lab.show_logs()
        lab.clear()
        return False, None
    return True, bench


def run(lab, scenarios):
    """Number of tests that failed."""
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
    """Command line: COUNT of each, then which; both if none is named."""
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
