# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's side, the page shared with fakehost, what is asked of a QEMU."""
import ctypes
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from types import SimpleNamespace

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, BENCH)
import fakehost  # noqa: E402
import machine  # noqa: E402
import requests_workloads  # noqa: E402
import smmuv3  # noqa: E402
import smmuv3_workloads  # noqa: E402
import vtd  # noqa: E402
import vtd_workloads  # noqa: E402
import workloads  # noqa: E402
from workloads import Shape  # noqa: E402

HEADER = os.path.join(os.path.dirname(BENCH), "qemu/tests/qtest/fakehost/fakehost-control.h")


class Devices:
    """Takes the place of fakehost's control page: device dev0 is 7, dev1 is 8."""

    def __init__(self):
        self.devices = [SimpleNamespace(name=name, dev_id=number)
                        for name, number in ((b"dev0", 7), (b"dev1", 8))]
        self.requests_waiting = self.answers_refused = 0


class Memory:
    """Takes the place of a machine; waits complete when the doorbell rings.

    late: after so many reads of memory only; a command after so many of GSTS.
    """
    patience = 0.01

    def __init__(self, completes=True, late=0, takes_commands=True):
        self.bytes, self.registers, self.completes = {}, {}, completes
        self.late, self.reads, self.status = late, 0, None
        self.takes_commands = takes_commands
        self.gsts, self.gsts_reads = 0, 0

    def write_memory(self, address, data):
        self.bytes.update({address + at: byte for at, byte in enumerate(data)})

    def word(self, address):
        data = bytes(self.bytes.get(address + at, 0) for at in range(8))
        return struct.unpack("<Q", data)[0]

    def read(self, address, size):
        register = address - vtd.BASE
        if register == vtd.GSTS:
            self.gsts_reads += 1
            if self.takes_commands and self.gsts_reads > self.late:
                self.gsts = self.registers.get(vtd.GCMD, 0)
            return self.gsts
        if register in (vtd.FSTS, vtd.IQH):
            return 0
        self.reads += 1
        if self.status and self.reads > self.late:
            self.write_memory(*self.status)
        return self.word(address) & (1 << size * 8) - 1

    def write(self, address, _, value):
        register = address - vtd.BASE
        self.registers[register] = value
        if register == vtd.GCMD:
            self.gsts_reads = 0
        if register == vtd.IQT and value and self.completes:
            queue = self.registers[vtd.IQA] & ~0xFFF
            last = queue + (value - vtd.DESCRIPTOR) % (vtd.SLOTS * vtd.DESCRIPTOR)
            self.status = self.word(last + 8), struct.pack("<I", self.word(last) >> 32)


