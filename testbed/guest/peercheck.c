/*
 * peercheck: see that the DMA of one device reaches the BAR of another
 *
 *   peercheck PCI-ADDRESS PCI-ADDRESS
 *
 * Both devices are QEMU's pasid-testdev, bound to vfio-pci. The first one's
 * address space maps the second one's BAR, by a dma-buf; what it writes to the
 * other's data register is read there, and the other way round: without memory
 * decode of the other, and when that is back. One line of NAME=RESULT words on
 * stdout: "arrived", "lost", or "blocked" if the request failed. A step that
 * could not be made ends the program with a message on stderr.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "testdev.h"

#define VFIO_FEATURE            CALL(117)
#define FEATURE_GET             (1u << 16)
#define FEATURE_DMA_BUF         11u
#define IOAS_MAP_FILE           CALL(0x8f)
/* The peer's BAR, and a page of memory */
#define BAR_IOVA                0x200000u
#define MEMORY_IOVA             0x300000u

static volatile uint32_t *engine;

static int bar_dmabuf(void)
{
    struct {
        uint32_t argsz, feature, region, open_flags, flags, ranges;
        uint64_t offset, length;
    } get = { .argsz = sizeof(get), .feature = FEATURE_GET | FEATURE_DMA_BUF,
              .open_flags = O_RDWR | O_CLOEXEC, .ranges = 1, .length = PAGE };
    int fd = ioctl(device, VFIO_FEATURE, &get);

    if (fd < 0) {
        die("dma-buf of the BAR");
    }
    return fd;
}

static void map_file(uint32_t ioas, int fd)
{
    struct {
        uint32_t size, flags, ioas;
        int32_t fd;
        uint64_t start, length, iova;
    } arg = { .size = sizeof(arg), .flags = MAP_FIXED_RW, .ioas = ioas, .fd = fd,
              .length = PAGE, .iova = BAR_IOVA };

    call(iommufd, IOAS_MAP_FILE, &arg, "map the dma-buf");
}

static volatile uint64_t *data(volatile uint32_t *regs)
{
    return (volatile uint64_t *)(regs + DATA);
}

/* A value goes from one data register, or such a place in memory, to another */
static void show(const char *name, uint32_t command, uint64_t iova,
                 volatile uint32_t *from, volatile uint32_t *to)
{
    static uint64_t value = 0x7065657200000000;
    const char *trouble;

    *data(from) = ++value;
    if (to) {
        *data(to) = 0;
    }
    trouble = request(engine, command, iova + DATA * sizeof(*from), NO_PASID);
    printf("%s=%s ", name, trouble ? trouble :
           to && *data(to) == value ? "arrived" : "lost");
}

int main(int argc, char **argv)
{
    volatile uint32_t *peer, *memory;
    int peer_device, dmabuf;
    uint32_t ioas;

    if (argc != 3) {
        fprintf(stderr, "usage: peercheck PCI-ADDRESS PCI-ADDRESS\n");
        return 2;
    }
    open_device(argv[2]);
    peer_device = device;
    peer = start_device(PAGE);
    dmabuf = bar_dmabuf();
    open_device(argv[1]);
    engine = start_device(PAGE);
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap");
    }
    ioas = new_ioas();
    map_file(ioas, dmabuf);
    map(ioas, MEMORY_IOVA, (void *)memory, PAGE);
    attach(ioas, NO_PASID);
    show("write", WRITE_MEMORY, BAR_IOVA, engine, peer);
    show("read", READ_MEMORY, BAR_IOVA, peer, engine);
    device = peer_device;
    set_command(MASTER);
    show("decode_off", WRITE_MEMORY, BAR_IOVA, engine, NULL);
    show("memory", WRITE_MEMORY, MEMORY_IOVA, engine, memory);
    unmap(ioas, BAR_IOVA, PAGE);
    set_command(MEMORY_AND_MASTER);
    map_file(ioas, dmabuf);
    show("write_again", WRITE_MEMORY, BAR_IOVA, engine, peer);
    show("read_again", READ_MEMORY, BAR_IOVA, peer, engine);
    printf("\n");
    return 0;
}
