/*
 * Intel VT-d: copies of a guest's second-level tables
 *
 * The host IOMMU cannot walk second-level tables of a guest.  They are copied,
 * entry by entry, into an IOAS that belongs to the vIOMMU.  The IOAS and
 * address space of the device's owner show guest memory one to one and stay
 * what they are, for pass-through and for first-stage tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "exec/address-spaces.h"
#include "hw/boards.h"
#include "migration/blocker.h"
#include "system/iommufd.h"
#include "intel_iommu_accel_legacy_tables.h"
#include "intel_iommu_accel_shadow.h"
#include "trace.h"

/*
 * Work that one update may cause, for each page that a shadow may map: to read
 * and look up the entry, to unmap and to map.  Small guests get some more.
 */
#define VTD_ACCEL_PAGE_WORK     (4 + 2 * VTD_ACCEL_IOCTL_WORK)
#define VTD_ACCEL_PAGES_MIN     (32 * KiB)

/* What it costs to have one of many mappings unmapped and to forget it */
#define VTD_ACCEL_FORGET_WORK   8

/* What is in the IOAS for a leaf entry of the guest */
typedef struct VTDAccelMapping {
    IntervalTreeNode node;  /* of VTDAccelShadow::mappings, by IOVA */
    uint64_t gpa;
    uint64_t mapped;        /* bytes: the part of it that is memory */
    uint8_t perm;
} VTDAccelMapping;

/* A walk that brings a shadow in line with the guest's tables */
typedef struct VTDAccelUpdate {
    VTDAccelLegacyWalk walk;
    VTDAccelShadowTable *t;
    VTDAccelShadow *shadow;
    bool paused;            /* it is time for the main loop */
    bool again;             /* a mapping was cut: go on from where it began */
} VTDAccelUpdate;

/*
 * The IOAS
 */

/* The first mapping in a range, bounds included */
static VTDAccelMapping *vtd_accel_mapping_find(VTDAccelShadow *shadow,
                                               uint64_t iova, uint64_t last)
{
    IntervalTreeNode *node = interval_tree_iter_first(&shadow->mappings, iova,
                                                      last);

    return node ? container_of(node, VTDAccelMapping, node) : NULL;
}

static void vtd_accel_mapping_forget(VTDAccelShadowTable *t,
                                     VTDAccelShadow *shadow,
                                     VTDAccelMapping *m)
{
    vtd_accel_spend(&t->s->accel->work, VTD_ACCEL_FORGET_WORK);
    shadow->mapped -= m->mapped;
    interval_tree_remove(&m->node, &shadow->mappings);
    g_free(m);
}

/* Free a mapping of a shadow that is gone, or one that has none left */
static void vtd_accel_shadow_free_one(VTDAccelShadowTable *t)
{
    VTDAccelShadow *shadow = QTAILQ_FIRST(&t->dead);
    VTDAccelMapping *m;

    if (!shadow) {
        return;
    }
    m = vtd_accel_mapping_find(shadow, 0, UINT64_MAX);
    if (m) {
        vtd_accel_mapping_forget(t, shadow, m);
    } else {
        QTAILQ_REMOVE(&t->dead, shadow, next);
        g_free(shadow);
    }
}

/*
 * Before something is allocated, free two of what is gone: a guest that has
 * copies begun anew before they are complete could pile them up otherwise.
 */
static void vtd_accel_shadow_make_room(VTDAccelShadowTable *t)
{
    vtd_accel_shadow_free_one(t);
    vtd_accel_shadow_free_one(t);
}

static void G_GNUC_PRINTF(2, 3) vtd_accel_shadow_fail(VTDAccelShadow *shadow,
                                                      const char *fmt, ...)
{
    g_autofree char *msg = NULL;
    va_list ap;

    if (shadow->failure) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(&shadow->failure, "cannot shadow second-level tables: %s", msg);
    shadow->hwpt.stale = true;
}

/* The work that an update may cause in all its pieces is limited, too */
static bool vtd_accel_shadow_charge(VTDAccelUpdate *u, unsigned int work)
{
    if (u->shadow->work_left < work) {
        vtd_accel_shadow_fail(u->shadow, "second-level tables at 0x%" PRIx64
                              " take too much work",
                              u->shadow->hwpt.key.pgtbl_addr);
        return false;
    }
    u->shadow->work_left -= work;
    return true;
}

