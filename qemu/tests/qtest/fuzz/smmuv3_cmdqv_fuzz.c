/*
 * Fuzz target for the command queues that a guest of an accelerated SMMUv3 has
 * to itself (CMDQV of Tegra241)
 *
 * An input is a sequence of steps of a guest that means harm: registers of the
 * block, queues set up well or badly, commands, and a host that fails. After
 * each step the host has either no queue, or those that the registers say.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "exec/memory.h"
#include "hw/qdev-core.h"
#include "hw/hotplug.h"
#include "hw/sysbus.h"
#include "monitor/qdev.h"
#include "hw/arm/smmuv3-accel-internal.h"
#include "hw/arm/tegra241-cmdqv.h"
#include "tests/qtest/libqos/smmuv3.h"
#include "fakehost_fuzz.h"

#define SMMU            "smmu0"
#define DEV             "dev0"
#define PORT            "rp0"
#define PLATFORM_BUS    0x0c000000ull
#define RAM_END         (SMMUV3_GUEST_RAM + SMMUV3_GUEST_RAM_MB * 1024ull * \
                         1024)

#define QUEUES          2
#define LOG2SIZE        8               /* the largest: a page of 4 KiB */
#define LENGTH          (16ull << LOG2SIZE)
#define QUEUE(q)        (SMMUV3_GUEST_RAM + 0x800000 + (q) * LENGTH)
#define ENTRIES         (QUEUES * (LENGTH / 8))

/* The block (see hw/arm/tegra241-cmdqv.h) */
#define CONFIG          0x0
#define ALLOC(q)        (0x200 + 4 * (q))
#define ALLOC_ALLOCATED 1u
#define ALLOC_LVCMDQ(a) ((a) >> 1 & 0x7f)
#define VINTF_CONFIG    0x1000
#define ALL_PAGE0       0x10000
#define ALL_PAGE1       0x20000
#define PAGE0           0x30000
#define PAGE1           0x40000
#define PAGE(offset)    ((offset) & ~(TEGRA241_CMDQV_PAGE_SIZE - 1ull))
#define STRIDE          TEGRA241_CMDQV_QUEUE_STRIDE

/*
 * Calls of one step: one for each command of all queues and what ends a turn,
 * in the step and once more in the main loop; or a device that comes
 */
#define STEP_CALLS      (2 * QUEUES * (BIT(LOG2SIZE) + 4) * 2 + 256)

#define SLOW_STEPS      4
#define RCU_INPUTS      16              /* memory is freed after so many */

/* A host that can do everything (SMMUv3 6.3.1 to 6.3.6) */
#define HOST_IDR0       (3u | 2u << 2 | 1u << 4 | 1u << 10 | 1u << 12 | \
                         1u << 18 | 1u << 19 | 2u << 21 | 1u << 24 | 1u << 27)
#define HOST_IDR1       (16u | 16u << 6 | 10u << 21)
#define HOST_IDR3       (1u << 8 | 1u << 10 | 2u << 11)
#define HOST_IDR5       (5u | 7u << 4)

/* The first byte of an input */
#define INPUT_REPLUG(b) ((b) & 1)
#define INPUT_QUEUES(b) ((b) >> 1 & 3)

typedef struct CmdqvFuzz {
    QTestState *qts;
    uint64_t base;              /* of the block */
    unsigned inputs;            /* so far */
    unsigned slow_steps;        /* that this input may still take */
    bool replug;                /* the device has to be plugged anew */
    uint64_t calls;             /* that the host had seen before the step */
    uint32_t cons[QUEUES];      /* before the step */
    uint32_t sequence;          /* of the host's next report */
} CmdqvFuzz;

static SMMUv3State *smmu(void)
{
    return ARM_SMMUV3(object_resolve_path("/machine/peripheral/" SMMU, NULL));
}

static DeviceState *find_device(void)
{
    return (DeviceState *)object_resolve_path("/machine/peripheral/" DEV, NULL);
}

static uint32_t rd(CmdqvFuzz *f, uint64_t offset)
{
    return qtest_readl(f->qts, f->base + offset);
}

static uint64_t rd64(CmdqvFuzz *f, uint64_t offset)
{
    return qtest_readq(f->qts, f->base + offset);
}

static uint64_t reg(unsigned q, unsigned offset)
{
    return PAGE0 + q * STRIDE + offset;
}

