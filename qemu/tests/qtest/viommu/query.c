/*
 * What query-viommu, info viommu and the events say of a QEMU on fakehost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "query.h"

#define BLOCKED         "VIOMMU_DEVICE_BLOCKED"
#define UNBLOCKED       "VIOMMU_DEVICE_UNBLOCKED"
/* One of a device in this time, see monitor/monitor.c */
#define EVENT_RATE_NS   1000000000

/* The first element of a list in @dict with @value as a member, or NULL */
static QDict *find(QDict *dict, const char *list, const char *member,
                   const char *value)
{
    QListEntry *entry;

    g_assert_nonnull(qdict_get_qlist(dict, list));
    QLIST_FOREACH_ENTRY(qdict_get_qlist(dict, list), entry) {
        QDict *element = qobject_to(QDict, qlist_entry_obj(entry));

        if (!g_strcmp0(qdict_get_try_str(element, member), value)) {
            return element;
        }
    }
    return NULL;
}

QDict *viommu_query(FakeHost *host)
{
    QDict *response = qtest_qmp(host->qts, "{ 'execute': 'query-viommu' }");
    QList *list = qdict_get_qlist(response, "return");
    QDict *info;

    g_assert_nonnull(list);
    g_assert_cmpuint(qlist_size(list), ==, 1);
    info = qobject_to(QDict, qlist_peek(list));
    qobject_ref(info);
    qobject_unref(response);
    return info;
}

QDict *viommu_query_id(FakeHost *host, const char *id)
{
    QDict *response = qtest_qmp(host->qts, "{ 'execute': 'query-viommu' }");
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", id);
    QDict *info = find(response, "return", "qom-path", path);

    g_assert_nonnull(info);
    qobject_ref(info);
    qobject_unref(response);
    return info;
}

static void expect_path(QDict *dict, unsigned n)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s",
                                            fakehost_dev(n));

    g_assert_cmpstr(qdict_get_str(dict, "qom-path"), ==, path);
}

QDict *viommu_device(QDict *info, unsigned n)
{
    QDict *device = find(info, "devices", "id", fakehost_dev(n));

    g_assert_nonnull(device);
    expect_path(device, n);
    return device;
}

QDict *viommu_binding(QDict *device, int64_t pasid)
{
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(device, "bindings"), entry) {
        QDict *binding = qobject_to(QDict, qlist_entry_obj(entry));

        if (qdict_get_try_int(binding, "pasid", NO_PASID) == pasid) {
            return binding;
        }
    }
    return NULL;
}

QDict *viommu_object(QDict *info, const char *type)
{
    return find(info, "objects", "type", type);
}

int64_t viommu_capability(QDict *owner, const char *name)
{
    QDict *capability = find(owner, "capabilities", "name", name);

    g_assert_nonnull(capability);
    return qdict_get_int(capability, "value");
}

void viommu_expect(FakeHost *host, unsigned n, int64_t pasid,
                   const char *state, const char *reason)
{
    const struct FakehostDevice *dev = fakehost_device(host, fakehost_dev(n));
    QDict *info = viommu_query(host);
    QDict *device = viommu_device(info, n);
    QDict *binding = viommu_binding(device, pasid);
    const char *why;

    g_assert_cmpint(qdict_get_int(device, "requester-id"), ==,
                    fakehost_sid(n));
    g_assert_cmpint(qdict_get_int(device, "host-id"), ==, dev->dev_id);
    g_assert_nonnull(binding);
    g_assert_cmpstr(qdict_get_str(binding, "state"), ==, state);
    if (pasid == NO_PASID) {
        g_assert_cmpint(qdict_get_try_int(binding, "hwpt-id", 0), ==,
                        dev->pt_id);
    }
    why = qdict_get_try_str(binding, "reason");
    if (reason) {
        fakehost_expect_text(why, reason);
    } else {
        g_assert_cmpstr(why, ==, NULL);
    }
    qobject_unref(info);
}

void viommu_expect_mode(FakeHost *host, const char *mode)
{
    QDict *info = viommu_query(host);

    g_assert_cmpstr(qdict_get_str(info, "mode"), ==, mode);
    qobject_unref(info);
}

/* --- objects --- */

