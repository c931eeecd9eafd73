/*
 * QTest: host devices of a guest that uses legacy mode behind x-flts=on
 *
 * A case is a list of steps. A step changes the guest's second-level tables or
 * its mode, says so to the vIOMMU, and states where the device is then and
 * what the IOAS that it translates by has: what was mapped there and not
 * unmapped, replayed from the host's log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/pci/pci_regs.h"
#include "vtd-accel-legacy.h"

#define DID         7
#define OTHER_DID   8
#define R           LEGACY_R
#define W           LEGACY_W
#define RW          LEGACY_RW
#define SUPERPAGE   LEGACY_SUPERPAGE

/* Addresses of the guest */
#define PAGE        0x1000000ull    /* memory that no table is in */
#define PAGE2       0x1801000ull
#define ROM         0xffff0000ull   /* the machine's firmware */
#define MMIO        0xfed90000ull   /* the vIOMMU's own registers */
#define NOTHING     0x700000000ull
#define INTERRUPTS  0xfee00000ull

static void expect_maps(VtdLegacy *l, unsigned n, const char *maps)
{
    g_autofree char *real = vtd_legacy_mappings(l, n);

    g_assert_cmpstr(real, ==, maps);
}

/* --- cases --- */

typedef enum Act {
    ACT_NOTHING,
    ACT_ENTRY,              /* write @value into the entry of @iova, @level */
    ACT_CLEAR,              /* clear the bits @value in that entry */
    ACT_CONTEXT,            /* use the table */
    ACT_CONTEXT_RAW,        /* context entry: @value | table, @iova */
    ACT_NEW_TABLE,          /* use another table, with @value for @iova */
    ACT_ROOT_HIGH,          /* write the upper half of the root entry */
    ACT_LEGACY,             /* SRTP */
    ACT_SCALABLE,           /* SRTP to a root table with a first-stage entry */
    ACT_TE_OFF,
    ACT_TE_ON,
    ACT_RESET,
} Act;

typedef enum Inv {
    INV_NONE,
    INV_PAGE,               /* of @iova, and 2^am - 1 more */
    INV_DOMAIN,
    INV_GLOBAL,
    INV_OTHER_DOMAIN,
    INV_CC_DEVICE,
    INV_CC_GLOBAL,
    INV_IOTLB_REG,          /* global, by register */
} Inv;

typedef struct Step {
    Act act;
    Inv inv;
    VtdLegacyState state;
    uint64_t iova;
    unsigned level;
    uint64_t value;
    unsigned am;
    const char *maps;       /* NULL: as before */
} Step;

typedef struct Case {
    const char *name;
    const char *what;
    const char *entered;    /* NULL: one page */
    uint64_t pinned_again;  /* bytes that the IOAS of guest memory has not */
    struct {
        uint64_t iova;
        unsigned level;
        uint64_t value;
    } before[5];
    Step steps[6];
    unsigned num;
    const char *message;    /* one line on stderr has it */
    unsigned levels;        /* 0: 4 */
    uint64_t ecap;          /* of the host, or 0 */
    const char *props;      /* of intel-iommu, or NULL */
} Case;

#define STEPS(...) \
    .steps = { __VA_ARGS__ }, \
    .num = sizeof((Step[]) { __VA_ARGS__ }) / sizeof(Step)

#define MAPS_ONE    "10000+1000>1000000:rw "
#define MAPS_TWO    MAPS_ONE "20000+1000>1801000:rw "

/* An entry of the last level */
#define WRITE(iova, value)  { iova, 1, value }
/* What the guest has mapped when it enters legacy mode, and the host then */
#define BEFORE(text, ...) \
    .entered = text, \
    .before = { __VA_ARGS__ }

