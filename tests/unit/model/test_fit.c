/** Spectra and factors through the cache: found ones equal computed ones, damaged ones are computed anew. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/fit.h"

/** Work on the first layer that may be factored. */
static ecki_work work_of(const eck_model *model, const ecki_content *content,
                         const ecki_cache *cache)
{
    ecki_work work = { model, content, cache, ECK_CONTEXT_INIT, 0 };
    while (model->layers[work.layer].view.skipped)
        work.layer++;
    work.context.threads = 1;
    return work;
}

/** Bytes of both weights and the certificate's errors. */
static void expect_same(const eck_chain *a, const eck_certificate *c, const eck_chain *b,
                        const eck_certificate *d)
{
    assert_int_equal(a->count, b->count);
    assert_true(c->error == d->error && c->error_high == d->error_high);
    for (int32_t i = 0; i < a->count; i++)
        assert_memory_equal(a->stages[i].weight->data, b->stages[i].weight->data,
                            (size_t)eck_array_count(a->stages[i].weight) * 4);
}

static void found_equals_computed(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *dir = fixture_path(s.folder, "cache"), command[300];
    ecki_cache *cache = NULL;
    ecki_content *content = NULL;
    eck_chain chain[4] = { { NULL, 0 } };
    eck_certificate certificate[4];
    const eck_point point = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { 5 } };
    const eck_fit_options options = { 1, ECK_DTYPE_F32, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    eck_model *model = scene_open(s.in);
    OK(ecki_cache_open(&cache, dir, err_));
    OK(ecki_content_compute(&content, model, NULL, NULL, err_));
    for (int run = 0; run < 4; run++) {
        // Without a cache; storing; found; found damaged: cut by a byte.
        const ecki_work work = work_of(model, content, run == 0 ? NULL : cache);
        if (run == 3) {
            snprintf(command, sizeof command, "find '%s' -type f -exec truncate -s -1 {} +", dir);
            assert_int_equal(system(command), 0);
        }
        OK(ecki_factors_compute(&chain[run], &certificate[run], &work, &point, &options, err_));
        expect_same(&chain[0], &certificate[0], &chain[run], &certificate[run]);
    }
    for (int run = 0; run < 4; run++)
        eck_chain_clear(&chain[run]);
    ecki_content_free(content);
    ecki_cache_close(cache);
    eck_model_close(model);
    free(dir);
    scene_remove(&s);
}

static void values_are_remembered(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *dir = fixture_path(s.folder, "cache");
    ecki_cache *cache = NULL;
    ecki_content *content = NULL;
    ecki_values first = { 0 }, second = { 0 };
    bool cached = true;
    eck_model *model = scene_open(s.in);
    OK(ecki_cache_open(&cache, dir, err_));
    OK(ecki_content_compute(&content, model, NULL, NULL, err_));
    const ecki_work work = work_of(model, content, cache);
    OK(ecki_values_compute(&first, &cached, &work, err_));
    assert_false(cached);
    OK(ecki_values_compute(&second, &cached, &work, err_));
    assert_true(cached);
    assert_int_equal(first.info.count, second.info.count);
    assert_memory_equal(first.info.values, second.info.values,
                        (size_t)first.info.count * sizeof(double));
    assert_true(first.info.tolerance == second.info.tolerance &&
                first.info.norm2 == second.info.norm2);
    ecki_values_clear(&first);
    ecki_values_clear(&second);
    ecki_content_free(content);
    ecki_cache_close(cache);
    eck_model_close(model);
    free(dir);
    scene_remove(&s);
}

/** plan, then compress, then both again: the second round finds everything and writes the same bytes. */
static void nothing_is_computed_twice(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *cache = fixture_path(s.folder, "a/deep/cache"),
         *again = fixture_path(s.folder, "again.safetensors");
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_outcome outcome = { 0 };
    eck_budget budget = ECK_BUDGET_INIT;
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    int64_t a_length, b_length;
    budget.keep = 0.5;
    options.store.cache = cache;
    eck_model *model = scene_open(s.in);
    for (int run = 0; run < 2; run++) {
        OK(eck_model_analyze(&analysis, model, &options.store, NULL, err_));
        for (int64_t i = 0; i < eck_analysis_count(analysis); i++)
            assert_int_equal(eck_analysis_layer(analysis, i)->cached, run == 1);
        OK(eck_plan_optimize(&plan, model, analysis, &budget, &options.store, err_));
        eck_analysis_free(analysis);
        OK(eck_model_compress(&outcome, model, plan, run ? again : s.out, &options, NULL, err_));
        eck_outcome_clear(&outcome);
        eck_plan_free(plan);
    }
    char *a = fixture_read(s.out, &a_length), *b = fixture_read(again, &b_length);
    assert_int_equal(a_length, b_length);
    assert_memory_equal(a, b, (size_t)a_length);
    free(a);
    free(b);
    free(cache);
    free(again);
    eck_model_close(model);
    scene_remove(&s);
}

static int32_t workers(const eck_model *model, int64_t bytes, bool kernel,
                       const eck_context *context)
{
    return ecki_workers(model, (ecki_hunger){ bytes, kernel }, context);
}

static void workers_fit_into_memory(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_model *model = scene_open(s.in);
    eck_context context = ECK_CONTEXT_INIT;
    context.threads = 8;
    context.memory = ecki_base_memory(model) + 1000;
    assert_int_equal(workers(model, 100, false, &context), 8);
    assert_int_equal(workers(model, 300, false, &context), 3);
    assert_int_equal(workers(model, 5000, false, &context), 1);
    context.threads = 2;
    assert_int_equal(workers(model, 100, false, &context), 2);
    // without a limit: six times the largest tensor, the embedding, which is no layer that is worked on
    context.threads = 64;
    context.memory = 0;
    const int64_t limit = 6 * INT64_C(300) * 64 * 4;
    assert_int_equal(workers(model, limit / 5, false, &context), 5);
    assert_int_equal(workers(model, limit / 5 + 1, false, &context), 4);
    // what one kernel takes more than that, a few may together; a matrix may not
    assert_int_equal(workers(model, limit + 1, false, &context), 1);
    assert_int_equal(workers(model, limit / 5, true, &context), 5);
    const int64_t gibibyte = INT64_C(1) << 30;
    assert_int_equal(workers(model, limit, true, &context), 1);
    assert_int_equal(workers(model, gibibyte / 3, true, &context), 3);
    assert_int_equal(workers(model, gibibyte / 3 + 1, true, &context), 2);
    assert_int_equal(workers(model, 2 * gibibyte, true, &context), 1);
    eck_model_close(model);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_equals_computed),
        cmocka_unit_test(values_are_remembered),
        cmocka_unit_test(nothing_is_computed_twice),
        cmocka_unit_test(workers_fit_into_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
