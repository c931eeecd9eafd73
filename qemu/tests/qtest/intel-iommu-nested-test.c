/*
 * QTest of nested translation in the emulated VT-d
 *
 * An edu device does DMA behind an IOMMU whose tables the test builds in
 * guest memory. No two address spaces agree in a mapping: input addresses,
 * guest physical ones (GPA, what first-stage tables are made of) and host
 * physical ones (HPA, what second-stage tables are made of, guest RAM here)
 * all differ, and so do those of the first-stage tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libqos/pci.h"
#include "libqos/pci-pc.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/i386/intel_iommu_nested.h"

#define MACHINE     "-M q35 -m 256M -nodefaults " \
                    "-device intel-iommu,x-scalable-mode=on,x-flts=on%s "
#define EDU(n)      "-device edu,addr=" n ",dma_mask=0xffffffffffffffff "

/* Guest RAM. Data pages end below the tables, see the *_BASE below */
#define ROOT_TABLE      0x0e000000ULL
#define CONTEXT_TABLE   0x0e001000ULL
#define PASID_DIR(n)    (0x0e010000ULL + (n) * 0x2000)
#define PASID_TABLE(n)  (0x0e011000ULL + (n) * 0x2000)
#define INV_QUEUE       0x0e030000ULL
#define INV_QUEUE_LEN   128         /* 256-bit descriptors in 4 KiB */
#define WAIT_STATUS     0x0e031000ULL
#define SCRATCH         0x0e032000ULL
#define TABLES          0x0e100000ULL

/* First-stage tables are at this distance from their place in RAM */
#define TABLE_GPA_OFFSET    0x0000002200000000ULL

#define IOVA            0x000012c007654000ULL
#define GPA_BASE        0x000000344abcd000ULL
#define GPA2_BASE       0x000000564123b000ULL
#define HPA_BASE        0x0000000003335000ULL
#define HPA2_BASE       0x0000000004ee6000ULL

#define PASID           5
#define DOMAIN_ID       0x123
#define PAT1            0x1122334455667788ULL
#define PAT2            0x99aabbccddeeff00ULL
#define PAT_WRITE       0x0123456789abcdefULL

#define FS_RW           (VTD_FL_P | VTD_FL_RW | VTD_FL_US)
#define FS_RO           (VTD_FL_P | VTD_FL_US)
#define PS              VTD_PT_PAGE_SIZE_MASK
#define TOP             VTD_PML4_LEVEL

#define EDU_DMA_SRC     0x80
#define EDU_DMA_DST     0x88
#define EDU_DMA_CNT     0x90
#define EDU_DMA_CMD     0x98
#define EDU_DMA_BUF     0x40000
#define EDU_CMD_RUN     0x1
#define EDU_CMD_TO_PCI  0x2

#define MAX_DEVS        4

typedef struct Dev {
    QPCIDevice *pci;
    QPCIBar bar;
    uint16_t sid;
    uint64_t pe[8];
    uint64_t fs_root;       /* HPA */
    uint64_t ss_root;
    int ss_top;             /* levels of the second stage */
} Dev;

typedef struct Machine {
    QTestState *qts;
    QPCIBus *bus;
    Dev devs[MAX_DEVS];
    unsigned int nr_devs;
    uint64_t next_table;
    uint32_t iq_tail;
    uint32_t nr_waits;
} Machine;

/* Registers */

static uint64_t reg_readq(Machine *m, uint64_t reg)
{
    return qtest_readq(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg);
}

static uint32_t reg_readl(Machine *m, uint64_t reg)
{
    return qtest_readl(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg);
}

static void reg_writeq(Machine *m, uint64_t reg, uint64_t val)
{
    qtest_writeq(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg, val);
}

static void reg_writel(Machine *m, uint64_t reg, uint32_t val)
{
    qtest_writel(m->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg, val);
}

/* Put one descriptor and a wait descriptor on the queue, see both done */
static void submit(Machine *m, uint64_t qw0, uint64_t qw1)
{
    uint32_t status = 0x5a000000 | ++m->nr_waits;
    uint64_t wait = VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                    (uint64_t)status << VTD_INV_DESC_WAIT_DATA_SHIFT;
    uint64_t desc[] = {
        qw0, qw1, 0, 0, wait, WAIT_STATUS, 0, 0,
    };

    qtest_memwrite(m->qts, INV_QUEUE + m->iq_tail * 32, desc, sizeof(desc));
    m->iq_tail = (m->iq_tail + 2) % INV_QUEUE_LEN;
    reg_writeq(m, DMAR_IQT_REG, (uint64_t)m->iq_tail << VTD_IQH_QH_SHIFT_5);

    g_assert_cmphex(reg_readl(m, DMAR_FSTS_REG) & VTD_FSTS_IQE, ==, 0);
    g_assert_cmphex(qtest_readl(m->qts, WAIT_STATUS), ==, status);
}

static void invalidate_pasid_cache(Machine *m)
{
    submit(m, VTD_INV_DESC_PC | (1ULL << 4) | DOMAIN_ID << 16 |
           (uint64_t)PASID << 32, 0);
}

