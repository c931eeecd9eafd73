/*
 * QTest: the accelerated VT-d passes invalidations on, in batches
 *
 * A case is a list of descriptors that are posted together with a wait
 * descriptor at the end, and what the host must have been told by the time
 * that one completes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define DID         5
#define OTHER_DID   6
#define OTHER_PASID 9
#define DESCS       4
#define ALL         "0x0:0xffffffffffffffff:0"

typedef enum Kind {
    PIOTLB,
    IOTLB,
    DEVICE_TLB,
    WAIT,
} Kind;

typedef struct Desc {
    Kind kind;
    unsigned granularity;
    uint16_t domain_id;
    uint32_t pasid;
    uint64_t addr;
    uint8_t am;
    bool ih;
    unsigned repeat;        /* post it so often, 0: once … */
    uint64_t stride;        /* … each so much further */
} Desc;

typedef struct Case {
    const char *name;
    const char *what;
    Desc descs[DESCS];
    unsigned num;
    unsigned devices;       /* 0: one */
    bool own_domains;       /* each device its own domain, DID + n */
    unsigned calls;
    unsigned entries;
    const char *list;       /* the entries of the last call, or NULL */
    bool narrow;            /* in a queue of 128-bit descriptors, too */
} Case;

#define D(...) \
    .descs = { __VA_ARGS__ }, .num = sizeof((Desc[]) { __VA_ARGS__ }) / \
                                     sizeof(Desc)
#define PAGE(address) \
    { PIOTLB, VTD_PIOTLB_PAGE, DID, 0, address }
#define PAGES(address, mask) \
    { PIOTLB, VTD_PIOTLB_PAGE, DID, 0, address, mask }

