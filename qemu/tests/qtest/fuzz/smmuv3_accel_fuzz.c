/*
 * Fuzz target for host devices behind arm-smmuv3 with accel=on
 *
 * An input is a sequence of steps of a guest that means harm: well-formed and
 * damaged entries of stream tables of one and two levels, commands, register
 * writes, unplugging, and a host that fails. It starts from a guest whose
 * devices work. In the end the guest changes some entries and says so, and what
 * the host was told has to agree with the tables; then the SMMU is reset.
 *
 * Context descriptors are read by nobody here: steps write none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-qdev.h"
#include "hw/pci/pci_regs.h"
#include "hw/arm/smmuv3-accel-internal.h"
#include "smmuv3_accel_fuzz.h"

#define PAGE            4096ull
#define PAGES           32
#define FIRST_PAGE      (SMMUV3_GUEST_RAM + 0x100000)
/* Streams of busses 0 to 3, 64 KiB; at level 2, too, one after the other */
#define STREAMS         FIRST_PAGE
#define STREAMS_LOG2    10
#define LEVEL1          (FIRST_PAGE + 16 * PAGE)
#define LEVEL1_LOG2     16
#define CMDQ            (FIRST_PAGE + 18 * PAGE)
#define EVENTQ          (FIRST_PAGE + 19 * PAGE)
#define CDS             (FIRST_PAGE + 20 * PAGE)

#define SMMU            "smmu0"
#define SMMU_BASE       0x0c000000ull
#define ECAM_BASE       0x4010000000ull
#define FIRST_SLOT      4               /* device number of root port 0 */
#define OUTSIDE         0x7ff000000000ull
#define SLOW_STEPS      4
#define RCU_INPUTS      16              /* memory is freed after so many */

/* A host that can do everything (SMMUv3 6.3.1 to 6.3.6) */
#define HOST_IDR0       (3u | 2u << 2 | 1u << 4 | 1u << 10 | 1u << 12 | \
                         1u << 18 | 1u << 19 | 2u << 21 | 1u << 24 | 1u << 27)
#define HOST_IDR1       (16u | 16u << 6)
#define HOST_IDR3       (1u << 8 | 1u << 10 | 2u << 11)
#define HOST_IDR5       (5u | 7u << 4)

/* Calls for one stream: new objects, what they replace, and the last resort */
#define STREAM_CALLS    16

/* The first byte of an input */
#define INPUT_LAYOUT(b) ((b) & 3)
#define INPUT_END(b)    ((b) >> 2 & 3)
#define INPUT_CHANGE(b, n) ((b) >> (4 + (n)) & 1)
#define INPUT_FAILS(b)  ((b) >> 7)

const char *smmuv3_fuzz_dev(unsigned n)
{
    static const char *const names[SMMUV3_FUZZ_DEVICES] = {
        "dev0", "dev1", "dev2",
    };

    return names[n];
}

static SMMUv3State *smmu(void)
{
    return ARM_SMMUV3(object_resolve_path("/machine/peripheral/" SMMU, NULL));
}

/* --- what steps choose from --- */

static unsigned choose_device(FuzzInput *in)
{
    return fuzz_u8(in) % SMMUV3_FUZZ_DEVICES;
}

/*
 * A page of ours in most cases. Devices other than the SMMU would remember what
 * one input has done for the next.
 */
static uint64_t choose_page(FuzzInput *in)
{
    static const uint64_t elsewhere[] = {
        SMMU_BASE, SMMU_BASE + 0x10000, SMMUV3_FUZZ_RAM_END - PAGE,
        SMMUV3_FUZZ_RAM_END, SMMUV3_GUEST_RAM - PAGE, OUTSIDE, -PAGE,
    };
    uint8_t val = fuzz_u8(in);

    return val < 0xd0 ? FIRST_PAGE + val % PAGES * PAGE
                      : elsewhere[val % ARRAY_SIZE(elsewhere)];
}

/* A device's StreamID in most cases */
static uint32_t choose_sid(FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    if (val < 0xe0) {
        return (val % (SMMUV3_FUZZ_DEVICES + 1)) << 8;
    }
    return val < 0xf0 ? fuzz_u16(in) : fuzz_u32(in);
}

