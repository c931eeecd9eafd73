/*
 * SMMUv3 on the host SMMU: command queues of the host for the guest
 *
 * The guest sets its queues up in registers that are emulated.  What they then
 * are for, PROD and CONS, is a page of the host's hardware.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "exec/ramblock.h"
#include "hw/arm/tegra241-cmdqv.h"
#include "system/hostmem.h"
#include "system/runstate.h"
#include "trace.h"
#include "smmuv3-accel-cmdqv.h"
#include "smmuv3-accel-event.h"
#include "smmuv3-accel-stream.h"

/* Reports that the host keeps; each says what is wrong with all queues */
#define SMMUV3_ACCEL_CMDQV_DEPTH    16

/* Reports that cannot be read are tried again after this */
#define SMMUV3_ACCEL_CMDQV_RETRY_MS 1000

/* The hardware stops a queue at once: this is for one that hangs */
#define SMMUV3_ACCEL_CMDQV_POLLS    100
#define SMMUV3_ACCEL_CMDQV_POLL_US  100

typedef struct SMMUv3AccelHostQueue {
    uint32_t id;                /* of the object in the host */
    uint64_t base;              /* VCMDQ_BASE of the guest's queue */
} SMMUv3AccelHostQueue;

typedef struct SMMUv3AccelCmdqv {
    SMMUv3Accel *accel;
    MemoryRegion container;     /* has the block, once there is one */
    Tegra241CMDQV block;
    bool created;               /* the guest has the block */
    bool hosted;                /* the vIOMMU can have host queues */
    uint64_t page_offset;       /* of the host page in the iommufd */
    struct iommu_hw_info_tegra241_cmdqv info;   /* of the host, when hosted */
    unsigned int log2size;      /* of the largest queue, in commands */

    /* The host page, or ordinary memory while there is none */
    uint8_t *page;
    bool page_is_host;
    MemoryRegion page_mr;       /* enabled while the guest has it */

    uint32_t num;               /* of @queues, by logical index */
    SMMUv3AccelHostQueue queues[BIT(TEGRA241_CMDQV_MAX_LOG2_VCMDQS)];
    uint32_t num_lost;          /* queues whose registers are in that memory */
    bool told;                  /* that this vIOMMU refuses a queue */

    SMMUv3AccelEventq eventq;
    QEMUTimer *read_retry;      /* pending after a read that failed */
    bool read_told;             /* of such a read */
    MemoryListener listener;
    QEMUBH *lost_bh;
} SMMUv3AccelCmdqv;

/*
 * The host page
 */

static uint32_t *smmuv3_accel_cmdqv_reg(SMMUv3AccelCmdqv *c, hwaddr offset)
{
    return (uint32_t *)(c->page + offset);
}

static uint32_t smmuv3_accel_cmdqv_read(SMMUv3AccelCmdqv *c, uint32_t lidx,
                                        hwaddr reg)
{
    hwaddr offset = lidx * TEGRA241_CMDQV_QUEUE_STRIDE + reg;

    return le32_to_cpu(qatomic_read(smmuv3_accel_cmdqv_reg(c, offset)));
}

static void smmuv3_accel_cmdqv_write(SMMUv3AccelCmdqv *c, uint32_t lidx,
                                     hwaddr reg, uint32_t value)
{
    hwaddr offset = lidx * TEGRA241_CMDQV_QUEUE_STRIDE + reg;

    qatomic_set(smmuv3_accel_cmdqv_reg(c, offset), cpu_to_le32(value));
}

static bool smmuv3_accel_cmdqv_is_error(uint32_t gerror, uint32_t gerrorn)
{
    return FIELD_EX32(gerror ^ gerrorn, GERROR, CMDQ_ERR);
}

/* What the queue has begun is done then */
static void smmuv3_accel_cmdqv_disable(SMMUv3AccelCmdqv *c, uint32_t lidx)
{
    smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_CONFIG, 0);
    for (int i = 0; i < SMMUV3_ACCEL_CMDQV_POLLS; i++) {
        if (!(smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_STATUS) & 1)) {
            return;
        }
        g_usleep(SMMUV3_ACCEL_CMDQV_POLL_US);
    }
}

/*
 * Put the host page, or ordinary memory, where the guest's page is.  Each
 * replaces the other in one step: the address is never without memory, for
 * whoever still has an access to it in hand.
 */
