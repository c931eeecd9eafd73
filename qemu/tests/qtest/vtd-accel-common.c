/*
 * What the qtests of the accelerated VT-d share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "vtd-accel-common.h"

#define FIRST_SLOT      4       /* device number of root port 0 */

/* Unplug by the slot's own registers: there is no ACPI in these guests */
#define NATIVE_HOTPLUG  \
    "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"

/* --- config space --- */

static uint16_t port_bdf(unsigned port)
{
    return (FIRST_SLOT + port) << 3;
}

uint32_t vtd_accel_cfg_readl(VtdAccelTest *t, uint16_t bdf, unsigned reg)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | bdf << 8 | (reg & ~3u));
    return qtest_inl(t->host->qts, 0xcfc);
}

void vtd_accel_cfg_writew(VtdAccelTest *t, uint16_t bdf, unsigned reg,
                          uint16_t value)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | bdf << 8 | (reg & ~3u));
    qtest_outw(t->host->qts, 0xcfc + (reg & 2), value);
}

void vtd_accel_cfg_writel(VtdAccelTest *t, uint16_t bdf, unsigned reg,
                          uint32_t value)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | bdf << 8 | (reg & ~3u));
    qtest_outl(t->host->qts, 0xcfc, value);
}

static unsigned cfg_find_express(VtdAccelTest *t, uint16_t bdf)
{
    unsigned pos = vtd_accel_cfg_readl(t, bdf, PCI_CAPABILITY_LIST) & 0xfc;

    while (pos) {
        uint32_t cap = vtd_accel_cfg_readl(t, bdf, pos);

        if ((cap & 0xff) == PCI_CAP_ID_EXP) {
            return pos;
        }
        pos = cap >> 8 & 0xfc;
    }
    g_assert_not_reached();
}

void vtd_accel_number_bus(VtdAccelTest *t, uint16_t bdf, uint8_t first,
                          uint8_t last)
{
    vtd_accel_cfg_writel(t, bdf, PCI_PRIMARY_BUS,
                         bdf >> 8 | first << 8 | last << 16);
}

/* There is no firmware to number the busses */
static void number_busses(VtdAccelTest *t)
{
    for (unsigned i = 0; i < t->ports; i++) {
        vtd_accel_number_bus(t, port_bdf(i), vtd_accel_bus(i),
                             vtd_accel_bus(i));
    }
}

void vtd_accel_set_power(VtdAccelTest *t, unsigned port, bool on)
{
    uint16_t bdf = port_bdf(port);
    unsigned pos = cfg_find_express(t, bdf);

    vtd_accel_cfg_writew(t, bdf, pos + PCI_EXP_SLTCTL, on ?
                         PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_PWR_ON :
                         PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
}

/* --- machine --- */

const char *vtd_accel_dev(unsigned n)
{
    static char names[VTD_ACCEL_PORTS_MAX][8];

    g_assert_cmpuint(n, <, VTD_ACCEL_PORTS_MAX);
    g_snprintf(names[n], sizeof(names[n]), "dev%u", n);
    return names[n];
}

uint8_t vtd_accel_bus(unsigned n)
{
    return n + 1;
}

uint16_t vtd_accel_sid(unsigned n)
{
    return vtd_accel_bus(n) << 8;
}

static char *describe_host(const VtdAccelSetup *setup)
{
    GString *s = g_string_new(setup->host);

    if (setup->host) {
        return g_string_free(s, false);
    }
    if (setup->host_type) {
        g_string_printf(s, "iommu iommu0 type=%s\n", setup->host_type);
    } else {
        g_string_printf(s, "iommu iommu0 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 " errata=1 %s\n",
                        setup->cap ?: (uint64_t)HOST_CAP,
                        setup->ecap ?: (uint64_t)HOST_ECAP,
                        setup->iommu_options ?: "");
    }
    for (unsigned i = 0; i < VTD_ACCEL_PORTS_MAX; i++) {
        g_string_append_printf(s, "device %s iommu=iommu0\n",
                               vtd_accel_dev(i));
    }
    return g_string_free(s, false);
}

/* The objects that a device may name, and the devices that are there at once */
static char *describe_devices(FakeHost *host, const VtdAccelSetup *setup)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < MAX(setup->iommufds, 1); i++) {
        g_autofree char *name = g_strdup_printf("iommufd%u", i);

        g_string_append_printf(s, "-object iommufd,id=%s,fd=%d ", name,
                               fakehost_fd(host, name));
    }
    g_string_append(s, setup->args ?: "");
    for (unsigned i = 0; setup->cold && setup->cold[i]; i++) {
        const char *name = vtd_accel_dev(i);

        g_string_append_printf(s, " -device vfio-pci,id=%s,fd=%d,"
                               "iommufd=iommufd0,%s", name,
                               fakehost_fd(host, name), setup->cold[i]);
    }
    return g_string_free(s, false);
}

