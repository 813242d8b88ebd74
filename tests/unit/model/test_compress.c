/** From a made model to a smaller one and back: promises kept, bytes the same for any threads, nothing half-written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eckart/file.h"
#include "eckart/model.h"
#include "eckart/report.h"
#include "fixture.h"

static const fixture_tensor made[] = { { "embed_tokens.weight", 2, { 300, 64 } },
                                       { "a.query.weight", 2, { 128, 96 } },
                                       { "a.query.bias", 1, { 128 } },
                                       { "b.value.weight", 2, { 96, 160 } },
                                       { "conv.weight", 4, { 48, 32, 3, 3 } },
                                       { "conv.bias", 1, { 48 } },
                                       { "norm.weight", 1, { 64 } },
                                       { NULL, 0, { 0 } } };

/** A folder with the made model in it, and names beside it. */
typedef struct place {
    char *folder, *in, *out;
} place;

static place place_make(bool directory)
{
    place p;
    p.folder = fixture_folder();
    p.in = fixture_path(p.folder, directory ? "in" : "in.safetensors");
    p.out = fixture_path(p.folder, directory ? "out" : "out.safetensors");
    if (directory) {
        mkdir(p.in, 0777);
        char *weights = fixture_path(p.in, "model.safetensors"),
             *config = fixture_path(p.in, "config.json");
        char *other = fixture_path(p.in, "pytorch_model.bin"),
             *pooling = fixture_path(p.in, "1_Pooling");
        char *nested = fixture_path(pooling, "config.json");
        mkdir(pooling, 0777);
        fixture_safetensors(weights, made);
        fixture_text(config, "{\"model_type\":\"made\"}\n");
        fixture_text(other, "weights of another kind");
        fixture_text(nested, "{}\n");
        free(weights);
        free(config);
        free(other);
        free(pooling);
        free(nested);
    } else {
        fixture_safetensors(p.in, made);
    }
    return p;
}

static void place_remove(place *p)
{
    free(p->in);
    free(p->out);
    fixture_remove(p->folder);
}

/** Fails the test with the message of a call that fails; `err` is a name for the call to use. */
#define OK(call) \
    do { \
        eck_error problem = ECK_ERROR_INIT, *const err_ = &problem; \
        if ((call) != ECK_OK) fail_msg("%s: %s", #call, problem.message); \
    } while (0)

static eck_plan *plan_make(const eck_model *model, double keep)
{
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = keep;
    OK(eck_model_analyze(&analysis, model, NULL, NULL, err_));
    OK(eck_plan_optimize(&plan, model, analysis, &budget, NULL, err_));
    eck_analysis_free(analysis);
    return plan;
}

static void compress_at(const place *p, double keep, int32_t threads, const char *out)
{
    eck_model *model = NULL;
    eck_outcome outcome = { 0 };
    eck_context context = ECK_CONTEXT_INIT;
    context.threads = threads;
    OK(eck_model_open(&model, p->in, err_));
    eck_plan *plan = plan_make(model, keep);
    assert_true(plan->gap <= 1e-3);
    assert_true(plan->parameters_after <= keep * (double)plan->parameters_before);
    OK(eck_model_compress(&outcome, model, plan, out, NULL, &context, err_));
    assert_int_equal(outcome.factored, plan->factored);
    assert_int_equal(outcome.bytes_after, plan->bytes_after);
    // The plan's figure is a forecast of what was measured: both factors rounded, so within the storage floor.
    assert_true(fabs(outcome.error - plan->error) <= 1e-6);
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
}

static eck_verdict verify(const place *p, const char *out)
{
    eck_model *before = NULL, *after = NULL;
    eck_verdict verdict = { 0 };
    OK(eck_model_open(&before, p->in, err_));
    OK(eck_model_open(&after, out, err_));
    assert_true(eck_model_is_factored(after));
    OK(eck_model_verify(&verdict, before, after, NULL, err_));
    eck_model_close(before);
    eck_model_close(after);
    return verdict;
}

static void round_trip(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        place p = place_make(directory);
        compress_at(&p, 0.5, 2, p.out);
        eck_verdict v = verify(&p, p.out);
        assert_true(v.kept);
        assert_int_equal(v.factored, 3);
        assert_int_equal(v.identical, 2); // embedding, norm; biases belong to their layers
        for (int64_t i = 0; i < v.count; i++) {
            assert_true(v.checks[i].error > 0);
            assert_true(v.checks[i].error <= v.checks[i].promised * (1 + 1e-12));
        }
        eck_verdict_clear(&v);
        place_remove(&p);
    }
}

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    place p = place_make(false);
    char *second = fixture_path(p.folder, "second.safetensors");
    int64_t a_length, b_length;
    compress_at(&p, 0.4, 1, p.out);
    compress_at(&p, 0.4, 2, second);
    char *a = fixture_read(p.out, &a_length), *b = fixture_read(second, &b_length);
    assert_int_equal(a_length, b_length);
    assert_memory_equal(a, b, (size_t)a_length);
    free(a);
    free(b);
    free(second);
    place_remove(&p);
}

