/*
 * Intel VT-d: the page request queue of a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/i386/apic_internal.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci.h"
#include "system/dma.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_bits.h"
#include "intel_iommu_prq.h"
#include "trace.h"

/* Requests that are written to the queue at once */
#define VTD_PRQ_CHUNK           64

typedef struct VTDPrqListener {
    PCIDevice *dev;
    VTDPrqNotify *notify;
    void *opaque;
    QLIST_ENTRY(VTDPrqListener) next;
} VTDPrqListener;

struct VTDPrq {
    QLIST_HEAD(, VTDPrqListener) listeners;
    const VTDPrqHost *host; /* NULL: no host device sends requests */
    bool host_offered;      /* pri=auto has become on */
};

/* Registers as they are after reset, by 32 bits (VT-d 11.4.11) */
static const struct {
    uint16_t addr;
    uint32_t value, writable, w1c;
} vtd_prq_regs[] = {
    { DMAR_PQH_REG, 0, VTD_PQ_OFFSET_MASK, 0 },
    { DMAR_PQT_REG, 0, VTD_PQ_OFFSET_MASK, 0 },
    { DMAR_PQA_REG, 0, (uint32_t)VTD_PQA_ADDR_MASK | VTD_PQA_SIZE_MASK, 0 },
    { DMAR_PQA_REG_HI, 0, UINT32_MAX, 0 },
    { DMAR_PRS_REG, 0, 0, VTD_PRS_PPR | VTD_PRS_PRO },
    { DMAR_PECTL_REG, VTD_PECTL_IM, VTD_PECTL_IM, 0 },
    { DMAR_PEDATA_REG, 0, UINT32_MAX, 0 },
    { DMAR_PEADDR_REG, 0, ~3U, 0 },
    { DMAR_PEUADDR_REG, 0, 0, 0 },
};

static uint32_t vtd_prq_get(const IntelIOMMUState *s, hwaddr reg)
{
    return ldl_le_p(&s->csr[reg]);
}

static void vtd_prq_change(IntelIOMMUState *s, hwaddr reg, uint32_t clear,
                           uint32_t set)
{
    stl_le_p(&s->csr[reg], (vtd_prq_get(s, reg) & ~clear) | set);
}

/* A guest uses page requests of devices that it lets use ATS */
static void vtd_prq_offer_ats(IntelIOMMUState *s)
{
    X86_IOMMU_DEVICE(s)->dt_supported = true;
}

void vtd_prq_init(IntelIOMMUState *s)
{
    s->prq = g_new0(struct VTDPrq, 1);
    if (s->pri == ON_OFF_AUTO_ON) {
        vtd_prq_offer_ats(s);
    }
}

bool vtd_prq_offer_to(IntelIOMMUState *s)
{
    if (s->pri == ON_OFF_AUTO_AUTO && !s->prq->host_offered &&
        !phase_check(PHASE_MACHINE_READY)) {
        s->prq->host_offered = true;
        vtd_prq_offer_ats(s);
    }
    return s->pri == ON_OFF_AUTO_ON || s->prq->host_offered;
}

bool vtd_prq_check_load(const IntelIOMMUState *s, Error **errp)
{
    if (vtd_prq_offered(s) && !(s->ecap & VTD_ECAP_PRS)) {
        error_setg(errp, "the guest was told that devices can send page "
                   "requests, here they cannot: use the same pri= on both "
                   "sides, and on or off instead of auto");
        return false;
    }
    return true;
}

bool vtd_prq_check_config(const IntelIOMMUState *s, Error **errp)
{
    if (s->pri == ON_OFF_AUTO_ON && !s->flts) {
        error_setg(errp, "pri=on needs x-scalable-mode=on,x-flts=on");
        return false;
    }
    if (s->x_pri && !s->scalable_mode) {
        error_setg(errp, "x-pri=on needs x-scalable-mode=on");
        return false;
    }
    return true;
}

uint64_t vtd_prq_ecap(const IntelIOMMUState *s)
{
    return s->x_pri || s->pri == ON_OFF_AUTO_ON || s->prq->host_offered ?
           VTD_ECAP_PRS | VTD_ECAP_PDS : 0;
}

bool vtd_prq_offered(const IntelIOMMUState *s)
{
    return ldq_le_p(&s->csr[DMAR_ECAP_REG]) & VTD_ECAP_PRS;
}

