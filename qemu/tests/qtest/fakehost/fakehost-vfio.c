/*
 * Fakehost: the ioctls of a VFIO device opened by its cdev.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fakehost-model.h"

/* How far a region's index can shift the offset: what the file must hold */
#define FH_FILE_SIZE    FH_REGION_OFFSET(VFIO_PCI_NUM_REGIONS)

#define UPTO(s, m) \
    (offsetof(struct s, m) + sizeof(((struct s *)NULL)->m))

/* --- where BARs are mapped --- */

typedef struct FhBarMap {
    struct FhBarMap *next;
    uint64_t addr;
    uint64_t len;
} FhBarMap;

static FhBarMap *fh_bar_maps;

void fh_bar_mapped(const void *addr, size_t len)
{
    FhBarMap *map = calloc(1, sizeof(*map));

    map->addr = (uintptr_t)addr;
    map->len = len;
    map->next = fh_bar_maps;
    fh_bar_maps = map;
}

void fh_bar_unmapped(const void *addr, size_t len)
{
    FhBarMap **link = &fh_bar_maps;

    while (*link) {
        FhBarMap *map = *link;

        if (map->addr >= (uintptr_t)addr &&
            map->addr + map->len <= (uintptr_t)addr + len) {
            *link = map->next;
            free(map);
        } else {
            link = &map->next;
        }
    }
}

bool fh_bar_overlaps(uint64_t addr, uint64_t len)
{
    for (const FhBarMap *map = fh_bar_maps; map; map = map->next) {
        if (addr < map->addr + map->len && addr + len > map->addr) {
            return true;
        }
    }
    return false;
}

/* --- ioctls --- */

int fh_vfio_get_info(FhVfioDev *dev, void *arg)
{
    struct vfio_device_info *info = arg;

    info->flags = VFIO_DEVICE_FLAGS_PCI;
    if (dev->has_reset) {
        info->flags |= VFIO_DEVICE_FLAGS_RESET;
    }
    info->num_regions = VFIO_PCI_NUM_REGIONS;
    info->num_irqs = VFIO_PCI_NUM_IRQS;
    return 0;
}

int fh_vfio_get_region_info(FhVfioDev *dev, void *arg)
{
    struct vfio_region_info *info = arg;

    info->flags = 0;
    info->size = 0;
    info->cap_offset = 0;
    info->offset = FH_REGION_OFFSET(info->index);
    switch (info->index) {
    case VFIO_PCI_CONFIG_REGION_INDEX:
        info->size = FH_CONFIG_SIZE;
        info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        return 0;
    case VFIO_PCI_BAR0_REGION_INDEX ... VFIO_PCI_BAR5_REGION_INDEX:
        info->size = info->index < dev->bars ? dev->bar0_size : 0;
        if (info->size) {
            info->flags = VFIO_REGION_INFO_FLAG_READ |
                          VFIO_REGION_INFO_FLAG_WRITE |
                          VFIO_REGION_INFO_FLAG_MMAP;
        }
        return 0;
    case VFIO_PCI_ROM_REGION_INDEX:
        return 0;
    default:
        return -EINVAL;
    }
}

uint64_t fh_vfio_bar_left(FhVfioDev *dev, uint64_t at)
{
    struct vfio_region_info info = { .index = at >> FH_REGION_SHIFT };
    uint64_t offset = at - FH_REGION_OFFSET(info.index);

    if (fh_vfio_get_region_info(dev, &info) || offset >= info.size) {
        return 0;
    }
    return info.size - offset;
}

static uint32_t fh_vfio_irq_count(const FhVfioDev *dev, uint32_t index)
{
    switch (index) {
    case VFIO_PCI_MSIX_IRQ_INDEX:
        return dev->msix;
    case VFIO_PCI_ERR_IRQ_INDEX:
    case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
    default:
        return 0;
    }
}

int fh_vfio_get_irq_info(FhVfioDev *dev, void *arg)
{
    struct vfio_irq_info *info = arg;

    if (info->index >= VFIO_PCI_NUM_IRQS) {
        return -EINVAL;
    }
    /* More vectors of MSI-X can be had while others are in use */
    info->flags = VFIO_IRQ_INFO_EVENTFD;
    info->count = fh_vfio_irq_count(dev, info->index);
    if (info->index == VFIO_PCI_INTX_IRQ_INDEX) {
        info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
    } else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX) {
        info->flags |= VFIO_IRQ_INFO_NORESIZE;
    }
    return 0;
}

