/*
 * Fuzz target for host devices behind intel-iommu with first-stage tables
 *
 * An input is a sequence of steps of a guest that means harm: well-formed and
 * damaged entries of the root, context and PASID tables, descriptors, register
 * writes, unplugging, and a host that fails. It starts from a guest whose
 * devices work. In the end the guest says that everything has changed, and what
 * the host was told has to agree with the tables; then the machine is reset.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-qdev.h"
#include "hw/pci/pci_regs.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/i386/intel_iommu_accel_internal.h"
#include "hw/i386/x86-iommu.h"
#include "tests/qtest/fakehost/fakehost-uapi.h"
#include "tests/qtest/vtd-accel-common.h"
#include "vtd_accel_fuzz.h"

#define PAGE            4096ull
#define PAGES           32
#define FIRST_PAGE      VTD_GUEST_TABLES
#define FIRST_SLOT      4               /* device number of root port 0 */
#define BURSTS          16              /* after the steps of an input */
#define SLOW_STEPS      4
#define RCU_INPUTS      16              /* memory is freed after so many */
#define OUTSIDE         0x7ff000000000ull
#define IQA_DW          (1ull << 11)
#define SM_CE_PASIDE    (1ull << 3)
#define SM_CE_PRE       (1ull << 4)
#define DESC_PAGE_GROUP 9
#define DESC_DRAIN      (VTD_INV_DESC_WAIT | 1 << 6 | 1 << 7)   /* fence, PD */
#define GROUP_MAX       8       /* requests; a pipe takes them at once */
#define HOST_PRI        (HOST_ECAP | VTD_ECAP_PRS | VTD_ECAP_PDS)

const char *vtd_fuzz_dev(unsigned n)
{
    static const char *const names[VTD_FUZZ_DEVICES] = {
        "dev0", "dev1", "dev2",
    };

    return names[n];
}

/* --- what steps choose from --- */

static unsigned choose_device(FuzzInput *in)
{
    return fuzz_u8(in) % VTD_FUZZ_DEVICES;
}

/* A page of ours in most cases */
static uint64_t choose_page(FuzzInput *in)
{
    static const uint64_t elsewhere[] = {
        0, 0xa0000, VTD_FUZZ_RAM - PAGE, VTD_FUZZ_RAM, OUTSIDE,
        Q35_HOST_BRIDGE_IOMMU_ADDR, 0xfee00000, 0xfffff000, -PAGE,
    };
    uint8_t val = fuzz_u8(in);

    if (val < 0xc0) {
        return FIRST_PAGE + val % PAGES * PAGE;
    }
    return val < 0xf0 ? elsewhere[val % ARRAY_SIZE(elsewhere)]
                      : fuzz_u64(in) & -PAGE;
}

static uint32_t choose_pasid(FuzzInput *in)
{
    return fuzz_small(in, 20);
}

static bool is_slow(VtdFuzz *f)
{
    return !f->slow_steps || !f->slow_steps--;
}

static void writeq(VtdFuzz *f, uint64_t addr, uint64_t val)
{
    qtest_writeq(f->guest.qts, addr, val);
}

/* --- steps: tables --- */

static void step_poke(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint64_t addr = choose_page(in) + fuzz_u16(in) % (PAGE / 8) * 8;

    writeq(f, addr, fuzz_u8(in) & 1 ? fuzz_u64(in) : choose_page(in) | 1);
}

static void step_root(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t bus = fuzz_small(in, 8);

    writeq(f, f->guest.root + bus * 16ull,
           (choose_page(in) | 1) ^ fuzz_damage(in));
}

static void step_context(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned n = choose_device(in);
    uint8_t val = fuzz_u8(in);
    uint64_t dir = val & 1 ? choose_page(in) : f->dir[n];

    writeq(f, f->context[n] + 8, choose_pasid(in) ^ fuzz_damage(in));
    writeq(f, f->context[n] + 16, fuzz_damage(in));
    writeq(f, f->context[n], (dir | fuzz_small(in, 3) << 9 |
                              (val & 6 ? SM_CE_PASIDE : 0) |
                              (val & 24 ? SM_CE_PRE : 0) | 1) ^
           fuzz_damage(in));
}

