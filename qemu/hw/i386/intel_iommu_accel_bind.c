/*
 * Intel VT-d: attaching host devices to what the guest asks for
 *
 * The host's side of each (device, PASID).  Whatever goes wrong, DMA of that
 * device with that PASID is blocked; the next invalidation for it tries again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "intel_iommu_accel_bind.h"
#include "intel_iommu_accel_prq.h"
#include "trace.h"

static VTDAccelDevice *vtd_accel_device(const VTDAccelBinding *b)
{
    return container_of(b->host.dev, VTDAccelDevice, host);
}

static const char *vtd_accel_name(const VTDAccelBinding *b)
{
    return HOST_IOMMU_DEVICE(b->host.dev->hiodi)->name;
}

static VTDAccelWork *vtd_accel_work(const VTDAccelBinding *b)
{
    return &vtd_accel_device(b)->s->accel->work;
}

static bool vtd_accel_is_rid(VTDAccelBinding *b)
{
    return b == &vtd_accel_device(b)->rid;
}

/* The PASID that the guest knows it by */
static uint32_t vtd_accel_pasid(VTDAccelBinding *b)
{
    return vtd_accel_is_rid(b) ? vtd_accel_device(b)->rid_pasid
                               : b->host.pasid;
}

static void vtd_accel_log_blocked(VTDAccelDevice *dev, uint32_t pasid,
                                  const char *why)
{
    iommufd_binding_device_log(&dev->host, "PASID 0x%x: %s; DMA blocked", pasid,
                               why);
}

/* What is not as the guest wants it may be told to management software */
static void vtd_accel_explain(VTDAccelDevice *dev, VTDAccelBinding *b,
                              uint32_t pasid, const char *why)
{
    vtd_accel_spend(&dev->s->accel->work, why ? VTD_ACCEL_IOCTL_WORK : 1);
    if (b) {
        iommufd_binding_explain(&b->host, why);
    } else {
        iommufd_binding_explain_pasid(&dev->host, pasid, why);
    }
}

/* Note why @b is to be blocked, and log it if that is news */
static void G_GNUC_PRINTF(3, 4) vtd_accel_log(VTDAccelBinding *b, bool news,
                                              const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    vtd_accel_explain(vtd_accel_device(b), b, 0, why);
    if (news) {
        vtd_accel_log_blocked(vtd_accel_device(b), vtd_accel_pasid(b), why);
    }
}

/* A reason is logged once, until there is another one */
static void vtd_accel_log_reason(VTDAccelDevice *dev, uint32_t pasid,
                                 const char **last, const char *reason)
{
    if (reason && g_strcmp0(*last, reason)) {
        vtd_accel_log_blocked(dev, pasid, reason);
    }
    *last = reason;
}

VTDAccelBinding *vtd_accel_find_pasid(VTDAccelDevice *dev, uint32_t first,
                                      uint32_t last)
{
    IntervalTreeNode *node = interval_tree_iter_first(&dev->pasids, first,
                                                      last);

    return node ? container_of(node, VTDAccelBinding, node) : NULL;
}

uint32_t vtd_accel_next_bound(VTDAccelDevice *dev, uint32_t first)
{
    VTDAccelBinding *b = vtd_accel_find_pasid(dev, first, UINT32_MAX);

    return MIN(b ? b->host.pasid : UINT32_MAX,
               iommufd_binding_next_reason(&dev->host, first));
}

static VTDAccelBinding *vtd_accel_new_pasid(VTDAccelDevice *dev,
                                            uint32_t pasid)
{
    VTDAccelBinding *b = g_new0(VTDAccelBinding, 1);

    b->host.dev = &dev->host;
    b->host.pasid = pasid;
    b->node.start = b->node.last = pasid;
    interval_tree_insert(&b->node, &dev->pasids);
    dev->num_pasids++;
    return b;
}

/* A PASID that is blocked needs no memory */
static void vtd_accel_forget_blocked(VTDAccelBinding *b)
{
    VTDAccelDevice *dev = vtd_accel_device(b);

    if (vtd_accel_is_rid(b) || b->state != VTD_ACCEL_BLOCKED || b->host.stuck) {
        return;
    }
    interval_tree_remove(&b->node, &dev->pasids);
    dev->num_pasids--;
    g_free(b);
}

/* Takes over the caller's use of @hwpt */
static void vtd_accel_set_hwpt(VTDAccelBinding *b, VTDAccelHwpt *hwpt)
{
    if (b->hwpt) {
        QLIST_REMOVE(b, next);
        vtd_accel_hwpt_put(b->hwpt);
    }
    b->hwpt = hwpt;
    b->settled.epoch = 0;
    if (hwpt) {
        QLIST_INSERT_HEAD(&hwpt->bindings, b, next);
        b->state = VTD_ACCEL_TABLES;
    }
}

