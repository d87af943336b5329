#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The second host: runs in a VM of its own, and executes the first host's requests.

tools/testing/migration/two-hosts starts it. A request calls a method of the host, of
its machine or of its device.
"""

import subprocess
import sys
import time
from multiprocessing.connection import Client, Listener

import mdev
import qemus
from controls import Controls
from guest import MachineError
from lab import Interrupted, Lab

PORT = 5000
KEY = b"a link that only two VMs are on"


def join(address):
    """Bring up the network link to the other VM."""
    subprocess.run(["modprobe", "virtio_net"], check=True)
    subprocess.run(["busybox", "ifconfig", "eth0", address, "netmask",
                    "255.255.255.0", "up"], check=True)


class Host:
    """The host's own requests."""

    def __init__(self, lab, address):
        self.lab, self.address = lab, address
        self.machine = None

    def start(self, name, options):
        """Start a machine with a new device, to wait for a guest; return its endpoints."""
        self.machine = self.lab.destination(name, None, self.lab.device(),
                                            address=self.address, **options)
        return self.machine.endpoints

    def end(self):
        """End the machine and remove its device; return the memory still charged."""
        device = self.machine.device
        self.lab.kill(self.machine)
        self.lab.remove(device)
        self.machine = None
        return mdev.memory_used()

    def answer(self, target, method, arguments):
        """Execute a request; return its result."""
        target = {"host": self, "machine": self.machine,
                  "device": self.machine and self.machine.device}[target]
        return getattr(target, method)(*arguments)


class Remote(Controls):
    """The first host's view of a machine with one device on the second host."""

    def __init__(self, address, name, guest, qemu, **options):
        self.qemu = qemus.KNOWN[qemu]
        self.connection = self._find(address)
        super().__init__(name, guest, self.ask(
            "host", "start", name, {"qemu": qemu, **options}))
        self.device = RemoteDevice(self)
        self.devices = [self.device]
        self.attach()

    @staticmethod
    def _find(address, timeout=90):
        # The other host may still boot.
        end = time.monotonic() + timeout
        while True:
            try:
                return Client((address, PORT), authkey=KEY)
            except OSError as error:
                if time.monotonic() > end:
                    raise MachineError(f"{address}: {error}") from error
                time.sleep(0.5)

    def ask(self, target, method, *arguments):
        """Call a method on the other host; return its result."""
        self.connection.send((target, method, arguments))
        error, result = self.connection.recv()
        if error:
            raise MachineError(f"{self.name}: {error}")
        return result

    def check_alive(self):
        """Raise an error if QEMU has ended."""
        self.ask("machine", "check_alive")

    def errors(self):
        """Return QEMU's standard error."""
        return self.ask("machine", "errors")

    def traced(self, event):
        """Return the lines of QEMU's trace for one event."""
        return self.ask("machine", "traced", event)

    def end(self):
        """End the machine; return the bytes that devices on its host still have."""
        self.detach()
        return self.ask("host", "end")


class RemoteDevice:
    """The first host's view of the device on the second host."""

    def __init__(self, machine):
        self.machine = machine

    def __getattr__(self, method):
        return lambda *arguments: self.machine.ask("device", method, *arguments)


def serve(host):
    """Serve one connection after the other, until somebody ends the VM."""
    with Listener((host.address, PORT), authkey=KEY) as listener:
        print(f"waiting for requests at {host.address}", flush=True)
        while True:
            with listener.accept() as connection:
                serve_one(host, connection)


def serve_one(host, connection):
    """Serve the requests of one connection."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            answer = (None, host.answer(*request))
        except (MachineError, OSError, AttributeError) as error:
            answer = (str(error), None)
        connection.send(answer)


def main():
    """Command line: this host's address."""
    join(sys.argv[1])
    try:
        with Lab() as lab:
            serve(Host(lab, sys.argv[1]))
    except Interrupted as signal:
        sys.exit(f"ended by {signal}")


if __name__ == "__main__":
    main()
