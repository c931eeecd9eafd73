/*
 * QTest: the accelerated SMMUv3 passes commands on, few calls for many
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "smmuv3-accel-common.h"

#define INVALIDATE  "IOMMU_HWPT_INVALIDATE"
#define SID0        0x100ull
#define SID1        0x200ull
#define NOBODY      0x1f00ull
#define SID(s)      ((uint64_t)(s) << 32)
#define ASID(a)     ((uint64_t)(a) << 48)
#define SSEC        (1ull << 10)
/* Read-only registers of a device of the machine */
#define RTC_IDS     0x09010fe0ull

/* Device 0 has stage 1 and ATS, device 1 stage 1 only */
static bool start(Smmuv3AccelTest *t, const char *props)
{
    Smmuv3AccelSetup setup = { .devices = 2, .smmu_props = props };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    smmuv3_guest_enable(&t->guest);
    smmuv3_guest_write_ste(&t->guest, SID0, smmuv3_accel_s1_ste(0),
                           SMMUV3_STE1_EATS);
    smmuv3_guest_write_ste(&t->guest, SID1, smmuv3_accel_s1_ste(1), 0);
    smmuv3_guest_cfgi_all(&t->guest);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_S1);
    smmuv3_accel_expect(t, 1, SMMUV3_IS_S1);
    return true;
}

/* --- one command --- */

typedef struct Case {
    const char *name;
    uint64_t cmd[2];
    const char *sent;           /* entry in the log; NULL: none */
    bool illegal;
    const char *props;
} Case;

static const Case cases[] = {
    { "nsnh-all", { 0x30 }, "[0x30:0x0]" },
    { "nh-all", { 0x10 }, "[0x10:0x0]" },
    { "nh-all_vmid-dropped", { 0x10 | 0xffffull << 32 }, "[0x10:0x0]" },
    { "nh-asid", { 0x11 | ASID(0x1234) }, "[0x1234000000000011:0x0]" },
    { "nh-va", { 0x12 | ASID(7), 0xfffffffff001ull },
      "[0x7000000000012:0xfffffffff001]" },
    { "nh-va_range", { 0x12 | ASID(7) | 3ull << 12 | 1ull << 20,
                       0x4000 | 1 << 10 },
      "[0x7000000103012:0x4400]" },
    { "nh-va_ttl", { 0x12 | ASID(7), 0x4000 | 1 << 10 | 3 << 8 },
      "[0x7000000000012:0x4700]" },
    { "nh-va_range-without-tg_dropped", { 0x12 | 3ull << 12, 0x4000 },
      "[0x12:0x4000]" },
    { "nh-va_range-without-ril_dropped",
      { 0x12 | 3ull << 12, 0x4000 | 1 << 10 }, "[0x12:0x4000]",
      .props = "ril=off,ats=on,oas=44,ssidsize=4" },
    { "nh-va_reserved-bits_dropped",
      { 0x12 | 1ull << 8 | SSEC | 1ull << 31, 0x40f0 }, "[0x12:0x4000]" },
    { "nh-vaa", { 0x13, 0x4001 }, "[0x13:0x4001]" },
    { "nh-vaa_asid-dropped", { 0x13 | ASID(7), 0x4000 }, "[0x13:0x4000]" },
    { "cfgi-cd", { 0x05 | SID(SID0) | 3ull << 12, 1 },
      "[0x10000003005:0x1]" },
    { "cfgi-cd_no-ssids_dropped", { 0x05 | SID(SID0) | 3ull << 12, 1 },
      "[0x10000000005:0x1]", .props = "ril=on,ats=on,oas=44,ssidsize=0" },
    { "cfgi-cd_nobody", { 0x05 | SID(NOBODY), 1 } },
    { "cfgi-cd-all", { 0x06 | SID(SID1), 0xff },
      "[0x20000000006:0x0]" },
    { "cfgi-cd-all_nobody", { 0x06 | SID(0xffffffff) } },
    { "atc-inv", { 0x40 | SID(SID0), 0x5000 | 52 },
      "[0x10000000040:0x5034]" },
    { "atc-inv_ssid", { 0x40 | SID(SID0) | 1 << 11 | 5ull << 12, 52 },
      "[0x10000005840:0x34]" },
    { "atc-inv_without-eats", { 0x40 | SID(SID1), 52 } },
    { "atc-inv_nobody", { 0x40 | SID(NOBODY), 52 } },
    { "prefetch-config", { 0x01 | SID(SID0) } },
    { "prefetch-addr", { 0x02 | SID(SID0) } },
    { "cfgi-ste_nobody", { 0x03 | SID(NOBODY) } },
    { "sync_event", { 0x46 | 2 << 12 } },
    { "atc-inv_without-ats", { 0x40 | SID(SID0), 52 }, NULL, true,
      .props = "ril=on,ats=off,oas=44,ssidsize=4" },
    { "atc-inv_size", { 0x40 | SID(SID0), 53 }, NULL, true },
    { "atc-inv_secure", { 0x40 | SID(SID0) | SSEC, 52 }, NULL, true },
    { "cfgi-ste_secure", { 0x03 | SID(SID0) | SSEC }, NULL, true },
    { "cfgi-range_secure", { 0x04 | SID(SID0) | SSEC, 3 }, NULL, true },
    { "cfgi-all_secure", { 0x04 | SSEC, 31 }, NULL, true },
    { "cfgi-cd_secure", { 0x05 | SID(SID0) | SSEC }, NULL, true },
    { "cfgi-cd-all_secure", { 0x06 | SID(SID0) | SSEC }, NULL, true },
    { "prefetch_secure", { 0x01 | SID(SID0) | SSEC }, NULL, true },
    { "nh-va_range-reserved", { 0x12, 0x4000 | 1 << 10 }, NULL, true },
    { "nh-vaa_range-reserved", { 0x13, 0x4000 | 3 << 10 }, NULL, true },
    { "nh-va_ttl-reserved", { 0x12, 0x4000 | 2 << 10 | 1 << 8 }, NULL, true },
    { "op-0", { 0 }, NULL, true },
    { "op-7", { 0x07 }, NULL, true },
    { "el2-all", { 0x20 }, NULL, true },
    { "el2-va", { 0x22 }, NULL, true },
    { "el3-all", { 0x18 }, NULL, true },
    { "s12-vmall", { 0x28 }, NULL, true },
    { "s2-ipa", { 0x2a }, NULL, true },
    { "pri-resp", { 0x41 }, NULL, true },
    { "resume", { 0x44 }, NULL, true },
    { "stall-term", { 0x45 }, NULL, true },
    { "sync_reserved", { 0x46 | 3 << 12 }, NULL, true },
    { "op-ff", { ~0ull, ~0ull }, NULL, true },
};

