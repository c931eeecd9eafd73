/*
 * Intel VT-d: reading the tables of a guest in legacy mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_LEGACY_TABLES_H
#define HW_I386_INTEL_IOMMU_ACCEL_LEGACY_TABLES_H

#include "intel_iommu_accel_internal.h"

/* A context entry of legacy mode */
typedef struct VTDAccelLegacyContext {
    bool pass_through;
    uint16_t domain_id;
    uint64_t pgtbl_addr;
    uint32_t levels;
} VTDAccelLegacyContext;

/* What a leaf entry of second-level tables maps */
typedef struct VTDAccelLeaf {
    uint64_t iova;
    uint64_t last;
    uint64_t gpa;
    uint8_t perm;           /* VTD_SL_R, VTD_SL_W */
} VTDAccelLeaf;

typedef struct VTDAccelLegacyWalk VTDAccelLegacyWalk;

/* A walk over second-level tables; the functions return false to end it */
struct VTDAccelLegacyWalk {
    IntelIOMMUState *s;

    /* Before a table is read: @iova is the first address of interest */
    bool (*table)(VTDAccelLegacyWalk *w, uint64_t iova, unsigned int work);

    /* For each entry that maps something, in the order of addresses */
    bool (*leaf)(VTDAccelLegacyWalk *w, const VTDAccelLeaf *leaf);
};

/**
 * vtd_accel_legacy_read_context: read the root and context entry of a device
 *
 * Returns: false with @t set if there is none to use.
 */
bool vtd_accel_legacy_read_context(VTDAccelDevice *dev,
                                   VTDAccelLegacyContext *ctx,
                                   VTDAccelTarget *t);

/**
 * vtd_accel_legacy_walk: walk over what second-level tables map in a range
 *
 * Entries that hardware refuses map nothing.
 *
 * @w: what to do
 * @table: GPA of the table
 * @level: its level, 1 for page tables
 * @start: first input address
 * @last: last input address
 * @perm: what the entries above permit, VTD_SL_RW_MASK at the top
 *
 * Returns: false if one of @w's functions did.
 */
bool vtd_accel_legacy_walk(VTDAccelLegacyWalk *w, hwaddr table,
                           unsigned int level, uint64_t start, uint64_t last,
                           uint8_t perm);

#endif
