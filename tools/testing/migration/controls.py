# SPDX-License-Identifier: GPL-2.0-only
"""The operations on a QEMU, on this host or on another one."""

import threading
import time

from guest import MachineError
from qmp import QMP, connect


class Controls:
    """A QEMU, reached by sockets: its monitor, the guest's serial port, migrations to it.

    endpoints has an address for each of "qmp", "agent" and "migration". A subclass knows
    the process. It provides device, qemu, check_alive(), errors() and traced().
    """

    def __init__(self, name, guest, endpoints):
        self.name, self.guest, self.endpoints = name, guest, endpoints
        self.qmp = self.serial = None

    def attach(self):
        """Connect to a QEMU that listens."""
        self.qmp = QMP(self.endpoints["qmp"])
        self.serial = connect(self.endpoints["agent"])
        threading.Thread(target=self.guest.listen, args=(self.serial,),
                         daemon=True).start()

    def detach(self):
        """Close the connections."""
        for end in (self.qmp, self.serial):
            if end:
                end.close()

    def type(self, text):
        """Send to the guest's second serial port."""
        self.serial.sendall(text.encode())

    def set_capabilities(self, names, state=True):
        """Turn migration capabilities on or off."""
        self.qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": state} for name in names])

    def set_downtime(self, milliseconds):
        """Set the downtime limit. QEMU stops the guest when the rest takes no longer."""
        self.qmp.execute("migrate-set-parameters", downtime_limit=milliseconds)

    def load_file(self, path, timeout=120):
        """Load the state that a migration saved to a file. The guest is paused then."""
        self.qmp.execute("migrate-incoming", uri=f"exec:cat {path}")
        self.wait_loaded(timeout)

    def wait_loaded(self, timeout):
        """Wait until QEMU has loaded the whole state."""
        end = time.monotonic() + timeout
        while self.status() == "inmigrate":
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: the state is not loaded after "
                                   f"{timeout} s")
            time.sleep(0.02)

    def monitor(self, line):
        """Run a command of QEMU's human monitor (HMP), and return its output."""
        return self.qmp.execute("human-monitor-command",
                                **{"command-line": line}).strip()

    def status(self):
        """Return QEMU's run state."""
        return self.qmp.execute("query-status")["status"]
