/*
 * Intel VT-d: host devices of a guest in legacy mode
 *
 * Such a guest has second-level tables, of which devices get a copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "intel_iommu_accel_bind.h"
#include "intel_iommu_accel_legacy.h"
#include "intel_iommu_accel_legacy_tables.h"
#include "intel_iommu_accel_shadow.h"
#include "intel_iommu_accel_tables.h"

typedef struct VTDAccelLegacyState {
    VTDAccelLegacy ops;
    VTDAccelShadowTable shadows;
} VTDAccelLegacyState;

/* VTDAccelDevice::legacy */
typedef struct VTDAccelLegacyDevice {
    VTDAccelLegacyContext context;  /* valid if @context_valid is set */
    bool again;             /* blocked, is to be tried again */
} VTDAccelLegacyDevice;

static VTDAccelLegacyState *vtd_accel_legacy(VTDAccel *accel)
{
    return container_of(accel->legacy, VTDAccelLegacyState, ops);
}

/*
 * Dirty tracking is not wanted as such, but it makes Linux use second-stage
 * tables, of the width that the guest's have: first-stage ones, which it
 * prefers, are one bit narrower.
 */
static uint32_t vtd_accel_legacy_hwpt_flags(HostIOMMUDeviceIOMMUFD *hiodi)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(hiodi);
    bool dirty = hiod->caps.hw_caps & IOMMU_HW_CAP_DIRTY_TRACKING;

    return (dirty ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
           (hiodi->pasid ? IOMMU_HWPT_ALLOC_PASID : 0);
}

static void vtd_accel_legacy_read(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    HostIOMMUDeviceIOMMUFD *hiodi = dev->host.hiodi;
    VTDAccelLegacyDevice *legacy = dev->legacy;
    const VTDAccelLegacyContext *ctx;

    if (!legacy) {
        dev->legacy = legacy = g_new0(VTDAccelLegacyDevice, 1);
    }
    ctx = &legacy->context;
    if (!dev->context_valid) {
        if (!vtd_accel_legacy_read_context(dev, &legacy->context, t)) {
            return;
        }
        dev->rid_pasid = 0;
        dev->pasid_enabled = false;
        dev->context_valid = true;
    }
    if (ctx->pass_through) {
        t->state = VTD_ACCEL_RAM;
        return;
    }

    t->state = VTD_ACCEL_TABLES;
    t->key = (VTDAccelKey) {
        .table = &vtd_accel_legacy(dev->s->accel)->shadows.table,
        .iommufd = hiodi->iommufd,
        .pgtbl_addr = ctx->pgtbl_addr,
        .levels = ctx->levels,
        .domain_id = ctx->domain_id,
        .guest_ram_id = hiodi->ioas_id,
        .hwpt_flags = vtd_accel_legacy_hwpt_flags(hiodi),
    };
}

static void vtd_accel_legacy_invalidate(VTDAccel *accel, int domain_id,
                                        uint64_t addr, uint8_t am)
{
    VTDAccelLegacyState *state = vtd_accel_legacy(accel);
    VTDAccelDevice *dev;

    vtd_accel_shadow_invalidate(&state->shadows, domain_id, addr, am);
    QLIST_FOREACH(dev, &accel->devices, next) {
        VTDAccelLegacyDevice *legacy = dev->legacy;

        if (dev->rid.state == VTD_ACCEL_BLOCKED && dev->context_valid &&
            legacy &&
            (domain_id < 0 || domain_id == legacy->context.domain_id)) {
            legacy->again = true;
            state->ops.unfinished = true;
        }
    }
}

static void vtd_accel_legacy_repair_device(VTDAccelLegacyState *state,
                                           VTDAccelDevice *dev)
{
    VTDAccelShadow *shadow = vtd_accel_shadow(&state->shadows, dev->rid.hwpt);
    VTDAccelLegacyDevice *legacy = dev->legacy;
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };

    if (shadow && shadow->failure && !shadow->complete) {
        /* A new copy would come to the same end */
        vtd_accel_abandon_rid(dev, shadow->failure);
    } else if ((legacy && legacy->again) || (shadow && shadow->failure)) {
        legacy->again = false;
        vtd_accel_read_rid(dev, &t);
        vtd_accel_apply_rid(dev, &t);
    }
}

static bool vtd_accel_legacy_finish(VTDAccel *accel)
{
    VTDAccelLegacyState *state = vtd_accel_legacy(accel);
    VTDAccelDevice *dev;

    while (state->ops.unfinished) {
        bool again;

        if (!vtd_accel_shadow_continue(&state->shadows, &again)) {
            return false;
        }
        state->ops.unfinished = again;
        QLIST_FOREACH(dev, &accel->devices, next) {
            vtd_accel_legacy_repair_device(state, dev);
        }
    }
    state->ops.unfinished = !vtd_accel_shadow_free_dead(&state->shadows);
    return !state->ops.unfinished || !vtd_accel_in_piece(&accel->work);
}

void vtd_accel_legacy_init(IntelIOMMUState *s)
{
    VTDAccelLegacyState *state;

    if (!s->accel) {
        return;
    }
    state = g_new0(VTDAccelLegacyState, 1);
    state->ops.read = vtd_accel_legacy_read;
    state->ops.invalidate = vtd_accel_legacy_invalidate;
    state->ops.finish = vtd_accel_legacy_finish;
    vtd_accel_shadow_table_init(&state->shadows, s);
    s->accel->legacy = &state->ops;
}
