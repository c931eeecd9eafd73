/*
 * Intel VT-d: bringing the host in line with the guest's PASID entries
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_WALK_H
#define HW_I386_INTEL_IOMMU_ACCEL_WALK_H

#include "intel_iommu_accel_internal.h"

/* vtd_accel_refresh_rid: what is for requests without PASID may have changed */
void vtd_accel_refresh_rid(VTDAccelDevice *dev);

/* vtd_accel_refresh_pasid: one PASID entry may have changed */
void vtd_accel_refresh_pasid(VTDAccelDevice *dev, uint32_t pasid);

/**
 * vtd_accel_refresh: any PASID entry of a device may have changed
 *
 * Only requests without PASID are dealt with at once, the others by
 * vtd_accel_finish().
 */
void vtd_accel_refresh(VTDAccelDevice *dev);

/* vtd_accel_stop_walk: forget what vtd_accel_refresh() has left */
void vtd_accel_stop_walk(VTDAccelDevice *dev);

/**
 * vtd_accel_finish: do what is left
 *
 * Returns: false if that is too much for one piece.
 */
bool vtd_accel_finish(VTDAccel *accel);

/**
 * vtd_accel_do_piece: the same, and keep what vtd_accel_sync() has to send at
 * once within bounds
 *
 * Returns: false if the piece has to end.
 */
bool vtd_accel_do_piece(VTDAccel *accel);

#endif
