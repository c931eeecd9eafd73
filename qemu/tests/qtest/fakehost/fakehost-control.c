/*
 * Fakehost: log, counters and rules. All of it is used by both modes.
 *
 * Callers hold the library's lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fakehost-internal.h"

static struct FakehostControl *fh_page;
static int fh_log_fd = -1;
static uint64_t fh_log_seq;
static uint64_t fh_heap_start, fh_heap_own;

/* There with ASan, whose heap libc knows nothing of */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static void fh_complain(const char *what, const char *value)
{
    fprintf(stderr, "fakehost: %s: %s\n", what, value);
}

static struct FakehostRule *fh_rule_new(void)
{
    for (size_t i = 0; i < FAKEHOST_RULES; i++) {
        if (fh_page->rules[i].action == FAKEHOST_RULE_OFF) {
            return &fh_page->rules[i];
        }
    }
    return NULL;
}

/*
 * One element of FAKEHOST_FAIL: CALL[@N[+]]=ERRNO[/HANDLED]: fail the Nth
 * such call (the first if there is no @N), with + all from there on.
 */
static bool fh_rule_parse_fail(char *s)
{
    struct FakehostRule *rule = fh_rule_new();
    char *err = strchr(s, '=');
    char *at = strchr(s, '@');
    char *handled = strchr(s, '/');
    uint64_t nth = 1, done = 0;
    uint32_t times = 1;

    if (!rule || !err) {
        return false;
    }
    *err++ = 0;
    if (handled) {
        *handled++ = 0;
        if (!fh_parse_u64(handled, &done)) {
            return false;
        }
    }
    if (at && at < err) {
        size_t n;

        *at++ = 0;
        n = strlen(at);
        if (n && at[n - 1] == '+') {
            at[n - 1] = 0;
            times = 0;
        }
        if (!fh_parse_u64(at, &nth) || !nth) {
            return false;
        }
    }
    if (strlen(s) >= sizeof(rule->call) || !fh_errno_parse(err)) {
        return false;
    }
    strcpy(rule->call, s);
    rule->skip = nth - 1;
    rule->times = times;
    rule->err = fh_errno_parse(err);
    rule->handled = done;
    rule->action = FAKEHOST_RULE_FAIL;
    return true;
}

/* One element of FAKEHOST_SWALLOW: CALL[@N], from the Nth such call on */
static bool fh_rule_parse_swallow(char *s)
{
    struct FakehostRule *rule = fh_rule_new();
    char *at = strchr(s, '@');
    uint64_t nth = 1;

    if (at) {
        *at++ = 0;
        if (!fh_parse_u64(at, &nth) || !nth) {
            return false;
        }
    }
    if (!rule || strlen(s) >= sizeof(rule->call)) {
        return false;
    }
    strcpy(rule->call, s);
    rule->skip = nth - 1;
    rule->action = FAKEHOST_RULE_SWALLOW;
    return true;
}

/*
 * A rule that cannot be understood must not turn into a run without it, which
 * would look like a success.
 */
static void fh_rules_from_env(const char *var, bool (*parse)(char *s))
{
    const char *value = getenv(var);
    char *copy, *save, *s;

    if (!value) {
        return;
    }
    copy = strdup(value);
    for (s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (!parse(s)) {
            fh_complain(var, value);
            _exit(EXIT_FAILURE);
        }
    }
    free(copy);
}

static void fh_control_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(*fh_page)) {
        fh_complain("no usable control file", path);
        _exit(EXIT_FAILURE);
    }
    fh_page = mmap(NULL, sizeof(*fh_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                   fd, 0);
    close(fd);
    if (fh_page == MAP_FAILED) {
        fh_complain("cannot map", path);
        _exit(EXIT_FAILURE);
    }
}

void fh_control_init(void)
{
    const char *log = getenv("FAKEHOST_LOG");
    const char *path = getenv("FAKEHOST_CONTROL");

    if (path && *path) {
        fh_control_map(path);
    } else {
        fh_page = calloc(1, sizeof(*fh_page));
    }
    fh_page->magic = FAKEHOST_CONTROL_MAGIC;
    if (log && *log) {
        fh_log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (fh_log_fd < 0) {
            fh_complain("cannot open log", log);
            _exit(EXIT_FAILURE);
        }
    }
    fh_rules_from_env("FAKEHOST_FAIL", fh_rule_parse_fail);
    fh_rules_from_env("FAKEHOST_SWALLOW", fh_rule_parse_swallow);
}

struct FakehostControl *fh_control(void)
{
    return fh_page;
}

struct FakehostRule *fh_rule_take(const FhCall *call)
{
    struct FakehostRule *found = NULL;

