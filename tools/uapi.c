/*
 * Compiles only if fakehost's names for the iommufd and VFIO interfaces mean
 * what the kernel's own headers say.  See tools/check-uapi.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stddef.h>
#include "fakehost-uapi.h"

#define VALUE(ours, kernel) \
    _Static_assert((unsigned long long)(ours) == (unsigned long long)(kernel), \
                   #ours " is not " #kernel)
#define SIZE(ours, kernel) \
    _Static_assert(sizeof(struct ours) == sizeof(struct kernel), #ours)
#define FIELD(ours, kernel, field) \
    _Static_assert(offsetof(struct ours, field) == \
                   offsetof(struct kernel, field) && \
                   sizeof(((struct ours *)0)->field) == \
                   sizeof(((struct kernel *)0)->field), #ours "." #field)

VALUE(FH_IOMMU_VEVENTQ_ALLOC, IOMMU_VEVENTQ_ALLOC);
VALUE(FH_IOMMU_HW_QUEUE_ALLOC, IOMMU_HW_QUEUE_ALLOC);
VALUE(FH_IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_MAP_FILE);
VALUE(FH_IOMMU_FAULT_QUEUE_ALLOC, IOMMU_FAULT_QUEUE_ALLOC);
VALUE(FH_IOMMU_HWPT_INVALIDATE, IOMMU_HWPT_INVALIDATE);
VALUE(FH_IOMMU_GET_DIRTY_BITMAP, IOMMU_HWPT_GET_DIRTY_BITMAP);
VALUE(FH_IOMMU_SET_DIRTY_TRACKING, IOMMU_HWPT_SET_DIRTY_TRACKING);
VALUE(FH_IOMMU_GET_HW_INFO, IOMMU_GET_HW_INFO);
VALUE(FH_IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC);
VALUE(FH_IOMMU_VIOMMU_ALLOC, IOMMU_VIOMMU_ALLOC);
VALUE(FH_IOMMU_VDEVICE_ALLOC, IOMMU_VDEVICE_ALLOC);
VALUE(FH_VFIO_BIND_IOMMUFD, VFIO_DEVICE_BIND_IOMMUFD);
VALUE(FH_VFIO_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT);
VALUE(FH_VFIO_DETACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT);

VALUE(FH_HWPT_NEST_PARENT, IOMMU_HWPT_ALLOC_NEST_PARENT);
VALUE(FH_HWPT_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
VALUE(FH_HWPT_FAULT_ID_VALID, IOMMU_HWPT_FAULT_ID_VALID);
VALUE(FH_HWPT_PASID, IOMMU_HWPT_ALLOC_PASID);
VALUE(FH_DATA_NONE, IOMMU_HWPT_DATA_NONE);
VALUE(FH_DATA_VTD_S1, IOMMU_HWPT_DATA_VTD_S1);
VALUE(FH_DATA_ARM_SMMUV3, IOMMU_HWPT_DATA_ARM_SMMUV3);
VALUE(FH_INVALIDATE_VTD_S1, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1);
VALUE(FH_INVALIDATE_ARM_SMMUV3, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3);
VALUE(FH_HW_INFO_DEFAULT, IOMMU_HW_INFO_TYPE_DEFAULT);
VALUE(FH_HW_INFO_INTEL_VTD, IOMMU_HW_INFO_TYPE_INTEL_VTD);
VALUE(FH_HW_INFO_ARM_SMMUV3, IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
VALUE(FH_HW_INFO_TEGRA241_CMDQV, IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV);
VALUE(FH_HW_INFO_FLAG_INPUT_TYPE, IOMMU_HW_INFO_FLAG_INPUT_TYPE);
VALUE(FH_HW_CAP_DIRTY_TRACKING, IOMMU_HW_CAP_DIRTY_TRACKING);
VALUE(FH_HW_CAP_PCI_PASID_EXEC, IOMMU_HW_CAP_PCI_PASID_EXEC);
VALUE(FH_HW_CAP_PCI_PASID_PRIV, IOMMU_HW_CAP_PCI_PASID_PRIV);
VALUE(FH_HW_CAP_ATS_NOT_SUPPORTED, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
VALUE(FH_HW_INFO_VTD_ERRATA_772415, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17);
VALUE(FH_VIOMMU_TYPE_ARM_SMMUV3, IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
VALUE(FH_VIOMMU_TYPE_TEGRA241_CMDQV, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
VALUE(FH_HW_QUEUE_TYPE_TEGRA241_CMDQV, IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV);
VALUE(FH_VEVENTQ_TYPE_TEGRA241_CMDQV, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV);
VALUE(FH_VEVENTQ_TYPE_ARM_SMMUV3, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3);
VALUE(FH_VEVENTQ_FLAG_LOST_EVENTS, IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
VALUE(FH_VTD_S1_SRE, IOMMU_VTD_S1_SRE);
VALUE(FH_VTD_S1_EAFE, IOMMU_VTD_S1_EAFE);
VALUE(FH_VTD_S1_WPE, IOMMU_VTD_S1_WPE);
VALUE(FH_VTD_INV_LEAF, IOMMU_VTD_INV_FLAGS_LEAF);
VALUE(FH_ATTACH_PASID, VFIO_DEVICE_ATTACH_PASID);
VALUE(FH_DETACH_PASID, VFIO_DEVICE_DETACH_PASID);
VALUE(FH_BIND_TOKEN, VFIO_DEVICE_BIND_FLAG_TOKEN);
VALUE(FH_HOT_RESET_FLAG_DEV_ID, VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
VALUE(FH_HOT_RESET_FLAG_DEV_ID_OWNED, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
VALUE(FH_PCI_DEVID_OWNED, VFIO_PCI_DEVID_OWNED);
VALUE(FH_PCI_DEVID_NOT_OWNED, VFIO_PCI_DEVID_NOT_OWNED);

SIZE(fh_iommu_hw_info, iommu_hw_info);
FIELD(fh_iommu_hw_info, iommu_hw_info, data_len);
FIELD(fh_iommu_hw_info, iommu_hw_info, data_uptr);
FIELD(fh_iommu_hw_info, iommu_hw_info, out_max_pasid_log2);
FIELD(fh_iommu_hw_info, iommu_hw_info, out_capabilities);
SIZE(fh_hw_info_vtd, iommu_hw_info_vtd);
FIELD(fh_hw_info_vtd, iommu_hw_info_vtd, cap_reg);
FIELD(fh_hw_info_vtd, iommu_hw_info_vtd, ecap_reg);
SIZE(fh_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3);
FIELD(fh_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, idr);
FIELD(fh_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, aidr);
SIZE(fh_hw_info_tegra241_cmdqv, iommu_hw_info_tegra241_cmdqv);
FIELD(fh_hw_info_tegra241_cmdqv, iommu_hw_info_tegra241_cmdqv, version);
FIELD(fh_hw_info_tegra241_cmdqv, iommu_hw_info_tegra241_cmdqv, log2vcmdqs);
FIELD(fh_hw_info_tegra241_cmdqv, iommu_hw_info_tegra241_cmdqv, log2vsids);
SIZE(fh_viommu_tegra241_cmdqv, iommu_viommu_tegra241_cmdqv);
FIELD(fh_viommu_tegra241_cmdqv, iommu_viommu_tegra241_cmdqv,
      out_vintf_mmap_offset);
FIELD(fh_viommu_tegra241_cmdqv, iommu_viommu_tegra241_cmdqv,
      out_vintf_mmap_length);
SIZE(fh_vevent_tegra241_cmdqv, iommu_vevent_tegra241_cmdqv);
SIZE(fh_iommu_hw_queue_alloc, iommu_hw_queue_alloc);
FIELD(fh_iommu_hw_queue_alloc, iommu_hw_queue_alloc, index);
FIELD(fh_iommu_hw_queue_alloc, iommu_hw_queue_alloc, out_hw_queue_id);
FIELD(fh_iommu_hw_queue_alloc, iommu_hw_queue_alloc, nesting_parent_iova);
FIELD(fh_iommu_hw_queue_alloc, iommu_hw_queue_alloc, length);
SIZE(fh_iommu_hwpt_alloc, iommu_hwpt_alloc);
FIELD(fh_iommu_hwpt_alloc, iommu_hwpt_alloc, pt_id);
FIELD(fh_iommu_hwpt_alloc, iommu_hwpt_alloc, out_hwpt_id);
FIELD(fh_iommu_hwpt_alloc, iommu_hwpt_alloc, data_uptr);
FIELD(fh_iommu_hwpt_alloc, iommu_hwpt_alloc, fault_id);
SIZE(fh_hwpt_vtd_s1, iommu_hwpt_vtd_s1);
FIELD(fh_hwpt_vtd_s1, iommu_hwpt_vtd_s1, pgtbl_addr);
FIELD(fh_hwpt_vtd_s1, iommu_hwpt_vtd_s1, addr_width);
SIZE(fh_hwpt_arm_smmuv3, iommu_hwpt_arm_smmuv3);
SIZE(fh_iommu_hwpt_invalidate, iommu_hwpt_invalidate);
FIELD(fh_iommu_hwpt_invalidate, iommu_hwpt_invalidate, data_uptr);
FIELD(fh_iommu_hwpt_invalidate, iommu_hwpt_invalidate, entry_num);
SIZE(fh_vtd_s1_invalidate, iommu_hwpt_vtd_s1_invalidate);
FIELD(fh_vtd_s1_invalidate, iommu_hwpt_vtd_s1_invalidate, npages);
FIELD(fh_vtd_s1_invalidate, iommu_hwpt_vtd_s1_invalidate, flags);
SIZE(fh_arm_smmuv3_invalidate, iommu_viommu_arm_smmuv3_invalidate);
SIZE(fh_iommu_fault_alloc, iommu_fault_alloc);
FIELD(fh_iommu_fault_alloc, iommu_fault_alloc, out_fault_fd);
SIZE(fh_iommu_map_file, iommu_ioas_map_file);
FIELD(fh_iommu_map_file, iommu_ioas_map_file, iova);
SIZE(fh_iommu_set_dirty_tracking, iommu_hwpt_set_dirty_tracking);
SIZE(fh_iommu_get_dirty_bitmap, iommu_hwpt_get_dirty_bitmap);
FIELD(fh_iommu_get_dirty_bitmap, iommu_hwpt_get_dirty_bitmap, data);
SIZE(fh_iommu_viommu_alloc, iommu_viommu_alloc);
FIELD(fh_iommu_viommu_alloc, iommu_viommu_alloc, out_viommu_id);
FIELD(fh_iommu_viommu_alloc, iommu_viommu_alloc, data_uptr);
SIZE(fh_iommu_vdevice_alloc, iommu_vdevice_alloc);
FIELD(fh_iommu_vdevice_alloc, iommu_vdevice_alloc, virt_id);
SIZE(fh_iommu_veventq_alloc, iommu_veventq_alloc);
FIELD(fh_iommu_veventq_alloc, iommu_veventq_alloc, out_veventq_fd);
SIZE(fh_vevent_header, iommufd_vevent_header);
FIELD(fh_vevent_header, iommufd_vevent_header, sequence);
SIZE(fh_vfio_bind_iommufd, vfio_device_bind_iommufd);
FIELD(fh_vfio_bind_iommufd, vfio_device_bind_iommufd, token_uuid_ptr);
SIZE(fh_vfio_attach_pt, vfio_device_attach_iommufd_pt);
FIELD(fh_vfio_attach_pt, vfio_device_attach_iommufd_pt, pasid);
SIZE(fh_vfio_detach_pt, vfio_device_detach_iommufd_pt);
FIELD(fh_vfio_detach_pt, vfio_device_detach_iommufd_pt, pasid);
