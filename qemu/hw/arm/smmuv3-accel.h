/*
 * SMMUv3: stage-1 tables owned by the guest, walked by the host SMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_H
#define HW_ARM_SMMUV3_ACCEL_H

#include "hw/arm/smmuv3.h"
#include "system/viommu-query.h"
#include "smmuv3-internal.h"

/**
 * smmuv3_accel_realize: create what host devices behind @s share
 *
 * Called when @s is realized, before its PCI bus gets an IOMMU.  Checks the
 * properties that concern host devices.  Without accel=on it does nothing
 * else.
 *
 * Returns: true, or false with @errp set.
 */
bool smmuv3_accel_realize(SMMUv3State *s, Error **errp);

/**
 * smmuv3_accel_realize_sysbus: add registers and interrupts that need a host
 *
 * Called when @s has its own ones, which come first.
 *
 * Returns: true, or false with @errp set.
 */
bool smmuv3_accel_realize_sysbus(SMMUv3State *s, Error **errp);

/**
 * smmuv3_accel_init_regs: advertise what was agreed with the host
 *
 * Called when the identification registers of @s have the values of an
 * emulated SMMU (SMMUv3 6.3.1 to 6.3.6).
 */
void smmuv3_accel_init_regs(SMMUv3State *s);

/**
 * smmuv3_accel_refresh_all: follow a change that may concern any stream
 *
 * For CR0.SMMUEN, GBPA, STRTAB_BASE, STRTAB_BASE_CFG and reset.
 */
void smmuv3_accel_refresh_all(SMMUv3State *s);

/**
 * smmuv3_accel_update_eventq: follow CR0.EVENTQEN
 */
void smmuv3_accel_update_eventq(SMMUv3State *s);

/**
 * smmuv3_accel_command: carry out a command as far as host devices go
 *
 * Commands that invalidate translations are collected.  They are sent by
 * CMD_SYNC, before a change of a stream's configuration, when the batch is
 * full, and by smmuv3_accel_flush(), always in the guest's order.
 *
 * @s: the SMMU
 * @cmd: command in CPU byte order
 *
 * Returns: SMMU_CERROR_NONE, SMMU_CERROR_ILL if the command is illegal
 *          (SMMUv3 7.1), or SMMU_CERROR_ABT for a CMD_SYNC that cannot be
 *          completed because a stream can be neither updated nor stopped.
 */
SMMUCmdError smmuv3_accel_command(SMMUv3State *s, const Cmd *cmd);

/**
 * smmuv3_accel_take_commands: carry out those at the head of the queue that
 * concern nothing but host devices
 *
 * Returns: true if there were any: the queue may be empty now.
 */
bool smmuv3_accel_take_commands(SMMUv3State *s);

/**
 * smmuv3_accel_read_command: the command at the head of the queue
 *
 * Commands up to the tail are read together, and none twice.
 *
 * @s: the SMMU; its queue has commands, and is being worked off
 * @cmd: set to the command in CPU byte order
 *
 * Returns: false if the caller has to read it.
 */
bool smmuv3_accel_read_command(SMMUv3State *s, Cmd *cmd);

/**
 * smmuv3_accel_flush: send the commands that were collected
 *
 * Called at the end of the work for a doorbell, so that nothing is
 * outstanding while the guest runs.
 */
void smmuv3_accel_flush(SMMUv3State *s);

/**
 * smmuv3_accel_describe: what was found out about and agreed with the host
 *
 * Returns: for people, for each host device the registers of its SMMU and what
 *          the device is attached to; the caller frees it.
 */
char *smmuv3_accel_describe(SMMUv3State *s);

/**
 * smmuv3_accel_query: add to what query-viommu says of @s
 *
 * Its mode is known to the caller.
 */
void smmuv3_accel_query(SMMUv3State *s, ViommuQuery *query);

#endif
