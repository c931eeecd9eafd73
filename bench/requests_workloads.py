# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of page requests: from the host's fault queue to the guest and back."""
import os
import struct
import time
from collections import namedtuple

import limits
import vtd
from machine import QueueError, Unusable
from vtd import BASE, PAGE, WAIT_SECONDS, devfn
from vtd_workloads import fetches
from workloads import Doorbell, Model, Shape, Workload, properties_of, run

DOMAIN = 5
GROUPS = 100
PQH, PQT, PQA, PRS, PECTL = 0xC0, 0xC8, 0xD0, 0xDC, 0xE0    # VT-d 11.4.11
REQUEST = 32                    # bytes of a descriptor of the queue
QUEUE_ORDER = 3                 # it has 2^3 pages
PENDING = 1                     # PRS: there is something in it
REQUESTS_ENABLED = 1 << 4       # context entry: PRE
LAST = 2                        # iommu_hwpt_pgfault: the last one of a group
FAULT_QUEUE = "fault-"          # what fakehost's files of fault queues begin with


class Guest(vtd.Guest):
    """One that lets its devices request pages."""

    def __init__(self, machine):
        super().__init__(machine)
        self.requests = self.allocate(PAGE << QUEUE_ORDER)
        self.request_tail = self.waiting = self.request_cookie = 0

    def context_flags(self, pasids):
        return super().context_flags(pasids) | REQUESTS_ENABLED

    def enable(self):
        super().enable()
        write = self.machine.write
        write(BASE + PQH, 8, 0)
        write(BASE + PQT, 8, 0)
        write(BASE + PQA, 8, self.requests | QUEUE_ORDER)
        write(BASE + PECTL, 4, 0)

    def request(self, source_ids):
        """Each device asks for a page, in a group of its own; all wait, then are read."""
        devices = {device.name.decode(): device.dev_id
                   for device in self.machine.page.control.devices}
        data = b"".join(struct.pack(
            "<6IQ2I", LAST, devices[f"dev{source_id - devfn(0)}"], 0, group, 1, 0, group * PAGE, 0,
            self.request_cookie + group) for group, source_id in enumerate(source_ids))
        self.request_cookie += len(source_ids)
        found = [name for name in os.listdir(self.machine.events) if name.startswith(FAULT_QUEUE)]
        if len(found) != 1:
            raise QueueError(f"the vIOMMU has {len(found)} fault queues in the host")
        queue = os.open(os.path.join(self.machine.events, found[0]), os.O_WRONLY | os.O_NONBLOCK)
        try:
            if os.write(queue, data) != len(data):
                raise QueueError("the host has more requests than its queue takes")
        finally:
            os.close(queue)
        self.request_tail += len(source_ids) * REQUEST
        self.request_tail %= PAGE << QUEUE_ORDER
        deadline = time.monotonic() + WAIT_SECONDS * self.machine.patience
        while self.machine.read(BASE + PQT, 8) != self.request_tail:
            if time.monotonic() > deadline:
                raise QueueError("page requests do not reach the guest's queue")
        self.machine.write(BASE + PRS, 4, PENDING)
        self.machine.write(BASE + PQH, 8, self.request_tail)

    def check(self):
        super().check()
        control = self.machine.page.control
        if control.requests_waiting or control.answers_refused:
            raise QueueError(f"{control.requests_waiting} page requests are not answered, "
                             f"{control.answers_refused} twice")


def response(source_id, group):
    """Success, without PASID."""
    return 9 | source_id << 16, group << 3


def page_requests(shape, burst):
    """Groups of one page, of all devices in turn; the guest answers them in their order."""
    asking = [devfn(number % shape.devices) for number in range(burst)]
    return [Doorbell(lambda guest: guest.request(asking),
                     [response(source_id, group) for group, source_id in enumerate(asking)],
                     alone=True)]


WORKLOADS = [Workload("page-request-drain", "groups of one page request that wait in the host's "
                      "queue, of all devices in turn, on their way to the guest, and its responses "
                      "on their way back", (1, GROUPS), (), page_requests)]

SHAPES = [Shape(devices) for devices in (1, 8, 64)]

Drained = namedtuple("Drained", "reads writes")


def probe(binary):
    if "pri" not in properties_of(binary, "intel-iommu"):
        raise Unusable("its intel-iommu has no pri")
    return vtd.probe(binary)


def arguments(options, shape):
    *rest, iommu = vtd.arguments(options, shape)
    return [*rest, f"{iommu},pri=on"]


def host(shape):
    return vtd.host(shape, 1 << 29 | 1 << 42, " pri=1")     # PRS, PDS


def set_up(machine, shape):
    """All devices bound to one first stage, without PASID."""
    guest = Guest(machine)
    for number in range(shape.devices):
        guest.add_device(devfn(number))
        guest.set_pasid(devfn(number), DOMAIN)
    guest.enable()
    run(guest, [Doorbell(None, [vtd.context_device(devfn(number), DOMAIN),
                                vtd.pasid_cache_selective(DOMAIN, 0)])
                for number in range(shape.devices)])
    if machine.page.objects("fault") != 1:
        raise Unusable("it makes no fault queue for its devices")
    return guest


def drained(subject):
    """How 100 requests that wait reach the guest, and its responses the host."""
    shape = Shape(1)
    with subject.machine(shape) as machine:
        guest, control = subject.prepared(machine, shape), machine.page.control
        reads, writes = control.queue_reads, control.answer_writes
        run(guest, page_requests(shape, GROUPS))
        return Drained(control.queue_reads - reads, control.answer_writes - writes)


# vtd_accel_prq_read() is called by the main loop, the others by writes to registers
MODEL = Model("vtd-requests", "qemu-system-x86_64",
              ("vtd_mem_write", "vtd_accel_resume", "vtd_accel_prq_read"), probe,
              lambda options: SHAPES, arguments, vtd.place, host, set_up, fetches, WORKLOADS,
              {"drained": drained}, limits.requests)
