/*
 * Command queues of Tegra241 (CMDQV) beside an SMMUv3
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "hw/registerfields.h"
#include "migration/vmstate.h"
#include "system/dma.h"
#include "system/runstate.h"
#include "hw/arm/tegra241-cmdqv.h"
#include "smmuv3-internal.h"
#include "trace.h"

/* The first page of the block */
REG32(CMDQV_CONFIG, 0x0)
    FIELD(CMDQV_CONFIG, EN, 0, 1)
REG32(CMDQV_PARAM, 0x4)
    FIELD(CMDQV_PARAM, VER, 0, 4)
    FIELD(CMDQV_PARAM, NUM_VCMDQ_LOG2, 4, 4)
    FIELD(CMDQV_PARAM, NUM_VINTF_LOG2, 8, 4)
    FIELD(CMDQV_PARAM, NUM_SID_LOG2, 12, 4)
REG32(CMDQV_STATUS, 0x8)
REG32(CMDQV_VINTF_ERR_MAP, 0x14)        /* 2 words */
REG32(CMDQV_VINTF_INT_MASK, 0x1c)       /* 2 words */
REG32(CMDQV_CMDQ_ERR_MAP, 0x24)         /* 4 words */
REG32(CMDQV_CMDQ_ALLOC, 0x200)          /* for each VCMDQ */
    FIELD(CMDQV_CMDQ_ALLOC, ALLOCATED, 0, 1)
    FIELD(CMDQV_CMDQ_ALLOC, LVCMDQ, 1, 7)
    FIELD(CMDQV_CMDQ_ALLOC, VINTF, 15, 6)

/* For each VINTF there */
#define VINTF_BASE              0x1000
#define VINTF_STRIDE            0x100
REG32(VINTF_CONFIG, 0x0)
    FIELD(VINTF_CONFIG, EN, 0, 1)
    FIELD(VINTF_CONFIG, VMID, 1, 16)
    FIELD(VINTF_CONFIG, HYP_OWN, 17, 1)
REG32(VINTF_STATUS, 0x4)
REG32(VINTF_SID_MATCH, 0x40)            /* for each pair */
    FIELD(VINTF_SID_MATCH, ENABLE, 0, 1)
    FIELD(VINTF_SID_MATCH, VIRT_SID, 1, 20)
REG32(VINTF_SID_REPLACE, 0x80)
REG32(VINTF_LVCMDQ_ERR_MAP, 0xc0)       /* 4 words */

/* Fields of a queue's registers */
FIELD(VCMDQ_CONFIG, EN, 0, 1)
FIELD(VCMDQ_CONS, ERR, 24, 7)
FIELD(VCMDQ_GERROR, CMDQ_ERR, 0, 1)

#define ALLOC_MASK (R_CMDQV_CMDQ_ALLOC_ALLOCATED_MASK | \
                    R_CMDQV_CMDQ_ALLOC_LVCMDQ_MASK | \
                    R_CMDQV_CMDQ_ALLOC_VINTF_MASK)

/* Commands of a queue that are carried out before the main loop goes on */
#define COMMANDS_PER_TURN       256

/* --- who is who --- */

static bool is_allocated(const Tegra241VCMDQ *q)
{
    return FIELD_EX32(q->alloc, CMDQV_CMDQ_ALLOC, ALLOCATED);
}

static unsigned int vintf_of(const Tegra241VCMDQ *q)
{
    return FIELD_EX32(q->alloc, CMDQV_CMDQ_ALLOC, VINTF);
}

static unsigned int lidx_of(const Tegra241VCMDQ *q)
{
    return FIELD_EX32(q->alloc, CMDQV_CMDQ_ALLOC, LVCMDQ);
}

Tegra241VCMDQ *tegra241_cmdqv_lvcmdq(Tegra241CMDQV *cmdqv, unsigned int vintf,
                                     unsigned int lidx)
{
    for (uint32_t i = 0; i < cmdqv->num_vcmdqs; i++) {
        Tegra241VCMDQ *q = &cmdqv->vcmdqs[i];

        if (is_allocated(q) && vintf_of(q) == vintf && lidx_of(q) == lidx) {
            return q;
        }
    }
    return NULL;
}

bool tegra241_cmdqv_vintf_enabled(const Tegra241CMDQV *cmdqv,
                                  unsigned int vintf)
{
    return FIELD_EX32(cmdqv->config, CMDQV_CONFIG, EN) &&
           FIELD_EX32(cmdqv->vintfs[vintf].config, VINTF_CONFIG, EN);
}

static bool is_enabled(const Tegra241CMDQV *cmdqv, const Tegra241VCMDQ *q)
{
    return is_allocated(q) && FIELD_EX32(q->config, VCMDQ_CONFIG, EN) &&
           tegra241_cmdqv_vintf_enabled(cmdqv, vintf_of(q));
}

