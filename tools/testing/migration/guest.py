# SPDX-License-Identifier: GPL-2.0-only
"""The guest that moves between machines."""

import threading
import time


# Seconds after which call() repeats a request without an answer, because an emulated
# serial port on a busy machine sometimes loses a line. The guest recognizes a request by
# its number, and does not execute it twice.
AGAIN = 15


class MachineError(Exception):
    """A machine or its guest failed."""


class Listener:
    """Reads from serial ports, and passes the data to feed()."""

    def listen(self, serial):
        """Read from a serial port until it closes."""
        while True:
            try:
                data = serial.recv(4096)
            except OSError:
                return
            if not data:
                return
            self.feed(data)

    def feed(self, data):
        """Take data from a serial port."""
        raise NotImplementedError


class Guest(Listener):
    """The program in the guest (guest/init), on the machine that has the guest now.

    The second serial ports of all machines on which the guest was lead here. A line may
    start on one machine and end on another. This works because the source's last byte
    comes before the destination's first.
    """

    def __init__(self):
        self.lock = threading.Condition()
        self.partial = b""
        self.ready = False
        self.reset = False      # the guest booted again, and nobody asked for that
        self.reports = []       # (our time, guest's uptime, [disk statistics])
        self.answers = {}       # ID: (status, [line])
        self.lines = {}         # ID: [line]
        self.number = 0
        self.machine = None     # the machine to which requests go

    def feed(self, data):
        """Take data from a serial port."""
        with self.lock:
            lines = (self.partial + data).split(b"\n")
            self.partial = lines.pop()
            for line in lines:
                self._line(line.decode(errors="replace").strip("\r"))
            self.lock.notify_all()

    def _line(self, line):
        word = line.split(" ", 2)
        # A reset can cut off a report in the middle.
        if line.startswith("ready") or (word[0] == "*" and line.endswith("ready")):
            self.reset = self.ready
            self.ready = True
        elif word[0] == "*":
            numbers = [float(n) for n in line[1:].split()]
            self.reports.append((time.monotonic(), numbers[0], numbers[1:]))
        elif word[1:] == ["<"]:
            self.lines[word[0]] = []
        elif len(word) > 1 and word[1] == "|":
            self.lines.setdefault(word[0], []).append(line.split("| ", 1)[1])
        elif len(word) > 2 and word[1] == "=":
            self.answers[word[0]] = (int(word[2]), self.lines.pop(word[0], []))

    def _wait(self, condition, timeout, what):
        end = time.monotonic() + timeout
        with self.lock:
            while not condition():
                if self.reset:
                    raise MachineError(f"guest: {what}: it was reset meanwhile, "
                                       "see Documentation/emulation.rst")
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
        """Wait for the guest's next periodic report."""
        with self.lock:
            before = len(self.reports)
        self._wait(lambda: len(self.reports) > before, timeout, "report")

    def call(self, command, timeout=60):
        """Run a shell command in the guest; return its status and output lines."""
        with self.lock:
            self.number += 1
            request = f"r{self.number}"
        end = time.monotonic() + timeout
        while request not in self.answers:
            self.machine.type(f"{request} {command}\n")
            left = end - time.monotonic()
            try:
                self._wait(lambda: request in self.answers, min(left, AGAIN),
                           command)
            except MachineError:
                if left <= AGAIN:
                    raise
        return self.answers.pop(request)

    def check(self, command, timeout=60):
        """Run a shell command that has to succeed; return its output lines."""
        status, lines = self.call(command, timeout)
        if status:
            raise MachineError(f"guest: {command}: status {status}: " +
                               "; ".join(lines[-5:]))
        return lines

    def until(self, command, timeout):
        """Repeat a shell command until it succeeds; return whether it did in time."""
        end = time.monotonic() + timeout
        while self.call(command)[0]:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def uptime(self):
        """Return the uptime of the last report, in seconds."""
        with self.lock:
            return self.reports[-1][1]

    def rate(self):
        """Return the disk's I/Os per second, or None without a recent report."""
        with self.lock:
            recent = [r for r in self.reports[-6:] if len(r[2]) > 8]
        if len(recent) < 2 or time.monotonic() - recent[-1][0] > 20:
            return None
        (_, t0, first), (_, t1, last) = recent[-2:]
        done = last[0] + last[4] - first[0] - first[4]
        return done / (t1 - t0) if t1 > t0 else 0.0
