/*
 * Nested translation of the emulated VT-d
 *
 * A PASID table entry of type nested (PGTT = 011b) names two sets of tables.
 * The first stage turns the input address into a guest physical address
 * (GPA), the second stage turns that into a host physical address (HPA). The
 * first-stage tables themselves are at GPAs, so that each of their entries is
 * read through the second stage too.
 *
 * The walk has two halves: it reads everything and decides, and only when no
 * fault is left it sets accessed and dirty bits. A fault hence leaves the
 * tables of the guest as they were.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qapi/error.h"
#include "hw/i386/x86-iommu.h"
#include "system/dma.h"
#include "intel_iommu_nested.h"
#include "trace.h"

/* Width of the second stage, which only counts for nested entries */
#define VTD_NESTED_PE_AW(pe)    (((pe)->val[0] >> 2) & VTD_SM_PASID_ENTRY_AW)

/* The address in a first-stage entry, the GPA width is checked elsewhere */
#define VTD_NESTED_FS_ADDR      0x000ffffffffff000ULL

#define VTD_NESTED_FS_LEVELS    4

/* Updates that lose against the guest's own stores start over */
#define VTD_NESTED_MAX_RETRIES  64
#define VTD_NESTED_RETRY        1

/* A page of the second stage */
typedef struct VTDNestedPage {
    hwaddr hpa;             /* the looked up GPA, translated */
    uint32_t level;
    bool reads;
    bool writes;
} VTDNestedPage;

/* An accessed or dirty bit that is still to be set */
typedef struct VTDNestedUpdate {
    hwaddr hpa;
    uint64_t pte;
    uint64_t flags;
} VTDNestedUpdate;

typedef struct VTDNestedWalk {
    IntelIOMMUState *s;
    const VTDPASIDEntry *pe;
    uint64_t iova;
    bool is_write;

    /* result of the first stage */
    hwaddr gpa;
    uint32_t fs_level;
    bool fs_writes;
    bool fs_dirty;
    VTDNestedUpdate updates[VTD_NESTED_FS_LEVELS];
    unsigned int nr_updates;
} VTDNestedWalk;

bool vtd_nested_check_config(const IntelIOMMUState *s, Error **errp)
{
    if (!s->nested) {
        return true;
    }
    if (!s->scalable_mode || !s->flts) {
        error_setg(errp, "x-nested=on needs x-scalable-mode=on,x-flts=on "
                   "(now x-scalable-mode=%s,x-flts=%s)",
                   s->scalable_mode ? "on" : "off", s->flts ? "on" : "off");
        return false;
    }
    if (!s->dma_translation) {
        error_setg(errp, "x-nested=on needs dma-translation=on");
        return false;
    }
    if (s->aw_bits != VTD_HOST_AW_48BIT) {
        error_setg(errp, "x-nested=on needs aw-bits=%u (now aw-bits=%u)",
                   VTD_HOST_AW_48BIT, s->aw_bits);
        return false;
    }
    return true;
}

bool vtd_nested_check_host_device(const IntelIOMMUState *s, Error **errp)
{
    if (s->nested) {
        error_setg(errp, "host devices cannot be used with x-nested=on");
        return false;
    }
    return true;
}

uint64_t vtd_nested_ecap(const IntelIOMMUState *s)
{
    return s->nested ? VTD_ECAP_SLTS | VTD_ECAP_NEST : 0;
}

int vtd_nested_check_pe(const IntelIOMMUState *s, const VTDPASIDEntry *pe)
{
    uint32_t aw = VTD_NESTED_PE_AW(pe);

    if (!(s->ecap & VTD_ECAP_NEST)) {
        return -VTD_FR_PASID_TABLE_ENTRY_INV;
    }
    /* Only widths of SAGAW in the second, only 4 levels in the first stage */
    if (!(s->cap & VTD_CAP_SAGAW_MASK & (1ULL << (aw + VTD_CAP_SAGAW_SHIFT))) ||
        VTD_SM_PASID_ENTRY_FSPM(pe->val[2])) {
        return -VTD_FR_PASID_TABLE_ENTRY_INV;
    }
    /* Reserved, since ECAP_REG has none of SRS, SSADS and EAFS with x-nested */
    if (pe->val[0] & VTD_SM_PASID_ENTRY_SSADE ||
        pe->val[2] & (VTD_SM_PASID_ENTRY_SRE | VTD_SM_PASID_ENTRY_EAFE)) {
        return -VTD_FR_PASID_TABLE_ENTRY_RSVD;
    }
    return 0;
}

