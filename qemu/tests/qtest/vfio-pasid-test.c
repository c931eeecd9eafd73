/*
 * QTest: PASIDs of a host device, as far as VFIO has to do with them: which
 * HWPT the device gets, and the PASID capability that the guest sees.
 *
 * What a guest then does with PASIDs is tested with the vIOMMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "viommu/sweep.h"
#include "vtd-accel-common.h"

#define PASIDS_20       VTD_ACCEL_PROPS ",pasid-bits=20"
#define ECAM            0xb0000000ull
#define MCH_PCIEXBAR    0x60
#define LAST_CAP        0xff8
#define EXEC_PRIV       (PCI_PASID_CAP_EXEC | PCI_PASID_CAP_PRIV)

/* Flags of IOMMU_HWPT_ALLOC, as fakehost logs them */
#define NEST_PARENT     "flags=0x1 "
#define NEST_PASID      "flags=0x9 "
#define NEST_PASID_DIRTY "flags=0xb "

typedef struct Case {
    const char *name;
    const char *what;
    const char *iommu_props;
    const char *device;         /* keys of the host device */
    uint64_t ecap;              /* of the host; 0: HOST_ECAP */
    const char *hwpt;           /* flags of the HWPT that it gets */
    unsigned offset;            /* of the capability; 0: there is none */
    uint16_t cap;               /* PASID capability register */
    unsigned warnings;
} Case;

static const Case cases[] = {
    {
        "wider-viommu_width-of-host",
        "the guest is shown no more than the host has",
        PASIDS_20, "pasid-bits=16",
        .hwpt = NEST_PASID, .offset = 0x100, .cap = 16 << 8,
    }, {
        "wider-host_width-of-viommu",
        "the guest is shown no more than the vIOMMU takes",
        VTD_ACCEL_PROPS ",pasid-bits=8", "pasid-bits=20",
        .hwpt = NEST_PASID, .offset = 0x100, .cap = 8 << 8,
    }, {
        "exec-and-priv_shown",
        "what the host says about the two permissions is passed on",
        PASIDS_20, "pasid-bits=20 pasid-exec=1 pasid-priv=1",
        .hwpt = NEST_PASID, .offset = 0x100, .cap = 20 << 8 | EXEC_PRIV,
    }, {
        "dirty-tracking_together",
        "dirty tracking and PASIDs go together",
        PASIDS_20, "pasid-bits=20", .ecap = HOST_ECAP | HOST_ECAP_SSADS,
        .hwpt = NEST_PASID_DIRTY, .offset = 0x100, .cap = 20 << 8,
    }, {
        "viommu-without_none",
        "a vIOMMU without PASIDs asks for nothing",
        VTD_ACCEL_PROPS, "pasid-bits=20",
        .hwpt = NEST_PARENT,
    }, {
        "device-without_none",
        "a device without PASIDs can share the HWPT of those that have them",
        PASIDS_20, "",
        .hwpt = NEST_PASID,
    }, {
        "extended-capabilities_last",
        "the capability goes to the end of the list and of config space",
        PASIDS_20, "pasid-bits=20 ext-caps=1",
        .hwpt = NEST_PASID, .offset = LAST_CAP, .cap = 20 << 8,
    }, {
        "config-space-full_none",
        "a capability that reaches to the end leaves no room",
        PASIDS_20, "pasid-bits=20 ext-caps=2",
        .hwpt = NEST_PASID, .warnings = 1,
    }, {
        "config-space-maybe-full_none",
        "a capability whose end is not known counts as long",
        PASIDS_20, "pasid-bits=20 ext-caps=4",
        .hwpt = NEST_PASID, .warnings = 1,
    }, {
        "config-space-used_none",
        "registers outside of capabilities are not hidden either",
        PASIDS_20, "pasid-bits=20 ext-caps=3",
        .hwpt = NEST_PASID, .warnings = 1,
    },
};

/* --- helpers --- */

