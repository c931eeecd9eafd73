/*
 * Fakehost: I/O address spaces.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "fakehost-model.h"

#define FH_MAP_FLAGS    (IOMMU_IOAS_MAP_FIXED_IOVA | \
                         IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)
#define FH_MAP_RW       (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

static uint64_t fh_ioas_alignment(const FhIoas *ioas)
{
    /* Without a page table nothing has pages */
    return ioas->nr_hwpts ? FH_PAGE_SIZE : 1;
}

/* Index of the first area whose last byte is at or after @start */
static uint32_t fh_ioas_find(const FhIoas *ioas, uint64_t start)
{
    uint32_t lo = 0, hi = ioas->nr_areas;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (ioas->areas[mid].last < start) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const FhArea *fh_ioas_area(const FhIoas *ioas, uint64_t iova)
{
    uint32_t i = fh_ioas_find(ioas, iova);

    return i < ioas->nr_areas && ioas->areas[i].start <= iova
        ? &ioas->areas[i] : NULL;
}

bool fh_ioas_covers(const FhIoas *ioas, uint64_t start, uint64_t last)
{
    const FhArea *area = fh_ioas_area(ioas, start);

    while (area && area->last < last) {
        area = fh_ioas_area(ioas, area->last + 1);
    }
    return area;
}

static bool fh_ioas_overlaps(const FhIoas *ioas, uint64_t start, uint64_t last)
{
    uint32_t i = fh_ioas_find(ioas, start);

    return i < ioas->nr_areas && ioas->areas[i].start <= last;
}

static const FhReserved *fh_ioas_reserved_at(const FhIoas *ioas,
                                             uint64_t start, uint64_t last)
{
    const FhReserved *lowest = NULL;

    for (uint32_t i = 0; i < ioas->nr_reserved; i++) {
        const FhReserved *r = &ioas->reserved[i];

        if (r->start <= last && r->last >= start &&
            (!lowest || r->start < lowest->start)) {
            lowest = r;
        }
    }
    return lowest;
}

int fh_ioas_reserve(FhIoas *ioas, uint64_t start, uint64_t last,
                    const void *owner)
{
    if (fh_ioas_overlaps(ioas, start, last)) {
        return -EADDRINUSE;
    }
    ioas->reserved = realloc(ioas->reserved, (ioas->nr_reserved + 1) *
                                             sizeof(*ioas->reserved));
    ioas->reserved[ioas->nr_reserved++] = (FhReserved) {
        .start = start, .last = last, .owner = owner,
    };
    return 0;
}

void fh_ioas_unreserve(FhIoas *ioas, const void *owner)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ioas->nr_reserved; i++) {
        if (ioas->reserved[i].owner != owner) {
            ioas->reserved[kept++] = ioas->reserved[i];
        }
    }
    ioas->nr_reserved = kept;
}

bool fh_ioas_has_readonly(const FhIoas *ioas)
{
    for (uint32_t i = 0; i < ioas->nr_areas; i++) {
        if (!(ioas->areas[i].flags & IOMMU_IOAS_MAP_WRITEABLE)) {
            return true;
        }
    }
    return false;
}

/*
 * The kernel pins ordinary memory only: a BAR that the program has mapped is
 * not, and an address with nothing behind it is not either.
 */
static int fh_area_check_pin(const FhArea *area)
{
    uint64_t len = area->last - area->start + 1;
    uint64_t va = area->va & ~(FH_PAGE_SIZE - 1);

    if (area->peer) {
        return 0;
    }
    if (area->file) {
        return area->va + len > area->file_size ? -EINVAL : 0;
    }
    if (fh_bar_overlaps(area->va, len)) {
        return -EFAULT;
    }
    len += area->va - va;
    return msync((void *)(uintptr_t)va, len, MS_ASYNC) ? -EFAULT : 0;
}

int fh_ioas_check_pin(const FhIoas *ioas)
{
    for (uint32_t i = 0; i < ioas->nr_areas; i++) {
        int err = fh_area_check_pin(&ioas->areas[i]);

        if (err) {
            return err;
        }
    }
    return 0;
}

static void fh_ioas_remove(FhIoas *ioas, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        const FhArea *area = &ioas->areas[i];

        ioas->mapped_bytes -= area->last - area->start + 1;
        if (area->file && !area->peer) {
            fh_close(area->fd);
        }
    }
    if (first == end) {
        return;
    }
    memmove(&ioas->areas[first], &ioas->areas[end],
            (ioas->nr_areas - end) * sizeof(*ioas->areas));
    ioas->nr_areas -= end - first;
}

