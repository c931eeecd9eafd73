/*
 * A guest's side of an SMMUv3, driven by a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3.h"

#define STE_SIZE        64
#define CMD_SIZE        16
#define EVENT_SIZE      32

uint32_t smmuv3_guest_readl(Smmuv3Guest *g, uint32_t reg)
{
    return qtest_readl(g->qts, g->base + reg);
}

void smmuv3_guest_writel(Smmuv3Guest *g, uint32_t reg, uint32_t value)
{
    qtest_writel(g->qts, g->base + reg, value);
}

void smmuv3_guest_writeq(Smmuv3Guest *g, uint32_t reg, uint64_t value)
{
    qtest_writeq(g->qts, g->base + reg, value);
}

uint64_t smmuv3_guest_alloc(Smmuv3Guest *g, uint64_t size)
{
    uint64_t addr = QEMU_ALIGN_UP(g->next_page, MAX(size, 4096));

    g->next_page = addr + size;
    g_assert_cmphex(g->next_page, <=, SMMUV3_GUEST_RAM +
                    SMMUV3_GUEST_RAM_MB * 1024ull * 1024);
    qtest_memset(g->qts, addr, 0, size);
    return addr;
}

void smmuv3_guest_init(Smmuv3Guest *g, QTestState *qts, uint64_t base,
                       uint64_t ram)
{
    *g = (Smmuv3Guest) { .qts = qts, .base = base, .next_page = ram };
    g->strtab = smmuv3_guest_alloc(g, STE_SIZE << SMMUV3_GUEST_SID_LOG2);
    g->cmdq = smmuv3_guest_alloc(g, CMD_SIZE << SMMUV3_GUEST_CMDQ_LOG2);
    g->eventq = smmuv3_guest_alloc(g, EVENT_SIZE << SMMUV3_GUEST_EVENTQ_LOG2);
}

void smmuv3_guest_set_cr0(Smmuv3Guest *g, uint32_t cr0)
{
    smmuv3_guest_writel(g, SMMUV3_CR0, cr0);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CR0ACK), ==, cr0);
}

static void smmuv3_guest_program(Smmuv3Guest *g, uint32_t strtab_cfg)
{
    smmuv3_guest_writeq(g, SMMUV3_STRTAB_BASE, g->strtab);
    smmuv3_guest_writel(g, SMMUV3_STRTAB_BASE_CFG, strtab_cfg);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, g->cmdq | SMMUV3_GUEST_CMDQ_LOG2);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writeq(g, SMMUV3_EVENTQ_BASE,
                        g->eventq | SMMUV3_GUEST_EVENTQ_LOG2);
    smmuv3_guest_writel(g, SMMUV3_EVENTQ_PROD, 0);
    smmuv3_guest_writel(g, SMMUV3_EVENTQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_IRQ_CTRL, 7);
    g->prod = 0;
    g->event_cons = 0;
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
}

void smmuv3_guest_enable(Smmuv3Guest *g)
{
    g->two_level = false;
    smmuv3_guest_program(g, SMMUV3_GUEST_SID_LOG2);
}

void smmuv3_guest_enable_2lvl(Smmuv3Guest *g)
{
    g->two_level = true;
    smmuv3_guest_program(g, 1 << 16 | SMMUV3_GUEST_SPLIT << 6 | 16);
}

uint64_t smmuv3_guest_ste(Smmuv3Guest *g, uint32_t sid)
{
    uint64_t desc_addr, desc;

    if (!g->two_level) {
        g_assert_cmpuint(sid, <, 1u << SMMUV3_GUEST_SID_LOG2);
        return g->strtab + sid * STE_SIZE;
    }
    desc_addr = g->strtab + (sid >> SMMUV3_GUEST_SPLIT) * 8;
    desc = qtest_readq(g->qts, desc_addr);
    if (!desc) {
        desc = smmuv3_guest_alloc(g, STE_SIZE << SMMUV3_GUEST_SPLIT) |
               (SMMUV3_GUEST_SPLIT + 1);
        qtest_writeq(g->qts, desc_addr, desc);
    }
    return (desc & ~0x3full) +
           (sid & ((1 << SMMUV3_GUEST_SPLIT) - 1)) * STE_SIZE;
}

void smmuv3_guest_write_ste(Smmuv3Guest *g, uint32_t sid, uint64_t word0,
                            uint64_t word1)
{
    uint64_t addr = smmuv3_guest_ste(g, sid);

    qtest_writeq(g->qts, addr + 8, word1);
    qtest_writeq(g->qts, addr, word0);
}

/* Context descriptor (SMMUv3 5.4), descriptors of its tables (Arm ARM D8.3) */
#define CD_VALID        (1ull << 31)
#define CD_EPD1         (1ull << 30)
#define CD_T0SZ_39_BITS 25
#define CD_IPS_44_BITS  (4ull << 32)
#define CD_AA64         (1ull << 41)
#define CD_R            (1ull << 45)
#define CD_A            (1ull << 46)
#define DESC_TABLE      3
#define DESC_BLOCK      1
#define DESC_AF         (1 << 10)