static char *describe_device(const char *name, const char *keys)
{
    return g_strdup_printf("device %s iommu=iommu0 %s\n", name, keys);
}

static char *describe_host(uint64_t ecap, const char *keys0,
                           const char *keys1)
{
    g_autofree char *dev0 = describe_device("dev0", keys0);
    g_autofree char *dev1 = describe_device("dev1", keys1);

    return g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                           " ecap=0x%" PRIx64 " errata=1\n%s%s",
                           (uint64_t)HOST_CAP, ecap ?: (uint64_t)HOST_ECAP,
                           dev0, dev1);
}

/* dev0 and dev1 are not plugged yet */
static bool start(VtdAccelTest *t, const char *iommu_props, uint64_t ecap,
                  const char *keys0, const char *keys1)
{
    g_autofree char *host = describe_host(ecap, keys0, keys1);
    VtdAccelSetup setup = { .iommu_props = iommu_props, .host = host };

    return vtd_accel_start(t, &setup);
}

static uint64_t ecam(unsigned n, unsigned reg)
{
    return ECAM | (uint64_t)fakehost_sid(n) << 12 | reg;
}

static uint32_t cfg_readl(VtdAccelTest *t, unsigned n, unsigned reg)
{
    return qtest_readl(t->host->qts, ecam(n, reg));
}

static uint16_t cfg_readw(VtdAccelTest *t, unsigned n, unsigned reg)
{
    return qtest_readw(t->host->qts, ecam(n, reg));
}

static void cfg_writew(VtdAccelTest *t, unsigned n, unsigned reg,
                       uint16_t value)
{
    qtest_writew(t->host->qts, ecam(n, reg), value);
}

/* As a guest does it: along the list */
static unsigned find_pasid_cap(VtdAccelTest *t, unsigned n)
{
    unsigned pos = PCI_CFG_SPACE_SIZE;

    for (unsigned i = 0; pos; i++) {
        uint32_t header = cfg_readl(t, n, pos);

        g_assert_cmpuint(i, <, 8);
        if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_PASID) {
            g_assert_cmpuint(PCI_EXT_CAP_VER(header), ==, 1);
            return pos;
        }
        pos = PCI_EXT_CAP_NEXT(header);
    }
    return 0;
}

/* Have device @n answer, once it is plugged or after a reset */
static void power_on(VtdAccelTest *t, unsigned n)
{
    fakehost_cfg_writel(t->host, 0, MCH_PCIEXBAR, (uint32_t)ECAM | 1);
    fakehost_set_power(t->host, n, true);
    g_assert_cmphex(cfg_readl(t, n, PCI_VENDOR_ID), ==, 0x00101b36);
}

static void plug(VtdAccelTest *t, unsigned n)
{
    fakehost_plug(t->host, n);
    power_on(t, n);
}

/* --- what a device gets --- */

static void test_case(const void *data)
{
    const Case *c = data;
    g_autofree char *alloc = NULL;
    VtdAccelTest t;
    unsigned pos;
    size_t mark;

    g_test_message("%s", c->what);
    if (!start(&t, c->iommu_props, c->ecap, c->device, "")) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    plug(&t, 0);
    alloc = fakehost_log_last(t.host, 0, "IOMMU_HWPT_ALLOC ", " = 0");
    g_assert_nonnull(alloc);
    g_assert_nonnull(strstr(alloc, c->hwpt));

    pos = find_pasid_cap(&t, 0);
    g_assert_cmphex(pos, ==, c->offset);
    if (pos) {
        g_assert_cmphex(cfg_readw(&t, 0, pos + PCI_PASID_CAP), ==, c->cap);
        g_assert_cmphex(cfg_readw(&t, 0, pos + PCI_PASID_CTRL), ==, 0);
    }
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "PASID capability"), ==,
                     c->warnings);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* The control register is QEMU's, the device behind it is not written */