static const Case cases[] = {
    {
        "enter_copies",
        "what is mapped when legacy mode is entered is mapped in the host",
        BEFORE("10000+1000>1000000:rw 12000+1000>1801000:r ",
               WRITE(0x10000, PAGE | RW),
               WRITE(0x12000, PAGE2 | R)),
    }, {
        "empty-table_translates-nothing",
        "an empty table is an empty IOAS",
        BEFORE(""),
    }, {
        "three-levels_copies",
        "tables of 3 levels, for 39 bits",
        .levels = 3,
        BEFORE("7ffffff000+1000>1000000:rw ",
               WRITE(0x7ffffff000, PAGE | RW)),
    }, {
        "address-0_copies",
        "the first address that there is",
        BEFORE("0+1000>1000000:rw ",
               WRITE(0, PAGE | RW)),
    }, {
        "last-address_copies",
        "the last address that the host translates",
        BEFORE("7ffffffff000+1000>1000000:rw ",
               WRITE(0x7ffffffff000, PAGE | RW)),
    }, {
        "write-only_readable-too",
        "iommufd's callers have no way to map for writing only",
        BEFORE(MAPS_ONE,
               WRITE(0x10000, PAGE | W)),
    }, {
        "map_by-page_maps",
        "a page-selective invalidation may announce a new entry",
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0x20000, 1, PAGE2 | RW, 0,
                MAPS_TWO }),
    }, {
        "map_by-domain_maps",
        "a domain-selective invalidation, too",
        STEPS({ ACT_ENTRY, INV_DOMAIN, SHADOW, 0x20000, 1, PAGE2 | RW, 0,
                MAPS_TWO }),
    }, {
        "map_by-global_maps",
        "a global one, too",
        STEPS({ ACT_ENTRY, INV_GLOBAL, SHADOW, 0x20000, 1, PAGE2 | RW, 0,
                MAPS_TWO }),
    }, {
        "map_by-register_maps",
        "one by register, too",
        STEPS({ ACT_ENTRY, INV_IOTLB_REG, SHADOW, 0x20000, 1, PAGE2 | RW, 0,
                MAPS_TWO }),
    }, {
        "other-domain_changes-nothing",
        "an invalidation of another domain is none of this one",
        STEPS({ ACT_ENTRY, INV_OTHER_DOMAIN, SHADOW, 0x20000, 1, PAGE2 | RW }),
    }, {
        "unmap_by-page_unmaps",
        "an entry that is gone",
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0x10000, 1, 0, 0, "" }),
    }, {
        "unmap_by-domain_unmaps",
        "an entry that is gone, by domain",
        STEPS({ ACT_ENTRY, INV_DOMAIN, SHADOW, 0x10000, 1, 0, 0, "" }),
    }, {
        "unmap_outside-range_waits",
        "only what the guest names is looked at",
        BEFORE("10000+1000>1000000:rw 14000+1000>1801000:rw ",
               WRITE(0x10000, PAGE | RW),
               WRITE(0x14000, PAGE2 | RW)),
        STEPS({ ACT_ENTRY, INV_NONE, SHADOW, 0x10000, 1, 0 },
              { ACT_ENTRY, INV_PAGE, SHADOW, 0x14000, 1, 0, 1, MAPS_ONE },
              { ACT_NOTHING, INV_PAGE, SHADOW, 0x10000, 1, 0, 2, "" }),
    }, {
        "table-removed_unmaps-all-below",
        "a directory entry that is gone takes its pages along",
        BEFORE("10000+1000>1000000:rw 14000+1000>1801000:rw ",
               WRITE(0x10000, PAGE | RW),
               WRITE(0x14000, PAGE2 | RW)),
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0, 2, 0, 9, "" }),
    }, {
        "changed_remaps",
        "an entry that leads elsewhere",
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0x10000, 1, PAGE2 | RW, 0,
                "10000+1000>1801000:rw " }),
    }, {
        "permission-changed_remaps",
        "an entry that lost its permission to write",
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0x10000, 1, PAGE | R, 0,
                "10000+1000>1000000:r " }),
    }, {
        "unchanged_no-call",
        "what did not change costs no call",
        STEPS({ ACT_NOTHING, INV_GLOBAL, SHADOW }),
    }, {
        "superpage_one-mapping",
        "a 2-MiB page",
        BEFORE("40000000+200000>1000000:rw ",
               { 0x40000000, 2, PAGE | RW | SUPERPAGE }),
    }, {
        "superpage-split_by-one-page_remaps",
        "a 2-MiB page becomes a table: any address of it invalidates it",
        BEFORE("40000000+200000>1000000:rw ",
               { 0x40000000, 2, PAGE | RW | SUPERPAGE }),
        STEPS({ ACT_ENTRY, INV_NONE, SHADOW, 0x40001000, 1, PAGE2 | RW },
              { ACT_NOTHING, INV_PAGE, SHADOW, 0x40080000,
                .maps = "40001000+1000>1801000:rw " }),
    }, {
        "superpage-split-at-its-start_remaps",
        "a 2-MiB page becomes a table with all but its last page",
        BEFORE("10000+1000>1000000:rw 40000000+200000>1000000:rw ",
               WRITE(0x10000, PAGE | RW),
               { 0x40000000, 2, PAGE | RW | SUPERPAGE }),
        STEPS({ ACT_ENTRY, INV_NONE, SHADOW, 0x40000000, 1, PAGE2 | RW },
              { ACT_ENTRY, INV_NONE, SHADOW, 0x40180000, 1, PAGE | RW },
              { ACT_NOTHING, INV_PAGE, SHADOW, 0x401ff000,
                .maps = MAPS_ONE "40000000+1000>1801000:rw "
                        "40180000+1000>1000000:rw " }),
    }, {
        "superpage-split-twice_remaps",
        "two 2-MiB pages become tables, and there is another one behind",
        BEFORE("40000000+200000>1400000:rw 80000000+200000>1000000:rw ",
               { 0x40000000, 2, (PAGE + 0x400000) | RW | SUPERPAGE },
               { 0x80000000, 2, PAGE | RW | SUPERPAGE }),
        STEPS({ ACT_ENTRY, INV_NONE, SHADOW, 0x80000000, 1, PAGE2 | RW },
              { ACT_ENTRY, INV_NONE, SHADOW, 0x40003000, 1, PAGE2 | RW },
              { ACT_ENTRY, INV_DOMAIN, SHADOW, 0x80400000, 2,
                PAGE | RW | SUPERPAGE,
                .maps = "40003000+1000>1801000:rw 80000000+1000>1801000:rw "
                        "80400000+200000>1000000:rw " }),
    }, {
        "superpage-joined_by-one-page_remaps",
        "a table becomes a 2-MiB page",
        BEFORE("40001000+1000>1801000:rw ",
               WRITE(0x40001000, PAGE2 | RW)),
        STEPS({ ACT_ENTRY, INV_NONE, SHADOW, 0x40000000, 2,
                PAGE | RW | SUPERPAGE },
              { ACT_NOTHING, INV_PAGE, SHADOW, 0x40080000,
                .maps = "40000000+200000>1000000:rw " }),
    }, {
        "superpage-joined-at-its-start_remaps",
        "a page becomes a 2-MiB page that starts alike",
        BEFORE("40000000+1000>1000000:rw ",
               WRITE(0x40000000, PAGE | RW)),
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0x40000000, 2,
                PAGE | RW | SUPERPAGE,
                .maps = "40000000+200000>1000000:rw " }),
    }, {
        "permissions_stack",
        "a table's permissions limit those of its pages",
        BEFORE(MAPS_ONE,
               WRITE(0x10000, PAGE | RW)),
        STEPS({ ACT_CLEAR, INV_PAGE, SHADOW, 0x10000, 3, W, 0,
                "10000+1000>1000000:r " },
              { ACT_CLEAR, INV_PAGE, SHADOW, 0x10000, 2, R, 0, "" }),
    }, {
        "pass-through_attaches-s2",
        "pass-through is guest memory, one to one",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, S2, DID << 8 | 2,
                .value = VTD_CONTEXT_TT_PASS_THROUGH | 1 },
              { ACT_CONTEXT, INV_CC_DEVICE, SHADOW, .maps = MAPS_ONE }),
    }, {
        "pass-through-not-advertised_blocks",
        "pass-through is one that the guest was not told of",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, BLOCKED, DID << 8 | 2,
                .value = VTD_CONTEXT_TT_PASS_THROUGH | 1 }),
        .message = "translation type that is not advertised; DMA blocked",
        .props = VTD_ACCEL_PROPS ",pt=off",
    }, {
        "table-exchanged_copies-anew",
        "a context entry that leads to another table of the same domain",
        STEPS({ ACT_NEW_TABLE, INV_CC_DEVICE, SHADOW, 0x20000, 1, PAGE2 | RW,
                .maps = "20000+1000>1801000:rw " }),
    }, {
        "root-reserved-bit_blocks",
        "the upper half of a root entry is reserved",
        STEPS({ ACT_ROOT_HIGH, INV_CC_DEVICE, BLOCKED, .value = 1 },
              { ACT_ROOT_HIGH, INV_CC_DEVICE, SHADOW, .maps = MAPS_ONE }),
        .message = "root entry has reserved bits set; DMA blocked",
    }, {
        "context-removed_blocks",
        "no context entry, no DMA; it comes back by a global invalidation",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, BLOCKED },
              { ACT_CONTEXT, INV_CC_GLOBAL, SHADOW, .maps = MAPS_ONE }),
    }, {
        "context-cached_until-invalidated",
        "the context entry is cached: its domain is still followed",
        STEPS({ ACT_CONTEXT_RAW, INV_NONE, SHADOW },
              { ACT_ENTRY, INV_DOMAIN, SHADOW, 0x10000, 1, 0, 0, "" },
              { ACT_NOTHING, INV_CC_DEVICE, BLOCKED }),
    }, {
        "context-reserved-bit_blocks",
        "reserved bits in a context entry",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, BLOCKED, 1 << 7 | 2,
                .value = 1 }),
        .message = "context entry has reserved bits set; DMA blocked",
    }, {
        "context-width_blocks",
        "an address width that is not advertised",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, BLOCKED, 3, .value = 1 }),
        .message = "address width that is not advertised; DMA blocked",
    }, {
        "context-type_blocks",
        "a translation type that is not advertised",
        STEPS({ ACT_CONTEXT_RAW, INV_CC_DEVICE, BLOCKED, 2,
                .value = VTD_CONTEXT_TT_DEV_IOTLB | 1 }),
        .message = "translation type that is not advertised; DMA blocked",
    }, {
        "translation-off_attaches-s2",
        "translation off is guest memory; on again copies",
        STEPS({ ACT_TE_OFF, INV_NONE, S2 },
              { ACT_TE_ON, INV_NONE, SHADOW, .maps = MAPS_ONE },
              { ACT_TE_OFF, INV_NONE, S2 }),
    }, {
        "scalable-and-back_follows",
        "to scalable mode and back, and once more",
        STEPS({ ACT_SCALABLE, INV_NONE, S1 },
              { ACT_LEGACY, INV_NONE, SHADOW, .maps = MAPS_ONE },
              { ACT_SCALABLE, INV_NONE, S1 },
              { ACT_LEGACY, INV_NONE, SHADOW },
              { ACT_ENTRY, INV_PAGE, SHADOW, 0x10000, 1, 0, 0, "" }),
    }, {
        "machine-reset_attaches-s2",
        "a reset of the machine goes back to guest memory",
        STEPS({ ACT_RESET, INV_NONE, S2 }),
    }, {
        "rom_read-only",
        "a ROM page is mapped without the permission to write",
        .pinned_again = 0x1000,
        BEFORE("10000+1000>?:r ",
               WRITE(0x10000, ROM | RW)),
    }, {
        "rom-write-only_unmapped",
        "a ROM page that may only be written is not mapped",
        BEFORE("",
               WRITE(0x10000, ROM | W)),
    }, {
        "mmio_unmapped",
        "device registers are no memory; the pages beside them are mapped",
        BEFORE("11000+1000>1000000:rw ",
               WRITE(0x10000, MMIO | RW),
               WRITE(0x11000, PAGE | RW),
               WRITE(0x12000, NOTHING | RW),
               WRITE(0x13000, INTERRUPTS | RW)),
    }, {
        "interrupt-range_unmapped",
        "addresses of interrupts are not translated, those beside them are",
        BEFORE("fedff000+1000>1000000:rw fef00000+1000>1801000:rw ",
               WRITE(0xfedff000, PAGE | RW),
               WRITE(0xfee00000, PAGE | RW),
               WRITE(0xfeeff000, PAGE | RW),
               WRITE(0xfef00000, PAGE2 | RW)),
    }, {
        "interrupt-range-in-superpage_left-out",
        "a 2-MiB page has a hole where the interrupts are",
        BEFORE("fef00000+100000>1100000:rw ",
               { 0xfee00000, 2, 0x1000000 | RW | SUPERPAGE }),
        STEPS({ ACT_ENTRY, INV_PAGE, SHADOW, 0xfee00000, 2, 0, 0, "" }),
    }, {
        "beyond-host-width_blocks",
        "an address that the host cannot translate blocks until it is gone",
        STEPS({ ACT_ENTRY, INV_PAGE, BLOCKED, 1ull << 47, 1, PAGE2 | RW },
              { ACT_ENTRY, INV_PAGE, SHADOW, 1ull << 47, 1, 0, 0, MAPS_ONE }),
        .message = "cannot map IOVA 0x800000000000-0x800000000fff",
    }, {
        "host-tracks-dirty_full-width",
        "a host that tracks dirty pages has second-stage tables of 48 bits",
        .ecap = HOST_ECAP | HOST_ECAP_SSADS,
        BEFORE("800000000000+1000>1000000:rw ",
               WRITE(1ull << 47, PAGE | RW)),
    }, {
        "entry-reserved-bit_unmapped",
        "reserved bits: hardware would not translate by these entries",
        BEFORE("12000+1000>1801000:rw ",
               { 0x40000000, 2, 0x1001000 | RW | SUPERPAGE },
               { 0x8000000000, 4, PAGE | RW | SUPERPAGE },
               WRITE(0x10000, PAGE | RW | 1ull << 51),
               WRITE(0x12000, PAGE2 | RW)),
    }, {
        "table-in-mmio_unmapped",
        "a table that is not in memory has nothing",
        BEFORE("12000+1000>1801000:rw ",
               WRITE(0x12000, PAGE2 | RW),
               { 0x40000000, 3, MMIO | RW },
               { 0x80000000, 3, NOTHING | RW }),
    },
};

