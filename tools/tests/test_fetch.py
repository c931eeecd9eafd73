# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching: what the user gives, what the cache has, what a mirror may do."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time
import unittest
from pathlib import Path

from sandbox import Sandbox

# Stands in for tools/apt-private: an archive that is a directory of files.
ARCHIVE = """\
#!/bin/sh
cd "$ARCHIVE" 2>/dev/null || { echo "E: Failed to fetch x: no network" >&2; exit 100; }
suite=$1 from=$OLDPWD
shift 2
echo "$suite $*" >> calls
uri() { echo "'x:/$1' $1 $(stat -c %s "$1") SHA256:$(cat "$1.sha256" 2>/dev/null || sha256sum "$1" | cut -c-64)"; }
case "$*" in
update) [ ! -e says ] || { echo "apt-private: $(cat says)" >&2; exit 1; } ;;
"pkgnames "*) ls | sed -n 's/_.*deb$//p' ;;
"source --print-uris qemu") for f in "$suite"/*.orig.tar.xz; do cp "$f" .; uri "${f##*/}"; done ;;
"source --download-only --tar-only qemu") cp "$suite"/*.orig.tar.xz "$from" ;;
"download --print-uris "*) uri "$(ls | grep "^${3}_.*deb$")" ;;
"download "*) cp "${2}"_*.deb "$from" ;;
*) exit 1 ;;
esac
"""

FULL_DISK = """\
import collections, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda path: usage(2 << 20, 1 << 20, 1 << 20)
"""

NO_ROOT = "import os\nos.geteuid = lambda: 1000\n"


