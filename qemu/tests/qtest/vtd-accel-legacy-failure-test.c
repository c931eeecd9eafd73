/*
 * QTest: a guest in legacy mode behind x-flts=on, when the host fails it or the
 * guest means harm
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "hw/i386/intel_iommu_internal.h"
#include "viommu/sweep.h"
#include "vtd-accel-legacy.h"

#define DID             7
#define OTHER_DID       8
#define PAGE            0x1000000ull
#define PAGE2           0x1801000ull
#define NOTHING         0x700000000ull
#define REGISTERS       0xfec00000ull   /* of I/O APIC, HPET and vIOMMU */
#define MAPS_ONE        "10000+1000>1000000:rw "
#define MAPS_TWO        MAPS_ONE "20000+1000>1801000:rw "

/* Scalable-mode context entry: requests with PASID are allowed (VT-d 9.4) */
#define SM_CE_PASIDE    (1ull << 3)

/* Tells of each piece of work that ends, for a turn of the main loop */
#define TRACE           "-trace vtd_accel_queue_yield "

static void expect_maps(VtdLegacy *l, unsigned n, const char *maps)
{
    g_autofree char *real = NULL;

    g_assert_cmpint(vtd_legacy_state(l, n), ==, SHADOW);
    real = vtd_legacy_mappings(l, n);
    g_assert_cmpstr(real, ==, maps);
}

static void expect_shadows(VtdLegacy *l, unsigned num)
{
    g_assert_cmpuint(fakehost_objects(l->t.host, FAKEHOST_OBJ_IOAS), ==,
                     num + 1);
    g_assert_cmpuint(fakehost_objects(l->t.host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     num + 1);
}

/* One page mapped, ready to enter legacy mode */
static void prepare_table(VtdLegacy *l)
{
    VtdPasidEntry fs = vtd_accel_fs_entry(DID);
    uint64_t dir = vtd_guest_add_context(&l->t.guest, fakehost_sid(0), 0);

    vtd_guest_write_pasid(&l->t.guest, dir, 0, &fs);
    vtd_legacy_write_entry(l, 0x10000, 1, PAGE | LEGACY_RW);
    vtd_legacy_write_entry(l, 0x20000, 1, 0);
    vtd_legacy_use_table(l, 0, DID);
    /* From here on only the change of mode is left to do */
    vtd_guest_enable(&l->t.guest);
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, S1);
}

static void prepare_shadow(VtdLegacy *l)
{
    prepare_table(l);
    vtd_legacy_enter(l);
    expect_maps(l, 0, MAPS_ONE);
}

static void flush_page(VtdLegacy *l, uint64_t iova)
{
    vtd_guest_post_iotlb(&l->t.guest, 3, DID, iova, 0);
    vtd_guest_sync(&l->t.guest);
}

/* --- each call refused in turn --- */

typedef struct Sweep {
    const char *name;
    void (*prepare)(VtdLegacy *l);
    void (*operate)(VtdLegacy *l);
    VtdLegacyState wanted;
    const char *maps;
    int err;
    bool harmless;              /* a failure need not block: it repairs */
} Sweep;

static void operate_enter(VtdLegacy *l)
{
    vtd_legacy_enter(l);
}

static void operate_map(VtdLegacy *l)
{
    vtd_legacy_write_entry(l, 0x20000, 1, PAGE2 | LEGACY_RW);
    flush_page(l, 0x20000);
}

static void operate_remap(VtdLegacy *l)
{
    vtd_legacy_write_entry(l, 0x10000, 1, PAGE2 | LEGACY_RW);
    flush_page(l, 0x10000);
}