static uint64_t fault_record(Machine *m)
{
    return reg_readq(m, DMAR_FRCD_REG_0_2);
}

static void clear_fault(Machine *m)
{
    reg_writel(m, DMAR_FRCD_REG_0_3, VTD_FRCD_F >> 32);
    g_assert_cmphex(fault_record(m) & VTD_FRCD_F, ==, 0);
}

/* Tables */

static uint64_t alloc_table(Machine *m)
{
    uint64_t table = m->next_table;

    m->next_table += VTD_PAGE_SIZE;
    g_assert_cmphex(m->next_table, <, 0x10000000);
    qtest_memset(m->qts, table, 0, VTD_PAGE_SIZE);
    return table;
}

static uint64_t page_mask(int level)
{
    return ~0ULL << (VTD_PAGE_SHIFT + (level - 1) * VTD_LEVEL_BITS);
}

static uint64_t page_size(int level)
{
    return ~page_mask(level) + 1;
}

static uint64_t entry_offset(uint64_t addr, int level)
{
    return ((addr >> (3 + level * VTD_LEVEL_BITS)) & 511) * 8;
}

/* The HPA of an entry of @level, tables are made on the way */
static uint64_t ss_entry(Machine *m, Dev *dev, uint64_t gpa, int level)
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

static void map_ss(Machine *m, Dev *dev, uint64_t gpa, uint64_t hpa, int level)
{
    qtest_writeq(m->qts, ss_entry(m, dev, gpa, level),
                 (hpa & page_mask(level)) | VTD_SL_RW_MASK |
                 (level > 1 ? PS : 0));
}

static uint64_t alloc_fs_table(Machine *m, Dev *dev)
{
    uint64_t table = alloc_table(m);

    if (dev->ss_root) {
        map_ss(m, dev, table + TABLE_GPA_OFFSET, table, 1);
    }
    return table;
}

static uint64_t fs_entry(Machine *m, Dev *dev, uint64_t iova, int level)
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

static void map_fs(Machine *m, Dev *dev, uint64_t iova, uint64_t gpa, int level)
{
    qtest_writeq(m->qts, fs_entry(m, dev, iova, level),
                 (gpa & page_mask(level)) | FS_RW | (level > 1 ? PS : 0));
}

/* Map @iova by pages of the levels given, returns the HPA */
static uint64_t map_both(Machine *m, Dev *dev, uint64_t iova, uint64_t gpa_base,
                         uint64_t hpa_base, int fs_level, int ss_level)
{
    uint64_t gpa = (gpa_base & page_mask(fs_level)) |
                   (iova & ~page_mask(fs_level));
    uint64_t hpa = (hpa_base & page_mask(ss_level)) |
                   (gpa & ~page_mask(ss_level));

    map_fs(m, dev, iova, gpa, fs_level);
    map_ss(m, dev, gpa, hpa, ss_level);
    return hpa;
}

static void write_pe(Machine *m, unsigned int n, const uint64_t *pe)
{
    qtest_memwrite(m->qts, PASID_TABLE(n) + PASID * VTD_PASID_ENTRY_SIZE, pe,
                   VTD_PASID_ENTRY_SIZE);
}

/* A PASID entry of type @pgtt, with tables as far as that has them */
static void setup_pe(Machine *m, unsigned int n, uint64_t pgtt)
{
    Dev *dev = &m->devs[n];
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
    write_pe(m, n, dev->pe);
}

/* Machine */

