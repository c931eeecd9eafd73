/*
 * QTest: two accelerated SMMUv3s in one guest
 *
 * Each has a VMID of its own (which the stage-2 HWPT stands for), because
 * their guests number ASIDs independently; memory is mapped once for both.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"
#include "qobject/qlist.h"
#include "viommu/query.h"

#define INVALIDATE  "IOMMU_HWPT_INVALIDATE"
#define BASE_2      0x0c020000ull       /* of the second one's registers */
#define TABLES_2    (SMMUV3_GUEST_RAM + 0x1000000)
#define PXB_BUS     64
#define SID_2       ((PXB_BUS + 1u) << 8)

static const char second[] =
    "-device pxb-pcie,id=pxb.1,bus=pcie.0,bus_nr=64,addr=3 "
    "-device arm-smmuv3,id=smmu1,primary-bus=pxb.1,accel=on,"
    SMMUV3_ACCEL_FIXED " "
    "-device pcie-root-port,id=rpx,bus=pxb.1,chassis=40 ";

/* dev0 behind the first one, dev1 behind the second */
static bool start(Smmuv3AccelTest *t, Smmuv3Guest *g2, const char *host)
{
    Smmuv3AccelSetup setup = { .args = second, .host = host, .devices = 1 };
    g_autofree char *error = NULL;

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    error = fakehost_device_add(t->host, "dev1",
                                ", 'bus': 'rpx', 'iommufd': 'iommufd0'");
    g_assert_cmpstr(error, ==, NULL);
    fakehost_cfg_writel(t->host, PXB_BUS << 8, PCI_PRIMARY_BUS,
                        PXB_BUS | (PXB_BUS + 1) << 8 | (PXB_BUS + 1) << 16);
    smmuv3_guest_init(g2, t->host->qts, BASE_2, TABLES_2);
    smmuv3_guest_enable_2lvl(g2);
    smmuv3_accel_bind(t, 0);
    smmuv3_guest_write_ste(g2, SID_2, smmuv3_accel_s1_ste(1), 0);
    smmuv3_guest_cfgi(g2, SID_2);
    smmuv3_accel_expect(t, 1, SMMUV3_IS_S1);
    return true;
}

/* The vIOMMU that the last invalidation since @mark was for */
static unsigned last_viommu(Smmuv3AccelTest *t, size_t mark)
{
    g_autofree char *line = fakehost_log_last(t->host, mark, INVALIDATE, NULL);

    g_assert_nonnull(line);
    return atoi(strstr(line, "hwpt_id=") + strlen("hwpt_id="));
}

static void check_apart(Smmuv3AccelTest *t, Smmuv3Guest *g2)
{
    unsigned first, other;
    uint64_t calls;
    size_t mark;

    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_IOAS), ==, 1);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     2);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_VIOMMU), ==, 2);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_VEVENTQ), ==, 2);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==, 2);

    /* The same ASID in both: each command reaches its own vIOMMU alone */
    calls = fakehost_calls(t->host, INVALIDATE);
    mark = fakehost_log_mark(t->host);
    smmuv3_guest_post_va(&t->guest, 1, 0x1000);
    smmuv3_guest_sync(&t->guest);
    first = last_viommu(t, mark);
    mark = fakehost_log_mark(t->host);
    smmuv3_guest_post_va(g2, 1, 0x1000);
    smmuv3_guest_sync(g2);
    other = last_viommu(t, mark);
    g_assert_cmpuint(first, !=, other);
    g_assert_cmpuint(fakehost_calls(t->host, INVALIDATE) - calls, ==, 2);

    /* Nor does a command for the other one's StreamID do anything */
    calls = fakehost_calls(t->host, INVALIDATE);
    smmuv3_guest_post_sid(&t->guest, SMMUV3_CFGI_CD_ALL, SID_2);
    smmuv3_guest_sync(&t->guest);
    g_assert_cmpuint(fakehost_calls(t->host, INVALIDATE), ==, calls);

    /* One that is switched off leaves the other alone */
    smmuv3_guest_set_cr0(&t->guest, 0);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_BYPASS);
    smmuv3_accel_expect(t, 1, SMMUV3_IS_S1);
    fakehost_unplug(t->host, 0);
    smmuv3_accel_expect(t, 1, SMMUV3_IS_S1);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_VIOMMU), ==, 1);
}

/* @n is the only device behind an SMMU, with objects and counts of its own */
static void check_shown(Smmuv3AccelTest *t, const char *id, unsigned n,
                        unsigned entries)
{
    QDict *info = viommu_query_id(t->host, id);
    QDict *counters = qdict_get_qdict(info, "counters");
    unsigned sid = n ? SID_2 : fakehost_sid(0);

    g_assert_cmpuint(qlist_size(qdict_get_qlist(info, "devices")), ==, 1);
    g_assert_cmpstr(qdict_get_str(viommu_binding(viommu_device(info, n),
                                                 NO_PASID), "state"), ==,
                    "stage-1");
    g_assert_cmphex(qdict_get_int(viommu_object(info, "vdevice"),
                                  "virtual-id"), ==, sid);
    g_assert_cmpint(qdict_get_int(counters, "entries"), ==, entries);
    /* IOAS and parent, vIOMMU, three tables on it, vDEVICE, vEVENTQ */
    g_assert_cmpint(qdict_get_int(info, "object-count"), ==, 8);
    qobject_unref(info);
}

static void test_shown(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest g2;
    g_autofree char *text = NULL;

    if (!start(&t, &g2, NULL)) {
        return;
    }
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_sync(&t.guest);
    smmuv3_guest_post_va(&g2, 1, 0x1000);
    smmuv3_guest_post_va(&g2, 1, 0x2000);
    smmuv3_guest_sync(&g2);
    check_shown(&t, "smmu0", 0, 1);
    check_shown(&t, "smmu1", 1, 2);
    text = qtest_hmp(t.host->qts, "info viommu");
    fakehost_expect_text(text, "/machine/peripheral/smmu0: enabled");
    fakehost_expect_text(text, "/machine/peripheral/smmu1: enabled");
    fakehost_free(t.host);
}

static void test_one_host(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest g2;

    if (start(&t, &g2, NULL)) {
        check_apart(&t, &g2);
        fakehost_free(t.host);
    }
}

static void test_two_hosts(void)
{
    g_autofree char *host = g_strdup_printf(
        "iommu a type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "iommu b type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=a\ndevice dev1 iommu=b\n",
        HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5,
        HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    Smmuv3AccelTest t;
    Smmuv3Guest g2;

    if (start(&t, &g2, host)) {
        check_apart(&t, &g2);
        fakehost_free(t.host);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/smmuv3-accel/two/one-host_apart", test_one_host);
    qtest_add_func("/smmuv3-accel/two/two-hosts_apart", test_two_hosts);
    qtest_add_func("/smmuv3-accel/two/query_apart", test_shown);
    return g_test_run();
}
