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

/*
 * A device in reset is tried again after this time; one that could not be
 * blocked waits twice as long each time
 */
#define VTD_ACCEL_RETRY_MS      50
#define VTD_ACCEL_RETRY_MS_MAX  3200

/* Messages that one device may cause: so many per slice of time */
#define VTD_ACCEL_LOG_SLICE_NS  (5 * NANOSECONDS_PER_SECOND)
#define VTD_ACCEL_LOG_BURST     10

const char *vtd_accel_name(VTDAccelDevice *dev)
{
    return HOST_IOMMU_DEVICE(dev->idev)->name;
}

static void G_GNUC_PRINTF(3, 4) vtd_accel_log(VTDAccelDevice *dev,
                                              uint32_t pasid,
                                              const char *fmt, ...)
{
    g_autofree char *msg = NULL;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    va_list ap;

    if (!dev->logged || now - dev->log_start > VTD_ACCEL_LOG_SLICE_NS) {
        dev->log_start = now;
        dev->logged = 0;
    }
    if (dev->logged++ >= VTD_ACCEL_LOG_BURST) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_report("intel-iommu: %s, PASID 0x%x: %s", vtd_accel_name(dev), pasid,
                 msg);
}

static bool vtd_accel_is_rid(VTDAccelBinding *b)
{
    return b == &b->dev->rid;
}

