/*
 * A guest that uses legacy mode of VT-d behind x-flts=on, and what the host
 * has for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VTD_ACCEL_LEGACY_H
#define VTD_ACCEL_LEGACY_H

#include "vtd-accel-common.h"

/* Permissions of an entry, and the flag of a page in a directory (VT-d 9.8) */
#define LEGACY_R            1ull
#define LEGACY_W            2ull
#define LEGACY_RW           VTD_PTE_SECOND_STAGE
#define LEGACY_SUPERPAGE    VTD_PTE_PS

typedef struct VtdLegacy {
    VtdAccelTest t;
    uint64_t root;              /* of legacy mode; guest.root is the other */
    VtdGuestTable table;        /* second-level table of all devices */
} VtdLegacy;

/* Where a device is */
typedef enum VtdLegacyState {
    BLOCKED,
    S1,
    S2,
    SHADOW,
} VtdLegacyState;

/* As vtd_accel_start(); the guest is not in legacy mode yet */
bool vtd_legacy_start(VtdLegacy *l, const VtdAccelSetup *setup,
                      unsigned levels);
/* Enable translation, if need be, with the root table of legacy mode */
void vtd_legacy_enter(VtdLegacy *l);

/* Write the context entry of device @n */
void vtd_legacy_write_context(VtdLegacy *l, unsigned n, uint64_t lo,
                              uint64_t hi);
/* Have device @n translate by the table, in a domain */
void vtd_legacy_use_table(VtdLegacy *l, unsigned n, uint16_t domain_id);
/* Write the entry for @iova at @level; tables on the way are created */
void vtd_legacy_write_entry(VtdLegacy *l, uint64_t iova, unsigned level,
                            uint64_t value);

/**
 * vtd_legacy_flush: global IOTLB invalidation, done
 *
 * Returns: how often QEMU answered before it was done
 */
unsigned vtd_legacy_flush(VtdLegacy *l);

/* Where device @n is; books and hardware of the host must agree */
VtdLegacyState vtd_legacy_state(VtdLegacy *l, unsigned n);

/**
 * vtd_legacy_mappings: what device @n reaches
 *
 * Returns: "IOVA+LENGTH>GPA:rw " for each mapping of the IOAS that the device
 * translates by, all numbers hexadecimal; "?" for a GPA that is not RAM. The
 * host's log is replayed for it.
 */
char *vtd_legacy_mappings(VtdLegacy *l, unsigned n);

/* Bytes of these that were not copied from the IOAS that has guest memory */
uint64_t vtd_legacy_pinned_again(VtdLegacy *l, unsigned n);

#endif /* VTD_ACCEL_LEGACY_H */
