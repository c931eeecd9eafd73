/*
 * Host devices that a vIOMMU attaches by itself: telling the user about them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "system/iommufd-binding-query.h"

const char *iommufd_query_name(IOMMUFDBackend *iommufd)
{
    return object_get_canonical_path_component(OBJECT(iommufd));
}

ViommuDevice *iommufd_binding_query_device(ViommuQuery *query,
                                           const IOMMUFDBindingDevice *dev)
{
    HostIOMMUDeviceIOMMUFD *hiodi = dev->hiodi;
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(hiodi);
    const char *iommufd = iommufd_query_name(hiodi->iommufd);
    PCIDevice *pdev = dev->bus->devices[dev->devfn];
    ViommuDevice *device = g_new0(ViommuDevice, 1);

    device->name = g_strdup(iommufd_binding_device_name(dev));
    device->id = g_strdup(DEVICE(pdev)->id);
    device->qom_path = object_get_canonical_path(OBJECT(pdev));
    device->requester_id = PCI_BUILD_BDF(pci_bus_num(hiod->aliased_bus),
                                         hiod->aliased_devfn);
    device->iommufd = g_strdup(iommufd);
    device->host_id = hiodi->devid;
    QAPI_LIST_APPEND(query->devices, device);

    viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_IOAS,
                            hiodi->ioas_id, 0);
    viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_HWPT_S2,
                            hiodi->hwpt_id, hiodi->ioas_id);
    return device;
}

static ViommuBinding *iommufd_binding_query_add(ViommuDevice *device,
                                                uint32_t pasid,
                                                const char *reason)
{
    ViommuBindingList **end = &device->bindings;
    ViommuBinding *binding = g_new0(ViommuBinding, 1);

    while (*end) {
        end = &(*end)->next;
    }
    QAPI_LIST_APPEND(end, binding);
    binding->has_pasid = pasid != IOMMUFD_BINDING_NO_PASID;
    binding->pasid = binding->has_pasid ? pasid : 0;
    binding->state = VIOMMU_BINDING_STATE_BLOCKED;
    binding->reason = g_strdup(reason);
    return binding;
}

void iommufd_binding_query(ViommuDevice *device, const IOMMUFDBinding *b,
                           ViommuBindingState state)
{
    uint32_t pasid = b->pasid ?: IOMMUFD_BINDING_NO_PASID;
    const char *reason = b->stuck ? IOMMUFD_BINDING_STUCK :
                         iommufd_binding_reason(b->dev, pasid);
    ViommuBinding *binding;

    device->blocked_count += !!reason;
    if (device->binding_count++ >= VIOMMU_QUERY_BINDINGS_MAX) {
        return;
    }
    binding = iommufd_binding_query_add(device, pasid, reason);
    binding->has_hwpt_id = b->hwpt_id;
    binding->hwpt_id = b->hwpt_id;
    if (b->stuck) {
        binding->state = VIOMMU_BINDING_STATE_STUCK;
    } else if (!iommufd_binding_is_blocked(b)) {
        binding->state = state;
    }
}

void iommufd_binding_query_pasid(ViommuDevice *device,
                                 const IOMMUFDBindingDevice *dev,
                                 uint32_t pasid)
{
    device->blocked_count++;
    if (device->binding_count++ < VIOMMU_QUERY_BINDINGS_MAX) {
        iommufd_binding_query_add(device, pasid,
                                  iommufd_binding_reason(dev, pasid));
    }
}
