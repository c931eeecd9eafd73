/*
 * SMMUv3 devices that are added to the virt machine: what is refused, what the
 * guest is told about the others, and whether they do as it was told
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "libqos/await.h"
#include "libqos/edu.h"
#include "arm-smmuv3-guest.h"

#define SMMU_ON(bus, id) "-device arm-smmuv3,primary-bus=" bus ",id=" id " "
#define PXB(id, nr) "-device pxb-pcie,id=" id ",bus=pcie.0,bus_nr=" nr " "
#define BOTH PXB("pxb1", "8") SMMU_ON("pcie.0", "smmu0") \
             SMMU_ON("pxb1", "smmu1")

/* --- what is refused ------------------------------------------------------ */

typedef struct RefusedCase {
    const char *name;
    const char *machine;        /* further machine options */
    const char *devices;
    const char *message;        /* a part of what QEMU says */
} RefusedCase;

static const RefusedCase refused_cases[] = {
    {
        "without-bus", "", "-device arm-smmuv3,id=smmu0",
        "smmu0: primary-bus is missing",
    }, {
        "unknown-bus", "", SMMU_ON("pcie.7", "smmu0"), "'pcie.7' not found",
    }, {
        "root-port", "", "-device pcie-root-port,id=rp0 "
        SMMU_ON("rp0", "smmu0"), "primary-bus rp0 is not a root complex",
    }, {
        "two-on-one-bus", "", SMMU_ON("pcie.0", "smmu0")
        SMMU_ON("pcie.0", "smmu1"),
        "smmu1: root complex pcie.0 has the SMMUv3 smmu0 already",
    }, {
        "two-on-one-pxb", "", PXB("pxb1", "8") SMMU_ON("pxb1", "smmu0")
        SMMU_ON("pxb1", "smmu1"),
        "smmu1: root complex pxb1 has the SMMUv3 smmu0 already",
    }, {
        "beside-that-of-the-machine", ",iommu=smmuv3",
        SMMU_ON("pcie.0", "smmu0"),
        "smmu0: the machine has the SMMUv3 of iommu=smmuv3 already",
    }, {
        "on-pxb-beside-that-of-the-machine", ",iommu=smmuv3",
        PXB("pxb1", "8") SMMU_ON("pxb1", "smmu0"),
        "smmu0: the machine has the SMMUv3 of iommu=smmuv3 already",
    }, {
        "after-virtio-iommu", "", "-device virtio-iommu-pci "
        SMMU_ON("pcie.0", "smmu0"), "smmu0: the machine has a virtio-iommu",
    }, {
        "before-virtio-iommu", "", SMMU_ON("pcie.0", "smmu0")
        "-device virtio-iommu-pci", "does not support multiple IOMMUs",
    }, {
        "bypassed-pcie", ",default-bus-bypass-iommu=on",
        SMMU_ON("pcie.0", "smmu0"), "root complex pcie.0 bypasses the IOMMU",
    }, {
        "bypassed-pxb", "", "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=8,"
        "bypass_iommu=on " SMMU_ON("pxb1", "smmu0"),
        "root complex pxb1 bypasses the IOMMU",
    }, {
        "seventeenth", "",
        PXB("b1", "16") PXB("b2", "24") PXB("b3", "32") PXB("b4", "40")
        PXB("b5", "48") PXB("b6", "56") PXB("b7", "64") PXB("b8", "72")
        PXB("b9", "80") PXB("b10", "88") PXB("b11", "96") PXB("b12", "104")
        PXB("b13", "112") PXB("b14", "120") PXB("b15", "128")
        PXB("b16", "136") SMMU_ON("pcie.0", "s0")
        SMMU_ON("b1", "s1") SMMU_ON("b2", "s2") SMMU_ON("b3", "s3")
        SMMU_ON("b4", "s4") SMMU_ON("b5", "s5") SMMU_ON("b6", "s6")
        SMMU_ON("b7", "s7") SMMU_ON("b8", "s8") SMMU_ON("b9", "s9")
        SMMU_ON("b10", "s10") SMMU_ON("b11", "s11") SMMU_ON("b12", "s12")
        SMMU_ON("b13", "s13") SMMU_ON("b14", "s14") SMMU_ON("b15", "s15")
        SMMU_ON("b16", "s16"),
        "s16: an SMMUv3 needs 4 interrupts, and the platform bus has 0 of 64",
    },
};

