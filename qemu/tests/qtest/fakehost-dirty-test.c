/*
 * QTest: fakehost itself: DMA that a test orders, and who remembers it
 *
 * There is no QEMU in it, see fakehost-test.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "viommu/direct-calls.h"

#define PAGES       16
#define PAGE        4096ull
#define VALUE       0x1122334455667788ull
#define VTD_CAP     "cap=0x9000008c002f0606"
#define FAR         0x40000000ull   /* an address that only the guest knows */

/* With second-stage dirty bits (ECAP.SSADS), and without */
static const char host[] =
    "iommu tracks type=vtd " VTD_CAP " ecap=0x1e998840000cb\n"
    "iommu plain type=vtd " VTD_CAP " ecap=0x1c998840000cb\n"
    "device both iommu=tracks migrate=1 log-dma=1\n"
    "device dev0 iommu=plain\n";

static char *ram;

static const struct fh_hwpt_vtd_s1 s1 = {
    .pgtbl_addr = 0x40000000, .addr_width = 48,
};

/* @f's nesting parent with memory in it, attached */
static void prepare(DirectHost *f, uint32_t flags)
{
    memset(ram, 0, PAGES * PAGE);
    f->s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                           FH_HWPT_NEST_PARENT | flags, NULL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, PAGES * PAGE, ram,
                                   true), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, f->s2), ==, 0);
}

/* Any call carries the order out; returns what the hardware said */
static int dma(DirectHost *f, uint64_t iova, uint64_t gpa)
{
    struct vfio_device_info info = { .argsz = sizeof(info) };

    direct_page->dma.iova = iova;
    direct_page->dma.gpa = gpa;
    direct_page->dma.value = VALUE;
    direct_page->dma.wanted = 1 + (direct_state(f->name) -
                                   direct_page->devices);
    direct_ok(f->dev, VFIO_DEVICE_GET_INFO, &info);
    g_assert_cmpuint(direct_page->dma.wanted, ==, 0);
    return -direct_page->dma.result;
}

static uint64_t value_at(uint64_t addr)
{
    return *(uint64_t *)(ram + addr);
}

static int set_tracking(DirectHost *f, bool on)
{
    struct fh_iommu_set_dirty_tracking cmd = {
        .size = sizeof(cmd), .hwpt_id = f->s2, .flags = on,
    };

    return direct_raw(f->iommufd, FH_IOMMU_SET_DIRTY_TRACKING, &cmd);
}

static int get_dirty(DirectHost *f, uint64_t iova, uint64_t len, bool clear,
                     uint64_t *bits)
{
    struct fh_iommu_get_dirty_bitmap cmd = {
        .size = sizeof(cmd), .hwpt_id = f->s2, .flags = !clear, .iova = iova,
        .length = len, .page_size = PAGE, .data = (uintptr_t)bits,
    };

    *bits = 0;
    return direct_raw(f->iommufd, FH_IOMMU_GET_DIRTY_BITMAP, &cmd);
}

static void expect_dirty(DirectHost *f, bool clear, uint64_t expected)
{
    uint64_t bits;

    g_assert_cmpint(get_dirty(f, 0, PAGES * PAGE, clear, &bits), ==, 0);
    g_assert_cmphex(bits, ==, expected);
}

static void test_tracking(DirectHost *f)
{
    uint64_t bits;

    prepare(f, FH_HWPT_DIRTY_TRACKING);
    g_assert_cmpint(get_dirty(f, 0, PAGE, true, &bits), ==, EINVAL);
    g_assert_cmpint(dma(f, 2 * PAGE, 0), ==, 0);
    g_assert_cmphex(value_at(2 * PAGE), ==, VALUE);
    g_assert_cmpint(set_tracking(f, true), ==, 0);
    expect_dirty(f, true, 0);

    g_assert_cmpint(dma(f, 3 * PAGE + 8, 0), ==, 0);
    g_assert_cmphex(value_at(3 * PAGE + 8), ==, VALUE);
    g_assert_cmpint(dma(f, 5 * PAGE, 0), ==, 0);
    expect_dirty(f, false, 1 << 3 | 1 << 5);
    g_assert_cmpint(get_dirty(f, 4 * PAGE, 4 * PAGE, true, &bits), ==, 0);
    g_assert_cmphex(bits, ==, 1 << 1);
    expect_dirty(f, true, 1 << 3);
    expect_dirty(f, true, 0);

    /* Starting it anew forgets, and so does an unmap */
    g_assert_cmpint(dma(f, 0, 0), ==, 0);
    g_assert_cmpint(set_tracking(f, true), ==, 0);
    expect_dirty(f, true, 0);
    g_assert_cmpint(dma(f, 0, 0), ==, 0);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, 0, PAGES * PAGE), ==,
                    0);
    g_assert_cmpint(get_dirty(f, 0, PAGES * PAGE, true, &bits), ==, EINVAL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, PAGES * PAGE, ram,
                                   true), ==, 0);
    expect_dirty(f, true, 0);
    g_assert_cmpint(get_dirty(f, 0, (PAGES + 1) * PAGE, true, &bits), ==,
                    EINVAL);
    g_assert_cmpint(get_dirty(f, 8, PAGE, true, &bits), ==, EINVAL);
}

static void test_not_tracking(DirectHost *f)
{
    uint64_t bits;

    prepare(f, 0);
    g_assert_cmpint(set_tracking(f, true), ==, EOPNOTSUPP);
    g_assert_cmpint(get_dirty(f, 0, PAGE, true, &bits), ==, EOPNOTSUPP);
    if (direct_page) {
        g_assert_cmpint(dma(f, PAGE, 0), ==, 0);
    }
}

