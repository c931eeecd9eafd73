/*
 * QTest: how VFIO maps guest memory for devices with an iommufd: shared memory
 * of a file by that file where the host can, other memory by its address, all
 * of it once whatever the number of devices, and what stays there once only
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/vfs.h>
#include "qemu/bswap.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "libqos/malloc-pc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_mem.h"
#include "viommu/sweep.h"
#include "vtd-accel-legacy.h"

#define BY_ADDRESS  "IOMMU_IOAS_MAP"
#define BY_FILE     "IOMMU_IOAS_MAP_FILE"
#define RAM_SIZE    (VTD_GUEST_RAM_MB * MiB)
#define MEMFD       "-object memory-backend-memfd,id=ram,size=%zu,share=%s " \
                    "-machine memory-backend=ram "

static bool start(VtdAccelTest *t, const char *args, unsigned devices)
{
    VtdAccelSetup setup = { .args = args, .devices = devices };

    return vtd_accel_start(t, &setup);
}

static bool start_memfd(VtdAccelTest *t, const char *share, unsigned devices)
{
    g_autofree char *args = g_strdup_printf(MEMFD, (size_t)RAM_SIZE, share);

    return start(t, args, devices);
}

static uint64_t map_calls(FakeHost *host)
{
    return fakehost_calls(host, BY_ADDRESS) + fakehost_calls(host, BY_FILE);
}

/* Memory above 1 MiB goes as a whole */
static void expect_above(VtdAccelTest *t, bool by_file, uint64_t file_offset)
{
    g_autofree char *line = fakehost_log_last(t->host, 0, BY_FILE " ",
                                              " iova=0x100000 ");
    g_autofree char *start = g_strdup_printf(" start=0x%" PRIx64 " ",
                                             file_offset + 0x100000);
    g_autofree char *length =
        g_strdup_printf(" length=0x%" PRIx64 " ",
                        (uint64_t)RAM_SIZE - 0x100000);

    if (by_file) {
        fakehost_expect_text(line, start);
    } else {
        g_assert_null(line);
        line = fakehost_log_last(t->host, 0, BY_ADDRESS " ",
                                 " iova=0x100000 ");
    }
    fakehost_expect_text(line, length);
}

static void test_memfd(void)
{
    uint64_t bytes;
    uint32_t areas;
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 1)) {
        return;
    }
    expect_above(&t, true, 0);
    vtd_accel_expect_s2(&t, 0);
    bytes = t.host->page->mapped_bytes;
    areas = t.host->page->areas;
    g_assert_cmpuint(map_calls(t.host), ==, areas);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);

    /* No more and no less than without a file */
    if (start(&t, NULL, 1)) {
        g_assert_cmpuint(fakehost_calls(t.host, BY_FILE), ==, 0);
        expect_above(&t, false, 0);
        g_assert_cmpuint(t.host->page->mapped_bytes, ==, bytes);
        g_assert_cmpuint(t.host->page->areas, ==, areas);
        fakehost_free(t.host);
    }
}

/* --- kinds of memory --- */

typedef struct Kind {
    const char *name;
    const char *what;
    const char *args;
    bool by_file, all;          /* … and so is all other memory */
} Kind;

#define USED        ",size=" stringify(VTD_GUEST_RAM_MB) "M " \
                    "-machine memory-backend=ram "

static const Kind kinds[] = {
    {
        "memfd-private_by-address",
        "what the guest writes does not reach the file",
        "-object memory-backend-memfd,id=ram,share=off" USED,
    }, {
        "shared_by-file", "QEMU shares memory by a memfd of its own",
        "-object memory-backend-ram,id=ram,share=on" USED, true,
    }, {
        "all-shared_by-file", "as it has to be for cpr-transfer",
        "-object memory-backend-memfd,id=ram,share=on" USED
        "-machine aux-ram-share=on ", true, true,
    },
};

