/*
 * QTest: fakehost's command queues of Tegra241, as Linux 7.3 has them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "viommu/direct-calls.h"

#define PAGE        0x1000ull
#define VINTF       0x10000ull
#define BASE        0x40000000ull   /* guest memory */
#define RAM         (64 * PAGE)
#define HUGE_PAGE   0x200000ull     /* in one piece on a real host as well */
#define LVCMDQ1     0x80            /* registers of the second queue */
#define PROD        4

/* IDR1: command queues of up to 2^10 commands, 16 KiB */
#define FAKE_MAX    0x4000
#define SMMU        "idr0=0x1413 idr1=0x1400500 idr3=0x500 idr5=0x74 "
/* Addresses of 52 bits */
#define WIDE_SMMU   "idr0=0x1413 idr1=0x1400500 idr3=0x500 idr5=0x76 "

static const char host[] =
    "iommu a type=smmuv3 " SMMU "cmdqv=1\n"
    "iommu pages type=smmuv3 " SMMU "cmdqv=1 contiguous=0x1000\n"
    "iommu few type=smmuv3 " WIDE_SMMU
    "cmdqv=2 log2vcmdqs=2 log2vsids=0 vintfs=1\n"
    "device dev0 iommu=a\n"
    "device alias iommu=a streams=2\n"
    "device pages iommu=pages\n"
    "device few0 iommu=few\n"
    "device few1 iommu=few\n";

static uint8_t *ram;

/* --- calls --- */

static int raw_viommu(DirectHost *f, struct fh_viommu_tegra241_cmdqv *data,
                      uint32_t len, uint32_t *id)
{
    struct fh_iommu_viommu_alloc cmd = {
        .size = sizeof(cmd), .type = FH_VIOMMU_TYPE_TEGRA241_CMDQV,
        .dev_id = f->dev_id, .hwpt_id = f->s2, .data_len = len,
        .data_uptr = (uintptr_t)data,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_VIOMMU_ALLOC, &cmd);

    *id = cmd.out_viommu_id;
    return err;
}

static uint32_t viommu_at(DirectHost *f, struct fh_viommu_tegra241_cmdqv *data)
{
    uint32_t id;

    g_assert_cmpint(raw_viommu(f, data, sizeof(*data), &id), ==, 0);
    g_assert_cmphex(data->out_vintf_mmap_length, ==, VINTF);
    return id;
}

static uint32_t viommu_ok(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };

    return viommu_at(f, &data);
}

/* The same with memory of the guest */
static uint32_t viommu_with_ram(DirectHost *f)
{
    uint32_t id = viommu_ok(f);

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, true),
                    ==, 0);
    return id;
}

static int raw_queue(DirectHost *f, uint32_t viommu, uint32_t index,
                     uint64_t iova, uint64_t len, uint32_t *id)
{
    struct fh_iommu_hw_queue_alloc cmd = {
        .size = sizeof(cmd), .viommu_id = viommu, .index = index,
        .type = FH_HW_QUEUE_TYPE_TEGRA241_CMDQV, .nesting_parent_iova = iova,
        .length = len,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &cmd);

    *id = cmd.out_hw_queue_id;
    return err;
}

static void queue_fails(DirectHost *f, uint32_t viommu, uint32_t index,
                        uint64_t iova, uint64_t len, int err)
{
    uint32_t id;

    g_assert_cmpint(raw_queue(f, viommu, index, iova, len, &id), ==, err);
}

static uint32_t queue_ok(DirectHost *f, uint32_t viommu, uint32_t index,
                         uint64_t iova, uint64_t len)
{
    uint32_t id;

    g_assert_cmpint(raw_queue(f, viommu, index, iova, len, &id), ==, 0);
    return id;
}

static int raw_vdevice(DirectHost *f, uint32_t viommu, uint32_t dev_id,
                       uint64_t virt_id)
{
    struct fh_iommu_vdevice_alloc cmd = {
        .size = sizeof(cmd), .viommu_id = viommu, .dev_id = dev_id,
        .virt_id = virt_id,
    };

    return direct_raw(f->iommufd, FH_IOMMU_VDEVICE_ALLOC, &cmd);
}

