/*
 * QTest: fakehost itself, held against what Linux 7.3 does
 *
 * There is no QEMU in it: the program preloads the library under itself and
 * makes the calls that QEMU would make.  On a real kernel it makes the same
 * ones, see direct-calls.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include "viommu/direct-calls.h"

#define RAM_SIZE    (16 * 4096ull)
#define MSI_IOVA    0xfee00000ull
#define U64_ALL     UINT64_MAX
#define ECAP_NEST   (1ull << 26)

/* The full host; one without what its name says; one of another width */
static const char host[] =
    "iommu full type=vtd cap=0x9000008c002f0606 ecap=0x1c998840000cb errata=1\n"
    "iommu later type=vtd cap=0x9000008c002f0606 ecap=0x1c998840000cb\n"
    "iommu nonest type=vtd cap=0x9000008c002f0606 ecap=0x1c998800000cb\n"
    "iommu nosc type=vtd cap=0x9000008c002f0606 ecap=0x1c9988400004b\n"
    "iommu five type=vtd cap=0x1000008c00380e06 ecap=0x1c998840000cb\n"
    "iommu none type=none\n"
    "device dev0 iommu=full pasid-bits=20\n"
    "device dev1 iommu=full\n"
    "device later iommu=later\n"
    "device pair0 iommu=full group=7 slot=7\n"
    "device pair1 iommu=full group=7 slot=7\n"
    "device nonest iommu=nonest\n"
    "device nosc iommu=nosc\n"
    "device five iommu=five\n"
    "device none iommu=none reset=0\n"
    "device unsafe iommu=full isolated-msi=0\n"
    "device moves iommu=full migrate=1\n"
    "iommu pages type=vtd cap=0x9000008c002f0606 ecap=0x1c998a40000cb errata=1\n"
    "device asks iommu=pages pri=1\n";

static void *ram;

static const struct fh_hwpt_vtd_s1 s1 = {
    .pgtbl_addr = 0x40000000, .addr_width = 48,
};

/* --- tests --- */

static void test_ids(DirectHost *f)
{
    uint32_t a = direct_ioas_alloc(f->iommufd);
    uint32_t b = direct_ioas_alloc(f->iommufd);

    g_assert_cmpuint(b, ==, a + 1);
    direct_destroy_ok(f->iommufd, a);
    direct_destroy_fails(f->iommufd, a, ENOENT);
    g_assert_cmpuint(direct_ioas_alloc(f->iommufd), ==, a);
    direct_destroy_fails(f->iommufd, f->dev_id, EBUSY);
    direct_destroy_fails(f->iommufd, 0, ENOENT);
}

static void test_lifetimes(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);

    direct_destroy_fails(f->iommufd, f->ioas, EBUSY);
    direct_destroy_fails(f->iommufd, s2, EBUSY);
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, 0);
    direct_destroy_fails(f->iommufd, nested, EBUSY);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    direct_destroy_ok(f->iommufd, nested);
    direct_destroy_fails(f->iommufd, s2, EBUSY);
    direct_detach(f->dev);
    direct_destroy_ok(f->iommufd, s2);
    direct_destroy_ok(f->iommufd, f->ioas);
}

static void test_auto_domain(DirectHost *f)
{
    g_assert_cmpint(direct_raw_attach(f->dev, f->ioas), ==, 0);
    direct_expect_objects(FAKEHOST_OBJ_HWPT_PAGING, 1);
    direct_destroy_fails(f->iommufd, f->ioas, EBUSY);
    direct_detach(f->dev);
    direct_expect_objects(FAKEHOST_OBJ_HWPT_PAGING, 0);
    direct_destroy_ok(f->iommufd, f->ioas);
}

static void test_struct_sizes(DirectHost *f)
{
    struct {
        struct iommu_destroy cmd;
        uint32_t more;
    } d = { .cmd = { .id = 12345 } };

    d.cmd.size = 4;
    direct_fails(f->iommufd, IOMMU_DESTROY, &d, EINVAL);
    d.cmd.size = sizeof(d);
    direct_fails(f->iommufd, IOMMU_DESTROY, &d, ENOENT);
    d.more = 1;
    direct_fails(f->iommufd, IOMMU_DESTROY, &d, E2BIG);
    direct_fails(f->iommufd, _IO(FH_IOCTL_TYPE, FH_IOMMUFD_NR_LAST), &d,
                 ENOTTY);
}

static void test_map(DirectHost *f)
{
    int fd = f->iommufd;

    /* Without a page table alignment does not matter */
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0x10, 0x10, ram, true), ==, 0);
    g_assert_cmpint(direct_raw_unmap(fd, f->ioas, 0, U64_ALL), ==, 0);
    direct_hwpt_ok(fd, f->dev_id, f->ioas, FH_HWPT_NEST_PARENT, NULL);

    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0x10, 0x1000, ram, true), ==,
                    EINVAL);
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0, 0, ram, true), ==, EINVAL);
    g_assert_cmpint(direct_raw_map(fd, 999, 0, 0x1000, ram, true), ==, ENOENT);
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0, 0x3000, ram, true), ==, 0);
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0x2000, 0x1000, ram, true), ==,
                    EEXIST);
    /* 48 bits and no more; erratum 772415: nothing read-only */
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 1ull << 48, 0x1000, ram, true),
                    ==, EINVAL);
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0x8000, 0x1000, ram, false),
                    ==, EINVAL);
    g_assert_cmpint(direct_raw_map(fd, f->ioas, 0x8000, 0x1000, NULL, true),
                    ==, EFAULT);
    /* A mapping goes whole */
    g_assert_cmpint(direct_raw_unmap(fd, f->ioas, 0x1000, 0x1000), ==, ENOENT);
    g_assert_cmpint(direct_raw_unmap(fd, f->ioas, 0x8000, 0x1000), ==, ENOENT);
    g_assert_cmpint(direct_raw_unmap(fd, f->ioas, 0, 0x100000), ==, 0);
    direct_expect_areas(0);
}

