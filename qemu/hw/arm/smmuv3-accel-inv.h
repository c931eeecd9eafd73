/*
 * SMMUv3 on the host SMMU: invalidations, sent many at a time
 *
 * Concepts:
 *
 * command  a TLBI, CFGI or ATC_INV of the guest, reduced to what the host takes
 * batch    commands that wait, in the guest's order, to be sent by one call
 * stale    the host has refused a TLBI, so its TLB may hold what the guest
 *          wanted to be forgotten; set by whoever sends, cleared by a flush
 *
 * This module does not know streams: its user decides what a refusal means.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_INV_H
#define HW_ARM_SMMUV3_ACCEL_INV_H

#include "system/iommufd.h"
#include "system/iommufd-compat.h"

/* In the host's byte order */
typedef struct iommu_viommu_arm_smmuv3_invalidate SMMUv3AccelCmd;

/* Commands that may wait: a guest that posts more has them sent in slices */
#define SMMUV3_ACCEL_BATCH_MAX  1024

typedef struct SMMUv3AccelInv {
    IOMMUFDBackend *iommufd;
    uint32_t viommu_id;         /* 0: none, and nothing is cached */
    bool repeat;                /* the host wants TLBI and CFGI twice */
    bool tlb_stale;
    uint64_t calls;             /* since the start, for query-viommu */
    uint64_t refused;           /* of those */
    uint64_t entries;           /* that the host has handled */
    uint64_t merged;            /* into others, before they were sent */
    uint32_t num;               /* commands that wait */
    SMMUv3AccelCmd cmds[SMMUV3_ACCEL_BATCH_MAX];
} SMMUv3AccelInv;

/**
 * smmuv3_accel_inv_init: start with an empty batch
 *
 * @inv: the batch
 * @iommufd: of the vIOMMU
 * @viommu_id: the vIOMMU that commands go to, 0 to drop them
 * @repeat: whether the host has the erratum of TLBI and CFGI
 */
void smmuv3_accel_inv_init(SMMUv3AccelInv *inv, IOMMUFDBackend *iommufd,
                           uint32_t viommu_id, bool repeat);

/**
 * smmuv3_accel_inv_queue: add a command to the batch
 *
 * Invalidations of neighbours by ranges become one.
 *
 * @inv: the batch
 * @cmd0: first word, in CPU byte order; TG stands for a range (SMMUv3 4.4.1.1)
 *        only where the host has ranges, and is zero in other commands
 * @cmd1: second word
 *
 * Returns: true if the batch is full now, and has to be sent.
 */
bool smmuv3_accel_inv_queue(SMMUv3AccelInv *inv, uint64_t cmd0, uint64_t cmd1);

/**
 * smmuv3_accel_inv_send: send all that waits, by one call
 *
 * Nothing waits afterwards.
 *
 * Returns: true, or false with @errp set to the host's reason.  How many
 *          commands the host claims to have handled does not tell which of them
 *          it has carried out: each is to be sent again, alone.  They stay at
 *          the beginning of @inv->cmds until the next is queued.
 */
bool smmuv3_accel_inv_send(SMMUv3AccelInv *inv, Error **errp);

/* smmuv3_accel_inv_send_one: send command @i of a batch that was refused */
bool smmuv3_accel_inv_send_one(SMMUv3AccelInv *inv, uint32_t i, Error **errp);

/**
 * smmuv3_accel_inv_flush_tlb: forget all translations of this SMMU's guest
 *
 * Returns: true, and nothing is stale any more; or false with @errp set.
 */
bool smmuv3_accel_inv_flush_tlb(SMMUv3AccelInv *inv, Error **errp);

#endif
