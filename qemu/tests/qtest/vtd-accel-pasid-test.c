/*
 * QTest: the accelerated VT-d follows PASID entries other than RID_PASID's
 *
 * A step changes something in guest memory or in a register, says so to the
 * vIOMMU in one way or another, and states how many PASIDs the host has
 * attached then, and by how many calls it came to that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "viommu/sweep.h"
#include "vtd-accel-common.h"

#define DID             5
#define OTHER_DID       6
#define PASID           7
#define FAR_PASID       0xfff0      /* another directory entry */
#define TABLE           0x40000000
#define TABLE2          0x50000000
#define PROPS           VTD_ACCEL_PROPS ",pasid-bits=20"
#define HEAP_MAX        256         /* bytes for a bound (device, PASID) */

/* Scalable-mode context entry (VT-d 9.4) */
#define CE_PASIDE       (1ull << 3)
#define CE_PDTS(bits)   ((uint64_t)((bits) - 7) << 9)

typedef enum Act {
    ACT_NOTHING,
    ACT_ENTRY,              /* write the PASID entry */
    ACT_FAR_ENTRY,          /* write the one of FAR_PASID */
    ACT_ENTRY_0,            /* write the one of PASID 0 */
    ACT_NOT_PRESENT,        /* clear its present bit */
    ACT_NO_TABLE,           /* clear the directory entry of FAR_PASID */
    ACT_FOREIGN_TABLE,      /* a PASID table outside RAM */
    ACT_FOREIGN_DIR,        /* a PASID directory outside RAM */
    ACT_NO_CONTEXT,         /* clear the context entry */
    ACT_NO_PASIDE,          /* requests with PASID are not enabled */
    ACT_RID_IS_PASID,       /* RID_PASID becomes PASID */
    ACT_TE_OFF,
    ACT_NEW_ROOT,           /* a root table that has nothing; SRTP */
    ACT_RESET,              /* of the machine */
} Act;

typedef enum Inv {
    INV_NONE,
    INV_PC_PASID,
    INV_PC_OTHER_PASID,
    INV_PC_PASID_0,
    INV_PC_DOMAIN,
    INV_PC_GLOBAL,
    INV_CC_DEVICE,
    INV_CC_GLOBAL,
    INV_CCMD_GLOBAL,        /* by register */
} Inv;

typedef struct Step {
    Act act;
    VtdPasidEntry entry;    /* for ACT_ENTRY, ACT_FAR_ENTRY */
    Inv inv;
    unsigned pasids;        /* that are attached */
    unsigned allocs, attaches, detaches, destroys;
} Step;

#define FS(did, addr) \
    { .pgtt = VTD_PGTT_FIRST_STAGE, .domain_id = did, .table = addr }
#define PT(did)     { .pgtt = VTD_PGTT_PASS_THROUGH, .domain_id = did }

#define BIND(inv)       { ACT_ENTRY, FS(DID, TABLE), inv, 1, 1, 1, 0, 0 }
#define SAME(inv, num)  { ACT_NOTHING, { 0 }, inv, num }
/* The only PASID goes, with its HWPT */
#define GONE(act, inv)  { act, { 0 }, inv, 0, 0, 0, 1, 1 }

typedef struct Case {
    const char *name;
    const char *what;
    Step steps[6];
    unsigned num;
    const char *message;    /* one line on stderr has it */
    const char *props;      /* of intel-iommu; NULL: PROPS */
    unsigned host_bits;     /* width of the device's PASIDs; 0: 20 */
    bool host_none;         /* the device has none */
} Case;

#define STEPS(...) \
    .steps = { __VA_ARGS__ }, \
    .num = sizeof((Step[]) { __VA_ARGS__ }) / sizeof(Step)

