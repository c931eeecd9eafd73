/*
 * Intel VT-d: second-level tables of a guest in legacy mode, shadowed for host
 * devices
 *
 * The host IOMMU cannot walk second-level tables of a guest.  They are copied,
 * entry by entry, into an IOAS that belongs to the vIOMMU.  The IOAS and
 * address space of the device's owner show guest memory one to one and stay
 * what they are, for pass-through and for first-stage tables.
 *
 * The tables are walked here and not by the notifiers of intel_iommu.c: a walk
 * has to have a bound, and the main loop its turn meanwhile.
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
#include "system/dma.h"
#include "system/iommufd.h"
#include "intel_iommu_accel_internal.h"
#include "trace.h"

#define VTD_ACCEL_LEGACY_CE_SIZE 16     /* bytes of a context entry */

#define VTD_ACCEL_AM_MAX        (64 - VTD_PAGE_SHIFT)

/*
 * Work that one update may cause, for each page that a shadow may map.  Small
 * guests get some more.
 */
#define VTD_ACCEL_PAGE_WORK     (2 * VTD_ACCEL_IOCTL_WORK)
#define VTD_ACCEL_PAGES_MIN     (32 * KiB)

/* One leaf entry of the guest's tables, or the part that is guest memory */
typedef struct VTDAccelMapping {
    uint64_t iova;
    uint64_t last;
    uint64_t gpa;
    uint64_t mapped;        /* bytes that are in the IOAS */
    uint8_t perm;           /* VTD_SL_R, VTD_SL_W */
} VTDAccelMapping;

typedef struct VTDAccelWalk {
    VTDAccelShadowTable *t;
    VTDAccelShadow *shadow;
    bool paused;            /* it is time for the main loop */
    bool again;             /* a mapping was cut: go on from where it began */
} VTDAccelWalk;

/* Guest tables are in memory: an access to a device fails (VT-d 3.4) */
static const MemTxAttrs vtd_accel_attrs = { .memory = 1 };

