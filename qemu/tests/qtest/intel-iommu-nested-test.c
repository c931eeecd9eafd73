/*
 * QTest of nested translation in the emulated VT-d
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hw/i386/intel_iommu_nested.h"
#include "libqos/cases.h"
#include "libqos/fw_cfg.h"
#include "intel-iommu-nested-guest.h"

/* Data pages, all below the tables */
#define IOVA            0x000012c007654000ULL
#define GPA_BASE        0x000000344abcd000ULL
#define GPA2_BASE       0x000000564123b000ULL
#define FIFTH_LEVEL     0x0000000003334000ULL
#define HPA_BASE        0x0000000003335000ULL
#define HPA2_BASE       0x0000000004ee6000ULL

/* pasid-testdev */
#define TESTDEV_DATA            0x08
#define TESTDEV_COMMAND         0x14
#define TESTDEV_RESULT          0x18
#define TESTDEV_FOLLOW_UNMAPS   6

#define PAT1            0x1122334455667788ULL
#define PAT2            0x99aabbccddeeff00ULL
#define PAT_WRITE       0x0123456789abcdefULL

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
#define PS      VTD_PTE_PS

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

static void apply_tweak(NGMachine *m, NGDev *dev, uint64_t iova, uint64_t gpa,
                        const Tweak *t)
{
    uint64_t entry;

    switch (t->where) {
    case FS:
        entry = vtd_guest_pte(&m->g, &dev->fs, iova, t->level);
        break;
    case SS:
        entry = vtd_guest_pte(&m->g, &dev->ss, gpa, t->level);
        break;
    case FS_TABLE:
        entry = vtd_guest_pte(&m->g, &dev->fs, iova, t->level);
        entry = vtd_guest_pte(&m->g, &dev->ss,
                              (entry & VTD_PAGE_MASK_4K) + TABLE_GPA_OFFSET, 1);
        break;
    case PE:
        dev->pe[t->level] = (dev->pe[t->level] & ~t->clear) | t->set;
        ng_write_pe(m, dev - m->devs, dev->pe);
        return;
    default:
        return;
    }
    qtest_writeq(m->qts, entry,
                 (qtest_readq(m->qts, entry) & ~t->clear) | t->set);
}

static void check_fault(NGMachine *m, NGDev *dev, uint64_t iova, bool is_write,
                        uint8_t fault)
{
    uint64_t hi = ng_fault_record(m);

    if (!fault) {
        g_assert_cmphex(hi & VTD_FRCD_F, ==, 0);
        return;
    }
    g_assert_cmphex(hi & VTD_FRCD_F, ==, VTD_FRCD_F);
    g_assert_cmphex((hi >> 32) & 0xff, ==, fault);
    g_assert_cmphex(hi & VTD_FRCD_SID_MASK, ==, dev->sid);
    g_assert_cmphex(hi & VTD_FRCD_T, ==, is_write ? 0 : VTD_FRCD_T);
    g_assert_cmphex(vtd_guest_readq(&m->g, DMAR_FRCD_REG_0_0), ==,
                    VTD_FRCD_FI(iova));
    ng_clear_fault(m);
}

