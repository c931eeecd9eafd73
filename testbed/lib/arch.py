# SPDX-License-Identifier: GPL-2.0-or-later
"""What is particular to an architecture: its machines, what is traced and
probed there, and which binaries a run takes.  Everything else of the testbed
is the same for all."""
from types import SimpleNamespace

# What L1's iommufd itself is asked for, under any IOMMU driver.
_COMMON_PROBES = [
    "hwpt_alloc iommufd_hwpt_alloc",
    "hwpt_paging_free iommufd_hwpt_paging_destroy",
    "hwpt_nested_free iommufd_hwpt_nested_destroy",
    "ioas_alloc iommufd_ioas_alloc_ioctl",
    "ioas_free iommufd_ioas_destroy",
    "ioas_map iommufd_ioas_map",
    "ioas_copy iommufd_ioas_copy",
    "vhost_translation vhost_iotlb_add_range_ctx",
    "vhost_buffers vhost_add_used_n",
]
# What is also counted where a run measures
MEASURE_PROBES = [
    "ioas_unmap iommufd_ioas_unmap",
    "iommufd_calls iommufd_fops_ioctl",
    "kvm_run kvm_arch_vcpu_ioctl_run",
    "mmio_write kvm_io_bus_write bus=$arg2:u32 address=$arg3:x64",
    "mmio_read kvm_io_bus_read bus=$arg2:u32 address=$arg3:x64",
]


def _iommu(scenario, default):
    """The properties of the vIOMMU; "" is a machine without one."""
    wanted = scenario["qut"]["iommu"]
    return default if wanted is None else wanted


def _x86_l0(scenario):
    iommu = "intel-iommu,intremap=on,x-scalable-mode=on"
    if scenario["l0"]["nesting"]:
        iommu += ",x-flts=on,x-nested=on"
    if "pasid" in scenario["devices"]:
        iommu += ",pasid-bits=20"
    if scenario["l0"]["pri"]:
        iommu += ",device-iotlb=on,x-pri=on"
    # With ERMS Linux clears and copies pages by string instructions on bytes, of
    # which TCG does one at a time; without, on words of eight.
    return ["-M", "q35,kernel-irqchip=split", "-cpu", "max,-la57,-erms,-fsrm", "-m", "1024M",
            "-device", iommu]


def _x86_qut(scenario):
    iommu = _iommu(scenario, "x-scalable-mode=on,x-flts=on")
    return ["-M", "q35,accel=kvm,kernel-irqchip=split", "-cpu", "host,-tsc-deadline",
            "-m", "512M" if scenario["l2"]["xen"] else "256M",
            *(["-device", "intel-iommu," + iommu] if iommu else [])]


def _arm_l0(scenario):
    # The machine's own SMMU, or one for each root complex, which can have a CMDQV
    own = ("" if "pxb" in scenario["l0"]["places"] or scenario["l0"]["cmdqv"]
           else ",iommu=smmuv3")
    command = ["-M", (scenario["l0"]["machine"] or "virt")
               + ",virtualization=on,gic-version=3" + own,
               "-cpu", scenario["l0"]["cpu"] or "neoverse-n1", "-m", "1536M"]
    if not own:
        command += ["-device", "arm-smmuv3,primary-bus=pcie.0,id=smmuv3.0"]
    if scenario["l0"]["cmdqv"]:
        command += ["-global", "arm-smmuv3.x-cmdqv=on", "-trace", "tegra241_cmdqv_command"]
    if scenario["l0"]["nesting"]:
        # Linux hands out no stage 1 unless stage 2 can force write-back
        command += ["-global", "arm-smmuv3.x-fwb=on"]
    if "pasid" in scenario["devices"]:
        command += ["-global", "arm-smmuv3.x-ssidsize=20"]
        if scenario["l0"]["cd2l"]:
            command += ["-global", "arm-smmuv3.x-cd2l=on"]
    if scenario["l0"]["ats"]:
        command += ["-global", "arm-smmuv3.x-ats=on"]
    if scenario["l0"]["uefi"]:
        # ACPI instead of a device tree.  UEFI has a seed for the kernel's random
        # pool only if it finds this device; L1 would wait for its pool else.
        command += ["-bios", "QEMU_EFI.fd", "-device", "virtio-rng-pci"]
    return command


def _arm_l2_mib(wanted):
    """A VM in it has memory of its own; with pages of 64 KiB all takes more."""
    return 768 if "vm" in wanted["program"] or wanted["kernel"] == "64k" else 256


