/*
 * QTest: command queues of the host for the guest of an accelerated SMMUv3
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "hw/pci/pci_regs.h"
#include <sys/mman.h>
#include "viommu/sweep.h"
#include "smmuv3-accel-common.h"

/* The block, and what is in its pages (see hw/arm/tegra241-cmdqv.h) */
#define CONFIG          0x0
#define PARAM           0x4
#define ALLOC(q)        (0x200 + 4 * (q))
#define VINTF_CONFIG    0x1000
#define ERR_MAP         0x10c0
#define ALL_PAGE0       0x10000
#define PAGE0           0x30000
#define PAGE1           0x40000
#define PAGE_SIZE       0x10000
#define STRIDE          0x80
enum { CONS = 0x0, PROD = 0x4, QCONFIG = 0x8, GERROR = 0x10, GERRORN = 0x14 };

#define HOST_CMDQS(log2) ((uint32_t)(log2) << 21)
#define LOG2SIZE        8
#define LENGTH          (16ull << LOG2SIZE)
#define QUEUE(q)        (SMMUV3_GUEST_RAM + 0x800000 + (q) * LENGTH)
#define VIOMMU_ALLOC    "IOMMU_VIOMMU_ALLOC"
#define QUEUE_ALLOC     "IOMMU_HW_QUEUE_ALLOC"
#define INVALIDATE      "IOMMU_HWPT_INVALIDATE"
#define REFUSED         "cannot be one of the host's"
#define HOST_PAGE       "smmuv3-accel-cmdqv-page0"

typedef struct Test {
    Smmuv3AccelTest t;
    uint64_t base;              /* of the block */
} Test;

static Smmuv3AccelSetup plain(void)
{
    return (Smmuv3AccelSetup) {
        .cold = 1, .host_more = "cmdqv=1", .idr1 = HOST_CMDQS(10),
    };
}

/* Where the machine has put the block */
static uint64_t find_block(QTestState *qts)
{
    g_autofree char *tree = qtest_hmp(qts, "info mtree");
    char *end = strstr(tree, ": smmuv3-accel-cmdqv\r");
    char *line = end;

    g_assert_nonnull(end);
    while (line > tree && line[-1] != '\n') {
        line--;
    }
    return g_ascii_strtoull(line + strspn(line, " "), NULL, 16);
}

static bool start_with(Test *c, const Smmuv3AccelSetup *setup)
{
    if (!smmuv3_accel_start(&c->t, setup)) {
        return false;
    }
    c->base = find_block(c->t.host->qts);
    return true;
}

static bool start(Test *c)
{
    Smmuv3AccelSetup setup = plain();

    return start_with(c, &setup);
}

static uint32_t rd(Test *c, uint64_t offset)
{
    return qtest_readl(c->t.host->qts, c->base + offset);
}

static void wr(Test *c, uint64_t offset, uint32_t value)
{
    qtest_writel(c->t.host->qts, c->base + offset, value);
}

static uint64_t reg(unsigned q, unsigned reg)
{
    return PAGE0 + q * STRIDE + reg;
}

static void set_base(Test *c, unsigned q, uint64_t base)
{
    qtest_writeq(c->t.host->qts, c->base + PAGE1 + q * STRIDE, base);
}

static void enable_block(Test *c)
{
    wr(c, CONFIG, 1);
    wr(c, VINTF_CONFIG, 1);
}

static void allocate(Test *c, unsigned q)
{
    wr(c, ALLOC(q), q << 1 | 1);
}

static void set_up(Test *c, unsigned queues)
{
    enable_block(c);
    for (unsigned q = 0; q < queues; q++) {
        allocate(c, q);
        set_base(c, q, QUEUE(q) | LOG2SIZE);
        wr(c, reg(q, QCONFIG), 1);
    }
}

static void put_command(Test *c, unsigned q, unsigned at, uint64_t cmd0,
                        uint64_t cmd1)
{
    uint64_t words[2] = { cpu_to_le64(cmd0), cpu_to_le64(cmd1) };

    qtest_memwrite(c->t.host->qts, QUEUE(q) + at * 16, words, sizeof(words));
}

/* A TLBI and a CMD_SYNC */
static void put_flush(Test *c, unsigned q, unsigned at)
{
    put_command(c, q, at, SMMUV3_TLBI_NH_VA | 1ull << 48, 0x5000);
    put_command(c, q, at + 1, SMMUV3_SYNC, 0);
}

static unsigned host_queues(Test *c)
{
    return fakehost_objects(c->t.host, FAKEHOST_OBJ_HW_QUEUE);
}

static const struct FakehostHwQueue *host_queue(Test *c, unsigned index)
{
    for (size_t i = 0; i < FAKEHOST_HW_QUEUES; i++) {
        const struct FakehostHwQueue *q = &c->t.host->page->hw_queues[i];

        if (q->id && q->index == index) {
            return q;
        }
    }
    return NULL;
}

