/*
 * The IORT of a virt machine with SMMUv3 devices that the user adds
 *
 * Table numbers are those of IO Remapping Table, Document number: ARM DEN
 * 0049E.b.  RMR nodes, and the revisions of table and root complex that go with
 * them, are those of ARM DEN 0049E.d.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/aml-build.h"
#include "virt-smmuv3.h"
#include "virt-smmuv3-acpi.h"
#include "smmuv3-internal.h"

#define ARM_SPI_BASE 32

#define IORT_ITS_GROUP      0
#define IORT_ROOT_COMPLEX   2
#define IORT_SMMUV3         4
#define IORT_RMR            6

#define IORT_FIRST_NODE     48
#define ID_MAPPING_SIZE     20
#define SMMUV3_SIZE         68
#define ROOT_COMPLEX_SIZE   36
#define RMR_HEAD_SIZE       28
#define RMR_DESCRIPTOR_SIZE 20

/* An RMR's flags; bits 9:2 are its memory type */
#define RMR_REMAP_PERMITTED (1 << 0)
#define RMR_DEVICE_NGNRE    (1 << 2)

typedef struct IortBuilder {
    VirtMachineState *vms;
    GArray *data;
    uint32_t start;         /* of the table in data */
    uint32_t next_id;       /* identifiers are unique among all nodes */
    uint32_t its_offset;    /* of the ITS group, 0 if there is none */
    GHashTable *offsets;    /* SMMUv3State to the offset of its node */
    GArray *ranges;         /* VirtSMMUv3Range */
    unsigned accels;        /* how many SMMUs have accel=on */
} IortBuilder;

/* Table 4, ID mapping format: output ids are equal to input ids */
static void add_id_mapping(IortBuilder *b, uint32_t first, uint32_t count,
                           uint32_t output_node)
{
    build_append_int_noprefix(b->data, first, 4);       /* Input base */
    build_append_int_noprefix(b->data, count - 1, 4);   /* Number of IDs */
    build_append_int_noprefix(b->data, first, 4);       /* Output base */
    build_append_int_noprefix(b->data, output_node, 4); /* Output Reference */
    build_append_int_noprefix(b->data, 0, 4);           /* Flags */
}

/* What each node begins with; returns the offset of the node in the table */
static uint32_t add_node(IortBuilder *b, uint8_t type, uint8_t revision,
                         uint32_t size, uint32_t mappings)
{
    uint32_t offset = b->data->len - b->start;

    build_append_int_noprefix(b->data, type, 1);
    build_append_int_noprefix(b->data, size + mappings * ID_MAPPING_SIZE, 2);
    build_append_int_noprefix(b->data, revision, 1);
    build_append_int_noprefix(b->data, b->next_id++, 4);
    build_append_int_noprefix(b->data, mappings, 4);
    /* Reference to ID Array */
    build_append_int_noprefix(b->data, mappings ? size : 0, 4);
    return offset;
}

/* Table 12, ITS Group Format */
static void add_its_group(IortBuilder *b)
{
    b->its_offset = add_node(b, IORT_ITS_GROUP, 1, 24, 0);
    build_append_int_noprefix(b->data, 1, 4); /* Number of ITSs */
    build_append_int_noprefix(b->data, 0 /* MADT translation_id */, 4);
}

/* Table 9, SMMUv3 Format */
static void add_smmuv3(IortBuilder *b, SMMUv3State *smmu)
{
    uint32_t offset = add_node(b, IORT_SMMUV3, 4, SMMUV3_SIZE,
                               b->its_offset ? 1 : 0);
    VirtSMMUv3Frame frame;

    g_hash_table_insert(b->offsets, smmu, GUINT_TO_POINTER(offset));
    virt_smmuv3_frame(b->vms, smmu, &frame);
    build_append_int_noprefix(b->data, frame.base, 8);
    build_append_int_noprefix(b->data, 1 /* COHACC Override */, 4); /* Flags */
    build_append_int_noprefix(b->data, 0, 4); /* Reserved */
    build_append_int_noprefix(b->data, 0, 8); /* VATOS address */
    build_append_int_noprefix(b->data, 0 /* Generic SMMU-v3 */, 4); /* Model */
    build_append_int_noprefix(b->data, frame.irqs[SMMU_IRQ_EVTQ] +
                              ARM_SPI_BASE, 4);
    build_append_int_noprefix(b->data, frame.irqs[SMMU_IRQ_PRIQ] +
                              ARM_SPI_BASE, 4);
    build_append_int_noprefix(b->data, frame.irqs[SMMU_IRQ_GERROR] +
                              ARM_SPI_BASE, 4);
    build_append_int_noprefix(b->data, frame.irqs[SMMU_IRQ_CMD_SYNC] +
                              ARM_SPI_BASE, 4);
    build_append_int_noprefix(b->data, 0, 4); /* Proximity domain */
    /* DeviceID mapping index: ignored, the interrupts are wired */
    build_append_int_noprefix(b->data, 0, 4);
    if (b->its_offset) {
        add_id_mapping(b, 0, 0x10000, b->its_offset);
    }
}

