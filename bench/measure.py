# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of one QEMU: counts, instructions and time of each unit of work.

Each number of devices and PASIDs has two runs: a plain one for time, one under
callgrind.  The calls to the host are counted in both and have to agree.
"""
import os
import re
import tempfile
import time
from collections import namedtuple

import callgrind
import workloads
from machine import RAM_MB, Machine, QueueError, Unusable

PAGE = 4096
KEYS = ("qemu", "model", "workload", "devices", "pasids", "burst", "descriptors", "ioctls",
        "entries", "guest_reads", "instructions", "seconds")

WARM = 3                        # units before one is counted under callgrind
KNOWN_READS = 100               # of the doorbell that finds the read function
REPEATS = 15                    # of which the shortest time counts
TOGETHER = 2048                 # descriptors in the queue when it is timed
TIMED_SECONDS = 0.01            # that are enough for one timing

# What was built in the host for a number of devices: bytes mapped, in how many areas, by how
# many calls of each kind
Built = namedtuple("Built", "ioas paging mapped areas by_address by_file", defaults=(0, 0, 0))


# What guest memory can be made of: QEMU's arguments
MEMORY = {
    "anonymous": (),
    "memfd": ("-object", f"memory-backend-memfd,id=ram,share=on,size={RAM_MB}M",
              "-machine", "memory-backend=ram"),
}


class Subject:
    """A QEMU that is measured, with one model of vIOMMU."""

    def __init__(self, model, binary, library, label, work=None, wrapper=callgrind.wrapper):
        self.model = model
        self.work, self.wrapper = work or model.work, wrapper
        self.binary, self.library = os.path.abspath(binary), library
        self.options = model.probe(self.binary)
        self.shapes = model.shapes(self.options)
        with self.machine(self.shapes[0]) as machine:
            version = machine.qmp_command("query-version")["qemu"]
        self.name = "{} {major}.{minor}.{micro}".format(label, **version)
        self.notes = []
        self.starts = {}            # (devices, of what memory is made): what was built
        self.unprofiled = {}        # reason: the first shape without a profile

    def machine(self, shape, more=(), **options):
        return Machine(self.binary, self.library,
                       [*self.model.arguments(self.options, shape), *more],
                       [self.model.place(number) for number in range(shape.devices)],
                       self.model.host(shape), **options)

    def prepared(self, machine, shape):
        """A guest all of whose devices the host translates by its first stage."""
        try:
            return self.model.guest(machine, shape)
        except QueueError as error:
            raise Unusable(f"{error}; {machine.last_words()}") from error

    def rows(self, shape):
        """The rows of one shape; what cannot be measured has a note."""
        try:
            plain = self.plain(shape)
        except (Unusable, QueueError) as error:
            self.remark(f"no rows with {shown(shape)}: {error}")
            return []
        profiled = self.profiled(shape)
        return [self.row(shape, key, counts, seconds, profiled.get(key))
                for key, (counts, seconds) in plain.items()]

    def row(self, shape, key, counts, seconds, profiled):
        name, burst, descriptors = key
        again, instructions, reads = profiled or (counts, None, None)
        if again != counts:
            self.remark(f"{name}, {shown(shape)}, burst of {burst}: calls and entries are "
                        f"{counts}, under valgrind {again}: its other figures are left out")
            instructions = reads = None
        return dict(zip(KEYS, (self.name, self.model.name, name, shape.devices, shape.pasids,
                               burst, descriptors, *counts, reads, instructions, seconds)))

    # --- the plain run ---

    def plain(self, shape):
        """Of each unit: calls and entries of one, seconds of one."""
        found = {}
        with self.machine(shape) as machine:
            guest = self.prepared(machine, shape)
            for key, unit in workloads.units(self.model, shape):
                workloads.run(guest, unit)
                counts = self.counted(machine, guest, unit)
                found[key] = counts, seconds_of(guest, unit)
        return found

    # --- the run under callgrind ---

    def profiled(self, shape):
        """Of each unit: calls and entries, instructions, reads; empty without valgrind."""
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            out = os.path.join(directory, "callgrind.out")
            wrapper = self.wrapper(out, self.work)
            if not wrapper:
                self.remark("valgrind is not installed: no instructions, no guest reads")
                return {}
            try:
                with self.machine(shape, wrapper=wrapper) as machine:
                    return self.profile(machine, shape, out)
            except (Unusable, QueueError, callgrind.Unreadable) as error:
                shape = self.unprofiled.setdefault(str(error), shape)
                self.remark(f"no instructions, no guest reads, first with {shown(shape)}: "
                            f"{error}")
                return {}

    def profile(self, machine, shape, out):
        guest = self.prepared(machine, shape)
        function = self.find_read_function(machine, guest, out)
        found = {}
        for key, unit in workloads.units(self.model, shape):
            for _ in range(WARM):   # symbols are resolved, buffers have their size
                workloads.run(guest, unit)
            mark(machine)
            counts = self.counted(machine, guest, unit)
            profile = read_profile(machine, out)
            # None at all: the work is done where nobody has looked
            found[key] = (counts, profile.instructions or None,
                          profile.reads(function) if function and profile.instructions
                          else None)
        return found

    def find_read_function(self, machine, guest, out):
        """By a unit of which the number of reads is known."""
        unit = self.model.fetches(guest, KNOWN_READS)
        set_up = read_profile(machine, out)
        workloads.run(guest, unit)
        profile = read_profile(machine, out)
        if not profile.instructions:
            raise Unusable(f"callgrind sees no {self.work[0]}() in it")
        function = profile.read_function(KNOWN_READS, set_up)
        if not function:
            self.remark(f"no guest reads: none of {', '.join(callgrind.READ_FUNCTIONS)} is "
                        f"called {KNOWN_READS} times for {KNOWN_READS} reads")
        return function

    def counted(self, machine, guest, unit):
        """Calls and entries that one unit makes."""
        page = machine.page
        before = page.calls(), page.entries(), page.failed()
        workloads.run(guest, unit)
        if page.failed() != before[2]:
            self.remark(f"the host has refused {page.failed() - before[2]} calls of a unit")
        return page.calls() - before[0], page.entries() - before[1]

    def remark(self, text):
        if text not in self.notes:
            self.notes.append(text)

    # --- what rows do not show ---

    def built(self, shape, memory="anonymous"):
        with self.machine(shape, MEMORY[memory]) as machine:
            self.prepared(machine, shape)
            page, calls = machine.page, machine.page.counts()
            found = Built(page.objects("ioas"), page.objects("hwpt-paging"),
                          page.control.mapped_bytes, page.control.areas,
                          calls.get("IOMMU_IOAS_MAP", 0), calls.get("IOMMU_IOAS_MAP_FILE", 0))
        self.starts[shape.devices, memory] = found
        return found

    def sent_for(self, shape, unit):
        """The entries (first page, pages) that reach the host for a unit."""
        with self.machine(shape, log=True) as machine:
            guest = self.prepared(machine, shape)
            start = len(machine.log())
            workloads.run(guest, unit)
            return logged_entries(machine.log()[start:])


def shown(shape):
    pasids = f" × {shape.pasids} PASIDs" if shape.pasids > 1 else ""
    return f"{shape.devices} devices{pasids}"


def seconds_of(guest, unit):
    """Time of a unit's doorbells, the shortest: other work only makes it longer.

    Units that change no tables are timed many to a doorbell, each with its wait
    descriptor, so that the time of the qtest protocol does not count.
    """
    count = 1
    if not any(doorbell.change or doorbell.alone for doorbell in unit):
        slots = workloads.descriptors(unit) + len(unit)
        once = min(sum(timed(guest, doorbell, 1) for doorbell in unit) for _ in range(5))
        count = int(max(1, min(TOGETHER // slots, TIMED_SECONDS / once)))
    times = [sum(timed(guest, doorbell, count) for doorbell in unit)
             for _ in range(REPEATS)]
    return min(times) / count


def timed(guest, doorbell, count):
    if doorbell.change:
        doorbell.change(guest)
    for _ in range(count):
        guest.post_with_wait(doorbell.descriptors)
    start = time.perf_counter()
    guest.ring()
    end = time.perf_counter()
    if not guest.complete():    # the rest is done when the doorbell has come back
        guest.check()
        end = time.perf_counter()
    guest.check()
    return end - start


def mark(machine):
    machine.qmp_command(callgrind.MARK_COMMAND)


def read_profile(machine, out):
    mark(machine)
    path = callgrind.newest(out)
    if not path:
        raise Unusable(f"callgrind sees no {callgrind.MARK}() in it: is it stripped?")
    return callgrind.load(path)


def logged_entries(log):
    """Entries of the successful invalidations in fakehost's log, in pages."""
    found = []
    for line in log.splitlines():
        if " IOMMU_HWPT_INVALIDATE " not in line or not re.search(r" = 0$", line):
            continue
        for address, pages in re.findall(r"\b(0x[0-9a-f]+):(0x[0-9a-f]+|\d+):", line):
            found.append((int(address, 0) // PAGE, int(pages, 0)))
    return found