/* The reason why the guest finds its requests blocked is told once */
static void vtd_accel_log_reason(VTDAccelDevice *dev, uint32_t pasid,
                                 const char **last, const char *reason)
{
    if (reason && *last != reason) {
        vtd_accel_log(dev, pasid, "%s; DMA blocked", reason);
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

    b->dev = dev;
    b->pasid = pasid;
    b->node.start = b->node.last = pasid;
    interval_tree_insert(&b->node, &dev->pasids);
    dev->num_pasids++;
    return b;
}

/* A PASID that is blocked needs no memory */
static void vtd_accel_forget_blocked(VTDAccelBinding *b)
{
    VTDAccelDevice *dev = b->dev;

    if (vtd_accel_is_rid(b) || b->state != VTD_ACCEL_BLOCKED || b->stuck) {
        return;
    }
    interval_tree_remove(&b->node, &dev->pasids);
    dev->num_pasids--;
    g_free(b);
}

static void vtd_accel_drop_hwpt(VTDAccelBinding *b)
{
    if (b->s1) {
        QLIST_REMOVE(b, s1_next);
        vtd_accel_s1_put(&b->dev->s->accel->s1s, b->s1);
        b->s1 = NULL;
    }
    if (b->shadow) {
        vtd_accel_legacy_put(&b->dev->s->accel->shadows, b->shadow);
        b->shadow = NULL;
    }
}

static void vtd_accel_retry_in(VTDAccelDevice *dev, uint32_t ms)
{
    timer_mod(dev->retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
}

/* Nobody else may ever ask for a device that could not be blocked */
static void vtd_accel_retry_stuck(VTDAccelDevice *dev)
{
    if (!timer_pending(dev->retry)) {
        dev->retry_ms = MIN(MAX(dev->retry_ms * 2, VTD_ACCEL_RETRY_MS),
                            VTD_ACCEL_RETRY_MS_MAX);
        vtd_accel_retry_in(dev, dev->retry_ms);
    }
}

static void vtd_accel_set_stuck(VTDAccelBinding *b, bool stuck)
{
    VTDAccelDevice *dev = b->dev;

    dev->s->accel->stuck += stuck - b->stuck;
    b->stuck = stuck;
    if (stuck) {
        vtd_accel_retry_stuck(dev);
    } else if (vtd_accel_is_rid(b)) {
        dev->retry_ms = 0;
    }
}

static int vtd_accel_host_attach(VTDAccelBinding *b, uint32_t hwpt_id,
                                 Error **errp)
{
    HostIOMMUDeviceIOMMUFD *idev = b->dev->idev;

    b->dev->s->accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    if (vtd_accel_is_rid(b)) {
        return host_iommu_device_iommufd_attach_hwpt(idev, hwpt_id, errp);
    }
    return host_iommu_device_iommufd_attach_pasid_hwpt(idev, b->pasid, hwpt_id,
                                                       errp);
}

static int vtd_accel_host_detach(VTDAccelBinding *b, Error **errp)
{
    HostIOMMUDeviceIOMMUFD *idev = b->dev->idev;

    b->dev->s->accel->work_left -= VTD_ACCEL_IOCTL_WORK;
    if (vtd_accel_is_rid(b)) {
        return host_iommu_device_iommufd_detach_hwpt(idev, errp);
    }
    return host_iommu_device_iommufd_detach_pasid_hwpt(idev, b->pasid, errp);
}

static void vtd_accel_block(VTDAccelBinding *b)
{
    Error *err = NULL;

    if (b->state == VTD_ACCEL_BLOCKED && !b->stuck) {
        return;
    }

    trace_vtd_accel_block(vtd_accel_name(b->dev), b->pasid);
    if (vtd_accel_host_detach(b, &err)) {
        if (!b->stuck) {
            vtd_accel_log(b->dev, b->pasid, "cannot block its DMA: %s; trying "
                          "again until it is blocked", error_get_pretty(err));
        }
        error_free(err);
        vtd_accel_set_stuck(b, true);
        return;
    }
    vtd_accel_set_stuck(b, false);
    b->state = VTD_ACCEL_BLOCKED;
    vtd_accel_drop_hwpt(b);
}

/*
 * Attach, and block the requests if that fails: after a failure the hardware
 * may be blocked while the host's books still show the previous HWPT, so that
 * attaching that one again would do nothing.
 */
static int vtd_accel_attach(VTDAccelBinding *b, uint32_t hwpt_id,
                            const char *what, bool may_fail)
{
    VTDAccelDevice *dev = b->dev;
    Error *err = NULL;
    int ret = vtd_accel_host_attach(b, hwpt_id, &err);

    if (!ret) {
        vtd_accel_set_stuck(b, false);
        dev->busy = false;
        return 0;
    }

    if (!may_fail || ret != -EINVAL) {
        if ((ret != -EBUSY || !dev->busy) && !b->stuck) {
            vtd_accel_log(dev, b->pasid, "cannot attach its %s: %s; DMA "
                          "blocked", what, error_get_pretty(err));
        }
        vtd_accel_block(b);
        dev->busy = ret == -EBUSY;
        if (dev->busy) {
            vtd_accel_retry_in(dev, VTD_ACCEL_RETRY_MS);
        }
    }
    error_free(err);
    return ret;
}

static void vtd_accel_attach_s2(VTDAccelBinding *b)
{
    HostIOMMUDeviceIOMMUFD *idev = b->dev->idev;

    if (!vtd_accel_attach(b, idev->hwpt_id, "stage-2 tables", false)) {
        trace_vtd_accel_attach_s2(vtd_accel_name(b->dev), b->pasid,
                                  idev->hwpt_id);
        b->state = VTD_ACCEL_S2;
        vtd_accel_drop_hwpt(b);
    }
}

/* Takes over the caller's use of @s1 */
static void vtd_accel_attached_s1(VTDAccelBinding *b, VTDAccelS1 *s1)
{
    trace_vtd_accel_attach_s1(vtd_accel_name(b->dev), s1->key.pasid,
                              s1->key.domain_id, s1->hwpt_id,
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
    IntelIOMMUState *s = b->dev->s;
    VTDAccelS1Table *s1s = &s->accel->s1s;

    if (s1s->num >= s->max_host_domains) {
        /* The one that it has makes room, unless others use it */
        vtd_accel_block(b);
    }
    if (s1s->num >= s->max_host_domains) {
        vtd_accel_log(b->dev, b->pasid, "the guest has %u first-stage tables "
                      "and PASIDs in use on the host, max-host-domains=%u "
                      "allows no more: raise it, or lower pasid-bits; DMA "
                      "blocked", s1s->num, s->max_host_domains);
        return false;
    }
    return true;
}

static void vtd_accel_attach_s1(VTDAccelBinding *b, const VTDAccelS1Key *key)
{
    VTDAccelDevice *dev = b->dev;
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
    s1 = vtd_accel_s1_new(s1s, key, dev->idev->devid, &err);
    if (!s1) {
        vtd_accel_log(dev, b->pasid, "host refuses first-stage table at 0x%"
                      PRIx64 ": %s; DMA blocked", key->pgtbl_addr,
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
    trace_vtd_accel_attach_shadow(vtd_accel_name(b->dev), shadow->key.domain_id,
                                  shadow->hwpt_id);
    vtd_accel_drop_hwpt(b);
    b->shadow = shadow;
    b->state = VTD_ACCEL_SHADOW;
}

static void vtd_accel_no_shadow(VTDAccelBinding *b, Error *err)
{
    vtd_accel_log(b->dev, b->pasid, "cannot shadow second-level tables: %s; "
                  "DMA blocked", error_get_pretty(err));
    vtd_accel_block(b);
}

static void vtd_accel_attach_shadow(VTDAccelBinding *b,
                                    const VTDAccelLegacyKey *key)
{
    VTDAccelDevice *dev = b->dev;
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

    shadow = vtd_accel_legacy_new(shadows, key, dev->idev->devid, &err);
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
    switch (t->state) {
    case VTD_ACCEL_S2:
        if (b->state != VTD_ACCEL_S2 || b->stuck) {
            vtd_accel_attach_s2(b);
        }
        break;
    case VTD_ACCEL_S1:
        if (b->state != VTD_ACCEL_S1 || b->stuck ||
            memcmp(&b->s1->key, &t->key, sizeof(t->key))) {
            vtd_accel_attach_s1(b, &t->key);
        }
        break;
    case VTD_ACCEL_SHADOW:
        if (b->state != VTD_ACCEL_SHADOW || b->stuck || b->shadow->failure ||
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
    dev->rid.pasid = dev->rid_pasid;
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
    vtd_accel_set_stuck(&dev->rid, false);
    vtd_accel_drop_hwpt(&dev->rid);

    while ((b = vtd_accel_find_pasid(dev, 0, UINT32_MAX))) {
        vtd_accel_block(b);
        vtd_accel_set_stuck(b, false);
        vtd_accel_drop_hwpt(b);
        b->state = VTD_ACCEL_BLOCKED;
        vtd_accel_forget_blocked(b);
    }
}

void vtd_accel_unstick(VTDAccelDevice *dev)
{
    IntervalTreeNode *node, *next;

    if (dev->rid.stuck) {
        vtd_accel_block(&dev->rid);
    }
    for (node = interval_tree_iter_first(&dev->pasids, 0, UINT32_MAX); node;
         node = next) {
        VTDAccelBinding *b = container_of(node, VTDAccelBinding, node);

        next = interval_tree_iter_next(node, 0, UINT32_MAX);
        if (b->stuck) {
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
            fresh = vtd_accel_s1_new(s1s, &s1->key, b->dev->idev->devid, &err);
        }
        if (!fresh) {
            vtd_accel_log(b->dev, b->pasid, "cannot replace the HWPT that the "
                          "host refuses to invalidate: %s; DMA blocked",
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
