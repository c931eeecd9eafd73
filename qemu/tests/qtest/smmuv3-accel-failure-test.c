/*
 * QTest: the accelerated SMMUv3 when the host fails it
 *
 * The sweep fails the first call of an operation, then the second, and so on
 * until the operation gets by without meeting the failure.  After each of
 * them: QEMU lives, the stream is either as the guest wants it or blocked, the
 * reason was given, the next command repairs it, and nothing is left over
 * when the device is gone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/query.h"
#include "viommu/sweep.h"
#include "smmuv3-accel-common.h"

#define INVALIDATE      "IOMMU_HWPT_INVALIDATE"
#define ALLOC           "IOMMU_HWPT_ALLOC"
#define VDEVICE         "IOMMU_VDEVICE_ALLOC"
#define ATTACH          "VFIO_DEVICE_ATTACH_IOMMUFD_PT"
#define DETACH          "VFIO_DEVICE_DETACH_IOMMUFD_PT"
#define ASID(a)         ((uint64_t)(a) << 48)
#define SID0            0x100u
#define BATCH           1024            /* commands that QEMU sends at once */
#define QUEUE           (SMMUV3_GUEST_RAM + 0x800000)
#define QUEUE_LOG2      11

typedef struct Sweep {
    const char *name;
    /* Bring the device to where the operation starts. It is plugged */
    void (*prepare)(Smmuv3AccelTest *t);
    void (*operate)(Smmuv3AccelTest *t);
    Smmuv3AccelState wanted;    /* what it comes to if all is well */
    int err;
    unsigned times;             /* calls in a row that fail */
} Sweep;

static void set_ste(Smmuv3AccelTest *t, uint64_t ste)
{
    smmuv3_guest_write_ste(&t->guest, SID0, ste, 0);
    smmuv3_guest_cfgi(&t->guest, SID0);
}

static void prepare_abort(Smmuv3AccelTest *t)
{
    smmuv3_guest_write_ste(&t->guest, SID0, 0, 0);
    smmuv3_guest_enable(&t->guest);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_ABORT);
}

static void prepare_bypass(Smmuv3AccelTest *t)
{
    smmuv3_guest_write_ste(&t->guest, SID0, SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_enable(&t->guest);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_BYPASS);
}

static void prepare_bound(Smmuv3AccelTest *t)
{
    prepare_abort(t);
    smmuv3_accel_bind(t, 0);
}

static void operate_bind(Smmuv3AccelTest *t)
{
    set_ste(t, smmuv3_accel_s1_ste(0));
}

static void operate_rebind(Smmuv3AccelTest *t)
{
    set_ste(t, smmuv3_accel_s1_ste(1));
}

static void operate_bypass(Smmuv3AccelTest *t)
{
    set_ste(t, SMMUV3_STE_BYPASS);
}

static void operate_abort(Smmuv3AccelTest *t)
{
    set_ste(t, SMMUV3_STE_ABORT);
}

static void operate_tlbi(Smmuv3AccelTest *t)
{
    smmuv3_guest_post_va(&t->guest, 1, 0x1000);
    smmuv3_guest_post_va(&t->guest, 1, 0x2000);
    smmuv3_guest_sync(&t->guest);
}

static void operate_unchanged(Smmuv3AccelTest *t)
{
    smmuv3_guest_cfgi(&t->guest, SID0);
}

