# SPDX-License-Identifier: GPL-2.0-or-later
"""The control page of the fakehost library, as in fakehost-control.h."""
import ctypes
import mmap

MAGIC = 0x46484B31
OBJECTS = ("none", "device", "hwpt-paging", "hwpt-nested", "ioas", "fault", "viommu",
           "vdevice", "veventq", "hw-queue", "access")

U32, U64 = ctypes.c_uint32, ctypes.c_uint64

# Control.heap_wanted: leave out what the library itself takes; tell once QEMU is at rest
HEAP_OF_CALLS, HEAP_AT_REST = 1, 2


class Rule(ctypes.Structure):
    _fields_ = [("call", ctypes.c_char * 40), ("action", U32), ("skip", U32), ("times", U32),
                ("err", ctypes.c_int32), ("handled", U32), ("hits", U32)]


class CallCount(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 40), ("calls", U64), ("failed", U64),
                ("entries", U64)]


class Device(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 40), ("flags", U32), ("dev_id", U32),
                ("pt_id", U32), ("hw_pt_id", U32), ("pasids", U32), ("resets", U32),
                ("irqs", U32 * 5), ("vdevices", U32), ("virt_id", U64), ("ste", U64 * 2),
                ("data_size", U64), ("log_starts", U32)]


class Dma(ctypes.Structure):
    _fields_ = [("wanted", U32), ("result", ctypes.c_int32), ("iova", U64), ("gpa", U64),
                ("value", U64)]


class HwQueue(ctypes.Structure):
    _fields_ = [("id", U32), ("viommu_id", U32), ("index", U32), ("reserved", U32),
                ("iova", U64), ("length", U64)]


class Control(ctypes.Structure):
    _fields_ = [("magic", U32), ("calls_used", U32), ("devices_used", U32), ("transfers", U32),
                ("ioctls", U64), ("objects", U32 * len(OBJECTS)), ("areas", U32),
                ("mapped_bytes", U64), ("executed", U64), ("unrepeated", U64),
                ("heap_wanted", U64), ("heap", U64), ("queue_reads", U64),
                ("requests_waiting", U64), ("answers", U64 * 2),
                ("answers_by_kernel", U64), ("answers_refused", U64),
                ("answer_writes", U64), ("queue_polls", U64), ("mmaps", U64),
                ("mmaps_now", U64), ("hw_queues", HwQueue * 32), ("dma", Dma),
                ("rules", Rule * 16), ("counts", CallCount * 64),
                ("devices", Device * 128)]


class Page:
    """What the library has counted so far, read while QEMU waits for us."""

    def __init__(self, path):
        size = ctypes.sizeof(Control)
        with open(path, "w+b") as file:
            file.truncate(size)
            self.map = mmap.mmap(file.fileno(), size)
        self.control = Control.from_buffer(self.map)

    def ready(self):
        return self.control.magic == MAGIC

    def calls(self):
        """All calls to the host: ioctls, reads of its queues, and answers to these."""
        control = self.control
        return control.ioctls + control.queue_reads + control.answer_writes

    def counts(self):
        """Name of each call that was made: how often."""
        return {count.name.decode(): count.calls
                for count in self.control.counts[:self.control.calls_used]}

    def entries(self):
        return sum(count.entries for count in self.control.counts[:self.control.calls_used])

    def failed(self):
        return sum(count.failed for count in self.control.counts[:self.control.calls_used])

    def objects(self, kind):
        return self.control.objects[OBJECTS.index(kind)]

    def bound_to(self):
        """The page tables that each device is attached to, by name; 0: blocked."""
        return {device.name.decode(): device.hw_pt_id
                for device in self.control.devices[:self.control.devices_used]}

    def pasids(self):
        """How many PASIDs each device has attached, by name."""
        return {device.name.decode(): device.pasids
                for device in self.control.devices[:self.control.devices_used]}
