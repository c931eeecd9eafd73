# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels for L2, as their packages have them: the image, and
those of its modules without which L2 could neither report nor find its disk; kernels
of packages for L1; and programs of Debian's for L2."""
import collections
import gzip
import hashlib
import lzma
import os
import re
import subprocess
import tarfile

import debian
from common import Failure, cache_dir, locked, need_space, remove

SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports")
# A release may have another kernel for an architecture as well: SUITE:FLAVOUR
FLAVOURS = {"trixie:arm64-16k": "arm64"}
ARCHS = {"x86_64": "amd64", "arm64": "arm64"}
MODULES = ("virtio_pci", "virtio_mmio", "virtio_console", "nvme", "e1000e")
# What L1, the host, loads of a kernel that is a package, before the probes are set
L1_MODULES = {"x86_64": ("virtio_pci", "virtio_console", "virtio_net", "iommufd", "vfio_pci",
                         "kvm_amd", "vhost_net"),
              "arm64": ("virtio_pci", "virtio_console", "virtio_net", "iommufd", "vfio_pci")}
# Directories of a package's kernel/ that have these and all that they need
_PARTS = ("drivers/nvme", "drivers/virtio", "drivers/char", "drivers/base", "drivers/ptp",
          "drivers/pps", "drivers/net/ethernet/intel/e1000e", "drivers/mfd", "block", "lib",
          "crypto", "arch")

# What a word of L2's program needs of Debian: packages, and beginnings of the names of those
# that these do without; the files of them that L2 gets, besides their libraries; and what a
# kernel of Debian has to load
Program = collections.namedtuple("Program", "suite packages leave_out files modules parts")
PROGRAMS = {
    "testpmd": Program(
        "trixie",
        ("dpdk-dev", "librte-net-e1000-25", "librte-mempool-ring25", "librte-bus-pci25"),
        ("libdpdk-dev", "linux-libc-dev", "libc6-dev", "libssl-dev", "libpcap0.8-dev",
         "libsystemd-dev", "libipsec-mb-dev", "libibverbs-dev", "zlib1g-dev", "python3",
         "libpython3", "systemd", "dpkg", "passwd", "tar", "udev", "gcc", "binutils"),
        ("usr/bin/dpdk-testpmd", "usr/lib/x86_64-linux-gnu/librte_net_e1000.so.25",
         "usr/lib/x86_64-linux-gnu/dpdk/pmds-25.0/librte_mempool_ring.so.25"),
        ("vfio_pci", "vfio_iommu_type1"), ("drivers/vfio", "virt")),
    "container": Program("", (), (), (), ("vfio_pci", "vfio_iommu_type1"),
                         ("drivers/vfio", "virt")),
}


def programs(words):
    """What PROGRAMS has for the words of L2's program, by word."""
    verbs = [word.partition(":")[0] for word in words]
    return {verb: PROGRAMS[verb] for verb in verbs if verb in PROGRAMS}


def unpacked(program, arch):
    """The directory with a program, and with all that it needs."""
    return str(debian.unpack_root(program.packages[0], program.suite, program.packages,
                                  program.leave_out, arch=ARCHS[arch]))


def xen(suite):
    """Return Debian's Xen, as a file that QEMU's -kernel takes."""
    packages = [name for name in debian.package_names(suite, "xen-hypervisor-", "amd64")
                if re.fullmatch(r"xen-hypervisor-[\d.]+-amd64", name)]
    if len(packages) != 1:
        raise Failure("%s has %s, not one Xen" % (suite, " and ".join(packages) or "none"))
    deb = debian.fetch_package(suite, packages[0], "amd64")
    final = cache_dir() / "stock" / ("xen-%s" % deb.stem)
    with locked(cache_dir() / "stock" / "xen.lock"):
        if not final.is_file():
            root = final.with_name(final.name + ".root")
            remove(root)
            debian.unpack_package(deb, root)
            images = list((root / "boot").glob("xen-*.gz"))
            if len(images) != 1:
                raise Failure("%s has %d images, not one" % (deb.name, len(images)))
            partial = final.with_name(final.name + ".tmp")
            partial.write_bytes(gzip.decompress(images[0].read_bytes()))
            partial.rename(final)
            remove(root)
    return str(final)


def known(kernel_name, arch):
    """Is there such a kernel, a SUITE or SUITE:FLAVOUR?"""
    return kernel_name in SUITES or FLAVOURS.get(kernel_name) == arch