bool vtd_nested_iotlb_usable(const IntelIOMMUState *s,
                             const VTDIOTLBEntry *entry, bool is_write)
{
    if (!entry || !s->nested) {
        return entry;
    }
    return entry->access_flags & (is_write ? IOMMU_WO : IOMMU_RO);
}

static uint64_t vtd_nested_page_mask(uint32_t level)
{
    return ~0ULL << (VTD_PAGE_SHIFT_4K + (level - 1) * VTD_LEVEL_BITS);
}

static hwaddr vtd_nested_entry_addr(hwaddr table, uint64_t addr, uint32_t level)
{
    uint32_t shift = VTD_PAGE_SHIFT_4K + (level - 1) * VTD_LEVEL_BITS;

    return table + ((addr >> shift) & (VTD_PT_ENTRY_NR - 1)) * sizeof(uint64_t);
}

static bool vtd_nested_is_leaf(uint64_t pte, uint32_t level)
{
    return level == VTD_PT_LEVEL || (pte & VTD_PT_PAGE_SIZE_MASK);
}

static bool vtd_nested_read_pte(hwaddr addr, uint64_t *pte)
{
    if (dma_memory_read(&address_space_memory, addr, pte, sizeof(*pte),
                        VTD_MEM_ATTRS) != MEMTX_OK) {
        return false;
    }
    *pte = le64_to_cpu(*pte);
    return true;
}

static uint64_t vtd_nested_ss_rsvd(IntelIOMMUState *s, uint64_t pte,
                                   uint32_t level)
{
    bool stale_tm = X86_IOMMU_DEVICE(s)->dt_supported && s->stale_tm;
    bool leaf = vtd_nested_is_leaf(pte, level);
    uint64_t mask;

    switch (level) {
    case VTD_PT_LEVEL:
        mask = VTD_SPTE_PAGE_L1_RSVD_MASK(s->aw_bits, stale_tm);
        break;
    case VTD_PD_LEVEL:
        if (leaf) {
            mask = VTD_SPTE_LPAGE_L2_RSVD_MASK(s->aw_bits, stale_tm);
        } else {
            mask = VTD_SPTE_PAGE_L2_RSVD_MASK(s->aw_bits);
        }
        break;
    case VTD_PDP_LEVEL:
        if (leaf) {
            mask = VTD_SPTE_LPAGE_L3_RSVD_MASK(s->aw_bits, stale_tm);
        } else {
            mask = VTD_SPTE_PAGE_L3_RSVD_MASK(s->aw_bits);
        }
        break;
    default:
        mask = VTD_SPTE_PAGE_L4_RSVD_MASK(s->aw_bits);
        leaf = false;
        break;
    }
    /* Scalable mode ignores SNP in the entries that map pages */
    return leaf ? mask & ~VTD_SPTE_SNP : mask;
}

/*
 * Look up @gpa in the second stage. Permissions are collected, not checked:
 * which fault their lack is depends on what the address is used for.
 */
static int vtd_nested_walk_ss(IntelIOMMUState *s, const VTDPASIDEntry *pe,
                              hwaddr gpa, VTDNestedPage *page)
{
    uint32_t aw = VTD_NESTED_PE_AW(pe);
    uint32_t top = 2 + aw, level = top;
    hwaddr table = pe->val[0] & VTD_PT_BASE_ADDR_MASK(s->aw_bits);
    uint64_t pte;

    if (gpa >> MIN(30 + aw * VTD_LEVEL_BITS, s->aw_bits)) {
        return -VTD_FR_SS_ADDR_BEYOND_AW;
    }

    page->reads = true;
    page->writes = true;
    for (;;) {
        if (!vtd_nested_read_pte(vtd_nested_entry_addr(table, gpa, level),
                                 &pte)) {
            return level == top ? -VTD_FR_PASID_ENTRY_SSPTPTR_INV
                                : -VTD_FR_SS_PAGING_ENTRY_INV;
        }
        if (!(pte & VTD_SL_RW_MASK)) {
            return -VTD_FR_SS_PAGING_ENTRY_P;
        }
        if (pte & vtd_nested_ss_rsvd(s, pte, level)) {
            return -VTD_FR_SS_PAGING_ENTRY_RSVD;
        }
        page->reads = page->reads && (pte & VTD_SL_R);
        page->writes = page->writes && (pte & VTD_SL_W);
        table = pte & VTD_PT_BASE_ADDR_MASK(s->aw_bits);
        if (vtd_nested_is_leaf(pte, level)) {
            break;
        }
        level--;
    }

    page->level = level;
    page->hpa = (table & vtd_nested_page_mask(level)) |
                (gpa & ~vtd_nested_page_mask(level));
    return 0;
}

