# SPDX-License-Identifier: GPL-2.0-only
"""What can be done with a QEMU, here or on another host."""

import threading
import time

from guest import MachineError
from qmp import QMP, connect


class Controls:
    """A QEMU by its sockets: monitor, guest's serial port, way in.

    endpoints is {"qmp", "agent", "migration": where}. A subclass knows the
    process: device, qemu, check_alive(), errors(), traced().
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
        """Hang up."""
        for end in (self.qmp, self.serial):
            if end:
                end.close()

    def type(self, text):
        """Send to the guest's second serial port."""
        self.serial.sendall(text.encode())

    def set_capabilities(self, names, state=True):
        """Capabilities of its migrations, on or off."""
        self.qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": state} for name in names])

    def set_downtime(self, milliseconds):
        """What a migration leaves for stop-and-copy is what takes so long."""
        self.qmp.execute("migrate-set-parameters", downtime_limit=milliseconds)

    def load_file(self, path, timeout=120):
        """What a migration to a file saved; the guest is paused then."""
        self.qmp.execute("migrate-incoming", uri=f"exec:cat {path}")
        self.wait_loaded(timeout)

    def wait_loaded(self, timeout):
        """Wait until it has all that comes in."""
        end = time.monotonic() + timeout
        while self.status() == "inmigrate":
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: the state is not loaded after "
                                   f"{timeout} s")
            time.sleep(0.02)

    def monitor(self, line):
        """What QEMU's monitor for people answers."""
        return self.qmp.execute("human-monitor-command",
                                **{"command-line": line}).strip()

    def status(self):
        """QEMU's run state."""
        return self.qmp.execute("query-status")["status"]
