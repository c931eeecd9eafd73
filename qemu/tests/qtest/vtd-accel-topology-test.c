/*
 * QTest: where devices may sit behind an accelerated VT-d
 *
 * A case is a tree of bridges with host devices, and the requester ids under
 * which a guest finds them. In each of them an emulated device does DMA under
 * the same vIOMMU: the host does not walk its tables, QEMU does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/pci/pci_regs.h"
#include "libqos/edu.h"
#include "vtd-accel-common.h"

#define DID             5       /* of dev0, dev1 has the next one … */
#define EDU_DID         9
#define DEVICES         3
#define BRIDGES         5
#define ROUNDS          50

#define EDU_BDF         0x00f0  /* unless the case says otherwise */
#define EDU_BAR         0xfd000000u
#define EDU             "-device edu,id=edu0,dma_mask=0xffffffffffffffff,"

#define IOVA            0x14321000ull     /* beyond the end of RAM */
#define UNMAPPED        (IOVA + 0x1000)

typedef struct Bridge {
    uint16_t bdf;               /* when those above it have their numbers */
    uint8_t first, last;        /* the busses it leads to */
} Bridge;

typedef struct Case {
    const char *name;
    const char *what;
    const char *needs;          /* a device that not every build has */
    const char *args;
    const char *cold[DEVICES + 1];
    uint16_t sid[DEVICES];      /* of the device, as the IOMMU sees it */
    Bridge bridges[BRIDGES];    /* the outer ones first */
    uint16_t edu_bdf;           /* 0: on the root bus */
    uint16_t edu_sid;
} Case;

static const Case cases[] = {
    {
        "root-bus", "endpoints integrated into the root complex",
        .cold = { "addr=0x18", "addr=0x19" },
        .sid = { 0x00c0, 0x00c8 },
    }, {
        "root-bus-functions", "functions of one device have their own tables",
        .cold = { "addr=0x18.0,multifunction=on", "addr=0x18.3",
                  "addr=0x18.7" },
        .sid = { 0x00c0, 0x00c3, 0x00c7 },
    }, {
        "root-ports", "bus numbers do not follow the order of ports",
        .args = "-device pcie-root-port,id=a,addr=0x18,chassis=30 "
                "-device pcie-root-port,id=b,addr=0x19,chassis=31 ",
        .cold = { "bus=a", "bus=b" },
        .sid = { 0xfe00, 0x3000 },
        .bridges = { { 0x00c0, 0xfe, 0xfe }, { 0x00c8, 0x30, 0x30 } },
    }, {
        "upper-devices", "device numbers from 16 up have their own table",
        .cold = { "addr=0x1c", "addr=0x0f", "addr=0x10" },
        .sid = { 0x00e0, 0x0078, 0x0080 },
    }, {
        "switch", "below two downstream ports of a switch",
        .needs = "x3130-upstream",
        .args = "-device pcie-root-port,id=r,addr=0x18,chassis=30 "
                "-device x3130-upstream,id=u,bus=r "
                "-device xio3130-downstream,id=a,bus=u,addr=0,chassis=31 "
                "-device xio3130-downstream,id=b,bus=u,addr=1,chassis=32 ",
        .cold = { "bus=a", "bus=b" },
        .sid = { 0x1200, 0x1300 },
        .bridges = { { 0x00c0, 0x10, 0x14 }, { 0x1000, 0x11, 0x14 },
                     { 0x1100, 0x12, 0x12 }, { 0x1108, 0x13, 0x13 } },
    }, {
        "switch-emulated-beside", "an emulated device below the other port",
        .needs = "x3130-upstream",
        .args = "-device pcie-root-port,id=r,addr=0x18,chassis=30 "
                "-device x3130-upstream,id=u,bus=r "
                "-device xio3130-downstream,id=a,bus=u,addr=0,chassis=31 "
                "-device xio3130-downstream,id=b,bus=u,addr=1,chassis=32 "
                EDU "bus=b",
        .cold = { "bus=a" },
        .sid = { 0x1200 },
        .bridges = { { 0x00c0, 0x10, 0x14 }, { 0x1000, 0x11, 0x14 },
                     { 0x1100, 0x12, 0x12 }, { 0x1108, 0x13, 0x13 } },
        .edu_bdf = 0x1300, .edu_sid = 0x1300,
    }, {
        "pcie-pci-bridge", "seen under the bridge's secondary bus",
        .needs = "pcie-pci-bridge",
        .args = "-device pcie-pci-bridge,id=a,addr=0x18 ",
        .cold = { "bus=a,addr=3" },
        .sid = { 0x3000 },
        .bridges = { { 0x00c0, 0x30, 0x30 } },
    }, {
        "pcie-pci-bridge-behind-port", "and so below a root port",
        .needs = "pcie-pci-bridge",
        .args = "-device pcie-root-port,id=r,addr=0x18,chassis=30 "
                "-device pcie-pci-bridge,id=a,bus=r ",
        .cold = { "bus=a,addr=3" },
        .sid = { 0x1100 },
        .bridges = { { 0x00c0, 0x10, 0x11 }, { 0x1000, 0x11, 0x11 } },
    }, {
        "pcie-pci-bridge-two-devices",
        "two host devices under one requester id",
        .needs = "pcie-pci-bridge",
        .args = "-device pcie-pci-bridge,id=a,addr=0x18 ",
        .cold = { "bus=a,addr=3", "bus=a,addr=4" },
        .sid = { 0x3000, 0x3000 },
        .bridges = { { 0x00c0, 0x30, 0x30 } },
    }, {
        "pcie-pci-bridge-emulated-beside",
        "one requester id and one table for a host and an emulated device",
        .needs = "pcie-pci-bridge",
        .args = "-device pcie-pci-bridge,id=a,addr=0x18 "
                EDU "bus=a,addr=2",
        .cold = { "bus=a,addr=3" },
        .sid = { 0x3000 },
        .bridges = { { 0x00c0, 0x30, 0x30 } },
        .edu_bdf = 0x3010, .edu_sid = 0x3000,
    }, {
        "pcie-pci-bridge-behind-port-emulated-beside",
        "the emulated device comes first",
        .needs = "pcie-pci-bridge",
        .args = "-device pcie-root-port,id=r,addr=0x18,chassis=30 "
                "-device pcie-pci-bridge,id=a,bus=r "
                EDU "bus=a,addr=1",
        .cold = { "bus=a,addr=3" },
        .sid = { 0x1100 },
        .bridges = { { 0x00c0, 0x10, 0x11 }, { 0x1000, 0x11, 0x11 } },
        .edu_bdf = 0x1108, .edu_sid = 0x1100,
    }, {
        "dmi-bridge", "this bridge speaks under its own requester id",
        .needs = "i82801b11-bridge",
        .args = "-device i82801b11-bridge,id=a,addr=0x18 "
                EDU "bus=a,addr=2",
        .cold = { "bus=a,addr=3" },
        .sid = { 0x00c0 },
        .bridges = { { 0x00c0, 0x30, 0x30 } },
        .edu_bdf = 0x3010, .edu_sid = 0x00c0,
    }, {
        "pxb-pcie", "another root bus under the same vIOMMU",
        .needs = "pxb-pcie",
        .args = "-device pxb-pcie,id=x,bus_nr=0x40,addr=0x18 "
                "-device pcie-root-port,id=a,bus=x,addr=0,chassis=30 ",
        .cold = { "bus=a", "bus=pcie.0,addr=0x19" },
        .sid = { 0x4100, 0x00c8 },
        .bridges = { { 0x4000, 0x41, 0x41 } },
    },
};

