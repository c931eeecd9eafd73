/*
 * Fakehost: the iommufd ioctl entry.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <string.h>
#include "fakehost-model.h"

typedef struct FhIommufdOp {
    unsigned long cmd;
    uint32_t size;
    uint32_t min_size;
    int (*execute)(FhCtx *ctx, void *cmd);
} FhIommufdOp;

static int fh_destroy(FhCtx *ctx, void *arg)
{
    struct iommu_destroy *cmd = arg;

    return fh_obj_destroy(ctx, cmd->id);
}

/* The memory accounting and the page sizes that it steers are not modelled */
static int fh_option(FhCtx *ctx, void *arg)
{
    struct iommu_option *cmd = arg;
    bool set = cmd->op == IOMMU_OPTION_OP_SET;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    switch (cmd->option_id) {
    case IOMMU_OPTION_RLIMIT_MODE:
        if (cmd->object_id) {
            return -EOPNOTSUPP;
        }
        if (set && fh_ctx_used(ctx)) {
            return -EBUSY;
        }
        break;
    case IOMMU_OPTION_HUGE_PAGES:
        if (!fh_obj_get(ctx, cmd->object_id, FAKEHOST_OBJ_IOAS)) {
            return -ENOENT;
        }
        break;
    default:
        return -EOPNOTSUPP;
    }
    if (set) {
        return cmd->val64 > 1 ? -EINVAL : 0;
    }
    if (cmd->op != IOMMU_OPTION_OP_GET) {
        return -EOPNOTSUPP;
    }
    cmd->val64 = cmd->option_id == IOMMU_OPTION_HUGE_PAGES;
    return 0;
}

#define OP(nr, fn, s, last) \
    { nr, sizeof(struct s), \
      offsetof(struct s, last) + sizeof(((struct s *)NULL)->last), fn }

static const FhIommufdOp fh_iommufd_ops[] = {
    OP(IOMMU_DESTROY, fh_destroy, iommu_destroy, id),
    OP(IOMMU_IOAS_ALLOC, fh_ioas_alloc, iommu_ioas_alloc, out_ioas_id),
    OP(IOMMU_IOAS_ALLOW_IOVAS, fh_ioas_allow_iovas, iommu_ioas_allow_iovas,
       allowed_iovas),
    OP(IOMMU_IOAS_COPY, fh_ioas_copy, iommu_ioas_copy, src_iova),
    OP(IOMMU_IOAS_IOVA_RANGES, fh_ioas_iova_ranges, iommu_ioas_iova_ranges,
       out_iova_alignment),
    OP(IOMMU_IOAS_MAP, fh_ioas_map, iommu_ioas_map, iova),
    OP(FH_IOMMU_IOAS_MAP_FILE, fh_ioas_map_file, fh_iommu_map_file, iova),
    OP(IOMMU_IOAS_UNMAP, fh_ioas_unmap, iommu_ioas_unmap, length),
    OP(IOMMU_OPTION, fh_option, iommu_option, val64),
    OP(FH_IOMMU_GET_HW_INFO, fh_hw_info, fh_iommu_hw_info, __reserved),
    OP(FH_IOMMU_HWPT_ALLOC, fh_hwpt_alloc, fh_iommu_hwpt_alloc, __reserved),
    OP(FH_IOMMU_HWPT_INVALIDATE, fh_hwpt_invalidate,
       fh_iommu_hwpt_invalidate, __reserved),
    OP(FH_IOMMU_SET_DIRTY_TRACKING, fh_hwpt_set_dirty,
       fh_iommu_set_dirty_tracking, __reserved),
    OP(FH_IOMMU_GET_DIRTY_BITMAP, fh_hwpt_get_dirty,
       fh_iommu_get_dirty_bitmap, data),
    OP(FH_IOMMU_FAULT_QUEUE_ALLOC, fh_fault_alloc, fh_iommu_fault_alloc,
       out_fault_fd),
    OP(FH_IOMMU_VIOMMU_ALLOC, fh_viommu_alloc, fh_iommu_viommu_alloc,
       out_viommu_id),
    OP(FH_IOMMU_VDEVICE_ALLOC, fh_vdevice_alloc, fh_iommu_vdevice_alloc,
       virt_id),
    OP(FH_IOMMU_VEVENTQ_ALLOC, fh_veventq_alloc, fh_iommu_veventq_alloc,
       out_veventq_fd),
};

union fh_iommufd_cmd {
    uint32_t size;
    struct iommu_destroy destroy;
    struct iommu_ioas_alloc ioas_alloc;
    struct iommu_ioas_allow_iovas allow_iovas;
    struct iommu_ioas_copy copy;
    struct iommu_ioas_iova_ranges ranges;
    struct iommu_ioas_map map;
    struct fh_iommu_map_file map_file;
    struct iommu_ioas_unmap unmap;
    struct iommu_option option;
    struct fh_iommu_hw_info hw_info;
    struct fh_iommu_hwpt_alloc hwpt_alloc;
    struct fh_iommu_hwpt_invalidate invalidate;
    struct fh_iommu_set_dirty_tracking set_dirty;
    struct fh_iommu_get_dirty_bitmap get_dirty;
    struct fh_iommu_fault_alloc fault;
    struct fh_iommu_viommu_alloc viommu;
    struct fh_iommu_vdevice_alloc vdevice;
    struct fh_iommu_veventq_alloc veventq;
};

/*
 * The rule for structures that grow: what the program has more than we know
 * must be zero, what it has less counts as zero.
 */
static int fh_copy_cmd(union fh_iommufd_cmd *cmd, uint32_t size,
                       const char *user, uint32_t user_size)
{
    uint32_t both = size < user_size ? size : user_size;

    for (uint32_t i = both; i < user_size; i++) {
        if (user[i]) {
            return -E2BIG;
        }
    }
    memset(cmd, 0, sizeof(*cmd));
    memcpy(cmd, user, both);
    return 0;
}

int fh_iommufd_ioctl(FhCtx *ctx, unsigned long nr, void *arg)
{
    const FhIommufdOp *op = NULL;
    union fh_iommufd_cmd cmd;
    uint32_t user_size;
    int err;

    for (size_t i = 0; i < FH_ARRAY_SIZE(fh_iommufd_ops); i++) {
        if (fh_iommufd_ops[i].cmd == nr) {
            op = &fh_iommufd_ops[i];
        }
    }
    if (!op) {
        return -ENOTTY;
    }
    if (!arg) {
        return -EFAULT;
    }
    memcpy(&user_size, arg, sizeof(user_size));
    if (user_size < op->min_size) {
        return -EINVAL;
    }
    err = fh_copy_cmd(&cmd, op->size, arg, user_size);
    if (err) {
        return err;
    }
    err = op->execute(ctx, &cmd);

    /*
     * Most calls answer only when they succeed. These two have an output that
     * is meant for the failure, too.
     */
    if (!err || nr == FH_IOMMU_HWPT_INVALIDATE ||
        (nr == IOMMU_IOAS_IOVA_RANGES && err == -EMSGSIZE)) {
        memcpy(arg, &cmd, user_size < op->size ? user_size : op->size);
    }
    return err;
}
