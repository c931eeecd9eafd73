/*
 * Intel VT-d: types that the files intel_iommu_accel*.c share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_INTERNAL_H
#define HW_I386_INTEL_IOMMU_ACCEL_INTERNAL_H

#include "qemu/interval-tree.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_bits.h"
#include "intel_iommu_accel_memory.h"
#include "intel_iommu_accel_s1.h"
#include "intel_iommu_accel_work.h"
#include "system/iommufd-binding.h"

typedef struct VTDAccel VTDAccel;
typedef struct VTDAccelDevice VTDAccelDevice;

typedef enum VTDAccelState {
    VTD_ACCEL_BLOCKED,
    VTD_ACCEL_RAM,          /* guest memory, one to one */
    VTD_ACCEL_TABLES,       /* by tables of the guest */
} VTDAccelState;

/* Words of a PASID entry that count: the others are of the second stage */
#define VTD_ACCEL_PE_WORDS      3

/* A PASID entry and the directory entry that leads to it, as they were read */
typedef struct VTDAccelEntry {
    uint64_t epoch;         /* in which @dire_host and @pe_host hold, or 0 */
    const void *dire_host;
    const void *pe_host;
    uint64_t dire;
    uint64_t pe[VTD_ACCEL_PE_WORDS];
} VTDAccelEntry;

/* What a guest's configuration means for one (device, PASID) */
typedef struct VTDAccelTarget {
    VTDAccelState state;
    const char *reason;     /* why blocked, NULL if the guest wants it so */
    VTDAccelKey key;        /* for VTD_ACCEL_TABLES */
    VTDAccelEntry entry;    /* that says so; its epoch is 0 if there is none */
} VTDAccelTarget;

/*
 * What the host was told for one (device, PASID).  A PASID that is to be
 * blocked keeps its binding only while the host fails to block it.
 */
typedef struct VTDAccelBinding {
    IntervalTreeNode node;  /* of VTDAccelDevice::pasids */
    IOMMUFDBinding host;
    VTDAccelHwpt *hwpt;     /* for VTD_ACCEL_TABLES */
    QLIST_ENTRY(VTDAccelBinding) next;  /* with the same @hwpt */
    VTDAccelEntry settled;  /* the host is as it says; epoch 0: look again */
    uint8_t state;          /* VTDAccelState */
} VTDAccelBinding;

struct VTDAccelDevice {
    IntelIOMMUState *s;
    IOMMUFDBindingDevice host;

    /* The requester id under which the guest configures it */
    PCIBus *aliased_bus;
    uint8_t aliased_devfn;

    /* Context cache: valid until the guest invalidates it */
    bool context_valid;
    bool pasid_enabled;     /* requests with PASID are allowed */
    bool requests_enabled;  /* so are page requests */
    uint32_t rid_pasid;
    uint32_t pasid_dir_num;
    dma_addr_t pasid_dir;
    VTDAccelWindow dir_window;
    bool can_request;       /* it can send page requests, as the guest knows */
    bool queued;            /* those come by the fault queue */
    void *legacy;           /* of VTDAccelLegacy: a block from g_malloc() */

    VTDAccelBinding rid;    /* requests without PASID */
    IntervalTreeRoot pasids;
    uint32_t num_pasids;
    const char *reason;     /* last reason that was logged for @rid */
    const char *pasid_reason; /* and for the other PASIDs */

    /* The walk over the PASID directory has come to @walk_pasid */
    bool walking;
    uint32_t walk_pasid;

    QLIST_ENTRY(VTDAccelDevice) next;
};

/* What is done for a guest in legacy mode */
typedef struct VTDAccelLegacy {
    /* What the guest wants for a device, see vtd_accel_read_rid() */
    void (*read)(VTDAccelDevice *dev, VTDAccelTarget *t);

    /* See vtd_accel_iotlb_invalidate(); a @domain_id of -1 is any */
    void (*invalidate)(VTDAccel *accel, int domain_id, uint64_t addr,
                       uint8_t am);

    /* Do what is left.  False if that is too much for one piece. */
    bool (*finish)(VTDAccel *accel);
    bool unfinished;        /* there is something left */

    /* Since the start, for query-viommu */
    uint64_t calls;         /* that map or unmap memory for copies */
    uint64_t entries;       /* of the guest, that were copied */
    uint64_t refused;       /* of @calls, and of those that allocate a copy */
} VTDAccelLegacy;

/* PASID directory entries that are read at once */
#define VTD_PASID_DIR_CHUNK     (VTD_PAGE_SIZE / VTD_PASID_DIR_ENTRY_SIZE)

/* Descriptors that were read ahead, while the queue is worked off */
typedef struct VTDAccelQueue {
    VTDAccelWindow window;
    uint16_t first;         /* index of @desc[0] in the guest's queue */
    uint16_t num;           /* descriptors in @desc */
    uint64_t desc[VTD_PAGE_SIZE / sizeof(uint64_t)];
} VTDAccelQueue;

/* Page requests of host devices */
typedef struct VTDAccelPrq {
    struct VTDAccelPrqBuffers *buffers; /* NULL: there is no fault queue */
    IOMMUFDBackend *iommufd;
    uint32_t fault_id;
    int fd;                 /* of the fault queue */
    int epoll_fd;           /* that watches it */
    bool polled;            /* it is read when there is something */
    QEMUTimer *retry;       /* pending after a read or a write that failed */
    bool untaken;           /* a write: the host did not take all answers */
    GHashTable *groups;     /* that the guest has to answer */
    uint32_t num_answers;   /* that wait to be given to the host */

    /* Since the start, for query-viommu */
    uint64_t requests;
    uint64_t responses;     /* of the guest, to a group */
    uint64_t refused;       /* groups that the guest was not asked */
} VTDAccelPrq;

struct VTDAccel {
    IntelIOMMUState *s;
    AddressSpace as;
    VTDAccelMemory memory;
    VTDAccelS1Table s1s;
    VTDAccelLegacy *legacy; /* NULL: devices are blocked in legacy mode */
    QLIST_HEAD(, VTDAccelDevice) devices;
    IOMMUFDBindingGroup bindings;
    VTDAccelWork work;
    VTDAccelQueue queue;
    VTDAccelPrq prq;
    uint64_t pasid_dir[VTD_PASID_DIR_CHUNK]; /* while a part of one is read */
    uint64_t descriptors;   /* that invalidate translations, since the start */
    bool emulated_dma;      /* emulated devices may have translations cached */
    uint32_t num_walking;   /* number of devices that are walking */
    uint32_t status_pending; /* bits of GSTS that follow when all is done */
    QEMUBH *resume_bh;
    void (*resume)(IntelIOMMUState *s);
};

#endif
