/*
 * SMMUv3 on the host SMMU: types that its files share
 *
 * Concepts:
 *
 * stream   a host device under the StreamID that the guest has given it
 * target   what the guest's configuration means for a stream
 * vSID     the StreamID under which the host knows a device of the guest, by a
 *          vDEVICE
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_INTERNAL_H
#define HW_ARM_SMMUV3_ACCEL_INTERNAL_H

#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/arm/smmuv3.h"
#include "hw/pci/pci_bus.h"
#include "system/iommufd-binding.h"
#include "system/iommufd-compat.h"
#include "smmuv3-internal.h"
#include "smmuv3-accel-inv.h"

/* A value that the first host device will decide */
#define SMMUV3_ACCEL_AUTO   (-1)

/* Bits by the encoding of IDR5.OAS, up to the largest that is known */
#define SMMUV3_ACCEL_OAS_KNOWN  6
extern const uint8_t smmuv3_accel_oas_bits[SMMUV3_ACCEL_OAS_KNOWN + 1];

/* Fields of the identification registers that depend on the host */
typedef struct SMMUv3AccelFeatures {
    int ril;            /* IDR3.RIL */
    int ats;            /* IDR0.ATS */
    int oas;            /* IDR5.OAS, encoded */
    int ssidsize;       /* IDR1.SSIDSIZE, in bits */
    int cd2l;           /* IDR0.CD2L */
    int asid16;         /* IDR0.ASID16 */
    int bbml;           /* IDR3.BBML */
    int vax;            /* IDR5.VAX */
    int cmdqv;          /* command queues that the guest may own; 0: no CMDQV */
} SMMUv3AccelFeatures;

typedef enum SMMUv3AccelTargetKind {
    SMMUV3_ACCEL_ABORT,         /* DMA blocked */
    SMMUV3_ACCEL_BYPASS,        /* guest memory */
    SMMUV3_ACCEL_S1,            /* guest tables nested on guest memory */
} SMMUv3AccelTargetKind;

typedef struct SMMUv3AccelTarget {
    SMMUv3AccelTargetKind kind;
    uint64_t ste[2];            /* what a nested HWPT takes, for _S1 */
    uint64_t raw[2];            /* what it was made from */
    const char *reason;         /* why _ABORT, NULL if the guest wants it so */
    SMMUEventType event;        /* with a reason: event to record */
    hwaddr addr;                /* F_STE_FETCH: address that was read */
} SMMUv3AccelTarget;

typedef struct SMMUv3AccelStream {
    struct SMMUv3Accel *accel;
    IOMMUFDBindingDevice host;
    IOMMUFDBinding binding;

    /* Its StreamID: the guest may change the number of that bus */
    PCIBus *aliased_bus;
    int (*bus_num)(PCIBus *bus);
    uint8_t aliased_devfn;

    /* Of the host */
    bool ats;                   /* its SMMU and the device can */
    uint64_t stalld;            /* STE1_S1STALLD where it is needed, or 0 */

    /* What the host was told */
    uint32_t s1_hwpt_id;        /* nested, while it is attached; 0: none */
    uint64_t ste[2];            /* of that HWPT */
    uint64_t raw[2];            /* the guest's entry that it was made from */
    uint32_t vdev_id;           /* 0: none */
    uint32_t vsid;              /* of the vDEVICE */
    bool failed;                /* is not what the guest wants */

    /* What the guest and the log were told */
    const char *reason;         /* of the mistake in the guest's tables */
    bool refusal_told;          /* that the host refuses @refused */
    SMMUv3AccelTarget refused;
    bool msi_told;              /* that the guest loses its interrupts */

    bool msi_lost;              /* it does, as its stage 1 is now */

    QLIST_ENTRY(SMMUv3AccelStream) next;
    QLIST_ENTRY(SMMUv3AccelStream) next_devfn;
} SMMUv3AccelStream;

/* Commands that were read ahead, while the queue is worked off */
typedef struct SMMUv3AccelAhead {
    uint32_t first;             /* index of @cmds[0] in the guest's queue */
    uint32_t num;               /* commands in @cmds */
    Cmd cmds[4 * KiB / sizeof(Cmd)];
} SMMUv3AccelAhead;

/* A piece of the guest's table, the last one that was read */
typedef struct SMMUv3AccelPage {
    hwaddr addr;                /* HWADDR_MAX: none */
    uint64_t words[4 * KiB / sizeof(uint64_t)];
} SMMUv3AccelPage;

/*
 * The guest's stream table, and what a command has read of it.  The next
 * command must not find that: by then the guest may have changed entries.
 */
typedef struct SMMUv3AccelTable {
    hwaddr base;
    uint8_t format;             /* STRTAB_FMT_... */
    uint8_t log2size;           /* bits of StreamIDs */
    uint8_t split;              /* of them, below level 1 */
    bool ahead;                 /* neighbours of an entry are read with it */
    SMMUv3AccelPage level1;
    SMMUv3AccelPage entries;
} SMMUv3AccelTable;

/* An event queue of the host */
typedef struct SMMUv3AccelEventq {
    uint32_t id;
    int fd;                     /* -1: none */
    int epoll_fd;               /* watches it */
} SMMUv3AccelEventq;

typedef struct SMMUv3Accel {
    SMMUv3State *s;
    SMMUv3AccelFeatures features;
    Notifier machine_done;
    Error *migration_blocker;

    QLIST_HEAD(, SMMUv3AccelStream) streams;
    /* By the lower half of the StreamID, which no guest can change */
    QLIST_HEAD(, SMMUv3AccelStream) by_devfn[PCI_DEVFN_MAX];
    GHashTable *vsids;          /* vSID to the stream that has the vDEVICE */
    IOMMUFDBindingGroup bindings;

    /* Objects in the host: they exist while there are streams */
    IOMMUFDBackend *iommufd;
    uint32_t s2_hwpt_id;
    uint32_t viommu_id;
    uint32_t bypass_hwpt_id;
    SMMUv3AccelInv inv;
    SMMUv3AccelAhead ahead;
    SMMUv3AccelTable table;
    struct SMMUv3AccelCmdqv *cmdqv;     /* NULL: cmdqv=off */

    /* Since the start, for query-viommu */
    uint64_t num_commands;
    uint64_t num_events;        /* of the host */

    /* Events */
    SMMUv3AccelEventq veventq;
    bool veventq_told;          /* that the host has none */
    bool eventq_on;             /* the guest's queue, when last looked at */
    uint8_t *events;
    size_t events_len;          /* bytes of an event read in part */
    uint32_t next_sequence;
    QEMUTimer *read_retry;      /* pending after a read that failed */
    bool read_told;             /* of such a read */
} SMMUv3Accel;

static inline const char *smmuv3_accel_id(SMMUv3Accel *accel)
{
    return DEVICE(accel->s)->id ?: "";
}

#endif