/* --- the emulated device --- */

/* BAR, and the windows of all bridges: open on the way to it, else closed */
static void edu_setup(VtdAccelTest *t, uint16_t bdf, const Bridge *bridges)
{
    const uint16_t enable = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

    for (unsigned i = 0; bridges && i < BRIDGES && bridges[i].first; i++) {
        bool leads = bdf >> 8 >= bridges[i].first &&
                     bdf >> 8 <= bridges[i].last;

        fakehost_cfg_writel(t->host, bridges[i].bdf, PCI_MEMORY_BASE, leads
                            ? EDU_BAR | EDU_BAR >> 16 : 0x0000fff0);
        fakehost_cfg_writew(t->host, bridges[i].bdf, PCI_COMMAND, enable);
    }
    fakehost_cfg_writel(t->host, bdf, PCI_BASE_ADDRESS_0, EDU_BAR);
    fakehost_cfg_writew(t->host, bdf, PCI_COMMAND, enable);
    /* Its identification register */
    g_assert_cmphex(qtest_readl(t->host->qts, EDU_BAR), ==, 0x010000ed);
}

/* Map @iova in the first-stage tables at @table */
static void map_page(VtdAccelTest *t, uint64_t table, uint64_t iova,
                     uint64_t gpa)
{
    VtdGuestTable fs = {
        .root = table, .levels = 4, .flags = VTD_PTE_FIRST_STAGE,
    };

    vtd_guest_map(&t->guest, &fs, iova, gpa, 1);
}

/* --- one case --- */

static unsigned num_devices(const Case *c)
{
    unsigned num = 0;

    while (c->cold[num]) {
        num++;
    }
    return num;
}

