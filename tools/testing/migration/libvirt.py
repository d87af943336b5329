#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A domain goes from one libvirtd to another and back, by virsh. TAP output.

Runs in the host VM; tools/testing/migration/libvirt starts it there. Both daemons run on
one kernel. They take each other for two hosts, because each has its own host name,
configuration and files. QEMU runs as it does on Debian: as the user libvirt-qemu, in a
control group that permits the devices of qemu.conf.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import qemus
from guest import Guest, MachineError
from lab import Interrupted, Lab
from live import comment, say
from machine import APPEND, MEMORY, accelerator
from workload import Workload

HERE = os.path.dirname(os.path.abspath(__file__))

# The directories of which each host has its own.
PLACES = {"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt",
          "log": "/var/log/libvirt", "cache": "/var/cache/libvirt"}

LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 0
listen_tcp = 1
listen_addr = "127.0.0.1"
tcp_port = "{port}"
auth_tcp = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# The first two lines are here because the VM has neither AppArmor's profile nor virtlogd.
# A device on QEMU's command line needs the other two (Documentation/libvirt.rst).
QEMU_CONF = """\
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_device_acl = [
	"/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom",
	"/dev/ptmx", "/dev/kvm", "/dev/vfio/vfio", "{group}"
]
"""

HOSTDEV = """\
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
      <source><address uuid='{}'/></source>
    </hostdev>
  </devices>"""

# Each host also has its own control groups, because both number their domains from 1.
START = """\
set -e
groups=/sys/fs/cgroup
mkdir $groups/$1
for controller in $(cat $groups/cgroup.controllers); do
	echo +$controller > $groups/cgroup.subtree_control
done
echo $$ > $groups/$1/cgroup.procs
exec unshare --mount --uts --cgroup sh -ec '
	mount --make-rprivate /
	umount -l /sys/fs/cgroup
	mount -t cgroup2 cgroup /sys/fs/cgroup
	mkdir /sys/fs/cgroup/daemon
	echo $$ > /sys/fs/cgroup/daemon/cgroup.procs
	hostname "$1"
	while [ $# -gt 1 ]; do
		mkdir -p "$3"
		mount --bind "$2" "$3"
		shift 2
	done
	exec libvirtd --listen --pid-file /run/libvirt/libvirtd.pid
' sh "$@"
"""


def run(*command, timeout=60):
    """Run a command that has to succeed; return its output."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{' '.join(command)}: not done after {timeout} s"
                           ) from error
    if done.returncode:
        raise MachineError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def write(path, text):
    """Write text to a file."""
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def set_up(root):
    """Install libvirt's files and users, as packages would, and the group vfio."""
    subprocess.run(f"tar -C {root} -c . | tar -C / -x --keep-directory-symlink && "
                   "ldconfig", shell=True, check=True)
    run("groupadd", "--system", "vfio")
    run("groupadd", "--system", "--force", "kvm")
    run("groupadd", "--system", "libvirt-qemu")
    run("useradd", "--system", "--no-create-home", "-g", "libvirt-qemu",
        "-G", "vfio,kvm", "libvirt-qemu")
    if os.path.exists("/dev/kvm"):
        os.chmod("/dev/kvm", 0o666)
    # Copies, because libvirt changes the owner of a domain's kernel and initramfs.
    for name in ("vmlinux", "initramfs"):
        shutil.copy(os.path.join(os.environ["GUEST_IMAGE"], name), "/srv")