static bool is_slow(Smmuv3Fuzz *f)
{
    return !f->slow_steps || !f->slow_steps--;
}

static void writeq(Smmuv3Fuzz *f, uint64_t addr, uint64_t val)
{
    qtest_writeq(f->guest.qts, addr, val);
}

static void writel(Smmuv3Fuzz *f, uint32_t reg, uint32_t val)
{
    smmuv3_guest_writel(&f->guest, reg, val);
}

static uint32_t readl(Smmuv3Fuzz *f, uint32_t reg)
{
    return smmuv3_guest_readl(&f->guest, reg);
}

/*
 * What wraps around is not counted: at which size it does, the register may not
 * say, if it was written at the wrong time.
 */
static void ring(Smmuv3Fuzz *f)
{
    unsigned log2size = MIN(readl(f, SMMUV3_CMDQ_BASE) & 31, 19);
    uint32_t mask = MAKE_64BIT_MASK(0, log2size + 1);
    uint32_t was = readl(f, SMMUV3_CMDQ_CONS) & mask, now;

    smmuv3_guest_ring(&f->guest);
    now = readl(f, SMMUV3_CMDQ_CONS) & mask;
    fakehost_fuzz_taken(now > was ? now - was : 0);
}

/* --- steps: tables --- */

static void step_poke(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    uint64_t addr = FIRST_PAGE + fuzz_u16(in) % (PAGES * PAGE / 8) * 8;

    writeq(f, addr, fuzz_u8(in) & 1 ? fuzz_u64(in) : choose_page(in) | 1);
}

static void step_ste(void *opaque, FuzzInput *in)
{
    static const uint8_t types[] = {
        SMMUV3_STE_S1, SMMUV3_STE_S1, SMMUV3_STE_S1, SMMUV3_STE_S1,
        SMMUV3_STE_BYPASS, SMMUV3_STE_ABORT, SMMUV3_STE_S2, 0xf, 0,
    };
    Smmuv3Fuzz *f = opaque;
    uint64_t addr = STREAMS + (choose_sid(in) & MAKE_64BIT_MASK(0,
                               STREAMS_LOG2)) * 64;
    uint64_t type = types[fuzz_u8(in) % ARRAY_SIZE(types)];
    uint64_t cdmax = fuzz_small(in, 5);

    writeq(f, addr + 16 + fuzz_u8(in) % 6 * 8, fuzz_damage(in));
    /* S1DSS to S1CSH, S1STALLD and EATS; what else there is, is damage */
    writeq(f, addr + 8, (fuzz_u8(in) | (uint64_t)fuzz_small(in, 3) << 27) ^
           fuzz_damage(in));
    writeq(f, addr, (type | choose_page(in) | cdmax << 59) ^ fuzz_damage(in));
}

static void step_clear_ste(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;

    writeq(f, STREAMS + (choose_device(in) + 1) * 0x100 * 64, 0);
}

/* A descriptor of one of the splits, with another span or target */
static void step_level1(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    unsigned split = 6 + val % 3 * 2;
    uint64_t i = (choose_sid(in) & MAKE_64BIT_MASK(0, STREAMS_LOG2)) >> split;
    uint64_t addr = val & 0x80 ? choose_page(in) : STREAMS + (i << (split + 6));
    uint64_t span = fuzz_u8(in) % 13;

    writeq(f, LEVEL1 + i * 8, (addr | span) ^ fuzz_damage(in));
}

/* Descriptors of the second layout and those after it lead to STREAMS */
static uint32_t lay_out(Smmuv3Fuzz *f, unsigned layout)
{
    unsigned split = 4 + layout * 2;

    if (!layout) {
        smmuv3_guest_writeq(&f->guest, SMMUV3_STRTAB_BASE, STREAMS);
        return STREAMS_LOG2;
    }
    for (unsigned i = 0; i < 1 << (STREAMS_LOG2 - split); i++) {
        writeq(f, LEVEL1 + i * 8, (STREAMS + ((uint64_t)i << (split + 6))) |
                                  (split + 1));
    }
    smmuv3_guest_writeq(&f->guest, SMMUV3_STRTAB_BASE, LEVEL1);
    return 1 << 16 | split << 6 | LEVEL1_LOG2;
}

