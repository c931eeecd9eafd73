/*
 * Intel VT-d: bringing the host in line with the guest's PASID entries
 *
 * After a change that may concern any PASID, the present entries of the PASID
 * directory are looked at, and those that the host knows, but no others.  The
 * guest decides how many that are, so this is done in pieces.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/main-loop.h"
#include "intel_iommu_accel_bind.h"
#include "intel_iommu_accel_tables.h"
#include "intel_iommu_accel_walk.h"
#include "trace.h"

static void vtd_accel_set_walking(VTDAccelDevice *dev, bool walking)
{
    dev->s->accel->num_walking += walking - dev->walking;
    dev->walking = walking;
    dev->walk_pasid = 0;
}

void vtd_accel_start_walk(VTDAccelDevice *dev)
{
    /* Most devices have no PASIDs: there is nothing to walk for */
    if (vtd_accel_num_pasids(dev) ||
        vtd_accel_next_bound(dev, 0) != UINT32_MAX) {
        vtd_accel_set_walking(dev, true);
    }
}

void vtd_accel_stop_walk(VTDAccelDevice *dev)
{
    vtd_accel_set_walking(dev, false);
}

/* Block what is bound in a range that is blocked for @reason */
static void vtd_accel_walk_gap(VTDAccelDevice *dev, uint32_t first,
                               uint32_t last, const char *reason)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED, .reason = reason };

    while ((first = vtd_accel_next_bound(dev, first)) <= last) {
        vtd_accel_apply_pasid(dev, first++, &t);
    }
}

/* The next binding with a PASID <= @last, or NULL */
static VTDAccelBinding *vtd_accel_next_pasid(VTDAccelBinding *b, uint32_t last)
{
    IntervalTreeNode *node = interval_tree_iter_next(&b->node, 0, last);

    return node ? container_of(node, VTDAccelBinding, node) : NULL;
}

/* Is it settled, by an entry that reads the same? */
static bool vtd_accel_is_same(const VTDAccelBinding *b, uint64_t epoch,
                              uint64_t dire, const VTDPASIDEntry *pe)
{
    const VTDAccelEntry *e = &b->settled;

    return e->epoch == epoch && e->dire == dire && e->pe[0] == pe->val[0] &&
           e->pe[1] == pe->val[1] && e->pe[2] == pe->val[2];
}

/*
 * Look at one PASID table, as far as there are PASIDs.  @bound is the first one
 * from @first on that vtd_accel_next_bound() finds.
 */
static void vtd_accel_walk_table(VTDAccelDevice *dev, uint32_t first,
                                 uint32_t last, uint32_t bound,
                                 const void *dire_host, uint64_t dire)
{
    VTDPASIDEntry pe[VTD_PASID_TABLE_NUM];
    hwaddr addr = dire & VTD_PASID_TABLE_BASE_ADDR_MASK;
    const void *host = vtd_accel_locate(addr, sizeof(pe));
    VTDAccelBinding *b = vtd_accel_find_pasid(dev, first, last);

    if (!vtd_accel_read_at(dev->s, addr, host, pe[0].val,
                           ARRAY_SIZE(pe) * ARRAY_SIZE(pe[0].val))) {
        vtd_accel_walk_gap(dev, first, last,
                           "PASID table is not in guest memory");
        return;
    }

    for (uint32_t pasid = first; pasid <= last; pasid++) {
        VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };
        const VTDPASIDEntry *e = &pe[pasid - first];

        if (b && b->host.pasid == pasid) {
            const VTDAccelBinding *same = b;

            b = vtd_accel_next_pasid(b, last);
            if (vtd_accel_is_same(same, dev->s->accel->memory.epoch, dire, e)) {
                continue;
            }
        } else if (!(e->val[0] & VTD_PASID_ENTRY_P)) {
            bound = bound < pasid ? vtd_accel_next_bound(dev, pasid) : bound;
            if (bound > pasid) {
                continue;
            }
        }
        vtd_accel_target_pasid(dev, pasid, e, &t);
        vtd_accel_note_entry(&t, dev->s->accel, dire_host, dire,
                             host ? host + (pasid - first) * sizeof(*e) : NULL,
                             e);
        vtd_accel_apply_pasid(dev, pasid, &t);
    }
}

/*
 * Read the next page of the PASID directory and look at the PASID tables that
 * are present in it.  False if the main loop has to get its turn before.
 */
