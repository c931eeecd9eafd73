/*
 * svacheck: a device reads and writes this program's memory at the program's
 * own addresses, none of which is mapped for it before it asks
 *
 *   svacheck PCI-ADDRESS PASID REQUESTS [invalid|swallow]
 *
 * The device is QEMU's pasid-testdev, bound to vfio-pci. It has two address
 * spaces, one by PASID, and requests the pages that it misses; the kernel
 * brings the requests here by a fault queue of iommufd. In each round all
 * accesses begin, then all requests are read, then their groups are answered,
 * the last one first. The page gets its content when it is requested. With
 * "invalid" every group is answered so and nothing is mapped, with "swallow"
 * nothing is answered.
 *
 * One line of NAME=RESULT words on stdout tells how it went. A step that could
 * not be made ends the program with a message on stderr.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <poll.h>
#include "testdev.h"

#define HWPT_ALLOC              CALL(0x89)
#define FAULT_QUEUE_ALLOC       CALL(0x8e)
#define HWPT_FAULT_ID_VALID     (1u << 2)
#define HWPT_ALLOC_PASID        (1u << 3)

/* Of a page request as the kernel reports it */
#define HAS_PASID               1u
#define LAST_PAGE               2u
#define MAY_READ                1u
#define MAY_WRITE               2u
enum { SUCCESS = 0, INVALID = 1 };

/* More of pasid-testdev: sets of registers, in 32-bit words, and results */
enum { SET_WORDS = 8, REQUESTS = 7, READ_ATS = 4, WRITE_ATS = 5 };
enum { DONE = 0, WAITING = 3 };

#define SETS                    64
/* A set accesses 1 or 3 pages, by turns */
#define PAGES_OF(set)           ((set) & 1 ? 3 : 1)
#define ROUND_PAGES             (SETS * 2)
#define SECONDS                 30

typedef struct Request {
    uint32_t flags, devid, pasid, group, perm, reserved;
    uint64_t addr;
    uint32_t length, cookie;
} Request;

typedef struct Response {
    uint32_t cookie, code;
} Response;

static volatile uint32_t *regs;
static unsigned char *memory;
static size_t memory_pages;
static uint32_t pasid, rid_ioas, pasid_ioas;
static int queue;
static unsigned groups, reported, wrong, bad, done, outstanding;
static Response responses[SETS];
/* How long to wait for results in all, in ms */
static unsigned patience = 60000;
static enum { HONEST, ALL_INVALID, SWALLOW } manner;

static uint32_t new_queue(void)
{
    struct {
        uint32_t size, flags, id, fd;
    } alloc = { .size = sizeof(alloc) };

    call(iommufd, FAULT_QUEUE_ALLOC, &alloc, "allocate fault queue");
    queue = alloc.fd;
    return alloc.id;
}

static uint32_t new_hwpt(uint32_t ioas, uint32_t fault_id)
{
    struct {
        uint32_t size, flags, devid, parent, id, reserved, type, len;
        uint64_t data;
        uint32_t fault_id, reserved2;
    } alloc = {
        .size = sizeof(alloc), .flags = HWPT_ALLOC_PASID | HWPT_FAULT_ID_VALID,
        .devid = devid, .parent = ioas, .fault_id = fault_id,
    };

    call(iommufd, HWPT_ALLOC, &alloc, "allocate HWPT with fault queue");
    return alloc.id;
}

/* --- the accesses --- */

static uint64_t stamp(size_t page)
{
    return 0x7061676500000000ull + page * 0x10001;
}

static uint64_t *word(size_t page, unsigned index)
{
    return (uint64_t *)(memory + page * PAGE) + index;
}

static volatile uint32_t *set_regs(unsigned set)
{
    return regs + set * SET_WORDS;
}

/* Half of the sets write, half of each kind by PASID */
static int writes(unsigned set)
{
    return set >> 1 & 1;
}

