/*
 * QTest: several devices behind an accelerated VT-d, coming and going
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vtd-accel-common.h"

#define DID         5
#define ROUNDS      10

/* One IOAS, one S2 HWPT, and memory is mapped no more than once */
static void expect_shared_s2(VtdAccelTest *t, uint64_t maps, uint64_t bytes)
{
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_IOAS), ==, 1);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     1);
    g_assert_cmpuint(fakehost_calls(t->host, "IOMMU_IOAS_MAP"), ==, maps);
    g_assert_cmpuint(t->host->page->mapped_bytes, ==, bytes);
}

static void test_shared_s2(const void *data)
{
    unsigned devices = GPOINTER_TO_UINT(data);
    VtdAccelSetup setup = { .devices = 1, .ports = devices };
    uint64_t maps, bytes;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    maps = fakehost_calls(t.host, "IOMMU_IOAS_MAP");
    bytes = t.host->page->mapped_bytes;
    g_assert_cmpuint(bytes, >=, VTD_GUEST_RAM_MB * 1000 * 1000);
    for (unsigned i = 1; i < devices; i++) {
        fakehost_plug(t.host, i);
        vtd_accel_expect_s2(&t, i);
        expect_shared_s2(&t, maps, bytes);
    }
    /* It is a nesting parent from the start */
    g_assert_cmpuint(vtd_accel_s2_id(&t), ==,
                     fakehost_device(t.host, "dev0")->pt_id);
    for (unsigned i = 0; i < devices; i++) {
        fakehost_unplug(t.host, i);
    }
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Entries that agree share an S1 HWPT; it lives as long as one of them */
static void test_shared_s1(void)
{
    VtdAccelSetup setup = { .devices = 3 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdPasidEntry other = vtd_accel_fs_entry(DID + 1);
    uint64_t dir[3];
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dir[0] = vtd_accel_bind(&t, 0, &entry);
    dir[1] = vtd_accel_bind(&t, 1, &entry);
    dir[2] = vtd_accel_bind(&t, 2, &other);
    vtd_accel_expect_s1_hwpts(&t, 2);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, ==,
                     fakehost_device(t.host, "dev1")->pt_id);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, !=,
                     fakehost_device(t.host, "dev2")->pt_id);

    vtd_guest_clear_pasid(&t.guest, dir[0], 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_blocked(&t, 0);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 2);

    vtd_guest_clear_pasid(&t.guest, dir[1], 0);
    vtd_guest_clear_pasid(&t.guest, dir[2], 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_blocked(&t, 1);
    vtd_accel_expect_blocked(&t, 2);
    vtd_accel_expect_s1_hwpts(&t, 0);
    fakehost_free(t.host);
}

/* An invalidation of one device's context concerns that device alone */
static void test_one_of_two(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t dir[2];
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dir[0] = vtd_accel_bind(&t, 0, &entry);
    dir[1] = vtd_accel_bind(&t, 1, &entry);
    vtd_guest_clear_pasid(&t.guest, dir[0], 0);
    vtd_guest_clear_pasid(&t.guest, dir[1], 0);
    vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 0, fakehost_sid(1));
    vtd_guest_sync(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_blocked(&t, 1);
    fakehost_free(t.host);
}

static void expect_shown(VtdAccelTest *t, const char *text)
{
    g_autofree char *qtree = qtest_hmp(t->host->qts, "info qtree");

    g_assert_nonnull(strstr(qtree, text));
}

/* "info qtree" tells what the host can do and what a device is attached to */
static void test_shown(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    g_autofree char *caps = g_strdup_printf("host CAP 0x%llx ECAP 0x%llx",
                                            HOST_CAP, HOST_ECAP);
    g_autofree char *s2 = NULL, *s1 = NULL;
    uint64_t dir;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    s2 = g_strdup_printf("guest memory (HWPT %u)", vtd_accel_s2_id(&t));
    expect_shown(&t, caps);
    expect_shown(&t, s2);

    dir = vtd_accel_bind(&t, 0, &entry);
    s1 = g_strdup_printf("48 bits, domain %d (HWPT %u on %u)", DID,
                         fakehost_device(t.host, "dev0")->pt_id,
                         vtd_accel_s2_id(&t));
    expect_shown(&t, s1);

    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    expect_shown(&t, ", blocked");
    fakehost_free(t.host);
}

/* What RID_PASID is, the context entry says */
static void test_rid_pasid(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint32_t rid_pasid = 0x42;
    VtdAccelTest t;
    uint64_t dir;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), rid_pasid);
    vtd_guest_enable(&t.guest);
    vtd_guest_write_pasid(&t.guest, dir, 0, &entry);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_blocked(&t, 0);
    vtd_guest_write_pasid(&t.guest, dir, rid_pasid, &entry);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, rid_pasid);
    vtd_guest_sync(&t.guest);
    vtd_accel_expect_s1(&t, 0);

    /* Its invalidations carry that PASID */
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==, 0);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, rid_pasid, 0x1000,
                          0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==, 1);
    fakehost_free(t.host);
}

