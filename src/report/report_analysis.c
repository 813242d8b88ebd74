// Spectra and ranks of the selected layers.
#include "eckart/report.h"
#include "report/json_text.h"

// Fewest terms that keep a part of the energy, {"0.90": k, ...}.
static ecki_json ranks_at_energy(const eck_spectrum_info *spectrum)
{
    static const struct {
        const char *key;
        double energy;
    } levels[] = { { "0.90", 0.90 }, { "0.95", 0.95 }, { "0.99", 0.99 } };
    ecki_json object = ecki_json_object();
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        int64_t rank = 0;
        if (eck_rule_rank(&rank, spectrum, ECK_RULE_ENERGY, levels[i].energy, 0, NULL) == ECK_OK)
            ecki_json_integer(&object, levels[i].key, rank);
        else
            ecki_json_add(&object, levels[i].key, json_null());
    }
    return object;
}

// The best point of every method with at most half the layer's parameters, or half its multiply-adds.
static ecki_json methods_array(const eck_layer *layer, const eck_curve *curve, bool macs)
{
    const int64_t half = (macs ? layer->macs : eck_stage_parameters(&layer->dense)) / 2;
    ecki_json array = ecki_json_array();
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
        const eck_point *const best = macs ? eck_layer_best(layer, curve, (eck_method)m, half)
                                           : eck_curve_best(curve, (eck_method)m, half);
        if (!best) continue;
        ecki_json ranks = ecki_json_array();
        for (int32_t i = 0; i < best->rank_count; i++)
            ecki_json_integer(&ranks, NULL, best->ranks[i]);
        ecki_json object = ecki_json_object();
        ecki_json_text(&object, "method", eck_method_name(best->method));
        ecki_json_put(&object, "ranks", ranks);
        ecki_json_integer(&object, "parameters", best->parameters);
        ecki_json_macs(&object, "macs", eck_layer_macs(layer, best));
        ecki_json_real(&object, "error", best->error);
        ecki_json_bool(&object, "estimated", best->estimated);
        ecki_json_put(&array, NULL, object);
    }
    return array;
}

// Whether methods were compared: any point of another than SVD.
static bool compared(const eck_curve *curve)
{
    for (int64_t i = 0; i < curve->count; i++)
        if (curve->points[i].method > ECK_METHOD_SVD) return true;
    return false;
}

static ecki_json layer_object(const eck_model *model, const eck_layer_analysis *known,
                              bool spectrum)
{
    const eck_layer *const layer = eck_model_layer(model, known->layer);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", layer->name);
    ecki_json_text(&object, "kind", ecki_kind_name(layer->dense.kind));
    ecki_json_shape(&object, "shape", &layer->dense);
    ecki_json_integer(&object, "parameters", eck_stage_parameters(&layer->dense));
    ecki_json_macs(&object, "macs", layer->macs);
    ecki_json_integer(&object, "numerical_rank", known->spectrum.numerical_rank);
    ecki_json_real(&object, "stable_rank", known->spectrum.stable_rank);
    ecki_json_real(&object, "effective_rank", known->spectrum.effective_rank);
    ecki_json_integer(&object, "break_even_rank", known->break_even_rank);
    ecki_json_put(&object, "rank_at_energy", ranks_at_energy(&known->spectrum));
    if (compared(&known->curve))
        ecki_json_put(&object, "methods_at_half", methods_array(layer, &known->curve, false));
    if (compared(&known->curve) && layer->macs >= 0)
        ecki_json_put(&object, "methods_at_half_macs", methods_array(layer, &known->curve, true));
    ecki_json_bool(&object, "cached", known->cached);
    ecki_json_real(&object, "seconds", known->seconds);
    if (spectrum)
        ecki_json_reals(&object, "singular_values", known->spectrum.values, known->spectrum.count);
    return object;
}

eck_status eck_report_analyze(char **out, const eck_model *model, const eck_analysis *analysis,
                              bool spectrum, eck_error *err)
{
    const int64_t count = eck_analysis_count(analysis);
    int64_t parameters = 0;
    int64_t cached = 0;
    double seconds = 0;
    ecki_json layers = ecki_json_array();
    for (int64_t i = 0; i < count; i++) {
        const eck_layer_analysis *const known = eck_analysis_layer(analysis, i);
        parameters += eck_stage_parameters(&eck_model_layer(model, known->layer)->dense);
        cached += known->cached;
        seconds += known->seconds;
        ecki_json_put(&layers, NULL, layer_object(model, known, spectrum));
    }
    ecki_json totals = ecki_json_object();
    ecki_json_integer(&totals, "layers", count);
    ecki_json_integer(&totals, "parameters", parameters);
    ecki_json_integer(&totals, "cached", cached);
    ecki_json_real(&totals, "seconds", seconds);

    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "model", eck_model_path(model));
    ecki_json_put(&object, "layers", layers);
    ecki_json_put(&object, "totals", totals);
    return ecki_json_finish(out, object, err);
}
