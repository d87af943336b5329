#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Boots a host VM and runs a command in it. Called by tools/testing/vm/vm.

Documentation/testing.rst describes the VM and the exit statuses.
"""

import argparse
import fcntl
import glob
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time

import initramfs

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.realpath(os.path.join(HERE, "../../.."))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME")
                     or os.path.expanduser("~/.cache"), "vfio-mig")

STATUS_HARNESS = 3       # a file or a program of the harness failed
STATUS_HUNG = 124
STATUS_KERNEL = 125     # the kernel warned or died, or the VM did not come up
RUNS_KEPT = 20
RUN_AGE = 6 * 3600      # seconds; a younger run may not have ended yet

# The directories below drivers/ whose modules work without hardware. The VM gets only these,
# because depmod reads every module that it finds, and would take seconds for all 4000.
DRIVERS = ("acpi", "block", "char", "crypto", "dax", "dma", "iommu", "md", "nvme",
           "nvdimm", "target", "vdpa", "vfio", "vhost", "virtio",
           "net/virtio_net.ko*", "net/net_failover.ko*")

# Lines of a kernel log that report a fault.
TROUBLE = re.compile(r"""
    \bWARNING:\s(?!CPU:\s\d+\sPID:\s\d+\sat\s\(null\)) | \bBUG:\s | \bOops\b
  | Kernel\ panic | general\ protection\ fault | \bkernel\ BUG\ at\b
  | INFO:\ task\ .*\ blocked\ for | \bdetected\ stall | \bself-detected\ stall
  | possible\ (circular|recursive)\ locking | inconsistent\ lock\ state
  | suspicious\ RCU\ usage | INFO:\ possible\ | DEBUG_LOCKS_WARN_ON
  | \bUBSAN:\ | new\ suspected\ memory\ leaks | \brefcount_t:
  | watchdog:\ .*\ lockup | sysfs:\ cannot\ create\ duplicate | list_\w+\ corruption
  | soft\ lockup | slab\ error\ in | Objects\ remaining\ in
  | INFO:\ trying\ to\ register\ non-static | INFO:\ lockdep\ is\ turned\ off
  | \bODEBUG: | \bK[AC]SAN:
  | kmemleak:\ (Memory\ pool\ empty|Kernel\ memory\ leak\ detector\ disabled)
""", re.VERBOSE)
FATAL = re.compile(r"Kernel panic|end Kernel panic|Attempted to kill init")

# Taints that only trouble sets: D (died), W (warned), L (soft lockup), B (bad
# page), M (machine check).
TAINT_TROUBLE = 1 << 7 | 1 << 9 | 1 << 14 | 1 << 5 | 1 << 4


# Signals that end a run.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked to end."""


def say(message):
    """Print a line of the harness, apart from the command's output."""
    print(f"vm: {message}", file=sys.stderr, flush=True)


def acceleration():
    """Return QEMU's options for the CPU, with KVM if the processor can do it."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        capable = re.search(r"^flags\b.*\b(vmx|svm)\b", f.read(), re.M)
    if capable and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    # Without the first two features the kernel copies words. With them it would use
    # "rep movsb", which TCG executes byte by byte. Without the third, page tables have
    # four levels in the VM and in guests. That shortens a walk, and most of all a nested
    # walk.
    return ["-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off,la57=off"]


def install_modules(run, release, kernel, built):
    """Lays out /lib/modules/RELEASE for the VM, with the kernel's and this build's modules."""
    root = os.path.join(run, "modules")
    base = os.path.join(root, "lib/modules", release)
    source = os.path.realpath(os.path.join(kernel, "modules"))
    os.makedirs(os.path.join(base, "kernel/drivers"))
    os.mkdir(os.path.join(base, "updates"))
    parts = [n for n in os.listdir(os.path.join(source, "kernel"))
             if n not in ("drivers", "sound")]
    for pattern in DRIVERS:
        parts += glob.glob(f"drivers/{pattern}",
                           root_dir=os.path.join(source, "kernel"))
    os.mkdir(os.path.join(base, "kernel/drivers/net"))
    for part in parts:
        os.symlink(os.path.join(source, "kernel", part),
                   os.path.join(base, "kernel", part))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), base)
    with open(built + ".lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)    # `make` holds it while it writes modules
        for directory, _, names in os.walk(built):
            for name in names:
                if name.endswith(".ko"):
                    shutil.copy(os.path.join(directory, name),
                                os.path.join(base, "updates"))
    subprocess.run(["/sbin/depmod", "-b", root, release], check=True)

    # In the VM this directory hides the one to which the links lead. ./init mounts that
    # one at another place, so change the links to this place.
    for part in parts:
        link = os.path.join(base, "kernel", part)
        os.remove(link)
        os.symlink(f"/run/vm/kernel/{part}", link)


def make_run_directory():
    """Makes build/vm/DATE-PID and the link "last" to it, and removes old runs."""
    base = os.path.join(TOP, "build/vm")
    os.makedirs(base, exist_ok=True)
    for old in sorted(d for d in os.listdir(base) if d != "last")[:-RUNS_KEPT]:
        path = os.path.join(base, old)
        if time.time() - os.lstat(path).st_mtime > RUN_AGE:
            shutil.rmtree(path, ignore_errors=True)
    name = time.strftime("%Y%m%d-%H%M%S-") + str(os.getpid())
    run = os.path.join(base, name)
    os.mkdir(run)
    link = os.path.join(base, f".last-{os.getpid()}")
    os.symlink(name, link)
    os.replace(link, os.path.join(base, "last"))
    return run


def write_initramfs(run, release, kernel, command, shares):
    """Writes the initramfs of this run, which contains the command, into run.

    shares are directories that the VM's own mounts would hide.
    """
    modules = os.path.realpath(os.path.join(kernel, "modules"))
    quoted = {"CHECKOUT": TOP, "CACHE": CACHE, "RUN": run, "RELEASE": release,
              "KERNEL_MODULES": os.path.join(modules, "kernel"),
              "SHARES": "\n".join(shares)}
    files = {"job": "".join(f"{k}={shlex.quote(v)}\n" for k, v in quoted.items()),
             "command": "exec " + shlex.join(command) + "\n"}
    for name in ("init", "run-command"):
        with open(os.path.join(HERE, name), encoding="utf-8") as f:
            files[name] = f.read()
    with open(os.path.join(run, "initrd"), "wb") as f:
        f.write(initramfs.build(modules, files))


def ivshmem(number, size):
    """Returns QEMU's options for an ivshmem-plain behind a port that can reset it."""
    return ["-object", f"memory-backend-ram,id=memory{number},size={size},share=on",
            "-device", f"pcie-root-port,id=port{number},chassis={number + 1}",
            "-device", f"ivshmem-plain,memdev=memory{number},bus=port{number}"]