/* The host's page; unmapped by unmap_page() */
static uint32_t *map_page(Test *c)
{
    g_autofree char *line = fakehost_log_last(c->t.host, 0, VIOMMU_ALLOC,
                                              "out_viommu_id=");
    g_autofree char *path = NULL;
    void *page;
    int fd;

    g_assert_nonnull(line);
    path = g_strdup_printf("%s/vintf-%d", c->t.host->events,
                           atoi(strstr(line, "out_viommu_id=") +
                                strlen("out_viommu_id=")));
    fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(page != MAP_FAILED);
    close(fd);
    return page;
}

static void unmap_page(uint32_t *page)
{
    g_assert_cmpint(munmap(page, PAGE_SIZE), ==, 0);
}

static uint32_t read_host(uint32_t *page, unsigned q, unsigned r)
{
    return qatomic_read(page + (q * STRIDE + r) / sizeof(*page));
}

static void write_host(uint32_t *page, unsigned q, unsigned r, uint32_t value)
{
    qatomic_set(page + (q * STRIDE + r) / sizeof(*page), value);
}

/* QEMU itself works off what the guest puts into queue @q */
static void expect_worked_off(Test *c, unsigned q)
{
    uint64_t entries = fakehost_entries(c->t.host);
    uint32_t at = rd(c, reg(q, CONS)) & 0xff;

    g_assert_cmpuint(at, <, 200);
    put_flush(c, q, at);
    wr(c, reg(q, PROD), at + 2);
    QTEST_AWAIT(rd(c, reg(q, CONS)) == at + 2);
    g_assert_cmpuint(fakehost_entries(c->t.host) - entries, ==, 1);
}

/* --- what the guest is told --- */

static void test_auto(void)
{
    g_autofree char *line = NULL;
    Test c;

    if (!start(&c)) {
        return;
    }
    g_assert_cmphex(rd(&c, PARAM), ==, 4 << 12 | 0 << 8 | 1 << 4 | 1);
    /* A queue of pages of 4 KiB is to be in one piece in the host */
    g_assert_cmphex(smmuv3_guest_readl(&c.t.guest, SMMUV3_IDR1) >> 21 & 31, ==,
                    LOG2SIZE);
    line = fakehost_log_last(c.t.host, 0, VIOMMU_ALLOC, "type=2 ");
    g_assert_nonnull(line);
    fakehost_expect_log(c.t.host, 0, "IOMMU_VEVENTQ_ALLOC", "type=2 ");
    g_assert_cmpuint(c.t.host->page->mmaps_now, ==, 1);
    fakehost_free(c.t.host);
}

/* The host's limit of IDR1.CMDQS holds as well */
static void test_small(void)
{
    Smmuv3AccelSetup setup = plain();
    Test c;

    setup.idr1 = HOST_CMDQS(6);
    if (!start_with(&c, &setup)) {
        return;
    }
    g_assert_cmphex(smmuv3_guest_readl(&c.t.guest, SMMUV3_IDR1) >> 21 & 31, ==,
                    6);
    fakehost_free(c.t.host);
}

static void expect_none(Test *c)
{
    g_autofree char *line = fakehost_log_last(c->t.host, 0, VIOMMU_ALLOC,
                                              "type=1 ");

    g_assert_nonnull(line);
    g_assert_cmphex(rd(c, PARAM), ==, 0);
    enable_block(c);
    allocate(c, 0);
    set_base(c, 0, QUEUE(0) | LOG2SIZE);
    g_assert_cmphex(rd(c, CONFIG), ==, 0);
    g_assert_cmpuint(host_queues(c), ==, 0);
    g_assert_cmpuint(c->t.host->page->mmaps, ==, 0);
    smmuv3_accel_expect_alive(&c->t);
}

static void test_host_without(void)
{
    Smmuv3AccelSetup setup = { .cold = 1 };
    Test c;

    if (!start_with(&c, &setup)) {
        return;
    }
    expect_none(&c);
    fakehost_free(c.t.host);
}

static void test_erratum(void)
{
    Smmuv3AccelSetup setup = plain();
    Test c;

    setup.host_more = "cmdqv=1 errata=1";
    if (!start_with(&c, &setup)) {
        return;
    }
    expect_none(&c);
    fakehost_free(c.t.host);
}

static void test_off(void)
{
    Smmuv3AccelSetup setup = plain();
    g_autofree char *tree = NULL;
    Test c;

    setup.smmu_props = "cmdqv=off";
    if (!smmuv3_accel_start(&c.t, &setup)) {
        return;
    }
    tree = qtest_hmp(c.t.host->qts, "info mtree");
    g_assert_null(strstr(tree, "cmdqv"));
    fakehost_expect_log(c.t.host, 0, VIOMMU_ALLOC, "type=1 ");
    fakehost_free(c.t.host);
}

