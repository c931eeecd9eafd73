# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines: L0 (the emulated machine), the QEMU under test in L1, and
the small archive that carries a scenario into L1."""
from lib import cpio, devices, disks
from lib.arch import ARCHS, MEASURE_PROBES

PORTS = ("l2", "l2boot", "report", "qut", "calls")
# What the emulated IOMMU of the QEMU under test walks by itself
QUT_WALKS = "vtd_iotlb_page_update"
# What L2 waits for at least, before it takes something for hung
HANG_SECONDS = 120


def l0_command(scenario, tools, files, interactive=False):
    """Return L0's argument vector.  tools: l0, firmware, l1_kernel, l1_package; files: initrd,
    trace, l1_log, disk images by index and a path per port."""
    arch = ARCHS[scenario["arch"]]
    # A kernel that is a package has to nest without being told
    told = arch.l1_console if tools["l1_package"] else arch.l1_cmdline
    command = [
        tools["l0"], "-L", tools["firmware"], "-nodefaults", "-no-user-config",
        "-display", "none", "-no-reboot", "-msg", "timestamp=on",
        "-accel", "tcg,thread=multi", "-smp", "2", *arch.l0_machine(scenario),
        "-kernel", tools["l1_kernel"], "-initrd", files["initrd"],
        "-append", told + " panic=-1",
        "-serial", "mon:stdio" if interactive else "file:" + files["l1_log"],
        "-device", "virtio-serial-pci,max_ports=8", "-D", files["trace"],
    ]
    for port in PORTS:
        command += ["-chardev", "file,id=%s,path=%s" % (port, files[port]),
                    "-device", "virtserialport,chardev=%s,name=%s" % (port, port)]
    command += devices.l0_devices(scenario, files)
    for event in arch.l0_trace:
        command += ["-trace", event]
    return command


def l2_cmdline(scenario, tag):
    """Return L2's kernel command line."""
    # A twin may have to fail by a time-out; elsewhere they are for what hangs
    short = scenario["fails"] and "l2_finished" not in scenario["holds"]
    patience, nvme = (0, 10) if short else (HANG_SECONDS, 60)
    # A kernel of Debian is given no more than its scenario says
    arch = "" if scenario["l2"]["kernel"] else ARCHS[scenario["arch"]].l2_cmdline
    return " ".join([
        "console=hvc0 loglevel=1 panic=-1 nvme_core.io_timeout=%d" % nvme,
        "nvme_core.admin_timeout=%d" % nvme, "viommu.patience=%d" % patience,
        arch, scenario["l2"]["cmdline"],
        "viommu.program=" + ",".join(scenario["l2"]["program"]), "viommu.tag=" + tag,
        "viommu.data=%d" % disks.DATA_BLOCKS, "viommu.slot=%d" % disks.SLOT_BLOCKS,
        "viommu.disks=%d" % scenario["devices"].count("nvme"),
        "viommu.nics=%d" % len(devices.nics(scenario))]
        + ["viommu.%s=@%s-bytes@" % (name, name) for name in _kexec_files(scenario)])


def l2_images(scenario, tag):
    """Return the arguments that say what L2 boots."""
    cmdline = l2_cmdline(scenario, tag)
    if not scenario["l2"]["xen"]:
        return ["-kernel", "/l2/kernel", "-initrd", "/l2/initrd", "-append", cmdline]
    # The modules of a multiboot kernel are separated by commas
    return ["-kernel", "/l2/xen", "-append", scenario["l2"]["xen"], "-initrd",
            "/l2/kernel %s,/l2/initrd" % cmdline.replace(",", ",,")]


def _kexec_files(scenario):
    """What L2 needs a copy of if it starts a kernel by itself."""
    wanted = any(word.startswith("kexec:") for word in scenario["l2"]["program"])
    return ("kernel", "initrd") if wanted else ()


def qut_command(scenario, tag):
    """Return the argument vector of the QEMU under test, as L1 runs it, or of
    what it runs instead."""
    if scenario["l1"]["tests"]:
        return ["sh", "-c", "status=0; for test in %s; do /bin/$test || status=1; done; exit $status"
                % " ".join(scenario["l1"]["tests"])]
    if scenario["l1"]["program"]:
        return ["/bin/" + scenario["l1"]["program"][0], *scenario["l1"]["program"][1:]]
    qut, arch = scenario["qut"], ARCHS[scenario["arch"]]
    command = [
        "/bin/qemu", "-L", "/firmware", "-nodefaults", "-no-user-config", "-nographic",
        *arch.qut_machine(scenario)]
    if qut["iommufd"]:
        command += ["-object", "iommufd,id=iommufd0"]
    command += devices.qut_devices(scenario)
    command += [
        "-device", arch.l2_serial,
        "-chardev", "file,id=console,path=/run/port-l2", "-device", "virtconsole,chardev=console",
        "-chardev", "file,id=boot,path=/run/port-l2boot",
        "-device", "virtserialport,chardev=boot,name=boot",
        "-chardev", "pipe,id=report,path=/run/l2",
        "-device", "virtserialport,chardev=report,name=report",
        "-chardev", "pipe,id=qmp,path=/run/qmp", "-mon", "chardev=qmp,mode=control",
        *l2_images(scenario, tag)]
    for name in _kexec_files(scenario):
        command += ["-chardev", "pipe,id=%s,path=/run/%s" % (name, name),
                    "-device", "virtserialport,chardev=%s,name=%s" % (name, name)]
    traced = [] if scenario["l1"]["measure"] else arch.qut_trace
    for pattern in traced + qut["trace"] + ([QUT_WALKS] if qut["nics"] else []):
        command += ["-trace", pattern]
    return command


def scenario_archive(scenario, tag, interactive=False):
    """Return the archive that L1 finds as /scenario."""
    env = dict(scenario["qut"]["env"])
    if scenario["l1"]["tests"]:
        env["DIRECT_DEVICES"] = scenario["l1"]["names"]
    if "fakehost" in scenario["needs"]:
        env = {"LD_PRELOAD": "/lib/libfakehost.so", "FAKEHOST_MODE": "real",
               "FAKEHOST_LOG": "/run/calls", **env}
    settings = {"INTERACTIVE": int(interactive), "MEASURE": int(scenario["l1"]["measure"]),
                "NETWORKS": devices.l1_networks(scenario),
                "NET_MIB": scenario["l2"]["net_mib"] if devices.nics(scenario) else 0,
                "CHECK_HOST": int("host_check" in scenario["checks"] + scenario["holds"]
                                  + list(scenario["fails"])),
                "QUT_ENV": " ".join("%s=%s" % item for item in sorted(env.items())),
                "CALLS": env.get("FAKEHOST_LOG", "")}
    arc = cpio.Archive()
    arc.directory("scenario")
    arc.data("scenario/settings", "".join(
        "%s='%s'\n" % item for item in settings.items()).encode())
    arc.data("scenario/probes", "".join(
        line + "\n" for line in ARCHS[scenario["arch"]].probes
        + (MEASURE_PROBES if scenario["l1"]["measure"] else [])).encode())
    arc.data("scenario/qut.args", "".join(
        argument + "\n" for argument in qut_command(scenario, tag)).encode())
    for sync, steps in sorted(scenario["on"].items()):
        arc.data("scenario/on-" + sync, "".join(step + "\n" for step in steps).encode())
    return arc.finish()
