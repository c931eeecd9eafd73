/*
 * Intel VT-d: reading the guest's tables for host devices
 *
 * What the root, context and PASID tables of the guest mean for a host device.
 * Nothing is told to the host here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "system/dma.h"
#include "system/iommufd.h"
#include "intel_iommu_accel_tables.h"

uint16_t vtd_accel_source_id(VTDAccelDevice *dev)
{
    return PCI_BUILD_BDF(pci_bus_num(dev->aliased_bus), dev->aliased_devfn);
}

bool vtd_accel_read_at(IntelIOMMUState *s, hwaddr addr, const void *host,
                       uint64_t *val, unsigned int num)
{
    vtd_accel_spend(&s->accel->work, 1 + num / 64);
    if (host) {
        vtd_accel_read_in_place(host, val, num);
        return true;
    }
    if (dma_memory_read(&address_space_memory, addr, val, num * sizeof(*val),
                        VTD_MEM_ATTRS)) {
        return false;
    }
    for (unsigned int i = 0; i < num; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

void vtd_accel_target_block(VTDAccelTarget *t, const char *reason)
{
    t->state = VTD_ACCEL_BLOCKED;
    t->reason = reason;
}

static void vtd_accel_set_context(VTDAccelDevice *dev, const uint64_t *ce)
{
    bool pasid_enabled = ce[0] & VTD_SM_CONTEXT_ENTRY_PASIDE;
    dma_addr_t pasid_dir = ce[0] & VTD_PASID_DIR_BASE_ADDR_MASK;
    uint32_t pasid_dir_num = 1u << (VTD_SM_CONTEXT_ENTRY_PDTS(ce[0]) + 7);
    uint32_t rid_pasid = ce[1] & VTD_SM_CONTEXT_ENTRY_RID2PASID_MASK;

    if (pasid_enabled != dev->pasid_enabled || pasid_dir != dev->pasid_dir ||
        pasid_dir_num != dev->pasid_dir_num || rid_pasid != dev->rid_pasid) {
        /* Entries that were read are those of another directory */
        vtd_accel_new_epoch(&dev->s->accel->memory);
    }
    dev->pasid_enabled = pasid_enabled;
    dev->requests_enabled = ce[0] & VTD_SM_CONTEXT_ENTRY_PRE;
    dev->pasid_dir = pasid_dir;
    dev->pasid_dir_num = pasid_dir_num;
    dev->rid_pasid = rid_pasid;
    dev->context_valid = true;
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

    if (!vtd_accel_read(s, s->root + (sid >> 8) * sizeof(re), re, 2)) {
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
    if (!vtd_accel_read(s, ctp, ce, 4)) {
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

    vtd_accel_set_context(dev, ce);
    return true;
}

static hwaddr vtd_accel_pasid_addr(uint64_t dire, uint32_t pasid)
{
    return (dire & VTD_PASID_TABLE_BASE_ADDR_MASK) +
           VTD_PASID_TABLE_INDEX(pasid) * VTD_PASID_ENTRY_SIZE;
}

const void *vtd_accel_pasid_dir(VTDAccelDevice *dev)
{
    return vtd_accel_window(&dev->s->accel->memory, &dev->dir_window,
                            dev->pasid_dir,
                            dev->pasid_dir_num * VTD_PASID_DIR_ENTRY_SIZE);
}

/* Find a PASID entry (VT-d 9.5).  False with @t set if it has no place. */
static bool vtd_accel_find_pasid_entry(VTDAccelDevice *dev, uint32_t pasid,
                                       const VTDAccelEntry *known,
                                       VTDAccelTarget *t)
{
    const VTDAccelMemory *m = &dev->s->accel->memory;
    uint32_t index = VTD_PASID_DIR_INDEX(pasid);
    uint32_t offset = index * VTD_PASID_DIR_ENTRY_SIZE;
    VTDAccelEntry *e = &t->entry;

    if (known && known->epoch == m->epoch &&
        ldq_le_p(known->dire_host) == known->dire) {
        *e = *known;
        return true;
    }
    if (index >= dev->pasid_dir_num) {
        vtd_accel_target_block(t, "PASID is beyond the PASID directory");
        return false;
    }
    e->dire_host = vtd_accel_pasid_dir(dev);
    if (e->dire_host) {
        e->dire_host += offset;
    }
    if (!vtd_accel_read_at(dev->s, dev->pasid_dir + offset, e->dire_host,
                           &e->dire, 1)) {
        vtd_accel_target_block(t, "PASID directory is not in guest memory");
        return false;
    }
    if (!(e->dire & VTD_PASID_DIR_ENTRY_P)) {
        vtd_accel_target_block(t, NULL);
        return false;
    }
    e->pe_host = vtd_accel_locate(vtd_accel_pasid_addr(e->dire, pasid),
                                  VTD_PASID_ENTRY_SIZE);
    return true;
}

/* Read a PASID entry (VT-d 9.6).  False with @t set if not present. */
static bool vtd_accel_read_pasid_entry(VTDAccelDevice *dev, uint32_t pasid,
                                       const VTDAccelEntry *known,
                                       VTDPASIDEntry *pe, VTDAccelTarget *t)
{
    VTDAccelEntry *e = &t->entry;

    if (!vtd_accel_find_pasid_entry(dev, pasid, known, t)) {
        return false;
    }
    if (!vtd_accel_read_at(dev->s, vtd_accel_pasid_addr(e->dire, pasid),
                           e->pe_host, pe->val, ARRAY_SIZE(pe->val))) {
        vtd_accel_target_block(t, "PASID table is not in guest memory");
        return false;
    }
    vtd_accel_note_entry(t, dev->s->accel, e->dire_host, e->dire, e->pe_host,
                         pe);
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
    IntelIOMMUState *s = dev->s;
    HostIOMMUDeviceIOMMUFD *hiodi = dev->host.hiodi;
    uint64_t val = pe->val[2];
    unsigned int levels = 4 + VTD_SM_PASID_ENTRY_FSPM(val);

    if (levels > (s->cap & VTD_CAP_FS5LP ? 5 : 4)) {
        vtd_accel_target_block(t, "PASID entry asks for first-stage tables "
                               "of more levels than are advertised");
        return;
    }
    if (val & VTD_SM_PASID_ENTRY_SRE && !(s->ecap & VTD_ECAP_SRS)) {
        vtd_accel_target_block(t, "PASID entry enables supervisor requests");
        return;
    }
    if (val & VTD_SM_PASID_ENTRY_EAFE) {
        vtd_accel_target_block(t, "PASID entry enables extended access flags");
        return;
    }

    t->state = VTD_ACCEL_TABLES;
    t->key = (VTDAccelKey) {
        .table = &s->accel->s1s.table,
        .iommufd = hiodi->iommufd,
        .pgtbl_addr = val & VTD_SM_PASID_ENTRY_FLPTPTR,
        .levels = levels,
        .domain_id = VTD_SM_PASID_ENTRY_DID(pe->val[1]),
        .pasid = pasid,
        .guest_ram_id = hiodi->hwpt_id,
        .hwpt_flags = (hiodi->pasid ? IOMMU_HWPT_ALLOC_PASID : 0) |
                      (dev->can_request ? IOMMU_HWPT_FAULT_ID_VALID : 0),
        .s1_flags = (val & VTD_SM_PASID_ENTRY_SRE ? IOMMU_VTD_S1_SRE : 0) |
                    (val & VTD_SM_PASID_ENTRY_WPE ? IOMMU_VTD_S1_WPE : 0),
    };
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
            t->state = VTD_ACCEL_RAM;
            break;
        }
        /* fallthrough */
    default:
        vtd_accel_target_block(t, "PASID entry has a translation type that "
                               "is not advertised");
        break;
    }
}

