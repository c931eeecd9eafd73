/*
 * Fakehost: the iommufd ioctl entry.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakehost-model.h"

int fh_destroy(FhCtx *ctx, void *arg)
{
    struct iommu_destroy *cmd = arg;

    return fh_obj_destroy(ctx, cmd->id);
}

/* The memory accounting and the page sizes that it steers are not modelled */
int fh_option(FhCtx *ctx, void *arg)
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

/*
 * The rule for structures that grow: what the program has more than we know
 * must be zero, what it has less counts as zero.
 */
static int fh_copy_cmd(void *cmd, uint32_t size, const char *user,
                       uint32_t user_size)
{
    uint32_t both = size < user_size ? size : user_size;

    for (uint32_t i = both; i < user_size; i++) {
        if (user[i]) {
            return -E2BIG;
        }
    }
    memset(cmd, 0, size);
    memcpy(cmd, user, both);
    return 0;
}

int fh_iommufd_ioctl(FhCtx *ctx, const FhCall *call, void *arg)
{
    uint64_t cmd[16];
    uint32_t user_size;
    int err;

    if (!call->iommufd) {
        return -ENOTTY;
    }
    if (!arg) {
        return -EFAULT;
    }
    if (call->size > sizeof(cmd)) {
        abort();
    }
    memcpy(&user_size, arg, sizeof(user_size));
    if (user_size < call->min_size) {
        return -EINVAL;
    }
    err = fh_copy_cmd(cmd, call->size, arg, user_size);
    if (err) {
        return err;
    }
    err = call->iommufd(ctx, cmd);
    if (!err || call->flags & FH_CALL_ANSWERS) {
        memcpy(arg, cmd, user_size < call->size ? user_size : call->size);
    }
    return err;
}