/* STATUS is read only, but in memory that stands in for the hardware */
static void restore_status(CmdqvFuzz *f, uint64_t offset)
{
    if (PAGE(offset) == PAGE0 || PAGE(offset) == ALL_PAGE0) {
        for (unsigned q = 0; q < QUEUES; q++) {
            qtest_writel(f->qts, f->base + reg(q, TEGRA241_VCMDQ_STATUS), 0);
        }
    }
}

static void wr(CmdqvFuzz *f, uint64_t offset, uint32_t val)
{
    qtest_writel(f->qts, f->base + offset, val);
    restore_status(f, offset);
}

static void wr64(CmdqvFuzz *f, uint64_t offset, uint64_t val)
{
    qtest_writeq(f->qts, f->base + offset, val);
    restore_status(f, offset);
}

/* --- what steps choose from --- */

static unsigned choose_queue(FuzzInput *in)
{
    return fuzz_u8(in) % QUEUES;
}

/* A register that does something in most cases */
static uint64_t choose_offset(FuzzInput *in)
{
    static const uint32_t offsets[] = {
        CONFIG, 0x4, 0x8, 0x14, 0x1c, 0x24, ALLOC(0), ALLOC(1), ALLOC(2),
        VINTF_CONFIG, 0x1004, 0x1040, 0x1080, 0x10c0, 0x1100, 0xfffc,
    };
    static const uint32_t pages[] = { ALL_PAGE0, ALL_PAGE1, PAGE0, PAGE1 };
    uint8_t val = fuzz_u8(in);

    if (val < 0x40) {
        return offsets[val % ARRAY_SIZE(offsets)];
    }
    if (val < 0xe0) {
        /* One queue more than there are */
        return pages[val & 3] + (val >> 2) % (QUEUES + 1) * STRIDE +
               fuzz_u8(in) % 8 * 4;
    }
    return fuzz_u32(in) % (PAGE1 + TEGRA241_CMDQV_PAGE_SIZE) & ~3;
}

static uint64_t choose_base(CmdqvFuzz *f, FuzzInput *in)
{
    uint64_t elsewhere[] = {
        0, RAM_END - LENGTH, RAM_END - LENGTH / 2, RAM_END,
        SMMUV3_GUEST_RAM - LENGTH, PLATFORM_BUS, f->base + PAGE0, f->base,
        0x7ffffff00000ull, 0x09000000ull, -LENGTH, QUEUE(0) + 0x20,
    };
    uint8_t val = fuzz_u8(in);
    uint64_t base = val < 0xa0 ? QUEUE(val % 4)
                               : elsewhere[val % ARRAY_SIZE(elsewhere)];
    uint8_t size = fuzz_u8(in);

    return (base | (size < 0xc0 ? LOG2SIZE : size & 31)) ^ fuzz_damage(in);
}

static bool is_slow(CmdqvFuzz *f)
{
    return !f->slow_steps || !f->slow_steps--;
}

/* --- steps: registers --- */

static void step_read(void *opaque, FuzzInput *in)
{
    uint64_t offset = choose_offset(in);

    if (fuzz_u8(in) & 1) {
        rd64(opaque, offset);
    } else {
        rd(opaque, offset);
    }
}

static void step_write(void *opaque, FuzzInput *in)
{
    uint64_t offset = choose_offset(in);
    uint8_t val = fuzz_u8(in);

    if (val & 1) {
        wr64(opaque, offset, val & 2 ? choose_base(opaque, in) : fuzz_u64(in));
    } else {
        wr(opaque, offset, val & 2 ? fuzz_small(in, 32) : fuzz_u32(in));
    }
}

static void step_enable(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    wr(opaque, val & 1 ? CONFIG : VINTF_CONFIG,
       !(val & 6) ^ (uint32_t)fuzz_damage(in));
}

static void step_allocate(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);
    unsigned q = val & 1;

    /* Now and then the queues change places */
    wr(opaque, ALLOC(q), ((q ^ !(val & 0x70)) << 1 | !(val & 0x80)) ^
       (uint32_t)fuzz_damage(in));
}

static void step_base(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);
    uint64_t offset = (val & 2 ? PAGE1 : ALL_PAGE1) + (val & 1) * STRIDE;
    uint64_t base = choose_base(opaque, in);

    if (val & 4) {
        wr(opaque, offset + 4, base >> 32);
        wr(opaque, offset, base);
    } else {
        wr64(opaque, offset, base);
    }
}

static void step_queue_config(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    wr(opaque, reg(val & 1, TEGRA241_VCMDQ_CONFIG), !(val & 2));
}