void fh_ioas_drop_all(FhIoas *ioas)
{
    fh_ioas_remove(ioas, 0, ioas->nr_areas);
    free(ioas->areas);
    free(ioas->reserved);
    ioas->areas = NULL;
    ioas->reserved = NULL;
    ioas->nr_reserved = 0;
}

int fh_ioas_alloc(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_alloc *cmd = arg;
    FhIoas *ioas;

    if (cmd->flags) {
        return -EOPNOTSUPP;
    }
    ioas = fh_obj_new(ctx, FAKEHOST_OBJ_IOAS, sizeof(*ioas));
    cmd->out_ioas_id = ioas->obj.id;
    return 0;
}

int fh_ioas_iova_ranges(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_iova_ranges *cmd = arg;
    struct iommu_iova_range *out =
        (struct iommu_iova_range *)(uintptr_t)cmd->allowed_iovas;
    uint32_t room = cmd->num_iovas;
    uint64_t start = 0;
    FhIoas *ioas;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    ioas = fh_obj_get(ctx, cmd->ioas_id, FAKEHOST_OBJ_IOAS);
    if (!ioas) {
        return -ENOENT;
    }
    cmd->num_iovas = 0;
    cmd->out_iova_alignment = fh_ioas_alignment(ioas);
    for (;;) {
        const FhReserved *r = fh_ioas_reserved_at(ioas, start, UINT64_MAX);

        if (!r || r->start > start) {
            if (cmd->num_iovas < room) {
                out[cmd->num_iovas] = (struct iommu_iova_range) {
                    .start = start,
                    .last = r ? r->start - 1 : UINT64_MAX,
                };
            }
            cmd->num_iovas++;
        }
        if (!r || r->last == UINT64_MAX) {
            break;
        }
        start = r->last + 1;
    }
    return cmd->num_iovas > room ? -EMSGSIZE : 0;
}

int fh_ioas_allow_iovas(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_allow_iovas *cmd = arg;
    const struct iommu_iova_range *r =
        (const void *)(uintptr_t)cmd->allowed_iovas;
    FhIoas *ioas = fh_obj_get(ctx, cmd->ioas_id, FAKEHOST_OBJ_IOAS);
    int err = 0;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (!ioas) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < cmd->num_iovas; i++) {
        if (r[i].start >= r[i].last) {
            return -EINVAL;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (r[i].start <= r[j].last && r[j].start <= r[i].last) {
                return -EINVAL;
            }
        }
        if (fh_ioas_reserved_at(ioas, r[i].start, r[i].last)) {
            err = -EADDRINUSE;
        }
    }
    /* It only steers the choice of IOVAs that are not fixed */
    return err;
}

static int fh_ioas_check_iova(const FhIoas *ioas, uint64_t iova, uint64_t len)
{
    if (iova & (fh_ioas_alignment(ioas) - 1)) {
        return -EINVAL;
    }
    if (iova + len - 1 < iova) {
        return -EOVERFLOW;
    }
    if (fh_ioas_reserved_at(ioas, iova, iova + len - 1)) {
        return -EINVAL;
    }
    return fh_ioas_overlaps(ioas, iova, iova + len - 1) ? -EEXIST : 0;
}

static void fh_ioas_insert(FhIoas *ioas, const FhArea *area)
{
    uint32_t i = fh_ioas_find(ioas, area->start);

    if (ioas->nr_areas == ioas->room) {
        ioas->room = ioas->room ? ioas->room * 2 : 16;
        ioas->areas = realloc(ioas->areas, ioas->room * sizeof(*ioas->areas));
    }
    memmove(&ioas->areas[i + 1], &ioas->areas[i],
            (ioas->nr_areas - i) * sizeof(*ioas->areas));
    ioas->areas[i] = *area;
    if (area->file && !area->peer) {
        ioas->areas[i].fd = fcntl(area->fd, F_DUPFD_CLOEXEC, 0);
    }
    ioas->nr_areas++;
    ioas->mapped_bytes += area->last - area->start + 1;
}

/* The lowest hole that @len bytes fit in; the kernel may choose another */
static int fh_ioas_choose_iova(const FhIoas *ioas, uint64_t len,
                               uint64_t *iova)
{
    uint64_t start = FH_PAGE_SIZE;

    for (;;) {
        const FhReserved *r;
        uint64_t last = start + len - 1;
        uint32_t i;

        if (last < start) {
            return -ENOSPC;
        }
        r = fh_ioas_reserved_at(ioas, start, last);
        i = fh_ioas_find(ioas, start);
        if (r) {
            start = r->last + 1;
        } else if (i < ioas->nr_areas && ioas->areas[i].start <= last) {
            start = ioas->areas[i].last + 1;
        } else {
            *iova = start;
            return 0;
        }
        start = (start + FH_PAGE_SIZE - 1) & ~(FH_PAGE_SIZE - 1);
        if (!start) {
            return -ENOSPC;
        }
    }
}

