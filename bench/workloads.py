# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest does, as data.

A unit of work is a list of doorbells; a doorbell is a change of tables (or
none) and the descriptors that are posted for it, a wait descriptor excluded.
A row of the results is the cost of one unit.
"""
from collections import namedtuple

import vtd
from machine import devfn

DOMAIN = 5
PAGES_APART = 2                 # no two pages of a burst can be joined

Doorbell = namedtuple("Doorbell", "change descriptors", defaults=(None, ()))
Workload = namedtuple("Workload", "name text bursts unit")


def pages(numbers):
    return [Doorbell(None, [vtd.piotlb_page(DOMAIN, 0, number * vtd.PAGE)
                            for number in numbers])]


def piotlb_burst(_, burst):
    return pages(range(0, burst * PAGES_APART, PAGES_APART))


def pasid_cache_selective(_, burst):
    return [Doorbell(None, [vtd.pasid_cache_selective(DOMAIN, 0)] * burst)]


def pasid_cache_global(_, burst):
    return [Doorbell(None, [vtd.pasid_cache_global()] * burst)]


def bind(number):
    return Doorbell(lambda guest: guest.set_pasid(devfn(number), DOMAIN),
                    [vtd.context_device(devfn(number), DOMAIN),
                     vtd.pasid_cache_selective(DOMAIN, 0)])


def unbind(number):
    return Doorbell(lambda guest: guest.clear_pasid(devfn(number)),
                    [vtd.pasid_cache_selective(DOMAIN, 0), vtd.piotlb_pasid(DOMAIN, 0)])


def bind_unbind(devices, _):
    """One after the other is unbound, then one after the other bound again."""
    return [step(number) for step in (unbind, bind) for number in range(devices)]


WORKLOADS = [
    Workload("piotlb-burst", "page-selective PASID-based IOTLB invalidations of one domain, "
             "to which all devices are bound; no two pages are neighbours",
             (1, 4, 16, 32, 64, 128, 256), piotlb_burst),
    Workload("pasid-cache-selective-unchanged", "PASID-selective PASID-cache invalidations "
             "that concern all devices; no entry has changed", (1, 32), pasid_cache_selective),
    Workload("pasid-cache-global-unchanged", "global PASID-cache invalidations, 20-bit PASID "
             "tables with one present directory entry; no entry has changed", (1,),
             pasid_cache_global),
    Workload("bind-unbind", "every device unbound from a shared first stage, then bound to "
             "it again, each with the descriptors that a guest needs for it", (2,),
             bind_unbind),
]


def descriptors(unit):
    return sum(len(doorbell.descriptors) for doorbell in unit)


def set_up(guest, devices):
    """All devices bound to one first stage."""
    for number in range(devices):
        guest.add_device(devfn(number))
        guest.set_pasid(devfn(number), DOMAIN)
    guest.enable()
    run(guest, [Doorbell(None, bind(number).descriptors) for number in range(devices)])


def run(guest, unit):
    for doorbell in unit:
        if doorbell.change:
            doorbell.change(guest)
        guest.post_with_wait(doorbell.descriptors)
        guest.ring()
        guest.check()
