/*
 * QTest: a guest that means harm, or is broken, behind the accelerated VT-d
 *
 * Whatever it writes into tables, queue and registers: QEMU goes on, the
 * device's DMA does not get further than the guest's own configuration, and
 * the host is not bothered with what is not valid. Meant to be run with
 * sanitizers, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define DID             5
#define RAM_END         (VTD_GUEST_RAM_MB * 1024ull * 1024)
#define OUTSIDE         0x7ff000000000ull   /* no memory, no device */
#define MMIO            Q35_HOST_BRIDGE_IOMMU_ADDR

/* --- descriptors --- */

typedef struct DescCase {
    const char *name;
    uint64_t val[4];
    bool harmless;          /* carried out or ignored, but not an error */
} DescCase;

#define PC(g)       (VTD_INV_DESC_PC | (g) << 4)
#define CC(g)       (VTD_INV_DESC_CC | (g) << 4)
#define IOTLB(g)    (VTD_INV_DESC_IOTLB | (g) << 4)
#define PIOTLB(g)   (VTD_INV_DESC_PIOTLB | (g) << 4 | (uint64_t)DID << 16)
#define WAIT(f)     (VTD_INV_DESC_WAIT | (f))

static const DescCase desc_cases[] = {
    { "type-zero", { 0 } },
    { "type-unknown", { 0xf } },
    { "type-unknown-high", { 0xe0f } },
    { "all-ones", { -1ull, -1ull, -1ull, -1ull } },
    { "context-cache-granularity-zero", { CC(0) } },
    { "context-cache-reserved", { CC(1) | 1 << 6 } },
    { "iotlb-granularity-zero", { IOTLB(0) } },
    { "iotlb-reserved-low", { IOTLB(1) | 1ull << 63 } },
    { "iotlb-reserved-high", { IOTLB(3) | (uint64_t)DID << 16, 1 << 8 } },
    { "iotlb-mask-too-large", { IOTLB(3) | (uint64_t)DID << 16, 0x3f } },
    { "piotlb-granularity-zero", { PIOTLB(0) } },
    { "piotlb-granularity-one", { PIOTLB(1) } },
    { "piotlb-reserved-low", { PIOTLB(2) | 1ull << 63 } },
    { "piotlb-reserved-high", { PIOTLB(3), 1 << 8 } },
    { "piotlb-reserved-upper", { PIOTLB(2), 0, 1 } },
    { "pasid-cache-granularity-two", { PC(2) } },
    { "pasid-cache-reserved-low", { PC(3) | 1 << 6 } },
    { "pasid-cache-reserved-high", { PC(3), 1 } },
    { "pasid-cache-reserved-upper", { PC(3), 0, 0, 1 } },
    { "device-tlb-reserved", { VTD_INV_DESC_DEVICE | 1ull << 48 } },
    { "wait-neither-status-nor-interrupt", { WAIT(0) } },
    { "wait-reserved", { WAIT(VTD_INV_DESC_WAIT_SW) | 1 << 8, 0x300000 } },
    { "wait-status-outside-memory",
      { WAIT(VTD_INV_DESC_WAIT_SW) | 1ull << 32, OUTSIDE } },
    /* It would ring the doorbell from within its own descriptor */
    { "wait-status-is-the-doorbell",
      { WAIT(VTD_INV_DESC_WAIT_SW) | 0x20ull << 32, MMIO + DMAR_IQT_REG } },
    { "piotlb-domain-and-pasid-of-nobody",
      { VTD_INV_DESC_PIOTLB | 2 << 4 | 0xffffull << 16 | 0xfffffull << 32 },
      .harmless = true },
    { "context-cache-device-of-nobody",
      { CC(3) | 0xffffull << 32 | 3ull << 48 }, .harmless = true },
    { "pasid-cache-pasid-of-nobody",
      { PC(1) | 0xffffull << 16 | 0xfffffull << 32 }, .harmless = true },
};

static void check_alive(VtdAccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
    g_assert_cmphex(vtd_guest_readl(&t->guest, DMAR_VER_REG), !=, 0);
}

static void start_bound(VtdAccelTest *t, uint64_t *dir)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);

    vtd_accel_start(t, &setup);
    *dir = vtd_accel_bind(t, 0, &entry);
    vtd_accel_expect_s1(t, 0);
}

