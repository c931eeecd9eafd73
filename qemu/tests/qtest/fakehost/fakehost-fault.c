/*
 * Fakehost: page requests, and the answers to them.
 *
 * A test writes groups of requests into a fault queue, each with a cookie of
 * its choice. One that is read has to be answered once: by a write, or by the
 * kernel when the device is detached from the table that has the queue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "fakehost-model.h"

/* Requests that are taken out of a queue at once */
#define FH_FAULT_CHUNK  4096

/* Read, not answered */
typedef struct FhFaultGroup {
    struct FhFaultGroup *next;
    const FhFault *fault;
    uint32_t cookie;
    uint32_t dev_id;
    uint32_t pasid;
} FhFaultGroup;

static FhFaultGroup *fh_groups;

static FhFault *fh_fault_of(const struct stat *st)
{
    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        FhCtx *ctx = dev->idev ? dev->idev->obj.ctx : NULL;

        for (uint32_t id = 1; ctx && id < ctx->room; id++) {
            FhFault *fault = fh_obj_get(ctx, id, FAKEHOST_OBJ_FAULT);

            if (fault && fault->ino == st->st_ino) {
                return fault;
            }
        }
    }
    return NULL;
}

/* The queue whose user's end @fd is, or NULL */
static FhFault *fh_fault_get(int fd)
{
    struct stat st;

    if (!fh_control()->objects[FAKEHOST_OBJ_FAULT] || fh_fstat(fd, &st) ||
        !S_ISFIFO(st.st_mode) ||
        (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
        return NULL;
    }
    return fh_fault_of(&st);
}

static void fh_fault_drop(FhFaultGroup **link)
{
    FhFaultGroup *gone = *link;

    *link = gone->next;
    free(gone);
    fh_control()->requests_waiting--;
}

static uint32_t fh_fault_pasid(const struct fh_pgfault *r)
{
    return r->flags & FH_PGFAULT_PASID_VALID ? r->pasid : 0;
}

/* All that is in the queue, @num requests, behind the first @room of them */
static struct fh_pgfault *fh_fault_take_out(const FhFault *fault, size_t room,
                                            size_t *num)
{
    struct fh_pgfault *r = NULL;
    ssize_t n = 0;
    char path[64];
    int fd;

    *num = room;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fault->write_fd);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    do {
        *num += n / sizeof(*r);
        r = realloc(r, (*num + FH_FAULT_CHUNK) * sizeof(*r));
        n = fh_read(fd, r + *num, FH_FAULT_CHUNK * sizeof(*r));
    } while (n > 0);
    fh_close(fd);
    return r;
}

static void fh_fault_put_back(const FhFault *fault, const struct fh_pgfault *r,
                              size_t num)
{
    ssize_t len = num * sizeof(*r);

    if (len && fh_write(fault->write_fd, r, len) != len) {
        abort();
    }
}

/* The kernel answers as well what nobody has read yet */
static void fh_fault_discard(const FhFault *fault, const FhIdev *idev,
                             uint32_t pasid)
{
    size_t num, kept = 0, first = 0;
    struct fh_pgfault *r = fh_fault_take_out(fault, 0, &num);

    for (size_t i = 0; i < num; i++) {
        if (!(r[i].flags & FH_PGFAULT_LAST_PAGE) && i + 1 < num) {
            continue;
        }
        if (r[i].flags & FH_PGFAULT_LAST_PAGE && r[i].dev_id == idev->obj.id &&
            fh_fault_pasid(&r[i]) == pasid) {
            fh_control()->answers_by_kernel++;
        } else {
            memmove(&r[kept], &r[first], (i + 1 - first) * sizeof(*r));
            kept += i + 1 - first;
        }
        first = i + 1;
    }
    fh_fault_put_back(fault, r, kept);
    free(r);
}

void fh_fault_answer_all(const FhFault *fault, const FhIdev *idev,
                         uint32_t pasid)
{
    FhFaultGroup **link = &fh_groups;

    while (*link) {
        if ((*link)->fault == fault &&
            (!idev || ((*link)->dev_id == idev->obj.id &&
                       (*link)->pasid == pasid))) {
            fh_fault_drop(link);
            fh_control()->answers_by_kernel++;
        } else {
            link = &(*link)->next;
        }
    }
    if (idev) {
        fh_fault_discard(fault, idev, pasid);
    }
}

