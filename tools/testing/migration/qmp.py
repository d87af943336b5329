# SPDX-License-Identifier: GPL-2.0-only
"""A client of QEMU's machine protocol (QMP)."""

import json
import socket


def connect(endpoint):
    """Connect to "unix:PATH" or "tcp:ADDRESS:PORT"; return the socket."""
    kind, _, where = endpoint.partition(":")
    if kind == "tcp":
        address, _, port = where.partition(":")
        return socket.create_connection((address, int(port)))
    unix = socket.socket(socket.AF_UNIX)
    unix.connect(where)
    return unix


class QMPError(Exception):
    """QEMU refused a command, or closed the connection."""


class QMP:
    """One connection to QEMU's monitor, for use by one thread."""

    def __init__(self, endpoint, timeout=60):
        self.events = []
        self.socket = connect(endpoint)
        self.socket.settimeout(timeout)
        self.file = self.socket.makefile("r", encoding="utf-8")
        self._receive()
        self.execute("qmp_capabilities")

    def _receive(self):
        try:
            line = self.file.readline()
        except OSError as error:
            raise QMPError(f"QEMU's monitor: {error}") from error
        if not line:
            raise QMPError("QEMU closed its monitor")
        return json.loads(line)

    def execute(self, command, **arguments):
        """Execute a command; return its result, and keep events that arrive before it."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        try:
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QMPError(f"QEMU's monitor: {error}") from error
        while True:
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QMPError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def close(self):
        """Close the connection."""
        self.file.close()
        self.socket.close()
