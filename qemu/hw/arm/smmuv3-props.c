/*
 * Property types of an SMMUv3: a value that the guest is told, or auto
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "smmuv3-props.h"

static void smmuv3_props_get(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const Property *prop = opaque;

    visit_type_enum(v, name, object_field_prop_ptr(obj, prop),
                    prop->info->enum_table, errp);
}

/* The generic setter of enums does not tell which values there are */
static void smmuv3_props_set(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const Property *prop = opaque;
    g_autofree char *text = NULL;
    int value;

    if (!visit_type_str(v, name, &text, errp)) {
        return;
    }
    value = qapi_enum_parse(prop->info->enum_table, text, -1, NULL);
    if (value < 0) {
        error_setg(errp, "%s=%s is not possible: use %s", name, text,
                   prop->info->description);
        return;
    }
    *(int *)object_field_prop_ptr(obj, prop) = value;
}

static void smmuv3_props_set_default(ObjectProperty *op, const Property *prop)
{
    object_property_set_default_str(
        op, qapi_enum_lookup(prop->info->enum_table, prop->defval.i));
}

const PropertyInfo smmuv3_prop_oas_mode = {
    .type = "OasMode",
    .description = "auto/32/36/40/42/44/48",
    .enum_table = &OasMode_lookup,
    .get = smmuv3_props_get,
    .set = smmuv3_props_set,
    .set_default_value = smmuv3_props_set_default,
};

const PropertyInfo smmuv3_prop_ssidsize_mode = {
    .type = "SsidSizeMode",
    .description = "auto, or 0 to 20",
    .enum_table = &SsidSizeMode_lookup,
    .get = smmuv3_props_get,
    .set = smmuv3_props_set,
    .set_default_value = smmuv3_props_set_default,
};