static void test_access(const void *data)
{
    const AccessCase *c = data;
    int fs_level = c->fs_level ?: 1, ss_level = c->ss_level ?: 1;
    uint64_t iova = c->iova ?: IOVA;
    bool works = !c->fault && !c->silent;
    uint64_t entries[TOP + 1], before[TOP + 1], hpa, gpa;
    NGMachine m;
    NGDev *dev = &m.devs[0];
    int i;

    g_test_message("%s", c->what);
    ng_start(&m, 1);
    dev->ss_top = c->ss_top;
    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = ng_map_both(&m, dev, iova, GPA_BASE, HPA_BASE, fs_level, ss_level);
    gpa = (GPA_BASE & vtd_guest_page_mask(fs_level)) |
          (iova & ~vtd_guest_page_mask(fs_level));
    for (i = fs_level; i <= TOP; i++) {
        entries[i] = vtd_guest_pte(&m.g, &dev->fs, iova, i);
    }
    for (i = 0; i < ARRAY_SIZE(c->tweaks); i++) {
        apply_tweak(&m, dev, iova, gpa, &c->tweaks[i]);
    }
    for (i = fs_level; i <= TOP; i++) {
        before[i] = qtest_readq(m.qts, entries[i]);
    }
    qtest_writeq(m.qts, hpa, PAT1);
    vtd_guest_enable(&m.g);

    if (c->is_write) {
        ng_dma_write(&m, dev, iova, PAT_WRITE);
        g_assert_cmphex(qtest_readq(m.qts, hpa), ==, works ? PAT_WRITE : PAT1);
    } else if (works) {
        g_assert_cmphex(ng_dma_read(&m, dev, iova), ==, PAT1);
    } else {
        g_assert_cmphex(ng_dma_read(&m, dev, iova), !=, PAT1);
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
    ng_stop(&m);
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
    NGMachine m;
    NGDev *dev = &m.devs[0];

    g_test_message("%s", c->what);
    ng_start(&m, 1);
    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = ng_map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, level, level);
    qtest_writeq(m.qts, hpa, PAT1);
    vtd_guest_enable(&m.g);
    g_assert_cmphex(ng_dma_read(&m, dev, IOVA), ==, PAT1);

    hpa2 = ng_map_both(&m, dev, IOVA, c->change_ss ? GPA_BASE : GPA2_BASE,
                    HPA2_BASE, level, level);
    g_assert_cmphex(hpa, !=, hpa2);
    qtest_writeq(m.qts, hpa2, PAT2);
    /* Without this the test could not tell a flush from an empty IOTLB */
    g_assert_cmphex(ng_dma_read(&m, dev, IOVA), ==, PAT1);

    ng_submit(&m, c->qw0, c->qw1);
    g_assert_cmphex(ng_dma_read(&m, dev, IOVA), ==, c->flushed ? PAT2 : PAT1);
    check_fault(&m, dev, IOVA, false, 0);
    ng_stop(&m);
}

/*
 * Pages of any size in either stage: all of the smaller one is cached, and
 * nothing beyond it.
 */
static void test_page_size(const void *data)
{
    int fs_level = GPOINTER_TO_INT(data) / 4;
    int ss_level = GPOINTER_TO_INT(data) % 4;
    uint64_t size = ~vtd_guest_page_mask(MIN(fs_level, ss_level)) + 1;
    /* The end of the page, or of what RAM has of it */
    uint64_t last = MIN(size, 64 * MiB) - 8;
    uint64_t outside = IOVA ^ size;
    uint64_t hpa, hpa2;
    NGMachine m;
    NGDev *dev = &m.devs[0];

    ng_start(&m, 1);
    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = ng_map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, fs_level, ss_level);
    qtest_writeq(m.qts, hpa, PAT1);
    qtest_writeq(m.qts, hpa | last, ~PAT1);
    vtd_guest_enable(&m.g);
    g_assert_cmphex(ng_dma_read(&m, dev, IOVA), ==, PAT1);

    /* Another mapping, not announced */
    ng_map_both(&m, dev, IOVA, GPA2_BASE, HPA2_BASE, fs_level, ss_level);
    hpa2 = ng_map_both(&m, dev, outside, GPA2_BASE, HPA2_BASE,
                       fs_level, ss_level);
    qtest_writeq(m.qts, hpa2, PAT2);

    g_assert_cmphex(ng_dma_read(&m, dev, IOVA | last), ==, ~PAT1);
    g_assert_cmphex(ng_dma_read(&m, dev, outside), ==, PAT2);
    ng_dma_write(&m, dev, outside, PAT_WRITE);
    g_assert_cmphex(qtest_readq(m.qts, hpa2), ==, PAT_WRITE);
    check_fault(&m, dev, outside, true, 0);
    ng_stop(&m);
}

/* A write after a read that has filled the IOTLB */

typedef struct WriteCase {
    const char *name;
    const char *what;
    int readonly_level;     /* of a first-stage entry, 0 for none */
    uint64_t flags;         /* preset in the first-stage page entry */
} WriteCase;

static const WriteCase write_cases[] = {
    { "clean-works", "the write walks again to set D", 0, 0 },
    { "dirty-works", "nothing is left to be set", 0, A | D },
    { "readonly-faults", "the write walks again to find the fault", 1, 0 },
    { "dirty-readonly-faults", "D is no permission", 1, A | D },
    { "dirty-readonly-table-faults", "nor is that of the page alone",
      3, A | D },
};