static const Case cases[] = {
    {
        "first-stage_by-pasid_binds",
        "a PASID-selective invalidation attaches by PASID",
        STEPS(BIND(INV_PC_PASID)),
    }, {
        "first-stage_by-domain_binds",
        "a domain-selective invalidation may announce a new entry",
        STEPS(BIND(INV_PC_DOMAIN)),
    }, {
        "first-stage_by-global_binds",
        "so may a global one",
        STEPS(BIND(INV_PC_GLOBAL)),
    }, {
        "first-stage_by-context-device_binds",
        "and those of the context cache",
        STEPS(BIND(INV_CC_DEVICE)),
    }, {
        "first-stage_by-context-global_binds",
        "all of them",
        STEPS(BIND(INV_CC_GLOBAL)),
    }, {
        "first-stage_by-ccmd_binds",
        "by register, too",
        STEPS(BIND(INV_CCMD_GLOBAL)),
    }, {
        "first-stage_not-announced_waits",
        "nothing is read before the guest says so",
        STEPS({ ACT_ENTRY, FS(DID, TABLE), INV_NONE, 0 },
              SAME(INV_PC_OTHER_PASID, 0),
              { ACT_NOTHING, { 0 }, INV_PC_PASID, 1, 1, 1 }),
    }, {
        "unchanged_any-invalidation_silent",
        "an unchanged entry causes no call, whatever is invalidated",
        STEPS(BIND(INV_PC_PASID),
              SAME(INV_PC_PASID, 1),
              SAME(INV_PC_DOMAIN, 1),
              SAME(INV_PC_GLOBAL, 1),
              SAME(INV_CC_DEVICE, 1),
              SAME(INV_CC_GLOBAL, 1)),
    }, {
        "table_moved_rebinds",
        "a new table pointer replaces the HWPT",
        STEPS(BIND(INV_PC_PASID),
              { ACT_ENTRY, FS(DID, TABLE2), INV_PC_PASID, 1, 1, 1, 0, 1 }),
    }, {
        "domain_changed_rebinds",
        "the domain id is part of the entry",
        STEPS(BIND(INV_PC_PASID),
              { ACT_ENTRY, FS(OTHER_DID, TABLE), INV_PC_GLOBAL,
                1, 1, 1, 0, 1 }),
    }, {
        "pass-through_attaches-s2",
        "pass-through is guest memory, and back",
        STEPS({ ACT_ENTRY, PT(DID), INV_PC_PASID, 1, 0, 1 },
              SAME(INV_PC_GLOBAL, 1),
              { ACT_ENTRY, FS(DID, TABLE), INV_PC_PASID, 1, 1, 1 },
              { ACT_ENTRY, PT(DID), INV_PC_GLOBAL, 1, 0, 1, 0, 1 }),
    }, {
        "two_one-changes",
        "each PASID goes its own way",
        STEPS(BIND(INV_PC_PASID),
              { ACT_FAR_ENTRY, FS(DID, TABLE2), INV_PC_GLOBAL, 2, 1, 1 },
              { ACT_NOT_PRESENT, { 0 }, INV_PC_GLOBAL, 1, 0, 0, 1, 1 },
              SAME(INV_PC_GLOBAL, 1)),
    }, {
        "cleared_by-pasid_detaches",
        "an entry that is not present is detached",
        STEPS(BIND(INV_PC_PASID),
              GONE(ACT_NOT_PRESENT, INV_PC_PASID),
              SAME(INV_PC_GLOBAL, 0),
              BIND(INV_PC_PASID)),
    }, {
        "cleared_by-domain_detaches",
        "whichever invalidation says so",
        STEPS(BIND(INV_PC_PASID),
              GONE(ACT_NOT_PRESENT, INV_PC_DOMAIN)),
    }, {
        "cleared_by-context_detaches",
        "those of the context cache as well",
        STEPS(BIND(INV_PC_PASID),
              GONE(ACT_NOT_PRESENT, INV_CC_DEVICE)),
    }, {
        "directory-entry-cleared_detaches",
        "so is one whose table is gone",
        STEPS({ ACT_FAR_ENTRY, FS(DID, TABLE), INV_PC_GLOBAL, 1, 1, 1 },
              GONE(ACT_NO_TABLE, INV_PC_GLOBAL)),
    }, {
        "table-outside-ram_detaches",
        "or is not memory",
        STEPS(BIND(INV_PC_PASID),
              GONE(ACT_FOREIGN_TABLE, INV_PC_GLOBAL)),
        .message = "PASID table is not in guest memory",
    }, {
        "directory-outside-ram_detaches",
        "or whose directory is not",
        STEPS(BIND(INV_PC_PASID),
              /* RID_PASID is blocked as well: one more detach */
              { ACT_FOREIGN_DIR, { 0 }, INV_CC_DEVICE, 0, 0, 0, 2, 1 }),
    }, {
        "context-cleared_detaches",
        "no context, no PASIDs",
        STEPS(BIND(INV_PC_PASID),
              { ACT_NO_CONTEXT, { 0 }, INV_CC_DEVICE, 0, 0, 0, 2, 1 }),
    }, {
        "pasids-disabled_detaches",
        "the context entry can disable requests with PASID",
        STEPS(BIND(INV_PC_PASID),
              GONE(ACT_NO_PASIDE, INV_CC_DEVICE),
              SAME(INV_PC_PASID, 0)),
    }, {
        "rid-pasid-changed_leaves-pasids",
        "what becomes RID_PASID is no longer attached by PASID",
        STEPS(BIND(INV_PC_PASID),
              { ACT_RID_IS_PASID, { 0 }, INV_CC_DEVICE, 0, 0, 1, 1 }),
        .message = "PASID 0x0: the host's kernel uses PASID 0 for "
                   "requests without PASID",
    }, {
        "pasid-0_by-pasid_explained",
        "nor can what is no longer RID_PASID be bound if it is 0",
        STEPS({ ACT_RID_IS_PASID, { 0 }, INV_NONE, 0 },
              { ACT_ENTRY, FS(DID, TABLE), INV_CC_DEVICE, 0, 1, 1 },
              { ACT_ENTRY_0, FS(DID, TABLE), INV_PC_PASID_0, 0 },
              SAME(INV_PC_PASID_0, 0)),
        .message = "have the guest set RID_PASID to 0, or use another PASID",
    }, {
        "translation-off_detaches",
        "translation off: only RID_PASID is left",
        STEPS(BIND(INV_PC_PASID),
              { ACT_TE_OFF, { 0 }, INV_NONE, 0, 0, 0, 1, 1 }),
    }, {
        "new-root_detaches",
        "a root table without the device",
        STEPS(BIND(INV_PC_PASID),
              { ACT_NEW_ROOT, { 0 }, INV_NONE, 0, 0, 0, 2, 1 }),
    }, {
        "machine-reset_detaches",
        "reset",
        STEPS(BIND(INV_PC_PASID),
              { ACT_RESET, { 0 }, INV_NONE, 0, 0, 0, 1, 1 }),
    }, {
        "second-stage_refused",
        "a second-stage entry is not advertised, so not followed",
        STEPS({ ACT_ENTRY, { .pgtt = VTD_PGTT_SECOND_STAGE,
                             .domain_id = DID }, INV_PC_PASID, 0 },
              SAME(INV_PC_PASID, 0),
              SAME(INV_PC_GLOBAL, 0)),
        .message = "type that is not advertised",
    }, {
        "no-property_ignored",
        "without pasid-bits no other PASID is looked at",
        STEPS({ ACT_ENTRY, FS(DID, TABLE), INV_PC_PASID, 0 },
              SAME(INV_PC_GLOBAL, 0)),
        .props = VTD_ACCEL_PROPS,
    }, {
        "host-without-pasids_ignored",
        "nor where the host has none",
        STEPS({ ACT_ENTRY, FS(DID, TABLE), INV_PC_PASID, 0 },
              SAME(INV_PC_GLOBAL, 0)),
        .host_none = true,
    }, {
        "beyond-host-width_ignored",
        "PASIDs that the device cannot send are not looked at",
        STEPS({ ACT_FAR_ENTRY, FS(DID, TABLE), INV_PC_GLOBAL, 0 },
              BIND(INV_PC_GLOBAL)),
        .host_bits = 4,
    }, {
        "beyond-guest-width_ignored",
        "nor those that the guest was not told of",
        STEPS({ ACT_FAR_ENTRY, FS(DID, TABLE), INV_PC_GLOBAL, 0 },
              BIND(INV_PC_GLOBAL)),
        .props = VTD_ACCEL_PROPS ",pasid-bits=4",
    },
};