static bool has_error(const Tegra241VCMDQ *q)
{
    return (q->gerror ^ q->gerrorn) & R_VCMDQ_GERROR_CMDQ_ERR_MASK;
}

bool tegra241_cmdqv_queue_memory(const Tegra241CMDQV *cmdqv,
                                 const Tegra241VCMDQ *q, hwaddr *addr,
                                 unsigned int *log2size)
{
    *addr = q->base & TEGRA241_VCMDQ_BASE_ADDR;
    *log2size = q->base & TEGRA241_VCMDQ_BASE_LOG2SIZE;
    return *addr && *log2size <= FIELD_EX32(cmdqv->smmu->idr[1], IDR1, CMDQS) &&
           !(*addr & (sizeof(Cmd) * BIT_ULL(*log2size) - 1));
}

/* --- errors --- */

/*
 * An error that a host found lasts until the guest acknowledges it, in
 * registers that the owner of the block has.
 */
static bool has_reported_error(const Tegra241CMDQV *cmdqv,
                               const Tegra241VCMDQ *q)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;
    unsigned int lidx = lidx_of(q);
    hwaddr offset = lidx * TEGRA241_CMDQV_QUEUE_STRIDE;
    uint32_t gerror, gerrorn;

    return !vintf_of(q) && ops && ops->page0_read &&
           cmdqv->reported[lidx / 64] & BIT_ULL(lidx % 64) &&
           ops->page0_read(cmdqv->cfg.opaque, offset + TEGRA241_VCMDQ_GERROR,
                           &gerror) &&
           ops->page0_read(cmdqv->cfg.opaque, offset + TEGRA241_VCMDQ_GERRORN,
                           &gerrorn) &&
           (gerror ^ gerrorn) & R_VCMDQ_GERROR_CMDQ_ERR_MASK;
}

/* Bits of the logical queues of a VINTF that have an error */
static void lvcmdq_err_map(const Tegra241CMDQV *cmdqv, unsigned int vintf,
                           uint64_t map[2])
{
    map[0] = map[1] = 0;
    for (uint32_t i = 0; i < cmdqv->num_vcmdqs; i++) {
        const Tegra241VCMDQ *q = &cmdqv->vcmdqs[i];

        if (is_allocated(q) && vintf_of(q) == vintf &&
            (has_error(q) || has_reported_error(cmdqv, q))) {
            map[lidx_of(q) / 64] |= BIT_ULL(lidx_of(q) % 64);
        }
    }
}

static uint32_t lvcmdq_err_word(const Tegra241CMDQV *cmdqv, unsigned int vintf,
                                unsigned int word)
{
    uint64_t map[2];

    lvcmdq_err_map(cmdqv, vintf, map);
    return map[word / 2] >> (word % 2 * 32);
}

static uint32_t vintf_err_word(const Tegra241CMDQV *cmdqv, unsigned int word)
{
    uint32_t bits = 0;

    for (unsigned int i = word * 32;
         i < MIN(cmdqv->num_vintfs, (word + 1) * 32); i++) {
        uint64_t map[2];

        lvcmdq_err_map(cmdqv, i, map);
        bits |= (uint32_t)!!(map[0] | map[1]) << (i % 32);
    }
    return bits;
}

static uint32_t cmdq_err_word(const Tegra241CMDQV *cmdqv, unsigned int word)
{
    uint32_t bits = 0;

    for (unsigned int i = word * 32;
         i < MIN(cmdqv->num_vcmdqs, (word + 1) * 32); i++) {
        const Tegra241VCMDQ *q = &cmdqv->vcmdqs[i];
        bool bad = false;

        if (is_allocated(q)) {
            bad = has_error(q) || has_reported_error(cmdqv, q);
        }
        bits |= (uint32_t)bad << (i % 32);
    }
    return bits;
}

static void raise_irq(Tegra241CMDQV *cmdqv, unsigned int vintf)
{
    if (!(cmdqv->vintf_int_mask[vintf / 32] & BIT(vintf % 32))) {
        qemu_irq_pulse(cmdqv->irq);
    }
}

void tegra241_cmdqv_report(Tegra241CMDQV *cmdqv, const uint64_t map[2])
{
    uint64_t now[2];

    for (unsigned int i = 0; i < ARRAY_SIZE(cmdqv->reported); i++) {
        unsigned int num = cmdqv->num_lvcmdqs > i * 64 ?
                           MIN(cmdqv->num_lvcmdqs - i * 64, 64) : 0;

        cmdqv->reported[i] = num ? map[i] & MAKE_64BIT_MASK(0, num) : 0;
    }
    trace_tegra241_cmdqv_report(cmdqv->reported[1], cmdqv->reported[0]);
    lvcmdq_err_map(cmdqv, 0, now);
    if (now[0] | now[1]) {
        raise_irq(cmdqv, 0);
    }
}

