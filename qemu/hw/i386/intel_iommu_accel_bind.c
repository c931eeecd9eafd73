/*
 * Intel VT-d: attaching host devices to what the guest asks for
 *
 * The host's side of each (device, PASID).  Whatever goes wrong, its DMA is
 * blocked; the next invalidation that concerns it tries again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "intel_iommu_accel_internal.h"
#include "trace.h"

#define vtd_accel_log(b, fmt, ...)                                       \
    iommufd_binding_device_log((b)->host.dev, "PASID 0x%x: " fmt,        \
                               vtd_accel_pasid(b), ## __VA_ARGS__)

const char *vtd_accel_name(VTDAccelDevice *dev)
{
    return iommufd_binding_device_name(&dev->host);
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

/* The reason why the guest finds its requests blocked is told once */
static void vtd_accel_log_reason(VTDAccelDevice *dev, uint32_t pasid,
                                 const char **last, const char *reason)
{
    if (reason && *last != reason) {
        iommufd_binding_device_log(&dev->host, "PASID 0x%x: %s; DMA blocked",
                                   pasid, reason);
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

static void vtd_accel_drop_hwpt(VTDAccelBinding *b)
{
    VTDAccel *accel = vtd_accel_device(b)->s->accel;

    if (b->s1) {
        QLIST_REMOVE(b, s1_next);
        vtd_accel_s1_put(&accel->s1s, b->s1);
        b->s1 = NULL;
    }
    if (b->shadow) {
        vtd_accel_legacy_put(&accel->shadows, b->shadow);
        b->shadow = NULL;
    }
}

static void vtd_accel_block(VTDAccelBinding *b)
{
    VTDAccelDevice *dev = vtd_accel_device(b);

    if (iommufd_binding_is_blocked(&b->host)) {
        return;
    }
    trace_vtd_accel_block(vtd_accel_name(dev), vtd_accel_pasid(b));
    dev->s->accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    if (iommufd_binding_block(&b->host)) {
        b->state = VTD_ACCEL_BLOCKED;
        vtd_accel_drop_hwpt(b);
    }
}

/* Attach, and block the requests if that fails */
static int vtd_accel_attach(VTDAccelBinding *b, uint32_t hwpt_id,
                            const char *what, bool may_fail)
{
    VTDAccelDevice *dev = vtd_accel_device(b);
    Error *err = NULL;
    int ret;

    dev->s->accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    ret = iommufd_binding_attach(&b->host, hwpt_id, &err);
    if (ret && !(may_fail && ret == -EINVAL)) {
        if (iommufd_binding_refused(&b->host, ret)) {
            vtd_accel_log(b, "cannot attach its %s: %s; DMA blocked", what,
                          error_get_pretty(err));
        }
        vtd_accel_block(b);
    }
    error_free(err);
    return ret;
}

static void vtd_accel_attach_s2(VTDAccelBinding *b)
{
    uint32_t s2_hwpt_id = b->host.dev->hiodi->hwpt_id;

    if (!vtd_accel_attach(b, s2_hwpt_id, "stage-2 tables", false)) {
        trace_vtd_accel_attach_s2(iommufd_binding_device_name(b->host.dev),
                                  vtd_accel_pasid(b), s2_hwpt_id);
        b->state = VTD_ACCEL_S2;
        vtd_accel_drop_hwpt(b);
    }
}

/* Takes over the caller's use of @s1 */
static void vtd_accel_attached_s1(VTDAccelBinding *b, VTDAccelS1 *s1)
{
    trace_vtd_accel_attach_s1(iommufd_binding_device_name(b->host.dev),
                              s1->key.pasid, s1->key.domain_id, s1->hwpt_id,
                              s1->key.s2_hwpt_id);
    vtd_accel_drop_hwpt(b);
    b->s1 = s1;
    b->state = VTD_ACCEL_S1;
    QLIST_INSERT_HEAD(&s1->bindings, b, s1_next);
}

/*
 * A guest must not use up the domain ids of the host's IOMMU, which other VMs
 * need as well.
 */
static bool vtd_accel_may_have_s1(VTDAccelBinding *b)
{
    IntelIOMMUState *s = vtd_accel_device(b)->s;
    VTDAccelS1Table *s1s = &s->accel->s1s;

    if (s1s->num >= s->max_host_domains) {
        /* The one that it has makes room, unless others use it */
        vtd_accel_block(b);
    }
    if (s1s->num >= s->max_host_domains) {
        vtd_accel_log(b, "the guest has %u first-stage tables and PASIDs in "
                      "use on the host, max-host-domains=%u allows no more: "
                      "raise it, or lower pasid-bits; DMA blocked", s1s->num,
                      s->max_host_domains);
        return false;
    }
    return true;
}

static void vtd_accel_attach_s1(VTDAccelBinding *b, const VTDAccelS1Key *key)
{
    VTDAccelDevice *dev = vtd_accel_device(b);
    VTDAccelS1Table *s1s = &dev->s->accel->s1s;
    Error *err = NULL;
    VTDAccelS1 *s1;

    /* Share what another device of the domain already has */
    for (s1 = vtd_accel_s1_first(s1s, key->domain_id, key->pasid); s1;
         s1 = s1->same_pasid) {
        int ret;

        if (s1->stale || memcmp(&s1->key, key, sizeof(*key))) {
            continue;
        }
        ret = vtd_accel_attach(b, s1->hwpt_id, "first-stage tables", true);
        if (!ret) {
            s1->users++;
            vtd_accel_attached_s1(b, s1);
            return;
        }
        if (ret != -EINVAL) {
            return;
        }
        /* Another IOMMU unit that cannot use it: the device gets its own */
    }

    if (!vtd_accel_may_have_s1(b)) {
        return;
    }
    dev->s->accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    s1 = vtd_accel_s1_new(s1s, key, dev->host.hiodi->devid, &err);
    if (!s1) {
        vtd_accel_log(b, "host refuses first-stage table at 0x%" PRIx64
                      ": %s; DMA blocked", key->pgtbl_addr,
                      error_get_pretty(err));
        error_free(err);
        vtd_accel_block(b);
        return;
    }
    if (vtd_accel_attach(b, s1->hwpt_id, "first-stage tables", false)) {
        vtd_accel_s1_put(s1s, s1);
        return;
    }
    vtd_accel_attached_s1(b, s1);
}

/* Takes over the caller's use of @shadow */
static void vtd_accel_attached_shadow(VTDAccelBinding *b,
                                      VTDAccelShadow *shadow)
{
    trace_vtd_accel_attach_shadow(iommufd_binding_device_name(b->host.dev),
                                  shadow->key.domain_id, shadow->hwpt_id);
    vtd_accel_drop_hwpt(b);
    b->shadow = shadow;
    b->state = VTD_ACCEL_SHADOW;
}

static void vtd_accel_no_shadow(VTDAccelBinding *b, Error *err)
{
    vtd_accel_log(b, "cannot shadow second-level tables: %s; DMA blocked",
                  error_get_pretty(err));
    vtd_accel_block(b);
}

static void vtd_accel_attach_shadow(VTDAccelBinding *b,
                                    const VTDAccelLegacyKey *key)
{
    VTDAccelDevice *dev = vtd_accel_device(b);
    VTDAccelShadowTable *shadows = &dev->s->accel->shadows;
    VTDAccelShadow *shadow = NULL;
    Error *err = NULL;

    /* A copy that failed makes room for the next one */
    if (b->shadow && b->shadow->failure) {
        vtd_accel_block(b);
    }

    /* Share what another device of the domain already has, as above */
    while ((shadow = vtd_accel_legacy_next(shadows, shadow, key))) {
        int ret = vtd_accel_attach(b, shadow->hwpt_id, "shadow tables", true);

        if (!ret) {
            shadow->users++;
            vtd_accel_attached_shadow(b, shadow);
        }
        if (ret != -EINVAL) {
            return;
        }
    }

    shadow = vtd_accel_legacy_new(shadows, key, dev->host.hiodi->devid, &err);
    if (!shadow) {
        vtd_accel_no_shadow(b, err);
        error_free(err);
        return;
    }
    if (vtd_accel_attach(b, shadow->hwpt_id, "shadow tables", false)) {
        vtd_accel_legacy_put(shadows, shadow);
        return;
    }
    vtd_accel_attached_shadow(b, shadow);
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
    switch (t->state) {
    case VTD_ACCEL_S2:
        if (b->state != VTD_ACCEL_S2) {
            vtd_accel_attach_s2(b);
        }
        break;
    case VTD_ACCEL_S1:
        if (b->state != VTD_ACCEL_S1 ||
            memcmp(&b->s1->key, &t->key, sizeof(t->key))) {
            vtd_accel_attach_s1(b, &t->key);
        }
        break;
    case VTD_ACCEL_SHADOW:
        if (b->state != VTD_ACCEL_SHADOW || b->shadow->failure ||
            memcmp(&b->shadow->key, &t->legacy, sizeof(t->legacy))) {
            vtd_accel_attach_shadow(b, &t->legacy);
        }
        break;
    case VTD_ACCEL_BLOCKED:
        vtd_accel_block(b);
        break;
    }
}

void vtd_accel_abandon_shadow(VTDAccelDevice *dev)
{
    vtd_accel_no_shadow(&dev->rid, dev->rid.shadow->failure);
}

void vtd_accel_apply_rid(VTDAccelDevice *dev, const VTDAccelTarget *t)
{
    vtd_accel_apply(&dev->rid, t);
    vtd_accel_log_reason(dev, dev->rid_pasid, &dev->reason, t->reason);
}

void vtd_accel_apply_pasid(VTDAccelDevice *dev, uint32_t pasid,
                           VTDAccelBinding *b, const VTDAccelTarget *t)
{
    if (t->state != VTD_ACCEL_BLOCKED || t->reason) {
        vtd_accel_log_reason(dev, pasid, &dev->pasid_reason, t->reason);
    }
    if (!b) {
        if (t->state == VTD_ACCEL_BLOCKED) {
            return;
        }
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
    vtd_accel_drop_hwpt(&dev->rid);

    while ((b = vtd_accel_find_pasid(dev, 0, UINT32_MAX))) {
        vtd_accel_block(b);
        iommufd_binding_forget(&b->host);
        vtd_accel_drop_hwpt(b);
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

/* Give the users of @s1 a fresh HWPT in place of one that may be stale */
static void vtd_accel_replace_s1(VTDAccelS1Table *s1s, VTDAccelS1 *s1)
{
    VTDAccelS1 *fresh = NULL;
    VTDAccelBinding *b, *next;
    Error *err = NULL;

    s1->users++;
    s1->stale = true;
    QLIST_FOREACH_SAFE(b, &s1->bindings, s1_next, next) {
        if (!fresh && !err) {
            fresh = vtd_accel_s1_new(s1s, &s1->key, b->host.dev->hiodi->devid,
                                     &err);
        }
        if (!fresh) {
            vtd_accel_log(b, "cannot replace the HWPT that the host refuses "
                          "to invalidate: %s; DMA blocked",
                          error_get_pretty(err));
            vtd_accel_block(b);
        } else if (!vtd_accel_attach(b, fresh->hwpt_id,
                                     "replaced first-stage tables", false)) {
            fresh->users++;
            vtd_accel_attached_s1(b, fresh);
        }
        vtd_accel_forget_blocked(b);
    }
    error_free(err);
    if (fresh) {
        vtd_accel_s1_put(s1s, fresh);
    }
    vtd_accel_s1_put(s1s, s1);
}

void vtd_accel_flush(VTDAccel *accel, VTDAccelS1 *s1)
{
    Error *err = NULL;

    accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    if (!vtd_accel_s1_flush(&accel->s1s, s1, &err)) {
        warn_report_once("intel-iommu: %s; replacing the HWPT",
                         error_get_pretty(err));
        error_free(err);
        vtd_accel_replace_s1(&accel->s1s, s1);
    }
}
