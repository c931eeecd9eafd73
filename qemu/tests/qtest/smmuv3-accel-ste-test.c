/*
 * QTest: the accelerated SMMUv3 follows the guest's stream table
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3-accel-common.h"

#define ALLOC       "IOMMU_HWPT_ALLOC"
#define ATTACH      "VFIO_DEVICE_ATTACH_IOMMUFD_PT"
#define VDEVICE     "IOMMU_VDEVICE_ALLOC"

#define CDS         SMMUV3_GUEST_CDS
/* STE word 0: S1CDMax; word 1: S1DSS, attributes, MEV, EATS */
#define S1CDMAX(n)  ((uint64_t)(n) << 59)
#define S1FMT(n)    ((uint64_t)(n) << 4)

/* How the guest says that an entry changed */
typedef void Say(Smmuv3AccelTest *t, uint32_t sid);

static void say_ste(Smmuv3AccelTest *t, uint32_t sid)
{
    smmuv3_guest_cfgi(&t->guest, sid);
}

static void say_range(Smmuv3AccelTest *t, uint32_t sid)
{
    /* 2 << 7 streams, whatever the low bits of the StreamID */
    smmuv3_guest_post(&t->guest, SMMUV3_CFGI_STE_RANGE |
                      (uint64_t)(sid | 0xda) << 32, 7);
    smmuv3_guest_sync(&t->guest);
}

static void say_all(Smmuv3AccelTest *t, uint32_t sid)
{
    smmuv3_guest_cfgi_all(&t->guest);
}

static void say_smmuen(Smmuv3AccelTest *t, uint32_t sid)
{
    smmuv3_guest_set_cr0(&t->guest, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
    smmuv3_accel_expect(t, 0, SMMUV3_IS_BYPASS);
    smmuv3_guest_set_cr0(&t->guest, SMMUV3_CR0_ALL);
}

static void say_base(Smmuv3AccelTest *t, uint32_t sid)
{
    smmuv3_guest_writeq(&t->guest, SMMUV3_STRTAB_BASE, t->guest.strtab);
}

static void say_base_cfg(Smmuv3AccelTest *t, uint32_t sid)
{
    uint32_t cfg = smmuv3_guest_readl(&t->guest, SMMUV3_STRTAB_BASE_CFG);

    smmuv3_guest_writel(&t->guest, SMMUV3_STRTAB_BASE_CFG, cfg);
}

typedef struct Way {
    const char *name;
    Say *say;
    bool two_level;
} Way;

static const Way ways[] = {
    { "cfgi-ste", say_ste }, { "cfgi-ste-range", say_range },
    { "cfgi-all", say_all }, { "smmuen", say_smmuen },
    { "strtab-base", say_base }, { "strtab-base-cfg", say_base_cfg },
    { "2lvl-cfgi-ste", say_ste, true }, { "2lvl-cfgi-all", say_all, true },
    { "2lvl-smmuen", say_smmuen, true },
};

/* Every state to every other one, by each way to tell */
static void test_way(const void *data)
{
    static const struct {
        uint64_t ste;
        Smmuv3AccelState state;
    } steps[] = {
        { SMMUV3_STE_S1 | CDS, SMMUV3_IS_S1 },
        { SMMUV3_STE_BYPASS, SMMUV3_IS_BYPASS },
        { SMMUV3_STE_ABORT, SMMUV3_IS_ABORT },
        { SMMUV3_STE_BYPASS, SMMUV3_IS_BYPASS },
        { 0, SMMUV3_IS_ABORT },
        { SMMUV3_STE_S1 | CDS, SMMUV3_IS_S1 },
        { SMMUV3_STE_S1 | (CDS + 0x1000), SMMUV3_IS_S1 },
        { 0, SMMUV3_IS_ABORT },
        { SMMUV3_STE_S1 | CDS, SMMUV3_IS_S1 },
        { SMMUV3_STE_ABORT, SMMUV3_IS_ABORT },
    };
    Smmuv3AccelSetup setup = { .devices = 1 };
    const Way *way = data;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    if (way->two_level) {
        smmuv3_guest_enable_2lvl(&t.guest);
    } else {
        smmuv3_guest_enable(&t.guest);
    }
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        smmuv3_guest_write_ste(&t.guest, fakehost_sid(0), steps[i].ste, 0);
        way->say(&t, fakehost_sid(0));
        smmuv3_accel_expect(&t, 0, steps[i].state);
        g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==,
                         steps[i].state == SMMUV3_IS_S1);
    }
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* --- what the host is given --- */

