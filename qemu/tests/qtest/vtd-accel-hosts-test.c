/*
 * QTest: the accelerated VT-d on hosts of many kinds
 *
 * A case is a host, with IOMMUs that differ, and which of its devices can
 * share a nesting parent. A shared IOAS is not in question: it depends on the
 * iommufd alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vtd-accel-common.h"

#define DID             5
#define IOMMUS          3
#define DEVICES         3
#define ROUNDS          50
#define SETTLE_MS       160     /* several times what a retry waits */

#define ATTACH          "VFIO_DEVICE_ATTACH_IOMMUFD_PT"

#define HOST_CAP_RWBF   (1ull << 4)
#define HOST_CAP_57     (HOST_CAP_SAGAW_57 | HOST_CAP_FS5LP | \
                         HOST_CAP_MGAW(57) | \
                         (HOST_CAP & ~HOST_CAP_MGAW(64)))

/* --- hosts --- */

typedef struct Case {
    const char *name;
    const char *what;
    struct {
        uint64_t cap, ecap;     /* 0: HOST_CAP, HOST_ECAP */
    } iommus[IOMMUS];
    /* One character per device, dev0… */
    const char *iommu;          /* index of its IOMMU */
    const char *iommufd;        /* number of its iommufd */
    const char *s2;             /* equal ones share an S2; -: refused */
    const char *error;          /* what a refusal names */
} Case;

static const Case cases[] = {
    {
        "one-iommu_one-s2", "two devices behind one IOMMU",
        .iommu = "00", .iommufd = "00", .s2 = "aa",
    }, {
        "equal-iommus_one-s2", "two IOMMUs that can do the same",
        .iommu = "01", .iommufd = "00", .s2 = "aa",
    }, {
        "57-bits-second_one-s2", "a wider IOMMU walks narrower tables",
        .iommus[1].cap = HOST_CAP_57,
        .iommu = "01", .iommufd = "00", .s2 = "aa",
    }, {
        "57-bits-first_own-s2", "a narrower IOMMU cannot walk wider tables",
        .iommus[0].cap = HOST_CAP_57,
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "neither-fits_third-joins-first",
        "one is wider, its own tables are synchronized: neither suits the other",
        .iommus[0].cap = HOST_CAP_57 | HOST_CAP_RWBF,
        .iommu = "010", .iommufd = "000", .s2 = "aba",
    }, {
        "non-coherent-second_own-s2",
        "an IOMMU that does not snoop needs tables written back for it",
        .iommus[1].ecap = HOST_ECAP & ~HOST_ECAP_SMPWC,
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "non-coherent-first_one-s2",
        "tables that are written back suit an IOMMU that snoops",
        .iommus[0].ecap = HOST_ECAP & ~HOST_ECAP_SMPWC,
        .iommu = "01", .iommufd = "00", .s2 = "aa",
    }, {
        "no-snoop-control-second_own-s2",
        "the parent forces snooping, the second IOMMU cannot",
        .iommus[1].ecap = HOST_ECAP & ~HOST_ECAP_SC,
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "no-1g-pages-second_own-s2", "the parent may hold 1-GiB pages",
        .iommus[1].cap = HOST_CAP & ~(1ull << 35),
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "no-1g-pages-first_one-s2", "the parent has none",
        .iommus[0].cap = HOST_CAP & ~(1ull << 35),
        .iommu = "01", .iommufd = "00", .s2 = "aa",
    }, {
        "write-buffer-second_own-s2",
        "an IOMMU with a write buffer has to be told of new mappings",
        .iommus[1].cap = HOST_CAP | HOST_CAP_RWBF,
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "dirty-tracking-first_own-s2",
        "the parent tracks dirty pages, the second IOMMU cannot",
        .iommus[0].ecap = HOST_ECAP | HOST_ECAP_SSADS,
        .iommu = "01", .iommufd = "00", .s2 = "ab",
    }, {
        "three-kinds_three-s2", "no two of them fit",
        .iommus[0].cap = HOST_CAP_57,
        .iommus[2].ecap = HOST_ECAP & ~HOST_ECAP_SMPWC,
        .iommu = "012", .iommufd = "000", .s2 = "abc",
    }, {
        "no-nesting-second_refused", "the first one stays as it is",
        .iommus[1].ecap = HOST_ECAP & ~HOST_ECAP_NEST,
        .iommu = "010", .iommufd = "000", .s2 = "a-a", .error = "NEST",
    }, {
        "no-1g-first-stage-second_refused", "FS1GP is advertised already",
        .iommus[1].cap = HOST_CAP & ~HOST_CAP_FS1GP,
        .iommu = "01", .iommufd = "00", .s2 = "a-", .error = "FS1GP",
    }, {
        "two-iommufds_own-s2", "objects of two iommufds cannot be mixed",
        .iommu = "00", .iommufd = "01", .s2 = "ab",
    }, {
        "two-iommufds-three-devices_two-s2", "each has its devices",
        .iommu = "000", .iommufd = "010", .s2 = "aba",
    },
};

