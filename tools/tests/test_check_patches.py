# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/check-patches: one good sample, and a bad one for each rule."""

import hashlib
import io
import tarfile
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
PROJECT = SIGNED.partition(": ")[2]
SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"


class SeriesTest(Sandbox):

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


class CheckPatches(SeriesTest):

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

    def test_too_long_with_its_new_files(self):
        self.write(self.root / "qemu/hw/n.c", SPDX + "int x;\n" * 900)
        self.write(self.root / "qemu/hw/o.c", SPDX + "int x;\n" * 595)
        self.add_to_message(ONE, "Adds: hw/n.c\nAdds: hw/o.c")
        self.good("check-patches")
        self.write(self.root / "qemu/hw/o.c", SPDX + "int x;\n" * 601)
        self.complains(ONE, "1505 lines with its new files")

    def test_data_that_a_program_has_written_may_be_long(self):
        self.write(self.root / "qemu/tests/data/n", SPDX + "1\n" * 2000)
        self.add_to_message(ONE, "Adds: tests/data/n")
        self.good("check-patches")

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


class Fixes(SeriesTest):
    """Rules of the topic fixes."""

    FIX = "fixes/hw-a-say-one.patch"
    STABLE = "Cc: qemu-stable@nongnu.org"
    GOOD = 'Fixes: 0123456789ab ("hw/a: Say (\\"something\\")")'

    def have_fix(self, *trailers):
        """ONE becomes a fix, with these trailers."""
        (self.root / "patches/fixes").mkdir()
        (self.root / "patches" / ONE).rename(self.root / "patches" / self.FIX)
        file = self.root / "patches/series"
        self.write(file, file.read_text().replace(ONE, self.FIX))
        for trailer in trailers:
            self.add_to_message(self.FIX, trailer)

    def test_good_fix(self):
        self.have_fix(self.GOOD, self.STABLE)
        self.good("check-patches")

    def test_good_fix_whose_origin_is_not_known(self):
        self.have_fix(self.STABLE)
        self.good("check-patches")

    def test_fix_that_is_not_for_stable(self):
        self.have_fix(self.GOOD)
        self.complains(self.FIX, "no 'Cc: qemu-stable@nongnu.org'")

    def test_fix_after_something_else(self):
        self.have_fix(self.STABLE)
        self.write(self.root / "patches/series", f"{TWO}\n{self.FIX}\n")
        self.complains(self.FIX, "fixes come first")

    def test_fix_may_add_a_test_and_no_other_file(self):
        self.have_fix(self.STABLE, "Adds: tests/qtest/n-test.c")
        self.write(self.root / "qemu/tests/qtest/n-test.c", SPDX)
        self.good("check-patches")
        self.write(self.root / "qemu/hw/n.c", SPDX)
        self.add_to_message(self.FIX, "Adds: hw/n.c")
        self.complains(self.FIX, "hw/n.c", "nothing but tests")

    def test_malformed_origin(self):
        self.have_fix(self.STABLE, self.GOOD)
        good = self.GOOD
        for bad in ("Fixes: 0123456789a (\"hw/a: Say\")", "Fixes: 0123456789ab hw/a: Say",
                    "Fixes: 0123456789ab", "Fixes: 0123456789AB (\"hw/a: Say\")",
                    "fixes: 0123456789ab (\"hw/a: Say\")", "Fixes: hw/a: Say"):
            self.edit_patch(self.FIX, good, bad)
            self.complains(self.FIX, "must be a trailer")
            good = bad

    def test_origin_in_the_middle_of_the_message(self):
        self.have_fix(self.STABLE)
        self.edit_patch(self.FIX, "Why not.", f"{self.GOOD}\n\nWhy not.")
        self.complains(self.FIX, "must be a trailer")


class Alone(Sandbox):
    """tools/check applies the fixes one by one."""

    def setUp(self):
        super().setUp()
        self.good("tree")
        for word, subject in ("five", "hw/a: Say five"), ("V", "hw/a: Say V"):
            self.commit(subject, "hw/a.c", "line 5\n" if word == "five" else "line five\n",
                        f"line {word}\n", "fixes")
        self.good("refresh")
        self.write(self.root / "base/versions", f"10.0.13 {'0' * 64} trixie\n")

    def check(self):
        done = self.run_tool("check", "tree")
        return done.stdout.splitlines()

    def test_fix_that_needs_another_one(self):
        said = self.check()
        self.assertEqual(said[-1], "3 passed, 1 failed, 0 skipped")
        self.assertIn("FAIL: fixes/hw-a-say-v.patch alone on QEMU 10.0.13: ", said[0])

    def test_fixes_that_stand_alone(self):
        self.git("reset", "-q", "--hard", "HEAD^")
        self.commit("hw/b: Say V", "hw/b.c", "other 5\n", "other V\n", "fixes")
        self.good("refresh")
        self.assertEqual(self.check()[-1], "4 passed, 0 failed, 0 skipped")


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

    def signed_export(self, signoff):
        self.good("export", str(self.top / "signed"), SIGNOFF=signoff)
        return [path.read_text() for path in sorted((self.top / "signed").iterdir())]

    def test_signoff_is_author_and_sign_off_of_the_projects_patches(self):
        self.edit_patch(ONE, "A U Thor <author@example.org>", PROJECT)
        cover, one, _ = self.signed_export("Jo, R. Doe <jo@example.org>")
        for text in cover, one:
            self.assertIn('\nFrom: "Jo, R. Doe" <jo@example.org>\n', text)
        self.assertIn("\nSigned-off-by: Jo, R. Doe <jo@example.org>\n---\n", one)
        self.assertNotIn("viommu-nesting maintainers", cover + one)

    def test_signoff_follows_that_of_a_persons_patch(self):
        self.edit_patch(TWO, SIGNED, "Signed-off-by: A U Thor <author@example.org>")
        two = self.signed_export("Jo <jo@example.org>")[2]
        self.assertIn("\nFrom: A U Thor <author@example.org>\n", two)
        self.assertIn("\n\nSigned-off-by: A U Thor <author@example.org>\n"
                      "Signed-off-by: Jo <jo@example.org>\n---\n", two)

    def test_signoff_without_mail_is_refused(self):
        for bad in "Jo", "Jo <jo>", "<jo@example.org>", "Jo <jo@example.org> <x@y>":
            self.assertIn("not of the form", self.bad("export", SIGNOFF=bad))