/* Once it is moved, the host answers its page requests: not those of ours */
static void vtd_accel_before_move(VTDAccelBinding *b)
{
    VTDAccel *accel = vtd_accel_device(b)->s->accel;

    if (vtd_accel_prq_has_answers(accel)) {
        vtd_accel_prq_flush(accel);
    }
}

static void vtd_accel_block(VTDAccelBinding *b)
{
    if (iommufd_binding_is_blocked(&b->host)) {
        return;
    }
    vtd_accel_before_move(b);
    trace_vtd_accel_block(vtd_accel_name(b), vtd_accel_pasid(b));
    b->settled.epoch = 0;
    vtd_accel_spend(vtd_accel_work(b), VTD_ACCEL_IOCTL_WORK);
    if (iommufd_binding_block(&b->host)) {
        b->state = VTD_ACCEL_BLOCKED;
        vtd_accel_prq_forget(b);
        vtd_accel_set_hwpt(b, NULL);
    }
}

/* Block, and say why */
static void vtd_accel_abandon(VTDAccelBinding *b, const Error *err)
{
    vtd_accel_log(b, true, "%s", error_get_pretty(err));
    vtd_accel_block(b);
}

/* Ways in which attaching may fail that the caller sees to */
#define VTD_ACCEL_MAY_NOT_FIT   1   /* EINVAL: the HWPT is not for this IOMMU */
#define VTD_ACCEL_MAY_LACK_PRI  2   /* as vtd_accel_lacks_pri() says */

/* Does a refused HWPT with a fault queue have to go without? */
static bool vtd_accel_lacks_pri(int ret)
{
    /* The device cannot, a virtual function may not, the driver does not */
    return ret == -ENODEV || ret == -EINVAL || ret == -EOPNOTSUPP;
}

/* Attach, and block the requests if that fails */
static int vtd_accel_attach(VTDAccelBinding *b, uint32_t hwpt_id,
                            const char *what, unsigned may_fail)
{
    Error *err = NULL;
    int ret;

    vtd_accel_before_move(b);
    vtd_accel_spend(vtd_accel_work(b), VTD_ACCEL_IOCTL_WORK);
    ret = iommufd_binding_attach(&b->host, hwpt_id, &err);
    if (!ret) {
        vtd_accel_prq_forget(b);
    } else if (!(ret == -EINVAL && may_fail & VTD_ACCEL_MAY_NOT_FIT) &&
               !(may_fail & VTD_ACCEL_MAY_LACK_PRI &&
                 vtd_accel_lacks_pri(ret))) {
        vtd_accel_log(b, iommufd_binding_refused(&b->host, ret),
                      "cannot attach its %s: %s", what, error_get_pretty(err));
        vtd_accel_block(b);
    }
    error_free(err);
    return ret;
}

static void vtd_accel_attach_ram(VTDAccelBinding *b)
{
    uint32_t hwpt_id = b->host.dev->hiodi->hwpt_id;

    if (!vtd_accel_attach(b, hwpt_id, "stage-2 tables", 0)) {
        trace_vtd_accel_attach_s2(vtd_accel_name(b), vtd_accel_pasid(b),
                                  hwpt_id);
        b->state = VTD_ACCEL_RAM;
        vtd_accel_set_hwpt(b, NULL);
    }
}

/* Takes over the caller's reference to @hwpt, also on failure */
static int vtd_accel_attach_hwpt(VTDAccelBinding *b, VTDAccelHwpt *hwpt,
                                 const char *what, unsigned may_fail)
{
    const VTDAccelKey *key = &hwpt->key;
    int ret = vtd_accel_attach(b, hwpt->hwpt_id, what, may_fail);

    if (ret) {
        vtd_accel_hwpt_put(hwpt);
        return ret;
    }
    trace_vtd_accel_attach_tables(vtd_accel_name(b), key->pasid, key->domain_id,
                                  hwpt->hwpt_id, key->guest_ram_id);
    vtd_accel_set_hwpt(b, hwpt);
    return 0;
}

/*
 * A guest must not use up the domain ids of the host's IOMMU, which other VMs
 * need as well.
 */
static bool vtd_accel_has_room(VTDAccelBinding *b, VTDAccelHwptTable *table)
{
    if (table->num >= table->max) {
        /* The one that it has makes room, unless others use it */
        vtd_accel_block(b);
        if (b->host.stuck) {
            return false;
        }
    }
    if (table->num >= table->max) {
        vtd_accel_log(b, true, "the guest has %u first-stage tables and PASIDs "
                      "in use on the host, max-host-domains=%u allows no more: "
                      "raise it, or lower pasid-bits", table->num, table->max);
        return false;
    }
    return true;
}

