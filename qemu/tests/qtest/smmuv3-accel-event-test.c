/*
 * QTest: events of the host reach the guest of the accelerated SMMUv3
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "smmuv3-accel-common.h"

#define QUEUE_LEN       (1u << SMMUV3_GUEST_EVENTQ_LOG2)
#define LOST            (1u << 0)       /* IOMMU_VEVENTQ_FLAG_LOST_EVENTS */
#define F_TRANSLATION   0x10
/* A device of the machine, and a register that keeps what is written */
#define RTC_BASE        0x09010000ull
#define RTC_MATCH       4
#define SEQUENCE_LAST   0x7fffffffu

typedef struct HostEvent {
    uint32_t flags;
    uint32_t sequence;
    uint64_t evt[4];
} HostEvent;

QEMU_BUILD_BUG_ON(sizeof(HostEvent) != 40);

/* The host's end of the event queue that exists */
static int open_queue(Smmuv3AccelTest *t)
{
    g_autofree char *line = fakehost_log_last(t->host, 0, "VEVENTQ_ALLOC",
                                              "out_veventq_id=");
    g_autofree char *path = NULL;
    int fd;

    g_assert_nonnull(line);
    path = g_strdup_printf("%s/veventq-%d", t->host->events,
                           atoi(strstr(line, "out_veventq_id=") +
                                strlen("out_veventq_id=")));
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static HostEvent make_event(uint32_t sequence, uint32_t sid, uint64_t addr)
{
    return (HostEvent) {
        .sequence = sequence,
        .evt = { F_TRANSLATION | (uint64_t)sid << 32, 1ull << 35, addr },
    };
}

static void send_bytes(int fd, const void *data, size_t len)
{
    g_assert_cmpint(write(fd, data, len), ==, len);
}

static void send_event(int fd, uint32_t sequence, uint64_t addr)
{
    HostEvent e = make_event(sequence, fakehost_sid(0), addr);

    send_bytes(fd, &e, sizeof(e));
}

static uint32_t event_prod(Smmuv3AccelTest *t)
{
    return smmuv3_guest_readl(&t->guest, SMMUV3_EVENTQ_PROD);
}

/* Each look lets QEMU's main loop run */
static void wait_prod(Smmuv3AccelTest *t, uint32_t wanted)
{
    QTEST_AWAIT(event_prod(t) == wanted);
}

static bool start(Smmuv3AccelTest *t, int *fd)
{
    Smmuv3AccelSetup setup = { .devices = 1 };

    if (!smmuv3_accel_start(t, &setup)) {
        return false;
    }
    smmuv3_accel_bind(t, 0);
    *fd = open_queue(t);
    return true;
}

static void test_event(void)
{
    uint64_t evt[4];
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    send_event(fd, 0, 0xdead000);
    wait_prod(&t, 1);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    /* The guest's StreamID, and all else as the host has it */
    g_assert_cmphex(evt[0], ==, F_TRANSLATION | 0x100ull << 32);
    g_assert_cmphex(evt[1], ==, 1ull << 35);
    g_assert_cmphex(evt[2], ==, 0xdead000);
    g_assert_false(smmuv3_guest_event(&t.guest, evt));
    close(fd);
    fakehost_free(t.host);
}

static void wait_lines(Smmuv3AccelTest *t, const char *text, unsigned wanted)
{
    QTEST_AWAIT(fakehost_err_lines(t->host, 0, text) >= wanted);
    smmuv3_accel_expect_alive(t);
}

/* What the kernel does not report must not confuse the guest either */
static void test_unknown(void)
{
    static const uint8_t types[] = { 0x00, 0x01, 0x24, 0xff };
    Smmuv3AccelSetup setup = { .devices = 1, .args =
        "-trace smmuv3_accel_event_unknown -trace smmuv3_trigger_irq " };
    uint64_t evt[4];
    Smmuv3AccelTest t;
    uint32_t seq = 0;
    int fd;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fd = open_queue(&t);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        HostEvent e = { .sequence = seq++, .evt = { types[i] } };

        send_bytes(fd, &e, sizeof(e));
    }
    wait_lines(&t, "smmuv3_accel_event_unknown", ARRAY_SIZE(types));
    send_event(fd, seq, 0x1000);
    wait_prod(&t, 1);
    /* Only that one is worth an interrupt */
    g_assert_cmpuint(fakehost_err_lines(t.host, 0, "smmuv3_trigger_irq"), ==,
                     1);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[2], ==, 0x1000);
    close(fd);
    fakehost_free(t.host);
}

