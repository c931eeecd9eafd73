/*
 * A PCI Express device that does DMA with a PASID
 *
 * QEMU has no other device that tags its requests with a process address space
 * id, so that PASID table entries of the emulated VT-d other than that of
 * requests without PASID, and substreams of the emulated SMMUv3, could not be
 * tested with DMA. This one reads or writes eight bytes at a time and says how
 * that went. BAR 0 has 128 sets of
 * registers, 32 bytes each, little endian, for naturally aligned accesses:
 *
 *   0x00  64 bits  address
 *   0x08  64 bits  data
 *   0x10  32 bits  PASID, or all ones for a request without PASID
 *   0x14  32 bits  command: 1 memory to data, 2 data to memory, 3 ask the
 *                  IOMMU to tell about each mapping from now on, as devices
 *                  do that copy them; done when the write returns
 *                  4 as 1, 5 as 2, but with a translation that the device asks
 *                  for (ATS); what is not mapped it requests (PRI), so that
 *                  this may take until the requests are answered.  Bits 15:8:
 *                  how many of the following pages to access at the same
 *                  offset as well, up to 7.  All that misses is one page
 *                  request group, whose index is the number of the set; what
 *                  is read is added up, what is written is ascending
 *                  6 as 3, but to tell about what is unmapped, as vhost asks
 *                  for; the set's data is from now on how often that happened
 *   0x18  32 bits  result of the last command: 0 done, 1 the request failed or
 *                  the IOMMU refuses, 2 the device may not make it (no bus
 *                  mastering, PASIDs, ATS not enabled, PASID too wide, no
 *                  IOMMU with PASIDs, more than 256 PASIDs of a VT-d, which
 *                  keeps what it has of each), 3 not finished, which locks
 *                  the set, 4 answered as invalid, 5 answered by a failure,
 *                  which ends page requests until they are enabled anew
 *   0x1c  32 bits  page requests made
 *
 * ATS is there with ats=on, ATS and PRI with pri=on; page requests need a VT-d.
 * Translations that the device has asked for are kept (ATC) until the IOMMU
 * invalidates them, or ATS is switched off. With keep-stale=on they stay for
 * ever, which has a test of invalidations fail. It has no interrupts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/arm/smmu-common.h"
#include "hw/i386/intel_iommu.h"
#include "hw/i386/intel_iommu_ats.h"
#include "hw/i386/intel_iommu_prq.h"
#include "hw/i386/x86-iommu.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "system/dma.h"

#define TYPE_PASID_TESTDEV      "pasid-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(PasidTestdev, PASID_TESTDEV)

#define PASID_TESTDEV_DEVICE_ID 0x11ea
#define PASID_TESTDEV_SETS      128
#define PASID_TESTDEV_SET_SIZE  32
#define PASID_TESTDEV_CAP       0x100
#define PASID_TESTDEV_ATS_CAP   0x110
#define PASID_TESTDEV_PRI_CAP   0x120
#define PASID_TESTDEV_MAX_BITS  20
#define PASID_TESTDEV_PAGE      4096
#define PASID_TESTDEV_PAGES     8       /* of one command */
#define PASID_TESTDEV_CAPACITY  512     /* page requests at the same time */
#define PASID_TESTDEV_RETRY_NS  1000000
#define PASID_TESTDEV_ATC       64      /* pages that are kept */
#define PASID_TESTDEV_SPACES    8       /* PASIDs whose pages may be kept */
#define PASID_TESTDEV_USED      256     /* PASIDs in all, behind a VT-d */

enum {
    REG_ADDRESS = 0x00,
    REG_DATA = 0x08,
    REG_PASID = 0x10,
    REG_COMMAND = 0x14,
    REG_RESULT = 0x18,
    REG_REQUESTS = 0x1c,
};

enum {
    COMMAND_READ = 1,
    COMMAND_WRITE = 2,
    COMMAND_FOLLOW = 3,
    COMMAND_ATS_READ = 4,
    COMMAND_ATS_WRITE = 5,
    COMMAND_FOLLOW_UNMAPS = 6,
};
#define COMMAND_CODE(command)   ((command) & 0xff)
#define COMMAND_PAGES(command)  (((command) >> 8) + 1)

