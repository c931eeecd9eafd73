/*
 * Intel VT-d: page requests of host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "hw/pci/pci_bus.h"
#include "system/iommufd-compat.h"
#include "system/runstate.h"
#include "intel_iommu_accel_bind.h"
#include "intel_iommu_accel_prq.h"
#include "intel_iommu_accel_tables.h"
#include "intel_iommu_prq.h"
#include "trace.h"

/*
 * Requests that one read takes.  Linux lets a device have as many outstanding,
 * so that only a group begun before a reset of the device can be larger.
 */
#define VTD_ACCEL_PRQ_RECORDS       2048

/* Such a group is read as well, if the largest queue of a guest has room */
#define VTD_ACCEL_PRQ_RECORDS_MAX   16383

/* A read that brings nothing is made so often while there seems to be some */
#define VTD_ACCEL_PRQ_TRIES         8

/* Groups that wait for an answer of the guest: others are refused */
#define VTD_ACCEL_PRQ_GROUPS        4096

/* To look at so many of them is about one unit of work */
#define VTD_ACCEL_PRQ_GROUPS_PER_WORK   8

/* Answers that are written at once, unless all are to be */
#define VTD_ACCEL_PRQ_BATCH         256

/* A queue that cannot be read or written is tried again after this */
#define VTD_ACCEL_PRQ_RETRY_MS      1000

/* So many reads are made while a guest waits for it */
#define VTD_ACCEL_PRQ_DRAIN_READS   4

typedef struct VTDAccelPrqGroup {
    uint64_t key;
    uint32_t dev_id;
    uint32_t cookie;
    uint32_t end;           /* after its last request */
    bool twice;             /* a group that its device has forgotten: */
    uint32_t forgotten;     /* its cookie, which gets the same answer */
} VTDAccelPrqGroup;

/* What is needed once there is a fault queue */
struct VTDAccelPrqBuffers {
    struct iommu_hwpt_pgfault records[VTD_ACCEL_PRQ_RECORDS_MAX];
    VTDPageRequest requests[VTD_ACCEL_PRQ_RECORDS_MAX];
    VTDAccelPrqGroup groups[VTD_ACCEL_PRQ_RECORDS_MAX];
    uint32_t num_requests;
    uint32_t num_groups;
    struct iommu_hwpt_page_response answers[2 * VTD_ACCEL_PRQ_GROUPS +
                                            VTD_ACCEL_PRQ_RECORDS_MAX];
};

/* What a response names: the requester as the guest was told */
static uint64_t vtd_accel_prq_key(uint16_t sid, bool has_pasid, uint32_t pasid,
                                  uint16_t prgi)
{
    return (uint64_t)sid << 32 | (uint32_t)has_pasid << 31 |
           (has_pasid ? (pasid & 0xfffff) << 9 : 0) | (prgi & VTD_PRGI_MASK);
}

bool vtd_accel_prq_can(VTDAccelDevice *dev)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->host.hiodi);
    PCIDevice *pdev = dev->host.bus->devices[dev->host.devfn];

    return hiod->caps.vendor_caps.vtd.ecap_reg & VTD_ECAP_PRS &&
           !(hiod->caps.hw_caps & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED) &&
           pdev && pci_is_express(pdev) &&
           pcie_find_capability(pdev, PCI_EXT_CAP_ID_ATS) &&
           pcie_find_capability(pdev, PCI_EXT_CAP_ID_PRI) &&
           vtd_prq_offer_to(dev->s);
}

/*
 * Answers
 */

void vtd_accel_prq_flush(VTDAccel *accel)
{
    VTDAccelPrq *prq = &accel->prq;
    struct iommu_hwpt_page_response *answers = prq->buffers->answers;
    uint32_t done = 0;
    int err = 0;
    ssize_t n;

    if (prq->untaken && timer_pending(prq->retry)) {
        return;
    }
    while (done < prq->num_answers) {
        vtd_accel_spend(&accel->work, VTD_ACCEL_IOCTL_WORK);
        n = RETRY_ON_EINTR(write(prq->fd, answers + done,
                                 (prq->num_answers - done) *
                                 sizeof(*answers)));
        err = n < 0 ? errno : 0;
        trace_vtd_accel_prq_answer(prq->num_answers - done, n);
        if (n >= (ssize_t)sizeof(*answers)) {
            done += n / sizeof(*answers);
        } else if (err == EINVAL) {
            /* The host has no such group any more */
            done++;
        } else {
            break;
        }
    }
    prq->untaken = done < prq->num_answers;
    if (prq->untaken) {
        memmove(answers, answers + done,
                (prq->num_answers - done) * sizeof(*answers));
        warn_report_once("intel-iommu: cannot answer page requests: %s; "
                         "trying again", strerror(err));
        timer_mod(prq->retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  VTD_ACCEL_PRQ_RETRY_MS);
    }
    prq->num_answers -= done;
    vtd_accel_prq_poll(accel);
}

