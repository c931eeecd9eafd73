/*
 * Fakehost: what Linux's SMMUv3 driver accepts and refuses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakehost-model.h"

/* Identification registers: SMMUv3 architecture, 6.3.1 to 6.3.6 */
#define IDR0_S2P            (1u << 0)
#define IDR0_S1P            (1u << 1)
#define IDR0_COHACC         (1u << 4)
#define IDR0_HTTU(r)        (((r) >> 6) & 3)
#define IDR0_HTTU_DIRTY     2
#define IDR0_ATS            (1u << 10)
#define IDR0_ASID16         (1u << 12)
#define IDR1_SSIDSIZE(r)    (((r) >> 6) & 0x1f)
#define IDR3_FWB            (1u << 8)
#define IDR3_RIL            (1u << 10)
#define IDR5_OAS(r)         ((r) & 7)
#define IDR5_DS             (1u << 7)

/* Stream table entry: 5.2. What a nested one may have is the kernel's choice */
#define STE0_V              (1ull << 0)
#define STE0_CFG(w)         (((w) >> 1) & 7)
#define STE0_CFG_ABORT      0
#define STE0_CFG_BYPASS     4
#define STE0_CFG_S1         5
#define STE0_ALLOWED        0xf80fffffffffffffull   /* S1CDMax, ContextPtr */
#define STE1_EATS(w)        (((w) >> 28) & 3)
#define STE1_EATS_TRANS     1
#define STE1_ALLOWED        0x380000ffull           /* EATS, STALLD, S1* */

/* Commands: 4.3 to 4.5 */
#define CMD_OP(c)           ((c)[0] & 0xff)
#define CMD_CFGI_CD         0x05
#define CMD_CFGI_CD_ALL     0x06
#define CMD_TLBI_NH_ALL     0x10
#define CMD_TLBI_NH_ASID    0x11
#define CMD_TLBI_NH_VA      0x12
#define CMD_TLBI_NH_VAA     0x13
#define CMD_TLBI_NSNH_ALL   0x30
#define CMD_ATC_INV         0x40
#define CMD_OP_BITS         0xffull
#define CMD_SSV             (1ull << 11)
#define CMD_GLOBAL          (1ull << 9)
#define CMD_SSID            0xfffff000ull
#define CMD_SID             0xffffffff00000000ull
#define CMD_VMID            0x0000ffff00000000ull
#define CMD_NUM             0x1f000ull
#define CMD_SCALE           0x3f00000ull
#define CMD_SCALE_NO_DS     0x1f00000ull
#define CMD_LEAF            (1ull << 0)
#define CMD_TTL(c)          (((c)[1] >> 8) & 3)
#define CMD_TG(c)           (((c)[1] >> 10) & 3)
#define CMD_TTL_TG          0xf00ull
#define CMD_ADDR            0xfffffffffffff000ull
#define CMD_ATC_SIZE        0x3full
#define CMD_ATC_SIZE_ALL    52

/* Flag of what GET_HW_INFO reports: TLBI and CFGI have to be given twice */
#define ERRATA_REPEAT_TLBI_CFGI 1

/* The kernel issues commands in blocks of so many */
#define CMD_BLOCK           63

static uint32_t smmu_idr(const FhIommu *iommu, unsigned n)
{
    return iommu->smmu.idr[n];
}

static bool smmu_nests(const FhIommu *iommu)
{
    return (smmu_idr(iommu, 0) & (IDR0_S1P | IDR0_S2P)) ==
           (IDR0_S1P | IDR0_S2P);
}

static bool smmu_parse(FhIommu *iommu, const char *key, uint64_t value)
{
    if (!strncmp(key, "idr", 3) && key[3] >= '0' && key[3] <= '5' && !key[4]) {
        iommu->smmu.idr[key[3] - '0'] = value;
    } else if (!strcmp(key, "iidr")) {
        iommu->smmu.iidr = value;
    } else if (!strcmp(key, "aidr")) {
        iommu->smmu.aidr = value;
    } else if (!strcmp(key, "errata")) {
        iommu->smmu.flags = value;
    } else if (!strcmp(key, "canwbs")) {
        iommu->canwbs = value;
    } else if (!strcmp(key, "contiguous")) {
        iommu->contiguous = value;
    } else {
        return fh_cmdqv_parse(iommu, key, value);
    }
    return true;
}