/* Whose table has that queue no more: the kernel has answered it */
static bool fh_fault_is_late(const FhFault *fault,
                             const struct fh_pgfault *r, uint32_t pasid)
{
    FhIdev *idev = fh_obj_get(fault->obj.ctx, r->dev_id, FAKEHOST_OBJ_DEVICE);
    FhHwpt *hwpt = idev ? fh_attached_hwpt(idev, pasid) : NULL;

    return !hwpt || hwpt->fault != fault;
}

/* The first @num requests of a group that has not been read to its end */
static void fh_fault_unread(const FhFault *fault, const struct fh_pgfault *r,
                            size_t num)
{
    size_t all;
    struct fh_pgfault *queue = fh_fault_take_out(fault, num, &all);

    memcpy(queue, r, num * sizeof(*r));
    fh_fault_put_back(fault, queue, all);
    free(queue);
}

ssize_t fh_fault_read(int fd, void *buf, ssize_t len, size_t room)
{
    FhFault *fault = fh_fault_get(fd);
    struct fh_pgfault *r = buf;
    size_t num = len / sizeof(*r), kept = 0, first = 0;

    if (!fault) {
        return len;
    }
    for (size_t i = 0; i < num; i++) {
        uint32_t pasid = fh_fault_pasid(&r[i]);
        FhFaultGroup *group;

        if (!(r[i].flags & FH_PGFAULT_LAST_PAGE)) {
            continue;
        }
        if (fh_fault_is_late(fault, &r[i], pasid)) {
            fh_control()->answers_by_kernel++;
        } else {
            memmove(&r[kept], &r[first], (i + 1 - first) * sizeof(*r));
            kept += i + 1 - first;
            group = calloc(1, sizeof(*group));
            *group = (FhFaultGroup) {
                .next = fh_groups, .fault = fault, .cookie = r[kept - 1].cookie,
                .dev_id = r[kept - 1].dev_id, .pasid = pasid,
            };
            fh_groups = group;
            fh_control()->requests_waiting++;
        }
        first = i + 1;
    }
    if (first < num && len == room) {
        fh_fault_unread(fault, &r[first], num - first);
    }
    if (!kept) {
        errno = !first && num && len == room ? EINVAL : EAGAIN;
        return -1;
    }
    return kept * sizeof(*r);
}

static FhFaultGroup **fh_fault_find(const FhFault *fault,
                                    const struct fh_page_response *a)
{
    FhFaultGroup **link = &fh_groups;

    while (*link && ((*link)->fault != fault || (*link)->cookie != a->cookie)) {
        link = &(*link)->next;
    }
    return link;
}

static bool fh_fault_answer(const FhFault *fault,
                            const struct fh_page_response *a)
{
    FhFaultGroup **link = fh_fault_find(fault, a);

    if (a->code > 1 || !*link) {
        return false;
    }
    fh_fault_drop(link);
    fh_control()->answers[a->code]++;
    return true;
}

/* The kernel has answered it just before */
static void fh_fault_forestall(const FhFault *fault,
                               const struct fh_page_response *a)
{
    FhFaultGroup **link = fh_fault_find(fault, a);

    if (*link) {
        fh_fault_drop(link);
        fh_control()->answers_by_kernel++;
    }
}

bool fh_fault_write(int fd, const void *buf, size_t len, ssize_t *ret)
{
    static const FhCall call = { "WRITE_ANSWERS", FH_CALL_NOFAIL };
    const struct fh_page_response *a = buf;
    FhFault *fault = fh_fault_get(fd);
    const struct FakehostRule *rule;
    size_t num = len / sizeof(*a), done = 0;

    if (!fault) {
        return false;
    }
    fh_control()->answer_writes++;
    rule = fh_rule_take(&call);
    if ((rule && !rule->handled) || len % sizeof(*a)) {
        if (num && rule && rule->err == EINVAL) {
            fh_fault_forestall(fault, a);
        }
        errno = rule ? rule->err : ESPIPE;
        *ret = -1;
        return true;
    }
    if (rule && rule->handled < num) {
        num = rule->handled;
    }
    while (done < num && fh_fault_answer(fault, &a[done])) {
        done++;
    }
    *ret = done * sizeof(*a);
    if (!done) {
        fh_control()->answers_refused++;
        errno = EINVAL;
        *ret = -1;
    }
    return true;
}