/* Read the first-stage entry at @gpa, through the second stage */
static int vtd_nested_read_fs_entry(VTDNestedWalk *walk, hwaddr gpa, bool top,
                                    VTDNestedPage *page, uint64_t *pte)
{
    int no_read = top ? -VTD_FR_NESTED_FS_TOP_READ : -VTD_FR_NESTED_FS_READ;
    int ret = vtd_nested_walk_ss(walk->s, walk->pe, gpa, page);

    switch (ret) {
    case 0:
        break;
    case -VTD_FR_SS_ADDR_BEYOND_AW:
        return -VTD_FR_NESTED_FS_ADDR_BEYOND_AW;
    case -VTD_FR_SS_PAGING_ENTRY_P:
        return no_read;
    default:
        return ret;
    }

    if (!page->reads) {
        return no_read;
    }
    if (!vtd_nested_read_pte(page->hpa, pte)) {
        return top ? -VTD_FR_PASID_ENTRY_FSPTPTR_INV
                   : -VTD_FR_FS_PAGING_ENTRY_INV;
    }
    return 0;
}

static bool vtd_nested_fs_rsvd(IntelIOMMUState *s, uint64_t pte, uint32_t level)
{
    if (level == VTD_PT_LEVEL || !(pte & VTD_PT_PAGE_SIZE_MASK)) {
        return false;
    }

    switch (level) {
    case VTD_PD_LEVEL:
        break;
    case VTD_PDP_LEVEL:
        if (!(s->cap & VTD_CAP_FS1GP)) {
            return true;
        }
        break;
    default:
        return true;
    }
    /* Bits below the page's address, except for PAT at bit 12 */
    return pte & ~vtd_nested_page_mask(level) & ~0x1fffULL;
}

/* Note which of A and D have to be set in an entry that the walk used */
static int vtd_nested_note_update(VTDNestedWalk *walk, uint64_t pte, bool leaf,
                                  const VTDNestedPage *page)
{
    uint64_t flags = VTD_FL_A | (leaf && walk->is_write ? VTD_FL_D : 0);

    if ((pte & flags) == flags) {
        return 0;
    }
    if (!page->writes) {
        return -VTD_FR_NESTED_FS_WRITE;
    }
    walk->updates[walk->nr_updates++] = (VTDNestedUpdate) {
        .hpa = page->hpa,
        .pte = pte,
        .flags = flags,
    };
    return 0;
}

static int vtd_nested_walk_fs(VTDNestedWalk *walk)
{
    uint32_t level = VTD_NESTED_FS_LEVELS;
    hwaddr table = walk->pe->val[2] & VTD_SM_PASID_ENTRY_FLPTPTR;
    bool leaf = false;
    uint64_t pte;
    int ret;

    if (sextract64(walk->iova, 0, VTD_HOST_AW_48BIT) != walk->iova) {
        return -VTD_FR_FS_NON_CANONICAL;
    }

    walk->nr_updates = 0;
    walk->fs_writes = true;
    for (;;) {
        hwaddr gpa = vtd_nested_entry_addr(table, walk->iova, level);
        VTDNestedPage page;

        ret = vtd_nested_read_fs_entry(walk, gpa, level == VTD_NESTED_FS_LEVELS,
                                       &page, &pte);
        if (ret) {
            return ret;
        }
        if (!(pte & VTD_FL_P)) {
            return -VTD_FR_FS_PAGING_ENTRY_P;
        }
        if (vtd_nested_fs_rsvd(walk->s, pte, level)) {
            return -VTD_FR_FS_PAGING_ENTRY_RSVD;
        }
        /* No emulated device requests supervisor privilege */
        if (!(pte & VTD_FL_US)) {
            return -VTD_FR_FS_PAGING_ENTRY_US;
        }
        walk->fs_writes = walk->fs_writes && (pte & VTD_FL_RW);
        if (walk->is_write && !walk->fs_writes) {
            return -VTD_FR_SM_WRITE;
        }
        leaf = vtd_nested_is_leaf(pte, level);
        ret = vtd_nested_note_update(walk, pte, leaf, &page);
        if (ret) {
            return ret;
        }
        table = pte & VTD_NESTED_FS_ADDR;
        if (leaf) {
            break;
        }
        level--;
    }

    walk->fs_level = level;
    walk->fs_dirty = walk->is_write || (pte & VTD_FL_D);
    walk->gpa = (table & vtd_nested_page_mask(level)) |
                (walk->iova & ~vtd_nested_page_mask(level));
    return 0;
}

