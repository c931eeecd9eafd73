/*
 * QTest: the accelerated VT-d's invalidation queue, as a guest may use it
 *
 * Order is what counts here: a wait descriptor completes after all that was
 * posted before it, and an error stops what comes after it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define DID         5
#define WAITS       5
#define MOST_WAITS  127     /* in a queue of 128-bit descriptors */

/* A device of the machine, and a register that keeps what is written */
#define IOAPIC_SELECT   0xfec00000ull

/* --- wait descriptors with a status of their own --- */

typedef struct Waits {
    VtdAccelTest *t;
    uint64_t status;            /* an array of these */
    unsigned num;
} Waits;

static void waits_init(Waits *w, VtdAccelTest *t)
{
    *w = (Waits) { .t = t, .status = vtd_guest_alloc(&t->guest) };
}

static void post_wait(Waits *w)
{
    g_assert_cmpuint(w->num, <, MOST_WAITS);
    vtd_guest_post(&w->t->guest, VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                   (uint64_t)(w->num + 1) << VTD_INV_DESC_WAIT_DATA_SHIFT,
                   w->status + w->num * sizeof(uint32_t));
    w->num++;
}

/* The first @num have completed, and no other */
static void expect_waited(Waits *w, unsigned num)
{
    for (unsigned i = 0; i < w->num; i++) {
        g_assert_cmpuint(qtest_readl(w->t->host->qts, w->status +
                                     i * sizeof(uint32_t)), ==,
                         i < num ? i + 1 : 0);
    }
}

static uint64_t calls(VtdAccelTest *t)
{
    return fakehost_calls(t->host, "IOMMU_HWPT_INVALIDATE");
}

/* One entry for the host; the kind that guests use most is of 256 bits */
static void post_page(VtdGuest *g, uint64_t addr)
{
    if (g->queue_width == 32) {
        vtd_guest_post_piotlb(g, VTD_PIOTLB_PAGE, DID, 0, addr, 0, false);
    } else {
        vtd_guest_post_iotlb(g, VTD_IOTLB_PAGE, DID, addr, 0);
    }
}

static void expect_error(VtdAccelTest *t, unsigned slot)
{
    g_assert_cmphex(vtd_guest_readl(&t->guest, DMAR_FSTS_REG) & VTD_FSTS_IQE,
                    ==, VTD_FSTS_IQE);
    g_assert_cmphex(vtd_guest_readq(&t->guest, DMAR_IQH_REG), ==,
                    slot * t->guest.queue_width);
}

static bool start_bound(VtdAccelTest *t, unsigned width)
{
    VtdAccelSetup setup = { .devices = 1, .width = width };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    vtd_accel_bind(t, 0, &entry);
    vtd_accel_expect_s1(t, 0);
    return true;
}

/*
 * Of several wait descriptors in one doorbell, each but the first @data has
 * work that the host can do neither by itself nor in another way.
 */