static void step_directory(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned n = choose_device(in), num = 1 + fuzz_small(in, 4);
    uint64_t addr = f->dir[n] + (choose_pasid(in) >> 6) * 8;
    uint64_t table = fuzz_u8(in) & 1 ? choose_page(in) : f->table[n];
    uint64_t entry = (table | 1) ^ fuzz_damage(in);

    for (unsigned i = 0; i < num; i++) {
        writeq(f, addr + i * 8, entry);
    }
}

static void step_pasid(void *opaque, FuzzInput *in)
{
    static const uint8_t types[] = {
        VTD_PGTT_FIRST_STAGE, VTD_PGTT_FIRST_STAGE, VTD_PGTT_FIRST_STAGE,
        VTD_PGTT_PASS_THROUGH, VTD_PGTT_PASS_THROUGH, VTD_PGTT_SECOND_STAGE,
        VTD_PGTT_NESTED, 0,
    };
    VtdFuzz *f = opaque;
    uint64_t addr = f->table[choose_device(in)] + (choose_pasid(in) & 63) * 64;
    uint64_t type = types[fuzz_u8(in) % ARRAY_SIZE(types)];

    writeq(f, addr + 8, fuzz_small(in, 16) ^ fuzz_damage(in));
    writeq(f, addr + 16, choose_page(in) ^ fuzz_damage(in));
    writeq(f, addr + 24 + fuzz_u8(in) % 5 * 8, fuzz_damage(in));
    writeq(f, addr, (type << 6 | 1) ^ fuzz_damage(in));
}

static void step_clear_pasid(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;

    writeq(f, f->table[choose_device(in)] + (choose_pasid(in) & 63) * 64, 0);
}

/* --- steps: queue --- */

/* Not counted is what is done after it, in pieces */
static void write_tail(VtdFuzz *f, uint64_t tail)
{
    VtdGuest *g = &f->guest;
    uint64_t iqa = vtd_guest_readq(g, DMAR_IQA_REG);
    uint64_t was = vtd_guest_readq(g, DMAR_IQH_REG), now;
    uint64_t size = PAGE << (iqa & 7);

    vtd_guest_writeq(g, DMAR_IQT_REG, tail);
    now = vtd_guest_readq(g, DMAR_IQH_REG);
    fakehost_fuzz_taken((now + size - was) % size / (iqa & IQA_DW ? 32 : 16));
}

static void ring(VtdFuzz *f)
{
    write_tail(f, f->guest.tail * f->guest.queue_width);
}

/*
 * The last descriptor damaged, or words written that it has no use for; and the
 * doorbell, which a step of its own would hit too seldom.
 */
static void finish_desc(VtdFuzz *f, FuzzInput *in)
{
    VtdGuest *g = &f->guest;
    unsigned last = (g->tail + g->queue_slots - 1) % g->queue_slots;
    uint64_t addr = g->queue + last * g->queue_width;
    uint64_t damage = fuzz_damage(in);

    if (damage) {
        addr += fuzz_u8(in) % (g->queue_width / 8) * 8;
        writeq(f, addr, qtest_readq(g->qts, addr) ^ damage);
    }
    if (fuzz_u8(in) & 1) {
        ring(f);
    }
}

static void step_pasid_cache(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned granularity = fuzz_u8(in) & 3;

    vtd_guest_post_pc(&f->guest, granularity, fuzz_small(in, 16),
                      choose_pasid(in));
    finish_desc(f, in);
}

static void step_context_cache(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned granularity = fuzz_u8(in) & 3;
    uint16_t bus = fuzz_small(in, 8);

    vtd_guest_post_cc(&f->guest, granularity, fuzz_small(in, 16), bus << 8);
    finish_desc(f, in);
}

static void step_iotlb(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned granularity = fuzz_u8(in) & 3;

    vtd_guest_post_iotlb(&f->guest, granularity, fuzz_small(in, 16),
                         choose_page(in), fuzz_small(in, 6));
    finish_desc(f, in);
}

