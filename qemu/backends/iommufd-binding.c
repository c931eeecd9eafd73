/*
 * Host devices that a vIOMMU attaches by itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-viommu.h"
#include "qemu/error-report.h"
#include "system/iommufd-binding.h"

/*
 * A device in reset is tried again after this time; one that is stuck waits
 * twice as long each time.
 */
#define RETRY_MS        50
#define RETRY_MS_MAX    3200

/* Messages that one device may cause: so many per slice of time */
#define LOG_SLICE_NS    (5 * NANOSECONDS_PER_SECOND)
#define LOG_BURST       10

const char *iommufd_binding_device_name(const IOMMUFDBindingDevice *dev)
{
    return HOST_IOMMU_DEVICE(dev->hiodi)->name;
}

void iommufd_binding_device_log(IOMMUFDBindingDevice *dev, const char *fmt, ...)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    g_autofree char *msg = NULL;
    va_list ap;

    if (!dev->logged || now - dev->log_start > LOG_SLICE_NS) {
        dev->log_start = now;
        dev->logged = 0;
    }
    if (dev->logged++ >= LOG_BURST) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_report("%s: %s: %s", dev->group->ops->model,
                 iommufd_binding_device_name(dev), msg);
}

/*
 * Why requests are blocked
 */

static uint32_t iommufd_binding_pasid(const IOMMUFDBinding *b)
{
    return b->pasid ?: IOMMUFD_BINDING_NO_PASID;
}

static IOMMUFDBindingReason *
iommufd_binding_find_reason(IOMMUFDBindingDevice *dev, uint32_t pasid)
{
    for (guint i = 0; i < dev->reasons->len; i++) {
        IOMMUFDBindingReason *r = &g_array_index(dev->reasons,
                                                 IOMMUFDBindingReason, i);

        if (r->pasid == pasid) {
            return r;
        }
    }
    return NULL;
}

const IOMMUFDBindingReason *
iommufd_binding_next_reason(const IOMMUFDBindingDevice *dev, uint32_t first)
{
    IOMMUFDBindingReason *next = NULL;

    for (guint i = 0; i < dev->reasons->len; i++) {
        IOMMUFDBindingReason *r = &g_array_index(dev->reasons,
                                                 IOMMUFDBindingReason, i);

        if (r->pasid >= first && (!next || r->pasid < next->pasid)) {
            next = r;
        }
    }
    return next;
}

const char *iommufd_binding_reason(const IOMMUFDBinding *b)
{
    IOMMUFDBindingReason *r =
        iommufd_binding_find_reason(b->dev, iommufd_binding_pasid(b));

    return r ? r->text : NULL;
}

static void iommufd_binding_tell(IOMMUFDBindingDevice *dev,
                                 IOMMUFDBindingReason *r, bool blocked)
{
    g_autofree char *path = object_get_canonical_path(dev->group->viommu);
    const char *name = iommufd_binding_device_name(dev);
    bool has_pasid = r->pasid != IOMMUFD_BINDING_NO_PASID;

    if (blocked) {
        qapi_event_send_viommu_device_blocked(path, name, has_pasid, r->pasid,
                                              r->text);
    } else if (r->told) {
        qapi_event_send_viommu_device_unblocked(path, name, has_pasid,
                                                r->pasid, r->text);
    }
    r->told = blocked;
}

static void iommufd_binding_clear_reason(void *opaque)
{
    IOMMUFDBindingReason *r = opaque;

    g_free(r->text);
}

static void iommufd_binding_drop_reason(IOMMUFDBindingDevice *dev,
                                        IOMMUFDBindingReason *r)
{
    g_array_remove_index_fast(dev->reasons,
                              r - (IOMMUFDBindingReason *)dev->reasons->data);
}

static IOMMUFDBindingReason *
iommufd_binding_add_reason(IOMMUFDBindingDevice *dev, uint32_t pasid,
                           const char *text)
{
    IOMMUFDBindingReason new = { .pasid = pasid, .text = g_strdup(text) };

    g_array_append_val(dev->reasons, new);
    return &g_array_index(dev->reasons, IOMMUFDBindingReason,
                          dev->reasons->len - 1);
}

/* A guest can cause many; that of requests without PASID always has a place */
static bool iommufd_binding_has_room(IOMMUFDBindingDevice *dev, uint32_t pasid)
{
    return pasid == IOMMUFD_BINDING_NO_PASID ||
           dev->reasons->len < IOMMUFD_BINDING_REASONS_MAX;
}

