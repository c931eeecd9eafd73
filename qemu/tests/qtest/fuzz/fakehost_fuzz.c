/*
 * Fuzz targets on a host that does not exist: what they share
 *
 * The library that stands in for the kernel is preloaded, so it has to be there
 * before the program starts: the program sets the environment and executes
 * itself. All files are memfds, because a fuzzer that crashes does not clean
 * up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/iommufd.h>
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "hw/qdev-core.h"
#include "monitor/qdev.h"
#include "fakehost_fuzz.h"

#define BIOS_SIZE       (64 * 1024)
#define STARTED         "FAKEHOST_FUZZ_PID"
#define BIOS            "FAKEHOST_FUZZ_BIOS"

/* More steps would only be slow: the corpus has better use for its bytes */
#define STEPS_MAX       512

struct FakehostControl *fakehost_fuzz_page;
static int iommufd;
static uint64_t taken;

/* --- input --- */

static uint64_t fuzz_bytes(FuzzInput *in, size_t n)
{
    uint64_t val = 0;

    n = MIN(n, in->left);
    memcpy(&val, in->data, n);
    in->data += n;
    in->left -= n;
    return le64_to_cpu(val);
}

uint8_t fuzz_u8(FuzzInput *in)
{
    return fuzz_bytes(in, 1);
}

uint16_t fuzz_u16(FuzzInput *in)
{
    return fuzz_bytes(in, 2);
}

uint32_t fuzz_u32(FuzzInput *in)
{
    return fuzz_bytes(in, 4);
}

uint64_t fuzz_u64(FuzzInput *in)
{
    return fuzz_bytes(in, 8);
}

uint32_t fuzz_small(FuzzInput *in, unsigned bits)
{
    uint8_t val = fuzz_u8(in);

    if (val == 0xff) {
        return fuzz_u32(in) & MAKE_64BIT_MASK(0, bits);
    }
    return val & 7 & MAKE_64BIT_MASK(0, bits);
}

uint64_t fuzz_damage(FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    switch (val & 15) {
    case 15:
        return fuzz_u64(in);
    case 14:
        return 1ull << (fuzz_u8(in) & 63);
    default:
        return 0;
    }
}

void fuzz_run_steps(FuzzStep *const *steps, size_t num, void *opaque,
                    const unsigned char *data, size_t size,
                    void (*after)(void *opaque))
{
    FuzzInput in = { .data = data, .left = size };

    for (unsigned i = 0; i < STEPS_MAX && in.left; i++) {
        steps[fuzz_u8(&in) % num](opaque, &in);
        if (after) {
            after(opaque);
        }
    }
}

void fakehost_fuzz_wrong(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "fuzz: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    abort();
}

static void say_taken(void)
{
    fprintf(stderr, "stat::descriptors_taken: %" PRIu64 "\n", taken);
}

void fakehost_fuzz_taken(unsigned num)
{
    taken += num;
}

/* --- start --- */

/* A file that the program executed next inherits; returns its name there */
static char *new_file(const char *name, const void *data, size_t len,
                      size_t size)
{
    int fd = memfd_create(name, 0);

    if (fd < 0 || ftruncate(fd, size) || pwrite(fd, data, len, 0) != len) {
        fakehost_fuzz_wrong("%s: %s", name, strerror(errno));
    }
    return g_strdup_printf("/proc/self/fd/%d", fd);
}

static char *library(void)
{
    const char *name = g_getenv("FAKEHOST_LIBRARY");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *path = name ? g_strdup(name) :
        g_build_filename(dir ?: ".", "tests", "qtest", "fakehost",
                         "libfakehost.so", NULL);

    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        fakehost_fuzz_wrong("there is no %s: set FAKEHOST_LIBRARY", path);
    }
    return g_steal_pointer(&path);
}

static void start_again(const char *description)
{
    g_autofree char *pid = g_strdup_printf("%d", getpid());
    g_autofree char *host = new_file("host", description, strlen(description),
                                     strlen(description));
    g_autofree char *control = new_file("control", NULL, 0,
                                        sizeof(struct FakehostControl));
    g_autofree char *bios = new_file("bios", NULL, 0, BIOS_SIZE);
    g_autofree char *preload = library();
    g_autofree char *cmdline = NULL;
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    gsize len;

    g_setenv(STARTED, pid, true);
    g_setenv(BIOS, bios, true);
    g_setenv("FAKEHOST_MODE", "fake", true);
    g_setenv("FAKEHOST_HOST", host, true);
    g_setenv("FAKEHOST_CONTROL", control, true);
    g_setenv("LD_PRELOAD", preload, true);

    if (!g_file_get_contents("/proc/self/cmdline", &cmdline, &len, NULL)) {
        fakehost_fuzz_wrong("cannot read /proc/self/cmdline");
    }
    for (char *arg = cmdline; arg < cmdline + len; arg += strlen(arg) + 1) {
        g_ptr_array_add(argv, arg);
    }
    g_ptr_array_add(argv, NULL);
    execv("/proc/self/exe", (char **)argv->pdata);
    fakehost_fuzz_wrong("cannot execute this program: %s", strerror(errno));
}

