/*
 * Fakehost: page tables, vIOMMUs and the queues that belong to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fakehost-model.h"

static FhIdev *fh_get_idev(FhCtx *ctx, uint32_t id)
{
    return fh_obj_get(ctx, id, FAKEHOST_OBJ_DEVICE);
}

static uint64_t fh_aperture_last(const FhHwpt *hwpt)
{
    /* A first-stage table reaches the lower canonical half only */
    uint8_t bits = hwpt->first_stage ? hwpt->width - 1 : hwpt->width;

    return bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
}

/* VT-d with erratum 772415 may write to what is read-only in a parent */
static bool fh_hwpt_no_readonly(const FhHwpt *hwpt)
{
    return hwpt->nest_parent && hwpt->iommu->vendor == &fh_vendor_vtd &&
           hwpt->iommu->vtd.flags & FH_HW_INFO_VTD_ERRATA_772415;
}

/* Fill the new table with what the IOAS maps, or find that it cannot be */
static int fh_hwpt_join_ioas(FhHwpt *hwpt)
{
    uint64_t last = fh_aperture_last(hwpt);
    FhIoas *ioas = hwpt->ioas;
    int err;

    if (fh_hwpt_no_readonly(hwpt) && fh_ioas_has_readonly(ioas)) {
        return -EINVAL;
    }
    err = fh_ioas_check_pin(ioas);
    if (!err && last != UINT64_MAX) {
        err = fh_ioas_reserve(ioas, last + 1, UINT64_MAX, hwpt);
    }
    if (err) {
        return err;
    }
    ioas->nr_hwpts++;
    ioas->nr_no_readonly += fh_hwpt_no_readonly(hwpt);
    ioas->obj.users++;
    return 0;
}

/*
 * Undo what allocation did to other objects. Runs when the object goes, so
 * nothing may be dropped that a failed allocation never took: those fields are
 * cleared there.
 */
void fh_hwpt_release(FhHwpt *hwpt)
{
    fh_pages_clear(&hwpt->dirty_pages);
    if (hwpt->ioas) {
        FhIoas *ioas = hwpt->ioas;

        fh_ioas_unreserve(ioas, hwpt);
        ioas->nr_hwpts--;
        ioas->nr_no_readonly -= fh_hwpt_no_readonly(hwpt);
        ioas->obj.users--;
    }
    if (hwpt->viommu) {
        hwpt->viommu->obj.users--;
    } else if (hwpt->parent) {
        hwpt->parent->obj.users--;
    }
    if (hwpt->fault) {
        hwpt->fault->obj.users--;
    }
}

static FhHwpt *fh_hwpt_alloc_paging(FhIoas *ioas, FhIdev *idev,
                                    const struct fh_iommu_hwpt_alloc *cmd,
                                    int *err)
{
    const uint32_t valid = FH_HWPT_NEST_PARENT | FH_HWPT_DIRTY_TRACKING |
                           FH_HWPT_FAULT_ID_VALID | FH_HWPT_PASID;
    FhIommu *iommu = idev->dev->iommu;
    const FhVendor *vendor = iommu->vendor;
    FhHwpt *hwpt;

    *err = -EOPNOTSUPP;
    if (cmd->flags & ~valid ||
        ((cmd->flags & FH_HWPT_DIRTY_TRACKING) &&
         !vendor->can_track_dirty(iommu)) ||
        ((cmd->flags & FH_HWPT_FAULT_ID_VALID) &&
         (cmd->flags & FH_HWPT_NEST_PARENT)) ||
        cmd->data_len) {
        return NULL;
    }
    hwpt = fh_obj_new(ioas->obj.ctx, FAKEHOST_OBJ_HWPT_PAGING, sizeof(*hwpt));
    hwpt->iommu = iommu;
    hwpt->ioas = ioas;
    hwpt->nest_parent = cmd->flags & FH_HWPT_NEST_PARENT;
    hwpt->pasid_compat = cmd->flags & FH_HWPT_PASID;
    *err = vendor->alloc_paging(hwpt, cmd->flags & ~FH_HWPT_FAULT_ID_VALID);
    if (!*err) {
        hwpt->force_coherence = vendor->can_enforce_coherence(iommu);
        *err = fh_hwpt_join_ioas(hwpt);
    }
    if (*err) {
        hwpt->ioas = NULL;
        fh_obj_free(&hwpt->obj);
        return NULL;
    }
    return hwpt;
}

FhHwpt *fh_hwpt_new_auto(FhIoas *ioas, FhIdev *idev, int *err)
{
    const struct fh_iommu_hwpt_alloc cmd = { .flags = 0 };
    FhHwpt *hwpt = fh_hwpt_alloc_paging(ioas, idev, &cmd, err);

    if (hwpt) {
        hwpt->auto_domain = true;
    }
    return hwpt;
}