static void test_refused(const void *opaque)
{
    const RefusedCase *c = opaque;
    g_autofree char *said = NULL;
    int status = smmuv3_run_qemu(&said, "-machine virt%s,dumpdtb=/dev/null %s",
                                 c->machine, c->devices);

    if (status != 1 || !strstr(said, c->message)) {
        g_test_message("status %d, expected \"%s\", QEMU said: %s", status,
                       c->message, said);
    }
    g_assert_cmpint(status, ==, 1);
    g_assert_nonnull(strstr(said, c->message));
}

static void test_hotplug_refused(void)
{
    QTestState *qts = qtest_init("-machine virt");
    QDict *response = qtest_qmp(qts, "{ 'execute': 'device_add', 'arguments': "
                                "{ 'driver': 'arm-smmuv3', 'id': 'smmu0', "
                                "'primary-bus': 'pcie.0' } }");

    g_assert_true(qdict_haskey(response, "error"));
    qobject_unref(response);
    qtest_quit(qts);
}

/* --- what the guest is told ----------------------------------------------- */

typedef struct ToldRange {
    uint32_t first;
    uint32_t count;
    int smmu;           /* index in the IORT, -1: none */
} ToldRange;

typedef struct ToldCase {
    const char *name;
    const char *machine;
    const char *devices;
    unsigned smmus;
    ToldRange ranges[4];    /* up to the first with count 0 */
} ToldCase;

static const ToldCase told_cases[] = {
    {
        "pcie", "", SMMU_ON("pcie.0", "smmu0"), 1,
        { { 0, 0x10000, 0 } },
    }, {
        "pcie-and-pxb", "", BOTH, 2,
        { { 0, 0x800, 0 }, { 0x800, 0xf800, 1 } },
    }, {
        "other-order", "", PXB("pxb1", "8") SMMU_ON("pxb1", "smmu1")
        SMMU_ON("pcie.0", "smmu0"), 2,
        { { 0, 0x800, 1 }, { 0x800, 0xf800, 0 } },
    }, {
        "pxb-only", "", PXB("pxb1", "8") SMMU_ON("pxb1", "smmu1"), 1,
        { { 0, 0x800, -1 }, { 0x800, 0xf800, 0 } },
    }, {
        "pxb-shares-that-of-pcie", "", PXB("pxb1", "8")
        SMMU_ON("pcie.0", "smmu0"), 1,
        { { 0, 0x800, 0 }, { 0x800, 0xf800, 0 } },
    }, {
        "one-pxb-shares-one-has-its-own", "", PXB("pxb1", "8")
        PXB("pxb2", "12") SMMU_ON("pcie.0", "smmu0") SMMU_ON("pxb1", "smmu1"),
        2,
        { { 0, 0x800, 0 }, { 0x800, 0x400, 1 }, { 0xc00, 0xf400, 0 } },
    }, {
        "pxb-bypasses", "", SMMU_ON("pcie.0", "smmu0")
        "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=8,bypass_iommu=on "
        PXB("pxb2", "12"), 1,
        { { 0, 0x800, 0 }, { 0x800, 0x400, -1 }, { 0xc00, 0xf400, 0 } },
    }, {
        "without-its", ",gic-version=3,its=off", BOTH, 2,
        { { 0, 0x800, 0 }, { 0x800, 0xf800, 1 } },
    }, {
        "gicv2", ",gic-version=2", BOTH, 2,
        { { 0, 0x800, 0 }, { 0x800, 0xf800, 1 } },
    },
};

static bool has_its(const ToldCase *c)
{
    return !*c->machine;
}

