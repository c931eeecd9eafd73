/*
 * Many rounds of the same, after which QEMU and the host hold what they held
 * before
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIOMMU_SOAK_H
#define QTEST_VIOMMU_SOAK_H

#include "devices.h"

/* What is lost in each round, on purpose, to see that it is noticed */
typedef enum SoakLeak {
    SOAK_NO_LEAK,
    SOAK_LEAK_HEAP,             /* QEMU keeps a little memory */
    SOAK_LEAK_FD,               /* QEMU keeps a file open */
    SOAK_LEAK_OBJECT,           /* the host keeps an object */
} SoakLeak;

/* What is repeated: round @i, for the test's @opaque */
typedef void SoakRound(void *opaque, unsigned i);

/* To be called before any QEMU is started */
void soak_init(void);

/* What the environment has in SOAK_ROUNDS; 0: nothing, a few rounds will do */
unsigned soak_rounds(void);

/* Returns: true if a leak of that kind can be noticed, else the test skips */
bool soak_notices(SoakLeak leak);

/**
 * soak_run: repeat something, and compare what is held before and after
 * @round: leads back to where it began
 * @warm_up: rounds in front of the first look: caches have been filled then
 * @rounds: after that
 *
 * Fails if memory, open files of QEMU, objects or mappings of the host have
 * become more; but with @leak, if what leaks has not been noticed.
 */
void soak_run(FakeHost *host, SoakRound *round, void *opaque, unsigned warm_up,
              unsigned rounds, SoakLeak leak);

#endif /* QTEST_VIOMMU_SOAK_H */
