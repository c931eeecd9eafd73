/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The emulated SMMUv3 advertises IDR3.FWB if it is told to, and only then.
 */

#include "qemu/osdep.h"
#include "libqos/cases.h"
#include "libqos/smmuv3.h"

#define SMMU(reg) (0x09050000 + SMMUV3_##reg)

typedef struct FwbCase {
    const char *name;
    const char *args;
    uint32_t stages;
    bool fwb;
} FwbCase;

static const FwbCase cases[] = {
    { "default", "-M virt,iommu=smmuv3", 0x3, false },
    { "off", "-M virt,iommu=smmuv3 -global arm-smmuv3.x-fwb=off", 0x3, false },
    { "on", "-M virt,iommu=smmuv3 -global arm-smmuv3.x-fwb=on", 0x3, true },
    { "one-stage", "-M virt-9.1,iommu=smmuv3", 0x2, false },
};

static void test_fwb(const void *data)
{
    const FwbCase *c = data;
    g_autofree char *args = g_strdup_printf("-accel qtest -nodefaults %s",
                                            c->args);
    QTestState *qts = qtest_init(args);
    uint32_t idr3 = qtest_readl(qts, SMMU(IDR3));

    g_assert_cmphex(qtest_readl(qts, SMMU(IDR0)) & SMMUV3_IDR0_STAGES, ==,
                    c->stages);
    g_assert_cmphex(idr3 & SMMUV3_IDR3_FWB, ==, c->fwb ? SMMUV3_IDR3_FWB : 0);
    /* It is a property of the device: a reset keeps it */
    qtest_system_reset(qts);
    g_assert_cmphex(qtest_readl(qts, SMMU(IDR3)), ==, idr3);
    qtest_quit(qts);
}

/* Nothing but that bit differs from an SMMUv3 without the property. */
static void test_nothing_else(void)
{
    QTestState *off = qtest_init("-accel qtest -nodefaults "
                                 "-M virt,iommu=smmuv3");
    QTestState *on = qtest_init("-accel qtest -nodefaults "
                                "-M virt,iommu=smmuv3 "
                                "-global arm-smmuv3.x-fwb=on");
    uint64_t reg;

    for (reg = SMMU(IDR0); reg < SMMU(CR0); reg += 4) {
        g_assert_cmphex(qtest_readl(on, reg), ==, qtest_readl(off, reg) |
                        (reg == SMMU(IDR3) ? SMMUV3_IDR3_FWB : 0));
    }
    qtest_quit(off);
    qtest_quit(on);
}

static void test_needs_both_stages(void)
{
    const char *argv[] = {
        getenv("QTEST_QEMU_BINARY"), "-nodefaults", "-display", "none", "-M",
        "virt-9.1,iommu=smmuv3", "-global", "arm-smmuv3.x-fwb=on", NULL
    };
    g_autofree char *said = NULL;
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                               &said, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(said,
                            "x-fwb=on needs stage=nested, but stage is 1"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_cases("/smmuv3/fwb", cases, test_fwb);
    qtest_add_func("/smmuv3/fwb/on_nothing-else-differs", test_nothing_else);
    qtest_add_func("/smmuv3/fwb/one-stage_refused", test_needs_both_stages);
    return g_test_run();
}
