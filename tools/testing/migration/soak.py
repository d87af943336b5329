#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates one guest COUNT times, by scenarios drawn at random, TAP output.

Runs in the host VM; tools/testing/soak starts it there. Each scenario verifies all data.
At the end no memory of a namespace may be left.
"""

import random
import sys

from live import say
from scenarios import run_named

# The number of migrations in each scenario that complete.
COMPLETED = {
    "live": 1,
    "across": 2,
    "cancel": 1,
    "paused": 1,
    "in-flight": 1,
    "refused-at-the-end": 1,
    "destination-killed": 1,
}


def draw(count, seed):
    """Return names of scenarios that have at least count migrations together."""
    choice = random.Random(seed)
    names = []
    while count > 0:
        names.append(choice.choice(list(COMPLETED)))
        count -= COMPLETED[names[-1]]
    return names


def main():
    """Command line: COUNT [SEED]."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    names = draw(count, seed)
    migrations = sum(COMPLETED[name] for name in names)
    say(f"# {migrations} migrations by QEMU, seed {seed}")
    run_named(names)


if __name__ == "__main__":
    main()
