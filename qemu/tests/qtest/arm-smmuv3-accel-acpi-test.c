/*
 * What firmware tables say of SMMUv3s, above all with accel=on: where MSIs of
 * host devices go, that the guest has to keep the PCI configuration for that,
 * and ATS
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "arm-smmuv3-guest.h"

#define MSI_WINDOW_BASE 0x08000000ull
#define MSI_WINDOW_SIZE 0x00100000ull

/* Without a host device nothing can be left to "auto" */
#define ACCEL(ats) "accel=on,ril=on,ats=" ats ",oas=44,ssidsize=0 "
#define SMMU_ON(bus, id) "-device arm-smmuv3,primary-bus=" bus ",id=" id ","
#define PLAIN "accel=off "
#define PXB(id, nr) "-device pxb-pcie,id=" id ",bus=pcie.0,bus_nr=" nr " "
#define MACHINE "-nodefaults -machine virt,gic-version=3 -cpu cortex-a57 "

typedef struct RmrMap {
    int smmu;               /* index in the IORT */
    uint32_t first;
} RmrMap;

typedef struct TableCase {
    const char *name;
    const char *devices;
    unsigned smmus;
    unsigned preserved;     /* root complexes with a _DSM that says so */
    uint32_t ats;
    unsigned rmrs;
    RmrMap rmr_maps[4];     /* of all RMRs, in order */
    unsigned n_rmr_maps;
    bool window;            /* its-in-msi-window=on */
} TableCase;

static const TableCase table_cases[] = {
    {
        "plain", SMMU_ON("pcie.0", "smmu0") PLAIN, 1, 0, 0, 0, {}, 0,
    }, {
        "emulated-with-ats", SMMU_ON("pcie.0", "smmu0") "x-ats=on ",
        1, 0, 1, 0, {}, 0,
    }, {
        "of-machine", "-M iommu=smmuv3 ", 1, 0, 0, 0, {}, 0,
    }, {
        "of-machine-with-ats", "-M iommu=smmuv3 -global arm-smmuv3.x-ats=on ",
        1, 0, 1, 0, {}, 0,
    }, {
        "accel", SMMU_ON("pcie.0", "smmu0") ACCEL("off"), 1, 1, 0,
        1, { { 0, 0 } }, 1,
    }, {
        "accel-with-its-in-window", SMMU_ON("pcie.0", "smmu0") ACCEL("off"), 1,
        1, 0, 1, { { 0, 0 } }, 1, true,
    }, {
        "accel-with-ats", SMMU_ON("pcie.0", "smmu0") ACCEL("on"), 1, 1, 1,
        1, { { 0, 0 } }, 1,
    }, {
        "pxb-shares-that-of-pcie", PXB("pxb1", "8")
        SMMU_ON("pcie.0", "smmu0") ACCEL("off"), 1, 2, 0,
        1, { { 0, 0 }, { 0, 0x800 } }, 2,
    }, {
        "both-accel", PXB("pxb1", "8") SMMU_ON("pcie.0", "smmu0") ACCEL("off")
        SMMU_ON("pxb1", "smmu1") ACCEL("on"), 2, 2, 1,
        2, { { 0, 0 }, { 1, 0x800 } }, 2,
    }, {
        "pxb-accel", PXB("pxb1", "8") SMMU_ON("pcie.0", "smmu0") PLAIN
        SMMU_ON("pxb1", "smmu1") ACCEL("off"), 2, 1, 0,
        1, { { 1, 0x800 } }, 1,
    }, {
        "pcie-accel", PXB("pxb1", "8") SMMU_ON("pxb1", "smmu1") PLAIN
        SMMU_ON("pcie.0", "smmu0") ACCEL("off"), 2, 1, 0,
        1, { { 1, 0 } }, 1,
    },
};

/* Return (Buffer (One) { 0x21 }): functions 0 and 5 are there */
static unsigned count_preserved(QTestState *qts)
{
    static const uint8_t aml[] = { 0xa4, 0x11, 0x03, 0x01, 0x21 };
    size_t size;
    g_autofree uint8_t *tables = smmuv3_read_blob(qts, "etc/acpi/tables",
                                                  &size);
    const uint8_t *at = tables;
    unsigned count = 0;

    while ((at = memmem(at, tables + size - at, aml, sizeof(aml)))) {
        count++;
        at += sizeof(aml);
    }
    return count;
}

