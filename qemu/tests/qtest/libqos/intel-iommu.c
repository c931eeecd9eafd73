/*
 * A guest's side of VT-d in scalable mode, driven by a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "await.h"
#include "intel-iommu.h"

#define BASE                    0xfed90000ull   /* of the registers on q35 */
#define PAGE                    4096ull
#define ADDR_MASK               0x000ffffffffff000ull

/* Registers (VT-d 11.4) */
#define REG_GCMD                0x18
#define REG_GSTS                0x1c
#define REG_RTADDR              0x20
#define REG_IQT                 0x88
#define REG_IQA                 0x90

/* Of GCMD and GSTS alike */
#define CMD_TE                  (1u << 31)
#define CMD_SRTP                (1u << 30)
#define CMD_QIE                 (1u << 26)
#define CMD_IRE                 (1u << 25)

/* RTADDR: translation table mode (VT-d 11.4.5) */
#define RTADDR_SCALABLE         (1ull << 10)
/* IQA: 256-bit descriptors (VT-d 11.4.9.4) */
#define IQA_WIDE                (1ull << 11)

/* Descriptors (VT-d 6.5.2) */
#define DESC_CC                 1
#define DESC_IOTLB              2
#define DESC_WAIT               5
#define DESC_PIOTLB             6
#define DESC_PC                 7
#define DESC_WAIT_STATUS        (1 << 5)
#define DESC_WAIT_FENCE         (1 << 6)

uint32_t vtd_guest_readl(VtdGuest *g, uint32_t reg)
{
    return qtest_readl(g->qts, BASE + reg);
}

uint64_t vtd_guest_readq(VtdGuest *g, uint32_t reg)
{
    return qtest_readq(g->qts, BASE + reg);
}

void vtd_guest_writel(VtdGuest *g, uint32_t reg, uint32_t value)
{
    qtest_writel(g->qts, BASE + reg, value);
}

void vtd_guest_writeq(VtdGuest *g, uint32_t reg, uint64_t value)
{
    qtest_writeq(g->qts, BASE + reg, value);
}

uint64_t vtd_guest_alloc(VtdGuest *g)
{
    uint64_t page = g->next_page;

    g->next_page += PAGE;
    qtest_memset(g->qts, page, 0, PAGE);
    return page;
}

void vtd_guest_init(VtdGuest *g, QTestState *qts, uint64_t tables,
                    unsigned width)
{
    *g = (VtdGuest) {
        .qts = qts,
        .next_page = tables,
        .queue_width = width,
        .queue_slots = PAGE / width,
    };
    g->root = vtd_guest_alloc(g);
    g->queue = vtd_guest_alloc(g);
    g->status = vtd_guest_alloc(g);
}

void vtd_guest_gcmd(VtdGuest *g, uint32_t bit, bool on)
{
    /* One-shot bits read as status, and must be 0 unless meant */
    uint32_t gsts = vtd_guest_readl(g, REG_GSTS) & (CMD_TE | CMD_QIE | CMD_IRE);

    gsts = on ? gsts | bit : gsts & ~bit;
    vtd_guest_writel(g, REG_GCMD, gsts);
    /* Software has to wait for it; it takes longer the more PASIDs are bound */
    QTEST_AWAIT((vtd_guest_readl(g, REG_GSTS) & bit) == (on ? bit : 0));
}

void vtd_guest_set_translation(VtdGuest *g, bool on)
{
    vtd_guest_gcmd(g, CMD_TE, on);
}

bool vtd_guest_translates(VtdGuest *g)
{
    return vtd_guest_readl(g, REG_GSTS) & CMD_TE;
}

void vtd_guest_set_root(VtdGuest *g, uint64_t root, bool scalable)
{
    vtd_guest_writeq(g, REG_RTADDR,
                     root | (scalable ? RTADDR_SCALABLE : 0));
    vtd_guest_gcmd(g, CMD_SRTP, true);
}

void vtd_guest_enable(VtdGuest *g)
{
    vtd_guest_set_root(g, g->root, true);
    if (!(vtd_guest_readl(g, REG_GSTS) & CMD_QIE)) {
        g->tail = 0;
        vtd_guest_writeq(g, REG_IQT, 0);
        vtd_guest_writeq(g, REG_IQA,
                         g->queue | (g->queue_width == 32 ? IQA_WIDE : 0));
        vtd_guest_gcmd(g, CMD_QIE, true);
    }
    vtd_guest_set_translation(g, true);
}

/* --- tables --- */