static void operate_off(Smmuv3AccelTest *t)
{
    smmuv3_guest_set_cr0(&t->guest, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
}

static void operate_reset(Smmuv3AccelTest *t)
{
    fakehost_reset(t->host);
}

static const Sweep sweeps[] = {
    { "bind_eio", prepare_abort, operate_bind, SMMUV3_IS_S1, EIO, 1 },
    { "bind_eio-twice", prepare_abort, operate_bind, SMMUV3_IS_S1, EIO, 2 },
    { "bind_enomem", prepare_abort, operate_bind, SMMUV3_IS_S1, ENOMEM, 1 },
    { "bind-from-bypass_eio", prepare_bypass, operate_bind, SMMUV3_IS_S1, EIO,
      1 },
    { "bind-from-bypass_eio-twice", prepare_bypass, operate_bind, SMMUV3_IS_S1,
      EIO, 2 },
    { "rebind_einval", prepare_bound, operate_rebind, SMMUV3_IS_S1, EINVAL, 1 },
    { "rebind_einval-twice", prepare_bound, operate_rebind, SMMUV3_IS_S1,
      EINVAL, 2 },
    { "bypass_eio", prepare_bound, operate_bypass, SMMUV3_IS_BYPASS, EIO, 1 },
    { "bypass_eio-twice", prepare_bound, operate_bypass, SMMUV3_IS_BYPASS, EIO,
      2 },
    { "abort_eio", prepare_bound, operate_abort, SMMUV3_IS_ABORT, EIO, 1 },
    { "abort_eio-twice", prepare_bound, operate_abort, SMMUV3_IS_ABORT, EIO,
      2 },
    { "tlbi_eio", prepare_bound, operate_tlbi, SMMUV3_IS_S1, EIO, 1 },
    { "tlbi_eio-twice", prepare_bound, operate_tlbi, SMMUV3_IS_S1, EIO, 2 },
    { "unchanged_eio", prepare_bound, operate_unchanged, SMMUV3_IS_S1, EIO, 1 },
    { "off_eio", prepare_bound, operate_off, SMMUV3_IS_BYPASS, EIO, 1 },
    { "off_eio-twice", prepare_bound, operate_off, SMMUV3_IS_BYPASS, EIO, 2 },
    { "reset_eio", prepare_bound, operate_reset, SMMUV3_IS_BYPASS, EIO, 1 },
};

static bool is_blocked(Smmuv3AccelState state)
{
    return state == SMMUV3_IS_ABORT || state == SMMUV3_IS_DETACHED;
}

/* The next command that concerns the stream sets it right */
static void repair(Smmuv3AccelTest *t, const Sweep *sweep)
{
    if (smmuv3_guest_readl(&t->guest, SMMUV3_CR0) & SMMUV3_CR0_SMMUEN) {
        smmuv3_guest_cfgi(&t->guest, SID0);
    } else {
        smmuv3_guest_set_cr0(&t->guest, 0);
    }
    smmuv3_accel_expect(t, 0, sweep->wanted);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==,
                     sweep->wanted == SMMUV3_IS_S1);
}

typedef struct Run {
    Smmuv3AccelTest t;
    const Sweep *sweep;
} Run;

static void sweep_prepare(void *opaque)
{
    Run *run = opaque;

    fakehost_plug(run->t.host, 0);
    run->sweep->prepare(&run->t);
}

static void sweep_operate(void *opaque)
{
    Run *run = opaque;

    run->sweep->operate(&run->t);
}

static void sweep_check(void *opaque, const SweepRound *round)
{
    Run *run = opaque;
    Smmuv3AccelTest *t = &run->t;
    Smmuv3AccelState state = smmuv3_accel_state(t, 0);

    smmuv3_accel_expect_alive(t);
    if (state != run->sweep->wanted) {
        g_assert_true(is_blocked(state));
        g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==, 0);
        sweep_expect_told(round, "aborts", false);
        repair(t, run->sweep);
    }
    smmuv3_guest_set_cr0(&t->guest, 0);
    fakehost_unplug(t->host, 0);
    fakehost_expect_empty(t->host);
}

static void test_sweep(const void *data)
{
    static const SweepOps ops = { sweep_prepare, sweep_operate, sweep_check };
    Smmuv3AccelSetup setup = { 0 };
    Run run = { .sweep = data };

    if (!smmuv3_accel_start(&run.t, &setup)) {
        return;
    }
    g_assert_cmpuint(sweep(run.t.host, &ops, run.sweep->err, run.sweep->times,
                           &run), >, 0);
    fakehost_free(run.t.host);
}