static bool start(VtdAccelTest *t, const Case *c)
{
    g_autofree char *args = g_strdup_printf("%s %s", c->args ?: "",
                                            c->edu_bdf ? ""
                                            : EDU "bus=pcie.0,addr=0x1e");
    VtdAccelSetup setup = { .args = args, .cold = c->cold };

    g_test_message("%s", c->what);
    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    for (unsigned i = 0; i < BRIDGES && c->bridges[i].first; i++) {
        const Bridge *b = &c->bridges[i];

        fakehost_number_bus(t->host, b->bdf, b->first, b->last);
    }
    edu_setup(t, c->edu_bdf ?: EDU_BDF, c->edu_bdf ? c->bridges : NULL);
    return true;
}

/* Does the emulated device have its requester id, and table, with another? */
static bool edu_shares(const Case *c)
{
    return c->edu_bdf && c->edu_sid == c->sid[0];
}

/* Each device with a requester id of its own gets a domain of its own */
static void bind_all(VtdAccelTest *t, const Case *c, uint64_t edu_table)
{
    VtdPasidEntry edu = {
        .pgtt = VTD_PGTT_FIRST_STAGE, .domain_id = EDU_DID,
        .table = edu_table, .flags = VTD_PE_WPE,
    };
    unsigned num = num_devices(c);

    if (!edu_shares(c)) {
        vtd_accel_bind_sid(t, c->edu_sid ?: EDU_BDF, &edu);
        for (unsigned i = 0; i < num; i++) {
            vtd_accel_expect_blocked(t, i);
        }
    }
    for (unsigned i = 0; i < num; i++) {
        VtdPasidEntry entry = vtd_accel_fs_entry(DID + i);

        if (i && c->sid[i] == c->sid[i - 1]) {
            vtd_accel_expect_s1(t, i);
            continue;
        }
        vtd_accel_bind_sid(t, c->sid[i], edu_shares(c) ? &edu : &entry);
        vtd_accel_expect_s1(t, i);
    }
}

/* The emulated device: its page, then another one there, then none */
static void check_edu(VtdAccelTest *t, const Case *c, uint64_t table)
{
    QTestState *qts = t->host->qts;
    uint64_t a = vtd_guest_alloc(&t->guest), b = vtd_guest_alloc(&t->guest);
    uint64_t calls = fakehost_calls(t->host, "IOMMU_HWPT_INVALIDATE");

    map_page(t, table, IOVA, a);
    qtest_writeq(qts, a, 0x1122334455667788);
    edu_copy(qts, EDU_BAR, IOVA, IOVA + 8);
    g_assert_cmphex(qtest_readq(qts, a + 8), ==, 0x1122334455667788);

    map_page(t, table, IOVA, b);
    qtest_writeq(qts, b, 0x99aabbccddeeff00);
    vtd_guest_post_piotlb(&t->guest, VTD_PIOTLB_PAGE, EDU_DID, 0, IOVA, 0,
                          false);
    vtd_guest_sync(&t->guest);
    edu_copy(qts, EDU_BAR, IOVA, IOVA + 8);
    g_assert_cmphex(qtest_readq(qts, a + 8), ==, 0x1122334455667788);
    g_assert_cmphex(qtest_readq(qts, b + 8), ==, 0x99aabbccddeeff00);
    /* The host has to know about it just if it walks the same tables */
    g_assert_cmpuint(fakehost_calls(t->host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, edu_shares(c) ? 1 : 0);

    g_assert_cmphex(vtd_guest_readl(&t->guest, DMAR_FSTS_REG) & VTD_FSTS_PPF,
                    ==, 0);
    qtest_writeq(qts, a, 0);
    edu_dma(qts, EDU_BAR, UNMAPPED, true);
    g_assert_cmphex(vtd_guest_readl(&t->guest, DMAR_FSTS_REG) & VTD_FSTS_PPF,
                    ==, VTD_FSTS_PPF);
}

static void unbind_all(VtdAccelTest *t, const Case *c)
{
    unsigned num = num_devices(c);

    for (unsigned i = 0; i < num; i++) {
        qtest_writeq(t->host->qts,
                     vtd_guest_context(&t->guest, c->sid[i]), 0);
        vtd_guest_post_cc(&t->guest, VTD_CC_DEVICE, 0, c->sid[i]);
        vtd_guest_sync(&t->guest);
        vtd_accel_expect_blocked(t, i);
        if (i + 1 < num && c->sid[i + 1] != c->sid[i]) {
            vtd_accel_expect_s1(t, i + 1);
        }
    }
    vtd_accel_expect_s1_hwpts(t, 0);
}

static void test_case(const void *data)
{
    const Case *c = data;
    VtdAccelTest t;
    uint64_t table;

    if (!start(&t, c)) {
        return;
    }
    for (unsigned i = 0; i < num_devices(c); i++) {
        vtd_accel_expect_s2(&t, i);
    }
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
    table = vtd_guest_alloc(&t.guest);
    bind_all(&t, c, table);
    check_edu(&t, c, table);
    for (unsigned i = 0; i < num_devices(c); i++) {
        vtd_accel_expect_s1(&t, i);
    }
    unbind_all(&t, c);
    fakehost_free(t.host);
}

/* --- bus numbers are the guest's, and may change --- */

static void test_renumber(void)
{
    static const char *const cold[] = { "bus=a", NULL };
    VtdAccelSetup setup = {
        .args = "-device pcie-root-port,id=a,addr=0x18,chassis=30",
        .cold = cold,
    };
    static const uint8_t numbers[] = { 0x20, 0x21, 0xff };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        VtdPasidEntry entry = vtd_accel_fs_entry(DID + i);

        fakehost_number_bus(t.host, 0x00c0, numbers[i], numbers[i]);
        /* Nothing of the old number is valid under the new one */
        vtd_guest_enable(&t.guest);
        vtd_guest_post_cc(&t.guest, VTD_CC_GLOBAL, 0, 0);
        vtd_guest_sync(&t.guest);
        vtd_accel_expect_blocked(&t, 0);
        vtd_accel_bind_sid(&t, numbers[i] << 8, &entry);
        vtd_accel_expect_s1(&t, 0);
        vtd_accel_expect_s1_hwpts(&t, 1);
    }
    fakehost_free(t.host);
}

