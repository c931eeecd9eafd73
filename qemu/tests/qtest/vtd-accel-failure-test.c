/*
 * QTest: the accelerated VT-d when the host fails it
 *
 * The sweep fails the first call of an operation, then the second, and so on
 * until the operation gets by without meeting the failure. After each of them:
 * QEMU lives, the device's DMA is either as the guest wants it or blocked, the
 * reason was given, the next invalidation repairs it, and nothing is left over
 * when the device is gone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "viommu/sweep.h"
#include "vtd-accel-common.h"

#define DID             5
#define STOPPED_MS      500     /* many times what the first retry waits */

typedef enum State {
    BLOCKED,
    S1,
    S2,
} State;

typedef struct Sweep {
    const char *name;
    const char *what;
    /* Bring the device to where the operation starts. It is plugged */
    void (*prepare)(VtdAccelTest *t, uint64_t *dir);
    void (*operate)(VtdAccelTest *t, uint64_t dir);
    State wanted;               /* what the operation comes to if all is well */
    int err;
    bool harmless;              /* a failure need not block: it repairs */
} Sweep;

static State state_of(VtdAccelTest *t)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(0));

    if (fakehost_is_blocked(t->host, fakehost_dev(0))) {
        return BLOCKED;
    }
    g_assert_cmpuint(dev->pt_id, ==, dev->hw_pt_id);
    return dev->pt_id == vtd_accel_s2_id(t) ? S2 : S1;
}

static void write_and_flush(VtdAccelTest *t, uint64_t dir, uint64_t table)
{
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);

    entry.table = table;
    vtd_guest_write_pasid(&t->guest, dir, 0, &entry);
    vtd_guest_flush_pasid_cache(&t->guest);
}

static void prepare_empty(VtdAccelTest *t, uint64_t *dir)
{
    *dir = vtd_guest_add_context(&t->guest, fakehost_sid(0), 0);
    vtd_guest_enable(&t->guest);
    g_assert_cmpint(state_of(t), ==, BLOCKED);
}

static void prepare_bound(VtdAccelTest *t, uint64_t *dir)
{
    prepare_empty(t, dir);
    write_and_flush(t, *dir, VTD_GUEST_FSTS_DIR);
    g_assert_cmpint(state_of(t), ==, S1);
}

static void operate_bind(VtdAccelTest *t, uint64_t dir)
{
    write_and_flush(t, dir, VTD_GUEST_FSTS_DIR);
}

static void operate_rebind(VtdAccelTest *t, uint64_t dir)
{
    write_and_flush(t, dir, VTD_GUEST_FSTS_DIR + 0x1000000);
}

static void operate_pass_through(VtdAccelTest *t, uint64_t dir)
{
    VtdPasidEntry entry = vtd_accel_pt_entry(DID);

    vtd_guest_write_pasid(&t->guest, dir, 0, &entry);
    vtd_guest_flush_pasid_cache(&t->guest);
}

static void operate_unbind(VtdAccelTest *t, uint64_t dir)
{
    vtd_guest_clear_pasid(&t->guest, dir, 0);
    vtd_guest_flush_pasid_cache(&t->guest);
}

static void operate_invalidate(VtdAccelTest *t, uint64_t dir)
{
    vtd_guest_post_piotlb(&t->guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0,
                          false);
    vtd_guest_sync(&t->guest);
}

static void operate_translation_off(VtdAccelTest *t, uint64_t dir)
{
    vtd_guest_set_translation(&t->guest, false);
}

static void operate_reset(VtdAccelTest *t, uint64_t dir)
{
    fakehost_reset(t->host);
}

