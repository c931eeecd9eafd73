/*
 * QTest: a guest that floods the accelerated VT-d with work
 *
 * The largest queue, full of the same descriptor, again and again; entries that
 * change between two descriptors, or while they are read; devices that go
 * meanwhile. What is checked is counted, not timed: calls of the host, memory,
 * lines in the log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/cutils.h"
#include "qemu/memfd.h"
#include "qemu/thread.h"
#include "hw/i386/intel_iommu_accel_work.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define DID             5
#define DEVICES         8
#define QUEUE           0x1000000ull    /* away from what the guest allocates */
#define QUEUE_ORDER     7               /* IQA.QS: the largest */
#define WIDTH           32
#define SLOTS           ((4096u << QUEUE_ORDER) / WIDTH)
#define IQA_DW          (1ull << 11)

/* Pieces in which the queue may be worked on, each of which is ended alike */
#define PIECES          32
#define WARM_UP         2
#define ROUNDS          4
/* A leak of 16 bytes for each descriptor would come to more than this */
#define MEMORY_KIB      768
/* HWPTs that are made anew: as many calls as fit into more than 4 pieces */
#define REPLACED        3000
/* Rounds in which another processor may be met, and calls that are enough */
#define RACE_ROUNDS     100
#define RACE_CALLS      1000
/* All PASIDs that there are; under ASan that takes too long */
#ifdef QEMU_SANITIZE_ADDRESS
#define PASID_BITS      16
#else
#define PASID_BITS      20
#endif
/* A PASID directory for all of them, away from the rest */
#define DIR             0x2000000ull
#define DIR_NUM         (1u << (PASID_BITS - 6))
#define CE_PASIDE       (1ull << 3)
#define CE_PDTS_MAX     (7ull << 9)

#define PC(g)       (VTD_INV_DESC_PC | (g) << 4 | (uint64_t)DID << 16)
#define CC(g)       (VTD_INV_DESC_CC | (g) << 4)
#define IOTLB(g)    (VTD_INV_DESC_IOTLB | (g) << 4 | (uint64_t)DID << 16)
#define PIOTLB(g)   (VTD_INV_DESC_PIOTLB | (g) << 4 | (uint64_t)DID << 16)
#define WAIT        (VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW)

typedef struct Desc {
    uint64_t lo;
    uint64_t hi;
} Desc;

/* --- the large queue --- */

/* All slots but one, which a queue always keeps free, are filled in turn */
static void fill_queue(VtdAccelTest *t, const Desc *descs, unsigned num)
{
    g_autofree uint64_t *words = g_new0(uint64_t, SLOTS * (WIDTH / 8));

    for (unsigned i = 0; i < SLOTS; i++) {
        words[i * 4] = cpu_to_le64(descs[i % num].lo);
        words[i * 4 + 1] = cpu_to_le64(descs[i % num].hi);
    }
    qtest_memwrite(t->host->qts, QUEUE, words, SLOTS * WIDTH);
}

static void use_large_queue(VtdAccelTest *t)
{
    VtdGuest *g = &t->guest;

    /* Only behind a wait descriptor can the queue be switched off */
    vtd_guest_sync(g);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    vtd_guest_writeq(g, DMAR_IQT_REG, 0);
    vtd_guest_writeq(g, DMAR_IQA_REG, QUEUE | IQA_DW | QUEUE_ORDER);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, true);
    g->queue = QUEUE;
    g->queue_slots = SLOTS;
    g->tail = 0;
}

/*
 * One doorbell for everything that fits: @num descriptors from the head on.
 * QEMU may do the work in pieces; all of it is done in the end, and no
 * descriptor was found invalid.
 */
static void ring_for(VtdAccelTest *t, unsigned num)
{
    VtdGuest *g = &t->guest;

    g_assert_cmpuint(num, <, SLOTS);
    g->tail = (g->tail + num) % SLOTS;
    vtd_guest_ring(g);
    QTEST_AWAIT(vtd_guest_readq(g, DMAR_IQH_REG) == g->tail * WIDTH ||
                vtd_guest_readl(g, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    g_assert_false(vtd_guest_readl(g, DMAR_FSTS_REG) & VTD_FSTS_IQE);
}

/* --- measures --- */

/*
 * Anonymous memory of QEMU, in KiB.  ASan keeps back what was freed: with it
 * this tells nothing, and is always 0.
 */
static unsigned long memory(VtdAccelTest *t)
{
#ifdef QEMU_SANITIZE_ADDRESS
    return 0;
#endif
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(t->host->qts));
    g_autofree char *text = NULL;
    unsigned long kib;
    const char *line;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, "RssAnon:");
    g_assert_nonnull(line);
    g_assert_cmpint(qemu_strtoul(line + strlen("RssAnon:"), &line, 10, &kib),
                    ==, 0);
    return kib;
}

