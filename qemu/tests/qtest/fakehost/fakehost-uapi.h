/*
 * Fakehost: the parts of the iommufd and VFIO interfaces that are newer than
 * the oldest header the library is built against.
 *
 * They are not taken from system/iommufd-compat.h: that is part of what is
 * tested, and a mistake in it has to be seen here. And the library is built
 * alone, too, against whatever headers a distribution has. So nothing is
 * guarded: what may be missing gets a name of its own (fh_ / FH_), and only
 * that name is used. Both headers are compared with the kernel's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_UAPI_H
#define FAKEHOST_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/iommufd.h>

#define FH_IOCTL_TYPE                   ';'
#define FH_IOMMUFD_NR_FIRST             0x80
#define FH_IOMMUFD_NR_LAST              0x9f

#define FH_IOMMU_VEVENTQ_ALLOC          _IO(FH_IOCTL_TYPE, 0x93)
#define FH_IOMMU_HW_QUEUE_ALLOC         _IO(FH_IOCTL_TYPE, 0x94)

/* enum iommufd_hwpt_alloc_flags */
#define FH_HWPT_NEST_PARENT             (1u << 0)
#define FH_HWPT_DIRTY_TRACKING          (1u << 1)
#define FH_HWPT_FAULT_ID_VALID          (1u << 2)
#define FH_HWPT_PASID                   (1u << 3)

/* enum iommu_hwpt_data_type, enum iommu_hwpt_invalidate_data_type */
#define FH_DATA_NONE                    0
#define FH_DATA_VTD_S1                  1
#define FH_DATA_ARM_SMMUV3              2
#define FH_INVALIDATE_VTD_S1            0
#define FH_INVALIDATE_ARM_SMMUV3        1

/* enum iommu_hw_info_type, and what GET_HW_INFO accepts and reports */
#define FH_HW_INFO_DEFAULT              0
#define FH_HW_INFO_INTEL_VTD            1
#define FH_HW_INFO_ARM_SMMUV3           2
#define FH_HW_INFO_TEGRA241_CMDQV       3
#define FH_HW_INFO_FLAG_INPUT_TYPE      (1u << 0)
#define FH_HW_CAP_DIRTY_TRACKING        (1ull << 0)
#define FH_HW_CAP_PCI_PASID_EXEC        (1ull << 1)
#define FH_HW_CAP_PCI_PASID_PRIV        (1ull << 2)
#define FH_HW_CAP_ATS_NOT_SUPPORTED     (1ull << 3)
#define FH_HW_INFO_VTD_ERRATA_772415    (1u << 0)

#define FH_VIOMMU_TYPE_ARM_SMMUV3       1
#define FH_VIOMMU_TYPE_TEGRA241_CMDQV   2
#define FH_VEVENTQ_TYPE_ARM_SMMUV3      1
#define FH_VEVENTQ_TYPE_TEGRA241_CMDQV  2
#define FH_HW_QUEUE_TYPE_TEGRA241_CMDQV 1
#define FH_VEVENTQ_MAX_DEPTH            (1u << 19)
#define FH_VEVENTQ_FLAG_LOST_EVENTS     (1u << 0)

/* VT-d first-stage table: what IOMMU_HWPT_ALLOC takes */
#define FH_VTD_S1_SRE                   (1ull << 0)
#define FH_VTD_S1_EAFE                  (1ull << 1)
#define FH_VTD_S1_WPE                   (1ull << 2)
#define FH_VTD_INV_LEAF                 (1u << 0)

/* An upper bound of the kernel's, not of the interface */
#define FH_INVALIDATE_ENTRIES_MAX       (1u << 19)

#define FH_ATTACH_PASID                 (1u << 0)
#define FH_DETACH_PASID                 (1u << 0)
#define FH_BIND_TOKEN                   (1u << 0)

struct fh_iommu_hw_info {
    __u32 size;
    __u32 flags;
    __u32 dev_id;
    __u32 data_len;
    __aligned_u64 data_uptr;
    __u32 data_type;
    __u8 out_max_pasid_log2;
    __u8 __reserved[3];
    __aligned_u64 out_capabilities;
};

struct fh_hw_info_vtd {
    __u32 flags;
    __u32 __reserved;
    __aligned_u64 cap_reg;
    __aligned_u64 ecap_reg;
};

struct fh_hw_info_arm_smmuv3 {
    __u32 flags;
    __u32 __reserved;
    __u32 idr[6];
    __u32 iidr;
    __u32 aidr;
};

struct fh_hw_info_tegra241_cmdqv {
    __u32 flags;
    __u8 version;
    __u8 log2vcmdqs;
    __u8 log2vsids;
    __u8 __reserved;
};

struct fh_iommu_hwpt_alloc {
    __u32 size;
    __u32 flags;
    __u32 dev_id;
    __u32 pt_id;
    __u32 out_hwpt_id;
    __u32 __reserved;
    __u32 data_type;
    __u32 data_len;
    __aligned_u64 data_uptr;
    __u32 fault_id;
    __u32 __reserved2;
};

struct fh_hwpt_vtd_s1 {
    __aligned_u64 flags;
    __aligned_u64 pgtbl_addr;
    __u32 addr_width;
    __u32 __reserved;
};

struct fh_hwpt_arm_smmuv3 {
    __aligned_le64 ste[2];
};

struct fh_iommu_hwpt_invalidate {
    __u32 size;
    __u32 hwpt_id;
    __aligned_u64 data_uptr;
    __u32 data_type;
    __u32 entry_len;
    __u32 entry_num;
    __u32 __reserved;
};

