# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario files: one TOML file per scenario, its negative twins in tables of
the same file.  See testbed/README.md for the keys."""
import copy
import os
import re
import tomllib

from lib import devices, stock
from lib.arch import ARCHS

DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                         "scenarios")

DEFAULTS = {
    "description": "",
    "arch": "x86_64",
    "devices": ["nvme"],
    "checks": [],
    "limits": {},
    "slow": False,
    "needs": [],
    "l0": {"nesting": True, "pri": False, "keep_stale": False, "one_slot": False,
           "machine": "", "cpu": "", "uefi": False, "places": [], "cmdqv": False,
           "cd2l": True, "ats": False},
    "qut": {"machine": "", "iommu": None, "iommufd": True, "env": {}, "places": [], "nics": [],
            "trace": []},
    "l1": {"tests": [], "program": [], "names": "", "measure": False},
    "l2": {"kernel": "", "xen": "", "cmdline": "iommu.strict=1", "program": ["read", "write"],
           "net_mib": 8},
    "on": {},
    "fails": {},
    "holds": [],
}
NEEDS = ("fakehost",)
# Kernels of L2 that are variants of the testbed's, by architecture
VARIANTS = {"64k": "arm64"}
# Programs of the build's tests/qtest that can run on a real host
TESTS = ("fakehost-test", "fakehost-arguments-test", "fakehost-cmdqv-test", "fakehost-dirty-test",
         "fakehost-smmuv3-test")
# Programs of guest/ that L1 can run
PROGRAMS = ("svacheck",)


# The words of guest/l2-init: what may follow the colon (None: no colon), and the names
# at which L2 then waits for L1 ({}: what follows the colon)
NUMBER, ADDRESS = r"[1-9]\d*", r"0x[0-9a-f]+"
WORDS = {
    "read": (None, ()), "write": (None, ()), "net": (None, ()), "disks": (None, ()),
    "rebind": (None, ("rebound",)), "rescan": (None, ("removed",)),
    "replug": (f"|{NUMBER}", ("unplug", "plug")),
    "domain": (r"identity|DMA", ("{}",)), "kexec": (r"sm_on|sm_off|same", ("{}",)),
    "reboot": (NUMBER, ("reboot",)), "sync": (r"\w+", ("{}",)),
    "random": (f"{NUMBER}(:{NUMBER})?", ()), "vfio": (f"{NUMBER}(:small)?", ()),
    "dma": (ADDRESS, ()), "fault": (ADDRESS, ()), "pasid": (f"{ADDRESS}|{NUMBER}", ()),
    "ats": (f"{ADDRESS}|{NUMBER}", ()),
    "peer": (None, ()), "sva": (f"{ADDRESS}:{NUMBER}(:invalid|:swallow)?", ()), "testpmd": (None, ("testpmd",)),
    "container": (None, ()), "nvme": (None, ()), "vm": (None, ()),
    "interrupts": (None, ()), "badcommand": (None, ()),
}


class ScenarioError(Exception):
    """A scenario file that says something we do not understand."""


def made(name, known_checks, **keys):
    """Return one scenario that has no file, and is checked like those that have."""
    scenario = _merge(DEFAULTS, keys, "")
    _check(name, scenario, known_checks)
    return scenario


def _merge(base, extra, where):
    """Return base with extra's keys on top; tables merge, values replace."""
    result = copy.deepcopy(base)
    for key, value in extra.items():
        if key not in base and base is not None and where not in ("on", "fails", "env", "limits"):
            raise ScenarioError("unknown key '%s'%s" % (key, where and " in " + where))
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict):
                raise ScenarioError("'%s' has to be a table" % key)
            result[key] = _merge(base[key], value, key)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _check_program(scenario, need):
    """Each word of L2 is known, and L2 comes to each place where L1 is to act."""
    syncs = {"booted"}
    for word in scenario["l2"]["program"]:
        need(isinstance(word, str), "l2.program: %s is no word", word)
        verb, colon, argument = word.partition(":")
        need(verb in WORDS, "l2.program: unknown word '%s'", word)
        wanted, places = WORDS[verb]
        good = re.fullmatch(wanted, argument) if wanted is not None else not argument
        need(good and (argument or not colon),
             "l2.program: '%s' has to be %s", word,
             verb if wanted is None else "%s:%s" % (verb, wanted))
        need(verb not in stock.PROGRAMS
             or scenario["l2"]["kernel"] and scenario["l2"]["kernel"] not in VARIANTS,
             "l2.program: '%s' needs a kernel of Debian, l2.kernel", verb)
        need(verb != "vm" or scenario["arch"] == "arm64", "l2.program: '%s' needs arm64", verb)
        syncs.update(place.format(argument) for place in places)
    for sync in scenario["on"]:
        need(sync in syncs, "on.%s: l2.program never waits there", sync)