static void operate_pass_through(VtdLegacy *l)
{
    vtd_legacy_write_context(l, 0, VTD_CONTEXT_TT_PASS_THROUGH | 1,
                             DID << 8 | 2);
    vtd_guest_post_cc(&l->t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
    vtd_guest_sync(&l->t.guest);
}

static void operate_scalable(VtdLegacy *l)
{
    vtd_guest_set_root(&l->t.guest, l->t.guest.root, true);
}

static void operate_translation_off(VtdLegacy *l)
{
    vtd_guest_set_translation(&l->t.guest, false);
}

static const Sweep sweeps[] = {
    { "enter_eio", prepare_table, operate_enter, SHADOW, MAPS_ONE, EIO },
    { "enter_einval", prepare_table, operate_enter, SHADOW, MAPS_ONE, EINVAL },
    { "enter_enomem", prepare_table, operate_enter, SHADOW, MAPS_ONE, ENOMEM },
    { "enter_enoent", prepare_table, operate_enter, SHADOW, MAPS_ONE, ENOENT },
    { "map_eio", prepare_shadow, operate_map, SHADOW, MAPS_TWO, EIO,
      .harmless = true },
    { "map_enoent", prepare_shadow, operate_map, SHADOW, MAPS_TWO, ENOENT,
      .harmless = true },
    { "map_eexist", prepare_shadow, operate_map, SHADOW, MAPS_TWO, EEXIST,
      .harmless = true },
    { "remap_enomem", prepare_shadow, operate_remap, SHADOW,
      "10000+1000>1801000:rw ", ENOMEM, .harmless = true },
    { "pass-through_eio", prepare_shadow, operate_pass_through, S2, NULL, EIO },
    { "scalable_eio", prepare_shadow, operate_scalable, S1, NULL, EIO },
    { "translation-off_eio", prepare_shadow, operate_translation_off, S2, NULL,
      EIO },
};

/* Whatever happened, the next invalidation sets it right */
static void repair(VtdLegacy *l, const Sweep *sweep)
{
    if (sweep->operate == operate_translation_off) {
        vtd_guest_set_translation(&l->t.guest, true);
        vtd_guest_set_translation(&l->t.guest, false);
    } else if (sweep->operate == operate_scalable) {
        vtd_guest_flush_pasid_cache(&l->t.guest);
    } else {
        vtd_legacy_flush(l);
    }
}

typedef struct Run {
    VtdLegacy l;
    const Sweep *sweep;
} Run;

static void sweep_prepare(void *opaque)
{
    Run *run = opaque;

    fakehost_plug(run->l.t.host, 0);
    run->sweep->prepare(&run->l);
}

static void sweep_operate(void *opaque)
{
    Run *run = opaque;

    run->sweep->operate(&run->l);
}

static void sweep_check(void *opaque, const SweepRound *round)
{
    Run *run = opaque;
    const Sweep *sweep = run->sweep;
    VtdLegacy *l = &run->l;

    if (vtd_legacy_state(l, 0) != sweep->wanted) {
        g_assert_cmpint(vtd_legacy_state(l, 0), ==, BLOCKED);
        expect_shadows(l, 0);
        sweep_expect_told(round, "DMA blocked", true);
        g_assert_false(sweep->harmless);
        repair(l, sweep);
    }
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, sweep->wanted);
    expect_shadows(l, sweep->wanted == SHADOW);
    if (sweep->maps) {
        expect_maps(l, 0, sweep->maps);
    }
    fakehost_unplug(l->t.host, 0);
    fakehost_expect_empty(l->t.host);
    vtd_guest_enable(&l->t.guest);
    vtd_guest_set_translation(&l->t.guest, false);
}

static void test_sweep(const void *data)
{
    static const SweepOps ops = { sweep_prepare, sweep_operate, sweep_check };
    VtdAccelSetup setup = { 0 };
    Run run = { .sweep = data };

    if (!vtd_legacy_start(&run.l, &setup, 4)) {
        return;
    }
    g_assert_cmpuint(sweep(run.l.t.host, &ops, run.sweep->err, 1, &run), >, 0);
    fakehost_free(run.l.t.host);
}

static void unplug_prepare(void *opaque)
{
    VtdLegacy *l = opaque;

    fakehost_plug(l->t.host, 0);
    prepare_shadow(l);
}

static void unplug_operate(void *opaque)
{
    VtdLegacy *l = opaque;

    fakehost_unplug(l->t.host, 0);
}

static void unplug_check(void *opaque, const SweepRound *round)
{
    VtdLegacy *l = opaque;

    fakehost_expect_empty(l->t.host);
    vtd_guest_set_translation(&l->t.guest, false);
}

/* Unplug: the device goes, whatever the host says */
static void test_unplug_sweep(void)
{
    static const SweepOps ops = { unplug_prepare, unplug_operate,
                                  unplug_check };
    VtdAccelSetup setup = { 0 };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    g_assert_cmpuint(sweep(l.t.host, &ops, EIO, 1, &l), >, 0);
    fakehost_free(l.t.host);
}

