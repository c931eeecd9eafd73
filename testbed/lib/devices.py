# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of a run: what L0 emulates and passes through, where the QEMU
under test puts it, and the emulated NICs beside it."""
from lib.arch import smmu_of_bus

# Where the root ports are on pcie.0; guest/l1-lib.sh looks for them there.
FIRST_PORT = 0x10
FIRST_NIC_PORT = 0x18
FIRST_PXB_BUS = 0x40
# Emulated NICs are numbered from here, passed-through ones like their devices:
# a NIC's number is in its MAC and in its network, 10.0.NUMBER.0/24.
FIRST_EMULATED_NIC = 64
# Places of a device in L2's machine, and the ids of the bridges on the way, as
# L2 reads them from sysfs.
PLACES = {
    "port": ["1b36:000c"],
    "switch": ["1b36:000c", "104c:8232", "104c:8233"],
    "bridge": ["1b36:000c", "1b36:000e"],
    # A root complex of its own, on arm64 with an SMMU of its own
    "pxb": ["1b36:000c"],
}
NIC_DEFAULTS = {"vhost": False, "place": "", "properties": "iommu_platform=on,disable-legacy=on",
                "model": "virtio-net-pci"}


def mac(number, level):
    """The MAC address of a NIC's end at that level."""
    return "52:54:00:00:%02x:%02x" % (level, number)


def place_of(scenario, index, level="qut"):
    """Where the device of that index is in L2's machine, or in L0's ("l0")."""
    places = scenario[level]["places"]
    return places[index] if index < len(places) else "port"


def _pxb(index):
    """The arguments that make the root complex of that device."""
    return ["-device", "pxb-pcie,id=pxb%d,bus=pcie.0,bus_nr=0x%x" % (
        index, FIRST_PXB_BUS + 0x10 * index)]


def emulated_nics(scenario):
    """Return [(number, nic)] with every key of NIC_DEFAULTS filled in."""
    return [(FIRST_EMULATED_NIC + i, {**NIC_DEFAULTS, **nic})
            for i, nic in enumerate(scenario["qut"]["nics"])]


def passed_nics(scenario):
    """Return the numbers of the passed-through NICs."""
    return [i for i, kind in enumerate(scenario["devices"]) if kind == "e1000e"]


def nics(scenario):
    """Return the numbers of all NICs that L2 gets."""
    return passed_nics(scenario) + [number for number, _ in emulated_nics(scenario)]


def l1_networks(scenario):
    """Return L1's ends as NUMBER:MAC words; taps name themselves instead."""
    return " ".join("%d:%s" % (n, mac(n, 1)) for n in passed_nics(scenario))


def l0_devices(scenario, files):
    """Return L0's arguments: each endpoint behind a root port of its own, on
    pcie.0 or on another root complex, which has an SMMU of its own."""
    command = []
    for index, kind in enumerate(scenario["devices"]):
        # Functions of one slot, without ACS, are one IOMMU group
        place = ("rp0,addr=0x0.%x,multifunction=on" if scenario["l0"]["one_slot"]
                 else "rp%d") % index
        bus = "pcie.0"
        if place_of(scenario, index, "l0") == "pxb":
            bus = "pxb%d" % index
            command += _pxb(index) + [
                "-device", "arm-smmuv3,primary-bus=%s,id=smmuv3.%d" % (bus, index)]
        command += ["-device", "pcie-root-port,id=rp%d,bus=%s,addr=0x%x,chassis=%d"
                    % (index, bus, FIRST_PORT + index, index + 1)]
        command += _L0_ENDPOINTS[kind](index, place, files)
        if kind == "pasid" and (scenario["l0"]["pri"] or scenario["l0"]["ats"]):
            command[-1] += ",pri=on" if scenario["l0"]["pri"] else ",ats=on"
            if scenario["l0"]["keep_stale"]:
                command[-1] += ",keep-stale=on"
    return command


