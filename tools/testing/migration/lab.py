# SPDX-License-Identifier: GPL-2.0-only
"""The machines, guests and devices of a run, and their removal."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import mdev
import qemus
from bench import Failure
from emulation import Watch
from guest import Guest, MachineError
from live import MigrationError, say
from machine import Machine
from qmp import QMPError


# The files of a machine that keep_logs() copies, and the largest part of each.
LOGS = ("repeat", "program", "qemu.log", "console.log", "bios.log", "trace.log")
KEPT = 4 << 20

# The directory for cores, if CORES asks for them.
CORES = "/tmp/cores" if os.environ.get("CORES") else None


class Interrupted(Exception):
    """A signal ends the run."""


def _interrupted(number, _frame):
    raise Interrupted(signal.Signals(number).name)


def copy_end(source, target):
    """Copy a log, or only its end if the log is long."""
    with open(source, "rb") as f, open(target, "wb") as out:
        f.seek(max(0, os.path.getsize(source) - KEPT))
        shutil.copyfileobj(f, out)


class Lab:
    """Machines, guests and devices; a context manager that removes them.

    After a failure it keeps and shows the machines' logs. watch detects failures of the
    emulated processor.
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
        if qemus.IOMMUFD and not os.path.exists("/dev/iommu"):
            sys.exit("Bail out! IOMMUFD is asked for, and this kernel has no /dev/iommu: "
                     "it needs CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV")
        if CORES:
            os.makedirs(CORES)
            with open("/proc/sys/kernel/core_pattern", "w", encoding="ascii") as f:
                f.write(f"{CORES}/core.%p")
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ended(self):
        """Return a message for each QEMU that has ended, or ends within a moment."""
        found = []
        for machine in self.machines:
            try:
                machine.process.wait(0.5)
                machine.check_alive()
            except subprocess.TimeoutExpired:
                continue
            except MachineError as error:
                found.append(str(error))
        return found

    def show_logs(self):
        """Print the ends of the machines' logs."""
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

    def keep_logs(self, directory, name):
        """Copy the logs of a scenario's machines out of the VM.

        Return their path in the directory.
        """
        if not directory:
            return ""
        for machine in os.listdir(self.directory):
            target = os.path.join(directory, name, machine)
            for log in LOGS:
                source = os.path.join(self.directory, machine, log)
                if os.path.exists(source) and os.path.getsize(source):
                    os.makedirs(target, exist_ok=True)
                    copy_end(source, os.path.join(target, log))
            if not any(m.name == machine for m in self.machines):
                shutil.rmtree(os.path.join(self.directory, machine))
        if CORES and os.listdir(CORES):
            shutil.copytree(CORES, os.path.join(directory, "cores"), dirs_exist_ok=True)
        return name

    def clear(self):
        """Kill all machines, and remove all devices."""
        for machine in list(self.machines):
            self.kill(machine)
        for device in list(self.devices):
            self.remove(device)

    def device(self, size="1G", driver="mnvme"):
        """Create a device."""
        device = mdev.Device(size, driver)
        self.devices.append(device)
        return device

    def remove(self, device):
        """Remove a device whose machine has ended."""
        device.remove()
        self.devices.remove(device)

    def start(self, name, *devices, **options):
        """Start a machine, whose new guest boots. The machine's .guest is this guest."""
        return self.start_with(Guest(), name, *devices, **options)

    def start_with(self, guest, name, *devices, **options):
        """Start a machine that boots this guest."""
        machine = self._machine(name, guest, devices, **options)
        guest.machine = machine
        return machine

    def destination(self, name, guest, *devices, **options):
        """Start a machine that waits for a guest. guest is None if nobody knows it yet."""
        return self._machine(name, guest, devices, incoming=True, **options)

    def _machine(self, name, guest, devices, **options):
        self.serial += 1
        options.setdefault("processor", self.serial)
        machine = Machine(f"{name}-{self.serial}", self.directory, guest,
                          devices, **options)
        self.machines.append(machine)
        return machine

    def end(self, machine):
        """End a machine, so that its device is free."""
        machine.quit()
        self.machines.remove(machine)

    def kill(self, machine):
        """Kill a machine, as the kernel's OOM killer would."""
        machine.kill()
        self.machines.remove(machine)


def _attempt(lab, run):
    try:
        run(lab)
    except (Failure, MachineError, MigrationError, QMPError, OSError) as error:
        say(f"errors              1: {error}")
        lab.show_logs()
        lab.clear()
        return False
    return True


def run_alone(run):
    """Call run(lab), and exit. The exit status is 0 only if run() succeeds."""
    try:
        with Lab() as lab:
            passed = any(_attempt(lab, run) for _ in lab.watch.tries())
    except Interrupted as signal_name:
        sys.exit(f"errors              1: {signal_name}")
    sys.exit(0 if passed else 1)