static void step_layout(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    uint32_t cfg = lay_out(f, val & 3);

    /* Now and then it ends before the last stream */
    if (val & 0x80) {
        cfg = (cfg & ~63) | (STREAMS_LOG2 - (val >> 4 & 3));
    }
    writel(f, SMMUV3_STRTAB_BASE_CFG, cfg ^ fuzz_damage(in));
}

static void step_table_base(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;

    smmuv3_guest_writeq(&f->guest, SMMUV3_STRTAB_BASE,
                        choose_page(in) ^ fuzz_damage(in));
}

/* --- steps: commands --- */

static void post(Smmuv3Fuzz *f, FuzzInput *in, uint64_t cmd0, uint64_t cmd1)
{
    uint8_t val = fuzz_u8(in);

    cmd0 ^= fuzz_damage(in);
    smmuv3_guest_post(&f->guest, cmd0, cmd1 ^ fuzz_damage(in));
    if (val & 1) {
        ring(f);
    }
}

static void step_cfgi_ste(void *opaque, FuzzInput *in)
{
    uint64_t sid = choose_sid(in);

    post(opaque, in, SMMUV3_CFGI_STE | sid << 32, fuzz_u8(in) & 1);
}

static void step_cfgi_range(void *opaque, FuzzInput *in)
{
    uint64_t sid = choose_sid(in);
    uint8_t range = fuzz_u8(in);

    post(opaque, in, SMMUV3_CFGI_STE_RANGE | sid << 32,
         range & 0x80 ? 31 : range & 31);
}

static void step_cfgi_cd(void *opaque, FuzzInput *in)
{
    uint64_t sid = choose_sid(in), ssid = fuzz_small(in, 20);
    uint8_t val = fuzz_u8(in);

    if (val & 2) {
        post(opaque, in, SMMUV3_CFGI_CD_ALL | sid << 32, 0);
    } else {
        post(opaque, in, SMMUV3_CFGI_CD | ssid << 12 | sid << 32, val & 1);
    }
}

static void step_tlbi_all(void *opaque, FuzzInput *in)
{
    static const uint8_t ops[] = {
        SMMUV3_TLBI_NH_ALL, SMMUV3_TLBI_NH_ASID, SMMUV3_TLBI_NSNH_ALL,
    };
    uint8_t op = ops[fuzz_u8(in) % ARRAY_SIZE(ops)];

    post(opaque, in, op | (uint64_t)fuzz_small(in, 16) << 48, 0);
}

static void step_tlbi_va(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in), form = fuzz_u8(in);
    uint64_t asid = fuzz_small(in, 16), num = 0, scale = 0;
    uint64_t cmd1 = (uint64_t)fuzz_u32(in) << 12 | (val >> 1 & 1);

    if (val & 4) {
        /* With ranges: TG and TTL */
        num = fuzz_small(in, 5);
        scale = fuzz_small(in, 5);
        cmd1 |= (uint64_t)(form & 15) << 8;
    }
    post(opaque, in, (val & 1 ? SMMUV3_TLBI_NH_VA : SMMUV3_TLBI_NH_VAA) |
         num << 12 | scale << 20 | asid << 48, cmd1);
}

static void step_atc_inv(void *opaque, FuzzInput *in)
{
    uint64_t sid = choose_sid(in), ssid = fuzz_small(in, 20);
    uint8_t val = fuzz_u8(in);

    /* Global, SSV */
    post(opaque, in, SMMUV3_ATC_INV | (val & 5ull) << 9 | ssid << 12 |
         sid << 32, (uint64_t)fuzz_u32(in) << 12 | (fuzz_u8(in) & 63));
}

static void step_sync(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    /* Signalled by nothing, by an interrupt or an MSI, to anywhere */
    post(opaque, in, SMMUV3_SYNC | (uint64_t)(val & 3) << 12 |
         (uint64_t)fuzz_u32(in) << 32, choose_page(in));
}

/* For other stages and exception levels, of other features, or of none */
static void step_other_cmd(void *opaque, FuzzInput *in)
{
    static const uint8_t ops[] = {
        SMMUV3_PREFETCH_CONFIG, 0x02, 0x18, SMMUV3_TLBI_EL2_ALL, 0x21, 0x22,
        0x23, SMMUV3_TLBI_S12_VMALL, 0x2a, 0x41, 0x44, 0x45, 0x00, 0x80,
    };
    uint64_t op = ops[fuzz_u8(in) % ARRAY_SIZE(ops)];
    uint64_t sid = choose_sid(in);

    post(opaque, in, op | sid << 32, choose_page(in) | fuzz_u8(in));
}

