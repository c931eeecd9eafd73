# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of Debian suites that the machine itself need not be on.

Downloads grow in $CACHE/dl/partial, where an interrupted one is resumed, and
move to $CACHE/dl once their sha256 is that of apt's signed index.
"""

import hashlib
import re
import subprocess
import sys
import time
from collections import namedtuple

from common import Failure, TOOLS, cache_dir, locked, need_space, note, remove, run

Remote = namedtuple("Remote", "name size sha256")

UPDATE_AFTER = 3600     # seconds that an index is taken for fresh


# What apt, or tools/apt-private, says of an archive that cannot be reached
UNREACHABLE = re.compile(r"^E: (Failed|Unable) to fetch|^apt-private: .*"
                         r"( cannot be fetched| has no Debian source )", re.M)
kept = set()    # the indexes that are old ones in this run, because no others could be had


class Unavailable(Failure):
    """It cannot be had: the machine may be offline, or the archive has moved on."""


def apt(suite, *args, cwd=None, show=False, arch=None):
    """Run apt on the private state of a suite; returns its output.

    arch: Debian's name of an architecture, this machine's if not given.
    """
    done = subprocess.run(
        [TOOLS / "apt-private", suite, arch or architecture(), *args], cwd=cwd,
        check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=sys.stderr if show else subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines()
                 if line.startswith(("E:", "apt-private:"))]
        kind = Unavailable if UNREACHABLE.search(done.stderr) else Failure
        raise kind(re.sub(r"^(E:|apt-private:) *", "", lines[0]) if lines
                   else f"apt failed with status {done.returncode}")
    return done.stdout


def architecture():
    return run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE,
               text=True).stdout.strip()


def update(suite, arch=None):
    """Have a fresh index of the suite, or keep an old one if there is no network."""
    stamp = cache_dir() / "apt" / f"{suite}-{arch or architecture()}" / "updated"
    if stamp in kept or (stamp.exists() and
                         time.time() - stamp.stat().st_mtime < UPDATE_AFTER):
        return
    if not stamp.exists():
        need_space(cache_dir(), 250, f"the index of Debian {suite}")
        note(f"fetching the index of Debian {suite}{f' for {arch}' if arch else ''}")
    try:
        apt(suite, "update", arch=arch)
    except Unavailable as failure:
        if not stamp.exists():
            raise
        kept.add(stamp)
        note(f"notice: {failure}: that of {time.strftime('%F', time.gmtime(stamp.stat().st_mtime))}"
             " is used")


def uris(text):
    """The files that apt-get --print-uris names."""
    found = re.findall(r"^'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})", text, re.M)
    return [Remote(name, int(size), sha256) for name, size, sha256 in found]


def source_tarball(suite, package):
    """What the suite has as the package's original source."""
    update(suite)
    files = uris(apt(suite, "source", "--print-uris", package))
    for remote in files:
        if re.search(r"\.orig\.tar\.\w+$", remote.name):
            return remote
    raise Failure(f"no source package {package}")


def fetch_source_tarball(suite, package, remote):
    """Only the tarball is asked for: nothing else of the package must exist."""
    return fetch(suite, remote, "source", "--download-only", "--tar-only", package)


def source_patches(suite, package):
    """What the suite has as debian/ of the package's source: its own patches."""
    update(suite)
    for remote in uris(apt(suite, "source", "--print-uris", package)):
        if remote.name.endswith(".debian.tar.xz"):
            return remote
    raise Failure(f"no source package {package}")


def fetch_source_patches(suite, package, remote):
    return fetch(suite, remote, "source", "--download-only", "--diff-only", package)


def package_names(suite, prefix, arch=None):
    update(suite, arch)
    return apt(suite, "pkgnames", prefix, arch=arch).split()


def fetch_package(suite, package, arch=None):
    """The .deb of a package, from dl/ or from the archive."""
    update(suite, arch)
    files = uris(apt(suite, "download", "--print-uris", package, arch=arch))
    if not files:
        raise Failure(f"no package {package} in {suite}")
    return fetch(suite, files[0], "download", package, arch=arch)


def fetch_packages(suite, packages, arch=None):
    """The .debs of packages, in that order: what is missing comes in one go."""
    update(suite, arch)
    found = {remote.name.partition("_")[0]: remote for remote in
             uris(apt(suite, "download", "--print-uris", *packages, arch=arch))}
    for package in packages:
        if package not in found:
            raise Failure(f"no package {package} in {suite}")
    missing = [package for package in packages if not have(found[package])]
    if missing:
        partial = cache_dir() / "dl/partial"
        partial.mkdir(parents=True, exist_ok=True)
        need_space(partial, (sum(found[name].size for name in missing) >> 20) + 1,
                   f"{len(missing)} packages")
        note(f"fetching {len(missing)} packages of Debian {suite}"
             f"{f' for {arch}' if arch else ''}")
        apt(suite, "-qq", "download", *missing, cwd=partial, arch=arch)
    return [keep(found[package]) for package in packages]


def fetch(suite, remote, *command, arch=None):
    if not have(remote):
        partial = cache_dir() / "dl/partial"
        partial.mkdir(parents=True, exist_ok=True)
        need_space(partial, (remote.size >> 20) + 1, remote.name)
        note(f"fetching {remote.name} ({remote.size >> 20} MiB)")
        apt(suite, *command, cwd=partial, show=True, arch=arch)
    return keep(remote)


def have(remote):
    final = cache_dir() / "dl" / remote.name
    return final.is_file() and sha256_of(final) == remote.sha256


def keep(remote):
    """Move what was fetched into dl/ if it is what the index promised."""
    final = cache_dir() / "dl" / remote.name
    if have(remote):
        return final
    file = final.parent / "partial" / remote.name
    found = sha256_of(file) if file.is_file() else "no file"
    if found != remote.sha256:
        remove(file)
        raise Failure(f"{remote.name} has sha256 {found}, wanted is {remote.sha256}")
    file.rename(final)
    return final


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_package(deb, target):
    """Unpack a .deb into a directory, all or nothing."""
    partial = target.with_name(target.name + ".tmp")
    remove(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    run(["dpkg-deb", "--extract", deb, partial], stderr=subprocess.PIPE)
    partial.rename(target)


def unpack_root(what, suite, packages, leave_out=(), files=(), arch=None):
    """A directory in the cache with packages and all that they need, unpacked.

    what: its name; leave_out: beginnings of names of packages that are not
    needed for what is done here; files: (name, text) of more files, of which
    those that begin with #! are programs; arch: Debian's name of an architecture, this
    machine's if not given.
    """
    wanted = (suite, packages, leave_out, files)
    if arch not in (None, architecture()):
        wanted += (arch,)
    key = hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]
    final = cache_dir() / f"{what}-{key}"
    with locked(cache_dir() / f"{what}.lock"):
        if not final.is_dir():
            update(suite, arch)
            listed = apt(suite, "install", "--print-uris", "-qq", "-y",
                         "--no-install-recommends", *packages, arch=arch)
            names = re.findall(r"^'[^']+' ([^_ ]+)_", listed, re.M)
            debs = fetch_packages(suite, [name for name in names
                                          if not name.startswith(leave_out)], arch)
            partial = final.with_name(f"{final.name}.tmp")
            remove(partial)
            partial.mkdir()
            for deb in debs:
                run(["dpkg-deb", "--extract", deb, partial], stderr=subprocess.PIPE)
            for name, text in files:
                (partial / name).write_text(text, encoding="utf-8")
                (partial / name).chmod(0o755 if text.startswith("#!") else 0o644)
            partial.rename(final)
    return final
