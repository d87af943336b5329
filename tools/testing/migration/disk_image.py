#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Build the image of a disk that a guest boots from.

The disk is like that of an installed system. Its boot loader is in the master boot
record and on the first partition, next to the stock Debian kernel and an initramfs.
The second partition has the root file system, and the third is for the guest's work.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile

from guest_image import (DIRECTORIES, HERE, ImageError, beside, build_initramfs, busybox,
                         guest_files, module_paths, run)

MBR = "/usr/lib/syslinux/mbr/mbr.bin"

SECTOR = 512
ALIGNMENT = 2048        # sectors, the default of partitioning programs
FAT, LINUX = 0x0e, 0x83
# Space for the boot loader itself, next to the kernel and its initramfs.
BOOT_SPARE = 2 << 20

CONFIG = """\
DEFAULT linux
PROMPT 0
LABEL linux
  LINUX vmlinuz
  INITRD initrd
  APPEND console=ttyS0 quiet panic=-1 mitigations=off nokaslr
"""


def build_boot(path, bzimage, modules, scratch):
    """Make the partition of the boot loader."""
    initrd = os.path.join(scratch, "initrd")
    build_initramfs(initrd, {"/init": os.path.join(HERE, "guest/boot"),
                             "/bin/busybox": busybox(), **module_paths(modules)})
    config = os.path.join(scratch, "syslinux.cfg")
    with open(config, "w", encoding="ascii") as f:
        f.write(CONFIG)
    size = os.path.getsize(bzimage) + os.path.getsize(initrd) + BOOT_SPARE
    run("mkfs.fat", "-h", str(ALIGNMENT), "-C", path, str(max(size, 24 << 20) >> 10))
    for source, name in ((bzimage, "vmlinuz"), (initrd, "initrd"),
                         (config, "syslinux.cfg")):
        run("mcopy", "-i", path, os.path.realpath(source), f"::{name}")
    run("syslinux", "--install", path)


def build_root(path, scratch):
    """Make the partition of the root file system, no larger than its contents need."""
    tree = os.path.join(scratch, "root")
    for directory in DIRECTORIES:
        os.makedirs(tree + directory, exist_ok=True)
    for target, source in guest_files(scratch, "/dev/nvme0n1p3").items():
        os.makedirs(os.path.dirname(tree + target), exist_ok=True)
        shutil.copy(source, tree + target)
        os.chmod(tree + target, 0o755)
    size = sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(tree) for name in names)
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, path,
        f"{(size * 5 // 4 >> 20) + 4}M")


def entry(kind, start, sectors, active=False):
    """Return a partition's entry in the master boot record, by sector numbers only."""
    return struct.pack("<B3sB3sII", 0x80 if active else 0, b"\xfe\xff\xff", kind,
                       b"\xfe\xff\xff", start, sectors)


def build(path, bzimage, modules, work_mib):
    """Make the image."""
    with tempfile.TemporaryDirectory() as scratch:
        parts = [os.path.join(scratch, name) for name in ("boot.img", "root.img")]
        build_boot(parts[0], bzimage, modules, scratch)
        build_root(parts[1], scratch)
        with open(MBR, "rb") as f:
            record = f.read(440).ljust(446, b"\0")
        start = ALIGNMENT
        with beside(path) as new, open(new, "wb") as image:
            for kind, part in zip((FAT, LINUX), parts):
                sectors = os.path.getsize(part) // SECTOR
                record += entry(kind, start, sectors, active=kind == FAT)
                image.seek(start * SECTOR)
                with open(part, "rb") as f:
                    shutil.copyfileobj(f, image)
                start += -(-sectors // ALIGNMENT) * ALIGNMENT
            record += entry(LINUX, start, (work_mib << 20) // SECTOR)
            image.seek(0)
            image.write(record.ljust(510, b"\0") + b"\x55\xaa")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="the file to be made")
    parser.add_argument("kernel", help="directory with vmlinuz and modules/, "
                        "as tools/testing/vm/kernel prints it")
    parser.add_argument("--work-mib", type=int, default=256,
                        help="size of the partition for the work")
    args = parser.parse_args()
    try:
        build(args.image, os.path.join(args.kernel, "vmlinuz"),
              os.path.join(args.kernel, "modules"), args.work_mib)
    except (ImageError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"disk image: {error}")


if __name__ == "__main__":
    main()
