/*
 * QTest: fakehost's SMMUv3, held against what Linux 7.3 does
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include "viommu/direct-calls.h"

#define VSID        0x10
#define OTHER_VSID  0x11

/* IDR0: both stages, ATS, 16-bit ASIDs; IDR3: FWB, RIL; OAS 44 bits */
#define IDR0_BOTH   3u
#define IDR0_ATS    (1u << 10)
#define IDR3_FWB    (1u << 8)
#define SMMU        "idr0=0x1413 idr1=0x500 idr5=0x74"

static const char host[] =
    "iommu a type=smmuv3 " SMMU " idr3=0x500\n"
    "iommu b type=smmuv3 " SMMU " idr3=0x500\n"
    "iommu nofwb type=smmuv3 " SMMU " idr3=0\n"
    "iommu canwbs type=smmuv3 " SMMU " idr3=0 canwbs=1\n"
    "iommu onestage type=smmuv3 idr0=0x1012 idr1=0 idr3=0 idr5=0x75\n"
    "device dev0 iommu=a\n"
    "device dev1 iommu=a\n"
    "device alias iommu=a streams=2\n"
    "device other iommu=b\n"
    "device nofwb iommu=nofwb\n"
    "device canwbs iommu=canwbs\n"
    "device onestage iommu=onestage\n";

/* Stream table entries: V, and translate, bypass or abort */
static const uint64_t ste_s1[2] = { 5 << 1 | 1 | 0x40000000, 0 };
static const uint64_t ste_bypass[2] = { 4 << 1 | 1, 0 };
static const uint64_t ste_abort[2] = { 1, 0 };
static const uint64_t ste_invalid[2] = { 0, 0 };

/* --- the calls that only a vIOMMU needs --- */

static int raw_viommu(DirectHost *f, uint32_t dev_id, uint32_t hwpt,
                      uint32_t type, uint32_t *id)
{
    struct fh_iommu_viommu_alloc cmd = {
        .size = sizeof(cmd), .type = type, .dev_id = dev_id, .hwpt_id = hwpt,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_VIOMMU_ALLOC, &cmd);

    *id = cmd.out_viommu_id;
    return err;
}

static uint32_t viommu_ok(DirectHost *f)
{
    uint32_t id;

    g_assert_cmpint(raw_viommu(f, f->dev_id, f->s2,
                               FH_VIOMMU_TYPE_ARM_SMMUV3, &id), ==, 0);
    return id;
}

static int raw_vdevice(DirectHost *f, uint32_t viommu, uint32_t dev_id,
                       uint64_t virt_id, uint32_t *id)
{
    struct fh_iommu_vdevice_alloc cmd = {
        .size = sizeof(cmd), .viommu_id = viommu, .dev_id = dev_id,
        .virt_id = virt_id,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_VDEVICE_ALLOC, &cmd);

    *id = cmd.out_vdevice_id;
    return err;
}

static int raw_nested(DirectHost *f, uint32_t pt_id, const uint64_t ste[2],
                      uint32_t flags, uint32_t *id)
{
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .pt_id = pt_id,
        .flags = flags, .data_type = FH_DATA_ARM_SMMUV3,
        .data_len = 2 * sizeof(ste[0]), .data_uptr = (uintptr_t)ste,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_HWPT_ALLOC, &cmd);

    *id = cmd.out_hwpt_id;
    return err;
}

static uint32_t nested_ok(DirectHost *f, uint32_t viommu, const uint64_t ste[2])
{
    uint32_t id;

    g_assert_cmpint(raw_nested(f, viommu, ste, 0, &id), ==, 0);
    return id;
}

static int raw_invalidate(DirectHost *f, uint32_t id, const uint64_t *cmds,
                          uint32_t *num)
{
    struct fh_iommu_hwpt_invalidate cmd = {
        .size = sizeof(cmd), .hwpt_id = id, .data_uptr = (uintptr_t)cmds,
        .data_type = FH_INVALIDATE_ARM_SMMUV3,
        .entry_len = 2 * sizeof(cmds[0]), .entry_num = *num,
    };
    int err = direct_raw(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd);

    *num = cmd.entry_num;
    return err;
}