def kernel(name, arch, wanted=()):
    """Return (image, modules in the order of loading), and fetch them if need be.

    name: SUITE or SUITE:FLAVOUR.  wanted: programs that it is to carry.
    """
    suite, _, flavour = name.partition(":")
    modules = MODULES + tuple(name for program in wanted for name in program.modules)
    parts = _PARTS + tuple(part for program in wanted for part in program.parts)
    with locked(cache_dir() / "stock" / ("%s-%s.lock" % (suite, arch))):
        debs = debian.fetch_packages(suite, _packages(suite, ARCHS[arch], flavour), ARCHS[arch])
        key = hashlib.sha256("".join([deb.name for deb in debs] + list(modules + parts)).encode())
        final = cache_dir() / "stock" / ("%s-%s-%s" % (suite, arch, key.hexdigest()[:16]))
        if not final.is_dir():
            need_space(cache_dir(), 400, "Debian %s's kernel" % suite)
            partial = final.with_name(final.name + ".tmp")
            remove(partial)
            partial.mkdir(parents=True)
            for deb in debs:
                _extract(deb, partial, parts)
            _pick(partial, modules)
            partial.rename(final)
    return _image_and_modules(final)


def package(suite, arch):
    """The package of a release's kernel, of those releases that have only one."""
    return debian.fetch_packages(suite, _packages(suite, arch), arch)[-1]


def l1_kernel(deb, arch):
    """Return (image, modules in the order of loading, its configuration as it is in /boot)
    of a linux-image package."""
    key = hashlib.sha256("".join((debian.sha256_of(deb),) + L1_MODULES[arch]).encode())
    final = cache_dir() / "stock" / ("l1-%s-%s" % (arch, key.hexdigest()[:16]))
    with locked(cache_dir() / "stock" / "l1.lock"):
        if not final.is_dir():
            need_space(cache_dir(), 2500, "the kernel of %s" % deb)
            partial = final.with_name(final.name + ".tmp")
            remove(partial)
            partial.mkdir(parents=True)
            try:
                _extract(deb, partial, (".*",))
                for config in partial.glob("boot/config-*"):
                    config.rename(partial / config.name)
                _pick(partial, L1_MODULES[arch])
            except Failure as failure:
                remove(partial)
                raise Failure("%s will not do as host: %s" % (deb, failure)) from failure
            partial.rename(final)
    return (*_image_and_modules(final), [str(path) for path in final.glob("config-*")])


def _image_and_modules(directory):
    """What _pick has left."""
    return str(directory / "image"), [str(directory / name)
                                      for name in sorted(os.listdir(directory))
                                      if name.endswith(".ko")]


def _packages(suite, arch, flavour=""):
    """The packages behind linux-image-FLAVOUR, by default that of the architecture,
    that have files of the kernel."""
    debian.update(suite, arch)
    todo, found = ["linux-image-" + (flavour or arch)], []
    while todo:
        text = debian.apt(suite, "show", todo.pop(), arch=arch)
        depends = re.search(r"^Depends: (.*)", text, re.M)
        for name in re.findall(r"\b(linux-(?:image|binary|modules|base)-\d[^ ,]*)",
                               depends[1] if depends else ""):
            if name not in found:
                found.append(name)
                todo.append(name)
    if not found:
        raise Failure("%s has no linux-image-%s" % (suite, flavour or arch))
    return found


def _extract(deb, target, parts):
    """What is needed of a package; the newest ones have nothing in /boot."""
    wanted = re.compile(r"boot/(vmlinuz|config)-|"
                        r"lib/modules/[^/]*/(vmlinuz$|modules\.builtin$|kernel/(%s)/)"
                        % "|".join(parts))
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)],
                          stdout=subprocess.PIPE) as package:
        with tarfile.open(fileobj=package.stdout, mode="r|") as archive:
            for member in archive:
                if member.isfile() and wanted.search(member.name):
                    archive.extract(member, target)
    if package.returncode:
        raise Failure("%s cannot be unpacked" % deb.name)


def _pick(directory, modules):
    """Leave the image, and the modules by the order of loading."""
    images = list(directory.rglob("vmlinuz*"))
    builtins = list(directory.rglob("modules.builtin"))
    if len(images) != 1 or len(builtins) != 1:
        raise Failure("%d kernels and %d lists of what they have built in, in %s, not one of each"
                      % (len(images), len(builtins), directory))
    builtin = {_name(line) for line in builtins[0].read_text(encoding="ascii").splitlines()}
    files = {_name(str(path)): path for path in directory.rglob("*.ko*")}
    order = []

    def load(name):
        if name in builtin or name in order:
            return
        if name not in files:
            raise Failure("the kernel in %s has no module %s" % (directory, name))
        data = _uncompressed(files[name])
        for needed in _depends(data):
            load(needed)
        (directory / ("%02d-%s.ko" % (len(order), name))).write_bytes(data)
        order.append(name)

    for name in modules:
        load(name)
    images[0].rename(directory / "image")
    for path in directory.iterdir():
        if path.is_dir():
            remove(path)


def _name(path):
    return os.path.basename(path).partition(".ko")[0].replace("-", "_")


def _uncompressed(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _depends(module):
    """The modules that a module names in its .modinfo section."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] \
        if found else []