/* Reads of the queue's descriptor are visible as trace events on stderr */
static unsigned count_reads(Smmuv3AccelTest *t, size_t mark)
{
    return fakehost_err_lines(t->host, mark, "smmuv3_accel_read_events");
}

static void test_many(void)
{
    Smmuv3AccelSetup setup = { .devices = 1, .args =
        "-trace smmuv3_accel_read_events -trace smmuv3_trigger_irq " };
    HostEvent events[100];
    uint64_t evt[4];
    Smmuv3AccelTest t;
    unsigned reads;
    size_t mark;
    int fd;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fd = open_queue(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        events[i] = make_event(i, 0x100, i * 0x1000ull);
    }
    mark = fakehost_err_mark(t.host);
    send_bytes(fd, events, sizeof(events));
    wait_prod(&t, ARRAY_SIZE(events));
    reads = count_reads(&t, mark);
    if (reads) {
        g_assert_cmpuint(reads, <=, 2);
        /* One interrupt tells about all of them */
        g_assert_cmpuint(fakehost_err_lines(t.host, mark,
                                            "smmuv3_trigger_irq"), ==, reads);
    } else {
        g_test_message("QEMU was built without the log trace backend");
    }
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        g_assert_true(smmuv3_guest_event(&t.guest, evt));
        g_assert_cmphex(evt[2], ==, i * 0x1000ull);
    }
    close(fd);
    fakehost_free(t.host);
}

/* An event may come in two pieces */
static void test_pieces(void)
{
    HostEvent e[2] = { make_event(0, 0x100, 0x1000),
                       make_event(1, 0x100, 0x2000) };
    const char *bytes = (const char *)e;
    uint64_t evt[4];
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    send_bytes(fd, bytes, 44);
    wait_prod(&t, 1);
    send_bytes(fd, bytes + 44, 6);
    g_assert_cmphex(event_prod(&t), ==, 1);
    send_bytes(fd, bytes + 50, 30);
    wait_prod(&t, 2);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[2], ==, 0x2000);
    close(fd);
    fakehost_free(t.host);
}

/* The guest's queue is full: the rest is lost, which it learns once */
static void test_overflow(void)
{
    uint64_t evt[4];
    Smmuv3AccelTest t;
    unsigned got = 0;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    for (unsigned i = 0; i < QUEUE_LEN + 20; i++) {
        send_event(fd, i, i * 0x1000ull);
    }
    wait_prod(&t, SMMUV3_QUEUE_OVERFLOW | QUEUE_LEN);
    g_assert_cmphex(smmuv3_guest_readl(&t.guest, SMMUV3_GERROR), ==, 0);
    while (smmuv3_guest_event(&t.guest, evt)) {
        g_assert_cmphex(evt[2], ==, got * 0x1000ull);
        got++;
    }
    g_assert_cmpuint(got, ==, QUEUE_LEN);
    /* Acknowledged with the index: the flag stays as it is, the queue works */
    send_event(fd, QUEUE_LEN + 20, 0x5000);
    wait_prod(&t, SMMUV3_QUEUE_OVERFLOW | (QUEUE_LEN + 1));
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    /* The next time it goes the other way */
    for (unsigned i = 0; i < QUEUE_LEN + 1; i++) {
        send_event(fd, QUEUE_LEN + 21 + i, 0x6000);
    }
    wait_prod(&t, (2 * QUEUE_LEN + 1) & (2 * QUEUE_LEN - 1));
    close(fd);
    fakehost_free(t.host);
}

