#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The QEMUs that migrate, and what each can do, found by asking it.

Outside of the VM: qemus.py NAME PROGRAM... prints what it found as JSON, and fails
with a message if one of them cannot be used. in-vm passes that to the scripts in the VM,
as QEMUS; QEMU and OTHER_QEMU name the one that is asked for, and the other one.
"""

import json
import os
import re
import subprocess
import sys

# The oldest that every QEMU here has, so that a guest can go from any to any; where
# one has it no more, the newest that all have.
MACHINE_TYPE = "pc-q35-7.2"

# What attaches a device to iommufd instead of a container.
IOMMUFD = bool(os.environ.get("IOMMUFD"))


class QemuError(Exception):
    """Why a QEMU cannot be used, for a person."""


class Qemu:
    """A QEMU: its name here, its program, its version, and what it offers."""

    def __init__(self, name, program, version, v1, properties, machines):
        self.name, self.program, self.version = name, program, version
        self.v1 = v1                    # it speaks v1 with devices, else v2
        self.properties = properties    # of vfio-pci
        self.machines = machines        # types of q35, the newest last

    def __str__(self):
        return f"QEMU {self.version}"

    @property
    def enable(self):
        """The property that lets a device migrate.

        To 8.0 it was an experiment. Later ones allow it by themselves, but only if
        the device or the IOMMU tracks what is written, and not on Debian's kernels.
        """
        return ("enable-migration" if "enable-migration" in self.properties else
                "x-enable-migration")

    def pre_copy(self):
        """Whether it does pre-copy here: before 6.2 the kernel's v2 had none."""
        release = tuple(int(n) for n in os.uname().release.split(".")[:2])
        return self.v1 or release >= (6, 2)


def _ask(program, *options):
    try:
        return subprocess.run([program, *options], check=False, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors="replace").stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QemuError(f"{program}: {error}") from error


def _machines(program):
    """Types of q35, sorted by their numbers."""
    types = re.findall(r"^(pc-q35-(\d+)\.(\d+))\b", _ask(program, "-machine", "help"),
                       re.M)
    return [name for name, *_ in sorted(types, key=lambda t: (int(t[1]), int(t[2])))]


def _speaks_v1(program, version):
    """By what it can trace, which distributions' backports do not belie."""
    events = _ask(program, "-trace", "help")
    if "vfio_save_block" in events:
        return False
    if "vfio_save_buffer" in events:
        return True
    return int(version.split(".", maxsplit=1)[0]) < 8


def probe(name, program):
    """Ask a program what it is."""
    text = _ask(program, "-version")
    version = re.search(r"QEMU emulator version (\d+\.\d+[\d.]*)", text)
    if not version:
        raise QemuError(f"QEMU={name} does not run: {text.strip()[:400]}")
    properties = re.findall(r"^ +([\w-]+)=<",
                            _ask(program, "-device", "vfio-pci,help"), re.M)
    qemu = Qemu(name, program, version[1], _speaks_v1(program, version[1]), properties,
                _machines(program))
    what = f"QEMU={name} ({version[1]})"
    if not properties:
        raise QemuError(f"{what} has no device vfio-pci: build it with CONFIG_VFIO")
    if qemu.enable not in properties:
        raise QemuError(f"{what} cannot migrate VFIO devices: its vfio-pci has no "
                        "property enable-migration or x-enable-migration")
    if not qemu.machines:
        raise QemuError(f"{what} has no machine of type q35")
    if IOMMUFD and "iommufd" not in properties:
        raise QemuError(f"{what} knows no iommufd, which IOMMUFD asks for")
    return qemu


def _known():
    return {name: Qemu(**found) for name, found in
            json.loads(os.environ.get("QEMUS", "{}")).items()}


KNOWN = _known()
HOME = KNOWN.get(os.environ.get("QEMU", ""))
OTHER = KNOWN.get(os.environ.get("OTHER_QEMU", ""))


def common_machine():
    """The type of machine for guests that go from one QEMU to another, or None."""
    common = [t for t in HOME.machines
              if all(t in qemu.machines for qemu in KNOWN.values())]
    if MACHINE_TYPE in common:
        return MACHINE_TYPE
    return common[-1] if common else None


def main():
    """Command line: NAME PROGRAM, for each."""
    found = {}
    try:
        for name, program in zip(sys.argv[1::2], sys.argv[2::2]):
            found[name] = vars(probe(name, program))
    except QemuError as error:
        print(f"qemus: {error}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
