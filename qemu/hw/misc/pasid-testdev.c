/*
 * A PCI Express device that does DMA with a PASID
 *
 * QEMU has no other device that tags its requests with a process address space
 * id, so that PASID table entries of the emulated VT-d other than that of
 * requests without PASID could not be tested with DMA. This one reads or writes
 * eight bytes at a time and says how that went. Registers in BAR 0, little
 * endian, by naturally aligned accesses:
 *
 *   0x00  64 bits  address
 *   0x08  64 bits  data
 *   0x10  32 bits  PASID, or all ones for a request without PASID
 *   0x14  32 bits  command: 1 memory to data, 2 data to memory, 3 ask the IOMMU
 *                  to tell about each mapping from now on, as devices do that
 *                  copy them; done when the write returns
 *   0x18  32 bits  result of the last command: 0 done, 1 the request failed or
 *                  the IOMMU refuses, 2 the device may not make it (no bus
 *                  mastering, PASIDs not enabled, PASID too wide, no IOMMU with
 *                  PASIDs)
 *
 * It has no interrupts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/i386/intel_iommu.h"
#include "hw/i386/x86-iommu.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "system/dma.h"

#define TYPE_PASID_TESTDEV      "pasid-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(PasidTestdev, PASID_TESTDEV)

#define PASID_TESTDEV_DEVICE_ID 0x11ea
#define PASID_TESTDEV_BAR_SIZE  4096
#define PASID_TESTDEV_CAP       0x100
#define PASID_TESTDEV_MAX_BITS  20

enum {
    REG_ADDRESS = 0x00,
    REG_DATA = 0x08,
    REG_PASID = 0x10,
    REG_COMMAND = 0x14,
    REG_RESULT = 0x18,
};

enum {
    COMMAND_READ = 1,
    COMMAND_WRITE = 2,
    COMMAND_FOLLOW = 3,
};

enum {
    RESULT_DONE = 0,
    RESULT_FAILED = 1,
    RESULT_REFUSED = 2,
};

struct PasidTestdev {
    PCIDevice parent_obj;

    MemoryRegion bar;
    uint8_t pasid_bits;

    uint64_t address;
    uint64_t data;
    uint32_t pasid;
    uint32_t result;

    VTDAddressSpace *followed;
    IOMMUNotifier notifier;
};

static IntelIOMMUState *pasid_testdev_iommu(void)
{
    Object *iommu = OBJECT(x86_iommu_get_default());

    return (IntelIOMMUState *)object_dynamic_cast(iommu,
                                                  TYPE_INTEL_IOMMU_DEVICE);
}

/* The address space of requests with this PASID, NULL if there may be none */
static AddressSpace *pasid_testdev_as(PasidTestdev *t)
{
    PCIDevice *dev = PCI_DEVICE(t);
    uint16_t control = pci_get_word(dev->config + PASID_TESTDEV_CAP +
                                    PCI_PASID_CTRL);
    IntelIOMMUState *iommu = pasid_testdev_iommu();

    if (!(pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        return NULL;
    }
    if (t->pasid == PCI_NO_PASID) {
        return pci_get_address_space(dev);
    }
    if (!(control & PCI_PASID_CTRL_ENABLE) || t->pasid >> t->pasid_bits ||
        !iommu) {
        return NULL;
    }
    return &vtd_find_add_as(iommu, pci_get_bus(dev), dev->devfn, t->pasid)->as;
}

static void pasid_testdev_notify(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
}

static void pasid_testdev_unfollow(PasidTestdev *t)
{
    if (t->followed) {
        memory_region_unregister_iommu_notifier(
            MEMORY_REGION(&t->followed->iommu), &t->notifier);
        t->followed = NULL;
    }
}

/* Mappings of requests without PASID; what they are does not matter here */
static uint32_t pasid_testdev_follow(PasidTestdev *t)
{
    IntelIOMMUState *iommu = pasid_testdev_iommu();
    PCIDevice *dev = PCI_DEVICE(t);
    VTDAddressSpace *as;
    Error *err = NULL;

    if (!iommu) {
        return RESULT_REFUSED;
    }
    pasid_testdev_unfollow(t);
    as = vtd_find_add_as(iommu, pci_get_bus(dev), dev->devfn, PCI_NO_PASID);
    iommu_notifier_init(&t->notifier, pasid_testdev_notify,
                        IOMMU_NOTIFIER_IOTLB_EVENTS, 0, HWADDR_MAX, 0);
    if (memory_region_register_iommu_notifier(MEMORY_REGION(&as->iommu),
                                              &t->notifier, &err)) {
        warn_report_err(err);
        return RESULT_FAILED;
    }
    t->followed = as;
    return RESULT_DONE;
}

static void pasid_testdev_run(PasidTestdev *t, uint32_t command)
{
    AddressSpace *as = pasid_testdev_as(t);
    uint64_t data = cpu_to_le64(t->data);
    DMADirection dir = command == COMMAND_WRITE ? DMA_DIRECTION_FROM_DEVICE
                                                : DMA_DIRECTION_TO_DEVICE;

    if (command == COMMAND_FOLLOW) {
        t->result = pasid_testdev_follow(t);
        return;
    }
    if (!as || (command != COMMAND_READ && command != COMMAND_WRITE)) {
        t->result = RESULT_REFUSED;
        return;
    }
    if (dma_memory_rw(as, t->address, &data, sizeof(data), dir,
                      MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        t->result = RESULT_FAILED;
        return;
    }
    t->data = le64_to_cpu(data);
    t->result = RESULT_DONE;
}

static uint64_t pasid_testdev_read(void *opaque, hwaddr addr, unsigned size)
{
    PasidTestdev *t = opaque;

    switch (addr) {
    case REG_ADDRESS:
        return t->address;
    case REG_DATA:
        return t->data;
    case REG_PASID:
        return t->pasid;
    case REG_RESULT:
        return t->result;
    default:
        return 0;
    }
}

static void pasid_testdev_write(void *opaque, hwaddr addr, uint64_t value,
                                unsigned size)
{
    PasidTestdev *t = opaque;

    switch (addr) {
    case REG_ADDRESS:
        t->address = value;
        break;
    case REG_DATA:
        t->data = value;
        break;
    case REG_PASID:
        t->pasid = value;
        break;
    case REG_COMMAND:
        pasid_testdev_run(t, value);
        break;
    default:
        break;
    }
}

static const MemoryRegionOps pasid_testdev_ops = {
    .read = pasid_testdev_read,
    .write = pasid_testdev_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static void pasid_testdev_add_cap(PasidTestdev *t)
{
    PCIDevice *dev = PCI_DEVICE(t);

    pcie_add_capability(dev, PCI_EXT_CAP_ID_PASID, 1, PASID_TESTDEV_CAP,
                        PCI_EXT_CAP_PASID_SIZEOF);
    pci_set_word(dev->config + PASID_TESTDEV_CAP + PCI_PASID_CAP,
                 t->pasid_bits << 8);
    pci_set_word(dev->wmask + PASID_TESTDEV_CAP + PCI_PASID_CTRL,
                 PCI_PASID_CTRL_ENABLE);
}

static void pasid_testdev_realize(PCIDevice *dev, Error **errp)
{
    PasidTestdev *t = PASID_TESTDEV(dev);

    if (t->pasid_bits < 1 || t->pasid_bits > PASID_TESTDEV_MAX_BITS) {
        error_setg(errp, "pasid-bits=%u is not in the range 1 to %u",
                   t->pasid_bits, PASID_TESTDEV_MAX_BITS);
        return;
    }
    if (!pci_bus_is_express(pci_get_bus(dev))) {
        error_setg(errp, "PASIDs need a PCI Express bus");
        return;
    }
    if (pcie_endpoint_cap_init(dev, 0x80) < 0) {
        error_setg(errp, "the PCI Express capability could not be added");
        return;
    }
    pasid_testdev_add_cap(t);
    memory_region_init_io(&t->bar, OBJECT(t), &pasid_testdev_ops, t,
                          TYPE_PASID_TESTDEV, PASID_TESTDEV_BAR_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &t->bar);
}

static void pasid_testdev_exit(PCIDevice *dev)
{
    pasid_testdev_unfollow(PASID_TESTDEV(dev));
    pcie_cap_exit(dev);
}

static void pasid_testdev_reset(DeviceState *qdev)
{
    PasidTestdev *t = PASID_TESTDEV(qdev);

    pasid_testdev_unfollow(t);
    pci_set_word(PCI_DEVICE(t)->config + PASID_TESTDEV_CAP + PCI_PASID_CTRL, 0);
    t->address = 0;
    t->data = 0;
    t->pasid = PCI_NO_PASID;
    t->result = RESULT_DONE;
}

static const Property pasid_testdev_properties[] = {
    DEFINE_PROP_UINT8("pasid-bits", PasidTestdev, pasid_bits,
                      PASID_TESTDEV_MAX_BITS),
};

static void pasid_testdev_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = pasid_testdev_realize;
    k->exit = pasid_testdev_exit;
    k->vendor_id = PCI_VENDOR_ID_QEMU;
    k->device_id = PASID_TESTDEV_DEVICE_ID;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "DMA with PASIDs, for tests";
    device_class_set_legacy_reset(dc, pasid_testdev_reset);
    device_class_set_props(dc, pasid_testdev_properties);
    dc->user_creatable = true;
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo pasid_testdev_info = {
    .name = TYPE_PASID_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PasidTestdev),
    .class_init = pasid_testdev_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void pasid_testdev_register_types(void)
{
    type_register_static(&pasid_testdev_info);
}

type_init(pasid_testdev_register_types)
