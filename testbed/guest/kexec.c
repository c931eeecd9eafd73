/*
 * kexec: start another kernel, once everything is synced
 *
 *   kexec KERNEL INITRD CMDLINE
 *
 * Busybox has none. The kernel shuts its devices and its IOMMU down first, as
 * it does before a reboot.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int kernel, initrd;

    if (argc != 4) {
        fprintf(stderr, "usage: kexec KERNEL INITRD CMDLINE\n");
        return 2;
    }
    kernel = open(argv[1], O_RDONLY);
    initrd = open(argv[2], O_RDONLY);
    if (kernel < 0 || initrd < 0 ||
        syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1,
                argv[3], 0ul)) {
        perror("kexec: load");
        return 1;
    }
    sync();
    reboot(LINUX_REBOOT_CMD_KEXEC);
    perror("kexec: start");
    return 1;
}
