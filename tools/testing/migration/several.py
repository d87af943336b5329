# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios with several devices or QEMUs, and with QEMU's other uses of a state."""

import os
import time

import qemus
from bench import DOWNTIME, expect, needs
from live import ENDED, MIB, Migration, comment, say

# The capabilities for a transfer of device state by several threads.
MULTIFD = ("multifd",)
ACK = ("switchover-ack",)

# The size of the memory to which guest/bar-writer.c writes.
BAR_WRITTEN = 4 * MIB


@needs(devices=2)
def two_devices(bench):
    """a guest with two devices"""
    bench.hop()


@needs(devices=4)
def four_devices(bench):
    """a guest with four devices"""
    bench.hop()


def hop_with_memory(bench):
    """Migrate, with pre-copy of the mscratch's memory; return the mscratch's counters.

    The downtime limit is low until the mscratch has sent its memory. In pre-copy QEMU asks
    a device for data only when the devices before it have none left. It asks no device if
    the rest fits into the downtime limit.
    """
    source, target = bench.machine, bench.target()
    scratch = source.devices[-1]
    source.set_downtime(1)
    migration = Migration(source, target, quiet=True)
    migration.start()
    end = time.monotonic() + 120
    while (scratch.counters()["precopy_bytes"] < BAR_WRITTEN and
           migration.query().get("status") not in ENDED):
        expect(time.monotonic() < end, "the memory does not flow")
        time.sleep(0.05)
    source.set_downtime(DOWNTIME)
    migration.finish()
    bench.guest.wait_alive()
    sent = scratch.counters()
    bench.moved(target)
    return sent


def writer_goes_on(guest):
    """Check that the guest's bar-writer still runs, because it ends at a wrong value."""
    status, said = guest.call("cat /tmp/bar.status && cat /tmp/bar.log")
    expect(status, "; ".join(["the writer has ended", *said]))


def end_writer(guest):
    """End bar-writer, which must have found no wrong value; return its report."""
    guest.check("touch /tmp/bar.stop")
    expect(guest.until("[ -e /tmp/bar.status ]", 60), "the writer does not end")
    return guest.check("cat /tmp/bar.log; [ $(cat /tmp/bar.status) = 0 ]")[0]


@needs(scratch=True)
def mapped_bar(bench):
    """a guest that keeps writing to device memory that is mapped to it"""
    guest = bench.guest
    bench.work.finish()
    guest.check("rm -f /tmp/bar.*; run_behind scratch")
    guest.wait_alive()
    for _ in range(2):
        sent = hop_with_memory(bench)
        writer_goes_on(guest)
        say("# the memory: {pages_sent} pages in {iterations} iterations, "
            "{precopy_bytes} bytes in pre-copy, {stopcopy_bytes} in stop-and-copy"
            .format(**sent))
        expect(sent["precopy_bytes"] >= BAR_WRITTEN, "pre-copy left memory out")
        expect(sent["stopcopy_bytes"] < BAR_WRITTEN, "pre-copy was of no use")
        # bar-writer writes each page at least twice before the last comparison.
        for _ in range(3):
            guest.wait_alive()
    say(f"# {end_writer(guest)}")
    bench.work.start()


@needs(other=True)
def across(bench):
    """to another QEMU, and back"""
    home, other = bench.machine.qemu, qemus.OTHER
    bench.hop(qemu=other.name)
    say(f"# {home} -> {other}")
    bench.hop()
    say(f"# {other} -> {home}")


# QEMU does not do this with older machine types.
@needs(v2=True, machine_type=qemus.HOME and qemus.HOME.machines[-1],
       property="x-migration-multifd-transfer",
       device_options=",x-migration-multifd-transfer=on")
def multifd(bench):
    """multifd transfers the device's state"""
    source = bench.machine
    sent = bench.hop(capabilities=MULTIFD)
    expect(source.traced("vfio_save_complete_precopy_thread_end"),
           "no thread of QEMU saved the device")
    say("# {} bytes in pre-copy, {} in stop-and-copy".format(*sent))


@needs(v2=True, precopy=True)
def switchover_ack(bench):
    """the target acknowledges the switchover"""
    source = bench.machine
    bench.hop(capabilities=ACK)
    expect(source.traced("source_return_path_thread_switchover_acked"),
           "the target acknowledged nothing")


def to_file(bench):
    """a paused guest's state goes to a file, and comes back from it"""
    source = bench.machine
    path = source.path("state")
    source.qmp.execute("stop")
    queued, stopped = source.device.queued(), bench.guest.uptime()
    migration = Migration(source, None, quiet=True)
    migration.start_to_file(path)
    info = migration.watch()
    expect(info["status"] == "completed", f"the migration is {info['status']}")
    say(f"# {os.path.getsize(path)} bytes of file")
    target = bench.target()
    target.load_file(path)
    bench.guest.machine = target
    target.qmp.execute("cont")
    bench.guest.wait_alive()
    say(f"# stopped at {stopped} s with {queued} commands in flight, went on at "
        f"{bench.guest.uptime()} s")
    bench.moved(target)


@needs(snapshots=True)
def snapshot(bench):
    """savevm, and loadvm when the guest has gone on"""
    machine = bench.machine
    for command in ("savevm point", "info snapshots"):
        answer = machine.monitor(command)
        comment("\n".join([command, *answer.splitlines()]))
    expect("point" in answer, "there is no snapshot")
    bench.guest.wait_alive()
    before = bench.guest.uptime()
    for _ in range(3):
        bench.guest.wait_alive()
    answer = machine.monitor("loadvm point")
    expect("Error" not in answer, f"loadvm: {answer}")
    bench.guest.wait_alive()
    expect(bench.guest.uptime() <= before + 1, "the guest did not go back: "
           f"it is up {bench.guest.uptime()} s, and was {before} s")