static void act(VtdLegacy *l, const Step *step)
{
    VtdGuest *g = &l->t.guest;
    uint64_t pte;

    switch (step->act) {
    case ACT_NOTHING:
        break;
    case ACT_ENTRY:
        vtd_legacy_write_entry(l, step->iova, step->level, step->value);
        break;
    case ACT_CLEAR:
        pte = vtd_guest_pte(g, &l->table, step->iova, step->level);
        qtest_writeq(g->qts, pte, qtest_readq(g->qts, pte) & ~step->value);
        break;
    case ACT_CONTEXT:
        vtd_legacy_use_table(l, 0, DID);
        break;
    case ACT_CONTEXT_RAW:
        vtd_legacy_write_context(l, 0, step->value ?
                                 step->value | l->table.root : 0, step->iova);
        break;
    case ACT_NEW_TABLE:
        vtd_guest_add_table(g, &l->table);
        vtd_legacy_write_entry(l, step->iova, step->level, step->value);
        vtd_legacy_use_table(l, 0, DID);
        break;
    case ACT_ROOT_HIGH:
        qtest_writeq(g->qts, l->root + (fakehost_sid(0) >> 8) * 16 + 8,
                     step->value);
        break;
    case ACT_LEGACY:
        vtd_legacy_enter(l);
        break;
    case ACT_SCALABLE:
        vtd_guest_set_root(g, g->root, true);
        break;
    case ACT_TE_OFF:
        vtd_guest_set_translation(g, false);
        break;
    case ACT_TE_ON:
        vtd_guest_set_translation(g, true);
        break;
    case ACT_RESET:
        fakehost_reset(l->t.host);
        break;
    }
}