static void test_kind(const void *data)
{
    const Kind *c = data;
    VtdAccelTest t;

    g_test_message("%s", c->what);
    if (!start(&t, c->args, 1)) {
        return;
    }
    expect_above(&t, c->by_file, 0);
    if (!c->by_file) {
        g_assert_cmpuint(fakehost_calls(t.host, BY_FILE), ==, 0);
    }
    if (c->all) {
        g_assert_cmpuint(fakehost_calls(t.host, BY_ADDRESS), ==, 0);
    }
    fakehost_free(t.host);
}

/* Pages that are never touched are not missed where there are none to have */
static void test_huge_pages(void)
{
    static const char args[] =
        "-m " stringify(VTD_GUEST_RAM_MB) "M,slots=1,maxmem=1G "
        "-object memory-backend-memfd,id=huge,size=128M,share=on,hugetlb=on,"
        "hugetlbsize=2M,reserve=off -device pc-dimm,memdev=huge ";
    int fd = memfd_create("vfio-map", MFD_HUGETLB);
    VtdAccelTest t;

    if (fd < 0) {
        g_test_skip("this machine's kernel has no huge pages");
        return;
    }
    close(fd);
    if (start(&t, args, 1)) {
        fakehost_expect_log(t.host, 0, BY_FILE " ",
                            " start=0x0 length=0x8000000 ");
        fakehost_free(t.host);
    }
}

/* The guest's memory begins in the middle of the file */
static void test_offset(void)
{
    int fd = memfd_create("vfio-map", 0);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=ram,share=on,size=%zu,offset=2M,"
        "mem-path=/proc/%d/fd/%d -machine memory-backend=ram ",
        (size_t)RAM_SIZE, getpid(), fd);
    VtdAccelTest t;

    g_assert_cmpint(ftruncate(fd, RAM_SIZE + 2 * MiB), ==, 0);
    if (start(&t, args, 1)) {
        expect_above(&t, true, 2 * MiB);
        fakehost_free(t.host);
    }
    close(fd);
}

/* A file on a disk is not memory */
static void test_disk(void)
{
    g_autofree char *path = g_strdup("./vfio-map-XXXXXX");
    int fd = g_mkstemp(path);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=ram,share=on,size=%zu,mem-path=%s "
        "-machine memory-backend=ram ", (size_t)RAM_SIZE, path);
    struct statfs fs;
    VtdAccelTest t;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstatfs(fd, &fs), ==, 0);
    g_assert_cmpint(ftruncate(fd, RAM_SIZE), ==, 0);
    if (start(&t, args, 1)) {
        /* Where tests run in memory they are built in memory */
        expect_above(&t, fs.f_type == TMPFS_MAGIC, 0);
        fakehost_free(t.host);
    }
    close(fd);
    unlink(path);
}

/* --- memory of which the guest has only parts --- */

#define BLOCK           (2 * MiB)
#define VIRTIO_MEM_DEVFN    QPCI_DEVFN(0x10, 0)
#define VIRTIO_MEM_ARGS                                                 \
    "-m " stringify(VTD_GUEST_RAM_MB) "M,maxmem=1G "                    \
    "-object memory-backend-memfd,id=parts,size=64M,share=on "          \
    "-device virtio-mem-pci,bus=pcie.0,addr=0x10,memdev=parts,"         \
    "block-size=2M,requested-size=8M "

/* A driver of virtio-mem */
typedef struct Parts {
    QTestState *qts;
    QGuestAllocator alloc;
    QPCIBus *bus;
    QVirtioPCIDevice *dev;
    QVirtQueue *vq;
    uint64_t addr;              /* of the first block */
} Parts;

static void parts_start(Parts *p, QTestState *qts)
{
    QPCIAddress addr = { .devfn = VIRTIO_MEM_DEVFN };
    QVirtioDevice *dev;

    p->qts = qts;
    pc_alloc_init(&p->alloc, qts, 0);
    p->bus = qpci_new_pc(qts, &p->alloc);
    p->dev = virtio_pci_new(p->bus, &addr);
    dev = &p->dev->vdev;
    qvirtio_pci_device_enable(p->dev);
    qvirtio_start_device(dev);
    /* All, but each request is to interrupt */
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                         ~(1ull << VIRTIO_RING_F_EVENT_IDX));
    p->vq = qvirtqueue_setup(dev, &p->alloc, 0);
    qvirtio_set_driver_ok(dev);
    p->addr = qvirtio_config_readq(dev, offsetof(struct virtio_mem_config,
                                                 addr));
}