static char *describe_host(unsigned devices, unsigned bits)
{
    GString *s = g_string_new(NULL);

    g_string_printf(s, "iommu vtd0 type=vtd cap=0x%" PRIx64 " ecap=0x%" PRIx64
                    "\n", (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    for (unsigned i = 0; i < devices; i++) {
        g_string_append_printf(s, "device dev%u iommu=vtd0 pasid-bits=%u\n", i,
                               bits);
    }
    return g_string_free(s, false);
}

static void set_context(VtdGuest *g, unsigned n, uint64_t dir, uint64_t flags)
{
    qtest_writeq(g->qts, vtd_guest_context(g, fakehost_sid(n)),
                 dir | CE_PDTS(14) | flags | 1);
}

/* A device whose context entry leads to a directory of 20 bits */
static uint64_t add_device(VtdAccelTest *t, unsigned n)
{
    VtdGuest *g = &t->guest;
    uint64_t dir = vtd_guest_add_context(g, fakehost_sid(n), 0);

    while (g->next_page < dir + (1u << 14) * VTD_PASID_DIR_ENTRY_SIZE) {
        vtd_guest_alloc(g);
    }
    set_context(g, n, dir, CE_PASIDE);
    return dir;
}

static bool start(VtdAccelTest *t, unsigned devices, const char *props,
                  unsigned bits, uint64_t *dirs)
{
    g_autofree char *host = describe_host(devices, bits);
    VtdAccelSetup setup = {
        .devices = devices, .host = host, .iommu_props = props ?: PROPS,
        .args = "-trace vtd_accel_queue_yield",
    };
    VtdPasidEntry rid = vtd_accel_pt_entry(1);

    if (!vtd_accel_start(t, &setup)) {
        return false;
    }
    for (unsigned i = 0; i < devices; i++) {
        dirs[i] = add_device(t, i);
        vtd_guest_write_pasid(&t->guest, dirs[i], 0, &rid);
    }
    vtd_guest_enable(&t->guest);
    for (unsigned i = 0; i < devices; i++) {
        vtd_accel_expect_s2(t, i);
    }
    return true;
}

static void end(VtdAccelTest *t, unsigned devices)
{
    for (unsigned i = 0; i < devices; i++) {
        fakehost_unplug(t->host, i);
    }
    fakehost_expect_empty(t->host);
    fakehost_free(t->host);
}

static unsigned attached(VtdAccelTest *t, unsigned n)
{
    return fakehost_device(t->host, fakehost_dev(n))->pasids;
}

static void act(VtdAccelTest *t, const Step *step, uint64_t dir)
{
    VtdGuest *g = &t->guest;
    uint64_t context = vtd_guest_context(g, fakehost_sid(0));

    switch (step->act) {
    case ACT_NOTHING:
        break;
    case ACT_ENTRY:
        vtd_guest_write_pasid(g, dir, PASID, &step->entry);
        break;
    case ACT_FAR_ENTRY:
        vtd_guest_write_pasid(g, dir, FAR_PASID, &step->entry);
        break;
    case ACT_ENTRY_0:
        vtd_guest_write_pasid(g, dir, 0, &step->entry);
        break;
    case ACT_NOT_PRESENT:
        vtd_guest_clear_pasid(g, dir, PASID);
        break;
    case ACT_NO_TABLE:
        qtest_writeq(g->qts, dir + (FAR_PASID >> 6) * 8, 0);
        break;
    case ACT_FOREIGN_TABLE:
        /* RID_PASID moves out of the way */
        vtd_guest_write_pasid(g, dir, 64, &(VtdPasidEntry)PT(1));
        qtest_writeq(g->qts, context + 8, 64);
        vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(0));
        vtd_guest_sync(g);
        qtest_writeq(g->qts, dir, 0x7ff000000000ull | 1);
        break;
    case ACT_FOREIGN_DIR:
        set_context(g, 0, 0x7ff000000000ull, CE_PASIDE);
        break;
    case ACT_NO_CONTEXT:
        qtest_writeq(g->qts, context, 0);
        break;
    case ACT_NO_PASIDE:
        set_context(g, 0, dir, 0);
        break;
    case ACT_RID_IS_PASID:
        qtest_writeq(g->qts, context + 8, PASID);
        break;
    case ACT_TE_OFF:
        vtd_guest_set_translation(g, false);
        break;
    case ACT_NEW_ROOT:
        vtd_guest_set_root(g, vtd_guest_alloc(g), true);
        break;
    case ACT_RESET:
        fakehost_reset(t->host);
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
        vtd_guest_post_pc(g, VTD_PC_PASID, DID, PASID);
        break;
    case INV_PC_OTHER_PASID:
        vtd_guest_post_pc(g, VTD_PC_PASID, DID, PASID + 1);
        break;
    case INV_PC_PASID_0:
        vtd_guest_post_pc(g, VTD_PC_PASID, DID, 0);
        break;
    case INV_PC_DOMAIN:
        vtd_guest_post_pc(g, VTD_PC_DOMAIN, DID, 0);
        break;
    case INV_PC_GLOBAL:
        vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
        break;
    case INV_CC_DEVICE:
        vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(0));
        break;
    case INV_CC_GLOBAL:
        vtd_guest_post_cc(g, VTD_CC_GLOBAL, 0, 0);
        break;
    case INV_CCMD_GLOBAL:
        vtd_guest_invalidate(g, DMAR_CCMD_REG, VTD_CCMD_GLOBAL_INVL);
        return;
    }
    vtd_guest_sync(g);
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

static void run_step(VtdAccelTest *t, const Step *step, uint64_t dir)
{
    Counts before, after;

    before = count(t->host);
    act(t, step, dir);
    invalidate(t, step->inv);
    after = count(t->host);
    g_assert_cmpuint(attached(t, 0), ==, step->pasids);
    g_assert_cmpuint(after.allocs - before.allocs, ==, step->allocs);
    g_assert_cmpuint(after.attaches - before.attaches, ==, step->attaches);
    g_assert_cmpuint(after.detaches - before.detaches, ==, step->detaches);
    g_assert_cmpuint(after.destroys - before.destroys, ==, step->destroys);
}

static void run_case(const void *data)
{
    const Case *c = data;
    VtdAccelTest t;
    uint64_t dir;

    g_test_message("%s", c->what);
    if (!start(&t, 1, c->props, c->host_none ? 0 : c->host_bits ?: 20, &dir)) {
        return;
    }
    for (unsigned i = 0; i < c->num; i++) {
        g_test_message("step %u", i);
        run_step(&t, &c->steps[i], dir);
    }
    if (c->message) {
        g_assert_cmpuint(fakehost_err_lines(t.host, 0, c->message), ==, 1);
    }
    end(&t, 1);
}

static void bind_pasid(VtdAccelTest *t, uint64_t dir, uint32_t pasid,
                       uint64_t table)
{
    VtdPasidEntry entry = FS(DID, table);

    vtd_guest_write_pasid(&t->guest, dir, pasid, &entry);
    vtd_guest_post_pc(&t->guest, VTD_PC_PASID, DID, pasid);
    vtd_guest_sync(&t->guest);
}

/* An invalidation reaches the PASID that it names, and no other */
static void test_invalidation(void)
{
    VtdAccelTest t;
    uint64_t dir;
    uint64_t calls;
    g_autofree char *of_pasid = NULL;
    g_autofree char *of_far = NULL;
    size_t mark;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    bind_pasid(&t, dir, PASID, TABLE);
    bind_pasid(&t, dir, FAR_PASID, TABLE);
    g_assert_cmpuint(attached(&t, 0), ==, 2);
    /* The same table under two PASIDs: each has its own HWPT */
    vtd_accel_expect_s1_hwpts(&t, 2);

    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    mark = fakehost_log_mark(t.host);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, PASID, 0x1000, 0,
                          false);
    vtd_guest_sync(&t.guest);
    of_pasid = fakehost_log_last(t.host, mark, "IOMMU_HWPT_INVALIDATE", NULL);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     calls + 1);
    mark = fakehost_log_mark(t.host);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, FAR_PASID, 0x1000, 0,
                          false);
    vtd_guest_sync(&t.guest);
    of_far = fakehost_log_last(t.host, mark, "IOMMU_HWPT_INVALIDATE", NULL);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     calls + 2);
    g_assert_cmpstr(of_pasid, !=, of_far);

    /* One of the domain reaches both */
    vtd_guest_post_iotlb(&t.guest, VTD_IOTLB_DOMAIN, DID, 0, 0);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     calls + 4);
    end(&t, 1);
}

