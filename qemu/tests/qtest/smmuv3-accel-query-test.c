/*
 * QTest: what the accelerated SMMUv3 says of its host devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qlist.h"
#include "smmuv3-accel-common.h"
#include "viommu/query.h"

#define SID0            0x100u
#define NEW_SID0        0x500u      /* on another bus */
#define STAGE2          "its stream table entry asks for stage 2"
#define REFUSED         "cannot install its stream table entry"
#define STUCK           "cannot block its DMA"
#define RENUMBERED      "another device has its StreamID now"
#define MSI             0x08000040  /* in the window for the host's MSIs */

/* A command, and fields of its second word (SMMUv3 4.4.1.1) */
#define TLBI_NH_VA      (0x12 | 1ull << 48)
#define TG_4K           (1 << 10)
#define TTL_3           (3 << 8)

static bool start(Smmuv3AccelTest *t, unsigned devices)
{
    Smmuv3AccelSetup setup = { .devices = devices };

    return smmuv3_accel_start(t, &setup);
}

static void set_ste(Smmuv3AccelTest *t, uint64_t ste)
{
    smmuv3_guest_write_ste(&t->guest, SID0, ste, 0);
    smmuv3_guest_cfgi(&t->guest, SID0);
}

static void test_off(void)
{
    QTestState *qts = qtest_init("-M virt,iommu=smmuv3 -cpu cortex-a57");
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-viommu' }");
    QList *list = qdict_get_qlist(response, "return");
    QDict *info = qobject_to(QDict, qlist_peek(list));

    g_assert_cmpuint(qlist_size(list), ==, 1);
    g_assert_cmpstr(qdict_get_str(info, "model"), ==, "arm-smmuv3");
    g_assert_false(qdict_get_bool(info, "accelerated"));
    g_assert_true(qlist_empty(qdict_get_qlist(info, "devices")));
    qobject_unref(response);
    qtest_quit(qts);
}

static void test_states(void)
{
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    viommu_expect_mode(t.host, "off");
    viommu_expect(t.host, 0, NO_PASID, "stage-2", NULL);
    smmuv3_guest_writel(&t.guest, SMMUV3_GBPA,
                        SMMUV3_GBPA_UPDATE | SMMUV3_GBPA_ABORT);
    viommu_expect_mode(t.host, "abort");
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    viommu_expect_objects(t.host);

    smmuv3_guest_enable(&t.guest);
    viommu_expect_mode(t.host, "enabled");
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    smmuv3_accel_bind(&t, 0);
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    viommu_expect_objects(t.host);
    set_ste(&t, SMMUV3_STE_BYPASS);
    viommu_expect(t.host, 0, NO_PASID, "stage-2", NULL);
    set_ste(&t, SMMUV3_STE_S2);
    viommu_expect(t.host, 0, NO_PASID, "blocked", STAGE2);
    viommu_expect_objects(t.host);
    set_ste(&t, SMMUV3_STE_ABORT);
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    fakehost_free(t.host);
}

static void expect_blocked(Smmuv3AccelTest *t, unsigned num)
{
    QDict *info = viommu_query(t->host);
    QDict *device = viommu_device(info, 0);

    g_assert_cmpuint(qdict_get_int(device, "blocked-count"), ==, num);
    g_assert_cmpuint(qdict_get_int(device, "binding-count"), ==, 1);
    qobject_unref(info);
}

/* The host neither attaches the device to what blocks, nor detaches it */
static void test_stuck(void)
{
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    fakehost_fail(t.host, "ATTACH_IOMMUFD_PT", 1, 0, EIO, 0);
    fakehost_fail(t.host, "DETACH_IOMMUFD_PT", 1, 0, EIO, 0);
    smmuv3_guest_write_ste(&t.guest, SID0, SMMUV3_STE_ABORT, 0);
    smmuv3_guest_post_sid(&t.guest, SMMUV3_CFGI_STE, SID0);
    smmuv3_guest_ring(&t.guest);
    viommu_expect(t.host, 0, NO_PASID, "stuck", STUCK);
    viommu_expect_objects(t.host);
    viommu_expect_event(t.host, 0, "stuck", NO_PASID, STUCK);
    viommu_expect_no_event(t.host);
    expect_blocked(&t, 1);
    fakehost_clear_rules(t.host);
    FAKEHOST_AWAIT(t.host, smmuv3_accel_state(&t, 0) == SMMUV3_IS_ABORT);
    viommu_expect(t.host, 0, NO_PASID, "blocked", NULL);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, STUCK);
    expect_blocked(&t, 0);
    fakehost_free(t.host);
}