static void test_copy(DirectHost *f)
{
    int fd = f->iommufd;
    uint32_t from = f->ioas, to = direct_ioas_alloc(fd);
    struct iommu_ioas_copy cmd = {
        .size = sizeof(cmd), .src_ioas_id = from, .dst_ioas_id = to,
        .length = 0x1000, .flags = 1 << 3 | IOMMU_IOAS_MAP_READABLE,
    };

    direct_hwpt_ok(fd, f->dev_id, to, 0, NULL);
    /* Two mappings beside each other, a hole, one for reading only */
    g_assert_cmpint(direct_raw_map(fd, from, 0, 0x2000, ram, true), ==, 0);
    g_assert_cmpint(direct_raw_map(fd, from, 0x2000, 0x1000, ram + 0x2000,
                                   true), ==, 0);
    g_assert_cmpint(direct_raw_map(fd, from, 0x4000, 0x1000, ram, false), ==,
                    0);

    g_assert_cmpint(direct_raw_copy(fd, 999, 0, to, 0, 0x1000, true), ==,
                    ENOENT);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, 999, 0, 0x1000, true), ==,
                    ENOENT);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, 0, 0, true), ==, EINVAL);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, 0x800, 0x1000, true), ==,
                    EINVAL);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, 0, 0x800, true), ==,
                    EINVAL);
    g_assert_cmpint(direct_raw_copy(fd, from, 0x800, to, 0, 0x1000, true), ==,
                    EINVAL);
    g_assert_cmpint(direct_raw_copy(fd, from, 0x2000, to, 0, 0x3000, false),
                    ==, ENOENT);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, 1ull << 47, 0x1000, true),
                    ==, EINVAL);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, U64_ALL, 0x1000, true),
                    ==, EOVERFLOW);
    g_assert_cmpint(direct_raw_copy(fd, from, 0x4000, to, 0, 0x1000, true), ==,
                    EPERM);
    direct_fails(fd, IOMMU_IOAS_COPY, &cmd, EOPNOTSUPP);
    cmd.flags = IOMMU_IOAS_MAP_FIXED_IOVA;
    direct_fails(fd, IOMMU_IOAS_COPY, &cmd, EINVAL);
    direct_expect_areas(3);

    /* All or nothing */
    g_assert_cmpint(direct_raw_copy(fd, from, 0x1000, to, 0x8000, 0x2000,
                                    false), ==, 0);
    direct_expect_areas(5);
    g_assert_cmpint(direct_raw_copy(fd, from, 0, to, 0x7000, 0x2000, true), ==,
                    EEXIST);
    g_assert_cmpint(direct_raw_copy(fd, from, 0x4000, to, 0, 0x1000, false),
                    ==, 0);

    /* A copy outlives its source, and its pages stay writable */
    g_assert_cmpint(direct_raw_unmap(fd, from, 0, U64_ALL), ==, 0);
    direct_expect_areas(3);
    g_assert_cmpint(direct_raw_copy(fd, to, 0x8000, from, 0, 0x2000, true), ==,
                    0);
    g_assert_cmpint(direct_raw_copy(fd, to, 0, from, 0x2000, 0x1000, true), ==,
                    EPERM);
}

static void test_map_before_hwpt(DirectHost *f)
{
    /* What is mapped already, a new table has to be able to take */
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, 0x1000, ram, false),
                    ==, 0);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, FH_HWPT_NEST_PARENT,
                      NULL, EINVAL);
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
}

/* Without the erratum there is no reason to refuse */
static void test_map_readonly(DirectHost *f)
{
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, 0x1000, ram, false),
                    ==, 0);
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, FH_HWPT_NEST_PARENT, NULL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0x1000, 0x1000, ram,
                                   false), ==, 0);
}

static int map_msi(DirectHost *f, uint32_t ioas)
{
    return direct_raw_map(f->iommufd, ioas, MSI_IOVA, 0x1000, ram, true);
}

static void test_reserved(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);

    g_assert_cmpint(map_msi(f, f->ioas), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, EADDRINUSE);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, f->ioas, MSI_IOVA, 0x1000),
                    ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    g_assert_cmpint(map_msi(f, f->ioas), ==, EINVAL);
    /* What is nested on it keeps to the same */
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, 0);
    g_assert_cmpint(map_msi(f, f->ioas), ==, EINVAL);
    direct_detach(f->dev);
    g_assert_cmpint(map_msi(f, f->ioas), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, EADDRINUSE);
}

static void test_iova_ranges(DirectHost *f)
{
    struct iommu_iova_range ranges[4];
    struct iommu_ioas_iova_ranges cmd = {
        .size = sizeof(cmd), .ioas_id = f->ioas,
    };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);

    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    direct_fails(f->iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd, EMSGSIZE);
    g_assert_cmpuint(cmd.num_iovas, ==, 2);
    cmd.num_iovas = 4;
    cmd.allowed_iovas = (uintptr_t)ranges;
    direct_ok(f->iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd);
    g_assert_cmphex(ranges[0].start, ==, 0);
    g_assert_cmphex(ranges[0].last, ==, MSI_IOVA - 1);
    g_assert_cmphex(ranges[1].start, ==, MSI_IOVA + 0x100000);
    g_assert_cmphex(ranges[1].last, ==, (1ull << 48) - 1);
    g_assert_cmphex(cmd.out_iova_alignment, ==, 0x1000);
}