static void invalidate(VtdLegacy *l, const Step *step)
{
    VtdGuest *g = &l->t.guest;
    uint64_t mask = 0xfffull << step->am | ((0x1000ull << step->am) - 1);

    switch (step->inv) {
    case INV_NONE:
        return;
    case INV_PAGE:
        g_assert_cmpuint(step->am, <=, VTD_MAMV);
        vtd_guest_post_iotlb(g, 3, DID, step->iova & ~(mask & ~0xfffull),
                             step->am);
        break;
    case INV_DOMAIN:
        vtd_guest_post_iotlb(g, 2, DID, 0, 0);
        break;
    case INV_OTHER_DOMAIN:
        vtd_guest_post_iotlb(g, 2, OTHER_DID, 0, 0);
        break;
    case INV_GLOBAL:
        vtd_guest_post_iotlb(g, 1, 0, 0, 0);
        break;
    case INV_CC_DEVICE:
        vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(0));
        break;
    case INV_CC_GLOBAL:
        vtd_guest_post_cc(g, VTD_CC_GLOBAL, 0, 0);
        break;
    case INV_IOTLB_REG:
        vtd_guest_invalidate(g, DMAR_IOTLB_REG, VTD_TLB_GLOBAL_FLUSH);
        return;
    }
    vtd_guest_sync(g);
}