struct fh_vtd_s1_invalidate {
    __aligned_u64 addr;
    __aligned_u64 npages;
    __u32 flags;
    __u32 __reserved;
};

struct fh_arm_smmuv3_invalidate {
    __aligned_le64 cmd[2];
};

struct fh_iommu_fault_alloc {
    __u32 size;
    __u32 flags;
    __u32 out_fault_id;
    __u32 out_fault_fd;
};

/* enum iommu_hwpt_pgfault_flags */
#define FH_PGFAULT_PASID_VALID          (1u << 0)
#define FH_PGFAULT_LAST_PAGE            (1u << 1)

struct fh_pgfault {
    __u32 flags;
    __u32 dev_id;
    __u32 pasid;
    __u32 grpid;
    __u32 perm;
    __u32 __reserved;
    __aligned_u64 addr;
    __u32 length;
    __u32 cookie;
};

struct fh_page_response {
    __u32 cookie;
    __u32 code;
};

struct fh_iommu_map_file {
    __u32 size;
    __u32 flags;
    __u32 ioas_id;
    __s32 fd;
    __aligned_u64 start;
    __aligned_u64 length;
    __aligned_u64 iova;
};
#define FH_IOMMU_IOAS_MAP_FILE          _IO(FH_IOCTL_TYPE, 0x8f)
#define FH_IOMMU_FAULT_QUEUE_ALLOC      _IO(FH_IOCTL_TYPE, 0x8e)
#define FH_IOMMU_HWPT_INVALIDATE        _IO(FH_IOCTL_TYPE, 0x8d)
#define FH_IOMMU_GET_DIRTY_BITMAP       _IO(FH_IOCTL_TYPE, 0x8c)
#define FH_IOMMU_SET_DIRTY_TRACKING     _IO(FH_IOCTL_TYPE, 0x8b)
#define FH_IOMMU_GET_HW_INFO            _IO(FH_IOCTL_TYPE, 0x8a)
#define FH_IOMMU_HWPT_ALLOC             _IO(FH_IOCTL_TYPE, 0x89)
#define FH_IOMMU_VIOMMU_ALLOC           _IO(FH_IOCTL_TYPE, 0x90)
#define FH_IOMMU_VDEVICE_ALLOC          _IO(FH_IOCTL_TYPE, 0x91)

struct fh_iommu_set_dirty_tracking {
    __u32 size;
    __u32 flags;
    __u32 hwpt_id;
    __u32 __reserved;
};

struct fh_iommu_get_dirty_bitmap {
    __u32 size;
    __u32 hwpt_id;
    __u32 flags;
    __u32 __reserved;
    __aligned_u64 iova;
    __aligned_u64 length;
    __aligned_u64 page_size;
    __aligned_u64 data;
};

struct fh_iommu_viommu_alloc {
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

struct fh_viommu_tegra241_cmdqv {
    __aligned_u64 out_vintf_mmap_offset;
    __aligned_u64 out_vintf_mmap_length;
};

struct fh_iommu_hw_queue_alloc {
    __u32 size;
    __u32 flags;
    __u32 viommu_id;
    __u32 type;
    __u32 index;
    __u32 out_hw_queue_id;
    __aligned_u64 nesting_parent_iova;
    __aligned_u64 length;
};

struct fh_iommu_vdevice_alloc {
    __u32 size;
    __u32 viommu_id;
    __u32 dev_id;
    __u32 out_vdevice_id;
    __aligned_u64 virt_id;
};

struct fh_iommu_veventq_alloc {
    __u32 size;
    __u32 flags;
    __u32 viommu_id;
    __u32 type;
    __u32 veventq_depth;
    __u32 out_veventq_id;
    __u32 out_veventq_fd;
    __u32 __reserved;
};

struct fh_vevent_header {
    __u32 flags;
    __u32 sequence;
};

struct fh_vevent_tegra241_cmdqv {
    __aligned_le64 lvcmdq_err_map[2];
};

/* VFIO cdev: linux/vfio.h of Debian 12 has none of it */
#define FH_VFIO_BIND_IOMMUFD            _IO(FH_IOCTL_TYPE, 100 + 18)
#define FH_VFIO_ATTACH_IOMMUFD_PT       _IO(FH_IOCTL_TYPE, 100 + 19)
#define FH_VFIO_DETACH_IOMMUFD_PT       _IO(FH_IOCTL_TYPE, 100 + 20)
#define FH_HOT_RESET_FLAG_DEV_ID        (1u << 0)
#define FH_HOT_RESET_FLAG_DEV_ID_OWNED  (1u << 1)
#define FH_PCI_DEVID_OWNED              0
#define FH_PCI_DEVID_NOT_OWNED          (-1)

struct fh_vfio_bind_iommufd {
    __u32 argsz;
    __u32 flags;
    __s32 iommufd;
    __u32 out_devid;
    __aligned_u64 token_uuid_ptr;
};

struct fh_vfio_attach_pt {
    __u32 argsz;
    __u32 flags;
    __u32 pt_id;
    __u32 pasid;
};

struct fh_vfio_detach_pt {
    __u32 argsz;
    __u32 flags;
    __u32 pasid;
};

#define FH_FEATURE_DMA_BUF              11

struct fh_vfio_dma_buf {
    __u32 region_index;
    __u32 open_flags;
    __u32 flags;
    __u32 nr_ranges;
    struct {
        __u64 offset;
        __u64 length;
    } ranges[];
};

#endif /* FAKEHOST_UAPI_H */
