/*
 * QTest: the accelerated VT-d follows the guest's PASID entry for RID_PASID
 *
 * A case is a list of steps. A step changes something in guest memory or in a
 * register, says so to the vIOMMU in one way or another, and states what the
 * host must have then, and by how many calls it came to that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-common.h"

#define DID         5
#define OTHER_DID   6
#define OTHER_PASID 9

typedef enum Act {
    ACT_ENTRY,              /* write the PASID entry */
    ACT_NOT_PRESENT,        /* clear its present bit */
    ACT_NO_CONTEXT,         /* clear the context entry */
    ACT_MOVE_DIR,           /* a new PASID directory with the entry */
    ACT_FOREIGN_DIR,        /* a PASID directory outside RAM */
    ACT_TE_OFF,
    ACT_TE_ON,
    ACT_NEW_ROOT,           /* a root table that has nothing; SRTP */
    ACT_OLD_ROOT,           /* the first one again; SRTP */
    ACT_LEGACY_ROOT,        /* the same table as a legacy one; SRTP */
    ACT_RESET,              /* of the machine */
    ACT_NOTHING,
} Act;

typedef enum Inv {
    INV_NONE,
    INV_PC_PASID,
    INV_PC_DOMAIN,
    INV_PC_GLOBAL,
    INV_PC_OTHER_PASID,
    INV_CC_DEVICE,
    INV_CC_DOMAIN,
    INV_CC_GLOBAL,
    INV_CC_OTHER_DEVICE,
    INV_CCMD_GLOBAL,        /* by register */
} Inv;

typedef enum State {
    BLOCKED,
    S1,
    S2,
} State;

typedef struct Step {
    Act act;
    VtdPasidEntry entry;    /* for ACT_ENTRY, ACT_MOVE_DIR */
    Inv inv;
    State state;
    unsigned allocs, attaches, detaches, destroys;
} Step;

#define FS(did, addr, fl) \
    { .pgtt = VTD_PGTT_FIRST_STAGE, .domain_id = did, .table = addr, \
      .flags = fl }
#define PT(did)     { .pgtt = VTD_PGTT_PASS_THROUGH, .domain_id = did }
#define TABLE       0x40000000
#define TABLE2      0x50000000

#define BIND \
    { ACT_ENTRY, FS(DID, TABLE, VTD_PE_WPE), INV_PC_PASID, S1, 1, 1, 0, 0 }

typedef struct Case {
    const char *name;
    const char *what;
    Step steps[6];
    unsigned num;
    const char *hwpt_data;  /* the last IOMMU_HWPT_ALLOC has it */
    const char *message;    /* one line on stderr has it */
    bool narrow;            /* in a queue of 128-bit descriptors, too */
    const char *props;      /* of intel-iommu; NULL: VTD_ACCEL_PROPS */
    uint64_t cap;           /* of the host; 0: HOST_CAP */
} Case;

#define STEPS(...) \
    .steps = { __VA_ARGS__ }, \
    .num = sizeof((Step[]) { __VA_ARGS__ }) / sizeof(Step)