static void *raw_regs(DirectHost *f, uint64_t at, uint64_t len, int prot,
                      int flags)
{
    return mmap(NULL, len, prot, flags, f->iommufd, at);
}

static void *regs_ok(DirectHost *f, uint64_t at)
{
    void *p = raw_regs(f, at, VINTF, PROT_READ | PROT_WRITE, MAP_SHARED);

    g_assert_true(p != MAP_FAILED);
    return p;
}

static void regs_fail(DirectHost *f, uint64_t at, uint64_t len, int prot,
                      int flags, int err)
{
    g_assert_true(raw_regs(f, at, len, prot, flags) == MAP_FAILED);
    g_assert_cmpint(errno, ==, err);
}

/* Real hosts do not count */
static void expect_mmaps(uint64_t ever, uint64_t now)
{
    if (direct_page) {
        g_assert_cmpuint(direct_page->mmaps, ==, ever);
        g_assert_cmpuint(direct_page->mmaps_now, ==, now);
    }
}

static void reg_write(void *regs, unsigned offset, uint32_t value)
{
    qatomic_set((uint32_t *)((uint8_t *)regs + offset), cpu_to_le32(value));
}

static uint32_t reg_read(void *regs, unsigned offset)
{
    return le32_to_cpu(qatomic_read((uint32_t *)((uint8_t *)regs + offset)));
}

/* The entry in the control page; NULL: there is none */
static const struct FakehostHwQueue *queue_state(uint32_t viommu,
                                                 uint32_t index)
{
    for (unsigned i = 0; i < FAKEHOST_HW_QUEUES; i++) {
        const struct FakehostHwQueue *q = &direct_page->hw_queues[i];

        if (q->id && q->viommu_id == viommu && q->index == index) {
            return q;
        }
    }
    return NULL;
}

/* What the hardware has in the file's place */
static uint32_t *vintf(uint32_t viommu)
{
    g_autofree char *path = g_strdup_printf("%s/vintf-%u",
                                            g_getenv("FAKEHOST_EVENTS"),
                                            viommu);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p;

    g_assert_cmpint(fd, >=, 0);
    p = mmap(NULL, VINTF, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(p != MAP_FAILED);
    close(fd);
    return p;
}

/* --- tests --- */

static void hw_info(DirectHost *f, struct fh_hw_info_tegra241_cmdqv *info)
{
    struct fh_iommu_hw_info cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .data_len = sizeof(*info),
        .data_uptr = (uintptr_t)info, .flags = FH_HW_INFO_FLAG_INPUT_TYPE,
        .data_type = FH_HW_INFO_TEGRA241_CMDQV,
    };

    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    g_assert_cmpuint(cmd.data_type, ==, FH_HW_INFO_TEGRA241_CMDQV);
    g_assert_cmpuint(cmd.data_len, ==, sizeof(*info));
}

static void test_hw_info(DirectHost *f)
{
    struct fh_hw_info_tegra241_cmdqv info;
    struct fh_iommu_hw_info cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id,
        .data_type = FH_HW_INFO_TEGRA241_CMDQV,
    };

    hw_info(f, &info);
    g_assert_cmpuint(info.flags, ==, 0);
    g_assert_cmpuint(info.version, ==, 1);
    g_assert_cmpuint(info.log2vcmdqs, ==, 1);
    g_assert_cmpuint(info.log2vsids, ==, 4);
    /* Without the flag, and with another type, it is that of any SMMU */
    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    g_assert_cmpuint(cmd.data_type, ==, FH_HW_INFO_ARM_SMMUV3);
    cmd.flags = FH_HW_INFO_FLAG_INPUT_TYPE;
    cmd.data_len = 0;
    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    g_assert_cmpuint(cmd.data_type, ==, FH_HW_INFO_ARM_SMMUV3);
    cmd.data_type = FH_HW_INFO_INTEL_VTD;
    direct_fails(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd, EOPNOTSUPP);
}

