#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A guest migrates to another host by TCP, and back. TAP output.

Runs in the first host VM; tools/testing/migration/two-hosts starts it there, and
host.py in the other.
"""

import os
import sys

import mdev
import qemus
from bench import DOWNTIME, Bench, Failure, expect, expect_failed
from guest import MachineError
from host import Remote, join
from lab import Interrupted, Lab
from live import Migration, MigrationError, comment, migrate, say
from qmp import QMPError

HERE, THERE = "10.0.0.1", "10.0.0.2"


def report(migration, info):
    """Print a line about a migration."""
    say("# {:.1f} s, downtime {} ms, {} bytes of device state in pre-copy and {} "
        "in stop-and-copy".format(info["total-time"] / 1000, info["downtime"],
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


def refused(lab):
    """another host refuses a guest by the first chunk, and the guest goes on"""
    bench = Bench(lab, address=HERE)
    bench.work.start()
    remote = Remote(THERE, "there", bench.guest,
                    (qemus.OTHER or qemus.HOME).name)
    bench.machine.set_downtime(1)
    migration = Migration(bench.machine, remote, quiet=True)
    migration.start()
    expect_failed(migration)
    bench.machine.set_downtime(DOWNTIME)
    expect(migration.sent()[1] == 0, "the source had got to stop-and-copy")
    bench.stays()
    bench.work.finish()
    bench.work.verify()
    bench.work.check_log()
    bench.check_all_there()


def main():
    """Command line: "refused" if the other host has to refuse the guest."""
    join(HERE)
    scenario = refused if sys.argv[1:] == ["refused"] else there_and_back
    result = "ok"
    say("TAP version 13\n1..1")
    try:
        with Lab() as lab:
            if os.environ.get("LEVEL"):
                mdev.set_level(os.environ["LEVEL"])
            scenario(lab)
            lab.clear()
            expect(mdev.memory_used() == 0, "memory leaked")
    except (MachineError, MigrationError, QMPError, Failure, Interrupted,
            OSError) as error:
        comment(str(error))
        result = "not ok"
    say(f"{result} 1 - {scenario.__doc__}")
    sys.exit(result != "ok")


if __name__ == "__main__":
    main()
