/*
 * pasidcheck: give a device two address spaces, one by PASID, and see that its
 * DMA goes where it has to
 *
 *   pasidcheck PCI-ADDRESS PASID [ats]
 *
 * The device is QEMU's pasid-testdev, bound to vfio-pci; with "ats" it asks for
 * translations and keeps them until it is told otherwise. Both address spaces
 * map the same IOVA, to different pages. One line of NAME=RESULT words on
 * stdout tells what each request found there: the letter of a page, "blocked"
 * if the request failed, "refused" if the device may not make it. A step that
 * could not be made ends the program with a message on stderr.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "testdev.h"

#define VFIO_DETACH             CALL(120)
#define HWPT_ALLOC              CALL(0x89)
#define GET_HW_INFO             CALL(0x8a)
#define HWPT_ALLOC_PASID        (1u << 3)

#define IOVA                    0x100000u
#define STAMP                   0x7061676520000000ull
#define PAGES                   3           /* A, B, C */

static volatile uint32_t *regs;
static unsigned char *pages;
static uint32_t read_memory = READ_MEMORY, write_memory = WRITE_MEMORY;

static unsigned pasid_width(void)
{
    struct {
        uint32_t size, flags, devid, data_len;
        uint64_t data;
        uint32_t type;
        uint8_t max_pasid_log2, reserved[3];
        uint64_t capabilities;
    } info = { .size = sizeof(info), .devid = devid };

    call(iommufd, GET_HW_INFO, &info, "hardware info");
    return info.max_pasid_log2;
}

static uint32_t new_hwpt(uint32_t ioas)
{
    struct {
        uint32_t size, flags, devid, parent, id, reserved, type, len;
        uint64_t data;
    } alloc = { .size = sizeof(alloc), .flags = HWPT_ALLOC_PASID,
                .devid = devid, .parent = ioas };

    call(iommufd, HWPT_ALLOC, &alloc, "allocate HWPT with PASID");
    return alloc.id;
}

static void map_page(uint32_t ioas, char page)
{
    map(ioas, IOVA, pages + (page - 'A') * PAGE, PAGE);
}

static void detach_pasid(uint32_t pasid)
{
    struct {
        uint32_t argsz, flags, pasid;
    } arg = { .argsz = sizeof(arg), .flags = WITH_PASID, .pasid = pasid };

    call(device, VFIO_DETACH, &arg, "detach the PASID");
}

static uint64_t *word(char page, unsigned index)
{
    return (uint64_t *)(pages + (page - 'A') * PAGE) + index;
}

static uint64_t stamp(char page)
{
    return STAMP | page;
}

static void show_read(const char *name, uint32_t pasid)
{
    const char *trouble;
    uint64_t data;
    char page;

    *(volatile uint64_t *)(regs + DATA) = 0;
    trouble = request(regs, read_memory, IOVA, pasid);
    data = *(volatile uint64_t *)(regs + DATA);
    for (page = 'A'; page < 'A' + PAGES && data != stamp(page); page++) {
    }
    if (trouble) {
        printf("%s=%s ", name, trouble);
    } else if (page == 'A' + PAGES) {
        printf("%s=0x%llx ", name, (unsigned long long)data);
    } else {
        printf("%s=%c ", name, page);
    }
}

/* A write by that PASID; shows the pages that it changed */
static void show_write(const char *name, uint32_t pasid)
{
    const char *trouble;
    char page;

    *(volatile uint64_t *)(regs + DATA) = stamp('W');
    trouble = request(regs, write_memory, IOVA + sizeof(uint64_t), pasid);
    printf("%s=%s", name, trouble ? trouble : "");
    for (page = 'A'; page < 'A' + PAGES; page++) {
        if (*(volatile uint64_t *)word(page, 1) == stamp('W')) {
            printf("%c", page);
            *word(page, 1) = 0;
        }
    }
    printf(" ");
}

int main(int argc, char **argv)
{
    uint32_t rid_ioas, pasid_ioas, pasid;
    char page;

    if (argc == 4 && !strcmp(argv[3], "ats")) {
        read_memory = ATS_READ_MEMORY;
        write_memory = ATS_WRITE_MEMORY;
    } else if (argc != 3) {
        fprintf(stderr, "usage: pasidcheck PCI-ADDRESS PASID [ats]\n");
        return 2;
    }
    pasid = strtoul(argv[2], NULL, 0);
    pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        die("mmap");
    }
    for (page = 'A'; page < 'A' + PAGES; page++) {
        *word(page, 0) = stamp(page);
    }
    open_device(argv[1]);
    printf("pasid=0x%x width=%u ", pasid, pasid_width());
    fflush(stdout);
    rid_ioas = new_ioas();
    pasid_ioas = new_ioas();
    map_page(rid_ioas, 'A');
    map_page(pasid_ioas, 'B');
    attach(new_hwpt(rid_ioas), NO_PASID);
    regs = start_device(PAGE);
    show_read("before_attach", pasid);
    attach(new_hwpt(pasid_ioas), pasid);
    show_read("read_rid", NO_PASID);
    show_read("read_pasid", pasid);
    show_write("write_pasid", pasid);
    show_read("other_pasid", pasid + 1);
    show_read("read_again", pasid);
    unmap(pasid_ioas, IOVA, PAGE);
    show_read("after_unmap", pasid);
    map_page(pasid_ioas, 'C');
    show_read("after_remap", pasid);
    detach_pasid(pasid);
    show_read("after_detach", pasid);
    show_read("rid_at_end", NO_PASID);
    unmap(rid_ioas, IOVA, PAGE);
    show_read("rid_unmapped", NO_PASID);
    printf("\n");
    return 0;
}
