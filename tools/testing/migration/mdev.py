# SPDX-License-Identifier: GPL-2.0-only
"""mnvme and mscratch devices, through sysfs."""

import os
import uuid

PARENTS = "/sys/class/mdev_bus"
PARENT = os.path.join(PARENTS, "mnvme")

COUNTERS = ("saves", "loads", "refused", "breaches", "iterations",
            "precopy_bytes", "stopcopy_bytes", "resume_bytes", "read_bytes",
            "pages_sent")


def _read(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def memory_used():
    """Return the bytes of namespace that all mnvme devices together have allocated."""
    return int(_read(os.path.join(PARENT, "memory_used")))


def set_delay(us):
    """Set the shortest duration of an I/O command, in microseconds."""
    with open("/sys/module/mnvme/parameters/delay_us", "w",
              encoding="ascii") as f:
        f.write(str(us))


def set_level(level):
    """Set the level of the mnvme devices created from now on."""
    with open("/sys/module/mnvme/parameters/level", "w", encoding="ascii") as f:
        f.write(level)


def instances():
    """Return the number of mnvme devices."""
    return int(_read(os.path.join(PARENT, "instances")))


class Device:
    """An mdev of a driver's type such as "1G"."""

    def __init__(self, size="1G", driver="mnvme"):
        self.uuid = str(uuid.uuid4())
        self.sysfs = f"/sys/bus/mdev/devices/{self.uuid}"
        types = os.path.join(PARENTS, driver, "mdev_supported_types")
        self.type = f"{types}/{driver}-{size}"
        with open(f"{self.type}/create", "w", encoding="ascii") as f:
            f.write(self.uuid)

    def state(self):
        """Return the migration state, by the library's name."""
        return _read(os.path.join(self.sysfs, "migration", "state"))

    def counters(self):
        """Return the library's counters, which never decrease."""
        folder = os.path.join(self.sysfs, "migration")
        return {name: int(_read(os.path.join(folder, name)))
                for name in COUNTERS}

    def memory_used(self):
        """Return the allocated bytes of the namespace, or 0 without a namespace."""
        path = os.path.join(self.sysfs, "memory_used")
        return int(_read(path)) if os.path.exists(path) else 0

    def serial(self):
        """Return the serial number that the guest sees."""
        return _read(os.path.join(self.sysfs, "serial"))

    def queued(self):
        """Return the number of commands that the device has not fetched yet.

        Return None if the driver does not report this number.
        """
        path = os.path.join(self.sysfs, "queued")
        return int(_read(path)) if os.path.exists(path) else None

    def remove(self):
        """Remove the mdev, unless somebody already did."""
        if os.path.exists(self.sysfs):
            with open(f"{self.sysfs}/remove", "w", encoding="ascii") as f:
                f.write("1")
