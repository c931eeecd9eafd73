/*
 * QTest: what VFIO sees to when devices are plugged behind a nesting vIOMMU:
 * one IOAS for all of them, and groups of one device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/sweep.h"
#include "vtd-accel-common.h"

/* Where fakehost has the sysfs directory of its device @n */
#define SYSFS(n)        ", 'sysfsdev': '/sys/dev/char/511:" #n "/device'"

static bool start(VtdAccelTest *t, const char *keys0, const char *keys1)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 " errata=1\n"
                        "device dev0 iommu=iommu0 %s\n"
                        "device dev1 iommu=iommu0 %s\n",
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP, keys0, keys1);
    VtdAccelSetup setup = { .host = host };

    return vtd_accel_start(t, &setup);
}

/* Both devices come as open files: their group is found by device number */
static void test_group_refused(void)
{
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start(&t, "group=7", "group=7")) {
        return;
    }
    fakehost_plug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    fakehost_expect_text(error, "IOMMU group 7");
    /* The first one is not disturbed, and it is what stood in the way */
    vtd_accel_expect_s2(&t, 0);
    g_assert_cmpuint(fakehost_device(t.host, "dev1")->flags &
                     FAKEHOST_DEV_BOUND, ==, 0);
    fakehost_unplug(t.host, 0);
    fakehost_plug(t.host, 1);
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static void test_groups_accepted(void)
{
    VtdAccelTest t;

    if (!start(&t, "group=7", "group=70")) {
        return;
    }
    fakehost_plug(t.host, 0);
    fakehost_plug(t.host, 1);
    vtd_accel_expect_s2(&t, 0);
    vtd_accel_expect_s2(&t, 1);
    fakehost_free(t.host);
}

/*
 * Where sysfs is not there, in a container say, nobody knows the groups: one
 * device is alone, others might be in its group.
 */
static void test_group_unknown_refused(const void *data)
{
    bool first = data;
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start(&t, first ? "sysfs=0" : "", first ? "" : "sysfs=0")) {
        return;
    }
    fakehost_plug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    fakehost_expect_text(error, first ? "the group of dev0 in /sys" :
                                        "the group of dev1 in /sys");
    vtd_accel_expect_s2(&t, 0);
    fakehost_unplug(t.host, 0);
    fakehost_plug(t.host, 1);
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Both ways to name a device lead to the same group */
static void test_group_by_path_refused(void)
{
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start(&t, "group=7", "group=7")) {
        return;
    }
    fakehost_plug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD SYSFS(1));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, "IOMMU group 7"));
    fakehost_free(t.host);
}

/* --- beside the vIOMMU, on a bus that bypasses it --- */

#define BYPASS \
    "-device pxb-pcie,id=pxb0,bus=pcie.0,bus_nr=64,addr=2,bypass_iommu=on " \
    "-device pcie-root-port,id=bypass0,bus=pxb0,chassis=40,addr=0 " \
    "-device pcie-root-port,id=bypass1,bus=pxb0,chassis=41,addr=1 "

static bool start_bypass(VtdAccelTest *t)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 " errata=1\n"
                        "device dev0 iommu=iommu0 group=7\n"
                        "device dev1 iommu=iommu0 group=7\n",
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    VtdAccelSetup setup = { .host = host, .args = BYPASS };

    return vtd_accel_start(t, &setup);
}

static char *plug_bypass(VtdAccelTest *t, unsigned n)
{
    g_autofree char *props = g_strdup_printf(", 'bus': 'bypass%u'"
                                             WITH_IOMMUFD, n);

    return fakehost_device_add(t->host, fakehost_dev(n), props);
}

static void expect_group(const char *error, const char *other)
{
    fakehost_expect_text(error, "IOMMU group 7");
    g_assert_nonnull(strstr(error, other));
}

/* One of the two behind the vIOMMU is enough, in whichever order they come */
static void test_group_bypass_refused(void)
{
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    g_autofree char *none = NULL;
    VtdAccelTest t;

    if (!start_bypass(&t)) {
        return;
    }
    fakehost_plug(t.host, 0);
    first = plug_bypass(&t, 1);
    expect_group(first, "dev0");
    vtd_accel_expect_s2(&t, 0);
    fakehost_unplug(t.host, 0);
    none = plug_bypass(&t, 1);
    g_assert_cmpstr(none, ==, NULL);
    second = fakehost_try_plug(t.host, 0, WITH_IOMMUFD);
    expect_group(second, "dev1");
    fakehost_free(t.host);
}

