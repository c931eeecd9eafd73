/*
 * vfiomap: map memory for a device and unmap it, as programs with drivers of
 * their own do
 *
 *   vfiomap PCI-ADDRESS ROUNDS [small]
 *
 * The device is bound to vfio-pci. Each round maps 2 MiB, which are one large
 * page if the kernel has one, or with "small" 512 of 4 KiB.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include "vfio.h"

#define SIZE    (2u << 20)
#define IOVA    (1u << 30)

int main(int argc, char **argv)
{
    int small = argc == 4 && !strcmp(argv[3], "small");
    unsigned char *memory;
    uint32_t ioas;
    long rounds, i;

    if (argc < 3) {
        fprintf(stderr, "usage: vfiomap PCI-ADDRESS ROUNDS [small]\n");
        return 2;
    }
    rounds = atol(argv[2]);
    memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap");
    }
    memory += SIZE - (uintptr_t)memory % SIZE;
    if (madvise(memory, SIZE, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE)) {
        die("madvise");
    }
    memset(memory, 1, SIZE);
    open_device(argv[1]);
    ioas = new_ioas();
    attach(ioas, NO_PASID);
    for (i = 0; i < rounds; i++) {
        map(ioas, IOVA, memory, SIZE);
        unmap(ioas, IOVA, SIZE);
    }
    printf("rounds=%ld size=%u\n", rounds, SIZE);
    return 0;
}
