/*
 * QTest: what a host device writes while its guest migrates
 *
 * A device writes to guest memory after all of it was sent once. It has to
 * arrive, or migration has to be refused with the reason.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/atomic.h"
#include "qobject/qdict.h"
#include "vtd-accel-legacy.h"

#define DID         5
#define DEADLINE    300             /* seconds: for what hangs */
#define IOVA        0x7654321000ull /* of the guest's own tables */
#define GPA         0x2345000ull
#define VALUE       0x1122334455667788ull
#define ENDLESS     (1ull << 50)    /* too much to be sent in the downtime */
#define BANDWIDTH   300000          /* bytes in a second */
#define SHARED_RAM  "-object memory-backend-memfd,id=ram,share=on,size=" \
                    stringify(VTD_GUEST_RAM_MB) "M -machine memory-backend=ram "
#define TRACKS      (HOST_ECAP | HOST_ECAP_SSADS)

typedef struct Case {
    const char *name;
    const char *what;
    uint64_t ecap;              /* of the host */
    const char *device;         /* of the host description */
    bool pass_through;          /* the guest has no tables for it */
    const char *error;          /* migration is refused: why */
    const char *args;           /* more arguments for QEMU, or NULL */
} Case;

static const Case cases[] = {
    {
        "first-stage_arrives", "the host's table tells what was written",
        TRACKS, "log-dma=0",
    }, {
        "first-stage-with-log_arrives", "and not the device, which can log",
        TRACKS, "log-dma=1",
    }, {
        "pass-through_arrives", "a device that passes through",
        TRACKS, "log-dma=0", true,
    }, {
        "pass-through-with-log_arrives",
        "a device that passes through may have tables a moment later",
        TRACKS, "log-dma=1", true,
    }, {
        "memory-of-a-file_arrives", "whose file is what the host has mapped",
        TRACKS, "log-dma=0", .args = SHARED_RAM,
    }, {
        "no-tracking_refused", "nobody knows what was written",
        HOST_ECAP, "log-dma=0", .error = "no IOMMU dirty tracking for stage-2",
    }, {
        "no-tracking-with-log_refused",
        "only the device knows, and it does not know where",
        HOST_ECAP, "log-dma=1", .error = "no IOMMU dirty tracking for stage-2",
    },
};

static bool start(VtdLegacy *l, const Case *c, bool incoming)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                        PRIx64 " errata=1\ndevice dev0 iommu=iommu0 migrate=1 "
                        "%s\n", (uint64_t)HOST_CAP, c->ecap, c->device);
    VtdAccelSetup setup = {
        .host = host, .devices = 1, .incoming = incoming, .args = c->args,
    };

    return vtd_legacy_start(l, &setup, 4);
}

/* --- one migration --- */

static uint64_t ram_number(QDict *info, const char *key)
{
    QDict *ram = qdict_get_qdict(info, "ram");

    return ram ? qdict_get_int(ram, key) : 0;
}

/* Wait for the end, or, with @passes, until all was sent so many times */
static void await(QTestState *qts, uint64_t passes)
{
    gint64 end = g_get_monotonic_time() + DEADLINE * G_USEC_PER_SEC;
    bool done = false;

    while (!done) {
        QDict *info = qtest_qmp_assert_success_ref(qts, "{ 'execute':"
                                                   " 'query-migrate' }");
        const char *status = qdict_get_try_str(info, "status") ?: "nothing";

        done = passes ? ram_number(info, "dirty-sync-count") > passes &&
                        !ram_number(info, "remaining")
                      : g_str_equal(status, "completed");
        if (g_str_equal(status, "failed") || g_get_monotonic_time() > end ||
            (passes && g_str_equal(status, "completed"))) {
            g_error("migration: %s", status);
        }
        qobject_unref(info);
        g_usleep(10 * 1000);
    }
}

static uint64_t passes(QTestState *qts)
{
    QDict *info = qtest_qmp_assert_success_ref(qts, "{ 'execute':"
                                               " 'query-migrate' }");
    uint64_t count = ram_number(info, "dirty-sync-count");

    qobject_unref(info);
    return count;
}