void vtd_prq_reset(IntelIOMMUState *s)
{
    if (!vtd_prq_offered(s)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(vtd_prq_regs); i++) {
        stl_le_p(&s->csr[vtd_prq_regs[i].addr], vtd_prq_regs[i].value);
        stl_le_p(&s->wmask[vtd_prq_regs[i].addr], vtd_prq_regs[i].writable);
        stl_le_p(&s->w1cmask[vtd_prq_regs[i].addr], vtd_prq_regs[i].w1c);
    }
    if (s->intr_eim == ON_OFF_AUTO_ON) {
        /* The destination's upper bits, in x2APIC mode */
        stl_le_p(&s->wmask[DMAR_PEUADDR_REG], ~0xffU);
    }
}

static void vtd_prq_interrupt(IntelIOMMUState *s)
{
    MSIMessage msi = {
        .address = vtd_prq_get(s, DMAR_PEADDR_REG) |
                   (uint64_t)vtd_prq_get(s, DMAR_PEUADDR_REG) << 32,
        .data = vtd_prq_get(s, DMAR_PEDATA_REG),
    };

    vtd_prq_change(s, DMAR_PECTL_REG, VTD_PECTL_IP, 0);
    trace_vtd_irq_generate(msi.address, msi.data);
    apic_get_class(NULL)->send_msi(&msi);
}

/* Set @status; an event that is not served yet covers it (VT-d 11.4.11.4) */
static void vtd_prq_event(IntelIOMMUState *s, uint32_t status)
{
    bool pending = vtd_prq_get(s, DMAR_PRS_REG);

    vtd_prq_change(s, DMAR_PRS_REG, 0, status);
    if (pending) {
        return;
    }
    if (vtd_prq_get(s, DMAR_PECTL_REG) & VTD_PECTL_IM) {
        vtd_prq_change(s, DMAR_PECTL_REG, 0, VTD_PECTL_IP);
    } else {
        vtd_prq_interrupt(s);
    }
}

void vtd_prq_reg_written(IntelIOMMUState *s, hwaddr addr, unsigned size)
{
    uint32_t ctl;

    if (!ranges_overlap(addr, size, DMAR_PRS_REG,
                        DMAR_PEDATA_REG - DMAR_PRS_REG)) {
        return;
    }
    ctl = vtd_prq_get(s, DMAR_PECTL_REG);
    if (!(ctl & VTD_PECTL_IP)) {
        return;
    }
    if (!vtd_prq_get(s, DMAR_PRS_REG)) {
        vtd_prq_change(s, DMAR_PECTL_REG, VTD_PECTL_IP, 0);
    } else if (!(ctl & VTD_PECTL_IM)) {
        vtd_prq_interrupt(s);
    }
}

uint64_t vtd_prq_wait_reserved(const IntelIOMMUState *s, uint64_t rsvd)
{
    return vtd_prq_offered(s) ? rsvd & ~VTD_INV_DESC_WAIT_PD : rsvd;
}

void vtd_prq_set_host(IntelIOMMUState *s, const VTDPrqHost *host)
{
    s->prq->host = host;
}

/* What emulated devices request is in the queue at once */
void vtd_prq_drain(IntelIOMMUState *s)
{
    if (s->prq->host) {
        s->prq->host->drain(s);
    }
}

/* Page request descriptor (VT-d 7.4.1) */
static void vtd_prq_encode(const VTDPageRequest *req, uint64_t *desc)
{
    desc[0] = cpu_to_le64(VTD_PRQ_DESC_TYPE |
                          (req->has_pasid ? VTD_PRQ_DESC_PASID_PRESENT : 0) |
                          (uint64_t)req->sid << 16 |
                          (req->has_pasid ? (uint64_t)req->pasid << 32 : 0) |
                          (req->exec ? VTD_PRQ_DESC_EXEC : 0) |
                          (req->priv ? VTD_PRQ_DESC_PRIV : 0));
    desc[1] = cpu_to_le64((req->addr & VTD_PAGE_MASK_4K) |
                          (req->read ? VTD_PRQ_DESC_READ : 0) |
                          (req->write ? VTD_PRQ_DESC_WRITE : 0) |
                          (req->last ? VTD_PRQ_DESC_LAST : 0) |
                          (uint64_t)(req->prgi & VTD_PRGI_MASK) << 3);
    desc[2] = 0;
    desc[3] = 0;
}

