/*
 * Fuzz target for host devices behind arm-smmuv3 with accel=on: what is right
 *
 * This is a second reading of the guest's stream table, by the letter of the
 * specification, independent of the code under test.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_bus.h"
#include "smmuv3_accel_fuzz.h"

#define SIDSIZE         16      /* IDR1.SIDSIZE */
#define STE_SIZE        64
#define L1_SIZE         8

/* Objects of an SMMU that has streams: to bypass and to abort */
#define SHARED_HWPTS    2

/* What a device is to translate by */
typedef enum Want {
    WANT_ABORT,
    WANT_BYPASS,
    WANT_S1,
} Want;

static const char *const want_names[] = { "abort", "bypass", "stage 1" };

typedef struct Reading {
    Want want;
    /* The words of a nested HWPT, for WANT_S1 */
    uint64_t ste[2];
    /* Reserved values that the architecture lets behave in two ways */
    bool abort_is_right;
} Reading;

static PCIDevice *find_device(unsigned n)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s",
                                            smmuv3_fuzz_dev(n));

    return (PCIDevice *)object_resolve_path(path, NULL);
}

bool smmuv3_fuzz_is_plugged(unsigned n)
{
    return find_device(n);
}

uint32_t smmuv3_fuzz_sid(unsigned n)
{
    PCIDevice *dev = find_device(n);

    return PCI_BUILD_BDF(pci_bus_num(pci_get_bus(dev)), dev->devfn);
}