static void check(VtdLegacy *l, VtdLegacyState state, const char *maps,
                  uint64_t pinned_again)
{
    if (vtd_legacy_state(l, 0) != state) {
        g_autofree char *err = fakehost_err_since(l->t.host, 0);

        g_test_message("%s", err);
    }
    g_assert_cmpint(vtd_legacy_state(l, 0), ==, state);
    if (state == SHADOW) {
        expect_maps(l, 0, maps);
        g_assert_cmphex(vtd_legacy_pinned_again(l, 0), ==, pinned_again);
    }
    vtd_accel_expect_s1_hwpts(&l->t, state == S1);
    /* VFIO's, and the vIOMMU's own */
    g_assert_cmpuint(fakehost_objects(l->t.host, FAKEHOST_OBJ_IOAS), ==,
                     1 + (state == SHADOW));
    g_assert_cmpuint(fakehost_objects(l->t.host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     1 + (state == SHADOW));
}

/* Into legacy mode, from translation off */
static void enter(VtdLegacy *l, const Case *c)
{
    for (unsigned i = 0; c->before[i].level; i++) {
        vtd_legacy_write_entry(l, c->before[i].iova, c->before[i].level,
                               c->before[i].value);
    }
    if (!c->entered) {
        vtd_legacy_write_entry(l, 0x10000, 1, PAGE | RW);
    }
    vtd_legacy_use_table(l, 0, DID);
    check(l, S2, NULL, 0);
    vtd_legacy_enter(l);
    check(l, SHADOW, c->entered ?: MAPS_ONE, c->pinned_again);
}

static uint64_t rebuilds(VtdLegacy *l)
{
    return fakehost_calls(l->t.host, "IOMMU_HWPT_ALLOC") +
           fakehost_calls(l->t.host, "VFIO_DEVICE_DETACH_IOMMUFD_PT");
}

static bool only_table(const Step *step)
{
    return (step->act == ACT_NOTHING || step->act == ACT_ENTRY ||
            step->act == ACT_CLEAR) && step->inv != INV_CC_DEVICE &&
           step->inv != INV_CC_GLOBAL;
}

static void run_case(const void *data)
{
    const Case *c = data;
    VtdAccelSetup setup = {
        .devices = 1, .ecap = c->ecap, .iommu_props = c->props,
    };
    VtdPasidEntry fs = vtd_accel_fs_entry(DID);
    const char *maps = c->entered ?: MAPS_ONE;
    VtdLegacyState was = SHADOW;
    VtdLegacy l = { 0 };
    uint64_t dir;

    g_test_message("%s", c->what);
    if (!vtd_legacy_start(&l, &setup, c->levels ?: 4)) {
        return;
    }
    dir = vtd_guest_add_context(&l.t.guest, fakehost_sid(0), 0);
    vtd_guest_write_pasid(&l.t.guest, dir, 0, &fs);
    enter(&l, c);
    for (unsigned i = 0; i < c->num; i++) {
        const Step *step = &c->steps[i];
        uint64_t calls = fakehost_total_calls(l.t.host);
        uint64_t rebuilt = rebuilds(&l);

        g_test_message("step %u", i);
        act(&l, step);
        invalidate(&l, step);
        check(&l, step->state, step->maps ?: maps, c->pinned_again);
        if (was == SHADOW && step->state == SHADOW && only_table(step)) {
            /* The device is not blocked in order to follow it */
            g_assert_cmpuint(rebuilds(&l), ==, rebuilt);
        }
        was = step->state;
        if (step->state == SHADOW && !step->maps &&
            step->act != ACT_LEGACY) {
            g_assert_cmpuint(fakehost_total_calls(l.t.host), ==, calls);
        }
        maps = step->maps ?: maps;
    }
    if (c->message) {
        g_assert_cmpuint(fakehost_err_lines(l.t.host, 0, c->message), ==, 1);
    }
    fakehost_unplug(l.t.host, 0);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* The context table has 256 entries: not only those of the first devices */
static void test_upper_device(void)
{
    static const char *const cold[] = { "addr=0x18", NULL };
    VtdAccelSetup setup = { .cold = cold };
    VtdLegacy l = { 0 };
    QTestState *qts;
    uint64_t contexts;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    qts = l.t.guest.qts;
    vtd_legacy_write_entry(&l, 0x10000, 1, PAGE | RW);
    contexts = vtd_guest_alloc(&l.t.guest);
    qtest_writeq(qts, l.root, contexts | 1);
    qtest_writeq(qts, contexts + PCI_DEVFN(0x18, 0) * 16 + 8, DID << 8 | 2);
    qtest_writeq(qts, contexts + PCI_DEVFN(0x18, 0) * 16,
                 l.table.root | VTD_CONTEXT_TT_MULTI_LEVEL | 1);
    vtd_legacy_enter(&l);
    check(&l, SHADOW, MAPS_ONE, 0);
    fakehost_free(l.t.host);
}

/* The most memory that QEMU has had, in KiB */
static uint64_t peak_of(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(qts));
    g_autofree char *text = NULL;
    const char *line;
    uint64_t kib;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, "VmHWM:");
    g_assert_nonnull(line);
    kib = g_ascii_strtoull(line + strlen("VmHWM:"), NULL, 10);
    g_assert_cmpuint(kib, >, 0);
    return kib;
}