static void vtd_accel_prq_answer(VTDAccelPrq *prq, uint32_t cookie, bool ok)
{
    prq->buffers->answers[prq->num_answers++] =
        (struct iommu_hwpt_page_response) {
            .cookie = cookie,
            .code = ok ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID,
        };
}

static void vtd_accel_prq_end(VTDAccelPrq *prq, VTDAccelPrqGroup *group,
                              bool ok)
{
    vtd_accel_prq_answer(prq, group->cookie, ok);
    if (group->twice) {
        vtd_accel_prq_answer(prq, group->forgotten, ok);
    }
    g_hash_table_remove(prq->groups, &group->key);
}

/* The guest is not asked, or cannot be */
static void vtd_accel_prq_refuse(VTDAccelPrq *prq, uint32_t cookie, bool ok)
{
    prq->refused++;
    vtd_accel_prq_answer(prq, cookie, ok);
}

static bool vtd_accel_prq_response(IntelIOMMUState *s, uint16_t sid,
                                   bool has_pasid, uint32_t pasid,
                                   uint16_t prgi, VTDPrqCode code)
{
    VTDAccelPrq *prq = &s->accel->prq;
    uint64_t key = vtd_accel_prq_key(sid, has_pasid, pasid, prgi);
    VTDAccelPrqGroup *group;

    group = prq->buffers ? g_hash_table_lookup(prq->groups, &key) : NULL;
    if (!group) {
        return false;
    }
    prq->responses++;
    vtd_accel_prq_end(prq, group, code == VTD_PRQ_SUCCESS);
    if (prq->num_answers >= VTD_ACCEL_PRQ_BATCH) {
        vtd_accel_prq_flush(s->accel);
    }
    return true;
}

static gboolean vtd_accel_prq_is_of_device(gpointer key, gpointer value,
                                           gpointer opaque)
{
    const VTDAccelPrqGroup *group = value;
    VTDAccelDevice *dev = opaque;

    return group->dev_id == dev->host.hiodi->devid;
}

static gboolean vtd_accel_prq_is_of(gpointer key, gpointer value,
                                    gpointer opaque)
{
    const VTDAccelBinding *b = opaque;
    VTDAccelDevice *dev = container_of(b->host.dev, VTDAccelDevice, host);

    /* Those with PASID 0 go the way of those without */
    return vtd_accel_prq_is_of_device(key, value, dev) &&
           (*(uint64_t *)key >> 9 & 0xfffff) == b->host.pasid;
}

static void vtd_accel_prq_forget_those(VTDAccelDevice *dev, GHRFunc is_one,
                                       gpointer opaque)
{
    VTDAccel *accel = dev->s->accel;

    if (dev->queued) {
        vtd_accel_spend(&accel->work, g_hash_table_size(accel->prq.groups) /
                                      VTD_ACCEL_PRQ_GROUPS_PER_WORK);
        g_hash_table_foreach_remove(accel->prq.groups, is_one, opaque);
    }
}

void vtd_accel_prq_forget(const VTDAccelBinding *b)
{
    vtd_accel_prq_forget_those(container_of(b->host.dev, VTDAccelDevice, host),
                               vtd_accel_prq_is_of, (gpointer)b);
}

void vtd_accel_prq_forget_device(VTDAccelDevice *dev)
{
    vtd_accel_prq_forget_those(dev, vtd_accel_prq_is_of_device, dev);
}

/*
 * Requests
 */

static VTDAccelDevice *vtd_accel_prq_device(VTDAccel *accel, uint32_t dev_id)
{
    VTDAccelDevice *dev;

    QLIST_FOREACH(dev, &accel->devices, next) {
        /* One of another iommufd may have the same id */
        if (dev->queued && dev->host.hiodi->devid == dev_id) {
            return dev;
        }
    }
    return NULL;
}

