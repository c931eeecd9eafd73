/*
 * SMMUv3 on the host SMMU: events
 *
 * The host reports faults of the hardware with the guest's StreamID.  They go
 * to the guest's event queue as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "trace.h"
#include "smmuv3-accel-internal.h"

/* Events that the host keeps for us: more than the guest can be told at once */
#define SMMUV3_ACCEL_EVENT_DEPTH    4096

/* The sequence number after this one is 0 */
#define SMMUV3_ACCEL_SEQUENCE_MAX   INT32_MAX

/* Event record (SMMUv3 7.3): Type */
#define EVT0_TYPE(w)                extract64(w, 0, 8)

/* The kernel reports no others */
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

/* Returns true if there is something new in the guest's queue */
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
    trace_smmuv3_accel_event(evt.word[0] & 0xff, evt.word[1]);
    return smmuv3_queue_event(accel->s, &evt);
}

/* Events that were lost on the way are lost to the guest's queue */
static void smmuv3_accel_check_sequence(SMMUv3Accel *accel,
                                        const struct iommufd_vevent_header *h)
{
    bool lost = h->flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS ||
                h->sequence != accel->next_sequence;

    if (lost) {
        trace_smmuv3_accel_events_lost(accel->next_sequence, h->sequence);
        smmuv3_eventq_overflow(accel->s);
    }
    accel->next_sequence = h->sequence < SMMUV3_ACCEL_SEQUENCE_MAX ?
                           h->sequence + 1 : 0;
}

/* Returns the bytes that were consumed; sets @any if the guest got something */
static size_t smmuv3_accel_parse_events(SMMUv3Accel *accel, size_t len,
                                        bool *any)
{
    size_t pos = 0;

    while (len - pos >= sizeof(struct iommufd_vevent_header)) {
        struct iommufd_vevent_header header;
        struct iommu_vevent_arm_smmuv3 event;

        memcpy(&header, accel->events + pos, sizeof(header));
        if (header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) {
            /* Nothing follows it */
            smmuv3_accel_check_sequence(accel, &header);
            pos += sizeof(header);
            continue;
        }
        if (len - pos < SMMUV3_ACCEL_EVENT_SIZE) {
            break;
        }
        memcpy(&event, accel->events + pos + sizeof(header), sizeof(event));
        smmuv3_accel_check_sequence(accel, &header);
        *any |= smmuv3_accel_event(accel, &event);
        pos += SMMUV3_ACCEL_EVENT_SIZE;
    }
    return pos;
}

/*
 * One read, one interrupt: what does not fit the buffer makes the descriptor
 * readable again, so that a storm of events does not stop the main loop.
 */
static void smmuv3_accel_read_events(void *opaque)
{
    SMMUv3Accel *accel = opaque;
    size_t room = SMMUV3_ACCEL_EVENTS * SMMUV3_ACCEL_EVENT_SIZE -
                  accel->events_len;
    bool any = false;
    size_t used;
    ssize_t n;

    n = RETRY_ON_EINTR(read(accel->veventq_fd,
                            accel->events + accel->events_len, room));
    if (n <= 0) {
        if (n < 0 && errno != EAGAIN) {
            warn_report_once("arm-smmuv3: cannot read the host's events: %s",
                             strerror(errno));
            qemu_set_fd_handler(accel->veventq_fd, NULL, NULL, NULL);
        }
        return;
    }
    accel->events_len += n;
    used = smmuv3_accel_parse_events(accel, accel->events_len, &any);
    accel->events_len -= used;
    memmove(accel->events, accel->events + used, accel->events_len);
    trace_smmuv3_accel_read_events(n);
    if (any) {
        smmuv3_trigger_irq(accel->s, SMMU_IRQ_EVTQ, 0);
    }
}

void smmuv3_accel_eventq_start(SMMUv3Accel *accel)
{
    Error *err = NULL;

    if (!accel->viommu_id || accel->veventq_fd >= 0 ||
        !smmuv3_eventq_enabled(accel->s)) {
        return;
    }
    if (!iommufd_backend_alloc_veventq(accel->iommufd, accel->viommu_id,
                                       IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
                                       SMMUV3_ACCEL_EVENT_DEPTH,
                                       &accel->veventq_id, &accel->veventq_fd,
                                       &err)) {
        accel->veventq_fd = -1;
        if (!accel->veventq_told) {
            warn_report("arm-smmuv3: the guest will not see faults of host "
                        "devices: %s", error_get_pretty(err));
            accel->veventq_told = true;
        }
        error_free(err);
        return;
    }
    if (!accel->events) {
        accel->events = g_malloc(SMMUV3_ACCEL_EVENTS * SMMUV3_ACCEL_EVENT_SIZE);
    }
    accel->events_len = 0;
    accel->next_sequence = 0;
    g_unix_set_fd_nonblocking(accel->veventq_fd, true, NULL);
    qemu_set_fd_handler(accel->veventq_fd, smmuv3_accel_read_events, NULL,
                        accel);
}

void smmuv3_accel_eventq_stop(SMMUv3Accel *accel)
{
    if (accel->veventq_fd < 0) {
        return;
    }
    qemu_set_fd_handler(accel->veventq_fd, NULL, NULL, NULL);
    /* The descriptor is a user of the object */
    close(accel->veventq_fd);
    accel->veventq_fd = -1;
    iommufd_backend_free_id(accel->iommufd, accel->veventq_id);
}

void smmuv3_accel_update_eventq(SMMUv3State *s)
{
    if (!s->s_accel) {
        return;
    }
    if (smmuv3_eventq_enabled(s)) {
        smmuv3_accel_eventq_start(s->s_accel);
    } else {
        smmuv3_accel_eventq_stop(s->s_accel);
    }
}

void smmuv3_accel_record_config(SMMUv3AccelStream *st,
                                const SMMUv3AccelTarget *t)
{
    SMMUEventInfo info = {
        .type = t->event,
        .sid = smmuv3_accel_sid(st),
    };

    if (t->event == SMMU_EVT_F_STE_FETCH) {
        info.u.f_ste_fetch.addr = t->addr;
    }
    smmuv3_record_event(st->accel->s, &info);
}