/* Nothing goes on behind the guest's back, and the main loop is there */
static void check_quiet(VtdAccelTest *t)
{
    uint64_t calls = fakehost_total_calls(t->host);

    for (unsigned i = 0; i < 10; i++) {
        qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
    }
    g_assert_cmpuint(fakehost_total_calls(t->host), ==, calls);
}

static void check_log(VtdAccelTest *t, size_t mark, gint64 start,
                      unsigned devices)
{
    fakehost_expect_err_limited(t->host, mark, "intel-iommu: ", start, devices);
}

static bool start(VtdAccelTest *t, unsigned devices, uint64_t *entry)
{
    VtdAccelSetup setup = { .devices = devices };
    VtdPasidEntry pe = vtd_accel_fs_entry(DID);

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    for (unsigned n = 0; n < devices; n++) {
        uint64_t dir = vtd_accel_bind(t, n, &pe);

        vtd_accel_expect_s1(t, n);
        if (!n && entry) {
            *entry = vtd_guest_pasid(&t->guest, dir, 0);
        }
    }
    use_large_queue(t);
    return true;
}

/* --- the same over and over --- */

typedef struct FloodCase {
    const char *name;
    Desc descs[2];          /* a second one with lo 0 is none */
    unsigned every;         /* descriptors for each call; 0: no calls */
    unsigned more;          /* calls that may come on top */
} FloodCase;

static const FloodCase flood_cases[] = {
    { "pasid-cache-global", { { PC(3) } } },
    { "pasid-cache-domain", { { PC(0) } } },
    { "pasid-cache-selective", { { PC(1) } } },
    { "pasid-cache-of-nobody", { { PC(1) | 0x12345ull << 32 } } },
    { "context-cache-global", { { CC(1) } } },
    { "context-cache-device", { { CC(3) | 0x100ull << 32 } } },
    { "iotlb-global", { { IOTLB(1) } }, .more = 1 },
    { "iotlb-domain", { { IOTLB(2) } }, .more = 1 },
    { "iotlb-page", { { IOTLB(3), 0x5000 } }, .every = 1024, .more = 1 },
    { "piotlb-pasid", { { PIOTLB(2) } }, .more = 1 },
    { "piotlb-page", { { PIOTLB(3), 0x5000 } }, .every = 1024, .more = 1 },
    { "piotlb-page-and-wait",
      { { PIOTLB(3), 0x5000 }, { WAIT, 0x300000 } }, .every = 2, .more = 1 },
    { "pasid-cache-and-wait", { { PC(3) }, { WAIT, 0x300000 } } },
    { "pasid-cache-and-piotlb", { { PC(3) }, { PIOTLB(2) } }, .more = PIECES },
    { "context-cache-and-piotlb", { { CC(1) }, { PIOTLB(2) } },
      .more = PIECES },
    { "interrupt-entry-cache", { { VTD_INV_DESC_IEC } } },
    { "device-tlb", { { VTD_INV_DESC_DEVICE | 0x100ull << 32, 0x5000 } } },
    { "wait", { { WAIT, 0x300000 } } },
};