/*
 * Attach tables for @key.  If that is with page requests, and the host takes
 * none of the device, nothing is logged and vtd_accel_lacks_pri() is true of
 * what is returned.
 */
static int vtd_accel_try_tables(VTDAccelBinding *b, const VTDAccelKey *key)
{
    bool requests = key->hwpt_flags & IOMMU_HWPT_FAULT_ID_VALID;
    unsigned may_fail = requests ? VTD_ACCEL_MAY_LACK_PRI : 0;
    const VTDAccelHwptOps *ops = key->table->ops;
    VTDAccelHwpt *hwpt = NULL;
    Error *err = NULL;
    int ret;

    /* Share what another device of the domain already has */
    while ((hwpt = ops->next(key->table, hwpt, key))) {
        if (hwpt->stale || memcmp(&hwpt->key, key, sizeof(*key))) {
            continue;
        }
        vtd_accel_hwpt_get(hwpt);
        ret = vtd_accel_attach_hwpt(b, hwpt, ops->what,
                                    may_fail | VTD_ACCEL_MAY_NOT_FIT);
        if (ret != -EINVAL) {
            return ret;
        }
        /* Another IOMMU unit that cannot use it: the device gets its own */
    }

    if (!vtd_accel_has_room(b, key->table)) {
        return 0;
    }
    vtd_accel_spend(vtd_accel_work(b), VTD_ACCEL_IOCTL_WORK);
    hwpt = ops->alloc(key, b->host.dev->hiodi->devid, &ret, &err);
    if (!hwpt) {
        if (!requests || !vtd_accel_lacks_pri(ret)) {
            vtd_accel_abandon(b, err);
        }
        error_free(err);
        return ret;
    }
    return vtd_accel_attach_hwpt(b, hwpt, ops->what, may_fail);
}

static void vtd_accel_attach_tables(VTDAccelBinding *b, const VTDAccelKey *key)
{
    VTDAccelDevice *dev = vtd_accel_device(b);
    VTDAccelKey plain = *key;
    bool refused = false;

    /* One that does not follow the guest makes room for the next one */
    if (b->hwpt && b->hwpt->stale) {
        vtd_accel_block(b);
        if (b->host.stuck) {
            return;
        }
    }

    plain.hwpt_flags &= ~IOMMU_HWPT_FAULT_ID_VALID;
    if (key->hwpt_flags != plain.hwpt_flags && vtd_accel_prq_start(dev)) {
        if (!vtd_accel_lacks_pri(vtd_accel_try_tables(b, key))) {
            return;
        }
        refused = true;
    }
    vtd_accel_try_tables(b, &plain);
    if (refused && b->state == VTD_ACCEL_TABLES) {
        vtd_accel_prq_give_up(dev, "the host takes none of it");
    }
}

/* Bring the host in line; what agrees already costs nothing */
static void vtd_accel_apply(VTDAccelBinding *b, const VTDAccelTarget *t)
{
    if (b->host.stuck) {
        vtd_accel_block(b);
        if (b->host.stuck) {
            return;
        }
    }
    b->settled.epoch = 0;
    switch (t->state) {
    case VTD_ACCEL_RAM:
        if (b->state != VTD_ACCEL_RAM) {
            vtd_accel_attach_ram(b);
        }
        break;
    case VTD_ACCEL_TABLES:
        if (b->state != VTD_ACCEL_TABLES || b->hwpt->stale ||
            memcmp(&b->hwpt->key, &t->key, sizeof(t->key))) {
            vtd_accel_attach_tables(b, &t->key);
        }
        break;
    case VTD_ACCEL_BLOCKED:
        vtd_accel_block(b);
        break;
    }
    /* What has failed, or has a reason to be told, is looked at each time */
    if (b->state == t->state && !b->host.stuck && !t->reason) {
        b->settled = t->entry;
    }
}

void vtd_accel_abandon_rid(VTDAccelDevice *dev, const Error *err)
{
    vtd_accel_abandon(&dev->rid, err);
}

void vtd_accel_apply_rid(VTDAccelDevice *dev, const VTDAccelTarget *t)
{
    if (t->state == VTD_ACCEL_BLOCKED) {
        vtd_accel_explain(dev, &dev->rid, 0, t->reason);
    }
    vtd_accel_apply(&dev->rid, t);
    vtd_accel_log_reason(dev, dev->rid_pasid, &dev->reason, t->reason);
}

