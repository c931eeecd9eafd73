/*
 * Intel VT-d: guest memory that goes
 *
 * VFIO unmaps memory that the guest loses from the IOAS that has all of it.
 * Who maps it elsewhere by himself has to be told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "intel_iommu_accel_gone.h"

/* What a section showed that was taken away */
typedef struct VTDAccelTaken {
    uint64_t gpa;
    uint64_t last;
    const uint8_t *host;
    bool readonly;
} VTDAccelTaken;

/* Memory that goes in parts */
typedef struct VTDAccelDiscard {
    RamDiscardListener listener;
    MemoryRegion *mr;
    hwaddr gpa;
    VTDAccelGone *gone;         /* NULL: tell nobody */
    QLIST_ENTRY(VTDAccelDiscard) next;
} VTDAccelDiscard;

static const uint8_t *vtd_accel_gone_host(const MemoryRegionSection *section)
{
    return memory_region_get_ram_ptr(section->mr) +
           section->offset_within_region;
}

static uint64_t vtd_accel_gone_last(const MemoryRegionSection *section)
{
    return section->offset_within_address_space +
           (int128_get64(section->size) - 1);
}

static bool vtd_accel_gone_is_memory(const MemoryRegionSection *section)
{
    return memory_region_is_ram(section->mr) &&
           !memory_region_is_ram_device(section->mr);
}

static int vtd_accel_gone_populate(RamDiscardListener *listener,
                                   MemoryRegionSection *section)
{
    return 0;
}

static void vtd_accel_gone_discard(RamDiscardListener *listener,
                                   MemoryRegionSection *section)
{
    VTDAccelGone *g = container_of(listener, VTDAccelDiscard, listener)->gone;

    if (g) {
        g->func(g->opaque, section->offset_within_address_space,
                vtd_accel_gone_last(section));
    }
}

static void vtd_accel_gone_region_add(MemoryListener *listener,
                                      MemoryRegionSection *section)
{
    VTDAccelGone *g = container_of(listener, VTDAccelGone, listener);
    VTDAccelDiscard *discard;

    if (!memory_region_has_ram_discard_manager(section->mr)) {
        return;
    }
    discard = g_new0(VTDAccelDiscard, 1);
    discard->mr = section->mr;
    discard->gpa = section->offset_within_address_space;
    discard->gone = g;
    ram_discard_listener_init(&discard->listener, vtd_accel_gone_populate,
                              vtd_accel_gone_discard, true);
    QLIST_INSERT_HEAD(&g->discards, discard, next);
    ram_discard_manager_register_listener(
        memory_region_get_ram_discard_manager(section->mr),
        &discard->listener, section);
}

static void vtd_accel_gone_forget_discard(VTDAccelGone *g,
                                          const MemoryRegionSection *section)
{
    VTDAccelDiscard *discard;

    QLIST_FOREACH(discard, &g->discards, next) {
        if (discard->mr == section->mr &&
            discard->gpa == section->offset_within_address_space) {
            QLIST_REMOVE(discard, next);
            /* Whether it comes back is seen when all has changed */
            discard->gone = NULL;
            ram_discard_manager_unregister_listener(
                memory_region_get_ram_discard_manager(section->mr),
                &discard->listener);
            g_free(discard);
            return;
        }
    }
}

static void vtd_accel_gone_region_del(MemoryListener *listener,
                                      MemoryRegionSection *section)
{
    VTDAccelGone *g = container_of(listener, VTDAccelGone, listener);
    VTDAccelTaken taken;

    if (!vtd_accel_gone_is_memory(section)) {
        return;
    }
    taken = (VTDAccelTaken) {
        .gpa = section->offset_within_address_space,
        .last = vtd_accel_gone_last(section),
        .host = vtd_accel_gone_host(section),
        .readonly = section->readonly,
    };
    g_array_append_val(g->taken, taken);
    if (memory_region_has_ram_discard_manager(section->mr)) {
        vtd_accel_gone_forget_discard(g, section);
    }
}

/* Is a section of the memory map as it was when it was taken away? */
static bool vtd_accel_gone_is_same(const VTDAccelTaken *taken,
                                   const MemoryRegionSection *section)
{
    return vtd_accel_gone_is_memory(section) &&
           section->readonly == taken->readonly &&
           vtd_accel_gone_host(section) == taken->host +
           (section->offset_within_address_space - taken->gpa);
}

/* Tell which parts of it have not come back */
static void vtd_accel_gone_compare(VTDAccelGone *g, const VTDAccelTaken *taken)
{
    uint64_t pos = taken->gpa, first, last;

    while (pos <= taken->last) {
        MemoryRegionSection section =
            memory_region_find(get_system_memory(), pos,
                               taken->last - pos + 1);
        bool same;

        if (!section.mr) {
            g->func(g->opaque, pos, taken->last);
            return;
        }
        first = section.offset_within_address_space;
        last = vtd_accel_gone_last(&section);
        same = vtd_accel_gone_is_same(taken, &section);
        memory_region_unref(section.mr);
        if (!same) {
            g->func(g->opaque, pos, last);
        } else if (first > pos) {
            g->func(g->opaque, pos, first - 1);
        }
        pos = last + 1;
    }
}

static void vtd_accel_gone_commit(MemoryListener *listener)
{
    VTDAccelGone *g = container_of(listener, VTDAccelGone, listener);

    for (guint i = 0; i < g->taken->len; i++) {
        vtd_accel_gone_compare(g, &g_array_index(g->taken, VTDAccelTaken, i));
    }
    g_array_set_size(g->taken, 0);
}

void vtd_accel_gone_init(VTDAccelGone *g, VTDAccelGoneFunc *func, void *opaque)
{
    g->taken = g_array_new(false, false, sizeof(VTDAccelTaken));
    g->func = func;
    g->opaque = opaque;
    QLIST_INIT(&g->discards);
    g->listener = (MemoryListener) {
        .name = "vtd-accel-gone",
        .region_add = vtd_accel_gone_region_add,
        .region_del = vtd_accel_gone_region_del,
        .commit = vtd_accel_gone_commit,
    };
    memory_listener_register(&g->listener, &address_space_memory);
}
