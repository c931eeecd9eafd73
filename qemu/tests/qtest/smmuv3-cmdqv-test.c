/*
 * QTest of the command queues (CMDQV) beside an emulated SMMUv3: what they run
 * and refuse, whom they tell of errors, and what becomes of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "libqos/await.h"
#include "libqos/cases.h"
#include "arm-smmuv3-guest.h"

#define RAM             0x40000000ull
#define QUEUES          (RAM + 0x1000000)
#define NO_MEMORY       0x200000000ull

/* The first places on the platform bus for 128 KiB and for 704 KiB */
#define SMMU_BASE       0x0c000000ull
#define BLOCK           0x0c100000ull
#define PAGE            0x10000ull

/* What x-cmdqv=on has */
#define VINTFS          4
#define VCMDQS          8
#define LVCMDQS         (VCMDQS / VINTFS)
#define SIDS            16
/* Shared peripheral interrupt 116: the fifth of the platform bus */
#define IRQ             (32 + 116)
#define GICD            0x08000000ull
enum { GICD_ISPENDR = 0x200, GICD_ICPENDR = 0x280, GICD_ICFGR = 0xc00 };

/* The first page */
enum { CONFIG = 0, PARAM = 4, STATUS = 8, VINTF_ERR_MAP = 0x14,
       VINTF_INT_MASK = 0x1c, CMDQ_ERR_MAP = 0x24 };
#define ALLOC(q)        (0x200 + 4 * (q))
#define ALLOC_VALUE(v, l) ((v) << 15 | (l) << 1 | 1)
#define VINTF(v, reg)   (0x1000 + 0x100 * (v) + VINTF_##reg)
enum { VINTF_CONFIG = 0, VINTF_STATUS = 4, VINTF_SID_MATCH = 0x40,
       VINTF_SID_REPLACE = 0x80, VINTF_ERRORS = 0xc0 };
#define EN              1u
#define VMID(n)         ((n) << 1)
#define HYP_OWN         (1u << 17)

/* Queues: by global index, and by logical index of a VINTF */
#define GLOBAL(q, reg)  (1 * PAGE + 0x80 * (q) + Q_##reg)
#define GLOBAL1(q, reg) (2 * PAGE + 0x80 * (q) + Q_##reg)
#define LOCAL(v, l, reg) ((3 + 2 * (v)) * PAGE + 0x80 * (l) + Q_##reg)
#define LOCAL1(v, l, reg) ((4 + 2 * (v)) * PAGE + 0x80 * (l) + Q_##reg)
enum { Q_CONS = 0, Q_PROD = 4, Q_CONFIG = 8, Q_STATUS = 0xc, Q_GERROR = 0x10,
       Q_GERRORN = 0x14 };
enum { Q_BASE = 0, Q_CONS_BASE = 8 };
#define CONS_ERR(cons)  extract32(cons, 24, 7)
#define LOG2SIZE        4

static QTestState *start(const char *more)
{
    return qtest_initf("-accel qtest -nodefaults -M virt,gic-version=3 "
                       "-cpu cortex-a57 -m 64 "
                       "-device arm-smmuv3,primary-bus=pcie.0,x-cmdqv=on %s",
                       more);
}

static uint32_t get(QTestState *qts, uint64_t offset)
{
    return qtest_readl(qts, BLOCK + offset);
}

static void set(QTestState *qts, uint64_t offset, uint32_t value)
{
    qtest_writel(qts, BLOCK + offset, value);
}

/* Let the GIC keep the pulses of the block */
static void latch_irq(QTestState *qts)
{
    uint64_t icfgr = GICD + GICD_ICFGR + IRQ / 16 * 4;

    qtest_writel(qts, icfgr, qtest_readl(qts, icfgr) | 2u << IRQ % 16 * 2);
}

/* Was there a pulse since the last call? */
static bool take_irq(QTestState *qts)
{
    uint64_t word = GICD + IRQ / 32 * 4;
    bool pending = extract32(qtest_readl(qts, word + GICD_ISPENDR), IRQ % 32,
                             1);

    qtest_writel(qts, word + GICD_ICPENDR, 1u << IRQ % 32);
    return pending;
}