static void fail_queue(Tegra241CMDQV *cmdqv, Tegra241VCMDQ *q,
                       SMMUCmdError error)
{
    trace_tegra241_cmdqv_error(vintf_of(q), lidx_of(q), error);
    q->cons = FIELD_DP32(q->cons, VCMDQ_CONS, ERR, error);
    q->gerror ^= R_VCMDQ_GERROR_CMDQ_ERR_MASK;
    raise_irq(cmdqv, vintf_of(q));
}

/* --- commands --- */

/* The StreamID of a VM's ATC_INV becomes that of the device */
static bool replace_sid(const Tegra241CMDQV *cmdqv, const Tegra241VINTF *vintf,
                        Cmd *cmd)
{
    for (unsigned int i = 0; i < BIT(cmdqv->cfg.log2_sids); i++) {
        uint32_t match = vintf->sid_match[i];

        if (FIELD_EX32(match, VINTF_SID_MATCH, ENABLE) &&
            FIELD_EX32(match, VINTF_SID_MATCH, VIRT_SID) == CMD_SID(cmd)) {
            cmd->word[1] = vintf->sid_replace[i];
            return true;
        }
    }
    return false;
}

/*
 * A VINTF without HYP_OWN invalidates by ASID and address, in its own VMID, and
 * in the caches of its own devices.
 */
static SMMUCmdError confine(const Tegra241CMDQV *cmdqv,
                            const Tegra241VINTF *vintf, Cmd *cmd)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_SYNC:
        return SMMU_CERROR_NONE;
    case SMMU_CMD_TLBI_NH_ASID:
    case SMMU_CMD_TLBI_NH_VA:
        cmd->word[1] = deposit32(cmd->word[1], 0, 16,
                                 FIELD_EX32(vintf->config, VINTF_CONFIG, VMID));
        return SMMU_CERROR_NONE;
    case SMMU_CMD_ATC_INV:
        if (!cmdqv->cfg.hyp_own_wired_0 && !replace_sid(cmdqv, vintf, cmd)) {
            return SMMU_CERROR_ILL;
        }
        return SMMU_CERROR_NONE;
    default:
        return SMMU_CERROR_ILL;
    }
}

static SMMUCmdError run_command(Tegra241CMDQV *cmdqv, const Tegra241VCMDQ *q,
                                hwaddr addr)
{
    const Tegra241VINTF *vintf = &cmdqv->vintfs[vintf_of(q)];
    SMMUCmdError error = SMMU_CERROR_NONE;
    Cmd cmd;

    if (dma_memory_read(&address_space_memory, addr, &cmd, sizeof(cmd),
                        SMMU_MEM_ATTRS)) {
        return SMMU_CERROR_ABT;
    }
    for (size_t i = 0; i < ARRAY_SIZE(cmd.word); i++) {
        le32_to_cpus(&cmd.word[i]);
    }
    trace_tegra241_cmdqv_command(vintf_of(q), lidx_of(q),
                                 smmu_cmd_string(CMD_TYPE(&cmd)));
    if (!FIELD_EX32(vintf->config, VINTF_CONFIG, HYP_OWN)) {
        error = confine(cmdqv, vintf, &cmd);
    }
    return error ?: smmuv3_run_command(cmdqv->smmu, cmd);
}

static bool has_work(const Tegra241CMDQV *cmdqv, const Tegra241VCMDQ *q)
{
    unsigned int log2size = q->base & TEGRA241_VCMDQ_BASE_LOG2SIZE;

    return is_enabled(cmdqv, q) && !has_error(q) &&
           extract64(q->prod ^ q->cons, 0, MIN(log2size, SMMU_CMDQS) + 1);
}

/* Carries out commands of a queue, so many that others have their turn, too */
static void consume(Tegra241CMDQV *cmdqv, Tegra241VCMDQ *q)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;
    unsigned int log2size, done = 0;
    hwaddr addr;

    if (!has_work(cmdqv, q)) {
        return;
    }
    if (!tegra241_cmdqv_queue_memory(cmdqv, q, &addr, &log2size)) {
        fail_queue(cmdqv, q, SMMU_CERROR_ABT);
        return;
    }
    while (has_work(cmdqv, q) && done++ < COMMANDS_PER_TURN) {
        uint32_t index = extract32(q->cons, 0, log2size + 1);
        uint32_t entry = index & (BIT(log2size) - 1);
        SMMUCmdError error = run_command(cmdqv, q, addr + entry * sizeof(Cmd));

        if (error) {
            fail_queue(cmdqv, q, error);
            break;
        }
        q->cons = deposit32(q->cons, 0, log2size + 1, index + 1);
    }
    if (!vintf_of(q) && ops && ops->consume) {
        ops->consume(cmdqv->cfg.opaque, lidx_of(q));
    }
    if (has_work(cmdqv, q)) {
        qemu_bh_schedule(cmdqv->bh);
    }
}

