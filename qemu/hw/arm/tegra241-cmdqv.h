/*
 * Command queues of Tegra241 (CMDQV) beside an SMMUv3
 *
 * Concepts:
 *
 * VCMDQ    a command queue of the block, known by a global index; it has a
 *          pair of pages at which all of them are found
 * VINTF    a virtual interface: what one owner (a hypervisor, or a VM) gets of
 *          the block, with two pages of its own and rules for its commands
 * LVCMDQ   a VCMDQ as a VINTF sees it, known by its logical index there;
 *          CMDQ_ALLOC says which is which
 * HYP_OWN  a VINTF that may use all commands; the others may invalidate what
 *          their VMID and their devices (SID_MATCH) have cached, and no more
 *
 * The queues are worked off here, in guest memory, by the SMMU that they belong
 * to.  The owner of the block can take the queues of VINTF 0 over instead: it
 * learns by its operations what the guest sets up, and lays a page of the host
 * over page 0 of that VINTF.
 *
 * All functions and operations are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_TEGRA241_CMDQV_H
#define HW_ARM_TEGRA241_CMDQV_H

#include "exec/memory.h"
#include "hw/arm/smmuv3.h"
#include "hw/irq.h"

/* Limits that the registers set, as powers of two */
#define TEGRA241_CMDQV_MAX_LOG2_VINTFS  6
#define TEGRA241_CMDQV_MAX_LOG2_VCMDQS  7
#define TEGRA241_CMDQV_MAX_LOG2_SIDS    4

#define TEGRA241_CMDQV_MAX_SIDS         BIT(TEGRA241_CMDQV_MAX_LOG2_SIDS)
#define TEGRA241_CMDQV_PAGE_SIZE        0x10000
/* Registers of a queue in page 0 and in page 1 */
#define TEGRA241_CMDQV_QUEUE_STRIDE     0x80

/* Offsets in page 0 of a VINTF, from the start of a queue's registers */
#define TEGRA241_VCMDQ_CONS             0x00
#define TEGRA241_VCMDQ_PROD             0x04
#define TEGRA241_VCMDQ_CONFIG           0x08
#define TEGRA241_VCMDQ_STATUS           0x0c
#define TEGRA241_VCMDQ_GERROR           0x10
#define TEGRA241_VCMDQ_GERRORN          0x14
/* Offsets in page 1 */
#define TEGRA241_VCMDQ_BASE             0x00
#define TEGRA241_VCMDQ_CONS_INDX_BASE   0x08

/* Fields of VCMDQ_BASE */
#define TEGRA241_VCMDQ_BASE_ADDR        MAKE_64BIT_MASK(5, 43)
#define TEGRA241_VCMDQ_BASE_LOG2SIZE    MAKE_64BIT_MASK(0, 5)
/* Fields of VINTF_CONFIG */
#define TEGRA241_VINTF_CONFIG_EN        BIT(0)
#define TEGRA241_VINTF_CONFIG_VMID      MAKE_64BIT_MASK(1, 16)
#define TEGRA241_VINTF_CONFIG_HYP_OWN   BIT(17)

typedef struct Tegra241CMDQV Tegra241CMDQV;

/* What the owner of the block is told.  Each may be NULL. */
typedef struct Tegra241CMDQVOps {
    /*
     * CONFIG, a VINTF_CONFIG or a CMDQ_ALLOC was written, or all was reset or
     * loaded.  A queue that is no longer allocated has lost its registers.
     */
    void (*config_changed)(void *opaque);

    /*
     * VCMDQ_BASE of the allocated queue @lidx of VINTF 0 was written; its
     * former value is in old_base of the queue.
     */
    void (*queue_base)(void *opaque, unsigned int lidx);

    /*
     * A register in page 0 of VINTF 0 is accessed, by its own page or by that
     * of all queues.
     *
     * @offset: in bytes from the start of the VINTF's page, a multiple of 4;
     *          its queue is allocated
     * @value: of 32 bits
     *
     * Returns: true if that was all; false if software has to do it.
     */
    bool (*page0_read)(void *opaque, hwaddr offset, uint32_t *value);
    bool (*page0_write)(void *opaque, hwaddr offset, uint32_t value);

    /* Queue @lidx of VINTF 0 was worked off, as far as it could be */
    void (*consume)(void *opaque, unsigned int lidx);
} Tegra241CMDQVOps;