static void check_plugged(void *opaque, bool plugged)
{
    if (plugged) {
        smmuv3_accel_expect(opaque, 0, SMMUV3_IS_S1);
    }
}

/* Realize: either it works all the same, or the error says why not */
static void test_realize_sweep(void)
{
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    smmuv3_guest_write_ste(&t.guest, SID0, smmuv3_accel_s1_ste(0), 0);
    g_assert_cmpuint(sweep_plug(t.host, 0, check_plugged,
                                fakehost_expect_empty, &t), >=, 8);
    fakehost_free(t.host);
}

static void unplug_prepare(void *opaque)
{
    Smmuv3AccelTest *t = opaque;

    fakehost_plug(t->host, 0);
    prepare_bound(t);
}

static void unplug_operate(void *opaque)
{
    Smmuv3AccelTest *t = opaque;

    fakehost_unplug(t->host, 0);
}

static void unplug_check(void *opaque, const SweepRound *round)
{
    Smmuv3AccelTest *t = opaque;

    fakehost_expect_empty(t->host);
    smmuv3_guest_set_cr0(&t->guest, 0);
}

/* Unplug of a bound device: it goes, whatever the host says */
static void test_unplug_sweep(void)
{
    static const SweepOps ops = { unplug_prepare, unplug_operate,
                                  unplug_check };
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmpuint(sweep(t.host, &ops, EIO, 1, &t), >, 0);
    fakehost_free(t.host);
}

/* --- refused invalidations --- */

/* One that belongs to a stream: it stops, the others and the rest go on */
static void test_refused_stream(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    uint64_t executed, calls;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_bind(&t, 1);
    mark = fakehost_err_mark(t.host);
    executed = fakehost_entries(t.host);
    calls = fakehost_calls(t.host, INVALIDATE);
    /* The whole batch, and in the replay the second command */
    fakehost_fail(t.host, INVALIDATE, 1, 1, EIO, 2);
    fakehost_fail(t.host, INVALIDATE, 3, 1, EIO, 0);
    smmuv3_guest_post_va(g, 1, 0x1000);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD, SID0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD, SID0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD, 0x200);
    smmuv3_guest_post_va(g, 2, 0x3000);
    smmuv3_guest_sync(g);
    fakehost_clear_rules(t.host);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "aborts"), ==, 1);
    /* The batch, and each but the third: its stream has stopped */
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - calls, ==, 5);
    /* The first, the fourth and the fifth one */
    g_assert_cmpuint(fakehost_entries(t.host) - executed, >=, 3);
    fakehost_expect_log(t.host, 0, INVALIDATE, "[0x2000000000012:0x3000]");
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_free(t.host);
}

/* One of the TLB: nobody goes on with what may be stale */
static void test_refused_tlb(void)
{
    Smmuv3AccelSetup setup = { .devices = 3 };
    g_autofree char *log = NULL;
    const char *flush, *alloc;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_bind(&t, 1);
    smmuv3_guest_write_ste(g, 0x300, SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_cfgi(g, 0x300);
    fakehost_fail(t.host, INVALIDATE, 1, 2, EIO, 0);
    smmuv3_guest_post_va(g, 1, 0x1000);
    smmuv3_guest_post_va(g, 1, 0x2000);
    smmuv3_guest_sync(g);
    fakehost_clear_rules(t.host);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 2, SMMUV3_IS_BYPASS);

    /* Still refused: still blocked */
    fakehost_fail(t.host, INVALIDATE, 1, 0, EIO, 0);
    smmuv3_guest_cfgi(g, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    fakehost_clear_rules(t.host);

    /* All is forgotten before the first one translates again */
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_cfgi_all(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    log = fakehost_log_since(t.host, mark);
    flush = strstr(log, "[0x30:0x0]");
    alloc = strstr(log, "HWPT_ALLOC");
    g_assert_nonnull(flush);
    g_assert_true(flush < alloc);
    g_assert_null(strstr(flush + 1, "[0x30:0x0]"));
    fakehost_free(t.host);
}

/* A batch that is refused as a whole, but not command by command */
static void test_replayed(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    uint64_t entries;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    entries = fakehost_calls(t.host, INVALIDATE);
    /* The host claims to have handled 70 of them; 63 were done */
    fakehost_fail(t.host, INVALIDATE, 1, 1, EIO, 70);
    for (unsigned i = 0; i < 100; i++) {
        smmuv3_guest_post_va(&t.guest, 1, i * 0x1000);
    }
    smmuv3_guest_sync(&t.guest);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE) - entries, ==, 101);
    fakehost_free(t.host);
}