static void test_waits_in_order(const void *data)
{
    unsigned good = GPOINTER_TO_UINT(data), first;
    uint64_t before;
    VtdAccelTest t;
    Waits w;

    if (!start_bound(&t, 32)) {
        return;
    }
    waits_init(&w, &t);
    first = t.guest.tail;
    before = calls(&t);
    for (unsigned i = 0; i < WAITS; i++) {
        vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, i << 13, 0,
                              false);
        post_wait(&w);
    }
    if (good < WAITS) {
        fakehost_fail(t.host, "HWPT_INVALIDATE", good + 1, 0, EIO, 0);
        fakehost_fail(t.host, "HWPT_ALLOC", 1, 0, EIO, 0);
        fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    }
    vtd_guest_ring(&t.guest);
    expect_waited(&w, good);
    if (good < WAITS) {
        g_assert_cmpuint(calls(&t) - before, ==, good + 1);
        expect_error(&t, first + 2 * good + 1);

        /* The host comes round: DMA is blocked, so nothing is stale */
        fakehost_clear_rules(t.host);
        vtd_guest_writel(&t.guest, DMAR_FSTS_REG, VTD_FSTS_IQE);
        vtd_guest_ring(&t.guest);
        vtd_accel_expect_blocked(&t, 0);
        vtd_accel_expect_s1_hwpts(&t, 0);
        expect_waited(&w, WAITS);
        vtd_guest_flush_pasid_cache(&t.guest);
    } else {
        g_assert_cmpuint(calls(&t) - before, ==, WAITS);
    }
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* One doorbell for as much as the queue holds, from anywhere in it */
static void test_full_queue(const void *data)
{
    unsigned width = GPOINTER_TO_UINT(data), pairs;
    VtdAccelTest t;

    if (!start_bound(&t, width)) {
        return;
    }
    pairs = (t.guest.queue_slots - 1) / 2;
    for (unsigned round = 0; round < 5; round++) {
        uint64_t before = calls(&t), entries = fakehost_entries(t.host);
        Waits w;

        waits_init(&w, &t);
        for (unsigned i = 0; i < pairs; i++) {
            post_page(&t.guest, (uint64_t)i << 13);
            post_wait(&w);
        }
        vtd_guest_ring(&t.guest);
        expect_waited(&w, pairs);
        g_assert_cmpuint(calls(&t) - before, ==, pairs);
        g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, pairs);
        g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), ==,
                        t.guest.tail * width);
        /* Start elsewhere next time */
        for (unsigned i = 0; i < 7 * round; i++) {
            vtd_guest_sync(&t.guest);
        }
    }
    g_assert_cmphex(vtd_guest_readl(&t.guest, DMAR_FSTS_REG) & VTD_FSTS_IQE,
                    ==, 0);
    fakehost_free(t.host);
}

/* --- queues of several pages --- */

/* Another queue, of 4 KiB << @order; the present one has been worked off */
static void use_queue(VtdGuest *g, uint64_t base, unsigned order)
{
    vtd_guest_sync(g);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    vtd_guest_writeq(g, DMAR_IQT_REG, 0);
    vtd_guest_writeq(g, DMAR_IQA_REG, base | order |
                     (g->queue_width == 32 ? 1 << 11 : 0));
    vtd_guest_gcmd(g, VTD_GCMD_QIE, true);
    g->queue = base;
    g->queue_slots = (4096 << order) / g->queue_width;
    g->tail = 0;
}

/* All in one doorbell: what is left out or taken twice makes another entry */
static void ring_for_block(VtdAccelTest *t, unsigned pages)
{
    size_t mark = fakehost_log_mark(t->host);
    g_autofree char *entry = g_strdup_printf("[0x0:0x%x:0]", pages);
    uint64_t before = calls(t);

    for (unsigned i = 0; i < pages; i++) {
        /* Not in order */
        post_page(&t->guest, (uint64_t)(i ^ 5) << 12);
    }
    vtd_guest_sync(&t->guest);
    g_assert_cmpuint(calls(t) - before, ==, 1);
    fakehost_expect_log(t->host, mark, "HWPT_INVALIDATE", entry);
}

/* Page ends and the end of the queue anywhere among the descriptors */
static void test_pages_of_queue(void)
{
    static const unsigned starts[] = { 0, 1, 64, 126, 127, 128, 192, 254, 255 };
    VtdAccelTest t;

    if (!start_bound(&t, 32)) {
        return;
    }
    use_queue(&t.guest, 0x1000000, 1);
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        while (t.guest.tail != starts[i]) {
            vtd_guest_sync(&t.guest);
        }
        ring_for_block(&t, 128);
        ring_for_block(&t, 8);
    }
    fakehost_free(t.host);
}

/* The first page of the queue is the last one of memory */
static void test_end_of_memory(const void *data)
{
    unsigned width = GPOINTER_TO_UINT(data), slots = 4096 / width;
    const uint64_t page = VTD_GUEST_RAM_MB * MiB - 4096;
    uint64_t entries;
    VtdAccelTest t;
    Waits w;

    if (!start_bound(&t, width)) {
        return;
    }
    waits_init(&w, &t);
    use_queue(&t.guest, page, 1);
    entries = fakehost_entries(t.host);
    for (unsigned i = 0; i < slots - 2; i++) {
        post_page(&t.guest, (uint64_t)i << 13);
    }
    post_wait(&w);
    post_page(&t.guest, 0);
    /* Nothing is there to be written from here on */
    t.guest.tail += 10;
    vtd_guest_ring(&t.guest);
    expect_waited(&w, 1);
    expect_error(&t, slots);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==,
                     width == 32 ? slots - 1 : 2);
    vtd_guest_writel(&t.guest, DMAR_FSTS_REG, VTD_FSTS_IQE);
    vtd_guest_ring(&t.guest);
    expect_error(&t, slots);
    fakehost_free(t.host);
}

