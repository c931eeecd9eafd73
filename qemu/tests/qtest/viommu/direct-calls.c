/*
 * The calls of iommufd and VFIO, made by a test itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "qemu/memfd.h"
#include "direct-calls.h"
#include "tests/qtest/fakehost/fakehost-path.h"

struct FakehostControl *direct_page;

const char *direct_library(void)
{
    return g_getenv("FAKEHOST_LIBRARY") ?: FAKEHOST_PATH;
}

/* Preload the library and run this program again */
static void direct_reexec(const char *host, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("fakehost-test-XXXXXX", NULL);
    g_autofree char *host_path = g_build_filename(dir, "host", NULL);
    g_autofree char *control = g_build_filename(dir, "control", NULL);
    g_autofree char *zeros = g_malloc0(sizeof(*direct_page));

    g_assert_true(g_file_set_contents(host_path, host, -1, NULL));
    g_assert_true(g_file_set_contents(control, zeros, sizeof(*direct_page),
                                      NULL));
    g_setenv("FAKEHOST_MODE", "fake", true);
    g_setenv("FAKEHOST_HOST", host_path, true);
    g_setenv("FAKEHOST_CONTROL", control, true);
    g_setenv("FAKEHOST_EVENTS", dir, true);
    /* Printing the calls is part of what is tested */
    g_setenv("FAKEHOST_LOG", "/dev/null", true);
    g_setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", true);
    g_setenv("LD_PRELOAD", direct_library(), true);
    execv("/proc/self/exe", argv);
    g_error("cannot run again: %s", strerror(errno));
}

static void direct_start(const char *host, char **argv)
{
    const char *control;
    int fd;

    if (!g_getenv("FAKEHOST_MODE")) {
        direct_reexec(host, argv);
    }
    control = g_getenv("FAKEHOST_CONTROL");
    fd = open(control, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    direct_page = mmap(NULL, sizeof(*direct_page), PROT_READ | PROT_WRITE,
                       MAP_SHARED, fd, 0);
    close(fd);
    g_assert_true(direct_page != MAP_FAILED);
    g_unlink(control);
    g_unlink(g_getenv("FAKEHOST_HOST"));
    if (direct_page->magic != FAKEHOST_CONTROL_MAGIC) {
        g_error("the library is not there: LD_PRELOAD=%s",
                g_getenv("LD_PRELOAD"));
    }
    g_unsetenv("LD_PRELOAD");
}

/* The number of the device's file; -1: a real host that has none such */
static int direct_number(const char *name)
{
    g_auto(GStrv) names = g_strsplit(g_getenv("DIRECT_DEVICES"), ",", 0);

    for (int i = 0; names[i]; i++) {
        if (g_str_equal(names[i], name)) {
            return i;
        }
    }
    return -1;
}

/* What GET_HW_INFO calls the IOMMU */
static unsigned direct_iommu(const DirectHost *f)
{
    struct fh_iommu_hw_info cmd = { .size = sizeof(cmd), .dev_id = f->dev_id };

    direct_ok(f->iommufd, FH_IOMMU_GET_HW_INFO, &cmd);
    return cmd.data_type;
}

/* Why the case cannot run on a real kernel, or NULL. Free with g_free() */
static char *direct_excuse(const DirectCase *c)
{
    g_auto(GStrv) names = g_strsplit(c->devices, " ", 0);

    if (c->fake_only) {
        return g_strdup(c->fake_only);
    }
    for (int i = 0; names[i]; i++) {
        if (direct_number(names[i]) < 0) {
            return g_strdup_printf("the host has no %s", names[i]);
        }
    }
    return NULL;
}

static void direct_case(const void *opaque)
{
    const DirectCase *c = opaque;
    g_autofree char *excuse = direct_page ? NULL : direct_excuse(c);
    g_auto(GStrv) names = g_strsplit(c->devices, " ", 0);
    DirectHost f = { .name = names[0] };

    if (excuse) {
        g_test_skip(excuse);
        return;
    }
    f.iommufd = direct_open("iommufd0");
    f.dev = direct_open(f.name);
    f.dev_id = direct_bind_ok(f.dev, f.iommufd);
    if (c->iommu && !direct_page && direct_iommu(&f) != c->iommu) {
        g_test_skip("the case is about another IOMMU");
    } else {
        f.ioas = direct_ioas_alloc(f.iommufd);
        if (c->s2) {
            f.s2 = direct_hwpt_ok(f.iommufd, f.dev_id, f.ioas,
                                  FH_HWPT_NEST_PARENT, NULL);
        }
        c->test(&f);
    }
    if (direct_page) {
        memset(direct_page->rules, 0, sizeof(direct_page->rules));
    }
    close(f.dev);
    close(f.iommufd);
    for (unsigned i = 0; i < FAKEHOST_OBJ_TYPES; i++) {
        direct_expect_objects(i, 0);
    }
}

int direct_run(int argc, char **argv, const char *host, const char *prefix,
               const DirectCase *cases, size_t num)
{
    int status;

    if (!g_getenv("DIRECT_DEVICES")) {
        direct_start(host, argv);
    }
    g_test_init(&argc, &argv, NULL);
    /* One run is to tell of every difference */
    g_test_set_nonfatal_assertions();
    for (size_t i = 0; i < num; i++) {
        g_autofree char *path = g_strconcat(prefix, cases[i].name, NULL);

        g_test_add_data_func(path, &cases[i], direct_case);
    }
    status = g_test_run();
    if (direct_page) {
        g_rmdir(g_getenv("FAKEHOST_EVENTS"));
    }
    return status;
}

int direct_raw(int fd, unsigned long cmd, void *arg)
{
    return ioctl(fd, cmd, arg) ? errno : 0;
}

int direct_open(const char *name)
{
    g_autofree char *full = g_strdup_printf("fakehost:%s", name);
    int fd;

    if (direct_page) {
        fd = memfd_create(full, MFD_CLOEXEC);
    } else if (g_str_has_prefix(name, "iommufd")) {
        fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    } else {
        g_autofree char *path = g_strdup_printf("/dev/vfio/devices/vfio%d",
                                                direct_number(name));

        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

struct FakehostDevice *direct_state(const char *name)
{
    for (uint32_t i = 0; i < direct_page->devices_used; i++) {
        if (g_str_equal(direct_page->devices[i].name, name)) {
            return &direct_page->devices[i];
        }
    }
    g_assert_not_reached();
}

void direct_expect_state(const char *name, uint32_t books,
                         uint32_t hardware)
{
    if (direct_page) {
        g_assert_cmpuint(direct_state(name)->pt_id, ==, books);
        g_assert_cmpuint(direct_state(name)->hw_pt_id, ==, hardware);
    }
}

void direct_expect_objects(unsigned type, uint32_t num)
{
    if (direct_page) {
        g_assert_cmpuint(direct_page->objects[type], ==, num);
    }
}

void direct_expect_areas(uint32_t num)
{
    if (direct_page) {
        g_assert_cmpuint(direct_page->areas, ==, num);
    }
}

int direct_raw_bind(int dev, int iommufd, uint32_t *id)
{
    struct fh_vfio_bind_iommufd bind = {
        .argsz = sizeof(bind), .iommufd = iommufd,
    };
    int err = direct_raw(dev, FH_VFIO_BIND_IOMMUFD, &bind);

    *id = bind.out_devid;
    return err;
}

uint32_t direct_bind_ok(int dev, int iommufd)
{
    uint32_t id;

    g_assert_cmpint(direct_raw_bind(dev, iommufd, &id), ==, 0);
    return id;
}

uint32_t direct_ioas_alloc(int iommufd)
{
    struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };

    direct_ok(iommufd, IOMMU_IOAS_ALLOC, &cmd);
    return cmd.out_ioas_id;
}

int direct_raw_destroy(int iommufd, uint32_t id)
{
    struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

    return direct_raw(iommufd, IOMMU_DESTROY, &cmd);
}

int direct_raw_hwpt(int iommufd, uint32_t dev_id, uint32_t pt_id,
                    uint32_t flags, const struct fh_hwpt_vtd_s1 *s1,
                    uint32_t *id)
{
    struct fh_iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd), .dev_id = dev_id, .pt_id = pt_id, .flags = flags,
        .data_type = s1 ? FH_DATA_VTD_S1 : FH_DATA_NONE,
        .data_len = s1 ? sizeof(*s1) : 0, .data_uptr = (uintptr_t)s1,
    };
    int err = direct_raw(iommufd, FH_IOMMU_HWPT_ALLOC, &cmd);

    *id = cmd.out_hwpt_id;
    return err;
}

