/*
 * Intel VT-d: first-stage tables owned by the guest, walked by the host IOMMU
 *
 * intel_iommu.c calls this file for host devices that come and go, and for what
 * the guest changes: by descriptor, by register, or by reset and load.  Here
 * the devices are found that a change may concern.  The property host-devices
 * is made here, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "hw/pci/pci.h"
#include "system/iommufd.h"
#include "system/runstate.h"
#include "intel_iommu_accel.h"
#include "intel_iommu_accel_bind.h"
#include "intel_iommu_accel_prq.h"
#include "intel_iommu_accel_tables.h"
#include "intel_iommu_accel_walk.h"
#include "trace.h"

AddressSpace *vtd_accel_address_space(IntelIOMMUState *s)
{
    return &s->accel->as;
}

bool vtd_accel_wants_nesting(IntelIOMMUState *s, PCIDevice *dev)
{
    return s->accel && object_dynamic_cast(OBJECT(dev), "vfio-pci");
}

bool vtd_accel_supports_device(IntelIOMMUState *s, PCIDevice *dev,
                               Error **errp)
{
    if (!vtd_accel_wants_nesting(s, dev)) {
        return true;
    }

    /* The legacy container cannot nest */
    if (!object_property_get_link(OBJECT(dev), "iommufd", NULL)) {
        error_setg(errp, "intel-iommu with x-flts=on needs an iommufd behind "
                   "each host device: add -object iommufd,id=iommufd0 and "
                   "iommufd=iommufd0 to this device, or use "
                   "x-flts=off,caching-mode=on");
        return false;
    }

    /* The guest has to tell about entries that become present */
    if (!s->caching_mode) {
        error_setg(errp, "intel-iommu with x-flts=on and caching-mode=off "
                   "cannot follow the guest's configuration of a host device: "
                   "remove caching-mode=off");
        return false;
    }

    return true;
}

uint64_t vtd_accel_host_quirks(uint32_t type, void *caps, uint32_t size)
{
    const struct iommu_hw_info_vtd *vtd = caps;

    if (type == IOMMU_HW_INFO_TYPE_INTEL_VTD && size >= sizeof(*vtd) &&
        vtd->flags & IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17) {
        return HOST_IOMMU_QUIRK_NESTING_PARENT_BYPASS_RO;
    }
    return 0;
}

bool vtd_accel_supports_host(IntelIOMMUState *s, HostIOMMUDevice *hiod,
                             Error **errp)
{
    static const char no_flts[] = "x-flts=off,caching-mode=on";
    struct iommu_hw_info_vtd *vtd = &hiod->caps.vendor_caps.vtd;
    const struct {
        bool wanted;
        bool host;
        const char *what;
        const char *advice;
    } checks[] = {
        /* Without scalable mode there are no PASID entries on the host */
        { true, vtd->ecap_reg & VTD_ECAP_SMTS, "scalable mode (ECAP.SMTS)",
          no_flts },
        { true, vtd->ecap_reg & VTD_ECAP_NEST,
          "nested translation (ECAP.NEST)", no_flts },
        { true, vtd->ecap_reg & VTD_ECAP_FLTS,
          "first-stage translation (ECAP.FSTS)", no_flts },
        { true, vtd->ecap_reg & VTD_ECAP_SLTS,
          "second-stage translation (ECAP.SSTS)", no_flts },
        /* The guest may build whatever the vIOMMU advertises */
        { s->cap & VTD_CAP_FS1GP, vtd->cap_reg & VTD_CAP_FS1GP,
          "1-GiB first-stage pages (CAP.FS1GP)", "fs1gp=off" },
        { s->cap & VTD_CAP_FS5LP, vtd->cap_reg & VTD_CAP_FS5LP,
          "5-level first-stage tables (CAP.FS5LP)", "aw-bits=48" },
        { s->ecap & VTD_ECAP_SRS, vtd->ecap_reg & VTD_ECAP_SRS,
          "supervisor requests (ECAP.SRS)", no_flts },
        { s->ecap & VTD_ECAP_SC, vtd->ecap_reg & VTD_ECAP_SC,
          "snoop control (ECAP.SC)", "snoop-control=off" },
    };

    if (!object_dynamic_cast(OBJECT(hiod), TYPE_HOST_IOMMU_DEVICE_IOMMUFD)) {
        error_setg(errp, "intel-iommu with x-flts=on needs an iommufd behind "
                   "each host device: add iommufd= to this device");
        return false;
    }

    if (hiod->caps.type != IOMMU_HW_INFO_TYPE_INTEL_VTD) {
        error_setg(errp, "host IOMMU is of type %u, intel-iommu with x-flts=on "
                   "needs type %u (Intel VT-d): use %s",
                   hiod->caps.type, IOMMU_HW_INFO_TYPE_INTEL_VTD, no_flts);
        return false;
    }

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        if (checks[i].wanted && !checks[i].host) {
            error_setg(errp, "%s: host IOMMU 0, intel-iommu with x-flts=on "
                       "needs 1 (host CAP 0x%" PRIx64 ", ECAP 0x%" PRIx64
                       "): use %s", checks[i].what, (uint64_t)vtd->cap_reg,
                       (uint64_t)vtd->ecap_reg, checks[i].advice);
            return false;
        }
    }

    return true;
}