/* False outside of RAM: nothing is valid there */
static bool read_words(Smmuv3Fuzz *f, uint64_t addr, uint64_t *val,
                       unsigned num)
{
    uint64_t len = num * sizeof(*val);

    if (addr < SMMUV3_GUEST_RAM || addr >= SMMUV3_FUZZ_RAM_END ||
        addr + len > SMMUV3_FUZZ_RAM_END) {
        return false;
    }
    qtest_memread(f->guest.qts, addr, val, len);
    for (unsigned i = 0; i < num; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

static uint64_t strtab_base(Smmuv3Fuzz *f)
{
    return (smmuv3_guest_readl(&f->guest, SMMUV3_STRTAB_BASE) |
            (uint64_t)smmuv3_guest_readl(&f->guest,
                                         SMMUV3_STRTAB_BASE + 4) << 32) &
           MAKE_64BIT_MASK(6, 46);
}

/* Level 1 descriptor and what it leads to (SMMUv3 5.1, 6.3.25) */
static bool two_level_addr(Smmuv3Fuzz *f, uint32_t sid, unsigned log2size,
                           unsigned split, uint64_t *addr)
{
    uint64_t size, desc, base = strtab_base(f);
    unsigned span;

    if (split != 8 && split != 10) {
        split = 6;
    }
    size = (log2size > split ? 1ull << (log2size - split) : 1) * L1_SIZE;
    base &= -MAX(size, 64);
    if (!read_words(f, base + (sid >> split) * L1_SIZE, &desc, 1)) {
        return false;
    }
    span = desc & 31;
    if (!span || span > split + 1 ||
        (sid & ((1u << split) - 1)) >= 1u << (span - 1)) {
        return false;
    }
    size = (uint64_t)STE_SIZE << (span - 1);
    *addr = (desc & MAKE_64BIT_MASK(6, 46) & -size) +
            (sid & ((1u << split) - 1)) * STE_SIZE;
    return true;
}

bool smmuv3_fuzz_ste_addr(Smmuv3Fuzz *f, uint32_t sid, uint64_t *addr)
{
    uint32_t cfg = smmuv3_guest_readl(&f->guest, SMMUV3_STRTAB_BASE_CFG);
    unsigned log2size = MIN(cfg & 63, SIDSIZE);

    if (sid >= 1ull << log2size) {
        return false;
    }
    if (extract32(cfg, 16, 2) == 1) {
        return two_level_addr(f, sid, log2size, extract32(cfg, 6, 5), addr);
    }
    *addr = (strtab_base(f) & -((uint64_t)STE_SIZE << log2size)) +
            sid * STE_SIZE;
    return true;
}

/* An entry that is valid and has stage 1 (SMMUv3 5.2) */
static void read_s1(const uint64_t *ste, bool ats, Reading *r)
{
    unsigned cdmax = ste[0] >> 59;
    unsigned eats = extract64(ste[1], 28, 2);

    /* With IDR0.CD2L CD tables may have two levels; S1Fmt 3 is reserved */
    if (cdmax > SMMUV3_FUZZ_SSIDSIZE ||
        (cdmax && (extract64(ste[0], 4, 2) == 3 || (ste[1] & 3) == 3)) ||
        eats == 2) {
        return;
    }
    /* EATS 3 is reserved; IDR0.STALL_MODEL says that nothing stalls */
    r->abort_is_right = eats == 3 || ste[1] & BIT_ULL(27);
    r->want = WANT_S1;
    /* V, Config, S1Fmt, S1ContextPtr; S1CDMax */
    r->ste[0] = ste[0] & (MAKE_64BIT_MASK(0, 52) | MAKE_64BIT_MASK(59, 5));
    /* S1DSS, S1CIR, S1COR, S1CSH, S1STALLD */
    r->ste[1] = ste[1] & (MAKE_64BIT_MASK(0, 8) | BIT_ULL(27));
    if (ats && eats == 1) {
        r->ste[1] |= SMMUV3_STE1_EATS;
    }
}

static Reading read_tables(Smmuv3Fuzz *f, unsigned n)
{
    uint32_t cr0 = smmuv3_guest_readl(&f->guest, SMMUV3_CR0);
    uint32_t gbpa = smmuv3_guest_readl(&f->guest, SMMUV3_GBPA);
    uint32_t cfg = smmuv3_guest_readl(&f->guest, SMMUV3_STRTAB_BASE_CFG);
    Reading r = { .want = WANT_ABORT };
    uint64_t addr, ste[2];

    if (!(cr0 & SMMUV3_CR0_SMMUEN)) {
        r.want = gbpa & SMMUV3_GBPA_ABORT ? WANT_ABORT : WANT_BYPASS;
        return r;
    }
    if (!smmuv3_fuzz_ste_addr(f, smmuv3_fuzz_sid(n), &addr) ||
        !read_words(f, addr, ste, 2) || !(ste[0] & SMMUV3_STE_V)) {
        return r;
    }
    switch (ste[0] & 0xf) {
    case SMMUV3_STE_BYPASS:
        r.want = WANT_BYPASS;
        break;
    case SMMUV3_STE_S1:
        read_s1(ste, n < SMMUV3_FUZZ_ATS_DEVICES, &r);
        break;
    default:
        /* Abort, or a stage 2 that the guest was not offered */
        break;
    }
    /* Reserved formats of the table */
    r.abort_is_right |= extract32(cfg, 16, 2) > 1;
    return r;
}

/* One StreamID can have one vDEVICE: of several devices, only one gets it */
static bool shares_sid(unsigned n)
{
    for (unsigned i = 0; i < SMMUV3_FUZZ_DEVICES; i++) {
        if (i != n && smmuv3_fuzz_is_plugged(i) &&
            smmuv3_fuzz_sid(i) == smmuv3_fuzz_sid(n)) {
            return true;
        }
    }
    return false;
}

/*
 * What the host has; the books and the hardware agree. But a driver that failed
 * to attach something else may have blocked the device, and attaching what the
 * books say it has changes nothing: where that aborts, blocked is as good.
 */
static Want read_host(const struct FakehostDevice *dev)
{
    unsigned type = dev->ste[0] & 0xf;

    if (!dev->pt_id || !dev->ste[0]) {
        fakehost_fuzz_wrong("%s: HWPT %u is none of an SMMU", dev->name,
                            dev->pt_id);
    }
    if (dev->pt_id != dev->hw_pt_id &&
        (dev->hw_pt_id || type == SMMUV3_STE_BYPASS || type == SMMUV3_STE_S1)) {
        fakehost_fuzz_wrong("%s: HWPT %u in the books, %u in the hardware",
                            dev->name, dev->pt_id, dev->hw_pt_id);
    }
    switch (type) {
    case SMMUV3_STE_BYPASS:
        return WANT_BYPASS;
    case SMMUV3_STE_S1:
        return WANT_S1;
    default:
        return WANT_ABORT;
    }
}

static void expect(Smmuv3Fuzz *f, unsigned n)
{
    const struct FakehostDevice *dev =
        fakehost_fuzz_device(smmuv3_fuzz_dev(n));
    Reading r = read_tables(f, n);
    Want has = read_host(dev);

    if (has == WANT_ABORT &&
        (r.abort_is_right || (r.want == WANT_S1 && shares_sid(n)))) {
        return;
    }
    if (has != r.want) {
        fakehost_fuzz_wrong("%s: the guest wants %s, the host has %s",
                            dev->name, want_names[r.want], want_names[has]);
    }
    if (has != WANT_S1) {
        return;
    }
    if (dev->ste[0] != r.ste[0] || dev->ste[1] != r.ste[1]) {
        fakehost_fuzz_wrong("%s: the guest's entry is 0x%" PRIx64 " 0x%" PRIx64
                            ", the host's 0x%" PRIx64 " 0x%" PRIx64, dev->name,
                            r.ste[0], r.ste[1], dev->ste[0], dev->ste[1]);
    }
    if (!dev->vdevices || dev->virt_id != smmuv3_fuzz_sid(n)) {
        fakehost_fuzz_wrong("%s: StreamID 0x%x, but 0x%" PRIx64 " in the host",
                            dev->name, smmuv3_fuzz_sid(n), dev->virt_id);
    }
}

void smmuv3_fuzz_check_closed(Smmuv3Fuzz *f)
{
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        const struct FakehostDevice *dev =
            fakehost_fuzz_device(smmuv3_fuzz_dev(n));

        if (smmuv3_fuzz_is_plugged(n) && dev->hw_pt_id &&
            read_host(dev) != WANT_ABORT) {
            expect(f, n);
        }
    }
}

static void check_objects(unsigned type, const char *name, unsigned min,
                          unsigned max)
{
    unsigned num = fakehost_fuzz_objects(type);

    if (num < min || num > max) {
        fakehost_fuzz_wrong("%u objects %s in the host, not %u to %u", num,
                            name, min, max);
    }
}

void smmuv3_fuzz_check(Smmuv3Fuzz *f)
{
    unsigned plugged = 0, s1 = 0;

    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        if (smmuv3_fuzz_is_plugged(n)) {
            expect(f, n);
            plugged++;
            s1 += read_host(fakehost_fuzz_device(smmuv3_fuzz_dev(n))) ==
                  WANT_S1;
        }
    }
    check_objects(FAKEHOST_OBJ_VIOMMU, "vIOMMU", !!plugged, !!plugged);
    check_objects(FAKEHOST_OBJ_HWPT_NESTED, "nested HWPT",
                  s1 + (plugged ? SHARED_HWPTS : 0),
                  s1 + (plugged ? SHARED_HWPTS : 0));
    check_objects(FAKEHOST_OBJ_VDEVICE, "vDEVICE", s1, plugged);
    /* What the host refused is not tried again until the guest asks for it */
    check_objects(FAKEHOST_OBJ_VEVENTQ, "vEVENTQ", 0, !!plugged);
}