static void setup_dev(Machine *m, unsigned int n, int slot)
{
    Dev *dev = &m->devs[n];
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

static void machine_start(Machine *m, unsigned int nr_devs)
{
    static const char edus[] = EDU("4") EDU("5") EDU("6") EDU("7");
    g_autofree char *devs = g_strndup(edus, nr_devs * strlen(EDU("4")));

    memset(m, 0, sizeof(*m));
    m->qts = qtest_initf(MACHINE "%s", ",x-nested=on", devs);
    m->bus = qpci_new_pc(m->qts, NULL);
    m->next_table = TABLES;
    m->nr_devs = nr_devs;

    qtest_writeq(m->qts, ROOT_TABLE, CONTEXT_TABLE | VTD_ROOT_ENTRY_P);
    for (unsigned int n = 0; n < nr_devs; n++) {
        setup_dev(m, n, 4 + n);
    }
}

static void machine_enable(Machine *m)
{
    uint32_t gcmd = VTD_GCMD_QIE;

    reg_writeq(m, DMAR_RTADDR_REG, ROOT_TABLE | VTD_RTADDR_SMT);
    reg_writel(m, DMAR_GCMD_REG, VTD_GCMD_SRTP);
    reg_writeq(m, DMAR_IQA_REG, INV_QUEUE | VTD_IQA_DW_MASK);
    reg_writeq(m, DMAR_IQT_REG, 0);
    reg_writel(m, DMAR_GCMD_REG, gcmd);
    reg_writel(m, DMAR_GCMD_REG, gcmd | VTD_GCMD_TE);
    g_assert_cmphex(reg_readl(m, DMAR_GSTS_REG), ==,
                    VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_RTPS);
}

static void machine_stop(Machine *m)
{
    for (unsigned int n = 0; n < m->nr_devs; n++) {
        qpci_iounmap(m->devs[n].pci, m->devs[n].bar);
        g_free(m->devs[n].pci);
    }
    qpci_free_pc(m->bus);
    qtest_quit(m->qts);
}

/* DMA */

static void edu_dma(Machine *m, Dev *dev, uint64_t addr, bool is_write)
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
static void edu_buffer(Machine *m, Dev *dev, uint64_t *val, bool set)
{
    uint64_t pt[8] = {
        VTD_SM_PASID_ENTRY_PT | (2 << 2) | VTD_PASID_ENTRY_P, 0x777,
    };
    unsigned int n = dev - m->devs;
    uint64_t fault = fault_record(m);

    write_pe(m, n, pt);
    invalidate_pasid_cache(m);
    qtest_writeq(m->qts, SCRATCH, *val);
    edu_dma(m, dev, SCRATCH, !set);
    *val = qtest_readq(m->qts, SCRATCH);
    g_assert_cmphex(fault_record(m), ==, fault);
    g_assert_cmphex(reg_readl(m, DMAR_FSTS_REG) & VTD_FSTS_PFO, ==, 0);
    write_pe(m, n, dev->pe);
    invalidate_pasid_cache(m);
}

static uint64_t dma_read(Machine *m, Dev *dev, uint64_t addr)
{
    uint64_t val = ~PAT1 ^ PAT2;

    edu_buffer(m, dev, &val, true);
    edu_dma(m, dev, addr, false);
    edu_buffer(m, dev, &val, false);
    return val;
}

static void dma_write(Machine *m, Dev *dev, uint64_t addr, uint64_t val)
{
    edu_buffer(m, dev, &val, true);
    edu_dma(m, dev, addr, true);
}

/* Single accesses: where tables differ from a plain mapping, and what for */

typedef enum Where {
    NOWHERE,
    FS,         /* first-stage entry of the level, on the path of the IOVA */
    SS,         /* second-stage entry of the level, on the path of the GPA */
    FS_TABLE,   /* second-stage leaf for the table that FS of a level is in */
    PE,         /* "level" is the 64-bit word of the PASID entry */
} Where;

typedef struct Tweak {
    Where where;
    int level;
    uint64_t clear, set;
} Tweak;

typedef struct AccessCase {
    const char *name;
    const char *what;
    bool is_write;
    Tweak tweaks[4];
    uint8_t fault;
    bool silent;            /* blocked, yet nothing recorded */
    int fs_level, ss_level; /* default: 4 KiB pages */
    int ss_top;             /* default: 4 levels */
    uint64_t iova;          /* default: IOVA */
} AccessCase;

#define ADDR    0x000ffffffffff000ULL
#define A       VTD_FL_A
#define D       VTD_FL_D
#define RW      VTD_SL_RW_MASK

static const AccessCase access_cases[] = {
    { "fs/leaf-absent-read-faults", "first-stage page entry not present",
      false, { { FS, 1, VTD_FL_P, 0 } }, VTD_FR_FS_PAGING_ENTRY_P },
    { "fs/top-absent-write-faults", "first-stage PML4 entry not present",
      true, { { FS, 4, VTD_FL_P, 0 } }, VTD_FR_FS_PAGING_ENTRY_P },
    { "fs/leaf-readonly-read-works", "reading needs no write permission",
      false, { { FS, 1, VTD_FL_RW, 0 } } },
    { "fs/leaf-readonly-write-faults", "first-stage page is read-only",
      true, { { FS, 1, VTD_FL_RW, 0 } }, VTD_FR_SM_WRITE },
    { "fs/table-readonly-write-faults", "permissions of tables count too",
      true, { { FS, 3, VTD_FL_RW, 0 } }, VTD_FR_SM_WRITE },
    { "fs/leaf-supervisor-read-faults", "first-stage page is not for users",
      false, { { FS, 1, VTD_FL_US, 0 } }, VTD_FR_FS_PAGING_ENTRY_US },
    { "fs/top-page-size-read-faults", "PS is reserved in a PML4 entry",
      false, { { FS, 4, 0, PS } }, VTD_FR_FS_PAGING_ENTRY_RSVD },
    { "fs/2m-reserved-read-faults", "bit 13 is reserved in a 2 MiB page",
      false, { { FS, 2, 0, 1 << 13 } }, VTD_FR_FS_PAGING_ENTRY_RSVD,
      .fs_level = 2 },
    { "fs/1g-reserved-write-faults", "bit 29 is reserved in a 1 GiB page",
      true, { { FS, 3, 0, 1 << 29 } }, VTD_FR_FS_PAGING_ENTRY_RSVD,
      .fs_level = 3 },
    { "fs/2m-pat-read-works", "bit 12 is PAT in a 2 MiB page",
      false, { { FS, 2, 0, 1 << 12 } }, .fs_level = 2 },
    { "fs/noncanonical-read-faults", "bit 47 is set, those above are not",
      false, .fault = VTD_FR_FS_NON_CANONICAL, .iova = IOVA | (1ULL << 47) },
    { "fs/canonical-high-half-write-works", "bits 63 to 47 are set",
      true, .iova = IOVA | (~0ULL << 47) },
    { "fs/leaf-gpa-beyond-width-faults", "a GPA of 49 bits",
      false, { { FS, 1, 0, 1ULL << 48 } }, VTD_FR_SS_ADDR_BEYOND_AW },
    { "fs/table-gpa-beyond-width-faults", "a first-stage table at 49 bits",
      false, { { FS, 3, 0, 1ULL << 48 } }, VTD_FR_NESTED_FS_ADDR_BEYOND_AW },
    { "fs/root-gpa-beyond-width-faults", "FSPTPTR of 49 bits",
      true, { { PE, 2, 0, 1ULL << 48 } }, VTD_FR_NESTED_FS_ADDR_BEYOND_AW },

    { "ss/leaf-absent-read-faults", "GPA not mapped",
      false, { { SS, 1, RW, 0 } }, VTD_FR_SS_PAGING_ENTRY_P },
    { "ss/leaf-absent-write-faults", "GPA not mapped",
      true, { { SS, 1, RW, 0 } }, VTD_FR_SS_PAGING_ENTRY_P },
    { "ss/table-absent-read-faults", "second-stage table not present",
      false, { { SS, 3, RW, 0 } }, VTD_FR_SS_PAGING_ENTRY_P },
    { "ss/leaf-readonly-read-works", "reading needs no write permission",
      false, { { SS, 1, VTD_SL_W, 0 } } },
    { "ss/leaf-readonly-write-faults", "second-stage page is read-only",
      true, { { SS, 1, VTD_SL_W, 0 } }, VTD_FR_SM_WRITE },
    { "ss/leaf-writeonly-write-works", "writing needs no read permission",
      true, { { SS, 1, VTD_SL_R, 0 } } },
    { "ss/leaf-writeonly-read-faults", "second-stage page is write-only",
      false, { { SS, 1, VTD_SL_R, 0 } }, VTD_FR_SM_READ },
    { "ss/table-readonly-write-faults", "permissions of tables count too",
      true, { { SS, 2, VTD_SL_W, 0 } }, VTD_FR_SM_WRITE },
    { "ss/leaf-reserved-read-faults", "an address bit beyond the host's width",
      false, { { SS, 1, 0, 1ULL << 50 } }, VTD_FR_SS_PAGING_ENTRY_RSVD },
    { "ss/2m-reserved-write-faults", "bit 12 is reserved in a 2 MiB page",
      true, { { SS, 2, 0, 1 << 12 } }, VTD_FR_SS_PAGING_ENTRY_RSVD,
      .ss_level = 2 },
    { "ss/39-bits-read-works", "a second stage of three levels",
      false, .ss_top = 3 },
    { "ss/39-bits-gpa-beyond-width-faults", "a GPA of 40 bits with these",
      false, { { FS, 1, 0, 1ULL << 39 } }, VTD_FR_SS_ADDR_BEYOND_AW,
      .ss_top = 3 },
    { "ss/root-outside-memory-faults", "SSPTPTR leads nowhere",
      false, { { PE, 0, 0, 1ULL << 46 } }, VTD_FR_PASID_ENTRY_SSPTPTR_INV },
    { "ss/table-outside-memory-faults", "a second-stage table leads nowhere",
      false, { { SS, 2, 0, 1ULL << 46 } }, VTD_FR_SS_PAGING_ENTRY_INV },
    { "ss/interrupt-range-faults", "the result is in the interrupt range",
      true, { { SS, 1, ADDR, 0xfee00000 } }, VTD_FR_SM_INTERRUPT_ADDR },

    { "fs-table/root-unmapped-faults", "FSPTPTR not in the second stage",
      false, { { FS_TABLE, 4, RW, 0 } }, VTD_FR_NESTED_FS_TOP_READ },
    { "fs-table/root-writeonly-faults", "PML4 table cannot be read",
      false, { { FS_TABLE, 4, VTD_SL_R, 0 } }, VTD_FR_NESTED_FS_TOP_READ },
    { "fs-table/leaf-unmapped-faults", "page table not in the second stage",
      true, { { FS_TABLE, 1, RW, 0 } }, VTD_FR_NESTED_FS_READ },
    { "fs-table/middle-writeonly-faults", "page directory cannot be read",
      false, { { FS_TABLE, 2, VTD_SL_R, 0 } }, VTD_FR_NESTED_FS_READ },
    { "fs-table/root-outside-memory-faults", "PML4 table leads nowhere",
      false, { { FS_TABLE, 4, 0, 1ULL << 46 } },
      VTD_FR_PASID_ENTRY_FSPTPTR_INV },
    { "fs-table/leaf-outside-memory-faults", "page table leads nowhere",
      false, { { FS_TABLE, 1, 0, 1ULL << 46 } }, VTD_FR_FS_PAGING_ENTRY_INV },
    { "fs-table/leaf-readonly-read-faults", "no place for the accessed bit",
      false, { { FS_TABLE, 1, VTD_SL_W, 0 } }, VTD_FR_NESTED_FS_WRITE },
    { "fs-table/root-readonly-read-faults", "no place for the accessed bit",
      false, { { FS_TABLE, 4, VTD_SL_W, 0 } }, VTD_FR_NESTED_FS_WRITE },
    { "fs-table/leaf-readonly-accessed-read-works", "A is set already",
      false, { { FS_TABLE, 1, VTD_SL_W, 0 }, { FS, 1, 0, A } } },
    { "fs-table/leaf-readonly-accessed-write-faults", "no place for D",
      true, { { FS_TABLE, 1, VTD_SL_W, 0 }, { FS, 1, 0, A } },
      VTD_FR_NESTED_FS_WRITE },
    { "fs-table/leaf-readonly-dirty-write-works", "A and D are set already",
      true, { { FS_TABLE, 1, VTD_SL_W, 0 }, { FS, 1, 0, A | D } } },

    { "pe/absent-faults", "PASID entry not present",
      false, { { PE, 0, VTD_PASID_ENTRY_P, 0 } }, VTD_FR_PASID_ENTRY_P },
    { "pe/5-level-first-stage-faults", "FSPM asks for what is not there",
      false, { { PE, 2, 0, 1 << 2 } }, VTD_FR_PASID_TABLE_ENTRY_INV },
    { "pe/5-level-second-stage-faults", "AW asks for what is not there",
      false, { { PE, 0, 1 << 3, 3 << 2 } }, VTD_FR_PASID_TABLE_ENTRY_INV },
    { "pe/sre-faults", "SRE without ECAP.SRS",
      false, { { PE, 2, 0, 1 << 0 } }, VTD_FR_PASID_TABLE_ENTRY_RSVD },
    { "pe/eafe-faults", "EAFE without ECAP.EAFS",
      false, { { PE, 2, 0, 1 << 7 } }, VTD_FR_PASID_TABLE_ENTRY_RSVD },
    { "pe/ssade-faults", "SSADE without ECAP.SSADS",
      true, { { PE, 0, 0, 1 << 9 } }, VTD_FR_PASID_TABLE_ENTRY_RSVD },
    { "pe/fpd-blocks-silently", "FPD and no permission",
      true, { { PE, 0, 0, VTD_PASID_ENTRY_FPD }, { SS, 1, RW, 0 } },
      .silent = true },
};

static void apply_tweak(Machine *m, Dev *dev, uint64_t iova, uint64_t gpa,
                        const Tweak *t)
{
    uint64_t entry;

    switch (t->where) {
    case FS:
        entry = fs_entry(m, dev, iova, t->level);
        break;
    case SS:
        entry = ss_entry(m, dev, gpa, t->level);
        break;
    case FS_TABLE:
        entry = fs_entry(m, dev, iova, t->level) & VTD_PAGE_MASK_4K;
        entry = ss_entry(m, dev, entry + TABLE_GPA_OFFSET, 1);
        break;
    case PE:
        dev->pe[t->level] = (dev->pe[t->level] & ~t->clear) | t->set;
        write_pe(m, dev - m->devs, dev->pe);
        return;
    default:
        return;
    }
    qtest_writeq(m->qts, entry,
                 (qtest_readq(m->qts, entry) & ~t->clear) | t->set);
}

static void check_fault(Machine *m, Dev *dev, uint64_t iova, bool is_write,
                        uint8_t fault)
{
    uint64_t hi = fault_record(m);

    if (!fault) {
        g_assert_cmphex(hi & VTD_FRCD_F, ==, 0);
        return;
    }
    g_assert_cmphex(hi & VTD_FRCD_F, ==, VTD_FRCD_F);
    g_assert_cmphex((hi >> 32) & 0xff, ==, fault);
    g_assert_cmphex(hi & VTD_FRCD_SID_MASK, ==, dev->sid);
    g_assert_cmphex(hi & VTD_FRCD_T, ==, is_write ? 0 : VTD_FRCD_T);
    g_assert_cmphex(reg_readq(m, DMAR_FRCD_REG_0_0), ==, VTD_FRCD_FI(iova));
    clear_fault(m);
}

static void test_access(const void *data)
{
    const AccessCase *c = data;
    int fs_level = c->fs_level ?: 1, ss_level = c->ss_level ?: 1;
    uint64_t iova = c->iova ?: IOVA;
    bool works = !c->fault && !c->silent;
    uint64_t entries[TOP + 1], before[TOP + 1], hpa, gpa;
    Machine m;
    Dev *dev = &m.devs[0];
    int i;

    g_test_message("%s", c->what);
    machine_start(&m, 1);
    dev->ss_top = c->ss_top;
    setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = map_both(&m, dev, iova, GPA_BASE, HPA_BASE, fs_level, ss_level);
    gpa = (GPA_BASE & page_mask(fs_level)) | (iova & ~page_mask(fs_level));
    for (i = fs_level; i <= TOP; i++) {
        entries[i] = fs_entry(&m, dev, iova, i);
    }
    for (i = 0; i < ARRAY_SIZE(c->tweaks); i++) {
        apply_tweak(&m, dev, iova, gpa, &c->tweaks[i]);
    }
    for (i = fs_level; i <= TOP; i++) {
        before[i] = qtest_readq(m.qts, entries[i]);
    }
    qtest_writeq(m.qts, hpa, PAT1);
    machine_enable(&m);

    if (c->is_write) {
        dma_write(&m, dev, iova, PAT_WRITE);
        g_assert_cmphex(qtest_readq(m.qts, hpa), ==, works ? PAT_WRITE : PAT1);
    } else if (works) {
        g_assert_cmphex(dma_read(&m, dev, iova), ==, PAT1);
    } else {
        g_assert_cmphex(dma_read(&m, dev, iova), !=, PAT1);
    }

    /* A fault leaves no trace in the tables */
    for (i = fs_level; i <= TOP; i++) {
        uint64_t flags = 0;

        if (works) {
            flags = A | (c->is_write && i == fs_level ? D : 0);
        }
        g_assert_cmphex(qtest_readq(m.qts, entries[i]), ==, before[i] | flags);
    }
    check_fault(&m, dev, iova, c->is_write, c->fault);
    machine_stop(&m);
}

/* What is cached, and which invalidation drops it */

typedef struct FlushCase {
    const char *name;
    const char *what;
    uint64_t qw0, qw1;
    bool flushed;
    bool change_ss;     /* the change is in the second stage */
    int fs_level;
} FlushCase;

#define INV(type, g, did) \
    ((type) | (uint64_t)(g) << 4 | (uint64_t)(did) << 16)
#define PIOTLB(g, did, pasid) \
    (INV(VTD_INV_DESC_PIOTLB, g, did) | (uint64_t)(pasid) << 32)
#define PC(g, did, pasid) \
    (INV(VTD_INV_DESC_PC, g, did) | (uint64_t)(pasid) << 32)
#define GPA     (GPA_BASE & VTD_PAGE_MASK_4K)

static const FlushCase flush_cases[] = {
    { "piotlb-pasid-flushes", "PASID-based, all of the PASID",
      PIOTLB(2, DOMAIN_ID, PASID), 0, true },
    { "piotlb-other-pasid-keeps", "PASID-based, another PASID",
      PIOTLB(2, DOMAIN_ID, PASID + 1), 0, false },
    { "piotlb-other-domain-keeps", "PASID-based, another domain",
      PIOTLB(2, DOMAIN_ID + 1, PASID), 0, false },
    { "piotlb-page-flushes", "PASID-based, the page",
      PIOTLB(3, DOMAIN_ID, PASID), IOVA, true },
    { "piotlb-leaf-hint-flushes", "PASID-based, the page, IH set",
      PIOTLB(3, DOMAIN_ID, PASID), IOVA | 0x40, true },
    { "piotlb-other-page-keeps", "PASID-based, the page after it",
      PIOTLB(3, DOMAIN_ID, PASID), IOVA + 0x1000, false },
    { "piotlb-range-flushes", "PASID-based, 8 pages around it",
      PIOTLB(3, DOMAIN_ID, PASID), (IOVA & ~0x7fffULL) | 3, true },
    { "piotlb-other-range-keeps", "PASID-based, the 8 pages after these",
      PIOTLB(3, DOMAIN_ID, PASID), ((IOVA & ~0x7fffULL) + 0x8000) | 3, false },
    { "piotlb-inside-2m-flushes", "PASID-based, a page inside a 2 MiB page",
      PIOTLB(3, DOMAIN_ID, PASID), IOVA ^ 0x100000, true, .fs_level = 2 },
    { "piotlb-outside-2m-keeps", "PASID-based, a page in the next 2 MiB page",
      PIOTLB(3, DOMAIN_ID, PASID), IOVA + 0x200000, false, .fs_level = 2 },
    { "piotlb-beyond-mamv-flushes", "PASID-based, 4 GiB: MAMV does not count",
      PIOTLB(3, DOMAIN_ID, PASID), (IOVA & ~0xffffffffULL) | 20, true },
    { "piotlb-of-ss-change-flushes", "PASID-based, after a second-stage change",
      PIOTLB(2, DOMAIN_ID, PASID), 0, true, true },
    { "iotlb-global-flushes", "IOTLB, global",
      INV(VTD_INV_DESC_IOTLB, 1, 0), 0, true, true },
    { "iotlb-domain-flushes", "IOTLB, the domain",
      INV(VTD_INV_DESC_IOTLB, 2, DOMAIN_ID), 0, true, true },
    { "iotlb-domain-of-fs-change-flushes", "the same after a first-stage one",
      INV(VTD_INV_DESC_IOTLB, 2, DOMAIN_ID), 0, true },
    { "iotlb-other-domain-keeps", "IOTLB, another domain",
      INV(VTD_INV_DESC_IOTLB, 2, DOMAIN_ID + 1), 0, false, true },
    { "iotlb-page-flushes", "IOTLB, the GPA's page",
      INV(VTD_INV_DESC_IOTLB, 3, DOMAIN_ID), GPA, true, true },
    { "iotlb-page-of-other-domain-keeps", "IOTLB, the page in another domain",
      INV(VTD_INV_DESC_IOTLB, 3, DOMAIN_ID + 1), GPA, false, true },
    { "pasid-cache-keeps", "PASID cache, which is no IOTLB invalidation",
      PC(1, DOMAIN_ID, PASID), 0, false },
};

static void test_flush(const void *data)
{
    const FlushCase *c = data;
    int level = c->fs_level ?: 1;
    uint64_t hpa, hpa2;
    Machine m;
    Dev *dev = &m.devs[0];

    g_test_message("%s", c->what);
    machine_start(&m, 1);
    setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, level, level);
    qtest_writeq(m.qts, hpa, PAT1);
    machine_enable(&m);
    g_assert_cmphex(dma_read(&m, dev, IOVA), ==, PAT1);

    hpa2 = map_both(&m, dev, IOVA, c->change_ss ? GPA_BASE : GPA2_BASE,
                    HPA2_BASE, level, level);
    g_assert_cmphex(hpa, !=, hpa2);
    qtest_writeq(m.qts, hpa2, PAT2);
    /* Without this the test could not tell a flush from an empty IOTLB */
    g_assert_cmphex(dma_read(&m, dev, IOVA), ==, PAT1);

    submit(&m, c->qw0, c->qw1);
    g_assert_cmphex(dma_read(&m, dev, IOVA), ==, c->flushed ? PAT2 : PAT1);
    check_fault(&m, dev, IOVA, false, 0);
    machine_stop(&m);
}