static void check_error(VtdAccelTest *t, unsigned bad)
{
    uint64_t head = vtd_guest_readq(&t->guest, DMAR_IQH_REG);

    g_assert_true(vtd_guest_readl(&t->guest, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    /* The head stays at the descriptor that is to blame */
    g_assert_cmphex(head, ==, bad * t->guest.queue_width);
}

static void test_desc(const void *data)
{
    const DescCase *c = data;
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dir, slot, calls;
    unsigned bad;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    calls = fakehost_total_calls(t.host);
    bad = g->tail;
    slot = g->queue + bad * g->queue_width;
    vtd_guest_post(g, c->val[0], c->val[1]);
    qtest_writeq(g->qts, slot + 16, c->val[2]);
    qtest_writeq(g->qts, slot + 24, c->val[3]);
    vtd_guest_ring(g);
    check_alive(&t);
    vtd_accel_expect_s1(&t, 0);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    if (!c->harmless) {
        check_error(&t, bad);
        /* Nothing is fetched until the guest has dealt with it */
        vtd_guest_post_wait(g);
        vtd_guest_ring(g);
        g_assert_false(vtd_guest_waited(g));
        /* It mends the descriptor, then clears the error */
        g->tail = bad;
        vtd_guest_post_cc(g, VTD_CC_GLOBAL, 0, 0);
        vtd_guest_post_wait(g);
        vtd_guest_writel(g, DMAR_FSTS_REG, VTD_FSTS_IQE);
        vtd_guest_ring(g);
        g_assert_true(vtd_guest_waited(g));
    } else {
        vtd_guest_sync(g);
    }
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* --- tables --- */

typedef enum Where {
    ROOT_TABLE,             /* RTADDR */
    ROOT_ENTRY,
    CONTEXT_0,              /* words of the context entry */
    CONTEXT_1,
    CONTEXT_2,
    DIR_ENTRY,
    PASID_0,                /* words of the PASID entry */
} Where;

typedef struct TableCase {
    const char *name;
    Where where;
    uint64_t value;
} TableCase;

static const TableCase table_cases[] = {
    { "root-table-outside", ROOT_TABLE, OUTSIDE },
    { "root-table-at-end-of-ram", ROOT_TABLE, RAM_END },
    { "root-table-in-mmio", ROOT_TABLE, MMIO },
    { "root-entry-outside", ROOT_ENTRY, OUTSIDE | 1 },
    { "root-entry-in-mmio", ROOT_ENTRY, MMIO | 1 },
    { "root-entry-reserved", ROOT_ENTRY, 0x300000 | 0xffe },
    { "root-entry-all-ones", ROOT_ENTRY, -1ull },
    { "context-reserved-low", CONTEXT_0, 0x300000 | 0x1e1 },
    { "context-reserved-pasid", CONTEXT_1, 1ull << 32 },
    { "context-reserved-upper", CONTEXT_2, 1 },
    { "context-all-ones", CONTEXT_0, -1ull },
    { "directory-outside", CONTEXT_0, OUTSIDE | 1 },
    { "directory-at-end-of-ram", CONTEXT_0, RAM_END | 1 },
    { "directory-in-mmio", CONTEXT_0, MMIO | 1 },
    { "rid-pasid-beyond-directory", CONTEXT_1, 0xfffff },
    { "pasid-table-outside", DIR_ENTRY, OUTSIDE | 1 },
    { "pasid-table-in-mmio", DIR_ENTRY, MMIO | 1 },
    { "pasid-table-all-ones", DIR_ENTRY, -1ull },
    { "pasid-entry-type-zero", PASID_0, 1 },
    { "pasid-entry-type-seven", PASID_0, 7 << 6 | 1 },
};

static void write_table(VtdAccelTest *t, const TableCase *c, uint64_t dir)
{
    VtdGuest *g = &t->guest;
    uint64_t context = vtd_guest_context(g, fakehost_sid(0));

    switch (c->where) {
    case ROOT_TABLE:
        vtd_guest_set_root(g, c->value, true);
        break;
    case ROOT_ENTRY:
        qtest_writeq(g->qts, g->root + (fakehost_sid(0) >> 8) * 16, c->value);
        break;
    case CONTEXT_0:
        qtest_writeq(g->qts, context, c->value);
        break;
    case CONTEXT_1:
        qtest_writeq(g->qts, context + 8, c->value);
        break;
    case CONTEXT_2:
        qtest_writeq(g->qts, context + 16, c->value);
        break;
    case DIR_ENTRY:
        qtest_writeq(g->qts, dir, c->value);
        break;
    case PASID_0:
        qtest_writeq(g->qts, vtd_guest_pasid(g, dir, 0), c->value);
        break;
    }
}

static void test_table(const void *data)
{
    const TableCase *c = data;
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t dir, old_root;
    VtdAccelTest t;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    write_table(&t, c, dir);
    for (unsigned i = 0; i < 3; i++) {
        vtd_guest_post_cc(&t.guest, VTD_CC_GLOBAL, 0, 0);
        vtd_guest_post_pc(&t.guest, VTD_PC_GLOBAL, 0, 0);
        vtd_guest_post_pc(&t.guest, VTD_PC_PASID, DID, 0);
        vtd_guest_sync(&t.guest);
        vtd_accel_expect_blocked(&t, 0);
        vtd_accel_expect_s1_hwpts(&t, 0);
    }
    check_alive(&t);

    /* A guest that repents gets its tables followed again */
    old_root = t.guest.root;
    t.guest.root = vtd_guest_alloc(&t.guest);
    g_assert_cmphex(old_root, !=, t.guest.root);
    vtd_guest_set_root(&t.guest, t.guest.root, true);
    vtd_accel_bind(&t, 0, &entry);
    vtd_accel_expect_s1(&t, 0);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* --- queue --- */

typedef struct QueueCase {
    const char *name;
    uint64_t iqa;
    uint64_t iqt;
} QueueCase;

static const QueueCase queue_cases[] = {
    { "queue-outside", OUTSIDE, 0x40 },
    { "queue-at-end-of-ram", RAM_END - 0x1000 + 7, 0x7ffe0 },
    { "queue-in-mmio", MMIO, 0x40 },
    { "queue-largest-in-small-ram", 0x3f00000 | 7, 0x7ffe0 },
    { "tail-beyond-queue", 0x400000, 0x1000 },
    { "tail-far-beyond-queue", 0x400000, 0x7ffe0 },
    { "tail-reserved-bits", 0x400000, 0x50 },
    { "tail-all-ones", 0x400000, -1ull },
    { "base-all-ones", -1ull, 0x40 },
};

static void test_queue(const void *data)
{
    const QueueCase *c = data;
    VtdGuest *g;
    uint64_t dir;
    VtdAccelTest t;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    g = &t.guest;
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    vtd_guest_writeq(g, DMAR_IQT_REG, 0);
    vtd_guest_writeq(g, DMAR_IQA_REG, c->iqa | 1 << 11);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, true);
    vtd_guest_writeq(g, DMAR_IQT_REG, c->iqt);
    vtd_guest_writeq(g, DMAR_IQT_REG, 0x20);
    vtd_guest_writeq(g, DMAR_IQT_REG, c->iqt);
    check_alive(&t);
    fakehost_reset(t.host);
    vtd_accel_expect_s2(&t, 0);
    fakehost_free(t.host);
}

/* A queue whose wait descriptors write into the queue itself */
static void test_queue_rewrites_itself(void)
{
    VtdGuest *g;
    uint64_t dir;
    VtdAccelTest t;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    g = &t.guest;
    for (unsigned i = 0; i < g->queue_slots - 1; i++) {
        uint64_t next = g->queue + ((g->tail + 1) % g->queue_slots) *
                        g->queue_width;

        vtd_guest_post(g, VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                       (uint64_t)(VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW)
                       << VTD_INV_DESC_WAIT_DATA_SHIFT, next);
    }
    vtd_guest_ring(g);
    check_alive(&t);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* The largest queue, full of invalidations: bounded work, bounded batches */
static void test_largest_queue_full(void)
{
    const unsigned slots = 16384, width = 32;
    const uint64_t queue = 0x1000000;
    g_autofree uint64_t *descs = g_new0(uint64_t, slots * width / 8);
    VtdGuest *g;
    uint64_t dir, calls, entries;
    VtdAccelTest t;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    g = &t.guest;
    for (unsigned i = 0; i < slots; i++) {
        descs[i * 4] = cpu_to_le64(PIOTLB(3));
        descs[i * 4 + 1] = cpu_to_le64((uint64_t)i << 13);
    }
    qtest_memwrite(g->qts, queue, descs, slots * width);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, false);
    vtd_guest_writeq(g, DMAR_IQT_REG, 0);
    vtd_guest_writeq(g, DMAR_IQA_REG, queue | 1 << 11 | 7);
    vtd_guest_gcmd(g, VTD_GCMD_QIE, true);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    entries = fakehost_entries(t.host);
    vtd_guest_writeq(g, DMAR_IQT_REG, (slots - 1) * width);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, slots - 1);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls;
    g_assert_cmpuint(calls, >=, 1);
    g_assert_cmpuint(calls, <, slots / 64);
    check_alive(&t);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* Anything in the registers that have 64 bits, and both halves of each pair */
static void test_registers(void)
{
    static const uint64_t values[] = { UINT64_MAX, 1ull << 31, 1ull << 63, 0 };
    static const unsigned regs[] = {
        DMAR_CAP_REG, DMAR_ECAP_REG, DMAR_RTADDR_REG, DMAR_CCMD_REG,
        DMAR_AFLOG_REG, DMAR_PHMBASE_REG, DMAR_PHMLIMIT_REG, DMAR_IQH_REG,
        DMAR_IQT_REG, DMAR_IQA_REG, DMAR_IRTA_REG, DMAR_PQH_REG, DMAR_PQT_REG,
        DMAR_PQA_REG, DMAR_IVA_REG, DMAR_IOTLB_REG, DMAR_FRCD_REG_0_0,
        DMAR_FRCD_REG_0_2,
    };
    VtdAccelTest t;
    uint64_t dir;

    if (!fakehost_available()) {
        return;
    }
    start_bound(&t, &dir);
    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(regs); j++) {
            vtd_guest_writeq(&t.guest, regs[j], values[i]);
            vtd_guest_readq(&t.guest, regs[j]);
        }
        for (unsigned reg = 0; reg < DMAR_REG_SIZE; reg += 4) {
            vtd_guest_writel(&t.guest, reg, values[i]);
            vtd_guest_readl(&t.guest, reg);
        }
    }
    check_alive(&t);
    fakehost_free(t.host);
}

static void add(const char *group, const char *name, const void *data,
                GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vtd-accel/hostile/%s/%s", group,
                                            name);

    qtest_add_data_func(path, data, func);
}

