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

static ecki_json layer_object(const eck_model *model, const eck_layer_analysis *known,
                              bool spectrum)
{
    const eck_layer *const layer = eck_model_layer(model, known->layer);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", layer->name);
    ecki_json_text(&object, "kind", ecki_kind_name(layer->dense.kind));
    ecki_json_shape(&object, "shape", &layer->dense);
    ecki_json_integer(&object, "parameters", eck_stage_parameters(&layer->dense));
    ecki_json_integer(&object, "numerical_rank", known->spectrum.numerical_rank);
    ecki_json_real(&object, "stable_rank", known->spectrum.stable_rank);
    ecki_json_real(&object, "effective_rank", known->spectrum.effective_rank);
    ecki_json_integer(&object, "break_even_rank", known->break_even_rank);
    ecki_json_put(&object, "rank_at_energy", ranks_at_energy(&known->spectrum));
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