static void test_write_after_read(const void *data)
{
    const WriteCase *c = data;
    bool works = !c->readonly_level;
    uint64_t entry, hpa;
    Tweak dirty = { FS, 1, 0, c->flags };
    Tweak readonly = { FS, c->readonly_level, VTD_FL_RW, 0 };
    NGMachine m;
    NGDev *dev = &m.devs[0];

    g_test_message("%s", c->what);
    ng_start(&m, 1);
    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_NESTED);
    hpa = ng_map_both(&m, dev, IOVA, GPA_BASE, HPA_BASE, 1, 1);
    entry = vtd_guest_pte(&m.g, &dev->fs, IOVA, 1);
    apply_tweak(&m, dev, IOVA, GPA, &dirty);
    if (c->readonly_level) {
        apply_tweak(&m, dev, IOVA, GPA, &readonly);
    }
    qtest_writeq(m.qts, hpa, PAT1);
    vtd_guest_enable(&m.g);

    g_assert_cmphex(ng_dma_read(&m, dev, IOVA), ==, PAT1);
    g_assert_cmphex(qtest_readq(m.qts, entry) & (A | D), ==, A | c->flags);
    ng_dma_write(&m, dev, IOVA, PAT_WRITE);
    g_assert_cmphex(qtest_readq(m.qts, entry) & (A | D), ==,
                    A | c->flags | (works ? D : 0));
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, works ? PAT_WRITE : PAT1);
    check_fault(&m, dev, IOVA, true, works ? 0 : VTD_FR_SM_WRITE);
    ng_stop(&m);
}

/* Entries of all types at once, and each device through all types */
static void test_mixed_types(void)
{
    static const uint64_t types[] = {
        VTD_SM_PASID_ENTRY_NESTED, VTD_SM_PASID_ENTRY_FLT,
        VTD_SM_PASID_ENTRY_SLT, VTD_SM_PASID_ENTRY_PT,
    };
    uint64_t addr[NG_MAX_DEVS], hpa[NG_MAX_DEVS];
    NGMachine m;
    int turn, n;

    ng_start(&m, NG_MAX_DEVS);
    vtd_guest_enable(&m.g);
    for (turn = 0; turn < ARRAY_SIZE(types); turn++) {
        for (n = 0; n < NG_MAX_DEVS; n++) {
            uint64_t type = types[(n + turn) % ARRAY_SIZE(types)];
            NGDev *dev = &m.devs[n];

            addr[n] = IOVA + n * 0x1000;
            hpa[n] = HPA_BASE + (turn * NG_MAX_DEVS + n) * 0x1000;
            ng_setup_pe(&m, n, type);
            if (type == VTD_SM_PASID_ENTRY_NESTED) {
                ng_map_both(&m, dev, addr[n], GPA_BASE, hpa[n], 1, 1);
            } else if (type == VTD_SM_PASID_ENTRY_FLT) {
                vtd_guest_map(&m.g, &dev->fs, addr[n], hpa[n], 1);
            } else if (type == VTD_SM_PASID_ENTRY_SLT) {
                vtd_guest_map(&m.g, &dev->ss, addr[n], hpa[n], 1);
            } else {
                addr[n] = hpa[n];
            }
            qtest_writeq(m.qts, hpa[n], PAT1 + n);
            ng_flush_pasid_cache(&m);
            ng_submit(&m, INV(VTD_INV_DESC_IOTLB, 2, DOMAIN_ID + n), 0);
        }
        /* Twice: the second round is served by the IOTLB */
        for (n = 0; n < NG_MAX_DEVS; n++) {
            ng_dma(&m, &m.devs[n], addr[n], false);
        }
        for (n = 0; n < NG_MAX_DEVS; n++) {
            qtest_writeq(m.qts, hpa[n], 0);
            ng_dma(&m, &m.devs[n], addr[n], true);
            g_assert_cmphex(qtest_readq(m.qts, hpa[n]), ==, PAT1 + n);
            g_assert_cmphex(ng_fault_record(&m) & VTD_FRCD_F, ==, 0);
        }
        /* A translated address is no host address, and the reverse */
        for (n = 0; n < NG_MAX_DEVS; n++) {
            uint64_t type = types[(n + turn) % ARRAY_SIZE(types)];

            if (type != VTD_SM_PASID_ENTRY_PT) {
                qtest_writeq(m.qts, hpa[n], PAT2);
                ng_dma(&m, &m.devs[n], hpa[n], true);
                g_assert_cmphex(qtest_readq(m.qts, hpa[n]), ==, PAT2);
                g_assert(ng_fault_record(&m) & VTD_FRCD_F);
                ng_clear_fault(&m);
            }
        }
    }
    ng_stop(&m);
}