/*
 * Flash is read like memory and ends with the last page below 4 GiB: of a
 * directory there that page is all, whatever size the guest says
 */
#define FLASH_SIZE      0x10000
#define LAST_PAGE       0xfffff000ull
#define LARGEST_DIR     (7ull << 9)     /* PDTS: 2^14 entries */

static void test_directory_beyond_flash(void)
{
    static const uint32_t rid_pasids[] = { 0x8000, 0xfffc0 };
    g_autofree char *file = NULL;
    g_autofree char *args = NULL;
    VtdAccelSetup setup = { .devices = 1 };
    VtdAccelTest t;
    int fd = g_file_open_tmp("flash-XXXXXX", &file, NULL);

    g_assert_cmpint(ftruncate(fd, FLASH_SIZE), ==, 0);
    close(fd);
    args = g_strdup_printf("-drive if=pflash,format=raw,readonly=on,file=%s ",
                           file);
    setup.args = args;
    if (!vtd_accel_start(&t, &setup)) {
        unlink(file);
        return;
    }
    vtd_guest_enable(&t.guest);
    for (size_t i = 0; i < ARRAY_SIZE(rid_pasids); i++) {
        uint64_t context = vtd_guest_context(&t.guest, fakehost_sid(0));

        qtest_writeq(t.host->qts, context + 8, rid_pasids[i]);
        qtest_writeq(t.host->qts, context, LAST_PAGE | LARGEST_DIR | 1);
        vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
        vtd_guest_flush_pasid_cache(&t.guest);
        vtd_accel_expect_blocked(&t, 0);
    }
    fakehost_free(t.host);
    unlink(file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(desc_cases); i++) {
        add("descriptor", desc_cases[i].name, &desc_cases[i], test_desc);
    }
    for (size_t i = 0; i < ARRAY_SIZE(table_cases); i++) {
        add("table", table_cases[i].name, &table_cases[i], test_table);
    }
    for (size_t i = 0; i < ARRAY_SIZE(queue_cases); i++) {
        add("queue", queue_cases[i].name, &queue_cases[i], test_queue);
    }
    qtest_add_func("/vtd-accel/hostile/queue/rewrites-itself",
                   test_queue_rewrites_itself);
    qtest_add_func("/vtd-accel/hostile/queue/largest-full",
                   test_largest_queue_full);
    qtest_add_func("/vtd-accel/hostile/tables/directory-beyond-flash",
                   test_directory_beyond_flash);
    qtest_add_func("/vtd-accel/hostile/register/any-value", test_registers);
    return g_test_run();
}