static bool vtd_accel_legacy_read(hwaddr addr, uint64_t *val, unsigned int num)
{
    if (dma_memory_read(&address_space_memory, addr, val, num * sizeof(*val),
                        vtd_accel_attrs)) {
        return false;
    }
    for (unsigned int i = 0; i < num; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

/*
 * Read the legacy-mode root and context entry (VT-d 9.1, 9.3).  False if there
 * is none to use, with @reason set unless it is not present.
 */
static bool vtd_accel_legacy_read_context(IntelIOMMUState *s,
                                          uint16_t source_id,
                                          VTDAccelLegacyContext *ctx,
                                          const char **reason)
{
    uint64_t re[2], ce[2];
    uint32_t aw;

    *reason = NULL;
    if (!vtd_accel_legacy_read(s->root + (source_id >> 8) * sizeof(re), re,
                               2)) {
        *reason = "root table is not in guest memory";
        return false;
    }
    if (!(re[0] & VTD_ROOT_ENTRY_P)) {
        return false;
    }
    if (re[1] || re[0] & VTD_ROOT_ENTRY_RSVD(s->aw_bits)) {
        *reason = "root entry has reserved bits set";
        return false;
    }

    if (!vtd_accel_legacy_read((re[0] & VTD_ROOT_ENTRY_CTP) +
                               (source_id & 0xff) * VTD_ACCEL_LEGACY_CE_SIZE,
                               ce, 2)) {
        *reason = "context table is not in guest memory";
        return false;
    }
    if (!(ce[0] & VTD_CONTEXT_ENTRY_P)) {
        return false;
    }
    if (ce[1] & VTD_CONTEXT_ENTRY_RSVD_HI ||
        ce[0] & VTD_CONTEXT_ENTRY_RSVD_LO(s->aw_bits)) {
        *reason = "context entry has reserved bits set";
        return false;
    }

    /* AW is in the units of CAP.SAGAW: 1 for 3 levels, 2 for 4 */
    aw = ce[1] & VTD_CONTEXT_ENTRY_AW;
    if (!(s->cap & VTD_CAP_SAGAW_MASK & 1ULL << (aw + VTD_CAP_SAGAW_SHIFT))) {
        *reason = "context entry has an address width that is not advertised";
        return false;
    }

    switch (ce[0] & VTD_CONTEXT_ENTRY_TT) {
    case VTD_CONTEXT_TT_MULTI_LEVEL:
        ctx->pass_through = false;
        break;
    case VTD_CONTEXT_TT_DEV_IOTLB:
        if (s->ecap & VTD_ECAP_DT) {
            ctx->pass_through = false;
            break;
        }
        goto bad_type;
    case VTD_CONTEXT_TT_PASS_THROUGH:
        if (s->ecap & VTD_ECAP_PT) {
            ctx->pass_through = true;
            break;
        }
        /* fallthrough */
    default:
    bad_type:
        *reason = "context entry has a translation type that is not advertised";
        return false;
    }

    ctx->domain_id = VTD_CONTEXT_ENTRY_DID(ce[1]);
    ctx->pgtbl_addr = ce[0] & VTD_CONTEXT_ENTRY_SLPTPTR;
    ctx->levels = aw + 2;
    return true;
}

/*
 * Dirty tracking is not wanted as such, but it makes Linux use second-stage
 * tables, of the width that the guest's have: first-stage ones, which it
 * prefers, are one bit narrower.
 */
static uint32_t vtd_accel_legacy_hwpt_flags(HostIOMMUDeviceIOMMUFD *idev)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(idev);
    bool dirty = hiod->caps.hw_caps & IOMMU_HW_CAP_DIRTY_TRACKING;

    return (dirty ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
           (idev->pasid ? IOMMU_HWPT_ALLOC_PASID : 0);
}

void vtd_accel_read_legacy(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    t->state = VTD_ACCEL_BLOCKED;
    if (!dev->context_valid) {
        if (!vtd_accel_legacy_read_context(dev->s, vtd_accel_source_id(dev),
                                           &dev->legacy, &t->reason)) {
            return;
        }
        dev->rid_pasid = 0;
        dev->pasid_enabled = false;
        dev->context_valid = true;
    }
    if (dev->legacy.pass_through) {
        t->state = VTD_ACCEL_S2;
        return;
    }

    t->state = VTD_ACCEL_SHADOW;
    t->legacy = (VTDAccelLegacyKey) {
        .iommufd = dev->host.hiodi->iommufd,
        .ram_ioas_id = dev->host.hiodi->ioas_id,
        .pgtbl_addr = dev->legacy.pgtbl_addr,
        .domain_id = dev->legacy.domain_id,
        .levels = dev->legacy.levels,
        .hwpt_flags = vtd_accel_legacy_hwpt_flags(dev->host.hiodi),
    };
}

/*
 * The IOAS
 */

/* Ranges that overlap count as equal: those in the tree never do */
static gint vtd_accel_mapping_compare(gconstpointer pa, gconstpointer pb,
                                      gpointer opaque)
{
    const VTDAccelMapping *a = pa, *b = pb;

    return a->last < b->iova ? -1 : a->iova > b->last ? 1 : 0;
}

/* Some mapping in a range, bounds included */
static VTDAccelMapping *vtd_accel_mapping_find(VTDAccelShadow *shadow,
                                               uint64_t iova, uint64_t last)
{
    VTDAccelMapping range = { .iova = iova, .last = last };

    return g_tree_lookup(shadow->mappings, &range);
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
    error_setg(&shadow->failure, "%s", msg);
}

static bool vtd_accel_legacy_spend(VTDAccelWalk *w, unsigned int work)
{
    w->t->s->accel->work_left -= work;
    if (w->shadow->work_left < work) {
        vtd_accel_shadow_fail(w->shadow, "second-level tables at 0x%" PRIx64
                              " take too much work", w->shadow->key.pgtbl_addr);
        return false;
    }
    w->shadow->work_left -= work;
    return true;
}

/* Is it time for the main loop?  Then the walk will go on at @iova. */
static bool vtd_accel_legacy_pause(VTDAccelWalk *w, uint64_t iova)
{
    VTDAccel *accel = w->t->s->accel;

    w->shadow->walk_iova = iova;
    w->paused = accel->in_piece && accel->work_left <= 0;
    return w->paused;
}

/* Unmap a range that no mapping crosses the bounds of */
static bool vtd_accel_legacy_unmap(VTDAccelWalk *w, uint64_t iova,
                                   uint64_t last)
{
    VTDAccelShadow *shadow = w->shadow;
    uint64_t mapped = shadow->mapped;
    VTDAccelMapping *m;
    int ret;

    while ((m = vtd_accel_mapping_find(shadow, iova, last))) {
        shadow->mapped -= m->mapped;
        g_tree_remove(shadow->mappings, m);
    }
    if (mapped == shadow->mapped) {
        return true;
    }
    if (!vtd_accel_legacy_spend(w, VTD_ACCEL_IOCTL_WORK)) {
        return false;
    }
    ret = iommufd_backend_unmap_dma(shadow->key.iommufd, shadow->ioas_id, iova,
                                    last - iova + 1);
    if (ret) {
        vtd_accel_shadow_fail(shadow, "cannot unmap IOVA 0x%" PRIx64 "-0x%"
                              PRIx64 ": %s", iova, last, strerror(-ret));
    }
    return !ret;
}

/*
 * Unmap what is not in line, up to @last.  Mappings go as a whole: what is left
 * of one that crosses a bound is to be mapped anew, and false is returned with
 * @w->again set, as the guest's tables have to be walked from its start on.
 */
static bool vtd_accel_legacy_clear(VTDAccelWalk *w, uint64_t last)
{
    VTDAccelShadow *shadow = w->shadow;
    uint64_t first = shadow->done_iova;
    uint64_t start = first, end = last;
    VTDAccelMapping *m;

    m = vtd_accel_mapping_find(shadow, first, first);
    if (m) {
        start = m->iova;
    }
    m = vtd_accel_mapping_find(shadow, last, last);
    if (m) {
        end = m->last;
    }
    if (!vtd_accel_legacy_unmap(w, start, end)) {
        return false;
    }
    if (start == first && end == last) {
        return true;
    }
    shadow->walk_iova = shadow->done_iova = start;
    shadow->walk_last = MAX(shadow->walk_last, end);
    w->again = true;
    return false;
}

/* Can a device use this part of the guest's address space as memory? */
static bool vtd_accel_legacy_is_memory(MemoryRegionSection *section)
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
static int vtd_accel_legacy_map_memory(VTDAccelWalk *w, uint64_t iova,
                                       MemoryRegionSection *section,
                                       uint8_t *ptr, bool readonly)
{
    const VTDAccelLegacyKey *key = &w->shadow->key;
    uint64_t size = int128_get64(section->size);
    int ret = iommufd_backend_copy_dma(key->iommufd, key->ram_ioas_id,
                                       section->offset_within_address_space,
                                       w->shadow->ioas_id, iova, size,
                                       readonly);

    if (ret == -ENOENT) {
        ret = iommufd_backend_map_dma(key->iommufd, w->shadow->ioas_id, iova,
                                      size, ptr, readonly);
    }
    return ret;
}

/* Map what is behind one section of guest memory */
static bool vtd_accel_legacy_map_section(VTDAccelWalk *w, uint64_t iova,
                                         MemoryRegionSection *section,
                                         VTDAccelMapping *m)
{
    VTDAccelShadow *shadow = w->shadow;
    uint64_t size = int128_get64(section->size);
    bool readonly = section->readonly || !(m->perm & VTD_SL_W);
    uint8_t *ptr;
    int ret;

    if (!vtd_accel_legacy_is_memory(section) ||
        (readonly && !(m->perm & VTD_SL_R))) {
        trace_vtd_accel_legacy_skip(iova, section->offset_within_address_space,
                                    size, memory_region_name(section->mr));
        return true;
    }
    ptr = memory_region_get_ram_ptr(section->mr) +
          section->offset_within_region;
    if (!QEMU_PTR_IS_ALIGNED(ptr, VTD_PAGE_SIZE)) {
        return true;
    }

    if (size > w->t->limit - shadow->mapped - m->mapped) {
        vtd_accel_shadow_fail(shadow, "second-level tables at 0x%" PRIx64
                              " map more memory than the guest has",
                              shadow->key.pgtbl_addr);
        return false;
    }
    if (!vtd_accel_legacy_spend(w, VTD_ACCEL_IOCTL_WORK)) {
        return false;
    }
    ret = vtd_accel_legacy_map_memory(w, iova, section, ptr, readonly);
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
static bool vtd_accel_legacy_map_range(VTDAccelWalk *w, VTDAccelMapping *m,
                                       uint64_t *iova, uint64_t last)
{
    uint64_t gpa = m->gpa + (*iova - m->iova);
    MemoryRegionSection section = memory_region_find(get_system_memory(), gpa,
                                                     last - *iova + 1);
    uint64_t start, end, skip;
    bool ok = true;

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
        ok = vtd_accel_legacy_map_section(w, *iova + start + skip, &section,
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
static bool vtd_accel_legacy_map(VTDAccelWalk *w, VTDAccelMapping *m)
{
    uint64_t iova = m->iova;

    while (iova <= m->last) {
        uint64_t last = m->last;

        if (iova >= VTD_INTERRUPT_ADDR_FIRST &&
            iova <= VTD_INTERRUPT_ADDR_LAST) {
            iova = VTD_INTERRUPT_ADDR_LAST + 1;
            continue;
        }
        if (iova < VTD_INTERRUPT_ADDR_FIRST) {
            last = MIN(last, VTD_INTERRUPT_ADDR_FIRST - 1);
        }
        if (!vtd_accel_legacy_map_range(w, m, &iova, last)) {
            return false;
        }
    }
    return true;
}

/*
 * The guest's tables
 */

static bool vtd_accel_legacy_leaf(VTDAccelWalk *w, uint64_t iova, uint64_t size,
                                  uint64_t gpa, uint8_t perm)
{
    VTDAccelMapping leaf = {
        .iova = iova,
        .last = iova + size - 1,
        .gpa = gpa,
        .perm = perm,
    };
    VTDAccelShadow *shadow = w->shadow;
    VTDAccelMapping *old = vtd_accel_mapping_find(shadow, iova, leaf.last);
    bool same = old && old->iova == iova && old->last == leaf.last &&
                old->gpa == gpa && old->perm == perm;

    if (vtd_accel_legacy_pause(w, iova)) {
        return false;
    }
    shadow->done_iova = MIN(shadow->done_iova, iova);
    if ((!same || shadow->done_iova < iova) &&
        !vtd_accel_legacy_clear(w, same ? iova - 1 : leaf.last)) {
        return false;
    }
    shadow->done_iova = leaf.last + 1;
    if (same) {
        return true;
    }
    if (!vtd_accel_legacy_map(w, &leaf)) {
        return false;
    }
    if (leaf.mapped) {
        VTDAccelMapping *m = g_memdup2(&leaf, sizeof(leaf));

        shadow->mapped += m->mapped;
        g_tree_insert(shadow->mappings, m, m);
    }
    return true;
}

/* Reserved bits of an entry (VT-d 9.8): hardware refuses it */
static bool vtd_accel_legacy_reserved(IntelIOMMUState *s, uint64_t pte,
                                      unsigned int level, bool leaf)
{
    X86IOMMUState *x86_iommu = X86_IOMMU_DEVICE(s);
    bool tm = x86_iommu->dt_supported && s->stale_tm;
    uint64_t mask;

    if (level == VTD_PT_LEVEL) {
        mask = VTD_SPTE_PAGE_L1_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PD_LEVEL && leaf) {
        mask = VTD_SPTE_LPAGE_L2_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PDP_LEVEL && leaf) {
        mask = VTD_SPTE_LPAGE_L3_RSVD_MASK(s->aw_bits, tm);
    } else if (level == VTD_PML4_LEVEL) {
        mask = VTD_SPTE_PAGE_L4_RSVD_MASK(s->aw_bits);
    } else {
        mask = VTD_SPTE_PAGE_L3_RSVD_MASK(s->aw_bits);
    }
    /* Snoop control is ignored by leaf entries in scalable-mode hardware */
    if (leaf) {
        mask &= ~VTD_SPTE_SNP;
    }
    return pte & mask;
}

/*
 * Bring what @table maps from @start to @last in line.  False on failure, when
 * paused, and when it has to go on elsewhere.
 */
static bool vtd_accel_legacy_walk(VTDAccelWalk *w, hwaddr table,
                                  unsigned int level, uint64_t start,
                                  uint64_t last, uint8_t perm)
{
    IntelIOMMUState *s = w->t->s;
    unsigned int shift = VTD_PAGE_SHIFT + (level - 1) * VTD_LEVEL_BITS;
    uint64_t size = 1ULL << shift;
    uint64_t iova = ROUND_DOWN(start, size);
    unsigned int num = (last >> shift) - (start >> shift) + 1;
    unsigned int first = (start >> shift) & (VTD_PT_ENTRY_NR - 1);
    uint64_t ptes[VTD_PT_ENTRY_NR];

    if (vtd_accel_legacy_pause(w, start) ||
        !vtd_accel_legacy_spend(w, 1 + num / 16)) {
        return false;
    }
    if (!vtd_accel_legacy_read(table + first * sizeof(ptes[0]), ptes, num)) {
        return true;
    }

    for (unsigned int i = 0; i < num; i++, iova += size) {
        uint64_t pte = ptes[i];
        uint64_t addr = pte & VTD_PT_BASE_ADDR_MASK(s->aw_bits);
        uint8_t allowed = perm & pte & VTD_SL_RW_MASK;
        bool leaf = level == VTD_PT_LEVEL || pte & VTD_PT_PAGE_SIZE_MASK;
        bool ok;

        if (!allowed || vtd_accel_legacy_reserved(s, pte, level, leaf)) {
            continue;
        }
        ok = leaf ? vtd_accel_legacy_leaf(w, iova, size, addr, allowed) :
             vtd_accel_legacy_walk(w, addr, level - 1, MAX(start, iova),
                                   MIN(last, iova + size - 1), allowed);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* Go on with an update.  False if it is paused. */
static bool vtd_accel_legacy_run(VTDAccelShadowTable *t, VTDAccelShadow *shadow)
{
    VTDAccelWalk w = { .t = t, .shadow = shadow };

    do {
        w.again = false;
        if (vtd_accel_legacy_walk(&w, shadow->key.pgtbl_addr,
                                  shadow->key.levels, shadow->walk_iova,
                                  shadow->walk_last, VTD_SL_RW_MASK) &&
            shadow->done_iova <= shadow->walk_last) {
            vtd_accel_legacy_clear(&w, shadow->walk_last);
        }
    } while (w.again);
    if (w.paused) {
        return false;
    }
    shadow->updating = false;
    shadow->complete |= !shadow->failure;
    return true;
}

/* Have the range from @start to @last updated */
static void vtd_accel_legacy_update(VTDAccelShadowTable *t,
                                    VTDAccelShadow *shadow, uint64_t start,
                                    uint64_t last)
{
    unsigned int bits = VTD_PAGE_SHIFT + shadow->key.levels * VTD_LEVEL_BITS;
    uint64_t limit = (1ULL << MIN(bits, t->s->aw_bits)) - 1;
    VTDAccelMapping *m;

    if (start > limit || shadow->failure) {
        return;
    }
    last = MIN(last, limit);

    /* A superpage is invalidated as a whole by any of its addresses */
    m = vtd_accel_mapping_find(shadow, start, start);
    if (m) {
        start = m->iova;
    }
    m = vtd_accel_mapping_find(shadow, last, last);
    if (m) {
        last = m->last;
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
    vtd_accel_legacy_run(t, shadow);
}

void vtd_accel_legacy_invalidate(VTDAccelShadowTable *t, int domain_id,
                                 uint64_t addr, uint8_t am)
{
    uint64_t mask = am >= VTD_ACCEL_AM_MAX ? UINT64_MAX :
                    (1ULL << (VTD_PAGE_SHIFT + am)) - 1;
    VTDAccelShadow *shadow;

    QLIST_FOREACH(shadow, &t->shadows, next) {
        if (domain_id < 0 || shadow->key.domain_id == domain_id) {
            vtd_accel_legacy_update(t, shadow, addr & ~mask, addr | mask);
            t->repair |= !!shadow->failure;
        }
    }
}

bool vtd_accel_legacy_continue(VTDAccelShadowTable *t)
{
    VTDAccelShadow *shadow;

    QLIST_FOREACH(shadow, &t->shadows, next) {
        if (!shadow->updating) {
            continue;
        }
        if (!vtd_accel_legacy_run(t, shadow)) {
            return false;
        }
        t->repair |= !!shadow->failure;
    }
    return true;
}

/*
 * Shadows
 */

void vtd_accel_legacy_init(VTDAccelShadowTable *t, IntelIOMMUState *s)
{
    uint64_t ram = MACHINE(qdev_get_machine())->maxram_size;

    t->s = s;
    QLIST_INIT(&t->shadows);
    /* Memory may be mapped twice, but most of it once only */
    t->limit = ram + ram / 4;
}

VTDAccelShadow *vtd_accel_legacy_next(VTDAccelShadowTable *t,
                                      VTDAccelShadow *shadow,
                                      const VTDAccelLegacyKey *key)
{
    shadow = shadow ? QLIST_NEXT(shadow, next) : QLIST_FIRST(&t->shadows);
    while (shadow && (shadow->failure ||
                      memcmp(&shadow->key, key, sizeof(*key)))) {
        shadow = QLIST_NEXT(shadow, next);
    }
    return shadow;
}

/* What devices write to by way of a shadow is not tracked */
static bool vtd_accel_legacy_block_migration(VTDAccelShadowTable *t,
                                             Error **errp)
{
    if (t->blocker) {
        return true;
    }
    error_setg(&t->blocker, "intel-iommu: the guest uses a host device in "
               "legacy mode");
    return !migrate_add_blocker(&t->blocker, errp);
}

VTDAccelShadow *vtd_accel_legacy_new(VTDAccelShadowTable *t,
                                     const VTDAccelLegacyKey *key,
                                     uint32_t dev_id, Error **errp)
{
    VTDAccelShadow *shadow;
    uint32_t ioas_id, hwpt_id;

    if (!vtd_accel_legacy_block_migration(t, errp)) {
        return NULL;
    }
    if (!iommufd_backend_alloc_ioas(key->iommufd, &ioas_id, errp)) {
        goto unblock;
    }
    if (!iommufd_backend_alloc_hwpt(key->iommufd, dev_id, ioas_id,
                                    key->hwpt_flags, IOMMU_HWPT_DATA_NONE, 0,
                                    NULL, &hwpt_id, errp)) {
        iommufd_backend_free_id(key->iommufd, ioas_id);
        goto unblock;
    }

    shadow = g_new0(VTDAccelShadow, 1);
    shadow->key = *key;
    shadow->ioas_id = ioas_id;
    shadow->hwpt_id = hwpt_id;
    shadow->users = 1;
    shadow->mappings = g_tree_new_full(vtd_accel_mapping_compare, NULL, NULL,
                                       g_free);
    QLIST_INSERT_HEAD(&t->shadows, shadow, next);
    trace_vtd_accel_legacy_new(hwpt_id, ioas_id, key->domain_id,
                               key->pgtbl_addr, key->levels);

    vtd_accel_legacy_update(t, shadow, 0, UINT64_MAX);
    if (shadow->failure) {
        error_propagate(errp, g_steal_pointer(&shadow->failure));
        vtd_accel_legacy_put(t, shadow);
        return NULL;
    }
    return shadow;

unblock:
    if (QLIST_EMPTY(&t->shadows)) {
        migrate_del_blocker(&t->blocker);
    }
    return NULL;
}

void vtd_accel_legacy_put(VTDAccelShadowTable *t, VTDAccelShadow *shadow)
{
    if (--shadow->users) {
        return;
    }

    QLIST_REMOVE(shadow, next);
    trace_vtd_accel_legacy_free(shadow->hwpt_id, shadow->ioas_id);
    iommufd_backend_free_id(shadow->key.iommufd, shadow->hwpt_id);
    /* With the IOAS goes all that is mapped */
    iommufd_backend_free_id(shadow->key.iommufd, shadow->ioas_id);
    g_tree_destroy(shadow->mappings);
    error_free(shadow->failure);
    g_free(shadow);
    if (QLIST_EMPTY(&t->shadows)) {
        migrate_del_blocker(&t->blocker);
    }
}
