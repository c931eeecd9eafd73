/*
 * Fakehost: an LD_PRELOAD library between a program and iommufd and VFIO.
 *
 * To build it alone, in the root of a QEMU source tree:
 *
 *   gcc -shared -fPIC -O2 -Wall -pthread -I linux-headers \
 *       -o libfakehost.so tests/qtest/fakehost/fakehost-*.c -ldl
 *
 * FAKEHOST_MODE chooses what it does:
 *
 *   real    Sits on top of a real /dev/iommu. Calls go to the kernel unless
 *           a rule fails or swallows them; all are counted and logged.
 *   fake    There is no kernel below: the library answers every call itself,
 *           for the host that FAKEHOST_HOST describes (see fakehost-config.c).
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
 *   FAKEHOST_SWALLOW=list  CALL,…  returns success without executing.
 *   FAKEHOST_CONTROL=path  Page shared with a test, see fakehost-control.h.
 *
 * Limitations: only the iommufd backend is understood; the ioctls of VFIO's
 * legacy container share numbers with those of its devices and would be logged
 * under their names. Hosts with 64-bit pointers only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fakehost-internal.h"

typedef enum {
    FH_MODE_UNKNOWN,
    FH_MODE_OFF,
    FH_MODE_REAL,
    FH_MODE_FAKE,
} FhMode;

static pthread_mutex_t fh_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fh_once = PTHREAD_ONCE_INIT;
static FhMode fh_mode;

static void *fh_next(const char *name)
{
    void *sym = dlsym(RTLD_NEXT, name);

    if (!sym) {
        fprintf(stderr, "fakehost: no %s() below\n", name);
        abort();
    }
    return sym;
}

int fh_next_ioctl(int fd, unsigned long cmd, void *arg)
{
    static int (*next)(int fd, unsigned long cmd, ...);

    if (!next) {
        next = fh_next("ioctl");
    }
    return next(fd, cmd, arg);
}

static void fh_init(void)
{
    const char *mode = getenv("FAKEHOST_MODE");

    if (!mode || !*mode) {
        fh_mode = FH_MODE_OFF;
        return;
    }
    if (!strcmp(mode, "real")) {
        fh_mode = FH_MODE_REAL;
    } else {
        fprintf(stderr, "fakehost: FAKEHOST_MODE=%s is not known\n", mode);
        _exit(EXIT_FAILURE);
    }
    fh_control_init();
}

static FhMode fh_get_mode(void)
{
    pthread_once(&fh_once, fh_init);
    return fh_mode;
}

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
        fh_next_ioctl(fd, call->cmd, arg);
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
    pthread_mutex_lock(&fh_lock);
    rule = fh_rule_take(call);
    pthread_mutex_unlock(&fh_lock);

    fh_call_print(&in, call, arg, FH_FIELD_IN);
    if (rule && rule->action == FAKEHOST_RULE_FAIL) {
        via = FH_VIA_FAIL_RULE;
        fh_real_handle_some(fd, call, arg, rule);
        ret = -1;
        err = rule->err;
    } else if (rule) {
        via = FH_VIA_SWALLOW_RULE;
    } else {
        ret = fh_next_ioctl(fd, call->cmd, arg);
        err = ret < 0 ? errno : 0;
    }

    pthread_mutex_lock(&fh_lock);
    fh_log_call(call, target, &in, arg, ret, err, via);
    pthread_mutex_unlock(&fh_lock);
    fh_text_free(&in);
    if (ret < 0) {
        errno = err;
    }
    return ret;
}

__attribute__((visibility("default")))
int ioctl(int fd, unsigned long cmd, ...)
{
    const FhCall *call = fh_call_find(cmd);
    va_list ap;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);

    if (!call || fh_get_mode() == FH_MODE_OFF) {
        return fh_next_ioctl(fd, cmd, arg);
    }
    return fh_real_ioctl(fd, call, arg);
}

__attribute__((destructor))
static void fh_exit(void)
{
    if (fh_mode == FH_MODE_REAL || fh_mode == FH_MODE_FAKE) {
        pthread_mutex_lock(&fh_lock);
        fh_log_totals();
        pthread_mutex_unlock(&fh_lock);
    }
}