static void test_control(const void *data)
{
    bool all = data != NULL;
    uint16_t wanted = PCI_PASID_CTRL_ENABLE |
                      (all ? PCI_PASID_CTRL_EXEC | PCI_PASID_CTRL_PRIV : 0);
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, all ?
               "pasid-bits=20 ext-caps=1 pasid-exec=1 pasid-priv=1" :
               "pasid-bits=20 ext-caps=1", "")) {
        return;
    }
    /* The second time it is there only if those bytes still read as zero */
    for (unsigned i = 0; i < 2; i++) {
        plug(&t, 0);
        g_assert_cmphex(find_pasid_cap(&t, 0), ==, LAST_CAP);
        g_assert_cmphex(cfg_readw(&t, 0, LAST_CAP + PCI_PASID_CTRL), ==, 0);

        cfg_writew(&t, 0, LAST_CAP + PCI_PASID_CTRL, 0xffff);
        g_assert_cmphex(cfg_readw(&t, 0, LAST_CAP + PCI_PASID_CTRL), ==,
                        wanted);
        cfg_writew(&t, 0, LAST_CAP + PCI_PASID_CAP, 0xffff);
        g_assert_cmphex(cfg_readw(&t, 0, LAST_CAP + PCI_PASID_CAP), ==,
                        20 << 8 | (all ? EXEC_PRIV : 0));
        cfg_writew(&t, 0, LAST_CAP, 0xffff);
        g_assert_cmphex(find_pasid_cap(&t, 0), ==, LAST_CAP);

        fakehost_reset(t.host);
        power_on(&t, 0);
        g_assert_cmphex(find_pasid_cap(&t, 0), ==, LAST_CAP);
        g_assert_cmphex(cfg_readw(&t, 0, LAST_CAP + PCI_PASID_CTRL), ==, 0);
        fakehost_unplug(t.host, 0);
    }
    fakehost_free(t.host);
}

/* A reset of the function, which the kernel does, switches PASIDs off */
static void test_function_reset(const void *data)
{
    bool can = data != NULL;
    unsigned devctl, pos;
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, can ? "pasid-bits=20" :
               "pasid-bits=20 reset=0", "")) {
        return;
    }
    plug(&t, 0);
    pos = find_pasid_cap(&t, 0) + PCI_PASID_CTRL;
    devctl = fakehost_find_cap(t.host, fakehost_sid(0), PCI_CAP_ID_EXP) +
             PCI_EXP_DEVCTL;
    cfg_writew(&t, 0, pos, PCI_PASID_CTRL_ENABLE);
    cfg_writew(&t, 0, devctl, PCI_EXP_DEVCTL_RELAX_EN);
    cfg_writew(&t, 0, devctl + PCI_EXP_DEVSTA - PCI_EXP_DEVCTL,
               PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(cfg_readw(&t, 0, pos), ==, PCI_PASID_CTRL_ENABLE);
    cfg_writew(&t, 0, devctl, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(cfg_readw(&t, 0, pos), ==,
                    can ? 0 : PCI_PASID_CTRL_ENABLE);
    /* It can be switched on again */
    cfg_writew(&t, 0, pos, PCI_PASID_CTRL_ENABLE);
    g_assert_cmphex(cfg_readw(&t, 0, pos), ==, PCI_PASID_CTRL_ENABLE);
    fakehost_free(t.host);
}

/* --- who shares a HWPT with whom --- */

static void expect_parents(VtdAccelTest *t, unsigned hwpts)
{
    const struct FakehostDevice *dev0 = fakehost_device(t->host, "dev0");
    const struct FakehostDevice *dev1 = fakehost_device(t->host, "dev1");

    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_IOAS), ==, 1);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     hwpts);
    g_assert_cmpuint(dev0->pt_id, !=, 0);
    g_assert_cmpuint(dev1->pt_id, !=, 0);
    g_assert_cmpint(dev0->pt_id == dev1->pt_id, ==, hwpts == 1);
}