static uint64_t queue_addr(int vintf, int lidx)
{
    return QUEUES + (vintf * LVCMDQS + lidx) * 0x10000;
}

static void enable_queue(QTestState *qts, int vintf, int lidx, int log2size)
{
    set(qts, ALLOC(vintf * LVCMDQS + lidx), ALLOC_VALUE(vintf, lidx));
    qtest_writeq(qts, BLOCK + LOCAL1(vintf, lidx, BASE),
                 queue_addr(vintf, lidx) | log2size);
    set(qts, LOCAL(vintf, lidx, CONFIG), EN);
}

/* The block, a VINTF and its first queue */
static void enable(QTestState *qts, int vintf, uint32_t config)
{
    set(qts, CONFIG, EN);
    set(qts, VINTF(vintf, CONFIG), config | EN);
    enable_queue(qts, vintf, 0, LOG2SIZE);
}

static void put(QTestState *qts, int vintf, int lidx, int index, uint64_t cmd0,
                uint64_t cmd1)
{
    qtest_writeq(qts, queue_addr(vintf, lidx) + index * 16, cmd0);
    qtest_writeq(qts, queue_addr(vintf, lidx) + index * 16 + 8, cmd1);
}

static bool has_error(QTestState *qts, int vintf, int lidx)
{
    return (get(qts, LOCAL(vintf, lidx, GERROR)) ^
            get(qts, LOCAL(vintf, lidx, GERRORN))) & 1;
}

/* One command of a queue that is as new; returns CONS.ERR, 0 for success */
static unsigned run(QTestState *qts, int vintf, uint64_t cmd0, uint64_t cmd1)
{
    put(qts, vintf, 0, 0, cmd0, cmd1);
    set(qts, LOCAL(vintf, 0, PROD), 1);
    if (!has_error(qts, vintf, 0)) {
        g_assert_cmphex(get(qts, LOCAL(vintf, 0, CONS)), ==, 1);
        return 0;
    }
    g_assert_cmphex(get(qts, LOCAL(vintf, 0, CONS)) & 0xffffff, ==, 0);
    return CONS_ERR(get(qts, LOCAL(vintf, 0, CONS)));
}

/* --- what is told --- */

static void test_told(void)
{
    QTestState *qts = start("");

    g_assert_cmphex(get(qts, PARAM), ==, 4 << 12 | 2 << 8 | 3 << 4 | 1);
    g_assert_cmphex(get(qts, STATUS), ==, 0);
    set(qts, CONFIG, UINT32_MAX);
    g_assert_cmphex(get(qts, CONFIG), ==, EN);
    g_assert_cmphex(get(qts, STATUS), ==, EN);
    set(qts, VINTF(3, CONFIG), UINT32_MAX);
    g_assert_cmphex(get(qts, VINTF(3, CONFIG)), ==, 0x3ffff);
    g_assert_cmphex(get(qts, VINTF(3, STATUS)), ==, EN);
    set(qts, CONFIG, 0);
    g_assert_cmphex(get(qts, VINTF(3, STATUS)), ==, 0);
    /* There are no more of them */
    set(qts, VINTF(4, CONFIG), UINT32_MAX);
    g_assert_cmphex(get(qts, VINTF(4, CONFIG)), ==, 0);
    set(qts, ALLOC(VCMDQS), ALLOC_VALUE(0, 0));
    g_assert_cmphex(get(qts, ALLOC(VCMDQS)), ==, 0);
    qtest_quit(qts);
}

static const uint8_t *find(const uint8_t *data, size_t size, const void *what,
                           size_t len)
{
    for (size_t i = 0; i + len <= size; i++) {
        if (!memcmp(data + i, what, len)) {
            return data + i;
        }
    }
    return NULL;
}

