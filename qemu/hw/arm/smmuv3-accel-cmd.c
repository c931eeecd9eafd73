/*
 * SMMUv3 on the host SMMU: the command queue
 *
 * Commands are checked against what the guest was told, brought into the form
 * that the host takes, and sent many at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/error-report.h"
#include "trace.h"
#include "smmuv3-accel-internal.h"

/* Fields of commands (SMMUv3 4.1.6, 4.2 to 4.7), in two 64-bit words */
#define CMD0_OP                 MAKE_64BIT_MASK(0, 8)
#define CMD0_GLOBAL             BIT_ULL(9)
#define CMD0_SSEC               BIT_ULL(10)
#define CMD0_SSV                BIT_ULL(11)
#define CMD0_NUM                MAKE_64BIT_MASK(12, 5)
#define CMD0_SSID               MAKE_64BIT_MASK(12, 20)
#define CMD0_SCALE              MAKE_64BIT_MASK(20, 5)
#define CMD0_SID                MAKE_64BIT_MASK(32, 32)
#define CMD0_ASID               MAKE_64BIT_MASK(48, 16)
#define CMD0_ASID8              MAKE_64BIT_MASK(48, 8)
#define CMD1_LEAF               BIT_ULL(0)
#define CMD1_ATC_SIZE           MAKE_64BIT_MASK(0, 6)
#define CMD1_TTL                MAKE_64BIT_MASK(8, 2)
#define CMD1_TG                 MAKE_64BIT_MASK(10, 2)
#define CMD1_ADDR               MAKE_64BIT_MASK(12, 52)

#define CMD1_TG_16K             (2ULL << 10)
#define CMD1_TTL_1              (1ULL << 8)
#define CMD_ATC_SIZE_ALL        52
#define CMD_RANGE_ALL           31
#define CMD_SYNC_CS_RESERVED    3

/* Translation is by the streams' HWPTs, but ATS only if the STE says so */
#define STE1_EATS(w)            extract64(w, 28, 2)

typedef struct iommu_viommu_arm_smmuv3_invalidate SMMUv3AccelCmd;

static bool smmuv3_accel_invalidate_once(SMMUv3Accel *accel,
                                         SMMUv3AccelCmd *cmds, uint32_t num,
                                         Error **errp)
{
    uint32_t type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3;

    return iommufd_backend_invalidate_cache(accel->iommufd, accel->viommu_id,
                                            type, sizeof(*cmds), &num, cmds,
                                            errp);
}

static bool smmuv3_accel_is_atc_inv(const SMMUv3AccelCmd *cmd)
{
    return (le64_to_cpu(cmd->cmd[0]) & CMD0_OP) == SMMU_CMD_ATC_INV;
}

/* Move ATC_INV behind the others, in order.  Returns the others' number */
static uint32_t smmuv3_accel_part(SMMUv3AccelCmd *cmds, uint32_t num)
{
    g_autofree SMMUv3AccelCmd *atc = g_new(SMMUv3AccelCmd, num);
    uint32_t nr_atc = 0, rest = 0;

    for (uint32_t i = 0; i < num; i++) {
        if (smmuv3_accel_is_atc_inv(&cmds[i])) {
            atc[nr_atc++] = cmds[i];
        } else {
            cmds[rest++] = cmds[i];
        }
    }
    memcpy(&cmds[rest], atc, nr_atc * sizeof(*atc));
    return rest;
}

/*
 * Some hosts may overlook a TLBI or CFGI and need each batch of them twice, in
 * two calls.  ATC_INV goes out once, and last: before the repetition, a device
 * could still be given what the TLB was to forget.  Within a batch there is no
 * CMD_SYNC that the guest could have relied on for another order (SMMUv3 4.7).
 */
static bool smmuv3_accel_invalidate(SMMUv3Accel *accel, SMMUv3AccelCmd *cmds,
                                    uint32_t num, Error **errp)
{
    uint32_t twice;

    if (!accel->repeat) {
        return smmuv3_accel_invalidate_once(accel, cmds, num, errp);
    }
    twice = smmuv3_accel_part(cmds, num);
    if (twice && (!smmuv3_accel_invalidate_once(accel, cmds, twice, errp) ||
                  !smmuv3_accel_invalidate_once(accel, cmds, twice, errp))) {
        return false;
    }
    return twice == num ||
           smmuv3_accel_invalidate_once(accel, cmds + twice, num - twice, errp);
}

bool smmuv3_accel_flush_tlb(SMMUv3Accel *accel, Error **errp)
{
    SMMUv3AccelCmd cmd = { .cmd = { cpu_to_le64(SMMU_CMD_TLBI_NSNH_ALL) } };

    if (!smmuv3_accel_invalidate(accel, &cmd, 1, errp)) {
        return false;
    }
    accel->tlb_stale = false;
    return true;
}

