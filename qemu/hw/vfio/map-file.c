/*
 * VFIO: guest memory that is mapped for devices by its file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/vfs.h>
#include <linux/magic.h>

#include "exec/ramblock.h"
#include "map-file.h"

/* Linux has it from 6.13 on */
static bool vfio_map_file_unsupported;

/*
 * The host can pin what is memory alone.  It says so no sooner than it pins,
 * which may be when a device is attached: too late to choose the other way.
 */
static bool vfio_map_file_is_memory(int fd)
{
    struct statfs fs;

    return !fstatfs(fd, &fs) &&
           (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

bool vfio_map_file(IOMMUFDBackend *be, uint32_t ioas_id, hwaddr iova,
                   ram_addr_t size, void *vaddr, bool readonly)
{
    ram_addr_t offset;
    RAMBlock *rb;
    int ret;

    if (vfio_map_file_unsupported) {
        return false;
    }
    rb = qemu_ram_block_from_host(vaddr, false, &offset);
    /* What QEMU writes to a private mapping does not reach the file */
    if (!rb || qemu_ram_get_fd(rb) < 0 || !qemu_ram_is_shared(rb) ||
        offset + size > rb->max_length ||
        !vfio_map_file_is_memory(qemu_ram_get_fd(rb))) {
        return false;
    }
    ret = iommufd_backend_map_file_dma(be, ioas_id, iova, size,
                                       qemu_ram_get_fd(rb),
                                       rb->fd_offset + offset, readonly);
    vfio_map_file_unsupported = ret == -ENOTTY || ret == -EOPNOTSUPP;
    return !ret;
}
