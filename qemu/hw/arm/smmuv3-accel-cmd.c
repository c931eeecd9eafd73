/*
 * SMMUv3 on the host SMMU: the guest's commands
 *
 * Commands are checked against what the guest was told, reduced to what the
 * host takes, and queued.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/dma.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-cmd.h"
#include "smmuv3-accel-stream.h"
#include "trace.h"

/*
 * A handler gets the words of a command and returns an error code of CMDQ_CONS.
 * It clears the bits that are reserved on an SMMU as the guest was told about:
 * the architecture ignores them, the host need not.
 */

typedef SMMUCmdError SMMUv3AccelCmdFunc(SMMUv3Accel *accel, uint64_t cmd0,
                                        uint64_t cmd1);

static SMMUCmdError smmuv3_accel_cmd_nop(SMMUv3Accel *accel, uint64_t cmd0,
                                         uint64_t cmd1)
{
    return cmd0 & CMD0_SSEC ? SMMU_CERROR_ILL : SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_cfgi_ste(SMMUv3Accel *accel,
                                              uint64_t cmd0, uint64_t cmd1)
{
    if (cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    smmuv3_accel_stream_cfgi(accel, CMD0_SID(cmd0));
    return SMMU_CERROR_NONE;
}

/* CFGI_ALL is this command with the largest range */
static SMMUCmdError smmuv3_accel_cmd_cfgi_ste_range(SMMUv3Accel *accel,
                                                    uint64_t cmd0,
                                                    uint64_t cmd1)
{
    uint32_t ignored = MAKE_64BIT_MASK(0, CMD1_RANGE(cmd1) + 1);

    if (cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    smmuv3_accel_stream_refresh_range(accel, CMD0_SID(cmd0), ignored, true);
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_cfgi_cd(SMMUv3Accel *accel, uint64_t cmd0,
                                             uint64_t cmd1)
{
    bool all = (cmd0 & CMD0_OP) == SMMU_CMD_CFGI_CD_ALL;
    SMMUv3AccelStream *st = smmuv3_accel_stream_find(accel, CMD0_SID(cmd0));

    if (cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    if (!st || !st->s1_hwpt_id) {
        /* Without stage 1 the host has cached no CDs */
        return SMMU_CERROR_NONE;
    }
    cmd0 &= CMD0_OP | CMD0_SID_MASK |
            (!all && accel->features.ssidsize ? CMD0_SSID : 0);
    smmuv3_accel_stream_queue(accel, cmd0, all ? 0 : cmd1 & CMD1_LEAF);
    return SMMU_CERROR_NONE;
}

/* The VMID field is reserved without stage 2 */
static SMMUCmdError smmuv3_accel_cmd_tlbi_all(SMMUv3Accel *accel,
                                              uint64_t cmd0, uint64_t cmd1)
{
    smmuv3_accel_stream_queue(accel, cmd0 & CMD0_OP, 0);
    return SMMU_CERROR_NONE;
}

static uint64_t smmuv3_accel_asid_mask(SMMUv3Accel *accel)
{
    return accel->features.asid16 ? CMD0_ASID : CMD0_ASID8;
}

static SMMUCmdError smmuv3_accel_cmd_tlbi_asid(SMMUv3Accel *accel,
                                               uint64_t cmd0, uint64_t cmd1)
{
    cmd0 &= CMD0_OP | smmuv3_accel_asid_mask(accel);
    smmuv3_accel_stream_queue(accel, cmd0, 0);
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_tlbi_va(SMMUv3Accel *accel,
                                             uint64_t cmd0, uint64_t cmd1)
{
    uint64_t allowed0 = CMD0_OP, allowed1 = CMD1_LEAF | CMD1_ADDR;

    if ((cmd0 & CMD0_OP) == SMMU_CMD_TLBI_NH_VA) {
        allowed0 |= smmuv3_accel_asid_mask(accel);
    }
    if (accel->features.ril && cmd1 & CMD1_TG) {
        bool range = cmd0 & (CMD0_NUM | CMD0_SCALE);

        /* Reserved combinations (SMMUv3 4.4.1.1) */
        if ((!range && !(cmd1 & CMD1_TTL)) ||
            ((cmd1 & CMD1_TG) == CMD1_TG_16K &&
             (cmd1 & CMD1_TTL) == CMD1_TTL_1)) {
            return SMMU_CERROR_ILL;
        }
        allowed0 |= CMD0_NUM | CMD0_SCALE;
        allowed1 |= CMD1_TG | CMD1_TTL;
    }
    smmuv3_accel_stream_queue(accel, cmd0 & allowed0, cmd1 & allowed1);
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_atc_inv(SMMUv3Accel *accel, uint64_t cmd0,
                                             uint64_t cmd1)
{
    SMMUv3AccelStream *st;

    if (!accel->features.ats || cmd0 & CMD0_SSEC ||
        (cmd1 & CMD1_ATC_SIZE) > CMD_ATC_SIZE_ALL) {
        return SMMU_CERROR_ILL;
    }
    st = smmuv3_accel_stream_find(accel, CMD0_SID(cmd0));
    if (!st || !st->s1_hwpt_id || !STE1_EATS(st->ste[1])) {
        /* A device without ATS does not answer, and the host would time out */
        return SMMU_CERROR_NONE;
    }
    cmd0 &= CMD0_OP | CMD0_SID_MASK | (accel->features.ssidsize ?
                                  CMD0_SSV | CMD0_SSID | CMD0_GLOBAL : 0);
    smmuv3_accel_stream_queue(accel, cmd0, cmd1 & (CMD1_ATC_SIZE | CMD1_ADDR));
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_sync(SMMUv3Accel *accel, uint64_t cmd0,
                                          uint64_t cmd1)
{
    if (CMD0_SYNC_CS(cmd0) == CMD_SYNC_CS_RESERVED) {
        return SMMU_CERROR_ILL;
    }
    smmuv3_accel_stream_send(accel);
    return smmuv3_accel_stream_unstick(accel) ? SMMU_CERROR_NONE
                                              : SMMU_CERROR_ABT;
}

/* Others need a stage, security state or feature that was not offered */
static SMMUv3AccelCmdFunc *const smmuv3_accel_cmds[] = {
    [SMMU_CMD_PREFETCH_CONFIG] = smmuv3_accel_cmd_nop,
    [SMMU_CMD_PREFETCH_ADDR] = smmuv3_accel_cmd_nop,
    [SMMU_CMD_CFGI_STE] = smmuv3_accel_cmd_cfgi_ste,
    [SMMU_CMD_CFGI_STE_RANGE] = smmuv3_accel_cmd_cfgi_ste_range,
    [SMMU_CMD_CFGI_CD] = smmuv3_accel_cmd_cfgi_cd,
    [SMMU_CMD_CFGI_CD_ALL] = smmuv3_accel_cmd_cfgi_cd,
    [SMMU_CMD_TLBI_NH_ALL] = smmuv3_accel_cmd_tlbi_all,
    [SMMU_CMD_TLBI_NH_ASID] = smmuv3_accel_cmd_tlbi_asid,
    [SMMU_CMD_TLBI_NH_VA] = smmuv3_accel_cmd_tlbi_va,
    [SMMU_CMD_TLBI_NH_VAA] = smmuv3_accel_cmd_tlbi_va,
    [SMMU_CMD_TLBI_NSNH_ALL] = smmuv3_accel_cmd_tlbi_all,
    [SMMU_CMD_ATC_INV] = smmuv3_accel_cmd_atc_inv,
    [SMMU_CMD_SYNC] = smmuv3_accel_cmd_sync,
};

SMMUCmdError smmuv3_accel_cmd_run(SMMUv3Accel *accel, const Cmd *cmd)
{
    uint64_t cmd0 = cmd->word[0] | (uint64_t)cmd->word[1] << 32;
    uint64_t cmd1 = cmd->word[2] | (uint64_t)cmd->word[3] << 32;
    unsigned int op = cmd0 & CMD0_OP;

    if (op >= ARRAY_SIZE(smmuv3_accel_cmds) || !smmuv3_accel_cmds[op]) {
        return SMMU_CERROR_ILL;
    }
    return smmuv3_accel_cmds[op](accel, cmd0, cmd1);
}

/* The command at the head, or NULL if it cannot be read together with more */
static const Cmd *smmuv3_accel_cmd_head(SMMUv3Accel *accel)
{
    SMMUv3AccelAhead *ahead = &accel->ahead;
    SMMUQueue *q = &accel->s->cmdq;
    uint32_t index = Q_CONS(q) - ahead->first;

    if (index >= ahead->num) {
        hwaddr addr = Q_CONS_ENTRY(q);
        uint32_t end = Q_PROD(q) > Q_CONS(q) ? Q_PROD(q) : 1 << q->log2size;
        uint32_t num = MIN(end - Q_CONS(q), ARRAY_SIZE(ahead->cmds) -
                           addr / sizeof(Cmd) % ARRAY_SIZE(ahead->cmds));

        ahead->num = 0;
        if (QLIST_EMPTY(&accel->streams) ||
            dma_memory_read(&address_space_memory, addr, ahead->cmds,
                            num * sizeof(Cmd), SMMU_MEM_ATTRS)) {
            return NULL;
        }
        for (uint32_t i = 0; i < num; i++) {
            for (size_t j = 0; j < ARRAY_SIZE(ahead->cmds[i].word); j++) {
                le32_to_cpus(&ahead->cmds[i].word[j]);
            }
        }
        ahead->first = Q_CONS(q);
        ahead->num = num;
        index = 0;
    }
    return &ahead->cmds[index];
}

bool smmuv3_accel_cmd_read(SMMUv3Accel *accel, Cmd *cmd)
{
    const Cmd *head = smmuv3_accel_cmd_head(accel);

    if (!head) {
        return false;
    }
    *cmd = *head;
    return true;
}

/* Has QEMU itself anything that an invalidation may concern? */
static bool smmuv3_accel_has_emulated(SMMUv3State *s)
{
    QEMU_LOCK_GUARD(&s->mutex);
    return g_hash_table_size(s->smmu_state.iotlb) ||
           g_hash_table_size(s->smmu_state.configs) ||
           !QLIST_EMPTY(&s->smmu_state.devices_with_notifiers);
}

/* Commands of which QEMU's own part does no more than to forget something */
static bool smmuv3_accel_can_take(unsigned int type)
{
    const uint64_t types =
        BIT_ULL(SMMU_CMD_TLBI_NH_VA) | BIT_ULL(SMMU_CMD_TLBI_NH_VAA) |
        BIT_ULL(SMMU_CMD_CFGI_STE) | BIT_ULL(SMMU_CMD_CFGI_STE_RANGE) |
        BIT_ULL(SMMU_CMD_CFGI_CD) | BIT_ULL(SMMU_CMD_CFGI_CD_ALL);

    return type < 64 && types & BIT_ULL(type);
}

bool smmuv3_accel_cmd_take(SMMUv3Accel *accel)
{
    SMMUv3State *s = accel->s;
    bool taken = false;
    const Cmd *cmd;

    while (!smmuv3_q_empty(&s->cmdq) && (cmd = smmuv3_accel_cmd_head(accel))) {
        unsigned int type = CMD_TYPE(cmd);

        if (!smmuv3_accel_can_take(type) ||
            (!taken && smmuv3_accel_has_emulated(s)) ||
            smmuv3_accel_cmd_run(accel, cmd) != SMMU_CERROR_NONE) {
            break;
        }
        if (trace_event_get_state_backends(TRACE_SMMUV3_CMDQ_OPCODE)) {
            trace_smmuv3_cmdq_opcode(smmu_cmd_string(type));
        }
        queue_cons_incr(&s->cmdq);
        accel->num_commands++;
        taken = true;
    }
    return taken;
}