/* Devices that agree on a PASID share the HWPT and its invalidations */
static void test_sharing(void)
{
    VtdAccelTest t;
    uint64_t dirs[8];
    uint64_t calls;

    if (!start(&t, 8, NULL, 20, dirs)) {
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        bind_pasid(&t, dirs[i], PASID, TABLE);
        g_assert_cmpuint(attached(&t, i), ==, 1);
    }
    vtd_accel_expect_s1_hwpts(&t, 1);

    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    for (unsigned i = 0; i < 32; i++) {
        vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, PASID,
                              i * 0x10000ull, 0, false);
    }
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE"), ==,
                     calls + 1);
    end(&t, 8);
}

typedef struct Run {
    VtdAccelTest t;
    uint64_t dir;
} Run;

static void sweep_operate(void *opaque)
{
    Run *run = opaque;

    bind_pasid(&run->t, run->dir, PASID, TABLE);
}

static void sweep_check(void *opaque, const SweepRound *round)
{
    Run *run = opaque;
    VtdAccelTest *t = &run->t;

    g_assert_cmpuint(attached(t, 0), ==, !round->hit);
    vtd_accel_expect_s1_hwpts(t, !round->hit);
    vtd_accel_expect_s2(t, 0);
    if (round->hit) {
        sweep_expect_told(round, "PASID 0x7", true);
        vtd_guest_flush_pasid_cache(&t->guest);
        g_assert_cmpuint(attached(t, 0), ==, 1);
    }
    vtd_guest_clear_pasid(&t->guest, run->dir, PASID);
    vtd_guest_flush_pasid_cache(&t->guest);
    g_assert_cmpuint(attached(t, 0), ==, 0);
}

