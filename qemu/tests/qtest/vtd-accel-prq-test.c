/*
 * QTest: page requests of host devices reach the guest of the accelerated VT-d,
 * and its answers go back
 *
 * Whatever happens, the host gets one answer for each group: requests_waiting
 * is 0 in the end, answers_refused too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/query.h"
#include "vtd-accel-prq.h"
#include "standard-headers/linux/pci_regs.h"

#define ECAM_BASE            0xb0000000ull

/* Control and status of ATS and PRI */
#define ATS_ENABLED     ((uint32_t)PCI_ATS_CTRL_ENABLE << 16)
#define PRI_STOPPED     ((uint32_t)(PCI_PRI_STATUS_PASID | \
                                    PCI_PRI_STATUS_STOPPED) << 16)
#define PRI_ENABLED     ((uint32_t)PCI_PRI_STATUS_PASID << 16 | \
                         PCI_PRI_CTRL_ENABLE)

static void expect_desc(PrqTest *q, unsigned index, uint64_t lo, uint64_t hi)
{
    uint64_t addr = QUEUE + index * DESC_SIZE;

    g_assert_cmphex(qtest_readq(q->t.guest.qts, addr), ==, lo);
    g_assert_cmphex(qtest_readq(q->t.guest.qts, addr + 8), ==, hi);
    g_assert_cmphex(qtest_readq(q->t.guest.qts, addr + 16), ==, 0);
    g_assert_cmphex(qtest_readq(q->t.guest.qts, addr + 24), ==, 0);
}

static unsigned interrupts(PrqTest *q)
{
    return prq_lines(q, "vtd_irq_generate");
}

/* --- what a guest sees --- */

static void test_request(void)
{
    struct fh_pgfault r;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    r = prq_request(&q, 0, PASID, 0x1ff, 0xabcdef123000, true);
    r.perm = 0xf;
    prq_send_all(&q, &r, 1);
    prq_wait_tail(&q, 1);
    expect_desc(&q, 0, 1 | 1 << 8 | 0x100 << 16 | (uint64_t)PASID << 32 |
                3ull << 52, 0xabcdef123000 | 0x1ff << 3 | 7);
    g_assert_cmphex(vtd_guest_readl(&q.t.guest, VTD_REG_PRS), ==, VTD_PRS_PPR);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    prq_respond(&q, 0, PASID, 0x1ff, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    prq_end(&q);
}

static void test_without_pasid(void)
{
    struct fh_pgfault r;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    r = prq_request(&q, 0, 0, 3, 0x7000, true);
    r.perm = WRITE;
    prq_send_all(&q, &r, 1);
    prq_wait_tail(&q, 1);
    expect_desc(&q, 0, 1 | 0x100 << 16, 0x7000 | 3 << 3 | 6);
    /* Those of other PASIDs, groups and devices are responses to nothing */
    prq_respond(&q, 0, PASID, 3, SUCCESS);
    prq_respond(&q, 0, 0, 4, SUCCESS);
    prq_respond(&q, 1, 0, 3, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    prq_respond(&q, 0, 0, 3, INVALID);
    g_assert_cmpuint(prq_page(&q)->answers[1], ==, 1);
    /* And so is a second one */
    prq_respond(&q, 0, 0, 3, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 1);
    prq_end(&q);
}

/* The host knows two codes */
static void test_failure(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_send(&q, 0, PASID, 2);
    prq_wait_tail(&q, 2);
    prq_respond(&q, 0, PASID, 1, FAILURE);
    prq_respond(&q, 0, PASID, 2, 5);
    g_assert_cmpuint(prq_page(&q)->answers[1], ==, 2);
    prq_end(&q);
}

static void test_groups(void)
{
    struct fh_pgfault r[5];
    PrqTest q;

    if (!prq_start_with(&q, 2, CE_PASIDE | CE_PRE, NULL)) {
        return;
    }
    r[0] = prq_request(&q, 0, PASID, 1, 0x1000, false);
    r[1] = prq_request(&q, 0, PASID, 1, 0x2000, false);
    r[2] = prq_request(&q, 0, PASID, 1, 0x3000, true);
    r[3] = prq_request(&q, 1, PASID, 1, 0x1000, true);
    r[4] = prq_request(&q, 1, 0, 1, 0x9000, true);
    prq_send_all(&q, r, ARRAY_SIZE(r));
    prq_wait_tail(&q, 5);
    for (unsigned i = 0; i < 3; i++) {
        expect_desc(&q, i, 1 | 1 << 8 | 0x100 << 16 | (uint64_t)PASID << 32,
                    0x1000 * (i + 1) | 1 << 3 | 3 | (i == 2 ? 4 : 0));
    }
    expect_desc(&q, 3, 1 | 1 << 8 | 0x200 << 16 | (uint64_t)PASID << 32,
                0x1000 | 1 << 3 | 7);
    /* Out of order */
    prq_respond(&q, 1, 0, 1, SUCCESS);
    prq_respond(&q, 1, PASID, 1, INVALID);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 2);
    g_assert_cmpuint(prq_page(&q)->answers[1], ==, 1);
    prq_end(&q);
}

static void test_many(void)
{
    struct fh_pgfault r[100];
    uint64_t reads;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
        r[i] = prq_request(&q, 0, PASID, i, i * 0x1000, true);
    }
    reads = prq_page(&q)->queue_reads;
    prq_send_all(&q, r, ARRAY_SIZE(r));
    prq_wait_tail(&q, 100);
    g_assert_cmpuint(prq_page(&q)->queue_reads - reads, ==, 1);
    g_assert_cmpuint(interrupts(&q), ==, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
        prq_post_response(&q, 0, PASID, i, SUCCESS);
    }
    vtd_guest_sync(&q.t.guest);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 100);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 1);
    prq_end(&q);
}

