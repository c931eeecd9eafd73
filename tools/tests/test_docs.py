# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project's own pages link to and name is there."""

import re
import subprocess
import unittest

from sandbox import TOOLS

ROOT = TOOLS.parent
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
# Files of QEMU by their endings, functions, and limits
FILE = re.compile(r"…?[\w./-]+\.[ch]\b")
NAME = re.compile(r"`((?:[a-z]\w+(?=\(\)))|(?:VTD|SMMUV3)_[A-Z0-9_]+|"
                  r"(?:VTD|SMMUv3)Accel\w+)(?:\(\))?`")


def pages():
    return [page for page in ROOT.rglob("*.md") if "build" not in page.parts]


def broken_links(page, text):
    return [link for link in LINK.findall(text)
            if not (page.parent / link).exists()]


def unknown_files(text, known):
    return [name for name in FILE.findall(text)
            if not any(path.endswith(name.lstrip("…")) for path in known)]


def unknown_names(text, code):
    return [name for name in NAME.findall(text) if not re.search(rf"\b{name}\b", code)]


def stale_numbers(text, code):
    """Names of plain limits in lines that do not have their values."""
    limits = dict(re.findall(r"^#define +(\w+) +(\d+)$", code, re.M))
    return [name for line in text.splitlines() for name in NAME.findall(line)
            if name in limits and not re.search(rf"\b{limits[name]}\b", line)]


class Docs(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        sources = [path for path in (ROOT / "qemu").rglob("*.[ch]")]
        patches = [path.read_text(encoding="utf-8")
                   for path in (ROOT / "patches").rglob("*.patch")]
        cls.code = "\n".join([path.read_text(encoding="utf-8") for path in sources] +
                             [re.sub("^[+ ]", "", text, flags=re.M) for text in patches])
        cls.files = {str(path) for path in sources}
        cls.files.update(path for text in patches
                         for path in re.findall(r"^\+\+\+ b/(.*)", text, re.M))
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, check=True,
                                 capture_output=True)
        cls.files.update(tracked.stdout.splitlines())

    def test_links_lead_somewhere(self):
        self.assertEqual([(page.name, link) for page in pages()
                          for link in broken_links(page, page.read_text(encoding="utf-8"))], [])

    def test_files_functions_and_limits_are_there(self):
        wrong = []
        for page in (ROOT / "docs").glob("*.md"):
            text = page.read_text(encoding="utf-8")
            for name in (unknown_files(text, self.files) + unknown_names(text, self.code) +
                         stale_numbers(text, self.code)):
                wrong.append((page.name, name))
        self.assertEqual(wrong, [])

    def test_what_it_must_find(self):
        page = ROOT / "docs/security.md"
        self.assertEqual(broken_links(page, "[a](gone.md) [b](../README.md#x) [c](http://d)"),
                         ["gone.md"])
        self.assertEqual(unknown_files("hw/gone.c and …_accel.c", {"hw/i386/intel_iommu_accel.c"}),
                         ["hw/gone.c"])
        self.assertEqual(unknown_names("`gone_now()`, `VTD_GONE`, `kept()`", "kept"),
                         ["gone_now", "VTD_GONE"])
        self.assertEqual(stale_numbers("| 10 (`VTD_MAX`) |\n| 20 (`VTD_MAX`) |",
                                       "#define VTD_MAX  20\n"), ["VTD_MAX"])
