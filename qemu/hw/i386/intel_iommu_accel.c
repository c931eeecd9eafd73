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
#include "qemu/timer.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "system/dma.h"
#include "system/iommufd.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_accel.h"
#include "intel_iommu_accel_s1.h"
#include "trace.h"

/* Host capability and extended capability bits (VT-d 11.4.2, 11.4.3) */
#define VTD_HOST_ECAP_NEST      (1ULL << 26)
#define VTD_HOST_ECAP_SRS       (1ULL << 31)
#define VTD_HOST_ECAP_SMTS      (1ULL << 43)
#define VTD_HOST_ECAP_SSTS      (1ULL << 46)
#define VTD_HOST_ECAP_FSTS      (1ULL << 47)
#define VTD_HOST_CAP_FS1GP      (1ULL << 56)

/* Scalable-mode context entry (VT-d 9.4) */
#define VTD_SM_CE_PDTS(val)     (((val) >> 9) & 7)

/* PASID entry (VT-d 9.6) */
#define VTD_PE_FLPM(pe)         (((pe)->val[2] >> 2) & 3)
#define VTD_PE_SRE              (1ULL << 0)
#define VTD_PE_WPE              (1ULL << 4)
#define VTD_PE_EAFE             (1ULL << 7)

/* PASID-cache invalidate descriptor (VT-d 6.5.2.2) */
#define VTD_PC_DESC_G(lo)       (((lo) >> 4) & 3)
#define VTD_PC_DESC_DOMAIN      0
#define VTD_PC_DESC_PASID       1
#define VTD_PC_DESC_GLOBAL      3
#define VTD_PC_DESC_PASID_ID(lo) (((lo) >> 32) & 0xfffff)

/* A device in reset is tried again after this time */
#define VTD_ACCEL_RETRY_MS      50

/* Messages that one device may cause: so many per slice of time */
#define VTD_ACCEL_LOG_SLICE_NS  (5 * NANOSECONDS_PER_SECOND)
#define VTD_ACCEL_LOG_BURST     10

typedef enum VTDAccelState {
    VTD_ACCEL_BLOCKED,
    VTD_ACCEL_S2,           /* guest memory, one to one */
    VTD_ACCEL_S1,           /* guest tables nested on guest memory */
} VTDAccelState;

/* What a guest's configuration means for one (device, PASID) */
typedef struct VTDAccelTarget {
    VTDAccelState state;
    const char *reason;     /* why blocked, NULL if the guest wants it so */
    VTDAccelS1Key key;      /* for VTD_ACCEL_S1 */
} VTDAccelTarget;

typedef struct VTDAccelDevice {
    IntelIOMMUState *s;
    HostIOMMUDeviceIOMMUFD *idev;
    PCIBus *bus;
    uint8_t devfn;

    /* Context cache: valid until the guest invalidates it */
    bool context_valid;
    uint32_t rid_pasid;
    uint32_t pasid_dir_num;
    dma_addr_t pasid_dir;

    /* What the host was told for RID_PASID */
    VTDAccelState state;
    VTDAccelS1 *s1;
    bool stuck;             /* could not even be detached */
    const char *reason;     /* last reason that was logged */
    bool busy;              /* being reset, which was logged */

    QEMUTimer *retry;
    int64_t log_start;      /* start of the slice of time, in ns */
    unsigned int logged;    /* messages in this slice */
    QLIST_ENTRY(VTDAccelDevice) next;
} VTDAccelDevice;

typedef struct VTDAccel {
    AddressSpace as;
    VTDAccelS1Table s1s;
    QLIST_HEAD(, VTDAccelDevice) devices;
    uint32_t stuck;         /* number of devices that are stuck */
} VTDAccel;

/* Guest tables are in memory: an access to a device fails (VT-d 3.4) */
static const MemTxAttrs vtd_accel_attrs = { .memory = 1 };

static const char *vtd_accel_name(VTDAccelDevice *dev)
{
    return HOST_IOMMU_DEVICE(dev->idev)->name;
}

