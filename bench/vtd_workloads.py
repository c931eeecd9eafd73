# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of the accelerated VT-d."""
import fakehost
import limits
import vtd
from machine import Unusable
from vtd import devfn
from workloads import Doorbell, Model, Shape, Workload, run

DOMAIN = 5
PAGES_APART = 2                 # no two pages of a burst can be joined
HEAP_PASIDS = 1024

WITHOUT_PASIDS = [Shape(devices) for devices in (1, 2, 4, 8, 16, 32, 64)]
WITH_PASIDS = [Shape(1, 64), Shape(1, 1024), Shape(1, 4096), Shape(8, 64), Shape(64, 64)]


def highest(shape):
    """Bound are the PASIDs from RID_PASID (0) to this one."""
    return shape.pasids - 1


def pages(pasid, numbers):
    return [Doorbell(None, [vtd.piotlb_page(DOMAIN, pasid, number * vtd.PAGE)
                            for number in numbers])]


def piotlb_burst(shape, burst):
    return pages(highest(shape), range(0, burst * PAGES_APART, PAGES_APART))


def pasid_cache_selective(shape, burst):
    return [Doorbell(None, [vtd.pasid_cache_selective(DOMAIN, highest(shape))] * burst)]


def pasid_cache_global(_, burst):
    return [Doorbell(None, [vtd.pasid_cache_global()] * burst)]


def bind(number, pasid=0):
    """RID_PASID comes with a context entry; CAP.CM asks for the rest."""
    selective = vtd.pasid_cache_selective(DOMAIN, pasid)
    return Doorbell(lambda guest: guest.set_pasid(devfn(number), DOMAIN, pasid),
                    [selective, vtd.piotlb_pasid(DOMAIN, pasid)] if pasid else
                    [vtd.context_device(devfn(number), DOMAIN), selective])


def unbind(number, pasid=0):
    return Doorbell(lambda guest: guest.clear_pasid(devfn(number), pasid),
                    [vtd.pasid_cache_selective(DOMAIN, pasid),
                     vtd.piotlb_pasid(DOMAIN, pasid)])


def bind_unbind(shape, _):
    """One after the other is unbound, then one after the other bound again."""
    return [step(number, highest(shape))
            for step in (unbind, bind) for number in range(shape.devices)]


WORKLOADS = [
    Workload("piotlb-burst", "page-selective PASID-based IOTLB invalidations of one domain and "
             "PASID, to which all devices are bound; no two pages are neighbours",
             (1, 4, 16, 32, 64, 128, 256), (1, 32, 256), piotlb_burst),
    Workload("pasid-cache-selective-unchanged", "PASID-selective PASID-cache invalidations "
             "that concern all devices; no entry has changed", (1, 32), (1, 32),
             pasid_cache_selective),
    Workload("pasid-cache-global-unchanged", "global PASID-cache invalidations, 20-bit PASID "
             "tables; no entry has changed", (1,), (1,), pasid_cache_global),
    Workload("bind-unbind", "the highest PASID of every device unbound from a shared first "
             "stage, then bound to it again, each with the descriptors that a guest needs "
             "for it", (2,), (2,), bind_unbind),
]


def shapes(options):
    return WITHOUT_PASIDS + (WITH_PASIDS if options.pasids else [])


def set_up(machine, shape):
    """All devices bound to one first stage of each PASID."""
    guest = vtd.Guest(machine)
    for number in range(shape.devices):
        guest.add_device(devfn(number), shape.pasids)
        guest.set_pasids(devfn(number), DOMAIN, shape.pasids)
    guest.enable()
    run(guest, [Doorbell(None, bind(number).descriptors) for number in range(shape.devices)])
    page = machine.page
    if page.objects("hwpt-nested") == 0 or not all(page.bound_to().values()):
        raise Unusable("its devices are not attached to the guest's first stage")
    if any(count != shape.pasids - 1 for count in page.pasids().values()):
        raise Unusable(f"its devices do not have {shape.pasids} PASIDs attached")
    return guest


def fetches(guest, number):
    """A doorbell for one wait descriptor reads it, and nothing else is read for it."""
    return [Doorbell()] * number


def heap(subject):
    """Bytes of heap that one bound (device, PASID) takes, the S1 object not counted.

    Device 1 joins the first stages that device 0 already has.
    """
    if not subject.options.pasids:
        return None
    shape, one, other = Shape(2, HEAP_PASIDS), devfn(0), devfn(1)
    with subject.machine(shape) as machine:
        guest, page = vtd.Guest(machine), machine.page
        for source_id in one, other:
            guest.add_device(source_id, shape.pasids)
        guest.set_pasids(one, DOMAIN, shape.pasids)
        guest.set_pasid(other, DOMAIN)
        guest.enable()
        page.control.heap_wanted = fakehost.HEAP_OF_CALLS
        run(guest, [bind(1, 1)])
        before = machine.heap()
        guest.set_pasids(other, DOMAIN, shape.pasids)
        run(guest, [Doorbell(None, [vtd.pasid_cache_global()])])
        if set(page.pasids().values()) != {shape.pasids - 1}:
            raise Unusable(f"its devices do not have {shape.pasids} PASIDs attached")
        # PASIDs 0 and 1 were there before
        return (machine.heap() - before) / (shape.pasids - 2) if before else None


# What rows do not show, for the limits
EXTRAS = {
    "one": lambda subject: subject.built(Shape(1)),
    "eight": lambda subject: subject.built(Shape(8)),
    "memfd": lambda subject: subject.built(Shape(8), "memfd"),
    "sent": lambda subject: subject.sent_for(Shape(1), pages(0, limits.JOINED_PAGES)),
    "heap": heap,
}

MODEL = Model("vtd", "qemu-system-x86_64", ("vtd_mem_write", "vtd_accel_resume"), vtd.probe,
              shapes, vtd.arguments, vtd.place, vtd.host, set_up, fetches, WORKLOADS, EXTRAS,
              limits.vtd)