/* Responses that no wait descriptor follows are not kept either */
static void test_no_wait(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    prq_post_response(&q, 0, PASID, 1, SUCCESS);
    vtd_guest_ring(&q.t.guest);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    prq_end(&q);
}

/* --- interrupt --- */

static void test_interrupt(void)
{
    VtdGuest *g;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    g = &q.t.guest;
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    g_assert_cmpuint(interrupts(&q), ==, 1);
    /* Software has not served the first one */
    prq_send(&q, 0, PASID, 2);
    prq_wait_tail(&q, 2);
    g_assert_cmpuint(interrupts(&q), ==, 1);
    /* Masked: it is kept, and comes when that ends */
    vtd_guest_writel(g, VTD_REG_PRS, VTD_PRS_PPR);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PRS), ==, 0);
    vtd_guest_writel(g, VTD_REG_PECTL, VTD_PECTL_IM);
    prq_send(&q, 0, PASID, 3);
    prq_wait_tail(&q, 3);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PECTL), ==,
                    VTD_PECTL_IM | VTD_PECTL_IP);
    g_assert_cmpuint(interrupts(&q), ==, 1);
    vtd_guest_writel(g, VTD_REG_PECTL, 0);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PECTL), ==, 0);
    g_assert_cmpuint(interrupts(&q), ==, 2);
    /* Or not, when it was served meanwhile */
    vtd_guest_writel(g, VTD_REG_PRS, VTD_PRS_PPR);
    vtd_guest_writel(g, VTD_REG_PECTL, VTD_PECTL_IM);
    prq_send(&q, 0, PASID, 4);
    prq_wait_tail(&q, 4);
    vtd_guest_writel(g, VTD_REG_PRS, VTD_PRS_PPR);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PECTL), ==, VTD_PECTL_IM);
    vtd_guest_writel(g, VTD_REG_PECTL, 0);
    g_assert_cmpuint(interrupts(&q), ==, 2);
    for (unsigned i = 1; i <= 4; i++) {
        prq_respond(&q, 0, PASID, i, SUCCESS);
    }
    prq_end(&q);
}

/* --- a queue that takes nothing --- */

static void test_full(void)
{
    struct fh_pgfault r[QUEUE_LEN];
    VtdGuest *g;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    g = &q.t.guest;
    for (unsigned i = 0; i < QUEUE_LEN; i++) {
        r[i] = prq_request(&q, 0, PASID, i, i * 0x1000, true);
    }
    prq_send_all(&q, r, QUEUE_LEN);
    prq_wait_tail(&q, QUEUE_LEN - 1);
    /* The device is to ask again for the one that did not fit */
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PRS), ==,
                    VTD_PRS_PPR | VTD_PRS_PRO);
    g_assert_cmpuint(prq_answers(&q, SUCCESS), ==, 1);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, QUEUE_LEN - 1);
    /* Nothing is queued until software has seen that, room or not */
    vtd_guest_writeq(g, VTD_REG_PQH, (QUEUE_LEN - 1) * DESC_SIZE);
    prq_send(&q, 0, PASID, 200);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) == 2);
    vtd_guest_writel(g, VTD_REG_PRS, VTD_PRS_PPR | VTD_PRS_PRO);
    prq_send(&q, 0, PASID, 201);
    prq_wait_tail(&q, 0);
    for (unsigned i = 0; i < QUEUE_LEN - 1; i++) {
        prq_post_response(&q, 0, PASID, i, SUCCESS);
        if (i % 32 == 31) {
            vtd_guest_sync(g);
        }
    }
    prq_respond(&q, 0, PASID, 201, SUCCESS);
    prq_end(&q);
}

/* A group of which only a part fits is answered here */
static void test_part_fits(void)
{
    struct fh_pgfault r[4];
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQH, 3 * DESC_SIZE);
    for (unsigned i = 0; i < 4; i++) {
        r[i] = prq_request(&q, 0, PASID, 1, i * 0x1000, i == 3);
    }
    prq_send_all(&q, r, 4);
    prq_wait_tail(&q, 2);
    g_assert_cmpuint(prq_answers(&q, SUCCESS), ==, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_end(&q);
}

static void expect_refused(PrqTest *q)
{
    prq_send(q, 0, PASID, 9);
    FAKEHOST_AWAIT(q->t.host, prq_answers(q, INVALID) == 1);
    g_assert_cmpuint(prq_tail(q), ==, 0);
}

