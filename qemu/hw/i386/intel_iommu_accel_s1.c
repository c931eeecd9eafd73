/*
 * Intel VT-d: nested first-stage HWPTs and their invalidation batches
 *
 * An S1 HWPT stands for one first-stage table of the guest under one domain id
 * and PASID.  Devices whose PASID entries agree share it, so that a guest
 * invalidation costs the same for one device and for many.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_accel_s1.h"
#include "trace.h"

typedef struct iommu_hwpt_vtd_s1_invalidate VTDAccelInv;

typedef QLIST_HEAD(, VTDAccelS1) VTDAccelDomain;

/*
 * Entries that may wait in one batch: a guest that posts more before its wait
 * descriptor gets them sent in slices, and memory stays bounded.
 */
#define VTD_ACCEL_BATCH_MAX     1024

static VTDAccelS1 *vtd_accel_s1(VTDAccelHwpt *hwpt)
{
    return container_of(hwpt, VTDAccelS1, hwpt);
}

static VTDAccelS1Table *vtd_accel_s1_table(VTDAccelHwptTable *table)
{
    return container_of(table, VTDAccelS1Table, table);
}

/* Another first one for a domain and PASID, or none */
static void vtd_accel_s1_set_first(VTDAccelS1Table *t, uint16_t domain_id,
                                   uint32_t pasid, VTDAccelS1 *first)
{
    uint64_t key = vtd_accel_s1_key(domain_id, pasid);

    if (first) {
        g_hash_table_insert(t->pasids, g_memdup2(&key, sizeof(key)), first);
    } else {
        g_hash_table_remove(t->pasids, &key);
    }
    t->last_key = key;
    t->last = first;
}

void vtd_accel_s1_look_up(VTDAccelS1Table *t, uint64_t key)
{
    t->last = g_hash_table_lookup(t->pasids, &key);
    t->last_key = key;
}

static void vtd_accel_s1_insert(VTDAccelS1Table *t, VTDAccelS1 *s1)
{
    uint16_t domain_id = s1->hwpt.key.domain_id;
    uint32_t pasid = s1->hwpt.key.pasid;
    VTDAccelDomain *domain = g_hash_table_lookup(t->domains,
                                                 GUINT_TO_POINTER(domain_id));

    if (!domain) {
        domain = g_new0(VTDAccelDomain, 1);
        g_hash_table_insert(t->domains, GUINT_TO_POINTER(domain_id), domain);
    }
    QLIST_INSERT_HEAD(domain, s1, domain_next);
    t->table.num++;

    s1->same_pasid = vtd_accel_s1_first(t, domain_id, pasid);
    vtd_accel_s1_set_first(t, domain_id, pasid, s1);
}

static void vtd_accel_s1_remove(VTDAccelS1Table *t, VTDAccelS1 *s1)
{
    uint16_t domain_id = s1->hwpt.key.domain_id;
    uint32_t pasid = s1->hwpt.key.pasid;
    VTDAccelS1 *first = vtd_accel_s1_first(t, domain_id, pasid);
    VTDAccelS1 **link = &first;

    while (*link != s1) {
        link = &(*link)->same_pasid;
    }
    *link = s1->same_pasid;
    vtd_accel_s1_set_first(t, domain_id, pasid, first);

    QLIST_REMOVE(s1, domain_next);
    t->table.num--;
    if (QLIST_EMPTY((VTDAccelDomain *)
                    g_hash_table_lookup(t->domains,
                                        GUINT_TO_POINTER(domain_id)))) {
        g_hash_table_remove(t->domains, GUINT_TO_POINTER(domain_id));
    }
}

/* The next one with the same domain and PASID */
static VTDAccelHwpt *vtd_accel_s1_next(VTDAccelHwptTable *table,
                                       VTDAccelHwpt *prev,
                                       const VTDAccelKey *key)
{
    VTDAccelS1 *s1 = prev ? vtd_accel_s1(prev)->same_pasid :
        vtd_accel_s1_first(vtd_accel_s1_table(table), key->domain_id,
                           key->pasid);

    return s1 ? &s1->hwpt : NULL;
}

/* Bits of an input address */
static unsigned int vtd_accel_s1_addr_width(unsigned int levels)
{
    return VTD_PAGE_SHIFT + levels * VTD_LEVEL_BITS;
}

