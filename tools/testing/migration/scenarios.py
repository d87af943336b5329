#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs scenarios (disturbed.py, several.py, guests.py), TAP output.

Runs in the host VM; tools/testing/migration/run starts it there. One guest
serves as many scenarios as it survives.
"""

import re
import sys
import time

import disturbed
import guests
import mdev
import nvme_cli
import several
from bench import Bench, Failure, expect, kernel_log, lacks
from guest import MachineError
from lab import Lab, Interrupted
from live import MigrationError, say
from qmp import QMPError

ERRORS = (MachineError, MigrationError, QMPError, OSError)

# What must not be in the host's kernel log.
KERNEL_TROUBLE = re.compile(r"WARNING|BUG|Oops|Call Trace|blocked for more|"
                            r"general protection")

SCENARIOS = {
    "live": disturbed.live,
    "cancel": disturbed.cancel,
    "stop-and-continue": disturbed.stop_and_continue,
    "paused": disturbed.paused,
    "in-flight": disturbed.in_flight,
    "quiet": disturbed.quiet,
    "refused-at-once": disturbed.refused_at_once,
    "refused-at-the-end": disturbed.refused_at_the_end,
    "destination-killed": disturbed.destination_killed,
    "system-reset": disturbed.system_reset,
    "source-killed": disturbed.source_killed,
    "across": several.across,
    "to-file": several.to_file,
    "switchover-ack": several.switchover_ack,
    "snapshot": several.snapshot,
    "multifd": several.multifd,
    "two-devices": several.two_devices,
    "four-devices": several.four_devices,
    "mapped-bar": several.mapped_bar,
    "trim": guests.trim,
    "depths": guests.depths,
    "two-processors": guests.two_processors,
    "nvme-cli": nvme_cli.nvme_cli,
    "root-disk": guests.root_disk,
}


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
    bench.check_all_there()
    trouble = [line for line in kernel_log()[log:]
               if KERNEL_TROUBLE.search(line)]
    expect(not trouble, "the host's kernel log: " + "; ".join(trouble[:3]))
    say(f"# {verified + found['blocks']} blocks and {found['files']} files "
        "verified")


def bench_for(scenario, lab, bench):
    """The guest there is, if it is of the kind that the scenario needs."""
    kind = getattr(scenario, "bench", {})
    if bench is None or bench.kind != kind:
        lab.clear()
        bench = Bench(lab, **kind)
    return bench


def attempt(scenario, lab, bench):
    """Whether it passed, and the guest that is left for others, if one is."""
    try:
        bench = bench_for(scenario, lab, bench)
        run(scenario, bench)
    except (*ERRORS, Failure) as error:
        say(f"# {error}")
        lab.show_logs()
        lab.clear()
        return False, None
    return True, bench


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
            title = scenario.__doc__.splitlines()[0]
            if lacks(scenario):
                say(f"ok {number} - {title} # SKIP {lacks(scenario)}")
                continue
            for _ in lab.watch.tries():
                passed, bench = attempt(scenario, lab, bench)
                if passed:
                    break
            failed += not passed
            say(f"{'ok' if passed else 'not ok'} {number} - {title} "
                f"# {time.monotonic() - begun:.0f} s")
        lab.clear()
        left = mdev.memory_used() - memory
        if left:
            say(f"# {left} bytes of namespace leaked")
            failed += 1
    return failed


def run_named(names):
    """All there is to a program that runs scenarios: its exit status tells."""
    try:
        failed = run_all(names)
    except Interrupted as signal:
        sys.exit(f"Bail out! {signal}")
    sys.exit(1 if failed else 0)


def main():
    """Command line: names of scenarios, all by default."""
    names = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"no scenario {unknown[0]}; there are "
                 f"{', '.join(SCENARIOS)}")
    run_named(names)


if __name__ == "__main__":
    main()
