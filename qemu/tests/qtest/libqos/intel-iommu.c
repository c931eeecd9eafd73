/*
 * A guest's side of VT-d in scalable mode, driven by a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "await.h"
#include "intel-iommu.h"

#define VTD_GUEST_BASE          Q35_HOST_BRIDGE_IOMMU_ADDR
#define VTD_GUEST_FIRST_PAGE    0x200000ull
#define VTD_GUEST_PAGE          4096ull
#define VTD_GUEST_ENTRY         64      /* bytes of a PASID entry */

/* RTADDR: translation table mode (VT-d 11.4.5) */
#define VTD_RTADDR_SCALABLE     (1ull << 10)
/* IQA: 256-bit descriptors (VT-d 11.4.9.4) */
#define VTD_IQA_DW              (1ull << 11)

uint32_t vtd_guest_readl(VtdGuest *g, uint32_t reg)
{
    return qtest_readl(g->qts, VTD_GUEST_BASE + reg);
}

uint64_t vtd_guest_readq(VtdGuest *g, uint32_t reg)
{
    return qtest_readq(g->qts, VTD_GUEST_BASE + reg);
}

void vtd_guest_writel(VtdGuest *g, uint32_t reg, uint32_t value)
{
    qtest_writel(g->qts, VTD_GUEST_BASE + reg, value);
}

void vtd_guest_writeq(VtdGuest *g, uint32_t reg, uint64_t value)
{
    qtest_writeq(g->qts, VTD_GUEST_BASE + reg, value);
}

uint64_t vtd_guest_alloc(VtdGuest *g)
{
    uint64_t page = g->next_page;

    g->next_page += VTD_GUEST_PAGE;
    qtest_memset(g->qts, page, 0, VTD_GUEST_PAGE);
    return page;
}

void vtd_guest_init(VtdGuest *g, QTestState *qts, unsigned width)
{
    *g = (VtdGuest) {
        .qts = qts,
        .next_page = VTD_GUEST_FIRST_PAGE,
        .queue_width = width,
        .queue_slots = VTD_GUEST_PAGE / width,
    };
    g->root = vtd_guest_alloc(g);
    g->queue = vtd_guest_alloc(g);
    g->status = vtd_guest_alloc(g);
}

void vtd_guest_gcmd(VtdGuest *g, uint32_t bit, bool on)
{
    /* One-shot bits read as status, and must be 0 unless meant */
    uint32_t gsts = vtd_guest_readl(g, DMAR_GSTS_REG) &
                    (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES);

    gsts = on ? gsts | bit : gsts & ~bit;
    vtd_guest_writel(g, DMAR_GCMD_REG, gsts);
    /* Software has to wait for it; it takes longer the more PASIDs are bound */
    QTEST_AWAIT((vtd_guest_readl(g, DMAR_GSTS_REG) & bit) == (on ? bit : 0));
}

void vtd_guest_set_translation(VtdGuest *g, bool on)
{
    vtd_guest_gcmd(g, VTD_GCMD_TE, on);
}

bool vtd_guest_translates(VtdGuest *g)
{
    return vtd_guest_readl(g, DMAR_GSTS_REG) & VTD_GSTS_TES;
}

void vtd_guest_set_root(VtdGuest *g, uint64_t root, bool scalable)
{
    vtd_guest_writeq(g, DMAR_RTADDR_REG,
                     root | (scalable ? VTD_RTADDR_SCALABLE : 0));
    vtd_guest_gcmd(g, VTD_GCMD_SRTP, true);
}

void vtd_guest_enable(VtdGuest *g)
{
    vtd_guest_set_root(g, g->root, true);
    if (!(vtd_guest_readl(g, DMAR_GSTS_REG) & VTD_GSTS_QIES)) {
        g->tail = 0;
        vtd_guest_writeq(g, DMAR_IQT_REG, 0);
        vtd_guest_writeq(g, DMAR_IQA_REG,
                         g->queue | (g->queue_width == 32 ? VTD_IQA_DW : 0));
        vtd_guest_gcmd(g, VTD_GCMD_QIE, true);
    }
    vtd_guest_set_translation(g, true);
}

/* --- tables --- */