static FhHwpt *fh_hwpt_alloc_nested(FhHwpt *parent, FhViommu *viommu,
                                    FhIdev *idev,
                                    const struct fh_iommu_hwpt_alloc *cmd,
                                    int *err)
{
    FhIommu *iommu = idev->dev->iommu;
    FhHwpt *hwpt;

    *err = -EOPNOTSUPP;
    if (cmd->flags & ~(FH_HWPT_FAULT_ID_VALID | FH_HWPT_PASID) ||
        !cmd->data_len || !iommu->vendor->alloc_nested) {
        return NULL;
    }
    *err = -EINVAL;
    if (parent->auto_domain || !parent->nest_parent ||
        parent->iommu->vendor != iommu->vendor) {
        return NULL;
    }
    hwpt = fh_obj_new(idev->obj.ctx, FAKEHOST_OBJ_HWPT_NESTED, sizeof(*hwpt));
    hwpt->iommu = iommu;
    hwpt->parent = parent;
    hwpt->viommu = viommu;
    hwpt->pasid_compat = cmd->flags & FH_HWPT_PASID;
    if (viommu) {
        viommu->obj.users++;
    } else {
        parent->obj.users++;
    }
    *err = iommu->vendor->alloc_nested(hwpt,
                                       cmd->flags & ~FH_HWPT_FAULT_ID_VALID,
                                       cmd->data_type,
                                       (void *)(uintptr_t)cmd->data_uptr,
                                       cmd->data_len);
    if (*err) {
        fh_obj_free(&hwpt->obj);
        return NULL;
    }
    return hwpt;
}

static FhHwpt *fh_hwpt_alloc_on(FhObj *pt, FhIdev *idev,
                                const struct fh_iommu_hwpt_alloc *cmd,
                                int *err)
{
    FhViommu *viommu;

    switch (pt->type) {
    case FAKEHOST_OBJ_IOAS:
        return fh_hwpt_alloc_paging((FhIoas *)pt, idev, cmd, err);
    case FAKEHOST_OBJ_HWPT_PAGING:
        return fh_hwpt_alloc_nested((FhHwpt *)pt, NULL, idev, cmd, err);
    case FAKEHOST_OBJ_VIOMMU:
        viommu = (FhViommu *)pt;
        *err = -EINVAL;
        if (viommu->iommu != idev->dev->iommu) {
            return NULL;
        }
        return fh_hwpt_alloc_nested(viommu->parent, viommu, idev, cmd, err);
    default:
        *err = -EINVAL;
        return NULL;
    }
}

int fh_hwpt_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_hwpt_alloc *cmd = arg;
    FhHwpt *hwpt;
    FhIdev *idev;
    FhObj *pt;
    int err;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if ((cmd->data_type == FH_DATA_NONE) != !cmd->data_len) {
        return -EINVAL;
    }
    idev = fh_get_idev(ctx, cmd->dev_id);
    if (!idev) {
        return -ENOENT;
    }
    pt = fh_obj_get(ctx, cmd->pt_id, FAKEHOST_OBJ_NONE);
    if (!pt) {
        return -EINVAL;
    }
    hwpt = fh_hwpt_alloc_on(pt, idev, cmd, &err);
    if (!hwpt) {
        return err;
    }
    if (cmd->flags & FH_HWPT_FAULT_ID_VALID) {
        FhFault *fault = fh_obj_get(ctx, cmd->fault_id, FAKEHOST_OBJ_FAULT);

        if (!fault) {
            fh_obj_free(&hwpt->obj);
            return -ENOENT;
        }
        hwpt->fault = fault;
        fault->obj.users++;
    }
    cmd->out_hwpt_id = hwpt->obj.id;
    return 0;
}

int fh_hwpt_invalidate(FhCtx *ctx, void *arg)
{
    struct fh_iommu_hwpt_invalidate *cmd = arg;
    uint32_t num = cmd->entry_num;
    FhHwpt *hwpt = NULL;
    FhViommu *viommu = NULL;
    FhIommu *iommu;
    FhObj *pt;
    int err;

    /* The output, should it not come to more */
    cmd->entry_num = 0;
    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (num && (!cmd->data_uptr || !cmd->entry_len ||
                cmd->entry_len > FH_PAGE_SIZE ||
                num > FH_INVALIDATE_ENTRIES_MAX)) {
        return -EINVAL;
    }
    pt = fh_obj_get(ctx, cmd->hwpt_id, FAKEHOST_OBJ_NONE);
    if (!pt) {
        return -ENOENT;
    }
    if (pt->type == FAKEHOST_OBJ_HWPT_NESTED) {
        hwpt = (FhHwpt *)pt;
        iommu = hwpt->iommu;
    } else if (pt->type == FAKEHOST_OBJ_VIOMMU) {
        viommu = (FhViommu *)pt;
        iommu = viommu->iommu;
    } else {
        return -EINVAL;
    }
    if (!iommu->vendor->invalidate) {
        return -EOPNOTSUPP;
    }
    cmd->entry_num = num;
    err = iommu->vendor->invalidate(hwpt, viommu, cmd);
    if (!err && hwpt) {
        hwpt->invalidations++;
    }
    return err;
}

