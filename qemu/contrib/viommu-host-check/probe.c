/*
 * viommu-host-check: ask the kernel itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "system/iommufd-compat.h"
#include "host-check.h"

/* What a host must have, as every guest is told it has (SMMUv3 6.3) */
#define IDR0_TTF_AARCH64        (1u << 3)
#define IDR0_TTENDIAN(idr0)     (((idr0) >> 21) & 3)
#define IDR0_TTENDIAN_BIG       3
#define IDR0_TTENDIAN_RES       1
#define IDR0_STALL_FORCED       (2u << 24)
#define IDR5_GRAN4K             (1u << 4)
#define IDR5_GRAN16K            (1u << 5)
#define IDR5_GRAN64K            (1u << 6)

typedef struct Probe {
    HostDevice *dev;
    int iommufd;
    int cdev;
    uint32_t dev_id;
} Probe;

static int probe_ioctl(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg) ? errno : 0;
}

static void probe_destroy(Probe *p, uint32_t id)
{
    struct iommu_destroy destroy = { .size = sizeof(destroy), .id = id };

    probe_ioctl(p->iommufd, IOMMU_DESTROY, &destroy);
}

static int probe_bind(Probe *p)
{
    struct vfio_device_bind_iommufd bind = {
        .argsz = sizeof(bind), .iommufd = p->iommufd,
    };
    int err = probe_ioctl(p->cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind);

    p->dev_id = bind.out_devid;
    return err;
}

static void check_idr(HostDevice *dev)
{
    const struct {
        bool ok;
        const char *what;
    } checks[] = {
        { IDR0_TTENDIAN(dev->idr[0]) != IDR0_TTENDIAN_BIG &&
          IDR0_TTENDIAN(dev->idr[0]) != IDR0_TTENDIAN_RES,
          "little-endian tables (IDR0.TTENDIAN)" },
        { dev->idr[0] & IDR0_TTF_AARCH64, "AArch64 tables (IDR0.TTF)" },
        { !(dev->idr[0] & IDR0_STALL_FORCED),
          "a stall model that can be left unused (IDR0.STALL_MODEL)" },
        { dev->idr[5] & IDR5_GRAN4K, "4-KiB granules (IDR5.GRAN4K)" },
        { dev->idr[5] & IDR5_GRAN16K, "16-KiB granules (IDR5.GRAN16K)" },
        { dev->idr[5] & IDR5_GRAN64K, "64-KiB granules (IDR5.GRAN64K)" },
    };

    for (int i = 0; i < ARRAY_SIZE(checks); i++) {
        if (!checks[i].ok) {
            host_add_problem(dev->problems, false, NULL, "%s has no %s",
                             dev->iommu, checks[i].what);
        }
    }
}

static void probe_hw_info(Probe *p)
{
    HostDevice *dev = p->dev;
    struct iommu_hw_info_arm_smmuv3 smmu = {};
    struct iommu_hw_info info = {
        .size = sizeof(info),
        .dev_id = p->dev_id,
        .data_len = sizeof(smmu),
        .data_uptr = (uintptr_t)&smmu,
    };
    int err = probe_ioctl(p->iommufd, IOMMU_GET_HW_INFO, &info);

    if (err) {
        host_add_problem(dev->problems, true, NULL, "the kernel does not tell "
                         "about its IOMMU: %s", strerror(err));
        return;
    }
    dev->pasid_bits = iommufd_compat_max_pasid_log2(&info);
    if (dev->kind != HOST_IOMMU_SMMUV3) {
        return;
    }
    if (info.out_data_type != IOMMU_HW_INFO_TYPE_ARM_SMMUV3) {
        host_add_problem(dev->problems, false, NULL, "the kernel does not tell "
                         "about its SMMUv3, which takes "
                         "CONFIG_ARM_SMMU_V3_IOMMUFD");
        return;
    }
    memcpy(dev->idr, smmu.idr, sizeof(smmu.idr));
    check_idr(dev);
}

/*
 * Note that the kernel refuses something.  EOPNOTSUPP means that it cannot be
 * had, and @remedy helps if there is one; other reasons say nothing of that.
 */
static void probe_refused(Probe *p, int err, const char *what,
                          const char *why, const char *remedy)
{
    bool certain = err == EOPNOTSUPP;

    host_add_problem(p->dev->problems, !certain, certain ? remedy : NULL,
                     "the kernel allocates no %s (%s)%s", what, strerror(err),
                     certain ? why : "");
}

/* The kernel takes no device that has several StreamIDs */
static void probe_vdevice(Probe *p, uint32_t viommu_id)
{
    struct iommu_vdevice_alloc vdevice = {
        .size = sizeof(vdevice),
        .viommu_id = viommu_id,
        .dev_id = p->dev_id,
    };
    int err = probe_ioctl(p->iommufd, IOMMU_VDEVICE_ALLOC, &vdevice);

    if (err) {
        probe_refused(p, err, "vDEVICE", ": it needs exactly one StreamID",
                      NULL);
        return;
    }
    probe_destroy(p, vdevice.out_vdevice_id);
}

