#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""NVMe drivers of firmware on mnvme devices, migrated in the middle of their work.

Runs in the host VM; tools/testing/migration/firmware starts it there. Prints TAP.
"""

import sys

import uboot
from bench import Failure
from emulation import ATTEMPTS, emulated
from guest import MachineError
from lab import Interrupted, Lab
from live import MigrationError, comment, say
from qmp import QMPError

ERRORS = (Failure, MachineError, MigrationError, QMPError, ConnectionError, TimeoutError)

# Each firmware's tests, which share one machine, and the class that starts it.
PARTS = {
    "u-boot": (uboot.TESTS, uboot.UBoot),
}


def attempt(lab, tests, start):
    """Run the tests; return how many passed, and the first failure or None."""
    passed, failure = 0, None
    try:
        disk = start(lab)
        for test in tests:
            test(disk)
            passed += 1
    except ERRORS as error:
        failure = error
        comment(str(error))
        lab.show_logs()
    lab.clear()
    return passed, failure


def attempts(lab, tests, start):
    """Run the tests; return how many passed.

    The tests begin again after a failure of the emulated processor, and if an emulated
    processor was too slow for a driver.
    """
    for left in reversed(range(ATTEMPTS)):
        for _ in lab.watch.tries():
            passed, failure = attempt(lab, tests, start)
            if failure is None:
                return passed
        if not (left and emulated() and isinstance(failure, uboot.GaveUp)):
            break
        say("# Once more, because the processor is emulated:")
    return passed


def run(lab, names):
    """Run the named firmwares' tests; return whether all passed."""
    total = number = 0
    for name in names:
        tests, start = PARTS[name]
        passed = attempts(lab, tests, start)
        for index, test in enumerate(tests):
            number += 1
            say(f"{'ok' if index < passed else 'not ok'} {number} - {name}: "
                f"{test.__doc__}{'' if index <= passed else ', not tried'}")
        total += passed
    return total == number


def main():
    """Command line: names of firmwares, all by default."""
    names = sys.argv[1:] or list(PARTS)
    if not set(names) <= set(PARTS):
        print(f"firmware: there are {', '.join(PARTS)}", file=sys.stderr)
        sys.exit(2)
    say(f"TAP version 13\n1..{sum(len(PARTS[name][0]) for name in names)}")
    try:
        with Lab() as lab:
            passed = run(lab, names)
    except Interrupted as number:
        sys.exit(f"Bail out! {number}")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
