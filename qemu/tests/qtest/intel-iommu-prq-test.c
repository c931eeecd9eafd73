/*
 * QTest of the page request queue of VT-d: what a guest can do to it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "libqos/await.h"
#include "libqos/intel-iommu.h"

#define FSTS_IQE        (1u << 4)

#define WAIT_STATUS     (1ull << 5)
#define WAIT_PD         (1ull << 7)
#define PGRP            9ull
#define PGRP_PASID      (1ull << 4)

#define QUEUE           0x100000ull

static QTestState *start(VtdGuest *g, const char *props, unsigned width)
{
    QTestState *qts = qtest_initf("-M q35 -m %u -nodefaults "
                                  "-device intel-iommu,%s",
                                  VTD_GUEST_RAM_MB, props);

    vtd_guest_init(g, qts, VTD_GUEST_TABLES, width);
    return qts;
}

/* Of each register: what it is, what stays of all ones, what writes ignore */
static const struct {
    const char *name;
    uint32_t reg;
    uint32_t value, writable;
} registers[] = {
    { "PQH", VTD_REG_PQH, 0, 0x7ffe0 },
    { "PQH upper half", VTD_REG_PQH + 4, 0, 0 },
    { "PQT", VTD_REG_PQT, 0, 0x7ffe0 },
    { "PQT upper half", VTD_REG_PQT + 4, 0, 0 },
    { "PQA", VTD_REG_PQA, 0, 0xfffff007 },
    { "PQA upper half", VTD_REG_PQA + 4, 0, 0xffffffff },
    { "PRS", VTD_REG_PRS, 0, 0 },
    { "PECTL", VTD_REG_PECTL, 1u << 31, 1u << 31 },
    { "PEDATA", VTD_REG_PEDATA, 0, 0xffffffff },
    { "PEADDR", VTD_REG_PEADDR, 0, 0xfffffffc },
    { "PEUADDR", VTD_REG_PEUADDR, 0, 0 },
};

static void check_registers(const char *props, bool offered)
{
    VtdGuest g;
    QTestState *qts = start(&g, props, 32);
    uint64_t ecap = vtd_guest_readq(&g, VTD_REG_ECAP);

    g_assert_cmphex(ecap & (VTD_ECAP_PRS | VTD_ECAP_PDS), ==,
                    offered ? VTD_ECAP_PRS | VTD_ECAP_PDS : 0);
    for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
        uint32_t reg = registers[i].reg;
        uint32_t value = offered ? registers[i].value : 0;
        uint32_t writable = offered ? registers[i].writable : 0;

        g_test_message("%s", registers[i].name);
        g_assert_cmphex(vtd_guest_readl(&g, reg), ==, value);
        vtd_guest_writel(&g, reg, 0xffffffff);
        g_assert_cmphex(vtd_guest_readl(&g, reg), ==, value | writable);
        vtd_guest_writel(&g, reg, 0);
        g_assert_cmphex(vtd_guest_readl(&g, reg), ==, value & ~writable);
        vtd_guest_writel(&g, reg, 0xffffffff);
    }
    qtest_system_reset(qts);
    for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
        g_assert_cmphex(vtd_guest_readl(&g, registers[i].reg), ==,
                        offered ? registers[i].value : 0);
    }
    qtest_quit(qts);
}

static void test_registers_offered(void)
{
    check_registers("x-scalable-mode=on,x-pri=on", true);
}

static void test_registers_off(void)
{
    check_registers("x-scalable-mode=on", false);
}

static void test_registers_eim(void)
{
    VtdGuest g;
    QTestState *qts = start(&g, "x-scalable-mode=on,x-pri=on,"
                            "intremap=on,eim=on", 32);

    vtd_guest_writel(&g, VTD_REG_PEUADDR, 0xffffffff);
    g_assert_cmphex(vtd_guest_readl(&g, VTD_REG_PEUADDR), ==, 0xffffff00);
    qtest_quit(qts);
}

/* Descriptors that there are only with page requests */
typedef struct DescCase {
    const char *name;
    const char *props;
    unsigned width;
    uint64_t lo, hi;
    bool valid;
} DescCase;

#define ON  "x-scalable-mode=on,x-pri=on"
#define OFF "x-scalable-mode=on"
#define SID (0x0100ull << 16)