/* Without a nesting parent it is a first-stage table: the lower half only */
static void test_first_stage_aperture(DirectHost *f)
{
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 1ull << 47, 0x1000,
                                   ram, true), ==, EINVAL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, (1ull << 47) - 0x1000,
                                   0x1000, ram, true), ==, 0);
}

static void test_hwpt_alloc(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t plain = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .pt_id = s2,
        .data_type = FH_DATA_VTD_S1,
    };

    direct_hwpt_fails(f->iommufd, 999, f->ioas, 0, NULL, ENOENT);
    direct_hwpt_fails(f->iommufd, f->dev_id, 999, 0, NULL, EINVAL);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->dev_id, 0, NULL, EINVAL);
    direct_hwpt_fails(f->iommufd, f->dev_id, nested, 0, &s1, EINVAL);
    direct_hwpt_fails(f->iommufd, f->dev_id, plain, 0, &s1, EINVAL);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, 0, &s1, EOPNOTSUPP);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, 1 << 8, NULL,
                      EOPNOTSUPP);
    direct_hwpt_fails(f->iommufd, f->dev_id, s2, FH_HWPT_NEST_PARENT, &s1,
                      EOPNOTSUPP);
    /* A fault queue goes on the nested table, never on the parent */
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas,
                      FH_HWPT_NEST_PARENT | FH_HWPT_FAULT_ID_VALID, NULL,
        EOPNOTSUPP);
    direct_hwpt_fails(f->iommufd, f->dev_id, s2, FH_HWPT_FAULT_ID_VALID, &s1,
                      ENOENT);
    /* This host has no SSADS */
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, FH_HWPT_DIRTY_TRACKING,
                      NULL, EOPNOTSUPP);
    direct_fails(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd, EINVAL);
    cmd.data_len = sizeof(s1) - 1;
    cmd.data_uptr = (uintptr_t)&s1;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd, EINVAL);
    cmd.data_type = FH_DATA_ARM_SMMUV3;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd, EOPNOTSUPP);
}

static void test_no_nesting(DirectHost *f)
{
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, FH_HWPT_NEST_PARENT,
                      NULL, EOPNOTSUPP);
}

/* A failed attach: the books keep the old table, the hardware blocks */
static void test_attach_fails(DirectHost *f)
{
    struct fh_hwpt_vtd_s1 wide = { .addr_width = 57 };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t good = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);
    uint32_t bad, odd;

    wide.addr_width = 49;
    odd = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &wide);
    wide.addr_width = 48;
    wide.flags = FH_VTD_S1_EAFE;
    bad = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &wide);
    g_assert_cmpint(direct_raw_attach(f->dev, 999), ==, ENOENT);
    g_assert_cmpint(direct_raw_attach(f->dev, good), ==, 0);
    direct_expect_state("dev0", good, good);
    g_assert_cmpint(direct_raw_attach(f->dev, bad), ==, EINVAL);
    direct_expect_state("dev0", good, 0);
    /* The kernel takes this for a no-op, the hardware stays blocked */
    g_assert_cmpint(direct_raw_attach(f->dev, good), ==, 0);
    direct_expect_state("dev0", good, 0);
    direct_detach(f->dev);
    direct_expect_state("dev0", 0, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, good), ==, 0);
    direct_expect_state("dev0", good, good);
    g_assert_cmpint(direct_raw_attach(f->dev, odd), ==, EINVAL);
    direct_detach(f->dev);
}

static void test_in_reset(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);

    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    direct_state("dev0")->flags |= FAKEHOST_DEV_IN_RESET;
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, EBUSY);
    direct_expect_state("dev0", s2, 0);
    direct_state("dev0")->flags &= ~FAKEHOST_DEV_IN_RESET;
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    direct_expect_state("dev0", s2, s2);
    g_assert_cmpint(direct_raw_attach(f->dev, nested), ==, 0);
    direct_expect_state("dev0", nested, nested);
}

/* Tables of one unit on another: coherent or not, wide or not */
static void test_other_unit(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    int nosc = direct_open("nosc"), five = direct_open("five");
    uint32_t nosc_id = direct_bind_ok(nosc, f->iommufd);
    uint32_t five_id = direct_bind_ok(five, f->iommufd);
    uint32_t own;

    g_assert_cmpint(direct_raw_attach(nosc, s2), ==, EINVAL);
    direct_expect_state("nosc", 0, 0);
    own = direct_hwpt_ok(f->iommufd, nosc_id, f->ioas, FH_HWPT_NEST_PARENT,
                         NULL);
    g_assert_cmpint(direct_raw_attach(nosc, own), ==, 0);
    /* The other way round it works */
    g_assert_cmpint(direct_raw_attach(f->dev, own), ==, 0);
    g_assert_cmpint(direct_raw_attach(five, s2), ==, 0);
    own = direct_hwpt_ok(f->iommufd, five_id, f->ioas, FH_HWPT_NEST_PARENT,
                         NULL);
    g_assert_cmpint(direct_raw_attach(f->dev, own), ==, EINVAL);
    close(nosc);
    close(five);
}

static void test_group(DirectHost *f)
{
    int other = direct_open("pair1");
    uint32_t a = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    uint32_t b = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);

    direct_bind_ok(other, f->iommufd);
    g_assert_cmpint(direct_raw_attach(f->dev, a), ==, 0);
    direct_expect_state("pair1", 0, a);
    g_assert_cmpint(direct_raw_attach(other, b), ==, EINVAL);
    g_assert_cmpint(direct_raw_attach(other, a), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, b), ==, 0);
    direct_expect_state("pair0", b, b);
    direct_expect_state("pair1", b, b);
    direct_destroy_ok(f->iommufd, a);
    direct_detach(f->dev);
    direct_expect_state("pair0", 0, b);
    direct_detach(other);
    direct_expect_state("pair0", 0, 0);
    direct_destroy_ok(f->iommufd, b);
    close(other);
}

