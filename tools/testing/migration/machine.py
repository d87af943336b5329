# SPDX-License-Identifier: GPL-2.0-only
"""QEMU processes."""

import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time

import qemus
from controls import Controls
from emulation import emulated
from guest import MachineError
from qmp import QMPError, connect

MEMORY = 192            # MiB; every MiB costs migration time

# iomem: nvme-cli maps the registers of a device that has a driver.
APPEND = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr iomem=relaxed"

# The QOM path of the devices that have an id.
PERIPHERAL = "/machine/peripheral"

# The TCP ports on which a machine with an address listens.
PORTS = {"qmp": 4000, "agent": 4001, "migration": 4002}


# Features with which QEMU's emulation of SVM has faults (Documentation/emulation.rst).
# AVX and the features that depend on it need the extended states, which xsave=off removes.
# A guest's kernel that sees AVX without these states uses AVX all the same, and panics.
EMULATED = "xsave=off,avx=off,avx2=off,f16c=off,fma=off,vaes=off,vpclmulqdq=off," \
    "pclmulqdq=off,kvm-pv-eoi=off"


def accelerator():
    """Return QEMU's options for the processor.

    /dev/kvm alone proves nothing, because it can exist and open on a processor without
    virtualization. A guest gets a real processor as it is.

    In the host VM the virtualization can be QEMU's emulation of SVM. The guest has no
    extended states then, because their sizes are inconsistent there and the guest's kernel
    warns. The emulation can also deliver an interrupt a second time, until the guest exits.
    Without paravirtual EOI the guest exits at once, when it acknowledges the interrupt
    (Documentation/emulation.rst).
    """
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        virtual = re.search(r"^flags.*\b(svm|vmx)\b", f.read(), re.M)
    if virtual and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", f"host,{EMULATED}" if emulated() else "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]


