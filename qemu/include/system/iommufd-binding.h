/*
 * Host devices that a vIOMMU attaches by itself
 *
 * Concepts:
 *
 * binding  what requests of one host device, without PASID or with one, are
 *          attached to in the host: a HWPT of the vIOMMU, or nothing
 * blocked  such requests reach no memory
 * stuck    the host could not even block them.  They may still use what they
 *          were attached to, so its owner keeps that, and the device is tried
 *          again by a timer
 * reason   why requests are blocked though the guest wants them translated
 *
 * The vIOMMU owns the HWPTs and decides which of them a binding should have.
 * This module attaches it, and sees to it that whatever goes wrong ends
 * blocked and is told once.  It knows nothing of the guest's tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SYSTEM_IOMMUFD_BINDING_H
#define SYSTEM_IOMMUFD_BINDING_H

#include "qemu/timer.h"
#include "system/iommufd.h"
#include "system/runstate.h"

typedef struct IOMMUFDBindingDevice IOMMUFDBindingDevice;

/* What a vIOMMU's model has to do with it */
typedef struct IOMMUFDBindingOps {
    const char *model;          /* its name in messages */
    /*
     * Bring all bindings of a device in line with what the guest wants.
     * Called while the VM runs, after one was stuck or its device in reset.
     */
    void (*retry)(IOMMUFDBindingDevice *dev);
} IOMMUFDBindingOps;

/* All bindings of one vIOMMU */
typedef struct IOMMUFDBindingGroup {
    const IOMMUFDBindingOps *ops;
    uint32_t blocking_hwpt_id;  /* HWPT that blocks, 0 to detach instead */
    uint32_t num_stuck;
    Object *viommu;             /* for events */

    /* Since the start */
    uint64_t attaches;          /* calls that attach something */
    uint64_t retries;
    uint64_t refused;           /* calls that the host has refused */
} IOMMUFDBindingGroup;

/* Stands for requests without PASID */
#define IOMMUFD_BINDING_NO_PASID    UINT32_MAX

/* Of one device: a guest can ask for more than anyone will read */
#define IOMMUFD_BINDING_REASONS_MAX 64

/* The reason for what is stuck; the log says more */
#define IOMMUFD_BINDING_STUCK       "cannot block its DMA"

typedef struct IOMMUFDBindingReason {
    uint32_t pasid;             /* or IOMMUFD_BINDING_NO_PASID */
    char *text;
    bool told;                  /* by an event */
} IOMMUFDBindingReason;

/* What the bindings of one host device share */
struct IOMMUFDBindingDevice {
    IOMMUFDBindingGroup *group;
    HostIOMMUDeviceIOMMUFD *hiodi;
    PCIBus *bus;                /* of the device itself */
    uint8_t devfn;
    QEMUTimer *timer;
    VMChangeStateEntry *vmstate;
    uint32_t retry_ms;          /* how long it waited the last time */
    unsigned int logged;        /* messages in this slice of time */
    int64_t log_start;          /* the slice's start, in ns */
    bool late;                  /* the timer found the VM stopped */
    bool busy;                  /* is in reset, which was told */
    uint32_t num_stuck;         /* of its bindings */
    GArray *reasons;            /* of IOMMUFDBindingReason, in no order */
    unsigned long *textless;    /* bitmap of PASIDs that @reasons is full for */
    uint32_t num_textless;
};

/* There may be very many: it is kept small */
typedef struct IOMMUFDBinding {
    IOMMUFDBindingDevice *dev;
    uint32_t hwpt_id;           /* 0: nothing */
    uint32_t pasid:20;          /* 0: requests without PASID */
    uint32_t stuck:1;
} IOMMUFDBinding;

/**
 * iommufd_binding_device_init: a vIOMMU starts to attach a host device
 *
 * @dev: all zero
 * @group: of the vIOMMU
 * @bus: bus of the device itself
 * @devfn: device and function number on @bus
 * @hiodi: the device; has to stay until iommufd_binding_device_cleanup()
 */
void iommufd_binding_device_init(IOMMUFDBindingDevice *dev,
                                 IOMMUFDBindingGroup *group, PCIBus *bus,
                                 uint8_t devfn, HostIOMMUDeviceIOMMUFD *hiodi);