static void test_flood(const void *data)
{
    const FloodCase *c = data;
    unsigned num = c->descs[1].lo ? 2 : 1;
    unsigned long before = 0;
    gint64 begin = g_get_monotonic_time();
    VtdAccelTest t;
    size_t err;

    if (!start(&t, DEVICES, NULL)) {
        return;
    }
    err = fakehost_err_mark(t.host);
    fill_queue(&t, c->descs, num);
    for (unsigned i = 0; i < WARM_UP + ROUNDS; i++) {
        uint64_t calls = fakehost_total_calls(t.host);

        if (i == WARM_UP) {
            before = memory(&t);
        }
        ring_for(&t, SLOTS - 1);
        calls = fakehost_total_calls(t.host) - calls;
        g_assert_cmpuint(calls, <=, (c->every ? SLOTS / c->every : 0) +
                         c->more);
        g_assert_cmpuint(calls, >=, c->every || c->more);
    }
    g_assert_cmpuint(memory(&t), <=, before + MEMORY_KIB);
    check_quiet(&t);
    check_log(&t, err, begin, DEVICES);
    for (unsigned n = 0; n < DEVICES; n++) {
        vtd_accel_expect_s1(&t, n);
    }
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* --- entries that change --- */

/*
 * The status write of a wait descriptor changes the entry that the next
 * descriptor has read: present, not present, present…
 */
static void fill_toggle(VtdAccelTest *t, uint64_t entry)
{
    uint64_t present = VTD_PGTT_FIRST_STAGE << 6 | 1;
    const Desc descs[] = {
        { WAIT | 0ull << VTD_INV_DESC_WAIT_DATA_SHIFT, entry },
        { PC(1) },
        { WAIT | present << VTD_INV_DESC_WAIT_DATA_SHIFT, entry },
        { PC(1) },
    };

    fill_queue(t, descs, ARRAY_SIZE(descs));
}

static void test_toggle_entry(void)
{
    unsigned long before = 0;
    VtdAccelTest t;
    uint64_t entry;

    if (!start(&t, 1, &entry)) {
        return;
    }
    fill_toggle(&t, entry);
    for (unsigned i = 0; i < WARM_UP + ROUNDS; i++) {
        uint64_t calls = fakehost_total_calls(t.host);

        if (i == WARM_UP) {
            before = memory(&t);
        }
        ring_for(&t, SLOTS - 4);
        /* Detach and free, allocate and attach: nothing else for four */
        g_assert_cmpuint(fakehost_total_calls(t.host) - calls, ==, SLOTS - 4);
        vtd_accel_expect_s1(&t, 0);
        vtd_accel_expect_s1_hwpts(&t, 1);
        use_large_queue(&t);
    }
    g_assert_cmpuint(memory(&t), <=, before + MEMORY_KIB);
    check_quiet(&t);
    fakehost_free(t.host);
}

/* The same while the host refuses everything: still so many calls, few lines */
static void test_toggle_entry_host_fails(void)
{
    static const char *const failing[] = {
        "IOMMU_HWPT_ALLOC", "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(failing); i++) {
        gint64 begin = g_get_monotonic_time();
        uint64_t entry, calls;
        VtdAccelTest t;
        size_t err;

        if (!start(&t, 1, &entry)) {
            return;
        }
        fill_toggle(&t, entry);
        err = fakehost_err_mark(t.host);
        calls = fakehost_total_calls(t.host);
        fakehost_fail(t.host, failing[i], 1, 0, ENOMEM, 0);
        ring_for(&t, SLOTS - 4);
        g_assert_cmpuint(fakehost_total_calls(t.host) - calls, <, SLOTS);
        g_assert_cmpuint(fakehost_failed_calls(t.host, failing[i]), ==,
                         SLOTS / 4 - 1);
        vtd_accel_expect_blocked(&t, 0);
        vtd_accel_expect_s1_hwpts(&t, 0);
        check_log(&t, err, begin, 1);
        check_quiet(&t);

        fakehost_clear_rules(t.host);
        use_large_queue(&t);
        ring_for(&t, 4);
        vtd_accel_expect_s1(&t, 0);
        fakehost_free(t.host);
    }
}

/*
 * A host that refuses each invalidation has a fresh HWPT made and attached for
 * it: the pieces are not larger for that.
 */
static void test_replaced(void)
{
    const Desc descs[] = { { PIOTLB(2) }, { WAIT, 0x300000 } };
    VtdAccelSetup setup = {
        .devices = 1, .no_log = true, .args = "-d trace:vtd_accel_queue_yield ",
    };
    VtdPasidEntry pe = vtd_accel_fs_entry(DID);
    uint64_t calls, pieces;
    VtdAccelTest t;
    size_t err;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &pe);
    use_large_queue(&t);
    fill_queue(&t, descs, ARRAY_SIZE(descs));
    err = fakehost_err_mark(t.host);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC");
    fakehost_fail(t.host, "HWPT_INVALIDATE", 1, 0, EIO, 0);
    ring_for(&t, REPLACED * ARRAY_SIZE(descs));
    calls = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC") - calls;
    g_assert_cmpuint(calls, ==, REPLACED);
    pieces = fakehost_err_lines(t.host, err, "vtd_accel_queue_yield") + 1;
    /* To invalidate, to allocate, to attach */
    g_assert_cmpuint(pieces * VTD_ACCEL_WORK_MAX, >=,
                     3 * REPLACED * VTD_ACCEL_IOCTL_WORK);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* Another processor of the guest */
typedef struct Writer {
    uint64_t *entry;
    uint64_t values[2];
    bool stop;
    unsigned long writes;
} Writer;

static void *write_entry(void *opaque)
{
    Writer *w = opaque;

    while (!qatomic_read(&w->stop)) {
        qatomic_set(w->entry, cpu_to_le64(w->values[w->writes++ & 1]));
    }
    return NULL;
}

typedef struct RaceCase {
    const char *name;
    unsigned word;              /* of the PASID entry */
    uint64_t values[2];
} RaceCase;

#define FS_PRESENT  (VTD_PGTT_FIRST_STAGE << 6 | 1)

static const RaceCase race_cases[] = {
    { "present", 0, { FS_PRESENT, 0 } },
    { "type", 0, { FS_PRESENT, VTD_PGTT_PASS_THROUGH << 6 | 1 } },
    { "domain", 1, { DID, DID + 1 } },
    { "table", 2, { VTD_GUEST_FSTS_DIR, VTD_GUEST_FSTS_DIR + 0x1000 } },
    { "levels", 2, { VTD_GUEST_FSTS_DIR, VTD_GUEST_FSTS_DIR | 1 << 2 } },
};

/* An entry changes while it is read; in the end the last value counts */
static void test_race(const void *data)
{
    const RaceCase *c = data;
    const size_t size = VTD_GUEST_RAM_MB * 1024ull * 1024;
    int fd = memfd_create("vtd-accel-flood", 0);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=ram,share=on,size=%zu,"
        "mem-path=/proc/%d/fd/%d -machine memory-backend=ram", size, getpid(),
        fd);
    VtdAccelSetup setup = { .devices = 1, .args = args };
    VtdPasidEntry pe = vtd_accel_fs_entry(DID);
    const Desc desc = { PC(1) };
    Writer w = { .values = { c->values[0], c->values[1] } };
    uint64_t entry, calls;
    unsigned long before;
    unsigned rounds = 0;
    QemuThread thread;
    VtdAccelTest t;
    uint8_t *ram;

    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    if (!vtd_accel_start(&t, &setup)) {
        close(fd);
        return;
    }
    ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(ram != MAP_FAILED);
    entry = vtd_guest_pasid(&t.guest, vtd_accel_bind(&t, 0, &pe), 0);
    w.entry = (uint64_t *)(ram + entry) + c->word;
    use_large_queue(&t);
    fill_queue(&t, &desc, 1);

    ring_for(&t, SLOTS - 1);
    before = memory(&t);
    calls = fakehost_total_calls(t.host);
    qemu_thread_create(&thread, "writer", write_entry, &w,
                       QEMU_THREAD_JOINABLE);
    /* Where processors are few they seldom meet */
    while (rounds < RACE_ROUNDS &&
           fakehost_total_calls(t.host) - calls < RACE_CALLS) {
        use_large_queue(&t);
        ring_for(&t, SLOTS - 1);
        rounds++;
    }
    qatomic_set(&w.stop, true);
    qemu_thread_join(&thread);

    calls = fakehost_total_calls(t.host) - calls;
    g_test_message("%u rounds, %lu writes, %" PRIu64 " calls", rounds,
                   w.writes, calls);
    /* Allocate, attach, free for a descriptor at the worst */
    g_assert_cmpuint(calls, <=, 3ull * SLOTS * rounds);
    g_assert_cmpuint(memory(&t), <=, before + MEMORY_KIB);
    for (unsigned i = 0; i < 2; i++) {
        qatomic_set(w.entry, cpu_to_le64(c->values[!i]));
        use_large_queue(&t);
        ring_for(&t, 1);
    }
    /* The first value is that of a plain first-stage entry */
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 1);
    check_quiet(&t);
    munmap(ram, size);
    close(fd);
    fakehost_free(t.host);
}