static const struct Fields {
    const char *name;
    uint64_t ste[2];
    uint64_t host[2];           /* word 0 is 0: refused, with an event */
    uint32_t idr0;              /* of the host, XOR HOST_IDR0 */
    bool as_host;               /* the guest is told what the host has */
} fields[] = {
    { "plain", { SMMUV3_STE_S1 | CDS, 0 }, { SMMUV3_STE_S1 | CDS, 0 } },
    { "all-allowed",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(4), 0x180000fdull },
      { SMMUV3_STE_S1 | CDS | S1CDMAX(4), 0x180000fdull } },
    { "others-dropped",
      { SMMUV3_STE_S1 | CDS | 0x07f0000000000000ull, 0xffffffffcfffff00ull },
      { SMMUV3_STE_S1 | CDS, 0x08000000ull } },
    /* The host could stall, and the guest was told that nothing does */
    { "host-stalls", { SMMUV3_STE_S1 | CDS, 0 },
      { SMMUV3_STE_S1 | CDS, 0x08000000ull }, HOST_IDR0_STALL_NONE },
    { "host-stalls_ats",
      { SMMUV3_STE_S1 | CDS, SMMUV3_STE1_EATS },
      { SMMUV3_STE_S1 | CDS, SMMUV3_STE1_EATS | 0x08000000ull },
      HOST_IDR0_STALL_NONE },
    { "too-many-substreams", { SMMUV3_STE_S1 | CDS | S1CDMAX(5), 0 } },
    { "two-level-cds", { SMMUV3_STE_S1 | CDS | S1CDMAX(2) | S1FMT(2), 0 } },
    { "two-level-cds-64k_host",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(16) | S1FMT(2), 2 },
      { SMMUV3_STE_S1 | CDS | S1CDMAX(16) | S1FMT(2), 2 }, .as_host = true },
    { "two-level-cds-4k_host",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(7) | S1FMT(1), 2 },
      { SMMUV3_STE_S1 | CDS | S1CDMAX(7) | S1FMT(1), 2 }, .as_host = true },
    { "two-level-cds-too-many_host",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(17) | S1FMT(2), 2 }, .as_host = true },
    { "two-level-cds_host-without",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(16) | S1FMT(2), 2 },
      .idr0 = HOST_IDR0_CD2L, .as_host = true },
    { "s1fmt-reserved_host",
      { SMMUV3_STE_S1 | CDS | S1CDMAX(16) | S1FMT(3), 2 }, .as_host = true },
    /* There is one CD, not a table */
    { "s1fmt-ignored", { SMMUV3_STE_S1 | CDS | S1FMT(3), 0 },
      { SMMUV3_STE_S1 | CDS | S1FMT(3), 0 } },
    { "s1dss-reserved", { SMMUV3_STE_S1 | CDS | S1CDMAX(2), 3 } },
    { "split-stage-ats", { SMMUV3_STE_S1 | CDS, 2ull << 28 } },
    { "eats-reserved", { SMMUV3_STE_S1 | CDS, 3ull << 28 } },
    { "stage-2", { SMMUV3_STE_V | 6 << 1, 0 } },
    { "both-stages", { SMMUV3_STE_V | 7 << 1 | CDS, 0 } },
};