static char *describe(const Case *c)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < IOMMUS; i++) {
        g_string_append_printf(s, "iommu iommu%u type=vtd cap=0x%" PRIx64
                               " ecap=0x%" PRIx64 " errata=1\n", i,
                               c->iommus[i].cap ?: (uint64_t)HOST_CAP,
                               c->iommus[i].ecap ?: (uint64_t)HOST_ECAP);
    }
    for (unsigned i = 0; c->iommu[i]; i++) {
        g_string_append_printf(s, "device %s iommu=iommu%c\n",
                               fakehost_dev(i), c->iommu[i]);
    }
    return g_string_free(s, false);
}

static bool start(VtdAccelTest *t, const Case *c)
{
    g_autofree char *host = describe(c);
    VtdAccelSetup setup = { .host = host, .iommufds = 2, .ports = DEVICES };

    g_test_message("%s", c->what);
    return vtd_accel_start(t, &setup);
}

static bool refused(const Case *c, unsigned n)
{
    return c->s2[n] == '-';
}

/* How many different characters @s has, refused devices not counted */
static unsigned kinds(const char *s, const char *s2)
{
    unsigned num = 0;

    for (unsigned i = 0; s[i]; i++) {
        num += s2[i] != '-' && strchr(s, s[i]) == s + i;
    }
    return num;
}

/* What the device translates by, which books and hardware agree about */
static uint32_t table_of(VtdAccelTest *t, unsigned n)
{
    const struct FakehostDevice *dev = fakehost_device(t->host,
                                                       fakehost_dev(n));

    g_assert_cmpuint(dev->pt_id, ==, dev->hw_pt_id);
    return dev->pt_id;
}

static void plug(VtdAccelTest *t, const Case *c, unsigned n)
{
    g_autofree char *props = g_strdup_printf(", 'iommufd': 'iommufd%c'",
                                             c->iommufd[n]);
    g_autofree char *error = fakehost_try_plug(t->host, n, props);

    if (!refused(c, n)) {
        g_assert_cmpstr(error, ==, NULL);
    } else {
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error, c->error));
    }
}

/* Do devices @a and @b have the same table, an id being one of an iommufd? */
static bool same_table(VtdAccelTest *t, const Case *c, unsigned a, unsigned b)
{
    return c->iommufd[a] == c->iommufd[b] && table_of(t, a) == table_of(t, b);
}

/* Devices share tables just where the case says that they share an S2 */
static void expect_sharing(VtdAccelTest *t, const Case *c)
{
    for (unsigned a = 0; c->s2[a]; a++) {
        for (unsigned b = 0; b < a; b++) {
            if (!refused(c, a) && !refused(c, b)) {
                g_assert_cmpint(same_table(t, c, a, b), ==,
                                c->s2[a] == c->s2[b]);
            }
        }
    }
}

static void expect_plugged(VtdAccelTest *t, const Case *c, uint32_t *s2)
{
    for (unsigned i = 0; c->s2[i]; i++) {
        if (!refused(c, i)) {
            s2[i] = table_of(t, i);
            g_assert_cmpuint(s2[i], !=, 0);
        }
    }
    expect_sharing(t, c);
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_HWPT_PAGING), ==,
                     kinds(c->s2, c->s2));
    g_assert_cmpuint(fakehost_objects(t->host, FAKEHOST_OBJ_IOAS), ==,
                     kinds(c->iommufd, c->s2));
}

/* The S1 HWPT of device @n was allocated on the S2 that is the device's own */
static void expect_parent(VtdAccelTest *t, const Case *c, unsigned n,
                          uint32_t s2)
{
    g_autofree char *made =
        g_strdup_printf("iommufd%c IOMMU_HWPT_ALLOC ", c->iommufd[n]);
    g_autofree char *id = g_strdup_printf("out_hwpt_id=%u ", table_of(t, n));
    g_autofree char *parent = g_strdup_printf(" pt_id=%u ", s2);
    g_autofree char *line = fakehost_log_last(t->host, 0, made, id);

    g_assert_nonnull(line);
    if (!strstr(line, parent)) {
        g_error("%s: not on S2 HWPT %u: %s", fakehost_dev(n), s2, line);
    }
}

