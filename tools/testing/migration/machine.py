# SPDX-License-Identifier: GPL-2.0-only
"""QEMU processes, and the guest that moves between them."""

import os
import re
import socket
import subprocess
import sys
import threading
import time

from qmp import QMP, QMPError

MEMORY = 192            # MiB; every MiB costs migration time

APPEND = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr"

# QEMU to 7.2 speaks v1 with the device, and counts it as an experiment.
SPEAKS_V1 = os.environ["QEMU"] == "7.2"
MIGRATION = "x-enable-migration" if SPEAKS_V1 else "enable-migration"


class MachineError(Exception):
    """A machine or its guest did not do what it should."""


def accelerator():
    """QEMU's options for the processor.

    Where the processor has no virtualization, /dev/kvm can be there and open,
    and yet not run a guest. In the host VM it can be QEMU's emulation of SVM,
    under which sizes of extended states do not fit together, and the guest's
    kernel warns: it is better off without them.
    """
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        virtual = re.search(r"^flags.*\b(svm|vmx)\b", f.read(), re.M)
    if virtual and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host,xsave=off"]
    return ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]


class Guest:
    """The program that runs in the guest (guest/init), wherever it is.

    The second serial ports of all machines the guest has been on lead here.
    A line may start on one machine and end on another: the source's last byte
    comes before the destination's first.
    """

    def __init__(self):
        self.lock = threading.Condition()
        self.partial = b""
        self.ready = False
        self.reports = []       # (our time, guest's uptime, [disk statistics])
        self.answers = {}       # ID: (status, [line])
        self.lines = {}         # ID: [line]
        self.number = 0
        self.machine = None     # where requests go

    def feed(self, data):
        """Take what a serial port sent."""
        with self.lock:
            lines = (self.partial + data).split(b"\n")
            self.partial = lines.pop()
            for line in lines:
                self._line(line.decode(errors="replace").strip("\r"))
            self.lock.notify_all()

    def _line(self, line):
        word = line.split(" ", 2)
        if line.startswith("ready"):
            self.ready = True
        elif word[0] == "*":
            numbers = [float(n) for n in line[1:].split()]
            self.reports.append((time.monotonic(), numbers[0], numbers[1:]))
        elif len(word) > 1 and word[1] == "|":
            self.lines.setdefault(word[0], []).append(line.split("| ", 1)[1])
        elif len(word) > 2 and word[1] == "=":
            self.answers[word[0]] = (int(word[2]), self.lines.pop(word[0], []))

    def _wait(self, condition, timeout, what):
        end = time.monotonic() + timeout
        with self.lock:
            while not condition():
                left = end - time.monotonic()
                if self.machine is not None:
                    self.machine.check_alive()
                if left <= 0:
                    raise MachineError(f"guest: {what}: nothing after "
                                       f"{timeout} s; {self._last_report()}")
                self.lock.wait(min(left, 0.5))

    def _last_report(self):
        if not self.reports:
            return "it never reported"
        return f"last report {time.monotonic() - self.reports[-1][0]:.0f} s ago"

    def wait_ready(self, timeout=240):
        """Wait until the guest has booted."""
        self._wait(lambda: self.ready, timeout, "boot")

    def wait_alive(self, timeout=60):
        """Wait until the guest reports, unasked."""
        with self.lock:
            before = len(self.reports)
        self._wait(lambda: len(self.reports) > before, timeout, "report")

    def call(self, command, timeout=60):
        """(status, [line]) of a shell command in the guest."""
        with self.lock:
            self.number += 1
            request = f"r{self.number}"
        self.machine.type(f"{request} {command}\n")
        self._wait(lambda: request in self.answers, timeout, command)
        return self.answers.pop(request)

    def check(self, command, timeout=60):
        """[line] of a shell command that has to succeed."""
        status, lines = self.call(command, timeout)
        if status:
            raise MachineError(f"guest: {command}: status {status}: " +
                               "; ".join(lines[-5:]))
        return lines

    def rate(self):
        """The disk's I/Os per second, None where there is no recent report."""
        with self.lock:
            recent = [r for r in self.reports[-6:] if len(r[2]) > 8]
        if len(recent) < 2 or time.monotonic() - recent[-1][0] > 20:
            return None
        (_, t0, first), (_, t1, last) = recent[-2:]
        done = last[0] + last[4] - first[0] - first[4]
        return done / (t1 - t0) if t1 > t0 else 0.0