uint64_t smmuv3_guest_add_cd(Smmuv3Guest *g, uint64_t target)
{
    uint64_t cd = smmuv3_guest_alloc(g, 4096);
    uint64_t level1 = smmuv3_guest_alloc(g, 4096);
    uint64_t level2 = smmuv3_guest_alloc(g, 4096);

    qtest_writeq(g->qts, level2, target | DESC_AF | DESC_BLOCK);
    qtest_writeq(g->qts, level1, level2 | DESC_TABLE);
    qtest_writeq(g->qts, cd + 8, level1);
    qtest_writeq(g->qts, cd, CD_VALID | CD_EPD1 | CD_T0SZ_39_BITS |
                 CD_IPS_44_BITS | CD_AA64 | CD_R | CD_A);
    return cd;
}

void smmuv3_guest_post(Smmuv3Guest *g, uint64_t cmd0, uint64_t cmd1)
{
    unsigned mask = (1 << SMMUV3_GUEST_CMDQ_LOG2) - 1;
    uint64_t addr = g->cmdq + (g->prod & mask) * CMD_SIZE;

    qtest_writeq(g->qts, addr, cmd0);
    qtest_writeq(g->qts, addr + 8, cmd1);
    g->prod = (g->prod + 1) & (mask << 1 | 1);
}

void smmuv3_guest_post_sid(Smmuv3Guest *g, unsigned op, uint32_t sid)
{
    /* CFGI_STE and CFGI_CD: not only the last level */
    smmuv3_guest_post(g, op | (uint64_t)sid << 32, 0);
}

void smmuv3_guest_post_va(Smmuv3Guest *g, uint16_t asid, uint64_t addr)
{
    smmuv3_guest_post(g, SMMUV3_TLBI_NH_VA | (uint64_t)asid << 48, addr);
}

void smmuv3_guest_ring(Smmuv3Guest *g)
{
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, g->prod);
}

bool smmuv3_guest_consumed(Smmuv3Guest *g)
{
    uint32_t mask = (2u << SMMUV3_GUEST_CMDQ_LOG2) - 1;

    return (smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) & mask) == g->prod;
}

void smmuv3_guest_sync(Smmuv3Guest *g)
{
    smmuv3_guest_post(g, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_NONE);
    g_assert_true(smmuv3_guest_consumed(g));
}

void smmuv3_guest_cfgi(Smmuv3Guest *g, uint32_t sid)
{
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, sid);
    smmuv3_guest_sync(g);
}

void smmuv3_guest_cfgi_all(Smmuv3Guest *g)
{
    smmuv3_guest_post(g, SMMUV3_CFGI_STE_RANGE, 31);
    smmuv3_guest_sync(g);
}

unsigned smmuv3_guest_cmdq_error(Smmuv3Guest *g)
{
    uint32_t active = smmuv3_guest_readl(g, SMMUV3_GERROR) ^
                      smmuv3_guest_readl(g, SMMUV3_GERRORN);

    if (!(active & SMMUV3_GERROR_CMDQ)) {
        return SMMUV3_CERROR_NONE;
    }
    return smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) >> 24 & 0x7f;
}

void smmuv3_guest_clear_error(Smmuv3Guest *g)
{
    smmuv3_guest_writel(g, SMMUV3_GERRORN,
                        smmuv3_guest_readl(g, SMMUV3_GERROR));
}

bool smmuv3_guest_event(Smmuv3Guest *g, uint64_t evt[4])
{
    uint32_t mask = (2u << SMMUV3_GUEST_EVENTQ_LOG2) - 1;
    uint32_t prod = smmuv3_guest_readl(g, SMMUV3_EVENTQ_PROD);
    uint64_t addr = g->eventq + (g->event_cons & mask >> 1) * EVENT_SIZE;

    if ((prod & mask) == g->event_cons) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        evt[i] = qtest_readq(g->qts, addr + i * 8);
    }
    g->event_cons = (g->event_cons + 1) & mask;
    smmuv3_guest_writel(g, SMMUV3_EVENTQ_CONS,
                        g->event_cons | (prod & SMMUV3_QUEUE_OVERFLOW));
    return true;
}