static bool vtd_accel_shadow_spend(VTDAccelUpdate *u, unsigned int work)
{
    vtd_accel_spend(&u->t->s->accel->work, work);
    return vtd_accel_shadow_charge(u, work);
}

/* Is it time for the main loop?  Then the walk will go on at @iova. */
static bool vtd_accel_shadow_pause(VTDAccelUpdate *u, uint64_t iova)
{
    u->shadow->walk_iova = iova;
    u->paused = vtd_accel_must_yield(&u->t->s->accel->work);
    return u->paused;
}

/* Count a call that maps or unmaps memory */
static void vtd_accel_shadow_count(VTDAccelShadowTable *t, int ret)
{
    VTDAccelLegacy *legacy = t->s->accel->legacy;

    legacy->calls++;
    legacy->refused += !!ret;
}

/* Unmap a range that no mapping crosses the bounds of */
static bool vtd_accel_shadow_unmap(VTDAccelUpdate *u, uint64_t iova,
                                   uint64_t last)
{
    VTDAccelShadow *shadow = u->shadow;
    int ret;

    if (!vtd_accel_shadow_spend(u, VTD_ACCEL_IOCTL_WORK)) {
        return false;
    }
    ret = iommufd_backend_unmap_dma(shadow->hwpt.key.iommufd, shadow->ioas_id,
                                    iova, last - iova + 1);
    vtd_accel_shadow_count(u->t, ret);
    if (ret) {
        vtd_accel_shadow_fail(shadow, "cannot unmap IOVA 0x%" PRIx64 "-0x%"
                              PRIx64 ": %s", iova, last, strerror(-ret));
    }
    return !ret;
}

/*
 * Unmap what is not in line, up to @last.  Mappings go as a whole: what is left
 * of one that crosses a bound is to be mapped anew, and false is returned with
 * @u->again set, as the guest's tables have to be walked from its start on.
 * False and @u->paused: there is more than one piece can do.
 */
static bool vtd_accel_shadow_clear(VTDAccelUpdate *u, uint64_t last)
{
    VTDAccelShadow *shadow = u->shadow;
    uint64_t first = shadow->done_iova, start, end;
    VTDAccelMapping *m = vtd_accel_mapping_find(shadow, first, last);

    if (!m) {
        return true;
    }
    start = m->node.start;
    do {
        end = m->node.last;
        vtd_accel_mapping_forget(u->t, shadow, m);
        m = vtd_accel_mapping_find(shadow, first, last);
    } while (m && !vtd_accel_must_yield(&u->t->s->accel->work));

    if (!vtd_accel_shadow_unmap(u, start, end)) {
        return false;
    }
    if (start < first || end > last) {
        shadow->walk_iova = shadow->done_iova = start;
        shadow->walk_last = MAX(shadow->walk_last, end);
        u->again = true;
    } else if (m) {
        shadow->done_iova = end + 1;
        u->paused = true;
    }
    return !u->again && !u->paused;
}

/* Can a device use this part of the guest's address space as memory? */
static bool vtd_accel_shadow_is_memory(MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;
    RamDiscardManager *rdm;

    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr) ||
        memory_region_is_protected(mr)) {
        return false;
    }
    rdm = memory_region_get_ram_discard_manager(mr);
    return !rdm || ram_discard_manager_is_populated(rdm, section);
}

/*
 * Map a piece of guest memory.  It is copied from the IOAS that has all of it,
 * so that it is neither pinned nor accounted once more.  What is not there,
 * read-only memory on some hosts, is mapped by itself.
 */
static int vtd_accel_shadow_map_memory(VTDAccelUpdate *u, uint64_t iova,
                                       MemoryRegionSection *section,
                                       uint8_t *ptr, bool readonly)
{
    const VTDAccelKey *key = &u->shadow->hwpt.key;
    uint64_t size = int128_get64(section->size);
    int ret = iommufd_backend_copy_dma(key->iommufd, key->guest_ram_id,
                                       section->offset_within_address_space,
                                       u->shadow->ioas_id, iova, size,
                                       readonly);

    /* Not to be there is no refusal */
    vtd_accel_shadow_count(u->t, ret == -ENOENT ? 0 : ret);
    if (ret == -ENOENT) {
        ret = iommufd_backend_map_dma(key->iommufd, u->shadow->ioas_id, iova,
                                      size, ptr, readonly);
        vtd_accel_shadow_count(u->t, ret);
    }
    return ret;
}

