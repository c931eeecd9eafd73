/*
 * Intel VT-d: first-stage tables owned by the guest, walked by the host IOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_H
#define HW_I386_INTEL_IOMMU_ACCEL_H

#include "hw/i386/intel_iommu.h"
#include "system/host_iommu_device.h"
#include "system/viommu-query.h"

typedef void VTDAccelResume(IntelIOMMUState *s);

/**
 * vtd_accel_init: create the state that host devices share
 *
 * Called once when @s, with x-flts=on, is realized and its memory regions
 * exist.
 *
 * @s: the vIOMMU
 * @resume: goes on with the invalidation queue, if that is possible, after
 *          vtd_accel_queue_step() has stopped it
 */
void vtd_accel_init(IntelIOMMUState *s, VTDAccelResume *resume);

/**
 * vtd_accel_address_space: the address space of all host devices behind @s
 *
 * It shows system memory with the interrupt-remapping window, one to one.
 */
AddressSpace *vtd_accel_address_space(IntelIOMMUState *s);

/**
 * vtd_accel_wants_nesting: whether the vIOMMU nests on the host IOMMU for @dev
 */
bool vtd_accel_wants_nesting(IntelIOMMUState *s, PCIDevice *dev);

/**
 * vtd_accel_supports_device: check a device's own configuration at realize
 *
 * Returns: true if @dev may sit behind @s, false with @errp set otherwise.
 */
bool vtd_accel_supports_device(IntelIOMMUState *s, PCIDevice *dev,
                               Error **errp);

/**
 * vtd_accel_supports_host: check that the IOMMU of a host device can walk every
 * first-stage format that @s advertises
 *
 * Returns: true if it can, false with @errp naming both sides otherwise.
 */
bool vtd_accel_supports_host(IntelIOMMUState *s, HostIOMMUDevice *hiod,
                             Error **errp);

/**
 * vtd_accel_host_quirks: see PCIIOMMUOps.get_host_iommu_quirks
 */
uint64_t vtd_accel_host_quirks(uint32_t type, void *caps, uint32_t size);

/**
 * vtd_accel_add_device: start to follow the guest's configuration of a device
 *
 * @s: the vIOMMU
 * @bus: bus of the device itself, not of its alias
 * @devfn: device and function number on @bus
 * @hiod: the host device, attached to guest memory by its owner
 *
 * The caller has checked vtd_accel_supports_host() and holds a reference to
 * @hiod until vtd_accel_del_device().
 */
void vtd_accel_add_device(IntelIOMMUState *s, PCIBus *bus, int devfn,
                          HostIOMMUDevice *hiod);

/**
 * vtd_accel_can_request: can a device that was added send page requests, and
 * does the guest know?
 */
bool vtd_accel_can_request(IntelIOMMUState *s, PCIDevice *dev);

/**
 * vtd_accel_del_device: stop following a device; its DMA is blocked
 *
 * Does nothing for a device that was not added.
 */
void vtd_accel_del_device(IntelIOMMUState *s, PCIBus *bus, int devfn);

/**
 * vtd_accel_refresh_all: follow a change that may concern any device
 *
 * For SRTP, translation enable and disable, reset, load and a global or
 * domain-selective context-cache invalidation (VT-d 6.5.2.1).
 */
void vtd_accel_refresh_all(IntelIOMMUState *s);

/**
 * vtd_accel_context_device_invalidate: device-selective context-cache
 * invalidation (VT-d 6.5.2.1)
 *
 * @s: the vIOMMU
 * @source_id: requester id
 * @sid_mask: bits of @source_id that count, after the function mask
 */
void vtd_accel_context_device_invalidate(IntelIOMMUState *s,
                                         uint16_t source_id,
                                         uint16_t sid_mask);

/**
 * vtd_accel_process_pasid_desc: PASID-cache invalidation (VT-d 6.5.2.2)
 *
 * @s: the vIOMMU
 * @lo: bits 63:0 of the descriptor
 *
 * Returns: false if the granularity is invalid.
 */
bool vtd_accel_process_pasid_desc(IntelIOMMUState *s, uint64_t lo);

/**
 * vtd_accel_process_piotlb_desc: queue a PASID-based IOTLB invalidation
 * (VT-d 6.5.2.4)
 *
 * @s: the vIOMMU
 * @val: the first two quadwords of the descriptor, found valid by the caller
 */
void vtd_accel_process_piotlb_desc(IntelIOMMUState *s, const uint64_t *val);