static const Case cases[] = {
    {
        "first-stage_by-pasid_binds",
        "a PASID-selective invalidation binds a first-stage entry",
        STEPS(BIND),
        .hwpt_data = "s1=[flags=0x4,pgtbl=0x40000000,width=48]",
    }, {
        "first-stage_by-domain_binds",
        "a domain-selective invalidation may announce a new entry",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_PC_DOMAIN, S1, 1, 1 }),
        .hwpt_data = "s1=[flags=0x0,pgtbl=0x40000000,width=48]",
    }, {
        "first-stage_by-global_binds",
        "a global PASID-cache invalidation may announce a new entry",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_PC_GLOBAL, S1, 1, 1 }),
    }, {
        "first-stage_by-context-device_binds",
        "a device-selective context-cache invalidation re-reads the entry",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_CC_DEVICE, S1, 1, 1 }),
        .narrow = true,
    }, {
        "first-stage_by-context-domain_binds",
        "a domain-selective context-cache invalidation re-reads the entry",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_CC_DOMAIN, S1, 1, 1 }),
    }, {
        "first-stage_by-context-global_binds",
        "a global context-cache invalidation re-reads the entry",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_CC_GLOBAL, S1, 1, 1 }),
        .narrow = true,
    }, {
        "first-stage_by-ccmd_binds",
        "a context-cache invalidation by register does, too",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_CCMD_GLOBAL, S1, 1, 1 }),
    }, {
        "first-stage_not-announced_waits",
        "nothing is read before the guest says so",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_NONE, BLOCKED },
              { ACT_NOTHING, { 0 }, INV_CC_OTHER_DEVICE, BLOCKED },
              { ACT_NOTHING, { 0 }, INV_PC_GLOBAL, S1, 1, 1 }),
    }, {
        "unchanged_any-invalidation_silent",
        "an unchanged entry causes no call, whatever is invalidated",
        STEPS(BIND,
              { ACT_NOTHING, { 0 }, INV_PC_PASID, S1 },
              { ACT_NOTHING, { 0 }, INV_PC_DOMAIN, S1 },
              { ACT_NOTHING, { 0 }, INV_PC_GLOBAL, S1 },
              { ACT_NOTHING, { 0 }, INV_CC_DEVICE, S1 },
              { ACT_NOTHING, { 0 }, INV_CC_GLOBAL, S1 }),
    }, {
        "changed_other-pasid_waits",
        "an invalidation of another PASID does not concern RID_PASID",
        STEPS(BIND,
              { ACT_ENTRY, FS(DID, TABLE2, VTD_PE_WPE), INV_PC_OTHER_PASID,
                S1 },
              { ACT_NOTHING, { 0 }, INV_PC_PASID, S1, 1, 1, 0, 1 }),
        .hwpt_data = "pgtbl=0x50000000",
    }, {
        "table_moved_rebinds",
        "a new table pointer gets a new HWPT, the old one goes",
        STEPS(BIND,
              { ACT_ENTRY, FS(DID, TABLE2, VTD_PE_WPE), INV_PC_PASID,
                S1, 1, 1, 0, 1 }),
        .hwpt_data = "s1=[flags=0x4,pgtbl=0x50000000,width=48]",
    }, {
        "domain_changed_rebinds",
        "the domain id is part of the entry",
        STEPS(BIND,
              { ACT_ENTRY, FS(OTHER_DID, TABLE, VTD_PE_WPE), INV_PC_PASID,
                S1, 1, 1, 0, 1 }),
    }, {
        "flags_changed_rebinds",
        "write protection is part of the entry",
        STEPS(BIND,
              { ACT_ENTRY, FS(DID, TABLE, 0), INV_PC_PASID, S1, 1, 1, 0, 1 }),
        .hwpt_data = "s1=[flags=0x0,pgtbl=0x40000000,width=48]",
    }, {
        "directory_moved_rebinds",
        "a new PASIDDIRPTR is followed after a context-cache invalidation",
        STEPS(BIND,
              { ACT_MOVE_DIR, FS(DID, TABLE2, 0), INV_CC_DEVICE,
                S1, 1, 1, 0, 1 }),
        .hwpt_data = "pgtbl=0x50000000",
    }, {
        "pass-through_attaches-s2",
        "pass-through is guest memory, one to one",
        STEPS({ ACT_ENTRY, PT(DID), INV_PC_PASID, S2, 0, 1 },
              { ACT_NOTHING, { 0 }, INV_PC_GLOBAL, S2 }),
    }, {
        "first-stage_to-pass-through_frees-s1",
        "from first stage to pass-through and back",
        STEPS(BIND,
              { ACT_ENTRY, PT(DID), INV_PC_PASID, S2, 0, 1, 0, 1 },
              { ACT_ENTRY, FS(DID, TABLE, 0), INV_PC_PASID, S1, 1, 1 }),
    }, {
        "entry-cleared_blocks",
        "an entry that is not present blocks DMA",
        STEPS(BIND,
              { ACT_NOT_PRESENT, { 0 }, INV_PC_PASID, BLOCKED, 0, 0, 1, 1 },
              { ACT_NOTHING, { 0 }, INV_PC_GLOBAL, BLOCKED }),
    }, {
        "context-cleared_blocks",
        "so does a context entry that is not present",
        STEPS(BIND,
              { ACT_NO_CONTEXT, { 0 }, INV_CC_DEVICE, BLOCKED, 0, 0, 1, 1 }),
    }, {
        "entry-cleared_then-set_rebinds",
        "what a driver does that is unbound and bound again",
        STEPS(BIND,
              { ACT_NOT_PRESENT, { 0 }, INV_PC_PASID, BLOCKED, 0, 0, 1, 1 },
              BIND,
              { ACT_NOT_PRESENT, { 0 }, INV_PC_PASID, BLOCKED, 0, 0, 1, 1 },
              BIND),
    }, {
        "directory-outside-ram_blocks",
        "a PASID directory that is not memory blocks DMA",
        STEPS(BIND,
              { ACT_FOREIGN_DIR, { 0 }, INV_CC_DEVICE, BLOCKED, 0, 0, 1, 1 },
              { ACT_NOTHING, { 0 }, INV_CC_DEVICE, BLOCKED }),
        .message = "DMA blocked",
    }, {
        "second-stage_blocks",
        "a second-stage entry is not advertised, so not followed",
        STEPS(BIND,
              { ACT_ENTRY, { .pgtt = VTD_PGTT_SECOND_STAGE,
                             .domain_id = DID },
                INV_PC_PASID, BLOCKED, 0, 0, 1, 1 }),
        .message = "DMA blocked",
    }, {
        "nested_blocks",
        "nor is a nested one",
        STEPS(BIND,
              { ACT_ENTRY, { .pgtt = VTD_PGTT_NESTED, .domain_id = DID,
                             .table = TABLE },
                INV_PC_PASID, BLOCKED, 0, 0, 1, 1 }),
        .message = "DMA blocked",
    }, {
        "five-level_blocks",
        "5-level tables are not advertised with aw-bits=48",
        STEPS({ ACT_ENTRY, { .pgtt = VTD_PGTT_FIRST_STAGE, .fspm = 1,
                             .domain_id = DID, .table = TABLE },
                INV_PC_PASID, BLOCKED }),
        .message = "DMA blocked",
    }, {
        "five-level_advertised_binds",
        "with aw-bits=57 they are, beside 4-level ones",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, 0), INV_PC_PASID, S1, 1, 1 },
              { ACT_ENTRY, { .pgtt = VTD_PGTT_FIRST_STAGE, .fspm = 1,
                             .domain_id = DID, .table = TABLE },
                INV_PC_PASID, S1, 1, 1, 0, 1 }),
        .hwpt_data = "s1=[flags=0x0,pgtbl=0x40000000,width=57]",
        .props = VTD_ACCEL_PROPS ",aw-bits=57",
        .cap = HOST_CAP | HOST_CAP_FS5LP,
    }, {
        "six-level_blocks",
        "there are no 6-level tables",
        STEPS({ ACT_ENTRY, { .pgtt = VTD_PGTT_FIRST_STAGE, .fspm = 2,
                             .domain_id = DID, .table = TABLE },
                INV_PC_PASID, BLOCKED }),
        .message = "DMA blocked",
        .props = VTD_ACCEL_PROPS ",aw-bits=57",
        .cap = HOST_CAP | HOST_CAP_FS5LP,
    }, {
        "extended-access_blocks",
        "extended access flags are not advertised",
        STEPS({ ACT_ENTRY, FS(DID, TABLE, VTD_PE_EAFE), INV_PC_PASID,
                BLOCKED }),
        .message = "DMA blocked",
    }, {
        "translation-off_attaches-s2",
        "translation off is guest memory; on again follows the entry",
        STEPS(BIND,
              { ACT_TE_OFF, { 0 }, INV_NONE, S2, 0, 1, 0, 1 },
              { ACT_TE_ON, { 0 }, INV_NONE, S1, 1, 1 }),
    }, {
        "new-root_blocks",
        "SRTP with an empty table blocks, with the old one binds again",
        STEPS(BIND,
              { ACT_NEW_ROOT, { 0 }, INV_NONE, BLOCKED, 0, 0, 1, 1 },
              { ACT_OLD_ROOT, { 0 }, INV_NONE, S1, 1, 1 }),
    }, {
        "legacy-root_blocks",
        "read in legacy mode its entries have no valid address width",
        STEPS(BIND,
              { ACT_LEGACY_ROOT, { 0 }, INV_NONE, BLOCKED, 0, 0, 1, 1 }),
        .message = "context entry has an address width that is not "
                   "advertised; DMA blocked",
    }, {
        "machine-reset_attaches-s2",
        "a reset of the machine goes back to guest memory",
        STEPS(BIND,
              { ACT_RESET, { 0 }, INV_NONE, S2, 0, 1, 0, 1 }),
    }, {
        "machine-reset-while-blocked_attaches-s2",
        "also when DMA was blocked",
        STEPS(BIND,
              { ACT_NOT_PRESENT, { 0 }, INV_PC_PASID, BLOCKED, 0, 0, 1, 1 },
              { ACT_RESET, { 0 }, INV_NONE, S2, 0, 1, 0, 0 }),
    },
};