def _check(name, scenario, known_checks):
    def need(condition, message, *values):
        if not condition:
            raise ScenarioError(message % values)

    need(scenario["description"], "no description")
    need(scenario["arch"] in ARCHS, "unknown architecture '%s'", scenario["arch"])
    need(name.startswith(ARCHS[scenario["arch"]].prefix + "-"),
         "the name has to begin with the architecture")
    for kind in scenario["devices"]:
        need(kind in devices.KINDS, "unknown device '%s'", kind)
    for place in scenario["qut"]["places"]:
        need(place in devices.PLACES, "unknown place '%s'", place)
    for place in scenario["l0"]["places"]:
        need(place in ("port", "pxb"), "unknown place '%s'", place)
    # A device tree has one root complex, hence one SMMU of PCI
    need("pxb" not in scenario["l0"]["places"]
         or scenario["arch"] == "arm64" and scenario["l0"]["uefi"],
         "l0.places: a root complex of its own needs arm64 and l0.uefi")
    kernel = scenario["l2"]["kernel"]
    need(not kernel or stock.known(kernel, scenario["arch"])
         or VARIANTS.get(kernel) == scenario["arch"],
         "l2.kernel: neither a kernel of Debian nor a variant '%s'", kernel)
    need(not scenario["l2"]["xen"] or scenario["l2"]["kernel"],
         "l2.xen needs a kernel of Debian, l2.kernel")
    for nic in scenario["qut"]["nics"]:
        for key in nic:
            need(key in devices.NIC_DEFAULTS, "unknown key '%s' of a NIC", key)
        place = nic.get("place", "")
        need(not place or place.startswith("with:") or place in devices.PLACES,
             "unknown place '%s'", place)
    for item in scenario["needs"]:
        need(item in NEEDS, "unknown need '%s'", item)
    for test in scenario["l1"]["tests"]:
        need(test in TESTS, "l1.tests: unknown program '%s'", test)
    for word in scenario["l1"]["program"][:1]:
        need(word in PROGRAMS, "l1.program: unknown program '%s'", word)
    need(scenario["checks"] or scenario["fails"], "no check: a test that cannot fail")
    for check in scenario["checks"] + scenario["holds"] + list(scenario["fails"]):
        need(check in known_checks, "unknown check '%s'", check)
    _check_program(scenario, need)
    for sync, steps in scenario["on"].items():
        for step in steps:
            need(isinstance(step, str) and step.split(" ")[0] in ("qmp", "await", "ping"),
                 "on.%s: a step is 'qmp JSON', 'await REGEX' or 'ping NETWORK'", sync)


def load_file(path, known_checks):
    """Return {name: scenario} of a file: the scenario itself and its twins.

    A twin is named SCENARIO.TWIN; it inherits all but description, checks,
    fails and holds.  Raises ScenarioError.
    """
    name = os.path.basename(path).removesuffix(".toml")
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
        twins = data.pop("twin", {})
        main = _merge(DEFAULTS, data, "")
        result = {name: main}
        for twin, changes in twins.items():
            base = dict(main, description="", checks=[], fails={}, holds=[])
            result[name + "." + twin] = _merge(base, changes, "")
        for key, scenario in result.items():
            _check(key, scenario, known_checks)
            if key != name and not scenario["fails"]:
                raise ScenarioError("twin %s says not which check has to fail" % key)
    except (ScenarioError, tomllib.TOMLDecodeError, OSError) as error:
        raise ScenarioError("%s: %s" % (path, error)) from None
    return result


def load_all(known_checks, directory=DIRECTORY):
    """Return {name: scenario} of all files."""
    result = {}
    for file in sorted(os.listdir(directory)):
        if file.endswith(".toml"):
            result.update(load_file(os.path.join(directory, file), known_checks))
    return result