static void step_piotlb(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);

    vtd_guest_post_piotlb(&f->guest, val & 3, fuzz_small(in, 16),
                          choose_pasid(in), choose_page(in),
                          fuzz_small(in, 6), val & 4);
    finish_desc(f, in);
}

static void step_other_desc(void *opaque, FuzzInput *in)
{
    static const uint16_t types[] = {
        VTD_INV_DESC_DEVICE, VTD_INV_DESC_IEC, VTD_INV_DESC_DEV_PIOTLB,
        VTD_INV_DESC_WAIT, 0,
    };
    VtdFuzz *f = opaque;
    uint64_t type = types[fuzz_u8(in) % ARRAY_SIZE(types)];

    vtd_guest_post(&f->guest, type | (uint64_t)fuzz_u16(in) << 32 |
                   (fuzz_u8(in) & 7) << 4, choose_page(in));
    finish_desc(f, in);
}

static void step_raw_desc(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint64_t lo = fuzz_u64(in);

    vtd_guest_post(&f->guest, lo, fuzz_u64(in));
    finish_desc(f, in);
}

static void step_wait(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;

    vtd_guest_post_wait(&f->guest);
    finish_desc(f, in);
}

/* The last descriptor many times */
static void step_repeat(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    VtdGuest *g = &f->guest;
    unsigned last = (g->tail + g->queue_slots - 1) % g->queue_slots;
    unsigned num = fuzz_u8(in) % g->queue_slots;
    uint64_t lo = qtest_readq(g->qts, g->queue + last * g->queue_width);
    uint64_t hi = qtest_readq(g->qts, g->queue + last * g->queue_width + 8);

    for (unsigned i = 0; i < num; i++) {
        vtd_guest_post(g, lo, hi);
    }
    ring(f);
}

/* To a group of page requests: see step_page_requests() (VT-d 7.7.1) */
static void post_response(VtdGuest *g, unsigned n, uint32_t pasid,
                          unsigned prgi, unsigned code)
{
    vtd_guest_post(g, DESC_PAGE_GROUP | (pasid ? 1 << 4 : 0) | code << 12 |
                   (uint64_t)(n + 1) << 24 | (uint64_t)pasid << 32, prgi << 3);
}

/* Most are what drivers send most, for what set_up() has bound */
static void burst_desc(VtdGuest *g, uint32_t val)
{
    static const uint8_t pc[] = { VTD_PC_DOMAIN, VTD_PC_PASID, VTD_PC_GLOBAL };
    unsigned choice = val >> 8 & 3, pasid = val >> 10 & 1;
    unsigned domain = 1 + (val >> 11 & 1), order = val >> 12 & 7;
    uint64_t addr = (uint64_t)(val >> 16) * PAGE;

    switch (val & 15) {
    case 0:
        vtd_guest_post_pc(g, pc[choice % 3], domain, pasid);
        break;
    case 1:
        vtd_guest_post_iotlb(g, 1 + choice % 3, domain, addr, order);
        break;
    case 2:
        vtd_guest_post_wait(g);
        break;
    case 3:
        vtd_guest_post(g, choice ? VTD_INV_DESC_IEC | (val & 0x400) >> 6
                                 : DESC_DRAIN, 0);
        break;
    case 4:
        post_response(g, domain - 1, pasid, order & 3, choice & 1);
        break;
    default:
        vtd_guest_post_piotlb(g, 2 + (choice & 1), domain, pasid, addr,
                              order, val >> 15 & 1);
        break;
    }
}

/* Well-formed descriptors that follow from @val, one doorbell for them */
static void burst(VtdFuzz *f, unsigned num, uint32_t val)
{
    for (unsigned i = 0; i < num; i++) {
        val = val * 1664525 + 1013904223;
        burst_desc(&f->guest, val ^ val >> 16);
    }
    ring(f);
}

static void step_burst(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    unsigned num = 1 + fuzz_u8(in) % (f->guest.queue_slots - 1);

    burst(f, num, fuzz_u16(in));
}