/* A mapping that cannot be removed: a fresh copy takes the place of the old */
static void test_unmap_refused(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    g_autofree char *log = NULL;
    const char *detach, *alloc;
    size_t mark;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    prepare_shadow(&l);
    vtd_legacy_write_entry(&l, 0x10000, 1, 0);
    mark = fakehost_log_mark(l.t.host);
    fakehost_fail_next(l.t.host, "IOAS_UNMAP", EIO);
    flush_page(&l, 0x10000);
    expect_maps(&l, 0, "");
    /* While it is made nothing is translated by the old one */
    log = fakehost_log_since(l.t.host, mark);
    detach = strstr(log, "VFIO_DEVICE_DETACH_IOMMUFD_PT");
    alloc = strstr(log, "IOMMU_IOAS_ALLOC");
    g_assert_nonnull(detach);
    g_assert_nonnull(alloc);
    g_assert_true(detach < alloc);
    expect_shadows(&l, 1);

    /* If there is no fresh one, DMA is blocked until the guest says more */
    vtd_legacy_write_entry(&l, 0x10000, 1, PAGE | LEGACY_RW);
    flush_page(&l, 0x10000);
    expect_maps(&l, 0, MAPS_ONE);
    vtd_legacy_write_entry(&l, 0x10000, 1, 0);
    mark = fakehost_err_mark(l.t.host);
    fakehost_fail_next(l.t.host, "IOAS_UNMAP", EIO);
    fakehost_fail_next(l.t.host, "IOAS_ALLOC", EMFILE);
    flush_page(&l, 0x10000);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, BLOCKED);
    expect_shadows(&l, 0);
    g_assert_cmpuint(fakehost_err_lines(l.t.host, mark, "DMA blocked"), ==, 1);
    fakehost_clear_rules(l.t.host);

    /* Another domain is none of its business */
    vtd_guest_post_iotlb(&l.t.guest, 2, OTHER_DID, 0, 0);
    vtd_guest_sync(&l.t.guest);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, BLOCKED);
    flush_page(&l, 0x50000);
    expect_maps(&l, 0, "");
    fakehost_free(l.t.host);
}

/* The kernel refuses while the device is being reset: try again by ourselves */
static void test_device_in_reset(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    struct FakehostDevice *dev;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    prepare_table(&l);
    dev = fakehost_device(l.t.host, "dev0");
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    vtd_legacy_enter(&l);
    /* While it is tried again, there is a copy for a moment */
    qtest_qmp_assert_success(l.t.host->qts, "{ 'execute': 'stop' }");
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, BLOCKED);
    expect_shadows(&l, 0);
    qtest_qmp_assert_success(l.t.host->qts, "{ 'execute': 'cont' }");

    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    FAKEHOST_AWAIT(l.t.host, vtd_legacy_state(&l, 0) != BLOCKED);
    expect_maps(&l, 0, MAPS_ONE);
    fakehost_free(l.t.host);
}

/* A copy, and what is below it, goes with the device that was stuck with it */
static void test_stuck_unplug_freed(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    uint32_t ioas;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    ioas = fakehost_objects(l.t.host, FAKEHOST_OBJ_IOAS);
    prepare_shadow(&l);
    expect_shadows(&l, 1);
    fakehost_fail(l.t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    fakehost_unplug(l.t.host, 0);
    g_assert_true(fakehost_is_blocked(l.t.host, "dev0"));
    g_assert_cmpuint(fakehost_failed_calls(l.t.host, "IOMMU_DESTROY"), >, 0);
    expect_shadows(&l, 0);
    g_assert_cmpuint(fakehost_objects(l.t.host, FAKEHOST_OBJ_IOAS), ==, ioas);
    fakehost_free(l.t.host);
}

/* Failures are reported, but a guest cannot flood the log with them */
static void test_log_is_limited(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    gint64 begin = g_get_monotonic_time();
    unsigned rounds = 300;
    VtdLegacy l;
    size_t mark;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    prepare_shadow(&l);
    mark = fakehost_err_mark(l.t.host);
    /* Beyond what the host translates: refused each time */
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t iova = (1ull << 47) + i * 0x1000;

        vtd_legacy_write_entry(&l, iova, 1, PAGE | LEGACY_RW);
        flush_page(&l, iova);
        g_assert_cmpint(vtd_legacy_state(&l, 0), ==, BLOCKED);
    }
    g_assert_cmpuint(fakehost_err_lines(l.t.host, mark, ""), >=, 1);
    fakehost_expect_err_limited(l.t.host, mark, "", begin, 1);
    expect_shadows(&l, 0);
    fakehost_free(l.t.host);
}

/* --- several devices --- */

