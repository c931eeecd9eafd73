# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/tree and tools/refresh on small made-up trees."""

import json
import os
import shutil
import unittest

from sandbox import ONE, SIGNED, TWO, Sandbox


class Tree(Sandbox):

    def test_empty_series_round_trip_changes_nothing(self):
        self.good("tree")
        self.good("refresh")
        self.assertEqual(self.git("log", "--format=%s"), "QEMU")
        self.assertFalse((self.root / "patches/series").exists())

    def test_series_becomes_one_commit_per_patch(self):
        self.two_patches()
        shutil.rmtree(self.tree)
        self.good("tree")
        self.assertEqual(self.git("log", "--format=%s").splitlines(),
                         ["hw/b: Say two", "hw/a: Say one", "QEMU"])
        self.assertEqual(self.git("log", "-1", "--format=%an <%ae>"),
                         "A U Thor <author@example.org>")
        self.assertIn("line five", (self.tree / "hw/a.c").read_text())

    def test_commit_ids_are_the_same_in_every_tree(self):
        self.two_patches()
        self.good("tree", TREE=str(self.top / "other"))
        self.assertEqual(self.git("rev-parse", "HEAD"),
                         self.git("rev-parse", "HEAD", where=self.top / "other"))

    def test_fuzz_is_refused_with_the_patch_name(self):
        self.two_patches()
        shutil.rmtree(self.tree)
        self.edit_patch(TWO, " other 4\n", " other four\n")
        self.assertIn(TWO, self.bad("tree"))
        self.assertFalse(self.tree.exists())

    def test_offset_is_accepted(self):
        self.two_patches()
        shutil.rmtree(self.tree)
        self.edit_patch(TWO, "@@ -3,7 +3,7 @@", "@@ -9,7 +9,7 @@")
        self.good("tree")
        self.assertEqual((self.tree / "hw/b.c").read_text().splitlines()[5], "other five")

    def test_missing_patch_is_named(self):
        self.two_patches()
        (self.root / "patches" / ONE).unlink()
        self.assertIn(ONE, self.bad("tree"))

    def test_failed_update_leaves_the_tree_as_it_was(self):
        self.two_patches()
        before = self.git("rev-parse", "HEAD")
        self.edit_patch(ONE, " line 4\n", " line four\n")
        self.assertIn(ONE, self.bad("tree"))
        self.assertEqual(self.git("rev-parse", "HEAD"), before)
        self.assertEqual(self.git("status", "--porcelain"), "")

    def test_update_touches_only_what_changed(self):
        self.two_patches()
        old = (self.tree / "hw/a.c").stat().st_mtime_ns
        self.edit_patch(TWO, "other five", "other V")
        self.good("tree")
        self.assertIn("other V\n", (self.tree / "hw/b.c").read_text())
        self.assertEqual((self.tree / "hw/a.c").stat().st_mtime_ns, old)
        self.assertEqual(self.git("status", "--porcelain"), "")

    def test_update_keeps_an_uncommitted_edit_of_another_file(self):
        self.two_patches()
        self.write(self.tree / "hw/a.c", "mine\n")
        self.edit_patch(TWO, "other five", "other V")
        self.good("tree")
        self.assertEqual((self.tree / "hw/a.c").read_text(), "mine\n")

    def test_update_refuses_to_lose_an_uncommitted_edit(self):
        self.two_patches()
        self.write(self.tree / "hw/b.c", "mine\n")
        self.edit_patch(TWO, "other five", "other V")
        self.assertIn("hw/b.c", self.bad("tree"))
        self.assertEqual((self.tree / "hw/b.c").read_text(), "mine\n")

    def test_foreign_directory_is_refused(self):
        self.write(self.tree / "precious", "data")
        self.assertIn("build/tree is in use", self.bad("tree"))
        self.assertTrue((self.tree / "precious").exists())

    def test_tree_of_another_version_is_refused(self):
        self.two_patches()
        self.write(self.qemu / "VERSION", "10.0.2\n")
        self.assertIn("holds QEMU 10.0.13, wanted is 10.0.2", self.bad("tree"))

    def test_interrupted_creation_is_redone(self):
        self.write(self.root / "build/tree.tmp/hw/a.c", "half")
        self.good("tree")
        self.assertIn("line 5\n", (self.tree / "hw/a.c").read_text())
        self.assertFalse((self.root / "build/tree.tmp").exists())

    def test_interrupted_update_is_finished(self):
        self.two_patches()
        before = self.git("rev-parse", "HEAD")
        self.edit_patch(TWO, "other five", "other V")
        self.good("tree")
        # As if the update had stopped after writing the file.
        after = self.git("rev-parse", "HEAD")
        self.git("update-ref", "refs/heads/series", before)
        self.write(self.tree / ".git/index.lock", "")
        state_file = self.tree / ".git/viommu-state.json"
        state = json.loads(state_file.read_text())
        state.update(tip=before, moving_to=after, digest="old")
        state_file.write_text(json.dumps(state))
        self.good("tree")
        self.assertEqual(self.git("rev-parse", "HEAD"), after)
        self.assertEqual(self.git("status", "--porcelain"), "")


