/*
 * QTest: page requests of host devices when the host fails
 *
 * Each call that brings requests to the guest, or answers to the host, fails in
 * turn, with each errno that it may give. After each of them: QEMU lives, the
 * device translates as the guest wants or is blocked, the reason was told once,
 * and the host got one answer for each group, whoever gave it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/sweep.h"
#include "vtd-accel-prq.h"

#define GROUPS          4
#define WITHOUT         "does not get its page requests"

typedef struct Failure {
    const char *name;
    int err;
    unsigned handled;           /* the call is short instead */
} Failure;

typedef struct Run {
    PrqTest q;
    const Failure *failure;
    uint64_t answered;          /* when the round began */
    uint32_t tail;
} Run;

static FakeHost *host_of(Run *run)
{
    return run->q.t.host;
}

/* Answers of all kinds */
static uint64_t answered(Run *run)
{
    struct FakehostControl *page = prq_page(&run->q);

    return prq_answers(&run->q, SUCCESS) + page->answers[INVALID] +
           page->answers_by_kernel;
}

/* Every group of the round has its one answer */
static void expect_answered(Run *run, unsigned groups)
{
    FAKEHOST_AWAIT(host_of(run), answered(run) == run->answered + groups);
    g_assert_cmpuint(prq_page(&run->q)->requests_waiting, ==, 0);
    g_assert_cmpuint(prq_page(&run->q)->answers_refused, ==, 0);
}

static bool is_bound(Run *run)
{
    return !fakehost_is_blocked(host_of(run), "dev0") &&
           fakehost_device(host_of(run), "dev0")->pasids == 1;
}

static void take_back(Run *run)
{
    vtd_guest_set_translation(&run->q.t.guest, false);
    fakehost_unplug(host_of(run), 0);
    fakehost_expect_empty(host_of(run));
    g_assert_cmpuint(prq_page(&run->q)->requests_waiting, ==, 0);
    if (run->q.fd >= 0) {
        close(run->q.fd);
        run->q.fd = -1;
    }
}

/* --- first stages that come and go --- */

static void write_entries(Run *run, uint16_t domain_id)
{
    VtdPasidEntry rid = vtd_accel_fs_entry(domain_id);
    VtdPasidEntry pasid = vtd_accel_fs_entry(domain_id + 1);
    VtdGuest *g = &run->q.t.guest;

    vtd_guest_write_pasid(g, run->q.dir[0], 0, &rid);
    vtd_guest_write_pasid(g, run->q.dir[0], PASID, &pasid);
    vtd_guest_flush_pasid_cache(g);
}

static void prepare_empty(void *opaque)
{
    Run *run = opaque;

    fakehost_plug(host_of(run), 0);
    run->q.dir[0] = prq_add_context(&run->q, 0, CE_PASIDE | CE_PRE);
    vtd_guest_enable(&run->q.t.guest);
    prq_set_up_queue(&run->q);
    g_assert_true(fakehost_is_blocked(host_of(run), "dev0"));
    run->answered = answered(run);
}

/* The guest has a request of each of the two, and an answer that it keeps */
static void prepare_asked(void *opaque)
{
    Run *run = opaque;

    prepare_empty(run);
    write_entries(run, 5);
    g_assert_true(is_bound(run));
    run->q.fd = prq_open_queue(&run->q.t);
    prq_send(&run->q, 0, 0, 1);
    prq_send(&run->q, 0, PASID, 1);
    prq_send(&run->q, 0, PASID, 2);
    prq_wait_tail(&run->q, 3);
    prq_post_response(&run->q, 0, PASID, 2, SUCCESS);
}

static void operate_bind(void *opaque)
{
    write_entries(opaque, 5);
}

static void operate_rebind(void *opaque)
{
    write_entries(opaque, 7);
}