/* In either order, a device with PASIDs and one without */
static void test_mixed_shared(const void *data)
{
    unsigned first = GPOINTER_TO_UINT(data);
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, "pasid-bits=20", "")) {
        return;
    }
    plug(&t, first);
    plug(&t, !first);
    expect_parents(&t, 1);
    g_assert_cmphex(find_pasid_cap(&t, 0), ==, PCI_CFG_SPACE_SIZE);
    g_assert_cmphex(find_pasid_cap(&t, 1), ==, 0);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC"), ==, 0);
    fakehost_free(t.host);
}

/*
 * Where the host knows no such HWPT, a device without PASIDs works without;
 * one that has PASIDs needs one, and both still share guest memory.
 */
static void test_unknown_flag(void)
{
    g_autofree char *alloc = NULL;
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, "", "pasid-bits=20")) {
        return;
    }
    fakehost_fail_next(t.host, "HWPT_ALLOC", EOPNOTSUPP);
    fakehost_plug(t.host, 0);
    alloc = fakehost_log_last(t.host, 0, "IOMMU_HWPT_ALLOC ", " = 0");
    g_assert_nonnull(alloc);
    g_assert_nonnull(strstr(alloc, NEST_PARENT));

    plug(&t, 1);
    expect_parents(&t, 2);
    g_assert_cmphex(find_pasid_cap(&t, 1), ==, PCI_CFG_SPACE_SIZE);
    fakehost_unplug(t.host, 1);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* The device is not taken with less than it was promised to the guest */
static void test_alloc_refused(void)
{
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, "pasid-bits=20", "")) {
        return;
    }
    fakehost_fail_next(t.host, "HWPT_ALLOC", EOPNOTSUPP);
    error = fakehost_try_plug(t.host, 0, WITH_IOMMUFD);
    g_assert_nonnull(error);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_ALLOC"), ==, 1);
    fakehost_expect_empty(t.host);
    fakehost_plug(t.host, 0);
    fakehost_free(t.host);
}

static void check_plugged(void *opaque, bool plugged)
{
    VtdAccelTest *t = opaque;

    if (plugged) {
        g_assert_cmpuint(fakehost_device(t->host, "dev0")->hw_pt_id, !=, 0);
    }
}

/* Every call of a realize fails once: it works all the same, or is refused */
static void test_realize_sweep(const void *data)
{
    VtdAccelTest t;

    if (!start(&t, PASIDS_20, 0, data, "")) {
        return;
    }
    g_assert_cmpuint(sweep_plug(t.host, 0, check_plugged,
                                fakehost_expect_empty, &t), >=, 5);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_cases("/vfio-pasid/capability", cases, test_case);
    qtest_add_data_func("/vfio-pasid/control/enable_emulated", NULL,
                        test_control);
    qtest_add_data_func("/vfio-pasid/control/permissions_emulated", "all",
                        test_control);
    qtest_add_data_func("/vfio-pasid/control/function-reset_off", "reset",
                        test_function_reset);
    qtest_add_data_func("/vfio-pasid/control/no-function-reset_stays", NULL,
                        test_function_reset);
    qtest_add_data_func("/vfio-pasid/hwpt/with-then-without_shared",
                        GUINT_TO_POINTER(0), test_mixed_shared);
    qtest_add_data_func("/vfio-pasid/hwpt/without-then-with_shared",
                        GUINT_TO_POINTER(1), test_mixed_shared);
    qtest_add_func("/vfio-pasid/hwpt/unknown-flag_own", test_unknown_flag);
    qtest_add_func("/vfio-pasid/hwpt/refused_not-plugged", test_alloc_refused);
    qtest_add_data_func("/vfio-pasid/realize-sweep/with", "pasid-bits=20",
                        test_realize_sweep);
    qtest_add_data_func("/vfio-pasid/realize-sweep/without", "",
                        test_realize_sweep);
    return g_test_run();
}