enum {
    RESULT_DONE = 0,
    RESULT_FAILED = 1,
    RESULT_REFUSED = 2,
    RESULT_WAITING = 3,
    RESULT_INVALID = 4,
    RESULT_FAILURE = 5,
};

typedef struct PasidTestdevSet {
    uint64_t address;
    uint64_t data;
    uint32_t pasid;
    uint32_t command;
    uint32_t result;
    uint32_t requests;
    unsigned asked;             /* page requests that are not answered */
} PasidTestdevSet;

/* A page that an IOMMU region translates, for reads or for writes */
typedef struct PasidTestdevPage {
    const IOMMUMemoryRegion *mr;        /* NULL: none */
    hwaddr addr;
    hwaddr translated;
    bool is_write;
} PasidTestdevPage;

/* An IOMMU region whose invalidations the device hears of */
typedef struct PasidTestdevSpace {
    PasidTestdev *t;
    IOMMUMemoryRegion *mr;
    IOMMUNotifier notifier;
} PasidTestdevSpace;

struct PasidTestdev {
    PCIDevice parent_obj;

    MemoryRegion bar;
    uint8_t pasid_bits;
    bool ats;                   /* or pri */
    bool pri;
    bool keep_stale;

    PasidTestdevSet sets[PASID_TESTDEV_SETS];
    unsigned outstanding;       /* sum of what the sets have asked */
    QEMUTimer *retry;
    IntelIOMMUState *asks;      /* whom, from the first time on */
    uint32_t used[PASID_TESTDEV_USED];  /* PASIDs that the VT-d has met */
    unsigned num_used;

    IOMMUMemoryRegion *followed;
    PasidTestdevSet *unmaps;    /* whose data counts them, NULL: none */
    IOMMUNotifier notifier;

    PasidTestdevPage pages[PASID_TESTDEV_ATC];
    PasidTestdevSpace spaces[PASID_TESTDEV_SPACES];
    unsigned num_spaces;
};

static IntelIOMMUState *pasid_testdev_iommu(void)
{
    Object *iommu = OBJECT(x86_iommu_get_default());

    return (IntelIOMMUState *)object_dynamic_cast(iommu,
                                                  TYPE_INTEL_IOMMU_DEVICE);
}

/* Software lets the device make requests, and such that have this PASID */
static bool pasid_testdev_may_request(PasidTestdev *t, uint32_t pasid)
{
    PCIDevice *dev = PCI_DEVICE(t);
    uint16_t control = pci_get_word(dev->config + PASID_TESTDEV_CAP +
                                    PCI_PASID_CTRL);

    return pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_MASTER &&
           (pasid == PCI_NO_PASID ||
            (control & PCI_PASID_CTRL_ENABLE && !(pasid >> t->pasid_bits)));
}

/*
 * A VT-d keeps an address space for each PASID that it meets; a guest must not
 * have it keep a million.
 */
static bool pasid_testdev_may_use(PasidTestdev *t, uint32_t pasid)
{
    for (unsigned i = 0; i < t->num_used; i++) {
        if (t->used[i] == pasid) {
            return true;
        }
    }
    if (t->num_used == PASID_TESTDEV_USED) {
        return false;
    }
    t->used[t->num_used++] = pasid;
    return true;
}

/* The VT-d's view of requests with this PASID, NULL if there may be none */
static VTDAddressSpace *pasid_testdev_vtd_as(PasidTestdev *t, uint32_t pasid)
{
    PCIDevice *dev = PCI_DEVICE(t);
    IntelIOMMUState *iommu = pasid_testdev_iommu();

    if (!iommu || !pasid_testdev_may_request(t, pasid) ||
        !pasid_testdev_may_use(t, pasid)) {
        return NULL;
    }
    return vtd_find_add_as(iommu, pci_get_bus(dev), dev->devfn, pasid);
}