static struct fh_hw_info_arm_smmuv3 hw_info(DirectHost *f)
{
    struct fh_hw_info_arm_smmuv3 smmu = { 0 };
    struct fh_iommu_hw_info cmd = {
        .size = sizeof(cmd), .dev_id = f->dev_id, .data_len = sizeof(smmu),
        .data_uptr = (uintptr_t)&smmu,
    };

    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    g_assert_cmpuint(cmd.data_type, ==, FH_HW_INFO_ARM_SMMUV3);
    g_assert_cmpuint(cmd.data_len, ==, sizeof(smmu));
    return smmu;
}

/* --- tests --- */

/* The flag stands alone */
static void test_parent(DirectHost *f)
{
    void *ram = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas,
                      FH_HWPT_NEST_PARENT | FH_HWPT_DIRTY_TRACKING, NULL,
                      EOPNOTSUPP);
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas,
                      FH_HWPT_NEST_PARENT | FH_HWPT_PASID, NULL, EOPNOTSUPP);
    f->s2 = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas,
                           FH_HWPT_NEST_PARENT, NULL);
    g_assert_cmpint(direct_raw_attach(f->dev, f->s2), ==, 0);
    direct_expect_state("dev0", f->s2, f->s2);
    /* The window for MSIs is not the guest's; 44 bits are */
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 0x08000000, 0x1000,
                                   ram, true), ==, EINVAL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, 1ull << 44, 0x1000,
                                   ram, true), ==, EINVAL);
    g_assert_cmpint(direct_raw_map(f->iommufd, f->ioas, (1ull << 44) - 0x1000,
                                   0x1000, ram, true), ==, 0);
    munmap(ram, 0x1000);
}

/* A parent is for one SMMU */
static void test_other_smmu(DirectHost *f)
{
    int other = direct_open("other");
    uint32_t other_id = direct_bind_ok(other, f->iommufd), viommu, id;

    g_assert_cmpint(direct_raw_attach(other, f->s2), ==, EINVAL);
    g_assert_cmpint(raw_viommu(f, other_id, f->s2, 1, &id), ==, EINVAL);
    viommu = viommu_ok(f);
    g_assert_cmpint(raw_vdevice(f, viommu, other_id, VSID, &id), ==, EINVAL);
    close(other);
}

static void test_one_stage(DirectHost *f)
{
    direct_hwpt_fails(f->iommufd, f->dev_id, f->ioas, FH_HWPT_NEST_PARENT,
                      NULL, EOPNOTSUPP);
}

static void test_viommu(DirectHost *f)
{
    uint32_t plain = direct_hwpt_ok(f->iommufd, f->dev_id, f->ioas, 0, NULL);
    uint32_t id;

    g_assert_cmpint(raw_viommu(f, f->dev_id, f->s2, 0, &id), ==, EOPNOTSUPP);
    g_assert_cmpint(raw_viommu(f, f->dev_id, f->s2, 9, &id), ==, EOPNOTSUPP);
    g_assert_cmpint(raw_viommu(f, 999, f->s2, 1, &id), ==, ENOENT);
    g_assert_cmpint(raw_viommu(f, f->dev_id, 999, 1, &id), ==, ENOENT);
    g_assert_cmpint(raw_viommu(f, f->dev_id, plain, 1, &id), ==, EINVAL);
    id = viommu_ok(f);
    direct_destroy_fails(f->iommufd, f->s2, EBUSY);
    direct_destroy_ok(f->iommufd, id);
    direct_destroy_ok(f->iommufd, f->s2);
}

/* Without FWB the bus has to keep memory coherent */
static void test_no_fwb(DirectHost *f)
{
    uint32_t id;

    g_assert_cmpint(raw_viommu(f, f->dev_id, f->s2, 1, &id), ==, EOPNOTSUPP);
    /* The HWPT is not even looked at */
    g_assert_cmpint(raw_viommu(f, f->dev_id, 0xdead, 1, &id), ==, EOPNOTSUPP);
}

static void test_canwbs(DirectHost *f)
{
    viommu_ok(f);
}

