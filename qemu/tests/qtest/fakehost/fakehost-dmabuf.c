/*
 * Fakehost: BARs as dma-bufs, for other devices' DMA.
 *
 * A mapping of a dma-buf ends when the device cannot be reached any more, and
 * stays dead. So each device has a generation, which its reset, a low-power
 * state and memory decode that goes off each end; a mapping is alive as long
 * as the one in which it was made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fakehost-model.h"

typedef struct FhDmabuf {
    struct FhDmabuf *next;
    dev_t st_dev;
    ino_t st_ino;
    FhVfioDev *dev;
    uint32_t nr_ranges;
    uint64_t offset;            /* in the device's file */
    uint64_t size;
} FhDmabuf;

static FhDmabuf *fh_dmabufs;

void fh_dmabuf_revoke(FhVfioDev *dev)
{
    dev->generation++;
}

static int fh_dmabuf_new(FhVfioDev *dev, const FhDmabuf *what)
{
    int fd = memfd_create("dma-buf", MFD_CLOEXEC);
    struct stat st;
    FhDmabuf *buf;

    if (fd < 0 || fh_fstat(fd, &st)) {
        return -ENOMEM;
    }
    buf = malloc(sizeof(*buf));
    *buf = *what;
    buf->next = fh_dmabufs;
    buf->st_dev = st.st_dev;
    buf->st_ino = st.st_ino;
    buf->dev = dev;
    fh_dmabufs = buf;
    return fd;
}

int fh_dmabuf_feature(FhVfioDev *dev, uint32_t flags, const void *data,
                      uint32_t len)
{
    const struct fh_vfio_dma_buf *cmd = data;
    FhDmabuf buf = { 0 };

    if (!dev->dmabuf) {
        return -ENOTTY;
    }
    if (flags & VFIO_DEVICE_FEATURE_SET) {
        return -EINVAL;
    }
    if (flags & VFIO_DEVICE_FEATURE_PROBE) {
        return 0;
    }
    if (len < sizeof(*cmd) || !cmd->nr_ranges || cmd->flags) {
        return -EINVAL;
    }
    if (cmd->region_index >= dev->bars || !dev->bar0_size) {
        return -ENODEV;
    }
    if ((len - sizeof(*cmd)) / sizeof(cmd->ranges[0]) < cmd->nr_ranges) {
        return -EFAULT;
    }
    for (uint32_t i = 0; i < cmd->nr_ranges; i++) {
        uint64_t offset = cmd->ranges[i].offset, n = cmd->ranges[i].length;

        if (!n || (offset | n) & (FH_PAGE_SIZE - 1) ||
            offset + n < offset || offset + n > dev->bar0_size) {
            return -EINVAL;
        }
        buf.size += n;
    }
    buf.nr_ranges = cmd->nr_ranges;
    buf.offset = FH_REGION_OFFSET(cmd->region_index) + cmd->ranges[0].offset;
    return fh_dmabuf_new(dev, &buf);
}

int fh_dmabuf_map(int fd, uint64_t start, uint64_t len, FhArea *area)
{
    FhDmabuf *buf = fh_dmabufs;
    struct stat st;

    if (fh_fstat(fd, &st)) {
        return -EBADF;
    }
    while (buf && (buf->st_dev != st.st_dev || buf->st_ino != st.st_ino)) {
        buf = buf->next;
    }
    if (!buf) {
        return 0;
    }
    if (buf->size <= start + len - 1) {
        return -EINVAL;
    }
    if (!buf->dev->idev || !fh_pci_reachable(buf->dev)) {
        return -ENODEV;
    }
    if (buf->nr_ranges != 1) {
        return -EOPNOTSUPP;
    }
    area->peer = buf->dev;
    area->generation = buf->dev->generation;
    area->va = buf->offset + start;
    return 0;
}

int fh_dmabuf_write(const FhArea *area, uint64_t offset, const void *data,
                    size_t len)
{
    FhVfioDev *dev = area->peer;

    if (!dev->idev || area->generation != dev->generation ||
        !fh_pci_reachable(dev)) {
        return -EFAULT;
    }
    return fh_pwrite(dev->fd, data, len, area->va + offset) == (ssize_t)len
        ? 0 : -EIO;
}