static void step_ring(void *opaque, FuzzInput *in)
{
    ring(opaque);
}

static void step_tail(void *opaque, FuzzInput *in)
{
    write_tail(opaque, fuzz_u8(in) & 1 ? fuzz_u64(in) : fuzz_u16(in));
}

static void step_queue_base(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    VtdGuest *g = &f->guest;
    uint32_t gsts = vtd_guest_readl(g, DMAR_GSTS_REG) & ~VTD_GSTS_QIES;
    uint64_t base = choose_page(in);
    uint8_t val = fuzz_u8(in);

    vtd_guest_writel(g, DMAR_GCMD_REG, gsts & (VTD_GSTS_TES | VTD_GSTS_IRES));
    if (vtd_guest_readl(g, DMAR_GSTS_REG) & VTD_GSTS_QIES) {
        return;
    }
    g->queue_width = val & 8 ? 32 : 16;
    g->queue_slots = PAGE / g->queue_width;
    g->tail = 0;
    g->queue = base;
    vtd_guest_writeq(g, DMAR_IQT_REG, 0);
    vtd_guest_writeq(g, DMAR_IQA_REG, (base | (val & 8 ? IQA_DW : 0) |
                     (val & 0x70 ? 0 : val & 7)) ^ fuzz_damage(in));
    vtd_guest_writel(g, DMAR_GCMD_REG, (gsts & (VTD_GSTS_TES | VTD_GSTS_IRES)) |
                     VTD_GCMD_QIE);
}

/* --- steps: registers --- */

/* Two registers of 32 bits, which software writes one by one */
static bool is_pair(uint16_t reg)
{
    return reg == DMAR_GCMD_REG || reg == DMAR_FECTL_REG ||
           reg == DMAR_FEADDR_REG || reg == DMAR_IECTL_REG ||
           reg == DMAR_IEADDR_REG;
}

static void step_register(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    /* All of them are below 0x200, and so is much that is none */
    uint16_t reg = fuzz_u8(in) % 0x80 * 4;

    if (fuzz_u8(in) & 1) {
        uint64_t val = fuzz_u64(in);

        reg &= ~7;
        if (is_pair(reg)) {
            vtd_guest_writel(&f->guest, reg, val);
            vtd_guest_writel(&f->guest, reg + 4, val >> 32);
        } else {
            vtd_guest_writeq(&f->guest, reg, val);
        }
    } else {
        vtd_guest_writel(&f->guest, reg, fuzz_u32(in));
    }
}

static void step_command(void *opaque, FuzzInput *in)
{
    static const uint32_t bits[] = {
        VTD_GCMD_TE, VTD_GCMD_SRTP, VTD_GCMD_QIE, VTD_GCMD_IRE, VTD_GCMD_SIRTP,
        VTD_GCMD_TE, VTD_GCMD_SRTP, VTD_GCMD_TE | VTD_GCMD_SRTP,
    };
    VtdFuzz *f = opaque;
    uint32_t gsts = vtd_guest_readl(&f->guest, DMAR_GSTS_REG) &
                    (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES);

    vtd_guest_writel(&f->guest, DMAR_GCMD_REG,
                     gsts ^ bits[fuzz_u8(in) % ARRAY_SIZE(bits)]);
}

static void step_root_pointer(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);

    vtd_guest_writeq(&f->guest, DMAR_RTADDR_REG,
                     (val & 1 ? choose_page(in) : f->guest.root) |
                     (val & 14 ? VTD_RTADDR_SMT : 0));
}

/* Invalidations by register, for which the queue has to be off */
static void step_invalidate_register(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    uint64_t granularity = val & 3, domain_id = fuzz_small(in, 16);

    if (val & 4) {
        vtd_guest_writeq(&f->guest, DMAR_CCMD_REG, VTD_CCMD_ICC |
                         granularity << 61 | domain_id |
                         (uint64_t)fuzz_u16(in) << 16);
    } else {
        vtd_guest_writeq(&f->guest, DMAR_IVA_REG,
                         choose_page(in) | fuzz_small(in, 6));
        vtd_guest_writeq(&f->guest, DMAR_IOTLB_REG, VTD_TLB_IVT |
                         granularity << 60 | domain_id << 32);
    }
}

