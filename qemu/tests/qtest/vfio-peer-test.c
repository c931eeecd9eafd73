/*
 * QTest: DMA of one host device to the BAR of another, behind a nesting vIOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "vtd-accel-common.h"

#define PORT_BDF(n)     ((4 + (n)) << 3)
#define DISPLAY_BDF     (0x10 << 3)
#define DISPLAY_BAR     0xd0000000ull
/* Root port 0 leads to 1 MiB from here; MSI-X is in the BAR's second half */
#define BAR             0xe0000000ull
#define MSIX_TABLE      0x2000
#define OFFSET          0x108
#define VALUE           0x1122334455667788ull

/* @iommufds: more than 1 if the test plugs the devices */
static bool start_with(VtdAccelTest *t, const char *device, unsigned iommufds)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%"
                        PRIx64 "\ndevice dev0 iommu=iommu0 %s\n"
                        "device dev1 iommu=iommu0 %s\n", (uint64_t)HOST_CAP,
                        (uint64_t)HOST_ECAP, device, device);
    VtdAccelSetup setup = {
        .host = host, .devices = iommufds > 1 ? 0 : 2, .iommufds = iommufds,
        .args = "-device bochs-display,addr=0x10 ",
    };

    return vtd_accel_start(t, &setup);
}

static bool start(VtdAccelTest *t, const char *device)
{
    return start_with(t, device, 1);
}

static void set_command(VtdAccelTest *t, uint16_t bdf, uint16_t command)
{
    fakehost_cfg_writew(t->host, bdf, PCI_COMMAND, command);
}

/* Where dev0 shall be, memory decode of its own left off */
static void place_bar(VtdAccelTest *t)
{
    fakehost_cfg_writel(t->host, PORT_BDF(0), PCI_MEMORY_BASE, 0xe000e000);
    set_command(t, PORT_BDF(0), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    fakehost_cfg_writel(t->host, fakehost_sid(0), PCI_BASE_ADDRESS_0, BAR);
    fakehost_cfg_writel(t->host, fakehost_sid(0), PCI_BASE_ADDRESS_1, 0);
    fakehost_cfg_writel(t->host, DISPLAY_BDF, PCI_BASE_ADDRESS_0, DISPLAY_BAR);
}

static void set_memory(VtdAccelTest *t, bool on)
{
    set_command(t, fakehost_sid(0), on ? PCI_COMMAND_MEMORY : 0);
}

static bool start_placed(VtdAccelTest *t, const char *device)
{
    if (!start(t, device)) {
        return false;
    }
    fakehost_set_power(t->host, 0, true);
    place_bar(t);
    return true;
}

/* A write of dev1, which calls for another device's memory carry out */
static int dma(VtdAccelTest *t, uint64_t addr, uint64_t value)
{
    struct FakehostDma *dma = &t->host->page->dma;

    dma->iova = addr;
    dma->gpa = addr;
    dma->value = value;
    dma->wanted = 2;
    set_command(t, DISPLAY_BDF, PCI_COMMAND_MEMORY);
    set_command(t, DISPLAY_BDF, 0);
    g_assert_cmpuint(dma->wanted, ==, 0);
    return dma->result;
}

/* It arrives, and the guest's CPU finds it in the BAR */
static void expect_reached(VtdAccelTest *t)
{
    static uint64_t value = VALUE;

    value++;
    g_assert_cmpint(dma(t, BAR + OFFSET, value), ==, 0);
    g_assert_cmphex(qtest_readq(t->host->qts, BAR + OFFSET), ==, value);
}

static void expect_blocked(VtdAccelTest *t)
{
    g_assert_cmpint(dma(t, BAR + OFFSET, VALUE), ==, -EFAULT);
    /* Memory is reached all the same */
    g_assert_cmpint(dma(t, 0x100000, VALUE), ==, 0);
}

static uint64_t file_maps(VtdAccelTest *t)
{
    return fakehost_calls(t->host, "IOMMU_IOAS_MAP_FILE");
}

static void test_reached(void)
{
    uint32_t areas;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    areas = t.host->page->areas;
    expect_blocked(&t);
    set_memory(&t, true);
    expect_reached(&t);
    /* MSI-X is QEMU's */
    g_assert_cmpint(dma(&t, BAR + MSIX_TABLE, VALUE), ==, -EFAULT);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_IOAS_MAP_FILE"), ==,
                     0);
    set_memory(&t, false);
    expect_blocked(&t);
    g_assert_cmpuint(t.host->page->areas, ==, areas);
    fakehost_free(t.host);
}

