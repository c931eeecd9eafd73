/*
 * Fuzz target for host devices behind intel-iommu with first-stage tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VTD_ACCEL_FUZZ_H
#define VTD_ACCEL_FUZZ_H

#include "tests/qtest/libqos/intel-iommu.h"
#include "fakehost_fuzz.h"

#define VTD_FUZZ_DEVICES    3
#define VTD_FUZZ_PASID_DEVICES 2    /* the first ones have PASIDs */
#define VTD_FUZZ_RAM        (VTD_GUEST_RAM_MB * 1024ull * 1024)
#define VTD_FUZZ_AW_BITS    48

typedef struct VtdFuzz {
    VtdGuest guest;
    /* Where the well-formed tables of each device are */
    uint64_t context[VTD_FUZZ_DEVICES];
    uint64_t dir[VTD_FUZZ_DEVICES];
    uint64_t table[VTD_FUZZ_DEVICES];
    unsigned inputs;            /* so far */
    /* Slow steps that this input may still take */
    unsigned slow_steps;
    uint32_t cookie;            /* of the next group of page requests */
    /* The host may have refused answers, in this input or before */
    bool answers_fail;
    /* Calls that the host had seen before the step */
    uint64_t calls;
} VtdFuzz;

const char *vtd_fuzz_dev(unsigned n);
bool vtd_fuzz_is_plugged(unsigned n);

/**
 * vtd_fuzz_check: what each device may reach is what the guest's tables say
 *
 * The host works, and the guest has just said that everything has changed.
 * Reads the tables by itself, and ends the program if the host was told
 * something else, or holds more than that needs.
 */
void vtd_fuzz_check(VtdFuzz *f);

/**
 * vtd_fuzz_check_reset: after a reset each device reaches guest memory, and
 * nothing else is left in the host; each page request was answered, once.
 * Those whose answers the host did not take were answered by itself, when a
 * device moved: of these the guest's answers, which are still tried, do not
 * count.
 */
void vtd_fuzz_check_reset(VtdFuzz *f);

#endif /* VTD_ACCEL_FUZZ_H */
