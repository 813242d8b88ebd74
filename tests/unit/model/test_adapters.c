/**
 * Adapters through their whole life: a made kohya file is read (adapter_open.c, adapter_names.c, adapter_factors.c),
 * resized (adapter_resize.c), summed (adapter_combine.c), compared (adapter_compare.c), renamed for PEFT and back
 * (adapter_convert.c, adapter_config.c, adapter_match.c, pattern.c), merged into a base (adapter_merge.c), taken out of
 * the merged model again (adapter_extract.c, difference.c) and begun anew (adapter_init.c); every output goes through
 * adapter_writer.c and reports through adapter_outcome.c. What the numbers must be is computed here, in double.
 */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/adapter.h"

enum { OUT = 128, IN = 96, RANK = 6 };

/** dW of the made adapter lies beside "a.query" of the scene: 128 x 96. No alpha: the scale is 1. */
static const fixture_tensor made[] = { { "lora_unet_a_query.lora_down.weight", 2, { RANK, IN } },
                                       { "lora_unet_a_query.lora_up.weight", 2, { OUT, RANK } },
                                       { NULL, 0, { 0 } } };

/** The product of an adapter's only module, multiplied out: 128 x 96. */
static double *change_of(const char *path, int64_t *rank_out)
{
    eck_adapter *adapter = NULL;
    eck_factors f = { NULL, NULL, 0 };
    double *change = calloc(OUT * IN, sizeof *change);
    OK(eck_adapter_open(&adapter, path, err_));
    assert_int_equal(eck_adapter_module_count(adapter), 1);
    *rank_out = eck_adapter_get_module(adapter, 0)->rank;
    OK(eck_adapter_load(&f, adapter, 0, err_));
    assert_int_equal(f.first->dtype, ECK_DTYPE_F32);
    const float *first = f.first->data, *last = f.last->data;
    const int64_t width = f.first->shape[0];
    for (int64_t o = 0; o < OUT; o++)
        for (int64_t k = 0; k < width; k++)
            for (int64_t i = 0; i < IN; i++)
                change[o * IN + i] += f.scale * last[o * width + k] * first[k * IN + i];
    eck_factors_clear(&f);
    eck_adapter_close(adapter);
    return change;
}

/** || a - factor b || / || a ||. */
static double distance(const double *a, const double *b, double factor)
{
    double norm = 0, sum = 0;
    for (int i = 0; i < OUT * IN; i++) {
        norm += a[i] * a[i];
        sum += (a[i] - factor * b[i]) * (a[i] - factor * b[i]);
    }
    return sqrt(sum / norm);
}

/** A folder with the made adapter as a.safetensors and the scene's model as base. */
typedef struct stage_set {
    scene s;
    char *adapter, *out;
    eck_adapter *opened;
} stage_set;

static stage_set set_up(void)
{
    stage_set t = { scene_make(false), NULL, NULL, NULL };
    t.adapter = fixture_path(t.s.folder, "adapter.safetensors");
    t.out = fixture_path(t.s.folder, "made.safetensors");
    fixture_safetensors(t.adapter, made);
    OK(eck_adapter_open(&t.opened, t.adapter, err_));
    return t;
}

static void take_down(stage_set *t)
{
    eck_adapter_close(t->opened);
    free(t->adapter);
    free(t->out);
    scene_remove(&t->s);
}

static void a_kohya_file_is_read(void **state)
{
    (void)state;
    stage_set t = set_up();
    const eck_adapter_module *m = eck_adapter_get_module(t.opened, 0);
    assert_int_equal(eck_adapter_get_layout(t.opened), ECK_ADAPTER_KOHYA);
    assert_int_equal(m->form, ECK_FORM_LORA);
    assert_int_equal(m->rank, RANK);
    assert_int_equal(m->dense.in, IN);
    assert_int_equal(m->dense.out, OUT);
    assert_true(m->scale == 1);
    assert_null(eck_adapter_get_module(t.opened, 1));
    take_down(&t);
}

/** Eckart-Young for the product: the error is what the outcome says, and no less than the dropped value. */
static void resizing_is_exact(void **state)
{
    (void)state;
    stage_set t = set_up();
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_budget budget = ECK_ADAPTER_BUDGET_INIT;
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    int64_t rank;
    budget.rank = 3;
    write.path = t.out;
    OK(eck_adapter_resize(&outcome, t.opened, &budget, &write, NULL, err_));
    double *before = change_of(t.adapter, &rank), *after = change_of(t.out, &rank);
    assert_int_equal(rank, 3);
    // Two factors rounded to F32: 4e-8 of the norm, tenfold.
    assert_true(fabs(distance(before, after, 1) - outcome.error) <= 4e-7);
    assert_true(outcome.error > 0.01 && outcome.error < 0.5);
    free(before);
    free(after);
    eck_adapter_outcome_clear(&outcome);
    REFUSED(ECK_E_EXISTS, t.out,
            eck_adapter_resize(&outcome, t.opened, &budget, &write, NULL, err_));
    take_down(&t);
}

