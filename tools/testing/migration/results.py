# SPDX-License-Identifier: GPL-2.0-only
"""The results of scenarios. A script in the VM writes them, and runner.py reads them.

Each event is a line of JSON, written at once, because a VM can end at any time.
"""

import json
import os
import time
import xml.etree.ElementTree as ElementTree

import qemus

FILE = "results.jsonl"


class Results:
    """Writes the results to a file in a directory, or nowhere without a directory."""

    def __init__(self, directory):
        self.directory = directory

    def _write(self, **event):
        if not self.directory:
            return
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, FILE), "a", encoding="utf-8") as f:
            f.write(json.dumps({"time": time.time(), **event}) + "\n")
            f.flush()
            os.fsync(f.fileno())

    def start(self, names):
        """Write the names of all scenarios, and the kernel and the QEMUs."""
        self._write(event="start", names=names, kernel=os.uname().release,
                    qemu=str(qemus.HOME), program=qemus.HOME.program,
                    other_qemu=str(qemus.OTHER or ""))

    def begun(self, name, title):
        """Write that a scenario begins."""
        self._write(event="begun", name=name, title=title)

    def ended(self, name, title, status, reason, seconds, logs=""):
        """Write a scenario's result: passed, failed, error or skipped."""
        # pylint: disable=too-many-arguments
        self._write(event="ended", name=name, title=title, status=status,
                    reason=reason, seconds=round(seconds, 3), logs=logs)

    def finish(self):
        """Write that all scenarios have ended."""
        self._write(event="finish")


def read(directory):
    """Return the events of a run."""
    try:
        with open(os.path.join(directory, FILE), encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


def cases(events, status):
    """Return an "ended" event for each scenario, also if the VM ended before it.

    If the VM's kernel dies or hangs, the scenario that ran has failed. Any other early
    end of the VM is a failure of the harness.
    """
    done = [e for e in events if e["event"] == "ended"]
    names = next((e["names"] for e in events if e["event"] == "start"), [])
    begun = [e for e in events if e["event"] == "begun"]
    finished = any(e["event"] == "finish" for e in events)
    why = {124: "the VM hung", 125: "the VM's kernel warned or died"}.get(
        status, f"the run ended with status {status}")
    blame = "failed" if status in (124, 125) else "error"
    # By numbers, because a scenario can be named twice. Skipped ones do not begin.
    ran = sum(e["name"] in names and e["status"] != "skipped" for e in done)
    if len(begun) > ran and not finished:
        done.append({**begun[-1], "status": blame, "reason": why, "seconds": 0,
                     "logs": ""})
    elif status in (124, 125):
        done.append({"name": "vm", "title": "the VM's kernel", "status": "failed",
                     "reason": why, "seconds": 0, "logs": ""})
    for name in names[sum(e["name"] in names for e in done):]:
        done.append({"name": name, "title": name, "status": "error",
                     "reason": f"not run: {why}", "seconds": 0, "logs": ""})
    return done


def _count(found, status):
    return str(sum(case["status"] == status for case in found))


def _clean(text):
    """Replace the characters that XML 1.0 does not permit."""
    return "".join(c if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd"
                   else "?" for c in text)


def junit(events, found, directory):
    """Return the results as a JUnit report, an ElementTree."""
    start = next((e for e in events if e["event"] == "start"), {"time": time.time()})
    numbers = {"tests": str(len(found)), "failures": _count(found, "failed"),
               "errors": _count(found, "error"), "skipped": _count(found, "skipped"),
               "time": f"{sum(case['seconds'] for case in found):.3f}"}
    root = ElementTree.Element("testsuites", numbers)
    suite = ElementTree.SubElement(root, "testsuite", {
        "name": "vfio-migration", **numbers, "hostname": os.uname().nodename,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start["time"]))})
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("kernel", "qemu", "program", "other_qemu"):
        ElementTree.SubElement(properties, "property", {
            "name": name, "value": _clean(str(start.get(name, "")))})
    for case in found:
        element = ElementTree.SubElement(suite, "testcase", {
            "classname": "vfio-migration", "name": case["name"],
            "time": f"{case['seconds']:.3f}"})
        tag = {"failed": "failure", "error": "error", "skipped": "skipped"}.get(
            case["status"])
        reason = _clean(case["reason"])
        if tag:
            child = ElementTree.SubElement(element, tag, {"message": reason})
            if tag != "skipped":
                child.set("type", case["status"])
                child.text = f"{_clean(case['title'])}\n{reason}\n"
        if case.get("logs"):
            ElementTree.SubElement(element, "system-out").text = \
                "logs: " + _clean(os.path.join(directory, case["logs"]))
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    return tree
