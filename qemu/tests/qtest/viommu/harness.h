/*
 * Fakehost, seen from a qtest: start QEMU on a host that does not exist, order
 * failures, look at what the host was told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_FAKEHOST_H
#define QTEST_FAKEHOST_H

#include "libqtest.h"
#include "tests/qtest/fakehost/fakehost-control.h"
#include "libqos/await.h"
#include "libqos/cases.h"

typedef struct FakeHost {
    QTestState *qts;
    struct FakehostControl *page;
    char *dir;                  /* of the files below */
    char *log;
    char *err;                  /* QEMU's standard error */
    char *events;               /* directory of event queues */
    bool no_log;                /* set it before the start, for many calls */
    unsigned ports;             /* root ports with devices, see devices.h */
    uint64_t ecam;              /* of config space; 0: ports 0xcf8 and 0xcfc */
    GArray *fds;                /* inherited by QEMU, closed after its start */
    unsigned hotplugs;
} FakeHost;

/**
 * fakehost_available:
 *
 * Returns: true if the QEMU under test can have host devices. If not, the test
 * has been marked as skipped. A library that is not there is a failure.
 *
 * FAKEHOST_LIBRARY in the environment names another library than the build's.
 */
bool fakehost_available(void);

/**
 * fakehost_new: describe a host
 * @description: the lines of fakehost-config.c
 */
FakeHost *fakehost_new(const char *description);

/**
 * fakehost_fd: open a file of the host for QEMU to inherit
 * @name: a device of the description, or "iommufd" with any suffix
 *
 * Returns: the descriptor's number, for QEMU's command line
 */
int fakehost_fd(FakeHost *host, const char *name);

/**
 * fakehost_start: start QEMU
 * @fmt: its arguments; see fakehost_fd()
 */
void fakehost_start(FakeHost *host, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/**
 * fakehost_run: start a QEMU that is expected to end by itself
 * @fmt: its arguments; see fakehost_fd()
 *
 * What it says is added to its standard error, see fakehost_err_since().
 *
 * Returns: its exit status, -1 if a signal ended it
 */
int fakehost_run(FakeHost *host, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/**
 * fakehost_free: stop QEMU, if it runs, and forget the host
 */
void fakehost_free(FakeHost *host);

/**
 * fakehost_qmp_error: a command that may fail
 *
 * Returns: NULL, or the error that QEMU gives. Free with g_free().
 */
char *fakehost_qmp_error(FakeHost *host, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);
/* Start a migration */
char *fakehost_migrate_error(FakeHost *host, const char *uri);

/**
 * fakehost_device_add: device_add a vfio-pci
 * @name: device of the description
 * @props: more QMP properties, with a comma in front, or ""
 *
 * The id of the new device is @name.
 *
 * Returns: NULL, or the error that QEMU gives. Free with g_free().
 */
char *fakehost_device_add(FakeHost *host, const char *name, const char *props);

/**
 * fakehost_fail: have calls fail from now on
 * @call: as FakehostRule.call
 * @nth: the first call to fail, 1 being the next one
 * @times: how many then fail; 0: all
 * @err: errno
 * @handled: entries that a HWPT_INVALIDATE executes before it fails
 *
 * Returns: the rule, whose .hits tells how often it has acted
 */
const struct FakehostRule *fakehost_fail(FakeHost *host, const char *call,
                                         unsigned nth, unsigned times, int err,
                                         unsigned handled);
/* Fail the next such call only */
const struct FakehostRule *fakehost_fail_next(FakeHost *host,
                                              const char *call, int err);
void fakehost_clear_rules(FakeHost *host);

/* How often the call (full name) was made since the start, or has failed */
uint64_t fakehost_calls(FakeHost *host, const char *call);
uint64_t fakehost_failed_calls(FakeHost *host, const char *call);
/* How often it was made since *@count, which is brought up to date */
uint64_t fakehost_calls_since(FakeHost *host, const char *call,
                              uint64_t *count);
/* Entries that HWPT_INVALIDATE has executed */
uint64_t fakehost_entries(FakeHost *host);
/* All calls of any kind */
uint64_t fakehost_total_calls(FakeHost *host);

/* Returns when QEMU's main loop is done with what it was at */
void fakehost_settle(FakeHost *host);

/**
 * FAKEHOST_AWAIT: wait until something is true of what the host was told
 * @host: of the QEMU that makes it true, which has not ended
 * @cond: as that of QTEST_AWAIT
 *
 * The host is told one thing after the other.  What goes with the one that was
 * waited for has been done as well when this ends.
 */
#define FAKEHOST_AWAIT(host, cond)                                      \
    do {                                                                \
        QTEST_AWAIT(cond);                                              \
        fakehost_settle(host);                                          \
    } while (0)

/* The state of a device: see FakehostDevice */
struct FakehostDevice *fakehost_device(FakeHost *host, const char *name);
/* Is the device's DMA blocked, in the hardware and in the kernel's books? */
bool fakehost_is_blocked(FakeHost *host, const char *name);

/*
 * Bytes of the heap that QEMU has in use once nothing is left to be freed
 * later. Those of the library are among them, but for what it took in calls
 * since a test has set FAKEHOST_HEAP_OF_CALLS. Only the difference of two such
 * numbers means something. 0: nobody can tell.
 */
uint64_t fakehost_heap(FakeHost *host);

/* How many objects of a type (FAKEHOST_OBJ_…) exist */
unsigned fakehost_objects(FakeHost *host, unsigned type);

/**
 * fakehost_log_mark: remember the end of the log
 *
 * Returns: a position for the functions below
 */
size_t fakehost_log_mark(FakeHost *host);
/* What was logged since @mark. Free with g_free() */
char *fakehost_log_since(FakeHost *host, size_t mark);
/* The last line since @mark that contains all of @a and, if given, @b */
char *fakehost_log_last(FakeHost *host, size_t mark, const char *a,
                        const char *b);

/* Fail if there is no such line */
void fakehost_expect_log(FakeHost *host, size_t mark, const char *a,
                         const char *b);

/* The same for QEMU's standard error */
size_t fakehost_err_mark(FakeHost *host);
char *fakehost_err_since(FakeHost *host, size_t mark);
/* Lines since @mark that contain @text */
unsigned fakehost_err_lines(FakeHost *host, size_t mark, const char *text);
/* Fail if @text, which is shown, is NULL or does not contain @what */
void fakehost_expect_text(const char *text, const char *what);
/*
 * Fail if there are more of them than the log's limits of @devices devices let
 * through since @begin, in monotonic time: on a slow machine these are more
 */
void fakehost_expect_err_limited(FakeHost *host, size_t mark, const char *text,
                                 gint64 begin, unsigned devices);

#endif /* QTEST_FAKEHOST_H */