/* One entry for all devices: one S1 HWPT for each S2, told by one call each */
static void check_bound(VtdAccelTest *t, const Case *c, const uint32_t *s2)
{
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t calls;

    for (unsigned i = 0; c->s2[i]; i++) {
        if (!refused(c, i)) {
            vtd_accel_bind(t, i, &entry);
            g_assert_cmpuint(table_of(t, i), !=, 0);
            g_assert_cmpuint(table_of(t, i), !=, s2[i]);
            expect_parent(t, c, i, s2[i]);
        }
    }
    expect_sharing(t, c);
    vtd_accel_expect_s1_hwpts(t, kinds(c->s2, c->s2));

    calls = fakehost_calls(t->host, "IOMMU_HWPT_INVALIDATE");
    vtd_guest_post_piotlb(&t->guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0,
                          false);
    vtd_guest_sync(&t->guest);
    g_assert_cmpuint(fakehost_calls(t->host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, kinds(c->s2, c->s2));
}

static void run_rounds(VtdAccelTest *t, const Case *c, unsigned rounds)
{
    unsigned num = strlen(c->s2);
    uint32_t s2[DEVICES] = { 0 };

    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < num; i++) {
            plug(t, c, i);
        }
        expect_plugged(t, c, s2);
        check_bound(t, c, s2);
        vtd_guest_set_translation(&t->guest, false);
        vtd_accel_expect_s1_hwpts(t, 0);
        for (unsigned i = 0; i < num; i++) {
            g_assert_cmpuint(refused(c, i) ? s2[i] : table_of(t, i), ==,
                             s2[i]);
        }
        for (unsigned i = 0; i < num; i++) {
            unsigned n = round % 2 ? i : num - 1 - i;

            if (!refused(c, n)) {
                fakehost_unplug(t->host, n);
            }
        }
        fakehost_expect_empty(t->host);
    }
    g_assert_cmpuint(fakehost_failed_calls(t->host, "IOMMU_DESTROY"), ==, 0);
}

static void test_case(const void *data)
{
    const Case *c = data;
    VtdAccelTest t;

    if (!start(&t, c)) {
        return;
    }
    run_rounds(&t, c, 2);
    fakehost_free(t.host);
}

static unsigned open_files(VtdAccelTest *t)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd",
                                            qtest_pid(t->host->qts));
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned num = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        num++;
    }
    return num;
}

/* Neither objects of the host nor files of the program pile up */
static void test_many_rounds(void)
{
    static const Case c = {
        .what = "three devices of two kinds, plugged and unplugged many times",
        .iommus[0].cap = HOST_CAP_57,
        .iommu = "010", .iommufd = "001", .s2 = "abc",
    };
    unsigned files;
    VtdAccelTest t;

    if (!start(&t, &c)) {
        return;
    }
    run_rounds(&t, &c, 1);
    files = open_files(&t);
    run_rounds(&t, &c, ROUNDS);
    g_assert_cmpuint(open_files(&t), ==, files);
    fakehost_free(t.host);
}

/* --- an S1 that a device cannot use although its S2 fits --- */

static void test_shared_s1_refused(void)
{
    VtdAccelSetup setup = { .devices = 3 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    uint64_t dir, calls;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    fakehost_fail_next(t.host, "ATTACH_IOMMUFD_PT", EINVAL);
    dir = vtd_accel_bind(&t, 1, &entry);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 2);
    g_assert_cmpuint(table_of(&t, 0), !=, table_of(&t, 1));

    /* The next one finds one that it can use; all of them are told */
    vtd_accel_bind(&t, 2, &entry);
    vtd_accel_expect_s1_hwpts(&t, 2);
    calls = fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE");
    vtd_guest_post_piotlb(&t.guest, VTD_PIOTLB_PAGE, DID, 0, 0x1000, 0, false);
    vtd_guest_sync(&t.guest);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_HWPT_INVALIDATE") - calls,
                     ==, 2);

    vtd_guest_clear_pasid(&t.guest, dir, 0);
    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_blocked(&t, 1);
    vtd_accel_expect_s1(&t, 2);
    for (unsigned i = 0; i < setup.devices; i++) {
        fakehost_unplug(t.host, i);
    }
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Neither the shared nor its own: blocked, and the others do not suffer */
static void test_any_s1_refused(void)
{
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    VtdAccelTest t;
    size_t mark;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "ATTACH_IOMMUFD_PT", 1, 2, EINVAL, 0);
    vtd_guest_write_pasid(&t.guest,
                          vtd_guest_add_context(&t.guest, fakehost_sid(1),
                                                0), 0, &entry);
    vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 0, fakehost_sid(1));
    vtd_guest_sync(&t.guest);
    vtd_accel_expect_s1(&t, 0);
    vtd_accel_expect_blocked(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "DMA blocked"), ==, 1);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "PASID 0x0"), ==, 1);

    vtd_guest_flush_pasid_cache(&t.guest);
    vtd_accel_expect_s1(&t, 1);
    vtd_accel_expect_s1_hwpts(&t, 1);
    fakehost_free(t.host);
}