class Host:
    """A libvirtd and its device; it has the domain before or after a migration."""

    def __init__(self, lab, name, number):
        self.name = name
        self.directory = f"/srv/{name}"
        self.port = 16500 + number
        self.device = lab.device()
        self.serial = self.process = None
        group = os.readlink(self.device.sysfs + "/iommu_group").split("/")[-1]
        self.group = f"/dev/vfio/{group}"
        shutil.chown(self.group, "root", "vfio")
        os.chmod(self.group, 0o660)
        for place in PLACES:
            os.makedirs(self.path(place))
        write(self.path("etc/libvirtd.conf"), LIBVIRTD_CONF.format(
            uuid=f"00000000-0000-4000-8000-{number:012}", port=self.port))
        write(self.path("etc/qemu.conf"), QEMU_CONF.format(group=self.group))

    def start(self):
        """Start the daemon, and wait for its socket."""
        with open(self.path("output"), "wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", START, "sh", self.name,
                 *(word for place, where in PLACES.items()
                   for word in (self.path(place), where))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_for("run/libvirt-sock", 60)

    def path(self, name):
        """Return the path of a file of this host."""
        return os.path.join(self.directory, name)

    def wait_for(self, name, timeout):
        """Wait until a file exists."""
        end = time.monotonic() + timeout
        while not os.path.exists(self.path(name)):
            self.check_alive()
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: no {name} after {timeout} s")
            time.sleep(0.1)

    def check_alive(self):
        """Raise an error if the daemon has ended."""
        if self.process.poll() is not None:
            raise MachineError(f"{self.name}: libvirtd ended")

    def uri(self):
        """Return the URI by which virsh connects to this host."""
        return f"qemu+unix:///system?socket={self.path('run/libvirt-sock')}"

    def virsh(self, *arguments, timeout=60):
        """Run a command of virsh on this host; return its output."""
        command = ["virsh", "-c", self.uri(), *arguments]
        say("# " + " ".join(command))
        return run(*command, timeout=timeout)

    def domain(self, *form):
        """Write a file that describes the domain on this host; return its path.

        The device is on QEMU's command line. With the form "hostdev" libvirt manages
        the device, and with "global" QEMU's options also permit its migration.
        """
        with open(os.path.join(HERE, "libvirt.xml"), encoding="utf-8") as f:
            text = f.read()
        kvm = "kvm" in accelerator()
        for word, value in {
                "TYPE": "kvm" if kvm else "qemu",
                "CPU": "<cpu mode='host-passthrough' check='none'><feature "
                       "policy='disable' name='xsave'/></cpu>" if kvm else "",
                "MEMORY": str(MEMORY), "MACHINE": qemus.common_machine(),
                "APPEND": APPEND, "UUID": self.device.uuid}.items():
            text = text.replace(f"@{word}@", value)
        if "hostdev" in form:
            text = text.replace("  </devices>", HOSTDEV.format(self.device.uuid))
            text = text.replace("'-device'", "'-global'")
            text = re.sub("'vfio-pci,.*'/>", "'vfio-pci.@ENABLE@=on'/>",
                          text)
        if "hostdev" in form and "global" not in form:
            text = re.sub("  <qemu:commandline>.*</qemu:commandline>\n", "", text,
                          flags=re.S)
        write(self.path("guest.xml"), text.replace("@ENABLE@", qemus.HOME.enable))
        return self.path("guest.xml")

    def listen(self, guest):
        """Pass the guest's output on to guest, as soon as the guest is here."""
        threading.Thread(target=self._listen, args=(guest,), daemon=True).start()

    def _listen(self, guest):
        while True:
            try:
                self.serial = socket.socket(socket.AF_UNIX)
                self.serial.connect(self.path("run/agent"))
                break
            except OSError:
                time.sleep(0.05)
        guest.listen(self.serial)

    def type(self, text):
        """Send to the guest's second serial port."""
        self.serial.sendall(text.encode())

    def show(self):
        """Print the ends of this host's logs."""
        for name in ("output", "log/libvirtd.log", "log/qemu/guest.log",
                     "log/console.log"):
            if not os.path.exists(self.path(name)):
                continue
            with open(self.path(name), encoding="utf-8", errors="replace") as f:
                for line in f.read().strip().splitlines()[-12:]:
                    print(f"# {self.name} {name}: {line}", file=sys.stderr)

    def clear(self):
        """Destroy the domain, if it is here."""
        subprocess.run(["virsh", "-c", self.uri(), "destroy", "guest"],
                       check=False, capture_output=True)

    def end(self):
        """End the domain and the daemon."""
        if self.process and self.process.poll() is None:
            self.clear()
            self.process.terminate()
            self.process.wait()


def move(guest, source, target, *options, form=()):
    """Migrate the guest to the target by virsh, and check the result."""
    before = source.device.counters()
    loads = target.device.counters()["loads"]
    target.listen(guest)
    begun = time.monotonic()
    source.virsh("migrate", "--live", "--xml", target.domain(*form), "guest",
                 *options, "--migrateuri", "tcp://127.0.0.1", timeout=180)
    guest.machine = target
    guest.wait_alive()
    after = source.device.counters()
    pre, stop = (after[name] - before[name]
                 for name in ("precopy_bytes", "stopcopy_bytes"))
    say(f"# {time.monotonic() - begun:.1f} s, {pre} bytes of device state in "
        f"pre-copy and {stop} in stop-and-copy")
    if target.device.counters()["loads"] != loads + 1 or not stop:
        raise MachineError("the device's state was not migrated")
    if "guest" in source.virsh("list", "--all", "--name"):
        raise MachineError("the domain is still at the source")


def blocked_hostdev(host):
    """Check that QEMU 7.2 refuses to migrate a <hostdev> without its option."""
    host.virsh("create", host.domain("hostdev"))
    try:
        host.virsh("migrate", "--live", "guest", "qemu+tcp://127.0.0.1:16502/system")
    except MachineError as error:
        if "VFIO device doesn't support migration" not in str(error):
            raise
    else:
        raise MachineError("QEMU migrated the device: libvirt.rst is out of date")
    finally:
        host.virsh("destroy", "guest")


def hostdev(hosts):
    """a domain with a <hostdev> goes to another libvirtd, once QEMU is told"""
    source, target = hosts
    blocked_hostdev(source)
    guest = Guest()
    guest.machine = source
    source.listen(guest)
    source.virsh("create", source.domain("hostdev", "global"), timeout=120)
    guest.wait_ready()
    move(guest, source, target, target.uri(), form=("hostdev", "global"))
    guest.check("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=4")
    target.virsh("destroy", "guest")


def there_and_back(hosts):
    """a domain goes to another libvirtd, and comes back"""
    source, target = hosts
    guest = Guest()
    guest.machine = source
    source.listen(guest)
    source.virsh("create", source.domain(), timeout=120)
    guest.wait_ready()
    work = Workload(guest)
    work.prepare()
    work.start()
    # First virsh connects to both daemons, then one daemon to the other.
    move(guest, source, target, target.uri())
    move(guest, target, source, "--p2p",
         f"qemu+tcp://127.0.0.1:{source.port}/system")
    verified = work.finish()
    found = work.verify()
    work.check_log()
    source.virsh("destroy", "guest")
    say(f"# {verified + found['blocks']} blocks and {found['files']} files "
        "verified")


def run_all(lab, hosts, root):
    """Run all tests; return the number of failures."""
    failed = 0
    tests = (there_and_back, hostdev)
    say(f"TAP version 13\n1..{len(tests)}")
    set_up(root)
    hosts += [Host(lab, "here", 1), Host(lab, "there", 2)]
    for host in hosts:
        host.start()
    for number, test in enumerate(tests, 1):
        result = "ok"
        try:
            test(hosts)
        except (MachineError, OSError) as error:
            comment(str(error))
            result = "not ok"
            failed += 1
            for host in hosts:
                host.show()
                host.clear()
        say(f"{result} {number} - {test.__doc__}")
    return failed


def main():
    """Command line: the directory that tools/testing/vm/libvirt printed."""
    hosts = []
    with Lab() as lab:
        try:
            failed = run_all(lab, hosts, sys.argv[1])
        except (MachineError, Interrupted, OSError,
                subprocess.CalledProcessError) as error:
            for host in hosts:
                host.show()
            sys.exit(f"Bail out! {error}")
        finally:
            for host in hosts:
                host.end()
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
