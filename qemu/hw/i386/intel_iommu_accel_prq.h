/*
 * Intel VT-d: page requests of host devices
 *
 * Concepts: the host reports the page requests of all devices of a vIOMMU in
 * one fault queue, group by group.  A group has a cookie, by which it is
 * answered exactly once: by the guest, here if the guest cannot be asked, or
 * by the host itself when the HWPT is replaced or detached.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_PRQ_H
#define HW_I386_INTEL_IOMMU_ACCEL_PRQ_H

#include "intel_iommu_accel_internal.h"

/* vtd_accel_prq_can: can @dev and its host, and is the guest told so? */
bool vtd_accel_prq_can(VTDAccelDevice *dev);

/**
 * vtd_accel_prq_start: have the host report page requests
 *
 * @dev: a device that can send them, to be attached to a first stage
 *
 * Returns: false if its requests cannot be reported.  That is logged, and it
 *          goes without from then on.
 */
bool vtd_accel_prq_start(VTDAccelDevice *dev);

/**
 * vtd_accel_prq_give_up: the host does not take page requests of @dev
 *
 * @why: to be logged
 */
void vtd_accel_prq_give_up(VTDAccelDevice *dev, const char *why);

/* vtd_accel_prq_stop: free the fault queue; no HWPT uses it any more */
void vtd_accel_prq_stop(VTDAccel *accel);

/* vtd_accel_prq_poll: read while the guest runs, and not else */
void vtd_accel_prq_poll(VTDAccel *accel);

/* vtd_accel_prq_flush: give the host the answers that wait */
void vtd_accel_prq_flush(VTDAccel *accel);

/**
 * vtd_accel_prq_forget: the host has answered what was outstanding, because
 * @b was attached to something else or detached
 */
void vtd_accel_prq_forget(const VTDAccelBinding *b);

/* vtd_accel_prq_forget_device: @dev goes, and its id may be given to another */
void vtd_accel_prq_forget_device(VTDAccelDevice *dev);

/* vtd_accel_prq_has_answers: is there something for vtd_accel_prq_flush()? */
static inline bool vtd_accel_prq_has_answers(const VTDAccel *accel)
{
    return unlikely(accel->prq.num_answers);
}

#endif
