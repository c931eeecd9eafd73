/*
 * QTest of nested translation in the emulated VT-d: the
 * machine that does the DMA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/pci-pc.h"
#include "intel-iommu-nested-guest.h"

#define EDU(n)          "-device edu,addr=" n ",dma_mask=0xffffffffffffffff "

/* Guest RAM, the data pages of tests are below */
#define ROOT_TABLE      0x0e000000ULL
#define CONTEXT_TABLE   0x0e001000ULL
#define PASID_DIR(n)    (0x0e010000ULL + (n) * 0x2000)
#define PASID_TABLE(n)  (0x0e011000ULL + (n) * 0x2000)
#define INV_QUEUE       0x0e030000ULL
#define INV_QUEUE_LEN   128         /* 256-bit descriptors in 4 KiB */
#define WAIT_STATUS     0x0e031000ULL
#define SCRATCH         0x0e032000ULL
#define TABLES          0x0e100000ULL

/* What a device reads must not be what it had before */
#define STALE           0xdeaddeaddeaddeadULL

#define EDU_DMA_SRC     0x80
#define EDU_DMA_DST     0x88
#define EDU_DMA_CNT     0x90
#define EDU_DMA_CMD     0x98
#define EDU_DMA_BUF     0x40000
#define EDU_CMD_RUN     0x1
#define EDU_CMD_TO_PCI  0x2

/* Registers */

uint64_t ng_readq(NGMachine *m, uint64_t reg)
{
    return qtest_readq(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg);
}

uint32_t ng_readl(NGMachine *m, uint64_t reg)
{
    return qtest_readl(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg);
}

void ng_writeq(NGMachine *m, uint64_t reg, uint64_t val)
{
    qtest_writeq(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg, val);
}

void ng_writel(NGMachine *m, uint64_t reg, uint32_t val)
{
    qtest_writel(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg, val);
}

/* Put one descriptor and a wait descriptor on the queue, see both done */
void ng_submit(NGMachine *m, uint64_t qw0, uint64_t qw1)
{
    uint32_t status = 0x5a000000 | ++m->nr_waits;
    uint64_t wait = VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                    (uint64_t)status << VTD_INV_DESC_WAIT_DATA_SHIFT;
    uint64_t desc[] = {
        qw0, qw1, 0, 0, wait, WAIT_STATUS, 0, 0,
    };

    qtest_memwrite(m->qts, INV_QUEUE + m->iq_tail * 32, desc, sizeof(desc));
    m->iq_tail = (m->iq_tail + 2) % INV_QUEUE_LEN;
    ng_writeq(m, DMAR_IQT_REG, (uint64_t)m->iq_tail << VTD_IQH_QH_SHIFT_5);

    g_assert_cmphex(ng_readl(m, DMAR_FSTS_REG) & VTD_FSTS_IQE, ==, 0);
    g_assert_cmphex(qtest_readl(m->qts, WAIT_STATUS), ==, status);
}

void ng_flush_pasid_cache(NGMachine *m)
{
    ng_submit(m, VTD_INV_DESC_PC | (1ULL << 4) | DOMAIN_ID << 16 |
           (uint64_t)PASID << 32, 0);
}

uint64_t ng_fault_record(NGMachine *m)
{
    return ng_readq(m, DMAR_FRCD_REG_0_2);
}

void ng_clear_fault(NGMachine *m)
{
    ng_writel(m, DMAR_FRCD_REG_0_3, VTD_FRCD_F >> 32);
    g_assert_cmphex(ng_fault_record(m) & VTD_FRCD_F, ==, 0);
}

/* Tables */

static uint64_t alloc_table(NGMachine *m)
{
    uint64_t table = m->next_table;

    m->next_table += VTD_PAGE_SIZE;
    g_assert_cmphex(m->next_table, <, 0x10000000);
    qtest_memset(m->qts, table, 0, VTD_PAGE_SIZE);
    return table;
}

