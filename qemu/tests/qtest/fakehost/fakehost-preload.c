/*
 * Fakehost: an LD_PRELOAD library between a program and iommufd and VFIO.
 *
 * To build it alone, in the root of a QEMU source tree:
 *
 *   gcc -shared -fPIC -O2 -Wall -fvisibility=hidden -pthread -D_GNU_SOURCE \
 *       -I linux-headers \
 *       -o libfakehost.so tests/qtest/fakehost/fakehost-*.c -ldl
 *
 * FAKEHOST_MODE chooses what it does:
 *
 *   real    Sits on top of a real /dev/iommu. Calls go to the kernel unless
 *           a rule fails or swallows them; all are counted and logged.
 *   fake    There is no kernel below: the library answers every call itself,
 *           for the host that FAKEHOST_HOST describes (see fakehost-config.c).
 *           It knows its files by name: memfd_create("fakehost:NAME") is an
 *           opened device of that name or, if the name starts with "iommufd",
 *           an opened /dev/iommu. The program gets them by inheritance or
 *           over a socket, and uses them as it would the real ones.
 *   (unset) Nothing.
 *
 * Further variables, for both modes:
 *
 *   FAKEHOST_LOG=path      One line per call:
 *                            SEQ TARGET CALL in=… out=… = RET [ERRNO] [how]
 *                          how is "injected" or "swallowed" when a rule acted;
 *                          HWPT_INVALIDATE lists addr:npages:flags per entry.
 *                          At exit "total CALL calls= failed= entries=" lines.
 *   FAKEHOST_FAIL=list     CALL[@N[+]]=ERRNO[/HANDLED],…  fails the Nth call
 *                          of that name (+: and all later ones), after HANDLED
 *                          entries of a HWPT_INVALIDATE have been executed.
 *   FAKEHOST_SWALLOW=list  CALL[@N],…  returns success without executing,
 *                          from the Nth call of that name on.
 *   FAKEHOST_EVENTS=dir    Fake mode: where the FIFOs of event and fault queues
 *                          are made; a test writes into them.
 *   FAKEHOST_CONTROL=path  Page shared with a test, see fakehost-control.h.
 *
 * Limitations: only the iommufd backend is understood; the ioctls of VFIO's
 * legacy container share numbers with those of its devices and would be logged
 * under their names. Hosts with 64-bit pointers only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Both names of each call are defined here: neither may become the other */
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "fakehost-model.h"

typedef enum {
    FH_MODE_OFF,
    FH_MODE_REAL,
    FH_MODE_FAKE,
} FhMode;

/* An open file of the fake kernel */
typedef struct FhFile {
    struct FhFile *next;
    dev_t st_dev;
    ino_t st_ino;
    FhCtx *ctx;                 /* either an iommufd */
    FhVfioDev *dev;             /* or a device */
    bool granted;               /* bound through this very file */
} FhFile;

#define FH_DEVICE_MAJOR     511     /* that Linux hands out last */
#define FH_FILE_PREFIX      "/memfd:fakehost:"
#define FH_FILE_SUFFIX      " (deleted)"

static pthread_mutex_t fh_lock = PTHREAD_MUTEX_INITIALIZER;
static sigset_t fh_signals;     /* those that the lock's owner had blocked */

/*
 * QEMU's handler of SIGTERM writes into an eventfd.  It comes by write() here,
 * and must not find that its own thread has the lock.
 */
static void fh_enter(void)
{
    sigset_t signals, old;

    sigfillset(&signals);
    sigdelset(&signals, SIGABRT);
    sigdelset(&signals, SIGBUS);
    sigdelset(&signals, SIGFPE);
    sigdelset(&signals, SIGILL);
    sigdelset(&signals, SIGSEGV);
    pthread_sigmask(SIG_BLOCK, &signals, &old);
    pthread_mutex_lock(&fh_lock);
    fh_signals = old;
}

