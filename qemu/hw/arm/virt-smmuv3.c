/*
 * SMMUv3 devices that the user adds to the virt machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "hw/arm/fdt.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_viommu.h"
#include "hw/platform-bus.h"
#include "hw/qdev-core.h"
#include "hw/boards.h"
#include "system/device_tree.h"
#include "virt-smmuv3.h"
#include "smmuv3-internal.h"

#define RIDS_PER_BUS 0x100
#define RIDS         0x10000

bool virt_smmuv3_present(const VirtMachineState *vms)
{
    return vms->smmuv3s;
}

/*
 * The SMMU of -machine iommu=smmuv3 is realized while the machine is built,
 * those of -device only afterwards.
 */
static bool added_by_user(void)
{
    return phase_check(PHASE_MACHINE_INITIALIZED);
}

/* The SMMU that sits on this root complex itself, NULL if there is none */
static SMMUv3State *smmu_on_bus(const VirtMachineState *vms, const PCIBus *bus)
{
    guint i;

    for (i = 0; vms->smmuv3s && i < vms->smmuv3s->len; i++) {
        SMMUv3State *smmu = g_ptr_array_index(vms->smmuv3s, i);

        if (smmu->smmu_state.primary_bus == bus) {
            return smmu;
        }
    }
    return NULL;
}

bool virt_smmuv3_accel(SMMUv3State *smmu)
{
    return object_property_get_bool(OBJECT(smmu), "accel", NULL);
}

bool virt_smmuv3_preserve_config(PCIBus *bus)
{
    VirtMachineState *vms = VIRT_MACHINE(qdev_get_machine());
    SMMUv3State *smmu = smmu_on_bus(vms, bus);

    while (!smmu && bus->parent_dev) {
        bus = pci_get_bus(bus->parent_dev);
        smmu = smmu_on_bus(vms, bus);
    }
    return smmu && virt_smmuv3_accel(smmu);
}

static const char *device_name(DeviceState *dev)
{
    return dev->id ?: object_get_typename(OBJECT(dev));
}

/* pcie.0, or the bus of a pxb-pcie on it */
static bool is_root_complex(const VirtMachineState *vms, PCIBus *bus)
{
    if (!pci_bus_is_root(bus)) {
        return false;
    }
    while (bus->parent_dev) {
        bus = pci_get_bus(bus->parent_dev);
    }
    return bus == vms->bus;
}

static bool check_bus(const VirtMachineState *vms, DeviceState *dev,
                      PCIBus *bus, Error **errp)
{
    ERRP_GUARD();
    SMMUv3State *other;

    if (!bus) {
        error_setg(errp, "%s: primary-bus is missing", device_name(dev));
        error_append_hint(errp, "It names the root complex of the SMMU: "
                          "pcie.0, or the id of a pxb-pcie that comes "
                          "before it.\n");
        return false;
    }
    if (!is_root_complex(vms, bus)) {
        error_setg(errp, "%s: primary-bus %s is not a root complex",
                   device_name(dev), bus->qbus.name);
        error_append_hint(errp, "Use pcie.0, or the id of a pxb-pcie.\n");
        return false;
    }
    other = smmu_on_bus(vms, bus);
    if (other) {
        error_setg(errp, "%s: root complex %s has the SMMUv3 %s already",
                   device_name(dev), bus->qbus.name,
                   device_name(DEVICE(other)));
        error_append_hint(errp, "Remove one of the two, or give it a pxb-pcie "
                          "of its own.\n");
        return false;
    }
    if (pci_bus_bypass_iommu(bus)) {
        error_setg(errp, "%s: root complex %s bypasses the IOMMU",
                   device_name(dev), bus->qbus.name);
        error_append_hint(errp, bus == vms->bus ?
                          "Remove default-bus-bypass-iommu=on.\n" :
                          "Remove bypass_iommu=on from the pxb-pcie.\n");
        return false;
    }
    return pci_viommu_check_order(bus, device_name(dev), "SMMU", errp);
}

/* Will it have a place for a CMDQV block? */
static bool wants_cmdqv(DeviceState *dev)
{
    g_autofree char *cmdqv = NULL;

    if (!virt_smmuv3_accel(ARM_SMMUV3(dev))) {
        return object_property_get_bool(OBJECT(dev), "x-cmdqv", NULL);
    }
    cmdqv = object_property_get_str(OBJECT(dev), "cmdqv", NULL);
    return cmdqv && strcmp(cmdqv, "off");
}

