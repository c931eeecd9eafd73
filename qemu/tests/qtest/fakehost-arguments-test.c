/*
 * QTest: what fakehost accepts and refuses, argument by argument
 *
 * There is no QEMU in it, see fakehost-test.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include "qemu/memfd.h"
#include "viommu/direct-calls.h"

#define PAGE        4096ull
#define U64_ALL     UINT64_MAX
#define NO_ID       999
#define RW          (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define FIXED       (RW | IOMMU_IOAS_MAP_FIXED_IOVA)

static const char vtd_host[] =
    "iommu vtd type=vtd cap=0x9000008c002f0606 ecap=0x1c998840000cb errata=1\n"
    "device dev0 iommu=vtd\n"
    "device dev1 iommu=vtd\n";

static char *ram;

/* A call whose argument begins with its size, as all of them do */
#define IOMMUFD(err, nr, type, ...) do { \
        struct type cmd_ = { .size = sizeof(cmd_), __VA_ARGS__ }; \
        direct_fails(f->iommufd, nr, &cmd_, err); \
    } while (0)
#define DEVICE(err, nr, type, ...) do { \
        struct type cmd_ = { .argsz = sizeof(cmd_), __VA_ARGS__ }; \
        direct_fails(f->dev, nr, &cmd_, err); \
    } while (0)

/* --- sizes --- */

#define SIZES(nr, type, last, err) \
    { #nr, nr, sizeof(struct type), \
      offsetof(struct type, last) + sizeof(((struct type *)NULL)->last), err }

static const struct {
    const char *name;
    unsigned long cmd;
    uint32_t size, min;
    int zero;                   /* what becomes of a call that is all zeros */
} iommufd_calls[] = {
    SIZES(IOMMU_DESTROY, iommu_destroy, id, ENOENT),
    SIZES(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id, 0),
    SIZES(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas,
          ENOENT),
    SIZES(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, EINVAL),
    SIZES(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, out_iova_alignment,
          ENOENT),
    SIZES(IOMMU_IOAS_MAP, iommu_ioas_map, iova, EINVAL),
    SIZES(FH_IOMMU_IOAS_MAP_FILE, fh_iommu_map_file, iova, EINVAL),
    SIZES(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, ENOENT),
    SIZES(IOMMU_OPTION, iommu_option, val64, EBUSY),
    SIZES(FH_IOMMU_GET_HW_INFO, fh_iommu_hw_info, __reserved, ENOENT),
    SIZES(FH_IOMMU_HWPT_ALLOC, fh_iommu_hwpt_alloc, __reserved, ENOENT),
    SIZES(FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate, __reserved,
          ENOENT),
    SIZES(FH_IOMMU_SET_DIRTY_TRACKING, fh_iommu_set_dirty_tracking,
          __reserved, ENOENT),
    SIZES(FH_IOMMU_GET_DIRTY_BITMAP, fh_iommu_get_dirty_bitmap, data, ENOENT),
    SIZES(FH_IOMMU_VIOMMU_ALLOC, fh_iommu_viommu_alloc, out_viommu_id,
          EOPNOTSUPP),
    SIZES(FH_IOMMU_VDEVICE_ALLOC, fh_iommu_vdevice_alloc, virt_id, ENOENT),
    SIZES(FH_IOMMU_VEVENTQ_ALLOC, fh_iommu_veventq_alloc, out_veventq_fd,
          EOPNOTSUPP),
    SIZES(FH_IOMMU_HW_QUEUE_ALLOC, fh_iommu_hw_queue_alloc, length,
          EOPNOTSUPP),
};

static void test_iommufd_sizes(DirectHost *f)
{
    for (size_t i = 0; i < ARRAY_SIZE(iommufd_calls); i++) {
        unsigned long cmd = iommufd_calls[i].cmd;
        uint32_t arg[64] = { iommufd_calls[i].min - 1 };
        uint32_t size = iommufd_calls[i].size;

        g_test_message("%s", iommufd_calls[i].name);
        direct_fails(f->iommufd, cmd, arg, EINVAL);
        arg[0] = iommufd_calls[i].min;
        direct_fails(f->iommufd, cmd, arg, iommufd_calls[i].zero);
        memset(arg, 0, sizeof(arg));
        arg[0] = size + 4;
        arg[size / 4] = 1;
        direct_fails(f->iommufd, cmd, arg, E2BIG);
        memset(arg, 0, sizeof(arg));
        arg[0] = size + 4;
        direct_fails(f->iommufd, cmd, arg, iommufd_calls[i].zero);
        direct_fails(f->iommufd, cmd, NULL, EFAULT);
    }
}

