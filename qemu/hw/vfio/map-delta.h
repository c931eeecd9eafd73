/*
 * VFIO: what a change of the guest's memory map changes for devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_MAP_DELTA_H
#define HW_VFIO_MAP_DELTA_H

#include "hw/vfio/vfio-container-base.h"

/*
 * Concepts:
 *
 * Where a guest changes a few pages of its memory map, QEMU takes away the
 * whole range around them and adds its parts anew.  An *area* is what was
 * mapped by one call.  When its range is taken away it is *stale*: it stays
 * mapped and pinned until the transaction is committed.  If the same memory
 * comes back at the same place before that, it is no longer stale; all that
 * still is then gets unmapped, areas that follow each other by one call.
 *
 * BARs are areas, too, but never come back: a reset of their device may have
 * moved what is behind them.  Those of a container's only device are not
 * mapped: it cannot reach its own by DMA, and firmware moves them about.
 * What a guest maps through an emulated vIOMMU, and memory that is populated in
 * parts, are not areas.
 */

/**
 * vfio_map_delta_start: begin to keep what does not change
 *
 * To be called before the memory listener is registered.  A container that it
 * was not called for maps and unmaps all at once, as the functions below say.
 */
void vfio_map_delta_start(VFIOContainerBase *bcontainer);

/**
 * vfio_map_delta_stop: forget what could not be unmapped, of an IOAS that is
 * about to go.  The memory listener is no longer registered.
 */
void vfio_map_delta_stop(VFIOContainerBase *bcontainer);

/**
 * vfio_map_delta_add: map memory that appears, unless it still is mapped
 *
 * @bcontainer: the container
 * @mr: RAM, referenced as long as any of it is mapped; or a BAR
 * @iova: where it appears, in bytes
 * @size: of the range in bytes
 * @vaddr: where QEMU has it
 * @readonly: map it without the permission to write
 *
 * Returns: 0 on success; a negative errno if the host refuses, in which case
 *          nothing is mapped there; -EEXIST if something stays there, stale,
 *          because the host does not unmap it, which the commit reports.
 */
int vfio_map_delta_add(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                       hwaddr iova, hwaddr size, void *vaddr, bool readonly);

/**
 * vfio_map_delta_del: make the areas of a range stale
 *
 * @bcontainer: the container
 * @mr: RAM or an emulated IOMMU that disappears
 * @iova: its first address
 * @last: its last address
 *
 * Returns: false if the caller has to unmap the range.
 */
bool vfio_map_delta_del(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                        hwaddr iova, hwaddr last);

/**
 * vfio_map_delta_add_peer: map BARs that were not, now that somebody may want
 * to reach them
 *
 * To be called when a device is in the container's list.  What the host refuses
 * is reported, once for each device.
 */
void vfio_map_delta_add_peer(VFIOContainerBase *bcontainer);

/**
 * vfio_map_delta_flush: unmap stale areas from @iova to @last for what is none
 *
 * The host refuses to map what comes there if one of them cannot be unmapped.
 */
void vfio_map_delta_flush(VFIOContainerBase *bcontainer, hwaddr iova,
                          hwaddr last);

/**
 * vfio_map_delta_commit: unmap all stale areas
 *
 * What the host refuses to unmap remains stale: the next commit tries again.
 *
 * @listener: a container's
 */
void vfio_map_delta_commit(MemoryListener *listener);

#endif