static void consume_all(Tegra241CMDQV *cmdqv)
{
    for (uint32_t i = 0; i < cmdqv->num_vcmdqs; i++) {
        consume(cmdqv, &cmdqv->vcmdqs[i]);
    }
}

static void go_on(void *opaque)
{
    /* A VM that stands still keeps its state */
    if (runstate_is_running()) {
        consume_all(opaque);
    }
}

static void vm_state_changed(void *opaque, bool running, RunState state)
{
    Tegra241CMDQV *cmdqv = opaque;

    if (running) {
        qemu_bh_schedule(cmdqv->bh);
    }
}

/* --- what is set up for all --- */

static void config_changed(Tegra241CMDQV *cmdqv)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;

    if (ops && ops->config_changed) {
        ops->config_changed(cmdqv->cfg.opaque);
    }
    consume_all(cmdqv);
}

/* A logical queue needs the one below it, and has one VCMDQ */
static bool may_allocate(Tegra241CMDQV *cmdqv, unsigned int vintf,
                         unsigned int lidx)
{
    return vintf < cmdqv->num_vintfs && lidx < cmdqv->num_lvcmdqs &&
           !tegra241_cmdqv_lvcmdq(cmdqv, vintf, lidx) &&
           (!lidx || tegra241_cmdqv_lvcmdq(cmdqv, vintf, lidx - 1));
}

static void write_alloc(Tegra241CMDQV *cmdqv, unsigned int index,
                        uint32_t value)
{
    Tegra241VCMDQ *q = &cmdqv->vcmdqs[index];

    value &= ALLOC_MASK;
    if (value == q->alloc) {
        return;
    }
    /* Whoever gets it next finds nothing of its former owner */
    memset(q, 0, sizeof(*q));
    if (FIELD_EX32(value, CMDQV_CMDQ_ALLOC, ALLOCATED) &&
        !may_allocate(cmdqv, FIELD_EX32(value, CMDQV_CMDQ_ALLOC, VINTF),
                      FIELD_EX32(value, CMDQV_CMDQ_ALLOC, LVCMDQ))) {
        qemu_log_mask(LOG_GUEST_ERROR, "CMDQV: VCMDQ %u cannot be allocated as "
                      "0x%x\n", index, value);
        value &= ~R_CMDQV_CMDQ_ALLOC_ALLOCATED_MASK;
    }
    q->alloc = value;
    trace_tegra241_cmdqv_alloc(index, value);
    config_changed(cmdqv);
}

static uint32_t vintf_read(Tegra241CMDQV *cmdqv, unsigned int index,
                           hwaddr offset)
{
    const Tegra241VINTF *vintf = &cmdqv->vintfs[index];
    unsigned int sid = offset % 0x40 / 4;

    switch (offset) {
    case A_VINTF_CONFIG:
        return vintf->config;
    case A_VINTF_STATUS:
        return tegra241_cmdqv_vintf_enabled(cmdqv, index);
    case A_VINTF_SID_MATCH ... A_VINTF_SID_MATCH + 0x3f:
        return vintf->sid_match[sid];
    case A_VINTF_SID_REPLACE ... A_VINTF_SID_REPLACE + 0x3f:
        return vintf->sid_replace[sid];
    case A_VINTF_LVCMDQ_ERR_MAP ... A_VINTF_LVCMDQ_ERR_MAP + 0xf:
        return lvcmdq_err_word(cmdqv, index,
                               (offset - A_VINTF_LVCMDQ_ERR_MAP) / 4);
    default:
        return 0;
    }
}

static void vintf_write(Tegra241CMDQV *cmdqv, unsigned int index,
                        hwaddr offset, uint32_t value)
{
    Tegra241VINTF *vintf = &cmdqv->vintfs[index];
    unsigned int sid = offset % 0x40 / 4;

    switch (offset) {
    case A_VINTF_CONFIG:
        vintf->config = value & (TEGRA241_VINTF_CONFIG_EN |
                                 TEGRA241_VINTF_CONFIG_VMID |
                                 (cmdqv->cfg.hyp_own_wired_0 ? 0 :
                                  TEGRA241_VINTF_CONFIG_HYP_OWN));
        config_changed(cmdqv);
        break;
    case A_VINTF_SID_MATCH ... A_VINTF_SID_MATCH + 0x3f:
        if (sid < BIT(cmdqv->cfg.log2_sids)) {
            vintf->sid_match[sid] = value & (R_VINTF_SID_MATCH_ENABLE_MASK |
                                             R_VINTF_SID_MATCH_VIRT_SID_MASK);
        }
        break;
    case A_VINTF_SID_REPLACE ... A_VINTF_SID_REPLACE + 0x3f:
        if (sid < BIT(cmdqv->cfg.log2_sids)) {
            vintf->sid_replace[sid] = value;
        }
        break;
    default:
        break;
    }
}