/* Nodes, and where the requests of the root complex go to */
static void check_iort(const ToldCase *c, const IortTable *iort)
{
    const ToldRange *range = c->ranges;
    int i;

    g_assert_cmpuint(iort->revision, ==, 3);
    g_assert_cmpuint(iort->its_groups, ==, has_its(c));
    g_assert_cmpuint(iort->root_complexes, ==, 1);
    g_assert_cmpuint(iort->smmus, ==, c->smmus);
    for (i = 0; i < iort->smmus; i++) {
        const IortSMMU *smmu = &iort->smmu[i];

        g_assert_cmpuint(smmu->n_maps, ==, has_its(c));
        if (has_its(c)) {
            g_assert_cmphex(smmu->maps[0].first, ==, 0);
            g_assert_cmphex(smmu->maps[0].count, ==, 0x10000);
            g_assert_cmphex(smmu->maps[0].output, ==, iort->its_offset);
        }
    }
    for (i = 0; range->count; range++) {
        uint32_t output = range->smmu < 0 ? iort->its_offset
                                          : iort->smmu[range->smmu].offset;

        if (!output) {
            continue;
        }
        g_assert_cmpint(i, <, iort->n_rc_maps);
        g_assert_cmphex(iort->rc_maps[i].first, ==, range->first);
        g_assert_cmphex(iort->rc_maps[i].count, ==, range->count);
        g_assert_cmphex(iort->rc_maps[i].output, ==, output);
        i++;
    }
    g_assert_cmpint(i, ==, iort->n_rc_maps);
}

/* No two devices share registers or interrupts */
static void check_places(const IortTable *iort)
{
    int i, j, k, l;

    for (i = 0; i < iort->smmus; i++) {
        const IortSMMU *a = &iort->smmu[i];

        g_assert_cmphex(a->base, >=, VIRT_PLATFORM_BUS_BASE);
        g_assert_cmphex(a->base + SMMUV3_FRAME_SIZE, <=,
                        VIRT_PLATFORM_BUS_BASE + VIRT_PLATFORM_BUS_SIZE);
        for (j = 0; j <= i; j++) {
            const IortSMMU *b = &iort->smmu[j];

            g_assert_true(i == j || a->base >= b->base + SMMUV3_FRAME_SIZE ||
                          b->base >= a->base + SMMUV3_FRAME_SIZE);
            for (k = 0; k < SMMUV3_IRQS; k++) {
                for (l = 0; l < SMMUV3_IRQS; l++) {
                    g_assert_true((i == j && k == l) || a->irq[k] != b->irq[l]);
                }
            }
        }
    }
}

/* The device tree has the same SMMUs, and the same map */
static void check_fdt(const ToldCase *c, const IortTable *iort,
                      const FdtSMMUs *fdt)
{
    const ToldRange *range = c->ranges;
    int i, j;

    g_assert_cmpuint(fdt->smmus, ==, c->smmus);
    for (i = 0; i < fdt->smmus; i++) {
        g_assert_cmphex(fdt->smmu[i].base, ==, iort->smmu[i].base);
        g_assert_cmphex(fdt->smmu[i].size, ==, SMMUV3_FRAME_SIZE);
        for (j = 0; j < SMMUV3_IRQS; j++) {
            g_assert_cmpuint(fdt->smmu[i].irq[j], ==, iort->smmu[i].irq[j]);
        }
    }
    for (i = 0; range->count; range++) {
        if (range->smmu >= 0) {
            g_assert_cmpint(i, <, fdt->n_maps);
            g_assert_cmphex(fdt->maps[i].first, ==, range->first);
            g_assert_cmphex(fdt->maps[i].count, ==, range->count);
            g_assert_cmphex(fdt->maps[i].output, ==,
                            fdt->smmu[range->smmu].phandle);
            i++;
        }
    }
    g_assert_cmpint(i, ==, fdt->n_maps);
}

static void test_told(const void *opaque)
{
    const ToldCase *c = opaque;
    g_autofree char *machine = g_strdup_printf("%s%s", *c->machine ? "" :
                                               ",gic-version=3", c->machine);
    QTestState *qts = qtest_initf("-machine virt%s -cpu cortex-a57 %s",
                                  machine, c->devices);
    IortTable iort;
    FdtSMMUs fdt;

    smmuv3_read_iort(qts, &iort);
    qtest_quit(qts);
    smmuv3_read_fdt(&fdt, "-machine virt%s,dumpdtb=%%s -cpu cortex-a57 %s",
                    machine, c->devices);
    check_iort(c, &iort);
    check_places(&iort);
    check_fdt(c, &iort, &fdt);
}

/* --- what the devices do -------------------------------------------------- */

typedef struct StageCase {
    const char *name;
    const char *machine;
    const char *property;
    uint32_t stages;
} StageCase;

static const StageCase stage_cases[] = {
    { "default", "virt", "", SMMUV3_IDR0_STAGES },
    { "default-of-9.1", "virt-9.1", "", SMMUV3_IDR0_S1P },
    { "first", "virt", ",stage=1", SMMUV3_IDR0_S1P },
    { "second", "virt", ",stage=2", SMMUV3_IDR0_S2P },
    { "nested-on-9.1", "virt-9.1", ",stage=nested", SMMUV3_IDR0_STAGES },
};