static void step_raw_cmd(void *opaque, FuzzInput *in)
{
    uint64_t cmd0 = fuzz_u64(in);

    post(opaque, in, cmd0, fuzz_u64(in));
}

/* The last command many times */
static void step_repeat(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    Smmuv3Guest *g = &f->guest;
    unsigned slots = 1 << SMMUV3_GUEST_CMDQ_LOG2;
    uint64_t addr = g->cmdq + (g->prod - 1) % slots * 16;
    uint64_t cmd[2] = { qtest_readq(g->qts, addr),
                        qtest_readq(g->qts, addr + 8) };
    unsigned num = fuzz_u8(in) % slots;

    for (unsigned i = 0; i < num; i++) {
        smmuv3_guest_post(g, cmd[0], cmd[1]);
    }
    ring(f);
}

static void step_ring(void *opaque, FuzzInput *in)
{
    ring(opaque);
}

/* --- steps: queues --- */

static void step_indices(void *opaque, FuzzInput *in)
{
    static const uint32_t regs[] = {
        SMMUV3_CMDQ_PROD, SMMUV3_CMDQ_CONS, SMMUV3_EVENTQ_PROD,
        SMMUV3_EVENTQ_CONS,
    };
    uint8_t val = fuzz_u8(in);

    writel(opaque, regs[val % ARRAY_SIZE(regs)],
           val & 4 ? fuzz_u32(in) : fuzz_u16(in) & 0x1ff);
}

static void set_cr0(Smmuv3Fuzz *f, uint32_t set, uint32_t clear)
{
    writel(f, SMMUV3_CR0, (readl(f, SMMUV3_CR0) & ~clear) | set);
}

/* An empty queue without an error; it is on afterwards */
static void program_cmdq(Smmuv3Fuzz *f, uint64_t base, unsigned log2size)
{
    Smmuv3Guest *g = &f->guest;

    smmuv3_guest_writeq(g, SMMUV3_CMDQ_BASE, base | log2size);
    writel(f, SMMUV3_CMDQ_CONS, 0);
    writel(f, SMMUV3_CMDQ_PROD, 0);
    writel(f, SMMUV3_GERRORN, readl(f, SMMUV3_GERROR));
    if (!(readl(f, SMMUV3_CR0) & SMMUV3_CR0_CMDQEN)) {
        set_cr0(f, SMMUV3_CR0_CMDQEN, 0);
    }
    g->cmdq = base;
    g->prod = 0;
}

static void step_cmdq(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    program_cmdq(opaque, val & 6 ? CMDQ : choose_page(in),
                 val & 1 ? SMMUV3_GUEST_CMDQ_LOG2 : fuzz_u8(in) & 31);
}

static void step_eventq(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    uint8_t val = fuzz_u8(in);

    smmuv3_guest_writeq(&f->guest, SMMUV3_EVENTQ_BASE,
                        choose_page(in) | (val & 31));
    if (val & 0x40) {
        writel(f, SMMUV3_EVENTQ_PROD, 0);
        writel(f, SMMUV3_EVENTQ_CONS, 0);
    }
}

/* What the guest does with events: it forgets them */
static void step_take_events(void *opaque, FuzzInput *in)
{
    writel(opaque, SMMUV3_EVENTQ_CONS, readl(opaque, SMMUV3_EVENTQ_PROD));
}

static void step_acknowledge(void *opaque, FuzzInput *in)
{
    writel(opaque, SMMUV3_GERRORN, readl(opaque, SMMUV3_GERROR));
}

/* --- steps: registers --- */

static void step_register(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    uint8_t val = fuzz_u8(in);
    /* All of them are below 0xe0, or seem to be in the second page */
    uint32_t reg = fuzz_u8(in) % 0x38 * 4 + (val & 2 ? 0x10000 : 0);

    if (val & 1) {
        smmuv3_guest_writeq(&f->guest, reg & ~7, fuzz_u64(in));
    } else {
        writel(f, reg, fuzz_u32(in));
    }
}