static void test_objects(void)
{
    Smmuv3AccelTest t;
    QDict *info;

    if (!start(&t, 2)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    viommu_expect_objects(t.host);
    info = viommu_query(t.host);
    g_assert_cmphex(qdict_get_int(viommu_object(info, "vdevice"),
                                  "virtual-id"), ==, SID0);
    g_assert_cmpint(qdict_get_int(viommu_object(info, "hwpt-s1"), "users"), ==,
                    1);
    g_assert_cmpint(qdict_get_int(viommu_object(info, "hwpt-bypass"), "users"),
                    ==, 0);
    /* The other one has no entry */
    g_assert_cmpint(qdict_get_int(viommu_object(info, "hwpt-blocking"),
                                  "users"), ==, 1);
    g_assert_nonnull(viommu_object(info, "veventq"));
    qobject_unref(info);
    fakehost_unplug(t.host, 0);
    fakehost_unplug(t.host, 1);
    viommu_expect_objects(t.host);
    fakehost_free(t.host);
}

static void test_capabilities(void)
{
    Smmuv3AccelTest t;
    QDict *info, *device;

    if (!start(&t, 1)) {
        return;
    }
    info = viommu_query(t.host);
    device = viommu_device(info, 0);
    /* SMMUV3_ACCEL_FIXED, and what the host has */
    g_assert_cmpint(viommu_capability(info, "oas-bits"), ==, 44);
    g_assert_cmpint(viommu_capability(device, "oas-bits"), ==, 48);
    g_assert_cmpint(viommu_capability(info, "ssidsize"), ==, 4);
    g_assert_cmpint(viommu_capability(device, "ssidsize"), ==, 16);
    g_assert_cmpint(viommu_capability(info, "cd2l"), ==, 0);
    g_assert_cmpint(viommu_capability(device, "cd2l"), ==, 1);
    g_assert_cmpint(viommu_capability(device, "bbml"), ==, 2);
    g_assert_cmpint(viommu_capability(info, "vax"), ==, 0);
    g_assert_cmpint(viommu_capability(device, "vax"), ==, 0);
    qobject_unref(info);
    fakehost_free(t.host);
}

static int64_t counter(Smmuv3AccelTest *t, const char *name)
{
    QDict *info = viommu_query(t->host);
    int64_t value = qdict_get_int(qdict_get_qdict(info, "counters"), name);

    qobject_unref(info);
    return value;
}

/* F_TRANSLATION of the host, by the way a real one comes */
static void send_event(Smmuv3AccelTest *t, uint32_t sequence, uint64_t addr)
{
    const struct {
        uint32_t flags, sequence;
        uint64_t evt[4];
    } event = {
        .sequence = sequence,
        .evt = { 0x10 | (uint64_t)SID0 << 32, 1ull << 35, addr },
    };
    QDict *info = viommu_query(t->host);
    g_autofree char *path =
        g_strdup_printf("%s/veventq-%" PRId64, t->host->events,
                        qdict_get_int(viommu_object(info, "veventq"), "id"));
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, &event, sizeof(event)), ==, sizeof(event));
    close(fd);
    qobject_unref(info);
}