def qemu_command(args, run):
    """Returns QEMU's command line: two shares, a console, two ports, a link or none."""
    append = ("console=ttyS0 quiet panic=-1 oops=panic mitigations=off "
              "no_timer_check random.trust_cpu=on rcupdate.rcu_cpu_stall_timeout=60 "
              "watchdog_thresh=30 " + args.append)
    iommu = []
    if args.iommu:
        append += " intel_iommu=on"
        iommu = ["-device", "intel-iommu,caching-mode=on,intremap=on"]
    nic = ["-nic", "none"]
    if args.link:
        side, _, path = args.link.partition(":")
        server = "on" if side == "listen" else "off"
        nic = ["-netdev", f"stream,id=link,server={server},addr.type=unix,"
               f"addr.path={path}",
               "-device", "virtio-net-pci,netdev=link,romfile=,"
               f"mac=52:54:00:00:00:0{len(side)}"]
    share = "security_model=none,multidevs=remap"
    devices = [arg for value in args.drive for arg in ("-drive", value)]
    for number, size in enumerate(args.ivshmem):
        devices += ivshmem(number, size)
    devices += [arg for value in args.device for arg in ("-device", value)]
    return [args.qemu, *acceleration(), "-M", "q35,usb=off,sata=off",
            "-smp", str(args.cpus), "-m", args.mem, "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", *iommu, *nic,
            "-kernel", os.path.join(args.kernel_dir, "vmlinuz"),
            "-initrd", os.path.join(run, "initrd"), "-append", append,
            "-virtfs", f"local,path=/,mount_tag=root,readonly=on,{share}",
            "-virtfs", f"local,path={TOP},mount_tag=checkout,{share}",
            "-serial", f"file:{run}/console.log",
            "-device", "virtio-serial-pci",
            "-chardev", "stdio,id=out,signal=off",
            "-device", "virtserialport,chardev=out,name=vm.output",
            "-chardev", f"file,id=status,path={run}/status",
            "-device", "virtserialport,chardev=status,name=vm.status", *devices]