/* Map what is behind one section of guest memory */
static bool vtd_accel_shadow_map_section(VTDAccelUpdate *u, uint64_t iova,
                                         MemoryRegionSection *section,
                                         VTDAccelMapping *m)
{
    VTDAccelShadow *shadow = u->shadow;
    uint64_t size = int128_get64(section->size);
    bool readonly = section->readonly || !(m->perm & VTD_SL_W);
    uint8_t *ptr;
    int ret;

    if (!vtd_accel_shadow_is_memory(section) ||
        (readonly && !(m->perm & VTD_SL_R))) {
        trace_vtd_accel_shadow_skip(iova, section->offset_within_address_space,
                                    size, memory_region_name(section->mr));
        return true;
    }
    ptr = memory_region_get_ram_ptr(section->mr) +
          section->offset_within_region;
    if (!QEMU_PTR_IS_ALIGNED(ptr, VTD_PAGE_SIZE)) {
        return true;
    }

    if (size > u->t->limit - shadow->mapped - m->mapped) {
        vtd_accel_shadow_fail(shadow, "second-level tables at 0x%" PRIx64
                              " map more memory than the guest has",
                              shadow->hwpt.key.pgtbl_addr);
        return false;
    }
    if (!vtd_accel_shadow_spend(u, VTD_ACCEL_IOCTL_WORK)) {
        return false;
    }
    ret = vtd_accel_shadow_map_memory(u, iova, section, ptr, readonly);
    if (ret) {
        vtd_accel_shadow_fail(shadow, "cannot map IOVA 0x%" PRIx64 "-0x%" PRIx64
                              " to guest memory at 0x%" PRIx64 ": %s", iova,
                              iova + size - 1,
                              section->offset_within_address_space,
                              strerror(-ret));
        return false;
    }
    m->mapped += size;
    return true;
}

/*
 * Map the first section of memory in the part of @m from *@iova to @last, and
 * move *@iova behind it.
 */
static bool vtd_accel_shadow_map_range(VTDAccelUpdate *u, VTDAccelMapping *m,
                                       uint64_t *iova, uint64_t last)
{
    uint64_t gpa = m->gpa + (*iova - m->node.start);
    MemoryRegionSection section;
    uint64_t start, end, skip;
    bool ok = true;

    if (!vtd_accel_shadow_spend(u, 1)) {
        return false;
    }
    section = memory_region_find(get_system_memory(), gpa, last - *iova + 1);
    if (!section.mr) {
        *iova = last + 1;
        return true;
    }

    /* Only whole pages can be mapped */
    start = section.offset_within_address_space - gpa;
    end = start + int128_get64(section.size);
    skip = ROUND_UP(start, VTD_PAGE_SIZE) - start;
    if (start + skip < ROUND_DOWN(end, VTD_PAGE_SIZE)) {
        section.offset_within_address_space += skip;
        section.offset_within_region += skip;
        section.size = int128_make64(ROUND_DOWN(end, VTD_PAGE_SIZE) -
                                     (start + skip));
        ok = vtd_accel_shadow_map_section(u, *iova + start + skip, &section,
                                          m);
    }
    memory_region_unref(section.mr);
    *iova += ROUND_UP(end, VTD_PAGE_SIZE);
    return ok;
}

/*
 * Map the part of a leaf entry that is memory.  The rest, and the addresses of
 * interrupts (VT-d 3.14), stay unmapped: DMA to them fails.
 */
static bool vtd_accel_shadow_map(VTDAccelUpdate *u, VTDAccelMapping *m)
{
    uint64_t iova = m->node.start;

    while (iova <= m->node.last) {
        uint64_t last = m->node.last;

        if (iova >= VTD_INTERRUPT_ADDR_FIRST &&
            iova <= VTD_INTERRUPT_ADDR_LAST) {
            iova = VTD_INTERRUPT_ADDR_LAST + 1;
            continue;
        }
        if (iova < VTD_INTERRUPT_ADDR_FIRST) {
            last = MIN(last, VTD_INTERRUPT_ADDR_FIRST - 1);
        }
        if (!vtd_accel_shadow_map_range(u, m, &iova, last)) {
            return false;
        }
    }
    return true;
}

/*
 * Updates
 */