static void G_GNUC_PRINTF(2, 3) vtd_accel_log(VTDAccelDevice *dev,
                                              const char *fmt, ...)
{
    g_autofree char *msg = NULL;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    va_list ap;

    if (!dev->logged || now - dev->log_start > VTD_ACCEL_LOG_SLICE_NS) {
        dev->log_start = now;
        dev->logged = 0;
    }
    if (dev->logged++ >= VTD_ACCEL_LOG_BURST) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_report("intel-iommu: %s, PASID 0x%x: %s", vtd_accel_name(dev),
                 dev->rid_pasid, msg);
}

void vtd_accel_init(IntelIOMMUState *s)
{
    VTDAccel *accel = g_new0(VTDAccel, 1);

    address_space_init(&accel->as, &s->mr_nodmar, "vtd-nesting");
    vtd_accel_s1_table_init(&accel->s1s);
    QLIST_INIT(&accel->devices);
    s->accel = accel;
}

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
        { s->ecap & VTD_ECAP_SRS, vtd->ecap_reg & VTD_HOST_ECAP_SRS,
          "supervisor requests (ECAP.SRS)", no_flts },
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
 * Guest tables
 */

/* The requester id under which the guest configures the device */
static uint16_t vtd_accel_source_id(VTDAccelDevice *dev)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->idev);

    return PCI_BUILD_BDF(pci_bus_num(hiod->aliased_bus), hiod->aliased_devfn);
}