static void smmuv3_accel_cmdqv_unmap_host(SMMUv3AccelCmdqv *c)
{
    mmap(c->page, TEGRA241_CMDQV_PAGE_SIZE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    c->page_is_host = false;
}

static bool smmuv3_accel_cmdqv_map_host(SMMUv3AccelCmdqv *c, IOMMUFDBackend *be,
                                        uint32_t viommu_id, Error **errp)
{
    if (!c->page_is_host &&
        !iommufd_backend_viommu_mmap(be, viommu_id, c->page_offset,
                                     TEGRA241_CMDQV_PAGE_SIZE, c->page, errp)) {
        smmuv3_accel_cmdqv_unmap_host(c);
        return false;
    }
    c->page_is_host = true;
    return true;
}

/*
 * Queues that move
 */

/*
 * The block goes on where the host queue has got to.  An error goes along: to
 * the host it is acknowledged.
 */
static void smmuv3_accel_cmdqv_save(SMMUv3AccelCmdqv *c, uint32_t lidx,
                                    Tegra241VCMDQ *q)
{
    q->config = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_CONFIG) & 1;
    smmuv3_accel_cmdqv_disable(c, lidx);
    q->prod = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_PROD);
    q->cons = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_CONS);
    q->gerror = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_GERROR);
    q->gerrorn = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_GERRORN);
    smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_GERRORN, q->gerror);
}

/*
 * A new host queue is off, and empty.  One that does not start leaves the guest
 * waiting for its CMD_SYNC, as on hardware.
 */
static void smmuv3_accel_cmdqv_restore(SMMUv3AccelCmdqv *c, uint32_t lidx,
                                       Tegra241VCMDQ *q)
{
    smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_CONS, q->cons);
    smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_PROD, q->prod);
    smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_CONFIG, q->config & 1);
    /* For the block it is off: what it does is in the host's registers */
    q->config = 0;
}

/* The last one first, as the host wants it */
static void smmuv3_accel_cmdqv_free(SMMUv3AccelCmdqv *c, uint32_t first)
{
    while (c->num > first) {
        uint32_t lidx = --c->num;
        Tegra241VCMDQ *q = tegra241_cmdqv_lvcmdq(&c->block, 0, lidx);

        /* One that is not allocated any more has lost its registers */
        if (q) {
            smmuv3_accel_cmdqv_save(c, lidx, q);
        }
        iommufd_backend_free_id(c->accel->iommufd, c->queues[lidx].id);
        trace_smmuv3_accel_cmdqv_free(lidx, c->queues[lidx].id);
    }
}

/* Is all of the queue in one piece of guest memory? */
static bool smmuv3_accel_cmdqv_check_memory(hwaddr addr, hwaddr size,
                                            Error **errp)
{
    MemoryRegionSection section =
        memory_region_find(get_system_memory(), addr, size);
    bool ok = section.mr && memory_region_is_ram(section.mr) &&
              !memory_region_is_ram_device(section.mr) && !section.readonly &&
              int128_get64(section.size) == size;

    if (!ok) {
        error_setg(errp, "it is not in guest memory");
    } else if (memory_region_has_ram_discard_manager(section.mr)) {
        /* The host would keep what is discarded */
        error_setg(errp, "it is in memory that goes piece by piece "
                   "(virtio-mem)");
        ok = false;
    }
    if (section.mr) {
        memory_region_unref(section.mr);
    }
    return ok;
}

static bool smmuv3_accel_cmdqv_move(SMMUv3AccelCmdqv *c, uint32_t lidx,
                                    Tegra241VCMDQ *q, Error **errp)
{
    ERRP_GUARD();
    SMMUv3AccelHostQueue *host = &c->queues[lidx];
    unsigned int log2size;
    hwaddr addr, size;

    tegra241_cmdqv_queue_memory(&c->block, q, &addr, &log2size);
    size = (hwaddr)sizeof(Cmd) << log2size;
    if (!smmuv3_accel_cmdqv_check_memory(addr, size, errp) ||
        !smmuv3_accel_cmdqv_map_host(c, c->accel->iommufd,
                                     c->accel->viommu_id, errp)) {
        return false;
    }
    if (!iommufd_backend_alloc_hw_queue(c->accel->iommufd, c->accel->viommu_id,
                                        IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
                                        lidx, addr, size, &host->id, errp)) {
        if (errno == EFAULT) {
            error_append_hint(errp, "Its pages must follow each other in the "
                              "host's memory: back guest memory by huge "
                              "pages.\n");
        }
        return false;
    }
    host->base = q->base;
    c->num++;
    trace_smmuv3_accel_cmdqv_alloc(lidx, addr, size, host->id);
    smmuv3_accel_cmdqv_restore(c, lidx, q);
    return true;
}