static void test_device_sizes(DirectHost *f)
{
    static const struct {
        const char *name;
        unsigned long cmd;
        uint32_t min;
    } calls[] = {
        { "GET_INFO", VFIO_DEVICE_GET_INFO, 16 },
        { "GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO, 32 },
        { "GET_IRQ_INFO", VFIO_DEVICE_GET_IRQ_INFO, 16 },
        { "SET_IRQS", VFIO_DEVICE_SET_IRQS, 20 },
        { "GET_PCI_HOT_RESET_INFO", VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12 },
        { "PCI_HOT_RESET", VFIO_DEVICE_PCI_HOT_RESET, 12 },
        { "FEATURE", VFIO_DEVICE_FEATURE, 8 },
        { "ATTACH", FH_VFIO_ATTACH_IOMMUFD_PT, 12 },
        { "DETACH", FH_VFIO_DETACH_IOMMUFD_PT, 8 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        uint32_t arg[64] = { calls[i].min - 1 };

        g_test_message("%s", calls[i].name);
        direct_fails(f->dev, calls[i].cmd, arg, EINVAL);
        direct_fails(f->dev, calls[i].cmd, NULL, EFAULT);
    }
    direct_fails(f->dev, _IO(FH_IOCTL_TYPE, 100 + 99), NULL, ENOTTY);
}

/* --- address spaces --- */

static void test_ioas(DirectHost *f)
{
    struct iommu_iova_range ranges[2] = { { 0x1000, 0xfff } };

    IOMMUFD(EOPNOTSUPP, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, .flags = 1);
    IOMMUFD(EOPNOTSUPP, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = f->ioas, .__reserved = 1);
    IOMMUFD(ENOENT, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = NO_ID);
    IOMMUFD(EINVAL, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = f->ioas, .num_iovas = 1,
            .allowed_iovas = (uintptr_t)ranges);
    ranges[0].start = 0;
    IOMMUFD(0, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = f->ioas, .num_iovas = 1,
            .allowed_iovas = (uintptr_t)ranges);
    /* They may not overlap */
    ranges[1] = (struct iommu_iova_range) { 0x800, 0x1fff };
    IOMMUFD(EINVAL, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = f->ioas, .num_iovas = 2,
            .allowed_iovas = (uintptr_t)ranges);
    /* Nor may they be reserved: above 48 bits there is nothing */
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    ranges[0] = (struct iommu_iova_range) { 1ull << 50, U64_ALL };
    IOMMUFD(EADDRINUSE, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas,
            .ioas_id = f->ioas, .num_iovas = 1,
            .allowed_iovas = (uintptr_t)ranges);
    IOMMUFD(EOPNOTSUPP, IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges,
            .ioas_id = f->ioas, .__reserved = 1);
    IOMMUFD(ENOENT, IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges,
            .ioas_id = f->dev_id);
}

static void test_map(DirectHost *f)
{
    uintptr_t va = (uintptr_t)ram;

#define MAP(err, ...) \
    IOMMUFD(err, IOMMU_IOAS_MAP, iommu_ioas_map, .ioas_id = f->ioas, \
            .user_va = va, __VA_ARGS__)

    MAP(EOPNOTSUPP, .flags = FIXED | 1 << 3, .length = PAGE);
    MAP(EOPNOTSUPP, .flags = FIXED, .length = PAGE, .__reserved = 1);
    MAP(EOVERFLOW, .flags = FIXED, .length = U64_ALL);
    MAP(EOVERFLOW, .flags = FIXED, .length = PAGE, .iova = U64_ALL);
    MAP(EOVERFLOW, .flags = FIXED, .length = 2 * PAGE, .iova = -PAGE);
    MAP(EINVAL, .flags = IOMMU_IOAS_MAP_FIXED_IOVA, .length = PAGE);
    MAP(EINVAL, .flags = FIXED);
    IOMMUFD(ENOENT, IOMMU_IOAS_MAP, iommu_ioas_map, .ioas_id = f->dev_id,
            .flags = FIXED, .length = PAGE, .user_va = va);
    IOMMUFD(EOVERFLOW, IOMMU_IOAS_MAP, iommu_ioas_map, .ioas_id = f->ioas,
            .flags = FIXED, .length = 2 * PAGE, .user_va = -PAGE);
    /* Read-only, write-only, and where the kernel likes it */
    MAP(0, .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
        .length = PAGE);
    MAP(0, .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE,
        .length = PAGE, .iova = PAGE);
    MAP(0, .flags = RW, .length = PAGE, .iova = 0x123);
    MAP(EOVERFLOW, .flags = RW, .length = U64_ALL - PAGE);
}

static void test_map_file(DirectHost *f)
{
    int fd = memfd_create("arguments", MFD_CLOEXEC);

#define MAPF(err, ...) \
    IOMMUFD(err, FH_IOMMU_IOAS_MAP_FILE, fh_iommu_map_file, \
            .ioas_id = f->ioas, __VA_ARGS__)

    g_assert_cmpint(ftruncate(fd, 4 * PAGE), ==, 0);
    MAPF(EOPNOTSUPP, .flags = FIXED | 1 << 3, .length = PAGE, .fd = fd);
    MAPF(EINVAL, .flags = IOMMU_IOAS_MAP_FIXED_IOVA, .length = PAGE,
          .fd = fd);
    MAPF(EOVERFLOW, .flags = FIXED, .length = U64_ALL, .fd = fd);
    MAPF(EINVAL, .flags = FIXED, .fd = fd);
    MAPF(EBADF, .flags = FIXED, .length = PAGE, .fd = -1);
    MAPF(EBADF, .flags = FIXED, .length = PAGE, .fd = NO_ID);
    MAPF(0, .flags = FIXED, .length = 2 * PAGE, .fd = fd, .start = PAGE);
    MAPF(EEXIST, .flags = FIXED, .length = PAGE, .fd = fd);
    /* What the file is matters when its pages are pinned */
    MAPF(0, .flags = FIXED, .length = PAGE, .fd = f->iommufd,
          .iova = 16 * PAGE);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, 0, NULL, EINVAL);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, 16 * PAGE, PAGE),
                    ==, 0);
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    MAPF(EINVAL, .flags = FIXED, .length = PAGE, .fd = f->iommufd,
          .iova = 16 * PAGE);
    MAPF(0, .flags = FIXED, .length = 4 * PAGE, .fd = fd,
          .iova = 16 * PAGE);
    MAPF(EINVAL, .flags = FIXED, .length = 5 * PAGE, .fd = fd,
          .iova = 32 * PAGE);
    MAPF(EINVAL, .flags = FIXED, .length = PAGE, .fd = fd, .start = 8,
          .iova = 48 * PAGE);
    close(fd);
}