typedef struct Tegra241CMDQVConfig {
    uint8_t log2_vintfs;
    uint8_t log2_vcmdqs;        /* of all VINTFs together */
    uint8_t log2_sids;          /* pairs of SID_MATCH and SID_REPLACE, each */
    uint8_t version;            /* PARAM.VER, 4 bits */
    /*
     * The block is that of a VM: no VINTF owns the hypervisor's rights, and
     * StreamIDs are the VM's own, so that SID_MATCH has nothing to say.
     */
    bool hyp_own_wired_0;
    const Tegra241CMDQVOps *ops;        /* NULL: none */
    void *opaque;
} Tegra241CMDQVConfig;

typedef struct Tegra241VCMDQ {
    uint32_t alloc;             /* CMDQ_ALLOC */
    uint32_t config;
    uint32_t prod;
    uint32_t cons;              /* with CONS.ERR */
    uint32_t gerror;
    uint32_t gerrorn;
    uint64_t base;
    uint64_t old_base;          /* valid during ops->queue_base */
    uint64_t cons_indx_base;    /* kept, without effect */
} Tegra241VCMDQ;

typedef struct Tegra241VINTF {
    Tegra241CMDQV *cmdqv;
    unsigned int index;
    MemoryRegion page0;
    MemoryRegion page1;
    uint32_t config;
    uint32_t sid_match[TEGRA241_CMDQV_MAX_SIDS];
    uint32_t sid_replace[TEGRA241_CMDQV_MAX_SIDS];
} Tegra241VINTF;

struct Tegra241CMDQV {
    SMMUv3State *smmu;
    Tegra241CMDQVConfig cfg;
    MemoryRegion mr;            /* the whole block */
    qemu_irq irq;               /* errors, by edge */

    MemoryRegion config_page;
    MemoryRegion vcmdq_page0;
    MemoryRegion vcmdq_page1;
    QEMUBH *bh;                 /* goes on with long queues */
    uint32_t num_vintfs;
    uint32_t num_vcmdqs;
    uint32_t num_lvcmdqs;       /* of each VINTF */
    Tegra241VINTF *vintfs;
    Tegra241VCMDQ *vcmdqs;      /* by global index */

    uint32_t config;
    uint32_t vintf_int_mask[2];
    uint64_t reported[2];       /* LVCMDQ_ERR_MAP as the host found it */
};

/**
 * tegra241_cmdqv_init: make the block of an SMMU
 *
 * @cmdqv: filled with zeros; lives as long as @smmu
 * @smmu: whose commands the queues have; it is being realized
 * @cfg: copied; within the limits above, and not more VINTFs than VCMDQs
 *
 * The caller maps cmdqv->mr and connects cmdqv->irq.
 */
void tegra241_cmdqv_init(Tegra241CMDQV *cmdqv, SMMUv3State *smmu,
                         const Tegra241CMDQVConfig *cfg);

/* All registers get the values that they have after a reset */
void tegra241_cmdqv_reset(Tegra241CMDQV *cmdqv);

/**
 * tegra241_cmdqv_size: of the block that @cfg describes
 *
 * Returns: bytes
 */
uint64_t tegra241_cmdqv_size(const Tegra241CMDQVConfig *cfg);

/**
 * tegra241_cmdqv_lvcmdq: the queue behind a logical index
 *
 * Returns: the queue, or NULL if none is allocated to it.
 */
Tegra241VCMDQ *tegra241_cmdqv_lvcmdq(Tegra241CMDQV *cmdqv, unsigned int vintf,
                                     unsigned int lidx);

/* Are the block and this VINTF enabled? */
bool tegra241_cmdqv_vintf_enabled(const Tegra241CMDQV *cmdqv,
                                  unsigned int vintf);

/**
 * tegra241_cmdqv_queue_memory: where a queue is
 *
 * @addr: (out) guest physical address of its first command
 * @log2size: (out) of the number of its commands
 *
 * Returns: false if VCMDQ_BASE is not legal: no address, one that is not a
 *          multiple of the queue's size, or more commands than IDR1.CMDQS.
 */
bool tegra241_cmdqv_queue_memory(const Tegra241CMDQV *cmdqv,
                                 const Tegra241VCMDQ *q, hwaddr *addr,
                                 unsigned int *log2size);

/**
 * tegra241_cmdqv_report: errors of VINTF 0 that the host found
 *
 * @map: LVCMDQ_ERR_MAP, the bits of queues that have an error now; it replaces
 *       that of the last report.  Such an error shows as long as by
 *       ops->page0_read GERROR and GERRORN of the queue differ.
 *
 * The interrupt is raised if any queue of VINTF 0 has an error.
 */
void tegra241_cmdqv_report(Tegra241CMDQV *cmdqv, const uint64_t map[2]);

extern const VMStateDescription vmstate_tegra241_cmdqv;

#endif