/*
 * How many queues the guest has set up, from the first one on.  0 if they
 * cannot be the host's: one is missing in between, or has an error that the
 * guest has not seen yet.
 */
static uint32_t smmuv3_accel_cmdqv_wanted(SMMUv3AccelCmdqv *c)
{
    uint32_t wanted = 0;

    if (!c->hosted || !tegra241_cmdqv_vintf_enabled(&c->block, 0)) {
        return 0;
    }
    for (uint32_t lidx = 0; lidx < c->block.num_lvcmdqs; lidx++) {
        Tegra241VCMDQ *q = tegra241_cmdqv_lvcmdq(&c->block, 0, lidx);
        unsigned int log2size;
        hwaddr addr;

        if (!q || !q->base) {
            continue;
        }
        if (wanted < lidx ||
            (lidx >= c->num && smmuv3_accel_cmdqv_is_error(q->gerror,
                                                           q->gerrorn)) ||
            !tegra241_cmdqv_queue_memory(&c->block, q, &addr, &log2size)) {
            return 0;
        }
        wanted++;
    }
    return wanted;
}

/* Those of the host's queues that still are what the guest has set up */
static uint32_t smmuv3_accel_cmdqv_kept(SMMUv3AccelCmdqv *c, uint32_t wanted)
{
    uint32_t kept = 0;

    while (kept < MIN(c->num, wanted) &&
           tegra241_cmdqv_lvcmdq(&c->block, 0, kept)->base ==
           c->queues[kept].base) {
        kept++;
    }
    return kept;
}

/* From now on the guest's accesses come here */
static void smmuv3_accel_cmdqv_take_page(SMMUv3AccelCmdqv *c)
{
    trace_smmuv3_accel_cmdqv_page(false);
    memory_region_set_enabled(&c->page_mr, false);
}

/*
 * Now they go to the host, unless there is a queue whose registers the block
 * has: the guest is about to set it up, or to give it back.
 */
static void smmuv3_accel_cmdqv_give_page(SMMUv3AccelCmdqv *c)
{
    for (uint32_t lidx = c->num; lidx < c->block.num_lvcmdqs; lidx++) {
        if (tegra241_cmdqv_lvcmdq(&c->block, 0, lidx)) {
            smmuv3_accel_cmdqv_take_page(c);
            return;
        }
    }
    trace_smmuv3_accel_cmdqv_page(true);
    memory_region_set_enabled(&c->page_mr, true);
}

/* Registers that smmuv3_accel_cmdqv_lose() has put into ordinary memory */
static void smmuv3_accel_cmdqv_fetch_lost(SMMUv3AccelCmdqv *c)
{
    if (!c->num_lost) {
        return;
    }
    smmuv3_accel_cmdqv_take_page(c);
    /* What the guest has posted meanwhile */
    for (uint32_t lidx = 0; lidx < c->num_lost; lidx++) {
        Tegra241VCMDQ *q = tegra241_cmdqv_lvcmdq(&c->block, 0, lidx);

        if (q) {
            q->prod = smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_PROD);
        }
    }
    c->num_lost = 0;
}

static void smmuv3_accel_cmdqv_to_block(SMMUv3AccelCmdqv *c)
{
    static const uint64_t none[2];

    if (!c->created) {
        return;
    }
    smmuv3_accel_cmdqv_take_page(c);
    smmuv3_accel_cmdqv_free(c, 0);
    /* Errors that the guest was not told of have come along */
    tegra241_cmdqv_report(&c->block, none);
    qemu_bh_schedule(c->block.bh);
}