static void set_up(CmdqvFuzz *f, unsigned queues)
{
    wr(f, CONFIG, 1);
    wr(f, VINTF_CONFIG, 1);
    for (unsigned q = 0; q < queues; q++) {
        wr(f, ALLOC(q), q << 1 | 1);
        wr64(f, PAGE1 + q * STRIDE, QUEUE(q) | LOG2SIZE);
        wr(f, reg(q, TEGRA241_VCMDQ_CONFIG), 1);
    }
}

static void tear_down(CmdqvFuzz *f)
{
    for (unsigned q = QUEUES; q-- > 0; ) {
        wr(f, reg(q, TEGRA241_VCMDQ_CONFIG), 0);
        wr64(f, PAGE1 + q * STRIDE, 0);
        wr(f, ALLOC(q), 0);
    }
    wr(f, VINTF_CONFIG, 0);
    wr(f, CONFIG, 0);
}

static void step_set_up(void *opaque, FuzzInput *in)
{
    set_up(opaque, fuzz_u8(in) % (QUEUES + 1));
}

static void step_tear_down(void *opaque, FuzzInput *in)
{
    tear_down(opaque);
}

static void step_indices(void *opaque, FuzzInput *in)
{
    uint8_t val = fuzz_u8(in);

    wr(opaque, reg(val & 1, val & 2 ? TEGRA241_VCMDQ_PROD :
                   TEGRA241_VCMDQ_CONS),
       val & 4 ? fuzz_u32(in) : fuzz_u16(in) & MAKE_64BIT_MASK(0,
                                                               LOG2SIZE + 1));
}

static void step_acknowledge(void *opaque, FuzzInput *in)
{
    unsigned q = choose_queue(in);

    wr(opaque, reg(q, TEGRA241_VCMDQ_GERRORN),
       rd(opaque, reg(q, TEGRA241_VCMDQ_GERROR)));
}

/* --- steps: commands --- */

static void put_command(CmdqvFuzz *f, unsigned q, uint32_t at, uint64_t cmd0,
                        uint64_t cmd1)
{
    uint64_t addr = QUEUE(q) + (at & (BIT(LOG2SIZE) - 1)) * 16;

    qtest_writeq(f->qts, addr, cmd0);
    qtest_writeq(f->qts, addr + 8, cmd1);
}

/* Some of the same, and the doorbell */
static void step_commands(void *opaque, FuzzInput *in)
{
    static const uint8_t ops[] = {
        SMMUV3_TLBI_NH_VA, SMMUV3_TLBI_NH_ASID, SMMUV3_ATC_INV, SMMUV3_SYNC,
        SMMUV3_TLBI_NH_VA, SMMUV3_SYNC, SMMUV3_CFGI_STE, SMMUV3_TLBI_NH_ALL,
    };
    CmdqvFuzz *f = opaque;
    unsigned q = choose_queue(in);
    uint64_t op = ops[fuzz_u8(in) % ARRAY_SIZE(ops)];
    uint64_t cmd0 = (op | (uint64_t)fuzz_u32(in) << 32) ^ fuzz_damage(in);
    uint64_t cmd1 = ((uint64_t)fuzz_u32(in) << 12 | (fuzz_u8(in) & 63)) ^
                    fuzz_damage(in);
    unsigned num = fuzz_small(in, LOG2SIZE);
    uint32_t at = rd(f, reg(q, TEGRA241_VCMDQ_PROD));

    for (unsigned i = 0; i < num; i++) {
        put_command(f, q, at + i, cmd0, cmd1);
    }
    wr(f, reg(q, TEGRA241_VCMDQ_PROD), at + num);
}

static void step_poke(void *opaque, FuzzInput *in)
{
    CmdqvFuzz *f = opaque;

    qtest_writeq(f->qts, QUEUE(0) + fuzz_u16(in) % ENTRIES * 8, fuzz_u64(in));
}

static void step_smmu(void *opaque, FuzzInput *in)
{
    CmdqvFuzz *f = opaque;

    qtest_writel(f->qts, PLATFORM_BUS + SMMUV3_CR0,
                 fuzz_u8(in) & SMMUV3_CR0_ALL);
}

/* --- steps: host --- */

