/*
 * A guest that uses legacy mode of VT-d behind x-flts=on, and what the host
 * has for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "vtd-accel-legacy.h"

/* --- the guest --- */

void vtd_legacy_write_context(VtdLegacy *l, unsigned n, uint64_t lo,
                              uint64_t hi)
{
    uint64_t addr = vtd_guest_legacy_context(&l->t.guest, l->root,
                                             fakehost_sid(n));

    qtest_writeq(l->t.guest.qts, addr + 8, hi);
    qtest_writeq(l->t.guest.qts, addr, lo);
}

void vtd_legacy_use_table(VtdLegacy *l, unsigned n, uint16_t domain_id)
{
    vtd_legacy_write_context(l, n,
                             l->table.root | VTD_CONTEXT_TT_MULTI_LEVEL | 1,
                             (uint64_t)domain_id << 8 | (l->table.levels - 2));
}

void vtd_legacy_write_entry(VtdLegacy *l, uint64_t iova, unsigned level,
                            uint64_t value)
{
    VtdGuest *g = &l->t.guest;

    qtest_writeq(g->qts, vtd_guest_pte(g, &l->table, iova, level), value);
}

/* Program the root table of legacy mode, without an invalidation */
void vtd_legacy_enter(VtdLegacy *l)
{
    VtdGuest *g = &l->t.guest;

    if (vtd_guest_translates(g)) {
        vtd_guest_set_root(g, l->root, false);
        return;
    }
    vtd_guest_enable(g);
    vtd_guest_set_translation(g, false);
    vtd_guest_set_root(g, l->root, false);
    vtd_guest_set_translation(g, true);
}

unsigned vtd_legacy_flush(VtdLegacy *l)
{
    gint64 end = qtest_hangs_at();
    unsigned rounds = 0;

    vtd_guest_post_iotlb(&l->t.guest, 1, 0, 0, 0);
    vtd_guest_post_wait(&l->t.guest);
    vtd_guest_ring(&l->t.guest);
    while (!vtd_guest_waited(&l->t.guest)) {
        if (g_get_monotonic_time() > end) {
            g_error("no completion within %d s", QTEST_HANG_SECONDS);
        }
        qtest_qmp_assert_success(l->t.host->qts,
                                 "{ 'execute': 'query-status' }");
        rounds++;
    }
    return rounds;
}

bool vtd_legacy_start(VtdLegacy *l, const VtdAccelSetup *setup,
                      unsigned levels)
{
    if (!vtd_accel_start(&l->t, setup)) {
        return false;
    }
    l->root = vtd_guest_alloc(&l->t.guest);
    l->table = (VtdGuestTable) {
        .levels = levels, .flags = VTD_PTE_SECOND_STAGE,
    };
    vtd_guest_add_table(&l->t.guest, &l->table);
    return true;
}

/* --- what the host has --- */

typedef struct Area {
    uint64_t iova, length, va;
    bool write;
    bool copied;            /* its pages are those of guest memory's IOAS */
} Area;

static bool field(const char *line, const char *name, uint64_t *value)
{
    g_autofree char *key = g_strdup_printf(" %s=", name);
    const char *at = strstr(line, key);

    *value = at ? g_ascii_strtoull(at + strlen(key), NULL, 0) : 0;
    return at;
}

static uint64_t must_field(const char *line, const char *name)
{
    uint64_t value;

    g_assert_true(field(line, name, &value));
    return value;
}

/* The last successful HWPT_ALLOC for the HWPT that device @n translates by */
static char *hwpt_line(VtdLegacy *l, unsigned n)
{
    g_autofree char *id =
        g_strdup_printf(" out_hwpt_id=%u ",
                        fakehost_device(l->t.host, fakehost_dev(n))->pt_id);
    char *line = fakehost_log_last(l->t.host, 0, "IOMMU_HWPT_ALLOC", id);

    g_assert_nonnull(line);
    return line;
}

static gint area_compare(gconstpointer pa, gconstpointer pb)
{
    const Area *a = pa, *b = pb;

    return a->iova < b->iova ? -1 : a->iova > b->iova;
}

static void replay_unmap(GArray *areas, uint64_t iova, uint64_t length)
{
    for (guint i = areas->len; i-- > 0;) {
        Area *a = &g_array_index(areas, Area, i);

        if (a->iova - iova < length) {
            g_array_remove_index(areas, i);
        }
    }
}

/* Where guest memory starts in QEMU: what was mapped at 0 first, by VFIO */
static uint64_t ram_base(VtdLegacy *l, uint64_t *ioas)
{
    g_autofree char *log = fakehost_log_since(l->t.host, 0);
    g_auto(GStrv) lines = g_strsplit(log, "\n", 0);

    for (unsigned i = 0; lines[i]; i++) {
        if (strstr(lines[i], " IOMMU_IOAS_MAP ") &&
            g_str_has_suffix(lines[i], " iova=0x0 = 0")) {
            *ioas = must_field(lines[i], "ioas_id");
            return must_field(lines[i], "user_va");
        }
    }
    g_assert_not_reached();
}

