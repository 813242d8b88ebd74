/** Compressing: what is written, where, and when it is refused. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *second = fixture_path(s.folder, "second.safetensors");
    int64_t a_length, b_length;
    scene_compress(&s, 0.4, 1, s.out);
    scene_compress(&s, 0.4, 2, second);
    char *a = fixture_read(s.out, &a_length), *b = fixture_read(second, &b_length);
    assert_int_equal(a_length, b_length);
    assert_memory_equal(a, b, (size_t)a_length);
    free(a);
    free(b);
    free(second);
    scene_remove(&s);
}

/** The plan's figure is a forecast of what was measured: tail and storage floor, against the residual. */
static void forecast_and_measure_agree(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    OK(eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    // Factors of F32: the floor, 4e-8 of the norm, under errors of more than 1e-4.
    assert_true(fabs(outcome.error - plan->error) <= 1e-6 * plan->error);
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

static bool exists(const char *folder, const char *name)
{
    struct stat file;
    char *path = fixture_path(folder, name);
    const bool there = stat(path, &file) == 0;
    free(path);
    return there;
}

static void directory_carries_what_loaders_need(void **state)
{
    (void)state;
    scene s = scene_make(true);
    scene_compress(&s, 0.5, 2, s.out);
    assert_true(exists(s.out, "config.json"));
    assert_true(exists(s.out, "1_Pooling/config.json"));
    assert_true(exists(s.out, "eckart.json"));
    assert_true(exists(s.out, "eckart.safetensors"));
    assert_false(exists(s.out, "model.safetensors"));
    assert_false(exists(s.out, "pytorch_model.bin"));
    scene_remove(&s);
}

/** Weights of another kind are; the file whose tensors the output holds is not. */
static void what_is_left_out_is_listed(void **state)
{
    (void)state;
    scene s = scene_make(true);
    eck_outcome outcome = { 0 };
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    OK(eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    assert_int_equal(outcome.left_out_count, 1);
    assert_string_equal(outcome.left_out[0], "pytorch_model.bin");
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

static void shards_and_their_index(void **state)
{
    (void)state;
    scene s = scene_make(true);
    eck_outcome outcome = { 0 };
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    options.shard_bytes = 80000; // the embedding alone has 76,800 bytes
    OK(eck_model_compress(&outcome, model, plan, s.out, &options, NULL, err_));
    assert_true(exists(s.out, "eckart.safetensors.index.json"));
    assert_true(exists(s.out, "eckart-00001-of-00003.safetensors"));
    eck_verdict v = scene_verify(&s, s.out);
    assert_true(v.kept);
    eck_verdict_clear(&v);
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

static void dry_run_writes_nothing(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    options.dry_run = true;
    OK(eck_model_compress(&outcome, model, plan, s.out, &options, NULL, err_));
    assert_true(outcome.error > 0 && outcome.factored == 3);
    assert_false(exists(s.folder, "out.safetensors"));
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

/** A plan is a file that people edit: each mistake has its message. */
static void plans_that_do_not_fit(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    char *const layer = plan->choices[0].layer, *const second = plan->choices[1].layer;

    plan->source[0] ^= 1;
    REFUSED(ECK_E_RANGE, "plan",
            eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    plan->source[0] ^= 1;
    plan->choices[0].layer = (char[]){ "nobody" };
    REFUSED(ECK_E_RANGE, "'nobody'",
            eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    plan->choices[0].layer = second;
    REFUSED(ECK_E_RANGE, "twice",
            eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    plan->choices[0].layer = layer;
    plan->choices[0].point.ranks[0] = 97;
    REFUSED(ECK_E_RANGE, "1 to 96",
            eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

static void outputs_that_may_not_be_written(void **state)
{
    (void)state;
    scene s = scene_make(true);
    eck_outcome outcome = { 0 };
    eck_write_options replace = ECK_WRITE_OPTIONS_INIT;
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);

    replace.replace = true;
    REFUSED(ECK_E_RANGE, s.in,
            eck_model_compress(&outcome, model, plan, s.in, &replace, NULL, err_));
    OK(eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    eck_outcome_clear(&outcome);
    REFUSED(ECK_E_EXISTS, s.out,
            eck_model_compress(&outcome, model, plan, s.out, NULL, NULL, err_));
    OK(eck_model_compress(&outcome, model, plan, s.out, &replace, NULL, err_));
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

static void inputs_that_are_not_compressed(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    char *array = fixture_path(s.folder, "a.csv");
    eck_plan plan = { 0 };
    fixture_text(array, "1,2\n3,4\n");
    eck_model *model = scene_open(array);
    REFUSED(ECK_E_UNSUPPORTED, "csv",
            eck_model_compress(&outcome, model, &plan, s.out, NULL, NULL, err_));
    eck_model_close(model);
    scene_compress(&s, 0.5, 2, s.out);
    model = scene_open(s.out);
    REFUSED(ECK_E_UNSUPPORTED, "already",
            eck_model_compress(&outcome, model, &plan, s.in, NULL, NULL, err_));
    eck_model_close(model);
    free(array);
    scene_remove(&s);
}

static void little_memory_is_refused_with_what_would_do(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    eck_context context = ECK_CONTEXT_INIT;
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    context.memory = 100000;
    REFUSED(ECK_E_BUDGET, "100000",
            eck_model_compress(&outcome, model, plan, s.out, NULL, &context, err_));
    context.memory = eck_model_memory(model, plan, &context);
    OK(eck_model_compress(&outcome, model, plan, s.out, NULL, &context, err_));
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(forecast_and_measure_agree),
        cmocka_unit_test(directory_carries_what_loaders_need),
        cmocka_unit_test(what_is_left_out_is_listed),
        cmocka_unit_test(shards_and_their_index),
        cmocka_unit_test(dry_run_writes_nothing),
        cmocka_unit_test(plans_that_do_not_fit),
        cmocka_unit_test(outputs_that_may_not_be_written),
        cmocka_unit_test(inputs_that_are_not_compressed),
        cmocka_unit_test(little_memory_is_refused_with_what_would_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