static void test_vdevice(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f), id, id1;
    int dev1 = direct_open("dev1");
    uint32_t dev1_id = direct_bind_ok(dev1, f->iommufd);

    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, VSID, &id), ==, 0);
    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, OTHER_VSID, &id1), ==,
                    EEXIST);
    g_assert_cmpint(raw_vdevice(f, viommu, dev1_id, VSID, &id1), ==, EEXIST);
    g_assert_cmpint(raw_vdevice(f, viommu, dev1_id, OTHER_VSID, &id1), ==, 0);
    direct_destroy_fails(f->iommufd, viommu, EBUSY);
    direct_destroy_ok(f->iommufd, id);
    /* The other one goes with its device */
    close(dev1);
    direct_expect_objects(FAKEHOST_OBJ_VDEVICE, 0);
    direct_destroy_ok(f->iommufd, viommu);
}

/* A virtual stream stands for one of the host's, not for two */
static void test_two_streams(DirectHost *f)
{
    uint32_t id;

    g_assert_cmpint(raw_vdevice(f, viommu_ok(f), f->dev_id, VSID, &id), ==,
                    EOPNOTSUPP);
}

/* A vDEVICE that goes leaves what is attached alone */
static void test_vdevice_attached(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f), second = viommu_ok(f), id;
    uint32_t s1 = nested_ok(f, viommu, ste_s1);
    uint32_t elsewhere = nested_ok(f, second, ste_s1);

    g_assert_cmpint(raw_vdevice(f, 999, f->dev_id, VSID, &id), ==, ENOENT);
    g_assert_cmpint(raw_vdevice(f, viommu, 999, VSID, &id), ==, ENOENT);
    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, 1ull << 32, &id), ==,
                    0);
    direct_destroy_ok(f->iommufd, id);
    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, VSID, &id), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s1), ==, 0);
    /* It is the other one's vDEVICE */
    g_assert_cmpint(direct_raw_attach(f->dev, elsewhere), ==, ENOENT);
    direct_destroy_ok(f->iommufd, id);
    direct_destroy_fails(f->iommufd, s1, EBUSY);
    g_assert_cmpint(direct_raw_attach(f->dev, f->s2), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s1), ==, ENOENT);
    direct_destroy_ok(f->iommufd, s1);
    direct_destroy_ok(f->iommufd, viommu);
}

/* A block of commands is read as a whole before any is looked at */
static void test_long_entries(DirectHost *f)
{
    uint64_t cmds[][3] = { { 0x30 }, { 0x46 }, { 0x30, 0, 1 } };
    struct fh_iommu_hwpt_invalidate cmd = {
        .size = sizeof(cmd), .hwpt_id = viommu_ok(f),
        .data_uptr = (uintptr_t)cmds, .entry_len = sizeof(cmds[0]),
        .data_type = FH_INVALIDATE_ARM_SMMUV3, .entry_num = 3,
    };

    direct_fails(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd, E2BIG);
    g_assert_cmpuint(cmd.entry_num, ==, 0);
    cmd.entry_num = 2;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd, EIO);
    g_assert_cmpuint(cmd.entry_num, ==, 1);
    cmd.entry_num = 1;
    cmd.entry_len = 8;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd, 0);
    cmd.data_type = FH_INVALIDATE_VTD_S1;
    direct_fails(f->iommufd, FH_IOMMU_HWPT_INVALIDATE, &cmd, EINVAL);
}

/* While it is blocked by a detach, no doorbell can be had for its MSIs */
static void test_msi(DirectHost *f)
{
    struct {
        struct vfio_irq_set set;
        int32_t fd;
    } irqs = {
        .set = {
            .argsz = sizeof(irqs), .index = VFIO_PCI_MSIX_IRQ_INDEX,
            .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
            .count = 1,
        },
        .fd = eventfd(0, EFD_CLOEXEC),
    };

    direct_fails(f->dev, VFIO_DEVICE_SET_IRQS, &irqs, ENOSPC);
    g_assert_cmpint(direct_raw_attach(f->dev, f->s2), ==, 0);
    direct_fails(f->dev, VFIO_DEVICE_SET_IRQS, &irqs, 0);
    /* What is on stays on */
    direct_detach(f->dev);
    irqs.set.start = 1;
    direct_fails(f->dev, VFIO_DEVICE_SET_IRQS, &irqs, ENOSPC);
    close(irqs.fd);
}