/* IOAS_COPY: guest memory is at its own addresses in VFIO's IOAS */
static Area copied_area(const char *line, uint64_t base, uint64_t ram_ioas)
{
    g_assert_cmpuint(must_field(line, "src_ioas_id"), ==, ram_ioas);
    return (Area) {
        .iova = must_field(line, "dst_iova"),
        .length = must_field(line, "length"),
        .va = base + must_field(line, "src_iova"),
        .write = must_field(line, "flags") & 2,
        .copied = true,
    };
}

/* The areas of IOAS @ioas, in order */
static GArray *areas_of(VtdLegacy *l, uint64_t ioas, uint64_t base,
                        uint64_t ram_ioas)
{
    g_autofree char *log = fakehost_log_since(l->t.host, 0);
    g_auto(GStrv) lines = g_strsplit(log, "\n", 0);
    GArray *areas = g_array_new(false, false, sizeof(Area));
    uint64_t id;

    for (unsigned i = 0; lines[i]; i++) {
        if (!g_str_has_suffix(lines[i], " = 0")) {
            continue;
        }
        if (strstr(lines[i], " IOMMU_DESTROY ") &&
            must_field(lines[i], "id") == ioas) {
            g_array_set_size(areas, 0);
        }
        if (field(lines[i], "dst_ioas_id", &id) && id == ioas) {
            Area a = copied_area(lines[i], base, ram_ioas);

            g_array_append_val(areas, a);
        }
        if (!field(lines[i], "ioas_id", &id) || id != ioas) {
            continue;
        }
        if (strstr(lines[i], " IOMMU_IOAS_MAP ")) {
            Area a = {
                .iova = must_field(lines[i], "iova"),
                .length = must_field(lines[i], "length"),
                .va = must_field(lines[i], "user_va"),
                /* IOMMU_IOAS_MAP_WRITEABLE */
                .write = must_field(lines[i], "flags") & 2,
            };

            g_array_append_val(areas, a);
        } else if (strstr(lines[i], " IOMMU_IOAS_UNMAP ")) {
            replay_unmap(areas, must_field(lines[i], "iova"),
                         must_field(lines[i], "length"));
        }
    }
    g_array_sort(areas, area_compare);
    return areas;
}

uint64_t vtd_legacy_pinned_again(VtdLegacy *l, unsigned n)
{
    g_autofree char *line = hwpt_line(l, n);
    uint64_t ram_ioas, base = ram_base(l, &ram_ioas), bytes = 0;
    g_autoptr(GArray) areas = areas_of(l, must_field(line, "pt_id"), base,
                                       ram_ioas);

    for (guint i = 0; i < areas->len; i++) {
        const Area *a = &g_array_index(areas, Area, i);

        bytes += a->copied ? 0 : a->length;
    }
    return bytes;
}

char *vtd_legacy_mappings(VtdLegacy *l, unsigned n)
{
    g_autofree char *line = hwpt_line(l, n);
    uint64_t ram_ioas, base = ram_base(l, &ram_ioas);
    g_autoptr(GArray) areas = areas_of(l, must_field(line, "pt_id"), base,
                                       ram_ioas);
    GString *s = g_string_new(NULL);

    for (guint i = 0; i < areas->len; i++) {
        const Area *a = &g_array_index(areas, Area, i);

        g_string_append_printf(s, "%" PRIx64 "+%" PRIx64 ">", a->iova,
                               a->length);
        if (a->va - base < VTD_GUEST_RAM_MB * 1024 * 1024ull) {
            g_string_append_printf(s, "%" PRIx64, a->va - base);
        } else {
            g_string_append(s, "?");
        }
        g_string_append(s, a->write ? ":rw " : ":r ");
    }
    return g_string_free(s, false);
}

/* Where device @n is, in the books and in the hardware */
VtdLegacyState vtd_legacy_state(VtdLegacy *l, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(l->t.host,
                                                       fakehost_dev(n));
    g_autofree char *line = NULL;

    if (fakehost_is_blocked(l->t.host, fakehost_dev(n))) {
        return BLOCKED;
    }
    g_assert_cmpuint(dev->pt_id, ==, dev->hw_pt_id);
    line = hwpt_line(l, n);
    if (must_field(line, "data_type")) {
        return S1;
    }
    /* A nesting parent cannot have read-only mappings */
    return must_field(line, "flags") & 1 ? S2 : SHADOW;
}