/* The guest may change the entry at any time: never store a stale one */
static int vtd_nested_set_flags(const VTDNestedUpdate *update)
{
    uint64_t old = cpu_to_le64(update->pte);
    uint64_t new = cpu_to_le64(update->pte | update->flags);
    dma_addr_t len = sizeof(new);
    uint64_t *ptep;
    int ret = 0;

    ptep = dma_memory_map(&address_space_memory, update->hpa, &len,
                          DMA_DIRECTION_FROM_DEVICE, VTD_MEM_ATTRS);
    if (!ptep) {
        return -VTD_FR_FS_BIT_UPDATE_FAILED;
    }
    if (len < sizeof(new)) {
        ret = -VTD_FR_FS_BIT_UPDATE_FAILED;
    } else {
#ifdef CONFIG_ATOMIC64
        if (qatomic_cmpxchg__nocheck(ptep, old, new) != old) {
            ret = VTD_NESTED_RETRY;
        }
#else
        if (*ptep == old) {
            *ptep = new;
        } else {
            ret = VTD_NESTED_RETRY;
        }
#endif
    }
    /* Tables that are not in RAM are bounced: nothing to write back then */
    dma_memory_unmap(&address_space_memory, ptep, len,
                     DMA_DIRECTION_FROM_DEVICE, ret ? 0 : len);
    return ret;
}

static bool vtd_nested_hits_interrupts(hwaddr hpa, uint32_t level)
{
    hwaddr first = hpa & vtd_nested_page_mask(level);
    hwaddr last = hpa | ~vtd_nested_page_mask(level);

    return first <= VTD_INTERRUPT_ADDR_LAST &&
           last >= VTD_INTERRUPT_ADDR_FIRST;
}

/* Everything that only reads; @page is the result of the second stage */
static int vtd_nested_walk(VTDNestedWalk *walk, VTDNestedPage *page)
{
    int ret = vtd_nested_walk_fs(walk);

    if (!ret) {
        ret = vtd_nested_walk_ss(walk->s, walk->pe, walk->gpa, page);
    }
    if (ret) {
        return ret;
    }
    if (walk->is_write && !page->writes) {
        return -VTD_FR_SM_WRITE;
    }
    if (!walk->is_write && !page->reads) {
        return -VTD_FR_SM_READ;
    }
    if (vtd_nested_hits_interrupts(page->hpa,
                                   MIN(walk->fs_level, page->level))) {
        return -VTD_FR_SM_INTERRUPT_ADDR;
    }
    return 0;
}

int vtd_nested_translate(IntelIOMMUState *s, uint16_t source_id,
                         uint32_t pasid, const VTDPASIDEntry *pe,
                         uint64_t iova, bool is_write, uint64_t *ptep,
                         uint32_t *level, bool *reads, bool *writes)
{
    VTDNestedWalk walk = {
        .s = s, .pe = pe, .iova = iova, .is_write = is_write,
    };
    VTDNestedPage page;
    int ret, retries = 0;

    do {
        ret = vtd_nested_walk(&walk, &page);
        for (unsigned int i = 0; !ret && i < walk.nr_updates; i++) {
            ret = vtd_nested_set_flags(&walk.updates[i]);
        }
    } while (ret == VTD_NESTED_RETRY && retries++ < VTD_NESTED_MAX_RETRIES);

    if (ret == VTD_NESTED_RETRY) {
        ret = -VTD_FR_FS_BIT_UPDATE_FAILED;
    }
    if (ret) {
        trace_vtd_nested_fault(source_id, pasid, iova, is_write, -ret);
        return ret;
    }

    *level = MIN(walk.fs_level, page.level);
    *ptep = page.hpa & vtd_nested_page_mask(*level);
    *reads = page.reads;
    /* A write through the IOTLB would not set the dirty bit */
    *writes = walk.fs_writes && page.writes && walk.fs_dirty;
    trace_vtd_nested_translate(source_id, pasid, iova, walk.gpa, page.hpa,
                               walk.fs_level, page.level, is_write);
    return 0;
}
