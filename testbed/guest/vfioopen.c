/*
 * vfioopen: open a device through VFIO's container, the interface that kernels
 * have which are built without iommufd
 *
 *   vfioopen PCI-ADDRESS
 *
 * The device is bound to vfio-pci. Prints "result=opened", or "result=refused"
 * with the step at which the kernel refused the device, and its error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/vfio.h>

/* What has to work before the device is asked for */
static int need(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}

static int refused(const char *step)
{
    printf("result=refused step=%s error=%d\n", step, errno);
    return 0;
}

int main(int argc, char **argv)
{
    char link[PATH_MAX], path[PATH_MAX];
    int container, group;
    ssize_t length;

    if (argc != 2) {
        fprintf(stderr, "usage: vfioopen PCI-ADDRESS\n");
        return 2;
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
             argv[1]);
    length = need(readlink(path, link, sizeof(link) - 1), path);
    link[length] = '\0';
    snprintf(path, sizeof(path), "/dev/vfio/%s", basename(link));
    container = need(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio");
    group = need(open(path, O_RDWR), path);

    if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) {
        return refused("container");
    }
    if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
        return refused("iommu");
    }
    if (ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[1]) < 0) {
        return refused("device");
    }
    printf("result=opened\n");
    return 0;
}
