/*
 * Fakehost: command queues of Tegra241, which a guest has to itself.
 *
 * The kernel takes a virtual interface (VINTF) for each vIOMMU, gives away the
 * page of it that has the queues' doorbells, and lets the hardware read the
 * queues that it is told of. Here that page is a file, and nobody reads: that
 * is left to a test. Memory is where it would be if the nesting parent mapped
 * each address to itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fakehost-model.h"

#define IDR1_CMDQS(r)           (((r) >> 21) & 0x1f)
#define CMD_LOG2SIZE            4       /* 16 bytes */
#define QUEUE_MIN               32
#define QUEUE_ADDR              0x0000ffffffffffe0ull

/* The page that a guest gets, and what it has of each queue */
#define VINTF_SIZE              0x10000
#define VCMDQ_STRIDE            0x80
#define VCMDQ_GERROR            0x10
#define VCMDQ_GERRORN           0x14

#define VIRT_SID_MAX            0xfffffull

/* There is no memory for a list of as many pages */
#define QUEUE_PAGES_MAX         ((1ull << 31) / sizeof(void *))

/* A piece of the user's address space with registers in it */
typedef struct FhRegsMap {
    struct FhRegsMap *next;
    uintptr_t addr;
    size_t len;
    FhViommu *viommu;
} FhRegsMap;

static FhRegsMap *fh_regs_maps;

bool fh_cmdqv_parse(FhIommu *iommu, const char *key, uint64_t value)
{
    if (!strcmp(key, "cmdqv")) {
        iommu->cmdqv.version = value;
        iommu->cmdqv.log2vcmdqs = 1;
        iommu->cmdqv.log2vsids = 4;
        iommu->vintfs = 63;
    } else if (!strcmp(key, "log2vcmdqs")) {
        iommu->cmdqv.log2vcmdqs = value;
    } else if (!strcmp(key, "log2vsids")) {
        iommu->cmdqv.log2vsids = value;
    } else if (!strcmp(key, "vintfs")) {
        iommu->vintfs = value;
    } else {
        return false;
    }
    return true;
}

/* --- vIOMMUs --- */

static void vintf_path(char *path, size_t size, const FhViommu *viommu)
{
    snprintf(path, size, "%s/vintf-%u", getenv("FAKEHOST_EVENTS"),
             viommu->obj.id);
}

static int vintf_open(const FhViommu *viommu)
{
    char path[256];
    int fd;

    if (getenv("FAKEHOST_EVENTS")) {
        vintf_path(path, sizeof(path), viommu);
        unlink(path);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    } else {
        fd = memfd_create("vintf", MFD_CLOEXEC);
    }
    if (fd < 0) {
        return -errno;
    }
    if (ftruncate(fd, VINTF_SIZE)) {
        int err = errno;

        fh_close(fd);
        return -err;
    }
    return fd;
}

/* The lowest place that is free; the first page of the file never is */
static uint64_t regs_place(FhCtx *ctx, uint64_t len)
{
    uint64_t at = FH_PAGE_SIZE;
    bool moved;

    do {
        moved = false;
        for (uint32_t id = 1; id < ctx->room; id++) {
            FhViommu *other = fh_obj_get(ctx, id, FAKEHOST_OBJ_VIOMMU);

            if (other && other->regs_len && at < other->regs_at +
                other->regs_len && at + len > other->regs_at) {
                at = other->regs_at + other->regs_len;
                moved = true;
            }
        }
    } while (moved);
    return at;
}

int fh_cmdqv_viommu_init(FhViommu *viommu,
                         const struct fh_iommu_viommu_alloc *cmd)
{
    struct fh_viommu_tegra241_cmdqv *data =
        (void *)(uintptr_t)cmd->data_uptr;
    int fd;

    if (cmd->data_len != sizeof(*data)) {
        return -EINVAL;
    }
    if (!data) {
        return -EFAULT;
    }
    if (!viommu->iommu->vintfs) {
        return -ENOSPC;
    }
    fd = vintf_open(viommu);
    if (fd < 0) {
        return fd;
    }
    viommu->regs_fd = fd;
    viommu->regs_at = regs_place(viommu->obj.ctx, VINTF_SIZE);
    viommu->regs_len = VINTF_SIZE;
    viommu->iommu->vintfs--;
    data->out_vintf_mmap_offset = viommu->regs_at;
    data->out_vintf_mmap_length = viommu->regs_len;
    return 0;
}

void fh_cmdqv_viommu_release(FhViommu *viommu)
{
    char path[256];

    if (viommu->regs_fd < 0) {
        return;
    }
    if (getenv("FAKEHOST_EVENTS")) {
        vintf_path(path, sizeof(path), viommu);
        unlink(path);
    }
    fh_close(viommu->regs_fd);
    viommu->iommu->vintfs++;
}