static void test_not_enabled(void)
{
    PrqTest q;

    if (prq_start_with(&q, 1, CE_PASIDE, NULL)) {
        expect_refused(&q);
        prq_end(&q);
    }
}

static void test_queue_outside_memory(void)
{
    PrqTest q;

    if (prq_start(&q)) {
        vtd_guest_writeq(&q.t.guest, VTD_REG_PQA, 0xfffffffff000);
        expect_refused(&q);
        /* Nor does the queue reach registers */
        vtd_guest_writeq(&q.t.guest, VTD_REG_PQA, 0xfed90000);
        prq_send(&q, 0, PASID, 10);
        FAKEHOST_AWAIT(q.t.host, prq_answers(&q, INVALID) == 2);
        prq_end(&q);
    }
}

/* Head and tail that are beyond a queue of its size */
static void test_hostile_registers(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQH, ~0ull);
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQT, ~0ull);
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 0);
    expect_desc(&q, QUEUE_LEN - 1, 1 | 1 << 8 | 0x100 << 16 |
                (uint64_t)PASID << 32, 0x6000 | 1 << 3 | 7);
    /* The largest size, and a queue that ends outside memory */
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQA, (VTD_GUEST_RAM_MB * 0x100000ull -
                                           0x1000) | 7);
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQT, 128 * DESC_SIZE);
    vtd_guest_writeq(&q.t.guest, VTD_REG_PQH, 0);
    prq_send(&q, 0, PASID, 2);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, INVALID) == 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_end(&q);
}

/* --- what ends a request without a response --- */

typedef struct EndCase {
    const char *name;
    void (*act)(PrqTest *q);
} EndCase;

static void act_pasid_gone(PrqTest *q)
{
    vtd_guest_clear_pasid(&q->t.guest, q->dir[0], PASID);
    vtd_guest_flush_pasid_cache(&q->t.guest);
}

static void act_pasid_other_table(PrqTest *q)
{
    VtdPasidEntry entry = vtd_accel_fs_entry(40);

    vtd_guest_write_pasid(&q->t.guest, q->dir[0], PASID, &entry);
    vtd_guest_flush_pasid_cache(&q->t.guest);
}

static void act_te_off(PrqTest *q)
{
    vtd_guest_set_translation(&q->t.guest, false);
}

static void act_reset(PrqTest *q)
{
    fakehost_reset(q->t.host);
}

static void act_unplug(PrqTest *q)
{
    fakehost_unplug(q->t.host, 0);
}

static const EndCase end_cases[] = {
    { "pasid-gone", act_pasid_gone },
    { "pasid-other-table", act_pasid_other_table },
    { "translation-off", act_te_off },
    { "reset", act_reset },
    { "unplug", act_unplug },
};

static void test_end(const void *opaque)
{
    const EndCase *c = opaque;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    c->act(&q);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) +
                   prq_page(&q)->answers_by_kernel == 1);
    g_assert_cmpuint(prq_page(&q)->answers_by_kernel, ==, 1);
    if (c->act == act_reset) {
        /* With the tables that it had */
        vtd_guest_enable(&q.t.guest);
    }
    /* The guest's response comes too late */
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 0);
    prq_end(&q);
}

/* A response that was given counts, though the PASID goes next */
static void test_answered_then_gone(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    prq_post_response(&q, 0, PASID, 1, SUCCESS);
    act_pasid_gone(&q);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    g_assert_cmpuint(prq_page(&q)->answers_by_kernel, ==, 0);
    prq_end(&q);
}

/* Requests without PASID are none of those of the PASID that goes */
static void test_others_stay(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_send(&q, 0, 0, 1);
    prq_wait_tail(&q, 2);
    act_pasid_gone(&q);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    prq_respond(&q, 0, 0, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    prq_end(&q);
}

/* The host treats a request with PASID 0 as one without: so do we */
static void test_pasid_0(void)
{
    VtdPasidEntry other = vtd_accel_fs_entry(20);
    struct fh_pgfault r;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    r = prq_request(&q, 0, 0, 1, 0x5000, true);
    r.flags |= FH_PGFAULT_PASID_VALID;
    prq_send_all(&q, &r, 1);
    prq_wait_tail(&q, 1);
    vtd_guest_write_pasid(&q.t.guest, q.dir[0], 0, &other);
    vtd_guest_flush_pasid_cache(&q.t.guest);
    g_assert_cmpuint(prq_page(&q)->answers_by_kernel, ==, 1);

    /* Its index is free again */
    r.cookie = q.cookie++;
    prq_send_all(&q, &r, 1);
    prq_wait_tail(&q, 2);
    vtd_guest_post(&q.t.guest, 9 | 1 << 4 | SUCCESS << 12 |
                   (uint64_t)fakehost_sid(0) << 16, 1 << 3);
    vtd_guest_sync(&q.t.guest);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    prq_end(&q);
}

static void test_stopped(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    qtest_qmp_assert_success(q.t.guest.qts, "{ 'execute': 'stop' }");
    prq_send(&q, 0, PASID, 1);
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpuint(prq_tail(&q), ==, 0);
    }
    qtest_qmp_assert_success(q.t.guest.qts, "{ 'execute': 'cont' }");
    prq_wait_tail(&q, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_end(&q);
}

/* A wait descriptor that drains brings the request, which nobody else reads */
static void expect_drained(PrqTest *q, bool is_sent)
{
    VtdGuest *g = &q->t.guest;

    qtest_qmp_assert_success(g->qts, "{ 'execute': 'stop' }");
    fakehost_clear_rules(q->t.host);
    if (!is_sent) {
        prq_send(q, 0, PASID, 1);
    }
    vtd_guest_post(g, 5 | 1 << 5 | 1 << 7 | 0x77ull << 32, g->status);
    g_assert_cmpuint(prq_tail(q), ==, 0);
    vtd_guest_ring(g);
    g_assert_cmpuint(prq_tail(q), ==, 1);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'cont' }");
    prq_respond(q, 0, PASID, 1, SUCCESS);
    prq_end(q);
}

