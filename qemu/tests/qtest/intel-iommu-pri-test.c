/*
 * QTest of page requests of an emulated device behind VT-d
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/cases.h"
#include "libqos/intel-iommu.h"
#include "libqos/pci-pc.h"
#include "hw/pci/pci_regs.h"

#define FSTS_IQE        (1u << 4)
#define REG_FRCD        0x228           /* upper half of the fault record */
#define FRCD_F          (1ull << 63)
#define FRCD_REASON(v)  (((v) >> 32) & 0xff)
#define FRCD_PASID(v)   (((v) >> 40) & 0xfffff)
#define FRCD_TYPE(v)    (((v) >> 61 & 2) | ((v) >> 28 & 1))     /* T1, T2 */
enum { TYPE_PAGE_REQUEST = 1, TYPE_READ = 2 };

/* Descriptors (VT-d 6.5.2) */
#define DESC_DEV_TLB    3
#define DESC_WAIT       5
#define DESC_DEV_PIOTLB 8
#define DESC_WAIT_FENCE (1 << 6)
#define DESC_WAIT_DRAIN (1 << 7)

#define CONTEXT_DTE     (1ull << 2)
#define CONTEXT_PASIDE  (1ull << 3)
#define CONTEXT_PRE     (1ull << 4)
#define CONTEXT_ALL     (CONTEXT_DTE | CONTEXT_PASIDE | CONTEXT_PRE)

/* Reasons of faults (VT-d 7.1.3) */
#define NO_DTE          0x44
#define NO_PASIDE       0x45
#define NO_PRE          0x47
#define NO_PASID_TABLE  0x51
#define NOT_PRESENT     0x71

/* The device, pasid-testdev */
#define DEVFN           QPCI_DEVFN(4, 0)
#define PASID_CAP       0x100
#define ATS_CAP         0x110
#define PRI_CAP         0x120
#define MCH_PCIEXBAR    0x60
#define MMCONFIG        0xb0000000ull
#define SET(n)          ((n) * 32)
enum { ADDRESS = 0, DATA = 8, PASID_REG = 0x10, COMMAND = 0x14, RESULT = 0x18,
       REQUESTS = 0x1c };
enum { READ = 1, WRITE = 2, ATS_READ = 4, ATS_WRITE = 5 };
#define PAGES(n)        (((n) - 1) << 8)
enum { DONE, FAILED, REFUSED, WAITING, INVALID, FAILURE };

#define PASID           0x64
#define RID             UINT32_MAX
#define RID_PASID       5
#define DOMAIN_ID       0x123

#define IOVA            0x7f0000001000ull
#define PAGE            4096ull
#define HPA             0x100000ull     /* of data, below the tables */
#define TABLE_OFFSET    0x2200000000ull
#define VALUE           0x1122334455667788ull

#define SUCCESS         0ull
#define RESPONSE_INVALID 1ull
#define RESPONSE_FAILURE 15ull

typedef struct Machine {
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *pci;
    QPCIBar bar;
    VtdGuest g;
    VtdGuestTable fs, ss;
    uint64_t context;
    uint64_t queue;
    unsigned head;
} Machine;

/* --- the guest --- */

#define PROPS(rest) "x-scalable-mode=on,pasid-bits=20,device-iotlb=on" rest
#define NESTED      PROPS(",x-flts=on,x-nested=on,x-pri=on")

static void write_entries(Machine *m, unsigned pgtt)
{
    bool nested = pgtt == VTD_PGTT_NESTED;
    uint64_t dir = vtd_guest_add_context(&m->g, DEVFN, RID_PASID);
    const uint32_t pasids[] = { PASID, RID_PASID };

    m->ss = (VtdGuestTable) { .levels = 4, .flags = VTD_PTE_SECOND_STAGE };
    m->fs = (VtdGuestTable) {
        .levels = 4, .flags = VTD_PTE_FIRST_STAGE,
        .below = nested ? &m->ss : NULL, .offset = nested ? TABLE_OFFSET : 0,
    };
    vtd_guest_add_table(&m->g, &m->ss);
    vtd_guest_add_table(&m->g, &m->fs);
    for (size_t i = 0; i < ARRAY_SIZE(pasids); i++) {
        uint64_t pe = vtd_guest_pasid(&m->g, dir, pasids[i]);

        qtest_writeq(m->qts, pe + 8, DOMAIN_ID);
        qtest_writeq(m->qts, pe + 16, m->fs.root + m->fs.offset);
        /* 4 levels of the second stage */
        qtest_writeq(m->qts, pe, m->ss.root | pgtt << 6 | 2 << 2 | 1);
    }
    m->context = vtd_guest_context(&m->g, DEVFN);
}

