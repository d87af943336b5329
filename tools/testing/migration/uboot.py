# SPDX-License-Identifier: GPL-2.0-only
"""U-Boot's NVMe driver on an mnvme device, migrated in the middle of its work.

U-Boot's driver differs from Linux's. It has one command at a time, in queues of two
entries, uses PRPs, and polls without interrupts.
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

# The address in the guest's memory to which U-Boot reads a MiB.
BACK = 0x2000000
# The last MiB below 4 GiB is U-Boot itself, data without a pattern. Two copies of it are
# at OUT. The data for a MiB of the disk begin at OUT plus the number of its first block, so
# each MiB has other data. U-Boot's shell cannot add, but it can join digits.
ROM, OUT = 0xfff00000, 0x4000000
DIGITS = 5
DATA = f"{OUT >> 4 * DIGITS:x}$b"

# Rounds that take longer than a migration, and still fit into U-Boot's command line.
ROUNDS = " ".join(str(n) for n in range(10))
CONTROL_C = "\x03"

# The number of blocks to read on each side of the disk's end.
ENDS = 4


class GaveUp(Failure):
    """U-Boot did not wait long enough for a completion.

    U-Boot waits 3 seconds, by a clock that can be too fast. Then it prints an error without
    a status, and continues. The completion arrives later, and U-Boot takes it for that of
    the next command. From then on each command has the status of the command before it,
    and a read behind the end of the disk is "OK".
    """


def check_answered(said):
    """Fail if U-Boot's output has an error without a status."""
    at = said.find(" 0 blocks")
    if at >= 0 and "status" not in said:
        raise GaveUp(f"U-Boot gave a command up: {said[max(0, at - 200):at + 100].strip()}")


def check(said):
    """Fail if U-Boot reports an error."""
    check_answered(said)
    expect("ERROR" not in said and "!=" not in said, f"U-Boot says {said.strip()[-300:]}")


class UBoot(Firmware):
    """U-Boot at its prompt, with a disk.

    The machine is a pc, because U-Boot finds no functions on q35. The disk's blocks are
    not 4 KiB, because part_test_mac() of U-Boot 2023.01 reads a block into 512 bytes of the
    stack.
    """

    def __init__(self, lab):
        super().__init__(lab, "64M", Console("U-Boot", "=> "), firmware=IMAGE,
                         machine_type="pc")
        self.start()

    def read_one(self, at):
        """Read one block; return U-Boot's output.

        Read each block only once, because U-Boot caches blocks.
        """
        return self.console.ask(f"nvme read {BACK:x} {at:x} 1")

    def over_and_over(self, command, done):
        """Repeat a command for each MiB, and migrate in the middle.

        After the migration the command runs at least once for each MiB of the disk.
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
    # Touch the memory first, because each untouched page takes a fault. With an emulated
    # processor U-Boot would not wait long enough for so many faults.
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
