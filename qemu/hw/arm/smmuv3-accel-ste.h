/*
 * SMMUv3 on the host SMMU: what the guest's stream table asks for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_STE_H
#define HW_ARM_SMMUV3_ACCEL_STE_H

#include "smmuv3-accel-internal.h"

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

#endif