/* Flags of the context entry, which nobody has cached yet */
static void set_context(Machine *m, uint64_t flags)
{
    uint64_t entry = qtest_readq(m->qts, m->context) & ~CONTEXT_ALL;

    qtest_writeq(m->qts, m->context, entry | flags);
    vtd_guest_post_cc(&m->g, VTD_CC_GLOBAL, 0, 0);
    vtd_guest_sync(&m->g);
}

/* Extended configuration space, which ports do not reach */
static uint64_t config(unsigned offset)
{
    return MMCONFIG + (DEVFN << 12) + offset;
}

static void enable_mmconfig(Machine *m)
{
    m->bus->config_writel(m->bus, 0, MCH_PCIEXBAR, MMCONFIG | 1);
}

static void set_ats(Machine *m, bool on)
{
    qtest_writew(m->qts, config(ATS_CAP + PCI_ATS_CTRL),
                 on ? PCI_ATS_CTRL_ENABLE : 0);
}

static void set_pri(Machine *m, uint16_t control)
{
    qtest_writew(m->qts, config(PRI_CAP + PCI_PRI_CTRL), control);
}

static uint16_t pri_status(Machine *m)
{
    return qtest_readw(m->qts, config(PRI_CAP + PCI_PRI_STATUS));
}

static void start_with(Machine *m, const char *props, const char *dev_props,
                       unsigned pgtt)
{
    memset(m, 0, sizeof(*m));
    m->qts = qtest_initf("-M q35 -m %u -nodefaults -device intel-iommu,%s "
                         "-device pasid-testdev,addr=4,pri=on%s",
                         VTD_GUEST_RAM_MB, props, dev_props);
    m->bus = qpci_new_pc(m->qts, NULL);
    enable_mmconfig(m);
    m->pci = qpci_device_find(m->bus, DEVFN);
    g_assert_nonnull(m->pci);
    qpci_device_enable(m->pci);
    m->bar = qpci_iomap(m->pci, 0, NULL);
    vtd_guest_init(&m->g, m->qts, VTD_GUEST_TABLES, 32);
    write_entries(m, pgtt);
    m->queue = vtd_guest_alloc(&m->g);
    vtd_guest_writeq(&m->g, VTD_REG_PQA, m->queue);
    vtd_guest_enable(&m->g);
    set_context(m, CONTEXT_ALL);
    qtest_writew(m->qts, config(PASID_CAP + PCI_PASID_CTRL),
                       PCI_PASID_CTRL_ENABLE);
    set_ats(m, true);
    qtest_writel(m->qts, config(PRI_CAP + PCI_PRI_ALLOC_REQ), 512);
    set_pri(m, PCI_PRI_CTRL_ENABLE);
}

static void start(Machine *m, const char *props, unsigned pgtt)
{
    start_with(m, props, "", pgtt);
}

static void stop(Machine *m)
{
    qpci_iounmap(m->pci, m->bar);
    g_free(m->pci);
    qpci_free_pc(m->bus);
    qtest_quit(m->qts);
}

/* --- the device --- */

static void command(Machine *m, unsigned set, uint32_t pasid, uint64_t addr,
                    uint32_t code)
{
    qpci_io_writeq(m->pci, m->bar, SET(set) + ADDRESS, addr);
    qpci_io_writel(m->pci, m->bar, SET(set) + PASID_REG, pasid);
    qpci_io_writel(m->pci, m->bar, SET(set) + COMMAND, code);
}

static void expect_result(Machine *m, unsigned set, uint32_t result)
{
    g_assert_cmpuint(qpci_io_readl(m->pci, m->bar, SET(set) + RESULT), ==,
                     result);
}

static uint64_t data(Machine *m, unsigned set)
{
    return qpci_io_readq(m->pci, m->bar, SET(set) + DATA);
}

/* --- what the guest sees --- */

static void expect_fault(Machine *m, unsigned reason)
{
    uint64_t record = vtd_guest_readq(&m->g, REG_FRCD);

    g_assert_cmpuint(!!(record & FRCD_F), ==, !!reason);
    if (reason) {
        g_assert_cmphex(FRCD_REASON(record), ==, reason);
        vtd_guest_writel(&m->g, REG_FRCD + 4, FRCD_F >> 32);
    }
}

