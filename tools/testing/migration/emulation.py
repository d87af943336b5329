# SPDX-License-Identifier: GPL-2.0-only
"""Detects that an emulated processor has mixed a guest's state with the host's.

QEMU's emulation of nested virtualization sometimes does that, to any guest
(Documentation/emulation.rst). Two kinds of exits from the guest show it:

* An exit at the address of the instruction after the host's vmrun. No guest runs there.
* A triple fault while the processor delivers an interrupt or an exception. The guest
  has the host's page tables or descriptor tables then.

A filter on the kernel's trace event for exits records these two kinds only.
"""

import os

TRACING = "/sys/kernel/debug/tracing"
EXITS = f"{TRACING}/events/kvm/kvm_exit"
VMRUN = "__svm_vcpu_run"

# The number of attempts, if each one fails for this reason.
ATTEMPTS = 3

# The exit reason of a triple fault, and the flag of an event in delivery (AMD64
# Architecture Programmer's Manual, volume 2, appendix C and 15.20).
SHUTDOWN, EVENT_VALID = 0x7f, 0x80000000

CONFUSED = ("the emulated processor mixed the guest's state with the host's: {} "
            "(Documentation/emulation.rst)")


def emulated():
    """Return whether QEMU emulates the host's processor."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return "QEMU TCG" in f.read()


def _vmrun():
    """Return the first and the last address of the function that enters guests."""
    with open("/proc/kallsyms", encoding="utf-8") as f:
        symbols = sorted((int(line.split()[0], 16), line.split()[2])
                         for line in f if line.rstrip().endswith("[kvm_amd]"))
    first = next(address for address, name in symbols if name == VMRUN)
    # This can be the kernel's last function. Its size is unknown then, but small.
    after = [address for address, _ in symbols if address > first]
    return first, (min(after) if after else first + 0x1000) - 1


def _write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class Watch:
    """Records such exits. Only one Watch can exist at a time."""

    def __init__(self):
        # A kernel without tracing records nothing.
        self.armed = (emulated() and os.path.exists("/sys/module/kvm_amd") and
                      os.path.exists(f"{EXITS}/filter"))
        if not self.armed:
            return
        first, last = _vmrun()
        _write(f"{EXITS}/filter",
               f"(guest_rip >= {first:#x} && guest_rip <= {last:#x}) || "
               f"(exit_reason == {SHUTDOWN:#x} && intr_info >= {EVENT_VALID:#x})")
        _write(f"{EXITS}/enable", "1")

    def clear(self):
        """Forget the recorded exits."""
        if self.armed:
            _write(f"{TRACING}/trace", "")

    def tries(self):
        """Iterate once, and again after a failure that the emulation caused.

        The loop's body leaves the loop when it passes. When it fails, it has to end the
        guest first, because that guest loops at the same address and causes more exits.
        """
        for left in reversed(range(ATTEMPTS)):
            self.clear()
            yield
            confused = self.confused()
            if not left or not confused:
                return
            print(f"# {confused}. Once more:", flush=True)

    def confused(self):
        """Return a description of the first recorded exit, or None."""
        if not self.armed:
            return None
        with open(f"{TRACING}/trace", encoding="utf-8") as f:
            exits = [line for line in f if "kvm_exit:" in line]
        if not exits:
            return None
        return CONFUSED.format(exits[0].partition("kvm_exit: ")[2].strip())