static const struct {
    const char *prefix;         /* of the type */
    unsigned object;
} kinds[] = {
    { "ioas", FAKEHOST_OBJ_IOAS },
    { "hwpt-s2", FAKEHOST_OBJ_HWPT_PAGING },
    { "hwpt-shadow", FAKEHOST_OBJ_HWPT_PAGING },
    { "hwpt-", FAKEHOST_OBJ_HWPT_NESTED },
    { "viommu", FAKEHOST_OBJ_VIOMMU },
    { "vdevice", FAKEHOST_OBJ_VDEVICE },
    { "veventq", FAKEHOST_OBJ_VEVENTQ },
    { "fault-queue", FAKEHOST_OBJ_FAULT },
};

static unsigned kind_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (g_str_has_prefix(type, kinds[i].prefix)) {
            return kinds[i].object;
        }
    }
    g_assert_not_reached();
}

static void expect_shown(const char *text, const char *what, int64_t number)
{
    g_autofree char *wanted = g_strdup_printf("%s %" PRId64, what, number);
    const char *at = text;

    do {
        at = strstr(at, wanted);
        if (!at) {
            g_error("info viommu does not show '%s':\n%s", wanted, text);
        }
        at += strlen(wanted);
    } while (g_ascii_isdigit(*at));
}

void viommu_expect_objects(FakeHost *host)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autofree char *text = qtest_hmp(host->qts, "info viommu");
    unsigned found[FAKEHOST_OBJ_TYPES] = { 0 };
    QDict *info = viommu_query(host);
    QList *objects = qdict_get_qlist(info, "objects");
    QListEntry *entry;

    fakehost_expect_text(text, qdict_get_str(info, "qom-path"));
    g_assert_cmpuint(qdict_get_int(info, "object-count"), ==,
                     qlist_size(objects));
    QLIST_FOREACH_ENTRY(objects, entry) {
        QDict *object = qobject_to(QDict, qlist_entry_obj(entry));
        const char *type = qdict_get_str(object, "type");
        int64_t parent = qdict_get_try_int(object, "parent-id", 0);
        int64_t id = qdict_get_int(object, "id");

        g_assert_cmpstr(qdict_get_str(object, "iommufd"), ==, "iommufd0");
        g_assert_true(g_hash_table_add(seen, GINT_TO_POINTER(id)));
        g_assert_cmpint(!parent, ==, !strcmp(type, "ioas") ||
                                     !strcmp(type, "fault-queue"));
        g_assert_true(!parent ||
                      g_hash_table_contains(seen, GINT_TO_POINTER(parent)));
        found[kind_of(type)]++;
        expect_shown(text, type, id);
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_assert_cmpuint(found[kinds[i].object], ==,
                         fakehost_objects(host, kinds[i].object));
    }
    QLIST_FOREACH_ENTRY(qdict_get_qlist(info, "devices"), entry) {
        QDict *device = qobject_to(QDict, qlist_entry_obj(entry));
        QDict *binding = viommu_binding(device, NO_PASID);

        fakehost_expect_text(text, qdict_get_str(device, "id"));
        expect_shown(text, "device", qdict_get_int(device, "host-id"));
        if (qdict_haskey(binding, "hwpt-id")) {
            expect_shown(text, "HWPT", qdict_get_int(binding, "hwpt-id"));
        }
    }
    qobject_unref(info);
}

/* --- counters --- */

