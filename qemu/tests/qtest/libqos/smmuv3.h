/*
 * A guest's side of an SMMUv3, driven by a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SMMUV3_GUEST_H
#define SMMUV3_GUEST_H

#include "../libqtest.h"

/* Registers (SMMUv3 6.1) */
enum {
    SMMUV3_IDR0 = 0x0, SMMUV3_IDR1 = 0x4, SMMUV3_IDR3 = 0xc,
    SMMUV3_IDR5 = 0x14, SMMUV3_CR0 = 0x20, SMMUV3_CR0ACK = 0x24,
    SMMUV3_CR2 = 0x2c, SMMUV3_GBPA = 0x44, SMMUV3_IRQ_CTRL = 0x50,
    SMMUV3_GERROR = 0x60, SMMUV3_GERRORN = 0x64, SMMUV3_GERROR_CFG0 = 0x68,
    SMMUV3_STRTAB_BASE = 0x80, SMMUV3_STRTAB_BASE_CFG = 0x88,
    SMMUV3_CMDQ_BASE = 0x90, SMMUV3_CMDQ_PROD = 0x98, SMMUV3_CMDQ_CONS = 0x9c,
    SMMUV3_EVENTQ_BASE = 0xa0, SMMUV3_EVENTQ_CFG0 = 0xb0,
    SMMUV3_EVENTQ_PROD = 0x100a8, SMMUV3_EVENTQ_CONS = 0x100ac,
};

#define SMMUV3_IDR0_S2P         (1u << 0)
#define SMMUV3_IDR0_S1P         (1u << 1)
#define SMMUV3_IDR0_STAGES      (SMMUV3_IDR0_S1P | SMMUV3_IDR0_S2P)
#define SMMUV3_IDR3_FWB         (1u << 8)
#define SMMUV3_CR0_SMMUEN       (1u << 0)
#define SMMUV3_CR0_EVENTQEN     (1u << 2)
#define SMMUV3_CR0_CMDQEN       (1u << 3)
#define SMMUV3_CR0_ALL          (SMMUV3_CR0_SMMUEN | SMMUV3_CR0_EVENTQEN | \
                                 SMMUV3_CR0_CMDQEN)
#define SMMUV3_GBPA_ABORT       (1u << 20)
#define SMMUV3_GBPA_UPDATE      (1u << 31)
#define SMMUV3_GERROR_CMDQ      (1u << 0)
#define SMMUV3_QUEUE_OVERFLOW   (1u << 31)

/* CMDQ_CONS.ERR */
enum { SMMUV3_CERROR_NONE, SMMUV3_CERROR_ILL, SMMUV3_CERROR_ABT };

/* Commands (SMMUv3 4.1.6) */
enum {
    SMMUV3_PREFETCH_CONFIG = 0x01, SMMUV3_CFGI_STE = 0x03,
    SMMUV3_CFGI_STE_RANGE = 0x04, SMMUV3_CFGI_CD = 0x05,
    SMMUV3_CFGI_CD_ALL = 0x06, SMMUV3_TLBI_NH_ALL = 0x10,
    SMMUV3_TLBI_NH_ASID = 0x11, SMMUV3_TLBI_NH_VA = 0x12,
    SMMUV3_TLBI_NH_VAA = 0x13, SMMUV3_TLBI_EL2_ALL = 0x20,
    SMMUV3_TLBI_S12_VMALL = 0x28, SMMUV3_TLBI_NSNH_ALL = 0x30,
    SMMUV3_ATC_INV = 0x40, SMMUV3_SYNC = 0x46,
};

/* Stream table entries (SMMUv3 5.2) */
#define SMMUV3_STE_V            1ull
#define SMMUV3_STE_ABORT        (SMMUV3_STE_V | 0 << 1)
#define SMMUV3_STE_BYPASS       (SMMUV3_STE_V | 4 << 1)
#define SMMUV3_STE_S1           (SMMUV3_STE_V | 5 << 1)
#define SMMUV3_STE_S2           (SMMUV3_STE_V | 6 << 1)
#define SMMUV3_STE1_EATS        (1ull << 28)

