/*
 * SMMUv3 without CONFIG_IOMMUFD: no stage-1 tables on the host SMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "smmuv3-accel.h"

bool smmuv3_accel_realize(SMMUv3State *s, Error **errp)
{
    if (s->accel) {
        error_setg(errp, "accel=on needs CONFIG_IOMMUFD, which this QEMU was "
                   "built without");
        return false;
    }
    return true;
}

bool smmuv3_accel_realize_sysbus(SMMUv3State *s, Error **errp)
{
    return true;
}

void smmuv3_accel_init_regs(SMMUv3State *s)
{
}

void smmuv3_accel_refresh_all(SMMUv3State *s)
{
}

void smmuv3_accel_update_eventq(SMMUv3State *s)
{
}

SMMUCmdError smmuv3_accel_command(SMMUv3State *s, const Cmd *cmd)
{
    return SMMU_CERROR_NONE;
}

bool smmuv3_accel_take_commands(SMMUv3State *s)
{
    return false;
}

bool smmuv3_accel_read_command(SMMUv3State *s, Cmd *cmd)
{
    return false;
}

void smmuv3_accel_flush(SMMUv3State *s)
{
}

char *smmuv3_accel_describe(SMMUv3State *s)
{
    return g_strdup("");
}

void smmuv3_accel_query(SMMUv3State *s, ViommuQuery *query)
{
}