/* What stands beyond the tail is not there yet, though it is in the page */
static void test_tail_moves(const void *data)
{
    unsigned width = GPOINTER_TO_UINT(data);
    uint64_t before;
    VtdAccelTest t;
    Waits w;

    if (!start_bound(&t, width)) {
        return;
    }
    waits_init(&w, &t);
    before = calls(&t);
    for (unsigned i = 0; i < 8; i++) {
        unsigned tail;

        post_page(&t.guest, 0x1000);
        post_wait(&w);
        tail = t.guest.tail;
        /* Neither valid nor meant */
        vtd_guest_post(&t.guest, 0, 0);
        vtd_guest_post(&t.guest, VTD_INV_DESC_CC, 0);
        t.guest.tail = tail;
        vtd_guest_ring(&t.guest);
        expect_waited(&w, i + 1);
        g_assert_cmpuint(calls(&t) - before, ==, i + 1);
        g_assert_cmphex(vtd_guest_readl(&t.guest, DMAR_FSTS_REG) &
                        VTD_FSTS_IQE, ==, 0);
        g_assert_cmphex(vtd_guest_readq(&t.guest, DMAR_IQH_REG), ==,
                        tail * width);
    }
    fakehost_free(t.host);
}

/* --- a bad descriptor among good ones --- */

typedef struct BadCase {
    const char *name;
    uint64_t lo, hi;
    unsigned widths;            /* bad in queues of these widths */
    uint64_t upper[2];          /* of a descriptor of 256 bits */
} BadCase;

#define PIOTLB_PAGE (VTD_INV_DESC_PIOTLB | VTD_PIOTLB_PAGE << 4 | DID << 16)

static const BadCase bad_cases[] = {
    { "context-cache-granularity-0", VTD_INV_DESC_CC, 0, 16 | 32 },
    { "iotlb-granularity-0", VTD_INV_DESC_IOTLB, 0, 16 | 32 },
    { "piotlb-granularity-0", VTD_INV_DESC_PIOTLB, 0, 16 | 32 },
    { "piotlb-granularity-1", VTD_INV_DESC_PIOTLB | 1 << 4, 0, 16 | 32 },
    { "pasid-cache-granularity-2", VTD_INV_DESC_PC | 2 << 4, 0, 16 | 32 },
    { "type-0", 0, 0, 16 | 32 },
    { "wait-does-nothing", VTD_INV_DESC_WAIT, 0, 16 | 32 },
    /* This descriptor is 256 bits wide, and good where it fits */
    { "piotlb-narrow", VTD_INV_DESC_PIOTLB | VTD_PIOTLB_PASID << 4 |
      DID << 16, 0, 16 },
    { "piotlb-page-narrow", PIOTLB_PAGE, 0x3000, 16 },
    { "piotlb-reserved-6", PIOTLB_PAGE | 1 << 6, 0x3000, 32 },
    { "piotlb-reserved-15", PIOTLB_PAGE | 1 << 15, 0x3000, 32 },
    { "piotlb-reserved-52", PIOTLB_PAGE | 1ull << 52, 0x3000, 32 },
    { "piotlb-reserved-63", PIOTLB_PAGE | 1ull << 63, 0x3000, 32 },
    { "piotlb-type-of-more-bits", PIOTLB_PAGE | 1 << 9, 0x3000, 32 },
    { "piotlb-reserved-71", PIOTLB_PAGE, 0x3080, 32 },
    { "piotlb-reserved-75", PIOTLB_PAGE, 0x3800, 32 },
    { "piotlb-third-word", PIOTLB_PAGE, 0x3000, 32, { 1, 0 } },
    { "piotlb-fourth-word", PIOTLB_PAGE, 0x3000, 32, { 0, 1ull << 63 } },
};