/* All to the host, or all to the block */
static void smmuv3_accel_cmdqv_sync(SMMUv3AccelCmdqv *c)
{
    uint32_t wanted, kept;
    Error *err = NULL;

    smmuv3_accel_cmdqv_fetch_lost(c);
    wanted = smmuv3_accel_cmdqv_wanted(c);
    kept = smmuv3_accel_cmdqv_kept(c, wanted);
    if (!wanted && !c->num) {
        return;
    }
    if (kept < c->num) {
        smmuv3_accel_cmdqv_take_page(c);
        smmuv3_accel_cmdqv_free(c, kept);
        /* One may have brought an error along */
        wanted = smmuv3_accel_cmdqv_wanted(c);
    }
    if (!wanted) {
        smmuv3_accel_cmdqv_to_block(c);
        return;
    }
    for (uint32_t lidx = kept; lidx < wanted; lidx++) {
        Tegra241VCMDQ *q = tegra241_cmdqv_lvcmdq(&c->block, 0, lidx);

        if (!smmuv3_accel_cmdqv_move(c, lidx, q, &err)) {
            if (!c->told) {
                error_prepend(&err, "arm-smmuv3 '%s': command queue %u of the "
                              "guest cannot be one of the host's, QEMU works "
                              "the queues off instead: ",
                              smmuv3_accel_id(c->accel), lidx);
                warn_report_err(err);
            } else {
                error_free(err);
            }
            c->told = true;
            c->accel->bindings.refused++;
            smmuv3_accel_cmdqv_to_block(c);
            return;
        }
    }
    smmuv3_accel_cmdqv_give_page(c);
}

/*
 * What the block says
 */

static void smmuv3_accel_cmdqv_config_changed(void *opaque)
{
    smmuv3_accel_cmdqv_sync(opaque);
}

static void smmuv3_accel_cmdqv_queue_base(void *opaque, unsigned int lidx)
{
    smmuv3_accel_cmdqv_sync(opaque);
}

/* By the page of all queues, which the guest does not get from the host */
static bool smmuv3_accel_cmdqv_page0_read(void *opaque, hwaddr offset,
                                          uint32_t *value)
{
    SMMUv3AccelCmdqv *c = opaque;

    if (offset / TEGRA241_CMDQV_QUEUE_STRIDE >= c->num) {
        return false;
    }
    *value = le32_to_cpu(qatomic_read(smmuv3_accel_cmdqv_reg(c, offset)));
    return true;
}

static bool smmuv3_accel_cmdqv_page0_write(void *opaque, hwaddr offset,
                                           uint32_t value)
{
    SMMUv3AccelCmdqv *c = opaque;

    if (offset / TEGRA241_CMDQV_QUEUE_STRIDE >= c->num) {
        return false;
    }
    qatomic_set(smmuv3_accel_cmdqv_reg(c, offset), cpu_to_le32(value));
    return true;
}

/* As at the end of the work for a doorbell of the SMMU itself */
static void smmuv3_accel_cmdqv_consumed(void *opaque, unsigned int lidx)
{
    SMMUv3AccelCmdqv *c = opaque;

    smmuv3_accel_stream_send(c->accel);
}

static const Tegra241CMDQVOps smmuv3_accel_cmdqv_ops = {
    .config_changed = smmuv3_accel_cmdqv_config_changed,
    .queue_base = smmuv3_accel_cmdqv_queue_base,
    .page0_read = smmuv3_accel_cmdqv_page0_read,
    .page0_write = smmuv3_accel_cmdqv_page0_write,
    .consume = smmuv3_accel_cmdqv_consumed,
};

/*
 * Without a change of the memory map, which is just being changed: until the
 * bottom half runs the guest finds its registers in ordinary memory, unless its
 * accesses come here as it is.
 */
static void smmuv3_accel_cmdqv_lose(SMMUv3AccelCmdqv *c)
{
    uint32_t num = c->num;

    smmuv3_accel_cmdqv_free(c, 0);
    smmuv3_accel_cmdqv_unmap_host(c);
    qemu_bh_schedule(c->lost_bh);
    if (!c->page_mr.enabled) {
        return;
    }
    for (uint32_t lidx = 0; lidx < num; lidx++) {
        Tegra241VCMDQ *q = tegra241_cmdqv_lvcmdq(&c->block, 0, lidx);

        if (!q) {
            continue;
        }
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_CONS, q->cons);
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_PROD, q->prod);
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_CONFIG, q->config);
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_STATUS, q->config);
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_GERROR, q->gerror);
        smmuv3_accel_cmdqv_write(c, lidx, TEGRA241_VCMDQ_GERRORN, q->gerrorn);
    }
    c->num_lost = num;
}