static VTDPageRequest vtd_accel_prq_decode(uint16_t sid,
                                           const struct iommu_hwpt_pgfault *r)
{
    return (VTDPageRequest) {
        .addr = r->addr & VTD_PAGE_MASK_4K,
        .pasid = r->pasid & 0xfffff,
        .sid = sid,
        .prgi = r->grpid & VTD_PRGI_MASK,
        .has_pasid = r->flags & IOMMU_PGFAULT_FLAGS_PASID_VALID,
        .read = r->perm & IOMMU_PGFAULT_PERM_READ,
        .write = r->perm & IOMMU_PGFAULT_PERM_WRITE,
        .exec = r->perm & IOMMU_PGFAULT_PERM_EXEC,
        .priv = r->perm & IOMMU_PGFAULT_PERM_PRIV,
        .last = r->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE,
    };
}

/*
 * Make room for a group whose index is in use.  A device uses it again after a
 * reset, which ends what it has requested (PCIe 10.4), but the host still
 * waits.  To the device an answer is one to an index: the old group gets its
 * own when the new one does.  Of another device there is nothing to wait for.
 *
 * Returns: false if the device has done so before, and the guest never answers.
 */
static bool vtd_accel_prq_use_again(VTDAccelPrq *prq, VTDAccelPrqGroup *group,
                                    VTDAccelPrqGroup *old)
{
    if (old->dev_id != group->dev_id) {
        prq->refused++;
        vtd_accel_prq_end(prq, old, false);
        return true;
    }
    if (old->twice) {
        return false;
    }
    group->twice = true;
    group->forgotten = old->cookie;
    g_hash_table_remove(prq->groups, &group->key);
    return true;
}

/*
 * Take a group of @num records, the last of which says so.  It is refused if
 * the guest has not enabled page requests of the device (VT-d 7.4), or if there
 * are too many groups.
 */
static void vtd_accel_prq_take(VTDAccel *accel,
                               const struct iommu_hwpt_pgfault *r, uint32_t num)
{
    VTDAccelPrq *prq = &accel->prq;
    struct VTDAccelPrqBuffers *buf = prq->buffers;
    VTDAccelDevice *dev = vtd_accel_prq_device(accel, r->dev_id);
    const struct iommu_hwpt_pgfault *last = r + num - 1;
    uint16_t sid = dev ? vtd_accel_source_id(dev) : 0;
    VTDAccelPrqGroup group = {
        .key = vtd_accel_prq_key(sid, last->flags &
                                 IOMMU_PGFAULT_FLAGS_PASID_VALID,
                                 last->pasid, last->grpid),
        .dev_id = last->dev_id,
        .cookie = last->cookie,
        .end = buf->num_requests + num,
    };
    VTDAccelPrqGroup *kept = g_hash_table_lookup(prq->groups, &group.key);

    prq->requests += num;
    if (!dev || !dev->context_valid || !dev->requests_enabled ||
        (kept ? !vtd_accel_prq_use_again(prq, &group, kept) :
         g_hash_table_size(prq->groups) >= VTD_ACCEL_PRQ_GROUPS)) {
        trace_vtd_accel_prq_refuse(last->dev_id, last->cookie);
        vtd_accel_prq_refuse(prq, last->cookie, false);
        return;
    }
    kept = g_memdup2(&group, sizeof(group));
    g_hash_table_insert(prq->groups, &kept->key, kept);
    for (uint32_t i = 0; i < num; i++) {
        buf->requests[buf->num_requests++] = vtd_accel_prq_decode(sid, &r[i]);
    }
    buf->groups[buf->num_groups++] = group;
}

/* One write of the guest's queue, and one interrupt, for all of them */
static void vtd_accel_prq_deliver(VTDAccel *accel, uint32_t num)
{
    VTDAccelPrq *prq = &accel->prq;
    struct VTDAccelPrqBuffers *buf = prq->buffers;
    VTDAccelPrqGroup *kept;
    VTDPrqResult result;
    uint32_t first = 0;
    unsigned posted;

    buf->num_requests = buf->num_groups = 0;
    for (uint32_t i = 0; i < num; i++) {
        if (buf->records[i].flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE) {
            vtd_accel_prq_take(accel, &buf->records[first], i + 1 - first);
            first = i + 1;
        }
    }
    if (!buf->num_groups) {
        return;
    }
    result = vtd_prq_post(accel->s, buf->requests, buf->num_requests, &posted);
    for (uint32_t i = 0; i < buf->num_groups; i++) {
        VTDAccelPrqGroup *group = &buf->groups[i];

        if (group->end <= posted) {
            continue;
        }
        kept = g_hash_table_lookup(prq->groups, &group->key);
        /* Else a later one has its index, and its cookie with it */
        if (kept && kept->cookie == group->cookie) {
            prq->refused++;
            vtd_accel_prq_end(prq, kept, result == VTD_PRQ_FULL);
        }
    }
}