/* What fails here leaves nothing in the host that would be taken for a leak */
static void step_fail(void *opaque, FuzzInput *in)
{
    static const char *const calls[] = {
        "IOMMU_HW_QUEUE_ALLOC", "VIOMMU_MMAP", "IOMMU_VEVENTQ_ALLOC",
        "IOMMU_VIOMMU_ALLOC", "IOMMU_HWPT_ALLOC", "IOMMU_HWPT_INVALIDATE",
        "EPOLL_ADD", "IOMMU_HW_QUEUE_ALLOC",
    };

    fakehost_fuzz_fail_one(in, calls, ARRAY_SIZE(calls));
}

static void step_recover(void *opaque, FuzzInput *in)
{
    fakehost_fuzz_recover();
}

/*
 * The queue of the host's reports: of the pipes, that which is not the queue of
 * the SMMU's events. -1 if there is none.
 */
static int open_reports(void)
{
    g_autofree char *events = g_strdup_printf("/proc/self/fd/%d",
                                              smmu()->s_accel->veventq.fd);
    g_autofree char *other = g_file_read_link(events, NULL);

    for (int fd = STDERR_FILENO + 1; fd < 256; fd++) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autofree char *link = g_file_read_link(path, NULL);

        if (link && g_str_has_prefix(link, "pipe:") &&
            (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY &&
            g_strcmp0(link, other)) {
            return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        }
    }
    return -1;
}

static void step_report(void *opaque, FuzzInput *in)
{
    CmdqvFuzz *f = opaque;
    struct {
        uint32_t flags;
        uint32_t sequence;
        uint64_t map[2];
    } event = { 0 };
    unsigned num = fuzz_small(in, 3);
    uint8_t val = fuzz_u8(in);
    size_t len = sizeof(event);
    int fd = open_reports();

    if (fd < 0) {
        return;
    }
    event.map[0] = val & 4 ? fuzz_u64(in) : val & 3;
    event.map[1] = val & 8 ? fuzz_u64(in) : 0;
    if ((val & 0x30) == 0x10) {
        /* Nothing follows a header that says that reports were lost */
        event.flags = 1;
        len = 8;
    } else if (val == 0xff) {
        /* The guest sees no more reports of a host that cuts them */
        len = 12;
        f->replug = true;
    }
    for (unsigned i = 0; i < num; i++) {
        event.sequence = f->sequence++;
        if (write(fd, &event, len) < 0) {
            break;
        }
    }
    close(fd);
    /* One at a time is read */
    for (unsigned i = 0; i < num; i++) {
        main_loop_wait(true);
    }
}

/* --- steps: the device, the machine --- */

/* Returns false if the host did not let it in */
static bool plug(CmdqvFuzz *f)
{
    int num = fakehost_fuzz_fd(DEV);
    g_autofree char *fd = g_strdup_printf("%d", num);
    QDict *opts = qdict_new();
    DeviceState *dev;
    Error *err = NULL;

    qdict_put_str(opts, "driver", "vfio-pci");
    qdict_put_str(opts, "id", DEV);
    qdict_put_str(opts, "fd", fd);
    qdict_put_str(opts, "iommufd", "iommufd0");
    qdict_put_str(opts, "bus", PORT);
    dev = qdev_device_add_from_qdict(opts, false, &err);
    qobject_unref(opts);
    if (dev) {
        object_unref(OBJECT(dev));
        return true;
    }
    drain_call_rcu();
    /* Nobody else would close it */
    if (fcntl(num, F_GETFD) >= 0) {
        close(num);
    }
    error_free(err);
    return false;
}

static void unplug(CmdqvFuzz *f)
{
    DeviceState *dev = find_device();

    if (!dev) {
        return;
    }
    /* As the root port does when the guest has switched the slot off */
    hotplug_handler_unplug(qdev_get_hotplug_handler(dev), dev, &error_abort);
    object_unparent(OBJECT(dev));
    drain_call_rcu();
}

static void expect_empty(void)
{
    for (unsigned type = FAKEHOST_OBJ_DEVICE; type < FAKEHOST_OBJ_TYPES;
         type++) {
        if (fakehost_fuzz_objects(type)) {
            fakehost_fuzz_wrong("%u objects of type %u without a device",
                                fakehost_fuzz_objects(type), type);
        }
    }
    if (fakehost_fuzz_page->mmaps_now) {
        fakehost_fuzz_wrong("a page is mapped without a device");
    }
}

static void step_unplug(void *opaque, FuzzInput *in)
{
    if (find_device() && !is_slow(opaque)) {
        unplug(opaque);
        expect_empty();
    }
}