static const Sweep sweeps[] = {
    { "bind_eio", "binding", prepare_empty, operate_bind, S1, EIO },
    { "bind_einval", "binding, refused as not compatible", prepare_empty,
      operate_bind, S1, EINVAL },
    { "bind_enomem", "binding without memory", prepare_empty, operate_bind,
      S1, ENOMEM },
    { "rebind_eio", "binding another table", prepare_bound, operate_rebind,
      S1, EIO },
    { "rebind_einval", "binding another table, refused as not compatible",
      prepare_bound, operate_rebind, S1, EINVAL },
    { "pass-through_eio", "from first stage to pass-through", prepare_bound,
      operate_pass_through, S2, EIO },
    { "unbind_eio", "unbinding", prepare_bound, operate_unbind, BLOCKED, EIO },
    { "invalidate_eio", "an invalidation", prepare_bound, operate_invalidate,
      S1, EIO, .harmless = true },
    { "translation-off_eio", "translation off", prepare_bound,
      operate_translation_off, S2, EIO },
    { "reset_eio", "a reset of the machine", prepare_bound, operate_reset, S2,
      EIO },
};

/* Whatever happened, the next invalidation (or reset) sets it right */
static void repair(VtdAccelTest *t, const Sweep *sweep, uint64_t dir)
{
    if (sweep->operate == operate_reset ||
        sweep->operate == operate_translation_off) {
        sweep->operate(t, dir);
        if (state_of(t) != S2) {
            /* Nothing changed for the guest: toggle to say it again */
            vtd_guest_enable(&t->guest);
            vtd_guest_set_translation(&t->guest, false);
        }
    } else {
        vtd_guest_flush_pasid_cache(&t->guest);
    }
    g_assert_cmpint(state_of(t), ==, sweep->wanted);
    vtd_accel_expect_s1_hwpts(t, sweep->wanted == S1 ? 1 : 0);
}

typedef struct Run {
    VtdAccelTest t;
    const Sweep *sweep;
    uint64_t dir;
} Run;

static void sweep_prepare(void *opaque)
{
    Run *run = opaque;

    fakehost_plug(run->t.host, 0);
    run->sweep->prepare(&run->t, &run->dir);
}

static void sweep_operate(void *opaque)
{
    Run *run = opaque;

    run->sweep->operate(&run->t, run->dir);
}

static void sweep_check(void *opaque, const SweepRound *round)
{
    Run *run = opaque;
    VtdAccelTest *t = &run->t;

    if (state_of(t) != run->sweep->wanted) {
        g_assert_cmpint(state_of(t), ==, BLOCKED);
        vtd_accel_expect_s1_hwpts(t, 0);
        sweep_expect_told(round, "DMA blocked", true);
        g_assert_false(run->sweep->harmless);
        repair(t, run->sweep, run->dir);
    }
    if (vtd_guest_translates(&t->guest)) {
        vtd_guest_set_translation(&t->guest, false);
    }
    fakehost_unplug(t->host, 0);
    fakehost_expect_empty(t->host);
}

static void test_sweep(const void *data)
{
    static const SweepOps ops = { sweep_prepare, sweep_operate, sweep_check };
    VtdAccelSetup setup = { 0 };
    Run run = { .sweep = data };
    unsigned failed;

    g_test_message("%s", run.sweep->what);
    if (!vtd_accel_start(&run.t, &setup)) {
        return;
    }
    failed = sweep(run.t.host, &ops, run.sweep->err, 1, &run);
    /* Unbinding makes no call that the kernel is able to fail */
    g_assert_true(failed || run.sweep->wanted == BLOCKED);
    fakehost_free(run.t.host);
}

static void check_plugged(void *opaque, bool plugged)
{
    if (plugged) {
        vtd_accel_expect_s2(opaque, 0);
    }
}

/* Realize: either it works all the same, or the error says why not */
static void test_realize_sweep(void)
{
    VtdAccelSetup setup = { 0 };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmpuint(sweep_plug(t.host, 0, check_plugged,
                                fakehost_expect_empty, &t), >=, 5);
    fakehost_free(t.host);
}

