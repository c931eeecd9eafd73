/*
 * What the qtests of the accelerated SMMUv3 share: a host, a machine with root
 * ports, and expectations with names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SMMUV3_ACCEL_COMMON_H
#define SMMUV3_ACCEL_COMMON_H

#include "libqos/smmuv3.h"
#include "viommu/devices.h"

/* Values for a guest whose devices are all plugged later */
#define SMMUV3_ACCEL_FIXED  "ril=on,ats=on,oas=44,ssidsize=4"

/* Identification registers of a host that can do everything (6.3.1 to 6.3.6) */
#define HOST_IDR0_STALL_NONE    (1u << 24)
#define HOST_IDR0_STALL_FORCED  (2u << 24)
#define HOST_IDR0_ATS       (1u << 10)
#define HOST_IDR0_TTF       (2u << 2)
#define HOST_IDR0_TTENDIAN  (2u << 21)
#define HOST_IDR0_CD2L      (1u << 19)
#define HOST_IDR0_STLEVEL   (1u << 27)
#define HOST_IDR0           (3u | HOST_IDR0_TTF | 1u << 4 | HOST_IDR0_ATS | \
                             1u << 12 | 1u << 18 | HOST_IDR0_CD2L | \
                             HOST_IDR0_TTENDIAN | HOST_IDR0_STALL_NONE | \
                             HOST_IDR0_STLEVEL)
#define HOST_IDR1_SSIDSIZE(bits) ((uint32_t)(bits) << 6)
#define HOST_IDR1           (16u | HOST_IDR1_SSIDSIZE(16))
#define HOST_IDR3_FWB       (1u << 8)
#define HOST_IDR3_RIL       (1u << 10)
#define HOST_IDR3           (HOST_IDR3_FWB | HOST_IDR3_RIL | 2u << 11)
#define HOST_IDR5_GRAN4K    (1u << 4)
#define HOST_IDR5_GRAN16K   (1u << 5)
#define HOST_IDR5_GRAN64K   (1u << 6)
#define HOST_IDR5           (5u | HOST_IDR5_GRAN4K | HOST_IDR5_GRAN16K | \
                             HOST_IDR5_GRAN64K)

/* What a test may want otherwise; zeros are the plain case */
typedef struct Smmuv3AccelSetup {
    const char *smmu_props;     /* NULL: SMMUV3_ACCEL_FIXED */
    uint32_t idr0, idr1, idr3, idr5;    /* of the host, XOR HOST_IDRn */
    const char *host_type;      /* NULL: smmuv3 */
    const char *host_more;      /* more of that SMMU, or NULL */
    const char *host;           /* the whole description instead of these */
    unsigned iommufds;          /* iommufd0…; 0: one */
    unsigned cold;              /* dev0… are there at start */
    unsigned devices;           /* then so many more are plugged at once */
    unsigned ports;             /* root ports; 0: one per device, at least 2 */
    bool no_log;                /* the host logs nothing: for many calls */
    const char *bus;            /* pxb-pcie: the ports are on pxb.0 */
    const char *args;           /* more arguments for QEMU, or NULL */
} Smmuv3AccelSetup;

typedef struct Smmuv3AccelTest {
    FakeHost *host;
    Smmuv3Guest guest;
} Smmuv3AccelTest;

/**
 * smmuv3_accel_start: start a machine with root ports, and plug devices
 *
 * Returns: false if the test is to be skipped
 */
bool smmuv3_accel_start(Smmuv3AccelTest *t, const Smmuv3AccelSetup *setup);

/* QEMU's arguments for the machine of @setup, but for host devices */
char *smmuv3_accel_args(const Smmuv3AccelSetup *setup);

/* Have root port @port lead to bus @bus */
void smmuv3_accel_number_bus(Smmuv3AccelTest *t, unsigned port, uint8_t bus);

/* An entry of device @n with its own CD table, for smmuv3_guest_write_ste() */
uint64_t smmuv3_accel_s1_ste(unsigned n);
/* Enable the SMMU if need be, install an S1 entry of device @n */
void smmuv3_accel_bind(Smmuv3AccelTest *t, unsigned n);

/* Expectations. All of them say what the host has if they fail */

typedef enum Smmuv3AccelState {
    SMMUV3_IS_S1, SMMUV3_IS_BYPASS, SMMUV3_IS_ABORT, SMMUV3_IS_DETACHED,
    SMMUV3_IS_PARENT,
    SMMUV3_IS_LOST,             /* blocked, but the kernel's books disagree */
    SMMUV3_IS_SPLIT,            /* not even blocked, and they disagree */
} Smmuv3AccelState;

/* How device @n is attached, from what was logged */
Smmuv3AccelState smmuv3_accel_state(Smmuv3AccelTest *t, unsigned n);
void smmuv3_accel_expect(Smmuv3AccelTest *t, unsigned n,
                         Smmuv3AccelState state);
/* How many nested HWPTs there are besides bypass and abort ones */
unsigned smmuv3_accel_s1_hwpts(Smmuv3AccelTest *t);
void smmuv3_accel_expect_alive(Smmuv3AccelTest *t);

#endif /* SMMUV3_ACCEL_COMMON_H */
