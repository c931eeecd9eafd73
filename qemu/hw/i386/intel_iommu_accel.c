/*
 * Intel VT-d: first-stage tables owned by the guest, walked by the host IOMMU
 *
 * For each host device this file keeps what the guest's PASID entry asked for
 * and what the host was told, and brings the host in line whenever the guest
 * says that something changed.  Whatever goes wrong, the device's DMA is
 * blocked; the next invalidation that concerns it tries again.
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
#include "intel_iommu_accel_internal.h"
#include "trace.h"

/* Host capability and extended capability bits (VT-d 11.4.2, 11.4.3) */
#define VTD_HOST_ECAP_SC        (1ULL << 7)
#define VTD_HOST_ECAP_NEST      (1ULL << 26)
#define VTD_HOST_ECAP_SRS       (1ULL << 31)
#define VTD_HOST_ECAP_SMTS      (1ULL << 43)
#define VTD_HOST_ECAP_SSTS      (1ULL << 46)
#define VTD_HOST_ECAP_FSTS      (1ULL << 47)
#define VTD_HOST_CAP_FS1GP      (1ULL << 56)
#define VTD_HOST_CAP_FS5LP      (1ULL << 60)

/* PASID-cache invalidate descriptor (VT-d 6.5.2.2) */
#define VTD_PC_DESC_G(lo)       (((lo) >> 4) & 3)
#define VTD_PC_DESC_DOMAIN      0
#define VTD_PC_DESC_PASID       1
#define VTD_PC_DESC_GLOBAL      3
#define VTD_PC_DESC_PASID_ID(lo) (((lo) >> 32) & 0xfffff)

/*
 * Work that one piece of the invalidation queue may cause, in guest reads:
 * what is left is done from the main loop, which stays responsive.
 */
#define VTD_ACCEL_WORK_MAX      32768
/* S1 HWPTs with invalidations that may wait for a wait descriptor */
#define VTD_ACCEL_PENDING_MAX   (VTD_ACCEL_WORK_MAX / VTD_ACCEL_IOCTL_WORK)

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
        { true, vtd->ecap_reg & VTD_HOST_ECAP_SMTS, "scalable mode (ECAP.SMTS)",
          no_flts },
        { true, vtd->ecap_reg & VTD_HOST_ECAP_NEST,
          "nested translation (ECAP.NEST)", no_flts },
        { true, vtd->ecap_reg & VTD_HOST_ECAP_FSTS,
          "first-stage translation (ECAP.FSTS)", no_flts },
        { true, vtd->ecap_reg & VTD_HOST_ECAP_SSTS,
          "second-stage translation (ECAP.SSTS)", no_flts },
        /* The guest may build whatever the vIOMMU advertises */
        { s->cap & VTD_CAP_FS1GP, vtd->cap_reg & VTD_HOST_CAP_FS1GP,
          "1-GiB first-stage pages (CAP.FS1GP)", "fs1gp=off" },
        { s->cap & VTD_CAP_FS5LP, vtd->cap_reg & VTD_HOST_CAP_FS5LP,
          "5-level first-stage tables (CAP.FS5LP)", "aw-bits=48" },
        { s->ecap & VTD_ECAP_SRS, vtd->ecap_reg & VTD_HOST_ECAP_SRS,
          "supervisor requests (ECAP.SRS)", no_flts },
        { s->ecap & VTD_ECAP_SC, vtd->ecap_reg & VTD_HOST_ECAP_SC,
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

static void vtd_accel_refresh_rid(VTDAccelDevice *dev)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };

    vtd_accel_read_rid(dev, &t);
    vtd_accel_apply_rid(dev, &t);
}

static void vtd_accel_refresh_pasid(VTDAccelDevice *dev, uint32_t pasid)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };

    if (pasid < vtd_accel_num_pasids(dev)) {
        vtd_accel_read_pasid(dev, pasid, &t);
        vtd_accel_apply_pasid(dev, pasid,
                              vtd_accel_find_pasid(dev, pasid, pasid), &t);
    }
}

static void vtd_accel_set_walking(VTDAccelDevice *dev, bool walking)
{
    dev->s->accel->num_walking += walking - dev->walking;
    dev->walking = walking;
    dev->walk_pasid = 0;
}

/* Go on with a walk.  False if the work of this piece is used up. */
static bool vtd_accel_go_on(VTDAccelDevice *dev)
{
    if (!vtd_accel_walk(dev)) {
        return false;
    }
    vtd_accel_set_walking(dev, false);
    return true;
}

/*
 * Any entry of the device may have changed.  The other PASIDs are left to
 * vtd_accel_finish_walks().
 */
