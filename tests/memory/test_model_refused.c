// A model's whole path with each request for memory refused in turn: opened, analysed, planned, compressed, verified,
// restored, reported; then with a cache. The model has two linear layers in a directory of the usual kind.
#include "failing_allocator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/eckart.h"

enum { OUT = 24, IN = 16 };

static char directory[64];
static const eck_context one_thread = { 1, 1, 0, NULL, NULL };
static const eck_store_options no_cache = ECK_STORE_OPTIONS_INIT;

// "<directory>/<name>", valid until the fourth call after.
static char *place(const char *name)
{
    static char paths[4][200];
    static int next;
    char *const path = paths[next++ % 4];
    snprintf(path, 200, "%s/%s", directory, name);
    return path;
}

// A matrix of a few large singular values, as an array.
static eck_array *make_weight(int seed)
{
    static float numbers[OUT * IN];
    for (int i = 0; i < OUT * IN; i++)
        numbers[i] = (float)(cos(seed + 0.3 * (i / IN)) * sin(0.2 * (i % IN)) +
                             0.01 * cos(1.7 * i * i + seed));
    eck_array *array = NULL;
    const eck_view view = eck_view_matrix(numbers, ECK_DTYPE_F32, OUT, IN);
    assert_int_equal(eck_array_convert(&array, view, ECK_DTYPE_F32, NULL), ECK_OK);
    return array;
}

