# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios with other guests, and with other work on the disk."""

from bench import expect, needs
from live import MIB, say

# Numbers of commands at a time.
DEPTHS = (1, 64)


def trim(bench):
    """fstrim gives the memory of deleted files back"""
    guest, device = bench.guest, bench.machine.device
    bench.work.finish()
    guest.check("dd if=/dev/urandom of=/mnt/big bs=1M count=32 && sync")
    before = device.memory_used()
    guest.check("rm /mnt/big && sync && fstrim /mnt")
    after = device.memory_used()
    say(f"# {before / MIB:.1f} MiB before, {after / MIB:.1f} MiB after")
    expect(before - after >= 30 * MIB, "fstrim gave little back")
    bench.hop()
    expect(bench.machine.device.memory_used() <= after + 4 * MIB,
           "what was trimmed has come back by migration")
    bench.work.start()


def depths(bench):
    """one command at a time, and 64"""
    guest = bench.guest
    bench.work.finish()
    for depth in DEPTHS:
        guest.check(f"rm -f /tmp/stop; run_behind depth {depth}")
        guest.wait_alive()
        bench.hop()
        guest.check("stop_work")
        expect(guest.until(f"[ -e '/tmp/depth {depth}.over' ]", 120),
               f"fio does not come to its end at depth {depth}")
        rate = guest.check(f"awk -F';' '{{ print $8, $49 }}' /tmp/depth-{depth}")
        say(f"# depth {depth}: reads and writes per second {rate[0]}")
    failed = guest.check("[ ! -e /tmp/failed ] || cat /tmp/failed")
    expect(not failed, "; ".join(failed))
    bench.work.start()


@needs(cpus=2)
def two_processors(bench):
    """a guest with two processors, one command at a time, and 64"""
    depths(bench)


@needs(boot=True)
def root_disk(bench):
    """a guest that booted from the disk, its root on it"""
    root = bench.guest.check("grep ' / ' /proc/mounts")[-1]
    say(f"# {root}")
    expect(root.startswith("/dev/nvme0n1p2 "), "the root is elsewhere")
    bench.hop()
    # Read from the disk, and not from the guest's page cache.
    bench.guest.check("echo 3 >/proc/sys/vm/drop_caches; sha256sum /usr/bin/fio")
    bench.hop()
