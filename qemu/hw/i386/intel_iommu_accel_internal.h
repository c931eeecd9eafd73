/*
 * Intel VT-d: what the files intel_iommu_accel*.c share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_INTERNAL_H
#define HW_I386_INTEL_IOMMU_ACCEL_INTERNAL_H

#include "qemu/interval-tree.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_accel.h"
#include "intel_iommu_accel_legacy.h"
#include "intel_iommu_accel_s1.h"
#include "system/iommufd-binding.h"

typedef enum VTDAccelState {
    VTD_ACCEL_BLOCKED,
    VTD_ACCEL_S2,           /* guest memory, one to one */
    VTD_ACCEL_S1,           /* guest tables nested on guest memory */
    VTD_ACCEL_SHADOW,       /* a copy of second-level tables (legacy mode) */
} VTDAccelState;

/* What a guest's configuration means for one (device, PASID) */
typedef struct VTDAccelTarget {
    VTDAccelState state;
    const char *reason;     /* why blocked, NULL if the guest wants it so */
    union {
        VTDAccelS1Key key;              /* for VTD_ACCEL_S1 */
        VTDAccelLegacyKey legacy;       /* for VTD_ACCEL_SHADOW */
    };
} VTDAccelTarget;

typedef struct VTDAccelDevice VTDAccelDevice;

/*
 * What the host was told for one (device, PASID).  One that is blocked exists
 * only for requests without PASID, and where the host could not block it.
 */
typedef struct VTDAccelBinding {
    IntervalTreeNode node;  /* of VTDAccelDevice::pasids */
    IOMMUFDBinding host;
    VTDAccelS1 *s1;
    VTDAccelShadow *shadow;
    QLIST_ENTRY(VTDAccelBinding) s1_next;
    uint8_t state;          /* VTDAccelState */
} VTDAccelBinding;

struct VTDAccelDevice {
    IntelIOMMUState *s;
    IOMMUFDBindingDevice host;
    PCIBus *bus;
    uint8_t devfn;

    /* Context cache: valid until the guest invalidates it */
    bool context_valid;
    bool pasid_enabled;     /* requests with PASID are allowed */
    uint32_t rid_pasid;
    uint32_t pasid_dir_num;
    dma_addr_t pasid_dir;
    VTDAccelLegacyContext legacy;   /* in legacy mode, instead of these */

    VTDAccelBinding rid;    /* requests without PASID */
    IntervalTreeRoot pasids;
    uint32_t num_pasids;
    const char *reason;     /* last reason that was logged for @rid */
    const char *pasid_reason; /* and for the other PASIDs */
    bool again;             /* blocked in legacy mode, is to be tried again */

    /* The present entries of the PASID directory are looked at from here on */
    bool walking;
    uint32_t walk_pasid;

    QLIST_ENTRY(VTDAccelDevice) next;
};

typedef struct VTDAccel {
    IntelIOMMUState *s;
    AddressSpace as;
    VTDAccelS1Table s1s;
    VTDAccelShadowTable shadows;
    QLIST_HEAD(, VTDAccelDevice) devices;
    IOMMUFDBindingGroup bindings;
    uint32_t num_walking;   /* number of devices that are walking */

    /* Work of one piece, in guest reads */
    int64_t work_left;      /* below 0 after work that was done at once */
    bool in_piece;          /* the rest can be done later */
    uint32_t status_pending; /* bits of GSTS that follow when all is done */
    QEMUBH *resume_bh;
    VTDAccelResume *resume;
} VTDAccel;

/* About what an ioctl costs, in guest reads */
#define VTD_ACCEL_IOCTL_WORK    16

/* intel_iommu_accel_tables.c: guest tables */

/* vtd_accel_source_id: requester id under which the guest configures @dev */
uint16_t vtd_accel_source_id(VTDAccelDevice *dev);

/**
 * vtd_accel_read_rid: what the guest wants for requests without PASID
 *
 * Brings the device's context cache up to date first.
 */
void vtd_accel_read_rid(VTDAccelDevice *dev, VTDAccelTarget *t);

/**
 * vtd_accel_read_pasid: what the guest wants for requests with a PASID
 *
 * @dev: a device for which vtd_accel_has_pasids() holds
 */
void vtd_accel_read_pasid(VTDAccelDevice *dev, uint32_t pasid,
                          VTDAccelTarget *t);

/**
 * vtd_accel_num_pasids: how many PASIDs the guest can bind to @dev
 *
 * Returns: 0 if requests with PASID are not possible or not enabled.
 */
uint32_t vtd_accel_num_pasids(VTDAccelDevice *dev);

/**
 * vtd_accel_walk: bring the host in line with the present entries of the
 * PASID directory, and no others
 *
 * Goes on where it was when the work of this piece was used up.
 *
 * Returns: true if all is done.
 */
bool vtd_accel_walk(VTDAccelDevice *dev);

/* intel_iommu_accel_legacy.c: see its header, and */

/**
 * vtd_accel_read_legacy: what the guest wants for requests in legacy mode
 *
 * Brings the device's context cache up to date first.
 */
void vtd_accel_read_legacy(VTDAccelDevice *dev, VTDAccelTarget *t);

/* intel_iommu_accel_bind.c: the host side */

const char *vtd_accel_name(VTDAccelDevice *dev);

static inline VTDAccelDevice *vtd_accel_device(const VTDAccelBinding *b)
{
    return container_of(b->host.dev, VTDAccelDevice, host);
}

/* vtd_accel_find_pasid: first binding with @first <= PASID <= @last, or NULL */
VTDAccelBinding *vtd_accel_find_pasid(VTDAccelDevice *dev, uint32_t first,
                                      uint32_t last);

/* vtd_accel_apply_rid: bring the host in line for requests without PASID */
void vtd_accel_apply_rid(VTDAccelDevice *dev, const VTDAccelTarget *t);

/**
 * vtd_accel_apply_pasid: bring the host in line for requests with PASID
 *
 * @b: the binding of @pasid, NULL if it has none; may be freed
 */
void vtd_accel_apply_pasid(VTDAccelDevice *dev, uint32_t pasid,
                           VTDAccelBinding *b, const VTDAccelTarget *t);

/* vtd_accel_abandon_shadow: block a device whose shadow failed, and say why */
void vtd_accel_abandon_shadow(VTDAccelDevice *dev);

/* vtd_accel_block_device: block all requests of a device that goes away */
void vtd_accel_block_device(VTDAccelDevice *dev);

/* vtd_accel_unstick: try again to block what the host could not block */
void vtd_accel_unstick(VTDAccelDevice *dev);

/* vtd_accel_flush: have the host do what is queued on @s1, or replace @s1 */
void vtd_accel_flush(VTDAccel *accel, VTDAccelS1 *s1);

#endif
