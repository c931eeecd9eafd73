/*
 * QTest: what the accelerated VT-d says of its host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "qobject/qlist.h"
#include "viommu/query.h"
#include "vtd-accel-legacy.h"

#define DID             5
#define PASID           7
#define MANY            100     /* PASIDs, more than are listed */
#define LISTED          64      /* bindings of one device */
#define OBJECTS_LISTED  1024
#define EAFE            "PASID entry enables extended access flags"
#define STUCK           "cannot block its DMA"

/* Scalable-mode context entry with requests with PASID (VT-d 9.4) */
#define CE_PASIDE       (1ull << 3)

/* --- no device --- */

static QList *query_without_host(const char *args)
{
    QTestState *qts = qtest_initf("-nodefaults %s", args);
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-viommu' }");
    QList *list = qobject_ref(qdict_get_qlist(response, "return"));
    g_autofree char *text = qtest_hmp(qts, "info viommu");

    fakehost_expect_text(text, qlist_empty(list) ? "No vIOMMU" : "intel-iommu");
    qobject_unref(response);
    qtest_quit(qts);
    return list;
}

static void test_none(void)
{
    QList *list = query_without_host("-M q35");

    g_assert_true(qlist_empty(list));
    qobject_unref(list);
}

/* Nothing was counted, and other targets do not concern a vIOMMU */
static void test_no_stats(void)
{
    QTestState *qts = qtest_init("-nodefaults -M q35 -device intel-iommu");
    static const char *const targets[] = { "viommu", "vm", "vcpu" };

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        QDict *response = qtest_qmp(qts, "{ 'execute': 'query-stats',"
                                    " 'arguments': { 'target': %s } }",
                                    targets[i]);

        g_assert_true(qlist_empty(qdict_get_qlist(response, "return")));
        qobject_unref(response);
    }
    qtest_quit(qts);
}

static void test_off(void)
{
    QList *list = query_without_host("-M q35 -device intel-iommu");
    QDict *info = qobject_to(QDict, qlist_peek(list));

    g_assert_cmpuint(qlist_size(list), ==, 1);
    g_assert_cmpstr(qdict_get_str(info, "model"), ==, "intel-iommu");
    g_assert_cmpstr(qdict_get_str(info, "mode"), ==, "off");
    g_assert_false(qdict_get_bool(info, "accelerated"));
    g_assert_true(qlist_empty(qdict_get_qlist(info, "devices")));
    g_assert_true(qlist_empty(qdict_get_qlist(info, "objects")));
    qobject_unref(list);
}

/* A machine that is not there yet has nothing to tell */
static void test_preconfig(void)
{
    QTestState *qts = qtest_init("-nodefaults -M q35 -device intel-iommu "
                                 "--preconfig");
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-viommu' }");
    QDict *error = qdict_get_qdict(response, "error");

    g_assert_nonnull(error);
    qobject_unref(response);
    qtest_qmp_assert_success(qts, "{ 'execute': 'x-exit-preconfig' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'query-viommu' }");
    qtest_quit(qts);
}

/* --- states --- */

static bool start(VtdAccelTest *t, unsigned devices, uint64_t *dir)
{
    VtdAccelSetup setup = { .devices = devices };

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    if (dir) {
        *dir = vtd_guest_add_context(&t->guest, fakehost_sid(0), 0);
        vtd_guest_enable(&t->guest);
    }
    return true;
}

/* Write the entry for requests without PASID, and say so */
static void set_entry(VtdAccelTest *t, uint64_t dir, VtdPasidEntry entry)
{
    vtd_guest_write_pasid(&t->guest, dir, 0, &entry);
    vtd_guest_flush_pasid_cache(&t->guest);
}

static VtdPasidEntry eafe_entry(void)
{
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);

    entry.flags |= VTD_PE_EAFE;
    return entry;
}

