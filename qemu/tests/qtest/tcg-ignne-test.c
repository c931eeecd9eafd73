/*
 * QTest of processors that load their FPUs while another takes NMIs
 *
 * An FPU without a pending exception takes back IGNNE#, of which TCG knows one,
 * kept among the flags of the first processor. The other flags there have to
 * outlive what other processors do: if the one that says that an NMI is being
 * served stays by mistake, the first processor never takes another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "tcg-guest.h"

#define ENOUGH_NMIS     100000
#define PATIENCE        (20 * G_USEC_PER_SEC)   /* for the next NMI */

/* Where the processors count */
#define NMIS            0x1000
#define FLDENVS         0x1004

/* The first sends itself an NMI once the last one is served, others FLDENV */
static const uint8_t program[] = {
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

static void test_nmi_beside_fldenv(void)
{
    QTestState *qts = tcg_guest_start("-smp 2", program, sizeof(program));
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

    qtest_add_func("/tcg/ignne/nmi-beside-fldenv", test_nmi_beside_fldenv);
    return g_test_run();
}
