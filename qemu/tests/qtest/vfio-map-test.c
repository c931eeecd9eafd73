/*
 * QTest: how VFIO maps guest memory for devices with an iommufd: shared memory
 * of a file by that file where the host can, other memory by its address, and
 * all of it once whatever the number of devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/vfs.h>
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "viommu/sweep.h"
#include "vtd-accel-common.h"

#define MAP         "IOMMU_IOAS_MAP"
#define MAP_FILE    "IOMMU_IOAS_MAP_FILE"
#define RAM_SIZE    (VTD_GUEST_RAM_MB * MiB)
#define MEMFD       "-object memory-backend-memfd,id=ram,size=%zu,share=%s " \
                    "-machine memory-backend=ram "

static bool start(VtdAccelTest *t, const char *args, unsigned devices)
{
    VtdAccelSetup setup = { .args = args, .devices = devices };

    return vtd_accel_start(t, &setup);
}

static bool start_memfd(VtdAccelTest *t, const char *share, unsigned devices)
{
    g_autofree char *args = g_strdup_printf(MEMFD, (size_t)RAM_SIZE, share);

    return start(t, args, devices);
}

/* Memory above 1 MiB goes as a whole */
static void expect_above(VtdAccelTest *t, bool by_file, uint64_t file_offset)
{
    g_autofree char *line = fakehost_log_last(t->host, 0, MAP_FILE " ",
                                              " iova=0x100000 ");
    g_autofree char *start = g_strdup_printf(" start=0x%" PRIx64 " ",
                                             file_offset + 0x100000);
    g_autofree char *length =
        g_strdup_printf(" length=0x%" PRIx64 " ",
                        (uint64_t)RAM_SIZE - 0x100000);

    if (by_file) {
        fakehost_expect_text(line, start);
    } else {
        g_assert_null(line);
        line = fakehost_log_last(t->host, 0, MAP " ", " iova=0x100000 ");
    }
    fakehost_expect_text(line, length);
}

static void test_memfd(void)
{
    uint64_t bytes, calls;
    uint32_t areas;
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 1)) {
        return;
    }
    expect_above(&t, true, 0);
    vtd_accel_expect_s2(&t, 0);
    bytes = t.host->page->mapped_bytes;
    areas = t.host->page->areas;
    calls = fakehost_calls(t.host, MAP) + fakehost_calls(t.host, MAP_FILE);
    g_assert_cmpuint(calls, ==, areas);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);

    /* No more and no less than without a file */
    if (start(&t, NULL, 1)) {
        g_assert_cmpuint(fakehost_calls(t.host, MAP_FILE), ==, 0);
        expect_above(&t, false, 0);
        g_assert_cmpuint(t.host->page->mapped_bytes, ==, bytes);
        g_assert_cmpuint(t.host->page->areas, ==, areas);
        fakehost_free(t.host);
    }
}

/* What the guest writes does not reach the file */
static void test_private(void)
{
    VtdAccelTest t;

    if (!start_memfd(&t, "off", 1)) {
        return;
    }
    g_assert_cmpuint(fakehost_calls(t.host, MAP_FILE), ==, 0);
    expect_above(&t, false, 0);
    fakehost_free(t.host);
}

/* The guest's memory begins in the middle of the file */
static void test_offset(void)
{
    int fd = memfd_create("vfio-map", 0);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=ram,share=on,size=%zu,offset=2M,"
        "mem-path=/proc/%d/fd/%d -machine memory-backend=ram ",
        (size_t)RAM_SIZE, getpid(), fd);
    VtdAccelTest t;

    g_assert_cmpint(ftruncate(fd, RAM_SIZE + 2 * MiB), ==, 0);
    if (start(&t, args, 1)) {
        expect_above(&t, true, 2 * MiB);
        fakehost_free(t.host);
    }
    close(fd);
}

