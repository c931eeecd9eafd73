/*
 * How programs in L2 drive a device that is bound to vfio-pci, and QEMU's
 * pasid-testdev in particular.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <sys/mman.h>
#include "vfio.h"

#define VFIO_GET_REGION_INFO    CALL(108)
#define CONFIG_REGION           7u
#define COMMAND_REGISTER        4
#define MASTER                  4
#define MEMORY_AND_MASTER       6

/* Registers of pasid-testdev, in 32-bit words */
enum { ADDRESS = 0, DATA = 2, PASID = 4, COMMAND = 5, RESULT = 6 };
enum { READ_MEMORY = 1, WRITE_MEMORY = 2, ATS_READ_MEMORY = 4,
       ATS_WRITE_MEMORY = 5 };

#define PAGE                    4096u

static uint64_t region_offset(uint32_t index)
{
    struct {
        uint32_t argsz, flags, index, cap_offset;
        uint64_t size, offset;
    } info = { .argsz = sizeof(info), .index = index };

    call(device, VFIO_GET_REGION_INFO, &info, "region info");
    return info.offset;
}

static void set_command(uint16_t command)
{
    uint64_t config = region_offset(CONFIG_REGION);

    if (pwrite(device, &command, 2, config + COMMAND_REGISTER) != 2) {
        die("command register");
    }
}

/* So many bytes of the registers of the device that was opened last */
static volatile uint32_t *start_device(size_t size)
{
    void *bar;

    set_command(MEMORY_AND_MASTER);
    bar = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, device,
               region_offset(0));
    if (bar == MAP_FAILED) {
        die("mmap of BAR 0");
    }
    return bar;
}

/* One request; what it ended with, or 0 if it was carried out */
static inline const char *request(volatile uint32_t *regs, uint32_t command,
                                  uint64_t iova, uint32_t pasid)
{
    static const char *const results[] = { NULL, "blocked", "refused" };

    regs[ADDRESS] = iova;
    regs[ADDRESS + 1] = iova >> 32;
    regs[PASID] = pasid;
    regs[COMMAND] = command;
    return regs[RESULT] < 3 ? results[regs[RESULT]] : "broken";
}