/* --- a queue that is something else as well --- */

/*
 * The queue lies in the PASID table. A wait descriptor with status write and
 * fence is, as a PASID entry, a present first-stage one, of a domain that its
 * status address tells.
 */
static void test_queue_is_pasid_table(void)
{
    const Desc descs[] = {
        { WAIT | VTD_INV_DESC_WAIT_FN, 0x300000 | DID << 2 },
        { PC(1) },
    };
    uint64_t entry, calls;
    VtdAccelTest t;

    if (!start(&t, 1, &entry)) {
        return;
    }
    /* As large as it is, it begins with the entry of PASID 0 */
    fill_queue(&t, descs, ARRAY_SIZE(descs));
    qtest_writeq(t.host->qts, vtd_guest_pasid(&t.guest, t.guest.next_page, 0),
                 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);

        /* Alternate between the queue and an empty table */
        qtest_writeq(t.host->qts, dir, (i ? vtd_guest_alloc(&t.guest) : QUEUE) |
                     1);
        vtd_guest_set_root(&t.guest, t.guest.root, true);
        calls = fakehost_total_calls(t.host);
        ring_for(&t, SLOTS / 2 - 2);
        g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
        if (i) {
            vtd_accel_expect_blocked(&t, 0);
        } else {
            vtd_accel_expect_s1(&t, 0);
        }
    }
    check_quiet(&t);
    fakehost_free(t.host);
}