static void unplug_prepare(void *opaque)
{
    VtdAccelTest *t = opaque;
    uint64_t dir;

    fakehost_plug(t->host, 0);
    prepare_bound(t, &dir);
}

static void unplug_operate(void *opaque)
{
    VtdAccelTest *t = opaque;

    fakehost_unplug(t->host, 0);
}

static void unplug_check(void *opaque, const SweepRound *round)
{
    VtdAccelTest *t = opaque;

    fakehost_expect_empty(t->host);
    vtd_guest_set_translation(&t->guest, false);
}

/* Unplug of a bound device: it goes, whatever the host says */
static void test_unplug_sweep(void)
{
    static const SweepOps ops = { unplug_prepare, unplug_operate,
                                  unplug_check };
    VtdAccelSetup setup = { 0 };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmpuint(sweep(t.host, &ops, EIO, 1, &t), >, 0);
    fakehost_free(t.host);
}

/* A refused invalidation: a fresh HWPT takes the place of the stale one */
static void test_invalidate_refused(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint32_t stale;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    vtd_accel_bind(&t, 1, &entry);
    vtd_accel_expect_s1_hwpts(&t, 1);
    stale = fakehost_device(t.host, "dev0")->pt_id;

    fakehost_fail(t.host, "HWPT_INVALIDATE", 1, 1, EIO, 1);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x9000, 0, false);
    vtd_guest_sync(&t.guest);

    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, !=, stale);
    g_assert_cmpuint(fakehost_device(t.host, "dev1")->pt_id, ==,
                     fakehost_device(t.host, "dev0")->pt_id);
    fakehost_free(t.host);
}

/* If that is refused as well, DMA is blocked until the guest says more */
static void test_invalidate_and_replace_refused(const void *data)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    size_t mark;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    mark = fakehost_err_mark(t.host);
    fakehost_fail_next(t.host, "HWPT_INVALIDATE", EIO);
    fakehost_fail_next(t.host, data, EIO);
    operate_invalidate(&t, 0);
    vtd_accel_expect_blocked(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 0);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "DMA blocked"), ==, 1);

    fakehost_clear_rules(t.host);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* The kernel refuses while the device is being reset: try again by ourselves */
static void test_device_in_reset(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    struct FakehostDevice *dev;
    VtdAccelTest t;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_empty(&t, &dir);
    dev = fakehost_device(t.host, "dev0");
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    write_and_flush(&t, dir, VTD_GUEST_FSTS_DIR);
    /* While it is tried again, there is a HWPT for a moment */
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    vtd_accel_expect_blocked(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 0);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");

    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    FAKEHOST_AWAIT(t.host, !fakehost_is_blocked(t.host, "dev0"));
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* Failures are reported, but a guest cannot flood the log with them */
static void test_log_is_limited(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    gint64 begin = g_get_monotonic_time();
    unsigned rounds = 300;
    VtdAccelTest t;
    size_t mark;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_empty(&t, &dir);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "HWPT_ALLOC", 1, 0, EIO, 0);
    for (unsigned i = 0; i < rounds; i++) {
        write_and_flush(&t, dir, VTD_GUEST_FSTS_DIR + i * 0x1000);
    }
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, ""), >=, 1);
    fakehost_expect_err_limited(t.host, mark, "", begin, 1);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC"), ==,
                     rounds);
    vtd_accel_expect_blocked(&t, 0);
    fakehost_free(t.host);
}

/* --- a device that the host cannot block --- */

static bool is_blocked(VtdAccelTest *t)
{
    return fakehost_is_blocked(t->host, "dev0");
}

static bool has_tried_5_times(VtdAccelTest *t)
{
    return fakehost_failed_calls(t->host, "VFIO_DEVICE_DETACH_IOMMUFD_PT") >= 5;
}

