/*
 * SMMUv3: address translation services (ATS) of emulated devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "hw/pci/pci_bus.h"
#include "smmuv3-ats.h"
#include "trace.h"

/* STE.EATS (SMMUv3 5.2).  Split-stage ATS, 2, needs IDR0.NS1ATS=0 */
enum { EATS_ABORT, EATS_FULL };

/* CMD_ATC_INV (SMMUv3 4.5.1) */
#define CMD_ATC_GLOBAL(x)       extract32((x)->word[0], 9, 1)
#define CMD_ATC_SIZE(x)         extract32((x)->word[2], 0, 6)
#define CMD_ATC_ADDR(x)         ((uint64_t)(x)->word[3] << 32 | (x)->word[2])
#define ATC_SIZE_ALL            52      /* log2 of pages of 4 KiB */
#define ATC_PAGE_BITS           12

bool smmuv3_ats_realize(SMMUv3State *s, Error **errp)
{
    if (!s->x_ats) {
        return true;
    }
    if (s->accel) {
        error_setg(errp, "x-ats=on is for an SMMU that emulates: use ats= "
                   "with accel=on");
        return false;
    }
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ATS, 1);
    /* A device is answered through both stages, or not at all */
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, NS1ATS, 1);
    return true;
}

bool smmuv3_ats_check_ste(SMMUv3State *s, const STE *ste)
{
    if (!s->x_ats || STE_EATS(ste) <= EATS_FULL) {
        return true;
    }
    /* What is reserved is taken for illegal, so that nobody relies on it */
    qemu_log_mask(LOG_GUEST_ERROR, "SMMUv3 STE has an EATS of %u, which is "
                  "not supported\n", STE_EATS(ste));
    return false;
}

void smmuv3_ats_decode(SMMUv3State *s, const STE *ste, SMMUTransCfg *cfg)
{
    /* Where nothing translates, perhaps because of S1DSS, there is no ATS */
    cfg->ats = s->x_ats && !cfg->aborted && !cfg->bypassed &&
               STE_EATS(ste) == EATS_FULL;
}

/* --- what devices ask --- */

IOMMUMemoryRegion *smmu_ats_region(PCIDevice *dev, uint32_t pasid)
{
    AddressSpace *as = pci_device_iommu_address_space(dev);
    SMMUDevice *sdev;

    if (!object_dynamic_cast(OBJECT(as->root),
                             TYPE_SMMUV3_IOMMU_MEMORY_REGION)) {
        return NULL;
    }
    sdev = container_of(IOMMU_MEMORY_REGION(as->root), SMMUDevice, iommu);
    if (!ARM_SMMUV3(sdev->smmu)->x_ats) {
        return NULL;
    }
    if (pasid != PCI_NO_PASID) {
        as = smmu_pasid_address_space(dev, pasid);
    }
    return as ? IOMMU_MEMORY_REGION(as->root) : NULL;
}

static SMMUEventInfo smmuv3_ats_event(const SMMUDevice *sdev)
{
    return (SMMUEventInfo) {
        .type = SMMU_EVT_NONE,
        .sid = smmu_get_sid((SMMUDevice *)sdev),
        .ssv = sdev->ssv,
        .ssid = sdev->ssid,
    };
}

/* Under the mutex.  @event: set to what the guest is to be told */
static SMMUAtsResult smmuv3_ats_lookup(SMMUv3State *s, SMMUDevice *sdev,
                                       hwaddr addr, IOMMUAccessFlags access,
                                       IOMMUTLBEntry *entry,
                                       SMMUEventInfo *event)
{
    /* IDR0.ATSRECERR is 0: other errors are not recorded (SMMUv3 3.9.1.2) */
    SMMUEventInfo unrecorded = smmuv3_ats_event(sdev);
    SMMUTransCfg *cfg;
    SMMUTLBEntry *found;

    if (!smmu_enabled(s)) {
        return SMMU_ATS_REFUSED;
    }
    cfg = smmuv3_get_config(sdev, &unrecorded);
    if (!cfg || cfg->aborted) {
        return SMMU_ATS_REFUSED;
    }
    if (!cfg->ats) {
        event->type = SMMU_EVT_F_BAD_ATS_TREQ;
        event->u.f_bad_ats_treq.addr = addr;
        return SMMU_ATS_REFUSED;
    }
    if (smmuv3_do_translate(s, addr, cfg, &unrecorded, access, &found,
                            SMMU_CLASS_IN) != SMMU_TRANS_SUCCESS) {
        /* What a table denies is an answer, a table out of reach is not */
        return unrecorded.type == SMMU_EVT_F_WALK_EABT ? SMMU_ATS_REFUSED :
                                                         SMMU_ATS_MISS;
    }
    *entry = found->entry;
    entry->translated_addr = CACHED_ENTRY_TO_ADDR(found, addr);
    return SMMU_ATS_DONE;
}