/* The device writes; migration itself makes the calls that carry it out */
static void write_by_device(FakeHost *host, uint64_t iova)
{
    gint64 end = g_get_monotonic_time() + DEADLINE * G_USEC_PER_SEC;
    struct FakehostDma *dma = &host->page->dma;

    /* Where tables of the guest's own are in the way, it does not know GPA */
    dma->iova = iova;
    dma->gpa = GPA;
    dma->value = VALUE;
    qatomic_store_release(&dma->wanted, 1);
    while (qatomic_load_acquire(&dma->wanted)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    g_assert_cmpint(dma->result, ==, 0);
}

static void expect_refused(VtdLegacy *l, const char *reason)
{
    g_autofree char *error = fakehost_migrate_error(l->t.host, "exec:cat");

    fakehost_expect_text(error, reason);
}

static void migrate(FakeHost *src, FakeHost *dst, uint64_t iova)
{
    g_autofree char *path = g_build_filename(src->dir, "migration", NULL);
    g_autofree char *uri = g_strdup_printf("unix:%s", path);
    g_autofree char *error = NULL;

    fakehost_device(src, "dev0")->data_size = ENDLESS;
    /* Were it over within 100 ms, QEMU would not even ask for the size */
    qtest_qmp_assert_success(src->qts, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { 'max-bandwidth': %d } }",
                             BANDWIDTH);
    qtest_qmp_assert_success(dst->qts, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s } }", uri);
    error = fakehost_migrate_error(src, uri);
    g_assert_cmpstr(error, ==, NULL);
    await(src->qts, 2);
    write_by_device(src, iova);
    await(src->qts, passes(src->qts) + 1);
    fakehost_device(src, "dev0")->data_size = 0;
    await(src->qts, 0);
    await(dst->qts, 0);
    qtest_qmp_eventwait(dst->qts, "RESUME");
    g_unlink(path);
}

static void test_case(const void *data)
{
    const Case *c = data;
    VtdPasidEntry entry = c->pass_through ? vtd_accel_pt_entry(DID)
                                          : vtd_accel_fs_entry(DID);
    VtdLegacy src, dst;

    g_test_message("%s", c->what);
    if (!start(&src, c, false)) {
        return;
    }
    vtd_accel_bind(&src.t, 0, &entry);
    if (c->error) {
        expect_refused(&src, c->error);
        fakehost_free(src.t.host);
        return;
    }
    g_assert_true(start(&dst, c, true));
    migrate(src.t.host, dst.t.host, c->pass_through ? GPA : IOVA);
    g_assert_cmphex(qtest_readq(dst.t.host->qts, GPA), ==, VALUE);
    g_assert_cmpuint(fakehost_calls(src.t.host,
                                    "IOMMU_HWPT_SET_DIRTY_TRACKING"), >, 0);
    g_assert_cmpuint(fakehost_device(src.t.host, "dev0")->log_starts, ==, 0);
    g_assert_cmpint(fakehost_calls(src.t.host, "IOMMU_IOAS_MAP_FILE") > 0, ==,
                    c->args != NULL);
    fakehost_free(src.t.host);
    fakehost_free(dst.t.host);
}

/* --- where a refusal has to come earlier, or for another reason --- */

/* The user wants migration, so a device that spoils it is refused */
static void test_enabled(void)
{
    static const Case c = { .ecap = HOST_ECAP, .device = "log-dma=1" };
    g_autofree char *error = NULL;
    VtdLegacy l;

    if (!start(&l, &c, false)) {
        return;
    }
    fakehost_unplug(l.t.host, 0);
    error = fakehost_try_plug(l.t.host, 0, ", 'iommufd': 'iommufd0',"
                              " 'enable-migration': 'on'");
    fakehost_expect_text(error, "no IOMMU dirty tracking for stage-2");
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* A copy of second-level tables tracks nothing, whatever the host can do */
static void test_legacy(void)
{
    static const Case c = { .ecap = TRACKS, .device = "log-dma=1" };
    VtdLegacy l;

    if (!start(&l, &c, false)) {
        return;
    }
    vtd_legacy_write_entry(&l, 0x10000, 1, GPA | LEGACY_RW);
    vtd_legacy_use_table(&l, 0, DID);
    vtd_legacy_enter(&l);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, SHADOW);
    expect_refused(&l, "legacy mode");
    fakehost_free(l.t.host);
}

static void add(const char *name, const void *data, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vfio-migration/%s", name);

    qtest_add_data_func(path, data, func);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        add(cases[i].name, &cases[i], test_case);
    }
    qtest_add_func("/vfio-migration/enabled-without-tracking_refused",
                   test_enabled);
    qtest_add_func("/vfio-migration/legacy-mode_refused", test_legacy);
    return g_test_run();
}
