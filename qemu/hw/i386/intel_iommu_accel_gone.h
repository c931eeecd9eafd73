/*
 * Intel VT-d: guest memory that goes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_GONE_H
#define HW_I386_INTEL_IOMMU_ACCEL_GONE_H

#include "exec/memory.h"

/**
 * VTDAccelGoneFunc: some memory is not there any more, or is another one now
 *
 * @opaque: as given to vtd_accel_gone_init()
 * @gpa: guest physical address of its first byte
 * @last: and of its last one
 */
typedef void VTDAccelGoneFunc(void *opaque, uint64_t gpa, uint64_t last);

typedef struct VTDAccelGone {
    MemoryListener listener;
    GArray *taken;              /* what the memory map may have lost */
    QLIST_HEAD(, VTDAccelDiscard) discards; /* of memory that goes in parts */
    VTDAccelGoneFunc *func;
    void *opaque;
} VTDAccelGone;

/**
 * vtd_accel_gone_init: start to follow which guest memory goes
 *
 * Memory that is taken away and given back within one change of the memory map
 * has not gone.  Of virtio-mem, that which is unplugged goes.
 *
 * @g: all zero
 * @func: called with the BQL held, when the memory map is as it is then
 */
void vtd_accel_gone_init(VTDAccelGone *g, VTDAccelGoneFunc *func, void *opaque);

#endif