ViommuCounts viommu_host_counts(FakeHost *host)
{
    return (ViommuCounts) {
        .ioctls = fakehost_calls(host, "IOMMU_HWPT_INVALIDATE"),
        .entries = fakehost_entries(host),
        .attaches = fakehost_calls(host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
        .refused =
            fakehost_failed_calls(host, "IOMMU_HWPT_INVALIDATE") +
            fakehost_failed_calls(host, "IOMMU_HWPT_ALLOC") +
            fakehost_failed_calls(host, "IOMMU_VDEVICE_ALLOC") +
            fakehost_failed_calls(host, "IOMMU_IOAS_COPY") +
            fakehost_failed_calls(host, "VFIO_DEVICE_ATTACH_IOMMUFD_PT") +
            fakehost_failed_calls(host, "VFIO_DEVICE_DETACH_IOMMUFD_PT"),
    };
}

void viommu_expect_counts(FakeHost *host, const ViommuCounts *vfio)
{
    ViommuCounts now = viommu_host_counts(host);
    QDict *info = viommu_query(host);
    QDict *counters = qdict_get_qdict(info, "counters");

    g_assert_cmpuint(qdict_get_int(counters, "ioctls"), ==,
                     now.ioctls - vfio->ioctls);
    g_assert_cmpuint(qdict_get_int(counters, "entries"), ==,
                     now.entries - vfio->entries);
    g_assert_cmpuint(qdict_get_int(counters, "attaches"), ==,
                     now.attaches - vfio->attaches);
    g_assert_cmpuint(qdict_get_int(counters, "refused"), ==,
                     now.refused - vfio->refused);
    qobject_unref(info);
}

/* The only element of what a command returns, of the viommu provider */
static QDict *ask_stats(FakeHost *host, const char *command)
{
    QDict *response = qtest_qmp(host->qts, command);
    QDict *result = find(response, "return", "provider", "viommu");

    g_assert_nonnull(result);
    g_assert_cmpuint(qlist_size(qdict_get_qlist(response, "return")), ==, 1);
    qobject_ref(result);
    qobject_unref(response);
    return result;
}

void viommu_expect_stats(FakeHost *host)
{
    g_autofree char *text = qtest_hmp(host->qts, "info stats viommu");
    QDict *info = viommu_query(host);
    QDict *counters = qdict_get_qdict(info, "counters");
    QDict *all = ask_stats(host, "{ 'execute': 'query-stats', 'arguments': {"
                           " 'target': 'viommu' } }");
    QDict *one = ask_stats(host, "{ 'execute': 'query-stats', 'arguments': {"
                           " 'target': 'viommu', 'providers': [ {"
                           " 'provider': 'viommu',"
                           " 'names': [ 'attaches' ] } ] } }");
    QDict *schema = ask_stats(host, "{ 'execute': 'query-stats-schemas',"
                              " 'arguments': { 'provider': 'viommu' } }");
    const QDictEntry *c;

    g_assert_cmpstr(qdict_get_str(all, "qom-path"), ==,
                    qdict_get_str(info, "qom-path"));
    g_assert_cmpstr(qdict_get_str(schema, "target"), ==, "viommu");
    for (c = qdict_first(counters); c; c = qdict_next(counters, c)) {
        const char *name = qdict_entry_key(c);
        QDict *stat = find(all, "stats", "name", name);
        QDict *known = find(schema, "stats", "name", name);
        g_autofree char *line =
            g_strdup_printf("%s (cumulative): %" PRId64 "\r\n", name,
                            qdict_get_int(counters, name));

        g_assert_nonnull(stat);
        g_assert_cmpint(qdict_get_int(stat, "value"), ==,
                        qdict_get_int(counters, name));
        g_assert_nonnull(known);
        g_assert_cmpstr(qdict_get_str(known, "type"), ==, "cumulative");
        fakehost_expect_text(text, line);
    }
    g_assert_cmpuint(qlist_size(qdict_get_qlist(all, "stats")), ==,
                     qdict_size(counters));
    g_assert_cmpuint(qlist_size(qdict_get_qlist(schema, "stats")), ==,
                     qdict_size(counters));
    g_assert_cmpuint(qlist_size(qdict_get_qlist(one, "stats")), ==, 1);
    g_assert_nonnull(find(one, "stats", "name", "attaches"));
    qobject_unref(info);
    qobject_unref(all);
    qobject_unref(one);
    qobject_unref(schema);
}

/* --- events --- */

void viommu_expect_event(FakeHost *host, unsigned n, const char *state,
                         int64_t pasid, const char *reason)
{
    QDict *event = qtest_qmp_eventwait_ref(host->qts,
                                           state ? BLOCKED : UNBLOCKED);
    QDict *data = qdict_get_qdict(event, "data"), *info = viommu_query(host);

    g_assert_cmpstr(qdict_get_str(data, "device"), ==, fakehost_dev(n));
    expect_path(data, n);
    g_assert_cmpstr(qdict_get_str(data, "viommu"), ==,
                    qdict_get_str(info, "qom-path"));
    g_assert_cmpstr(qdict_get_try_str(data, "state"), ==, state);
    qobject_unref(info);
    g_assert_cmpint(qdict_get_try_int(data, "pasid", NO_PASID), ==, pasid);
    fakehost_expect_text(qdict_get_str(data, "reason"), reason);
    qobject_unref(event);
    /* Let its second go by */
    qtest_clock_step(host->qts, EVENT_RATE_NS);
}

void viommu_expect_no_event(FakeHost *host)
{
    qtest_clock_step(host->qts, EVENT_RATE_NS);
    qtest_qmp_assert_success(host->qts, "{ 'execute': 'query-status' }");
    g_assert_null(qtest_qmp_event_ref(host->qts, BLOCKED));
    g_assert_null(qtest_qmp_event_ref(host->qts, UNBLOCKED));
}
