/*
 * Intel VT-d: register, descriptor and table bits that intel_iommu_internal.h
 * does not have
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_BITS_H
#define HW_I386_INTEL_IOMMU_BITS_H

/* Extended capability register (VT-d 11.4.3) */
#define VTD_ECAP_NEST                   (1ULL << 26)

/* PASID-cache invalidate descriptor (VT-d 6.5.2.2) */
#define VTD_INV_DESC_PC_G(lo)           (((lo) >> 4) & 3)
#define VTD_INV_DESC_PC_DOMAIN          0
#define VTD_INV_DESC_PC_PASID           1
#define VTD_INV_DESC_PC_GLOBAL          3
#define VTD_INV_DESC_PC_PASID_ID(lo)    (((lo) >> 32) & 0xfffff)

/* Scalable-mode context entry, first quadword (VT-d 9.4) */
#define VTD_SM_CONTEXT_ENTRY_PASIDE     (1ULL << 3)
#define VTD_SM_CONTEXT_ENTRY_PDTS(val)  (((val) >> 9) & 7)

/* PASID directory entry (VT-d 9.5) */
#define VTD_PASID_DIR_ENTRY_P           1ULL

/* PASID entry, first and third quadword (VT-d 9.6) */
#define VTD_SM_PASID_ENTRY_SSADE        (1ULL << 9)
#define VTD_SM_PASID_ENTRY_SRE          (1ULL << 0)
#define VTD_SM_PASID_ENTRY_FSPM(val)    (((val) >> 2) & 3)
#define VTD_SM_PASID_ENTRY_WPE          (1ULL << 4)
#define VTD_SM_PASID_ENTRY_EAFE         (1ULL << 7)

#endif