static void test_command(const void *data)
{
    const Case *c = data;
    g_autofree char *line = NULL;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    unsigned bad;
    size_t mark;

    if (!start(&t, c->props)) {
        return;
    }
    /* Commands around it are carried out, or wait if it is illegal */
    mark = fakehost_log_mark(t.host);
    bad = g->prod;
    smmuv3_guest_post(g, c->cmd[0], c->cmd[1]);
    if (c->illegal) {
        smmuv3_guest_post(g, SMMUV3_TLBI_NH_ALL, 0);
        smmuv3_guest_ring(g);
        g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ILL);
        g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) & 0xfffff, ==,
                        bad);
        g_assert_null(fakehost_log_last(t.host, mark, INVALIDATE, NULL));
        /* What Linux does: make it a CMD_SYNC, acknowledge */
        qtest_writeq(g->qts, g->cmdq + bad * 16, SMMUV3_SYNC);
        smmuv3_guest_clear_error(g);
        g_assert_true(smmuv3_guest_consumed(g));
        line = fakehost_log_last(t.host, mark, INVALIDATE, "[0x10:0x0]");
        g_assert_nonnull(line);
    } else {
        smmuv3_guest_sync(g);
        line = fakehost_log_last(t.host, mark, INVALIDATE, NULL);
        if (c->sent) {
            g_assert_nonnull(line);
            g_test_message("%s wanted in %s", c->sent, line);
            g_assert_nonnull(strstr(line, c->sent));
        } else {
            g_assert_cmpstr(line, ==, NULL);
        }
    }
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    fakehost_free(t.host);
}

/* --- many commands --- */

