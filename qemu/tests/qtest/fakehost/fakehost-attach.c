/*
 * Fakehost: binding devices, attaching them to page tables.
 *
 * As in iommufd, an attachment belongs to the group: the first device of a
 * group attaches it, the others join, replace moves all of them and only the
 * last detach blocks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakehost-model.h"

/* --- hardware --- */

static FhHw **fh_hw_find(FhVfioDev *dev, uint32_t pasid)
{
    FhHw **hw = &dev->hw[FH_PASID_LIST(pasid)];

    while (*hw && (*hw)->pasid != pasid) {
        hw = &(*hw)->next;
    }
    return hw;
}

static void fh_hw_set(FhVfioDev *dev, uint32_t pasid, uint32_t pt_id)
{
    FhHw **hw = fh_hw_find(dev, pasid);

    if (pt_id && !*hw) {
        *hw = calloc(1, sizeof(**hw));
        (*hw)->pasid = pasid;
        dev->nr_pasids += pasid != FH_NO_PASID;
    }
    if (pt_id) {
        (*hw)->pt_id = pt_id;
    } else if (*hw) {
        FhHw *gone = *hw;

        *hw = gone->next;
        free(gone);
        dev->nr_pasids -= pasid != FH_NO_PASID;
    }
}

/* --- groups --- */

static FhGroup *fh_group_get(FhCtx *ctx, uint64_t number)
{
    FhGroup *group;

    for (group = ctx->groups; group; group = group->next) {
        if (group->number == number) {
            group->refs++;
            return group;
        }
    }
    group = calloc(1, sizeof(*group));
    group->number = number;
    group->refs = 1;
    group->next = ctx->groups;
    ctx->groups = group;
    return group;
}

static void fh_group_put(FhCtx *ctx, FhGroup *group)
{
    FhGroup **link = &ctx->groups;

    if (--group->refs) {
        return;
    }
    while (*link != group) {
        link = &(*link)->next;
    }
    *link = group->next;
    free(group);
}

static FhAttach *fh_attach_find(const FhGroup *group, uint32_t pasid)
{
    FhAttach *a = group->attach[FH_PASID_LIST(pasid)];

    while (a && a->pasid != pasid) {
        a = a->next;
    }
    return a;
}

static bool fh_attach_has(const FhAttach *a, const FhIdev *idev)
{
    for (uint32_t i = 0; a && i < a->nr_idevs; i++) {
        if (a->idevs[i] == idev) {
            return true;
        }
    }
    return false;
}

static void fh_attach_add(FhAttach *a, FhIdev *idev)
{
    a->idevs = realloc(a->idevs, (a->nr_idevs + 1) * sizeof(*a->idevs));
    a->idevs[a->nr_idevs++] = idev;
    a->hwpt->obj.users++;
    idev->obj.users++;
}

static bool fh_group_in_reset(const FhGroup *group)
{
    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        if (dev->idev && dev->idev->group == group &&
            dev->state->flags & FAKEHOST_DEV_IN_RESET) {
            return true;
        }
    }
    return false;
}

/* Run @fn on each device of the group, attached or not */
static int fh_group_program(const FhGroup *group, FhHwpt *hwpt, uint32_t pasid)
{
    uint32_t id = hwpt ? hwpt->obj.id : 0;

    for (FhVfioDev *dev = fh_config_devices(); dev; dev = dev->next) {
        FhOld old = FH_OLD_KEPT;
        int err;

        if (!dev->idev || dev->idev->group != group) {
            continue;
        }
        err = hwpt ? dev->iommu->vendor->attach(hwpt, dev->idev, pasid, &old)
                   : 0;
        if (err) {
            if (old == FH_OLD_BLOCKED) {
                fh_hw_set(dev, pasid, 0);
            }
            return err;
        }
        fh_hw_set(dev, pasid, id);
    }
    return 0;
}

/* --- attach, replace, detach --- */