/* The tail goes round and round: each doorbell is for one lap less a slot */
static void test_queue_goes_round(void)
{
    const Desc descs[] = { { PIOTLB(3), 0x5000 }, { WAIT, 0x300000 } };
    const unsigned laps = 32;
    uint64_t entries;
    VtdAccelTest t;

    if (!start(&t, 2, NULL)) {
        return;
    }
    fill_queue(&t, descs, ARRAY_SIZE(descs));
    entries = fakehost_entries(t.host);
    for (unsigned i = 0; i < laps; i++) {
        ring_for(&t, SLOTS - 2);
    }
    /* One entry per pair, however often the same slots come */
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==,
                     laps * (SLOTS / 2 - 1));
    check_quiet(&t);
    fakehost_free(t.host);
}

/* --- devices that go --- */

static void test_unplug_while_flooded(void)
{
    const Desc descs[] = { { PC(3) }, { CC(1) }, { PIOTLB(3), 0x5000 },
                           { WAIT, 0x300000 } };
    VtdAccelTest t;
    uint64_t calls;

    if (!start(&t, 3, NULL)) {
        return;
    }
    fill_queue(&t, descs, ARRAY_SIZE(descs));
    for (unsigned n = 0; n < 3; n++) {
        /* A slot that is in use is not emptied before the guest agrees */
        fakehost_set_power(t.host, n, true);
        qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'device_del',"
                                 " 'arguments': { 'id': %s } }",
                                 fakehost_dev(n));
        /* The guest has been asked, and goes on using the device */
        ring_for(&t, SLOTS - 4);
        vtd_accel_expect_s1(&t, n);
        fakehost_set_power(t.host, n, false);
        ring_for(&t, SLOTS - 4);
        qtest_qmp_eventwait(t.host->qts, "DEVICE_DELETED");
        g_assert_true(fakehost_is_blocked(t.host, fakehost_dev(n)));
        calls = fakehost_total_calls(t.host);
        ring_for(&t, SLOTS - 4);
        /* Whatever is left has one HWPT; nobody speaks of the one that went */
        g_assert_cmpuint(fakehost_total_calls(t.host) - calls, <=,
                         n == 2 ? 0 : SLOTS / 4);
        vtd_accel_expect_s1_hwpts(&t, n == 2 ? 0 : 1);
    }
    fakehost_expect_empty(t.host);

    fakehost_plug(t.host, 0);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* The host refuses to block the device, and it goes all the same */
static void test_unplug_host_refuses(void)
{
    const Desc desc = { PC(3) };
    VtdAccelTest t;
    size_t err;
    gint64 begin = g_get_monotonic_time();

    if (!start(&t, 2, NULL)) {
        return;
    }
    fill_queue(&t, &desc, 1);
    err = fakehost_err_mark(t.host);
    fakehost_set_power(t.host, 0, true);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'device_del',"
                             " 'arguments': { 'id': 'dev0' } }");
    fakehost_fail(t.host, "VFIO_DEVICE_DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    ring_for(&t, SLOTS - 1);
    fakehost_set_power(t.host, 0, false);
    qtest_qmp_eventwait(t.host->qts, "DEVICE_DELETED");
    ring_for(&t, SLOTS - 1);
    fakehost_clear_rules(t.host);
    check_log(&t, err, begin, 2);
    vtd_accel_expect_s1(&t, 1);
    check_quiet(&t);
    fakehost_free(t.host);
}

/* A device that stays in reset is asked once for each descriptor at most */
static void test_device_in_reset(void)
{
    gint64 begin = g_get_monotonic_time();
    uint64_t entry, calls;
    VtdAccelTest t;
    size_t err;

    if (!start(&t, 1, &entry)) {
        return;
    }
    fill_toggle(&t, entry);
    err = fakehost_err_mark(t.host);
    fakehost_device(t.host, "dev0")->flags |= FAKEHOST_DEV_IN_RESET;
    calls = fakehost_total_calls(t.host);
    ring_for(&t, SLOTS - 4);
    g_assert_cmpuint(fakehost_total_calls(t.host) - calls, <=, SLOTS);
    check_log(&t, err, begin, 1);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'query-status' }");
    fakehost_device(t.host, "dev0")->flags &= ~FAKEHOST_DEV_IN_RESET;
    /* Its timer follows by itself */
    FAKEHOST_AWAIT(t.host, !fakehost_is_blocked(t.host, "dev0"));
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* --- all PASIDs that there are --- */

/*
 * A device with a directory of 2^14 entries that all lead to one PASID table,
 * which has nothing in it yet.
 *
 * Returns: the table
 */