static void test_burst(void)
{
    Smmuv3AccelTest t;
    uint64_t calls, entries;

    if (!start(&t, NULL)) {
        return;
    }
    calls = fakehost_total_calls(t.host);
    entries = fakehost_entries(t.host);
    for (unsigned i = 0; i < 64; i++) {
        smmuv3_guest_post_va(&t.guest, 1, i * 0x1000);
    }
    smmuv3_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_total_calls(t.host) - calls, ==, 1);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, 64);
    fakehost_free(t.host);
}

/* --- ranges that are joined, or not --- */

/* Words of TLBI_NH_VA: pages of 4 KiB in last-level entries, unless said */
#define VA7         (0x12 | ASID(7))
#define NUM(n)      ((uint64_t)(n) << 12)
#define SCALE(n)    ((uint64_t)(n) << 20)
#define TG(n)       ((n) << 10)
#define TTL(n)      ((n) << 8)
#define LEAF        1u
#define PAGE        (TG(1) | TTL(3) | LEAF)

typedef struct Join {
    const char *name;
    const char *sent;
    uint64_t cmds[6][2];        /* up to one of zeros */
    const char *props;
} Join;

static const Join joins[] = {
    { "pair_joined", "entries=[0x7000000100012:0x4701]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x5000 | PAGE } } },
    { "pair-descending_joined", "entries=[0x7000000100012:0x4701]",
      { { VA7, 0x5000 | PAGE }, { VA7, 0x4000 | PAGE } } },
    { "vaa_joined", "entries=[0x100013:0x4701]",
      { { 0x13, 0x4000 | PAGE }, { 0x13, 0x5000 | PAGE } } },
    { "ranges_joined", "entries=[0x7000000300012:0x8401]",
      { { VA7 | NUM(1), 0x8000 | TG(1) | LEAF },
        { VA7 | NUM(1), 0xa000 | TG(1) | LEAF },
        { VA7 | SCALE(2), 0xc000 | TG(1) | LEAF } } },
    { "64k_joined", "entries=[0x7000000100012:0x20f01]",
      { { VA7, 0x20000 | TG(3) | TTL(3) | LEAF },
        { VA7, 0x30000 | TG(3) | TTL(3) | LEAF } } },
    { "blocks_joined", "entries=[0x7000000a00012:0x400601]",
      { { VA7 | SCALE(9), 0x400000 | TG(1) | TTL(2) | LEAF },
        { VA7 | SCALE(9), 0x600000 | TG(1) | TTL(2) | LEAF } } },
    /* A range that is smaller than the block which it says it is for */
    { "in-block_apart",
      "entries=[0x7000000800012:0x400601,0x7000000800012:0x500601]",
      { { VA7 | SCALE(8), 0x400000 | TG(1) | TTL(2) | LEAF },
        { VA7 | SCALE(8), 0x500000 | TG(1) | TTL(2) | LEAF } } },
    { "gap_apart", "entries=[0x7000000000012:0x4701,0x7000000000012:0x6701]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x6000 | PAGE } } },
    { "unaligned_apart",
      "entries=[0x7000000000012:0x5701,0x7000000000012:0x6701]",
      { { VA7, 0x5000 | PAGE }, { VA7, 0x6000 | PAGE } } },
    { "16k-unaligned_apart",
      "entries=[0x7000000000012:0x1b01,0x7000000000012:0x5b01]",
      { { VA7, 0x1000 | TG(2) | TTL(3) | LEAF },
        { VA7, 0x5000 | TG(2) | TTL(3) | LEAF } } },
    { "same_apart", "entries=[0x7000000000012:0x4701,0x7000000000012:0x4701]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x4000 | PAGE } } },
    { "other-size_apart",
      "entries=[0x7000000100012:0x4701,0x7000000000012:0x6701]",
      { { VA7 | SCALE(1), 0x4000 | PAGE }, { VA7, 0x6000 | PAGE } } },
    { "3-pages_apart",
      "entries=[0x7000000002012:0x4701,0x7000000002012:0x7701]",
      { { VA7 | NUM(2), 0x4000 | PAGE }, { VA7 | NUM(2), 0x7000 | PAGE } } },
    { "asid_apart", "entries=[0x7000000000012:0x4701,0x8000000000012:0x5701]",
      { { VA7, 0x4000 | PAGE }, { 0x12 | ASID(8), 0x5000 | PAGE } } },
    { "op_apart", "entries=[0x7000000000012:0x4701,0x13:0x5701]",
      { { VA7, 0x4000 | PAGE }, { 0x13, 0x5000 | PAGE } } },
    { "leaf_apart", "entries=[0x7000000000012:0x4701,0x7000000000012:0x5700]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x5000 | TG(1) | TTL(3) } } },
    { "ttl_apart", "entries=[0x7000000000012:0x4701,0x7000000000012:0x5601]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x5000 | TG(1) | TTL(2) | LEAF } } },
    { "tg_apart", "entries=[0x7000000000012:0x4701,0x7000000000012:0x8b01]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x8000 | TG(2) | TTL(3) | LEAF } } },
    { "unknown-granule_apart",
      "entries=[0x7000000000012:0x4001,0x7000000000012:0x5001]",
      { { VA7, 0x4000 | LEAF }, { VA7, 0x5000 | LEAF } } },
    { "without-ril_apart",
      "entries=[0x7000000000012:0x4001,0x7000000000012:0x5001]",
      { { VA7, 0x4000 | PAGE }, { VA7, 0x5000 | PAGE } },
      .props = "ril=off,ats=on,oas=44,ssidsize=4" },
    { "command-between_apart", "entries=[0x7000000000012:0x4701,"
      "0x10000000006:0x0,0x7000000000012:0x5701]",
      { { VA7, 0x4000 | PAGE }, { 0x06 | SID(SID0) },
        { VA7, 0x5000 | PAGE } } },
    /* Beyond what SCALE can say */
    { "largest_apart", "entries=[0x7000001f00012:0x401,"
      "0x7000001f00012:0x80000000401]",
      { { VA7 | SCALE(31), TG(1) | LEAF },
        { VA7 | SCALE(31), 1ull << 43 | TG(1) | LEAF } } },
};

static void test_join(const void *data)
{
    const Join *c = data;
    Smmuv3AccelTest t;
    size_t mark;

    if (!start(&t, c->props)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    for (unsigned i = 0; c->cmds[i][0]; i++) {
        smmuv3_guest_post(&t.guest, c->cmds[i][0], c->cmds[i][1]);
    }
    smmuv3_guest_sync(&t.guest);
    fakehost_expect_log(t.host, mark, INVALIDATE, c->sent);
    fakehost_free(t.host);
}

static void post_pages(Smmuv3Guest *g, unsigned num)
{
    for (unsigned i = 0; i < num; i++) {
        smmuv3_guest_post(g, VA7, (0x40000 + i * 0x1000) | PAGE);
    }
}

/* All in one, but nothing across a CMD_SYNC */
static void test_join_many(void)
{
    uint64_t entries;
    Smmuv3AccelTest t;
    size_t mark;

    if (!start(&t, NULL)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    entries = fakehost_entries(t.host);
    post_pages(&t.guest, 64);
    smmuv3_guest_sync(&t.guest);
    fakehost_expect_log(t.host, mark, INVALIDATE,
                        "entries=[0x7000000600012:0x40701]");
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, 1);

    mark = fakehost_log_mark(t.host);
    post_pages(&t.guest, 3);
    smmuv3_guest_post(&t.guest, SMMUV3_SYNC, 0);
    smmuv3_guest_post(&t.guest, VA7, 0x43000 | PAGE);
    smmuv3_guest_sync(&t.guest);
    fakehost_expect_log(t.host, mark, INVALIDATE, "entries=[0x7000000100012:"
                        "0x40701,0x7000000000012:0x42701]");
    fakehost_expect_log(t.host, mark, INVALIDATE,
                        "entries=[0x7000000000012:0x43701]");
    fakehost_free(t.host);
}

/* The index is that of the guest's command, however few the host gets */
static void test_join_illegal(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    unsigned bad;
    size_t mark;

    if (!start(&t, NULL)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    post_pages(g, 4);
    bad = g->prod;
    /* Neither a range nor TTL: reserved */
    smmuv3_guest_post(g, VA7, 0x44000 | TG(1));
    smmuv3_guest_post(g, VA7, 0x45000 | PAGE);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ILL);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) & 0xfffff, ==,
                    bad);
    fakehost_expect_log(t.host, mark, INVALIDATE,
                        "entries=[0x7000000200012:0x40701]");
    fakehost_free(t.host);
}

/* The guest may give it: its devices stop, its queue goes on */
static void test_join_refused(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t, NULL)) {
        return;
    }
    fakehost_fail(t.host, INVALIDATE, 1, 0, EIO, 0);
    post_pages(g, 4);
    smmuv3_guest_sync(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, 0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    fakehost_free(t.host);
}

/* Each CMD_SYNC completes what was before it, and only that */
static void test_syncs(void)
{
    g_autofree char *log = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned calls = 0;
    Smmuv3AccelTest t;
    size_t mark;

    if (!start(&t, NULL)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    for (unsigned i = 1; i <= 3; i++) {
        for (unsigned j = 0; j < i; j++) {
            smmuv3_guest_post_va(&t.guest, i, j * 0x1000);
        }
        smmuv3_guest_post(&t.guest, SMMUV3_SYNC, 0);
    }
    /* None for an empty one */
    smmuv3_guest_sync(&t.guest);
    log = fakehost_log_since(t.host, mark);
    lines = g_strsplit(log, "\n", 0);
    for (unsigned i = 0; lines[i] && *lines[i]; i++) {
        g_autofree char *num = g_strdup_printf("entry_num=%u ", i + 1);

        g_assert_nonnull(strstr(lines[i], num));
        calls++;
    }
    g_assert_cmpuint(calls, ==, 3);
    fakehost_free(t.host);
}

/* Without CMD_SYNC: the guest could look at the index instead */
static void test_no_sync(void)
{
    uint64_t calls;
    Smmuv3AccelTest t;

    if (!start(&t, NULL)) {
        return;
    }
    calls = fakehost_calls(t.host, INVALIDATE);
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_post_va(&t.guest, 1, 0x2000);
    smmuv3_guest_ring(&t.guest);
    g_assert_true(smmuv3_guest_consumed(&t.guest));
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - calls, ==, 1);
    fakehost_free(t.host);
}

/* A change of an entry comes after what was asked for before it */
static void test_order(void)
{
    g_autofree char *log = NULL;
    const char *first, *alloc, *second;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!start(&t, NULL)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post(g, SMMUV3_TLBI_NH_ASID | ASID(1), 0);
    smmuv3_guest_write_ste(g, SID0, smmuv3_accel_s1_ste(5), 0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, SID0);
    smmuv3_guest_post(g, SMMUV3_TLBI_NH_ASID | ASID(2), 0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, SID1);
    smmuv3_guest_sync(g);
    log = fakehost_log_since(t.host, mark);
    first = strstr(log, "0x1000000000011:0x0]");
    alloc = strstr(log, "ste=[0x5000500b,0x0]");
    second = strstr(log, "[0x2000000000011:0x0,0x20000000006:0x0]");
    if (!first || !alloc || !second) {
        g_error("missing in\n%s", log);
    }
    g_assert_true(first < alloc && alloc < second);
    fakehost_free(t.host);
}

/* An illegal one in the middle: those before it are carried out, then stop */
static void test_illegal_in_burst(const void *data)
{
    const Case *c = data;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    unsigned bad;
    size_t mark;

    if (!start(&t, NULL)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post_va(g, 1, 0x1000);
    smmuv3_guest_post_va(g, 1, 0x2000);
    bad = g->prod;
    smmuv3_guest_post(g, c->cmd[0], c->cmd[1]);
    smmuv3_guest_post_va(g, 1, 0x3000);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ILL);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) & 0xfffff, ==,
                    bad);
    fakehost_expect_log(t.host, mark, INVALIDATE, "entry_num=2 ");
    /* Nothing moves until it is acknowledged */
    smmuv3_guest_ring(g);
    g_assert_false(smmuv3_guest_consumed(g));
    fakehost_free(t.host);
}

/* The queue wraps many times */
static void test_wrap(void)
{
    uint64_t calls, entries;
    Smmuv3AccelTest t;

    if (!start(&t, NULL)) {
        return;
    }
    calls = fakehost_calls(t.host, INVALIDATE);
    entries = fakehost_entries(t.host);
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(GString) list = g_string_new(NULL);
        size_t mark = fakehost_log_mark(t.host);

        for (unsigned j = 0; j < 99; j++) {
            smmuv3_guest_post_va(&t.guest, i, j * 0x1000);
            g_string_append_printf(list, "%c0x%" PRIx64 ":0x%x", j ? ',' : '[',
                                   SMMUV3_TLBI_NH_VA | ASID(i), j * 0x1000);
        }
        smmuv3_guest_sync(&t.guest);
        fakehost_expect_log(t.host, mark, INVALIDATE, list->str);
    }
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - calls, ==, 20);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, 20 * 99);
    fakehost_free(t.host);
}

