/*
 * Intel VT-d without CONFIG_IOMMUFD: no host devices in legacy mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "intel_iommu_accel_legacy.h"

void vtd_accel_legacy_init(IntelIOMMUState *s)
{
}
