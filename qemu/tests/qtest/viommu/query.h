/*
 * What query-viommu, info viommu and the events say of a QEMU on fakehost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIOMMU_QUERY_H
#define QTEST_VIOMMU_QUERY_H

#include "qobject/qdict.h"
#include "devices.h"

#define NO_PASID        (-1)

/* The only vIOMMU that there is; to be unreferenced */
QDict *viommu_query(FakeHost *host);
/* The vIOMMU that the user has called @id; to be unreferenced */
QDict *viommu_query_id(FakeHost *host, const char *id);

/* Device @n in the answer; there must be one */
QDict *viommu_device(QDict *info, unsigned n);
/* A binding of the device, NULL if it is not listed */
QDict *viommu_binding(QDict *device, int64_t pasid);
/* Some object of a type, NULL if there is none */
QDict *viommu_object(QDict *info, const char *type);
/* How much of something guest and host (device 0) have */
int64_t viommu_capability(QDict *owner, const char *name);

/**
 * viommu_expect: fail if a binding is not as it should be
 * @reason: NULL: there is none; else it is contained in the one given
 */
void viommu_expect(FakeHost *host, unsigned n, int64_t pasid,
                   const char *state, const char *reason);
void viommu_expect_mode(FakeHost *host, const char *mode);

/*
 * The host has just these objects, each is listed behind its parent, and info
 * viommu shows all that has a number
 */
void viommu_expect_objects(FakeHost *host);

/* Counters and what fakehost has counted agree, but for calls of VFIO's own */
typedef struct ViommuCounts {
    uint64_t ioctls, entries, attaches, refused;
} ViommuCounts;

ViommuCounts viommu_host_counts(FakeHost *host);
void viommu_expect_counts(FakeHost *host, const ViommuCounts *vfio);

/*
 * query-stats and info stats have the counters of query-viommu, the schema
 * tells of all of them, and a filter leaves one
 */
void viommu_expect_stats(FakeHost *host);

/**
 * viommu_expect_event: fail if the next event is not of this device
 * @state: it is "blocked" or "stuck" now; NULL: the reason for that is gone
 */
void viommu_expect_event(FakeHost *host, unsigned n, const char *state,
                         int64_t pasid, const char *reason);
/* None is there, and none waits for its second to be over */
void viommu_expect_no_event(FakeHost *host);

#endif /* QTEST_VIOMMU_QUERY_H */
