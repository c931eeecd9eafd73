# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages of Debian suites that the machine itself need not be on."""

import os
import re
import shutil
import subprocess

from common import Failure, TOOLS, cache_dir, need_space, note, remove


def apt(suite, *args, cwd=None, arch=None, show=False):
    """Run apt on the private state of a suite; returns its output."""
    arch = arch or "amd64"
    done = subprocess.run(
        [TOOLS / "apt-private", suite, arch, *args], cwd=cwd, check=False,
        text=True, stdin=subprocess.DEVNULL,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.PIPE)
    if done.returncode:
        raise Failure(reason(done.stderr or ""))
    return done.stdout


def reason(said):
    """The one line of apt's errors that says most."""
    lines = [re.sub(r"^(E:|apt-private:) *", "", line)
             for line in said.splitlines()
             if line.startswith(("E:", "apt-private:"))]
    return lines[0] if lines else "apt failed"