static void directory_carries_what_loaders_need(void **state)
{
    (void)state;
    place p = place_make(true);
    struct stat file;
    const char *const there[] = { "config.json", "1_Pooling/config.json", "eckart.json",
                                  "eckart.safetensors", NULL };
    const char *const absent[] = { "model.safetensors", "pytorch_model.bin", NULL };
    compress_at(&p, 0.5, 2, p.out);
    for (int i = 0; there[i]; i++) {
        char *path = fixture_path(p.out, there[i]);
        if (stat(path, &file) != 0) fail_msg("'%s' is missing", there[i]);
        free(path);
    }
    for (int i = 0; absent[i]; i++) {
        char *path = fixture_path(p.out, absent[i]);
        if (stat(path, &file) == 0) fail_msg("'%s' should not be there", absent[i]);
        free(path);
    }
    place_remove(&p);
}

/** Flips one bit of one factor: the promise must break, and be named. */
static void verify_sees_a_changed_factor(void **state)
{
    (void)state;
    place p = place_make(false);
    int64_t length;
    compress_at(&p, 0.5, 2, p.out);
    char *bytes = fixture_read(p.out, &length);
    const char *name = strstr(bytes + 8, "\"a.query.0.weight\"");
    assert_non_null(name);
    const int64_t header = (int64_t) * (const uint64_t *)(const void *)bytes;
    long long begin = 0, end = 0;
    const char *offsets = strstr(name, "\"data_offsets\":[");
    assert_int_equal(sscanf(offsets, "\"data_offsets\":[%lld,%lld]", &begin, &end), 2);
    bytes[8 + header + begin + 3] ^= 0x40; // an exponent bit
    FILE *file = fopen(p.out, "wb");
    fwrite(bytes, 1, (size_t)length, file);
    fclose(file);
    free(bytes);
    eck_verdict v = verify(&p, p.out);
    assert_false(v.kept);
    assert_int_equal(v.failed, 1);
    eck_verdict_clear(&v);
    place_remove(&p);
}

static void refusals(void **state)
{
    (void)state;
    place p = place_make(true), q = place_make(false);
    eck_model *model = NULL, *other = NULL;
    eck_outcome outcome = { 0 };
    eck_error err = ECK_ERROR_INIT;
    OK(eck_model_open(&model, p.in, err_));
    OK(eck_model_open(&other, q.in, err_));
    eck_plan *plan = plan_make(model, 0.5);

    fixture_text(q.in, "changed while open");
    assert_int_not_equal(eck_model_compress(&outcome, other, plan, q.out, NULL, NULL, &err),
                         ECK_OK);
    assert_int_equal(eck_model_compress(&outcome, model, plan, p.in, NULL, NULL, &err),
                     ECK_E_RANGE);
    plan->source[0] ^= 1;
    assert_int_equal(eck_model_compress(&outcome, model, plan, p.out, NULL, NULL, &err),
                     ECK_E_RANGE);
    assert_non_null(strstr(err.message, "plan"));
    plan->source[0] ^= 1;
    OK(eck_model_compress(&outcome, model, plan, p.out, NULL, NULL, err_));
    eck_outcome_clear(&outcome);
    assert_int_equal(eck_model_compress(&outcome, model, plan, p.out, NULL, NULL, &err),
                     ECK_E_EXISTS);
    eck_write_options replace = ECK_WRITE_OPTIONS_INIT;
    replace.replace = true;
    OK(eck_model_compress(&outcome, model, plan, p.out, &replace, NULL, err_));
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
    eck_model_close(other);
    place_remove(&p);
    place_remove(&q);
}

