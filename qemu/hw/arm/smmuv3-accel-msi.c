/*
 * SMMUv3 on the host SMMU: where MSIs go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "hw/arm/smmu-common.h"
#include "hw/intc/arm_gicv3_its_common.h"
#include "smmuv3-accel-msi.h"

#define TYPE_SMMUV3_ACCEL_MSI_MR    "smmuv3-accel-msi-memory-region"

/* In whatever page the guest maps it, the doorbell keeps its offset */
#define SMMUV3_ACCEL_MSI_PAGE_MASK  0xfffULL

#define TYPE_ARM_GICV2M             "arm-gicv2m"

typedef struct SMMUv3AccelMSI {
    IOMMUMemoryRegion iommu;
    AddressSpace as;
    hwaddr page;                    /* of the doorbell */
    bool ready;
} SMMUv3AccelMSI;

static SMMUv3AccelMSI smmuv3_accel_msi;

static IOMMUTLBEntry smmuv3_accel_msi_translate(IOMMUMemoryRegion *mr,
                                                hwaddr addr,
                                                IOMMUAccessFlags flag,
                                                int iommu_idx)
{
    return (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & ~SMMUV3_ACCEL_MSI_PAGE_MASK,
        .translated_addr = smmuv3_accel_msi.page,
        .addr_mask = SMMUV3_ACCEL_MSI_PAGE_MASK,
        .perm = IOMMU_WO,
    };
}

static bool smmuv3_accel_msi_find(const char *type, hwaddr offset,
                                  hwaddr *page)
{
    Object *obj = object_resolve_path_type("", type, NULL);

    if (!obj) {
        return false;
    }
    *page = SYS_BUS_DEVICE(obj)->mmio[0].addr + offset;
    return true;
}

AddressSpace *smmuv3_accel_msi_address_space(void)
{
    SMMUv3AccelMSI *msi = &smmuv3_accel_msi;

    if (msi->ready) {
        return &msi->as;
    }
    /* GITS_TRANSLATER is in the second frame, V2M_MSI_SETSPI_NS in the only */
    if (!smmuv3_accel_msi_find(TYPE_ARM_GICV3_ITS_COMMON, ITS_CONTROL_SIZE,
                               &msi->page) &&
        !smmuv3_accel_msi_find(TYPE_ARM_GICV2M, 0, &msi->page)) {
        return &address_space_memory;
    }
    memory_region_init_iommu(&msi->iommu, sizeof(msi->iommu),
                             TYPE_SMMUV3_ACCEL_MSI_MR, NULL, "smmuv3-msi",
                             UINT64_MAX);
    address_space_init(&msi->as, MEMORY_REGION(&msi->iommu), "smmuv3-msi");
    msi->ready = true;
    return &msi->as;
}

static void smmuv3_accel_msi_class_init(ObjectClass *klass, void *data)
{
    IOMMU_MEMORY_REGION_CLASS(klass)->translate = smmuv3_accel_msi_translate;
}

static const TypeInfo smmuv3_accel_msi_types[] = {
    {
        .parent = TYPE_IOMMU_MEMORY_REGION,
        .name = TYPE_SMMUV3_ACCEL_MSI_MR,
        .class_init = smmuv3_accel_msi_class_init,
    },
};

DEFINE_TYPES(smmuv3_accel_msi_types)
