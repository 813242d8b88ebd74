// Adapters: what is in one, what was done to it, how alike two are.
#include "eckart/report.h"
#include "report/json_text.h"

// A number that is -1 where it does not apply.
static void put_real(ecki_json *object, const char *key, double value)
{
    if (value == -1)
        ecki_json_add(object, key, json_null());
    else
        ecki_json_real(object, key, value);
}

static void put_integer(ecki_json *object, const char *key, int64_t value)
{
    if (value == -1)
        ecki_json_add(object, key, json_null());
    else
        ecki_json_integer(object, key, value);
}

static const char *kind_of(const eck_stage *dense)
{
    if (dense->kind == ECK_STAGE_CONV) return "conv";
    return dense->kind == ECK_STAGE_LOOKUP ? "embedding" : "linear";
}

static ecki_json module_object(const eck_adapter_module *module)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(&module->dense, shape);
    ecki_json dims = ecki_json_array();
    for (int32_t i = 0; i < ndim; i++)
        ecki_json_integer(&dims, NULL, shape[i]);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", module->name);
    ecki_json_text(&object, "form", eck_adapter_form_name(module->form));
    ecki_json_text(&object, "kind", kind_of(&module->dense));
    ecki_json_put(&object, "shape", dims);
    ecki_json_integer(&object, "rank", module->rank);
    ecki_json_real(&object, "alpha", module->alpha);
    ecki_json_real(&object, "scale", module->scale);
    ecki_json_text(&object, "dtype", eck_dtype_name(module->dtype));
    ecki_json_bool(&object, "dora", module->dora);
    ecki_json_integer(&object, "parameters", module->parameters);
    ecki_json_integer(&object, "bytes", module->bytes);
    return object;
}

eck_status eck_report_adapter(char **out, const eck_adapter *adapter, eck_error *err)
{
    ecki_json modules = ecki_json_array(), extras = ecki_json_array(), remarks = ecki_json_array();
    int64_t parameters = 0, bytes = 0;
    for (int64_t i = 0; i < eck_adapter_module_count(adapter); i++) {
        const eck_adapter_module *const module = eck_adapter_get_module(adapter, i);
        ecki_json_put(&modules, NULL, module_object(module));
        parameters += module->parameters;
        bytes += module->bytes;
    }
    for (int64_t i = 0; eck_adapter_extra(adapter, i); i++)
        ecki_json_text(&extras, NULL, eck_adapter_extra(adapter, i));
    for (int64_t i = 0; eck_adapter_warning(adapter, i); i++)
        ecki_json_text(&remarks, NULL, eck_adapter_warning(adapter, i));
    ecki_json totals = ecki_json_object();
    ecki_json_integer(&totals, "modules", eck_adapter_module_count(adapter));
    ecki_json_integer(&totals, "parameters", parameters);
    ecki_json_integer(&totals, "bytes", bytes);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "adapter", eck_adapter_path(adapter));
    ecki_json_text(&object, "layout", eck_adapter_layout_name(eck_adapter_get_layout(adapter)));
    ecki_json_text(&object, "base", eck_adapter_base_name(adapter));
    ecki_json_put(&object, "modules", modules);
    ecki_json_put(&object, "extras", extras);
    ecki_json_put(&object, "totals", totals);
    ecki_json_put(&object, "warnings", remarks);
    return ecki_json_finish(out, object, err);
}