void smmuv3_fuzz_check_reset(Smmuv3Fuzz *f)
{
    unsigned plugged = 0;

    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        const struct FakehostDevice *dev =
            fakehost_fuzz_device(smmuv3_fuzz_dev(n));

        if (!smmuv3_fuzz_is_plugged(n)) {
            continue;
        }
        plugged++;
        if (read_host(dev) != WANT_BYPASS) {
            fakehost_fuzz_wrong("%s: %s after reset", dev->name,
                                want_names[read_host(dev)]);
        }
    }
    check_objects(FAKEHOST_OBJ_VIOMMU, "vIOMMU", !!plugged, !!plugged);
    check_objects(FAKEHOST_OBJ_HWPT_NESTED, "nested HWPT",
                  plugged ? SHARED_HWPTS : 0, plugged ? SHARED_HWPTS : 0);
    check_objects(FAKEHOST_OBJ_VDEVICE, "vDEVICE", 0, plugged);
    check_objects(FAKEHOST_OBJ_VEVENTQ, "vEVENTQ", 0, !!plugged);
}

void smmuv3_fuzz_check_empty(Smmuv3Fuzz *f)
{
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        if (smmuv3_fuzz_is_plugged(n)) {
            fakehost_fuzz_wrong("%s cannot be unplugged", smmuv3_fuzz_dev(n));
        }
    }
    for (unsigned type = FAKEHOST_OBJ_DEVICE; type < FAKEHOST_OBJ_TYPES;
         type++) {
        g_autofree char *name = g_strdup_printf("of type %u", type);

        check_objects(type, name, 0, 0);
    }
}
