/*
 * Address translation services (ATS) of the emulated VT-d
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_bus.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_bits.h"
#include "intel_iommu_ats.h"

bool vtd_ats_fault_is_recoverable(int fault)
{
    switch (fault) {
    /* Legacy mode (VT-d 7.2.1) */
    case VTD_FR_ADDR_BEYOND_MGAW:
    case VTD_FR_WRITE:
    case VTD_FR_READ:
    /* First stage (VT-d 7.2.3) */
    case VTD_FR_FS_PAGING_ENTRY_P:
    case VTD_FR_FS_NON_CANONICAL:
    case VTD_FR_FS_PAGING_ENTRY_US:
    /* The second one denies what the first one needs, or what it yields */
    case VTD_FR_NESTED_FS_TOP_READ:
    case VTD_FR_NESTED_FS_READ:
    case VTD_FR_NESTED_FS_WRITE:
    case VTD_FR_SS_PAGING_ENTRY_P:
    case VTD_FR_SS_ADDR_BEYOND_AW:
    case VTD_FR_SM_WRITE:
    case VTD_FR_SM_READ:
        return true;
    default:
        return false;
    }
}

int vtd_ats_check_context(const IntelIOMMUState *s, const VTDContextEntry *ce,
                          bool has_pasid)
{
    if (!s->root_scalable) {
        return (ce->lo & VTD_CONTEXT_ENTRY_TT) == VTD_CONTEXT_TT_DEV_IOTLB ?
               0 : -VTD_FR_CONTEXT_ENTRY_TT;
    }
    if (!(ce->val[0] & VTD_SM_CONTEXT_ENTRY_DTE)) {
        return -VTD_FR_SM_CONTEXT_DTE;
    }
    if (has_pasid && !(ce->val[0] & VTD_SM_CONTEXT_ENTRY_PASIDE)) {
        return -VTD_FR_SM_CONTEXT_PASIDE;
    }
    return 0;
}

VTDAtsResult vtd_ats_translate(VTDAddressSpace *as, hwaddr addr, bool is_write,
                               hwaddr *translated)
{
    IOMMUTLBEntry entry;

    /* Interrupts are not translated (VT-d 3.15) */
    if (!as->iommu_state->dmar_enabled ||
        (addr >= VTD_INTERRUPT_ADDR_FIRST && addr <= VTD_INTERRUPT_ADDR_LAST) ||
        !vtd_translation_request(as, addr, is_write, &entry)) {
        return VTD_ATS_REFUSED;
    }
    if (entry.perm == IOMMU_NONE) {
        return VTD_ATS_MISS;
    }
    *translated = entry.translated_addr | (addr & entry.addr_mask);
    return VTD_ATS_DONE;
}

VTDPrqResult vtd_ats_request_pages(VTDAddressSpace *as, VTDPageRequest *req,
                                   unsigned n)
{
    unsigned posted;

    for (unsigned i = 0; i < n; i++) {
        req[i].sid = PCI_BUILD_BDF(pci_bus_num(as->bus), as->devfn);
        req[i].has_pasid = as->pasid != PCI_NO_PASID;
        req[i].pasid = req[i].has_pasid ? as->pasid : 0;
    }
    if (!as->iommu_state->dmar_enabled || !as->iommu_state->root_scalable ||
        !vtd_page_request_allowed(as, req[0].addr)) {
        return VTD_PRQ_OFF;
    }
    return vtd_prq_post(as->iommu_state, req, n, &posted);
}