/* The stream that has a vDEVICE under this StreamID */
static SMMUv3AccelStream *smmuv3_accel_find_vsid(SMMUv3Accel *accel,
                                                 uint32_t sid)
{
    return g_hash_table_lookup(accel->vsids, GUINT_TO_POINTER(sid));
}

static bool smmuv3_accel_cmd_has_sid(const SMMUv3AccelCmd *cmd)
{
    switch (le64_to_cpu(cmd->cmd[0]) & CMD0_OP) {
    case SMMU_CMD_CFGI_CD:
    case SMMU_CMD_CFGI_CD_ALL:
    case SMMU_CMD_ATC_INV:
        return true;
    default:
        return false;
    }
}

/*
 * The host refuses a command that the guest may give.  Streams that could use
 * something stale stop, and whoever installs them again flushes first.
 */
static void smmuv3_accel_refused(SMMUv3Accel *accel, const SMMUv3AccelCmd *cmd,
                                 Error *err)
{
    g_autofree char *reason =
        g_strdup_printf("host refuses command 0x%" PRIx64 " 0x%" PRIx64 ": %s",
                        (uint64_t)le64_to_cpu(cmd->cmd[0]),
                        (uint64_t)le64_to_cpu(cmd->cmd[1]),
                        error_get_pretty(err));
    SMMUv3AccelStream *st;

    if (smmuv3_accel_cmd_has_sid(cmd)) {
        st = smmuv3_accel_find_vsid(accel, le64_to_cpu(cmd->cmd[0]) >> 32);
        if (st) {
            smmuv3_accel_stream_fail(st, reason);
        }
        return;
    }

    /* Which streams use an ASID is in CDs, which only the hardware reads */
    accel->tlb_stale = true;
    QLIST_FOREACH(st, &accel->streams, next) {
        if (st->state == SMMUV3_ACCEL_S1) {
            smmuv3_accel_stream_fail(st, reason);
        }
    }
}

/* Has the command become pointless since it was queued? */
static bool smmuv3_accel_is_moot(SMMUv3Accel *accel, const SMMUv3AccelCmd *cmd)
{
    SMMUv3AccelStream *st;

    if (!smmuv3_accel_cmd_has_sid(cmd)) {
        return accel->tlb_stale;
    }
    st = smmuv3_accel_find_vsid(accel, le64_to_cpu(cmd->cmd[0]) >> 32);
    return !st || st->state != SMMUV3_ACCEL_S1;
}

/*
 * The number of commands that the host says it has handled does not tell which
 * of them were carried out: do all again, one by one.
 */
static void smmuv3_accel_replay(SMMUv3Accel *accel, uint32_t num)
{
    for (uint32_t i = 0; i < num; i++) {
        Error *err = NULL;

        if (smmuv3_accel_is_moot(accel, &accel->batch[i])) {
            continue;
        }
        if (!smmuv3_accel_invalidate(accel, &accel->batch[i], 1, &err)) {
            smmuv3_accel_refused(accel, &accel->batch[i], err);
            error_free(err);
        }
    }
}

void smmuv3_accel_send(SMMUv3Accel *accel)
{
    uint32_t num = accel->batched;
    Error *err = NULL;

    if (!num) {
        return;
    }
    accel->batched = 0;
    trace_smmuv3_accel_send(accel->viommu_id, num);
    if (!smmuv3_accel_invalidate(accel, accel->batch, num, &err)) {
        if (num == 1) {
            smmuv3_accel_refused(accel, accel->batch, err);
        } else {
            smmuv3_accel_replay(accel, num);
        }
        error_free(err);
    }
}

static void smmuv3_accel_queue(SMMUv3Accel *accel, uint64_t cmd0, uint64_t cmd1)
{
    if (!accel->viommu_id) {
        /* No device, so nothing is cached */
        return;
    }
    accel->batch[accel->batched++] = (SMMUv3AccelCmd) {
        .cmd = { cpu_to_le64(cmd0), cpu_to_le64(cmd1) },
    };
    if (accel->batched == SMMUV3_ACCEL_BATCH_MAX) {
        smmuv3_accel_send(accel);
    }
}

void smmuv3_accel_queue_cd_all(SMMUv3AccelStream *st)
{
    smmuv3_accel_queue(st->accel, SMMU_CMD_CFGI_CD_ALL |
                       (uint64_t)st->vsid << 32, 0);
}

/*
 * The guest's commands.  Each handler is given the command and returns an
 * error code of CMDQ_CONS.  Bits that are reserved for what the guest was told
 * are ignored, as the architecture has it: the host must not see them.
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
    uint32_t sid = cmd0 >> 32;
    SMMUv3AccelStream *owner, *st;

    if (cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    owner = smmuv3_accel_find_vsid(accel, sid);
    if (owner) {
        smmuv3_accel_stream_refresh(owner, true);
    }
    /* Others may have that StreamID by now, if the guest has its way */
    QLIST_FOREACH(st, &accel->streams, next) {
        if (st != owner && smmuv3_accel_sid(st) == sid) {
            smmuv3_accel_stream_refresh(st, true);
        }
    }
    return SMMU_CERROR_NONE;
}