static void step_plug(void *opaque, FuzzInput *in)
{
    if (!find_device() && !is_slow(opaque) && !plug(opaque)) {
        expect_empty();
    }
}

static void step_reset(void *opaque, FuzzInput *in)
{
    device_cold_reset(DEVICE(smmu()));
}

static void step_main_loop(void *opaque, FuzzInput *in)
{
    main_loop_wait(true);
}

static FuzzStep *const steps[] = {
    step_read, step_write, step_enable, step_allocate, step_base,
    step_queue_config, step_set_up, step_tear_down, step_indices,
    step_acknowledge, step_commands, step_poke, step_smmu, step_fail,
    step_recover, step_report, step_unplug, step_plug, step_reset,
    step_main_loop, step_write, step_base, step_commands, step_set_up,
};

/* --- what is right --- */

/* Does the guest have the page of the host? */
static bool has_page(CmdqvFuzz *f)
{
    MemoryRegionSection section =
        memory_region_find(get_system_memory(), f->base + PAGE0, 4);
    bool has = memory_region_is_ram_device(section.mr);

    memory_region_unref(section.mr);
    return has;
}

static const struct FakehostHwQueue *host_queue(unsigned index)
{
    for (size_t i = 0; i < FAKEHOST_HW_QUEUES; i++) {
        const struct FakehostHwQueue *q = &fakehost_fuzz_page->hw_queues[i];

        if (q->id && q->index == index) {
            return q;
        }
    }
    return NULL;
}

static void check_queue(CmdqvFuzz *f, unsigned q, unsigned num)
{
    const struct FakehostHwQueue *host = host_queue(q);
    uint64_t base = rd64(f, PAGE1 + q * STRIDE);
    uint64_t length = 16ull << (base & 31);

    if (!host != (q >= num) || (!host && base)) {
        fakehost_fuzz_wrong("queue %u of the guest is at 0x%" PRIx64
                            ", the host has %u queues", q, base, num);
    }
    if (host && (host->iova != (base & TEGRA241_VCMDQ_BASE_ADDR) ||
                 host->length != length)) {
        fakehost_fuzz_wrong("queue %u is at 0x%" PRIx64 " for the guest, 0x%"
                            PRIx64 " and 0x%" PRIx64 " bytes in the host", q,
                            base, host->iova, host->length);
    }
}

/* Is there a queue whose registers QEMU has? */
static bool has_emulated_queue(CmdqvFuzz *f, unsigned num)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        uint32_t alloc = rd(f, ALLOC(q));

        if (alloc & ALLOC_ALLOCATED && ALLOC_LVCMDQ(alloc) >= num) {
            return true;
        }
    }
    return false;
}

static void check(CmdqvFuzz *f)
{
    unsigned num = fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE);
    bool emulated = has_emulated_queue(f, num);
    bool plugged = find_device();

    if (has_page(f) != (num && !emulated)) {
        fakehost_fuzz_wrong("%u queues in the host, %s, and the host's page is "
                            "%s", num, emulated ? "others in QEMU" : "no other",
                            has_page(f) ? "there" : "not there");
    }
    if (fakehost_fuzz_objects(FAKEHOST_OBJ_ACCESS) != num ||
        fakehost_fuzz_page->mmaps_now != plugged) {
        fakehost_fuzz_wrong("%u queues, %u pieces of memory, %" PRIu64
                            " mapped pages", num,
                            fakehost_fuzz_objects(FAKEHOST_OBJ_ACCESS),
                            fakehost_fuzz_page->mmaps_now);
    }
    if (!num) {
        return;
    }
    if (!plugged || num > QUEUES || !(rd(f, CONFIG) & 1) ||
        !(rd(f, VINTF_CONFIG) & 1)) {
        fakehost_fuzz_wrong("%u queues that the guest has not enabled", num);
    }
    for (unsigned q = 0; q < QUEUES; q++) {
        check_queue(f, q, num);
    }
}

/* What wraps around is not counted */
static void count_commands(CmdqvFuzz *f)
{
    bool hosted = fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE);

    for (unsigned q = 0; q < QUEUES; q++) {
        uint32_t cons = rd(f, reg(q, TEGRA241_VCMDQ_CONS)) &
                        MAKE_64BIT_MASK(0, LOG2SIZE);

        /* Nobody works off the host's queues */
        if (!hosted && cons > f->cons[q] &&
            rd(f, reg(q, TEGRA241_VCMDQ_STATUS))) {
            fakehost_fuzz_taken(cons - f->cons[q]);
        }
        f->cons[q] = cons;
    }
}