static void parts_ask(Parts *p, uint16_t type, unsigned block, uint16_t num)
{
    struct virtio_mem_req req = {
        .type = cpu_to_le16(type),
        .u.plug.addr = cpu_to_le64(p->addr + block * BLOCK),
        .u.plug.nb_blocks = cpu_to_le16(num),
    };
    uint64_t addr = guest_alloc(&p->alloc, 4096);
    uint32_t head;

    qtest_memwrite(p->qts, addr, &req, sizeof(req));
    head = qvirtqueue_add(p->qts, p->vq, addr, sizeof(req), false, true);
    qvirtqueue_add(p->qts, p->vq, addr + sizeof(req),
                   sizeof(struct virtio_mem_resp), true, false);
    qvirtqueue_kick(p->qts, &p->dev->vdev, p->vq, head);
    qvirtio_wait_used_elem(p->qts, &p->dev->vdev, p->vq, head, NULL,
                           QTEST_HANG_SECONDS * G_USEC_PER_SEC);
    g_assert_cmpuint(qtest_readw(p->qts, addr + sizeof(req)), ==,
                     VIRTIO_MEM_RESP_ACK);
    guest_free(&p->alloc, addr);
}

static void parts_stop(Parts *p)
{
    qvirtqueue_cleanup(p->dev->vdev.bus, p->vq, &p->alloc);
    qvirtio_pci_destructor(&p->dev->obj);
    g_free(p->dev);
    qpci_free_pc(p->bus);
    alloc_destroy(&p->alloc);
}

/* Is a block mapped by its part of the file, since @mark? */
static bool block_is_mapped(VtdAccelTest *t, const Parts *p, size_t mark,
                            unsigned block)
{
    g_autofree char *iova = g_strdup_printf(" iova=0x%" PRIx64 " ",
                                            (uint64_t)(p->addr +
                                                       block * BLOCK));
    g_autofree char *start = g_strdup_printf(" start=0x%" PRIx64
                                             " length=0x200000 ",
                                             (uint64_t)(block * BLOCK));
    g_autofree char *line = fakehost_log_last(t->host, mark, BY_FILE " ",
                                              iova);

    if (line) {
        fakehost_expect_text(line, start);
    }
    return line;
}

/* The host pins what the guest has been given, and no hole of the file */
static void test_parts(void)
{
    VtdAccelTest t;
    uint64_t areas;
    size_t mark;
    Parts p;

    if (!start(&t, VIRTIO_MEM_ARGS, 1)) {
        return;
    }
    parts_start(&p, t.host->qts);
    areas = t.host->page->areas;
    g_assert_cmpuint(fakehost_calls(t.host, BY_FILE), ==, 0);
    parts_ask(&p, VIRTIO_MEM_REQ_PLUG, 1, 2);
    g_assert_true(block_is_mapped(&t, &p, 0, 1));
    g_assert_true(block_is_mapped(&t, &p, 0, 2));
    g_assert_cmpuint(t.host->page->areas, ==, areas + 2);
    parts_ask(&p, VIRTIO_MEM_REQ_UNPLUG, 1, 1);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);

    /* So it is for a device that comes now */
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    mark = fakehost_log_mark(t.host);
    fakehost_plug(t.host, 0);
    g_assert_false(block_is_mapped(&t, &p, mark, 1));
    g_assert_true(block_is_mapped(&t, &p, mark, 2));
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);
    parts_stop(&p);
    fakehost_free(t.host);
}

/*
 * A copy of a guest's tables has what is unplugged no longer than VFIO, though
 * the guest says nothing of it.
 */