static void act(VtdAccelTest *t, const Step *step, uint64_t *dir)
{
    VtdGuest *g = &t->guest;
    uint64_t context = vtd_guest_context(g, fakehost_sid(0));

    switch (step->act) {
    case ACT_ENTRY:
        vtd_guest_write_pasid(g, *dir, 0, &step->entry);
        break;
    case ACT_NOT_PRESENT:
        vtd_guest_clear_pasid(g, *dir, 0);
        break;
    case ACT_NO_CONTEXT:
        qtest_writeq(g->qts, context, 0);
        break;
    case ACT_MOVE_DIR:
        *dir = vtd_guest_add_context(g, fakehost_sid(0), 0);
        vtd_guest_write_pasid(g, *dir, 0, &step->entry);
        break;
    case ACT_FOREIGN_DIR:
        qtest_writeq(g->qts, context, 0x7ff000000000ull | 1);
        break;
    case ACT_TE_OFF:
        vtd_guest_set_translation(g, false);
        break;
    case ACT_TE_ON:
        vtd_guest_set_translation(g, true);
        break;
    case ACT_NEW_ROOT:
        vtd_guest_set_root(g, vtd_guest_alloc(g), true);
        break;
    case ACT_OLD_ROOT:
        vtd_guest_set_root(g, g->root, true);
        break;
    case ACT_LEGACY_ROOT:
        vtd_guest_set_root(g, g->root, false);
        break;
    case ACT_RESET:
        fakehost_reset(t->host);
        break;
    case ACT_NOTHING:
        break;
    }
}

