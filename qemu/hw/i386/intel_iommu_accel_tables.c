/*
 * Intel VT-d: reading the guest's tables for host devices
 *
 * What the root, context and PASID tables of the guest mean for a host device
 * and, for a change that may concern any PASID, a walk over the present entries
 * of the PASID directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "system/dma.h"
#include "system/iommufd.h"
#include "intel_iommu_accel_internal.h"

/* Scalable-mode context entry (VT-d 9.4) */
#define VTD_SM_CE_PASIDE        (1ULL << 3)
#define VTD_SM_CE_PDTS(val)     (((val) >> 9) & 7)

/* PASID entry (VT-d 9.6) */
#define VTD_PE_LEVELS(pe)       (4 + (((pe)->val[2] >> 2) & 3))
#define VTD_PE_SRE              (1ULL << 0)
#define VTD_PE_WPE              (1ULL << 4)
#define VTD_PE_EAFE             (1ULL << 7)

/* PASIDs of one PASID table, and directory entries that are read at once */
#define VTD_PASID_TABLE_NUM     (VTD_PASID_TABLE_BITS_MASK + 1)
#define VTD_PASID_DIR_CHUNK     (VTD_PAGE_SIZE / VTD_PASID_DIR_ENTRY_SIZE)

/* Guest tables are in memory: an access to a device fails (VT-d 3.4) */
static const MemTxAttrs vtd_accel_attrs = { .memory = 1 };

uint16_t vtd_accel_source_id(VTDAccelDevice *dev)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->host.hiodi);

    return PCI_BUILD_BDF(pci_bus_num(hiod->aliased_bus), hiod->aliased_devfn);
}