static bool vtd_accel_prq_is_readable(const VTDAccelPrq *prq)
{
    GPollFD poll = { .fd = prq->fd, .events = G_IO_IN };

    return g_poll(&poll, 1, 0) > 0;
}

/*
 * Returns what read() does; with EMSGSIZE, the first group has too many
 * requests.  A host may say so by EINVAL, or by 0 as if there was nothing.
 */
static ssize_t vtd_accel_prq_read_records(VTDAccel *accel)
{
    VTDAccelPrq *prq = &accel->prq;
    struct iommu_hwpt_pgfault *records = prq->buffers->records;
    size_t size = VTD_ACCEL_PRQ_RECORDS * sizeof(*records);
    ssize_t n;

    for (int i = 0; i < VTD_ACCEL_PRQ_TRIES; i++) {
        vtd_accel_spend(&accel->work, VTD_ACCEL_IOCTL_WORK);
        n = RETRY_ON_EINTR(read(prq->fd, records, size));
        if (n > 0 || (n < 0 && errno != EINVAL) ||
            (!n && !vtd_accel_prq_is_readable(prq))) {
            return n;
        }
        if (n < 0 && size == sizeof(prq->buffers->records)) {
            break;
        }
        size = sizeof(prq->buffers->records);
    }
    errno = EMSGSIZE;
    return -1;
}

/* Returns what read() does */
static ssize_t vtd_accel_prq_read_some(VTDAccel *accel)
{
    VTDAccelPrq *prq = &accel->prq;
    struct iommu_hwpt_pgfault *records = prq->buffers->records;
    ssize_t n;

    /* A cookie is used again once it is answered */
    if (vtd_accel_prq_has_answers(accel)) {
        vtd_accel_prq_flush(accel);
        if (vtd_accel_prq_has_answers(accel)) {
            errno = EAGAIN;
            return -1;
        }
    }
    n = vtd_accel_prq_read_records(accel);
    if (n < 0 && errno == EMSGSIZE) {
        warn_report_once("intel-iommu: a device has sent more than %u page "
                         "requests in one group: all that wait are refused",
                         VTD_ACCEL_PRQ_RECORDS_MAX);
        vtd_accel_refuse_requests(accel);
        n = vtd_accel_prq_read_records(accel);
    }
    if (n <= 0) {
        return n;
    }
    trace_vtd_accel_prq_read(n / sizeof(*records));
    vtd_accel_spend(&accel->work, n / sizeof(*records));
    vtd_accel_prq_deliver(accel, n / sizeof(*records));
    if (vtd_accel_prq_has_answers(accel)) {
        vtd_accel_prq_flush(accel);
    }
    return n;
}

/* One read only: the main loop does other work in between */
static void vtd_accel_prq_read(void *opaque)
{
    VTDAccel *accel = opaque;
    ssize_t n = vtd_accel_prq_read_some(accel);

    if (n < 0 && errno != EAGAIN) {
        warn_report_once("intel-iommu: cannot read the host's page requests: "
                         "%s; trying again", strerror(errno));
        /* It is still readable: do not let the main loop spin */
        timer_mod(accel->prq.retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  VTD_ACCEL_PRQ_RETRY_MS);
        vtd_accel_prq_poll(accel);
    }
}

static void vtd_accel_prq_drain(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (!accel->prq.buffers) {
        return;
    }
    /* The guest waits for this: what has failed is tried at once */
    timer_del(accel->prq.retry);
    for (int i = 0; i < VTD_ACCEL_PRQ_DRAIN_READS; i++) {
        if (vtd_accel_prq_read_some(accel) <= 0) {
            break;
        }
    }
    vtd_accel_prq_poll(accel);
}