/* The address space of requests with this PASID, NULL if there may be none */
static AddressSpace *pasid_testdev_as(PasidTestdev *t, uint32_t pasid)
{
    PCIDevice *dev = PCI_DEVICE(t);
    VTDAddressSpace *as;

    if (!pasid_testdev_may_request(t, pasid)) {
        return NULL;
    }
    if (pasid == PCI_NO_PASID) {
        return pci_get_address_space(dev);
    }
    if (!pasid_testdev_iommu()) {
        return smmu_pasid_address_space(dev, pasid);
    }
    as = pasid_testdev_vtd_as(t, pasid);
    return as ? &as->as : NULL;
}

static void pasid_testdev_notify(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    PasidTestdev *t = container_of(n, PasidTestdev, notifier);

    if (t->unmaps) {
        t->unmaps->data++;
    }
}

static void pasid_testdev_unfollow(PasidTestdev *t)
{
    if (t->followed) {
        memory_region_unregister_iommu_notifier(MEMORY_REGION(t->followed),
                                                &t->notifier);
        t->followed = NULL;
        t->unmaps = NULL;
    }
}

/* What translates requests without PASID, NULL if nothing does */
static IOMMUMemoryRegion *pasid_testdev_region(PCIDevice *dev)
{
    IntelIOMMUState *iommu = pasid_testdev_iommu();
    AddressSpace *as = pci_device_iommu_address_space(dev);

    if (iommu) {
        return &vtd_find_add_as(iommu, pci_get_bus(dev), dev->devfn,
                                PCI_NO_PASID)->iommu;
    }
    return memory_region_get_iommu(as->root);
}

/* Mappings of requests without PASID; what they are does not matter here */
static uint32_t pasid_testdev_follow(PasidTestdev *t, PasidTestdevSet *set)
{
    bool unmaps = COMMAND_CODE(set->command) == COMMAND_FOLLOW_UNMAPS;
    IOMMUMemoryRegion *mr = pasid_testdev_region(PCI_DEVICE(t));
    Error *err = NULL;

    if (!mr) {
        return RESULT_REFUSED;
    }
    pasid_testdev_unfollow(t);
    iommu_notifier_init(&t->notifier, pasid_testdev_notify,
                        unmaps ? IOMMU_NOTIFIER_UNMAP
                               : IOMMU_NOTIFIER_IOTLB_EVENTS,
                        0, HWADDR_MAX, 0);
    if (memory_region_register_iommu_notifier(MEMORY_REGION(mr), &t->notifier,
                                              &err)) {
        warn_report_err_once(err);
        return RESULT_FAILED;
    }
    t->followed = mr;
    if (unmaps) {
        t->unmaps = set;
        set->data = 0;
    }
    return RESULT_DONE;
}

