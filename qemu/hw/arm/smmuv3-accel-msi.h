/*
 * SMMUv3 on the host SMMU: where MSIs go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_MSI_H
#define HW_ARM_SMMUV3_ACCEL_MSI_H

#include "exec/memory.h"

/**
 * smmuv3_accel_msi_address_space: an address space in which every page is the
 * page of the interrupt controller's MSI doorbell
 *
 * The guest chooses at which address a device finds the doorbell, and says so
 * in tables that only the hardware may walk: QEMU could not order its walk
 * against the guest's invalidations.  But all that such an address can mean in
 * an MSI is the doorbell, which is at the same offset in each page.
 *
 * Returns: that address space, or address_space_memory if the machine has no
 *          interrupt controller that takes MSIs.
 */
AddressSpace *smmuv3_accel_msi_address_space(void);

#endif