static void test_counters(void)
{
    ViommuCounts vfio = { .attaches = 1 };
    Smmuv3AccelTest t;
    int64_t commands;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    viommu_expect_counts(t.host, &vfio);
    commands = counter(&t, "descriptors");
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_post_va(&t.guest, 1, 0x8000);
    smmuv3_guest_sync(&t.guest);
    /* CMD_SYNC is a command, too */
    g_assert_cmpint(counter(&t, "descriptors"), ==, commands + 3);
    g_assert_cmpint(counter(&t, "ioctls"), ==, 1);
    g_assert_cmpint(counter(&t, "entries"), ==, 2);
    viommu_expect_counts(t.host, &vfio);

    /* Two neighbours, whose granule and level are known, make one range */
    g_assert_cmpint(counter(&t, "merged"), ==, 0);
    smmuv3_guest_post(&t.guest, TLBI_NH_VA, 0x4000 | TG_4K | TTL_3);
    smmuv3_guest_post(&t.guest, TLBI_NH_VA, 0x5000 | TG_4K | TTL_3);
    smmuv3_guest_sync(&t.guest);
    g_assert_cmpint(counter(&t, "merged"), ==, 1);
    g_assert_cmpint(counter(&t, "entries"), ==, 3);
    viommu_expect_counts(t.host, &vfio);

    fakehost_fail_next(t.host, "HWPT_INVALIDATE", EIO);
    smmuv3_guest_post_va(&t.guest, 1, 0x1000);
    smmuv3_guest_sync(&t.guest);
    g_assert_cmpint(counter(&t, "refused"), ==, 1);
    expect_blocked(&t, 1);
    viommu_expect(t.host, 0, NO_PASID, "blocked", "host refuses command 0x");
    viommu_expect_event(t.host, 0, "blocked", NO_PASID,
                        "host refuses command 0x");
    viommu_expect_counts(t.host, &vfio);
    smmuv3_guest_cfgi(&t.guest, SID0);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, "host refuses command 0x");
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    viommu_expect_counts(t.host, &vfio);

    g_assert_cmpint(counter(&t, "events"), ==, 0);
    send_event(&t, 0, 0x1000);
    QTEST_AWAIT(counter(&t, "events") == 1);
    viommu_expect_stats(t.host);
    fakehost_free(t.host);
}

static void expect_at(Smmuv3AccelTest *t, unsigned n, uint32_t sid,
                      const char *state, const char *reason)
{
    QDict *info = viommu_query(t->host);
    QDict *device = viommu_device(info, n);
    QDict *binding = viommu_binding(device, NO_PASID);

    g_assert_cmphex(qdict_get_int(device, "requester-id"), ==, sid);
    g_assert_cmpstr(qdict_get_str(binding, "state"), ==, state);
    g_assert_cmpstr(qdict_get_try_str(binding, "reason"), ==, reason);
    qobject_unref(info);
}

/* The guest renumbers its busses: the other device gets this one's StreamID */
static void test_renumbered(void)
{
    Smmuv3AccelTest t;

    if (!start(&t, 2)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    smmuv3_accel_number_bus(&t, 0, NEW_SID0 >> 8);
    smmuv3_accel_number_bus(&t, 1, SID0 >> 8);
    /* A range of one: CFGI_STE would be for the one that had it, too */
    smmuv3_guest_post_sid(&t.guest, SMMUV3_CFGI_STE_RANGE, SID0);
    smmuv3_guest_sync(&t.guest);
    expect_at(&t, 1, SID0, "stage-1", NULL);
    expect_at(&t, 0, NEW_SID0, "blocked", RENUMBERED);
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, RENUMBERED);
    expect_blocked(&t, 1);
    viommu_expect_objects(t.host);

    smmuv3_guest_write_ste(&t.guest, NEW_SID0, smmuv3_accel_s1_ste(0), 0);
    smmuv3_guest_cfgi(&t.guest, NEW_SID0);
    expect_at(&t, 0, NEW_SID0, "stage-1", NULL);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, RENUMBERED);
    viommu_expect_no_event(t.host);
    expect_blocked(&t, 0);
    fakehost_free(t.host);
}

/* What the host does not allocate */
static void test_refused(void)
{
    ViommuCounts vfio = { .attaches = 1 };
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    fakehost_fail_next(t.host, "VDEVICE_ALLOC", ENOMEM);
    set_ste(&t, smmuv3_accel_s1_ste(0));
    viommu_expect(t.host, 0, NO_PASID, "blocked", REFUSED);
    g_assert_cmpint(counter(&t, "refused"), ==, 1);
    fakehost_fail_next(t.host, "HWPT_ALLOC", ENOMEM);
    set_ste(&t, smmuv3_accel_s1_ste(0));
    viommu_expect(t.host, 0, NO_PASID, "blocked", REFUSED);
    g_assert_cmpint(counter(&t, "refused"), ==, 2);
    viommu_expect_counts(t.host, &vfio);
    fakehost_free(t.host);
}