/* All on again, where a guest of good will would have it */
static void step_enable(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    VtdGuest *g = &f->guest;
    uint32_t gsts = vtd_guest_readl(g, DMAR_GSTS_REG) &
                    (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES);

    if (!(gsts & VTD_GSTS_QIES)) {
        g->tail = 0;
        vtd_guest_writeq(g, DMAR_IQT_REG, 0);
        vtd_guest_writeq(g, DMAR_IQA_REG,
                         g->queue | (g->queue_width == 32 ? IQA_DW : 0));
        gsts |= VTD_GCMD_QIE;
        vtd_guest_writel(g, DMAR_GCMD_REG, gsts);
    }
    if (!(gsts & VTD_GSTS_TES)) {
        vtd_guest_writeq(g, DMAR_RTADDR_REG, g->root | VTD_RTADDR_SMT);
        vtd_guest_writel(g, DMAR_GCMD_REG, gsts | VTD_GCMD_SRTP);
        vtd_guest_writel(g, DMAR_GCMD_REG, gsts | VTD_GCMD_TE);
    }
}

/* One that an error has stopped starts anew */
static void restart_queue(VtdFuzz *f)
{
    VtdGuest *g = &f->guest;

    if (vtd_guest_readl(g, DMAR_FSTS_REG) & VTD_FSTS_IQE) {
        uint32_t gsts = vtd_guest_readl(g, DMAR_GSTS_REG);

        vtd_guest_writel(g, DMAR_GCMD_REG,
                         gsts & (VTD_GSTS_TES | VTD_GSTS_IRES));
        vtd_guest_writel(g, DMAR_FSTS_REG, -1);
    }
    step_enable(f, NULL);
}

/* What has stopped the queue is in the way until something else is there */
static void step_clear_errors(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    VtdGuest *g = &f->guest;

    if (fuzz_u8(in) & 1) {
        uint64_t head = vtd_guest_readq(g, DMAR_IQH_REG) % PAGE;

        writeq(f, g->queue + head, VTD_INV_DESC_WAIT);
        writeq(f, g->queue + head + 8, 0);
    }
    vtd_guest_writel(g, DMAR_FSTS_REG, -1);
}

/* --- steps: page requests --- */

static void step_page_queue(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    /* Three of 8 bytes, and six of 4 */
    unsigned reg = val & 1 ? VTD_REG_PQH + (val >> 1) % 3 * 8
                           : VTD_REG_PECTL - 4 + (val >> 1) % 5 * 4;

    if (val & 1) {
        vtd_guest_writeq(&f->guest, reg,
                         val & 0x40 ? fuzz_u16(in) & 0xfe0
                                    : choose_page(in) ^ fuzz_damage(in));
    } else {
        vtd_guest_writel(&f->guest, reg,
                         val & 0x40 ? fuzz_u32(in) : fuzz_u8(in) & 3);
    }
}

static void step_response(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);

    post_response(&f->guest, choose_device(in), choose_pasid(in), val & 7,
                  val >> 4);
    finish_desc(f, in);
}

/*
 * Groups that the host reports, with few indices, so that some are in use. What
 * is not read before the queue goes is the kernel's affair.
 */