static void test_hw_info_few(DirectHost *f)
{
    struct fh_hw_info_tegra241_cmdqv info;

    hw_info(f, &info);
    g_assert_cmpuint(info.version, ==, 2);
    g_assert_cmpuint(info.log2vcmdqs, ==, 2);
    g_assert_cmpuint(info.log2vsids, ==, 0);
}

static void test_viommu(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data[2] = { 0 };
    uint32_t id;

    g_assert_cmpint(raw_viommu(f, NULL, 0, &id), ==, EINVAL);
    g_assert_cmpint(raw_viommu(f, data, 0, &id), ==, EINVAL);
    g_assert_cmpint(raw_viommu(f, data, sizeof(data[0]) - 1, &id), ==, EINVAL);
    g_assert_cmpint(raw_viommu(f, data, sizeof(data[0]) + 1, &id), ==, EINVAL);
    g_assert_cmpint(raw_viommu(f, NULL, sizeof(data[0]), &id), ==, EFAULT);
    direct_expect_objects(FAKEHOST_OBJ_VIOMMU, 0);
    id = viommu_at(f, &data[0]);
    viommu_at(f, &data[1]);
    /* The first page is nobody's, places are free again soon */
    g_assert_cmphex(data[0].out_vintf_mmap_offset, ==, PAGE);
    g_assert_cmphex(data[1].out_vintf_mmap_offset, ==, PAGE + VINTF);
    direct_destroy_ok(f->iommufd, id);
    viommu_at(f, &data[0]);
    g_assert_cmphex(data[0].out_vintf_mmap_offset, ==, PAGE);
}

static void test_vintfs(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };
    uint32_t id = viommu_ok(f), other;

    g_assert_cmpint(raw_viommu(f, &data, sizeof(data), &other), ==, ENOSPC);
    direct_destroy_ok(f->iommufd, id);
    viommu_ok(f);
}

/* The hardware tells devices apart by 20 bits */
static void test_vdevice_width(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f);

    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, 1 << 20), ==, EINVAL);
    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, (1 << 20) - 1), ==, 0);
}

/* No more devices than it can tell apart */
static void test_vdevice(DirectHost *f)
{
    int second = direct_open("few1");
    uint32_t second_id = direct_bind_ok(second, f->iommufd);
    uint32_t viommu = viommu_ok(f);

    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, (1 << 20) - 1), ==, 0);
    g_assert_cmpint(raw_vdevice(f, viommu, second_id, 1), ==, ENOSPC);
    g_assert_cmpint(raw_vdevice(f, viommu, second_id, 1 << 20), ==, EINVAL);
    close(f->dev);
    g_assert_cmpint(raw_vdevice(f, viommu, second_id, 1), ==, 0);
    close(second);
    f->dev = direct_open(f->name);
}

static void test_two_streams(DirectHost *f)
{
    g_assert_cmpint(raw_vdevice(f, viommu_ok(f), f->dev_id, 1), ==,
                    EOPNOTSUPP);
}

static void test_queue(DirectHost *f)
{
    uint32_t viommu = viommu_with_ram(f), id0, id1;
    struct fh_iommu_hw_queue_alloc cmd = {
        .size = sizeof(cmd), .viommu_id = viommu,
        .type = FH_HW_QUEUE_TYPE_TEGRA241_CMDQV,
        .nesting_parent_iova = BASE, .length = 32, .flags = 1,
    };

    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &cmd, EOPNOTSUPP);
    cmd.flags = 0;
    cmd.type = 0;
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &cmd, EOPNOTSUPP);
    cmd.type = 2;
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &cmd, EOPNOTSUPP);
    queue_fails(f, 999, 0, BASE, 32, ENOENT);
    queue_fails(f, f->s2, 0, BASE, 32, ENOENT);
    queue_fails(f, viommu, 0, BASE, 0, EINVAL);
    queue_fails(f, viommu, 0, -16ull, 32, EOVERFLOW);
    queue_fails(f, viommu, 0, 0, -1ull, ERANGE);
    queue_fails(f, viommu, 0, 0, 1ull << 40, ENOMEM);

    /* In ascending order, and destroyed in descending order */
    queue_fails(f, viommu, 1, BASE, 32, EIO);
    queue_fails(f, viommu, 2, BASE, 32, EINVAL);
    id0 = queue_ok(f, viommu, 0, BASE, PAGE);
    queue_fails(f, viommu, 0, BASE + PAGE, PAGE, EEXIST);
    id1 = queue_ok(f, viommu, 1, BASE + PAGE, PAGE);
    direct_destroy_fails(f->iommufd, id0, EBUSY);
    direct_destroy_fails(f->iommufd, viommu, EBUSY);
    direct_expect_objects(FAKEHOST_OBJ_HW_QUEUE, 2);
    direct_expect_objects(FAKEHOST_OBJ_ACCESS, 2);
    direct_destroy_ok(f->iommufd, id1);
    direct_destroy_ok(f->iommufd, id0);
    direct_expect_objects(FAKEHOST_OBJ_ACCESS, 0);
    direct_destroy_ok(f->iommufd, viommu);
}