static bool vtd_accel_read(hwaddr addr, uint64_t *val, unsigned int num)
{
    if (dma_memory_read(&address_space_memory, addr, val, num * sizeof(*val),
                        vtd_accel_attrs)) {
        return false;
    }
    for (unsigned int i = 0; i < num; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

static void vtd_accel_target_block(VTDAccelTarget *t, const char *reason)
{
    t->state = VTD_ACCEL_BLOCKED;
    t->reason = reason;
}

/*
 * Read the scalable-mode root and context entry into the device's context
 * cache (VT-d 3.4.3, 9.3, 9.4).  False with @t set if there is none to use.
 */
static bool vtd_accel_read_context(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    IntelIOMMUState *s = dev->s;
    uint16_t sid = vtd_accel_source_id(dev);
    uint8_t devfn = sid & 0xff;
    uint64_t re[2], ce[4], ctp;

    if (!vtd_accel_read(s->root + (sid >> 8) * sizeof(re), re, 2)) {
        vtd_accel_target_block(t, "root table is not in guest memory");
        return false;
    }

    /* The upper half of the entry is for device numbers 16 to 31 */
    ctp = re[devfn >= VTD_DEVFN_CHECK_MASK];
    if (!(ctp & VTD_ROOT_ENTRY_P)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }
    if (ctp & VTD_ROOT_ENTRY_RSVD(s->aw_bits)) {
        vtd_accel_target_block(t, "root entry has reserved bits set");
        return false;
    }

    ctp &= VTD_ROOT_ENTRY_CTP;
    ctp += (devfn & ~VTD_DEVFN_CHECK_MASK) * VTD_CTX_ENTRY_SCALABLE_SIZE;
    if (!vtd_accel_read(ctp, ce, 4)) {
        vtd_accel_target_block(t, "context table is not in guest memory");
        return false;
    }
    if (!(ce[0] & VTD_CONTEXT_ENTRY_P)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }
    if (ce[0] & VTD_SM_CONTEXT_ENTRY_RSVD_VAL0(s->aw_bits) ||
        ce[1] & VTD_SM_CONTEXT_ENTRY_RSVD_VAL1 || ce[2] || ce[3]) {
        vtd_accel_target_block(t, "context entry has reserved bits set");
        return false;
    }

    dev->pasid_dir = ce[0] & VTD_PASID_DIR_BASE_ADDR_MASK;
    dev->pasid_dir_num = 1u << (VTD_SM_CE_PDTS(ce[0]) + 7);
    dev->rid_pasid = ce[1] & VTD_SM_CONTEXT_ENTRY_RID2PASID_MASK;
    dev->context_valid = true;
    return true;
}

/* Read a PASID entry (VT-d 9.5, 9.6).  False with @t set if not present. */
static bool vtd_accel_read_pasid_entry(VTDAccelDevice *dev, uint32_t pasid,
                                       VTDPASIDEntry *pe, VTDAccelTarget *t)
{
    uint32_t index = VTD_PASID_DIR_INDEX(pasid);
    uint64_t dire;
    hwaddr addr;

    if (index >= dev->pasid_dir_num) {
        vtd_accel_target_block(t, "PASID is beyond the PASID directory");
        return false;
    }
    if (!vtd_accel_read(dev->pasid_dir + index * VTD_PASID_DIR_ENTRY_SIZE,
                        &dire, 1)) {
        vtd_accel_target_block(t, "PASID directory is not in guest memory");
        return false;
    }
    if (!(dire & 1)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }

    addr = (dire & VTD_PASID_TABLE_BASE_ADDR_MASK) +
           VTD_PASID_TABLE_INDEX(pasid) * VTD_PASID_ENTRY_SIZE;
    if (!vtd_accel_read(addr, pe->val, ARRAY_SIZE(pe->val))) {
        vtd_accel_target_block(t, "PASID table is not in guest memory");
        return false;
    }
    if (!(pe->val[0] & VTD_PASID_ENTRY_P)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }
    return true;
}

static void vtd_accel_target_first_stage(VTDAccelDevice *dev, uint32_t pasid,
                                         const VTDPASIDEntry *pe,
                                         VTDAccelTarget *t)
{
    /* Only 4-level tables are advertised */
    if (VTD_PE_FLPM(pe)) {
        vtd_accel_target_block(t, "PASID entry asks for first-stage tables "
                               "of more than 4 levels");
        return;
    }
    if (pe->val[2] & VTD_PE_SRE && !(dev->s->ecap & VTD_ECAP_SRS)) {
        vtd_accel_target_block(t, "PASID entry enables supervisor requests");
        return;
    }
    if (pe->val[2] & VTD_PE_EAFE) {
        vtd_accel_target_block(t, "PASID entry enables extended access flags");
        return;
    }

    t->state = VTD_ACCEL_S1;
    t->key.iommufd = dev->idev->iommufd;
    t->key.s2_hwpt_id = dev->idev->hwpt_id;
    t->key.pasid = pasid;
    t->key.domain_id = VTD_SM_PASID_ENTRY_DID(pe->val[1]);
    t->key.pgtbl_addr = pe->val[2] & VTD_SM_PASID_ENTRY_FLPTPTR;
    t->key.addr_width = VTD_HOST_AW_48BIT;
    t->key.flags = (pe->val[2] & VTD_PE_SRE ? IOMMU_VTD_S1_SRE : 0) |
                   (pe->val[2] & VTD_PE_WPE ? IOMMU_VTD_S1_WPE : 0);
}

/* What the guest wants for requests without PASID of a device */
static void vtd_accel_read_target(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    IntelIOMMUState *s = dev->s;
    VTDPASIDEntry pe;

    if (!s->dmar_enabled) {
        t->state = VTD_ACCEL_S2;
        return;
    }
    if (!s->root_scalable) {
        vtd_accel_target_block(t, "the guest uses legacy mode, host devices "
                               "need scalable mode behind x-flts=on");
        return;
    }
    if ((!dev->context_valid && !vtd_accel_read_context(dev, t)) ||
        !vtd_accel_read_pasid_entry(dev, dev->rid_pasid, &pe, t)) {
        return;
    }

    switch (pe.val[0] & VTD_SM_PASID_ENTRY_PGTT) {
    case VTD_SM_PASID_ENTRY_FLT:
        vtd_accel_target_first_stage(dev, dev->rid_pasid, &pe, t);
        break;
    case VTD_SM_PASID_ENTRY_PT:
        if (s->ecap & VTD_ECAP_PT) {
            t->state = VTD_ACCEL_S2;
            break;
        }
        /* fallthrough */
    default:
        vtd_accel_target_block(t, "PASID entry has a translation type that "
                               "is not advertised");
        break;
    }
}

/*
 * The host side
 */

static void vtd_accel_drop_s1(VTDAccelDevice *dev)
{
    if (dev->s1) {
        vtd_accel_s1_put(&dev->s->accel->s1s, dev->s1);
        dev->s1 = NULL;
    }
}

static void vtd_accel_set_stuck(VTDAccelDevice *dev, bool stuck)
{
    VTDAccel *accel = dev->s->accel;

    accel->stuck += stuck - dev->stuck;
    dev->stuck = stuck;
}

static void vtd_accel_block(VTDAccelDevice *dev)
{
    Error *err = NULL;

    if (dev->state == VTD_ACCEL_BLOCKED && !dev->stuck) {
        return;
    }

    trace_vtd_accel_block(vtd_accel_name(dev), dev->rid_pasid);
    if (host_iommu_device_iommufd_detach_hwpt(dev->idev, &err)) {
        vtd_accel_log(dev, "cannot block its DMA: %s", error_get_pretty(err));
        error_free(err);
        vtd_accel_set_stuck(dev, true);
        return;
    }
    vtd_accel_set_stuck(dev, false);
    dev->state = VTD_ACCEL_BLOCKED;
    vtd_accel_drop_s1(dev);
}

/*
 * Attach, and block the device if that fails: after a failure the hardware may
 * be blocked while the host's books still show the previous HWPT, so that
 * attaching that one again would do nothing.
 */
static int vtd_accel_attach(VTDAccelDevice *dev, uint32_t hwpt_id,
                            const char *what, bool may_fail)
{
    Error *err = NULL;
    int ret = host_iommu_device_iommufd_attach_hwpt(dev->idev, hwpt_id, &err);

    if (!ret) {
        vtd_accel_set_stuck(dev, false);
        dev->reason = NULL;
        dev->busy = false;
        return 0;
    }

    if (!may_fail || ret != -EINVAL) {
        if (ret != -EBUSY || !dev->busy) {
            vtd_accel_log(dev, "cannot attach its %s: %s; DMA blocked", what,
                          error_get_pretty(err));
        }
        vtd_accel_block(dev);
        dev->busy = ret == -EBUSY;
        if (dev->busy) {
            timer_mod(dev->retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                      VTD_ACCEL_RETRY_MS);
        }
    }
    error_free(err);
    return ret;
}

static void vtd_accel_attach_s2(VTDAccelDevice *dev)
{
    if (!vtd_accel_attach(dev, dev->idev->hwpt_id, "stage-2 tables", false)) {
        trace_vtd_accel_attach_s2(vtd_accel_name(dev), dev->idev->hwpt_id);
        dev->state = VTD_ACCEL_S2;
        vtd_accel_drop_s1(dev);
    }
}

static void vtd_accel_attached_s1(VTDAccelDevice *dev, VTDAccelS1 *s1)
{
    trace_vtd_accel_attach_s1(vtd_accel_name(dev), s1->key.pasid,
                              s1->key.domain_id, s1->hwpt_id,
                              s1->key.s2_hwpt_id);
    vtd_accel_drop_s1(dev);
    dev->s1 = s1;
    dev->state = VTD_ACCEL_S1;
}

static void vtd_accel_attach_s1(VTDAccelDevice *dev, const VTDAccelS1Key *key)
{
    VTDAccelS1Table *s1s = &dev->s->accel->s1s;
    Error *err = NULL;
    VTDAccelS1 *s1;

    /* Share what another device of the domain already has */
    for (s1 = vtd_accel_s1_first(s1s, key->domain_id, key->pasid); s1;
         s1 = s1->same_pasid) {
        int ret;

        if (memcmp(&s1->key, key, sizeof(*key))) {
            continue;
        }
        ret = vtd_accel_attach(dev, s1->hwpt_id, "first-stage tables", true);
        if (!ret) {
            s1->users++;
            vtd_accel_attached_s1(dev, s1);
            return;
        }
        if (ret != -EINVAL) {
            return;
        }
        /* Another IOMMU unit that cannot use it: the device gets its own */
    }

    s1 = vtd_accel_s1_new(s1s, key, dev->idev->devid, &err);
    if (!s1) {
        vtd_accel_log(dev, "host refuses first-stage table at 0x%" PRIx64
                      ": %s; DMA blocked", key->pgtbl_addr,
                      error_get_pretty(err));
        error_free(err);
        vtd_accel_block(dev);
        return;
    }
    if (vtd_accel_attach(dev, s1->hwpt_id, "first-stage tables", false)) {
        vtd_accel_s1_put(s1s, s1);
        return;
    }
    vtd_accel_attached_s1(dev, s1);
}

static void vtd_accel_refresh(VTDAccelDevice *dev)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };

    vtd_accel_read_target(dev, &t);

    switch (t.state) {
    case VTD_ACCEL_S2:
        if (dev->state != VTD_ACCEL_S2 || dev->stuck) {
            vtd_accel_attach_s2(dev);
        }
        break;
    case VTD_ACCEL_S1:
        if (dev->state != VTD_ACCEL_S1 || dev->stuck ||
            memcmp(&dev->s1->key, &t.key, sizeof(t.key))) {
            vtd_accel_attach_s1(dev, &t.key);
        }
        break;
    case VTD_ACCEL_BLOCKED:
        vtd_accel_block(dev);
        if (t.reason && dev->reason != t.reason) {
            vtd_accel_log(dev, "%s; DMA blocked", t.reason);
        }
        dev->reason = t.reason;
        break;
    }
}

