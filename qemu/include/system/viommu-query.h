/*
 * Telling the user about vIOMMUs: query-viommu and info viommu
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SYSTEM_VIOMMU_QUERY_H
#define SYSTEM_VIOMMU_QUERY_H

#include "qapi/qapi-types-viommu.h"
#include "qom/object.h"

#define TYPE_VIOMMU_QUERY "viommu-query"

typedef struct ViommuQueryClass ViommuQueryClass;
DECLARE_CLASS_CHECKERS(ViommuQueryClass, VIOMMU_QUERY, TYPE_VIOMMU_QUERY)

/* Bindings of one device, and objects of one vIOMMU, that are listed */
#define VIOMMU_QUERY_BINDINGS_MAX   64
#define VIOMMU_QUERY_OBJECTS_MAX    1024

/* An answer that is being put together */
typedef struct ViommuQuery {
    ViommuInfo *info;
    ViommuDeviceList **devices;     /* ends of the lists in @info */
    ViommuObjectList **objects;
    ViommuCapabilityList **capabilities;
    GHashTable *seen;               /* names of objects: each counts once */
} ViommuQuery;

struct ViommuQueryClass {
    InterfaceClass parent_class;

    /*
     * Tell about @viommu.  Path, model and empty lists are there; counters are
     * all zero.
     */
    void (*query)(Object *viommu, ViommuQuery *query);
};

/**
 * viommu_query_add_object: list an object of the host, once
 *
 * @iommufd: id of the iommufd object that it belongs to
 * @parent_id: the object on which it was made, 0 for none
 *
 * Those that several devices share are to come first: once the list is full, it
 * is only counted how many there are.
 *
 * Returns: the object for further members, NULL if it is listed already or too
 *          many are.
 */
ViommuObject *viommu_query_add_object(ViommuQuery *query, const char *iommufd,
                                      ViommuObjectType type, uint32_t id,
                                      uint32_t parent_id);

/* A member of ViommuCounters, by its name in QAPI */
typedef struct ViommuCounter {
    const char *name;           /* NULL: there are no more */
    size_t offset;
} ViommuCounter;

extern const ViommuCounter viommu_counters[];

uint64_t viommu_counter_value(const ViommuCounters *counters,
                              const ViommuCounter *counter);

/* viommu_query_add_capability: add to a list, whose end is moved */
void viommu_query_add_capability(ViommuCapabilityList ***end, const char *name,
                                 uint32_t value);

#endif