static void operate_unbind(void *opaque)
{
    Run *run = opaque;

    vtd_guest_clear_pasid(&run->q.t.guest, run->q.dir[0], 0);
    vtd_guest_clear_pasid(&run->q.t.guest, run->q.dir[0], PASID);
    vtd_guest_flush_pasid_cache(&run->q.t.guest);
}

static void operate_unplug(void *opaque)
{
    Run *run = opaque;

    fakehost_unplug(host_of(run), 0);
}

/* Does a request reach the guest?  If not, the kernel answers it */
static bool reaches_guest(Run *run, uint32_t pasid)
{
    PrqTest *q = &run->q;
    uint32_t tail = prq_tail(q);
    uint64_t before = answered(run);

    if (!fakehost_objects(host_of(run), FAKEHOST_OBJ_FAULT)) {
        return false;
    }
    if (q->fd < 0) {
        q->fd = prq_open_queue(&q->t);
    }
    prq_send(q, 0, pasid, 9);
    FAKEHOST_AWAIT(host_of(run),
                   prq_tail(q) != tail || answered(run) != before);
    if (prq_tail(q) == tail) {
        return false;
    }
    prq_respond(q, 0, pasid, 9, SUCCESS);
    g_assert_cmpuint(answered(run), ==, before + 1);
    return true;
}

/* What a host says that takes no page requests, whichever call it is */
static bool is_for_ever(int err)
{
    return err == EINVAL || err == ENODEV || err == EOPNOTSUPP;
}

/* Bound at last: with page requests, unless it was told that there are none */
static void expect_bound(Run *run, const SweepRound *round)
{
    FakeHost *host = host_of(run);
    unsigned without;

    if (is_for_ever(run->failure->err)) {
        /* Without page requests it works at once */
        g_assert_true(is_bound(run));
        g_assert_cmpuint(fakehost_err_lines(host, round->mark, "DMA blocked"),
                         ==, 0);
    } else if (run->failure->err == EBUSY &&
        !fakehost_err_lines(host, round->mark, "DMA blocked")) {
        /* In reset, so it seems: tried again by itself */
        FAKEHOST_AWAIT(host, is_bound(run));
    } else if (!is_bound(run)) {
        sweep_expect_told(round, "DMA blocked", true);
        vtd_guest_flush_pasid_cache(&run->q.t.guest);
        g_assert_true(is_bound(run));
    }
    without = fakehost_err_lines(host, round->mark, WITHOUT);
    g_assert_cmpuint(without, <=, 1);
    g_assert_true(round->hit || !without);
    g_assert_cmpint(!reaches_guest(run, 0) || !reaches_guest(run, PASID), ==,
                    without);
}

static void check_bind(void *opaque, const SweepRound *round)
{
    expect_bound(opaque, round);
    take_back(opaque);
}

static void check_rebind(void *opaque, const SweepRound *round)
{
    Run *run = opaque;

    /* The late ones are to nothing: the host has answered */
    prq_respond(&run->q, 0, 0, 1, SUCCESS);
    prq_respond(&run->q, 0, PASID, 1, SUCCESS);
    expect_answered(run, 3);
    expect_bound(run, round);
    take_back(run);
}

static void check_unbind(void *opaque, const SweepRound *round)
{
    Run *run = opaque;

    if (!fakehost_is_blocked(host_of(run), "dev0") ||
        fakehost_device(host_of(run), "dev0")->pasids) {
        g_assert_true(round->hit);
        FAKEHOST_AWAIT(host_of(run),
                       fakehost_is_blocked(host_of(run), "dev0") &&
                       !fakehost_device(host_of(run), "dev0")->pasids);
    }
    prq_respond(&run->q, 0, 0, 1, SUCCESS);
    prq_respond(&run->q, 0, PASID, 1, SUCCESS);
    expect_answered(run, 3);
    take_back(run);
}

static void check_unplug(void *opaque, const SweepRound *round)
{
    Run *run = opaque;

    prq_respond(&run->q, 0, 0, 1, SUCCESS);
    prq_respond(&run->q, 0, PASID, 1, SUCCESS);
    expect_answered(run, 3);
    fakehost_expect_empty(host_of(run));
    close(run->q.fd);
    run->q.fd = -1;
    vtd_guest_set_translation(&run->q.t.guest, false);
}

