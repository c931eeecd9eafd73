/*
 * Fakehost: what Linux's VT-d driver accepts and refuses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <string.h>
#include "fakehost-model.h"

#define SZ_2M               (1ull << 21)
#define SZ_1G               (1ull << 30)

/* Capability registers: VT-d specification, 11.4.2 and 11.4.3 */
#define CAP_RWBF            (1ull << 4)
#define CAP_CM              (1ull << 7)
#define CAP_SAGAW(c)        (((c) >> 8) & 0x1f)
#define CAP_MGAW(c)         ((((c) >> 16) & 0x3f) + 1)
#define CAP_SSLPS(c)        (((c) >> 34) & 0xf)
#define CAP_FS1GP           (1ull << 56)
#define CAP_FS5LP           (1ull << 60)
#define ECAP_C              (1ull << 0)
#define ECAP_SC             (1ull << 7)
#define ECAP_NEST           (1ull << 26)
#define ECAP_PRS            (1ull << 29)
#define ECAP_SRS            (1ull << 31)
#define ECAP_EAFS           (1ull << 34)
#define ECAP_PASID          (1ull << 40)
#define ECAP_SMTS           (1ull << 43)
#define ECAP_SSADS          (1ull << 45)
#define ECAP_SSTS           (1ull << 46)
#define ECAP_FSTS           (1ull << 47)
#define ECAP_SMPWC          (1ull << 48)

/* The kernel reports the registers as they are, whatever it makes of them */
static bool vtd_ecap(const FhIommu *iommu, uint64_t bits)
{
    if (bits & ECAP_SMTS && iommu->sm_off) {
        return false;
    }
    return (iommu->vtd.ecap_reg & bits) == bits;
}

static bool vtd_cap(const FhIommu *iommu, uint64_t bits)
{
    return (iommu->vtd.cap_reg & bits) == bits;
}

static bool vtd_nests(const FhIommu *iommu)
{
    return vtd_ecap(iommu, ECAP_SMTS | ECAP_NEST);
}

/* Does the page walker of second-stage tables snoop the CPU's caches? */
static bool vtd_walk_coherent(const FhIommu *iommu)
{
    return vtd_ecap(iommu, vtd_ecap(iommu, ECAP_SMTS) ? ECAP_SMPWC : ECAP_C);
}

static bool vtd_parse(FhIommu *iommu, const char *key, uint64_t value)
{
    if (!strcmp(key, "cap")) {
        iommu->vtd.cap_reg = value;
    } else if (!strcmp(key, "ecap")) {
        iommu->vtd.ecap_reg = value;
    } else if (!strcmp(key, "errata")) {
        iommu->vtd.flags = value;
    } else if (!strcmp(key, "sm")) {
        iommu->sm_off = !value;
    } else {
        return false;
    }
    return true;
}

static void vtd_hw_info(FhIommu *iommu, uint32_t *type, const void **data,
                        uint32_t *len)
{
    *type = FH_HW_INFO_INTEL_VTD;
    *data = &iommu->vtd;
    *len = sizeof(iommu->vtd);
}

static bool vtd_can_track_dirty(FhIommu *iommu)
{
    return vtd_ecap(iommu, ECAP_SMTS | ECAP_SSADS | ECAP_SMPWC);
}

static bool vtd_can_enforce_coherence(FhIommu *iommu)
{
    return vtd_ecap(iommu, ECAP_SC);
}

static int vtd_alloc_first_stage(FhHwpt *hwpt, uint32_t flags)
{
    FhIommu *iommu = hwpt->iommu;
    uint8_t mgaw = CAP_MGAW(iommu->vtd.cap_reg);

    if (flags & ~FH_HWPT_PASID || !vtd_ecap(iommu, ECAP_SMTS | ECAP_FSTS)) {
        return -EOPNOTSUPP;
    }
    hwpt->first_stage = true;
    hwpt->width = mgaw > 48 && vtd_cap(iommu, CAP_FS5LP) ? 57 : 48;
    if (hwpt->width > mgaw) {
        hwpt->width = mgaw;
    }
    hwpt->incoherent_walk = !vtd_ecap(iommu, ECAP_SMPWC);
    hwpt->sync_map = vtd_cap(iommu, CAP_RWBF);
    hwpt->pgsizes = FH_PAGE_SIZE | SZ_2M;
    if (vtd_cap(iommu, CAP_FS1GP)) {
        hwpt->pgsizes |= SZ_1G;
    }
    return 0;
}