class NewFiles(Sandbox):

    def test_new_file_is_linked_hidden_and_live(self):
        self.write(self.root / "qemu/hw/new/n.c", "one\n")
        self.good("tree")
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.write(self.tree / "hw/new/n.c", "two\n")
        self.assertEqual((self.root / "qemu/hw/new/n.c").read_text(), "two\n")

    def test_link_of_a_removed_file_goes(self):
        self.write(self.root / "qemu/hw/n.c", "one\n")
        self.good("tree")
        (self.root / "qemu/hw/n.c").unlink()
        self.good("tree")
        self.assertFalse(os.path.lexists(self.tree / "hw/n.c"))

    def test_link_replaced_by_an_edited_file_is_not_lost(self):
        self.write(self.root / "qemu/hw/n.c", "one\n")
        self.good("tree")
        (self.tree / "hw/n.c").unlink()
        self.write(self.tree / "hw/n.c", "edited\n")
        self.assertIn("hw/n.c", self.bad("tree"))
        self.assertEqual((self.tree / "hw/n.c").read_text(), "edited\n")

    def test_new_file_at_a_path_of_the_base_is_refused(self):
        self.write(self.root / "qemu/hw/a.c", "one\n")
        self.assertIn("hw/a.c", self.bad("tree"))
        self.assertIn("line 5", (self.tree / "hw/a.c").read_text())