static void test_parts_copied(void)
{
    VtdAccelSetup setup = { .devices = 1, .args = VIRTIO_MEM_ARGS };
    g_autofree char *maps = NULL;
    VtdLegacy l = { 0 };
    uint32_t areas;
    Parts p;

    if (!vtd_legacy_start(&l, &setup, 4)) {
        return;
    }
    parts_start(&p, l.t.host->qts);
    parts_ask(&p, VIRTIO_MEM_REQ_PLUG, 1, 2);
    for (unsigned i = 1; i <= 2; i++) {
        vtd_legacy_write_entry(&l, 0x40000000 + i * BLOCK, 2,
                               (p.addr + i * BLOCK) | LEGACY_RW |
                               LEGACY_SUPERPAGE);
    }
    vtd_legacy_use_table(&l, 0, 7);
    areas = l.t.host->page->areas;
    vtd_legacy_enter(&l);
    g_assert_cmpint(vtd_legacy_state(&l, 0), ==, SHADOW);
    g_assert_cmpuint(l.t.host->page->areas, ==, areas + 2);

    parts_ask(&p, VIRTIO_MEM_REQ_UNPLUG, 1, 1);
    FAKEHOST_AWAIT(l.t.host, l.t.host->page->areas == areas);
    maps = vtd_legacy_mappings(&l, 0);
    g_assert_cmpstr(maps, ==, "40400000+200000>?:rw ");

    /* It is what an invalidation finds, until there is another block */
    vtd_legacy_flush(&l);
    g_assert_cmpuint(l.t.host->page->areas, ==, areas);
    parts_ask(&p, VIRTIO_MEM_REQ_PLUG, 1, 1);
    vtd_legacy_flush(&l);
    g_assert_cmpuint(l.t.host->page->areas, ==, areas + 2);
    parts_stop(&p);
    fakehost_free(l.t.host);
}

/* --- hosts that do not do it --- */

typedef struct Refusal {
    const char *name;
    int err;
    bool forever;               /* it will not be asked again */
} Refusal;

static const Refusal refusals[] = {
    { "enotty_by-address", ENOTTY, true },
    { "eopnotsupp_by-address", EOPNOTSUPP, true },
    { "einval_by-address", EINVAL, false },
};

static void test_refusal(const void *data)
{
    const Refusal *c = data;
    uint64_t files;
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 0)) {
        return;
    }
    fakehost_fail(t.host, BY_FILE, 1, 0, c->err, 0);
    fakehost_plug(t.host, 0);
    vtd_accel_expect_s2(&t, 0);
    files = fakehost_calls(t.host, BY_FILE);
    if (c->forever) {
        g_assert_cmpuint(files, ==, 1);
    } else {
        g_assert_cmpuint(files, >, 1);
    }
    /* By its address, in the end; the file's line is that of the failure */
    g_assert_cmpuint(fakehost_calls(t.host, BY_ADDRESS), ==,
                     t.host->page->areas);
    g_assert_cmpuint(t.host->page->mapped_bytes, >=, RAM_SIZE - 1 * MiB);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static void check_mapped(void *opaque, bool plugged)
{
    VtdAccelTest *t = opaque;

    if (plugged) {
        vtd_accel_expect_s2(t, 0);
        g_assert_cmpuint(t->host->page->mapped_bytes, >=, RAM_SIZE - 1 * MiB);
    }
}

/* Whatever fails, the device has all of the memory or is not there */
static void test_sweep(void)
{
    VtdAccelTest t;

    if (!start_memfd(&t, "on", 0)) {
        return;
    }
    g_assert_cmpuint(sweep_plug(t.host, 0, check_mapped,
                                fakehost_expect_empty, &t), >, 0);
    fakehost_free(t.host);
}

/* --- a firmware opens and locks ranges below 1 MiB, by PAM registers --- */

#define PAM(n)          (0x90 + (n))    /* of the host bridge */
#define PAM_RANGE(n)    (0xc0000ull + ((n) - 1) * 0x8000)
#define PAM_HALF        0x4000          /* for each half of a register */
#define PAM_F0000       0xf0000ull      /* the upper half of the first */
#define UNMAP           "IOMMU_IOAS_UNMAP"