static uint32_t read_param(const Tegra241CMDQVConfig *cfg)
{
    uint32_t param = 0;

    param = FIELD_DP32(param, CMDQV_PARAM, VER, cfg->version);
    param = FIELD_DP32(param, CMDQV_PARAM, NUM_VCMDQ_LOG2, cfg->log2_vcmdqs);
    param = FIELD_DP32(param, CMDQV_PARAM, NUM_VINTF_LOG2, cfg->log2_vintfs);
    return FIELD_DP32(param, CMDQV_PARAM, NUM_SID_LOG2, cfg->log2_sids);
}

static uint64_t config_read(void *opaque, hwaddr offset, unsigned int size)
{
    Tegra241CMDQV *cmdqv = opaque;
    hwaddr vintf = (offset - VINTF_BASE) / VINTF_STRIDE;
    hwaddr alloc = (offset - A_CMDQV_CMDQ_ALLOC) / 4;

    switch (offset) {
    case A_CMDQV_CONFIG:
    case A_CMDQV_STATUS:
        return cmdqv->config;
    case A_CMDQV_PARAM:
        return read_param(&cmdqv->cfg);
    case A_CMDQV_VINTF_ERR_MAP ... A_CMDQV_VINTF_ERR_MAP + 7:
        return vintf_err_word(cmdqv, (offset - A_CMDQV_VINTF_ERR_MAP) / 4);
    case A_CMDQV_VINTF_INT_MASK ... A_CMDQV_VINTF_INT_MASK + 7:
        return cmdqv->vintf_int_mask[(offset - A_CMDQV_VINTF_INT_MASK) / 4];
    case A_CMDQV_CMDQ_ERR_MAP ... A_CMDQV_CMDQ_ERR_MAP + 0xf:
        return cmdq_err_word(cmdqv, (offset - A_CMDQV_CMDQ_ERR_MAP) / 4);
    case A_CMDQV_CMDQ_ALLOC ... VINTF_BASE - 1:
        return alloc < cmdqv->num_vcmdqs ? cmdqv->vcmdqs[alloc].alloc : 0;
    default:
        return offset >= VINTF_BASE && vintf < cmdqv->num_vintfs ?
               vintf_read(cmdqv, vintf, offset % VINTF_STRIDE) : 0;
    }
}

static void config_write(void *opaque, hwaddr offset, uint64_t value,
                         unsigned int size)
{
    Tegra241CMDQV *cmdqv = opaque;
    hwaddr vintf = (offset - VINTF_BASE) / VINTF_STRIDE;
    hwaddr alloc = (offset - A_CMDQV_CMDQ_ALLOC) / 4;

    trace_tegra241_cmdqv_write(offset, value);
    switch (offset) {
    case A_CMDQV_CONFIG:
        cmdqv->config = value & R_CMDQV_CONFIG_EN_MASK;
        config_changed(cmdqv);
        break;
    case A_CMDQV_VINTF_INT_MASK ... A_CMDQV_VINTF_INT_MASK + 7:
        cmdqv->vintf_int_mask[(offset - A_CMDQV_VINTF_INT_MASK) / 4] = value;
        break;
    case A_CMDQV_CMDQ_ALLOC ... VINTF_BASE - 1:
        if (alloc < cmdqv->num_vcmdqs) {
            write_alloc(cmdqv, alloc, value);
        }
        break;
    default:
        if (offset >= VINTF_BASE && vintf < cmdqv->num_vintfs) {
            vintf_write(cmdqv, vintf, offset % VINTF_STRIDE, value);
        }
        break;
    }
}

static const MemoryRegionOps config_ops = {
    .read = config_read,
    .write = config_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* --- registers of queues: without a queue they read as zero --- */

static uint64_t queue_page0_read(Tegra241CMDQV *cmdqv, Tegra241VCMDQ *q,
                                 hwaddr reg)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;
    uint32_t value;

    if (!q || !is_allocated(q)) {
        return 0;
    }
    if (!vintf_of(q) && ops && ops->page0_read &&
        ops->page0_read(cmdqv->cfg.opaque,
                        lidx_of(q) * TEGRA241_CMDQV_QUEUE_STRIDE + reg,
                        &value)) {
        return value;
    }
    switch (reg) {
    case TEGRA241_VCMDQ_CONS:
        return q->cons;
    case TEGRA241_VCMDQ_PROD:
        return q->prod;
    case TEGRA241_VCMDQ_CONFIG:
        return q->config;
    case TEGRA241_VCMDQ_STATUS:
        return is_enabled(cmdqv, q);
    case TEGRA241_VCMDQ_GERROR:
        return q->gerror;
    case TEGRA241_VCMDQ_GERRORN:
        return q->gerrorn;
    default:
        return 0;
    }
}