static uint64_t start_all_pasids(VtdAccelTest *t, unsigned bits)
{
    g_autofree char *host = g_strdup_printf(
        "iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%" PRIx64 "\n"
        "device dev0 iommu=iommu0 pasid-bits=%u\n", (uint64_t)HOST_CAP,
        (uint64_t)HOST_ECAP, bits);
    VtdAccelSetup setup = {
        .host = host, .no_log = true, .devices = 1,
        .iommu_props = VTD_ACCEL_PROPS ",pasid-bits=20,max-host-domains=65536",
    };
    g_autofree uint64_t *dir = g_new0(uint64_t, DIR_NUM);
    VtdGuest *g = &t->guest;
    uint64_t context, table;

    if (!vtd_accel_start(t, &setup)) {
        return 0;
    }
    context = vtd_guest_context(g, fakehost_sid(0));
    table = vtd_guest_alloc(g);
    for (unsigned i = 0; i < DIR_NUM; i++) {
        dir[i] = cpu_to_le64(table | 1);
    }
    qtest_memwrite(g->qts, DIR, dir, DIR_NUM * sizeof(*dir));
    /* RID_PASID is one of them */
    qtest_writeq(g->qts, context + 8, 0);
    qtest_writeq(g->qts, context, DIR | CE_PDTS_MAX | CE_PASIDE | 1);
    vtd_guest_enable(g);
    use_large_queue(t);
    return table;
}

static void set_table(VtdAccelTest *t, uint64_t table, uint64_t entry)
{
    uint64_t words[64 * 8] = { };

    for (unsigned i = 0; i < 64; i++) {
        words[i * 8] = cpu_to_le64(entry);
    }
    qtest_memwrite(t->host->qts, table, words, sizeof(words));
}

static void wait_for_pasids(VtdAccelTest *t, unsigned pasids)
{
    const struct FakehostDevice *dev = fakehost_device(t->host, "dev0");

    vtd_guest_post_pc(&t->guest, VTD_PC_GLOBAL, 0, 0);
    vtd_guest_post_wait(&t->guest);
    vtd_guest_ring(&t->guest);
    QTEST_AWAIT(vtd_guest_waited(&t->guest));
    g_assert_cmpuint(dev->pasids, ==, pasids);
}

/* Bind all, change nothing, unbind all */
static void run_pasids(VtdAccelTest *t, uint64_t table, unsigned pasids)
{
    unsigned long before = memory(t);
    uint64_t calls = fakehost_total_calls(t->host);

    set_table(t, table, VTD_PGTT_PASS_THROUGH << 6 | 1);
    wait_for_pasids(t, pasids);
    /* RID_PASID is attached, too: with translation on it was blocked */
    g_assert_cmpuint(fakehost_total_calls(t->host) - calls, ==, pasids + 1);
    g_test_message("%lu bytes more for each PASID, of QEMU and of the library",
                   (memory(t) - before) * 1024 / pasids);

    calls = fakehost_total_calls(t->host);
    wait_for_pasids(t, pasids);
    g_assert_cmpuint(fakehost_total_calls(t->host), ==, calls);

    set_table(t, table, 0);
    wait_for_pasids(t, 0);
    g_assert_cmpuint(fakehost_total_calls(t->host) - calls, ==, pasids + 1);
}

static void test_all_pasids_bound(void)
{
    VtdAccelTest t;
    uint64_t table = start_all_pasids(&t, PASID_BITS);

    if (table) {
        run_pasids(&t, table, (1 << PASID_BITS) - 1);
        fakehost_free(t.host);
    }
}

/* What was unbound leaves nothing behind */
static void test_many_pasids_again(void)
{
    const unsigned bits = 14;
    unsigned long before = 0;
    VtdAccelTest t;
    uint64_t table = start_all_pasids(&t, bits);

    if (!table) {
        return;
    }
    for (unsigned i = 0; i < WARM_UP + ROUNDS; i++) {
        if (i == WARM_UP) {
            before = memory(&t);
        }
        run_pasids(&t, table, (1 << bits) - 1);
    }
    g_assert_cmpuint(memory(&t), <=, before + MEMORY_KIB);
    fakehost_free(t.host);
}

/*
 * The most work that a queue can mean: each descriptor is for all PASIDs. That
 * takes minutes, and the main loop is there all the time. The head passes none
 * before all are complete.
 */
static void test_all_pasids_responsive(void)
{
    const Desc desc = { PC(3) };
    const unsigned few = 64;
    const struct FakehostDevice *dev;
    unsigned long before;
    VtdAccelTest t;

    if (!start_all_pasids(&t, PASID_BITS)) {
        return;
    }
    dev = fakehost_device(t.host, "dev0");
    fill_queue(&t, &desc, 1);
    before = memory(&t);

    /* A few of them come to their end */
    t.guest.tail = few;
    vtd_guest_ring(&t.guest);
    QTEST_AWAIT(vtd_guest_readq(&t.guest, DMAR_IQH_REG) == few * WIDTH);

    t.guest.tail = few - 1;
    vtd_guest_ring(&t.guest);
    for (unsigned i = 0; i < 50; i++) {
        qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'query-status' }");
        g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), ==,
                        few * WIDTH);
    }
    g_assert_cmpuint(memory(&t), <=, before + MEMORY_KIB);

    /* A reset in the middle ends it */
    fakehost_reset(t.host);
    g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), ==, 0);
    check_quiet(&t);
    g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), ==, 0);
    g_assert_cmpuint(dev->pt_id, !=, 0);
    g_assert_cmpuint(dev->pt_id, ==, dev->hw_pt_id);
    fakehost_free(t.host);
}