static void expect_fault_of(Machine *m, unsigned type, uint32_t pasid)
{
    uint64_t record = vtd_guest_readq(&m->g, REG_FRCD);

    g_assert_cmphex(FRCD_TYPE(record), ==, type);
    if (type == TYPE_PAGE_REQUEST) {
        g_assert_cmphex(FRCD_PASID(record), ==, pasid);
    }
}

static unsigned waiting_requests(Machine *m)
{
    unsigned tail = vtd_guest_readl(&m->g, VTD_REG_PQT) / 32;

    return (tail - m->head) & 127;
}

/* Take one descriptor from the queue */
static void expect_request(Machine *m, unsigned set, uint32_t pasid,
                           uint64_t addr, bool is_write, bool last)
{
    uint64_t at = m->queue + m->head * 32;
    bool has_pasid = pasid != RID;

    g_assert_cmpuint(waiting_requests(m), >, 0);
    g_assert_cmphex(qtest_readq(m->qts, at), ==,
                    1 | (has_pasid ? 1 << 8 | (uint64_t)pasid << 32 : 0) |
                    DEVFN << 16);
    g_assert_cmphex(qtest_readq(m->qts, at + 8), ==,
                    addr | set << 3 | (last ? 4 : 0) | (is_write ? 2 : 1));
    m->head = (m->head + 1) % 128;
    vtd_guest_writeq(&m->g, VTD_REG_PQH, m->head * 32);
}

static void respond(Machine *m, unsigned set, uint32_t pasid, uint64_t code)
{
    uint64_t lo = 9 | code << 12 | DEVFN << 16;

    if (pasid != RID) {
        lo |= 1 << 4 | (uint64_t)pasid << 32;
    }
    vtd_guest_post(&m->g, lo, (uint64_t)set << 3);
    vtd_guest_sync(&m->g);
}

/* What the IOMMU has is nothing: what was not mapped needs no invalidation */
static void map(Machine *m, unsigned pgtt, uint64_t addr, uint64_t hpa)
{
    uint64_t gpa = hpa + TABLE_OFFSET * 2;

    switch (pgtt) {
    case VTD_PGTT_FIRST_STAGE:
        vtd_guest_map(&m->g, &m->fs, addr, hpa, 1);
        break;
    case VTD_PGTT_SECOND_STAGE:
        vtd_guest_map(&m->g, &m->ss, addr, hpa, 1);
        break;
    default:
        vtd_guest_map(&m->g, &m->fs, addr, gpa, 1);
        vtd_guest_map(&m->g, &m->ss, gpa, hpa, 1);
        break;
    }
}

/* --- one page, every kind of entry, with PASID and without --- */

typedef struct Entry {
    const char *name;
    const char *props;
    unsigned pgtt;
    uint32_t pasid;
    unsigned reason;                /* of a fault by DMA that asks nobody */
} Entry;

static const Entry entries[] = {
    { "first-stage-pasid", PROPS(",x-flts=on,x-pri=on"), VTD_PGTT_FIRST_STAGE,
      PASID, NOT_PRESENT },
    { "first-stage-rid", PROPS(",x-flts=on,x-pri=on"), VTD_PGTT_FIRST_STAGE,
      RID, NOT_PRESENT },
    { "second-stage-pasid", PROPS(",x-pri=on,aw-bits=48"),
      VTD_PGTT_SECOND_STAGE, PASID, 6 },
    { "second-stage-rid", PROPS(",x-pri=on,aw-bits=48"),
      VTD_PGTT_SECOND_STAGE, RID, 6 },
    { "nested-pasid", NESTED, VTD_PGTT_NESTED, PASID, NOT_PRESENT },
    { "nested-rid", NESTED, VTD_PGTT_NESTED, RID, NOT_PRESENT },
};

static void test_entry(const void *opaque)
{
    const Entry *c = opaque;
    Machine m;

    start(&m, c->props, c->pgtt);
    /* DMA that does not ask is a fault, and nothing is requested */
    command(&m, 0, c->pasid, IOVA, READ);
    expect_result(&m, 0, FAILED);
    expect_fault(&m, c->reason);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);

    command(&m, 0, c->pasid, IOVA + 8, ATS_READ);
    expect_result(&m, 0, WAITING);
    expect_fault(&m, 0);
    expect_request(&m, 0, c->pasid, IOVA, false, true);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    map(&m, c->pgtt, IOVA, HPA);
    qtest_writeq(m.qts, HPA + 8, VALUE);
    expect_result(&m, 0, WAITING);
    respond(&m, 0, c->pasid, SUCCESS);
    expect_result(&m, 0, DONE);
    g_assert_cmphex(data(&m, 0), ==, VALUE);

    /* Nothing is missing: nothing is requested */
    qpci_io_writeq(m.pci, m.bar, DATA, ~VALUE);
    command(&m, 0, c->pasid, IOVA, ATS_WRITE);
    expect_result(&m, 0, DONE);
    g_assert_cmphex(qtest_readq(m.qts, HPA), ==, ~VALUE);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    g_assert_cmpuint(qpci_io_readl(m.pci, m.bar, REQUESTS), ==, 1);
    expect_fault(&m, 0);
    stop(&m);
}