static bool vtd_accel_shadow_table_fn(VTDAccelLegacyWalk *walk, uint64_t iova,
                                      unsigned int work)
{
    VTDAccelUpdate *u = container_of(walk, VTDAccelUpdate, walk);

    return !vtd_accel_shadow_pause(u, iova) && vtd_accel_shadow_charge(u, work);
}

static bool vtd_accel_shadow_leaf_fn(VTDAccelLegacyWalk *walk,
                                     const VTDAccelLeaf *leaf)
{
    VTDAccelUpdate *u = container_of(walk, VTDAccelUpdate, walk);
    VTDAccelShadow *shadow = u->shadow;
    uint64_t iova = leaf->iova;
    VTDAccelMapping *old = vtd_accel_mapping_find(shadow, iova, leaf->last);
    bool same = old && old->node.start == iova &&
                old->node.last == leaf->last && old->gpa == leaf->gpa &&
                old->perm == leaf->perm;
    VTDAccelMapping m = {
        .node = { .start = iova, .last = leaf->last },
        .gpa = leaf->gpa,
        .perm = leaf->perm,
    };

    if (vtd_accel_shadow_pause(u, iova) || !vtd_accel_shadow_spend(u, 1)) {
        return false;
    }
    shadow->done_iova = MIN(shadow->done_iova, iova);
    if ((!same || shadow->done_iova < iova) &&
        !vtd_accel_shadow_clear(u, same ? iova - 1 : leaf->last)) {
        return false;
    }
    shadow->done_iova = leaf->last + 1;
    if (same) {
        return true;
    }
    if (!vtd_accel_shadow_map(u, &m)) {
        return false;
    }
    if (m.mapped) {
        VTDAccelMapping *kept;

        vtd_accel_shadow_make_room(u->t);
        kept = g_memdup2(&m, sizeof(m));
        shadow->mapped += m.mapped;
        interval_tree_insert(&kept->node, &shadow->mappings);
        u->t->s->accel->legacy->entries++;
    }
    return true;
}

/* Go on with an update.  False if it is paused. */
static bool vtd_accel_shadow_run(VTDAccelShadowTable *t, VTDAccelShadow *shadow)
{
    VTDAccelUpdate u = {
        .walk = {
            .s = t->s,
            .table = vtd_accel_shadow_table_fn,
            .leaf = vtd_accel_shadow_leaf_fn,
        },
        .t = t,
        .shadow = shadow,
    };

    do {
        u.again = false;
        if (vtd_accel_legacy_walk(&u.walk, shadow->hwpt.key.pgtbl_addr,
                                  shadow->hwpt.key.levels, shadow->walk_iova,
                                  shadow->walk_last, VTD_SL_RW_MASK) &&
            shadow->done_iova <= shadow->walk_last) {
            vtd_accel_shadow_clear(&u, shadow->walk_last);
        }
    } while (u.again);
    if (u.paused || shadow->failure) {
        t->s->accel->legacy->unfinished = true;
    }
    if (u.paused) {
        return false;
    }
    shadow->updating = false;
    shadow->complete |= !shadow->failure;
    return true;
}

/*
 * Begin to update the range from @start to @last, or add it to what is being
 * updated.  False if there is nothing to do.
 */
static bool vtd_accel_shadow_begin(VTDAccelShadowTable *t,
                                   VTDAccelShadow *shadow, uint64_t start,
                                   uint64_t last)
{
    unsigned int bits = VTD_PAGE_SHIFT +
                        shadow->hwpt.key.levels * VTD_LEVEL_BITS;
    uint64_t limit = (1ULL << MIN(bits, t->s->aw_bits)) - 1;
    VTDAccelMapping *m;

    if (start > limit || shadow->failure) {
        t->s->accel->legacy->unfinished |= !!shadow->failure;
        return false;
    }
    last = MIN(last, limit);

    /* A superpage is invalidated as a whole by any of its addresses */
    m = vtd_accel_mapping_find(shadow, start, start);
    if (m) {
        start = m->node.start;
    }
    m = vtd_accel_mapping_find(shadow, last, last);
    if (m) {
        last = m->node.last;
    }

    if (shadow->updating) {
        start = MIN(start, MIN(shadow->done_iova, shadow->walk_iova));
        last = MAX(last, shadow->walk_last);
    }
    shadow->updating = true;
    shadow->walk_iova = start;
    shadow->walk_last = last;
    shadow->done_iova = start;
    shadow->work_left = VTD_ACCEL_PAGE_WORK *
                        (t->limit / VTD_PAGE_SIZE + VTD_ACCEL_PAGES_MIN);
    return true;
}