/* The widest table that MGAW and SAGAW both allow */
static uint8_t vtd_second_stage_width(const FhIommu *iommu)
{
    uint8_t mgaw = CAP_MGAW(iommu->vtd.cap_reg);
    uint8_t sagaw = CAP_SAGAW(iommu->vtd.cap_reg);
    uint8_t width = 0;

    if (mgaw > 48 && sagaw >= 1 << 3) {
        width = 57;
    } else if (mgaw > 39 && sagaw >= 1 << 2) {
        width = 48;
    } else if (mgaw > 30 && sagaw >= 1 << 1) {
        width = 39;
    }
    return mgaw < width ? mgaw : width;
}

static int vtd_alloc_second_stage(FhHwpt *hwpt, uint32_t flags)
{
    FhIommu *iommu = hwpt->iommu;
    uint8_t sslps = CAP_SSLPS(iommu->vtd.cap_reg);

    if (flags & ~(FH_HWPT_NEST_PARENT | FH_HWPT_DIRTY_TRACKING |
                  FH_HWPT_PASID) ||
        ((flags & FH_HWPT_NEST_PARENT) && !vtd_nests(iommu)) ||
        ((flags & FH_HWPT_DIRTY_TRACKING) && !vtd_can_track_dirty(iommu)) ||
        (vtd_ecap(iommu, ECAP_SMTS) && !vtd_ecap(iommu, ECAP_SSTS))) {
        return -EOPNOTSUPP;
    }
    hwpt->width = vtd_second_stage_width(iommu);
    if (!hwpt->width) {
        return -EOPNOTSUPP;
    }
    hwpt->dirty = flags & FH_HWPT_DIRTY_TRACKING;
    hwpt->incoherent_walk = !vtd_walk_coherent(iommu);
    hwpt->sync_map = vtd_cap(iommu, CAP_RWBF) || vtd_cap(iommu, CAP_CM);
    hwpt->pgsizes = FH_PAGE_SIZE;
    if (sslps & 1) {
        hwpt->pgsizes |= SZ_2M;
    }
    if (sslps & 2) {
        hwpt->pgsizes |= SZ_1G;
    }
    return 0;
}

static int vtd_alloc_paging(FhHwpt *hwpt, uint32_t flags)
{
    int err = vtd_alloc_first_stage(hwpt, flags);

    return err == -EOPNOTSUPP ? vtd_alloc_second_stage(hwpt, flags) : err;
}

static int vtd_alloc_nested(FhHwpt *hwpt, uint32_t flags, uint32_t type,
                            const void *data, uint32_t len)
{
    if (!vtd_nests(hwpt->iommu) || flags & ~FH_HWPT_PASID ||
        type != FH_DATA_VTD_S1) {
        return -EOPNOTSUPP;
    }
    if (hwpt->parent->first_stage || !hwpt->parent->nest_parent ||
        len != sizeof(hwpt->vtd)) {
        return -EINVAL;
    }
    if (!data) {
        return -EFAULT;
    }
    /* What the fields hold is looked at when a device is attached */
    memcpy(&hwpt->vtd, data, sizeof(hwpt->vtd));
    return 0;
}

/* Can this unit walk tables that were made for another one? */
static int vtd_paging_compatible(const FhHwpt *hwpt, const FhIommu *iommu)
{
    uint64_t cap = iommu->vtd.cap_reg;
    uint8_t level = hwpt->width > 48 ? 3 : hwpt->width > 39 ? 2 : 1;

    if (hwpt->first_stage) {
        if (!vtd_ecap(iommu, ECAP_SMTS | ECAP_FSTS) ||
            (!vtd_ecap(iommu, ECAP_SMPWC) && !hwpt->incoherent_walk) ||
            (!(cap & CAP_FS5LP) && hwpt->width > 48) ||
            (!(cap & CAP_FS1GP) && hwpt->pgsizes & SZ_1G) ||
            ((cap & CAP_RWBF) && !hwpt->sync_map)) {
            return -EINVAL;
        }
        return hwpt->force_coherence && !vtd_ecap(iommu, ECAP_SC) ? -EINVAL : 0;
    }
    if ((hwpt->dirty && !vtd_can_track_dirty((FhIommu *)iommu)) ||
        (hwpt->nest_parent && !vtd_nests(iommu)) ||
        (vtd_ecap(iommu, ECAP_SMTS) && !vtd_ecap(iommu, ECAP_SSTS)) ||
        (!vtd_walk_coherent(iommu) && !hwpt->incoherent_walk) ||
        CAP_MGAW(cap) < hwpt->width ||
        !(CAP_SAGAW(cap) & (1u << level)) ||
        (!(CAP_SSLPS(cap) & 1) && hwpt->pgsizes & SZ_2M) ||
        (!(CAP_SSLPS(cap) & 2) && hwpt->pgsizes & SZ_1G) ||
        ((cap & (CAP_RWBF | CAP_CM)) && !hwpt->sync_map) ||
        (hwpt->force_coherence && !vtd_ecap(iommu, ECAP_SC))) {
        return -EINVAL;
    }
    return 0;
}

