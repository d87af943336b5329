# SPDX-License-Identifier: GPL-2.0-only
"""nvme-cli in the guest, value by value.

The expected values come from the NVMe specification, from
Documentation/driver-api/mnvme.rst and from the mdev's files in sysfs. The tests use the
guest's second device, which has no file system. Their blocks are behind those of the
guest's work.
"""

import base64
import gzip
import json
import re

from bench import expect, needs
from live import MIB, say

SIZE = 64 * MIB
BLOCK = 512
BLOCKS = SIZE // BLOCK
FIRST = BLOCKS // 2

# Status with Do Not Retry and More, as nvme-cli prints it.
COMPARE_FAILURE, COPY_LIMIT, LBA_RANGE = 0x6285, 0x6183, 0x6080
INVALID_OPCODE, INVALID_FIELD = 0x6001, 0x6002

CONTROLLER = {
    "mn": "mnvme mediated NVMe controller", "fr": "1.0", "cmic": 0, "mdts": 8,
    "ver": 0x10400, "cntrltype": 1, "oaes": 0, "oacs": 0x100, "acl": 3, "aerl": 3,
    "frmw": 3, "lpa": 6, "elpe": 63, "npss": 0, "wctemp": 343, "cctemp": 373,
    "sqes": 0x66, "cqes": 0x44, "nn": 1, "oncs": 0x19d, "fuses": 0, "fna": 0,
    "vwc": 6, "awun": 0, "awupf": 0, "nwpc": 0, "ocfs": 1, "sgls": 0x50001,
}

NAMESPACE = {
    "nsze": BLOCKS, "ncap": BLOCKS, "nsfeat": 0x11, "nlbaf": 0, "flbas": 0, "mc": 0,
    "dpc": 0, "dps": 0, "nmic": 0, "rescap": 0, "dlfeat": 9, "nvmcap": str(SIZE),
    "npwg": 7, "npwa": 7, "npdg": 7, "npda": 7, "nows": 0, "mssrl": 2048,
    "mcl": 2048, "msrc": 127, "lbafs": [{"ms": 0, "ds": 9, "rp": 0}],
}

HEALTH = {
    "critical_warning": 0, "temperature": 310, "avail_spare": 100, "spare_thresh": 10,
    "percent_used": 0, "media_errors": "0", "power_cycles": "1",
    "temperature_sensor_1": 310,
}

# Feature: its value after a reset, a value to set or None, more options.
FEATURES = {
    1: (0, 5, ""), 2: (0, 0, ""), 4: (0x157, 0x160, ""), 5: (0, 9, "-n 1"),
    8: (0, 0x102, ""), 9: (1, None, "-c 1"), 10: (0, 1, ""), 11: (0, None, ""),
    7: (0x3f003f, None, ""),
}

# Opcode: the effects in the log. Bit 0: supported. Bit 1: the command changes blocks.
ADMIN_EFFECTS = {n: 1 for n in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c)}
IO_EFFECTS = {0: 1, 1: 3, 2: 1, 5: 1, 8: 3, 9: 3, 0x0c: 1, 0x19: 3}

# Commands on blocks, each with its status. {N} is block N of those that the tests use.
COMMANDS = (
    ("write -s {0} -c 15 -z 8192 -d /tmp/a", 0),
    ("read -s {0} -c 15 -z 8192 -d /tmp/r", 0),
    ("compare -s {0} -c 15 -z 8192 -d /tmp/a", 0),
    ("compare -s {8} -c 7 -z 4096 -d /tmp/a", COMPARE_FAILURE),
    ("copy -d {64} -s {8},{0} -b 7,7", 0),
    ("compare -s {64} -c 15 -z 8192 -d /tmp/b", 0),
    ("copy -d {64} -s {8} -b 2048", COPY_LIMIT),
    ("copy -d {64} -s {end} -b 0", LBA_RANGE),
    ("verify -s {0} -c 15", 0),
    ("verify -s {end} -c 0", LBA_RANGE),
    ("write-zeroes -s {0} -c 7", 0),
    ("compare -s {0} -c 7 -z 4096 -d /tmp/zero", 0),
    ("dsm -s {8} -b 8 -d", 0),
    ("compare -s {8} -c 7 -z 4096 -d /tmp/zero", 0),
    ("flush", 0),
    ("format -l 0 --force", INVALID_OPCODE),
    ("read -s {end} -c 0 -z 512 -d /tmp/x", LBA_RANGE),
)
READS = 5       # successful Read and Compare commands
WRITES = 1
LAST = 64       # the block at which the data are at the end, second half first


