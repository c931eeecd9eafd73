/*
 * QTest of substreams of the emulated SMMUv3: DMA by PASID, the formats of CD
 * tables, what is cached of them, and the events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/cases.h"
#include "smmuv3-testdev.h"

enum { DONE, BLOCKED, REFUSED };

#define LEAVES          (SMMUV3_GUEST_RAM + 0x1100000)
#define PAGE_SIZE_2M    0x200000ull
#define IOVA            0x1008ull

/* STE (SMMUv3 5.2) */
#define S1FMT(n)        ((uint64_t)(n) << 4)
enum { LINEAR, LEAF_4K, LEAF_64K, RESERVED_FMT };

/* Events (SMMUv3 7.3) */
enum { NO_EVENT = 0, BAD_STE = 0x04, STREAM_DISABLED = 0x06,
       BAD_SUBSTREAMID = 0x08, CD_FETCH = 0x09, BAD_CD = 0x0a,
       TRANSLATION = 0x10 };
#define EVENT_SSV       (1ull << 11)
#define EVENT_S2        (1ull << 39)
#define EVENT_CLASS(w)  ((w) >> 40 & 3)

typedef struct Machine {
    QTestState *qts;
    Smmuv3Guest g;
    bool nested;
    unsigned fmt;
    unsigned tables;            /* handed out */
    unsigned leaves;
} Machine;

/* --- the guest --- */

static void start(Machine *m, const char *props)
{
    *m = (Machine) { 0 };
    m->qts = smmuv3_testdev_start(&m->g, props, "", PAGE_SIZE_2M, IOVA);
}

/* What the tables of stage 1 have for a physical address */
static uint64_t ipa(const Machine *m, uint64_t addr)
{
    return m->nested ? addr + IPA_OFFSET : addr;
}

static void write_ste_at(Machine *m, uint64_t contexts, unsigned fmt,
                         unsigned cdmax, unsigned dss)
{
    uint64_t ste = smmuv3_guest_ste(&m->g, SID);

    m->fmt = fmt;
    if (m->nested) {
        qtest_writeq(m->qts, ste + 16, STE_S2);
        qtest_writeq(m->qts, ste + 24, STAGE_2);
    }
    smmuv3_guest_write_ste(&m->g, SID, (m->nested ? STE_BOTH : SMMUV3_STE_S1) |
                           contexts | S1FMT(fmt) | S1CDMAX(cdmax), dss);
    smmuv3_guest_cfgi(&m->g, SID);
}

static void write_ste(Machine *m, unsigned fmt, unsigned cdmax, unsigned dss)
{
    write_ste_at(m, ipa(m, CONTEXTS), fmt, cdmax, dss);
}

static uint64_t level1_addr(const Machine *m, uint32_t ssid)
{
    return CONTEXTS + (m->fmt == LEAF_4K ? ssid >> 6 : ssid >> 10) * 8;
}

/* Address of a CD; its table is created if need be */
static uint64_t cd_addr(Machine *m, uint32_t ssid)
{
    uint64_t desc;

    if (m->fmt == LINEAR) {
        return CONTEXTS + ssid * 64;
    }
    desc = qtest_readq(m->qts, level1_addr(m, ssid));
    if (!desc) {
        desc = ipa(m, LEAVES + m->leaves++ * 0x10000) | 1;
        qtest_writeq(m->qts, level1_addr(m, ssid), desc);
    }
    return (desc & ~1ull) - (m->nested ? IPA_OFFSET : 0) +
           (m->fmt == LEAF_4K ? ssid & 0x3f : ssid & 0x3ff) * 64;
}

static uint64_t block(const Machine *m, unsigned page)
{
    return ipa(m, PAGES + page * PAGE_SIZE_2M) | DESC_AF | DESC_BLOCK;
}

/*
 * A CD whose I/O address 0 leads to 2 MiB of @page
 *
 * Returns: the address of the descriptor of these.
 */