/* A device that is plugged under translation is blocked until it is bound */
static void test_plug_under_translation(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    for (unsigned i = 0; i < ROUNDS; i++) {
        fakehost_plug(t.host, 1);
        vtd_accel_expect_blocked(&t, 1);
        vtd_accel_bind(&t, 1, &entry);
        vtd_accel_expect_s1(&t, 1);
        vtd_accel_expect_s1_hwpts(&t, 1);
        fakehost_unplug(t.host, 1);
        qtest_writeq(t.host->qts,
                     vtd_guest_context(&t.guest, fakehost_sid(1)), 0);
        vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 0, fakehost_sid(1));
        vtd_guest_sync(&t.guest);
        vtd_accel_expect_s1(&t, 0);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_DEVICE), ==, 1);
    }
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Bound devices go in any order; an S1 HWPT goes before its parent */
static void test_unplug_bound(void)
{
    VtdAccelSetup setup = { .devices = 3 };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        VtdPasidEntry entry = vtd_accel_fs_entry(DID + i);

        vtd_accel_bind(&t, i, &entry);
    }
    fakehost_unplug(t.host, 1);
    vtd_accel_expect_s1_hwpts(&t, 2);
    fakehost_unplug(t.host, 0);
    fakehost_unplug(t.host, 2);
    fakehost_expect_empty(t.host);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_DESTROY"), ==, 0);
    fakehost_free(t.host);
}

/* Resets in a row, bound in between, leave nothing behind */
static void test_reset_rounds(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        vtd_accel_bind(&t, 0, &entry);
        vtd_accel_bind(&t, 1, &entry);
        vtd_accel_expect_s1(&t, 1);
        fakehost_reset(t.host);
        vtd_accel_expect_s2(&t, 0);
        vtd_accel_expect_s2(&t, 1);
        vtd_accel_expect_s1_hwpts(&t, 0);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_HWPT_PAGING),
                         ==, 1);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
    }
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_DESTROY"), ==, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = { 2, 8 };

    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        g_autofree char *path =
            g_strdup_printf("/vtd-accel/device/%u-devices_one-s2", counts[i]);

        qtest_add_data_func(path, GUINT_TO_POINTER(counts[i]),
                            test_shared_s2);
    }
    qtest_add_func("/vtd-accel/device/equal-entries_one-s1", test_shared_s1);
    qtest_add_func("/vtd-accel/device/context-of-one_other-untouched",
                   test_one_of_two);
    qtest_add_func("/vtd-accel/device/info-qtree_shows-host", test_shown);
    qtest_add_func("/vtd-accel/device/rid-pasid_from-context",
                   test_rid_pasid);
    qtest_add_func("/vtd-accel/device/plug-under-translation_blocked",
                   test_plug_under_translation);
    qtest_add_func("/vtd-accel/device/unplug-bound_nothing-left",
                   test_unplug_bound);
    qtest_add_func("/vtd-accel/device/resets_nothing-left",
                   test_reset_rounds);
    return g_test_run();
}
