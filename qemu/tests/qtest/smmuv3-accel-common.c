/*
 * What the qtests of the accelerated SMMUv3 share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3-accel-common.h"

#define ECAM_BASE       0x4010000000ull

/* With the first user-created SMMU at the start of the platform bus */
#define SMMU_BASE       0x0c000000ull
#define GUEST_TABLES    (SMMUV3_GUEST_RAM + 0x100000)

/* --- machine --- */

void smmuv3_accel_number_bus(Smmuv3AccelTest *t, unsigned port, uint8_t bus)
{
    fakehost_number_bus(t->host, fakehost_port(port), bus, bus);
}

static char *describe_host(const Smmuv3AccelSetup *setup)
{
    g_autofree char *iommu = NULL;

    if (setup->host) {
        return g_strdup(setup->host);
    }
    if (setup->host_type) {
        iommu = g_strdup_printf("iommu iommu0 type=%s\n", setup->host_type);
    } else {
        iommu = g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                                "idr3=0x%x idr5=0x%x %s\n",
                                HOST_IDR0 ^ setup->idr0,
                                HOST_IDR1 ^ setup->idr1,
                                HOST_IDR3 ^ setup->idr3,
                                HOST_IDR5 ^ setup->idr5,
                                setup->host_more ?: "");
    }
    return fakehost_describe(iommu);
}

static unsigned count_ports(const Smmuv3AccelSetup *setup)
{
    return setup->ports ?: MAX(setup->cold + setup->devices, 2);
}

char *smmuv3_accel_args(const Smmuv3AccelSetup *setup)
{
    GString *s = g_string_new(NULL);

    g_string_printf(s, "-M virt,gic-version=3 "
                    "-cpu cortex-a57 -m %dM %s ", SMMUV3_GUEST_RAM_MB,
                    setup->bus ? "-device pxb-pcie,id=pxb.0,bus=pcie.0,"
                    "bus_nr=8,addr=2" : "");
    g_string_append_printf(s, "-device arm-smmuv3,id=smmu0,primary-bus=%s,"
                           "accel=on,%s ", setup->bus ?: "pcie.0",
                           setup->smmu_props ?: setup->cold ? "ril=auto" :
                           SMMUV3_ACCEL_FIXED);
    fakehost_add_ports(s, setup->bus ?: "pcie.0", count_ports(setup));
    g_string_append(s, setup->args ?: "");
    return g_string_free(s, false);
}

bool smmuv3_accel_start(Smmuv3AccelTest *t, const Smmuv3AccelSetup *setup)
{
    g_autofree char *description = describe_host(setup);
    g_autofree char *args = smmuv3_accel_args(setup);
    g_autoptr(GString) devices = g_string_new(NULL);

    if (!fakehost_available()) {
        return false;
    }
    t->host = fakehost_new(description);
    t->host->no_log = setup->no_log;
    t->host->ports = count_ports(setup);
    t->host->ecam = ECAM_BASE;
    fakehost_add_iommufds(t->host, devices, MAX(setup->iommufds, 1));
    for (unsigned i = 0; i < setup->cold; i++) {
        g_autofree char *bus = g_strdup_printf("bus=rp%u", i);

        fakehost_add_device(t->host, devices, i, bus);
    }
    fakehost_start(t->host, "%s %s", args, devices->str);
    fakehost_number_busses(t->host);
    smmuv3_guest_init(&t->guest, t->host->qts, SMMU_BASE, GUEST_TABLES);
    for (unsigned i = 0; i < setup->devices; i++) {
        fakehost_plug(t->host, setup->cold + i);
    }
    return true;
}

uint64_t smmuv3_accel_s1_ste(unsigned n)
{
    return SMMUV3_STE_S1 | (SMMUV3_GUEST_CDS + n * 0x1000);
}

void smmuv3_accel_bind(Smmuv3AccelTest *t, unsigned n)
{
    Smmuv3Guest *g = &t->guest;
    uint32_t sid = fakehost_sid(n);

    if (!(smmuv3_guest_readl(g, SMMUV3_CR0) & SMMUV3_CR0_SMMUEN)) {
        smmuv3_guest_enable(g);
    }
    smmuv3_guest_write_ste(g, sid, smmuv3_accel_s1_ste(n), 0);
    smmuv3_guest_cfgi(g, sid);
    smmuv3_accel_expect(t, n, SMMUV3_IS_S1);
}

/* --- expectations --- */

/* Of the log line that allocated the HWPT which has this id now */
static char *find_hwpt(Smmuv3AccelTest *t, uint32_t id)
{
    g_autofree char *out = g_strdup_printf("out_hwpt_id=%u ", id);
    char *line = fakehost_log_last(t->host, 0, "IOMMU_HWPT_ALLOC", out);

    g_assert_nonnull(line);
    return line;
}

Smmuv3AccelState smmuv3_accel_state(Smmuv3AccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));
    g_autofree char *line = NULL;
    const char *ste;
    uint64_t word0;

    if (dev->pt_id != dev->hw_pt_id) {
        return dev->hw_pt_id ? SMMUV3_IS_SPLIT : SMMUV3_IS_LOST;
    }
    if (!dev->pt_id) {
        return SMMUV3_IS_DETACHED;
    }
    line = find_hwpt(t, dev->pt_id);
    ste = strstr(line, "ste=[");
    if (!ste) {
        return SMMUV3_IS_PARENT;
    }
    word0 = g_ascii_strtoull(ste + strlen("ste=["), NULL, 16);
    switch (word0 & 0xf) {
    case SMMUV3_STE_S1:
        return SMMUV3_IS_S1;
    case SMMUV3_STE_BYPASS:
        return SMMUV3_IS_BYPASS;
    default:
        return SMMUV3_IS_ABORT;
    }
}

/* Fail with everything that the host knows about the device */
static void explain(Smmuv3AccelTest *t, unsigned n, Smmuv3AccelState wanted,
                    Smmuv3AccelState found)
{
    static const char *const names[] = {
        [SMMUV3_IS_S1] = "stage 1", [SMMUV3_IS_BYPASS] = "bypass",
        [SMMUV3_IS_ABORT] = "abort", [SMMUV3_IS_DETACHED] = "nothing",
        [SMMUV3_IS_PARENT] = "the nesting parent",
        [SMMUV3_IS_LOST] = "nothing, but something in the books",
        [SMMUV3_IS_SPLIT] = "one thing in the books, another in hardware",
    };
    g_autofree char *log = fakehost_log_since(t->host, 0);
    g_autofree char *err = fakehost_err_since(t->host, 0);
    size_t len = strlen(log);

    g_test_message("…%s", log + (len > 3000 ? len - 3000 : 0));
    g_test_message("%s", err);
    g_error("%s: expected %s, has %s", fakehost_dev(n), names[wanted],
            names[found]);
}

void smmuv3_accel_expect(Smmuv3AccelTest *t, unsigned n,
                         Smmuv3AccelState state)
{
    Smmuv3AccelState found = smmuv3_accel_state(t, n);

    if (found != state) {
        explain(t, n, state, found);
    }
}

unsigned smmuv3_accel_s1_hwpts(Smmuv3AccelTest *t)
{
    unsigned nested = fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_NESTED);
    unsigned viommus = fakehost_objects(t->host, FAKEHOST_OBJ_VIOMMU);

    g_assert_cmpuint(nested, >=, 2 * viommus);
    return nested - 2 * viommus;
}

void smmuv3_accel_expect_alive(Smmuv3AccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
    g_assert_cmphex(smmuv3_guest_readl(&t->guest, SMMUV3_IDR0), !=, 0);
}