/* Nothing works: the device is detached, and can be attached again */
static void test_detached(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fakehost_fail(t.host, "ATTACH_IOMMUFD_PT", 1, 0, EINVAL, 0);
    operate_bypass(&t);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_DETACHED);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
    smmuv3_guest_cfgi(&t.guest, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_DETACHED);
    fakehost_clear_rules(t.host);
    smmuv3_guest_cfgi(&t.guest, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    fakehost_free(t.host);
}

/* The kernel refuses while the device is being reset: try again by ourselves */
static void test_device_in_reset(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    struct FakehostDevice *dev;
    Smmuv3AccelTest t;
    uint64_t failed;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_abort(&t);
    dev = fakehost_device(t.host, "dev0");
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    mark = fakehost_err_mark(t.host);
    operate_bind(&t);
    failed = fakehost_failed_calls(t.host, ATTACH);
    FAKEHOST_AWAIT(t.host, fakehost_failed_calls(t.host, ATTACH) > failed + 1);
    smmuv3_accel_expect_alive(&t);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "aborts"), ==, 1);
    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    FAKEHOST_AWAIT(t.host, smmuv3_accel_state(&t, 0) == SMMUV3_IS_S1);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 1);
    fakehost_free(t.host);
}

/* A VM that stands still has nothing done for it; it goes on afterwards */
static void test_stopped_in_reset(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    struct FakehostDevice *dev;
    Smmuv3AccelTest t;
    uint64_t calls;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_abort(&t);
    dev = fakehost_device(t.host, "dev0");
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    operate_bind(&t);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    calls = fakehost_total_calls(t.host);
    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    for (unsigned i = 0; i < 30; i++) {
        g_usleep(10 * 1000);
        smmuv3_accel_expect_alive(&t);
    }
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    g_assert_cmpint(smmuv3_accel_state(&t, 0), !=, SMMUV3_IS_S1);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    FAKEHOST_AWAIT(t.host, smmuv3_accel_state(&t, 0) == SMMUV3_IS_S1);
    fakehost_free(t.host);
}

/* --- a host that cannot even detach --- */

/*
 * Linux never fails a detach, so the sweeps leave it out.  The attach that came
 * before has blocked the device, but its success cannot be relied on.
 */
static void fail_to_block(Smmuv3AccelTest *t)
{
    fakehost_fail(t->host, "ATTACH_IOMMUFD_PT", 1, 0, EINVAL, 0);
    fakehost_fail(t->host, DETACH, 1, 0, EIO, 0);
}

static bool start_stuck(Smmuv3AccelTest *t)
{
    Smmuv3AccelSetup setup = { .devices = 1 };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    prepare_bound(t);
    fail_to_block(t);
    return true;
}

static void wait_for_state(Smmuv3AccelTest *t, Smmuv3AccelState state)
{
    FAKEHOST_AWAIT(t->host, smmuv3_accel_state(t, 0) == state);
}

/* The host is asked again and again, and the log has one line of it */
static void expect_retries(Smmuv3AccelTest *t, size_t mark)
{
    uint64_t failed = fakehost_failed_calls(t->host, DETACH);

    FAKEHOST_AWAIT(t->host,
                   fakehost_failed_calls(t->host, DETACH) >= failed + 5);
    g_assert_cmpuint(fakehost_err_lines(t->host, mark, "cannot block its DMA"),
                     ==, 1);
    smmuv3_accel_expect_alive(t);
}