/* Have the range from @start to @last updated */
static void vtd_accel_shadow_update(VTDAccelShadowTable *t,
                                    VTDAccelShadow *shadow, uint64_t start,
                                    uint64_t last)
{
    if (vtd_accel_shadow_begin(t, shadow, start, last)) {
        vtd_accel_shadow_run(t, shadow);
    }
}

void vtd_accel_shadow_invalidate(VTDAccelShadowTable *t, int domain_id,
                                 uint64_t addr, uint8_t am)
{
    uint64_t mask = am >= VTD_ACCEL_AM_MAX ? UINT64_MAX :
                    (1ULL << (VTD_PAGE_SHIFT + am)) - 1;
    VTDAccelShadow *shadow;

    QTAILQ_FOREACH(shadow, &t->shadows, next) {
        if (domain_id < 0 || shadow->hwpt.key.domain_id == domain_id) {
            vtd_accel_shadow_update(t, shadow, addr & ~mask, addr | mask);
        }
    }
}

/*
 * Memory that goes
 */

/* The bytes between two ranges, 0 if they touch */
static uint64_t vtd_accel_ranges_gap(const VTDAccelRanges *r, unsigned int i,
                                     unsigned int j)
{
    return r->first[i] > r->last[j] ? r->first[i] - r->last[j] - 1 :
           r->first[j] > r->last[i] ? r->first[j] - r->last[i] - 1 : 0;
}

/* The two that are nearest become one if they touch, or if room is needed */
static void vtd_accel_ranges_add(VTDAccelRanges *r, uint64_t first,
                                 uint64_t last)
{
    unsigned int a = 0, b = 1;

    r->first[r->num] = first;
    r->last[r->num++] = last;
    for (unsigned int j = 1; j < r->num; j++) {
        for (unsigned int i = 0; i < j; i++) {
            if (vtd_accel_ranges_gap(r, i, j) < vtd_accel_ranges_gap(r, a, b)) {
                a = i;
                b = j;
            }
        }
    }
    if (r->num > VTD_ACCEL_RANGES_MAX ||
        (r->num > 1 && !vtd_accel_ranges_gap(r, a, b))) {
        r->first[a] = MIN(r->first[a], r->first[b]);
        r->last[a] = MAX(r->last[a], r->last[b]);
        r->num--;
        r->first[b] = r->first[r->num];
        r->last[b] = r->last[r->num];
    }
}

static bool vtd_accel_ranges_meet(const VTDAccelRanges *r, uint64_t first,
                                  uint64_t last)
{
    for (unsigned int i = 0; i < r->num; i++) {
        if (first <= r->last[i] && r->first[i] <= last) {
            return true;
        }
    }
    return false;
}

static bool vtd_accel_mapping_is_gone(const VTDAccelShadow *shadow,
                                      const VTDAccelMapping *m)
{
    uint64_t last = m->gpa + (m->node.last - m->node.start);

    return vtd_accel_ranges_meet(&shadow->gone, m->gpa, last) ||
           vtd_accel_ranges_meet(&shadow->gone_since, m->gpa, last);
}

/* Unmap what has gone.  An update brings back what is left of it, if any. */
static void vtd_accel_shadow_lose_mapping(VTDAccelShadowTable *t,
                                          VTDAccelShadow *shadow,
                                          VTDAccelMapping *m)
{
    VTDAccelUpdate u = { .t = t, .shadow = shadow };
    uint64_t start = m->node.start, last = m->node.last;

    vtd_accel_mapping_forget(t, shadow, m);
    if (vtd_accel_shadow_begin(t, shadow, start, last)) {
        vtd_accel_shadow_unmap(&u, start, last);
    }
}

/*
 * Go on to look for what has gone, up to the highest IOVA.  False if it is time
 * for the main loop.  A guest that has memory go again and again holds up
 * neither what went before nor the other shadows.
 */