/* --- what the guest answers --- */

static void test_success_without_page_asks_again(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_WRITE);
    expect_request(&m, 0, PASID, IOVA, true, true);
    respond(&m, 0, PASID, SUCCESS);
    expect_result(&m, 0, WAITING);
    expect_request(&m, 0, PASID, IOVA, true, true);
    respond(&m, 0, PASID, RESPONSE_INVALID);
    expect_result(&m, 0, INVALID);
    expect_fault(&m, 0);
    stop(&m);
}

static void test_invalid_is_for_one_group(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_READ);
    command(&m, 1, PASID, IOVA, ATS_READ);
    respond(&m, 0, PASID, RESPONSE_INVALID);
    expect_result(&m, 0, INVALID);
    expect_result(&m, 1, WAITING);
    g_assert_cmphex(pri_status(&m), ==, PCI_PRI_STATUS_PASID);
    map(&m, VTD_PGTT_NESTED, IOVA, HPA);
    respond(&m, 1, PASID, SUCCESS);
    expect_result(&m, 1, DONE);
    stop(&m);
}

static void test_failure_ends_page_requests(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_READ);
    respond(&m, 0, PASID, RESPONSE_FAILURE);
    expect_result(&m, 0, FAILURE);
    g_assert_cmphex(pri_status(&m), ==,
                    PCI_PRI_STATUS_PASID | PCI_PRI_STATUS_RF);
    command(&m, 0, PASID, IOVA, ATS_READ);
    expect_result(&m, 0, FAILED);
    /* As software begins anew */
    set_pri(&m, 0);
    set_pri(&m, PCI_PRI_CTRL_RESET);
    g_assert_cmphex(pri_status(&m), ==,
                    PCI_PRI_STATUS_PASID | PCI_PRI_STATUS_STOPPED);
    set_pri(&m, PCI_PRI_CTRL_ENABLE);
    command(&m, 0, PASID, IOVA, ATS_READ);
    expect_result(&m, 0, WAITING);
    stop(&m);
}

static void test_write_to_read_only_page(const void *opaque)
{
    Machine m;
    const Entry *c = opaque;
    uint64_t pte;

    start(&m, c->props, c->pgtt);
    map(&m, c->pgtt, IOVA, HPA);
    pte = vtd_guest_pte(&m.g, c->pgtt == VTD_PGTT_SECOND_STAGE ? &m.ss : &m.fs,
                        IOVA, 1);
    qtest_writeq(m.qts, pte, qtest_readq(m.qts, pte) & ~2ull);
    /* One of them leaves an entry in the IOTLB */
    command(&m, 0, c->pasid, IOVA, READ);
    command(&m, 0, c->pasid, IOVA, ATS_READ);
    expect_result(&m, 0, DONE);
    qpci_io_writeq(m.pci, m.bar, DATA, VALUE);
    command(&m, 0, c->pasid, IOVA, ATS_WRITE);
    expect_request(&m, 0, c->pasid, IOVA, true, true);
    expect_fault(&m, 0);
    qtest_writeq(m.qts, pte, qtest_readq(m.qts, pte) | 2);
    respond(&m, 0, c->pasid, SUCCESS);
    expect_result(&m, 0, DONE);
    g_assert_cmphex(qtest_readq(m.qts, HPA), ==, VALUE);
    stop(&m);
}

/* --- translations that the device keeps --- */

static void invalidate_device_tlb(Machine *m, uint32_t pasid, uint64_t addr)
{
    if (pasid == RID) {
        vtd_guest_post(&m->g, DESC_DEV_TLB | (uint64_t)DEVFN << 32, addr);
    } else {
        vtd_guest_post(&m->g, DESC_DEV_PIOTLB | DEVFN << 16 |
                       (uint64_t)pasid << 32, addr);
    }
    vtd_guest_sync(&m->g);
}

static void expect_read(Machine *m, uint32_t pasid, uint64_t addr,
                        uint64_t value)
{
    command(m, 0, pasid, addr, ATS_READ);
    expect_result(m, 0, DONE);
    g_assert_cmphex(data(m, 0), ==, value);
}

