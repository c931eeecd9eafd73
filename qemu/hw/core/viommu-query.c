/*
 * Telling the user about vIOMMUs: query-viommu and info viommu
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands-viommu.h"
#include "qapi/util.h"
#include "system/viommu-query.h"

#define COUNTER(name, member) { name, offsetof(ViommuCounters, member) }

const ViommuCounter viommu_counters[] = {
    COUNTER("descriptors", descriptors),
    COUNTER("ioctls", ioctls),
    COUNTER("entries", entries),
    COUNTER("merged", merged),
    COUNTER("shadow-calls", shadow_calls),
    COUNTER("shadow-entries", shadow_entries),
    COUNTER("attaches", attaches),
    COUNTER("retries", retries),
    COUNTER("refused", refused),
    COUNTER("events", events),
    COUNTER("page-requests", page_requests),
    COUNTER("page-responses", page_responses),
    COUNTER("page-refusals", page_refusals),
    { NULL },
};

uint64_t viommu_counter_value(const ViommuCounters *counters,
                              const ViommuCounter *counter)
{
    return *(const uint64_t *)((const char *)counters + counter->offset);
}

/*
 * What a model uses
 */

ViommuObject *viommu_query_add_object(ViommuQuery *query, const char *iommufd,
                                      ViommuObjectType type, uint32_t id,
                                      uint32_t parent_id)
{
    ViommuObject *object;

    if (!g_hash_table_add(query->seen,
                          g_strdup_printf("%s/%u", iommufd, id))) {
        return NULL;
    }
    if (query->info->object_count++ >= VIOMMU_QUERY_OBJECTS_MAX) {
        return NULL;
    }
    object = g_new0(ViommuObject, 1);
    object->iommufd = g_strdup(iommufd);
    object->id = id;
    object->type = type;
    object->has_parent_id = parent_id;
    object->parent_id = parent_id;
    QAPI_LIST_APPEND(query->objects, object);
    return object;
}

void viommu_query_add_capability(ViommuCapabilityList ***end, const char *name,
                                 uint32_t value)
{
    ViommuCapability *capability = g_new0(ViommuCapability, 1);

    capability->name = g_strdup(name);
    capability->value = value;
    QAPI_LIST_APPEND(*end, capability);
}

/*
 * QMP
 */

static int viommu_query_one(Object *obj, void *opaque)
{
    ViommuInfoList ***end = opaque;
    ViommuQuery query = { 0 };

    if (!object_dynamic_cast(obj, TYPE_VIOMMU_QUERY)) {
        return 0;
    }
    query.info = g_new0(ViommuInfo, 1);
    query.info->qom_path = object_get_canonical_path(obj);
    query.info->model = g_strdup(object_get_typename(obj));
    query.info->counters = g_new0(ViommuCounters, 1);
    query.devices = &query.info->devices;
    query.objects = &query.info->objects;
    query.capabilities = &query.info->capabilities;
    query.seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    VIOMMU_QUERY_GET_CLASS(obj)->query(obj, &query);
    g_hash_table_destroy(query.seen);
    QAPI_LIST_APPEND(*end, query.info);
    return 0;
}

ViommuInfoList *qmp_query_viommu(Error **errp)
{
    ViommuInfoList *list = NULL, **end = &list;

    object_child_foreach_recursive(object_get_root(), viommu_query_one, &end);
    return list;
}

/*
 * HMP
 */

static void viommu_print_capabilities(Monitor *mon, const char *who,
                                      ViommuCapabilityList *c)
{
    monitor_printf(mon, "%s", who);
    for (; c; c = c->next) {
        monitor_printf(mon, " %s=%u", c->value->name, c->value->value);
    }
    monitor_printf(mon, "\n");
}

static bool viommu_is_child(const ViommuObject *o, const ViommuObject *parent)
{
    return parent ? o->has_parent_id && o->parent_id == parent->id &&
                    !strcmp(o->iommufd, parent->iommufd) : !o->has_parent_id;
}