static const struct Refusal {
    const char *name;
    const char *host;           /* of the host's SMMU */
    const char *call;           /* that fails, or NULL */
    int err;
    const char *says[2];
} refusals[] = {
    { "host-without_refused", "", NULL, 0,
      { "command queues for guests (CMDQV, without an erratum) 0",
        "use cmdqv=off" } },
    { "erratum_refused", "cmdqv=1 errata=1", NULL, 0,
      { "command queues for guests (CMDQV, without an erratum) 0",
        "use cmdqv=off" } },
    { "viommu_refused", "cmdqv=1", "VIOMMU_ALLOC", ENOMEM,
      { "cmdqv=on: IOMMU_VIOMMU_ALLOC(type 2", "cmdqv=auto or cmdqv=off" } },
    { "no-vintf_refused", "cmdqv=1 vintfs=0", NULL, ENOSPC,
      { "cmdqv=on: IOMMU_VIOMMU_ALLOC(type 2", "No space" } },
    { "mmap_refused", "cmdqv=1", "VIOMMU_MMAP", ENXIO,
      { "cmdqv=on: cannot map", "cmdqv=auto or cmdqv=off" } },
};

static void test_refused(const void *data)
{
    const struct Refusal *r = data;
    g_autofree char *desc = NULL;
    g_autofree char *err = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    desc = g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                           "idr3=0x%x idr5=0x%x %s\ndevice dev0 iommu=iommu0\n",
                           HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5, r->host);
    host = fakehost_new(desc);
    if (r->call) {
        fakehost_fail(host, r->call, 1, 0, r->err, 0);
    }
    g_assert_cmpint(fakehost_run(host, "-M virt,gic-version=3 -cpu cortex-a57 "
                                 "-object iommufd,id=iommufd0,fd=%d "
                                 "-device arm-smmuv3,primary-bus=pcie.0,"
                                 "accel=on,cmdqv=on "
                                 "-device vfio-pci,id=dev0,fd=%d,bus=pcie.0,"
                                 "iommufd=iommufd0",
                                 fakehost_fd(host, "iommufd0"),
                                 fakehost_fd(host, "dev0")), ==, 1);
    err = fakehost_err_since(host, 0);
    for (size_t i = 0; i < ARRAY_SIZE(r->says); i++) {
        fakehost_expect_text(err, r->says[i]);
    }
    fakehost_free(host);
}

/* With auto the same is a line in the log, and the guest has no block */
static void test_auto_refused(const void *data)
{
    Smmuv3AccelSetup setup = plain();
    const char *more = data;
    Test c;

    setup.host_more = more;
    if (!start_with(&c, &setup)) {
        return;
    }
    expect_none(&c);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, "gets no command queues"),
                     ==, 1);
    fakehost_free(c.t.host);
}

/* A device that comes later has to have as many queues behind it */
static void test_later(void)
{
    g_autofree char *idr = g_strdup_printf("idr0=0x%x idr1=0x%x idr3=0x%x "
                                           "idr5=0x%x", HOST_IDR0, HOST_IDR1,
                                           HOST_IDR3, HOST_IDR5);
    g_autofree char *host =
        g_strdup_printf("iommu a type=smmuv3 %s cmdqv=1 log2vcmdqs=2\n"
                        "iommu b type=smmuv3 %s cmdqv=1 log2vcmdqs=1\n"
                        "device dev0 iommu=a\ndevice dev1 iommu=b\n", idr, idr);
    Smmuv3AccelSetup setup = { .cold = 1, .host = host };
    g_autofree char *error = NULL;
    Test c;

    if (!start_with(&c, &setup)) {
        return;
    }
    fakehost_unplug(c.t.host, 0);
    error = fakehost_try_plug(c.t.host, 1, WITH_IOMMUFD);
    fakehost_expect_text(error, "an erratum) 2, arm-smmuv3 with accel=on needs "
                         "4: use cmdqv=off");
    fakehost_free(c.t.host);
}

/* --- queues of the host --- */

static void test_direct(void)
{
    const struct FakehostHwQueue *q;
    uint32_t *page;
    uint64_t calls;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        q = host_queue(&c, i);
        g_assert_nonnull(q);
        g_assert_cmphex(q->iova, ==, QUEUE(i));
        g_assert_cmphex(q->length, ==, LENGTH);
    }
    page = map_page(&c);
    g_assert_cmphex(read_host(page, 1, QCONFIG), ==, 1);
    calls = fakehost_total_calls(c.t.host);
    put_flush(&c, 1, 0);
    wr(&c, reg(1, PROD), 2);
    g_assert_cmphex(read_host(page, 1, PROD), ==, 2);
    write_host(page, 1, CONS, 2);
    g_assert_cmphex(rd(&c, reg(1, CONS)), ==, 2);
    /* The page of all queues leads to the same registers */
    g_assert_cmphex(rd(&c, ALL_PAGE0 + STRIDE + CONS), ==, 2);
    wr(&c, ALL_PAGE0 + STRIDE + PROD, 5);
    g_assert_cmphex(read_host(page, 1, PROD), ==, 5);
    /* Of all that the host heard nothing */
    g_assert_cmpuint(fakehost_total_calls(c.t.host), ==, calls);
    unmap_page(page);
    fakehost_free(c.t.host);
}