static void write_slot(VtdGuest *g, unsigned slot, const BadCase *c)
{
    const uint64_t words[] = {
        cpu_to_le64(c->lo), cpu_to_le64(c->hi), cpu_to_le64(c->upper[0]),
        cpu_to_le64(c->upper[1]),
    };

    qtest_memwrite(g->qts, g->queue + slot * g->queue_width, words,
                   g->queue_width);
}

static void run_bad(const BadCase *c, unsigned width)
{
    static const BadCase good = {
        .lo = VTD_INV_DESC_CC | VTD_CC_GLOBAL << 4,
    };
    uint64_t before;
    VtdAccelTest t;
    unsigned bad;
    VtdGuest *g;
    Waits w;

    if (!(c->widths & width) || !start_bound(&t, width)) {
        return;
    }
    g = &t.guest;
    waits_init(&w, &t);
    before = calls(&t);
    post_page(g, 0x1000);
    post_wait(&w);
    post_page(g, 0x5000);
    bad = g->tail;
    vtd_guest_post(g, 0, 0);
    write_slot(g, bad, c);
    post_page(g, 0x9000);
    post_wait(&w);
    vtd_guest_ring(g);

    /* What was before it is done, a wait descriptor or not */
    expect_waited(&w, 1);
    g_assert_cmpuint(calls(&t) - before, ==, 2);
    expect_error(&t, bad);
    /* The error stays, and the queue stands still */
    vtd_guest_ring(g);
    expect_waited(&w, 1);
    g_assert_cmpuint(calls(&t) - before, ==, 2);
    expect_error(&t, bad);

    /* The guest puts something else there */
    write_slot(g, bad, &good);
    vtd_guest_writel(g, DMAR_FSTS_REG, VTD_FSTS_IQE);
    vtd_guest_ring(g);
    expect_waited(&w, 2);
    g_assert_cmpuint(calls(&t) - before, ==, 3);
    g_assert_cmphex(vtd_guest_readl(g, DMAR_FSTS_REG) & VTD_FSTS_IQE, ==, 0);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

static void test_bad_256(const void *data)
{
    run_bad(data, 32);
}

static void test_bad_128(const void *data)
{
    run_bad(data, 16);
}

/* --- which devices look at their entries again --- */

#define SLOT        0x00c0      /* requester id of function 0 */

/* One bit per device below */
#define FN(n)       (1u << (n))
#define SELF        (FN(0) | FN(1) | FN(3) | FN(4) | FN(7))
#define OTHER       (1u << 8)   /* function 0 of the next device */

static const char *const functions[] = {
    "addr=0x18.0,multifunction=on", "addr=0x18.1", "addr=0x18.3",
    "addr=0x18.4", "addr=0x18.7", "addr=0x19", NULL
};
static const uint8_t function_numbers[] = { 0, 1, 3, 4, 7, 8 };

typedef struct CacheCase {
    const char *name;
    const char *what;
    uint64_t lo, hi;
    bool context;               /* the context entries are gone, too */
    unsigned told;              /* devices that have to notice … */
    unsigned spared;            /* … and that must not yet */
    bool narrow;
} CacheCase;

/* The domain of function @n */
#define FN_DID(n)           ((uint64_t)(DID + (n)))
#define CC_DEVICE(n, fm)    (VTD_INV_DESC_CC | VTD_CC_DEVICE << 4 | \
                             (uint64_t)(SLOT + (n)) << 32 | \
                             (uint64_t)(fm) << 48)