/*
 * Pages of any size in either stage: all of the smaller one is cached, and
 * nothing beyond it.
 */
static void test_page_size(const void *data)
{
    int fs_level = GPOINTER_TO_INT(data) / 4;
    int ss_level = GPOINTER_TO_INT(data) % 4;
    int min = MIN(fs_level, ss_level);
    /* The end of the page, or of what RAM has of it */
    uint64_t last = MIN(page_size(min), 64 * MiB) - 8;
    uint64_t outside = IOVA ^ page_size(min);
    uint64_t hpa, hpa2;
    Machine m;
    Dev *dev = &m.devs[0];

    machine_start(&m, 1);
    setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, fs_level, ss_level);
    qtest_writeq(m.qts, hpa, PAT1);
    qtest_writeq(m.qts, hpa | last, ~PAT1);
    machine_enable(&m);
    g_assert_cmphex(dma_read(&m, dev, IOVA), ==, PAT1);

    /* Another mapping, not announced */
    map_both(&m, dev, IOVA, GPA2_BASE, HPA2_BASE, fs_level, ss_level);
    hpa2 = map_both(&m, dev, outside, GPA2_BASE, HPA2_BASE, fs_level, ss_level);
    qtest_writeq(m.qts, hpa2, PAT2);

    g_assert_cmphex(dma_read(&m, dev, IOVA | last), ==, ~PAT1);
    g_assert_cmphex(dma_read(&m, dev, outside), ==, PAT2);
    dma_write(&m, dev, outside, PAT_WRITE);
    g_assert_cmphex(qtest_readq(m.qts, hpa2), ==, PAT_WRITE);
    check_fault(&m, dev, outside, true, 0);
    machine_stop(&m);
}