class Machine:
    """A QEMU."""

    def __init__(self, name, directory, guest, device=None, incoming=False,
                 extra=()):
        self.name, self.guest, self.device = name, guest, device
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.error_log = os.path.join(self.directory, "qemu.log")
        self.trace_log = os.path.join(self.directory, "trace.log")
        self.qmp = self.serial = None
        with open(self.error_log, "wb") as log:
            self.process = subprocess.Popen(
                self._command(incoming, extra), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        try:
            self._connect()
        except BaseException:
            self.kill()
            raise

    def path(self, name):
        """A file of this machine."""
        return os.path.join(self.directory, name)

    def _command(self, incoming, extra):
        image = os.environ["GUEST_IMAGE"]
        command = [
            os.environ["QEMU_PROGRAM"], "-name", self.name,
            "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "q35", *accelerator(), "-m", f"{MEMORY}M",
            "-kernel", os.path.join(image, "vmlinux"),
            "-initrd", os.path.join(image, "initramfs"), "-append", APPEND,
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
            "-serial", f"file:{self.path('console.log')}",
            "-serial", f"unix:{self.path('agent')},server=on,wait=off",
            "-D", self.trace_log, "-trace", "vfio_region_mmap",
            "-trace", "vfio_save_*", "-trace", "vfio_load_state*",
            "-trace", "vfio_migration_*",
        ]
        if self.device:
            command += ["-device", f"vfio-pci,id=nvme0,{MIGRATION}=on,"
                        f"sysfsdev={self.device.sysfs}"]
        if incoming:
            command += ["-incoming", "defer"]
        return command + list(extra)

    def _connect(self):
        for _ in range(600):
            if os.path.exists(self.path("qmp")):
                break
            self.check_alive()
            time.sleep(0.1)
        self.qmp = QMP(self.path("qmp"))
        self.serial = socket.socket(socket.AF_UNIX)
        self.serial.connect(self.path("agent"))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                data = self.serial.recv(4096)
            except OSError:
                return
            if not data:
                return
            self.guest.feed(data)

    def type(self, text):
        """Send to the guest's second serial port."""
        self.serial.sendall(text.encode())

    def check_alive(self):
        """Complain if QEMU has ended."""
        if self.process.poll() is not None:
            raise MachineError(f"{self.name}: QEMU ended with status "
                               f"{self.process.returncode}: {self.errors()}")

    def show_end(self):
        """Print how QEMU ended, if it did or does within a moment, or else
        what its processor and interrupt controllers are at."""
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self._show_state()
            return
        print(f"# {self.name}: QEMU ended with status {status}",
              file=sys.stderr)

    def _show_state(self):
        for command in ("info status", "info registers", "info lapic",
                        "info registers", "info pic"):
            try:
                text = self.qmp.execute("human-monitor-command",
                                        **{"command-line": command})
            except (QMPError, OSError) as error:
                text = str(error)
            for line in text.splitlines()[:24]:
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

    def status(self):
        """QEMU's run state."""
        return self.qmp.execute("query-status")["status"]

    def kill(self):
        """End QEMU at once, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.qmp:
            self.qmp.close()
        if self.serial:
            self.serial.close()

    def quit(self):
        """End QEMU in an orderly way."""
        try:
            self.qmp.execute("quit")
            self.process.wait(30)
        except (QMPError, subprocess.TimeoutExpired):
            pass
        self.kill()
