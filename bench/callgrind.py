# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions and guest reads of one stretch of work, exactly.

Callgrind counts only inside the functions that do a vIOMMU's work, the one that
handles writes to its registers first of all, so that the qtest protocol is not
in the figures.  A QMP command that does nothing else ends a stretch: callgrind
writes what it has when the handler of that command is entered, and starts again
from zero.
"""
import glob
import re
import shutil
import subprocess
from collections import Counter

MARK, MARK_COMMAND = "qmp_query_version", "query-version"
LIBRARY = "libfakehost.so"

# Reads of guest memory pass through one of the first three, which one is called
# depends on what the compiler has inlined: chosen by a doorbell of which the
# number of reads is known.  The others are further ways.
READ_FUNCTIONS = ("address_space_read_full", "flatview_read", "flatview_read_continue")
OTHER_READS = re.compile(r"address_space_(map|ld\w+|read_cached_slow)$|"
                         r"\w+_accel_read_in_place$")


# Where a write to the registers of any device passes through.  A binary that is stripped
# has its name all the same if it can load modules, but not those of static functions.
OUTSIDE = ("memory_region_dispatch_write",)


def options(out, work):
    """Callgrind's.  work: functions inside which is counted; none may call another."""
    return [f"--callgrind-out-file={out}",
            *[f"--toggle-collect={function}" for function in work],
            f"--dump-before={MARK}", "--read-inline-info=no"]


def wrapper(out, work):
    """The command line in front of QEMU's, or none without valgrind."""
    program = shutil.which("valgrind")
    return [program, "--tool=callgrind", *options(out, work)] if program else []


def work_of(binary, work):
    """Those functions if the binary names them, else where to look from outside."""
    done = subprocess.run(["nm", "--defined-only", binary], capture_output=True, text=True,
                          check=False)
    names = {line.split()[-1] for line in done.stdout.splitlines() if line}
    return work if work[0] in names else OUTSIDE


class Unreadable(Exception):
    """This is not what callgrind writes, or not all of it."""


class Profile:
    """What one of callgrind's files says."""

    def __init__(self, lines):
        self.total = 0              # instructions, the library's included
        self.library = 0            # of those: inside the library
        self.calls = Counter()      # of each function
        self.names = {}
        self.parse(lines)

    @property
    def instructions(self):
        return self.total - self.library

    def reads(self, function):
        """Reads of guest memory, if this is the function that does them."""
        return sum(count for name, count in self.calls.items()
                   if name == function or OTHER_READS.match(name))

    def read_function(self, known, earlier):
        """The function that was called so often, or None.

        All may have gone other ways: then it is the one that an earlier profile calls most.
        """
        found = [name for name in READ_FUNCTIONS if self.reads(name) == known]
        return max(found, key=lambda name: earlier.calls[name], default=None)

    def name(self, kind, text):
        """Names are compressed: "(7) name" at first, then "(7)"."""
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not match:
            return text
        key = (kind, match[1])
        if match[2] is not None:
            self.names[key] = match[2]
        return self.names[key]

    def parse(self, lines):
        objects = {"ob": "", "cob": ""}
        called, count, inclusive, stated = "", 0, False, None
        for line in lines:
            line = line.rstrip("\n")
            key, sign, text = line.partition("=")
            if sign and key == "ob":
                objects["ob"] = self.name("ob", text)
            elif sign and key == "cob":
                objects["cob"] = self.name("ob", text)
            elif sign and key == "fn":
                self.name("fn", text)
            elif sign and key == "cfn":
                # 'N marks a level of recursion
                called = re.sub(r"'\d+$", "", self.name("fn", text))
            elif sign and key == "calls":
                count, inclusive = int(text.split()[0]), True
            elif line.startswith("totals: "):
                stated = int(line.split()[1])
            elif line[:1] in tuple("0123456789+-*"):
                cost = int(line.split()[1])
                if inclusive:
                    self.calls[called] += count
                    callee = objects["cob"] or objects["ob"]
                    if LIBRARY in callee and LIBRARY not in objects["ob"]:
                        self.library += cost
                    inclusive, objects["cob"] = False, ""
                else:
                    self.total += cost
        if stated != self.total:
            raise Unreadable(f"callgrind states {stated} instructions, "
                             f"its lines sum up to {self.total}")


def newest(out):
    """The file of the stretch that ended last, or None."""
    found = glob.glob(glob.escape(out) + ".*")
    numbers = [int(name.rpartition(".")[2]) for name in found
               if name.rpartition(".")[2].isdigit()]
    return f"{out}.{max(numbers)}" if numbers else None


def load(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return Profile(file)