class Machine(Controls):
    """A QEMU on this host.

    Options:
    address         listen at this address by TCP, instead of on unix sockets
    boot            the guest boots from its first disk
    cpus            the guest's number of CPUs
    device_options  more properties of each vfio-pci device, with a comma in front
    firmware        the image of a firmware, which is the whole guest and has the first
                    serial port
    image           the file of one more disk, on QEMU's own NVMe controller
    machine_type    QEMU's machine type
    packed          pass the guest's kernel to QEMU as it is packaged, not uncompressed
    port            the first device is behind a PCI Express port, so that QEMU can unplug it
    processor       the number of the only CPU for QEMU, if virtualization is emulated
    qemu            the name of the QEMU
    snapshots       add an image that can hold snapshots
    virtio          the file of one more disk, on virtio-blk with an iothread of its own
    """

    def __init__(self, name, directory, guest, devices=(), incoming=False,
                 qemu=None, machine_type=None, device_options="",
                 snapshots=False, address=None, cpus=1, boot=False, image=None,
                 processor=None, packed=False, port=False, virtio=None,
                 firmware=None):
        self.directory = os.path.join(directory, name)
        super().__init__(name, guest, {
            socket: f"tcp:{address}:{port}" if address else
            f"unix:{self.path(socket)}" for socket, port in PORTS.items()})
        self.devices = list(devices)
        self.qemu = qemus.KNOWN[qemu] if qemu else qemus.HOME
        self.machine_type = machine_type or qemus.common_machine()
        self.device_options = device_options
        self.snapshots = snapshots
        self.cpus, self.boot, self.image = cpus, boot, image
        self.processor, self.packed = processor, packed
        self.port, self.virtio, self.firmware = port, virtio, firmware
        os.makedirs(self.directory)
        self.error_log = os.path.join(self.directory, "qemu.log")
        self.trace_log = os.path.join(self.directory, "trace.log")
        command = self._command(incoming)
        self._write_repeat(command)
        with open(self.error_log, "wb") as log:
            # A group of its own, because the program can be a script that starts QEMU.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        try:
            self._wait_listening()
            self._write_program()
            if guest:
                self.attach()
        except (QMPError, OSError):
            # QEMU opens its sockets before its devices. If a device refuses, QEMU's
            # message says more than the end of the connection.
            self._check_ended()
            self.kill()
            raise
        except BaseException:
            self.kill()
            raise

    @property
    def device(self):
        """The first device, often the only one."""
        return self.devices[0]

    def path(self, name):
        """Return the path of a file of this machine."""
        return os.path.join(self.directory, name)

    def _command(self, incoming):
        command = [
            *self._stays(), self.qemu.program, "-name", self.name,
            "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", f"{self.machine_type},dump-guest-core=off", *accelerator(), "-m", f"{MEMORY}M",
            "-smp", str(self.cpus), *self._boots(),
            "-qmp", f"{self.endpoints['qmp']},server=on,wait=off",
            *self._serial_ports(),
            "-D", self.trace_log, "-trace", "vfio_region_mmap",
            "-trace", "vfio_save_*", "-trace", "vfio_load_state*",
            "-trace", "vfio_migration_*", "-trace", "*switchover_ack*",
        ]
        attach = ""
        if self.port:
            command += ["-device", "pcie-root-port,id=port0,chassis=1"]
        if qemus.IOMMUFD:
            command += ["-object", "iommufd,id=iommufd0"]
            attach = ",iommufd=iommufd0"
        for number, device in enumerate(self.devices):
            order = f",bootindex={number}" if self.boot else ""
            bus = ",bus=port0" if self.port and not number else ""
            command += ["-device", f"vfio-pci,id=device{number},{self.qemu.enable}=on,"
                        f"sysfsdev={device.sysfs}{bus}{attach}{order}"
                        f"{self.device_options}"]
        if incoming:
            command += ["-incoming", "defer"]
        if self.snapshots:
            command += ["-drive", f"if=none,id=s,file={self._image()}"]
        if self.image:
            command += ["-drive", f"if=none,id=image,format=raw,file={self.image}",
                        "-device", "nvme,serial=image,drive=image"]
        if self.virtio:
            command += ["-object", "iothread,id=iothread0",
                        "-drive", f"if=none,id=virtio,format=raw,file={self.virtio}",
                        "-device", "virtio-blk-pci,drive=virtio,iothread=iothread0"]
        return command

    def _serial_ports(self):
        ports = ["-serial", f"file:{self.path('console.log')}",
                 "-serial", f"{self.endpoints['agent']},server=on,wait=off"]
        return ports[2:] if self.firmware else ports

    def unplug(self, timeout):
        """Ask the guest to release its first device, and wait until QEMU has unplugged it."""
        self.qmp.execute("device_del", id="device0")
        end = time.monotonic() + timeout
        while self._plugged("device0"):
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: the guest does not give the device "
                                   f"back in {timeout} s")
            time.sleep(0.1)

    def _plugged(self, name):
        there = self.qmp.execute("qom-list", path=PERIPHERAL)
        return any(item["name"] == name for item in there)

    def plug(self):
        """Plug the first device in again."""
        attach = {"iommufd": "iommufd0"} if qemus.IOMMUFD else {}
        self.qmp.execute("device_add", driver="vfio-pci", id="device0",
                         sysfsdev=self.device.sysfs, bus="port0",
                         **{self.qemu.enable: "on"}, **attach)

    def _write_repeat(self, command):
        """Write a script that starts the same QEMU in another host VM."""
        lines = ["modprobe -a mnvme mscratch vfio_iommu_type1",
                 f"mkdir -p {self.directory}"]
        lines += [f"echo {device.uuid} > {device.type}/create"
                  for device in self.devices]
        with open(self.path("repeat"), "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, "exec " + shlex.join(command)]) + "\n")

    def _write_program(self):
        """Write the path of the running program for gdb, because QEMU can be a script."""
        pid = self.process.pid
        with connect(self.endpoints["qmp"]) as monitor:
            if monitor.family == socket.AF_UNIX:
                pid, _, _ = struct.unpack("3i", monitor.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        with open(self.path("program"), "w", encoding="utf-8") as f:
            f.write(os.readlink(f"/proc/{pid}/exe") + "\n")

    def _stays(self):
        """Return a prefix of the command that keeps QEMU on one processor.

        The emulation's faults (emulation.py) occur when one processor interrupts another
        that is in a guest. This happens mostly if QEMU's threads are on both.
        """
        if self.processor is None or not emulated():
            return []
        return ["taskset", "-c", str(self.processor % os.cpu_count())]

    def _boots(self):
        """Return the options for the guest's boot: firmware, disk, or the test's kernel."""
        if self.firmware:
            return ["-bios", self.firmware]
        if self.boot:
            return ["-chardev", f"file,id=bios,path={self.path('bios.log')}",
                    "-device", "isa-debugcon,iobase=0x402,chardev=bios"]
        image = os.environ["GUEST_IMAGE"]
        # When a suspended guest wakes up, QEMU loads an ELF kernel into the guest's memory
        # again, and overwrites the kernel that runs there. A packed kernel avoids this.
        kernel = "vmlinuz" if self.packed else "vmlinux"
        return ["-kernel", os.path.join(image, kernel),
                "-initrd", os.path.join(image, "initramfs"), "-append", APPEND]

    def _image(self):
        """Make an empty image for snapshots. No device of the guest uses it."""
        path = self.path("snapshots.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64K"],
                       check=True)
        return path

    def _wait_listening(self):
        for _ in range(600):
            try:
                connect(self.endpoints["qmp"]).close()
                return
            except OSError:
                self.check_alive()
                time.sleep(0.1)
        raise MachineError(f"{self.name}: QEMU does not start")

    def check_alive(self):
        """Raise an error if QEMU has ended."""
        if self.process.poll() is not None:
            raise MachineError(f"{self.name}: QEMU ended with status "
                               f"{self.process.returncode}: {self.errors()}")

    def _check_ended(self):
        """Raise an error if QEMU has ended, or ends within two seconds."""
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            return
        self.detach()
        self.check_alive()

    def show_end(self):
        """Print QEMU's exit status, or its run state and registers if it still runs."""
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self._show_state()
            return
        print(f"# {self.name}: QEMU ended with status {status}",
              file=sys.stderr)

    def _show_state(self):
        for command, lines in (("info status", 1), ("info registers", 24)):
            try:
                text = self.monitor(command)
            except (QMPError, OSError) as error:
                text = str(error)
            for line in text.splitlines()[:lines]:
                print(f"# {self.name} {command}: {line.strip()}",
                      file=sys.stderr)

    def errors(self):
        """Return QEMU's output."""
        with open(self.error_log, encoding="utf-8", errors="replace") as f:
            return f.read().strip()

    def traced(self, event):
        """Return the lines of QEMU's trace for one event."""
        if not os.path.exists(self.trace_log):
            return []
        with open(self.trace_log, encoding="utf-8", errors="replace") as f:
            return [line.strip() for line in f if f"{event} " in line]

    def kill(self):
        """Kill QEMU, if it still runs, and wait until it has closed its devices."""
        end = time.monotonic() + 10
        while self._signal(signal.SIGKILL) and time.monotonic() < end:
            # Without this the program stays in the group, as a zombie.
            self.process.poll()
            time.sleep(0.01)
        self.process.wait()
        self.detach()

    def _signal(self, number):
        """Send a signal to the program and to all that it started; whether any is left."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def quit(self):
        """Ask QEMU to quit, and kill it if it does not."""
        try:
            self.qmp.execute("quit")
            self.process.wait(30)
        except (QMPError, subprocess.TimeoutExpired):
            pass
        self.kill()
