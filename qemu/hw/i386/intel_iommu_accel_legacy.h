/*
 * Intel VT-d: host devices of a guest in legacy mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_LEGACY_H
#define HW_I386_INTEL_IOMMU_ACCEL_LEGACY_H

#include "hw/i386/intel_iommu.h"

/**
 * vtd_accel_legacy_init: let host devices follow a guest in legacy mode too
 *
 * Called after vtd_accel_init().
 */
void vtd_accel_legacy_init(IntelIOMMUState *s);

#endif
