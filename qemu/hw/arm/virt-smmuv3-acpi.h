/*
 * The IORT of a virt machine with SMMUv3 devices that the user adds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_VIRT_SMMUV3_ACPI_H
#define HW_ARM_VIRT_SMMUV3_ACPI_H

#include "hw/acpi/aml-build.h"
#include "hw/acpi/bios-linker-loader.h"
#include "hw/arm/virt.h"

/**
 * virt_smmuv3_build_iort - the IORT of a machine with such SMMUs
 *
 * IO Remapping Table, Document number: ARM DEN 0049E.
 *
 * @vms: the machine
 * @table_data: where the table is appended
 * @linker: gets the command that computes the checksum
 */
void virt_smmuv3_build_iort(VirtMachineState *vms, GArray *table_data,
                            BIOSLinker *linker);

/**
 * virt_smmuv3_dsdt_add_cmdqv - the CMDQV blocks of those SMMUs
 *
 * Each is a device NVDA200C whose _UID is the identifier of the node that its
 * SMMU has in the IORT.
 *
 * @scope: where the devices go
 * @vms: the machine; nothing is added without such blocks
 */
void virt_smmuv3_dsdt_add_cmdqv(Aml *scope, VirtMachineState *vms);

#endif