static void test_tables(const void *opaque)
{
    const TableCase *c = opaque;
    QTestState *qts = qtest_initf(MACHINE "%s %s", c->window ?
                                  "-M its-in-msi-window=on" : "", c->devices);
    unsigned i, j, maps = 0;
    IortTable iort;

    smmuv3_read_iort(qts, &iort);
    g_assert_cmpuint(count_preserved(qts), ==, c->preserved);
    qtest_quit(qts);

    g_assert_cmpuint(iort.revision, ==, c->rmrs ? 5 : 3);
    g_assert_cmpuint(iort.smmus, ==, c->smmus);
    g_assert_cmphex(iort.ats, ==, c->ats);
    g_assert_cmpuint(iort.rmrs, ==, c->rmrs);
    for (i = 0; i < iort.rmrs; i++) {
        const IortRMR *rmr = &iort.rmr[i];

        g_assert_cmphex(rmr->base, ==, MSI_WINDOW_BASE);
        g_assert_cmphex(rmr->size, ==, MSI_WINDOW_SIZE);
        /* unprivileged, Device-nGnRE; remapping permitted or not */
        g_assert_cmphex(rmr->flags, ==, 1 << 2 | c->window);
        for (j = 0; j < rmr->n_maps; j++, maps++) {
            const RmrMap *want = &c->rmr_maps[maps];

            g_assert_cmpuint(maps, <, c->n_rmr_maps);
            g_assert_cmphex(rmr->maps[j].output, ==,
                            iort.smmu[want->smmu].offset);
            g_assert_cmphex(rmr->maps[j].first, ==, want->first);
            /* nobody has given numbers to buses behind bridges yet */
            g_assert_cmphex(rmr->maps[j].count, ==, 0x100);
        }
    }
    g_assert_cmpuint(maps, ==, c->n_rmr_maps);
}

/* A root port's buses count once it has numbers, but not those of another */
static void test_bus_numbers(void)
{
    static const struct {
        uint32_t buses;     /* of the root port: primary to subordinate */
        uint32_t count;
    } step[] = {
        { 0x00050100, 0x600 }, { 0x00070100, 0x800 }, { 0x00ff0100, 0x800 },
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(step); i++) {
        QTestState *qts = qtest_init("-nodefaults -machine virt,gic-version=3,"
                                     "highmem-ecam=off -cpu cortex-a57 "
                                     PXB("pxb1", "8")
                                     SMMU_ON("pcie.0", "smmu0") ACCEL("off")
                                     "-device pcie-root-port,id=rp0,"
                                     "bus=pcie.0,addr=3");
        IortTable iort;

        smmuv3_write_config(qts, 0, 3, 0x18, step[i].buses);
        smmuv3_read_iort(qts, &iort);
        g_assert_cmpuint(iort.rmrs, ==, 1);
        g_assert_cmpuint(iort.rmr[0].n_maps, ==, 2);
        g_assert_cmphex(iort.rmr[0].maps[0].first, ==, 0);
        g_assert_cmphex(iort.rmr[0].maps[0].count, ==, step[i].count);
        g_assert_cmphex(iort.rmr[0].maps[1].first, ==, 0x800);
        qtest_quit(qts);
    }
}

static void expect_refusal(const char *machine, const char *message)
{
    g_autofree char *said = NULL;
    int status = smmuv3_run_qemu(&said, "-machine virt%s,dumpdtb=/dev/null "
                                 "-cpu cortex-a57 " SMMU_ON("pcie.0", "smmu0")
                                 ACCEL("off"), machine);

    if (status != 1 || !strstr(said, message)) {
        g_test_message("status %d, expected \"%s\", QEMU said: %s", status,
                       message, said);
    }
    g_assert_cmpint(status, ==, 1);
    g_assert_nonnull(strstr(said, message));
}

static void test_acpi_off(void)
{
    expect_refusal(",acpi=off", "smmu0: accel=on needs ACPI, and the machine "
                   "has acpi=off");
}

static void test_kernel_without_firmware(void)
{
    g_autofree char *name = NULL, *kernel = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("smmuv3-XXXXXX", &name, &error);

    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
    close(fd);
    kernel = g_strdup_printf(",kernel=%s", name);
    expect_refusal(kernel, "smmu0: accel=on needs ACPI, and a guest that "
                   "-kernel starts without firmware has a device tree only");
    unlink(name);
}

int main(int argc, char **argv)
{
    int i;

    g_test_init(&argc, &argv, NULL);
    for (i = 0; i < ARRAY_SIZE(table_cases); i++) {
        g_autofree char *name = g_strdup_printf("/arm-smmuv3/accel-acpi/"
                                                "%s_described",
                                                table_cases[i].name);

        qtest_add_data_func(name, &table_cases[i], test_tables);
    }
    qtest_add_func("/arm-smmuv3/accel-acpi/bus-numbers_followed",
                   test_bus_numbers);
    qtest_add_func("/arm-smmuv3/accel-acpi/acpi-off_refused", test_acpi_off);
    qtest_add_func("/arm-smmuv3/accel-acpi/kernel-without-firmware_refused",
                   test_kernel_without_firmware);
    return g_test_run();
}