static void step_page_requests(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    VTDAccelPrq *prq = &INTEL_IOMMU_DEVICE(x86_iommu_get_default())->accel->prq;
    struct fh_pgfault r[GROUP_MAX];
    unsigned groups = fuzz_small(in, 8);
    uint8_t val = fuzz_u8(in);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", prq->fd);
    int fd = prq->buffers ? open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;

    for (unsigned i = 0; fd >= 0 && i < groups; i++) {
        unsigned num = 1 + (val + i) % GROUP_MAX;
        unsigned n = (val >> 3 ^ i >> 1) % VTD_FUZZ_DEVICES;
        uint32_t pasid = i & 1;

        for (unsigned j = 0; j < num; j++) {
            r[j] = (struct fh_pgfault) {
                .flags = (pasid ? FH_PGFAULT_PASID_VALID : 0) |
                         (j == num - 1 ? FH_PGFAULT_LAST_PAGE : 0),
                .dev_id = fakehost_fuzz_device(vtd_fuzz_dev(n))->dev_id,
                .pasid = pasid, .grpid = (val + i) & 7, .perm = val & 15,
                .addr = (i + j) * PAGE, .cookie = f->cookie,
            };
        }
        if (write(fd, r, num * sizeof(r[0])) < 0) {
            break;
        }
        f->cookie++;
    }
    if (fd >= 0) {
        close(fd);
    }
    main_loop_wait(true);
}

/* Not its allocation: without a queue it would be for good */
static void step_fail_requests(void *opaque, FuzzInput *in)
{
    VtdFuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    struct FakehostRule rule = {
        .action = FAKEHOST_RULE_FAIL, .err = val & 2 ? EIO : EAGAIN,
        .skip = val >> 2 & 3, .times = val >> 4,
    };

    g_strlcpy(rule.call, val & 1 ? "READ_EVENTS" : "WRITE_ANSWERS",
              sizeof(rule.call));
    fakehost_fuzz_page->rules[fuzz_u8(in) % FAKEHOST_RULES] = rule;
    f->answers_fail |= !(val & 1);
}

/* --- steps: host, devices, machine --- */

static void step_fail(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_fail(in);
}

static void step_recover(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_recover();
}

static void step_device_in_reset(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_device(vtd_fuzz_dev(choose_device(in)))->flags ^=
        FAKEHOST_DEV_IN_RESET;
}

static uint32_t cfg_readl(VtdFuzz *f, unsigned port, unsigned reg)
{
    qtest_outl(f->guest.qts, 0xcf8, 1u << 31 | (FIRST_SLOT + port) << 11 | reg);
    return qtest_inl(f->guest.qts, 0xcfc);
}

static void cfg_writel(VtdFuzz *f, unsigned port, unsigned reg, uint32_t val)
{
    qtest_outl(f->guest.qts, 0xcf8, 1u << 31 | (FIRST_SLOT + port) << 11 | reg);
    qtest_outl(f->guest.qts, 0xcfc, val);
}

static void number_bus(VtdFuzz *f, unsigned port, uint8_t bus)
{
    uint32_t val = bus << 8 | bus << 16;

    /* Writing it costs more than all else */
    if ((cfg_readl(f, port, PCI_PRIMARY_BUS) & 0xffffff) != val) {
        cfg_writel(f, port, PCI_PRIMARY_BUS, val);
    }
}

/* It changes the requester id */
static void step_number_bus(void *opaque, FuzzInput *in)
{
    unsigned port = choose_device(in);

    number_bus(opaque, port, fuzz_small(in, 8));
}