int fh_hw_info(FhCtx *ctx, void *arg)
{
    struct fh_iommu_hw_info *cmd = arg;
    uint32_t want = FH_HW_INFO_DEFAULT, type = 0, len = 0, n;
    const void *data = NULL;
    FhVfioDev *dev;
    FhIdev *idev;
    char *user = (char *)(uintptr_t)cmd->data_uptr;

    if (cmd->flags & ~FH_HW_INFO_FLAG_INPUT_TYPE || cmd->__reserved[0] ||
        cmd->__reserved[1] || cmd->__reserved[2]) {
        return -EOPNOTSUPP;
    }
    if (cmd->flags & FH_HW_INFO_FLAG_INPUT_TYPE) {
        want = cmd->data_type;
    }
    idev = fh_get_idev(ctx, cmd->dev_id);
    if (!idev) {
        return -ENOENT;
    }
    dev = idev->dev;
    type = want;
    dev->iommu->vendor->hw_info(dev->iommu, &type, &data, &len);
    /* Where there is no driver to ask, the answer is: nothing */
    if (want != FH_HW_INFO_DEFAULT && type && want != type) {
        return -EOPNOTSUPP;
    }
    n = cmd->data_len < len ? cmd->data_len : len;
    if (cmd->data_len && !user) {
        return -EFAULT;
    }
    if (n) {
        memcpy(user, data, n);
    }
    if (n < cmd->data_len) {
        memset(user + n, 0, cmd->data_len - n);
    }
    cmd->data_type = type;
    cmd->data_len = len;
    cmd->out_capabilities = 0;
    if (dev->iommu->vendor->can_track_dirty(dev->iommu)) {
        cmd->out_capabilities |= FH_HW_CAP_DIRTY_TRACKING;
    }
    if (!dev->ats) {
        cmd->out_capabilities |= FH_HW_CAP_ATS_NOT_SUPPORTED;
    }
    if (dev->pasid_bits && dev->pasid_exec) {
        cmd->out_capabilities |= FH_HW_CAP_PCI_PASID_EXEC;
    }
    if (dev->pasid_bits && dev->pasid_priv) {
        cmd->out_capabilities |= FH_HW_CAP_PCI_PASID_PRIV;
    }
    cmd->out_max_pasid_log2 = dev->pasid_bits;
    return 0;
}

int fh_viommu_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_viommu_alloc *cmd = arg;
    FhViommu *viommu;
    FhHwpt *hwpt;
    FhIdev *idev;
    FhIommu *iommu;
    int err = 0;

    if (cmd->flags || !cmd->type) {
        return -EOPNOTSUPP;
    }
    idev = fh_get_idev(ctx, cmd->dev_id);
    if (!idev) {
        return -ENOENT;
    }
    iommu = idev->dev->iommu;
    if (!iommu->vendor->has_viommu ||
        !iommu->vendor->has_viommu(iommu, cmd->type)) {
        return -EOPNOTSUPP;
    }
    hwpt = fh_obj_get(ctx, cmd->hwpt_id, FAKEHOST_OBJ_HWPT_PAGING);
    if (!hwpt) {
        return -ENOENT;
    }
    if (!hwpt->nest_parent || hwpt->iommu != iommu) {
        return -EINVAL;
    }
    viommu = fh_obj_new(ctx, FAKEHOST_OBJ_VIOMMU, sizeof(*viommu));
    viommu->iommu = iommu;
    viommu->parent = hwpt;
    viommu->type = cmd->type;
    viommu->regs_fd = -1;
    hwpt->obj.users++;
    if (iommu->vendor->viommu_init) {
        err = iommu->vendor->viommu_init(viommu, cmd);
    }
    if (err) {
        fh_obj_free(&viommu->obj);
        return err;
    }
    cmd->out_viommu_id = viommu->obj.id;
    return 0;
}

bool fh_viommu_has_vdevice(const FhViommu *viommu, uint64_t virt_id)
{
    FhCtx *ctx = viommu->obj.ctx;

    for (uint32_t id = 1; id < ctx->room; id++) {
        FhVdevice *vdev = fh_obj_get(ctx, id, FAKEHOST_OBJ_VDEVICE);

        if (vdev && vdev->viommu == viommu && vdev->virt_id == virt_id) {
            return true;
        }
    }
    return false;
}

