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

/* Read descriptors up to the tail or the end of a page of the queue */
static bool vtd_accel_queue_fill(IntelIOMMUState *s, uint32_t words)
{
    VTDAccelQueue *q = &s->accel->queue;
    uint32_t end = s->iq_tail > s->iq_head ? s->iq_tail : s->iq_size;
    uint32_t page = ARRAY_SIZE(q->desc) / words;
    uint32_t num = MIN(end - s->iq_head, page - s->iq_head % page);
    uint32_t size = words * sizeof(*q->desc);
    const void *host;

    q->num = 0;
    /* A head beyond the queue can only come from a migration stream */
    if (QLIST_EMPTY(&s->accel->devices) || s->iq_head >= s->iq_size) {
        return false;
    }
    host = vtd_accel_window(&s->accel->memory, &q->window, s->iq,
                            s->iq_size * size);
    if (!host) {
        return false;
    }
    vtd_accel_read_in_place(host + s->iq_head * size, q->desc, num * words);
    q->first = s->iq_head;
    q->num = num;
    return true;
}

/* The descriptor at the head, or NULL if it has to be read by itself */
static inline const uint64_t *vtd_accel_queue_head(IntelIOMMUState *s)
{
    VTDAccelQueue *q = &s->accel->queue;
    uint32_t words = s->iq_dw ? 4 : 2;

    if ((uint32_t)(s->iq_head - q->first) >= q->num &&
        !vtd_accel_queue_fill(s, words)) {
        return NULL;
    }
    return q->desc + (s->iq_head - q->first) * words;
}

bool vtd_accel_queue_read(IntelIOMMUState *s, uint64_t *val)
{
    const uint64_t *desc = s->accel ? vtd_accel_queue_head(s) : NULL;

    if (!desc) {
        return false;
    }
    val[0] = desc[0];
    val[1] = desc[1];
    if (s->iq_dw) {
        val[2] = desc[2];
        val[3] = desc[3];
    }
    return true;
}

void vtd_accel_emulated_dma(IntelIOMMUState *s)
{
    if (s->accel && !qatomic_read(&s->accel->emulated_dma)) {
        qatomic_set(&s->accel->emulated_dma, true);
        /* Pairs with vtd_accel_has_emulated(): the tables are read later */
        smp_mb();
    }
}

/* Has an emulated device translations that an invalidation may concern? */
static bool vtd_accel_has_emulated(IntelIOMMUState *s)
{
    if (!QLIST_EMPTY(&s->vtd_as_with_notifiers)) {
        return true;
    }
    /* A device that is not seen here yet sees what the guest has changed */
    smp_mb();
    if (!qatomic_read(&s->accel->emulated_dma)) {
        return false;
    }
    QEMU_LOCK_GUARD(&s->iommu_lock);
    return g_hash_table_size(s->iotlb);
}

static bool vtd_accel_is_pages(const uint64_t *val)
{
    return (val[0] & VTD_PIOTLB_KIND) == VTD_PIOTLB_PAGES &&
           !((val[1] & VTD_INV_DESC_PIOTLB_RSVD_VAL1) | val[2] | val[3]);
}

/*
 * Take the page-selective invalidations at the head, which are valid.  True if
 * something has to be done before the next one.
 */
static bool vtd_accel_queue_take_pages(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;
    const uint64_t *val;
    bool taken = false;

    while (s->iq_head != s->iq_tail && (val = vtd_accel_queue_head(s)) &&
           vtd_accel_is_pages(val) && (taken || !vtd_accel_has_emulated(s))) {
        trace_vtd_inv_qi_head(s->iq_head);
        trace_vtd_inv_desc("p-iotlb", val[1], val[0]);
        vtd_accel_process_piotlb_desc(s, val);
        vtd_accel_spend(&accel->work, 1);
        s->iq_last_desc_type = VTD_INV_DESC_PIOTLB;
        if (++s->iq_head == s->iq_size) {
            s->iq_head = 0;
        }
        taken = true;
        if (vtd_accel_must_yield(&accel->work) ||
            accel->s1s.num_pending > VTD_ACCEL_PENDING_MAX) {
            return true;
        }
    }
    return false;
}

bool vtd_accel_queue_step(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (!accel) {
        return true;
    }
    do {
        /* What was read ahead may be something else when the piece has ended */
        if (!vtd_accel_go_on(accel)) {
            accel->queue.num = 0;
            return false;
        }
    } while (s->iq_dw && vtd_accel_queue_take_pages(s));
    return true;
}

bool vtd_accel_write_status(IntelIOMMUState *s, hwaddr addr, uint32_t data)
{
    hwaddr offset = addr & ~VTD_PAGE_MASK_4K;
    VTDAccelMemory *m;

    if (!s->accel) {
        return false;
    }
    m = &s->accel->memory;
    if (m->status_epoch != m->epoch || m->status_page != addr - offset) {
        vtd_accel_locate_status(m, addr - offset);
    }
    if (!m->status.ptr || m->status.len < VTD_PAGE_SIZE ||
        offset > VTD_PAGE_SIZE - sizeof(data)) {
        return false;
    }
    /* All that it stands for comes before it */
    smp_wmb();
    stl_he_p(m->status.ptr + offset, data);
    address_space_cache_invalidate(&m->status, offset, sizeof(data));
    return true;
}

void vtd_accel_queue_end(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (accel) {
        vtd_accel_end_piece(&accel->work);
        if (!vtd_accel_is_idle(accel)) {
            vtd_accel_finish(accel);
        }
        /* One branch for what is rare */
        if (accel->s1s.num_pending | accel->bindings.num_stuck |
            accel->prq.num_answers) {
            vtd_accel_sync(s);
        }
        accel->queue.num = 0;
        /* The next piece has its whole budget */
        vtd_accel_end_piece(&accel->work);
    }
}