static void invalidate(VtdAccelTest *t, Inv inv)
{
    VtdGuest *g = &t->guest;

    switch (inv) {
    case INV_NONE:
        return;
    case INV_PC_PASID:
        vtd_guest_post_pc(g, VTD_PC_PASID, DID, 0);
        break;
    case INV_PC_DOMAIN:
        vtd_guest_post_pc(g, VTD_PC_DOMAIN, DID, 0);
        break;
    case INV_PC_GLOBAL:
        vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
        break;
    case INV_PC_OTHER_PASID:
        vtd_guest_post_pc(g, VTD_PC_PASID, DID, OTHER_PASID);
        break;
    case INV_CC_DEVICE:
        vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(0));
        break;
    case INV_CC_DOMAIN:
        vtd_guest_post_cc(g, VTD_CC_DOMAIN, DID, 0);
        break;
    case INV_CC_GLOBAL:
        vtd_guest_post_cc(g, VTD_CC_GLOBAL, 0, 0);
        break;
    case INV_CC_OTHER_DEVICE:
        vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(3));
        break;
    case INV_CCMD_GLOBAL:
        vtd_guest_invalidate(g, DMAR_CCMD_REG, VTD_CCMD_GLOBAL_INVL);
        return;
    }
    vtd_guest_sync(g);
}

static void check_state(VtdAccelTest *t, State state)
{
    switch (state) {
    case BLOCKED:
        vtd_accel_expect_blocked(t, 0);
        break;
    case S1:
        vtd_accel_expect_s1(t, 0);
        break;
    case S2:
        vtd_accel_expect_s2(t, 0);
        break;
    }
    vtd_accel_expect_s1_hwpts(t, state == S1 ? 1 : 0);
}

typedef struct Counts {
    uint64_t allocs, attaches, detaches, destroys;
} Counts;

