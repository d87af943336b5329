#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The other host: runs in its VM and does what the first one asks for.

tools/testing/migration/two-hosts starts it. Requests are calls of methods of the
host itself, of its machine or of its device.
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
    """Bring up the link to the other VM."""
    subprocess.run(["modprobe", "virtio_net"], check=True)
    subprocess.run(["busybox", "ifconfig", "eth0", address, "netmask",
                    "255.255.255.0", "up"], check=True)


class Host:
    """What can be asked for."""

    def __init__(self, lab, address):
        self.lab, self.address = lab, address
        self.machine = None

    def start(self, name, options):
        """A machine with a fresh device that waits for a guest; endpoints."""
        self.machine = self.lab.destination(name, None, self.lab.device(),
                                            address=self.address, **options)
        return self.machine.endpoints

    def end(self):
        """End the machine, remove its device; memory that is charged then."""
        device = self.machine.device
        self.lab.kill(self.machine)
        self.lab.remove(device)
        self.machine = None
        return mdev.memory_used()

    def answer(self, target, method, arguments):
        """What one request returns."""
        target = {"host": self, "machine": self.machine,
                  "device": self.machine and self.machine.device}[target]
        return getattr(target, method)(*arguments)


class Remote(Controls):
    """A machine with one device on the other host, as the first one sees it."""

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
        # It may still boot.
        end = time.monotonic() + timeout
        while True:
            try:
                return Client((address, PORT), authkey=KEY)
            except OSError as error:
                if time.monotonic() > end:
                    raise MachineError(f"{address}: {error}") from error
                time.sleep(0.5)

    def ask(self, target, method, *arguments):
        """What a method returns there."""
        self.connection.send((target, method, arguments))
        error, result = self.connection.recv()
        if error:
            raise MachineError(f"{self.name}: {error}")
        return result

    def check_alive(self):
        """Complain if QEMU has ended."""
        self.ask("machine", "check_alive")

    def errors(self):
        """What QEMU wrote to its standard error."""
        return self.ask("machine", "errors")

    def traced(self, event):
        """[line] of QEMU's trace for one event."""
        return self.ask("machine", "traced", event)

    def end(self):
        """End it; bytes that its host's devices still have."""
        self.detach()
        return self.ask("host", "end")


class RemoteDevice:
    """Its device."""

    def __init__(self, machine):
        self.machine = machine

    def __getattr__(self, method):
        return lambda *arguments: self.machine.ask("device", method, *arguments)


def serve(host):
    """Do what is asked for until a connection ends and none comes."""
    with Listener((host.address, PORT), authkey=KEY) as listener:
        print(f"waiting for requests at {host.address}", flush=True)
        while True:
            with listener.accept() as connection:
                serve_one(host, connection)


def serve_one(host, connection):
    """One connection's requests."""
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