static void check_step(void *opaque)
{
    CmdqvFuzz *f = opaque;
    uint64_t calls = fakehost_fuzz_page->ioctls - f->calls;

    if (calls > STEP_CALLS) {
        fakehost_fuzz_wrong("%" PRIu64 " calls in one step", calls);
    }
    check(f);
    count_commands(f);
    f->calls = fakehost_fuzz_page->ioctls;
}

/* Queues of a guest that starts anew are the host's, if there is a device */
static void check_alive(CmdqvFuzz *f, unsigned queues)
{
    unsigned wanted = find_device() ? queues : 0;

    fakehost_fuzz_recover();
    tear_down(f);
    set_up(f, queues);
    check(f);
    if (fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE) != wanted) {
        fakehost_fuzz_wrong("%u queues in the host, not %u",
                            fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE),
                            wanted);
    }
}

static void check_reset(CmdqvFuzz *f)
{
    device_cold_reset(DEVICE(smmu()));
    check(f);
    if (fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE) || rd(f, CONFIG) ||
        rd(f, VINTF_CONFIG) || rd(f, ALLOC(0)) || rd(f, ALLOC(1))) {
        fakehost_fuzz_wrong("%u queues in the host after a reset",
                            fakehost_fuzz_objects(FAKEHOST_OBJ_HW_QUEUE));
    }
}

/* --- the target --- */

static CmdqvFuzz fuzz;

static void cmdqv_fuzz_run(QTestState *s, const unsigned char *data,
                           size_t size)
{
    CmdqvFuzz *f = &fuzz;

    if (!size) {
        return;
    }
    f->qts = s;
    f->base = PLATFORM_BUS +
              sysbus_mmio_get_region(SYS_BUS_DEVICE(smmu()), 1)->addr;
    f->slow_steps = SLOW_STEPS;
    f->sequence = 0;
    f->calls = fakehost_fuzz_page->ioctls;
    memset(f->cons, 0, sizeof(f->cons));
    qtest_memset(s, QUEUE(0), 0, QUEUES * LENGTH);
    set_up(f, INPUT_QUEUES(data[0]) % (QUEUES + 1));
    fuzz_run_steps(steps, ARRAY_SIZE(steps), f, data + 1, size - 1,
                   check_step);

    check_alive(f, QUEUES);
    check_reset(f);
    if (f->replug || !find_device() || INPUT_REPLUG(data[0])) {
        unplug(f);
        expect_empty();
        set_up(f, QUEUES);
        if (!plug(f)) {
            fakehost_fuzz_wrong("cannot plug the device");
        }
        f->replug = false;
        check_alive(f, QUEUES);
        check_reset(f);
    }
    flush_events(s);
    /* The main loop never waits here, so nobody else gets to free memory */
    if (++f->inputs % RCU_INPUTS == 0) {
        drain_call_rcu();
    }
}

static void cmdqv_fuzz_pre_vm_init(void)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                        "idr3=0x%x idr5=0x%x cmdqv=1\ndevice " DEV
                        " iommu=iommu0 ats=1\n", HOST_IDR0, HOST_IDR1,
                        HOST_IDR3, HOST_IDR5);

    fakehost_fuzz_start(host);
}

static GString *cmdqv_fuzz_cmdline(FuzzTarget *t)
{
    GString *s = fakehost_fuzz_cmdline("virt,gic-version=3");

    g_string_append_printf(s, " -cpu cortex-a57 -m %uM -device arm-smmuv3,id="
                           SMMU ",primary-bus=pcie.0,accel=on,cmdqv=on,ats=on,"
                           "oas=44 -device pcie-root-port,id=" PORT ",chassis=1"
                           " -device vfio-pci,id=" DEV ",fd=%d,"
                           "iommufd=iommufd0,bus=" PORT, SMMUV3_GUEST_RAM_MB,
                           fakehost_fuzz_fd(DEV));
    return s;
}

static void register_smmuv3_cmdqv_fuzz_target(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "smmuv3-cmdqv",
        .description = "Command queues of the host for the guest of an "
                       "arm-smmuv3 with accel=on,cmdqv=on",
        .get_init_cmdline = cmdqv_fuzz_cmdline,
        .pre_vm_init = cmdqv_fuzz_pre_vm_init,
        .fuzz = cmdqv_fuzz_run,
    });
}

fuzz_target_init(register_smmuv3_cmdqv_fuzz_target);
