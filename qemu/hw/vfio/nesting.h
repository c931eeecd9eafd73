/*
 * VFIO devices behind a vIOMMU that nests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_NESTING_H
#define HW_VFIO_NESTING_H

#include "hw/vfio/vfio-common.h"

/*
 * Concepts:
 *
 * A device is *nested* if its vIOMMU asks for a nesting parent: a HWPT that
 * maps guest memory one to one and on which the vIOMMU nests HWPTs of its own.
 * VFIO owns the parent and attaches the device to it.  All nested devices of a
 * VM are in one container, so that guest memory is pinned once.
 */

/**
 * vfio_nesting_check_device: check whether a device fits its vIOMMU
 *
 * Refuses mediated devices, a second device of an IOMMU group, and what the
 * vIOMMU does not like of the host IOMMU.  True for what is not nested.
 *
 * @vbasedev: a device that is not attached to anything yet
 * @errp: set to what the host has and what to change
 *
 * Returns: true if @vbasedev may be attached, false with @errp set otherwise.
 */
bool vfio_nesting_check_device(VFIODevice *vbasedev, Error **errp);

/**
 * vfio_nesting_bypass_ro: tell whether a container for @vbasedev must leave
 * out memory that the guest cannot write to
 */
bool vfio_nesting_bypass_ro(VFIODevice *vbasedev);

/**
 * vfio_nesting_check_container: check whether a device can join a container
 *
 * @vbasedev: the device
 * @bcontainer: a container with at least one device
 * @errp: set to what stands in the way and what to change
 *
 * Returns: true if it can, false with @errp set otherwise.
 */
bool vfio_nesting_check_container(VFIODevice *vbasedev,
                                  const VFIOContainerBase *bcontainer,
                                  Error **errp);

/**
 * vfio_nesting_viommu: the vIOMMU whose devices share HWPTs with no others
 *
 * Returns: NULL for a device that may share the HWPTs of any other.
 */
const void *vfio_nesting_viommu(VFIODevice *vbasedev);

/**
 * vfio_nesting_hwpt_fits: tell whether @vbasedev's vIOMMU allows it to share
 * @hwpt
 */
bool vfio_nesting_hwpt_fits(VFIODevice *vbasedev, const VFIOIOASHwpt *hwpt);

/**
 * vfio_nesting_alloc_hwpt: allocate a HWPT that maps an IOAS, as @vbasedev's
 * vIOMMU wants it
 *
 * @vbasedev: the device that will be attached to it first
 * @ioas_id: the IOAS
 * @flags: in, IOMMU_HWPT_ALLOC_* as for a device without vIOMMU; out, those
 *         that the HWPT has
 * @hwpt_id: the new HWPT, valid on success only
 * @errp: set to the host's reason on failure
 *
 * Returns: true on success, false with @errp set otherwise.
 */
bool vfio_nesting_alloc_hwpt(VFIODevice *vbasedev, uint32_t ioas_id,
                             uint32_t *flags, uint32_t *hwpt_id,
                             Error **errp);

#endif