/* The guest changes what it has set up, in the order that the host wants */
static void test_changes(void)
{
    uint32_t first;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    first = host_queue(&c, 0)->id;
    /* Not while it is on */
    set_base(&c, 1, 0);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    wr(&c, reg(0, QCONFIG), 0);
    wr(&c, reg(1, QCONFIG), 0);
    set_base(&c, 1, 0);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    g_assert_cmpuint(host_queue(&c, 0)->id, ==, first);
    set_base(&c, 1, QUEUE(3) | LOG2SIZE);
    g_assert_cmphex(host_queue(&c, 1)->iova, ==, QUEUE(3));
    /* The host takes the first one only when there is no second */
    set_base(&c, 0, QUEUE(4) | (LOG2SIZE - 2));
    g_assert_cmpuint(host_queues(&c), ==, 2);
    g_assert_cmphex(host_queue(&c, 0)->iova, ==, QUEUE(4));
    g_assert_cmphex(host_queue(&c, 0)->length, ==, LENGTH / 4);
    g_assert_cmphex(host_queue(&c, 1)->iova, ==, QUEUE(3));
    wr(&c, ALLOC(1), 1 << 1);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    wr(&c, VINTF_CONFIG, 0);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    wr(&c, VINTF_CONFIG, 1);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    wr(&c, CONFIG, 0);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    smmuv3_accel_expect_alive(&c.t);
    fakehost_free(c.t.host);
}

static void test_sparse(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    enable_block(&c);
    allocate(&c, 0);
    allocate(&c, 1);
    set_base(&c, 1, QUEUE(1) | LOG2SIZE);
    wr(&c, reg(1, QCONFIG), 1);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    expect_worked_off(&c, 1);
    set_base(&c, 0, QUEUE(0) | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    fakehost_free(c.t.host);
}

static void test_reset(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        set_up(&c, 2);
        g_assert_cmpuint(host_queues(&c), ==, 2);
        fakehost_reset(c.t.host);
        FAKEHOST_AWAIT(c.t.host, host_queues(&c) == 0);
        g_assert_cmphex(rd(&c, CONFIG), ==, 0);
        g_assert_cmphex(rd(&c, reg(0, QCONFIG)), ==, 0);
        g_assert_cmphex(smmuv3_guest_readl(&c.t.guest, SMMUV3_IDR1) >> 21 & 31,
                        ==, LOG2SIZE);
    }
    fakehost_free(c.t.host);
}

static void test_query(void)
{
    g_autofree char *text = NULL;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    text = qtest_hmp(c.t.host->qts, "info viommu");
    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, "cmdqv"));
    g_assert_nonnull(strstr(text, "hw-queue"));
    fakehost_free(c.t.host);
}

/* --- queues that QEMU works off --- */

static void test_refused_queue(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    smmuv3_accel_bind(&c.t, 0);
    fakehost_fail(c.t.host, "HW_QUEUE_ALLOC", 1, 0, EFAULT, 0);
    set_up(&c, 2);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    expect_worked_off(&c, 0);
    expect_worked_off(&c, 1);
    expect_worked_off(&c, 0);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, REFUSED), ==, 1);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, "huge pages"), ==, 1);
    /* The next one that is set up takes all along */
    fakehost_clear_rules(c.t.host);
    wr(&c, reg(1, QCONFIG), 0);
    set_base(&c, 1, 0);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    set_base(&c, 1, QUEUE(1) | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    fakehost_free(c.t.host);
}

/* Other commands than those of a VM are an error of the queue */
static void test_illegal(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    fakehost_fail(c.t.host, "HW_QUEUE_ALLOC", 1, 0, ENOMEM, 0);
    set_up(&c, 1);
    put_command(&c, 0, 0, SMMUV3_CFGI_STE, 1);
    wr(&c, reg(0, PROD), 1);
    QTEST_AWAIT(rd(&c, reg(0, GERROR)) != rd(&c, reg(0, GERRORN)));
    g_assert_cmphex(rd(&c, reg(0, CONS)), ==, SMMUV3_CERROR_ILL << 24);
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 1);
    /* With an error that the guest has to see it does not move */
    fakehost_clear_rules(c.t.host);
    wr(&c, VINTF_CONFIG, 0);
    wr(&c, VINTF_CONFIG, 1);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    put_command(&c, 0, 0, SMMUV3_SYNC, 0);
    wr(&c, reg(0, GERRORN), rd(&c, reg(0, GERROR)));
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 0);
    QTEST_AWAIT((rd(&c, reg(0, CONS)) & 0xff) == 1);
    fakehost_free(c.t.host);
}

static const struct BadBase {
    const char *name;
    uint64_t base;
    const char *says;           /* NULL: not even tried */
} bad_bases[] = {
    { "mmio", 0x09000000ull | LOG2SIZE, "not in guest memory" },
    { "nowhere", 0x7ffffff00000ull | LOG2SIZE, "not in guest memory" },
    { "across-the-end", (SMMUV3_GUEST_RAM + SMMUV3_GUEST_RAM_MB * MiB) |
                        LOG2SIZE, "not in guest memory" },
    { "flash", 0x0 | LOG2SIZE, NULL },
    { "unaligned", (QUEUE(0) + 0x20) | LOG2SIZE, NULL },
    { "too-large", QUEUE(0) | (LOG2SIZE + 1), NULL },
    { "much-too-large", QUEUE(0) | 31, NULL },
    { "all-bits", UINT64_MAX, NULL },
};

