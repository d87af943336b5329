#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Build the test guest: a stock Debian kernel and a small initramfs.

Everything comes from this machine's own packages. This script does not modify the
kernel. It uncompresses the kernel once, because that takes half a minute in a guest
whose processor is emulated twice. For the same reason the initramfs is not compressed.
"""

import argparse
import bz2
import contextlib
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))

PROGRAMS = ["/usr/bin/fio", "/sbin/mke2fs", "/sbin/e2fsck", "/usr/sbin/nvme"]

# In the order of loading. ext4 asks the crypto API for crc32c by name. guest_bench.py
# compares with virtio_blk.
MODULES = ["nvme", "crc32c_generic", "ext4", "virtio_pci", "virtio_blk"]

# Mount points, and the directories into which busybox installs its names.
DIRECTORIES = ("/dev", "/proc", "/sys", "/tmp", "/mnt", "/etc", "/sbin", "/usr/bin",
               "/usr/sbin")

# The guest never uses these libraries, so stubs take their place. fio is linked against
# clients of storage clusters and fabrics, 150 MiB with their dependencies. nvme is linked
# against a library for management over other buses than PCI.
STUBBED = re.compile(r"lib(gfapi|nbd|ibverbs|rdmacm|rados|rbd|pmemblk|pmem|"
                     r"nvme-mi)\.so")


class ImageError(Exception):
    """A message about a missing part."""


def run(*command):
    """Run a command that has to succeed; return its standard output."""
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def zstd(data):
    """Uncompress zstd data, because Python has no module for zstd."""
    return subprocess.run(["zstd", "-dcq"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


# The first bytes of a compressed kernel, and the function that uncompresses it. The last
# four bytes are the size, and no part of the compressed data.
COMPRESSIONS = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x28\xb5\x2f\xfd", lambda data: zstd(data[:-4])),
    (b"\x1f\x8b", lambda data: zlib.decompressobj(31).decompress(data)),
    (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data)),
    (b"\x5d\0\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)),
    (b"\x7fELF", lambda data: data),
)


# The same for modules, by the ends of their names.
MODULE_COMPRESSIONS = {".xz": lzma.decompress, ".gz": gzip.decompress, ".zst": zstd}


def payload(bzimage):
    """Return a bzImage's payload (offsets: the kernel's Documentation/arch/x86/boot.rst)."""
    with open(bzimage, "rb") as f:
        image = f.read()
    if image[0x202:0x206] != b"HdrS":
        raise ImageError(f"{bzimage}: not a bzImage")
    setup_sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def boots_as_elf(vmlinux):
    """Return whether QEMU can start this ELF file.

    QEMU needs the note of CONFIG_PVH, which is Xen's type 18.
    """
    return bool(re.search(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0", vmlinux))


def extract_kernel(bzimage, out):
    """Uncompress the kernel if QEMU can start the result, or else copy the bzImage."""
    packed = payload(bzimage)
    for magic, undo in COMPRESSIONS:
        if packed.startswith(magic):
            vmlinux = undo(packed)
            break
    else:
        vmlinux = b""
    if boots_as_elf(vmlinux):
        with open(out, "wb") as f:
            f.write(vmlinux)
    else:
        shutil.copy(bzimage, out)


def has_module(modules, name):
    """Return whether the kernel has a module, as a file or built in."""
    text = ""
    for index in ("modules.dep", "modules.builtin"):
        with open(os.path.join(modules, index), encoding="utf-8") as f:
            text += f.read()
    return bool(re.search(rf"(^|/){name}\.ko\b", text, re.M))


def module_files(modules):
    """Return the paths of MODULES and of their dependencies, in the order of loading."""
    paths = []
    modules = os.path.realpath(modules)
    root, release = modules.split("/lib/modules/")
    for module in MODULES:
        # From 7.x on ext4 calls the library instead.
        if module == "crc32c_generic" and not has_module(modules, module):
            continue
        listing = run("modprobe", "-d", root or "/", "-S", release,
                      "--show-depends", module)
        for line in listing.splitlines():
            word = line.split()
            # The guest does not need the variants for processor features.
            if (word[0] == "insmod" and word[1] not in paths and
                    "/arch/" not in word[1]):
                paths.append(word[1])
    return paths


def libraries(program):
    """Return {soname: path} of a program's libraries and of their dependencies."""
    found = {}
    for line in run("ldd", program).splitlines():
        match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(", line)
        if match:
            found[match[1] or match[2]] = match[2]
    return found


def needed(path):
    """Return the sonames that a file itself needs."""
    return re.findall(r"^\s*NEEDED\s+(\S+)", run("objdump", "-p", path), re.M)


def undefined(program):
    """Return the symbols that a program imports, as {version or "": [name]}."""
    symbols = {}
    for line in run("objdump", "-T", program).splitlines():
        match = re.search(r"\*UND\*\s+[0-9a-f]+\s+(?:\((\S+)\)|Base)?\s*(\w+)$",
                          line)
        if match:
            symbols.setdefault(match[1] or "", []).append(match[2])
    return symbols


def library_versions(program):
    """Return the versions that a program needs of its libraries, as {soname: [version]}."""
    versions, soname = {}, None
    for line in run("objdump", "-p", program).splitlines():
        match = re.match(r"\s*required from (\S+):", line)
        if match:
            soname = match[1]
        elif soname and len(line.split()) == 4:
            versions.setdefault(soname, []).append(line.split()[3])
    return versions


def build_stub(soname, by_version, path):
    """Link a library that defines the given symbols; each of them aborts when called."""
    source, script = path + ".c", path + ".map"
    with open(source, "w") as c, open(script, "w") as m:
        c.write("void abort(void);\n")
        for version, names in by_version.items():
            for name in names:
                c.write(f"void {name}(void) {{ abort(); }}\n")
            if version:
                m.write(f"{version} {{ global: {'; '.join(names)}; }};\n")
    command = ["gcc", "-shared", "-fPIC", "-fno-builtin", "-w", "-o", path,
               source, f"-Wl,-soname,{soname}"]
    if any(by_version):
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)


