/*
 * Intel VT-d: reading the guest's tables for host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_TABLES_H
#define HW_I386_INTEL_IOMMU_ACCEL_TABLES_H

#include "intel_iommu_accel_internal.h"

/* PASIDs of one PASID table */
#define VTD_PASID_TABLE_NUM     (VTD_PASID_TABLE_BITS_MASK + 1)

/* vtd_accel_source_id: requester id under which the guest configures @dev */
uint16_t vtd_accel_source_id(VTDAccelDevice *dev);

/**
 * vtd_accel_read_at: read quadwords of guest memory, which costs work
 *
 * @host: where they are in place, or NULL
 *
 * Returns: false if it is not all in memory.
 */
bool vtd_accel_read_at(IntelIOMMUState *s, hwaddr addr, const void *host,
                       uint64_t *val, unsigned int num);

/* vtd_accel_read: the same where that is not known */
static inline bool vtd_accel_read(IntelIOMMUState *s, hwaddr addr,
                                  uint64_t *val, unsigned int num)
{
    return vtd_accel_read_at(s, addr, NULL, val, num);
}

/**
 * vtd_accel_pasid_dir: where a device's PASID directory is in place, or NULL
 *
 * The device's context has to be valid.
 */
const void *vtd_accel_pasid_dir(VTDAccelDevice *dev);

/* vtd_accel_target_block: DMA is to be blocked, for @reason if not NULL */
void vtd_accel_target_block(VTDAccelTarget *t, const char *reason);

/**
 * vtd_accel_read_rid: what the guest wants for requests without PASID
 *
 * Brings the device's context cache up to date first.
 */
void vtd_accel_read_rid(VTDAccelDevice *dev, VTDAccelTarget *t);

/**
 * vtd_accel_note_entry: remember a PASID entry that was read
 *
 * @t: what it asks for
 * @accel: the vIOMMU's state
 * @dire_host: the directory entry in place, or NULL
 * @dire: the directory entry
 * @pe_host: the PASID entry in place, or NULL
 * @pe: the PASID entry
 */
static inline void vtd_accel_note_entry(VTDAccelTarget *t,
                                        const VTDAccel *accel,
                                        const void *dire_host, uint64_t dire,
                                        const void *pe_host,
                                        const VTDPASIDEntry *pe)
{
    t->entry = (VTDAccelEntry) {
        .epoch = dire_host && pe_host ? accel->memory.epoch : 0,
        .dire_host = dire_host,
        .pe_host = pe_host,
        .dire = dire,
        .pe = { pe->val[0], pe->val[1], pe->val[2] },
    };
}

/**
 * vtd_accel_num_pasids: how many PASIDs the guest can bind to @dev
 *
 * Returns: 0 if requests with PASID are not possible or not enabled.
 */
uint32_t vtd_accel_num_pasids(VTDAccelDevice *dev);

/**
 * vtd_accel_read_pasid: what the guest wants for requests with a PASID
 *
 * @known: how its entry was found the last time, or NULL
 *
 * Returns: false if no guest can bind that PASID.
 */
bool vtd_accel_read_pasid(VTDAccelDevice *dev, uint32_t pasid,
                          const VTDAccelEntry *known, VTDAccelTarget *t);

/**
 * vtd_accel_target_pasid: what a PASID entry means for requests with its PASID
 */
void vtd_accel_target_pasid(VTDAccelDevice *dev, uint32_t pasid,
                            const VTDPASIDEntry *pe, VTDAccelTarget *t);

#endif