static Counts count(FakeHost *host)
{
    return (Counts) {
        .allocs = fakehost_calls(host, "IOMMU_HWPT_ALLOC"),
        .attaches = fakehost_calls(host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
        .detaches = fakehost_calls(host, "VFIO_DEVICE_DETACH_IOMMUFD_PT"),
        .destroys = fakehost_calls(host, "IOMMU_DESTROY"),
    };
}

static void run_step(VtdAccelTest *t, const Step *step, uint64_t *dir)
{
    Counts before = count(t->host), after;

    act(t, step, dir);
    invalidate(t, step->inv);
    check_state(t, step->state);
    after = count(t->host);
    g_assert_cmpuint(after.allocs - before.allocs, ==, step->allocs);
    g_assert_cmpuint(after.attaches - before.attaches, ==, step->attaches);
    g_assert_cmpuint(after.detaches - before.detaches, ==, step->detaches);
    g_assert_cmpuint(after.destroys - before.destroys, ==, step->destroys);
}

static void run_case(const Case *c, unsigned width)
{
    VtdAccelSetup setup = {
        .devices = 1, .width = width, .iommu_props = c->props, .cap = c->cap,
    };
    VtdAccelTest t;
    uint64_t dir;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_expect_s2(&t, 0);
    dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);
    vtd_guest_enable(&t.guest);
    /* The context entry leads to an empty PASID directory */
    vtd_accel_expect_blocked(&t, 0);

    for (unsigned i = 0; i < c->num; i++) {
        g_test_message("step %u", i);
        run_step(&t, &c->steps[i], &dir);
    }
    if (c->hwpt_data) {
        g_autofree char *line = fakehost_log_last(t.host, 0,
                                                  "IOMMU_HWPT_ALLOC", NULL);

        g_assert_nonnull(line);
        g_assert_nonnull(strstr(line, c->hwpt_data));
    }
    if (c->message) {
        g_assert_cmpuint(fakehost_err_lines(t.host, 0, c->message), ==, 1);
    }
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
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

/* --- what was read before is seen when it changes --- */

#define PAM_PORT        (0xcfc + 3)     /* PAM3 of the host bridge */
#define PAM_PAGE        0xd0000ull      /* its bits 3:0 */

/* Memory at PAM_PAGE, or the bus with nothing there */
static void set_pam(VtdAccelTest *t, bool memory)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | 0x90);
    qtest_outb(t->host->qts, PAM_PORT, memory ? 3 : 0);
}

static void invalidate_pasid(VtdAccelTest *t, uint16_t domain_id)
{
    vtd_guest_post_pc(&t->guest, VTD_PC_PASID, domain_id, 0);
    vtd_guest_sync(&t->guest);
}

/* A PASID-selective invalidation makes so many calls, one repeated none */
static void expect_calls(VtdAccelTest *t, uint16_t domain_id, unsigned allocs,
                         unsigned attaches, unsigned detaches)
{
    for (unsigned i = 0; i < 3; i++) {
        Counts before = count(t->host), after;

        invalidate_pasid(t, domain_id);
        after = count(t->host);
        g_assert_cmpuint(after.allocs - before.allocs, ==, i ? 0 : allocs);
        g_assert_cmpuint(after.attaches - before.attaches, ==,
                         i ? 0 : attaches);
        g_assert_cmpuint(after.detaches - before.detaches, ==,
                         i ? 0 : detaches);
    }
}

/* Each device is in a domain, and goes to the other's and back */
static void test_domains_change(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry five = vtd_accel_fs_entry(5), six = vtd_accel_fs_entry(6);
    VtdAccelTest t;
    uint64_t dir[2];

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    dir[0] = vtd_accel_bind(&t, 0, &five);
    dir[1] = vtd_accel_bind(&t, 1, &six);
    expect_calls(&t, 5, 0, 0, 0);
    expect_calls(&t, 6, 0, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        /* Both are in 6, one HWPT is left */
        vtd_guest_write_pasid(&t.guest, dir[0], 0, &six);
        expect_calls(&t, 5, 0, 1, 0);
        vtd_accel_expect_s1_hwpts(&t, 1);
        /* The other one goes to 5 */
        vtd_guest_write_pasid(&t.guest, dir[1], 0, &five);
        expect_calls(&t, 6, 1, 1, 0);
        vtd_accel_expect_s1_hwpts(&t, 2);
        /* Both change places, told by one descriptor */
        vtd_guest_write_pasid(&t.guest, dir[0], 0, &five);
        vtd_guest_write_pasid(&t.guest, dir[1], 0, &six);
        invalidate_pasid(&t, 5);
        vtd_accel_expect_s1(&t, 0);
        vtd_accel_expect_s1(&t, 1);
        expect_calls(&t, 6, 0, 0, 0);
        vtd_accel_expect_s1_hwpts(&t, 2);
    }
    fakehost_free(t.host);
}

