# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's side of VT-d in scalable mode: tables, registers and the queue.

Numbers are those of the VT-d specification: registers in 11.4, descriptors in
6.5.2, table entries in 9.
"""
import struct

BASE = 0xFED90000
GCMD, GSTS, RTADDR, FSTS, IQH, IQT, IQA = 0x18, 0x1C, 0x20, 0x34, 0x80, 0x88, 0x90
TE, SRTP, QIE = 1 << 31, 1 << 30, 1 << 26
RTADDR_SCALABLE = 1 << 10
IQA_WIDE = 1 << 11              # 256-bit descriptors
QUEUE_ORDER = 7                 # the queue has 2^7 pages
IQE = 1 << 4                    # FSTS: invalidation queue error

PAGE = 4096
DESCRIPTOR = 32
SLOTS = (PAGE << QUEUE_ORDER) // DESCRIPTOR
PASID_DIRECTORY = 8 << 14       # bytes of the directory of a 20-bit PASID table
PASID_DIRECTORY_SIZE = 7        # the same as the context entry says it (PDTS)
FIRST_PAGE = 0x200000
FIRST_STAGE_TABLE = 0x40000000  # never walked: there is no DMA on fakehost


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


def wait(cookie, status):
    return 5 | 1 << 5 | 1 << 6 | cookie << 32, status


class QueueError(Exception):
    """A wait descriptor did not complete."""


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

    def add_device(self, devfn):
        """A context entry on bus 0 with a 20-bit PASID table of its own.

        One directory entry is present, that of the PASIDs below 64.
        """
        if devfn >= 128:
            raise ValueError("the root entry of this guest has a lower context table only")
        directory, table = self.allocate(PASID_DIRECTORY), self.allocate(PAGE)
        self.pasid_tables[devfn] = table
        self.write_words(directory, table | 1)
        self.write_words(self.root, self.contexts | 1, 0)
        self.write_words(self.contexts + devfn * 32,
                         directory | PASID_DIRECTORY_SIZE << 9 | 1, 0)

    def set_pasid(self, devfn, domain):
        """RID_PASID: first stage, four levels, write protection as Linux asks for it."""
        self.write_words(self.pasid_tables[devfn], 1 << 6 | 1, domain,
                         FIRST_STAGE_TABLE | 1 << 4)

    def clear_pasid(self, devfn):
        self.write_words(self.pasid_tables[devfn], 0)

    # --- registers ---

    def command(self, bit):
        enabled = self.machine.read(BASE + GSTS, 4) & (TE | QIE)
        self.machine.write(BASE + GCMD, 4, enabled | bit)
        if not self.machine.read(BASE + GSTS, 4) & bit:
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

    def check(self):
        """The last wait descriptor has completed, and nothing went wrong."""
        fault = self.machine.read(BASE + FSTS, 4)
        if fault or self.machine.read(self.status, 4) != self.cookie:
            head = self.machine.read(BASE + IQH, 8)
            raise QueueError(f"the wait descriptor did not complete: fault status "
                             f"{fault:#x}, head {head:#x}, tail {self.tail * DESCRIPTOR:#x}")
