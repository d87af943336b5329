# SPDX-License-Identifier: GPL-2.0-only
"""U-Boot's NVMe driver on an mnvme device, migrated in the middle of its work.

U-Boot has another driver than Linux: one command at a time, in queues of two entries, by
PRPs, and without interrupts.
"""

import re

from bench import Failure, expect
from console import Console, Firmware
from live import MIB, say

IMAGE = "/usr/lib/u-boot/qemu-x86/u-boot.rom"
SIZE_MIB = 64
BLOCK = 512

WORDS, BLOCKS = MIB // 4, MIB // BLOCK
END = SIZE_MIB * BLOCKS

# Where U-Boot reads a MiB to, in the guest's memory.
BACK = 0x2000000
# The last MiB below 4 GiB is U-Boot itself, data without a pattern. Two copies of it are
# at OUT, and a MiB to write begins so many bytes behind OUT as is the number of its first
# block. U-Boot cannot add, but it can put the digits of a variable behind others.
ROM, OUT = 0xfff00000, 0x4000000
DIGITS = 5
DATA = f"{OUT >> 4 * DIGITS:x}$b"

# More than a migration takes, and as much as U-Boot's command line holds.
ROUNDS = " ".join(str(n) for n in range(10))
CONTROL_C = "\x03"

# How often the end of the disk is looked for.
ENDS = 4


class GaveUp(Failure):
    """U-Boot did not wait long enough for a completion.

    It waits 3 seconds, by a clock that can be too fast. Then it prints an error without a
    status, and goes on. The completion comes later, and U-Boot takes it for the one of
    the next command. From then on each command has the status of the command before it,
    and a read behind the end of the disk is "OK".
    """


def check_answered(said):
    """Fail if there is an error without a status."""
    at = said.find(" 0 blocks")
    if at >= 0 and "status" not in said:
        raise GaveUp(f"U-Boot gave a command up: {said[max(0, at - 200):at + 100].strip()}")


def check(said):
    """Fail if U-Boot reports an error."""
    check_answered(said)
    expect("ERROR" not in said and "!=" not in said, f"U-Boot says {said.strip()[-300:]}")


class UBoot(Firmware):
    """U-Boot at its prompt, with a disk.

    On q35 it finds no functions, so it has a pc. A disk with blocks of 4 KiB is too much
    for U-Boot 2023.01: part_test_mac() reads a block into 512 bytes of the stack.
    """

    def __init__(self, lab):
        super().__init__(lab, "64M", Console("U-Boot", "=> "), firmware=IMAGE,
                         machine_type="pc")
        self.start()

    def read_one(self, at):
        """What U-Boot prints about one block that it reads.

        It caches what it reads, so each block is read once only.
        """
        return self.console.ask(f"nvme read {BACK:x} {at:x} 1")

    def over_and_over(self, command, done):
        """A command for each MiB, again and again, and a migration in the middle.

        After the migration it goes at least once over all of the disk.
        """
        places = " ".join(f"{n * BLOCKS:0{DIGITS}x}" for n in range(SIZE_MIB))
        self.console.start(f"for r in {ROUNDS}; do for b in {places}; do {command}; done; "
                           "done")
        said = self.console.wait(done, 60)
        self.move()
        before = self.console.take()
        expect(self.console.prompt not in before,
               f"U-Boot ended before it had moved: {before.strip()[-300:]}")
        said += before + "\n(it has moved)\n"
        for _ in range(SIZE_MIB):
            said += self.console.wait(done, 60)
        self.machine.type(CONTROL_C)
        said += self.console.wait(self.console.prompt, 60)
        check(said)
        say(f"# {before.count(done) + 1} MiB until the guest had moved, {SIZE_MIB} after "
            "that")


def finds_the_disk(disk):
    """U-Boot finds the disk, its size and its end"""
    disk.console.ask("nvme scan")
    said = disk.console.ask("nvme info")
    size = re.search(r"\((\d+) x (\d+)\)", said)
    expect(size and [int(n) for n in size.groups()] == [END, BLOCK],
           f"nvme info says {said.strip()}")
    knows_the_end(disk)


def writes(disk):
    """U-Boot writes all of the disk, and moves meanwhile"""
    for place in OUT, OUT + MIB:
        disk.console.ask(f"cp.l {ROM:x} {place:x} {WORDS:x}")
    disk.over_and_over(f"nvme write {DATA} $b {BLOCKS:x}",
                       f"{BLOCKS} blocks written: OK")


def reads_and_compares(disk):
    """U-Boot reads and compares all of the disk, and moves meanwhile"""
    # Each page that the guest never touched takes a fault, and for so many of them
    # U-Boot does not wait where the processor is emulated.
    disk.console.ask(f"cp.l {ROM:x} {BACK:x} {WORDS:x}")
    disk.over_and_over(f"nvme read {BACK:x} $b {BLOCKS:x}; "
                       f"cmp.l {DATA} {BACK:x} {WORDS:x}",
                       f"Total of {WORDS} word(s) were the same")


def knows_the_end(disk):
    """each status is that of its own command, up to the end of the disk and behind it"""
    for n in range(ENDS):
        said = disk.read_one(END - 1 - n)
        check(said)
        expect("1 blocks read: OK" in said, f"in the disk: {said.strip()}")
        said = disk.read_one(END + n)
        check_answered(said)
        expect("ERROR: status" in said, f"behind the disk: {said.strip()}")


TESTS = (finds_the_disk, writes, reads_and_compares, knows_the_end)