static void test_states(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, NULL)) {
        return;
    }
    viommu_expect_mode(t.host, "off");
    viommu_expect(t.host, 0, NO_PASID, "stage-2", NULL);
    viommu_expect_objects(t.host);

    dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);
    vtd_guest_enable(&t.guest);
    viommu_expect_mode(t.host, "scalable");
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    viommu_expect_objects(t.host);
    set_entry(&t, dir, vtd_accel_pt_entry(DID));
    viommu_expect(t.host, 0, NO_PASID, "stage-2", NULL);
    set_entry(&t, dir, eafe_entry());
    viommu_expect(t.host, 0, NO_PASID, "blocked", EAFE);
    viommu_expect_objects(t.host);
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    fakehost_free(t.host);
}

static int64_t counter(VtdAccelTest *t, const char *name)
{
    QDict *info = viommu_query(t->host);
    int64_t value = qdict_get_int(qdict_get_qdict(info, "counters"), name);

    qobject_unref(info);
    return value;
}

static uint64_t map_calls(VtdAccelTest *t)
{
    return fakehost_calls(t->host, "IOMMU_IOAS_MAP") +
           fakehost_calls(t->host, "IOMMU_IOAS_COPY") +
           fakehost_calls(t->host, "IOMMU_IOAS_UNMAP");
}

static void test_shadow(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    ViommuCounts vfio;
    uint64_t calls;
    VtdLegacy l;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    vfio = viommu_host_counts(l.t.host);
    calls = map_calls(&l.t);
    vtd_legacy_write_entry(&l, 0x10000, 1, 0x300000 | LEGACY_RW);
    vtd_legacy_use_table(&l, 0, DID);
    vtd_legacy_enter(&l);
    vtd_legacy_flush(&l);
    viommu_expect_mode(l.t.host, "legacy");
    viommu_expect(l.t.host, 0, NO_PASID, "shadow", NULL);
    viommu_expect_objects(l.t.host);
    viommu_expect_stats(l.t.host);
    g_assert_cmpint(counter(&l.t, "shadow-entries"), ==, 1);
    g_assert_cmpint(counter(&l.t, "shadow-calls"), ==, map_calls(&l.t) - calls);

    /* One goes, two come, of which the host refuses the second */
    vtd_legacy_write_entry(&l, 0x10000, 1, 0);
    vtd_legacy_write_entry(&l, 0x20000, 1, 0x340000 | LEGACY_RW);
    vtd_legacy_write_entry(&l, 0x40000, 1, 0x380000 | LEGACY_RW);
    fakehost_fail(l.t.host, "IOAS_COPY", 2, 1, ENOMEM, 0);
    vtd_legacy_flush(&l);
    g_assert_cmpint(counter(&l.t, "refused"), >=, 1);
    g_assert_cmpint(counter(&l.t, "shadow-calls"), ==, map_calls(&l.t) - calls);
    viommu_expect_counts(l.t.host, &vfio);
    /* Neither is there a copy of the tables then, nor can there be one */
    fakehost_fail(l.t.host, "HWPT_ALLOC", 1, 0, ENOMEM, 0);
    vtd_legacy_use_table(&l, 0, DID + 1);
    vtd_guest_post_cc(&l.t.guest, VTD_CC_GLOBAL, 0, 0);
    vtd_legacy_flush(&l);
    viommu_expect(l.t.host, 0, NO_PASID, "blocked", "cannot shadow");
    viommu_expect_counts(l.t.host, &vfio);
    fakehost_free(l.t.host);
}

static void expect_blocked(VtdAccelTest *t, unsigned num)
{
    QDict *info = viommu_query(t->host);
    QDict *device = viommu_device(info, 0);

    g_assert_cmpuint(qdict_get_int(device, "blocked-count"), ==, num);
    qobject_unref(info);
}

/* The guest takes the entry away, and the host does not block the device */
static void test_stuck(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, &dir)) {
        return;
    }
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
    vtd_guest_ring(&t.guest);
    viommu_expect(t.host, 0, NO_PASID, "stuck", STUCK);
    viommu_expect_event(t.host, 0, "stuck", NO_PASID, STUCK);
    viommu_expect_objects(t.host);
    expect_blocked(&t, 1);
    viommu_expect_no_event(t.host);
    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, fakehost_is_blocked(t.host, fakehost_dev(0)));
    /* The guest wanted that */
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, STUCK);
    expect_blocked(&t, 0);
    viommu_expect_no_event(t.host);
    fakehost_free(t.host);
}