/* More than fits a batch: a larger queue, and no CMD_SYNC */
static void test_full_batch(void)
{
    enum { LOG2 = 12, NUM = 2500 };
    uint64_t calls, entries, queue;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t, NULL)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    queue = smmuv3_guest_alloc(g, 16 << LOG2);
    for (unsigned i = 0; i < NUM; i++) {
        qtest_writeq(g->qts, queue + i * 16, SMMUV3_TLBI_NH_VAA);
        qtest_writeq(g->qts, queue + i * 16 + 8, i * 0x1000ull);
    }
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, queue | LOG2);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 0);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    calls = fakehost_calls(t.host, INVALIDATE);
    entries = fakehost_entries(t.host);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, NUM);
    g_assert_cmpuint(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS), ==, NUM);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, NUM);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - calls, ==, 3);
    fakehost_free(t.host);
}

/* Without a device there is no host to tell */
static void test_no_device(void)
{
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    smmuv3_guest_post(&t.guest, SMMUV3_TLBI_NSNH_ALL, 0);
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_post(&t.guest, SMMUV3_ATC_INV | SID(SID0), 52);
    smmuv3_guest_cfgi_all(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, 0);
    fakehost_free(t.host);
}

/* The host knows that a device has no ATS, whatever the guest's entry says */
static void test_device_without_ats(void)
{
    g_autofree char *host = g_strdup_printf(
        "iommu a type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=a ats=0\n", HOST_IDR0, HOST_IDR1, HOST_IDR3,
        HOST_IDR5);
    Smmuv3AccelSetup setup = { .host = host, .devices = 1 };
    uint64_t calls;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    smmuv3_guest_write_ste(&t.guest, SID0, smmuv3_accel_s1_ste(0),
                           SMMUV3_STE1_EATS);
    smmuv3_guest_cfgi(&t.guest, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_expect_log(t.host, 0, "HWPT_ALLOC", "ste=[0x5000000b,0x0]");
    calls = fakehost_calls(t.host, INVALIDATE);
    smmuv3_guest_post(&t.guest, SMMUV3_ATC_INV | SID(SID0), 52);
    smmuv3_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, calls);
    fakehost_free(t.host);
}