/* When it is full, the platform bus exits without naming the device */
static bool check_interrupts(const VirtMachineState *vms, DeviceState *dev,
                             Error **errp)
{
    ERRP_GUARD();
    PlatformBusDevice *pbus = PLATFORM_BUS_DEVICE(vms->platform_bus_dev);
    long left = pbus->num_irqs -
                bitmap_count_one(pbus->used_irqs, pbus->num_irqs);
    int needed = NUM_SMMU_IRQS + wants_cmdqv(dev);

    if (left < needed) {
        error_setg(errp, "%s: an SMMUv3 needs %d interrupts, and the platform "
                   "bus has %ld of %" PRIu32 " left", device_name(dev),
                   needed, left, pbus->num_irqs);
        error_append_hint(errp, "Use fewer SMMUs: root complexes can share "
                          "that of pcie.0. With cmdqv=off each takes one "
                          "less.\n");
        return false;
    }
    return true;
}

/*
 * For the MSIs of host devices the guest has to map a window one to one in its
 * stage 1.  Only the IORT tells it so.
 */
static bool check_accel(VirtMachineState *vms, DeviceState *dev, Error **errp)
{
    ERRP_GUARD();
    if (!virt_is_acpi_enabled(vms)) {
        error_setg(errp, "%s: accel=on needs ACPI, and the machine has "
                   "acpi=off", device_name(dev));
        error_append_hint(errp, "Only ACPI tells the guest which addresses "
                          "the MSIs of host devices use.\n");
        return false;
    }
    if (MACHINE(vms)->kernel_filename && !vms->bootinfo.firmware_loaded) {
        error_setg(errp, "%s: accel=on needs ACPI, and a guest that -kernel "
                   "starts without firmware has a device tree only",
                   device_name(dev));
        error_append_hint(errp, "Add UEFI firmware, with -bios or as "
                          "pflash.\n");
        return false;
    }
    return true;
}

/* Properties that QEMU 11 and libvirt know, with the values we lack */
static bool check_foreign(DeviceState *dev, Error **errp)
{
    g_autofree char *cmdqv = NULL;

    if (object_property_get_bool(OBJECT(dev), "smmu_per_bus", NULL)) {
        error_setg(errp, "%s: smmu_per_bus=on is not possible: a pxb-pcie "
                   "without an SMMU of its own is behind that of pcie.0",
                   device_name(dev));
        error_append_hint(errp, "Leave it out, and give bypass_iommu=on to a "
                          "pxb-pcie that is to have none.\n");
        return false;
    }
    cmdqv = object_property_get_str(OBJECT(dev), "cmdqv", NULL);
    if (!virt_smmuv3_accel(ARM_SMMUV3(dev)) && !g_strcmp0(cmdqv, "on")) {
        error_setg(errp, "%s: cmdqv=on is not possible without accel=on: the "
                   "command queues are the host's", device_name(dev));
        error_append_hint(errp, "Use cmdqv=auto or cmdqv=off.\n");
        return false;
    }
    return true;
}

bool virt_smmuv3_pre_plug(VirtMachineState *vms, DeviceState *dev,
                          Error **errp)
{
    ERRP_GUARD();
    VirtMachineClass *vmc = VIRT_MACHINE_GET_CLASS(vms);
    SMMUv3State *smmu = ARM_SMMUV3(dev);

    if (!added_by_user()) {
        if (object_property_get_bool(OBJECT(dev), "x-cmdqv", NULL)) {
            error_setg(errp, "the SMMUv3 of iommu=smmuv3 has no place for "
                       "x-cmdqv=on");
            error_append_hint(errp, "Use -device arm-smmuv3 instead of "
                              "iommu=smmuv3.\n");
            return false;
        }
        return true;
    }
    if (vms->iommu != VIRT_IOMMU_NONE) {
        error_setg(errp, "%s: the machine has %s already", device_name(dev),
                   vms->iommu == VIRT_IOMMU_SMMUV3 ?
                   "the SMMUv3 of iommu=smmuv3" : "a virtio-iommu");
        error_append_hint(errp, "Remove one of the two.\n");
        return false;
    }
    if (!check_foreign(dev, errp) ||
        !check_bus(vms, dev, smmu->smmu_state.primary_bus, errp) ||
        !check_interrupts(vms, dev, errp)) {
        return false;
    }
    if (virt_smmuv3_accel(smmu)) {
        return check_accel(vms, dev, errp);
    }
    if (!smmu->stage && !vmc->no_nested_smmu) {
        object_property_set_str(OBJECT(dev), "stage", "nested", &error_abort);
    }
    return true;
}

void virt_smmuv3_plug(VirtMachineState *vms, DeviceState *dev)
{
    if (!added_by_user()) {
        return;
    }
    if (!vms->smmuv3s) {
        vms->smmuv3s = g_ptr_array_new();
    }
    g_ptr_array_add(vms->smmuv3s, ARM_SMMUV3(dev));
}

