# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cost is to be, computed from rows and from what was built."""
from collections import namedtuple

Limit = namedtuple("Limit", "text measured holds")     # holds: None if not measured

JOINED_PAGES = (*range(1, 33), 40)      # a burst that fills blocks, off alignment, and a hole
HEAP_BYTES = 256                        # for a bound (device, PASID)
GROWTH = 1.3


def find(rows, workload, devices, burst, pasids=1):
    wanted = {"workload": workload, "devices": devices, "burst": burst, "pasids": pasids}
    found = [row for row in rows if wanted.items() <= row.items()]
    return found[0] if found else None


def blocks(pages):
    """The fewest naturally aligned power-of-two blocks that are just these pages."""
    left, found = set(pages), []
    while left:
        start, size = min(left), 1
        while start % (size * 2) == 0 and left >= set(range(start, start + size * 2)):
            size *= 2
        left -= set(range(start, start + size))
        found.append((start, size))
    return found


def all_in_one(text, row, entries):
    if not row:
        return Limit(text, "no row", None)
    return Limit(text, f"calls: {row['ioctls']}, entries: {row['entries']}",
                 (row["ioctls"], row["entries"]) == (1, entries))


def invalidation_only(text, row):
    """No call, or one that has entries: no allocation and no attachment."""
    if not row:
        return Limit(text, "no row", None)
    return Limit(text, f"calls: {row['ioctls']}, entries: {row['entries']}",
                 row["ioctls"] == 0 or row["ioctls"] == 1 and row["entries"] > 0)


def one_call(rows, devices):
    row = find(rows, "piotlb-burst", devices, 32)
    text = f"32 page-selective PIOTLB + wait, {devices} device{'s'[:devices > 1]}: 1 call"
    if not row:
        return Limit(text, "no row", None)
    return Limit(text, f"calls: {row['ioctls']}, entries: {row['entries']}", row["ioctls"] == 1)


def nothing_changed(rows, workload, text, reads_per_device, pasids):
    row = find(rows, workload, 8, 1, pasids)
    whom = "8 devices" if pasids == 1 else f"8 devices × {pasids} PASIDs"
    text = f"{text}, unchanged, {whom}: no call, at most {reads_per_device} reads for each"
    if not row:
        return Limit(text, "no row", None)
    reads = row["guest_reads"]
    if row["ioctls"]:
        return Limit(text, f"calls: {row['ioctls']}", False)
    if reads is None:
        return Limit(text, "no call; reads not counted", None)
    return Limit(text, f"no call, {reads} reads for 8", reads <= 8 * reads_per_device)


def at_most(text, row, instructions, reads=None):
    """Instructions per descriptor, and reads in all."""
    text += f": at most {instructions} instructions"
    text += f", {reads} reads in all" if reads else ""
    if not row or not row["instructions"]:
        return Limit(text, "not counted" if row else "no row", None)
    found = row["instructions"] / row["descriptors"]
    measured = f"{found:.0f}" + (f", {row['guest_reads']} reads" if reads else "")
    if reads and row["guest_reads"] is None:
        return Limit(text, measured, None)
    return Limit(text, measured,
                 found <= instructions and (not reads or row["guest_reads"] <= reads))


def built_once(one, eight):
    text = "8 devices: 1 IOAS, 1 stage-2 HWPT, guest memory mapped once"
    if not one or not eight:
        return Limit(text, "not measured", None)
    measured = (f"{eight.ioas} IOAS, {eight.paging} HWPT, {eight.mapped >> 10} KiB mapped "
                f"({one.mapped >> 10} KiB with 1 device)")
    return Limit(text, measured,
                 (eight.ioas, eight.paging, eight.mapped) == (1, 1, one.mapped))


def started(one, eight, memfd):
    """The machine's reset takes memory that was mapped as a whole apart: one call more."""
    text = "start with 8 devices: the calls of 1, one for each piece of memory and one more"
    if None in (one, eight, memfd):
        return Limit(text, "not measured", None)
    calls = [found.by_address + found.by_file for found in (one, eight, memfd)]
    measured = (f"calls: {calls[1]}, with 1 device {calls[0]}, for {one.areas} pieces; of a "
                f"memfd {memfd.by_address}, by its file {memfd.by_file}")
    return Limit(text, measured, calls == [calls[0]] * 3 and calls[0] <= one.areas + 1
                 and memfd.by_address == 0 and memfd.mapped == one.mapped)


def joined(asked, sent):
    text = "4 KiB pages that fill aligned power-of-two blocks: joined, nothing wider"
    if sent is None:
        return Limit(text, "not measured", None)
    return Limit(text, f"{len(asked)} pages in {len(sent)} entries, fewest are "
                 f"{len(blocks(asked))}", sorted(sent) == blocks(asked))


def growth(text, few, many):
    """Instructions per descriptor of two rows."""
    if not few or not many or not few["instructions"] or not many["instructions"]:
        return Limit(text, "not counted" if few and many else "no row", None)
    ratio = (many["instructions"] / many["descriptors"]) / (
        few["instructions"] / few["descriptors"])
    return Limit(text, f"{ratio:.2f} ×", ratio <= GROWTH)