static void test_fields(const void *data)
{
    const struct Fields *c = data;
    Smmuv3AccelSetup setup = {
        .cold = c->as_host, .devices = !c->as_host, .idr0 = c->idr0,
    };
    g_autofree char *line = NULL;
    g_autofree char *ste = NULL;
    Smmuv3AccelTest t;
    uint64_t evt[4];
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(0), c->ste[0], c->ste[1]);
    smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
    line = fakehost_log_last(t.host, mark, ALLOC, "ste=[");
    if (c->host[0]) {
        ste = g_strdup_printf("ste=[0x%" PRIx64 ",0x%" PRIx64 "]", c->host[0],
                              c->host[1]);
        smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
        g_assert_nonnull(line);
        g_test_message("%s wanted in %s", ste, line);
        g_assert_nonnull(strstr(line, ste));
        g_assert_false(smmuv3_guest_event(&t.guest, evt));
    } else {
        smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
        g_assert_null(line);
        /* Told once, however often it is repeated */
        smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
        smmuv3_guest_cfgi_all(&t.guest);
        g_assert_true(smmuv3_guest_event(&t.guest, evt));
        g_assert_cmphex(evt[0], ==, 0x04 | (uint64_t)fakehost_sid(0) << 32);
        g_assert_false(smmuv3_guest_event(&t.guest, evt));
    }
    fakehost_free(t.host);
}

/* --- the order of things --- */

/* Where @text is in @log, which it has to be */
static const char *find_after(const char *log, const char *text)
{
    const char *found = strstr(log, text);

    if (!found) {
        g_error("no '%s' in\n%s", text, log);
    }
    return found + strlen(text);
}

static void test_objects_order(void)
{
    Smmuv3AccelSetup setup = { 0 };
    g_autofree char *log = NULL;
    const char *pos;
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    mark = fakehost_log_mark(t.host);
    fakehost_plug(t.host, 0);
    smmuv3_accel_bind(&t, 0);
    log = fakehost_log_since(t.host, mark);
    pos = find_after(log, "IOMMU_HWPT_ALLOC flags=0x1 ");
    pos = find_after(pos, "IOMMU_VIOMMU_ALLOC");
    pos = find_after(pos, "ste=[0x9,0x0]");
    pos = find_after(pos, "ste=[0x1,0x0]");
    pos = find_after(pos, "IOMMU_VEVENTQ_ALLOC");
    pos = find_after(pos, "IOMMU_VDEVICE_ALLOC");
    pos = find_after(pos, "virt_id=0x100");
    pos = find_after(pos, "ste=[0x5000000b,0x0]");
    find_after(pos, ATTACH);
    g_clear_pointer(&log, g_free);
    mark = fakehost_log_mark(t.host);
    fakehost_unplug(t.host, 0);
    log = fakehost_log_since(t.host, mark);
    pos = find_after(log, "DETACH");
    for (unsigned i = 0; i < 6; i++) {
        /* S1, vDEVICE, vEVENTQ, abort, bypass, vIOMMU; then the parent */
        pos = find_after(pos, "IOMMU_DESTROY");
        g_assert_null(strstr(log, "EBUSY"));
    }
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Two devices have their own tables, and memory is mapped once for both */
static void test_two_devices(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    uint64_t maps;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    maps = fakehost_calls(t.host, "IOMMU_IOAS_MAP") +
           fakehost_calls(t.host, "IOMMU_IOAS_MAP_FILE");
    g_assert_cmpuint(maps, >, 0);
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_bind(&t, 1);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_HWPT_PAGING), ==, 1);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VIOMMU), ==, 1);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VDEVICE), ==, 2);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 2);
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(0), 0, 0);
    smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 0);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    fakehost_free(t.host);
}