/*
 * A copy takes several pieces of work. By a register, which waits for nothing,
 * the guest has it begun anew each time: what there was of it does not pile up.
 */
static void test_begun_anew(void)
{
    VtdAccelSetup setup = { .devices = 1, .no_log = true };
    VtdLegacy l = { 0 };
    uint64_t entries[512], peak = 0;
    VtdGuest *g;

#ifdef QEMU_SANITIZE_ADDRESS
    g_test_skip("ASan keeps what is freed for a while");
    return;
#endif
    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    g = &l.t.guest;
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        entries[i] = PAGE | RW;
    }
    for (unsigned i = 0; i < 32; i++) {
        qtest_memwrite(g->qts, vtd_guest_pte(g, &l.table, 0x40000000 +
                                             i * 0x200000, 1),
                       entries, sizeof(entries));
    }
    vtd_legacy_use_table(&l, 0, DID);
    vtd_legacy_enter(&l);
    vtd_legacy_flush(&l);
    g_assert_cmpuint(l.t.host->page->areas, >, 32 * ARRAY_SIZE(entries));
    for (unsigned i = 0; i < 120; i++) {
        vtd_legacy_use_table(&l, 0, i % 2 ? DID : OTHER_DID);
        vtd_guest_writel(g, DMAR_GCMD_REG,
                         VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GCMD_SRTP);
        peak = i == 20 ? peak_of(g->qts) : peak;
    }
    g_test_message("%" PRIu64 " KiB, then %" PRIu64, peak, peak_of(g->qts));
    g_assert_cmpuint(peak_of(g->qts), <, peak + 16 * 1024);
    vtd_legacy_flush(&l);
    QTEST_AWAIT(l.t.host->page->areas > 32 * ARRAY_SIZE(entries));
    fakehost_free(l.t.host);
}

/* --- memory that goes while a copy maps it --- */

#define DISPLAY_BDF     (0x10 << 3)
#define DISPLAY_BAR     0xd0000000ull
#define UNMAP           "IOMMU_IOAS_UNMAP"
#define PAM_F0000       0x90            /* of the host bridge */
#define MANY_TABLES     32              /* of 512 entries */

/* A display's memory comes and goes with its BAR */
static void put_display(VtdLegacy *l, unsigned n, uint64_t bar)
{
    uint16_t bdf = DISPLAY_BDF + (n << 3);

    fakehost_cfg_writew(l->t.host, bdf, PCI_COMMAND, 0);
    if (bar) {
        fakehost_cfg_writel(l->t.host, bdf, PCI_BASE_ADDRESS_0, bar);
        fakehost_cfg_writew(l->t.host, bdf, PCI_COMMAND, PCI_COMMAND_MEMORY);
    }
}

static void move_display(VtdLegacy *l, uint64_t bar)
{
    put_display(l, 0, bar);
}

/* Two devices, with a copy each; one entry is the display's */
static bool start_display(VtdLegacy *l)
{
    VtdAccelSetup setup = {
        .devices = 2, .args = "-device bochs-display,addr=0x10 ",
    };

    if (!vtd_legacy_start(l, &setup, 4)) {
        return false;
    }
    move_display(l, DISPLAY_BAR);
    vtd_legacy_write_entry(l, 0x10000, 1, PAGE | RW);
    vtd_legacy_write_entry(l, 0x11000, 1, (DISPLAY_BAR + 0x1000) | RW);
    vtd_legacy_write_entry(l, 0x12000, 1, PAGE2 | RW);
    vtd_legacy_use_table(l, 0, DID);
    vtd_legacy_use_table(l, 1, OTHER_DID);
    vtd_legacy_enter(l);
    for (unsigned i = 0; i < 2; i++) {
        expect_maps(l, i, "10000+1000>1000000:rw 11000+1000>?:rw "
                    "12000+1000>1801000:rw ");
    }
    return true;
}

#define WITHOUT_DISPLAY "10000+1000>1000000:rw 12000+1000>1801000:rw "

