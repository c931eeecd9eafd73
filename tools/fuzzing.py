# SPDX-License-Identifier: GPL-2.0-or-later
"""libFuzzer targets: one corpus each, a tar file, replayed and searched further."""

import contextlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections import namedtuple
from pathlib import Path

from common import Failure, ROOT, remove

CORPUS = ROOT / "fuzz/corpus"
LIBRARY = "tests/qtest/fakehost/libfakehost.so"

# One input that takes this long (seconds) hangs; one that needs more memory (MiB) floods
LIMITS = ["-timeout=120", "-rss_limit_mb=2048", "-max_len=512", "-len_control=0"]

# Which program each target is in
TARGETS = {"vtd-accel": "qemu-fuzz-x86_64", "smmuv3-accel": "qemu-fuzz-aarch64",
           "smmuv3-cmdqv": "qemu-fuzz-aarch64"}

# Where a log begins to say what broke, and how many lines say it
BROKEN = re.compile(r"^fuzz: |\bERROR: |\bruntime error: |\b[Aa]ssertion ")
CAUSE_LINES = 30

Run = namedtuple("Run", "status executed coverage taken log")


def built():
    """What ninja has to build."""
    return [*dict.fromkeys(TARGETS.values()), LIBRARY]


def archive(target):
    return CORPUS / f"{target}.tar"


def inputs(target):
    """The inputs of the corpus: {name: bytes}."""
    if not archive(target).exists():
        return {}
    found = {}
    try:
        with tarfile.open(archive(target), "r:") as tar:
            for member in tar:
                if not member.isfile() or Path(member.name).name != member.name:
                    raise Failure(f"{archive(target)}: {member.name} is no input")
                found[member.name] = tar.extractfile(member).read()
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"{archive(target)}: {error}") from error
    return found


def keep(target, found):
    """Make these inputs the corpus: the same ones give the same file."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    partial = archive(target).with_suffix(".tmp")
    with tarfile.open(partial, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(found.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    partial.rename(archive(target))


@contextlib.contextmanager
def unpacked(target):
    """The corpus as libFuzzer wants it, a directory, as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="viommu-corpus-") as name:
        for file, data in inputs(target).items():
            (Path(name) / file).write_bytes(data)
        yield Path(name)


def fuzz(directory, target, args, log, deadline, leaks=False):
    """Run a target of the build in directory with libFuzzer's args."""
    program = directory / TARGETS[target]
    if not program.exists():
        raise Failure(f"there is no {program}: tools/fuzz builds it")
    env = dict(os.environ, ASAN_OPTIONS=f"detect_leaks={leaks:d}:quarantine_size_mb=16",
               UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        try:
            status = subprocess.run(
                [str(arg) for arg in (program, f"--fuzz-target={target}", *LIMITS,
                                      "-print_final_stats=1",
                                      f"-artifact_prefix={log.with_suffix('')}-", *args)],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                cwd=directory, env=env, check=False, timeout=deadline).returncode
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{target}: not done after {deadline} s, see {log}") from error
    text = log.read_text(encoding="utf-8", errors="replace")
    return Run(status, *figures(text), log)


def figures(text):
    """Inputs executed, edges covered, and descriptors taken by the vIOMMU."""
    executed = re.search(r"^stat::number_of_executed_units: (\d+)$", text, re.M)
    covered = re.findall(r"\bcov: (\d+)", text)
    taken = re.search(r"^stat::descriptors_taken: (\d+)$", text, re.M)
    return (int(executed[1]) if executed else 0, int(covered[-1]) if covered else 0,
            int(taken[1]) if taken else 0)


def cause(log):
    """The lines of a log that say what broke, and the input, however much is around them."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [i for i, line in enumerate(lines) if BROKEN.search(line)]
    first = found[0] if found else max(0, len(lines) - CAUSE_LINES)
    end = first + CAUSE_LINES
    return lines[first:end] + [line for line in lines[end:] if line.startswith("Base64: ")]


def replay(directory, target, log):
    """Every input of the corpus, once, looking for leaks as well."""
    with unpacked(target) as corpus:
        return fuzz(directory, target, ["-runs=0", corpus], log, 3600, leaks=True)


def search(directory, target, seconds, found, log, seed=0):
    """New inputs for that many seconds; those worth keeping go to found, which is emptied.

    With the same seed they are the same again, as many as there is time for; 0: others
    each time.
    """
    remove(found)
    found.mkdir(parents=True)
    with unpacked(target) as corpus:
        return fuzz(directory, target, [f"-max_total_time={seconds}", f"-seed={seed}",
                                        found, corpus], log, seconds + 3600)


def merge(directory, target, found, log):
    """Add what covers more to the corpus."""
    with unpacked(target) as corpus:
        run = fuzz(directory, target, ["-merge=1", corpus, found], log, 900)
        if not run.status:
            keep(target, {path.name: path.read_bytes() for path in corpus.iterdir()})
    return run