SMMUAtsResult smmu_ats_translate(IOMMUMemoryRegion *mr, hwaddr addr,
                                 bool is_write, hwaddr *translated)
{
    SMMUDevice *sdev = container_of(mr, SMMUDevice, iommu);
    SMMUv3State *s = sdev->smmu;
    SMMUEventInfo event = smmuv3_ats_event(sdev);
    IOMMUTLBEntry entry = { 0 };
    SMMUAtsResult result;

    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        result = smmuv3_ats_lookup(s, sdev, addr, is_write ? IOMMU_WO :
                                   IOMMU_RO, &entry, &event);
    }
    trace_smmuv3_ats_translate(event.sid, sdev->ssv, sdev->ssid, addr,
                               entry.translated_addr, entry.addr_mask,
                               entry.perm, result);
    smmuv3_record_event(s, &event);
    *translated = entry.translated_addr;
    return result;
}

bool smmu_ats_access_allowed(IOMMUMemoryRegion *mr, hwaddr addr, bool is_write)
{
    SMMUDevice *sdev = container_of(mr, SMMUDevice, iommu);
    SMMUv3State *s = sdev->smmu;
    SMMUEventInfo event = smmuv3_ats_event(sdev);
    bool allowed = false;

    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        SMMUTransCfg *cfg;

        if (!smmu_enabled(s)) {
            break;
        }
        if (!FIELD_EX32(s->cr[0], CR0, ATSCHK)) {
            allowed = true;
            break;
        }
        /* What is wrong with the configuration is recorded, as it is else */
        cfg = smmuv3_get_config(sdev, &event);
        allowed = cfg && cfg->ats;
        if (cfg && !cfg->ats && !cfg->aborted) {
            event.type = SMMU_EVT_F_TRANS_FORBIDDEN;
            event.u.f_transl_forbidden.addr = addr;
            event.u.f_transl_forbidden.rnw = !is_write;
        }
    }
    smmuv3_record_event(s, &event);
    return allowed;
}

/* --- what software says --- */

static void smmuv3_ats_invalidate(SMMUDevice *sdev, hwaddr addr, hwaddr mask)
{
    IOMMUTLBEvent event = {
        .type = IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
        .entry = {
            .target_as = &address_space_memory,
            .iova = addr,
            .addr_mask = mask,
            .perm = IOMMU_NONE,
        },
    };

    memory_region_notify_iommu(&sdev->iommu, 0, event);
}

SMMUCmdError smmuv3_ats_command(SMMUv3State *s, const Cmd *cmd)
{
    uint32_t sid = CMD_SID(cmd), ssid = CMD_SSID(cmd);
    unsigned int size = CMD_ATC_SIZE(cmd);
    bool ssv = CMD_SSV(cmd) && s->x_ssidsize;   /* reserved without */
    SMMUDevice *sdev;
    hwaddr mask;

    if (!s->x_ats) {
        trace_smmuv3_unhandled_cmd(CMD_TYPE(cmd));
        return SMMU_CERROR_NONE;
    }
    if (CMD_SSEC(cmd) || size > ATC_SIZE_ALL) {
        return SMMU_CERROR_ILL;
    }
    trace_smmuv3_cmdq_atc_inv(sid, ssv, ssid, CMD_ATC_GLOBAL(cmd),
                              CMD_ATC_ADDR(cmd), size);
    sdev = sid >> SMMU_IDR1_SIDSIZE ? NULL : smmu_find_sdev(ARM_SMMU(s), sid);
    if (!sdev) {
        return SMMU_CERROR_NONE;
    }
    mask = MAKE_64BIT_MASK(0, ATC_PAGE_BITS + size);
    if (!ssv) {
        smmuv3_ats_invalidate(sdev, CMD_ATC_ADDR(cmd) & ~mask, mask);
        return SMMU_CERROR_NONE;
    }
    for (unsigned int i = 0; i < SMMU_SUBSTREAMS; i++) {
        SMMUDevice *sub = sdev->substreams[i];

        if (sub && (CMD_ATC_GLOBAL(cmd) || sub->ssid == ssid)) {
            smmuv3_ats_invalidate(sub, CMD_ATC_ADDR(cmd) & ~mask, mask);
        }
    }
    return SMMU_CERROR_NONE;
}