/* The node that gets the requests of a range, 0 for none */
static uint32_t output_of_range(IortBuilder *b, const VirtSMMUv3Range *range)
{
    gpointer offset = g_hash_table_lookup(b->offsets, range->smmu);

    return range->smmu ? GPOINTER_TO_UINT(offset) : b->its_offset;
}

/*
 * Table 17, Root Complex Node.  One stands for all root complexes of the
 * machine: they share PCI segment 0.
 */
static void add_root_complex(IortBuilder *b)
{
    uint32_t mappings = 0, ats = 0, pasid_bits = 0;
    guint i;

    for (i = 0; i < b->ranges->len; i++) {
        mappings += output_of_range(b, &g_array_index(b->ranges,
                                                      VirtSMMUv3Range, i)) != 0;
    }
    for (i = 0; i < b->vms->smmuv3s->len; i++) {
        SMMUv3State *smmu = g_ptr_array_index(b->vms->smmuv3s, i);

        ats |= FIELD_EX32(smmu->idr[0], IDR0, ATS);
        if (virt_smmuv3_accel(smmu)) {
            pasid_bits = MAX(pasid_bits,
                             FIELD_EX32(smmu->idr[1], IDR1, SSIDSIZE));
        }
    }
    add_node(b, IORT_ROOT_COMPLEX, b->accels ? 4 : 3,
             ROOT_COMPLEX_SIZE + (b->accels ? 4 : 0), mappings);
    /* Table 14, Memory access properties */
    build_append_int_noprefix(b->data, 1 /* fully coherent */, 4);
    build_append_int_noprefix(b->data, 0, 1); /* AH: Note Allocation Hints */
    build_append_int_noprefix(b->data, 0, 2); /* Reserved */
    /* Table 15, Memory Access Flags */
    build_append_int_noprefix(b->data, 0x3 /* CCA = CPM = DACS = 1 */, 1);
    build_append_int_noprefix(b->data, ats, 4); /* ATS Attribute */
    build_append_int_noprefix(b->data, 0, 4); /* PCI Segment number */
    build_append_int_noprefix(b->data, 64, 1); /* Memory address size limit */
    build_append_int_noprefix(b->data, pasid_bits, 2); /* since revision 4 */
    build_append_int_noprefix(b->data, 0, 1); /* Reserved */
    if (b->accels) {
        build_append_int_noprefix(b->data, 0, 4); /* Flags */
    }
    for (i = 0; i < b->ranges->len; i++) {
        VirtSMMUv3Range *range = &g_array_index(b->ranges, VirtSMMUv3Range, i);
        uint32_t output = output_of_range(b, range);

        if (output) {
            add_id_mapping(b, range->first_rid, range->rids, output);
        }
    }
}

/*
 * Reserved Memory Range node: what the guest has to map one to one for the
 * streams that the node names.  It prepares for each of them, so name those of
 * existing buses only.  When the guest fetches the table, firmware has numbered
 * the buses, and the guest keeps the numbers.
 *
 * Where the guest's own doorbell is in the window, it may give a device to
 * somebody else: whoever maps MSIs there maps what this asks for.
 */