static void test_unmap(DirectHost *f)
{
#define UNMAP(err, ...) \
    IOMMUFD(err, IOMMU_IOAS_UNMAP, iommu_ioas_unmap, .ioas_id = f->ioas, \
            __VA_ARGS__)

    UNMAP(EINVAL, .iova = 0, .length = 0);
    UNMAP(EOVERFLOW, .iova = PAGE, .length = U64_ALL);
    UNMAP(EOVERFLOW, .iova = U64_ALL, .length = PAGE);
    UNMAP(EOVERFLOW, .iova = 2 * PAGE, .length = U64_ALL - PAGE);
    UNMAP(ENOENT, .iova = 0, .length = PAGE);
    UNMAP(0, .iova = 0, .length = U64_ALL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, 2 * PAGE, ram,
                                   true), ==, 0);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 2 * PAGE, PAGE, ram,
                                   true), ==, 0);
    UNMAP(ENOENT, .iova = PAGE, .length = 2 * PAGE);
    UNMAP(0, .iova = 0, .length = 3 * PAGE);
    /* The first goes although the second cannot */
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, PAGE, ram, true),
                    ==, 0);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, PAGE, 2 * PAGE, ram,
                                   true), ==, 0);
    UNMAP(ENOENT, .iova = 0, .length = 2 * PAGE);
    UNMAP(ENOENT, .iova = 0, .length = PAGE);
    UNMAP(0, .iova = PAGE, .length = 2 * PAGE);
}