static void test_capabilities(void)
{
    VtdAccelTest t;
    QDict *info, *device;

    if (!start(&t, 1, NULL)) {
        return;
    }
    info = viommu_query(t.host);
    device = viommu_device(info, 0);
    /* Each of them is in HOST_CAP, and none in what the guest is told */
    g_assert_cmpint(viommu_capability(device, "first-stage-1g-pages"), ==, 1);
    g_assert_cmpint(viommu_capability(device, "supervisor-requests"), ==, 1);
    g_assert_cmpint(viommu_capability(device, "first-stage-5-levels"), ==, 0);
    g_assert_cmpint(viommu_capability(info, "first-stage-5-levels"), ==, 0);
    g_assert_cmpint(viommu_capability(info, "pasid-bits"), ==, 0);
    qobject_unref(info);
    fakehost_free(t.host);
}

/* Two devices share what is theirs, which is listed once */
static void test_shared(void)
{
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdAccelTest t;
    QDict *info;

    if (!start(&t, 2, NULL)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    vtd_accel_bind(&t, 1, &entry);
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    viommu_expect(t.host, 1, NO_PASID, "stage-1", NULL);
    viommu_expect_objects(t.host);
    info = viommu_query(t.host);
    g_assert_cmpint(qdict_get_int(viommu_object(info, "hwpt-s1"), "users"), ==,
                    2);
    qobject_unref(info);
    fakehost_free(t.host);
}

/* --- counters --- */

static void test_counters(void)
{
    ViommuCounts vfio;
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, NULL)) {
        return;
    }
    vfio = viommu_host_counts(t.host);
    dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);
    vtd_guest_enable(&t.guest);
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    viommu_expect_counts(t.host, &vfio);
    g_assert_cmpint(counter(&t, "attaches"), ==, 1);

    /* Two pages that make a block, and one that does not */
    g_assert_cmpint(counter(&t, "descriptors"), ==, 0);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x2000, 0, false);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x3000, 0, false);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x9000, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpint(counter(&t, "descriptors"), ==, 3);
    g_assert_cmpint(counter(&t, "ioctls"), ==, 1);
    g_assert_cmpint(counter(&t, "entries"), ==, 2);
    g_assert_cmpint(counter(&t, "merged"), ==, 1);
    vtd_guest_post_iotlb(&t.guest, VTD_IOTLB_GLOBAL, 0, 0, 0);
    vtd_guest_post_iotlb(&t.guest, VTD_IOTLB_DOMAIN, DID, 0, 0);
    vtd_guest_sync(&t.guest);
    g_assert_cmpint(counter(&t, "descriptors"), ==, 5);
    viommu_expect_counts(t.host, &vfio);

    /* A refusal of each kind */
    fakehost_fail_next(t.host, "HWPT_ALLOC", EINVAL);
    set_entry(&t, dir, vtd_accel_fs_entry(DID + 1));
    viommu_expect(t.host, 0, NO_PASID, "blocked", "host refuses first-stage");
    g_assert_cmpint(counter(&t, "refused"), ==, 1);
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    viommu_expect_counts(t.host, &vfio);
    fakehost_fail_next(t.host, "HWPT_INVALIDATE", EIO);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PASID, DID, 0, 0, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpint(counter(&t, "refused"), ==, 2);
    fakehost_fail_next(t.host, "ATTACH_IOMMUFD_PT", EIO);
    set_entry(&t, dir, vtd_accel_pt_entry(DID));
    viommu_expect(t.host, 0, NO_PASID, "blocked", "cannot attach its stage-2");
    g_assert_cmpint(counter(&t, "refused"), ==, 3);
    viommu_expect_counts(t.host, &vfio);
    g_assert_cmpint(counter(&t, "retries"), ==, 0);
    g_assert_cmpint(counter(&t, "events"), ==, 0);
    viommu_expect_stats(t.host);
    fakehost_free(t.host);
}