void virt_smmuv3_frame(const VirtMachineState *vms, SMMUv3State *smmu,
                       VirtSMMUv3Frame *frame)
{
    PlatformBusDevice *pbus = PLATFORM_BUS_DEVICE(vms->platform_bus_dev);
    SysBusDevice *sbdev = SYS_BUS_DEVICE(smmu);
    int i;

    frame->base = vms->memmap[VIRT_PLATFORM_BUS].base +
                  platform_bus_get_mmio_addr(pbus, sbdev, 0);
    frame->size = memory_region_size(sysbus_mmio_get_region(sbdev, 0));
    for (i = 0; i < NUM_SMMU_IRQS; i++) {
        frame->irqs[i] = vms->irqmap[VIRT_PLATFORM_BUS] +
                         platform_bus_get_irqn(pbus, sbdev, i);
    }
}

bool virt_smmuv3_cmdqv(const VirtMachineState *vms, SMMUv3State *smmu,
                       VirtSMMUv3Cmdqv *cmdqv)
{
    PlatformBusDevice *pbus = PLATFORM_BUS_DEVICE(vms->platform_bus_dev);
    SysBusDevice *sbdev = SYS_BUS_DEVICE(smmu);

    /* A place without a block is empty: its host has none */
    if (!sysbus_has_mmio(sbdev, 1) ||
        QTAILQ_EMPTY(&sysbus_mmio_get_region(sbdev, 1)->subregions)) {
        return false;
    }
    cmdqv->base = vms->memmap[VIRT_PLATFORM_BUS].base +
                  platform_bus_get_mmio_addr(pbus, sbdev, 1);
    cmdqv->size = memory_region_size(sysbus_mmio_get_region(sbdev, 1));
    cmdqv->irq = vms->irqmap[VIRT_PLATFORM_BUS] +
                 platform_bus_get_irqn(pbus, sbdev, NUM_SMMU_IRQS);
    return true;
}

/* Adds the first requester id of this root complex and of those below it */
static void add_root_complex(const VirtMachineState *vms, PCIBus *bus,
                             SMMUv3State *inherited, GArray *ranges)
{
    SMMUv3State *smmu = smmu_on_bus(vms, bus) ?: inherited;
    int first_bus = pci_bus_num(bus), min_bus, max_bus;
    VirtSMMUv3Range range = {
        .first_rid = first_bus * RIDS_PER_BUS,
        .smmu = pci_bus_bypass_iommu(bus) ? NULL : smmu,
    };
    PCIBus *child;

    pci_bus_range(bus, &min_bus, &max_bus);
    range.used_rids = (MAX(max_bus, first_bus) + 1 - first_bus) * RIDS_PER_BUS;
    g_array_append_val(ranges, range);
    QLIST_FOREACH(child, &bus->child, sibling) {
        if (pci_bus_is_root(child)) {
            add_root_complex(vms, child, smmu, ranges);
        }
    }
}

static gint compare_ranges(gconstpointer a, gconstpointer b)
{
    const VirtSMMUv3Range *range_a = a, *range_b = b;

    return (gint)range_a->first_rid - (gint)range_b->first_rid;
}

GArray *virt_smmuv3_ranges(const VirtMachineState *vms)
{
    GArray *ranges = g_array_new(false, true, sizeof(VirtSMMUv3Range));
    guint i;

    add_root_complex(vms, vms->bus, NULL, ranges);
    g_array_sort(ranges, compare_ranges);
    for (i = 0; i < ranges->len; i++) {
        VirtSMMUv3Range *range = &g_array_index(ranges, VirtSMMUv3Range, i);
        uint32_t end = i + 1 < ranges->len ? range[1].first_rid : RIDS;

        range->rids = end - range->first_rid;
        /* The guest writes bus numbers, so they may make no sense */
        range->used_rids = MIN(range->used_rids, range->rids);
    }
    return ranges;
}

/*
 * Linux looks for command queues beside an SMMU of Tegra264 only.
 *
 * @smmu_node: gets what refers to the node of the queues
 */
static void add_fdt_cmdqv(const VirtMachineState *vms, SMMUv3State *smmu,
                          const char *smmu_node)
{
    static const char compatible[] = "nvidia,tegra264-smmu\0arm,smmu-v3";
    hwaddr bus_base = vms->memmap[VIRT_PLATFORM_BUS].base;
    void *fdt = MACHINE(vms)->fdt;
    VirtSMMUv3Cmdqv cmdqv;
    g_autofree char *node = NULL;
    uint32_t phandle;

    if (!virt_smmuv3_cmdqv(vms, smmu, &cmdqv)) {
        return;
    }
    phandle = qemu_fdt_alloc_phandle(fdt);
    node = g_strdup_printf("/platform-bus@%" PRIx64 "/cmdqv@%" PRIx64,
                           bus_base, cmdqv.base - bus_base);
    qemu_fdt_add_subnode(fdt, node);
    qemu_fdt_setprop_string(fdt, node, "compatible", "nvidia,tegra264-cmdqv");
    qemu_fdt_setprop_cells(fdt, node, "reg", cmdqv.base - bus_base, cmdqv.size);
    qemu_fdt_setprop_cells(fdt, node, "interrupts", GIC_FDT_IRQ_TYPE_SPI,
                           cmdqv.irq, GIC_FDT_IRQ_FLAGS_EDGE_LO_HI);
    qemu_fdt_setprop_cell(fdt, node, "phandle", phandle);
    qemu_fdt_setprop(fdt, smmu_node, "compatible", compatible,
                     sizeof(compatible));
    qemu_fdt_setprop_cell(fdt, smmu_node, "nvidia,cmdqv", phandle);
}