class Cli:
    """nvme-cli on one device of the guest."""

    def __init__(self, guest, serial):
        self.guest = guest
        self.name, self.disk = guest.check(f"controller_of {serial}")[-1].split()

    def run(self, command, disk=False):
        """Run a command of nvme-cli; return its NVMe status and output."""
        word, _, rest = command.partition(" ")
        where = self.disk if disk else self.name
        # Compress the output, because a serial port that is emulated twice is slow.
        packed = self.guest.check(f"{{ /usr/sbin/nvme {word} /dev/{where} {rest}; "
                                  "echo $?; } 2>&1 | gzip | base64 -w 0", 180)
        output = gzip.decompress(base64.b64decode("".join(packed)))
        text, _, status = output.decode(errors="replace").strip().rpartition("\n")
        if status == "0":
            return 0, text
        found = re.search(r"\(0x([0-9a-f]+)\)", text)
        expect(found, f"nvme {command}: {text}")
        return int(found[1], 16), text

    def json(self, command, disk=False):
        """Run a command that has to succeed; return its output, parsed."""
        status, text = self.run(f"{command} -o json", disk)
        expect(not status, f"nvme {command}: status {status:#x}")
        return json.loads(text)

    def feature(self, number, besides="", select=0):
        """Return a feature's value."""
        status, text = self.run(f"get-feature -f {number} -s {select} {besides}")
        expect(not status, f"feature {number}: status {status:#x}")
        return int(re.search(r"value:\s*(?:0x)?([0-9a-f]+)", text)[1], 16)

    def health(self):
        """Return the health log's counters, as numbers."""
        return {name: int(value)
                for name, value in self.json("smart-log").items()}


def same(what, found, wanted):
    """Compare the values found with those wanted."""
    for name, value in wanted.items():
        got = found.get(name)
        if isinstance(got, str):
            got = got.strip()
        expect(got == value, f"{what}: {name} is {got}, not {value}")


def identity_of(cli, device):
    """Return the UUID that came with the data. sysfs only has the serial number."""
    found = cli.json("ns-descs", True)["ns-descs"]
    uuid = next(d["uuid"] for d in found if "uuid" in d)
    serial = uuid[:8] + uuid[24:]
    expect(serial == device.serial(), f"{uuid}, but the serial is {device.serial()}")
    return uuid


def identify(cli, identity):
    """Check Identify; identity is the UUID that came with the data."""
    plain = identity.replace("-", "")
    same("id-ctrl", cli.json("id-ctrl"), {
        **CONTROLLER, "sn": plain[:8] + plain[20:],
        "subnqn": f"nqn.2014-08.org.nvmexpress:uuid:{identity}"})
    same("id-ns", cli.json("id-ns", True), {**NAMESPACE, "nguid": plain})
    same("list-ns", cli.json("list-ns"), {"nsid_list": [{"nsid": 1}]})
    found = {k: v for d in cli.json("ns-descs", True)["ns-descs"] for k, v in d.items()}
    same("ns-descs", found, {"nguid": plain, "uuid": identity})
    same("fw-log", list(cli.json("fw-log").values())[0],
         {"Active Firmware Slot (afi)": 1})


def effects(cli):
    """Check each opcode in the log Commands Supported and Effects."""
    # The whole log would take long on a serial port.
    _, text = cli.run("get-log -i 5 -l 2048 -b | hexdump -v -e '1/4 \"%08x\\n\"' | "
                      "awk '$1 != \"00000000\" { print NR - 1, $1 }'")
    found = {int(n): int(v, 16) for n, v in (l.split() for l in text.splitlines())}
    wanted = {**ADMIN_EFFECTS, **{256 + n: v for n, v in IO_EFFECTS.items()}}
    expect(found == wanted, f"effects-log: {found}")


def memory(cli, device):
    """Return the bytes in use, and check that namespace and mdev report the same."""
    used = cli.json("id-ns", True)["nuse"] * BLOCK
    expect(used == device.memory_used(),
           f"nuse is {used} bytes, sysfs has {device.memory_used()}")
    return used


def commands(cli, device):
    """Check I/O commands: status, data, counters and error log."""
    cli.guest.check("dd if=/dev/urandom of=/tmp/a bs=4096 count=2; "
                    "dd if=/tmp/a of=/tmp/b bs=4096 skip=1; "
                    "head -c 4096 /tmp/a >>/tmp/b; head -c 4096 /dev/zero >/tmp/zero")
    places = {"0": FIRST, "8": FIRST + 8, "64": FIRST + 64, "end": BLOCKS}
    before, used = cli.health(), memory(cli, device)
    for command, wanted in COMMANDS:
        for name, block in places.items():
            command = command.replace(f"{{{name}}}", str(block))
        status, _ = cli.run(command, True)
        expect(status == wanted, f"{command}: status {status:#x}, not {wanted:#x}")
    errors(cli)
    cli.guest.check("cmp /tmp/a /tmp/r")
    # COMMANDS zeroed two pages, and the two copied pages are left.
    expect(memory(cli, device) == used + 8192, "memory that is not given back")
    after = cli.health()
    same("smart-log", after, {n: int(v) for n, v in HEALTH.items()})
    for name, number in (("host_read_commands", READS), ("host_write_commands", WRITES)):
        done = after[name] - before[name]
        expect(done == number, f"{name} grew by {done}, not {number}")


