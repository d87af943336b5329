# SPDX-License-Identifier: GPL-2.0-only
"""A guest that works on its disk, and the steps from which scenarios are made."""

import os
import shutil
import subprocess

import mdev
import qemus
from live import Migration, migrate, say
from workload import Workload


# QEMU's default downtime limit, in milliseconds.
DOWNTIME = 300


class Failure(Exception):
    """A scenario found a wrong result."""


def expect(condition, text):
    """Fail with this text unless the condition holds."""
    if not condition:
        raise Failure(text)


def expect_failed(migration, timeout=180):
    """Wait for the end of the migration, and fail unless the migration failed."""
    info = migration.watch(timeout=timeout)
    expect(info["status"] == "failed", f"the migration is {info['status']}")


def kernel_log():
    """Return the lines of the host's kernel log."""
    return subprocess.run(["dmesg"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()


def needs(v2=False, precopy=False, other=False, property=None, **kind):
    """Record what a scenario needs.

    v2 is a QEMU that speaks v2, precopy a kernel and a QEMU that do pre-copy, other a
    second QEMU, and property a property of vfio-pci. The other arguments are those of
    the scenario's Bench.
    """
    # pylint: disable=redefined-builtin
    def mark(scenario):
        scenario.v2, scenario.precopy, scenario.bench = v2, precopy, kind
        scenario.other, scenario.property = other, property
        return scenario
    return mark


def lacks(scenario):
    """Return why this machine cannot run a scenario, or None if it can."""
    home, other = qemus.HOME, qemus.OTHER
    wanted = getattr(scenario, "property", None)
    if getattr(scenario, "v2", False) and home.v1:
        return f"{home} speaks v1"
    if wanted and wanted not in home.properties:
        return f"{home}'s vfio-pci has no {wanted}"
    if getattr(scenario, "precopy", False) and not home.pre_copy():
        return f"v2 of {home} on this kernel has no pre-copy"
    if getattr(scenario, "other", False) and (other is None or other is home):
        return "OTHER_QEMU names no other QEMU"
    if not qemus.common_machine():
        return f"{home} and {other} have no type of machine in common"
    return None


def install(lab, disk):
    """Let a guest copy a bootable system to a disk."""
    say("# installing a guest on its disk")
    image = shutil.copy(os.environ["DISK_IMAGE"], lab.directory)
    machine = lab.start("installer", disk, image=image)
    machine.guest.wait_ready()
    machine.guest.check("install", 240)
    lab.end(machine)


class Bench:
    """A guest that works on its disk, on the machine that has the guest now.

    A scenario's needs() name the options. devices is the number of mnvme devices, by
    default 1. With scratch the guest also has an mscratch, after these devices. All
    other options are those of machine.Machine.
    """

    def __init__(self, lab, **kind):
        self.lab, self.kind, options = lab, kind, dict(kind)
        self.disks = options.pop("devices", 1)
        self.scratch = options.pop("scratch", False)
        self.options = options
        fresh = self.new_devices()
        if options.get("boot"):
            install(lab, fresh[0])
        say("# booting a guest")
        self.machine = lab.start("source", *fresh, **options)
        self.guest.wait_ready()
        self.work = Workload(self.guest, base_mib=24, disks=self.disks)
        self.work.prepare()

    @property
    def guest(self):
        """The program in the guest."""
        return self.machine.guest

    def new_devices(self):
        """Create devices: a first disk of the usual size, and small ones after it."""
        disks = [self.lab.device("64M" if n else "1G") for n in range(self.disks)]
        return disks + ([self.lab.device("64M", "mscratch")] if self.scratch else [])

    def target(self, *devices, **options):
        """Start a machine to which the guest can move.

        It is like the guest's present machine, except for the given options.
        """
        devices = devices or self.new_devices()
        return self.lab.destination("target", self.guest, *devices,
                                    **{**self.options, **options})

    def moved(self, target):
        """Note that the guest is on the target now; end the source, remove its devices."""
        self.lab.end(self.machine)
        for device in self.machine.devices:
            self.lab.remove(device)
        self.machine = target

    def hop(self, *devices, capabilities=(), **options):
        """Migrate to another machine undisturbed; return Migration.sent()."""
        target = self.target(*devices, **options)
        migration, _ = migrate(self.machine, target, quiet=True,
                               capabilities=capabilities)
        self.guest.wait_alive()
        sent = migration.sent()
        self.moved(target)
        return sent

    def check_all_there(self):
        """Check that no device is left behind, and that each charged page is a device's."""
        expect(self.lab.devices == self.machine.devices,
               "a device was left behind")
        shown = sum(device.memory_used() for device in self.lab.devices)
        used = mdev.memory_used()
        expect(used == shown, f"{used} bytes of namespace are charged, the "
               f"devices have {shown}")

    def note(self):
        """Let the guest note the contents of its disk, then keep the guest busy.

        The guest does not note its later writes, because the scenario cuts them off.
        """
        self.work.finish()
        self.guest.check("keep_notes")
        self.guest.check("rm /tmp/stop; run_behind blocks")

    def disturb(self, target):
        """Start a migration that sends the device's state and cannot end."""
        # On a fast machine the migration would otherwise end before hold() slows it down.
        self.machine.set_downtime(1)
        migration = Migration(self.machine, target, quiet=True)
        migration.start()
        migration.hold()
        self.machine.set_downtime(DOWNTIME)
        return migration

    def stays(self):
        """Check that the guest and its device still run on the source."""
        self.guest.machine = self.machine
        self.guest.wait_alive()
        expect(self.machine.status() == "running", "the source's guest does "
               f"not run: {self.machine.status()}")
        state = self.machine.device.state()
        expect(state == "running", f"the source's device is {state}")

    def gone(self, target):
        """Kill a target that failed; return its device for further use."""
        self.lab.kill(target)
        expect(target.device.state() == "closed", "the target's device is "
               f"{target.device.state()} after its QEMU ended")
        return target.device