def _arm_qut(scenario):
    more = scenario["qut"]["machine"]
    command = ["-M", "virt,accel=kvm,gic-version=3" + ("," + more if more else ""),
               "-cpu", "host", "-m", "%dM" % _arm_l2_mib(scenario["l2"]),
               # ACPI, because the RMR node for MSIs has no device-tree form
               "-bios", "/firmware/QEMU_EFI.fd", "-device", "virtio-rng-device"]
    return command + smmu_of_bus(scenario, "pcie.0", 0)


def smmu_of_bus(scenario, bus, number):
    """Arguments of the QEMU under test: the SMMUv3 of a root complex, if any."""
    iommu = _iommu(scenario, "accel=on") if scenario["arch"] == "arm64" else ""
    return ["-device", "arm-smmuv3,primary-bus=%s,id=smmuv3.%d,%s" % (
        bus, number, iommu)] if iommu else []


ARCHS = {
    "x86_64": SimpleNamespace(
        prefix="x86", binary="qemu-system-x86_64", triplet="x86_64-linux-gnu",
        l0_machine=_x86_l0, qut_machine=_x86_qut,
        l1_cmdline="console=ttyS0 intel_iommu=on,sm_on no_timer_check tsc=nowatchdog",
        l1_console="console=ttyS0 no_timer_check tsc=nowatchdog nowatchdog",
        l2_cmdline="intel_iommu=on",
        # Not a serial port: each byte would be an exit through KVM on emulated
        # SVM into QEMU, which together take longer than all the rest of a boot.
        # And notified through I/O ports, so that an L0 without the series' fix of
        # TCG's SVM will do: L1's KVM would else give up after an unplug.
        l2_serial="virtio-serial-pci,modern-pio-notify=on",
        # $arg4 of the allocation is struct iommu_user_data: {type, pointer,
        # length}, which points to struct iommu_hwpt_vtd_s1: {flags, table
        # address, width}.
        probes=[
            "nested_alloc intel_iommu_domain_alloc_nested flags=+u0(+8($arg4)):x64"
            " pgtbl=+u8(+8($arg4)):x64 width=+u16(+8($arg4)):u32",
            "nested_free intel_nested_domain_free",
            "nested_attach intel_nested_attach_dev",
            "nested_attach_pasid intel_nested_set_dev_pasid",
            "page_request iommu_report_device_fault",
            "page_response intel_iommu_page_response",
            "nested_invalidate intel_nested_cache_invalidate_user entries=+24($arg2):u32",
        ] + _COMMON_PROBES,
        l0_trace=["vtd_nested_translate", "vtd_nested_fault", "vtd_iotlb_page_update",
                  "vtd_ir_irte_get", "vtd_dmar_fault", "vtd_prq_post", "vtd_prq_response"],
        qut_trace=["iommufd_*", "vtd_accel_*"],
        # What a q35 machine without display and network loads
        firmware=["bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "multiboot_dma.bin"],
    ),
    "arm64": SimpleNamespace(
        prefix="arm", binary="qemu-system-aarch64", triplet="aarch64-linux-gnu",
        l0_machine=_arm_l0, qut_machine=_arm_qut,
        l1_cmdline="console=ttyAMA0",
        l1_console="console=ttyAMA0 nowatchdog",
        l2_cmdline="",
        # No emulated PCI endpoint may sit behind an accelerated SMMUv3
        l2_serial="virtio-serial-device",
        # $arg3 of the allocation is struct iommu_user_data: {type, pointer,
        # length}, which points to the guest's first two words of the STE.
        probes=[
            "vsmmu_init arm_vsmmu_init",
            "viommu_alloc iommufd_viommu_alloc_ioctl",
            "viommu_free iommufd_viommu_destroy",
            "veventq_alloc iommufd_veventq_alloc",
            "veventq_free iommufd_veventq_destroy",
            "nested_alloc arm_vsmmu_alloc_domain_nested ste0=+u0(+8($arg3)):x64"
            " ste1=+u8(+8($arg3)):x64",
            "nested_free arm_smmu_domain_nested_free",
            "nested_attach arm_smmu_attach_dev_nested",
            "nested_invalidate arm_vsmmu_cache_invalidate entries=+24($arg2):u32",
            "nested_event arm_vmaster_report_event",
        ] + _COMMON_PROBES,
        l0_trace=["smmuv3_translate_success", "smmuv3_translate_substream",
                  "smmuv3_record_event", "smmuv3_ats_translate", "smmuv3_cmdq_atc_inv",
                  "smmuv3_decode_cd_tt"],
        qut_trace=["iommufd_*", "smmuv3_accel_*"],
        firmware=["QEMU_EFI.fd"],
    ),
}