/*
 * The first one has left its bus, and is attached for as long as something
 * refers to it: that is another thread's to end, and may have
 */
static void test_group_leaving(void)
{
    g_autofree char *error = NULL;
    g_autofree char *again = NULL;
    VtdAccelTest t;

    if (!start_bypass(&t)) {
        return;
    }
    fakehost_plug(t.host, 0);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'device_del',"
                             " 'arguments': { 'id': %s } }", fakehost_dev(0));
    fakehost_set_power(t.host, 0, false);
    error = plug_bypass(&t, 1);
    qtest_qmp_eventwait(t.host->qts, "DEVICE_DELETED");
    g_test_message("%s", error ?: "was gone already");
    if (error) {
        expect_group(error, "dev0");
        again = plug_bypass(&t, 1);
        g_assert_cmpstr(again, ==, NULL);
    }
    g_assert_cmpuint(fakehost_device(t.host, "dev1")->pt_id, !=, 0);
    fakehost_free(t.host);
}

/* Without the vIOMMU they share everything, and may */
static void test_group_bypass_accepted(void)
{
    VtdAccelTest t;

    if (!start_bypass(&t)) {
        return;
    }
    for (unsigned n = 0; n < 2; n++) {
        g_autofree char *error = plug_bypass(&t, n);

        g_assert_cmpstr(error, ==, NULL);
    }
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, !=, 0);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, ==,
                     fakehost_device(t.host, "dev1")->pt_id);
    fakehost_free(t.host);
}

/*
 * It has no IOMMU of its own, and says so before anything is attached: by
 * @data, its path, or as an open file
 */
static void test_mdev_refused(const void *data)
{
    const char *props = data;
    g_autofree char *error = NULL;
    g_autofree char *none = NULL;
    VtdAccelTest t;

    if (!start(&t, "mdev=1", "")) {
        return;
    }
    error = fakehost_try_plug(t.host, 0, props);
    fakehost_expect_text(error, "mediated");
    g_assert_cmpuint(fakehost_calls(t.host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
                     ==, 0);
    fakehost_expect_empty(t.host);
    /* With a path alike, a device that is none */
    none = fakehost_try_plug(t.host, 1, WITH_IOMMUFD SYSFS(1));
    g_assert_cmpstr(none, ==, NULL);
    vtd_accel_expect_s2(&t, 1);
    fakehost_free(t.host);
}

/* Guest memory is not mapped a second time because something failed */
static void test_attach_refused(const void *data)
{
    int err = GPOINTER_TO_INT(data);
    g_autofree char *error = NULL;
    uint64_t maps;
    VtdAccelTest t;

    if (!start(&t, "", "")) {
        return;
    }
    fakehost_plug(t.host, 0);
    maps = fakehost_calls(t.host, "IOMMU_IOAS_MAP");
    fakehost_fail_next(t.host, "ATTACH_IOMMUFD_PT", err);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, g_strerror(err)));
    /* The device is called as the user calls it */
    g_assert_nonnull(strstr(error, "dev1"));
    g_assert_null(strstr(error, "VFIO_FD"));
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_IOAS_ALLOC"), ==, 1);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_IOAS_MAP"), ==, maps);

    fakehost_plug(t.host, 1);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, ==,
                     fakehost_device(t.host, "dev1")->pt_id);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_IOAS_MAP"), ==, maps);
    fakehost_free(t.host);
}

static void check_second(void *opaque, bool plugged)
{
    VtdAccelTest *t = opaque;
    const struct FakehostDevice *dev = fakehost_device(t->host, "dev1");

    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_IOAS), ==, 1);
    vtd_accel_expect_s2(t, 0);
    if (plugged) {
        g_assert_cmpuint(dev->hw_pt_id, !=, 0);
    } else {
        g_assert_cmpuint(dev->flags & FAKEHOST_DEV_BOUND, ==, 0);
    }
}

static void expect_first_only(FakeHost *host)
{
    g_assert_cmpuint(fakehost_objects(host, FAKEHOST_OBJ_HWPT_PAGING), ==, 1);
    g_assert_cmpuint(fakehost_objects(host, FAKEHOST_OBJ_DEVICE), ==, 1);
}

