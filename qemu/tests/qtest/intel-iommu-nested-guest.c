/*
 * QTest of nested translation in the emulated VT-d: the
 * machine that does the DMA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/edu.h"
#include "libqos/pci-pc.h"
#include "intel-iommu-nested-guest.h"

#define EDU(n)          "-device edu,addr=" n ",dma_mask=0xffffffffffffffff "

/* Guest RAM, the data pages of tests are below */
#define TABLES          0x0e000000ULL

/* What a device reads must not be what it had before */
#define STALE           0xdeaddeaddeaddeadULL

/* Put one descriptor and a wait descriptor on the queue, see both done */
void ng_submit(NGMachine *m, uint64_t qw0, uint64_t qw1)
{
    vtd_guest_post(&m->g, qw0, qw1);
    vtd_guest_sync(&m->g);
    g_assert_cmphex(vtd_guest_readl(&m->g, DMAR_FSTS_REG) & VTD_FSTS_IQE, ==,
                    0);
}

void ng_flush_pasid_cache(NGMachine *m)
{
    vtd_guest_post_pc(&m->g, VTD_PC_PASID, DOMAIN_ID, PASID);
    vtd_guest_sync(&m->g);
}

uint64_t ng_fault_record(NGMachine *m)
{
    return vtd_guest_readq(&m->g, DMAR_FRCD_REG_0_2);
}

void ng_clear_fault(NGMachine *m)
{
    vtd_guest_writel(&m->g, DMAR_FRCD_REG_0_3, VTD_FRCD_F >> 32);
    g_assert_cmphex(ng_fault_record(m) & VTD_FRCD_F, ==, 0);
}

/* Tables */

/* Map @iova by pages of the levels given, returns the HPA */
uint64_t ng_map_both(NGMachine *m, NGDev *dev, uint64_t iova, uint64_t gpa_base,
                     uint64_t hpa_base, int fs_level, int ss_level)
{
    uint64_t fs_mask = vtd_guest_page_mask(fs_level);
    uint64_t ss_mask = vtd_guest_page_mask(ss_level);
    uint64_t gpa = (gpa_base & fs_mask) | (iova & ~fs_mask);
    uint64_t hpa = (hpa_base & ss_mask) | (gpa & ~ss_mask);

    vtd_guest_map(&m->g, &dev->fs, iova, gpa, fs_level);
    vtd_guest_map(&m->g, &dev->ss, gpa, hpa, ss_level);
    return hpa;
}

void ng_write_pe(NGMachine *m, unsigned int n, const uint64_t *pe)
{
    qtest_memwrite(m->qts, vtd_guest_pasid(&m->g, m->devs[n].dir, PASID), pe,
                   VTD_PASID_ENTRY_SIZE);
}

/* A PASID entry of type @pgtt, with tables as far as that has them */
void ng_setup_pe(NGMachine *m, unsigned int n, uint64_t pgtt)
{
    NGDev *dev = &m->devs[n];
    bool nested = pgtt == VTD_SM_PASID_ENTRY_NESTED;

    dev->ss = (VtdGuestTable) {
        .levels = dev->ss_top ?: TOP, .flags = VTD_PTE_SECOND_STAGE,
    };
    dev->fs = (VtdGuestTable) {
        .levels = TOP, .flags = VTD_PTE_FIRST_STAGE,
        .below = nested ? &dev->ss : NULL,
        .offset = nested ? TABLE_GPA_OFFSET : 0,
    };
    memset(dev->pe, 0, sizeof(dev->pe));
    dev->pe[0] = (dev->ss.levels - 2) << 2 | pgtt | VTD_PASID_ENTRY_P;
    dev->pe[1] = DOMAIN_ID + n;
    if (nested || pgtt == VTD_SM_PASID_ENTRY_SLT) {
        vtd_guest_add_table(&m->g, &dev->ss);
        dev->pe[0] |= dev->ss.root;
    }
    if (nested || pgtt == VTD_SM_PASID_ENTRY_FLT) {
        vtd_guest_add_table(&m->g, &dev->fs);
        dev->pe[2] = dev->fs.root + dev->fs.offset;
    }
    ng_write_pe(m, n, dev->pe);
}

/* NGMachine */

static void setup_dev(NGMachine *m, unsigned int n, int slot)
{
    NGDev *dev = &m->devs[n];
    int devfn = QPCI_DEVFN(slot, 0);

    dev->pci = qpci_device_find(m->bus, devfn);
    g_assert_nonnull(dev->pci);
    qpci_device_enable(dev->pci);
    dev->bar = qpci_iomap(dev->pci, 0, NULL);
    dev->sid = devfn;
    dev->dir = vtd_guest_add_context(&m->g, devfn, PASID);
}

void ng_start(NGMachine *m, unsigned int nr_devs)
{
    ng_start_with(m, nr_devs, ",x-flts=on,x-nested=on");
}

void ng_start_with(NGMachine *m, unsigned int nr_devs, const char *props)
{
    static const char edus[] = EDU("4") EDU("5") EDU("6") EDU("7");
    g_autofree char *devs = g_strndup(edus, nr_devs * strlen(EDU("4")));

    memset(m, 0, sizeof(*m));
    m->qts = qtest_initf(NG_MACHINE "%s", props, devs);
    m->bus = qpci_new_pc(m->qts, NULL);
    m->nr_devs = nr_devs;
    vtd_guest_init(&m->g, m->qts, TABLES, 32);
    m->scratch = vtd_guest_alloc(&m->g);
    for (unsigned int n = 0; n < nr_devs; n++) {
        setup_dev(m, n, 4 + n);
    }
}

void ng_stop(NGMachine *m)
{
    for (unsigned int n = 0; n < m->nr_devs; n++) {
        qpci_iounmap(m->devs[n].pci, m->devs[n].bar);
        g_free(m->devs[n].pci);
    }
    qpci_free_pc(m->bus);
    qtest_quit(m->qts);
}

/* DMA */

void ng_dma(NGMachine *m, NGDev *dev, uint64_t addr, bool is_write)
{
    edu_dma(m->qts, dev->bar.addr, addr, is_write);
}

/* The device's buffer, seen through a pass-through entry */
static void ng_buffer(NGMachine *m, NGDev *dev, uint64_t *val, bool set)
{
    uint64_t pt[8] = {
        VTD_SM_PASID_ENTRY_PT | (2 << 2) | VTD_PASID_ENTRY_P, 0x777,
    };
    unsigned int n = dev - m->devs;
    uint64_t fault = ng_fault_record(m);

    ng_write_pe(m, n, pt);
    ng_flush_pasid_cache(m);
    qtest_writeq(m->qts, m->scratch, *val);
    ng_dma(m, dev, m->scratch, !set);
    *val = qtest_readq(m->qts, m->scratch);
    g_assert_cmphex(ng_fault_record(m), ==, fault);
    g_assert_cmphex(vtd_guest_readl(&m->g, DMAR_FSTS_REG) & VTD_FSTS_PFO, ==,
                    0);
    ng_write_pe(m, n, dev->pe);
    ng_flush_pasid_cache(m);
}

uint64_t ng_dma_read(NGMachine *m, NGDev *dev, uint64_t addr)
{
    uint64_t val = STALE;

    ng_buffer(m, dev, &val, true);
    ng_dma(m, dev, addr, false);
    ng_buffer(m, dev, &val, false);
    return val;
}

void ng_dma_write(NGMachine *m, NGDev *dev, uint64_t addr, uint64_t val)
{
    ng_buffer(m, dev, &val, true);
    ng_dma(m, dev, addr, true);
}
