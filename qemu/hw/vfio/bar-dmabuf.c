/*
 * BARs of VFIO devices as DMA targets of each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "hw/pci/pci.h"
#include "system/iommufd-compat.h"
#include "bar-dmabuf.h"
#include "trace.h"

/* Up to the end of what is mapped into QEMU: a BAR may be larger than that */
static uint64_t vfio_bar_mapped_size(const VFIORegion *region)
{
    uint64_t size = 0;

    for (int i = 0; i < region->nr_mmaps; i++) {
        size = MAX(size, region->mmaps[i].offset + region->mmaps[i].size);
    }
    return size;
}

int vfio_bar_dmabuf_open(VFIOPCIDevice *vdev, int nr)
{
    struct {
        struct vfio_device_feature feature;
        struct vfio_device_feature_dma_buf dmabuf;
        struct vfio_region_dma_range range;
    } QEMU_PACKED get = {
        .feature.argsz = sizeof(get),
        .feature.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
        .dmabuf.region_index = nr,
        .dmabuf.open_flags = O_RDWR | O_CLOEXEC,
        .dmabuf.nr_ranges = 1,
        .range.length = vfio_bar_mapped_size(&vdev->bars[nr].region),
    };
    int fd;

    if (!vdev->vbasedev.iommufd || !get.range.length ||
        !QEMU_IS_ALIGNED(get.range.length, qemu_real_host_page_size())) {
        return -1;
    }
    fd = ioctl(vdev->vbasedev.fd, VFIO_DEVICE_FEATURE, &get);
    trace_vfio_bar_dmabuf_open(vdev->vbasedev.name, nr, fd < 0 ? -errno : fd);
    return fd < 0 ? -1 : fd;
}

void vfio_bar_dmabuf_close(VFIOBAR *bar)
{
    if (bar->dmabuf >= 0) {
        close(bar->dmabuf);
        bar->dmabuf = -1;
    }
}

bool vfio_bar_dmabuf_find(void *vaddr, int *fd, uint64_t *start)
{
    VFIOPCIDevice *vdev;
    ram_addr_t offset;
    MemoryRegion *mr;
    Object *owner;
    int nr, i;

    RCU_READ_LOCK_GUARD();
    mr = memory_region_from_host(vaddr, &offset);
    if (!mr || !memory_region_is_ram_device(mr)) {
        return false;
    }
    owner = object_dynamic_cast(memory_region_owner(mr), TYPE_VFIO_PCI);
    if (!owner) {
        return false;
    }
    vdev = VFIO_PCI(owner);
    for (nr = 0; nr < PCI_ROM_SLOT; nr++) {
        VFIOBAR *bar = &vdev->bars[nr];

        for (i = 0; i < bar->region.nr_mmaps; i++) {
            if (&bar->region.mmaps[i].mem == mr) {
                *start = bar->region.mmaps[i].offset + offset;
                *fd = bar->dmabuf;
                return true;
            }
        }
    }
    return false;
}

void vfio_bar_dmabuf_remap(VFIOPCIDevice *vdev)
{
    int nr, i;

    for (nr = 0; nr < PCI_ROM_SLOT; nr++) {
        VFIOBAR *bar = &vdev->bars[nr];

        for (i = 0; bar->mr && bar->dmabuf >= 0 && i < bar->region.nr_mmaps;
             i++) {
            MemoryRegion *mr = &bar->region.mmaps[i].mem;

            /* Two transactions: one alone would change nothing */
            if (bar->region.mmaps[i].mmap && mr->enabled) {
                memory_region_set_enabled(mr, false);
                memory_region_set_enabled(mr, true);
            }
        }
    }
}

static void vfio_bar_dmabuf_remap_bh(void *opaque)
{
    VFIOPCIDevice *vdev = opaque;

    vfio_bar_dmabuf_remap(vdev);
    object_unref(OBJECT(vdev));
}

void vfio_bar_dmabuf_reset_done(VFIODevice *vbasedev)
{
    VFIOPCIDevice *vdev = container_of(vbasedev, VFIOPCIDevice, vbasedev);

    object_ref(OBJECT(vdev));
    aio_bh_schedule_oneshot(qemu_get_aio_context(), vfio_bar_dmabuf_remap_bh,
                            vdev);
}