static int fh_ioas_map_common(FhIoas *ioas, FhArea *area, uint64_t len,
                              uint64_t *iova)
{
    uint64_t align = fh_ioas_alignment(ioas);
    int err;

    if (!len || len & (align - 1) || area->va & (align - 1)) {
        return -EINVAL;
    }
    if (area->va + len < area->va) {
        return -EOVERFLOW;
    }
    err = area->flags & IOMMU_IOAS_MAP_FIXED_IOVA
        ? fh_ioas_check_iova(ioas, *iova, len)
        : fh_ioas_choose_iova(ioas, len, iova);
    if (err) {
        return err;
    }
    if (area->readonly && area->flags & IOMMU_IOAS_MAP_WRITEABLE) {
        return -EPERM;
    }
    area->start = *iova;
    area->last = *iova + len - 1;
    if (ioas->nr_hwpts) {
        if (ioas->nr_no_readonly &&
            !(area->flags & IOMMU_IOAS_MAP_WRITEABLE)) {
            return -EINVAL;
        }
        err = fh_area_check_pin(area);
        if (err) {
            return err;
        }
    }
    fh_ioas_insert(ioas, area);
    return 0;
}

int fh_ioas_map(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_map *cmd = arg;
    FhArea area = {
        .va = cmd->user_va, .flags = cmd->flags,
        .readonly = !(cmd->flags & IOMMU_IOAS_MAP_WRITEABLE),
    };
    uint64_t iova = cmd->iova;
    FhIoas *ioas;
    int err;

    if (cmd->flags & ~FH_MAP_FLAGS || cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX) {
        return -EOVERFLOW;
    }
    if (!(cmd->flags & FH_MAP_RW)) {
        return -EINVAL;
    }
    ioas = fh_obj_get(ctx, cmd->ioas_id, FAKEHOST_OBJ_IOAS);
    if (!ioas) {
        return -ENOENT;
    }
    err = fh_ioas_map_common(ioas, &area, cmd->length, &iova);
    if (!err) {
        cmd->iova = iova;
    }
    return err;
}

/* Only files that are memory can be pinned, up to their end */
static int fh_file_size(int fd, uint64_t *size)
{
    struct statfs fs;
    struct stat st;

    if (fh_fstat(fd, &st) || fstatfs(fd, &fs)) {
        return -1;
    }
    *size = fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC
        ? st.st_size : 0;
    return 0;
}

int fh_ioas_map_file(FhCtx *ctx, void *arg)
{
    struct fh_iommu_map_file *cmd = arg;
    FhArea area = {
        .va = cmd->start, .flags = cmd->flags, .file = true, .fd = cmd->fd,
        .readonly = !(cmd->flags & IOMMU_IOAS_MAP_WRITEABLE),
    };
    uint64_t iova = cmd->iova;
    FhIoas *ioas;
    int err;

    if (cmd->flags & ~FH_MAP_FLAGS) {
        return -EOPNOTSUPP;
    }
    if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX) {
        return -EOVERFLOW;
    }
    if (!(cmd->flags & FH_MAP_RW)) {
        return -EINVAL;
    }
    ioas = fh_obj_get(ctx, cmd->ioas_id, FAKEHOST_OBJ_IOAS);
    if (!ioas) {
        return -ENOENT;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    err = fh_dmabuf_map(cmd->fd, cmd->start, cmd->length, &area);
    if (!err && !area.peer && fh_file_size(cmd->fd, &area.file_size)) {
        err = -EBADF;
    }
    if (!err) {
        err = fh_ioas_map_common(ioas, &area, cmd->length, &iova);
    }
    if (!err) {
        cmd->iova = iova;
    }
    return err;
}

/*
 * The pages stay those of the source, pinned and accounted once, until the last
 * mapping of them is gone.
 */