static void probe_viommu(Probe *p, uint32_t parent)
{
    struct iommu_viommu_alloc viommu = {
        .size = sizeof(viommu),
        .type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
        .dev_id = p->dev_id,
        .hwpt_id = parent,
    };
    int err = probe_ioctl(p->iommufd, IOMMU_VIOMMU_ALLOC, &viommu);

    if (err) {
        probe_refused(p, err, "vIOMMU", ": the SMMUv3 needs stage-2 forced "
                      "write-back, or a bus that is coherent", NULL);
        return;
    }
    probe_vdevice(p, viommu.out_viommu_id);
    probe_destroy(p, viommu.out_viommu_id);
}

static void probe_parent(Probe *p)
{
    bool vtd = p->dev->kind == HOST_IOMMU_VTD;
    struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
    struct iommu_hwpt_alloc hwpt = {
        .size = sizeof(hwpt),
        .flags = IOMMU_HWPT_ALLOC_NEST_PARENT,
        .dev_id = p->dev_id,
    };
    int err = probe_ioctl(p->iommufd, IOMMU_IOAS_ALLOC, &ioas);

    if (!err) {
        hwpt.pt_id = ioas.out_ioas_id;
        err = probe_ioctl(p->iommufd, IOMMU_HWPT_ALLOC, &hwpt);
    }
    p->dev->probed = true;
    if (err) {
        probe_refused(p, err, "nesting parent", vtd ? "" : ": the IOMMU needs "
                      "both stages of translation", vtd ? REMEDY_SM_ON : NULL);
        return;
    }
    host_drop_doubts(p->dev);
    if (p->dev->kind == HOST_IOMMU_SMMUV3) {
        probe_viommu(p, hwpt.out_hwpt_id);
    }
    probe_destroy(p, hwpt.out_hwpt_id);
}

static const char *open_remedy(int err)
{
    return err == EACCES ? "run this check as root, or as the user that QEMU "
                           "runs as" : NULL;
}

static const char *bind_remedy(int err)
{
    switch (err) {
    case EBUSY:
        return "stop the VM that uses it";
    case EINVAL:
        return "stop the VM that uses it, or find out whether its IOMMU is "
               "cache coherent, which the kernel wants";
    case EPERM:
        return "see which drivers have the other devices of its IOMMU group, "
               "and whether the IOMMU remaps interrupts";
    default:
        return NULL;
    }
}

/* What a program prints, or NULL if it cannot be run, or fails */
static char *output_of(const char *program, const char *option, const char *arg)
{
    const char *argv[] = { program, option, arg, NULL };
    g_autofree char *text = NULL;
    int status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH |
                      G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &text, NULL,
                      &status, NULL) || status) {
        return NULL;
    }
    return g_steal_pointer(&text);
}

void probe_qemu(HostState *host, const HostDevice *dev)
{
    bool smmuv3 = dev->kind == HOST_IOMMU_SMMUV3;
    const char *viommu = smmuv3 ? "arm-smmuv3" : "intel-iommu";
    const char *property = smmuv3 ? "accel" : "fsts";
    g_autofree char *help = g_strdup_printf("%s,help", viommu);
    g_autofree char *line = g_strdup_printf("\n  %s=", property);
    g_autofree char *properties = NULL;

    host->qemu_version = output_of(dev->qemu, "--version", NULL);
    if (!host->qemu_version) {
        host_add_problem(host->problems, false, REMEDY_QEMU, "%s cannot be run",
                         dev->qemu);
        return;
    }
    *strchrnul(host->qemu_version, '\n') = 0;
    properties = output_of(dev->qemu, "-device", help);
    if (!properties || !strstr(properties, line)) {
        host_add_problem(host->problems, false, REMEDY_QEMU, "%s cannot nest: "
                         "its %s has no property %s (%s)", dev->qemu, viommu,
                         property, host->qemu_version);
    }
}

void probe_device(HostDevice *dev)
{
    g_autofree char *path = g_strdup_printf("/dev/vfio/devices/%s", dev->cdev);
    Probe p = { .dev = dev, .iommufd = -1 };
    int err;

    p.cdev = open(path, O_RDWR | O_CLOEXEC);
    if (p.cdev < 0) {
        host_add_problem(dev->problems, true, open_remedy(errno), "%s: %s",
                         path, strerror(errno));
        return;
    }
    p.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    if (p.iommufd < 0) {
        host_add_problem(dev->problems, true, open_remedy(errno),
                         "/dev/iommu: %s", strerror(errno));
        close(p.cdev);
        return;
    }
    err = probe_bind(&p);
    if (err) {
        host_add_problem(dev->problems, true, bind_remedy(err),
                         "cannot be bound to an iommufd: %s", strerror(err));
    } else {
        probe_hw_info(&p);
        probe_parent(&p);
    }
    /* What is left goes with the files */
    close(p.cdev);
    close(p.iommufd);
}
