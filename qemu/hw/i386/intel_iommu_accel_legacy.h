/*
 * Intel VT-d: second-level tables of a guest in legacy mode, shadowed for host
 * devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_LEGACY_H
#define HW_I386_INTEL_IOMMU_ACCEL_LEGACY_H

#include "hw/i386/intel_iommu.h"
#include "qemu/queue.h"
#include "system/iommufd.h"

/* What devices must agree in to share one shadow; compared as memory */
typedef struct VTDAccelLegacyKey {
    IOMMUFDBackend *iommufd;
    uint64_t pgtbl_addr;    /* GPA of the second-level table */
    uint32_t ram_ioas_id;   /* the device's: guest memory, one to one */
    uint32_t domain_id;
    uint32_t levels;        /* of the table: 3 or 4 */
    uint32_t hwpt_flags;    /* IOMMU_HWPT_ALLOC_* for the device */
} VTDAccelLegacyKey;

/* A context entry of legacy mode */
typedef struct VTDAccelLegacyContext {
    bool pass_through;
    uint16_t domain_id;
    uint64_t pgtbl_addr;
    uint32_t levels;
} VTDAccelLegacyContext;

/* A copy of second-level tables: an IOAS and the HWPT that shows it */
typedef struct VTDAccelShadow {
    VTDAccelLegacyKey key;
    uint32_t ioas_id;
    uint32_t hwpt_id;
    uint32_t users;

    GTree *mappings;        /* what is in the IOAS, by IOVA */
    uint64_t mapped;        /* bytes of it */
    Error *failure;         /* why it no longer follows the guest, or NULL */

    bool complete;          /* it has been in line with the guest once */

    /* An update that is not complete */
    bool updating;
    uint64_t walk_iova;     /* where the walk goes on */
    uint64_t walk_last;     /* its last address */
    uint64_t done_iova;     /* what is below is in line with the guest */
    uint64_t work_left;

    QLIST_ENTRY(VTDAccelShadow) next;
} VTDAccelShadow;

/* All shadows of a vIOMMU */
typedef struct VTDAccelShadowTable {
    IntelIOMMUState *s;
    QLIST_HEAD(, VTDAccelShadow) shadows;
    Error *blocker;         /* of migration, while there are shadows */
    uint64_t limit;         /* bytes that one shadow may map */
    bool repair;            /* one failed, or a device is to be tried again */
} VTDAccelShadowTable;

void vtd_accel_legacy_init(VTDAccelShadowTable *t, IntelIOMMUState *s);

/**
 * vtd_accel_legacy_next: look for a shadow that another device has
 *
 * @t: where to look
 * @shadow: the one found before, NULL to start
 * @key: what is looked for
 *
 * Returns: a shadow that follows the guest's tables, NULL if there is no more.
 */
VTDAccelShadow *vtd_accel_legacy_next(VTDAccelShadowTable *t,
                                      VTDAccelShadow *shadow,
                                      const VTDAccelLegacyKey *key);

/**
 * vtd_accel_legacy_new: copy the guest's tables
 *
 * In the invalidation queue this may have to be continued.
 *
 * @t: where the copy can be found from then on
 * @key: guest table and format
 * @dev_id: iommufd id of the first device that will use it
 * @errp: set on failure, to the host's reason or to what is wrong with the
 *        tables
 *
 * Returns: the shadow with one user, NULL on failure.
 */
VTDAccelShadow *vtd_accel_legacy_new(VTDAccelShadowTable *t,
                                     const VTDAccelLegacyKey *key,
                                     uint32_t dev_id, Error **errp);

/**
 * vtd_accel_legacy_put: drop one user, the last one frees the shadow
 *
 * No device of the dropped user may be attached to it any more.
 */
void vtd_accel_legacy_put(VTDAccelShadowTable *t, VTDAccelShadow *shadow);

/**
 * vtd_accel_legacy_invalidate: bring the shadows of a domain in line with the
 * guest's tables
 *
 * In the invalidation queue this may have to be continued.  Where a shadow
 * cannot follow, it has @failure set and @t->repair asks for its users to be
 * taken off it.
 *
 * @t: all shadows
 * @domain_id: domain, or -1 for all
 * @addr: input address
 * @am: log2 of the number of 4 KiB pages; 52 or more for everything
 */
void vtd_accel_legacy_invalidate(VTDAccelShadowTable *t, int domain_id,
                                 uint64_t addr, uint8_t am);

/**
 * vtd_accel_legacy_continue: go on with updates that are not complete
 *
 * Returns: false if the work of this piece of the queue is used up before.
 */
bool vtd_accel_legacy_continue(VTDAccelShadowTable *t);

#endif