uint32_t direct_hwpt_ok(int iommufd, uint32_t dev_id, uint32_t pt_id,
                        uint32_t flags, const struct fh_hwpt_vtd_s1 *s1)
{
    uint32_t id;

    g_assert_cmpint(direct_raw_hwpt(iommufd, dev_id, pt_id, flags, s1, &id),
                    ==, 0);
    return id;
}

void direct_hwpt_fails(int iommufd, uint32_t dev_id, uint32_t pt_id,
                       uint32_t flags, const struct fh_hwpt_vtd_s1 *s1,
                       int err)
{
    uint32_t id;

    g_assert_cmpint(direct_raw_hwpt(iommufd, dev_id, pt_id, flags, s1, &id),
                    ==, err);
}

int direct_raw_map(int iommufd, uint32_t ioas, uint64_t iova,
                   uint64_t len, const void *va, bool writable)
{
    struct iommu_ioas_map cmd = {
        .size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = len,
        .user_va = (uintptr_t)va,
        .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
                 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
    };

    return direct_raw(iommufd, IOMMU_IOAS_MAP, &cmd);
}

int direct_raw_copy(int iommufd, uint32_t src, uint64_t from, uint32_t dst,
                    uint64_t to, uint64_t len, bool writable)
{
    struct iommu_ioas_copy cmd = {
        .size = sizeof(cmd), .src_ioas_id = src, .src_iova = from,
        .dst_ioas_id = dst, .dst_iova = to, .length = len,
        .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
                 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
    };

    return direct_raw(iommufd, IOMMU_IOAS_COPY, &cmd);
}

int direct_raw_unmap(int iommufd, uint32_t ioas, uint64_t iova,
                     uint64_t len)
{
    struct iommu_ioas_unmap cmd = {
        .size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = len,
    };

    return direct_raw(iommufd, IOMMU_IOAS_UNMAP, &cmd);
}

int direct_raw_attach(int dev, uint32_t pt_id)
{
    struct fh_vfio_attach_pt cmd = { .argsz = sizeof(cmd), .pt_id = pt_id };

    return direct_raw(dev, FH_VFIO_ATTACH_IOMMUFD_PT, &cmd);
}

int direct_raw_attach_pasid(int dev, uint32_t pt_id, uint32_t pasid)
{
    struct fh_vfio_attach_pt cmd = {
        .argsz = sizeof(cmd), .pt_id = pt_id, .pasid = pasid,
        .flags = FH_ATTACH_PASID,
    };

    return direct_raw(dev, FH_VFIO_ATTACH_IOMMUFD_PT, &cmd);
}

void direct_detach(int dev)
{
    struct fh_vfio_detach_pt cmd = { .argsz = sizeof(cmd) };

    direct_ok(dev, FH_VFIO_DETACH_IOMMUFD_PT, &cmd);
}