/* A device in reset is tried again, and each time is counted */
static void test_retries(void)
{
    struct FakehostDevice *dev;
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, &dir)) {
        return;
    }
    dev = fakehost_device(t.host, fakehost_dev(0));
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    viommu_expect(t.host, 0, NO_PASID, "blocked", "cannot attach its first");
    viommu_expect_event(t.host, 0, "blocked", NO_PASID,
                        "cannot attach its first");
    QTEST_AWAIT(counter(&t, "retries") >= 3);
    viommu_expect_no_event(t.host);
    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    viommu_expect_event(t.host, 0, NULL, NO_PASID, "cannot attach its first");
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    fakehost_free(t.host);
}

/* --- PASIDs --- */

static bool start_pasids(VtdAccelTest *t, unsigned devices, unsigned bits,
                         const char *args, uint64_t *dir)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                        PRIx64 "\ndevice dev0 iommu=iommu0 pasid-bits=20\n"
                        "device dev1 iommu=iommu0 pasid-bits=20\n",
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    g_autofree char *props = g_strdup_printf(VTD_ACCEL_PROPS ",pasid-bits=%u"
                                             ",max-host-domains=4096",
                                             bits);
    VtdAccelSetup setup = {
        .devices = devices, .host = host, .iommu_props = props, .args = args,
    };
    VtdPasidEntry rid = vtd_accel_pt_entry(1);
    uint64_t context;

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    *dir = vtd_guest_add_context(&t->guest, fakehost_sid(0), 0);
    context = vtd_guest_context(&t->guest, fakehost_sid(0));
    /* As large a directory as PASIDs of that width need: the next pages */
    for (uint64_t entries = 512; entries < 1ull << (bits - 6); entries += 512) {
        vtd_guest_alloc(&t->guest);
    }
    qtest_writeq(t->guest.qts, context, qtest_readq(t->guest.qts, context) |
                 CE_PASIDE | (uint64_t)(MAX(bits, 13) - 13) << 9);
    vtd_guest_write_pasid(&t->guest, *dir, 0, &rid);
    vtd_guest_enable(&t->guest);
    vtd_accel_expect_s2(t, 0);
    return true;
}

static void expect_bindings(VtdAccelTest *t, unsigned listed, unsigned num)
{
    QDict *info = viommu_query(t->host);
    QDict *device = viommu_device(info, 0);

    g_assert_cmpuint(qlist_size(qdict_get_qlist(device, "bindings")), ==,
                     listed);
    g_assert_cmpuint(qdict_get_int(device, "binding-count"), ==, num);
    qobject_unref(info);
}

static void test_pasids(void)
{
    VtdPasidEntry pt = vtd_accel_pt_entry(1), fs = vtd_accel_fs_entry(DID);
    VtdPasidEntry bad = eafe_entry();
    VtdAccelTest t;
    uint64_t dir;

    if (!start_pasids(&t, 1, 8, NULL, &dir)) {
        return;
    }
    vtd_guest_write_pasid(&t.guest, dir, PASID, &fs);
    vtd_guest_write_pasid(&t.guest, dir, PASID + 1, &pt);
    vtd_guest_write_pasid(&t.guest, dir, PASID + 2, &bad);
    vtd_guest_flush_pasid_cache(&t.guest);
    viommu_expect(t.host, 0, NO_PASID, "stage-2", NULL);
    viommu_expect(t.host, 0, PASID, "stage-1", NULL);
    viommu_expect(t.host, 0, PASID + 1, "stage-2", NULL);
    viommu_expect(t.host, 0, PASID + 2, "blocked", EAFE);
    viommu_expect_event(t.host, 0, "blocked", PASID + 2, EAFE);
    expect_bindings(&t, 4, 4);
    viommu_expect_objects(t.host);

    /* A reason goes with the entry, however that is announced */
    vtd_guest_clear_pasid(&t.guest, dir, PASID + 2);
    vtd_guest_flush_pasid_cache(&t.guest);
    viommu_expect_event(t.host, 0, NULL, PASID + 2, EAFE);
    expect_bindings(&t, 3, 3);
    vtd_guest_write_pasid(&t.guest, dir, PASID, &bad);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, PASID);
    vtd_guest_sync(&t.guest);
    viommu_expect(t.host, 0, PASID, "blocked", EAFE);
    viommu_expect_event(t.host, 0, "blocked", PASID, EAFE);
    vtd_guest_set_translation(&t.guest, false);
    viommu_expect_event(t.host, 0, NULL, PASID, EAFE);
    expect_bindings(&t, 1, 1);
    fakehost_free(t.host);
}