/* The host has lost some: in the middle, at the end */
static void test_lost(void)
{
    HostEvent tail = { .flags = LOST, .sequence = 7 };
    uint64_t evt[4];
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    send_event(fd, 0, 0x1000);
    send_event(fd, 1, 0x2000);
    wait_prod(&t, 2);
    send_event(fd, 5, 0x3000);
    wait_prod(&t, 3 | SMMUV3_QUEUE_OVERFLOW);
    while (smmuv3_guest_event(&t.guest, evt)) {
        /* Acknowledges */
    }
    send_event(fd, 6, 0x4000);
    wait_prod(&t, 4 | SMMUV3_QUEUE_OVERFLOW);
    send_bytes(fd, &tail, 8);
    wait_prod(&t, 4);
    send_event(fd, 8, 0x5000);
    wait_prod(&t, 5);
    close(fd);
    fakehost_free(t.host);
}

/* After the largest sequence number comes 0 */
static void test_sequence_wraps(void)
{
    uint64_t evt[4];
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    send_event(fd, SEQUENCE_LAST, 0x1000);
    wait_prod(&t, 1 | SMMUV3_QUEUE_OVERFLOW);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    send_event(fd, 0, 0x2000);
    send_event(fd, 1, 0x3000);
    wait_prod(&t, 3 | SMMUV3_QUEUE_OVERFLOW);
    close(fd);
    fakehost_free(t.host);
}

/* The host's queue is there while a device is, whatever the guest's does */
static void test_lifetime(void)
{
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    fakehost_plug(t.host, 0);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VEVENTQ), ==, 1);
    smmuv3_guest_enable(g);
    for (unsigned i = 0; i < 5; i++) {
        smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL & ~SMMUV3_CR0_EVENTQEN);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VEVENTQ), ==,
                         1);
        smmuv3_guest_set_cr0(g, SMMUV3_CR0_ALL);
    }
    fakehost_reset(t.host);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VEVENTQ), ==, 1);
    g_assert_cmpuint(fakehost_calls(t.host, "IOMMU_VEVENTQ_ALLOC"), ==, 1);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    /* Nothing is destroyed that somebody still uses */
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_DESTROY"), ==, 0);
    fakehost_free(t.host);
}

/*
 * Nobody sleeps in poll() on the queue: the host would take that for a use of
 * it, and keep it when the last device goes.
 */
static void test_poll(void)
{
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    for (unsigned i = 0; i < 10; i++) {
        send_event(fd, i, 0x1000);
        wait_prod(&t, i + 1);
    }
    g_assert_cmpuint(t.host->page->queue_reads, >, 0);
    g_assert_cmpuint(t.host->page->queue_polls, ==, 0);
    close(fd);
    fakehost_free(t.host);
}

/* What happens while the guest's queue is off is not for it */
static void test_queue_off(void)
{
    HostEvent e = make_event(2, 0x100, 0x3000);
    Smmuv3AccelSetup setup = { .devices = 1, .args =
        "-trace smmuv3_accel_read_events " };
    uint64_t evt[4];
    Smmuv3AccelTest t;
    int fd;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fd = open_queue(&t);
    send_event(fd, 0, 0x1000);
    wait_prod(&t, 1);
    smmuv3_guest_set_cr0(&t.guest, SMMUV3_CR0_ALL & ~SMMUV3_CR0_EVENTQEN);
    /* In two pieces, the second of which nobody may have read yet */
    send_event(fd, 1, 0x2000);
    send_bytes(fd, &e, 20);
    wait_lines(&t, "smmuv3_accel_read_events 60 ", 1);
    send_bytes(fd, (char *)&e + 20, 20);
    /* Not that some were lost, either */
    send_event(fd, 9, 0x4000);
    smmuv3_guest_set_cr0(&t.guest, SMMUV3_CR0_ALL);
    send_event(fd, 10, 0x5000);
    wait_prod(&t, 2);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[2], ==, 0x1000);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[2], ==, 0x5000);
    close(fd);
    fakehost_free(t.host);
}

