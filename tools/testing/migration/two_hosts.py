#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A guest goes to another host by TCP, and comes back. TAP output.

Runs in the first host VM; tools/testing/migration/two-hosts starts it there, and
host.py in the other.
"""

import sys

import mdev
import qemus
from bench import Bench, Failure, expect
from guest import MachineError
from host import Remote, join
from lab import Interrupted, Lab
from live import MigrationError, migrate, say
from qmp import QMPError

HERE, THERE = "10.0.0.1", "10.0.0.2"


def report(migration, info):
    """A line about a migration."""
    say("# {:.1f} s, downtime {} ms, {} bytes of device state in pre-copy and {} "
        "in the blackout".format(info["total-time"] / 1000, info["downtime"],
                                 *migration.sent()))


def there_and_back(lab):
    """a guest goes to another host by TCP, and comes back"""
    bench = Bench(lab, address=HERE)
    bench.work.start()
    remote = Remote(THERE, "there", bench.guest,
                    (qemus.OTHER or qemus.HOME).name)
    report(*migrate(bench.machine, remote, quiet=True))
    bench.guest.wait_alive()
    bench.moved(remote)
    target = lab.destination("back", bench.guest, lab.device(), address=HERE)
    report(*migrate(remote, target, quiet=True))
    bench.guest.wait_alive()
    bench.machine = target
    expect(remote.end() == 0, "the other host's devices leak memory")
    verified = bench.work.finish()
    found = bench.work.verify()
    bench.work.check_log()
    bench.check_all_there()
    say(f"# {verified + found['blocks']} blocks and {found['files']} files "
        "verified")


def main():
    """No arguments."""
    join(HERE)
    result = "ok"
    say("TAP version 13\n1..1")
    try:
        with Lab() as lab:
            there_and_back(lab)
            lab.clear()
            expect(mdev.memory_used() == 0, "memory leaked")
    except (MachineError, MigrationError, QMPError, Failure, Interrupted,
            OSError) as error:
        say(f"# {error}")
        result = "not ok"
    say(f"{result} 1 - {there_and_back.__doc__}")
    sys.exit(result != "ok")


if __name__ == "__main__":
    main()