/* It counts itself */
static uint32_t vdevices_of(const FhViommu *viommu)
{
    FhCtx *ctx = viommu->obj.ctx;
    uint32_t num = 0;

    for (uint32_t id = 1; id < ctx->room; id++) {
        FhVdevice *vdev = fh_obj_get(ctx, id, FAKEHOST_OBJ_VDEVICE);

        num += vdev && vdev->viommu == viommu;
    }
    return num;
}

int fh_cmdqv_vdevice_init(FhVdevice *vdev)
{
    if (vdev->virt_id > VIRT_SID_MAX) {
        return -EINVAL;
    }
    if (vdev->idev->dev->streams != 1) {
        return -EOPNOTSUPP;
    }
    return vdevices_of(vdev->viommu) >
           1u << vdev->viommu->iommu->cmdqv.log2vsids ? -ENOSPC : 0;
}

/* --- queues --- */

static FhHwQueue *queue_find(const FhViommu *viommu, uint32_t index,
                             const FhHwQueue *but)
{
    FhCtx *ctx = viommu->obj.ctx;

    for (uint32_t id = 1; id < ctx->room; id++) {
        FhHwQueue *queue = fh_obj_get(ctx, id, FAKEHOST_OBJ_HW_QUEUE);

        if (queue && queue != but && queue->viommu == viommu &&
            queue->index == index) {
            return queue;
        }
    }
    return NULL;
}

/* Before a queue is given away, and after: off, and empty, without an error */
static void queue_reset(const FhHwQueue *queue)
{
    int fd = queue->viommu->regs_fd;
    off_t at = (off_t)queue->index * VCMDQ_STRIDE;
    char zeros[VCMDQ_GERROR] = { 0 };
    uint32_t gerror;

    if (fh_pwrite(fd, zeros, sizeof(zeros), at) != sizeof(zeros) ||
        fh_pread(fd, &gerror, sizeof(gerror), at + VCMDQ_GERROR) !=
        sizeof(gerror) ||
        fh_pwrite(fd, &gerror, sizeof(gerror), at + VCMDQ_GERRORN) !=
        sizeof(gerror)) {
        abort();
    }
}

/* Queues that find no room in the control page work as well */
static void queue_publish(FhHwQueue *queue)
{
    struct FakehostControl *page = fh_control();

    for (size_t i = 0; i < FAKEHOST_HW_QUEUES && !queue->state; i++) {
        if (!page->hw_queues[i].id) {
            queue->state = &page->hw_queues[i];
            *queue->state = (struct FakehostHwQueue) {
                .id = queue->obj.id, .viommu_id = queue->viommu->obj.id,
                .index = queue->index, .iova = queue->iova,
                .length = queue->length,
            };
        }
    }
}

static uint64_t page_first(const FhHwQueue *queue)
{
    return queue->iova & ~(FH_PAGE_SIZE - 1);
}

static uint64_t page_last(const FhHwQueue *queue)
{
    return (queue->iova + queue->length - 1) | (FH_PAGE_SIZE - 1);
}

static void queue_unlock(FhHwQueue *queue)
{
    fh_ioas_unlock(queue->viommu->parent->ioas, page_first(queue),
                   page_last(queue));
    queue->access->users--;
    fh_obj_free(queue->access);
    queue->access = NULL;
}

/* The memory comes first, whatever the driver will say of the queue */
static int queue_lock(FhHwQueue *queue)
{
    uint64_t first = page_first(queue), last = page_last(queue);
    uint64_t piece = queue->viommu->iommu->contiguous;
    int err;

    if ((last - first) / FH_PAGE_SIZE + 1 >= QUEUE_PAGES_MAX) {
        return -ENOMEM;
    }
    err = fh_ioas_lock(queue->viommu->parent->ioas, first, last);
    if (err) {
        return err;
    }
    queue->access = fh_obj_new(queue->obj.ctx, FAKEHOST_OBJ_ACCESS,
                               sizeof(*queue->access));
    queue->access->users++;
    if (piece && first / piece != last / piece) {
        queue_unlock(queue);
        return -EFAULT;
    }
    return 0;
}

static int queue_init(FhHwQueue *queue)
{
    FhIommu *iommu = queue->viommu->iommu;
    uint64_t max = 1ull << (IDR1_CMDQS(iommu->smmu.idr[1]) + CMD_LOG2SIZE);

    if (queue->index >= 1u << iommu->cmdqv.log2vcmdqs) {
        return -EINVAL;
    }
    if (queue_find(queue->viommu, queue->index, queue)) {
        return -EEXIST;
    }
    if (queue->index) {
        queue->prev = queue_find(queue->viommu, queue->index - 1, queue);
        if (!queue->prev) {
            return -EIO;
        }
    }
    if (queue->length & (queue->length - 1) || queue->length < QUEUE_MIN ||
        queue->length > max || queue->iova & ~QUEUE_ADDR ||
        queue->iova & (queue->length - 1)) {
        queue->prev = NULL;
        return -EINVAL;
    }
    if (queue->prev) {
        queue->prev->obj.users++;
    }
    queue_reset(queue);
    queue_publish(queue);
    queue->ready = true;
    return 0;
}