static void test_device_tree(void)
{
    g_autofree char *dir = g_dir_make_tmp("cmdqv-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "dtb", NULL);

    for (int on = 0; on < 2; on++) {
        g_autofree char *dtb = NULL;
        g_autofree char *command = g_strdup_printf(
            "%s -accel qtest -nodefaults -nographic -M virt,dumpdtb=%s "
            "-cpu cortex-a57 -device arm-smmuv3,primary-bus=pcie.0,x-cmdqv=%s",
            getenv("QTEST_QEMU_BINARY"), path, on ? "on" : "off");
        gsize size;

        g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL,
                                                NULL));
        g_assert_true(g_file_get_contents(path, &dtb, &size, NULL));
        g_assert_cmpint(!!find((uint8_t *)dtb, size, "nvidia,cmdqv", 13), ==,
                        on);
        g_assert_cmpint(!!find((uint8_t *)dtb, size, "cmdqv@100000", 13), ==,
                        on);
        g_assert_cmpint(!!find((uint8_t *)dtb, size, "nvidia,tegra264-cmdqv",
                               22), ==, on);
        g_assert_cmpint(!!find((uint8_t *)dtb, size,
                               "nvidia,tegra264-smmu\0arm,smmu-v3", 33), ==,
                        on);
        g_unlink(path);
    }
    g_rmdir(dir);
}

/* The device in the DSDT names the SMMU by its identifier in the IORT */
static void test_acpi(void)
{
    static const uint8_t memory[] = { 0x86, 9, 0, 1, 0, 0, 0x10, 0x0c,
                                      0, 0, 0x0b, 0 };
    static const uint8_t irq[] = { 0x89, 6, 0, 3, 1, IRQ, 0, 0, 0 };
    QTestState *qts = start("");
    uint8_t uid[] = { 8, '_', 'U', 'I', 'D', 0 };
    size_t size;
    g_autofree uint8_t *tables = smmuv3_read_blob(qts, "etc/acpi/tables",
                                                  &size);
    const uint8_t *dev = find(tables, size, "NVDA200C", 8);
    IortTable iort;

    g_assert_nonnull(dev);
    smmuv3_read_iort(qts, &iort);
    /* The ITS group is the first node; zero and one are opcodes, too */
    uid[5] = iort.its_groups;
    size = MIN(size - (dev - tables), 80);
    g_assert_nonnull(find(dev, size, uid, sizeof(uid)));
    g_assert_nonnull(find(dev, size, memory, sizeof(memory)));
    g_assert_nonnull(find(dev, size, irq, sizeof(irq)));
    qtest_quit(qts);

    qts = qtest_init("-accel qtest -nodefaults -M virt -cpu cortex-a57 "
                     "-device arm-smmuv3,primary-bus=pcie.0");
    g_free(tables);
    tables = smmuv3_read_blob(qts, "etc/acpi/tables", &size);
    g_assert_null(find(tables, size, "NVDA200C", 8));
    qtest_quit(qts);
}

static void test_no_place(void)
{
    g_autofree char *said = NULL;
    g_autofree char *command = g_strdup_printf(
        "%s -accel qtest -nodefaults -nographic -M virt,iommu=smmuv3 "
        "-global arm-smmuv3.x-cmdqv=on", getenv("QTEST_QEMU_BINARY"));
    int status;

    g_assert_true(g_spawn_command_line_sync(command, NULL, &said, &status,
                                            NULL));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(said, "has no place for x-cmdqv=on"));
}

/* --- commands --- */

typedef struct CommandCase {
    const char *name;
    uint64_t cmd0;
    unsigned hyp_own;           /* CONS.ERR with HYP_OWN */
    unsigned confined;          /* and without */
} CommandCase;

#define OK SMMUV3_CERROR_NONE
#define ILL SMMUV3_CERROR_ILL

