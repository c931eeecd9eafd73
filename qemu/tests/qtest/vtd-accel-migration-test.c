/*
 * QTest: migration of the accelerated VT-d
 *
 * A guest with tables of its own moves to another QEMU, which has host devices
 * in place: they have to end up where the guest's tables, which came along in
 * its memory, want them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "standard-headers/linux/pci_regs.h"
#include "vtd-accel-prq.h"

#define DID         5
#define DEVICES     3
#define DEADLINE    300     /* seconds: for what hangs, not for what is slow */
#define ECAM_BASE   0xb0000000ull

/* --- moving --- */

static char *query_status(QTestState *qts)
{
    QDict *info = qtest_qmp_assert_success_ref(qts,
                                               "{ 'execute':"
                                               " 'query-migrate' }");
    char *status = g_strdup(qdict_get_try_str(info, "status"));

    qobject_unref(info);
    return status;
}

static void await_status(QTestState *qts, const char *side, const char *wanted)
{
    gint64 end = g_get_monotonic_time() + DEADLINE * G_USEC_PER_SEC;

    for (;;) {
        g_autofree char *status = query_status(qts);

        if (!g_strcmp0(status, wanted)) {
            return;
        }
        if (!g_strcmp0(status, "failed") || g_get_monotonic_time() > end) {
            g_error("migration on the %s side: %s after %d s", side,
                    status ?: "nothing", DEADLINE);
        }
        g_usleep(10 * 1000);
    }
}

/* From @src to @dst, which takes over what the guest knows; does it run? */
static void migrate(VtdAccelTest *src, VtdAccelTest *dst, bool running)
{
    g_autofree char *path = g_build_filename(src->host->dir, "migration",
                                             NULL);
    g_autofree char *uri = g_strdup_printf("unix:%s", path);

    qtest_qmp_assert_success(dst->host->qts, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s } }", uri);
    qtest_qmp_assert_success(src->host->qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': %s } }", uri);
    await_status(src->host->qts, "sending", "completed");
    await_status(dst->host->qts, "receiving", "completed");
    if (running) {
        qtest_qmp_eventwait(dst->host->qts, "RESUME");
    }
    g_unlink(path);

    dst->guest = src->guest;
    dst->guest.qts = dst->host->qts;
}

/* --- bindings after load --- */

typedef struct Case {
    const char *name;
    const char *what;
    bool off;                   /* translation is off */
    char wanted[DEVICES + 1];   /* 1: S1, 2: S2, -: blocked */
} Case;

static const Case cases[] = {
    { "first-stage_bound", "each device has tables of its own", false, "111" },
    { "pass-through_s2", "one device passes through", false, "121" },
    { "not-present_blocked", "one device has no tables", false, "1-2" },
    { "translation-off_s2", "tables, but translation is off", true, "222" },
};

static uint64_t write_entry(VtdAccelTest *t, unsigned n, char wanted)
{
    VtdPasidEntry entry = wanted == '2' ? vtd_accel_pt_entry(DID + n)
                                        : vtd_accel_fs_entry(DID + n);
    uint64_t dir = vtd_guest_add_context(&t->guest, fakehost_sid(n), 0);

    if (wanted != '-') {
        vtd_guest_write_pasid(&t->guest, dir, 0, &entry);
    }
    return dir;
}

static void expect(VtdAccelTest *t, unsigned n, char wanted)
{
    if (wanted == '1') {
        vtd_accel_expect_s1(t, n);
    } else if (wanted == '2') {
        vtd_accel_expect_s2(t, n);
    } else {
        vtd_accel_expect_blocked(t, n);
    }
}

