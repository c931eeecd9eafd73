/*
 * QTest: which host devices the accelerated VT-d takes, and how it says no
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define WITH_IOMMUFD    ", 'iommufd': 'iommufd0'"
#define PARTS           6

typedef struct Case {
    const char *name;
    const char *what;
    VtdAccelSetup setup;
    const char *props;              /* of vfio-pci; NULL: WITH_IOMMUFD */
    const char *error[PARTS];       /* what the error names; none: accepted */
} Case;

static const Case cases[] = {
    {
        "full-host_accepted",
        "a host that can do everything",
    }, {
        "property-aliases_accepted",
        "scalable-mode and fsts are other names of the same properties",
        .setup.iommu_props = "scalable-mode=on,fsts=on",
    }, {
        "caching-mode-on_accepted",
        "caching-mode=on is what x-flts=on implies anyway",
        .setup.iommu_props = VTD_ACCEL_PROPS ",caching-mode=on",
    }, {
        "host-without-nesting_refused",
        "the host's ECAP.NEST is needed",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_NEST,
        .error = { "NEST", "0", "1" },
    }, {
        "host-without-scalable-mode_refused",
        "the host's ECAP.SMTS is needed",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_SMTS,
        .error = { "scalable mode", "0", "1" },
    }, {
        "host-without-1g-pages_refused",
        "1-GiB first-stage pages are advertised, so the host has to walk them",
        .setup.cap = HOST_CAP & ~HOST_CAP_FS1GP,
        .error = { "FS1GP", "0", "1", "fs1gp=off" },
    }, {
        "host-without-1g-pages_not-advertised_accepted",
        "without fs1gp the host need not have it",
        .setup.cap = HOST_CAP & ~HOST_CAP_FS1GP,
        .setup.iommu_props = VTD_ACCEL_PROPS ",fs1gp=off",
    }, {
        "host-without-5-levels_refused",
        "5-level tables are advertised, so the host has to walk them",
        .setup.iommu_props = VTD_ACCEL_PROPS ",aw-bits=57",
        .error = { "FS5LP", "0", "1", "aw-bits=48" },
    }, {
        "host-with-5-levels_accepted",
        "the host's second stage may be narrower than input addresses",
        .setup.iommu_props = VTD_ACCEL_PROPS ",aw-bits=57",
        .setup.cap = HOST_CAP | HOST_CAP_FS5LP,
    }, {
        "host-39-bits_refused",
        "the host's second stage is narrower than guest addresses",
        .setup.cap = (HOST_CAP & ~(HOST_CAP_SAGAW_48 | HOST_CAP_MGAW(64))) |
                     HOST_CAP_MGAW(39),
        .error = { "48", "39" },
    }, {
        "host-without-iommu-info_refused",
        "a host IOMMU that is not VT-d",
        .setup.host_type = "none",
        .error = { "VT-d", "type" },
    }, {
        "caching-mode-off_refused",
        "without caching mode new entries would never be seen",
        .setup.iommu_props = VTD_ACCEL_PROPS ",caching-mode=off",
        .error = { "x-flts=on", "remove caching-mode=off" },
    }, {
        "legacy-container_refused",
        "the legacy container cannot nest: the error says what to add",
        .props = "",
        .error = { "iommufd" },
    },
};

/* The vIOMMU's capabilities are fixed when it is realized, devices or not */
static void check_advertised(VtdAccelTest *t, const Case *c)
{
    bool off = c->setup.iommu_props && strstr(c->setup.iommu_props,
                                              "caching-mode=off");

    g_assert_cmpint(!!(vtd_guest_readq(&t->guest, DMAR_CAP_REG) & VTD_CAP_CM),
                    ==, !off);
}

static void check_alive(VtdAccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
}

static void test_realize(const void *data)
{
    const Case *c = data;
    g_autofree char *error = NULL;
    VtdAccelTest t;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &c->setup)) {
        return;
    }
    check_advertised(&t, c);
    error = vtd_accel_try_plug(&t, 0, c->props ?: WITH_IOMMUFD);
    if (!c->error[0]) {
        g_assert_cmpstr(error, ==, NULL);
        vtd_accel_expect_s2(&t, 0);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
        vtd_accel_unplug(&t, 0);
    } else {
        g_assert_nonnull(error);
        g_test_message("error: %s", error);
        for (size_t i = 0; i < PARTS && c->error[i]; i++) {
            g_assert_nonnull(strstr(error, c->error[i]));
        }
    }
    check_alive(&t);
    vtd_accel_expect_empty(&t);
    vtd_accel_end(&t);
}

/* A refused device does not spoil the next one */
static void test_refused_then_accepted(void)
{
    VtdAccelSetup setup = { 0 };
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    error = vtd_accel_try_plug(&t, 0, "");
    g_assert_nonnull(error);
    vtd_accel_plug(&t, 0);
    vtd_accel_expect_s2(&t, 0);
    vtd_accel_unplug(&t, 0);
    vtd_accel_expect_empty(&t);
    vtd_accel_end(&t);
}

/* Without a vIOMMU nothing of this applies */
static void test_no_viommu(void)
{
    g_autofree char *description = NULL;
    g_autofree char *error = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    description = g_strdup_printf("iommu i type=vtd cap=0x%" PRIx64
                                  " ecap=0x%" PRIx64 "\ndevice dev0 iommu=i\n",
                                  (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    host = fakehost_new(description);
    fakehost_start(host, "-M q35 -m 64M -object iommufd,id=iommufd0,fd=%d "
                   "-device vfio-pci,fd=%d,iommufd=iommufd0",
                   fakehost_fd(host, "iommufd0"), fakehost_fd(host, "dev0"));
    g_assert_cmpuint(fakehost_device(host, "dev0")->pt_id, !=, 0);
    g_assert_cmpuint(host->page->mapped_bytes, >=, 64 * 1024 * 1024);
    fakehost_reset(host);
    g_assert_cmpuint(fakehost_device(host, "dev0")->resets, !=, 0);
    fakehost_free(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel/realize/%s",
                                                cases[i].name);

        qtest_add_data_func(path, &cases[i], test_realize);
    }
    qtest_add_func("/vtd-accel/realize/refused_then-correct_accepted",
                   test_refused_then_accepted);
    qtest_add_func("/vtd-accel/realize/no-viommu_accepted", test_no_viommu);
    return g_test_run();
}
