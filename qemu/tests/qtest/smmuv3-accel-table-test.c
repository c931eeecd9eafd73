/*
 * QTest: where the accelerated SMMUv3 looks for a stream table entry
 *
 * There is one good entry.  A table's format, size and alignment decide whether
 * the stream gets it, gets nothing, or gets nothing and an event.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3-accel-common.h"

#define SID0        0x100u              /* StreamID of device 0 */
#define TABLE       0x42400000ull       /* aligned to 4 MiB, and no more */
#define LEVEL2      0x43000000ull
#define ENTRY(base, n) ((base) + (n) * 64)

/* STRTAB_BASE_CFG: FMT, SPLIT and LOG2SIZE (SMMUv3 6.3.25) */
#define CFG(fmt, split, log2size) ((fmt) << 16 | (split) << 6 | (log2size))
#define LINEAR(log2size)    CFG(0, 0, log2size)
#define TWO_LEVEL(split)    CFG(1, split, 16)

#define C_BAD_STREAMID  0x02u

static const struct Lookup {
    const char *name;
    uint32_t cfg;
    uint64_t base;
    uint64_t entry;             /* where the good one is */
    uint64_t desc_addr, desc;   /* level 1 descriptor */
    bool found;
    uint32_t event;             /* its type, 0: none */
} lookups[] = {
    { "linear_found", LINEAR(9), TABLE, ENTRY(TABLE, SID0), .found = true },
    { "linear-too-small_aborts", LINEAR(8), TABLE, ENTRY(TABLE, SID0) },
    /* The low bits of the base, as far as the table is large, are ignored */
    { "linear-misaligned_found", LINEAR(9), TABLE + 0x4000,
      ENTRY(TABLE, SID0), .found = true },
    /* More than SIDSIZE is like SIDSIZE: 4 MiB of entries */
    { "linear-too-large_found", LINEAR(31), TABLE, ENTRY(TABLE, SID0),
      .found = true },
    { "two-levels_found", TWO_LEVEL(8), TABLE, LEVEL2, TABLE + 8, LEVEL2 | 9,
      .found = true },
    { "two-levels-misaligned_found", TWO_LEVEL(8), TABLE + 0x400, LEVEL2,
      TABLE + 8, LEVEL2 | 9, .found = true },
    { "two-levels-too-small_aborts", CFG(1, 8, 8), TABLE, LEVEL2, TABLE + 8,
      LEVEL2 | 9 },
    { "two-levels-span-beyond-split_event", TWO_LEVEL(8), TABLE, LEVEL2,
      TABLE + 8, LEVEL2 | 10, .event = C_BAD_STREAMID },
    { "two-levels-no-span_aborts", TWO_LEVEL(8), TABLE, LEVEL2, TABLE + 8,
      LEVEL2 },
    { "two-levels-within-span_found", TWO_LEVEL(10), TABLE,
      ENTRY(LEVEL2, SID0), TABLE, LEVEL2 | 10, .found = true },
    { "two-levels-beyond-span_aborts", TWO_LEVEL(10), TABLE,
      ENTRY(LEVEL2, SID0), TABLE, LEVEL2 | 9 },
    { "two-levels-level-2-misaligned_found", TWO_LEVEL(10), TABLE,
      ENTRY(LEVEL2, SID0), TABLE, LEVEL2 | 0x4000 | 10, .found = true },
    /* A reserved split is like 6 */
    { "two-levels-reserved-split_found", TWO_LEVEL(7), TABLE, LEVEL2,
      TABLE + (SID0 >> 6) * 8, LEVEL2 | 7, .found = true },
    { "reserved-format_event", CFG(2, 0, 9), TABLE, ENTRY(TABLE, SID0),
      .event = C_BAD_STREAMID },
};

static void test_lookup(const void *data)
{
    const struct Lookup *c = data;
    Smmuv3AccelSetup setup = { .devices = 1 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint64_t evt[4] = { 0 };

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(g);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_SMMUEN);
    if (c->desc_addr) {
        qtest_writeq(g->qts, c->desc_addr, c->desc);
    }
    qtest_writeq(g->qts, c->entry, smmuv3_accel_s1_ste(0));
    smmuv3_guest_writeq(g, SMMUV3_STRTAB_BASE, c->base);
    smmuv3_guest_writel(g, SMMUV3_STRTAB_BASE_CFG, c->cfg);
    smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    smmuv3_accel_expect(&t, 0, c->found ? SMMUV3_IS_S1 : SMMUV3_IS_ABORT);
    g_assert_cmpint(smmuv3_guest_event(g, evt), ==, !!c->event);
    g_assert_cmphex(evt[0], ==, c->event ? c->event | (uint64_t)SID0 << 32 : 0);
    fakehost_free(t.host);
}

/* --- ATS --- */

static const struct Ats {
    const char *name;
    const char *props;          /* of the SMMU */
    const char *device;         /* of the host device */
    uint64_t eats;              /* what the guest's entry has in EATS */
    uint64_t host;              /* what the host gets there */
} ats[] = {
    { "on_passed-on", SMMUV3_ACCEL_FIXED, "ats=1", 1, 1 },
    { "device-cannot_dropped", SMMUV3_ACCEL_FIXED, "ats=0", 1, 0 },
    { "off_dropped", "ril=on,ats=off,oas=44,ssidsize=4", "ats=1", 1, 0 },
    { "off-reserved_dropped", "ril=on,ats=off,oas=44,ssidsize=4", "ats=1", 3,
      0 },
};

/* Without ATS the field is reserved, and the host must not see it */
static void test_ats(const void *data)
{
    const struct Ats *c = data;
    g_autofree char *host = g_strdup_printf(
        "iommu a type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=a %s\n", HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5,
        c->device);
    Smmuv3AccelSetup setup = {
        .host = host, .devices = 1, .smmu_props = c->props,
    };
    g_autofree char *line = NULL;
    g_autofree char *ste = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    smmuv3_guest_write_ste(&t.guest, SID0, smmuv3_accel_s1_ste(0),
                           c->eats << 28);
    smmuv3_guest_cfgi(&t.guest, SID0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    line = fakehost_log_last(t.host, 0, "IOMMU_HWPT_ALLOC", "ste=[");
    ste = g_strdup_printf(",0x%" PRIx64 "]", c->host << 28);
    g_test_message("%s wanted in %s", ste, line);
    g_assert_nonnull(strstr(line, ste));
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3-accel/table", lookups, test_lookup);
    qtest_add_cases("/smmuv3-accel/ats", ats, test_ats);
    return g_test_run();
}
