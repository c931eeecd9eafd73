/*
 * Intel VT-d: nested first-stage HWPTs and their invalidation batches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_S1_H
#define HW_I386_INTEL_IOMMU_ACCEL_S1_H

#include "intel_iommu_accel_hwpt.h"

/* One nested HWPT */
typedef struct VTDAccelS1 {
    VTDAccelHwpt hwpt;

    bool all;               /* everything is to be invalidated */
    bool pending;           /* on VTDAccelS1Table::pending */
    struct iommu_hwpt_vtd_s1_invalidate *inv;   /* @num that are queued */
    uint32_t num;
    uint32_t room;          /* of @inv */

    struct VTDAccelS1 *same_pasid;      /* same domain and PASID */
    QLIST_ENTRY(VTDAccelS1) domain_next;
    QTAILQ_ENTRY(VTDAccelS1) pending_next;
} VTDAccelS1;

/* All S1 HWPTs of a vIOMMU, found by domain and by (domain, PASID) */
typedef struct VTDAccelS1Table {
    VTDAccelHwptTable table;
    GHashTable *domains;
    GHashTable *pasids;
    uint64_t last_key;      /* what vtd_accel_s1_look_up() has found last */
    VTDAccelS1 *last;
    struct iommu_hwpt_vtd_s1_invalidate *spare; /* the largest room, or NULL */
    QTAILQ_HEAD(, VTDAccelS1) pending;  /* with something queued */
    uint32_t num_pending;
    uint32_t fault_id;      /* for HWPTs with IOMMU_HWPT_FAULT_ID_VALID */

    /* Since the start, for query-viommu */
    uint64_t calls;             /* that had the host invalidate something */
    uint64_t refused;           /* of those, and of those that allocate one */
    uint64_t entries;           /* that the host has handled */
    uint64_t merged;            /* into others, before they were sent */
} VTDAccelS1Table;

typedef void (*VTDAccelS1Func)(VTDAccelS1 *s1, void *opaque);

/**
 * vtd_accel_s1_table_init: start with no S1 HWPT
 *
 * @t: all zero
 * @max: how many domain ids of the host it may take
 */
void vtd_accel_s1_table_init(VTDAccelS1Table *t, uint32_t max);

/* vtd_accel_s1_key: a domain and a PASID, which has 20 bits */
static inline uint64_t vtd_accel_s1_key(uint16_t domain_id, uint32_t pasid)
{
    return (uint64_t)domain_id << 20 | pasid;
}

/* vtd_accel_s1_look_up: set @t's last and last_key for a domain and PASID */
void vtd_accel_s1_look_up(VTDAccelS1Table *t, uint64_t key);

/**
 * vtd_accel_s1_first: first S1 HWPT for a domain and PASID, the others follow
 * through @same_pasid
 *
 * Returns: NULL if there is none.
 */
static inline VTDAccelS1 *vtd_accel_s1_first(VTDAccelS1Table *t,
                                             uint16_t domain_id,
                                             uint32_t pasid)
{
    uint64_t key = vtd_accel_s1_key(domain_id, pasid);

    if (key != t->last_key) {
        vtd_accel_s1_look_up(t, key);
    }
    return t->last;
}

/* vtd_accel_s1_foreach_domain: call @func for each S1 HWPT of a domain */
void vtd_accel_s1_foreach_domain(VTDAccelS1Table *t, uint16_t domain_id,
                                 VTDAccelS1Func func, void *opaque);

/* vtd_accel_s1_foreach: call @func for each S1 HWPT */
void vtd_accel_s1_foreach(VTDAccelS1Table *t, VTDAccelS1Func func,
                          void *opaque);

/**
 * vtd_accel_s1_queue: queue an invalidation
 *
 * @s1: whose translations are to be invalidated
 * @addr: input address, bits below the block are ignored
 * @am: log2 of the number of 4 KiB pages; 52 or more for everything
 * @leaf: only leaf entries changed
 *
 * Returns: true if the batch is full and has to be sent.
 */
bool vtd_accel_s1_queue(VTDAccelS1 *s1, uint64_t addr, uint8_t am, bool leaf);

/**
 * vtd_accel_s1_flush: send what is queued in one IOMMU_HWPT_INVALIDATE
 *
 * The batch is empty afterwards, also on failure.
 *
 * Returns: false with @errp set if the host did not handle all of it.
 */
bool vtd_accel_s1_flush(VTDAccelS1 *s1, Error **errp);

#endif
