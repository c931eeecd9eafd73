/*
 * Fakehost, seen from a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "qemu/memfd.h"
#include "qobject/qdict.h"
#include "harness.h"
#include "tests/qtest/fakehost/fakehost-path.h"

/* A ROM that is never executed: the tests need no firmware */
#define FAKEHOST_BIOS_SIZE  (64 * 1024)
#define FAKEHOST_LIBRARY    "FAKEHOST_LIBRARY"
/* Lines in the log that one device may cause, and in how many seconds */
#define LOG_BURST           10
#define LOG_SECONDS         5

static const char *const fakehost_files[] = {
    "host", "control", "log", "err", "bios",
};

/* The library: the one that belongs to this build, unless told otherwise */
static const char *fakehost_library(void)
{
    return g_getenv(FAKEHOST_LIBRARY) ?: FAKEHOST_PATH;
}

bool fakehost_available(void)
{
    if (!qtest_has_device("vfio-pci")) {
        g_test_skip("QEMU was built without vfio-pci");
        return false;
    }
    if (!g_file_test(fakehost_library(), G_FILE_TEST_EXISTS)) {
        g_error("there is no %s", fakehost_library());
    }
    return true;
}

static char *fakehost_path(const FakeHost *host, const char *name)
{
    return g_build_filename(host->dir, name, NULL);
}

static void fakehost_write(FakeHost *host, const char *name, const char *data,
                           size_t len)
{
    g_autofree char *path = fakehost_path(host, name);

    g_assert_true(g_file_set_contents(path, data, len, NULL));
}

