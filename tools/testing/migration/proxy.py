# SPDX-License-Identifier: GPL-2.0-only
"""A proxy between the sides of a migration, which damages the stream or holds it up."""

import socket
import threading

from qmp import connect

# The magic and the type of an END chunk, in its struct vfio_mig_chunk_hdr. The proxy
# damages a byte of the payload, so that the chunk's checksum is wrong.
END_CHUNK = b"VFMG" + (4).to_bytes(2, "little")
PAYLOAD = 40


class Damage:
    """Passes a stream on, with a wrong byte in the payload of the first END chunk."""

    def __init__(self):
        self.held = b""
        self.done = False

    def filter(self, data, last=False):
        """Return the data to pass on, from data and the bytes held back before."""
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
    """Passes a stream on while the gate is open.

    While the gate is closed, the source fills the socket's buffer. Then the source waits,
    in the middle of a write.
    """

    def __init__(self):
        self.opened = threading.Event()
        self.opened.set()

    def filter(self, data):
        """Wait until the gate is open, and return the data."""
        self.opened.wait()
        return data

    def close(self):
        """Hold up all further data."""
        self.opened.clear()

    def open(self):
        """Pass all data on."""
        self.opened.set()


class Proxy:
    """Listens on a unix socket, connects to an endpoint, and passes data on to it.

    The data go through a Damage or a Gate.
    """

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
            # One side has closed its connection, so close the other side's, too.
            for end in (reader, writer):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