/* As @am of vtd_accel_iotlb_invalidate(): the whole domain */
#define VTD_ACCEL_AM_ALL    UINT8_MAX

/**
 * vtd_accel_iotlb_invalidate: queue an IOTLB invalidation of one domain
 * (VT-d 6.5.2.3)
 *
 * All first-stage translations of the domain go; copies of second-level tables
 * follow the range.
 *
 * @s: the vIOMMU
 * @domain_id: domain of the tables
 * @addr: input address of the second stage
 * @am: address mask, log2 of the number of 4 KiB pages, or VTD_ACCEL_AM_ALL
 */
void vtd_accel_iotlb_invalidate(IntelIOMMUState *s, uint16_t domain_id,
                                uint64_t addr, uint8_t am);

/**
 * vtd_accel_iotlb_invalidate_all: queue a global IOTLB invalidation
 */
void vtd_accel_iotlb_invalidate_all(IntelIOMMUState *s);

/**
 * vtd_accel_sync: have the host complete everything that is queued
 *
 * Called before the guest can learn that an invalidation is complete, and at
 * the end of each piece of work.  A host that refuses an invalidation gets a
 * fresh HWPT in place of the stale one, or the devices are blocked.
 *
 * Returns: false if a device may still use a stale translation.
 */
bool vtd_accel_sync(IntelIOMMUState *s);

/**
 * vtd_accel_command_begin: before a command by register that may concern any
 * PASID; the host is told in pieces, so that the main loop stays responsive
 */
void vtd_accel_command_begin(IntelIOMMUState *s);

/**
 * vtd_accel_command_end: after it, do as much as may be done at once
 *
 * @s: the vIOMMU
 * @status: bits of GSTS that the command has changed (VT-d 11.4.4)
 *
 * Returns: false if something is left; the resume function of
 *          vtd_accel_init() is called later.
 */
bool vtd_accel_command_end(IntelIOMMUState *s, uint32_t status);

/**
 * vtd_accel_status_pending: bits of GSTS that the guest must not see changed
 * yet, since the host has not been told everything
 */
uint32_t vtd_accel_status_pending(IntelIOMMUState *s);

/**
 * vtd_accel_queue_step: before the next descriptor of the invalidation queue,
 * finish what earlier ones have caused
 *
 * A guest can ask for more work than the main loop may be held up for.  To be
 * called after the last descriptor as well, and the head that the guest reads
 * may only pass descriptors once vtd_accel_queue_end() has followed.
 *
 * Descriptors that concern nothing but host devices may be taken here: the
 * next one is where the head of @s is afterwards.
 *
 * Returns: false if the queue has to be left as it is for now; the resume
 *          function of vtd_accel_init() is called later.
 */
bool vtd_accel_queue_step(IntelIOMMUState *s);

/**
 * vtd_accel_queue_read: the descriptor at the head of the queue
 *
 * Descriptors up to the tail are read together, and none twice.
 *
 * @s: the vIOMMU; its queue has descriptors, and is being worked off
 * @val: set to the 2 or 4 quadwords of the descriptor
 *
 * Returns: false if the caller has to read it.
 */
bool vtd_accel_queue_read(IntelIOMMUState *s, uint64_t *val);

/**
 * vtd_accel_emulated_dma: an emulated device is about to be translated
 *
 * Called before tables are read for it, by any thread.
 */
void vtd_accel_emulated_dma(IntelIOMMUState *s);

/**
 * vtd_accel_write_status: write what a wait descriptor asks for (VT-d 6.5.2.8)
 *
 * @s: the vIOMMU
 * @addr: guest physical address
 * @data: in the guest's byte order
 *
 * Returns: false if the caller has to write it.
 */
bool vtd_accel_write_status(IntelIOMMUState *s, hwaddr addr, uint32_t data);

/**
 * vtd_accel_queue_end: after the last descriptor of the invalidation queue, or
 * an error in it; everything is complete then
 */
void vtd_accel_queue_end(IntelIOMMUState *s);

/**
 * vtd_accel_describe: what was found out about and agreed with the host
 *
 * Returns: for people, for each host device the capabilities of its IOMMU and
 *          what the device is attached to; the caller frees it.
 */
char *vtd_accel_describe(IntelIOMMUState *s);

/**
 * vtd_accel_query: add to what query-viommu says of @s
 *
 * Its mode is known to the caller.
 */
void vtd_accel_query(IntelIOMMUState *s, ViommuQuery *query);

#endif
