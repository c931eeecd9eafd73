/*
 * QTest: a guest that means harm, or is broken, behind the accelerated SMMUv3
 *
 * Whatever it writes into tables, queues and registers: QEMU goes on, the
 * stream does not get further than the guest's own configuration, and the host
 * is not bothered with what is not valid.  Meant to be run with sanitizers,
 * too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3-accel-common.h"

#define SID0        0x100u
#define SID(s)      ((uint64_t)(s) << 32)
#define OUTSIDE     0x7ff000000000ull   /* no memory, no device */
#define MMIO        0x0c000000ull       /* the SMMU's own registers */
#define EMPTY       0x43000000ull       /* memory that nobody has written */
#define RAM_END     (SMMUV3_GUEST_RAM + SMMUV3_GUEST_RAM_MB * 1024ull * 1024)

static bool start(Smmuv3AccelTest *t)
{
    Smmuv3AccelSetup setup = { .devices = 2 };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    smmuv3_accel_bind(t, 0);
    return true;
}

/* QEMU works, and an honest configuration does what it should */
static void check_recovers(Smmuv3AccelTest *t)
{
    Smmuv3Guest *g = &t->guest;

    smmuv3_accel_expect_alive(t);
    fakehost_reset(t->host);
    smmuv3_guest_enable(g);
    smmuv3_guest_write_ste(g, SID0, smmuv3_accel_s1_ste(0), 0);
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_S1);
    fakehost_unplug(t->host, 0);
    fakehost_unplug(t->host, 1);
    fakehost_expect_empty(t->host);
    fakehost_free(t->host);
}

/* --- stream tables --- */

/* STRTAB_BASE_CFG: format, split, log2 of the size */
#define CFG(fmt, split, log2) ((fmt) << 16 | (split) << 6 | (log2))

static const struct Table {
    const char *name;
    uint64_t base;
    uint32_t cfg;
    bool fetch_event;           /* F_STE_FETCH is told, at this address */
    uint64_t addr;
} tables[] = {
    { "linear-outside", OUTSIDE, CFG(0, 0, 13), true, OUTSIDE + SID0 * 64 },
    { "linear-mmio", MMIO, CFG(0, 0, 9), true, MMIO + SID0 * 64 },
    { "linear-past-end", RAM_END - 0x2000, CFG(0, 0, 7) },
    { "linear-size-0", EMPTY, CFG(0, 0, 0) },
    { "linear-size-63", EMPTY, CFG(0, 0, 63) },
    { "linear-all-ones", ~0ull, CFG(0, 31, 63) },
    { "2lvl-outside", OUTSIDE, CFG(1, 8, 16), true, OUTSIDE + 8 },
    { "2lvl-mmio", MMIO, CFG(1, 8, 16), true, MMIO + 8 },
    { "2lvl-all-ones", ~0ull, CFG(1, 31, 63) },
    { "2lvl-split-0", EMPTY, CFG(1, 0, 16) },
    { "2lvl-split-31", EMPTY, CFG(1, 31, 16) },
    { "2lvl-split-10-size-1", EMPTY, CFG(1, 10, 1) },
    { "format-2", EMPTY, CFG(2, 8, 16) },
    { "format-3", EMPTY, CFG(3, 8, 16) },
};

static void test_table(const void *data)
{
    const struct Table *c = data;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t evt[4];

    if (!start(&t)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
    smmuv3_guest_writeq(g, SMMUV3_STRTAB_BASE, c->base);
    smmuv3_guest_writel(g, SMMUV3_STRTAB_BASE_CFG, c->cfg);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_guest_cfgi_all(g);
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_guest_cfgi(g, 0xffffffff);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    if (c->fetch_event) {
        bool found = false;

        /* Device 1 has its own */
        while (smmuv3_guest_event(g, evt)) {
            found |= evt[0] == (0x03 | SID(SID0)) && evt[3] == c->addr;
        }
        g_assert_true(found);
    }
    check_recovers(&t);
}

/* Level 1 descriptors */
static void test_l1_descriptor(void)
{
    static const uint64_t descs[] = {
        0, 1, 31, 12, 0xa, OUTSIDE | 9, MMIO | 9, ~0ull, ~0ull << 5 | 9,
        (RAM_END - 64) | 11,
    };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t)) {
        return;
    }
    smmuv3_guest_set_cr0(g, 0);
    qtest_memset(g->qts, g->strtab, 0, 0x1000);
    smmuv3_guest_enable_2lvl(g);
    for (size_t i = 0; i < ARRAY_SIZE(descs); i++) {
        qtest_writeq(g->qts, g->strtab + 8, descs[i]);
        smmuv3_guest_cfgi(g, SID0);
        smmuv3_guest_cfgi(g, SID0 + 0xff);
        smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    }
    check_recovers(&t);
}

/* Any bits in an entry: what the host gets, it takes */
static void test_random_entries(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t failed, failed_inv;
    GRand *rand = g_rand_new_with_seed(42);

    if (!start(&t)) {
        g_rand_free(rand);
        return;
    }
    failed = fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC");
    failed_inv = fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    for (unsigned i = 0; i < 500; i++) {
        uint64_t w0 = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        uint64_t w1 = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        Smmuv3AccelState state;

        if (i & 1) {
            w0 = (w0 & ~0xfull) | SMMUV3_STE_S1;
        }
        smmuv3_guest_write_ste(g, SID0, w0, w1);
        smmuv3_guest_cfgi(g, SID0);
        state = smmuv3_accel_state(&t, 0);
        if ((w0 & 0xf) == SMMUV3_STE_BYPASS) {
            g_assert_cmpint(state, ==, SMMUV3_IS_BYPASS);
        } else if ((w0 & 0xf) != SMMUV3_STE_S1) {
            g_assert_cmpint(state, ==, SMMUV3_IS_ABORT);
        } else {
            g_assert_true(state == SMMUV3_IS_S1 || state == SMMUV3_IS_ABORT);
        }
    }
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC"), ==,
                     failed);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE"),
                     ==, failed_inv);
    g_rand_free(rand);
    check_recovers(&t);
}

