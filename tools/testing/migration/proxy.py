# SPDX-License-Identifier: GPL-2.0-only
"""A proxy in a migration's way: it damages the stream, or holds it up."""

import socket
import threading

from qmp import connect

# struct vfio_mig_chunk_hdr of an END chunk: magic, type. What is flipped is a
# byte of its payload, so that the chunk's own sum tells.
END_CHUNK = b"VFMG" + (4).to_bytes(2, "little")
PAYLOAD = 40


class Damage:
    """Passes on a stream; flips a byte of the first END chunk's payload."""

    def __init__(self):
        self.held = b""
        self.done = False

    def filter(self, data, last=False):
        """What may go on, of all that came so far."""
        data, self.held = self.held + data, b""
        if self.done:
            return data
        at = data.find(END_CHUNK)
        if at >= 0 and len(data) > at + PAYLOAD:
            self.done = True
            spot = at + PAYLOAD
            return data[:spot] + bytes([data[spot] ^ 0x55]) + data[spot + 1:]
        if last:
            return data
        keep = len(data) - at if at >= 0 else len(END_CHUNK) - 1
        self.held = data[-keep:] if keep else b""
        return data[:-keep] if keep else data


class Gate:
    """Passes on a stream while it is open. A source that has no room left in the socket
    waits, in the middle of whatever it sends."""

    def __init__(self):
        self.opened = threading.Event()
        self.opened.set()

    def filter(self, data):
        """The data, when they may go on."""
        self.opened.wait()
        return data

    def close(self):
        """Hold up what comes from now on."""
        self.opened.clear()

    def open(self):
        """Let it go on."""
        self.opened.set()


class Proxy:
    """Listens on a unix socket, connects to an endpoint, and has what goes there pass a
    Damage or a Gate."""

    def __init__(self, path, target, way=None):
        self.way = way or Damage()
        self.target = target
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        source, _ = self.listener.accept()
        destination = connect(self.target)
        # The return path.
        threading.Thread(target=self._pump,
                         args=(destination, source, lambda data: data),
                         daemon=True).start()
        self._pump(source, destination, self.way.filter)

    @staticmethod
    def _pump(reader, writer, transform):
        try:
            while True:
                data = reader.recv(1 << 20)
                if not data:
                    break
                writer.sendall(transform(data))
            writer.shutdown(socket.SHUT_WR)
        except OSError:
            # One side is gone; let the other notice.
            for end in (reader, writer):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