/* iommufd_binding_device_cleanup: the device is not tried again any more */
void iommufd_binding_device_cleanup(IOMMUFDBindingDevice *dev);

/* iommufd_binding_device_name: what the user calls the device */
const char *iommufd_binding_device_name(const IOMMUFDBindingDevice *dev);

/**
 * iommufd_binding_device_log: report a problem of a device as an error
 *
 * What a guest can cause at will must not fill the log: of one device, only so
 * many messages are reported in a slice of time.
 *
 * @dev: the device, which the message names
 * @fmt: the problem and what follows from it, without end of line
 */
void iommufd_binding_device_log(IOMMUFDBindingDevice *dev, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/**
 * iommufd_binding_attach: attach a binding in place of what it has
 *
 * After a failure the hardware may block @b while the host's books still show
 * what it had, so that attaching that again would do nothing: attach something
 * else, or call iommufd_binding_block().
 *
 * @b: the binding.  One that is stuck is to be blocked first: the host may take
 *     the HWPT for the one that it has, and do nothing
 * @hwpt_id: a HWPT in its device's iommufd
 * @errp: set to the host's reason on failure
 *
 * Returns: 0 on success, a negative errno on failure.
 */
int iommufd_binding_attach(IOMMUFDBinding *b, uint32_t hwpt_id, Error **errp);

/**
 * iommufd_binding_refused: note that a binding does not get what it should
 *
 * A device in reset is tried again later.
 *
 * @b: the binding, about to be blocked
 * @ret: of iommufd_binding_attach()
 *
 * Returns: whether that is news to the user, and not the same failure again.
 */
bool iommufd_binding_refused(IOMMUFDBinding *b, int ret);

/**
 * iommufd_binding_explain: note why a binding is blocked or about to be
 *
 * The user gets an event as soon as it is blocked, and another one when the
 * reason is gone.  It goes, too, when @b is attached to anything else.
 *
 * @reason: as in the log, or NULL if the guest has what it wants
 */
void iommufd_binding_explain(IOMMUFDBinding *b, const char *reason);

/* iommufd_binding_explain_pasid: the same for a PASID that has no binding */
void iommufd_binding_explain_pasid(IOMMUFDBindingDevice *dev, uint32_t pasid,
                                   const char *reason);

/**
 * iommufd_binding_reason: tell why requests are blocked
 *
 * @pasid: their PASID, or IOMMUFD_BINDING_NO_PASID
 *
 * Returns: the reason, or NULL if there is none, or was no room to keep it.
 */
const char *iommufd_binding_reason(const IOMMUFDBindingDevice *dev,
                                   uint32_t pasid);

/**
 * iommufd_binding_next_reason: look for a PASID that has a reason
 *
 * Returns: the first one from @first on, whether or not the reason was kept,
 *          or IOMMUFD_BINDING_NO_PASID, for which there need not be one.
 */
uint32_t iommufd_binding_next_reason(const IOMMUFDBindingDevice *dev,
                                     uint32_t first);

/* iommufd_binding_num_reasons: how many PASIDs have a reason */
uint32_t iommufd_binding_num_reasons(const IOMMUFDBindingDevice *dev);

/* iommufd_binding_is_blocked: does no request of @b reach memory? */
bool iommufd_binding_is_blocked(const IOMMUFDBinding *b);

/**
 * iommufd_binding_block: block all requests of a binding
 *
 * Attaches it to the group's HWPT that blocks, and detaches it where there is
 * none or the host refuses.  Does nothing if it is blocked already.
 *
 * Returns: false if the host can do neither, which is reported once; @b is
 *          stuck then.
 */
bool iommufd_binding_block(IOMMUFDBinding *b);

/**
 * iommufd_binding_detach: the same for a device that goes away, without the
 * group's HWPT
 */
bool iommufd_binding_detach(IOMMUFDBinding *b);

/* iommufd_binding_forget: @b goes away; whether it is stuck does not matter */
void iommufd_binding_forget(IOMMUFDBinding *b);

#endif