/* --- what a nesting parent maps --- */

#define MAP_WRITEABLE   2
#define PAM_BDF         0       /* the host bridge */
#define PAM_C0000       0x90    /* with the next three bytes: to 0xdffff */
#define PAM_READ_WRITE  0x33333300u
#define PAM_READ_ONLY   0x11111100u

/* A number of the log's line, or 0 */
static uint64_t log_field(const char *line, const char *key)
{
    const char *value = strstr(line, key);

    return value ? g_ascii_strtoull(value + strlen(key), NULL, 0) : 0;
}

/* Replay the log: is @iova mapped in the only IOAS? Counts read-only maps */
static bool is_mapped(FakeHost *host, uint64_t iova, unsigned *readonly)
{
    g_autofree char *log = fakehost_log_since(host, 0);
    g_auto(GStrv) lines = g_strsplit(log, "\n", 0);
    bool mapped = false;

    *readonly = 0;
    for (unsigned i = 0; lines[i]; i++) {
        bool map = strstr(lines[i], " IOMMU_IOAS_MAP ") ||
                   strstr(lines[i], " IOMMU_IOAS_MAP_FILE ");
        uint64_t start = log_field(lines[i], " iova=");

        if ((!map && !strstr(lines[i], " IOMMU_IOAS_UNMAP ")) ||
            strstr(lines[i], " = -1")) {
            continue;
        }
        if (iova - start < log_field(lines[i], " length=")) {
            mapped = map;
        }
        *readonly += map && !(log_field(lines[i], " flags=") & MAP_WRITEABLE);
    }
    return mapped;
}

static void test_no_readonly(void)
{
    static const struct {
        uint32_t pam;
        bool mapped;
    } steps[] = {
        { PAM_READ_WRITE, true }, { PAM_READ_ONLY, false },
        { PAM_READ_WRITE, true }, { PAM_READ_ONLY, false }, { 0, false },
    };
    VtdAccelSetup setup = { .devices = 1 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID);
    unsigned readonly;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 0, &entry);
    g_assert_true(is_mapped(t.host, 0x100000, &readonly));
    g_assert_false(is_mapped(t.host, 0xfffff000, &readonly));
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        fakehost_cfg_writel(t.host, PAM_BDF, PAM_C0000, steps[i].pam);
        g_assert_cmpint(is_mapped(t.host, 0xd0000, &readonly), ==,
                        steps[i].mapped);
        g_assert_cmpuint(readonly, ==, 0);
    }
    vtd_accel_expect_s1(&t, 0);
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_IOAS_MAP"), ==, 0);

    /* A device that comes while memory is write-protected */
    fakehost_cfg_writel(t.host, PAM_BDF, PAM_C0000, PAM_READ_ONLY);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_plug(t.host, 0);
    g_assert_false(is_mapped(t.host, 0xd0000, &readonly));
    g_assert_cmpuint(readonly, ==, 0);
    fakehost_free(t.host);
}

