/*
 * Host devices that a vIOMMU attaches by itself: telling the user about them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SYSTEM_IOMMUFD_BINDING_QUERY_H
#define SYSTEM_IOMMUFD_BINDING_QUERY_H

#include "system/iommufd-binding.h"
#include "system/viommu-query.h"

/* iommufd_query_name: the id that the user has given an iommufd object */
const char *iommufd_query_name(IOMMUFDBackend *iommufd);

/**
 * iommufd_binding_query_device: list a device, and the tables of guest memory
 * that its owner has attached it to
 *
 * Returns: the device, without bindings and capabilities.
 */
ViommuDevice *iommufd_binding_query_device(ViommuQuery *query,
                                           const IOMMUFDBindingDevice *dev);

/**
 * iommufd_binding_query: count a binding, and list it unless there are too many
 *
 * @state: of one that is neither blocked nor stuck
 */
void iommufd_binding_query(ViommuDevice *device, const IOMMUFDBinding *b,
                           ViommuBindingState state);

/* iommufd_binding_query_pasid: the same for a blocked PASID without binding */
void iommufd_binding_query_pasid(ViommuDevice *device,
                                 const IOMMUFDBindingDevice *dev,
                                 uint32_t pasid);

#endif