/* A host without such queues: told once, and all else works */
static void test_refused_queue(void)
{
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    fakehost_fail(t.host, "VEVENTQ_ALLOC", 1, 0, EOPNOTSUPP, 0);
    fakehost_plug(t.host, 0);
    smmuv3_accel_bind(&t, 0);
    for (unsigned i = 0; i < 5; i++) {
        smmuv3_guest_set_cr0(&t.guest, SMMUV3_CR0_ALL & ~SMMUV3_CR0_EVENTQEN);
        smmuv3_guest_set_cr0(&t.guest, SMMUV3_CR0_ALL);
    }
    /* With the device, and each time that the guest asks for events */
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_VEVENTQ_ALLOC"), ==,
                     7);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "will not see faults"),
                     ==, 1);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_S1);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* A read that fails is told once and tried again, but not without a pause */
static void test_read_error(void)
{
    const struct FakehostRule *rule;
    uint64_t reads, evt[4];
    Smmuv3AccelTest t;
    size_t mark;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    mark = fakehost_err_mark(t.host);
    reads = t.host->page->queue_reads;
    rule = fakehost_fail(t.host, "READ_EVENTS", 1, 2, EIO, 0);
    send_event(fd, 0, 0x1000);
    wait_prod(&t, 1);
    g_assert_cmpuint(rule->hits, ==, 2);
    g_assert_cmpuint(t.host->page->queue_reads - reads, ==, 3);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "cannot read the host"),
                     ==, 1);
    g_assert_true(smmuv3_guest_event(&t.guest, evt));
    g_assert_cmphex(evt[2], ==, 0x1000);
    /* It worked meanwhile: the next failure is told again */
    fakehost_fail(t.host, "READ_EVENTS", 1, 1, EIO, 0);
    send_event(fd, 1, 0x2000);
    wait_prod(&t, 2);
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "cannot read the host"),
                     ==, 2);
    close(fd);
    fakehost_free(t.host);
}

/* A guest that stands still gets no events, and all of them when it goes on */
static void test_stopped(void)
{
    uint64_t reads;
    Smmuv3AccelTest t;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'stop' }");
    reads = t.host->page->queue_reads;
    send_event(fd, 0, 0x1000);
    send_event(fd, 1, 0x2000);
    for (unsigned i = 0; i < 20; i++) {
        g_usleep(10000);
        g_assert_cmphex(event_prod(&t), ==, 0);
    }
    g_assert_cmpuint(t.host->page->queue_reads, ==, reads);
    qtest_qmp_assert_success(t.host->qts, "{ 'execute': 'cont' }");
    wait_prod(&t, 2);
    close(fd);
    fakehost_free(t.host);
}

/* The guest's interrupts are lost without an RMR: that is said, once */
static void test_msi_window(void)
{
    static const struct {
        uint64_t addr;
        uint8_t type;
        bool told;
    } cases[] = {
        { 0x07fff000, F_TRANSLATION }, { 0x08100000, F_TRANSLATION },
        { 0x08000040, 0x13 }, { 0x080ff040, F_TRANSLATION, true },
        { 0x08000040, F_TRANSLATION, true },
    };
    Smmuv3AccelSetup setup = { .devices = 2 };
    Smmuv3AccelTest t;
    uint32_t seq = 0;
    size_t mark;
    int fd;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_bind(&t, 1);
    fd = open_queue(&t);
    mark = fakehost_err_mark(t.host);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        HostEvent e = make_event(seq++, fakehost_sid(0), cases[i].addr);

        e.evt[0] = deposit64(e.evt[0], 0, 8, cases[i].type);
        send_bytes(fd, &e, sizeof(e));
        wait_prod(&t, seq);
        g_assert_cmpuint(fakehost_err_lines(t.host, mark, "RMR"), ==,
                         cases[i].told);
    }
    /* Each device, and nobody for a StreamID that no device has */
    for (unsigned sid = 0x200; sid <= 0x300; sid += 0x100) {
        HostEvent e = make_event(seq++, sid, 0x08000000);

        send_bytes(fd, &e, sizeof(e));
        wait_prod(&t, seq);
        g_assert_cmpuint(fakehost_err_lines(t.host, mark, "RMR"), ==, 2);
    }
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "StreamID 0x200"), ==,
                     1);
    close(fd);
    fakehost_free(t.host);
}