static int fh_pasid_compat(const FhHwpt *hwpt, const FhGroup *group,
                           uint32_t pasid)
{
    const FhAttach *rid;

    if (pasid == FH_NO_PASID) {
        return group->nr_pasids && !hwpt->pasid_compat ? -EINVAL : 0;
    }
    if (!hwpt->pasid_compat) {
        return -EINVAL;
    }
    rid = fh_attach_find(group, FH_NO_PASID);
    return rid && !rid->hwpt->pasid_compat ? -EINVAL : 0;
}

static int fh_check_pasid(const FhIdev *idev, uint32_t pasid)
{
    const FhVfioDev *dev = idev->dev;

    if (pasid == FH_NO_PASID) {
        return 0;
    }
    return !dev->pasid_bits || pasid >> dev->pasid_bits ? -EINVAL : 0;
}

/* Of a nested table, what its parent maps: devices of both keep to its holes */
static FhIoas *fh_paging_ioas(const FhHwpt *hwpt)
{
    return (hwpt->parent ?: hwpt)->ioas;
}

static int fh_enforce_reserved(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid)
{
    const FhVendor *vendor = idev->dev->iommu->vendor;

    if (pasid != FH_NO_PASID || !fh_paging_ioas(hwpt) || !vendor->msi_last) {
        return 0;
    }
    return fh_ioas_reserve(fh_paging_ioas(hwpt), vendor->msi_start,
                           vendor->msi_last, idev);
}

static void fh_drop_reserved(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid)
{
    if (pasid == FH_NO_PASID && fh_paging_ioas(hwpt)) {
        fh_ioas_unreserve(fh_paging_ioas(hwpt), idev);
    }
}

/* A table that iommufd made by itself goes with its last attachment */
static void fh_hwpt_put(FhHwpt *hwpt)
{
    hwpt->obj.users--;
    if (hwpt->auto_domain && !hwpt->obj.users) {
        fh_obj_free(&hwpt->obj);
    }
}

static int fh_do_attach(FhIdev *idev, uint32_t pasid, FhHwpt *hwpt)
{
    FhGroup *group = idev->group;
    FhAttach *a = fh_attach_find(group, pasid);
    int err;

    if (a && a->hwpt != hwpt) {
        return -EINVAL;
    }
    if (fh_attach_has(a, idev)) {
        return -EBUSY;
    }
    err = fh_enforce_reserved(hwpt, idev, pasid);
    if (err) {
        return err;
    }
    if (!a) {
        err = fh_pasid_compat(hwpt, group, pasid);
        if (!err) {
            err = fh_check_pasid(idev, pasid);
        }
        if (!err && fh_group_in_reset(group)) {
            err = -EBUSY;
        }
        if (!err) {
            err = fh_group_program(group, hwpt, pasid);
        }
        if (err) {
            fh_drop_reserved(hwpt, idev, pasid);
            return err;
        }
        a = calloc(1, sizeof(*a));
        a->pasid = pasid;
        a->hwpt = hwpt;
        a->next = group->attach[FH_PASID_LIST(pasid)];
        group->attach[FH_PASID_LIST(pasid)] = a;
        group->nr_pasids += pasid != FH_NO_PASID;
    }
    fh_attach_add(a, idev);
    return 0;
}

static int fh_do_replace(FhIdev *idev, uint32_t pasid, FhHwpt *hwpt)
{
    FhGroup *group = idev->group;
    FhAttach *a = fh_attach_find(group, pasid);
    FhHwpt *old;
    int err;

    if (!fh_attach_has(a, idev)) {
        return -EINVAL;
    }
    old = a->hwpt;
    /* Also when an earlier failure left the hardware blocked */
    if (old == hwpt) {
        return 0;
    }
    err = fh_pasid_compat(hwpt, group, pasid);
    if (!err && fh_group_in_reset(group)) {
        err = -EBUSY;
    }
    if (!err && fh_paging_ioas(hwpt) != fh_paging_ioas(old)) {
        err = fh_enforce_reserved(hwpt, idev, pasid);
    }
    if (!err) {
        err = fh_group_program(group, hwpt, pasid);
        if (err && fh_paging_ioas(hwpt) != fh_paging_ioas(old)) {
            fh_drop_reserved(hwpt, idev, pasid);
        }
    }
    if (err) {
        return err;
    }
    if (fh_paging_ioas(old) != fh_paging_ioas(hwpt)) {
        fh_drop_reserved(old, idev, pasid);
    }
    for (uint32_t i = 0; old->fault && i < a->nr_idevs; i++) {
        fh_fault_answer_all(old->fault, a->idevs[i], pasid);
    }
    a->hwpt = hwpt;
    hwpt->obj.users += a->nr_idevs;
    old->obj.users -= a->nr_idevs - 1;
    fh_hwpt_put(old);
    return 0;
}