/* --- a root bus that bypasses the vIOMMU --- */

static void test_bypass(void)
{
    static const char *const cold[] = { "bus=a", NULL };
    VtdAccelSetup setup = {
        .args = "-device pxb-pcie,id=x,bus_nr=0x40,addr=0x18,bypass_iommu=on "
                "-device pcie-root-port,id=a,bus=x,addr=0,chassis=30",
        .cold = cold,
    };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    struct FakehostDevice *dev;
    VtdAccelTest t;
    uint32_t table;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dev = fakehost_device(t.host, "dev0");
    table = dev->pt_id;
    g_assert_cmpuint(table, !=, 0);
    fakehost_plug(t.host, 1);
    vtd_accel_expect_s2(&t, 1);
    g_assert_cmpuint(dev->pt_id, !=, vtd_accel_s2_id(&t));
    vtd_accel_bind(&t, 1, &entry);
    fakehost_number_bus(t.host, 0x4000, 0x41, 0x41);
    vtd_accel_bind_sid(&t, 0x4100, &entry);
    g_assert_cmpuint(dev->pt_id, ==, table);
    g_assert_cmpuint(dev->hw_pt_id, ==, table);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* --- emulated devices come and go beside a bound one --- */

static void test_emulated_rounds(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdPasidEntry edu = vtd_accel_fs_entry(EDU_DID);
    /* The second root port of the common machine, and what is below it */
    static const Bridge port[BRIDGES] = { { 5 << 3, 2, 2 } };
    uint64_t page, calls;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    edu.table = vtd_guest_alloc(&t.guest);
    page = vtd_guest_alloc(&t.guest);
    map_page(&t, edu.table, IOVA, page);
    vtd_accel_bind_sid(&t, fakehost_sid(1), &edu);
    calls = fakehost_total_calls(t.host);
    for (unsigned i = 0; i < ROUNDS; i++) {
        qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'device_add',"
                                 " 'arguments': { 'driver': 'edu',"
                                 " 'id': 'dev1', 'bus': 'rp1',"
                                 " 'dma_mask': -1 } }");
        fakehost_set_power(t.host, 1, true);
        edu_setup(&t, fakehost_sid(1), port);
        qtest_writeq(t.host->qts, page, i + 1);
        edu_copy(t.host->qts, EDU_BAR, IOVA, IOVA + 8);
        g_assert_cmphex(qtest_readq(t.host->qts, page + 8), ==, i + 1);
        fakehost_unplug(t.host, 1);
        vtd_accel_expect_s1(&t, 0);
    }
    /* None of this is the host's business */
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    fakehost_free(t.host);
}

static bool has_device(const char *name)
{
    return !name || qtest_has_device(name);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path = g_strdup_printf("/vtd-accel/topology/%s_s1",
                                                cases[i].name);

        if (has_device("edu") && has_device(cases[i].needs)) {
            qtest_add_data_func(path, &cases[i], test_case);
        }
    }
    qtest_add_func("/vtd-accel/topology/bus-renumbered_followed",
                   test_renumber);
    if (has_device("pxb-pcie")) {
        qtest_add_func("/vtd-accel/topology/pxb-bypass_untouched",
                       test_bypass);
    }
    if (has_device("edu")) {
        qtest_add_func("/vtd-accel/topology/50-emulated_host-untouched",
                       test_emulated_rounds);
    }
    return g_test_run();
}