static void fh_leave(void)
{
    sigset_t old = fh_signals;

    pthread_mutex_unlock(&fh_lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static FhMode fh_mode;
static FhFile *fh_files;

/* --- the functions below --- */

static void *fh_next(const char *name)
{
    void *sym = dlsym(RTLD_NEXT, name);

    if (!sym) {
        fprintf(stderr, "fakehost: no %s() below\n", name);
        abort();
    }
    return sym;
}

typedef int FhIoctlFn(int fd, unsigned long cmd, ...);
typedef int FhCloseFn(int fd);
typedef ssize_t FhReadFn(int fd, void *buf, size_t n);
typedef ssize_t FhPreadFn(int fd, void *buf, size_t n, off64_t at);
typedef ssize_t FhPwriteFn(int fd, const void *buf, size_t n, off64_t at);
typedef void *FhMmapFn(void *addr, size_t len, int prot, int flags, int fd,
                       off64_t at);
typedef int FhMunmapFn(void *addr, size_t len);
typedef ssize_t FhWriteFn(int fd, const void *buf, size_t n);
typedef int FhPpollFn(struct pollfd *fds, nfds_t n,
                      const struct timespec *timeout, const sigset_t *mask);
typedef int FhFstatFn(int fd, struct stat64 *st);
typedef char *FhRealpathFn(const char *path, char *resolved);
typedef ssize_t FhReadlinkFn(const char *path, char *buf, size_t size);

static int ioctl_next(int fd, unsigned long cmd, void *arg)
{
    static FhIoctlFn *next;

    if (!next) {
        next = fh_next("ioctl");
    }
    return next(fd, cmd, arg);
}

int fh_close(int fd)
{
    static FhCloseFn *next;

    if (!next) {
        next = fh_next("close");
    }
    return next(fd);
}

ssize_t fh_read(int fd, void *buf, size_t n)
{
    static FhReadFn *next;

    if (!next) {
        next = fh_next("read");
    }
    return next(fd, buf, n);
}

ssize_t fh_write(int fd, const void *buf, size_t n)
{
    static FhWriteFn *next;

    if (!next) {
        next = fh_next("write");
    }
    return next(fd, buf, n);
}

ssize_t fh_pread(int fd, void *buf, size_t n, off64_t at)
{
    static FhPreadFn *next;

    if (!next) {
        next = fh_next("pread64");
    }
    return next(fd, buf, n, at);
}

ssize_t fh_pwrite(int fd, const void *buf, size_t n, off64_t at)
{
    static FhPwriteFn *next;

    if (!next) {
        next = fh_next("pwrite64");
    }
    return next(fd, buf, n, at);
}

static void *mmap64_next(void *addr, size_t len, int prot, int flags,
                         int fd, off64_t at)
{
    static FhMmapFn *next;

    if (!next) {
        next = fh_next("mmap64");
    }
    return next(addr, len, prot, flags, fd, at);
}

static int munmap_next(void *addr, size_t len)
{
    static FhMunmapFn *next;

    if (!next) {
        next = fh_next("munmap");
    }
    return next(addr, len);
}

/* struct stat is struct stat64 where pointers have 64 bits */
int fh_fstat(int fd, void *st)
{
    static FhFstatFn *next;

    if (!next) {
        next = fh_next("fstat64");
    }
    return next(fd, st);
}

static char *realpath_next(const char *path, char *resolved)
{
    static FhRealpathFn *next;

    if (!next) {
        next = fh_next("realpath");
    }
    return next(path, resolved);
}

static ssize_t readlink_next(const char *path, char *buf, size_t size)
{
    static FhReadlinkFn *next;

    if (!next) {
        next = fh_next("readlink");
    }
    return next(path, buf, size);
}

/*
 * Runs before the program does. Until the mode is set everything passes
 * through, the calls made from here included.
 */
__attribute__((constructor))
static void fh_init(void)
{
    const char *name = getenv("FAKEHOST_MODE");
    FhMode mode;

    if (!name || !*name) {
        return;
    }
    if (!strcmp(name, "real")) {
        mode = FH_MODE_REAL;
    } else if (!strcmp(name, "fake")) {
        mode = FH_MODE_FAKE;
    } else {
        fprintf(stderr, "fakehost: FAKEHOST_MODE=%s is not known\n", name);
        _exit(EXIT_FAILURE);
    }
    fh_control_init();
    if (mode == FH_MODE_FAKE) {
        fh_config_load(getenv("FAKEHOST_HOST"));
    }
    fh_mode = mode;
}

/* --- files; callers hold the lock --- */

static FhFile *fh_file_find(const struct stat *st)
{
    FhFile *file = fh_files;

    while (file && (file->st_dev != st->st_dev || file->st_ino != st->st_ino)) {
        file = file->next;
    }
    return file;
}

static FhFile *fh_file_new(const struct stat *st, const char *name)
{
    FhVfioDev *dev = fh_config_device(name);
    FhFile *file;

    if (!dev && strncmp(name, "iommufd", strlen("iommufd"))) {
        return NULL;
    }
    file = calloc(1, sizeof(*file));
    file->st_dev = st->st_dev;
    file->st_ino = st->st_ino;
    file->dev = dev;
    file->ctx = dev ? NULL : fh_ctx_new(name);
    file->next = fh_files;
    fh_files = file;
    return file;
}

/*
 * The fake file behind @fd, or NULL. The number alone would not do: it may
 * have been closed and reused behind our back.
 */
static FhFile *fh_file_get(int fd)
{
    char path[64], link[128];
    struct stat st;
    FhFile *file;
    ssize_t n;

    /* A memfd has no name, hence no links: it is cheap to rule out the rest */
    if (fh_fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink) {
        return NULL;
    }
    file = fh_file_find(&st);
    if (file) {
        return file;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink_next(path, link, sizeof(link) - 1);
    n -= strlen(FH_FILE_SUFFIX);
    if (n <= (ssize_t)strlen(FH_FILE_PREFIX) ||
        strncmp(link, FH_FILE_PREFIX, strlen(FH_FILE_PREFIX))) {
        return NULL;
    }
    link[n] = 0;
    return fh_file_new(&st, link + strlen(FH_FILE_PREFIX));
}

FhCtx *fh_file_ctx(int fd)
{
    FhFile *file = fh_file_get(fd);

    return file ? file->ctx : NULL;
}

/* Has this process no other descriptor of the file? */
static bool fh_file_is_last(const FhFile *file, int fd)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    bool last = true;

    while (dir && last && (e = readdir(dir))) {
        struct stat st;
        uint64_t other;

        if (fh_parse_u64(e->d_name, &other) && other != (uint64_t)fd &&
            !fh_fstat(other, &st)) {
            last = st.st_dev != file->st_dev || st.st_ino != file->st_ino;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return last;
}

static void fh_log_text(const char *target, const char *text)
{
    FhText t = { 0 };

    fh_text_printf(&t, "%s %s", target, text);
    fh_log_line(t.buf);
    fh_text_free(&t);
}

/* What the kernel does when the last descriptor of a file is closed */
static void fh_file_release(FhFile *file)
{
    FhFile **link = &fh_files;

    while (*link != file) {
        link = &(*link)->next;
    }
    *link = file->next;
    if (file->granted) {
        fh_unbind(file->dev);
        memset(file->dev->state->irqs, 0, sizeof(file->dev->state->irqs));
        fh_device_publish(file->dev);
    }
    fh_log_text(file->dev ? file->dev->name : file->ctx->name, "close");
    if (file->ctx) {
        fh_ctx_unref(file->ctx);
    }
    fh_obj_publish();
    free(file);
}

/* --- ioctl --- */

/*
 * Execute the part of an invalidation that precedes the injected failure, so
 * that the "handled" count that the caller sees is true.
 */
static void fh_real_handle_some(int fd, const FhCall *call, void *arg,
                                const struct FakehostRule *rule)
{
    struct fh_iommu_hwpt_invalidate *inv = arg;

    if (call->cmd != FH_IOMMU_HWPT_INVALIDATE) {
        return;
    }
    if (rule->handled < inv->entry_num) {
        inv->entry_num = rule->handled;
    }
    if (inv->entry_num) {
        ioctl_next(fd, call->cmd, arg);
    }
}

static int fh_real_ioctl(int fd, const FhCall *call, void *arg)
{
    struct FakehostRule *rule;
    FhVia via = FH_VIA_KERNEL;
    char target[16];
    FhText in = { 0 };
    int ret = 0, err = 0;

    snprintf(target, sizeof(target), "fd%d", fd);
    fh_enter();
    rule = fh_rule_take(call);
    fh_leave();

    if (fh_log_enabled()) {
        fh_call_print(&in, call, arg, FH_FIELD_IN);
    }
    if (rule && rule->action == FAKEHOST_RULE_FAIL) {
        via = FH_VIA_FAIL_RULE;
        fh_real_handle_some(fd, call, arg, rule);
        ret = -1;
        err = rule->err;
    } else if (rule) {
        via = FH_VIA_SWALLOW_RULE;
    } else {
        ret = ioctl_next(fd, call->cmd, arg);
        err = ret < 0 ? errno : 0;
    }

    fh_enter();
    fh_log_call(call, target, &in, arg, ret, err, via);
    fh_leave();
    fh_text_free(&in);
    if (ret < 0) {
        errno = err;
    }
    return ret;
}

/*
 * What an injected failure leaves behind. Most calls leave nothing, but some
 * drivers that fail to attach have by then blocked the device's DMA, unless
 * they refused because the device is in reset.
 */
static void fh_fake_fail(FhFile *file, const FhCall *call, void *arg,
                         const struct FakehostRule *rule)
{
    if (call->cmd == FH_IOMMU_HWPT_INVALIDATE && arg) {
        struct fh_iommu_hwpt_invalidate *inv = arg;

        if (rule->handled < inv->entry_num) {
            inv->entry_num = rule->handled;
        }
    }
    if (call->cmd == FH_VFIO_ATTACH_IOMMUFD_PT && file->granted && arg &&
        rule->err != EBUSY && file->dev->iommu->vendor->blocks) {
        const struct fh_vfio_attach_pt *cmd = arg;

        fh_attach_blocked(file->dev, cmd->flags & FH_ATTACH_PASID ? cmd->pasid
                                                                 : FH_NO_PASID);
    }
}

static int fh_fake_execute(FhFile *file, int fd, const FhCall *call, void *arg)
{
    return file->ctx ? fh_iommufd_ioctl(file->ctx, call, arg)
                     : fh_vfio_ioctl(file->dev, fd, &file->granted, call, arg);
}

/* Returns what ioctl() does, or -errno. The lock is held */
static int fh_fake_ioctl(FhFile *file, int fd, const FhCall *call, void *arg)
{
    struct FakehostRule *rule = fh_rule_take(call);
    FhVia via = FH_VIA_KERNEL;
    FhText in = { 0 };
    int ret = 0;

    fh_heap_enter();
    fh_dma_run();
    if (fh_log_enabled()) {
        fh_call_print(&in, call, arg, FH_FIELD_IN);
    }
    if (rule && rule->action == FAKEHOST_RULE_FAIL) {
        via = FH_VIA_FAIL_RULE;
        ret = -rule->err;
        fh_fake_fail(file, call, arg, rule);
    } else if (rule) {
        via = FH_VIA_SWALLOW_RULE;
    } else {
        ret = fh_fake_execute(file, fd, call, arg);
    }
    fh_log_call(call, file->ctx ? file->ctx->name : file->dev->name, &in, arg,
                ret < 0 ? -1 : ret, ret < 0 ? -ret : 0, via);
    fh_text_free(&in);
    fh_obj_publish();
    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        fh_device_publish(dev);
    }
    fh_heap_leave();
    return ret;
}

__attribute__((visibility("default")))
int ioctl(int fd, unsigned long cmd, ...)
{
    const FhCall *call = fh_call_find(cmd);
    FhMode mode = call ? fh_mode : FH_MODE_OFF;
    FhFile *file = NULL;
    va_list ap;
    int ret = 0;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);

    if (mode == FH_MODE_REAL) {
        return fh_real_ioctl(fd, call, arg);
    }
    if (mode == FH_MODE_FAKE) {
        fh_enter();
        file = fh_file_get(fd);
        if (file) {
            ret = fh_fake_ioctl(file, fd, call, arg);
        }
        fh_leave();
    }
    if (!file) {
        return ioctl_next(fd, cmd, arg);
    }
    if (ret < 0) {
        errno = -ret;
        return -1;
    }
    return ret;
}

/* --- files again: close, config space, BARs --- */

__attribute__((visibility("default")))
int close(int fd)
{
    if (fh_mode == FH_MODE_FAKE) {
        FhFile *file;

        fh_enter();
        file = fh_files ? fh_file_get(fd) : NULL;
        if (file && fh_file_is_last(file, fd)) {
            fh_file_release(file);
        }
        fh_leave();
    }
    return fh_close(fd);
}

/*
 * Config space, and what the kernel refuses, are answered here; true if it was
 * that. The BARs' bytes are in the file at the offset that GET_REGION_INFO
 * told; *@n shrinks to those that the BAR has.
 */
static bool fh_fake_rw(int fd, void *buf, size_t *n, off64_t at, bool is_write,
                       ssize_t *ret)
{
    uint64_t config = FH_REGION_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX);
    FhFile *file;
    bool ours;

    if (fh_mode != FH_MODE_FAKE) {
        return false;
    }
    fh_enter();
    file = fh_file_get(fd);
    ours = file && file->dev;
    if (ours && !file->granted) {
        errno = EINVAL;
        *ret = -1;
    } else if (ours && (uint64_t)at >= config) {
        *ret = fh_pci_config_rw(file->dev, buf, *n, at - config, is_write);
    } else if (ours) {
        uint64_t left = fh_vfio_bar_left(file->dev, at);

        *n = *n < left ? *n : left;
        ours = !left;
        errno = EINVAL;
        *ret = -1;
    }
    fh_leave();
    return ours;
}

__attribute__((visibility("default")))
ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
    ssize_t ret;

    return fh_fake_rw(fd, buf, &n, at, false, &ret)
        ? ret : fh_pread(fd, buf, n, at);
}