static void enter_with(VtdLegacy *l, unsigned devices)
{
    vtd_legacy_write_entry(l, 0x10000, 1, PAGE | LEGACY_RW);
    for (unsigned i = 0; i < devices; i++) {
        vtd_legacy_use_table(l, i, DID);
    }
    vtd_legacy_enter(l);
}

static void test_shared(void)
{
    VtdAccelSetup setup = { .devices = 3 };
    uint64_t maps;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    enter_with(&l, 3);
    expect_shadows(&l, 1);
    maps = fakehost_calls(l.t.host, "IOMMU_IOAS_COPY");
    vtd_legacy_write_entry(&l, 0x20000, 1, PAGE2 | LEGACY_RW);
    flush_page(&l, 0x20000);
    g_assert_cmpuint(fakehost_calls(l.t.host, "IOMMU_IOAS_COPY") - maps, ==, 1);
    for (unsigned i = 0; i < 3; i++) {
        expect_maps(&l, i, MAPS_TWO);
    }

    /* Another domain with the same table has a copy of its own */
    vtd_legacy_use_table(&l, 1, OTHER_DID);
    vtd_guest_post_cc(&l.t.guest, VTD_CC_DEVICE, 0, fakehost_sid(1));
    vtd_guest_sync(&l.t.guest);
    expect_shadows(&l, 2);
    vtd_legacy_write_entry(&l, 0x20000, 1, 0);
    flush_page(&l, 0x20000);
    expect_maps(&l, 0, MAPS_ONE);
    expect_maps(&l, 1, MAPS_TWO);
    expect_maps(&l, 2, MAPS_ONE);

    /* A failure takes all users of a copy off it, and to a fresh one */
    vtd_legacy_write_entry(&l, 0x20000, 1, PAGE2 | LEGACY_RW);
    fakehost_fail_next(l.t.host, "IOAS_COPY", ENOMEM);
    flush_page(&l, 0x20000);
    expect_maps(&l, 0, MAPS_TWO);
    expect_maps(&l, 2, MAPS_TWO);
    expect_shadows(&l, 2);

    fakehost_unplug(l.t.host, 1);
    expect_shadows(&l, 1);
    fakehost_unplug(l.t.host, 0);
    expect_maps(&l, 2, MAPS_TWO);
    fakehost_unplug(l.t.host, 2);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* A unit that cannot walk the tables of another one: its device gets its own */
static void test_two_units(void)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%llx ecap=0x%llx\n"
                        "iommu iommu1 type=vtd cap=0x%llx ecap=0x%llx\n"
                        "device dev0 iommu=iommu0\n"
                        "device dev1 iommu=iommu1\n", HOST_CAP, HOST_ECAP,
                        HOST_CAP, HOST_ECAP & ~HOST_ECAP_SMPWC);
    VtdAccelSetup setup = { .devices = 2, .host = host };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    enter_with(&l, 2);
    expect_maps(&l, 0, MAPS_ONE);
    expect_maps(&l, 1, MAPS_ONE);
    vtd_legacy_write_entry(&l, 0x20000, 1, PAGE2 | LEGACY_RW);
    flush_page(&l, 0x20000);
    expect_maps(&l, 0, MAPS_TWO);
    expect_maps(&l, 1, MAPS_TWO);
    fakehost_unplug(l.t.host, 0);
    fakehost_unplug(l.t.host, 1);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

