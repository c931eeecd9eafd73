/*
 * Programs for processors that TCG emulates, for qtests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "tcg-guest.h"

#define BIOS_BASE       0xf0000
#define BIOS_SIZE       (64 * 1024)
#define RESET_VECTOR    0xfff0

static const uint8_t to_protected_mode[] = {
    0xfa,                               /*   0 cli */
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x30, 0x00, /* lgdtl %cs:0x30 */
    0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, /*     movl $1, %eax */
    0x0f, 0x22, 0xc0,                   /*     movl %eax, %cr0 */
    0x66, 0xea, 0x19, 0x00, 0x0f, 0x00, 0x08, 0x00, /* ljmpl $8, $0xf0019 */
    0xb8, 0x10, 0x00, 0x00, 0x00,       /*  19 movl $16, %eax */
    0x8e, 0xd8,                         /*     movw %ax, %ds */
    0x8e, 0xd0,                         /*     movw %ax, %ss */
    0xbc, 0x00, 0x80, 0x00, 0x00,       /*     movl $0x8000, %esp */
    0xeb, 0x57,                         /*     jmp 0x80 */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x17, 0x00, 0x38, 0x00, 0x0f, 0x00, /*  30 limit and base of the GDT */
    0x90, 0x90,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 38 null */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00, /*    code, 4 GiB */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, /*    data, 4 GiB */
};

static const uint8_t reset_vector[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };

QTestState *tcg_guest_start(const char *args, const uint8_t *program,
                            size_t size)
{
    g_autofree char *bios = g_malloc0(BIOS_SIZE);
    g_autofree char *name = NULL;
    QTestState *qts;
    int fd = g_file_open_tmp("tcg-guest-XXXXXX", &name, NULL);

    g_assert(fd >= 0);
    memcpy(bios, to_protected_mode, sizeof(to_protected_mode));
    memcpy(bios + TCG_GUEST_PROGRAM - BIOS_BASE, program, size);
    memcpy(bios + RESET_VECTOR, reset_vector, sizeof(reset_vector));
    g_assert(write(fd, bios, BIOS_SIZE) == BIOS_SIZE);
    close(fd);

    qts = qtest_initf("-machine q35 -accel tcg -m 64M -nodefaults -bios %s %s",
                      name, args);
    unlink(name);
    return qts;
}
