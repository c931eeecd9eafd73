/*
 * QTest of a processor that reads registers while the memory map changes
 *
 * Under TCG a processor finds a device by what its TLB remembers. Changing the
 * map empties that TLB, but not at once: until then what it remembers must stay
 * true, or the processor reads another device, or QEMU ends in an assertion.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "hw/pci/pci_regs.h"

#define CHANGES         20000
#define ENOUGH_READS    5000
#define BIOS_SIZE       (64 * 1024)
#define BIOS_BASE       0xf0000
#define RESET_VECTOR    0xfff0

/* Where the guest's program counts */
#define WRONG           0x1000
#define READS           0x1004
#define WRONG_VALUE     0x1008

#define EDU_SLOT        5
#define EDU_BAR         0xe0000000      /* below the register that is read */

/*
 * Real mode to protected mode, then for ever: wait for a pseudo-random time,
 * read the version of the local APIC, and compare it with the first one.
 */
static const uint8_t program[] = {
    0xfa,                               /*   0 cli */
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x60, 0x00, /* lgdtl %cs:0x60 */
    0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, /*     movl $1, %eax */
    0x0f, 0x22, 0xc0,                   /*     movl %eax, %cr0 */
    0x66, 0xea, 0x19, 0x00, 0x0f, 0x00, 0x08, 0x00, /* ljmpl $8, $0xf0019 */
    0xb8, 0x10, 0x00, 0x00, 0x00,       /*  19 movl $16, %eax */
    0x8e, 0xd8,                         /*     movw %ax, %ds */
    0x8b, 0x1d, 0x30, 0x00, 0xe0, 0xfe, /*     movl 0xfee00030, %ebx */
    0xbe, 0x01, 0x00, 0x00, 0x00,       /*     movl $1, %esi */
    0x69, 0xf6, 0x6d, 0x4e, 0xc6, 0x41, /*  2b imull $1103515245, %esi, %esi */
    0x81, 0xc6, 0x39, 0x30, 0x00, 0x00, /*     addl $12345, %esi */
    0x89, 0xf1,                         /*     movl %esi, %ecx */
    0xc1, 0xe9, 0x16,                   /*     shrl $22, %ecx */
    0x49,                               /*  3c decl %ecx */
    0x79, 0xfd,                         /*     jns 0x3c */
    0xa1, 0x30, 0x00, 0xe0, 0xfe,       /*     movl 0xfee00030, %eax */
    0x39, 0xd8,                         /*     cmpl %ebx, %eax */
    0x74, 0x0b,                         /*     je 0x53 */
    0xff, 0x05, 0x00, 0x10, 0x00, 0x00, /*     incl WRONG */
    0xa3, 0x08, 0x10, 0x00, 0x00,       /*     movl %eax, WRONG_VALUE */
    0xff, 0x05, 0x04, 0x10, 0x00, 0x00, /*  53 incl READS */
    0xeb, 0xd0,                         /*     jmp 0x2b */
    0x90, 0x90, 0x90, 0x90, 0x90,
    0x17, 0x00, 0x68, 0x00, 0x0f, 0x00, /*  60 limit and base of the GDT */
    0x90, 0x90,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 68 null */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00, /*    code, 4 GiB */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, /*    data, 4 GiB */
};

static const uint8_t reset_vector[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };

static char *make_bios(void)
{
    g_autofree char *bios = g_malloc0(BIOS_SIZE);
    char *name;
    int fd = g_file_open_tmp("tcg-memory-topology-XXXXXX", &name, NULL);

    g_assert(fd >= 0);
    memcpy(bios, program, sizeof(program));
    memcpy(bios + RESET_VECTOR, reset_vector, sizeof(reset_vector));
    g_assert(write(fd, bios, BIOS_SIZE) == BIOS_SIZE);
    close(fd);
    return name;
}

static void write_config(QTestState *qts, unsigned reg, uint32_t val)
{
    qtest_outl(qts, 0xcf8, 1u << 31 | EDU_SLOT << 11 | reg);
    qtest_outl(qts, 0xcfc, val);
}

static void test_registers_while_bar_moves(void)
{
    g_autofree char *bios = make_bios();
    QTestState *qts = qtest_initf("-machine q35 -accel tcg -m 64M -nodefaults "
                                  "-bios %s -device edu,addr=%u",
                                  bios, EDU_SLOT);
    uint32_t reads = 0;

    write_config(qts, PCI_BASE_ADDRESS_0, EDU_BAR);
    while (!reads) {
        reads = qtest_readl(qts, READS);
    }
    reads += ENOUGH_READS;
    for (unsigned i = 0; i < CHANGES || qtest_readl(qts, READS) < reads; i++) {
        write_config(qts, PCI_COMMAND, i & 1 ? 0 : PCI_COMMAND_MEMORY);
    }
    if (qtest_readl(qts, WRONG)) {
        g_test_message("%u wrong values, the last one 0x%x",
                       qtest_readl(qts, WRONG), qtest_readl(qts, WRONG_VALUE));
        g_test_fail();
    }
    qtest_quit(qts);
    unlink(bios);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/tcg/memory-topology/registers-while-bar-moves",
                   test_registers_while_bar_moves);
    return g_test_run();
}
