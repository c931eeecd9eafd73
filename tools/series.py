# SPDX-License-Identifier: GPL-2.0-or-later
"""The patch series: its files, and its commits in a scratch git repository.

A patch file is `From:`, `Subject:`, an empty line, the message, `---` and the
diff: no date, no commit id, no index line, so that equal commits give equal
files.  `patches/series` is the only order; its comments name topics.
"""

import hashlib
import os
import re
import subprocess
import threading

from common import Failure, ROOT

PATCHES = ROOT / "patches"
SERIES = PATCHES / "series"
NEW_FILES = ROOT / "qemu"
# The topic of repairs that the base needs by itself
FIXES = "fixes"

# Commits carry no time of their own: equal input gives equal commit ids.
DATE = "1735689600 +0000"
IDENTITY = "viommu-nesting maintainers <maintainers@viommu-nesting.invalid>"

DIFF_OPTIONS = ("-p", "-U3", "--inter-hunk-context=0", "--no-renames",
                "--diff-algorithm=histogram", "--indent-heuristic",
                "--no-color", "--no-ext-diff", "--no-textconv", "--full-index",
                "--src-prefix=a/", "--dst-prefix=b/")


def slug(subject):
    return re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")


def name_and_address(who):
    """The two parts of "Name <mail>"; a name may have commas and dots."""
    name, _, address = who.rstrip(">").rpartition(" <")
    return name, address


class Patch:
    """One patch: `topic/slug.patch`, author, message, diff."""

    def __init__(self, path, author, message, diff):
        self.path = path
        self.author = author
        self.message = message.strip("\n")
        self.diff = diff

    @classmethod
    def parse(cls, path, text):
        head, _, rest = text.partition("\n\n")
        fields = dict(re.findall(r"^(From|Subject): (.*)$", head, re.M))
        if set(fields) != {"From", "Subject"}:
            raise Failure(f"patches/{path}: must begin with From: and Subject:")
        body, mark, diff = ("\n" + rest).partition("\n---\n")
        if not mark:
            raise Failure(f"patches/{path}: no --- line between message and diff")
        return cls(path, fields["From"],
                   fields["Subject"] + "\n\n" + body.strip("\n"), diff)

    @property
    def topic(self):
        return self.path.rpartition("/")[0]

    @property
    def subject(self):
        return self.message.split("\n", 1)[0]

    @property
    def body(self):
        return self.message.partition("\n")[2].strip("\n")

    def trailers(self, key):
        """Values of one trailer, from the message's last paragraph."""
        last = self.message.split("\n\n")[-1]
        return re.findall(rf"^{key}: *(.+?) *$", last, re.M)

    @property
    def adds(self):
        return self.trailers("Adds")

    def text(self):
        body = f"{self.body}\n" if self.body else ""
        return f"From: {self.author}\nSubject: {self.subject}\n\n{body}---\n{self.diff}"

    def sections(self):
        """The diff's parts, one per file: (path, extended header, lines)."""
        parts = re.split(r"^(?=diff --git )", self.diff, flags=re.M)
        for part in parts:
            if not part.startswith("diff --git "):
                if part.strip():
                    raise Failure(f"patches/{self.path}: text before the diff")
                continue
            header, mark, hunks = part.partition("\n@@ ")
            match = re.match(r"diff --git a/(\S+) b/(\S+)$", header.split("\n")[0])
            if not match:
                raise Failure(f"patches/{self.path}: {header.splitlines()[0]}")
            yield match[2], header, (mark + hunks).lstrip("\n").splitlines()

    def changed_lines(self):
        return sum(line[:1] in "+-" and line != ""
                   for _, _, lines in self.sections() for line in lines)


def unusual(header):
    """What a file's diff does other than edit it, or None."""
    match = re.search(r"^(new file|deleted file|rename|copy|similarity|"
                      r"GIT binary|Binary files|old mode)\b", header, re.M)
    return match and {
        "new file": "creates", "deleted file": "deletes", "rename": "renames",
        "similarity": "renames", "copy": "copies", "old mode": "changes the mode of",
    }.get(match[1], "is binary for")


def read_series():
    """Lines of patches/series as (comments before the patch, path) pairs.

    The last pair has the path None and holds what follows the last patch.
    """
    pairs, comments = [], []
    text = SERIES.read_text(encoding="utf-8") if SERIES.exists() else ""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            comments.append(line)
        else:
            pairs.append((comments, line))
            comments = []
    return pairs + [(comments, None)]


def load():
    """The patches in order."""
    patches = []
    for _, path in read_series():
        if path is None:
            continue
        file = PATCHES / path
        if not file.is_file():
            raise Failure(f"patches/{path}: in series, but there is no such file")
        patches.append(Patch.parse(path, file.read_text(encoding="utf-8")))
    return patches


def digest():
    """One value for the whole series as it is on disk."""
    total = hashlib.sha256()
    for _, path in read_series():
        if path:
            file = PATCHES / path
            total.update(path.encode() + b"\0")
            total.update(file.read_bytes() if file.is_file() else b"missing")
    return total.hexdigest()