/*
 * Devices
 */

/* Costs little, but a guest may ask for it very often */
static inline bool vtd_accel_unchanged(VTDAccel *accel,
                                       const VTDAccelBinding *b)
{
    vtd_accel_spend(&accel->work, 1);
    return vtd_accel_is_settled(b, accel->memory.epoch);
}

static void vtd_accel_refresh_rid(VTDAccelDevice *dev)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };

    if (dev->context_valid && vtd_accel_unchanged(dev->s->accel, &dev->rid)) {
        return;
    }
    vtd_accel_read_rid(dev, &t);
    vtd_accel_apply_rid(dev, &t);
}

/* Any PASID entry of the device may have changed */
static void vtd_accel_refresh(VTDAccelDevice *dev)
{
    vtd_accel_refresh_rid(dev);
    vtd_accel_start_walk(dev);
}

static void vtd_accel_retry(IOMMUFDBindingDevice *host)
{
    VTDAccelDevice *dev = container_of(host, VTDAccelDevice, host);

    vtd_accel_command_begin(dev->s);
    vtd_accel_refresh(dev);
    vtd_accel_command_end(dev->s, 0);
    qemu_bh_schedule(dev->s->accel->resume_bh);
}

static const IOMMUFDBindingOps vtd_accel_binding_ops = {
    .model = TYPE_INTEL_IOMMU_DEVICE,
    .retry = vtd_accel_retry,
};

static VTDAccelDevice *vtd_accel_find(IntelIOMMUState *s, PCIBus *bus,
                                      int devfn)
{
    VTDAccelDevice *dev;

    QLIST_FOREACH(dev, &s->accel->devices, next) {
        if (dev->host.bus == bus && dev->host.devfn == devfn) {
            return dev;
        }
    }
    return NULL;
}

void vtd_accel_add_device(IntelIOMMUState *s, PCIBus *bus, int devfn,
                          HostIOMMUDevice *hiod)
{
    HostIOMMUDeviceIOMMUFD *hiodi = HOST_IOMMU_DEVICE_IOMMUFD(hiod);
    VTDAccelDevice *dev = g_new0(VTDAccelDevice, 1);

    dev->s = s;
    dev->aliased_bus = hiod->aliased_bus;
    dev->aliased_devfn = hiod->aliased_devfn;
    iommufd_binding_device_init(&dev->host, &s->accel->bindings, bus, devfn,
                                hiodi);
    /* Its owner has attached it to guest memory */
    dev->rid.host.dev = &dev->host;
    dev->rid.host.hwpt_id = hiodi->hwpt_id;
    dev->rid.state = VTD_ACCEL_RAM;
    dev->can_request = vtd_accel_prq_can(dev);
    QLIST_INSERT_HEAD(&s->accel->devices, dev, next);

    vtd_accel_command_begin(s);
    vtd_accel_refresh(dev);
    vtd_accel_command_end(s, 0);
}