static void test_case(const void *data)
{
    const Case *c = data;
    VtdAccelSetup from = { .ports = DEVICES };
    VtdAccelSetup to = { .devices = DEVICES, .incoming = true };
    VtdAccelTest src, dst;
    uint64_t calls;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&src, &from)) {
        return;
    }
    for (unsigned i = 0; i < DEVICES; i++) {
        write_entry(&src, i, c->wanted[i]);
    }
    vtd_guest_enable(&src.guest);
    vtd_guest_flush_pasid_cache(&src.guest);
    if (c->off) {
        vtd_guest_set_translation(&src.guest, false);
    }

    g_assert_true(vtd_accel_start(&dst, &to));
    for (unsigned i = 0; i < DEVICES; i++) {
        vtd_accel_expect_s2(&dst, i);
    }
    migrate(&src, &dst, true);
    fakehost_free(src.host);
    for (unsigned i = 0; i < DEVICES; i++) {
        expect(&dst, i, c->wanted[i]);
    }

    /* The queue goes on where it was; nothing has changed for the guest */
    calls = fakehost_total_calls(dst.host);
    vtd_guest_flush_pasid_cache(&dst.guest);
    g_assert_cmpuint(fakehost_total_calls(dst.host), ==, calls);
    if (c->wanted[0] == '1') {
        vtd_guest_post_piotlb(&dst.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0,
                              false);
        vtd_guest_sync(&dst.guest);
        g_assert_cmpuint(fakehost_calls(dst.host, "IOMMU_HWPT_INVALIDATE"),
                         ==, 1);
    }
    for (unsigned i = 0; i < DEVICES; i++) {
        fakehost_unplug(dst.host, i);
    }
    fakehost_expect_empty(dst.host);
    fakehost_free(dst.host);
}

/* --- with devices on both sides --- */

typedef struct MoveCase {
    const char *name;
    const char *what;
    const char *device;         /* of the host description */
    uint64_t ecap;
    unsigned devices;
    const char *error;          /* why not */
    uint32_t pasid;             /* bound as well; 0: none */
} MoveCase;

static const MoveCase move_cases[] = {
    {
        "device_moves", "the host tracks what a device makes dirty",
        "migrate=1", HOST_ECAP | HOST_ECAP_SSADS, 1,
    }, {
        "devices_move", "and of several devices",
        "migrate=1", HOST_ECAP | HOST_ECAP_SSADS, DEVICES,
    }, {
        "pasids_move", "what is bound to a PASID is bound there as well",
        "migrate=1 pasid-bits=20", HOST_ECAP | HOST_ECAP_SSADS, DEVICES,
        .pasid = 7,
    }, {
        "no-dirty-tracking_reason", "the host cannot track it",
        "migrate=1", HOST_ECAP, 1, "dirty tracking",
    }, {
        "device-cannot_reason", "the device cannot move",
        "migrate=0", HOST_ECAP | HOST_ECAP_SSADS, 1, "not supported in kernel",
    },
};

static char *describe(const MoveCase *c)
{
    GString *s = g_string_new(NULL);

    g_string_printf(s, "iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                    PRIx64 " errata=1\n", (uint64_t)HOST_CAP, c->ecap);
    for (unsigned i = 0; i < DEVICES; i++) {
        g_string_append_printf(s, "device %s iommu=iommu0 %s\n",
                               fakehost_dev(i), c->device);
    }
    return g_string_free(s, false);
}

/* What the device translates by, which books and hardware agree about */
static uint32_t table_of(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));

    g_assert_cmpuint(dev->pt_id, ==, dev->hw_pt_id);
    return dev->pt_id;
}

/* Bind RID_PASID and, if the case wants it, another one */
static void bind_device(VtdAccelTest *t, const MoveCase *c, unsigned n)
{
    VtdGuest *g = &t->guest;
    VtdPasidEntry entry = vtd_accel_fs_entry(DID + n);
    uint64_t dir = vtd_accel_bind(t, n, &entry);
    uint64_t context = vtd_guest_context(g, fakehost_sid(n));

    if (!c->pasid) {
        return;
    }
    entry.domain_id += DEVICES;
    qtest_writeq(g->qts, context, qtest_readq(g->qts, context) | CE_PASIDE);
    vtd_guest_write_pasid(g, dir, c->pasid, &entry);
    vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(n));
    vtd_guest_sync(g);
}

static void expect_pasids(VtdAccelTest *t, const MoveCase *c, unsigned each)
{
    for (unsigned i = 0; i < c->devices; i++) {
        g_assert_cmpuint(fakehost_device(t->host, fakehost_dev(i))->pasids,
                         ==, each);
    }
}

