/*
 * Intel VT-d: guest memory that is read and written in place
 *
 * Concepts:
 *
 * window  a range of guest memory, and where it is in QEMU's
 * epoch   what is remembered of guest memory, windows included, holds as long
 *         as the epoch is the same.  It is never 0
 *
 * All of this is protected by the BQL, under which guest memory is moved, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_MEMORY_H
#define HW_I386_INTEL_IOMMU_ACCEL_MEMORY_H

#include "exec/memory.h"

typedef struct VTDAccelWindow {
    hwaddr addr;
    hwaddr len;
    const void *host;       /* NULL: not all of it is memory in one place */
    uint64_t epoch;
} VTDAccelWindow;

typedef struct VTDAccelMemory {
    MemoryListener listener;
    bool changing;          /* guest memory is being moved */
    uint64_t epoch;
    MemoryRegionCache status; /* page that a wait descriptor has written to */
    hwaddr status_page;
    uint64_t status_epoch;  /* of @status, 0 if there is none */
} VTDAccelMemory;

/* vtd_accel_memory_init: start to follow where guest memory is */
void vtd_accel_memory_init(VTDAccelMemory *m);

/* vtd_accel_new_epoch: what is remembered does not hold any more */
static inline void vtd_accel_new_epoch(VTDAccelMemory *m)
{
    m->epoch++;
}

/**
 * vtd_accel_locate: where guest memory can be read in place
 *
 * @addr: guest physical address
 * @len: bytes
 *
 * Returns: the address in QEMU's memory, which holds for this epoch; or NULL if
 *          not all of it is memory in one place.
 */
const void *vtd_accel_locate(hwaddr addr, hwaddr len);

/* vtd_accel_window: the same, but look it up once in an epoch only */
static inline const void *vtd_accel_window(const VTDAccelMemory *m,
                                           VTDAccelWindow *w, hwaddr addr,
                                           hwaddr len)
{
    if (w->epoch != m->epoch || w->addr != addr || w->len != len) {
        w->addr = addr;
        w->len = len;
        w->epoch = m->epoch;
        w->host = vtd_accel_locate(addr, len);
    }
    return w->host;
}

/**
 * vtd_accel_read_in_place: copy quadwords of guest memory
 *
 * The guest may write them at the same time: they are read just once.
 *
 * @host: where they are
 * @val: set to @num quadwords, in the host's byte order
 */
void vtd_accel_read_in_place(const void *host, uint64_t *val,
                             unsigned int num);

/**
 * vtd_accel_locate_status: set @m's status, status_page and status_epoch
 *
 * Its pointer is NULL, or its length less than a page, if not all of the page
 * can be written in place.
 *
 * @page: guest physical address of a page of 4 KiB
 */
void vtd_accel_locate_status(VTDAccelMemory *m, hwaddr page);

#endif