void fakehost_fuzz_start(const char *description)
{
    const char *pid = g_getenv(STARTED);
    int fd;

    /* libFuzzer's own children inherit the environment, but need their own */
    if (!pid || atoi(pid) != getpid()) {
        start_again(description);
    }
    /* What this program starts, a symbolizer say, has no use for it */
    g_unsetenv("LD_PRELOAD");
    fd = open(g_getenv("FAKEHOST_CONTROL"), O_RDWR | O_CLOEXEC);
    fakehost_fuzz_page = fd < 0 ? MAP_FAILED :
        mmap(NULL, sizeof(*fakehost_fuzz_page), PROT_READ | PROT_WRITE,
             MAP_SHARED, fd, 0);
    if (fakehost_fuzz_page == MAP_FAILED ||
        fakehost_fuzz_page->magic != FAKEHOST_CONTROL_MAGIC) {
        fakehost_fuzz_wrong("the library is not there: was it preloaded?");
    }
    close(fd);
    atexit(say_taken);
}

/* --- QEMU --- */

int fakehost_fuzz_fd(const char *name)
{
    g_autofree char *memfd_name = g_strdup_printf("fakehost:%s", name);
    int fd = memfd_create(memfd_name, MFD_CLOEXEC);

    if (fd < 0) {
        fakehost_fuzz_wrong("%s: %s", memfd_name, strerror(errno));
    }
    return fd;
}

GString *fakehost_fuzz_cmdline(const char *machine)
{
    GString *s = g_string_new(TARGET_NAME);

    iommufd = fakehost_fuzz_fd("iommufd0");
    g_string_append_printf(s, " -machine %s,accel=qtest -display none"
                           " -nodefaults -bios %s"
                           " -object iommufd,id=iommufd0,fd=%d",
                           machine, g_getenv(BIOS), iommufd);
    return s;
}

void fakehost_fuzz_plug(const char *name, const char *bus)
{
    g_autofree char *fd = g_strdup_printf("%d", fakehost_fuzz_fd(name));
    QDict *opts = qdict_new();
    DeviceState *dev;
    Error *err = NULL;

    qdict_put_str(opts, "driver", "vfio-pci");
    qdict_put_str(opts, "id", name);
    qdict_put_str(opts, "fd", fd);
    qdict_put_str(opts, "iommufd", "iommufd0");
    qdict_put_str(opts, "bus", bus);
    dev = qdev_device_add_from_qdict(opts, false, &err);
    if (!dev) {
        fakehost_fuzz_wrong("cannot plug %s: %s", name, error_get_pretty(err));
    }
    object_unref(OBJECT(dev));
    qobject_unref(opts);
}

/* --- host --- */

struct FakehostDevice *fakehost_fuzz_device(const char *name)
{
    for (uint32_t i = 0; i < fakehost_fuzz_page->devices_used; i++) {
        if (g_str_equal(fakehost_fuzz_page->devices[i].name, name)) {
            return &fakehost_fuzz_page->devices[i];
        }
    }
    fakehost_fuzz_wrong("the host has no %s", name);
}

unsigned fakehost_fuzz_objects(unsigned type)
{
    return fakehost_fuzz_page->objects[type];
}

void fakehost_fuzz_fail_one(FuzzInput *in, const char *const *calls,
                            size_t num)
{
    static const int errors[] = {
        EINVAL, EBUSY, ENOMEM, EIO, EOPNOTSUPP, ENOSPC, ENODEV, EFAULT,
    };
    struct FakehostRule rule = {
        .skip = fuzz_small(in, 3),
        .times = fuzz_small(in, 3),
        .handled = fuzz_small(in, 8),
        .action = FAKEHOST_RULE_FAIL,
    };

    g_strlcpy(rule.call, calls[fuzz_u8(in) % num], sizeof(rule.call));
    rule.err = errors[fuzz_u8(in) % ARRAY_SIZE(errors)];
    fakehost_fuzz_page->rules[fuzz_u8(in) % FAKEHOST_RULES] = rule;
}

void fakehost_fuzz_fail(FuzzInput *in)
{
    /*
     * Not IOMMU_DESTROY: what is then left over is the host's, and would
     * be taken for a leak.
     */
    static const char *const calls[] = {
        "IOMMU_HWPT_ALLOC", "IOMMU_HWPT_INVALIDATE",
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT", "VFIO_DEVICE_DETACH_IOMMUFD_PT",
        "VFIO_DEVICE_RESET", "IOMMU_VIOMMU_ALLOC", "IOMMU_VDEVICE_ALLOC",
    };

    fakehost_fuzz_fail_one(in, calls, ARRAY_SIZE(calls));
}

void fakehost_fuzz_recover(void)
{
    struct iommu_destroy nothing = { .size = sizeof(nothing) };

    memset(fakehost_fuzz_page->rules, 0, sizeof(fakehost_fuzz_page->rules));
    for (uint32_t i = 0; i < fakehost_fuzz_page->devices_used; i++) {
        fakehost_fuzz_page->devices[i].flags &= ~FAKEHOST_DEV_IN_RESET;
    }
    /* What the devices have is published with each call, whatever it is */
    ioctl(iommufd, IOMMU_DESTROY, &nothing);
}
