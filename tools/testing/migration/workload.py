# SPDX-License-Identifier: GPL-2.0-only
"""The guest's work on its disk, controlled from outside of the guest."""

import time

from guest import MachineError


class Workload:
    """fio and files on an ext4 file system in the guest (guest/functions).

    If there are several disks, fio uses each further disk as a whole, without a file
    system.
    """

    def __init__(self, guest, base_mib=64, disks=1):
        self.guest = guest
        self.base_mib = base_mib
        self.disks = disks

    def prepare(self):
        """Make the file system, and the file for fio's reader."""
        self.guest.check(f"prepare {self.base_mib}", 240)

    def start(self):
        """Start the reads and writes, and wait for the first of them."""
        self.guest.check(f"start_work {self.disks}")
        end = time.monotonic() + 90
        while True:
            if self.guest.rate():
                return
            if time.monotonic() > end:
                log = self.guest.call("cat /tmp/failed /tmp/round.err")[1]
                raise MachineError("; ".join(["the guest's fio does not get "
                                              "going", *log]))
            time.sleep(0.2)

    def finish(self, timeout=240):
        """Let the present round end; return the number of blocks verified so far.

        The timeout is for a time without I/O, because a busy machine can take longer. The
        limit for the whole wait is four times the timeout.
        """
        self.guest.check("stop_work")
        begun = moved = time.monotonic()
        while not self.guest.until("work_is_over", 10):
            now = time.monotonic()
            if self.guest.rate():
                moved = now
            if now - moved > timeout or now - begun > 4 * timeout:
                log = self.guest.call("cat /sys/block/nvme0n1/inflight; waiting; "
                                      "dmesg | tail -n 8; uptime", 240)[1]
                raise MachineError("; ".join(["the guest's fio does not come "
                                              "to its end", *log]))
        rounds = self.guest.check("cat /tmp/rounds")
        status, failed = self.guest.call("cat /tmp/failed")
        if status == 0 or not rounds:
            log = self.guest.call("cat /tmp/round.err /tmp/round")[1]
            raise MachineError("; ".join(["the work failed", *failed, *log]))
        return sum(int(n) for n in rounds)

    def verify(self):
        """Read everything back; return {"blocks": N, "files": N}."""
        status, lines = self.guest.call("verify_all", 240)
        if status:
            log = self.guest.call("tail -n 4 /tmp/base.log "
                                  "/tmp/round.err /tmp/sums.log /tmp/fsck.log"
                                  )[1]
            raise MachineError("; ".join(["verification failed", *lines, *log]))
        return {word: int(n) for word, n in (line.split() for line in lines)}

    def check_log(self):
        """Raise an error if the guest's kernel log shows trouble."""
        trouble = self.guest.check("kernel_trouble")
        if trouble:
            raise MachineError("in the guest's kernel log: " +
                               "; ".join(trouble[:5]))