/* The BAR is in two pieces, with MSI-X between them */
static void test_toggled(const void *device)
{
    bool mapped = g_str_equal(device, "dmabuf=1");
    uint64_t asked, files;
    VtdAccelTest t;

    if (!start_placed(&t, device)) {
        return;
    }
    asked = fakehost_calls(t.host, "IOMMU_IOAS_MAP");
    files = file_maps(&t);
    set_memory(&t, true);
    /* The host is asked for what it may do, and not for each device */
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_IOAS_MAP"), ==, asked);
    g_assert_cmpuint(file_maps(&t) - files, ==, mapped ? 2 : 0);
    asked = fakehost_calls(t.host, "IOMMU_IOAS_UNMAP");
    set_memory(&t, false);
    /* One call takes both away */
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_IOAS_UNMAP") - asked, ==,
                     mapped ? 1 : 0);
    fakehost_free(t.host);
}

/* What another BAR hid for a while is mapped as if it were new */
static void test_overlapped(void)
{
    uint32_t areas;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    set_memory(&t, true);
    areas = t.host->page->areas;
    fakehost_cfg_writel(t.host, DISPLAY_BDF, PCI_BASE_ADDRESS_2, BAR + 0x1000);
    set_command(&t, DISPLAY_BDF, PCI_COMMAND_MEMORY);
    fakehost_expect_log(t.host, 0, "IOMMU_IOAS_MAP_FILE ", " length=0x1000 ");
    set_command(&t, DISPLAY_BDF, 0);
    g_assert_cmpuint(t.host->page->areas, ==, areas);
    fakehost_cfg_writel(t.host, DISPLAY_BDF, PCI_BASE_ADDRESS_2, 0);
    expect_reached(&t);
    fakehost_free(t.host);
}

/* Decode that goes off and on, and another address */
static void test_decode(void)
{
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        set_memory(&t, true);
        expect_reached(&t);
        set_memory(&t, false);
        expect_blocked(&t);
    }
    set_memory(&t, true);
    fakehost_cfg_writel(t.host, fakehost_sid(0), PCI_BASE_ADDRESS_0,
                        BAR + 0x10000);
    expect_blocked(&t);
    g_assert_cmpint(dma(&t, BAR + 0x10000 + OFFSET, VALUE), ==, 0);
    g_assert_cmphex(qtest_readq(t.host->qts, BAR + 0x10000 + OFFSET), ==,
                    VALUE);
    fakehost_free(t.host);
}

static void test_sleep(void)
{
    VtdAccelTest t;
    unsigned pm;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    set_memory(&t, true);
    pm = fakehost_find_cap(t.host, fakehost_sid(0), PCI_CAP_ID_PM);
    fakehost_cfg_writew(t.host, fakehost_sid(0), pm + PCI_PM_CTRL, 3);
    expect_blocked(&t);
    fakehost_cfg_writew(t.host, fakehost_sid(0), pm + PCI_PM_CTRL, 0);
    expect_reached(&t);
    fakehost_free(t.host);
}