/* The kernel's own object has an id as well, and is not ours to destroy */
static void test_access(DirectHost *f)
{
    uint32_t id = queue_ok(f, viommu_with_ram(f), 0, BASE, 32);

    direct_destroy_fails(f->iommufd, id + 1, EBUSY);
    direct_destroy_ok(f->iommufd, id);
    direct_destroy_fails(f->iommufd, id + 1, ENOENT);
}

/* Memory is looked at before anything that the driver has to say */
static void test_queue_size(DirectHost *f)
{
    uint32_t viommu = viommu_with_ram(f);

    queue_fails(f, viommu, 0, BASE, 16, EINVAL);
    queue_fails(f, viommu, 0, BASE, 48, EINVAL);
    if (direct_page) {
        queue_fails(f, viommu, 0, BASE, FAKE_MAX * 2, EINVAL);
    }
    queue_fails(f, viommu, 0, BASE + 16, 32, EINVAL);
    queue_fails(f, viommu, 0, BASE + PAGE, 2 * PAGE, EINVAL);
    queue_fails(f, viommu, 9, BASE + RAM, 48, ENOENT);
    queue_fails(f, viommu, 0, BASE + RAM - PAGE, 2 * PAGE, ENOENT);
    queue_fails(f, viommu, 0, BASE - PAGE, 2 * PAGE, ENOENT);
    /* None of these has left anything behind */
    direct_expect_objects(FAKEHOST_OBJ_HW_QUEUE, 0);
    direct_expect_objects(FAKEHOST_OBJ_ACCESS, 0);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE, RAM), ==, 0);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, false),
                    ==, 0);
    /* It is only read */
    queue_ok(f, viommu, 0, BASE + FAKE_MAX, FAKE_MAX);
    queue_ok(f, viommu, 1, BASE + 0xfe0, 32);
}

/* The queue's register has 48 bits of its address */
static void test_queue_wide(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f);

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, (1ull << 48) - PAGE,
                                   2 * PAGE, ram, true), ==, 0);
    queue_fails(f, viommu, 0, 1ull << 48, 32, EINVAL);
    queue_ok(f, viommu, 0, (1ull << 48) - 32, 32);
}

static void test_write_only(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f);
    struct iommu_ioas_map cmd = {
        .size = sizeof(cmd), .ioas_id = f->ioas, .iova = BASE,
        .length = PAGE, .user_va = (uintptr_t)ram,
        .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE,
    };

    direct_ok(f->iommufd, IOMMU_IOAS_MAP, &cmd);
    queue_fails(f, viommu, 0, BASE, 32, EPERM);
}

static void test_scattered(DirectHost *f)
{
    uint32_t viommu = viommu_with_ram(f);

    queue_fails(f, viommu, 0, BASE, 2 * PAGE, EFAULT);
    direct_expect_objects(FAKEHOST_OBJ_ACCESS, 0);
    queue_ok(f, viommu, 0, BASE, PAGE);
    queue_ok(f, viommu, 1, BASE + PAGE, PAGE);
}

