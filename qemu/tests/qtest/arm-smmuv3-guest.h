/*
 * What a guest of the virt machine does with its SMMUv3s: read the tables that
 * describe them, and program them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_ARM_SMMUV3_GUEST_H
#define TESTS_QTEST_ARM_SMMUV3_GUEST_H

#include "libqos/smmuv3.h"

#define VIRT_PLATFORM_BUS_BASE  0x0c000000ull
#define VIRT_PLATFORM_BUS_SIZE  0x02000000ull

#define SMMUV3_FRAME_SIZE       0x20000ull

enum {
    SMMUV3_IRQ_EVTQ,
    SMMUV3_IRQ_PRIQ,
    SMMUV3_IRQ_CMD_SYNC,
    SMMUV3_IRQ_GERROR,
    SMMUV3_IRQS
};

/* "count" requester ids from "first" on go to "output" */
typedef struct SMMUv3Map {
    uint32_t first;
    uint32_t count;
    uint32_t output;    /* IORT: offset of a node; device tree: phandle */
} SMMUv3Map;

#define SMMUV3_MAX      16
#define SMMUV3_MAX_MAPS 16

typedef struct IortSMMU {
    uint32_t offset;            /* of the node in the table */
    uint64_t base;
    uint32_t irq[SMMUV3_IRQS];  /* shared peripheral interrupt numbers */
    SMMUv3Map maps[SMMUV3_MAX_MAPS];
    unsigned n_maps;
} IortSMMU;

typedef struct IortRMR {
    uint32_t flags;
    uint64_t base;
    uint64_t size;
    SMMUv3Map maps[SMMUV3_MAX_MAPS];
    unsigned n_maps;
} IortRMR;

typedef struct IortTable {
    unsigned revision;
    unsigned its_groups;
    uint32_t its_offset;        /* of the node, 0 without */
    IortSMMU smmu[SMMUV3_MAX];
    unsigned smmus;
    unsigned root_complexes;
    uint32_t ats;               /* ATS attribute of the root complex */
    SMMUv3Map rc_maps[SMMUV3_MAX_MAPS];
    unsigned n_rc_maps;
    IortRMR rmr[SMMUV3_MAX];
    unsigned rmrs;
} IortTable;

typedef struct FdtSMMUs {
    struct {
        uint64_t base;
        uint64_t size;
        uint32_t irq[SMMUV3_IRQS];
        uint32_t phandle;
    } smmu[SMMUV3_MAX];         /* sorted by base */
    unsigned smmus;
    SMMUv3Map maps[SMMUV3_MAX_MAPS];
    unsigned n_maps;
} FdtSMMUs;

/**
 * smmuv3_run_qemu - run QEMU, which is expected to end by itself
 *
 * @said: (out) what it wrote to its standard error output, to be freed
 * @format: its command line, printf-like
 *
 * Returns its exit status, -1 if a signal ended it.
 */
int smmuv3_run_qemu(char **said, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A blob of fw_cfg; returns its bytes, to be freed, and their count */
uint8_t *smmuv3_read_blob(QTestState *qts, const char *name, size_t *size);

/* The IORT as firmware would find it; fails the test if there is none */
void smmuv3_read_iort(QTestState *qts, IortTable *iort);

/**
 * smmuv3_read_fdt - what the device tree says of SMMUs
 *
 * @smmus: (out) what it says
 * @format: QEMU's command line, printf-like, with another %s, escaped, for the
 *          file of dumpdtb=
 */
void smmuv3_read_fdt(FdtSMMUs *smmus, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* Let the SMMU at this address consume a command that does not exist */
void smmuv3_wrong_command(QTestState *qts, uint64_t base);

/* Let the GICv3 keep pulses of this shared peripheral interrupt */
void smmuv3_irq_latch(QTestState *qts, uint32_t spi);

/* Has a pulse of this shared peripheral interrupt reached the GICv3? */
bool smmuv3_irq_pending(QTestState *qts, uint32_t spi);

/* An aligned 2 MiB of RAM, for index 0 and up */
uint64_t smmuv3_target(int index);

/**
 * smmuv3_map_all - enable an SMMU with first-stage tables for two streams
 *
 * @qts: QEMU
 * @base: of its registers
 * @index: which SMMU it is, from 0: has tables of its own in RAM
 * @target: 2 MiB of memory to which I/O address 0 leads; nothing else is mapped
 *
 * The streams are those of 0:4.0 and 9:0.0.
 */
void smmuv3_map_all(QTestState *qts, uint64_t base, int index,
                    uint64_t target);

/* Write 32 bits of PCI configuration space (machine with highmem-ecam=off) */
void smmuv3_write_config(QTestState *qts, int bus, int slot, int offset,
                         uint32_t value);

/**
 * smmuv3_root_port_init - let a root port have one bus and 1 MiB of memory
 *
 * @qts: QEMU
 * @bus: its PCI bus number, the other one will be the next
 * @slot: its slot
 * @index: that of the edu device behind it
 */
void smmuv3_root_port_init(QTestState *qts, int bus, int slot, int index);

/**
 * smmuv3_edu_init - set up an edu device (machine with highmem-ecam=off)
 *
 * @qts: QEMU
 * @bus: its PCI bus number
 * @slot: its slot on it
 * @index: from 0, another one for each device
 *
 * Returns the address of its registers.
 */
uint64_t smmuv3_edu_init(QTestState *qts, int bus, int slot, int index);

#endif