static void test_ste(DirectHost *f)
{
    static const uint64_t refused[][2] = {
        { 6 << 1 | 1 },                 /* stage 2 is not the guest's */
        { 7 << 1 | 1 },
        { 5 << 1 | 1 | 1ull << 55 },    /* reserved */
        { 5 << 1 | 1, 1ull << 40 },
        { 5 << 1 | 1, 2ull << 28 },     /* EATS: split-stage ATS */
    };
    uint32_t viommu = viommu_ok(f), id;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        g_assert_cmpint(raw_nested(f, viommu, refused[i], 0, &id), ==, EIO);
    }
    g_assert_cmpint(raw_nested(f, f->s2, ste_s1, 0, &id), ==, EOPNOTSUPP);
    g_assert_cmpint(raw_nested(f, viommu, ste_s1, FH_HWPT_PASID, &id), ==,
                    EOPNOTSUPP);
    direct_destroy_ok(f->iommufd, nested_ok(f, viommu, ste_bypass));
    direct_destroy_ok(f->iommufd, nested_ok(f, viommu, ste_invalid));
}

/* To translate, a device needs a vDEVICE first; failures change nothing */
static void test_attach(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f), id;
    uint32_t s1 = nested_ok(f, viommu, ste_s1);
    uint32_t bypass = nested_ok(f, viommu, ste_bypass);
    uint32_t abort_id = nested_ok(f, viommu, ste_abort);

    g_assert_cmpint(direct_raw_attach(f->dev, abort_id), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, bypass), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s1), ==, ENOENT);
    direct_expect_state("dev0", bypass, bypass);
    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, VSID, &id), ==, 0);
    g_assert_cmpint(direct_raw_attach(f->dev, s1), ==, 0);
    direct_expect_state("dev0", s1, s1);
    direct_destroy_fails(f->iommufd, s1, EBUSY);
    direct_destroy_fails(f->iommufd, viommu, EBUSY);
}

static void test_commands(DirectHost *f)
{
    static const struct {
        uint64_t cmd[2];
        int err;                /* -1: that of a host without ATS */
    } cases[] = {
        { { 0x30 } },                               /* TLBI_NSNH_ALL */
        { { 0x10 | 7ull << 32 } },                  /* NH_ALL, a VMID */
        { { 0x11 | 3ull << 48 } },                  /* NH_ASID */
        { { 0x12 | 3ull << 48, 0x1000 } },          /* NH_VA */
        { { 0x12 | 3ull << 12, 0x1000 | 1 << 10 } },    /* a range */
        { { 0x13, 0x1001 } },                       /* NH_VAA, leaf */
        { { 0x40 | (uint64_t)VSID << 32, 52 }, -1 },    /* ATC_INV, all */
        { { 0x05 | (uint64_t)VSID << 32, 1 } },     /* CFGI_CD */
        { { 0x06 | (uint64_t)VSID << 32 } },        /* CFGI_CD_ALL */
        { { 0x03 | (uint64_t)VSID << 32 }, EIO },   /* CFGI_STE */
        { { 0x46 }, EIO },                          /* CMD_SYNC */
        { { 0x20 }, EIO },                          /* EL2 */
        { { 0x06 | (uint64_t)OTHER_VSID << 32 }, EIO },
        { { 0x30 | 1 << 20 }, EIO },                /* reserved */
        { { 0x13 | 3ull << 48 }, EIO },             /* VAA has no ASID */
        { { 0x12 | 3ull << 12, 0x1000 }, EIO },     /* a range without TG */
        { { 0x40 | (uint64_t)VSID << 32, 53 }, EIO },
    };
    uint32_t viommu = viommu_ok(f), id;
    int ats = hw_info(f).idr[0] & IDR0_ATS ? 0 : EIO;

    g_assert_cmpint(raw_vdevice(f, viommu, f->dev_id, VSID, &id), ==, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int err = cases[i].err;
        uint32_t num = 1;

        if (err < 0) {
            err = ats;
        }
        g_test_message("command 0x%" PRIx64, (uint64_t)cases[i].cmd[0]);
        g_assert_cmpint(raw_invalidate(f, viommu, cases[i].cmd, &num), ==,
                        err);
        g_assert_cmpuint(num, ==, !err);
    }
}

/* So many commands have reached the hardware */
static void expect_executed(uint64_t num)
{
    if (direct_page) {
        g_assert_cmpuint(direct_page->executed, ==, num);
    }
}