static uint64_t write_cd(Machine *m, uint32_t ssid, unsigned asid,
                         unsigned page)
{
    uint64_t level1 = PAGE_TABLES + m->tables++ * 0x2000;
    uint64_t level2 = level1 + 0x1000;
    uint64_t cd = cd_addr(m, ssid);

    qtest_writeq(m->qts, level2, block(m, page));
    qtest_writeq(m->qts, level1, ipa(m, level2) | DESC_TABLE);
    qtest_writeq(m->qts, cd + 8, ipa(m, level1));
    qtest_writeq(m->qts, cd, CD_ALL | CD_ASID(asid));
    return level2;
}

/* --- the device --- */

static unsigned request(Machine *m, unsigned command, uint32_t pasid,
                        uint64_t addr)
{
    return smmuv3_testdev_request(m->qts, command, pasid, addr);
}

static void expect_no_event(Machine *m)
{
    uint64_t evt[4];

    if (smmuv3_guest_event(&m->g, evt)) {
        g_error("event 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64,
                evt[0], evt[1], evt[2], evt[3]);
    }
}

static void expect_read(Machine *m, uint32_t pasid, uint64_t addr,
                        unsigned page)
{
    qtest_writeq(m->qts, BAR + DATA, 0);
    g_assert_cmpuint(request(m, READ, pasid, addr), ==, DONE);
    g_assert_cmphex(qtest_readq(m->qts, BAR + DATA), ==, STAMP(page));
    expect_no_event(m);
}

static void expect_page(Machine *m, uint32_t pasid, unsigned page)
{
    expect_read(m, pasid, IOVA, page);
}

/*
 * The request fails, with an event of @type, whose words are returned, or with
 * none.  What is not translated QEMU accesses four bytes at a time.
 */
static void expect_blocked(Machine *m, uint32_t pasid, unsigned type,
                           uint64_t evt[4])
{
    uint64_t words[4], second[4], want = type | (uint64_t)SID << 32;

    g_assert_cmpuint(request(m, READ, pasid, IOVA), ==, BLOCKED);
    if (!type) {
        expect_no_event(m);
        return;
    }
    if (pasid != RID) {
        want |= (uint64_t)pasid << 12;
        want |= type == BAD_SUBSTREAMID ? 0 : EVENT_SSV;
    }
    g_assert_true(smmuv3_guest_event(&m->g, words));
    g_assert_cmphex(words[0], ==, want);
    if (smmuv3_guest_event(&m->g, second)) {
        g_assert_cmphex(second[0], ==, want);
    }
    expect_no_event(m);
    if (evt) {
        memcpy(evt, words, sizeof(words));
    }
}

/* --- what is found --- */

#define ALL     "x-ssidsize=20,x-cd2l=on"
#define FEW     "x-ssidsize=4"
#define NARROW  "x-ssidsize=12,x-cd2l=on"

