/*
 * Fakehost: what the library's files share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_INTERNAL_H
#define FAKEHOST_INTERNAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "fakehost-control.h"
#include "fakehost-uapi.h"

#define FH_ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))

/* --- fakehost-text.c: growing strings, names of errnos, numbers --- */

typedef struct FhText {
    char *buf;
    size_t len;
    size_t room;
} FhText;

void fh_text_printf(FhText *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void fh_text_free(FhText *t);

/* Name of @err, or NULL when it is not one the kernel gives here */
const char *fh_errno_name(int err);
/* Number for @name ("EIO", or digits); 0 when unknown */
int fh_errno_parse(const char *name);
/* Parse all of @s as a decimal or 0x number */
bool fh_parse_u64(const char *s, uint64_t *value);

/* --- fakehost-calls.c: the calls that are known, and how to print them --- */

/* The kernel has no way to fail it, so a rule for "*" passes it over */
#define FH_CALL_NOFAIL      (1u << 0)
/* It answers when it fails, too */
#define FH_CALL_ANSWERS     (1u << 1)

enum {
    FH_FIELD_IN     = 1 << 0,
    FH_FIELD_OUT    = 1 << 1,
    FH_FIELD_HEX    = 1 << 2,
};

typedef struct FhField {
    const char *name;
    uint16_t offset;
    uint8_t size;
    uint8_t flags;
} FhField;

struct FhCtx;
struct FhVfioDev;

typedef struct FhCall {
    const char *name;
    unsigned flags;
    unsigned long cmd;
    uint32_t size;              /* iommufd: of the structure that is known */
    uint32_t min_size;          /* of the argument; 0: there is none */
    /* What executes it, 0 or -errno: one of them, or none if it is unknown */
    int (*iommufd)(struct FhCtx *ctx, void *arg);
    int (*device)(struct FhVfioDev *dev, void *arg);
    const FhField *fields;
    void (*print_data)(FhText *t, const void *arg);
} FhCall;

/* The description of @cmd, or NULL if it is neither iommufd's nor VFIO's */
const FhCall *fh_call_find(unsigned long cmd);
/* Does @pattern (full name, short name, "*") mean @call? */
bool fh_call_matches(const FhCall *call, const char *pattern);
/* Append the fields of @arg that have any of the @which flags */
void fh_call_print(FhText *t, const FhCall *call, const void *arg,
                   unsigned which);

/* --- fakehost-control.c: log, counters, rules --- */

/* How a call went, for the log */
typedef enum {
    FH_VIA_KERNEL,
    FH_VIA_FAIL_RULE,
    FH_VIA_SWALLOW_RULE,
} FhVia;

void fh_control_init(void);
struct FakehostControl *fh_control(void);
/*
 * The rule that applies to this call, or NULL. Counts the call against the
 * rules' skip and times.
 */
struct FakehostRule *fh_rule_take(const FhCall *call);
/* Around what the library does for a call: FakehostControl.heap */
void fh_heap_enter(void);
void fh_heap_leave(void);
/* A thread is about to sleep: the same, if it is the main one */
void fh_heap_at_rest(void);
/* Is there a log to write to? */
bool fh_log_enabled(void);
/* Write one line; adds the sequence number and the newline */
void fh_log_line(const char *text);
/* Count a call and log it; @err is 0 or a positive errno */
void fh_log_call(const FhCall *call, const char *target, const FhText *in,
                 const void *arg, int ret, int err, FhVia via);
/* One line per call that was made, with its counts */
void fh_log_totals(void);

/* --- fakehost-preload.c: functions of libc that no header declares --- */

ssize_t __pread64_chk(int fd, void *buf, size_t n, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                const sigset_t *mask, size_t room);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);

/* For the library itself, whose lock its own read() and write() take */
ssize_t fh_read(int fd, void *buf, size_t n);
ssize_t fh_write(int fd, const void *buf, size_t n);

#endif /* FAKEHOST_INTERNAL_H */
