# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's side of VT-d in scalable mode: tables, registers and the queue.

Numbers are those of the VT-d specification: registers in 11.4, descriptors in
6.5.2, table entries in 9.
"""
import struct
import time
from collections import namedtuple

from machine import RAM_MB, QueueError, Unusable
from workloads import properties_of

BASE = 0xFED90000
GCMD, GSTS, RTADDR, FSTS, IQH, IQT, IQA = 0x18, 0x1C, 0x20, 0x34, 0x80, 0x88, 0x90
TE, SRTP, QIE = 1 << 31, 1 << 30, 1 << 26
RTADDR_SCALABLE = 1 << 10
IQA_WIDE = 1 << 11              # 256-bit descriptors
QUEUE_ORDER = 7                 # the queue has 2^7 pages
IQE = 1 << 4                    # FSTS: invalidation queue error

PAGE = 4096
DESCRIPTOR = 32
PASID_ENTRY = 64
SLOTS = (PAGE << QUEUE_ORDER) // DESCRIPTOR
PASID_DIRECTORY = 8 << 14       # bytes of the directory of a 20-bit PASID table
PASID_DIRECTORY_SIZE = 7        # the same as the context entry says it (PDTS)
PASIDS_PER_TABLE = 64
PASIDS_ENABLED = 1 << 3         # context entry: PASIDE
FIRST_PAGE = 0x200000
FIRST_STAGE_TABLE = 0x40000000  # never walked: there is no DMA on fakehost
FIRST_SLOT = 4                  # devices sit on the root bus, 8 to a slot
PASID_BITS = 20
WAIT_SECONDS = 300              # for a wait descriptor


def context_device(source_id, domain):
    return 1 | 3 << 4 | domain << 16 | source_id << 32, 0


def pasid_cache_global():
    return 7 | 3 << 4, 0


def pasid_cache_selective(domain, pasid):
    return 7 | 1 << 4 | domain << 16 | pasid << 32, 0


def piotlb_page(domain, pasid, address, order=0):
    return 6 | 3 << 4 | domain << 16 | pasid << 32, address | order


def piotlb_pasid(domain, pasid):
    return 6 | 2 << 4 | domain << 16 | pasid << 32, 0


def first_stage(domain, pasid):
    """A PASID entry: four levels, write protection as Linux asks for it."""
    return (1 << 6 | 1, domain, FIRST_STAGE_TABLE + pasid * PAGE | 1 << 4, 0, 0, 0, 0, 0)


def wait(cookie, status):
    return 5 | 1 << 5 | 1 << 6 | cookie << 32, status


# --- the machine ---

# How its intel-iommu is told to nest, and whether it has other PASIDs
Options = namedtuple("Options", "iommu pasids")


def devfn(number):
    return (FIRST_SLOT << 3) + number


def options_of(known):
    """What turns on nesting, from the names of properties that this QEMU has.

    Not all of them take caching-mode=on for granted.
    """
    chosen = []
    for names in (("x-scalable-mode", "scalable-mode"), ("x-flts", "fsts")):
        found = [name for name in names if name in known]
        if not found:
            raise Unusable(f"its intel-iommu has none of {', '.join(names)}")
        chosen.append(f"{found[0]}=on")
    if "max-host-domains" in known:
        chosen.append("max-host-domains=65536")     # for 4096 PASIDs
    return Options(",".join([*chosen, "caching-mode=on"]), "pasid-bits" in known)


def probe(binary):
    return options_of(properties_of(binary, "intel-iommu"))


def arguments(options, shape):
    bits = f",pasid-bits={PASID_BITS}" if shape.pasids > 1 else ""
    return ["-M", "q35", "-m", f"{RAM_MB}M", "-device", f"intel-iommu,{options.iommu}{bits}"]


def place(number):
    slot, function = divmod(devfn(number), 8)
    return f"bus=pcie.0,addr={slot:#x}.{function}{',multifunction=on' if not function else ''}"


def host(shape, more=0, of_devices=""):
    """A VT-d that can nest, and devices behind it; more bits of ECAP, more to say of each."""
    cap = (6 | 1 << 9 | 1 << 10         # domains; 39 and 48 bits wide
           | 47 << 16                   # 48 bits of guest address
           | 3 << 34 | 1 << 39          # large pages, page-selective invalidation
           | 1 << 56)                   # 1 GiB pages in the first stage
    ecap = (1 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7    # C, QI, IR, PT, SC
            | 1 << 26                   # NEST
            | 1 << 31                   # SRS
            | 1 << 40 | 19 << 35        # PASID, 20 bits
            | 1 << 43 | 1 << 46 | 1 << 47 | 1 << 48   # SMTS, SSTS, FSTS, SMPWC
            | more)
    bits = f" pasid-bits={PASID_BITS}" if shape.pasids > 1 else ""
    lines = [f"iommu iommu0 type=vtd cap={cap:#x} ecap={ecap:#x} errata=1"]
    lines += [f"device dev{number} iommu=iommu0{bits}{of_devices}" for number in range(shape.devices)]
    return "\n".join(lines) + "\n"


# --- the guest ---


class Guest:
    """Drives the vIOMMU through something that has read, write and write_memory."""

    def __init__(self, machine):
        self.machine = machine
        self.next_page = FIRST_PAGE
        self.root, self.status = self.allocate(PAGE), self.allocate(PAGE)
        self.queue = self.allocate(PAGE << QUEUE_ORDER)
        self.contexts = self.allocate(PAGE)
        self.pasid_tables = {}
        self.tail = self.cookie = 0

    def allocate(self, size):
        """Aligned to its size; memory is zero from the start."""
        address = -(-self.next_page // size) * size
        self.next_page = address + size
        return address

    def write_words(self, address, *words):
        self.machine.write_memory(address, struct.pack(f"<{len(words)}Q", *words))

    def add_device(self, source_id, pasids=1):
        """A context entry on bus 0 with a 20-bit PASID table of its own.

        Only the directory entries of the lowest PASIDs are present.
        """
        if source_id >= 128:
            raise ValueError("the root entry of this guest has a lower context table only")
        directory = self.allocate(PASID_DIRECTORY)
        tables = [self.allocate(PAGE) for _ in range(-(-pasids // PASIDS_PER_TABLE))]
        self.pasid_tables[source_id] = tables
        self.write_words(directory, *[table | 1 for table in tables])
        self.write_words(self.root, self.contexts | 1, 0)
        self.write_words(self.contexts + source_id * 32,
                         directory | PASID_DIRECTORY_SIZE << 9 | 1 |
                         self.context_flags(pasids), 0)

    def context_flags(self, pasids):
        return PASIDS_ENABLED if pasids > 1 else 0

    def pasid_entry(self, source_id, pasid):
        """Its address."""
        table, index = divmod(pasid, PASIDS_PER_TABLE)
        return self.pasid_tables[source_id][table] + index * PASID_ENTRY

    def set_pasid(self, source_id, domain, pasid=0):
        self.write_words(self.pasid_entry(source_id, pasid), *first_stage(domain, pasid))

    def set_pasids(self, source_id, domain, pasids):
        """All below a number."""
        for first in range(0, pasids, PASIDS_PER_TABLE):
            entries = [first_stage(domain, pasid)
                       for pasid in range(first, min(first + PASIDS_PER_TABLE, pasids))]
            self.write_words(self.pasid_entry(source_id, first), *sum(entries, ()))

    def clear_pasid(self, source_id, pasid=0):
        self.write_words(self.pasid_entry(source_id, pasid), 0)

    # --- registers ---

    def command(self, bit):
        enabled = self.machine.read(BASE + GSTS, 4) & (TE | QIE)
        self.machine.write(BASE + GCMD, 4, enabled | bit)
        # With many PASIDs it may take its time
        deadline = time.monotonic() + WAIT_SECONDS * self.machine.patience
        while not self.machine.read(BASE + GSTS, 4) & bit:
            if time.monotonic() > deadline:
                raise QueueError(f"the vIOMMU does not take command {bit:#x}")

    def enable(self):
        self.machine.write(BASE + RTADDR, 8, self.root | RTADDR_SCALABLE)
        self.command(SRTP)
        self.machine.write(BASE + IQT, 8, 0)
        self.machine.write(BASE + IQA, 8, self.queue | IQA_WIDE | QUEUE_ORDER)
        self.command(QIE)
        self.command(TE)

    def post(self, descriptors):
        """Put descriptors into the queue; the doorbell is not rung."""
        data = b"".join(struct.pack("<4Q", low, high, 0, 0) for low, high in descriptors)
        room = (SLOTS - self.tail) * DESCRIPTOR
        self.machine.write_memory(self.queue + self.tail * DESCRIPTOR, data[:room])
        if data[room:]:
            self.machine.write_memory(self.queue, data[room:])
        self.tail = (self.tail + len(descriptors)) % SLOTS

    def post_with_wait(self, descriptors):
        self.cookie = self.cookie % 0xFFFFFFFF + 1
        self.post([*descriptors, wait(self.cookie, self.status)])

    def ring(self):
        self.machine.write(BASE + IQT, 8, self.tail * DESCRIPTOR)

    def complete(self):
        """The last wait descriptor has completed."""
        return self.machine.read(self.status, 4) == self.cookie

    def check(self):
        """Wait for the last wait descriptor; nothing may have gone wrong.

        QEMU may do a part of the work after the doorbell has come back.
        """
        deadline = time.monotonic() + WAIT_SECONDS * self.machine.patience
        fault = self.machine.read(BASE + FSTS, 4)
        while not fault and not self.complete() and time.monotonic() < deadline:
            fault = self.machine.read(BASE + FSTS, 4)
        if fault or not self.complete():
            head = self.machine.read(BASE + IQH, 8)
            raise QueueError(f"the wait descriptor did not complete: fault status "
                             f"{fault:#x}, head {head:#x}, tail {self.tail * DESCRIPTOR:#x}")