/* The guest has said nothing: its entries still lead there */
static void test_memory_gone(void)
{
    uint64_t rebuilt, unmaps;
    uint32_t areas;
    VtdLegacy l = { 0 };

    if (!start_display(&l)) {
        return;
    }
    areas = l.t.host->page->areas;
    rebuilt = rebuilds(&l);
    unmaps = fakehost_calls(l.t.host, UNMAP);
    move_display(&l, 0);
    /* Of each copy, and VFIO's */
    FAKEHOST_AWAIT(l.t.host, l.t.host->page->areas == areas - 3);
    for (unsigned i = 0; i < 2; i++) {
        expect_maps(&l, i, WITHOUT_DISPLAY);
        g_assert_cmpint(vtd_legacy_state(&l, i), ==, SHADOW);
    }
    /* What did not go stays mapped, and the devices are not blocked */
    g_assert_cmpuint(fakehost_calls(l.t.host, UNMAP), ==, unmaps + 3);
    g_assert_cmpuint(rebuilds(&l), ==, rebuilt);

    /* Once it is back, an invalidation finds it */
    move_display(&l, DISPLAY_BAR);
    vtd_legacy_flush(&l);
    expect_maps(&l, 1, "10000+1000>1000000:rw 11000+1000>?:rw "
                "12000+1000>1801000:rw ");
    fakehost_unplug(l.t.host, 0);
    fakehost_unplug(l.t.host, 1);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* A host that refuses has the copy replaced, or the device is blocked */
static void test_memory_gone_refused(const void *data)
{
    bool none = data != NULL;
    VtdLegacy l = { 0 };
    uint32_t areas;
    size_t mark;

    if (!start_display(&l)) {
        return;
    }
    areas = l.t.host->page->areas;
    mark = fakehost_err_mark(l.t.host);
    /* The first one is VFIO's */
    fakehost_fail(l.t.host, UNMAP, 2, 0, EBUSY, 0);
    if (none) {
        fakehost_fail(l.t.host, "HWPT_ALLOC", 1, 0, ENOMEM, 0);
    }
    move_display(&l, 0);
    FAKEHOST_AWAIT(l.t.host, l.t.host->page->areas ==
                   areas - (none ? 7 : 3));
    fakehost_clear_rules(l.t.host);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(vtd_legacy_state(&l, i), ==, none ? BLOCKED : SHADOW);
        if (!none) {
            expect_maps(&l, i, WITHOUT_DISPLAY);
        }
    }
    g_assert_cmpuint(fakehost_err_lines(l.t.host, mark, "DMA blocked"), ==,
                     none ? 2 : 0);
    vtd_legacy_flush(&l);
    for (unsigned i = 0; i < 2; i++) {
        expect_maps(&l, i, WITHOUT_DISPLAY);
    }
    fakehost_unplug(l.t.host, 0);
    fakehost_unplug(l.t.host, 1);
    fakehost_expect_empty(l.t.host);
    fakehost_free(l.t.host);
}

/* What is below 1 MiB: memory (0x30), memory that is read-only (0x10) */
static void write_pam(VtdLegacy *l, uint8_t value)
{
    qtest_outl(l->t.host->qts, 0xcf8, 1u << 31 | PAM_F0000);
    qtest_outb(l->t.host->qts, 0xcfc, value);
}

/*
 * Memory goes while it is looked for what leads to other memory that has gone:
 * behind the place where the search is, and before it.  Of three copies one is
 * not there any more.
 */
static void test_memory_gone_meanwhile(void)
{
    VtdAccelSetup setup = {
        .devices = 3, .no_log = true,
        .args = "-m 512M -device bochs-display,addr=0x10 "
                "-device bochs-display,addr=0x11 ",
    };
    const uint64_t other = DISPLAY_BAR + 0x4000000;
    VtdLegacy l = { 0 };
    uint64_t entries[512];
    uint32_t areas, many = MANY_TABLES * ARRAY_SIZE(entries);

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    put_display(&l, 0, DISPLAY_BAR);
    put_display(&l, 1, other);
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        entries[i] = DISPLAY_BAR | RW;
    }
    for (unsigned i = 0; i < MANY_TABLES; i++) {
        qtest_memwrite(l.t.guest.qts,
                       vtd_guest_pte(&l.t.guest, &l.table, 0x40000000 +
                                     i * 0x200000ull, 1),
                       entries, sizeof(entries));
    }
    vtd_legacy_write_entry(&l, 0x10000000, 1, other | RW);
    vtd_legacy_write_entry(&l, 0x10001000, 1, PAGE | RW);
    vtd_legacy_write_entry(&l, 0x80000000, 1, other | RW);
    for (unsigned i = 0; i < setup.devices; i++) {
        vtd_legacy_use_table(&l, i, DID + i);
    }
    vtd_legacy_enter(&l);
    vtd_legacy_flush(&l);
    areas = l.t.host->page->areas - many - 3;
    g_assert_cmpuint(areas, >, 2 * many);
    vtd_legacy_write_context(&l, 1, 0, 0);
    vtd_guest_post_cc(&l.t.guest, VTD_CC_DEVICE, 0, fakehost_sid(1));
    /* Its end comes after that of what QEMU had for the copy */
    vtd_legacy_flush(&l);
    g_assert_cmpuint(l.t.host->page->areas, ==, areas);
    put_display(&l, 0, 0);
    QTEST_AWAIT(l.t.host->page->areas < areas - many / 8);
    put_display(&l, 1, 0);
    g_test_message("%u of %u areas were left", l.t.host->page->areas, areas);
    /* Of both copies, and of VFIO */
    areas -= 2 * (many + 2) + 2;
    QTEST_AWAIT(l.t.host->page->areas == areas);
    fakehost_settle(l.t.host);
    g_assert_cmpuint(l.t.host->page->areas, ==, areas);
    fakehost_unplug(l.t.host, 0);
    fakehost_unplug(l.t.host, 2);
    fakehost_free(l.t.host);
}