void vtd_accel_apply_pasid(VTDAccelDevice *dev, uint32_t pasid,
                           const VTDAccelTarget *t)
{
    VTDAccelBinding *b = vtd_accel_find_pasid(dev, pasid, pasid);

    if (t->state != VTD_ACCEL_BLOCKED || t->reason) {
        vtd_accel_log_reason(dev, pasid, &dev->pasid_reason, t->reason);
    }
    if (t->state == VTD_ACCEL_BLOCKED) {
        vtd_accel_explain(dev, b, pasid, t->reason);
        if (!b) {
            return;
        }
    } else if (!b) {
        b = vtd_accel_new_pasid(dev, pasid);
    }
    vtd_accel_apply(b, t);
    vtd_accel_forget_blocked(b);
}

void vtd_accel_block_device(VTDAccelDevice *dev)
{
    VTDAccelBinding *b;

    vtd_accel_block(&dev->rid);
    iommufd_binding_forget(&dev->rid.host);
    vtd_accel_set_hwpt(&dev->rid, NULL);

    while ((b = vtd_accel_find_pasid(dev, 0, UINT32_MAX))) {
        vtd_accel_block(b);
        iommufd_binding_forget(&b->host);
        vtd_accel_set_hwpt(b, NULL);
        b->state = VTD_ACCEL_BLOCKED;
        vtd_accel_forget_blocked(b);
    }
}

void vtd_accel_unstick(VTDAccelDevice *dev)
{
    IntervalTreeNode *node, *next;

    if (dev->rid.host.stuck) {
        vtd_accel_block(&dev->rid);
    }
    for (node = interval_tree_iter_first(&dev->pasids, 0, UINT32_MAX); node;
         node = next) {
        VTDAccelBinding *b = container_of(node, VTDAccelBinding, node);

        next = interval_tree_iter_next(node, 0, UINT32_MAX);
        if (b->host.stuck) {
            vtd_accel_block(b);
            vtd_accel_forget_blocked(b);
        }
    }
}

/*
 * Give the users of @hwpt a fresh one in its place.  Those that are stuck were
 * not to have it any more.
 */
static void vtd_accel_replace(VTDAccelHwpt *hwpt)
{
    const VTDAccelHwptOps *ops = hwpt->key.table->ops;
    VTDAccelHwpt *fresh = NULL;
    VTDAccelBinding *b, *next;
    Error *err = NULL;
    int ret;

    /* Neither goes away while it is in use here */
    vtd_accel_hwpt_get(hwpt);
    hwpt->stale = true;
    QLIST_FOREACH_SAFE(b, &hwpt->bindings, next, next) {
        if (b->host.stuck) {
            vtd_accel_block(b);
            vtd_accel_forget_blocked(b);
            continue;
        }
        if (!fresh && !err) {
            vtd_accel_spend(vtd_accel_work(b), VTD_ACCEL_IOCTL_WORK);
            fresh = ops->alloc(&hwpt->key, b->host.dev->hiodi->devid, &ret,
                               &err);
        }
        if (!fresh) {
            vtd_accel_log(b, true, "cannot replace its HWPT: %s",
                          error_get_pretty(err));
            vtd_accel_block(b);
        } else {
            vtd_accel_hwpt_get(fresh);
            vtd_accel_attach_hwpt(b, fresh, "replaced first-stage tables", 0);
        }
        vtd_accel_forget_blocked(b);
    }
    error_free(err);
    if (fresh) {
        vtd_accel_hwpt_put(fresh);
    }
    vtd_accel_hwpt_put(hwpt);
}

void vtd_accel_flush(VTDAccel *accel, VTDAccelS1 *s1)
{
    Error *err = NULL;

    vtd_accel_spend(&accel->work, VTD_ACCEL_IOCTL_WORK);
    if (!vtd_accel_s1_flush(s1, &err)) {
        warn_report_once("intel-iommu: %s; replacing the HWPT",
                         error_get_pretty(err));
        error_free(err);
        vtd_accel_replace(&s1->hwpt);
    }
}

static void vtd_accel_note_requests(VTDAccelS1 *s1, void *opaque)
{
    if (s1->hwpt.key.hwpt_flags & IOMMU_HWPT_FAULT_ID_VALID) {
        vtd_accel_hwpt_get(&s1->hwpt);
        g_ptr_array_add(opaque, &s1->hwpt);
    }
}

void vtd_accel_refuse_requests(VTDAccel *accel)
{
    g_autoptr(GPtrArray) hwpts = g_ptr_array_new();

    vtd_accel_s1_foreach(&accel->s1s, vtd_accel_note_requests, hwpts);
    for (guint i = 0; i < hwpts->len; i++) {
        VTDAccelHwpt *hwpt = g_ptr_array_index(hwpts, i);

        vtd_accel_spend(&accel->work, VTD_ACCEL_IOCTL_WORK);
        vtd_accel_replace(hwpt);
        vtd_accel_hwpt_put(hwpt);
    }
}