class FetchTest(Sandbox):

    def setUp(self):
        super().setUp()
        self.archive = self.top / "archive"
        (self.archive / "trixie").mkdir(parents=True)
        (self.archive / "bookworm-backports").mkdir()
        self.write(self.root / "tools/apt-private", ARCHIVE)
        (self.root / "tools/apt-private").chmod(0o755)
        self.env["ARCHIVE"] = str(self.archive)
        self.cache = self.top / "cache"

    def tarball(self, path, version="10.0.13"):
        """A tarball of the made-up base; its sha256."""
        self.write(self.qemu / "VERSION", f"{version}\n")
        with tarfile.open(path, "w:xz") as tar:
            tar.add(self.qemu, f"qemu-{version}")
        return self.sha256(path)

    def sha256(self, path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def list_version(self, *lines):
        self.write(self.root / "base/versions", "\n".join(lines) + "\n")

    def listed_in_trixie(self):
        """trixie has 10.0.13+ds, which base/versions lists; no QEMU_BASE."""
        del self.env["QEMU_BASE"]
        file = self.archive / "trixie/qemu_10.0.13+ds.orig.tar.xz"
        self.list_version(f"10.0.13+ds {self.tarball(file)} trixie")
        return file

    def patched_python(self, code):
        """Environment in which every tool first runs this code."""
        self.write(self.top / "site/sitecustomize.py", code)
        return {"PYTHONPATH": str(self.top / "site")}

    def nothing_left(self):
        base = self.cache / "base"
        self.assertEqual([path for path in base.glob("*") if path.name != "lock"], [])


class UserBase(FetchTest):

    def test_tree_is_used(self):
        self.assertTrue(self.good("fetch-base").endswith(" 10.0.13\n"))

    def test_changed_tree_is_imported_again(self):
        before = self.good("fetch-base")
        self.write(self.qemu / "hw/a.c", "changed\n")
        self.assertNotEqual(self.good("fetch-base"), before)

    def test_listed_tarball_is_used(self):
        file = self.top / "q.tar.xz"
        self.list_version(f"10.0.13+ds {self.tarball(file)} trixie")
        self.good("fetch-base", QEMU_BASE=str(file))
        self.good("tree", QEMU_BASE=str(file))
        self.assertIn("line 5\n", (self.tree / "hw/a.c").read_text())

    def test_unlisted_tarball_is_refused(self):
        file = self.top / "q.tar.xz"
        self.tarball(file, "10.0.7")
        line = self.bad("fetch-base", QEMU_BASE=str(file))
        self.assertIn("10.0.7", line)
        self.assertIn("not listed in base/versions", line)
        self.nothing_left()

    def test_truncated_tarball_is_refused(self):
        file = self.top / "q.tar.xz"
        self.tarball(file)
        file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
        self.assertIn("truncated", self.bad("fetch-base", QEMU_BASE=str(file)))
        self.nothing_left()

    def test_what_is_no_tarball_is_refused(self):
        file = self.top / "q.tar.xz"
        self.write(file, "hello\n")
        self.assertIn("no tarball", self.bad("fetch-base", QEMU_BASE=str(file)))

    def test_other_versions_are_refused(self):
        for version in "9.2.4", "11.0.0", "10.1.0":
            self.write(self.qemu / "VERSION", f"{version}\n")
            self.assertIn(f"is QEMU {version}", self.bad("fetch-base"))

    def test_missing_path_and_no_source_are_refused(self):
        self.assertIn("no such file", self.bad("fetch-base", QEMU_BASE="/nonexistent"))
        self.assertIn("no VERSION", self.bad("fetch-base", QEMU_BASE=str(self.root)))

    def test_wrong_version_asked_for(self):
        self.assertIn("not 10.0.2", self.bad("fetch-base", "10.0.2+ds"))

    def test_interrupted_import_is_redone(self):
        found = self.good("fetch-base").split()[0]
        os.rename(found, found.replace(".git", ".tmp"))
        os.unlink(found.replace(".git", ".tmp") + "/HEAD")
        self.good("fetch-base")
        self.good("tree")

    def test_full_disk_says_what_is_needed(self):
        line = self.bad("fetch-base", **self.patched_python(FULL_DISK))
        self.assertRegex(line, r"needs \d+ MiB .*only 1 MiB")
        self.nothing_left()


class DebianBase(FetchTest):

    def test_listed_version_is_fetched_then_kept(self):
        self.listed_in_trixie()
        self.good("fetch-base")
        shutil.rmtree(self.archive)
        self.good("fetch-base")
        shutil.rmtree(self.cache / "base")      # the tarball is still there
        self.good("fetch-base")

    def test_damaged_cached_tarball_is_fetched_again(self):
        self.listed_in_trixie()
        self.good("fetch-base")
        shutil.rmtree(self.cache / "base")
        self.write(self.cache / "dl/qemu_10.0.13+ds.orig.tar.xz", "damaged")
        self.good("fetch-base")

    def test_wrong_sha256_in_the_archive_is_refused(self):
        file = self.listed_in_trixie()
        self.list_version(f"10.0.13+ds {'0' * 64} trixie")
        self.assertIn(self.sha256(file), self.bad("fetch-base"))
        self.nothing_left()

    def test_download_that_differs_from_the_index_is_refused(self):
        file = self.listed_in_trixie()
        self.write(self.archive / f"{file.name}.sha256", self.sha256(file))
        file.write_bytes(file.read_bytes()[:-1])
        self.assertIn("has sha256", self.bad("fetch-base"))
        self.assertFalse((self.cache / "dl" / file.name).exists())
        self.nothing_left()

    def test_newer_version_is_taken_with_a_notice(self):
        self.listed_in_trixie()
        for file in (self.archive / "trixie").iterdir():
            file.unlink()
        self.tarball(self.archive / "trixie/qemu_10.0.99+ds.orig.tar.xz", "10.0.99")
        done = self.run_tool("fetch-base")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("notice: QEMU 10.0.99+ds is newer", done.stderr)
        shutil.rmtree(self.archive)
        self.assertIn("10.0.99", self.good("fetch-base"))

    def test_second_suite_is_tried(self):
        del self.env["QEMU_BASE"]
        old = self.tarball(self.archive / "bookworm-backports/qemu_10.0.2+ds.orig.tar.xz",
                           "10.0.2")
        self.list_version(f"10.0.13+ds {'0' * 64} trixie",
                          f"10.0.2+ds {old} bookworm-backports")
        self.tarball(self.archive / "trixie/qemu_11.0.0+ds.orig.tar.xz", "11.0.0")
        self.assertIn("10.0.2", self.good("fetch-base"))

    def test_no_network_names_file_and_variable(self):
        self.listed_in_trixie()
        shutil.rmtree(self.archive)
        line = self.bad("fetch-base")
        self.assertIn("qemu_10.0.13+ds.orig.tar.xz", line)
        self.assertIn("QEMU_BASE=", line)

    def with_old_index(self, says):
        """There is one, and a newer one cannot be had, as apt-private says."""
        self.listed_in_trixie()
        arch = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout.strip()
        stamp = self.cache / "apt" / f"trixie-{arch}" / "updated"
        stamp.parent.mkdir(parents=True)
        stamp.touch()
        os.utime(stamp, (0, 0))
        self.write(self.archive / "says", says)

    def test_old_index_goes_on_without_network(self):
        self.with_old_index("the index of trixie cannot be fetched: no route")
        done = self.run_tool("fetch-base")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith(" 10.0.13\n"))
        self.assertIn("notice: the index of trixie cannot be fetched: no route: that of "
                      "1970-01-01 is used\n", done.stderr)

    def test_unsigned_index_is_refused_in_spite_of_an_old_one(self):
        self.with_old_index("the keyring lacks the key")
        self.assertIn("trixie: the keyring lacks the key", self.bad("fetch-base"))

    def quilt(self):
        self.list_version(f"10.0.13+ds {'0' * 64} trixie 0+deb13u1 {'0' * 64}")
        self.write(self.root / "tools/accepted-skips", "quilt push * | offline\n")
        return self.run_tool("check", "quilt", QEMU_BASE=str(self.qemu)).stdout

    def test_check_skips_what_cannot_be_reached(self):
        shutil.rmtree(self.archive)
        self.assertIn("\n0 passed, 0 failed, 1 skipped", self.quilt())

    def test_check_does_not_skip_what_the_archive_lacks(self):
        said = self.quilt()
        self.assertIn("no source package qemu", said)
        self.assertIn("\n0 passed, 1 failed, 0 skipped", said)

    def test_unlisted_version_asked_for(self):
        self.listed_in_trixie()
        self.assertIn("not listed", self.bad("fetch-base", "10.0.5+ds"))