static uint32_t pasid_testdev_move(PasidTestdev *t, PasidTestdevSet *set)
{
    AddressSpace *as = pasid_testdev_as(t, set->pasid);
    uint64_t data = cpu_to_le64(set->data);
    DMADirection dir = COMMAND_CODE(set->command) == COMMAND_WRITE ?
                       DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE;

    if (!as) {
        return RESULT_REFUSED;
    }
    if (dma_memory_rw(as, set->address, &data, sizeof(data), dir,
                      MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        return RESULT_FAILED;
    }
    set->data = le64_to_cpu(data);
    return RESULT_DONE;
}

/* ATS and PRI */

static bool pasid_testdev_ats_enabled(PasidTestdev *t)
{
    return t->ats && pci_get_word(PCI_DEVICE(t)->config +
                                  PASID_TESTDEV_ATS_CAP + PCI_ATS_CTRL) &
                     PCI_ATS_CTRL_ENABLE;
}

/* What answers requests with this PASID, NULL if there may be none */
static IOMMUMemoryRegion *pasid_testdev_ats_region(PasidTestdev *t,
                                                   uint32_t pasid)
{
    VTDAddressSpace *as;

    if (!pasid_testdev_may_request(t, pasid)) {
        return NULL;
    }
    if (!pasid_testdev_iommu()) {
        return smmu_ats_region(PCI_DEVICE(t), pasid);
    }
    as = pasid_testdev_vtd_as(t, pasid);
    return as ? &as->iommu : NULL;
}

/* Of pasid_testdev_ats_region(), behind a VT-d */
static VTDAddressSpace *pasid_testdev_vtd_as_of(IOMMUMemoryRegion *mr)
{
    return container_of(mr, VTDAddressSpace, iommu);
}

static VTDAtsResult pasid_testdev_ask_translation(IOMMUMemoryRegion *mr,
                                                  hwaddr addr, bool is_write,
                                                  hwaddr *translated)
{
    if (pasid_testdev_iommu()) {
        return vtd_ats_translate(pasid_testdev_vtd_as_of(mr), addr, is_write,
                                 translated);
    }
    switch (smmu_ats_translate(mr, addr, is_write, translated)) {
    case SMMU_ATS_DONE:
        return VTD_ATS_DONE;
    case SMMU_ATS_MISS:
        return VTD_ATS_MISS;
    default:
        return VTD_ATS_REFUSED;
    }
}

static uint8_t *pasid_testdev_pri(PasidTestdev *t, unsigned reg)
{
    return PCI_DEVICE(t)->config + PASID_TESTDEV_PRI_CAP + reg;
}

static void pasid_testdev_pri_status(PasidTestdev *t, uint16_t set)
{
    uint8_t *status = pasid_testdev_pri(t, PCI_PRI_STATUS);
    bool on = pci_get_word(pasid_testdev_pri(t, PCI_PRI_CTRL)) &
              PCI_PRI_CTRL_ENABLE;

    pci_word_test_and_clear_mask(status, PCI_PRI_STATUS_STOPPED);
    pci_word_test_and_set_mask(status, set);
    if (!on && !t->outstanding) {
        pci_word_test_and_set_mask(status, PCI_PRI_STATUS_STOPPED);
    }
}

/* The cache of translations */

static void pasid_testdev_invalidated(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    PasidTestdevSpace *space = container_of(n, PasidTestdevSpace, notifier);

    if (space->t->keep_stale) {
        return;
    }
    for (unsigned i = 0; i < PASID_TESTDEV_ATC; i++) {
        PasidTestdevPage *page = &space->t->pages[i];

        if (page->mr == space->mr &&
            page->addr - entry->iova <= entry->addr_mask) {
            page->mr = NULL;
        }
    }
}

/* Hear of invalidations of @mr; false if it cannot be */
static bool pasid_testdev_listen(PasidTestdev *t, IOMMUMemoryRegion *mr)
{
    PasidTestdevSpace *space = &t->spaces[t->num_spaces];

    for (unsigned i = 0; i < t->num_spaces; i++) {
        if (t->spaces[i].mr == mr) {
            return true;
        }
    }
    if (t->num_spaces == PASID_TESTDEV_SPACES) {
        return false;
    }
    space->t = t;
    space->mr = mr;
    iommu_notifier_init(&space->notifier, pasid_testdev_invalidated,
                        IOMMU_NOTIFIER_DEVIOTLB_EVENTS, 0, HWADDR_MAX, 0);
    if (memory_region_register_iommu_notifier(MEMORY_REGION(mr),
                                              &space->notifier, NULL)) {
        return false;
    }
    t->num_spaces++;
    return true;
}

static void pasid_testdev_forget_pages(PasidTestdev *t)
{
    memset(t->pages, 0, sizeof(t->pages));
    while (t->num_spaces) {
        PasidTestdevSpace *space = &t->spaces[--t->num_spaces];

        memory_region_unregister_iommu_notifier(MEMORY_REGION(space->mr),
                                                &space->notifier);
    }
}

/* As vtd_ats_translate(), by what is kept if there is something */
static VTDAtsResult pasid_testdev_translate(PasidTestdev *t,
                                            IOMMUMemoryRegion *mr, hwaddr addr,
                                            bool is_write, hwaddr *translated)
{
    hwaddr offset = addr & (PASID_TESTDEV_PAGE - 1);
    PasidTestdevPage *page = &t->pages[addr / PASID_TESTDEV_PAGE %
                                       PASID_TESTDEV_ATC];
    VTDAtsResult result;

    if (page->mr == mr && page->addr == addr - offset &&
        page->is_write == is_write) {
        *translated = page->translated + offset;
        return VTD_ATS_DONE;
    }
    result = pasid_testdev_ask_translation(mr, addr, is_write, translated);
    if (result == VTD_ATS_DONE && pasid_testdev_listen(t, mr)) {
        *page = (PasidTestdevPage) {
            .mr = mr,
            .addr = addr - offset,
            .translated = *translated - offset,
            .is_write = is_write,
        };
    }
    return result;
}

/* How many page requests software lets the device make */
static unsigned pasid_testdev_allocated(PasidTestdev *t)
{
    uint16_t control = pci_get_word(pasid_testdev_pri(t, PCI_PRI_CTRL));
    uint16_t status = pci_get_word(pasid_testdev_pri(t, PCI_PRI_STATUS));

    if (!t->pri || !pasid_testdev_iommu() ||
        !(control & PCI_PRI_CTRL_ENABLE) || status & PCI_PRI_STATUS_RF) {
        return 0;
    }
    return MIN(pci_get_long(pasid_testdev_pri(t, PCI_PRI_ALLOC_REQ)),
               PASID_TESTDEV_CAPACITY);
}

/* The group of @set is answered, by the guest or by the IOMMU itself */
static void pasid_testdev_answered(PasidTestdev *t, PasidTestdevSet *set,
                                   VTDPrqCode code)
{
    t->outstanding -= set->asked;
    set->asked = 0;
    if (code == VTD_PRQ_INVALID) {
        set->result = RESULT_INVALID;
    } else if (code != VTD_PRQ_SUCCESS) {
        set->result = RESULT_FAILURE;
    }
    pasid_testdev_pri_status(t, set->result == RESULT_FAILURE ?
                                PCI_PRI_STATUS_RF : 0);
}

static void pasid_testdev_ask(PasidTestdev *t, PasidTestdevSet *set,
                              IOMMUMemoryRegion *mr, VTDPageRequest *req,
                              unsigned n)
{
    VTDPrqResult result;

    set->asked = n;
    set->requests += n;
    t->outstanding += n;
    req[n - 1].last = true;
    result = vtd_ats_request_pages(pasid_testdev_vtd_as_of(mr), req, n);
    if (result != VTD_PRQ_POSTED) {
        pasid_testdev_answered(t, set, result == VTD_PRQ_FULL ?
                                       VTD_PRQ_SUCCESS : VTD_PRQ_FAILURE);
        timer_mod(t->retry, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                            PASID_TESTDEV_RETRY_NS);
    }
}

/* All pages of @set are translated: access them */
static uint32_t pasid_testdev_move_pages(PasidTestdevSet *set,
                                         IOMMUMemoryRegion *mr,
                                         const hwaddr *pages)
{
    bool is_write = COMMAND_CODE(set->command) == COMMAND_ATS_WRITE;
    uint64_t sum = 0;

    for (unsigned i = 0; i < COMMAND_PAGES(set->command); i++) {
        uint64_t data = cpu_to_le64(set->data + i);

        if (!pasid_testdev_iommu() &&
            !smmu_ats_access_allowed(mr, pages[i], is_write)) {
            return RESULT_FAILED;
        }
        if (address_space_rw(&address_space_memory, pages[i],
                             MEMTXATTRS_UNSPECIFIED, &data, sizeof(data),
                             is_write) != MEMTX_OK) {
            return RESULT_FAILED;
        }
        sum += le64_to_cpu(data);
    }
    if (!is_write) {
        set->data = sum;
    }
    return RESULT_DONE;
}

/* Translate; then access memory, or ask for what is missing */
static void pasid_testdev_ats(PasidTestdev *t, PasidTestdevSet *set)
{
    IOMMUMemoryRegion *mr = pasid_testdev_ats_region(t, set->pasid);
    bool is_write = COMMAND_CODE(set->command) == COMMAND_ATS_WRITE;
    unsigned missing = 0, allocated = pasid_testdev_allocated(t);
    VTDPageRequest req[PASID_TESTDEV_PAGES];
    hwaddr pages[PASID_TESTDEV_PAGES];

    if (!mr || !pasid_testdev_ats_enabled(t)) {
        set->result = RESULT_REFUSED;
        return;
    }
    for (unsigned i = 0; i < COMMAND_PAGES(set->command); i++) {
        hwaddr addr = set->address + i * PASID_TESTDEV_PAGE;

        switch (pasid_testdev_translate(t, mr, addr, is_write, &pages[i])) {
        case VTD_ATS_DONE:
            break;
        case VTD_ATS_MISS:
            req[missing++] = (VTDPageRequest) {
                .addr = QEMU_ALIGN_DOWN(addr, PASID_TESTDEV_PAGE),
                .prgi = set - t->sets,
                .read = !is_write,
                .write = is_write,
            };
            break;
        default:
            set->result = RESULT_FAILED;
            return;
        }
    }
    if (!missing) {
        set->result = pasid_testdev_move_pages(set, mr, pages);
    } else if (missing > allocated) {
        set->result = RESULT_FAILED;
    } else if (missing + t->outstanding <= allocated) {
        pasid_testdev_ask(t, set, mr, req, missing);
    }
}

/* Go on with what waits, but for what has been asked already */
static void pasid_testdev_retry(void *opaque)
{
    PasidTestdev *t = opaque;

    for (unsigned i = 0; i < PASID_TESTDEV_SETS; i++) {
        PasidTestdevSet *set = &t->sets[i];

        if (set->result == RESULT_WAITING && !set->asked) {
            pasid_testdev_ats(t, set);
        }
    }
}

static void pasid_testdev_response(void *opaque, bool has_pasid,
                                   uint32_t pasid, uint16_t prgi,
                                   VTDPrqCode code)
{
    PasidTestdev *t = opaque;
    PasidTestdevSet *set = &t->sets[prgi % PASID_TESTDEV_SETS];

    if (prgi >= PASID_TESTDEV_SETS || !set->asked ||
        set->pasid != (has_pasid ? pasid : PCI_NO_PASID)) {
        pasid_testdev_pri_status(t, PCI_PRI_STATUS_UPRGI);
        return;
    }
    pasid_testdev_answered(t, set, code);
    pasid_testdev_retry(t);
}

/* Forget what was asked: whoever answers now answers nothing */
static void pasid_testdev_forget(PasidTestdev *t)
{
    for (unsigned i = 0; i < PASID_TESTDEV_SETS; i++) {
        if (t->sets[i].result == RESULT_WAITING) {
            t->sets[i].result = RESULT_FAILED;
        }
        t->sets[i].asked = 0;
    }
    t->outstanding = 0;
    timer_del(t->retry);
}

static void pasid_testdev_config_write(PCIDevice *dev, uint32_t addr,
                                       uint32_t value, int len)
{
    PasidTestdev *t = PASID_TESTDEV(dev);
    uint8_t *control = pasid_testdev_pri(t, PCI_PRI_CTRL);

    pci_default_write_config(dev, addr, value, len);
    if (!pasid_testdev_ats_enabled(t)) {
        pasid_testdev_forget_pages(t);
    }
    if (!t->pri) {
        return;
    }
    if (pci_word_test_and_clear_mask(control, PCI_PRI_CTRL_RESET)) {
        pasid_testdev_forget(t);
        pci_word_test_and_clear_mask(pasid_testdev_pri(t, PCI_PRI_STATUS),
                                     PCI_PRI_STATUS_RF | PCI_PRI_STATUS_UPRGI);
    }
    if (!t->asks && pasid_testdev_allocated(t)) {
        t->asks = pasid_testdev_iommu();
        if (t->asks) {
            vtd_prq_register(t->asks, dev, pasid_testdev_response, t);
        }
    }
    /* What cannot be asked any more fails */
    pasid_testdev_retry(t);
    pasid_testdev_pri_status(t, 0);
}

/* Registers */

static void pasid_testdev_run(PasidTestdev *t, PasidTestdevSet *set,
                              uint32_t command)
{
    set->command = command;
    switch (COMMAND_CODE(command)) {
    case COMMAND_READ:
    case COMMAND_WRITE:
        set->result = pasid_testdev_move(t, set);
        break;
    case COMMAND_FOLLOW:
    case COMMAND_FOLLOW_UNMAPS:
        set->result = pasid_testdev_follow(t, set);
        break;
    case COMMAND_ATS_READ:
    case COMMAND_ATS_WRITE:
        if (COMMAND_PAGES(command) <= PASID_TESTDEV_PAGES &&
            QEMU_IS_ALIGNED(set->address, sizeof(set->data))) {
            set->result = RESULT_WAITING;
            pasid_testdev_ats(t, set);
            break;
        }
        /* fallthrough */
    default:
        set->result = RESULT_REFUSED;
        break;
    }
}

static uint64_t pasid_testdev_read(void *opaque, hwaddr addr, unsigned size)
{
    PasidTestdev *t = opaque;
    PasidTestdevSet *set = &t->sets[addr / PASID_TESTDEV_SET_SIZE];

    switch (addr % PASID_TESTDEV_SET_SIZE) {
    case REG_ADDRESS:
        return set->address;
    case REG_DATA:
        return set->data;
    case REG_PASID:
        return set->pasid;
    case REG_RESULT:
        return set->result;
    case REG_REQUESTS:
        return set->requests;
    default:
        return 0;
    }
}

static void pasid_testdev_write(void *opaque, hwaddr addr, uint64_t value,
                                unsigned size)
{
    PasidTestdev *t = opaque;
    PasidTestdevSet *set = &t->sets[addr / PASID_TESTDEV_SET_SIZE];

    if (set->result == RESULT_WAITING) {
        return;
    }
    switch (addr % PASID_TESTDEV_SET_SIZE) {
    case REG_ADDRESS:
        set->address = value;
        break;
    case REG_DATA:
        set->data = value;
        break;
    case REG_PASID:
        set->pasid = value;
        break;
    case REG_COMMAND:
        pasid_testdev_run(t, set, value);
        break;
    default:
        break;
    }
}

static const MemoryRegionOps pasid_testdev_ops = {
    .read = pasid_testdev_read,
    .write = pasid_testdev_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static void pasid_testdev_add_cap(PasidTestdev *t)
{
    PCIDevice *dev = PCI_DEVICE(t);

    pcie_add_capability(dev, PCI_EXT_CAP_ID_PASID, 1, PASID_TESTDEV_CAP,
                        PCI_EXT_CAP_PASID_SIZEOF);
    pci_set_word(dev->config + PASID_TESTDEV_CAP + PCI_PASID_CAP,
                 t->pasid_bits << 8);
    pci_set_word(dev->wmask + PASID_TESTDEV_CAP + PCI_PASID_CTRL,
                 PCI_PASID_CTRL_ENABLE);
}

static void pasid_testdev_add_pri_cap(PasidTestdev *t)
{
    PCIDevice *dev = PCI_DEVICE(t);
    uint8_t *wmask = dev->wmask + PASID_TESTDEV_PRI_CAP;

    pcie_add_capability(dev, PCI_EXT_CAP_ID_PRI, 1, PASID_TESTDEV_PRI_CAP,
                        PCI_EXT_CAP_PRI_SIZEOF);
    pci_set_word(wmask + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE |
                                       PCI_PRI_CTRL_RESET);
    pci_set_word(dev->w1cmask + PASID_TESTDEV_PRI_CAP + PCI_PRI_STATUS,
                 PCI_PRI_STATUS_RF | PCI_PRI_STATUS_UPRGI);
    pci_set_long(pasid_testdev_pri(t, PCI_PRI_MAX_REQ), PASID_TESTDEV_CAPACITY);
    pci_set_long(wmask + PCI_PRI_ALLOC_REQ, UINT32_MAX);
}

static void pasid_testdev_realize(PCIDevice *dev, Error **errp)
{
    PasidTestdev *t = PASID_TESTDEV(dev);

    if (t->pasid_bits < 1 || t->pasid_bits > PASID_TESTDEV_MAX_BITS) {
        error_setg(errp, "pasid-bits=%u is not in the range 1 to %u",
                   t->pasid_bits, PASID_TESTDEV_MAX_BITS);
        return;
    }
    if (!pci_bus_is_express(pci_get_bus(dev))) {
        error_setg(errp, "PASIDs need a PCI Express bus");
        return;
    }
    if (pcie_endpoint_cap_init(dev, 0x80) < 0) {
        error_setg(errp, "the PCI Express capability could not be added");
        return;
    }
    pasid_testdev_add_cap(t);
    t->ats |= t->pri;
    if (t->ats) {
        pcie_ats_init(dev, PASID_TESTDEV_ATS_CAP, true);
    }
    if (t->pri) {
        pasid_testdev_add_pri_cap(t);
    }
    t->retry = timer_new_ns(QEMU_CLOCK_VIRTUAL, pasid_testdev_retry, t);
    memory_region_init_io(&t->bar, OBJECT(t), &pasid_testdev_ops, t,
                          TYPE_PASID_TESTDEV,
                          PASID_TESTDEV_SETS * PASID_TESTDEV_SET_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &t->bar);
}

static void pasid_testdev_exit(PCIDevice *dev)
{
    PasidTestdev *t = PASID_TESTDEV(dev);

    pasid_testdev_unfollow(t);
    pasid_testdev_forget_pages(t);
    if (t->asks) {
        vtd_prq_unregister(t->asks, dev);
    }
    timer_free(t->retry);
    pcie_cap_exit(dev);
}

static void pasid_testdev_reset(DeviceState *qdev)
{
    PasidTestdev *t = PASID_TESTDEV(qdev);
    PCIDevice *dev = PCI_DEVICE(t);

    pasid_testdev_unfollow(t);
    pasid_testdev_forget_pages(t);
    pasid_testdev_forget(t);
    memset(t->sets, 0, sizeof(t->sets));
    for (unsigned i = 0; i < PASID_TESTDEV_SETS; i++) {
        t->sets[i].pasid = PCI_NO_PASID;
    }
    pci_set_word(dev->config + PASID_TESTDEV_CAP + PCI_PASID_CTRL, 0);
    if (t->ats) {
        pci_set_word(dev->config + PASID_TESTDEV_ATS_CAP + PCI_ATS_CTRL, 0);
    }
    if (t->pri) {
        pci_set_word(pasid_testdev_pri(t, PCI_PRI_CTRL), 0);
        pci_set_word(pasid_testdev_pri(t, PCI_PRI_STATUS),
                     PCI_PRI_STATUS_PASID | PCI_PRI_STATUS_STOPPED);
        pci_set_long(pasid_testdev_pri(t, PCI_PRI_ALLOC_REQ), 0);
    }
}

static const Property pasid_testdev_properties[] = {
    DEFINE_PROP_UINT8("pasid-bits", PasidTestdev, pasid_bits,
                      PASID_TESTDEV_MAX_BITS),
    DEFINE_PROP_BOOL("ats", PasidTestdev, ats, false),
    DEFINE_PROP_BOOL("pri", PasidTestdev, pri, false),
    DEFINE_PROP_BOOL("keep-stale", PasidTestdev, keep_stale, false),
};

static void pasid_testdev_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = pasid_testdev_realize;
    k->exit = pasid_testdev_exit;
    k->config_write = pasid_testdev_config_write;
    k->vendor_id = PCI_VENDOR_ID_QEMU;
    k->device_id = PASID_TESTDEV_DEVICE_ID;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "DMA with PASIDs, for tests";
    device_class_set_legacy_reset(dc, pasid_testdev_reset);
    device_class_set_props(dc, pasid_testdev_properties);
    dc->user_creatable = true;
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo pasid_testdev_info = {
    .name = TYPE_PASID_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PasidTestdev),
    .class_init = pasid_testdev_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void pasid_testdev_register_types(void)
{
    type_register_static(&pasid_testdev_info);
}

type_init(pasid_testdev_register_types)