def errors(cli):
    """Check the error log, after a Read behind the end."""
    log = cli.json("error-log -e 2")["errors"]
    expect(log[0]["error_count"] == log[1]["error_count"] + 1, "error-log: the order")
    same("error-log", log[0], {"status_field": LBA_RANGE, "lba": BLOCKS, "nsid": 1,
                               "parm_error_location": 40, "phase_tag": 0})
    expect(log[0]["sqid"] > 0, "error-log: not of an I/O queue")
    expect(cli.health()["num_err_log_entries"] == log[0]["error_count"],
           "smart-log has another number of errors")


def data_units(cli):
    """Check that a MiB, in four commands, is 2 or 3 data units in the health log.

    A data unit is 1000 times 512 bytes.
    """
    before = cli.health()
    cli.guest.check("dd if=/dev/urandom of=/tmp/m bs=256k count=1")
    for command in ("write", "read") * 4:
        status, _ = cli.run(f"{command} -s {FIRST + 4096} -c 511 -z 262144 -d /tmp/m",
                            True)
        expect(not status, f"{command} of 256 KiB: status {status:#x}")
    after = cli.health()
    for name in ("data_units_read", "data_units_written"):
        expect(after[name] - before[name] in (2, 3),
               f"{name} is {after[name]}, was {before[name]}")


def features(cli):
    """Check the features' values after a reset, and set others."""
    for number, (default, value, besides) in FEATURES.items():
        expect(cli.feature(number, besides, 1) == default, f"feature {number}: default")
        if value is None:
            continue
        status, _ = cli.run(f"set-feature -f {number} -v {value} "
                            f"{besides if 'n' in besides else ''}")
        expect(not status, f"feature {number}: status {status:#x}")
    set_features(cli)
    # Feature 6 is the volatile write cache, which mnvme does not have.
    expect(cli.run("set-feature -f 6 -v 1")[0] == INVALID_FIELD, "feature 6")


def set_features(cli):
    """Check that the features still have the values that features() set."""
    for number, (_, value, besides) in FEATURES.items():
        if value is not None:
            found = cli.feature(number, besides)
            expect(found == value, f"feature {number} is {found:#x}, not {value:#x}")


def registers(cli):
    """Check the registers. Programs in the guest may map them (APPEND in machine.py)."""
    # nvme-cli 2.3 prints the registers, and ends with status 1.
    found = json.loads(cli.run("show-regs -o json || :")[1])
    same("show-regs", found, {"vs": 0x10400, "csts": 1, "intms": 0})
    expect(found["cap"] & 0xffff == 4095 and found["cap"] >> 37 & 1,
           f"CAP is {found['cap']:#x}")
    expect(found["cc"] & 1, "CC.EN is off")


def reset(cli):
    """Check that a controller reset restores the features."""
    status, text = cli.run("reset")
    expect(not status, f"reset: {text}")
    expect(cli.guest.until(f"grep live /sys/class/nvme/{cli.name}/state", 60),
           "not live after a reset")
    for number, (default, _, besides) in FEATURES.items():
        if number not in (7, 11):       # the guest's driver sets these
            expect(cli.feature(number, besides) == default, f"feature {number}")
    # The driver logs the reset, so clear the log that Workload.check_log() reads.
    cli.guest.check("dmesg -c >/dev/null")


def moved(cli, bench, identity, before):
    """Check that a migration has changed nothing."""
    device = bench.machine.devices[1]
    identify(cli, identity)
    effects(cli)
    set_features(cli)
    after = cli.health()
    for name in ("data_units_read", "data_units_written", "host_read_commands",
                 "host_write_commands", "num_err_log_entries", "unsafe_shutdowns"):
        expect(after[name] == before[name],
               f"{name} is {after[name]}, was {before[name]}")
    memory(cli, device)
    status, _ = cli.run(f"compare -s {FIRST + LAST} -c 15 -z 8192 -d /tmp/b", True)
    expect(not status, f"the data, after a migration: status {status:#x}")


@needs(devices=2)
def nvme_cli(bench):
    """nvme-cli in the guest, value by value, before and after a migration"""
    device = bench.machine.devices[1]
    bench.work.finish()
    cli = Cli(bench.guest, device.serial())
    identity = identity_of(cli, device)
    identify(cli, identity)
    effects(cli)
    features(cli)
    commands(cli, device)
    data_units(cli)
    registers(cli)
    say(f"# {len(COMMANDS)} commands on {cli.disk}, {len(FEATURES)} features")
    before = cli.health()
    bench.hop()
    moved(cli, bench, identity, before)
    bench.work.check_log()
    reset(cli)
    identify(cli, identity)
    bench.work.start()