static void test_gbpa(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    smmuv3_guest_writel(g, SMMUV3_GBPA, SMMUV3_GBPA_ABORT);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);   /* without UPDATE */
    smmuv3_guest_writel(g, SMMUV3_GBPA, SMMUV3_GBPA_ABORT |
                        SMMUV3_GBPA_UPDATE);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_bind(&t, 0);
    smmuv3_guest_set_cr0(g, 0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
    smmuv3_guest_writel(g, SMMUV3_GBPA, SMMUV3_GBPA_UPDATE);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    /* A device that comes when all aborts */
    fakehost_unplug(t.host, 0);
    smmuv3_guest_writel(g, SMMUV3_GBPA, SMMUV3_GBPA_ABORT |
                        SMMUV3_GBPA_UPDATE);
    fakehost_plug(t.host, 0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    fakehost_free(t.host);
}

static void test_reset(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        smmuv3_accel_bind(&t, 0);
        smmuv3_guest_write_ste(&t.guest, fakehost_sid(1), i & 1 ?
                               SMMUV3_STE_ABORT : SMMUV3_STE_BYPASS, 0);
        smmuv3_guest_cfgi(&t.guest, fakehost_sid(1));
        /* Work that nobody was told to do goes, too */
        smmuv3_guest_post_va(&t.guest, 1, 0x1000);
        fakehost_reset(t.host);
        smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
        smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
        g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 0);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VEVENTQ), ==,
                         1);
    }
    fakehost_unplug(t.host, 0);
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* A device that comes to a running SMMU does what its entry says */
static void test_plug_into_running(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fakehost_plug(t.host, 1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    fakehost_unplug(t.host, 1);
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(1), SMMUV3_STE_BYPASS, 0);
    fakehost_plug(t.host, 1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
    fakehost_unplug(t.host, 1);
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(1),
                           smmuv3_accel_s1_ste(1), 0);
    fakehost_plug(t.host, 1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_free(t.host);
}

/* Three functions of one device: StreamIDs 0x100 to 0x102 */
static void plug_functions(Smmuv3AccelTest *t)
{
    for (int n = 2; n >= 0; n--) {
        g_autofree char *props = g_strdup_printf(
            ", 'bus': 'rp0', 'addr': '0.%d', 'multifunction': true "
            WITH_IOMMUFD, n);
        g_autofree char *error = fakehost_device_add(t->host, fakehost_dev(n),
                                                     props);

        g_assert_cmpstr(error, ==, NULL);
    }
}

/* Entries that are read together are still looked at one by one, and anew */
static void test_neighbours(const void *data)
{
    enum { NUM = 3 };
    static const struct {
        uint64_t ste[NUM];
        Smmuv3AccelState state[NUM];
        unsigned allocs;
        const char *sent;       /* for those that have not changed */
    } steps[] = {
        { { SMMUV3_STE_S1 | CDS, SMMUV3_STE_S1 | CDS, SMMUV3_STE_S1 | CDS },
          { SMMUV3_IS_S1, SMMUV3_IS_S1, SMMUV3_IS_S1 }, 3 },
        { { SMMUV3_STE_S1 | CDS, SMMUV3_STE_S1 | CDS, SMMUV3_STE_S1 | CDS },
          { SMMUV3_IS_S1, SMMUV3_IS_S1, SMMUV3_IS_S1 }, 0,
          "entries=[0x10000000006:0x0,0x10100000006:0x0,0x10200000006:0x0]" },
        { { SMMUV3_STE_S1 | CDS, SMMUV3_STE_S1 | (CDS + 0x1000),
            SMMUV3_STE_S1 | CDS },
          { SMMUV3_IS_S1, SMMUV3_IS_S1, SMMUV3_IS_S1 }, 1,
          "entries=[0x10200000006:0x0]" },
        { { SMMUV3_STE_BYPASS, SMMUV3_STE_ABORT, SMMUV3_STE_S1 | CDS },
          { SMMUV3_IS_BYPASS, SMMUV3_IS_ABORT, SMMUV3_IS_S1 }, 0,
          "entries=[0x10200000006:0x0]" },
        { { SMMUV3_STE_S1 | CDS, 0, SMMUV3_STE_S1 | (CDS + 0x2000) },
          { SMMUV3_IS_S1, SMMUV3_IS_ABORT, SMMUV3_IS_S1 }, 2 },
    };
    Smmuv3AccelSetup setup = { .ports = 1 };
    const Way *way = data;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    plug_functions(&t);
    if (way->two_level) {
        smmuv3_guest_enable_2lvl(g);
    } else {
        smmuv3_guest_enable(g);
    }
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        uint64_t allocs = fakehost_calls(t.host, ALLOC);
        size_t mark = fakehost_log_mark(t.host);

        for (unsigned n = 0; n < NUM; n++) {
            smmuv3_guest_write_ste(g, 0x100 + n, steps[i].ste[n], 0);
        }
        way->say(&t, 0x100);
        for (unsigned n = 0; n < NUM; n++) {
            smmuv3_accel_expect(&t, n, steps[i].state[n]);
        }
        g_assert_cmpuint(fakehost_calls(t.host, ALLOC) - allocs, ==,
                         steps[i].allocs);
        if (steps[i].sent) {
            fakehost_expect_log(t.host, mark, "IOMMU_HWPT_INVALIDATE",
                                steps[i].sent);
        }
    }
    fakehost_free(t.host);
}