static void test_stage(const void *opaque)
{
    const StageCase *c = opaque;
    QTestState *qts = qtest_initf("-machine %s -cpu cortex-a57 -device "
                                  "arm-smmuv3,primary-bus=pcie.0%s",
                                  c->machine, c->property);
    IortTable iort;

    smmuv3_read_iort(qts, &iort);
    g_assert_cmpuint(iort.smmus, ==, 1);
    g_assert_cmphex(qtest_readl(qts, iort.smmu[0].base + SMMUV3_IDR0) &
                    SMMUV3_IDR0_STAGES, ==, c->stages);
    qtest_quit(qts);
}

/* A wrong command: the error's interrupt arrives where the tables say */
static void test_interrupts(void)
{
    QTestState *qts = qtest_init("-machine virt,gic-version=3 -cpu cortex-a57 "
                                 BOTH);
    IortTable iort;
    int i, j;

    smmuv3_read_iort(qts, &iort);
    g_assert_cmpuint(iort.smmus, ==, 2);
    for (i = 0; i < iort.smmus; i++) {
        for (j = 0; j < SMMUV3_IRQS; j++) {
            smmuv3_irq_latch(qts, iort.smmu[i].irq[j]);
        }
    }
    for (i = 0; i < iort.smmus; i++) {
        smmuv3_wrong_command(qts, iort.smmu[i].base);
        for (j = 0; j < iort.smmus; j++) {
            g_assert_cmpint(smmuv3_irq_pending(qts, iort.smmu[j].irq
                                               [SMMUV3_IRQ_GERROR]), ==,
                            j <= i);
            g_assert_false(smmuv3_irq_pending(qts, iort.smmu[j].irq
                                              [SMMUV3_IRQ_EVTQ]));
        }
    }
    qtest_quit(qts);
}

typedef struct DmaCase {
    const char *name;
    const char *devices;    /* edu0 sits on bus 0, edu1 below bus 8 */
    int smmu[2];            /* whose tables count, -1: none */
} DmaCase;

#define EDUS "-device edu,id=edu0,bus=pcie.0,addr=4," \
             "dma_mask=0xffffffffff " \
             "-device pcie-root-port,id=rp1,bus=pxb1,addr=2,chassis=1 " \
             "-device edu,id=edu1,bus=rp1,dma_mask=0xffffffffff "

static const DmaCase dma_cases[] = {
    { "each-its-own", BOTH EDUS, { 0, 1 } },
    { "smmu-after-the-devices", PXB("pxb1", "8") EDUS
      SMMU_ON("pcie.0", "smmu0") SMMU_ON("pxb1", "smmu1"), { 0, 1 } },
    { "pxb-shares-that-of-pcie", PXB("pxb1", "8") SMMU_ON("pcie.0", "smmu0")
      EDUS, { 0, 0 } },
    { "pxb-only", PXB("pxb1", "8") SMMU_ON("pxb1", "smmu1") EDUS, { -1, 0 } },
    { "pxb-bypasses", "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=8,"
      "bypass_iommu=on " SMMU_ON("pcie.0", "smmu0") EDUS, { 0, -1 } },
};

/*
 * Each SMMU maps the same I/O address to memory of its own; each edu copies
 * what is at that address to the page after it.
 */
static void check_dma(QTestState *qts, const DmaCase *c)
{
    static const int bus[2] = { 0, 9 }, slot[2] = { 4, 0 };
    int i, j;

    smmuv3_root_port_init(qts, 8, 2, 1);
    for (i = 0; i < 2; i++) {
        uint64_t bar = smmuv3_edu_init(qts, bus[i], slot[i], i);
        uint64_t iova = c->smmu[i] < 0 ? smmuv3_target(2 + i) : 0;
        uint64_t where = c->smmu[i] < 0 ? iova : smmuv3_target(c->smmu[i]);

        qtest_writeq(qts, smmuv3_target(2 + i), 0xabcdef + i);
        for (j = 0; j < 4; j++) {
            qtest_writeq(qts, smmuv3_target(j) + 0x1000, j);
        }
        /* untranslated DMA uses an address that no table maps */
        edu_copy(qts, bar, iova, iova + 0x1000);
        for (j = 0; j < 4; j++) {
            uint64_t mark = qtest_readq(qts, smmuv3_target(j) + 0x1000);

            if (smmuv3_target(j) == where) {
                g_assert_cmphex(mark, ==, qtest_readq(qts, where));
            } else {
                g_assert_cmphex(mark, ==, j);
            }
        }
    }
}

