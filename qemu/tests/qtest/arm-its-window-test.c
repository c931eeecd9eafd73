/*
 * The virt machine with its-in-msi-window=on: where the GIC is, what is left of
 * flash, and what the firmware tables say of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "arm-smmuv3-guest.h"

#define MACHINE "-nodefaults -cpu cortex-a57 -machine virt,gic-version=3"
#define FLASH1          0x04000000u
#define FLASH_SIZE      (64 * MiB)

/* Where the frames are by default, and in the window */
#define GICD            0x08000000u
#define GICD_MOVED      0x08010000u
#define GITS            0x08080000u
#define GITS_MOVED      0x07ff0000u
#define GITS_TYPER      0x08

/* At the end of a frame: version 3 of the architecture */
#define PIDR2           0xffe8
#define PIDR2_ARCH(reg) (((reg) >> 4) & 0xf)

/* MADT: subtables, and the offset of the base address in those two */
#define MADT_SUBTABLES  44
#define MADT_GICD       12
#define MADT_GITS       15
#define MADT_BASE       8

static uint64_t madt_base(QTestState *qts, uint8_t type)
{
    size_t size;
    g_autofree uint8_t *tables = smmuv3_read_blob(qts, "etc/acpi/tables",
                                                  &size);
    const uint8_t *madt = memmem(tables, size, "APIC", 4);
    const uint8_t *at, *end;

    g_assert_nonnull(madt);
    end = madt + ldl_le_p(madt + 4);
    for (at = madt + MADT_SUBTABLES; at < end; at += at[1]) {
        g_assert_cmpuint(at[1], !=, 0);
        if (at[0] == type) {
            return ldq_le_p(at + MADT_BASE);
        }
    }
    g_assert_not_reached();
}

/* A pattern in flash where the first frame of the ITS would be */
static char *make_flash(void)
{
    static const uint8_t pattern[8] = "flash!!";
    g_autoptr(GError) error = NULL;
    char *name = NULL;
    int fd = g_file_open_tmp("its-window-XXXXXX", &name, &error);

    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(fd, FLASH_SIZE), ==, 0);
    g_assert_cmpint(pwrite(fd, pattern, 8, GITS_MOVED - 8 - FLASH1), ==, 8);
    g_assert_cmpint(pwrite(fd, pattern, 8, GITS_MOVED + PIDR2 - FLASH1), ==, 8);
    close(fd);
    return name;
}

static void test_places(const void *data)
{
    bool on = GPOINTER_TO_INT(data);
    uint32_t gicd = on ? GICD_MOVED : GICD, gits = on ? GITS_MOVED : GITS;
    g_autofree char *flash = make_flash();
    QTestState *qts = qtest_initf(MACHINE "%s -drive if=pflash,unit=1,"
                                  "format=raw,file=%s",
                                  on ? ",its-in-msi-window=on" : "", flash);
    char text[8];

    g_assert_cmphex(madt_base(qts, MADT_GICD), ==, gicd);
    g_assert_cmphex(madt_base(qts, MADT_GITS), ==, gits);
    g_assert_cmphex(PIDR2_ARCH(qtest_readl(qts, gicd + PIDR2)), ==, 3);
    g_assert_cmphex(PIDR2_ARCH(qtest_readl(qts, gits + PIDR2)), ==, 3);
    /* It has physical LPIs, and it is no memory */
    g_assert_cmphex(qtest_readl(qts, gits + GITS_TYPER) & 1, ==, 1);
    qtest_writel(qts, gits + GITS_TYPER, 0);
    g_assert_cmphex(qtest_readl(qts, gits + GITS_TYPER) & 1, ==, 1);

    /* Flash goes as far as it is not hidden */
    qtest_memread(qts, GITS_MOVED - 8, text, sizeof(text));
    g_assert_cmpstr(text, ==, "flash!!");
    if (!on) {
        qtest_memread(qts, GITS_MOVED + PIDR2, text, sizeof(text));
        g_assert_cmpstr(text, ==, "flash!!");
    }
    qtest_quit(qts);
    unlink(flash);
}

static void test_fdt(const void *data)
{
    bool on = GPOINTER_TO_INT(data);
    g_autofree char *name = NULL, *said = NULL, *fdt = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;
    int fd = g_file_open_tmp("its-window-XXXXXX", &name, &error);

    g_assert_no_error(error);
    close(fd);
    g_assert_cmpint(smmuv3_run_qemu(&said, MACHINE "%s,dumpdtb=%s",
                                    on ? ",its-in-msi-window=on" : "", name),
                    ==, 0);
    g_assert_true(g_file_get_contents(name, &fdt, &size, &error));
    g_assert_cmpint(!memmem(fdt, size, "its@7ff0000", 12), ==, !on);
    g_assert_cmpint(!memmem(fdt, size, "intc@8010000", 13), ==, !on);
    g_assert_cmpint(!memmem(fdt, size, "its@8080000", 12), ==, on);
    g_assert_cmpint(!memmem(fdt, size, "intc@8000000", 13), ==, on);
    unlink(name);
}

/* What virtio-iommu tells the guest of the doorbell follows it */
static void test_virtio_iommu(void)
{
    QTestState *qts = qtest_init(MACHINE ",its-in-msi-window=on "
                                 "-device virtio-iommu-pci,id=iommu0");
    QDict *answer = qtest_qmp(qts, "{'execute': 'qom-get', 'arguments': {"
                              "'path': '/machine/peripheral/iommu0',"
                              "'property': 'reserved-regions'}}");
    QString *region;

    region = qobject_to(QString, qlist_peek(qdict_get_qlist(answer, "return")));
    g_assert_nonnull(region);
    g_assert_cmpstr(qstring_get_str(region), ==, "0x8000000:0x800ffff:1");
    qobject_unref(answer);
    qtest_quit(qts);
}

static void test_refused(const void *data)
{
    static const char message[] = "its-in-msi-window=on needs an ITS, and the "
                                  "machine has none";
    g_autofree char *said = NULL;
    int status = smmuv3_run_qemu(&said, "-nodefaults -cpu cortex-a57 -machine "
                                 "virt,its-in-msi-window=on,%s",
                                 (const char *)data);

    g_test_message("status %d, QEMU said: %s", status, said);
    g_assert_cmpint(status, ==, 1);
    g_assert_nonnull(strstr(said, message));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/arm-its-window/off_in-its-place",
                        GINT_TO_POINTER(false), test_places);
    qtest_add_data_func("/arm-its-window/on_moved",
                        GINT_TO_POINTER(true), test_places);
    qtest_add_data_func("/arm-its-window/off_in-device-tree",
                        GINT_TO_POINTER(false), test_fdt);
    qtest_add_data_func("/arm-its-window/on_in-device-tree",
                        GINT_TO_POINTER(true), test_fdt);
    qtest_add_func("/arm-its-window/virtio-iommu_follows", test_virtio_iommu);
    qtest_add_data_func("/arm-its-window/gicv2_refused", "gic-version=2",
                        test_refused);
    qtest_add_data_func("/arm-its-window/no-its_refused",
                        "gic-version=3,its=off", test_refused);
    return g_test_run();
}