/* --- a host that needs TLBI and CFGI twice --- */

static bool start_errata(Smmuv3AccelTest *t)
{
    g_autofree char *host = g_strdup_printf(
        "iommu a type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x errata=1\n"
        "device dev0 iommu=a\n", HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    Smmuv3AccelSetup setup = { .host = host, .devices = 1 };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    smmuv3_guest_enable(&t->guest);
    smmuv3_guest_write_ste(&t->guest, SID0, smmuv3_accel_s1_ste(0),
                           SMMUV3_STE1_EATS);
    smmuv3_guest_cfgi(&t->guest, SID0);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_S1);
    return true;
}

/* The entries of each INVALIDATE since @mark, one call in a line */
static void expect_calls(Smmuv3AccelTest *t, size_t mark, const char *wanted)
{
    g_autofree char *log = fakehost_log_since(t->host, mark);
    g_auto(GStrv) lines = g_strsplit(log, "\n", 0);
    g_autoptr(GString) found = g_string_new(NULL);

    for (unsigned i = 0; lines[i]; i++) {
        const char *entries = strstr(lines[i], "entries=[");

        if (entries) {
            g_string_append_len(found, entries + strlen("entries="),
                                strcspn(entries, "]") + 1 -
                                strlen("entries="));
            g_string_append_c(found, '\n');
        }
    }
    g_assert_cmpstr(found->str, ==, wanted);
}