static void vtd_accel_retry(void *opaque)
{
    vtd_accel_refresh(opaque);
}

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
    VTDAccelDevice *dev = g_new0(VTDAccelDevice, 1);

    dev->s = s;
    dev->idev = HOST_IOMMU_DEVICE_IOMMUFD(hiod);
    dev->bus = bus;
    dev->devfn = devfn;
    /* Its owner has attached it to guest memory */
    dev->state = VTD_ACCEL_S2;
    dev->retry = timer_new_ms(QEMU_CLOCK_REALTIME, vtd_accel_retry, dev);
    QLIST_INSERT_HEAD(&s->accel->devices, dev, next);

    vtd_accel_refresh(dev);
}

void vtd_accel_del_device(IntelIOMMUState *s, PCIBus *bus, int devfn)
{
    VTDAccelDevice *dev = s->accel ? vtd_accel_find(s, bus, devfn) : NULL;

    if (!dev) {
        return;
    }

    /* Its owner detaches it next: it has no business in guest memory */
    vtd_accel_block(dev);
    vtd_accel_set_stuck(dev, false);
    vtd_accel_drop_s1(dev);
    QLIST_REMOVE(dev, next);
    timer_free(dev->retry);
    g_free(dev);
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
        /* Without context it is not known what RID_PASID will be */
        if (!selective || !dev->context_valid ||
            dev->rid_pasid == VTD_PC_DESC_PASID_ID(lo)) {
            vtd_accel_refresh(dev);
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

/* Give the users of @s1 a fresh HWPT in place of one that may be stale */
static void vtd_accel_replace_s1(IntelIOMMUState *s, VTDAccelS1 *s1)
{
    VTDAccelS1Table *s1s = &s->accel->s1s;
    VTDAccelS1 *fresh = NULL;
    VTDAccelDevice *dev;
    Error *err = NULL;
    bool failed = false;

    s1->users++;
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        if (dev->s1 != s1) {
            continue;
        }
        if (!fresh && !failed) {
            fresh = vtd_accel_s1_new(s1s, &s1->key, dev->idev->devid, &err);
            failed = !fresh;
        }
        if (failed) {
            vtd_accel_log(dev, "cannot replace the HWPT that the host refuses "
                          "to invalidate: %s; DMA blocked",
                          error_get_pretty(err));
            vtd_accel_block(dev);
        } else if (!vtd_accel_attach(dev, fresh->hwpt_id,
                                     "replaced first-stage tables", false)) {
            fresh->users++;
            vtd_accel_attached_s1(dev, fresh);
        }
    }
    error_free(err);
    if (fresh) {
        vtd_accel_s1_put(s1s, fresh);
    }
    vtd_accel_s1_put(s1s, s1);
}

static void vtd_accel_flush(IntelIOMMUState *s, VTDAccelS1 *s1)
{
    Error *err = NULL;

    if (!vtd_accel_s1_flush(&s->accel->s1s, s1, &err)) {
        warn_report_once("intel-iommu: %s; replacing the HWPT",
                         error_get_pretty(err));
        error_free(err);
        vtd_accel_replace_s1(s, s1);
    }
}

static void vtd_accel_queue(VTDAccelS1 *s1, void *opaque)
{
    VTDAccelRange *r = opaque;

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
            vtd_accel_flush(s, s1);
        }
    }
}

