/*
 * QTest of nested translation in the emulated VT-d:
 * the machine that does the DMA
 *
 * An edu device does DMA behind an IOMMU whose tables the test builds in
 * guest memory. No two address spaces agree in a mapping: input addresses,
 * guest physical ones (GPA, what first-stage tables are made of) and host
 * physical ones (HPA, what second-stage tables are made of, guest RAM here)
 * all differ, and so do those of the first-stage tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef INTEL_IOMMU_NESTED_GUEST_H
#define INTEL_IOMMU_NESTED_GUEST_H

#include "libqtest.h"
#include "libqos/pci.h"
#include "hw/i386/intel_iommu_internal.h"

/* Command line up to the properties that a test adds to the IOMMU's */
#define NG_MACHINE      "-M q35 -m 256M -nodefaults " \
                        "-device intel-iommu,x-scalable-mode=on%s "

/* First-stage tables are at this distance from their place in RAM */
#define TABLE_GPA_OFFSET    0x0000002200000000ULL

#define PASID           5
#define DOMAIN_ID       0x123       /* of the first device, then ascending */

#define FS_RW           (VTD_FL_P | VTD_FL_RW | VTD_FL_US)
#define PS              VTD_PT_PAGE_SIZE_MASK
#define TOP             VTD_PML4_LEVEL

#define NG_MAX_DEVS     4

typedef struct NGDev {
    QPCIDevice *pci;
    QPCIBar bar;
    uint16_t sid;
    uint64_t pe[8];
    uint64_t fs_root;       /* HPA */
    uint64_t ss_root;
    int ss_top;             /* levels of the second stage */
} NGDev;

typedef struct NGMachine {
    QTestState *qts;
    QPCIBus *bus;
    NGDev devs[NG_MAX_DEVS];
    unsigned int nr_devs;
    uint64_t next_table;
    uint32_t iq_tail;
    uint32_t nr_waits;
} NGMachine;

/* Registers */
uint64_t ng_readq(NGMachine *m, uint64_t reg);
uint32_t ng_readl(NGMachine *m, uint64_t reg);
void ng_writeq(NGMachine *m, uint64_t reg, uint64_t val);
void ng_writel(NGMachine *m, uint64_t reg, uint32_t val);

/* Put one descriptor and a wait descriptor on the queue, see both done */
void ng_submit(NGMachine *m, uint64_t qw0, uint64_t qw1);
void ng_flush_pasid_cache(NGMachine *m);

/* The upper half of the only fault recording register */
uint64_t ng_fault_record(NGMachine *m);
void ng_clear_fault(NGMachine *m);

/* Of a page that an entry of @level maps */
uint64_t ng_page_mask(int level);
uint64_t ng_page_size(int level);

/* The HPA of an entry of @level, tables are made on the way */
uint64_t ng_ss_entry(NGMachine *m, NGDev *dev, uint64_t gpa, int level);
uint64_t ng_fs_entry(NGMachine *m, NGDev *dev, uint64_t iova, int level);

/* Map a page of @level, overwriting what is there */
void ng_map_ss(NGMachine *m, NGDev *dev, uint64_t gpa, uint64_t hpa,
               int level);
void ng_map_fs(NGMachine *m, NGDev *dev, uint64_t iova, uint64_t gpa,
               int level);
/* Both, the bits below the page sizes are those of @iova; returns the HPA */
uint64_t ng_map_both(NGMachine *m, NGDev *dev, uint64_t iova,
                     uint64_t gpa_base, uint64_t hpa_base,
                     int fs_level, int ss_level);

/* A PASID entry of type @pgtt for device @n, with the tables that has */
void ng_setup_pe(NGMachine *m, unsigned int n, uint64_t pgtt);
void ng_write_pe(NGMachine *m, unsigned int n, const uint64_t *pe);

/* @nr_devs devices in slots from 4 on, the IOMMU still off */
void ng_start(NGMachine *m, unsigned int nr_devs);
/* The same with other properties of the IOMMU than those for nesting */
void ng_start_with(NGMachine *m, unsigned int nr_devs, const char *props);
void ng_enable(NGMachine *m);
void ng_stop(NGMachine *m);

/* One access of 8 bytes between the device's buffer and @addr */
void ng_dma(NGMachine *m, NGDev *dev, uint64_t addr, bool is_write);
/* The same, with the buffer seen through a pass-through entry */
uint64_t ng_dma_read(NGMachine *m, NGDev *dev, uint64_t addr);
void ng_dma_write(NGMachine *m, NGDev *dev, uint64_t addr, uint64_t val);

#endif