static void test_move(const void *data)
{
    const MoveCase *c = data;
    unsigned pasids = c->pasid ? 1 : 0;
    unsigned hwpts = c->devices * (1 + pasids);
    const char *props = c->pasid ? VTD_ACCEL_PROPS ",pasid-bits=20" : NULL;
    g_autofree char *host = describe(c);
    VtdAccelSetup from = { .host = host, .devices = c->devices,
                           .iommu_props = props };
    VtdAccelSetup to = { .host = host, .devices = c->devices,
                         .iommu_props = props, .incoming = true };
    uint32_t s2[DEVICES];
    VtdAccelTest src, dst;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&src, &from)) {
        return;
    }
    for (unsigned i = 0; i < c->devices; i++) {
        bind_device(&src, c, i);
    }
    vtd_accel_expect_s1_hwpts(&src, hwpts);
    expect_pasids(&src, c, pasids);
    if (c->error) {
        g_autofree char *error = fakehost_migrate_error(src.host,
                                                        "exec:cat");

        fakehost_expect_text(error, c->error);
        g_assert_null(strstr(error, "vIOMMU"));
        g_assert_cmpuint(table_of(&src, 0), !=, 0);
        vtd_accel_expect_s1_hwpts(&src, hwpts);
        fakehost_free(src.host);
        return;
    }

    g_assert_true(vtd_accel_start(&dst, &to));
    for (unsigned i = 0; i < c->devices; i++) {
        s2[i] = table_of(&dst, i);
        g_assert_cmpuint(s2[i], !=, 0);
    }
    expect_pasids(&dst, c, 0);
    migrate(&src, &dst, true);
    g_assert_cmpuint(fakehost_calls(src.host, "IOMMU_HWPT_SET_DIRTY_TRACKING"),
                     >, 0);
    g_assert_cmpuint(src.host->page->transfers, ==, c->devices);
    g_assert_cmpuint(dst.host->page->transfers, ==, c->devices);
    fakehost_free(src.host);
    vtd_accel_expect_s1_hwpts(&dst, hwpts);
    expect_pasids(&dst, c, pasids);
    for (unsigned i = 0; i < c->devices; i++) {
        g_assert_cmpuint(table_of(&dst, i), !=, s2[i]);
        g_assert_cmpuint(table_of(&dst, i), !=, 0);
        fakehost_unplug(dst.host, i);
    }
    fakehost_expect_empty(dst.host);
    fakehost_free(dst.host);
}

/* --- with page requests that wait for answers --- */

static bool start_asking(PrqTest *q, bool incoming)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                        PRIx64 " errata=1\ndevice dev0 iommu=iommu0 "
                        "pasid-bits=20 pri=1 migrate=1\n", (uint64_t)HOST_CAP,
                        (uint64_t)(HOST_PRI | HOST_ECAP_SSADS));
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = 1,
        .incoming = incoming, .args = "-trace vtd_irq_generate ",
    };

    *q = (PrqTest) { .cookie = 100, .fd = -1 };
    return vtd_accel_start(&q->t, &setup);
}

static uint32_t pri_control(PrqTest *q)
{
    return fakehost_cfg_readl(q->t.host, fakehost_sid(0),
                              PCI_CFG_SPACE_SIZE + 0x10 + PCI_PRI_CTRL);
}

/*
 * Two groups are in the guest's queue, whose interrupt is masked, and a third
 * one comes when the guest is stopped
 */
static bool start_asked(PrqTest *q)
{
    FakeHost *host;

    if (!start_asking(q, false)) {
        return false;
    }
    host = q->t.host;
    prq_bind_device(q, 0, CE_PASIDE | CE_PRE);
    prq_set_up_queue(q);
    vtd_guest_writel(&q->t.guest, VTD_REG_PECTL, VTD_PECTL_IM);
    q->fd = prq_open_queue(&q->t);
    fakehost_set_power(host, 0, true);
    fakehost_cfg_writel(host, 0, 0x60, ECAM_BASE | 1);
    host->ecam = ECAM_BASE;
    fakehost_cfg_writew(host, fakehost_sid(0),
                        PCI_CFG_SPACE_SIZE + 0x10 + PCI_PRI_CTRL,
                        PCI_PRI_CTRL_ENABLE);
    prq_send(q, 0, PASID, 1);
    prq_send(q, 0, 0, 2);
    prq_wait_tail(q, 2);
    qtest_qmp_assert_success(host->qts, "{ 'execute': 'stop' }");
    prq_send(q, 0, PASID, 3);
    return true;
}

