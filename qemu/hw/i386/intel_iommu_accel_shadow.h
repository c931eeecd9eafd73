/*
 * Intel VT-d: copies of a guest's second-level tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_SHADOW_H
#define HW_I386_INTEL_IOMMU_ACCEL_SHADOW_H

#include "intel_iommu_accel_gone.h"
#include "intel_iommu_accel_internal.h"

/* Ranges of memory that a copy notes as gone; beyond, they are widened */
#define VTD_ACCEL_RANGES_MAX    8

/* Guest physical addresses; there is room for one more while it is added */
typedef struct VTDAccelRanges {
    unsigned int num;
    uint64_t first[VTD_ACCEL_RANGES_MAX + 1], last[VTD_ACCEL_RANGES_MAX + 1];
} VTDAccelRanges;

/* A copy of second-level tables: an IOAS and the HWPT that shows it */
typedef struct VTDAccelShadow {
    VTDAccelHwpt hwpt;
    uint32_t ioas_id;

    IntervalTreeRoot mappings;  /* what is in the IOAS */
    uint64_t mapped;        /* bytes of it */
    Error *failure;         /* why it no longer follows the guest, or NULL */
    bool complete;          /* it has been in line with the guest once */

    /* An update that is not complete */
    bool updating;
    uint64_t walk_iova;     /* where the walk goes on */
    uint64_t walk_last;     /* its last address */
    uint64_t done_iova;     /* what is below is in line with the guest */
    uint64_t work_left;

    /*
     * What is mapped to memory that has gone is looked for from IOVA 0 on. What
     * goes during the search is looked for from there on, and once more.
     */
    VTDAccelRanges gone, gone_since;
    uint64_t check_iova;    /* where the search goes on */

    QTAILQ_ENTRY(VTDAccelShadow) next;
} VTDAccelShadow;

/* All shadows of a vIOMMU */
typedef struct VTDAccelShadowTable {
    VTDAccelHwptTable table;
    IntelIOMMUState *s;
    QTAILQ_HEAD(, VTDAccelShadow) shadows;
    QTAILQ_HEAD(, VTDAccelShadow) dead; /* gone, what they had is to be freed */
    Error *blocker;         /* of migration, while there are shadows */
    uint64_t limit;         /* bytes that one shadow may map */
    VTDAccelGone gone;
} VTDAccelShadowTable;

void vtd_accel_shadow_table_init(VTDAccelShadowTable *t, IntelIOMMUState *s);

/* vtd_accel_shadow: the shadow that @hwpt is, NULL if it is none of @t */
VTDAccelShadow *vtd_accel_shadow(VTDAccelShadowTable *t, VTDAccelHwpt *hwpt);

/**
 * vtd_accel_shadow_invalidate: bring the shadows of a domain in line with the
 * guest's tables
 *
 * In a piece of work this may have to be continued.  Where a shadow cannot
 * follow, it has @failure set, and its users are to leave it.  In both cases
 * VTDAccelLegacy::unfinished is set.
 *
 * @t: all shadows
 * @domain_id: domain, or -1 for all
 * @addr: input address
 * @am: log2 of the number of 4 KiB pages; 52 or more for everything
 */
void vtd_accel_shadow_invalidate(VTDAccelShadowTable *t, int domain_id,
                                 uint64_t addr, uint8_t am);

/**
 * vtd_accel_shadow_continue: go on with updates that are not complete, and with
 * unmapping guest memory that has gone
 *
 * @again: set if there is more to unmap, which went meanwhile
 *
 * Returns: false if that is too much for one piece.
 */
bool vtd_accel_shadow_continue(VTDAccelShadowTable *t, bool *again);

/**
 * vtd_accel_shadow_free_dead: free what QEMU had for shadows that are gone
 *
 * The host has let go of them already.  This takes pieces of work, and the
 * guest's queue goes on after the last one.
 *
 * Returns: false if something is left, for the next piece.
 */
bool vtd_accel_shadow_free_dead(VTDAccelShadowTable *t);

#endif