FhHwpt *fh_attached_hwpt(const FhIdev *idev, uint32_t pasid)
{
    FhAttach *a = fh_attach_find(idev->group, pasid);

    return fh_attach_has(a, idev) ? a->hwpt : NULL;
}

bool fh_is_attached(FhVfioDev *dev, uint32_t pasid)
{
    FhIdev *idev = dev->idev;

    return idev && fh_attach_has(fh_attach_find(idev->group, pasid), idev);
}

static int fh_attach_hwpt(FhIdev *idev, uint32_t pasid, FhHwpt *hwpt,
                          bool replace)
{
    return replace ? fh_do_replace(idev, pasid, hwpt)
                   : fh_do_attach(idev, pasid, hwpt);
}

/* Attaching to an IOAS: any table that iommufd made for it will do */
static int fh_attach_auto(FhIdev *idev, uint32_t pasid, FhIoas *ioas,
                          uint32_t *pt_id, bool replace)
{
    FhCtx *ctx = ioas->obj.ctx;
    FhHwpt *hwpt;
    int err;

    for (uint32_t id = 1; id < ctx->room; id++) {
        hwpt = fh_obj_get(ctx, id, FAKEHOST_OBJ_HWPT_PAGING);
        if (!hwpt || hwpt->ioas != ioas || !hwpt->auto_domain) {
            continue;
        }
        err = fh_attach_hwpt(idev, pasid, hwpt, replace);
        if (err != -EINVAL) {
            *pt_id = hwpt->obj.id;
            return err;
        }
    }
    hwpt = fh_hwpt_new_auto(ioas, idev, &err);
    if (!hwpt) {
        return err;
    }
    *pt_id = hwpt->obj.id;
    err = fh_attach_hwpt(idev, pasid, hwpt, replace);
    if (err) {
        fh_obj_free(&hwpt->obj);
    }
    return err;
}

int fh_attach(FhVfioDev *dev, uint32_t pasid, uint32_t *pt_id, bool replace)
{
    FhIdev *idev = dev->idev;
    FhObj *pt = fh_obj_get(idev->obj.ctx, *pt_id, FAKEHOST_OBJ_NONE);

    if (!pt) {
        return -ENOENT;
    }
    switch (pt->type) {
    case FAKEHOST_OBJ_HWPT_PAGING:
    case FAKEHOST_OBJ_HWPT_NESTED:
        return fh_attach_hwpt(idev, pasid, (FhHwpt *)pt, replace);
    case FAKEHOST_OBJ_IOAS:
        return fh_attach_auto(idev, pasid, (FhIoas *)pt, pt_id, replace);
    default:
        return -EINVAL;
    }
}

void fh_detach(FhVfioDev *dev, uint32_t pasid)
{
    FhIdev *idev = dev->idev;
    FhGroup *group = idev->group;
    FhAttach *a = fh_attach_find(group, pasid);
    FhHwpt *hwpt;
    uint32_t kept = 0;

    if (!fh_attach_has(a, idev)) {
        return;
    }
    hwpt = a->hwpt;
    if (hwpt->fault) {
        fh_fault_answer_all(hwpt->fault, idev, pasid);
    }
    for (uint32_t i = 0; i < a->nr_idevs; i++) {
        if (a->idevs[i] != idev) {
            a->idevs[kept++] = a->idevs[i];
        }
    }
    a->nr_idevs = kept;
    idev->obj.users--;
    fh_drop_reserved(hwpt, idev, pasid);
    if (!kept) {
        FhAttach **link = &group->attach[FH_PASID_LIST(pasid)];

        fh_group_program(group, NULL, pasid);
        while (*link != a) {
            link = &(*link)->next;
        }
        *link = a->next;
        free(a->idevs);
        free(a);
        group->nr_pasids -= pasid != FH_NO_PASID;
    }
    fh_hwpt_put(hwpt);
}