/* Of more ranges than are kept apart, none that stays between them is lost */
static void test_memory_gone_widely(void)
{
    enum { DISPLAYS = 8 };
    g_autoptr(GString) args = g_string_new("");
    VtdAccelSetup setup = { .devices = 1 };
    uint64_t maps, unmaps;
    VtdLegacy l = { 0 };

    for (unsigned i = 0; i < DISPLAYS; i++) {
        g_string_append_printf(args, "-device bochs-display,addr=0x%x ",
                               0x10 + i);
    }
    setup.args = args->str;
    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    write_pam(&l, 0x30);
    for (unsigned i = 0; i < DISPLAYS; i++) {
        put_display(&l, i, DISPLAY_BAR + i * 0x4000000);
    }
    vtd_legacy_write_entry(&l, 0x10000, 1, PAGE | RW);
    vtd_legacy_write_entry(&l, 0x11000, 1, DISPLAY_BAR | RW);
    vtd_legacy_use_table(&l, 0, DID);
    vtd_legacy_enter(&l);
    expect_maps(&l, 0, "10000+1000>1000000:rw 11000+1000>?:rw ");
    maps = fakehost_calls(l.t.host, "IOMMU_IOAS_COPY");

    qtest_qmp_assert_success(l.t.host->qts, "{ 'execute': 'stop' }");
    for (unsigned i = 0; i < DISPLAYS; i++) {
        put_display(&l, i, 0);
    }
    write_pam(&l, 0x10);
    unmaps = fakehost_calls(l.t.host, UNMAP);
    qtest_qmp_assert_success(l.t.host->qts, "{ 'execute': 'cont' }");
    FAKEHOST_AWAIT(l.t.host, fakehost_calls(l.t.host, UNMAP) > unmaps);
    fakehost_settle(l.t.host);
    expect_maps(&l, 0, "10000+1000>1000000:rw ");
    g_assert_cmpuint(fakehost_calls(l.t.host, UNMAP), ==, unmaps + 1);
    g_assert_cmpuint(fakehost_calls(l.t.host, "IOMMU_IOAS_COPY"), ==, maps);
    fakehost_free(l.t.host);
}

/* What a superpage has of it goes, what replaces it comes, the rest stays */
static void test_memory_changed(void)
{
    VtdAccelSetup setup = { .devices = 1 };
    g_autofree char *before = NULL, *after = NULL, *locked = NULL;
    uint64_t rebuilt;
    VtdLegacy l = { 0 };

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    vtd_legacy_write_entry(&l, 0x40000000, 2, RW | SUPERPAGE);
    vtd_legacy_write_entry(&l, 0x40200000, 1, PAGE | RW);
    vtd_legacy_use_table(&l, 0, DID);
    vtd_legacy_enter(&l);
    before = vtd_legacy_mappings(&l, 0);
    g_assert_null(strstr(before, "400e0000+120000>e0000:rw "));
    rebuilt = rebuilds(&l);
    write_pam(&l, 0x30);
    fakehost_settle(l.t.host);
    after = vtd_legacy_mappings(&l, 0);
    g_test_message("%s; %s", before, after);
    fakehost_expect_text(after, "400e0000+120000>e0000:rw ");
    fakehost_expect_text(after, "40200000+1000>1000000:rw ");

    /* It is the same memory, but must not be written */
    write_pam(&l, 0x10);
    fakehost_settle(l.t.host);
    locked = vtd_legacy_mappings(&l, 0);
    fakehost_expect_text(locked, "400f0000+10000>f0000:r ");
    g_assert_cmpuint(rebuilds(&l), ==, rebuilt);
    fakehost_free(l.t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/vtd-accel/legacy", cases, run_case);
    qtest_add_func("/vtd-accel/legacy/begun-anew_bounded", test_begun_anew);
    qtest_add_func("/vtd-accel/legacy/upper-device_copies", test_upper_device);
    qtest_add_func("/vtd-accel/legacy/memory-gone_unmaps", test_memory_gone);
    qtest_add_data_func("/vtd-accel/legacy/memory-gone_unmap-refused_copied",
                        NULL, test_memory_gone_refused);
    qtest_add_data_func("/vtd-accel/legacy/memory-gone_no-copy_blocked",
                        "none", test_memory_gone_refused);
    qtest_add_func("/vtd-accel/legacy/memory-gone-meanwhile_unmaps",
                   test_memory_gone_meanwhile);
    qtest_add_func("/vtd-accel/legacy/memory-gone-widely_only-that",
                   test_memory_gone_widely);
    qtest_add_func("/vtd-accel/legacy/memory-changed_remaps",
                   test_memory_changed);
    return g_test_run();
}
