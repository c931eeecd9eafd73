/*
 * SMMUv3 devices that the user adds to the virt machine
 *
 * The machine has any number of them, each on a root complex of its own:
 * pcie.0 or a pxb-pcie.  They sit on the platform bus, which gives them their
 * register frame and interrupts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_VIRT_SMMUV3_H
#define HW_ARM_VIRT_SMMUV3_H

#include "hw/arm/smmuv3.h"
#include "hw/arm/virt.h"

/* SMMUIrq gives the order */
typedef struct VirtSMMUv3Frame {
    hwaddr base;                /* guest physical address of page 0 */
    hwaddr size;                /* in bytes */
    int irqs[NUM_SMMU_IRQS];    /* shared peripheral interrupt numbers */
} VirtSMMUv3Frame;

/* The PCI requester ids of a root complex */
typedef struct VirtSMMUv3Range {
    uint32_t first_rid;
    uint32_t rids;              /* how many */
    uint32_t used_rids;         /* of those, on buses that have a number now */
    SMMUv3State *smmu;          /* NULL: DMA is not translated */
} VirtSMMUv3Range;

/**
 * virt_smmuv3_pre_plug - may this SMMUv3 join the machine?
 *
 * @vms: the machine
 * @dev: an arm-smmuv3, not yet realized.  That of -machine iommu=smmuv3 passes
 *       as it is.  Others get the default of the machine's version for their
 *       property "stage".
 * @errp: says what is in the way, and what to change
 *
 * Returns true if it may be realized.
 */
bool virt_smmuv3_pre_plug(VirtMachineState *vms, DeviceState *dev,
                          Error **errp);

/**
 * virt_smmuv3_plug - the device is realized and on the platform bus
 *
 * @vms: the machine
 * @dev: an arm-smmuv3; nothing happens for that of -machine iommu=smmuv3
 */
void virt_smmuv3_plug(VirtMachineState *vms, DeviceState *dev);

/**
 * virt_smmuv3_present - has the user added an SMMUv3 with -device?
 */
bool virt_smmuv3_present(const VirtMachineState *vms);

/**
 * virt_smmuv3_accel - does the host walk the guest's tables for this SMMU?
 */
bool virt_smmuv3_accel(SMMUv3State *smmu);

/**
 * virt_smmuv3_preserve_config - must a guest keep what firmware gave to PCI?
 *
 * With an RMR in the IORT the stream ids that it names have to stay valid, so
 * the guest may not give out other bus numbers (ARM DEN 0049E.d, 3.1.1.5).
 *
 * @bus: a root complex
 */
bool virt_smmuv3_preserve_config(PCIBus *bus);

/* Where the guest finds the command queues (CMDQV) of an SMMU */
typedef struct VirtSMMUv3Cmdqv {
    hwaddr base;
    hwaddr size;                /* in bytes */
    int irq;                    /* shared peripheral interrupt number */
} VirtSMMUv3Cmdqv;

/**
 * virt_smmuv3_cmdqv - has an SMMU a CMDQV block, and where?
 *
 * @vms: the machine
 * @smmu: one of its SMMUs, plugged; the block is its second region, and has
 *        the interrupt after those of SMMUIrq
 * @cmdqv: (out) where it is
 *
 * Returns false if it has none.
 */
bool virt_smmuv3_cmdqv(const VirtMachineState *vms, SMMUv3State *smmu,
                       VirtSMMUv3Cmdqv *cmdqv);

/**
 * virt_smmuv3_frame - where the guest finds an SMMU
 *
 * @vms: the machine
 * @smmu: one of its SMMUs, plugged
 * @frame: (out) its registers and interrupts
 */
void virt_smmuv3_frame(const VirtMachineState *vms, SMMUv3State *smmu,
                       VirtSMMUv3Frame *frame);

/**
 * virt_smmuv3_ranges - which requester ids have which SMMU
 *
 * Every bus number belongs to the root complex with the highest number that is
 * not above it: that is how firmware shares them out.  A pxb without an SMMU
 * of its own is behind that of the root complex it sits on, as its DMA is;
 * one with bypass_iommu=on is behind none.
 *
 * @vms: the machine
 *
 * Returns an array of VirtSMMUv3Range, sorted, without gaps from requester id
 * 0 to 0xffff; to be freed with g_array_unref().
 */
GArray *virt_smmuv3_ranges(const VirtMachineState *vms);

/**
 * virt_smmuv3_add_fdt_nodes - describe the SMMUs in the device tree
 *
 * Adds a node for each below that of the platform bus, and an iommu-map to the
 * node of the PCI host bridge.
 *
 * @vms: the machine; its device tree has the node of the platform bus
 */
void virt_smmuv3_add_fdt_nodes(VirtMachineState *vms);

#endif