static bool lost(Smmuv3AccelTest *t)
{
    g_autofree char *text = qtest_hmp(t->host->qts, "info viommu");
    QDict *info = viommu_query(t->host);
    bool lost = qdict_get_bool(viommu_device(info, 0), "interrupts-lost");

    g_assert_cmpint(lost, ==, !!strstr(text, "interrupts are lost"));
    qobject_unref(info);
    return lost;
}

/* Faults at the address of interrupts, until the guest has another stage 1 */
static void test_interrupts(void)
{
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    send_event(&t, 0, 0x1000);
    QTEST_AWAIT(counter(&t, "events") == 1);
    g_assert_false(lost(&t));
    send_event(&t, 1, MSI);
    QTEST_AWAIT(counter(&t, "events") == 2);
    g_assert_true(lost(&t));
    set_ste(&t, SMMUV3_STE_BYPASS);
    g_assert_false(lost(&t));
    /* One that comes late tells nothing about what the device has now */
    send_event(&t, 2, MSI);
    QTEST_AWAIT(counter(&t, "events") == 3);
    g_assert_false(lost(&t));
    set_ste(&t, smmuv3_accel_s1_ste(0));
    g_assert_false(lost(&t));
    send_event(&t, 3, MSI);
    QTEST_AWAIT(counter(&t, "events") == 4);
    g_assert_true(lost(&t));
    fakehost_free(t.host);
}

static void test_events(void)
{
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    set_ste(&t, SMMUV3_STE_ABORT);
    set_ste(&t, 0);
    viommu_expect_no_event(t.host);

    set_ste(&t, SMMUV3_STE_S2);
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, STAGE2);
    set_ste(&t, SMMUV3_STE_S2);
    viommu_expect_no_event(t.host);
    set_ste(&t, 0);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, STAGE2);

    fakehost_fail_next(t.host, "HWPT_ALLOC", EINVAL);
    set_ste(&t, smmuv3_accel_s1_ste(0));
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, REFUSED);
    smmuv3_guest_cfgi(&t.guest, SID0);
    viommu_expect_event(t.host, 0, NULL, NO_PASID, REFUSED);
    viommu_expect_no_event(t.host);
    fakehost_free(t.host);
}

/* A device in reset is tried again until it is out of it */
static void test_retries(void)
{
    struct FakehostDevice *dev;
    Smmuv3AccelTest t;

    if (!start(&t, 1)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    dev = fakehost_device(t.host, fakehost_dev(0));
    dev->flags |= FAKEHOST_DEV_IN_RESET;
    set_ste(&t, smmuv3_accel_s1_ste(0));
    viommu_expect_event(t.host, 0, "blocked", NO_PASID, REFUSED);
    QTEST_AWAIT(counter(&t, "retries") >= 3);
    viommu_expect_no_event(t.host);
    dev->flags &= ~FAKEHOST_DEV_IN_RESET;
    viommu_expect_event(t.host, 0, NULL, NO_PASID, REFUSED);
    viommu_expect(t.host, 0, NO_PASID, "stage-1", NULL);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/smmuv3-accel/query/accel-off_no-devices", test_off);
    qtest_add_func("/smmuv3-accel/query/states", test_states);
    qtest_add_func("/smmuv3-accel/query/stuck_reason", test_stuck);
    qtest_add_func("/smmuv3-accel/query/objects", test_objects);
    qtest_add_func("/smmuv3-accel/query/capabilities", test_capabilities);
    qtest_add_func("/smmuv3-accel/query/counters_exact", test_counters);
    qtest_add_func("/smmuv3-accel/query/renumbered_reason", test_renumbered);
    qtest_add_func("/smmuv3-accel/query/refused_counted", test_refused);
    qtest_add_func("/smmuv3-accel/query/interrupts-lost", test_interrupts);
    qtest_add_func("/smmuv3-accel/query/events", test_events);
    qtest_add_func("/smmuv3-accel/query/retries_counted", test_retries);
    return g_test_run();
}