/* Each call on the way of a PASID fails in turn; the next one repairs it */
static void test_failures(void)
{
    static const SweepOps ops = {
        .operate = sweep_operate, .check = sweep_check,
    };
    static const int errors[] = { EIO, EINVAL, ENOMEM };
    Run run;

    if (!start(&run.t, 1, NULL, 20, &run.dir)) {
        return;
    }
    for (unsigned e = 0; e < ARRAY_SIZE(errors); e++) {
        g_assert_cmpuint(sweep(run.t.host, &ops, errors[e], 1, &run), >, 1);
    }
    end(&run.t, 1);
}

/* A refused replacement leaves the PASID blocked, not on the old table */
static void test_replace_fails(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    bind_pasid(&t, dir, PASID, TABLE);
    fakehost_fail_next(t.host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", EIO);
    bind_pasid(&t, dir, PASID, TABLE2);
    g_assert_cmpuint(attached(&t, 0), ==, 0);
    vtd_accel_expect_s1_hwpts(&t, 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    g_assert_cmpuint(attached(&t, 0), ==, 1);
    end(&t, 1);
}

/* A host that refuses an invalidation gets a fresh HWPT for the PASID */
static void test_refused_invalidation(void)
{
    VtdAccelTest t;
    uint64_t dirs[2];
    uint64_t allocs;

    if (!start(&t, 2, NULL, 20, dirs)) {
        return;
    }
    bind_pasid(&t, dirs[0], PASID, TABLE);
    bind_pasid(&t, dirs[1], PASID, TABLE);
    vtd_accel_expect_s1_hwpts(&t, 1);
    allocs = fakehost_calls(t.host, "IOMMU_HWPT_ALLOC");
    fakehost_fail_next(t.host, "IOMMU_HWPT_INVALIDATE", EIO);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PASID, DID, PASID, 0, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_ALLOC"), ==,
                     allocs + 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    g_assert_cmpuint(attached(&t, 0), ==, 1);
    g_assert_cmpuint(attached(&t, 1), ==, 1);

    /* And if that fails as well, nothing */
    fakehost_fail_next(t.host, "IOMMU_HWPT_INVALIDATE", EIO);
    fakehost_fail_next(t.host, "IOMMU_HWPT_ALLOC", ENOMEM);
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PASID, DID, PASID, 0, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(attached(&t, 0), ==, 0);
    g_assert_cmpuint(attached(&t, 1), ==, 0);
    vtd_accel_expect_s1_hwpts(&t, 0);
    vtd_accel_expect_s2(&t, 0);
    end(&t, 2);
}

/* A PASID that cannot be detached: the guest does not read success */
static void test_stuck(void)
{
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dir;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    bind_pasid(&t, dir, PASID, TABLE);
    fakehost_fail(t.host, "VFIO_DEVICE_DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    vtd_guest_clear_pasid(g, dir, PASID);
    vtd_guest_post_pc(g, VTD_PC_PASID, DID, PASID);
    vtd_guest_post_wait(g);
    vtd_guest_ring(g);
    g_assert_false(vtd_guest_waited(g));
    g_assert_true(vtd_guest_readl(g, DMAR_FSTS_REG) & VTD_FSTS_IQE);
    g_assert_cmpuint(attached(&t, 0), ==, 1);

    fakehost_clear_rules(t.host);
    vtd_guest_writel(g, DMAR_FSTS_REG, VTD_FSTS_IQE);
    vtd_guest_ring(g);
    g_assert_true(vtd_guest_waited(g));
    g_assert_cmpuint(attached(&t, 0), ==, 0);
    end(&t, 1);
}

/* A device in reset is tried again without the guest's help */
static void test_busy(void)
{
    VtdAccelTest t;
    uint64_t dir;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    fakehost_fail_next(t.host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", EBUSY);
    bind_pasid(&t, dir, PASID, TABLE);
    FAKEHOST_AWAIT(t.host, attached(&t, 0));
    end(&t, 1);
}

/* A global invalidation that may take several pieces of the queue */
static void flush_in_pieces(VtdGuest *g)
{
    vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
    vtd_guest_post_wait(g);
    vtd_guest_ring(g);
    QTEST_AWAIT(vtd_guest_waited(g));
}

/* PASIDs anywhere in a large directory, most of which is empty */
static void test_edges(void)
{
    /* A page of the directory is for 0x8000 PASIDs, an entry for 0x40 */
    static const uint32_t pasids[] = {
        1, 0x3f, 0x40, 0x7fc0, 0x7fff, 0x8000, 0x8040, 0x17fff, 0x18000,
        0xf8000, 0xfffbf, 0xfffc0, 0xfffff,
    };
    VtdPasidEntry entry = PT(DID);
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dir;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++) {
        vtd_guest_write_pasid(g, dir, pasids[i], &entry);
        vtd_guest_flush_pasid_cache(g);
        g_assert_cmpuint(attached(&t, 0), ==, i + 1);
    }
    /* An entry that leads to a table, and is not present */
    qtest_writeq(g->qts, dir + 8 * 8, qtest_readq(g->qts, dir) & ~1ull);
    vtd_guest_flush_pasid_cache(g);
    g_assert_cmpuint(attached(&t, 0), ==, ARRAY_SIZE(pasids));
    for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++) {
        qtest_writeq(g->qts, dir + pasids[i] / 0x40 * 8, 0);
    }
    vtd_guest_flush_pasid_cache(g);
    g_assert_cmpuint(attached(&t, 0), ==, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++) {
        vtd_guest_write_pasid(g, dir, pasids[i], &entry);
        vtd_guest_flush_pasid_cache(g);
        g_assert_cmpuint(attached(&t, 0), ==, 1);
        vtd_guest_clear_pasid(g, dir, pasids[i]);
        vtd_guest_flush_pasid_cache(g);
        g_assert_cmpuint(attached(&t, 0), ==, 0);
        qtest_writeq(g->qts, dir + pasids[i] / 0x40 * 8, 0);
    }
    end(&t, 1);
}

/*
 * More PASIDs than one piece of the queue may take: all directory entries lead
 * to one table. The wait descriptor completes after all of them are done.
 */
static void test_many(void)
{
    enum { TABLES = 4096 };
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    VtdPasidEntry entry = PT(DID);
    uint64_t dir, calls, table;

    if (!start(&t, 1, NULL, 20, &dir)) {
        return;
    }
    vtd_guest_write_pasid(g, dir, 64, &entry);
    table = qtest_readq(g->qts, dir + 8);
    for (unsigned i = 2; i <= TABLES; i++) {
        qtest_writeq(g->qts, dir + i * 8, table);
    }
    flush_in_pieces(g);
    g_assert_cmpuint(attached(&t, 0), ==, TABLES);
    /* The doorbell has come back before the work was done */
    g_assert_cmpuint(fakehost_err_lines(t.host, 0, "vtd_accel_queue_yield"),
                     >=, 2);
    calls = fakehost_total_calls(t.host);
    vtd_guest_flush_pasid_cache(g);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);

    /* A guest may watch the head: it passes what is complete, no more */
    vtd_guest_clear_pasid(g, dir, 64);
    vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
    /* While the machine is stopped only the first piece is done */
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'stop' }");
    vtd_guest_ring(g);
    g_assert_cmphex(vtd_guest_readq(g, DMAR_IQH_REG), !=,
                    vtd_guest_readq(g, DMAR_IQT_REG));
    g_assert_cmpuint(attached(&t, 0), >, 0);
    g_assert_cmpuint(attached(&t, 0), <, TABLES);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'cont' }");
    QTEST_AWAIT(vtd_guest_readq(g, DMAR_IQH_REG) ==
                vtd_guest_readq(g, DMAR_IQT_REG));
    g_assert_cmpuint(attached(&t, 0), ==, 0);
    calls = fakehost_total_calls(t.host);
    vtd_guest_flush_pasid_cache(g);
    g_assert_cmpuint(fakehost_total_calls(t.host), ==, calls);
    end(&t, 1);
}