static void step_cr0(void *opaque, FuzzInput *in)
{
    static const uint32_t bits[] = {
        SMMUV3_CR0_SMMUEN, SMMUV3_CR0_EVENTQEN, SMMUV3_CR0_CMDQEN,
        SMMUV3_CR0_ALL,
    };
    uint32_t bit = bits[fuzz_u8(in) % ARRAY_SIZE(bits)];

    set_cr0(opaque, bit & ~readl(opaque, SMMUV3_CR0), bit);
}

static void step_enable(void *opaque, FuzzInput *in)
{
    set_cr0(opaque, SMMUV3_CR0_ALL, 0);
}

static void step_gbpa(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    writel(opaque, SMMUV3_GBPA, (val & 1 ? SMMUV3_GBPA_ABORT : 0) |
           (val & 6 ? SMMUV3_GBPA_UPDATE : 0));
}

static void step_irq_ctrl(void *opaque, FuzzInput *in)
{
    writel(opaque, SMMUV3_IRQ_CTRL, fuzz_u8(in) & 7);
}

/* --- steps: host --- */

static void step_fail(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_fail(in);
}

static void step_fail_eventq(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_page->rules[fuzz_u8(in) % FAKEHOST_RULES] =
        (struct FakehostRule) {
            .call = "IOMMU_VEVENTQ_ALLOC",
            .action = FAKEHOST_RULE_FAIL,
            .err = ENOMEM,
        };
}

static void step_recover(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_recover();
}

static void step_device_in_reset(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_device(smmuv3_fuzz_dev(choose_device(in)))->flags ^=
        FAKEHOST_DEV_IN_RESET;
}

/*
 * The hardware has events. The library's end of the queue is not known, but a
 * pipe can be opened again.
 */
static void step_host_events(void *opaque, FuzzInput *in)
{
    Smmuv3Fuzz *f = opaque;
    struct {
        uint32_t flags;
        uint32_t sequence;
        uint64_t evt[4];
    } event = { 0 };
    unsigned num = fuzz_small(in, 8);
    uint8_t val = fuzz_u8(in);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d",
                                            smmu()->s_accel->veventq.fd);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    event.flags = val & 0x30 ? 0 : val & 1;
    event.evt[0] = (val & 2 ? fuzz_u8(in) : 0x10) |
                   (uint64_t)choose_sid(in) << 32;
    event.evt[2] = fuzz_u32(in);
    for (unsigned i = 0; fd >= 0 && i < num; i++) {
        event.sequence = f->sequence++;
        /* Nothing follows a header that says that events were lost */
        if (write(fd, &event, event.flags ? 8 : sizeof(event)) < 0) {
            break;
        }
    }
    if (val & 0x40) {
        f->sequence = val & 0x80 ? INT32_MAX : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    main_loop_wait(true);
}

/* --- steps: devices, machine --- */

static uint64_t cfg_addr(unsigned port, unsigned reg)
{
    return ECAM_BASE + ((FIRST_SLOT + port) << 15) + reg;
}

static void number_bus(Smmuv3Fuzz *f, unsigned port, uint8_t bus)
{
    uint64_t addr = cfg_addr(port, PCI_PRIMARY_BUS);
    uint32_t val = bus << 8 | bus << 16;

    /* Writing it costs more than all else */
    if ((qtest_readl(f->guest.qts, addr) & 0xffffff) != val) {
        qtest_writel(f->guest.qts, addr, val);
    }
}

/* It changes the StreamID */
static void step_number_bus(void *opaque, FuzzInput *in)
{
    unsigned port = choose_device(in);

    number_bus(opaque, port, fuzz_small(in, 8));
}