/* A reset by the guest's driver leaves decode on; the host's mapping is gone */
static void test_function_reset(void)
{
    uint16_t sid = fakehost_sid(0);
    uint32_t resets;
    unsigned exp;
    uint64_t maps;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    set_memory(&t, true);
    expect_reached(&t);
    exp = fakehost_find_cap(t.host, sid, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
    resets = fakehost_device(t.host, "dev0")->resets;
    maps = file_maps(&t);
    fakehost_cfg_writew(t.host, sid, exp, PCI_EXP_DEVCTL_BCR_FLR);
    expect_reached(&t);
    fakehost_cfg_writel(t.host, sid, exp, PCI_EXP_DEVCTL_BCR_FLR);
    expect_reached(&t);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->resets, ==, resets + 2);
    g_assert_cmpuint(file_maps(&t), >, maps);

    /* What starts none maps nothing */
    maps = file_maps(&t);
    fakehost_cfg_writew(t.host, sid, exp, PCI_EXP_DEVCTL_RELAX_EN);
    fakehost_cfg_writew(t.host, sid, exp + 2, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmpuint(file_maps(&t), ==, maps);

    /* With decode off there is nothing to map, and later there is */
    set_memory(&t, false);
    fakehost_cfg_writew(t.host, sid, exp, PCI_EXP_DEVCTL_BCR_FLR);
    expect_blocked(&t);
    set_memory(&t, true);
    expect_reached(&t);
    fakehost_free(t.host);
}

/* QEMU resets a device that does not get ready for migration */
static void test_migration_reset(void)
{
    uint32_t resets;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1 migrate=1")) {
        return;
    }
    set_memory(&t, true);
    expect_reached(&t);
    resets = fakehost_device(t.host, "dev0")->resets;
    fakehost_fail(t.host, "FEATURE", 1, 0, EIO, 0);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->resets, >, resets);
    fakehost_clear_rules(t.host);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    expect_reached(&t);
    fakehost_free(t.host);
}

static void test_machine_reset(void)
{
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    set_memory(&t, true);
    fakehost_reset(t.host);
    fakehost_set_power(t.host, 0, true);
    place_bar(&t);
    expect_blocked(&t);
    set_memory(&t, true);
    expect_reached(&t);
    fakehost_free(t.host);
}

/* Plugged and unplugged, the peer stays: neither mappings nor files are left */
static void test_unplugged(void)
{
    uint32_t areas;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    areas = t.host->page->areas;
    for (unsigned i = 0; i < 3; i++) {
        set_memory(&t, true);
        expect_reached(&t);
        fakehost_unplug(t.host, 0);
        expect_blocked(&t);
        g_assert_cmpuint(t.host->page->areas, ==, areas);
        fakehost_plug(t.host, 0);
        fakehost_set_power(t.host, 0, true);
        place_bar(&t);
    }
    fakehost_free(t.host);
}

/* It goes, and cannot reach memory, even if its BAR stays where it was */
static void test_unplug_refused(void)
{
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    set_memory(&t, true);
    expect_reached(&t);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pt_id, !=, 0);
    fakehost_fail(t.host, "IOAS_UNMAP", 1, 0, EBUSY, 0);
    fakehost_unplug(t.host, 0);
    FAKEHOST_AWAIT(t.host, !fakehost_device(t.host, "dev0")->pt_id);
    expect_blocked(&t);
    fakehost_clear_rules(t.host);
    fakehost_plug(t.host, 0);
    fakehost_set_power(t.host, 0, true);
    place_bar(&t);
    set_memory(&t, true);
    expect_reached(&t);
    fakehost_free(t.host);
}

/* Nobody can reach the BAR of the only device, so it is mapped for the next */
static void test_lone(void)
{
    uint64_t calls;
    VtdAccelTest t;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    fakehost_unplug(t.host, 1);
    calls = fakehost_total_calls(t.host);
    set_memory(&t, true);
    set_memory(&t, false);
    set_memory(&t, true);
    g_assert_cmpuint(file_maps(&t), ==, 0);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    fakehost_plug(t.host, 1);
    g_assert_cmpuint(file_maps(&t), >, 0);
    expect_reached(&t);
    set_memory(&t, false);
    expect_blocked(&t);
    fakehost_free(t.host);
}

/* A device of another iommufd object is nobody's own */
static void test_lone_beside_other(void)
{
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!start_with(&t, "dmabuf=1", 2)) {
        return;
    }
    fakehost_plug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, ", 'iommufd': 'iommufd1'");
    g_assert_cmpstr(error, ==, NULL);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 2);
    fakehost_set_power(t.host, 0, true);
    place_bar(&t);
    expect_blocked(&t);
    set_memory(&t, true);
    expect_reached(&t);
    set_memory(&t, false);
    expect_blocked(&t);
    fakehost_free(t.host);
}