static void test_drain(void)
{
    PrqTest q;

    if (prq_start(&q)) {
        expect_drained(&q, false);
    }
}

/* It does so too while QEMU waits, for a second, to read them once more */
static void test_drain_retries(void)
{
    PrqTest q;

    if (prq_start(&q)) {
        fakehost_fail(q.t.host, "READ_EVENTS", 1, 0, EIO, 0);
        prq_send(&q, 0, PASID, 1);
        FAKEHOST_AWAIT(q.t.host, prq_lines(&q, "cannot read the host's") == 1);
        expect_drained(&q, true);
    }
}

/*
 * An index that is used again before it is answered: the device was reset, and
 * does not wait for the old answer any more
 */
static void test_index_twice(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 2);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 2);
    /* Once more, and it is not kept: the guest never answers */
    prq_send(&q, 0, PASID, 1);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, INVALID) == 1);
    g_assert_cmpuint(prq_tail(&q), ==, 2);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 2);

    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 2);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 2);
    /* The other response is to nothing */
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 2);
    prq_end(&q);
}

/* Both come in one read, and the queue takes neither, one, or both */
static void test_index_twice_at_once(void)
{
    for (unsigned room = 0; room <= 2; room++) {
        struct fh_pgfault r[2];
        PrqTest q;

        if (!prq_start(&q)) {
            return;
        }
        vtd_guest_writeq(&q.t.guest, VTD_REG_PQH, (room + 1) * DESC_SIZE);
        r[0] = prq_request(&q, 0, PASID, 1, 0x1000, true);
        r[1] = prq_request(&q, 0, PASID, 1, 0x2000, true);
        prq_send_all(&q, r, 2);
        FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) == 2 ||
                       prq_page(&q)->requests_waiting == 2);
        g_assert_cmpuint(prq_tail(&q), ==, room);
        g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, room < 2 ? 2 : 0);
        prq_respond(&q, 0, PASID, 1, SUCCESS);
        g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 2);
        g_assert_cmpuint(prq_page(&q)->answers[INVALID], ==, 0);
        prq_end(&q);
    }
}

/* Send @num groups of each PASID of @devices, more than a FIFO takes at once */
static unsigned fill(PrqTest *q, unsigned devices, unsigned num)
{
    g_autofree struct fh_pgfault *r = g_new(struct fh_pgfault, num);
    unsigned sent = 0;

    for (unsigned i = 0; i < devices * 2; i++) {
        for (unsigned j = 0; j < num; j++) {
            r[j] = prq_request(q, i / 2, i & 1 ? PASID : 0, j, 0x1000, true);
        }
        prq_send_all(q, r, num);
        sent += num;
        prq_wait_tail(q, sent);
    }
    return sent;
}

/* A guest that never answers: what is kept for it has a limit */
static void test_limit(void)
{
    VtdPasidEntry more = vtd_accel_fs_entry(30);
    VtdGuest *g;
    unsigned sent;
    PrqTest q;

    if (!prq_start_with(&q, 4, CE_PASIDE | CE_PRE, NULL)) {
        return;
    }
    g = &q.t.guest;
    vtd_guest_writeq(g, VTD_REG_PQA, QUEUE | 7);
    vtd_guest_write_pasid(g, q.dir[0], PASID + 1, &more);
    vtd_guest_flush_pasid_cache(g);
    sent = fill(&q, 4, 512);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 4096);
    prq_send(&q, 0, PASID + 1, 1);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, INVALID) == 1);
    g_assert_cmpuint(prq_tail(&q), ==, sent);

    /* An answer makes room for one */
    prq_respond(&q, 3, PASID, 511, SUCCESS);
    prq_send(&q, 0, PASID + 1, 2);
    prq_wait_tail(&q, sent + 1);
    prq_send(&q, 0, PASID + 1, 3);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, INVALID) == 2);
    fakehost_reset(q.t.host);
    FAKEHOST_AWAIT(q.t.host, prq_page(&q)->answers_by_kernel == 4096);
    prq_end(&q);
}