static void queue_page0_write(Tegra241CMDQV *cmdqv, Tegra241VCMDQ *q,
                              hwaddr reg, uint32_t value)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;

    if (!q || !is_allocated(q) ||
        (!vintf_of(q) && ops && ops->page0_write &&
         ops->page0_write(cmdqv->cfg.opaque,
                          lidx_of(q) * TEGRA241_CMDQV_QUEUE_STRIDE + reg,
                          value))) {
        return;
    }
    switch (reg) {
    case TEGRA241_VCMDQ_CONS:
        if (is_enabled(cmdqv, q)) {
            qemu_log_mask(LOG_GUEST_ERROR, "CMDQV: CONS of an enabled queue "
                          "is written\n");
            break;
        }
        q->cons = value;
        break;
    case TEGRA241_VCMDQ_PROD:
        q->prod = value;
        break;
    case TEGRA241_VCMDQ_CONFIG:
        q->config = value & R_VCMDQ_CONFIG_EN_MASK;
        break;
    case TEGRA241_VCMDQ_GERRORN:
        q->gerrorn = value & R_VCMDQ_GERROR_CMDQ_ERR_MASK;
        break;
    default:
        break;
    }
    consume(cmdqv, q);
}

static uint64_t queue_page1_read(Tegra241VCMDQ *q, hwaddr reg,
                                 unsigned int size)
{
    uint64_t value = 0;

    if (!q || !is_allocated(q)) {
        return 0;
    }
    switch (reg & ~7) {
    case TEGRA241_VCMDQ_BASE:
        value = q->base;
        break;
    case TEGRA241_VCMDQ_CONS_INDX_BASE:
        value = q->cons_indx_base;
        break;
    default:
        break;
    }
    return value >> (reg % 8 * 8);
}

static void queue_page1_write(Tegra241CMDQV *cmdqv, Tegra241VCMDQ *q,
                              hwaddr reg, uint64_t value, unsigned int size)
{
    const Tegra241CMDQVOps *ops = cmdqv->cfg.ops;

    if (!q || !is_allocated(q)) {
        return;
    }
    switch (reg & ~7) {
    case TEGRA241_VCMDQ_BASE:
        /* The owner of the block may have the queue that is on */
        if (tegra241_cmdqv_vintf_enabled(cmdqv, vintf_of(q)) &&
            queue_page0_read(cmdqv, q, TEGRA241_VCMDQ_CONFIG) &
            R_VCMDQ_CONFIG_EN_MASK) {
            qemu_log_mask(LOG_GUEST_ERROR, "CMDQV: BASE of an enabled queue "
                          "is written\n");
            break;
        }
        q->old_base = q->base;
        q->base = deposit64(q->base, reg % 8 * 8, size * 8, value) &
                  (TEGRA241_VCMDQ_BASE_ADDR | TEGRA241_VCMDQ_BASE_LOG2SIZE);
        if (!vintf_of(q) && ops && ops->queue_base) {
            ops->queue_base(cmdqv->cfg.opaque, lidx_of(q));
        }
        break;
    case TEGRA241_VCMDQ_CONS_INDX_BASE:
        q->cons_indx_base = deposit64(q->cons_indx_base, reg % 8 * 8, size * 8,
                                      value);
        break;
    default:
        break;
    }
}

/* By logical index */

static Tegra241VCMDQ *queue_of_vintf(Tegra241VINTF *vintf, hwaddr offset)
{
    return tegra241_cmdqv_lvcmdq(vintf->cmdqv, vintf->index,
                                 offset / TEGRA241_CMDQV_QUEUE_STRIDE);
}

static uint64_t vintf_page0_read(void *opaque, hwaddr offset,
                                 unsigned int size)
{
    Tegra241VINTF *vintf = opaque;

    return queue_page0_read(vintf->cmdqv, queue_of_vintf(vintf, offset),
                            offset % TEGRA241_CMDQV_QUEUE_STRIDE);
}

static void vintf_page0_write(void *opaque, hwaddr offset, uint64_t value,
                              unsigned int size)
{
    Tegra241VINTF *vintf = opaque;

    queue_page0_write(vintf->cmdqv, queue_of_vintf(vintf, offset),
                      offset % TEGRA241_CMDQV_QUEUE_STRIDE, value);
}

static uint64_t vintf_page1_read(void *opaque, hwaddr offset,
                                 unsigned int size)
{
    return queue_page1_read(queue_of_vintf(opaque, offset),
                            offset % TEGRA241_CMDQV_QUEUE_STRIDE, size);
}

