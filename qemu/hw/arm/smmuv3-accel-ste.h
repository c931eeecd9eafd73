/*
 * SMMUv3 on the host SMMU: what the guest's stream table asks for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_STE_H
#define HW_ARM_SMMUV3_ACCEL_STE_H

#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-internal.h"

/**
 * smmuv3_accel_table_init: a command begins, and has read nothing
 *
 * @accel: its table is set to what the registers say, which they do until the
 *         command ends
 * @ahead: the command may concern many streams
 */
void smmuv3_accel_table_init(SMMUv3Accel *accel, bool ahead);

/**
 * smmuv3_accel_ste_read: what the guest wants for a stream
 *
 * Reads registers and the stream table, nothing else changes.
 *
 * @st: the stream
 * @sid: its StreamID
 * @t: (out) what it should be attached to
 */
void smmuv3_accel_ste_read(SMMUv3AccelStream *st, uint32_t sid,
                           SMMUv3AccelTarget *t);

/**
 * smmuv3_accel_ste_is_same: is an entry the same as the one that was installed?
 *
 * @st: the stream, with stage 1
 * @sid: its StreamID
 *
 * Returns: false, too, if the command has not read that entry yet.
 */
static inline bool smmuv3_accel_ste_is_same(const SMMUv3AccelStream *st,
                                            uint32_t sid)
{
    const SMMUv3AccelTable *table = &st->accel->table;
    hwaddr offset = table->base + sid * STE_SIZE - table->entries.addr;
    const uint64_t *ste;

    if (!smmu_enabled(st->accel->s) || table->format != STRTAB_FMT_LINEAR ||
        sid >> table->log2size || table->entries.addr == HWADDR_MAX ||
        offset >= sizeof(table->entries.words)) {
        return false;
    }
    ste = &table->entries.words[offset / sizeof(ste[0])];
    return le64_to_cpu(ste[0]) == st->raw[0] &&
           le64_to_cpu(ste[1]) == st->raw[1];
}

#endif