/* The guest renumbers a bus while it has requests of a device there */
static void test_renumbered(void)
{
    VtdGuest *g;
    PrqTest q;

    if (!prq_start_with(&q, 2, CE_PASIDE | CE_PRE, NULL)) {
        return;
    }
    g = &q.t.guest;
    for (unsigned i = 1; i <= 3; i++) {
        prq_send(&q, 0, PASID, i);
    }
    prq_wait_tail(&q, 3);
    fakehost_number_bus(q.t.host, fakehost_port(0), 9, 9);
    /* It answers whom it was asked by */
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 1);

    /* Another one asks by that name */
    fakehost_number_bus(q.t.host, fakehost_port(1), 1, 1);
    vtd_guest_post_cc(g, VTD_CC_GLOBAL, 0, 0);
    vtd_guest_flush_pasid_cache(g);
    g_assert_cmpuint(prq_page(&q)->answers_by_kernel, ==, 2);
    prq_send(&q, 1, PASID, 2);
    prq_wait_tail(&q, 4);
    prq_respond(&q, 0, PASID, 3, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    prq_respond(&q, 0, PASID, 2, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 2);
    prq_end(&q);
}

/* --- what is offered --- */

typedef struct OfferCase {
    const char *name;
    const char *props;
    uint64_t ecap;
    unsigned pri;               /* of the host's devices */
    bool cold;                  /* a device is there from the start */
    bool offered;
    bool queue;                 /* the host has a fault queue */
} OfferCase;

#define AUTO    VTD_ACCEL_PROPS ",pasid-bits=20"

static const OfferCase offer_cases[] = {
    { "auto_cold", AUTO, HOST_PRI, 1, true, true, true },
    { "auto_hot", AUTO, HOST_PRI, 1, false, false, false },
    { "auto_host-without", AUTO, HOST_ECAP, 1, true, false, false },
    { "auto_device-without", AUTO, HOST_PRI, 0, true, false, false },
    { "off", AUTO ",pri=off", HOST_PRI, 1, true, false, false },
    { "on_hot", PROPS, HOST_PRI, 1, false, true, true },
    { "on_device-without", PROPS, HOST_PRI, 0, false, true, false },
    { "on_host-without", PROPS, HOST_ECAP, 1, false, true, false },
};

/* A reset of the function switches off what the guest has enabled */
static void expect_function_reset(FakeHost *host, bool ours)
{
    uint16_t ats = PCI_CFG_SPACE_SIZE, pri = ats + 0x10;
    uint16_t sid = fakehost_sid(0);
    unsigned exp = fakehost_find_cap(host, sid, PCI_CAP_ID_EXP);

    fakehost_cfg_writew(host, sid, pri + 4, PCI_PRI_CTRL_ENABLE);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 4), ==, PRI_ENABLED);
    fakehost_cfg_writew(host, sid, exp + PCI_EXP_DEVCTL,
                        PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, ats + 4) >> 16, ==,
                    ours ? 0 : PCI_ATS_CTRL_ENABLE);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 4), ==,
                    ours ? PRI_STOPPED : PRI_ENABLED);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 12), ==,
                    ours ? 0 : 64);
}

/*
 * Enable bits of ATS and PRI are the guest's if it gets page requests, and what
 * the kernel shows otherwise
 */
static void expect_enable_bits(PrqTest *q, bool ours)
{
    FakeHost *host = q->t.host;
    uint16_t ats = PCI_CFG_SPACE_SIZE, pri = ats + 0x10;
    uint16_t sid = fakehost_sid(0);

    fakehost_set_power(host, 0, true);
    fakehost_cfg_writel(host, 0, 0x60, ECAM_BASE | 1);
    host->ecam = ECAM_BASE;
    g_assert_cmphex(fakehost_cfg_readl(host, sid, ats) & 0xffff, ==,
                    PCI_EXT_CAP_ID_ATS);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri) & 0xffff, ==,
                    PCI_EXT_CAP_ID_PRI);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, ats + 4) >> 16, ==,
                    ours ? 0 : PCI_ATS_CTRL_ENABLE);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 4), ==,
                    ours ? PRI_STOPPED : PRI_ENABLED);
    fakehost_cfg_writel(host, sid, ats + 4, ATS_ENABLED | 0xffff);
    fakehost_cfg_writel(host, sid, pri + 12, 32);
    fakehost_cfg_writew(host, sid, pri + 4, PCI_PRI_CTRL_ENABLE);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, ats + 4), ==, ATS_ENABLED);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 4), ==,
                    PRI_ENABLED);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 8), ==, 64);
    g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 12), ==,
                    ours ? 32 : 64);
    if (ours) {
        fakehost_cfg_writew(host, sid, pri + 4, PCI_PRI_CTRL_RESET);
        g_assert_cmphex(fakehost_cfg_readl(host, sid, pri + 4), ==,
                        PRI_STOPPED);
    }
    expect_function_reset(host, ours);
}