bool vtd_accel_can_request(IntelIOMMUState *s, PCIDevice *pdev)
{
    VTDAccelDevice *dev = vtd_accel_find(s, pci_get_bus(pdev), pdev->devfn);

    return dev && dev->can_request;
}

/* The fault queue goes with the last device that has used it */
static void vtd_accel_stop_requests(VTDAccel *accel)
{
    VTDAccelDevice *dev;

    QLIST_FOREACH(dev, &accel->devices, next) {
        if (dev->queued) {
            return;
        }
    }
    vtd_accel_prq_stop(accel);
}

void vtd_accel_del_device(IntelIOMMUState *s, PCIBus *bus, int devfn)
{
    VTDAccelDevice *dev = s->accel ? vtd_accel_find(s, bus, devfn) : NULL;

    if (!dev) {
        return;
    }

    /* Its owner detaches it next: it has no business in guest memory */
    vtd_accel_block_device(dev);
    vtd_accel_prq_forget_device(dev);
    vtd_accel_stop_walk(dev);
    QLIST_REMOVE(dev, next);
    iommufd_binding_device_cleanup(&dev->host);
    g_free(dev->legacy);
    g_free(dev);
    vtd_accel_stop_requests(s->accel);
    /* A command may have waited for this device to be blocked */
    qemu_bh_schedule(s->accel->resume_bh);
}

/*
 * What the guest says that changed
 */

void vtd_accel_refresh_all(IntelIOMMUState *s)
{
    VTDAccelDevice *dev;

    if (!s->accel) {
        return;
    }
    vtd_accel_new_epoch(&s->accel->memory);
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        dev->context_valid = false;
        vtd_accel_refresh(dev);
    }
    if (!vtd_accel_in_piece(&s->accel->work)) {
        /* Reset or load: no command is under way */
        s->accel->status_pending = 0;
        vtd_accel_finish(s->accel);
    }
}

void vtd_accel_context_device_invalidate(IntelIOMMUState *s,
                                         uint16_t source_id, uint16_t sid_mask)
{
    VTDAccelDevice *dev;

    if (!s->accel) {
        return;
    }
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        /* The number of a bus costs more, as the guest may change it */
        if (!((dev->aliased_devfn ^ source_id) & sid_mask & 0xff) &&
            !((vtd_accel_source_id(dev) ^ source_id) & sid_mask)) {
            dev->context_valid = false;
            vtd_accel_refresh(dev);
        }
    }
}

/* The guest may have changed the PASID entry of @pasid in any table */
static void vtd_accel_pasid_invalidate(VTDAccelDevice *dev, uint32_t pasid)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };
    const VTDAccelBinding *b;

    /* Without context it is not known what RID_PASID will be */
    if (!dev->context_valid || dev->rid_pasid == pasid) {
        vtd_accel_refresh_rid(dev);
    }
    if (!dev->context_valid || dev->rid_pasid == pasid) {
        return;
    }
    b = vtd_accel_find_pasid(dev, pasid, pasid);
    if (!(b && vtd_accel_unchanged(dev->s->accel, b)) &&
        vtd_accel_read_pasid(dev, pasid, b ? &b->settled : NULL, &t)) {
        vtd_accel_apply_pasid(dev, pasid, &t);
    }
}

/*
 * The descriptor names a domain and a PASID.  Which devices the guest has put
 * into that domain is in their entries, so these are looked at.
 */
static void vtd_accel_pasid_invalidate_all(VTDAccel *accel, uint32_t pasid)
{
    VTDAccelDevice *dev;

    QLIST_FOREACH(dev, &accel->devices, next) {
        if (dev->context_valid && dev->rid_pasid == pasid &&
            vtd_accel_unchanged(accel, &dev->rid)) {
            continue;
        }
        vtd_accel_pasid_invalidate(dev, pasid);
    }
}