/* A write after a read that has filled the IOTLB */
static void test_write_after_read(const void *data)
{
    bool readonly = GPOINTER_TO_INT(data);
    uint64_t entry, hpa;
    Machine m;
    Dev *dev = &m.devs[0];

    machine_start(&m, 1);
    setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, 1, 1);
    entry = fs_entry(&m, dev, IOVA, 1);
    if (readonly) {
        qtest_writeq(m.qts, entry, GPA | FS_RO);
    }
    qtest_writeq(m.qts, hpa, PAT1);
    machine_enable(&m);

    g_assert_cmphex(dma_read(&m, dev, IOVA), ==, PAT1);
    g_assert_cmphex(qtest_readq(m.qts, entry) & (A | D), ==, A);
    dma_write(&m, dev, IOVA, PAT_WRITE);
    g_assert_cmphex(qtest_readq(m.qts, entry) & (A | D), ==,
                    readonly ? A : A | D);
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, readonly ? PAT1 : PAT_WRITE);
    check_fault(&m, dev, IOVA, true, readonly ? VTD_FR_SM_WRITE : 0);
    machine_stop(&m);
}

/* Entries of all types at once, and each device through all types */
static void test_mixed_types(void)
{
    static const uint64_t types[] = {
        VTD_SM_PASID_ENTRY_NESTED, VTD_SM_PASID_ENTRY_FLT,
        VTD_SM_PASID_ENTRY_SLT, VTD_SM_PASID_ENTRY_PT,
    };
    uint64_t addr[MAX_DEVS], hpa[MAX_DEVS];
    Machine m;
    int turn, n;

    machine_start(&m, MAX_DEVS);
    machine_enable(&m);
    for (turn = 0; turn < ARRAY_SIZE(types); turn++) {
        for (n = 0; n < MAX_DEVS; n++) {
            uint64_t type = types[(n + turn) % ARRAY_SIZE(types)];
            Dev *dev = &m.devs[n];

            dev->fs_root = dev->ss_root = 0;
            addr[n] = IOVA + n * 0x1000;
            hpa[n] = HPA_BASE + (turn * MAX_DEVS + n) * 0x1000;
            setup_pe(&m, n, type);
            if (type == VTD_SM_PASID_ENTRY_NESTED) {
                map_both(&m, dev, addr[n], GPA_BASE, hpa[n], 1, 1);
            } else if (type == VTD_SM_PASID_ENTRY_FLT) {
                map_fs(&m, dev, addr[n], hpa[n], 1);
            } else if (type == VTD_SM_PASID_ENTRY_SLT) {
                map_ss(&m, dev, addr[n], hpa[n], 1);
            } else {
                addr[n] = hpa[n];
            }
            qtest_writeq(m.qts, hpa[n], PAT1 + n);
            invalidate_pasid_cache(&m);
            submit(&m, INV(VTD_INV_DESC_IOTLB, 2, DOMAIN_ID + n), 0);
        }
        /* Twice: the second round is served by the IOTLB */
        for (n = 0; n < MAX_DEVS; n++) {
            edu_dma(&m, &m.devs[n], addr[n], false);
        }
        for (n = 0; n < MAX_DEVS; n++) {
            qtest_writeq(m.qts, hpa[n], 0);
            edu_dma(&m, &m.devs[n], addr[n], true);
            g_assert_cmphex(qtest_readq(m.qts, hpa[n]), ==, PAT1 + n);
            g_assert_cmphex(fault_record(&m) & VTD_FRCD_F, ==, 0);
        }
        /* A translated address is no host address, and the reverse */
        for (n = 0; n < MAX_DEVS; n++) {
            uint64_t type = types[(n + turn) % ARRAY_SIZE(types)];

            if (type != VTD_SM_PASID_ENTRY_PT) {
                qtest_writeq(m.qts, hpa[n], PAT2);
                edu_dma(&m, &m.devs[n], hpa[n], true);
                g_assert_cmphex(qtest_readq(m.qts, hpa[n]), ==, PAT2);
                g_assert_cmphex(fault_record(&m) & VTD_FRCD_F, ==, VTD_FRCD_F);
                clear_fault(&m);
            }
        }
    }
    machine_stop(&m);
}