static void vtd_accel_refresh(VTDAccelDevice *dev)
{
    vtd_accel_refresh_rid(dev);

    /* Most devices have no PASIDs: there is nothing to walk for */
    if (vtd_accel_num_pasids(dev) || dev->num_pasids) {
        vtd_accel_set_walking(dev, true);
    }
}

/*
 * Work in pieces
 */

/* Take devices off shadows that failed, and try again what is blocked */
static void vtd_accel_legacy_repair(VTDAccel *accel)
{
    VTDAccelDevice *dev;

    accel->shadows.repair = false;
    QLIST_FOREACH(dev, &accel->devices, next) {
        VTDAccelShadow *shadow = dev->rid.shadow;

        if (shadow && shadow->failure && !shadow->complete) {
            /* A new copy would come to the same end */
            vtd_accel_abandon_shadow(dev);
        } else if (dev->again || (shadow && shadow->failure)) {
            dev->again = false;
            vtd_accel_refresh_rid(dev);
        }
    }
}

/* Complete what shadows have left.  False if that is too much at once. */
static bool vtd_accel_legacy_finish(VTDAccel *accel)
{
    while (vtd_accel_legacy_continue(&accel->shadows)) {
        if (!accel->shadows.repair) {
            return true;
        }
        vtd_accel_legacy_repair(accel);
    }
    return false;
}

static void vtd_accel_end_piece(VTDAccel *accel)
{
    accel->in_piece = false;
    accel->work_left = VTD_ACCEL_WORK_MAX;
}

/* Do what is left.  False if that is too much for one piece. */
static bool vtd_accel_finish_walks(VTDAccel *accel)
{
    VTDAccelDevice *dev;

    if (!vtd_accel_legacy_finish(accel)) {
        return false;
    }
    if (accel->num_walking) {
        QLIST_FOREACH(dev, &accel->devices, next) {
            if (dev->walking && !vtd_accel_go_on(dev)) {
                return false;
            }
        }
    }
    if (!accel->bindings.num_stuck) {
        accel->status_pending = 0;
    }
    return true;
}

/*
 * The same, and keep what vtd_accel_sync() has to send at once within bounds.
 * False if the piece comes to its end.
 */
static bool vtd_accel_do_piece(VTDAccel *accel)
{
    if (!vtd_accel_finish_walks(accel)) {
        return false;
    }
    while (accel->s1s.num_pending > VTD_ACCEL_PENDING_MAX &&
           accel->work_left > 0) {
        vtd_accel_flush(accel, QTAILQ_FIRST(&accel->s1s.pending));
    }
    return accel->work_left > 0;
}

void vtd_accel_command_begin(IntelIOMMUState *s)
{
    if (s->accel) {
        s->accel->in_piece = true;
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
    vtd_accel_end_piece(accel);
    return done;
}

uint32_t vtd_accel_status_pending(IntelIOMMUState *s)
{
    return s->accel ? s->accel->status_pending : 0;
}

static void vtd_accel_retry(IOMMUFDBindingDevice *host)
{
    VTDAccelDevice *dev = container_of(host, VTDAccelDevice, host);

    vtd_accel_command_begin(dev->s);
    vtd_accel_refresh_rid(dev);
    vtd_accel_set_walking(dev, true);
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
        if (dev->bus == bus && dev->devfn == devfn) {
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
    dev->bus = bus;
    dev->devfn = devfn;
    iommufd_binding_device_init(&dev->host, &s->accel->bindings, hiodi);
    /* Its owner has attached it to guest memory */
    dev->rid.host.dev = &dev->host;
    dev->rid.host.hwpt_id = hiodi->hwpt_id;
    dev->rid.state = VTD_ACCEL_S2;
    QLIST_INSERT_HEAD(&s->accel->devices, dev, next);

    vtd_accel_command_begin(s);
    vtd_accel_refresh(dev);
    vtd_accel_command_end(s, 0);
}

void vtd_accel_del_device(IntelIOMMUState *s, PCIBus *bus, int devfn)
{
    VTDAccelDevice *dev = s->accel ? vtd_accel_find(s, bus, devfn) : NULL;

    if (!dev) {
        return;
    }

    /* Its owner detaches it next: it has no business in guest memory */
    vtd_accel_block_device(dev);
    vtd_accel_set_walking(dev, false);
    QLIST_REMOVE(dev, next);
    iommufd_binding_device_cleanup(&dev->host);
    g_free(dev);
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
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        dev->context_valid = false;
        vtd_accel_refresh(dev);
    }
    if (!s->accel->in_piece) {
        /* Reset or load: no command is under way */
        s->accel->status_pending = 0;
        vtd_accel_finish_walks(s->accel);
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
        if (!((vtd_accel_source_id(dev) ^ source_id) & sid_mask)) {
            dev->context_valid = false;
            vtd_accel_refresh(dev);
        }
    }
}

bool vtd_accel_process_pasid_desc(IntelIOMMUState *s, uint64_t lo)
{
    uint32_t pasid = VTD_PC_DESC_PASID_ID(lo);
    VTDAccelDevice *dev;
    bool selective = false;

    switch (VTD_PC_DESC_G(lo)) {
    case VTD_PC_DESC_PASID:
        selective = true;
        break;
    case VTD_PC_DESC_DOMAIN:
        /* May announce new entries of the domain: look at all of them */
    case VTD_PC_DESC_GLOBAL:
        break;
    default:
        return false;
    }

    if (!s->accel) {
        return true;
    }
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        if (!selective) {
            vtd_accel_refresh(dev);
            continue;
        }
        /* Without context it is not known what RID_PASID will be */
        if (!dev->context_valid || dev->rid_pasid == pasid) {
            vtd_accel_refresh_rid(dev);
        }
        if (dev->context_valid && dev->rid_pasid != pasid) {
            vtd_accel_refresh_pasid(dev, pasid);
        }
    }
    return true;
}