/* What a nested device writes is found at the guest physical address */
static void test_nested(DirectHost *f)
{
    uint32_t nested;

    prepare(f, FH_HWPT_DIRTY_TRACKING);
    nested = direct_hwpt_ok(f->iommufd, f->dev_id, f->s2, 0, &s1);
    g_assert_cmpint(set_tracking(f, true), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, 0);
    g_assert_cmpint(dma(f, FAR, 7 * PAGE), ==, 0);
    g_assert_cmphex(value_at(7 * PAGE), ==, VALUE);
    expect_dirty(f, true, 1 << 7);
    g_assert_cmpint(dma(f, FAR, PAGES * PAGE), ==, EFAULT);
}

static void test_blocked(DirectHost *f)
{
    prepare(f, FH_HWPT_DIRTY_TRACKING);
    g_assert_cmpint(dma(f, FAR, 0), ==, EFAULT);
    g_assert_cmpint(dma(f, PAGE - 4, 0), ==, 0);
    g_assert_cmpint(dma(f, PAGES * PAGE - 4, 0), ==, EFAULT);
    direct_state(f->name)->flags |= FAKEHOST_DEV_IN_RESET;
    g_assert_cmpint(dma(f, 0, 0), ==, EPERM);
    direct_state(f->name)->flags &= ~FAKEHOST_DEV_IN_RESET;
    direct_detach(f->dev);
    g_assert_cmpint(dma(f, 0, 0), ==, EPERM);
    g_assert_cmphex(value_at(0), ==, 0);
}

/* --- the device's own log --- */

typedef struct Feature {
    uint32_t argsz;
    uint32_t flags;
    uint64_t data[4];
} Feature;

static int feature(int dev, uint32_t flags, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d)
{
    Feature cmd = {
        .argsz = sizeof(cmd), .flags = flags, .data = { a, b, c, d },
    };

    return direct_raw(dev, VFIO_DEVICE_FEATURE, &cmd);
}

static int start_log(int dev, uint32_t flags, uint64_t iova, uint64_t len)
{
    struct vfio_device_feature_dma_logging_range range = { iova, len };

    return feature(dev, flags | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, PAGE, 1,
                   (uintptr_t)&range, 0);
}

static int report(int dev, uint64_t iova, uint64_t len, uint64_t *bits)
{
    *bits = 0;
    return feature(dev, VFIO_DEVICE_FEATURE_GET |
                   VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, iova, len, PAGE,
                   (uintptr_t)bits);
}

static void test_log(DirectHost *f)
{
    uint32_t set = VFIO_DEVICE_FEATURE_SET;
    uint32_t nested;
    uint64_t bits;

    prepare(f, FH_HWPT_DIRTY_TRACKING);
    nested = direct_hwpt_ok(f->iommufd, f->dev_id, f->s2, 0, &s1);
    g_assert_cmpint(start_log(f->dev, VFIO_DEVICE_FEATURE_PROBE, 0, 0), ==, 0);
    g_assert_cmpint(start_log(f->dev, VFIO_DEVICE_FEATURE_GET, 0, PAGE), ==,
                    EINVAL);
    g_assert_cmpint(start_log(f->dev, set, 8, PAGE), ==, EINVAL);
    g_assert_cmpint(report(f->dev, 0, PAGE, &bits), ==, EINVAL);
    g_assert_cmpint(start_log(f->dev, set, FAR, PAGES * PAGE), ==, 0);
    g_assert_cmpint(start_log(f->dev, set, FAR, PAGES * PAGE), ==, EINVAL);
    g_assert_cmpuint(direct_state(f->name)->log_starts, ==, 1);

    /* It knows what the device emits, not where that ends up */
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, 0);
    g_assert_cmpint(dma(f, FAR + PAGE, 7 * PAGE), ==, 0);
    g_assert_cmpint(dma(f, FAR + PAGES * PAGE, 8 * PAGE), ==, 0);
    g_assert_cmpint(report(f->dev, 0, PAGES * PAGE, &bits), ==, 0);
    g_assert_cmphex(bits, ==, 0);
    g_assert_cmpint(report(f->dev, FAR, 32 * PAGE, &bits), ==, 0);
    g_assert_cmphex(bits, ==, 1 << 1);
    g_assert_cmpint(report(f->dev, FAR, 32 * PAGE, &bits), ==, 0);
    g_assert_cmphex(bits, ==, 0);

    g_assert_cmpint(feature(f->dev, set | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
                            0, 0, 0, 0), ==, 0);
    g_assert_cmpint(report(f->dev, FAR, PAGE, &bits), ==, EINVAL);
}

static void test_no_log(DirectHost *f)
{
    g_assert_cmpint(start_log(f->dev, VFIO_DEVICE_FEATURE_PROBE, 0, 0), ==,
                    ENOTTY);
}

#define ANY         0
#define VTD         FH_HW_INFO_INTEL_VTD
#define ORDERED     "a real device does no DMA by order of a test"

int main(int argc, char **argv)
{
    static const DirectCase cases[] = {
        { "hwpt_tracks", "both", VTD, test_tracking,
          .fake_only = ORDERED },
        { "hwpt_cannot-track", "dev0", VTD, test_not_tracking },
        { "nested_gpa", "both", VTD, test_nested, .fake_only = ORDERED },
        { "blocked_nothing-written", "both", VTD, test_blocked,
          .fake_only = ORDERED },
        { "device_logs", "both", VTD, test_log, .fake_only = ORDERED },
        { "device_cannot-log", "dev0", ANY, test_no_log },
    };

    ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return direct_run(argc, argv, host, "/fakehost/dirty/", cases,
                      ARRAY_SIZE(cases));
}