static void iommufd_binding_set_reason(IOMMUFDBindingDevice *dev,
                                       uint32_t pasid, bool blocked,
                                       const char *text)
{
    IOMMUFDBindingReason *r = iommufd_binding_find_reason(dev, pasid);

    if (!text) {
        if (r) {
            iommufd_binding_tell(dev, r, false);
            iommufd_binding_drop_reason(dev, r);
        }
        return;
    }
    if (!r) {
        if (!iommufd_binding_has_room(dev, pasid)) {
            return;
        }
        r = iommufd_binding_add_reason(dev, pasid, text);
    } else if (strcmp(r->text, text)) {
        g_free(r->text);
        r->text = g_strdup(text);
        r->told = false;
    }
    r->stuck = false;
    if (blocked && !r->told) {
        iommufd_binding_tell(dev, r, true);
    }
}

void iommufd_binding_explain(IOMMUFDBinding *b, const char *reason)
{
    iommufd_binding_set_reason(b->dev, iommufd_binding_pasid(b),
                               iommufd_binding_is_blocked(b), reason);
}

void iommufd_binding_explain_pasid(IOMMUFDBindingDevice *dev, uint32_t pasid,
                                   const char *reason)
{
    iommufd_binding_set_reason(dev, pasid, true, reason);
}

/* The host has done what it was asked for */
static void iommufd_binding_settle_reason(IOMMUFDBinding *b)
{
    IOMMUFDBindingReason *r =
        iommufd_binding_find_reason(b->dev, iommufd_binding_pasid(b));

    if (!r) {
        return;
    }
    if (!iommufd_binding_is_blocked(b) || r->stuck) {
        iommufd_binding_tell(b->dev, r, false);
        iommufd_binding_drop_reason(b->dev, r);
    } else if (!r->told) {
        iommufd_binding_tell(b->dev, r, true);
    }
}

/* There may be a reason already why it is to be blocked */
static void iommufd_binding_explain_stuck(IOMMUFDBinding *b, const char *why)
{
    uint32_t pasid = iommufd_binding_pasid(b);
    g_autofree char *text = g_strdup_printf("cannot block its DMA: %s", why);

    if (!iommufd_binding_find_reason(b->dev, pasid) &&
        iommufd_binding_has_room(b->dev, pasid)) {
        iommufd_binding_add_reason(b->dev, pasid, text)->stuck = true;
    }
}

/*
 * Attaching
 */