/*
 * Invalidations of translations
 */

typedef struct VTDAccelRange {
    IntelIOMMUState *s;
    uint64_t addr;
    uint8_t am;
    bool ih;
} VTDAccelRange;

static void vtd_accel_queue(VTDAccelS1 *s1, void *opaque)
{
    VTDAccelRange *r = opaque;

    r->s->accel->work_left--;
    if (vtd_accel_s1_queue(&r->s->accel->s1s, s1, r->addr, r->am, r->ih)) {
        /* The caller walks the list that a flush may change */
        vtd_accel_s1_queue(&r->s->accel->s1s, s1, 0, VTD_ACCEL_AM_ALL, false);
    }
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
    if ((val[0] & VTD_INV_DESC_PIOTLB_G) == VTD_INV_DESC_PIOTLB_ALL_IN_PASID) {
        am = VTD_ACCEL_AM_ALL;
    }
    for (s1 = vtd_accel_s1_first(&s->accel->s1s, domain_id, pasid); s1;
         s1 = next) {
        next = s1->same_pasid;
        if (vtd_accel_s1_queue(&s->accel->s1s, s1, addr, am, ih)) {
            vtd_accel_flush(s->accel, s1);
        }
    }
}

/* The same in legacy mode; @domain_id as for vtd_accel_legacy_invalidate() */
static void vtd_accel_legacy_iotlb(VTDAccel *accel, int domain_id,
                                   uint64_t addr, uint8_t am)
{
    VTDAccelDevice *dev;

    vtd_accel_legacy_invalidate(&accel->shadows, domain_id, addr, am);
    QLIST_FOREACH(dev, &accel->devices, next) {
        if (dev->rid.state == VTD_ACCEL_BLOCKED && dev->context_valid &&
            (domain_id < 0 || domain_id == dev->legacy.domain_id)) {
            dev->again = true;
            accel->shadows.repair = true;
        }
    }
}

void vtd_accel_iotlb_invalidate(IntelIOMMUState *s, uint16_t domain_id,
                                uint64_t addr, uint8_t am)
{
    /*
     * @addr is one of the second stage: which first-stage entries lead to it
     * is not known, so all of the domain's go (VT-d 6.5.2.3).
     */
    VTDAccelRange r = { .s = s, .am = VTD_ACCEL_AM_ALL };

    if (!s->accel) {
        return;
    }
    if (!s->root_scalable) {
        vtd_accel_legacy_iotlb(s->accel, domain_id, addr, am);
    }
    vtd_accel_s1_foreach_domain(&s->accel->s1s, domain_id, vtd_accel_queue, &r);
}

void vtd_accel_iotlb_invalidate_all(IntelIOMMUState *s)
{
    VTDAccelRange r = { .s = s, .am = VTD_ACCEL_AM_ALL };

    if (!s->accel) {
        return;
    }
    if (!s->root_scalable) {
        vtd_accel_legacy_iotlb(s->accel, -1, 0, VTD_ACCEL_AM_ALL);
    }
    vtd_accel_s1_foreach(&s->accel->s1s, vtd_accel_queue, &r);
}

bool vtd_accel_sync(IntelIOMMUState *s)
{
    VTDAccelDevice *dev;
    VTDAccelS1 *s1;

    if (!s->accel) {
        return true;
    }

    while ((s1 = QTAILQ_FIRST(&s->accel->s1s.pending))) {
        vtd_accel_flush(s->accel, s1);
    }

    vtd_accel_legacy_finish(s->accel);

    if (s->accel->bindings.num_stuck) {
        QLIST_FOREACH(dev, &s->accel->devices, next) {
            vtd_accel_unstick(dev);
        }
    }
    return !s->accel->bindings.num_stuck;
}