uint64_t ng_page_mask(int level)
{
    return ~0ULL << (VTD_PAGE_SHIFT + (level - 1) * VTD_LEVEL_BITS);
}

uint64_t ng_page_size(int level)
{
    return ~ng_page_mask(level) + 1;
}

static uint64_t entry_offset(uint64_t addr, int level)
{
    return ((addr >> (3 + level * VTD_LEVEL_BITS)) & 511) * 8;
}

/* The HPA of an entry of @level, tables are made on the way */
uint64_t ng_ss_entry(NGMachine *m, NGDev *dev, uint64_t gpa, int level)
{
    uint64_t table = dev->ss_root;
    int cur;

    for (cur = dev->ss_top;; cur--) {
        uint64_t entry = table + entry_offset(gpa, cur);

        if (cur == level) {
            return entry;
        }
        table = qtest_readq(m->qts, entry) & VTD_PAGE_MASK_4K;
        if (!table) {
            table = alloc_table(m);
            qtest_writeq(m->qts, entry, table | VTD_SL_RW_MASK);
        }
    }
}

void ng_map_ss(NGMachine *m, NGDev *dev, uint64_t gpa, uint64_t hpa, int level)
{
    qtest_writeq(m->qts, ng_ss_entry(m, dev, gpa, level),
                 (hpa & ng_page_mask(level)) | VTD_SL_RW_MASK |
                 (level > 1 ? PS : 0));
}

static uint64_t alloc_fs_table(NGMachine *m, NGDev *dev)
{
    uint64_t table = alloc_table(m);

    if (dev->ss_root) {
        ng_map_ss(m, dev, table + TABLE_GPA_OFFSET, table, 1);
    }
    return table;
}

uint64_t ng_fs_entry(NGMachine *m, NGDev *dev, uint64_t iova, int level)
{
    uint64_t offset = dev->ss_root ? TABLE_GPA_OFFSET : 0;
    uint64_t table = dev->fs_root;
    int cur;

    for (cur = TOP;; cur--) {
        uint64_t entry = table + entry_offset(iova, cur);

        if (cur == level) {
            return entry;
        }
        table = qtest_readq(m->qts, entry) & VTD_PAGE_MASK_4K;
        if (!table) {
            table = alloc_fs_table(m, dev);
            qtest_writeq(m->qts, entry, (table + offset) | FS_RW);
        } else {
            table -= offset;
        }
    }
}

void ng_map_fs(NGMachine *m, NGDev *dev, uint64_t iova, uint64_t gpa, int level)
{
    qtest_writeq(m->qts, ng_fs_entry(m, dev, iova, level),
                 (gpa & ng_page_mask(level)) | FS_RW | (level > 1 ? PS : 0));
}

/* Map @iova by pages of the levels given, returns the HPA */
uint64_t ng_map_both(NGMachine *m, NGDev *dev, uint64_t iova, uint64_t gpa_base,
                         uint64_t hpa_base, int fs_level, int ss_level)
{
    uint64_t gpa = (gpa_base & ng_page_mask(fs_level)) |
                   (iova & ~ng_page_mask(fs_level));
    uint64_t hpa = (hpa_base & ng_page_mask(ss_level)) |
                   (gpa & ~ng_page_mask(ss_level));

    ng_map_fs(m, dev, iova, gpa, fs_level);
    ng_map_ss(m, dev, gpa, hpa, ss_level);
    return hpa;
}

void ng_write_pe(NGMachine *m, unsigned int n, const uint64_t *pe)
{
    qtest_memwrite(m->qts, PASID_TABLE(n) + PASID * VTD_PASID_ENTRY_SIZE, pe,
                   VTD_PASID_ENTRY_SIZE);
}

