# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's I/O costs, from the counts of one run of the testbed per set-up.

Nothing here runs anything: set-ups and programs as data, and counts made into rows.
"""
from collections import namedtuple

# name; mode of the guest's kernel; architecture; properties of the vIOMMU (None: those of
# the testbed); the guest's command line
Setup = namedtuple("Setup", "name mode arch iommu cmdline")

SHADOWED = "x-flts=off,caching-mode=on,aw-bits=39"
SETUPS = (
    Setup("no vIOMMU", "", "x86_64", "", ""),
    Setup("nested", "strict", "x86_64", None, "iommu.strict=1"),
    Setup("nested", "lazy", "x86_64", None, "iommu.strict=0"),
    Setup("shadowed", "strict", "x86_64", SHADOWED, "iommu.strict=1"),
    Setup("shadowed", "lazy", "x86_64", SHADOWED, "iommu.strict=0"),
    Setup("copied", "strict", "x86_64", None, "iommu.strict=1 intel_iommu=sm_off"),
    Setup("no vIOMMU", "", "arm64", "", ""),
    Setup("nested", "strict", "arm64", None, "iommu.strict=1"),
    Setup("nested", "lazy", "arm64", None, "iommu.strict=0"),
    Setup("own queues", "strict", "arm64", "accel=on,cmdqv=on", "iommu.strict=1"),
)

READS = 1000
# Rounds of map and unmap: what is left if the few are taken off is divided.  More of them
# leave less of what differs between two starts of the program, but shadows take long.
FEW, MANY, MANY_NESTED = 4, 36, 260
READING = ["read", "random:250", "sync:warm", f"random:{READS}", "sync:single",
           f"random:{READS}:8", "sync:eight", "sync:nothing"]
MAPPING = [f"vfio:{FEW}", "sync:few", "vfio:{many}", "sync:many",
           f"vfio:{FEW}:small", "sync:few_small", f"vfio:{MANY}:small", "sync:many_small"]


def many(setup):
    return MANY_NESTED if setup.name == "nested" else MANY


# Work: (where it begins and ends, what is taken off of it, (set-up) -> by what to divide)
WORK = {
    "1,000 reads, one at a time": (("warm", "single"), ("eight", "nothing"), lambda _: 1),
    "1,000 reads, 8 at a time": (("single", "eight"), ("eight", "nothing"), lambda _: 1),
    "map and unmap 2 MiB, a large page": (("few", "many"), ("nothing", "few"),
                                          lambda setup: many(setup) - FEW),
    "map and unmap 2 MiB, small pages": (("few_small", "many_small"), ("many", "few_small"),
                                         lambda _: MANY - FEW),
}
# The page of the vIOMMU's registers in the guest, where L1's kernel tells of accesses to it
REGISTERS = {"x86_64": ("page-fed90",), "arm64": None}
KEYS = {
    "registers": "accesses to the vIOMMU's registers",
    "kvm_run": "exits to QEMU",
    "vm_entries": "exits to the host",
    "iommufd_calls": "iommufd calls",
    "nested_invalidate": "of them invalidations",
    "entries": "entries in these",
    "ioas_map": "maps", "ioas_unmap": "unmaps", "ioas_copy": "copies",
    "qut_syscalls": "system calls of QEMU",
    "qut_insns": "instructions of QEMU",
    "l1_kernel": "of the host's kernel",
    "l2_insns": "of the guest",
}


def program(setup):
    """L2's program: only a guest with an IOMMU can give a device to a program, and only
    on x86, where its interrupts may be remapped."""
    mapping = [word.format(many=many(setup)) for word in MAPPING]
    return READING + (mapping if setup.arch == "x86_64" and setup.iommu != "" else [])


def scenario(setup):
    """Keys of the testbed's scenario."""
    return {
        "description": "What I/O costs, %s %s" % (setup.name, setup.mode),
        "arch": setup.arch, "devices": ["nvme"] + ["edu"] * (setup.arch == "x86_64"),
        "checks": ["l2_finished", "l2_hash", "no_faults", "qut_exit"],
        # By device tree Linux takes an SMMU with CMDQV for one that has an erratum
        "l0": {"cmdqv": True, "uefi": True} if setup.name == "own queues" else {},
        "qut": {"iommu": setup.iommu}, "l1": {"measure": True},
        "l2": {"cmdline": setup.cmdline, "program": program(setup)},
    }


def label(setup):
    return "%s-bench-%s" % ("x86" if setup.arch == "x86_64" else "arm",
                            "-".join(" ".join([setup.name, setup.mode]).split()))


def joined(order, counts, marks):
    """Counts of L1's kernel by label, and beside them those of the plugin before and after
    L1 counted, which come in the same order."""
    if len(marks) != 2 * len(order):
        raise ValueError("L1 counted %d times, and the plugin of L0 has %d marks" % (
            len(order), len(marks)))
    return {name: ({**counts[name], **before}, {**counts[name], **after})
            for name, before, after in zip(order, marks[::2], marks[1::2])}


def parse_marks(text):
    return [{key: int(value) for key, _, value in (word.partition("=") for word in line.split())}
            for line in text.splitlines()]


def difference(counts, interval, key):
    """From after the one label was counted to before the other was."""
    begin, end = counts[interval[0]][1], counts[interval[1]][0]
    return end.get(key, 0) - begin.get(key, 0)


def rows(setup, counts):
    """A row for each work of the run; {} without its labels."""
    registers = REGISTERS[setup.arch]
    found = []
    for name, (interval, idle, units) in WORK.items():
        if interval[1] not in counts:
            continue
        row = {"arch": setup.arch, "setup": setup.name, "mode": setup.mode, "work": name}
        for key in KEYS:
            keys = registers if key == "registers" else (key,)
            row[key] = None if keys is None else round(sum(difference(counts, interval, k) - difference(counts, idle, k)
                                 for k in keys) / units(setup))
        found.append(row)
    return found


def replaced(before, new):
    """Rows of all set-ups, in their order, with the new ones instead of what they had."""
    def place(row):
        return next(number for number, setup in enumerate(SETUPS)
                    if (setup.arch, setup.name, setup.mode) == whose(row))

    def whose(row):
        return row["arch"], row["setup"], row["mode"]
    measured = {whose(row) for row in new}
    return sorted([row for row in before if whose(row) not in measured] + new, key=place)


def shown(value):
    return "-" if value is None else f"{value:,}"


def table(all_rows):
    """One table for each architecture and work, set-ups in columns."""
    out = []
    for arch, work in dict.fromkeys((row["arch"], row["work"]) for row in all_rows):
        mine = [row for row in all_rows if (row["arch"], row["work"]) == (arch, work)]
        heads = [" ".join([row["setup"], row["mode"]]).strip() for row in mine]
        out.append(f"\n{work} ({arch})")
        lines = [["", *heads]] + [[words, *[shown(row[key]) for row in mine]]
                                  for key, words in KEYS.items()
                                  if any(row[key] for row in mine)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        out += ["  ".join([line[0].ljust(widths[0])] +
                          [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
                for line in lines]
    return "\n".join(out)