static void test_pasid(DirectHost *f)
{
    uint32_t plain = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                    FH_HWPT_NEST_PARENT, NULL);
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT | FH_HWPT_PASID, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, FH_HWPT_PASID,
                                     &s1);

    g_assert_cmpint(direct_raw_attach(f->dev, plain), ==, 0);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, nested, 5), ==, EINVAL);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, plain, 5), ==, EINVAL);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, nested, 1 << 20), ==,
                    EINVAL);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, nested, 5), ==, 0);
    if (direct_page) {
        g_assert_cmpuint(direct_state("dev0")->pasids, ==, 1);
    }
    g_assert_cmpint(direct_raw_attach(f->dev, plain), ==, EINVAL);
    direct_destroy_fails(f->iommufd, nested, EBUSY);
}

/* By PASID too, tables are replaced, kept and given back */
static void test_pasid_moves(DirectHost *f)
{
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT | FH_HWPT_PASID, NULL);
    uint32_t a = direct_hwpt_ok(f->iommufd, f->dev_id, s2, FH_HWPT_PASID,
                                &s1);
    uint32_t b = direct_hwpt_ok(f->iommufd, f->dev_id, s2, FH_HWPT_PASID,
                                &s1);
    struct fh_vfio_detach_pt detach = {
        .argsz = sizeof(detach), .flags = FH_DETACH_PASID, .pasid = 5,
    };

    /* Whether the RID is attached does not matter */
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, a, 5), ==, 0);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, a, 5), ==, 0);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, s2, 6), ==, 0);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, 999, 7), ==, ENOENT);
    g_assert_cmpint(direct_raw_attach(f->dev, b), ==, 0);
    direct_destroy_fails(f->iommufd, a, EBUSY);
    g_assert_cmpint(direct_raw_attach_pasid(f->dev, b, 5), ==, 0);
    direct_destroy_ok(f->iommufd, a);
    direct_detach(f->dev);
    direct_destroy_fails(f->iommufd, b, EBUSY);
    direct_ok(f->dev, FH_VFIO_DETACH_IOMMUFD_PT, &detach);
    direct_destroy_ok(f->iommufd, b);
    direct_destroy_fails(f->iommufd, s2, EBUSY);
    /* PASID 6 goes with the device */
}

/* Nobody asks for pages: the device has no PRI */
static void test_no_pri(DirectHost *f)
{
    struct fh_iommu_fault_alloc fault = { .size = sizeof(fault) };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .pt_id = s2,
        .flags = FH_HWPT_FAULT_ID_VALID, .data_type = FH_DATA_VTD_S1,
        .data_len = sizeof(s1), .data_uptr = (uintptr_t)&s1,
    };

    direct_ok(f->iommufd, FH_IOMMU_FAULT_QUEUE_ALLOC, &fault);
    cmd.fault_id = fault.out_fault_id;
    direct_ok(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd);
    g_assert_cmpint(direct_raw_attach(f->dev, cmd.out_hwpt_id), ==, ENODEV);
    direct_destroy_ok(f->iommufd, cmd.out_hwpt_id);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    close(fault.out_fault_fd);
}

