/*
 * QTest: devices behind an accelerated SMMUv3 come and go, and guests reboot,
 * many times, and nothing is left behind
 *
 * A few rounds by default; SOAK_ROUNDS=1000 in the environment asks for more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/soak.h"
#include "smmuv3-accel-common.h"

#define DEVICES     64
#define FEW_DEVICES 8           /* for few rounds */
#define CONFIG      (7ull << 1)     /* STE.Config (SMMUv3 5.2) */

static void expect_config(Smmuv3AccelTest *t, unsigned n, uint64_t ste)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));

    g_assert_cmpuint(dev->pt_id, !=, 0);
    g_assert_cmpuint(dev->hw_pt_id, ==, dev->pt_id);
    g_assert_cmphex(dev->ste[0] & CONFIG, ==, ste & CONFIG);
}

static void expect_all_bound(Smmuv3AccelTest *t)
{
    for (unsigned n = 0; n < t->host->ports; n++) {
        expect_config(t, n, SMMUV3_STE_S1);
        g_assert_cmphex(fakehost_device(t->host, fakehost_dev(n))->virt_id,
                        ==, fakehost_sid(n));
    }
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==, t->host->ports);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_VDEVICE), ==,
                     t->host->ports);
}

/* Each device has substreams, of which the host knows the table */
static uint64_t ste(unsigned n)
{
    return smmuv3_accel_s1_ste(n) | 4ull << 59;
}

static bool start(Smmuv3AccelTest *t, unsigned devices)
{
    Smmuv3AccelSetup setup = { .devices = devices, .no_log = true };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    smmuv3_guest_enable_2lvl(&t->guest);
    for (unsigned n = 0; n < devices; n++) {
        smmuv3_guest_write_ste(&t->guest, fakehost_sid(n), ste(n), 0);
    }
    smmuv3_guest_cfgi_all(&t->guest);
    expect_all_bound(t);
    return true;
}

static void end(Smmuv3AccelTest *t)
{
    for (unsigned n = 0; n < t->host->ports; n++) {
        fakehost_unplug(t->host, n);
    }
    fakehost_expect_empty(t->host);
    fakehost_free(t->host);
}

/* --- plug and unplug --- */

static void replug(void *opaque, unsigned i)
{
    Smmuv3AccelTest *t = opaque;
    unsigned n = i % t->host->ports;

    fakehost_unplug(t->host, n);
    smmuv3_guest_write_ste(&t->guest, fakehost_sid(n), SMMUV3_STE_ABORT, 0);
    smmuv3_guest_cfgi(&t->guest, fakehost_sid(n));
    fakehost_plug(t->host, n);
    expect_config(t, n, SMMUV3_STE_ABORT);
    smmuv3_guest_write_ste(&t->guest, fakehost_sid(n), ste(n), 0);
    smmuv3_guest_cfgi(&t->guest, fakehost_sid(n));
    expect_config(t, n, SMMUV3_STE_S1);
}

static void replug_and_look(void *opaque, unsigned i)
{
    replug(opaque, i);
    expect_all_bound(opaque);
}

static void test_plug(void)
{
    Smmuv3AccelTest t;

    unsigned devices = soak_rounds() ? DEVICES : FEW_DEVICES;

    if (!start(&t, devices)) {
        return;
    }
    soak_run(t.host, replug_and_look, &t, devices, soak_rounds() ?: 24,
             SOAK_NO_LEAK);
    end(&t);
}

/* --- reboots --- */

static void reboot(void *opaque, unsigned i)
{
    Smmuv3AccelTest *t = opaque;

    fakehost_reset(t->host);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(t), ==, 0);
    smmuv3_guest_enable_2lvl(&t->guest);
    expect_all_bound(t);
}

static void test_reboot(void)
{
    Smmuv3AccelTest t;

    unsigned devices = soak_rounds() ? DEVICES : FEW_DEVICES;

    if (!start(&t, devices)) {
        return;
    }
    soak_run(t.host, reboot, &t, 2, soak_rounds() / 10 ?: 4, SOAK_NO_LEAK);
    end(&t);
}

/* --- what is left behind is noticed --- */

static void test_leak(const void *data)
{
    SoakLeak leak = GPOINTER_TO_UINT(data);
    Smmuv3AccelTest t;

    if (!soak_notices(leak) || !start(&t, 3)) {
        return;
    }
    soak_run(t.host, replug, &t, 8, 24, leak);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    soak_init();

    qtest_add_func("/smmuv3-accel/soak/plug-unplug_nothing-left", test_plug);
    qtest_add_func("/smmuv3-accel/soak/reboot_nothing-left", test_reboot);
    qtest_add_data_func("/smmuv3-accel/soak/leak-of-heap_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_HEAP), test_leak);
    qtest_add_data_func("/smmuv3-accel/soak/leak-of-file_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_FD), test_leak);
    qtest_add_data_func("/smmuv3-accel/soak/leak-of-object_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_OBJECT), test_leak);
    return g_test_run();
}
