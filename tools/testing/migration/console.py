# SPDX-License-Identifier: GPL-2.0-only
"""A firmware that is all of a guest, and its command line on the first serial port."""

import threading
import time

from guest import Listener, MachineError
from live import migrate

# Seconds for a firmware to boot.
PATIENCE = 240


class Console(Listener):
    """A command line, wherever the guest is; in place of guest.Guest.

    name is whose it is, for messages; prompt ends each answer.
    """

    def __init__(self, name, prompt):
        self.name, self.prompt = name, prompt
        self.changed = threading.Condition()
        self.text = ""
        self.machine = None

    def feed(self, data):
        """Take what a serial port sent."""
        with self.changed:
            self.text += data.decode(errors="replace").replace("\r", "")
            self.changed.notify_all()

    def wait(self, words, timeout):
        """The text in front of these words."""
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
        """Get to the prompt of a firmware that boots, and counts down to something else.

        Nobody listens to its first words, so a key is pressed every second.
        """
        end = time.monotonic() + timeout
        while self.prompt not in self.text:
            if time.monotonic() > end:
                raise MachineError(f"{self.name} has no prompt: {self.text[-200:]}")
            self.machine.check_alive()
            self.machine.type("\n")
            time.sleep(1)
        # Each key has a prompt.
        time.sleep(2)
        self.take()

    def take(self):
        """The text that came since the last call."""
        with self.changed:
            text, self.text = self.text, ""
        return text

    def start(self, command):
        """Begin a command, and wait for its echo."""
        self.machine.type(command + "\n")
        self.wait("\n", 60)

    def ask(self, command, timeout=120):
        """What a command prints."""
        self.start(command)
        return self.wait(self.prompt, timeout)


class Firmware:
    """A firmware with a disk of a type, wherever it is.

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
        """Migrate while the firmware does what it does."""
        target = self.lab.destination("target", self.console, self.lab.device(self.kind),
                                      **self.options)
        migrate(self.machine, target, quiet=True)
        self.lab.end(self.machine)
        self.lab.remove(self.machine.device)
        self.machine = target
