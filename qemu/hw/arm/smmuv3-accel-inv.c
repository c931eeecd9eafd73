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
    inv->num = 0;
}

/*
 * Joining
 *
 * Two ranges that are the halves of a naturally aligned one of a power of two
 * pages become that one.  Nothing else is asked for then, and nothing left out.
 *
 * Only commands that name their granule (TG) are joined: without, an address
 * stands for whatever page or block contains it (SMMUv3 4.4.1), whose size is
 * in CDs that only the hardware reads, while a range is for tables of its TG
 * and need not touch others (4.4.1.1).
 */

/* Pages of a range, as a power of two; -1: it is none, or not aligned to it */
static int smmuv3_accel_inv_order(uint64_t cmd0, uint64_t cmd1)
{
    unsigned int num = CMD0_GET_NUM(cmd0) + 1;
    unsigned int order = ctz32(num) + CMD0_GET_SCALE(cmd0);
    unsigned int page_bits = CMD1_PAGE_BITS(cmd1);
    unsigned int ttl = CMD1_GET_TTL(cmd1);

    if (!is_power_of_2(num) || order >= CMD_SCALE_MAX ||
        page_bits + order >= 64 ||
        cmd1 & CMD1_ADDR & MAKE_64BIT_MASK(0, page_bits + order)) {
        return -1;
    }
    /* A range within a block, which TTL says it is for: leave that alone */
    if (ttl && order < (CMD_TTL_LAST - ttl) * (page_bits - 3)) {
        return -1;
    }
    return order;
}

/*
 * Join what waits last with the one before, as often as they make a pair.  Not
 * inlined: most commands need none of it.
 */
static void __attribute__((noinline))
smmuv3_accel_inv_join(SMMUv3AccelInv *inv)
{
    while (inv->num >= 2) {
        SMMUv3AccelCmd *first = &inv->cmds[inv->num - 2];
        uint64_t a0 = le64_to_cpu(first->cmd[0]);
        uint64_t a1 = le64_to_cpu(first->cmd[1]);
        uint64_t b0 = le64_to_cpu(first[1].cmd[0]);
        uint64_t b1 = le64_to_cpu(first[1].cmd[1]);
        int order = smmuv3_accel_inv_order(b0, b1);

        /* The same but for the range, which differs in the pair's lowest bit */
        if (order < 0 || ((a0 ^ b0) & ~(CMD0_NUM | CMD0_SCALE)) ||
            (a1 ^ b1) != BIT_ULL(CMD1_PAGE_BITS(b1) + order) ||
            smmuv3_accel_inv_order(a0, a1) != order) {
            return;
        }
        a0 &= ~(CMD0_NUM | CMD0_SCALE);
        first->cmd[0] = cpu_to_le64(a0 | CMD0_MAKE_SCALE(order + 1));
        first->cmd[1] = cpu_to_le64(a1 & b1);
        inv->num--;
        inv->merged++;
    }
}

bool smmuv3_accel_inv_queue(SMMUv3AccelInv *inv, uint64_t cmd0, uint64_t cmd1)
{
    if (!inv->viommu_id) {
        return false;
    }
    inv->cmds[inv->num++] = (SMMUv3AccelCmd) {
        .cmd = { cpu_to_le64(cmd0), cpu_to_le64(cmd1) },
    };
    if (cmd1 & CMD1_TG) {
        smmuv3_accel_inv_join(inv);
    }
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
