/*
 * Fakehost: DMA that a test orders, and those who keep a record of it.
 *
 * There are no page walks here, so the test says what they would come to: a
 * write has the address that the device emits and the guest physical one that
 * the guest's own tables make of it. The device's log (DMA_LOGGING) sees the
 * first, the dirty bits of a paging HWPT the last.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakehost-model.h"

/* As many ranges as fit in a page */
#define FH_LOG_RANGES   (FH_PAGE_SIZE / \
                         sizeof(struct vfio_device_feature_dma_logging_range))

/* --- sets of pages --- */

static void fh_pages_add(FhPages *set, uint64_t addr)
{
    uint64_t page = addr / FH_PAGE_SIZE;

    for (uint32_t i = 0; i < set->nr; i++) {
        if (set->pages[i] == page) {
            return;
        }
    }
    if (set->nr == set->room) {
        set->room = set->room ? set->room * 2 : 16;
        set->pages = realloc(set->pages, set->room * sizeof(*set->pages));
    }
    set->pages[set->nr++] = page;
}

void fh_pages_clear(FhPages *set)
{
    free(set->pages);
    memset(set, 0, sizeof(*set));
}

static void fh_pages_drop(FhPages *set, uint64_t start, uint64_t last)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < set->nr; i++) {
        uint64_t addr = set->pages[i] * FH_PAGE_SIZE;

        if (addr < start || addr > last) {
            set->pages[kept++] = set->pages[i];
        }
    }
    set->nr = kept;
}

/* Bits are added to those that the caller has, as the kernel does */
static void fh_pages_report(const FhPages *set, uint64_t start, uint64_t last,
                            uint64_t page_size, uint64_t bitmap)
{
    uint64_t *words = (uint64_t *)(uintptr_t)bitmap;

    for (uint32_t i = 0; i < set->nr; i++) {
        uint64_t addr = set->pages[i] * FH_PAGE_SIZE;

        if (addr >= start && addr <= last) {
            uint64_t bit = (addr - start) / page_size;

            words[bit / 64] |= 1ull << bit % 64;
        }
    }
}

static bool fh_page_size_valid(uint64_t size)
{
    return size && !(size & (size - 1));
}

/* --- dirty bits of a HWPT --- */

int fh_hwpt_set_dirty(FhCtx *ctx, void *arg)
{
    struct fh_iommu_set_dirty_tracking *cmd = arg;
    FhHwpt *hwpt;

    if (cmd->flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) {
        return -EOPNOTSUPP;
    }
    hwpt = fh_obj_get(ctx, cmd->hwpt_id, FAKEHOST_OBJ_HWPT_PAGING);
    if (!hwpt) {
        return -ENOENT;
    }
    if (!hwpt->dirty) {
        return -EOPNOTSUPP;
    }
    hwpt->dirty_on = cmd->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
    if (hwpt->dirty_on) {
        fh_pages_clear(&hwpt->dirty_pages);
    }
    return 0;
}

