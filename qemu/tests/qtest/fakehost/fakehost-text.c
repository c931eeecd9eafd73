/*
 * Fakehost: growing strings, names of errnos, numbers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "fakehost-internal.h"

static const struct {
    int err;
    const char *name;
} fh_errnos[] = {
#define E(x) { x, #x }
    E(E2BIG), E(EACCES), E(EADDRINUSE), E(EAGAIN), E(EBADF), E(EBADFD),
    E(EBUSY), E(EDEADLK), E(EEXIST), E(EFAULT), E(EINTR), E(EINVAL), E(EIO),
    E(EMFILE), E(EMSGSIZE), E(ENODEV), E(ENOENT), E(ENOMEM), E(ENOSPC),
    E(ENOTTY), E(ENXIO), E(EOPNOTSUPP), E(EOVERFLOW), E(EPERM), E(ERANGE),
    E(ETIMEDOUT),
#undef E
};

void fh_text_printf(FhText *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    for (;;) {
        size_t left = t->room - t->len;

        va_start(ap, fmt);
        n = vsnprintf(t->buf ? t->buf + t->len : NULL, left, fmt, ap);
        va_end(ap);
        if (n < 0) {
            return;
        }
        if ((size_t)n < left) {
            t->len += n;
            return;
        }
        t->room = (t->room + n + 1) * 2;
        t->buf = realloc(t->buf, t->room);
        if (!t->buf) {
            abort();
        }
    }
}

void fh_text_free(FhText *t)
{
    free(t->buf);
    t->buf = NULL;
    t->len = 0;
    t->room = 0;
}

const char *fh_errno_name(int err)
{
    for (size_t i = 0; i < FH_ARRAY_SIZE(fh_errnos); i++) {
        if (fh_errnos[i].err == err) {
            return fh_errnos[i].name;
        }
    }
    return NULL;
}

int fh_errno_parse(const char *name)
{
    uint64_t n;

    for (size_t i = 0; i < FH_ARRAY_SIZE(fh_errnos); i++) {
        if (!strcmp(fh_errnos[i].name, name)) {
            return fh_errnos[i].err;
        }
    }
    return fh_parse_u64(name, &n) && n < 4096 ? n : 0;
}

bool fh_parse_u64(const char *s, uint64_t *value)
{
    unsigned base = 10;
    uint64_t v = 0;

    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
    }
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        unsigned digit;

        if (*s >= '0' && *s <= '9') {
            digit = *s - '0';
        } else if (*s >= 'a' && *s <= 'f') {
            digit = *s - 'a' + 10;
        } else if (*s >= 'A' && *s <= 'F') {
            digit = *s - 'A' + 10;
        } else {
            return false;
        }
        if (digit >= base || v > (UINT64_MAX - digit) / base) {
            return false;
        }
        v = v * base + digit;
    }
    *value = v;
    return true;
}