static uint32_t pasid_of(unsigned set)
{
    return set >> 2 & 1 ? pasid : NO_PASID;
}

/* The first page of a set in that round */
static size_t first_page(unsigned round, unsigned set)
{
    return (size_t)round * ROUND_PAGES + set / 2 * 4 + (set & 1);
}

static void begin(unsigned set, uint64_t addr, unsigned pages, int is_write)
{
    volatile uint32_t *r = set_regs(set);

    *(volatile uint64_t *)(r + ADDRESS) = addr;
    *(volatile uint64_t *)(r + DATA) = is_write ? addr : 0;
    r[PASID] = pasid_of(set);
    r[COMMAND] = (is_write ? WRITE_ATS : READ_ATS) | (pages - 1) << 8;
}

static void begin_round(unsigned round)
{
    for (unsigned set = 0; set < SETS; set++) {
        uint64_t *at = word(first_page(round, set), writes(set));

        begin(set, (uintptr_t)at, PAGES_OF(set), writes(set));
    }
}

/* Did the access of @set get the right data, or leave it? */
static int data_is_right(unsigned round, unsigned set)
{
    size_t page = first_page(round, set);
    uint64_t wanted = 0;

    for (unsigned i = 0; i < PAGES_OF(set); i++) {
        uint64_t written = *(volatile uint64_t *)word(page + i, 1);

        if (written != (writes(set) ? (uintptr_t)word(page, 1) + i : 0)) {
            return 0;
        }
        wanted += stamp(page + i);
    }
    return writes(set) ||
           *(volatile uint64_t *)(set_regs(set) + DATA) == wanted;
}

/* --- the requests --- */

/* Is it one that @set can have made? */
static int is_right(const Request *r)
{
    size_t page = (r->addr - (uintptr_t)memory) / PAGE;
    uint32_t by = r->flags & HAS_PASID ? r->pasid : NO_PASID;
    unsigned set = r->group;

    return r->addr % PAGE == 0 && page < memory_pages && set < SETS &&
           r->devid == devid && by == pasid_of(set) &&
           r->perm == (writes(set) ? MAY_WRITE : MAY_READ);
}

static void serve(const Request *r)
{
    size_t page = (r->addr - (uintptr_t)memory) / PAGE;

    reported++;
    if (!is_right(r)) {
        wrong++;
        return;
    }
    if (manner == HONEST) {
        *word(page, 0) = stamp(page);
        map(r->flags & HAS_PASID ? pasid_ioas : rid_ioas, r->addr,
            word(page, 0), PAGE);
    }
}

/* Read and serve requests until that many groups are complete */
static unsigned collect(unsigned wanted)
{
    static Request requests[ROUND_PAGES];
    struct pollfd pollfd = { .fd = queue, .events = POLLIN };
    unsigned found = 0;

    while (found < wanted && poll(&pollfd, 1, SECONDS * 1000) > 0) {
        ssize_t len = read(queue, requests, sizeof(requests));

        if (len < 0) {
            die("read the fault queue");
        }
        for (unsigned i = 0; i < len / sizeof(requests[0]); i++) {
            serve(&requests[i]);
            if (requests[i].flags & LAST_PAGE && found < wanted) {
                responses[found++].cookie = requests[i].cookie;
            }
        }
    }
    groups += found;
    if (found > outstanding) {
        outstanding = found;
    }
    return found;
}

/* The last group first */
static void answer(unsigned found, uint32_t code)
{
    Response reversed[SETS];

    for (unsigned i = 0; i < found; i++) {
        reversed[i].cookie = responses[found - 1 - i].cookie;
        reversed[i].code = code;
    }
    if (write(queue, reversed, found * sizeof(reversed[0])) !=
        (ssize_t)(found * sizeof(reversed[0]))) {
        die("answer page requests");
    }
}

/* The result of a set, which may take a while */
static uint32_t result(unsigned set)
{
    while (set_regs(set)[RESULT] == WAITING && patience) {
        usleep(1000);
        patience--;
    }
    return set_regs(set)[RESULT];
}

