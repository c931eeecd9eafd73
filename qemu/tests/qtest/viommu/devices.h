/*
 * Host devices of a QEMU on fakehost
 *
 * Device N of the host is called devN and goes to root port N, which is rpN
 * and leads to bus N + 1. There is no firmware: a test numbers the busses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIOMMU_DEVICES_H
#define QTEST_VIOMMU_DEVICES_H

#include "harness.h"

#define FAKEHOST_PORTS_MAX  64
#define WITH_IOMMUFD        ", 'iommufd': 'iommufd0'"

/* Name and requester id of device @n, and that of its root port */
const char *fakehost_dev(unsigned n);
uint32_t fakehost_sid(unsigned n);
uint16_t fakehost_port(unsigned n);

/* Config space of the function at @bdf, wherever it is now */
uint32_t fakehost_cfg_readl(FakeHost *host, uint16_t bdf, unsigned reg);
void fakehost_cfg_writew(FakeHost *host, uint16_t bdf, unsigned reg,
                         uint16_t value);
void fakehost_cfg_writel(FakeHost *host, uint16_t bdf, unsigned reg,
                         uint32_t value);
/* Where a capability is; there must be one */
unsigned fakehost_find_cap(FakeHost *host, uint16_t bdf, uint8_t id);
/* Have the bridge at @bdf lead to the busses @first to @last */
void fakehost_number_bus(FakeHost *host, uint16_t bdf, uint8_t first,
                         uint8_t last);
/* Those of all root ports */
void fakehost_number_busses(FakeHost *host);
/* Switch the slot of root port @n on or off, as a guest does */
void fakehost_set_power(FakeHost *host, unsigned n, bool on);

/* The description of a host with all devices behind an IOMMU, iommu0 */
char *fakehost_describe(const char *iommu);
/* Arguments for QEMU: root ports, iommufd0 and up, a device from the start */
void fakehost_add_ports(GString *args, const char *bus, unsigned ports);
void fakehost_add_iommufds(FakeHost *host, GString *args, unsigned number);
void fakehost_add_device(FakeHost *host, GString *args, unsigned n,
                         const char *props);

/* device_add dev@n; @props as for fakehost_device_add(). NULL or the error */
char *fakehost_try_plug(FakeHost *host, unsigned n, const char *props);
/* device_add that has to succeed */
void fakehost_plug(FakeHost *host, unsigned n);
void fakehost_unplug(FakeHost *host, unsigned n);
/* Reset the machine, wait for it, and number the busses again */
void fakehost_reset(FakeHost *host);
/* device_add of a DIMM with the memory of object mem1. NULL or the error */
char *fakehost_plug_dimm(FakeHost *host);

/* Nothing is left in the host but, if QEMU keeps it, the iommufd */
void fakehost_expect_empty(FakeHost *host);

#endif /* QTEST_VIOMMU_DEVICES_H */