/*
 * Guest memory that goes takes the host queues in it along: the host would not
 * unmap what they have pinned.
 */
static void smmuv3_accel_cmdqv_region_del(MemoryListener *listener,
                                          MemoryRegionSection *section)
{
    SMMUv3AccelCmdqv *c = container_of(listener, SMMUv3AccelCmdqv, listener);
    hwaddr start = section->offset_within_address_space;

    for (uint32_t lidx = 0; lidx < c->num; lidx++) {
        hwaddr addr = c->queues[lidx].base & TEGRA241_VCMDQ_BASE_ADDR;

        /* A queue is in one section */
        if (memory_region_is_ram(section->mr) && addr >= start &&
            int128_gt(section->size, int128_make64(addr - start))) {
            smmuv3_accel_cmdqv_lose(c);
        }
    }
}

static void smmuv3_accel_cmdqv_lost(void *opaque)
{
    SMMUv3AccelCmdqv *c = opaque;

    smmuv3_accel_cmdqv_fetch_lost(c);
    smmuv3_accel_cmdqv_sync(c);
    qemu_bh_schedule(c->block.bh);
}

/*
 * Errors of host queues
 */

static void smmuv3_accel_cmdqv_read_errors(void *opaque)
{
    SMMUv3AccelCmdqv *c = opaque;
    struct {
        struct iommufd_vevent_header header;
        struct iommu_vevent_tegra241_cmdqv event;
    } buf;
    /* One at a time: it stays readable as long as there is one */
    ssize_t n = RETRY_ON_EINTR(read(c->eventq.fd, &buf, sizeof(buf)));
    uint64_t map[2] = { };

    if (n == sizeof(buf)) {
        map[0] = le64_to_cpu(buf.event.lvcmdq_err_map[0]);
        map[1] = le64_to_cpu(buf.event.lvcmdq_err_map[1]);
    } else if (n < 0 && errno == EAGAIN) {
        return;
    } else if (n != sizeof(buf.header)) {
        if (!c->read_told) {
            warn_report("arm-smmuv3 '%s': cannot read the errors of the host's "
                        "command queues: %s; trying again",
                        smmuv3_accel_id(c->accel),
                        n < 0 ? strerror(errno) : "a short read");
            c->read_told = true;
        }
        /* It is still readable: do not let the main loop spin */
        timer_mod(c->read_retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  SMMUV3_ACCEL_CMDQV_RETRY_MS);
        smmuv3_accel_cmdqv_poll(c->accel);
        return;
    }
    /* Whatever was lost shows in the queues themselves */
    for (uint32_t lidx = 0; lidx < c->num; lidx++) {
        if (smmuv3_accel_cmdqv_is_error(
                smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_GERROR),
                smmuv3_accel_cmdqv_read(c, lidx, TEGRA241_VCMDQ_GERRORN))) {
            map[lidx / 64] |= BIT_ULL(lidx % 64);
        }
    }
    c->accel->num_events++;
    trace_smmuv3_accel_cmdqv_errors(map[1], map[0]);
    tegra241_cmdqv_report(&c->block, map);
}

void smmuv3_accel_cmdqv_poll(SMMUv3Accel *accel)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    if (c && c->eventq.fd >= 0) {
        bool on = runstate_is_running() && !timer_pending(c->read_retry);

        qemu_set_fd_handler(c->eventq.epoll_fd, on ?
                            smmuv3_accel_cmdqv_read_errors : NULL, NULL, c);
    }
}

static void smmuv3_accel_cmdqv_read_retry(void *opaque)
{
    SMMUv3AccelCmdqv *c = opaque;

    smmuv3_accel_cmdqv_poll(c->accel);
}

/*
 * The vIOMMU
 */