static const CommandCase commands[] = {
    { "sync", SMMUV3_SYNC, OK, OK },
    { "tlbi-nh-asid", SMMUV3_TLBI_NH_ASID, OK, OK },
    { "tlbi-nh-va", SMMUV3_TLBI_NH_VA, OK, OK },
    { "tlbi-nh-vaa", SMMUV3_TLBI_NH_VAA, OK, ILL },
    { "tlbi-nh-all", SMMUV3_TLBI_NH_ALL, OK, ILL },
    { "tlbi-s12-vmall", SMMUV3_TLBI_S12_VMALL, OK, ILL },
    { "tlbi-nsnh-all", SMMUV3_TLBI_NSNH_ALL, OK, ILL },
    { "cfgi-ste", SMMUV3_CFGI_STE, OK, ILL },
    { "cfgi-all", SMMUV3_CFGI_STE_RANGE, OK, ILL },
    { "cfgi-cd", SMMUV3_CFGI_CD, OK, ILL },
    { "prefetch", SMMUV3_PREFETCH_CONFIG, OK, ILL },
    /* No StreamID is one of the VM's */
    { "atc-inv", SMMUV3_ATC_INV, OK, ILL },
    { "none", 0xff, ILL, ILL },
};

static void test_command(const void *data)
{
    const CommandCase *c = data;
    QTestState *qts = start("");

    enable(qts, 0, HYP_OWN);
    enable(qts, 1, 0);
    g_assert_cmpuint(run(qts, 0, c->cmd0, 0), ==, c->hyp_own);
    g_assert_cmpuint(run(qts, 1, c->cmd0, 0), ==, c->confined);
    qtest_quit(qts);
}

static void test_sid(void)
{
    uint32_t sid = 0xabcde;
    QTestState *qts = start("");

    enable(qts, 2, 0);
    set(qts, VINTF(2, SID_REPLACE) + 4 * (SIDS - 1), 0x100);
    set(qts, VINTF(2, SID_MATCH) + 4 * (SIDS - 1), sid << 1 | EN);
    /* Of another VINTF, and one that is not enabled */
    set(qts, VINTF(1, SID_MATCH), (sid + 1) << 1 | EN);
    set(qts, VINTF(2, SID_MATCH), (sid + 1) << 1);
    g_assert_cmpuint(run(qts, 2, SMMUV3_ATC_INV | (uint64_t)sid << 32, 0), ==,
                     OK);
    put(qts, 2, 0, 1, SMMUV3_ATC_INV | (sid + 1ull) << 32, 0);
    set(qts, LOCAL(2, 0, PROD), 2);
    g_assert_cmphex(get(qts, LOCAL(2, 0, CONS)), ==, ILL << 24 | 1);
    qtest_quit(qts);
}

