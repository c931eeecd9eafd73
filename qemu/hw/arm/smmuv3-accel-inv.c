/*
 * SMMUv3 on the host SMMU: invalidations, sent many at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/arm/smmuv3.h"
#include "trace.h"
#include "smmuv3-internal.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-inv.h"

static bool smmuv3_accel_inv_call(SMMUv3AccelInv *inv, SMMUv3AccelCmd *cmds,
                                  uint32_t num, Error **errp)
{
    uint32_t type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3;
    bool ok = iommufd_backend_invalidate_cache(inv->iommufd, inv->viommu_id,
                                               type, sizeof(*cmds), &num, cmds,
                                               errp);

    inv->calls++;
    inv->refused += !ok;
    inv->entries += num;
    return ok;
}

static bool smmuv3_accel_inv_is_atc(const SMMUv3AccelCmd *cmd)
{
    return (le64_to_cpu(cmd->cmd[0]) & CMD0_OP) == SMMU_CMD_ATC_INV;
}

/* Move ATC_INV behind the others, in order.  Returns the others' number */
static uint32_t smmuv3_accel_inv_part(SMMUv3AccelCmd *cmds, uint32_t num)
{
    g_autofree SMMUv3AccelCmd *atc = g_new(SMMUv3AccelCmd, num);
    uint32_t nr_atc = 0, rest = 0;

    for (uint32_t i = 0; i < num; i++) {
        if (smmuv3_accel_inv_is_atc(&cmds[i])) {
            atc[nr_atc++] = cmds[i];
        } else {
            cmds[rest++] = cmds[i];
        }
    }
    memcpy(&cmds[rest], atc, nr_atc * sizeof(*atc));
    return rest;
}

/*
 * Hosts with an erratum may overlook a TLBI or CFGI and need each batch of them
 * twice, in two calls.  ATC_INV is sent once, and last: before the repetition,
 * a device could still be given what the TLB was to forget.  There is no
 * CMD_SYNC within a batch, so the guest cannot rely on another order
 * (SMMUv3 4.7).
 */
static bool smmuv3_accel_inv_send_cmds(SMMUv3AccelInv *inv,
                                       SMMUv3AccelCmd *cmds, uint32_t num,
                                       Error **errp)
{
    uint32_t twice;

    if (!inv->repeat) {
        return smmuv3_accel_inv_call(inv, cmds, num, errp);
    }
    twice = smmuv3_accel_inv_part(cmds, num);
    if (twice && (!smmuv3_accel_inv_call(inv, cmds, twice, errp) ||
                  !smmuv3_accel_inv_call(inv, cmds, twice, errp))) {
        return false;
    }
    return twice == num ||
           smmuv3_accel_inv_call(inv, cmds + twice, num - twice, errp);
}

void smmuv3_accel_inv_init(SMMUv3AccelInv *inv, IOMMUFDBackend *iommufd,
                           uint32_t viommu_id, bool repeat)
{
    inv->iommufd = iommufd;
    inv->viommu_id = viommu_id;
    inv->repeat = repeat;
    inv->tlb_stale = false;
    inv->num = 0;
}

bool smmuv3_accel_inv_queue(SMMUv3AccelInv *inv, uint64_t cmd0, uint64_t cmd1)
{
    if (!inv->viommu_id) {
        return false;
    }
    inv->cmds[inv->num++] = (SMMUv3AccelCmd) {
        .cmd = { cpu_to_le64(cmd0), cpu_to_le64(cmd1) },
    };
    return inv->num == SMMUV3_ACCEL_BATCH_MAX;
}

bool smmuv3_accel_inv_send(SMMUv3AccelInv *inv, Error **errp)
{
    uint32_t num = inv->num;

    if (!num) {
        return true;
    }
    inv->num = 0;
    trace_smmuv3_accel_send(inv->viommu_id, num);
    return smmuv3_accel_inv_send_cmds(inv, inv->cmds, num, errp);
}

bool smmuv3_accel_inv_send_one(SMMUv3AccelInv *inv, uint32_t i, Error **errp)
{
    return smmuv3_accel_inv_send_cmds(inv, &inv->cmds[i], 1, errp);
}

bool smmuv3_accel_inv_flush_tlb(SMMUv3AccelInv *inv, Error **errp)
{
    SMMUv3AccelCmd cmd = { .cmd = { cpu_to_le64(SMMU_CMD_TLBI_NSNH_ALL) } };

    if (!smmuv3_accel_inv_send_cmds(inv, &cmd, 1, errp)) {
        return false;
    }
    inv->tlb_stale = false;
    return true;
}