static VTDAccelHwpt *vtd_accel_s1_alloc(const VTDAccelKey *key, uint32_t dev_id,
                                        int *ret, Error **errp)
{
    ERRP_GUARD();
    struct iommu_hwpt_vtd_s1 data = {
        .flags = key->s1_flags,
        .pgtbl_addr = key->pgtbl_addr,
        .addr_width = vtd_accel_s1_addr_width(key->levels),
    };
    uint32_t fault_id = vtd_accel_s1_table(key->table)->fault_id;
    uint32_t hwpt_id;
    VTDAccelS1 *s1;

    *ret = iommufd_backend_alloc_fault_hwpt(key->iommufd, dev_id,
                                            key->guest_ram_id, key->hwpt_flags,
                                            IOMMU_HWPT_DATA_VTD_S1,
                                            sizeof(data), &data, fault_id,
                                            &hwpt_id, errp);
    if (*ret) {
        error_prepend(errp, "host refuses first-stage table at 0x%" PRIx64 ": ",
                      key->pgtbl_addr);
        vtd_accel_s1_table(key->table)->refused++;
        return NULL;
    }
    trace_vtd_accel_s1_alloc(hwpt_id, key->guest_ram_id, key->domain_id,
                             key->pasid, key->pgtbl_addr, data.addr_width,
                             key->s1_flags);

    s1 = g_new0(VTDAccelS1, 1);
    s1->hwpt.key = *key;
    s1->hwpt.hwpt_id = hwpt_id;
    s1->hwpt.users = 1;
    vtd_accel_s1_insert(vtd_accel_s1_table(key->table), s1);
    return &s1->hwpt;
}

/* What is queued is covered otherwise */
static void vtd_accel_s1_drop(VTDAccelS1Table *t, VTDAccelS1 *s1)
{
    if (s1->room == VTD_ACCEL_BATCH_MAX && !t->spare) {
        t->spare = s1->inv;
    } else {
        g_free(s1->inv);
    }
    s1->inv = NULL;
    s1->num = s1->room = 0;
}

static inline void vtd_accel_s1_clear(VTDAccelS1Table *t, VTDAccelS1 *s1)
{
    if (s1->pending) {
        QTAILQ_REMOVE(&t->pending, s1, pending_next);
        t->num_pending--;
        s1->pending = false;
    }
    s1->all = false;
    vtd_accel_s1_drop(t, s1);
}

static void vtd_accel_s1_free(VTDAccelHwpt *hwpt)
{
    VTDAccelS1Table *t = vtd_accel_s1_table(hwpt->key.table);
    VTDAccelS1 *s1 = vtd_accel_s1(hwpt);

    /* The host flushes a HWPT that it frees: what is queued is covered */
    vtd_accel_s1_clear(t, s1);
    vtd_accel_s1_remove(t, s1);
    trace_vtd_accel_s1_free(hwpt->hwpt_id);
    iommufd_backend_free_id(hwpt->key.iommufd, hwpt->hwpt_id);
    g_free(s1);
}

static void vtd_accel_s1_describe(const VTDAccelHwpt *hwpt, GString *str)
{
    const VTDAccelKey *key = &hwpt->key;

    g_string_append_printf(str, "first-stage table 0x%" PRIx64 ", %u bits, "
                           "domain %u (HWPT %u on %u)", key->pgtbl_addr,
                           vtd_accel_s1_addr_width(key->levels),
                           key->domain_id, hwpt->hwpt_id, key->guest_ram_id);
}

static const VTDAccelHwptOps vtd_accel_s1_ops = {
    .what = "first-stage tables",
    .next = vtd_accel_s1_next,
    .alloc = vtd_accel_s1_alloc,
    .free = vtd_accel_s1_free,
    .describe = vtd_accel_s1_describe,
};

void vtd_accel_s1_table_init(VTDAccelS1Table *t, uint32_t max)
{
    t->table.ops = &vtd_accel_s1_ops;
    t->domains = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    t->pasids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                      NULL);
    QTAILQ_INIT(&t->pending);
    t->table.max = max;
    t->spare = g_new(VTDAccelInv, VTD_ACCEL_BATCH_MAX);
}

void vtd_accel_s1_foreach_domain(VTDAccelS1Table *t, uint16_t domain_id,
                                 VTDAccelS1Func func, void *opaque)
{
    VTDAccelDomain *domain = g_hash_table_lookup(t->domains,
                                                 GUINT_TO_POINTER(domain_id));
    VTDAccelS1 *s1;

    if (!domain) {
        return;
    }
    QLIST_FOREACH(s1, domain, domain_next) {
        func(s1, opaque);
    }
}

void vtd_accel_s1_foreach(VTDAccelS1Table *t, VTDAccelS1Func func,
                          void *opaque)
{
    GHashTableIter iter;
    VTDAccelDomain *domain;
    VTDAccelS1 *s1;

    g_hash_table_iter_init(&iter, t->domains);
    while (g_hash_table_iter_next(&iter, NULL, (void **)&domain)) {
        QLIST_FOREACH(s1, domain, domain_next) {
            func(s1, opaque);
        }
    }
}

