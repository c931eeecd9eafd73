/*
 * What the qtests of the accelerated SMMUv3 share: a host, a machine with root
 * ports, and expectations with names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SMMUV3_ACCEL_COMMON_H
#define SMMUV3_ACCEL_COMMON_H

#include "viommu/harness.h"
#include "libqos/smmuv3.h"

#define SMMUV3_ACCEL_PORTS_MAX  32

/* Values for a guest whose devices are all plugged later */
#define SMMUV3_ACCEL_FIXED  "ril=on,ats=on,oas=44,ssidsize=4"

/* Identification registers of a host that can do everything (6.3.1 to 6.3.6) */
#define HOST_IDR0_STALL_NONE    (1u << 24)
#define HOST_IDR0_STALL_FORCED  (2u << 24)
#define HOST_IDR0_ATS       (1u << 10)
#define HOST_IDR0_TTF       (2u << 2)
#define HOST_IDR0_TTENDIAN  (2u << 21)
#define HOST_IDR0_STLEVEL   (1u << 27)
#define HOST_IDR0           (3u | HOST_IDR0_TTF | 1u << 4 | HOST_IDR0_ATS | \
                             1u << 12 | 1u << 18 | HOST_IDR0_TTENDIAN | \
                             HOST_IDR0_STALL_NONE | HOST_IDR0_STLEVEL)
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
    const char *host;           /* the whole description instead of these */
    unsigned iommufds;          /* iommufd0…; 0: one */
    unsigned cold;              /* dev0… are there at start */
    unsigned devices;           /* then so many more are plugged at once */
    unsigned ports;             /* root ports; 0: one per device, at least 2 */
    const char *bus;            /* pxb-pcie: the ports are on pxb.0 */
    const char *args;           /* more arguments for QEMU, or NULL */
} Smmuv3AccelSetup;

typedef struct Smmuv3AccelTest {
    FakeHost *host;
    char *events;               /* directory of event queues */
    unsigned ports;
    Smmuv3Guest guest;
} Smmuv3AccelTest;

/**
 * smmuv3_accel_start: start a machine with root ports, and plug devices
 *
 * Device N of the host is called devN and goes to root port N, which leads to
 * bus N + 1. Secondary bus numbers are programmed.
 *
 * Returns: false if the test is to be skipped
 */
bool smmuv3_accel_start(Smmuv3AccelTest *t, const Smmuv3AccelSetup *setup);
void smmuv3_accel_end(Smmuv3AccelTest *t);

/* QEMU's arguments for the machine of @setup, but for host devices */
char *smmuv3_accel_args(const Smmuv3AccelSetup *setup);

/* Name and StreamID of device @n */
const char *smmuv3_accel_dev(unsigned n);
uint32_t smmuv3_accel_sid(unsigned n);

/* Config space of the function at @bdf */
uint32_t smmuv3_accel_cfg_readl(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg);
void smmuv3_accel_cfg_writel(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg,
                             uint32_t value);
void smmuv3_accel_cfg_writew(Smmuv3AccelTest *t, uint16_t bdf, unsigned reg,
                             uint16_t value);
/* Have root port @port lead to bus @bus */
void smmuv3_accel_number_bus(Smmuv3AccelTest *t, unsigned port, uint8_t bus);

/* device_add dev@n; @props as for fakehost_plug(). Returns NULL or the error */
char *smmuv3_accel_try_plug(Smmuv3AccelTest *t, unsigned n, const char *props);
/* device_add that has to succeed */
void smmuv3_accel_plug(Smmuv3AccelTest *t, unsigned n);
void smmuv3_accel_unplug(Smmuv3AccelTest *t, unsigned n);
/* system_reset, and number the busses again */
void smmuv3_accel_reset(Smmuv3AccelTest *t);

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
/* Nothing is left in the host but, if QEMU keeps it, the iommufd */
void smmuv3_accel_expect_empty(Smmuv3AccelTest *t);
void smmuv3_accel_expect_alive(Smmuv3AccelTest *t);

/* How often @call was made since *@count, which is brought up to date */
uint64_t smmuv3_accel_calls_since(Smmuv3AccelTest *t, const char *call,
                                  uint64_t *count);

#endif /* SMMUV3_ACCEL_COMMON_H */
