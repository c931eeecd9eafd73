/*
 * PCI: what vIOMMUs have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_PCI_PCI_VIOMMU_H
#define HW_PCI_PCI_VIOMMU_H

#include "hw/pci/pci.h"

typedef bool PCIDeviceFilter(PCIDevice *dev);

/* pci_is_host_device: whether @dev is a device of the host, passed through */
bool pci_is_host_device(PCIDevice *dev);

/**
 * pci_viommu_find_early: look for a device that was there before its vIOMMU
 *
 * @bus: root bus of a vIOMMU that has not been set up yet
 * @filter: tells which devices are looked for
 *
 * Devices on root buses that bypass the vIOMMU are left out, and buses that
 * have a vIOMMU of their own.
 *
 * Returns: a device on @bus or below it, NULL if there is none.
 */
PCIDevice *pci_viommu_find_early(PCIBus *bus, PCIDeviceFilter *filter);

/**
 * pci_viommu_check_order: refuse a vIOMMU that comes after a host device
 *
 * A host device chooses its address space when it is realized: one that is
 * there already would stay outside, with all guest memory in its reach.
 *
 * @bus: root bus of a vIOMMU that has not been set up yet
 * @name: what the user calls the vIOMMU
 * @kind: what kind of vIOMMU it is, for advice
 *
 * Returns: true if there is no such device, false with @errp set otherwise.
 */
bool pci_viommu_check_order(PCIBus *bus, const char *name, const char *kind,
                            Error **errp);

#endif
