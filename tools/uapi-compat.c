/*
 * Prints what the series uses of the parts of iommufd and VFIO that QEMU's own
 * headers may lack.  The output must be the same for those headers with
 * iommufd-compat.h as for the kernel's.  See tools/check-uapi.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stddef.h>
#include <stdio.h>

#ifdef KERNEL
#include <linux/iommufd.h>
#include <linux/vfio.h>
#define ATTACH  struct vfio_device_attach_iommufd_pt
#define DETACH  struct vfio_device_detach_iommufd_pt
#define VIOMMU  struct iommu_viommu_alloc
#else
#include "system/iommufd-compat.h"
#define ATTACH  struct iommufd_compat_vfio_attach_pasid
#define DETACH  struct iommufd_compat_vfio_detach_pasid
#define VIOMMU  struct iommufd_compat_viommu_alloc
#endif

#define VALUE(name) \
    printf(#name " %llu\n", (unsigned long long)(name))
#define SIZE(type) \
    printf(#type " %zu bytes\n", sizeof(type))
#define FIELD(type, field) \
    printf(#type "." #field " %zu+%zu\n", offsetof(type, field), \
           sizeof(((type *)0)->field))

static void show_pasid_width(void)
{
    unsigned char bytes[sizeof(struct iommu_hw_info)];

    /* Every byte has its own value, so that this tells which one is read */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i;
    }
#ifdef KERNEL
    printf("out_max_pasid_log2 %u\n",
           ((struct iommu_hw_info *)bytes)->out_max_pasid_log2);
#else
    printf("out_max_pasid_log2 %u\n",
           iommufd_compat_max_pasid_log2((struct iommu_hw_info *)bytes));
#endif
}

int main(void)
{
    VALUE(IOMMU_HW_CAP_PCI_PASID_EXEC);
    VALUE(IOMMU_HW_CAP_PCI_PASID_PRIV);
    VALUE(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
#ifdef ERRATA_REPEAT
    VALUE(IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI);
#endif
    SIZE(struct iommu_hw_info);
    show_pasid_width();

    VALUE(IOMMU_VEVENTQ_ALLOC);
    VALUE(IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
    VALUE(IOMMU_VEVENTQ_TYPE_ARM_SMMUV3);
    SIZE(struct iommu_veventq_alloc);
    FIELD(struct iommu_veventq_alloc, viommu_id);
    FIELD(struct iommu_veventq_alloc, type);
    FIELD(struct iommu_veventq_alloc, veventq_depth);
    FIELD(struct iommu_veventq_alloc, out_veventq_id);
    FIELD(struct iommu_veventq_alloc, out_veventq_fd);
    SIZE(struct iommufd_vevent_header);
    FIELD(struct iommufd_vevent_header, flags);
    FIELD(struct iommufd_vevent_header, sequence);
    SIZE(struct iommu_vevent_arm_smmuv3);

    VALUE(IOMMU_HW_INFO_FLAG_INPUT_TYPE);
    VALUE(IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV);
    FIELD(struct iommu_hw_info, out_data_type);
    SIZE(struct iommu_hw_info_tegra241_cmdqv);
    FIELD(struct iommu_hw_info_tegra241_cmdqv, version);
    FIELD(struct iommu_hw_info_tegra241_cmdqv, log2vcmdqs);
    FIELD(struct iommu_hw_info_tegra241_cmdqv, log2vsids);
    VALUE(IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
    SIZE(struct iommu_viommu_tegra241_cmdqv);
    FIELD(struct iommu_viommu_tegra241_cmdqv, out_vintf_mmap_offset);
    FIELD(struct iommu_viommu_tegra241_cmdqv, out_vintf_mmap_length);
    FIELD(VIOMMU, dev_id);
    FIELD(VIOMMU, hwpt_id);
    FIELD(VIOMMU, out_viommu_id);
    FIELD(VIOMMU, data_len);
    FIELD(VIOMMU, data_uptr);
    SIZE(VIOMMU);
    VALUE(IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV);
    SIZE(struct iommu_vevent_tegra241_cmdqv);
    VALUE(IOMMU_HW_QUEUE_ALLOC);
    VALUE(IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV);
    SIZE(struct iommu_hw_queue_alloc);
    FIELD(struct iommu_hw_queue_alloc, viommu_id);
    FIELD(struct iommu_hw_queue_alloc, type);
    FIELD(struct iommu_hw_queue_alloc, index);
    FIELD(struct iommu_hw_queue_alloc, out_hw_queue_id);
    FIELD(struct iommu_hw_queue_alloc, nesting_parent_iova);
    FIELD(struct iommu_hw_queue_alloc, length);

    VALUE(VFIO_DEVICE_ATTACH_PASID);
    VALUE(VFIO_DEVICE_DETACH_PASID);
    SIZE(ATTACH);
    FIELD(ATTACH, pt_id);
    FIELD(ATTACH, pasid);
    SIZE(DETACH);
    FIELD(DETACH, pasid);

    /* Older than QEMU 10.0's headers; only the new end must not matter */
    VALUE(IOMMU_VIOMMU_ALLOC);
    VALUE(IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
    FIELD(struct iommu_viommu_alloc, dev_id);
    FIELD(struct iommu_viommu_alloc, hwpt_id);
    FIELD(struct iommu_viommu_alloc, out_viommu_id);
    VALUE(IOMMU_VDEVICE_ALLOC);
    SIZE(struct iommu_vdevice_alloc);
    FIELD(struct iommu_vdevice_alloc, virt_id);
    VALUE(IOMMU_FAULT_QUEUE_ALLOC);
    SIZE(struct iommu_fault_alloc);
    VALUE(IOMMU_HWPT_ALLOC_PASID);
    return 0;
}
