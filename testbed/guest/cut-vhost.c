/*
 * cut-vhost: preloaded into the QEMU under test, it keeps translations from
 * vhost-net in the kernel, as if the vIOMMU had none. For negative twins.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/vhost_types.h>
#include <unistd.h>

typedef ssize_t WriteFn(int fd, const void *buf, size_t n);

/* Nothing else that QEMU writes has this size, this type and this request */
static int is_update(const void *buf, size_t n)
{
    const struct vhost_msg_v2 *v2 = buf;
    const struct vhost_msg *v1 = buf;

    return (n == sizeof(*v2) && v2->type == VHOST_IOTLB_MSG_V2 &&
            v2->iotlb.type == VHOST_IOTLB_UPDATE) ||
           (n == sizeof(*v1) && v1->type == VHOST_IOTLB_MSG &&
            v1->iotlb.type == VHOST_IOTLB_UPDATE);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    static WriteFn *next;

    next = next ? next : (WriteFn *)dlsym(RTLD_NEXT, "write");
    return is_update(buf, n) ? (ssize_t)n : next(fd, buf, n);
}
