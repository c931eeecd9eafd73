/*
 * The pasid-testdev and the tables of a guest behind the emulated SMMUv3 of
 * "virt", as qtests of substreams and of ATS drive them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_SMMUV3_TESTDEV_H
#define TESTS_QTEST_SMMUV3_TESTDEV_H

#include "hw/pci/pci_regs.h"
#include "libqos/smmuv3.h"

#define SMMU_BASE       0x09050000ull
#define ECAM_BASE       0x4010000000ull
#define BAR             0x10000000ull
#define DEVFN           (4 << 3)
#define SID             DEVFN

/* pasid-testdev */
#define PASID_CAP       0x100
enum { ADDRESS = 0, DATA = 8, PASID_REG = 0x10, COMMAND = 0x14,
       RESULT = 0x18 };
enum { READ = 1, WRITE = 2, FOLLOW_UNMAPS = 6 };
#define RID             UINT32_MAX      /* a request without PASID */

/* Guest memory */
#define TABLES          (SMMUV3_GUEST_RAM + 0x100000)
#define CONTEXTS        (SMMUV3_GUEST_RAM + 0x1000000)
#define PAGE_TABLES     (SMMUV3_GUEST_RAM + 0x1400000)
#define STAGE_2         (SMMUV3_GUEST_RAM + 0x1500000)
#define PAGES           (SMMUV3_GUEST_RAM + 0x2000000)
#define NO_MEMORY       0x200000000ull  /* within 44 bits, aligned to 64 KiB */
/* Where stage 2 has it: an IPA that is no physical address of memory */
#define IPA_OFFSET      0x80000000ull
#define STAMP(page)     (0x7061676500000000ull | (page))

/* STE (SMMUv3 5.2); words 2 and 3 are stage 2: 39 bits of IPA, 4 KiB */
#define S1CDMAX(n)      ((uint64_t)(n) << 59)
enum { TERMINATE, BYPASS, SSID0, RESERVED_DSS };
#define STE_S2          (7ull | 25ull << 32 | 1ull << 38 | 4ull << 48 | \
                         1ull << 51 | 1ull << 58)
#define STE_BOTH        (SMMUV3_STE_V | 7 << 1)

/* CD (SMMUv3 5.4), descriptors (Arm ARM D8.3) */
#define CD_ALL          (1ull << 31 | 1ull << 30 | 25 | 4ull << 32 | \
                         1ull << 41 | 1ull << 45 | 1ull << 46)
#define CD_ASID(n)      ((uint64_t)(n) << 48)
#define DESC_TABLE      3
#define DESC_BLOCK      1
#define DESC_AF         (1 << 10)
#define DESC_S2_RW      (3 << 6)

static inline uint64_t smmuv3_testdev_config(unsigned offset)
{
    return ECAM_BASE + (DEVFN << 12) + offset;
}

static inline void smmuv3_testdev_enable(QTestState *qts)
{
    qtest_writel(qts, smmuv3_testdev_config(PCI_BASE_ADDRESS_0), BAR);
    qtest_writew(qts, smmuv3_testdev_config(PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    qtest_writew(qts, smmuv3_testdev_config(PASID_CAP + PCI_PASID_CTRL),
                 PCI_PASID_CTRL_ENABLE);
}

/**
 * smmuv3_testdev_start: a machine whose SMMU and device are enabled
 *
 * @g: set up, with the stream table and queues at TABLES
 * @props: of the SMMU, with commas in between
 * @device: more properties of the device, each after a comma
 *
 * The first eight pages of @page_size bytes at PAGES have their number at
 * @offset, STAMP(0) and so on. Stage 2 at STAGE_2 is one block of 1 GiB.
 */
static inline QTestState *smmuv3_testdev_start(Smmuv3Guest *g,
                                               const char *props,
                                               const char *device,
                                               uint64_t page_size,
                                               uint64_t offset)
{
    g_autofree char *globals = g_strdup("");
    g_auto(GStrv) list = g_strsplit(props, ",", -1);
    QTestState *qts;

    for (char **prop = list; *prop && **prop; prop++) {
        char *more = g_strdup_printf("%s -global arm-smmuv3.%s", globals,
                                     *prop);

        g_free(globals);
        globals = more;
    }
    qts = qtest_initf("-accel qtest -nodefaults -M virt,iommu=smmuv3 "
                      "-cpu cortex-a57 -m %d %s "
                      "-device pasid-testdev,addr=4%s",
                      SMMUV3_GUEST_RAM_MB, globals, device);
    smmuv3_guest_init(g, qts, SMMU_BASE, TABLES);
    smmuv3_guest_enable(g);
    smmuv3_testdev_enable(qts);
    for (unsigned page = 0; page < 8; page++) {
        qtest_writeq(qts, PAGES + page * page_size + offset, STAMP(page));
    }
    qtest_writeq(qts, STAGE_2 + ((SMMUV3_GUEST_RAM + IPA_OFFSET) >> 30) * 8,
                 SMMUV3_GUEST_RAM | DESC_AF | DESC_S2_RW | DESC_BLOCK);
    return qts;
}

/* Have the device make a request; returns what became of it */
static inline unsigned smmuv3_testdev_request(QTestState *qts,
                                              unsigned command,
                                              uint32_t pasid, uint64_t addr)
{
    qtest_writeq(qts, BAR + ADDRESS, addr);
    qtest_writel(qts, BAR + PASID_REG, pasid);
    qtest_writel(qts, BAR + COMMAND, command);
    return qtest_readl(qts, BAR + RESULT);
}

#endif
