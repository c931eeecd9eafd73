# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of the accelerated SMMUv3."""
from collections import namedtuple

import limits
import smmuv3
from machine import Unusable
from smmuv3 import stream
from workloads import Doorbell, Model, Shape, Workload, run

ASID = 5
PAGE = 4096
EVENTS = 100

SHAPES = [Shape(devices) for devices in (1, 2, 4, 8, 16, 32)]


def tlbi_burst(_, burst):
    return [Doorbell(None, [smmuv3.tlbi_va(ASID, number * 2 * PAGE)
                            for number in range(burst)])]


def tlbi_neighbours(_, burst):
    return [Doorbell(None, [smmuv3.tlbi_last_level(ASID, number * PAGE)
                            for number in range(burst)])]


def cfgi_ste(_, burst):
    return [Doorbell(None, [smmuv3.cfgi_ste(stream(0))] * burst)]


def cfgi_all(_, burst):
    return [Doorbell(None, [smmuv3.cfgi_all()] * burst)]


def events(shape, burst):
    return [Doorbell(None, [smmuv3.Event(stream(number % shape.devices), number * PAGE)
                            for number in range(burst)], alone=True)]


WORKLOADS = [
    Workload("tlbi-burst", "TLBI_NH_VA commands of one ASID; no two pages are neighbours",
             (1, 4, 16, 32, 64, 128, 256), (), tlbi_burst),
    Workload("tlbi-neighbours", "TLBI_NH_VA commands of one ASID and granule; their pages fill "
             "an aligned range", (64, 256), (), tlbi_neighbours),
    Workload("cfgi-ste-unchanged", "CFGI_STE commands of one stream; its entry has not changed",
             (1, 32), (), cfgi_ste),
    Workload("cfgi-all-unchanged", "CFGI_ALL commands; no entry has changed", (1, 32), (),
             cfgi_all),
    Workload("events-drain", "events that wait in the host's queue, of all streams in turn, on "
             "their way into the guest's queue", (1, EVENTS), (), events),
]

Drained = namedtuple("Drained", "reads interrupts")


def set_up(machine, shape):
    """All streams of the host translated by a stage-1 table of their own."""
    guest = smmuv3.Guest(machine)
    for number in range(shape.devices):
        guest.set_stream(stream(number))
    guest.enable()
    run(guest, [Doorbell(None, [smmuv3.cfgi_all()])])
    # Besides those for bypass and abort there is one for each stream
    page = machine.page
    if page.objects("hwpt-nested") < shape.devices or not all(page.bound_to().values()):
        raise Unusable("its devices are not attached to the guest's stage 1")
    return guest


def fetches(_, number):
    """A doorbell for one CMD_SYNC reads it, and nothing else is read for it."""
    return [Doorbell()] * number


def drained(subject):
    """How 100 events that wait reach the guest: reads of the host's queue, interrupts."""
    shape = Shape(1)
    with subject.machine(shape) as machine:
        guest = subject.prepared(machine, shape)
        machine.watch_interrupts(f"/machine/peripheral/{smmuv3.ID}")
        before = machine.page.control.queue_reads
        run(guest, events(shape, EVENTS))
        return Drained(machine.page.control.queue_reads - before, machine.interrupts)


# What rows do not show, for the limits
EXTRAS = {"drained": drained}

# smmu_write_mmio() handles writes to registers, the other one what the host tells
MODEL = Model("smmuv3", "qemu-system-aarch64", ("smmu_write_mmio", "smmuv3_accel_read_events"),
              smmuv3.probe, lambda options: SHAPES, smmuv3.arguments, smmuv3.place,
              smmuv3.host, set_up, fetches, WORKLOADS, EXTRAS, limits.smmuv3)
