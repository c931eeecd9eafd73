/*
 * Fuzz targets on a host that does not exist: what they share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_FUZZ_H
#define FAKEHOST_FUZZ_H

#include "tests/qtest/fakehost/fakehost-control.h"
#include "fuzz.h"

/* --- the input, read from its start; zeros follow its end --- */

typedef struct FuzzInput {
    const uint8_t *data;
    size_t left;
} FuzzInput;

uint8_t fuzz_u8(FuzzInput *in);
uint16_t fuzz_u16(FuzzInput *in);
uint32_t fuzz_u32(FuzzInput *in);
uint64_t fuzz_u64(FuzzInput *in);
/* A number of @bits bits that is small more often than not */
uint32_t fuzz_small(FuzzInput *in, unsigned bits);
/*
 * Zero in seven of eight cases, else any number: what is put over a well-formed
 * word so that each of its bits is wrong now and then.
 */
uint64_t fuzz_damage(FuzzInput *in);

/* One step that an input may ask for; the table of them is the target's */
typedef void FuzzStep(void *opaque, FuzzInput *in);

/**
 * fuzz_run_steps: carry out an input
 * @steps: table of @num steps; a byte of the input chooses
 * @opaque: for the steps
 * @after: called after each step, may be NULL
 */
void fuzz_run_steps(FuzzStep *const *steps, size_t num, void *opaque,
                    const unsigned char *data, size_t size,
                    void (*after)(void *opaque));

/* --- the host --- */

/**
 * fakehost_fuzz_start: get the library under this very program
 * @description: the lines of fakehost-config.c
 *
 * Call it from pre_vm_init(). The program starts again, once. The library is
 * the one that was built with the program, or $FAKEHOST_LIBRARY.
 */
void fakehost_fuzz_start(const char *description);

/* What the library shares with us */
extern struct FakehostControl *fakehost_fuzz_page;

/* Open a device of the description, or an iommufd, for QEMU */
int fakehost_fuzz_fd(const char *name);
/* Arguments for QEMU that no target can do without; to be followed by others */
GString *fakehost_fuzz_cmdline(const char *machine);
/* device_add; the device must be there afterwards */
void fakehost_fuzz_plug(const char *name, const char *bus);

struct FakehostDevice *fakehost_fuzz_device(const char *name);
unsigned fakehost_fuzz_objects(unsigned type);

/* A step: have a call fail */
void fakehost_fuzz_fail(FuzzInput *in);
/* The same, of these @num calls (see struct FakehostRule) */
void fakehost_fuzz_fail_one(FuzzInput *in, const char *const *calls,
                            size_t num);
/* All works again, no device is in reset */
void fakehost_fuzz_recover(void);

/*
 * The IOMMU has taken so many more descriptors or commands from its queue, by
 * its own account. What all inputs made it take is said at the end, among
 * libFuzzer's own statistics.
 */
void fakehost_fuzz_taken(unsigned num);

/* Report what a target found to be wrong, and end as a crash does */
void fakehost_fuzz_wrong(const char *fmt, ...) G_GNUC_PRINTF(1, 2)
    G_NORETURN;

#endif /* FAKEHOST_FUZZ_H */
