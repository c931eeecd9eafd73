/*
 * Intel VT-d without CONFIG_IOMMUFD: no first-stage tables on the host IOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "intel_iommu_accel.h"

void vtd_accel_init(IntelIOMMUState *s, VTDAccelResume *resume)
{
}

AddressSpace *vtd_accel_address_space(IntelIOMMUState *s)
{
    g_assert_not_reached();
}

bool vtd_accel_wants_nesting(IntelIOMMUState *s, PCIDevice *dev)
{
    return false;
}

bool vtd_accel_supports_device(IntelIOMMUState *s, PCIDevice *dev, Error **errp)
{
    return true;
}

bool vtd_accel_supports_host(IntelIOMMUState *s, HostIOMMUDevice *hiod,
                             Error **errp)
{
    error_setg(errp, "intel-iommu with x-flts=on needs CONFIG_IOMMUFD for host "
               "devices, which this QEMU was built without: use "
               "x-flts=off,caching-mode=on");
    return false;
}

uint64_t vtd_accel_host_quirks(uint32_t type, void *caps, uint32_t size)
{
    return 0;
}

void vtd_accel_add_device(IntelIOMMUState *s, PCIBus *bus, int devfn,
                          HostIOMMUDevice *hiod)
{
}

bool vtd_accel_can_request(IntelIOMMUState *s, PCIDevice *dev)
{
    return false;
}

void vtd_accel_del_device(IntelIOMMUState *s, PCIBus *bus, int devfn)
{
}

void vtd_accel_refresh_all(IntelIOMMUState *s)
{
}

void vtd_accel_context_device_invalidate(IntelIOMMUState *s, uint16_t source_id,
                                         uint16_t sid_mask)
{
}

bool vtd_accel_process_pasid_desc(IntelIOMMUState *s, uint64_t lo)
{
    return true;
}

void vtd_accel_process_piotlb_desc(IntelIOMMUState *s, const uint64_t *val)
{
}

void vtd_accel_iotlb_invalidate(IntelIOMMUState *s, uint16_t domain_id,
                                uint64_t addr, uint8_t am)
{
}

void vtd_accel_iotlb_invalidate_all(IntelIOMMUState *s)
{
}

bool vtd_accel_sync(IntelIOMMUState *s)
{
    return true;
}

char *vtd_accel_describe(IntelIOMMUState *s)
{
    return g_strdup("");
}

void vtd_accel_command_begin(IntelIOMMUState *s)
{
}

bool vtd_accel_command_end(IntelIOMMUState *s, uint32_t status)
{
    return true;
}

uint32_t vtd_accel_status_pending(IntelIOMMUState *s)
{
    return 0;
}

bool vtd_accel_queue_step(IntelIOMMUState *s)
{
    return true;
}

bool vtd_accel_queue_read(IntelIOMMUState *s, uint64_t *val)
{
    return false;
}

void vtd_accel_emulated_dma(IntelIOMMUState *s)
{
}

bool vtd_accel_write_status(IntelIOMMUState *s, hwaddr addr, uint32_t data)
{
    return false;
}

void vtd_accel_queue_end(IntelIOMMUState *s)
{
}

void vtd_accel_query(IntelIOMMUState *s, ViommuQuery *query)
{
}