static void test_plug_into_legacy(void)
{
    VtdAccelSetup setup = { .devices = 1, .ports = 2 };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    enter_with(&l, 2);
    for (unsigned i = 0; i < 5; i++) {
        fakehost_set_power(l.t.host, 1, true);
        fakehost_plug(l.t.host, 1);
        expect_maps(&l, 1, MAPS_ONE);
        expect_shadows(&l, 1);
        fakehost_unplug(l.t.host, 1);
    }
    expect_maps(&l, 0, MAPS_ONE);
    fakehost_unplug(l.t.host, 0);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* PASIDs that are bound go when legacy mode comes, and come back after it */
static void test_pasids(void)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%llx ecap=0x%llx\n"
                        "device dev0 iommu=iommu0 pasid-bits=20\n", HOST_CAP,
                        HOST_ECAP);
    VtdAccelSetup setup = {
        .devices = 1, .host = host,
        .iommu_props = VTD_ACCEL_PROPS ",pasid-bits=20",
    };
    VtdPasidEntry fs = vtd_accel_fs_entry(DID);
    const struct FakehostDevice *dev;
    uint64_t context, dir;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    dir = vtd_guest_add_context(&l.t.guest, fakehost_sid(0), 0);
    context = vtd_guest_context(&l.t.guest, fakehost_sid(0));
    qtest_writeq(l.t.guest.qts, context, dir | SM_CE_PASIDE | 1);
    vtd_guest_write_pasid(&l.t.guest, dir, 0, &fs);
    vtd_guest_write_pasid(&l.t.guest, dir, 5, &fs);
    vtd_legacy_write_entry(&l, 0x10000, 1, PAGE | LEGACY_RW);
    vtd_legacy_use_table(&l, 0, DID);
    vtd_guest_enable(&l.t.guest);
    dev = fakehost_device(l.t.host, "dev0");

    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(vtd_legacy_state(&l, 0), ==, S1);
        g_assert_cmpuint(dev->pasids, ==, 1);
        vtd_legacy_enter(&l);
        expect_maps(&l, 0, MAPS_ONE);
        g_assert_cmpuint(dev->pasids, ==, 0);
        vtd_accel_expect_s1_hwpts(&l.t, 0);
        vtd_guest_set_root(&l.t.guest, l.t.guest.root, true);
    }
    fakehost_unplug(l.t.host, 0);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* Without the erratum it is all the same: nothing read-only in the parent */
static void test_no_erratum(void)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%llx ecap=0x%llx "
                        "errata=0\ndevice dev0 iommu=iommu0\n", HOST_CAP,
                        HOST_ECAP);
    VtdAccelSetup setup = { .devices = 1, .host = host };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    vtd_legacy_write_entry(&l, 0x20000, 1, 0xffff0000 | LEGACY_RW);
    enter_with(&l, 1);
    expect_maps(&l, 0, MAPS_ONE "20000+1000>?:r ");
    fakehost_free(l.t.host);
}

/* What a device writes through a copy is not tracked */
static bool migration_blocked(VtdLegacy *l)
{
    QDict *resp = qtest_qmp(l->t.host->qts, "{ 'execute': 'query-migrate' }");
    QDict *ret = qdict_get_qdict(resp, "return");
    bool found = false;

    if (qdict_haskey(ret, "blocked-reasons")) {
        const QListEntry *e;

        QLIST_FOREACH_ENTRY(qdict_get_qlist(ret, "blocked-reasons"), e) {
            const char *reason = qstring_get_str(qobject_to(QString, e->value));

            found |= !!strstr(reason, "legacy mode");
        }
    }
    qobject_unref(resp);
    return found;
}

static void test_migration(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    g_assert_false(migration_blocked(&l));
    enter_with(&l, 2);
    g_assert_true(migration_blocked(&l));
    vtd_guest_set_translation(&l.t.guest, false);
    g_assert_false(migration_blocked(&l));
    vtd_guest_set_translation(&l.t.guest, true);
    g_assert_true(migration_blocked(&l));
    fakehost_unplug(l.t.host, 0);
    g_assert_true(migration_blocked(&l));
    fakehost_unplug(l.t.host, 1);
    g_assert_false(migration_blocked(&l));
    fakehost_free(l.t.host);
}

/* --- a guest that means harm --- */

/* All entries of the page at @addr become @value */
static void fill_table(VtdLegacy *l, uint64_t addr, uint64_t value)
{
    uint64_t entries[512];

    for (unsigned i = 0; i < 512; i++) {
        entries[i] = cpu_to_le64(value);
    }
    qtest_memwrite(l->t.guest.qts, addr, entries, sizeof(entries));
}

/* The same pages at more addresses than the guest has memory */
static void make_repeated_pages(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);

    fill_table(l, table, PAGE | LEGACY_RW);
    for (unsigned i = 0; i < VTD_GUEST_RAM_MB; i++) {
        vtd_legacy_write_entry(l, i * 0x200000ull, 2, table | LEGACY_RW);
    }
}

/* An empty table at so many addresses that a guest of this size has no use */
static void make_empty_tables(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);
    uint64_t above = vtd_guest_alloc(&l->t.guest);

    fill_table(l, above, table | LEGACY_RW);
    for (unsigned i = 0; i < 128; i++) {
        vtd_legacy_write_entry(l, i * 0x40000000ull, 3, above | LEGACY_RW);
    }
}

/* Superpages that all show the same memory */
static void make_superpages(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);

    fill_table(l, table, LEGACY_RW | LEGACY_SUPERPAGE);
    fill_table(l, l->table.root, table | LEGACY_RW);
}