def series_text(paths):
    """patches/series for these paths, with the comments that it has now.

    Comments before a topic's first patch stay with the topic, others with
    their patch.
    """
    of_topic, of_patch, seen = {}, {}, set()
    end = []
    for comments, path in read_series():
        if path is None:
            end = comments
            continue
        topic = path.rpartition("/")[0]
        (of_patch if topic in seen else of_topic)[
            path if topic in seen else topic] = comments
        seen.add(topic)
    lines, started = [], set()
    for path in paths:
        topic = path.rpartition("/")[0]
        if topic not in started:
            started.add(topic)
            new = ([""] if lines else []) + [f"# {topic}"]
            lines += of_topic.pop(topic, new)
        lines += of_patch.get(path, []) + [path]
    for comments in of_topic.values():
        end = comments + end
    return "\n".join(lines + end).strip("\n") + "\n" if lines + end else ""


def new_files():
    """Paths (as in QEMU) of the files under qemu/."""
    return sorted(str(path.relative_to(NEW_FILES))
                  for path in NEW_FILES.rglob("*")
                  if not path.is_dir() and "__pycache__" not in path.parts)


class Repo:
    """A git repository used as an object store, deaf to the user's settings."""

    def __init__(self, git_dir, work_tree=None):
        self.git_dir = git_dir
        self.work_tree = work_tree

    def environment(self, author=IDENTITY, index=None):
        env = {key: value for key, value in os.environ.items()
               if not key.startswith("GIT_")}
        env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
                   LC_ALL="C.UTF-8", GIT_DIR=str(self.git_dir))
        if self.work_tree:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        for role, who in (("AUTHOR", author), ("COMMITTER", IDENTITY)):
            name, address = name_and_address(who)
            env.update({f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address,
                        f"GIT_{role}_DATE": DATE})
        if index:
            env["GIT_INDEX_FILE"] = str(index)
        return env

    def git(self, *args, data=None, check=True, **environment):
        """Run git; returns its output as text (bytes that are not UTF-8 kept)."""
        try:
            done = subprocess.run(
                ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0",
                 "-c", "core.autocrlf=false", "-c", "core.safecrlf=false",
                 *map(str, args)],
                input=None if data is None else data.encode(errors="surrogateescape"),
                stdin=subprocess.DEVNULL if data is None else None,
                capture_output=True, check=False, cwd=self.work_tree,
                env=self.environment(**environment))
        except FileNotFoundError as error:
            raise Failure("git is not installed (tools/deps installs what "
                          "is needed)") from error
        if done.returncode and check:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Failure(f"git {args[0]}: {said[-1] if said else 'failed'}")
        text = done.stdout.decode(errors="surrogateescape").rstrip("\n")
        return text if check else (done.returncode, text, done.stderr.decode(errors="replace"))

    def commits(self, base, tip="HEAD"):
        return self.git("rev-list", "--reverse", "--first-parent",
                        f"{base}..{tip}").split()

    def diff(self, commit):
        text = self.git("diff-tree", *DIFF_OPTIONS, f"{commit}^", commit)
        text = re.sub(r"^index [0-9a-f.]+( \d+)?\n", "", text, flags=re.M)
        return text + "\n" if text else ""

    def patch(self, commit, path):
        author, _, message = self.git(
            "show", "-s", "--format=%an <%ae>%n%B", commit).partition("\n")
        return Patch(path, author, message, self.diff(commit))


def apply_series(repo, base, patches, with_new_files=False):
    """Commit each patch on top of base, without a work tree; the commit ids.

    Zero fuzz: `git apply` shifts a hunk, but takes no wrong context line.
    """
    index = repo.git_dir / f"series-index.{os.getpid()}.{threading.get_ident()}"
    try:
        repo.git("read-tree", base, index=index)
        commits, parent = [], base
        for patch in patches:
            where = f"patches/{patch.path}"
            if patch.diff.strip():
                status, _, said = repo.git("apply", "--cached", "--whitespace=nowarn",
                                           "-", data=patch.diff, check=False, index=index)
                if status:
                    lines = [line.removeprefix("error: ") for line in said.splitlines()
                             if line.startswith("error: ")] or [said.strip()]
                    raise Failure(f"{where} does not apply: {lines[0]}")
            message = patch.message
            if with_new_files:
                add_new_files(repo, index, patch)
                # The trailer has done its work: the diff shows the rest.
                message = re.sub(r"^Adds: .*\n?", "", message, flags=re.M).strip("\n")
            tree = repo.git("write-tree", index=index)
            parent = repo.git("commit-tree", tree, "-p", parent, "-F", "-",
                              data=message + "\n", author=patch.author)
            commits.append(parent)
        return commits
    finally:
        index.unlink(missing_ok=True)


def add_new_files(repo, index, patch):
    """Put the files that the patch's Adds: trailers name into the index."""
    for path in patch.adds:
        source = NEW_FILES / path
        if not source.is_file():
            raise Failure(f"patches/{patch.path}: Adds: {path}, but there is "
                          f"no qemu/{path}")
        mode = "100755" if os.access(source, os.X_OK) else "100644"
        blob = repo.git("hash-object", "-w", "--no-filters", source)
        repo.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}",
                 index=index)