static void set_pam(VtdAccelTest *t, unsigned n, uint8_t value)
{
    qtest_outl(t->host->qts, 0xcf8, 1u << 31 | (PAM(n) & ~3));
    qtest_outb(t->host->qts, 0xcfc + (PAM(n) & 3), value);
}

/* A write of dev0. The calls of a plug carry it out */
static int dma(VtdAccelTest *t, uint64_t addr, uint64_t value)
{
    struct FakehostDma *dma = &t->host->page->dma;

    dma->iova = addr;
    dma->gpa = addr;
    dma->value = value;
    dma->wanted = 1;
    fakehost_plug(t->host, 1);
    fakehost_unplug(t->host, 1);
    g_assert_cmpuint(dma->wanted, ==, 0);
    return dma->result;
}

/* 3: memory, 1: it is read-only, 0: what is on the bus */
static void expect_range(VtdAccelTest *t, uint64_t addr, unsigned access)
{
    static uint64_t value = 0x1122334455667788;
    /* Where the bus has nothing, memory is found all the same */
    bool hole = addr >= 0xe0000 && addr < PAM_F0000;
    bool reached = access == 3 || (!access && hole);

    value++;
    g_assert_cmpint(!dma(t, addr, value), ==, reached);
    g_assert_cmpint(qtest_readq(t->host->qts, addr) == value, ==, reached);
}

static void expect_pam(VtdAccelTest *t, unsigned n, uint8_t value)
{
    if (n) {
        expect_range(t, PAM_RANGE(n), value & 3);
        expect_range(t, PAM_RANGE(n) + PAM_HALF, value >> 4);
    } else {
        expect_range(t, PAM_F0000, value >> 4);
    }
}

/* Calls that map or unmap memory above 1 MiB */
static unsigned calls_above(VtdAccelTest *t, size_t mark)
{
    g_autofree char *log = fakehost_log_since(t->host, mark);
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);
    unsigned calls = 0;

    for (unsigned i = 0; lines[i]; i++) {
        const char *iova = strstr(lines[i], " iova=");
        const char *length = strstr(lines[i], " length=");

        if (strstr(lines[i], "IOMMU_IOAS_") && iova && length) {
            calls += g_ascii_strtoull(iova + 6, NULL, 0) +
                     g_ascii_strtoull(length + 8, NULL, 0) > 1 * MiB;
        }
    }
    return calls;
}