static void set_power(Smmuv3Fuzz *f, unsigned port, bool on)
{
    QTestState *s = f->guest.qts;
    unsigned pos = qtest_readl(s, cfg_addr(port, PCI_CAPABILITY_LIST)) & 0xfc;

    while (pos && (qtest_readl(s, cfg_addr(port, pos)) & 0xff) !=
           PCI_CAP_ID_EXP) {
        pos = qtest_readl(s, cfg_addr(port, pos)) >> 8 & 0xfc;
    }
    qtest_writew(s, cfg_addr(port, pos + PCI_EXP_SLTCTL),
                 on ? PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_PWR_ON :
                 PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
}

static void plug(Smmuv3Fuzz *f, unsigned n)
{
    g_autofree char *bus = g_strdup_printf("rp%u", n);

    if (!smmuv3_fuzz_is_plugged(n)) {
        /* It takes long, and is for the memory of the one that was there */
        if (f->undrained) {
            drain_call_rcu();
            f->undrained = false;
        }
        fakehost_fuzz_plug(smmuv3_fuzz_dev(n), bus);
        set_power(f, n, true);
    }
}

/* Would the device have the number of one that is there? */
static bool is_number_taken(Smmuv3Fuzz *f, unsigned n)
{
    uint8_t bus = qtest_readl(f->guest.qts,
                              cfg_addr(n, PCI_PRIMARY_BUS)) >> 8;

    for (unsigned i = 0; i < SMMUV3_FUZZ_DEVICES; i++) {
        if (i != n && smmuv3_fuzz_is_plugged(i) &&
            smmuv3_fuzz_sid(i) >> 8 == bus) {
            return true;
        }
    }
    return false;
}

static void step_plug(void *opaque, FuzzInput *in)
{
    unsigned n = choose_device(in);

    /* Where the host fails, plugging does too: there are other tests of that */
    if (!is_number_taken(opaque, n) && !is_slow(opaque)) {
        fakehost_fuzz_recover();
        plug(opaque, n);
    }
}

/* By the user, by the guest, or begun by the one and done by the other */
static void unplug(Smmuv3Fuzz *f, unsigned n, bool user, bool guest)
{
    if (user) {
        qmp_device_del(smmuv3_fuzz_dev(n), NULL);
    }
    if (guest) {
        set_power(f, n, false);
    }
    f->unplugged = f->undrained = true;
}

static void step_unplug(void *opaque, FuzzInput *in)
{
    unsigned n = choose_device(in);
    uint8_t how = fuzz_u8(in) & 3;

    /* What a host that does not detach keeps would be taken for a leak */
    if (!is_slow(opaque)) {
        fakehost_fuzz_recover();
        unplug(opaque, n, how != 1, how);
    }
}

/* What is done for all devices goes in the order in which they were plugged */
static void plug_in_order(Smmuv3Fuzz *f)
{
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        unplug(f, n, true, true);
    }
    drain_call_rcu();
    f->undrained = false;
    smmuv3_fuzz_check_empty(f);
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        plug(f, n);
    }
    f->unplugged = false;
}

static void step_reset(void *opaque, FuzzInput *in)
{
    if (!is_slow(opaque)) {
        fuzz_reset(((Smmuv3Fuzz *)opaque)->guest.qts);
    }
}

/* Time for what QEMU has left for later */
static void step_main_loop(void *opaque, FuzzInput *in)
{
    main_loop_wait(true);
}

static FuzzStep *const steps[] = {
    step_poke, step_ste, step_clear_ste, step_level1, step_layout,
    step_table_base, step_cfgi_ste, step_cfgi_range, step_cfgi_cd,
    step_tlbi_all, step_tlbi_va, step_atc_inv, step_sync, step_other_cmd,
    step_raw_cmd, step_repeat, step_ring, step_indices, step_cmdq, step_eventq,
    step_take_events, step_acknowledge, step_register, step_cr0, step_enable,
    step_gbpa, step_irq_ctrl, step_fail, step_fail_eventq, step_recover,
    step_device_in_reset, step_host_events, step_number_bus, step_plug,
    step_unplug, step_reset, step_main_loop, step_ste, step_ste, step_cfgi_ste,
    step_cfgi_range, step_tlbi_va,
};

/* --- the target --- */

static Smmuv3Fuzz fuzz;

/*
 * A step is at most one doorbell. It may cost some calls for each command and
 * stream, and no more than that.
 */
static void check_step(void *opaque)
{
    Smmuv3Fuzz *f = opaque;
    unsigned log2size = MIN(readl(f, SMMUV3_CMDQ_BASE) & 31, 19);
    uint64_t calls = fakehost_fuzz_page->ioctls - f->calls;
    uint64_t limit = 64 + SMMUV3_FUZZ_DEVICES * STREAM_CALLS * 4 +
        (1ull << log2size) * (2 + SMMUV3_FUZZ_DEVICES * STREAM_CALLS);

    if (calls > limit) {
        fakehost_fuzz_wrong("%" PRIu64 " calls in one step", calls);
    }
    f->calls = fakehost_fuzz_page->ioctls;
}