static void test_option(DirectHost *f)
{
#define OPTION(err, ...) \
    IOMMUFD(err, IOMMU_OPTION, iommu_option, __VA_ARGS__)

    OPTION(EOPNOTSUPP, .option_id = 9);
    OPTION(EOPNOTSUPP, .option_id = IOMMU_OPTION_RLIMIT_MODE,
           .op = IOMMU_OPTION_OP_GET, .object_id = f->ioas);
    OPTION(0, .option_id = IOMMU_OPTION_RLIMIT_MODE,
           .op = IOMMU_OPTION_OP_GET);
    OPTION(EOPNOTSUPP, .option_id = IOMMU_OPTION_RLIMIT_MODE, .op = 7);
    OPTION(EBUSY, .option_id = IOMMU_OPTION_RLIMIT_MODE,
           .op = IOMMU_OPTION_OP_SET);
    OPTION(ENOENT, .option_id = IOMMU_OPTION_HUGE_PAGES,
           .op = IOMMU_OPTION_OP_GET, .object_id = NO_ID);
    OPTION(0, .option_id = IOMMU_OPTION_HUGE_PAGES,
           .op = IOMMU_OPTION_OP_GET, .object_id = f->ioas);
    OPTION(EINVAL, .option_id = IOMMU_OPTION_HUGE_PAGES,
           .op = IOMMU_OPTION_OP_SET, .object_id = f->ioas, .val64 = 2);
    OPTION(0, .option_id = IOMMU_OPTION_HUGE_PAGES,
           .op = IOMMU_OPTION_OP_SET, .object_id = f->ioas, .val64 = 1);
    OPTION(EOPNOTSUPP, .option_id = IOMMU_OPTION_HUGE_PAGES, .op = 7,
           .object_id = f->ioas);
    OPTION(EOPNOTSUPP, .option_id = IOMMU_OPTION_HUGE_PAGES,
           .object_id = f->ioas, .__reserved = 1);
}

/* --- page tables --- */

static void test_hw_info(DirectHost *f)
{
    uint8_t data[256];

#define HW_INFO(err, ...) \
    IOMMUFD(err, FH_IOMMU_GET_HW_INFO, fh_iommu_hw_info, __VA_ARGS__)

    HW_INFO(EOPNOTSUPP, .dev_id = f->dev_id, .flags = 1 << 1);
    HW_INFO(EOPNOTSUPP, .dev_id = f->dev_id, .__reserved = { 1 });
    HW_INFO(EOPNOTSUPP, .dev_id = f->dev_id, .__reserved = { 0, 0, 1 });
    HW_INFO(ENOENT, .dev_id = f->ioas);
    HW_INFO(EFAULT, .dev_id = f->dev_id, .data_len = 8);
    HW_INFO(EOPNOTSUPP, .dev_id = f->dev_id, .data_type = 77,
            .flags = FH_HW_INFO_FLAG_INPUT_TYPE);
    /* What comes after the driver's answer is cleared */
    memset(data, 0xff, sizeof(data));
    HW_INFO(0, .dev_id = f->dev_id, .data_len = sizeof(data),
            .data_uptr = (uintptr_t)data);
    g_assert_cmpuint(data[sizeof(data) - 1], ==, 0);
    memset(data, 0xff, sizeof(data));
    HW_INFO(0, .dev_id = f->dev_id, .data_len = 1,
            .data_uptr = (uintptr_t)data);
    g_assert_cmpuint(data[1], ==, 0xff);
}

static void test_fault_queue(DirectHost *f)
{
    struct fh_iommu_fault_alloc fault = { .size = sizeof(fault) };
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .pt_id = f->ioas,
        .flags = FH_HWPT_FAULT_ID_VALID,
    };

    IOMMUFD(EOPNOTSUPP, FH_IOMMU_FAULT_QUEUE_ALLOC, fh_iommu_fault_alloc,
            .flags = 1);
    direct_ok(f->iommufd, FH_IOMMU_FAULT_QUEUE_ALLOC, &fault);
    cmd.fault_id = f->ioas;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd, ENOENT);
    cmd.fault_id = fault.out_fault_id;
    direct_ok(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd);
    direct_destroy_fails(f->iommufd, fault.out_fault_id, EBUSY);
    direct_destroy_ok(f->iommufd, cmd.out_hwpt_id);
    /* Its file is open */
    direct_destroy_fails(f->iommufd, fault.out_fault_id, EBUSY);
    close(fault.out_fault_fd);
    direct_destroy_ok(f->iommufd, fault.out_fault_id);
}