void fh_attach_blocked(FhVfioDev *dev, uint32_t pasid)
{
    fh_hw_set(dev, pasid, 0);
}

/* --- binding --- */

int fh_bind(FhCtx *ctx, FhVfioDev *dev)
{
    FhIdev *idev;

    if (dev->idev) {
        return -EINVAL;
    }
    if (!dev->coherent) {
        return -EINVAL;
    }
    if (!dev->isolated_msi) {
        return -EPERM;
    }
    for (FhVfioDev *other = fh_config_devices(); other; other = other->next) {
        /* A group's DMA has one owner */
        if (other->idev && other->group == dev->group &&
            other->idev->obj.ctx != ctx) {
            return -EPERM;
        }
    }
    idev = fh_obj_new(ctx, FAKEHOST_OBJ_DEVICE, sizeof(*idev));
    idev->dev = dev;
    idev->group = fh_group_get(ctx, dev->group);
    idev->obj.users = 1;
    dev->idev = idev;
    fh_ctx_ref(ctx);
    return 0;
}

void fh_unbind(FhVfioDev *dev)
{
    FhIdev *idev = dev->idev;
    FhCtx *ctx;

    if (!idev) {
        return;
    }
    ctx = idev->obj.ctx;
    for (uint32_t i = 0; i < FH_PASID_LISTS; i++) {
        FhAttach *next;

        for (FhAttach *a = idev->group->attach[i]; a; a = next) {
            next = a->next;
            fh_detach(dev, a->pasid);
        }
    }
    if (idev->vdev) {
        fh_obj_free(&idev->vdev->obj);
    }
    for (uint32_t i = 0; i < FH_PASID_LISTS; i++) {
        while (dev->hw[i]) {
            fh_hw_set(dev, dev->hw[i]->pasid, 0);
        }
    }
    dev->idev = NULL;
    fh_group_put(ctx, idev->group);
    fh_obj_free(&idev->obj);
    fh_ctx_unref(ctx);
}

FhHwpt *fh_hw_translation(FhVfioDev *dev)
{
    FhHw *hw = *fh_hw_find(dev, FH_NO_PASID);

    if (!dev->idev || !hw || dev->state->flags & FAKEHOST_DEV_IN_RESET) {
        return NULL;
    }
    return fh_obj_get(dev->idev->obj.ctx, hw->pt_id, FAKEHOST_OBJ_NONE);
}

void fh_device_publish(FhVfioDev *dev)
{
    struct FakehostDevice *state = dev->state;
    FhAttach *rid;
    FhHw *hw;

    state->pt_id = 0;
    state->hw_pt_id = 0;
    state->pasids = 0;
    state->vdevices = 0;
    state->ste[0] = state->ste[1] = 0;
    state->dev_id = dev->idev ? dev->idev->obj.id : 0;
    if (!dev->idev) {
        state->flags &= ~FAKEHOST_DEV_BOUND;
        return;
    }
    state->flags |= FAKEHOST_DEV_BOUND;
    rid = fh_attach_find(dev->idev->group, FH_NO_PASID);
    if (fh_attach_has(rid, dev->idev)) {
        state->pt_id = rid->hwpt->obj.id;
        state->ste[0] = rid->hwpt->ste.ste[0];
        state->ste[1] = rid->hwpt->ste.ste[1];
    }
    if (dev->idev->vdev) {
        state->vdevices = 1;
        state->virt_id = dev->idev->vdev->virt_id;
    }
    hw = *fh_hw_find(dev, FH_NO_PASID);
    if (hw && !(state->flags & FAKEHOST_DEV_IN_RESET)) {
        state->hw_pt_id = hw->pt_id;
    }
    state->pasids = dev->nr_pasids;
}
