/*
 * Intel VT-d: HWPTs that the vIOMMU allocates for host devices
 *
 * Concepts:
 *
 * key    the guest's table and all that decides what a HWPT for it is like
 * table  all HWPTs of one kind of a vIOMMU; its ops are the kind's
 *
 * Devices that agree in the key share a HWPT.  It is counted how many use it,
 * and the last one to put it frees it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_HWPT_H
#define HW_I386_INTEL_IOMMU_ACCEL_HWPT_H

#include <linux/iommufd.h>
#include "system/iommufd.h"
#include "qemu/queue.h"

/* An address mask (log2 of pages) from here on means every address */
#define VTD_ACCEL_AM_MAX        52

typedef struct VTDAccelHwpt VTDAccelHwpt;
typedef struct VTDAccelHwptTable VTDAccelHwptTable;

/* Compared as memory: it has no padding */
typedef struct VTDAccelKey {
    VTDAccelHwptTable *table;
    IOMMUFDBackend *iommufd;
    uint64_t pgtbl_addr;    /* GPA of the guest's table */
    uint32_t levels;        /* of that table */
    uint32_t domain_id;
    uint32_t pasid;
    uint32_t guest_ram_id;  /* HWPT (first stage) or IOAS of guest memory */
    uint32_t hwpt_flags;    /* IOMMU_HWPT_ALLOC_* */
    uint32_t s1_flags;      /* IOMMU_VTD_S1_* */
} VTDAccelKey;

typedef struct VTDAccelHwptOps {
    const char *what;       /* in "cannot attach its ..." */

    /*
     * The next HWPT after @prev that may have @key, or the first if @prev is
     * NULL.  The caller compares the keys.  NULL if there is no more.
     */
    VTDAccelHwpt *(*next)(VTDAccelHwptTable *table, VTDAccelHwpt *prev,
                          const VTDAccelKey *key);

    /*
     * Allocate a HWPT with one user.  @dev_id is the iommufd id of the first
     * device that will use it.  NULL with @errp set on failure, and *@ret to
     * the host's negative errno, or to 0 if @hwpt_flags cannot be the reason.
     */
    VTDAccelHwpt *(*alloc)(const VTDAccelKey *key, uint32_t dev_id, int *ret,
                           Error **errp);

    void (*free)(VTDAccelHwpt *hwpt);

    /* For people: what @hwpt translates by */
    void (*describe)(const VTDAccelHwpt *hwpt, GString *str);
} VTDAccelHwptOps;

struct VTDAccelHwptTable {
    const VTDAccelHwptOps *ops;
    uint32_t num;           /* HWPTs that take a domain id of the host IOMMU */
    uint32_t max;           /* of @num */
};

struct VTDAccelHwpt {
    VTDAccelKey key;
    uint32_t hwpt_id;
    uint32_t users;
    bool stale;             /* does not follow the guest any more */
    QLIST_HEAD(, VTDAccelBinding) bindings; /* that are attached to it */
};

/* vtd_accel_hwpt_get: one more user */
static inline void vtd_accel_hwpt_get(VTDAccelHwpt *hwpt)
{
    hwpt->users++;
}

/**
 * vtd_accel_hwpt_put: drop one user, the last one frees the HWPT
 *
 * No device of the dropped user may be attached to it any more.
 */
static inline void vtd_accel_hwpt_put(VTDAccelHwpt *hwpt)
{
    if (!--hwpt->users) {
        hwpt->key.table->ops->free(hwpt);
    }
}

#endif
