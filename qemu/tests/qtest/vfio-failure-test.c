/*
 * QTest: a host that refuses what VFIO asks of it, behind a nesting vIOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "vtd-accel-common.h"

#define DEADLINE        300     /* seconds: for what hangs */

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
    bool always;                    /* one that fails is made again */
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
    g_autofree char *error = fakehost_try_plug(t->host, 1, WITH_IOMMUFD);

    say(t, error);
}

static void act_plug_first(VtdAccelTest *t)
{
    fakehost_unplug(t->host, 0);
    fakehost_expect_empty(t->host);
    {
        g_autofree char *error = fakehost_try_plug(t->host, 0, WITH_IOMMUFD);

        say(t, error);
    }
}

static void act_unplug(VtdAccelTest *t)
{
    fakehost_unplug(t->host, 0);
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
    { "unmap", "IOAS_UNMAP", EPERM, act_unplug, true },
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
    fakehost_plug(t.host, 0);
    if (c->act == act_plug_first || c->always) {
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
    fakehost_free(t.host);
}

/* --- memory that cannot be mapped --- */

#define PORT_BDF(n)     ((4 + (n)) << 3)
#define BAR             0xe0000000ull

#define WITH_DIMMS \
    "-m 64M,slots=2,maxmem=1G -object memory-backend-ram,id=mem1,size=32M "

/* Where the only memory device is; 0: there is none */
static uint64_t dimm_address(VtdAccelTest *t)
{
    QDict *resp = qtest_qmp(t->host->qts,
                            "{ 'execute': 'query-memory-devices' }");
    QDict *info = qobject_to(QDict, qlist_peek(qdict_get_qlist(resp,
                                                               "return")));
    uint64_t addr = info ? qdict_get_int(qdict_get_qdict(info, "data"), "addr")
                         : 0;

    qobject_unref(resp);
    return addr;
}

/* A write of dev0. The calls of a plug carry it out */
static int dma(VtdAccelTest *t, uint64_t addr)
{
    struct FakehostDma *dma = &t->host->page->dma;

    dma->iova = addr;
    dma->value = 0x1122334455667788;
    dma->wanted = 1;
    fakehost_plug(t->host, 1);
    fakehost_unplug(t->host, 1);
    g_assert_cmpuint(dma->wanted, ==, 0);
    return dma->result;
}

/* Memory that is plugged and refused is not there, and nothing else suffers */
static void test_dimm(void)
{
    g_autofree char *error = NULL;
    g_autofree char *none = NULL;
    uint32_t areas;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, "", WITH_DIMMS)) {
        return;
    }
    fakehost_plug(t.host, 0);
    areas = t.host->page->areas;
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "IOAS_MAP", 1, 0, ENOMEM, 0);
    error = fakehost_plug_dimm(t.host);
    fakehost_expect_text(error, "mem1");
    g_assert_nonnull(strstr(error, g_strerror(ENOMEM)));
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "DMA to mem1"), ==, 1);
    g_assert_cmphex(dimm_address(&t), ==, 0);
    fakehost_clear_rules(t.host);
    g_assert_cmpuint(t.host->page->areas, ==, areas);
    g_assert_cmpint(dma(&t, 0x100000), ==, 0);

    /* It is accepted when the host accepts it */
    none = fakehost_plug_dimm(t.host);
    g_assert_cmpstr(none, ==, NULL);
    g_assert_cmphex(dimm_address(&t), !=, 0);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);
    g_assert_cmpint(dma(&t, dimm_address(&t)), ==, 0);
    fakehost_free(t.host);
}

#define DISPLAY_BDF     (0x10 << 3)
#define WITH_RAM_BAR \
    "-device bochs-display,addr=0x10 "

static void set_memory(VtdAccelTest *t, uint16_t bdf, bool on)
{
    fakehost_cfg_writew(t->host, bdf, PCI_COMMAND, on ? PCI_COMMAND_MEMORY : 0);
}

static void set_bar(VtdAccelTest *t, uint16_t bdf, unsigned reg)
{
    fakehost_cfg_writel(t->host, bdf, reg, BAR);
    fakehost_cfg_writel(t->host, bdf, reg + 4, 0);
}

/* A guest maps what the host refuses: no access for devices, that is all */
static void test_ram_bar(void)
{
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, "migrate=1", WITH_RAM_BAR)) {
        return;
    }
    fakehost_plug(t.host, 0);
    set_bar(&t, DISPLAY_BDF, PCI_BASE_ADDRESS_0);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "IOAS_MAP", 1, 0, ENOMEM, 0);
    set_memory(&t, DISPLAY_BDF, true);
    fakehost_clear_rules(t.host);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "is blocked for"), ==,
                     1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, g_strerror(ENOMEM)), ==,
                     1);
    g_assert_cmpint(dma(&t, BAR), ==, -EFAULT);
    g_assert_cmpint(dma(&t, 0x100000), ==, 0);

    /* Nobody asks the host whether it was written to */
    act_migrate(&t);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_GET_DIRTY_BITMAP"), >,
                     0);
    g_assert_cmpuint(fakehost_failed_calls(t.host,
                                           "IOMMU_HWPT_GET_DIRTY_BITMAP"), ==,
                     0);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");

    set_memory(&t, DISPLAY_BDF, false);
    set_memory(&t, DISPLAY_BDF, true);
    g_assert_cmpint(dma(&t, BAR), ==, 0);
    fakehost_free(t.host);
}