static const CacheCase cache_cases[] = {
    {
        "cc-device_only-it", "one function",
        CC_DEVICE(3, 0), .context = true, .narrow = true,
        .told = FN(3), .spared = (SELF & ~FN(3)) | OTHER,
    }, {
        "cc-device-mask-1_pairs", "the upper bit of the function ignored",
        CC_DEVICE(0, 1), .context = true,
        .told = FN(0) | FN(4), .spared = FN(1) | FN(3) | FN(7) | OTHER,
    }, {
        "cc-device-mask-1-upper_pairs", "and the same from the other side",
        CC_DEVICE(7, 1), .context = true,
        .told = FN(3) | FN(7), .spared = FN(0) | FN(1) | FN(4) | OTHER,
    }, {
        "cc-device-mask-2_fours", "two bits ignored: the odd functions",
        CC_DEVICE(1, 2), .context = true, .narrow = true,
        .told = FN(1) | FN(3) | FN(7), .spared = FN(0) | FN(4) | OTHER,
    }, {
        "cc-device-mask-3_all-functions", "three bits ignored",
        CC_DEVICE(4, 3), .context = true,
        .told = SELF, .spared = OTHER,
    }, {
        "cc-device-of-nobody_silent", "a function that is not there",
        CC_DEVICE(5, 0), .context = true, .narrow = true,
        .spared = SELF | OTHER,
    }, {
        "cc-domain_all", "context entries of scalable mode have no domain",
        VTD_INV_DESC_CC | VTD_CC_DOMAIN << 4 | FN_DID(0) << 16,
        .context = true, .told = SELF | OTHER, .narrow = true,
    }, {
        "cc-global_all", "all context entries",
        VTD_INV_DESC_CC | VTD_CC_GLOBAL << 4,
        .context = true, .told = SELF | OTHER, .narrow = true,
    }, {
        "pc-global_all", "all PASID entries",
        VTD_INV_DESC_PC | VTD_PC_GLOBAL << 4, .told = SELF | OTHER,
    }, {
        "pc-domain_that-one", "the PASID entries of a domain",
        VTD_INV_DESC_PC | VTD_PC_DOMAIN << 4 | FN_DID(3) << 16,
        .told = FN(3),
    }, {
        "pc-pasid_that-one", "a PASID entry of a domain",
        VTD_INV_DESC_PC | VTD_PC_PASID << 4 | FN_DID(7) << 16,
        .told = FN(7),
    }, {
        "pc-other-pasid_silent", "a PASID that no device uses",
        VTD_INV_DESC_PC | VTD_PC_PASID << 4 | FN_DID(0) << 16 | 3ull << 32,
        .spared = SELF | OTHER,
    }, {
        "iotlb-global_silent", "translations, not entries",
        VTD_INV_DESC_IOTLB | VTD_IOTLB_GLOBAL << 4,
        .context = true, .spared = SELF | OTHER, .narrow = true,
    }, {
        "piotlb_silent", "translations, not entries",
        VTD_INV_DESC_PIOTLB | VTD_PIOTLB_PASID << 4 | FN_DID(0) << 16,
        .context = true, .spared = SELF | OTHER,
    }, {
        "device-tlb_silent", "translations, not entries",
        VTD_INV_DESC_DEVICE | (uint64_t)SLOT << 32, 0x7ffffffffffff001ull,
        .context = true, .spared = SELF | OTHER,
    },
};

static void run_cache(const CacheCase *c, unsigned width)
{
    VtdAccelSetup setup = { .cold = functions, .width = width };
    uint64_t dir[ARRAY_SIZE(function_numbers)];
    VtdAccelTest t;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    for (size_t i = 0; functions[i]; i++) {
        VtdPasidEntry entry = vtd_accel_fs_entry(FN_DID(function_numbers[i]));

        dir[i] = vtd_accel_bind_sid(&t, SLOT + function_numbers[i], &entry);
        vtd_accel_expect_s1(&t, i);
    }
    for (size_t i = 0; functions[i]; i++) {
        uint16_t sid = SLOT + function_numbers[i];

        vtd_guest_clear_pasid(&t.guest, dir[i], 0);
        if (c->context) {
            qtest_writeq(t.host->qts, vtd_guest_context(&t.guest, sid), 0);
        }
    }
    vtd_guest_post(&t.guest, c->lo, c->hi);
    vtd_guest_sync(&t.guest);
    for (size_t i = 0; functions[i]; i++) {
        if (c->told & FN(function_numbers[i])) {
            vtd_accel_expect_blocked(&t, i);
        }
        if (c->spared & FN(function_numbers[i])) {
            vtd_accel_expect_s1(&t, i);
        }
    }
    fakehost_free(t.host);
}

static void test_cache_256(const void *data)
{
    run_cache(data, 32);
}

static void test_cache_128(const void *data)
{
    run_cache(data, 16);
}

static void add(const char *group, const char *name, const void *data,
                GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vtd-accel/%s/%s", group, name);

    qtest_add_data_func(path, data, func);
}