static QTestState *start_dma(const DmaCase *c, const char *args)
{
    return qtest_initf("-machine virt,gic-version=3,highmem-ecam=off "
                       "-cpu cortex-a57 %s %s", c->devices, args);
}

static void map_all(QTestState *qts, const IortTable *iort)
{
    int i;

    for (i = 0; i < iort->smmus; i++) {
        smmuv3_map_all(qts, iort->smmu[i].base, i, smmuv3_target(i));
        qtest_writeq(qts, smmuv3_target(i), 0x1111111111111111ull * (i + 1));
    }
}

static void test_dma(const void *opaque)
{
    const DmaCase *c = opaque;
    QTestState *qts = start_dma(c, "");
    IortTable iort;

    smmuv3_read_iort(qts, &iort);
    map_all(qts, &iort);
    check_dma(qts, c);
    qtest_quit(qts);
}

/* --- migration ------------------------------------------------------------ */

/* CR0 to EVENTQ_IRQ_CFG2 on page 0, EVENTQ_PROD and _CONS on page 1 */
#define REGS_FIRST          0x20
#define REGS_END            0xc0
#define NUM_REGS            ((REGS_END - REGS_FIRST) / 4 + 2)

static void read_regs(QTestState *qts, uint64_t base, uint32_t *regs)
{
    int i, n = 0;

    for (i = REGS_FIRST; i < REGS_END; i += 4) {
        regs[n++] = qtest_readl(qts, base + i);
    }
    regs[n++] = qtest_readl(qts, base + SMMUV3_EVENTQ_PROD);
    regs[n++] = qtest_readl(qts, base + SMMUV3_EVENTQ_CONS);
    g_assert_cmpint(n, ==, NUM_REGS);
}

/* What a guest could have in registers, another value for each SMMU */
static void write_regs(QTestState *qts, uint64_t base, int index)
{
    qtest_writel(qts, base + SMMUV3_CR0, 0);
    qtest_writel(qts, base + SMMUV3_CR2, 2 + index);
    qtest_writeq(qts, base + SMMUV3_GERROR_CFG0, 0x8000000 + index * 0x1000);
    qtest_writeq(qts, base + SMMUV3_EVENTQ_CFG0, 0x9000000 + index * 0x1000);
    qtest_writeq(qts, base + SMMUV3_EVENTQ_BASE,
                 (smmuv3_target(4 + index) & ~0x1full) | (5 + index));
    qtest_writel(qts, base + SMMUV3_EVENTQ_PROD, 3 + index);
    qtest_writel(qts, base + SMMUV3_EVENTQ_CONS, 3 + index);
    if (index) {
        /* Its command queue stops at an error that nobody has seen yet */
        smmuv3_wrong_command(qts, base);
        qtest_writel(qts, base + SMMUV3_GBPA, 1u << 31 | 1u << 20);
    }
    qtest_writel(qts, base + SMMUV3_IRQ_CTRL, index ? 5 : 4);
    qtest_writel(qts, base + SMMUV3_CR0, index ? 0xd : 0x5);
}

static bool migrated(QTestState *qts)
{
    QDict *info = qtest_qmp_assert_success_ref(qts, "{ 'execute':"
                                               " 'query-migrate' }");
    const char *status = qdict_get_try_str(info, "status");
    bool completed = !g_strcmp0(status, "completed");

    g_assert_cmpstr(status, !=, "failed");
    qobject_unref(info);
    return completed;
}

/* Returns the QEMU in which the guest goes on */
static QTestState *migrate(QTestState *from, const DmaCase *c)
{
    g_autofree char *dir = g_dir_make_tmp("smmuv3-migration-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "state", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    QTestState *to = start_dma(c, "-incoming defer");

    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    QTEST_AWAIT(migrated(from));
    qtest_quit(from);
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s } }", uri);
    QTEST_AWAIT(migrated(to));
    qtest_qmp_eventwait(to, "RESUME");
    g_unlink(path);
    g_rmdir(dir);
    return to;
}

