/*
 * QTest of a hypervisor that injects interrupts into its guest with VMRUN
 *
 * Each VMRUN injects one interrupt, whose handler counts it and returns to the
 * hypervisor with VMMCALL. Meanwhile the memory map is changed, for which TCG
 * takes the processor out of the guest's code: that is no reason to deliver the
 * interrupt again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci-host/q35.h"
#include "target/i386/svm.h"
#include "tcg-guest.h"

#define CHANGES         5000
#define ENOUGH_RUNS     1000

/* Where the hypervisor and its guest count */
#define RUNS            0x1000
#define HANDLED         0x1004
#define EXIT_CODE       0x1008          /* of a #VMEXIT other than VMMCALL */

#define IDT             0x2000
#define VECTOR          0x40
#define HANDLER         (TCG_GUEST_PROGRAM + 0x50)
#define VMCB            0x10000

/* For ever: VMRUN of a guest that handles vector 0x40 */
static const uint8_t program[] = {
    0xb9, 0x80, 0x00, 0x00, 0xc0,       /*   0 movl $0xc0000080, %ecx */
    0xb8, 0x00, 0x10, 0x00, 0x00,       /*     movl $0x1000, %eax */
    0x31, 0xd2,                         /*     xorl %edx, %edx */
    0x0f, 0x30,                         /*     wrmsr: EFER.SVME */
    0xb9, 0x17, 0x01, 0x01, 0xc0,       /*     movl $0xc0010117, %ecx */
    0xb8, 0x00, 0x20, 0x01, 0x00,       /*     movl $0x12000, %eax */
    0x0f, 0x30,                         /*     wrmsr: VM_HSAVE_PA */
    0xb8, 0x00, 0x00, 0x01, 0x00,       /*     movl $VMCB, %eax */
    0xff, 0x05, 0x00, 0x10, 0x00, 0x00, /*  1f incl RUNS */
    0xc7, 0x80, 0xa8, 0x00, 0x00, 0x00, /*     movl $0x80000040, */
    0x40, 0x00, 0x00, 0x80,             /*          EVENTINJ(%eax) */
    0xc7, 0x80, 0xd8, 0x05, 0x00, 0x00, /*     movl $0x9000, */
    0x00, 0x90, 0x00, 0x00,             /*          RSP(%eax) */
    0x0f, 0x01, 0xd8,                   /*     vmrun */
    0x81, 0x78, 0x70, 0x81, 0x00, 0x00, 0x00, /* cmpl $VMMCALL, */
                                        /*          EXITCODE(%eax) */
    0x74, 0xda,                         /*     je 0x1f */
    0x8b, 0x48, 0x70,                   /*     movl EXITCODE(%eax), %ecx */
    0x89, 0x0d, 0x08, 0x10, 0x00, 0x00, /*     movl %ecx, EXIT_CODE */
    0xeb, 0xfe,                         /*     jmp . */
    0xff, 0x05, 0x04, 0x10, 0x00, 0x00, /*  50 incl HANDLED */
    0xb9, 0x20, 0x4e, 0x00, 0x00,       /*     movl $20000, %ecx */
    0xe2, 0xfe,                         /*     loop . */
    0x0f, 0x01, 0xd9,                   /*     vmmcall */
};

/* A guest in protected mode, with the hypervisor's segments and its own IDT */
static void make_guest(QTestState *qts)
{
    const struct vmcb_seg code = { .selector = cpu_to_le16(TCG_GUEST_CS),
                                   .attrib = cpu_to_le16(0xc9b),
                                   .limit = UINT32_MAX };
    const struct vmcb_seg data = { .selector = cpu_to_le16(TCG_GUEST_DS),
                                   .attrib = cpu_to_le16(0xc93),
                                   .limit = UINT32_MAX };
    const struct vmcb vmcb = {
        .control.intercept =
            cpu_to_le64(1ull << (SVM_EXIT_VMRUN - SVM_EXIT_INTR) |
                        1ull << (SVM_EXIT_VMMCALL - SVM_EXIT_INTR) |
                        1ull << (SVM_EXIT_SHUTDOWN - SVM_EXIT_INTR)),
        .control.asid = cpu_to_le32(1),
        .save.cs = code,
        .save.ds = data, .save.es = data, .save.ss = data,
        .save.gdtr.base = cpu_to_le64(TCG_GUEST_GDT),
        .save.gdtr.limit = cpu_to_le32(TCG_GUEST_GDT_LIMIT),
        .save.idtr.base = cpu_to_le64(IDT),
        .save.idtr.limit = cpu_to_le32(8 * VECTOR + 7),
        .save.efer = cpu_to_le64(0x1000),       /* SVME */
        .save.cr0 = cpu_to_le64(0x11),          /* ET, PE */
        .save.dr6 = cpu_to_le64(0xffff0ff0),
        .save.dr7 = cpu_to_le64(0x400),
        .save.rflags = cpu_to_le64(2),
        .save.rip = cpu_to_le64(HANDLER),
    };

    qtest_memwrite(qts, VMCB, &vmcb, sizeof(vmcb));
    qtest_writeq(qts, IDT + 8 * VECTOR,         /* 32-bit interrupt gate */
                 (HANDLER & 0xffff) | TCG_GUEST_CS << 16 | 0x8eull << 40 |
                 (uint64_t)(HANDLER >> 16) << 48);
}

static void test_interrupt_injected_once(void)
{
    QTestState *qts = tcg_guest_start("-cpu max -S", program, sizeof(program));
    uint32_t runs = 0, handled;

    make_guest(qts);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    qtest_outl(qts, 0xcf8, 1u << 31 | MCH_HOST_BRIDGE_PAM0);
    for (unsigned i = 0; i < CHANGES || runs < ENOUGH_RUNS; i++) {
        qtest_outb(qts, 0xcfc + 1, i & 1 ? 0x11 : 0);   /* PAM1 */
        runs = qtest_readl(qts, RUNS);
        g_assert_cmphex(qtest_readl(qts, EXIT_CODE), ==, 0);
    }
    /* The latest may not have come to its handler yet */
    handled = qtest_readl(qts, HANDLED);
    g_assert_cmpuint(handled, >=, runs - 1);
    g_assert_cmpuint(handled, <=, qtest_readl(qts, RUNS));
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/tcg/svm/interrupt-injected-once",
                   test_interrupt_injected_once);
    return g_test_run();
}
