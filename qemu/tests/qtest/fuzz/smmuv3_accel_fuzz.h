/*
 * Fuzz target for host devices behind arm-smmuv3 with accel=on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SMMUV3_ACCEL_FUZZ_H
#define SMMUV3_ACCEL_FUZZ_H

#include "tests/qtest/libqos/smmuv3.h"
#include "fakehost_fuzz.h"

#define SMMUV3_FUZZ_DEVICES     3
#define SMMUV3_FUZZ_ATS_DEVICES 2       /* the first ones may use ATS */
#define SMMUV3_FUZZ_SSIDSIZE    4
#define SMMUV3_FUZZ_RAM_END     (SMMUV3_GUEST_RAM + \
                                 SMMUV3_GUEST_RAM_MB * 1024ull * 1024)

typedef struct Smmuv3Fuzz {
    Smmuv3Guest guest;
    unsigned inputs;            /* so far */
    /* Slow steps that this input may still take */
    unsigned slow_steps;
    bool unplugged;             /* something was, by this input */
    bool undrained;             /* and its memory may not be free yet */
    /* Calls that the host had seen before the step */
    uint64_t calls;
    /* Sequence number of the host's next event */
    uint32_t sequence;
} Smmuv3Fuzz;

const char *smmuv3_fuzz_dev(unsigned n);
bool smmuv3_fuzz_is_plugged(unsigned n);
/* StreamID that the guest's numbering of busses gives the device */
uint32_t smmuv3_fuzz_sid(unsigned n);

/**
 * smmuv3_fuzz_ste_addr: where the guest's stream table entry of @sid is
 *
 * Reads the stream table by itself. Returns false if it leads to no entry.
 */
bool smmuv3_fuzz_ste_addr(Smmuv3Fuzz *f, uint32_t sid, uint64_t *addr);

/**
 * smmuv3_fuzz_check: what each device may reach is what the guest's tables say
 *
 * The host works, and the guest has just said that everything has changed.
 * Reads the tables by itself, and ends the program if the host was told
 * something else, or holds more than that needs.
 */
void smmuv3_fuzz_check(Smmuv3Fuzz *f);

/**
 * smmuv3_fuzz_check_closed: the same, but where the host fails a device may
 * reach nothing instead
 */
void smmuv3_fuzz_check_closed(Smmuv3Fuzz *f);

/**
 * smmuv3_fuzz_check_reset: after a reset each device reaches guest memory, and
 * nothing else is left in the host
 */
void smmuv3_fuzz_check_reset(Smmuv3Fuzz *f);

/* smmuv3_fuzz_check_empty: without devices nothing at all is left */
void smmuv3_fuzz_check_empty(Smmuv3Fuzz *f);

#endif /* SMMUV3_ACCEL_FUZZ_H */