static void test_hwpt(DirectHost *f)
{
    uint64_t data[4] = { 0 };

#define HWPT(err, ...) \
    IOMMUFD(err, FH_IOMMU_HWPT_ALLOC, fh_iommu_hwpt_alloc, \
            .dev_id = f->dev_id, __VA_ARGS__)

    HWPT(EOPNOTSUPP, .pt_id = f->ioas, .__reserved = 1);
    HWPT(EINVAL, .pt_id = f->ioas, .data_len = 8,
         .data_uptr = (uintptr_t)data);
    HWPT(EINVAL, .pt_id = f->ioas, .data_type = 77);
    HWPT(EOPNOTSUPP, .pt_id = f->ioas, .data_type = 77, .data_len = 8,
         .data_uptr = (uintptr_t)data);
    HWPT(EOPNOTSUPP, .pt_id = f->s2, .data_type = 77, .data_len = 8,
         .data_uptr = (uintptr_t)data);
    HWPT(EOPNOTSUPP, .pt_id = f->s2);
    HWPT(0, .pt_id = f->ioas, .__reserved2 = 1);
}

static void test_dirty(DirectHost *f)
{
#define SET_DIRTY(err, ...) \
    IOMMUFD(err, FH_IOMMU_SET_DIRTY_TRACKING, fh_iommu_set_dirty_tracking, \
            __VA_ARGS__)
#define GET_DIRTY(err, ...) \
    IOMMUFD(err, FH_IOMMU_GET_DIRTY_BITMAP, fh_iommu_get_dirty_bitmap, \
            __VA_ARGS__)

    SET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2, .flags = 2);
    SET_DIRTY(ENOENT, .hwpt_id = f->ioas);
    SET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2);
    SET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2, .__reserved = 1);
    GET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2, .flags = 2);
    GET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2, .__reserved = 1);
    GET_DIRTY(ENOENT, .hwpt_id = f->ioas);
    GET_DIRTY(EINVAL, .hwpt_id = f->s2, .page_size = PAGE);
    GET_DIRTY(EINVAL, .hwpt_id = f->s2, .length = PAGE);
    GET_DIRTY(EINVAL, .hwpt_id = f->s2, .length = PAGE, .page_size = PAGE,
              .iova = 8);
    GET_DIRTY(EOVERFLOW, .hwpt_id = f->s2, .length = 2 * PAGE, .iova = -PAGE,
              .page_size = PAGE);
    GET_DIRTY(EOPNOTSUPP, .hwpt_id = f->s2, .length = PAGE, .page_size = PAGE);
}

/* VT-d's, one driver's whose nested tables take them */
static void test_entries(DirectHost *f)
{
    static const struct fh_hwpt_vtd_s1 s1 = { .addr_width = 48 };
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, f->s2, 0, &s1);
    uint64_t e[2 * PAGE / 8] = { 0x1000, 1 };

#define ENTRIES(err, ...) \
    IOMMUFD(err, FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate, \
            .hwpt_id = nested, .data_uptr = (uintptr_t)e, .entry_num = 1, \
            __VA_ARGS__)

    ENTRIES(EOPNOTSUPP, .entry_len = 24, .__reserved = 1);
    ENTRIES(EINVAL, .entry_len = 0);
    ENTRIES(EINVAL, .entry_len = 16);
    ENTRIES(0, .entry_len = 24);
    ENTRIES(EINVAL, .entry_len = 32);
    ENTRIES(EINVAL, .entry_len = PAGE + 8);
    ENTRIES(EINVAL, .entry_len = 24, .data_type = 77);
    IOMMUFD(EINVAL, FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate,
            .hwpt_id = nested, .data_type = 77);
    IOMMUFD(0, FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate,
            .hwpt_id = nested, .entry_len = 77);
    IOMMUFD(EINVAL, FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate,
            .hwpt_id = f->ioas);
}

/* VT-d has no vIOMMU */
static void test_no_viommu(DirectHost *f)
{
    for (uint32_t type = 0; type < 3; type++) {
        IOMMUFD(EOPNOTSUPP, FH_IOMMU_VIOMMU_ALLOC, fh_iommu_viommu_alloc,
                .type = type, .dev_id = f->dev_id, .hwpt_id = f->s2);
    }
    IOMMUFD(ENOENT, FH_IOMMU_VIOMMU_ALLOC, fh_iommu_viommu_alloc, .type = 1,
            .dev_id = NO_ID, .hwpt_id = f->s2);
    IOMMUFD(ENOENT, FH_IOMMU_VDEVICE_ALLOC, fh_iommu_vdevice_alloc,
            .viommu_id = f->s2, .dev_id = f->dev_id);
    IOMMUFD(ENOENT, FH_IOMMU_VEVENTQ_ALLOC, fh_iommu_veventq_alloc,
            .viommu_id = f->s2, .type = 1, .veventq_depth = 1);
}

