// Adapters through their whole life with each request for memory refused in turn: opened, loaded, resized, summed, compared,
// renamed, merged, taken out again, begun anew, reported. The base has two linear layers in one file, the adapter changes both.
#include "failing_allocator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/eckart.h"

enum { OUT = 24, IN = 16, RANK = 4, PLACES = 6 };

static char directory[64];
static const eck_context one_thread = { 1, 1, 0, NULL, NULL };

// "<directory>/<name>", valid until the sixth call after.
static char *place(const char *name)
{
    static char paths[PLACES][200];
    static int next;
    char *const path = paths[next++ % PLACES];
    snprintf(path, 200, "%s/%s", directory, name);
    return path;
}

static eck_array *make_array(int64_t rows, int64_t cols, int seed, double size)
{
    static float numbers[OUT * IN];
    for (int64_t i = 0; i < rows * cols; i++)
        numbers[i] = (float)(size * cos(2.385 * (double)(i * i % 101) + seed));
    eck_array *array = NULL;
    const eck_view view = eck_view_matrix(numbers, ECK_DTYPE_F32, rows, cols);
    assert_int_equal(eck_array_convert(&array, view, ECK_DTYPE_F32, NULL), ECK_OK);
    return array;
}

static void write_and_free(const char *path, eck_named_array *arrays, int64_t count)
{
    assert_int_equal(eck_file_write_arrays(path, arrays, count, true, NULL), ECK_OK);
    for (int64_t i = 0; i < count; i++)
        eck_array_free((eck_array *)(uintptr_t)arrays[i].array);
}

// base.safetensors; kohya.safetensors beside it; peft, the same change; tuned.safetensors, both together.
static void make_files(void)
{
    eck_named_array base[] = { { "up.weight", make_array(OUT, IN, 1, 1) },
                               { "down.weight", make_array(OUT, IN, 2, 1) } };
    eck_named_array kohya[] = {
        { "lora_unet_up.lora_down.weight", make_array(RANK, IN, 3, 0.3) },
        { "lora_unet_up.lora_up.weight", make_array(OUT, RANK, 4, 0.3) },
        { "lora_unet_down.lora_down.weight", make_array(RANK, IN, 5, 0.3) },
        { "lora_unet_down.lora_up.weight", make_array(OUT, RANK, 6, 0.3) },
    };
    write_and_free(place("base.safetensors"), base, 2);
    write_and_free(place("kohya.safetensors"), kohya, 4);
}

static eck_model *open_selected(const char *path)
{
    eck_model *model = NULL;
    eck_selection selection = ECK_SELECTION_INIT;
    selection.min_size = 1;
    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    assert_int_equal(eck_model_select(model, &selection, NULL), ECK_OK);
    return model;
}

static eck_adapter *open_adapter(const char *path)
{
    eck_adapter *adapter = NULL;
    assert_int_equal(eck_adapter_open(&adapter, path, NULL), ECK_OK);
    return adapter;
}

// What every scenario works with.
typedef struct scene {
    eck_model *base, *tuned;
    eck_adapter *kohya, *peft;
    const char *out;
    int64_t rank; // of what is asked for; 0: the other way
} scene;

static scene s;

static eck_adapter_write write_to(const char *path)
{
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    write.path = path;
    write.replace = true;
    return write;
}

// Clears an outcome; on failure it must be as it was.
static eck_status done_with(eck_status status, eck_adapter_outcome *outcome, int64_t modules)
{
    if (status != ECK_OK) {
        assert_true(outcome->changes == NULL && outcome->count == 0 && outcome->remarks == NULL);
        return status;
    }
    assert_int_equal(outcome->count, modules);
    eck_adapter_outcome_clear(outcome);
    return status;
}

static eck_status open_scenario(void *self, eck_error *err)
{
    eck_adapter *adapter = UNTOUCHED;
    const eck_status status = eck_adapter_open(&adapter, self, err);
    assert_untouched(status, adapter);
    if (adapter) assert_int_equal(eck_adapter_module_count(adapter), 2);
    eck_adapter_close(adapter);
    return status;
}

static eck_status load_scenario(void *self, eck_error *err)
{
    eck_factors factors = { NULL, NULL, -3 };
    const eck_status status = eck_adapter_load(&factors, self, 0, err);
    if (status == ECK_OK) {
        assert_int_equal(factors.first->shape[0], RANK);
        eck_factors_clear(&factors);
    } else {
        assert_true(factors.first == NULL && factors.scale == -3);
    }
    return status;
}

static eck_status convert_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    const eck_adapter_base base = { NULL, t->base };
    eck_convert_options options = ECK_CONVERT_OPTIONS_INIT;
    eck_adapter_outcome outcome = { 0 };
    options.bases = &base;
    options.base_count = 1;
    options.write = write_to(t->out);
    return done_with(eck_adapter_convert(&outcome, t->kohya, &options, err), &outcome, 2);
}

static eck_status resize_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    eck_adapter_budget budget = ECK_ADAPTER_BUDGET_INIT;
    eck_adapter_outcome outcome = { 0 };
    const eck_adapter_write write = write_to(t->out);
    budget.rank = t->rank > 0 ? t->rank : -1;
    if (t->rank == 0) budget.bytes_part = 0.6;
    return done_with(eck_adapter_resize(&outcome, t->peft, &budget, &write, &one_thread, err),
                     &outcome, 2);
}

static eck_status combine_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    const eck_weighted_adapter terms[] = { { t->peft, 1 }, { t->peft, -0.25 } };
    const eck_adapter_sum sum = { terms, 2 };
    eck_adapter_outcome outcome = { 0 };
    const eck_adapter_write write = write_to(t->out);
    return done_with(eck_adapter_combine(&outcome, &sum, t->rank, &write, &one_thread, err),
                     &outcome, 2);
}

