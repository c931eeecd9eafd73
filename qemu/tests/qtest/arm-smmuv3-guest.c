/*
 * What a guest of the virt machine does with its SMMUv3s
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <libfdt.h>
#include "qemu/bswap.h"
#include "qemu/bitops.h"
#include "libqos/edu.h"
#include "arm-smmuv3-guest.h"

#define FW_CFG_DMA          0x09020010ull
#define FW_CFG_FILE_DIR     0x19
#define FW_CFG_READ_SELECT  (2 | 8)
#define GICD                0x08000000ull
#define ECAM                0x3f000000ull
#define MMIO_WINDOW         0x10000000ull
#define RAM                 0x40000000ull

#define SPI_BASE            32

/* --- running QEMU --------------------------------------------------------- */

static int run_qemu(char **said, const char *arguments)
{
    const char *qemu = getenv("QTEST_QEMU_BINARY");
    g_autofree char *line = g_strdup_printf("%s -accel qtest -display none "
                                            "-nodefaults %s", qemu, arguments);
    g_autoptr(GError) error = NULL;
    int status;

    g_spawn_command_line_sync(line, NULL, said, &status, &error);
    g_assert_no_error(error);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int smmuv3_run_qemu(char **said, const char *format, ...)
{
    g_autofree char *arguments = NULL;
    va_list ap;

    va_start(ap, format);
    arguments = g_strdup_vprintf(format, ap);
    va_end(ap);
    return run_qemu(said, arguments);
}

/* --- fw_cfg --------------------------------------------------------------- */

static void fw_cfg_read(QTestState *qts, uint16_t key, void *data,
                        uint32_t size)
{
    const uint64_t access = RAM, buffer = RAM + 0x1000;
    struct {
        uint32_t control;
        uint32_t length;
        uint64_t address;
    } QEMU_PACKED request = {
        .control = cpu_to_be32(key << 16 | FW_CFG_READ_SELECT),
        .length = cpu_to_be32(size),
        .address = cpu_to_be64(buffer),
    };

    qtest_memwrite(qts, access, &request, sizeof(request));
    qtest_writeq(qts, FW_CFG_DMA, cpu_to_be64(access));
    g_assert_cmphex(qtest_readl(qts, access), ==, 0);
    qtest_memread(qts, buffer, data, size);
}

uint8_t *smmuv3_read_blob(QTestState *qts, const char *name, size_t *size)
{
    struct {
        uint32_t size;
        uint16_t select;
        uint16_t reserved;
        char name[56];
    } QEMU_PACKED files[64];
    uint8_t directory[4 + sizeof(files)];
    uint8_t *data;
    uint32_t i, count;

    fw_cfg_read(qts, FW_CFG_FILE_DIR, directory, sizeof(directory));
    count = ldl_be_p(directory);
    memcpy(files, directory + 4, sizeof(files));
    for (i = 0; i < count && i < ARRAY_SIZE(files); i++) {
        if (!strncmp(files[i].name, name, sizeof(files[i].name))) {
            *size = be32_to_cpu(files[i].size);
            data = g_malloc(*size);
            fw_cfg_read(qts, be16_to_cpu(files[i].select), data, *size);
            return data;
        }
    }
    g_test_message("no %s in fw_cfg", name);
    g_assert_not_reached();
}

/* --- ACPI ----------------------------------------------------------------- */

/* Revision 3 of the table lacks RMR nodes, 5 has them */
enum { IORT_ITS_GROUP = 0, IORT_ROOT_COMPLEX = 2, IORT_SMMUV3 = 4,
       IORT_RMR = 6 };

static unsigned read_id_mappings(const uint8_t *node, SMMUv3Map *maps)
{
    uint32_t count = ldl_le_p(node + 8);
    const uint8_t *entry = node + ldl_le_p(node + 12);
    uint32_t i;

    g_assert_cmpuint(count, <=, SMMUV3_MAX_MAPS);
    for (i = 0; i < count; i++, entry += 20) {
        g_assert_cmpuint(entry + 20 - node, <=, lduw_le_p(node + 1));
        maps[i].first = ldl_le_p(entry);
        maps[i].count = ldl_le_p(entry + 4) + 1;
        maps[i].output = ldl_le_p(entry + 12);
        /* stream ids are requester ids, and all of them count */
        g_assert_cmphex(ldl_le_p(entry + 8), ==, maps[i].first);
        g_assert_cmphex(ldl_le_p(entry + 16), ==, 0);
    }
    return count;
}

static void read_smmu_node(const uint8_t *node, uint32_t offset, IortSMMU *smmu)
{
    smmu->offset = offset;
    smmu->base = ldq_le_p(node + 16);
    g_assert_cmphex(ldl_le_p(node + 24), ==, 1);    /* coherent */
    g_assert_cmphex(ldl_le_p(node + 40), ==, 0);    /* generic model */
    smmu->irq[SMMUV3_IRQ_EVTQ] = ldl_le_p(node + 44) - SPI_BASE;
    smmu->irq[SMMUV3_IRQ_PRIQ] = ldl_le_p(node + 48) - SPI_BASE;
    smmu->irq[SMMUV3_IRQ_GERROR] = ldl_le_p(node + 52) - SPI_BASE;
    smmu->irq[SMMUV3_IRQ_CMD_SYNC] = ldl_le_p(node + 56) - SPI_BASE;
    smmu->n_maps = read_id_mappings(node, smmu->maps);
}

static void read_rmr_node(const uint8_t *node, IortRMR *rmr)
{
    const uint8_t *descriptor = node + ldl_le_p(node + 24);

    rmr->flags = ldl_le_p(node + 16);
    g_assert_cmpuint(ldl_le_p(node + 20), ==, 1);
    g_assert_cmpuint(descriptor + 20 - node, <=, lduw_le_p(node + 1));
    rmr->base = ldq_le_p(descriptor);
    rmr->size = ldq_le_p(descriptor + 8);
    rmr->n_maps = read_id_mappings(node, rmr->maps);
}

static void read_node(const uint8_t *node, uint32_t offset, IortTable *iort)
{
    switch (node[0]) {
    case IORT_ITS_GROUP:
        iort->its_groups++;
        iort->its_offset = offset;
        break;
    case IORT_ROOT_COMPLEX:
        iort->root_complexes++;
        iort->ats = ldl_le_p(node + 24);
        iort->n_rc_maps = read_id_mappings(node, iort->rc_maps);
        break;
    case IORT_SMMUV3:
        g_assert_cmpuint(iort->smmus, <, SMMUV3_MAX);
        read_smmu_node(node, offset, &iort->smmu[iort->smmus++]);
        break;
    case IORT_RMR:
        g_assert_cmpuint(iort->rmrs, <, SMMUV3_MAX);
        read_rmr_node(node, &iort->rmr[iort->rmrs++]);
        break;
    default:
        g_assert_not_reached();
    }
}

void smmuv3_read_iort(QTestState *qts, IortTable *iort)
{
    size_t size;
    g_autofree uint8_t *tables = smmuv3_read_blob(qts, "etc/acpi/tables",
                                                  &size);
    const uint8_t *table = memmem(tables, size, "IORT", 4);
    uint32_t length, offset, nodes, node_length, i;

    memset(iort, 0, sizeof(*iort));
    g_assert_nonnull(table);
    length = ldl_le_p(table + 4);
    g_assert_cmpuint(table + length - tables, <=, size);
    iort->revision = table[8];
    nodes = ldl_le_p(table + 36);
    offset = ldl_le_p(table + 40);
    for (i = 0; i < nodes; i++, offset += node_length) {
        g_assert_cmpuint(offset + 16, <=, length);
        node_length = lduw_le_p(table + offset + 1);
        g_assert_cmpuint(offset + node_length, <=, length);
        g_assert_cmpuint(ldl_le_p(table + offset + 4), ==, i);
        read_node(table + offset, offset, iort);
    }
    g_assert_cmpuint(offset, ==, length);
}

/* --- the device tree ------------------------------------------------------ */

static const fdt32_t *get_cells(const void *fdt, int node, const char *name,
                                int *count)
{
    const fdt32_t *cells = fdt_getprop(fdt, node, name, count);

    *count = cells ? *count / sizeof(*cells) : 0;
    return cells;
}

static void read_fdt_smmu(const void *fdt, int node, FdtSMMUs *smmus)
{
    const fdt32_t *cells;
    int count, i, at;

    g_assert_cmpuint(smmus->smmus, <, SMMUV3_MAX);
    cells = get_cells(fdt, node, "reg", &count);
    g_assert_cmpint(count, ==, 2);
    for (at = smmus->smmus++; at > 0 && smmus->smmu[at - 1].base >
         VIRT_PLATFORM_BUS_BASE + fdt32_to_cpu(cells[0]); at--) {
        smmus->smmu[at] = smmus->smmu[at - 1];
    }
    smmus->smmu[at].base = VIRT_PLATFORM_BUS_BASE + fdt32_to_cpu(cells[0]);
    smmus->smmu[at].size = fdt32_to_cpu(cells[1]);
    smmus->smmu[at].phandle = fdt_get_phandle(fdt, node);
    cells = get_cells(fdt, node, "interrupts", &count);
    g_assert_cmpint(count, ==, 3 * SMMUV3_IRQS);
    for (i = 0; i < SMMUV3_IRQS; i++) {
        g_assert_cmpuint(fdt32_to_cpu(cells[3 * i]), ==, 0);        /* SPI */
        smmus->smmu[at].irq[i] = fdt32_to_cpu(cells[3 * i + 1]);
        g_assert_cmpuint(fdt32_to_cpu(cells[3 * i + 2]), ==, 1);    /* edge */
    }
    cells = get_cells(fdt, node, "#iommu-cells", &count);
    g_assert_cmpint(count, ==, 1);
    g_assert_cmpuint(fdt32_to_cpu(cells[0]), ==, 1);
    g_assert_nonnull(fdt_getprop(fdt, node, "dma-coherent", NULL));
}

static void read_iommu_map(const void *fdt, FdtSMMUs *smmus)
{
    int node = fdt_path_offset(fdt, "/pcie@10000000");
    const fdt32_t *cells;
    int count, i;

    g_assert_cmpint(node, >=, 0);
    cells = get_cells(fdt, node, "iommu-map", &count);
    g_assert_cmpint(count % 4, ==, 0);
    g_assert_cmpint(count / 4, <=, SMMUV3_MAX_MAPS);
    for (i = 0; i < count; i += 4) {
        SMMUv3Map *map = &smmus->maps[smmus->n_maps++];

        map->first = fdt32_to_cpu(cells[i]);
        map->output = fdt32_to_cpu(cells[i + 1]);
        g_assert_cmphex(fdt32_to_cpu(cells[i + 2]), ==, map->first);
        map->count = fdt32_to_cpu(cells[i + 3]);
    }
}

void smmuv3_read_fdt(FdtSMMUs *smmus, const char *format, ...)
{
    g_autofree char *once = NULL, *arguments = NULL, *said = NULL;
    g_autofree char *name = NULL, *fdt = NULL;
    g_autoptr(GError) error = NULL;
    va_list ap;
    int node;
    int fd = g_file_open_tmp("smmuv3-XXXXXX.dtb", &name, &error);

    g_assert_no_error(error);
    close(fd);
    va_start(ap, format);
    once = g_strdup_vprintf(format, ap);
    va_end(ap);
    arguments = g_strdup_printf("%.*s%s%s",
                                (int)(strstr(once, "%s") - once), once, name,
                                strstr(once, "%s") + 2);
    g_assert_cmpint(run_qemu(&said, arguments), ==, 0);
    g_file_get_contents(name, &fdt, NULL, &error);
    unlink(name);
    g_assert_no_error(error);

    memset(smmus, 0, sizeof(*smmus));
    for (node = fdt_node_offset_by_compatible(fdt, -1, "arm,smmu-v3");
         node >= 0;
         node = fdt_node_offset_by_compatible(fdt, node, "arm,smmu-v3")) {
        read_fdt_smmu(fdt, node, smmus);
    }
    read_iommu_map(fdt, smmus);
}

/* --- registers ------------------------------------------------------------ */

#define GICD_ISPENDR    0x200
#define GICD_ICFGR      0xc00

void smmuv3_wrong_command(QTestState *qts, uint64_t base)
{
    const uint64_t queue = RAM + 0x100000;

    qtest_memset(qts, queue, 0, 16 * 16);
    qtest_writeq(qts, base + SMMUV3_CMDQ_BASE, queue | 4);
    qtest_writel(qts, base + SMMUV3_IRQ_CTRL, 1 /* GERROR */);
    qtest_writel(qts, base + SMMUV3_CR0, SMMUV3_CR0_CMDQEN);
    qtest_writel(qts, base + SMMUV3_CMDQ_PROD, 1);
}

void smmuv3_irq_latch(QTestState *qts, uint32_t spi)
{
    uint32_t id = spi + SPI_BASE;
    uint64_t icfgr = GICD + GICD_ICFGR + id / 16 * 4;

    qtest_writel(qts, icfgr, qtest_readl(qts, icfgr) | 2u << id % 16 * 2);
}

bool smmuv3_irq_pending(QTestState *qts, uint32_t spi)
{
    uint32_t id = spi + SPI_BASE;

    return extract32(qtest_readl(qts, GICD + GICD_ISPENDR + id / 32 * 4),
                     id % 32, 1);
}

uint64_t smmuv3_target(int index)
{
    return RAM + 0x2000000 + index * 0x200000ull;
}

void smmuv3_map_all(QTestState *qts, uint64_t base, int index,
                    uint64_t target)
{
    static const uint32_t streams[] = { 0x020, 0x900 };
    Smmuv3Guest g;
    uint64_t cd;

    smmuv3_guest_init(&g, qts, base, RAM + 0x1000000 + index * 0x200000);
    cd = smmuv3_guest_add_cd(&g, target);
    for (int i = 0; i < ARRAY_SIZE(streams); i++) {
        smmuv3_guest_write_ste(&g, streams[i], SMMUV3_STE_S1 | cd, 0);
    }
    smmuv3_guest_enable(&g);
}

/* --- edu ------------------------------------------------------------------ */

void smmuv3_write_config(QTestState *qts, int bus, int slot, int offset,
                         uint32_t value)
{
    qtest_writel(qts, ECAM + (bus << 20 | slot << 15) + offset, value);
}

void smmuv3_root_port_init(QTestState *qts, int bus, int slot, int index)
{
    uint32_t megabyte = (MMIO_WINDOW >> 16) + index * 0x10;

    smmuv3_write_config(qts, bus, slot, 0x18,
                        (bus + 1) << 16 | (bus + 1) << 8 | bus);
    smmuv3_write_config(qts, bus, slot, 0x20, megabyte << 16 | megabyte);
    smmuv3_write_config(qts, bus, slot, 4, 6 /* memory, bus master */);
}

uint64_t smmuv3_edu_init(QTestState *qts, int bus, int slot, int index)
{
    uint64_t config = ECAM + (bus << 20 | slot << 15);
    uint64_t bar = MMIO_WINDOW + index * 0x100000;

    g_assert_cmphex(qtest_readl(qts, config), ==, 0x11e81234);
    qtest_writel(qts, config + 0x10, bar);
    qtest_writew(qts, config + 4, 6 /* memory, bus master */);
    return bar;
}
