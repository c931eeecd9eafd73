/*
 * QTest of IGNNE#, which lets go of an FPU exception that IRQ 13 told of
 *
 * A write to port F0h asserts it, an FPU without a pending exception takes it
 * back. TCG knows one, kept among the flags of the first processor. The other
 * flags there have to outlive what other processors do: if the one that says
 * that an NMI is being served stays by mistake, the first processor never takes
 * another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "tcg-guest.h"

#define ENOUGH_NMIS     100000
#define PATIENCE        (600 * G_USEC_PER_SEC)  /* for the next NMI: a hang */

/* Where the processors count */
#define NMIS            0x1000
#define FLDENVS         0x1004

/* Where each of two processors looks for what to do; 0 again when it is done */
#define COMMAND(cpu)    (0x1010 + 4 * (cpu))
#define DIVIDE_BY_ZERO  1
#define WRITE_PORT_F0   2
#define LOAD_CLEAN_FPU  3
#define CONTROL_WORD    0x3020          /* of the FPU that divides by zero */
#define ZE_UNMASKED     0x37b

#define FPU_IRQ         13

/* The first sends itself an NMI once the last one is served, others FLDENV */
static const uint8_t nmi_program[] = {
    0xb9, 0x1b, 0x00, 0x00, 0x00,       /*   0 movl $0x1b, %ecx */
    0x0f, 0x32,                         /*     rdmsr: IA32_APIC_BASE */
    0xa9, 0x00, 0x01, 0x00, 0x00,       /*     testl $0x100, %eax: BSP */
    0x75, 0x0e,                         /*     jnz 0x1c */
    0xd9, 0x25, 0x00, 0x30, 0x00, 0x00, /*   e fldenv 0x3000: zeroes */
    0xff, 0x05, 0x04, 0x10, 0x00, 0x00, /*     incl FLDENVS */
    0xeb, 0xf2,                         /*     jmp 0xe */
    0x2e, 0x0f, 0x01, 0x1d, 0xce, 0x00, 0x0f, 0x00, /* 1c lidtl 0xf00ce */
    0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, /*     movl $0xc46f0, 0xfee00300: */
    0xf0, 0x46, 0x0c, 0x00,             /*          SIPI to all others */
    0xa1, 0x00, 0x10, 0x00, 0x00,       /*  2e movl NMIS, %eax */
    0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, /*     movl $0x400, 0xfee00300: */
    0x00, 0x04, 0x00, 0x00,             /*          NMI to local APIC 0 */
    0x3b, 0x05, 0x00, 0x10, 0x00, 0x00, /*  3d cmpl NMIS, %eax */
    0x74, 0xf8,                         /*     je 0x3d */
    0xeb, 0xe7,                         /*     jmp 0x2e */
    0xff, 0x05, 0x00, 0x10, 0x00, 0x00, /*  47 incl NMIS */
    0xcf,                               /*     iretl */
    0x17, 0x00, 0xd4, 0x00, 0x0f, 0x00, /*  4e limit and base of the IDT */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 54 no gate */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /*    no gate */
    0xc7, 0x00, 0x08, 0x00, 0x00, 0x8e, 0x0f, 0x00, /*    gate to 0xf00c7 */
};

/* For ever: wait for a command, and obey */
static const uint8_t command_program[] = {
    0xb9, 0x1b, 0x00, 0x00, 0x00,       /*   0 movl $0x1b, %ecx */
    0x0f, 0x32,                         /*     rdmsr: IA32_APIC_BASE */
    0xa9, 0x00, 0x01, 0x00, 0x00,       /*     testl $0x100, %eax: BSP */
    0xbf, 0x14, 0x10, 0x00, 0x00,       /*     movl $COMMAND(1), %edi */
    0x74, 0x0f,                         /*     jz 0x22 */
    0xbf, 0x10, 0x10, 0x00, 0x00,       /*     movl $COMMAND(0), %edi */
    0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, /*     movl $0xc46f0, 0xfee00300: */
    0xf0, 0x46, 0x0c, 0x00,             /*          SIPI to all others */
    0x8b, 0x07,                         /*  22 movl (%edi), %eax */
    0x85, 0xc0,                         /*     testl %eax, %eax */
    0x74, 0xfa,                         /*     jz 0x22 */
    0x83, 0xf8, 0x02,                   /*     cmpl $WRITE_PORT_F0, %eax */
    0x74, 0x13,                         /*     je 0x40 */
    0x77, 0x16,                         /*     ja 0x45 */
    0xdb, 0xe3,                         /*     fninit */
    0xd9, 0x2d, 0x20, 0x30, 0x00, 0x00, /*     fldcw CONTROL_WORD */
    0xd9, 0xe8,                         /*     fld1 */
    0xd9, 0xee,                         /*     fldz */
    0xde, 0xf9,                         /*     fdivp */
    0x9b,                               /*     fwait */
    0xeb, 0x0b,                         /*     jmp 0x4b */
    0xe6, 0xf0,                         /*  40 outb %al, $0xf0 */
    0x9b,                               /*     fwait */
    0xeb, 0x06,                         /*     jmp 0x4b */
    0xd9, 0x25, 0x00, 0x30, 0x00, 0x00, /*  45 fldenv 0x3000: zeroes */
    0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, /*  4b movl $0, (%edi) */
    0xeb, 0xcf,                         /*     jmp 0x22 */
};

static bool irq_after(QTestState *qts, unsigned cpu, uint32_t command)
{
    qtest_writel(qts, COMMAND(cpu), command);
    while (qtest_readl(qts, COMMAND(cpu))) {
        g_usleep(100);
    }
    return qtest_get_irq(qts, FPU_IRQ);
}

/* Whichever processor's port access and FPU it is that IGNNE# comes from */
static void test_irq_and_port(void)
{
    QTestState *qts = tcg_guest_start("-smp 2", command_program,
                                      sizeof(command_program));

    qtest_irq_intercept_in(qts, "ioapic");
    qtest_writel(qts, CONTROL_WORD, ZE_UNMASKED);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        g_assert_true(irq_after(qts, 0, DIVIDE_BY_ZERO));
        g_assert_false(irq_after(qts, cpu, WRITE_PORT_F0));
        g_assert_false(irq_after(qts, 0, DIVIDE_BY_ZERO));
        g_assert_false(irq_after(qts, cpu, LOAD_CLEAN_FPU));
    }
    g_assert_true(irq_after(qts, 0, DIVIDE_BY_ZERO));
    qtest_quit(qts);
}

static void test_nmi_beside_fldenv(void)
{
    QTestState *qts = tcg_guest_start("-smp 2", nmi_program,
                                      sizeof(nmi_program));
    uint32_t nmis = 0;
    int64_t deadline = g_get_monotonic_time() + PATIENCE;

    while (nmis < ENOUGH_NMIS) {
        uint32_t now = qtest_readl(qts, NMIS);

        if (now != nmis) {
            deadline = g_get_monotonic_time() + PATIENCE;
        } else if (g_get_monotonic_time() > deadline) {
            g_test_message("no other NMI after %u", nmis);
            g_test_fail();
            break;
        }
        nmis = now;
    }
    g_assert_cmpuint(qtest_readl(qts, FLDENVS), >, 0);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/tcg/ignne/irq-and-port", test_irq_and_port);
    qtest_add_func("/tcg/ignne/nmi-beside-fldenv", test_nmi_beside_fldenv);
    return g_test_run();
}