/* The device has read one page at IOVA, where the tables have another now */
static void keep_page(Machine *m, const Entry *c, const char *dev_props)
{
    VtdGuestTable *table;

    start_with(m, c->props, dev_props, c->pgtt);
    table = c->pgtt == VTD_PGTT_SECOND_STAGE ? &m->ss : &m->fs;
    for (unsigned i = 0; i < 2; i++) {
        map(m, c->pgtt, IOVA + i * PAGE, HPA + i * PAGE);
        qtest_writeq(m->qts, HPA + i * PAGE, VALUE + i);
        expect_read(m, c->pasid, IOVA + i * PAGE, VALUE + i);
    }
    qtest_writeq(m->qts, vtd_guest_pte(&m->g, table, IOVA, 1),
                 qtest_readq(m->qts, vtd_guest_pte(&m->g, table, IOVA + PAGE,
                                                   1)));
    vtd_guest_post_iotlb(&m->g, VTD_IOTLB_GLOBAL, 0, 0, 0);
    vtd_guest_sync(&m->g);
    expect_read(m, c->pasid, IOVA, VALUE);
}

static void test_kept_until_invalidated(const void *opaque)
{
    const Entry *c = opaque;
    Machine m;

    keep_page(&m, c, "");
    /* Invalidations of others are none */
    invalidate_device_tlb(&m, c->pasid, IOVA + PAGE);
    invalidate_device_tlb(&m, c->pasid == RID ? PASID : RID, IOVA);
    expect_read(&m, c->pasid, IOVA, VALUE);
    invalidate_device_tlb(&m, c->pasid, IOVA);
    expect_read(&m, c->pasid, IOVA, VALUE + 1);
    expect_fault(&m, 0);
    stop(&m);
}

static void test_kept_until_ats_ends(void)
{
    Machine m;

    keep_page(&m, &entries[0], "");
    set_ats(&m, false);
    set_ats(&m, true);
    expect_read(&m, PASID, IOVA, VALUE + 1);
    stop(&m);
}

static void test_keep_stale(void)
{
    Machine m;

    keep_page(&m, &entries[0], ",keep-stale=on");
    invalidate_device_tlb(&m, PASID, IOVA);
    expect_read(&m, PASID, IOVA, VALUE);
    stop(&m);
}

/* --- groups, many at a time --- */

static void test_group_asks_for_what_is_missing(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    map(&m, VTD_PGTT_NESTED, IOVA + PAGE, HPA + PAGE);
    qpci_io_writeq(m.pci, m.bar, SET(9) + DATA, VALUE);
    command(&m, 9, PASID, IOVA, ATS_WRITE | PAGES(4));
    expect_request(&m, 9, PASID, IOVA, true, false);
    expect_request(&m, 9, PASID, IOVA + 2 * PAGE, true, false);
    expect_request(&m, 9, PASID, IOVA + 3 * PAGE, true, true);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    /* Nothing is written before all of it can be */
    g_assert_cmphex(qtest_readq(m.qts, HPA + PAGE), ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        map(&m, VTD_PGTT_NESTED, IOVA + i * PAGE, HPA + i * PAGE);
    }
    respond(&m, 9, PASID, SUCCESS);
    expect_result(&m, 9, DONE);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(qtest_readq(m.qts, HPA + i * PAGE), ==, VALUE + i);
    }
    command(&m, 9, PASID, IOVA, ATS_READ | PAGES(4));
    g_assert_cmphex(data(&m, 9), ==, 4 * VALUE + 6);
    stop(&m);
}

static void test_answers_out_of_order(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    for (unsigned i = 0; i < 64; i++) {
        command(&m, i, i & 1 ? PASID : RID, IOVA + i * PAGE, ATS_READ);
        qtest_writeq(m.qts, HPA + i * PAGE, VALUE + i);
    }
    for (unsigned i = 0; i < 64; i++) {
        expect_request(&m, i, i & 1 ? PASID : RID, IOVA + i * PAGE, false,
                       true);
    }
    for (unsigned i = 64; i-- > 0;) {
        map(&m, VTD_PGTT_NESTED, IOVA + i * PAGE, HPA + i * PAGE);
        expect_result(&m, i, WAITING);
        respond(&m, i, i & 1 ? PASID : RID, SUCCESS);
        expect_result(&m, i, DONE);
        g_assert_cmphex(data(&m, i), ==, VALUE + i);
    }
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    stop(&m);
}

