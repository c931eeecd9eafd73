/*
 * What the qtests of the accelerated SMMUv3 share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"

#define FIRST_SLOT      4           /* device number of root port 0 */
#define ECAM_BASE       0x4010000000ull

/* With the first user-created SMMU at the start of the platform bus */
#define SMMU_BASE       0x0c000000ull
#define GUEST_TABLES    (SMMUV3_GUEST_RAM + 0x100000)

/* --- config space --- */

static uint64_t cfg_addr(uint16_t bdf, unsigned reg)
{
    return ECAM_BASE + ((uint64_t)bdf << 12) + reg;
}

uint32_t smmuv3_accel_cfg_readl(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg)
{
    return qtest_readl(t->host->qts, cfg_addr(bdf, reg));
}

void smmuv3_accel_cfg_writel(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg,
                             uint32_t value)
{
    qtest_writel(t->host->qts, cfg_addr(bdf, reg), value);
}

void smmuv3_accel_cfg_writew(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg,
                             uint16_t value)
{
    qtest_writew(t->host->qts, cfg_addr(bdf, reg), value);
}

static uint16_t port_bdf(unsigned port)
{
    /* One function in each of 28 slots, then a second one, … */
    return (FIRST_SLOT + port % 28) << 3 | port / 28;
}

void smmuv3_accel_number_bus(Smmuv3AccelTest *t, unsigned port, uint8_t bus)
{
    smmuv3_accel_cfg_writel(t, port_bdf(port), PCI_PRIMARY_BUS,
                            bus << 8 | bus << 16);
}

/* There is no firmware to number the busses */
static void number_busses(Smmuv3AccelTest *t)
{
    for (unsigned i = 0; i < t->ports; i++) {
        smmuv3_accel_number_bus(t, i, i + 1);
    }
}

static unsigned find_express(Smmuv3AccelTest *t, uint16_t bdf)
{
    unsigned pos = smmuv3_accel_cfg_readl(t, bdf, PCI_CAPABILITY_LIST) & 0xfc;

    while (pos) {
        uint32_t cap = smmuv3_accel_cfg_readl(t, bdf, pos);

        if ((cap & 0xff) == PCI_CAP_ID_EXP) {
            return pos;
        }
        pos = cap >> 8 & 0xfc;
    }
    g_assert_not_reached();
}

static void power_off(Smmuv3AccelTest *t, unsigned port)
{
    uint16_t bdf = port_bdf(port);
    unsigned pos = find_express(t, bdf);

    smmuv3_accel_cfg_writew(t, bdf, pos + PCI_EXP_SLTCTL,
                            PCI_EXP_SLTCTL_PWR_IND_OFF |
                            PCI_EXP_SLTCTL_PWR_OFF);
}

/* --- machine --- */

const char *smmuv3_accel_dev(unsigned n)
{
    static char names[SMMUV3_ACCEL_PORTS_MAX][8];

    g_assert_cmpuint(n, <, SMMUV3_ACCEL_PORTS_MAX);
    g_snprintf(names[n], sizeof(names[n]), "dev%u", n);
    return names[n];
}

uint32_t smmuv3_accel_sid(unsigned n)
{
    return (n + 1) << 8;
}

static char *describe_host(const Smmuv3AccelSetup *setup)
{
    GString *s = g_string_new(setup->host);

    if (setup->host) {
        return g_string_free(s, false);
    }
    if (setup->host_type) {
        g_string_printf(s, "iommu iommu0 type=%s\n", setup->host_type);
    } else {
        g_string_printf(s, "iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                        "idr3=0x%x idr5=0x%x\n", HOST_IDR0 ^ setup->idr0,
                        HOST_IDR1 ^ setup->idr1, HOST_IDR3 ^ setup->idr3,
                        HOST_IDR5 ^ setup->idr5);
    }
    for (unsigned i = 0; i < SMMUV3_ACCEL_PORTS_MAX; i++) {
        g_string_append_printf(s, "device %s iommu=iommu0\n",
                               smmuv3_accel_dev(i));
    }
    return g_string_free(s, false);
}

static unsigned count_ports(const Smmuv3AccelSetup *setup)
{
    return setup->ports ?: MAX(setup->cold + setup->devices, 2);
}

char *smmuv3_accel_args(const Smmuv3AccelSetup *setup)
{
    GString *s = g_string_new(NULL);
    unsigned ports = count_ports(setup);

    g_string_printf(s, "-M virt,gic-version=3 "
                    "-cpu cortex-a57 -m %dM %s ", SMMUV3_GUEST_RAM_MB,
                    setup->bus ? "-device pxb-pcie,id=pxb.0,bus=pcie.0,"
                    "bus_nr=8,addr=2" : "");
    g_string_append_printf(s, "-device arm-smmuv3,id=smmu0,primary-bus=%s,"
                           "accel=on,%s ", setup->bus ?: "pcie.0",
                           setup->smmu_props ?: setup->cold ? "ril=auto" :
                           SMMUV3_ACCEL_FIXED);
    g_assert_cmpuint(ports, <=, SMMUV3_ACCEL_PORTS_MAX);
    for (unsigned i = 0; i < ports; i++) {
        g_string_append_printf(s, "-device pcie-root-port,id=rp%u,bus=%s,"
                               "chassis=%u,multifunction=on,addr=%x.%x ", i,
                               setup->bus ?: "pcie.0", i + 1,
                               port_bdf(i) >> 3, port_bdf(i) & 7);
    }
    g_string_append(s, setup->args ?: "");
    return g_string_free(s, false);
}