static void set_power(VtdFuzz *f, unsigned port, bool on)
{
    unsigned pos = cfg_readl(f, port, PCI_CAPABILITY_LIST) & 0xfc;

    while (pos && (cfg_readl(f, port, pos) & 0xff) != PCI_CAP_ID_EXP) {
        pos = cfg_readl(f, port, pos) >> 8 & 0xfc;
    }
    /* The upper half is status, of which only written ones matter */
    cfg_writel(f, port, pos + PCI_EXP_SLTCTL,
               on ? PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_PWR_ON :
               PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
}

static void plug(VtdFuzz *f, unsigned n)
{
    g_autofree char *bus = g_strdup_printf("rp%u", n);

    if (!vtd_fuzz_is_plugged(n)) {
        fakehost_fuzz_plug(vtd_fuzz_dev(n), bus);
        set_power(f, n, true);
    }
}

static void step_plug(void *opaque, FuzzInput *in)
{
    unsigned n = choose_device(in);

    /* Where the host fails, plugging does too: there are other tests of that */
    if (!is_slow(opaque)) {
        fakehost_fuzz_recover();
        plug(opaque, n);
    }
}

/* By the user, by the guest, or begun by the one and done by the other */
static void step_unplug(void *opaque, FuzzInput *in)
{
    unsigned n = choose_device(in);
    uint8_t how = fuzz_u8(in) & 3;

    if (is_slow(opaque)) {
        return;
    }
    if (how != 1) {
        qmp_device_del(vtd_fuzz_dev(n), NULL);
    }
    if (how) {
        set_power(opaque, n, false);
        drain_call_rcu();
    }
}

static void step_reset(void *opaque, FuzzInput *in)
{
    if (!is_slow(opaque)) {
        fuzz_reset(((VtdFuzz *)opaque)->guest.qts);
    }
}

/* Time for what QEMU has left for later */
static void step_main_loop(void *opaque, FuzzInput *in)
{
    main_loop_wait(true);
}

static FuzzStep *const steps[] = {
    step_poke, step_root, step_context, step_directory, step_pasid,
    step_clear_pasid, step_pasid_cache, step_context_cache, step_iotlb,
    step_piotlb, step_other_desc, step_raw_desc, step_wait, step_repeat,
    step_ring, step_tail, step_queue_base, step_register, step_command,
    step_root_pointer, step_invalidate_register, step_enable,
    step_clear_errors, step_fail, step_recover, step_device_in_reset,
    step_number_bus, step_plug, step_unplug, step_reset, step_main_loop,
    step_page_queue, step_burst, step_response, step_page_requests,
    step_fail_requests,
};

/* --- the target --- */

static VtdFuzz fuzz;

/*
 * A step is at most one doorbell. It may cost some calls for each descriptor,
 * device and PASID, and no more than that.
 */
static void check_step(void *opaque)
{
    VtdFuzz *f = opaque;
    uint64_t iqa = vtd_guest_readq(&f->guest, DMAR_IQA_REG);
    uint64_t calls = fakehost_fuzz_page->ioctls - f->calls;
    uint64_t descs = 256ull << (iqa & 7), pasids = 0;

    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        pasids += 1 + fakehost_fuzz_device(vtd_fuzz_dev(n))->pasids;
    }
    if (calls > 64 + descs * VTD_FUZZ_DEVICES * 8 + pasids * 16) {
        fakehost_fuzz_wrong("%" PRIu64 " calls in one step", calls);
    }
    f->calls = fakehost_fuzz_page->ioctls;
}

/* A guest whose devices work: two share a domain, the third has its own */
static void set_up(VtdFuzz *f, QTestState *s, unsigned width)
{
    VTDAccel *accel = INTEL_IOMMU_DEVICE(x86_iommu_get_default())->accel;
    VtdGuest *g = &f->guest;

    /* Nobody runs the main loop for a guest that waits in here */
    while (accel->legacy && accel->legacy->unfinished) {
        main_loop_wait(true);
    }
    f->answers_fail = f->answers_fail && accel->prq.num_answers;
    qtest_memset(s, FIRST_PAGE, 0, PAGES * PAGE);
    vtd_guest_init(g, s, FIRST_PAGE, width);
    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        VtdPasidEntry entry = {
            .pgtt = VTD_PGTT_FIRST_STAGE,
            .domain_id = 1 + n / 2,
            .table = VTD_GUEST_FSTS_DIR + n / 2 * PAGE,
        };

        number_bus(f, n, n + 1);
        f->dir[n] = vtd_guest_add_context(g, (n + 1) << 8, 0);
        f->context[n] = vtd_guest_context(g, (n + 1) << 8);
        writeq(f, f->context[n], f->dir[n] | SM_CE_PASIDE | SM_CE_PRE | 1);
        vtd_guest_write_pasid(g, f->dir[n], 0, &entry);
        vtd_guest_write_pasid(g, f->dir[n], 1, &entry);
        f->table[n] = vtd_guest_pasid(g, f->dir[n], 0);
    }
    vtd_guest_enable(g);
    f->slow_steps = SLOW_STEPS;
    f->calls = fakehost_fuzz_page->ioctls;
}