static const VTDPrqHost vtd_accel_prq_host = {
    .response = vtd_accel_prq_response,
    .drain = vtd_accel_prq_drain,
};

void vtd_accel_prq_poll(VTDAccel *accel)
{
    VTDAccelPrq *prq = &accel->prq;
    bool on;

    if (!prq->buffers) {
        return;
    }
    on = runstate_is_running() && !timer_pending(prq->retry);
    if (on != prq->polled) {
        prq->polled = on;
        qemu_set_fd_handler(prq->epoll_fd, on ? vtd_accel_prq_read : NULL,
                            NULL, accel);
    }
}

static void vtd_accel_prq_retry(void *opaque)
{
    VTDAccel *accel = opaque;

    if (vtd_accel_prq_has_answers(accel)) {
        vtd_accel_prq_flush(accel);
    }
    vtd_accel_prq_poll(accel);
}

/*
 * The fault queue
 */

void vtd_accel_prq_give_up(VTDAccelDevice *dev, const char *why)
{
    dev->can_request = false;
    iommufd_binding_device_log(&dev->host, "the guest does not get its page "
                               "requests: %s", why);
}

/*
 * The main loop sleeps on an epoll instance: a thread that sleeps on the queue
 * itself would keep the host from destroying it.
 */
static bool vtd_accel_prq_watch(VTDAccelPrq *prq, Error **errp)
{
    struct epoll_event event = { .events = EPOLLIN };

    prq->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (prq->epoll_fd < 0) {
        error_setg_errno(errp, errno, "cannot create an epoll instance");
        return false;
    }
    if (epoll_ctl(prq->epoll_fd, EPOLL_CTL_ADD, prq->fd, &event)) {
        error_setg_errno(errp, errno, "cannot watch the fault queue");
        close(prq->epoll_fd);
        return false;
    }
    return true;
}

static bool vtd_accel_prq_alloc(VTDAccelPrq *prq, IOMMUFDBackend *iommufd,
                                Error **errp)
{
    if (!iommufd_backend_alloc_fault_queue(iommufd, &prq->fault_id, &prq->fd,
                                           errp)) {
        return false;
    }
    if (!vtd_accel_prq_watch(prq, errp)) {
        close(prq->fd);
        iommufd_backend_free_id(iommufd, prq->fault_id);
        return false;
    }
    g_unix_set_fd_nonblocking(prq->fd, true, NULL);
    prq->iommufd = iommufd;
    return true;
}

bool vtd_accel_prq_start(VTDAccelDevice *dev)
{
    VTDAccel *accel = dev->s->accel;
    VTDAccelPrq *prq = &accel->prq;
    Error *err = NULL;

    if (prq->buffers) {
        if (prq->iommufd != dev->host.hiodi->iommufd) {
            vtd_accel_prq_give_up(dev, "it is not on the iommufd of the other "
                                  "devices that send some");
            return false;
        }
        dev->queued = true;
        return true;
    }
    if (!vtd_accel_prq_alloc(prq, dev->host.hiodi->iommufd, &err)) {
        vtd_accel_prq_give_up(dev, error_get_pretty(err));
        error_free(err);
        return false;
    }
    prq->buffers = g_new(struct VTDAccelPrqBuffers, 1);
    prq->groups = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                        g_free);
    prq->retry = timer_new_ms(QEMU_CLOCK_REALTIME, vtd_accel_prq_retry, accel);
    accel->s1s.fault_id = prq->fault_id;
    vtd_prq_set_host(dev->s, &vtd_accel_prq_host);
    dev->queued = true;
    vtd_accel_prq_poll(accel);
    return true;
}

void vtd_accel_prq_stop(VTDAccel *accel)
{
    VTDAccelPrq *prq = &accel->prq;

    if (!prq->buffers) {
        return;
    }
    timer_free(prq->retry);
    qemu_set_fd_handler(prq->epoll_fd, NULL, NULL, NULL);
    prq->polled = false;
    epoll_ctl(prq->epoll_fd, EPOLL_CTL_DEL, prq->fd, NULL);
    close(prq->epoll_fd);
    close(prq->fd);
    iommufd_backend_free_id(prq->iommufd, prq->fault_id);
    g_hash_table_unref(prq->groups);
    g_free(prq->buffers);
    prq->buffers = NULL;
    prq->num_answers = 0;
    prq->untaken = false;
}