static void test_bad_base(const void *data)
{
    const struct BadBase *b = data;
    Test c;

    if (!start(&c)) {
        return;
    }
    enable_block(&c);
    allocate(&c, 0);
    for (int i = 0; i < 3; i++) {
        set_base(&c, 0, b->base);
        wr(&c, reg(0, QCONFIG), 1);
        wr(&c, reg(0, PROD), 1);
        g_assert_cmpuint(host_queues(&c), ==, 0);
        set_base(&c, 0, 0);
    }
    g_assert_cmpuint(fakehost_calls(c.t.host, QUEUE_ALLOC), ==, 0);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, REFUSED), ==, !!b->says);
    if (b->says) {
        g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, b->says), ==, 1);
    }
    /* A good one is welcome afterwards */
    wr(&c, reg(0, QCONFIG), 0);
    wr(&c, reg(0, GERRORN), rd(&c, reg(0, GERROR)));
    set_base(&c, 0, QUEUE(0) | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    fakehost_free(c.t.host);
}

/* --- queues that move --- */

/* The device goes, and comes back; the guest's queues do not notice */
static void test_replug(void)
{
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    page = map_page(&c);
    wr(&c, reg(0, PROD), 4);
    write_host(page, 0, CONS, 2);
    /* What the host has not got to is left to QEMU */
    put_flush(&c, 0, 2);
    unmap_page(page);
    fakehost_unplug(c.t.host, 0);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    g_assert_cmpuint(c.t.host->page->mmaps_now, ==, 0);
    g_assert_cmphex(rd(&c, reg(0, PROD)), ==, 4);
    QTEST_AWAIT(rd(&c, reg(0, CONS)) == 4);
    g_assert_cmphex(rd(&c, reg(0, QCONFIG)), ==, 1);
    put_flush(&c, 0, 4);
    wr(&c, reg(0, PROD), 6);
    QTEST_AWAIT(rd(&c, reg(0, CONS)) == 6);
    fakehost_plug(c.t.host, 0);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    page = map_page(&c);
    g_assert_cmphex(read_host(page, 0, PROD), ==, 6);
    g_assert_cmphex(read_host(page, 0, CONS), ==, 6);
    g_assert_cmphex(read_host(page, 0, QCONFIG), ==, 1);
    g_assert_cmphex(read_host(page, 1, PROD), ==, 0);
    unmap_page(page);
    fakehost_unplug(c.t.host, 0);
    fakehost_expect_empty(c.t.host);
    fakehost_free(c.t.host);
}

/* A queue that has moved is the guest's to set up anew, as any other */
static void test_again(void)
{
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 1);
    page = map_page(&c);
    wr(&c, reg(0, PROD), 4);
    write_host(page, 0, CONS, 4);
    unmap_page(page);
    fakehost_unplug(c.t.host, 0);
    fakehost_plug(c.t.host, 0);
    wr(&c, reg(0, QCONFIG), 0);
    wr(&c, reg(0, PROD), 0);
    wr(&c, reg(0, CONS), 0);
    set_base(&c, 0, QUEUE(5) | LOG2SIZE);
    wr(&c, reg(0, QCONFIG), 1);
    g_assert_cmphex(host_queue(&c, 0)->iova, ==, QUEUE(5));
    page = map_page(&c);
    g_assert_cmphex(read_host(page, 0, PROD), ==, 0);
    g_assert_cmphex(read_host(page, 0, CONS), ==, 0);
    g_assert_cmphex(read_host(page, 0, QCONFIG), ==, 1);
    unmap_page(page);
    fakehost_free(c.t.host);
}

/* So is one that the guest has given back while the host has another */
static void test_again_beside(void)
{
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    page = map_page(&c);
    wr(&c, reg(1, PROD), 4);
    g_assert_cmphex(read_host(page, 1, PROD), ==, 4);
    write_host(page, 1, CONS, 4);
    wr(&c, reg(1, QCONFIG), 0);
    set_base(&c, 1, 0);
    g_assert_cmphex(rd(&c, reg(1, PROD)), ==, 4);
    wr(&c, reg(1, PROD), 0);
    wr(&c, reg(1, CONS), 0);
    /* The other one goes on meanwhile */
    wr(&c, reg(0, PROD), 2);
    g_assert_cmphex(read_host(page, 0, PROD), ==, 2);
    set_base(&c, 1, QUEUE(5) | LOG2SIZE);
    wr(&c, reg(1, QCONFIG), 1);
    g_assert_cmphex(host_queue(&c, 1)->iova, ==, QUEUE(5));
    g_assert_cmphex(read_host(page, 1, PROD), ==, 0);
    g_assert_cmphex(read_host(page, 1, CONS), ==, 0);
    g_assert_cmphex(read_host(page, 1, QCONFIG), ==, 1);
    g_assert_cmphex(read_host(page, 0, PROD), ==, 2);
    unmap_page(page);
    fakehost_free(c.t.host);
}