static const Failure failures[] = {
    { "eio", EIO }, { "enomem", ENOMEM }, { "einval", EINVAL },
    { "enodev", ENODEV }, { "eopnotsupp", EOPNOTSUPP }, { "ebusy", EBUSY },
    { "eintr", EINTR }, { "eagain", EAGAIN },
};

typedef struct Operation {
    const char *name;
    SweepOps ops;
    unsigned calls;             /* at least so many can fail */
} Operation;

static const Operation operations[] = {
    /* Fault queue, and table and attachment of each of the two */
    { "bind", { prepare_empty, operate_bind, check_bind }, 5 },
    { "bind_epoll-create", { prepare_empty, operate_bind, check_bind,
                             "EPOLL_CREATE" }, 1 },
    { "bind_epoll-add", { prepare_empty, operate_bind, check_bind,
                          "EPOLL_ADD" }, 1 },
    { "rebind", { prepare_asked, operate_rebind, check_rebind }, 4 },
    { "unbind", { prepare_asked, operate_unbind, check_unbind,
                  "DETACH_IOMMUFD_PT" }, 2 },
    { "unplug", { prepare_asked, operate_unplug, check_unplug }, 0 },
};

/* The machine without a device, which each round plugs */
static bool start_empty(Run *run)
{
    g_autofree char *host = prq_describe(HOST_PRI, 1);
    VtdAccelSetup setup = { .iommu_props = PROPS, .host = host };

    run->q = (PrqTest) { .cookie = 100, .fd = -1 };
    return vtd_accel_start(&run->q.t, &setup);
}

static void test_operation(const void *opaque)
{
    const Operation *op = opaque;

    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        Run run = { .failure = &failures[i] };

        g_test_message("%s", run.failure->name);
        if (!start_empty(&run)) {
            return;
        }
        g_assert_cmpuint(sweep(host_of(&run), &op->ops, run.failure->err, 1,
                               &run), >=, op->calls);
        fakehost_free(host_of(&run));
    }
}

/* --- requests and answers on their way --- */

static void prepare_none(void *opaque)
{
    Run *run = opaque;

    run->answered = answered(run);
    run->tail = prq_tail(&run->q);
}

/* Two rounds, so that calls follow the one that failed */
static void operate_requests(void *opaque)
{
    Run *run = opaque;
    struct fh_pgfault r[GROUPS];
    PrqTest *q = &run->q;

    vtd_guest_writeq(&q->t.guest, VTD_REG_PQH, prq_tail(q) * DESC_SIZE);
    for (unsigned round = 1; round <= 2; round++) {
        for (unsigned i = 0; i < GROUPS; i++) {
            r[i] = prq_request(q, 0, i & 1 ? PASID : 0, i, 0x1000 * i, true);
        }
        prq_send_all(q, r, GROUPS);
        prq_wait_tail(q, (run->tail + round * GROUPS) % QUEUE_LEN);
        for (unsigned i = 0; i < GROUPS; i++) {
            prq_post_response(q, 0, i & 1 ? PASID : 0, i, SUCCESS);
        }
        vtd_guest_sync(&q->t.guest);
    }
    expect_answered(run, 2 * GROUPS);
}

static void check_requests(void *opaque, const SweepRound *round)
{
    g_assert_true(is_bound(opaque));
}

typedef struct Transfer {
    const char *call;
    const char *told;
    Failure failures[8];
    unsigned calls;             /* so many are made if all is well */
} Transfer;

