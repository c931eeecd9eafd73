/*
 * Fail each call of an operation in turn
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIOMMU_SWEEP_H
#define QTEST_VIOMMU_SWEEP_H

#include "devices.h"

/* One round of a sweep, when its operation is over */
typedef struct SweepRound {
    FakeHost *host;
    unsigned nth;               /* the call that was to fail */
    bool hit;                   /* it was made */
    size_t mark;                /* of QEMU's standard error, before it */
} SweepRound;

typedef struct SweepOps {
    void (*prepare)(void *opaque);      /* what a round begins with, or NULL */
    void (*operate)(void *opaque);
    /* All calls succeed again. Afterwards the next round may begin */
    void (*check)(void *opaque, const SweepRound *round);
    const char *call;           /* as FakehostRule.call; NULL: every one */
    unsigned handled;           /* as FakehostRule.handled */
} SweepOps;

/**
 * sweep: fail the first call of an operation, then the second, and so on
 * until one gets by without meeting the failure
 * @err: errno
 * @times: how many calls in a row fail
 *
 * QEMU has to live after each of them.
 *
 * Returns: how many calls have failed
 */
unsigned sweep(FakeHost *host, const SweepOps *ops, int err, unsigned times,
               void *opaque);

/**
 * sweep_plug: the same for device_add of device @n, by EIO
 * @check: what the host has then; @plugged says if the device is there
 *
 * A device that is there is unplugged after the check, which @settled follows.
 *
 * Returns: how often the device was refused
 */
unsigned sweep_plug(FakeHost *host, unsigned n,
                    void (*check)(void *opaque, bool plugged),
                    void (*settled)(FakeHost *host), void *opaque);

/*
 * The operation has not come to what it should, because a call failed: the
 * reason was told in at least one line with @text, and if @once in no more.
 */
void sweep_expect_told(const SweepRound *round, const char *text, bool once);

#endif /* QTEST_VIOMMU_SWEEP_H */
