/** Spectra of the selected layers, whatever the threads; nothing is computed twice with a cache. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void spectra_are_those_of_the_weights(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_analysis *analysis = NULL;
    eck_model *model = scene_open(s.in);
    OK(eck_model_analyze(&analysis, model, NULL, NULL, err_));
    assert_int_equal(eck_analysis_count(analysis), 3);
    assert_null(eck_analysis_layer(analysis, 3));
    for (int64_t i = 0; i < 3; i++) {
        const eck_layer_analysis *a = eck_analysis_layer(analysis, i);
        const eck_stage *dense = &eck_model_layer(model, a->layer)->dense;
        double sum = 0;
        for (int64_t k = 0; k < a->spectrum.count; k++)
            sum += a->spectrum.values[k] * a->spectrum.values[k];
        // Values of a Gram in F64: their squares add up to the norm within its sums' rounding.
        assert_true(fabs(sum - a->spectrum.norm2) <= 1e-12 * sum);
        assert_int_equal(a->break_even_rank, eck_break_even_rank(dense));
        assert_int_equal(a->curve.count, a->break_even_rank + 1);
        assert_int_equal(a->curve.points[a->curve.count - 1].method, ECK_METHOD_DENSE);
        assert_false(a->cached);
    }
    eck_analysis_free(analysis);
    eck_model_close(model);
    scene_remove(&s);
}

static void multiples_thin_the_curve(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_analysis *analysis = NULL;
    eck_store_options options = ECK_STORE_OPTIONS_INIT;
    eck_model *model = scene_open(s.in);
    options.rank_multiple = 8;
    OK(eck_model_analyze(&analysis, model, &options, NULL, err_));
    for (int64_t i = 0; i < eck_analysis_count(analysis); i++) {
        const eck_curve *curve = &eck_analysis_layer(analysis, i)->curve;
        for (int64_t j = 0; j + 1 < curve->count; j++)
            assert_int_equal(curve->points[j].ranks[0] % 8, 0);
    }
    eck_analysis_free(analysis);
    // No layer has 4096 ranks: all there are.
    options.rank_multiple = 4096;
    OK(eck_model_analyze(&analysis, model, &options, NULL, err_));
    for (int64_t i = 0; i < eck_analysis_count(analysis); i++)
        assert_true(eck_analysis_layer(analysis, i)->curve.points[0].ranks[0] == 1);
    eck_analysis_free(analysis);
    // Of pairs and triples of ranks enough are listed.
    options.rank_multiple = 8;
    options.methods = 1u << ECK_METHOD_TUCKER2;
    OK(eck_model_analyze(&analysis, model, &options, NULL, err_));
    const eck_curve *pairs = &eck_analysis_layer(analysis, 2)->curve;
    // Inputs 8 .. 32 with outputs 8 .. 48, but for pairs that are larger than the layer or beaten by another.
    assert_true(pairs->count > 4 && pairs->points[0].method == ECK_METHOD_TUCKER2);
    for (int64_t j = 0; j + 1 < pairs->count; j++)
        assert_true(pairs->points[j].ranks[0] % 8 == 0 && pairs->points[j].ranks[1] % 8 == 0);
    eck_analysis_free(analysis);
    options.methods = 0;
    options.rank_multiple = 0;
    REFUSED(ECK_E_RANGE, "multiple", eck_model_analyze(&analysis, model, &options, NULL, err_));
    eck_model_close(model);
    scene_remove(&s);
}

static bool cancel(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user, (void)what, (void)done, (void)total;
    return false;
}

static void progress_cancels(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_analysis *analysis = NULL;
    eck_context context = ECK_CONTEXT_INIT;
    eck_model *model = scene_open(s.in);
    context.progress = cancel;
    REFUSED(ECK_E_CANCELLED, "", eck_model_analyze(&analysis, model, NULL, &context, err_));
    assert_null(analysis);
    eck_model_close(model);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spectra_are_those_of_the_weights),
        cmocka_unit_test(multiples_thin_the_curve),
        cmocka_unit_test(progress_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
