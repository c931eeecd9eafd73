/*
 * VFIO: guest memory that is mapped for devices by its file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_MAP_FILE_H
#define HW_VFIO_MAP_FILE_H

#include "exec/cpu-common.h"
#include "system/iommufd.h"

/**
 * vfio_map_file: map shared memory of a memfd, or of a file on tmpfs or
 * hugetlbfs, by that file
 *
 * The host pins such memory by folios, without a walk of QEMU's page tables.
 *
 * @be: the iommufd
 * @ioas_id: the IOAS
 * @iova: where it is mapped, in bytes
 * @size: of the range in bytes
 * @vaddr: where QEMU has it
 * @readonly: map it without the permission to write
 *
 * Returns: true on success; false if the range is to be mapped by its address,
 *          because it is other memory or the host does not do it.
 */
bool vfio_map_file(IOMMUFDBackend *be, uint32_t ioas_id, hwaddr iova,
                   ram_addr_t size, void *vaddr, bool readonly);

#endif
