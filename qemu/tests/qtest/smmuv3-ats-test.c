/*
 * QTest of ATS in the emulated SMMUv3: what a device is answered that asks for
 * translations, and which of those that it keeps CMD_ATC_INV takes away
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/cases.h"
#include "smmuv3-testdev.h"

#define IDR0_ATS        (1u << 10)
#define IDR0_NS1ATS     (1u << 11)
#define CR0_ATSCHK      (1u << 4)

/* pasid-testdev */
#define ATS_CAP         0x110
enum { ATS_READ = 4, ATS_WRITE = 5 };
enum { DONE, FAILED, REFUSED };

#define PAGE            4096ull

/* STE (SMMUv3 5.2) */
#define EATS(n)         ((uint64_t)(n) << 28)

/* Descriptors (Arm ARM D8.3) */
#define DESC_PAGE       3
#define DESC_RO         (1 << 7)

/* Events (SMMUv3 7.3) */
enum { NO_EVENT = 0, BAD_STE = 0x04, BAD_ATS_TREQ = 0x05,
       TRANSL_FORBIDDEN = 0x07 };
#define EVENT_SSV       (1ull << 11)
#define EVENT_RNW       (1ull << 35)

/* CMD_ATC_INV (SMMUv3 4.5.1) */
#define ATC_GLOBAL      (1ull << 9)
#define CMD_SSEC        (1ull << 10)
#define ATC_SSV         (1ull << 11)
#define ATC_SSID(n)     ((uint64_t)(n) << 12)
#define ATC_ALL         52

typedef struct Machine {
    QTestState *qts;
    Smmuv3Guest g;
    uint64_t config;            /* of the STE, without EATS */
    unsigned dss;
} Machine;

/* --- the guest --- */

static void set_ats(Machine *m, bool on)
{
    qtest_writew(m->qts, smmuv3_testdev_config(ATS_CAP + PCI_ATS_CTRL),
                 on ? PCI_ATS_CTRL_ENABLE : 0);
}

static void enable_device(Machine *m)
{
    smmuv3_testdev_enable(m->qts);
    set_ats(m, true);
}

static void start_with(Machine *m, const char *props, const char *device)
{
    g_autofree char *more = g_strdup_printf(",ats=on%s", device);

    *m = (Machine) { .config = SMMUV3_STE_S1, .dss = SSID0 };
    m->qts = smmuv3_testdev_start(&m->g, props, more, PAGE, 0);
    set_ats(m, true);
}

#define ALL     "x-ats=on,x-ssidsize=5"

static void start(Machine *m)
{
    start_with(m, ALL, "");
}

/* What the tables of stage 1 have for a physical address */
static uint64_t ipa(const Machine *m, uint64_t addr)
{
    return m->config == STE_BOTH ? addr + IPA_OFFSET : addr;
}

static void write_ste(Machine *m, unsigned eats)
{
    uint64_t ste = smmuv3_guest_ste(&m->g, SID);
    bool stage1 = m->config & 1 << 1;

    qtest_writeq(m->qts, ste + 16, STE_S2);
    qtest_writeq(m->qts, ste + 24, STAGE_2);
    smmuv3_guest_write_ste(&m->g, SID, m->config | (stage1 ?
                           ipa(m, CONTEXTS) | S1CDMAX(5) : 0),
                           m->dss | EATS(eats));
    smmuv3_guest_cfgi(&m->g, SID);
}

/* PASIDs have tables of their own; requests without have those of SSID 0 */
static uint64_t desc_addr(uint32_t pasid, unsigned index)
{
    return PAGE_TABLES + (pasid == RID ? 0 : pasid) * 0x4000 + 0x2000 +
           index * 8;
}

static uint64_t desc(const Machine *m, unsigned page)
{
    return ipa(m, PAGES + page * PAGE) | DESC_AF | DESC_PAGE;
}