/* As most hosts are: devices can have memory that they may only read */
static bool start_readonly(VtdAccelTest *t, const char *args)
{
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=vtd cap=0x%" PRIx64
                        " ecap=0x%" PRIx64 "\n"
                        "device dev0 iommu=iommu0\n"
                        "device dev1 iommu=iommu0\n",
                        (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    VtdAccelSetup setup = { .host = host, .args = args, .devices = 1 };

    return vtd_accel_start(t, &setup);
}

static void test_pam(const void *args)
{
    static const uint8_t values[] = { 0x33, 0x11, 0x30, 0x03, 0x00, 0x33 };
    uint64_t bytes;
    VtdAccelTest t;

    if (args ? !start_readonly(&t, args) : !start(&t, NULL, 1)) {
        return;
    }
    for (unsigned i = 0; i < 2 * 7 * ARRAY_SIZE(values); i++) {
        unsigned n = i / ARRAY_SIZE(values) % 7;
        uint8_t value = values[i % ARRAY_SIZE(values)];
        size_t mark = fakehost_log_mark(t.host);

        /* In the end, lock them all */
        value = i < 7 * ARRAY_SIZE(values) ? value : 0x11;
        set_pam(&t, n, value);
        /* It stays mapped and pinned, and is reached meanwhile */
        g_assert_cmpuint(calls_above(&t, mark), ==, 0);
        expect_pam(&t, n, value);
    }
    g_assert_cmpint(dma(&t, 1 * MiB, 1), ==, 0);

    /* It is what a device finds that comes now */
    bytes = t.host->page->mapped_bytes;
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_plug(t.host, 0);
    g_assert_cmpuint(t.host->page->mapped_bytes, ==, bytes);
    fakehost_free(t.host);
}

/* The first reset parts what was one piece when the device was realized */
static void test_cold(void)
{
    static const char *const cold[] = { "bus=rp0", NULL };
    VtdAccelSetup setup = { .cold = cold };
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmpuint(fakehost_calls(t.host, UNMAP), >, 0);
    g_assert_cmpuint(calls_above(&t, 0), ==, 1);
    expect_above(&t, false, 0);
    fakehost_free(t.host);
}

static void expect_pam_calls(VtdAccelTest *t, uint8_t value, unsigned maps,
                             unsigned unmaps)
{
    uint64_t map = map_calls(t->host), unmap = fakehost_calls(t->host, UNMAP);

    set_pam(t, 3, value);
    g_assert_cmpuint(map_calls(t->host) - map, ==, maps);
    g_assert_cmpuint(fakehost_calls(t->host, UNMAP) - unmap, ==, unmaps);
    expect_pam(t, 3, value);
}

/* What comes is mapped, what goes is unmapped by one call, and nothing else */
static void test_pam_calls(void)
{
    VtdAccelTest t;

    if (!start(&t, NULL, 1)) {
        return;
    }
    expect_pam_calls(&t, 0x03, 1, 0);
    expect_pam_calls(&t, 0x33, 1, 0);
    expect_pam_calls(&t, 0x00, 0, 1);
    /* Neighbours that came one by one go one by one */
    expect_pam_calls(&t, 0x03, 1, 0);
    expect_pam_calls(&t, 0x33, 1, 0);
    expect_pam_calls(&t, 0x13, 0, 1);
    expect_pam_calls(&t, 0x33, 1, 0);
    expect_pam_calls(&t, 0x03, 0, 1);
    fakehost_free(t.host);
}

#define STILL_THERE     "does not unmap memory that the guest no longer has"

/* What the host does not unmap is tried again, and comes back if wanted */
static void test_unmap_refused(void)
{
    uint32_t areas;
    uint64_t maps;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, NULL, 1)) {
        return;
    }
    areas = t.host->page->areas;
    set_pam(&t, 3, 0x03);
    set_pam(&t, 3, 0x33);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 2);
    maps = map_calls(t.host);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, UNMAP, 1, 0, EBUSY, 0);
    set_pam(&t, 3, 0x00);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, STILL_THERE), ==, 1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, g_strerror(EBUSY)), ==,
                     1);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 2);
    set_pam(&t, 3, 0x33);
    g_assert_cmpuint(map_calls(t.host), ==, maps);
    expect_pam(&t, 3, 0x33);

    /* Whatever changes next takes it away, by the second call if need be */
    set_pam(&t, 3, 0x00);
    fakehost_clear_rules(t.host);
    mark = fakehost_err_mark(t.host);
    fakehost_fail_next(t.host, UNMAP, ENOMEM);
    set_pam(&t, 4, 0x03);
    g_assert_cmpuint(t.host->page->areas, ==, areas + 1);
    expect_pam(&t, 3, 0x00);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, STILL_THERE), ==, 0);
    set_pam(&t, 4, 0x00);
    g_assert_cmpuint(t.host->page->areas, ==, areas);

    /* Nothing is left of it when the devices are gone */
    set_pam(&t, 3, 0x03);
    fakehost_fail(t.host, UNMAP, 1, 0, EBUSY, 0);
    set_pam(&t, 3, 0x00);
    fakehost_unplug(t.host, 0);
    fakehost_clear_rules(t.host);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Where something cannot go nothing else comes: that is blocked, and is told */