/*
 * A bound (device, PASID) costs little heap. What the other device has already
 * bound is shared: there is no S1 object that is new.
 */
static void test_heap(const void *data)
{
    enum { TABLES = 1024 };
    const VtdPasidEntry *entry = data;
    VtdAccelTest t;
    VtdGuest *g = &t.guest;
    uint64_t dirs[2], first, all, table;

#ifdef QEMU_SANITIZE_ADDRESS
    g_test_skip("the allocator of ASan does not tell what is in use");
    return;
#endif
    if (!start(&t, 2, NULL, 20, dirs)) {
        return;
    }
    vtd_guest_write_pasid(g, dirs[0], 64, entry);
    table = qtest_readq(g->qts, dirs[0] + 8);
    for (unsigned i = 2; i <= TABLES; i++) {
        qtest_writeq(g->qts, dirs[0] + i * 8, table);
    }
    flush_in_pieces(g);
    g_assert_cmpuint(attached(&t, 0), ==, TABLES);

    qtest_writeq(g->qts, dirs[1] + 8, table);
    flush_in_pieces(g);
    g_assert_cmpuint(attached(&t, 1), ==, 1);
    t.host->page->heap_wanted = FAKEHOST_HEAP_OF_CALLS;
    first = fakehost_heap(t.host);
    g_assert_cmpuint(first, !=, 0);
    for (unsigned i = 2; i <= TABLES; i++) {
        qtest_writeq(g->qts, dirs[1] + i * 8, table);
    }
    flush_in_pieces(g);
    g_assert_cmpuint(attached(&t, 1), ==, TABLES);
    all = fakehost_heap(t.host);
    g_test_message("%" PRId64 " bytes for %u bindings", all - first,
                   TABLES - 1);
    g_assert_cmpuint(all, <=, first + HEAP_MAX * (TABLES - 1));
    /* They are in it: each has its PASID and leads to its device */
    g_assert_cmpuint(all, >=, first + 12 * (TABLES - 1));
    end(&t, 2);
}

