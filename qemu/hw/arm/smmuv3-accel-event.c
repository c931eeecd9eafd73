/*
 * SMMUv3 on the host SMMU: events
 *
 * The host reports faults of the hardware with the guest's StreamID.  They go
 * to the guest's event queue as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "system/runstate.h"
#include "trace.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-event.h"

/* Events that the host keeps until they are read */
#define SMMUV3_ACCEL_EVENT_DEPTH    4096

/* Events that one read takes */
#define SMMUV3_ACCEL_EVENTS         256
#define SMMUV3_ACCEL_EVENT_SIZE     (sizeof(struct iommufd_vevent_header) + \
                                     sizeof(struct iommu_vevent_arm_smmuv3))

/* The sequence number after this one is 0 */
#define SMMUV3_ACCEL_SEQUENCE_MAX   INT32_MAX

/* A queue that cannot be read is tried again after this */
#define SMMUV3_ACCEL_READ_RETRY_MS  1000

/* So many reads, and one more, empty a full queue of the host's */
#define SMMUV3_ACCEL_DRAIN_READS    (SMMUV3_ACCEL_EVENT_DEPTH / \
                                     SMMUV3_ACCEL_EVENTS)

/* Those that the kernel reports; others are dropped */
static bool smmuv3_accel_event_is_known(uint64_t word0)
{
    switch (EVT0_TYPE(word0)) {
    case SMMU_EVT_C_BAD_STE:
    case SMMU_EVT_F_STREAM_DISABLED:
    case SMMU_EVT_C_BAD_SUBSTREAMID:
    case SMMU_EVT_C_BAD_CD:
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        return true;
    default:
        return false;
    }
}

/* A guest that does not know RMRs gets no interrupts: tell once why */
static void smmuv3_accel_check_msi(SMMUv3Accel *accel, const Evt *evt)
{
    uint64_t addr = evt->word[4] | (uint64_t)evt->word[5] << 32;
    SMMUv3AccelStream *st;

    if (EVT0_TYPE(evt->word[0]) != SMMU_EVT_F_TRANSLATION ||
        addr < SMMUV3_MSI_WINDOW_BASE ||
        addr - SMMUV3_MSI_WINDOW_BASE >= SMMUV3_MSI_WINDOW_SIZE) {
        return;
    }
    st = g_hash_table_lookup(accel->vsids, GUINT_TO_POINTER(evt->word[1]));
    if (!st) {
        return;
    }
    st->msi_lost = st->s1_hwpt_id;
    if (!st->msi_told) {
        st->msi_told = true;
        warn_report("arm-smmuv3: %s, StreamID 0x%x: its interrupts are lost, "
                    "because the guest does not map 0x%" PRIx64 ", which the "
                    "IORT reserves for them (RMR): use a guest kernel that "
                    "does, Linux 6.0 or newer, or pass-through in the guest "
                    "(iommu.passthrough=1)",
                    iommufd_binding_device_name(&st->host), evt->word[1], addr);
    }
}

/*
 * Returns true if there is something new in the guest's queue.  While that is
 * off, an event is lost without a trace (SMMUv3 7.2).
 */
static bool smmuv3_accel_event(SMMUv3Accel *accel,
                               const struct iommu_vevent_arm_smmuv3 *in)
{
    Evt evt;

    if (!smmuv3_accel_event_is_known(le64_to_cpu(in->evt[0]))) {
        trace_smmuv3_accel_event_unknown(le64_to_cpu(in->evt[0]));
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(in->evt); i++) {
        uint64_t word = le64_to_cpu(in->evt[i]);

        evt.word[2 * i] = word;
        evt.word[2 * i + 1] = word >> 32;
    }
    trace_smmuv3_accel_event(EVT0_TYPE(evt.word[0]), evt.word[1]);
    smmuv3_accel_check_msi(accel, &evt);
    return smmuv3_queue_event(accel->s, &evt);
}

