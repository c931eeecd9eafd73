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
#include "libqtest.h"
#include "hw/pci-host/q35.h"
#include "target/i386/svm.h"

#define CHANGES         5000
#define ENOUGH_RUNS     1000
#define BIOS_SIZE       (64 * 1024)
#define BIOS_BASE       0xf0000
#define RESET_VECTOR    0xfff0
#define HANDLER         (BIOS_BASE + 0x74)

/* Where the hypervisor and its guest count */
#define RUNS            0x1000
#define HANDLED         0x1004
#define EXIT_CODE       0x1008          /* of a #VMEXIT other than VMMCALL */

#define IDT             0x2000
#define VECTOR          0x40
#define VMCB            0x10000

/* Real mode to protected mode, then for ever: VMRUN with vector 0x40 injected */
static const uint8_t program[] = {
    0xfa,                               /*   0 cli */
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x90, 0x00, /* lgdtl %cs:0x90 */
    0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, /*     movl $1, %eax */
    0x0f, 0x22, 0xc0,                   /*     movl %eax, %cr0 */
    0x66, 0xea, 0x19, 0x00, 0x0f, 0x00, 0x08, 0x00, /* ljmpl $8, $0xf0019 */
    0xb8, 0x10, 0x00, 0x00, 0x00,       /*  19 movl $16, %eax */
    0x8e, 0xd8,                         /*     movw %ax, %ds */
    0xb9, 0x80, 0x00, 0x00, 0xc0,       /*     movl $0xc0000080, %ecx */
    0xb8, 0x00, 0x10, 0x00, 0x00,       /*     movl $0x1000, %eax */
    0x31, 0xd2,                         /*     xorl %edx, %edx */
    0x0f, 0x30,                         /*     wrmsr: EFER.SVME */
    0xb9, 0x17, 0x01, 0x01, 0xc0,       /*     movl $0xc0010117, %ecx */
    0xb8, 0x00, 0x20, 0x01, 0x00,       /*     movl $0x12000, %eax */
    0x0f, 0x30,                         /*     wrmsr: VM_HSAVE_PA */
    0xff, 0x05, 0x00, 0x10, 0x00, 0x00, /*  3a incl RUNS */
    0xc7, 0x05, 0xa8, 0x00, 0x01, 0x00, /*     movl $0x80000040, */
    0x40, 0x00, 0x00, 0x80,             /*          VMCB EVENTINJ */
    0xc7, 0x05, 0xd8, 0x05, 0x01, 0x00, /*     movl $0x9000, */
    0x00, 0x90, 0x00, 0x00,             /*          VMCB RSP */
    0xb8, 0x00, 0x00, 0x01, 0x00,       /*     movl $VMCB, %eax */
    0x0f, 0x01, 0xd8,                   /*     vmrun */
    0x81, 0x3d, 0x70, 0x00, 0x01, 0x00, /*     cmpl $SVM_EXIT_VMMCALL, */
    0x81, 0x00, 0x00, 0x00,             /*          VMCB EXITCODE */
    0x74, 0xd2,                         /*     je 0x3a */
    0xa1, 0x70, 0x00, 0x01, 0x00,       /*     movl VMCB EXITCODE, %eax */
    0xa3, 0x08, 0x10, 0x00, 0x00,       /*     movl %eax, EXIT_CODE */
    0xeb, 0xfe,                         /*     jmp . */
    0xff, 0x05, 0x04, 0x10, 0x00, 0x00, /*  74 incl HANDLED */
    0xb9, 0x20, 0x4e, 0x00, 0x00,       /*     movl $20000, %ecx */
    0xe2, 0xfe,                         /*     loop . */
    0x0f, 0x01, 0xd9,                   /*     vmmcall */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x17, 0x00, 0x98, 0x00, 0x0f, 0x00, /*  90 limit and base of the GDT */
    0x90, 0x90,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 98 null */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00, /*    code, 4 GiB */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, /*    data, 4 GiB */
};

static const uint8_t reset_vector[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };

static char *make_bios(void)
{
    g_autofree char *bios = g_malloc0(BIOS_SIZE);
    char *name;
    int fd = g_file_open_tmp("tcg-svm-XXXXXX", &name, NULL);

    g_assert(fd >= 0);
    memcpy(bios, program, sizeof(program));
    memcpy(bios + RESET_VECTOR, reset_vector, sizeof(reset_vector));
    g_assert(write(fd, bios, BIOS_SIZE) == BIOS_SIZE);
    close(fd);
    return name;
}

/* A guest in protected mode, with the hypervisor's segments and its own IDT */
static void make_guest(QTestState *qts)
{
    const struct vmcb_seg code = { .selector = 8, .attrib = 0xc9b,
                                   .limit = UINT32_MAX };
    const struct vmcb_seg data = { .selector = 16, .attrib = 0xc93,
                                   .limit = UINT32_MAX };
    const struct vmcb vmcb = {
        .control.intercept =
            cpu_to_le64(1ull << (SVM_EXIT_VMRUN - SVM_EXIT_INTR) |
                        1ull << (SVM_EXIT_VMMCALL - SVM_EXIT_INTR) |
                        1ull << (SVM_EXIT_SHUTDOWN - SVM_EXIT_INTR)),
        .control.asid = cpu_to_le32(1),
        .save.cs = code,
        .save.ds = data, .save.es = data, .save.ss = data,
        .save.gdtr.base = cpu_to_le64(BIOS_BASE + 0x98),
        .save.gdtr.limit = cpu_to_le32(0x17),
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
                 (HANDLER & 0xffff) | 8ull << 16 | 0x8eull << 40 |
                 (uint64_t)(HANDLER >> 16) << 48);
}

static void test_interrupt_injected_once(void)
{
    g_autofree char *bios = make_bios();
    QTestState *qts = qtest_initf("-machine q35 -cpu max -accel tcg -m 64M "
                                  "-nodefaults -S -bios %s", bios);
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
    unlink(bios);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/tcg/svm/interrupt-injected-once",
                   test_interrupt_injected_once);
    return g_test_run();
}