static void iommufd_binding_retry_in(IOMMUFDBindingDevice *dev, uint32_t ms)
{
    timer_mod(dev->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
}

/* What a stopped guest has stays as it is */
static void iommufd_binding_retry(void *opaque)
{
    IOMMUFDBindingDevice *dev = opaque;

    dev->late = !runstate_is_running();
    if (!dev->late) {
        dev->group->retries++;
        dev->group->ops->retry(dev);
    }
}

static void iommufd_binding_vm_change(void *opaque, bool running,
                                      RunState state)
{
    IOMMUFDBindingDevice *dev = opaque;

    if (running && dev->late) {
        dev->late = false;
        iommufd_binding_retry_in(dev, 0);
    }
}

void iommufd_binding_device_init(IOMMUFDBindingDevice *dev,
                                 IOMMUFDBindingGroup *group,
                                 HostIOMMUDeviceIOMMUFD *hiodi)
{
    dev->group = group;
    dev->hiodi = hiodi;
    dev->reasons = g_array_new(false, false, sizeof(IOMMUFDBindingReason));
    g_array_set_clear_func(dev->reasons, iommufd_binding_clear_reason);
    dev->timer = timer_new_ms(QEMU_CLOCK_REALTIME, iommufd_binding_retry, dev);
    dev->vmstate =
        qemu_add_vm_change_state_handler(iommufd_binding_vm_change, dev);
}

void iommufd_binding_device_cleanup(IOMMUFDBindingDevice *dev)
{
    qemu_del_vm_change_state_handler(dev->vmstate);
    timer_free(dev->timer);
    g_array_unref(dev->reasons);
}

static void iommufd_binding_set_stuck(IOMMUFDBinding *b, bool stuck)
{
    b->dev->group->num_stuck += stuck - b->stuck;
    b->stuck = stuck;
}

static void iommufd_binding_moved(IOMMUFDBinding *b, uint32_t hwpt_id)
{
    b->hwpt_id = hwpt_id;
    b->dev->retry_ms = 0;
    iommufd_binding_set_stuck(b, false);
    iommufd_binding_settle_reason(b);
}

static int iommufd_binding_set_hwpt(IOMMUFDBinding *b, uint32_t hwpt_id,
                                    Error **errp)
{
    IOMMUFDBindingDevice *dev = b->dev;
    int ret;

    dev->group->attaches++;
    if (b->pasid) {
        ret = host_iommu_device_iommufd_set_pasid_hwpt(dev->hiodi, b->pasid,
                                                       hwpt_id, errp);
    } else {
        ret = host_iommu_device_iommufd_set_hwpt(dev->hiodi, hwpt_id, errp);
    }
    if (!ret) {
        iommufd_binding_moved(b, hwpt_id);
    } else {
        dev->group->refused++;
    }
    return ret;
}

int iommufd_binding_attach(IOMMUFDBinding *b, uint32_t hwpt_id, Error **errp)
{
    int ret = iommufd_binding_set_hwpt(b, hwpt_id, errp);

    if (!ret) {
        b->dev->busy = false;
    }
    return ret;
}

bool iommufd_binding_refused(IOMMUFDBinding *b, int ret)
{
    IOMMUFDBindingDevice *dev = b->dev;
    bool news = !b->stuck && (ret != -EBUSY || !dev->busy);

    dev->busy = ret == -EBUSY;
    if (dev->busy) {
        iommufd_binding_retry_in(dev, RETRY_MS);
    }
    return news;
}

bool iommufd_binding_is_blocked(const IOMMUFDBinding *b)
{
    return !b->stuck &&
           (!b->hwpt_id || b->hwpt_id == b->dev->group->blocking_hwpt_id);
}

/* Nobody else may ever ask for a device that could not be blocked */
static void iommufd_binding_retry_stuck(IOMMUFDBindingDevice *dev)
{
    if (!timer_pending(dev->timer)) {
        dev->retry_ms = MIN(MAX(dev->retry_ms * 2, RETRY_MS), RETRY_MS_MAX);
        iommufd_binding_retry_in(dev, dev->retry_ms);
    }
}

bool iommufd_binding_detach(IOMMUFDBinding *b)
{
    IOMMUFDBindingDevice *dev = b->dev;
    Error *err = NULL;
    int ret;

    if (!b->hwpt_id && !b->stuck) {
        return true;
    }
    if (b->pasid) {
        ret = host_iommu_device_iommufd_unset_pasid_hwpt(dev->hiodi, b->pasid,
                                                         &err);
    } else {
        ret = host_iommu_device_iommufd_unset_hwpt(dev->hiodi, &err);
    }
    if (!ret) {
        iommufd_binding_moved(b, 0);
        return true;
    }
    dev->group->refused++;
    if (!b->stuck) {
        iommufd_binding_device_log(dev, "cannot block its DMA: %s; trying "
                                   "again until it is blocked",
                                   error_get_pretty(err));
    }
    iommufd_binding_set_stuck(b, true);
    iommufd_binding_explain_stuck(b, error_get_pretty(err));
    error_free(err);
    iommufd_binding_retry_stuck(dev);
    return false;
}

bool iommufd_binding_block(IOMMUFDBinding *b)
{
    uint32_t blocking = b->dev->group->blocking_hwpt_id;
    Error *err = NULL;
    int ret;

    if (!blocking) {
        return iommufd_binding_detach(b);
    }
    if (b->hwpt_id == blocking && !b->stuck) {
        return true;
    }
    ret = iommufd_binding_set_hwpt(b, blocking, &err);
    if (!ret) {
        return true;
    }
    if (iommufd_binding_refused(b, ret)) {
        iommufd_binding_device_log(b->dev, "cannot attach it to the HWPT that "
                                   "blocks: %s; detaching it",
                                   error_get_pretty(err));
    }
    error_free(err);
    return iommufd_binding_detach(b);
}

void iommufd_binding_forget(IOMMUFDBinding *b)
{
    IOMMUFDBindingReason *r =
        iommufd_binding_find_reason(b->dev, iommufd_binding_pasid(b));

    if (r) {
        iommufd_binding_drop_reason(b->dev, r);
    }
    iommufd_binding_set_stuck(b, false);
}
