/*
 * SMMUv3: substreams of emulated devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "hw/pci/pci.h"
#include "smmuv3-substream.h"
#include "trace.h"

#define SSIDSIZE_MAX            20

/* STE.S1Fmt (SMMUv3 5.2) */
enum { S1FMT_LINEAR, S1FMT_4K, S1FMT_64K, S1FMT_RESERVED };
/* STE.S1DSS: requests without SSID */
enum { S1DSS_TERMINATE, S1DSS_BYPASS, S1DSS_SSID0, S1DSS_RESERVED };

/* Level 1 context descriptor (SMMUv3 5.3) */
#define L1CD_V                  BIT_ULL(0)
#define L1CD_L2PTR(w, bits)     ((w) & MAKE_64BIT_MASK(bits, 52 - (bits)))
#define L2_BITS_4K              12
#define L2_BITS_64K             16
#define CD_SIZE_BITS            6

/* --- address spaces by PASID --- */

/*
 * So many of a device exist at a time, whatever PASIDs a guest lets it use.
 * Each is used for the PASIDs of one remainder.
 */
AddressSpace *smmu_pasid_address_space(PCIDevice *dev, uint32_t pasid)
{
    MemoryRegion *mr = pci_device_iommu_address_space(dev)->root;
    SMMUDevice *sdev, **slot, *sub;
    SMMUState *s;

    if (!object_dynamic_cast(OBJECT(mr), TYPE_SMMUV3_IOMMU_MEMORY_REGION)) {
        return NULL;
    }
    sdev = container_of(IOMMU_MEMORY_REGION(mr), SMMUDevice, iommu);
    s = sdev->smmu;
    if (!ARM_SMMUV3(s)->x_ssidsize) {
        return NULL;
    }
    slot = &sdev->substreams[pasid % SMMU_SUBSTREAMS];
    sub = *slot;
    if (!sub) {
        g_autofree char *name = g_strdup_printf("%s-substream-%02x.%x-%u",
                                                s->mrtypename,
                                                PCI_SLOT(sdev->devfn),
                                                PCI_FUNC(sdev->devfn),
                                                pasid % SMMU_SUBSTREAMS);

        sub = *slot = g_new0(SMMUDevice, 1);
        sub->smmu = s;
        sub->bus = sdev->bus;
        sub->devfn = sdev->devfn;
        sub->ssv = true;
        memory_region_init_iommu(&sub->iommu, sizeof(sub->iommu),
                                 s->mrtypename, OBJECT(s), name, UINT64_MAX);
        address_space_init(&sub->as, MEMORY_REGION(&sub->iommu), name);
    } else if (sub->ssid != pasid) {
        WITH_QEMU_LOCK_GUARD(&ARM_SMMUV3(s)->mutex) {
            g_hash_table_remove(s->configs, sub);
        }
        /* Nor may a device keep translations, which were of another PASID */
        memory_region_notify_iommu(&sub->iommu, 0, (IOMMUTLBEvent) {
            .type = IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
            .entry.target_as = &address_space_memory,
            .entry.addr_mask = HWADDR_MAX,
        });
    }
    sub->ssid = pasid;
    return &sub->as;
}

bool smmuv3_substream_check_props(SMMUv3State *s, Error **errp)
{
    if (s->x_cd2l && !s->x_ssidsize) {
        error_setg(errp, "x-cd2l=on needs x-ssidsize=");
        return false;
    }
    if (!s->x_ssidsize) {
        return true;
    }
    if (s->x_ssidsize > SSIDSIZE_MAX) {
        error_setg(errp, "x-ssidsize=%u is not possible: use 0 to %u",
                   s->x_ssidsize, SSIDSIZE_MAX);
        return false;
    }
    if (s->accel) {
        error_setg(errp, "x-ssidsize= is for an SMMU that emulates: use "
                   "ssidsize= with accel=on");
        return false;
    }
    if (!g_strcmp0(s->stage, "2")) {
        error_setg(errp, "x-ssidsize= needs stage 1, but stage is 2");
        return false;
    }
    return true;
}

void smmuv3_substream_init_regs(SMMUv3State *s)
{
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, CD2L, s->x_cd2l);
    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, SSIDSIZE, s->x_ssidsize);
}

/* --- CD tables --- */

bool smmuv3_substream_check_ste(SMMUv3State *s, const STE *ste)
{
    unsigned int cdmax = STE_S1CDMAX(ste), fmt = STE_S1FMT(ste);
    const char *wrong = NULL;

    if (!cdmax) {
        return true;
    }
    if (cdmax > s->x_ssidsize) {
        wrong = "more substreams than SSIDSIZE";
    } else if (fmt != S1FMT_LINEAR && (fmt == S1FMT_RESERVED || !s->x_cd2l)) {
        wrong = "a format of its CD table that is not supported";
    } else if (STE_S1DSS(ste) == S1DSS_RESERVED) {
        wrong = "a reserved S1DSS";
    }
    if (wrong) {
        qemu_log_mask(LOG_GUEST_ERROR, "SMMUv3 STE has %s\n", wrong);
    }
    return !wrong;
}