/* A mapping that has a queue stays as a whole; others are free to go */
static void test_locked(DirectHost *f)
{
    uint32_t viommu = viommu_with_ram(f), id0, id1, copy;

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE - PAGE, PAGE,
                                   ram, true), ==, 0);
    id0 = queue_ok(f, viommu, 0, BASE + PAGE, PAGE);
    id1 = queue_ok(f, viommu, 1, BASE + 2 * PAGE, 32);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE, RAM), ==,
                    EBUSY);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE + PAGE, PAGE),
                    ==, EBUSY);
    direct_expect_areas(2);
    /* Those before it are gone */
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, 0, UINT64_MAX), ==,
                    EBUSY);
    direct_expect_areas(1);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, 0, UINT64_MAX), ==,
                    EBUSY);
    direct_expect_areas(1);
    /* A copy is not locked */
    copy = direct_ioas_alloc(f->iommufd);
    g_assert_cmpint(direct_raw_copy(f->iommufd, f->ioas, BASE, copy, BASE, RAM,
                                    true), ==, 0);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, copy, BASE, RAM), ==, 0);
    direct_destroy_ok(f->iommufd, id1);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE, RAM), ==,
                    EBUSY);
    direct_destroy_ok(f->iommufd, id0);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE, RAM), ==, 0);
}

/* Of memory that is in one piece */
static void test_two_mappings(DirectHost *f)
{
    uint32_t viommu = viommu_with_ram(f), id;

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE - PAGE, PAGE,
                                   ram + PAGE, true), ==, 0);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE - 2 * PAGE, PAGE,
                                   ram, true), ==, 0);
    id = queue_ok(f, viommu, 0, BASE - 2 * PAGE, 2 * PAGE);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE - PAGE, PAGE),
                    ==, EBUSY);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE - 2 * PAGE,
                                     PAGE), ==, EBUSY);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE, RAM), ==, 0);
    direct_destroy_ok(f->iommufd, id);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, BASE - 2 * PAGE,
                                     2 * PAGE), ==, 0);
}

static void test_mmap(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };
    uint32_t id = viommu_at(f, &data), queue0, queue1;
    uint64_t at = data.out_vintf_mmap_offset;
    uint64_t mmaps = direct_page ? direct_page->mmaps : 0;
    const int rw = PROT_READ | PROT_WRITE;
    char *p, *q;

    regs_fail(f, at, VINTF, rw, MAP_PRIVATE, EINVAL);
    regs_fail(f, at, VINTF, rw | PROT_EXEC, MAP_SHARED, EPERM);
    regs_fail(f, 0, VINTF, rw, MAP_SHARED, ENXIO);
    regs_fail(f, at + PAGE, VINTF, rw, MAP_SHARED, ENXIO);
    regs_fail(f, at + PAGE, VINTF - PAGE, rw, MAP_SHARED, ENXIO);
    regs_fail(f, at, VINTF - PAGE, rw, MAP_SHARED, ENXIO);
    expect_mmaps(mmaps, 0);
    p = regs_ok(f, at);
    q = regs_ok(f, at);
    expect_mmaps(mmaps + 2, 2);
    /* Both are the registers of the queues */
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, true),
                    ==, 0);
    queue0 = queue_ok(f, id, 0, BASE, PAGE);
    queue1 = queue_ok(f, id, 1, BASE + PAGE, PAGE);
    reg_write(p, LVCMDQ1 + PROD, 0x55);
    g_assert_cmphex(reg_read(q, LVCMDQ1 + PROD), ==, 0x55);
    g_assert_cmphex(reg_read(q, PROD), ==, 0);
    direct_destroy_ok(f->iommufd, queue1);
    direct_destroy_ok(f->iommufd, queue0);
    direct_destroy_fails(f->iommufd, id, EBUSY);
    munmap(q, VINTF);
    direct_destroy_fails(f->iommufd, id, EBUSY);
    /* What is left in the middle counts, and so do both ends */
    munmap(p + PAGE, PAGE);
    expect_mmaps(mmaps + 2, 2);
    munmap(p, PAGE);
    direct_destroy_fails(f->iommufd, id, EBUSY);
    munmap(p, VINTF);
    expect_mmaps(mmaps + 2, 0);
    direct_destroy_ok(f->iommufd, id);
    regs_fail(f, at, VINTF, rw, MAP_SHARED, ENXIO);
}