/* Each group is answered once: by us, or by the kernel if the table goes */
static void test_page_requests(DirectHost *f)
{
    struct fh_iommu_fault_alloc fault = { .size = sizeof(fault) };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .pt_id = s2,
        .flags = FH_HWPT_FAULT_ID_VALID, .data_type = FH_DATA_VTD_S1,
        .data_len = sizeof(s1), .data_uptr = (uintptr_t)&s1,
    };
    struct fh_pgfault in[3] = {
        { .dev_id = f->dev_id, .cookie = 1 },
        { .dev_id = f->dev_id, .cookie = 1, .flags = FH_PGFAULT_LAST_PAGE },
        { .dev_id = f->dev_id, .cookie = 2, .flags = FH_PGFAULT_LAST_PAGE },
    }, out[4];
    struct fh_page_response a[2] = { { 1, 0 }, { 9, 0 } };
    g_autofree char *fifo = NULL;
    int fd;

    direct_ok(f->iommufd, FH_IOMMU_FAULT_QUEUE_ALLOC, &fault);
    cmd.fault_id = fault.out_fault_id;
    direct_ok(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd);
    g_assert_cmpint(direct_raw_attach(f->dev, cmd.out_hwpt_id), ==, 0);
    fifo = g_strdup_printf("%s/fault-%u", g_getenv("FAKEHOST_EVENTS"),
                           fault.out_fault_id);
    fd = open(fifo, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(write(fd, in, sizeof(in)), ==, sizeof(in));
    g_assert_cmpint(read(fault.out_fault_fd, out, sizeof(out)), ==,
                    sizeof(in));
    g_assert_cmpmem(in, sizeof(in), out, sizeof(in));
    g_assert_cmpuint(direct_page->requests_waiting, ==, 2);

    /* What comes before an answer to nothing has been done */
    g_assert_cmpint(write(fault.out_fault_fd, a, sizeof(a)), ==, sizeof(*a));
    g_assert_cmpint(write(fault.out_fault_fd, a, sizeof(a)), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    a[0] = (struct fh_page_response) { 2, 2 };
    g_assert_cmpint(write(fault.out_fault_fd, a, sizeof(*a)), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(write(fault.out_fault_fd, a, 7), ==, -1);
    g_assert_cmpint(errno, ==, ESPIPE);
    g_assert_cmpint(direct_raw_attach(f->dev, s2), ==, 0);
    g_assert_cmpuint(direct_page->answers_by_kernel, ==, 1);
    g_assert_cmpuint(direct_page->requests_waiting, ==, 0);
    /* And those that nobody has read */
    g_assert_cmpint(write(fd, in, sizeof(in)), ==, sizeof(in));
    g_assert_cmpint(read(fault.out_fault_fd, out, sizeof(out)), ==, -1);
    g_assert_cmpuint(direct_page->answers_by_kernel, ==, 3);
    close(fd);
    close(fault.out_fault_fd);
    g_unlink(fifo);
}

static int interrupted_fd;
static volatile sig_atomic_t interruptions;

static void on_alarm(int sig)
{
    uint64_t one = 1;
    int err = errno;
    ssize_t ret = write(interrupted_fd, &one, sizeof(one));

    interruptions += ret == sizeof(one);
    errno = err;
}

static void read_while_interrupted(void)
{
    struct sigaction action = { .sa_handler = on_alarm };
    struct itimerval often = { { 0, 100 }, { 0, 100 } };
    uint64_t count;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (interruptions < 1000) {
        if (read(interrupted_fd, &count, sizeof(count)) < 0 &&
            errno != EAGAIN && errno != EINTR) {
            _exit(1);
        }
    }
    _exit(0);
}

/* A handler may write while its own thread is in read(), as QEMU's does */
static void test_interrupted(DirectHost *f)
{
    struct fh_iommu_fault_alloc fault = { .size = sizeof(fault) };
    pid_t child;
    int status;

    direct_ok(f->iommufd, FH_IOMMU_FAULT_QUEUE_ALLOC, &fault);
    interrupted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert_cmpint(interrupted_fd, >=, 0);
    child = fork();
    g_assert_cmpint(child, >=, 0);
    if (!child) {
        read_while_interrupted();
    }
    for (unsigned i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
        if (i == 1200) {
            kill(child, SIGKILL);
        }
        g_usleep(100 * 1000);
    }
    g_assert_cmphex(status, ==, 0);
    close(interrupted_fd);
    close(fault.out_fault_fd);
}

/* What is mapped and reserved decides, not what the old table was */
static void test_replace(DirectHost *f)
{
    uint32_t other = direct_ioas_alloc(f->iommufd);
    uint32_t a = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    uint32_t b = direct_hwpt_ok(f->iommufd, f->dev_id, other, 0, NULL);

    g_assert_cmpint(map_msi(f, other), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, a), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, b), ==, EADDRINUSE);
    direct_expect_state("dev0", a, a);
    g_assert_cmpint(map_msi(f, f->ioas), ==, EINVAL);
    g_assert_cmpint(direct_raw_unmap(f->iommufd, other, MSI_IOVA, 0x1000), ==,
                    0);
    g_assert_cmpint(direct_raw_attach(f->dev, b), ==, 0);
    /* What was reserved moves along */
    g_assert_cmpint(map_msi(f, f->ioas), ==, 0);
    g_assert_cmpint(map_msi(f, other), ==, EINVAL);
    direct_destroy_ok(f->iommufd, a);
    direct_destroy_fails(f->iommufd, b, EBUSY);
}

static void invalidate(DirectHost *f, uint32_t id,
                       const struct fh_vtd_s1_invalidate *inv, uint32_t num,
                       int err, uint32_t handled)
{
    struct fh_iommu_hwpt_invalidate cmd = {
        .size = sizeof(cmd), .hwpt_id = id, .data_uptr = (uintptr_t)inv,
        .data_type = FH_INVALIDATE_VTD_S1, .entry_len = sizeof(*inv),
        .entry_num = num,
    };

    g_assert_cmpint(direct_raw(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd), ==,
                    err);
    g_assert_cmpuint(cmd.entry_num, ==, handled);
}

static void test_invalidate(DirectHost *f)
{
    static const struct fh_vtd_s1_invalidate good[] = {
        { 0x1000, 1 }, { 0x200000, 512, FH_VTD_INV_LEAF }, { 0, U64_ALL },
    };
    static const struct fh_vtd_s1_invalidate misaligned[] = {
        { 0x1000, 1 }, { 0x1001, 1 }, { 0, U64_ALL },
    };
    static const struct fh_vtd_s1_invalidate flag[] = { { 0, 1, 2 } };
    static const struct fh_vtd_s1_invalidate all[] = { { 0x1000, U64_ALL } };
    static const struct fh_vtd_s1_invalidate reserved[] = { { 0, 1, 0, 1 } };
    static const struct fh_vtd_s1_invalidate odd[] = {
        { 0x1000, 0 }, { -0x1000ull, 2 }, { 0x1000, U64_ALL - 1 },
        { 1ull << 60, 1 },
    };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);
    struct fh_iommu_hwpt_invalidate cmd = {
        .size = sizeof(cmd), .hwpt_id = nested, .data_uptr = (uintptr_t)good,
        .data_type = FH_INVALIDATE_ARM_SMMUV3, .entry_len = sizeof(good[0]),
        .entry_num = 1,
    };

    invalidate(f, nested, good, 3, 0, 3);
    invalidate(f, nested, NULL, 0, 0, 0);
    /* Neither a length of nothing nor one beyond the end is refused */
    invalidate(f, nested, odd, ARRAY_SIZE(odd), 0, ARRAY_SIZE(odd));
    invalidate(f, nested, misaligned, 3, EINVAL, 1);
    invalidate(f, nested, flag, 1, EOPNOTSUPP, 0);
    invalidate(f, nested, all, 1, EINVAL, 0);
    invalidate(f, nested, reserved, 1, EOPNOTSUPP, 0);
    invalidate(f, nested, NULL, 1, EINVAL, 0);
    invalidate(f, nested, good, FH_INVALIDATE_ENTRIES_MAX + 1, EINVAL, 0);
    invalidate(f, s2, good, 1, EINVAL, 0);
    invalidate(f, 999, good, 1, ENOENT, 0);
    direct_fails(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd, EINVAL);
}