/* The PASID of binding @index in the answer */
static int64_t listed(VtdAccelTest *t, unsigned index)
{
    QDict *info = viommu_query(t->host);
    QDict *device = viommu_device(info, 0);
    const QListEntry *entry = qlist_first(qdict_get_qlist(device, "bindings"));
    int64_t pasid;

    while (index--) {
        entry = qlist_next(entry);
    }
    pasid = qdict_get_try_int(qobject_to(QDict, qlist_entry_obj(entry)),
                              "pasid", NO_PASID);
    qobject_unref(info);
    return pasid;
}

/* What is not as the guest wants it comes before what is */
static void test_pasids_stuck(void)
{
    VtdPasidEntry pt = vtd_accel_pt_entry(1), bad = eafe_entry();
    VtdAccelTest t;
    uint64_t dir;

    if (!start_pasids(&t, 1, 8, NULL, &dir)) {
        return;
    }
    for (unsigned i = 1; i <= MANY; i++) {
        vtd_guest_write_pasid(&t.guest, dir, i, &pt);
    }
    vtd_guest_write_pasid(&t.guest, dir, MANY - 1, &bad);
    vtd_guest_flush_pasid_cache(&t.guest);
    viommu_expect_event(t.host, 0, "blocked", MANY - 1, EAFE);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_clear_pasid(&t.guest, dir, MANY);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, 1, MANY);
    vtd_guest_ring(&t.guest);
    viommu_expect_event(t.host, 0, "stuck", MANY, STUCK);
    viommu_expect(t.host, 0, MANY, "stuck", STUCK);
    viommu_expect(t.host, 0, MANY - 1, "blocked", EAFE);
    g_assert_cmpint(listed(&t, 0), ==, NO_PASID);
    g_assert_cmpint(listed(&t, 1), ==, MANY);
    g_assert_cmpint(listed(&t, 2), ==, MANY - 1);
    g_assert_cmpint(listed(&t, 3), ==, 1);
    expect_blocked(&t, 2);
    expect_bindings(&t, LISTED, MANY + 1);

    /* It is to be blocked, now for another reason, which counts once */
    vtd_guest_write_pasid(&t.guest, dir, MANY, &bad);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, 1, MANY);
    vtd_guest_ring(&t.guest);
    viommu_expect(t.host, 0, MANY, "stuck", STUCK);
    expect_blocked(&t, 2);
    expect_bindings(&t, LISTED, MANY + 1);
    viommu_expect_no_event(t.host);
    fakehost_clear_rules(t.host);
    viommu_expect_event(t.host, 0, "blocked", MANY, EAFE);
    viommu_expect(t.host, 0, MANY, "blocked", EAFE);
    expect_blocked(&t, 2);
    expect_bindings(&t, LISTED, MANY + 1);
    fakehost_free(t.host);
}

