/*
 * SMMUv3 on the host SMMU: streams and their objects in the host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_STREAM_H
#define HW_ARM_SMMUV3_ACCEL_STREAM_H

#include "smmuv3-accel-internal.h"

/* smmuv3_accel_stream_init: there are no streams yet */
void smmuv3_accel_stream_init(SMMUv3Accel *accel);

/* smmuv3_accel_stream_sid: the StreamID that the guest gives the device now */
uint32_t smmuv3_accel_stream_sid(SMMUv3AccelStream *st);

/* smmuv3_accel_stream_find: the stream that has vDEVICE @vsid, or NULL */
SMMUv3AccelStream *smmuv3_accel_stream_find(SMMUv3Accel *accel, uint32_t vsid);

/**
 * smmuv3_accel_stream_add: start to follow a device
 *
 * @accel: the SMMU
 * @bus: bus of the device itself
 * @devfn: device and function number on @bus
 * @hiod: the device, attached by VFIO to a nesting parent; its aliased bus and
 *        devfn are its StreamID
 *
 * Returns: true, or false with @errp set and nothing left in the host.
 */
bool smmuv3_accel_stream_add(SMMUv3Accel *accel, PCIBus *bus, int devfn,
                             HostIOMMUDevice *hiod, Error **errp);

/**
 * smmuv3_accel_stream_del: stop following a device; its DMA is blocked
 *
 * A device that is not followed may be named, too.
 */
void smmuv3_accel_stream_del(SMMUv3Accel *accel, PCIBus *bus, int devfn);

/**
 * smmuv3_accel_stream_refresh: bring the host in line with the guest's STE
 *
 * @st: the stream
 * @cfgi: the guest has asked to forget what is cached of the STE, its CDs
 *        included (SMMUv3 4.3.1)
 */
void smmuv3_accel_stream_refresh(SMMUv3AccelStream *st, bool cfgi);

/**
 * smmuv3_accel_stream_queue: add a command for the host to the batch
 *
 * @accel: the SMMU
 * @cmd0: first word, in CPU byte order
 * @cmd1: second word
 */
void smmuv3_accel_stream_queue(SMMUv3Accel *accel, uint64_t cmd0,
                               uint64_t cmd1);

/**
 * smmuv3_accel_stream_send: send the batch
 *
 * Streams abort for which the host refuses a command.
 */
void smmuv3_accel_stream_send(SMMUv3Accel *accel);

/**
 * smmuv3_accel_stream_unstick: try again to block streams that are stuck
 *
 * Returns: false if some still are.
 */
bool smmuv3_accel_stream_unstick(SMMUv3Accel *accel);

#endif
