# SPDX-License-Identifier: GPL-2.0-or-later
"""The series as others take it: every commit complete, new files included.

For `git am`, or as quilt patches to be put on top of those of a Debian package.
"""

import contextlib
import email.utils
import re

import series
from common import Failure, remove

FORMAT = ("--zero-commit", "--no-signature", "--no-base", "--no-thread", "--numbered",
          "--stat=80", "--no-renames", "--diff-algorithm=histogram",
          "--indent-heuristic", "--full-index", "--no-ext-diff", "--no-textconv",
          "-U3", "--src-prefix=a/", "--dst-prefix=b/")
REF = "refs/export/tip"
RFC_DATE = "Wed, 1 Jan 2025 00:00:00 +0000"     # series.DATE
# Where the quilt patches are, in debian/patches
FOLDER = "viommu-nesting"
# What the package may have itself
APPENDED = ("debian/patches/series", "debian/source/include-binaries")


def commits(tree, signoff=None):
    """Commit the series with its new files; REF in the tree's git is the tip.

    signoff: "Name <mail>", in whose name the project's patches are exported.
    """
    base = tree.state["base"]
    patches = series.load()
    if signoff:
        check_signoff(signoff)
        for patch in patches:
            sign(patch, signoff)
    ids = series.apply_series(tree.repo, base, patches, with_new_files=True)
    tree.repo.git("update-ref", REF, (ids or [base])[-1])
    return ids


def check_signoff(signoff):
    if not re.fullmatch(r"[^<>\s][^<>\n]* <[^<>\s@]+@[^<>\s@]+>", signoff):
        raise Failure(f"SIGNOFF={signoff}: is not of the form 'Name <mail>'")


def sign(patch, signoff):
    """Author and sign-off of a patch: the project's name stands for nobody.

    A person's patch remains theirs, and the new sign-off follows their own.
    """
    if patch.author == series.IDENTITY:
        patch.author = signoff
    lines = [line for line in patch.message.split("\n")
             if line not in (f"Signed-off-by: {series.IDENTITY}", f"Signed-off-by: {signoff}")]
    patch.message = "\n".join([*lines, f"Signed-off-by: {signoff}"])


def cover(tree, patches, sender):
    """The cover letter: patches/COVER is its subject, an empty line, its body."""
    file = series.PATCHES / "COVER"
    if not file.is_file():
        raise Failure("patches/COVER, the text of the cover letter, is missing")
    subject, _, body = file.read_text(encoding="utf-8").partition("\n")
    name, address = series.name_and_address(sender)
    width = len(str(len(patches)))
    stat = tree.repo.git("diff", "--stat=80", "--no-renames", tree.state["base"], REF)
    shortlog = "".join(f"  {patch.subject}\n" for patch in patches)
    return (f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"
            f"From: {email.utils.formataddr((name, address))}\nDate: {RFC_DATE}\n"
            f"Subject: [PATCH {0:0{width}}/{len(patches)}] {subject.strip()}\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
            "Content-Transfer-Encoding: 8bit\n\n"
            f"{body.strip()}\n\n{name} ({len(patches)}):\n"
            f"{shortlog}\n{stat}\n")


@contextlib.contextmanager
def replaced(target):
    """A new directory that takes the place of target once it is complete."""
    partial = target.with_name(target.name + ".tmp")
    remove(partial)
    partial.mkdir(parents=True)
    yield partial
    remove(target)
    partial.rename(target)


def export(tree, target, signoff=None):
    """Write the series for `git am` into the directory; returns the file names."""
    patches = series.load()
    if not patches:
        raise Failure("the series is empty")
    commits(tree, signoff)
    with replaced(target) as partial:
        (partial / "0000-cover-letter.patch").write_text(
            cover(tree, patches, signoff or series.IDENTITY), encoding="utf-8")
        tree.repo.git("format-patch", "-q", *FORMAT, "-o", partial,
                      f"{tree.state['base']}..{REF}")
    return sorted(path.name for path in target.iterdir())


def export_quilt(tree, target, signoff=None):
    """Write what a Debian package of QEMU takes; returns (patches, binary files).

    debian/patches/series and debian/source/include-binaries are lines to be added to
    the package's own, all else is new to it. The binary files are beside debian/:
    quilt's diffs cannot carry them, so dpkg-source packs those that are listed.
    """
    patches = series.load()
    if not patches:
        raise Failure("the series is empty")
    ids = commits(tree, signoff)
    names, binaries = [], []
    with replaced(target) as partial:
        for patch, commit in zip(patches, ids):
            whole = tree.repo.patch(commit, patch.path)
            whole.diff, found = without_binaries(whole)
            binaries += found
            if whole.diff:
                names.append(f"{FOLDER}/{patch.path}")
                write(partial / "debian/patches" / names[-1], whole.text())
        for path in binaries:
            write(partial / path, (series.NEW_FILES / path).read_bytes())
        write(partial / "debian/patches/series", "".join(f"{name}\n" for name in names))
        write(partial / "debian/source/include-binaries",
              "".join(f"{path}\n" for path in sorted(binaries)))
    return names, binaries


def add_to_package(exported, package):
    """Put an export_quilt() into an unpacked source package."""
    for path in sorted(exported.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(exported))
        old = package / name
        before = old.read_bytes() if name in APPENDED and old.is_file() else b""
        write(old, before + path.read_bytes())


def without_binaries(patch):
    """The diff without binary files, and the paths of those."""
    text, binaries = "", []
    for part in re.split(r"^(?=diff --git )", patch.diff, flags=re.M):
        header = part.partition("\n@@ ")[0]
        if re.search(r"^Binary files ", header, re.M):
            binaries.append(re.match(r"diff --git a/(\S+) ", header)[1])
        else:
            text += part
    return text, binaries


def write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(contents, str):
        contents = contents.encode()
    path.write_bytes(contents)