/* With CDs of SSID 0, which leads to page 0, and of @ssid, to page 1 */
static const struct Case {
    const char *name;
    const char *props;
    unsigned fmt, cdmax, dss;
    uint32_t ssid;              /* has a CD */
    uint32_t pasid;             /* of the request */
    unsigned page;
    unsigned event;             /* what it gets instead */
} cases[] = {
    { "linear_found", FEW, LINEAR, 4, SSID0, 5, 5, .page = 1 },
    { "linear-last_found", FEW, LINEAR, 4, SSID0, 15, 15, .page = 1 },
    { "linear-rid_ssid-0", FEW, LINEAR, 4, SSID0, 5, RID, .page = 0 },
    { "linear-15-bits_found", ALL, LINEAR, 15, SSID0, 0x3fff, 0x3fff, 1 },
    { "linear-beyond_bad", FEW, LINEAR, 3, SSID0, 5, 8,
      .event = BAD_SUBSTREAMID },
    { "linear-empty_bad-cd", FEW, LINEAR, 4, SSID0, 5, 6, .event = BAD_CD },
    { "leaf-4k_found", ALL, LEAF_4K, 20, SSID0, 0x12345, 0x12345, .page = 1 },
    { "leaf-4k-last_found", ALL, LEAF_4K, 20, SSID0, 0xfffff, 0xfffff, 1 },
    { "leaf-4k-rid_ssid-0", ALL, LEAF_4K, 20, SSID0, 0x12345, RID, .page = 0 },
    { "leaf-4k-small_found", ALL, LEAF_4K, 3, SSID0, 7, 7, .page = 1 },
    { "leaf-4k-neighbour_bad-cd", ALL, LEAF_4K, 20, SSID0, 0x12345, 0x12346,
      .event = BAD_CD },
    { "leaf-4k-no-table_bad", ALL, LEAF_4K, 20, SSID0, 0x12345, 0x12385,
      .event = BAD_SUBSTREAMID },
    { "leaf-4k-beyond_bad", ALL, LEAF_4K, 17, SSID0, 0x12345, 0x20000,
      .event = BAD_SUBSTREAMID },
    { "leaf-64k_found", ALL, LEAF_64K, 20, SSID0, 0x12345, 0x12345, .page = 1 },
    { "leaf-64k-last_found", ALL, LEAF_64K, 20, SSID0, 0xfffff, 0xfffff, 1 },
    { "leaf-64k-rid_ssid-0", ALL, LEAF_64K, 20, SSID0, 0x12345, RID, 0 },
    { "leaf-64k-far-neighbour_bad-cd", ALL, LEAF_64K, 20, SSID0, 0x12345,
      0x12385, .event = BAD_CD },
    { "leaf-64k-no-table_bad", ALL, LEAF_64K, 20, SSID0, 0x12345, 0x12745,
      .event = BAD_SUBSTREAMID },
    { "terminate-rid_disabled", ALL, LEAF_64K, 20, TERMINATE, 5, RID,
      .event = STREAM_DISABLED },
    { "terminate_found", ALL, LEAF_64K, 20, TERMINATE, 5, 5, .page = 1 },
    { "terminate-ssid-0_found", ALL, LINEAR, 4, TERMINATE, 5, 0, .page = 0 },
    { "bypass_found", ALL, LEAF_64K, 20, BYPASS, 5, 5, .page = 1 },
    { "bypass-ssid-0_found", ALL, LEAF_64K, 20, BYPASS, 5, 0, .page = 0 },
    { "ssid-0-taken_disabled", ALL, LEAF_64K, 20, SSID0, 5, 0,
      .event = STREAM_DISABLED },
    { "one-cd-rid_found", ALL, LINEAR, 0, SSID0, 5, RID, .page = 0 },
    { "one-cd-reserved-fields_found", ALL, RESERVED_FMT, 0, RESERVED_DSS, 0,
      RID, .page = 1 },
    { "one-cd_bad", ALL, LINEAR, 0, SSID0, 5, 5, .event = BAD_SUBSTREAMID },
    { "one-cd-ssid-0_bad", ALL, LINEAR, 0, SSID0, 5, 0,
      .event = BAD_SUBSTREAMID },
    { "wider-than-ssidsize_bad-ste", NARROW, LEAF_64K, 13, SSID0, 5, 5,
      .event = BAD_STE },
    { "as-wide-as-ssidsize_found", NARROW, LEAF_64K, 12, SSID0, 0xfff, 0xfff,
      .page = 1 },
    { "wider-than-ssidsize-rid_bad-ste", NARROW, LEAF_64K, 13, SSID0, 5, RID,
      .event = BAD_STE },
    { "no-cd2l-4k_bad-ste", FEW, LEAF_4K, 4, SSID0, 5, 5, .event = BAD_STE },
    { "no-cd2l-64k_bad-ste", FEW, LEAF_64K, 4, SSID0, 5, 5, .event = BAD_STE },
    { "reserved-format_bad-ste", ALL, RESERVED_FMT, 4, SSID0, 5, 5,
      .event = BAD_STE },
    { "reserved-s1dss_bad-ste", ALL, LINEAR, 4, RESERVED_DSS, 5, 5,
      .event = BAD_STE },
};

