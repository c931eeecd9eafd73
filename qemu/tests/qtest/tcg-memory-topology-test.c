/*
 * QTest of a processor that reads registers while the memory map changes
 *
 * Under TCG a processor finds a device by what its TLB remembers. Changing the
 * map empties that TLB, but not at once: until then what it remembers must stay
 * true, or the processor reads another device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "tcg-guest.h"

#define CHANGES         20000
#define ENOUGH_READS    5000

/* Where the guest's program counts */
#define WRONG           0x1000
#define READS           0x1004
#define WRONG_VALUE     0x1008

#define EDU_SLOT        5
#define EDU_BAR         0xe0000000      /* below the register that is read */

/*
 * For ever: wait for a pseudo-random time, read the version of the local APIC,
 * and compare it with the first one.
 */
static const uint8_t program[] = {
    0x8b, 0x1d, 0x30, 0x00, 0xe0, 0xfe, /*   0 movl 0xfee00030, %ebx */
    0xbe, 0x01, 0x00, 0x00, 0x00,       /*     movl $1, %esi */
    0x69, 0xf6, 0x6d, 0x4e, 0xc6, 0x41, /*   b imull $1103515245, %esi, %esi */
    0x81, 0xc6, 0x39, 0x30, 0x00, 0x00, /*     addl $12345, %esi */
    0x89, 0xf1,                         /*     movl %esi, %ecx */
    0xc1, 0xe9, 0x16,                   /*     shrl $22, %ecx */
    0x49,                               /*  1c decl %ecx */
    0x79, 0xfd,                         /*     jns 0x1c */
    0xa1, 0x30, 0x00, 0xe0, 0xfe,       /*     movl 0xfee00030, %eax */
    0x39, 0xd8,                         /*     cmpl %ebx, %eax */
    0x74, 0x0b,                         /*     je 0x33 */
    0xff, 0x05, 0x00, 0x10, 0x00, 0x00, /*     incl WRONG */
    0xa3, 0x08, 0x10, 0x00, 0x00,       /*     movl %eax, WRONG_VALUE */
    0xff, 0x05, 0x04, 0x10, 0x00, 0x00, /*  33 incl READS */
    0xeb, 0xd0,                         /*     jmp 0xb */
};

static void write_config(QTestState *qts, unsigned reg, uint32_t val)
{
    qtest_outl(qts, 0xcf8, 1u << 31 | EDU_SLOT << 11 | reg);
    qtest_outl(qts, 0xcfc, val);
}

static void test_registers_while_bar_moves(void)
{
    QTestState *qts = tcg_guest_start("-device edu,addr=" stringify(EDU_SLOT),
                                      program, sizeof(program));
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
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/tcg/memory-topology/registers-while-bar-moves",
                   test_registers_while_bar_moves);
    return g_test_run();
}