/* The number of handled entries is not that of executed ones */
static void test_handled(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f), num = 0;
    uint64_t cmds[200] = { 0 };
    uint64_t before = direct_page ? direct_page->executed : 0;

    g_assert_cmpint(raw_invalidate(f, viommu, cmds, &num), ==, EINVAL);
    for (unsigned i = 0; i < 100; i++) {
        cmds[i * 2] = 0x30;
    }
    num = 100;
    g_assert_cmpint(raw_invalidate(f, viommu, cmds, &num), ==, 0);
    g_assert_cmpuint(num, ==, 100);
    expect_executed(before + 100);
    cmds[90 * 2] = 0x46;
    g_assert_cmpint(raw_invalidate(f, viommu, cmds, &num), ==, EIO);
    g_assert_cmpuint(num, ==, 90);
    expect_executed(before + 100 + 63);
    g_assert_cmpint(raw_invalidate(f, f->s2, cmds, &num), ==, EINVAL);
}

static struct fh_iommu_veventq_alloc veventq(uint32_t viommu)
{
    return (struct fh_iommu_veventq_alloc) {
        .size = sizeof(struct fh_iommu_veventq_alloc), .viommu_id = viommu,
        .type = FH_VEVENTQ_TYPE_ARM_SMMUV3, .veventq_depth = 128,
    };
}

static void test_veventq(DirectHost *f)
{
    uint32_t viommu = viommu_ok(f);
    struct fh_iommu_veventq_alloc cmd = veventq(999), second;

    direct_fails(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd, ENOENT);
    cmd = second = veventq(viommu);
    cmd.veventq_depth = 0;
    direct_fails(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd, EINVAL);
    cmd = second;
    cmd.type = 0;
    direct_fails(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd, EOPNOTSUPP);
    cmd = second;
    direct_ok(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd);
    direct_fails(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &second, EEXIST);
    direct_destroy_fails(f->iommufd, viommu, EBUSY);
    /* Not while its file is open */
    direct_destroy_fails(f->iommufd, cmd.out_veventq_id, EBUSY);
    close(cmd.out_veventq_fd);
    direct_destroy_ok(f->iommufd, cmd.out_veventq_id);
    direct_destroy_ok(f->iommufd, viommu);
}

/* A test plays the hardware and writes events; one read takes them all */
static void test_events(DirectHost *f)
{
    struct {
        struct fh_vevent_header header;
        uint64_t evt[4];
    } in[100] = { 0 }, out[100];
    struct fh_iommu_veventq_alloc cmd = veventq(viommu_ok(f));
    g_autofree char *fifo = NULL;
    int fd;

    direct_ok(f->iommufd, FH_IOMMU_VEVENTQ_ALLOC, &cmd);
    fifo = g_strdup_printf("%s/veventq-%u", g_getenv("FAKEHOST_EVENTS"),
                           cmd.out_veventq_id);
    fd = open(fifo, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(in); i++) {
        in[i].header.sequence = i;
        in[i].evt[0] = 0x10 | (uint64_t)VSID << 32;
    }
    g_assert_cmpint(write(fd, in, sizeof(in)), ==, sizeof(in));
    g_assert_cmpint(read(cmd.out_veventq_fd, out, sizeof(out)), ==,
                    sizeof(out));
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
    close(cmd.out_veventq_fd);
    direct_destroy_ok(f->iommufd, cmd.out_veventq_id);
    close(fd);
    g_unlink(fifo);
}

static void test_hw_info(DirectHost *f)
{
    struct fh_hw_info_arm_smmuv3 smmu = hw_info(f);

    g_assert_cmphex(smmu.idr[0] & IDR0_BOTH, ==, IDR0_BOTH);
    g_assert_cmphex(smmu.idr[3] & IDR3_FWB, ==, IDR3_FWB);
    if (direct_page) {
        g_assert_cmphex(smmu.idr[0], ==, 0x1413);
        g_assert_cmphex(smmu.idr[5], ==, 0x74);
    }
}