uint64_t vtd_guest_context(VtdGuest *g, uint8_t bus, uint8_t devfn)
{
    /* The root entry has a table for the lower devices, one for the upper */
    uint64_t entry = g->root + bus * 16 + (devfn & 0x80 ? 8 : 0);
    uint64_t table = qtest_readq(g->qts, entry);

    if (!table) {
        table = vtd_guest_alloc(g);
        qtest_writeq(g->qts, entry, table | 1);
    }
    return (table & ~0xfffull) + (devfn & 0x7f) * 32;
}

uint64_t vtd_guest_add_context(VtdGuest *g, uint8_t bus, uint8_t devfn,
                               uint32_t rid_pasid)
{
    uint64_t context = vtd_guest_context(g, bus, devfn);
    uint64_t dir = vtd_guest_alloc(g);

    qtest_writeq(g->qts, context + 8, rid_pasid);
    qtest_writeq(g->qts, context, dir | 1);
    return dir;
}

uint64_t vtd_guest_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid)
{
    uint64_t entry = dir + (pasid >> 6) * 8;
    uint64_t table = qtest_readq(g->qts, entry);

    if (!table) {
        table = vtd_guest_alloc(g);
        qtest_writeq(g->qts, entry, table | 1);
    }
    return (table & ~0xfffull) + (pasid & 0x3f) * VTD_GUEST_ENTRY;
}

void vtd_guest_write_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid,
                           const VtdPasidEntry *e)
{
    uint64_t addr = vtd_guest_pasid(g, dir, pasid);

    qtest_writeq(g->qts, addr + 8, e->domain_id);
    qtest_writeq(g->qts, addr + 16, e->table | (uint64_t)e->fspm << 2 |
                 e->flags);
    qtest_writeq(g->qts, addr, (uint64_t)e->pgtt << 6 | 1);
}

void vtd_guest_clear_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid)
{
    qtest_writeq(g->qts, vtd_guest_pasid(g, dir, pasid), 0);
}

/* --- queue --- */

void vtd_guest_post(VtdGuest *g, uint64_t lo, uint64_t hi)
{
    uint64_t slot = g->queue + g->tail * g->queue_width;

    qtest_writeq(g->qts, slot, lo);
    qtest_writeq(g->qts, slot + 8, hi);
    if (g->queue_width == 32) {
        qtest_writeq(g->qts, slot + 16, 0);
        qtest_writeq(g->qts, slot + 24, 0);
    }
    g->tail = (g->tail + 1) % g->queue_slots;
}

void vtd_guest_post_cc(VtdGuest *g, unsigned granularity, uint16_t domain_id,
                       uint16_t source_id)
{
    vtd_guest_post(g, VTD_INV_DESC_CC | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)source_id << 32, 0);
}

void vtd_guest_post_pc(VtdGuest *g, unsigned granularity, uint16_t domain_id,
                       uint32_t pasid)
{
    vtd_guest_post(g, VTD_INV_DESC_PC | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)pasid << 32, 0);
}

void vtd_guest_post_iotlb(VtdGuest *g, unsigned granularity,
                          uint16_t domain_id, uint64_t addr, unsigned am)
{
    vtd_guest_post(g, VTD_INV_DESC_IOTLB | granularity << 4 |
                   (uint64_t)domain_id << 16, addr | am);
}

void vtd_guest_post_piotlb(VtdGuest *g, unsigned granularity,
                           uint16_t domain_id, uint32_t pasid, uint64_t addr,
                           unsigned am, bool ih)
{
    vtd_guest_post(g, VTD_INV_DESC_PIOTLB | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)pasid << 32,
                   addr | am | (ih ? 1 << 6 : 0));
}

uint32_t vtd_guest_post_wait(VtdGuest *g)
{
    g->cookie++;
    vtd_guest_post(g, VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                   VTD_INV_DESC_WAIT_FN |
                   (uint64_t)g->cookie << VTD_INV_DESC_WAIT_DATA_SHIFT,
                   g->status);
    return g->cookie;
}

void vtd_guest_ring(VtdGuest *g)
{
    /* The index is in units of 16 bytes, whatever the width */
    vtd_guest_writeq(g, DMAR_IQT_REG, g->tail * g->queue_width);
}

bool vtd_guest_waited(VtdGuest *g)
{
    return qtest_readl(g->qts, g->status) == g->cookie;
}

void vtd_guest_sync(VtdGuest *g)
{
    vtd_guest_post_wait(g);
    vtd_guest_ring(g);
    g_assert_true(vtd_guest_waited(g));
}

void vtd_guest_flush_pasid_cache(VtdGuest *g)
{
    vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
    vtd_guest_sync(g);
}
