# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of one QEMU: counts, instructions and time of each unit of work.

Each number of devices has two runs: a plain one for time, one under callgrind.
The calls to the host are counted in both and have to agree.
"""
import os
import re
import tempfile
import time
from collections import namedtuple

import callgrind
import vtd
import workloads
from machine import Machine, Unusable, ask_properties
from workloads import Doorbell

MODEL = "vtd"
DEVICES = (1, 2, 4, 8, 16, 32, 64)
PASIDS = 1                      # RID_PASID; the model offers no others yet
KEYS = ("qemu", "model", "workload", "devices", "pasids", "burst", "descriptors", "ioctls",
        "entries", "guest_reads", "instructions", "seconds")

WARM = 3                        # units before one is counted under callgrind
KNOWN_READS = 100               # of the doorbell that finds the read function
REPEATS = 15                    # of which the shortest time counts
TOGETHER = 2048                 # descriptors in the queue when it is timed

# What was built in the host for a number of devices
Built = namedtuple("Built", "ioas paging mapped")


class Subject:
    """A QEMU that is measured."""

    def __init__(self, binary, library, label):
        self.binary, self.library = os.path.abspath(binary), library
        self.properties = ask_properties(self.binary)
        with self.machine(1) as machine:
            version = machine.qmp_command("query-version")["qemu"]
        self.name = "{} {major}.{minor}.{micro}".format(label, **version)
        self.notes = []

    def machine(self, devices, **options):
        return Machine(self.binary, self.library, self.properties, devices, **options)

    def rows(self, devices):
        """The rows of one number of devices; what cannot be measured has a note."""
        try:
            plain = self.plain(devices)
        except (Unusable, vtd.QueueError) as error:
            self.remark(f"no rows with {devices} devices: {error}")
            return []
        profiled = self.profiled(devices)
        return [self.row(devices, key, counts, seconds, profiled.get(key))
                for key, (counts, seconds) in plain.items()]

    def row(self, devices, key, counts, seconds, profiled):
        name, burst, descriptors = key
        again, instructions, reads = profiled or (counts, None, None)
        if again != counts:
            self.remark(f"{name}, {devices} devices, burst of {burst}: calls and entries are "
                        f"{counts}, under valgrind {again}: its other figures are left out")
            instructions = reads = None
        return dict(zip(KEYS, (self.name, MODEL, name, devices, PASIDS, burst, descriptors,
                               *counts, reads, instructions, seconds)))

    # --- the plain run ---

    def plain(self, devices):
        """Of each unit: calls and entries of one, seconds of one."""
        found = {}
        with self.machine(devices) as machine:
            guest = prepared(machine, devices)
            for key, unit in units(devices):
                workloads.run(guest, unit)
                counts = self.counted(machine, guest, unit)
                found[key] = counts, seconds_of(guest, unit)
        return found

    # --- the run under callgrind ---

    def profiled(self, devices):
        """Of each unit: calls and entries, instructions, reads; empty without valgrind."""
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            out = os.path.join(directory, "callgrind.out")
            wrapper = callgrind.wrapper(out)
            if not wrapper:
                self.remark("valgrind is not installed: no instructions, no guest reads")
                return {}
            try:
                with self.machine(devices, wrapper=wrapper) as machine:
                    return self.profile(machine, devices, out)
            except (Unusable, vtd.QueueError, callgrind.Unreadable) as error:
                self.remark(f"no instructions, no guest reads: {error}")
                return {}

    def profile(self, machine, devices, out):
        guest = prepared(machine, devices)
        function = self.find_read_function(machine, guest, out)
        found = {}
        for key, unit in units(devices):
            for _ in range(WARM):   # symbols are resolved, buffers have their size
                workloads.run(guest, unit)
            mark(machine)
            counts = self.counted(machine, guest, unit)
            profile = read_profile(machine, out)
            found[key] = counts, profile.instructions, (
                profile.reads(function) if function else None)
        return found

    def find_read_function(self, machine, guest, out):
        """Wait descriptors are read one by one, and nothing else is for them."""
        waits = [vtd.wait(1, guest.status)] * (KNOWN_READS - 1)
        mark(machine)
        workloads.run(guest, [Doorbell(None, waits)])
        profile = read_profile(machine, out)
        if not profile.instructions:
            raise Unusable(f"callgrind sees no {callgrind.WORK}() in it")
        function = profile.read_function(KNOWN_READS)
        if not function:
            self.remark(f"no guest reads: none of {', '.join(callgrind.READ_FUNCTIONS)} is "
                        f"called {KNOWN_READS} times for {KNOWN_READS} wait descriptors")
        return function

    def counted(self, machine, guest, unit):
        """Calls and entries that one unit makes."""
        page = machine.page
        before = page.control.ioctls, page.entries(), page.failed()
        workloads.run(guest, unit)
        if page.failed() != before[2]:
            self.remark(f"the host has refused {page.failed() - before[2]} calls of a unit")
        return page.control.ioctls - before[0], page.entries() - before[1]

    def remark(self, text):
        if text not in self.notes:
            self.notes.append(text)

    # --- what rows do not show ---

    def built(self, devices):
        with self.machine(devices) as machine:
            prepared(machine, devices)
            page = machine.page
            return Built(page.objects("ioas"), page.objects("hwpt-paging"),
                         page.control.mapped_bytes)

    def sent_for(self, pages):
        """The entries (first page, pages) that reach the host for 4 KiB pages of a burst."""
        with self.machine(1, log=True) as machine:
            guest = prepared(machine, 1)
            start = len(machine.log())
            workloads.run(guest, workloads.pages(pages))
            return logged_entries(machine.log()[start:])


def units(devices):
    for workload in workloads.WORKLOADS:
        for burst in workload.bursts:
            unit = workload.unit(devices, burst)
            yield (workload.name, burst, workloads.descriptors(unit)), unit


def prepared(machine, devices):
    """A guest all of whose devices the host translates by its first stage."""
    guest = vtd.Guest(machine)
    try:
        workloads.set_up(guest, devices)
    except vtd.QueueError as error:
        raise Unusable(f"{error}; {machine.last_words()}") from error
    if machine.page.objects("hwpt-nested") == 0 or not all(
            machine.page.bound_to().values()):
        raise Unusable("its devices are not attached to the guest's first stage")
    return guest


def seconds_of(guest, unit):
    """Time of a unit's doorbells, the shortest: other work only makes it longer.

    Units that change no tables are timed many to a doorbell, each with its wait
    descriptor, so that the time of the qtest protocol does not count.
    """
    alone = any(doorbell.change for doorbell in unit)
    slots = workloads.descriptors(unit) + len(unit)
    count = 1 if alone else max(1, TOGETHER // slots)
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
            found.append((int(address, 0) // vtd.PAGE, int(pages, 0)))
    return found
