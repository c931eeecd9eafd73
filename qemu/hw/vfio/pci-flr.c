/*
 * VFIO PCI: a guest that resets a function by its registers (FLR)
 *
 * The kernel carries it out.  QEMU has to know, because of what it shows to the
 * guest instead of the device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/range.h"
#include "pci.h"

/* Does a write set the bit @flag of the byte at @reg? */
static bool vfio_pci_sets_flag(uint32_t addr, uint32_t val, int len,
                               uint32_t reg, uint8_t flag)
{
    return range_covers_byte(addr, len, reg) &&
           val >> (reg - addr) * BITS_PER_BYTE & flag;
}

bool vfio_pci_resets_function(VFIOPCIDevice *vdev, uint32_t addr, uint32_t val,
                              int len)
{
    PCIDevice *pdev = &vdev->pdev;
    uint32_t devctl = pdev->exp.exp_cap + PCI_EXP_DEVCTL;
    uint8_t af;

    if (!vdev->has_flr) {
        return false;
    }
    af = pci_find_capability(pdev, PCI_CAP_ID_AF);
    return (pdev->exp.exp_cap &&
            vfio_pci_sets_flag(addr, val, len, devctl + 1,
                               PCI_EXP_DEVCTL_BCR_FLR >> BITS_PER_BYTE)) ||
           (af && vfio_pci_sets_flag(addr, val, len, af + PCI_AF_CTRL,
                                     PCI_AF_CTRL_FLR));
}