/* With the largest range: CFGI_ALL */
static SMMUCmdError smmuv3_accel_cmd_cfgi_ste_range(SMMUv3Accel *accel,
                                                    uint64_t cmd0,
                                                    uint64_t cmd1)
{
    unsigned int range = extract64(cmd1, 0, 5);
    uint32_t ignored = MAKE_64BIT_MASK(0, range + 1);
    SMMUv3AccelStream *st;

    /* The StreamID and Secure fields are not used by CFGI_ALL */
    if (range != CMD_RANGE_ALL && cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    QLIST_FOREACH(st, &accel->streams, next) {
        uint32_t sid = cmd0 >> 32;

        if (!((smmuv3_accel_sid(st) ^ sid) & ~ignored) ||
            (st->vdev_id && !((st->vsid ^ sid) & ~ignored))) {
            smmuv3_accel_stream_refresh(st, true);
        }
    }
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_cfgi_cd(SMMUv3Accel *accel, uint64_t cmd0,
                                             uint64_t cmd1)
{
    bool all = (cmd0 & CMD0_OP) == SMMU_CMD_CFGI_CD_ALL;
    SMMUv3AccelStream *st = smmuv3_accel_find_vsid(accel, cmd0 >> 32);

    if (cmd0 & CMD0_SSEC) {
        return SMMU_CERROR_ILL;
    }
    if (!st || st->state != SMMUV3_ACCEL_S1) {
        /* No stream, or one whose CDs nobody reads */
        return SMMU_CERROR_NONE;
    }
    cmd0 &= CMD0_OP | CMD0_SID |
            (!all && accel->features.ssidsize ? CMD0_SSID : 0);
    smmuv3_accel_queue(accel, cmd0, all ? 0 : cmd1 & CMD1_LEAF);
    return SMMU_CERROR_NONE;
}

/* The VMID field is reserved without stage 2 */
static SMMUCmdError smmuv3_accel_cmd_tlbi_all(SMMUv3Accel *accel,
                                              uint64_t cmd0, uint64_t cmd1)
{
    smmuv3_accel_queue(accel, cmd0 & CMD0_OP, 0);
    return SMMU_CERROR_NONE;
}

static uint64_t smmuv3_accel_asid_mask(SMMUv3Accel *accel)
{
    return accel->features.asid16 ? CMD0_ASID : CMD0_ASID8;
}

static SMMUCmdError smmuv3_accel_cmd_tlbi_asid(SMMUv3Accel *accel,
                                               uint64_t cmd0, uint64_t cmd1)
{
    smmuv3_accel_queue(accel, cmd0 & (CMD0_OP | smmuv3_accel_asid_mask(accel)),
                       0);
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
    smmuv3_accel_queue(accel, cmd0 & allowed0, cmd1 & allowed1);
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
    st = smmuv3_accel_find_vsid(accel, cmd0 >> 32);
    if (!st || st->state != SMMUV3_ACCEL_S1 || !STE1_EATS(st->ste[1])) {
        /* The host would wait for an answer of a device that gives none */
        return SMMU_CERROR_NONE;
    }
    cmd0 &= CMD0_OP | CMD0_SID | (accel->features.ssidsize ?
                                  CMD0_SSV | CMD0_SSID | CMD0_GLOBAL : 0);
    smmuv3_accel_queue(accel, cmd0, cmd1 & (CMD1_ATC_SIZE | CMD1_ADDR));
    return SMMU_CERROR_NONE;
}

static SMMUCmdError smmuv3_accel_cmd_sync(SMMUv3Accel *accel, uint64_t cmd0,
                                          uint64_t cmd1)
{
    if (extract64(cmd0, 12, 2) == CMD_SYNC_CS_RESERVED) {
        return SMMU_CERROR_ILL;
    }
    smmuv3_accel_send(accel);
    return smmuv3_accel_unstick(accel) ? SMMU_CERROR_NONE : SMMU_CERROR_ABT;
}

/* What is not here is for other stages, security states or features */
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

SMMUCmdError smmuv3_accel_command(SMMUv3State *s, const Cmd *cmd)
{
    uint64_t cmd0 = cmd->word[0] | (uint64_t)cmd->word[1] << 32;
    uint64_t cmd1 = cmd->word[2] | (uint64_t)cmd->word[3] << 32;
    unsigned int op = cmd0 & CMD0_OP;

    if (!s->s_accel) {
        return SMMU_CERROR_NONE;
    }
    if (op >= ARRAY_SIZE(smmuv3_accel_cmds) || !smmuv3_accel_cmds[op]) {
        return SMMU_CERROR_ILL;
    }
    return smmuv3_accel_cmds[op](s->s_accel, cmd0, cmd1);
}

void smmuv3_accel_flush(SMMUv3State *s)
{
    if (s->s_accel) {
        smmuv3_accel_send(s->s_accel);
    }
}