/* The guest's queue is nowhere: that is an error of its own */
static void test_bad_queue(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    smmuv3_guest_writeq(g, SMMUV3_EVENTQ_BASE, 0x7ff000000000ull | 5);
    send_event(fd, 0, 0x1000);
    QTEST_AWAIT(smmuv3_guest_readl(g, SMMUV3_GERROR) & 4);
    g_assert_cmphex(event_prod(&t), ==, 0);
    close(fd);
    fakehost_free(t.host);
}

/* Nor is a device's register a queue: events do not change it */
static void test_queue_in_device(void)
{
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint32_t match;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    /* The second word of an event is its StreamID */
    match = qtest_readl(g->qts, RTC_BASE + RTC_MATCH);
    g_assert_cmphex(match, !=, fakehost_sid(0));
    smmuv3_guest_writeq(g, SMMUV3_EVENTQ_BASE, RTC_BASE | 5);
    send_event(fd, 0, 0x1000);
    QTEST_AWAIT(smmuv3_guest_readl(g, SMMUV3_GERROR) & 4 || event_prod(&t));
    g_assert_cmphex(event_prod(&t), ==, 0);
    g_assert_cmphex(qtest_readl(g->qts, RTC_BASE + RTC_MATCH), ==, match);
    close(fd);
    fakehost_free(t.host);
}

/* A storm of events does not keep QEMU from its other work */
static void test_storm(void)
{
    HostEvent events[100];      /* a pipe takes so many at once, or none */
    Smmuv3AccelTest t;
    uint32_t seq = 0;
    int fd;

    if (!start(&t, &fd)) {
        return;
    }
    for (unsigned round = 0; round < 500; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
            events[i] = make_event(seq++, 0x100, 0);
        }
        while (write(fd, events, sizeof(events)) < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            smmuv3_accel_expect_alive(&t);
        }
    }
    smmuv3_accel_expect_alive(&t);
    wait_prod(&t, SMMUV3_QUEUE_OVERFLOW | QUEUE_LEN);
    close(fd);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/smmuv3-accel/event/one_delivered", test_event);
    qtest_add_func("/smmuv3-accel/event/unknown_dropped", test_unknown);
    qtest_add_func("/smmuv3-accel/cost/100-events_one-read", test_many);
    qtest_add_func("/smmuv3-accel/event/pieces_joined", test_pieces);
    qtest_add_func("/smmuv3-accel/event/overflow_told", test_overflow);
    qtest_add_func("/smmuv3-accel/event/lost_told", test_lost);
    qtest_add_func("/smmuv3-accel/event/sequence_wraps", test_sequence_wraps);
    qtest_add_func("/smmuv3-accel/event/queue_lives-with-device",
                   test_lifetime);
    qtest_add_func("/smmuv3-accel/event/queue_not-polled", test_poll);
    qtest_add_func("/smmuv3-accel/event/queue-off_dropped", test_queue_off);
    qtest_add_func("/smmuv3-accel/event/read-fails_tried-again",
                   test_read_error);
    qtest_add_func("/smmuv3-accel/event/vm-stopped_waits", test_stopped);
    qtest_add_func("/smmuv3-accel/event/msi-window_told-once",
                   test_msi_window);
    qtest_add_func("/smmuv3-accel/event/queue-refused_told-once",
                   test_refused_queue);
    qtest_add_func("/smmuv3-accel/event/bad-queue_gerror", test_bad_queue);
    qtest_add_func("/smmuv3-accel/event/queue-in-device_gerror",
                   test_queue_in_device);
    qtest_add_func("/smmuv3-accel/event/storm_alive", test_storm);
    return g_test_run();
}