/* The guest takes the entry away, and the host does not block the device */
static bool start_stuck(VtdAccelTest *t, size_t *mark)
{
    VtdAccelSetup setup = { .devices = 1 };
    uint64_t dir;

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    prepare_bound(t, &dir);
    *mark = fakehost_err_mark(t->host);
    fakehost_fail(t->host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_clear_pasid(&t->guest, dir, 0);
    vtd_guest_post_pc(&t->guest, VTD_PC_PASID, DID, 0);
    vtd_guest_post_wait(&t->guest);
    vtd_guest_ring(&t->guest);
    /* Its wait descriptor does not complete */
    g_assert_true(vtd_guest_readl(&t->guest, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    g_assert_false(is_blocked(t));
    return true;
}

/* It is tried again without a word of the guest, and told once */
static void test_stuck(void)
{
    VtdAccelTest t;
    size_t mark;

    if (!start_stuck(&t, &mark)) {
        return;
    }
    FAKEHOST_AWAIT(t.host, has_tried_5_times(&t));
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "cannot block its DMA"),
                     ==, 1);
    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, is_blocked(&t));
    vtd_accel_expect_s1_hwpts(&t, 0);
    fakehost_free(t.host);
}

/*
 * The tables that it is stuck to are replaced, as the host refuses what the
 * guest invalidates: only whoever is to have them gets the fresh ones
 */
static void test_stuck_replaced(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdAccelTest t;
    uint64_t dir, allocs;
    VtdPasidEntry entry;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t, &dir);
    entry = vtd_accel_fs_entry(DID);
    entry.table = VTD_GUEST_FSTS_DIR;
    vtd_accel_bind(&t, 1, &entry);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    allocs = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC");
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    fakehost_fail(t.host, "HWPT_INVALIDATE", 1, 1, EIO, 0);
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_post_wait(&t.guest);
    vtd_guest_ring(&t.guest);
    g_assert_true(vtd_guest_readl(&t.guest, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    g_assert_false(is_blocked(&t));
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_ALLOC"), ==,
                     allocs + 1);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 2);
    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, is_blocked(&t));
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* Nothing is done for a guest that does not run; it goes on with the guest */
static void test_stuck_stopped(void)
{
    VtdAccelTest t;
    uint64_t calls;
    size_t mark;

    if (!start_stuck(&t, &mark)) {
        return;
    }
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    calls = fakehost_total_calls(t.host);
    fakehost_clear_rules(t.host);
    g_usleep(STOPPED_MS * 1000);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    g_assert_false(is_blocked(&t));
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    FAKEHOST_AWAIT(t.host, is_blocked(&t));
    vtd_accel_expect_s1_hwpts(&t, 0);
    fakehost_free(t.host);
}

/* The same for one that is in reset */
static void test_in_reset_stopped(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;
    uint64_t calls, dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_empty(&t, &dir);
    fakehost_device(t.host, "dev0")->flags |= FAKEHOST_DEV_IN_RESET;
    write_and_flush(&t, dir, VTD_GUEST_FSTS_DIR);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    calls = fakehost_total_calls(t.host);
    fakehost_device(t.host, "dev0")->flags &= ~FAKEHOST_DEV_IN_RESET;
    g_usleep(STOPPED_MS * 1000);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    g_assert_true(is_blocked(&t));
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    FAKEHOST_AWAIT(t.host, !is_blocked(&t));
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* Commands by register wait for it like wait descriptors */
typedef struct Command {
    const char *name;
    unsigned reg;
    uint64_t command, busy;
    bool invalidates;               /* the entry stays */
} Command;

static const Command commands[] = {
    { "context-cache", DMAR_CCMD_REG, VTD_CCMD_ICC | VTD_CCMD_GLOBAL_INVL,
      VTD_CCMD_ICC },
    { "iotlb", DMAR_IOTLB_REG, VTD_TLB_IVT | VTD_TLB_GLOBAL_FLUSH,
      VTD_TLB_IVT, true },
};

static void test_stuck_register(const void *data)
{
    const Command *c = data;
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t, &dir);
    vtd_guest_gcmd(&t.guest, VTD_GCMD_QIE, false);
    if (!c->invalidates) {
        vtd_guest_clear_pasid(&t.guest, dir, 0);
    }
    fakehost_fail(t.host, "HWPT_INVALIDATE", 1, 0, EIO, 0);
    fakehost_fail(t.host, "HWPT_ALLOC", 1, 0, EIO, 0);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_writeq(&t.guest, c->reg, c->command);
    FAKEHOST_AWAIT(t.host, has_tried_5_times(&t));
    g_assert_cmphex(vtd_guest_readq(&t.guest, c->reg) & c->busy, ==, c->busy);
    g_assert_false(is_blocked(&t));

    fakehost_clear_rules(t.host);
    QTEST_AWAIT(!(vtd_guest_readq(&t.guest, c->reg) & c->busy));
    if (c->invalidates) {
        /* By tables without a stale entry */
        FAKEHOST_AWAIT(t.host, !is_blocked(&t));
        vtd_accel_expect_s1(&t, 0);
    } else {
        vtd_accel_expect_blocked(&t, 0);
    }
    vtd_accel_expect_s1_hwpts(&t, c->invalidates);
    fakehost_free(t.host);
}

