# SPDX-License-Identifier: GPL-2.0-or-later
"""The series as others take it: every commit complete, new files included."""

import series
from common import Failure, remove

FORMAT = ("--zero-commit", "--no-signature", "--no-base", "--no-thread", "--numbered",
          "--stat=80", "--no-renames", "--diff-algorithm=histogram",
          "--indent-heuristic", "--full-index", "--no-ext-diff", "--no-textconv",
          "-U3", "--src-prefix=a/", "--dst-prefix=b/")
REF = "refs/export/tip"
RFC_DATE = "Wed, 1 Jan 2025 00:00:00 +0000"     # series.DATE


def commits(tree):
    """Commit the series with its new files; REF in the tree's git is the tip."""
    base = tree.state["base"]
    ids = series.apply_series(tree.repo, base, series.load(), with_new_files=True)
    tree.repo.git("update-ref", REF, (ids or [base])[-1])
    return ids


def cover(tree, patches):
    """The cover letter: patches/COVER is its subject, an empty line, its body."""
    file = series.PATCHES / "COVER"
    if not file.is_file():
        raise Failure("patches/COVER, the text of the cover letter, is missing")
    subject, _, body = file.read_text(encoding="utf-8").partition("\n")
    width = len(str(len(patches)))
    stat = tree.repo.git("diff", "--stat=80", "--no-renames", tree.state["base"], REF)
    shortlog = "".join(f"  {patch.subject}\n" for patch in patches)
    return (f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"
            f"From: {series.IDENTITY}\nDate: {RFC_DATE}\n"
            f"Subject: [PATCH {0:0{width}}/{len(patches)}] {subject.strip()}\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
            "Content-Transfer-Encoding: 8bit\n\n"
            f"{body.strip()}\n\n{series.IDENTITY.partition(' <')[0]} ({len(patches)}):\n"
            f"{shortlog}\n{stat}\n")


def export(tree, target):
    """Write the series for `git am` into the directory; returns the file names."""
    patches = series.load()
    if not patches:
        raise Failure("the series is empty")
    commits(tree)
    partial = target.with_name(target.name + ".tmp")
    remove(partial)
    partial.mkdir(parents=True)
    (partial / "0000-cover-letter.patch").write_text(
        cover(tree, patches), encoding="utf-8")
    tree.repo.git("format-patch", "-q", *FORMAT, "-o", partial,
                  f"{tree.state['base']}..{REF}")
    remove(target)
    partial.rename(target)
    return sorted(path.name for path in target.iterdir())
