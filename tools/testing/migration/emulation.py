# SPDX-License-Identifier: GPL-2.0-only
"""Tells whether an emulated processor has mixed a guest's state with the host's.

QEMU's emulation of nested virtualization does that now and then, to whatever guest:
Documentation/emulation.rst. It is given away by exits from the guest at the
address of the instruction after the host's vmrun, where no guest can be; or by a triple
fault of a guest to which an interrupt or an exception is just being delivered, and which
has the host's page tables then, or its descriptor tables. The kernel's trace event of
exits is recorded for these, and for no others.
"""

import os

TRACING = "/sys/kernel/debug/tracing"
EXITS = f"{TRACING}/events/kvm/kvm_exit"
VMRUN = "__svm_vcpu_run"

# How often something is tried where that is why it failed.
ATTEMPTS = 3

# The reason of an exit by triple fault, and that an event is being delivered (AMD64
# Architecture Programmer's Manual, volume 2, appendix C and 15.20).
SHUTDOWN, EVENT_VALID = 0x7f, 0x80000000

CONFUSED = ("the emulated processor mixed the guest's state with the host's: {} "
            "(Documentation/emulation.rst)")


def emulated():
    """Whether the host's processor is QEMU's own."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return "QEMU TCG" in f.read()


def _vmrun():
    """The first and the last address of the function that enters guests."""
    with open("/proc/kallsyms", encoding="utf-8") as f:
        symbols = sorted((int(line.split()[0], 16), line.split()[2])
                         for line in f if line.rstrip().endswith("[kvm_amd]"))
    first = next(address for address, name in symbols if name == VMRUN)
    # In a kernel without debugging options it can be the last; it is not long.
    after = [address for address, _ in symbols if address > first]
    return first, (min(after) if after else first + 0x1000) - 1


def _write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class Watch:
    """Looks out for that. There can be one at a time."""

    def __init__(self):
        # A kernel without tracing cannot be watched.
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
        """Forget what was seen."""
        if self.armed:
            _write(f"{TRACING}/trace", "")

    def tries(self):
        """Iterates once, and once more where what was tried failed by that.

        Who passes leaves the loop; who fails clears away the guest, which goes round
        in circles at that address and would be seen again.
        """
        for left in reversed(range(ATTEMPTS)):
            self.clear()
            yield
            confused = self.confused()
            if not left or not confused:
                return
            print(f"# {confused}. Once more:", flush=True)

    def confused(self):
        """What was seen since, in words, or None."""
        if not self.armed:
            return None
        with open(f"{TRACING}/trace", encoding="utf-8") as f:
            exits = [line for line in f if "kvm_exit:" in line]
        if not exits:
            return None
        return CONFUSED.format(exits[0].partition("kvm_exit: ")[2].strip())