/* For the guest, a gap in the host's events is an overflow of its own queue */
static void smmuv3_accel_check_sequence(SMMUv3Accel *accel,
                                        const struct iommufd_vevent_header *h,
                                        bool deliver)
{
    bool lost = h->flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS ||
                h->sequence != accel->next_sequence;

    if (lost) {
        trace_smmuv3_accel_events_lost(accel->next_sequence, h->sequence);
    }
    if (lost && deliver && smmuv3_eventq_enabled(accel->s)) {
        smmuv3_eventq_overflow(accel->s);
    }
    accel->next_sequence = h->sequence < SMMUV3_ACCEL_SEQUENCE_MAX ?
                           h->sequence + 1 : 0;
}

/* Returns the bytes that were consumed; sets @any if the guest got something */
static size_t smmuv3_accel_parse_events(SMMUv3Accel *accel, size_t len,
                                        bool deliver, bool *any)
{
    size_t pos = 0;

    while (len - pos >= sizeof(struct iommufd_vevent_header)) {
        struct iommufd_vevent_header header;
        struct iommu_vevent_arm_smmuv3 event;

        memcpy(&header, accel->events + pos, sizeof(header));
        if (header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) {
            /* No event follows such a header */
            smmuv3_accel_check_sequence(accel, &header, deliver);
            pos += sizeof(header);
            continue;
        }
        if (len - pos < SMMUV3_ACCEL_EVENT_SIZE) {
            break;
        }
        memcpy(&event, accel->events + pos + sizeof(header), sizeof(event));
        smmuv3_accel_check_sequence(accel, &header, deliver);
        accel->num_events++;
        *any |= deliver && smmuv3_accel_event(accel, &event);
        pos += SMMUV3_ACCEL_EVENT_SIZE;
    }
    return pos;
}

/*
 * One read, one interrupt.  Returns what read() does; without @deliver nothing
 * reaches the guest.
 */
static ssize_t smmuv3_accel_read_some(SMMUv3Accel *accel, bool deliver)
{
    size_t room = SMMUV3_ACCEL_EVENTS * SMMUV3_ACCEL_EVENT_SIZE -
                  accel->events_len;
    bool any = false;
    size_t used;
    ssize_t n;

    n = RETRY_ON_EINTR(read(accel->veventq.fd,
                            accel->events + accel->events_len, room));
    if (n <= 0) {
        return n;
    }
    accel->events_len += n;
    used = smmuv3_accel_parse_events(accel, accel->events_len, deliver, &any);
    accel->events_len -= used;
    memmove(accel->events, accel->events + used, accel->events_len);
    trace_smmuv3_accel_read_events(n);
    if (any) {
        smmuv3_trigger_irq(accel->s, SMMU_IRQ_EVTQ, 0);
    }
    return n;
}

/*
 * One read only: what is left makes the descriptor readable again, and the main
 * loop does other work in between, however many events there are.
 */
static void smmuv3_accel_read_events(void *opaque)
{
    SMMUv3Accel *accel = opaque;
    ssize_t n = smmuv3_accel_read_some(accel, true);

    if (n > 0) {
        accel->read_told = false;
    } else if (n < 0 && errno != EAGAIN) {
        if (!accel->read_told) {
            warn_report("arm-smmuv3 '%s': cannot read the host's events: %s; "
                        "trying again", smmuv3_accel_id(accel),
                        strerror(errno));
            accel->read_told = true;
        }
        /* It is still readable: do not let the main loop spin */
        timer_mod(accel->read_retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  SMMUV3_ACCEL_READ_RETRY_MS);
        smmuv3_accel_event_poll(accel);
    }
}

void smmuv3_accel_event_poll(SMMUv3Accel *accel)
{
    bool on;

    if (accel->veventq.fd >= 0) {
        on = runstate_is_running() && !timer_pending(accel->read_retry);
        qemu_set_fd_handler(accel->veventq.epoll_fd,
                            on ? smmuv3_accel_read_events : NULL, NULL, accel);
    }
}

static void smmuv3_accel_read_retry(void *opaque)
{
    smmuv3_accel_event_poll(opaque);
}

/*
 * The host does not destroy an event queue while a thread sleeps in poll() on
 * its descriptor, as the main loop may do while a vCPU unplugs the last device.
 * So the main loop sleeps on an epoll instance, which takes no reference to the
 * files that it watches.
 */
