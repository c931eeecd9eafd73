/*
 * Host devices that a vIOMMU attaches by itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-viommu.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
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

/* PASIDs have 20 bits (PCIe 6.20) */
#define NUM_PASIDS      (1u << 20)

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
iommufd_binding_find_reason(const IOMMUFDBindingDevice *dev, uint32_t pasid)
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

uint32_t iommufd_binding_next_reason(const IOMMUFDBindingDevice *dev,
                                     uint32_t first)
{
    uint32_t next = IOMMUFD_BINDING_NO_PASID;

    for (guint i = 0; i < dev->reasons->len; i++) {
        uint32_t pasid = g_array_index(dev->reasons, IOMMUFDBindingReason,
                                       i).pasid;

        if (pasid >= first && pasid < next) {
            next = pasid;
        }
    }
    if (dev->num_textless) {
        unsigned long pasid = find_next_bit(dev->textless, NUM_PASIDS, first);

        next = pasid < NUM_PASIDS ? MIN(next, pasid) : next;
    }
    return next;
}

const char *iommufd_binding_reason(const IOMMUFDBindingDevice *dev,
                                   uint32_t pasid)
{
    IOMMUFDBindingReason *r = iommufd_binding_find_reason(dev, pasid);

    return r ? r->text : NULL;
}

uint32_t iommufd_binding_num_reasons(const IOMMUFDBindingDevice *dev)
{
    return dev->reasons->len + dev->num_textless -
           !!iommufd_binding_find_reason(dev, IOMMUFD_BINDING_NO_PASID);
}

/* Tell that requests are blocked or stuck */
static void iommufd_binding_tell(IOMMUFDBindingDevice *dev, uint32_t pasid,
                                 ViommuBindingState state, const char *reason)
{
    g_autofree char *viommu = object_get_canonical_path(dev->group->viommu);
    PCIDevice *pdev = dev->bus->devices[dev->devfn];
    g_autofree char *path = object_get_canonical_path(OBJECT(pdev));

    qapi_event_send_viommu_device_blocked(DEVICE(pdev)->id, path, viommu,
                                          pasid != IOMMUFD_BINDING_NO_PASID,
                                          pasid, state, reason);
}

static void iommufd_binding_tell_gone(IOMMUFDBindingDevice *dev,
                                      uint32_t pasid, const char *reason)
{
    g_autofree char *viommu = object_get_canonical_path(dev->group->viommu);
    PCIDevice *pdev = dev->bus->devices[dev->devfn];
    g_autofree char *path = object_get_canonical_path(OBJECT(pdev));

    qapi_event_send_viommu_device_unblocked(DEVICE(pdev)->id, path, viommu,
                                            pasid != IOMMUFD_BINDING_NO_PASID,
                                            pasid, reason);
}

static void iommufd_binding_tell_blocked(IOMMUFDBindingDevice *dev,
                                         IOMMUFDBindingReason *r)
{
    if (!r->told) {
        iommufd_binding_tell(dev, r->pasid, VIOMMU_BINDING_STATE_BLOCKED,
                             r->text);
        r->told = true;
    }
}

static void iommufd_binding_clear_reason(void *opaque)
{
    IOMMUFDBindingReason *r = opaque;

    g_free(r->text);
}

/* Note whether there is a reason that has no room */
static void iommufd_binding_set_textless(IOMMUFDBindingDevice *dev,
                                         uint32_t pasid, bool textless)
{
    if (pasid >= NUM_PASIDS || (!textless && !dev->num_textless)) {
        return;
    }
    if (!dev->textless) {
        dev->textless = bitmap_new(NUM_PASIDS);
    }
    if (test_bit(pasid, dev->textless) != textless) {
        change_bit(pasid, dev->textless);
        dev->num_textless += textless ? 1 : -1;
    }
}

/* @r: that of @pasid, or NULL */
static void iommufd_binding_drop_reason(IOMMUFDBindingDevice *dev,
                                        uint32_t pasid, IOMMUFDBindingReason *r)
{
    if (r) {
        g_array_remove_index_fast(dev->reasons, r -
                                  (IOMMUFDBindingReason *)dev->reasons->data);
    }
    iommufd_binding_set_textless(dev, pasid, false);
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
        if (r && r->told) {
            iommufd_binding_tell_gone(dev, pasid, r->text);
        }
        iommufd_binding_drop_reason(dev, pasid, r);
        return;
    }
    if (!r) {
        bool room = iommufd_binding_has_room(dev, pasid);

        iommufd_binding_set_textless(dev, pasid, !room);
        if (!room) {
            return;
        }
        r = iommufd_binding_add_reason(dev, pasid, text);
    } else if (strcmp(r->text, text)) {
        g_free(r->text);
        r->text = g_strdup(text);
        r->told = false;
    }
    if (blocked) {
        iommufd_binding_tell_blocked(dev, r);
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
static void iommufd_binding_settle(IOMMUFDBinding *b, bool was_stuck)
{
    IOMMUFDBindingDevice *dev = b->dev;
    uint32_t pasid = iommufd_binding_pasid(b);
    IOMMUFDBindingReason *r = iommufd_binding_find_reason(dev, pasid);

    if (r && iommufd_binding_is_blocked(b)) {
        iommufd_binding_tell_blocked(dev, r);
        return;
    }
    if (was_stuck) {
        iommufd_binding_tell_gone(dev, pasid, IOMMUFD_BINDING_STUCK);
    }
    if (!iommufd_binding_is_blocked(b)) {
        iommufd_binding_set_reason(dev, pasid, false, NULL);
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
                                 IOMMUFDBindingGroup *group, PCIBus *bus,
                                 uint8_t devfn, HostIOMMUDeviceIOMMUFD *hiodi)
{
    dev->group = group;
    dev->bus = bus;
    dev->devfn = devfn;
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
    g_free(dev->textless);
}

static void iommufd_binding_set_stuck(IOMMUFDBinding *b, bool stuck)
{
    b->dev->group->num_stuck += stuck - b->stuck;
    b->dev->num_stuck += stuck - b->stuck;
    b->stuck = stuck;
}

static void iommufd_binding_moved(IOMMUFDBinding *b, uint32_t hwpt_id)
{
    bool was_stuck = b->stuck;

    b->hwpt_id = hwpt_id;
    b->dev->retry_ms = 0;
    iommufd_binding_set_stuck(b, false);
    iommufd_binding_settle(b, was_stuck);
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
        iommufd_binding_tell(dev, iommufd_binding_pasid(b),
                             VIOMMU_BINDING_STATE_STUCK, IOMMUFD_BINDING_STUCK);
    }
    iommufd_binding_set_stuck(b, true);
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
    uint32_t pasid = iommufd_binding_pasid(b);

    iommufd_binding_drop_reason(b->dev, pasid,
                                iommufd_binding_find_reason(b->dev, pasid));
    iommufd_binding_set_stuck(b, false);
}