/* Nothing goes on by itself while the guest is stopped */
static void stop_guest(VtdAccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'stop' }");
}

/* A command by register: not complete while the host is not told all of it */
static void expect_pieces(VtdAccelTest *t, uint32_t reg, uint32_t bit,
                          uint32_t pending, unsigned pasids)
{
    const struct FakehostDevice *dev = fakehost_device(t->host, "dev0");

    g_assert_cmphex(vtd_guest_readl(&t->guest, reg) & bit, ==, pending);
    g_assert_cmpuint(dev->pasids, !=, pasids);
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'cont' }");
    QTEST_AWAIT((vtd_guest_readl(&t->guest, reg) & bit) != pending);
    g_assert_cmpuint(dev->pasids, ==, pasids);
}

/*
 * A page of each PASID: as many tables that the host is to be told of as there
 * are descriptors.  The first piece ends long before the last of them.
 */
static void test_all_pasids_pages(void)
{
    const unsigned bits = 13, pasids = 1 << bits;
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t calls, table;
    VtdAccelTest t;

    table = start_all_pasids(&t, bits);
    if (!table) {
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        vtd_guest_write_pasid(&t.guest, DIR, i, &entry);
    }
    wait_for_pasids(&t, pasids - 1);

    stop_guest(&t);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    for (unsigned i = 0; i < pasids; i++) {
        vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, i, 0, 0, false);
    }
    vtd_guest_post_wait(&t.guest);
    vtd_guest_ring(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls,
                     <=, pasids / 2);
    g_assert_false(vtd_guest_waited(&t.guest));
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    QTEST_AWAIT(vtd_guest_waited(&t.guest));
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, pasids);
    fakehost_free(t.host);
}

static void test_all_pasids_commands(void)
{
    const unsigned pasids = (1 << PASID_BITS) - 1;
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t table = start_all_pasids(&t, PASID_BITS);

    if (!table) {
        return;
    }
    set_table(&t, table, VTD_PGTT_PASS_THROUGH << 6 | 1);
    stop_guest(&t);
    vtd_guest_writel(g, DMAR_GCMD_REG,
                     VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GCMD_SRTP);
    expect_pieces(&t, DMAR_GSTS_REG, VTD_GSTS_RTPS, 0, pasids);

    stop_guest(&t);
    vtd_guest_writel(g, DMAR_GCMD_REG, VTD_GSTS_QIES);
    expect_pieces(&t, DMAR_GSTS_REG, VTD_GSTS_TES, VTD_GSTS_TES, 0);
    stop_guest(&t);
    vtd_guest_writel(g, DMAR_GCMD_REG, VTD_GSTS_TES | VTD_GSTS_QIES);
    expect_pieces(&t, DMAR_GSTS_REG, VTD_GSTS_TES, 0, pasids);

    /* The queue has to be off for the others, and its last word a wait */
    vtd_guest_sync(g);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    set_table(&t, table, 0);
    stop_guest(&t);
    vtd_guest_writeq(g, DMAR_CCMD_REG, VTD_CCMD_ICC | VTD_CCMD_GLOBAL_INVL);
    expect_pieces(&t, DMAR_CCMD_REG + 4, VTD_CCMD_ICC >> 32,
                  VTD_CCMD_ICC >> 32, 0);

    /* A reset in the middle leaves nothing to be done */
    set_table(&t, table, VTD_PGTT_PASS_THROUGH << 6 | 1);
    vtd_guest_writel(g, DMAR_GCMD_REG, VTD_GSTS_TES | VTD_GCMD_SRTP);
    fakehost_reset(t.host);
    g_assert_cmphex(vtd_guest_readl(g, DMAR_GSTS_REG), ==, 0);
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pasids, ==, 0);
    check_quiet(&t);
    fakehost_free(t.host);
}