/* Any bits in a command: it is illegal, or the host takes what it gets */
static void test_random_commands(void)
{
    static const uint8_t ops[] = {
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30,
        0x40, 0x46,
    };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    GRand *rand = g_rand_new_with_seed(43);
    uint64_t failed;

    if (!start(&t)) {
        g_rand_free(rand);
        return;
    }
    smmuv3_guest_write_ste(g, SID0, smmuv3_accel_s1_ste(0), SMMUV3_STE1_EATS);
    smmuv3_guest_cfgi(g, SID0);
    failed = fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t c0 = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        uint64_t c1 = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        unsigned at = g->prod & ((1 << SMMUV3_GUEST_CMDQ_LOG2) - 1);

        c0 = (c0 & ~0xffull) | ops[i % ARRAY_SIZE(ops)];
        if (i & 1) {
            c0 = (c0 & 0xffffffff) | SID(SID0);
        }
        smmuv3_guest_post(g, c0, c1);
        smmuv3_guest_ring(g);
        if (!smmuv3_guest_consumed(g)) {
            g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==,
                             SMMUV3_CERROR_ILL);
            qtest_writeq(g->qts, g->cmdq + at * 16, SMMUV3_SYNC);
            smmuv3_guest_clear_error(g);
            g_assert_true(smmuv3_guest_consumed(g));
        }
    }
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE"),
                     ==, failed);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    g_rand_free(rand);
    check_recovers(&t);
}

/* --- queues --- */

static const struct Queue {
    const char *name;
    uint64_t base;
    uint32_t prod, cons;
    unsigned error;             /* that the guest sees */
} queues[] = {
    { "outside", OUTSIDE | 8, 3, 0, SMMUV3_CERROR_ABT },
    { "own-registers", MMIO | 8, 3, 0, SMMUV3_CERROR_ABT },
    { "past-end", RAM_END | 8, 3, 0, SMMUV3_CERROR_ABT },
    { "size-31", 0x44000000 - 0x1000 + 31, 3, 0, SMMUV3_CERROR_ILL },
    { "all-ones", ~0ull, ~0u, 0, SMMUV3_CERROR_ABT },
};

static void test_queue(const void *data)
{
    const struct Queue *c = data;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, c->base);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, c->cons);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, c->prod);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, c->error);
    check_recovers(&t);
}

/* A queue that is as long as can be and full: bounded work for one doorbell */
static void test_longest_queue(void)
{
    enum { LOG2 = 19 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t calls, entries;
    gint64 begin;

    if (!start(&t)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    /* All bytes alike: that is a legal command, too */
    qtest_memset(g->qts, EMPTY, SMMUV3_TLBI_NH_VAA, 16 << LOG2);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, EMPTY | LOG2);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 1 << LOG2);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    entries = fakehost_entries(t.host);
    begin = g_get_monotonic_time();
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    g_test_message("%d commands took %" PRId64 " ms", 1 << LOG2,
                   (g_get_monotonic_time() - begin) / 1000);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, 1 << LOG2);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, (1 << LOG2) / 1024);
    check_recovers(&t);
}

/* Every register with everything in it, in both widths */
static void test_registers(void)
{
    static const uint64_t values[] = { ~0ull, 0, 0x8000000080000000ull };
    Smmuv3AccelTest t;

    if (!start(&t)) {
        return;
    }
    for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
        for (unsigned reg = 0; reg < 0xd0; reg += 4) {
            smmuv3_guest_writel(&t.guest, reg, values[v]);
            smmuv3_guest_writel(&t.guest, reg + 0x10000, values[v]);
        }
        for (unsigned reg = 0; reg < 0xd0; reg += 8) {
            smmuv3_guest_writeq(&t.guest, reg, values[v]);
        }
    }
    check_recovers(&t);
}

/* Invalidations of a device that is going */
static void test_unplug(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t)) {
        return;
    }
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD_ALL, SID0);
    smmuv3_guest_post_va(g, 1, 0x1000);
    fakehost_unplug(t.host, 0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD_ALL, SID0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, SID0);
    smmuv3_guest_sync(g);
    fakehost_plug(t.host, 0);
    check_recovers(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        g_autofree char *path = g_strdup_printf("/smmuv3-accel/table/%s_abort",
                                                tables[i].name);

        qtest_add_data_func(path, &tables[i], test_table);
    }
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
        g_autofree char *path = g_strdup_printf("/smmuv3-accel/queue/%s_error",
                                                queues[i].name);

        qtest_add_data_func(path, &queues[i], test_queue);
    }
    qtest_add_func("/smmuv3-accel/table/l1-descriptor_abort",
                   test_l1_descriptor);
    qtest_add_func("/smmuv3-accel/hostile/entries_bounded",
                   test_random_entries);
    qtest_add_func("/smmuv3-accel/hostile/commands_bounded",
                   test_random_commands);
    qtest_add_func("/smmuv3-accel/hostile/longest-queue_bounded",
                   test_longest_queue);
    qtest_add_func("/smmuv3-accel/hostile/registers_alive", test_registers);
    qtest_add_func("/smmuv3-accel/hostile/unplug_alive", test_unplug);
    return g_test_run();
}