int fh_hwpt_get_dirty(FhCtx *ctx, void *arg)
{
    struct fh_iommu_get_dirty_bitmap *cmd = arg;
    uint64_t last = cmd->iova + cmd->length - 1;
    FhHwpt *hwpt;

    if (cmd->flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR ||
        cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    hwpt = fh_obj_get(ctx, cmd->hwpt_id, FAKEHOST_OBJ_HWPT_PAGING);
    if (!hwpt) {
        return -ENOENT;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (last < cmd->iova) {
        return -EOVERFLOW;
    }
    if (!fh_page_size_valid(cmd->page_size) ||
        cmd->iova & (cmd->page_size - 1) ||
        cmd->length & (cmd->page_size - 1)) {
        return -EINVAL;
    }
    if (!hwpt->dirty) {
        return -EOPNOTSUPP;
    }
    /* All of the range has to be mapped */
    if (!hwpt->dirty_on || !fh_ioas_covers(hwpt->ioas, cmd->iova, last)) {
        return -EINVAL;
    }
    fh_pages_report(&hwpt->dirty_pages, cmd->iova, last, cmd->page_size,
                    cmd->data);
    if (!(cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)) {
        fh_pages_drop(&hwpt->dirty_pages, cmd->iova, last);
    }
    return 0;
}

void fh_dirty_unmapped(const FhIoas *ioas, uint64_t start, uint64_t last)
{
    FhCtx *ctx = ioas->obj.ctx;

    for (uint32_t id = 1; ioas->nr_hwpts && id < ctx->room; id++) {
        FhHwpt *hwpt = fh_obj_get(ctx, id, FAKEHOST_OBJ_HWPT_PAGING);

        if (hwpt && hwpt->ioas == ioas && hwpt->dirty_pages.nr) {
            fh_pages_drop(&hwpt->dirty_pages, start, last);
        }
    }
}

/* --- the log of a device --- */

void fh_dma_log_reset(FhVfioDev *dev)
{
    fh_pages_clear(&dev->log_pages);
    free(dev->log_ranges);
    dev->log_ranges = NULL;
    dev->nr_log_ranges = 0;
}

static int fh_dma_log_start(FhVfioDev *dev,
                            struct vfio_device_feature_dma_logging_control *cmd)
{
    const struct vfio_device_feature_dma_logging_range *ranges =
        (const void *)(uintptr_t)cmd->ranges;
    size_t size = cmd->num_ranges * sizeof(*ranges);

    if (!cmd->num_ranges || dev->nr_log_ranges) {
        return -EINVAL;
    }
    if (cmd->num_ranges > FH_LOG_RANGES) {
        return -E2BIG;
    }
    if (!fh_page_size_valid(cmd->page_size)) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < cmd->num_ranges; i++) {
        if (ranges[i].iova & (cmd->page_size - 1) || !ranges[i].length ||
            ranges[i].length & (cmd->page_size - 1)) {
            return -EINVAL;
        }
    }
    dev->log_ranges = malloc(size);
    memcpy(dev->log_ranges, ranges, size);
    dev->nr_log_ranges = cmd->num_ranges;
    dev->state->log_starts++;
    return 0;
}

static int fh_dma_log_report(FhVfioDev *dev,
                             const struct vfio_device_feature_dma_logging_report
                             *cmd)
{
    uint64_t last = cmd->iova + cmd->length - 1;

    if (cmd->page_size < FH_PAGE_SIZE || !fh_page_size_valid(cmd->page_size) ||
        !cmd->length) {
        return -EINVAL;
    }
    if (last < cmd->iova) {
        return -EOVERFLOW;
    }
    if (!dev->nr_log_ranges) {
        return -EINVAL;
    }
    fh_pages_report(&dev->log_pages, cmd->iova, last, cmd->page_size,
                    cmd->bitmap);
    fh_pages_drop(&dev->log_pages, cmd->iova, last);
    return 0;
}

int fh_dma_log_feature(FhVfioDev *dev, uint32_t flags, void *data,
                       uint32_t len)
{
    uint32_t feature = flags & VFIO_DEVICE_FEATURE_MASK;
    uint32_t way = flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET);
    uint32_t right = VFIO_DEVICE_FEATURE_SET, size = 0;

    if (!dev->log_dma) {
        return -ENOTTY;
    }
    if (feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_START) {
        size = sizeof(struct vfio_device_feature_dma_logging_control);
    } else if (feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT) {
        size = sizeof(struct vfio_device_feature_dma_logging_report);
        right = VFIO_DEVICE_FEATURE_GET;
    }
    if (way & ~right) {
        return -EINVAL;
    }
    if (flags & VFIO_DEVICE_FEATURE_PROBE) {
        return 0;
    }
    if (!way || len < size) {
        return -EINVAL;
    }
    switch (feature) {
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
        return fh_dma_log_start(dev, data);
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
        return fh_dma_log_report(dev, data);
    default:
        fh_dma_log_reset(dev);
        return 0;
    }
}

static void fh_dma_log_add(FhVfioDev *dev, uint64_t iova)
{
    for (uint32_t i = 0; i < dev->nr_log_ranges; i++) {
        const struct vfio_device_feature_dma_logging_range *range =
            &dev->log_ranges[i];

        if (iova >= range->iova && iova - range->iova < range->length) {
            fh_pages_add(&dev->log_pages, iova);
            return;
        }
    }
}

/* --- the writes --- */

static int fh_dma_write(FhVfioDev *dev, const struct FakehostDma *dma)
{
    FhHwpt *hwpt = fh_hw_translation(dev);
    const FhArea *area;
    uint64_t addr, to;

    if (dev->mig_state != VFIO_DEVICE_STATE_RUNNING &&
        dev->mig_state != VFIO_DEVICE_STATE_RUNNING_P2P) {
        return -EBUSY;
    }
    if (!hwpt) {
        return -EPERM;
    }
    addr = hwpt->parent ? dma->gpa : dma->iova;
    hwpt = hwpt->parent ? hwpt->parent : hwpt;
    area = fh_ioas_area(hwpt->ioas, addr);
    if (!area || area->last - addr < sizeof(dma->value) - 1) {
        return -EFAULT;
    }
    if (!(area->flags & IOMMU_IOAS_MAP_WRITEABLE)) {
        return -EACCES;
    }
    if (area->peer) {
        return fh_dmabuf_write(area, addr - area->start, &dma->value,
                               sizeof(dma->value));
    }
    to = area->va + (addr - area->start);
    if (!area->file) {
        memcpy((void *)(uintptr_t)to, &dma->value, sizeof(dma->value));
    } else if (fh_pwrite(area->fd, &dma->value, sizeof(dma->value), to) !=
               sizeof(dma->value)) {
        return -EIO;
    }
    if (hwpt->dirty_on) {
        fh_pages_add(&hwpt->dirty_pages, addr);
    }
    fh_dma_log_add(dev, dma->iova);
    return 0;
}

void fh_dma_run(void)
{
    struct FakehostDma *dma = &fh_control()->dma;
    uint32_t wanted = __atomic_load_n(&dma->wanted, __ATOMIC_ACQUIRE);

    if (!wanted) {
        return;
    }
    dma->result = -ENODEV;
    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        if (fh_config_index(dev) == wanted - 1) {
            dma->result = fh_dma_write(dev, dma);
        }
    }
    __atomic_store_n(&dma->wanted, 0, __ATOMIC_RELEASE);
}
