/*
 * PCI: what vIOMMUs have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_viommu.h"

typedef struct PCIEarlySearch {
    PCIDeviceFilter *filter;
    PCIDevice *found;
} PCIEarlySearch;

bool pci_is_host_device(PCIDevice *dev)
{
    /* hw/vfio has its types to itself */
    return object_dynamic_cast(OBJECT(dev), "vfio-pci-base") ||
           object_dynamic_cast(OBJECT(dev), "vfio-pci");
}

static void pci_viommu_look_at(PCIBus *bus, PCIDevice *dev, void *opaque)
{
    PCIEarlySearch *search = opaque;

    if (search->filter(dev)) {
        search->found = dev;
    }
}

PCIDevice *pci_viommu_find_early(PCIBus *bus, PCIDeviceFilter *filter)
{
    PCIEarlySearch search = { .filter = filter };
    PCIBus *child;

    if (!pci_bus_bypass_iommu(bus)) {
        pci_for_each_device_under_bus(bus, pci_viommu_look_at, &search);
    }
    /* A pxb that does not bypass may be below a root bus that does */
    QLIST_FOREACH(child, &bus->child, sibling) {
        if (!search.found && !child->iommu_ops) {
            search.found = pci_viommu_find_early(child, filter);
        }
    }
    return search.found;
}

bool pci_viommu_check_order(PCIBus *bus, const char *name, const char *kind,
                            Error **errp)
{
    PCIDevice *dev = pci_viommu_find_early(bus, pci_is_host_device);

    if (!dev) {
        return true;
    }
    error_setg(errp, "%s: host device %s on root complex %s is there before "
               "its %s", name,
               DEVICE(dev)->id ?: object_get_typename(OBJECT(dev)),
               BUS(bus)->name, kind);
    error_append_hint(errp, "Put the %s before it on the command line. Of "
                      "-device options those in JSON come after all others, "
                      "so give both in one form.\n", kind);
    return false;
}