/* Whatever a guest binds, an answer stays short, and so do the books */
static void test_many(const void *data)
{
    bool good = data;
    VtdPasidEntry entry = good ? vtd_accel_pt_entry(1) : eafe_entry();
    VtdAccelTest t;
    uint64_t dir;

    if (!start_pasids(&t, 1, 8, NULL, &dir)) {
        return;
    }
    for (unsigned i = 1; i <= MANY; i++) {
        vtd_guest_write_pasid(&t.guest, dir, i, &entry);
    }
    vtd_guest_flush_pasid_cache(&t.guest);
    expect_bindings(&t, LISTED, MANY + 1);
    expect_blocked(&t, good ? 0 : MANY);
    if (!good) {
        /* The first one at once, the last one after a second */
        viommu_expect_event(t.host, 0, "blocked", 1, EAFE);
        viommu_expect_event(t.host, 0, "blocked", LISTED, EAFE);
        viommu_expect_no_event(t.host);
        /* Requests without PASID are told of all the same, and at once */
        vtd_guest_write_pasid(&t.guest, dir, 0, &entry);
        vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
        vtd_guest_sync(&t.guest);
        viommu_expect(t.host, 0, NO_PASID, "blocked", EAFE);
        viommu_expect_event(t.host, 0, "blocked", NO_PASID, EAFE);
        expect_blocked(&t, MANY + 1);
        expect_bindings(&t, LISTED, MANY + 1);
        entry = vtd_accel_pt_entry(1);
        vtd_guest_write_pasid(&t.guest, dir, 0, &entry);
        vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
        vtd_guest_sync(&t.guest);
        viommu_expect_event(t.host, 0, NULL, NO_PASID, EAFE);
    }

    /* Those that had no room are counted, and shown, when others have gone */
    for (unsigned i = 1; i < MANY; i++) {
        vtd_guest_clear_pasid(&t.guest, dir, i);
    }
    vtd_guest_flush_pasid_cache(&t.guest);
    expect_bindings(&t, 2, 2);
    expect_blocked(&t, !good);
    viommu_expect(t.host, 0, MANY, good ? "stage-2" : "blocked",
                  good ? NULL : EAFE);
    vtd_guest_clear_pasid(&t.guest, dir, MANY);
    vtd_guest_flush_pasid_cache(&t.guest);
    expect_bindings(&t, 1, 1);
    expect_blocked(&t, 0);
    fakehost_free(t.host);
}

static void flush_in_pieces(VtdGuest *g)
{
    vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
    vtd_guest_post_wait(g);
    vtd_guest_ring(g);
    QTEST_AWAIT(vtd_guest_waited(g));
}

/* An answer has so many objects; what is left out is counted, and once */
static void test_objects_many(void)
{
    enum { PASIDS = 1100 };
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    g_autofree char *text = NULL;
    uint64_t dir, entry;
    QDict *info;

    if (!start_pasids(&t, 2, 20, NULL, &dir)) {
        return;
    }
    for (unsigned i = 1; i <= PASIDS; i++) {
        VtdPasidEntry fs = vtd_accel_fs_entry(DID + i);

        vtd_guest_write_pasid(g, dir, i, &fs);
    }
    flush_in_pieces(g);
    /* Its context has the same directory, hence its PASIDs the same HWPTs */
    entry = qtest_readq(g->qts, vtd_guest_context(g, fakehost_sid(0)));
    qtest_writeq(g->qts, vtd_guest_context(g, fakehost_sid(1)), entry);
    flush_in_pieces(g);
    vtd_accel_expect_s1_hwpts(&t, PASIDS);

    info = viommu_query(t.host);
    /* The IOAS and the stage 2 are two more */
    g_assert_cmpint(qdict_get_int(info, "object-count"), ==, PASIDS + 2);
    g_assert_cmpuint(qlist_size(qdict_get_qlist(info, "objects")), ==,
                     OBJECTS_LISTED);
    qobject_unref(info);
    text = qtest_hmp(t.host->qts, "info viommu");
    fakehost_expect_text(text, "and 78 more");
    fakehost_free(t.host);
}

