/*
 * Intel VT-d: reading the tables of a guest in legacy mode
 *
 * The tables are walked here and not by the notifiers of intel_iommu.c: a walk
 * has to have a bound, and the main loop its turn meanwhile.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "intel_iommu_accel_legacy_tables.h"
#include "intel_iommu_accel_tables.h"

/* The translation type of a context entry (VT-d 9.3) */
static bool vtd_accel_legacy_has_type(IntelIOMMUState *s, uint64_t type)
{
    switch (type) {
    case VTD_CONTEXT_TT_MULTI_LEVEL:
        return true;
    case VTD_CONTEXT_TT_DEV_IOTLB:
        return s->ecap & VTD_ECAP_DT;
    case VTD_CONTEXT_TT_PASS_THROUGH:
        return s->ecap & VTD_ECAP_PT;
    default:
        return false;
    }
}

bool vtd_accel_legacy_read_context(VTDAccelDevice *dev,
                                   VTDAccelLegacyContext *ctx,
                                   VTDAccelTarget *t)
{
    IntelIOMMUState *s = dev->s;
    uint16_t sid = vtd_accel_source_id(dev);
    uint64_t re[2], ce[2], type;
    uint32_t aw;

    /* An entry that is not present blocks without a message */
    vtd_accel_target_block(t, NULL);
    if (!vtd_accel_read(s, s->root + (sid >> 8) * sizeof(re), re, 2)) {
        t->reason = "root table is not in guest memory";
        return false;
    }
    if (!(re[0] & VTD_ROOT_ENTRY_P)) {
        return false;
    }
    if (re[1] || re[0] & VTD_ROOT_ENTRY_RSVD(s->aw_bits)) {
        t->reason = "root entry has reserved bits set";
        return false;
    }

    if (!vtd_accel_read(s, (re[0] & VTD_ROOT_ENTRY_CTP) +
                        (sid & 0xff) * VTD_CTX_ENTRY_LEGACY_SIZE, ce, 2)) {
        t->reason = "context table is not in guest memory";
        return false;
    }
    if (!(ce[0] & VTD_CONTEXT_ENTRY_P)) {
        return false;
    }
    if (ce[1] & VTD_CONTEXT_ENTRY_RSVD_HI ||
        ce[0] & VTD_CONTEXT_ENTRY_RSVD_LO(s->aw_bits)) {
        t->reason = "context entry has reserved bits set";
        return false;
    }

    /* AW is in the units of CAP.SAGAW: 1 for 3 levels, 2 for 4 */
    aw = ce[1] & VTD_CONTEXT_ENTRY_AW;
    if (!(s->cap & VTD_CAP_SAGAW_MASK & 1ULL << (aw + VTD_CAP_SAGAW_SHIFT))) {
        t->reason = "context entry has an address width that is not advertised";
        return false;
    }
    type = ce[0] & VTD_CONTEXT_ENTRY_TT;
    if (!vtd_accel_legacy_has_type(s, type)) {
        t->reason = "context entry has a translation type that is not "
                    "advertised";
        return false;
    }

    ctx->pass_through = type == VTD_CONTEXT_TT_PASS_THROUGH;
    ctx->domain_id = VTD_CONTEXT_ENTRY_DID(ce[1]);
    ctx->pgtbl_addr = ce[0] & VTD_CONTEXT_ENTRY_SLPTPTR;
    ctx->levels = aw + 2;
    return true;
}

/* Reserved bits of an entry (VT-d 9.8): hardware refuses it */
static bool vtd_accel_legacy_reserved(IntelIOMMUState *s, uint64_t pte,
                                      unsigned int level, bool leaf)
{
    X86IOMMUState *x86_iommu = X86_IOMMU_DEVICE(s);
    bool tm = x86_iommu->dt_supported && s->stale_tm;
    uint64_t mask;

    if (level == VTD_PT_LEVEL) {
        mask = VTD_SPTE_PAGE_L1_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PD_LEVEL && leaf) {
        mask = VTD_SPTE_LPAGE_L2_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PDP_LEVEL && leaf) {
        mask = VTD_SPTE_LPAGE_L3_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PML4_LEVEL) {
        mask = VTD_SPTE_PAGE_L4_RSVD_MASK(s->aw_bits);
    } else {
        mask = VTD_SPTE_PAGE_L3_RSVD_MASK(s->aw_bits);
    }
    /* Snoop control is ignored by leaf entries in scalable-mode hardware */
    if (leaf) {
        mask &= ~VTD_SPTE_SNP;
    }
    return pte & mask;
}

bool vtd_accel_legacy_walk(VTDAccelLegacyWalk *w, hwaddr table,
                           unsigned int level, uint64_t start, uint64_t last,
                           uint8_t perm)
{
    IntelIOMMUState *s = w->s;
    unsigned int shift = VTD_PAGE_SHIFT + (level - 1) * VTD_LEVEL_BITS;
    uint64_t size = 1ULL << shift;
    uint64_t iova = ROUND_DOWN(start, size);
    unsigned int num = (last >> shift) - (start >> shift) + 1;
    unsigned int first = (start >> shift) & (VTD_PT_ENTRY_NR - 1);
    uint64_t ptes[VTD_PT_ENTRY_NR];

    if (!w->table(w, start, 1 + num / 16)) {
        return false;
    }
    if (!vtd_accel_read(s, table + first * sizeof(ptes[0]), ptes, num)) {
        return true;
    }

    for (unsigned int i = 0; i < num; i++, iova += size) {
        uint64_t pte = ptes[i];
        bool is_leaf = level == VTD_PT_LEVEL || pte & VTD_PT_PAGE_SIZE_MASK;
        VTDAccelLeaf leaf = {
            .iova = iova,
            .last = iova + size - 1,
            .gpa = pte & VTD_PT_BASE_ADDR_MASK(s->aw_bits),
            .perm = perm & pte & VTD_SL_RW_MASK,
        };
        bool ok;

        if (!leaf.perm || vtd_accel_legacy_reserved(s, pte, level, is_leaf)) {
            continue;
        }
        ok = is_leaf ? w->leaf(w, &leaf) :
             vtd_accel_legacy_walk(w, leaf.gpa, level - 1, MAX(start, iova),
                                   MIN(last, leaf.last), leaf.perm);
        if (!ok) {
            return false;
        }
    }
    return true;
}
