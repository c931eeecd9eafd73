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

#endif