static void test_capabilities(void)
{
    static const struct {
        const char *props;
        uint64_t ecap;
    } cases[] = {
        { ",x-flts=on", VTD_ECAP_FLTS },
        { ",x-flts=on,x-nested=off", VTD_ECAP_FLTS },
        { ",x-flts=on,x-nested=on",
          VTD_ECAP_FLTS | VTD_ECAP_SLTS | VTD_ECAP_NEST },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        QTestState *qts = qtest_initf(NG_MACHINE, cases[i].props);
        uint64_t ecap = qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR +
                                    DMAR_ECAP_REG);
        uint64_t cap = qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR +
                                   DMAR_CAP_REG);

        g_assert_cmphex(ecap & VTD_ECAP_SMTS, ==, VTD_ECAP_SMTS);
        g_assert_cmphex(ecap & (VTD_ECAP_FLTS | VTD_ECAP_SLTS |
                                VTD_ECAP_NEST), ==, cases[i].ecap);
        g_assert_cmphex(cap & VTD_CAP_SAGAW_MASK, ==,
                        VTD_CAP_SAGAW_39bit | VTD_CAP_SAGAW_48bit);
        qtest_quit(qts);
    }
}

/* Each combination is an error before the machine starts */
static void test_bad_properties(void)
{
    static const struct {
        const char *props, *error;
    } cases[] = {
        { ",x-nested=on",
          "x-nested=on needs x-scalable-mode=on,x-flts=on" },
        { ",x-scalable-mode=off,x-nested=on",
          "x-nested=on needs x-scalable-mode=on,x-flts=on" },
        { ",x-flts=on,x-nested=on,dma-translation=off",
          "x-nested=on needs dma-translation=on" },
        { ",x-flts=on,x-nested=on,aw-bits=39",
          "supported values for aw-bits are: 48, 57" },
        { ",x-flts=on,x-nested=on,aw-bits=57",
          "x-nested=on needs aw-bits=48 (now aw-bits=57)" },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        /* The last device stops QEMU if the first one does not */
        g_autofree char *command = g_strdup_printf(
            "%s -accel qtest -display none " NG_MACHINE "-device no-such",
            g_getenv("QTEST_QEMU_BINARY"), cases[i].props);
        g_autofree char *output = NULL;
        int status;

        g_assert_true(g_spawn_command_line_sync(command, NULL, &output,
                                                &status, NULL));
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 1);
        g_assert_nonnull(strstr(output, cases[i].error));
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

/*
 * A device in pass-through mode whose PASID entry becomes first-stage, with
 * nothing but a PASID-cache invalidation; as in test_mixed_types(), but without
 * the nested type. It must no longer reach memory by host address.
 */
static void test_leave_pass_through(void)
{
    const uint64_t hpa = HPA_BASE, addr = IOVA;
    NGMachine m;

    ng_start_with(&m, 1, ",x-flts=on");
    vtd_guest_enable(&m.g);
    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_PT);
    ng_flush_pasid_cache(&m);
    qtest_writeq(m.qts, hpa, PAT1);
    ng_dma(&m, &m.devs[0], hpa, false);
    qtest_writeq(m.qts, hpa, 0);
    ng_dma(&m, &m.devs[0], hpa, true);
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, PAT1);

    ng_setup_pe(&m, 0, VTD_SM_PASID_ENTRY_FLT);
    vtd_guest_map(&m.g, &m.devs[0].fs, addr, hpa, 1);
    ng_flush_pasid_cache(&m);
    qtest_writeq(m.qts, hpa, PAT2);
    ng_dma(&m, &m.devs[0], hpa, true);
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, PAT2);
    ng_dma(&m, &m.devs[0], addr, true);
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, PAT1);
    ng_stop(&m);
}

/*
 * vhost keeps what a PASID entry allowed. Linux clears the entry, invalidates
 * the PASID cache and then the domain, which nothing names any more: when all
 * that is done, vhost has been told to forget everything.
 */
