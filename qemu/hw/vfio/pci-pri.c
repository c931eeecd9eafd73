/*
 * VFIO PCI: ATS and PRI as a guest enables them
 *
 * The kernel shows both capabilities with what it has set itself, and takes no
 * writes.  Where the vIOMMU brings page requests to the guest, the guest has
 * enable bits of its own; what it does not enable it does not get, because its
 * IOMMU tables say so, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/range.h"
#include "hw/pci/pci_bus.h"
#include "pci.h"

#define PCI_ATS_CTRL_WRITABLE   (PCI_ATS_CTRL_ENABLE | PCI_ATS_CTRL_STU(0x1f))

static void vfio_pci_pri_update(VFIOPCIDevice *vdev)
{
    uint8_t *pri = vdev->pdev.config + vdev->pri_cap;
    bool on = pci_get_word(pri + PCI_PRI_CTRL) & PCI_PRI_CTRL_ENABLE;

    /* A reset, which is for a device that is off, is done at once */
    pci_word_test_and_clear_mask(pri + PCI_PRI_CTRL, PCI_PRI_CTRL_RESET);
    if (on) {
        pci_word_test_and_clear_mask(pri + PCI_PRI_STATUS,
                                     PCI_PRI_STATUS_STOPPED);
    } else {
        pci_word_test_and_set_mask(pri + PCI_PRI_STATUS,
                                   PCI_PRI_STATUS_STOPPED);
    }
}

void vfio_pci_reset_pri(VFIOPCIDevice *vdev)
{
    uint8_t *config = vdev->pdev.config;

    if (!vdev->pri_cap) {
        return;
    }
    pci_set_word(config + vdev->ats_cap + PCI_ATS_CTRL, 0);
    pci_set_word(config + vdev->pri_cap + PCI_PRI_CTRL, 0);
    pci_set_word(config + vdev->pri_cap + PCI_PRI_STATUS,
                 pci_get_word(config + vdev->pri_cap + PCI_PRI_STATUS) &
                 PCI_PRI_STATUS_PASID);
    pci_set_long(config + vdev->pri_cap + PCI_PRI_ALLOC_REQ, 0);
    vfio_pci_pri_update(vdev);
}

void vfio_pci_add_pri(VFIOPCIDevice *vdev)
{
    PCIDevice *pdev = &vdev->pdev;

    if (!(pci_device_get_viommu_flags(pdev) & VIOMMU_FLAG_PAGE_REQUESTS)) {
        return;
    }
    vdev->ats_cap = pcie_find_capability(pdev, PCI_EXT_CAP_ID_ATS);
    vdev->pri_cap = pcie_find_capability(pdev, PCI_EXT_CAP_ID_PRI);
    if (!vdev->ats_cap || !vdev->pri_cap) {
        vdev->pri_cap = 0;
        return;
    }
    pci_set_word(pdev->wmask + vdev->ats_cap + PCI_ATS_CTRL,
                 PCI_ATS_CTRL_WRITABLE);
    pci_set_word(pdev->wmask + vdev->pri_cap + PCI_PRI_CTRL,
                 PCI_PRI_CTRL_ENABLE | PCI_PRI_CTRL_RESET);
    pci_set_long(pdev->wmask + vdev->pri_cap + PCI_PRI_ALLOC_REQ, UINT32_MAX);
    memset(vdev->emulated_config_bits + vdev->ats_cap + PCI_ATS_CTRL, 0xff, 2);
    memset(vdev->emulated_config_bits + vdev->pri_cap + PCI_PRI_CTRL, 0xff, 4);
    memset(vdev->emulated_config_bits + vdev->pri_cap + PCI_PRI_ALLOC_REQ,
           0xff, 4);
    /* A guest that has enabled them may come from elsewhere */
    pci_word_test_and_clear_mask(pdev->cmask + vdev->pri_cap + PCI_PRI_STATUS,
                                 PCI_PRI_STATUS_STOPPED);
    vfio_pci_reset_pri(vdev);
}

bool vfio_pci_write_pri(VFIOPCIDevice *vdev, uint32_t addr, uint32_t val,
                        int len)
{
    if (!vdev->pri_cap ||
        !(ranges_overlap(addr, len, vdev->ats_cap, PCI_EXT_CAP_ATS_SIZEOF) ||
          ranges_overlap(addr, len, vdev->pri_cap, PCI_EXT_CAP_PRI_SIZEOF))) {
        return false;
    }
    pci_default_write_config(&vdev->pdev, addr, val, len);
    vfio_pci_pri_update(vdev);
    return true;
}
