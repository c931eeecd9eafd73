/*
 * Fakehost: contexts, ids and lifetimes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fakehost-model.h"

/* The kernel's first id is 1 */
#define FH_FIRST_ID     1
#define FH_CTXS         64

static FhCtx *fh_ctxs[FH_CTXS];

static const char *const fh_type_names[FAKEHOST_OBJ_TYPES] = {
    [FAKEHOST_OBJ_NONE] = "NONE",
    [FAKEHOST_OBJ_DEVICE] = "DEVICE",
    [FAKEHOST_OBJ_HWPT_PAGING] = "HWPT_PAGING",
    [FAKEHOST_OBJ_HWPT_NESTED] = "HWPT_NESTED",
    [FAKEHOST_OBJ_IOAS] = "IOAS",
    [FAKEHOST_OBJ_FAULT] = "FAULT",
    [FAKEHOST_OBJ_VIOMMU] = "VIOMMU",
    [FAKEHOST_OBJ_VDEVICE] = "VDEVICE",
    [FAKEHOST_OBJ_VEVENTQ] = "VEVENTQ",
    [FAKEHOST_OBJ_HW_QUEUE] = "HW_QUEUE",
    [FAKEHOST_OBJ_ACCESS] = "ACCESS",
};

const char *fh_obj_type_name(uint32_t type)
{
    return type < FAKEHOST_OBJ_TYPES ? fh_type_names[type] : "?";
}

FhCtx *fh_ctx_new(const char *name)
{
    FhCtx *ctx = calloc(1, sizeof(*ctx));

    strncpy(ctx->name, name, sizeof(ctx->name) - 1);
    ctx->refs = 1;
    ctx->low = FH_FIRST_ID;
    for (size_t i = 0; i < FH_CTXS; i++) {
        if (!fh_ctxs[i]) {
            fh_ctxs[i] = ctx;
            return ctx;
        }
    }
    fprintf(stderr, "fakehost: more than %d iommufds\n", FH_CTXS);
    abort();
}

void fh_ctx_ref(FhCtx *ctx)
{
    ctx->refs++;
}

void fh_ctx_unref(FhCtx *ctx)
{
    bool progress;

    if (--ctx->refs) {
        return;
    }
    /* Leaves first, as their going drops the users of the inner ones */
    do {
        progress = false;
        for (uint32_t id = FH_FIRST_ID; id < ctx->room; id++) {
            if (ctx->objs[id] && !ctx->objs[id]->users) {
                fh_obj_free(ctx->objs[id]);
                progress = true;
            }
        }
    } while (progress);

    for (size_t i = 0; i < FH_CTXS; i++) {
        if (fh_ctxs[i] == ctx) {
            fh_ctxs[i] = NULL;
        }
    }
    free(ctx->objs);
    free(ctx);
}

void *fh_obj_new(FhCtx *ctx, uint32_t type, size_t size)
{
    FhObj *obj = calloc(1, size);
    uint32_t id = ctx->low;

    while (id < ctx->room && ctx->objs[id]) {
        id++;
    }
    if (id >= ctx->room) {
        uint32_t room = ctx->room ? ctx->room * 2 : 64;

        ctx->objs = realloc(ctx->objs, room * sizeof(*ctx->objs));
        memset(ctx->objs + ctx->room, 0,
               (room - ctx->room) * sizeof(*ctx->objs));
        ctx->room = room;
    }
    obj->ctx = ctx;
    obj->type = type;
    obj->id = id;
    ctx->objs[id] = obj;
    ctx->low = id + 1;
    fh_control()->objects[type]++;
    return obj;
}

bool fh_ctx_used(const FhCtx *ctx)
{
    for (uint32_t id = FH_FIRST_ID; id < ctx->room; id++) {
        if (ctx->objs[id]) {
            return true;
        }
    }
    return false;
}

void *fh_obj_get(FhCtx *ctx, uint32_t id, uint32_t type)
{
    FhObj *obj = id < ctx->room ? ctx->objs[id] : NULL;

    if (!obj || (type != FAKEHOST_OBJ_NONE && obj->type != type)) {
        return NULL;
    }
    return obj;
}

void fh_queue_close(int fd)
{
    if (fd >= 0) {
        fh_close(fd);
    }
}