__attribute__((visibility("default")))
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at)
{
    ssize_t ret;

    return fh_fake_rw(fd, (void *)buf, &n, at, true, &ret)
        ? ret : fh_pwrite(fd, buf, n, at);
}

/* A program may have been built without large-file names, or fortified */
__attribute__((visibility("default")))
ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    return pread64(fd, buf, n, at);
}

__attribute__((visibility("default")))
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    return pwrite64(fd, buf, n, at);
}

__attribute__((visibility("default")))
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t room)
{
    if (n > room) {
        abort();
    }
    return pread64(fd, buf, n, at);
}

__attribute__((visibility("default")))
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t room)
{
    return __pread64_chk(fd, buf, n, at, room);
}

/* A rule can make it fail as if it were a call */
static const FhCall fh_call_read_events = { "READ_EVENTS", FH_CALL_NOFAIL };

/* Queues are the only FIFOs that QEMU reads: see fh_queue_open() */
static bool fh_is_queue(int fd)
{
    const uint32_t *objects = fh_control()->objects;
    struct stat st;

    return objects[FAKEHOST_OBJ_VEVENTQ] + objects[FAKEHOST_OBJ_FAULT] &&
           !fh_fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

__attribute__((visibility("default")))
ssize_t read(int fd, void *buf, size_t n)
{
    ssize_t ret;
    bool none = false;
    int err = 0;

    if (fh_mode == FH_MODE_FAKE) {
        fh_enter();
        if (fh_is_queue(fd)) {
            const struct FakehostRule *rule;

            rule = fh_rule_take(&fh_call_read_events);
            fh_control()->queue_reads++;
            if (rule && !rule->handled) {
                err = rule->err;
                none = !err;
            } else if (rule && n > rule->handled * sizeof(struct fh_pgfault)) {
                n = rule->handled * sizeof(struct fh_pgfault);
            }
        }
        fh_leave();
    }
    if (err) {
        errno = err;
        return -1;
    }
    ret = none ? 0 : fh_read(fd, buf, n);
    if (fh_mode == FH_MODE_FAKE && ret > 0) {
        int saved = errno;

        fh_enter();
        errno = saved;
        ret = fh_fault_read(fd, buf, ret, n);
        fh_leave();
    }
    return ret;
}

__attribute__((visibility("default")))
ssize_t write(int fd, const void *buf, size_t n)
{
    bool ours = false;
    ssize_t ret = -1;

    if (fh_mode == FH_MODE_FAKE &&
        fh_control()->objects[FAKEHOST_OBJ_FAULT]) {
        fh_enter();
        ours = fh_fault_write(fd, buf, n, &ret);
        fh_leave();
    }
    return ours ? ret : fh_write(fd, buf, n);
}

/* 0 or the errno by which a rule has @call fail */
static int fh_epoll_errno(const FhCall *call, int fd)
{
    const struct FakehostRule *rule = NULL;

    if (fh_mode == FH_MODE_FAKE) {
        fh_enter();
        if (fd < 0 || fh_is_queue(fd)) {
            rule = fh_rule_take(call);
        }
        fh_leave();
    }
    return rule ? rule->err : 0;
}

__attribute__((visibility("default")))
int epoll_create1(int flags)
{
    static const FhCall call = { "EPOLL_CREATE", FH_CALL_NOFAIL };
    static int (*next)(int flags);
    int err = fh_epoll_errno(&call, -1);

    if (!next) {
        next = fh_next("epoll_create1");
    }
    if (err) {
        errno = err;
        return -1;
    }
    return next(flags);
}

__attribute__((visibility("default")))
int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    static const FhCall call = { "EPOLL_ADD", FH_CALL_NOFAIL };
    static int (*next)(int epoll_fd, int op, int fd, struct epoll_event *event);
    int err = op == EPOLL_CTL_ADD ? fh_epoll_errno(&call, fd) : 0;

    if (!next) {
        next = fh_next("epoll_ctl");
    }
    if (err) {
        errno = err;
        return -1;
    }
    return next(epoll_fd, op, fd, event);
}