static void smmu_hw_info(FhIommu *iommu, uint32_t *type, const void **data,
                         uint32_t *len)
{
    if (*type == FH_HW_INFO_TEGRA241_CMDQV && iommu->cmdqv.version) {
        *data = &iommu->cmdqv;
        *len = sizeof(iommu->cmdqv);
        return;
    }
    *type = FH_HW_INFO_ARM_SMMUV3;
    *data = &iommu->smmu;
    *len = sizeof(iommu->smmu);
}

static bool smmu_can_track_dirty(FhIommu *iommu)
{
    return IDR0_HTTU(smmu_idr(iommu, 0)) == IDR0_HTTU_DIRTY &&
           smmu_idr(iommu, 0) & IDR0_COHACC;
}

static bool smmu_can_enforce_coherence(FhIommu *iommu)
{
    return iommu->canwbs;
}

static int smmu_alloc_paging(FhHwpt *hwpt, uint32_t flags)
{
    static const uint8_t oas[8] = { 32, 36, 40, 42, 44, 48, 52, 52 };
    FhIommu *iommu = hwpt->iommu;
    bool s1 = smmu_idr(iommu, 0) & IDR0_S1P;
    uint8_t oas_bits = oas[IDR5_OAS(smmu_idr(iommu, 5))];

    switch (flags) {
    case 0:
        break;
    case FH_HWPT_NEST_PARENT:
        /* With nothing else, dirty tracking and PASID included */
        if (!smmu_nests(iommu)) {
            return -EOPNOTSUPP;
        }
        s1 = false;
        break;
    case FH_HWPT_DIRTY_TRACKING:
    case FH_HWPT_DIRTY_TRACKING | FH_HWPT_PASID:
    case FH_HWPT_PASID:
        if (!s1) {
            return -EOPNOTSUPP;
        }
        break;
    default:
        return -EOPNOTSUPP;
    }
    hwpt->dirty = flags & FH_HWPT_DIRTY_TRACKING;
    hwpt->width = s1 ? 48 : oas_bits;
    hwpt->pgsizes = FH_PAGE_SIZE;
    return 0;
}

static int smmu_alloc_nested(FhHwpt *hwpt, uint32_t flags, uint32_t type,
                             const void *data, uint32_t len)
{
    struct fh_hwpt_arm_smmuv3 *ste = &hwpt->ste;
    unsigned cfg, eats;

    /* Nested tables belong to a vIOMMU here, not to the parent alone */
    if (!hwpt->viommu || flags) {
        return -EOPNOTSUPP;
    }
    if (type != FH_DATA_ARM_SMMUV3 || len != sizeof(*ste)) {
        return -EINVAL;
    }
    if (!data) {
        return -EFAULT;
    }
    memcpy(ste, data, sizeof(*ste));
    if (!(ste->ste[0] & STE0_V)) {
        memset(ste, 0, sizeof(*ste));
        return 0;
    }
    if (ste->ste[0] & ~STE0_ALLOWED || ste->ste[1] & ~STE1_ALLOWED) {
        return -EIO;
    }
    cfg = STE0_CFG(ste->ste[0]);
    eats = STE1_EATS(ste->ste[1]);
    if ((cfg != STE0_CFG_ABORT && cfg != STE0_CFG_BYPASS &&
         cfg != STE0_CFG_S1) || eats > STE1_EATS_TRANS) {
        return -EIO;
    }
    return 0;
}

/* Unlike on VT-d, a failure comes before the hardware is touched */
static int smmu_attach(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid, FhOld *old)
{
    FhIommu *iommu = idev->dev->iommu;
    unsigned cfg;

    *old = FH_OLD_KEPT;
    if (hwpt->obj.type == FAKEHOST_OBJ_HWPT_PAGING) {
        return hwpt->iommu == iommu ? 0 : -EINVAL;
    }
    if (pasid != FH_NO_PASID) {
        return -EOPNOTSUPP;
    }
    if (hwpt->viommu->iommu != iommu) {
        return -EINVAL;
    }
    cfg = STE0_CFG(hwpt->ste.ste[0]);
    if (cfg != STE0_CFG_ABORT && cfg != STE0_CFG_BYPASS &&
        (!idev->vdev || idev->vdev->viommu != hwpt->viommu)) {
        return -ENOENT;
    }
    return 0;
}