static bool vtd_accel_walk_chunk(VTDAccelDevice *dev, uint32_t num_pasids)
{
    VTDAccel *accel = dev->s->accel;
    uint64_t *dire = accel->pasid_dir;
    uint32_t index = dev->walk_pasid / VTD_PASID_TABLE_NUM;
    uint32_t num = MIN(DIV_ROUND_UP(num_pasids, VTD_PASID_TABLE_NUM) - index,
                       VTD_PASID_DIR_CHUNK - index % VTD_PASID_DIR_CHUNK);
    uint32_t bound = vtd_accel_next_bound(dev, dev->walk_pasid);
    hwaddr offset = index * VTD_PASID_DIR_ENTRY_SIZE;
    const void *host;
    bool ok;

    if (vtd_accel_must_yield(&accel->work)) {
        return false;
    }
    host = vtd_accel_pasid_dir(dev);
    host = host ? host + offset : NULL;

    /* Most of a large directory is empty */
    if (host && bound - dev->walk_pasid >= num * VTD_PASID_TABLE_NUM &&
        buffer_is_zero(host, num * sizeof(*dire))) {
        vtd_accel_spend(&accel->work, 1 + num / 64);
        dev->walk_pasid += num * VTD_PASID_TABLE_NUM;
        return true;
    }
    ok = vtd_accel_read_at(dev->s, dev->pasid_dir + offset, host, dire, num);

    for (uint32_t i = 0; i < num; i++) {
        uint32_t first = dev->walk_pasid;
        uint32_t last = MIN(first + VTD_PASID_TABLE_NUM, num_pasids) - 1;
        bool present = ok && dire[i] & VTD_PASID_DIR_ENTRY_P;

        if ((present || bound <= last) && vtd_accel_must_yield(&accel->work)) {
            return false;
        }
        dev->walk_pasid += VTD_PASID_TABLE_NUM;
        if (present) {
            vtd_accel_walk_table(dev, first, last, bound,
                                 host ? host + i * sizeof(*dire) : NULL,
                                 dire[i]);
        } else if (bound <= last) {
            vtd_accel_walk_gap(dev, first, last, ok ? NULL :
                               "PASID directory is not in guest memory");
        }
        if (bound <= last) {
            /* Looking it up may take as long as there are PASIDs */
            bound = vtd_accel_next_bound(dev, last + 1);
        }
    }
    return true;
}

/* Go on with the walk.  False if that is too much for this piece. */
static bool vtd_accel_walk(VTDAccelDevice *dev)
{
    uint32_t num_pasids = vtd_accel_num_pasids(dev);
    uint32_t pasid;

    while (dev->walk_pasid < num_pasids) {
        if (!vtd_accel_walk_chunk(dev, num_pasids)) {
            return false;
        }
    }

    /* Bindings past the end of the directory, which was longer once */
    while ((pasid = vtd_accel_next_bound(dev, dev->walk_pasid)) != UINT32_MAX) {
        if (vtd_accel_must_yield(&dev->s->accel->work)) {
            return false;
        }
        vtd_accel_walk_gap(dev, pasid, pasid, NULL);
        dev->walk_pasid = pasid + 1;
    }
    vtd_accel_set_walking(dev, false);
    return true;
}

bool vtd_accel_finish(VTDAccel *accel)
{
    VTDAccelDevice *dev;

    if (accel->legacy && accel->legacy->unfinished &&
        !accel->legacy->finish(accel)) {
        return false;
    }
    if (accel->num_walking) {
        QLIST_FOREACH(dev, &accel->devices, next) {
            if (dev->walking && !vtd_accel_walk(dev)) {
                return false;
            }
        }
    }
    if (!accel->bindings.num_stuck) {
        accel->status_pending = 0;
    }
    return true;
}

bool vtd_accel_do_piece(VTDAccel *accel)
{
    if (!vtd_accel_finish(accel)) {
        return false;
    }
    while (accel->s1s.num_pending > VTD_ACCEL_PENDING_MAX &&
           !vtd_accel_must_yield(&accel->work)) {
        vtd_accel_flush(accel, QTAILQ_FIRST(&accel->s1s.pending));
    }
    return !vtd_accel_must_yield(&accel->work);
}

bool vtd_accel_go_on_busy(VTDAccel *accel)
{
    if (vtd_accel_do_piece(accel)) {
        return true;
    }
    vtd_accel_end_piece(&accel->work);
    trace_vtd_accel_queue_yield(accel->s->iq_head);
    qemu_bh_schedule(accel->resume_bh);
    return false;
}