static void add_rmr(IortBuilder *b, SMMUv3State *smmu)
{
    gpointer smmu_offset = g_hash_table_lookup(b->offsets, smmu);
    uint32_t mappings = 0;
    VirtSMMUv3Range *range;
    guint i;

    for (i = 0; i < b->ranges->len; i++) {
        range = &g_array_index(b->ranges, VirtSMMUv3Range, i);
        mappings += range->smmu == smmu;
    }
    add_node(b, IORT_RMR, 3, RMR_HEAD_SIZE + RMR_DESCRIPTOR_SIZE, mappings);
    build_append_int_noprefix(b->data, RMR_DEVICE_NGNRE |
                              (b->vms->its_in_msi_window ?
                               RMR_REMAP_PERMITTED : 0), 4); /* Flags */
    build_append_int_noprefix(b->data, 1, 4); /* Memory Range Descriptors */
    build_append_int_noprefix(b->data, RMR_HEAD_SIZE, 4); /* Reference to it */
    build_append_int_noprefix(b->data, SMMUV3_MSI_WINDOW_BASE, 8);
    build_append_int_noprefix(b->data, SMMUV3_MSI_WINDOW_SIZE, 8);
    build_append_int_noprefix(b->data, 0, 4); /* Reserved */
    for (i = 0; i < b->ranges->len; i++) {
        range = &g_array_index(b->ranges, VirtSMMUv3Range, i);
        if (range->smmu == smmu) {
            add_id_mapping(b, range->first_rid, range->used_rids,
                           GPOINTER_TO_UINT(smmu_offset));
        }
    }
}

static unsigned count_accels(const VirtMachineState *vms)
{
    unsigned count = 0;
    guint i;

    for (i = 0; i < vms->smmuv3s->len; i++) {
        count += virt_smmuv3_accel(g_ptr_array_index(vms->smmuv3s, i));
    }
    return count;
}

void virt_smmuv3_build_iort(VirtMachineState *vms, GArray *table_data,
                            BIOSLinker *linker)
{
    bool its = vms->msi_controller == VIRT_MSI_CTRL_ITS;
    g_autoptr(GHashTable) offsets = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) ranges = virt_smmuv3_ranges(vms);
    unsigned accels = count_accels(vms);
    AcpiTable table = { .sig = "IORT", .rev = accels ? 5 : 3,
                        .oem_id = vms->oem_id,
                        .oem_table_id = vms->oem_table_id };
    IortBuilder b = { .vms = vms, .data = table_data, .offsets = offsets,
                      .ranges = ranges, .accels = accels };
    SMMUv3State *smmu;
    guint i;

    /* Table 2, the IORT */
    acpi_table_begin(&table, table_data);
    b.start = table.table_offset;
    /* Number of nodes: the ITS group, SMMUs, the root complex, RMRs */
    build_append_int_noprefix(table_data,
                              its + vms->smmuv3s->len + 1 + b.accels, 4);
    build_append_int_noprefix(table_data, IORT_FIRST_NODE, 4);
    build_append_int_noprefix(table_data, 0, 4); /* Reserved */

    if (its) {
        add_its_group(&b);
    }
    for (i = 0; i < vms->smmuv3s->len; i++) {
        add_smmuv3(&b, g_ptr_array_index(vms->smmuv3s, i));
    }
    add_root_complex(&b);
    for (i = 0; i < vms->smmuv3s->len; i++) {
        smmu = g_ptr_array_index(vms->smmuv3s, i);
        if (virt_smmuv3_accel(smmu)) {
            add_rmr(&b, smmu);
        }
    }
    acpi_table_end(linker, &table);
}

void virt_smmuv3_dsdt_add_cmdqv(Aml *scope, VirtMachineState *vms)
{
    /* SMMUs come after the ITS group, see virt_smmuv3_build_iort() */
    uint32_t id = vms->msi_controller == VIRT_MSI_CTRL_ITS;
    VirtSMMUv3Cmdqv cmdqv;
    guint i;

    for (i = 0; vms->smmuv3s && i < vms->smmuv3s->len; i++, id++) {
        SMMUv3State *smmu = g_ptr_array_index(vms->smmuv3s, i);
        Aml *dev, *crs;
        uint32_t irq;

        if (!virt_smmuv3_cmdqv(vms, smmu, &cmdqv)) {
            continue;
        }
        irq = cmdqv.irq + ARM_SPI_BASE;
        dev = aml_device("CQ%.02X", i);
        aml_append(dev, aml_name_decl("_HID", aml_string("NVDA200C")));
        aml_append(dev, aml_name_decl("_UID", aml_int(id)));
        aml_append(dev, aml_name_decl("_CCA", aml_int(1)));
        crs = aml_resource_template();
        aml_append(crs, aml_memory32_fixed(cmdqv.base, cmdqv.size,
                                           AML_READ_WRITE));
        aml_append(crs, aml_interrupt(AML_CONSUMER, AML_EDGE, AML_ACTIVE_HIGH,
                                      AML_EXCLUSIVE, &irq, 1));
        aml_append(dev, aml_name_decl("_CRS", crs));
        aml_append(scope, dev);
    }
}
