# SPDX-License-Identifier: GPL-2.0-only
"""A guest that consists of a firmware, and its command line on the first serial port."""

import threading
import time

from guest import Listener, MachineError
from live import migrate

# Seconds that a firmware may take to boot.
PATIENCE = 240


class Console(Listener):
    """A firmware's command line. It follows the guest, and replaces guest.Guest.

    name is the firmware's name in messages. prompt ends each answer.
    """

    def __init__(self, name, prompt):
        self.name, self.prompt = name, prompt
        self.changed = threading.Condition()
        self.text = ""
        self.machine = None

    def feed(self, data):
        """Take data from a serial port."""
        with self.changed:
            self.text += data.decode(errors="replace").replace("\r", "")
            self.changed.notify_all()

    def wait(self, words, timeout):
        """Wait for words, and return the text before them."""
        end = time.monotonic() + timeout
        with self.changed:
            while words not in self.text:
                self.machine.check_alive()
                if time.monotonic() > end:
                    raise MachineError(f"{self.name}: no '{words}' in {timeout} s after "
                                       f"'{self.text[-200:]}'")
                self.changed.wait(0.5)
            before, self.text = self.text.split(words, 1)
        return before

    def wake(self, timeout):
        """Stop the countdown of a firmware that boots, and wait for its prompt.

        This presses a key every second, because the firmware's first output may be lost.
        """
        end = time.monotonic() + timeout
        while self.prompt not in self.text:
            if time.monotonic() > end:
                raise MachineError(f"{self.name} has no prompt: {self.text[-200:]}")
            self.machine.check_alive()
            self.machine.type("\n")
            time.sleep(1)
        # The firmware prints one prompt for each key.
        time.sleep(2)
        self.take()

    def take(self):
        """Return the text since the last call."""
        with self.changed:
            text, self.text = self.text, ""
        return text

    def start(self, command):
        """Type a command, and wait for its echo."""
        self.machine.type(command + "\n")
        self.wait("\n", 60)

    def ask(self, command, timeout=120):
        """Run a command, and return its output."""
        self.start(command)
        return self.wait(self.prompt, timeout)


class Firmware:
    """A firmware with a disk, on the machine that has the firmware now.

    options are those of machine.Machine.
    """

    def __init__(self, lab, kind, console, **options):
        self.lab, self.kind, self.console, self.options = lab, kind, console, options
        self.machine = None

    def start(self):
        """Boot with a fresh disk, and get to the command line."""
        self.machine = self.lab.start_with(self.console, "source",
                                           self.lab.device(self.kind), **self.options)
        self.console.wake(PATIENCE)

    def move(self):
        """Migrate the firmware while it works."""
        target = self.lab.destination("target", self.console, self.lab.device(self.kind),
                                      **self.options)
        migrate(self.machine, target, quiet=True)
        self.lab.end(self.machine)
        self.lab.remove(self.machine.device)
        self.machine = target