/* Until the guest has set up or given back all of them, QEMU has the page */
static void test_page(void)
{
    g_autofree char *before = NULL, *with = NULL, *after = NULL;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 1);
    before = qtest_hmp(c.t.host->qts, "info mtree -f");
    g_assert_nonnull(strstr(before, HOST_PAGE));
    allocate(&c, 1);
    with = qtest_hmp(c.t.host->qts, "info mtree -f");
    g_assert_null(strstr(with, HOST_PAGE));
    g_assert_cmpuint(host_queues(&c), ==, 1);
    wr(&c, ALLOC(1), 1 << 1);
    after = qtest_hmp(c.t.host->qts, "info mtree -f");
    g_assert_nonnull(strstr(after, HOST_PAGE));
    fakehost_free(c.t.host);
}

/* What the host has to do is not done by QEMU as well */
static void test_once(void)
{
    uint64_t entries;
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    smmuv3_accel_bind(&c.t, 0);
    set_up(&c, 1);
    page = map_page(&c);
    put_flush(&c, 0, 0);
    put_flush(&c, 0, 2);
    wr(&c, reg(0, PROD), 4);
    write_host(page, 0, CONS, 2);
    entries = fakehost_entries(c.t.host);
    wr(&c, VINTF_CONFIG, 0);
    wr(&c, VINTF_CONFIG, 1);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    fakehost_settle(c.t.host);
    g_assert_cmphex(read_host(page, 0, PROD), ==, 4);
    g_assert_cmphex(read_host(page, 0, CONS), ==, 2);
    g_assert_cmpuint(fakehost_entries(c.t.host), ==, entries);
    unmap_page(page);
    fakehost_free(c.t.host);
}

/* None is forgotten when the host wants one of them no more */
static void test_left_over(void)
{
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    page = map_page(&c);
    put_flush(&c, 1, 0);
    wr(&c, reg(1, PROD), 2);
    wr(&c, reg(0, QCONFIG), 0);
    fakehost_fail(c.t.host, "HW_QUEUE_ALLOC", 1, 0, ENOMEM, 0);
    set_base(&c, 0, QUEUE(4) | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    QTEST_AWAIT(rd(&c, reg(1, CONS)) == 2);
    unmap_page(page);
    fakehost_free(c.t.host);
}

/* An error that the guest was not told of yet moves along with its queue */
static void test_error_moves(const void *data)
{
    bool elsewhere = data != NULL;
    uint32_t *page;
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 1);
    page = map_page(&c);
    write_host(page, 0, GERROR, 1);
    if (elsewhere) {
        wr(&c, reg(0, QCONFIG), 0);
        set_base(&c, 0, QUEUE(5) | LOG2SIZE);
    } else {
        fakehost_unplug(c.t.host, 0);
    }
    g_assert_cmpuint(host_queues(&c), ==, 0);
    g_assert_cmphex(rd(&c, reg(0, GERROR)), ==, 1);
    g_assert_cmphex(rd(&c, reg(0, GERRORN)), ==, 0);
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 1);
    wr(&c, reg(0, GERRORN), 1);
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 0);
    unmap_page(page);
    fakehost_free(c.t.host);
}

static void test_many_devices(void)
{
    Smmuv3AccelSetup setup = plain();
    g_autofree char *error = NULL;
    Test c;

    setup.host_more = "cmdqv=1 log2vsids=1";
    setup.devices = 1;
    setup.ports = 3;
    if (!start_with(&c, &setup)) {
        return;
    }
    error = fakehost_try_plug(c.t.host, 2, WITH_IOMMUFD);
    fakehost_expect_text(error, "room for 2 devices");
    smmuv3_accel_bind(&c.t, 0);
    smmuv3_accel_bind(&c.t, 1);
    fakehost_free(c.t.host);
}

#define BAR             0x10000000ull   /* in the window of the root complex */
#define DISPLAY_BDF     (0x10 << 3)