static bool smmuv3_accel_cmdqv_get_info(HostIOMMUDeviceIOMMUFD *idev,
                                        struct iommu_hw_info_tegra241_cmdqv
                                        *info)
{
    Error *err = NULL;

    if (!iommufd_backend_get_hw_info(idev->iommufd, idev->devid,
                                     IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, info,
                                     sizeof(*info), &err)) {
        /* A host without, or one whose kernel cannot tell */
        trace_smmuv3_accel_cmdqv_none(error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

/* The guest does not know that it would have to do everything twice */
static bool smmuv3_accel_cmdqv_has_erratum(HostIOMMUDeviceIOMMUFD *idev)
{
    return HOST_IOMMU_DEVICE(idev)->caps.vendor_caps.smmuv3.flags &
           IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI;
}

int smmuv3_accel_cmdqv_host_queues(SMMUv3Accel *accel,
                                   HostIOMMUDeviceIOMMUFD *idev)
{
    struct iommu_hw_info_tegra241_cmdqv info;

    if (!accel->cmdqv || !accel->features.cmdqv ||
        smmuv3_accel_cmdqv_has_erratum(idev) ||
        !smmuv3_accel_cmdqv_get_info(idev, &info)) {
        return 0;
    }
    return BIT(MIN(info.log2vcmdqs, TEGRA241_CMDQV_MAX_LOG2_VCMDQS));
}

bool smmuv3_accel_cmdqv_alloc_viommu(SMMUv3Accel *accel,
                                     HostIOMMUDeviceIOMMUFD *idev,
                                     uint32_t *viommu_id, Error **errp)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;
    struct iommu_viommu_tegra241_cmdqv data = { };
    Error *err = NULL;
    uint32_t id;

    if (!c || !accel->features.cmdqv || smmuv3_accel_cmdqv_has_erratum(idev) ||
        !smmuv3_accel_cmdqv_get_info(idev, &c->info)) {
        return false;
    }
    if (iommufd_backend_alloc_data_viommu(idev->iommufd, idev->devid,
                                          IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
                                          idev->hwpt_id, &data, sizeof(data),
                                          &id, &err)) {
        c->page_offset = data.out_vintf_mmap_offset;
        if (data.out_vintf_mmap_length != TEGRA241_CMDQV_PAGE_SIZE) {
            error_setg(&err, "the host's page for command queues has 0x%" PRIx64
                       " bytes instead of 0x%x",
                       (uint64_t)data.out_vintf_mmap_length,
                       TEGRA241_CMDQV_PAGE_SIZE);
        } else if (smmuv3_accel_cmdqv_map_host(c, idev->iommufd, id, &err)) {
            c->hosted = true;
            *viommu_id = id;
            return true;
        }
        iommufd_backend_free_id(idev->iommufd, id);
    }
    if (accel->s->cmdqv == ON_OFF_AUTO_ON) {
        error_prepend(&err, "cmdqv=on: ");
        error_append_hint(&err, "Use cmdqv=auto or cmdqv=off.\n");
        error_propagate(errp, err);
    } else {
        error_prepend(&err, "arm-smmuv3 '%s' gets no command queues of the "
                      "host: ", smmuv3_accel_id(accel));
        warn_report_err(err);
    }
    return false;
}

void smmuv3_accel_cmdqv_start(SMMUv3Accel *accel)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;
    Error *err = NULL;

    if (!c || !c->hosted) {
        return;
    }
    c->told = c->read_told = false;
    if (smmuv3_accel_eventq_alloc(accel, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
                                  SMMUV3_ACCEL_CMDQV_DEPTH, &c->eventq, &err)) {
        smmuv3_accel_cmdqv_poll(accel);
    } else {
        warn_report("arm-smmuv3 '%s': the guest will not see errors of its "
                    "command queues: %s", smmuv3_accel_id(accel),
                    error_get_pretty(err));
        error_free(err);
    }
    if (c->created) {
        smmuv3_accel_cmdqv_sync(c);
    }
}

void smmuv3_accel_cmdqv_stop(SMMUv3Accel *accel)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    if (!c || !c->hosted) {
        return;
    }
    c->hosted = false;
    smmuv3_accel_cmdqv_fetch_lost(c);
    smmuv3_accel_cmdqv_to_block(c);
    timer_del(c->read_retry);
    if (c->eventq.fd >= 0) {
        smmuv3_accel_eventq_free(accel, &c->eventq);
    }
    /* The host does not destroy a vIOMMU whose page is mapped */
    smmuv3_accel_cmdqv_unmap_host(c);
}

/*
 * What the guest is told
 */

