# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of the series that are committed, and what has changed since."""
import json
from pathlib import Path

COMMITTED = Path(__file__).resolve().parent / "figures.json"
NAMES = ("calls", "entries", "reads", "instructions per descriptor")
START = " start, "      # in the name of a row that has these instead:
OF_START = ("calls by address", "calls by file", "KiB mapped")
SLACK = 0.02            # of instructions; two runs of one QEMU differ by less than half of it


def of(rows):
    """{a row's name: its counts}; those of time depend on the machine and are left out."""
    return {"{model} {workload}, {devices} × {pasids}, burst {burst}".format(**row): [
        row["ioctls"], row["entries"], row["guest_reads"],
        row["instructions"] and round(row["instructions"] / row["descriptors"])] for row in rows}


def of_starts(subject):
    """The same of what a subject has built at start."""
    return {f"{subject.model.name}{START}{devices} × 1, {memory}": [
        found.by_address, found.by_file, found.mapped >> 10]
            for (devices, memory), found in subject.starts.items()}


def text(found):
    """One row to a line, so that a diff shows which have changed."""
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(counts)}"
             for name, counts in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def differ(name, before, now):
    if name == NAMES[-1] and before and now:
        return abs(now - before) > SLACK * before
    return before != now


def changes(before, now):
    """A line for each row that costs something else than before, or is new or gone."""
    lines = []
    for row in [*before, *(row for row in now if row not in before)]:
        if row in before and row in now:
            parts = [f"{old} -> {new} {name}" for name, old, new
                     in zip(OF_START if START in row else NAMES, before[row], now[row]) if differ(name, old, new)]
        else:
            parts = ["not measured now" if row in before else "no figures yet"]
        lines += [f"  {row}: {', '.join(parts)}"] if parts else []
    return lines


def against_committed(now):
    before = json.loads(COMMITTED.read_text(encoding="utf-8"))
    return "\n".join([f"Change against bench/{COMMITTED.name}",
                      *(changes(before, now) or ["  none"])])