/* A file on a disk is not memory */
static void test_disk(void)
{
    g_autofree char *path = g_strdup("./vfio-map-XXXXXX");
    int fd = g_mkstemp(path);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=ram,share=on,size=%zu,mem-path=%s "
        "-machine memory-backend=ram ", (size_t)RAM_SIZE, path);
    struct statfs fs;
    VtdAccelTest t;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstatfs(fd, &fs), ==, 0);
    g_assert_cmpint(ftruncate(fd, RAM_SIZE), ==, 0);
    if (start(&t, args, 1)) {
        /* Where tests run in memory they are built in memory */
        expect_above(&t, fs.f_type == TMPFS_MAGIC, 0);
        fakehost_free(t.host);
    }
    close(fd);
    unlink(path);
}

/* --- hosts that do not do it --- */

typedef struct Refusal {
    const char *name;
    int err;
    bool forever;               /* it will not be asked again */
} Refusal;

static const Refusal refusals[] = {
    { "enotty_by-address", ENOTTY, true },
    { "eopnotsupp_by-address", EOPNOTSUPP, true },
    { "einval_by-address", EINVAL, false },
};

static void test_refusal(const void *data)
{
    const Refusal *c = data;
    uint64_t files;
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 0)) {
        return;
    }
    fakehost_fail(t.host, MAP_FILE, 1, 0, c->err, 0);
    fakehost_plug(t.host, 0);
    vtd_accel_expect_s2(&t, 0);
    files = fakehost_calls(t.host, MAP_FILE);
    if (c->forever) {
        g_assert_cmpuint(files, ==, 1);
    } else {
        g_assert_cmpuint(files, >, 1);
    }
    /* By its address, in the end; the file's line is that of the failure */
    g_assert_cmpuint(fakehost_calls(t.host, MAP), ==, t.host->page->areas);
    g_assert_cmpuint(t.host->page->mapped_bytes, >=, RAM_SIZE - 1 * MiB);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static void check_mapped(void *opaque, bool plugged)
{
    VtdAccelTest *t = opaque;

    if (plugged) {
        vtd_accel_expect_s2(t, 0);
        g_assert_cmpuint(t->host->page->mapped_bytes, >=, RAM_SIZE - 1 * MiB);
    }
}

/* Whatever fails, the device has all of the memory or is not there */
static void test_sweep(void)
{
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 0)) {
        return;
    }
    g_assert_cmpuint(sweep_plug(t.host, 0, check_mapped,
                                fakehost_expect_empty, &t), >, 0);
    fakehost_free(t.host);
}

/* --- cost --- */

/* Calls, and what they pin, do not depend on the number of devices */
static void test_devices(const void *share)
{
    uint64_t calls[2], bytes[2];
    VtdAccelTest t;

    for (unsigned i = 0; i < 2; i++) {
        if (!start_memfd(&t, share, i ? 8 : 1)) {
            return;
        }
        calls[i] = fakehost_calls(t.host, MAP) +
                   fakehost_calls(t.host, MAP_FILE);
        bytes[i] = t.host->page->mapped_bytes;
        g_assert_cmpuint(calls[i], ==, t.host->page->areas);
        fakehost_free(t.host);
    }
    g_assert_cmpuint(calls[0], ==, calls[1]);
    g_assert_cmpuint(bytes[0], ==, bytes[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vfio-map/memfd_by-file", test_memfd);
    qtest_add_func("/vfio-map/memfd-private_by-address", test_private);
    qtest_add_func("/vfio-map/file-with-offset_by-file", test_offset);
    qtest_add_func("/vfio-map/disk_by-address", test_disk);
    qtest_add_cases("/vfio-map/host", refusals, test_refusal);
    qtest_add_func("/vfio-map/sweep_all-or-none", test_sweep);
    qtest_add_data_func("/vfio-map/8-devices-memfd_once", "on", test_devices);
    qtest_add_data_func("/vfio-map/8-devices_once", "off", test_devices);
    return g_test_run();
}