static void test_vhost_forgets(void)
{
    const VtdPasidEntry entry = {
        .pgtt = VTD_PGTT_FIRST_STAGE, .domain_id = DOMAIN_ID,
        .table = HPA2_BASE,
    };
    NGMachine m;
    QPCIDevice *pci;
    uint64_t dir;
    QPCIBar bar;

    ng_start_with(&m, 0, ",x-flts=on -device pasid-testdev,addr=4");
    pci = qpci_device_find(m.bus, QPCI_DEVFN(4, 0));
    qpci_device_enable(pci);
    bar = qpci_iomap(pci, 0, NULL);
    dir = vtd_guest_add_context(&m.g, QPCI_DEVFN(4, 0), 0);
    vtd_guest_write_pasid(&m.g, dir, 0, &entry);
    vtd_guest_enable(&m.g);
    ng_flush_pasid_cache(&m);
    qpci_io_writel(pci, bar, TESTDEV_COMMAND, TESTDEV_FOLLOW_UNMAPS);
    g_assert_cmpuint(qpci_io_readl(pci, bar, TESTDEV_RESULT), ==, 0);
    g_assert_cmpuint(qpci_io_readq(pci, bar, TESTDEV_DATA), ==, 0);

    vtd_guest_clear_pasid(&m.g, dir, 0);
    ng_flush_pasid_cache(&m);
    vtd_guest_post_piotlb(&m.g, VTD_PIOTLB_PASID, DOMAIN_ID, 0, 0, 0, false);
    vtd_guest_sync(&m.g);
    g_assert_cmpuint(qpci_io_readq(pci, bar, TESTDEV_DATA), >, 0);
    qpci_iounmap(pci, bar);
    g_free(pci);
    ng_stop(&m);
}

/*
 * First-stage tables of five levels: the fifth one, at FIFTH_LEVEL, leads to
 * the tables of four from its entry for the input address.
 */
#define FIVE_LEVELS_IOVA    (5ULL << 48 | IOVA)

static void start_five_levels(NGMachine *m, const char *props)
{
    NGDev *dev = &m->devs[0];

    ng_start_with(m, 1, props);
    vtd_guest_enable(&m->g);
    ng_setup_pe(m, 0, VTD_SM_PASID_ENTRY_FLT);
    vtd_guest_map(&m->g, &dev->fs, IOVA, HPA_BASE, 1);
    qtest_writeq(m->qts, FIFTH_LEVEL + 5 * 8,
                 dev->fs.root | VTD_PTE_FIRST_STAGE);
    dev->pe[2] = FIFTH_LEVEL | 1 << 2;
    ng_write_pe(m, 0, dev->pe);
    ng_flush_pasid_cache(m);
}

static void expect_fault(NGMachine *m, uint8_t reason)
{
    g_assert_cmphex(ng_fault_record(m) & (VTD_FRCD_F | VTD_FRCD_FR(0xff)), ==,
                    VTD_FRCD_F | VTD_FRCD_FR((uint64_t)reason));
    ng_clear_fault(m);
}

/* An emulated device behind such tables */
static void test_five_levels(void)
{
    const uint64_t hpa = HPA_BASE, addr = FIVE_LEVELS_IOVA;
    NGMachine m;
    NGDev *dev = &m.devs[0];

    start_five_levels(&m, ",x-flts=on,aw-bits=57");
    g_assert_cmphex(vtd_guest_readq(&m.g, DMAR_CAP_REG) & VTD_CAP_FS5LP, !=, 0);
    qtest_writeq(m.qts, hpa, PAT1);
    ng_dma(&m, dev, addr, false);
    qtest_writeq(m.qts, hpa, 0);
    ng_dma(&m, dev, addr, true);
    g_assert_cmphex(qtest_readq(m.qts, hpa), ==, PAT1);
    g_assert_cmphex(ng_fault_record(&m) & VTD_FRCD_F, ==, 0);

    /* Bit 56 has to be repeated above it */
    ng_dma(&m, dev, 1ULL << 56 | addr, true);
    expect_fault(&m, VTD_FR_FS_NON_CANONICAL);

    /* There are no pages of 256 TiB */
    qtest_writeq(m.qts, FIFTH_LEVEL + 6 * 8,
                 dev->fs.root | VTD_PTE_FIRST_STAGE | PS);
    ng_dma(&m, dev, addr + (1ULL << 48), true);
    expect_fault(&m, VTD_FR_FS_PAGING_ENTRY_RSVD);
    ng_stop(&m);
}

