#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs scenarios in a host VM, and reports for people and for CI.

tools/testing/migration/run starts it. Documentation/ci.rst describes the exit statuses
and the files in the directory of artifacts.
"""

import argparse
import glob
import os
import shutil
import signal
import subprocess
import sys
import time

import results
from emulation import ATTEMPTS

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.realpath(os.path.join(HERE, "../../.."))
RUNS = os.path.join(TOP, "build/migration")
KEPT = 10

# Exit statuses: a scenario failed; wrong usage; the harness failed. verdict() also
# returns the VM's statuses 124 and 125.
FAILED, USAGE, HARNESS = 1, 2, 3
HUNG, KERNEL = 124, 125

# Signals that end the run.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A guest that is emulated twice takes minutes where KVM takes seconds.
TIME_LIMIT = 1200


class Interrupted(Exception):
    """A signal ends the run; the argument is its number."""


def interrupted(number, _frame):
    """Raise Interrupted, once; the handler of signals that end the run."""
    no_more_signals()
    raise Interrupted(number)


def no_more_signals():
    """Let further signals pass, because a second exception would stop the clean-up.

    Programs that this one starts do not inherit a handler, so gdb still gets Ctrl-C.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)


def die_of(number):
    """End by a signal, as any program does that does not handle the signal.

    After an ordinary exit, a shell script that called this program continues with its next
    command, also if it got the Ctrl-C, too.
    """
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def say(text):
    """Print a line for a person, apart from the TAP."""
    print(f"run: {text}", file=sys.stderr, flush=True)


def parse():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="tools/testing/migration/run",
        description="Runs QEMU migrations, most of them disturbed, in a host VM. "
        "Prints TAP.",
        epilog="QEMU, OTHER_QEMU, KERNEL and GUEST_KERNEL in the environment say what is "
        "tested: a version, or a path. IOMMUFD=1 attaches devices by iommufd.")
    parser.add_argument("--list", action="store_true",
                        help="list the scenarios, and what each needs")
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit report, too")
    parser.add_argument("--artifacts", metavar="DIR",
                        help="put logs of QEMU, kernel and guest there")
    going = parser.add_mutually_exclusive_group()
    going.add_argument("--keep-going", action="store_true",
                       help="go on after a failure; this is the default")
    going.add_argument("--fail-fast", action="store_true",
                       help="skip what comes after a failure")
    parser.add_argument("--time-limit", metavar="SECONDS", type=int, default=TIME_LIMIT,
                        help="of each scenario (default: %(default)s, 0: none)")
    parser.add_argument("--gdb", action="store_true",
                        help="if a QEMU dies by a signal, show where in gdb")
    parser.add_argument("scenario", nargs="*", help="all, if none is named")
    args = parser.parse_args()
    args.interrupted = None     # the signal that ends the run
    if args.time_limit < 0:
        parser.error("--time-limit must not be negative")
    return args


def prepare(args):
    """Check that the reports can be written, before the scenarios take minutes."""
    for path, what in ((args.junit, "--junit"), (args.artifacts, "--artifacts")):
        if path is None:
            continue
        # A directory can be a volume in a root that is read-only.
        place = path if os.path.exists(path) else os.path.dirname(os.path.abspath(path))
        wrong = os.path.isdir(path) if what == "--junit" else \
            os.path.exists(path) and not os.path.isdir(path)
        if wrong or not path or not os.access(place, os.W_OK):
            say(f"{what} {path}: cannot be written")
            sys.exit(USAGE)
    if args.gdb and not shutil.which("gdb"):
        say("--gdb: gdb is not installed")
        sys.exit(USAGE)


def new_run():
    """Make a directory for this run in the checkout, because a VM can write only there."""
    os.makedirs(RUNS, exist_ok=True)
    for old in sorted(os.listdir(RUNS))[:-KEPT]:
        shutil.rmtree(os.path.join(RUNS, old), ignore_errors=True)
    path = os.path.join(RUNS, time.strftime("%Y%m%d-%H%M%S-") + str(os.getpid()))
    os.mkdir(path)
    return path


