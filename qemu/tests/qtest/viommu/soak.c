/*
 * Many rounds of the same, after which QEMU and the host hold what they held
 * before
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "soak.h"

/*
 * Buffers come and go, lists double. What is lost in each round is at least an
 * object, and many rounds find a small one.
 */
#define HEAP_ONCE       (20 * KiB)
#define HEAP_PER_ROUND  16
#define HEAP_LEAK       (2 * KiB)

typedef struct Held {
    uint64_t heap;
    unsigned fds;
    uint32_t objects[FAKEHOST_OBJ_TYPES];
    uint32_t areas;
} Held;

void soak_init(void)
{
    /* What malloc() has for later would be taken for memory in use */
    g_setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", true);
}

unsigned soak_rounds(void)
{
    const char *text = g_getenv("SOAK_ROUNDS");
    unsigned rounds = 0;

    if (text) {
        g_assert_cmpint(qemu_strtoui(text, NULL, 10, &rounds), ==, 0);
        g_assert_cmpuint(rounds, <=, 1000 * 1000);
    }
    return rounds;
}

bool soak_notices(SoakLeak leak)
{
#ifdef QEMU_SANITIZE_ADDRESS
    if (leak == SOAK_LEAK_HEAP) {
        g_test_skip("the allocator of ASan does not tell what is in use");
        return false;
    }
#endif
    return true;
}

static uint64_t heap_of(FakeHost *host)
{
    uint64_t heap = fakehost_heap(host);

#ifdef QEMU_SANITIZE_ADDRESS
    heap = 0;
#endif
    return heap;
}

static unsigned count_fds(FakeHost *host)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd",
                                            (int)qtest_pid(host->qts));
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned num = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        num++;
    }
    g_dir_close(dir);
    return num;
}

static Held look(FakeHost *host)
{
    Held held = { .heap = heap_of(host), .fds = count_fds(host),
                  .areas = host->page->areas };

    memcpy(held.objects, host->page->objects, sizeof(held.objects));
    return held;
}

/* What has become more, in words; NULL: nothing */
static char *grown(const Held *before, const Held *after, unsigned rounds)
{
    int64_t heap = after->heap - before->heap;

    g_test_message("%u rounds: heap %+" PRId64 " bytes, %d files, %d mappings",
                   rounds, heap, after->fds - before->fds,
                   after->areas - before->areas);
    for (unsigned i = 0; i < FAKEHOST_OBJ_TYPES; i++) {
        if (after->objects[i] != before->objects[i]) {
            return g_strdup_printf("%u objects of type %u, were %u",
                                   after->objects[i], i, before->objects[i]);
        }
    }
    if (after->areas != before->areas) {
        return g_strdup_printf("%u mappings, were %u", after->areas,
                               before->areas);
    }
    if (after->fds != before->fds) {
        return g_strdup_printf("%u files, were %u", after->fds, before->fds);
    }
    if (heap > (int64_t)(HEAP_ONCE + rounds * HEAP_PER_ROUND)) {
        return g_strdup_printf("%" PRId64 " more bytes of heap in %u rounds",
                               heap, rounds);
    }
    return NULL;
}

/* --- leaks on purpose --- */

static void leak_heap(FakeHost *host, unsigned i)
{
    g_autofree char *id = g_strdup_printf("leak%u", i);
    g_autofree char *data = g_strnfill(HEAP_LEAK, 'x');

    qtest_qmp_assert_success(host->qts, "{ 'execute': 'object-add',"
                             " 'arguments': { 'qom-type': 'secret',"
                             " 'id': %s, 'data': %s } }", id, data);
}

static void leak_fd(FakeHost *host, unsigned i)
{
    g_autofree char *name = g_strdup_printf("leak%u", i);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    qtest_qmp_fds_assert_success(host->qts, &fd, 1, "{ 'execute': 'getfd',"
                                 " 'arguments': { 'fdname': %s } }", name);
    close(fd);
}

/* The host says that it has destroyed something, and has not */
static void leak_object(FakeHost *host)
{
    struct FakehostRule *rule = &host->page->rules[0];

    g_strlcpy(rule->call, "IOMMU_DESTROY", sizeof(rule->call));
    rule->times = 1;
    rule->hits = 0;
    rule->action = FAKEHOST_RULE_SWALLOW;
}

static void leak(FakeHost *host, SoakLeak what, unsigned i)
{
    switch (what) {
    case SOAK_LEAK_HEAP:
        leak_heap(host, i);
        break;
    case SOAK_LEAK_FD:
        leak_fd(host, i);
        break;
    case SOAK_LEAK_OBJECT:
        leak_object(host);
        break;
    default:
        break;
    }
}

/* --- rounds --- */

void soak_run(FakeHost *host, SoakRound *round, void *opaque, unsigned warm_up,
              unsigned rounds, SoakLeak what)
{
    static const char *const words[] = {
        [SOAK_LEAK_HEAP] = "bytes of heap", [SOAK_LEAK_FD] = "files",
        [SOAK_LEAK_OBJECT] = "objects of type",
    };
    g_autofree char *found = NULL;
    Held before, after;

    for (unsigned i = 0; i < warm_up; i++) {
        round(opaque, i);
    }
    before = look(host);
    for (unsigned i = warm_up; i < warm_up + rounds; i++) {
        leak(host, what, i);
        round(opaque, i);
    }
    fakehost_clear_rules(host);
    after = look(host);
    found = grown(&before, &after, rounds);
    if (what != SOAK_NO_LEAK) {
        fakehost_expect_text(found, words[what]);
    } else if (found) {
        g_error("%s", found);
    }
}
