# SPDX-License-Identifier: GPL-2.0-only
"""One live migration, and its progress for a person."""

import time

MIB = 1 << 20

UNLIMITED = 1 << 40     # bytes per second
TRICKLE = 256 << 10

CAPABILITIES = ("return-path", "events")

ENDED = ("completed", "failed", "cancelled")


class MigrationError(Exception):
    """A migration ended in the wrong way."""


def say(text):
    """Print a line at once."""
    print(text, flush=True)


def comment(text):
    """Print text as comments of TAP, also if it has several lines."""
    say("\n".join("# " + line for line in text.splitlines() or [""]))


class Migration:
    """Moves a guest from one machine to another.

    capabilities are QEMU's, in addition to those of all migrations here.
    """

    def __init__(self, source, destination, quiet=False, capabilities=()):
        self.source, self.destination = source, destination
        self.quiet = quiet
        self.capabilities = (*CAPABILITIES, *capabilities)
        self.before = self._counters()
        self.copied = self._copies()
        self.begun = self.last = time.monotonic()

    def start(self, uri=None):
        """Begin the migration, and return while it continues.

        uri is an address in place of the destination's own, for example a proxy's.
        """
        there = self.destination.endpoints["migration"]
        self.source.set_capabilities(self.capabilities)
        self.destination.set_capabilities(self.capabilities)
        self.bandwidth(UNLIMITED)
        self._allow_stop_and_copy()
        self.destination.qmp.execute("migrate-incoming", uri=there)
        self.begun = self.last = time.monotonic()
        self.source.qmp.execute("migrate", uri=uri or there)

    def start_to_file(self, path):
        """Begin to save the guest to a file."""
        self.source.set_capabilities(("events",))
        # An earlier migration may have turned this capability on. QEMU would wait for
        # ever for an answer from the file.
        self.source.set_capabilities(("return-path",), False)
        self.bandwidth(UNLIMITED)
        self._allow_stop_and_copy()
        self.source.qmp.execute("migrate", uri=f"exec:cat > {path}")

    def _allow_stop_and_copy(self):
        """Let a v2 QEMU stop the guest although the device has no pre-copy.

        Linux before 6.2 and QEMU before 8.1 have no pre-copy by v2, and a paused guest has
        none. QEMU then assumes 100 GiB of device state, and waits for ever until the state
        fits into the downtime limit.
        """
        if not self.source.qemu.v1 and (
                not self.source.qemu.pre_copy() or
                self.source.status() == "paused"):
            self.source.qmp.execute("migrate-set-parameters",
                                    **self.source.qemu.any_downtime())

    def query(self):
        """Return query-migrate's report of the source."""
        return self.source.qmp.execute("query-migrate")

    def _counters(self):
        """Return the bytes that all devices sent, (in pre-copy, in stop-and-copy)."""
        counters = [device.counters() for device in self.source.devices]
        return tuple(sum(c[name] for c in counters)
                     for name in ("precopy_bytes", "stopcopy_bytes"))

    def sent(self):
        """Return this migration's bytes of device state, (in pre-copy, in stop-and-copy)."""
        return tuple(now - then for now, then in
                     zip(self._counters(), self.before))

    def show(self, info):
        """Print a line about the progress."""
        ram, rate = info.get("ram", {}), self.source.guest.rate()
        parts = [f"{time.monotonic() - self.begun:5.1f} s",
                 f"{info.get('status', 'none'):9}",
                 f"{self.source.device.state():>13} -> "
                 f"{self.destination.device.state():8}",
                 f"state {sum(self.sent()) / MIB:5.1f} MiB",
                 f"memory {ram.get('transferred', 0) / MIB:5.1f} MiB, "
                 f"{ram.get('remaining', 0) / MIB:5.1f} left, "
                 f"{ram.get('dirty-pages-rate', 0):4} pages/s dirtied",
                 "guest silent" if rate is None else
                 f"guest {rate:3.0f} I/O/s"]
        say("   " + " | ".join(parts))

    def watch(self, until=ENDED, timeout=180, interval=1.0):
        """Show the progress until the migration has one of these statuses.

        Return query-migrate's report.
        """
        end = time.monotonic() + timeout
        while True:
            info = self.query()
            status = info.get("status")
            now = time.monotonic()
            if not self.quiet and (status in until or
                                   now - self.last >= interval):
                self.last = now
                self.show(info)
            if status in until:
                return info
            if now > end:
                raise MigrationError(f"{self.source.name}: still {status} "
                                     f"after {timeout} s")
            time.sleep(0.05)

    def copies(self):
        """Return how many buffers of device state QEMU (began to copy, has copied)."""
        return tuple(now - then for now, then in zip(self._copies(), self.copied))

    def _copies(self):
        begun = ("vfio_save_buffer" if self.source.qemu.v1 else
                 "vfio_save_block")
        return tuple(len(self.source.traced(event)) for event in
                     (begun, "vfio_save_iterate"))

    def hold(self, timeout=90):
        """Wait for some of the device's state, then keep the migration from ending.

        The guest has to be busy. Then QEMU cannot finish the guest's memory with so
        little bandwidth, and sends no more device state.
        """
        end = time.monotonic() + timeout
        while not self.copies()[0]:
            if self.query().get("status") in ENDED:
                raise MigrationError("the migration ended too early to be "
                                     "disturbed in pre-copy")
            if time.monotonic() > end:
                raise MigrationError("the device's state does not flow")
            time.sleep(0.01)
        self.bandwidth(TRICKLE)
        if self.source.device.state() != "pre-copy":
            raise MigrationError("the device is not in pre-copy but "
                                 f"{self.source.device.state()}")

    def bandwidth(self, bytes_per_second):
        """Change the bandwidth while the migration continues."""
        self.source.qmp.execute("migrate-set-parameters",
                                max_bandwidth=bytes_per_second)

    def finish(self, timeout=180):
        """Wait until the migration has succeeded, and the guest is on the destination."""
        info = self.watch(timeout=timeout)
        if info["status"] != "completed":
            raise MigrationError(
                f"{info['status']}: {info.get('error-desc', 'no reason given')}"
                f"; source: {self.source.errors()}; destination: "
                f"{self.destination.errors()}")
        self.source.guest.machine = self.destination
        self.destination.wait_loaded(30)
        # QEMU reports the durations a moment after the status "completed".
        return self.query()

    def cancel(self):
        """Cancel the migration, and wait until QEMU has cancelled it."""
        self.source.qmp.execute("migrate_cancel")
        info = self.watch()
        if info["status"] != "cancelled":
            raise MigrationError(f"cancelled, but it is {info['status']}")


def migrate(source, destination, quiet=False, capabilities=()):
    """Migrate live; return (Migration, QEMU's final report)."""
    migration = Migration(source, destination, quiet, capabilities)
    migration.start()
    return migration, migration.finish()