class Linux(FetchTest):

    def linux_tree(self, version="7.3"):
        tree = self.top / f"linux-source-{version}"
        major, minor = version.split(".")
        self.write(tree / "Makefile", f"VERSION = {major}\nPATCHLEVEL = {minor}\n")
        return tree

    def package(self, version):
        """A linux-source .deb like Debian's in the archive."""
        name = f"linux-source-{version}"
        pack = self.top / f"pack-{version}"
        (pack / "usr/src").mkdir(parents=True)
        with tarfile.open(pack / f"usr/src/{name}.tar.xz", "w:xz") as tar:
            tar.add(self.linux_tree(version), name)
        self.write(pack / "DEBIAN/control", f"Package: {name}\nVersion: {version}.1-1\n"
                   "Architecture: all\nMaintainer: none\nDescription: none\n")
        subprocess.run(["dpkg-deb", "--build", "-Znone", pack, self.archive],
                       check=True, stdout=subprocess.DEVNULL)

    def test_user_tree_is_used(self):
        tree = self.linux_tree()
        self.assertEqual(self.good("fetch-linux", LINUX_SRC=str(tree)), f"{tree}\n")

    def test_old_or_wrong_user_tree_is_refused(self):
        self.assertIn("7.2", self.bad("fetch-linux", LINUX_SRC=str(self.linux_tree("6.12"))))
        self.assertIn("no Linux", self.bad("fetch-linux", LINUX_SRC=str(self.qemu)))

    def test_newest_package_is_chosen_and_kept(self):
        for version in "6.12", "7.2", "7.10":
            self.package(version)
        tree = self.good("fetch-linux")
        self.assertIn("linux-source-7.10-7.10.1-1", tree)
        self.package("7.11")
        self.assertEqual(self.good("fetch-linux"), tree)
        shutil.rmtree(self.archive)
        self.assertEqual(self.good("fetch-linux"), tree)

    def test_no_new_enough_package(self):
        self.package("6.12")
        self.assertIn("LINUX_SRC=", self.bad("fetch-linux"))

    def test_no_network_names_the_variable(self):
        shutil.rmtree(self.archive)
        self.assertIn("LINUX_SRC=", self.bad("fetch-linux"))

    def test_truncated_tarball_is_refused(self):
        self.package("7.3")
        file = self.top / "linux.tar.xz"
        shutil.copy(self.top / "pack-7.3/usr/src/linux-source-7.3.tar.xz", file)
        self.assertIn("linux", self.good("fetch-linux", LINUX_SRC=str(file)))
        file.write_bytes(file.read_bytes()[:-30])
        self.assertIn("truncated", self.bad("fetch-linux", LINUX_SRC=str(file)))

    def test_full_disk(self):
        self.package("7.3")
        line = self.bad("fetch-linux", **self.patched_python(FULL_DISK))
        self.assertIn("only 1 MiB are free", line)