/* --- messages that a guest can repeat --- */

#define TOGGLES     500

static void test_ram_bar_flood(void)
{
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, "", WITH_RAM_BAR)) {
        return;
    }
    fakehost_plug(t.host, 0);
    set_bar(&t, DISPLAY_BDF, PCI_BASE_ADDRESS_0);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "IOAS_MAP", 1, 0, ENOMEM, 0);
    for (unsigned i = 0; i < TOGGLES; i++) {
        set_memory(&t, DISPLAY_BDF, true);
        set_memory(&t, DISPLAY_BDF, false);
    }
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "is blocked for"), >, 0);
    /* A slow machine may get into further minutes */
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, ""), <, TOGGLES / 5);
    fakehost_free(t.host);
}

/* The host cannot map BARs of devices, which is said once for each device */
static void test_bar_flood(void)
{
    g_autofree char *err = NULL;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, "", NULL)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    /* Each is there for the other one */
    fakehost_plug(t.host, 0);
    fakehost_plug(t.host, 1);
    for (unsigned n = 0; n < 2; n++) {
        uint16_t bdf = fakehost_sid(n);

        fakehost_set_power(t.host, n, true);
        fakehost_cfg_writel(t.host, PORT_BDF(n), PCI_MEMORY_BASE, 0xe000e000);
        fakehost_cfg_writew(t.host, PORT_BDF(n), PCI_COMMAND,
                            PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        set_bar(&t, bdf, PCI_BASE_ADDRESS_0);
        for (unsigned i = 0; i < TOGGLES; i++) {
            set_memory(&t, bdf, true);
            set_memory(&t, bdf, false);
        }
        g_assert_cmpuint(fakehost_err_lines(t.host, mark, "peer-to-peer"), ==,
                         n + 1);
    }
    err = fakehost_err_since(t.host, mark);
    fakehost_expect_text(err, g_strerror(EFAULT));
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, ""), <=, 2 * 2 + 1);
    fakehost_free(t.host);
}

/* Nor is it said once for each of its BARs: one line tells all */
static void test_bars(const void *device)
{
    bool asks = !g_str_equal(device, "bars=6");
    g_autofree char *err = NULL;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, device, NULL)) {
        return;
    }
    fakehost_fail(t.host, "IOAS_MAP_FILE", 1, 0, EFAULT, 0);
    mark = fakehost_err_mark(t.host);
    fakehost_plug(t.host, 0);
    fakehost_plug(t.host, 1);
    fakehost_set_power(t.host, 0, true);
    fakehost_cfg_writel(t.host, PORT_BDF(0), PCI_MEMORY_BASE, 0xe000e000);
    fakehost_cfg_writew(t.host, PORT_BDF(0), PCI_COMMAND,
                        PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned i = 0; i < 6; i++) {
        fakehost_cfg_writel(t.host, fakehost_sid(0), PCI_BASE_ADDRESS_0 + 4 * i,
                            BAR + i * 0x4000);
    }
    set_memory(&t, fakehost_sid(0), true);
    err = fakehost_err_since(t.host, mark);
    g_test_message("%s", err);
    /* Without a dma-buf the host need not be asked */
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_IOAS_MAP_FILE"), >=,
                     asks ? 6 : 0);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_IOAS_MAP"), ==, 0);
    g_assert_cmpuint(strcspn(err, "\n"), ==, strlen(err) - 1);
    fakehost_expect_text(err, "dev0: other devices cannot reach its BARs");
    fakehost_expect_text(err, "BAR 0");
    fakehost_expect_text(err, g_strerror(EFAULT));
    /* All of them are there, and nothing is to be unmapped when they go */
    for (unsigned i = 0; i < 6; i++) {
        qtest_writel(t.host->qts, BAR + i * 0x4000, i + 1);
        g_assert_cmpuint(qtest_readl(t.host->qts, BAR + i * 0x4000), ==, i + 1);
    }
    set_memory(&t, fakehost_sid(0), false);
    g_assert_cmpuint(qtest_readl(t.host->qts, BAR), ==, 0);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_IOAS_UNMAP"), ==, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_cases("/vfio-failure/reason", reason_cases, test_reason);
    qtest_add_func("/vfio-failure/dimm_refused", test_dimm);
    qtest_add_func("/vfio-failure/ram-bar_blocked", test_ram_bar);
    qtest_add_func("/vfio-failure/flood/ram-bar_limited", test_ram_bar_flood);
    qtest_add_func("/vfio-failure/flood/bar_once-each-device", test_bar_flood);
    qtest_add_data_func("/vfio-failure/bars_one-line", "bars=6", test_bars);
    qtest_add_data_func("/vfio-failure/bars-with-dmabufs_one-line",
                        "bars=6 dmabuf=1", test_bars);
    return g_test_run();
}