static bool smmuv3_accel_eventq_watch(SMMUv3AccelEventq *q, Error **errp)
{
    struct epoll_event event = { .events = EPOLLIN };

    q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (q->epoll_fd < 0) {
        error_setg_errno(errp, errno, "cannot create an epoll instance");
        return false;
    }
    if (epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, q->fd, &event)) {
        error_setg_errno(errp, errno, "cannot watch the host's event queue");
        close(q->epoll_fd);
        return false;
    }
    return true;
}

bool smmuv3_accel_eventq_alloc(SMMUv3Accel *accel, uint32_t type,
                               uint32_t depth, SMMUv3AccelEventq *q,
                               Error **errp)
{
    if (!iommufd_backend_alloc_veventq(accel->iommufd, accel->viommu_id, type,
                                       depth, &q->id, &q->fd, errp)) {
        q->fd = -1;
        return false;
    }
    if (!smmuv3_accel_eventq_watch(q, errp)) {
        close(q->fd);
        q->fd = -1;
        iommufd_backend_free_id(accel->iommufd, q->id);
        return false;
    }
    g_unix_set_fd_nonblocking(q->fd, true, NULL);
    return true;
}

void smmuv3_accel_eventq_free(SMMUv3Accel *accel, SMMUv3AccelEventq *q)
{
    qemu_set_fd_handler(q->epoll_fd, NULL, NULL, NULL);
    epoll_ctl(q->epoll_fd, EPOLL_CTL_DEL, q->fd, NULL);
    close(q->epoll_fd);
    close(q->fd);
    q->fd = -1;
    iommufd_backend_free_id(accel->iommufd, q->id);
}

void smmuv3_accel_event_start(SMMUv3Accel *accel)
{
    Error *err = NULL;

    if (!accel->viommu_id || accel->veventq.fd >= 0) {
        return;
    }
    if (!smmuv3_accel_eventq_alloc(accel, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
                                   SMMUV3_ACCEL_EVENT_DEPTH, &accel->veventq,
                                   &err)) {
        if (!accel->veventq_told) {
            warn_report("arm-smmuv3 '%s': the guest will not see faults of "
                        "host devices: %s", smmuv3_accel_id(accel),
                        error_get_pretty(err));
            accel->veventq_told = true;
        }
        error_free(err);
        return;
    }
    if (!accel->events) {
        accel->events = g_malloc(SMMUV3_ACCEL_EVENTS * SMMUV3_ACCEL_EVENT_SIZE);
        accel->read_retry = timer_new_ms(QEMU_CLOCK_REALTIME,
                                         smmuv3_accel_read_retry, accel);
    }
    accel->events_len = 0;
    accel->next_sequence = 0;
    accel->read_told = false;
    smmuv3_accel_event_poll(accel);
}

void smmuv3_accel_event_stop(SMMUv3Accel *accel)
{
    if (accel->veventq.fd < 0) {
        return;
    }
    timer_del(accel->read_retry);
    smmuv3_accel_eventq_free(accel, &accel->veventq);
}

/*
 * The host's queue stays when the guest's is switched off and on: it could be
 * made anew only when nobody uses the old one.  So drop what it holds, which is
 * from before.
 */
void smmuv3_accel_event_update(SMMUv3Accel *accel)
{
    bool on = smmuv3_eventq_enabled(accel->s);

    if (accel->eventq_on == on) {
        return;
    }
    accel->eventq_on = on;
    if (accel->veventq.fd >= 0) {
        for (int i = 0; i <= SMMUV3_ACCEL_DRAIN_READS; i++) {
            if (smmuv3_accel_read_some(accel, false) <= 0) {
                break;
            }
        }
    } else if (on) {
        smmuv3_accel_event_start(accel);
    }
}

void smmuv3_accel_event_record(SMMUv3Accel *accel, uint32_t sid,
                               const SMMUv3AccelTarget *t)
{
    SMMUEventInfo info = { .type = t->event, .sid = sid };

    /* As for events of the host: a stopped guest's memory stays as it is */
    if (!runstate_is_running()) {
        return;
    }
    if (t->event == SMMU_EVT_F_STE_FETCH) {
        info.u.f_ste_fetch.addr = t->addr;
    }
    smmuv3_record_event(accel->s, &info);
}