/*
 * A device whose tables make room for the next ones is stopped first.  If that
 * fails it gets nothing else, and the limit is not to blame.
 */
static void test_stuck_room(void)
{
    VtdAccelSetup setup = {
        .devices = 1, .iommu_props = VTD_ACCEL_PROPS ",max-host-domains=1",
    };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID + 1);
    uint64_t dir, allocs;
    VtdAccelTest t;
    size_t mark;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t, &dir);
    mark = fakehost_err_mark(t.host);
    allocs = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC");
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_write_pasid(&t.guest, dir, 0, &entry);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
    vtd_guest_post_wait(&t.guest);
    vtd_guest_ring(&t.guest);
    g_assert_true(vtd_guest_readl(&t.guest, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    FAKEHOST_AWAIT(t.host, has_tried_5_times(&t));
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_ALLOC"), ==, allocs);
    vtd_accel_expect_s1_hwpts(&t, 1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "max-host-domains"), ==,
                     0);

    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host,
                   fakehost_calls(t.host, "IOMMU_HWPT_ALLOC") == allocs + 1);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* A command does not wait for a device that is not there any more */
static void test_stuck_unplug(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t, &dir);
    vtd_guest_gcmd(&t.guest, VTD_GCMD_QIE, false);
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_writeq(&t.guest, DMAR_CCMD_REG,
                     VTD_CCMD_ICC | VTD_CCMD_GLOBAL_INVL);
    FAKEHOST_AWAIT(t.host, has_tried_5_times(&t));
    g_assert_true(vtd_guest_readq(&t.guest, DMAR_CCMD_REG) & VTD_CCMD_ICC);
    fakehost_unplug(t.host, 0);
    QTEST_AWAIT(!(vtd_guest_readq(&t.guest, DMAR_CCMD_REG) & VTD_CCMD_ICC));
    fakehost_free(t.host);
}

/* Nothing that it was stuck with stays in the host beside another device */
static void test_stuck_unplug_freed(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdAccelTest t;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    prepare_bound(&t, &dir);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    fakehost_unplug(t.host, 0);
    g_assert_true(fakehost_is_blocked(t.host, "dev0"));
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_DESTROY"), >, 0);
    vtd_accel_expect_s1_hwpts(&t, 0);
    fakehost_free(t.host);
}

/* Translation is not on as long as a device escapes it */
static void test_stuck_translation(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);
    vtd_guest_enable(&t.guest);
    vtd_guest_set_translation(&t.guest, false);
    vtd_accel_expect_s2(&t, 0);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_writel(&t.guest, DMAR_GCMD_REG, VTD_GCMD_TE | VTD_GCMD_QIE);
    FAKEHOST_AWAIT(t.host, has_tried_5_times(&t));
    g_assert_false(vtd_guest_translates(&t.guest));
    vtd_accel_expect_s2(&t, 0);

    fakehost_clear_rules(t.host);
    QTEST_AWAIT(vtd_guest_translates(&t.guest));
    vtd_accel_expect_blocked(&t, 0);
    fakehost_free(t.host);
}