int fh_vdevice_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_vdevice_alloc *cmd = arg;
    FhViommu *viommu;
    FhVdevice *vdev;
    FhIdev *idev;
    int err = 0;

    viommu = fh_obj_get(ctx, cmd->viommu_id, FAKEHOST_OBJ_VIOMMU);
    idev = fh_get_idev(ctx, cmd->dev_id);
    if (!viommu || !idev) {
        return -ENOENT;
    }
    if (viommu->iommu != idev->dev->iommu) {
        return -EINVAL;
    }
    if (idev->vdev || fh_viommu_has_vdevice(viommu, cmd->virt_id)) {
        return -EEXIST;
    }
    vdev = fh_obj_new(ctx, FAKEHOST_OBJ_VDEVICE, sizeof(*vdev));
    vdev->viommu = viommu;
    vdev->idev = idev;
    vdev->virt_id = cmd->virt_id;
    viommu->obj.users++;
    idev->vdev = vdev;
    if (viommu->iommu->vendor->vdevice_init) {
        err = viommu->iommu->vendor->vdevice_init(vdev);
    }
    if (err) {
        fh_obj_free(&vdev->obj);
        return err;
    }
    cmd->out_vdevice_id = vdev->obj.id;
    return 0;
}

/*
 * A queue is a FIFO in the directory FAKEHOST_EVENTS, called KIND-ID, into
 * which a test writes what the kernel would: headers and events. One read takes
 * as many of them as fit. Our own end keeps it from ever being at its end.
 */
static int fh_queue_open(const char *kind, uint32_t id, int *write_fd,
                         uint32_t *user_fd)
{
    const char *dir = getenv("FAKEHOST_EVENTS");
    char path[256];
    int fds[2];

    if (!dir) {
        if (pipe2(fds, O_CLOEXEC)) {
            return -errno;
        }
        *user_fd = fds[0];
        *write_fd = fds[1];
        return 0;
    }
    snprintf(path, sizeof(path), "%s/%s-%u", dir, kind, id);
    if (mkfifo(path, 0600) && errno != EEXIST) {
        return -errno;
    }
    /* The user's end comes first, and is the only one that can be read */
    fds[0] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fds[0] < 0) {
        return -errno;
    }
    fds[1] = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fds[1] < 0 || fcntl(fds[0], F_SETFL, O_RDONLY)) {
        int err = errno;

        fh_close(fds[0]);
        fh_queue_close(fds[1]);
        return -err;
    }
    *user_fd = fds[0];
    *write_fd = fds[1];
    return 0;
}

int fh_veventq_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_veventq_alloc *cmd = arg;
    FhViommu *viommu;
    FhVeventq *veventq;
    int err;

    if (cmd->flags || cmd->__reserved || !cmd->type) {
        return -EOPNOTSUPP;
    }
    if (!cmd->veventq_depth || cmd->veventq_depth > FH_VEVENTQ_MAX_DEPTH) {
        return -EINVAL;
    }
    viommu = fh_obj_get(ctx, cmd->viommu_id, FAKEHOST_OBJ_VIOMMU);
    if (!viommu) {
        return -ENOENT;
    }
    for (uint32_t id = 1; id < ctx->room; id++) {
        FhVeventq *other = fh_obj_get(ctx, id, FAKEHOST_OBJ_VEVENTQ);

        if (other && other->viommu == viommu && other->type == cmd->type) {
            return -EEXIST;
        }
    }
    veventq = fh_obj_new(ctx, FAKEHOST_OBJ_VEVENTQ, sizeof(*veventq));
    veventq->viommu = viommu;
    veventq->type = cmd->type;
    veventq->depth = cmd->veventq_depth;
    veventq->write_fd = -1;
    viommu->obj.users++;
    err = fh_queue_open("veventq", veventq->obj.id, &veventq->write_fd,
                        &cmd->out_veventq_fd);
    if (err) {
        fh_obj_free(&veventq->obj);
        return err;
    }
    cmd->out_veventq_id = veventq->obj.id;
    return 0;
}

int fh_fault_alloc(FhCtx *ctx, void *arg)
{
    struct fh_iommu_fault_alloc *cmd = arg;
    FhFault *fault;
    struct stat st;
    int err;

    if (cmd->flags) {
        return -EOPNOTSUPP;
    }
    fault = fh_obj_new(ctx, FAKEHOST_OBJ_FAULT, sizeof(*fault));
    fault->write_fd = -1;
    err = fh_queue_open("fault", fault->obj.id, &fault->write_fd,
                        &cmd->out_fault_fd);
    if (err) {
        fh_obj_free(&fault->obj);
        return err;
    }
    if (!fh_fstat(cmd->out_fault_fd, &st)) {
        fault->ino = st.st_ino;
    }
    cmd->out_fault_id = fault->obj.id;
    return 0;
}