/* A mapping outlives the descriptor, and keeps all that there is */
static void test_mmap_closed(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };
    uint32_t id = viommu_at(f, &data);
    void *p = regs_ok(f, data.out_vintf_mmap_offset);
    void *seen = direct_page ? vintf(id) : p;

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, true),
                    ==, 0);
    queue_ok(f, id, 0, BASE, PAGE);
    close(f->dev);
    close(f->iommufd);
    direct_expect_objects(FAKEHOST_OBJ_VIOMMU, 1);
    reg_write(p, PROD, 1);
    g_assert_cmpuint(reg_read(seen, PROD), ==, 1);
    if (seen != p) {
        munmap(seen, VINTF);
    }
    munmap(p, VINTF);
    direct_expect_objects(FAKEHOST_OBJ_VIOMMU, 0);
    f->iommufd = direct_open("iommufd0");
    f->dev = direct_open(f->name);
}

/* A test finds the queue, and the doorbell that the guest rings */
static void test_seen(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };
    uint32_t viommu = viommu_at(f, &data), id0, id1;
    uint32_t *guest = regs_ok(f, data.out_vintf_mmap_offset);
    uint32_t *hw = vintf(viommu);
    const struct FakehostHwQueue *q;

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, true),
                    ==, 0);
    g_assert_null(queue_state(viommu, 0));
    /* What was there is gone: CONS, PROD, CONFIG, STATUS; errors are taken */
    for (unsigned i = 0; i < 0x100 / 4; i++) {
        guest[i] = 0x100 + i;
    }
    id0 = queue_ok(f, viommu, 0, BASE, PAGE);
    id1 = queue_ok(f, viommu, 1, BASE + 2 * PAGE, 64);
    for (unsigned i = 0; i < 0x100 / 4; i++) {
        unsigned reg = i % 0x20;

        g_assert_cmphex(hw[i], ==, reg < 4 ? 0 : reg == 5 ? 0xff + i :
                                                            0x100 + i);
    }
    q = queue_state(viommu, 1);
    g_assert_nonnull(q);
    g_assert_cmpuint(q->id, ==, id1);
    g_assert_cmphex(q->iova, ==, BASE + 2 * PAGE);
    g_assert_cmpuint(q->length, ==, 64);
    guest[0x84 / 4] = 3;
    g_assert_cmpuint(hw[0x84 / 4], ==, 3);
    direct_destroy_ok(f->iommufd, id1);
    g_assert_cmpuint(hw[0x84 / 4], ==, 0);
    g_assert_null(queue_state(viommu, 1));
    g_assert_nonnull(queue_state(viommu, 0));
    direct_destroy_ok(f->iommufd, id0);
    g_assert_null(queue_state(viommu, 0));
    munmap(guest, VINTF);
    munmap(hw, VINTF);
}

/* A test plays the hardware and tells which queues have an error */
static void test_event(DirectHost *f)
{
    struct {
        struct fh_vevent_header header;
        struct fh_vevent_tegra241_cmdqv event;
    } in = { { 0, 7 }, { { 2, 1 } } }, out;
    uint32_t viommu = viommu_ok(f);
    struct fh_iommu_veventq_alloc cmd = {
        .size = sizeof(cmd), .viommu_id = viommu, .veventq_depth = 16,
        .type = FH_VEVENTQ_TYPE_TEGRA241_CMDQV,
    }, smmu = cmd;
    g_autofree char *fifo = NULL, *other = NULL;
    int fd;

    smmu.type = FH_VEVENTQ_TYPE_ARM_SMMUV3;
    direct_ok(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd);
    /* One of each type */
    direct_ok(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &smmu);
    fifo = g_strdup_printf("%s/veventq-%u", g_getenv("FAKEHOST_EVENTS"),
                           cmd.out_veventq_id);
    other = g_strdup_printf("%s/veventq-%u", g_getenv("FAKEHOST_EVENTS"),
                            smmu.out_veventq_id);
    fd = open(fifo, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, &in, sizeof(in)), ==, sizeof(in));
    g_assert_cmpint(read(cmd.out_veventq_fd, &out, sizeof(out)), ==,
                    sizeof(out));
    g_assert_cmpmem(&in, sizeof(in), &out, sizeof(out));
    close(fd);
    close(cmd.out_veventq_fd);
    close(smmu.out_veventq_fd);
    direct_destroy_ok(f->iommufd, cmd.out_veventq_id);
    direct_destroy_ok(f->iommufd, smmu.out_veventq_id);
    g_unlink(fifo);
    g_unlink(other);
}