/* The table to which an entry leads, created if need be */
static uint64_t next_table(VtdGuest *g, uint64_t entry)
{
    uint64_t table = qtest_readq(g->qts, entry);

    if (!table) {
        table = vtd_guest_alloc(g);
        qtest_writeq(g->qts, entry, table | 1);
    }
    return table & ADDR_MASK;
}

uint64_t vtd_guest_context(VtdGuest *g, uint16_t sid)
{
    /* The root entry has a table for the lower devices, one for the upper */
    return next_table(g, g->root + (sid >> 7) * 8) + (sid & 0x7f) * 32;
}

uint64_t vtd_guest_legacy_context(VtdGuest *g, uint64_t root, uint16_t sid)
{
    return next_table(g, root + (sid >> 8) * 16) + (sid & 0xff) * 16;
}

uint64_t vtd_guest_add_context(VtdGuest *g, uint16_t sid, uint32_t rid_pasid)
{
    uint64_t context = vtd_guest_context(g, sid);
    uint64_t dir = vtd_guest_alloc(g);

    qtest_writeq(g->qts, context + 8, rid_pasid);
    qtest_writeq(g->qts, context, dir | 1);
    return dir;
}

uint64_t vtd_guest_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid)
{
    return next_table(g, dir + (pasid >> 6) * 8) + (pasid & 0x3f) * 64;
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

static uint64_t alloc_table(VtdGuest *g, const VtdGuestTable *t)
{
    uint64_t table = vtd_guest_alloc(g);

    if (t->below) {
        vtd_guest_map(g, t->below, table + t->offset, table, 1);
    }
    return table;
}

void vtd_guest_add_table(VtdGuest *g, VtdGuestTable *t)
{
    t->root = alloc_table(g, t);
}

uint64_t vtd_guest_pte(VtdGuest *g, const VtdGuestTable *t, uint64_t addr,
                       unsigned level)
{
    uint64_t table = t->root;

    for (unsigned i = t->levels;; i--) {
        uint64_t pte = table + (addr >> (3 + 9 * i) & 0x1ff) * 8;
        uint64_t value;

        if (i == level) {
            return pte;
        }
        value = qtest_readq(g->qts, pte);
        if (!(value & t->flags) || value & VTD_PTE_PS) {
            value = (alloc_table(g, t) + t->offset) | t->flags;
            qtest_writeq(g->qts, pte, value);
        }
        table = (value & ADDR_MASK) - t->offset;
    }
}

void vtd_guest_map(VtdGuest *g, const VtdGuestTable *t, uint64_t addr,
                   uint64_t target, unsigned level)
{
    qtest_writeq(g->qts, vtd_guest_pte(g, t, addr, level),
                 (target & vtd_guest_page_mask(level)) | t->flags |
                 (level > 1 ? VTD_PTE_PS : 0));
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
    vtd_guest_post(g, DESC_CC | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)source_id << 32, 0);
}

void vtd_guest_post_pc(VtdGuest *g, unsigned granularity, uint16_t domain_id,
                       uint32_t pasid)
{
    vtd_guest_post(g, DESC_PC | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)pasid << 32, 0);
}

void vtd_guest_post_iotlb(VtdGuest *g, unsigned granularity,
                          uint16_t domain_id, uint64_t addr, unsigned am)
{
    vtd_guest_post(g, DESC_IOTLB | granularity << 4 |
                   (uint64_t)domain_id << 16, addr | am);
}

void vtd_guest_post_piotlb(VtdGuest *g, unsigned granularity,
                           uint16_t domain_id, uint32_t pasid, uint64_t addr,
                           unsigned am, bool ih)
{
    vtd_guest_post(g, DESC_PIOTLB | granularity << 4 |
                   (uint64_t)domain_id << 16 | (uint64_t)pasid << 32,
                   addr | am | (ih ? 1 << 6 : 0));
}

uint32_t vtd_guest_post_wait(VtdGuest *g)
{
    g->cookie++;
    vtd_guest_post(g, DESC_WAIT | DESC_WAIT_STATUS | DESC_WAIT_FENCE |
                   (uint64_t)g->cookie << 32, g->status);
    return g->cookie;
}

void vtd_guest_ring(VtdGuest *g)
{
    /* The index is in units of 16 bytes, whatever the width */
    vtd_guest_writeq(g, REG_IQT, g->tail * g->queue_width);
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

void vtd_guest_invalidate(VtdGuest *g, uint32_t reg, uint64_t command)
{
    /* A queue may be disabled when its last descriptor was a wait */
    vtd_guest_sync(g);
    vtd_guest_gcmd(g, CMD_QIE, false);
    vtd_guest_writeq(g, reg, 1ull << 63 | command);
    g_assert_false(vtd_guest_readq(g, reg) & 1ull << 63);
}