FakeHost *fakehost_new(const char *description)
{
    FakeHost *host = g_new0(FakeHost, 1);
    g_autofree char *zeros = NULL;
    g_autofree char *control = NULL;
    size_t size = MAX(FAKEHOST_BIOS_SIZE, sizeof(*host->page));
    int fd;

    host->dir = g_dir_make_tmp("fakehost-XXXXXX", NULL);
    g_assert_nonnull(host->dir);
    host->fds = g_array_new(false, false, sizeof(int));
    host->log = fakehost_path(host, "log");
    host->err = fakehost_path(host, "err");
    host->events = fakehost_path(host, "events");
    g_assert_cmpint(g_mkdir(host->events, 0700), ==, 0);
    zeros = g_malloc0(size);
    fakehost_write(host, "host", description, strlen(description));
    fakehost_write(host, "bios", zeros, FAKEHOST_BIOS_SIZE);
    fakehost_write(host, "control", zeros, sizeof(*host->page));
    fakehost_write(host, "log", "", 0);
    fakehost_write(host, "err", "", 0);

    control = fakehost_path(host, "control");
    fd = open(control, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    host->page = mmap(NULL, sizeof(*host->page), PROT_READ | PROT_WRITE,
                      MAP_SHARED, fd, 0);
    g_assert_true(host->page != MAP_FAILED);
    close(fd);
    return host;
}

static int fakehost_open(const char *name)
{
    g_autofree char *memfd_name = g_strdup_printf("fakehost:%s", name);
    int fd = memfd_create(memfd_name, 0);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

int fakehost_fd(FakeHost *host, const char *name)
{
    int fd = fakehost_open(name);

    g_array_append_val(host->fds, fd);
    return fd;
}

static void fakehost_setenv(FakeHost *host)
{
    static const char *const names[][2] = {
        { "FAKEHOST_HOST", "host" },
        { "FAKEHOST_CONTROL", "control" },
        { "FAKEHOST_LOG", "log" },
        { "FAKEHOST_EVENTS", "events" },
    };
    const char *asan = g_getenv("ASAN_OPTIONS");
    g_autofree char *options = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *path = fakehost_path(host, names[i][1]);

        g_setenv(names[i][0], path, true);
    }
    if (host->no_log) {
        g_unsetenv("FAKEHOST_LOG");
    }
    g_setenv("FAKEHOST_MODE", "fake", true);
    /* A preloaded library comes before the sanitizer's, on purpose */
    options = g_strdup_printf("%s%sverify_asan_link_order=0", asan ? asan : "",
                              asan && *asan ? ":" : "");
    g_setenv("ASAN_OPTIONS", options, true);
    g_setenv("LD_PRELOAD", fakehost_library(), true);
}

static void fakehost_unsetenv(void)
{
    /* This process and other children have no use for it */
    g_unsetenv("LD_PRELOAD");
    g_unsetenv("FAKEHOST_MODE");
}

/* QEMU has inherited them */
static void fakehost_close_fds(FakeHost *host)
{
    for (guint i = 0; i < host->fds->len; i++) {
        close(g_array_index(host->fds, int, i));
    }
    g_array_set_size(host->fds, 0);
}

void fakehost_start(FakeHost *host, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *bios = fakehost_path(host, "bios");
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    fakehost_setenv(host);
    host->qts = qtest_initf("-nodefaults -bios %s 2>>%s %s", bios, host->err,
                            args);
    fakehost_unsetenv();
    fakehost_close_fds(host);
}

int fakehost_run(FakeHost *host, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *cmd = NULL;
    g_autofree char *bios = fakehost_path(host, "bios");
    const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
    g_autoptr(GError) err = NULL;
    va_list ap;
    int status;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    /* No qtest protocol: it is not to get that far */
    cmd = g_strdup_printf("exec timeout %d %s -accel qtest -nodefaults "
                          "-display none -S -bios %s %s </dev/null 2>>%s",
                          QTEST_HANG_SECONDS, g_getenv("QTEST_QEMU_BINARY"),
                          bios, args, host->err);
    argv[2] = cmd;
    fakehost_setenv(host);
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_LEAVE_DESCRIPTORS_OPEN, NULL, NULL,
                               NULL, NULL, &status, &err));
    fakehost_unsetenv();
    fakehost_close_fds(host);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void fakehost_remove_events(FakeHost *host)
{
    GDir *dir = g_dir_open(host->events, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(host->events, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(host->events);
    g_free(host->events);
}

void fakehost_free(FakeHost *host)
{
    if (host->qts) {
        qtest_quit(host->qts);
    }
    fakehost_remove_events(host);
    munmap(host->page, sizeof(*host->page));
    for (size_t i = 0; i < ARRAY_SIZE(fakehost_files); i++) {
        g_autofree char *path = fakehost_path(host, fakehost_files[i]);

        g_unlink(path);
    }
    g_rmdir(host->dir);
    g_array_unref(host->fds);
    g_free(host->dir);
    g_free(host->log);
    g_free(host->err);
    g_free(host);
}

static char *error_of(QDict *resp)
{
    char *desc = NULL;

    if (qdict_haskey(resp, "error")) {
        desc = g_strdup(qdict_get_str(qdict_get_qdict(resp, "error"), "desc"));
    }
    qobject_unref(resp);
    return desc;
}

char *fakehost_qmp_error(FakeHost *host, const char *fmt, ...)
{
    QDict *resp;
    va_list ap;

    va_start(ap, fmt);
    resp = qtest_vqmp(host->qts, fmt, ap);
    va_end(ap);
    return error_of(resp);
}

char *fakehost_migrate_error(FakeHost *host, const char *uri)
{
    return fakehost_qmp_error(host, "{ 'execute': 'migrate', 'arguments':"
                              " { 'uri': %s } }", uri);
}

char *fakehost_device_add(FakeHost *host, const char *name, const char *props)
{
    g_autofree char *fdname = g_strdup_printf("hotplug%u", host->hotplugs++);
    int fd = fakehost_open(name);
    g_autofree char *cmd = NULL;

    qtest_qmp_fds_assert_success(host->qts, &fd, 1,
                                 "{ 'execute': 'getfd',"
                                 "  'arguments': { 'fdname': %s } }", fdname);
    close(fd);
    cmd = g_strdup_printf("{ 'execute': 'device_add', 'arguments': {"
                          " 'driver': 'vfio-pci', 'id': '%s', 'fd': '%s' %s"
                          " } }", name, fdname, props);
    qtest_qmp_send_raw(host->qts, "%s", cmd);
    return error_of(qtest_qmp_receive(host->qts));
}

/* --- failures --- */

const struct FakehostRule *fakehost_fail(FakeHost *host, const char *call,
                                         unsigned nth, unsigned times, int err,
                                         unsigned handled)
{
    for (size_t i = 0; i < FAKEHOST_RULES; i++) {
        struct FakehostRule *rule = &host->page->rules[i];

        if (rule->action != FAKEHOST_RULE_OFF) {
            continue;
        }
        memset(rule, 0, sizeof(*rule));
        g_strlcpy(rule->call, call, sizeof(rule->call));
        rule->skip = nth - 1;
        rule->times = times;
        rule->err = err;
        rule->handled = handled;
        rule->action = FAKEHOST_RULE_FAIL;
        return rule;
    }
    g_assert_not_reached();
}

const struct FakehostRule *fakehost_fail_next(FakeHost *host,
                                              const char *call, int err)
{
    return fakehost_fail(host, call, 1, 1, err, 0);
}

void fakehost_clear_rules(FakeHost *host)
{
    memset(host->page->rules, 0, sizeof(host->page->rules));
}

/* --- what the host was told --- */

static const struct FakehostCallCount *fakehost_count(FakeHost *host,
                                                      const char *call)
{
    static const struct FakehostCallCount none;

    for (uint32_t i = 0; i < host->page->calls_used; i++) {
        if (g_str_equal(host->page->counts[i].name, call)) {
            return &host->page->counts[i];
        }
    }
    return &none;
}

uint64_t fakehost_calls(FakeHost *host, const char *call)
{
    return fakehost_count(host, call)->calls;
}

uint64_t fakehost_failed_calls(FakeHost *host, const char *call)
{
    return fakehost_count(host, call)->failed;
}

uint64_t fakehost_calls_since(FakeHost *host, const char *call,
                              uint64_t *count)
{
    uint64_t since = fakehost_calls(host, call) - *count;

    *count += since;
    return since;
}

uint64_t fakehost_entries(FakeHost *host)
{
    return fakehost_count(host, "IOMMU_HWPT_INVALIDATE")->entries;
}

uint64_t fakehost_total_calls(FakeHost *host)
{
    return host->page->ioctls;
}

void fakehost_settle(FakeHost *host)
{
    /* It answers between two of its tasks */
    qtest_readb(host->qts, 0);
}

struct FakehostDevice *fakehost_device(FakeHost *host, const char *name)
{
    for (uint32_t i = 0; i < host->page->devices_used; i++) {
        if (g_str_equal(host->page->devices[i].name, name)) {
            return &host->page->devices[i];
        }
    }
    g_assert_not_reached();
}

bool fakehost_is_blocked(FakeHost *host, const char *name)
{
    const struct FakehostDevice *dev = fakehost_device(host, name);

    return !dev->pt_id && !dev->hw_pt_id;
}

uint64_t fakehost_heap(FakeHost *host)
{
    /*
     * The memory of what was unplugged or mapped anew is freed by another
     * thread, when it gets to it. An error of device_add waits for that. What
     * is freed may hold references: their turn comes with the next one.
     */
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *error =
            fakehost_qmp_error(host, "{ 'execute': 'device_add',"
                               " 'arguments': { 'driver': 'none-such' } }");

        g_assert_nonnull(error);
    }
    qatomic_or(&host->page->heap_wanted, FAKEHOST_HEAP_AT_REST);
    qtest_qmp_assert_success(host->qts, "{ 'execute': 'query-status' }");
    QTEST_AWAIT(!(qatomic_load_acquire(&host->page->heap_wanted) &
                  FAKEHOST_HEAP_AT_REST));
    return host->page->heap;
}

unsigned fakehost_objects(FakeHost *host, unsigned type)
{
    return host->page->objects[type];
}

/* --- text --- */

static char *fakehost_read(const char *path, size_t mark)
{
    char *text = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    g_assert_cmpuint(mark, <=, len);
    memmove(text, text + mark, len - mark + 1);
    return text;
}

static size_t fakehost_size(const char *path)
{
    GStatBuf st;

    g_assert_cmpint(g_stat(path, &st), ==, 0);
    return st.st_size;
}

size_t fakehost_log_mark(FakeHost *host)
{
    return fakehost_size(host->log);
}

char *fakehost_log_since(FakeHost *host, size_t mark)
{
    return fakehost_read(host->log, mark);
}

char *fakehost_log_last(FakeHost *host, size_t mark, const char *a,
                        const char *b)
{
    g_autofree char *text = fakehost_log_since(host, mark);
    size_t len = strlen(text);

    /* Line by line from the end: the log may be long */
    while (len) {
        const char *end = memrchr(text, '\n', len);
        const char *line = end ? end + 1 : text;

        text[len] = '\0';
        if (strstr(line, a) && (!b || strstr(line, b))) {
            return g_strdup(line);
        }
        len = end ? end - text : 0;
    }
    return NULL;
}

void fakehost_expect_log(FakeHost *host, size_t mark, const char *a,
                         const char *b)
{
    g_autofree char *line = fakehost_log_last(host, mark, a, b);

    if (!line) {
        g_error("the log has no line with %s and %s", a, b ?: "anything");
    }
}

void fakehost_expect_text(const char *text, const char *what)
{
    g_assert_nonnull(text);
    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, what));
}

size_t fakehost_err_mark(FakeHost *host)
{
    return fakehost_size(host->err);
}

char *fakehost_err_since(FakeHost *host, size_t mark)
{
    return fakehost_read(host->err, mark);
}

unsigned fakehost_err_lines(FakeHost *host, size_t mark, const char *text)
{
    g_autofree char *err = fakehost_err_since(host, mark);
    g_auto(GStrv) lines = g_strsplit(err, "\n", 0);
    unsigned n = 0;

    for (guint i = 0; lines[i]; i++) {
        n += !!strstr(lines[i], text);
    }
    return n;
}

void fakehost_expect_err_limited(FakeHost *host, size_t mark, const char *text,
                                 gint64 begin, unsigned devices)
{
    gint64 seconds = (g_get_monotonic_time() - begin) / G_USEC_PER_SEC;

    g_assert_cmpuint(fakehost_err_lines(host, mark, text), <=,
                     devices * LOG_BURST * (seconds / LOG_SECONDS + 2));
}
