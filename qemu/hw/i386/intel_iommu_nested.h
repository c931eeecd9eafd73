/*
 * Nested translation of the emulated VT-d
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_NESTED_H
#define HW_I386_INTEL_IOMMU_NESTED_H

#include "intel_iommu_internal.h"
#include "intel_iommu_bits.h"

/**
 * vtd_nested_check_config: whether the properties allow x-nested
 *
 * @s: the IOMMU, all properties set
 * @errp: the property that is missing or in the way
 *
 * Returns true if x-nested is off or can be honoured.
 */
bool vtd_nested_check_config(const IntelIOMMUState *s, Error **errp);

/**
 * vtd_nested_check_host_device: whether a host device may sit behind @s
 *
 * Its own IOMMU has two stages at the most, x-nested would take a third.
 *
 * @s: the IOMMU
 * @errp: set if x-nested is on
 */
bool vtd_nested_check_host_device(const IntelIOMMUState *s, Error **errp);

/**
 * vtd_nested_ecap: the ECAP_REG bits that x-nested adds
 *
 * @s: the IOMMU
 *
 * Returns 0 if x-nested is off.
 */
uint64_t vtd_nested_ecap(const IntelIOMMUState *s);

/**
 * vtd_nested_check_pe: check a PASID entry of type nested
 *
 * @s: the IOMMU
 * @pe: a PASID entry in host byte order
 *
 * Returns 0 or the negative fault reason.
 */
int vtd_nested_check_pe(const IntelIOMMUState *s, const VTDPASIDEntry *pe);

/**
 * vtd_nested_iotlb_usable: whether an IOTLB entry can serve a request
 *
 * A nested entry that was filled by a read does not permit writes until the
 * dirty bit is set, which needs another walk. So does any entry that lacks the
 * permission: the walk finds and records the fault. Without x-nested, every
 * entry is good.
 *
 * @s: the IOMMU, its lock held
 * @entry: what the lookup found, may be NULL
 * @is_write: the request
 *
 * Returns false if the tables have to be walked.
 */
bool vtd_nested_iotlb_usable(const IntelIOMMUState *s,
                             const VTDIOTLBEntry *entry, bool is_write);

/**
 * vtd_nested_translate: translate through both stages
 *
 * Sets accessed and dirty bits in the first-stage tables, unless the result
 * is a fault.
 *
 * @s: the IOMMU, its lock held
 * @source_id: requester, for the trace only
 * @pasid: PASID, for the trace only
 * @pe: PASID entry of type nested
 * @iova: input address
 * @is_write: the request
 * @ptep: host physical address of the page, as a page table entry holds it
 * @level: level of the smaller one of the two pages
 * @reads: whether the page may be read
 * @writes: whether the page may be written without another walk
 *
 * Returns 0 or the negative fault reason.
 */
int vtd_nested_translate(IntelIOMMUState *s, uint16_t source_id,
                         uint32_t pasid, const VTDPASIDEntry *pe,
                         uint64_t iova, bool is_write, uint64_t *ptep,
                         uint32_t *level, bool *reads, bool *writes);

#endif
