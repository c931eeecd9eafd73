/*
 * viommu-host-check: ask the kernel itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "system/iommufd-compat.h"
#include "host-check.h"

#define SYSFS_REMEDY_SM "boot with intel_iommu=on,sm_on"

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

static void probe_hw_info(Probe *p)
{
    struct iommu_hw_info_arm_smmuv3 smmu = {};
    struct iommu_hw_info info = {
        .size = sizeof(info),
        .dev_id = p->dev_id,
        .data_len = sizeof(smmu),
        .data_uptr = (uintptr_t)&smmu,
    };

    if (probe_ioctl(p->iommufd, IOMMU_GET_HW_INFO, &info)) {
        return;
    }
    p->dev->pasid_bits = iommufd_compat_max_pasid_log2(&info);
    if (info.out_data_type == IOMMU_HW_INFO_TYPE_ARM_SMMUV3) {
        memcpy(p->dev->idr, smmu.idr, sizeof(smmu.idr));
    }
}

/* A vIOMMU on the parent: without stage-2 FWB Linux allocates none */
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
        host_add_problem(p->dev->problems, false, NULL, "the kernel allocates "
                         "no vIOMMU (%s): the SMMUv3 needs stage-2 forced "
                         "write-back, the kernel CONFIG_ARM_SMMU_V3_IOMMUFD",
                         strerror(err));
        return;
    }
    probe_destroy(p, viommu.out_viommu_id);
}

static void probe_parent(Probe *p)
{
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
        bool vtd = p->dev->kind == HOST_IOMMU_VTD;

        host_add_problem(p->dev->problems, false, vtd ? SYSFS_REMEDY_SM : NULL,
                         "the kernel allocates no nesting parent (%s)%s",
                         strerror(err), vtd ? "" :
                         ": the IOMMU needs both stages of translation");
        return;
    }
    if (p->dev->kind == HOST_IOMMU_SMMUV3) {
        probe_viommu(p, hwpt.out_hwpt_id);
    }
    probe_destroy(p, hwpt.out_hwpt_id);
}

void probe_device(HostDevice *dev)
{
    g_autofree char *path = g_strdup_printf("/dev/vfio/devices/%s", dev->cdev);
    Probe p = { .dev = dev, .iommufd = -1 };
    int err;

    p.cdev = open(path, O_RDWR | O_CLOEXEC);
    if (p.cdev < 0) {
        host_add_problem(dev->problems, true, errno == EACCES ?
                         "run this check as root, or as the user that QEMU "
                         "runs as" : NULL, "%s: %s", path, strerror(errno));
        return;
    }
    p.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    if (p.iommufd < 0) {
        host_add_problem(dev->problems, true, NULL, "/dev/iommu: %s",
                         strerror(errno));
        close(p.cdev);
        return;
    }
    err = probe_bind(&p);
    if (err) {
        host_add_problem(dev->problems, true, err == EBUSY || err == EINVAL ?
                         "stop the VM that uses it" : NULL,
                         "cannot be bound to an iommufd: %s", strerror(err));
    } else {
        probe_hw_info(&p);
        probe_parent(&p);
    }
    /* What is left goes with the files */
    close(p.cdev);
    close(p.iommufd);
}
