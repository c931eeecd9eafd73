/*
 * SMMUv3 on the host SMMU: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ACCEL_INTERNAL_H
#define HW_ARM_SMMUV3_ACCEL_INTERNAL_H

#include "qemu/timer.h"
#include "system/iommufd-binding.h"
#include "hw/pci/pci_bus.h"
#include "system/iommufd.h"
#include "system/iommufd-compat.h"
#include "smmuv3-accel.h"

/* A value that the first host device will decide */
#define SMMUV3_ACCEL_AUTO   (-1)

/* Fields of the identification registers that depend on the host */
typedef struct SMMUv3AccelFeatures {
    int ril;            /* IDR3.RIL */
    int ats;            /* IDR0.ATS */
    int oas;            /* IDR5.OAS, encoded */
    int ssidsize;       /* IDR1.SSIDSIZE, in bits */
    int asid16;         /* IDR0.ASID16 */
    int bbml;           /* IDR3.BBML */
} SMMUv3AccelFeatures;

typedef enum SMMUv3AccelStreamState {
    SMMUV3_ACCEL_DETACHED,      /* DMA blocked, and no MSIs either */
    SMMUV3_ACCEL_PARENT,        /* guest memory, as VFIO attached it */
    SMMUV3_ACCEL_BYPASS,        /* guest memory, by the guest's choice */
    SMMUV3_ACCEL_ABORT,         /* DMA blocked */
    SMMUV3_ACCEL_S1,            /* guest tables nested on guest memory */
} SMMUv3AccelStreamState;

/* What the guest's configuration means for one stream */
typedef struct SMMUv3AccelTarget {
    SMMUv3AccelStreamState state;
    uint64_t ste[2];            /* what a nested HWPT takes, for _S1 */
    const char *reason;         /* why _ABORT, NULL if the guest wants it so */
    SMMUEventType event;        /* with a reason: event to record */
    hwaddr addr;                /* F_STE_FETCH: address that was read */
} SMMUv3AccelTarget;

typedef struct SMMUv3AccelStream {
    struct SMMUv3Accel *accel;
    IOMMUFDBindingDevice host;
    IOMMUFDBinding binding;
    PCIBus *bus;                /* of the device itself */
    uint8_t devfn;

    /* What the host was told */
    SMMUv3AccelStreamState state;
    uint64_t ste[2];            /* of the nested HWPT in _S1 */
    uint32_t s1_hwpt_id;        /* in _S1 */
    uint32_t vdev_id;           /* 0: none */
    uint32_t vsid;              /* of the vDEVICE */
    bool failed;                /* is not what the guest wants */

    /* What the guest and the log were told */
    const char *reason;
    bool told;                  /* of the failure to install what follows */
    bool msi_told;              /* that the guest loses its interrupts */
    SMMUv3AccelTarget failure;

    QLIST_ENTRY(SMMUv3AccelStream) next;
} SMMUv3AccelStream;

/* Commands that may wait: a guest that posts more has them sent in slices */
#define SMMUV3_ACCEL_BATCH_MAX  1024

/* Events that one read takes */
#define SMMUV3_ACCEL_EVENTS     256
#define SMMUV3_ACCEL_EVENT_SIZE (sizeof(struct iommufd_vevent_header) + \
                                 sizeof(struct iommu_vevent_arm_smmuv3))

typedef struct SMMUv3Accel {
    SMMUv3State *s;
    SMMUv3AccelFeatures features;
    Notifier machine_done;
    Error *migration_blocker;

    QLIST_HEAD(, SMMUv3AccelStream) streams;
    GHashTable *vsids;          /* vSID to the stream that has the vDEVICE */
    IOMMUFDBindingGroup bindings;

    /* Objects in the host: they exist while there are streams */
    IOMMUFDBackend *iommufd;
    uint32_t s2_hwpt_id;
    uint32_t viommu_id;
    uint32_t bypass_hwpt_id;
    uint32_t veventq_id;
    int veventq_fd;             /* -1: none */
    int epoll_fd;               /* watches veventq_fd */
    bool veventq_told;          /* that the host has none */

    /* Commands that wait, in the host's byte order */
    struct iommu_viommu_arm_smmuv3_invalidate *batch;
    uint32_t batched;
    bool tlb_stale;             /* the host refused to invalidate its TLB */
    bool repeat;                /* the host wants TLBI and CFGI twice */

    /* Events */
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

/* --- smmuv3-accel-stream.c --- */

extern const IOMMUFDBindingOps smmuv3_accel_binding_ops;

/* StreamID that the guest has given to the device for now */
uint32_t smmuv3_accel_sid(SMMUv3AccelStream *st);

/**
 * smmuv3_accel_stream_add: start to follow a device
 *
 * @accel: the SMMU
 * @bus: bus of the device itself
 * @devfn: device and function number on @bus
 * @hiod: the device, attached by VFIO to a nesting parent; its aliased bus and
 *        devfn are its StreamID
 *
 * Returns: true, or false with @errp set and nothing left in the host.
 */
bool smmuv3_accel_stream_add(SMMUv3Accel *accel, PCIBus *bus, int devfn,
                             HostIOMMUDevice *hiod, Error **errp);

/* Stop following a device; its DMA is blocked. Any device may be named */
void smmuv3_accel_stream_del(SMMUv3Accel *accel, PCIBus *bus, int devfn);

/**
 * smmuv3_accel_stream_refresh: bring the host in line with the guest's STE
 *
 * @st: the stream
 * @cfgi: the guest has asked to forget what is cached of the STE, its CDs
 *        included (SMMUv3 4.3.1)
 */
void smmuv3_accel_stream_refresh(SMMUv3AccelStream *st, bool cfgi);

/* The host refused an invalidation of this stream: stop it until it is told */
void smmuv3_accel_stream_fail(SMMUv3AccelStream *st, const char *reason);

/* Try again to stop streams that are stuck. Returns false if some still are */
bool smmuv3_accel_unstick(SMMUv3Accel *accel);

/* --- smmuv3-accel-ste.c --- */

/* What the guest wants for the stream that has StreamID @sid */
void smmuv3_accel_read_target(SMMUv3AccelStream *st, uint32_t sid,
                              SMMUv3AccelTarget *t);

/* --- smmuv3-accel-cmd.c --- */

/* Queue a CFGI_CD_ALL of a stream that has a vDEVICE */
void smmuv3_accel_queue_cd_all(SMMUv3AccelStream *st);

/* Send what waits, and deal with what the host refuses */
void smmuv3_accel_send(SMMUv3Accel *accel);

/* Have the host forget all translations of this SMMU's guest */
bool smmuv3_accel_flush_tlb(SMMUv3Accel *accel, Error **errp);

/* --- smmuv3-accel-event.c --- */

/* Create the event queue of a new vIOMMU, which has it for all its life */
void smmuv3_accel_eventq_start(SMMUv3Accel *accel);
void smmuv3_accel_eventq_stop(SMMUv3Accel *accel);

/* Listen to the host's events, or not, as the state of the VM has it */
void smmuv3_accel_eventq_poll(SMMUv3Accel *accel);

/* Record that a stream's configuration is bad (SMMUv3 7.3) */
void smmuv3_accel_record_config(SMMUv3AccelStream *st,
                                const SMMUv3AccelTarget *t);

#endif