bool vtd_accel_process_pasid_desc(IntelIOMMUState *s, uint64_t lo)
{
    unsigned int granularity = VTD_INV_DESC_PC_G(lo);
    VTDAccelDevice *dev;

    switch (granularity) {
    case VTD_INV_DESC_PC_DOMAIN:
        /* May announce new entries of the domain: look at all of them */
    case VTD_INV_DESC_PC_PASID:
    case VTD_INV_DESC_PC_GLOBAL:
        break;
    default:
        return false;
    }

    if (!s->accel) {
        return true;
    }
    if (granularity == VTD_INV_DESC_PC_PASID) {
        vtd_accel_pasid_invalidate_all(s->accel, VTD_INV_DESC_PC_PASID_ID(lo));
        return true;
    }
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        vtd_accel_refresh(dev);
    }
    return true;
}

/*
 * Invalidations of translations
 */

static void vtd_accel_queue_all(VTDAccelS1 *s1, void *opaque)
{
    VTDAccel *accel = opaque;

    vtd_accel_spend(&accel->work, 1);
    vtd_accel_s1_queue(s1, 0, VTD_ACCEL_AM_ALL, false);
}

void vtd_accel_process_piotlb_desc(IntelIOMMUState *s, const uint64_t *val)
{
    uint16_t domain_id = VTD_INV_DESC_PIOTLB_DID(val[0]);
    uint32_t pasid = VTD_INV_DESC_PIOTLB_PASID(val[0]);
    uint64_t addr = VTD_INV_DESC_PIOTLB_ADDR(val[1]);
    uint8_t am = VTD_INV_DESC_PIOTLB_AM(val[1]);
    bool ih = VTD_INV_DESC_PIOTLB_IH(val[1]);
    VTDAccelS1 *s1, *next;

    if (!s->accel) {
        return;
    }
    s->accel->descriptors++;
    if ((val[0] & VTD_INV_DESC_PIOTLB_G) == VTD_INV_DESC_PIOTLB_ALL_IN_PASID) {
        am = VTD_ACCEL_AM_ALL;
    }
    for (s1 = vtd_accel_s1_first(&s->accel->s1s, domain_id, pasid); s1;
         s1 = next) {
        next = s1->same_pasid;
        if (vtd_accel_s1_queue(s1, addr, am, ih)) {
            vtd_accel_flush(s->accel, s1);
        }
    }
}

void vtd_accel_iotlb_invalidate(IntelIOMMUState *s, uint16_t domain_id,
                                uint64_t addr, uint8_t am)
{
    VTDAccel *accel = s->accel;

    if (!accel) {
        return;
    }
    accel->descriptors++;
    if (!s->root_scalable && accel->legacy) {
        accel->legacy->invalidate(accel, domain_id, addr, am);
    }
    /*
     * @addr is one of the second stage: which first-stage entries lead to it
     * is not known, so all of the domain's go (VT-d 6.5.2.3).
     */
    vtd_accel_s1_foreach_domain(&accel->s1s, domain_id, vtd_accel_queue_all,
                                accel);
}

void vtd_accel_iotlb_invalidate_all(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (!accel) {
        return;
    }
    accel->descriptors++;
    if (!s->root_scalable && accel->legacy) {
        accel->legacy->invalidate(accel, -1, 0, VTD_ACCEL_AM_ALL);
    }
    vtd_accel_s1_foreach(&accel->s1s, vtd_accel_queue_all, accel);
}

bool vtd_accel_sync(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;
    VTDAccelDevice *dev;
    VTDAccelS1 *s1;

    if (!accel) {
        return true;
    }

    while ((s1 = QTAILQ_FIRST(&accel->s1s.pending))) {
        vtd_accel_flush(accel, s1);
    }
    if (vtd_accel_prq_has_answers(accel)) {
        vtd_accel_prq_flush(accel);
    }
    if (accel->legacy && accel->legacy->unfinished) {
        accel->legacy->finish(accel);
    }
    if (accel->bindings.num_stuck) {
        QLIST_FOREACH(dev, &accel->devices, next) {
            vtd_accel_unstick(dev);
        }
    }
    return !accel->bindings.num_stuck;
}