/* One word of the entry at a time */
static void test_words_change(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(5);
    VtdAccelTest t;
    uint64_t pe;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    pe = vtd_guest_pasid(&t.guest, vtd_accel_bind(&t, 0, &entry), 0);
    expect_calls(&t, 5, 0, 0, 0);
    qtest_writeq(t.host->qts, pe + 8, 6);
    expect_calls(&t, 5, 1, 1, 0);
    qtest_writeq(t.host->qts, pe + 16, TABLE2 | VTD_PE_WPE);
    expect_calls(&t, 6, 1, 1, 0);
    qtest_writeq(t.host->qts, pe, VTD_PGTT_PASS_THROUGH << 6 | 1);
    expect_calls(&t, 6, 0, 1, 0);
    vtd_accel_expect_s2(&t, 0);
    qtest_writeq(t.host->qts, pe, 0);
    expect_calls(&t, 6, 0, 0, 1);
    vtd_accel_expect_blocked(&t, 0);
    qtest_writeq(t.host->qts, pe, VTD_PGTT_FIRST_STAGE << 6 | 1);
    expect_calls(&t, 6, 1, 1, 0);
    vtd_accel_expect_s1(&t, 0);
    fakehost_free(t.host);
}

/* The PASID table, or the directory, is elsewhere, and that goes and is back */
static void test_tables_move(const void *data)
{
    bool directory = GPOINTER_TO_UINT(data);
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry five = vtd_accel_fs_entry(5), six = vtd_accel_fs_entry(6);
    VtdAccelTest t;
    uint64_t dir, entry, context;
    Counts before;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    set_pam(&t, true);
    dir = vtd_accel_bind(&t, 0, &five);
    expect_calls(&t, 5, 0, 0, 0);
    if (directory) {
        vtd_guest_write_pasid(&t.guest, PAM_PAGE, 0, &six);
        context = vtd_guest_context(&t.guest, fakehost_sid(0));
        qtest_writeq(t.host->qts, context, PAM_PAGE | 1);
        before = count(t.host);
        vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 5, fakehost_sid(0));
        vtd_guest_sync(&t.guest);
        g_assert_cmpuint(count(t.host).allocs - before.allocs, ==, 1);
        g_assert_cmpuint(count(t.host).attaches - before.attaches, ==, 1);
        expect_calls(&t, 5, 0, 0, 0);
    } else {
        qtest_writeq(t.host->qts, dir, PAM_PAGE | 1);
        vtd_guest_write_pasid(&t.guest, dir, 0, &six);
        expect_calls(&t, 5, 1, 1, 0);
    }
    vtd_accel_expect_s1_hwpts(&t, 1);
    entry = vtd_guest_pasid(&t.guest, directory ? PAM_PAGE : dir, 0);

    for (unsigned domain_id = 6; domain_id < 9; domain_id++) {
        set_pam(&t, false);
        invalidate_pasid(&t, domain_id);
        vtd_accel_expect_blocked(&t, 0);
        set_pam(&t, true);
        expect_calls(&t, domain_id, 1, 1, 0);
        vtd_accel_expect_s1(&t, 0);
        /* Where it is now is where changes are looked for */
        qtest_writeq(t.host->qts, entry + 8, domain_id + 1);
        expect_calls(&t, domain_id, 1, 1, 0);
    }
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/vtd-accel/bind/domains-change_follow",
                   test_domains_change);
    qtest_add_func("/vtd-accel/bind/words-change_follow", test_words_change);
    qtest_add_data_func("/vtd-accel/bind/table-moves_follow",
                        GUINT_TO_POINTER(false), test_tables_move);
    qtest_add_data_func("/vtd-accel/bind/directory-moves_follow",
                        GUINT_TO_POINTER(true), test_tables_move);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *wide = g_strdup_printf("/vtd-accel/bind/%s",
                                                cases[i].name);
        g_autofree char *narrow = g_strdup_printf("/vtd-accel/bind-128/%s",
                                                  cases[i].name);

        qtest_add_data_func(wide, &cases[i], run_256);
        if (cases[i].narrow) {
            qtest_add_data_func(narrow, &cases[i], run_128);
        }
    }
    return g_test_run();
}
