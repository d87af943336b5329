#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs scenarios (disturbed.py, resets.py, several.py, guests.py, nvme_cli.py), TAP output.

Runs in the host VM; tools/testing/migration/run starts it there. A guest stays up for
the next scenario, unless that scenario needs another kind of guest or this one failed.
"""

import argparse
import re
import signal
import subprocess
import sys
import time
import traceback

import disturbed
import guests
import mdev
import nvme_cli
import resets
import several
from bench import Bench, Failure, expect, kernel_log, lacks
from guest import MachineError
from lab import Lab, Interrupted
from live import MigrationError, comment, say
from qmp import QMPError
from results import Results

# Errors of a QEMU, a guest or a device. If a QEMU ends, its connections end.
ERRORS = (MachineError, MigrationError, QMPError, ConnectionError, TimeoutError)

# Messages that must not be in the host's kernel log.
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
    "controller-reset": resets.controller_reset,
    "function-reset": resets.function_reset,
    "rebind": resets.rebind,
    "rescan": resets.rescan,
    "replug": resets.replug,
    "suspended": resets.suspended,
    "suspended-moves": resets.suspended_moves,
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
    """Run one scenario: start the guest's work, and verify all data at the end."""
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
    """Return the present guest if it is of the scenario's kind, or else a new guest."""
    kind = getattr(scenario, "bench", {})
    if bench is None or bench.kind != kind:
        lab.clear()
        bench = Bench(lab, **kind)
    return bench


class TimeLimit(Exception):
    """A scenario takes too long."""


def _out_of_time(_number, _frame):
    raise TimeLimit("it took longer than it may")


class limit:    # pylint: disable=invalid-name
    """A context that raises TimeLimit after a number of seconds, or never for 0."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        signal.signal(signal.SIGALRM, _out_of_time)
        signal.alarm(self.seconds)

    def __exit__(self, *_):
        signal.alarm(0)


class Attempt:
    """A run of a scenario. status is passed, failed, or error for the harness's failures."""

    def __init__(self, scenario, lab, bench, seconds):
        self.status, self.reason, self.bench = "passed", "", None
        try:
            with limit(seconds):
                bench = bench_for(scenario, lab, bench)
                run(scenario, bench)
            self.bench = bench
        except (*ERRORS, Failure) as error:
            self._failed(lab, "failed", str(error))
        except TimeLimit:
            self._failed(lab, "failed", f"it took longer than {seconds} s")
        except (OSError, ValueError, LookupError, AttributeError, TypeError,
                subprocess.SubprocessError) as error:
            traceback.print_exc()
            self._failed(lab, "error", f"{type(error).__name__}: {error}")

    def _failed(self, lab, status, reason):
        # The first error after the end of a QEMU is the end of a connection. Add the cause.
        reason = "; ".join([reason, *(e for e in lab.ended() if e not in reason)])
        self.status, self.reason = status, reason
        comment(reason)
        lab.show_logs()
        lab.clear()


class Runner:
    """Runs scenarios one after the other."""

    def __init__(self, names, seconds=0, fail_fast=False, results=None):
        self.names, self.seconds, self.fail_fast = names, seconds, fail_fast
        self.results = results or Results(None)
        self.failed = 0

    def one(self, lab, number, name, bench):
        """Run one scenario; return the guest for the next one, or None."""
        scenario = SCENARIOS[name]
        title = describe(name)
        begun = time.monotonic()
        lack = lacks(scenario)
        if self.fail_fast and self.failed:
            lack = "not run, because one before it failed"
        if lack:
            say(f"ok {number} - {title} # SKIP {lack}")
            self.results.ended(name, title, "skipped", lack, 0)
            return bench
        self.results.begun(name, title)
        for _ in lab.watch.tries():
            attempt = Attempt(scenario, lab, bench, self.seconds)
            bench = attempt.bench
            if attempt.status == "passed":
                break
        if attempt.status == "failed" and lab.watch.confused():
            attempt.status = "error"
            attempt.reason += "; " + lab.watch.confused()
        self.failed += attempt.status != "passed"
        seconds = time.monotonic() - begun
        say(f"{'ok' if attempt.status == 'passed' else 'not ok'} {number} - {title} "
            f"# {seconds:.0f} s")
        self.results.ended(name, title, attempt.status, attempt.reason, seconds,
                           lab.keep_logs(self.results.directory, f"{number:02}-{name}"))
        return bench

    def all(self):
        """Run all scenarios; return the number of those that did not pass."""
        say("TAP version 13")
        say(f"1..{len(self.names)}")
        with Lab() as lab:
            memory = mdev.memory_used()
            self.results.start(self.names)
            bench = None
            for number, name in enumerate(self.names, 1):
                bench = self.one(lab, number, name, bench)
            lab.clear()
            left = mdev.memory_used() - memory
            if left:
                say(f"# {left} bytes of namespace leaked")
                self.failed += 1
                self.results.ended("memory", "no memory of a namespace is left",
                                   "failed", f"{left} bytes leaked", 0)
            self.results.finish()
        return self.failed


def run_named(names, **options):
    """Run scenarios, and exit with status 0 if all pass, else 1."""
    try:
        failed = Runner(names, **options).all()
    except Interrupted as number:
        sys.exit(f"Bail out! {number}")
    sys.exit(1 if failed else 0)


def describe(name):
    """Return the first line of a scenario's description."""
    return SCENARIOS[name].__doc__.splitlines()[0]


def show_list():
    """Print the scenarios, and the needs of each."""
    for name, scenario in SCENARIOS.items():
        marks = [text for text, mark in (
            ("v2", "v2"), ("pre-copy", "precopy"), ("OTHER_QEMU", "other"),
        ) if getattr(scenario, mark, False)]
        needed = f" [needs {', '.join(marks)}]" if marks else ""
        print(f"{name:20} {describe(name)}{needed}")


def main():
    """Command line: names of scenarios, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fail-fast", action="store_true")
    parser.add_argument("--time-limit", type=int, default=0)
    parser.add_argument("--results")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    names = args.names or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        print(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}",
              file=sys.stderr)
        sys.exit(2)
    if args.list:
        show_list()
        return
    run_named(names, seconds=args.time_limit, fail_fast=args.fail_fast,
              results=Results(args.results))


if __name__ == "__main__":
    main()
