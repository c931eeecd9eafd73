/*
 * SMMUv3 on the host SMMU: telling the user about host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "smmuv3-accel.h"
#include "smmuv3-accel-cmdqv.h"
#include "system/iommufd-binding-query.h"

/* What nobody has decided yet is left out */
static void smmuv3_accel_query_capabilities(ViommuCapabilityList **list,
                                            const SMMUv3AccelFeatures *f)
{
    const struct {
        const char *name;
        int value;
    } features[] = {
        { "oas-bits", f->oas < 0 ? f->oas : smmuv3_accel_oas_bits[f->oas] },
        { "ssidsize", f->ssidsize },
        { "cd2l", f->cd2l },
        { "ril", f->ril },
        { "ats", f->ats },
        { "asid16", f->asid16 },
        { "bbml", f->bbml },
        { "vax", f->vax },
        { "cmdqv", f->cmdqv },
    };

    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        if (features[i].value != SMMUV3_ACCEL_AUTO) {
            viommu_query_add_capability(&list, features[i].name,
                                        features[i].value);
        }
    }
}

static void smmuv3_accel_query_host(ViommuDevice *device,
                                    const SMMUv3AccelStream *st)
{
    const uint32_t *idr =
        HOST_IOMMU_DEVICE(st->host.hiodi)->caps.vendor_caps.smmuv3.idr;
    SMMUv3AccelFeatures f = {
        .ril = FIELD_EX32(idr[3], IDR3, RIL),
        .ats = FIELD_EX32(idr[0], IDR0, ATS),
        .oas = MIN(FIELD_EX32(idr[5], IDR5, OAS), SMMUV3_ACCEL_OAS_KNOWN),
        .ssidsize = FIELD_EX32(idr[1], IDR1, SSIDSIZE),
        .cd2l = FIELD_EX32(idr[0], IDR0, CD2L),
        .asid16 = FIELD_EX32(idr[0], IDR0, ASID16),
        .bbml = FIELD_EX32(idr[3], IDR3, BBML),
        .vax = FIELD_EX32(idr[5], IDR5, VAX),
        .cmdqv = smmuv3_accel_cmdqv_host_queues(st->accel, st->host.hiodi),
    };

    smmuv3_accel_query_capabilities(&device->capabilities, &f);
}

static void smmuv3_accel_query_hwpt(ViommuQuery *query, SMMUv3Accel *accel,
                                    ViommuObjectType type, uint32_t id)
{
    ViommuObject *hwpt =
        viommu_query_add_object(query, iommufd_query_name(accel->iommufd), type,
                                id, accel->viommu_id);
    SMMUv3AccelStream *st;

    if (hwpt) {
        hwpt->has_users = true;
        QLIST_FOREACH(st, &accel->streams, next) {
            hwpt->users += st->binding.hwpt_id == id;
        }
    }
}

/* The objects that all streams share */
static void smmuv3_accel_query_objects(ViommuQuery *query, SMMUv3Accel *accel)
{
    const char *iommufd = iommufd_query_name(accel->iommufd);
    uint32_t id;

    viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_VIOMMU,
                            accel->viommu_id, accel->s2_hwpt_id);
    smmuv3_accel_query_hwpt(query, accel, VIOMMU_OBJECT_TYPE_HWPT_BYPASS,
                            accel->bypass_hwpt_id);
    smmuv3_accel_query_hwpt(query, accel, VIOMMU_OBJECT_TYPE_HWPT_BLOCKING,
                            accel->bindings.blocking_hwpt_id);
    if (accel->veventq.fd >= 0) {
        viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_VEVENTQ,
                                accel->veventq.id, accel->viommu_id);
    }
    id = smmuv3_accel_cmdqv_veventq(accel);
    if (id) {
        viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_VEVENTQ, id,
                                accel->viommu_id);
    }
    for (uint32_t i = 0; (id = smmuv3_accel_cmdqv_queue(accel, i)); i++) {
        ViommuObject *queue =
            viommu_query_add_object(query, iommufd, VIOMMU_OBJECT_TYPE_HW_QUEUE,
                                    id, accel->viommu_id);

        if (queue) {
            queue->has_virtual_id = true;
            queue->virtual_id = i;
        }
    }
}

static void smmuv3_accel_query_stream(ViommuQuery *query,
                                      SMMUv3AccelStream *st)
{
    SMMUv3Accel *accel = st->accel;
    ViommuDevice *device = iommufd_binding_query_device(query, &st->host);
    ViommuObject *vdevice;

    device->interrupts_lost = st->msi_lost;
    smmuv3_accel_query_host(device, st);
    iommufd_binding_query(device, &st->binding,
                          st->binding.hwpt_id == st->s1_hwpt_id ?
                          VIOMMU_BINDING_STATE_STAGE_1 :
                          VIOMMU_BINDING_STATE_STAGE_2);
    smmuv3_accel_query_objects(query, accel);
    if (st->vdev_id) {
        vdevice = viommu_query_add_object(query, device->iommufd,
                                          VIOMMU_OBJECT_TYPE_VDEVICE,
                                          st->vdev_id, accel->viommu_id);
        if (vdevice) {
            vdevice->has_virtual_id = true;
            vdevice->virtual_id = st->vsid;
        }
    }
    if (st->s1_hwpt_id) {
        smmuv3_accel_query_hwpt(query, accel, VIOMMU_OBJECT_TYPE_HWPT_S1,
                                st->s1_hwpt_id);
    }
}

void smmuv3_accel_query(SMMUv3State *s, ViommuQuery *query)
{
    SMMUv3Accel *accel = s->s_accel;
    SMMUv3AccelStream *st;

    if (!accel) {
        return;
    }
    smmuv3_accel_query_capabilities(&query->info->capabilities,
                                    &accel->features);
    QLIST_FOREACH(st, &accel->streams, next) {
        smmuv3_accel_query_stream(query, st);
    }

    query->info->accelerated = true;
    *query->info->counters = (ViommuCounters) {
        .descriptors = accel->num_commands,
        .ioctls = accel->inv.calls,
        .entries = accel->inv.entries,
        .merged = accel->inv.merged,
        .attaches = accel->bindings.attaches,
        .retries = accel->bindings.retries,
        .refused = accel->bindings.refused + accel->inv.refused,
        .events = accel->num_events,
    };
}