/* What was made on @parent, with all that was made on that */
static void viommu_print_objects(Monitor *mon, ViommuInfo *info,
                                 const ViommuObject *parent, int indent)
{
    for (ViommuObjectList *list = info->objects; list; list = list->next) {
        ViommuObject *o = list->value;

        if (!viommu_is_child(o, parent)) {
            continue;
        }
        monitor_printf(mon, "%*s%s %u", indent, "",
                       ViommuObjectType_str(o->type), o->id);
        if (!parent) {
            monitor_printf(mon, " of %s", o->iommufd);
        }
        if (o->has_virtual_id) {
            monitor_printf(mon, ", 0x%" PRIx64 " in the guest", o->virtual_id);
        }
        if (o->has_users) {
            monitor_printf(mon, ", used by %u", o->users);
        }
        monitor_printf(mon, "\n");
        viommu_print_objects(mon, info, o, indent + 2);
    }
}

static void viommu_print_device(Monitor *mon, const ViommuDevice *device)
{
    uint32_t more = device->binding_count;

    monitor_printf(mon, "  %s: at %02x:%02x.%x in the guest, device %u of "
                   "%s\n", device->id ?: device->name,
                   device->requester_id >> 8, PCI_SLOT(device->requester_id),
                   PCI_FUNC(device->requester_id), device->host_id,
                   device->iommufd);
    viommu_print_capabilities(mon, "    its host IOMMU can:",
                              device->capabilities);
    for (ViommuBindingList *list = device->bindings; list; list = list->next) {
        ViommuBinding *b = list->value;

        if (b->has_pasid) {
            monitor_printf(mon, "    requests with PASID 0x%x: ", b->pasid);
        } else {
            monitor_printf(mon, "    requests without PASID: ");
        }
        monitor_printf(mon, "%s", ViommuBindingState_str(b->state));
        if (b->has_hwpt_id) {
            monitor_printf(mon, ", HWPT %u", b->hwpt_id);
        }
        monitor_printf(mon, "%s%s\n", b->reason ? ": " : "", b->reason ?: "");
        more--;
    }
    if (more) {
        monitor_printf(mon, "    and %u more; of all, %u are blocked against "
                       "the guest's wish\n", more, device->blocked_count);
    }
    if (device->interrupts_lost) {
        monitor_printf(mon, "    its interrupts are lost: the guest does not "
                       "map their address\n");
    }
}

static void viommu_print(Monitor *mon, ViommuInfo *info)
{
    monitor_printf(mon, "%s %s: %s%s\n", info->model, info->qom_path,
                   ViommuMode_str(info->mode),
                   info->accelerated ? "" : ", without host devices");
    if (!info->accelerated) {
        return;
    }
    viommu_print_capabilities(mon, "  the guest was told:",
                              info->capabilities);
    for (ViommuDeviceList *d = info->devices; d; d = d->next) {
        viommu_print_device(mon, d->value);
    }
    viommu_print_objects(mon, info, NULL, 2);
    if (info->object_count > VIOMMU_QUERY_OBJECTS_MAX) {
        monitor_printf(mon, "  and %u more\n",
                       info->object_count - VIOMMU_QUERY_OBJECTS_MAX);
    }
    monitor_printf(mon, "  so far:");
    for (const ViommuCounter *c = viommu_counters; c->name; c++) {
        monitor_printf(mon, "%s %s=%" PRIu64,
                       (c - viommu_counters) % 5 ? "" : "\n   ", c->name,
                       viommu_counter_value(info->counters, c));
    }
    monitor_printf(mon, "\n");
}

void hmp_info_viommu(Monitor *mon, const QDict *qdict)
{
    ViommuInfoList *list = qmp_query_viommu(NULL);

    for (ViommuInfoList *i = list; i; i = i->next) {
        viommu_print(mon, i->value);
    }
    if (!list) {
        monitor_printf(mon, "No vIOMMU\n");
    }
    qapi_free_ViommuInfoList(list);
}

static const TypeInfo viommu_query_types[] = {
    {
        .name = TYPE_VIOMMU_QUERY,
        .parent = TYPE_INTERFACE,
        .class_size = sizeof(ViommuQueryClass),
    },
};

DEFINE_TYPES(viommu_query_types)