/*
 * The invalidation queue in pieces
 */

bool vtd_accel_queue_step(IntelIOMMUState *s)
{
    VTDAccel *accel = s->accel;

    if (!accel) {
        return true;
    }

    accel->in_piece = true;
    accel->work_left--;
    if (vtd_accel_do_piece(accel)) {
        return true;
    }

    vtd_accel_end_piece(accel);
    trace_vtd_accel_queue_yield(s->iq_head);
    qemu_bh_schedule(accel->resume_bh);
    return false;
}

void vtd_accel_queue_end(IntelIOMMUState *s)
{
    if (s->accel) {
        s->accel->in_piece = false;
        vtd_accel_finish_walks(s->accel);
        vtd_accel_sync(s);
        vtd_accel_end_piece(s->accel);
    }
}

static void vtd_accel_resume(void *opaque)
{
    VTDAccel *accel = opaque;

    /* A stopped guest's memory is not written; it goes on when it runs */
    if (runstate_is_running() && vtd_accel_queue_step(accel->s)) {
        if (vtd_accel_sync(accel->s)) {
            accel->status_pending = 0;
        }
        vtd_accel_end_piece(accel);
        accel->resume(accel->s);
    }
}

static void vtd_accel_vm_change(void *opaque, bool running, RunState state)
{
    VTDAccel *accel = opaque;

    if (running) {
        qemu_bh_schedule(accel->resume_bh);
    }
}

void vtd_accel_init(IntelIOMMUState *s, VTDAccelResume *resume)
{
    VTDAccel *accel = g_new0(VTDAccel, 1);

    address_space_init(&accel->as, &s->mr_nodmar, "vtd-nesting");
    vtd_accel_s1_table_init(&accel->s1s);
    vtd_accel_legacy_init(&accel->shadows, s);
    QLIST_INIT(&accel->devices);
    accel->bindings.ops = &vtd_accel_binding_ops;
    accel->s = s;
    accel->resume = resume;
    accel->resume_bh = qemu_bh_new_guarded(vtd_accel_resume, accel,
                                           &DEVICE(s)->mem_reentrancy_guard);
    vtd_accel_end_piece(accel);
    qemu_add_vm_change_state_handler(vtd_accel_vm_change, accel);
    s->accel = accel;
}

char *vtd_accel_describe(IntelIOMMUState *s)
{
    GString *str = g_string_new(NULL);
    VTDAccelDevice *dev;

    if (!s->accel) {
        return g_string_free(str, false);
    }
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->host.hiodi);
        struct iommu_hw_info_vtd *vtd = &hiod->caps.vendor_caps.vtd;
        VTDAccelShadow *shadow = dev->rid.shadow;
        VTDAccelS1 *s1 = dev->rid.s1;

        g_string_append_printf(str, "%s%s: host CAP 0x%" PRIx64 " ECAP 0x%"
                               PRIx64 ", ", str->len ? "; " : "",
                               vtd_accel_name(dev), (uint64_t)vtd->cap_reg,
                               (uint64_t)vtd->ecap_reg);
        switch (dev->rid.state) {
        case VTD_ACCEL_BLOCKED:
            g_string_append(str, "blocked");
            break;
        case VTD_ACCEL_S2:
            g_string_append_printf(str, "guest memory (HWPT %u)",
                                   dev->host.hiodi->hwpt_id);
            break;
        case VTD_ACCEL_S1:
            g_string_append_printf(str, "first-stage table 0x%" PRIx64
                                   ", %u bits, domain %u (HWPT %u on %u)",
                                   s1->key.pgtbl_addr, s1->key.addr_width,
                                   s1->key.domain_id, s1->hwpt_id,
                                   s1->key.s2_hwpt_id);
            break;
        case VTD_ACCEL_SHADOW:
            g_string_append_printf(str, "copy of second-level table 0x%" PRIx64
                                   ", %u levels, domain %u (HWPT %u)",
                                   shadow->key.pgtbl_addr, shadow->key.levels,
                                   shadow->key.domain_id, shadow->hwpt_id);
            break;
        }
        if (dev->host.hiodi->pasid) {
            g_string_append_printf(str, ", PASIDs of %u bits, %u attached",
                                   MIN(s->pasid_bits,
                                       hiod->caps.max_pasid_log2),
                                   dev->num_pasids);
        }
    }
    return g_string_free(str, false);
}
