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

/* The address of a level of the table is aligned to its size (6.3.24) */
void smmuv3_accel_table_init(SMMUv3Accel *accel, bool ahead)
{
    SMMUv3AccelTable *table = &accel->table;
    SMMUv3State *s = accel->s;
    unsigned int split = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG,
                                    SPLIT);
    unsigned int log2size = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG,
                                       LOG2SIZE);
    unsigned int align;

    table->format = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG, FMT);
    table->log2size = MIN(log2size, SMMU_IDR1_SIDSIZE);
    /* Other values behave like 6 */
    table->split = split != 8 && split != 10 ? 6 : split;
    if (table->format == STRTAB_FMT_LINEAR) {
        align = table->log2size + 6;
    } else if (table->log2size > table->split + 3) {
        align = table->log2size - table->split + 3;
    } else {
        align = 6;
    }
    table->base = s->strtab_base & SMMU_BASE_ADDR_MASK & (UINT64_MAX << align);
    table->ahead = ahead;
    table->level1.addr = table->entries.addr = HWADDR_MAX;
}

/* Returns @num words of the entry at @addr, or NULL with @t set */
static const uint64_t *smmuv3_accel_table_read(SMMUv3AccelTable *table,
                                               SMMUv3AccelPage *page,
                                               hwaddr addr, size_t num,
                                               SMMUv3AccelTarget *t)
{
    hwaddr start = QEMU_ALIGN_DOWN(addr, sizeof(page->words));
    uint64_t *words = &page->words[(addr - start) / sizeof(page->words[0])];

    if (page->addr == start) {
        return words;
    }
    page->addr = HWADDR_MAX;
    if (table->ahead &&
        !dma_memory_read(&address_space_memory, start, page->words,
                         sizeof(page->words), SMMU_MEM_ATTRS)) {
        page->addr = start;
    } else if (dma_memory_read(&address_space_memory, addr, words,
                               num * sizeof(words[0]), SMMU_MEM_ATTRS)) {
        t->addr = addr;
        smmuv3_accel_bad(t, SMMU_EVT_F_STE_FETCH,
                         "its stream table entry is not in memory");
        return NULL;
    }
    return words;
}

static bool smmuv3_accel_find_2lvl(SMMUv3AccelTable *table, uint32_t sid,
                                   hwaddr *addr, SMMUv3AccelTarget *t)
{
    hwaddr desc_addr = table->base + (sid >> table->split) * L1STD_SIZE;
    const uint64_t *found = smmuv3_accel_table_read(table, &table->level1,
                                                    desc_addr, 1, t);
    unsigned int span;
    uint64_t desc;

    if (!found) {
        return false;
    }
    desc = le64_to_cpu(*found);
    span = L1STD_SPAN_BITS(desc);
    if (!span) {
        /* No such stream: blocked, the hardware would report an access */
        return false;
    }
    if (span > table->split + 1) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STREAMID, "its level 1 "
                                "stream table descriptor has a bad span");
    }
    sid &= MAKE_64BIT_MASK(0, table->split);
    if (sid >> (span - 1)) {
        return false;
    }
    *addr = (L1STD_L2PTR(desc) & (UINT64_MAX << (span + 5))) + sid * STE_SIZE;
    return true;
}

static bool smmuv3_accel_find_ste(SMMUv3AccelTable *table, uint32_t sid,
                                  hwaddr *addr, SMMUv3AccelTarget *t)
{
    if (sid >> table->log2size) {
        return false;
    }
    switch (table->format) {
    case STRTAB_FMT_LINEAR:
        *addr = table->base + sid * STE_SIZE;
        return true;
    case STRTAB_FMT_2LVL:
        return smmuv3_accel_find_2lvl(table, sid, addr, t);
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
    unsigned int fmt = cdmax ? STE0_S1FMT(ste[0]) : STE_S1FMT_LINEAR;

    if (cdmax > accel->features.ssidsize) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has more substreams than SSIDSIZE");
    }
    if (fmt != STE_S1FMT_LINEAR && !accel->features.cd2l) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has a two-level CD table");
    }
    if (fmt == STE_S1FMT_RESERVED) {
        return smmuv3_accel_bad(t, SMMU_EVT_C_BAD_STE, "its stream table entry "
                                "has a reserved S1Fmt");
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
        t->raw[0] = ste[0];
        t->raw[1] = ste[1];
        t->ste[0] = ste[0] & STE0_NESTED;
        t->ste[1] = (ste[1] & STE1_NESTED) | st->stalld;
        if (!st->accel->features.ats || !st->ats) {
            t->ste[1] &= ~STE1_EATS_MASK;
        }
    }
}

void smmuv3_accel_ste_read(SMMUv3AccelStream *st, uint32_t sid,
                           SMMUv3AccelTarget *t)
{
    SMMUv3AccelTable *table = &st->accel->table;
    SMMUv3State *s = st->accel->s;
    const uint64_t *found;
    uint64_t ste[2];
    hwaddr addr;

    *t = (SMMUv3AccelTarget) { .kind = SMMUV3_ACCEL_ABORT };
    if (!smmu_enabled(s)) {
        if (!FIELD_EX32(s->gbpa, GBPA, ABORT)) {
            t->kind = SMMUV3_ACCEL_BYPASS;
        }
        return;
    }
    if (!smmuv3_accel_find_ste(table, sid, &addr, t)) {
        return;
    }
    found = smmuv3_accel_table_read(table, &table->entries, addr,
                                    ARRAY_SIZE(ste), t);
    if (found) {
        ste[0] = le64_to_cpu(found[0]);
        ste[1] = le64_to_cpu(found[1]);
        smmuv3_accel_decode_ste(st, ste, t);
    }
}