/* Eight pages from I/O address 0 on, the first of which is @page */
static void write_cd(Machine *m, uint32_t pasid, unsigned page)
{
    uint32_t ssid = pasid == RID ? 0 : pasid;
    uint64_t level3 = desc_addr(pasid, 0);
    uint64_t cd = CONTEXTS + ssid * 64;

    for (unsigned i = 0; i < 8; i++) {
        qtest_writeq(m->qts, level3 + i * 8, desc(m, (page + i) % 8));
    }
    qtest_writeq(m->qts, level3 - 0x1000, ipa(m, level3) | DESC_TABLE);
    qtest_writeq(m->qts, level3 - 0x2000, ipa(m, level3 - 0x1000) |
                                          DESC_TABLE);
    qtest_writeq(m->qts, cd + 8, ipa(m, level3 - 0x2000));
    qtest_writeq(m->qts, cd, CD_ALL | CD_ASID(10 + ssid));
}

static void forget_tlb(Machine *m)
{
    smmuv3_guest_post(&m->g, SMMUV3_TLBI_NSNH_ALL, 0);
    smmuv3_guest_sync(&m->g);
}

/* --- the device --- */

static unsigned request(Machine *m, unsigned command, uint32_t pasid,
                        uint64_t addr)
{
    return smmuv3_testdev_request(m->qts, command, pasid, addr);
}

static void expect_event(Machine *m, uint32_t pasid, unsigned type,
                         uint64_t addr)
{
    uint64_t evt[4] = { 0 }, want = type | (uint64_t)SID << 32;

    if (!type) {
        want = 0;
    } else if (pasid != RID) {
        want |= (uint64_t)pasid << 12 | EVENT_SSV;
    }
    g_assert_true(smmuv3_guest_event(&m->g, evt) == (type != NO_EVENT));
    g_assert_cmphex(evt[0], ==, want);
    g_assert_cmphex(evt[2], ==, addr);
    g_assert_cmphex(evt[1], ==, type == TRANSL_FORBIDDEN ? EVENT_RNW : 0);
    g_assert_false(smmuv3_guest_event(&m->g, evt));
}

static void expect_page(Machine *m, uint32_t pasid, uint64_t addr,
                        unsigned page)
{
    qtest_writeq(m->qts, BAR + DATA, 0);
    g_assert_cmpuint(request(m, ATS_READ, pasid, addr), ==, DONE);
    g_assert_cmphex(qtest_readq(m->qts, BAR + DATA), ==, STAMP(page));
    expect_event(m, pasid, NO_EVENT, 0);
}

static void expect_blocked(Machine *m, unsigned command, uint32_t pasid,
                           uint64_t addr, unsigned type)
{
    g_assert_cmpuint(request(m, command, pasid, addr), ==, FAILED);
    expect_event(m, pasid, type, type == BAD_ATS_TREQ ? addr : 0);
}

/* --- what a stream table entry permits --- */

static const struct Case {
    const char *name;
    uint64_t config;
    unsigned eats, dss;
    uint32_t pasid;
    unsigned result;
    unsigned event;
    bool off;                   /* SMMUEN is */
} cases[] = {
    { "stage-1_answered", SMMUV3_STE_S1, 1, SSID0, RID },
    { "stage-1-pasid_answered", SMMUV3_STE_S1, 1, SSID0, 5 },
    { "stage-1-eats-0_bad", SMMUV3_STE_S1, 0, SSID0, RID, FAILED,
      BAD_ATS_TREQ },
    { "stage-1-pasid-eats-0_bad", SMMUV3_STE_S1, 0, SSID0, 5, FAILED,
      BAD_ATS_TREQ },
    /* IDR0.ATSRECERR is 0: what is wrong in tables is not recorded */
    { "stage-1-eats-2_failed", SMMUV3_STE_S1, 2, SSID0, RID, FAILED },
    { "stage-1-eats-3_failed", SMMUV3_STE_S1, 3, SSID0, RID, FAILED },
    { "stage-2_answered", SMMUV3_STE_S2, 1, SSID0, RID },
    { "stage-2-eats-0_bad", SMMUV3_STE_S2, 0, SSID0, RID, FAILED,
      BAD_ATS_TREQ },
    { "stage-2-eats-2_failed", SMMUV3_STE_S2, 2, SSID0, RID, FAILED },
    { "both_answered", STE_BOTH, 1, SSID0, RID },
    { "both-pasid_answered", STE_BOTH, 1, SSID0, 5 },
    { "both-eats-0_bad", STE_BOTH, 0, SSID0, RID, FAILED, BAD_ATS_TREQ },
    { "both-eats-2_failed", STE_BOTH, 2, SSID0, RID, FAILED },
    { "bypass_bad", SMMUV3_STE_BYPASS, 1, SSID0, RID, FAILED, BAD_ATS_TREQ },
    { "bypass-eats-0_bad", SMMUV3_STE_BYPASS, 0, SSID0, RID, FAILED,
      BAD_ATS_TREQ },
    { "abort_failed", SMMUV3_STE_ABORT, 1, SSID0, RID, FAILED },
    { "invalid_failed", 0, 1, SSID0, RID, FAILED },
    { "s1dss-bypass_bad", SMMUV3_STE_S1, 1, BYPASS, RID, FAILED,
      BAD_ATS_TREQ },
    { "s1dss-bypass-pasid_answered", SMMUV3_STE_S1, 1, BYPASS, 5 },
    { "s1dss-bypass-both_answered", STE_BOTH, 1, BYPASS, RID },
    { "s1dss-terminate_failed", SMMUV3_STE_S1, 1, TERMINATE, RID, FAILED },
    { "no-cd_failed", SMMUV3_STE_S1, 1, SSID0, 9, FAILED },
    { "no-substream_failed", SMMUV3_STE_S1, 1, SSID0, 32, FAILED },
    { "off_failed", SMMUV3_STE_S1, 1, SSID0, RID, FAILED, .off = true },
};