/* A status goes to memory: a device that is there instead does not see it */
static void test_status_in_device(void)
{
    VtdAccelTest t;
    unsigned slot;

    if (!start_bound(&t, 16)) {
        return;
    }
    slot = t.guest.tail;
    g_assert_cmphex(qtest_readl(t.host->qts, IOAPIC_SELECT), ==, 0);
    vtd_guest_post(&t.guest, VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                   0x33ull << VTD_INV_DESC_WAIT_DATA_SHIFT, IOAPIC_SELECT);
    vtd_guest_ring(&t.guest);
    g_assert_cmphex(qtest_readl(t.host->qts, IOAPIC_SELECT), ==, 0);
    expect_error(&t, slot);
    fakehost_free(t.host);
}

/* --- guest memory that moves away --- */

#define PAM_PORT        (0xcfc + 3)     /* PAM3 of the host bridge */
#define PAM_QUEUE       0xd0000ull      /* its bits 3:0 */
#define PAM_STATUS      0xd4000ull      /* its bits 7:4 */
#define PAM_QUEUE_ON    0x03
#define PAM_STATUS_ON   0x30

/* Which of the two are memory; the others are the bus, with nothing there */
static void set_pam(VtdAccelTest *t, uint8_t on)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | 0x90);
    qtest_outb(t->host->qts, PAM_PORT, on);
}

/*
 * What has been found at an address is not used any more when something else
 * is there, and found again when it is back.
 */
static void test_memory_moves(const void *data)
{
    uint8_t left = GPOINTER_TO_UINT(data);
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;
    unsigned slot;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    set_pam(&t, PAM_QUEUE_ON | PAM_STATUS_ON);
    t.guest.queue = PAM_QUEUE;
    t.guest.status = PAM_STATUS;
    vtd_accel_bind(&t, 0, &entry);
    vtd_accel_expect_s1(&t, 0);
    vtd_guest_sync(&t.guest);

    for (unsigned i = 0; i < 3; i++) {
        slot = t.guest.tail;
        vtd_guest_post_wait(&t.guest);
        set_pam(&t, left);
        vtd_guest_ring(&t.guest);
        expect_error(&t, slot);

        set_pam(&t, PAM_QUEUE_ON | PAM_STATUS_ON);
        g_assert_false(vtd_guest_waited(&t.guest));
        vtd_guest_writel(&t.guest, DMAR_FSTS_REG, VTD_FSTS_IQE);
        vtd_guest_ring(&t.guest);
        g_assert_true(vtd_guest_waited(&t.guest));
    }
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/vtd-accel/queue/status-in-device_error",
                   test_status_in_device);

    for (unsigned i = 0; i <= WAITS; i++) {
        g_autofree char *name = g_strdup_printf("%u-of-%u-waits_in-order", i,
                                                WAITS);

        add("queue", name, GUINT_TO_POINTER(i), test_waits_in_order);
    }
    add("queue", "full_each-waits", GUINT_TO_POINTER(32), test_full_queue);
    add("queue-128", "full_each-waits", GUINT_TO_POINTER(16),
        test_full_queue);
    add("queue", "queue-moves_error", GUINT_TO_POINTER(PAM_STATUS_ON),
        test_memory_moves);
    add("queue", "status-moves_error", GUINT_TO_POINTER(PAM_QUEUE_ON),
        test_memory_moves);
    qtest_add_func("/vtd-accel/queue/pages_one-block", test_pages_of_queue);
    for (unsigned width = 16; width <= 32; width += 16) {
        add(width == 32 ? "queue" : "queue-128", "end-of-memory_error",
            GUINT_TO_POINTER(width), test_end_of_memory);
        add(width == 32 ? "queue" : "queue-128", "beyond-tail_untouched",
            GUINT_TO_POINTER(width), test_tail_moves);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
        if (bad_cases[i].widths & 32) {
            add("queue/bad", bad_cases[i].name, &bad_cases[i], test_bad_256);
        }
        if (bad_cases[i].widths & 16) {
            add("queue-128/bad", bad_cases[i].name, &bad_cases[i],
                test_bad_128);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(cache_cases); i++) {
        add("queue/cache", cache_cases[i].name, &cache_cases[i],
            test_cache_256);
        if (cache_cases[i].narrow) {
            add("queue-128/cache", cache_cases[i].name, &cache_cases[i],
                test_cache_128);
        }
    }
    return g_test_run();
}
