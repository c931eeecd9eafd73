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
uint32_t smmuv3_accel_stream_sid(const SMMUv3AccelStream *st);

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
 * smmuv3_accel_stream_cfgi: the guest asks to forget what is cached of an STE
 *
 * The host forgets its CDs, too (SMMUv3 4.3.1), and follows what has changed.
 *
 * @accel: the SMMU
 * @sid: the stream's StreamID
 */
void smmuv3_accel_stream_cfgi(SMMUv3Accel *accel, uint32_t sid);

/**
 * smmuv3_accel_stream_refresh_range: bring the host in line with many STEs
 *
 * @accel: the SMMU
 * @sid: a StreamID
 * @ignored: bits in which others may differ from it
 * @cfgi: the guest asks to forget what is cached of them, see above; without,
 *        only what has changed is followed
 */
void smmuv3_accel_stream_refresh_range(SMMUv3Accel *accel, uint32_t sid,
                                       uint32_t ignored, bool cfgi);

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
