/*
 * The calls of iommufd and VFIO, made by a test itself instead of by QEMU
 *
 * There are up to three of each: raw returns 0 or an errno, ok must succeed,
 * fails must fail with the errno given.
 *
 * A program of such cases runs on fakehost or on a real kernel.  DIRECT_DEVICES
 * in the environment asks for the latter: the names, with commas in between,
 * of the devices /dev/vfio/devices/vfio0 and up.  What fakehost claims of the
 * kernel is so held against the kernel.  A case that needs what only fakehost
 * has says why, and is skipped there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_DIRECT_CALLS_H
#define FAKEHOST_DIRECT_CALLS_H

#include "tests/qtest/fakehost/fakehost-control.h"
#include "tests/qtest/fakehost/fakehost-uapi.h"

/* What the library shares with us; NULL on a real kernel */
extern struct FakehostControl *direct_page;

/* What each case begins with: one iommufd, a device bound to it, an IOAS */
typedef struct DirectHost {
    const char *name;           /* of the device */
    int iommufd;
    int dev;
    uint32_t dev_id;
    uint32_t ioas;
    uint32_t s2;                /* if the case asks for a nesting parent */
} DirectHost;

typedef struct DirectCase {
    const char *name;
    const char *devices;        /* that it needs; the first one is bound */
    unsigned iommu;             /* FH_HW_INFO_… that it is about; 0: any */
    void (*test)(DirectHost *f);
    bool s2;
    const char *fake_only;      /* why no real kernel will do */
} DirectCase;

/**
 * direct_run: main() of a program of cases
 * @host: the host's description
 * @prefix: of the cases' names
 *
 * On fakehost the program starts again, once, with the library under it.
 */
int direct_run(int argc, char **argv, const char *host, const char *prefix,
               const DirectCase *cases, size_t num);
/* Path of the library */
const char *direct_library(void);

int direct_raw(int fd, unsigned long cmd, void *arg);
#define direct_ok(fd, cmd, arg) \
    g_assert_cmpint(direct_raw(fd, cmd, arg), ==, 0)
#define direct_fails(fd, cmd, arg, err) \
    g_assert_cmpint(direct_raw(fd, cmd, arg), ==, err)

/* Open a device of the description, or an iommufd */
int direct_open(const char *name);
struct FakehostDevice *direct_state(const char *name);

/* The books of fakehost; a real kernel's are not open to us */

/* What the books and the hardware say the device translates by */
void direct_expect_state(const char *name, uint32_t books,
                         uint32_t hardware);
void direct_expect_objects(unsigned type, uint32_t num);
void direct_expect_areas(uint32_t num);

int direct_raw_bind(int dev, int iommufd, uint32_t *id);
uint32_t direct_bind_ok(int dev, int iommufd);

uint32_t direct_ioas_alloc(int iommufd);

int direct_raw_destroy(int iommufd, uint32_t id);
#define direct_destroy_ok(fd, id) \
    g_assert_cmpint(direct_raw_destroy(fd, id), ==, 0)
#define direct_destroy_fails(fd, id, err) \
    g_assert_cmpint(direct_raw_destroy(fd, id), ==, err)

/* @s1: NULL for tables of the kernel's own */
int direct_raw_hwpt(int iommufd, uint32_t dev_id, uint32_t pt_id,
                    uint32_t flags, const struct fh_hwpt_vtd_s1 *s1,
                    uint32_t *id);
uint32_t direct_hwpt_ok(int iommufd, uint32_t dev_id, uint32_t pt_id,
                        uint32_t flags, const struct fh_hwpt_vtd_s1 *s1);
void direct_hwpt_fails(int iommufd, uint32_t dev_id, uint32_t pt_id,
                       uint32_t flags, const struct fh_hwpt_vtd_s1 *s1,
                       int err);

int direct_raw_map(int iommufd, uint32_t ioas, uint64_t iova,
                   uint64_t len, const void *va, bool writable);
/* Copy @len bytes at @from in @src to @to in @dst, @writable or to be read */
int direct_raw_copy(int iommufd, uint32_t src, uint64_t from, uint32_t dst,
                    uint64_t to, uint64_t len, bool writable);
int direct_raw_unmap(int iommufd, uint32_t ioas, uint64_t iova,
                     uint64_t len);

int direct_raw_attach(int dev, uint32_t pt_id);
int direct_raw_attach_pasid(int dev, uint32_t pt_id, uint32_t pasid);
void direct_detach(int dev);

#endif /* FAKEHOST_DIRECT_CALLS_H */