/* The guest numbers its busses anew: the StreamID goes with the number */
static void test_renumbered(const void *data)
{
    const Way *way = data;
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_number_bus(&t, 0, 7);
    /* Nobody has an entry for it */
    way->say(&t, 0x100);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_write_ste(g, 0x700, smmuv3_accel_s1_ste(0), 0);
    way->say(&t, 0x700);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_expect_log(t.host, mark, VDEVICE, "virt_id=0x700");
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VDEVICE), ==, 1);

    /* Another device takes over a number that the host still knows */
    smmuv3_accel_number_bus(&t, 0, 9);
    smmuv3_accel_number_bus(&t, 1, 7);
    way->say(&t, 0x700);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    /* Two devices of one number: the second one gets nothing */
    smmuv3_accel_number_bus(&t, 0, 7);
    smmuv3_guest_cfgi_all(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 1);
    smmuv3_guest_cfgi_all(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* The same entry under another number: the host has to learn the number */
static void test_renumbered_same(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_guest_write_ste(&t.guest, 0x700, smmuv3_accel_s1_ste(0), 0);
    smmuv3_accel_number_bus(&t, 0, 7);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_cfgi(&t.guest, 0x700);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_expect_log(t.host, mark, VDEVICE, "virt_id=0x700");
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VDEVICE), ==, 1);
    fakehost_free(t.host);
}

/* An entry that differs in its second word only */
static void test_word1(void)
{
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    mark = fakehost_log_mark(t.host);
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(0),
                           smmuv3_accel_s1_ste(0), 0x54);
    smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_expect_log(t.host, mark, ALLOC, "ste=[0x5000000b,0x54]");
    g_assert_cmpuint(smmuv3_accel_s1_hwpts(&t), ==, 1);
    fakehost_free(t.host);
}

/*
 * A device that bypasses needs no StreamID in the host: it keeps on bypassing
 * when another one takes over the number that it had there.
 */
static void test_renumbered_bypass(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    for (unsigned n = 0; n < 2; n++) {
        smmuv3_accel_bind(&t, n);
        smmuv3_guest_write_ste(g, fakehost_sid(n), SMMUV3_STE_BYPASS, 0);
    }
    smmuv3_guest_cfgi_all(g);
    smmuv3_accel_number_bus(&t, 0, 9);
    smmuv3_accel_number_bus(&t, 1, 1);
    smmuv3_accel_number_bus(&t, 0, 2);
    smmuv3_guest_write_ste(g, 0x100, SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_write_ste(g, 0x200, smmuv3_accel_s1_ste(0), 0);
    smmuv3_guest_cfgi_all(g);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
    fakehost_free(t.host);
}

/* A command for a StreamID is for each device that has it now */
static void test_renumbered_twins(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_guest_write_ste(g, fakehost_sid(1), SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_cfgi(g, fakehost_sid(1));
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
    smmuv3_accel_number_bus(&t, 1, 1);
    smmuv3_guest_write_ste(g, fakehost_sid(0), SMMUV3_STE_ABORT, 0);
    smmuv3_guest_cfgi(g, fakehost_sid(0));
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_ABORT);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_ABORT);
    fakehost_free(t.host);
}

/* --- cost --- */