static eck_status compare_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    eck_adapter_comparison comparison = { NULL, -3, -3, 0, 0, 0, 0 };
    char *text = NULL;
    eck_status status = eck_adapter_compare(&comparison, t->kohya, t->peft, &one_thread, err);
    if (status != ECK_OK) {
        assert_true(comparison.relations == NULL && comparison.count == -3);
        return status;
    }
    assert_int_equal(comparison.common, 2);
    assert_true(fabs(comparison.cosine - 1) <= 1e-12);
    status = eck_report_adapter_comparison(&text, &comparison, err);
    eck_text_free(text);
    eck_adapter_comparison_clear(&comparison);
    return status;
}

static eck_status merge_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    const eck_weighted_adapter term = { t->peft, 0.5 };
    const eck_adapter_sum sum = { &term, 1 };
    eck_adapter_outcome outcome = { 0 };
    const eck_adapter_write write = write_to(t->out);
    return done_with(eck_adapter_merge(&outcome, t->base, &sum, &write, &one_thread, err), &outcome,
                     2);
}

static eck_status extract_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    eck_extract_options options = ECK_EXTRACT_OPTIONS_INIT;
    eck_adapter_outcome outcome = { 0 };
    options.budget.rank = t->rank > 0 ? t->rank : -1;
    if (t->rank == 0) options.budget.energy = 0.9;
    options.write = write_to(t->out);
    return done_with(eck_adapter_extract(&outcome, t->base, t->tuned, &options, &one_thread, err),
                     &outcome, 2);
}

static eck_status init_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    char residual[200];
    eck_init_options options = ECK_INIT_OPTIONS_INIT;
    eck_adapter_outcome outcome = { 0 };
    options.start = t->rank == 0 ? ECK_START_PISSA : ECK_START_OLORA;
    options.rank = RANK;
    snprintf(residual, sizeof residual, "%s/residual.safetensors", directory);
    options.residual = residual;
    options.write = write_to(t->out);
    return done_with(eck_adapter_init(&outcome, t->base, &options, &one_thread, err), &outcome, 2);
}

static eck_status report_scenario(void *self, eck_error *err)
{
    const scene *const t = self;
    const eck_weighted_adapter term = { t->peft, 1 };
    const eck_adapter_sum sum = { &term, 1 };
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write write = write_to(t->out);
    char *text = NULL, *other = NULL;
    write.dry_run = true;
    eck_status status = eck_report_adapter(&text, t->peft, err);
    eck_text_free(text);
    if (status != ECK_OK) return status;
    status = eck_adapter_combine(&outcome, &sum, 2, &write, &one_thread, err);
    if (status == ECK_OK) status = eck_report_adapter_outcome(&other, t->out, &outcome, err);
    eck_text_free(other);
    eck_adapter_outcome_clear(&outcome);
    return status;
}

static int make_scene(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/eckart-memory-XXXXXX");
    if (!mkdtemp(directory)) return -1;
    make_files();
    s.base = open_selected(place("base.safetensors"));
    s.kohya = open_adapter(place("kohya.safetensors"));
    s.out = place("peft");
    if (convert_scenario(&s, NULL) != ECK_OK) return -1;
    s.peft = open_adapter(s.out);
    s.out = place("tuned.safetensors");
    if (merge_scenario(&s, NULL) != ECK_OK) return -1;
    s.tuned = open_selected(s.out);
    return 0;
}

static int remove_scene(void **state)
{
    (void)state;
    eck_model_close(s.base);
    eck_model_close(s.tuned);
    eck_adapter_close(s.kohya);
    eck_adapter_close(s.peft);
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

static void opened_and_loaded(void **state)
{
    (void)state;
    fail_every_allocation("eck_adapter_open, kohya", open_scenario, place("kohya.safetensors"));
    fail_every_allocation("eck_adapter_open, PEFT", open_scenario, place("peft"));
    fail_every_allocation("eck_adapter_load", load_scenario, s.peft);
    s.out = place("reported");
    fail_every_allocation("reports of adapters", report_scenario, &s);
}

static void from_adapters(void **state)
{
    (void)state;
    s.out = place("converted");
    fail_every_allocation("eck_adapter_convert", convert_scenario, &s);
    s.out = place("resized");
    s.rank = 2;
    fail_every_allocation("eck_adapter_resize, a rank", resize_scenario, &s);
    s.rank = 0;
    fail_every_allocation("eck_adapter_resize, a size", resize_scenario, &s);
    s.out = place("combined");
    s.rank = 2;
    fail_every_allocation("eck_adapter_combine, a rank", combine_scenario, &s);
    s.rank = 0;
    fail_every_allocation("eck_adapter_combine, all of them", combine_scenario, &s);
    fail_every_allocation("eck_adapter_compare", compare_scenario, &s);
}

static void with_models(void **state)
{
    (void)state;
    s.out = place("merged.safetensors");
    fail_every_allocation("eck_adapter_merge", merge_scenario, &s);
    s.out = place("extracted");
    s.rank = RANK;
    fail_every_allocation("eck_adapter_extract, a rank", extract_scenario, &s);
    s.rank = 0;
    fail_every_allocation("eck_adapter_extract, an energy", extract_scenario, &s);
    s.out = place("begun");
    fail_every_allocation("eck_adapter_init, PiSSA", init_scenario, &s);
    s.rank = 1;
    fail_every_allocation("eck_adapter_init, OLoRA", init_scenario, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(opened_and_loaded),
                                        cmocka_unit_test(from_adapters),
                                        cmocka_unit_test(with_models) };
    return cmocka_run_group_tests(tests, make_scene, remove_scene);
}
