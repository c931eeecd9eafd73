# SPDX-License-Identifier: GPL-2.0-or-later
"""The scratch tree: the base and the series as commits, to build and edit."""

import bz2
import json
import os
import re
from pathlib import Path

import series
from common import (Failure, ROOT, cache_dir, locked, need_space, note, output,
                    remove)
from series import Repo


def tree_path():
    return Path(os.environ.get("TREE") or ROOT / "build/tree").absolute()


def shown(path):
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


class Tree:
    """A scratch tree; `state` is what its git knew when it last matched patches/."""

    def __init__(self, path=None):
        self.path = path or tree_path()
        self.name = shown(self.path)
        self.repo = Repo(self.path / ".git", self.path)
        self.state_file = self.path / ".git/viommu-state.json"

    @property
    def state(self):
        return json.loads(self.state_file.read_text(encoding="utf-8"))

    def save(self, **state):
        partial = self.state_file.with_suffix(".tmp")
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.rename(self.state_file)

    def exists(self):
        if self.state_file.is_file():
            return True
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise Failure(f"{self.name} is in use and no tree of this project: "
                          "remove it or set TREE=")
        return False

    def update(self, base):
        """Create the tree, or bring it up to patches/; returns its path."""
        with locked(cache_dir() / "tree.lock"):
            return self.update_locked(base)

    def update_locked(self, base):
        patches = series.load()
        if not self.exists():
            self.create(base, patches)
        state = self.state
        if state["base"] != base.commit:
            other = "" if state["version"] != base.version else "another copy of "
            raise Failure(f"{self.name} holds {other}QEMU {state['version']}, wanted "
                          f"is {base.version}: remove it or set TREE=")
        if state["digest"] != series.digest() or "moving_to" in state:
            self.move(patches, state)
        self.link_new_files()
        return self.path

    def create(self, base, patches):
        """Everything happens in a .tmp that an interrupted run may leave."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        need_space(self.path.parent, 700, "the scratch tree")
        partial = Tree(self.path.with_name(self.path.name + ".tmp"))
        remove(partial.path)
        output(["git", "clone", "-q", "--local", "--no-checkout", "--no-tags",
                base.git_dir, partial.path])
        git = partial.repo.git
        git("remote", "remove", "origin")
        git("config", "gc.auto", "0")
        # One hunk header for everyone, whatever this git knows of languages.
        (partial.path / ".git/info/attributes").write_text("* !diff\n", encoding="utf-8")
        # New commits are the project's; `git commit --author=` names another.
        name, _, address = series.IDENTITY.partition(" <")
        git("config", "user.name", name)
        git("config", "user.email", address.rstrip(">"))
        tip = ([base.commit] + series.apply_series(partial.repo, base.commit, patches))[-1]
        git("tag", "base", base.commit)
        git("checkout", "-q", "-B", "series", tip)
        partial.save(base=base.commit, version=base.version, tip=tip,
                     digest=series.digest(), paths=[patch.path for patch in patches])
        if self.path.exists():
            self.path.rmdir()
        partial.path.rename(self.path)

    def head(self):
        return self.repo.git("rev-parse", "HEAD")

    def move(self, patches, state):
        """patches/ changed: rebuild the commits, touch only what differs."""
        if self.head() not in (state["tip"], state.get("moving_to")):
            raise Failure(f"patches/ changed, and {self.name} has commits that are "
                          "not in it: make refresh joins both")
        commits = series.apply_series(self.repo, state["base"], patches)
        self.switch((commits or [state["base"]])[-1], patches)

    def switch(self, tip, patches):
        """Make tip the branch's head; other files keep their time stamps.

        `moving_to` in the state lets the next run finish an interrupted one.
        """
        git = self.repo.git
        head = self.head()
        resumed = "moving_to" in self.state
        changed = git("diff", "--name-only", "--no-renames", head, tip).splitlines()
        if resumed:
            (self.path / ".git/index.lock").unlink(missing_ok=True)
            changed = git("diff", "--name-only", "--no-renames", "HEAD",
                          self.state["moving_to"]).splitlines() + changed
        elif changed:
            edited = git("diff", "--name-only", "HEAD", "--", *changed).splitlines()
            if edited:
                raise Failure(f"{self.name}/{edited[0]} has an edit that is not "
                              "committed, and the series changes it too")
        state = self.state | {"moving_to": tip}
        self.save(**state)
        if changed:
            git("checkout", "-q", tip, "--", *sorted(set(changed)))
        git("update-ref", "refs/heads/series", tip)
        git("symbolic-ref", "HEAD", "refs/heads/series")
        del state["moving_to"]
        self.save(**state | {"tip": tip, "digest": series.digest(),
                             "paths": [patch.path for patch in patches]})

    def link_new_files(self):
        """Link qemu/ into the tree, hidden from its git; drop stale links."""
        exclude = self.path / ".git/info/exclude"
        before = {line[1:] for line in exclude.read_text(encoding="utf-8").splitlines()
                  if line.startswith("/")} if exclude.exists() else set()
        wanted = series.new_files()
        for path in before - set(wanted):
            link = self.path / path
            if link.is_symlink():
                link.unlink()
        exclude.write_text("".join(f"/{path}\n" for path in wanted) +
                           "pc-bios/edk2-*.fd.bz2\nviommu-*.mak\n/build*/\n",
                           encoding="utf-8")
        for path in wanted:
            self.link(self.path / path, series.NEW_FILES / path, path)
        stand_ins(self.path)

    def link(self, link, target, path):
        if link.is_symlink():
            if os.readlink(link) == str(target):
                return
            link.unlink()
        elif link.exists():
            if self.repo.git("ls-files", "--", path):
                raise Failure(f"qemu/{path} is a file of the base too: "
                              "a path is either new or edited by a patch")
            if link.read_bytes() != target.read_bytes():
                # Some editors replace a link by a file.
                raise Failure(f"{self.name}/{path} is no link any more and differs "
                              f"from qemu/{path}: keep one of them")
            link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    # --- back to patches/ -------------------------------------------------

    def refresh(self):
        """Write the commits back as patches/; returns the paths written."""
        with locked(cache_dir() / "tree.lock"):
            return self.refresh_locked()

    def refresh_locked(self):
        if not self.state_file.is_file():
            raise Failure(f"there is no scratch tree in {self.name}: make tree")
        state = self.state
        if any((self.path / ".git" / name).exists()
               for name in ("rebase-merge", "rebase-apply")):
            raise Failure(f"a rebase is going on in {self.name}: finish it first")
        self.link_new_files()
        state = self.take_base(state)
        on_disk = series.load()
        paths = [patch.path for patch in on_disk]
        mine = self.patches_of(self.repo.commits(state["base"]), state["paths"] + paths)
        if state["digest"] != series.digest():
            commits = self.repo.commits(state["base"], state["tip"])
            old = [self.repo.patch(*pair) for pair in zip(commits, state["paths"])]
            mine = joined(old, mine, on_disk)
        commits = series.apply_series(self.repo, state["base"], mine)
        final = [self.repo.patch(commit, patch.path)
                 for commit, patch in zip(commits, mine)]
        tip = (commits or [state["base"]])[-1]
        if state["digest"] == series.digest() and self.repo.git("diff", "HEAD", tip, "--stat"):
            raise Failure("the patches do not give the same tree again")
        written = write(final, on_disk)
        self.switch(tip, final)
        self.report_leftovers()
        return written

    def take_base(self, state):
        """The base is the root commit: a rebase onto another one changes it."""
        git = self.repo.git
        root = git("rev-list", "--max-parents=0", "--first-parent", "HEAD")
        if root != state["base"]:
            # What the tree last had in common with patches/ is off the old base.
            if state["digest"] != series.digest():
                raise Failure("patches/ changed, and so did the base: one at a time")
            state = state | {"base": root, "version": git("show", f"{root}:VERSION")}
            git("tag", "-f", "base", root)
            self.save(**state)
        return state

    def compare(self):
        """Paths that a refresh would write, if patches/ is what the tree has."""
        state, on_disk = self.state, series.load()
        commits = self.repo.commits(state["base"], state["tip"])
        return [patch.path for commit, patch in zip(commits, on_disk)
                if self.repo.patch(commit, patch.path).text() !=
                (series.PATCHES / patch.path).read_text(encoding="utf-8")]

    def patches_of(self, commits, known):
        """Patches for these commits; the topic is that of a known path.

        A commit that is new says its topic by a trailer, taken off here.
        """
        topics = {path.rpartition("/")[2]: path.rpartition("/")[0] for path in known}
        patches, errors = [], []
        for commit in commits:
            patch = self.repo.patch(commit, "")
            for _, header, _ in patch.sections():
                self.check_plain(patch, header)
            name = series.slug(patch.subject) + ".patch"
            named = patch.trailers("Topic")
            topic = named[-1] if named else topics.get(name)
            if not topic:
                errors.append(patch.subject)
            bare = re.sub(r"^Topic: .*\n?", "", patch.message, flags=re.M)
            patch.message = re.sub(r"\n{3,}", "\n\n", bare).strip("\n")
            patch.path = f"{topic}/{name}"
            patches.append(patch)
        if errors:
            raise Failure(f"which topic? Add a 'Topic: NAME' trailer to: {'; '.join(errors)}")
        paths = [patch.path for patch in patches]
        doubled = [path for path in paths if paths.count(path) > 1]
        if doubled:
            raise Failure(f"two commits have the same subject: {doubled[0]}")
        return patches

    def check_plain(self, patch, header):
        what = series.unusual(header)
        path = header.split("\n")[0].rpartition(" b/")[2]
        if what == "creates":
            raise Failure(f"'{patch.subject}' creates {path}: put new files under "
                          f"qemu/ and name them by 'Adds: {path}'")
        if what:
            raise Failure(f"'{patch.subject}' {what} {path}: "
                          "a patch only edits files that exist")
        if re.search(r"^(---|diff -|Index: )", patch.message, re.M):
            raise Failure(f"'{patch.subject}': no message line may begin "
                          "with '---', 'diff -' or 'Index: '")

    def report_leftovers(self):
        for line in self.repo.git("status", "--porcelain",
                                  "--untracked-files=normal").splitlines():
            what = "is new: move it to qemu/" if line.startswith("??") else \
                "has edits that are not committed, so not in patches/"
            note(f"notice: {self.name}/{line[3:]} {what}")


def stand_ins(source):
    """Empty files for the UEFI images, which Debian's source leaves out.

    Where bzip2 is installed QEMU's build files insist on their presence.
    """
    build_file = source / "pc-bios/meson.build"
    if build_file.is_file():
        text = build_file.read_text(encoding="utf-8")
        for name in re.findall(r"'(edk2-\S+\.fd)'", text):
            blob = source / f"pc-bios/{name}.bz2"
            if not blob.exists():
                blob.write_bytes(bz2.compress(b""))


def joined(old, mine, theirs):
    """Three-way join of series, patch by patch: theirs with my changes.

    Line numbers do not count as a change: they shift with earlier patches.
    """
    def by_path(patches):
        return {patch.path: re.sub(r"^@@ .*? @@", "@@", patch.text(), flags=re.M)
                for patch in patches}
    before, here, there = by_path(old), by_path(mine), by_path(theirs)
    own = {patch.path: patch for patch in mine}
    for path in before.keys() | here.keys() | there.keys():
        versions = before.get(path), here.get(path), there.get(path)
        if versions[0] != versions[1] != versions[2] != versions[0]:
            raise Failure(f"patches/{path} changed both in the tree and on disk")
    result = []
    for patch in theirs:
        if here.get(patch.path) != before.get(patch.path):
            if patch.path in own:
                result.append(own[patch.path])
        else:
            result.append(patch)
    for position, patch in enumerate(mine):
        if patch.path not in before and patch.path not in there:
            previous = [other.path for other in mine[:position]]
            places = [index for index, other in enumerate(result)
                      if other.path in previous]
            result.insert(places[-1] + 1 if places else 0, patch)
    return result


def write(patches, on_disk):
    """Write patches/ so that only what changed is touched."""
    paths = [patch.path for patch in patches]
    changed = []
    text = series.series_text(paths)
    for patch in patches:
        file = series.PATCHES / patch.path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != patch.text():
            file.write_text(patch.text(), encoding="utf-8")
            changed.append(patch.path)
    for path in {patch.path for patch in on_disk} - set(paths):
        (series.PATCHES / path).unlink(missing_ok=True)
        changed.append(path)
    if text != (series.SERIES.read_text(encoding="utf-8") if series.SERIES.exists() else ""):
        series.PATCHES.mkdir(exist_ok=True)
        series.SERIES.write_text(text, encoding="utf-8")
        changed.append("series")
    return changed
