/*
 * Parts of the Linux iommufd and VFIO interfaces that are newer than this
 * tree's linux-headers
 *
 * What <linux/iommufd.h> and <linux/vfio.h> have is left to them, so that this
 * file can go when they are updated.  It includes them first because
 * enumerators cannot be tested for: a macro of the same name and value hides
 * the one that exists.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SYSTEM_IOMMUFD_COMPAT_H
#define SYSTEM_IOMMUFD_COMPAT_H

#include <linux/iommufd.h>
#include <linux/vfio.h>

/* enum iommufd_hw_capabilities, in iommu_hw_info::out_capabilities */
#define IOMMU_HW_CAP_PCI_PASID_EXEC         (1 << 1)
#define IOMMU_HW_CAP_PCI_PASID_PRIV         (1 << 2)
#define IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED  (1 << 3)

/* enum iommu_hw_info_arm_smmuv3_flags, in iommu_hw_info_arm_smmuv3::flags */
#define IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI    (1 << 0)

/*
 * iommu_hw_info::flags: out_data_type says, as in_data_type, what is asked for.
 * Older kernels have neither.
 */
#define IOMMU_HW_INFO_FLAG_INPUT_TYPE       (1 << 0)

/* enum iommu_hw_info_type, enum iommu_viommu_type, enum iommu_veventq_type */
#define IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV   3
#define IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV    2
#define IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV   2

/*
 * iommu_hw_info::out_max_pasid_log2 is the first of the four bytes that follow
 * out_data_type; older headers call them reserved, older kernels leave zero.
 */
static inline __u8
iommufd_compat_max_pasid_log2(const struct iommu_hw_info *info)
{
    return *(const __u8 *)(&info->out_data_type + 1);
}

/* enum iommu_veventq_flag, enum iommu_veventq_type */
#define IOMMU_VEVENTQ_FLAG_LOST_EVENTS      (1U << 0)
#define IOMMU_VEVENTQ_TYPE_ARM_SMMUV3       1

#ifndef IOMMU_VEVENTQ_ALLOC
#define IOMMU_VEVENTQ_ALLOC                 _IO(IOMMUFD_TYPE, 0x93)

/*
 * @veventq_depth is a number of events; the caller closes @out_veventq_fd and
 * destroys @out_veventq_id
 */
struct iommu_veventq_alloc {
    __u32 size;
    __u32 flags;
    __u32 viommu_id;
    __u32 type;
    __u32 veventq_depth;
    __u32 out_veventq_id;
    __u32 out_veventq_fd;
    __u32 __reserved;
};

/* Precedes each event that is read; @sequence wraps from INT_MAX to 0 */
struct iommufd_vevent_header {
    __u32 flags;
    __u32 sequence;
};

/* An event record of the SMMUv3 architecture, little endian */
struct iommu_vevent_arm_smmuv3 {
    __aligned_le64 evt[4];
};
#endif /* IOMMU_VEVENTQ_ALLOC */

/*
 * iommu_viommu_alloc with data, which is beyond the end of that in older
 * headers: @data_len is in bytes, @data_uptr points to what @type has there
 */
struct iommufd_compat_viommu_alloc {
    __u32 size;
    __u32 flags;
    __u32 type;
    __u32 dev_id;
    __u32 hwpt_id;
    __u32 out_viommu_id;
    __u32 data_len;
    __u32 __reserved;
    __aligned_u64 data_uptr;
};

/* enum iommu_hw_queue_type */
#define IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV  1

#ifndef IOMMU_HW_QUEUE_ALLOC
#define IOMMU_HW_QUEUE_ALLOC                _IO(IOMMUFD_TYPE, 0x94)

/* @nesting_parent_iova and @length, of the queue, are in bytes */
struct iommu_hw_queue_alloc {
    __u32 size;
    __u32 flags;
    __u32 viommu_id;
    __u32 type;
    __u32 index;
    __u32 out_hw_queue_id;
    __aligned_u64 nesting_parent_iova;
    __aligned_u64 length;
};

/* Fields of the hardware's register PARAM, but for the number of VINTFs */
struct iommu_hw_info_tegra241_cmdqv {
    __u32 flags;
    __u8 version;
    __u8 log2vcmdqs;
    __u8 log2vsids;
    __u8 __reserved;
};

/* Where page 0 of the VINTF is in the iommufd, for mmap(), in bytes */
struct iommu_viommu_tegra241_cmdqv {
    __aligned_u64 out_vintf_mmap_offset;
    __aligned_u64 out_vintf_mmap_length;
};

/* One bit for each queue that has an error, little endian */
struct iommu_vevent_tegra241_cmdqv {
    __aligned_le64 lvcmdq_err_map[2];
};
#endif /* IOMMU_HW_QUEUE_ALLOC */

#ifndef VFIO_DEVICE_ATTACH_PASID
#define VFIO_DEVICE_ATTACH_PASID            (1 << 0)
#define VFIO_DEVICE_DETACH_PASID            (1 << 0)
#endif

/*
 * vfio_device_attach_iommufd_pt and vfio_device_detach_iommufd_pt with @pasid,
 * which is beyond the end of those in older headers
 */
struct iommufd_compat_vfio_attach_pasid {
    __u32 argsz;
    __u32 flags;
    __u32 pt_id;
    __u32 pasid;
};

struct iommufd_compat_vfio_detach_pasid {
    __u32 argsz;
    __u32 flags;
    __u32 pasid;
};

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF         11

/* In bytes from the start of the region, whole pages */
struct vfio_region_dma_range {
    __u64 offset;
    __u64 length;
};

/* VFIO_DEVICE_FEATURE returns the dma-buf; @flags are 0 */
struct vfio_device_feature_dma_buf {
    __u32 region_index;
    __u32 open_flags;
    __u32 flags;
    __u32 nr_ranges;
    struct vfio_region_dma_range dma_ranges[];
};
#endif /* VFIO_DEVICE_FEATURE_DMA_BUF */

#endif /* SYSTEM_IOMMUFD_COMPAT_H */
