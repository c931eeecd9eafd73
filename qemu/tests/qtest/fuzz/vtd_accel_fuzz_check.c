/*
 * Fuzz target for host devices behind intel-iommu with first-stage tables:
 * what is right
 *
 * This is a second reading of the guest's tables, by the letter of the
 * specification, independent of the code under test.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "hw/vfio/vfio-common.h"
#include "hw/i386/intel_iommu_internal.h"
#include "system/iommufd.h"
#include "vtd_accel_fuzz.h"

#define PRESENT         1ull
#define ADDRESS         (~0xfffull)
#define TOO_WIDE        MAKE_64BIT_MASK(VTD_FUZZ_AW_BITS, \
                                        64 - VTD_FUZZ_AW_BITS)

/* What a device is to translate by */
typedef enum Want {
    WANT_BLOCKED,
    WANT_S2,
    WANT_S1,
    WANT_ANY,           /* legacy mode is not looked into here */
} Want;

/* The fields of the context entry that matter (VT-d 9.4) */
typedef struct Context {
    uint64_t dir;
    uint32_t dir_num;
    uint32_t rid_pasid;
    bool pasid_enabled;
} Context;

static PCIDevice *find_device(unsigned n)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s",
                                            vtd_fuzz_dev(n));

    return (PCIDevice *)object_resolve_path(path, NULL);
}

bool vtd_fuzz_is_plugged(unsigned n)
{
    return find_device(n);
}

/* HWPT of guest memory that the device's owner has */
static uint32_t s2_id(unsigned n)
{
    DeviceState *dev = DEVICE(find_device(n));
    VFIODevice *vdev;

    QLIST_FOREACH(vdev, &vfio_device_list, global_next) {
        if (vdev->dev == dev) {
            return HOST_IOMMU_DEVICE_IOMMUFD(vdev->hiod)->hwpt_id;
        }
    }
    fakehost_fuzz_wrong("VFIO does not know %s", vtd_fuzz_dev(n));
}