/* Pages where nothing is */
static void make_pages_of_nothing(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);
    uint64_t above = vtd_guest_alloc(&l->t.guest);

    fill_table(l, table, NOTHING | LEGACY_RW);
    fill_table(l, above, table | LEGACY_RW);
    vtd_legacy_write_entry(l, 0x40000000, 3, above | LEGACY_RW);
}

/* The same wherever there is an address */
static void make_nothing_everywhere(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);

    fill_table(l, table, NOTHING | LEGACY_RW);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t above = i < 2 ? vtd_guest_alloc(&l->t.guest) : l->table.root;

        fill_table(l, above, table | LEGACY_RW);
        table = above;
    }
}

/* Superpages of the registers of several devices, and of what is between */
static void make_superpages_of_registers(VtdLegacy *l)
{
    uint64_t table = vtd_guest_alloc(&l->t.guest);

    fill_table(l, table, REGISTERS | LEGACY_RW | LEGACY_SUPERPAGE);
    for (unsigned i = 1; i < 256; i++) {
        vtd_legacy_write_entry(l, i * 0x40000000ull, 3, table | LEGACY_RW);
    }
}

typedef struct Hostile {
    const char *name;
    void (*make)(VtdLegacy *l);
    const char *message;        /* why it is blocked; NULL: it is not */
    unsigned least, most;       /* how often the main loop has its turn */
} Hostile;

static const Hostile hostiles[] = {
    { "repeated-pages_block", make_repeated_pages,
      "map more memory than the guest has", 15, 40 },
    { "empty-tables_block", make_empty_tables, "take too much work", 25, 60 },
    { "superpages_block", make_superpages,
      "map more memory than the guest has", 0, 5 },
    { "nothing-everywhere_block", make_nothing_everywhere,
      "take too much work", 80, 180 },
    { "pages-of-nothing_in-pieces", make_pages_of_nothing, NULL, 8, 20 },
    { "superpages-of-registers_in-pieces", make_superpages_of_registers, NULL,
      15, 60 },
};

/* How many pieces of work have ended */
static unsigned pieces(VtdLegacy *l, size_t mark)
{
    return fakehost_err_lines(l->t.host, mark, "vtd_accel_queue_yield");
}

static void test_hostile(const void *data)
{
    const Hostile *h = data;
    VtdAccelSetup setup = { .devices = 1, .args = TRACE };
    unsigned rounds, num;
    size_t mark;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    prepare_shadow(&l);
    h->make(&l);
    mark = fakehost_err_mark(l.t.host);
    rounds = vtd_legacy_flush(&l);
    num = pieces(&l, mark);
    g_test_message("%u pieces, QEMU answered %u times meanwhile", num, rounds);
    g_assert_cmpuint(num, >=, h->least);
    g_assert_cmpuint(num, <=, h->most);
    if (h->message) {
        g_assert_cmpint(vtd_legacy_state(&l, 0), ==, BLOCKED);
        expect_shadows(&l, 0);
        g_assert_cmpuint(fakehost_err_lines(l.t.host, 0, h->message), ==, 1);
    } else {
        expect_maps(&l, 0, MAPS_ONE);
    }

    /* The guest comes to its senses */
    fill_table(&l, l.table.root, 0);
    vtd_legacy_write_entry(&l, 0x10000, 1, PAGE | LEGACY_RW);
    vtd_legacy_flush(&l);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, SHADOW);
    fakehost_unplug(l.t.host, 0);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

#define LARGE_BASE      0x10000000ull
#define LARGE_PAGES     10000
#define TABLE_ENTRIES   512

/* A device that is blocked, and a large table that it does not use yet */
static bool start_large(VtdLegacy *l)
{
    VtdAccelSetup setup = { .devices = 1, .args = TRACE };

    if (!vtd_legacy_start(l, &setup, 4)) {
        return false;
    }
    prepare_shadow(l);
    vtd_legacy_write_context(l, 0, 0, 0);
    vtd_guest_post_cc(&l->t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
    vtd_guest_sync(&l->t.guest);
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, BLOCKED);

    for (unsigned i = 0; i < LARGE_PAGES; i += TABLE_ENTRIES) {
        uint64_t table = vtd_guest_pte(&l->t.guest, &l->table,
                                       LARGE_BASE + i * 0x1000ull, 1);
        unsigned num = MIN(LARGE_PAGES - i, TABLE_ENTRIES);
        uint64_t entries[TABLE_ENTRIES];

        for (unsigned j = 0; j < num; j++) {
            entries[j] = cpu_to_le64((PAGE + (i + j) % 4096 * 0x1000) |
                                     LEGACY_RW);
        }
        qtest_memwrite(l->t.guest.qts, table, entries, num * 8);
    }
    return true;
}