__attribute__((visibility("default")))
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room)
{
    if (n > room) {
        abort();
    }
    return read(fd, buf, n);
}

/*
 * A thread that sleeps in here is a user of all files that it waits for, closed
 * or not: count those that wait for queues. QEMU's main thread comes here when
 * it has done what it was asked for.
 */
__attribute__((visibility("default")))
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
          const sigset_t *mask)
{
    static FhPpollFn *next;

    if (fh_mode == FH_MODE_FAKE) {
        fh_enter();
        for (nfds_t i = 0; i < n; i++) {
            fh_control()->queue_polls += fds[i].events &&
                                         fh_is_queue(fds[i].fd);
        }
        fh_heap_at_rest();
        fh_leave();
    }
    if (!next) {
        next = fh_next("ppoll");
    }
    return next(fds, n, timeout, mask);
}

__attribute__((visibility("default")))
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                const sigset_t *mask, size_t room)
{
    if (n > room / sizeof(*fds)) {
        abort();
    }
    return ppoll(fds, n, timeout, mask);
}

/* Registers of a vIOMMU, in an iommufd */
static void *fh_fake_mmap(FhCtx *ctx, void *addr, size_t len, int prot,
                          int flags, uint64_t at)
{
    static const FhCall call = { "VIOMMU_MMAP", FH_CALL_NOFAIL };
    const struct FakehostRule *rule = fh_rule_take(&call);
    FhViommu *viommu;
    void *p = MAP_FAILED;
    FhText t = { 0 };
    int err = rule && rule->err
        ? -rule->err : fh_regs_find(ctx, len, prot, flags, at, &viommu);

    if (!err) {
        p = mmap64_next(addr, len, prot, flags, viommu->regs_fd, 0);
        err = p == MAP_FAILED ? -errno : 0;
    }
    if (!err) {
        fh_regs_mapped(viommu, p, len);
    }
    fh_text_printf(&t, "VIOMMU_MMAP offset=0x%llx length=0x%zx = %d%s%s",
                   (unsigned long long)at, len, err ? -1 : 0, err ? " " : "",
                   err ? fh_errno_name(-err) ?: "?" : "");
    fh_log_text(ctx->name, t.buf);
    fh_text_free(&t);
    if (err) {
        errno = -err;
    }
    return p;
}

