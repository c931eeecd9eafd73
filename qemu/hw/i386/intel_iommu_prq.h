/*
 * Intel VT-d: the page request queue of a guest
 *
 * Concepts: a device sends page requests in groups; the last one of a group
 * says so.  Software answers a group, not a request: by a page group response
 * in the invalidation queue, which names requester, PASID and group index.
 * This module knows registers, queue and interrupt, but not who asks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_PRQ_H
#define HW_I386_INTEL_IOMMU_PRQ_H

#include "hw/i386/intel_iommu.h"

/* What a device asks for (VT-d 7.4.1) */
typedef struct VTDPageRequest {
    hwaddr addr;                /* page-aligned */
    uint32_t pasid;             /* if @has_pasid */
    uint16_t sid;               /* requester id */
    uint16_t prgi;              /* page request group index, 9 bits */
    bool has_pasid, read, write, exec, priv, last;
} VTDPageRequest;

typedef enum VTDPrqResult {
    VTD_PRQ_POSTED,
    VTD_PRQ_OFF,                /* there is no queue that requests could use */
    VTD_PRQ_FULL,               /* overflow, which software has to clear */
} VTDPrqResult;

/* Response codes (VT-d 7.7.1) */
typedef enum VTDPrqCode {
    VTD_PRQ_SUCCESS = 0,
    VTD_PRQ_INVALID = 1,
    VTD_PRQ_FAILURE = 15,
} VTDPrqCode;

/**
 * VTDPrqNotify: the guest has answered a group of an emulated device
 *
 * @opaque: as given to vtd_prq_register()
 * @has_pasid: whether the response has a PASID
 * @pasid: it, else 0
 * @prgi: page request group index
 * @code: anything but success and invalid is a failure
 */
typedef void VTDPrqNotify(void *opaque, bool has_pasid, uint32_t pasid,
                          uint16_t prgi, VTDPrqCode code);

/* Who serves host devices */
typedef struct VTDPrqHost {
    /* As vtd_prq_response(); false if no host device has that requester id */
    bool (*response)(IntelIOMMUState *s, uint16_t sid, bool has_pasid,
                     uint32_t pasid, uint16_t prgi, VTDPrqCode code);
    /* As vtd_prq_drain() */
    void (*drain)(IntelIOMMUState *s);
} VTDPrqHost;

/**
 * vtd_prq_set_host: from now on, host devices may send page requests
 */
void vtd_prq_set_host(IntelIOMMUState *s, const VTDPrqHost *host);

/**
 * vtd_prq_init: create the state of page requests, when @s is realized
 */
void vtd_prq_init(IntelIOMMUState *s);

/**
 * vtd_prq_offer_to: a host device that can send page requests is there
 *
 * With pri=auto the guest is told that there are page requests if such a device
 * is there from the start.
 *
 * Returns: whether the guest is told.
 */
bool vtd_prq_offer_to(IntelIOMMUState *s);

/**
 * vtd_prq_check_load: whether the guest that was loaded was told what it can
 * have here
 */
bool vtd_prq_check_load(const IntelIOMMUState *s, Error **errp);

/**
 * vtd_prq_check_config: whether the properties allow to offer page requests
 *
 * Returns: false with @errp set if not.
 */
bool vtd_prq_check_config(const IntelIOMMUState *s, Error **errp);

/**
 * vtd_prq_ecap: the ECAP_REG bits that page requests add (VT-d 11.4.3)
 */
uint64_t vtd_prq_ecap(const IntelIOMMUState *s);

/**
 * vtd_prq_reset: define the registers, which are 0, after ECAP_REG is
 * (VT-d 11.4.11)
 */
void vtd_prq_reset(IntelIOMMUState *s);

/**
 * vtd_prq_offered: whether the guest was told that there are page requests
 */
bool vtd_prq_offered(const IntelIOMMUState *s);

/**
 * vtd_prq_reg_written: the guest has written registers
 *
 * @addr: offset of the first byte
 * @size: bytes; the values are in the registers already
 */
void vtd_prq_reg_written(IntelIOMMUState *s, hwaddr addr, unsigned size);

/**
 * vtd_prq_wait_reserved: reserved bits of the first quadword of a wait
 * descriptor, which can ask to drain page requests (VT-d 6.5.2.8)
 *
 * @rsvd: those without page requests
 */
uint64_t vtd_prq_wait_reserved(const IntelIOMMUState *s, uint64_t rsvd);

/**
 * vtd_prq_drain: bring to the queue what devices have requested until now
 * (VT-d 7.10)
 */
void vtd_prq_drain(IntelIOMMUState *s);

/**
 * vtd_prq_post: put page requests into the guest's queue, in order
 *
 * It stops at the first one that does not fit.  There is one interrupt at most.
 * The caller holds the BQL, and has checked that the guest lets the requester
 * ask.
 *
 * @s: the vIOMMU
 * @req: requests
 * @n: number of them
 * @posted: set to how many are in the queue
 *
 * Returns: VTD_PRQ_POSTED if all are.  Else what hardware does with the rest
 *          (VT-d 7.4): the last request of a group is answered, by a failure
 *          if the queue is off and by success, which has the device ask again,
 *          if it is full; others are dropped.
 */
VTDPrqResult vtd_prq_post(IntelIOMMUState *s, const VTDPageRequest *req,
                          unsigned n, unsigned *posted);

/**
 * vtd_prq_process_response: take a page group response descriptor (VT-d 7.7.1)
 *
 * @s: the vIOMMU
 * @val: its quadwords, reserved bits checked by the caller
 *
 * A response to nothing is ignored.
 */
void vtd_prq_process_response(IntelIOMMUState *s, const uint64_t *val);

/**
 * vtd_prq_response: dispatch a response to who has asked
 *
 * @s: the vIOMMU
 * @sid: requester id
 * @has_pasid: whether the response has a PASID
 * @pasid: it
 * @prgi: page request group index
 * @code: what the guest says
 */
void vtd_prq_response(IntelIOMMUState *s, uint16_t sid, bool has_pasid,
                      uint32_t pasid, uint16_t prgi, VTDPrqCode code);

/**
 * vtd_prq_register: let an emulated device get responses
 *
 * @s: the vIOMMU, with x-pri=on
 * @dev: the device, under whose requester id it is answered
 * @notify: called with the BQL held
 * @opaque: passed to @notify
 */
void vtd_prq_register(IntelIOMMUState *s, PCIDevice *dev, VTDPrqNotify *notify,
                      void *opaque);

/**
 * vtd_prq_unregister: before @dev goes; does nothing if it is not registered
 */
void vtd_prq_unregister(IntelIOMMUState *s, PCIDevice *dev);

#endif