int fh_ioas_copy(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_copy *cmd = arg;
    uint64_t last = cmd->src_iova + cmd->length - 1;
    uint64_t at, iova = cmd->dst_iova;
    FhIoas *src, *dst;
    int err;

    if (cmd->flags & ~FH_MAP_FLAGS) {
        return -EOPNOTSUPP;
    }
    if (cmd->length == UINT64_MAX || cmd->src_iova == UINT64_MAX ||
        cmd->dst_iova == UINT64_MAX) {
        return -EOVERFLOW;
    }
    if (!(cmd->flags & FH_MAP_RW)) {
        return -EINVAL;
    }
    src = fh_obj_get(ctx, cmd->src_ioas_id, FAKEHOST_OBJ_IOAS);
    if (!src) {
        return -ENOENT;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (last < cmd->src_iova) {
        return -EOVERFLOW;
    }
    dst = fh_obj_get(ctx, cmd->dst_ioas_id, FAKEHOST_OBJ_IOAS);
    if (!fh_ioas_covers(src, cmd->src_iova, last) || !dst) {
        return -ENOENT;
    }
    if (cmd->length & (fh_ioas_alignment(dst) - 1)) {
        return -EINVAL;
    }
    err = cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA
        ? fh_ioas_check_iova(dst, iova, cmd->length)
        : fh_ioas_choose_iova(dst, cmd->length, &iova);
    for (at = cmd->src_iova; !err && at - 1 != last;) {
        const FhArea *from = &src->areas[fh_ioas_find(src, at)];
        uint64_t end = from->last < last ? from->last : last;
        uint64_t to_iova = iova + (at - cmd->src_iova);
        FhArea area = *from;

        area.va += at - from->start;
        area.locks = 0;
        area.flags = cmd->flags | IOMMU_IOAS_MAP_FIXED_IOVA;
        err = fh_ioas_map_common(dst, &area, end - at + 1, &to_iova);
        if (err) {
            /* All or nothing: the range was free */
            fh_ioas_remove(dst, fh_ioas_find(dst, iova),
                           fh_ioas_find(dst, to_iova));
        }
        at = end + 1;
    }
    if (!err) {
        cmd->dst_iova = iova;
    }
    return err;
}

/* Each mapping is looked at in turn, and a hole is found when it is reached */
int fh_ioas_lock(FhIoas *ioas, uint64_t start, uint64_t last)
{
    uint64_t at = start;
    int err = 0;

    while (!err) {
        uint32_t i = fh_ioas_find(ioas, at);
        FhArea *area = i < ioas->nr_areas && ioas->areas[i].start <= at
            ? &ioas->areas[i] : NULL;

        if (!area) {
            err = -ENOENT;
        } else if (area->peer ||
                   (area->va + (at - area->start)) % FH_PAGE_SIZE) {
            err = -EINVAL;
        } else if (!(area->flags & IOMMU_IOAS_MAP_READABLE)) {
            err = -EPERM;
        } else {
            area->locks++;
            if (area->last >= last) {
                return 0;
            }
            at = area->last + 1;
        }
    }
    if (at != start) {
        fh_ioas_unlock(ioas, start, at - 1);
    }
    return err;
}

void fh_ioas_unlock(FhIoas *ioas, uint64_t start, uint64_t last)
{
    uint32_t i = fh_ioas_find(ioas, start);

    for (; i < ioas->nr_areas && ioas->areas[i].start <= last; i++) {
        ioas->areas[i].locks--;
    }
}

int fh_ioas_unmap(FhCtx *ctx, void *arg)
{
    struct iommu_ioas_unmap *cmd = arg;
    FhIoas *ioas = fh_obj_get(ctx, cmd->ioas_id, FAKEHOST_OBJ_IOAS);
    bool all = !cmd->iova && cmd->length == UINT64_MAX;
    uint64_t start = cmd->iova, last = start + cmd->length - 1;
    uint64_t unmapped = 0;
    uint32_t i, end;
    int err = 0;

    if (!ioas) {
        return -ENOENT;
    }
    if (all) {
        last = UINT64_MAX;
    } else if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX) {
        return -EOVERFLOW;
    } else if (!cmd->length) {
        return -EINVAL;
    } else if (last < start) {
        return -EOVERFLOW;
    }
    i = fh_ioas_find(ioas, start);
    for (end = i; end < ioas->nr_areas && ioas->areas[end].start <= last;
         end++) {
        if (ioas->areas[end].locks) {
            err = -EBUSY;
            break;
        }
        /* A mapping goes as a whole or not at all; those before it are gone */
        if (ioas->areas[end].start < start || ioas->areas[end].last > last) {
            err = -ENOENT;
            break;
        }
        unmapped += ioas->areas[end].last - ioas->areas[end].start + 1;
    }
    if (!unmapped && (err || !all)) {
        return err ? err : -ENOENT;
    }
    fh_dirty_unmapped(ioas, start, err ? ioas->areas[end - 1].last : last);
    fh_ioas_remove(ioas, i, end);
    if (!err) {
        cmd->length = unmapped;
    }
    return err;
}