static void test_offer(const void *opaque)
{
    static const char *const cold[] = { "bus=rp0", NULL };
    const OfferCase *c = opaque;
    g_autofree char *host = prq_describe(c->ecap, c->pri);
    VtdAccelSetup setup = {
        .iommu_props = c->props, .host = host, .devices = !c->cold,
        .cold = c->cold ? cold : NULL,
    };
    uint64_t ecap;
    PrqTest q = { 0 };

    if (!vtd_accel_start(&q.t, &setup)) {
        return;
    }
    ecap = vtd_guest_readq(&q.t.guest, VTD_REG_ECAP);
    g_assert_cmphex(ecap & (VTD_ECAP_PRS | VTD_ECAP_PDS | ECAP_DT), ==,
                    c->offered ? VTD_ECAP_PRS | VTD_ECAP_PDS | ECAP_DT : 0);
    prq_bind_device(&q, 0, CE_PASIDE | CE_PRE);
    vtd_accel_expect_s1(&q.t, 0);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==,
                     c->queue);
    if (c->pri) {
        expect_enable_bits(&q, c->queue);
    }
    fakehost_free(q.t.host);
}

/* What is said of the device, whatever the guest was told */
static void expect_can_request(PrqTest *q, int64_t can)
{
    QDict *info = viommu_query(q->t.host);

    g_assert_cmpint(viommu_capability(info, "page-requests"), ==, 1);
    g_assert_cmpint(viommu_capability(viommu_device(info, 0), "page-requests"),
                    ==, can);
    qobject_unref(info);
}

typedef struct RefusedCase {
    const char *name;
    const char *call;           /* that fails, or NULL: the device has no PRI */
    int err;
} RefusedCase;

static const RefusedCase refused_cases[] = {
    { "device", NULL },
    { "attach_einval", "ATTACH_IOMMUFD_PT", EINVAL },
    { "attach_eopnotsupp", "ATTACH_IOMMUFD_PT", EOPNOTSUPP },
    { "alloc_eopnotsupp", "IOMMU_HWPT_ALLOC", EOPNOTSUPP },
    { "alloc_einval", "IOMMU_HWPT_ALLOC", EINVAL },
    { "alloc_enodev", "IOMMU_HWPT_ALLOC", ENODEV },
};

/* The host finds out at last that it cannot, or does not want to */
static void test_refused(const void *opaque)
{
    const RefusedCase *c = opaque;
    g_autofree char *host = prq_describe(HOST_PRI, c->call ? 1 : 2);
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = 1,
    };
    PrqTest q = { 0 };

    if (!vtd_accel_start(&q.t, &setup)) {
        return;
    }
    if (c->call) {
        fakehost_fail_next(q.t.host, c->call, c->err);
    }
    prq_bind_device(&q, 0, CE_PASIDE | CE_PRE);
    vtd_accel_expect_s1(&q.t, 0);
    g_assert_cmpuint(fakehost_device(q.t.host, "dev0")->pasids, ==, 1);
    g_assert_cmpuint(prq_lines(&q, "does not get its page requests"), ==, 1);
    g_assert_cmpuint(prq_lines(&q, "DMA blocked"), ==, 0);
    expect_can_request(&q, 0);
    fakehost_free(q.t.host);
}

/* The queue goes with the iommufd that it is of */
static void test_other_iommufd(void)
{
    g_autofree char *host = prq_describe(HOST_PRI, 1);
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = 1, .iommufds = 2,
    };
    VtdPasidEntry pt = vtd_accel_pt_entry(30);
    PrqTest q = { 0 };
    uint64_t dir;

    if (!vtd_accel_start(&q.t, &setup)) {
        return;
    }
    prq_bind_device(&q, 0, CE_PASIDE | CE_PRE);
    g_assert_null(fakehost_try_plug(q.t.host, 1, ", 'iommufd': 'iommufd1'"));
    dir = vtd_guest_add_context(&q.t.guest, fakehost_sid(1), 0);
    vtd_guest_write_pasid(&q.t.guest, dir, 0, &pt);
    vtd_guest_flush_pasid_cache(&q.t.guest);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 1);
    fakehost_unplug(q.t.host, 0);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 0);

    /* One of its own, on its own */
    prq_bind_device(&q, 1, CE_PASIDE | CE_PRE);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 1);
    g_assert_cmpuint(prq_lines(&q, "does not get its page requests"), ==, 0);
    fakehost_unplug(q.t.host, 1);
    fakehost_expect_empty(q.t.host);
    fakehost_free(q.t.host);
}

/* Devices of two iommufds have the same id there */
static void test_two_iommufds(void)
{
    g_autofree char *host = prq_describe(HOST_PRI, 1);
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = 1, .iommufds = 2,
    };
    PrqTest q = { .cookie = 100 };

    if (!vtd_accel_start(&q.t, &setup)) {
        return;
    }
    prq_bind_device(&q, 0, CE_PASIDE | CE_PRE);
    prq_set_up_queue(&q);
    q.fd = prq_open_queue(&q.t);
    g_assert_null(fakehost_try_plug(q.t.host, 1, ", 'iommufd': 'iommufd1'"));
    g_assert_cmpuint(fakehost_device(q.t.host, "dev0")->dev_id, ==,
                     fakehost_device(q.t.host, "dev1")->dev_id);
    prq_bind_device(&q, 1, CE_PASIDE);
    g_assert_cmpuint(prq_lines(&q, "does not get its page requests"), ==, 1);
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    g_assert_cmphex(qtest_readq(q.t.guest.qts, QUEUE) >> 16 & 0xffff, ==,
                    fakehost_sid(0));

    /* What goes is none of the other one's */
    fakehost_unplug(q.t.host, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[0], ==, 1);
    prq_end(&q);
}

