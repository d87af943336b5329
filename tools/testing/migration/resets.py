# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios that reset a guest's device, or remove the device and bring it back."""

import time

from bench import Failure, expect, needs
from live import UNLIMITED, migrate, say

# How often a guest resets its busy device, on each machine.
RESETS = 5

# Seconds in which a guest has to suspend, or to release a device.
PATIENCE = 60


def reset_here(bench, command):
    """Let the guest reset its device while its programs read and write."""
    for _ in range(RESETS):
        bench.guest.check(command)
        bench.guest.wait_alive()


def reset_in_pre_copy(bench, command):
    """Let the guest reset its device in pre-copy. The migration continues."""
    target = bench.target()
    migration = bench.disturb(target)
    bench.guest.check(command)
    expect(migration.query()["status"] == "active", "the migration has ended")
    migration.bandwidth(UNLIMITED)
    migration.finish()
    bench.guest.wait_alive()
    bench.moved(target)


@needs(precopy=True)
def controller_reset(bench):
    """the guest resets the controller while it works, also in pre-copy"""
    reset_here(bench, "controller_reset")
    reset_in_pre_copy(bench, "controller_reset")
    reset_here(bench, "controller_reset")


@needs(precopy=True)
def function_reset(bench):
    """function level resets while the guest works, also in pre-copy"""
    reset_here(bench, "function_reset")
    reset_in_pre_copy(bench, "function_reset")
    reset_here(bench, "function_reset")


def is_back(bench):
    """Verify the data from before, and start the guest's work again."""
    bench.work.verify()
    bench.guest.check("mount_disk")
    bench.work.start()


def away_and_back(bench, command):
    """Let the guest remove its disk and find it again, between rounds of work."""
    bench.work.finish()
    bench.guest.check(command, PATIENCE)
    is_back(bench)


def rebind(bench):
    """the guest unbinds the driver from the device, and binds it again"""
    away_and_back(bench, "rebind")
    bench.hop()
    away_and_back(bench, "rebind")


def rescan(bench):
    """the guest removes the function, and finds it again"""
    away_and_back(bench, "rescan")
    bench.hop()
    away_and_back(bench, "rescan")


def wait_closed(device):
    """Wait until QEMU closes a device, some time after it has unplugged the device."""
    end = time.monotonic() + PATIENCE
    while device.state() != "closed":
        expect(time.monotonic() < end, f"the device is unplugged, and {device.state()}")
        time.sleep(0.1)


@needs(port=True)
def replug(bench):
    """QEMU unplugs the device, and plugs it in again"""
    for _ in range(2):
        bench.work.finish()
        bench.guest.check("umount /mnt")
        bench.machine.unplug(PATIENCE)
        wait_closed(bench.machine.device)
        expect(bench.guest.until("[ ! -e /sys/block/nvme0n1 ]", PATIENCE),
               "the guest keeps a device that is unplugged")
        bench.machine.plug()
        expect(bench.guest.until("[ -b /dev/nvme0n1 ]", PATIENCE),
               "the guest finds no device that was plugged in")
        bench.guest.check("mount_disk")
        is_back(bench)
        bench.hop()


def suspend(bench):
    """Let the guest suspend to RAM.

    No other scenario gets this guest, because a second S3 of a guest ends at once. This
    happens without mnvme, too.
    """
    bench.kind = None
    bench.guest.check("run_behind suspend")
    end = time.monotonic() + PATIENCE
    while bench.machine.status() != "suspended":
        if time.monotonic() > end:
            said = bench.guest.call("dmesg | tail -n 4; cat /tmp/suspend.log; "
                                   "ps -o pid,stat,args | grep -v '\\['")[1]
            raise Failure("; ".join(["the guest does not suspend", *said]))
        time.sleep(0.2)


def wake(bench):
    """Wake the guest up, and wait until it works as before."""
    before = bench.guest.uptime()
    bench.machine.qmp.execute("system_wakeup")
    bench.guest.wait_alive()
    expect(bench.guest.until("[ -e /tmp/suspend.over ]", PATIENCE),
           "the guest's suspend does not come to its end")
    bench.guest.check("dmesg | grep -q 'PM: suspend exit'")
    say(f"# suspended at {before} s, up at {bench.guest.uptime()} s")


@needs(packed=True)
def suspended(bench):
    """the guest suspends to RAM while it works, wakes up, and moves"""
    suspend(bench)
    wake(bench)
    bench.hop()


# Before QEMU 9.0 the target runs a guest that was suspended on the source.
@needs(v2=True, packed=True)
def suspended_moves(bench):
    """migrate a guest that is suspended to RAM, wake it up on the target"""
    suspend(bench)
    target = bench.target()
    migrate(bench.machine, target, quiet=True)
    bench.moved(target)
    expect(target.status() == "suspended", f"the target is {target.status()}")
    wake(bench)