    for (size_t i = 0; i < FAKEHOST_RULES; i++) {
        struct FakehostRule *rule = &fh_page->rules[i];

        if (rule->action == FAKEHOST_RULE_OFF ||
            !fh_call_matches(call, rule->call)) {
            continue;
        }
        if (rule->skip) {
            rule->skip--;
            continue;
        }
        if (found || (rule->times && rule->hits >= rule->times)) {
            continue;
        }
        rule->hits++;
        found = rule;
    }
    return found;
}

static uint64_t fh_heap(void)
{
    if (__sanitizer_get_current_allocated_bytes) {
        return __sanitizer_get_current_allocated_bytes();
    }
#ifdef FAKEHOST_MALLINFO2
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

void fh_heap_enter(void)
{
    if (fh_page->heap_wanted & FAKEHOST_HEAP_OF_CALLS) {
        fh_heap_start = fh_heap();
        fh_page->heap = fh_heap_start - fh_heap_own;
    }
}

void fh_heap_leave(void)
{
    if (fh_page->heap_wanted & FAKEHOST_HEAP_OF_CALLS) {
        fh_heap_own += fh_heap() - fh_heap_start;
    }
}

void fh_heap_at_rest(void)
{
    if (fh_page->heap_wanted & FAKEHOST_HEAP_AT_REST && gettid() == getpid()) {
        fh_page->heap = fh_heap() - fh_heap_own;
        __atomic_and_fetch(&fh_page->heap_wanted, ~FAKEHOST_HEAP_AT_REST,
                           __ATOMIC_RELEASE);
    }
}

bool fh_log_enabled(void)
{
    return fh_log_fd >= 0;
}

void fh_log_line(const char *text)
{
    FhText t = { 0 };

    if (fh_log_fd < 0) {
        return;
    }
    fh_log_seq++;
    fh_text_printf(&t, "%llu %s\n", (unsigned long long)fh_log_seq, text);
    /* One write, so that lines of several processes do not mix */
    if (fh_write(fh_log_fd, t.buf, t.len) < 0) {
        fh_complain("cannot write log", strerror(errno));
    }
    fh_text_free(&t);
}

static struct FakehostCallCount *fh_count_of(const FhCall *call)
{
    uint32_t i;

    for (i = 0; i < fh_page->calls_used; i++) {
        if (!strcmp(fh_page->counts[i].name, call->name)) {
            return &fh_page->counts[i];
        }
    }
    if (i == FAKEHOST_CALLS) {
        return &fh_page->counts[FAKEHOST_CALLS - 1];
    }
    strncpy(fh_page->counts[i].name, call->name, FAKEHOST_NAME_LEN - 1);
    fh_page->calls_used++;
    return &fh_page->counts[i];
}

void fh_log_call(const FhCall *call, const char *target, const FhText *in,
                 const void *arg, int ret, int err, FhVia via)
{
    static const char *const how[] = {
        [FH_VIA_KERNEL] = "",
        [FH_VIA_FAIL_RULE] = " injected",
        [FH_VIA_SWALLOW_RULE] = " swallowed",
    };
    struct FakehostCallCount *count = fh_count_of(call);
    const char *name = err ? fh_errno_name(err) : NULL;
    FhText t = { 0 };

    fh_page->ioctls++;
    count->calls++;
    count->failed += !!err;
    if (call->cmd == FH_IOMMU_HWPT_INVALIDATE && arg) {
        const struct fh_iommu_hwpt_invalidate *inv = arg;

        count->entries += inv->entry_num;
    }
    if (fh_log_fd < 0) {
        return;
    }
    fh_text_printf(&t, "%s %s%s", target, call->name, in->buf ? in->buf : "");
    fh_call_print(&t, call, arg, FH_FIELD_OUT);
    fh_text_printf(&t, " = %d", ret);
    if (err && name) {
        fh_text_printf(&t, " %s", name);
    } else if (err) {
        fh_text_printf(&t, " errno %d", err);
    }
    fh_text_printf(&t, "%s", how[via]);
    fh_log_line(t.buf);
    fh_text_free(&t);
}

void fh_log_totals(void)
{
    for (uint32_t i = 0; i < fh_page->calls_used; i++) {
        struct FakehostCallCount *c = &fh_page->counts[i];
        FhText t = { 0 };

        fh_text_printf(&t, "total %s calls=%llu failed=%llu entries=%llu",
                       c->name, (unsigned long long)c->calls,
                       (unsigned long long)c->failed,
                       (unsigned long long)c->entries);
        fh_log_line(t.buf);
        fh_text_free(&t);
    }
}
