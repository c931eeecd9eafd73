/*
 * What the qtests of the accelerated VT-d share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vtd-accel-common.h"

/* Unplug by the slot's own registers: there is no ACPI in these guests */
#define NATIVE_HOTPLUG  \
    "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"

/* --- machine --- */

static char *describe_host(const VtdAccelSetup *setup)
{
    g_autofree char *iommu = NULL;

    if (setup->host) {
        return g_strdup(setup->host);
    }
    if (setup->host_type) {
        iommu = g_strdup_printf("iommu iommu0 type=%s\n", setup->host_type);
    } else {
        iommu = g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                                " ecap=0x%" PRIx64 " errata=1 %s\n",
                                setup->cap ?: (uint64_t)HOST_CAP,
                                setup->ecap ?: (uint64_t)HOST_ECAP,
                                setup->iommu_options ?: "");
    }
    return fakehost_describe(iommu);
}

bool vtd_accel_start(VtdAccelTest *t, const VtdAccelSetup *setup)
{
    g_autofree char *description = describe_host(setup);
    g_autoptr(GString) args = g_string_new(NULL);

    if (!fakehost_available()) {
        return false;
    }
    t->host = fakehost_new(description);
    t->host->no_log = setup->no_log;
    t->host->ports = setup->ports ?: MAX(setup->devices, 2);
    fakehost_add_ports(args, "pcie.0", t->host->ports);
    fakehost_add_iommufds(t->host, args, MAX(setup->iommufds, 1));
    g_string_append(args, setup->args ?: "");
    for (unsigned i = 0; setup->cold && setup->cold[i]; i++) {
        fakehost_add_device(t->host, args, i, setup->cold[i]);
    }
    fakehost_start(t->host, "-M q35 " NATIVE_HOTPLUG " -m %dM "
                   "-device intel-iommu,%s %s %s", VTD_GUEST_RAM_MB,
                   setup->iommu_props ?: VTD_ACCEL_PROPS, args->str,
                   setup->incoming ? "-incoming defer" : "");
    if (!setup->incoming) {
        fakehost_number_busses(t->host);
    }
    vtd_guest_init(&t->guest, t->host->qts, VTD_GUEST_TABLES,
                   setup->width ?: 32);
    for (unsigned i = 0; i < setup->devices; i++) {
        fakehost_plug(t->host, i);
    }
    return true;
}

uint64_t vtd_accel_bind_sid(VtdAccelTest *t, uint16_t source_id,
                            const VtdPasidEntry *entry)
{
    VtdGuest *g = &t->guest;
    uint64_t dir = vtd_guest_add_context(g, source_id, 0);

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
    return vtd_accel_bind_sid(t, fakehost_sid(n), entry);
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
                                                       fakehost_dev(n));
    g_autofree char *log = fakehost_log_since(t->host, 0);
    size_t len = strlen(log);

    g_test_message("…%s", log + (len > 3000 ? len - 3000 : 0));
    g_error("%s: expected %s, has HWPT %u in the books, %u in the hardware",
            dev->name, wanted, dev->pt_id, dev->hw_pt_id);
}

void vtd_accel_expect_s1(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));

    if (!dev->pt_id || dev->pt_id != dev->hw_pt_id ||
        dev->pt_id == vtd_accel_s2_id(t)) {
        explain(t, n, "first-stage tables");
    }
}

void vtd_accel_expect_s2(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));
    uint32_t s2 = vtd_accel_s2_id(t);

    if (dev->pt_id != s2 || dev->hw_pt_id != s2) {
        explain(t, n, "guest memory");
    }
}

void vtd_accel_expect_blocked(VtdAccelTest *t, unsigned n)
{
    if (!fakehost_is_blocked(t->host, fakehost_dev(n))) {
        explain(t, n, "blocked DMA");
    }
}

void vtd_accel_expect_s1_hwpts(VtdAccelTest *t, unsigned num)
{
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_NESTED), ==,
                     num);
}