bool vtd_accel_start(VtdAccelTest *t, const VtdAccelSetup *setup)
{
    g_autofree char *description = describe_host(setup);
    g_autoptr(GString) ports = g_string_new(NULL);
    g_autofree char *devices = NULL;

    if (!fakehost_available()) {
        return false;
    }
    t->ports = setup->ports ?: MAX(setup->devices, 2);
    g_assert_cmpuint(t->ports, <=, VTD_ACCEL_PORTS_MAX);
    for (unsigned i = 0; i < t->ports; i++) {
        g_string_append_printf(ports, "-device pcie-root-port,id=rp%u,"
                               "chassis=%u,addr=0x%x ", i, i + 1,
                               FIRST_SLOT + i);
    }
    t->host = fakehost_new(description);
    t->host->no_log = setup->no_log;
    devices = describe_devices(t->host, setup);
    fakehost_start(t->host, "-M q35 " NATIVE_HOTPLUG " -m %dM "
                   "-device intel-iommu,%s %s %s %s", VTD_GUEST_RAM_MB,
                   setup->iommu_props ?: VTD_ACCEL_PROPS, ports->str, devices,
                   setup->incoming ? "-incoming defer" : "");
    if (!setup->incoming) {
        number_busses(t);
    }
    vtd_guest_init(&t->guest, t->host->qts, VTD_GUEST_TABLES,
                   setup->width ?: 32);
    for (unsigned i = 0; i < setup->devices; i++) {
        vtd_accel_plug(t, i);
    }
    return true;
}

void vtd_accel_end(VtdAccelTest *t)
{
    fakehost_free(t->host);
    t->host = NULL;
}

char *vtd_accel_try_plug(VtdAccelTest *t, unsigned n, const char *props)
{
    g_autofree char *all = g_strdup_printf(", 'bus': 'rp%u' %s", n, props);

    return fakehost_plug(t->host, vtd_accel_dev(n), all);
}

void vtd_accel_plug(VtdAccelTest *t, unsigned n)
{
    g_autofree char *error = vtd_accel_try_plug(t, n,
                                                ", 'iommufd': 'iommufd0'");

    g_assert_cmpstr(error, ==, NULL);
}

void vtd_accel_unplug(VtdAccelTest *t, unsigned n)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'device_del',"
                             " 'arguments': { 'id': %s } }",
                             vtd_accel_dev(n));
    /* What a guest does that agrees */
    vtd_accel_set_power(t, n, false);
    qtest_qmp_eventwait(t->host->qts, "DEVICE_DELETED");
}

void vtd_accel_reset(VtdAccelTest *t)
{
    fakehost_reset(t->host);
    number_busses(t);
}