static void run_case(const struct Case *c, bool nested)
{
    Machine m;

    start(&m, c->props);
    m.nested = nested;
    write_ste(&m, c->fmt, c->cdmax, c->dss);
    if (c->fmt == RESERVED_FMT) {
        m.fmt = LINEAR;
    }
    write_cd(&m, 0, 10, 0);
    write_cd(&m, c->ssid, 11, 1);
    if (c->event) {
        expect_blocked(&m, c->pasid, c->event, NULL);
    } else {
        expect_page(&m, c->pasid, c->page);
        /* From the cache */
        expect_page(&m, c->pasid, c->page);
    }
    qtest_quit(m.qts);
}

static void test_case(const void *data)
{
    run_case(data, false);
}

static void test_case_nested(const void *data)
{
    run_case(data, true);
}

/* A request without PASID that leaves out stage 1, and stage 1 alone */
static void test_bypass(const void *data)
{
    Machine m;

    start(&m, ALL);
    m.nested = data;
    write_ste(&m, LEAF_64K, 20, BYPASS);
    write_cd(&m, 5, 11, 1);
    expect_read(&m, RID, ipa(&m, PAGES + IOVA), 0);
    expect_page(&m, 5, 1);
    if (m.nested) {
        expect_blocked(&m, RID, TRANSLATION, NULL);
    }
    qtest_quit(m.qts);
}

/* Streams without stage 1 have no substreams */
static void test_no_stage_1(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m, ALL);
    smmuv3_guest_write_ste(&m.g, SID, SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_cfgi(&m.g, SID);
    expect_read(&m, RID, PAGES + IOVA, 0);
    expect_blocked(&m, 5, BAD_SUBSTREAMID, NULL);
    /* Streams that abort do so without a word */
    smmuv3_guest_write_ste(&m.g, SID, SMMUV3_STE_ABORT, 0);
    smmuv3_guest_cfgi(&m.g, SID);
    expect_blocked(&m, RID, NO_EVENT, NULL);
    expect_blocked(&m, 5, NO_EVENT, NULL);
    smmuv3_guest_write_ste(&m.g, SID, 0, 0);
    smmuv3_guest_cfgi(&m.g, SID);
    expect_blocked(&m, 5, BAD_STE, evt);
    qtest_quit(m.qts);
}

/* --- faults --- */

static void test_fetch_linear(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m, ALL);
    write_ste_at(&m, NO_MEMORY, LINEAR, 4, SSID0);
    expect_blocked(&m, 5, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 5 * 64);
    expect_blocked(&m, RID, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY);
    qtest_quit(m.qts);
}

static void test_fetch_level1(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m, ALL);
    write_ste_at(&m, NO_MEMORY, LEAF_64K, 20, SSID0);
    expect_blocked(&m, 0x12345, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0x48 * 8);
    write_ste_at(&m, NO_MEMORY, LEAF_4K, 20, SSID0);
    expect_blocked(&m, 0x12345, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0x48d * 8);
    qtest_quit(m.qts);
}

static void test_fetch_leaf(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m, ALL);
    write_ste(&m, LEAF_64K, 20, SSID0);
    /* Bits below the size of the leaf are ignored */
    qtest_writeq(m.qts, level1_addr(&m, 0x12345), NO_MEMORY | 0xf001);
    expect_blocked(&m, 0x12345, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0x345 * 64);
    write_ste(&m, LEAF_4K, 20, SSID0);
    qtest_writeq(m.qts, level1_addr(&m, 0x12345), NO_MEMORY | 0xf001);
    expect_blocked(&m, 0x12345, CD_FETCH, evt);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0xf000 + 5 * 64);
    qtest_quit(m.qts);
}

/* Stage 2 does not map what stage 1 has for a table: class CD */
static void test_fetch_stage_2(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m, ALL);
    m.nested = true;
    write_ste_at(&m, NO_MEMORY, LEAF_64K, 20, SSID0);
    expect_blocked(&m, 0x12345, TRANSLATION, evt);
    g_assert_cmphex(evt[1] & EVENT_S2, ==, EVENT_S2);
    g_assert_cmpuint(EVENT_CLASS(evt[1]), ==, 0);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0x48 * 8);
    write_ste(&m, LEAF_64K, 20, SSID0);
    qtest_writeq(m.qts, level1_addr(&m, 0x12345), NO_MEMORY | 1);
    expect_blocked(&m, 0x12345, TRANSLATION, evt);
    g_assert_cmpuint(EVENT_CLASS(evt[1]), ==, 0);
    g_assert_cmphex(evt[3], ==, NO_MEMORY + 0x345 * 64);
    qtest_quit(m.qts);
}