/* The guest does not read that a command is done whose effect is not known */
static void test_stuck_command(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!start_stuck(&t)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    smmuv3_guest_write_ste(g, SID0, SMMUV3_STE_ABORT, 0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, SID0);
    smmuv3_guest_post(g, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ABT);
    g_assert_false(smmuv3_guest_consumed(g));
    expect_retries(&t, mark);

    /* Nor if it tries again, as Linux does after that error */
    smmuv3_guest_clear_error(g);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ABT);
    g_assert_false(smmuv3_guest_consumed(g));

    fakehost_clear_rules(t.host);
    wait_for_state(&t, SMMUV3_IS_ABORT);
    smmuv3_guest_clear_error(g);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_NONE);
    g_assert_true(smmuv3_guest_consumed(g));
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
    smmuv3_guest_set_cr0(g, 0);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/*
 * A host that finds the entry which it has already does nothing.  So a stream
 * that could not be stopped has to be stopped before it translates again, or
 * what the host refused to forget would be used.
 */
static void test_stuck_entry(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t attached;

    if (!start_stuck(&t)) {
        return;
    }
    fakehost_fail(t.host, INVALIDATE, 1, 0, EIO, 0);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_CD, SID0);
    smmuv3_guest_post(g, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(g);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(g), ==, SMMUV3_CERROR_ABT);

    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    fakehost_clear_rules(t.host);
    attached = fakehost_calls(t.host, ATTACH);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    /* It has had that entry all the time */
    FAKEHOST_AWAIT(t.host, fakehost_calls(t.host, ATTACH) == attached + 2);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    smmuv3_guest_clear_error(g);
    smmuv3_guest_ring(g);
    g_assert_true(smmuv3_guest_consumed(g));
    fakehost_free(t.host);
}

/* So many calls in all, and one object of each kind */
static void expect_allocs(Smmuv3AccelTest *t, uint64_t vdevs, uint64_t hwpts)
{
    g_assert_cmpuint(fakehost_calls(t->host, VDEVICE), ==, vdevs);
    g_assert_cmpuint(fakehost_calls(t->host, ALLOC), ==, hwpts);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_VDEVICE), ==, 1);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==, 1);
}

/*
 * A stream has to be stopped before the host learns its new StreamID.  If it
 * cannot be, nothing else is done with it.
 */
static void test_stuck_renumbered(void)
{
    uint64_t vdevs, hwpts;
    Smmuv3AccelTest t;
    size_t mark;

    if (!start_stuck(&t)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    vdevs = fakehost_calls(t.host, VDEVICE);
    hwpts = fakehost_calls(t.host, ALLOC);
    smmuv3_guest_write_ste(&t.guest, 0x700, smmuv3_accel_s1_ste(0), 0);
    smmuv3_accel_number_bus(&t, 0, 7);
    smmuv3_guest_post_sid(&t.guest, SMMUV3_CFGI_STE, 0x700);
    smmuv3_guest_post(&t.guest, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(&t.guest);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(&t.guest), ==, SMMUV3_CERROR_ABT);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    expect_retries(&t, mark);
    expect_allocs(&t, vdevs, hwpts);

    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, fakehost_calls(t.host, ALLOC) == hwpts + 1 &&
                           smmuv3_accel_s1_hwpts(&t) == 1);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    expect_allocs(&t, vdevs + 1, hwpts + 1);
    smmuv3_guest_clear_error(&t.guest);
    smmuv3_guest_ring(&t.guest);
    g_assert_true(smmuv3_guest_consumed(&t.guest));
    fakehost_free(t.host);
}