/* --- the device --- */

static void test_bind(DirectHost *f)
{
    int second = direct_open("dev1");
    struct {
        struct fh_vfio_bind_iommufd cmd;
        uint64_t more;
    } bind = { .cmd = { .argsz = 15, .iommufd = f->iommufd } };

    direct_fails(second, FH_VFIO_BIND_IOMMUFD, &bind, EINVAL);
    direct_fails(second, FH_VFIO_BIND_IOMMUFD, NULL, EFAULT);
    bind.cmd.argsz = sizeof(bind);
    bind.more = 1;
    direct_fails(second, FH_VFIO_BIND_IOMMUFD, &bind, E2BIG);
    bind.more = 0;
    bind.cmd.flags = 1 << 1;
    direct_fails(second, FH_VFIO_BIND_IOMMUFD, &bind, EINVAL);
    /* Any other call has to wait for it */
    direct_fails(second, VFIO_DEVICE_RESET, NULL, EINVAL);
    bind.cmd.flags = 0;
    direct_ok(second, FH_VFIO_BIND_IOMMUFD, &bind);
    close(second);
}

static void test_attach(DirectHost *f)
{
#define ATTACH(err, ...) \
    DEVICE(err, FH_VFIO_ATTACH_IOMMUFD_PT, fh_vfio_attach_pt, __VA_ARGS__)
#define DETACH(err, ...) \
    DEVICE(err, FH_VFIO_DETACH_IOMMUFD_PT, fh_vfio_detach_pt, __VA_ARGS__)

    DETACH(0, .flags = 0);
    ATTACH(EINVAL, .flags = 1 << 1, .pt_id = f->ioas);
    ATTACH(ENOENT, .pt_id = NO_ID);
    ATTACH(EINVAL, .pt_id = f->dev_id);
    ATTACH(EINVAL, .flags = FH_ATTACH_PASID, .argsz = 12, .pt_id = f->ioas);
    /* Tables that iommufd makes by itself are not for PASIDs */
    ATTACH(EINVAL, .flags = FH_ATTACH_PASID, .pt_id = f->ioas, .pasid = 5);
    ATTACH(0, .argsz = 12, .pt_id = f->ioas, .pasid = 7);
    ATTACH(0, .pt_id = f->ioas);
    DETACH(EINVAL, .flags = 1 << 1);
    DETACH(EINVAL, .flags = FH_DETACH_PASID, .argsz = 8);
    DETACH(0, .flags = FH_DETACH_PASID, .pasid = 5);
    direct_destroy_fails(f->iommufd, f->ioas, EBUSY);
    DETACH(0, .argsz = 8);
    DETACH(0, .flags = 0);

    /* PASID 0 is the RID for iommufd, but not for VFIO */
    ATTACH(0, .flags = FH_ATTACH_PASID, .pt_id = f->ioas);
    ATTACH(0, .flags = FH_ATTACH_PASID, .pt_id = f->ioas);
    ATTACH(EBUSY, .pt_id = f->ioas);
    DETACH(0, .flags = 0);
    direct_destroy_fails(f->iommufd, f->ioas, EBUSY);
    DETACH(0, .flags = FH_DETACH_PASID);
    direct_destroy_ok(f->iommufd, f->ioas);
}

static void test_info(DirectHost *f)
{
    struct vfio_device_info info = { .argsz = sizeof(info) };
    struct vfio_irq_info irq = { .argsz = sizeof(irq) };

    direct_ok(f->dev, VFIO_DEVICE_GET_INFO, &info);
    g_assert_cmphex(info.flags, ==, VFIO_DEVICE_FLAGS_PCI |
                                    VFIO_DEVICE_FLAGS_RESET);
    g_assert_cmpuint(info.num_regions, ==, VFIO_PCI_NUM_REGIONS);
    g_assert_cmpuint(info.num_irqs, ==, VFIO_PCI_NUM_IRQS);
    for (unsigned i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
        DEVICE(i == VFIO_PCI_VGA_REGION_INDEX ? EINVAL : 0,
               VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, .index = i);
    }
    irq.index = VFIO_PCI_MSIX_IRQ_INDEX;
    direct_ok(f->dev, VFIO_DEVICE_GET_IRQ_INFO, &irq);
    g_assert_cmpuint(irq.count, >, 0);
    g_assert_cmphex(irq.flags, ==, VFIO_IRQ_INFO_EVENTFD);
    irq.index = VFIO_PCI_ERR_IRQ_INDEX;
    direct_ok(f->dev, VFIO_DEVICE_GET_IRQ_INFO, &irq);
    g_assert_cmphex(irq.flags, ==, VFIO_IRQ_INFO_EVENTFD |
                                   VFIO_IRQ_INFO_NORESIZE);
    DEVICE(EINVAL, VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info,
           .index = VFIO_PCI_NUM_IRQS);
}