static bool smmuv3_substream_bad(SMMUEventInfo *event, SMMUEventType type,
                                 uint32_t ssid)
{
    event->type = type;
    if (type == SMMU_EVT_C_BAD_SUBSTREAMID) {
        event->u.c_bad_substream.ssid = ssid;
    }
    return false;
}

bool smmuv3_substream_select(const SMMUDevice *sdev, const STE *ste,
                             SMMUTransCfg *cfg, uint32_t *ssid,
                             SMMUEventInfo *event)
{
    unsigned int cdmax = STE_S1CDMAX(ste);
    bool stage1 = STE_CFG_S1_ENABLED(STE_CONFIG(ste));

    *ssid = 0;
    if (cfg->aborted) {
        return true;
    }
    if (sdev->ssv) {
        *ssid = sdev->ssid;
        if (!stage1 || !cdmax || *ssid >> cdmax) {
            return smmuv3_substream_bad(event, SMMU_EVT_C_BAD_SUBSTREAMID,
                                        *ssid);
        }
        if (!*ssid && STE_S1DSS(ste) == S1DSS_SSID0) {
            /* Its CD is that of requests without SSID */
            return smmuv3_substream_bad(event, SMMU_EVT_F_STREAM_DISABLED, 0);
        }
        return true;
    }
    if (!stage1 || !cdmax) {
        return true;
    }
    switch (STE_S1DSS(ste)) {
    case S1DSS_TERMINATE:
        return smmuv3_substream_bad(event, SMMU_EVT_F_STREAM_DISABLED, 0);
    case S1DSS_BYPASS:
        cfg->stage &= ~SMMU_STAGE_1;
        cfg->bypassed = !cfg->stage;
        break;
    default:
        break;
    }
    return true;
}

bool smmuv3_substream_find_cd(SMMUv3State *s, const STE *ste,
                              SMMUTransCfg *cfg, uint32_t ssid,
                              dma_addr_t *addr, SMMUEventInfo *event)
{
    unsigned int l2_bits = L2_BITS_64K;
    dma_addr_t base = STE_CTXPTR(ste);
    uint64_t desc;

    /* S1Fmt is ignored where there is one CD */
    if (!STE_S1CDMAX(ste) || STE_S1FMT(ste) == S1FMT_LINEAR) {
        *addr = base + ((uint64_t)ssid << CD_SIZE_BITS);
        return true;
    }
    if (STE_S1FMT(ste) == S1FMT_4K) {
        l2_bits = L2_BITS_4K;
    }
    if (smmuv3_read_cd_table(s, cfg, base + (ssid >> (l2_bits - CD_SIZE_BITS)) *
                             sizeof(desc), &desc, sizeof(desc), event)) {
        return false;
    }
    desc = le64_to_cpu(desc);
    trace_smmuv3_get_l1cd(ssid, desc);
    if (!(desc & L1CD_V)) {
        return smmuv3_substream_bad(event, SMMU_EVT_C_BAD_SUBSTREAMID, ssid);
    }
    *addr = L1CD_L2PTR(desc, l2_bits) +
            ((uint64_t)extract32(ssid, 0, l2_bits - CD_SIZE_BITS)
             << CD_SIZE_BITS);
    return true;
}

/* --- events and commands --- */

void smmuv3_substream_event(Evt *evt, const SMMUEventInfo *info)
{
    /* That of C_BAD_SUBSTREAMID is always valid, without a flag */
    if (info->ssv && info->type != SMMU_EVT_C_BAD_SUBSTREAMID) {
        EVT_SET_SSV(evt, 1);
        EVT_SET_SSID(evt, info->ssid);
    }
}

void smmuv3_substream_flush(SMMUv3State *s, SMMUDevice *sdev, const Cmd *cmd)
{
    GHashTable *configs = s->smmu_state.configs;
    bool one = CMD_TYPE(cmd) == SMMU_CMD_CFGI_CD && s->x_ssidsize;
    uint32_t ssid = CMD_SSID(cmd);

    /* CD 0 may be that of requests without SSID */
    if (!one || !ssid) {
        trace_smmu_config_cache_inv(smmu_get_sid(sdev));
        g_hash_table_remove(configs, sdev);
    }
    for (unsigned int i = 0; i < SMMU_SUBSTREAMS; i++) {
        SMMUDevice *sub = sdev->substreams[i];

        if (sub && (!one || sub->ssid == ssid)) {
            g_hash_table_remove(configs, sub);
        }
    }
}
