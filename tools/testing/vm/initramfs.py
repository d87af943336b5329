# SPDX-License-Identifier: GPL-2.0
"""Builds the initramfs of the host VM: busybox, ./init and a few modules."""

import gzip
import lzma
import os
import re
import stat
import subprocess

# The modules for the root by 9p and for the ports. The VM loads all other modules from its
# root. _load_order() adds the dependencies.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")


def _load_order(modules_dir):
    """Returns the paths of MODULES and of their dependencies, in the order of loading."""
    deps = {}
    with open(os.path.join(modules_dir, "modules.dep"), encoding="ascii") as f:
        for line in f:
            path, _, rest = line.partition(":")
            deps[path] = rest.split()
    by_name = {_name(path): path for path in deps}

    order = []
    for name in MODULES:
        path = by_name.get(name)
        if path is None:        # built in
            continue
        for p in list(reversed(deps[path])) + [path]:
            if p not in order:
                order.append(p)
    return order


def _name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")


def _plain(path):
    """Returns a module's contents without compression, because busybox cannot undo one."""
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, check=True,
                              stdout=subprocess.PIPE).stdout
    if not path.endswith(".ko"):
        raise ValueError(f"{path}: unknown compression")
    return data


def archive(entries):
    """Returns a newc cpio archive of (name, mode, contents)."""
    out = bytearray()
    for ino, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        head = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        out += b"070701" + b"".join(b"%08x" % v for v in head) + raw
        out += bytes(-len(out) % 4)
        out += data
        out += bytes(-len(out) % 4)
    out += bytes(-len(out) % 512)
    return bytes(out)


def text(name, contents):
    """Returns an archive's entry for a file."""
    return (name, stat.S_IFREG | 0o755, contents)


def build(modules_dir, files):
    """Returns the initramfs for the kernel whose modules are in modules_dir.

    files holds the contents of further files by name. build() adds the names of the
    modules to the file "job", in the order in which ./init loads them.
    """
    order = _load_order(modules_dir)
    entries = [(d, stat.S_IFDIR | 0o755, b"")
               for d in ("bin", "dev", "proc", "sys", "mods")]
    with open("/bin/busybox", "rb") as f:
        entries.append(text("bin/busybox", f.read()))
    for path in order:
        data = _plain(os.path.join(modules_dir, path))
        entries.append(text(f"mods/{_name(path)}.ko", data))

    names = " ".join(f"{_name(p)}.ko" for p in order)
    files = dict(files)
    files["job"] += f'MODULES="{names}"\n'
    for name, contents in files.items():
        entries.append(text(name, contents.encode()))
    return archive(entries)