/* Every call of the second device's realize fails once */
static void test_second_sweep(void)
{
    VtdAccelTest t;

    if (!start(&t, "", "")) {
        return;
    }
    fakehost_plug(t.host, 0);
    g_assert_cmpuint(sweep_plug(t.host, 1, check_second, expect_first_only,
                                &t), >=, 4);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* --- read-only memory, of which the firmware's ROM is an example --- */

#define READONLY_MAP    "IOMMU_IOAS_MAP flags=0x5"

static bool start_errata(VtdAccelTest *t, unsigned first, unsigned second)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 " errata=%u\n"
                        "iommu iommu1 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 " errata=%u\n"
                        "device dev0 iommu=iommu0\n"
                        "device dev1 iommu=iommu1\n",
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP, first,
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP, second);
    VtdAccelSetup setup = { .host = host };

    return vtd_accel_start(t, &setup);
}

static void expect_readonly_maps(VtdAccelTest *t, bool wanted)
{
    g_autofree char *line = fakehost_log_last(t->host, 0, READONLY_MAP, NULL);

    g_assert_cmpint(!!line, ==, wanted);
}

/* Linux refuses read-only mappings where the hardware has the erratum */
static void test_erratum(void)
{
    VtdAccelTest t;

    if (!start_errata(&t, 1, 0)) {
        return;
    }
    fakehost_plug(t.host, 0);
    fakehost_plug(t.host, 1);
    expect_readonly_maps(&t, false);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
    fakehost_free(t.host);
}

static void test_no_erratum(void)
{
    VtdAccelTest t;

    if (!start_errata(&t, 0, 0)) {
        return;
    }
    fakehost_plug(t.host, 0);
    vtd_accel_expect_s2(&t, 0);
    expect_readonly_maps(&t, true);
    fakehost_free(t.host);
}

/* Its memory is there already, and not as this one could use it */
static void test_erratum_second(void)
{
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start_errata(&t, 0, 1)) {
        return;
    }
    fakehost_plug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    fakehost_expect_text(error, "772415");
    vtd_accel_expect_s2(&t, 0);
    fakehost_unplug(t.host, 0);
    fakehost_plug(t.host, 1);
    fakehost_plug(t.host, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vfio-nesting/group/second-device_refused",
                   test_group_refused);
    qtest_add_data_func("/vfio-nesting/group/unknown_refused", NULL,
                        test_group_unknown_refused);
    qtest_add_data_func("/vfio-nesting/group/unknown-of-other_refused",
                        GUINT_TO_POINTER(1), test_group_unknown_refused);
    qtest_add_func("/vfio-nesting/group/second-device-by-path_refused",
                   test_group_by_path_refused);
    qtest_add_data_func("/vfio-nesting/mdev_refused",
                        WITH_IOMMUFD SYSFS(0), test_mdev_refused);
    qtest_add_data_func("/vfio-nesting/mdev-by-file_refused", WITH_IOMMUFD,
                        test_mdev_refused);
    qtest_add_func("/vfio-nesting/group/one-bypasses_refused",
                   test_group_bypass_refused);
    qtest_add_func("/vfio-nesting/group/first-leaves_no-abort",
                   test_group_leaving);
    qtest_add_func("/vfio-nesting/group/both-bypass_accepted",
                   test_group_bypass_accepted);
    qtest_add_func("/vfio-nesting/group/two-groups_accepted",
                   test_groups_accepted);
    qtest_add_data_func("/vfio-nesting/ioas/attach-eio_refused",
                        GINT_TO_POINTER(EIO), test_attach_refused);
    qtest_add_data_func("/vfio-nesting/ioas/attach-ebusy_refused",
                        GINT_TO_POINTER(EBUSY), test_attach_refused);
    qtest_add_func("/vfio-nesting/ioas/second-device-sweep_one-ioas",
                   test_second_sweep);
    qtest_add_func("/vfio-nesting/readonly/erratum_left-out", test_erratum);
    qtest_add_func("/vfio-nesting/readonly/no-erratum_mapped",
                   test_no_erratum);
    qtest_add_func("/vfio-nesting/readonly/erratum-second_refused",
                   test_erratum_second);
    return g_test_run();
}