/* Memory that goes is not kept by a queue in it */
static void test_memory_gone(void)
{
    Smmuv3AccelSetup setup = plain();
    uint32_t areas;
    Test c;

    setup.bus = "pxb.0";
    setup.args = "-device bochs-display,bus=pcie.0,addr=0x10 ";
    if (!start_with(&c, &setup)) {
        return;
    }
    areas = c.t.host->page->areas;
    fakehost_cfg_writel(c.t.host, DISPLAY_BDF, PCI_BASE_ADDRESS_0, BAR);
    fakehost_cfg_writew(c.t.host, DISPLAY_BDF, PCI_COMMAND, PCI_COMMAND_MEMORY);
    enable_block(&c);
    allocate(&c, 0);
    set_base(&c, 0, BAR | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    fakehost_cfg_writew(c.t.host, DISPLAY_BDF, PCI_COMMAND, 0);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    g_assert_cmpuint(c.t.host->page->areas, ==, areas);
    g_assert_cmpuint(fakehost_failed_calls(c.t.host, "IOMMU_IOAS_UNMAP"), ==,
                     0);
    smmuv3_accel_expect_alive(&c.t);
    set_base(&c, 0, QUEUE(0) | LOG2SIZE);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    fakehost_free(c.t.host);
}

/* Nor is memory taken that the guest gives back in pieces */
static void test_memory_in_pieces(void)
{
    const char *reason = "goes piece by piece (virtio-mem)";
    Smmuv3AccelSetup setup = plain();
    uint64_t where;
    QDict *info;
    QList *list;
    Test c;

    setup.bus = "pxb.0";
    setup.args = "-m " stringify(SMMUV3_GUEST_RAM_MB) "M,maxmem=1G "
                 "-object memory-backend-memfd,id=parts,size=64M,share=on "
                 "-device virtio-mem-pci,id=vm,bus=pcie.0,addr=0x10,"
                 "memdev=parts,block-size=2M,requested-size=8M ";
    if (!start_with(&c, &setup)) {
        return;
    }
    info = qtest_qmp(c.t.host->qts, "{ 'execute': 'query-memory-devices' }");
    list = qdict_get_qlist(info, "return");
    g_assert_cmpuint(qlist_size(list), ==, 1);
    where = qdict_get_int(qdict_get_qdict(qobject_to(QDict,
                                                     qlist_peek(list)),
                                          "data"), "memaddr");
    qobject_unref(info);
    g_assert_cmphex(where, >, SMMUV3_GUEST_RAM);
    enable_block(&c);
    allocate(&c, 0);
    set_base(&c, 0, where | LOG2SIZE);
    wr(&c, reg(0, QCONFIG), 1);
    g_assert_cmpuint(host_queues(&c), ==, 0);
    g_assert_cmpuint(fakehost_calls(c.t.host, QUEUE_ALLOC), ==, 0);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, reason), ==, 1);
    fakehost_free(c.t.host);
}

/* --- errors of the host's queues --- */

static int open_errors(Test *c)
{
    g_autofree char *line = fakehost_log_last(c->t.host, 0, "VEVENTQ_ALLOC",
                                              "type=2 ");
    g_autofree char *path = NULL;
    int fd;

    g_assert_nonnull(line);
    path = g_strdup_printf("%s/veventq-%d", c->t.host->events,
                           atoi(strstr(line, "out_veventq_id=") +
                                strlen("out_veventq_id=")));
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void test_errors(void)
{
    struct { uint32_t flags, sequence; uint64_t map[2]; } event = { 0 };
    uint32_t *page;
    Test c;
    int fd;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    page = map_page(&c);
    fd = open_errors(&c);
    write_host(page, 1, GERROR, 1);
    event.map[0] = cpu_to_le64(2);
    g_assert_cmpint(write(fd, &event, sizeof(event)), ==, sizeof(event));
    QTEST_AWAIT(rd(&c, ERR_MAP) == 2);
    g_assert_cmphex(rd(&c, ERR_MAP + 4), ==, 0);
    /* Lost ones show in the queues */
    wr(&c, reg(1, GERRORN), 1);
    write_host(page, 0, GERROR, 1);
    event.flags = 1;
    event.sequence = 1;
    g_assert_cmpint(write(fd, &event, 8), ==, 8);
    QTEST_AWAIT(rd(&c, ERR_MAP) == 1);
    /* Queues that there are not */
    event.flags = 0;
    event.map[0] = event.map[1] = UINT64_MAX;
    g_assert_cmpint(write(fd, &event, sizeof(event)), ==, sizeof(event));
    write_host(page, 1, GERROR, 0);
    QTEST_AWAIT(rd(&c, ERR_MAP) == 3);
    g_assert_cmphex(rd(&c, ERR_MAP + 8), ==, 0);
    /* What the guest acknowledges is over, one by one */
    wr(&c, reg(0, GERRORN), 1);
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 2);
    wr(&c, reg(1, GERRORN), 0);
    g_assert_cmphex(rd(&c, ERR_MAP), ==, 0);
    smmuv3_accel_expect_alive(&c.t);
    close(fd);
    unmap_page(page);
    fakehost_free(c.t.host);
}

static void test_no_veventq(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    fakehost_unplug(c.t.host, 0);
    fakehost_fail(c.t.host, "VEVENTQ_ALLOC", 1, 0, EOPNOTSUPP, 0);
    fakehost_plug(c.t.host, 0);
    set_up(&c, 1);
    g_assert_cmpuint(host_queues(&c), ==, 1);
    g_assert_cmpuint(fakehost_err_lines(c.t.host, 0, "will not see errors of "
                                        "its command queues"), ==, 1);
    fakehost_free(c.t.host);
}

/* --- each call fails in turn --- */

static void sweep_prepare(void *opaque)
{
    wr(opaque, CONFIG, 0);
    for (unsigned q = 0; q < 2; q++) {
        set_base(opaque, q, 0);
        wr(opaque, ALLOC(1 - q), 0);
    }
    g_assert_cmpuint(host_queues(opaque), ==, 0);
}