static const Case cases[] = {
    {
        "page_forwarded", "one page",
        D(PAGE(0x12345000)),
        .calls = 1, .entries = 1, .list = "[0x12345000:0x1:0]",
    }, {
        "mask_forwarded", "an address mask is a number of pages",
        D(PAGES(0x40000000, 9)),
        .calls = 1, .entries = 1, .list = "[0x40000000:0x200:0]",
    }, {
        "mask-above-mamv_forwarded", "CAP.MAMV is not for first-stage tables",
        D(PAGES(0x4000000000, 24)),
        .calls = 1, .entries = 1, .list = "[0x4000000000:0x1000000:0]",
    }, {
        "mask-of-everything_forwarded", "and no mask is too large",
        D(PAGES(0, 0x3f)),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "leaf_forwarded", "the invalidation hint becomes the leaf flag",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x5000, 0, true }),
        .calls = 1, .entries = 1, .list = "[0x5000:0x1:1]",
    }, {
        "high-address_forwarded", "the upper canonical half",
        D(PAGE(0xffffffff80000000ull)),
        .calls = 1, .entries = 1, .list = "[0xffffffff80000000:0x1:0]",
    }, {
        "whole-pasid_forwarded", "all of a PASID",
        D({ PIOTLB, VTD_PIOTLB_PASID, DID, 0 }),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "burst-of-32_one-call", "a burst is one call",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x1000, .repeat = 32,
            .stride = 0x2000 }),
        .calls = 1, .entries = 32,
    }, {
        "aligned-pages_joined", "64 pages fill one aligned block",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x40000, .repeat = 64,
            .stride = 0x1000 }),
        .calls = 1, .entries = 1, .list = "[0x40000:0x40:0]",
    }, {
        "unaligned-pages_not-joined",
        "the kernel would widen two pages that are not an aligned block",
        D(PAGE(0x1000), PAGE(0x2000)),
        .calls = 1, .entries = 2, .list = "[0x1000:0x1:0,0x2000:0x1:0]",
    }, {
        "pages-across-4g_not-joined", "nor may these become 8 GiB",
        D(PAGE(0xfffff000), PAGE(0x100000000ull)),
        .calls = 1, .entries = 2,
        .list = "[0xfffff000:0x1:0,0x100000000:0x1:0]",
    }, {
        "same-page-twice_once", "the same page twice is one entry",
        D(PAGE(0x7000), PAGE(0x7000)),
        .calls = 1, .entries = 1, .list = "[0x7000:0x1:0]",
    }, {
        "block-and-page_covered", "a block covers its pages",
        D(PAGE(0x201000), PAGES(0x200000, 9)),
        .calls = 1, .entries = 1, .list = "[0x200000:0x200:0]",
    }, {
        "leaf-and-full_apart",
        "a leaf-only entry never joins a full one",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x8000, 0, true }, PAGE(0x9000)),
        .calls = 1, .entries = 2,
    }, {
        "pages-and-whole-pasid_covered", "all of a PASID covers its pages",
        D(PAGE(0x1000), { PIOTLB, VTD_PIOTLB_PASID, DID, 0 }, PAGE(0x3000)),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "other-domain_silent", "nobody is in that domain",
        D({ PIOTLB, VTD_PIOTLB_PAGE, OTHER_DID, 0, 0x1000 }),
    }, {
        "other-pasid_silent", "nobody has that PASID",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, OTHER_PASID, 0x1000 }),
    }, {
        "iotlb-global_forwarded", "an IOTLB invalidation concerns it, too",
        D({ IOTLB, VTD_IOTLB_GLOBAL }),
        .calls = 1, .entries = 1, .list = "[" ALL "]", .narrow = true,
    }, {
        "iotlb-domain_forwarded", "by domain",
        D({ IOTLB, VTD_IOTLB_DOMAIN, DID }),
        .calls = 1, .entries = 1, .list = "[" ALL "]", .narrow = true,
    }, {
        "iotlb-other-domain_silent", "by a domain nobody is in",
        D({ IOTLB, VTD_IOTLB_DOMAIN, OTHER_DID }),
    }, {
        "iotlb-page_all",
        "a page of the second stage concerns any first-stage entry",
        D({ IOTLB, VTD_IOTLB_PAGE, DID, 0, 0x6000 }),
        .calls = 1, .entries = 1, .list = "[" ALL "]", .narrow = true,
    }, {
        "iotlb-pages_all", "by pages, the address anywhere in them",
        D({ IOTLB, VTD_IOTLB_PAGE, DID, 0, 0x13000, 3 }),
        .calls = 1, .entries = 1, .list = "[" ALL "]", .narrow = true,
    }, {
        "iotlb-largest-mask_all", "by as many pages as CAP.MAMV allows",
        D({ IOTLB, VTD_IOTLB_PAGE, DID, 0, 0x80000000, VTD_MAMV }),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "iotlb-page-other-domain_silent", "by page of a domain nobody is in",
        D({ IOTLB, VTD_IOTLB_PAGE, OTHER_DID, 0, 0x6000 }), .narrow = true,
    }, {
        "iotlb-and-piotlb_one-call", "either kind goes into the same batch",
        D({ IOTLB, VTD_IOTLB_PAGE, DID, 0, 0x8000 }, PAGE(0x9000)),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "iotlb-global-twice_once", "all of it twice is once",
        D({ IOTLB, VTD_IOTLB_GLOBAL }, PAGE(0x1000), { IOTLB,
          VTD_IOTLB_DOMAIN, DID }),
        .calls = 1, .entries = 1, .list = "[" ALL "]",
    }, {
        "device-tlb_silent", "the kernel flushes the device's TLB by itself",
        D({ DEVICE_TLB, 0, 0, 0, 0x1000 }),
    }, {
        "two-waits_two-calls", "each wait descriptor has its own call",
        D(PAGE(0x1000), { WAIT }, PAGE(0x1000)),
        .calls = 2, .entries = 2, .list = "[0x1000:0x1:0]",
    }, {
        "empty-batch_silent", "two wait descriptors in a row",
        D({ WAIT }),
    }, {
        "two-devices-sharing_one-call",
        "devices whose entries agree share the HWPT, and the call",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x1000, .repeat = 32,
            .stride = 0x2000 }),
        .devices = 2, .calls = 1, .entries = 32,
    }, {
        "eight-devices-sharing_one-call", "and if there are eight",
        D({ PIOTLB, VTD_PIOTLB_PAGE, DID, 0, 0x1000, .repeat = 32,
            .stride = 0x2000 }),
        .devices = 8, .calls = 1, .entries = 32,
    }, {
        "own-domains_only-one-told", "domains are told apart",
        D(PAGE(0x1000)),
        .devices = 3, .own_domains = true, .calls = 1, .entries = 1,
    }, {
        "own-domains_iotlb-domain_only-one-told", "here as well",
        D({ IOTLB, VTD_IOTLB_DOMAIN, DID + 2 }),
        .devices = 3, .own_domains = true, .calls = 1, .entries = 1,
        .narrow = true,
    }, {
        "own-domains_mixed_each-its-own",
        "each HWPT has its own batch",
        D(PAGE(0x1000), { IOTLB, VTD_IOTLB_DOMAIN, DID + 1 }, PAGE(0x1000),
          { PIOTLB, VTD_PIOTLB_PAGE, DID + 2, 0, 0x1000 }),
        .devices = 3, .own_domains = true, .calls = 3, .entries = 3,
    }, {
        "own-domains_global_all-told", "a global one concerns each",
        D({ IOTLB, VTD_IOTLB_GLOBAL }),
        .devices = 3, .own_domains = true, .calls = 3, .entries = 3,
    },
};

static void post(VtdGuest *g, const Desc *d, uint64_t addr)
{
    switch (d->kind) {
    case PIOTLB:
        vtd_guest_post_piotlb(g, d->granularity, d->domain_id, d->pasid, addr,
                              d->am, d->ih);
        break;
    case IOTLB:
        vtd_guest_post_iotlb(g, d->granularity, d->domain_id, addr, d->am);
        break;
    case DEVICE_TLB:
        vtd_guest_post(g, VTD_INV_DESC_DEVICE | (uint64_t)fakehost_sid(0)
                       << 32, addr);
        break;
    case WAIT:
        vtd_guest_post_wait(g);
        break;
    }
}