/*
 * Does anybody hold the other end, by a descriptor or as a thread that sleeps
 * in poll() on one that has been closed since? These are real files, so that
 * the real kernel knows.
 */
static bool fh_queue_in_use(const FhObj *obj)
{
    struct pollfd p = { .fd = -1 };

    if (obj->type == FAKEHOST_OBJ_VEVENTQ) {
        p.fd = ((const FhVeventq *)obj)->write_fd;
    } else if (obj->type == FAKEHOST_OBJ_FAULT) {
        p.fd = ((const FhFault *)obj)->write_fd;
    }
    return p.fd >= 0 && !(poll(&p, 1, 0) == 1 && p.revents & POLLERR);
}

static void fh_obj_drop_references(FhObj *obj)
{
    switch (obj->type) {
    case FAKEHOST_OBJ_IOAS:
        fh_ioas_drop_all((FhIoas *)obj);
        break;
    case FAKEHOST_OBJ_HWPT_PAGING:
    case FAKEHOST_OBJ_HWPT_NESTED:
        fh_hwpt_release((FhHwpt *)obj);
        break;
    case FAKEHOST_OBJ_FAULT:
        fh_fault_answer_all((FhFault *)obj, NULL, 0);
        fh_queue_close(((FhFault *)obj)->write_fd);
        break;
    case FAKEHOST_OBJ_VIOMMU:
        fh_cmdqv_viommu_release((FhViommu *)obj);
        ((FhViommu *)obj)->parent->obj.users--;
        break;
    case FAKEHOST_OBJ_HW_QUEUE:
        fh_hw_queue_release((FhHwQueue *)obj);
        break;
    case FAKEHOST_OBJ_VDEVICE:
        ((FhVdevice *)obj)->viommu->obj.users--;
        ((FhVdevice *)obj)->idev->vdev = NULL;
        break;
    case FAKEHOST_OBJ_VEVENTQ:
        ((FhVeventq *)obj)->viommu->obj.users--;
        fh_queue_close(((FhVeventq *)obj)->write_fd);
        break;
    }
}

void fh_obj_free(FhObj *obj)
{
    FhCtx *ctx = obj->ctx;

    fh_obj_drop_references(obj);
    ctx->objs[obj->id] = NULL;
    if (obj->id < ctx->low) {
        ctx->low = obj->id;
    }
    fh_control()->objects[obj->type]--;
    free(obj);
}

int fh_obj_destroy(FhCtx *ctx, uint32_t id)
{
    FhObj *obj = fh_obj_get(ctx, id, FAKEHOST_OBJ_NONE);

    if (!obj) {
        return -ENOENT;
    }
    if (obj->users || fh_queue_in_use(obj)) {
        return -EBUSY;
    }
    fh_obj_free(obj);
    return 0;
}

void fh_obj_log_left(void)
{
    for (size_t i = 0; i < FH_CTXS; i++) {
        FhCtx *ctx = fh_ctxs[i];

        for (uint32_t id = FH_FIRST_ID; ctx && id < ctx->room; id++) {
            FhObj *obj = ctx->objs[id];
            FhText t = { 0 };

            if (!obj) {
                continue;
            }
            fh_text_printf(&t, "left %s %s id=%u users=%u", ctx->name,
                           fh_obj_type_name(obj->type), id, obj->users);
            if (obj->type == FAKEHOST_OBJ_IOAS) {
                fh_text_printf(&t, " areas=%u", ((FhIoas *)obj)->nr_areas);
            }
            fh_log_line(t.buf);
            fh_text_free(&t);
        }
    }
}

void fh_obj_publish(void)
{
    struct FakehostControl *page = fh_control();
    uint32_t left = page->objects[FAKEHOST_OBJ_IOAS];

    page->areas = 0;
    page->mapped_bytes = 0;
    for (size_t i = 0; i < FH_CTXS; i++) {
        FhCtx *ctx = fh_ctxs[i];

        for (uint32_t id = FH_FIRST_ID; ctx && left && id < ctx->room; id++) {
            FhIoas *ioas = fh_obj_get(ctx, id, FAKEHOST_OBJ_IOAS);

            if (ioas) {
                page->areas += ioas->nr_areas;
                page->mapped_bytes += ioas->mapped_bytes;
                left--;
            }
        }
    }
}