static void vtd_fuzz_run(QTestState *s, const unsigned char *data, size_t size)
{
    VtdFuzz *f = &fuzz;
    uint32_t gsts;

    if (!size) {
        return;
    }
    set_up(f, s, data[0] & 1 ? 16 : 32);
    fuzz_run_steps(steps, ARRAY_SIZE(steps), f, data + 1, size - 1,
                   check_step);

    /* Wherever that has led to: an input is dear, descriptors are not */
    for (unsigned i = 0; i < BURSTS; i++) {
        restart_queue(f);
        burst(f, f->guest.queue_slots - 1,
              size << 16 | data[size / 2] << 8 | i);
        check_step(f);
    }

    fakehost_fuzz_recover();
    gsts = vtd_guest_readl(&f->guest, DMAR_GSTS_REG) &
           (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES);
    vtd_guest_writel(&f->guest, DMAR_GCMD_REG, gsts | VTD_GCMD_SRTP);
    /* In pieces, if the guest has bound many PASIDs */
    while (!(vtd_guest_readl(&f->guest, DMAR_GSTS_REG) & VTD_GSTS_RTPS)) {
        main_loop_wait(true);
    }
    vtd_fuzz_check(f);
    /* What was requested is read before the devices go back */
    main_loop_wait(true);

    /* Only the IOMMU: the whole machine would take most of the time */
    device_cold_reset(DEVICE(x86_iommu_get_default()));
    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        plug(f, n);
    }
    vtd_fuzz_check_reset(f);
    flush_events(s);
    /* The main loop never waits here, so nobody else gets to free memory */
    if (++f->inputs % RCU_INPUTS == 0) {
        drain_call_rcu();
    }
}

static void vtd_fuzz_pre_vm_init(void)
{
    /* Two units; a table for one of them fits the other */
    g_autofree char *host = g_strdup_printf(
        "iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%" PRIx64 " errata=1\n"
        "iommu iommu1 type=vtd cap=0x%" PRIx64 " ecap=0x%" PRIx64 " errata=1\n"
        "device dev0 iommu=iommu0 pasid-bits=20 pri=1\n"
        "device dev1 iommu=iommu0 pasid-bits=20 pri=1\n"
        "device dev2 iommu=iommu1\n",
        (uint64_t)HOST_CAP, (uint64_t)HOST_PRI, (uint64_t)HOST_CAP,
        (uint64_t)HOST_ECAP);

    fakehost_fuzz_start(host);
}

static GString *vtd_fuzz_cmdline(FuzzTarget *t)
{
    GString *s = fakehost_fuzz_cmdline("q35");

    g_string_append_printf(s, " -m %uM -device intel-iommu,aw-bits=%u,"
                           "x-scalable-mode=on,x-flts=on,pasid-bits=20,pri=on,"
                           "max-host-domains=%u -global ICH9-LPC."
                           "acpi-pci-hotplug-with-bridge-support=off",
                           VTD_GUEST_RAM_MB, VTD_FUZZ_AW_BITS,
                           VTD_HOST_DOMAINS_MAX);
    for (unsigned n = 0; n < VTD_FUZZ_DEVICES; n++) {
        g_string_append_printf(s, " -device pcie-root-port,id=rp%u,chassis=%u,"
                               "addr=0x%x -device vfio-pci,id=%s,fd=%d,"
                               "iommufd=iommufd0,bus=rp%u", n, n + 1,
                               FIRST_SLOT + n, vtd_fuzz_dev(n),
                               fakehost_fuzz_fd(vtd_fuzz_dev(n)), n);
    }
    return s;
}

static void register_vtd_accel_fuzz_target(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "vtd-accel",
        .description = "Tables, queue and registers of intel-iommu with host "
                       "devices on first-stage tables",
        .get_init_cmdline = vtd_fuzz_cmdline,
        .pre_vm_init = vtd_fuzz_pre_vm_init,
        .fuzz = vtd_fuzz_run,
    });
}

fuzz_target_init(register_vtd_accel_fuzz_target);