static bool vtd_accel_read(VTDAccelDevice *dev, hwaddr addr, uint64_t *val,
                           unsigned int num)
{
    dev->s->accel->work_left -= 1 + num / 64;
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

    if (!vtd_accel_read(dev, s->root + (sid >> 8) * sizeof(re), re, 2)) {
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
    if (!vtd_accel_read(dev, ctp, ce, 4)) {
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

    dev->pasid_enabled = ce[0] & VTD_SM_CE_PASIDE;
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
    if (!vtd_accel_read(dev, dev->pasid_dir +
                        index * VTD_PASID_DIR_ENTRY_SIZE, &dire, 1)) {
        vtd_accel_target_block(t, "PASID directory is not in guest memory");
        return false;
    }
    if (!(dire & 1)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }

    addr = (dire & VTD_PASID_TABLE_BASE_ADDR_MASK) +
           VTD_PASID_TABLE_INDEX(pasid) * VTD_PASID_ENTRY_SIZE;
    if (!vtd_accel_read(dev, addr, pe->val, ARRAY_SIZE(pe->val))) {
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
    unsigned int levels = VTD_PE_LEVELS(pe);

    if (levels > (dev->s->cap & VTD_CAP_FS5LP ? 5 : 4)) {
        vtd_accel_target_block(t, "PASID entry asks for first-stage tables "
                               "of more levels than are advertised");
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
    t->key.iommufd = dev->host.hiodi->iommufd;
    t->key.s2_hwpt_id = dev->host.hiodi->hwpt_id;
    t->key.pasid = pasid;
    t->key.hwpt_flags = dev->host.hiodi->pasid ? IOMMU_HWPT_ALLOC_PASID : 0;
    t->key.domain_id = VTD_SM_PASID_ENTRY_DID(pe->val[1]);
    t->key.pgtbl_addr = pe->val[2] & VTD_SM_PASID_ENTRY_FLPTPTR;
    t->key.addr_width = levels == 5 ? VTD_HOST_AW_57BIT : VTD_HOST_AW_48BIT;
    t->key.flags = (pe->val[2] & VTD_PE_SRE ? IOMMU_VTD_S1_SRE : 0) |
                   (pe->val[2] & VTD_PE_WPE ? IOMMU_VTD_S1_WPE : 0);
}

/* What a present PASID entry asks for (VT-d 9.6) */
static void vtd_accel_target_entry(VTDAccelDevice *dev, uint32_t pasid,
                                   const VTDPASIDEntry *pe, VTDAccelTarget *t)
{
    switch (pe->val[0] & VTD_SM_PASID_ENTRY_PGTT) {
    case VTD_SM_PASID_ENTRY_FLT:
        vtd_accel_target_first_stage(dev, pasid, pe, t);
        break;
    case VTD_SM_PASID_ENTRY_PT:
        if (dev->s->ecap & VTD_ECAP_PT) {
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

/* The same for a PASID that is not RID_PASID */
static void vtd_accel_target_pasid(VTDAccelDevice *dev, uint32_t pasid,
                                   const VTDPASIDEntry *pe, VTDAccelTarget *t)
{
    if (!pasid) {
        vtd_accel_target_block(t, "the host's kernel uses PASID 0 for requests "
                               "without PASID, so the guest cannot bind it "
                               "while RID_PASID is another one: have the guest "
                               "set RID_PASID to 0, or use another PASID");
        return;
    }
    vtd_accel_target_entry(dev, pasid, pe, t);
}

void vtd_accel_read_rid(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    IntelIOMMUState *s = dev->s;
    VTDPASIDEntry pe;

    if (!s->dmar_enabled) {
        t->state = VTD_ACCEL_S2;
        return;
    }
    if (!s->root_scalable) {
        vtd_accel_read_legacy(dev, t);
        return;
    }
    if ((dev->context_valid || vtd_accel_read_context(dev, t)) &&
        vtd_accel_read_pasid_entry(dev, dev->rid_pasid, &pe, t)) {
        vtd_accel_target_entry(dev, dev->rid_pasid, &pe, t);
    }
}

uint32_t vtd_accel_num_pasids(VTDAccelDevice *dev)
{
    IntelIOMMUState *s = dev->s;
    HostIOMMUDeviceIOMMUFD *hiodi = dev->host.hiodi;
    unsigned int bits = MIN(s->pasid_bits,
                            HOST_IOMMU_DEVICE(hiodi)->caps.max_pasid_log2);

    if (!bits || !hiodi->pasid || !s->dmar_enabled || !s->root_scalable ||
        !dev->context_valid || !dev->pasid_enabled) {
        return 0;
    }
    return MIN(1u << bits, dev->pasid_dir_num * VTD_PASID_TABLE_NUM);
}

void vtd_accel_read_pasid(VTDAccelDevice *dev, uint32_t pasid,
                          VTDAccelTarget *t)
{
    VTDPASIDEntry pe;

    if (vtd_accel_read_pasid_entry(dev, pasid, &pe, t)) {
        vtd_accel_target_pasid(dev, pasid, &pe, t);
    }
}

/* Block what is bound in a range that is blocked for @reason */
static void vtd_accel_walk_gap(VTDAccelDevice *dev, uint32_t first,
                               uint32_t last, const char *reason)
{
    VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED, .reason = reason };
    VTDAccelBinding *b;

    while (first <= last && (b = vtd_accel_find_pasid(dev, first, last))) {
        first = b->host.pasid + 1;
        vtd_accel_apply_pasid(dev, b->host.pasid, b, &t);
    }
}

/* Look at one PASID table, as far as there are PASIDs */
static void vtd_accel_walk_table(VTDAccelDevice *dev, uint32_t first,
                                 uint32_t last, uint64_t dire)
{
    VTDPASIDEntry pe[VTD_PASID_TABLE_NUM];
    hwaddr addr = dire & VTD_PASID_TABLE_BASE_ADDR_MASK;

    if (!vtd_accel_read(dev, addr, pe[0].val,
                        ARRAY_SIZE(pe) * ARRAY_SIZE(pe[0].val))) {
        vtd_accel_walk_gap(dev, first, last,
                           "PASID table is not in guest memory");
        return;
    }

    for (uint32_t pasid = first; pasid <= last; pasid++) {
        const VTDPASIDEntry *entry = &pe[pasid - first];
        VTDAccelTarget t = { .state = VTD_ACCEL_BLOCKED };
        VTDAccelBinding *b = vtd_accel_find_pasid(dev, pasid, pasid);

        if (entry->val[0] & VTD_PASID_ENTRY_P && pasid != dev->rid_pasid) {
            vtd_accel_target_pasid(dev, pasid, entry, &t);
        } else if (!b) {
            continue;
        }
        vtd_accel_apply_pasid(dev, pasid, b, &t);
    }
}

/* The first PASID from @first on that is bound, or UINT32_MAX */
static uint32_t vtd_accel_next_bound(VTDAccelDevice *dev, uint32_t first)
{
    VTDAccelBinding *b = vtd_accel_find_pasid(dev, first, UINT32_MAX);

    return b ? b->host.pasid : UINT32_MAX;
}

/*
 * Look at the next chunk of the PASID directory.
 * Returns false if the work of this piece of the queue is used up.
 */
static bool vtd_accel_walk_chunk(VTDAccelDevice *dev, uint32_t num_pasids)
{
    VTDAccel *accel = dev->s->accel;
    uint64_t dire[VTD_PASID_DIR_CHUNK];
    uint32_t index = dev->walk_pasid / VTD_PASID_TABLE_NUM;
    uint32_t num = MIN(DIV_ROUND_UP(num_pasids, VTD_PASID_TABLE_NUM) - index,
                       VTD_PASID_DIR_CHUNK - index % VTD_PASID_DIR_CHUNK);
    bool ok = vtd_accel_read(dev, dev->pasid_dir +
                             index * VTD_PASID_DIR_ENTRY_SIZE, dire, num);
    uint32_t bound = vtd_accel_next_bound(dev, dev->walk_pasid);

    for (uint32_t i = 0; i < num; i++) {
        uint32_t first = dev->walk_pasid;
        uint32_t last = MIN(first + VTD_PASID_TABLE_NUM, num_pasids) - 1;

        if (accel->in_piece && accel->work_left <= 0) {
            return false;
        }
        dev->walk_pasid += VTD_PASID_TABLE_NUM;
        if (ok && dire[i] & 1) {
            vtd_accel_walk_table(dev, first, last, dire[i]);
        } else if (bound <= last) {
            vtd_accel_walk_gap(dev, first, last, ok ? NULL :
                               "PASID directory is not in guest memory");
        } else {
            /* As are most of the directory: nothing was there before either */
            continue;
        }
        bound = vtd_accel_next_bound(dev, last + 1);
    }
    return true;
}

bool vtd_accel_walk(VTDAccelDevice *dev)
{
    VTDAccel *accel = dev->s->accel;
    uint32_t num_pasids = vtd_accel_num_pasids(dev);
    VTDAccelTarget blocked = { .state = VTD_ACCEL_BLOCKED };
    VTDAccelBinding *b;

    while (dev->walk_pasid < num_pasids) {
        if (!vtd_accel_walk_chunk(dev, num_pasids)) {
            return false;
        }
    }

    /* What is bound beyond, because there was more once */
    while ((b = vtd_accel_find_pasid(dev, dev->walk_pasid, UINT32_MAX))) {
        if (accel->in_piece && accel->work_left <= 0) {
            return false;
        }
        dev->walk_pasid = b->host.pasid + 1;
        vtd_accel_apply_pasid(dev, b->host.pasid, b, &blocked);
    }
    return true;
}