static void test_allocation_is_kept(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    qtest_writel(m.qts, config(PRI_CAP + PCI_PRI_ALLOC_REQ), 3);
    command(&m, 0, PASID, IOVA, ATS_READ | PAGES(2));
    command(&m, 1, PASID, IOVA, ATS_READ | PAGES(2));
    command(&m, 2, PASID, IOVA, ATS_READ);
    g_assert_cmpuint(waiting_requests(&m), ==, 3);
    expect_result(&m, 1, WAITING);
    /* It is never going to be possible */
    command(&m, 3, PASID, IOVA, ATS_READ | PAGES(4));
    expect_result(&m, 3, FAILED);
    respond(&m, 0, PASID, RESPONSE_INVALID);
    g_assert_cmpuint(waiting_requests(&m), ==, 5);
    stop(&m);
}

/* --- answers to nothing --- */

static void test_stray_answers_are_noted(void)
{
    static const struct {
        unsigned set;
        uint32_t pasid;
    } stray[] = { { 1, PASID }, { 200, PASID }, { 0, RID }, { 0, PASID + 1 } };
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_READ);
    for (size_t i = 0; i < ARRAY_SIZE(stray); i++) {
        g_assert_cmphex(pri_status(&m), ==, PCI_PRI_STATUS_PASID);
        respond(&m, stray[i].set, stray[i].pasid, RESPONSE_INVALID);
        expect_result(&m, 0, WAITING);
        g_assert_cmphex(pri_status(&m), ==,
                        PCI_PRI_STATUS_PASID | PCI_PRI_STATUS_UPRGI);
        qtest_writew(m.qts, config(PRI_CAP + PCI_PRI_STATUS),
                           PCI_PRI_STATUS_UPRGI);
    }
    respond(&m, 0, PASID, RESPONSE_INVALID);
    expect_result(&m, 0, INVALID);
    respond(&m, 0, PASID, SUCCESS);
    expect_result(&m, 0, INVALID);
    g_assert_cmphex(pri_status(&m) & PCI_PRI_STATUS_UPRGI, !=, 0);
    stop(&m);
}

static void test_stopped_when_all_is_answered(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_READ);
    set_pri(&m, 0);
    g_assert_cmphex(pri_status(&m) & PCI_PRI_STATUS_STOPPED, ==, 0);
    /* A set whose request waits does not take another one */
    command(&m, 0, RID, IOVA, ATS_READ);
    g_assert_cmpuint(waiting_requests(&m), ==, 1);
    respond(&m, 0, PASID, SUCCESS);
    expect_result(&m, 0, FAILED);
    g_assert_cmphex(pri_status(&m) & PCI_PRI_STATUS_STOPPED, !=, 0);
    stop(&m);
}

static void test_reset_forgets(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    command(&m, 0, PASID, IOVA, ATS_READ);
    set_pri(&m, 0);
    set_pri(&m, PCI_PRI_CTRL_RESET);
    expect_result(&m, 0, FAILED);
    respond(&m, 0, PASID, SUCCESS);
    expect_result(&m, 0, FAILED);
    g_assert_cmphex(pri_status(&m), ==, PCI_PRI_STATUS_PASID |
                    PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_UPRGI);
    stop(&m);
}

/* --- who may not ask --- */

typedef struct Barred {
    const char *name;
    const char *props;
    uint64_t context;
    bool no_ats, no_pri;
    uint32_t pasid, result;
    unsigned reason;
} Barred;

#define OFFERED NESTED
#define NOT_OFFERED "x-scalable-mode=on,pasid-bits=20,x-flts=on,x-nested=on"

static const Barred barred[] = {
    { "device-translation", OFFERED, CONTEXT_ALL, .no_ats = true,
      .pasid = PASID, .result = REFUSED },
    { "device-requests", OFFERED, CONTEXT_ALL, .no_pri = true,
      .pasid = PASID, .result = FAILED },
    { "device-pasid-too-wide", OFFERED, CONTEXT_ALL, .pasid = 1 << 20,
      .result = REFUSED },
    { "context-translation", OFFERED, CONTEXT_PASIDE | CONTEXT_PRE,
      .pasid = PASID, .result = FAILED, .reason = NO_DTE },
    { "context-translation-rid", OFFERED, CONTEXT_PASIDE | CONTEXT_PRE,
      .pasid = RID, .result = FAILED, .reason = NO_DTE },
    { "context-pasid", OFFERED, CONTEXT_DTE | CONTEXT_PRE,
      .pasid = PASID, .result = FAILED, .reason = NO_PASIDE },
    { "context-requests", OFFERED, CONTEXT_DTE | CONTEXT_PASIDE,
      .pasid = PASID, .result = FAILURE, .reason = NO_PRE },
    { "pasid-table", OFFERED, CONTEXT_ALL, .pasid = PASID + 0x1000,
      .result = FAILED, .reason = NO_PASID_TABLE },
    { "no-queue", NOT_OFFERED, CONTEXT_ALL, .pasid = PASID,
      .result = FAILURE },
};