/* Each SMMU has its own registers again, and translates by its own tables */
static void test_migrated(void)
{
    static const DmaCase both = { NULL, BOTH EDUS, { 0, 1 } };
    QTestState *qts = start_dma(&both, "");
    uint32_t before[2][NUM_REGS], after[NUM_REGS];
    IortTable iort;
    int i, j, differ = 0;

    smmuv3_read_iort(qts, &iort);
    g_assert_cmpuint(iort.smmus, ==, 2);
    map_all(qts, &iort);
    for (i = 0; i < 2; i++) {
        write_regs(qts, iort.smmu[i].base, i);
        read_regs(qts, iort.smmu[i].base, before[i]);
    }
    for (j = 0; j < NUM_REGS; j++) {
        differ += before[0][j] != before[1][j];
    }
    g_test_message("%d of %d registers differ", differ, NUM_REGS);
    g_assert_cmpint(differ, >=, 10);

    qts = migrate(qts, &both);
    for (i = 0; i < 2; i++) {
        read_regs(qts, iort.smmu[i].base, after);
        for (j = 0; j < NUM_REGS; j++) {
            if (after[j] != before[i][j]) {
                g_error("SMMU %d, register %d: 0x%x, was 0x%x", i, j, after[j],
                        before[i][j]);
            }
        }
    }
    check_dma(qts, &both);
    qtest_quit(qts);
}

/* --- the machine's own SMMU ----------------------------------------------- */

static void test_machine_smmu(void)
{
    QTestState *qts = qtest_init("-machine virt,iommu=smmuv3,gic-version=3 "
                                 "-cpu cortex-a57 -device pxb-pcie,id=pxb1,"
                                 "bus=pcie.0,bus_nr=8,bypass_iommu=on");
    IortTable iort;

    smmuv3_read_iort(qts, &iort);
    qtest_quit(qts);
    g_assert_cmpuint(iort.revision, ==, 3);
    g_assert_cmpuint(iort.smmus, ==, 1);
    g_assert_cmphex(iort.smmu[0].base, ==, 0x09050000);
    g_assert_cmpuint(iort.smmu[0].irq[SMMUV3_IRQ_EVTQ], ==, 74);
    g_assert_cmpuint(iort.smmu[0].irq[SMMUV3_IRQ_PRIQ], ==, 75);
    g_assert_cmpuint(iort.smmu[0].irq[SMMUV3_IRQ_CMD_SYNC], ==, 76);
    g_assert_cmpuint(iort.smmu[0].irq[SMMUV3_IRQ_GERROR], ==, 77);
    g_assert_cmpuint(iort.n_rc_maps, ==, 2);
    g_assert_cmphex(iort.rc_maps[0].first, ==, 0);
    g_assert_cmphex(iort.rc_maps[0].count, ==, 0x100);
    g_assert_cmphex(iort.rc_maps[0].output, ==, iort.smmu[0].offset);
    g_assert_cmphex(iort.rc_maps[1].first, ==, 0x100);
    g_assert_cmphex(iort.rc_maps[1].count, ==, 0xff00);
    g_assert_cmphex(iort.rc_maps[1].output, ==, iort.its_offset);
}

#define ADD_CASES(path, cases, function)                                    \
    for (i = 0; i < ARRAY_SIZE(cases); i++) {                               \
        g_autofree char *name = g_strdup_printf("/arm-smmuv3/create/" path, \
                                                cases[i].name);             \
        qtest_add_data_func(name, &cases[i], function);                     \
    }

int main(int argc, char **argv)
{
    int i;

    g_test_init(&argc, &argv, NULL);
    ADD_CASES("%s_refused", refused_cases, test_refused);
    qtest_add_func("/arm-smmuv3/create/hotplug_refused", test_hotplug_refused);
    ADD_CASES("%s_told", told_cases, test_told);
    ADD_CASES("stage-%s_advertised", stage_cases, test_stage);
    qtest_add_func("/arm-smmuv3/create/interrupt_arrives", test_interrupts);
    ADD_CASES("dma-%s_translated", dma_cases, test_dma);
    qtest_add_func("/arm-smmuv3/create/two_migrated", test_migrated);
    qtest_add_func("/arm-smmuv3/create/machine-smmu_unchanged",
                   test_machine_smmu);
    return g_test_run();
}