/* An entry that is as before: nothing but its CDs is to be forgotten */
static void test_unchanged_cost(const void *data)
{
    unsigned devices = GPOINTER_TO_UINT(data);
    Smmuv3AccelSetup setup = { .devices = devices, .ports = devices };
    uint64_t ioctls, allocs, attaches, entries;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    for (unsigned i = 0; i < devices; i++) {
        smmuv3_accel_bind(&t, i);
    }
    ioctls = fakehost_total_calls(t.host);
    allocs = fakehost_calls(t.host, ALLOC);
    attaches = fakehost_calls(t.host, ATTACH);
    entries = fakehost_entries(t.host);
    if (devices == 1) {
        smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
    } else {
        smmuv3_guest_cfgi_all(&t.guest);
    }
    g_assert_cmpuint(fakehost_total_calls(t.host) - ioctls, ==, 1);
    g_assert_cmpuint(fakehost_entries(t.host) - entries, ==, devices);
    g_assert_cmpuint(fakehost_calls(t.host, ALLOC), ==, allocs);
    g_assert_cmpuint(fakehost_calls(t.host, ATTACH), ==, attaches);
    /* Registers that are written again with what they have cost nothing */
    ioctls = fakehost_total_calls(t.host);
    smmuv3_guest_set_cr0(&t.guest, SMMUV3_CR0_ALL);
    say_base(&t, 0);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, ioctls);
    fakehost_free(t.host);
}

/* Streams that abort or bypass have no CDs */
static void test_unchanged_bypass_cost(void)
{
    Smmuv3AccelSetup setup = { .devices = 2 };
    uint64_t ioctls;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_write_ste(&t.guest, fakehost_sid(0), SMMUV3_STE_BYPASS, 0);
    smmuv3_guest_enable(&t.guest);
    ioctls = fakehost_total_calls(t.host);
    smmuv3_guest_cfgi_all(&t.guest);
    smmuv3_guest_cfgi(&t.guest, fakehost_sid(0));
    smmuv3_guest_cfgi(&t.guest, fakehost_sid(1));
    smmuv3_guest_cfgi(&t.guest, 0x1234);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, ioctls);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        g_autofree char *path = g_strdup_printf("/smmuv3-accel/ste/%s_followed",
                                                ways[i].name);

        qtest_add_data_func(path, &ways[i], test_way);
    }
    qtest_add_cases("/smmuv3-accel/fields", fields, test_fields);
    qtest_add_func("/smmuv3-accel/objects/order", test_objects_order);
    qtest_add_func("/smmuv3-accel/objects/two-devices_shared",
                   test_two_devices);
    qtest_add_func("/smmuv3-accel/ste/gbpa_followed", test_gbpa);
    qtest_add_func("/smmuv3-accel/ste/reset_bypass", test_reset);
    qtest_add_func("/smmuv3-accel/ste/plug_follows", test_plug_into_running);
    for (size_t i = 0; i < 2; i++) {
        g_autofree char *path = g_strdup_printf(
            "/smmuv3-accel/ste/renumbered-%s_follows", ways[i].name);

        qtest_add_data_func(path, &ways[i], test_renumbered);
    }
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        g_autofree char *path = g_strdup_printf(
            "/smmuv3-accel/ste/neighbours-%s_followed", ways[i].name);

        if (ways[i].say == say_range || ways[i].say == say_all) {
            qtest_add_data_func(path, &ways[i], test_neighbours);
        }
    }
    qtest_add_func("/smmuv3-accel/ste/renumbered-alike_follows",
                   test_renumbered_same);
    qtest_add_func("/smmuv3-accel/ste/second-word_followed", test_word1);
    qtest_add_func("/smmuv3-accel/ste/renumbered-bypass_bypass",
                   test_renumbered_bypass);
    qtest_add_func("/smmuv3-accel/ste/renumbered-twins_follow",
                   test_renumbered_twins);
    qtest_add_data_func("/smmuv3-accel/cost/cfgi-ste-unchanged",
                        GUINT_TO_POINTER(1), test_unchanged_cost);
    qtest_add_data_func("/smmuv3-accel/cost/cfgi-all-unchanged-32",
                        GUINT_TO_POINTER(32), test_unchanged_cost);
    qtest_add_func("/smmuv3-accel/cost/bypass-unchanged",
                   test_unchanged_bypass_cost);
    return g_test_run();
}
