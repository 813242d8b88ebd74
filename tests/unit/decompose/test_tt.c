// Tensor trains against a product of cores by definition.
#include "tensors_made.h"

static const int64_t SHAPE[] = { 6, 5, 4, 7 };

static eck_tt *tt_of(const eck_array *x, const eck_tt_options *options)
{
    eck_tt *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_tt_compute(&out, eck_array_view(x), options, NULL, &err), &err);
    return out;
}

/** One element as a product of rows, matrices and a column. */
static double element(const eck_tt *t, const int64_t *at)
{
    double row[256] = { 1.0 }, next[256];
    for (int32_t n = 0; n < t->ndim; n++) {
        const eck_array *g = t->cores[n];
        const double *core = g->data;
        memset(next, 0, sizeof next);
        for (int64_t a = 0; a < g->shape[0]; a++)
            for (int64_t b = 0; b < g->shape[2]; b++)
                next[b] += row[a] * core[(a * g->shape[1] + at[n]) * g->shape[2] + b];
        memcpy(row, next, sizeof row);
    }
    return row[0];
}

static void cores(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, SHAPE, 21);
    eck_tt_options o = ECK_TT_OPTIONS_INIT;
    eck_array *made = NULL;
    eck_error err = ECK_ERROR_INIT;
    const int64_t ranks[] = { 4, 9, 5 };

    memcpy(o.ranks, ranks, sizeof ranks);
    o.store = ECK_DTYPE_F64;
    eck_tt *t = tt_of(x, &o);
    assert_true(t->ranks[0] == 4 && t->ranks[1] == 9 && t->ranks[2] == 5);
    good(eck_tt_reconstruct(&made, t, NULL, &err), &err);
    for (int64_t i = 0; i < 840; i++) {
        const int64_t at[] = { i / 140, i / 28 % 5, i / 7 % 4, i % 7 };
        // Three sums of at most 9 products.
        assert_true(fabs(((double *)made->data)[i] - element(t, at)) <= 100.0 * 0x1p-53 * 10.0);
    }
    const double found = distance(x, made);
    double sum = 0.0;
    for (int n = 0; n < 3; n++)
        sum += t->tails[n] * t->tails[n];
    at_most("error identity", fabs(sqrt(sum) - found), 100.0 * 0x1p-53 / found);
    assert_true(t->certificate.error_low <= found && found <= t->certificate.error_high);
    eck_array_free(made);
    eck_tt_free(t);
    eck_array_free(x);
}

static void rules(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, SHAPE, 22);
    eck_tt_options o = ECK_TT_OPTIONS_INIT;

    for (o.target = 0.05; o.target < 1.0; o.target += 0.2) {
        o.rule = ECK_RULE_ERROR;
        eck_tt *t = tt_of(x, &o);
        assert_true(t->certificate.error_high <= o.target + 1e-12);
        eck_tt_free(t);
        o.rule = ECK_RULE_ENERGY;
        t = tt_of(x, &o);
        assert_true(1.0 - t->truncated * t->truncated >= o.target - 1e-12);
        eck_tt_free(t);
    }
    eck_tt *full = tt_of(x, NULL);
    assert_true(full->ranks[0] == 6 && full->ranks[1] == 28 && full->ranks[2] == 7);
    at_most("full ranks", full->certificate.error, 100.0 * 0x1p-53);
    eck_tt_free(full);
    eck_array_free(x);
}

static void refused(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, SHAPE, 23);
    eck_tt_options o = ECK_TT_OPTIONS_INIT;
    eck_tt *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    o.rule = ECK_RULE_EVBMF;
    assert_int_equal(eck_tt_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    eck_tt_options_init(&o);
    o.ranks[2] = -4;
    assert_int_equal(eck_tt_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    o.ranks[2] = 0;
    o.rule = ECK_RULE_ERROR;
    o.target = 1.0;
    assert_int_equal(eck_tt_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    assert_null(out);
    eck_array_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cores), cmocka_unit_test(rules),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
