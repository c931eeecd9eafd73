/*
 * VFIO: what a change of the guest's memory map changes for devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/interval-tree.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/vfio/vfio-common.h"
#include "map-delta.h"

/* PCs have small ranges below it that their firmware changes one by one */
#define VFIO_MAP_DELTA_CUT  MiB

typedef struct VFIOMapArea {
    struct rcu_head rcu;
    IntervalTreeNode node;
    MemoryRegion *mr;           /* referenced, if it is no BAR */
    void *vaddr;
    bool readonly;
    bool is_bar;
    bool mapped;
    bool stale;
} VFIOMapArea;

typedef struct VFIOMapDelta {
    IntervalTreeRoot areas;
    unsigned stale;             /* how many of them are */
} VFIOMapDelta;

static VFIOMapArea *vfio_map_area(IntervalTreeNode *node)
{
    return node ? container_of(node, VFIOMapArea, node) : NULL;
}

static VFIOMapArea *vfio_map_area_first(VFIOMapDelta *delta, hwaddr iova,
                                        hwaddr last)
{
    return vfio_map_area(interval_tree_iter_first(&delta->areas, iova, last));
}

static VFIOMapArea *vfio_map_area_next(VFIOMapArea *area, hwaddr iova,
                                       hwaddr last)
{
    return vfio_map_area(interval_tree_iter_next(&area->node, iova, last));
}

static void vfio_map_area_set_stale(VFIOMapDelta *delta, VFIOMapArea *area,
                                    bool stale)
{
    delta->stale += stale - area->stale;
    area->stale = stale;
}

static void vfio_map_area_free(VFIOMapArea *area)
{
    if (!area->is_bar) {
        memory_region_unref(area->mr);
    }
    g_free(area);
}

static void vfio_map_area_forget(VFIOMapDelta *delta, VFIOMapArea *area)
{
    vfio_map_area_set_stale(delta, area, false);
    interval_tree_remove(&area->node, &delta->areas);
    /* If it has the last reference, listeners must not be walked through now */
    call_rcu(area, vfio_map_area_free, rcu);
}

static int vfio_map_area_map(VFIOContainerBase *bcontainer, VFIOMapArea *area)
{
    int ret = vfio_container_dma_map(bcontainer, area->node.start,
                                     area->node.last - area->node.start + 1,
                                     area->vaddr, area->readonly);

    area->mapped = !ret;
    return ret;
}

/* The only device of a container, NULL if there are more or none yet */
static VFIODevice *vfio_map_delta_lone(const VFIOContainerBase *bcontainer)
{
    VFIODevice *first = QLIST_FIRST(&bcontainer->device_list);

    return first && !QLIST_NEXT(first, container_next) ? first : NULL;
}

/* A device does not reach its own BARs by DMA */
static bool vfio_map_delta_is_reached(const VFIOContainerBase *bcontainer,
                                      MemoryRegion *mr)
{
    VFIODevice *lone = vfio_map_delta_lone(bcontainer);

    return !memory_region_is_ram_device(mr) || !lone ||
           memory_region_owner(mr) != OBJECT(lone->dev);
}

static int vfio_map_area_new(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                             hwaddr iova, hwaddr last, void *vaddr,
                             bool readonly)
{
    VFIOMapArea *area = g_new0(VFIOMapArea, 1);
    int ret = 0;

    area->node.start = iova;
    area->node.last = last;
    area->mr = mr;
    area->vaddr = vaddr;
    area->readonly = readonly;
    area->is_bar = memory_region_is_ram_device(mr);
    if (vfio_map_delta_is_reached(bcontainer, mr)) {
        ret = vfio_map_area_map(bcontainer, area);
    }
    if (ret) {
        g_free(area);
        return ret;
    }
    /* A BAR is never kept, and must not keep its device, which may go */
    if (!area->is_bar) {
        memory_region_ref(mr);
    }
    interval_tree_insert(&area->node, &bcontainer->delta->areas);
    return 0;
}

/* Unmap stale areas that nothing else is between, by one call if possible */
static int vfio_map_delta_unmap_run(VFIOContainerBase *bcontainer,
                                    VFIOMapArea *area, VFIOMapArea *end)
{
    hwaddr start = area->node.start, last = end->node.last;
    bool done = area != end &&
                !vfio_container_dma_unmap(bcontainer, start, last - start + 1,
                                          NULL);
    VFIOMapArea *next;
    int ret = 0;

    for (; area; area = next) {
        int err = done ? 0 :
                  vfio_container_dma_unmap(bcontainer, area->node.start,
                                           area->node.last -
                                           area->node.start + 1, NULL);

        next = area == end ? NULL : vfio_map_area_next(area, start, last);
        if (err) {
            ret = err;
        } else {
            vfio_map_area_forget(bcontainer->delta, area);
        }
    }
    return ret;
}

/* Unmap the stale areas in a range */
static int vfio_map_delta_unmap(VFIOContainerBase *bcontainer, hwaddr iova,
                                hwaddr last)
{
    /* What is no area may be between them */
    bool across = QLIST_EMPTY(&bcontainer->vrdl_list) &&
                  QLIST_EMPTY(&bcontainer->giommu_list);
    VFIOMapArea *area, *end, *next;
    int ret = 0;

    area = vfio_map_area_first(bcontainer->delta, iova, last);
    for (; area; area = next) {
        int err;

        next = vfio_map_area_next(area, iova, last);
        if (!area->stale) {
            continue;
        }
        if (!area->mapped) {
            vfio_map_area_forget(bcontainer->delta, area);
            continue;
        }
        for (end = area; next && next->stale && next->mapped; end = next,
             next = vfio_map_area_next(end, iova, last)) {
            if (!across && next->node.start != end->node.last + 1) {
                break;
            }
        }
        err = vfio_map_delta_unmap_run(bcontainer, area, end);
        ret = ret ?: err;
    }
    return ret;
}

