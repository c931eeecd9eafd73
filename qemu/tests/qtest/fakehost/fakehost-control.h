/*
 * Fakehost: the page that the preloaded library shares with a test.
 *
 * A test creates a file of sizeof(struct FakehostControl) zero bytes, names it
 * in FAKEHOST_CONTROL, maps it, and from then on can order failures and read
 * what the fake kernel holds. It must only do so while the process under test
 * waits for it (between two commands of a qtest, say): the fields are plain
 * memory, the library publishes them before each call returns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_CONTROL_H
#define FAKEHOST_CONTROL_H

#include <stdint.h>

#define FAKEHOST_CONTROL_MAGIC      0x46484b31u
#define FAKEHOST_RULES              16
#define FAKEHOST_CALLS              64
#define FAKEHOST_DEVICES            128
#define FAKEHOST_NAME_LEN           40
#define FAKEHOST_HW_QUEUES          32

enum {
    FAKEHOST_RULE_OFF,
    FAKEHOST_RULE_FAIL,         /* return -1 with an errno, do not execute */
    FAKEHOST_RULE_SWALLOW,      /* return success, do not execute */
};

/*
 * The call names are those of the uAPI, with or without IOMMU_ / VFIO_DEVICE_;
 * "*" stands for every call that the kernel is able to fail. READ_EVENTS is a
 * read() of an event or fault queue, and WRITE_ANSWERS a write() to a fault
 * queue; they can fail, but not be swallowed.  With no errno, a read() that
 * fails returns 0.  EPOLL_CREATE, EPOLL_ADD of a queue, and VIOMMU_MMAP, which
 * is a mmap() of an iommufd, can fail as well.
 */
struct FakehostRule {
    char call[FAKEHOST_NAME_LEN];
    uint32_t action;
    uint32_t skip;              /* let so many matching calls pass first */
    uint32_t times;             /* then act on so many; 0: on all of them */
    int32_t err;
    /*
     * HWPT_INVALIDATE: entries executed before.  READ_EVENTS of a fault queue,
     * WRITE_ANSWERS: the call is short, and ends after so many
     */
    uint32_t handled;
    uint32_t hits;              /* out: how often the rule has acted */
};

struct FakehostCallCount {
    char name[FAKEHOST_NAME_LEN];
    uint64_t calls;
    uint64_t failed;
    uint64_t entries;           /* of HWPT_INVALIDATE: accepted by the host */
};

/* What FakehostControl.objects counts */
enum {
    FAKEHOST_OBJ_NONE,
    FAKEHOST_OBJ_DEVICE,
    FAKEHOST_OBJ_HWPT_PAGING,
    FAKEHOST_OBJ_HWPT_NESTED,
    FAKEHOST_OBJ_IOAS,
    FAKEHOST_OBJ_FAULT,
    FAKEHOST_OBJ_VIOMMU,
    FAKEHOST_OBJ_VDEVICE,
    FAKEHOST_OBJ_VEVENTQ,
    FAKEHOST_OBJ_HW_QUEUE,
    FAKEHOST_OBJ_ACCESS,        /* the kernel's own, one for each HW_QUEUE */
    FAKEHOST_OBJ_TYPES,
};

/*
 * FakehostControl.heap_wanted: with each call, what the library has taken in
 * calls not counted; once the main thread has nothing to do, which clears it
 */
#define FAKEHOST_HEAP_OF_CALLS      (1ull << 0)
#define FAKEHOST_HEAP_AT_REST       (1ull << 1)

/* FakehostDevice.flags */
#define FAKEHOST_DEV_BOUND          (1u << 0)
/*
 * Set by a test: the device is being reset. Its DMA is blocked and attaching
 * gives EBUSY; once the flag is cleared the kernel's books apply again.
 */
#define FAKEHOST_DEV_IN_RESET       (1u << 1)

struct FakehostDevice {
    char name[FAKEHOST_NAME_LEN];
    uint32_t flags;
    uint32_t dev_id;
    uint32_t pt_id;             /* what the kernel's books say; 0: nothing */
    uint32_t hw_pt_id;          /* what the IOMMU translates by; 0: blocked */
    uint32_t pasids;            /* PASIDs attached, RID not counted */
    uint32_t resets;
    uint32_t irqs[5];           /* eventfds installed, by VFIO irq index */
    uint32_t vdevices;          /* it has: 0 or 1 */
    uint64_t virt_id;           /* of its vDEVICE */
    uint64_t ste[2];            /* SMMUv3: of the nested HWPT in the books */
    /*
     * Set by a test: what the device says that it has to save, in bytes; 0:
     * what it does have
     */
    uint64_t data_size;
    uint32_t log_starts;        /* of its own log of DMA */
};

/*
 * A write of a device to memory, which the library carries out with the next
 * call that it sees. @wanted is set last, and the rest left alone until it is
 * 0 again.
 */
struct FakehostDma {
    uint32_t wanted;            /* 1 + the device's place in devices */
    int32_t result;             /* out: 0, or why the hardware did not */
    uint64_t iova;              /* the address that the device emits */
    uint64_t gpa;               /* what tables of the guest make of it */
    uint64_t value;
};

/*
 * A queue that the hardware reads. fakehost does not: a test finds the commands
 * where the queue is, and its registers in the file vintf-ID, ID being that of
 * the vIOMMU, in the directory FAKEHOST_EVENTS.
 */
struct FakehostHwQueue {
    uint32_t id;                /* 0: this entry is free */
    uint32_t viommu_id;
    uint32_t index;
    uint32_t reserved;
    uint64_t iova;              /* in the vIOMMU's nesting parent */
    uint64_t length;            /* in bytes */
};

struct FakehostControl {
    uint32_t magic;
    uint32_t calls_used;
    uint32_t devices_used;
    uint32_t transfers;         /* device states saved or loaded */
    uint64_t ioctls;            /* all that were seen */
    uint32_t objects[FAKEHOST_OBJ_TYPES];
    uint32_t areas;             /* mappings in all IOASes */
    uint64_t mapped_bytes;
    uint64_t executed;          /* invalidations, by the hardware */
    uint64_t unrepeated;        /* of those that it needed twice and got once */
    /*
     * Set by a test, FAKEHOST_HEAP_…: when to tell how many bytes of the heap
     * are in use. Only differences mean something; 0: it is not known.
     */
    uint64_t heap_wanted;
    uint64_t heap;
    uint64_t queue_reads;       /* of event and fault queues; no ioctls */
    uint64_t requests_waiting;  /* groups of page requests, not answered */
    uint64_t answers[2];        /* to them: success, invalid */
    uint64_t answers_by_kernel; /* because the table has gone */
    uint64_t answers_refused;   /* to nothing */
    uint64_t answer_writes;
    uint64_t queue_polls;       /* ppoll() calls that wait for such a queue */
    uint64_t mmaps;             /* of registers of vIOMMUs, that were made */
    uint64_t mmaps_now;         /* and are there */
    struct FakehostHwQueue hw_queues[FAKEHOST_HW_QUEUES];
    struct FakehostDma dma;
    struct FakehostRule rules[FAKEHOST_RULES];
    struct FakehostCallCount counts[FAKEHOST_CALLS];
    struct FakehostDevice devices[FAKEHOST_DEVICES];
};

#endif /* FAKEHOST_CONTROL_H */