static void map_large(VtdLegacy *l)
{
    vtd_legacy_use_table(l, 0, DID);
    vtd_guest_post_cc(&l->t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
    vtd_legacy_flush(l);
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, SHADOW);
}

/* Many mappings take turns with the main loop, all come before the wait */
static void test_large(void)
{
    uint64_t maps, unmaps;
    size_t mark;
    VtdLegacy l;

    if (!start_large(&l)) {
        return;
    }
    maps = fakehost_calls(l.t.host, "IOMMU_IOAS_COPY");
    mark = fakehost_err_mark(l.t.host);
    map_large(&l);
    g_assert_cmpuint(fakehost_calls(l.t.host, "IOMMU_IOAS_COPY") - maps, ==,
                     LARGE_PAGES + 1);
    g_assert_cmpuint(pieces(&l, mark), >=, 5);

    /* Gone by one call for each piece */
    mark = fakehost_err_mark(l.t.host);
    unmaps = fakehost_calls(l.t.host, "IOMMU_IOAS_UNMAP");
    vtd_legacy_write_entry(&l, LARGE_BASE, 3, 0);
    vtd_legacy_flush(&l);
    expect_maps(&l, 0, "");
    g_assert_cmpuint(pieces(&l, mark), >=, 2);
    g_assert_cmpuint(fakehost_calls(l.t.host, "IOMMU_IOAS_UNMAP") - unmaps, ==,
                     pieces(&l, mark) + 1);
    fakehost_free(l.t.host);
}

typedef struct Leave {
    const char *name;
    void (*leave)(VtdLegacy *l);
    VtdLegacyState state;
} Leave;

static void leave_context(VtdLegacy *l)
{
    vtd_legacy_write_context(l, 0, 0, 0);
    vtd_guest_post_cc(&l->t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
    vtd_guest_ring(&l->t.guest);
    expect_shadows(l, 0);
}

static void leave_unplug(VtdLegacy *l)
{
    fakehost_unplug(l->t.host, 0);
    fakehost_expect_empty(l->t.host);
}

static void leave_reset(VtdLegacy *l)
{
    fakehost_reset(l->t.host);
    expect_shadows(l, 0);
}

static const Leave leaves[] = {
    { "context-removed", leave_context, BLOCKED },
    { "unplugged", leave_unplug, BLOCKED },
    { "machine-reset", leave_reset, S2 },
};

/* A large copy is gone for the host at once, and for QEMU piece by piece */
static void test_leave_large(const void *data)
{
    const Leave *c = data;
    size_t mark;
    VtdLegacy l;

    if (!start_large(&l)) {
        return;
    }
    map_large(&l);
    mark = fakehost_err_mark(l.t.host);
    c->leave(&l);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, c->state);
    FAKEHOST_AWAIT(l.t.host, pieces(&l, mark) >= 2);
    fakehost_free(l.t.host);
}

/* A command by register that is not complete yet; nothing goes on by itself */
static void begin_by_register(VtdLegacy *l)
{
    VtdGuest *g = &l->t.guest;

    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    vtd_legacy_use_table(l, 0, DID);
    qtest_qmp_assert_success(l->t.host->qts, "{ 'execute': 'stop' }");
    vtd_guest_writeq(g, DMAR_CCMD_REG, VTD_CCMD_ICC | VTD_CCMD_DEVICE_INVL |
                     (uint64_t)fakehost_sid(0) << 16 | DID);
    g_assert_true(vtd_guest_readq(g, DMAR_CCMD_REG) & VTD_CCMD_ICC);
}

static void end_by_register(VtdLegacy *l)
{
    VtdGuest *g = &l->t.guest;

    qtest_qmp_assert_success(l->t.host->qts, "{ 'execute': 'cont' }");
    QTEST_AWAIT(!(vtd_guest_readq(g, DMAR_CCMD_REG) & VTD_CCMD_ICC));
    g_assert_false(vtd_guest_readq(g, DMAR_IOTLB_REG) & VTD_TLB_IVT);
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, SHADOW);
}