/* An address that a substream does not map, and another one does */
static void test_translation_fault(const void *data)
{
    uint64_t evt[4], desc;
    Machine m;

    start(&m, ALL);
    m.nested = data;
    write_ste(&m, LEAF_64K, 20, SSID0);
    write_cd(&m, 0, 10, 0);
    desc = write_cd(&m, 0x12345, 11, 1);
    qtest_writeq(m.qts, desc, 0);
    expect_blocked(&m, 0x12345, TRANSLATION, evt);
    g_assert_cmphex(evt[2], ==, IOVA);
    g_assert_cmphex(evt[1] & EVENT_S2, ==, 0);
    expect_page(&m, RID, 0);
    qtest_quit(m.qts);
}

static void test_write(void)
{
    Machine m;

    start(&m, ALL);
    m.nested = true;
    write_ste(&m, LEAF_64K, 20, SSID0);
    write_cd(&m, 0, 10, 0);
    write_cd(&m, 0x12345, 11, 1);
    qtest_writeq(m.qts, BAR + DATA, STAMP(7));
    g_assert_cmpuint(request(&m, WRITE, 0x12345, IOVA), ==, DONE);
    g_assert_cmphex(qtest_readq(m.qts, PAGES + PAGE_SIZE_2M + IOVA), ==,
                    STAMP(7));
    g_assert_cmphex(qtest_readq(m.qts, PAGES + IOVA), ==, STAMP(0));
    expect_no_event(&m);
    qtest_quit(m.qts);
}

/* --- what is cached --- */

static void cfgi_cd(Machine *m, uint32_t ssid)
{
    smmuv3_guest_post(&m->g, SMMUV3_CFGI_CD | (uint64_t)ssid << 12 |
                      (uint64_t)SID << 32, 1);
    smmuv3_guest_sync(&m->g);
}

/* CDs that change: each command is for those that it names, and no others */
static void test_cfgi(const void *data)
{
    Machine m;

    start(&m, ALL);
    m.nested = data;
    write_ste(&m, LEAF_64K, 20, SSID0);
    write_cd(&m, 0, 10, 0);
    write_cd(&m, 5, 11, 1);
    write_cd(&m, 6, 12, 2);
    expect_page(&m, RID, 0);
    expect_page(&m, 5, 1);
    expect_page(&m, 6, 2);
    write_cd(&m, 0, 20, 3);
    write_cd(&m, 5, 21, 4);
    write_cd(&m, 6, 22, 5);
    expect_page(&m, RID, 0);
    expect_page(&m, 5, 1);
    expect_page(&m, 6, 2);
    cfgi_cd(&m, 7);
    cfgi_cd(&m, 5);
    expect_page(&m, RID, 0);
    expect_page(&m, 5, 4);
    expect_page(&m, 6, 2);
    /* That of requests without SSID */
    cfgi_cd(&m, 0);
    expect_page(&m, RID, 3);
    expect_page(&m, 6, 2);
    smmuv3_guest_post_sid(&m.g, SMMUV3_CFGI_CD_ALL, SID + 1);
    smmuv3_guest_sync(&m.g);
    expect_page(&m, 6, 2);
    smmuv3_guest_post_sid(&m.g, SMMUV3_CFGI_CD_ALL, SID);
    smmuv3_guest_sync(&m.g);
    expect_page(&m, 6, 5);
    write_cd(&m, 0, 30, 6);
    write_cd(&m, 6, 32, 7);
    smmuv3_guest_cfgi(&m.g, SID);
    expect_page(&m, RID, 6);
    expect_page(&m, 6, 7);
    /* The range that ends with the stream */
    write_cd(&m, 0, 40, 0);
    write_cd(&m, 6, 42, 2);
    smmuv3_guest_cfgi_all(&m.g);
    expect_page(&m, RID, 0);
    expect_page(&m, 6, 2);
    qtest_quit(m.qts);
}

