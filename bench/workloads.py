# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest does, as data; the same for all vIOMMUs.

A unit of work is a list of doorbells; a doorbell is a change of tables (or
none) and the descriptors that are posted for it, a wait descriptor excluded.
One that is alone cannot be rung once for several units.  A row of the results
is the cost of one unit.

A model is a vIOMMU with its workloads; its guest has post_with_wait(), ring(),
complete() and check().
"""
import re
import subprocess
from collections import namedtuple

from machine import Unusable

# What the host and the guest have of devices, and of PASIDs bound to each;
# requests without PASID count as one
Shape = namedtuple("Shape", "devices pasids", defaults=(1,))

Doorbell = namedtuple("Doorbell", "change descriptors alone", defaults=(None, (), False))
# unit(shape, burst) makes a unit; with more than one PASID there are rows for
# some_bursts only
Workload = namedtuple("Workload", "name text bursts some_bursts unit")

Model = namedtuple("Model", (
    "name",         # as it is in the results
    "binary",       # which QEMU has it
    "work",         # functions of QEMU in which all of the work is done
    "probe",        # (binary) -> options, or Unusable
    "shapes",       # (options) -> [Shape]
    "arguments",    # (options, shape) -> QEMU's arguments, the vIOMMU among them
    "place",        # (number) -> properties that say where a device is
    "host",         # (shape) -> the host for fakehost
    "guest",        # (machine, shape) -> a guest that has bound all of the shape
    "fetches",      # (guest, number) -> a unit that reads guest memory so often
    "workloads",
    "extras",       # {name: (subject) -> what rows do not show}
    "limits"))      # (rows, **extras) -> [Limit]


def descriptors(unit):
    return sum(len(doorbell.descriptors) for doorbell in unit)


def units(model, shape):
    """The units of one shape: (workload, burst, descriptors), doorbells."""
    for workload in model.workloads:
        for burst in workload.some_bursts if shape.pasids > 1 else workload.bursts:
            unit = workload.unit(shape, burst)
            yield (workload.name, burst, descriptors(unit)), unit


def run(guest, unit):
    for doorbell in unit:
        if doorbell.change:
            doorbell.change(guest)
        guest.post_with_wait(doorbell.descriptors)
        guest.ring()
        guest.check()


def properties_of(binary, device):
    """Names of the properties that a QEMU's device has."""
    try:
        done = subprocess.run([binary, "-device", f"{device},help"], check=False,
                              capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(f"cannot run it: {error}") from error
    return set(re.findall(r"^\s+([\w-]+)=<", done.stdout, re.M))
