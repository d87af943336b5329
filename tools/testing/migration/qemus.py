#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The QEMUs of a run, and the features of each, found by asking the program.

Outside of the VM, qemus.py NAME PROGRAM... prints the features as JSON. It fails with a
message if a QEMU cannot be used. in-vm passes the JSON in QEMUS to the scripts in the VM.
QEMU is the name of the QEMU under test, and OTHER_QEMU that of a second one.
"""

import json
import os
import re
import subprocess
import sys

# The preferred machine type. Debian's QEMUs all have it, so a guest can move between any
# two of them.
MACHINE_TYPE = "pc-q35-7.2"

# Whether QEMU attaches devices to iommufd instead of a container.
IOMMUFD = bool(os.environ.get("IOMMUFD"))


class QemuError(Exception):
    """A message that says why a QEMU cannot be used."""


class Qemu:
    """A QEMU: its name here, its program, its version, and its features."""

    def __init__(self, name, program, version, v1, properties, machines):
        self.name, self.program, self.version = name, program, version
        self.v1 = v1                    # true for v1, false for v2
        self.properties = properties    # the properties of vfio-pci
        self.machines = machines        # the q35 machine types, the newest last

    def __str__(self):
        return f"QEMU {self.version}"

    @property
    def enable(self):
        """The property that permits a device to migrate.

        Its name has an "x-" up to QEMU 8.0, because it was experimental. Later QEMUs do
        not need the property if the device or the IOMMU tracks dirty pages. On Debian's
        6.12 and 7.3 neither does.
        """
        return ("enable-migration" if "enable-migration" in self.properties else
                "x-enable-migration")

    def pre_copy(self):
        """Return whether QEMU and this kernel do pre-copy.

        v2 has it from Linux 6.2 and from QEMU 8.1 on, and QEMU 8.1 renamed the property.
        """
        release = tuple(int(n) for n in os.uname().release.split(".")[:2])
        return self.v1 or (self.enable == "enable-migration" and release >= (6, 2))

    def any_downtime(self):
        """Return the migration parameter that permits any amount of data in the downtime.

        avail-switchover-bandwidth is the better one, because it limits nothing else. QEMU
        has it from 8.2 on.
        """
        version = tuple(int(n) for n in self.version.split(".")[:2])
        if version >= (8, 2):
            return {"avail_switchover_bandwidth": 1 << 40}
        return {"downtime_limit": 2000000}


def _ask(program, *options):
    try:
        return subprocess.run([program, *options], check=False, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors="replace").stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QemuError(f"{program}: {error}") from error


def _machines(program):
    """Return the q35 machine types, sorted by version."""
    types = re.findall(r"^(pc-q35-(\d+)\.(\d+))\b", _ask(program, "-machine", "help"),
                       re.M)
    return [name for name, *_ in sorted(types, key=lambda t: (int(t[1]), int(t[2])))]


def _speaks_v1(program, version):
    """Return whether a QEMU speaks v1, by its trace events.

    The version alone can be wrong, because distributions backport features.
    """
    events = _ask(program, "-trace", "help")
    if "vfio_save_block" in events:
        return False
    if "vfio_save_buffer" in events:
        return True
    return int(version.split(".", maxsplit=1)[0]) < 8


def probe(name, program):
    """Ask a program for its features; return a Qemu."""
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
    # -d help has this line only if QEMU's build has the trace backend "log".
    if "trace:PATTERN" not in _ask(program, "-d", "help"):
        raise QemuError(f"{what} writes no trace log, and the tests read it: build it with "
                        "--enable-trace-backends=log, the default")
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
    """Return the machine type for all guests, or None if the QEMUs share no type.

    This is MACHINE_TYPE if all QEMUs have it, else the newest type that all have.
    """
    common = [t for t in HOME.machines
              if all(t in qemu.machines for qemu in KNOWN.values())]
    if MACHINE_TYPE in common:
        return MACHINE_TYPE
    return common[-1] if common else None


def main():
    """Command line: NAME PROGRAM for each QEMU."""
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