/* The same for one that had the StreamID before: the next one waits for it */
static void test_stuck_predecessor(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    uint64_t vdevs, hwpts;
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    mark = fakehost_err_mark(t.host);
    vdevs = fakehost_calls(t.host, VDEVICE);
    hwpts = fakehost_calls(t.host, ALLOC);
    fail_to_block(&t);
    smmuv3_accel_number_bus(&t, 0, 9);
    smmuv3_accel_number_bus(&t, 1, 1);
    smmuv3_guest_post_sid(&t.guest, SMMUV3_CFGI_STE, SID0);
    smmuv3_guest_post(&t.guest, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(&t.guest);
    g_assert_cmpuint(smmuv3_guest_cmdq_error(&t.guest), ==, SMMUV3_CERROR_ABT);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    expect_retries(&t, mark);
    expect_allocs(&t, vdevs, hwpts);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "it had its StreamID"),
                     ==, 1);

    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, smmuv3_accel_state(&t, 1) == SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    expect_allocs(&t, vdevs + 1, hwpts + 1);
    fakehost_free(t.host);
}

/* Without a command nobody could be told: it is tried until it works */
static void test_stuck_register(void)
{
    Smmuv3AccelTest t;
    size_t mark;

    if (!start_stuck(&t)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    operate_off(&t);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    expect_retries(&t, mark);
    fakehost_clear_rules(t.host);
    wait_for_state(&t, SMMUV3_IS_BYPASS);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Unplugged, its file is closed, which ends its DMA; others can follow */
static void test_stuck_unplug(void)
{
    Smmuv3AccelTest t;

    if (!start_stuck(&t)) {
        return;
    }
    operate_off(&t);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 0);
    smmuv3_accel_expect_alive(&t);
    g_assert_true(fakehost_is_blocked(t.host, fakehost_dev(0)));
    fakehost_clear_rules(t.host);
    smmuv3_guest_set_cr0(&t.guest, 0);
    fakehost_plug(t.host, 0);
    prepare_bound(&t);
    smmuv3_guest_set_cr0(&t.guest, 0);
    fakehost_unplug(t.host, 0);
    g_assert_true(fakehost_is_blocked(t.host, fakehost_dev(0)));
    fakehost_free(t.host);
}

/* Nothing that it was stuck with stays in the host beside another device */
static void test_stuck_unplug_freed(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 1);
    fail_to_block(&t);
    operate_off(&t);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 0);
    g_assert_true(fakehost_is_blocked(t.host, fakehost_dev(0)));
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_DESTROY"), >, 0);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
    fakehost_free(t.host);
}

/* QEMU ends in order: fakehost_free() would tell */
static void test_stuck_quit(void)
{
    Smmuv3AccelTest t;

    if (!start_stuck(&t)) {
        return;
    }
    operate_reset(&t);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_free(t.host);
}

/*
 * What the guest invalidates without a device does not reach the host, whose
 * parent may outlive the device: it is made good for the next one
 */
static void test_replug_flushes(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    g_autofree char *line = NULL;
    Smmuv3AccelTest t;
    uint64_t calls;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t);
    calls = fakehost_calls(t.host, INVALIDATE);
    g_assert_cmpuint(calls, ==, 0);
    fakehost_unplug(t.host, 0);
    operate_tlbi(&t);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, calls);
    smmuv3_guest_set_cr0(&t.guest, 0);
    fakehost_plug(t.host, 0);
    prepare_bound(&t);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, calls + 1);
    line = fakehost_log_last(t.host, 0, INVALIDATE, "");
    g_test_message("%s", line);
    smmuv3_accel_bind(&t, 0);
    g_assert_cmpuint(fakehost_calls(t.host, INVALIDATE), ==, calls + 2);
    fakehost_free(t.host);
}

/*
 * The batch is full with the command for an entry that has not changed. What
 * the host refuses then is the last word.
 */
