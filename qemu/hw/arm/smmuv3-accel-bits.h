/*
 * SMMUv3 on the host SMMU: bits of registers, tables, commands and events
 *
 * What smmuv3-internal.h has not, or has for 32-bit words only.  (w) is the
 * 64-bit word of which the name tells the number.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_BITS_H
#define HW_ARM_SMMUV3_ACCEL_BITS_H

#include "qemu/bitops.h"

/* Identification registers (SMMUv3 6.3.1) */
#define IDR0_TTENDIAN_MIXED     0
#define IDR0_TTENDIAN_LITTLE    2
#define IDR0_TTF_AARCH64        2
#define IDR0_STALL_NONE         1   /* also what the guest is told */
#define IDR0_STALL_FORCED       2

/* STRTAB_BASE_CFG.FMT (SMMUv3 6.3.25) */
#define STRTAB_FMT_LINEAR       0
#define STRTAB_FMT_2LVL         1

/* Level 1 stream table descriptor (SMMUv3 5.1) */
#define L1STD_SIZE              8
#define L1STD_SPAN_BITS(w)      extract64(w, 0, 5)
#define L1STD_L2PTR(w)          ((w) & MAKE_64BIT_MASK(6, 46))

/* Stream table entry (SMMUv3 5.2) */
#define STE_SIZE                64
#define STE0_V                  BIT_ULL(0)
#define STE0_CFG(w)             extract64(w, 1, 3)
#define STE0_MAKE_CFG(cfg)      ((uint64_t)(cfg) << 1)
#define STE0_S1FMT(w)           extract64(w, 4, 2)
#define STE0_S1CDMAX(w)         extract64(w, 59, 5)
#define STE1_S1DSS(w)           extract64(w, 0, 2)
#define STE1_S1STALLD           BIT_ULL(27)
#define STE1_EATS(w)            extract64(w, 28, 2)
#define STE1_EATS_MASK          MAKE_64BIT_MASK(28, 2)

#define STE_CFG_BYPASS_ALL      4
#define STE_CFG_S1_ONLY         5
#define STE_S1FMT_LINEAR        0
#define STE_S1FMT_RESERVED      3
#define STE_S1DSS_RESERVED      3
#define STE_EATS_FULL           1

/* What the host takes of an entry: V to S1ContextPtr and S1CDMax... */
#define STE0_NESTED             (MAKE_64BIT_MASK(0, 52) | \
                                 MAKE_64BIT_MASK(59, 5))
/* ... S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS */
#define STE1_NESTED             (MAKE_64BIT_MASK(0, 8) | STE1_S1STALLD | \
                                 STE1_EATS_MASK)

/* Commands (SMMUv3 4.1.6, 4.2 to 4.7) */
#define CMD0_OP                 MAKE_64BIT_MASK(0, 8)
#define CMD0_GLOBAL             BIT_ULL(9)
#define CMD0_SSEC               BIT_ULL(10)
#define CMD0_SSV                BIT_ULL(11)
#define CMD0_SYNC_CS(w)         extract64(w, 12, 2)
#define CMD0_NUM                MAKE_64BIT_MASK(12, 5)
#define CMD0_SSID               MAKE_64BIT_MASK(12, 20)
#define CMD0_GET_NUM(w)         extract64(w, 12, 5)
#define CMD0_SCALE              MAKE_64BIT_MASK(20, 5)
#define CMD0_GET_SCALE(w)       extract64(w, 20, 5)
#define CMD0_MAKE_SCALE(scale)  ((uint64_t)(scale) << 20)
#define CMD0_SID(w)             extract64(w, 32, 32)
#define CMD0_MAKE_SID(sid)      ((uint64_t)(sid) << 32)
#define CMD0_SID_MASK           MAKE_64BIT_MASK(32, 32)
#define CMD0_ASID               MAKE_64BIT_MASK(48, 16)
#define CMD0_ASID8              MAKE_64BIT_MASK(48, 8)
#define CMD1_LEAF               BIT_ULL(0)
#define CMD1_RANGE(w)           extract64(w, 0, 5)
#define CMD1_ATC_SIZE           MAKE_64BIT_MASK(0, 6)
#define CMD1_TTL                MAKE_64BIT_MASK(8, 2)
#define CMD1_GET_TTL(w)         extract64(w, 8, 2)
#define CMD1_TG                 MAKE_64BIT_MASK(10, 2)
#define CMD1_PAGE_BITS(w)       (10 + 2 * extract64(w, 10, 2))
#define CMD1_ADDR               MAKE_64BIT_MASK(12, 52)

#define CMD1_TTL_1              (1ULL << 8)
#define CMD1_TG_16K             (2ULL << 10)
#define CMD_TTL_LAST            3
#define CMD_SCALE_MAX           31
#define CMD_ATC_SIZE_ALL        52
#define CMD_SYNC_CS_RESERVED    3

/* Event record (SMMUv3 7.3) */
#define EVT0_TYPE(w)            extract64(w, 0, 8)

#endif