def read_log(path):
    """Returns the lines of a log, also of one with invalid UTF-8, or [] without a log."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


class Vm:
    """One run of QEMU, watched until it ends."""

    def __init__(self, args, run):
        self.args = args
        self.run = run
        self.qemu = None
        self.hung = None        # the reason why the run counts as hung

    def start(self):
        """Starts QEMU so that it cannot outlive this process."""
        with open(os.path.join(self.run, "qemu.log"), "wb") as log:
            self.qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *qemu_command(self.args, self.run)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True)

    def kill(self):
        """Kills QEMU, if it still runs."""
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()

    def watch(self):
        """Passes the output on until QEMU ends, and kills QEMU if the VM hangs."""
        out = sys.stdout.buffer
        console = os.path.join(self.run, "console.log")
        start = heard = time.monotonic()
        size = 0
        fatal_since = None
        with selectors.DefaultSelector() as selector:
            selector.register(self.qemu.stdout, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if selector.select(timeout=1):
                    data = os.read(self.qemu.stdout.fileno(), 65536)
                    if not data:
                        break
                    out.write(data)
                    out.flush()
                    heard = now
                grown = os.path.getsize(console) if os.path.exists(console) else 0
                if grown != size:
                    size, heard = grown, now
                    if fatal_since is None and any(map(FATAL.search, read_log(console))):
                        fatal_since = now
                if fatal_since is not None and now - fatal_since > 5:
                    self.kill()
                elif now - start > self.args.timeout:
                    self.hang(f"not done after {self.args.timeout} s")
                elif now - heard > self.args.idle:
                    self.hang(f"nothing heard for {self.args.idle} s")
        self.qemu.wait()

    def hang(self, why):
        """Asks the VM's kernel to log blocked tasks and stacks, and then kills the VM."""
        if self.hung:
            return
        self.hung = why
        say(f"hung: {why}")
        try:
            self.qemu.stdin.write(b"hung\n")
            self.qemu.stdin.flush()
            # Time for the VM to write these logs.
            time.sleep(10)
        except BrokenPipeError:
            pass    # QEMU has just ended
        finally:
            self.kill()

    def status(self):
        """Returns the VM's report: {"exit": ..., "taint": ..., "end": ""}."""
        lines = read_log(os.path.join(self.run, "status"))
        return {k: v for k, _, v in (line.partition(" ") for line in lines)}

    def verdict(self):
        """Prints what went wrong; returns the exit status."""
        report = self.status()
        log = (read_log(os.path.join(self.run, "boot.log"))
               + read_log(os.path.join(self.run, "console.log")))
        trouble = [i for i, line in enumerate(log) if TROUBLE.search(line)]
        taint = int(report.get("taint", "0")) & TAINT_TROUBLE
        name = os.path.relpath(os.path.join(self.run, "console.log"))

        if trouble or taint:
            say(f"the kernel complained; its log ({name} has all of it):")
            first = trouble[0] if trouble else len(log)
            show_log(log[max(0, first - 8):first + 70])
            return STATUS_HUNG if self.hung else STATUS_KERNEL
        if self.hung:
            say(f"the end of the kernel's log ({name} has all of it):")
            show_log(log[-100:])
            return STATUS_HUNG
        if "exit" not in report or "end" not in report:
            say(f"the VM ended before the command did; see {name} and qemu.log there")
            show_log(log[-40:])
            show_log(read_log(os.path.join(self.run, "qemu.log")))
            return STATUS_KERNEL
        return int(report["exit"])


def show_log(lines):
    """Prints lines of a log to stderr, each with a mark."""
    for line in lines:
        print(f"  | {line}", file=sys.stderr)
    sys.stderr.flush()


def parse():
    """Parses the command line. tools/testing/vm/vm has the help for people."""
    parser = argparse.ArgumentParser(prog="vm run")
    parser.add_argument("--kernel-dir", required=True)
    parser.add_argument("--modules", required=True)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--mem", default="4G")
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=float, default=3600)
    parser.add_argument("--idle", type=float, default=600)
    parser.add_argument("--append", default="")
    parser.add_argument("--link", default="")
    parser.add_argument("--share", action="append", default=[])
    parser.add_argument("--iommu", action="store_true")
    parser.add_argument("--ivshmem", action="append", default=[])
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--drive", action="append", default=[])
    parser.add_argument("--logs", default="")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def keep_logs(run, directory):
    """Copies a run's logs to the caller's directory, if it names one."""
    if not directory:
        return
    for name in ("boot.log", "console.log", "qemu.log"):
        path = os.path.join(run, name)
        if os.path.exists(path):
            shutil.copy(path, directory)


def interrupted(signum, _frame):
    """Raises Interrupted, once; the handler of the signals that end a run.

    A terminal sends Ctrl-C to the caller, too, which then sends SIGTERM. A second
    exception would stop the clean-up.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    raise Interrupted(signum)


def die_of(number):
    """Ends by a signal, because a shell continues after an ordinary exit of a command."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def run_command(args):
    """Runs one command in one VM, and returns its exit status or that of the VM."""
    killer = None
    for signum in SIGNALS:
        signal.signal(signum, interrupted)
    with open(os.path.join(args.kernel_dir, "release"), encoding="ascii") as f:
        release = f.read().strip()

    if args.logs:
        os.makedirs(args.logs, exist_ok=True)
    run = make_run_directory()
    vm = Vm(args, run)
    try:
        install_modules(run, release, args.kernel_dir, args.modules)
        write_initramfs(run, release, args.kernel_dir, args.command, args.share)
        vm.start()
        vm.watch()
        return vm.verdict()
    except Interrupted as e:
        say("interrupted")
        killer = e.args[0]
    finally:
        vm.kill()
        shutil.rmtree(os.path.join(run, "modules"), ignore_errors=True)
        if os.path.exists(os.path.join(run, "initrd")):
            os.remove(os.path.join(run, "initrd"))
        keep_logs(run, args.logs)
    return die_of(killer)


def main():
    """Runs one command in one VM. A failure of the harness has a status of its own."""
    if sys.stdout is None:
        say("standard output is closed")
        return STATUS_HARNESS
    try:
        return run_command(parse())
    except (OSError, subprocess.CalledProcessError) as e:
        say(f"cannot run the VM, or pass its output on: {e}")
        # What is left to print must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STATUS_HARNESS


if __name__ == "__main__":
    sys.exit(main())
