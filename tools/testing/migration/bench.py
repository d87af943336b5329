# SPDX-License-Identifier: GPL-2.0-only
"""A guest with its work, and the steps that scenarios are made of."""

import os
import shutil
import subprocess

import mdev
import qemus
from live import Migration, migrate, say
from workload import Workload


# QEMU's default, in milliseconds.
DOWNTIME = 300


class Failure(Exception):
    """A scenario did not show what it should."""


def expect(condition, text):
    """Fail with this text unless the condition holds."""
    if not condition:
        raise Failure(text)


def expect_failed(migration, timeout=180):
    """Wait for the migration's end, which has to be a failure."""
    info = migration.watch(timeout=timeout)
    expect(info["status"] == "failed", f"the migration is {info['status']}")


def kernel_log():
    """[line] of the host's kernel log."""
    return subprocess.run(["dmesg"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()


def needs(v2=False, precopy=False, other=False, property=None, **kind):
    """Marks a scenario by what it needs: a QEMU that speaks v2; pre-copy; another QEMU
    besides; a property of vfio-pci; a Bench that is made with these arguments."""
    # pylint: disable=redefined-builtin
    def mark(scenario):
        scenario.v2, scenario.precopy, scenario.bench = v2, precopy, kind
        scenario.other, scenario.property = other, property
        return scenario
    return mark


def lacks(scenario):
    """Why a scenario cannot be run here, or None."""
    home, other = qemus.HOME, qemus.OTHER
    wanted = getattr(scenario, "property", None)
    if getattr(scenario, "v2", False) and home.v1:
        return f"{home} speaks v1"
    if wanted and wanted not in home.properties:
        return f"{home}'s vfio-pci has no {wanted}"
    if getattr(scenario, "precopy", False) and not home.pre_copy():
        return "this kernel's v2 has no pre-copy"
    if getattr(scenario, "other", False) and (other is None or other is home):
        return "OTHER_QEMU names no other QEMU"
    if not qemus.common_machine():
        return f"{home} and {other} have no type of machine in common"
    return None


def install(lab, disk):
    """Have a guest put on a disk what another one will boot from."""
    say("# installing a guest on its disk")
    image = shutil.copy(os.environ["DISK_IMAGE"], lab.directory)
    machine = lab.start("installer", disk, image=image)
    machine.guest.wait_ready()
    machine.guest.check("install", 240)
    lab.end(machine)


class Bench:
    """A guest with its work, wherever it is now.

    Of what kind, a scenario's needs() say: devices is how many mnvme it has, 1 unless
    it is said; with scratch, it has an mscratch after them. The others are options of
    machine.Machine.
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
        """Fresh devices: the first disk as usual, any others small."""
        disks = [self.lab.device("64M" if n else "1G") for n in range(self.disks)]
        return disks + ([self.lab.device("64M", "mscratch")] if self.scratch else [])

    def target(self, *devices, **options):
        """A machine to go to, like the one the guest is at but for options."""
        devices = devices or self.new_devices()
        return self.lab.destination("target", self.guest, *devices,
                                    **{**self.options, **options})

    def moved(self, target):
        """The guest is at the target now; forget the source."""
        self.lab.end(self.machine)
        for device in self.machine.devices:
            self.lab.remove(device)
        self.machine = target

    def hop(self, *devices, capabilities=(), **options):
        """An undisturbed migration to another machine; Migration.sent()."""
        target = self.target(*devices, **options)
        migration, _ = migrate(self.machine, target, quiet=True,
                               capabilities=capabilities)
        self.guest.wait_alive()
        sent = migration.sent()
        self.moved(target)
        return sent

    def check_all_there(self):
        """No device left behind, no page charged that no device shows."""
        expect(self.lab.devices == self.machine.devices,
               "a device was left behind")
        shown = sum(device.memory_used() for device in self.lab.devices)
        used = mdev.memory_used()
        expect(used == shown, f"{used} bytes of namespace are charged, the "
               f"devices have {shown}")

    def note(self):
        """Let the guest note what is on its disk, then keep it busy.

        What it writes after that is not noted: it will not end in order.
        """
        self.work.finish()
        self.guest.check("keep_notes")
        self.guest.check("rm /tmp/stop; run_behind blocks")

    def disturb(self, target):
        """A migration that has begun to move the device and cannot end."""
        # Where everything is fast it would be over before it is held.
        self.machine.set_downtime(1)
        migration = Migration(self.machine, target, quiet=True)
        migration.start()
        migration.hold()
        self.machine.set_downtime(DOWNTIME)
        return migration

    def stays(self):
        """The guest has to be running where it is, its device too."""
        self.guest.machine = self.machine
        self.guest.wait_alive()
        expect(self.machine.status() == "running", "the source's guest does "
               f"not run: {self.machine.status()}")
        state = self.machine.device.state()
        expect(state == "running", f"the source's device is {state}")

    def gone(self, target):
        """Clear away a target that failed; its device, to be used again."""
        self.lab.kill(target)
        expect(target.device.state() == "closed", "the target's device is "
               f"{target.device.state()} after its QEMU ended")
        return target.device