void vtd_accel_target_pasid(VTDAccelDevice *dev, uint32_t pasid,
                            const VTDPASIDEntry *pe, VTDAccelTarget *t)
{
    if (!(pe->val[0] & VTD_PASID_ENTRY_P) || pasid == dev->rid_pasid) {
        vtd_accel_target_block(t, NULL);
    } else if (!pasid) {
        vtd_accel_target_block(t, "the host's kernel uses PASID 0 for requests "
                               "without PASID, so the guest cannot bind it "
                               "while RID_PASID is another one: have the guest "
                               "set RID_PASID to 0, or use another PASID");
    } else {
        vtd_accel_target_entry(dev, pasid, pe, t);
    }
}

void vtd_accel_read_rid(VTDAccelDevice *dev, VTDAccelTarget *t)
{
    IntelIOMMUState *s = dev->s;
    VTDPASIDEntry pe;

    if (!s->dmar_enabled) {
        t->state = VTD_ACCEL_RAM;
        return;
    }
    if (!s->root_scalable) {
        if (s->accel->legacy) {
            s->accel->legacy->read(dev, t);
        } else {
            vtd_accel_target_block(t, "the guest uses legacy mode");
        }
        return;
    }
    if ((dev->context_valid || vtd_accel_read_context(dev, t)) &&
        vtd_accel_read_pasid_entry(dev, dev->rid_pasid, &dev->rid.settled,
                                   &pe, t)) {
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

bool vtd_accel_read_pasid(VTDAccelDevice *dev, uint32_t pasid,
                          const VTDAccelEntry *known, VTDAccelTarget *t)
{
    VTDPASIDEntry pe;

    if (pasid >= vtd_accel_num_pasids(dev)) {
        return false;
    }
    if (vtd_accel_read_pasid_entry(dev, pasid, known, &pe, t)) {
        vtd_accel_target_pasid(dev, pasid, &pe, t);
    }
    return true;
}