int main(int argc, char **argv)
{
    static const VtdPasidEntry first_stage = FS(DID, TABLE);
    static const VtdPasidEntry pass_through = PT(DID);

    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/vtd-accel/pasid", cases, run_case);
    qtest_add_func("/vtd-accel/pasid/invalidation_reaches-its-pasid",
                   test_invalidation);
    qtest_add_func("/vtd-accel/pasid/eight-devices_share", test_sharing);
    qtest_add_func("/vtd-accel/pasid/failure-sweep_repaired", test_failures);
    qtest_add_func("/vtd-accel/pasid/replacement-refused_blocks",
                   test_replace_fails);
    qtest_add_func("/vtd-accel/pasid/invalidation-refused_replaces",
                   test_refused_invalidation);
    qtest_add_func("/vtd-accel/pasid/detach-refused_not-completed",
                   test_stuck);
    qtest_add_func("/vtd-accel/pasid/busy_retried", test_busy);
    qtest_add_func("/vtd-accel/pasid/edges-of-directory_found", test_edges);
    qtest_add_func("/vtd-accel/pasid/many_in-pieces", test_many);
    qtest_add_data_func("/vtd-accel/pasid/pass-through_little-heap",
                        &pass_through, test_heap);
    qtest_add_data_func("/vtd-accel/pasid/first-stage_little-heap",
                        &first_stage, test_heap);
    return g_test_run();
}