class Quilt(Sandbox):
    """The export for Debian's package, on a package that has a patch of its own."""

    def setUp(self):
        super().setUp()
        self.two_patches()
        self.write(self.root / "qemu/hw/n.c", SPDX)
        (self.root / "qemu/hw/table").write_bytes(b"\0\1\2")
        self.edit_patch(ONE, SIGNED, f"Adds: hw/n.c\nAdds: hw/table\n{SIGNED}")
        self.write(self.root / "tools/accepted-skips", "# nothing\n")
        self.package("other 20", "other twenty")

    def package(self, old, new):
        """A debian/ whose patch changes this line of hw/b.c, in the cache and listed."""
        lines = [f"other {n}" for n in range(17, 24)]
        at = lines.index(old)
        patch = "".join(f" {line}\n" for line in lines[:at]) + f"-{old}\n+{new}\n" + \
            "".join(f" {line}\n" for line in lines[at + 1:])
        file = self.top / "cache/dl/qemu_10.0.13+ds-1.debian.tar.xz"
        file.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file, "w:xz") as tar:
            for name, text in {
                    "debian/patches/series": "theirs.patch\n",
                    "debian/source/include-binaries": "hw/old\n",
                    "debian/patches/theirs.patch": "Why\n--- a/hw/b.c\n+++ b/hw/b.c\n"
                    f"@@ -18,7 +18,7 @@\n{patch}"}.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        self.write(self.root / "base/versions", f"10.0.13+ds {'0' * 64} x 1 {sha256}\n")

    def check(self):
        done = self.run_tool("check", "quilt")
        return done.returncode, done.stdout

    def test_series_names_every_patch_and_binary_files_are_listed(self):
        self.good("export", QUILT="1", SIGNOFF="Jo <jo@example.org>")
        where = self.root / "build/export-quilt"
        self.assertEqual((where / "debian/patches/series").read_text(),
                         f"viommu-nesting/{ONE}\nviommu-nesting/{TWO}\n")
        self.assertEqual((where / "debian/source/include-binaries").read_text(), "hw/table\n")
        self.assertEqual((where / "hw/table").read_bytes(), b"\0\1\2")
        text = (where / "debian/patches/viommu-nesting" / ONE).read_text()
        for words in "+++ b/hw/n.c\n", "Signed-off-by: Jo <jo@example.org>\n---\n":
            self.assertIn(words, text)
        for words in "table", "Adds:", "Binary":
            self.assertNotIn(words, text)

    def test_patch_of_binary_files_alone_is_not_in_the_series(self):
        path = self.root / "patches" / TWO
        path.write_text(path.read_text().partition("diff --git")[0].replace(
            SIGNED, f"Adds: hw/more\n{SIGNED}"), encoding="utf-8")
        (self.root / "qemu/hw/more").write_bytes(b"\0")
        self.good("export", QUILT="1")
        where = self.root / "build/export-quilt"
        self.assertEqual((where / "debian/patches/series").read_text(), f"viommu-nesting/{ONE}\n")
        self.assertIn("hw/more\n", (where / "debian/source/include-binaries").read_text())

    def test_goes_on_top_of_the_packages_own_patches(self):
        status, said = self.check()
        self.assertEqual((status, said.splitlines()[-1]), (0, "1 passed, 0 failed, 0 skipped"))

    def test_context_that_the_package_changes_is_refused(self):
        """Only with fuzz would patch(1) take it."""
        path = self.root / "patches" / TWO
        path.write_text(path.read_text() + "@@ -15,7 +15,7 @@ x\n" + "".join(
            f" other {n}\n" for n in (14, 15, 16)) + "-other 17\n+seventeen\n" + "".join(
            f" other {n}\n" for n in (18, 19, 20)), encoding="utf-8")
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("FAIL: quilt push on Debian's QEMU 10.0.13", said)
        self.assertIn(f"viommu-nesting/{TWO}", said)

    def test_file_that_the_export_leaves_out_is_found(self):
        file = self.root / "tools/exporting.py"
        text = file.read_text(encoding="utf-8")
        self.write(file, text.replace("    for path in binaries:\n",
                                      "    for path in []:\n"))
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("not as in the series: hw/table", said)

    def test_damaged_patches_of_the_package_are_not_used(self):
        for file in (self.top / "cache/dl").glob("*.debian.tar.xz"):
            file.write_bytes(file.read_bytes() + b"x")
        self.env["APT_SOURCES"] = "/nonexistent"
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("skipped, which tools/accepted-skips does not have", said)


if __name__ == "__main__":
    unittest.main()