static void restore_is_the_product(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        place p = place_make(directory);
        char *dense = fixture_path(p.folder, directory ? "dense" : "dense.safetensors");
        eck_model *model = NULL, *back = NULL;
        eck_outcome outcome = { 0 };
        compress_at(&p, 0.5, 2, p.out);
        OK(eck_model_open(&model, p.out, err_));
        OK(eck_model_restore(&outcome, model, dense, NULL, NULL, err_));
        assert_int_equal(outcome.factored, 3);
        OK(eck_model_open(&back, dense, err_));
        assert_false(eck_model_is_factored(back));
        assert_int_equal(eck_model_tensor_count(back), 7);
        for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
            const eck_layer *layer = eck_model_layer(model, i);
            if (!layer->factored) continue;
            eck_operator *a = NULL, *b = NULL;
            eck_certificate c = { 0 };
            int64_t j = 0;
            while (strcmp(eck_model_layer(back, j)->name, layer->name) != 0)
                j++;
            OK(eck_model_layer_operator(&a, model, i, err_));
            OK(eck_model_layer_operator(&b, back, j, err_));
            OK(eck_certify(&c, a, b, ECK_PROOF_RESIDUAL, 0, 0, NULL, err_));
            assert_true(c.error <= ldexp(1, -24)); // one rounding to F32
            eck_operator_free(a);
            eck_operator_free(b);
        }
        eck_outcome_clear(&outcome);
        eck_model_close(model);
        eck_model_close(back);
        free(dense);
        place_remove(&p);
    }
}

/** plan then compress computes nothing twice: the second analysis finds every spectrum, the second fit every factor. */
static void cache_remembers(void **state)
{
    (void)state;
    place p = place_make(true);
    char *cache = fixture_path(p.folder, "cache/deep"), *again = fixture_path(p.folder, "again");
    eck_model *model = NULL;
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_outcome outcome = { 0 };
    eck_budget budget = ECK_BUDGET_INIT;
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    int64_t a_length, b_length;
    budget.keep = 0.5;
    options.store.cache = cache;
    OK(eck_model_open(&model, p.in, err_));
    for (int run = 0; run < 2; run++) {
        OK(eck_model_analyze(&analysis, model, &options.store, NULL, err_));
        for (int64_t i = 0; i < eck_analysis_count(analysis); i++)
            assert_int_equal(eck_analysis_layer(analysis, i)->cached, run == 1);
        eck_plan_free(plan);
        OK(eck_plan_optimize(&plan, model, analysis, &budget, &options.store, err_));
        eck_analysis_free(analysis);
        OK(eck_model_compress(&outcome, model, plan, run ? again : p.out, &options, NULL, err_));
        eck_outcome_clear(&outcome);
    }
    char *first = fixture_path(p.out, "eckart.safetensors"),
         *second = fixture_path(again, "eckart.safetensors");
    char *a = fixture_read(first, &a_length), *b = fixture_read(second, &b_length);
    assert_int_equal(a_length, b_length);
    assert_memory_equal(a, b, (size_t)a_length);
    free(a);
    free(b);
    free(first);
    free(second);
    eck_plan_free(plan);
    eck_model_close(model);
    free(cache);
    free(again);
    place_remove(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(directory_carries_what_loaders_need),
        cmocka_unit_test(verify_sees_a_changed_factor),
        cmocka_unit_test(refusals),
        cmocka_unit_test(restore_is_the_product),
        cmocka_unit_test(cache_remembers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