/* A CD that goes is not used any more once that was said */
static void test_cd_gone(void)
{
    Machine m;

    start(&m, ALL);
    write_ste(&m, LEAF_64K, 20, SSID0);
    write_cd(&m, 0x12345, 11, 1);
    expect_page(&m, 0x12345, 1);
    qtest_writeq(m.qts, cd_addr(&m, 0x12345), 0);
    cfgi_cd(&m, 0x12345);
    expect_blocked(&m, 0x12345, BAD_CD, NULL);
    qtest_writeq(m.qts, level1_addr(&m, 0x12345), 0);
    cfgi_cd(&m, 0x12345);
    expect_blocked(&m, 0x12345, BAD_SUBSTREAMID, NULL);
    qtest_quit(m.qts);
}

/* More substreams than QEMU keeps address spaces for */
static void test_many(void)
{
    enum { NUM = 100, STEP = 16 };
    Machine m;

    start(&m, ALL);
    write_ste(&m, LEAF_64K, 20, SSID0);
    for (unsigned i = 0; i < NUM; i++) {
        write_cd(&m, 1 + i * STEP, 100 + i, i % 8);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < NUM; i++) {
            expect_page(&m, 1 + i * STEP, i % 8);
        }
    }
    qtest_quit(m.qts);
}

/* Translations are cached by ASID, whichever substream they are of */
static void test_tlbi(const void *data)
{
    uint64_t desc5, desc6;
    Machine m;

    start(&m, ALL);
    m.nested = data;
    write_ste(&m, LEAF_64K, 20, SSID0);
    desc5 = write_cd(&m, 5, 11, 1);
    desc6 = write_cd(&m, 6, 12, 2);
    expect_page(&m, 5, 1);
    expect_page(&m, 6, 2);
    qtest_writeq(m.qts, desc5, block(&m, 3));
    qtest_writeq(m.qts, desc6, block(&m, 4));
    expect_page(&m, 5, 1);
    smmuv3_guest_post(&m.g, SMMUV3_TLBI_NH_ASID | 11ull << 48 |
                      (m.nested ? 7ull << 32 : 0), 0);
    smmuv3_guest_sync(&m.g);
    expect_page(&m, 5, 3);
    expect_page(&m, 6, 2);
    smmuv3_guest_post(&m.g, SMMUV3_TLBI_NH_VA | 12ull << 48 |
                      (m.nested ? 7ull << 32 : 0), 0x1000);
    smmuv3_guest_sync(&m.g);
    expect_page(&m, 6, 4);
    qtest_quit(m.qts);
}

static void test_reset(void)
{
    Machine m;

    start(&m, ALL);
    write_ste(&m, LEAF_64K, 20, SSID0);
    write_cd(&m, 5, 11, 1);
    expect_page(&m, 5, 1);
    qtest_system_reset(m.qts);
    qtest_writel(m.qts, smmuv3_testdev_config(PCI_BASE_ADDRESS_0), BAR);
    qtest_writew(m.qts, smmuv3_testdev_config(PCI_COMMAND), PCI_COMMAND_MEMORY |
                                             PCI_COMMAND_MASTER);
    /* PASIDs are off */
    g_assert_cmpuint(request(&m, READ, 5, IOVA), ==, REFUSED);
    qtest_writew(m.qts, smmuv3_testdev_config(PASID_CAP + PCI_PASID_CTRL),
                 PCI_PASID_CTRL_ENABLE);
    /* GBPA lets all pass */
    expect_read(&m, 5, PAGES + IOVA, 0);
    qtest_quit(m.qts);
}

/*
 * vhost keeps translations as well, outside the SMMU: it has to be told of each
 * step of a guest after which they may be wrong, and need not be of others.
 */
#define OTHER_SID       (SID + 8)