/* False outside of RAM: there is nothing present, then, either */
static bool read_words(VtdFuzz *f, uint64_t addr, uint64_t *val, unsigned num)
{
    uint64_t len = num * sizeof(*val);

    if (addr >= VTD_FUZZ_RAM || addr + len > VTD_FUZZ_RAM ||
        (addr + len > 0xa0000 && addr < 0x100000)) {
        return false;
    }
    qtest_memread(f->guest.qts, addr, val, len);
    for (unsigned i = 0; i < num; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

static bool read_context(VtdFuzz *f, uint8_t bus, Context *c)
{
    uint64_t root = vtd_guest_readq(&f->guest, DMAR_RTADDR_REG) & ADDRESS &
                    ~TOO_WIDE;
    uint64_t re, ce[4];

    /* Each device is function 0 of its bus, so it is in the lower table */
    if (!read_words(f, root + bus * 16, &re, 1) || !(re & PRESENT) ||
        re & (0xffe | TOO_WIDE) ||
        !read_words(f, re & ADDRESS, ce, 4) || !(ce[0] & PRESENT) ||
        ce[0] & (0x1e0 | TOO_WIDE) || ce[1] >> 21 || ce[2] || ce[3]) {
        return false;
    }
    c->dir = ce[0] & ADDRESS;
    c->dir_num = 128u << extract64(ce[0], 9, 3);
    c->rid_pasid = extract64(ce[1], 0, 20);
    c->pasid_enabled = extract64(ce[0], 3, 1);
    return true;
}

/*
 * What one PASID entry asks for. @doubtful is set where a reserved bit is set
 * that the hardware may or may not look at: blocked is then right as well.
 */
static Want read_entry(VtdFuzz *f, uint64_t dire, const uint64_t *pe,
                       bool *doubtful)
{
    uint64_t ecap = vtd_guest_readq(&f->guest, DMAR_ECAP_REG);

    if (!(pe[0] & PRESENT)) {
        return WANT_BLOCKED;
    }
    *doubtful = dire & (0xffc | TOO_WIDE) || pe[0] & 0xe20 || pe[1] >> 16 ||
                pe[2] & (0xf02 | TOO_WIDE) || pe[3] || pe[4] || pe[5] ||
                pe[6] || pe[7];

    switch (extract64(pe[0], 6, 3)) {
    case VTD_PGTT_PASS_THROUGH:
        return WANT_S2;
    case VTD_PGTT_FIRST_STAGE:
        if (extract64(pe[2], 2, 2) || pe[2] & VTD_PE_EAFE ||
            (pe[2] & VTD_PE_SRE && !(ecap & VTD_ECAP_SRS))) {
            return WANT_BLOCKED;
        }
        return WANT_S1;
    default:
        return WANT_BLOCKED;
    }
}

static Want read_pasid(VtdFuzz *f, const Context *c, uint32_t pasid,
                       bool *doubtful)
{
    uint64_t dire, pe[8];

    if (pasid >> 6 >= c->dir_num ||
        !read_words(f, c->dir + (pasid >> 6) * 8, &dire, 1) ||
        !(dire & PRESENT) ||
        !read_words(f, (dire & ADDRESS) + (pasid & 63) * 64, pe, 8)) {
        return WANT_BLOCKED;
    }
    return read_entry(f, dire, pe, doubtful);
}

/*
 * How many PASIDs besides RID_PASID are bound, by the tables. PASID 0 never is:
 * to the host that means requests without one.
 */
static void count_pasids(VtdFuzz *f, const Context *c, unsigned *sure,
                         unsigned *doubtful)
{
    uint64_t chunk[512], pe[64 * 8];

    for (uint32_t i = 0; i < c->dir_num; i++) {
        if (i % 512 == 0 &&
            !read_words(f, c->dir + i * 8, chunk, MIN(512, c->dir_num))) {
            /* Some of it may be in memory, but the last word never is */
            memset(chunk, 0, sizeof(chunk));
        }
        if (!(chunk[i % 512] & PRESENT) ||
            !read_words(f, chunk[i % 512] & ADDRESS, pe, ARRAY_SIZE(pe))) {
            continue;
        }
        for (uint32_t j = !i; j < 64; j++) {
            bool d = false;

            if (i * 64 + j != c->rid_pasid &&
                read_entry(f, chunk[i % 512], pe + j * 8, &d) != WANT_BLOCKED) {
                *(d ? doubtful : sure) += 1;
            }
        }
    }
}

static void check_pasids(VtdFuzz *f, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_fuzz_device(vtd_fuzz_dev(n));
    unsigned sure = 0, doubtful = 0;
    Context c;

    if (vtd_guest_translates(&f->guest) &&
        vtd_guest_readq(&f->guest, DMAR_RTADDR_REG) & VTD_RTADDR_SMT &&
        read_context(f, pci_bus_num(pci_get_bus(find_device(n))), &c) &&
        c.pasid_enabled && n < VTD_FUZZ_PASID_DEVICES) {
        count_pasids(f, &c, &sure, &doubtful);
    }
    if (dev->pasids < sure || dev->pasids > sure + doubtful) {
        fakehost_fuzz_wrong("%s: the guest has bound %u to %u PASIDs, the host "
                            "%u", dev->name, sure, sure + doubtful,
                            dev->pasids);
    }
}

static Want wanted(VtdFuzz *f, unsigned n, bool *doubtful)
{
    uint8_t bus = pci_bus_num(pci_get_bus(find_device(n)));
    Context c;

    if (!vtd_guest_translates(&f->guest)) {
        return WANT_S2;
    }
    if (!(vtd_guest_readq(&f->guest, DMAR_RTADDR_REG) & VTD_RTADDR_SMT)) {
        return WANT_ANY;
    }
    return read_context(f, bus, &c) ? read_pasid(f, &c, c.rid_pasid, doubtful)
                                    : WANT_BLOCKED;
}

static void expect(unsigned n, Want want, bool doubtful)
{
    static const char *const names[] = { "blocked", "S2", "S1" };
    const struct FakehostDevice *dev = fakehost_fuzz_device(vtd_fuzz_dev(n));
    Want has;

    if (want == WANT_ANY) {
        return;
    }
    if (dev->pt_id != dev->hw_pt_id) {
        fakehost_fuzz_wrong("%s: HWPT %u in the books, %u in the hardware",
                            dev->name, dev->pt_id, dev->hw_pt_id);
    }
    has = !dev->hw_pt_id ? WANT_BLOCKED :
          dev->hw_pt_id == s2_id(n) ? WANT_S2 : WANT_S1;
    if (has != want && !(doubtful && has == WANT_BLOCKED)) {
        fakehost_fuzz_wrong("%s: the guest wants %s, the host has %s",
                            dev->name, names[want], names[has]);
    }
}

void vtd_fuzz_check(VtdFuzz *f)
{
    unsigned bindings = 0;

    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        bool doubtful = false;

        if (vtd_fuzz_is_plugged(n)) {
            expect(n, wanted(f, n, &doubtful), doubtful);
            check_pasids(f, n);
        }
        bindings += 1 + fakehost_fuzz_device(vtd_fuzz_dev(n))->pasids;
    }
    if (fakehost_fuzz_objects(FAKEHOST_OBJ_HWPT_NESTED) > bindings) {
        fakehost_fuzz_wrong("%u nested HWPTs for at most %u bindings",
                            fakehost_fuzz_objects(FAKEHOST_OBJ_HWPT_NESTED),
                            bindings);
    }
}

void vtd_fuzz_check_reset(VtdFuzz *f)
{
    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        const struct FakehostDevice *dev =
            fakehost_fuzz_device(vtd_fuzz_dev(n));

        expect(n, WANT_S2, false);
        if (dev->pasids) {
            fakehost_fuzz_wrong("%s: %u PASIDs attached after reset",
                                dev->name, dev->pasids);
        }
    }
    if (fakehost_fuzz_objects(FAKEHOST_OBJ_HWPT_NESTED)) {
        fakehost_fuzz_wrong("%u nested HWPTs after reset",
                            fakehost_fuzz_objects(FAKEHOST_OBJ_HWPT_NESTED));
    }
    if (f->answers_fail) {
        fakehost_fuzz_page->answers_refused = 0;
    }
    if (fakehost_fuzz_page->requests_waiting ||
        fakehost_fuzz_page->answers_refused) {
        fakehost_fuzz_wrong("%" PRIu64 " page requests without an answer, %"
                            PRIu64 " answers to nothing",
                            fakehost_fuzz_page->requests_waiting,
                            fakehost_fuzz_page->answers_refused);
    }
}
