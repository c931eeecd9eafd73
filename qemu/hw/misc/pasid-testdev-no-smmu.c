/*
 * What pasid-testdev asks of an SMMUv3, where there is none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/arm/smmu-common.h"

AddressSpace *smmu_pasid_address_space(PCIDevice *dev, uint32_t pasid)
{
    return NULL;
}