static ecki_json change_object(const eck_adapter_change *change)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", change->name);
    put_integer(&object, "rank_before", change->rank_before);
    put_integer(&object, "rank", change->rank);
    ecki_json_bool(&object, "kept", change->kept);
    put_real(&object, "norm", change->norm);
    put_real(&object, "error", change->error);
    if (change->energy < 0) return object;
    ecki_json ranks = ecki_json_object();
    put_integer(&ranks, "0.50", change->rank50);
    put_integer(&ranks, "0.80", change->rank80);
    put_integer(&ranks, "0.90", change->rank90);
    put_real(&object, "energy", change->energy);
    put_real(&object, "energy_clean", change->energy_clean);
    put_real(&object, "noise", change->noise);
    ecki_json_put(&object, "rank_at_energy", ranks);
    ecki_json optimum = ecki_json_array();
    ecki_json_real(&optimum, NULL, change->optimum_low);
    ecki_json_real(&optimum, NULL, change->optimum_high);
    ecki_json_put(&object, "optimum", optimum);
    ecki_json_text(&object, "engine", eck_engine_name(change->engine));
    return object;
}

eck_status eck_report_adapter_outcome(char **out, const char *path,
                                      const eck_adapter_outcome *outcome, eck_error *err)
{
    ecki_json modules = ecki_json_array(), remarks = ecki_json_array();
    for (int64_t i = 0; i < outcome->count; i++)
        ecki_json_put(&modules, NULL, change_object(&outcome->changes[i]));
    for (int64_t i = 0; i < outcome->remark_count; i++)
        ecki_json_text(&remarks, NULL, outcome->remarks[i]);
    ecki_json totals = ecki_json_object();
    ecki_json_integer(&totals, "modules", outcome->count);
    ecki_json_integer(&totals, "kept", outcome->kept);
    ecki_json_integer(&totals, "bytes_before", outcome->bytes_before);
    ecki_json_integer(&totals, "bytes_after", outcome->bytes_after);
    ecki_json_real(&totals, "norm", outcome->norm);
    ecki_json_real(&totals, "error", outcome->error);
    ecki_json_real(&totals, "worst", outcome->worst);
    put_real(&totals, "energy", outcome->energy);
    put_real(&totals, "energy_clean", outcome->energy_clean);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "output", path);
    ecki_json_text(&object, "layout",
                   outcome->layout == ECK_ADAPTER_AUTO ? NULL
                                                       : eck_adapter_layout_name(outcome->layout));
    ecki_json_put(&object, "modules", modules);
    ecki_json_put(&object, "totals", totals);
    ecki_json_put(&object, "remarks", remarks);
    ecki_json_real(&object, "seconds", outcome->seconds);
    return ecki_json_finish(out, object, err);
}

static ecki_json relation_object(const eck_adapter_relation *relation)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", relation->name);
    ecki_json_integer(&object, "rank_a", relation->rank_a);
    ecki_json_integer(&object, "rank_b", relation->rank_b);
    ecki_json_real(&object, "norm_a", relation->norm_a);
    ecki_json_real(&object, "norm_b", relation->norm_b);
    ecki_json_real(&object, "cosine", relation->cosine);
    ecki_json_real(&object, "distance", relation->distance);
    ecki_json_real(&object, "overlap_left", relation->overlap_left);
    ecki_json_real(&object, "overlap_right", relation->overlap_right);
    ecki_json_real(&object, "angle_left", relation->angle_left);
    ecki_json_real(&object, "angle_right", relation->angle_right);
    return object;
}

eck_status eck_report_adapter_comparison(char **out, const eck_adapter_comparison *comparison,
                                         eck_error *err)
{
    ecki_json modules = ecki_json_array();
    for (int64_t i = 0; i < comparison->count; i++)
        ecki_json_put(&modules, NULL, relation_object(&comparison->relations[i]));
    ecki_json totals = ecki_json_object();
    ecki_json_integer(&totals, "modules", comparison->count);
    ecki_json_integer(&totals, "common", comparison->common);
    ecki_json_real(&totals, "norm_a", comparison->norm_a);
    ecki_json_real(&totals, "norm_b", comparison->norm_b);
    ecki_json_real(&totals, "cosine", comparison->cosine);
    ecki_json_real(&totals, "distance", comparison->distance);
    ecki_json object = ecki_json_object();
    ecki_json_put(&object, "modules", modules);
    ecki_json_put(&object, "totals", totals);
    return ecki_json_finish(out, object, err);
}
