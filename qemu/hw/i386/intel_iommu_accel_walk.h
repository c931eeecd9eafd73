/*
 * Intel VT-d: bringing the host in line with the guest's PASID entries
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_WALK_H
#define HW_I386_INTEL_IOMMU_ACCEL_WALK_H

#include "intel_iommu_accel_internal.h"

/* S1 HWPTs with invalidations that may wait for a wait descriptor */
#define VTD_ACCEL_PENDING_MAX   (VTD_ACCEL_WORK_MAX / VTD_ACCEL_IOCTL_WORK)

/**
 * vtd_accel_start_walk: any PASID entry of a device may have changed
 *
 * They are looked at by vtd_accel_finish(), RID_PASID's excepted.
 */
void vtd_accel_start_walk(VTDAccelDevice *dev);

/* vtd_accel_stop_walk: forget what is left */
void vtd_accel_stop_walk(VTDAccelDevice *dev);

/**
 * vtd_accel_finish: do what is left
 *
 * Returns: false if that is too much for one piece.
 */
bool vtd_accel_finish(VTDAccel *accel);

/* vtd_accel_is_idle: is nothing left that vtd_accel_do_piece() would do? */
static inline bool vtd_accel_is_idle(const VTDAccel *accel)
{
    return !accel->num_walking && !accel->status_pending &&
           !(accel->legacy && accel->legacy->unfinished) &&
           accel->s1s.num_pending <= VTD_ACCEL_PENDING_MAX &&
           !vtd_accel_must_yield(&accel->work);
}

/**
 * vtd_accel_do_piece: the same, and keep what vtd_accel_sync() has to send at
 * once within bounds
 *
 * Returns: false if the piece has to end.
 */
bool vtd_accel_do_piece(VTDAccel *accel);

/* vtd_accel_go_on_busy: vtd_accel_go_on() where something is left */
bool vtd_accel_go_on_busy(VTDAccel *accel);

/**
 * vtd_accel_go_on: do what is left, in a piece that goes on or begins here
 *
 * Returns: false if the piece has ended; the vIOMMU's resume function is called
 *          later.
 */
static inline bool vtd_accel_go_on(VTDAccel *accel)
{
    vtd_accel_begin_piece(&accel->work);
    vtd_accel_spend(&accel->work, 1);
    return vtd_accel_is_idle(accel) || vtd_accel_go_on_busy(accel);
}

#endif