/* A HWPT for each PASID, all of which one command by register is for */
static void test_iotlb_by_register(void)
{
    const unsigned bits = 13, pasids = (1 << bits) - 1;
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    const uint64_t commands[] = {
        VTD_TLB_IVT | VTD_TLB_GLOBAL_FLUSH,
        VTD_TLB_IVT | VTD_TLB_DSI_FLUSH | (uint64_t)DID << 32,
    };
    VtdAccelTest t;
    VtdGuest *g = &t.guest;

    if (!start_all_pasids(&t, bits)) {
        return;
    }
    qtest_memset(g->qts, DIR, 0, DIR_NUM * 8);
    for (unsigned i = 0; i <= pasids; i++) {
        entry.table += 0x1000;
        vtd_guest_write_pasid(g, DIR, i, &entry);
    }
    wait_for_pasids(&t, pasids);
    vtd_accel_expect_s1_hwpts(&t, pasids + 1);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        uint64_t calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");

        stop_guest(&t);
        vtd_guest_writeq(g, DMAR_IOTLB_REG, commands[i]);
        g_assert_true(vtd_guest_readq(g, DMAR_IOTLB_REG) & VTD_TLB_IVT);
        g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), <,
                         calls + pasids);
        qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
        QTEST_AWAIT(!(vtd_guest_readq(g, DMAR_IOTLB_REG) & VTD_TLB_IVT));
        /* RID_PASID has one, too */
        g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                         calls + pasids + 1);
        g_assert_cmphex(vtd_guest_readq(g, DMAR_IOTLB_REG) &
                        VTD_TLB_FLUSH_GRANU_MASK_A, ==,
                        i ? VTD_TLB_DSI_FLUSH_A : VTD_TLB_GLOBAL_FLUSH_A);
    }
    fakehost_free(t.host);
}

/* The same queue while the device goes */
static void test_all_pasids_unplug(void)
{
    const Desc desc = { PC(3) };
    VtdAccelTest t;
    uint64_t table = start_all_pasids(&t, PASID_BITS);

    if (!table) {
        return;
    }
    set_table(&t, table, VTD_PGTT_PASS_THROUGH << 6 | 1);
    fill_queue(&t, &desc, 1);
    t.guest.tail = 64;
    stop_guest(&t);
    vtd_guest_ring(&t.guest);
    /* Some of them are bound by now */
    g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), <,
                    t.guest.tail * WIDTH);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    fakehost_unplug(t.host, 0);
    g_assert_true(fakehost_is_blocked(t.host, "dev0"));
    g_assert_cmpuint(fakehost_device(t.host, "dev0")->pasids, ==, 0);
    fakehost_expect_empty(t.host);
    /* Nobody is left to walk for */
    vtd_guest_sync(&t.guest);
    fakehost_free(t.host);
}

static void add(const char *group, const char *name, const void *data,
                GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vtd-accel/flood/%s/%s", group,
                                            name);

    qtest_add_data_func(path, data, func);
}

int main(int argc, char **argv)
{
    const char *asan = g_getenv("ASAN_OPTIONS");

    if (asan) {
        /* Memory that was freed is to be used again */
        g_autofree char *options = g_strdup_printf(
            "%s:quarantine_size_mb=1:thread_local_quarantine_size_kb=64", asan);

        g_setenv("ASAN_OPTIONS", options, true);
    }
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(flood_cases); i++) {
        add("full-queue", flood_cases[i].name, &flood_cases[i], test_flood);
    }
    for (size_t i = 0; i < ARRAY_SIZE(race_cases); i++) {
        add("race", race_cases[i].name, &race_cases[i], test_race);
    }
    qtest_add_func("/vtd-accel/flood/toggle-entry", test_toggle_entry);
    qtest_add_func("/vtd-accel/flood/toggle-entry-host-fails",
                   test_toggle_entry_host_fails);
    qtest_add_func("/vtd-accel/flood/replaced_in-pieces", test_replaced);
    qtest_add_func("/vtd-accel/flood/queue-is-pasid-table",
                   test_queue_is_pasid_table);
    qtest_add_func("/vtd-accel/flood/queue-goes-round", test_queue_goes_round);
    qtest_add_func("/vtd-accel/flood/unplug/while-flooded",
                   test_unplug_while_flooded);
    qtest_add_func("/vtd-accel/flood/unplug/host-refuses",
                   test_unplug_host_refuses);
    qtest_add_func("/vtd-accel/flood/device-in-reset", test_device_in_reset);
    qtest_add_func("/vtd-accel/flood/all-pasids/bound", test_all_pasids_bound);
    qtest_add_func("/vtd-accel/flood/all-pasids/again",
                   test_many_pasids_again);
    qtest_add_func("/vtd-accel/flood/all-pasids/responsive",
                   test_all_pasids_responsive);
    qtest_add_func("/vtd-accel/flood/all-pasids/pages", test_all_pasids_pages);
    qtest_add_func("/vtd-accel/flood/all-pasids/commands",
                   test_all_pasids_commands);
    qtest_add_func("/vtd-accel/flood/iotlb-by-register",
                   test_iotlb_by_register);
    qtest_add_func("/vtd-accel/flood/all-pasids/unplug",
                   test_all_pasids_unplug);
    return g_test_run();
}