/* Remember where BARs are mapped: the kernel cannot pin such addresses */
__attribute__((visibility("default")))
void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t at)
{
    FhFile *file = NULL;
    bool bar = false;
    void *p;

    if (fd >= 0 && fh_mode == FH_MODE_FAKE) {
        fh_enter();
        file = fh_files ? fh_file_get(fd) : NULL;
        bar = file && file->dev;
        if (file && file->ctx) {
            p = fh_fake_mmap(file->ctx, addr, len, prot, flags, at);
            fh_leave();
            return p;
        }
        fh_leave();
    }
    p = mmap64_next(addr, len, prot, flags, fd, at);
    if (p != MAP_FAILED && fh_mode == FH_MODE_FAKE &&
        (bar || flags & MAP_FIXED)) {
        fh_enter();
        /* What was there before is not any more */
        fh_regs_unmapped(p, len);
        if (bar) {
            fh_bar_mapped(p, len);
        }
        fh_leave();
    }
    return p;
}

__attribute__((visibility("default")))
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t at)
{
    return mmap64(addr, len, prot, flags, fd, at);
}

__attribute__((visibility("default")))
int munmap(void *addr, size_t len)
{
    if (fh_mode == FH_MODE_FAKE) {
        fh_enter();
        fh_bar_unmapped(addr, len);
        fh_regs_unmapped(addr, len);
        fh_leave();
    }
    return munmap_next(addr, len);
}

