/*
 * Intel VT-d: telling the user about host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "intel_iommu_accel.h"
#include "intel_iommu_accel_internal.h"
#include "intel_iommu_accel_shadow.h"
#include "system/iommufd-binding-query.h"

static void vtd_accel_query_capabilities(ViommuCapabilityList **list,
                                         uint64_t cap, uint64_t ecap,
                                         unsigned int pasid_bits)
{
    const struct {
        const char *name;
        bool value;
    } bits[] = {
        { "first-stage-5-levels", cap & VTD_CAP_FS5LP },
        { "first-stage-1g-pages", cap & VTD_CAP_FS1GP },
        { "pass-through", ecap & VTD_ECAP_PT },
        { "snoop-control", ecap & VTD_ECAP_SC },
        { "supervisor-requests", ecap & VTD_ECAP_SRS },
        { "page-requests", ecap & VTD_ECAP_PRS },
    };

    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        viommu_query_add_capability(&list, bits[i].name, bits[i].value);
    }
    viommu_query_add_capability(&list, "pasid-bits", pasid_bits);
}

static void vtd_accel_query_binding(ViommuDevice *device,
                                    const VTDAccelBinding *b,
                                    const VTDAccelHwptTable *s1s)
{
    iommufd_binding_query(device, &b->host, !b->hwpt ?
                          VIOMMU_BINDING_STATE_STAGE_2 :
                          b->hwpt->key.table == s1s ?
                          VIOMMU_BINDING_STATE_STAGE_1 :
                          VIOMMU_BINDING_STATE_SHADOW);
}

/* The PASID's binding after @b, or the first one */
static VTDAccelBinding *vtd_accel_query_next(VTDAccelDevice *dev,
                                             VTDAccelBinding *b)
{
    IntervalTreeNode *node = b ?
        interval_tree_iter_next(&b->node, 0, UINT32_MAX) :
        interval_tree_iter_first(&dev->pasids, 0, UINT32_MAX);

    return node ? container_of(node, VTDAccelBinding, node) : NULL;
}

/*
 * What is not as the guest wants it comes first.  There may be very many of all
 * kinds: those that are not listed are not looked at, but for those before the
 * last one that is stuck, which are rare.
 */
static void vtd_accel_query_pasids(ViommuDevice *device, VTDAccelDevice *dev)
{
    const VTDAccelHwptTable *s1s = &dev->s->accel->s1s.table;
    uint32_t stuck = dev->host.num_stuck - dev->rid.host.stuck;
    uint32_t blocked = iommufd_binding_num_reasons(&dev->host);
    uint32_t wrong = device->blocked_count + stuck;
    VTDAccelBinding *b = NULL;

    while (stuck && (b = vtd_accel_query_next(dev, b))) {
        if (b->host.stuck) {
            vtd_accel_query_binding(device, b, s1s);
            blocked -= iommufd_binding_next_reason(&dev->host, b->host.pasid)
                       == b->host.pasid;
            stuck--;
        }
    }
    for (uint32_t pasid = 0; device->binding_count < VIOMMU_QUERY_BINDINGS_MAX;
         pasid++) {
        pasid = iommufd_binding_next_reason(&dev->host, pasid);
        if (pasid == IOMMUFD_BINDING_NO_PASID) {
            break;
        }
        if (!interval_tree_iter_first(&dev->pasids, pasid, pasid)) {
            iommufd_binding_query_pasid(device, &dev->host, pasid);
        }
    }
    b = NULL;
    while (device->binding_count < VIOMMU_QUERY_BINDINGS_MAX &&
           (b = vtd_accel_query_next(dev, b))) {
        if (!b->host.stuck) {
            vtd_accel_query_binding(device, b, s1s);
        }
    }
    device->binding_count = 1 + dev->num_pasids + blocked;
    device->blocked_count = wrong + blocked;
}

static void vtd_accel_query_device(ViommuQuery *query, VTDAccelDevice *dev)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(dev->host.hiodi);
    struct iommu_hw_info_vtd *vtd = &hiod->caps.vendor_caps.vtd;
    ViommuDevice *device = iommufd_binding_query_device(query, &dev->host);
    uint64_t ecap = vtd->ecap_reg;

    if (!dev->can_request) {
        /* It cannot itself, or the host has refused it */
        ecap &= ~VTD_ECAP_PRS;
    }
    vtd_accel_query_capabilities(&device->capabilities, vtd->cap_reg, ecap,
                                 hiod->caps.max_pasid_log2);
    vtd_accel_query_binding(device, &dev->rid, &dev->s->accel->s1s.table);
    vtd_accel_query_pasids(device, dev);
}

static void vtd_accel_query_hwpt(ViommuQuery *query, const VTDAccelHwpt *hwpt,
                                 ViommuObjectType type, uint32_t parent_id)
{
    ViommuObject *object =
        viommu_query_add_object(query, iommufd_query_name(hwpt->key.iommufd),
                                type, hwpt->hwpt_id, parent_id);

    if (object) {
        object->has_users = true;
        object->users = hwpt->users;
    }
}

static void vtd_accel_query_shadow(ViommuQuery *query, VTDAccelHwpt *hwpt)
{
    VTDAccelShadow *shadow = container_of(hwpt, VTDAccelShadow, hwpt);

    viommu_query_add_object(query, iommufd_query_name(hwpt->key.iommufd),
                            VIOMMU_OBJECT_TYPE_IOAS, shadow->ioas_id, 0);
    vtd_accel_query_hwpt(query, hwpt, VIOMMU_OBJECT_TYPE_HWPT_SHADOW,
                         shadow->ioas_id);
}

static void vtd_accel_query_s1(VTDAccelS1 *s1, void *opaque)
{
    vtd_accel_query_hwpt(opaque, &s1->hwpt, VIOMMU_OBJECT_TYPE_HWPT_S1,
                         s1->hwpt.key.guest_ram_id);
}

void vtd_accel_query(IntelIOMMUState *s, ViommuQuery *query)
{
    VTDAccel *accel = s->accel;
    VTDAccelDevice *dev;

    if (!accel) {
        return;
    }
    vtd_accel_query_capabilities(&query->info->capabilities, s->cap, s->ecap,
                                 s->pasid_bits);
    QLIST_FOREACH(dev, &accel->devices, next) {
        vtd_accel_query_device(query, dev);
        if (dev->rid.hwpt && dev->rid.hwpt->key.table != &accel->s1s.table) {
            vtd_accel_query_shadow(query, dev->rid.hwpt);
        }
    }
    if (accel->prq.buffers) {
        viommu_query_add_object(query, iommufd_query_name(accel->prq.iommufd),
                                VIOMMU_OBJECT_TYPE_FAULT_QUEUE,
                                accel->prq.fault_id, 0);
    }
    vtd_accel_s1_foreach(&accel->s1s, vtd_accel_query_s1, query);

    query->info->accelerated = true;
    *query->info->counters = (ViommuCounters) {
        .descriptors = accel->descriptors,
        .ioctls = accel->s1s.calls,
        .entries = accel->s1s.entries,
        .merged = accel->s1s.merged,
        .attaches = accel->bindings.attaches,
        .retries = accel->bindings.retries,
        .refused = accel->bindings.refused + accel->s1s.refused,
        .page_requests = accel->prq.requests,
        .page_responses = accel->prq.responses,
        .page_refusals = accel->prq.refused,
    };
    if (accel->legacy) {
        query->info->counters->shadow_calls = accel->legacy->calls;
        query->info->counters->shadow_entries = accel->legacy->entries;
        query->info->counters->refused += accel->legacy->refused;
    }
}