/* Few SMMUs have command queues for guests */
static void test_no_cmdqv(DirectHost *f)
{
    struct fh_viommu_tegra241_cmdqv data;
    struct fh_iommu_hw_info info = {
        .size = sizeof(info), .dev_id = f->dev_id,
        .flags = FH_HW_INFO_FLAG_INPUT_TYPE,
        .data_type = FH_HW_INFO_TEGRA241_CMDQV,
    };
    struct fh_iommu_viommu_alloc viommu = {
        .size = sizeof(viommu), .type = FH_VIOMMU_TYPE_TEGRA241_CMDQV,
        .dev_id = f->dev_id, .hwpt_id = f->s2, .data_len = sizeof(data),
        .data_uptr = (uintptr_t)&data,
    };
    struct fh_iommu_hw_queue_alloc queue = {
        .size = sizeof(queue), .viommu_id = viommu_ok(f), .length = 32,
        .type = FH_HW_QUEUE_TYPE_TEGRA241_CMDQV,
    };

    direct_fails(f->iommufd, FH_IOMMU_GET_HW_INFO, &info, EOPNOTSUPP);
    direct_fails(f->iommufd, FH_IOMMU_VIOMMU_ALLOC, &viommu, EOPNOTSUPP);
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &queue, EOPNOTSUPP);
    /* The plain type does not look at data */
    viommu.type = FH_VIOMMU_TYPE_ARM_SMMUV3;
    viommu.data_len = 3;
    viommu.data_uptr = 0;
    direct_ok(f->iommufd, FH_IOMMU_VIOMMU_ALLOC, &viommu);
    queue.viommu_id = 999;
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &queue, ENOENT);
    queue.length = 0;
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &queue, EINVAL);
    queue.length = 2;
    queue.nesting_parent_iova = UINT64_MAX;
    direct_fails(f->iommufd, FH_IOMMU_HW_QUEUE_ALLOC, &queue, EOVERFLOW);
}

/* There is nothing in an iommufd to map then */
static void test_mmap(DirectHost *f)
{
    static const struct {
        int prot, flags, err;
    } cases[] = {
        { PROT_READ, MAP_PRIVATE, EINVAL },
        { PROT_READ | PROT_EXEC, MAP_SHARED, EPERM },
        { PROT_READ, MAP_SHARED, ENXIO },
    };

    viommu_ok(f);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        void *p = mmap(NULL, 0x10000, cases[i].prot, cases[i].flags,
                       f->iommufd, 0x1000);

        g_assert_true(p == MAP_FAILED);
        g_assert_cmpint(errno, ==, cases[i].err);
    }
}

#define SMMUV3      FH_HW_INFO_ARM_SMMUV3

int main(int argc, char **argv)
{
    static const DirectCase cases[] = {
        { "parent_checked", "dev0", SMMUV3, test_parent },
        { "one-stage_no-parent", "onestage", SMMUV3, test_one_stage },
        { "other-smmu_refused", "dev0 other", SMMUV3, test_other_smmu, true },
        { "viommu_checked", "dev0", SMMUV3, test_viommu, true },
        { "no-fwb_no-viommu", "nofwb", SMMUV3, test_no_fwb, true },
        { "canwbs_viommu", "canwbs", SMMUV3, test_canwbs, true },
        { "vdevice_checked", "dev0 dev1", SMMUV3, test_vdevice, true },
        { "vdevice_one-stream", "alias", SMMUV3, test_two_streams, true },
        { "vdevice_attached", "dev0", SMMUV3, test_vdevice_attached, true },
        { "entries_long", "dev0", SMMUV3, test_long_entries, true },
        { "msi_needs-attachment", "dev0", SMMUV3, test_msi, true },
        { "ste_checked", "dev0", SMMUV3, test_ste, true },
        { "attach_needs-vdevice", "dev0", SMMUV3, test_attach, true },
        { "commands_checked", "dev0", SMMUV3, test_commands, true },
        { "handled_not-executed", "dev0", SMMUV3, test_handled, true },
        { "veventq_checked", "dev0", SMMUV3, test_veventq, true },
        { "events_many-per-read", "dev0", SMMUV3, test_events, true,
          "the test writes the events" },
        { "no-cmdqv_refused", "dev0", SMMUV3, test_no_cmdqv, true },
        { "mmap_nothing", "dev0", SMMUV3, test_mmap, true },
        { "hw-info_reported", "dev0", SMMUV3, test_hw_info },
    };

    return direct_run(argc, argv, host, "/fakehost/smmuv3/", cases,
                      ARRAY_SIZE(cases));
}