def stub_libraries(program, sonames, directory):
    """Make stubs for some of a program's libraries; return {soname: path}."""
    symbols, versions = undefined(program), library_versions(program)
    stubs = {}
    for soname in sonames:
        wanted = {v: symbols[v] for v in versions.get(soname, [])}
        if not wanted:
            # Without versions, select the symbols that begin with the library's name.
            prefix = re.match(r"lib(\w+)\.so", soname)[1] + "_"
            wanted = {"": [n for n in symbols[""] if n.startswith(prefix)]}
        stubs[soname] = os.path.join(directory, soname)
        build_stub(soname, wanted, stubs[soname])
    return stubs


def program_files(program, scratch):
    """Return {path in the guest: path here} of a program and its libraries."""
    found = libraries(program)
    stubs = stub_libraries(program, [s for s in needed(program)
                                     if STUBBED.match(s)], scratch)
    files = {program: program}
    todo = [s for s in needed(program) if s not in stubs]
    seen = set()
    while todo:
        soname = todo.pop()
        if soname in seen:
            continue
        seen.add(soname)
        path = found.get(soname) or next(p for p in found.values()
                                         if p.endswith("/" + soname))
        files[path] = path
        todo += needed(path)
    for soname, stub in stubs.items():
        files["/lib/x86_64-linux-gnu/" + soname] = stub
    for path in found.values():
        if os.path.basename(path).startswith("ld-linux"):
            files[path] = path
    return files


@contextlib.contextmanager
def beside(path):
    """Return a path next to this one, to which the caller writes; rename it at the end.

    A file that is written in place is a fragment after Ctrl-C and on a full disk. in-vm
    would take the fragment for a new image.
    """
    new = f"{path}.{os.getpid()}.new"
    try:
        yield new
        os.replace(new, path)
    finally:
        if os.path.exists(new):
            os.remove(new)