/* The objects that a device may name, and the devices that are there at once */
static char *describe_devices(FakeHost *host, const Smmuv3AccelSetup *setup)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < MAX(setup->iommufds, 1); i++) {
        g_autofree char *name = g_strdup_printf("iommufd%u", i);

        g_string_append_printf(s, "-object iommufd,id=%s,fd=%d ", name,
                               fakehost_fd(host, name));
    }
    for (unsigned i = 0; i < setup->cold; i++) {
        const char *name = smmuv3_accel_dev(i);

        g_string_append_printf(s, " -device vfio-pci,id=%s,fd=%d,bus=rp%u,"
                               "iommufd=iommufd0", name,
                               fakehost_fd(host, name), i);
    }
    return g_string_free(s, false);
}

bool smmuv3_accel_start(Smmuv3AccelTest *t, const Smmuv3AccelSetup *setup)
{
    g_autofree char *description = describe_host(setup);
    g_autofree char *args = smmuv3_accel_args(setup);
    g_autofree char *devices = NULL;

    if (!fakehost_available()) {
        return false;
    }
    t->ports = count_ports(setup);
    t->host = fakehost_new(description);
    t->events = g_dir_make_tmp("smmuv3-events-XXXXXX", NULL);
    g_assert_nonnull(t->events);
    g_setenv("FAKEHOST_EVENTS", t->events, true);
    devices = describe_devices(t->host, setup);
    fakehost_start(t->host, "%s %s", args, devices);
    g_unsetenv("FAKEHOST_EVENTS");
    number_busses(t);
    smmuv3_guest_init(&t->guest, t->host->qts, SMMU_BASE, GUEST_TABLES);
    for (unsigned i = 0; i < setup->devices; i++) {
        smmuv3_accel_plug(t, setup->cold + i);
    }
    return true;
}

void smmuv3_accel_end(Smmuv3AccelTest *t)
{
    const char *name;
    GDir *dir;

    fakehost_free(t->host);
    t->host = NULL;
    dir = g_dir_open(t->events, 0, NULL);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(t->events, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(t->events);
    g_free(t->events);
}

char *smmuv3_accel_try_plug(Smmuv3AccelTest *t, unsigned n, const char *props)
{
    g_autofree char *all = g_strdup_printf(", 'bus': 'rp%u' %s", n, props);

    return fakehost_plug(t->host, smmuv3_accel_dev(n), all);
}

void smmuv3_accel_plug(Smmuv3AccelTest *t, unsigned n)
{
    g_autofree char *error = smmuv3_accel_try_plug(t, n,
                                                   ", 'iommufd': 'iommufd0'");

    g_assert_cmpstr(error, ==, NULL);
}

void smmuv3_accel_unplug(Smmuv3AccelTest *t, unsigned n)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'device_del',"
                             " 'arguments': { 'id': %s } }",
                             smmuv3_accel_dev(n));
    /* What a guest does that agrees */
    power_off(t, n);
    qtest_qmp_eventwait(t->host->qts, "DEVICE_DELETED");
}

void smmuv3_accel_reset(Smmuv3AccelTest *t)
{
    fakehost_reset(t->host);
    number_busses(t);
}

uint64_t smmuv3_accel_s1_ste(unsigned n)
{
    return SMMUV3_STE_S1 | (SMMUV3_GUEST_CDS + n * 0x1000);
}

void smmuv3_accel_bind(Smmuv3AccelTest *t, unsigned n)
{
    Smmuv3Guest *g = &t->guest;
    uint32_t sid = smmuv3_accel_sid(n);

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
                                                       smmuv3_accel_dev(n));
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
    g_error("%s: expected %s, has %s", smmuv3_accel_dev(n), names[wanted],
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

void smmuv3_accel_expect_empty(Smmuv3AccelTest *t)
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

void smmuv3_accel_expect_alive(Smmuv3AccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
    g_assert_cmphex(smmuv3_guest_readl(&t->guest, SMMUV3_IDR0), !=, 0);
}

uint64_t smmuv3_accel_calls_since(Smmuv3AccelTest *t, const char *call,
                                  uint64_t *count)
{
    uint64_t now = fakehost_calls(t->host, call);
    uint64_t since = now - *count;

    *count = now;
    return since;
}