static void test_errata(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!start_errata(&t)) {
        return;
    }
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post_va(g, 7, 0x4000);
    smmuv3_guest_sync(g);
    expect_calls(&t, mark, "[0x7000000000012:0x4000]\n"
                 "[0x7000000000012:0x4000]\n");

    /* ATC_INV once, and when the rest is really done */
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post_va(g, 7, 0x4000);
    smmuv3_guest_post(g, SMMUV3_ATC_INV | SID(SID0), 0x4000);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD_ALL, SID0);
    smmuv3_guest_post(g, SMMUV3_ATC_INV | SID(SID0), 0x5000);
    smmuv3_guest_sync(g);
    expect_calls(&t, mark,
                 "[0x7000000000012:0x4000,0x10000000006:0x0]\n"
                 "[0x7000000000012:0x4000,0x10000000006:0x0]\n"
                 "[0x10000000040:0x4000,0x10000000040:0x5000]\n");

    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post(g, SMMUV3_ATC_INV | SID(SID0), 0x4000);
    smmuv3_guest_sync(g);
    expect_calls(&t, mark, "[0x10000000040:0x4000]\n");

    /* The model's own: an entry that has not changed */
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_cfgi(g, SID0);
    expect_calls(&t, mark, "[0x10000000006:0x0]\n[0x10000000006:0x0]\n");
    g_assert_cmpuint(t.host->page->unrepeated, ==, 0);
    fakehost_free(t.host);
}