/* The host refuses it only then */
static void test_lone_refused(void)
{
    g_autofree char *err = NULL;
    VtdAccelTest t;
    size_t mark;

    if (!start_placed(&t, "dmabuf=1")) {
        return;
    }
    fakehost_unplug(t.host, 1);
    fakehost_fail(t.host, "IOAS_MAP_FILE", 1, 0, EFAULT, 0);
    mark = fakehost_err_mark(t.host);
    set_memory(&t, true);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, ""), ==, 0);
    fakehost_plug(t.host, 1);
    err = fakehost_err_since(t.host, mark);
    fakehost_expect_text(err, "dev0: other devices cannot reach its BARs");
    fakehost_clear_rules(t.host);
    expect_blocked(&t);
    set_memory(&t, false);
    set_memory(&t, true);
    expect_reached(&t);
    fakehost_free(t.host);
}

typedef struct RefusalCase {
    const char *name;
    const char *device;
    const char *call;           /* that fails, or NULL */
    int err;
} RefusalCase;

static const RefusalCase refusal_cases[] = {
    { "old-host", "dmabuf=0", NULL, EFAULT },
    { "feature", "dmabuf=1", "FEATURE", EFAULT },
    { "map-file-unknown", "dmabuf=1", "IOAS_MAP_FILE", ENOTTY },
    { "map-file", "dmabuf=1", "IOAS_MAP_FILE", EOPNOTSUPP },
};

/* The host does not do it: said once for the device, nothing else suffers */
static void test_refused(const void *data)
{
    const RefusalCase *c = data;
    g_autofree char *err = NULL;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, c->device)) {
        return;
    }
    if (c->call) {
        fakehost_unplug(t.host, 0);
        fakehost_fail(t.host, c->call, 1, 0, c->err, 0);
        fakehost_plug(t.host, 0);
    }
    fakehost_set_power(t.host, 0, true);
    place_bar(&t);
    mark = fakehost_err_mark(t.host);
    for (unsigned i = 0; i < 3; i++) {
        set_memory(&t, true);
        expect_blocked(&t);
        set_memory(&t, false);
    }
    err = fakehost_err_since(t.host, mark);
    fakehost_expect_text(err, "dev0: other devices cannot reach its BARs");
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "peer-to-peer"), ==, 1);
    g_assert_nonnull(strstr(err, g_strerror(c->err)));
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vfio-peer/bar_reached", test_reached);
    qtest_add_data_func("/vfio-peer/toggled-without-dmabuf_not-asked",
                        "dmabuf=0", test_toggled);
    qtest_add_data_func("/vfio-peer/toggled_asked-once", "dmabuf=1",
                        test_toggled);
    qtest_add_func("/vfio-peer/overlapped_as-before", test_overlapped);
    qtest_add_func("/vfio-peer/decode-off_blocked", test_decode);
    qtest_add_func("/vfio-peer/low-power_blocked", test_sleep);
    qtest_add_func("/vfio-peer/function-reset_mapped-again",
                   test_function_reset);
    qtest_add_func("/vfio-peer/migration-reset_mapped-again",
                   test_migration_reset);
    qtest_add_func("/vfio-peer/machine-reset_mapped-again",
                   test_machine_reset);
    qtest_add_func("/vfio-peer/unplugged_nothing-left", test_unplugged);
    qtest_add_func("/vfio-peer/unplugged_unmap-refused", test_unplug_refused);
    qtest_add_func("/vfio-peer/lone_mapped-for-next", test_lone);
    qtest_add_func("/vfio-peer/lone_refused-then", test_lone_refused);
    qtest_add_func("/vfio-peer/lone-beside-other_reached",
                   test_lone_beside_other);
    qtest_add_cases("/vfio-peer/refused", refusal_cases, test_refused);
    return g_test_run();
}