static void test_barred(const void *opaque)
{
    const Barred *c = opaque;
    Machine m;

    start(&m, c->props, VTD_PGTT_NESTED);
    set_context(&m, c->context);
    set_ats(&m, !c->no_ats);
    set_pri(&m, c->no_pri ? 0 : PCI_PRI_CTRL_ENABLE);
    command(&m, 0, c->pasid, IOVA, ATS_READ);
    expect_result(&m, 0, c->result);
    if (c->reason) {
        expect_fault_of(&m, c->reason == NO_PRE ? TYPE_PAGE_REQUEST : TYPE_READ,
                        c->pasid);
    }
    expect_fault(&m, c->reason);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    stop(&m);
}

/* What DMA without ATS has left in the IOTLB is nothing to go by */
static void test_cached_does_not_permit(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    map(&m, VTD_PGTT_NESTED, IOVA, HPA);
    command(&m, 0, PASID, IOVA, READ);
    expect_result(&m, 0, DONE);
    set_context(&m, CONTEXT_PASIDE | CONTEXT_PRE);
    command(&m, 0, PASID, IOVA, ATS_READ);
    expect_result(&m, 0, FAILED);
    expect_fault(&m, NO_DTE);
    stop(&m);
}

static void test_translation_off(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    vtd_guest_set_translation(&m.g, false);
    command(&m, 0, PASID, IOVA, ATS_READ);
    expect_result(&m, 0, FAILED);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    stop(&m);
}

static void test_odd_addresses(void)
{
    static const uint64_t addr[] = { 0xfee00000, 0xfeefffff & ~7ull };
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    for (size_t i = 0; i < ARRAY_SIZE(addr); i++) {
        command(&m, 0, PASID, addr[i], ATS_READ);
        expect_result(&m, 0, FAILED);
    }
    command(&m, 0, PASID, 0xfedff000, ATS_READ | PAGES(8));
    expect_result(&m, 0, FAILED);
    command(&m, 0, PASID, IOVA + 4, ATS_READ);
    expect_result(&m, 0, REFUSED);
    command(&m, 0, PASID, IOVA, ATS_READ | PAGES(9));
    expect_result(&m, 0, REFUSED);
    command(&m, 0, PASID, IOVA, ATS_READ | 0xffffff00);
    expect_result(&m, 0, REFUSED);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    command(&m, 0, PASID, ~0xfffull, ATS_READ | PAGES(2));
    expect_request(&m, 0, PASID, ~0xfffull, false, false);
    expect_request(&m, 0, PASID, 0, false, true);
    stop(&m);
}

/* --- a queue that is full --- */

static void test_overflow_is_asked_again(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    for (unsigned i = 0; i < 128; i++) {
        command(&m, i, PASID, IOVA + i * PAGE, ATS_READ);
    }
    g_assert_cmpuint(waiting_requests(&m), ==, 127);
    g_assert_cmphex(vtd_guest_readl(&m.g, VTD_REG_PRS) & VTD_PRS_PRO, ==,
                    VTD_PRS_PRO);
    /* The IOMMU answers the last one, as long as there is no room */
    qtest_clock_step(m.qts, 5000000);
    expect_result(&m, 127, WAITING);
    for (unsigned i = 0; i < 127; i++) {
        expect_request(&m, i, PASID, IOVA + i * PAGE, false, true);
    }
    qtest_clock_step(m.qts, 5000000);
    g_assert_cmpuint(waiting_requests(&m), ==, 0);
    vtd_guest_writel(&m.g, VTD_REG_PRS, VTD_PRS_PRO);
    qtest_clock_step(m.qts, 5000000);
    expect_request(&m, 127, PASID, IOVA + 127 * PAGE, false, true);
    map(&m, VTD_PGTT_NESTED, IOVA + 127 * PAGE, HPA);
    respond(&m, 127, PASID, SUCCESS);
    expect_result(&m, 127, DONE);
    expect_fault(&m, 0);
    stop(&m);
}

/* --- draining, by what Linux posts for it --- */