/* To find a reason takes time, in which the guest's own work goes on */
static void test_reasons_in_pieces(void)
{
    enum { TABLES = 8192 };
    VtdPasidEntry bad = eafe_entry();
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dir, table;

    if (!start_pasids(&t, 1, 20, "-trace vtd_accel_queue_yield", &dir)) {
        return;
    }
    vtd_guest_write_pasid(g, dir, 64, &bad);
    table = qtest_readq(g->qts, dir + 8);
    for (unsigned i = 2; i <= TABLES; i++) {
        qtest_writeq(g->qts, dir + i * 8, table);
    }
    flush_in_pieces(g);
    expect_blocked(&t, TABLES);
    /* Each reason is as much work as a call, of which a piece has 2048 */
    g_assert_cmpuint(fakehost_err_lines(t.host, 0, "vtd_accel_queue_yield"),
                     >=, TABLES / 2048);
    fakehost_free(t.host);
}

#define PDTS            (7ull << 9)     /* size of a directory */

typedef struct Gone {
    const char *name;
    void (*take)(VtdGuest *g, uint64_t dir);
} Gone;

/* All tables but the first one are the same */
static void take_entries(VtdGuest *g, uint64_t dir)
{
    qtest_memset(g->qts, qtest_readq(g->qts, dir + 8) & ~0xfffull, 0, 4096);
}

static void take_tables(VtdGuest *g, uint64_t dir)
{
    qtest_memset(g->qts, dir + 8, 0, 8 * 4096);
}

static void take_directory(VtdGuest *g, uint64_t dir)
{
    uint64_t context = vtd_guest_context(g, fakehost_sid(0));

    /* A short one, with nothing in it */
    qtest_memset(g->qts, dir + 8, 0, 8 * 127);
    qtest_writeq(g->qts, context, qtest_readq(g->qts, context) & ~PDTS);
    vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(0));
}

static const Gone gone[] = {
    { "entries", take_entries },
    { "tables", take_tables },
    { "directory", take_directory },
};

/* Reasons that were too many to be kept are forgotten in pieces, too */
static void test_reasons_gone(const void *data)
{
    enum { TABLES = 2048 };
    const Gone *c = data;
    VtdPasidEntry bad = eafe_entry();
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dir, table;
    size_t mark;

    if (!start_pasids(&t, 1, 20, "-trace vtd_accel_queue_yield", &dir)) {
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        vtd_guest_write_pasid(g, dir, 64 + i, &bad);
    }
    table = qtest_readq(g->qts, dir + 8);
    for (unsigned i = 2; i <= TABLES; i++) {
        qtest_writeq(g->qts, dir + i * 8, table);
    }
    flush_in_pieces(g);
    expect_blocked(&t, TABLES * 64);

    mark = fakehost_err_mark(t.host);
    c->take(g, dir);
    flush_in_pieces(g);
    expect_blocked(&t, 0);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "vtd_accel_queue_yield"),
                     >=, TABLES * 64 / 32768 - 1);
    fakehost_free(t.host);
}

/* --- events --- */

static void test_events(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, &dir)) {
        return;
    }
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    viommu_expect_no_event(t.host);

    set_entry(&t, dir, eafe_entry());
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, EAFE);
    set_entry(&t, dir, eafe_entry());
    viommu_expect_no_event(t.host);
    set_entry(&t, dir, vtd_accel_fs_entry(DID));
    viommu_expect_event(t.host, 0, NULL, NO_PASID, EAFE);
    viommu_expect_no_event(t.host);

    /* What the host refuses, and is given in the end */
    fakehost_fail_next(t.host, "ATTACH_IOMMUFD_PT", EINVAL);
    set_entry(&t, dir, vtd_accel_pt_entry(DID));
    viommu_expect_event(t.host, 0, "blocked", NO_PASID,
                        "cannot attach its stage-2");
    set_entry(&t, dir, vtd_accel_pt_entry(DID));
    viommu_expect_event(t.host, 0, NULL, NO_PASID,
                        "cannot attach its stage-2");
    viommu_expect_no_event(t.host);
    fakehost_free(t.host);
}

/* The clock stands still: what is to come now came before the last answer */
static void expect_event_now(VtdAccelTest *t, int64_t pasid)
{
    QDict *event = qtest_qmp_event_ref(t->host->qts, "VIOMMU_DEVICE_BLOCKED");

    g_assert_nonnull(event);
    g_assert_cmpint(qdict_get_try_int(qdict_get_qdict(event, "data"), "pasid",
                                      NO_PASID), ==, pasid);
    qobject_unref(event);
}