static const struct Notified {
    const char *name;
    uint64_t cmd0, cmd1;        /* a command, or 0 */
    uint32_t cr0;               /* beforehand */
    uint32_t reg, value;        /* what is written to a register then */
    bool told;
} notified[] = {
    { "cfgi-ste_told", SMMUV3_CFGI_STE | (uint64_t)SID << 32, 1, .told = true },
    { "cfgi-ste-of-other_not", SMMUV3_CFGI_STE | (uint64_t)OTHER_SID << 32, 1 },
    { "cfgi-range_told", SMMUV3_CFGI_STE_RANGE | (uint64_t)SID << 32, 2,
      .told = true },
    { "cfgi-range-of-others_not", SMMUV3_CFGI_STE_RANGE |
      (uint64_t)OTHER_SID << 32, 2 },
    { "cfgi-all_told", SMMUV3_CFGI_STE_RANGE, 31, .told = true },
    { "cfgi-cd_told", SMMUV3_CFGI_CD | (uint64_t)SID << 32, 1, .told = true },
    { "cfgi-cd-of-other_not", SMMUV3_CFGI_CD | (uint64_t)OTHER_SID << 32, 1 },
    { "cfgi-cd-all_told", SMMUV3_CFGI_CD_ALL | (uint64_t)SID << 32,
      .told = true },
    { "tlbi-nh-all_told", SMMUV3_TLBI_NH_ALL, .told = true },
    { "tlbi-nsnh-all_told", SMMUV3_TLBI_NSNH_ALL, .told = true },
    { "prefetch_not", SMMUV3_PREFETCH_CONFIG | (uint64_t)SID << 32 },
    { "disabled_told", .cr0 = SMMUV3_CR0_ALL, .reg = SMMUV3_CR0,
      .value = SMMUV3_CR0_CMDQEN, .told = true },
    { "enabled_told", .cr0 = SMMUV3_CR0_CMDQEN, .reg = SMMUV3_CR0,
      .value = SMMUV3_CR0_ALL, .told = true },
    { "enabled-again_not", .cr0 = SMMUV3_CR0_ALL, .reg = SMMUV3_CR0,
      .value = SMMUV3_CR0_SMMUEN },
    { "gbpa_told", .cr0 = SMMUV3_CR0_CMDQEN, .reg = SMMUV3_GBPA,
      .value = SMMUV3_GBPA_UPDATE | SMMUV3_GBPA_ABORT, .told = true },
    { "gbpa-while-enabled_not", .cr0 = SMMUV3_CR0_ALL, .reg = SMMUV3_GBPA,
      .value = SMMUV3_GBPA_UPDATE | SMMUV3_GBPA_ABORT },
    { "gbpa-without-update_not", .cr0 = SMMUV3_CR0_CMDQEN, .reg = SMMUV3_GBPA,
      .value = SMMUV3_GBPA_ABORT },
};

static void test_notified(const void *data)
{
    const struct Notified *c = data;
    uint64_t unmaps;
    Machine m;

    start(&m, "");
    write_ste(&m, LINEAR, 0, TERMINATE);
    write_cd(&m, 0, 10, 0);
    expect_page(&m, RID, 0);
    if (c->reg) {
        smmuv3_guest_set_cr0(&m.g, c->cr0);
    }
    g_assert_cmpuint(request(&m, FOLLOW_UNMAPS, RID, 0), ==, DONE);
    g_assert_cmpuint(qtest_readq(m.qts, BAR + DATA), ==, 0);
    if (c->reg) {
        smmuv3_guest_writel(&m.g, c->reg, c->value);
    } else {
        smmuv3_guest_post(&m.g, c->cmd0, c->cmd1);
        smmuv3_guest_sync(&m.g);
    }
    unmaps = qtest_readq(m.qts, BAR + DATA);
    g_assert_cmpuint(unmaps, ==, c->told);
    qtest_quit(m.qts);
}

/* --- what the guest is told --- */

static const struct Told {
    const char *name;
    const char *props;
    uint32_t idr0, idr1;        /* XOR those without the properties */
} told[] = {
    { "default", "x-ssidsize=0" },
    { "linear", FEW, 0, 4 << 6 },
    { "two-level", ALL, 1u << 19, 20 << 6 },
};

