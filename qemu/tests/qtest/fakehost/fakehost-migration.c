/*
 * Fakehost: migration of a VFIO device.
 *
 * The states of version 2 of the protocol, with STOP_COPY and P2P. What a
 * device saves is one line with its name, and what it takes back has to be
 * such a line of any device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fakehost-model.h"

#define FH_MIG_MAGIC    "fakehost state of "
#define FH_MIG_LEN      (sizeof(FH_MIG_MAGIC) + FAKEHOST_NAME_LEN)

void fh_migration_init(FhVfioDev *dev)
{
    dev->mig_state = VFIO_DEVICE_STATE_RUNNING;
    dev->mig_fd = -1;
}

/* The kernel goes through the states in between by itself */
static bool fh_migration_reachable(uint32_t state)
{
    switch (state) {
    case VFIO_DEVICE_STATE_STOP:
    case VFIO_DEVICE_STATE_RUNNING:
    case VFIO_DEVICE_STATE_STOP_COPY:
    case VFIO_DEVICE_STATE_RESUMING:
    case VFIO_DEVICE_STATE_RUNNING_P2P:
        return true;
    default:
        return false;
    }
}

/* At the end of RESUMING the device looks at what it was given */
static int fh_migration_load(FhVfioDev *dev)
{
    char line[FH_MIG_LEN] = "";
    ssize_t len = fh_pread(dev->mig_fd, line, sizeof(line) - 1, 0);

    if (len <= 0 || strncmp(line, FH_MIG_MAGIC, strlen(FH_MIG_MAGIC))) {
        return -EINVAL;
    }
    fh_control()->transfers++;
    return 0;
}

/* A file for the data; the caller gets one descriptor, the device keeps one */
static int fh_migration_open(FhVfioDev *dev, int32_t *data_fd)
{
    int fd = memfd_create("device state", MFD_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    *data_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*data_fd < 0) {
        fh_close(fd);
        return -EMFILE;
    }
    dev->mig_fd = fd;
    return 0;
}

static int fh_migration_save(FhVfioDev *dev)
{
    char line[FH_MIG_LEN];
    int len = snprintf(line, sizeof(line), FH_MIG_MAGIC "%s\n", dev->name);

    if (fh_write(dev->mig_fd, line, len) != len ||
        lseek(dev->mig_fd, 0, SEEK_SET)) {
        return -EIO;
    }
    fh_control()->transfers++;
    return 0;
}

static int fh_migration_leave(FhVfioDev *dev)
{
    int err = 0;

    if (dev->mig_fd < 0) {
        return 0;
    }
    if (dev->mig_state == VFIO_DEVICE_STATE_RESUMING) {
        err = fh_migration_load(dev);
    }
    fh_close(dev->mig_fd);
    dev->mig_fd = -1;
    return err;
}

static int fh_migration_set(FhVfioDev *dev,
                            struct vfio_device_feature_mig_state *cmd)
{
    int err;

    cmd->data_fd = -1;
    if (!fh_migration_reachable(cmd->device_state)) {
        return -EINVAL;
    }
    if (cmd->device_state == dev->mig_state) {
        return 0;
    }
    err = fh_migration_leave(dev);
    if (err) {
        dev->mig_state = VFIO_DEVICE_STATE_ERROR;
        return err;
    }
    if (cmd->device_state == VFIO_DEVICE_STATE_STOP_COPY ||
        cmd->device_state == VFIO_DEVICE_STATE_RESUMING) {
        err = fh_migration_open(dev, &cmd->data_fd);
        if (!err && cmd->device_state == VFIO_DEVICE_STATE_STOP_COPY) {
            err = fh_migration_save(dev);
        }
    }
    if (!err) {
        dev->mig_state = cmd->device_state;
    }
    return err;
}

void fh_migration_reset(FhVfioDev *dev)
{
    if (dev->mig_fd >= 0) {
        fh_close(dev->mig_fd);
    }
    fh_dma_log_reset(dev);
    fh_migration_init(dev);
}

static int fh_migration_data_size(const FhVfioDev *dev, uint32_t flags,
                                  void *data, uint32_t len)
{
    struct vfio_device_feature_mig_data_size size = {
        .stop_copy_length = dev->state->data_size,
    };

    if (flags & VFIO_DEVICE_FEATURE_SET) {
        return -EINVAL;
    }
    if (flags & VFIO_DEVICE_FEATURE_PROBE) {
        return 0;
    }
    if (len < sizeof(size)) {
        return -EINVAL;
    }
    if (!size.stop_copy_length) {
        size.stop_copy_length = strlen(FH_MIG_MAGIC) + strlen(dev->name) + 1;
    }
    memcpy(data, &size, sizeof(size));
    return 0;
}

int fh_migration_feature(FhVfioDev *dev, uint32_t flags, void *data,
                         uint32_t len)
{
    if (!dev->migrate) {
        return -ENOTTY;
    }
    switch (flags & VFIO_DEVICE_FEATURE_MASK) {
    case VFIO_DEVICE_FEATURE_MIGRATION: {
        struct vfio_device_feature_migration mig = {
            .flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
        };

        if (flags & VFIO_DEVICE_FEATURE_SET) {
            return -EINVAL;
        }
        if (flags & VFIO_DEVICE_FEATURE_PROBE) {
            return 0;
        }
        if (len < sizeof(mig)) {
            return -EINVAL;
        }
        memcpy(data, &mig, sizeof(mig));
        return 0;
    }
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: {
        struct vfio_device_feature_mig_state *cmd = data;

        if (flags & VFIO_DEVICE_FEATURE_PROBE) {
            return 0;
        }
        if (len < sizeof(*cmd)) {
            return -EINVAL;
        }
        if (flags & VFIO_DEVICE_FEATURE_SET) {
            return fh_migration_set(dev, cmd);
        }
        cmd->device_state = dev->mig_state;
        cmd->data_fd = -1;
        return 0;
    }
    case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
        return fh_migration_data_size(dev, flags, data, len);
    default:
        return -ENOTTY;
    }
}