int fh_hw_queue_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_hw_queue_alloc *cmd = arg;
    uint64_t last = cmd->nesting_parent_iova + cmd->length - 1;
    uint64_t offset = cmd->nesting_parent_iova % FH_PAGE_SIZE;
    FhViommu *viommu;
    FhHwQueue *queue;
    int err;

    if (cmd->flags || !cmd->type) {
        return -EOPNOTSUPP;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (last < cmd->nesting_parent_iova) {
        return -EOVERFLOW;
    }
    viommu = fh_obj_get(ctx, cmd->viommu_id, FAKEHOST_OBJ_VIOMMU);
    if (!viommu) {
        return -ENOENT;
    }
    if (viommu->type != FH_VIOMMU_TYPE_TEGRA241_CMDQV ||
        cmd->type != FH_HW_QUEUE_TYPE_TEGRA241_CMDQV) {
        return -EOPNOTSUPP;
    }
    /* It is rounded up to pages */
    if (cmd->length > UINT64_MAX - offset - (FH_PAGE_SIZE - 1)) {
        return -ERANGE;
    }
    queue = fh_obj_new(ctx, FAKEHOST_OBJ_HW_QUEUE, sizeof(*queue));
    queue->viommu = viommu;
    queue->index = cmd->index;
    queue->iova = cmd->nesting_parent_iova;
    queue->length = cmd->length;
    viommu->obj.users++;
    err = queue_lock(queue);
    if (!err) {
        err = queue_init(queue);
    }
    if (err) {
        fh_obj_free(&queue->obj);
        return err;
    }
    cmd->out_hw_queue_id = queue->obj.id;
    return 0;
}

/* What was locked, chained and published so far */
void fh_hw_queue_release(FhHwQueue *queue)
{
    if (queue->ready) {
        queue_reset(queue);
    }
    if (queue->state) {
        queue->state->id = 0;
    }
    if (queue->prev) {
        queue->prev->obj.users--;
    }
    if (queue->access) {
        queue_unlock(queue);
    }
    queue->viommu->obj.users--;
}

/* --- registers --- */

static size_t whole_pages(size_t len)
{
    return (len + FH_PAGE_SIZE - 1) & ~(FH_PAGE_SIZE - 1);
}

int fh_regs_find(FhCtx *ctx, size_t len, int prot, int flags, uint64_t at,
                 FhViommu **found)
{
    if ((flags & MAP_TYPE) == MAP_PRIVATE || at & (FH_PAGE_SIZE - 1)) {
        return -EINVAL;
    }
    if (prot & PROT_EXEC) {
        return -EPERM;
    }
    for (uint32_t id = 1; id < ctx->room; id++) {
        FhViommu *viommu = fh_obj_get(ctx, id, FAKEHOST_OBJ_VIOMMU);

        if (viommu && viommu->regs_len && viommu->regs_at == at &&
            viommu->regs_len == whole_pages(len)) {
            *found = viommu;
            return 0;
        }
    }
    return -ENXIO;
}

static void regs_add(FhViommu *viommu, uintptr_t addr, uintptr_t end)
{
    FhRegsMap *map;

    if (addr >= end) {
        return;
    }
    map = calloc(1, sizeof(*map));
    *map = (FhRegsMap) { fh_regs_maps, addr, end - addr, viommu };
    fh_regs_maps = map;
    viommu->obj.users++;
    fh_ctx_ref(viommu->obj.ctx);
    fh_control()->mmaps_now++;
}

void fh_regs_mapped(FhViommu *viommu, const void *addr, size_t len)
{
    fh_regs_unmapped(addr, len);
    regs_add(viommu, (uintptr_t)addr, (uintptr_t)addr + whole_pages(len));
    fh_control()->mmaps++;
}

/* What is left of a mapping keeps the vIOMMU, and the iommufd, as well */
void fh_regs_unmapped(const void *addr, size_t len)
{
    uintptr_t start = (uintptr_t)addr, end = start + whole_pages(len);
    FhRegsMap **link = &fh_regs_maps, *gone = NULL;

    while (*link) {
        FhRegsMap *map = *link;

        if (map->addr < end && map->addr + map->len > start) {
            *link = map->next;
            map->next = gone;
            gone = map;
        } else {
            link = &map->next;
        }
    }
    while (gone) {
        FhRegsMap *map = gone;
        FhViommu *viommu = map->viommu;
        FhCtx *ctx = viommu->obj.ctx;

        gone = map->next;
        regs_add(viommu, map->addr, start);
        regs_add(viommu, end, map->addr + map->len);
        viommu->obj.users--;
        fh_control()->mmaps_now--;
        fh_ctx_unref(ctx);
        free(map);
    }
}