static void test_regions(DirectHost *f)
{
    struct vfio_region_info config = {
        .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX,
    }, bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX },
    next = { .argsz = sizeof(next), .index = VFIO_PCI_BAR1_REGION_INDEX };
    uint64_t v;

    direct_ok(f->dev, VFIO_DEVICE_GET_REGION_INFO, &config);
    direct_ok(f->dev, VFIO_DEVICE_GET_REGION_INFO, &bar);
    g_assert_cmpuint(config.size, ==, 4096);
    g_assert_cmphex(config.flags, ==, VFIO_REGION_INFO_FLAG_READ |
                                      VFIO_REGION_INFO_FLAG_WRITE);
    g_assert_cmpint(pread(f->dev, &v, 4, config.offset + 4092), ==, 4);
    g_assert_cmpint(pread(f->dev, &v, 4, config.offset + 4096), ==, -1);
    g_assert_cmpint(errno, ==, EFAULT);
    g_assert_cmpint(pwrite(f->dev, &v, 4, config.offset + 4096), ==, -1);
    g_assert_cmpint(errno, ==, EFAULT);
    g_assert_cmpint(pread(f->dev, &v, 4, bar.offset), ==, 4);

    /* An access ends where the BAR does, or has no place in it */
    g_assert_cmpint(pread(f->dev, &v, 8, bar.offset + bar.size - 4), ==, 4);
    g_assert_cmpint(pread(f->dev, &v, 4, bar.offset + bar.size), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(pwrite(f->dev, &v, 4, bar.offset + bar.size), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    /* It is 64 bits wide, so this is none */
    direct_ok(f->dev, VFIO_DEVICE_GET_REGION_INFO, &next);
    g_assert_cmpuint(next.size, ==, 0);
    g_assert_cmpint(pread(f->dev, &v, 4, next.offset), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
}

static int set_irqs(int dev, uint32_t flags, uint32_t index, uint32_t start,
                    uint32_t count, int32_t fd)
{
    struct {
        struct vfio_irq_set set;
        int32_t fd;
    } cmd = {
        .set = {
            .argsz = sizeof(cmd), .flags = flags, .index = index,
            .start = start, .count = count,
        },
        .fd = fd,
    };

    return direct_raw(dev, VFIO_DEVICE_SET_IRQS, &cmd);
}

static void test_irqs(DirectHost *f)
{
    const uint32_t none = VFIO_IRQ_SET_DATA_NONE, msix = 2, err = 3, req = 4;
    const uint32_t fds = VFIO_IRQ_SET_DATA_EVENTFD;
    const uint32_t trigger = VFIO_IRQ_SET_ACTION_TRIGGER;
    int fd = eventfd(0, EFD_CLOEXEC);

#define IRQS(error, ...) \
    g_assert_cmpint(set_irqs(f->dev, __VA_ARGS__), ==, error)

    /* On Arm there is no doorbell for what is not attached */
    g_assert_cmpint(direct_raw_attach(f->dev, f->ioas), ==, 0);
    IRQS(EINVAL, fds | trigger, 9, 0, 1, fd);
    IRQS(EINVAL, fds | trigger | 1 << 20, msix, 0, 1, fd);
    IRQS(ENOTTY, fds, msix, 0, 1, fd);
    IRQS(EINVAL, trigger, msix, 0, 1, fd);
    IRQS(EINVAL, fds | trigger, msix, 4096, 1, fd);
    IRQS(EINVAL, fds | trigger, msix, 0, 4096, fd);
    IRQS(EINVAL, fds | trigger, msix, 0, 2, fd);
    IRQS(EINVAL, fds | trigger, msix, 1, UINT32_MAX, fd);
    IRQS(EBADF, fds | trigger, msix, 0, 1, NO_ID);
    IRQS(0, fds | trigger, msix, 0, 1, -2);
    IRQS(ENOTTY, fds | VFIO_IRQ_SET_ACTION_MASK, msix, 0, 1, fd);
    IRQS(0, fds | trigger, msix, 0, 1, fd);
    IRQS(0, none | trigger, msix, 0, 1, 0);
    IRQS(0, none | trigger, msix, 0, 0, 0);
    IRQS(0, fds | trigger, req, 0, 1, fd);
    IRQS(0, fds | trigger, req, 0, 1, -1);
    IRQS(0, fds | trigger, err, 0, 1, fd);
    IRQS(0, none | trigger, err, 0, 0, 0);
    close(fd);
}

static void test_feature(DirectHost *f)
{
    const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET;
    const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE;

#define FEATURE(err, f_) \
    DEVICE(err, VFIO_DEVICE_FEATURE, vfio_device_feature, .flags = f_)

    FEATURE(EINVAL, 1u << 19);
    FEATURE(EINVAL, get | set | VFIO_DEVICE_FEATURE_MIGRATION);
    FEATURE(ENOTTY, get | VFIO_DEVICE_FEATURE_MIGRATION);
    FEATURE(ENOTTY, get | probe | VFIO_DEVICE_FEATURE_MIGRATION);
    FEATURE(ENOTTY, set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
    FEATURE(ENOTTY, set | VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
    FEATURE(ENOTTY, get | set | probe | 0xfff0);
    FEATURE(ENOTTY, get | set | probe | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN);
}

static void test_hot_reset(DirectHost *f)
{
    struct {
        struct vfio_pci_hot_reset_info info;
        struct vfio_pci_dependent_device devices[8];
    } cmd = { .info = { .argsz = sizeof(cmd.info) } };
    int32_t id;

    direct_fails(f->dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &cmd, ENOSPC);
    g_assert_cmpuint(cmd.info.count, ==, 1);
    cmd.info.argsz = sizeof(cmd);
    direct_ok(f->dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &cmd);
    g_assert_cmpuint(cmd.info.count, ==, 1);
    g_assert_cmphex(cmd.info.flags, ==, FH_HOT_RESET_FLAG_DEV_ID |
                                        FH_HOT_RESET_FLAG_DEV_ID_OWNED);
    memcpy(&id, &cmd.devices[0], sizeof(id));
    g_assert_cmpint(id, ==, f->dev_id);
    DEVICE(EINVAL, VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, .flags = 1);
    DEVICE(EINVAL, VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, .count = 1);
    if (direct_page) {
        /* Emulated root ports may not come back in time */
        DEVICE(0, VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, .flags = 0);
    }
    direct_ok(f->dev, VFIO_DEVICE_RESET, NULL);
}

#define ANY         0
#define VTD         FH_HW_INFO_INTEL_VTD

int main(int argc, char **argv)
{
    static const DirectCase cases[] = {
        { "iommufd_sizes", "dev0", ANY, test_iommufd_sizes },
        { "device_sizes", "dev0", ANY, test_device_sizes },
        { "ioas_arguments", "dev0", ANY, test_ioas },
        { "map_arguments", "dev0", ANY, test_map },
        { "map-file_arguments", "dev0", ANY, test_map_file },
        { "unmap_arguments", "dev0", ANY, test_unmap },
        { "option_arguments", "dev0", ANY, test_option },
        { "hw-info_arguments", "dev0", ANY, test_hw_info },
        { "fault-queue_arguments", "dev0", ANY, test_fault_queue },
        { "hwpt_arguments", "dev0", ANY, test_hwpt, true },
        { "dirty_arguments", "dev0", ANY, test_dirty, true },
        { "entries_arguments", "dev0", VTD, test_entries, true },
        { "no-viommu_arguments", "dev0", VTD, test_no_viommu, true },
        { "bind_arguments", "dev0 dev1", ANY, test_bind },
        { "attach_arguments", "dev0", ANY, test_attach },
        { "info_arguments", "dev1", ANY, test_info },
        { "region_arguments", "dev1", ANY, test_regions },
        { "irqs_arguments", "dev1", ANY, test_irqs },
        { "feature_arguments", "dev1", ANY, test_feature },
        { "hot-reset_arguments", "dev1", ANY, test_hot_reset },
    };

    ram = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return direct_run(argc, argv, vtd_host, "/fakehost/arguments/", cases,
                      ARRAY_SIZE(cases));
}
