/*
 * Intel VT-d: attaching host devices to what the guest asks for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_BIND_H
#define HW_I386_INTEL_IOMMU_ACCEL_BIND_H

#include "intel_iommu_accel_internal.h"

/* vtd_accel_apply_rid: bring the host in line for requests without PASID */
void vtd_accel_apply_rid(VTDAccelDevice *dev, const VTDAccelTarget *t);

/* vtd_accel_apply_pasid: bring the host in line for requests with @pasid */
void vtd_accel_apply_pasid(VTDAccelDevice *dev, uint32_t pasid,
                           const VTDAccelTarget *t);

/**
 * vtd_accel_find_pasid: the first binding with @first <= PASID <= @last
 *
 * Returns: NULL if there is none.
 */
VTDAccelBinding *vtd_accel_find_pasid(VTDAccelDevice *dev, uint32_t first,
                                      uint32_t last);

/**
 * vtd_accel_is_settled: is the host still as the guest's tables say?
 *
 * They are compared in place with what was read when @b was brought in line.
 * What does not compare equal is read again.
 *
 * @epoch: of the vIOMMU's memory
 */
static inline bool vtd_accel_is_settled(const VTDAccelBinding *b,
                                        uint64_t epoch)
{
    const VTDAccelEntry *e = &b->settled;

    return e->epoch == epoch &&
           !((ldq_le_p(e->dire_host) ^ e->dire) |
             (ldq_le_p(e->pe_host) ^ e->pe[0]) |
             (ldq_le_p(e->pe_host + 8) ^ e->pe[1]) |
             (ldq_le_p(e->pe_host + 16) ^ e->pe[2]));
}

/**
 * vtd_accel_next_bound: look for a PASID that is bound, or blocked for a
 * reason
 *
 * Returns: the first one from @first on, or UINT32_MAX.
 */
uint32_t vtd_accel_next_bound(VTDAccelDevice *dev, uint32_t first);

/* vtd_accel_abandon_rid: block requests without PASID, and say why */
void vtd_accel_abandon_rid(VTDAccelDevice *dev, const Error *err);

/* vtd_accel_block_device: block all requests of a device that goes away */
void vtd_accel_block_device(VTDAccelDevice *dev);

/* vtd_accel_unstick: try again to block what the host could not block */
void vtd_accel_unstick(VTDAccelDevice *dev);

/* vtd_accel_flush: have the host do what is queued on @s1, or replace @s1 */
void vtd_accel_flush(VTDAccel *accel, VTDAccelS1 *s1);

/**
 * vtd_accel_refuse_requests: have the host answer the page requests that wait,
 * read or not, by invalid
 *
 * Fresh HWPTs take the place of those that report page requests.
 */
void vtd_accel_refuse_requests(VTDAccel *accel);

#endif
