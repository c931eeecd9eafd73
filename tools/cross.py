# SPDX-License-Identifier: GPL-2.0-or-later
"""Building for the testbed's other architecture, arm64 or on an arm64 machine x86_64,
and what an arm64 guest boots.

Everything comes from Debian's packages for it, which are unpacked into the
cache and never installed:

    $CACHE/sysroot-ARCH      headers and libraries that QEMU is built against,
                             and a static busybox
    $CACHE/firmware-arm64    UEFI for the virt machine
"""

import os
import platform
import shutil
from collections import namedtuple

import building
import debian
from common import Failure, ROOT, cache_dir, locked, need_space, remove, run_long

SUITE = "trixie"

# What QEMU needs, and what pkg-config asks for on the way there.
SYSROOT = """
    libc6 libc6-dev libcrypt1 libcrypt-dev linux-libc-dev libgcc-s1 libatomic1
    libglib2.0-0t64 libglib2.0-dev libgio-2.0-dev libffi8 libffi-dev
    libpcre2-8-0 libpcre2-dev zlib1g zlib1g-dev libmount1 libmount-dev
    libblkid1 libblkid-dev libselinux1 libselinux1-dev libsepol2 libsepol-dev
    libsysprof-capture-4-dev libpixman-1-0 libpixman-1-dev libfdt1 libfdt-dev
    busybox-static
    """.split()
UEFI = "qemu-efi-aarch64"

# How the testbed, Debian and QEMU call an architecture, the package of its cross compiler,
# and the QEMU under test: of a virt machine only what it may have in L1.
Arch = namedtuple("Arch", "name debian triplet qemu compiler devices features")
ARCHS = {
    "x86_64": Arch("x86_64", "amd64", "x86_64-linux-gnu", "x86_64", "gcc-x86-64-linux-gnu",
                   None, ["--enable-vhost-kernel", "--enable-vhost-net"]),
    "arm64": Arch("arm64", "arm64", "aarch64-linux-gnu", "aarch64", "gcc-aarch64-linux-gnu",
                  ROOT / "tools/viommu-arm64.mak",
                  ["--without-default-devices", "--enable-vhost-kernel", "--enable-vhost-net"]),
}
TARGETS = [building.HOST_CHECK, "tests/qtest/fakehost/libfakehost.so",
           # What testbed/lib/scenario.py names TESTS
           *(f"tests/qtest/fakehost-{name}test" for name in ("", "arguments-", "cmdqv-", "dirty-", "smmuv3-"))]


def foreign():
    """The Arch that has to be cross-built."""
    return ARCHS["x86_64" if platform.machine() == "aarch64" else "arm64"]


def sysroot():
    """The path of the foreign architecture's sysroot."""
    arch = foreign()
    final = cache_dir() / f"sysroot-{arch.name}"
    with locked(cache_dir() / "cross.lock"):
        if not final.is_dir():
            need_space(cache_dir(), 300, f"the {arch.name} sysroot")
            partial = final.with_name(final.name + ".tmp")
            remove(partial)
            # Packages of a merged /usr expect it: /lib leads to /usr/lib
            for folder in ("bin", "lib", "lib64", "sbin"):
                (partial / "usr" / folder).mkdir(parents=True)
                (partial / folder).symlink_to(f"usr/{folder}")
            unpack(SYSROOT, arch.debian, partial)
            partial.rename(final)
    return final


def firmware():
    """The directory that has QEMU_EFI.fd."""
    final = cache_dir() / "firmware-arm64"
    with locked(cache_dir() / "cross.lock"):
        if not final.is_dir():
            need_space(cache_dir(), 600, "UEFI for arm64")
            partial, unpacked = (final.with_name(final.name + end) for end in (".tmp", ".deb"))
            for path in (partial, unpacked):
                remove(path)
                path.mkdir()
            unpack([UEFI], "arm64", unpacked)
            shutil.copy2(unpacked / "usr/share/qemu-efi-aarch64/QEMU_EFI.fd", partial)
            remove(unpacked)
            partial.rename(final)
    return final


def unpack(names, arch, target):
    """Unpack packages on top of what is in the directory, and list them there."""
    unpacked = target.with_name(target.name + ".deb")
    with open(target / "packages", "w", encoding="utf-8") as file:
        for deb in debian.fetch_packages(SUITE, names, arch):
            remove(unpacked)
            debian.unpack_package(deb, unpacked)
            shutil.copytree(unpacked, target, symlinks=True, dirs_exist_ok=True)
            file.write(f"{deb.name}\n")
    remove(unpacked)


def flags(root):
    """Compiler and linker flags; -B and -L come before what the cross
    compiler's own package has, which may be of another version."""
    triplet = foreign().triplet
    lib = f"{root}/usr/lib/{triplet}"
    return [f"--sysroot={root}", f"-B{lib}/", f"-L{lib}",
            f"-isystem{root}/usr/include/{triplet}", f"-isystem{root}/usr/include"]


def environment(tree, root):
    env, triplet = building.environment(tree), foreign().triplet
    compiler = shutil.which(f"{triplet}-gcc")
    if not compiler:
        raise Failure(f"{triplet}-gcc is missing (tools/deps installs it)")
    ccache = "ccache " if shutil.which("ccache") else ""
    env.update(CC=f"{ccache}{triplet}-gcc", HOST_CC="gcc", PKG_CONFIG="pkg-config",
               PKG_CONFIG_SYSROOT_DIR=str(root),
               PKG_CONFIG_LIBDIR=os.pathsep.join(
                   f"{root}/usr/{folder}/pkgconfig" for folder in (f"lib/{triplet}", "share")),
               CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(tree))
    return env


def configure_options(arch, root):
    """What configure is asked for, besides what building.configure asks for."""
    line = " ".join(flags(root))
    devices = [f"--with-devices-{arch.qemu}={arch.devices.stem}"] if arch.devices else []
    return [f"--target-list={arch.qemu}-softmmu", "--enable-tcg", *arch.features, *devices,
            "--disable-debug-info", f"--cross-prefix={arch.triplet}-", "--host-cc=gcc",
            f"--extra-cflags={line}", f"--extra-ldflags={line}"]


def build(tree, version):
    """Build the QEMU under test for the foreign architecture; returns the build directory."""
    arch, root = foreign(), sysroot()
    where = tree / f"build-{arch.name}"
    what = f"QEMU for {arch.name}"
    if arch.devices:
        devices = tree / f"configs/devices/{arch.qemu}-softmmu" / arch.devices.name
        if not devices.exists():
            devices.symlink_to(arch.devices)
    env = environment(tree, root)
    building.configure(where, what, tree, version, configure_options(arch, root), env)
    run_long(f"build {what}", ["ninja", "-C", where, f"qemu-system-{arch.qemu}", *TARGETS],
             where / "build.log", env=env)
    if tree == ROOT / "build/tree":
        link = ROOT / f"build/qemu-{arch.name}"
        if not link.is_symlink():
            link.symlink_to(where.relative_to(link.parent))
    return where