static void sums_and_comparisons(void **state)
{
    (void)state;
    stage_set t = set_up();
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_comparison comparison = { 0 };
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    eck_adapter *sum = NULL;
    const eck_weighted_adapter terms[] = { { t.opened, 2.0 }, { t.opened, -0.5 } };
    const eck_adapter_sum both = { terms, 2 };
    int64_t rank;
    write.path = t.out;
    OK(eck_adapter_combine(&outcome, &both, RANK, &write, NULL, err_));
    double *one = change_of(t.adapter, &rank), *made_sum = change_of(t.out, &rank);
    assert_true(distance(made_sum, one, 1.5) <= 4e-7);
    OK(eck_adapter_open(&sum, t.out, err_));
    OK(eck_adapter_compare(&comparison, t.opened, sum, NULL, err_));
    assert_int_equal(comparison.common, 1);
    assert_true(fabs(comparison.cosine - 1) <= 1e-6);
    assert_true(fabs(comparison.norm_b / comparison.norm_a - 1.5) <= 1e-6);
    eck_adapter_comparison_clear(&comparison);
    eck_adapter_close(sum);
    free(one);
    free(made_sum);
    eck_adapter_outcome_clear(&outcome);
    take_down(&t);
}

static void broken_ones_are_refused(void **state)
{
    (void)state;
    stage_set t = set_up();
    eck_adapter *adapter = NULL;
    const fixture_tensor half[] = { { "lora_unet_a.lora_down.weight", 2, { 4, 8 } },
                                    { NULL, 0, { 0 } } };
    const fixture_tensor misfit[] = { { "lora_unet_a.lora_down.weight", 2, { 4, 8 } },
                                      { "lora_unet_a.lora_up.weight", 2, { 8, 5 } },
                                      { NULL, 0, { 0 } } };
    fixture_safetensors(t.out, half);
    REFUSED(ECK_E_FORMAT, "lora_unet_a", eck_adapter_open(&adapter, t.out, err_));
    fixture_safetensors(t.out, misfit);
    REFUSED(ECK_E_FORMAT, "lora_unet_a", eck_adapter_open(&adapter, t.out, err_));
    fixture_safetensors(t.out, scene_tensors);
    REFUSED(ECK_E_FORMAT, "", eck_adapter_open(&adapter, t.out, err_));
    assert_null(adapter);
    take_down(&t);
}

/** To PEFT by the base's names, merged with a weight, taken out again: the change that went in, but for the rounding of
 *  the merged weights. */
static void there_and_back_through_a_base(void **state)
{
    (void)state;
    stage_set t = set_up();
    char *peft = fixture_path(t.s.folder, "peft"), *back = fixture_path(t.s.folder, "back");
    char *merged = fixture_path(t.s.folder, "merged.safetensors");
    eck_adapter_outcome outcome = { 0 };
    eck_model *base = scene_open(t.s.in), *tuned = NULL;
    eck_adapter *named = NULL;
    const eck_adapter_base bases[] = { { NULL, base } };
    eck_convert_options convert = ECK_CONVERT_OPTIONS_INIT;
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    eck_extract_options extract = ECK_EXTRACT_OPTIONS_INIT;
    int64_t rank;

    convert.bases = bases;
    convert.base_count = 1;
    convert.write.path = peft;
    OK(eck_adapter_convert(&outcome, t.opened, &convert, err_));
    eck_adapter_outcome_clear(&outcome);
    double *one = change_of(t.adapter, &rank), *other = change_of(peft, &rank);
    assert_true(distance(one, other, 1) <= 4e-7);
    OK(eck_adapter_open(&named, peft, err_));
    assert_string_equal(eck_adapter_get_module(named, 0)->name, "a.query");

    const eck_weighted_adapter term = { named, 0.125 };
    const eck_adapter_sum sum = { &term, 1 };
    write.path = merged;
    OK(eck_adapter_merge(&outcome, base, &sum, &write, NULL, err_));
    eck_adapter_outcome_clear(&outcome);
    tuned = scene_open(merged);
    extract.budget.rank = RANK;
    extract.write.path = back;
    OK(eck_adapter_extract(&outcome, base, tuned, &extract, NULL, err_));
    eck_adapter_outcome_clear(&outcome);
    free(other);
    other = change_of(back, &rank);
    assert_int_equal(rank, RANK);
    // Weights of about 1 are rounded to F32 when merged; the change is an eighth of that size: 1e-6 covers both.
    assert_true(distance(other, one, 0.125) <= 1e-5);
    REFUSED(ECK_E_NOTHING, "", eck_adapter_extract(&outcome, base, base, &extract, NULL, err_));
    eck_adapter_close(named);
    eck_model_close(tuned);
    eck_model_close(base);
    free(one);
    free(other);
    free(peft);
    free(back);
    free(merged);
    take_down(&t);
}

static void new_adapters_begin_at_nothing(void **state)
{
    (void)state;
    stage_set t = set_up();
    char *fresh = fixture_path(t.s.folder, "fresh");
    eck_adapter_outcome outcome = { 0 };
    eck_init_options options = ECK_INIT_OPTIONS_INIT;
    eck_model *base = scene_open(t.s.in);
    const char *const include[] = { "a.query" };
    eck_selection selection = ECK_SELECTION_INIT;
    int64_t rank;
    selection.include = include;
    selection.include_count = 1;
    OK(eck_model_select(base, &selection, err_));
    options.write.path = fresh;
    OK(eck_adapter_init(&outcome, base, &options, NULL, err_));
    double *change = change_of(fresh, &rank);
    assert_int_equal(rank, 8);
    for (int i = 0; i < OUT * IN; i++)
        assert_true(change[i] == 0); // last starts at 0
    free(change);
    eck_adapter_outcome_clear(&outcome);
    eck_model_close(base);
    free(fresh);
    take_down(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kohya_file_is_read),
        cmocka_unit_test(resizing_is_exact),
        cmocka_unit_test(sums_and_comparisons),
        cmocka_unit_test(broken_ones_are_refused),
        cmocka_unit_test(there_and_back_through_a_base),
        cmocka_unit_test(new_adapters_begin_at_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
