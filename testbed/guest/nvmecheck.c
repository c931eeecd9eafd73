/*
 * nvmecheck: drive an NVMe disk from user space, through VFIO and iommufd
 *
 *   nvmecheck PCI-ADDRESS BLOCKS
 *
 * The disk is bound to vfio-pci. Its first blocks, of 4 KiB, go to stdout. The
 * end of each command is awaited by its MSI-X interrupt, on an eventfd. All
 * data arrives at the same IOVA, which is mapped to another buffer than the one
 * before for each command, so that an invalidation that got lost shows.
 *
 * One line on stderr has the numbers of commands, and of interrupts that came.
 * A step that could not be made ends the program with a message there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <poll.h>
#include <sys/eventfd.h>
#include "testdev.h"

#define VFIO_SET_IRQS           CALL(110)
#define MSIX_INDEX              2u
#define IRQS_BY_EVENTFD         0x24u       /* DATA_EVENTFD, ACTION_TRIGGER */
#define WAIT_MS                 20000

/* Where the disk finds memory: beyond the window of MSIs */
#define QUEUES_IOVA             0x10000000u
#define DATA_IOVA               0x20000000u
#define BUFFERS                 8u
#define DATA_PAGES              2u          /* of a command: PRP1 and PRP2 */
#define DATA_SIZE               (DATA_PAGES * PAGE)

/* Registers, as indices of 32-bit words (NVMe 3.1), and fields */
enum { CC = 5, CSTS = 7, AQA = 9, ASQ = 10, ACQ = 12, DOORBELLS = 1024 };
#define CC_ENABLE               (1u | 6 << 16 | 4 << 20)
#define ENTRIES                 16u

enum { CREATE_SQ = 1, CREATE_CQ = 5, IDENTIFY = 6 };    /* admin commands */
enum { READ = 2 };

typedef struct {
    uint32_t dw0, nsid, reserved[4];
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
} Command;

typedef struct {
    uint32_t result, reserved;
    uint16_t head, sq;
    uint16_t id, status;                    /* bit 0 is the phase */
} Completion;

typedef struct {
    Command *commands;
    volatile Completion *completions;
    unsigned id, tail, head, phase;
    int irq;                                /* an eventfd */
} Queue;

static volatile uint32_t *regs;
static unsigned commands, interrupts, bad;

static void set_register64(unsigned index, uint64_t value)
{
    regs[index] = value;
    regs[index + 1] = value >> 32;
}

static void await_ready(uint32_t ready)
{
    unsigned i;

    for (i = 0; (regs[CSTS] & 1) != ready; i++) {
        if (i == WAIT_MS) {
            errno = ETIMEDOUT;
            die("controller");
        }
        usleep(1000);
    }
}

static void set_irqs(const Queue *queues)
{
    struct {
        uint32_t argsz, flags, index, start, count;
        int32_t fds[2];
    } arg = { .argsz = sizeof(arg), .flags = IRQS_BY_EVENTFD,
              .index = MSIX_INDEX, .count = 2,
              .fds = { queues[0].irq, queues[1].irq } };

    call(device, VFIO_SET_IRQS, &arg, "set up interrupts");
}

/* Pages: commands and completions of both queues, then the identify data */
static void *make_queues(Queue *queues)
{
    unsigned char *memory = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned i;

    if (memory == MAP_FAILED) {
        die("mmap");
    }
    for (i = 0; i < 2; i++) {
        queues[i] = (Queue) {
            .commands = (Command *)(memory + 2 * i * PAGE),
            .completions = (Completion *)(memory + (2 * i + 1) * PAGE),
            .id = i, .phase = 1, .irq = eventfd(0, EFD_CLOEXEC),
        };
        if (queues[i].irq < 0) {
            die("eventfd");
        }
    }
    return memory;
}

/* Carry out one command; its interrupt comes, or the program ends */
static void submit(Queue *queue, const Command *command, const char *what)
{
    struct pollfd pollfd = { .fd = queue->irq, .events = POLLIN };
    volatile Completion *done = queue->completions + queue->head;
    uint64_t count = 0;

    queue->commands[queue->tail] = *command;
    queue->tail = (queue->tail + 1) % ENTRIES;
    __sync_synchronize();
    commands++;
    regs[DOORBELLS + 2 * queue->id] = queue->tail;
    if (poll(&pollfd, 1, WAIT_MS) == 1 &&
        read(queue->irq, &count, sizeof(count)) == sizeof(count)) {
        interrupts += count;
    }
    __sync_synchronize();
    if ((done->status & 1) != queue->phase || !count) {
        fprintf(stderr, "%s: command %u has %s, and no interrupt\n", what,
                commands, (done->status & 1) == queue->phase ? "ended" :
                "not ended");
        exit(1);
    }
    if (done->status >> 1) {
        fprintf(stderr, "%s: status 0x%x\n", what, done->status >> 1);
        exit(1);
    }
    queue->head = (queue->head + 1) % ENTRIES;
    queue->phase ^= !queue->head;
    regs[DOORBELLS + 2 * queue->id + 1] = queue->head;
}

