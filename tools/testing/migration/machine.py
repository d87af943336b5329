# SPDX-License-Identifier: GPL-2.0-only
"""QEMU processes."""

import os
import re
import shlex
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

# Where QEMU has the devices that have a name.
PERIPHERAL = "/machine/peripheral"

# Where a machine listens that has an address.
PORTS = {"qmp": 4000, "agent": 4001, "migration": 4002}


# What QEMU's emulation of SVM does not emulate well enough, Documentation/emulation.rst.
# AVX and what is used with it need the extended states that xsave=off takes away; the
# kernel of a guest that sees the one without the other uses it, and panics.
EMULATED = "xsave=off,avx=off,avx2=off,f16c=off,fma=off,vaes=off,vpclmulqdq=off," \
    "pclmulqdq=off,kvm-pv-eoi=off"


def accelerator():
    """QEMU's options for the processor.

    Where the processor has no virtualization, /dev/kvm can be there and open,
    and yet not run a guest. In the host VM it can be QEMU's emulation of SVM,
    under which sizes of extended states do not fit together, and the guest's
    kernel warns: it is better off without them. That emulation can deliver an
    interrupt a second time until the guest exits; without paravirtual EOI the
    guest exits at once, to acknowledge it (Documentation/emulation.rst). A real
    processor is given to the guest as it is.
    """
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        virtual = re.search(r"^flags.*\b(svm|vmx)\b", f.read(), re.M)
    if virtual and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", f"host,{EMULATED}" if emulated() else "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]


class Machine(Controls):
    """A QEMU on this host.

    Options: qemu, which one, by its name; machine_type; device_options, properties of
    each vfio-pci device besides those it always has; snapshots, whether there is
    an image that can hold some; address, to be reached by TCP there instead of
    unix sockets; cpus; boot, whether the guest boots from its disk; image, the
    file of a disk of QEMU's own NVMe controller, which the guest has besides; virtio, the
    file of a virtio-blk disk that the guest has besides, with an iothread of its own;
    processor, the number of the one that QEMU may use where virtualization is emulated;
    packed, whether the guest's kernel is given to QEMU as it is packaged; port, whether
    the first device is behind a PCI Express port, where it can be unplugged; firmware,
    the image of a firmware that is all of the guest, and has the first serial port.
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
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self._wait_listening()
            self._write_program()
            if guest:
                self.attach()
        except (QMPError, OSError):
            # QEMU opens its sockets before its devices, and what a device refused says
            # more than the end of the connection.
            self._check_ended()
            self.kill()
            raise
        except BaseException:
            self.kill()
            raise

    @property
    def device(self):
        """The device, where it is one; the first of several."""
        return self.devices[0]

    def path(self, name):
        """A file of this machine."""
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
        """Ask the guest for its first device, and wait until QEMU has it back."""
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
        """A script that starts the same QEMU in a VM of its own."""
        lines = ["modprobe -a mnvme mscratch vfio_iommu_type1",
                 f"mkdir -p {self.directory}"]
        lines += [f"echo {device.uuid} > {device.type}/create"
                  for device in self.devices]
        with open(self.path("repeat"), "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, "exec " + shlex.join(command)]) + "\n")

    def _write_program(self):
        """What runs, for gdb: the program may have been started by a script."""
        with open(self.path("program"), "w", encoding="utf-8") as f:
            f.write(os.readlink(f"/proc/{self.process.pid}/exe") + "\n")

    def _stays(self):
        """A prefix for where QEMU runs.

        What the emulation gets wrong (emulation.py) it gets wrong where a processor
        that is in a guest is interrupted by another, and that is, mostly, where
        QEMU's threads are on both.
        """
        if self.processor is None or not emulated():
            return []
        return ["taskset", "-c", str(self.processor % os.cpu_count())]

    def _boots(self):
        """Options for what the guest boots: what is on its disk, or the test's."""
        if self.firmware:
            return ["-bios", self.firmware]
        if self.boot:
            return ["-chardev", f"file,id=bios,path={self.path('bios.log')}",
                    "-device", "isa-debugcon,iobase=0x402,chardev=bios"]
        image = os.environ["GUEST_IMAGE"]
        # When a guest wakes up QEMU puts an ELF kernel into its memory once more, over
        # what the guest has made of it.
        kernel = "vmlinuz" if self.packed else "vmlinux"
        return ["-kernel", os.path.join(image, kernel),
                "-initrd", os.path.join(image, "initramfs"), "-append", APPEND]

    def _image(self):
        """An image with nothing in it, which nothing in the guest sees."""
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
        """Complain if QEMU has ended."""
        if self.process.poll() is not None:
            raise MachineError(f"{self.name}: QEMU ended with status "
                               f"{self.process.returncode}: {self.errors()}")

    def _check_ended(self):
        """Complain if QEMU has ended, or does within a moment."""
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            return
        self.detach()
        self.check_alive()

    def show_end(self):
        """Print how QEMU ended, if it did or does within a moment, or else
        what its processor is at."""
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
        """What QEMU wrote to its standard error."""
        with open(self.error_log, encoding="utf-8", errors="replace") as f:
            return f.read().strip()

    def traced(self, event):
        """[line] of QEMU's trace for one event."""
        if not os.path.exists(self.trace_log):
            return []
        with open(self.trace_log, encoding="utf-8", errors="replace") as f:
            return [line.strip() for line in f if f"{event} " in line]

    def kill(self):
        """End QEMU at once, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.detach()

    def quit(self):
        """End QEMU in an orderly way."""
        try:
            self.qmp.execute("quit")
            self.process.wait(30)
        except (QMPError, subprocess.TimeoutExpired):
            pass
        self.kill()