/* Returns how the round ended for all sets: a result if it is the same one */
static int run_round(unsigned round)
{
    unsigned found;
    int all;

    begin_round(round);
    found = collect(SETS);
    if (manner != SWALLOW) {
        answer(found, manner == HONEST ? SUCCESS : INVALID);
    }
    all = result(0);
    for (unsigned set = 0; set < SETS; set++) {
        uint32_t r = result(set);

        done += r == DONE;
        bad += r == DONE && !data_is_right(round, set);
        if ((int)r != all) {
            all = -1;
        }
    }
    return all;
}

/* --- and around them --- */

static const char *name_of(int result)
{
    static const char *const names[] = { "done", "failed", "refused", "waiting",
                                         "invalid", "failure" };

    return result >= 0 && result < 6 ? names[result] : "mixed";
}

/*
 * What is unmapped has to be requested anew, and may have other content, though
 * the device has just kept the translation
 */
static const char *after_unmap(void)
{
    size_t page = first_page(0, 4);
    unsigned found;

    begin(4, (uintptr_t)word(page, 0), 1, 0);
    if (set_regs(4)[RESULT] != DONE) {
        return "not-mapped";
    }
    unmap(pasid_ioas, (uintptr_t)word(page, 0), PAGE);
    begin(4, (uintptr_t)word(page, 0), 1, 0);
    if (set_regs(4)[RESULT] == DONE) {
        return "kept";
    }
    found = collect(1);
    if (!found) {
        return "not-requested";
    }
    answer(found, SUCCESS);
    return result(4) == DONE ? "requested" : name_of(result(4));
}

/* An address that is none of this program's */
static const char *outside(void)
{
    unsigned before = wrong;

    begin(0, PAGE, 1, 0);
    if (!collect(1)) {
        return "not-requested";
    }
    wrong = before;
    answer(1, INVALID);
    return name_of(result(0));
}

static void parse(int argc, char **argv, unsigned *rounds)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: svacheck PCI-ADDRESS PASID REQUESTS "
                "[invalid|swallow]\n");
        exit(2);
    }
    pasid = strtoul(argv[2], NULL, 0);
    *rounds = (strtoul(argv[3], NULL, 0) + ROUND_PAGES - 1) / ROUND_PAGES;
    if (argc == 5) {
        manner = strcmp(argv[4], "invalid") ? SWALLOW : ALL_INVALID;
        *rounds = 1;
        patience = manner == SWALLOW ? 2000 : patience;
    }
}

static void set_up(const char *pci)
{
    uint32_t fault_id;

    memory = mmap(NULL, memory_pages * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap");
    }
    open_device(pci);
    fault_id = new_queue();
    rid_ioas = new_ioas();
    pasid_ioas = new_ioas();
    attach(new_hwpt(rid_ioas, fault_id), NO_PASID);
    regs = start_device(PAGE);
    attach(new_hwpt(pasid_ioas, fault_id), pasid);
}

int main(int argc, char **argv)
{
    unsigned rounds, requested = 0;
    int all = DONE;

    parse(argc, argv, &rounds);
    memory_pages = (size_t)rounds * ROUND_PAGES;
    set_up(argv[1]);
    printf("sva pasid=0x%x ", pasid);
    for (unsigned round = 0; round < rounds && all == DONE; round++) {
        all = run_round(round);
    }
    printf("all=%s done=%u bad=%u ", name_of(all), done, bad);
    if (manner == HONEST) {
        printf("after_unmap=%s ", after_unmap());
        printf("outside=%s ", outside());
    }
    for (unsigned set = 0; set < SETS; set++) {
        requested += set_regs(set)[REQUESTS];
    }
    printf("requested=%u reported=%u groups=%u outstanding=%u wrong=%u\n",
           requested, reported, groups, outstanding, wrong);
    return 0;
}
