// What is in a model: its layers, and why those that are not factored are not.
#include "eckart/report.h"
#include "model/model.h"
#include "report/json_text.h"

static ecki_json layer_object(const eck_model *model, const eck_layer *layer)
{
    const eck_tensor *const weight =
        layer->weight >= 0 ? eck_model_tensor(model, layer->weight) : NULL;
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", layer->name);
    ecki_json_text(&object, "kind", ecki_kind_name(layer->dense.kind));
    ecki_json_shape(&object, "shape", &layer->dense);
    ecki_json_text(&object, "dtype", weight ? eck_dtype_name(weight->dtype) : NULL);
    ecki_json_integer(&object, "parameters", eck_stage_parameters(&layer->dense));
    ecki_json_bool(&object, "factored", layer->factored);
    ecki_json_text(&object, "method", eck_method_name(layer->method));
    ecki_json_text(&object, "skipped", layer->skipped);
    ecki_json_text(&object, "tied_to", layer->tied_to);
    ecki_json_macs(&object, "macs", layer->macs);
    ecki_json_text(&object, "macs_unknown", layer->macs_unknown);
    return object;
}

// Layers and their parameters; a tied weight counts once. Multiply-adds of all whose are known, if those of every selected
// layer are.
static ecki_json totals(const eck_model *model)
{
    int64_t selected = 0;
    int64_t parameters = 0;
    int64_t selected_parameters = 0;
    int64_t macs = 0;
    const int64_t count = eck_model_layer_count(model);
    for (int64_t i = 0; i < count; i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        const int64_t size = layer->tied_to ? 0 : eck_stage_parameters(&layer->dense);
        parameters += size;
        if (macs >= 0 && layer->macs >= 0) macs += layer->macs;
        if (layer->skipped) continue;
        if (layer->macs < 0) macs = -1;
        selected++;
        selected_parameters += size;
    }
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "layers", count);
    ecki_json_integer(&object, "selected", selected);
    ecki_json_integer(&object, "parameters", parameters);
    ecki_json_integer(&object, "selected_parameters", selected_parameters);
    ecki_json_macs(&object, "macs", macs);
    return object;
}

eck_status eck_report_inspect(char **out, const eck_model *model, eck_error *err)
{
    int64_t bytes = 0;
    const int64_t tensors = eck_model_tensor_count(model);
    for (int64_t i = 0; i < tensors; i++)
        bytes += eck_model_tensor(model, i)->bytes;
    ecki_json layers = ecki_json_array();
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        ecki_json_put(&layers, NULL, layer_object(model, eck_model_layer(model, i)));
    ecki_json warnings = ecki_json_array();
    for (int64_t i = 0; eck_model_warning(model, i); i++)
        ecki_json_text(&warnings, NULL, eck_model_warning(model, i));

    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "model", eck_model_path(model));
    ecki_json_text(&object, "format", model->container->format);
    ecki_json_bool(&object, "factored", eck_model_is_factored(model));
    ecki_json_integer(&object, "tensors", tensors);
    ecki_json_integer(&object, "bytes", bytes);
    ecki_json_put(&object, "layers", layers);
    ecki_json_put(&object, "totals", totals(model));
    ecki_json_put(&object, "warnings", warnings);
    return ecki_json_finish(out, object, err);
}