static void start_controller(Queue *queues)
{
    uint32_t queue = (ENTRIES - 1) << 16 | 1;
    Command create_cq = { .dw0 = CREATE_CQ, .prp1 = QUEUES_IOVA + 3 * PAGE,
                          .dw10 = queue, .dw11 = 1 << 16 | 3 };
    Command create_sq = { .dw0 = CREATE_SQ, .prp1 = QUEUES_IOVA + 2 * PAGE,
                          .dw10 = queue, .dw11 = 1 << 16 | 1 };

    regs[CC] = 0;
    await_ready(0);
    regs[AQA] = (ENTRIES - 1) << 16 | (ENTRIES - 1);
    set_register64(ASQ, QUEUES_IOVA);
    set_register64(ACQ, QUEUES_IOVA + PAGE);
    regs[CC] = CC_ENABLE;
    await_ready(1);
    submit(queues, &create_cq, "create completion queue");
    submit(queues, &create_sq, "create submission queue");
}

/* How many of its own blocks the disk has in 4 KiB */
static uint32_t lbas_in_block(Queue *admin, const unsigned char *data)
{
    Command identify = { .dw0 = IDENTIFY, .nsid = 1,
                         .prp1 = QUEUES_IOVA + 4 * PAGE };

    submit(admin, &identify, "identify namespace");
    /* FLBAS names the LBA format, whose third byte is the size's logarithm */
    return PAGE >> data[128 + 4 * (data[26] & 0xf) + 2];
}

/* Each block of the test disk carries its number, see lib/disks.py */
static void check_block(const unsigned char *block, uint64_t number)
{
    uint64_t found;

    memcpy(&found, block + 8, sizeof(found));
    bad += memcmp(block, "VIOMMU01", 8) || found != number;
}

static void read_blocks(Queue *queue, uint32_t ioas, uint32_t lbas,
                        uint32_t blocks)
{
    unsigned char *buffers = mmap(NULL, BUFFERS * DATA_SIZE,
                                  PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Command command = { .dw0 = READ, .nsid = 1, .prp1 = DATA_IOVA,
                        .prp2 = DATA_IOVA + PAGE,
                        .dw12 = DATA_PAGES * lbas - 1 };
    uint32_t block;

    if (buffers == MAP_FAILED) {
        die("mmap");
    }
    for (block = 0; block < blocks; block += DATA_PAGES) {
        unsigned char *buffer = buffers + block / DATA_PAGES % BUFFERS *
                                DATA_SIZE;

        memset(buffer, 0xdd, DATA_SIZE);
        map(ioas, DATA_IOVA, buffer, DATA_SIZE);
        command.dw10 = block * lbas;
        submit(queue, &command, "read");
        unmap(ioas, DATA_IOVA, DATA_SIZE);
        check_block(buffer, block);
        check_block(buffer + PAGE, block + 1);
        if (fwrite(buffer, DATA_SIZE, 1, stdout) != 1) {
            die("stdout");
        }
    }
}

int main(int argc, char **argv)
{
    Queue queues[2];
    uint32_t ioas;
    void *memory;

    if (argc != 3) {
        fprintf(stderr, "usage: nvmecheck PCI-ADDRESS BLOCKS\n");
        return 2;
    }
    open_device(argv[1]);
    ioas = new_ioas();
    memory = make_queues(queues);
    map(ioas, QUEUES_IOVA, memory, 5 * PAGE);
    attach(ioas, NO_PASID);
    set_irqs(queues);
    regs = start_device(2 * PAGE);
    start_controller(queues);
    read_blocks(queues + 1, ioas,
                lbas_in_block(queues, (unsigned char *)memory + 4 * PAGE),
                strtoul(argv[2], NULL, 0));
    regs[CC] = 0;
    await_ready(0);
    if (fflush(stdout)) {
        die("stdout");
    }
    fprintf(stderr, "blocks=%s bad=%u commands=%u interrupts=%u\n", argv[2],
            bad, commands, interrupts);
    return 0;
}