static int fh_vfio_set_eventfds(FhVfioDev *dev, const struct vfio_irq_set *set)
{
    const int32_t *fds = (const int32_t *)set->data;
    uint32_t installed = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        if (fds[i] >= 0 && fcntl(fds[i], F_GETFD) < 0) {
            return -EBADF;
        }
        installed += fds[i] >= 0;
    }
    if (installed && set->index == VFIO_PCI_MSIX_IRQ_INDEX &&
        dev->iommu->vendor->msi_mapped && !fh_is_attached(dev, FH_NO_PASID)) {
        return -ENOSPC;
    }
    /* Exact for whole-index updates, which is what the checks look at */
    if (!set->start) {
        dev->state->irqs[set->index] = installed;
    } else {
        dev->state->irqs[set->index] += installed;
    }
    return 0;
}

int fh_vfio_set_irqs(FhVfioDev *dev, void *arg)
{
    const struct vfio_irq_set *set = arg;
    uint32_t type = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    uint32_t num, size = 0;

    if (set->index >= VFIO_PCI_NUM_IRQS ||
        set->count >= UINT32_MAX - set->start ||
        set->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK |
                       VFIO_IRQ_SET_ACTION_TYPE_MASK)) {
        return -EINVAL;
    }
    num = fh_vfio_irq_count(dev, set->index);
    if (set->start >= num || set->start + set->count > num) {
        return -EINVAL;
    }
    switch (type) {
    case VFIO_IRQ_SET_DATA_NONE:
        break;
    case VFIO_IRQ_SET_DATA_BOOL:
        size = sizeof(uint8_t);
        break;
    case VFIO_IRQ_SET_DATA_EVENTFD:
        size = sizeof(int32_t);
        break;
    default:
        return -EINVAL;
    }
    if (set->argsz - UPTO(vfio_irq_set, count) < (uint64_t)set->count * size) {
        return -EINVAL;
    }
    if (action != VFIO_IRQ_SET_ACTION_TRIGGER) {
        /* Masking is the business of INTx, which there is not */
        return -ENOTTY;
    }
    if (type == VFIO_IRQ_SET_DATA_EVENTFD) {
        return fh_vfio_set_eventfds(dev, set);
    }
    if (type == VFIO_IRQ_SET_DATA_NONE && !set->count) {
        dev->state->irqs[set->index] = 0;
    }
    return 0;
}

int fh_vfio_reset(FhVfioDev *dev, void *arg)
{
    if (!dev->has_reset) {
        return -EINVAL;
    }
    dev->state->resets++;
    fh_dmabuf_revoke(dev);
    fh_migration_reset(dev);
    return 0;
}

int fh_vfio_hot_reset_info(FhVfioDev *dev, void *arg)
{
    struct vfio_pci_hot_reset_info *hdr = arg;
    struct vfio_pci_dependent_device *out = hdr->devices;
    uint32_t room = (hdr->argsz - sizeof(*hdr)) / sizeof(*out);
    uint32_t flags = FH_HOT_RESET_FLAG_DEV_ID | FH_HOT_RESET_FLAG_DEV_ID_OWNED;
    uint32_t count = 0;

    for (FhVfioDev *d = fh_config_devices(); d; d = d->next) {
        int32_t id;

        if (d->slot != dev->slot) {
            continue;
        }
        if (d->idev && d->idev->obj.ctx == dev->idev->obj.ctx) {
            id = d->idev->obj.id;
        } else if (d->group == dev->group) {
            id = FH_PCI_DEVID_OWNED;
        } else {
            id = FH_PCI_DEVID_NOT_OWNED;
            flags &= ~FH_HOT_RESET_FLAG_DEV_ID_OWNED;
        }
        if (count < room) {
            memset(&out[count], 0, sizeof(out[count]));
            /* A union with the group number, as wide */
            memcpy(&out[count], &id, sizeof(id));
            out[count].bus = 1 + dev->slot % 0xff;
            out[count].devfn = count;
        }
        count++;
    }
    hdr->count = count;
    hdr->flags = count > room ? 0 : flags;
    return count > room ? -ENOSPC : 0;
}

int fh_vfio_hot_reset(FhVfioDev *dev, void *arg)
{
    struct vfio_pci_hot_reset *cmd = arg;

    /* With a cdev, ownership is proved by the iommufd: no group fds */
    if (cmd->flags || cmd->count) {
        return -EINVAL;
    }
    for (FhVfioDev *d = fh_config_devices(); d; d = d->next) {
        if (d->slot != dev->slot) {
            continue;
        }
        if ((!d->idev || d->idev->obj.ctx != dev->idev->obj.ctx) &&
            d->group != dev->group) {
            return -EINVAL;
        }
    }
    for (FhVfioDev *d = fh_config_devices(); d; d = d->next) {
        if (d->slot == dev->slot) {
            d->state->resets++;
            fh_dmabuf_revoke(d);
        }
    }
    return 0;
}

