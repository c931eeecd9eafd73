/*
 * dmacheck: read and write a disk so that a wrong DMA mapping shows
 *
 *   dmacheck read DEV FIRST BLOCKS       data on stdout, a summary on stderr
 *   dmacheck random DEV BLOCKS COUNT     so many of the first blocks, one by one
 *   dmacheck write DEV FIRST BLOCKS TAG  blocks that the runner can recompute
 *   dmacheck tag DEV FIRST               the text of one written block
 *
 * Blocks are of 4 KiB. dd would not do as an oracle: it reads into the same
 * page for ever, so that a stale translation of a reused IOVA still leads to
 * the right page. Here every request goes to another buffer than the one
 * before; buffers are poisoned first, and the test disk's blocks carry their
 * own number (see testbed/lib/disks.py).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK           4096u
#define MAX_BLOCKS      32u
#define BUFFERS         8u
#define STAMP           "VIOMMU01"
#define LINE            64u

static int die(const char *what)
{
    fprintf(stderr, "dmacheck: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Room for requests that never shares a page between two buffers. */
static unsigned char *get_buffers(void)
{
    void *p = mmap(NULL, BUFFERS * MAX_BLOCKS * BLOCK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static int write_all(int fd, const unsigned char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n <= 0) {
            return -1;
        }
        data += n;
        len -= n;
    }
    return 0;
}

static int block_is_good(const unsigned char *block, uint64_t number)
{
    uint64_t found;

    memcpy(&found, block + sizeof(STAMP) - 1, sizeof(found));
    return !memcmp(block, STAMP, sizeof(STAMP) - 1) && found == number;
}

static int do_read(int fd, uint64_t first, uint64_t blocks)
{
    static const unsigned char sizes[] = { 1, 1, 2, 1, 4, 1, 8, 1, 16, 32 };
    unsigned char *buffers = get_buffers();
    uint64_t pos = 0, requests = 0, bad = 0;

    if (!buffers) {
        return die("mmap");
    }
    while (pos < blocks) {
        unsigned char *buf = buffers + requests % BUFFERS * MAX_BLOCKS * BLOCK;
        uint64_t n = sizes[requests % sizeof(sizes)];
        uint64_t i;

        if (n > blocks - pos) {
            n = blocks - pos;
        }
        memset(buf, 0xdd, n * BLOCK);
        if (pread(fd, buf, n * BLOCK, (first + pos) * BLOCK) !=
            (ssize_t)(n * BLOCK)) {
            return die("pread");
        }
        for (i = 0; i < n; i++) {
            bad += !block_is_good(buf + i * BLOCK, first + pos + i);
        }
        if (write_all(STDOUT_FILENO, buf, n * BLOCK)) {
            return die("stdout");
        }
        pos += n;
        requests++;
    }
    fprintf(stderr, "blocks=%llu requests=%llu bad=%llu\n",
            (unsigned long long)blocks, (unsigned long long)requests,
            (unsigned long long)bad);
    return 0;
}

/* Single blocks in an order without pattern, which is the same each time. */
static int do_random(int fd, uint64_t blocks, uint64_t count)
{
    unsigned char *buffers = get_buffers();
    uint64_t state = 1, bad = 0, i;

    if (!buffers || !blocks) {
        return die("mmap");
    }
    for (i = 0; i < count; i++) {
        unsigned char *buf = buffers + i % (BUFFERS * MAX_BLOCKS) * BLOCK;
        uint64_t n;

        state = state * UINT64_C(6364136223846793005) + 1;
        n = (state >> 33) % blocks;
        memset(buf, 0xdd, BLOCK);
        if (pread(fd, buf, BLOCK, n * BLOCK) != BLOCK) {
            return die("pread");
        }
        bad += !block_is_good(buf, n);
    }
    fprintf(stderr, "requests=%llu bad=%llu\n", (unsigned long long)count,
            (unsigned long long)bad);
    return 0;
}

/* Lines of 64 bytes, each with the tag and the block's number. */
static void fill_block(unsigned char *buf, const char *tag, uint64_t number)
{
    char line[LINE + 1];
    unsigned i;

    snprintf(line, sizeof(line), "written by L2 tag=%.32s block=%llu",
             tag, (unsigned long long)number);
    memset(line + strlen(line), '.', LINE - strlen(line));
    line[LINE - 1] = '\n';
    for (i = 0; i < BLOCK; i += LINE) {
        memcpy(buf + i, line, LINE);
    }
}

static int do_write(int fd, uint64_t first, uint64_t blocks, const char *tag)
{
    unsigned char *buffers = get_buffers();
    uint64_t i;

    if (!buffers) {
        return die("mmap");
    }
    for (i = 0; i < blocks; i++) {
        unsigned char *buf = buffers + i % BUFFERS * MAX_BLOCKS * BLOCK;

        fill_block(buf, tag, first + i);
        if (pwrite(fd, buf, BLOCK, (first + i) * BLOCK) != BLOCK) {
            return die("pwrite");
        }
        /* If the device reads the next block from here, it must show. */
        memset(buf, 0xee, BLOCK);
    }
    return fsync(fd) ? die("fsync") : 0;
}

static int do_tag(int fd, uint64_t first)
{
    unsigned char *buf = get_buffers();

    if (!buf) {
        return die("mmap");
    }
    if (pread(fd, buf, BLOCK, first * BLOCK) != BLOCK) {
        return die("pread");
    }
    return write_all(STDOUT_FILENO, buf, LINE) ? die("stdout") : 0;
}

static uint64_t number(const char *text)
{
    uint64_t value;

    if (sscanf(text, "%" SCNu64, &value) != 1) {
        fprintf(stderr, "dmacheck: %s is no number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    int fd, write_mode;
    uint64_t first;

    if (argc < 4) {
        fprintf(stderr,
                "usage: dmacheck read|random|write|tag DEV FIRST [BLOCKS [TAG]]\n");
        return 2;
    }
    write_mode = !strcmp(argv[1], "write");
    fd = open(argv[2], (write_mode ? O_RDWR | O_DSYNC : O_RDONLY) | O_DIRECT);
    if (fd < 0) {
        return die(argv[2]);
    }
    first = number(argv[3]);
    if (write_mode && argc == 6) {
        return do_write(fd, first, number(argv[4]), argv[5]);
    }
    if (!strcmp(argv[1], "read") && argc == 5) {
        return do_read(fd, first, number(argv[4]));
    }
    if (!strcmp(argv[1], "random") && argc == 5) {
        return do_random(fd, first, number(argv[4]));
    }
    if (!strcmp(argv[1], "tag")) {
        return do_tag(fd, first);
    }
    fprintf(stderr, "dmacheck: bad arguments\n");
    return 2;
}