static void test_drain(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    vtd_guest_post(&m.g, DESC_WAIT | DESC_WAIT_FENCE, 0);
    vtd_guest_post_piotlb(&m.g, VTD_PIOTLB_PASID, DOMAIN_ID, PASID, 0, 0,
                          false);
    vtd_guest_post(&m.g, DESC_DEV_PIOTLB | DEVFN << 16 | (uint64_t)PASID << 32,
                   ~0ull >> 1 & ~0x7ffull);
    vtd_guest_post(&m.g, DESC_WAIT | DESC_WAIT_FENCE | DESC_WAIT_DRAIN, 0);
    vtd_guest_post(&m.g, DESC_DEV_TLB | (uint64_t)DEVFN << 32,
                   (~0ull >> 1 & ~0xfffull) | 1);
    vtd_guest_sync(&m.g);
    g_assert_cmphex(vtd_guest_readl(&m.g, VTD_REG_FSTS) & FSTS_IQE, ==, 0);
    stop(&m);
}

/* --- configuration space --- */

static void test_capabilities(void)
{
    Machine m;

    start(&m, NESTED, VTD_PGTT_NESTED);
    g_assert_cmphex(qtest_readl(m.qts, config(PASID_CAP)), ==,
                    ATS_CAP << 20 | 1 << 16 | PCI_EXT_CAP_ID_PASID);
    g_assert_cmphex(qtest_readl(m.qts, config(ATS_CAP)), ==,
                    PRI_CAP << 20 | 1 << 16 | PCI_EXT_CAP_ID_ATS);
    g_assert_cmphex(qtest_readl(m.qts, config(PRI_CAP)), ==,
                    1 << 16 | PCI_EXT_CAP_ID_PRI);
    g_assert_cmpuint(qtest_readl(m.qts, config(PRI_CAP + PCI_PRI_MAX_REQ)), ==,
                     512);
    command(&m, 0, PASID, IOVA, ATS_READ);
    qtest_system_reset(m.qts);
    enable_mmconfig(&m);
    g_assert_cmphex(pri_status(&m), ==,
                    PCI_PRI_STATUS_PASID | PCI_PRI_STATUS_STOPPED);
    g_assert_cmphex(qtest_readw(m.qts, config(PRI_CAP + PCI_PRI_CTRL)), ==, 0);
    g_assert_cmphex(qtest_readw(m.qts, config(ATS_CAP + PCI_ATS_CTRL)), ==, 0);
    stop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_cases("intel-iommu/pri/entry", entries, test_entry);
    qtest_add_func("intel-iommu/pri/success-without-page_asks-again",
                   test_success_without_page_asks_again);
    qtest_add_func("intel-iommu/pri/invalid_is-for-one-group",
                   test_invalid_is_for_one_group);
    qtest_add_func("intel-iommu/pri/failure_ends-page-requests",
                   test_failure_ends_page_requests);
    qtest_add_cases("intel-iommu/pri/read-only_requested-for-write", entries,
                    test_write_to_read_only_page);
    qtest_add_cases("intel-iommu/pri/kept_until-invalidated", entries,
                    test_kept_until_invalidated);
    qtest_add_func("intel-iommu/pri/kept_until-ats-ends",
                   test_kept_until_ats_ends);
    qtest_add_func("intel-iommu/pri/keep-stale", test_keep_stale);
    qtest_add_func("intel-iommu/pri/group_asks-for-what-is-missing",
                   test_group_asks_for_what_is_missing);
    qtest_add_func("intel-iommu/pri/answers_out-of-order",
                   test_answers_out_of_order);
    qtest_add_func("intel-iommu/pri/allocation_kept", test_allocation_is_kept);
    qtest_add_func("intel-iommu/pri/stray-answers_noted",
                   test_stray_answers_are_noted);
    qtest_add_func("intel-iommu/pri/disabled_stopped-when-answered",
                   test_stopped_when_all_is_answered);
    qtest_add_func("intel-iommu/pri/reset_forgets", test_reset_forgets);
    qtest_add_cases("intel-iommu/pri/barred", barred, test_barred);
    qtest_add_func("intel-iommu/pri/cached_not-permitted",
                   test_cached_does_not_permit);
    qtest_add_func("intel-iommu/pri/translation-off_refused",
                   test_translation_off);
    qtest_add_func("intel-iommu/pri/odd-addresses", test_odd_addresses);
    qtest_add_func("intel-iommu/pri/overflow_asked-again",
                   test_overflow_is_asked_again);
    qtest_add_func("intel-iommu/pri/drain_accepted", test_drain);
    qtest_add_func("intel-iommu/pri/capabilities", test_capabilities);
    return g_test_run();
}
