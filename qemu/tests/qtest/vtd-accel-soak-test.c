/*
 * QTest: devices behind an accelerated VT-d come and go, and guests reboot,
 * many times, and nothing is left behind
 *
 * A few rounds by default; SOAK_ROUNDS=1000 in the environment asks for more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "viommu/soak.h"
#include "vtd-accel-common.h"

#define DEVICES     64
#define FEW_DEVICES 8           /* for few rounds */
#define PASIDS      4           /* of each device, besides RID_PASID */
#define PASIDE      (1ull << 3)

typedef struct Soak {
    VtdAccelTest t;
    uint64_t context[DEVICES], entry[DEVICES];
} Soak;

/* Two devices share a domain, hence their S1 HWPTs */
static VtdPasidEntry fs_entry(unsigned n, unsigned pasid)
{
    return vtd_accel_fs_entry(1 + n / 2 * (PASIDS + 1) + pasid);
}

static void expect_bound(Soak *s, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(s->t.host,
                                                       fakehost_dev(n));

    g_assert_cmpuint(dev->pt_id, !=, 0);
    g_assert_cmpuint(dev->hw_pt_id, ==, dev->pt_id);
    g_assert_cmpuint(dev->pasids, ==, PASIDS);
}

static void expect_s1_hwpts(Soak *s, unsigned devices)
{
    vtd_accel_expect_s1_hwpts(&s->t, (devices + 1) / 2 * (PASIDS + 1));
}

/* The entry of the context table, and what it leads to */
static void add_tables(Soak *s, unsigned n)
{
    VtdGuest *g = &s->t.guest;
    uint64_t dir = vtd_guest_add_context(g, fakehost_sid(n), 0);

    s->context[n] = vtd_guest_context(g, fakehost_sid(n));
    s->entry[n] = dir | PASIDE | 1;
    qtest_writeq(g->qts, s->context[n], s->entry[n]);
    for (unsigned pasid = 0; pasid <= PASIDS; pasid++) {
        VtdPasidEntry entry = fs_entry(n, pasid);

        vtd_guest_write_pasid(g, dir, pasid, &entry);
    }
}

static void write_context(Soak *s, unsigned n, uint64_t entry)
{
    VtdGuest *g = &s->t.guest;

    qtest_writeq(g->qts, s->context[n], entry);
    vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(n));
    vtd_guest_post_wait(g);
    vtd_guest_ring(g);
    QTEST_AWAIT(vtd_guest_waited(g));
}

static bool start(Soak *s, unsigned devices)
{
    g_autoptr(GString) host = g_string_new(NULL);
    VtdAccelSetup setup = {
        .devices = devices, .iommu_props = VTD_ACCEL_PROPS ",pasid-bits=20",
        .no_log = true,
    };

    g_string_printf(host, "iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                    PRIx64 " errata=1\n", (uint64_t)HOST_CAP,
                    (uint64_t)HOST_ECAP);
    for (unsigned n = 0; n < devices; n++) {
        g_string_append_printf(host, "device %s iommu=iommu0 pasid-bits=20\n",
                               fakehost_dev(n));
    }
    setup.host = host->str;
    if (!vtd_accel_start(&s->t, &setup)) {
        return false;
    }
    for (unsigned n = 0; n < devices; n++) {
        add_tables(s, n);
    }
    vtd_guest_enable(&s->t.guest);
    for (unsigned n = 0; n < devices; n++) {
        expect_bound(s, n);
    }
    expect_s1_hwpts(s, devices);
    return true;
}

static void end(Soak *s, unsigned devices)
{
    for (unsigned n = 0; n < devices; n++) {
        fakehost_unplug(s->t.host, n);
    }
    fakehost_expect_empty(s->t.host);
    fakehost_free(s->t.host);
}

/* --- plug and unplug --- */

static void replug(void *opaque, unsigned i)
{
    Soak *s = opaque;
    unsigned n = i % s->t.host->ports;

    fakehost_unplug(s->t.host, n);
    write_context(s, n, 0);
    fakehost_plug(s->t.host, n);
    vtd_accel_expect_blocked(&s->t, n);
    write_context(s, n, s->entry[n]);
    expect_bound(s, n);
}

static void replug_and_look(void *opaque, unsigned i)
{
    Soak *s = opaque;

    replug(s, i);
    expect_s1_hwpts(s, s->t.host->ports);
}

static void test_plug(void)
{
    Soak s;

    unsigned devices = soak_rounds() ? DEVICES : FEW_DEVICES;

    if (!start(&s, devices)) {
        return;
    }
    soak_run(s.t.host, replug_and_look, &s, devices, soak_rounds() ?: 24,
             SOAK_NO_LEAK);
    end(&s, devices);
}

/* --- reboots --- */

static void reboot(void *opaque, unsigned i)
{
    Soak *s = opaque;

    fakehost_reset(s->t.host);
    vtd_accel_expect_s1_hwpts(&s->t, 0);
    vtd_guest_enable(&s->t.guest);
    for (unsigned n = 0; n < s->t.host->ports; n++) {
        expect_bound(s, n);
    }
    expect_s1_hwpts(s, s->t.host->ports);
}

static void test_reboot(void)
{
    Soak s;

    unsigned devices = soak_rounds() ? DEVICES : FEW_DEVICES;

    if (!start(&s, devices)) {
        return;
    }
    soak_run(s.t.host, reboot, &s, 2, soak_rounds() / 10 ?: 4, SOAK_NO_LEAK);
    end(&s, devices);
}

/* --- what is left behind is noticed --- */

static void test_leak(const void *data)
{
    SoakLeak leak = GPOINTER_TO_UINT(data);
    Soak s;

    if (!soak_notices(leak) || !start(&s, 3)) {
        return;
    }
    soak_run(s.t.host, replug, &s, 8, 24, leak);
    fakehost_free(s.t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    soak_init();

    qtest_add_func("/vtd-accel/soak/plug-unplug_nothing-left", test_plug);
    qtest_add_func("/vtd-accel/soak/reboot_nothing-left", test_reboot);
    qtest_add_data_func("/vtd-accel/soak/leak-of-heap_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_HEAP), test_leak);
    qtest_add_data_func("/vtd-accel/soak/leak-of-file_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_FD), test_leak);
    qtest_add_data_func("/vtd-accel/soak/leak-of-object_noticed",
                        GUINT_TO_POINTER(SOAK_LEAK_OBJECT), test_leak);
    return g_test_run();
}