static void test_replace_refused(void)
{
    VtdAccelTest t;
    size_t mark;

    if (!start_readonly(&t, NULL)) {
        return;
    }
    expect_pam(&t, 3, 0x00);
    g_assert_cmpint(dma(&t, PAM_RANGE(3), 1), ==, -EACCES);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, UNMAP, 1, 0, EBUSY, 0);
    set_pam(&t, 3, 0x03);
    fakehost_clear_rules(t.host);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "DMA to pc.ram"), ==, 1);
    /* The parts of a ROM beside it, too */
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "map it: File exists"),
                     ==, fakehost_err_lines(t.host, mark, "vfio: DMA to "));
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, STILL_THERE), ==, 1);
    g_assert_cmpint(dma(&t, PAM_RANGE(3), 1), ==, -EACCES);
    g_assert_cmpint(dma(&t, 1 * MiB, 1), ==, 0);
    set_pam(&t, 3, 0x30);
    expect_pam(&t, 3, 0x30);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* A range that the host maps in part only is blocked as a whole */
static void test_gap_refused(void)
{
    uint32_t areas;
    VtdAccelTest t;
    size_t mark;

    if (!start(&t, NULL, 1)) {
        return;
    }
    areas = t.host->page->areas;
    set_pam(&t, 3, 0x03);
    mark = fakehost_err_mark(t.host);
    fakehost_fail_next(t.host, BY_ADDRESS, ENOMEM);
    set_pam(&t, 3, 0x33);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "is blocked for"), ==,
                     1);
    g_assert_cmpuint(t.host->page->areas, ==, areas);
    g_assert_cmpint(dma(&t, PAM_RANGE(3), 1), ==, -EFAULT);
    g_assert_cmpint(dma(&t, 1 * MiB, 1), ==, 0);
    set_pam(&t, 3, 0x03);
    expect_pam(&t, 3, 0x03);
    set_pam(&t, 3, 0x33);
    expect_pam(&t, 3, 0x33);
    fakehost_free(t.host);
}

/* --- cost --- */

/* Calls, and what they pin, do not depend on the number of devices */
static void test_devices(const void *share)
{
    uint64_t calls[2], bytes[2];
    VtdAccelTest t;

    for (unsigned i = 0; i < 2; i++) {
        if (!start_memfd(&t, share, i ? 8 : 1)) {
            return;
        }
        calls[i] = map_calls(t.host);
        bytes[i] = t.host->page->mapped_bytes;
        g_assert_cmpuint(calls[i], ==, t.host->page->areas);
        fakehost_free(t.host);
    }
    g_assert_cmpuint(calls[0], ==, calls[1]);
    g_assert_cmpuint(bytes[0], ==, bytes[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vfio-map/memfd_by-file", test_memfd);
    qtest_add_cases("/vfio-map", kinds, test_kind);
    qtest_add_func("/vfio-map/huge-pages_by-file", test_huge_pages);
    qtest_add_func("/vfio-map/file-with-offset_by-file", test_offset);
    qtest_add_func("/vfio-map/disk_by-address", test_disk);
    qtest_add_func("/vfio-map/virtio-mem_parts", test_parts);
    qtest_add_func("/vfio-map/virtio-mem_copied-parts", test_parts_copied);
    qtest_add_cases("/vfio-map/host", refusals, test_refusal);
    qtest_add_func("/vfio-map/sweep_all-or-none", test_sweep);
    qtest_add_data_func("/vfio-map/pam_above-stays", NULL, test_pam);
    qtest_add_data_func("/vfio-map/pam-readonly_above-stays",
                        kinds[1].args, test_pam);
    qtest_add_func("/vfio-map/cold-plugged_above-once", test_cold);
    qtest_add_func("/vfio-map/pam_calls", test_pam_calls);
    qtest_add_func("/vfio-map/unmap-refused_again", test_unmap_refused);
    qtest_add_func("/vfio-map/replace-refused_blocked", test_replace_refused);
    qtest_add_func("/vfio-map/gap-refused_blocked", test_gap_refused);
    qtest_add_data_func("/vfio-map/8-devices-memfd_once", "on", test_devices);
    qtest_add_data_func("/vfio-map/8-devices_once", "off", test_devices);
    return g_test_run();
}