typedef struct Smmuv3Guest {
    QTestState *qts;
    uint64_t base;              /* of the registers */
    uint64_t next_page;         /* guest memory, handed out page by page */
    uint64_t strtab;
    uint64_t cmdq;
    uint64_t eventq;
    unsigned prod;              /* of the command queue, with the wrap bit */
    unsigned event_cons;        /* of the event queue, with the wrap bit */
    bool two_level;
} Smmuv3Guest;

#define SMMUV3_GUEST_RAM        0x40000000ull
#define SMMUV3_GUEST_RAM_MB     64
#define SMMUV3_GUEST_CDS        0x50000000ull   /* nobody reads them */
#define SMMUV3_GUEST_CMDQ_LOG2  8
#define SMMUV3_GUEST_EVENTQ_LOG2 7
#define SMMUV3_GUEST_SID_LOG2   14      /* streams in a linear table */
#define SMMUV3_GUEST_SPLIT      8

/**
 * smmuv3_guest_init: a guest with an empty stream table and empty queues
 * @base: address of the registers
 * @ram: where its tables may be; two megabytes are used
 *
 * Nothing is told to the hardware yet.
 */
void smmuv3_guest_init(Smmuv3Guest *g, QTestState *qts, uint64_t base,
                       uint64_t ram);

/* Program tables and queues and enable all. May be repeated after a reset */
void smmuv3_guest_enable(Smmuv3Guest *g);
/* The same with a two-level stream table */
void smmuv3_guest_enable_2lvl(Smmuv3Guest *g);
void smmuv3_guest_set_cr0(Smmuv3Guest *g, uint32_t cr0);

uint32_t smmuv3_guest_readl(Smmuv3Guest *g, uint32_t reg);
void smmuv3_guest_writel(Smmuv3Guest *g, uint32_t reg, uint32_t value);
void smmuv3_guest_writeq(Smmuv3Guest *g, uint32_t reg, uint64_t value);

uint64_t smmuv3_guest_alloc(Smmuv3Guest *g, uint64_t size);
/* Address of a stream table entry; its table is created if need be */
uint64_t smmuv3_guest_ste(Smmuv3Guest *g, uint32_t sid);
/* Write an entry, valid bit last; nothing is told to the SMMU */
void smmuv3_guest_write_ste(Smmuv3Guest *g, uint32_t sid, uint64_t word0,
                            uint64_t word1);

/*
 * Context descriptor and tables that map 2 MiB at I/O address 0 to @target
 *
 * Returns: what a stream table entry has for it beside SMMUV3_STE_S1
 */
uint64_t smmuv3_guest_add_cd(Smmuv3Guest *g, uint64_t target);

/* Commands; none rings the doorbell */
void smmuv3_guest_post(Smmuv3Guest *g, uint64_t cmd0, uint64_t cmd1);
void smmuv3_guest_post_sid(Smmuv3Guest *g, unsigned op, uint32_t sid);
void smmuv3_guest_post_va(Smmuv3Guest *g, uint16_t asid, uint64_t addr);

/* Write the producer index */
void smmuv3_guest_ring(Smmuv3Guest *g);
/* Has the SMMU consumed all commands? */
bool smmuv3_guest_consumed(Smmuv3Guest *g);
/* Post CMD_SYNC, ring, and expect that all is consumed without an error */
void smmuv3_guest_sync(Smmuv3Guest *g);
/* CFGI_STE of @sid and sync */
void smmuv3_guest_cfgi(Smmuv3Guest *g, uint32_t sid);
/* CFGI_ALL and sync */
void smmuv3_guest_cfgi_all(Smmuv3Guest *g);
/* CMDQ_CONS.ERR if GERROR.CMDQ_ERR is active, else SMMUV3_CERROR_NONE */
unsigned smmuv3_guest_cmdq_error(Smmuv3Guest *g);
/* Acknowledge GERROR.CMDQ_ERR */
void smmuv3_guest_clear_error(Smmuv3Guest *g);

/* Take the next event; false: there is none */
bool smmuv3_guest_event(Smmuv3Guest *g, uint64_t evt[4]);

#endif /* SMMUV3_GUEST_H */
