/*
 * SMMUv3 on the host SMMU: the guest's commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_CMD_H
#define HW_ARM_SMMUV3_ACCEL_CMD_H

#include "smmuv3-accel-internal.h"

/* smmuv3_accel_cmd_run: see smmuv3_accel_command() */
SMMUCmdError smmuv3_accel_cmd_run(SMMUv3Accel *accel, const Cmd *cmd);

/* smmuv3_accel_cmd_take: see smmuv3_accel_take_commands() */
bool smmuv3_accel_cmd_take(SMMUv3Accel *accel);

/* smmuv3_accel_cmd_read: see smmuv3_accel_read_command() */
bool smmuv3_accel_cmd_read(SMMUv3Accel *accel, Cmd *cmd);

#endif
