#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A guest with a real PCI function migrates, there and back.

Runs in the host VM; tools/testing/migration/ivshmem starts it there.
"""

import glob
import os
import subprocess
import time

import mdev
from guest import MachineError
from lab import run_alone
from live import Migration, MigrationError, say
from several import end_writer, writer_goes_on

DRIVER = "ivshmem_vfio_pci"

# A vfio-pci device pins the guest's memory, and type1 reports all pinned pages as dirty.
# So QEMU sends all memory again in the stop-and-copy phase, which may take this long.
DOWNTIME = 120000

# The least bytes of the function's memory that have to move while the guest runs.
PRECOPIED = 64 << 10


def _read(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


class Function(mdev.Device):
    """An ivshmem-plain of the host VM, bound to its driver."""

    def __init__(self, sysfs):
        self.sysfs = self.type = sysfs
        self.uuid = os.path.basename(sysfs)
        with open(f"{sysfs}/driver_override", "w", encoding="ascii") as f:
            f.write(DRIVER)
        with open("/sys/bus/pci/drivers_probe", "w", encoding="ascii") as f:
            f.write(self.uuid)

    def remove(self):
        """Do nothing, because the function belongs to the VM."""


def functions():
    """Return all functions of the host VM."""
    return [Function(path) for path in sorted(glob.glob("/sys/bus/pci/devices/*"))
            if (_read(f"{path}/vendor"), _read(f"{path}/device")) == ("0x1af4", "0x1110")]


def hop(lab, name, source, device):
    """Migrate to a machine with another function; return the machine."""
    target = lab.destination(name, source.guest, device)
    source.set_downtime(1)
    migration = Migration(source, target, quiet=True)
    migration.start()
    end = time.monotonic() + 120
    while (source.device.counters()["precopy_bytes"] < PRECOPIED and
           time.monotonic() < end):
        time.sleep(0.1)
    source.set_downtime(DOWNTIME)
    info = migration.finish()
    source.guest.wait_alive()
    writer_goes_on(source.guest)
    counters = source.device.counters()
    say(f"{source.name} -> {target.name}: {info['total-time']} ms, downtime "
        f"{info['downtime']} ms; the function: {counters['pages_sent']} pages, "
        f"{counters['precopy_bytes']} bytes in pre-copy, "
        f"{counters['stopcopy_bytes']} in stop-and-copy")
    if counters["precopy_bytes"] < PRECOPIED:
        raise MigrationError("pre-copy left the function out")
    if target.device.counters()["loads"] < 1:
        raise MigrationError("the target's function has loaded nothing")
    lab.end(source)
    return target


def run(lab):
    """Migrate a guest to another function, and back."""
    devices = functions()
    if len(devices) != 2:
        raise MachineError(f"{len(devices)} functions, not 2")
    machine = lab.start("A", devices[0])
    guest = machine.guest
    guest.wait_ready()
    guest.check("rm -f /tmp/bar.*; run_behind memory")
    guest.wait_alive()
    machine = hop(lab, "B", machine, devices[1])
    machine = hop(lab, "A", machine, devices[0])
    # The program writes each page at least twice before the last comparison.
    for _ in range(3):
        guest.wait_alive()
    say(f"the writer: {end_writer(guest)}")
    lab.end(machine)
    say("errors              0")


def main():
    """Run the migrations; the exit status is 0 only if all succeed."""
    # QEMU emulates both the IOMMU and the devices, so unsafe interrupts do no harm.
    subprocess.run(["modprobe", "vfio_iommu_type1", "allow_unsafe_interrupts=1"], check=True)
    subprocess.run(["modprobe", DRIVER], check=True)
    run_alone(run)


if __name__ == "__main__":
    main()