/* --- as many host domains as the guest may have --- */

static void test_host_domains(void)
{
    VtdAccelSetup setup = {
        .devices = 3, .iommu_props = VTD_ACCEL_PROPS ",max-host-domains=2",
    };
    VtdPasidEntry entry;
    uint64_t dir[3], allocs;
    VtdAccelTest t;
    size_t mark;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    for (unsigned i = 0; i < 3; i++) {
        entry = vtd_accel_fs_entry(DID + i);
        allocs = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC");
        dir[i] = vtd_accel_bind(&t, i, &entry);
    }
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_blocked(&t, 2);
    vtd_accel_expect_s1_hwpts(&t, 2);
    /* The host was not even asked */
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_ALLOC"), ==, allocs);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "max-host-domains=2"), >=,
                     1);

    /* Another table makes room for itself, a fresh HWPT is no further one */
    entry = vtd_accel_fs_entry(DID + 1);
    entry.table += 0x1000000;
    vtd_guest_write_pasid(&t.guest, dir[1], 0, &entry);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_s1(&t, 1);
    fakehost_fail_next(t.host, "HWPT_INVALIDATE", EIO);
    operate_invalidate(&t, 0);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_blocked(&t, 2);

    /* What one gives back is there for another, and sharing costs nothing */
    vtd_guest_clear_pasid(&t.guest, dir[0], 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_blocked(&t, 0);
    vtd_accel_expect_s1(&t, 2);
    vtd_guest_write_pasid(&t.guest, dir[0], 0, &entry);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 2);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/vtd-accel/sweep", sweeps, test_sweep);
    qtest_add_func("/vtd-accel/sweep/realize_eio", test_realize_sweep);
    qtest_add_func("/vtd-accel/sweep/unplug_eio", test_unplug_sweep);
    qtest_add_func("/vtd-accel/failure/invalidation-refused_replaced",
                   test_invalidate_refused);
    qtest_add_data_func("/vtd-accel/failure/invalidation-and-alloc_blocked",
                        "HWPT_ALLOC", test_invalidate_and_replace_refused);
    qtest_add_data_func("/vtd-accel/failure/invalidation-and-attach_blocked",
                        "ATTACH_IOMMUFD_PT",
                        test_invalidate_and_replace_refused);
    qtest_add_func("/vtd-accel/failure/device-in-reset_retried",
                   test_device_in_reset);
    qtest_add_func("/vtd-accel/failure/log_limited", test_log_is_limited);
    qtest_add_func("/vtd-accel/failure/in-reset-stopped_waits",
                   test_in_reset_stopped);
    qtest_add_func("/vtd-accel/stuck/queue_retried", test_stuck);
    qtest_add_func("/vtd-accel/stuck/replaced_without-it",
                   test_stuck_replaced);
    qtest_add_func("/vtd-accel/stuck/stopped_waits", test_stuck_stopped);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel/stuck/%s-by-"
                                                "register_completes",
                                                commands[i].name);

        qtest_add_data_func(path, &commands[i], test_stuck_register);
    }
    qtest_add_func("/vtd-accel/stuck/room_made-first", test_stuck_room);
    qtest_add_func("/vtd-accel/stuck/unplug_completes", test_stuck_unplug);
    qtest_add_func("/vtd-accel/stuck/unplug_freed", test_stuck_unplug_freed);
    qtest_add_func("/vtd-accel/stuck/translation_waits",
                   test_stuck_translation);
    qtest_add_func("/vtd-accel/host-domains_limited", test_host_domains);
    return g_test_run();
}
