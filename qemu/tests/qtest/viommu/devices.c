/*
 * Host devices of a QEMU on fakehost, each behind a root port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "devices.h"

#define FIRST_SLOT      4       /* device number of root port 0 */
#define SLOTS           27      /* from there on; then their second functions */

/* --- config space --- */

/* Where to access a register, after its address was given if need be */
static uint64_t cfg_place(FakeHost *host, uint16_t bdf, unsigned reg)
{
    if (host->ecam) {
        return host->ecam + ((uint64_t)bdf << 12) + reg;
    }
    qtest_outl(host->qts, 0xcf8, 1u << 31 | bdf << 8 | (reg & ~3u));
    return 0xcfc + (reg & 2);
}

uint32_t fakehost_cfg_readl(FakeHost *host, uint16_t bdf, unsigned reg)
{
    uint64_t place = cfg_place(host, bdf, reg);

    return host->ecam ? qtest_readl(host->qts, place)
                      : qtest_inl(host->qts, place);
}

void fakehost_cfg_writew(FakeHost *host, uint16_t bdf, unsigned reg,
                         uint16_t value)
{
    uint64_t place = cfg_place(host, bdf, reg);

    if (host->ecam) {
        qtest_writew(host->qts, place, value);
    } else {
        qtest_outw(host->qts, place, value);
    }
}

void fakehost_cfg_writel(FakeHost *host, uint16_t bdf, unsigned reg,
                         uint32_t value)
{
    uint64_t place = cfg_place(host, bdf, reg);

    if (host->ecam) {
        qtest_writel(host->qts, place, value);
    } else {
        qtest_outl(host->qts, place, value);
    }
}

unsigned fakehost_find_cap(FakeHost *host, uint16_t bdf, uint8_t id)
{
    unsigned pos = fakehost_cfg_readl(host, bdf, PCI_CAPABILITY_LIST) & 0xfc;

    while (pos) {
        uint32_t cap = fakehost_cfg_readl(host, bdf, pos);

        if ((cap & 0xff) == id) {
            return pos;
        }
        pos = cap >> 8 & 0xfc;
    }
    g_assert_not_reached();
}

void fakehost_number_bus(FakeHost *host, uint16_t bdf, uint8_t first,
                         uint8_t last)
{
    fakehost_cfg_writel(host, bdf, PCI_PRIMARY_BUS,
                        bdf >> 8 | first << 8 | last << 16);
}

void fakehost_number_busses(FakeHost *host)
{
    for (unsigned i = 0; i < host->ports; i++) {
        fakehost_number_bus(host, fakehost_port(i), i + 1, i + 1);
    }
}

void fakehost_set_power(FakeHost *host, unsigned n, bool on)
{
    uint16_t bdf = fakehost_port(n);
    unsigned pos = fakehost_find_cap(host, bdf, PCI_CAP_ID_EXP);

    fakehost_cfg_writew(host, bdf, pos + PCI_EXP_SLTCTL, on ?
                        PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_PWR_ON :
                        PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
}

/* --- names and places --- */

const char *fakehost_dev(unsigned n)
{
    static char names[FAKEHOST_PORTS_MAX][8];

    g_assert_cmpuint(n, <, FAKEHOST_PORTS_MAX);
    g_snprintf(names[n], sizeof(names[n]), "dev%u", n);
    return names[n];
}

uint32_t fakehost_sid(unsigned n)
{
    return (n + 1) << 8;
}

uint16_t fakehost_port(unsigned n)
{
    return (FIRST_SLOT + n % SLOTS) << 3 | n / SLOTS;
}

char *fakehost_describe(const char *iommu)
{
    GString *s = g_string_new(iommu);

    for (unsigned i = 0; i < FAKEHOST_PORTS_MAX; i++) {
        g_string_append_printf(s, "device %s iommu=iommu0\n", fakehost_dev(i));
    }
    return g_string_free(s, false);
}

void fakehost_add_ports(GString *args, const char *bus, unsigned ports)
{
    g_assert_cmpuint(ports, <=, FAKEHOST_PORTS_MAX);
    for (unsigned i = 0; i < ports; i++) {
        g_string_append_printf(args, "-device pcie-root-port,id=rp%u,bus=%s,"
                               "chassis=%u,multifunction=on,addr=%x.%x ", i,
                               bus, i + 1, fakehost_port(i) >> 3,
                               fakehost_port(i) & 7);
    }
}

void fakehost_add_iommufds(FakeHost *host, GString *args, unsigned number)
{
    for (unsigned i = 0; i < number; i++) {
        g_autofree char *name = g_strdup_printf("iommufd%u", i);

        g_string_append_printf(args, "-object iommufd,id=%s,fd=%d ", name,
                               fakehost_fd(host, name));
    }
}

void fakehost_add_device(FakeHost *host, GString *args, unsigned n,
                         const char *props)
{
    const char *name = fakehost_dev(n);

    g_string_append_printf(args, " -device vfio-pci,id=%s,fd=%d,"
                           "iommufd=iommufd0,%s", name,
                           fakehost_fd(host, name), props);
}

/* --- plug and unplug --- */

char *fakehost_try_plug(FakeHost *host, unsigned n, const char *props)
{
    g_autofree char *all = g_strdup_printf(", 'bus': 'rp%u' %s", n, props);

    return fakehost_device_add(host, fakehost_dev(n), all);
}

void fakehost_plug(FakeHost *host, unsigned n)
{
    g_autofree char *error = fakehost_try_plug(host, n, WITH_IOMMUFD);

    g_assert_cmpstr(error, ==, NULL);
}

void fakehost_unplug(FakeHost *host, unsigned n)
{
    qtest_qmp_assert_success(host->qts, "{ 'execute': 'device_del',"
                             " 'arguments': { 'id': %s } }", fakehost_dev(n));
    /* What a guest does that agrees */
    fakehost_set_power(host, n, false);
    qtest_qmp_eventwait(host->qts, "DEVICE_DELETED");
}

void fakehost_reset(FakeHost *host)
{
    qtest_system_reset(host->qts);
    fakehost_number_busses(host);
}

char *fakehost_plug_dimm(FakeHost *host)
{
    return fakehost_qmp_error(host, "{ 'execute': 'device_add',"
                              " 'arguments': { 'driver': 'pc-dimm',"
                              " 'id': 'dimm1', 'memdev': 'mem1' } }");
}

/* --- what is left --- */

void fakehost_expect_empty(FakeHost *host)
{
    for (unsigned type = FAKEHOST_OBJ_DEVICE; type < FAKEHOST_OBJ_TYPES;
         type++) {
        unsigned left = fakehost_objects(host, type);

        if (left) {
            g_error("%u objects of type %u are left in the host", left, type);
        }
    }
    g_assert_cmpuint(host->page->areas, ==, 0);
}
