# SPDX-License-Identifier: GPL-2.0-or-later
"""Building for arm64 on another machine, and what an arm64 guest boots.

Everything comes from Debian's arm64 packages, which are unpacked into the
cache and never installed:

    $CACHE/sysroot-arm64     headers and libraries that QEMU is built against,
                             and a static busybox
    $CACHE/firmware-arm64    UEFI for the virt machine
"""

import os
import platform
import shutil

import building
import debian
from common import Failure, ROOT, cache_dir, locked, need_space, remove, run_long

SUITE = "trixie"
ARCH = "arm64"
TRIPLET = "aarch64-linux-gnu"

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

# The QEMU under test: only what a virt machine in L1 may have.
DEVICES = ROOT / "tools/viommu-arm64.mak"
FEATURES = ["--target-list=aarch64-softmmu", "--enable-tcg", "--without-default-devices",
            f"--with-devices-aarch64={DEVICES.stem}", "--disable-debug-info"]
TARGETS = ["qemu-system-aarch64", building.HOST_CHECK,
           "tests/qtest/fakehost/libfakehost.so",
           # What testbed/lib/scenario.py names TESTS
           *(f"tests/qtest/fakehost-{name}test" for name in ("", "arguments-", "cmdqv-", "dirty-", "smmuv3-"))]


def native():
    return platform.machine() == "aarch64"


def sysroot():
    """The sysroot's path; None on an arm64 machine, which needs none."""
    if native():
        return None
    final = cache_dir() / f"sysroot-{ARCH}"
    with locked(cache_dir() / "cross.lock"):
        if not final.is_dir():
            need_space(cache_dir(), 300, "the arm64 sysroot")
            partial = final.with_name(final.name + ".tmp")
            remove(partial)
            # Packages of a merged /usr expect it: /lib leads to /usr/lib
            for folder in ("bin", "lib", "sbin"):
                (partial / "usr" / folder).mkdir(parents=True)
                (partial / folder).symlink_to(f"usr/{folder}")
            unpack(SYSROOT, partial)
            partial.rename(final)
    return final


def firmware():
    """The directory that has QEMU_EFI.fd."""
    final = cache_dir() / f"firmware-{ARCH}"
    with locked(cache_dir() / "cross.lock"):
        if not final.is_dir():
            need_space(cache_dir(), 600, "UEFI for arm64")
            partial, unpacked = (final.with_name(final.name + end) for end in (".tmp", ".deb"))
            for path in (partial, unpacked):
                remove(path)
                path.mkdir()
            unpack([UEFI], unpacked)
            shutil.copy2(unpacked / "usr/share/qemu-efi-aarch64/QEMU_EFI.fd", partial)
            remove(unpacked)
            partial.rename(final)
    return final


def unpack(names, target):
    """Unpack packages on top of what is in the directory, and list them there."""
    unpacked = target.with_name(target.name + ".deb")
    with open(target / "packages", "w", encoding="utf-8") as file:
        for deb in debian.fetch_packages(SUITE, names, ARCH):
            remove(unpacked)
            debian.unpack_package(deb, unpacked)
            shutil.copytree(unpacked, target, symlinks=True, dirs_exist_ok=True)
            file.write(f"{deb.name}\n")
    remove(unpacked)


def flags(root):
    """Compiler and linker flags; -B and -L come before what the cross
    compiler's own package has, which may be of another version."""
    lib = f"{root}/usr/lib/{TRIPLET}"
    return [f"--sysroot={root}", f"-B{lib}/", f"-L{lib}",
            f"-isystem{root}/usr/include/{TRIPLET}", f"-isystem{root}/usr/include"]


def environment(tree, root):
    env = building.environment(tree)
    compiler = shutil.which(f"{TRIPLET}-gcc")
    if not compiler:
        raise Failure(f"{TRIPLET}-gcc is missing (tools/deps installs it)")
    ccache = "ccache " if shutil.which("ccache") else ""
    env.update(CC=f"{ccache}{TRIPLET}-gcc", HOST_CC="gcc", PKG_CONFIG="pkg-config",
               PKG_CONFIG_SYSROOT_DIR=str(root),
               PKG_CONFIG_LIBDIR=os.pathsep.join(
                   f"{root}/usr/{folder}/pkgconfig" for folder in (f"lib/{TRIPLET}", "share")),
               CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(tree))
    return env


def build(tree, version):
    """Build the QEMU under test for arm64; returns the build directory."""
    root = sysroot()
    where = tree / f"build-{ARCH}"
    what = "QEMU for arm64"
    devices = tree / "configs/devices/aarch64-softmmu" / DEVICES.name
    if not devices.exists():
        devices.symlink_to(DEVICES)
    env = environment(tree, root)
    line = " ".join(flags(root))
    features = [*FEATURES, f"--cross-prefix={TRIPLET}-", "--host-cc=gcc",
                f"--extra-cflags={line}", f"--extra-ldflags={line}"]
    building.configure(where, what, tree, version, features, env)
    run_long(f"build {what}", ["ninja", "-C", where, *TARGETS], where / "build.log", env=env)
    if tree == ROOT / "build/tree":
        link = ROOT / f"build/qemu-{ARCH}"
        if not link.is_symlink():
            link.symlink_to(where.relative_to(link.parent))
    return where
