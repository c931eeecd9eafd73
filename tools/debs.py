# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages, built and tried in chroots, which need root.

In the cache, in deb/, for each release:

    build-SUITE         a chroot with what building and the trial need
    bare-SUITE.tar.gz   a system of nothing but apt and passwd, unpacked for each trial
"""

import hashlib
import os
import platform
import re
import tarfile

import base
import debian
import exporting
import scratch
import series
from common import (Failure, ROOT, cache_dir, commits, locked, need_space, output,
                    python_modules, remove, run, run_long)

SUITES = {"bookworm": "12", "trixie": "13"}
PACKAGING = ROOT / "packaging/debian"
SOURCE = "qemu-viommu"

# $1: the chroot; then pairs of a directory and where it is bound; --; the command.
# The mounts are in a namespace that ends with the command.
INSIDE = """set -e
root=$1; shift
cp -L /etc/resolv.conf "$root/etc"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2
done
shift
exec chroot "$root" "$@"
"""


def inside(root, command, binds, network=False):
    """The command line that runs a command in a chroot; what it starts ends with it."""
    pairs = [str(word) for pair in binds for word in pair]
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child",
            *([] if network else ["--net"]), "sh", "-c", INSIDE, "sh", str(root), *pairs,
            "--", "env", "-i", "PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
            *map(str, command)]


def suite_wanted():
    """The release that DIST= names, else the machine's own."""
    wanted = os.environ.get("DIST")
    suite = wanted or platform.freedesktop_os_release().get("VERSION_CODENAME")
    if suite not in SUITES:
        raise Failure(f"{f'DIST={wanted}' if wanted else 'this system'} is not a release "
                      f"that packages are made for: DIST= may be {' or '.join(SUITES)}")
    return suite


def system(suite, target, *options):
    """Have Debian's base system of a release, as a directory or a tarball."""
    if target.exists():
        return target
    debian.update(suite)
    program = cache_dir() / "deb/mmdebstrap"
    if not program.is_dir():
        debian.unpack_package(debian.fetch_package("bookworm", "mmdebstrap"), program)
    need_space(cache_dir(), 1500, target.name)
    partial = target.with_name("partial-" + target.name)
    remove(partial)
    sources = cache_dir() / f"apt/{suite}-{debian.architecture()}/etc/sources.list"
    run_long(f"base system of Debian {suite}",
             # What it mounts goes when it ends, however it ends
             ["unshare", "--mount", "perl", program / "usr/bin/mmdebstrap", "--mode=root",
              "--dpkgopt=force-unsafe-io", "--aptopt=APT::Install-Recommends \"false\"",
              *options, suite, partial, sources],
             target.with_name(target.name + ".log"))
    partial.rename(target)
    return target


def build_root(suite):
    return system(suite, cache_dir() / f"deb/build-{suite}", "--variant=buildd",
                  "--include=ccache,lintian,piuparts")


def bare_system(suite):
    # On Debian 13 apt alone does without passwd, which leaves a lock when it is purged
    return system(suite, cache_dir() / f"deb/bare-{suite}.tar.gz", "--variant=apt",
                  "--include=passwd")


def version(qemu, suite, commits):
    """Grows with the project's commits, and from one release of Debian to the next."""
    return f"{qemu}+viommu{commits}~deb{SUITES[suite]}u1"


def changelog(wanted, suite):
    date = output(["date", "-R", "-u", "-d", f"@{series.DATE.split()[0]}"])
    return (f"{SOURCE} ({wanted}) {suite}; urgency=medium\n\n"
            "  * QEMU with the series viommu-nesting.\n\n"
            f" -- {series.IDENTITY}  {date}\n")


def fingerprint(commit):
    """Of all that goes into the packages, which their tests do not."""
    found = hashlib.sha256(commit.encode())
    for path in sorted(path for path in PACKAGING.rglob("*")
                       if path.is_file() and path.parent.name != "tests"):
        found.update(str(path.relative_to(PACKAGING)).encode() + path.read_bytes())
    return found.hexdigest()


def copyright_text(debian_tarball):
    """Our debian/copyright, and between its parts what Debian's says of QEMU's files."""
    with tarfile.open(debian_tarball) as archive:
        theirs = archive.extractfile("debian/copyright").read().decode()
    header, rest = (PACKAGING / "copyright").read_text(encoding="utf-8").split("\n\n", 1)
    files = re.search(r"^Files: \*\n.*", theirs, re.M | re.S)
    if not files:
        raise Failure(f"{debian_tarball}: its debian/copyright says nothing of all files")
    return f"{header}\n\n{files[0].strip()}\n\n{rest}"


def unpack_sources(tree, commit, suite, wanted, target):
    """The export's last commit, with our debian/."""
    remove(target)
    target.mkdir(parents=True)
    tar = target.with_suffix(".tar")
    tree.repo.git("archive", "-o", tar, commit)
    run(["tar", "-xf", tar, "-C", target])
    tar.unlink()
    run(["cp", "-r", PACKAGING, target / "debian"])
    (target / "debian/copyright").write_text(copyright_text(base.debian_patches()),
                                             encoding="utf-8")
    (target / "debian/changelog").write_text(changelog(wanted, suite), encoding="utf-8")


def build(suite):
    """Build the packages of a release unless they are there; returns their paths."""
    if os.geteuid():
        raise Failure("packages are built and tried in chroots, which only root can make")
    with locked(cache_dir() / "deb/lock"):
        found = base.find()
        tree = scratch.Tree()
        tree.update(found)
        commit = exporting.commits(tree)[-1]
        target, mark = ROOT / "build/deb" / suite, fingerprint(commit)
        stamp = target / "built"
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != mark:
            build_in_chroot(tree, commit, found.version, suite, target)
            stamp.write_text(mark, encoding="utf-8")
    return sorted(target.glob("*.deb"))


def build_in_chroot(tree, commit, qemu, suite, target):
    root = build_root(suite)
    where = root / "build"
    need_space(cache_dir(), 3000, "the packages")
    remove(where)   # what an interrupted build has left
    unpack_sources(tree, commit, suite, version(qemu, suite, commits()), where / SOURCE)
    ccache = cache_dir() / "deb/ccache"
    ccache.mkdir(exist_ok=True)
    steps = {
        "build dependencies": "dpkg-checkbuilddeps 2> /dev/null || "
                              "{ dpkg --configure -a && apt-get -q update && "
                              "apt-get -q -y build-dep ./; }",
        "packages": "PYTHONPATH=/python CCACHE_DIR=/ccache "
                    f"SOURCE_DATE_EPOCH={series.DATE.split()[0]} "
                    f"DEB_BUILD_OPTIONS='terse noautodbgsym parallel={os.cpu_count()}' "
                    "dpkg-buildpackage -b -us -uc"}
    for what, step in steps.items():
        run_long(f"{what} for Debian {suite}",
                 inside(root, ["sh", "-c", f"cd /build/{SOURCE} && {step}"],
                        [(ccache, "/ccache"), (python_modules(), "/python")],
                        network=what != "packages"),
                 ROOT / f"build/deb/{suite}-{what.split()[-1]}.log")
    with exporting.replaced(target) as partial:
        for deb in where.glob("*.deb"):
            deb.rename(partial / deb.name)
    remove(where)
