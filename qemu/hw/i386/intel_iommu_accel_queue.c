/*
 * Intel VT-d: the invalidation queue of a guest with host devices
 *
 * The queue is worked off in pieces.  Its descriptors are read up to the tail
 * or the end of a page at once, and page-selective invalidations, which are
 * most of them, are taken in a row.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/dma.h"
#include "intel_iommu_accel.h"
#include "intel_iommu_accel_walk.h"
#include "trace.h"

/* The type of a descriptor is in its bits 3:0 and 11:9 (VT-d 6.5.2) */
#define VTD_INV_DESC_TYPE_BITS  0xe0fULL

/* All that is not a parameter of a PASID-based IOTLB invalidation */
#define VTD_PIOTLB_KIND     (VTD_INV_DESC_PIOTLB_RSVD_VAL0 | \
                             VTD_INV_DESC_PIOTLB_G | VTD_INV_DESC_TYPE_BITS)
#define VTD_PIOTLB_PAGES    (VTD_INV_DESC_PIOTLB_PSI_IN_PASID | \
                             VTD_INV_DESC_PIOTLB)

/* The descriptor at the head, or NULL if it has to be read by itself */
static const uint64_t *vtd_accel_queue_head(IntelIOMMUState *s)
{
    VTDAccelQueue *q = &s->accel->queue;
    uint32_t words = s->iq_dw ? 4 : 2;
    uint32_t index = s->iq_head - q->first;

    if (index >= q->num) {
        hwaddr addr = s->iq + s->iq_head * words * sizeof(*q->desc);
        uint32_t end = s->iq_tail > s->iq_head ? s->iq_tail : s->iq_size;
        uint32_t page = ARRAY_SIZE(q->desc) / words;
        uint32_t num = MIN(end - s->iq_head, page - s->iq_head % page);

        q->num = 0;
        if (QLIST_EMPTY(&s->accel->devices) ||
            dma_memory_read(&address_space_memory, addr, q->desc,
                            num * words * sizeof(*q->desc), VTD_MEM_ATTRS)) {
            return NULL;
        }
        for (unsigned int i = 0; i < num * words; i++) {
            le64_to_cpus(&q->desc[i]);
        }
        q->first = s->iq_head;
        q->num = num;
        index = 0;
    }
    return q->desc + index * words;
}

bool vtd_accel_queue_read(IntelIOMMUState *s, uint64_t *val)
{
    const uint64_t *desc = s->accel ? vtd_accel_queue_head(s) : NULL;

    if (!desc) {
        return false;
    }
    memcpy(val, desc, (s->iq_dw ? 4 : 2) * sizeof(*desc));
    return true;
}

/* Has an emulated device translations that an invalidation may concern? */
static bool vtd_accel_has_emulated(IntelIOMMUState *s)
{
    QEMU_LOCK_GUARD(&s->iommu_lock);
    return !QLIST_EMPTY(&s->vtd_as_with_notifiers) ||
           g_hash_table_size(s->iotlb);
}

static bool vtd_accel_is_pages(const uint64_t *val)
{
    return (val[0] & VTD_PIOTLB_KIND) == VTD_PIOTLB_PAGES &&
           !(val[1] & VTD_INV_DESC_PIOTLB_RSVD_VAL1) && !val[2] && !val[3];
}

/* Take the page-selective invalidations at the head, which are valid */
static void vtd_accel_queue_take_pages(IntelIOMMUState *s)
{
    bool taken = false;
    const uint64_t *val;

    while (s->iq_head != s->iq_tail &&
           !vtd_accel_must_yield(&s->accel->work) &&
           s->accel->s1s.num_pending <= VTD_ACCEL_PENDING_MAX &&
           (val = vtd_accel_queue_head(s)) && vtd_accel_is_pages(val) &&
           (taken || !vtd_accel_has_emulated(s))) {
        trace_vtd_inv_qi_head(s->iq_head);
        trace_vtd_inv_desc("p-iotlb", val[1], val[0]);
        vtd_accel_process_piotlb_desc(s, val);
        vtd_accel_spend(&s->accel->work, 1);
        s->iq_last_desc_type = VTD_INV_DESC_PIOTLB;
        if (++s->iq_head == s->iq_size) {
            s->iq_head = 0;
        }
        taken = true;
    }
}

bool vtd_accel_queue_step(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;
    uint16_t head;

    if (!accel) {
        return true;
    }
    do {
        /* What was read ahead may be something else when the piece has ended */
        if (!vtd_accel_go_on(accel)) {
            accel->queue.num = 0;
            return false;
        }
        head = s->iq_head;
        if (s->iq_dw) {
            vtd_accel_queue_take_pages(s);
        }
    } while (s->iq_head != head);
    return true;
}

void vtd_accel_queue_end(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (accel) {
        vtd_accel_end_piece(&accel->work);
        vtd_accel_finish(accel);
        vtd_accel_sync(s);
        accel->queue.num = 0;
        /* The next piece has its whole budget */
        vtd_accel_end_piece(&accel->work);
    }
}