static uint32_t add_fdt_node(const VirtMachineState *vms, SMMUv3State *smmu)
{
    static const char compatible[] = "arm,smmu-v3";
    static const char irq_names[] = "eventq\0priq\0cmdq-sync\0gerror";
    hwaddr bus_base = vms->memmap[VIRT_PLATFORM_BUS].base;
    void *fdt = MACHINE(vms)->fdt;
    uint32_t phandle = qemu_fdt_alloc_phandle(fdt);
    uint32_t interrupts[NUM_SMMU_IRQS * 3];
    VirtSMMUv3Frame frame;
    g_autofree char *node = NULL;
    int i;

    virt_smmuv3_frame(vms, smmu, &frame);
    for (i = 0; i < NUM_SMMU_IRQS; i++) {
        interrupts[3 * i] = cpu_to_be32(GIC_FDT_IRQ_TYPE_SPI);
        interrupts[3 * i + 1] = cpu_to_be32(frame.irqs[i]);
        interrupts[3 * i + 2] = cpu_to_be32(GIC_FDT_IRQ_FLAGS_EDGE_LO_HI);
    }

    node = g_strdup_printf("/platform-bus@%" PRIx64 "/smmuv3@%" PRIx64,
                           bus_base, frame.base - bus_base);
    qemu_fdt_add_subnode(fdt, node);
    qemu_fdt_setprop(fdt, node, "compatible", compatible, sizeof(compatible));
    qemu_fdt_setprop_cells(fdt, node, "reg", frame.base - bus_base, frame.size);
    qemu_fdt_setprop(fdt, node, "interrupts", interrupts, sizeof(interrupts));
    qemu_fdt_setprop(fdt, node, "interrupt-names", irq_names,
                     sizeof(irq_names));
    qemu_fdt_setprop(fdt, node, "dma-coherent", NULL, 0);
    qemu_fdt_setprop_cell(fdt, node, "#iommu-cells", 1);
    qemu_fdt_setprop_cell(fdt, node, "phandle", phandle);
    add_fdt_cmdqv(vms, smmu, node);
    return phandle;
}

void virt_smmuv3_add_fdt_nodes(VirtMachineState *vms)
{
    g_autoptr(GHashTable) phandles = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) ranges = NULL;
    g_autofree uint32_t *map = NULL;
    bool ats = false;
    int cells = 0;
    guint i;

    if (!virt_smmuv3_present(vms)) {
        return;
    }
    for (i = 0; i < vms->smmuv3s->len; i++) {
        SMMUv3State *smmu = g_ptr_array_index(vms->smmuv3s, i);

        /* Of those with accel=on it is known later, when the guest starts */
        ats |= !virt_smmuv3_accel(smmu) &&
               FIELD_EX32(smmu->idr[0], IDR0, ATS);
        g_hash_table_insert(phandles, smmu,
                            GUINT_TO_POINTER(add_fdt_node(vms, smmu)));
    }

    ranges = virt_smmuv3_ranges(vms);
    map = g_new(uint32_t, ranges->len * 4);
    for (i = 0; i < ranges->len; i++) {
        VirtSMMUv3Range *range = &g_array_index(ranges, VirtSMMUv3Range, i);
        gpointer phandle = g_hash_table_lookup(phandles, range->smmu);

        if (range->smmu) {
            map[cells++] = cpu_to_be32(range->first_rid);
            map[cells++] = cpu_to_be32(GPOINTER_TO_UINT(phandle));
            map[cells++] = cpu_to_be32(range->first_rid);
            map[cells++] = cpu_to_be32(range->rids);
        }
    }
    qemu_fdt_setprop(MACHINE(vms)->fdt, vms->pciehb_nodename, "iommu-map", map,
                     cells * sizeof(map[0]));
    if (ats) {
        qemu_fdt_setprop(MACHINE(vms)->fdt, vms->pciehb_nodename,
                         "ats-supported", NULL, 0);
    }
}