/* The guest turns its queue on, and the command has its end all the same */
static void test_large_before_queue(void)
{
    VtdLegacy l;

    if (!start_large(&l)) {
        return;
    }
    begin_by_register(&l);
    vtd_guest_gcmd(&l.t.guest, VTD_GCMD_QIE, true);
    end_by_register(&l);
    fakehost_free(l.t.host);
}

/* By registers; a page changes that the copy has passed already */
static void test_large_by_register(void)
{
    g_autofree char *first = g_strdup_printf("%llx+1000>%llx:rw ", LARGE_BASE,
                                             PAGE2);
    g_autofree char *mappings = NULL;
    unsigned num = 0;
    uint64_t maps;
    VtdLegacy l;
    VtdGuest *g = &l.t.guest;

    if (!start_large(&l)) {
        return;
    }
    maps = fakehost_calls(l.t.host, "IOMMU_IOAS_COPY");
    begin_by_register(&l);
    maps = fakehost_calls(l.t.host, "IOMMU_IOAS_COPY") - maps;
    g_assert_cmpuint(maps, >, 1);
    g_assert_cmpuint(maps, <, LARGE_PAGES);

    vtd_legacy_write_entry(&l, LARGE_BASE, 1, PAGE2 | LEGACY_RW);
    vtd_guest_writeq(g, DMAR_IVA_REG, LARGE_BASE);
    vtd_guest_writeq(g, DMAR_IOTLB_REG, VTD_TLB_IVT | VTD_TLB_PSI_FLUSH |
                     (uint64_t)DID << 32);
    g_assert_true(vtd_guest_readq(g, DMAR_IOTLB_REG) & VTD_TLB_IVT);
    end_by_register(&l);

    mappings = vtd_legacy_mappings(&l, 0);
    g_assert_nonnull(strstr(mappings, first));
    for (char *c = mappings; *c; c++) {
        num += *c == ' ';
    }
    g_assert_cmpuint(num, ==, LARGE_PAGES + 1);
    fakehost_free(l.t.host);
}

/* Map and unmap for ever: nothing grows */
static void test_map_unmap_rounds(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    prepare_shadow(&l);
    for (unsigned i = 0; i < 500; i++) {
        uint64_t iova = 0x100000 + (i % 7) * 0x1000;

        vtd_legacy_write_entry(&l, iova, 1, PAGE2 | LEGACY_RW);
        flush_page(&l, iova);
        vtd_legacy_write_entry(&l, iova, 1, 0);
        flush_page(&l, iova);
    }
    expect_maps(&l, 0, MAPS_ONE);
    expect_shadows(&l, 1);
    fakehost_free(l.t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/vtd-accel/legacy/sweep", sweeps, test_sweep);
    qtest_add_func("/vtd-accel/legacy/sweep/unplug_eio", test_unplug_sweep);
    qtest_add_func("/vtd-accel/legacy/unmap-refused_new-copy",
                   test_unmap_refused);
    qtest_add_func("/vtd-accel/legacy/device-in-reset_retried",
                   test_device_in_reset);
    qtest_add_func("/vtd-accel/legacy/stuck-unplug_freed",
                   test_stuck_unplug_freed);
    qtest_add_func("/vtd-accel/legacy/log_limited", test_log_is_limited);
    qtest_add_func("/vtd-accel/legacy/devices/one-domain_shared", test_shared);
    qtest_add_func("/vtd-accel/legacy/devices/two-units_own-copies",
                   test_two_units);
    qtest_add_func("/vtd-accel/legacy/devices/plugged-into-it_copies",
                   test_plug_into_legacy);
    qtest_add_func("/vtd-accel/legacy/pasids_go-and-come", test_pasids);
    qtest_add_func("/vtd-accel/legacy/no-erratum_same", test_no_erratum);
    qtest_add_func("/vtd-accel/legacy/migration_blocked", test_migration);
    qtest_add_cases("/vtd-accel/legacy/hostile", hostiles, test_hostile);
    qtest_add_func("/vtd-accel/legacy/large_in-pieces", test_large);
    qtest_add_cases("/vtd-accel/legacy/large/left", leaves, test_leave_large);
    qtest_add_func("/vtd-accel/legacy/large_by-register",
                   test_large_by_register);
    qtest_add_func("/vtd-accel/legacy/large_by-register-before-queue",
                   test_large_before_queue);
    qtest_add_func("/vtd-accel/legacy/hostile/map-unmap_nothing-grows",
                   test_map_unmap_rounds);
    return g_test_run();
}