class Initramfs:
    """Writes a newc archive (Documentation/driver-api/early-userspace)."""

    def __init__(self, out):
        self.out, self.inode, self.made = out, 0, set()

    def _entry(self, name, mode, data=b""):
        self.inode += 1
        name = name.lstrip("/").encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(name), 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
        self.out.write(head + b"\0" * (-len(head) % 4))
        self.out.write(data + b"\0" * (-len(data) % 4))

    def directory(self, path):
        """Add a directory, after its parents."""
        if path in ("", "/") or path in self.made:
            return
        self.directory(os.path.dirname(path))
        self.made.add(path)
        self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, path, source):
        """Add an executable file, after its directory."""
        if path in self.made:
            return
        self.directory(os.path.dirname(path))
        self.made.add(path)
        with open(source, "rb") as f:
            data = f.read()
        # The guest's insmod does not uncompress modules.
        stem, suffix = os.path.splitext(path)
        if stem.endswith(".ko") and suffix in MODULE_COMPRESSIONS:
            path, data = stem, MODULE_COMPRESSIONS[suffix](data)
        self._entry(path, stat.S_IFREG | 0o755, data)

    def close(self):
        """End the archive."""
        self._entry("TRAILER!!!", 0)


def bar_writer(scratch):
    """Compile bar-writer, this project's only program in the guest, without libraries."""
    path = os.path.join(scratch, "bar-writer")
    subprocess.run(["gcc", "-O2", "-Wall", "-static", "-o", path,
                    os.path.join(HERE, "guest", "bar-writer.c")], check=True)
    return path


def guest_files(scratch, disk="/dev/nvme0n1"):
    """Return {path in the guest: path here} of all files but modules.

    disk is the disk on which the guest works.
    """
    guest = os.path.join(HERE, "guest")
    files = {"/init": os.path.join(guest, "init"), "/bin/busybox": busybox(),
             "/bin/bar-writer": bar_writer(scratch)}
    for name in ("functions", "trouble", "workload.fio"):
        files[f"/etc/{name}"] = os.path.join(guest, name)
    files["/etc/disk"] = os.path.join(scratch, "disk")
    with open(files["/etc/disk"], "w", encoding="ascii") as f:
        f.write(disk + "\n")
    for program in PROGRAMS:
        files.update(program_files(program, scratch))
    return files


def busybox():
    """Return the path of Debian's static busybox."""
    path = shutil.which("busybox")
    if not path:
        raise ImageError("busybox-static is not installed")
    return path


def module_paths(modules):
    """Return {path in the guest: path here} of the modules, in the order of loading."""
    return {f"/modules/{number:02}-{os.path.basename(module)}": module
            for number, module in enumerate(module_files(modules))}


def build_initramfs(path, files):
    """Pack files; files is {path in the guest: path here}."""
    with open(path, "wb") as out:
        cpio = Initramfs(out)
        for directory in DIRECTORIES:
            cpio.directory(directory)
        for target, source in files.items():
            cpio.file(target, source)
        cpio.close()


def build(out, bzimage, modules):
    """Make OUT/vmlinux, OUT/vmlinuz and OUT/initramfs."""
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        with beside(os.path.join(out, "vmlinux")) as path:
            extract_kernel(bzimage, path)
        with beside(os.path.join(out, "vmlinuz")) as path:
            shutil.copy(bzimage, path)
        # The last one, because in-vm looks at its age.
        with beside(os.path.join(out, "initramfs")) as path:
            build_initramfs(path, {**guest_files(scratch), **module_paths(modules)})


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="directory for the kernel and initramfs")
    parser.add_argument("kernel", help="directory with vmlinuz and modules/, "
                        "as tools/testing/vm/kernel prints it")
    args = parser.parse_args()
    try:
        build(args.out, os.path.join(args.kernel, "vmlinuz"),
              os.path.join(args.kernel, "modules"))
    except (ImageError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"guest image: {error}")


if __name__ == "__main__":
    main()