/* --- a host that fails --- */

typedef struct NoQueueCase {
    const char *name;
    const char *call;           /* that fails */
    const char *told;
    int err;
} NoQueueCase;

static const NoQueueCase no_queue_cases[] = {
    { "no-queue", "IOMMU_FAULT_QUEUE_ALLOC", "IOMMU_FAULT_QUEUE_ALLOC failed",
      ENOTTY },
    { "no-epoll", "EPOLL_CREATE", "cannot create an epoll instance", EMFILE },
    { "no-watch", "EPOLL_ADD", "cannot watch the fault queue", ENOSPC },
};

static void test_no_queue(const void *opaque)
{
    const NoQueueCase *c = opaque;
    g_autofree char *host = prq_describe(HOST_PRI, 1);
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = 1,
    };
    PrqTest q = { 0 };

    if (!vtd_accel_start(&q.t, &setup)) {
        return;
    }
    fakehost_fail(q.t.host, c->call, 1, 0, c->err, 0);
    prq_bind_device(&q, 0, CE_PASIDE | CE_PRE);
    vtd_accel_expect_s1(&q.t, 0);
    g_assert_cmpuint(prq_lines(&q, "does not get its page requests"), ==, 1);
    g_assert_cmpuint(prq_lines(&q, c->told), ==, 1);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 0);
    fakehost_unplug(q.t.host, 0);
    fakehost_expect_empty(q.t.host);
    fakehost_free(q.t.host);
}

/*
 * A read that brings nothing, though there is something, is not tried soon.
 * Some hosts say so by EINVAL, some by 0.
 */
static void test_brings_nothing(const void *opaque)
{
    const int *err = opaque;
    uint64_t reads;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    fakehost_fail(q.t.host, "READ_EVENTS", 1, 0, *err, 0);
    reads = prq_page(&q)->queue_reads;
    prq_send(&q, 0, PASID, 1);
    /* What cannot be read is answered by the host */
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) +
                   prq_page(&q)->answers_by_kernel == 1);
    g_usleep(200 * 1000);
    g_assert_cmpuint(prq_page(&q)->queue_reads - reads, <=, 16);
    g_assert_cmpuint(prq_lines(&q, "a device has sent more than"), ==, 1);
    fakehost_clear_rules(q.t.host);
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 1);
    prq_end(&q);
}

/* A guest whose queue has room for all, and a host whose queue has */
static bool start_large(PrqTest *q)
{
    if (!prq_start_with(q, 2, CE_PASIDE | CE_PRE, NULL)) {
        return false;
    }
    vtd_guest_writeq(&q->t.guest, VTD_REG_PQA, QUEUE | 7);
    g_assert_cmpint(fcntl(q->fd, F_SETPIPE_SZ, 1 << 20), ==, 1 << 20);
    return true;
}

/* A group of @num requests, between two of one */
static void send_large(PrqTest *q, unsigned num)
{
    g_autofree struct fh_pgfault *r = g_new(struct fh_pgfault, num + 2);

    r[0] = prq_request(q, 1, PASID, 1, 0x1000, true);
    for (unsigned i = 0; i < num; i++) {
        r[i + 1] = prq_request(q, 0, PASID, 1, i * 0x1000ull, i == num - 1);
    }
    r[num + 1] = prq_request(q, 1, PASID, 2, 0x1000, true);
    prq_send_all(q, r, num + 2);
}

static void test_large_group(void)
{
    static const unsigned sizes[] = { 2047, 2048, 2049, 16381 };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        PrqTest q;

        if (!start_large(&q)) {
            return;
        }
        send_large(&q, sizes[i]);
        prq_wait_tail(&q, sizes[i] + 2);
        g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 3);
        prq_respond(&q, 0, PASID, 1, SUCCESS);
        prq_respond(&q, 1, PASID, 2, SUCCESS);
        prq_respond(&q, 1, PASID, 1, SUCCESS);
        g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 3);
        g_assert_cmpuint(prq_page(&q)->answers_by_kernel, ==, 0);
        prq_end(&q);
    }
}

/* One that the guest cannot have: the host refuses it, and all that waits */
static void test_too_large(void)
{
    uint64_t reads;
    PrqTest q;

    if (!start_large(&q)) {
        return;
    }
    prq_send(&q, 0, 0, 1);
    prq_wait_tail(&q, 1);
    reads = prq_page(&q)->queue_reads;
    send_large(&q, 16384);
    /* The first one of them may have come before */
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) +
                   prq_page(&q)->answers_by_kernel == 4);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 0);
    g_assert_cmpuint(prq_page(&q)->queue_reads - reads, <=, 8);
    g_assert_cmpuint(prq_lines(&q, "a device has sent more than"), ==, 1);
    g_assert_cmpuint(prq_lines(&q, "cannot read"), ==, 0);
    vtd_accel_expect_s1(&q.t, 0);
    vtd_accel_expect_s1(&q.t, 1);
    /* The guest's responses are to nothing */
    prq_respond(&q, 0, 0, 1, SUCCESS);
    prq_respond(&q, 1, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answer_writes, ==, 0);

    prq_send(&q, 0, PASID, 1);
    FAKEHOST_AWAIT(q.t.host, prq_page(&q)->requests_waiting == 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 1);
    prq_end(&q);
}