static void test_injection(DirectHost *f)
{
    static const struct fh_vtd_s1_invalidate inv[] = {
        { 0x1000, 1 }, { 0x2000, 1 }, { 0x3000, 1 },
    };
    uint32_t s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                                 FH_HWPT_NEST_PARENT, NULL);
    uint32_t nested = direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);
    struct FakehostRule *rule = &direct_page->rules[0];

    *rule = (struct FakehostRule) {
        .call = "HWPT_INVALIDATE", .action = FAKEHOST_RULE_FAIL, .skip = 1,
        .times = 1, .err = EIO, .handled = 2,
    };
    invalidate(f, nested, inv, 3, 0, 3);
    invalidate(f, nested, inv, 3, EIO, 2);
    invalidate(f, nested, inv, 3, 0, 3);
    g_assert_cmpuint(rule->hits, ==, 1);

    *rule = (struct FakehostRule) {
        .call = "*", .action = FAKEHOST_RULE_FAIL, .times = 1, .err = ENOMEM,
    };
    /* Nothing can fail these */
    direct_detach(f->dev);
    direct_destroy_ok(f->iommufd, nested);
    direct_hwpt_fails(f->iommufd, f->dev_id, s2, 0, &s1, ENOMEM);
    direct_hwpt_ok(f->iommufd, f->dev_id, s2, 0, &s1);

    *rule = (struct FakehostRule) {
        .call = "IOMMU_DESTROY", .action = FAKEHOST_RULE_SWALLOW,
    };
    direct_destroy_ok(f->iommufd, 999);
}

static void test_bind(DirectHost *f)
{
    struct fh_vfio_attach_pt attach = {
        .argsz = sizeof(attach), .pt_id = f->ioas,
    };
    int second = direct_open(f->name), other = direct_open("dev1");
    uint32_t id;

    direct_fails(second, FH_VFIO_ATTACH_IOMMUFD_PT, &attach, EINVAL);
    g_assert_cmpint(direct_raw_bind(second, f->iommufd, &id), ==, EINVAL);
    g_assert_cmpint(direct_raw_bind(f->dev, f->iommufd, &id), ==, EINVAL);
    g_assert_cmpint(direct_raw_bind(other, f->dev, &id), ==, EBADFD);
    g_assert_cmpint(direct_raw_bind(other, 999, &id), ==, EBADF);
    g_assert_cmpint(direct_raw_bind(other, -1, &id), ==, EINVAL);
    direct_bind_ok(other, f->iommufd);
    close(second);
    close(other);
}

/* Its interrupts are not remapped */
static void test_bind_unsafe(DirectHost *f)
{
    int unsafe = direct_open("unsafe");
    uint32_t id;

    g_assert_cmpint(direct_raw_bind(unsafe, f->iommufd, &id), ==, EPERM);
    close(unsafe);
}

/* A group's DMA has one owner */
static void test_bind_group(DirectHost *f)
{
    int elsewhere = direct_open("iommufd1"), other = direct_open("pair1");
    uint32_t id;

    g_assert_cmpint(direct_raw_bind(other, elsewhere, &id), ==, EPERM);
    direct_bind_ok(other, f->iommufd);
    close(other);
    close(elsewhere);
}

/* The last descriptor counts, and the context outlives the iommufd's */
static void test_close(DirectHost *f)
{
    int copy = dup(f->dev), elsewhere = direct_open("iommufd1");
    int second = direct_open(f->name);
    uint32_t id;

    g_assert_cmpint(direct_raw_attach(f->dev, f->ioas), ==, 0);
    close(f->dev);
    g_assert_cmpint(direct_raw_bind(second, elsewhere, &id), ==, EINVAL);
    close(f->iommufd);
    direct_expect_objects(FAKEHOST_OBJ_IOAS, 1);
    g_assert_cmpint(direct_raw_bind(second, elsewhere, &id), ==, EINVAL);
    close(copy);
    direct_expect_objects(FAKEHOST_OBJ_IOAS, 0);
    g_assert_cmpint(direct_raw_bind(second, elsewhere, &id), ==, 0);
    close(second);
    close(elsewhere);
    f->dev = f->iommufd = -1;
}

static void test_hw_info(DirectHost *f)
{
    struct fh_hw_info_vtd vtd;
    struct fh_iommu_hw_info cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .data_len = sizeof(vtd),
        .data_uptr = (uintptr_t)&vtd,
    };

    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    g_assert_cmpuint(cmd.data_type, ==, FH_HW_INFO_INTEL_VTD);
    g_assert_cmphex(vtd.ecap_reg & ECAP_NEST, ==, ECAP_NEST);
    g_assert_cmphex(vtd.flags, ==, FH_HW_INFO_VTD_ERRATA_772415);
    if (direct_page) {
        g_assert_cmphex(vtd.ecap_reg, ==, 0x1c998840000cb);
    }
    g_assert_cmpuint(cmd.data_len, ==, sizeof(vtd));
    g_assert_cmpuint(cmd.out_max_pasid_log2, ==, 20);
    cmd.flags = FH_HW_INFO_FLAG_INPUT_TYPE;
    cmd.data_type = FH_HW_INFO_ARM_SMMUV3;
    direct_fails(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd, EOPNOTSUPP);
}