/* Where nothing nests, ROMs are mapped: the test above can see them */
static void test_readonly_without_nesting(void)
{
    g_autofree char *description = NULL;
    unsigned readonly;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    description = g_strdup_printf("iommu i type=vtd cap=0x%" PRIx64
                                  " ecap=0x%" PRIx64 "\ndevice dev0 iommu=i\n",
                                  (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    host = fakehost_new(description);
    fakehost_start(host, "-M q35 -m 64M -object iommufd,id=iommufd0,fd=%d "
                   "-device vfio-pci,fd=%d,iommufd=iommufd0",
                   fakehost_fd(host, "iommufd0"), fakehost_fd(host, "dev0"));
    g_assert_true(is_mapped(host, 0xfffff000, &readonly));
    g_assert_cmpuint(readonly, >, 0);
    fakehost_free(host);
}

/* --- a device in reset, which the kernel does not attach --- */

typedef struct BusyCase {
    const char *name;
    const char *what;
    bool pass_through;          /* what the guest asks for meanwhile */
    bool unbound;
    bool off;
    bool unplugged;
} BusyCase;

static const BusyCase busy_cases[] = {
    { "bind_attached", "first-stage tables" },
    { "pass-through_attached", "guest memory", .pass_through = true },
    { "translation-off_attached", "translation is off again", .off = true },
    { "unbound_blocked", "the guest does not want it any more",
      .unbound = true },
    { "unplugged_gone", "the device goes while it is waited for",
      .unplugged = true },
};

static void busy_change(VtdAccelTest *t, const BusyCase *c, uint64_t dir)
{
    VtdPasidEntry entry = c->pass_through ? vtd_accel_pt_entry(DID)
                                          : vtd_accel_fs_entry(DID);
    size_t mark = fakehost_err_mark(t->host);

    vtd_guest_write_pasid(&t->guest, dir, 0, &entry);
    vtd_guest_flush_pasid_cache(&t->guest);
    vtd_accel_expect_blocked(t, 0);
    /* Still in reset, after several attempts, which are told once */
    FAKEHOST_AWAIT(t->host, fakehost_failed_calls(t->host, ATTACH) >= 3);
    vtd_accel_expect_blocked(t, 0);
    g_assert_cmpuint(fakehost_err_lines(t->host, mark, "DMA blocked"), ==, 1);

    if (c->unbound) {
        vtd_guest_clear_pasid(&t->guest, dir, 0);
        vtd_guest_flush_pasid_cache(&t->guest);
    }
    if (c->off) {
        vtd_guest_set_translation(&t->guest, false);
    }
    if (c->unplugged) {
        fakehost_unplug(t->host, 0);
    }
}

static void test_busy(const void *data)
{
    const BusyCase *c = data;
    VtdAccelSetup setup = { .devices = 2 };
    VtdPasidEntry entry = vtd_accel_fs_entry(DID + 1);
    struct FakehostDevice *dev;
    VtdAccelTest t;
    uint64_t dir;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    vtd_accel_bind(&t, 1, &entry);
    dir = vtd_guest_add_context(&t.guest, fakehost_sid(0), 0);
    vtd_guest_post_cc(&t.guest, VTD_CC_DEVICE, 0, fakehost_sid(0));
    vtd_guest_sync(&t.guest);
    vtd_accel_expect_blocked(&t, 0);

    dev = fakehost_device(t.host, "dev0");
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    busy_change(&t, c, dir);
    dev->flags &= ~FAKEHOST_DEV_IN_RESET;

    if (c->unbound || c->unplugged) {
        g_usleep(SETTLE_MS * 1000);
        vtd_accel_expect_blocked(&t, 0);
    } else {
        FAKEHOST_AWAIT(t.host, !fakehost_is_blocked(t.host, "dev0"));
        if (c->pass_through || c->off) {
            vtd_accel_expect_s2(&t, 0);
        } else {
            vtd_accel_expect_s1(&t, 0);
        }
    }
    if (!c->off) {
        vtd_accel_expect_s1(&t, 1);
    }
    if (!c->unplugged) {
        fakehost_unplug(t.host, 0);
    }
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static void add(const char *name, const void *data, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/vtd-accel/hosts/%s", name);

    qtest_add_data_func(path, data, func);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        add(cases[i].name, &cases[i], test_case);
    }
    for (size_t i = 0; i < ARRAY_SIZE(busy_cases); i++) {
        g_autofree char *name = g_strdup_printf("in-reset-%s",
                                                busy_cases[i].name);

        add(name, &busy_cases[i], test_busy);
    }
    qtest_add_func("/vtd-accel/hosts/50-rounds_nothing-left",
                   test_many_rounds);
    qtest_add_func("/vtd-accel/hosts/shared-s1-refused_own-s1",
                   test_shared_s1_refused);
    qtest_add_func("/vtd-accel/hosts/any-s1-refused_blocked",
                   test_any_s1_refused);
    qtest_add_func("/vtd-accel/hosts/rom_not-mapped", test_no_readonly);
    qtest_add_func("/vtd-accel/hosts/rom-without-nesting_mapped",
                   test_readonly_without_nesting);
    return g_test_run();
}