/* A VM invalidates what has its own VMID, whatever it says */
static void test_vmid(void)
{
    g_autofree char *dir = g_dir_make_tmp("cmdqv-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "log", NULL);
    g_autofree char *args = g_strdup_printf(
        "-d trace:smmuv3_range_inval -D %s", path);
    QTestState *qts = start(args);
    g_autofree char *log = NULL;

    enable(qts, 0, HYP_OWN | VMID(5));
    enable(qts, 1, VMID(6));
    run(qts, 0, SMMUV3_TLBI_NH_VA | 0x77ull << 32 | 1ull << 48, 0x1000);
    run(qts, 1, SMMUV3_TLBI_NH_VA | 0x77ull << 32 | 2ull << 48, 0x2000);
    qtest_quit(qts);
    g_assert_true(g_file_get_contents(path, &log, NULL, NULL));
    g_assert_nonnull(strstr(log, "vmid=119 asid=1 "));
    g_assert_nonnull(strstr(log, "vmid=6 asid=2 "));
    g_unlink(path);
    g_rmdir(dir);
}

/* --- when queues are worked off --- */

static void test_enabled(void)
{
    QTestState *qts = start("");

    put(qts, 1, 0, 0, SMMUV3_SYNC, 0);
    set(qts, ALLOC(2), ALLOC_VALUE(1, 0));
    qtest_writeq(qts, BLOCK + LOCAL1(1, 0, BASE), queue_addr(1, 0) | LOG2SIZE);
    set(qts, LOCAL(1, 0, PROD), 1);
    set(qts, LOCAL(1, 0, CONFIG), EN);
    g_assert_cmphex(get(qts, LOCAL(1, 0, STATUS)), ==, 0);
    set(qts, VINTF(1, CONFIG), EN);
    g_assert_cmphex(get(qts, LOCAL(1, 0, STATUS)), ==, 0);
    g_assert_cmphex(get(qts, LOCAL(1, 0, CONS)), ==, 0);
    set(qts, CONFIG, EN);
    g_assert_cmphex(get(qts, LOCAL(1, 0, STATUS)), ==, EN);
    g_assert_cmphex(get(qts, LOCAL(1, 0, CONS)), ==, 1);
    /* Of an enabled queue neither changes */
    set(qts, LOCAL(1, 0, CONS), 0);
    qtest_writeq(qts, BLOCK + LOCAL1(1, 0, BASE), 0);
    g_assert_cmphex(get(qts, LOCAL(1, 0, CONS)), ==, 1);
    g_assert_cmphex(qtest_readq(qts, BLOCK + LOCAL1(1, 0, BASE)), ==,
                    queue_addr(1, 0) | LOG2SIZE);
    set(qts, LOCAL(1, 0, CONFIG), 0);
    g_assert_cmphex(get(qts, LOCAL(1, 0, STATUS)), ==, 0);
    set(qts, LOCAL(1, 0, PROD), 2);
    g_assert_cmphex(get(qts, LOCAL(1, 0, CONS)), ==, 1);
    qtest_quit(qts);
}

static void test_wrap(void)
{
    QTestState *qts = start("");
    unsigned mask = (2 << LOG2SIZE) - 1, prod = 0;

    enable(qts, 0, HYP_OWN);
    for (int i = 0; i < 1 << LOG2SIZE; i++) {
        put(qts, 0, 0, i, SMMUV3_SYNC, 0);
    }
    for (int i = 0; i < 5; i++) {
        prod = (prod + 11) & mask;
        set(qts, LOCAL(0, 0, PROD), prod);
        g_assert_cmphex(get(qts, LOCAL(0, 0, CONS)), ==, prod);
    }
    qtest_quit(qts);
}

/* More commands than are carried out at once */
static void test_long(void)
{
    enum { LOG2 = 12, COMMANDS = 4000 };
    QTestState *qts = start("");

    set(qts, CONFIG, EN);
    set(qts, VINTF(0, CONFIG), HYP_OWN | EN);
    enable_queue(qts, 0, 0, LOG2);
    for (int i = 0; i < COMMANDS; i++) {
        put(qts, 0, 0, i, SMMUV3_SYNC, 0);
    }
    set(qts, LOCAL(0, 0, PROD), COMMANDS);
    QTEST_AWAIT(get(qts, LOCAL(0, 0, CONS)) == COMMANDS);
    qtest_quit(qts);
}

/* --- errors --- */

static void test_error(void)
{
    QTestState *qts = start("");

    latch_irq(qts);
    enable(qts, 1, 0);
    enable_queue(qts, 1, 1, LOG2SIZE);
    put(qts, 1, 1, 0, SMMUV3_SYNC, 0);
    put(qts, 1, 1, 1, SMMUV3_TLBI_NH_ALL, 0);
    put(qts, 1, 1, 2, SMMUV3_SYNC, 0);
    g_assert_false(take_irq(qts));
    set(qts, LOCAL(1, 1, PROD), 3);
    g_assert_true(take_irq(qts));

    g_assert_cmphex(get(qts, LOCAL(1, 1, CONS)), ==, ILL << 24 | 1);
    g_assert_cmphex(get(qts, LOCAL(1, 1, GERROR)), ==, 1);
    g_assert_cmphex(get(qts, GLOBAL(3, GERROR)), ==, 1);
    g_assert_cmphex(get(qts, VINTF_ERR_MAP), ==, 1 << 1);
    g_assert_cmphex(get(qts, CMDQ_ERR_MAP), ==, 1 << 3);
    g_assert_cmphex(qtest_readq(qts, BLOCK + VINTF(1, ERRORS)), ==, 1 << 1);
    g_assert_cmphex(qtest_readq(qts, BLOCK + VINTF(0, ERRORS)), ==, 0);
    /* The SMMU's own queue has none */
    g_assert_cmphex(qtest_readl(qts, SMMU_BASE + SMMUV3_GERROR), ==, 0);
    g_assert_cmphex(qtest_readl(qts, SMMU_BASE + SMMUV3_CMDQ_CONS), ==, 0);

    /* It stands until the error is acknowledged, and the other goes on */
    set(qts, LOCAL(1, 1, PROD), 3);
    g_assert_cmphex(get(qts, LOCAL(1, 1, CONS)), ==, ILL << 24 | 1);
    g_assert_cmpuint(run(qts, 1, SMMUV3_SYNC, 0), ==, OK);
    put(qts, 1, 1, 1, SMMUV3_SYNC, 0);
    set(qts, LOCAL(1, 1, GERRORN), 1);
    g_assert_false(take_irq(qts));
    g_assert_cmphex(get(qts, LOCAL(1, 1, CONS)) & 0xffffff, ==, 3);
    g_assert_cmphex(get(qts, VINTF_ERR_MAP), ==, 0);
    g_assert_cmphex(get(qts, CMDQ_ERR_MAP), ==, 0);
    g_assert_cmphex(qtest_readq(qts, BLOCK + VINTF(1, ERRORS)), ==, 0);
    qtest_quit(qts);
}

/* VINTF_INT_MASK keeps the interrupt back, and nothing else */
static void test_masked(void)
{
    QTestState *qts = start("");

    latch_irq(qts);
    enable(qts, 1, 0);
    enable(qts, 2, 0);
    set(qts, VINTF_INT_MASK, 1 << 1);
    g_assert_cmpuint(run(qts, 1, 0xff, 0), ==, ILL);
    g_assert_false(take_irq(qts));
    g_assert_cmphex(get(qts, VINTF_ERR_MAP), ==, 1 << 1);
    g_assert_cmpuint(run(qts, 2, 0xff, 0), ==, ILL);
    g_assert_true(take_irq(qts));
    g_assert_cmphex(get(qts, VINTF_ERR_MAP), ==, 1 << 1 | 1 << 2);
    qtest_quit(qts);
}

typedef struct BaseCase {
    const char *name;
    uint64_t base;
} BaseCase;

static const BaseCase bases[] = {
    { "none", LOG2SIZE },
    { "unaligned", (QUEUES + 0x80) | LOG2SIZE },
    { "too-large", QUEUES | 20 },
    { "largest-number", QUEUES | 31 },
    { "no-memory", NO_MEMORY | LOG2SIZE },
    { "registers", SMMU_BASE | LOG2SIZE },
};

static void test_base(const void *data)
{
    const BaseCase *c = data;
    QTestState *qts = start("");

    enable(qts, 0, HYP_OWN);
    set(qts, LOCAL(0, 0, CONFIG), 0);
    qtest_writeq(qts, BLOCK + LOCAL1(0, 0, BASE), c->base);
    set(qts, LOCAL(0, 0, CONFIG), EN);
    g_assert_false(has_error(qts, 0, 0));
    set(qts, LOCAL(0, 0, PROD), 1);
    g_assert_true(has_error(qts, 0, 0));
    g_assert_cmphex(get(qts, LOCAL(0, 0, CONS)), ==, SMMUV3_CERROR_ABT << 24);
    qtest_quit(qts);
}

/* --- allocation --- */

static void test_unallocated(void)
{
    QTestState *qts = start("");
    static const int regs[] = { Q_CONS, Q_PROD, Q_CONFIG, Q_GERRORN };

    set(qts, CONFIG, EN);
    set(qts, VINTF(1, CONFIG), EN);
    for (int i = 0; i < ARRAY_SIZE(regs); i++) {
        set(qts, LOCAL(1, 0, CONS) + regs[i], 1);
        g_assert_cmphex(get(qts, LOCAL(1, 0, CONS) + regs[i]), ==, 0);
        set(qts, GLOBAL(2, CONS) + regs[i], 1);
        g_assert_cmphex(get(qts, GLOBAL(2, CONS) + regs[i]), ==, 0);
    }
    qtest_writeq(qts, BLOCK + LOCAL1(1, 0, BASE), QUEUES);
    g_assert_cmphex(qtest_readq(qts, BLOCK + LOCAL1(1, 0, BASE)), ==, 0);
    qtest_writeq(qts, BLOCK + GLOBAL1(2, BASE), QUEUES);
    set(qts, ALLOC(2), ALLOC_VALUE(1, 0));
    g_assert_cmphex(qtest_readq(qts, BLOCK + LOCAL1(1, 0, BASE)), ==, 0);

    /* One queue, two places */
    set(qts, LOCAL(1, 0, PROD), 7);
    g_assert_cmphex(get(qts, GLOBAL(2, PROD)), ==, 7);
    set(qts, LOCAL1(1, 0, BASE) + 4, 0x11);
    set(qts, LOCAL1(1, 0, BASE), 0x22000020);
    g_assert_cmphex(qtest_readq(qts, BLOCK + GLOBAL1(2, BASE)), ==,
                    0x1122000020);
    g_assert_cmphex(get(qts, GLOBAL1(2, BASE) + 4), ==, 0x11);
    qtest_quit(qts);
}

static void test_allocated_as(QTestState *qts, int q, uint32_t value, bool ok)
{
    set(qts, ALLOC(q), value);
    g_assert_cmphex(get(qts, ALLOC(q)), ==, ok ? value : value & ~1);
}

static void test_order(void)
{
    QTestState *qts = start("");

    test_allocated_as(qts, 1, ALLOC_VALUE(0, 1), false);
    test_allocated_as(qts, 0, ALLOC_VALUE(0, 0), true);
    test_allocated_as(qts, 1, ALLOC_VALUE(0, 0), false);
    test_allocated_as(qts, 1, ALLOC_VALUE(0, 1), true);
    test_allocated_as(qts, 2, ALLOC_VALUE(0, LVCMDQS), false);
    test_allocated_as(qts, 2, ALLOC_VALUE(VINTFS, 0), false);
    test_allocated_as(qts, 2, ALLOC_VALUE(63, 127), false);
    test_allocated_as(qts, 2, ALLOC_VALUE(3, 0), true);
    qtest_quit(qts);
}

static void test_new_owner(void)
{
    QTestState *qts = start("");

    enable(qts, 1, 0);
    g_assert_cmpuint(run(qts, 1, 0xff, 0), ==, ILL);
    set(qts, ALLOC(2), ALLOC_VALUE(2, 0));
    g_assert_cmphex(get(qts, LOCAL(1, 0, PROD)), ==, 0);
    g_assert_cmphex(get(qts, VINTF_ERR_MAP), ==, 0);
    for (int reg = 0; reg < 0x18; reg += 4) {
        g_assert_cmphex(get(qts, LOCAL(2, 0, CONS) + reg), ==, 0);
    }
    g_assert_cmphex(qtest_readq(qts, BLOCK + LOCAL1(2, 0, BASE)), ==, 0);
    qtest_quit(qts);
}

/* --- life --- */

static void test_reset(void)
{
    QTestState *qts = start("");

    enable(qts, 1, VMID(3));
    set(qts, VINTF(1, SID_MATCH), 1);
    set(qts, VINTF(1, SID_REPLACE), 1);
    set(qts, VINTF_INT_MASK, 1);
    run(qts, 1, 0xff, 0);
    qtest_system_reset(qts);
    for (int reg = 0; reg < 0x2000; reg += 4) {
        if (reg != PARAM) {
            g_assert_cmphex(get(qts, reg), ==, 0);
        }
    }
    enable(qts, 1, 0);
    g_assert_cmpuint(run(qts, 1, SMMUV3_SYNC, 0), ==, OK);
    qtest_quit(qts);
}

/* Is migration at its end, which must be this one? */
static bool migration_is(QTestState *qts, const char *end)
{
    QDict *info = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate' }");
    const char *status = qdict_get_try_str(info, "status");
    bool done = !g_strcmp0(status, "completed") ||
                !g_strcmp0(status, "failed");

    if (done) {
        g_assert_cmpstr(status, ==, end);
    }
    qobject_unref(info);
    return done;
}

/* The state goes to a file, and from there to another QEMU, which ends so */
static void migrate(QTestState *from, QTestState *to, const char *end)
{
    g_autofree char *dir = g_dir_make_tmp("cmdqv-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "state", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);

    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    QTEST_AWAIT(migration_is(from, "completed"));
    qtest_quit(from);
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s,"
                             " 'exit-on-error': false } }", uri);
    QTEST_AWAIT(migration_is(to, end));
    g_unlink(path);
    g_rmdir(dir);
}

static void test_migration(void)
{
    QTestState *from = start(""), *to = start("-incoming defer");
    uint32_t before[0x800];

    enable(from, 1, VMID(3));
    set(from, VINTF(1, SID_MATCH), 1 | 9 << 1);
    set(from, VINTF(1, SID_REPLACE), 0x100);
    set(from, VINTF_INT_MASK, 4);
    g_assert_cmpuint(run(from, 1, 0xff, 0), ==, ILL);
    for (int i = 0; i < ARRAY_SIZE(before); i++) {
        before[i] = get(from, i * 4);
    }
    migrate(from, to, "completed");
    qtest_qmp_eventwait(to, "RESUME");
    for (int i = 0; i < ARRAY_SIZE(before); i++) {
        g_assert_cmphex(get(to, i * 4), ==, before[i]);
    }
    g_assert_cmphex(get(to, LOCAL(1, 0, CONS)), ==, ILL << 24);
    put(to, 1, 0, 0, SMMUV3_SYNC, 0);
    set(to, LOCAL(1, 0, GERRORN), 1);
    g_assert_cmphex(get(to, LOCAL(1, 0, CONS)) & 0xffffff, ==, 1);
    qtest_quit(to);
}

/* A QEMU whose SMMU has no block cannot take the state of one, and says so */
static void test_no_block(void)
{
    QTestState *from = start(""), *to;
    QDict *info;

    to = qtest_init("-accel qtest -nodefaults -M virt,gic-version=3 "
                    "-cpu cortex-a57 -m 64 -device arm-smmuv3,"
                    "primary-bus=pcie.0 -incoming defer");
    enable(from, 1, VMID(3));
    migrate(from, to, "failed");
    info = qtest_qmp_assert_success_ref(to, "{ 'execute': 'query-migrate' }");
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"),
                            "Invalid argument"));
    qobject_unref(info);
    qtest_quit(to);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/smmuv3/cmdqv/registers_told", test_told);
    qtest_add_func("/smmuv3/cmdqv/device-tree_told", test_device_tree);
    qtest_add_func("/smmuv3/cmdqv/acpi_told", test_acpi);
    qtest_add_func("/smmuv3/cmdqv/smmu-of-machine_refused", test_no_place);
    qtest_add_cases("/smmuv3/cmdqv/command", commands, test_command);
    qtest_add_func("/smmuv3/cmdqv/stream-id_replaced", test_sid);
    qtest_add_func("/smmuv3/cmdqv/vmid_forced", test_vmid);
    qtest_add_func("/smmuv3/cmdqv/not-enabled_waits", test_enabled);
    qtest_add_func("/smmuv3/cmdqv/indices_wrap", test_wrap);
    qtest_add_func("/smmuv3/cmdqv/long-queue_consumed", test_long);
    qtest_add_func("/smmuv3/cmdqv/error_told", test_error);
    qtest_add_func("/smmuv3/cmdqv/masked-error_no-interrupt", test_masked);
    qtest_add_cases("/smmuv3/cmdqv/base-abort", bases, test_base);
    qtest_add_func("/smmuv3/cmdqv/unallocated_zero", test_unallocated);
    qtest_add_func("/smmuv3/cmdqv/allocation_in-order", test_order);
    qtest_add_func("/smmuv3/cmdqv/new-owner_finds-nothing", test_new_owner);
    qtest_add_func("/smmuv3/cmdqv/reset_off", test_reset);
    qtest_add_func("/smmuv3/cmdqv/migration_kept", test_migration);
    qtest_add_func("/smmuv3/cmdqv/migration-without-block_refused",
                   test_no_block);
    return g_test_run();
}
