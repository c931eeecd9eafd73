/*
 * Programs for processors that TCG emulates, for qtests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_TCG_GUEST_H
#define TESTS_QTEST_TCG_GUEST_H

#include "libqtest.h"

#define TCG_GUEST_PROGRAM       0xf0080 /* where the program is */
#define TCG_GUEST_GDT           0xf0038
#define TCG_GUEST_GDT_LIMIT     0x17
#define TCG_GUEST_CS            8
#define TCG_GUEST_DS            16

/*
 * Start a PC whose firmware is a program
 *
 * Every processor that starts, at its reset vector or by a SIPI for 0xf0, comes
 * to the program in flat 32-bit protected mode, without paging or interrupts.
 *
 * @args: further arguments of QEMU
 * @program: machine code for TCG_GUEST_PROGRAM
 * @size: of the program in bytes
 *
 * Returns the QEMU; to be ended by qtest_quit().
 */
QTestState *tcg_guest_start(const char *args, const uint8_t *program,
                            size_t size);

#endif