static void test_refused_unchanged(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_CMDQEN);
    /* All bytes alike: that is a legal command, too */
    qtest_memset(g->qts, QUEUE, SMMUV3_TLBI_NH_VAA, BATCH * 16);
    qtest_writeq(g->qts, QUEUE + (BATCH - 1) * 16,
                 SMMUV3_CFGI_STE | (uint64_t)SID0 << 32);
    qtest_writeq(g->qts, QUEUE + (BATCH - 1) * 16 + 8, 1);
    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, QUEUE | QUEUE_LOG2);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_CONS, 0);
    smmuv3_guest_writel(g, SMMUV3_CMDQ_PROD, BATCH);
    viommu_expect_no_event(t.host);
    fakehost_fail(t.host, INVALIDATE, 1, 0, EIO, 0);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_CMDQ_CONS), ==, BATCH);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, "host refuses command");
    viommu_expect_no_event(t.host);
    viommu_expect(t.host, 0, NO_PASID, "blocked", "host refuses command");
    fakehost_free(t.host);
}

/* A refused entry: one event, one line, and a new attempt at each CFGI */
static void test_told_once(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    gint64 begin = g_get_monotonic_time();
    unsigned rounds = 300;
    uint64_t evt[4], failed;
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    prepare_abort(&t);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "HWPT_ALLOC", 1, 0, EIO, 0);
    failed = fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC");
    for (unsigned i = 0; i < 5; i++) {
        operate_bind(&t);
    }
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC") -
                     failed, ==, 5);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "aborts"), ==, 1);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[0], ==, 0x04 | (uint64_t)SID0 << 32);
    g_assert_false(smmuv3_guest_event(&t.guest, evt));

    /* A guest that changes it all the time cannot flood the log */
    for (unsigned i = 0; i < rounds; i++) {
        set_ste(&t, smmuv3_accel_s1_ste(i));
    }
    fakehost_expect_err_limited(t.host, mark, "", begin, 1);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3-accel/sweep", sweeps, test_sweep);
    qtest_add_func("/smmuv3-accel/sweep/realize_eio", test_realize_sweep);
    qtest_add_func("/smmuv3-accel/sweep/unplug_eio", test_unplug_sweep);
    qtest_add_func("/smmuv3-accel/failure/stream-invalidation_that-aborts",
                   test_refused_stream);
    qtest_add_func("/smmuv3-accel/failure/tlb-invalidation_all-abort",
                   test_refused_tlb);
    qtest_add_func("/smmuv3-accel/failure/batch_replayed", test_replayed);
    qtest_add_func("/smmuv3-accel/failure/abort-refused_detached",
                   test_detached);
    qtest_add_func("/smmuv3-accel/failure/device-in-reset_retried",
                   test_device_in_reset);
    qtest_add_func("/smmuv3-accel/failure/vm-stopped_waits",
                   test_stopped_in_reset);
    qtest_add_func("/smmuv3-accel/stuck/command_not-completed",
                   test_stuck_command);
    qtest_add_func("/smmuv3-accel/stuck/entry_stopped-first",
                   test_stuck_entry);
    qtest_add_func("/smmuv3-accel/stuck/renumbered_told-later",
                   test_stuck_renumbered);
    qtest_add_func("/smmuv3-accel/stuck/predecessor_waited-for",
                   test_stuck_predecessor);
    qtest_add_func("/smmuv3-accel/stuck/register_retried", test_stuck_register);
    qtest_add_func("/smmuv3-accel/stuck/unplug_goes", test_stuck_unplug);
    qtest_add_func("/smmuv3-accel/stuck/unplug_freed", test_stuck_unplug_freed);
    qtest_add_func("/smmuv3-accel/stuck/quit_in-order", test_stuck_quit);
    qtest_add_func("/smmuv3-accel/failure/entry-refused_told-once",
                   test_told_once);
    qtest_add_func("/smmuv3-accel/failure/replug_flushes", test_replug_flushes);
    qtest_add_func("/smmuv3-accel/failure/refused-unchanged_told",
                   test_refused_unchanged);
    return g_test_run();
}
