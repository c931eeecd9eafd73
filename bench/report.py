# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables that are printed."""

COLUMNS = ("ioctls", "entries", "reads", "insns/desc", "time")
ABSENT = "-"
FURTHER = (32, 256)     # bursts


def per_descriptor(row, key):
    """None where it was not measured."""
    return None if row[key] is None else row[key] / row["descriptors"]


def shown(value, form="{}"):
    return ABSENT if value is None else form.format(value)


def by_work(rows):
    """{(workload, devices, pasids, burst): {qemu: row}}, in the order of the rows."""
    found = {}
    for row in rows:
        key = tuple(row[name] for name in ("workload", "devices", "pasids", "burst"))
        found.setdefault(key, {})[row["qemu"]] = row
    return dict(sorted(found.items(), key=lambda item: (
        [row["workload"] for row in rows].index(item[0][0]), item[0][1:])))


def cells(row, base_seconds):
    if not row:
        return [ABSENT] * len(COLUMNS)
    seconds = per_descriptor(row, "seconds")
    ratio = None if seconds is None or not base_seconds else seconds / base_seconds
    return [shown(row["ioctls"]), shown(row["entries"]), shown(row["guest_reads"]),
            shown(per_descriptor(row, "instructions"), "{:.0f}"), shown(ratio, "{:.2f} ×")]


def table(rows, qemus):
    """One line per unit of work, one group of columns per QEMU.

    Time is per descriptor, as a ratio to the first line of the same workload.
    """
    head = ["devices", "pasids", "burst", "descr"] + list(COLUMNS) * len(qemus)
    groups, name, base = [], None, None
    for key, found in by_work(rows).items():
        if key[0] != name:
            name = key[0]
            first = found.get(qemus[0])
            base = per_descriptor(first, "seconds") if first else None
            groups.append((name, []))
        some = next(iter(found.values()))
        groups[-1][1].append([*map(str, key[1:]), str(some["descriptors"]),
                              *sum((cells(found.get(qemu), base) for qemu in qemus), [])])
    return layout(head, groups, qemus)


def further(rows, qemus):
    """What one more descriptor of a burst costs, in instructions: in the difference of a
    long and a short burst nothing is left of what a doorbell costs by itself."""
    lines = []
    for (workload, devices, pasids, burst), long in by_work(rows).items():
        short = by_work(rows).get((workload, devices, pasids, FURTHER[0]), {})
        if burst != FURTHER[1] or not short:
            continue
        costs = [shown(difference(short.get(qemu), long.get(qemu)), "{:.0f}") for qemu in qemus]
        lines.append(f"{workload}, {devices} × {pasids}: {', '.join(costs)}")
    return "\n".join([f"\nInstructions of one more descriptor, (I({FURTHER[1]}) - "
                      f"I({FURTHER[0]})) / {FURTHER[1] - FURTHER[0]}: {', '.join(qemus)}",
                      *lines])


def difference(short, long):
    """None if one of the two was not measured."""
    if not short or not long or None in (short["instructions"], long["instructions"]):
        return None
    return (long["instructions"] - short["instructions"]) / (
        long["descriptors"] - short["descriptors"])


def starts(subject):
    """Lines that say what a start maps, and how."""
    lines = [f"{devices} device{'s'[:devices > 1]}, {memory}: {found.by_address} by address, "
             f"{found.by_file} by file, {found.mapped >> 10} KiB"
             for (devices, memory), found in subject.starts.items()]
    return [f"\nCalls that map memory at start, {subject.name}", *lines] if lines else []


def layout(head, groups, qemus):
    widths = [max(len(line[column]) for line in [head, *sum((lines for _, lines in groups), [])])
              for column in range(len(head))]
    fixed, wide = 4, len(COLUMNS)

    def join(parts):
        texts = [part.rjust(width) for part, width in zip(parts, widths)]
        split = [texts[:fixed]] + [texts[at:at + wide]
                                   for at in range(fixed, len(texts), wide)]
        return " | ".join("  ".join(part) for part in split)

    spans = [sum(widths[at:at + wide]) + 2 * (wide - 1)
             for at in range(fixed, len(widths), wide)]
    over = " " * (sum(widths[:fixed]) + 2 * (fixed - 1))
    out = [" | ".join([over, *[name.center(span)[:max(span, len(name))]
                               for name, span in zip(qemus, spans)]]).rstrip()]
    for name, lines in groups:
        out += ["", name, join(head), *map(join, lines)]
    return "\n".join(out)


def limits(found):
    """Lines that say which limits hold."""
    words = {True: "holds", False: "does not hold", None: "not measured"}
    width = max(len(limit.text) for limit in found)
    return "\n".join(f"{words[limit.holds]:>13}  {limit.text:<{width}}  {limit.measured}"
                     for limit in found)