def little_heap(found):
    text = f"heap of a bound (device, PASID) besides the S1 object: at most {HEAP_BYTES} bytes"
    if found is None:
        return Limit(text, "not measured", None)
    return Limit(text, f"{found:.0f} bytes", found <= HEAP_BYTES)


def vtd(rows, one, eight, memfd, sent, heap):
    """All limits of VT-d for one QEMU: of its rows, and of what they do not show."""
    selective = ("pasid-cache-selective-unchanged",
                 "PASID-selective PASID-cache invalidation", 1)
    everything = ("pasid-cache-global-unchanged", "global PASID-cache invalidation", 3)
    return [
        one_call(rows, 1),
        one_call(rows, 8),
        nothing_changed(rows, *selective, 1),
        nothing_changed(rows, *selective, 64),
        nothing_changed(rows, *everything, 64),
        built_once(one, eight),
        started(one, eight, memfd),
        growth("instructions per PIOTLB descriptor, 64 devices × 64 PASIDs: within "
               f"{GROWTH} × of 1 × 1", find(rows, "piotlb-burst", 1, 32),
               find(rows, "piotlb-burst", 64, 32, 64)),
        joined(JOINED_PAGES, sent),
        little_heap(heap),
        at_most("page-selective PIOTLB + wait, 1 device",
                find(rows, "piotlb-burst", 1, 1), 1100),
        at_most("32 page-selective PIOTLB + wait, 1 device, per descriptor",
                find(rows, "piotlb-burst", 1, 32), 250),
        at_most(f"{selective[1]}, unchanged, 64 devices", find(rows, selective[0], 64, 1), 3000, 1),
        at_most(f"{everything[1]}, unchanged, 1 device × 64 PASIDs",
                find(rows, everything[0], 1, 1, 64), 40000),
        at_most("unbind and bind 64 devices, per descriptor",
                find(rows, "bind-unbind", 64, 2), 3000, 400),
    ]


def cheap(text, row, instructions, reads):
    text = f"{text}: at most {instructions} instructions and {reads} guest reads"
    if not row or not row["instructions"] or row["guest_reads"] is None:
        return Limit(text, "not counted" if row else "no row", None)
    each = row["instructions"] / row["descriptors"]
    return Limit(text, f"{each:.0f} instructions, {row['guest_reads']} reads",
                 each <= instructions and row["guest_reads"] <= reads)


def few_wakeups(found):
    text = "100 host events that wait: at most 2 reads and one wake-up"
    if found is None:
        return Limit(text, "not measured", None)
    return Limit(text, f"reads: {found.reads}, interrupts: {found.interrupts}",
                 1 <= found.reads <= 2 and found.interrupts == 1)


def smmuv3(rows, drained):
    """All limits of SMMUv3 for one QEMU: of its rows, and of what they do not show."""
    return [
        all_in_one("64 TLBI commands + CMD_SYNC: 1 call, 64 entries",
                   find(rows, "tlbi-burst", 1, 64), 64),
        invalidation_only("CFGI_STE, unchanged: at most 1 call, an invalidation",
                          find(rows, "cfgi-ste-unchanged", 1, 1)),
        invalidation_only("CFGI_ALL, unchanged, 32 devices: at most 1 call, an invalidation",
                          find(rows, "cfgi-all-unchanged", 32, 1)),
        few_wakeups(drained),
        growth(f"instructions per TLBI command, 32 devices: within {GROWTH} × of 1",
               find(rows, "tlbi-burst", 1, 32), find(rows, "tlbi-burst", 32, 32)),
        growth(f"instructions per CFGI_STE, unchanged, 32 devices: within {GROWTH} × of 1",
               find(rows, "cfgi-ste-unchanged", 1, 1), find(rows, "cfgi-ste-unchanged", 32, 1)),
        all_in_one("64 TLBI commands of neighbours that name their granule: 1 call, 1 entry",
                   find(rows, "tlbi-neighbours", 1, 64), 1),
        cheap("CFGI_ALL, unchanged, 32 devices", find(rows, "cfgi-all-unchanged", 32, 1),
              6000, 4),
    ]


def few_calls(found):
    text = "100 page requests that wait: at most 2 reads, their responses in one write"
    if found is None:
        return Limit(text, "not measured", None)
    return Limit(text, f"reads: {found.reads}, writes: {found.writes}",
                 1 <= found.reads <= 2 and found.writes == 1)


def requests(rows, drained):
    """All limits of page requests for one QEMU."""
    one, many = (find(rows, "page-request-drain", devices, 100) for devices in (1, 64))
    return [
        few_calls(drained),
        at_most("page request and response, 100 that wait, 1 device", one, 2500),
        growth(f"instructions per page request and response, 64 devices: within {GROWTH} × of 1",
               one, many),
    ]
