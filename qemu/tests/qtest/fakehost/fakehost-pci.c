/*
 * Fakehost: the config space of a host device: a PCIe endpoint with power
 * management, MSI-X, one 64-bit BAR or several smaller ones, and no INTx.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include "fakehost-model.h"

#define FH_PM_CAP       0x40
#define FH_MSIX_CAP     0x50
#define FH_EXP_CAP      0x70
#define FH_MSIX_ENTRY   16ull
#define FH_ATS_CAP      0x180
#define FH_VSEC_CAP     0xfc0

static void fh_put(uint8_t *space, unsigned offset, uint64_t value,
                   unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        space[offset + i] = value >> (8 * i);
    }
}

static void fh_pci_init_bars(FhVfioDev *dev)
{
    if (!dev->bar0_size) {
        return;
    }
    if (dev->bars > 1) {
        for (unsigned i = 0; i < dev->bars; i++) {
            fh_put(dev->wmask, PCI_BASE_ADDRESS_0 + 4 * i,
                   ~(dev->bar0_size - 1), 4);
        }
        return;
    }
    fh_put(dev->config, PCI_BASE_ADDRESS_0,
           PCI_BASE_ADDRESS_MEM_TYPE_64, 4);
    fh_put(dev->wmask, PCI_BASE_ADDRESS_0, ~(dev->bar0_size - 1), 8);
}

/* Table and PBA share the last part of the BAR, each on its own page */
static void fh_pci_init_msix(FhVfioDev *dev)
{
    uint64_t table = dev->bar0_size / 2;
    uint64_t pba = table + dev->bar0_size / 4;

    fh_put(dev->config, FH_MSIX_CAP, PCI_CAP_ID_MSIX, 1);
    fh_put(dev->config, FH_MSIX_CAP + PCI_CAP_LIST_NEXT, FH_EXP_CAP, 1);
    fh_put(dev->config, FH_MSIX_CAP + PCI_MSIX_FLAGS, dev->msix - 1, 2);
    fh_put(dev->wmask, FH_MSIX_CAP + PCI_MSIX_FLAGS,
           PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
    fh_put(dev->config, FH_MSIX_CAP + PCI_MSIX_TABLE, table, 4);
    fh_put(dev->config, FH_MSIX_CAP + PCI_MSIX_PBA, pba, 4);
}

static void fh_pci_init_express(FhVfioDev *dev)
{
    uint32_t devcap = PCI_EXP_DEVCAP_RBER;

    if (dev->has_reset) {
        devcap |= PCI_EXP_DEVCAP_FLR;
    }
    fh_put(dev->config, FH_EXP_CAP, PCI_CAP_ID_EXP, 1);
    fh_put(dev->config, FH_EXP_CAP + PCI_EXP_FLAGS,
           2 | PCI_EXP_TYPE_ENDPOINT << 4, 2);
    fh_put(dev->config, FH_EXP_CAP + PCI_EXP_DEVCAP, devcap, 4);
    fh_put(dev->wmask, FH_EXP_CAP + PCI_EXP_DEVCTL, 0x7fff, 2);
    fh_put(dev->config, FH_EXP_CAP + PCI_EXP_LNKCAP, 0x11, 4);
    fh_put(dev->config, FH_EXP_CAP + PCI_EXP_LNKSTA, 0x11, 2);
}

/* As the kernel shows them: enabled by itself, and nothing can be written */
static void fh_pci_init_pri(FhVfioDev *dev, unsigned ats, uint32_t next)
{
    unsigned pri = ats + 0x10;

    fh_put(dev->config, ats, PCI_EXT_CAP_ID_ATS | 1 << 16 | pri << 20, 4);
    fh_put(dev->config, ats + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE, 2);
    fh_put(dev->config, pri, PCI_EXT_CAP_ID_PRI | 1 << 16 | next, 4);
    fh_put(dev->config, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE, 2);
    fh_put(dev->config, pri + PCI_PRI_STATUS, PCI_PRI_STATUS_PASID, 2);
    fh_put(dev->config, pri + PCI_PRI_MAX_REQ, 64, 4);
    fh_put(dev->config, pri + PCI_PRI_ALLOC_REQ, 64, 4);
}

/*
 * The end of config space is writable in any case: what QEMU lets through can
 * be seen there.
 */
static void fh_pci_init_extended(FhVfioDev *dev)
{
    uint32_t next = dev->ext_caps == 2 || dev->ext_caps == 4 ?
                    FH_VSEC_CAP << 20 : 0;

    memset(dev->wmask + FH_CONFIG_SIZE - 8, 0xff, 8);
    if (!dev->ext_caps && dev->pri) {
        fh_pci_init_pri(dev, PCI_CFG_SPACE_SIZE, 0);
    }
    if (!dev->ext_caps) {
        return;
    }
    if (dev->pri) {
        fh_pci_init_pri(dev, FH_ATS_CAP, next);
        next = FH_ATS_CAP << 20;
    }
    fh_put(dev->config, PCI_CFG_SPACE_SIZE,
           PCI_EXT_CAP_ID_ERR | 2 << 16 | next, 4);
    if (dev->ext_caps == 4) {
        fh_put(dev->config, FH_VSEC_CAP, PCI_EXT_CAP_ID_VC | 1 << 16, 4);
    } else if (next) {
        fh_put(dev->config, FH_VSEC_CAP, PCI_EXT_CAP_ID_VNDR | 1 << 16, 4);
        fh_put(dev->config, FH_VSEC_CAP + PCI_VNDR_HEADER,
               (FH_CONFIG_SIZE - FH_VSEC_CAP) << 20 | 1, 4);
    } else if (dev->ext_caps == 3) {
        fh_put(dev->config, FH_CONFIG_SIZE - 4, 1, 4);
    }
}

void fh_pci_init(FhVfioDev *dev)
{
    bool msix = dev->msix && dev->bar0_size >= 4 * FH_PAGE_SIZE &&
                dev->msix * FH_MSIX_ENTRY <= FH_PAGE_SIZE;

    fh_put(dev->config, PCI_VENDOR_ID, dev->vendor_id, 2);
    fh_put(dev->config, PCI_DEVICE_ID, dev->device_id, 2);
    fh_put(dev->config, PCI_CLASS_REVISION, dev->class_code << 8, 4);
    fh_put(dev->config, PCI_SUBSYSTEM_VENDOR_ID, dev->vendor_id, 2);
    fh_put(dev->config, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
    fh_put(dev->config, PCI_CAPABILITY_LIST, FH_PM_CAP, 1);
    fh_put(dev->wmask, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
           PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
           PCI_COMMAND_INTX_DISABLE, 2);
    fh_put(dev->wmask, PCI_CACHE_LINE_SIZE, 0xff, 1);
    fh_put(dev->wmask, PCI_INTERRUPT_LINE, 0xff, 1);
    fh_pci_init_bars(dev);

    fh_put(dev->config, FH_PM_CAP, PCI_CAP_ID_PM, 1);
    fh_put(dev->config, FH_PM_CAP + PCI_CAP_LIST_NEXT,
           msix ? FH_MSIX_CAP : FH_EXP_CAP, 1);
    fh_put(dev->config, FH_PM_CAP + PCI_PM_PMC, 3, 2);
    fh_put(dev->config, FH_PM_CAP + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, 2);
    fh_put(dev->wmask, FH_PM_CAP + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, 2);
    if (msix) {
        fh_pci_init_msix(dev);
    } else {
        dev->msix = 0;
    }
    fh_pci_init_express(dev);
    fh_pci_init_extended(dev);
}

bool fh_pci_reachable(const FhVfioDev *dev)
{
    return dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY &&
           (dev->config[FH_PM_CAP + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK) < 3;
}

/* A reset that is started by a register; it leaves the rest as it was */
static bool fh_pci_starts_reset(const FhVfioDev *dev, const uint8_t *data,
                                size_t count, uint64_t offset)
{
    uint64_t reg = FH_EXP_CAP + PCI_EXP_DEVCTL + 1;

    return dev->has_reset && offset <= reg && reg - offset < count &&
           data[reg - offset] & PCI_EXP_DEVCTL_BCR_FLR >> 8;
}

ssize_t fh_pci_config_rw(FhVfioDev *dev, void *buf, size_t count,
                         uint64_t offset, bool is_write)
{
    bool was_reachable = fh_pci_reachable(dev);
    uint8_t *p = buf;

    if (offset >= FH_CONFIG_SIZE) {
        errno = EFAULT;
        return -1;
    }
    if (count > FH_CONFIG_SIZE - offset) {
        count = FH_CONFIG_SIZE - offset;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *reg = &dev->config[offset + i];
        uint8_t mask = dev->wmask[offset + i];

        if (is_write) {
            *reg = (*reg & ~mask) | (p[i] & mask);
        } else {
            p[i] = *reg;
        }
    }
    if (is_write && fh_pci_starts_reset(dev, p, count, offset)) {
        dev->state->resets++;
        fh_dmabuf_revoke(dev);
    } else if (was_reachable && !fh_pci_reachable(dev)) {
        fh_dmabuf_revoke(dev);
    }
    return count;
}
