// Timings, which eck_timings_parse() reads: what layers cost, dense and factored, and on what machine.
#include "base/parallel.h"
#include "eckart/report.h"
#include "report/json_text.h"

// Milliseconds and their quartiles, added to an object.
static void add_timing(ecki_json *object, const eck_timing *timing)
{
    ecki_json_real(object, "milliseconds", 1e3 * timing->median);
    ecki_json_real(object, "low", 1e3 * timing->low);
    ecki_json_real(object, "high", 1e3 * timing->high);
}

static ecki_json sizes_array(const int64_t *sizes, int32_t count)
{
    ecki_json array = ecki_json_array();
    for (int32_t i = 0; i < count; i++)
        ecki_json_integer(&array, NULL, sizes[i]);
    return array;
}

static ecki_json use_object(const eck_stage *dense, const eck_place *place)
{
    int64_t output[ECK_SPATIAL_MAX];
    const int32_t spatial = eck_place_output(output, place, dense);
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "rows", place->batch);
    ecki_json_put(&object, "input", sizes_array(place->input, spatial));
    ecki_json_put(&object, "output", sizes_array(output, spatial));
    return object;
}

static ecki_json point_object(const eck_point *point, const eck_timing *timing)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "method", eck_method_name(point ? point->method : ECK_METHOD_DENSE));
    ecki_json_put(&object, "ranks",
                  sizes_array(point ? point->ranks : NULL, point ? point->rank_count : 0));
    add_timing(&object, timing);
    return object;
}

static ecki_json layer_object(const eck_bench_layer *layer, const eck_timing *timings)
{
    ecki_json uses = ecki_json_array();
    for (int64_t i = 0; i < layer->place_count; i++)
        ecki_json_put(&uses, NULL, use_object(layer->dense, &layer->places[i]));
    ecki_json points = ecki_json_array();
    for (int64_t i = 0; i <= layer->count; i++)
        ecki_json_put(&points, NULL,
                      point_object(i > 0 ? &layer->points[i - 1] : NULL, &timings[i]));
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", layer->name);
    ecki_json_text(&object, "kind", ecki_kind_name(layer->dense->kind));
    ecki_json_shape(&object, "shape", layer->dense);
    ecki_json_put(&object, "uses", uses);
    ecki_json_put(&object, "points", points);
    return object;
}

eck_status eck_report_timings(char **out, const eck_bench_report *report, eck_error *err)
{
    ecki_json layers = ecki_json_array();
    for (int64_t i = 0; i < report->count; i++)
        ecki_json_put(&layers, NULL, layer_object(&report->layers[i], report->timings[i]));
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "format", "eckart-timings");
    ecki_json_integer(&object, "version", 1);
    ecki_json_text(&object, "model", report->model);
    ecki_json_text(&object, "runtime", "oneDNN");
    ecki_json_text(&object, "runtime_version", eck_runtime_description() + sizeof "oneDNN");
    ecki_json_text(&object, "cpu", report->cpu);
    ecki_json_integer(&object, "threads", ecki_threads(report->context));
    ecki_json_integer(&object, "rounds", report->rounds);
    ecki_json_put(&object, "inputs", ecki_json_object());
    ecki_json_add(&object, "whole", json_null());
    ecki_json_put(&object, "layers", layers);
    return ecki_json_finish(out, object, err);
}
