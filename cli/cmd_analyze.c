// eckart analyze: the spectrum of every layer, and what it says about ranks.
#include "commands.h"
#include "eckart/report.h"
#include "interrupt.h"
#include "layers_text.h"
#include "settings.h"
#include "table.h"

typedef struct analyze_settings {
    settings common; // first, so that the shared tables fit
    bool spectrum;
} analyze_settings;

static const opt_entry analyze_options[] = {
    { OPT_FLAG, '\0', "spectrum", NULL, offsetof(analyze_settings, spectrum), 0, 0,
      "add every singular value to the JSON document" },
    { OPT_CHOICE, '\0', "method", METHOD_WORDS, offsetof(analyze_settings, common.method), 0, 0,
      "compare decompositions of convolutions at half the cost; auto: all" },
    { 0 }
};

static const opt_group groups[] = {
    { "What", analyze_options },
    { "Which layers", selection_options },
    { "What the file does not tell", graph_options },
    { "Between runs", cache_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static figure rank_at(const eck_spectrum_info *spectrum, double energy)
{
    figure out = { "-" };
    int64_t rank = 0;
    if (eck_rule_rank(&rank, spectrum, ECK_RULE_ENERGY, energy, 0, NULL) == ECK_OK)
        snprintf(out.text, sizeof out.text, "%lld", (long long)rank);
    return out;
}

static figure whole(int64_t number)
{
    figure out;
    snprintf(out.text, sizeof out.text, "%lld", (long long)number);
    return out;
}

static figure tenth(double number)
{
    figure out;
    snprintf(out.text, sizeof out.text, "%.1f", number);
    return out;
}

static void add_layer(table *rows, const eck_layer *layer, const eck_layer_analysis *known)
{
    const eck_spectrum_info *const spectrum = &known->spectrum;
    const figure cells[] = { layer_shape(&layer->dense),   whole(spectrum->numerical_rank),
                             tenth(spectrum->stable_rank), tenth(spectrum->effective_rank),
                             rank_at(spectrum, 0.90),      rank_at(spectrum, 0.95),
                             rank_at(spectrum, 0.99),      whole(known->break_even_rank) };
    table_add(rows, (const char *const[]){ layer->name, cells[0].text, cells[1].text, cells[2].text,
                                           cells[3].text, cells[4].text, cells[5].text,
                                           cells[6].text, cells[7].text });
}

static void print_analysis(session *run, const eck_model *model, const eck_analysis *analysis)
{
    static const char *const titles[] = { "layer", "shape", "rank", "stable", "effective",
                                          "90 %",  "95 %",  "99 %", "pays to" };
    table rows;
    int64_t parameters = 0;
    int64_t cached = 0;
    const int64_t count = eck_analysis_count(analysis);
    table_init(&rows, "lrrrrrrrr", titles);
    for (int64_t i = 0; i < count; i++) {
        const eck_layer_analysis *const known = eck_analysis_layer(analysis, i);
        const eck_layer *const layer = eck_model_layer(model, known->layer);
        add_layer(&rows, layer, known);
        parameters += eck_stage_parameters(&layer->dense);
        cached += known->cached;
    }
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    table_clear(&rows);
    fputc('\n', run->out);
    table_line(run->out, "layers", "%lld with %s parameters", (long long)count,
               layer_count(run, parameters).text);
    table_line(run->out, "columns",
               "rank: values above the rounding of the type; stable: ||W||^2 / s_1^2; effective:");
    table_line(run->out, "",
               "exp of the entropy; %%: terms that hold so much energy; pays to: the largest");
    table_line(run->out, "", "rank at which two factors are smaller than the layer");
    table_line(run->out, "time", "%s, %lld of %lld spectra from the cache",
               figure_seconds(session_seconds(run)).text, (long long)cached, (long long)count);
}

// Ranks as "12,34".
static figure ranks_of(const eck_point *point)
{
    figure out = { "-" };
    int length = 0;
    for (int32_t i = 0; i < point->rank_count && length < (int)sizeof out.text; i++)
        length += snprintf(out.text + length, sizeof out.text - (size_t)length, "%s%lld",
                           i > 0 ? "," : "", (long long)point->ranks[i]);
    return out;
}

static void add_methods(table *rows, session *run, const eck_layer *layer, const eck_curve *curve,
                        bool by_macs)
{
    const int64_t half = (by_macs ? layer->macs : eck_stage_parameters(&layer->dense)) / 2;
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
        const eck_point *const best = by_macs ? eck_layer_best(layer, curve, (eck_method)m, half)
                                              : eck_curve_best(curve, (eck_method)m, half);
        if (!best) continue;
        const figure ranks = ranks_of(best), error = figure_error(best->error);
        const figure count = layer_count(run, best->parameters);
        const figure macs = layer_macs(run, eck_layer_macs(layer, best));
        table_add(rows, (const char *const[]){ layer->name, eck_method_name(best->method),
                                               ranks.text, count.text, macs.text, error.text,
                                               best->estimated ? "estimated" : "" });
    }
}

// Every method of every convolution at half its parameters, or half its multiply-adds.
static void print_methods(session *run, const eck_model *model, const eck_analysis *analysis,
                          bool by_macs)
{
    static const char *const titles[] = { "layer", "method", "rank", "parameters",
                                          "MACs",  "error",  "" };
    table rows;
    table_init(&rows, "llrrrrl", titles);
    for (int64_t i = 0; i < eck_analysis_count(analysis); i++) {
        const eck_layer_analysis *const known = eck_analysis_layer(analysis, i);
        const eck_layer *const layer = eck_model_layer(model, known->layer);
        if (layer->dense.spatial > 0 && (!by_macs || layer->macs >= 0))
            add_methods(&rows, run, layer, &known->curve, by_macs);
    }
    fprintf(run->out, "\nat half the %s:\n", by_macs ? "multiply-adds" : "parameters");
    table_print(&rows, run->out, layer_width(run));
    table_clear(&rows);
}

static eck_status cmd_analyze(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    char *text = NULL;
    char *cache = NULL;
    eck_model *model = NULL;
    eck_analysis *analysis = NULL;
    eck_store_options store;
    analyze_settings from = { .spectrum = false };

    settings_init(&from.common);
    TRY(settings_parse(run, &command_analyze, &from.common, &path, arguments));
    if (from.spectrum && !run->json) TRY(session_usage(run, "--spectrum needs --json"));
    TRY(settings_open_model(&model, run, &from.common, path));
    settings_store(&store, &cache, run, &from.common);
    interrupt_catch();
    TRY(eck_model_analyze(&analysis, model, &store, &run->context, &run->error));
    if (run->json) {
        TRY(eck_report_analyze(&text, model, analysis, from.spectrum, &run->error));
        session_take(run, text);
    } else {
        print_analysis(run, model, analysis);
        if (store.methods != 0) print_methods(run, model, analysis, false);
        if (store.methods != 0 && layers_have_macs(model))
            print_methods(run, model, analysis, true);
    }
done:
    eck_analysis_free(analysis);
    eck_text_free(cache);
    eck_model_close(model);
    settings_clear(&from.common);
    return status;
}

const command command_analyze = {
    .name = "analyze",
    .run = cmd_analyze,
    .summary = "spectra, ranks and break-even points of every layer",
    .operands = "MODEL [options]",
    .about =
        "Computes all singular values of every selected layer, and how many of them hold 90, 95\n"
        "and 99 percent of the energy. A layer gets smaller below its break-even rank only. What\n"
        "was computed is kept for 'plan' and 'compress'.",
    .groups = groups,
    .examples = "eckart analyze MODEL\n"
                "eckart analyze MODEL --include '*.mlp.*' --json\n"
                "eckart analyze MODEL --method auto\n"
                "eckart analyze MODEL --json --spectrum",
    .operand_count = 1,
};