static const Transfer transfers[] = {
    { "READ_EVENTS", "cannot read the host's page requests", {
        { "eio", EIO }, { "enomem", ENOMEM }, { "efault", EFAULT },
        { "enodev", ENODEV }, { "eintr", EINTR }, { "eagain", EAGAIN },
        { "short", EIO, 1 }, { "short", EIO, GROUPS - 1 },
    }, 2 },
    { "WRITE_ANSWERS", "cannot answer page requests", {
        { "eio", EIO }, { "enomem", ENOMEM }, { "efault", EFAULT },
        { "einval", EINVAL }, { "eintr", EINTR }, { "eagain", EAGAIN },
        { "short", EIO, 1 }, { "short", EIO, GROUPS - 1 },
    }, 2 },
};

/* It is told, but for what is no failure */
static bool is_told(const Failure *f, const Transfer *t)
{
    return !f->handled && f->err != EINTR && f->err != EINVAL &&
           (f->err != EAGAIN || g_str_equal(t->call, "WRITE_ANSWERS"));
}

static void test_transfer(const void *opaque)
{
    const Transfer *t = opaque;

    for (size_t i = 0; i < ARRAY_SIZE(t->failures); i++) {
        Run run = { .failure = &t->failures[i] };
        SweepOps ops = {
            .prepare = prepare_none, .operate = operate_requests,
            .check = check_requests, .call = t->call,
            .handled = run.failure->handled,
        };

        g_test_message("%s", run.failure->name);
        if (!prq_start(&run.q)) {
            return;
        }
        g_assert_cmpuint(sweep(host_of(&run), &ops, run.failure->err, 1, &run),
                         >=, t->calls);
        g_assert_cmpuint(prq_lines(&run.q, t->told), ==,
                         is_told(run.failure, t));
        prq_end(&run.q);
    }
}

/* --- for a while --- */

static void test_read_fails(void)
{
    const struct FakehostRule *rule;
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    rule = fakehost_fail(q.t.host, "READ_EVENTS", 1, 1, EIO, 0);
    prq_send(&q, 0, PASID, 1);
    QTEST_AWAIT(prq_lines(&q, "cannot read the host's page requests") == 1);
    prq_wait_tail(&q, 1);
    g_assert_cmpuint(rule->hits, ==, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_end(&q);
}

/* Answers to what was read before do not wait for it */
static void test_answered_while_read_fails(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    fakehost_fail(q.t.host, "READ_EVENTS", 1, 0, EIO, 0);
    prq_send(&q, 0, PASID, 2);
    QTEST_AWAIT(prq_lines(&q, "cannot read the host's page requests") == 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 1);
    g_assert_cmpuint(prq_tail(&q), ==, 1);
    fakehost_clear_rules(q.t.host);
    prq_wait_tail(&q, 2);
    prq_respond(&q, 0, PASID, 2, SUCCESS);
    prq_end(&q);
}

/* Answers are not lost, and nothing is read until they are given */
static void test_write_fails(void)
{
    PrqTest q;

    if (!prq_start(&q)) {
        return;
    }
    fakehost_fail(q.t.host, "WRITE_ANSWERS", 1, 0, EIO, 0);
    prq_send(&q, 0, PASID, 1);
    prq_wait_tail(&q, 1);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 1);
    fakehost_clear_rules(q.t.host);
    prq_send(&q, 0, PASID, 1);
    FAKEHOST_AWAIT(q.t.host, prq_answers(&q, SUCCESS) == 1);
    prq_wait_tail(&q, 2);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_end(&q);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq-failure/%s",
                                                operations[i].name);

        qtest_add_data_func(path, &operations[i], test_operation);
    }
    for (size_t i = 0; i < ARRAY_SIZE(transfers); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel-prq-failure/%s",
                                                transfers[i].call);

        qtest_add_data_func(path, &transfers[i], test_transfer);
    }
    qtest_add_func("/vtd-accel-prq-failure/read_later", test_read_fails);
    qtest_add_func("/vtd-accel-prq-failure/read_answers-go",
                   test_answered_while_read_fails);
    qtest_add_func("/vtd-accel-prq-failure/write_later", test_write_fails);
    return g_test_run();
}
