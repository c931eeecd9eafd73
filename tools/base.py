# SPDX-License-Identifier: GPL-2.0-or-later
"""The base: a QEMU 10.0.x source, kept in the cache as one git commit."""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import stat
import subprocess
import tarfile
from collections import namedtuple
from pathlib import Path

import debian
from common import (Failure, ROOT, cache_dir, locked, need_space, note, output,
                    remove)
from debian import sha256_of
from series import DATE, IDENTITY

Base = namedtuple("Base", "git_dir commit version")
Listed = namedtuple("Listed", "version sha256 suite revision patches_sha256",
                    defaults=(None, None))

ACCEPTED = re.compile(r"10\.0\.\d+")


def listed():
    """The accepted tarballs, as base/versions has them."""
    lines = (ROOT / "base/versions").read_text(encoding="utf-8").splitlines()
    return [Listed(*line.split()) for line in lines
            if line.strip() and not line.startswith("#")]


def find(version=None):
    """The base to use: QEMU_BASE, else the cache, else Debian's source."""
    given = os.environ.get("QEMU_BASE")
    with locked(cache_dir() / "base/lock"):
        base = from_user(Path(given)) if given else (
            from_cache(version) or from_debian(version))
    if version and base.version != version.partition("+")[0]:
        raise debian.Unavailable(f"QEMU_BASE={given} is QEMU {base.version}, not {version}")
    return base


def from_user(path):
    if path.is_dir():
        version_file = path / "VERSION"
        if not version_file.is_file():
            raise Failure(f"QEMU_BASE={path} is no QEMU source: it has no VERSION")
        check_version(path, version_file.read_text(encoding="utf-8").strip())
        return import_directory(path.resolve())
    if not path.is_file():
        raise Failure(f"QEMU_BASE={path}: no such file or directory")
    sha256 = sha256_of(path)
    for entry in listed():
        if entry.sha256 == sha256:
            return import_tarball(path, entry.version)
    found = check_version(path, version_in(tar_entries(path)))
    raise Failure(f"QEMU_BASE={path}: QEMU {found} with sha256 {sha256} "
                  "is not listed in base/versions")


def from_cache(version):
    """A base imported by an earlier run, or its tarball."""
    wanted = [entry for entry in listed() if version in (None, entry.version)]
    directory = cache_dir() / "base"
    names = [entry.version for entry in wanted]
    names += sorted(path.stem for path in directory.glob("10.0.*.git")
                    if version in (None, path.stem) and path.stem not in names)
    for name in names:
        if (directory / f"{name}.git").is_dir():
            return opened(directory / f"{name}.git")
    for entry in wanted:
        tarball = cache_dir() / "dl" / f"qemu_{entry.version}.orig.tar.xz"
        if tarball.is_file():
            if sha256_of(tarball) == entry.sha256:
                return import_tarball(tarball, entry.version)
            note(f"{tarball} is damaged: fetched again")
            tarball.unlink()
    return None


def from_debian(version):
    known = {entry.version: entry for entry in listed()}
    if version and version not in known:
        raise Failure(f"QEMU {version} is not listed in base/versions")
    suites = [entry.suite for entry in listed() if version in (None, entry.version)]
    wanted = version or next(iter(known))
    hint = (f"no qemu_{wanted}.orig.tar.xz: set QEMU_BASE= to that file "
            "or to a QEMU 10.0.x tree")
    failures = []
    for suite in dict.fromkeys(suites):
        try:
            remote = debian.source_tarball(suite, "qemu")
        except Failure as failure:
            failures.append(type(failure)(f"{suite}: {failure}"))
            continue
        found = re.sub(r"^qemu_|\.orig\.tar\..*$", "", remote.name)
        if not ACCEPTED.match(found) or version not in (None, found):
            failures.append(debian.Unavailable(f"{suite} has {found}"))
            continue
        if found not in known:
            note(f"notice: QEMU {found} is newer than base/versions: checked "
                 f"against Debian's signed index only (sha256 {remote.sha256})")
        elif known[found].sha256 != remote.sha256:
            raise Failure(f"{remote.name}: Debian's sha256 {remote.sha256} is not "
                          "that of base/versions")
        try:
            tarball = debian.fetch_source_tarball(suite, "qemu", remote)
        except Failure as failure:
            failures.append(type(failure)(f"{suite}: {failure}"))
            continue
        return import_tarball(tarball, found)
    moved_on = all(isinstance(failure, debian.Unavailable) for failure in failures)
    raise (debian.Unavailable if moved_on else Failure)(
        f"{hint} ({'; '.join(map(str, failures))})")