static bool smmu_has_viommu(FhIommu *iommu, uint32_t type)
{
    return (type == FH_VIOMMU_TYPE_ARM_SMMUV3 ||
            (type == FH_VIOMMU_TYPE_TEGRA241_CMDQV && iommu->cmdqv.version)) &&
           smmu_nests(iommu) &&
           (iommu->canwbs || smmu_idr(iommu, 3) & IDR3_FWB);
}

/* The plain type does not look at data, if there is any */
static int smmu_viommu_init(FhViommu *viommu,
                            const struct fh_iommu_viommu_alloc *cmd)
{
    return cmd->type == FH_VIOMMU_TYPE_TEGRA241_CMDQV
        ? fh_cmdqv_viommu_init(viommu, cmd) : 0;
}

static int smmu_vdevice_init(FhVdevice *vdev)
{
    if (vdev->viommu->type == FH_VIOMMU_TYPE_TEGRA241_CMDQV) {
        return fh_cmdqv_vdevice_init(vdev);
    }
    return vdev->idev->dev->streams == 1 ? 0 : -EOPNOTSUPP;
}

static bool smmu_range_ok(const FhIommu *iommu, const uint64_t cmd[2])
{
    bool range = cmd[0] & (CMD_NUM | CMD_SCALE);

    if (!CMD_TG(cmd)) {
        return !range && !CMD_TTL(cmd);
    }
    if (CMD_TG(cmd) == 2 && CMD_TTL(cmd) == 1 &&
        !(smmu_idr(iommu, 5) & IDR5_DS)) {
        return false;
    }
    return range || CMD_TTL(cmd);
}

/* The bits that a guest may set in each command; false: none, not even it */
static bool smmu_cmd_allowed(const FhIommu *iommu, const uint64_t cmd[2],
                             uint64_t allowed[2])
{
    uint64_t asid = smmu_idr(iommu, 0) & IDR0_ASID16 ? 0xffffull << 48
                                                     : 0xffull << 48;
    bool ssid = IDR1_SSIDSIZE(smmu_idr(iommu, 1));

    allowed[0] = CMD_OP_BITS;
    allowed[1] = 0;
    switch (CMD_OP(cmd)) {
    case CMD_TLBI_NSNH_ALL:
        return true;
    case CMD_TLBI_NH_VA:
    case CMD_TLBI_NH_VAA:
        if (smmu_idr(iommu, 3) & IDR3_RIL) {
            allowed[0] |= CMD_NUM | (smmu_idr(iommu, 5) & IDR5_DS
                                     ? CMD_SCALE : CMD_SCALE_NO_DS);
            allowed[1] |= CMD_TTL_TG;
            if (!smmu_range_ok(iommu, cmd)) {
                return false;
            }
        }
        allowed[0] |= CMD_VMID | (CMD_OP(cmd) == CMD_TLBI_NH_VA ? asid : 0);
        allowed[1] |= CMD_LEAF | CMD_ADDR;
        return true;
    case CMD_TLBI_NH_ASID:
        allowed[0] |= CMD_VMID | asid;
        return true;
    case CMD_TLBI_NH_ALL:
        allowed[0] |= CMD_VMID;
        return true;
    case CMD_ATC_INV:
        allowed[0] |= CMD_SID | (ssid ? CMD_SSV | CMD_SSID | CMD_GLOBAL : 0);
        allowed[1] |= CMD_ATC_SIZE | CMD_ADDR;
        return smmu_idr(iommu, 0) & IDR0_ATS &&
               (cmd[1] & CMD_ATC_SIZE) <= CMD_ATC_SIZE_ALL;
    case CMD_CFGI_CD:
        allowed[0] |= CMD_SID | (ssid ? CMD_SSID : 0);
        allowed[1] |= CMD_LEAF;
        return true;
    case CMD_CFGI_CD_ALL:
        allowed[0] |= CMD_SID;
        return true;
    default:
        return false;
    }
}