static void test_told(const void *data)
{
    const struct Told *c = data;
    Machine off, on;

    start(&off, "");
    start(&on, c->props);
    for (unsigned reg = SMMUV3_IDR0; reg < SMMUV3_CR0; reg += 4) {
        uint32_t differs = reg == SMMUV3_IDR0 ? c->idr0 :
                           reg == SMMUV3_IDR1 ? c->idr1 : 0;

        g_assert_cmphex(smmuv3_guest_readl(&on.g, reg) ^
                        smmuv3_guest_readl(&off.g, reg), ==, differs);
    }
    /* Without substreams there are no requests with PASID */
    g_assert_cmpuint(request(&off, READ, 5, IOVA), ==, REFUSED);
    qtest_quit(off.qts);
    qtest_quit(on.qts);
}

static const struct Refused {
    const char *name;
    const char *machine;
    const char *args;
    const char *error;
} refused[] = {
    { "cd2l-alone", "virt,iommu=smmuv3", "-global arm-smmuv3.x-cd2l=on",
      "x-cd2l=on needs x-ssidsize=" },
    { "too-wide", "virt,iommu=smmuv3", "-global arm-smmuv3.x-ssidsize=21",
      "x-ssidsize=21 is not possible: use 0 to 20" },
    { "stage-2", "virt-9.1,iommu=smmuv3",
      "-global arm-smmuv3.x-ssidsize=4 -global arm-smmuv3.stage=2",
      "x-ssidsize= needs stage 1, but stage is 2" },
    { "accel", "virt,gic-version=3",
      "-device arm-smmuv3,primary-bus=pcie.0,accel=on,x-ssidsize=4",
      "x-ssidsize= is for an SMMU that emulates: use ssidsize= with accel=on" },
};

static void test_refused(const void *data)
{
    const struct Refused *c = data;
    g_autofree char *cmd = g_strdup_printf("%s -nodefaults -display none "
                                           "-cpu cortex-a57 -M %s %s",
                                           getenv("QTEST_QEMU_BINARY"),
                                           c->machine, c->args);
    g_autofree char *said = NULL;
    int status;

    g_assert_true(g_spawn_command_line_sync(cmd, NULL, &said, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, c->error));
}

#define BOTH(path, func)                                                \
    do {                                                                \
        qtest_add_data_func(path, NULL, func);                          \
        qtest_add_data_func(path "-nested", GUINT_TO_POINTER(1), func); \
    } while (0)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3/substream/cd", cases, test_case);
    qtest_add_cases("/smmuv3/substream/cd-nested", cases, test_case_nested);
    BOTH("/smmuv3/substream/bypass_stage-1-left-out", test_bypass);
    qtest_add_func("/smmuv3/substream/no-stage-1_bad", test_no_stage_1);
    qtest_add_func("/smmuv3/substream/fetch-linear_event", test_fetch_linear);
    qtest_add_func("/smmuv3/substream/fetch-level-1_event", test_fetch_level1);
    qtest_add_func("/smmuv3/substream/fetch-leaf_event", test_fetch_leaf);
    qtest_add_func("/smmuv3/substream/fetch-stage-2_event",
                   test_fetch_stage_2);
    BOTH("/smmuv3/substream/unmapped_event", test_translation_fault);
    qtest_add_func("/smmuv3/substream/write_arrives", test_write);
    BOTH("/smmuv3/substream/cfgi_followed", test_cfgi);
    qtest_add_func("/smmuv3/substream/cd-gone_blocked", test_cd_gone);
    qtest_add_func("/smmuv3/substream/many_found", test_many);
    BOTH("/smmuv3/substream/tlbi_followed", test_tlbi);
    qtest_add_cases("/smmuv3/substream/notified", notified, test_notified);
    qtest_add_func("/smmuv3/substream/reset_off", test_reset);
    qtest_add_cases("/smmuv3/substream/told", told, test_told);
    qtest_add_cases("/smmuv3/substream/refused", refused, test_refused);
    return g_test_run();
}