/* Unplugging the last device leaves nothing */
static void test_unplug(void)
{
    PrqTest q;

    if (!prq_start_with(&q, 2, CE_PASIDE | CE_PRE, NULL)) {
        return;
    }
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 1);
    fakehost_unplug(q.t.host, 0);
    g_assert_cmpuint(fakehost_objects(q.t.host, FAKEHOST_OBJ_FAULT), ==, 1);
    fakehost_unplug(q.t.host, 1);
    fakehost_expect_empty(q.t.host);
    prq_end(&q);
}

static void expect_counter(PrqTest *q, const char *name, int64_t value)
{
    QDict *info = viommu_query(q->t.host);

    g_assert_cmpint(qdict_get_int(qdict_get_qdict(info, "counters"), name), ==,
                    value);
    qobject_unref(info);
}

static void test_query(void)
{
    struct fh_pgfault r[4];
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    expect_can_request(&q, 1);
    viommu_expect_objects(q.t.host);
    r[0] = prq_request(&q, 0, PASID, 1, 0x1000, false);
    r[1] = prq_request(&q, 0, PASID, 1, 0x2000, true);
    r[2] = prq_request(&q, 0, PASID, 1, 0x3000, true);
    r[3] = prq_request(&q, 0, PASID, 1, 0x4000, true);
    prq_send_all(&q, r, 4);
    prq_wait_tail(&q, 3);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    expect_counter(&q, "page-requests", 4);
    expect_counter(&q, "page-responses", 1);
    expect_counter(&q, "page-refusals", 1);
    viommu_expect_stats(q.t.host);
    prq_end(&q);
}

static void test_properties(void)
{
    static const struct { const char *props, *what; } bad[] = {
        { "x-scalable-mode=on,pri=on", "pri=on needs" },
        { "x-pri=on", "x-pri=on needs x-scalable-mode=on" },
    };

    if (!fakehost_available()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        FakeHost *host = fakehost_new("");
        g_autofree char *err = NULL;

        g_assert_cmpint(fakehost_run(host, "-M q35 -device intel-iommu,%s",
                                     bad[i].props), ==, 1);
        err = fakehost_err_since(host, 0);
        fakehost_expect_text(err, bad[i].what);
        fakehost_free(host);
    }
}

static void add_cases(void)
{
    static const int einval = EINVAL, none;

    qtest_add_data_func("/vtd-accel-prq/host/reads-einval", &einval,
                        test_brings_nothing);
    qtest_add_data_func("/vtd-accel-prq/host/reads-nothing", &none,
                        test_brings_nothing);
    for (size_t i = 0; i < ARRAY_SIZE(no_queue_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq/host/%s",
                                                no_queue_cases[i].name);

        qtest_add_data_func(path, &no_queue_cases[i], test_no_queue);
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq/refused/%s",
                                                refused_cases[i].name);

        qtest_add_data_func(path, &refused_cases[i], test_refused);
    }
    for (size_t i = 0; i < ARRAY_SIZE(end_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq/end/%s",
                                                end_cases[i].name);

        qtest_add_data_func(path, &end_cases[i], test_end);
    }
    for (size_t i = 0; i < ARRAY_SIZE(offer_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq/offer/%s",
                                                offer_cases[i].name);

        qtest_add_data_func(path, &offer_cases[i], test_offer);
    }
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*fn)(void); } tests[] = {
        { "request", test_request },
        { "request_without-pasid", test_without_pasid },
        { "response_failure", test_failure },
        { "response_no-wait", test_no_wait },
        { "groups", test_groups },
        { "many", test_many },
        { "interrupt", test_interrupt },
        { "queue_full", test_full },
        { "queue_part-fits", test_part_fits },
        { "queue_outside-memory", test_queue_outside_memory },
        { "queue_hostile-registers", test_hostile_registers },
        { "not-enabled", test_not_enabled },
        { "end/answered-first", test_answered_then_gone },
        { "end/others-stay", test_others_stay },
        { "end/pasid-0", test_pasid_0 },
        { "stopped", test_stopped },
        { "drain", test_drain },
        { "drain-retries", test_drain_retries },
        { "limit", test_limit },
        { "renumbered", test_renumbered },
        { "index-twice", test_index_twice },
        { "index-twice_at-once", test_index_twice_at_once },
        { "other-iommufd", test_other_iommufd },
        { "two-iommufds", test_two_iommufds },
        { "group_large", test_large_group },
        { "group_too-large", test_too_large },
        { "unplug", test_unplug },
        { "query", test_query },
        { "properties", test_properties },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq/%s",
                                                tests[i].name);

        qtest_add_func(path, tests[i].fn);
    }
    add_cases();
    return g_test_run();
}
