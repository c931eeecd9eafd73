/*
 * SMMUv3 on the host SMMU: what the guest's stream table asks for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/dma.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-ste.h"

/* The target is SMMUV3_ACCEL_ABORT until something else is found */

static bool smmuv3_accel_bad(SMMUv3AccelTarget *t, SMMUEventType event,
                             const char *reason)
{
    t->event = event;
    t->reason = reason;
    return false;
}

static bool smmuv3_accel_read_table(hwaddr addr, uint64_t *words, size_t num,
                                    SMMUv3AccelTarget *t)
{
    if (dma_memory_read(&address_space_memory, addr, words,
                        num * sizeof(words[0]), SMMU_MEM_ATTRS)) {
        t->addr = addr;
        return smmuv3_accel_bad(t, SMMU_EVT_F_STE_FETCH,
                                "its stream table entry is not in memory");
    }
    for (size_t i = 0; i < num; i++) {
        words[i] = le64_to_cpu(words[i]);
    }
    return true;
}

/* The address of a level of the table is aligned to its size (6.3.24) */
static hwaddr smmuv3_accel_align_base(SMMUv3State *s, unsigned int bits)
{
    return s->strtab_base & SMMU_BASE_ADDR_MASK & (UINT64_MAX << bits);
}

static bool smmuv3_accel_find_2lvl(SMMUv3State *s, uint32_t sid,
                                   unsigned int log2size, hwaddr *addr,
                                   SMMUv3AccelTarget *t)
{
    unsigned int split = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG,
                                    SPLIT);
    unsigned int span;
    uint64_t desc;

    /* Other values behave like this one */
    if (split != 8 && split != 10) {
        split = 6;
    }
    *addr = smmuv3_accel_align_base(s, log2size > split + 3 ?
                                       log2size - split + 3 : 6);
    *addr += (sid >> split) * L1STD_SIZE;
    if (!smmuv3_accel_read_table(*addr, &desc, 1, t)) {
        return false;
    }

    span = L1STD_SPAN_BITS(desc);
    if (!span) {
        /* No such stream: the hardware reports an access by it */
        return false;
    }
    if (span > split + 1) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STREAMID, "its level 1 "
                                "stream table descriptor has a bad span");
    }
    sid &= MAKE_64BIT_MASK(0, split);
    if (sid >> (span - 1)) {
        return false;
    }
    *addr = (L1STD_L2PTR(desc) & (UINT64_MAX << (span + 5))) + sid * STE_SIZE;
    return true;
}

static bool smmuv3_accel_find_ste(SMMUv3State *s, uint32_t sid, hwaddr *addr,
                                  SMMUv3AccelTarget *t)
{
    unsigned int fmt = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG, FMT);
    unsigned int log2size = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG,
                                       LOG2SIZE);

    log2size = MIN(log2size, SMMU_IDR1_SIDSIZE);
    if (sid >> log2size) {
        return false;
    }
    switch (fmt) {
    case STRTAB_FMT_LINEAR:
        *addr = smmuv3_accel_align_base(s, log2size + 6) + sid * STE_SIZE;
        return true;
    case STRTAB_FMT_2LVL:
        return smmuv3_accel_find_2lvl(s, sid, log2size, addr, t);
    default:
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STREAMID,
                                "the stream table has a reserved format");
    }
}

/* An entry with stage 1: is it legal for what the guest was told (5.2) */
static bool smmuv3_accel_check_s1(SMMUv3Accel *accel, const uint64_t *ste,
                                  SMMUv3AccelTarget *t)
{
    unsigned int cdmax = STE0_S1CDMAX(ste[0]);
    unsigned int eats = STE1_EATS(ste[1]);

    if (cdmax > accel->features.ssidsize) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has more substreams than SSIDSIZE");
    }
    if (cdmax && STE0_S1FMT(ste[0])) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has a two-level CD table");
    }
    if (cdmax && STE1_S1DSS(ste[1]) == STE_S1DSS_RESERVED) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has a reserved S1DSS");
    }
    if (accel->features.ats && eats > STE_EATS_FULL) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has an EATS that needs stage 2");
    }
    return true;
}

/* ATS takes the guest, the host SMMU and the device */
static bool smmuv3_accel_has_ats(SMMUv3AccelStream *st)
{
    HostIOMMUDeviceCaps *caps = &HOST_IOMMU_DEVICE(st->host.hiodi)->caps;

    return st->accel->features.ats &&
           FIELD_EX32(caps->vendor_caps.smmuv3.idr[0], IDR0, ATS) &&
           !(caps->hw_caps & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
}

/*
 * The guest was told that faults never stall a transaction, and nobody would
 * resume one.  A host SMMU that can stall has to treat a CD that asks for it as
 * illegal, like an SMMU that cannot (SMMUv3 5.5).
 */
static uint64_t smmuv3_accel_stalld(SMMUv3AccelStream *st)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(st->host.hiodi);
    uint32_t idr0 = hiod->caps.vendor_caps.smmuv3.idr[0];

    return FIELD_EX32(idr0, IDR0, STALL_MODEL) == IDR0_STALL_NONE ?
           0 : STE1_S1STALLD;
}

static void smmuv3_accel_decode_ste(SMMUv3AccelStream *st, const uint64_t *ste,
                                    SMMUv3AccelTarget *t)
{
    unsigned int cfg = STE0_CFG(ste[0]);

    if (!(ste[0] & STE0_V) || STE_CFG_ABORT(cfg)) {
        return;
    }
    if (cfg == STE_CFG_BYPASS_ALL) {
        t->kind = SMMUV3_ACCEL_BYPASS;
    } else if (cfg != STE_CFG_S1_ONLY) {
        smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry asks "
                         "for stage 2, which is not advertised");
    } else if (smmuv3_accel_check_s1(st->accel, ste, t)) {
        t->kind = SMMUV3_ACCEL_S1;
        t->ste[0] = ste[0] & STE0_NESTED;
        t->ste[1] = (ste[1] & STE1_NESTED) | smmuv3_accel_stalld(st);
        if (!smmuv3_accel_has_ats(st)) {
            t->ste[1] &= ~STE1_EATS_MASK;
        }
    }
}

void smmuv3_accel_ste_read(SMMUv3AccelStream *st, uint32_t sid,
                           SMMUv3AccelTarget *t)
{
    SMMUv3State *s = st->accel->s;
    uint64_t ste[2];
    hwaddr addr;

    *t = (SMMUv3AccelTarget) { .kind = SMMUV3_ACCEL_ABORT };
    if (!smmu_enabled(s)) {
        if (!FIELD_EX32(s->gbpa, GBPA, ABORT)) {
            t->kind = SMMUV3_ACCEL_BYPASS;
        }
        return;
    }
    if (smmuv3_accel_find_ste(s, sid, &addr, t) &&
        smmuv3_accel_read_table(addr, ste, ARRAY_SIZE(ste), t)) {
        smmuv3_accel_decode_ste(st, ste, t);
    }
}
