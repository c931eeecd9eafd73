# SPDX-License-Identifier: GPL-2.0-or-later
"""What every tool needs: one-line errors, the cache, free space, commands."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"


class Failure(Exception):
    """Something the user can act on; printed as one line, exit status 1."""


def main(function):
    """Run a tool's main function; every failure becomes one clear line."""
    name = Path(sys.argv[0]).name
    os.umask(0o022)
    try:
        sys.exit(function(sys.argv[1:]) or 0)
    except Failure as failure:
        message = str(failure)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        message = str(error)
        if error.errno == errno.ENOSPC:
            message = f"the disk is full: {error.filename or 'no file name'}"
    print(f"{name}: {message}", file=sys.stderr)
    sys.exit(1)


def note(message):
    print(message, file=sys.stderr, flush=True)


def cache_dir():
    """The cache of this project; VIOMMU_CACHE names another one."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(os.environ.get("VIOMMU_CACHE") or f"{base}/viommu-nesting")
    path.mkdir(parents=True, exist_ok=True)
    return path


def python_modules():
    """Where tools/deps puts Python modules that the machine may not have."""
    return cache_dir() / "python/usr/lib/python3/dist-packages"


def run(args, check=True, **kwargs):
    """subprocess.run that turns a failed command into a Failure."""
    args = [str(arg) for arg in args]
    try:
        done = subprocess.run(args, check=False, **kwargs)
    except FileNotFoundError as error:
        raise Failure(f"{error.filename} is not installed "
                      "(tools/deps installs what is needed)") from error
    if check and done.returncode:
        said = done.stderr or b""
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        last = said.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Failure(f"{' '.join(args[:4])}: {last[0]}")
    return done


def commits():
    """How many commits the project has, by which the versions of packages grow."""
    def said(*args):
        return run(["git", "-C", ROOT, *args], check=False, stdout=subprocess.PIPE,
                   stderr=subprocess.DEVNULL, text=True).stdout.strip()
    if said("rev-parse", "--is-shallow-repository") == "true":
        raise Failure("this clone is shallow, and the packages' version grows with the number of "
                      "commits: git fetch --unshallow")
    return said("rev-list", "--count", "HEAD") or "0"


def output(args, **kwargs):
    """The standard output of a command, as text without the last newline."""
    done = run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
               text=True, **kwargs)
    return done.stdout.rstrip("\n")


def need_space(path, megabytes, what):
    """Refuse to start what would fill the disk."""
    free = shutil.disk_usage(path).free >> 20
    if free < megabytes:
        raise Failure(f"{what} needs {megabytes} MiB in {path}, "
                      f"only {free} MiB are free")


@contextlib.contextmanager
def locked(path):
    """One process at a time: others wait, and the lock dies with its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(path):
    """Remove a file or a tree that may not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Progress:
    """One line that is rewritten; without a terminal a line every 20 s."""

    def __init__(self, what):
        self.what, self.start, self.shown = what, time.monotonic(), 0.0
        self.terminal = sys.stderr.isatty()

    def show(self, text):
        now = time.monotonic()
        if now - self.shown < (0.2 if self.terminal else 20):
            return
        self.shown = now
        line = f"{self.what}: {now - self.start:.0f} s, {text}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)
        else:
            note(line)

    def done(self, outcome="done"):
        seconds = time.monotonic() - self.start
        note(f"{chr(13) + chr(27) + '[K' if self.terminal else ''}"
             f"{self.what}: {outcome} ({seconds:.0f} s)")


def run_long(what, args, log, **kwargs):
    """Run a long command: its output goes to log, its last line is shown.

    What fails shows the end of its output.
    """
    progress = Progress(what)
    progress.show("started")
    log.parent.mkdir(parents=True, exist_ok=True)
    tail = []
    with open(log, "wb") as file, subprocess.Popen(
            [str(arg) for arg in args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs) as process:
        for line in process.stdout:
            file.write(line)
            text = line.decode(errors="replace").strip()
            if text:
                tail = tail[-30:] + [text]
                progress.show(text)
    if process.returncode:
        progress.done("failed")
        for line in tail:
            note(f"  {line}")
        raise Failure(f"{what} failed; all output is in {log}")
    progress.done()