int fh_vfio_feature(FhVfioDev *dev, void *arg)
{
    const struct vfio_device_feature *cmd = arg;
    uint32_t get_set = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET;

    if (cmd->flags & ~(VFIO_DEVICE_FEATURE_MASK | get_set |
                       VFIO_DEVICE_FEATURE_PROBE) ||
        (!(cmd->flags & VFIO_DEVICE_FEATURE_PROBE) &&
         (cmd->flags & get_set) == get_set)) {
        return -EINVAL;
    }
    switch (cmd->flags & VFIO_DEVICE_FEATURE_MASK) {
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
        return fh_dma_log_feature(dev, cmd->flags, (char *)arg + sizeof(*cmd),
                                  cmd->argsz - sizeof(*cmd));
    }
    if ((cmd->flags & VFIO_DEVICE_FEATURE_MASK) == FH_FEATURE_DMA_BUF) {
        return fh_dmabuf_feature(dev, cmd->flags, cmd + 1,
                                 cmd->argsz - sizeof(*cmd));
    }
    /* It cannot sleep */
    return fh_migration_feature(dev, cmd->flags, (char *)arg + sizeof(*cmd),
                                cmd->argsz - sizeof(*cmd));
}

/*
 * What VFIO notes of an attachment; NULL: the same as iommufd. For iommufd
 * PASID 0 is the RID, for VFIO it is not.
 */
static bool *fh_vfio_attached(FhVfioDev *dev, bool by_pasid, uint32_t pasid)
{
    if (!by_pasid) {
        return &dev->rid_attached;
    }
    return pasid ? NULL : &dev->pasid0_attached;
}

int fh_vfio_attach(FhVfioDev *dev, void *arg)
{
    struct fh_vfio_attach_pt *cmd = arg;
    bool by_pasid = cmd->flags & FH_ATTACH_PASID, *attached;
    uint32_t pasid = FH_NO_PASID;
    int err;

    if (cmd->flags & ~FH_ATTACH_PASID ||
        (by_pasid && cmd->argsz < sizeof(*cmd))) {
        return -EINVAL;
    }
    if (by_pasid) {
        pasid = cmd->pasid;
    }
    attached = fh_vfio_attached(dev, by_pasid, pasid);
    err = fh_attach(dev, pasid, &cmd->pt_id,
                    attached ? *attached : fh_is_attached(dev, pasid));
    if (!err && attached) {
        *attached = true;
    }
    return err;
}

int fh_vfio_detach(FhVfioDev *dev, void *arg)
{
    struct fh_vfio_detach_pt *cmd = arg;
    bool by_pasid = cmd->flags & FH_DETACH_PASID, *attached;
    uint32_t pasid = FH_NO_PASID;

    if (cmd->flags & ~FH_DETACH_PASID ||
        (by_pasid && cmd->argsz < sizeof(*cmd))) {
        return -EINVAL;
    }
    if (by_pasid) {
        pasid = cmd->pasid;
    }
    attached = fh_vfio_attached(dev, by_pasid, pasid);
    if (!attached || *attached) {
        fh_detach(dev, pasid);
    }
    if (attached) {
        *attached = false;
    }
    return 0;
}

static int fh_vfio_bind(FhVfioDev *dev, int fd, bool *granted, void *arg)
{
    struct fh_vfio_bind_iommufd *cmd = arg;
    FhCtx *ctx;
    int err;

    for (uint32_t i = sizeof(*cmd); i < cmd->argsz; i++) {
        if (((const char *)arg)[i]) {
            return -E2BIG;
        }
    }
    /* A token goes with virtual functions, which these are not */
    if (cmd->iommufd < 0 || cmd->flags || *granted) {
        return -EINVAL;
    }
    if (fcntl(cmd->iommufd, F_GETFD) < 0) {
        return -EBADF;
    }
    ctx = fh_file_ctx(cmd->iommufd);
    if (!ctx) {
        return -EBADFD;
    }
    /* The BARs are the bytes of the file, so that mmap() needs no help */
    if (ftruncate(fd, FH_FILE_SIZE)) {
        return -errno;
    }
    err = fh_bind(ctx, dev);
    if (!err) {
        *granted = true;
        dev->rid_attached = dev->pasid0_attached = false;
        fh_migration_reset(dev);
        fh_dmabuf_revoke(dev);
        dev->fd = fd;
        cmd->out_devid = dev->idev->obj.id;
    }
    return err;
}

int fh_vfio_ioctl(FhVfioDev *dev, int fd, bool *granted, const FhCall *call,
                  void *arg)
{
    bool bind = call->cmd == FH_VFIO_BIND_IOMMUFD;

    if (!bind && !*granted) {
        return -EINVAL;
    }
    if (!bind && !call->device) {
        return -ENOTTY;
    }
    if (call->min_size && !arg) {
        return -EFAULT;
    }
    if (call->min_size && *(uint32_t *)arg < call->min_size) {
        return -EINVAL;
    }
    return bind ? fh_vfio_bind(dev, fd, granted, arg) : call->device(dev, arg);
}
