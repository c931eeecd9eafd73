/*
 * QTest: a host that refuses what VFIO asks of it, behind a nesting vIOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "vtd-accel-common.h"

#define DEADLINE        300     /* seconds: for what hangs */
#define WITH_IOMMUFD    ", 'iommufd': 'iommufd0'"

static bool start(VtdAccelTest *t, const char *device, const char *args)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                        PRIx64 " errata=1\ndevice dev0 iommu=iommu0 %s\n"
                        "device dev1 iommu=iommu0 %s\n", (uint64_t)HOST_CAP,
                        (uint64_t)(HOST_ECAP | HOST_ECAP_SSADS), device,
                        device);
    VtdAccelSetup setup = { .host = host, .args = args };

    return vtd_accel_start(t, &setup);
}

/* --- the reason of a failure --- */

/* To trace to a full disk changes errno */
#define TRACING "-trace enable=iommufd_* -D /dev/full"

typedef struct ReasonCase {
    const char *name;
    const char *call;
    int err;
    void (*act)(VtdAccelTest *t);   /* what makes the call */
} ReasonCase;

/* The error goes where QEMU's messages go, for all cases alike */
static void say(VtdAccelTest *t, const char *error)
{
    if (error) {
        g_autofree char *line = g_strdup_printf("%s\n", error);
        g_autofree char *old = fakehost_err_since(t->host, 0);
        g_autofree char *all = g_strconcat(old, line, NULL);

        g_assert_true(g_file_set_contents(t->host->err, all, -1, NULL));
    }
}

static void act_plug(VtdAccelTest *t)
{
    g_autofree char *error = vtd_accel_try_plug(t, 1, WITH_IOMMUFD);

    say(t, error);
}

static void act_plug_first(VtdAccelTest *t)
{
    vtd_accel_unplug(t, 0);
    vtd_accel_expect_empty(t);
    {
        g_autofree char *error = vtd_accel_try_plug(t, 0, WITH_IOMMUFD);

        say(t, error);
    }
}

static void act_unplug(VtdAccelTest *t)
{
    vtd_accel_unplug(t, 0);
}

/* Up to its end, whatever that is */
static void act_migrate(VtdAccelTest *t)
{
    gint64 end = g_get_monotonic_time() + DEADLINE * G_USEC_PER_SEC;
    QTestState *qts = t->host->qts;
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'migrate', 'arguments':"
                            " { 'uri': 'exec:cat >/dev/null' } }");
    bool over = false;

    g_assert_true(qdict_haskey(resp, "return"));
    qobject_unref(resp);
    while (!over) {
        QDict *info = qtest_qmp_assert_success_ref(qts, "{ 'execute':"
                                                   " 'query-migrate' }");
        const char *status = qdict_get_try_str(info, "status");

        over = !g_strcmp0(status, "failed") || !g_strcmp0(status, "completed");
        if (over) {
            say(t, qdict_get_try_str(info, "error-desc"));
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        qobject_unref(info);
        g_usleep(10 * 1000);
    }
}

static const ReasonCase reason_cases[] = {
    { "map", "IOAS_MAP", ENOMEM, act_plug_first },
    { "unmap", "IOAS_UNMAP", EPERM, act_unplug },
    { "alloc-ioas", "IOAS_ALLOC", ENOMEM, act_plug_first },
    { "alloc-hwpt", "HWPT_ALLOC", EOPNOTSUPP, act_plug_first },
    { "free", "DESTROY", EBUSY, act_unplug },
    { "hw-info", "GET_HW_INFO", ENOENT, act_plug },
    { "attach", "ATTACH_IOMMUFD_PT", EBUSY, act_plug },
    { "start-dirty-tracking", "HWPT_SET_DIRTY_TRACKING", EBUSY, act_migrate },
    { "dirty-bitmap", "HWPT_GET_DIRTY_BITMAP", EFAULT, act_migrate },
};

static void test_reason(const void *data)
{
    const ReasonCase *c = data;
    const struct FakehostRule *rule;
    g_autofree char *err = NULL;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, "migrate=1", TRACING)) {
        return;
    }
    vtd_accel_plug(&t, 0);
    if (c->act == act_plug_first) {
        rule = fakehost_fail(t.host, c->call, 1, 0, c->err, 0);
    } else {
        rule = fakehost_fail_next(t.host, c->call, c->err);
    }
    mark = fakehost_err_mark(t.host);
    c->act(&t);
    err = fakehost_err_since(t.host, mark);
    g_test_message("%s", err);
    g_assert_cmpuint(rule->hits, >, 0);
    g_assert_nonnull(strstr(err, g_strerror(c->err)));
    g_assert_null(strstr(err, g_strerror(ENOSPC)));
    vtd_accel_end(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(reason_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-failure/reason/%s",
                                                reason_cases[i].name);

        qtest_add_data_func(path, &reason_cases[i], test_reason);
    }
    return g_test_run();
}
