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
#define VTD_ECAP_PRS                    (1ULL << 29)
#define VTD_ECAP_PDS                    (1ULL << 42)

/* Fault recording register, upper quadword: type bit 2 (VT-d 11.4.7.2) */
#define VTD_FRCD_T2                     (1ULL << 28)

/* Page request queue: offsets are in units of 32 bytes (VT-d 11.4.11) */
#define VTD_PQ_SHIFT                    5
#define VTD_PQ_OFFSET_MASK              0x7ffe0U
#define VTD_PQ_INDEX(offset)            (((offset) & VTD_PQ_OFFSET_MASK) >> \
                                         VTD_PQ_SHIFT)
#define VTD_PQA_ADDR_MASK               (~0xfffULL)
#define VTD_PQA_SIZE_MASK               7U
#define VTD_PQA_ENTRIES(pqa)            (128U << ((pqa) & VTD_PQA_SIZE_MASK))
#define VTD_PRS_PPR                     (1U << 0)
#define VTD_PRS_PRO                     (1U << 1)
#define VTD_PECTL_IM                    (1U << 31)
#define VTD_PECTL_IP                    (1U << 30)

/* Page request descriptor, first and second quadword (VT-d 7.4.1) */
#define VTD_PRQ_DESC_WORDS              4
#define VTD_PRQ_DESC_TYPE               1ULL
#define VTD_PRQ_DESC_PASID_PRESENT      (1ULL << 8)
#define VTD_PRQ_DESC_EXEC               (1ULL << 52)
#define VTD_PRQ_DESC_PRIV               (1ULL << 53)
#define VTD_PRQ_DESC_READ               (1ULL << 0)
#define VTD_PRQ_DESC_WRITE              (1ULL << 1)
#define VTD_PRQ_DESC_LAST               (1ULL << 2)
#define VTD_PRGI_MASK                   0x1ffU

/* Page group response descriptor (VT-d 7.7.1) */
#define VTD_INV_DESC_PGRP               0x9
#define VTD_INV_DESC_PGRP_PASID_PRESENT (1ULL << 4)
#define VTD_INV_DESC_PGRP_CODE(lo)      (((lo) >> 12) & 0xf)
#define VTD_INV_DESC_PGRP_SID(lo)       (((lo) >> 16) & 0xffff)
#define VTD_INV_DESC_PGRP_PASID(lo)     (((lo) >> 32) & 0xfffff)
#define VTD_INV_DESC_PGRP_PRGI(hi)      (((hi) >> 3) & VTD_PRGI_MASK)
#define VTD_INV_DESC_PGRP_RSVD_LO       0xfff00000000001e0ULL
#define VTD_INV_DESC_PGRP_RSVD_HI       0xfffffffffffff003ULL

/* Invalidation wait descriptor: drain page requests (VT-d 6.5.2.8) */
#define VTD_INV_DESC_WAIT_PD            (1ULL << 7)

/* PASID-cache invalidate descriptor (VT-d 6.5.2.2) */
#define VTD_INV_DESC_PC_G(lo)           (((lo) >> 4) & 3)
#define VTD_INV_DESC_PC_DOMAIN          0
#define VTD_INV_DESC_PC_PASID           1
#define VTD_INV_DESC_PC_GLOBAL          3
#define VTD_INV_DESC_PC_PASID_ID(lo)    (((lo) >> 32) & 0xfffff)

/* Scalable-mode context entry, first quadword (VT-d 9.4) */
#define VTD_SM_CONTEXT_ENTRY_DTE        (1ULL << 2)
#define VTD_SM_CONTEXT_ENTRY_PRE        (1ULL << 4)
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
