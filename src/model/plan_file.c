/**
 * Reading a plan, a JSON file that people edit: names, methods and ranks are taken from it, everything else is computed
 * again where it is used.
 */
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "eckart/model.h"
#include "format/json.h"

static eck_status bad(eck_error *err, const char *file, const char *layer, const char *what)
{
    char name[200];
    ecki_name_escape(name, sizeof name, layer);
    ecki_error(err, ECK_E_FORMAT, -1, "cannot use plan '%s': %s%s%s%s", file,
               layer[0] ? "layer '" : "", name, layer[0] ? "': " : "", what);
    return ecki_error_where(err, ECK_E_FORMAT, file, layer[0] ? layer : NULL);
}

static eck_status ranks_read(eck_point *point, const json_t *ranks)
{
    const size_t count = json_array_size(ranks);

    if (!json_is_array(ranks) || count > ECK_RANKS_MAX) return ECK_E_FORMAT;
    if ((point->method == ECK_METHOD_DENSE) != (count == 0)) return ECK_E_FORMAT;
    for (size_t i = 0; i < count; i++) {
        const json_t *rank = json_array_get(ranks, i);
        if (!json_is_integer(rank) || json_integer_value(rank) < 1) return ECK_E_FORMAT;
        point->ranks[i] = json_integer_value(rank);
    }
    point->rank_count = (int32_t)count;
    return ECK_OK;
}

static int64_t integer_or(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static double real_or(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static eck_status choice_read(eck_choice *choice, const json_t *layer, const char *file,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const char *name = json_string_value(json_object_get(layer, "name"));
    const char *method = json_string_value(json_object_get(layer, "method"));

    if (!name) return bad(err, file, "", "a layer has no name");
    if (!method || eck_method_parse(&choice->point.method, method, NULL) != ECK_OK)
        return bad(
            err, file, name,
            "unknown method (allowed: dense, svd, spatial, tucker1, tucker2, cp, tt, depthwise)");
    if (ranks_read(&choice->point, json_object_get(layer, "ranks")) != ECK_OK)
        return bad(err, file, name, "ranks: positive integers are needed, none for dense");
    choice->point.error = real_or(layer, "error", 0);
    choice->point.damage = choice->point.error * choice->point.error;
    choice->point.parameters = integer_or(layer, "parameters_after", -1);
    choice->point.macs = -1;
    choice->ms_before = real_or(layer, "ms_before", -1);
    choice->ms_after = real_or(layer, "ms_after", -1);
    choice->parameters_before = integer_or(layer, "parameters_before", -1);
    choice->groups = integer_or(layer, "groups", 0);
    choice->macs_before = integer_or(layer, "macs_before", -1);
    choice->macs_after = integer_or(layer, "macs_after", -1);
    choice->layer = ecki_strdup(name);
    ECK_HAVE(choice->layer);
done:
    return status;
}

static eck_status options_read(eck_plan *plan, const json_t *root, const char *file, eck_error *err)
{
    static const char *const splits[] = { "balanced", "left", "right" };
    const char *dtype = json_string_value(json_object_get(root, "dtype"));
    const char *split = json_string_value(json_object_get(root, "split"));

    if (dtype && strcmp(dtype, "same") != 0) {
        plan->store = eck_dtype_parse(dtype);
        if (!eck_dtype_is_weight(plan->store))
            return bad(err, file, "", "dtype: same, F64, F32, F16 or BF16 are allowed");
    }
    if (!split) return ECK_OK;
    for (int i = 0; i < 3; i++)
        if (strcmp(split, splits[i]) == 0) {
            plan->split = (eck_split)i;
            return ECK_OK;
        }
    return bad(err, file, "", "split: balanced, left or right are allowed");
}

static void totals_read(eck_plan *plan, const json_t *totals)
{
    plan->parameters_before = integer_or(totals, "parameters_before", -1);
    plan->parameters_after = integer_or(totals, "parameters_after", -1);
    plan->bytes_before = integer_or(totals, "bytes_before", -1);
    plan->bytes_after = integer_or(totals, "bytes_after", -1);
    plan->macs_before = integer_or(totals, "macs_before", -1);
    plan->macs_after = integer_or(totals, "macs_after", -1);
    plan->error = real_or(totals, "error", 0);
    plan->mean = real_or(totals, "mean", 0);
    plan->worst = real_or(totals, "worst", 0);
    plan->gap = real_or(totals, "gap", 0);
    plan->ms_before = real_or(totals, "ms_before", -1);
    plan->ms_after = real_or(totals, "ms_after", -1);
}

static eck_status header_read(eck_plan *plan, const json_t *root, const char *file, eck_error *err)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const char *source = json_string_value(json_object_get(root, "source"));

    if (!format || strcmp(format, "eckart-plan") != 0)
        return bad(err, file, "", "its format is not \"eckart-plan\"");
    if (integer_or(root, "version", 0) != 1) {
        ecki_error(err, ECK_E_UNSUPPORTED, -1,
                   "cannot use plan '%s': its version is not 1, the one this release reads", file);
        return ecki_error_where(err, ECK_E_UNSUPPORTED, file, NULL);
    }
    if (!source || strlen(source) != sizeof plan->source - 1)
        return bad(err, file, "", "source: 64 hexadecimal digits are needed");
    memcpy(plan->source, source, sizeof plan->source);
    return options_read(plan, root, file, err);
}

eck_status eck_plan_parse(eck_plan **out, const char *text, int64_t length, const char *file,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *root = NULL;
    eck_plan *plan = NULL;

    ECK_TRY(ecki_json_parse(&root, text, length, &ecki_json_config, file, err));
    ECK_ALLOC(plan, 1);
    ECK_TRY(header_read(plan, root, file, err));
    const json_t *layers = json_object_get(root, "layers");
    if (!json_is_array(layers)) ECK_TRY(bad(err, file, "", "no layers"));
    ECK_ALLOC(plan->choices, (int64_t)json_array_size(layers));
    for (size_t i = 0; i < json_array_size(layers); i++) {
        ECK_TRY(choice_read(&plan->choices[plan->count], json_array_get(layers, i), file, err));
        plan->factored += plan->choices[plan->count].point.method != ECK_METHOD_DENSE;
        plan->count++;
    }
    totals_read(plan, json_object_get(root, "totals"));
    *out = plan;
    plan = NULL;
done:
    eck_plan_free(plan);
    json_decref(root);
    return status;
}