def debian_patches(version=None):
    """The debian/ that belongs to this QEMU version, or to any: a tarball in the cache.

    Checked against base/versions, or, a newer revision, against Debian's signed index.
    """
    entry = next((entry for entry in listed() if entry.revision and
                  version in (None, entry.version.partition("+")[0])), None)
    if not entry:
        raise debian.Unavailable("base/versions has no Debian revision of "
                                 f"{f'QEMU {version}' if version else 'any QEMU'}")
    name = f"qemu_{entry.version}-{entry.revision}.debian.tar.xz"
    with locked(cache_dir() / "base/lock"):
        cached = cache_dir() / "dl" / name
        if cached.is_file() and sha256_of(cached) == entry.patches_sha256:
            return cached
        remote = debian.source_patches(entry.suite, "qemu")
        if remote.name == name:
            if remote.sha256 != entry.patches_sha256:
                raise Failure(f"{name}: Debian's sha256 {remote.sha256} is not "
                              "that of base/versions")
        elif remote.name.startswith(f"qemu_{entry.version}-"):
            note(f"notice: {remote.name} is newer than base/versions: checked "
                 f"against Debian's signed index only (sha256 {remote.sha256})")
        else:
            raise debian.Unavailable(f"no {name}: {entry.suite} has {remote.name}")
        return debian.fetch_source_patches(entry.suite, "qemu", remote)


def check_version(where, version):
    if not ACCEPTED.fullmatch(version):
        raise Failure(f"{where} is QEMU {version or '(no VERSION)'}: "
                      "this series is for 10.0.x")
    return version


def decompressed(path):
    with open(path, "rb") as file:
        magic = file.read(3)
    opener = {b"\xfd7z": lzma.open, b"BZh": bz2.open}.get(magic, open)
    return (gzip.open if magic[:2] == b"\x1f\x8b" else opener)(path, "rb")


def tar_entries(path):
    """(name, mode, contents) of each file of a tarball, without its top level."""
    try:
        # tarfile itself takes a truncated stream for a short archive.
        with decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./").partition("/")[2]
                if member.issym():
                    yield name, 0o120000, member.linkname.encode()
                elif member.isfile():
                    mode = 0o100755 if member.mode & 0o100 else 0o100644
                    yield name, mode, tar.extractfile(member).read()
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, lzma.LZMAError, OSError) as error:
        raise Failure(f"{path} is truncated or no tarball: {error}") from error


def directory_files(top):
    """(name, stat) of each file of a tree, without .git and build directories."""
    for where, folders, files in os.walk(top):
        folders[:] = sorted(
            folder for folder in folders if folder != ".git" and
            not os.path.exists(f"{where}/{folder}/build.ninja"))
        links = [folder for folder in folders if os.path.islink(f"{where}/{folder}")]
        for file in sorted(files + links):
            path = f"{where}/{file}"
            if file != ".git":
                yield os.path.relpath(path, top), os.lstat(path)


def directory_entries(top):
    for name, status in directory_files(top):
        if stat.S_ISLNK(status.st_mode):
            yield name, 0o120000, os.readlink(f"{top}/{name}").encode()
        elif stat.S_ISREG(status.st_mode):
            mode = 0o100755 if status.st_mode & 0o100 else 0o100644
            yield name, mode, Path(top, name).read_bytes()


def version_in(entries):
    found = ""
    for name, _, contents in entries:
        if name == "VERSION":
            found = contents.decode(errors="replace").strip()
    return found


def opened(git_dir):
    git = ["git", f"--git-dir={git_dir}"]
    return Base(git_dir, output([*git, "rev-parse", "--verify", "-q", "base"]),
                output([*git, "cat-file", "blob", "base:VERSION"]))


def import_tarball(path, version):
    return import_entries(tar_entries(path), version, path)


def import_directory(top):
    """A user's tree is imported again whenever one of its files changed."""
    marks = hashlib.sha256()
    for name, status in directory_files(top):
        marks.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode(
            errors="surrogateescape"))
    name = f"tree-{marks.hexdigest()[:16]}"
    for old in (cache_dir() / "base").glob("tree-*.git"):
        if old.stem != name:
            remove(old)
    return import_entries(directory_entries(top), name, top)


def import_entries(entries, name, source):
    """One deterministic commit, packed, in $CACHE/base/NAME.git."""
    final = cache_dir() / "base" / f"{name}.git"
    if final.is_dir():
        return opened(final)
    need_space(final.parent, 300, f"the git copy of {source}")
    partial = final.with_suffix(".tmp")
    remove(partial)
    output(["git", "init", "-q", "--bare", partial])
    with subprocess.Popen(
            ["git", f"--git-dir={partial}", "-c", "core.compression=1",
             "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"],
            stdin=subprocess.PIPE) as fast_import:
        try:
            version = feed(fast_import.stdin, entries, source)
        except (Failure, BrokenPipeError):
            fast_import.kill()
            remove(partial)
            raise
        fast_import.stdin.close()
        if fast_import.wait():
            raise Failure(f"git fast-import of {source} failed")
    check_version(source, version)
    partial.rename(final)
    return opened(final)


def feed(stream, entries, source):
    """Write a fast-import commit of the entries; returns QEMU's version."""
    version = None
    stream.write(b"feature done\ncommit refs/heads/base\ncommitter %s %s\n" %
                 (IDENTITY.encode(), DATE.encode()))
    stream.write(b"data 5\nQEMU\n\n")
    for name, mode, contents in entries:
        if name == "VERSION":
            version = check_version(source, contents.decode().strip())
        stream.write(b'M %o inline "%s"\ndata %d\n' %
                     (mode, quoted(name), len(contents)))
        stream.write(contents + b"\n")
    stream.write(b"done\n")
    return version or ""


def quoted(name):
    return os.fsencode(name.replace("\\", "\\\\").replace('"', '\\"'))