static void test_requests_move(void)
{
    PrqTest src, dst;
    VtdGuest *g = &dst.t.guest;
    uint32_t control;

    if (!start_asked(&src)) {
        return;
    }
    control = pri_control(&src);
    g_assert_cmphex(control, ==, (uint32_t)PCI_PRI_STATUS_PASID << 16 |
                    PCI_PRI_CTRL_ENABLE);
    g_assert_true(start_asking(&dst, true));
    migrate(&src.t, &dst.t, false);
    qtest_qmp_assert_success(dst.t.host->qts, "{ 'execute': 'cont' }");
    dst.fd = prq_open_queue(&dst.t);
    dst.t.host->ecam = ECAM_BASE;
    /* The old host does not bring it to a guest that has left */
    g_assert_cmpuint(prq_page(&src)->requests_waiting, ==, 2);
    close(src.fd);
    fakehost_free(src.t.host);

    g_assert_cmphex(pri_control(&dst), ==, control);
    g_assert_cmpuint(prq_tail(&dst), ==, 2);
    g_assert_cmphex(vtd_guest_readq(g, VTD_REG_PQH), ==, 0);
    g_assert_cmphex(vtd_guest_readq(g, VTD_REG_PQA), ==, QUEUE);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PRS), ==, VTD_PRS_PPR);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PECTL), ==,
                    VTD_PECTL_IM | VTD_PECTL_IP);
    g_assert_cmpuint(prq_lines(&dst, "vtd_irq_generate"), ==, 0);
    vtd_guest_writel(g, VTD_REG_PECTL, 0);
    g_assert_cmpuint(prq_lines(&dst, "vtd_irq_generate"), ==, 1);
    vtd_guest_writel(g, VTD_REG_PRS, ~0u);
    g_assert_cmphex(vtd_guest_readl(g, VTD_REG_PRS), ==, 0);

    /* The new host has never asked, until it does */
    prq_respond(&dst, 0, PASID, 1, SUCCESS);
    prq_respond(&dst, 0, 0, 2, SUCCESS);
    g_assert_cmpuint(prq_page(&dst)->answer_writes, ==, 0);
    prq_send(&dst, 0, PASID, 1);
    prq_wait_tail(&dst, 3);
    g_assert_cmpuint(prq_lines(&dst, "vtd_irq_generate"), ==, 2);
    prq_respond(&dst, 0, PASID, 1, SUCCESS);
    g_assert_cmpuint(prq_page(&dst)->answers[SUCCESS], ==, 1);
    prq_end(&dst);
}

/* The guest stays, and answers what it was asked */
static void test_requests_stay(void)
{
    PrqTest q;

    if (!start_asked(&q)) {
        return;
    }
    qtest_qmp_assert_success(q.t.host->qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': 'exec:false' } }");
    await_status(q.t.host->qts, "sending", "failed");
    g_assert_cmpuint(prq_page(&q)->requests_waiting, ==, 2);
    qtest_qmp_assert_success(q.t.host->qts, "{ 'execute': 'cont' }");
    prq_wait_tail(&q, 3);
    prq_respond(&q, 0, PASID, 1, SUCCESS);
    prq_respond(&q, 0, 0, 2, SUCCESS);
    prq_respond(&q, 0, PASID, 3, SUCCESS);
    g_assert_cmpuint(prq_page(&q)->answers[SUCCESS], ==, 3);
    prq_end(&q);
}

/* --- a device that must not move --- */

static void test_disabled(void)
{
    VtdAccelSetup setup = { 0 };
    g_autofree char *error = NULL;
    g_autofree char *refusal = NULL;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 0, ", 'iommufd': 'iommufd0',"
                              " 'enable-migration': 'off'");
    g_assert_cmpstr(error, ==, NULL);
    refusal = fakehost_migrate_error(t.host, "exec:cat");
    fakehost_expect_text(refusal, "disabled");
    fakehost_free(t.host);
}

static void add(const char *name, const void *data, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vtd-accel/migration/%s", name);

    qtest_add_data_func(path, data, func);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        add(cases[i].name, &cases[i], test_case);
    }
    for (size_t i = 0; i < ARRAY_SIZE(move_cases); i++) {
        add(move_cases[i].name, &move_cases[i], test_move);
    }
    qtest_add_func("/vtd-accel/migration/disabled_reason", test_disabled);
    qtest_add_func("/vtd-accel/migration/page-requests_move",
                   test_requests_move);
    qtest_add_func("/vtd-accel/migration/page-requests_stay",
                   test_requests_stay);
    return g_test_run();
}