static int make_model(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/eckart-memory-XXXXXX");
    if (!mkdtemp(directory)) return -1;
    char command[100];
    snprintf(command, sizeof command, "mkdir '%s/model'", directory);
    if (system(command) != 0) return -1;
    eck_array *const first = make_weight(1);
    eck_array *const second = make_weight(2);
    const eck_named_array arrays[] = { { "up.weight", first }, { "down.weight", second } };
    const char config[] = "{\"model_type\": \"made\", \"hidden_size\": 16}\n";
    assert_int_equal(
        eck_file_write_arrays(place("model/model.safetensors"), arrays, 2, false, NULL), ECK_OK);
    assert_int_equal(
        eck_file_write(place("model/config.json"), config, sizeof config - 1, false, NULL), ECK_OK);
    eck_array_free(first);
    eck_array_free(second);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

static eck_status open_scenario(void *self, eck_error *err)
{
    eck_model *model = UNTOUCHED;
    const eck_status status = eck_model_open(&model, self, err);
    assert_untouched(status, model);
    if (model) assert_int_equal(eck_model_layer_count(model), 2);
    eck_model_close(model);
    return status;
}

static void opened(void **state)
{
    (void)state;
    fail_every_allocation("eck_model_open, a directory", open_scenario, place("model"));
    fail_every_allocation("eck_model_open, a file", open_scenario,
                          place("model/model.safetensors"));
}

// A model with every layer selected, however small.
static eck_model *open_selected(const char *path)
{
    eck_model *model = NULL;
    eck_selection selection = ECK_SELECTION_INIT;
    selection.min_size = 1;
    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    assert_int_equal(eck_model_select(model, &selection, NULL), ECK_OK);
    return model;
}

static eck_status select_scenario(void *self, eck_error *err)
{
    eck_model *model = NULL;
    const char *const include[] = { "u*" };
    const eck_selection selection = { 1, include, 1, NULL, 0, 1 };
    eck_status status = eck_model_open(&model, self, err);
    if (status == ECK_OK) status = eck_model_select(model, &selection, err);
    eck_model_close(model);
    return status;
}

static void selected(void **state)
{
    (void)state;
    fail_every_allocation("eck_model_select", select_scenario, place("model"));
}

// Analysis, plan, its text and back.
typedef struct planned {
    const eck_model *model;
    const eck_store_options *options;
} planned;

#define TIMES(name) \
    "{\"name\":\"" name \
    "\",\"shape\":[24,16],\"uses\":[{\"rows\":1,\"input\":[],\"output\":[]}],\"points\":[" \
    "{\"method\":\"dense\",\"ranks\":[],\"milliseconds\":2},{\"method\":\"svd\",\"ranks\":[5]," \
    "\"milliseconds\":1}]}"

static const char times[] =
    "{\"format\":\"eckart-timings\",\"version\":1,\"layers\":[" TIMES("up") "," TIMES("down") "]}";

static eck_status plan_steps(eck_analysis **analysis, eck_plan **plan, char **text, eck_plan **back,
                             const planned *from, eck_error *err)
{
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = 0.6;
    eck_frontier_row rows[3];
    eck_timings *timings = UNTOUCHED;
    eck_status status = eck_timings_parse(&timings, times, (int64_t)strlen(times), "t.json", err);
    assert_untouched(status, timings);
    budget.timings = timings;
    budget.latency = 3;
    if (status == ECK_OK)
        status = eck_model_analyze(analysis, from->model, from->options, &one_thread, err);
    if (status == ECK_OK)
        status = eck_plan_frontier(rows, 3, from->model, *analysis, from->options, err);
    if (status == ECK_OK)
        status = eck_plan_optimize(plan, from->model, *analysis, &budget, from->options, err);
    eck_timings_free(timings);
    if (status == ECK_OK) status = eck_report_plan(text, *plan, err);
    if (status == ECK_OK)
        status = eck_plan_parse(back, *text, (int64_t)strlen(*text), "plan.json", err);
    return status;
}

static eck_status plan_scenario(void *self, eck_error *err)
{
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_plan *back = NULL;
    char *text = NULL;
    const eck_status status = plan_steps(&analysis, &plan, &text, &back, self, err);
    if (status == ECK_OK)
        assert_true(back->count == plan->count && back->parameters_after == plan->parameters_after);
    eck_plan_free(back);
    eck_text_free(text);
    eck_plan_free(plan);
    eck_analysis_free(analysis);
    return status;
}

static void analysed_and_planned(void **state)
{
    (void)state;
    eck_model *const model = open_selected(place("model"));
    eck_store_options cached = ECK_STORE_OPTIONS_INIT;
    cached.cache = place("cache");
    planned from = { model, &no_cache };
    fail_every_allocation("a plan", plan_scenario, &from);
    from.options = &cached;
    fail_every_allocation("a plan with a cache", plan_scenario, &from);
    eck_model_close(model);
}

// The plan that the scenarios below carry out.
static eck_plan *make_plan(const eck_model *model)
{
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = 0.6;
    assert_int_equal(eck_model_analyze(&analysis, model, &no_cache, &one_thread, NULL), ECK_OK);
    assert_int_equal(eck_plan_optimize(&plan, model, analysis, &budget, &no_cache, NULL), ECK_OK);
    assert_true(plan->factored > 0);
    eck_analysis_free(analysis);
    return plan;
}

typedef struct job {
    const eck_model *before, *after;
    const eck_plan *plan;
    char *path;
} job;

static eck_status compress_scenario(void *self, eck_error *err)
{
    const job *const work = self;
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    options.replace = true;
    eck_outcome outcome = { 0 };
    const eck_status status = eck_model_compress(&outcome, work->before, work->plan, work->path,
                                                 &options, &one_thread, err);
    if (status == ECK_OK) assert_true(outcome.factored == work->plan->factored);
    eck_outcome_clear(&outcome);
    return status;
}

static eck_status verify_scenario(void *self, eck_error *err)
{
    const job *const work = self;
    eck_verdict verdict = { 0 };
    const eck_status status =
        eck_model_verify(&verdict, work->before, work->after, &one_thread, err);
    if (status == ECK_OK) assert_true(verdict.kept && verdict.failed == 0);
    if (status == ECK_OK) eck_verdict_clear(&verdict);
    return status;
}

static eck_status restore_scenario(void *self, eck_error *err)
{
    const job *const work = self;
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    options.replace = true;
    eck_outcome outcome = { 0 };
    const eck_status status =
        eck_model_restore(&outcome, work->after, work->path, &options, &one_thread, err);
    eck_outcome_clear(&outcome);
    // A dense directory is no longer ours to replace.
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", work->path);
    assert_int_equal(system(command), 0);
    return status;
}

// What a factored model gives: every layer as a matrix and as a chain.
static eck_status layers_scenario(void *self, eck_error *err)
{
    const job *const work = self;
    eck_status status = ECK_OK;
    for (int64_t i = 0; status == ECK_OK && i < eck_model_layer_count(work->after); i++) {
        eck_operator *a = UNTOUCHED;
        eck_chain chain = { NULL, 0 };
        status = eck_model_layer_operator(&a, work->after, i, err);
        assert_untouched(status, a);
        if (status == ECK_OK && eck_model_layer(work->after, i)->factored)
            status = eck_model_layer_chain(&chain, work->after, i, err);
        eck_chain_clear(&chain);
        eck_operator_free(a);
    }
    return status;
}

static void compressed_verified_and_restored(void **state)
{
    (void)state;
    eck_model *const before = open_selected(place("model"));
    eck_plan *const plan = make_plan(before);
    job work = { before, NULL, plan, place("factored") };
    fail_every_allocation("eck_model_compress", compress_scenario, &work);

    eck_model *const after = open_selected(place("factored"));
    work.after = after;
    work.path = place("restored");
    fail_every_allocation("eck_model_verify", verify_scenario, &work);
    fail_every_allocation("layers of a factored model", layers_scenario, &work);
    fail_every_allocation("eck_model_restore", restore_scenario, &work);
    fail_every_allocation("eck_model_open, a factored model", open_scenario, place("factored"));
    eck_model_close(after);
    eck_plan_free(plan);
    eck_model_close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opened),
        cmocka_unit_test(selected),
        cmocka_unit_test(analysed_and_planned),
        cmocka_unit_test(compressed_verified_and_restored),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
