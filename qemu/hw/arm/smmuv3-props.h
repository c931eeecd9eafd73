/*
 * Property types of an SMMUv3: a value that the guest is told, or auto
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_PROPS_H
#define HW_ARM_SMMUV3_PROPS_H

#include "hw/qdev-properties.h"
#include "qapi/qapi-types-misc-arm.h"

extern const PropertyInfo smmuv3_prop_oas_mode;
extern const PropertyInfo smmuv3_prop_ssidsize_mode;

#define DEFINE_PROP_OAS_MODE(_n, _s, _f, _d) \
    DEFINE_PROP_SIGNED(_n, _s, _f, _d, smmuv3_prop_oas_mode, OasMode)
#define DEFINE_PROP_SSIDSIZE_MODE(_n, _s, _f, _d) \
    DEFINE_PROP_SIGNED(_n, _s, _f, _d, smmuv3_prop_ssidsize_mode, SsidSizeMode)

#endif