uint64_t vtd_accel_bind_sid(VtdAccelTest *t, uint16_t source_id,
                            const VtdPasidEntry *entry)
{
    VtdGuest *g = &t->guest;
    uint64_t dir = vtd_guest_add_context(g, source_id >> 8, source_id & 0xff,
                                         0);

    vtd_guest_write_pasid(g, dir, 0, entry);
    if (!vtd_guest_translates(g)) {
        vtd_guest_enable(g);
    }
    vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, source_id);
    if (g->queue_width == 32) {
        /* There is no narrow form of it */
        vtd_guest_post_pc(g, VTD_PC_PASID, entry->domain_id, 0);
    }
    vtd_guest_sync(g);
    return dir;
}

uint64_t vtd_accel_bind(VtdAccelTest *t, unsigned n,
                        const VtdPasidEntry *entry)
{
    return vtd_accel_bind_sid(t, vtd_accel_sid(n), entry);
}

VtdPasidEntry vtd_accel_fs_entry(uint16_t domain_id)
{
    return (VtdPasidEntry) {
        .pgtt = VTD_PGTT_FIRST_STAGE,
        .domain_id = domain_id,
        .table = VTD_GUEST_FSTS_DIR + domain_id * 0x1000ull,
        .flags = VTD_PE_WPE,
    };
}

VtdPasidEntry vtd_accel_pt_entry(uint16_t domain_id)
{
    return (VtdPasidEntry) {
        .pgtt = VTD_PGTT_PASS_THROUGH,
        .domain_id = domain_id,
    };
}

/* --- expectations --- */

uint32_t vtd_accel_s2_id(VtdAccelTest *t)
{
    g_autofree char *line = fakehost_log_last(t->host, 0,
                                              "IOMMU_HWPT_ALLOC flags=0x1 ",
                                              " = 0");
    const char *id;

    if (!line) {
        /* With PASIDs */
        line = fakehost_log_last(t->host, 0, "IOMMU_HWPT_ALLOC flags=0x9 ",
                                 " = 0");
    }
    g_assert_nonnull(line);
    id = strstr(line, "out_hwpt_id=");
    g_assert_nonnull(id);
    return atoi(id + strlen("out_hwpt_id="));
}

/* Fail with everything that the host knows about the device */
static void explain(VtdAccelTest *t, unsigned n, const char *wanted)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       vtd_accel_dev(n));
    g_autofree char *log = fakehost_log_since(t->host, 0);
    size_t len = strlen(log);

    g_test_message("…%s", log + (len > 3000 ? len - 3000 : 0));
    g_error("%s: expected %s, has HWPT %u in the books, %u in the hardware",
            dev->name, wanted, dev->pt_id, dev->hw_pt_id);
}

void vtd_accel_expect_s1(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       vtd_accel_dev(n));

    if (!dev->pt_id || dev->pt_id != dev->hw_pt_id ||
        dev->pt_id == vtd_accel_s2_id(t)) {
        explain(t, n, "first-stage tables");
    }
}

void vtd_accel_expect_s2(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       vtd_accel_dev(n));
    uint32_t s2 = vtd_accel_s2_id(t);

    if (dev->pt_id != s2 || dev->hw_pt_id != s2) {
        explain(t, n, "guest memory");
    }
}

void vtd_accel_expect_blocked(VtdAccelTest *t, unsigned n)
{
    if (!fakehost_is_blocked(t->host, vtd_accel_dev(n))) {
        explain(t, n, "blocked DMA");
    }
}

void vtd_accel_expect_s1_hwpts(VtdAccelTest *t, unsigned num)
{
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_NESTED), ==,
                     num);
}

void vtd_accel_expect_empty(VtdAccelTest *t)
{
    for (unsigned type = FAKEHOST_OBJ_DEVICE; type < FAKEHOST_OBJ_TYPES;
         type++) {
        unsigned left = fakehost_objects(t->host, type);

        if (left) {
            g_error("%u objects of type %u are left in the host", left, type);
        }
    }
    g_assert_cmpuint(t->host->page->areas, ==, 0);
}