static bool vtd_accel_shadow_check(VTDAccelShadowTable *t,
                                   VTDAccelShadow *shadow)
{
    VTDAccelWork *work = &t->s->accel->work;
    VTDAccelMapping *m;

    while ((m = vtd_accel_mapping_find(shadow, shadow->check_iova,
                                       UINT64_MAX))) {
        if (vtd_accel_must_yield(work)) {
            return false;
        }
        vtd_accel_spend(work, 1);
        shadow->check_iova = m->node.last + 1;
        if (vtd_accel_mapping_is_gone(shadow, m)) {
            vtd_accel_shadow_lose_mapping(t, shadow, m);
        }
        if (shadow->failure) {
            /* Its users leave it: a fresh copy takes its place */
            break;
        }
    }
    shadow->gone = shadow->gone_since;
    shadow->gone_since.num = 0;
    shadow->check_iova = 0;
    if (shadow->gone.num) {
        QTAILQ_REMOVE(&t->shadows, shadow, next);
        QTAILQ_INSERT_TAIL(&t->shadows, shadow, next);
    }
    return true;
}

/*
 * The guest need not say that an entry leads nowhere now: it knows.  The host
 * would keep what was there, and a device would reach it.
 */
static void vtd_accel_shadow_gone(void *opaque, uint64_t gpa, uint64_t last)
{
    VTDAccelShadowTable *t = opaque;
    VTDAccelShadow *shadow;

    if (QTAILQ_EMPTY(&t->shadows)) {
        return;
    }
    trace_vtd_accel_shadow_gone(gpa, last);
    QTAILQ_FOREACH(shadow, &t->shadows, next) {
        vtd_accel_ranges_add(shadow->check_iova ? &shadow->gone_since :
                                                  &shadow->gone, gpa, last);
    }
    t->s->accel->legacy->unfinished = true;
    qemu_bh_schedule(t->s->accel->resume_bh);
}

bool vtd_accel_shadow_continue(VTDAccelShadowTable *t, bool *again)
{
    VTDAccelShadow *shadow, *next;

    *again = false;
    QTAILQ_FOREACH_SAFE(shadow, &t->shadows, next, next) {
        if (shadow->gone.num && !vtd_accel_shadow_check(t, shadow)) {
            return false;
        }
        *again |= shadow->gone.num;
        if (!shadow->updating || shadow->failure) {
            continue;
        }
        if (!vtd_accel_shadow_run(t, shadow)) {
            return false;
        }
    }
    return true;
}

bool vtd_accel_shadow_free_dead(VTDAccelShadowTable *t)
{
    const VTDAccelWork *work = &t->s->accel->work;

    while (!QTAILQ_EMPTY(&t->dead)) {
        if (!vtd_accel_in_piece(work) || vtd_accel_must_yield(work)) {
            return false;
        }
        vtd_accel_shadow_free_one(t);
    }
    return true;
}

/*
 * Shadows
 */

static VTDAccelShadowTable *vtd_accel_shadow_table(VTDAccelHwptTable *table)
{
    return container_of(table, VTDAccelShadowTable, table);
}

VTDAccelShadow *vtd_accel_shadow(VTDAccelShadowTable *t, VTDAccelHwpt *hwpt)
{
    return hwpt && hwpt->key.table == &t->table ?
           container_of(hwpt, VTDAccelShadow, hwpt) : NULL;
}

static VTDAccelHwpt *vtd_accel_shadow_next(VTDAccelHwptTable *table,
                                           VTDAccelHwpt *prev,
                                           const VTDAccelKey *key)
{
    VTDAccelShadowTable *t = vtd_accel_shadow_table(table);
    VTDAccelShadow *shadow = prev ? QTAILQ_NEXT(vtd_accel_shadow(t, prev), next)
                                  : QTAILQ_FIRST(&t->shadows);

    return shadow ? &shadow->hwpt : NULL;
}

/* What devices write to by way of a shadow is not tracked */
static bool vtd_accel_shadow_block_migration(VTDAccelShadowTable *t,
                                             Error **errp)
{
    if (t->blocker) {
        return true;
    }
    error_setg(&t->blocker, "intel-iommu: the guest uses a host device in "
               "legacy mode");
    return !migrate_add_blocker(&t->blocker, errp);
}

static void vtd_accel_shadow_unblock_migration(VTDAccelShadowTable *t)
{
    if (QTAILQ_EMPTY(&t->shadows)) {
        migrate_del_blocker(&t->blocker);
    }
}