static const DescCase desc_cases[] = {
    { "response-accepted", ON, 32, PGRP | SID, 5 << 3, true },
    { "response-pasid-accepted", ON, 32,
      PGRP | PGRP_PASID | SID | 0xfffffull << 32, 0x1ff << 3, true },
    { "response-failure-accepted", ON, 32, PGRP | SID | 0xf000, 0, true },
    { "response-unknown-code-accepted", ON, 32, PGRP | SID | 0x5000, 0, true },
    { "response-last-accepted", ON, 32, PGRP | SID, 1 << 2, true },
    { "response-reserved-low-refused", ON, 32, PGRP | SID | 1 << 5, 0, false },
    { "response-reserved-pasid-refused", ON, 32, PGRP | SID | 1ull << 52, 0,
      false },
    { "response-reserved-high-refused", ON, 32, PGRP | SID, 1, false },
    { "response-reserved-prgi-refused", ON, 32, PGRP | SID, 1 << 12, false },
    { "response-128-bit-refused", ON, 16, PGRP | SID, 0, false },
    { "response-not-offered-refused", OFF, 32, PGRP | SID, 0, false },
    { "drain-accepted", ON, 32, 5 | WAIT_STATUS | WAIT_PD, QUEUE, true },
    { "drain-128-bit-accepted", ON, 16, 5 | WAIT_STATUS | WAIT_PD, QUEUE,
      true },
    { "drain-reserved-refused", ON, 32, 5 | WAIT_STATUS | 1 << 8, QUEUE,
      false },
    { "drain-not-offered-refused", OFF, 32, 5 | WAIT_STATUS | WAIT_PD, QUEUE,
      false },
};

static void test_descriptor(const void *opaque)
{
    const DescCase *c = opaque;
    VtdGuest g;
    QTestState *qts = start(&g, c->props, c->width);

    vtd_guest_enable(&g);
    vtd_guest_post(&g, c->lo, c->hi);
    vtd_guest_ring(&g);
    g_assert_cmphex(vtd_guest_readl(&g, VTD_REG_FSTS) & FSTS_IQE, ==,
                    c->valid ? 0 : FSTS_IQE);
    qtest_quit(qts);
}

/* --- migration --- */

static bool has_migrated(QTestState *qts)
{
    QDict *rsp = qtest_qmp_assert_success_ref(qts, "{ 'execute': "
                                              "'query-migrate' }");
    bool done = !g_strcmp0(qdict_get_try_str(rsp, "status"), "completed");

    qobject_unref(rsp);
    return done;
}

/* A guest that was told of page requests comes to a QEMU with @props */
static QTestState *migrate(VtdGuest *g, const char *props, const char *uri)
{
    QTestState *qts = start(g, ON, 32);

    vtd_guest_writeq(g, VTD_REG_PQA, QUEUE | 3);
    vtd_guest_writeq(g, VTD_REG_PQH, 0x40);
    vtd_guest_writel(g, VTD_REG_PECTL, 0);
    vtd_guest_writel(g, VTD_REG_PEDATA, 0x1234);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
    QTEST_AWAIT(has_migrated(qts));
    qtest_quit(qts);

    qts = qtest_initf("-M q35 -m %u -nodefaults -device intel-iommu,%s "
                      "-incoming defer", VTD_GUEST_RAM_MB, props);
    vtd_guest_init(g, qts, VTD_GUEST_TABLES, 32);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    return qts;
}

static void test_migration(void)
{
    g_autofree char *path = g_strdup_printf("%s/prq-%d", g_get_tmp_dir(),
                                            getpid());
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    VtdGuest g;
    QTestState *qts = migrate(&g, ON, uri);

    QTEST_AWAIT(has_migrated(qts));
    g_assert_cmphex(vtd_guest_readq(&g, VTD_REG_PQA), ==, QUEUE | 3);
    g_assert_cmphex(vtd_guest_readq(&g, VTD_REG_PQH), ==, 0x40);
    g_assert_cmphex(vtd_guest_readl(&g, VTD_REG_PECTL), ==, 0);
    g_assert_cmphex(vtd_guest_readl(&g, VTD_REG_PEDATA), ==, 0x1234);
    /* The registers are there as well as their values */
    vtd_guest_writeq(&g, VTD_REG_PQH, 0x60);
    g_assert_cmphex(vtd_guest_readq(&g, VTD_REG_PQH), ==, 0x60);
    qtest_quit(qts);

    /* What it was told is not true there */
    qts = migrate(&g, OFF, uri);
    qtest_set_expected_status(qts, EXIT_FAILURE);
    qtest_wait_qemu(qts);
    qtest_quit(qts);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/intel-iommu-prq/registers/offered",
                   test_registers_offered);
    qtest_add_func("/intel-iommu-prq/registers/not-offered",
                   test_registers_off);
    qtest_add_func("/intel-iommu-prq/registers/eim", test_registers_eim);
    qtest_add_func("/intel-iommu-prq/migration", test_migration);
    for (size_t i = 0; i < G_N_ELEMENTS(desc_cases); i++) {
        g_autofree char *path =
            g_strdup_printf("/intel-iommu-prq/descriptor/%s",
                            desc_cases[i].name);

        qtest_add_data_func(path, &desc_cases[i], test_descriptor);
    }
    return g_test_run();
}
