/*
 * VFIO PCI: the PASID capability that a guest sees
 *
 * The kernel hides the device's own, because PASIDs are of use only to who can
 * attach them to HWPTs: here the vIOMMU, which says how wide they may be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/range.h"
#include "hw/pci/pci_bus.h"
#include "pci.h"
#include "system/iommufd.h"
#include "system/iommufd-compat.h"

/*
 * The end of config space is the place for a capability of our own: they are
 * laid out from the start, and few tell how long they are.  Of the others,
 * take the longest that has a fixed length.
 */
static uint16_t vfio_pci_pasid_cap_offset(VFIOPCIDevice *vdev)
{
    PCIDevice *pdev = &vdev->pdev;
    uint16_t offset = PCIE_CONFIG_SPACE_SIZE - PCI_EXT_CAP_PASID_SIZEOF;
    uint16_t next = PCI_CONFIG_SPACE_SIZE;
    uint32_t header = pci_get_long(pdev->config + next);

    if (!header) {
        return next;    /* There is no list, start it */
    }
    if (pci_get_quad(pdev->config + offset)) {
        return 0;
    }
    for (; next; next = PCI_EXT_CAP_NEXT(header)) {
        uint32_t len = PCI_ERR_SIZEOF;

        header = pci_get_long(pdev->config + next);
        if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_VNDR ||
            PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_DVSEC) {
            len = pci_get_long(pdev->config + next + PCI_VNDR_HEADER) >> 20;
        }
        if (next + len > offset) {
            return 0;
        }
    }
    return offset;
}

void vfio_pci_add_pasid_cap(VFIOPCIDevice *vdev)
{
    PCIDevice *pdev = &vdev->pdev;
    HostIOMMUDevice *hiod = vdev->vbasedev.hiod;
    uint8_t bits = pci_device_get_viommu_pasid_bits(pdev);
    uint16_t offset, cap;

    if (!bits || !hiod || !hiod->caps.max_pasid_log2 ||
        !pci_is_express(pdev) || !pci_bus_is_express(pci_get_bus(pdev)) ||
        vdev->config_size < PCIE_CONFIG_SPACE_SIZE ||
        pcie_find_capability(pdev, PCI_EXT_CAP_ID_PASID)) {
        return;
    }

    offset = vfio_pci_pasid_cap_offset(vdev);
    if (!offset) {
        warn_report(VFIO_MSG_PREFIX "its config space has no room for a PASID "
                    "capability, the guest cannot use PASIDs with it",
                    vdev->vbasedev.name);
        return;
    }
    pcie_add_capability(pdev, PCI_EXT_CAP_ID_PASID, 1, offset,
                        PCI_EXT_CAP_PASID_SIZEOF);

    cap = MIN(bits, hiod->caps.max_pasid_log2) << 8;
    if (hiod->caps.hw_caps & IOMMU_HW_CAP_PCI_PASID_EXEC) {
        cap |= PCI_PASID_CAP_EXEC;
    }
    if (hiod->caps.hw_caps & IOMMU_HW_CAP_PCI_PASID_PRIV) {
        cap |= PCI_PASID_CAP_PRIV;
    }
    pci_set_word(pdev->config + offset + PCI_PASID_CAP, cap);
    pci_set_word(pdev->config + offset + PCI_PASID_CTRL, 0);
    /* EXEC and PRIV have the same place in both registers */
    pci_set_word(pdev->wmask + offset + PCI_PASID_CTRL, PCI_PASID_CTRL_ENABLE |
                 (cap & (PCI_PASID_CTRL_EXEC | PCI_PASID_CTRL_PRIV)));
    memset(vdev->emulated_config_bits + offset, 0xff, PCI_EXT_CAP_PASID_SIZEOF);
    vdev->pasid_cap = offset;
}

bool vfio_pci_is_pasid_cap(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
    return vdev->pasid_cap && ranges_overlap(addr, len, vdev->pasid_cap,
                                             PCI_EXT_CAP_PASID_SIZEOF);
}

void vfio_pci_reset_pasid_cap(VFIOPCIDevice *vdev)
{
    if (vdev->pasid_cap) {
        pci_set_word(vdev->pdev.config + vdev->pasid_cap + PCI_PASID_CTRL, 0);
    }
}