bool smmuv3_accel_cmdqv_realize(SMMUv3Accel *accel, Error **errp)
{
    SMMUv3State *s = accel->s;
    const Tegra241CMDQVConfig largest = { };
    SMMUv3AccelCmdqv *c;
    void *page;

    if (s->cmdqv == ON_OFF_AUTO_OFF) {
        return true;
    }
    page = mmap(NULL, TEGRA241_CMDQV_PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        error_setg_errno(errp, errno, "cannot reserve a page for command "
                         "queues");
        return false;
    }
    c = g_new0(SMMUv3AccelCmdqv, 1);
    c->accel = accel;
    c->page = page;
    c->eventq.fd = -1;
    c->lost_bh = qemu_bh_new(smmuv3_accel_cmdqv_lost, c);
    c->read_retry = timer_new_ms(QEMU_CLOCK_REALTIME,
                                 smmuv3_accel_cmdqv_read_retry, c);

    /* How many queues there are, if any, is known when there is a device */
    memory_region_init(&c->container, OBJECT(s), "smmuv3-accel-cmdqv",
                       tegra241_cmdqv_size(&largest));
    sysbus_init_mmio(SYS_BUS_DEVICE(s), &c->container);
    sysbus_init_irq(SYS_BUS_DEVICE(s), &c->block.irq);
    memory_region_init_ram_device_ptr(&c->page_mr, OBJECT(s),
                                      "smmuv3-accel-cmdqv-page0",
                                      TEGRA241_CMDQV_PAGE_SIZE, c->page);
    /* No device is to ring the guest's doorbells: VFIO does not map it */
    c->page_mr.ram_block->flags |= RAM_PROTECTED;
    memory_region_set_enabled(&c->page_mr, false);
    accel->cmdqv = c;
    return true;
}

void smmuv3_accel_cmdqv_freeze(SMMUv3Accel *accel, HostIOMMUDevice *hiod)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;
    uint32_t idr1 = hiod->caps.vendor_caps.smmuv3.idr[1];
    Tegra241CMDQVConfig cfg = {
        .hyp_own_wired_0 = true,
        .ops = &smmuv3_accel_cmdqv_ops,
        .opaque = c,
    };

    if (!c || c->created) {
        return;
    }
    if (!c->hosted) {
        accel->features.cmdqv = 0;
        return;
    }
    cfg.log2_vcmdqs = MIN(c->info.log2vcmdqs, TEGRA241_CMDQV_MAX_LOG2_VCMDQS);
    cfg.log2_sids = MIN(c->info.log2vsids, TEGRA241_CMDQV_MAX_LOG2_SIDS);
    cfg.version = c->info.version;
    accel->features.cmdqv = BIT(cfg.log2_vcmdqs);
    /* The host wants a queue in one piece, which a page of its is */
    c->log2size = MIN(FIELD_EX32(idr1, IDR1, CMDQS),
                      63 - clz64(qemu_minrampagesize() / sizeof(Cmd)));
    tegra241_cmdqv_init(&c->block, accel->s, &cfg);
    c->created = true;
    memory_region_add_subregion(&c->container, 0, &c->block.mr);
    memory_region_add_subregion_overlap(&c->block.vintfs[0].page0, 0,
                                        &c->page_mr, 1);
    c->listener = (MemoryListener) {
        .name = "smmuv3-accel-cmdqv",
        .priority = MEMORY_LISTENER_PRIORITY_DEV_BACKEND,
        .region_del = smmuv3_accel_cmdqv_region_del,
    };
    memory_listener_register(&c->listener, &address_space_memory);
    accel->s->s_cmdqv = &c->block;
}

uint32_t smmuv3_accel_cmdqv_max_devices(SMMUv3Accel *accel)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    return c && c->hosted ? BIT(MIN(c->info.log2vsids, 30)) : UINT32_MAX;
}

uint32_t smmuv3_accel_cmdqv_veventq(SMMUv3Accel *accel)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    return c && c->eventq.fd >= 0 ? c->eventq.id : 0;
}

uint32_t smmuv3_accel_cmdqv_queue(SMMUv3Accel *accel, uint32_t lidx)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    return c && lidx < c->num ? c->queues[lidx].id : 0;
}

unsigned int smmuv3_accel_cmdqv_log2size(SMMUv3Accel *accel, unsigned int max)
{
    SMMUv3AccelCmdqv *c = accel->cmdqv;

    return c && c->created ? MIN(max, c->log2size) : max;
}
