/*
 * What the qtests of the accelerated VT-d share: a host, a machine with root
 * ports, and expectations with names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VTD_ACCEL_COMMON_H
#define VTD_ACCEL_COMMON_H

#include "libqos/intel-iommu.h"
#include "viommu/devices.h"

#define VTD_ACCEL_PROPS     "x-scalable-mode=on,x-flts=on"

/* Capability bits of the host's VT-d (VT-d 11.4.2, 11.4.3) */
#define HOST_CAP_MGAW(bits) ((uint64_t)((bits) - 1) << 16)
#define HOST_CAP_SAGAW_39   (1ull << 9)
#define HOST_CAP_SAGAW_48   (1ull << 10)
#define HOST_CAP_SAGAW_57   (1ull << 11)
#define HOST_CAP_SSLPS      (3ull << 34)
#define HOST_CAP_PSI        (1ull << 39)
#define HOST_CAP_FS1GP      (1ull << 56)
#define HOST_CAP_FS5LP      (1ull << 60)
#define HOST_CAP            (6 | HOST_CAP_SAGAW_39 | HOST_CAP_SAGAW_48 | \
                             HOST_CAP_MGAW(48) | HOST_CAP_SSLPS | \
                             HOST_CAP_PSI | HOST_CAP_FS1GP)

#define HOST_ECAP_C         (1ull << 0)
#define HOST_ECAP_QI        (1ull << 1)
#define HOST_ECAP_IR        (1ull << 3)
#define HOST_ECAP_PT        (1ull << 6)
#define HOST_ECAP_SC        (1ull << 7)
#define HOST_ECAP_NEST      (1ull << 26)
#define HOST_ECAP_SRS       (1ull << 31)
#define HOST_ECAP_PASID     (1ull << 40 | 19ull << 35)
#define HOST_ECAP_SMTS      (1ull << 43)
#define HOST_ECAP_SSADS     (1ull << 45)
#define HOST_ECAP_SSTS      (1ull << 46)
#define HOST_ECAP_FSTS      (1ull << 47)
#define HOST_ECAP_SMPWC     (1ull << 48)
#define HOST_ECAP           (HOST_ECAP_C | HOST_ECAP_QI | HOST_ECAP_IR | \
                             HOST_ECAP_PT | HOST_ECAP_SC | HOST_ECAP_NEST | \
                             HOST_ECAP_SRS | HOST_ECAP_PASID | \
                             HOST_ECAP_SMTS | HOST_ECAP_SSTS | \
                             HOST_ECAP_FSTS | HOST_ECAP_SMPWC)

/* What a test may want otherwise; zeros are the plain case */
typedef struct VtdAccelSetup {
    const char *iommu_props;    /* of intel-iommu; NULL: VTD_ACCEL_PROPS */
    uint64_t cap, ecap;         /* of the host; 0: HOST_CAP, HOST_ECAP */
    const char *iommu_options;  /* more about the host's VT-d, or NULL */
    const char *host_type;      /* NULL: vtd */
    const char *host;           /* the whole description instead of these */
    unsigned iommufds;          /* iommufd0…; 0: one */
    const char *const *cold;    /* properties of dev0…, plugged first */
    unsigned devices;           /* plugged at once, dev0… */
    unsigned ports;             /* root ports; 0: one per device, at least 2 */
    unsigned width;             /* bytes of a descriptor; 0: 32 */
    bool no_log;                /* the host logs nothing: for many calls */
    bool incoming;              /* wait for a migration; no bus is numbered */
    const char *args;           /* more arguments for QEMU, or NULL */
} VtdAccelSetup;

typedef struct VtdAccelTest {
    FakeHost *host;
    VtdGuest guest;
} VtdAccelTest;

/**
 * vtd_accel_start: start a machine with root ports, and plug devices
 *
 * Returns: false if the test is to be skipped
 */
bool vtd_accel_start(VtdAccelTest *t, const VtdAccelSetup *setup);

/*
 * The usual way of a guest: context entry for device @n, PASID entry for
 * RID_PASID, translation on, PASID cache flushed.
 *
 * Returns: the address of the PASID directory
 */
uint64_t vtd_accel_bind(VtdAccelTest *t, unsigned n,
                        const VtdPasidEntry *entry);
/* The same under any requester id */
uint64_t vtd_accel_bind_sid(VtdAccelTest *t, uint16_t source_id,
                            const VtdPasidEntry *entry);

/* A first-stage entry of domain @domain_id */
VtdPasidEntry vtd_accel_fs_entry(uint16_t domain_id);
VtdPasidEntry vtd_accel_pt_entry(uint16_t domain_id);

/* Id of the nesting parent that exists; there must be one */
uint32_t vtd_accel_s2_id(VtdAccelTest *t);

/* Expectations. All of them say what the host has if they fail */

/* Device @n translates by an S1 HWPT, in the books and in the hardware */
void vtd_accel_expect_s1(VtdAccelTest *t, unsigned n);
/* … by its nesting parent */
void vtd_accel_expect_s2(VtdAccelTest *t, unsigned n);
/* … by nothing, and nothing is attached */
void vtd_accel_expect_blocked(VtdAccelTest *t, unsigned n);
/* How many S1 HWPTs there are */
void vtd_accel_expect_s1_hwpts(VtdAccelTest *t, unsigned num);

#endif /* VTD_ACCEL_COMMON_H */