/* What the driver checks when it writes the PASID entry */
static int vtd_setup_nested(const FhHwpt *hwpt, const FhIommu *iommu)
{
    if (hwpt->vtd.addr_width != 48 &&
        (hwpt->vtd.addr_width != 57 || !vtd_cap(iommu, CAP_FS5LP))) {
        return -EINVAL;
    }
    if ((hwpt->vtd.flags & FH_VTD_S1_SRE && !vtd_ecap(iommu, ECAP_SRS)) ||
        (hwpt->vtd.flags & FH_VTD_S1_EAFE && !vtd_ecap(iommu, ECAP_EAFS))) {
        return -EINVAL;
    }
    return 0;
}

static int vtd_attach(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid, FhOld *old)
{
    FhIommu *iommu = idev->dev->iommu;
    bool nested = hwpt->obj.type == FAKEHOST_OBJ_HWPT_NESTED;
    int err;

    *old = FH_OLD_KEPT;
    if (pasid != FH_NO_PASID && !vtd_ecap(iommu, ECAP_SMTS | ECAP_PASID)) {
        return -EOPNOTSUPP;
    }
    if (pasid == FH_NO_PASID) {
        /* Before anything is checked */
        *old = FH_OLD_BLOCKED;
    }
    err = vtd_paging_compatible(nested ? hwpt->parent : hwpt, iommu);
    if (!err && hwpt->fault &&
        !(idev->dev->pri == 1 && idev->dev->ats && vtd_ecap(iommu, ECAP_PRS))) {
        err = -ENODEV;
    }
    if (!err && nested) {
        *old = FH_OLD_BLOCKED;
        err = vtd_setup_nested(hwpt, iommu);
    }
    return err;
}

/* The driver knows one length, that of the structure in its header */
static int vtd_check_entry(const char *p, uint32_t len)
{
    struct fh_vtd_s1_invalidate inv;

    if (len != sizeof(inv)) {
        return -EINVAL;
    }
    memcpy(&inv, p, sizeof(inv));
    if (inv.flags & ~FH_VTD_INV_LEAF || inv.__reserved) {
        return -EOPNOTSUPP;
    }
    if (inv.addr & (FH_PAGE_SIZE - 1) ||
        (inv.npages == UINT64_MAX && inv.addr)) {
        return -EINVAL;
    }
    return 0;
}

static int vtd_invalidate(FhHwpt *hwpt, FhViommu *viommu,
                          struct fh_iommu_hwpt_invalidate *cmd)
{
    const char *entries = (const char *)(uintptr_t)cmd->data_uptr;
    uint32_t num = cmd->entry_num;

    cmd->entry_num = 0;
    if (viommu) {
        return -EOPNOTSUPP;
    }
    if (cmd->data_type != FH_INVALIDATE_VTD_S1) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < num; i++) {
        int err = vtd_check_entry(entries + (size_t)i * cmd->entry_len,
                                  cmd->entry_len);

        if (err) {
            return err;
        }
        cmd->entry_num++;
        fh_control()->executed++;
    }
    return 0;
}

const FhVendor fh_vendor_vtd = {
    .name = "vtd",
    .parse = vtd_parse,
    .hw_info = vtd_hw_info,
    .can_track_dirty = vtd_can_track_dirty,
    .can_enforce_coherence = vtd_can_enforce_coherence,
    .alloc_paging = vtd_alloc_paging,
    .alloc_nested = vtd_alloc_nested,
    .attach = vtd_attach,
    .blocks = true,
    .invalidate = vtd_invalidate,
    .msi_start = 0xfee00000,
    .msi_last = 0xfeefffff,
};
