/*
 * Host devices that a vIOMMU attaches by itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
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
    dev->timer = timer_new_ms(QEMU_CLOCK_REALTIME, iommufd_binding_retry, dev);
    dev->vmstate =
        qemu_add_vm_change_state_handler(iommufd_binding_vm_change, dev);
}

void iommufd_binding_device_cleanup(IOMMUFDBindingDevice *dev)
{
    qemu_del_vm_change_state_handler(dev->vmstate);
    timer_free(dev->timer);
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
}

static int iommufd_binding_set_hwpt(IOMMUFDBinding *b, uint32_t hwpt_id,
                                    Error **errp)
{
    IOMMUFDBindingDevice *dev = b->dev;
    int ret;

    if (b->pasid) {
        ret = host_iommu_device_iommufd_set_pasid_hwpt(dev->hiodi, b->pasid,
                                                       hwpt_id, errp);
    } else {
        ret = host_iommu_device_iommufd_set_hwpt(dev->hiodi, hwpt_id, errp);
    }
    if (!ret) {
        iommufd_binding_moved(b, hwpt_id);
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
    if (!b->stuck) {
        iommufd_binding_device_log(dev, "cannot block its DMA: %s; trying "
                                   "again until it is blocked",
                                   error_get_pretty(err));
    }
    error_free(err);
    iommufd_binding_set_stuck(b, true);
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
    iommufd_binding_set_stuck(b, false);
}
