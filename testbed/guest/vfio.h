/*
 * What the programs share that drive a device through VFIO and iommufd in L2.
 * Each call that fails ends the program with a message on stderr.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's interface; the build machine's headers may be older */
#define CALL(number)            _IO(';', number)
#define VFIO_BIND_IOMMUFD       CALL(118)
#define VFIO_ATTACH             CALL(119)
#define IOAS_ALLOC              CALL(0x81)
#define IOAS_MAP                CALL(0x85)
#define IOAS_UNMAP              CALL(0x86)
#define WITH_PASID              1u          /* flag of attach and detach */
#define MAP_FIXED_RW            7u
#define NO_PASID                UINT32_MAX

static int device = -1, iommufd = -1;
static uint32_t devid;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void call(int fd, unsigned long number, void *arg, const char *what)
{
    if (ioctl(fd, number, arg)) {
        die(what);
    }
}

static void open_device(const char *pci)
{
    struct {
        uint32_t argsz, flags;
        int32_t iommufd;
        uint32_t devid;
    } bind = { .argsz = sizeof(bind) };
    char path[512];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", pci);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.') {
    }
    if (!dir || !entry) {
        die(path);
    }
    snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
    device = open(path, O_RDWR);
    iommufd = open("/dev/iommu", O_RDWR);
    if (device < 0 || iommufd < 0) {
        die(path);
    }
    bind.iommufd = iommufd;
    call(device, VFIO_BIND_IOMMUFD, &bind, "bind to iommufd");
    devid = bind.devid;
}

static uint32_t new_ioas(void)
{
    struct {
        uint32_t size, flags, id;
    } alloc = { .size = sizeof(alloc) };

    call(iommufd, IOAS_ALLOC, &alloc, "allocate IOAS");
    return alloc.id;
}

/* To an address space, which then gets a HWPT, or to a HWPT */
static void attach(uint32_t id, uint32_t pasid)
{
    struct {
        uint32_t argsz, flags, id, pasid;
    } arg = { .argsz = sizeof(arg), .id = id };

    if (pasid != NO_PASID) {
        arg.flags = WITH_PASID;
        arg.pasid = pasid;
    }
    call(device, VFIO_ATTACH, &arg, pasid == NO_PASID ? "attach the device"
                                                      : "attach the PASID");
}

static void map(uint32_t ioas, uint64_t iova, void *memory, uint64_t len)
{
    struct {
        uint32_t size, flags, ioas, reserved;
        uint64_t va, len, iova;
    } arg = { .size = sizeof(arg), .flags = MAP_FIXED_RW, .ioas = ioas,
              .va = (uintptr_t)memory, .len = len, .iova = iova };

    call(iommufd, IOAS_MAP, &arg, "map");
}

static void unmap(uint32_t ioas, uint64_t iova, uint64_t len)
{
    struct {
        uint32_t size, ioas;
        uint64_t iova, len;
    } arg = { .size = sizeof(arg), .ioas = ioas, .iova = iova, .len = len };

    call(iommufd, IOAS_UNMAP, &arg, "unmap");
}
