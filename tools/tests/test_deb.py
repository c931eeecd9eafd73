# SPDX-License-Identifier: GPL-2.0-or-later
"""What decides about the Debian packages, on good and bad samples."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from sandbox import TOOLS

sys.path.insert(0, str(TOOLS))
import debs     # noqa: E402
import trial    # noqa: E402
from common import Failure, commits, run     # noqa: E402

PIUPARTS = """0m1s DEBUG: Starting command: ['tar']
0m9s ERROR: Command failed (status=1): ['chroot', 'post_install_starts']
  one
  qemu: no BIOS
0m9s ERROR: piuparts run ends.
"""


def suite_wanted(dist, codename):
    with mock.patch.dict("os.environ", DIST=dist), \
         mock.patch("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": codename}):
        return debs.suite_wanted()


class Names(unittest.TestCase):
    def test_suite(self):
        self.assertEqual(suite_wanted("", "bookworm"), "bookworm")
        self.assertEqual(suite_wanted("trixie", "bookworm"), "trixie")

    def test_unknown_suite(self):
        with self.assertRaisesRegex(Failure, "^DIST=sid is not .* bookworm or trixie$"):
            suite_wanted("sid", "bookworm")
        with self.assertRaisesRegex(Failure, "^this system is not "):
            suite_wanted("", "noble")

    def test_versions_grow(self):
        old = debs.version("10.0.13", "bookworm", 9)
        for new in (debs.version("10.0.13", "trixie", 9),
                    debs.version("10.0.13", "bookworm", 10),
                    debs.version("10.0.14", "bookworm", 1)):
            run(["dpkg", "--compare-versions", old, "lt", new])

    def test_shallow_clone_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder, "first"), Path(folder, "second")
            for command in (["init", "-q", first],
                            ["-C", first, "-c", "user.name=a", "-c", "user.email=a@b.c",
                             "commit", "-q", "--allow-empty", "-m", "one"],
                            ["clone", "-q", "--depth", "1", f"file://{first}", second]):
                run(["git", *command])
            with mock.patch("common.ROOT", first):
                self.assertEqual(commits(), "1")
            with mock.patch("common.ROOT", second):
                with self.assertRaisesRegex(Failure, "^this clone is shallow, .*--unshallow$"):
                    commits()

    def test_changelog(self):
        text = debs.changelog("10.0.13+viommu9~deb12u1", "bookworm")
        self.assertTrue(text.startswith("qemu-viommu (10.0.13+viommu9~deb12u1) bookworm; "))
        self.assertTrue(text.endswith(">  Wed, 01 Jan 2025 00:00:00 +0000\n"), text)


class Copyright(unittest.TestCase):
    def text(self, theirs):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "debian").mkdir()
            Path(folder, "debian/copyright").write_text(theirs, encoding="utf-8")
            run(["tar", "-C", folder, "-cJf", f"{folder}/q.tar.xz", "debian"])
            return debs.copyright_text(Path(folder, "q.tar.xz"))

    def test_what_debian_says_is_between_what_we_say(self):
        text = self.text("Format: x\nComment: no\n\nFiles: *\nCopyright: them\nLicense: MIT\n a\n"
                         "\nFiles: b\n")
        self.assertEqual([line for line in text.splitlines() if line.startswith("Files:")],
                         ["Files: *", "Files: b", "Files: debian/*"])
        self.assertEqual(text.count("Format: "), 1)
        self.assertNotIn("Comment: no", text)

    def test_debian_says_nothing(self):
        with self.assertRaisesRegex(Failure, "says nothing of all files"):
            self.text("Format: x\n\nFiles: debian/*\n")


class Builds(unittest.TestCase):
    """With a build that only writes a file."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root, self.built = Path(folder.name), 0
        for name, value in {"debs.ROOT": self.root, "debs.base": mock.Mock(),
                            "debs.scratch": mock.Mock(), "debs.build_in_chroot": self.build,
                            "debs.exporting.commits": lambda tree: ["1234"],
                            "debs.cache_dir": lambda: self.root,
                            "os.geteuid": lambda: 0}.items():
            patch = mock.patch(name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def build(self, tree, commit, qemu, suite, target):
        self.built += 1
        target.mkdir(parents=True, exist_ok=True)
        (target / "one.deb").touch()

    def test_without_root(self):
        with mock.patch("os.geteuid", lambda: 1000):
            with self.assertRaisesRegex(Failure, "only root"):
                debs.build("trixie")

    def test_built_once(self):
        for _ in range(2):
            self.assertEqual([deb.name for deb in debs.build("trixie")], ["one.deb"])
        self.assertEqual(self.built, 1)

    def test_half_built_is_built_again(self):
        debs.build("trixie")
        (self.root / "build/deb/trixie/built").unlink()
        debs.build("trixie")
        self.assertEqual(self.built, 2)

    def test_without_network(self):
        with mock.patch("debs.debian.update", side_effect=Failure("no index")):
            with self.assertRaisesRegex(Failure, "no index"):
                debs.bare_system("trixie")
        self.assertEqual(list(self.root.iterdir()), [])


class Trials(unittest.TestCase):
    def test_a_package_is_missing(self):
        (_, error), *rest = trial.results("trixie", [Path(f"{trial.NAMES[1]}_1_amd64.deb")])
        self.assertIn(trial.NAMES[0], error)
        self.assertEqual(rest, [])

    def test_what_piuparts_says(self):
        self.assertEqual(
            trial.what_is_wrong(PIUPARTS),
            "Command failed (status=1): ['chroot', 'post_install_starts'] qemu: no BIOS")
        self.assertEqual(trial.what_is_wrong("one\nchroot: no\n"), "chroot: no")
        self.assertTrue(trial.what_is_wrong(""))

    def test_lintian_that_dies_has_failed(self):
        tried = trial.Trial.__new__(trial.Trial)
        for outcome, says in (((True, ""), None), ((True, "E: a\nW: b\n"), "E: a; W: b"),
                              ((False, ""), "no reason")):
            with mock.patch.object(tried, "run", return_value=outcome):
                self.assertEqual(tried.lintian(), says)

    def test_packages_are_spoilt(self):
        with tempfile.TemporaryDirectory() as folder:
            tree, good, bad = (Path(folder) / name for name in ("tree", "good", "bad.deb"))
            for name in ("DEBIAN", "usr/bin"):
                (tree / name).mkdir(parents=True)
            (tree / "DEBIAN/control").write_text(
                "Package: one\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\n"
                "Depends: libc6 (>= 2), seabios, ipxe-qemu\nDescription: two\n",
                encoding="utf-8")
            (tree / "usr/bin/qemu-system-x86_64-viommu").write_bytes(b"/share/seabios\0")
            run(["dpkg-deb", "--build", tree, good], stdout=subprocess.DEVNULL)
            seen = []
            for spoil, _ in trial.SPOILT.values():
                spoil(good, bad)
                seen.append(bad.read_bytes())
            self.assertEqual(len(set(seen)), len(trial.SPOILT))
            trial.without_firmware(good, bad)
            said = run(["dpkg-deb", "-f", bad, "Depends"], capture_output=True, text=True)
            self.assertEqual(said.stdout, "libc6 (>= 2), ipxe-qemu\n")


if __name__ == "__main__":
    unittest.main()
