/*
 * BARs of VFIO devices as DMA targets of each other
 *
 * iommufd cannot map the pages of a BAR by their address.  Since Linux 6.19
 * VFIO hands out a dma-buf for a BAR, and IOMMU_IOAS_MAP_FILE maps that.  Its
 * mappings end when the device cannot be reached any more (memory decode off,
 * a low-power state, a reset); they do not come back by themselves.  So only
 * what follows the BAR in the guest's memory map is mapped so, not what a guest
 * maps through an emulated vIOMMU: nothing would tell that it has to be mapped
 * again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_BAR_DMABUF_H
#define HW_VFIO_BAR_DMABUF_H

#include "pci.h"

/**
 * vfio_bar_dmabuf_open: get a dma-buf for a BAR
 * @vdev: the device
 * @nr: number of the BAR, whose region is mapped into QEMU
 *
 * Returns: an open file that vfio_bar_dmabuf_close() closes; -1 if the host has
 * none to give, which is no error
 */
int vfio_bar_dmabuf_open(VFIOPCIDevice *vdev, int nr);

/**
 * vfio_bar_dmabuf_close: close the dma-buf of a BAR
 * @bar: the BAR, with or without one
 */
void vfio_bar_dmabuf_close(VFIOBAR *bar);

/**
 * vfio_bar_dmabuf_find: the BAR and the dma-buf that memory belongs to
 * @vaddr: address in QEMU
 * @fd: set to the dma-buf, or to -1 if the BAR has none
 * @start: set to the offset of @vaddr in it, in bytes
 *
 * Returns: false if @vaddr is in no BAR
 */
bool vfio_bar_dmabuf_find(void *vaddr, int *fd, uint64_t *start);

/**
 * vfio_bar_dmabuf_remap: map BARs again after a function level reset, which
 * leaves memory decode as it was, so that nothing else tells
 */
void vfio_bar_dmabuf_remap(VFIOPCIDevice *vdev);

/**
 * vfio_bar_dmabuf_reset_done: map BARs again after a reset by QEMU itself
 * @vbasedev: that of a VFIOPCIDevice
 *
 * Any thread may call it: they are mapped when the main loop has its turn.
 */
void vfio_bar_dmabuf_reset_done(VFIODevice *vbasedev);

#endif /* HW_VFIO_BAR_DMABUF_H */