static void sweep_set_up(void *opaque)
{
    set_up(opaque, 2);
}

static void sweep_check(void *opaque, const SweepRound *round)
{
    Test *c = opaque;

    if (host_queues(c) < 2) {
        g_assert_true(round->hit);
        g_assert_cmpuint(host_queues(c), ==, 0);
        expect_worked_off(c, 0);
        expect_worked_off(c, 1);
    }
}

static void test_sweep(void)
{
    static const SweepOps ops = {
        .prepare = sweep_prepare,
        .operate = sweep_set_up,
        .check = sweep_check,
    };
    Test c;

    if (!start(&c)) {
        return;
    }
    smmuv3_accel_bind(&c.t, 0);
    g_assert_cmpuint(sweep(c.t.host, &ops, ENOMEM, 1, &c), ==, 2);
    sweep_prepare(&c);
    set_up(&c, 2);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    fakehost_unplug(c.t.host, 0);
    fakehost_expect_empty(c.t.host);
    fakehost_free(c.t.host);
}

static void plug_check(void *opaque, bool plugged)
{
    Test *c = opaque;

    if (plugged) {
        g_assert_true(host_queues(c) == 0 || host_queues(c) == 2);
    } else {
        g_assert_cmpuint(host_queues(c), ==, 0);
    }
    if (!host_queues(c)) {
        uint32_t at = rd(c, reg(0, CONS)) & 0x7f;

        put_flush(c, 0, at);
        wr(c, reg(0, PROD), at + 2);
        QTEST_AWAIT(rd(c, reg(0, CONS)) == at + 2);
    }
}

/* The queues are set up; the only device comes */
static void test_sweep_plug(void)
{
    Test c;

    if (!start(&c)) {
        return;
    }
    set_up(&c, 2);
    fakehost_unplug(c.t.host, 0);
    g_assert_cmpuint(sweep_plug(c.t.host, 0, plug_check, fakehost_expect_empty,
                                &c), >, 8);
    fakehost_plug(c.t.host, 0);
    g_assert_cmpuint(host_queues(&c), ==, 2);
    fakehost_free(c.t.host);
}

#define PREFIX "/smmuv3-accel/cmdqv/"

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func(PREFIX "auto_on", test_auto);
    qtest_add_func(PREFIX "small-queues_told", test_small);
    qtest_add_func(PREFIX "host-without_none", test_host_without);
    qtest_add_func(PREFIX "erratum_none", test_erratum);
    qtest_add_func(PREFIX "off_none", test_off);
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        g_autofree char *path = g_strconcat(PREFIX, refusals[i].name, NULL);

        qtest_add_data_func(path, &refusals[i], test_refused);
    }
    qtest_add_data_func(PREFIX "auto-no-vintf_none", "cmdqv=1 vintfs=0",
                        test_auto_refused);
    qtest_add_func(PREFIX "later-with-fewer_refused", test_later);
    qtest_add_func(PREFIX "queues_direct", test_direct);
    qtest_add_func(PREFIX "changes_followed", test_changes);
    qtest_add_func(PREFIX "sparse_worked-off", test_sparse);
    qtest_add_func(PREFIX "reset_freed", test_reset);
    qtest_add_func(PREFIX "query_shown", test_query);
    qtest_add_func(PREFIX "refused_worked-off", test_refused_queue);
    qtest_add_func(PREFIX "illegal_reported", test_illegal);
    for (size_t i = 0; i < ARRAY_SIZE(bad_bases); i++) {
        g_autofree char *path = g_strdup_printf(PREFIX "base-%s_refused",
                                                bad_bases[i].name);

        qtest_add_data_func(path, &bad_bases[i], test_bad_base);
    }
    qtest_add_func(PREFIX "replug_moved", test_replug);
    qtest_add_func(PREFIX "set-up_again", test_again);
    qtest_add_func(PREFIX "set-up_again-beside", test_again_beside);
    qtest_add_func(PREFIX "page_taken", test_page);
    qtest_add_func(PREFIX "commands_once", test_once);
    qtest_add_func(PREFIX "left-over_worked-off", test_left_over);
    qtest_add_data_func(PREFIX "error-unplug_moved", NULL, test_error_moves);
    qtest_add_data_func(PREFIX "error-set-up-elsewhere_moved", "elsewhere",
                        test_error_moves);
    qtest_add_func(PREFIX "many-devices_refused", test_many_devices);
    qtest_add_func(PREFIX "memory_gone", test_memory_gone);
    qtest_add_func(PREFIX "memory-in-pieces_refused", test_memory_in_pieces);
    qtest_add_func(PREFIX "errors_reported", test_errors);
    qtest_add_func(PREFIX "no-veventq_told", test_no_veventq);
    qtest_add_func(PREFIX "sweep/set-up", test_sweep);
    qtest_add_func(PREFIX "sweep/plug", test_sweep_plug);
    return g_test_run();
}
