# SPDX-License-Identifier: GPL-2.0-or-later
"""libFuzzer targets: one corpus directory each, replayed and searched further."""

import os
import re
import subprocess
from collections import namedtuple

from common import Failure, ROOT

CORPUS = ROOT / "fuzz/corpus"
LIBRARY = "tests/qtest/fakehost/libfakehost.so"

# One input that takes this long (seconds) hangs; one that needs more memory (MiB) floods
LIMITS = ["-timeout=25", "-rss_limit_mb=2048", "-max_len=512", "-len_control=0"]

# Which program each target is in
TARGETS = {"vtd-accel": "qemu-fuzz-x86_64", "smmuv3-accel": "qemu-fuzz-aarch64"}

Run = namedtuple("Run", "status executed coverage log")


def built():
    """What ninja has to build."""
    return [*TARGETS.values(), LIBRARY]


def inputs(target):
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


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
    """Inputs executed, and edges covered, by libFuzzer's own account."""
    executed = re.search(r"^stat::number_of_executed_units: (\d+)$", text, re.M)
    covered = re.findall(r"\bcov: (\d+)", text)
    return int(executed[1]) if executed else 0, int(covered[-1]) if covered else 0


def replay(directory, target, log):
    """Every input of the corpus, once, looking for leaks as well."""
    return fuzz(directory, target, ["-runs=0", CORPUS / target], log, 500, leaks=True)


def search(directory, target, seconds, found, log):
    """New inputs for that many seconds; those worth keeping go to found."""
    found.mkdir(parents=True, exist_ok=True)
    return fuzz(directory, target, [f"-max_total_time={seconds}", found, CORPUS / target],
                log, seconds + 300)


def merge(directory, target, found, log):
    """Add what covers more to the corpus."""
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    return fuzz(directory, target, ["-merge=1", CORPUS / target, found], log, 900)