def run_vm(args, run):
    """Run the scenarios; return their exit status, or the VM's."""
    command = [os.path.join(HERE, "in-vm"), "scenarios.py", "--results",
               os.path.relpath(run, TOP), "--time-limit", str(args.time_limit)]
    if args.fail_fast:
        command.append("--fail-fast")
    limit = args.time_limit or 3600
    environment = {**os.environ, "LOGS": os.path.join(run, "vm"),
                   "CORES": "y" if args.gdb else "",
                   # A limit for the VM, in case a scenario's own limit does not end it.
                   "TIMEOUT": str(600 + ATTEMPTS * limit * (len(args.scenario) or 40)),
                   # A scenario may print nothing until its limit.
                   "IDLE": str(300 + limit)}
    if not args.scenario or "root-disk" in args.scenario:
        environment["DISK"] = "y"
    if not args.scenario or "across" in args.scenario:
        environment["ACROSS"] = "y"
    with open(os.path.join(run, "tap"), "wb") as tap, subprocess.Popen(
            [*command, "--", *args.scenario], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, env=environment) as process:
        try:
            for line in process.stdout:
                tap.write(line)
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
        except Interrupted as number:
            args.interrupted = number.args[0]
            process.terminate()
            process.communicate()
            return 128 + number.args[0]
    # As a shell has it, if a signal ended the VM.
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def verdict(status, events, found):
    """Print what failed; return the exit status."""
    if not events:
        if status in (HUNG, KERNEL):
            say("the VM's kernel did not get as far as the first scenario")
        elif status != USAGE and status <= 128:
            say(f"nothing was tested: the harness failed (status {status})")
            return HARNESS
        return status
    failed = [case["name"] for case in found if case["status"] == "failed"]
    errors = [case["name"] for case in found if case["status"] == "error"]
    if failed:
        say("failed, of what was tested: " + ", ".join(failed))
    if errors:
        say("not tested, because the harness failed: " + ", ".join(errors))
    if status in (HUNG, KERNEL) or status > 128:
        return status
    if failed:
        return FAILED
    return HARNESS if errors or status else 0


def show_cores(run):
    """Run gdb on the cores of QEMUs, interactively on a terminal, else for a backtrace."""
    programs = glob.glob(os.path.join(run, "*", "source-*", "program"))
    for core in sorted(glob.glob(os.path.join(run, "cores", "*"))):
        say(f"a QEMU died; its core is {os.path.relpath(core)}")
        command = ["gdb", "-q", "-ex", f"core-file {core}"]
        if programs:
            with open(programs[0], encoding="utf-8") as f:
                command[2:2] = ["-ex", "file " + f.read().strip()]
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            command[1:1] = ["--batch"]
            command += ["-ex", "bt", "-ex", "info threads"]
        subprocess.run(command, check=False, stdout=sys.stderr)


def show_commands(run):
    """Print the commands that start the QEMUs again."""
    for script in sorted(glob.glob(os.path.join(run, "*", "*", "repeat"))):
        say("the QEMU again, by hand: tools/testing/vm/vm run -- sh "
            + os.path.relpath(script, TOP))


def report(args, run, status):
    """Write the reports; return the exit status."""
    events = results.read(run)
    found = results.cases(events, status) if events else []
    status = verdict(status, events, found)
    directory = os.path.abspath(args.artifacts) if args.artifacts else run
    if args.junit:
        if not found:
            found = [{"name": "harness", "title": "the harness", "status": "error",
                      "reason": f"nothing was tested: status {status}", "seconds": 0}]
        status = attempt(status, run, lambda: results.junit(events, found, directory).write(
            args.junit, encoding="utf-8", xml_declaration=True))
    if args.gdb:
        show_cores(run)
        show_commands(run)
    if args.artifacts:
        status = attempt(status, run, lambda: shutil.copytree(run, directory,
                                                              dirs_exist_ok=True))
    if status:
        say(f"logs: {os.path.relpath(directory)}; exit status {status}")
    return status


def attempt(status, run, write):
    """Write a report; return the status, or HARNESS if only the report failed."""
    try:
        write()
    except OSError as error:
        say(f"a report cannot be written, and all logs are in {os.path.relpath(run)}: "
            f"{error}")
        return status or HARNESS
    return status


def main():
    """Run scenarios and report. Documentation/ci.rst has the exit statuses."""
    args = parse()
    scenarios = os.path.join(HERE, "scenarios.py")
    checked = subprocess.run([sys.executable, scenarios, "--list", *args.scenario],
                             check=False, stdout=None if args.list else subprocess.DEVNULL,
                             env={**os.environ, "QEMUS": "{}",
                                  "PYTHONDONTWRITEBYTECODE": "1"})
    if checked.returncode or args.list:
        sys.exit(checked.returncode)
    prepare(args)
    for number in SIGNALS:
        signal.signal(number, interrupted)
    try:
        run = new_run()
        status = run_vm(args, run)
        no_more_signals()
        status = report(args, run, status)
        if args.interrupted:
            die_of(args.interrupted)
        sys.exit(status)
    except Interrupted as number:
        die_of(number.args[0])
    except OSError as error:
        # Python's own status for an exception is 1, which means a failed scenario.
        say(f"the harness failed: {error}")
        # Or else Python flushes an output that nobody reads, and ends with status 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(HARNESS)


if __name__ == "__main__":
    main()