static void vintf_page1_write(void *opaque, hwaddr offset, uint64_t value,
                              unsigned int size)
{
    Tegra241VINTF *vintf = opaque;

    queue_page1_write(vintf->cmdqv, queue_of_vintf(vintf, offset),
                      offset % TEGRA241_CMDQV_QUEUE_STRIDE, value, size);
}

/* By global index */

static Tegra241VCMDQ *queue_of_all(Tegra241CMDQV *cmdqv, hwaddr offset)
{
    hwaddr index = offset / TEGRA241_CMDQV_QUEUE_STRIDE;

    return index < cmdqv->num_vcmdqs ? &cmdqv->vcmdqs[index] : NULL;
}

static uint64_t vcmdq_page0_read(void *opaque, hwaddr offset,
                                 unsigned int size)
{
    return queue_page0_read(opaque, queue_of_all(opaque, offset),
                            offset % TEGRA241_CMDQV_QUEUE_STRIDE);
}

static void vcmdq_page0_write(void *opaque, hwaddr offset, uint64_t value,
                              unsigned int size)
{
    queue_page0_write(opaque, queue_of_all(opaque, offset),
                      offset % TEGRA241_CMDQV_QUEUE_STRIDE, value);
}

static uint64_t vcmdq_page1_read(void *opaque, hwaddr offset,
                                 unsigned int size)
{
    return queue_page1_read(queue_of_all(opaque, offset),
                            offset % TEGRA241_CMDQV_QUEUE_STRIDE, size);
}

static void vcmdq_page1_write(void *opaque, hwaddr offset, uint64_t value,
                              unsigned int size)
{
    queue_page1_write(opaque, queue_of_all(opaque, offset),
                      offset % TEGRA241_CMDQV_QUEUE_STRIDE, value, size);
}

#define PAGE_OPS(name, max)                                             \
    static const MemoryRegionOps name##_ops = {                         \
        .read = name##_read,                                            \
        .write = name##_write,                                          \
        .endianness = DEVICE_LITTLE_ENDIAN,                             \
        .valid = { .min_access_size = 4, .max_access_size = 8 },        \
        .impl = { .min_access_size = 4, .max_access_size = max },       \
    }

PAGE_OPS(vintf_page0, 4);
PAGE_OPS(vintf_page1, 8);
PAGE_OPS(vcmdq_page0, 4);
PAGE_OPS(vcmdq_page1, 8);

/* --- life --- */

static void add_page(Tegra241CMDQV *cmdqv, MemoryRegion *page, unsigned int nr,
                     const MemoryRegionOps *ops, void *opaque,
                     const char *name)
{
    memory_region_init_io(page, OBJECT(cmdqv->smmu), ops, opaque, name,
                          TEGRA241_CMDQV_PAGE_SIZE);
    memory_region_add_subregion(&cmdqv->mr, nr * TEGRA241_CMDQV_PAGE_SIZE,
                                page);
}

uint64_t tegra241_cmdqv_size(const Tegra241CMDQVConfig *cfg)
{
    return (3 + 2 * BIT_ULL(cfg->log2_vintfs)) * TEGRA241_CMDQV_PAGE_SIZE;
}

void tegra241_cmdqv_init(Tegra241CMDQV *cmdqv, SMMUv3State *smmu,
                         const Tegra241CMDQVConfig *cfg)
{
    assert(cfg->log2_vintfs <= TEGRA241_CMDQV_MAX_LOG2_VINTFS &&
           cfg->log2_vcmdqs <= TEGRA241_CMDQV_MAX_LOG2_VCMDQS &&
           cfg->log2_sids <= TEGRA241_CMDQV_MAX_LOG2_SIDS &&
           cfg->log2_vintfs <= cfg->log2_vcmdqs);
    cmdqv->smmu = smmu;
    cmdqv->cfg = *cfg;
    cmdqv->num_vintfs = BIT(cfg->log2_vintfs);
    cmdqv->num_vcmdqs = BIT(cfg->log2_vcmdqs);
    cmdqv->num_lvcmdqs = cmdqv->num_vcmdqs / cmdqv->num_vintfs;
    cmdqv->vintfs = g_new0(Tegra241VINTF, cmdqv->num_vintfs);
    cmdqv->vcmdqs = g_new0(Tegra241VCMDQ, cmdqv->num_vcmdqs);
    cmdqv->bh = qemu_bh_new_guarded(go_on, cmdqv,
                                    &DEVICE(smmu)->mem_reentrancy_guard);
    qemu_add_vm_change_state_handler(vm_state_changed, cmdqv);

    memory_region_init(&cmdqv->mr, OBJECT(smmu), "tegra241-cmdqv",
                       tegra241_cmdqv_size(cfg));
    add_page(cmdqv, &cmdqv->config_page, 0, &config_ops, cmdqv,
             "tegra241-cmdqv-config");
    add_page(cmdqv, &cmdqv->vcmdq_page0, 1, &vcmdq_page0_ops, cmdqv,
             "tegra241-cmdqv-vcmdq-page0");
    add_page(cmdqv, &cmdqv->vcmdq_page1, 2, &vcmdq_page1_ops, cmdqv,
             "tegra241-cmdqv-vcmdq-page1");
    for (unsigned int i = 0; i < cmdqv->num_vintfs; i++) {
        Tegra241VINTF *vintf = &cmdqv->vintfs[i];

        vintf->cmdqv = cmdqv;
        vintf->index = i;
        add_page(cmdqv, &vintf->page0, 3 + 2 * i, &vintf_page0_ops, vintf,
                 "tegra241-cmdqv-vintf-page0");
        add_page(cmdqv, &vintf->page1, 4 + 2 * i, &vintf_page1_ops, vintf,
                 "tegra241-cmdqv-vintf-page1");
    }
}

