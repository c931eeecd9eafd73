/*
 * Intel VT-d: guest memory that is read and written in place
 *
 * To find out where guest memory is costs more than to read a descriptor or an
 * entry of a table.  The answer is remembered until guest memory is moved.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "system/xen.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_accel_memory.h"

const void *vtd_accel_locate(hwaddr addr, hwaddr len)
{
    hwaddr offset, found = len;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, addr, &offset, &found,
                                 false, VTD_MEM_ATTRS);
    /*
     * Of flash, which is read like memory, nobody says where it ends; Xen shows
     * a part of guest memory for a moment only.
     */
    if (found < len || !memory_region_is_ram(mr) ||
        !memory_access_is_direct(mr, false, VTD_MEM_ATTRS) || xen_enabled()) {
        return NULL;
    }
    return memory_region_get_ram_ptr(mr) + offset;
}

void vtd_accel_read_in_place(const void *host, uint64_t *val, unsigned int num)
{
    /* What the guest has written before it rang the doorbell is seen */
    smp_rmb();
    memcpy(val, host, num * sizeof(*val));
    for (unsigned int i = 0; i < num; i++) {
        le64_to_cpus(&val[i]);
    }
}

static void vtd_accel_forget_status(VTDAccelMemory *m)
{
    if (m->status_epoch) {
        address_space_cache_destroy(&m->status);
        m->status_epoch = 0;
    }
}

void vtd_accel_locate_status(VTDAccelMemory *m, hwaddr page)
{
    vtd_accel_forget_status(m);
    m->status_page = page;
    m->status_epoch = m->epoch;
    address_space_cache_init(&m->status, &address_space_memory, page,
                             VTD_PAGE_SIZE, true);
}

/* The old places are still there until vtd_accel_memory_commit() */
static void vtd_accel_memory_region(MemoryListener *listener,
                                    MemoryRegionSection *section)
{
    VTDAccelMemory *m = container_of(listener, VTDAccelMemory, listener);

    m->changing = true;
    vtd_accel_new_epoch(m);
    vtd_accel_forget_status(m);
}

static void vtd_accel_memory_commit(MemoryListener *listener)
{
    VTDAccelMemory *m = container_of(listener, VTDAccelMemory, listener);

    if (m->changing) {
        m->changing = false;
        vtd_accel_new_epoch(m);
        vtd_accel_forget_status(m);
    }
}

void vtd_accel_memory_init(VTDAccelMemory *m)
{
    m->epoch = 1;
    m->listener = (MemoryListener) {
        .name = "vtd-accel",
        .region_add = vtd_accel_memory_region,
        .region_del = vtd_accel_memory_region,
        .commit = vtd_accel_memory_commit,
    };
    memory_listener_register(&m->listener, &address_space_memory);
}