static void vtd_accel_shadow_free(VTDAccelHwpt *hwpt)
{
    VTDAccelShadowTable *t = vtd_accel_shadow_table(hwpt->key.table);
    VTDAccelShadow *shadow = vtd_accel_shadow(t, hwpt);

    QTAILQ_REMOVE(&t->shadows, shadow, next);
    trace_vtd_accel_shadow_free(hwpt->hwpt_id, shadow->ioas_id);
    iommufd_backend_free_id(hwpt->key.iommufd, hwpt->hwpt_id);
    /* With the IOAS goes all that is mapped; to forget that takes longer */
    iommufd_backend_free_id(hwpt->key.iommufd, shadow->ioas_id);
    error_free(shadow->failure);
    QTAILQ_INSERT_HEAD(&t->dead, shadow, next);
    t->s->accel->legacy->unfinished = true;
    qemu_bh_schedule(t->s->accel->resume_bh);
    vtd_accel_shadow_unblock_migration(t);
}

/* An IOAS and its HWPT, both empty */
static VTDAccelShadow *vtd_accel_shadow_new(const VTDAccelKey *key,
                                            uint32_t dev_id, Error **errp)
{
    VTDAccelShadow *shadow;
    uint32_t ioas_id, hwpt_id;

    if (!iommufd_backend_alloc_ioas(key->iommufd, &ioas_id, errp)) {
        return NULL;
    }
    if (!iommufd_backend_alloc_hwpt(key->iommufd, dev_id, ioas_id,
                                    key->hwpt_flags, IOMMU_HWPT_DATA_NONE, 0,
                                    NULL, &hwpt_id, errp)) {
        iommufd_backend_free_id(key->iommufd, ioas_id);
        return NULL;
    }

    shadow = g_new0(VTDAccelShadow, 1);
    shadow->hwpt.key = *key;
    shadow->hwpt.hwpt_id = hwpt_id;
    shadow->hwpt.users = 1;
    shadow->ioas_id = ioas_id;
    return shadow;
}

static VTDAccelHwpt *vtd_accel_shadow_alloc(const VTDAccelKey *key,
                                            uint32_t dev_id, int *ret,
                                            Error **errp)
{
    ERRP_GUARD();
    VTDAccelShadowTable *t = vtd_accel_shadow_table(key->table);
    VTDAccelShadow *shadow = NULL;

    *ret = 0;
    vtd_accel_shadow_make_room(t);
    if (vtd_accel_shadow_block_migration(t, errp)) {
        shadow = vtd_accel_shadow_new(key, dev_id, errp);
        t->s->accel->legacy->refused += !shadow;
    }
    if (!shadow) {
        error_prepend(errp, "cannot shadow second-level tables: ");
        vtd_accel_shadow_unblock_migration(t);
        return NULL;
    }
    QTAILQ_INSERT_HEAD(&t->shadows, shadow, next);
    trace_vtd_accel_shadow_alloc(shadow->hwpt.hwpt_id, shadow->ioas_id,
                                 key->domain_id, key->pgtbl_addr, key->levels);

    vtd_accel_shadow_update(t, shadow, 0, UINT64_MAX);
    if (shadow->failure) {
        error_propagate(errp, g_steal_pointer(&shadow->failure));
        vtd_accel_hwpt_put(&shadow->hwpt);
        return NULL;
    }
    return &shadow->hwpt;
}

static void vtd_accel_shadow_describe(const VTDAccelHwpt *hwpt, GString *str)
{
    const VTDAccelKey *key = &hwpt->key;

    g_string_append_printf(str, "copy of second-level table 0x%" PRIx64
                           ", %u levels, domain %u (HWPT %u)", key->pgtbl_addr,
                           key->levels, key->domain_id, hwpt->hwpt_id);
}

static const VTDAccelHwptOps vtd_accel_shadow_ops = {
    .what = "shadow tables",
    .next = vtd_accel_shadow_next,
    .alloc = vtd_accel_shadow_alloc,
    .free = vtd_accel_shadow_free,
    .describe = vtd_accel_shadow_describe,
};

void vtd_accel_shadow_table_init(VTDAccelShadowTable *t, IntelIOMMUState *s)
{
    uint64_t ram = MACHINE(qdev_get_machine())->maxram_size;

    t->table.ops = &vtd_accel_shadow_ops;
    t->table.max = UINT32_MAX;
    t->s = s;
    QTAILQ_INIT(&t->shadows);
    QTAILQ_INIT(&t->dead);
    /* Memory may be mapped twice, but most of it once only */
    t->limit = ram + ram / 4;
    vtd_accel_gone_init(&t->gone, vtd_accel_shadow_gone, t);
}
