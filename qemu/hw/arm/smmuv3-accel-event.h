/*
 * SMMUv3 on the host SMMU: events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_EVENT_H
#define HW_ARM_SMMUV3_ACCEL_EVENT_H

#include "smmuv3-accel-internal.h"

/**
 * smmuv3_accel_eventq_alloc: make an event queue of the vIOMMU
 *
 * @accel: the SMMU
 * @type: what it shall have (enum iommu_veventq_type)
 * @depth: events that the host keeps until they are read
 * @q: (out) the queue; reading it does not wait
 *
 * Returns: true; or false with @errp set, and @q->fd is -1.
 */
bool smmuv3_accel_eventq_alloc(SMMUv3Accel *accel, uint32_t type,
                               uint32_t depth, SMMUv3AccelEventq *q,
                               Error **errp);

/* smmuv3_accel_eventq_free: destroy a queue, before its vIOMMU */
void smmuv3_accel_eventq_free(SMMUv3Accel *accel, SMMUv3AccelEventq *q);

/**
 * smmuv3_accel_event_start: have the host report events
 *
 * Creates the event queue of the vIOMMU, if there is a vIOMMU without one.  A
 * host that refuses is reported once; the guest just sees no faults then.
 */
void smmuv3_accel_event_start(SMMUv3Accel *accel);

/* smmuv3_accel_event_stop: destroy the queue, before its vIOMMU */
void smmuv3_accel_event_stop(SMMUv3Accel *accel);

/* smmuv3_accel_event_poll: listen to the host while the VM runs, else do not */
void smmuv3_accel_event_poll(SMMUv3Accel *accel);

/* smmuv3_accel_event_update: the guest may have switched its queue on or off */
void smmuv3_accel_event_update(SMMUv3Accel *accel);

/**
 * smmuv3_accel_event_record: tell the guest that it configured a stream badly
 *
 * @accel: the SMMU
 * @sid: the stream
 * @t: says which event (SMMUv3 7.3)
 */
void smmuv3_accel_event_record(SMMUv3Accel *accel, uint32_t sid,
                               const SMMUv3AccelTarget *t);

#endif