/*
 * Commands in pieces
 */

void vtd_accel_command_begin(IntelIOMMUState *s)
{
    if (s->accel) {
        vtd_accel_begin_piece(&s->accel->work);
    }
}

bool vtd_accel_command_end(IntelIOMMUState *s, uint32_t status)
{
    VTDAccel *accel = s->accel;
    bool done;

    if (!accel) {
        return true;
    }
    done = vtd_accel_do_piece(accel);
    if (!done || accel->bindings.num_stuck) {
        accel->status_pending |= status;
    }
    if (!done) {
        qemu_bh_schedule(accel->resume_bh);
    }
    vtd_accel_end_piece(&accel->work);
    return done;
}

uint32_t vtd_accel_status_pending(IntelIOMMUState *s)
{
    return s->accel ? s->accel->status_pending : 0;
}

static void vtd_accel_resume(void *opaque)
{
    VTDAccel *accel = opaque;

    /* A stopped guest's memory is not written; it goes on when it runs */
    if (runstate_is_running() && vtd_accel_go_on(accel)) {
        if (vtd_accel_sync(accel->s)) {
            accel->status_pending = 0;
        }
        vtd_accel_end_piece(&accel->work);
        accel->resume(accel->s);
    }
}

static void vtd_accel_vm_change(void *opaque, bool running, RunState state)
{
    VTDAccel *accel = opaque;

    vtd_accel_prq_poll(accel);
    if (running) {
        qemu_bh_schedule(accel->resume_bh);
    }
}

void vtd_accel_init(IntelIOMMUState *s, VTDAccelResume *resume)
{
    VTDAccel *accel = g_new0(VTDAccel, 1);

    address_space_init(&accel->as, &s->mr_nodmar, "vtd-nesting");
    vtd_accel_memory_init(&accel->memory);
    vtd_accel_s1_table_init(&accel->s1s, s->max_host_domains);
    QLIST_INIT(&accel->devices);
    accel->bindings.ops = &vtd_accel_binding_ops;
    accel->bindings.viommu = OBJECT(s);
    accel->s = s;
    accel->resume = resume;
    accel->resume_bh = qemu_bh_new_guarded(vtd_accel_resume, accel,
                                           &DEVICE(s)->mem_reentrancy_guard);
    vtd_accel_end_piece(&accel->work);
    qemu_add_vm_change_state_handler(vtd_accel_vm_change, accel);
    s->accel = accel;
}

static void vtd_accel_describe_device(VTDAccelDevice *dev, GString *str)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->host.hiodi);
    struct iommu_hw_info_vtd *vtd = &hiod->caps.vendor_caps.vtd;
    VTDAccelHwpt *hwpt = dev->rid.hwpt;

    g_string_append_printf(str, "%s: host CAP 0x%" PRIx64 " ECAP 0x%" PRIx64
                           ", ", hiod->name, (uint64_t)vtd->cap_reg,
                           (uint64_t)vtd->ecap_reg);
    switch (dev->rid.state) {
    case VTD_ACCEL_BLOCKED:
        g_string_append(str, "blocked");
        break;
    case VTD_ACCEL_RAM:
        g_string_append_printf(str, "guest memory (HWPT %u)",
                               dev->host.hiodi->hwpt_id);
        break;
    case VTD_ACCEL_TABLES:
        hwpt->key.table->ops->describe(hwpt, str);
        break;
    }
    if (dev->host.hiodi->pasid) {
        g_string_append_printf(str, ", PASIDs of %u bits, %u attached",
                               MIN(dev->s->pasid_bits,
                                   hiod->caps.max_pasid_log2),
                               dev->num_pasids);
    }
}

char *vtd_accel_describe(IntelIOMMUState *s)
{
    GString *str = g_string_new(NULL);
    VTDAccelDevice *dev;

    if (s->accel) {
        QLIST_FOREACH(dev, &s->accel->devices, next) {
            g_string_append(str, str->len ? "; " : "");
            vtd_accel_describe_device(dev, str);
        }
    }
    return g_string_free(str, false);
}