class Guest(unittest.TestCase):
    def test_tables_lead_to_the_pasid_entry(self):
        memory = Memory()
        guest = vtd.Guest(memory)
        guest.add_device(0x21)
        guest.set_pasid(0x21, 5)
        self.assertEqual(guest.pasid_entry(0x21, 3), guest.pasid_tables[0x21][0] + 3 * 64)
        context = (memory.word(guest.root) & ~0xFFF) + 0x21 * 32
        self.assertEqual(memory.word(context) & 1, 1)
        self.assertEqual(memory.word(context) >> 9 & 7, 7)
        table = memory.word(memory.word(context) & ~0xFFF)
        self.assertEqual(table & 1, 1)
        self.assertEqual(memory.word(table & ~0xFFF), 1 << 6 | 1)
        self.assertEqual(memory.word((table & ~0xFFF) + 8), 5)
        guest.clear_pasid(0x21)
        self.assertEqual(memory.word(table & ~0xFFF), 0)

    def test_many_pasids_have_an_entry_each(self):
        memory = Memory()
        guest = vtd.Guest(memory)
        guest.add_device(0x21, 100)
        guest.set_pasids(0x21, 5, 100)
        context = memory.word((memory.word(guest.root) & ~0xFFF) + 0x21 * 32)
        self.assertTrue(context & vtd.PASIDS_ENABLED)
        directory = context & ~0xFFF
        self.assertEqual([memory.word(directory + at * 8) & 1 for at in range(3)], [1, 1, 0])
        tables = set()
        for pasid in range(128):
            entry = guest.pasid_entry(0x21, pasid)
            self.assertEqual(entry, (memory.word(directory + pasid // 64 * 8) & ~0xFFF) +
                             pasid % 64 * 64)
            self.assertEqual(memory.word(entry) & 1, pasid < 100)
            tables.add(memory.word(entry + 16) & ~0xFFF)
        self.assertEqual(len(tables), 101)      # and 0

    def test_one_pasid_enables_no_others(self):
        memory = Memory()
        guest = vtd.Guest(memory)
        guest.add_device(0x21)
        self.assertFalse(memory.word(guest.contexts + 0x21 * 32) & vtd.PASIDS_ENABLED)

    def test_directories_do_not_overlap(self):
        guest = vtd.Guest(Memory())
        first, second = guest.allocate(vtd.PASID_DIRECTORY), guest.allocate(vtd.PAGE)
        self.assertEqual(first % vtd.PASID_DIRECTORY, 0)
        self.assertGreaterEqual(second, first + vtd.PASID_DIRECTORY)

    def test_the_queue_wraps(self):
        memory = Memory()
        guest = vtd.Guest(memory)
        guest.enable()
        guest.tail = vtd.SLOTS - 1
        guest.post([(1, 2), (3, 4)])
        self.assertEqual(memory.word(guest.queue + (vtd.SLOTS - 1) * vtd.DESCRIPTOR), 1)
        self.assertEqual(memory.word(guest.queue), 3)
        self.assertEqual(guest.tail, 1)

    def test_a_command_may_take_its_time(self):
        memory = Memory(late=5)
        vtd.Guest(memory).enable()
        self.assertTrue(memory.gsts & vtd.TE)

    def test_a_command_that_is_not_taken_is_seen(self):
        with self.assertRaises(vtd.QueueError):
            vtd.Guest(Memory(takes_commands=False)).enable()

    def test_a_wait_that_does_not_complete_is_seen(self):
        unit = vtd_workloads.piotlb_burst(Shape(1), 4)
        for completes, late in ((True, 0), (True, 3), (False, 0)):
            guest = vtd.Guest(Memory(completes, late))
            guest.enable()
            if completes:
                workloads.run(guest, unit)
            else:
                self.assertRaises(vtd.QueueError, workloads.run, guest, unit)


class Smmu:
    """An SMMUv3 that consumes at once, or not at all; errors: GERROR."""
    patience = 0.01

    def __init__(self, completes=True, errors=0):
        self.bytes, self.registers = {}, {smmuv3.GERROR: errors, smmuv3.EVENTQ_PROD: 0}
        self.completes = completes

    def write_memory(self, address, data):
        self.bytes.update({address + at: byte for at, byte in enumerate(data)})

    def words(self, address, count):
        data = bytes(self.bytes.get(address + at, 0) for at in range(8 * count))
        return struct.unpack(f"<{count}Q", data)

    def read(self, address, _):
        return self.registers.get(address - smmuv3.BASE, 0)

    def write(self, address, _, value):
        register = address - smmuv3.BASE
        self.registers[register] = value
        if register == smmuv3.CR0:
            self.registers[smmuv3.CR0ACK] = value
        if register == smmuv3.CMDQ_PROD and self.completes:
            self.registers[smmuv3.CMDQ_CONS] = value


class SmmuGuest(unittest.TestCase):
    def test_entry_of_a_stream(self):
        smmu = Smmu()
        guest = smmuv3.Guest(smmu)
        guest.set_stream(0x21)
        word = smmu.words(guest.streams + 0x21 * 64, 1)[0]
        self.assertEqual(word & 0xF, 1 | 5 << 1)
        self.assertEqual(word & ~0x3F, smmuv3.CONTEXTS + 0x21000)

    def test_the_queue_wraps(self):
        smmu = Smmu()
        guest = smmuv3.Guest(smmu)
        slots = 1 << smmuv3.COMMANDS_LOG2
        guest.tail = slots - 1
        guest.post([(1, 2), (3, 4)])
        self.assertEqual(smmu.words(guest.commands + (slots - 1) * 16, 2), (1, 2))
        self.assertEqual(smmu.words(guest.commands, 2), (3, 4))
        self.assertEqual(guest.tail, slots + 1)
        guest.tail = 2 * slots - 1
        guest.post([(5, 6), (7, 8)])
        self.assertEqual(smmu.words(guest.commands, 2), (7, 8))
        self.assertEqual(guest.tail, 1)

    def test_a_burst_ends_in_a_sync(self):
        smmu = Smmu()
        guest = smmuv3.Guest(smmu)
        guest.enable()
        workloads.run(guest, smmuv3_workloads.tlbi_burst(Shape(1), 4))
        self.assertEqual([smmu.words(guest.commands + at * 16, 1)[0] & 0xFF
                          for at in range(6)], [0x12] * 4 + [0x46, 0])

    def test_what_is_not_done_is_seen(self):
        unit = smmuv3_workloads.tlbi_burst(Shape(1), 4)
        for smmu in Smmu(False), Smmu(True, smmuv3.CMDQ_ERR):
            guest = smmuv3.Guest(smmu)
            self.assertRaises(machine.QueueError, workloads.run, guest, unit)

    def test_events_are_what_the_kernel_would_write(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "veventq-7")
            os.mkfifo(path)
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            smmu = Smmu()
            smmu.events = directory
            guest = smmuv3.Guest(smmu)
            guest.post_with_wait(smmuv3_workloads.events(Shape(2), 3)[0].descriptors)
            guest.ring()
            data = os.read(reader, 4096)
            os.close(reader)
        events = list(struct.iter_unpack("<2I4Q", data))
        self.assertEqual([event[1] for event in events], [0, 1, 2])
        self.assertEqual([event[2] >> 32 for event in events],
                         [smmuv3.stream(number) for number in (0, 1, 0)])
        self.assertFalse(guest.complete())
        smmu.registers[smmuv3.EVENTQ_PROD] = 3
        self.assertTrue(guest.complete())


class Protocol(unittest.TestCase):
    def answer(self, *lines):
        """A machine that was asked something; its answer."""
        asked = machine.Machine.__new__(machine.Machine)
        asked.qtest, asked.interrupts = None, 0
        waiting = list(lines)
        asked.send = lambda *_: None
        asked.line = lambda *_: waiting.pop(0)
        return asked, asked.qtest_command("readl 0x0")

    def test_interrupts_come_before_the_answer(self):
        asked, words = self.answer(b"IRQ raise 0\n", b"IRQ lower 0\n", b"IRQ raise 1\n",
                                   b"OK 0x5\n")
        self.assertEqual((asked.interrupts, words), (2, [b"0x5"]))

    def test_what_is_not_ok_is_refused(self):
        with self.assertRaises(machine.Unusable):
            self.answer(b"IRQ raise 0\n", b"FAIL unknown\n")


class Workloads(unittest.TestCase):
    def test_bursts_have_their_length(self):
        for workload in vtd_workloads.WORKLOADS + smmuv3_workloads.WORKLOADS:
            for burst in workload.bursts:
                for doorbell in workload.unit(Shape(8), burst):
                    self.assertEqual(len(doorbell.descriptors), burst, workload.name)

    def test_pages_of_a_burst_have_no_neighbours(self):
        unit = vtd_workloads.piotlb_burst(Shape(1), 256)
        pages = [high >> 12 for _, high in unit[0].descriptors]
        self.assertFalse({page + 1 for page in pages} & set(pages))

    def test_the_highest_pasid_is_named(self):
        for unit in (vtd_workloads.piotlb_burst(Shape(1, 64), 4),
                     vtd_workloads.pasid_cache_selective(Shape(1, 64), 1),
                     vtd_workloads.bind_unbind(Shape(2, 64), 2)):
            for doorbell in unit:
                self.assertEqual({low >> 32 & 0xFFFFF for low, _ in doorbell.descriptors}, {63})

    def test_bind_unbind_touches_every_device_twice(self):
        self.assertEqual(workloads.descriptors(vtd_workloads.bind_unbind(Shape(8), 2)), 8 * 4)

    def test_rows_with_pasids_have_some_bursts_only(self):
        for workload in vtd_workloads.WORKLOADS:
            self.assertLessEqual(set(workload.some_bursts), set(workload.bursts))
        with_pasids = workloads.units(vtd_workloads.MODEL, Shape(1, 64))
        self.assertLess(len(list(with_pasids)),
                        len(list(workloads.units(vtd_workloads.MODEL, Shape(1)))))


class Requests(unittest.TestCase):
    def guest(self, events):
        memory = Memory()
        memory.events, memory.page = events, SimpleNamespace(control=Devices())
        guest = requests_workloads.Guest(memory)
        guest.add_device(vtd.devfn(0))
        guest.enable()
        return guest, memory

    def ask(self, guest, *numbers):
        """Requests that are in the guest's queue at once."""
        tail = (guest.request_tail + 32 * len(numbers)) % (vtd.PAGE << 3)
        guest.machine.write_memory(vtd.BASE + requests_workloads.PQT, struct.pack("<Q", tail))
        guest.request([vtd.devfn(number) for number in numbers])

    def test_the_device_may_ask(self):
        with tempfile.TemporaryDirectory() as events:
            guest, memory = self.guest(events)
        context = memory.word(guest.contexts + vtd.devfn(0) * 32)
        self.assertEqual(context & 0x1f, 0x11)

    def test_requests_are_what_the_kernel_would_write(self):
        with tempfile.TemporaryDirectory() as events:
            guest, memory = self.guest(events)
            path = os.path.join(events, "fault-3")
            with open(path, "wb"):
                pass
            self.ask(guest, 1, 0)
            with open(path, "rb") as file:
                records = list(struct.iter_unpack("<6IQ2I", file.read()))
            self.assertEqual(records, [(2, 8, 0, 0, 1, 0, 0, 0, 0),
                                       (2, 7, 0, 1, 1, 0, vtd.PAGE, 0, 1)])
            self.ask(guest, 1)
            with open(path, "rb") as file:
                self.assertEqual(struct.unpack("<6IQ2I", file.read(40))[-1], 2)
        self.assertEqual(memory.registers[requests_workloads.PQH], 3 * 32)

    def test_no_queue_and_no_arrival_are_seen(self):
        with tempfile.TemporaryDirectory() as events:
            guest, _ = self.guest(events)
            with self.assertRaisesRegex(machine.QueueError, "0 fault queues"):
                self.ask(guest, 0)
            with open(os.path.join(events, "fault-3"), "wb"):
                pass
            guest.machine.patience = 0
            with self.assertRaisesRegex(machine.QueueError, "do not reach"):
                guest.request([vtd.devfn(0)] * 2)

    def test_an_answer_that_is_missing_is_seen(self):
        with tempfile.TemporaryDirectory() as events:
            guest, memory = self.guest(events)
        memory.page.control.requests_waiting = 1
        guest.post_with_wait([requests_workloads.response(vtd.devfn(0), 0)])
        guest.ring()
        with self.assertRaisesRegex(machine.QueueError, "1 page requests are not answered"):
            guest.check()


class Shared(unittest.TestCase):
    def test_control_page_is_that_of_the_header(self):
        fields = ["ioctls", "objects", "areas", "mapped_bytes", "heap", "queue_reads", "rules",
                  "counts", "devices"]
        offsets = " ".join(f'printf(" %zu", offsetof(struct FakehostControl, {field}));'
                           for field in fields)
        source = (f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\n'
                  "int main(void) { printf(\"%u %zu\", FAKEHOST_CONTROL_MAGIC, "
                  f"sizeof(struct FakehostControl)); {offsets} return 0; }}\n")
        with tempfile.TemporaryDirectory() as directory:
            program = os.path.join(directory, "offsets")
            subprocess.run(["gcc", "-x", "c", "-", "-o", program], input=source, text=True,
                           check=True)
            found = subprocess.run([program], capture_output=True, text=True, check=True)
        expected = [fakehost.MAGIC, ctypes.sizeof(fakehost.Control),
                    *[getattr(fakehost.Control, field).offset for field in fields]]
        self.assertEqual([int(word) for word in found.stdout.split()], expected)

    def test_page_of_a_program_that_ran_without_the_library(self):
        with tempfile.TemporaryDirectory() as directory:
            page = fakehost.Page(os.path.join(directory, "control"))
            self.assertFalse(page.ready())
            self.assertEqual(page.entries(), 0)

    def test_names_of_properties(self):
        for names, options in (
                ({"x-scalable-mode", "x-flts"}, ("x-scalable-mode=on,x-flts=on", False)),
                ({"x-scalable-mode", "fsts"}, ("x-scalable-mode=on,fsts=on", False)),
                ({"scalable-mode", "fsts", "pasid-bits"}, ("scalable-mode=on,fsts=on", True))):
            found = vtd.options_of(names)
            self.assertEqual((found.iommu.removesuffix(",caching-mode=on"), found.pasids),
                             options)
        with self.assertRaises(machine.Unusable):
            vtd.options_of({"x-scalable-mode"})

    def test_no_pasids_no_shapes_with_them(self):
        for pasids in (False, True):
            shapes = vtd_workloads.shapes(vtd.Options("", pasids))
            self.assertEqual(any(shape.pasids > 1 for shape in shapes), pasids)


if __name__ == "__main__":
    unittest.main()
