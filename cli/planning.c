// Plans: made, read, printed, and doubted.
#include "planning.h"

#include <string.h>

#include "eckart/file.h"
#include "layers_text.h"
#include "table.h"

enum { PLAN_BYTES_MAX = 64 << 20 };

static eck_status timings_read(eck_timings **out, session *run, const char *path)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    int64_t length = 0;
    TRY(eck_file_read(&text, &length, path, PLAN_BYTES_MAX, &run->error));
    TRY(eck_timings_parse(out, text, length, path, &run->error));
done:
    eck_text_free(text);
    return status;
}

eck_status planning_make(eck_plan **out, session *run, const eck_model *model, const settings *from,
                         bool allow_dense)
{
    eck_status status = ECK_OK;
    char *cache = NULL;
    eck_analysis *analysis = NULL;
    eck_timings *timings = NULL;
    eck_store_options store;
    eck_budget budget = settings_budget(from);

    budget.allow_dense = allow_dense;
    // Before anything that takes long.
    if (from->timings) TRY(timings_read(&timings, run, from->timings));
    budget.timings = timings;
    settings_store(&store, &cache, run, from);
    TRY(eck_model_analyze(&analysis, model, &store, &run->context, &run->error));
    TRY(eck_plan_optimize(out, model, analysis, &budget, &store, &run->error));
done:
    eck_timings_free(timings);
    eck_analysis_free(analysis);
    eck_text_free(cache);
    return status;
}

eck_status planning_read(eck_plan **out, session *run, const char *path)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    int64_t length = 0;
    TRY(eck_file_read(&text, &length, path, PLAN_BYTES_MAX, &run->error));
    TRY(eck_plan_parse(out, text, length, path, &run->error));
done:
    eck_text_free(text);
    return status;
}

static double part_of(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 1;
}

static void add_choice(table *rows, session *run, const eck_choice *choice)
{
    const eck_point *const point = &choice->point;
    char ranks[ECK_RANKS_MAX * 24] = "-";
    char left[24];
    size_t length = 0;
    for (int32_t i = 0; i < point->rank_count && length < sizeof ranks; i++)
        length += (size_t)snprintf(ranks + length, sizeof ranks - length, "%s%lld",
                                   i > 0 ? "," : "", (long long)point->ranks[i]);
    snprintf(left, sizeof left, "%.2f", part_of(point->parameters, choice->parameters_before));
    const figure error = figure_error(point->error);
    const figure before = layer_count(run, choice->parameters_before);
    const figure after = layer_count(run, point->parameters);
    const figure old = choice->ms_before > 0 ? figure_number(choice->ms_before) : (figure){ "-" };
    const figure new = choice->ms_after > 0 ? figure_number(choice->ms_after) : (figure){ "-" };
    table_add(rows, (const char *const[]){ choice->layer, eck_method_name(point->method), ranks,
                                           error.text, before.text, after.text, left, old.text,
                                           new.text });
}

void planning_print_totals(session *run, const eck_plan *plan)
{
    table_line(run->out, "layers", "%.2f of the parameters: %s of %s in %lld layers, %lld factored",
               part_of(plan->parameters_after, plan->parameters_before),
               layer_count(run, plan->parameters_after).text,
               layer_count(run, plan->parameters_before).text, (long long)plan->count,
               (long long)plan->factored);
    table_line(run->out, "file", "%.2f of the bytes: %s of %s, ratio %.2f",
               part_of(plan->bytes_after, plan->bytes_before),
               layer_bytes(run, plan->bytes_after).text, layer_bytes(run, plan->bytes_before).text,
               part_of(plan->bytes_before, plan->bytes_after));
    if (plan->ms_before > 0)
        table_line(run->out, "latency", "%.2f of the time: %s of %s, as the timings predict",
                   plan->ms_after / plan->ms_before, figure_seconds(1e-3 * plan->ms_after).text,
                   figure_seconds(1e-3 * plan->ms_before).text);
    if (plan->macs_before >= 0)
        table_line(run->out, "MACs", "%.2f of the multiply-adds: %s of %s in one pass",
                   part_of(plan->macs_after, plan->macs_before),
                   layer_count(run, plan->macs_after).text,
                   layer_count(run, plan->macs_before).text);
    table_line(run->out, "error", "mean %s, worst %s of the factored layers; root of squares %s",
               figure_error(plan->mean).text, figure_error(plan->worst).text,
               figure_error(plan->error).text);
    // what is below is rounding: a sum of 10^6 squares is off by 10^6 2^-53 = 1e-10 of itself
    table_line(run->out, "gap", "%s %% above the best plan there is, at most",
               plan->gap < 1e-9 ? "0" : figure_error(100 * plan->gap).text);
}

void planning_print(session *run, const eck_plan *plan)
{
    static const char *const titles[] = { "layer", "method", "rank", "error",   "before",
                                          "after", "left",   "ms",   "ms after" };
    table rows;
    table_init(&rows, plan->ms_before > 0 ? "llrrrrrrr" : "llrrrrr", titles);
    for (int64_t i = 0; i < plan->count; i++)
        add_choice(&rows, run, &plan->choices[i]);
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    table_clear(&rows);
    fputc('\n', run->out);
    planning_print_totals(run, plan);
}

// Mean over the factored layers, from the choices: a plan file's totals may be stale.
static double mean_error(const eck_plan *plan)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        if (plan->choices[i].point.method == ECK_METHOD_DENSE) continue;
        sum += plan->choices[i].point.error;
        count++;
    }
    return count > 0 ? sum / (double)count : 0;
}

void planning_warn(session *run, const eck_plan *plan)
{
    const double mean = mean_error(plan);
    if (!(mean > 0.1)) return;
    session_warn(
        run,
        "the mean relative error of the factored layers is %s, above 0.1. Truncation\n"
        "  without data breaks most models there. What it did to real ones, parameters kept:\n"
        "    LLaMA-7B, perplexity 5.7:              2800 at 95 %%, 20061 at 80 %%\n"
        "    PP-OCRv4 text, character error 1 %%:    18 %% at 98 %%, 31 %% at 95 %%\n"
        "    ISNet, mask overlap 1:                 0.97 at 87 %%, 0.60 at 56 %%\n"
        "  Measure your own model before you use the result.",
        figure_error(mean).text);
}

// The layer of a choice, sought from where the one before it was: plans keep the model's order.
static const eck_layer *layer_of(const eck_model *model, const eck_choice *choice, int64_t *at)
{
    const int64_t count = eck_model_layer_count(model);
    for (int64_t i = 0; i < count; i++) {
        const eck_layer *const layer = eck_model_layer(model, (*at + i) % count);
        if (strcmp(layer->name, choice->layer) != 0) continue;
        *at = (*at + i + 1) % count;
        return layer;
    }
    return NULL;
}

void planning_warn_larger(session *run, const eck_plan *plan, const eck_model *model)
{
    int64_t at = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const eck_choice *const choice = &plan->choices[i];
        const eck_layer *const layer = layer_of(model, choice, &at);
        if (!layer || choice->point.method != ECK_METHOD_SVD) continue;
        const int64_t limit = eck_break_even_rank(&layer->dense);
        if (choice->point.ranks[0] > limit)
            session_warn(
                run, "layer '%s' gets larger: rank %lld, and two factors are smaller up to %lld",
                layer->name, (long long)choice->point.ranks[0], (long long)limit);
    }
}