static void test_capabilities(void)
{
    static const struct {
        const char *props;
        uint64_t ecap;
    } cases[] = {
        { "", VTD_ECAP_FLTS },
        { ",x-nested=off", VTD_ECAP_FLTS },
        { ",x-nested=on",
          VTD_ECAP_FLTS | VTD_ECAP_SLTS | VTD_NESTED_ECAP_NEST },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        QTestState *qts = qtest_initf(MACHINE, cases[i].props);
        uint64_t ecap = qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR +
                                    DMAR_ECAP_REG);
        uint64_t cap = qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR +
                                   DMAR_CAP_REG);

        g_assert_cmphex(ecap & VTD_ECAP_SMTS, ==, VTD_ECAP_SMTS);
        g_assert_cmphex(ecap & (VTD_ECAP_FLTS | VTD_ECAP_SLTS |
                                VTD_NESTED_ECAP_NEST), ==, cases[i].ecap);
        g_assert_cmphex(cap & VTD_CAP_SAGAW_MASK, ==,
                        VTD_CAP_SAGAW_39bit | VTD_CAP_SAGAW_48bit);
        qtest_quit(qts);
    }
}

static void add_page_size_tests(void)
{
    static const char *const sizes[] = { "", "4k", "2m", "1g" };

    for (int fs_level = 1; fs_level <= 3; fs_level++) {
        for (int ss_level = 1; ss_level <= 3; ss_level++) {
            g_autofree char *path = g_strdup_printf(
                "/q35/intel-iommu-nested/page-size/%s-on-%s",
                sizes[fs_level], sizes[ss_level]);

            qtest_add_data_func(path, GINT_TO_POINTER(fs_level * 4 + ss_level),
                                test_page_size);
        }
    }
}

int main(int argc, char **argv)
{
    int i;

    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/q35/intel-iommu-nested/capabilities", test_capabilities);
    for (i = 0; i < ARRAY_SIZE(access_cases); i++) {
        g_autofree char *path = g_strdup_printf(
            "/q35/intel-iommu-nested/access/%s", access_cases[i].name);

        qtest_add_data_func(path, &access_cases[i], test_access);
    }
    for (i = 0; i < ARRAY_SIZE(flush_cases); i++) {
        g_autofree char *path = g_strdup_printf(
            "/q35/intel-iommu-nested/flush/%s", flush_cases[i].name);

        qtest_add_data_func(path, &flush_cases[i], test_flush);
    }
    add_page_size_tests();
    qtest_add_data_func("/q35/intel-iommu-nested/write-after-read/writable",
                        GINT_TO_POINTER(false), test_write_after_read);
    qtest_add_data_func("/q35/intel-iommu-nested/write-after-read/read-only",
                        GINT_TO_POINTER(true), test_write_after_read);
    qtest_add_func("/q35/intel-iommu-nested/mixed-types", test_mixed_types);
    return g_test_run();
}