static void test_pci(DirectHost *f)
{
    struct vfio_region_info info = { .argsz = sizeof(info), .index = 7 };
    uint64_t config;
    uint32_t v;

    direct_ok(f->dev, VFIO_DEVICE_GET_REGION_INFO, &info);
    config = info.offset;
    g_assert_cmphex(info.size, ==, 4096);
    g_assert_cmpint(pread(f->dev, &v, 4, config), ==, 4);
    g_assert_cmphex(v, ==, 0x00101b36);
    v = 0xffffffff;
    g_assert_cmpint(pwrite(f->dev, &v, 4, config), ==, 4);
    g_assert_cmpint(pwrite(f->dev, &v, 4, config + 0x10), ==, 4);
    g_assert_cmpint(pread(f->dev, &v, 4, config), ==, 4);
    g_assert_cmphex(v, ==, 0x00101b36);
    g_assert_cmpint(pread(f->dev, &v, 4, config + 0x10), ==, 4);
    g_assert_cmphex(v, ==, 0xffffc004);
    info.index = 99;
    direct_fails(f->dev, VFIO_DEVICE_GET_REGION_INFO, &info, EINVAL);
    direct_ok(f->dev, VFIO_DEVICE_RESET, NULL);
}

/* Returns 0 or the errno; @data_fd is set if the state comes with one */
static int set_mig_state(int dev, uint32_t state, int32_t *data_fd)
{
    uint64_t buf[2] = { 0 };
    struct vfio_device_feature *feature = (struct vfio_device_feature *)buf;
    struct vfio_device_feature_mig_state *cmd =
        (struct vfio_device_feature_mig_state *)feature->data;
    int err;

    QEMU_BUILD_BUG_ON(sizeof(buf) < sizeof(*feature) + sizeof(*cmd));
    feature->argsz = sizeof(buf);
    feature->flags = VFIO_DEVICE_FEATURE_SET |
                     VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
    cmd->device_state = state;
    err = direct_raw(dev, VFIO_DEVICE_FEATURE, feature);
    *data_fd = cmd->data_fd;
    return err;
}

/* What the device says it has to save, 0 if it does not answer */
static uint64_t query_data_size(int dev)
{
    uint64_t buf[(sizeof(struct vfio_device_feature) +
                  sizeof(struct vfio_device_feature_mig_data_size)) / 8] = {};
    struct vfio_device_feature *feature = (void *)buf;
    struct vfio_device_feature_mig_data_size *size = (void *)feature->data;

    feature->argsz = sizeof(buf);
    feature->flags = VFIO_DEVICE_FEATURE_GET |
                     VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
    return direct_raw(dev, VFIO_DEVICE_FEATURE, feature)
        ? 0 : size->stop_copy_length;
}

static void test_migration(DirectHost *f)
{
    char saved[64] = "";
    int32_t fd, none;
    ssize_t len;

    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_PRE_COPY, &fd),
                    ==, EINVAL);
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_STOP_COPY, &fd),
                    ==, 0);
    len = read(fd, saved, sizeof(saved));
    g_assert_cmpint(len, >, 0);
    g_assert_nonnull(strstr(saved, f->name));
    close(fd);
    g_assert_cmpint(query_data_size(f->dev), ==, len);
    direct_state(f->name)->data_size = 1ull << 40;
    g_assert_cmpuint(query_data_size(f->dev), ==, 1ull << 40);
    direct_state(f->name)->data_size = 0;

    /* What was saved can be loaded, nothing cannot */
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_RESUMING, &fd),
                    ==, 0);
    g_assert_cmpint(write(fd, saved, len), ==, len);
    close(fd);
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_RUNNING, &none),
                    ==, 0);
    g_assert_cmpint(none, ==, -1);
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_RESUMING, &fd),
                    ==, 0);
    close(fd);
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_STOP, &none), ==,
                    EINVAL);

    /* A reset sets it right */
    direct_ok(f->dev, VFIO_DEVICE_RESET, NULL);
    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_STOP, &none), ==,
                    0);
}

static void test_cannot_migrate(DirectHost *f)
{
    int32_t fd;

    g_assert_cmpint(set_mig_state(f->dev, VFIO_DEVICE_STATE_STOP, &fd), ==,
                    ENOTTY);
    g_assert_cmpuint(query_data_size(f->dev), ==, 0);
}

/* The kernel cannot pin a BAR */
static void test_bar(DirectHost *f)
{
    struct vfio_region_info info = { .argsz = sizeof(info), .index = 0 };
    /* Of an NVMe controller: the sizes of its admin queues (AQA) */
    uint32_t v = 0x00070007;
    void *bar;

    direct_ok(f->dev, VFIO_DEVICE_GET_REGION_INFO, &info);
    bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, f->dev,
               info.offset);
    g_assert_true(bar != MAP_FAILED);
    g_assert_cmpint(pwrite(f->dev, &v, 4, info.offset + 0x24), ==,
                    4);
    g_assert_cmphex(((uint32_t *)bar)[9], ==, v);
    direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0, 0x1000, bar, true),
                    ==, EFAULT);
    munmap(bar, info.size);
}

/* --- the other mode: between a program and a real kernel --- */