/* Write some of @n requests at @tail, up to where there is another page */
static unsigned vtd_prq_write(uint64_t queue, uint32_t tail, uint32_t entries,
                              const VTDPageRequest *req, unsigned n)
{
    uint64_t desc[VTD_PRQ_CHUNK][VTD_PRQ_DESC_WORDS];
    unsigned num = MIN(MIN(n, VTD_PRQ_CHUNK), entries - tail);

    for (unsigned i = 0; i < num; i++) {
        vtd_prq_encode(&req[i], desc[i]);
    }
    if (dma_memory_write(&address_space_memory, queue + tail * sizeof(desc[0]),
                         desc, num * sizeof(desc[0]), VTD_MEM_ATTRS)) {
        return 0;
    }
    return num;
}

VTDPrqResult vtd_prq_post(IntelIOMMUState *s, const VTDPageRequest *req,
                          unsigned n, unsigned *posted)
{
    uint64_t pqa = ldq_le_p(&s->csr[DMAR_PQA_REG]);
    uint32_t entries = VTD_PQA_ENTRIES(pqa);
    uint32_t head = VTD_PQ_INDEX(vtd_prq_get(s, DMAR_PQH_REG)) & (entries - 1);
    uint32_t tail = VTD_PQ_INDEX(vtd_prq_get(s, DMAR_PQT_REG)) & (entries - 1);
    uint32_t room = (head - tail - 1) & (entries - 1);
    uint32_t status;
    unsigned fits = MIN(n, room), num;

    *posted = 0;
    if (!vtd_prq_offered(s) || !s->dmar_enabled || !s->root_scalable) {
        return VTD_PRQ_OFF;
    }
    if (vtd_prq_get(s, DMAR_PRS_REG) & VTD_PRS_PRO) {
        return VTD_PRQ_FULL;
    }
    while (*posted < fits) {
        num = vtd_prq_write(pqa & VTD_PQA_ADDR_MASK, tail, entries,
                            req + *posted, fits - *posted);
        if (!num) {
            break;
        }
        *posted += num;
        tail = (tail + num) & (entries - 1);
    }
    trace_vtd_prq_post(n, *posted, head, tail);
    vtd_prq_change(s, DMAR_PQT_REG, VTD_PQ_OFFSET_MASK, tail << VTD_PQ_SHIFT);
    status = (*posted ? VTD_PRS_PPR : 0) |
             (*posted == fits && n > fits ? VTD_PRS_PRO : 0);
    if (status) {
        vtd_prq_event(s, status);
    }
    return *posted < fits ? VTD_PRQ_OFF :
           n > fits ? VTD_PRQ_FULL : VTD_PRQ_POSTED;
}

void vtd_prq_process_response(IntelIOMMUState *s, const uint64_t *val)
{
    bool has_pasid = val[0] & VTD_INV_DESC_PGRP_PASID_PRESENT;

    vtd_prq_response(s, VTD_INV_DESC_PGRP_SID(val[0]), has_pasid,
                     has_pasid ? VTD_INV_DESC_PGRP_PASID(val[0]) : 0,
                     VTD_INV_DESC_PGRP_PRGI(val[1]),
                     VTD_INV_DESC_PGRP_CODE(val[0]));
}

void vtd_prq_response(IntelIOMMUState *s, uint16_t sid, bool has_pasid,
                      uint32_t pasid, uint16_t prgi, VTDPrqCode code)
{
    VTDPrqListener *l;

    trace_vtd_prq_response(sid, has_pasid, pasid, prgi, code);
    if (s->prq->host &&
        s->prq->host->response(s, sid, has_pasid, pasid, prgi, code)) {
        return;
    }
    QLIST_FOREACH(l, &s->prq->listeners, next) {
        if (pci_requester_id(l->dev) == sid) {
            l->notify(l->opaque, has_pasid, pasid, prgi, code);
            return;
        }
    }
}

void vtd_prq_register(IntelIOMMUState *s, PCIDevice *dev, VTDPrqNotify *notify,
                      void *opaque)
{
    VTDPrqListener *l = g_new(VTDPrqListener, 1);

    *l = (VTDPrqListener) { .dev = dev, .notify = notify, .opaque = opaque };
    QLIST_INSERT_HEAD(&s->prq->listeners, l, next);
}

void vtd_prq_unregister(IntelIOMMUState *s, PCIDevice *dev)
{
    VTDPrqListener *l, *next;

    QLIST_FOREACH_SAFE(l, &s->prq->listeners, next, next) {
        if (l->dev == dev) {
            QLIST_REMOVE(l, next);
            g_free(l);
        }
    }
}
