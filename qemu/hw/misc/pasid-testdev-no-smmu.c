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

IOMMUMemoryRegion *smmu_ats_region(PCIDevice *dev, uint32_t pasid)
{
    return NULL;
}

/* The device does not go on from here */
SMMUAtsResult smmu_ats_translate(IOMMUMemoryRegion *mr, hwaddr addr,
                                 bool is_write, hwaddr *translated)
{
    g_assert_not_reached();
}

bool smmu_ats_access_allowed(IOMMUMemoryRegion *mr, hwaddr addr, bool is_write)
{
    g_assert_not_reached();
}