/* What the child does: the kernel refuses these on /dev/null, with ENOTTY */
static int real_child(void)
{
    struct fh_vtd_s1_invalidate inv[] = { { 0x1000, 1 }, { 0x2000, 1 } };
    static const int expected[] = { ENOTTY, EIO, ENOTTY };
    int fd = open("/dev/null", O_RDWR);
    struct iommu_destroy destroy = { .size = sizeof(destroy), .id = 1 };

    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        struct fh_iommu_hwpt_invalidate cmd = {
            .size = sizeof(cmd), .hwpt_id = 7, .data_uptr = (uintptr_t)inv,
            .entry_len = sizeof(inv[0]), .entry_num = 2,
        };
        int err = direct_raw(fd, FH_IOMMU_HWPT_INVALIDATE, &cmd);

        if (err != expected[i] || cmd.entry_num != (err == EIO ? 1 : 2)) {
            return EXIT_FAILURE;
        }
    }
    return direct_raw(fd, IOMMU_DESTROY, &destroy) ? EXIT_FAILURE
                                                   : EXIT_SUCCESS;
}

static void test_real_mode(DirectHost *f)
{
    g_autofree char *log = g_build_filename(g_get_tmp_dir(),
                                            "fakehost-real-XXXXXX", NULL);
    const char *args[] = { "/proc/self/exe", "--real-child", NULL };
    int fd = g_mkstemp(log);
    g_autofree char *text = NULL;
    g_auto(GStrv) env = g_get_environ();
    int status;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    env = g_environ_setenv(env, "FAKEHOST_MODE", "real", true);
    env = g_environ_unsetenv(env, "FAKEHOST_CONTROL");
    env = g_environ_setenv(env, "FAKEHOST_LOG", log, true);
    env = g_environ_setenv(env, "FAKEHOST_FAIL", "HWPT_INVALIDATE@2=EIO/1",
                           true);
    env = g_environ_setenv(env, "FAKEHOST_SWALLOW", "IOMMU_DESTROY", true);
    env = g_environ_setenv(env, "LD_PRELOAD", direct_library(), true);
    g_assert_true(g_spawn_sync(NULL, (char **)args, env, G_SPAWN_DEFAULT, NULL,
                               NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "entries=[0x1000:0x1:0,0x2000:0x1:0] "
                            "handled=1 = -1 EIO injected\n"));
    g_assert_nonnull(strstr(text, "IOMMU_DESTROY id=1 = 0 swallowed\n"));
    g_assert_nonnull(strstr(text, "total IOMMU_HWPT_INVALIDATE calls=3 "
                            "failed=3 entries=5\n"));
    g_unlink(log);
}

#define ANY         0
#define VTD         FH_HW_INFO_INTEL_VTD
#define NO_CONTROL  "the kernel fails only what has a reason to fail"
#define NO_STATE    "QEMU has no device whose state can be saved"

int main(int argc, char **argv)
{
    static const DirectCase cases[] = {
        { "ids_lowest-free", "dev0", ANY, test_ids },
        { "objects_users-keep-them", "dev0", VTD, test_lifetimes },
        { "auto-domain_goes-with-attachment", "dev0", ANY, test_auto_domain },
        { "struct-sizes_checked", "dev0", ANY, test_struct_sizes },
        { "map_checked", "dev0", VTD, test_map },
        { "copy_checked", "dev0", VTD, test_copy },
        { "map-readonly_no-parent", "dev0", VTD, test_map_before_hwpt },
        { "map-readonly_parent-without-erratum", "later", ANY,
          test_map_readonly },
        { "reserved-iova_enforced", "dev0", VTD, test_reserved },
        { "iova-ranges_reported", "dev0", VTD, test_iova_ranges },
        { "first-stage_47-bits", "dev0", VTD, test_first_stage_aperture },
        { "hwpt-alloc_checked", "dev0", VTD, test_hwpt_alloc },
        { "no-nesting_no-parent", "nonest", ANY, test_no_nesting },
        { "attach-fails_hardware-blocked", "dev0", VTD, test_attach_fails },
        { "attach-in-reset_busy", "dev0", ANY, test_in_reset,
          .fake_only = "a reset does not last" },
        { "attach-other-unit_checked", "dev0 nosc five", ANY, test_other_unit },
        { "group_moves-as-one", "pair0 pair1", ANY, test_group },
        { "pasid_checked", "dev0", VTD, test_pasid },
        { "pasid_moves", "dev0", VTD, test_pasid_moves },
        { "fault-queue_needs-pri", "dev0", VTD, test_no_pri },
        { "page-requests_answered-once", "asks", VTD, test_page_requests,
          .fake_only = "a test cannot have a device send requests" },
        { "signal-handler_may-write", "asks", VTD, test_interrupted,
          .fake_only = "a kernel has no such lock" },
        { "replace_reserves", "dev0", VTD, test_replace },
        { "invalidate_checked", "dev0", VTD, test_invalidate },
        { "rules_act", "dev0", ANY, test_injection, .fake_only = NO_CONTROL },
        { "bind_checked", "dev0 dev1", ANY, test_bind },
        { "bind-unsafe_refused", "dev0 unsafe", ANY, test_bind_unsafe },
        { "bind-group_one-owner", "pair0 pair1", ANY, test_bind_group },
        { "close_releases", "dev0", ANY, test_close },
        { "hw-info_reported", "dev0", VTD, test_hw_info },
        { "config-space_masked", "dev1", ANY, test_pci },
        { "migration_states", "moves", ANY, test_migration,
          .fake_only = NO_STATE },
        { "cannot-migrate_refused", "dev0", ANY, test_cannot_migrate },
        { "bar_not-pinned", "dev1", ANY, test_bar },
        { "real-mode_counts", "dev0", ANY, test_real_mode,
          .fake_only = "the library is what it is about" },
    };

    if (argc == 2 && g_str_equal(argv[1], "--real-child")) {
        return real_child();
    }
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return direct_run(argc, argv, host, "/fakehost/", cases,
                      ARRAY_SIZE(cases));
}
