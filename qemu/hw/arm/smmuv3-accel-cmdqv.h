/*
 * SMMUv3 on the host SMMU: command queues of the host for the guest
 *
 * Concepts:
 *
 * block       the CMDQV that the guest sees, with one VINTF
 * host queue  a queue of the host's SMMU that works off a queue of the guest,
 *             in guest memory
 * host page   page 0 of the host's VINTF, with PROD and CONS of its queues
 *
 * Either all queues that the guest has set up are host queues, and the guest
 * has the host page in its memory map: then nothing of it comes here.  Or all
 * are worked off by the block, as the queue of the SMMU itself is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_CMDQV_H
#define HW_ARM_SMMUV3_ACCEL_CMDQV_H

#include "smmuv3-accel-internal.h"

/**
 * smmuv3_accel_cmdqv_realize: make room for the block
 *
 * Its registers and interrupt become the last ones of the sysbus device.  With
 * cmdqv=off nothing is done.
 *
 * Returns: true, or false with @errp set.
 */
bool smmuv3_accel_cmdqv_realize(SMMUv3Accel *accel, Error **errp);

/**
 * smmuv3_accel_cmdqv_host_queues: does the host have queues for a guest?
 *
 * @accel: the SMMU
 * @idev: a device behind the host's SMMU
 *
 * Returns: how many queues a guest can have of the host's, 0 if they are of no
 *          use here or not wanted.
 */
int smmuv3_accel_cmdqv_host_queues(SMMUv3Accel *accel,
                                   HostIOMMUDeviceIOMMUFD *idev);

/**
 * smmuv3_accel_cmdqv_alloc_viommu: a vIOMMU that can have host queues
 *
 * @accel: the SMMU
 * @idev: a device behind the host's SMMU, attached to the nesting parent
 * @viommu_id: (out) the vIOMMU
 *
 * Returns: true; or false with @errp set; or false without, if one that has no
 *          host queues will do.
 */
bool smmuv3_accel_cmdqv_alloc_viommu(SMMUv3Accel *accel,
                                     HostIOMMUDeviceIOMMUFD *idev,
                                     uint32_t *viommu_id, Error **errp);

/**
 * smmuv3_accel_cmdqv_freeze: fix what the guest is told
 *
 * The first device has decided it.
 *
 * @accel: the SMMU, with the vIOMMU of that device
 * @hiod: the device
 */
void smmuv3_accel_cmdqv_freeze(SMMUv3Accel *accel, HostIOMMUDevice *hiod);

/* smmuv3_accel_cmdqv_start: the vIOMMU is there, queues can move to the host */
void smmuv3_accel_cmdqv_start(SMMUv3Accel *accel);

/* smmuv3_accel_cmdqv_stop: the vIOMMU is about to go */
void smmuv3_accel_cmdqv_stop(SMMUv3Accel *accel);

/* smmuv3_accel_cmdqv_poll: watch the host's errors while the VM runs */
void smmuv3_accel_cmdqv_poll(SMMUv3Accel *accel);

/* smmuv3_accel_cmdqv_max_devices: as many the host can tell apart in a queue */
uint32_t smmuv3_accel_cmdqv_max_devices(SMMUv3Accel *accel);

/* smmuv3_accel_cmdqv_veventq: the host's event queue for errors; 0: none */
uint32_t smmuv3_accel_cmdqv_veventq(SMMUv3Accel *accel);

/* smmuv3_accel_cmdqv_queue: the host queue of that logical index; 0: none */
uint32_t smmuv3_accel_cmdqv_queue(SMMUv3Accel *accel, uint32_t lidx);

/**
 * smmuv3_accel_cmdqv_log2size: how large a queue may be (IDR1.CMDQS)
 *
 * @accel: the SMMU
 * @max: what QEMU can do
 *
 * Returns: a power of two, of commands
 */
unsigned int smmuv3_accel_cmdqv_log2size(SMMUv3Accel *accel, unsigned int max);

#endif