void tegra241_cmdqv_reset(Tegra241CMDQV *cmdqv)
{
    cmdqv->config = 0;
    memset(cmdqv->vintf_int_mask, 0, sizeof(cmdqv->vintf_int_mask));
    memset(cmdqv->reported, 0, sizeof(cmdqv->reported));
    memset(cmdqv->vcmdqs, 0, cmdqv->num_vcmdqs * sizeof(*cmdqv->vcmdqs));
    for (unsigned int i = 0; i < cmdqv->num_vintfs; i++) {
        Tegra241VINTF *vintf = &cmdqv->vintfs[i];

        vintf->config = 0;
        memset(vintf->sid_match, 0, sizeof(vintf->sid_match));
        memset(vintf->sid_replace, 0, sizeof(vintf->sid_replace));
    }
    qemu_bh_cancel(cmdqv->bh);
    config_changed(cmdqv);
}

static const VMStateDescription vmstate_vintf = {
    .name = "tegra241-cmdqv/vintf",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(config, Tegra241VINTF),
        VMSTATE_UINT32_ARRAY(sid_match, Tegra241VINTF,
                             TEGRA241_CMDQV_MAX_SIDS),
        VMSTATE_UINT32_ARRAY(sid_replace, Tegra241VINTF,
                             TEGRA241_CMDQV_MAX_SIDS),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_vcmdq = {
    .name = "tegra241-cmdqv/vcmdq",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(alloc, Tegra241VCMDQ),
        VMSTATE_UINT32(config, Tegra241VCMDQ),
        VMSTATE_UINT32(prod, Tegra241VCMDQ),
        VMSTATE_UINT32(cons, Tegra241VCMDQ),
        VMSTATE_UINT32(gerror, Tegra241VCMDQ),
        VMSTATE_UINT32(gerrorn, Tegra241VCMDQ),
        VMSTATE_UINT64(base, Tegra241VCMDQ),
        VMSTATE_UINT64(cons_indx_base, Tegra241VCMDQ),
        VMSTATE_END_OF_LIST()
    },
};

/* What was sent is not believed where it would be used as an index */
static int cmdqv_post_load(void *opaque, int version_id)
{
    Tegra241CMDQV *cmdqv = opaque;

    for (uint32_t i = 0; i < cmdqv->num_vcmdqs; i++) {
        const Tegra241VCMDQ *q = &cmdqv->vcmdqs[i];

        if (is_allocated(q) && (vintf_of(q) >= cmdqv->num_vintfs ||
                                lidx_of(q) >= cmdqv->num_lvcmdqs)) {
            return -EINVAL;
        }
    }
    if (cmdqv->cfg.ops && cmdqv->cfg.ops->config_changed) {
        cmdqv->cfg.ops->config_changed(cmdqv->cfg.opaque);
    }
    return 0;
}

const VMStateDescription vmstate_tegra241_cmdqv = {
    .name = "tegra241-cmdqv",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = cmdqv_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_EQUAL(num_vintfs, Tegra241CMDQV, NULL),
        VMSTATE_UINT32_EQUAL(num_vcmdqs, Tegra241CMDQV, NULL),
        VMSTATE_UINT32(config, Tegra241CMDQV),
        VMSTATE_UINT32_ARRAY(vintf_int_mask, Tegra241CMDQV, 2),
        VMSTATE_UINT64_ARRAY(reported, Tegra241CMDQV, 2),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(vintfs, Tegra241CMDQV, num_vintfs,
                                             vmstate_vintf, Tegra241VINTF),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(vcmdqs, Tegra241CMDQV, num_vcmdqs,
                                             vmstate_vcmdq, Tegra241VCMDQ),
        VMSTATE_END_OF_LIST()
    },
};
