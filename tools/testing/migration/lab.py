# SPDX-License-Identifier: GPL-2.0-only
"""What a run uses, and that nothing of it is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

import mdev
from emulation import Watch
from guest import Guest
from machine import Machine


class Interrupted(Exception):
    """A signal asks for the end."""


def _interrupted(number, _frame):
    raise Interrupted(signal.Signals(number).name)


class Lab:
    """Machines, guests and devices; a context manager that clears them away.

    Where the run failed the machines' logs are kept, and shown. The watch tells
    whether it is the emulated processor that failed.
    """

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="migration-")
        self.machines = []
        self.devices = []
        self.serial = 0
        self.watch = Watch()

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _interrupted)
        subprocess.run(["modprobe", "-a", "mnvme", "mscratch", "vfio_iommu_type1"],
                       check=True)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show_logs(self):
        """The ends of the machines' logs, for a person."""
        for machine in self.machines:
            machine.show_end()
            for name in ("qemu.log", "console.log", "trace.log"):
                path = machine.path(name)
                if not os.path.exists(path):
                    continue
                with open(path, encoding="utf-8", errors="replace") as f:
                    lines = f.read().strip().splitlines()[-15:]
                for line in lines:
                    print(f"# {machine.name} {name}: {line}", file=sys.stderr)

    def clear(self):
        """End all machines at once, remove all devices."""
        for machine in list(self.machines):
            self.kill(machine)
        for device in list(self.devices):
            self.remove(device)

    def device(self, size="1G", driver="mnvme"):
        """A fresh device."""
        device = mdev.Device(size, driver)
        self.devices.append(device)
        return device

    def remove(self, device):
        """Remove a device whose machine is gone."""
        device.remove()
        self.devices.remove(device)

    def start(self, name, *devices, **options):
        """A machine with a new guest that boots. The guest is its .guest."""
        guest = Guest()
        machine = self._machine(name, guest, devices, **options)
        guest.machine = machine
        return machine

    def destination(self, name, guest, *devices, **options):
        """A machine that waits for a guest, which may be unknown yet: None."""
        return self._machine(name, guest, devices, incoming=True, **options)

    def _machine(self, name, guest, devices, **options):
        self.serial += 1
        options.setdefault("processor", self.serial)
        machine = Machine(f"{name}-{self.serial}", self.directory, guest,
                          devices, **options)
        self.machines.append(machine)
        return machine

    def end(self, machine):
        """End a machine; its device is free then."""
        machine.quit()
        self.machines.remove(machine)

    def kill(self, machine):
        """Kill a machine, as the kernel's OOM killer would."""
        machine.kill()
        self.machines.remove(machine)