/*
 * A guest whose devices work: one has ATS and substreams, one bypasses, but the
 * host knows the StreamIDs of all of them.
 */
static void set_up(Smmuv3Fuzz *f, QTestState *s, unsigned layout)
{
    static const uint64_t stes[SMMUV3_FUZZ_DEVICES][2] = {
        { SMMUV3_STE_S1 | CDS | 4ull << 59, SMMUV3_STE1_EATS | 2 },
        { SMMUV3_STE_S1 | (CDS + PAGE) },
        { SMMUV3_STE_S1 | (CDS + 2 * PAGE) },
    };
    Smmuv3Guest *g = &f->guest;
    uint32_t cfg;

    qtest_memset(s, FIRST_PAGE, 0, PAGES * PAGE);
    *g = (Smmuv3Guest) { .qts = s, .base = SMMU_BASE };
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        number_bus(f, n, n + 1);
        writeq(f, STREAMS + (n + 1) * 0x100 * 64 + 8, stes[n][1]);
        writeq(f, STREAMS + (n + 1) * 0x100 * 64, stes[n][0]);
    }
    cfg = lay_out(f, layout);
    writel(f, SMMUV3_STRTAB_BASE_CFG, cfg);
    smmuv3_guest_writeq(g, SMMUV3_EVENTQ_BASE,
                        EVENTQ | SMMUV3_GUEST_EVENTQ_LOG2);
    writel(f, SMMUV3_IRQ_CTRL, 7);
    program_cmdq(f, CMDQ, SMMUV3_GUEST_CMDQ_LOG2);
    set_cr0(f, SMMUV3_CR0_ALL, 0);
    writeq(f, STREAMS + 0x300 * 64, SMMUV3_STE_BYPASS);
    smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, 0x300);
    smmuv3_guest_ring(g);
    f->slow_steps = SLOW_STEPS;
    f->calls = fakehost_fuzz_page->ioctls;
    f->sequence = 0;
}

/* Give the device's entry, if it has one in RAM, another meaning */
static void change(Smmuv3Fuzz *f, unsigned n)
{
    uint64_t addr;

    if (!smmuv3_fuzz_is_plugged(n) ||
        !smmuv3_fuzz_ste_addr(f, smmuv3_fuzz_sid(n), &addr) ||
        addr < FIRST_PAGE || addr >= CMDQ) {
        return;
    }
    if (qtest_readq(f->guest.qts, addr) & SMMUV3_STE_V) {
        writeq(f, addr, 0);
    } else {
        writeq(f, addr + 8, n << 2);
        writeq(f, addr, SMMUV3_STE_S1 | (CDS + (4 + n) * PAGE));
    }
}

/* Returns true if the SMMU says that it has done all that */
static bool say_changed(Smmuv3Fuzz *f, unsigned how)
{
    Smmuv3Guest *g = &f->guest;

    switch (how) {
    case 0:
        smmuv3_guest_post(g, SMMUV3_CFGI_STE_RANGE, 31);
        break;
    case 1:
        for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
            if (smmuv3_fuzz_is_plugged(n)) {
                smmuv3_guest_post_sid(g, SMMUV3_CFGI_STE, smmuv3_fuzz_sid(n));
            }
        }
        break;
    case 2:
        /* One bit of the StreamID at a time: ranges end with each other one */
        smmuv3_guest_post(g, SMMUV3_CFGI_STE_RANGE, 7);
        for (uint64_t bit = 8; bit < 16; bit++) {
            smmuv3_guest_post(g, SMMUV3_CFGI_STE_RANGE | 1ull << (32 + bit),
                              bit - 1);
        }
        break;
    default:
        set_cr0(f, 0, 0);
    }
    smmuv3_guest_post(g, SMMUV3_SYNC, 0);
    smmuv3_guest_ring(g);
    return !smmuv3_guest_cmdq_error(g) && smmuv3_guest_consumed(g);
}

