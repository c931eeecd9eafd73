/*
 * Intel VT-d: nested first-stage HWPTs and their invalidation batches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_S1_H
#define HW_I386_INTEL_IOMMU_ACCEL_S1_H

#include <linux/iommufd.h>
#include "system/iommufd.h"
#include "qemu/queue.h"

/* What devices must agree in to share one S1 HWPT; compared as memory */
typedef struct VTDAccelS1Key {
    IOMMUFDBackend *iommufd;
    uint64_t pgtbl_addr;    /* GPA of the first-stage table */
    uint32_t s2_hwpt_id;
    uint32_t pasid;
    uint32_t addr_width;    /* 48 or 57 bits */
    uint32_t flags;         /* IOMMU_VTD_S1_* */
    uint32_t domain_id;
    uint32_t hwpt_flags;    /* IOMMU_HWPT_ALLOC_* */
} VTDAccelS1Key;

/* One nested HWPT */
typedef struct VTDAccelS1 {
    VTDAccelS1Key key;
    uint32_t hwpt_id;
    uint32_t users;
    QLIST_HEAD(, VTDAccelBinding) bindings; /* that are attached to it */

    bool stale;             /* the host refused an invalidation of it */
    bool all;               /* everything is to be invalidated */
    bool pending;           /* on VTDAccelS1Table::pending */
    GArray *entries;        /* of struct iommu_hwpt_vtd_s1_invalidate */

    struct VTDAccelS1 *same_pasid;      /* same domain and PASID */
    QLIST_ENTRY(VTDAccelS1) domain_next;
    QTAILQ_ENTRY(VTDAccelS1) pending_next;
} VTDAccelS1;

/* All S1 HWPTs of a vIOMMU, found by domain and by (domain, PASID) */
typedef struct VTDAccelS1Table {
    GHashTable *domains;
    GHashTable *pasids;
    QTAILQ_HEAD(, VTDAccelS1) pending;
    uint32_t num_pending;
    uint32_t num;           /* S1 HWPTs, each of which takes a host domain id */
} VTDAccelS1Table;

typedef void (*VTDAccelS1Func)(VTDAccelS1 *s1, void *opaque);

void vtd_accel_s1_table_init(VTDAccelS1Table *t);

/**
 * vtd_accel_s1_first: first S1 HWPT for a domain and PASID, the others follow
 * through @same_pasid
 *
 * Returns: NULL if there is none.
 */
VTDAccelS1 *vtd_accel_s1_first(VTDAccelS1Table *t, uint16_t domain_id,
                               uint32_t pasid);

/**
 * vtd_accel_s1_new: allocate a nested HWPT
 *
 * @t: where it can be found from then on
 * @key: guest table, format and parent
 * @dev_id: iommufd id of the first device that will use it
 * @errp: set to the host's reason on failure
 *
 * Returns: the object with one user, NULL on failure.
 */
VTDAccelS1 *vtd_accel_s1_new(VTDAccelS1Table *t, const VTDAccelS1Key *key,
                             uint32_t dev_id, Error **errp);

/**
 * vtd_accel_s1_put: drop one user, the last one frees the HWPT
 *
 * No device of the dropped user may be attached to it any more.
 */
void vtd_accel_s1_put(VTDAccelS1Table *t, VTDAccelS1 *s1);

/**
 * vtd_accel_s1_alloc_hwpt: allocate a nested HWPT for @key
 *
 * Returns: false with @errp set on failure.
 */
bool vtd_accel_s1_alloc_hwpt(const VTDAccelS1Key *key, uint32_t dev_id,
                             uint32_t *hwpt_id, Error **errp);

/* vtd_accel_s1_foreach_domain: call @func for each S1 HWPT of a domain */
void vtd_accel_s1_foreach_domain(VTDAccelS1Table *t, uint16_t domain_id,
                                 VTDAccelS1Func func, void *opaque);

/* vtd_accel_s1_foreach: call @func for each S1 HWPT */
void vtd_accel_s1_foreach(VTDAccelS1Table *t, VTDAccelS1Func func,
                          void *opaque);

/**
 * vtd_accel_s1_queue: queue an invalidation
 *
 * @t: the table that @s1 is in
 * @s1: whose translations are to be invalidated
 * @addr: input address, bits below the block are ignored
 * @am: log2 of the number of 4 KiB pages; 52 or more for everything
 * @leaf: only leaf entries changed
 *
 * Returns: true if the batch is full and has to be sent.
 */
bool vtd_accel_s1_queue(VTDAccelS1Table *t, VTDAccelS1 *s1, uint64_t addr,
                        uint8_t am, bool leaf);

/**
 * vtd_accel_s1_flush: send what is queued in one IOMMU_HWPT_INVALIDATE
 *
 * The batch is empty afterwards, also on failure.
 *
 * Returns: false with @errp set if the host did not handle all of it.
 */
bool vtd_accel_s1_flush(VTDAccelS1Table *t, VTDAccelS1 *s1, Error **errp);

#endif