class Refresh(Sandbox):

    def test_round_trip_without_edit_is_empty(self):
        self.two_patches()
        shutil.rmtree(self.tree)
        self.good("tree")
        self.assertEqual(self.good("refresh"), "")
        self.assertEqual(self.changes(), [])

    def test_patch_file_has_no_date_id_or_index(self):
        self.two_patches()
        text = (self.root / "patches" / ONE).read_text()
        self.assertTrue(text.startswith(
            "From: A U Thor <author@example.org>\nSubject: hw/a: Say one\n\n"
            f"Why not.\n\n{SIGNED}\n---\ndiff --git a/hw/a.c b/hw/a.c\n--- a/hw/a.c\n"), text)

    def test_hand_written_patch_is_brought_to_normal_form(self):
        self.two_patches()
        self.edit_patch(TWO, "@@ -3,7 +3,7 @@", "@@ -9,7 +9,7 @@ f()")
        self.good("tree")
        self.good("refresh")
        self.assertEqual(self.changes(), [])

    def test_edit_in_the_middle_changes_that_patch_only(self):
        self.two_patches()
        self.write(self.tree / "hw/a.c",
                   (self.tree / "hw/a.c").read_text().replace("five", "V"))
        self.git("commit", "-qa", "--fixup", "HEAD^")
        self.git("-c", "sequence.editor=true", "rebase", "-q", "-i", "--autosquash", "base")
        self.assertEqual(self.good("refresh"), f"patches/{ONE}\n")
        self.assertEqual(self.changes(), [f" M patches/{ONE}"])

    def test_new_commit_without_topic_is_refused(self):
        self.two_patches()
        self.commit("hw/a: Say three", "hw/a.c", "line 9\n", "line nine\n", topic="")
        self.assertIn("hw/a: Say three", self.bad("refresh"))
        self.assertEqual(self.changes(), [])

    def test_topic_trailer_is_taken_off(self):
        self.two_patches()
        text = (self.root / "patches" / ONE).read_text()
        self.assertNotIn("Topic", text + self.git("log"))

    def test_patch_of_a_dropped_commit_goes(self):
        self.two_patches()
        self.git("reset", "-q", "--hard", "HEAD^")
        self.good("refresh")
        self.assertEqual(self.series(), [ONE])
        self.assertFalse((self.root / "patches" / TWO).exists())

    def test_series_comments_are_kept(self):
        self.two_patches()
        file = self.root / "patches/series"
        text = f"# first\n# core: the core\n{ONE}\n\n# vtd: VT-d\n{TWO}\n\n# end\n"
        file.write_text(text, encoding="utf-8")
        self.commit("hw/b: Say three", "hw/b.c", "other 9\n", "nine\n", "vtd")
        self.good("refresh")
        self.assertEqual(file.read_text(), text.replace(
            TWO, f"{TWO}\nvtd/hw-b-say-three.patch"))

    def test_commit_that_creates_a_file_is_refused(self):
        self.two_patches()
        self.commit("hw/c: Add", "hw/c.c", "", "new\n")
        self.assertIn("creates hw/c.c", self.bad("refresh"))

    def test_commit_that_deletes_or_renames_is_refused(self):
        self.two_patches()
        self.git("rm", "-q", "hw/b.c")
        self.git("commit", "-q", "-m", "hw/b: Drop")
        self.assertIn("deletes hw/b.c", self.bad("refresh"))
        self.git("reset", "-q", "--hard", "HEAD^")
        self.git("mv", "hw/b.c", "hw/c.c")
        self.git("commit", "-q", "-m", "hw/b: Move")
        self.assertIn("Move", self.bad("refresh"))

    def test_rebase_going_on_is_refused(self):
        self.two_patches()
        (self.tree / ".git/rebase-merge").mkdir()
        self.assertIn("rebase", self.bad("refresh"))

    def test_uncommitted_edit_gets_a_notice(self):
        self.two_patches()
        self.write(self.tree / "hw/b.c", "mine\n")
        self.write(self.tree / "hw/x.c", "new\n")
        done = self.run_tool("refresh")
        self.assertEqual(done.returncode, 0)
        self.assertIn("hw/b.c has edits", done.stderr)
        self.assertIn("hw/x.c is new", done.stderr)


    def test_rebase_to_another_base(self):
        self.two_patches()
        self.write(self.qemu / "VERSION", "10.0.14\n")
        text = (self.qemu / "hw/b.c").read_text()
        self.write(self.qemu / "hw/b.c", "top\n" + text.replace("other 3\n", "third\n"))
        repository = self.good("fetch-base").split()[0]
        self.git("fetch", "-q", repository, "base")
        self.git("rebase", "-q", "--onto", "FETCH_HEAD", "base")
        self.assertEqual(self.good("refresh"), f"patches/{TWO}\n")
        self.good("tree")
        self.assertEqual(self.git("log", "-1", "--format=%s", "base"), "QEMU")
        self.assertEqual(self.git("show", "base:VERSION"), "10.0.14")
        self.assertEqual(self.good("refresh"), "")


class Join(Sandbox):
    """patches/ changed on disk while the tree has commits of its own."""

    def setUp(self):
        super().setUp()
        self.two_patches()
        self.commit("hw/a: Say three", "hw/a.c", "line 30\n", "line XXX\n")

    def test_tree_refuses(self):
        self.edit_patch(TWO, "other five", "other V")
        self.assertIn("make refresh", self.bad("tree"))

    def test_refresh_keeps_both_sides(self):
        self.edit_patch(TWO, "other five", "other V")
        self.good("refresh")
        self.assertEqual(len(self.series()), 3)
        self.assertIn("other V", (self.tree / "hw/b.c").read_text())
        self.assertIn("line XXX", (self.tree / "hw/a.c").read_text())
        self.assertEqual(self.good("refresh"), "")

    def test_refresh_keeps_a_patch_reworded_or_removed_on_disk(self):
        (self.root / "patches" / TWO).unlink()
        (self.root / "patches/series").write_text(f"{ONE}\n", encoding="utf-8")
        self.good("refresh")
        self.assertEqual(self.series(), [ONE, "core/hw-a-say-three.patch"])
        self.assertIn("other 5\n", (self.tree / "hw/b.c").read_text())

    def test_same_patch_changed_on_both_sides_is_refused(self):
        self.git("reset", "-q", "--hard", "HEAD^")
        self.write(self.tree / "hw/b.c",
                   (self.tree / "hw/b.c").read_text().replace("five", "5!"))
        self.git("commit", "-qa", "--amend", "--no-edit")
        self.edit_patch(TWO, "other five", "other V")
        self.assertIn(TWO, self.bad("refresh"))


if __name__ == "__main__":
    unittest.main()