/*
 * The guest makes sure that its commands are read, and that no event changes
 * the tables while they are compared. Then it changes some entries.
 */
static void change_some(Smmuv3Fuzz *f, uint8_t first)
{
    program_cmdq(f, CMDQ, SMMUV3_GUEST_CMDQ_LOG2);
    smmuv3_guest_writeq(&f->guest, SMMUV3_EVENTQ_BASE, OUTSIDE);
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        if (INPUT_CHANGE(first, n)) {
            change(f, n);
        }
    }
}

static void end_steps(Smmuv3Fuzz *f, uint8_t first)
{
    if (INPUT_FAILS(first)) {
        change_some(f, first);
        if (say_changed(f, INPUT_END(first))) {
            smmuv3_fuzz_check_closed(f);
        }
        fakehost_fuzz_recover();
        program_cmdq(f, CMDQ, SMMUV3_GUEST_CMDQ_LOG2);
    } else {
        fakehost_fuzz_recover();
        change_some(f, first);
    }
    if (!say_changed(f, INPUT_END(first))) {
        fakehost_fuzz_wrong("commands are not consumed, error %u",
                            smmuv3_guest_cmdq_error(&f->guest));
    }
    smmuv3_fuzz_check(f);
}

static void smmuv3_fuzz_run(QTestState *s, const unsigned char *data,
                            size_t size)
{
    Smmuv3Fuzz *f = &fuzz;

    if (!size) {
        return;
    }
    set_up(f, s, INPUT_LAYOUT(data[0]));
    fuzz_run_steps(steps, ARRAY_SIZE(steps), f, data + 1, size - 1,
                   check_step);

    end_steps(f, data[0]);

    /* Only the SMMU: the whole machine would take most of the time */
    device_cold_reset(DEVICE(smmu()));
    smmuv3_fuzz_check_reset(f);
    if (f->unplugged) {
        plug_in_order(f);
        smmuv3_fuzz_check_reset(f);
    }
    flush_events(s);
    /* The main loop never waits here, so nobody else gets to free memory */
    if (++f->inputs % RCU_INPUTS == 0) {
        drain_call_rcu();
    }
}

static void smmuv3_fuzz_pre_vm_init(void)
{
    g_autoptr(GString) host = g_string_new(NULL);

    g_string_printf(host, "iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                    "idr3=0x%x idr5=0x%x\n", HOST_IDR0, HOST_IDR1, HOST_IDR3,
                    HOST_IDR5);
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        g_string_append_printf(host, "device %s iommu=iommu0 ats=%d\n",
                               smmuv3_fuzz_dev(n),
                               n < SMMUV3_FUZZ_ATS_DEVICES);
    }
    fakehost_fuzz_start(host->str);
}

static GString *smmuv3_fuzz_cmdline(FuzzTarget *t)
{
    GString *s = fakehost_fuzz_cmdline("virt,gic-version=3");

    g_string_append_printf(s, " -cpu cortex-a57 -m %uM -device arm-smmuv3,id="
                           SMMU ",primary-bus=pcie.0,accel=on,ril=on,ats=on,"
                           "oas=44,ssidsize=%u", SMMUV3_GUEST_RAM_MB,
                           SMMUV3_FUZZ_SSIDSIZE);
    for (unsigned n = 0; n < SMMUV3_FUZZ_DEVICES; n++) {
        g_string_append_printf(s, " -device pcie-root-port,id=rp%u,chassis=%u,"
                               "addr=0x%x -device vfio-pci,id=%s,fd=%d,"
                               "iommufd=iommufd0,bus=rp%u", n, n + 1,
                               FIRST_SLOT + n, smmuv3_fuzz_dev(n),
                               fakehost_fuzz_fd(smmuv3_fuzz_dev(n)), n);
    }
    return s;
}

static void register_smmuv3_accel_fuzz_target(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "smmuv3-accel",
        .description = "Stream table, queues and registers of arm-smmuv3 with "
                       "host devices behind accel=on",
        .get_init_cmdline = smmuv3_fuzz_cmdline,
        .pre_vm_init = smmuv3_fuzz_pre_vm_init,
        .fuzz = smmuv3_fuzz_run,
    });
}

fuzz_target_init(register_smmuv3_accel_fuzz_target);