static void fail_next(const char *call, int err)
{
    struct FakehostRule rule = {
        .action = FAKEHOST_RULE_FAIL, .times = 1, .err = err,
    };

    g_strlcpy(rule.call, call, sizeof(rule.call));
    direct_page->rules[0] = rule;
}

static void test_rules(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data = { 0 };
    uint32_t viommu = viommu_at(f, &data), id;

    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, BASE, RAM, ram, true),
                    ==, 0);
    fail_next("IOMMU_HW_QUEUE_ALLOC", EIO);
    queue_fails(f, viommu, 0, BASE, 32, EIO);
    queue_ok(f, viommu, 0, BASE, 32);
    fail_next("*", ENOMEM);
    queue_fails(f, viommu, 1, BASE, 32, ENOMEM);
    fail_next("VIOMMU_MMAP", EAGAIN);
    regs_fail(f, data.out_vintf_mmap_offset, VINTF, PROT_READ, MAP_SHARED,
              EAGAIN);
    munmap(regs_ok(f, data.out_vintf_mmap_offset), VINTF);
    fail_next("VIOMMU_ALLOC", ENOSPC);
    g_assert_cmpint(raw_viommu(f, &data, sizeof(data), &id), ==, ENOSPC);
}

#define SMMUV3      FH_HW_INFO_ARM_SMMUV3

int main(int argc, char **argv)
{
    static const char own[] = "this host has what fakehost is told to have";
    static const char control[] = "a real host shows nothing of its inside";
    static const DirectCase cases[] = {
        { "hw-info_by-type", "dev0", SMMUV3, test_hw_info },
        { "hw-info_described", "few0", SMMUV3, test_hw_info_few, false, own },
        { "viommu_data-checked", "dev0", SMMUV3, test_viommu, true },
        { "viommu_one-vintf-each", "few0", SMMUV3, test_vintfs, true, own },
        { "vdevice_width", "dev0", SMMUV3, test_vdevice_width, true },
        { "vdevice_limits", "few0", SMMUV3, test_vdevice, true, own },
        { "vdevice_one-stream", "alias", SMMUV3, test_two_streams, true, own },
        { "queue_checked", "dev0", SMMUV3, test_queue, true },
        { "queue_access-kept", "dev0", SMMUV3, test_access, true },
        { "queue_size-checked", "dev0", SMMUV3, test_queue_size, true },
        { "queue_address-width", "few0", SMMUV3, test_queue_wide, true, own },
        { "queue_read-permission", "dev0", SMMUV3, test_write_only, true },
        { "queue_scattered", "pages", SMMUV3, test_scattered, true, own },
        { "queue_locks-memory", "dev0", SMMUV3, test_locked, true },
        { "queue_across-mappings", "dev0", SMMUV3, test_two_mappings, true },
        { "queue_seen", "dev0", SMMUV3, test_seen, true, control },
        { "mmap_checked", "dev0", SMMUV3, test_mmap, true },
        { "mmap_outlives-fd", "dev0", SMMUV3, test_mmap_closed, true },
        { "event_of-queues", "dev0", SMMUV3, test_event, true, control },
        { "rules_fail", "dev0", SMMUV3, test_rules, true, control },
    };

    ram = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram != MAP_FAILED);
    ram = QEMU_ALIGN_PTR_UP(ram, HUGE_PAGE);
    madvise(ram, HUGE_PAGE, MADV_HUGEPAGE);
    memset(ram, 0, RAM);
    return direct_run(argc, argv, host, "/fakehost/cmdqv/", cases,
                      ARRAY_SIZE(cases));
}