def _l0_nvme(index, place, files):
    return ["-drive", "if=none,id=disk%d,format=raw,file=%s" % (index, files["disks"][index]),
            "-device", "nvme,bus=%s,drive=disk%d,serial=disk%d" % (place, index, index)]


def _l0_e1000e(index, place, _files):
    # A hub joins it with a NIC that L1 keeps
    return ["-netdev", "hubport,id=l1net%d,hubid=%d" % (index, index),
            "-netdev", "hubport,id=l2net%d,hubid=%d" % (index, index),
            "-device", "virtio-net-pci,netdev=l1net%d,mac=%s,romfile=" % (index, mac(index, 1)),
            "-device", "e1000e,bus=%s,netdev=l2net%d,mac=%s,romfile=" % (
                place, index, mac(index, 2))]


def _l0_edu(_index, place, _files):
    return ["-device", "edu,bus=%s,dma_mask=0xffffffffffff" % place]


def _l0_pasid(_index, place, _files):
    return ["-device", "pasid-testdev,bus=" + place]


_L0_ENDPOINTS = {"nvme": _l0_nvme, "e1000e": _l0_e1000e, "edu": _l0_edu, "pasid": _l0_pasid}
KINDS = tuple(_L0_ENDPOINTS)


def qut_devices(scenario):
    """Return the arguments of the QEMU under test that have to do with devices."""
    command = []
    for index, _ in enumerate(scenario["devices"]):
        bridges, bus = _qut_place(place_of(scenario, index), index)
        if place_of(scenario, index) == "pxb":
            command += _pxb(index) + smmu_of_bus(scenario, "pxb%d" % index, index)
        command += bridges + [
            "-device", "vfio-pci,id=dev%d,host=@host%d@,bus=%s%s" % (
                index, index, bus, ",iommufd=iommufd0" if scenario["qut"]["iommufd"] else "")]
    for number, nic in emulated_nics(scenario):
        bridges, bus = [], "pcie.0"
        if nic["place"].startswith("with:"):
            neighbour = int(nic["place"].partition(":")[2])
            bus = _qut_place(place_of(scenario, neighbour), neighbour)[1].split(",")[0]
            bus += ",addr=0x%x" % (number - FIRST_EMULATED_NIC + 1)
        elif nic["place"]:
            bridges, bus = _qut_place(nic["place"], number)
        command += bridges + [
            "-netdev", "tap,id=net%d,ifname=tap%d,script=/tap-up,downscript=no,vhost=%s"
            % (number, number, "on" if nic["vhost"] else "off"),
            "-device", "%s,id=nic%d,netdev=net%d,mac=%s,bus=%s,romfile=,%s" % (
                nic["model"], number, number, mac(number, 2), bus, nic["properties"])]
    return command


def _qut_place(place, index):
    """Return (arguments that make the bridges, the bus behind them)."""
    slot = FIRST_PORT + index
    if index >= FIRST_EMULATED_NIC:
        slot = FIRST_NIC_PORT + index - FIRST_EMULATED_NIC
    port = ["-device", "pcie-root-port,id=rp%d,addr=0x%x,chassis=%d" % (index, slot, index + 1)]
    if place == "pxb":
        return port[:1] + ["%s,bus=pxb%d" % (port[1], index)], "rp%d" % index
    if place == "switch":
        return port + [
            "-device", "x3130-upstream,id=up%d,bus=rp%d" % (index, index),
            "-device", "xio3130-downstream,id=down%d,bus=up%d,chassis=%d"
            % (index, index, 100 + index)], "down%d" % index
    if place == "bridge":
        # In slot 0, whose requester id all devices of such a bus borrow: Linux in
        # scalable mode makes a context entry for it only if a device is there
        return port + ["-device", "pcie-pci-bridge,id=br%d,bus=rp%d" % (index, index)], \
            "br%d,addr=0x0" % index
    return port, "rp%d" % index
