/*
 * What pasid-testdev asks of a VT-d, where there is none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu.h"
#include "hw/i386/intel_iommu_ats.h"
#include "hw/i386/intel_iommu_prq.h"
#include "hw/i386/x86-iommu.h"

/* The device does not go on from here */
X86IOMMUState *x86_iommu_get_default(void)
{
    return NULL;
}

VTDAddressSpace *vtd_find_add_as(IntelIOMMUState *s, PCIBus *bus, int devfn,
                                 unsigned int pasid)
{
    g_assert_not_reached();
}

VTDAtsResult vtd_ats_translate(VTDAddressSpace *as, hwaddr addr, bool is_write,
                               hwaddr *translated)
{
    g_assert_not_reached();
}

VTDPrqResult vtd_ats_request_pages(VTDAddressSpace *as, VTDPageRequest *req,
                                   unsigned n)
{
    g_assert_not_reached();
}

void vtd_prq_register(IntelIOMMUState *s, PCIDevice *dev, VTDPrqNotify *notify,
                      void *opaque)
{
    g_assert_not_reached();
}

void vtd_prq_unregister(IntelIOMMUState *s, PCIDevice *dev)
{
    g_assert_not_reached();
}