/* What is done again after a refusal needs it, too, and so does a flush */
static void test_errata_refused(void)
{
    static const char both[] =
        "[0x7000000000012:0x4000,0x7000000000012:0x5000]\n";
    g_autofree char *replay = g_strdup_printf("%s%s%s", both, both,
        "[0x7000000000012:0x4000]\n[0x7000000000012:0x4000]\n"
        "[0x7000000000012:0x5000]\n[0x7000000000012:0x5000]\n"
        "[0x10000000040:0x4000]\n");
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!start_errata(&t)) {
        return;
    }
    /* It is the second of the calls that fails */
    mark = fakehost_log_mark(t.host);
    fakehost_fail(t.host, INVALIDATE, 2, 1, EIO, 0);
    smmuv3_guest_post_va(g, 7, 0x4000);
    smmuv3_guest_post(g, SMMUV3_ATC_INV | SID(SID0), 0x4000);
    smmuv3_guest_post_va(g, 7, 0x5000);
    smmuv3_guest_sync(g);
    expect_calls(&t, mark, replay);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);

    fakehost_fail(t.host, INVALIDATE, 1, 0, EIO, 0);
    smmuv3_guest_post_va(g, 7, 0x6000);
    smmuv3_guest_sync(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    fakehost_clear_rules(t.host);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    expect_calls(&t, mark, "[0x30:0x0]\n[0x30:0x0]\n");
    fakehost_free(t.host);
}

/* A queue that is not in memory cannot be read, whatever else is there */
static void test_queue_in_device(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t, NULL)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, RTC_IDS);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 0);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 1);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ABT);
    fakehost_free(t.host);
}

/* The first page of a queue is the last one of memory */
static void test_queue_past_memory(void)
{
    const uint64_t page = SMMUV3_GUEST_RAM + SMMUV3_GUEST_RAM_MB * MiB - 4096;
    const unsigned slots = 4096 / 16;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t entries;

    if (!start(&t, NULL)) {
        return;
    }
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, page | 9);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, 0);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    for (unsigned i = 0; i < slots; i++) {
        qtest_writeq(g->qts, page + i * 16, SMMUV3_TLBI_NH_VAA);
        qtest_writeq(g->qts, page + i * 16 + 8, i * 0x1000ull);
    }
    entries = fakehost_entries(t.host);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, slots + 10);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ABT);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS) & 0xfffff, ==,
                    slots);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, slots);
    fakehost_free(t.host);
}

