/*
 * mark: have the plugin of L0 (testbed/l0-count.c) write what it has counted.
 * Without it this does nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

int main(void)
{
    /* Instructions that no compiler makes; the plugin knows them by sight */
#ifdef __x86_64__
    asm volatile("movabs $0x4b52414d4f494956, %%rax" ::: "rax");
#else
    asm volatile("movn xzr, #0x4d4b, lsl #48");
#endif
    return 0;
}
