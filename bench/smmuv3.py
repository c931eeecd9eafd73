# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's side of an SMMUv3: stream table, registers, queues, host events.

Numbers are those of the SMMUv3 specification: registers in 6, commands in 4,
stream table entries in 5.2, events in 7.3.
"""
import os
import struct
import time
from collections import namedtuple

from machine import RAM_MB, QueueError, Unusable
from workloads import properties_of

BASE = 0x0C000000               # of the first device on virt's platform bus
CR0, CR0ACK, IRQ_CTRL, GERROR, GERRORN = 0x20, 0x24, 0x50, 0x60, 0x64
STRTAB_BASE, STRTAB_BASE_CFG = 0x80, 0x88
CMDQ_BASE, CMDQ_PROD, CMDQ_CONS = 0x90, 0x98, 0x9C
EVENTQ_BASE, EVENTQ_PROD, EVENTQ_CONS = 0xA0, 0x100A8, 0x100AC
SMMUEN, EVENTQEN, CMDQEN = 1 << 0, 1 << 2, 1 << 3
CMDQ_ERR = 1 << 0               # GERROR

STE, STE_V, STE_S1 = 64, 1, 5 << 1
COMMAND, EVENT = 16, 32
COMMANDS_LOG2, EVENTS_LOG2, STREAMS_LOG2 = 12, 9, 8
RAM = 0x40000000
FIRST_PAGE = RAM + 0x200000
CONTEXTS = 0x50000000           # never walked: there is no DMA on fakehost
FIRST_SLOT = 4                  # devices sit on the root bus, 8 to a slot
ID = "smmu0"
WAIT_SECONDS = 300              # for a queue

F_TRANSLATION = 0x10
EVENT_QUEUE = "veventq-"        # what fakehost's files of event queues begin with


# --- the machine ---

def stream(number):
    return (FIRST_SLOT << 3) + number


def probe(binary):
    if not {"accel", "primary-bus"} <= properties_of(binary, "arm-smmuv3"):
        raise Unusable("its arm-smmuv3 has no property accel")
    return None


def arguments(_options, _shape):
    return ["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", f"{RAM_MB}M",
            "-device", f"arm-smmuv3,id={ID},primary-bus=pcie.0,accel=on"]


def place(number):
    slot, function = divmod(stream(number), 8)
    return f"bus=pcie.0,addr={slot:#x}.{function}{',multifunction=on' if not function else ''}"


def host(shape):
    """An SMMUv3 that can nest, and devices behind it (registers in 6.3.1 to 6.3.6)."""
    idr = {0: (3 | 2 << 2               # both stages, AArch64 tables
               | 1 << 4 | 1 << 10       # COHACC, ATS
               | 1 << 12 | 1 << 18      # 16-bit ASIDs and VMIDs
               | 2 << 21 | 1 << 24      # little endian, no stalls
               | 1 << 27),              # two-level stream tables
           1: 16 | 16 << 6,             # bits of StreamIDs, SubstreamIDs
           3: 1 << 8 | 1 << 10 | 2 << 11,       # FWB, RIL, BBML
           5: 5 | 7 << 4}               # 48 bits; 4, 16 and 64 KiB pages
    lines = ["iommu iommu0 type=smmuv3 " +
             " ".join(f"idr{number}={value:#x}" for number, value in idr.items())]
    lines += [f"device dev{number} iommu=iommu0" for number in range(shape.devices)]
    return "\n".join(lines) + "\n"


# --- commands ---

def sync():
    return 0x46, 0


def cfgi_ste(sid):
    return 0x03 | sid << 32, 1


def cfgi_all():
    return 0x04, 31


def tlbi_va(asid, address):
    return 0x12 | asid << 48, address


def tlbi_last_level(asid, address):
    """As a guest that uses ranges does: a page of 4 KiB in an entry of level 3 (4.4.1.1)."""
    return 0x12 | asid << 48, address | 1 << 10 | 3 << 8 | 1


# Not a command: something that the host has to tell
Event = namedtuple("Event", "sid address")


class Guest:
    """Drives the vIOMMU through something that has read, write and write_memory.

    What is posted are commands, or events that the host finds when the doorbell
    is rung.
    """

    def __init__(self, machine):
        self.machine = machine
        self.next_page = FIRST_PAGE
        self.streams = self.allocate(STE << STREAMS_LOG2)
        self.commands = self.allocate(COMMAND << COMMANDS_LOG2)
        self.events = self.allocate(EVENT << EVENTS_LOG2)
        self.tail = self.event_tail = self.sequence = 0
        self.waiting = []

    def allocate(self, size):
        """Aligned to its size; memory is zero from the start."""
        address = -(-self.next_page // size) * size
        self.next_page = address + size
        return address

    def read(self, register):
        return self.machine.read(BASE + register, 4)

    def write(self, register, value, size=4):
        self.machine.write(BASE + register, size, value)

    def enable(self):
        self.write(STRTAB_BASE, self.streams, 8)
        self.write(STRTAB_BASE_CFG, STREAMS_LOG2)
        self.write(CMDQ_BASE, self.commands | COMMANDS_LOG2, 8)
        self.write(EVENTQ_BASE, self.events | EVENTS_LOG2, 8)
        for register in CMDQ_PROD, CMDQ_CONS, EVENTQ_PROD, EVENTQ_CONS:
            self.write(register, 0)
        self.write(IRQ_CTRL, 7)
        for bits in CMDQEN, CMDQEN | EVENTQEN, CMDQEN | EVENTQEN | SMMUEN:
            self.write(CR0, bits)
            if self.read(CR0ACK) != bits:
                raise QueueError(f"the vIOMMU does not take CR0 {bits:#x}")

    def set_stream(self, sid):
        """Stage 1, with a context descriptor of its own."""
        words = STE_V | STE_S1 | CONTEXTS + sid * 0x1000, 0, 0, 0, 0, 0, 0, 0
        self.machine.write_memory(self.streams + sid * STE, struct.pack("<8Q", *words))

    def post(self, commands):
        """Put commands into the queue; the doorbell is not rung."""
        data = b"".join(struct.pack("<2Q", *command) for command in commands)
        size = COMMAND << COMMANDS_LOG2
        at = self.tail * COMMAND % size
        self.machine.write_memory(self.commands + at, data[:size - at])
        if data[size - at:]:
            self.machine.write_memory(self.commands, data[size - at:])
        self.tail = (self.tail + len(commands)) % (2 << COMMANDS_LOG2)

    def post_with_wait(self, descriptors):
        if descriptors and isinstance(descriptors[0], Event):
            self.waiting += descriptors
        else:
            self.post([*descriptors, sync()])

    def ring(self):
        if self.waiting:
            self.send_events()
        else:
            self.write(CMDQ_PROD, self.tail)

    def send_events(self):
        """All in one write, as if they had waited."""
        data = b""
        for event in self.waiting:
            data += struct.pack("<2I4Q", 0, self.sequence, F_TRANSLATION | event.sid << 32,
                                1 << 35, event.address, 0)
            self.sequence = (self.sequence + 1) % (1 << 31)
        found = [name for name in os.listdir(self.machine.events)
                 if name.startswith(EVENT_QUEUE)]
        if len(found) != 1:
            raise QueueError(f"the vIOMMU has {len(found)} event queues in the host")
        queue = os.open(os.path.join(self.machine.events, found[0]),
                        os.O_WRONLY | os.O_NONBLOCK)
        try:
            if os.write(queue, data) != len(data):
                raise QueueError("the host has more events than its queue takes")
        finally:
            os.close(queue)
        self.event_tail = (self.event_tail + len(self.waiting)) % (2 << EVENTS_LOG2)
        self.waiting = []

    def complete(self):
        """All commands are consumed, all events have reached the guest's queue."""
        return (self.read(CMDQ_CONS) & (2 << COMMANDS_LOG2) - 1 == self.tail and
                self.read(EVENTQ_PROD) == self.event_tail)

    def check(self):
        """Wait for both; nothing may have gone wrong."""
        deadline = time.monotonic() + WAIT_SECONDS * self.machine.patience
        while not self.complete() and time.monotonic() < deadline:
            if self.read(GERROR) != self.read(GERRORN):
                break
        if self.read(GERROR) != self.read(GERRORN) or not self.complete():
            raise QueueError(f"the queues are not done: GERROR {self.read(GERROR):#x}, "
                             f"CMDQ_CONS {self.read(CMDQ_CONS):#x} of {self.tail:#x}, "
                             f"EVENTQ_PROD {self.read(EVENTQ_PROD):#x} of "
                             f"{self.event_tail:#x}")
        self.write(EVENTQ_CONS, self.event_tail)
