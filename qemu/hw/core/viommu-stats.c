/*
 * Telling the user about vIOMMUs: a provider of query-stats
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-viommu.h"
#include "qapi/util.h"
#include "qemu/module.h"
#include "system/stats.h"
#include "system/viommu-query.h"

static StatsList *viommu_stats_list(const ViommuCounters *counters,
                                    strList *names)
{
    StatsList *list = NULL, **end = &list;

    for (const ViommuCounter *c = viommu_counters; c->name; c++) {
        Stats *stats;

        if (!apply_str_list_filter(c->name, names)) {
            continue;
        }
        stats = g_new0(Stats, 1);
        stats->name = g_strdup(c->name);
        stats->value = g_new0(StatsValue, 1);
        stats->value->type = QTYPE_QNUM;
        stats->value->u.scalar = viommu_counter_value(counters, c);
        QAPI_LIST_APPEND(end, stats);
    }
    return list;
}

/* A vIOMMU without host devices has counted nothing */
static void viommu_stats(StatsResultList **result, StatsTarget target,
                         strList *names, strList *targets, Error **errp)
{
    g_autoptr(ViommuInfoList) infos = NULL;

    if (target != STATS_TARGET_VIOMMU) {
        return;
    }
    infos = qmp_query_viommu(NULL);
    for (ViommuInfoList *i = infos; i; i = i->next) {
        StatsList *list = i->value->accelerated ?
                          viommu_stats_list(i->value->counters, names) : NULL;

        if (list) {
            add_stats_entry(result, STATS_PROVIDER_VIOMMU, i->value->qom_path,
                            list);
        }
    }
}

static void viommu_stats_schemas(StatsSchemaList **result, Error **errp)
{
    StatsSchemaValueList *list = NULL, **end = &list;

    for (const ViommuCounter *c = viommu_counters; c->name; c++) {
        StatsSchemaValue *value = g_new0(StatsSchemaValue, 1);

        value->name = g_strdup(c->name);
        value->type = STATS_TYPE_CUMULATIVE;
        QAPI_LIST_APPEND(end, value);
    }
    add_stats_schema(result, STATS_PROVIDER_VIOMMU, STATS_TARGET_VIOMMU, list);
}

static void viommu_stats_register(void)
{
    add_stats_callbacks(STATS_PROVIDER_VIOMMU, viommu_stats,
                        viommu_stats_schemas);
}

type_init(viommu_stats_register);
