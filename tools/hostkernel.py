# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux for the host, as Debian packages: Debian's source and configuration, with what
nesting needs.

In the cache, in host-kernel/, for each architecture, flavour and configuration:

    NAME/obj        what is built so far; an interrupted build goes on with it
    NAME/build.log
    NAME/*.deb      the packages, and in NAME/built their sha256

The kernel's own bindeb-pkg makes the packages, with debhelper.
"""

import hashlib
import io
import lzma
import os
import re
import resource
import shutil
import subprocess
import tarfile
import time
from collections import namedtuple
from pathlib import Path

import debian
import series
from common import (Failure, Progress, ROOT, TOOLS, cache_dir, commits, locked, need_space, note,
                    output, remove, run)

SUITE = "trixie-backports"      # tools/fetch-linux has it too
FRAGMENTS = ROOT / "packaging/host-kernel"
# Of the kernel's own names; cross: what its tools begin with on another machine
Arch = namedtuple("Arch", "karch cross")
ARCHS = {"amd64": Arch("x86", "x86_64-linux-gnu-"), "arm64": Arch("arm64", "aarch64-linux-gnu-")}
# MiB that a build may take; with debug information it is a multiple
CLOUD_MIB, FULL_MIB, DEBUG_FACTOR = 3000, 9000, 5
# About how many steps a build has that was not done before, from the number of its modules,
# and of what is built in
STEPS_MODULE, STEPS_BUILTIN = 5, 3

# What the kernel's build calls, some of it at its end only, and the packages that have it
PROGRAMS = {"dh_builddeb": "debhelper", "openssl": "openssl", "zstd": "zstd"}

Wanted = namedtuple("Wanted", "arch flavour debug")


def wanted():
    """What ARCH=, FLAVOUR= and DEBUG_INFO= ask for."""
    arch = os.environ.get("ARCH") or debian.architecture()
    if arch not in ARCHS:
        raise Failure(f"ARCH={arch}: there are {' and '.join(ARCHS)}")
    flavour = os.environ.get("FLAVOUR") or arch
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", flavour):
        raise Failure(f"FLAVOUR={flavour}: small letters, digits and - make a name")
    debug = os.environ.get("DEBUG_INFO", "0")
    if debug not in ("0", "1"):
        raise Failure(f"DEBUG_INFO={debug}: 0 or 1")
    return Wanted(arch, flavour, debug == "1")


# --- source and configuration ---

Source = namedtuple("Source", "path kernel package")


def source():
    """The tree of tools/fetch-linux, its version, and that of Debian's package."""
    path = Path(output([TOOLS / "fetch-linux"]).splitlines()[-1])
    kernel = output(["make", "-s", "-C", path, "kernelversion"], env=clean_environment())
    found = re.fullmatch(r"linux-source-[\d.]+-(\d.*)", path.name)
    return Source(path, kernel, found[1] if found else f"{kernel}-1")


def debian_config(src, want):
    """Debian's configuration of a flavour: CONFIG= or package linux-config-X.Y."""
    given = os.environ.get("CONFIG")
    if given:
        if not Path(given).is_file():
            raise Failure(f"CONFIG={given}: no such file")
        return Path(given).read_text(encoding="utf-8")
    package = "linux-config-" + ".".join(src.kernel.split(".")[:2])
    deb = cache_dir() / "dl" / f"{package}_{src.package}_{want.arch}.deb"
    if not deb.is_file():
        try:
            deb = debian.fetch_package(SUITE, package, want.arch)
        except Failure as failure:
            raise Failure(f"no {package} for {want.arch}, the configuration of Debian's Linux "
                          f"(CONFIG= names a file of your own; {cache_dir() / 'linux/chosen'} "
                          f"names the source, for the newest one remove it): {failure}"
                          ) from failure
        if src.package not in deb.name:
            note(f"notice: the source is {src.package}, the configuration that of {deb.name}")
    return flavour_of(deb, want)


def flavour_of(deb, want):
    """The configuration of one flavour in a linux-config package."""
    data = run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE,
               stderr=subprocess.PIPE).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            name = re.search(r"/config\.[^_]+_none_(\S+)\.xz$", member.name)
            if name:
                found[name[1]] = archive.extractfile(member).read()
    if want.flavour not in found:
        raise Failure(f"FLAVOUR={want.flavour}: {deb.name} has "
                      f"{', '.join(sorted(found)) or 'no configuration'}")
    return lzma.decompress(found[want.flavour]).decode()


def fragment(want):
    """The lines that the configuration must have."""
    lines = "".join((FRAGMENTS / f"{name}.config").read_text(encoding="utf-8")
                    for name in ("common", want.arch))
    return lines if want.debug else lines + "CONFIG_DEBUG_INFO_NONE=y\n"


# --- building ---

class Build:
    """One build in the cache."""

    def __init__(self, want, src, config):
        self.want, self.src = want, src
        self.config = config + fragment(want)
        origin = src.path.name if src.path.parent == cache_dir() / "linux" else own_source(src)
        key = hashlib.sha256(f"{origin}\n{want.flavour}\n{self.config}".encode()).hexdigest()[:12]
        self.where = cache_dir() / "host-kernel" / f"{want.arch}-{want.flavour}-{key}"
        self.obj, self.log = self.where / "obj", self.where / "build.log"
        self.what = f"Linux {src.kernel} {want.flavour}"
        self.mib = CLOUD_MIB if want.flavour.startswith("cloud-") else FULL_MIB
        self.mib *= DEBUG_FACTOR if want.debug else 1

    def make(self, *args):
        """The command line of make in the build directory."""
        arch = ARCHS[self.want.arch]
        cross = "" if self.want.arch == debian.architecture() else arch.cross
        ccache = "ccache " if shutil.which("ccache") else ""
        return ["make", "-C", self.src.path, f"O={self.obj}", f"ARCH={arch.karch}",
                f"CROSS_COMPILE={cross}", f"LOCALVERSION=-viommu-{self.want.flavour}",
                f"CC={ccache}{cross}gcc", f"HOSTCC={ccache}gcc", *args]

    def environment(self):
        env = clean_environment()
        name, mail = re.fullmatch(r"(.*) <(.*)>", series.IDENTITY).groups()
        made = (self.src.path / "Makefile").stat().st_mtime
        env.update(
            KBUILD_BUILD_USER="viommu-nesting", KBUILD_BUILD_HOST="debian",
            KBUILD_BUILD_TIMESTAMP=time.strftime("%F", time.gmtime(made)),
            DEBFULLNAME=name, DEBEMAIL=mail, KDEB_SOURCENAME="linux-viommu",
            KDEB_CHANGELOG_DIST="unstable", DEB_BUILD_OPTIONS="terse",
            KDEB_PKGVERSION=package_version(self.src.package),
            CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(cache_dir()), CCACHE_DEPEND="1")
        if self.want.arch != debian.architecture():
            # Their programs would have to be built with a C library for that machine
            env["DEB_BUILD_PROFILES"] = "pkg.linux-viommu.nokernelheaders"
        return env

    def configure(self):
        """Debian's configuration with our lines on top, each of which has to survive."""
        done = self.where / "configured"
        if done.is_file():
            return
        remove(self.obj)
        self.obj.mkdir(parents=True)
        (self.obj / ".config").write_text(self.config, encoding="utf-8")
        run(self.make("olddefconfig"), env=self.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        kept = set((self.obj / ".config").read_text(encoding="utf-8").splitlines())
        lost = [line for line in fragment(self.want).splitlines()
                if line.startswith("CONFIG_") and not {line, re.sub("=m$", "=y", line)} & kept]
        if lost:
            raise Failure(f"the configuration of {self.what} lost {' '.join(lost)}: another one "
                          f"stands against it, see {self.obj}/.config")
        done.touch()

    def compile(self):
        """Compile what is not compiled yet."""
        steps, used = so_far(self.obj)
        need_space(self.where, max(500, self.mib - (used >> 20)), f"building {self.what}")
        last = self.where.with_name(f"steps-{self.want.arch}-{self.want.flavour}")
        total = int(last.read_text(encoding="ascii")) if last.is_file() else self.guess()
        self.logged(self.what, self.make(f"-j{len(os.sched_getaffinity(0))}", "all"),
                    steps, total)
        last.write_text(f"{so_far(self.obj)[0]}\n", encoding="ascii")

    def guess(self):
        """About how many steps there are."""
        config = (self.obj / ".config").read_text(encoding="utf-8")
        return (STEPS_MODULE * len(re.findall("=m$", config, re.M)) +
                STEPS_BUILTIN * len(re.findall("=y$", config, re.M)))

    def package(self):
        """Have bindeb-pkg make the packages, without those that nobody asked for."""
        targets = "binary-image"
        if self.want.debug:
            targets += ",binary-image-dbg"
        if self.want.arch == debian.architecture():
            targets += ",binary-headers"
        for deb in self.where.glob("*.deb"):
            deb.unlink()
        need_space(self.where, self.mib // 5, f"the packages of {self.what}")
        self.logged(f"packages of {self.what}",
                    self.make("bindeb-pkg", f"DPKG_FLAGS=-d -T{targets}"), 0, 0)

    def logged(self, what, command, steps, total):
        """Run make; each line is a step, and what fails shows its end."""
        progress, tail = Progress(what), []
        with open(self.log, "ab") as log, subprocess.Popen(
                [str(word) for word in command], env=self.environment(), cwd=self.obj,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                log.write(line)
                text = line.decode(errors="replace").rstrip()
                steps += bool(re.match(r"  [A-Z]", text))
                if text:
                    tail = tail[-29:] + [text]
                    progress.show(f"{steps} of about {max(steps, total)} steps" if total
                                  else text.strip())
        if process.returncode:
            progress.done("failed")
            for line in tail:
                note(f"  {line}")
            if any("No space left on device" in line for line in tail):
                raise Failure(f"the disk is full, {shutil.disk_usage(self.where).free >> 20} MiB "
                              f"are left in {self.where} (the next run goes on)")
            raise Failure(f"{what} failed; all output is in {self.log} (the next run goes on)")
        progress.done()

    def run(self):
        """Have the packages; returns their paths, that of the kernel first."""
        with locked(self.where.with_name(self.where.name + ".lock")):
            if self.finished():
                self.drop_objects()     # of a run that was interrupted at its end
            else:
                missing = [package for program, package in PROGRAMS.items()
                           if not shutil.which(program)]
                if missing:
                    raise Failure(f"not installed: {' '.join(missing)}; as root: apt-get install "
                                  f"--no-install-recommends {' '.join(missing)}")
                self.configure()
                self.compile()
                self.package()
                self.note_result()
        return sorted(self.where.glob("*.deb"), key=lambda deb: "linux-image-" not in deb.name)

    def note_result(self):
        """Note what the packages are; the objects are not needed any more."""
        debs = sorted(self.where.glob("*.deb"))
        if not any(deb.name.startswith("linux-image-") for deb in debs):
            raise Failure(f"no linux-image package came out, see {self.log}")
        (self.where / "built").write_text(
            "".join(f"{debian.sha256_of(deb)}  {deb.name}\n" for deb in debs), encoding="utf-8")
        self.drop_objects()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        note(f"{self.what}: this run took {used.ru_utime + used.ru_stime:.0f} s of CPU time")

    def drop_objects(self):
        """Remove what only a build needs, such as the key that signed its modules."""
        (self.where / "configured").unlink(missing_ok=True)
        remove(self.obj)

    def finished(self):
        """Whether the packages are there, and are what was built."""
        built = self.where / "built"
        if not built.is_file():
            return False
        for line in built.read_text(encoding="utf-8").splitlines():
            sha256, name = line.split()
            deb = self.where / name
            if not deb.is_file() or debian.sha256_of(deb) != sha256:
                note(f"notice: {deb} is not what was built, it is built again")
                built.unlink()
                return False
        return True


def own_source(src):
    """What tells a source of one's own from what it was before: edits that are not committed
    do not, where there is a git."""
    commit = run(["git", "-C", src.path, "rev-parse", "HEAD"], check=False,
                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return f"{src.path} {src.kernel} {commit or (src.path / 'Makefile').stat().st_mtime}"


def so_far(obj):
    """How many steps are done in a build directory, and the bytes that it takes."""
    steps = used = 0
    for folder, _, names in os.walk(obj):
        steps += sum(name.endswith(".cmd") for name in names)
        used += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return steps, used


def package_version(debian_version):
    """Later than Debian's own, and grows with the project's commits."""
    return f"{debian_version}+viommu{commits()}"


def clean_environment():
    """Without what make hands down, which the kernel's make would take for its own."""
    return {name: value for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "CONFIG", "DEBUG_INFO",
                            "CROSS_COMPILE", "LOCALVERSION", "KCONFIG_CONFIG")}


def build():
    """Have the packages that are wanted; returns their paths, that of the kernel first."""
    want = wanted()
    src = source()
    return Build(want, src, debian_config(src, want)).run()
