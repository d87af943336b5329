# SPDX-License-Identifier: GPL-2.0-only
"""Migrations of one guest with one device, most of them disturbed, and their results."""

import time

import mdev
from bench import DOWNTIME, expect, expect_failed, needs
from live import UNLIMITED, Migration, MigrationError, migrate, say
from proxy import Proxy

# A disk as slow as this has commands in flight at most times.
DELAY_US = 20000


def live(bench):
    """migrate while the guest works"""
    bench.hop()


@needs(precopy=True)
def cancel(bench):
    """cancel, then migrate again, to the same device"""
    target = bench.target()
    bench.disturb(target).cancel()
    bench.stays()
    bench.hop(bench.gone(target))


def end_of_session(migration):
    """Check a migration whose device has ended its session.

    v2 cannot begin another session. QEMU fails when it next reads from the descriptor.
    If QEMU has read all data that the device announced, it does not read again, and
    waits for ever. This function cancels such a migration.
    """
    try:
        expect_failed(migration, timeout=30)
    except MigrationError:
        migration.cancel()


@needs(precopy=True)
def stop_and_continue(bench):
    """stop and continue the guest in pre-copy"""
    target = bench.target()
    migration = bench.disturb(target)
    bench.machine.qmp.execute("stop")
    time.sleep(0.5)
    bench.machine.qmp.execute("cont")
    bench.guest.wait_alive()
    migration.bandwidth(UNLIMITED)
    if bench.machine.qemu.v1:
        migration.finish()
        bench.guest.wait_alive()
        bench.moved(target)
        return
    end_of_session(migration)
    bench.stays()
    bench.hop(bench.gone(target))


@needs(precopy=True)
def system_reset(bench):
    """system_reset in pre-copy"""
    bench.note()
    target = bench.target()
    migration = bench.disturb(target)
    bench.guest.ready = False
    bench.machine.qmp.execute("system_reset")
    migration.bandwidth(UNLIMITED)
    if bench.machine.qemu.v1:
        migration.finish()
        bench.moved(target)
        bench.guest.wait_ready()
    else:
        end_of_session(migration)
        bench.guest.wait_ready()
        bench.stays()
        bench.hop(bench.gone(target))
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
    """commands in flight at the stop are finished on the target

    The guest's log would report a lost command, because the command would time out.
    """
    mdev.set_delay(DELAY_US)
    source = bench.machine
    for _ in range(40):
        time.sleep(0.3)
        source.qmp.execute("stop")
        queued = source.device.queued()
        if queued:
            break
        source.qmp.execute("cont")
    expect(queued, "no command was in flight in 40 stops")
    target = bench.target()
    migrate(source, target, quiet=True)
    expect(source.device.queued() == queued, f"{queued} commands were in "
           f"flight, and {source.device.queued()} after the guest had gone")
    mdev.set_delay(0)
    target.qmp.execute("cont")
    bench.guest.wait_alive()
    bench.moved(target)
    say(f"# {queued} commands in flight")


@needs(precopy=True)
def quiet(bench):
    """a quiet guest: stop-and-copy moves 64 KiB at most"""
    bench.work.finish()
    bench.guest.check("sync")
    # ext4 commits its journal some seconds after the last write.
    time.sleep(8)
    bench.machine.set_downtime(2)
    target = bench.target()
    migration, _ = migrate(bench.machine, target, quiet=True)
    pre, stop = migration.sent()
    say(f"# {pre} bytes in pre-copy, {stop} in stop-and-copy")
    expect(stop <= 64 << 10, "that is more than 64 KiB")
    bench.guest.wait_alive()
    bench.moved(target)


@needs(precopy=True)
def refused_at_once(bench):
    """a target that refuses the header: another size"""
    target = bench.target(bench.lab.device("64M"))
    refused = target.device.counters()["refused"]
    # Without this limit a fast source could end before it learns of the refusal.
    bench.machine.set_downtime(1)
    migration = Migration(bench.machine, target, quiet=True)
    migration.start()
    expect_failed(migration)
    bench.machine.set_downtime(DOWNTIME)
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
    proxy = Proxy(target.path("proxy"), target.endpoints["migration"])
    migration = Migration(bench.machine, target, quiet=True)
    migration.start("unix:" + target.path("proxy"))
    expect_failed(migration)
    expect(proxy.way.done, "the proxy saw no END chunk")
    expect(migration.sent()[1] > 0, "the source never got to stop-and-copy")
    expect(target.device.counters()["refused"] == refused + 1,
           "the target's device did not refuse")
    bench.stays()
    bench.hop(bench.gone(target))


@needs(precopy=True)
def destination_killed(bench):
    """the destination is killed in the middle"""
    target = bench.target()
    migration = bench.disturb(target)
    bench.lab.kill(target)
    expect_failed(migration)
    bench.stays()
    bench.hop(target.device)


@needs(precopy=True)
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
    # Both devices still work: the guest boots again from its disk, and moves to the
    # device that took half of a state.
    bench.machine = bench.lab.start("source", source.device)
    bench.guest.wait_ready()
    bench.work.guest = bench.guest
    bench.guest.check("adopt_notes", 120)
    bench.work.start()
    bench.hop(device)