static int smmu_check_cmd(FhViommu *viommu, const uint64_t cmd[2])
{
    uint64_t allowed[2];
    uint32_t vsid = cmd[0] >> 32;

    if (!smmu_cmd_allowed(viommu->iommu, cmd, allowed) ||
        cmd[0] & ~allowed[0] || cmd[1] & ~allowed[1]) {
        return -EIO;
    }
    switch (CMD_OP(cmd)) {
    case CMD_ATC_INV:
    case CMD_CFGI_CD:
    case CMD_CFGI_CD_ALL:
        return fh_viommu_has_vdevice(viommu, vsid) ? 0 : -EIO;
    default:
        return 0;
    }
}

/*
 * With the erratum, TLBI and CFGI are done when the same ones come again in the
 * next call. Anything else that comes instead finds them not done.
 */
static void smmu_need_twice(FhIommu *iommu,
                            const struct fh_iommu_hwpt_invalidate *cmd,
                            uint32_t num)
{
    const char *entries = (const char *)(uintptr_t)cmd->data_uptr;
    uint64_t (*now)[2] = calloc(num ? num : 1, sizeof(*now));
    uint32_t nr = 0;

    for (uint32_t i = 0; i < num; i++) {
        memcpy(now[nr], entries + (size_t)i * cmd->entry_len, sizeof(*now));
        nr += CMD_OP(now[nr]) != CMD_ATC_INV;
    }
    if (nr && nr == iommu->nr_once &&
        !memcmp(now, iommu->once, nr * sizeof(*now))) {
        fh_control()->unrepeated -= nr;
        nr = 0;
    } else {
        fh_control()->unrepeated += nr;
    }
    free(iommu->once);
    iommu->once = now;
    iommu->nr_once = nr;
}

/*
 * On an error the kernel counts the commands that it has converted, although
 * those of the last block were not issued: FakehostControl.executed tells what
 * really was.
 */
static int smmu_invalidate(FhHwpt *hwpt, FhViommu *viommu,
                           struct fh_iommu_hwpt_invalidate *cmd)
{
    const char *entries = (const char *)(uintptr_t)cmd->data_uptr;
    uint32_t num = cmd->entry_num, issued = 0, i;
    int err = 0;

    cmd->entry_num = 0;
    if (!viommu) {
        return -EOPNOTSUPP;
    }
    if (cmd->data_type != FH_INVALIDATE_ARM_SMMUV3 || !num) {
        return -EINVAL;
    }
    /* All are read before the first is looked at */
    for (i = 0; i < num; i++) {
        const char *p = entries + (size_t)i * cmd->entry_len;

        for (uint32_t n = sizeof(uint64_t[2]); n < cmd->entry_len; n++) {
            if (p[n]) {
                return -E2BIG;
            }
        }
    }
    for (i = 0; i < num; i++) {
        const char *p = entries + (size_t)i * cmd->entry_len;
        uint64_t c[2] = { 0 };

        memcpy(c, p, cmd->entry_len < sizeof(c) ? cmd->entry_len : sizeof(c));
        err = smmu_check_cmd(viommu, c);
        if (err) {
            break;
        }
        if (i + 1 - issued == CMD_BLOCK || i + 1 == num) {
            issued = i + 1;
        }
    }
    cmd->entry_num = i;
    fh_control()->executed += issued;
    if (viommu->iommu->smmu.flags & ERRATA_REPEAT_TLBI_CFGI) {
        smmu_need_twice(viommu->iommu, cmd, issued);
    }
    return err;
}

const FhVendor fh_vendor_smmuv3 = {
    .name = "smmuv3",
    .parse = smmu_parse,
    .hw_info = smmu_hw_info,
    .can_track_dirty = smmu_can_track_dirty,
    .can_enforce_coherence = smmu_can_enforce_coherence,
    .alloc_paging = smmu_alloc_paging,
    .alloc_nested = smmu_alloc_nested,
    .attach = smmu_attach,
    .has_viommu = smmu_has_viommu,
    .viommu_init = smmu_viommu_init,
    .vdevice_init = smmu_vdevice_init,
    .invalidate = smmu_invalidate,
    .msi_start = 0x08000000,
    .msi_last = 0x080fffff,
    .msi_mapped = true,
};