/* A PASID entry of type @pgtt, with tables as far as that has them */
void ng_setup_pe(NGMachine *m, unsigned int n, uint64_t pgtt)
{
    NGDev *dev = &m->devs[n];
    bool nested = pgtt == VTD_SM_PASID_ENTRY_NESTED;

    if (!dev->ss_top) {
        dev->ss_top = TOP;
    }
    if (nested || pgtt == VTD_SM_PASID_ENTRY_SLT) {
        dev->ss_root = alloc_table(m);
    }
    if (nested || pgtt == VTD_SM_PASID_ENTRY_FLT) {
        dev->fs_root = alloc_fs_table(m, dev);
    }

    memset(dev->pe, 0, sizeof(dev->pe));
    dev->pe[0] = dev->ss_root | (dev->ss_top - 2) << 2 | pgtt |
                 VTD_PASID_ENTRY_P;
    dev->pe[1] = DOMAIN_ID + n;
    if (dev->fs_root) {
        dev->pe[2] = dev->fs_root + (nested ? TABLE_GPA_OFFSET : 0);
    }
    ng_write_pe(m, n, dev->pe);
}

/* NGMachine */

static void setup_dev(NGMachine *m, unsigned int n, int slot)
{
    NGDev *dev = &m->devs[n];
    int devfn = QPCI_DEVFN(slot, 0);
    uint64_t context[4] = { PASID_DIR(n) | VTD_CONTEXT_ENTRY_P, PASID };

    dev->pci = qpci_device_find(m->bus, devfn);
    g_assert_nonnull(dev->pci);
    qpci_device_enable(dev->pci);
    dev->bar = qpci_iomap(dev->pci, 0, NULL);
    dev->sid = devfn;

    qtest_memwrite(m->qts, CONTEXT_TABLE + devfn * sizeof(context), context,
                   sizeof(context));
    qtest_writeq(m->qts, PASID_DIR(n), PASID_TABLE(n) | 1);
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
    m->next_table = TABLES;
    m->nr_devs = nr_devs;

    qtest_writeq(m->qts, ROOT_TABLE, CONTEXT_TABLE | VTD_ROOT_ENTRY_P);
    for (unsigned int n = 0; n < nr_devs; n++) {
        setup_dev(m, n, 4 + n);
    }
}

void ng_enable(NGMachine *m)
{
    uint32_t gcmd = VTD_GCMD_QIE;

    ng_writeq(m, DMAR_RTADDR_REG, ROOT_TABLE | VTD_RTADDR_SMT);
    ng_writel(m, DMAR_GCMD_REG, VTD_GCMD_SRTP);
    ng_writeq(m, DMAR_IQA_REG, INV_QUEUE | VTD_IQA_DW_MASK);
    ng_writeq(m, DMAR_IQT_REG, 0);
    ng_writel(m, DMAR_GCMD_REG, gcmd);
    ng_writel(m, DMAR_GCMD_REG, gcmd | VTD_GCMD_TE);
    g_assert_cmphex(ng_readl(m, DMAR_GSTS_REG), ==,
                    VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_RTPS);
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
    uint64_t src = is_write ? EDU_DMA_BUF : addr;
    uint64_t dst = is_write ? addr : EDU_DMA_BUF;

    qpci_io_writeq(dev->pci, dev->bar, EDU_DMA_SRC, src);
    qpci_io_writeq(dev->pci, dev->bar, EDU_DMA_DST, dst);
    qpci_io_writeq(dev->pci, dev->bar, EDU_DMA_CNT, 8);
    qpci_io_writeq(dev->pci, dev->bar, EDU_DMA_CMD,
                   EDU_CMD_RUN | (is_write ? EDU_CMD_TO_PCI : 0));
    qtest_clock_step(m->qts, 101 * 1000 * 1000);
    g_assert_cmphex(qpci_io_readq(dev->pci, dev->bar, EDU_DMA_CMD) &
                    EDU_CMD_RUN, ==, 0);
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
    qtest_writeq(m->qts, SCRATCH, *val);
    ng_dma(m, dev, SCRATCH, !set);
    *val = qtest_readq(m->qts, SCRATCH);
    g_assert_cmphex(ng_fault_record(m), ==, fault);
    g_assert_cmphex(ng_readl(m, DMAR_FSTS_REG) & VTD_FSTS_PFO, ==, 0);
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