void vtd_accel_iotlb_invalidate(IntelIOMMUState *s, uint16_t domain_id,
                                uint64_t addr, uint8_t am)
{
    VTDAccelRange r = { .s = s, .addr = addr, .am = am };

    if (s->accel) {
        vtd_accel_s1_foreach_domain(&s->accel->s1s, domain_id, vtd_accel_queue,
                                    &r);
    }
}

void vtd_accel_iotlb_invalidate_all(IntelIOMMUState *s)
{
    VTDAccelRange r = { .s = s, .am = VTD_ACCEL_AM_ALL };

    if (s->accel) {
        vtd_accel_s1_foreach(&s->accel->s1s, vtd_accel_queue, &r);
    }
}

bool vtd_accel_sync(IntelIOMMUState *s)
{
    VTDAccelDevice *dev;
    VTDAccelS1 *s1;

    if (!s->accel) {
        return true;
    }

    while ((s1 = QTAILQ_FIRST(&s->accel->s1s.pending))) {
        vtd_accel_flush(s, s1);
    }

    if (s->accel->stuck) {
        QLIST_FOREACH(dev, &s->accel->devices, next) {
            if (dev->stuck) {
                vtd_accel_block(dev);
            }
        }
    }
    return !s->accel->stuck;
}

char *vtd_accel_describe(IntelIOMMUState *s)
{
    GString *str = g_string_new(NULL);
    VTDAccelDevice *dev;

    if (!s->accel) {
        return g_string_free(str, false);
    }
    QLIST_FOREACH(dev, &s->accel->devices, next) {
        HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->idev);
        struct iommu_hw_info_vtd *vtd = &hiod->caps.vendor_caps.vtd;

        g_string_append_printf(str, "%s%s: host CAP 0x%" PRIx64 " ECAP 0x%"
                               PRIx64 ", ", str->len ? "; " : "",
                               vtd_accel_name(dev), (uint64_t)vtd->cap_reg,
                               (uint64_t)vtd->ecap_reg);
        switch (dev->state) {
        case VTD_ACCEL_BLOCKED:
            g_string_append(str, "blocked");
            break;
        case VTD_ACCEL_S2:
            g_string_append_printf(str, "guest memory (HWPT %u)",
                                   dev->idev->hwpt_id);
            break;
        case VTD_ACCEL_S1:
            g_string_append_printf(str, "first-stage table 0x%" PRIx64
                                   ", %u bits, domain %u (HWPT %u on %u)",
                                   dev->s1->key.pgtbl_addr,
                                   dev->s1->key.addr_width,
                                   dev->s1->key.domain_id, dev->s1->hwpt_id,
                                   dev->s1->key.s2_hwpt_id);
            break;
        }
    }
    return g_string_free(str, false);
}