/* However often it changes in a second, the last event tells how things are */
static void test_events_limited(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, &dir)) {
        return;
    }
    for (unsigned i = 0; i < 10; i++) {
        set_entry(&t, dir, eafe_entry());
        set_entry(&t, dir, vtd_accel_fs_entry(DID));
    }
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, EAFE);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, EAFE);
    viommu_expect_no_event(t.host);
    fakehost_free(t.host);
}

/*
 * Those with PASID share a limit, and do not use up that of the others: in one
 * second there is one of each, and the next tells of the last that changed.
 */
static void test_events_of_pasids(void)
{
    VtdPasidEntry bad = eafe_entry();
    VtdAccelTest t;
    uint64_t dir;

    if (!start_pasids(&t, 1, 8, NULL, &dir)) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        /* The second one is that of requests without PASID */
        vtd_guest_write_pasid(&t.guest, dir, i == 1 ? 0 : PASID + i, &bad);
        vtd_guest_flush_pasid_cache(&t.guest);
    }
    expect_blocked(&t, 3);
    expect_event_now(&t, PASID);
    expect_event_now(&t, NO_PASID);
    g_assert_null(qtest_qmp_event_ref(t.host->qts, "VIOMMU_DEVICE_BLOCKED"));
    qtest_clock_step(t.host->qts, 1000000000);
    expect_blocked(&t, 3);
    expect_event_now(&t, PASID + 2);
    viommu_expect_no_event(t.host);
    fakehost_free(t.host);
}

/* A device that goes away leaves no event behind, and may come back */
static void test_unplug(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, &dir)) {
        return;
    }
    set_entry(&t, dir, eafe_entry());
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, EAFE);
    fakehost_unplug(t.host, 0);
    viommu_expect_no_event(t.host);
    fakehost_set_power(t.host, 0, true);
    fakehost_plug(t.host, 0);
    viommu_expect(t.host, 0, NO_PASID, "blocked", EAFE);
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, EAFE);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vtd-accel/query/no-viommu_empty", test_none);
    qtest_add_func("/vtd-accel/query/flts-off_no-devices", test_off);
    qtest_add_func("/vtd-accel/query/flts-off_no-stats", test_no_stats);
    qtest_add_func("/vtd-accel/query/preconfig_refused", test_preconfig);
    qtest_add_func("/vtd-accel/query/states", test_states);
    qtest_add_func("/vtd-accel/query/legacy_shadow", test_shadow);
    qtest_add_func("/vtd-accel/query/stuck_reason", test_stuck);
    qtest_add_func("/vtd-accel/query/capabilities", test_capabilities);
    qtest_add_func("/vtd-accel/query/shared_listed-once", test_shared);
    qtest_add_func("/vtd-accel/query/counters_exact", test_counters);
    qtest_add_func("/vtd-accel/query/retries_counted", test_retries);
    qtest_add_func("/vtd-accel/query/pasids", test_pasids);
    qtest_add_func("/vtd-accel/query/pasids-stuck_first", test_pasids_stuck);
    qtest_add_data_func("/vtd-accel/query/pasids-many_bounded", "good",
                        test_many);
    qtest_add_data_func("/vtd-accel/query/pasids-many-bad_bounded", NULL,
                        test_many);
    qtest_add_func("/vtd-accel/query/events", test_events);
    qtest_add_func("/vtd-accel/query/events_limited", test_events_limited);
    qtest_add_func("/vtd-accel/query/events-of-pasids_limited-apart",
                   test_events_of_pasids);
    qtest_add_func("/vtd-accel/query/objects-many_bounded", test_objects_many);
    qtest_add_func("/vtd-accel/query/reasons-many_in-pieces",
                   test_reasons_in_pieces);
    qtest_add_cases("/vtd-accel/query/reasons-gone_in-pieces", gone,
                    test_reasons_gone);
    qtest_add_func("/vtd-accel/query/unplug_no-event", test_unplug);
    return g_test_run();
}
