# SPDX-License-Identifier: GPL-2.0-or-later
"""A made-up project: a copy of the tools, a tiny base, a cache of its own."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
SIGNED = "Signed-off-by: viommu-nesting maintainers <maintainers@viommu-nesting.invalid>"


class Sandbox(unittest.TestCase):
    """Each test has a project in self.root and a base in self.qemu."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="viommu-tools-")
        self.addCleanup(holder.cleanup)
        self.top = Path(holder.name).resolve()
        self.root, self.qemu = self.top / "project", self.top / "qemu"
        shutil.copytree(TOOLS, self.root / "tools",
                        ignore=shutil.ignore_patterns("__pycache__", "tests"))
        (self.root / "base").mkdir()
        (self.root / "base/versions").write_text("", encoding="utf-8")
        (self.root / ".gitignore").write_text("/build\n__pycache__\n", encoding="utf-8")
        self.tree = self.root / "build/tree"
        self.write(self.qemu / "VERSION", "10.0.13\n")
        self.write(self.qemu / "configure", "#!/bin/sh\n")
        self.write(self.qemu / "hw/a.c", "".join(f"line {n}\n" for n in range(40)))
        self.write(self.qemu / "hw/b.c", "".join(f"other {n}\n" for n in range(40)))
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith("GIT_")}
        self.env.update(
            QEMU_BASE=str(self.qemu), VIOMMU_CACHE=str(self.top / "cache"),
            HOME=str(self.top), PYTHONDONTWRITEBYTECODE="1",
            GIT_AUTHOR_NAME="A U Thor", GIT_AUTHOR_EMAIL="author@example.org",
            GIT_COMMITTER_NAME="A U Thor", GIT_COMMITTER_EMAIL="author@example.org")
        for name in ("TREE", "XDG_CACHE_HOME", "LINUX_SRC", "DEBIAN_MIRROR"):
            self.env.pop(name, None)

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run_tool(self, name, *args, **env):
        return subprocess.run([self.root / "tools" / name, *args], text=True,
                              cwd=self.root, env=self.env | env, check=False,
                              capture_output=True, timeout=600)

    def good(self, name, *args, **env):
        done = self.run_tool(name, *args, **env)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def bad(self, name, *args, **env):
        """The tool fails with one line, which is returned."""
        done = self.run_tool(name, *args, **env)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        lines = [line for line in done.stderr.splitlines()
                 if not line.startswith(("notice:", "fetching", "extracting"))]
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def git(self, *args, where=None):
        done = subprocess.run(["git", *args], cwd=where or self.tree, env=self.env,
                              text=True, check=False, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.rstrip("\n")

    def commit(self, subject, path, old, new, topic="core", body="Why not.", extra=""):
        """Replace text in a file of the tree and commit that."""
        file = self.tree / path
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        self.write(file, text.replace(old, new, 1) if old else new)
        self.git("add", "-f", path)
        trailers = f"Topic: {topic}\n" * bool(topic) + extra + SIGNED
        self.git("commit", "-q", "-m", f"{subject}\n\n{body}\n\n{trailers}")

    def two_patches(self):
        """A project whose series has core/hw-a-say-one, vtd/hw-b-say-two."""
        self.good("tree")
        self.commit("hw/a: Say one", "hw/a.c", "line 5\n", "line five\n")
        self.commit("hw/b: Say two", "hw/b.c", "other 5\n", "other five\n", "vtd")
        self.good("refresh")
        self.git("init", "-q", where=self.root)
        self.git("add", "-A", where=self.root)
        self.git("commit", "-q", "-m", "start", where=self.root)

    def changes(self):
        """What git sees as changed in the project."""
        return self.git("status", "--porcelain", "-uall", where=self.root).splitlines()

    def series(self):
        text = (self.root / "patches/series").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line and line[0] != "#"]

    def edit_patch(self, path, old, new):
        file = self.root / "patches" / path
        text = file.read_text(encoding="utf-8")
        self.assertIn(old, text)
        file.write_text(text.replace(old, new), encoding="utf-8")


ONE, TWO = "core/hw-a-say-one.patch", "vtd/hw-b-say-two.patch"