/* Nobody reads the CDs of a stream that aborts, not even one that had some */
static void test_cd_of_abort(void)
{
    uint64_t calls;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!start(&t, NULL)) {
        return;
    }
    smmuv3_guest_write_ste(g, SID0, SMMUV3_STE_ABORT, 0);
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    calls = fakehost_calls(t.host, INVALIDATE);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD, SID0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD_ALL, SID0);
    smmuv3_guest_sync(g);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, calls);
    fakehost_free(t.host);
}

/* Where the host has ASIDs of 8 bits the guest's have no more, too */
static void test_asid8(void)
{
    Smmuv3AccelSetup setup = { .cold = 1, .idr0 = 1u << 12 };
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmphex(smmuv3_guest_readl(&t.guest, SMMUV3_IDR0) & 1u << 12, ==,
                    0);
    smmuv3_accel_bind(&t, 0);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_post(&t.guest, SMMUV3_TLBI_NH_ASID | ASID(0x1234), 0);
    smmuv3_guest_post_va(&t.guest, 0x5678, 0x1000);
    smmuv3_guest_sync(&t.guest);
    fakehost_expect_log(t.host, mark, INVALIDATE,
                        "[0x34000000000011:0x0,0x78000000000012:0x1000]");
    fakehost_free(t.host);
}

/* CMD_SYNC with an interrupt: pulsed when the work is done */
static void test_sync_irq(void)
{
    uint64_t calls;
    Smmuv3AccelTest t;

    if (!start(&t, NULL)) {
        return;
    }
    calls = fakehost_calls(t.host, INVALIDATE);
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_post(&t.guest, SMMUV3_SYNC | 1 << 12, 0);
    smmuv3_guest_ring(&t.guest);
    g_assert_true(smmuv3_guest_consumed(&t.guest));
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - calls, ==, 1);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *what = "ignored";
        g_autofree char *path = NULL;

        if (cases[i].illegal) {
            what = "illegal";
        } else if (cases[i].sent) {
            what = "sent";
        }
        path = g_strdup_printf("/smmuv3-accel/cmd/%s_%s", cases[i].name, what);
        qtest_add_data_func(path, &cases[i], test_command);
        if (cases[i].illegal && !cases[i].props) {
            g_autofree char *batch = g_strdup_printf(
                "/smmuv3-accel/batch/%s_ends", cases[i].name);

            qtest_add_data_func(batch, &cases[i], test_illegal_in_burst);
        }
    }
    qtest_add_func("/smmuv3-accel/cost/64-tlbi_one-call", test_burst);
    qtest_add_cases("/smmuv3-accel/join", joins, test_join);
    qtest_add_func("/smmuv3-accel/join/64-pages_one-entry", test_join_many);
    qtest_add_func("/smmuv3-accel/join/illegal_stops-there",
                   test_join_illegal);
    qtest_add_func("/smmuv3-accel/join/refused_aborts", test_join_refused);
    qtest_add_func("/smmuv3-accel/batch/sync_ends", test_syncs);
    qtest_add_func("/smmuv3-accel/batch/doorbell_ends", test_no_sync);
    qtest_add_func("/smmuv3-accel/batch/change_ends", test_order);
    qtest_add_func("/smmuv3-accel/batch/full_ends", test_full_batch);
    qtest_add_func("/smmuv3-accel/queue/wrap_works", test_wrap);
    qtest_add_func("/smmuv3-accel/queue/no-device_ignored", test_no_device);
    qtest_add_func("/smmuv3-accel/queue/in-device_aborts",
                   test_queue_in_device);
    qtest_add_func("/smmuv3-accel/queue/past-memory_aborts",
                   test_queue_past_memory);
    qtest_add_func("/smmuv3-accel/queue/sync-irq_completes", test_sync_irq);
    qtest_add_func("/smmuv3-accel/cmd/cd-of-abort_ignored", test_cd_of_abort);
    qtest_add_func("/smmuv3-accel/cmd/asid-of-8-bits_sent", test_asid8);
    qtest_add_func("/smmuv3-accel/errata/tlbi-and-cfgi_twice", test_errata);
    qtest_add_func("/smmuv3-accel/errata/refused_twice", test_errata_refused);
    qtest_add_func("/smmuv3-accel/cmd/device-without-ats_ignored",
                   test_device_without_ats);
    return g_test_run();
}
