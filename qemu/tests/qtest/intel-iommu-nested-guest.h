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

#include "libqos/intel-iommu.h"
#include "libqos/pci.h"
#include "hw/i386/intel_iommu_internal.h"

/* Command line up to the properties that a test adds to the IOMMU's */
#define NG_MACHINE      "-M q35 -m 256M -nodefaults " \
                        "-device intel-iommu,x-scalable-mode=on%s "

/* First-stage tables are at this distance from their place in RAM */
#define TABLE_GPA_OFFSET    0x0000002200000000ULL

#define PASID           5
#define DOMAIN_ID       0x123       /* of the first device, then ascending */

#define TOP             4           /* levels, unless a test wants other ones */

#define NG_MAX_DEVS     4

typedef struct NGDev {
    QPCIDevice *pci;
    QPCIBar bar;
    uint16_t sid;
    uint64_t dir;
    uint64_t pe[8];
    VtdGuestTable fs, ss;
    int ss_top;             /* levels of the second stage, 0 for TOP */
} NGDev;

typedef struct NGMachine {
    QTestState *qts;
    QPCIBus *bus;
    NGDev devs[NG_MAX_DEVS];
    unsigned int nr_devs;
    VtdGuest g;
    uint64_t scratch;
} NGMachine;

/* Put one descriptor and a wait descriptor on the queue, see both done */
void ng_submit(NGMachine *m, uint64_t qw0, uint64_t qw1);
void ng_flush_pasid_cache(NGMachine *m);

/* The upper half of the only fault recording register */
uint64_t ng_fault_record(NGMachine *m);
void ng_clear_fault(NGMachine *m);

/*
 * Map a page in both stages; the bits below the page sizes are those of @iova.
 *
 * Returns: the HPA
 */
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
void ng_stop(NGMachine *m);

/* One access of 8 bytes between the device's buffer and @addr */
void ng_dma(NGMachine *m, NGDev *dev, uint64_t addr, bool is_write);
/* The same, with the buffer seen through a pass-through entry */
uint64_t ng_dma_read(NGMachine *m, NGDev *dev, uint64_t addr);
void ng_dma_write(NGMachine *m, NGDev *dev, uint64_t addr, uint64_t val);

#endif
