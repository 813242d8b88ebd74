// Plans, which are files that people edit and eck_plan_parse() reads, and the frontier before them.
#include <math.h>

#include "eckart/report.h"
#include "report/json_text.h"

// null where a time is not known.
static double known_ms(double ms)
{
    return ms > 0 ? ms : NAN;
}

static ecki_json choice_object(const eck_choice *choice)
{
    const eck_point *const point = &choice->point;
    ecki_json ranks = ecki_json_array();
    for (int32_t i = 0; i < point->rank_count; i++)
        ecki_json_integer(&ranks, NULL, point->ranks[i]);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", choice->layer);
    ecki_json_text(&object, "method", eck_method_name(point->method));
    ecki_json_put(&object, "ranks", ranks);
    ecki_json_real(&object, "error", point->error);
    ecki_json_integer(&object, "parameters_before", choice->parameters_before);
    ecki_json_integer(&object, "parameters_after", point->parameters);
    ecki_json_real(&object, "ms_before", known_ms(choice->ms_before));
    ecki_json_real(&object, "ms_after", known_ms(choice->ms_after));
    ecki_json_macs(&object, "macs_before", choice->macs_before);
    ecki_json_macs(&object, "macs_after", choice->macs_after);
    if (choice->groups > 1) ecki_json_integer(&object, "groups", choice->groups);
    return object;
}

static ecki_json totals_object(const eck_plan *plan)
{
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "layers", plan->count);
    ecki_json_integer(&object, "factored", plan->factored);
    ecki_json_integer(&object, "parameters_before", plan->parameters_before);
    ecki_json_integer(&object, "parameters_after", plan->parameters_after);
    ecki_json_integer(&object, "bytes_before", plan->bytes_before);
    ecki_json_integer(&object, "bytes_after", plan->bytes_after);
    ecki_json_macs(&object, "macs_before", plan->macs_before);
    ecki_json_macs(&object, "macs_after", plan->macs_after);
    ecki_json_real(&object, "error", plan->error);
    ecki_json_real(&object, "mean", plan->mean);
    ecki_json_real(&object, "worst", plan->worst);
    ecki_json_real(&object, "gap", plan->gap);
    ecki_json_real(&object, "ms_before", known_ms(plan->ms_before));
    ecki_json_real(&object, "ms_after", known_ms(plan->ms_after));
    return object;
}

static const char *split_name(eck_split split)
{
    switch (split) {
    case ECK_SPLIT_BALANCED:
        return "balanced";
    case ECK_SPLIT_LEFT:
        return "left";
    case ECK_SPLIT_RIGHT:
        return "right";
    }
    return "?";
}

eck_status eck_report_plan(char **out, const eck_plan *plan, eck_error *err)
{
    ecki_json layers = ecki_json_array();
    for (int64_t i = 0; i < plan->count; i++)
        ecki_json_put(&layers, NULL, choice_object(&plan->choices[i]));
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "format", "eckart-plan");
    ecki_json_integer(&object, "version", 1);
    ecki_json_text(&object, "source", plan->source);
    ecki_json_text(&object, "dtype",
                   plan->store == ECK_DTYPE_NONE ? "same" : eck_dtype_name(plan->store));
    ecki_json_text(&object, "split", split_name(plan->split));
    ecki_json_put(&object, "layers", layers);
    ecki_json_put(&object, "totals", totals_object(plan));
    return ecki_json_finish(out, object, err);
}

eck_status eck_report_frontier(char **out, const eck_model *model, const eck_frontier_row *rows,
                               int64_t count, eck_error *err)
{
    ecki_json frontier = ecki_json_array();
    for (int64_t i = 0; i < count; i++) {
        ecki_json row = ecki_json_object();
        ecki_json_real(&row, "keep", rows[i].keep);
        ecki_json_integer(&row, "factored", rows[i].factored);
        ecki_json_integer(&row, "parameters", rows[i].parameters);
        ecki_json_integer(&row, "bytes", rows[i].bytes);
        ecki_json_macs(&row, "macs", rows[i].macs);
        ecki_json_real(&row, "error", rows[i].error);
        ecki_json_real(&row, "mean", rows[i].mean);
        ecki_json_real(&row, "worst", rows[i].worst);
        ecki_json_put(&frontier, NULL, row);
    }
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "model", eck_model_path(model));
    ecki_json_put(&object, "frontier", frontier);
    return ecki_json_finish(out, object, err);
}
