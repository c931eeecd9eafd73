/*
 * QTest: what of the guest's memory host devices behind an accelerated SMMUv3
 * reach, and what if the host refuses to map some of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/memfd.h"
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"

#define BAR             0x10000000ull   /* in the window of the root complex */
#define DISPLAY_BDF     (0x10 << 3)
#define NVDIMM_SIZE     0x8000000
#define NVDIMM_LENGTH   "length=0x8000000 "
#define WITH_DIMM \
    "-m 512M,slots=2,maxmem=1G -object memory-backend-ram,id=mem1,size=128M "

static void test_dimm(void)
{
    Smmuv3AccelSetup setup = { .devices = 1, .args = WITH_DIMM };
    g_autofree char *error = NULL;
    g_autofree char *none = NULL;
    uint32_t areas;
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    areas = t.host->page->areas;
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "IOAS_MAP", 1, 0, ENOMEM, 0);
    error = fakehost_plug_dimm(t.host);
    fakehost_expect_text(error, "mem1");
    g_assert_nonnull(strstr(error, g_strerror(ENOMEM)));
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "DMA to mem1"), ==, 1);
    fakehost_clear_rules(t.host);
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    g_assert_cmpuint(t.host->page->areas, ==, areas);

    none = fakehost_plug_dimm(t.host);
    g_assert_cmpstr(none, ==, NULL);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);
    fakehost_free(t.host);
}

static void set_memory(Smmuv3AccelTest *t, bool on)
{
    fakehost_cfg_writew(t->host, DISPLAY_BDF, PCI_COMMAND,
                        on ? PCI_COMMAND_MEMORY : 0);
}

/* The display is on another root complex, its memory is the guest's alike */
static void test_ram_bar(void)
{
    Smmuv3AccelSetup setup = { .devices = 1, .bus = "pxb.0",
                               .args = "-device bochs-display,bus=pcie.0,"
                                       "addr=0x10 " };
    uint32_t areas;
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    areas = t.host->page->areas;
    fakehost_cfg_writel(t.host, DISPLAY_BDF, PCI_BASE_ADDRESS_0, BAR);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "IOAS_MAP", 1, 0, ENOMEM, 0);
    set_memory(&t, true);
    fakehost_clear_rules(t.host);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "is blocked for"), ==,
                     1);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    g_assert_cmpuint(t.host->page->areas, ==, areas);
    set_memory(&t, false);
    set_memory(&t, true);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);
    fakehost_free(t.host);
}

/* No SMMU has a reason to leave out what the guest must not write */
static void test_readonly(const void *memfd)
{
    g_autofree char *line = NULL;
    g_autofree char *path = NULL;
    g_autofree char *args = NULL;
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    int fd = memfd ? memfd_create("nvdimm", 0)
                   : g_file_open_tmp("nvdimm-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, NVDIMM_SIZE), ==, 0);
    if (memfd) {
        path = g_strdup_printf("/proc/%d/fd/%d", getpid(), fd);
    }
    args = g_strdup_printf("-M nvdimm=on -m 512M,slots=2,maxmem=2G "
                           "-object memory-backend-file,id=nv,size=%u,"
                           "mem-path=%s,share=on,readonly=on "
                           "-device nvdimm,memdev=nv,unarmed=on ",
                           NVDIMM_SIZE, path);
    setup.args = args;
    if (smmuv3_accel_start(&t, &setup)) {
        /* By its file where that is on tmpfs */
        line = fakehost_log_last(t.host, 0, memfd ? "IOMMU_IOAS_MAP_FILE " :
                                 "IOMMU_IOAS_MAP", NVDIMM_LENGTH);
        fakehost_expect_text(line, " flags=0x5 ");
        fakehost_free(t.host);
    }
    close(fd);
    if (!memfd) {
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/smmuv3-accel/memory/dimm_refused", test_dimm);
    qtest_add_func("/smmuv3-accel/memory/ram-bar_blocked", test_ram_bar);
    qtest_add_data_func("/smmuv3-accel/memory/readonly_mapped", NULL,
                        test_readonly);
    qtest_add_data_func("/smmuv3-accel/memory/readonly-memfd_by-file", "memfd",
                        test_readonly);
    return g_test_run();
}
