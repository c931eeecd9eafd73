# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/check-patches: one good sample, and a bad one for each rule."""

import unittest

from sandbox import ONE, SIGNED, TWO, Sandbox

NEW_FILE = """\
diff --git a/hw/c.c b/hw/c.c
new file mode 100644
--- /dev/null
+++ b/hw/c.c
@@ -0,0 +1 @@
+new
"""
SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"


class CheckPatches(Sandbox):

    def setUp(self):
        super().setUp()
        self.two_patches()

    def complains(self, *words):
        """The check fails, and one of its lines has all the words."""
        done = self.run_tool("check-patches")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertTrue(any(all(word in line for word in words)
                            for line in done.stdout.splitlines()), done.stdout)

    def add_series(self, line):
        with open(self.root / "patches/series", "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def add_to_message(self, path, line):
        self.edit_patch(path, SIGNED, f"{line}\n{SIGNED}")

    def test_good_series_passes_without_a_source(self):
        self.write(self.root / "qemu/hw/n.c", SPDX)
        self.add_to_message(ONE, "Adds: hw/n.c")
        self.good("check-patches", QEMU_BASE="/nonexistent")

    def test_missing_patch(self):
        (self.root / "patches" / ONE).unlink()
        self.complains(ONE, "no such file")

    def test_unused_patch(self):
        self.write(self.root / "patches/core/other.patch", "")
        self.complains("core/other.patch", "not in series")

    def test_doubled_patch(self):
        self.add_series(ONE)
        self.complains(ONE, "more than once")

    def test_patch_that_creates_a_file(self):
        path = self.root / "patches" / ONE
        path.write_text(path.read_text() + NEW_FILE, encoding="utf-8")
        self.complains(ONE, "creates hw/c.c")

    def test_patch_that_deletes_a_file(self):
        path = self.root / "patches" / ONE
        path.write_text(path.read_text() + "diff --git a/hw/c.c b/hw/c.c\n"
                        "deleted file mode 100644\n--- a/hw/c.c\n+++ /dev/null\n"
                        "@@ -1 +0,0 @@\n-old\n", encoding="utf-8")
        self.complains(ONE, "deletes hw/c.c")

    def test_patch_that_renames_a_file(self):
        path = self.root / "patches" / ONE
        path.write_text(path.read_text() + "diff --git a/hw/c.c b/hw/d.c\n"
                        "similarity index 100%\nrename from hw/c.c\nrename to hw/d.c\n",
                        encoding="utf-8")
        self.complains(ONE, "renames hw/d.c")

    def test_adds_of_a_missing_file(self):
        self.add_to_message(ONE, "Adds: hw/n.c")
        self.complains(ONE, "hw/n.c", "there is no")

    def test_file_added_twice(self):
        self.write(self.root / "qemu/hw/n.c", SPDX)
        self.add_to_message(ONE, "Adds: hw/n.c")
        self.add_to_message(TWO, "Adds: hw/n.c")
        self.complains(TWO, "hw/n.c", ONE)

    def test_new_file_that_no_patch_adds(self):
        self.write(self.root / "qemu/hw/n.c", SPDX)
        self.complains("qemu/hw/n.c", "no patch adds it")

    def test_path_both_new_and_edited(self):
        self.write(self.root / "qemu/hw/a.c", SPDX)
        self.complains(ONE, "edits hw/a.c")

    def test_missing_sign_off(self):
        self.edit_patch(ONE, SIGNED, "")
        self.complains(ONE, "Signed-off-by")

    def test_missing_reason(self):
        self.edit_patch(ONE, "Why not.\n\n", "")
        self.complains(ONE, "why")

    def test_name_that_is_not_the_subject(self):
        self.edit_patch(ONE, "Say one", "Say more")
        self.complains(ONE, "hw-a-say-more.patch")

    def test_too_long_a_patch(self):
        self.edit_patch(ONE, "+line five\n", "+line five\n" * 150)
        self.complains(ONE, "151 changed lines")

    def test_missing_licence(self):
        self.write(self.root / "qemu/hw/n.c", "int x;\n")
        self.complains("qemu/hw/n.c", "SPDX")

    def test_leftover_topic_trailer(self):
        self.add_to_message(ONE, "Topic: core")
        self.complains(ONE, "Topic:")

    def test_index_line(self):
        self.edit_patch(ONE, "--- a/hw/a.c", "index 12..34 100644\n--- a/hw/a.c")
        self.complains(ONE, "form")

    def test_garbage(self):
        self.write(self.root / "patches" / ONE, "garbage")
        self.complains(ONE, "From:")
        (self.root / "patches" / ONE).write_bytes(b"\xff\xfe")
        self.complains(ONE, "UTF-8")


class Export(Sandbox):

    def setUp(self):
        super().setUp()
        self.two_patches()
        self.write(self.root / "qemu/hw/n.c", SPDX)
        self.edit_patch(ONE, SIGNED, f"Adds: hw/n.c\n{SIGNED}")
        self.write(self.root / "patches/COVER", "A title\n\nSome text.\n")
        self.good("tree")
        self.good("export")
        self.files = sorted((self.root / "build/export").iterdir())

    def test_export_is_git_am_able_and_complete(self):
        place = self.top / "am"
        self.git("init", "-q", place, where=self.top)
        for name in ("VERSION", "hw/a.c", "hw/b.c"):
            self.write(place / name, (self.qemu / name).read_text())
        self.git("add", "-A", where=place)
        self.git("commit", "-q", "-m", "base", where=place)
        self.git("am", "-q", *map(str, self.files[1:]), where=place)
        self.assertEqual(self.git("log", "--format=%s", where=place).splitlines(),
                         ["hw/b: Say two", "hw/a: Say one", "base"])
        self.assertEqual((place / "hw/n.c").read_text(), SPDX)
        self.assertEqual(self.git("show", "--name-only", "--format=", "HEAD^",
                                  where=place).split(), ["hw/a.c", "hw/n.c"])
        self.assertNotIn("Adds:", self.git("log", where=place))

    def test_export_is_deterministic(self):
        before = [path.read_bytes() for path in self.files]
        self.good("export", str(self.top / "again"))
        self.assertEqual(before, [path.read_bytes()
                                  for path in sorted((self.top / "again").iterdir())])

    def test_cover_letter_lists_the_patches(self):
        text = self.files[0].read_text()
        for words in ("Subject: [PATCH 0/2] A title\n", "\nSome text.\n", "  hw/a: Say one\n",
                      "3 files changed"):
            self.assertIn(words, text)

    def test_missing_new_file_is_named(self):
        (self.root / "qemu/hw/n.c").unlink()
        self.assertIn("qemu/hw/n.c", self.bad("export"))

    def test_export_leaves_the_tree_alone(self):
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertEqual(self.git("log", "-1", "--format=%s"), "hw/b: Say two")


if __name__ == "__main__":
    unittest.main()