__attribute__((destructor))
static void fh_exit(void)
{
    if (fh_mode != FH_MODE_REAL && fh_mode != FH_MODE_FAKE) {
        return;
    }
    fh_enter();
    if (fh_mode == FH_MODE_FAKE) {
        fh_obj_log_left();
    }
    fh_log_totals();
    fh_leave();
}

/* --- sysfs: from the file of a device to its IOMMU group --- */

static void fh_fake_stat(int fd, struct stat64 *st)
{
    FhFile *file;

    fh_enter();
    file = fh_file_get(fd);
    if (file && file->dev) {
        st->st_mode = S_IFCHR | (st->st_mode & ~S_IFMT);
        st->st_rdev = makedev(FH_DEVICE_MAJOR, fh_config_index(file->dev));
    }
    fh_leave();
}

__attribute__((visibility("default")))
int fstat64(int fd, struct stat64 *st)
{
    int ret = fh_fstat(fd, st);

    if (!ret && fh_mode == FH_MODE_FAKE) {
        fh_fake_stat(fd, st);
    }
    return ret;
}

__attribute__((visibility("default")))
int fstat(int fd, struct stat *st)
{
    return fstat64(fd, (struct stat64 *)st);
}

/* The device whose directory in sysfs @path is in, and what follows that */
static const FhVfioDev *fh_sysfs_find(const char *path, const char **rest)
{
    unsigned major, minor;
    int end = 0;

    if (sscanf(path, "/sys/dev/char/%u:%u/device/%n", &major, &minor,
               &end) != 2 || !end || major != FH_DEVICE_MAJOR) {
        return NULL;
    }
    *rest = path + end;
    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        if (fh_config_index(dev) == minor) {
            return dev->sysfs ? dev : NULL;
        }
    }
    return NULL;
}

__attribute__((visibility("default")))
char *realpath(const char *path, char *resolved)
{
    const FhVfioDev *dev = NULL;
    const char *rest;

    if (fh_mode == FH_MODE_FAKE) {
        dev = fh_sysfs_find(path, &rest);
    }
    /* Nobody here has a buffer of his own */
    if (!dev || resolved) {
        return realpath_next(path, resolved);
    }
    if (!strcmp(rest, "subsystem")) {
        return strdup(dev->mdev ? "/sys/bus/mdev" : "/sys/bus/pci");
    }
    errno = ENOENT;
    return NULL;
}

__attribute__((visibility("default")))
ssize_t readlink(const char *path, char *buf, size_t size)
{
    const FhVfioDev *dev = NULL;
    const char *rest;
    char group[64];
    size_t len;

    if (fh_mode == FH_MODE_FAKE) {
        dev = fh_sysfs_find(path, &rest);
    }
    if (!dev || strcmp(rest, "iommu_group")) {
        return readlink_next(path, buf, size);
    }
    len = snprintf(group, sizeof(group), "../../../../kernel/iommu_groups/%llu",
                   (unsigned long long)dev->group);
    len = len < size ? len : size;
    memcpy(buf, group, len);
    return len;
}