static void bind_devices(VtdAccelTest *t, unsigned num, bool own_domains)
{
    for (unsigned i = 0; i < num; i++) {
        VtdPasidEntry entry = vtd_accel_fs_entry(own_domains ? DID + i : DID);

        if (!own_domains) {
            entry.table = VTD_GUEST_FSTS_DIR;
        }
        vtd_accel_bind(t, i, &entry);
        vtd_accel_expect_s1(t, i);
    }
    vtd_accel_expect_s1_hwpts(t, own_domains ? num : 1);
}

static void post_all(VtdGuest *g, const Case *c)
{
    for (unsigned i = 0; i < c->num; i++) {
        const Desc *d = &c->descs[i];

        for (unsigned n = 0; n < MAX(d->repeat, 1); n++) {
            post(g, d, d->addr + n * d->stride);
        }
    }
}

static void run_case(const Case *c, unsigned width)
{
    unsigned devices = c->devices ?: 1;
    VtdAccelSetup setup = { .devices = devices, .width = width };
    uint64_t calls, entries, other;
    VtdAccelTest t;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    bind_devices(&t, devices, c->own_domains);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    entries = fakehost_entries(t.host);
    other = fakehost_total_calls(t.host) - calls;

    post_all(&t.guest, c);
    vtd_guest_sync(&t.guest);

    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls;
    g_assert_cmpuint(calls, ==, c->calls);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, c->entries);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE"),
                     ==, 0);
    /* Nothing but invalidations */
    g_assert_cmpuint(fakehost_total_calls(t.host) -
                     fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     other);
    if (c->list) {
        g_autofree char *line = fakehost_log_last(t.host, 0,
                                                  "IOMMU_HWPT_INVALIDATE",
                                                  NULL);

        g_assert_nonnull(line);
        if (!strstr(line, c->list)) {
            g_error("expected entries=%s, have: %s", c->list, line);
        }
    }
    fakehost_free(t.host);
}

static void run_256(const void *data)
{
    run_case(data, 32);
}

static void run_128(const void *data)
{
    run_case(data, 16);
}

/* Nothing completes before the host has done it, not even at the doorbell */
static void test_no_wait(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    uint64_t calls;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    bind_devices(&t, 1, false);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_ring(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     calls + 1);
    fakehost_free(t.host);
}

/* A queue that wraps many times, with the wait descriptor anywhere in it */
static void test_wrap(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    uint64_t calls, entries;
    unsigned rounds = 100;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    bind_devices(&t, 1, false);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    entries = fakehost_entries(t.host);
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned n = 0; n < 6; n++) {
            vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0,
                                  n * 0x2000, 0, false);
        }
        vtd_guest_sync(&t.guest);
    }
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, rounds);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, rounds * 6);
    fakehost_free(t.host);
}

/* By register: done when the write returns */
static void test_register(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    static const uint64_t commands[] = {
        VTD_TLB_IVT | VTD_TLB_GLOBAL_FLUSH,
        VTD_TLB_IVT | VTD_TLB_DSI_FLUSH | (uint64_t)DID << 32,
        VTD_TLB_IVT | VTD_TLB_PSI_FLUSH | (uint64_t)DID << 32,
    };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    bind_devices(&t, 1, false);
    /* Queued and register-based invalidation exclude each other */
    vtd_guest_gcmd(&t.guest, VTD_GCMD_QIE, false);
    vtd_guest_writeq(&t.guest, DMAR_IVA_REG, 0x7000);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        uint64_t calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
        g_autofree char *line = NULL;

        vtd_guest_writeq(&t.guest, DMAR_IOTLB_REG, commands[i]);
        g_assert_false(vtd_guest_readq(&t.guest, DMAR_IOTLB_REG) &
                       VTD_TLB_IVT);
        g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                         calls + 1);
        line = fakehost_log_last(t.host, 0, "IOMMU_HWPT_INVALIDATE", NULL);
        g_assert_nonnull(strstr(line, "[" ALL "]"));
    }
    fakehost_free(t.host);
}

/* What is queued goes out before its HWPT changes, or goes with the HWPT */
static void test_change_after_page(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t dir;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dir = vtd_accel_bind(&t, 0, &entry);
    entry.table += 0x100000;
    vtd_guest_write_pasid(&t.guest, dir, 0, &entry);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x5000, 0, false);
    vtd_guest_sync(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1_hwpts(&t, 1);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_INVALIDATE"),
                     ==, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *wide = g_strdup_printf("/vtd-accel/invalidate/%s",
                                                cases[i].name);
        g_autofree char *narrow =
            g_strdup_printf("/vtd-accel/invalidate-128/%s", cases[i].name);

        qtest_add_data_func(wide, &cases[i], run_256);
        if (cases[i].narrow) {
            qtest_add_data_func(narrow, &cases[i], run_128);
        }
    }
    qtest_add_func("/vtd-accel/invalidate/no-wait_sent-at-doorbell",
                   test_no_wait);
    qtest_add_func("/vtd-accel/invalidate/queue-wraps_all-sent", test_wrap);
    qtest_add_func("/vtd-accel/invalidate/register_synchronous",
                   test_register);
    qtest_add_func("/vtd-accel/invalidate/entry-changes_in-order",
                   test_change_after_page);
    return g_test_run();
}