class AptPrivate(Sandbox):
    """The real apt-private, on made-up sources; no mirror is reached."""

    MIRROR = "http://127.0.0.1:9"       # the discard port: nobody listens

    def sources(self, name, text):
        self.write(self.top / "etc" / name, text)

    def chosen(self):
        """The mirror that is taken; update itself fails."""
        line = self.bad("apt-private", "sid", "amd64", "update", APT_CODENAME="bookworm",
                        APT_SOURCES=str(self.top / "etc"), DEBIAN_KEYRING=__file__)
        self.assertIn("cannot be fetched", line)
        text = (self.top / "cache/apt/sid-amd64/etc/sources.list").read_text()
        return text.splitlines()[0].split("] ")[1]

    def test_deb822_sources(self):
        self.sources("sources.list.d/debian.sources", f"""\
Types: deb
URIs: {self.MIRROR}/security
Suites: bookworm-security
Components: main

# A comment
Types: deb deb-src
URIs: {self.MIRROR}/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /x
""")
        self.assertEqual(self.chosen(), f"{self.MIRROR}/debian/ sid main")

    def test_disabled_stanza_is_passed_over(self):
        self.sources("sources.list.d/debian.sources", f"""\
Enabled: no
Types: deb
URIs: {self.MIRROR}/off/debian
Suites: bookworm
Components: main

Types: deb
URIs: {self.MIRROR}/debian
Suites: bookworm
Components: main
""")
        self.assertEqual(self.chosen(), f"{self.MIRROR}/debian sid main")

    def test_one_line_sources_beside_other_archives(self):
        self.sources("sources.list", f"""\
# deb {self.MIRROR}/commented/debian bookworm main
deb [arch=amd64 signed-by=/x] {self.MIRROR}/vendor bookworm main
deb {self.MIRROR}/security bookworm-security main
deb [trusted=no] {self.MIRROR}/debian bookworm main non-free-firmware
""")
        self.assertEqual(self.chosen(), f"{self.MIRROR}/debian sid main")

    def test_joined_suites(self):
        self.bad("apt-private", "sid+rc-buggy", "amd64", "update", DEBIAN_MIRROR=self.MIRROR,
                 DEBIAN_KEYRING=__file__)
        etc = self.top / "cache/apt/sid+rc-buggy-amd64/etc"
        lines = (etc / "sources.list").read_text().splitlines()
        self.assertEqual([line.split()[-2] for line in lines],
                         ["sid", "sid", "rc-buggy", "rc-buggy"])
        self.assertIn('APT::Default-Release "rc-buggy";', (etc / "apt.conf").read_text())

    def test_one_of_a_suite_waits_for_another(self):
        lock = self.top / "cache/apt/sid-amd64/lock"
        self.write(lock, "")
        waiter = re.compile(rf"-> FLOCK .*:{lock.stat().st_ino} ")
        other = threading.Thread(target=self.bad, daemon=True, args=(
            "apt-private", "sid", "amd64", "update"),
            kwargs={"DEBIAN_MIRROR": self.MIRROR, "DEBIAN_KEYRING": __file__})
        with open(lock, "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            other.start()
            while other.is_alive() and not waiter.search(Path("/proc/locks").read_text("ascii")):
                time.sleep(0.01)
            self.assertTrue(other.is_alive())
            self.assertFalse((lock.parent / "etc").exists())
        other.join()
        self.assertTrue((lock.parent / "etc/sources.list").exists())

    def test_no_source_at_all(self):
        line = self.bad("apt-private", "sid", "amd64", "update",
                        APT_SOURCES=str(self.top / "nothing"))
        self.assertIn("DEBIAN_MIRROR=", line)

    def test_missing_keyring(self):
        line = self.bad("apt-private", "sid", "amd64", "update",
                        DEBIAN_MIRROR=self.MIRROR, DEBIAN_KEYRING="/nonexistent")
        self.assertIn("debian-archive-keyring", line)

    def test_unreachable_mirror_is_one_line_for_the_user(self):
        del self.env["QEMU_BASE"]
        self.write(self.root / "base/versions", f"10.0.13+ds {'0' * 64} trixie\n")
        line = self.bad("fetch-base", DEBIAN_MIRROR=self.MIRROR)
        self.assertIn("qemu_10.0.13+ds.orig.tar.xz", line)
        self.assertIn("QEMU_BASE=", line)


class Deps(Sandbox):

    def test_missing_packages_without_root(self):
        self.write(self.top / "bin/dpkg-query", "#!/bin/sh\necho git installed\n")
        (self.top / "bin/dpkg-query").chmod(0o755)
        self.write(self.top / "site/sitecustomize.py", NO_ROOT)
        line = self.bad("deps", PATH=str(self.top / "bin"),
                        PYTHONPATH=str(self.top / "site"))
        self.assertIn("apt-get install -y --no-install-recommends build-essential", line)
        self.assertNotIn(" git", line)

    def test_missing_tool_is_named(self):
        line = self.bad("fetch-base", PATH="/nonexistent")
        self.assertIn("git is not installed", line)


if __name__ == "__main__":
    unittest.main()