/* They are nothing that a guest could use without being told of them */
static void test_five_levels_not_offered(void)
{
    NGMachine m;

    start_five_levels(&m, ",x-flts=on");
    g_assert_cmphex(vtd_guest_readq(&m.g, DMAR_CAP_REG) & VTD_CAP_FS5LP, ==, 0);
    qtest_writeq(m.qts, HPA_BASE, PAT1);
    ng_dma(&m, &m.devs[0], FIVE_LEVELS_IOVA, true);
    g_assert_cmphex(qtest_readq(m.qts, HPA_BASE), ==, PAT1);
    expect_fault(&m, VTD_FR_PASID_TABLE_ENTRY_INV);
    ng_stop(&m);
}

#define TABLES_SIZE     (128 * KiB)
#define DMAR_LENGTH     4       /* offsets in a table's header */
#define DMAR_CHECKSUM   9
#define DMAR_WIDTH      36      /* of host addresses, minus 1 */

/* Where the DMAR table is in fw_cfg's file of the tables */
static uint8_t *read_dmar(QTestState *qts, uint8_t *tables)
{
    QFWCFG *fw_cfg = pc_fw_cfg_init(qts);
    uint8_t *dmar;

    memset(tables, 0, TABLES_SIZE);
    qfw_cfg_get_file(fw_cfg, "etc/acpi/tables", tables, TABLES_SIZE);
    pc_fw_cfg_uninit(fw_cfg);
    dmar = memmem(tables, TABLES_SIZE, "DMAR", 4);
    g_assert_nonnull(dmar);
    return dmar;
}

/* The DMAR table's width is that of host addresses (VT-d 8.1), 52 at most */
static void test_host_address_width(void)
{
    static const struct {
        const char *props;
        uint8_t width;
    } cases[] = {
        { ",x-flts=on", 48 },
        { ",x-flts=on,aw-bits=57", 52 },
    };
    g_autofree uint8_t *tables = g_malloc(TABLES_SIZE);

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        NGMachine m;

        ng_start_with(&m, 1, cases[i].props);
        g_assert_cmpuint(read_dmar(m.qts, tables)[DMAR_WIDTH] + 1, ==,
                         cases[i].width);
        ng_stop(&m);
    }
}

/*
 * Without what is new, the DMAR table is the one that bios-tables-test expects,
 * which compares it under KVM only.
 */
static void test_dmar_as_before(void)
{
    g_autofree uint8_t *tables = g_malloc(TABLES_SIZE);
    g_autofree char *expected = NULL;
    g_autoptr(GError) err = NULL;
    QTestState *qts;
    uint8_t *dmar;
    gsize size;

    g_file_get_contents("tests/data/acpi/x86/q35/DMAR.dmar", &expected, &size,
                        &err);
    g_assert_no_error(err);
    g_assert_cmpuint(size, >, DMAR_WIDTH);
    /* A device where that test has a display, which not each build has */
    qts = qtest_init("-machine q35 -nodefaults -device edu,addr=1"
                     " -device intel-iommu,intremap=on,device-iotlb=on");
    dmar = read_dmar(qts, tables);
    g_assert_cmpuint(dmar + size - tables, <=, TABLES_SIZE);
    /* The firmware is to fill in the checksum */
    expected[DMAR_CHECKSUM] = 0;
    g_assert_cmpmem(dmar, ldl_le_p(dmar + DMAR_LENGTH), expected, size);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/q35/intel-iommu-nested/capabilities", test_capabilities);
    qtest_add_func("/q35/intel-iommu-nested/bad-properties",
                   test_bad_properties);
    qtest_add_cases("/q35/intel-iommu-nested/access", access_cases,
                    test_access);
    qtest_add_cases("/q35/intel-iommu-nested/flush", flush_cases, test_flush);
    add_page_size_tests();
    qtest_add_cases("/q35/intel-iommu-nested/write-after-read", write_cases,
                    test_write_after_read);
    qtest_add_func("/q35/intel-iommu-nested/mixed-types", test_mixed_types);
    qtest_add_func("/q35/intel-iommu-nested/five-levels", test_five_levels);
    qtest_add_func("/q35/intel-iommu-nested/five-levels-not-offered",
                   test_five_levels_not_offered);
    qtest_add_func("/q35/intel-iommu-nested/host-address-width",
                   test_host_address_width);
    qtest_add_func("/q35/intel-iommu-nested/dmar-as-before",
                   test_dmar_as_before);
    qtest_add_func("/q35/intel-iommu-nested/pass-through-left",
                   test_leave_pass_through);
    qtest_add_func("/q35/intel-iommu-nested/vhost-forgets", test_vhost_forgets);
    return g_test_run();
}