/* Few guests use more than one table between two wait descriptors */
static void vtd_accel_s1_make_room(VTDAccelS1Table *t, VTDAccelS1 *s1)
{
    if (!s1->room && t->spare) {
        s1->inv = g_steal_pointer(&t->spare);
        s1->room = VTD_ACCEL_BATCH_MAX;
    } else {
        s1->room = s1->room ? s1->room * 2 : 16;
        s1->inv = g_renew(VTDAccelInv, s1->inv, s1->room);
    }
}

bool vtd_accel_s1_queue(VTDAccelS1 *s1, uint64_t addr, uint8_t am, bool leaf)
{
    VTDAccelS1Table *t = vtd_accel_s1_table(s1->hwpt.key.table);

    if (!s1->pending) {
        QTAILQ_INSERT_TAIL(&t->pending, s1, pending_next);
        t->num_pending++;
        s1->pending = true;
    }

    if (am >= VTD_ACCEL_AM_MAX) {
        s1->all = true;
        vtd_accel_s1_drop(t, s1);
    }
    if (s1->all) {
        return false;
    }

    if (s1->num == s1->room) {
        vtd_accel_s1_make_room(t, s1);
    }
    s1->inv[s1->num++] = (VTDAccelInv) {
        .addr = addr & (UINT64_MAX << (VTD_PAGE_SHIFT + am)),
        .npages = 1ULL << am,
        .flags = leaf ? IOMMU_VTD_INV_FLAGS_LEAF : 0,
    };
    return s1->num == VTD_ACCEL_BATCH_MAX;
}

/* Leaf-only and full ones apart, by address, the larger first */
static int vtd_accel_inv_compare(const void *pa, const void *pb)
{
    const VTDAccelInv *a = pa, *b = pb;

    if (a->flags != b->flags) {
        return a->flags < b->flags ? -1 : 1;
    }
    if (a->addr != b->addr) {
        return a->addr < b->addr ? -1 : 1;
    }
    return a->npages == b->npages ? 0 : a->npages > b->npages ? -1 : 1;
}

/*
 * Join @b, the next one in order, into @a where the result is a naturally
 * aligned power-of-two block: the host widens any other range to the block
 * that covers it.
 */
static bool vtd_accel_inv_join(VTDAccelInv *a, const VTDAccelInv *b)
{
    uint64_t size = a->npages << VTD_PAGE_SHIFT;

    if (a->flags != b->flags) {
        return false;
    }
    if (b->addr - a->addr < size) {
        /* Both are naturally aligned: @b lies within @a */
        return true;
    }
    if (a->npages == b->npages && b->addr - a->addr == size &&
        !(a->addr & size)) {
        a->npages *= 2;
        return true;
    }
    return false;
}

/* Returns: how many are left of @num */
static uint32_t vtd_accel_inv_merge(VTDAccelInv *inv, uint32_t num)
{
    uint32_t i, n = 0;

    if (num == 1) {
        return 1;
    }
    /* Most guests unmap in the order of addresses */
    for (i = 1; i < num; i++) {
        if (vtd_accel_inv_compare(&inv[i - 1], &inv[i]) > 0) {
            qsort(inv, num, sizeof(*inv), vtd_accel_inv_compare);
            break;
        }
    }
    for (i = 0; i < num; i++) {
        inv[n++] = inv[i];
        while (n > 1 && vtd_accel_inv_join(&inv[n - 2], &inv[n - 1])) {
            n--;
        }
    }
    return n;
}

bool vtd_accel_s1_flush(VTDAccelS1 *s1, Error **errp)
{
    VTDAccelHwpt *hwpt = &s1->hwpt;
    VTDAccelInv everything = { .npages = UINT64_MAX };
    VTDAccelS1Table *t = vtd_accel_s1_table(hwpt->key.table);
    void *data = &everything;
    uint32_t queued = 1, num = 1;
    bool ok;

    if (!s1->pending) {
        return true;
    }

    if (!s1->all) {
        queued = s1->num;
        num = vtd_accel_inv_merge(s1->inv, s1->num);
        data = s1->inv;
    }
    t->merged += queued - num;
    trace_vtd_accel_s1_flush(hwpt->hwpt_id, s1->all, queued, num);
    ok = iommufd_backend_invalidate_cache(hwpt->key.iommufd, hwpt->hwpt_id,
                                          IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
                                          sizeof(VTDAccelInv), &num, data,
                                          errp);
    t->calls++;
    t->entries += num;
    t->refused += !ok;
    vtd_accel_s1_clear(t, s1);
    return ok;
}