static void vfio_map_delta_set_stale(VFIOMapDelta *delta, hwaddr iova,
                                     hwaddr last)
{
    VFIOMapArea *area;

    for (area = vfio_map_area_first(delta, iova, last); area;
         area = vfio_map_area_next(area, iova, last)) {
        vfio_map_area_set_stale(delta, area, true);
    }
}

/* Map what no area covers */
static int vfio_map_delta_fill(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                               hwaddr iova, hwaddr last, void *vaddr,
                               bool readonly)
{
    hwaddr pos = iova, end;
    int ret = 0;

    while (!ret && pos <= last) {
        VFIOMapArea *area = vfio_map_area_first(bcontainer->delta, pos, last);

        if (area && area->node.start <= pos) {
            pos = area->node.last + 1;
            continue;
        }
        end = area ? area->node.start - 1 : last;
        if (pos < VFIO_MAP_DELTA_CUT && !memory_region_is_ram_device(mr)) {
            end = MIN(end, VFIO_MAP_DELTA_CUT - 1);
        }
        ret = vfio_map_area_new(bcontainer, mr, pos, end, vaddr + (pos - iova),
                                readonly);
        pos = end + 1;
    }
    return ret;
}

int vfio_map_delta_add(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                       hwaddr iova, hwaddr size, void *vaddr, bool readonly)
{
    VFIOMapDelta *delta = bcontainer->delta;
    hwaddr last = iova + size - 1;
    VFIOMapArea *area;
    int ret;

    if (!delta) {
        return vfio_container_dma_map(bcontainer, iova, size, vaddr, readonly);
    }
    for (area = vfio_map_area_first(delta, iova, last); area;
         area = vfio_map_area_next(area, iova, last)) {
        bool keep = area->node.start >= iova && area->node.last <= last &&
                    area->mr == mr && !area->is_bar &&
                    area->vaddr == vaddr + (area->node.start - iova) &&
                    area->readonly == readonly;

        vfio_map_area_set_stale(delta, area, !keep);
    }
    ret = vfio_map_delta_unmap(bcontainer, iova, last) ? -EEXIST :
          vfio_map_delta_fill(bcontainer, mr, iova, last, vaddr, readonly);
    if (ret) {
        vfio_map_delta_set_stale(delta, iova, last);
        vfio_map_delta_unmap(bcontainer, iova, last);
    }
    return ret;
}

bool vfio_map_delta_del(VFIOContainerBase *bcontainer, MemoryRegion *mr,
                        hwaddr iova, hwaddr last)
{
    if (!bcontainer->delta || memory_region_is_iommu(mr)) {
        return false;
    }
    vfio_map_delta_set_stale(bcontainer->delta, iova, last);
    return true;
}

void vfio_map_delta_flush(VFIOContainerBase *bcontainer, hwaddr iova,
                          hwaddr last)
{
    if (bcontainer->delta) {
        vfio_map_delta_unmap(bcontainer, iova, last);
    }
}

void vfio_map_delta_commit(MemoryListener *listener)
{
    VFIOContainerBase *bcontainer = container_of(listener, VFIOContainerBase,
                                                 listener);
    int ret;

    if (!bcontainer->delta || !bcontainer->delta->stale) {
        return;
    }
    ret = vfio_map_delta_unmap(bcontainer, 0, HWADDR_MAX);
    if (ret && vfio_may_log()) {
        error_report("vfio: the host does not unmap memory that the guest no "
                     "longer has: %s (will be tried again)", strerror(-ret));
    }
}

void vfio_map_delta_add_peer(VFIOContainerBase *bcontainer)
{
    VFIOMapArea *area, *next;

    if (!bcontainer->delta || vfio_map_delta_lone(bcontainer)) {
        return;
    }
    area = vfio_map_area_first(bcontainer->delta, 0, HWADDR_MAX);
    for (; area; area = next) {
        int ret = area->mapped || area->stale ? 0 :
                  vfio_map_area_map(bcontainer, area);

        next = vfio_map_area_next(area, 0, HWADDR_MAX);
        if (ret) {
            Error *err = NULL;

            error_setg_errno(&err, -ret, "%s", memory_region_name(area->mr));
            vfio_report_bar(area->mr, err, ret);
            vfio_map_area_forget(bcontainer->delta, area);
        }
    }
}

void vfio_map_delta_start(VFIOContainerBase *bcontainer)
{
    bcontainer->delta = g_new0(VFIOMapDelta, 1);
}

void vfio_map_delta_stop(VFIOContainerBase *bcontainer)
{
    VFIOMapArea *area;

    if (!bcontainer->delta) {
        return;
    }
    while ((area = vfio_map_area_first(bcontainer->delta, 0, HWADDR_MAX))) {
        vfio_map_area_forget(bcontainer->delta, area);
    }
    g_clear_pointer(&bcontainer->delta, g_free);
}