static void test_case(const void *data)
{
    const struct Case *c = data;
    /* What only stage 2 translates has an IPA */
    bool stage1 = c->config & 1 << 1 && (c->dss != BYPASS || c->pasid != RID);
    uint64_t addr = stage1 ? PAGE : PAGES + IPA_OFFSET + PAGE;
    Machine m;

    start(&m);
    m.config = c->config;
    m.dss = c->dss;
    write_ste(&m, c->eats);
    write_cd(&m, RID, 0);
    write_cd(&m, 5, 4);
    if (c->off) {
        smmuv3_guest_set_cr0(&m.g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
    }
    if (c->result == DONE) {
        expect_page(&m, c->pasid, addr, c->pasid == RID ? 1 : 5);
        /* And with a check of what the device has kept */
        smmuv3_guest_set_cr0(&m.g, SMMUV3_CR0_ALL | CR0_ATSCHK);
        expect_page(&m, c->pasid, addr, c->pasid == RID ? 1 : 5);
    } else {
        expect_blocked(&m, ATS_READ, c->pasid, addr, c->event);
    }
    qtest_quit(m.qts);
}

/* An EATS that needs stage 2 is an error, but for streams without a stage */
static void test_illegal_eats(void)
{
    uint64_t evt[4];
    Machine m;

    start(&m);
    write_cd(&m, RID, 0);
    for (unsigned eats = 2; eats < 4; eats++) {
        m.config = SMMUV3_STE_S1;
        write_ste(&m, eats);
        g_assert_cmpuint(request(&m, READ, RID, PAGE), ==, FAILED);
        g_assert_true(smmuv3_guest_event(&m.g, evt));
        g_assert_cmphex(evt[0], ==, BAD_STE | (uint64_t)SID << 32);
        while (smmuv3_guest_event(&m.g, evt)) {
            g_assert_cmphex(evt[0], ==, BAD_STE | (uint64_t)SID << 32);
        }
        m.config = SMMUV3_STE_BYPASS;
        write_ste(&m, eats);
        g_assert_cmpuint(request(&m, READ, RID, PAGES), ==, DONE);
        expect_event(&m, RID, NO_EVENT, 0);
    }
    qtest_quit(m.qts);
}

/* --- answers --- */

/* Nobody but the device learns of what the tables do not permit */
static void test_miss(const void *data)
{
    Machine m;

    start(&m);
    m.config = data ? STE_BOTH : SMMUV3_STE_S1;
    write_ste(&m, 1);
    write_cd(&m, RID, 0);
    write_cd(&m, 5, 4);
    qtest_writeq(m.qts, desc_addr(RID, 1), 0);
    qtest_writeq(m.qts, desc_addr(5, 2), desc(&m, 6) | DESC_RO);
    expect_blocked(&m, ATS_READ, RID, PAGE, NO_EVENT);
    expect_page(&m, 5, PAGE, 5);
    expect_page(&m, 5, 2 * PAGE, 6);
    expect_blocked(&m, ATS_WRITE, 5, 2 * PAGE, NO_EVENT);
    g_assert_cmphex(qtest_readq(m.qts, PAGES + 6 * PAGE), ==, STAMP(6));
    if (data) {
        /* Stage 2 does not map what stage 1 says */
        qtest_writeq(m.qts, desc_addr(5, 3), NO_MEMORY | DESC_AF | DESC_PAGE);
        expect_blocked(&m, ATS_READ, 5, 3 * PAGE, NO_EVENT);
    }
    /* A table that cannot be read */
    qtest_writeq(m.qts, desc_addr(5, 0) - 0x1000, NO_MEMORY | DESC_TABLE);
    forget_tlb(&m);
    expect_blocked(&m, ATS_READ, 5, 4 * PAGE, NO_EVENT);
    qtest_quit(m.qts);
}

static void test_write(void)
{
    Machine m;

    start(&m);
    m.config = STE_BOTH;
    write_ste(&m, 1);
    write_cd(&m, RID, 0);
    write_cd(&m, 5, 4);
    qtest_writeq(m.qts, BAR + DATA, STAMP(7));
    g_assert_cmpuint(request(&m, ATS_WRITE, 5, PAGE), ==, DONE);
    expect_event(&m, 5, NO_EVENT, 0);
    g_assert_cmphex(qtest_readq(m.qts, PAGES + 5 * PAGE), ==, STAMP(7));
    g_assert_cmphex(qtest_readq(m.qts, PAGES + PAGE), ==, STAMP(1));
    qtest_quit(m.qts);
}

/* --- what a device keeps --- */

#define GONE(first, n)  (((1u << (n)) - 1) << (first))
/*
 * The device has one place for all that is a multiple of 64 pages apart, so
 * that each PASID has eight pages of its own.
 */
enum { OF_RID, OF_5, OF_6, SPACES };
static const uint32_t pasids[SPACES] = { RID, 5, 6 };
#define FIRST(space)    ((space) * 8)
#define AT(space, page) ((FIRST(space) + (page)) * PAGE)

static const struct Inv {
    const char *name;
    uint64_t cmd0, cmd1;
    uint32_t sid;
    uint8_t gone[SPACES];
} invs[] = {
    { "page_gone", 0, AT(OF_RID, 3), SID, { GONE(3, 1) } },
    { "two-pages_gone", 0, AT(OF_RID, 2) | 1, SID, { GONE(2, 2) } },
    { "unaligned_widened", 0, AT(OF_RID, 3) | 1, SID, { GONE(2, 2) } },
    { "four-pages_gone", 0, AT(OF_RID, 4) | 2, SID, { GONE(4, 4) } },
    { "low-bits_ignored", 0, AT(OF_RID, 3) | 0xfc0, SID, { GONE(3, 1) } },
    { "far-away_nothing", 0, 1ull << 63 | AT(OF_RID, 3), SID },
    { "lower-half_gone", 0, 51, SID, { 0xff } },
    { "upper-half_nothing", 0, 1ull << 63 | 51, SID },
    { "all_gone", 0, ATC_ALL, SID, { 0xff } },
    { "all-with-address_gone", 0, 1ull << 63 | ATC_ALL, SID, { 0xff } },
    { "no-ssv-ssid_ignored", ATC_SSID(5), ATC_ALL, SID, { 0xff } },
    { "no-ssv-global_ignored", ATC_GLOBAL, ATC_ALL, SID, { 0xff } },
    { "pasid-page_gone", ATC_SSV | ATC_SSID(5), AT(OF_5, 3), SID,
      { 0, GONE(3, 1) } },
    { "pasid-all_gone", ATC_SSV | ATC_SSID(6), ATC_ALL, SID, { 0, 0, 0xff } },
    { "other-pasid_nothing", ATC_SSV | ATC_SSID(7), ATC_ALL, SID },
    { "same-remainder_nothing", ATC_SSV | ATC_SSID(21), ATC_ALL, SID },
    { "pasid-beyond_nothing", ATC_SSV | ATC_SSID(0xfffff), ATC_ALL, SID },
    { "global_all-pasids", ATC_SSV | ATC_GLOBAL, ATC_ALL, SID,
      { 0, 0xff, 0xff } },
    { "global-pages_all-pasids", ATC_SSV | ATC_GLOBAL | ATC_SSID(7),
      AT(OF_RID, 0) | 4, SID, { 0, 0xff, 0 } },
    { "other-stream_nothing", 0, ATC_ALL, 0 },
    { "unknown-stream_nothing", 0, ATC_ALL, 0xff20 },
    { "stream-too-wide_nothing", 0, ATC_ALL, 0x10000 | SID },
    { "stream-much-too-wide_nothing", 0, ATC_ALL, 0xffff0000 | SID },
};

/* Lead the pages of all to the pages from @shift on */
static void write_descs(Machine *m, unsigned shift)
{
    for (unsigned space = 0; space < SPACES; space++) {
        for (unsigned i = 0; i < 8; i++) {
            qtest_writeq(m->qts, desc_addr(pasids[space], FIRST(space) + i),
                         desc(m, (i + shift) % 8));
        }
    }
}

/* Pages of @gone are looked up anew, by @shift */
static void expect_pages(Machine *m, const uint8_t gone[SPACES],
                         unsigned shift)
{
    for (unsigned space = 0; space < SPACES; space++) {
        for (unsigned i = 0; i < 8; i++) {
            unsigned page = gone[space] & 1 << i ? i + shift : i;

            expect_page(m, pasids[space], AT(space, i), page % 8);
        }
    }
}

static void keep_all(Machine *m, bool nested)
{
    static const uint8_t none[SPACES];

    m->config = nested ? STE_BOTH : SMMUV3_STE_S1;
    write_ste(m, 1);
    for (unsigned space = 0; space < SPACES; space++) {
        write_cd(m, pasids[space], 0);
    }
    write_descs(m, 0);
    expect_pages(m, none, 0);
    /* The SMMU knows better, and the device does not learn of it */
    write_descs(m, 1);
    smmuv3_guest_cfgi(&m->g, SID);
    forget_tlb(m);
    expect_pages(m, none, 0);
}

static void post_inv(Machine *m, const struct Inv *inv)
{
    smmuv3_guest_post(&m->g, SMMUV3_ATC_INV | inv->cmd0 |
                      (uint64_t)inv->sid << 32, inv->cmd1);
    smmuv3_guest_sync(&m->g);
}

static void run_inv(const struct Inv *inv, bool nested)
{
    Machine m;

    start(&m);
    keep_all(&m, nested);
    post_inv(&m, inv);
    expect_pages(&m, inv->gone, 1);
    qtest_quit(m.qts);
}

static void test_inv(const void *data)
{
    run_inv(data, false);
}

static void test_inv_nested(const void *data)
{
    run_inv(data, true);
}

static const struct Illegal {
    const char *name;
    uint64_t cmd0, cmd1;
} illegal[] = {
    { "size-53", 0, 53 },
    { "size-63", 0, 63 },
    { "secure", CMD_SSEC, 0 },
};

static void test_illegal(const void *data)
{
    static const uint8_t none[SPACES];
    const struct Illegal *c = data;
    Machine m;

    start(&m);
    keep_all(&m, false);
    smmuv3_guest_post(&m.g, SMMUV3_ATC_INV | c->cmd0 | (uint64_t)SID << 32,
                      c->cmd1);
    smmuv3_guest_ring(&m.g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(&m.g), ==, SMMUV3_CERROR_ILL);
    expect_pages(&m, none, 1);
    qtest_quit(m.qts);
}

/* Where there are no substreams, what names one is reserved */
static void test_no_substreams(void)
{
    const struct Inv inv = { NULL, ATC_SSV | ATC_SSID(7), ATC_ALL, SID };
    uint64_t ste;
    Machine m;

    start_with(&m, "x-ats=on", "");
    ste = smmuv3_guest_ste(&m.g, SID);
    write_cd(&m, RID, 0);
    smmuv3_guest_write_ste(&m.g, SID, SMMUV3_STE_S1 | CONTEXTS, EATS(1));
    qtest_writeq(m.qts, ste + 16, 0);
    smmuv3_guest_cfgi(&m.g, SID);
    expect_page(&m, RID, PAGE, 1);
    g_assert_cmpuint(request(&m, ATS_READ, 5, PAGE), ==, REFUSED);
    qtest_writeq(m.qts, desc_addr(RID, 1), desc(&m, 6));
    forget_tlb(&m);
    expect_page(&m, RID, PAGE, 1);
    post_inv(&m, &inv);
    expect_page(&m, RID, PAGE, 6);
    qtest_quit(m.qts);
}

/* QEMU keeps what it has of PASID 21 where it had PASID 5: nothing is mixed */
static void test_same_place(void)
{
    Machine m;

    start(&m);
    write_ste(&m, 1);
    write_cd(&m, 5, 2);
    write_cd(&m, 21, 4);
    for (unsigned round = 0; round < 2; round++) {
        expect_page(&m, 5, PAGE, 3);
        expect_page(&m, 21, PAGE, 5);
    }
    qtest_quit(m.qts);
}

static void test_switched_off(void)
{
    const uint8_t all[SPACES] = { 0xff, 0xff, 0xff };
    Machine m;

    start(&m);
    keep_all(&m, true);
    set_ats(&m, false);
    g_assert_cmpuint(request(&m, ATS_READ, RID, 0), ==, REFUSED);
    set_ats(&m, true);
    expect_pages(&m, all, 1);
    qtest_quit(m.qts);
}

static void test_keep_stale(void)
{
    const struct Inv inv = { NULL, 0, ATC_ALL, SID };
    static const uint8_t none[SPACES];
    Machine m;

    start_with(&m, ALL, ",keep-stale=on");
    keep_all(&m, true);
    post_inv(&m, &inv);
    expect_pages(&m, none, 1);
    qtest_quit(m.qts);
}

/* CR0.ATSCHK: the stream table has its say when a translation is used, too */
static void test_checked(const void *data)
{
    uint64_t evt[4];
    Machine m;

    start(&m);
    m.config = data ? STE_BOTH : SMMUV3_STE_S1;
    write_ste(&m, 1);
    write_cd(&m, RID, 0);
    write_cd(&m, 5, 4);
    expect_page(&m, RID, PAGE, 1);
    expect_page(&m, 5, 2 * PAGE, 6);
    write_ste(&m, 0);
    expect_page(&m, RID, PAGE, 1);
    expect_page(&m, 5, 2 * PAGE, 6);
    smmuv3_guest_set_cr0(&m.g, SMMUV3_CR0_ALL | CR0_ATSCHK);
    g_assert_cmpuint(request(&m, ATS_READ, RID, PAGE), ==, FAILED);
    expect_event(&m, RID, TRANSL_FORBIDDEN, PAGES + PAGE);
    g_assert_cmpuint(request(&m, ATS_READ, 5, 2 * PAGE), ==, FAILED);
    expect_event(&m, 5, TRANSL_FORBIDDEN, PAGES + 6 * PAGE);
    m.config = SMMUV3_STE_BYPASS;
    write_ste(&m, 1);
    g_assert_cmpuint(request(&m, ATS_READ, RID, PAGE), ==, FAILED);
    expect_event(&m, RID, TRANSL_FORBIDDEN, PAGES + PAGE);
    m.config = SMMUV3_STE_ABORT;
    write_ste(&m, 1);
    expect_blocked(&m, ATS_READ, RID, PAGE, NO_EVENT);
    m.config = 0;
    write_ste(&m, 1);
    g_assert_cmpuint(request(&m, ATS_READ, RID, PAGE), ==, FAILED);
    g_assert_true(smmuv3_guest_event(&m.g, evt));
    g_assert_cmphex(evt[0], ==, BAD_STE | (uint64_t)SID << 32);
    m.config = data ? STE_BOTH : SMMUV3_STE_S1;
    write_ste(&m, 1);
    expect_page(&m, RID, PAGE, 1);
    /* Where nothing is translated, nothing is accessed so */
    smmuv3_guest_set_cr0(&m.g, CR0_ATSCHK | (SMMUV3_CR0_ALL &
                                             ~SMMUV3_CR0_SMMUEN));
    expect_blocked(&m, ATS_READ, RID, PAGE, NO_EVENT);
    smmuv3_guest_set_cr0(&m.g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
    expect_blocked(&m, ATS_READ, RID, PAGE, NO_EVENT);
    qtest_quit(m.qts);
}

static void test_reset(void)
{
    Machine m;

    start(&m);
    keep_all(&m, false);
    qtest_system_reset(m.qts);
    g_assert_cmphex(smmuv3_guest_readl(&m.g, SMMUV3_IDR0) & IDR0_ATS, ==,
                    IDR0_ATS);
    smmuv3_guest_enable(&m.g);
    enable_device(&m);
    expect_page(&m, RID, 0, 1);
    qtest_quit(m.qts);
}

/* --- what the guest is told --- */

static void test_told(void)
{
    Machine off, on;

    start_with(&off, "", "");
    start_with(&on, "x-ats=on", "");
    for (unsigned reg = SMMUV3_IDR0; reg < SMMUV3_CR0; reg += 4) {
        g_assert_cmphex(smmuv3_guest_readl(&on.g, reg) ^
                        smmuv3_guest_readl(&off.g, reg), ==,
                        reg == SMMUV3_IDR0 ? IDR0_ATS | IDR0_NS1ATS : 0);
    }
    qtest_quit(off.qts);
    qtest_quit(on.qts);
}

/* All is as it was: EATS is ignored, CMD_ATC_INV does nothing */
static void test_off(void)
{
    Machine m;

    start_with(&m, "x-ssidsize=5", "");
    g_assert_cmphex(smmuv3_guest_readl(&m.g, SMMUV3_IDR0) & IDR0_ATS, ==, 0);
    write_ste(&m, 3);
    write_cd(&m, RID, 0);
    g_assert_cmpuint(request(&m, READ, RID, PAGE), ==, DONE);
    g_assert_cmpuint(request(&m, ATS_READ, RID, PAGE), ==, REFUSED);
    g_assert_cmpuint(request(&m, ATS_READ, 5, PAGE), ==, REFUSED);
    expect_event(&m, RID, NO_EVENT, 0);
    smmuv3_guest_post(&m.g, SMMUV3_ATC_INV | (uint64_t)SID << 32, 63);
    smmuv3_guest_sync(&m.g);
    qtest_quit(m.qts);
}

static void test_refused(void)
{
    g_autofree char *cmd = g_strdup_printf(
        "%s -nodefaults -display none -cpu cortex-a57 -M virt,gic-version=3 "
        "-device arm-smmuv3,primary-bus=pcie.0,accel=on,x-ats=on",
        getenv("QTEST_QEMU_BINARY"));
    g_autofree char *said = NULL;
    int status;

    g_assert_true(g_spawn_command_line_sync(cmd, NULL, &said, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, "x-ats=on is for an SMMU that emulates: use "
                            "ats= with accel=on"));
}

#define BOTH(path, func)                                                \
    do {                                                                \
        qtest_add_data_func(path, NULL, func);                          \
        qtest_add_data_func(path "-nested", GUINT_TO_POINTER(1), func); \
    } while (0)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3/ats/ste", cases, test_case);
    qtest_add_func("/smmuv3/ats/illegal-eats_bad-ste", test_illegal_eats);
    BOTH("/smmuv3/ats/miss_no-event", test_miss);
    qtest_add_func("/smmuv3/ats/write_arrives", test_write);
    qtest_add_cases("/smmuv3/ats/inv", invs, test_inv);
    qtest_add_cases("/smmuv3/ats/inv-nested", invs, test_inv_nested);
    qtest_add_cases("/smmuv3/ats/illegal", illegal, test_illegal);
    qtest_add_func("/smmuv3/ats/no-substreams_reserved", test_no_substreams);
    qtest_add_func("/smmuv3/ats/same-place_apart", test_same_place);
    qtest_add_func("/smmuv3/ats/switched-off_forgotten", test_switched_off);
    qtest_add_func("/smmuv3/ats/keep-stale_kept", test_keep_stale);
    BOTH("/smmuv3/ats/checked_forbidden", test_checked);
    qtest_add_func("/smmuv3/ats/reset_kept-in-idr0", test_reset);
    qtest_add_func("/smmuv3/ats/told", test_told);
    qtest_add_func("/smmuv3/ats/off_as-before", test_off);
    qtest_add_func("/smmuv3/ats/accel_refused", test_refused);
    return g_test_run();
}
