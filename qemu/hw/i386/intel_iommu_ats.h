/*
 * Address translation services (ATS) of the emulated VT-d
 *
 * Concepts: a device that has ATS asks for a translation before it accesses
 * memory.  If the tables have none, nobody learns of it but the device, which
 * may then request the page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ATS_H
#define HW_I386_INTEL_IOMMU_ATS_H

#include "hw/i386/intel_iommu.h"
#include "hw/i386/intel_iommu_prq.h"

typedef enum VTDAtsResult {
    VTD_ATS_DONE,
    VTD_ATS_MISS,               /* not mapped, or not for this access */
    VTD_ATS_REFUSED,            /* the fault, if it is one, has been recorded */
} VTDAtsResult;

/**
 * vtd_ats_translate: a translation request of an emulated device (VT-d 4.1.1)
 *
 * @as: requester and PASID
 * @addr: untranslated address in bytes
 * @is_write: the device needs to write
 * @translated: where @addr is in memory, only set with VTD_ATS_DONE
 *
 * The caller holds the BQL.
 */
VTDAtsResult vtd_ats_translate(VTDAddressSpace *as, hwaddr addr, bool is_write,
                               hwaddr *translated);

/**
 * vtd_ats_request_pages: page requests of an emulated device (VT-d 7.4)
 *
 * @as: requester and PASID, which are put into @req
 * @req: requests of one group, in order
 * @n: number of them
 *
 * Returns: as vtd_prq_post(); VTD_PRQ_OFF also if software does not let the
 *          device ask, which is recorded as a fault.
 */
VTDPrqResult vtd_ats_request_pages(VTDAddressSpace *as, VTDPageRequest *req,
                                   unsigned n);

/*
 * What intel_iommu.c and this module have for each other
 */

/**
 * vtd_ats_fault_is_recoverable: whether the device alone learns of a fault
 *
 * @fault: VTD_FR_* that a translation request has met
 */
bool vtd_ats_fault_is_recoverable(int fault);

/**
 * vtd_ats_check_context: whether a context entry permits translation requests
 *
 * @s: the IOMMU
 * @ce: a present entry
 * @has_pasid: whether the request has a PASID
 *
 * Returns: 0 or the negative fault reason.
 */
int vtd_ats_check_context(const IntelIOMMUState *s, const VTDContextEntry *ce,
                          bool has_pasid);

/**
 * vtd_translation_request: translate for a device that asks
 *
 * @entry: the page, without permissions if the device is to learn of a
 *         recoverable fault
 *
 * Returns: false after a fault that has been recorded.
 */
bool vtd_translation_request(VTDAddressSpace *as, hwaddr addr, bool is_write,
                             IOMMUTLBEntry *entry);

/**
 * vtd_page_request_allowed: whether the guest lets a device request pages
 *
 * Returns: false if not, which has been recorded as a fault.
 */
bool vtd_page_request_allowed(VTDAddressSpace *as, hwaddr addr);

#endif
