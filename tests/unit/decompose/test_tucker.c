// Tucker, with the parts it is made of: mode_cut.c, hooi.c and stored.c. Errors against a reconstruction by definition.
#include "tensors_made.h"

static const int64_t SHAPE[] = { 6, 9, 4, 7 };

static eck_tucker *tucker_of(const eck_array *x, const eck_tucker_options *options)
{
    eck_tucker *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_tucker_compute(&out, eck_array_view(x), options, NULL, &err), &err);
    return out;
}

/** Relative distance of the tensor from what is stored. */
static double true_error(const eck_array *x, const eck_tucker *t)
{
    eck_array *made = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_tucker_reconstruct(&made, t, NULL, &err), &err);
    const double error = distance(x, made);
    eck_array_free(made);
    return error;
}

static void given_ranks(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };

    for (int k = 0; k < 3; k++) {
        eck_array *x = random_tensor(types[k], 4, SHAPE, 11);
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        const int64_t ranks[] = { 3, 5, 99, 4 };
        memcpy(o.ranks, ranks, sizeof ranks);
        o.store = ECK_DTYPE_F64;
        eck_tucker *t = tucker_of(x, &o);
        assert_true(t->ranks[0] == 3 && t->ranks[1] == 5 && t->ranks[2] == 4 && t->ranks[3] == 4);
        double sum = 0.0;
        for (int n = 0; n < 4; n++) {
            sum += t->tails[n] * t->tails[n];
            // Orthonormal to a few roundings a column.
            at_most("orthonormal", off_orthonormal(t->factors[n]), 64.0 * 0x1p-53);
        }
        const double found = true_error(x, t);
        // Tails come from Grams (an error of about n u in the square, n = 9) and the squares add up.
        at_most("error identity", fabs(sqrt(sum) - found), 100.0 * 0x1p-53 / found);
        at_most("truncated", fabs(t->truncated - found), 100.0 * 0x1p-53 / found);
        assert_true(t->certificate.error_low <= found && found <= t->certificate.error_high);
        eck_tucker_free(t);
        eck_array_free(x);
    }
}

static void sweeps_lower_the_error(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, SHAPE, 12);
    eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
    double before = 1.0;

    for (int n = 0; n < 4; n++)
        o.ranks[n] = 3;
    o.store = ECK_DTYPE_F64;
    o.tolerance = 0.0;
    for (o.sweeps = 0; o.sweeps < 8; o.sweeps++) {
        eck_tucker *t = tucker_of(x, &o);
        assert_int_equal(t->sweeps, o.sweeps);
        const double found = true_error(x, t);
        at_most("error as said", fabs(found - t->error), 1e-13);
        assert_true(found <= before + 1e-13);
        if (o.sweeps == 7) assert_true(found < t->truncated - 1e-3);
        before = found;
        eck_tucker_free(t);
    }
    eck_array_free(x);
}

// Sums in F32 where factors are stored in it, of numbers that lie every way: as they do in F64, but for rounding. The
// squared norm of a core whose sums of at most 9 numbers are rounded is off by 2 (9 + 2) 2^-24 sqrt(3) of that of X, and so
// is the square of the error; storing moves the product by 2^-24 for each of five factors.
static void narrow_sweeps(void **state)
{
    (void)state;
    const double rounding = (2.0 * 11.0 * 1.8 + 5.0) * 0x1p-24;
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16 };
    for (int k = 0; k < 4; k++) {
        eck_array *x = random_tensor(types[k % 2], 4, SHAPE, 12);
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tucker *t[2];
        for (int n = 0; n < 4; n++)
            o.ranks[n] = 3;
        o.keep = k < 2 ? 0 : 12; // as of a convolution
        o.tolerance = 0.0;
        o.sweeps = 4;
        for (int i = 0; i < 2; i++) {
            o.store = i ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
            t[i] = tucker_of(x, &o);
        }
        const double found = true_error(x, t[1]);
        at_most("as in F64", fabs(found - t[0]->error), 4.0 * rounding / found); // a sweep
        at_most("as said", fabs(found - t[1]->error), rounding / found);
        assert_true(t[1]->error != t[0]->error);
        assert_true(t[1]->certificate.error_low <= found && found <= t[1]->certificate.error_high);
        eck_tucker_free(t[0]);
        eck_tucker_free(t[1]);
        eck_array_free(x);
    }
}

// Where F32 might not hold a sum, or lose it, sweeps are in F64: as where factors of F64 are asked for, to the last bit.
static void sweeps_beyond_f32(void **state)
{
    (void)state;
    const double scales[] = { 0x1p118, 0x1p-70 };
    for (int k = 0; k < 2; k++) {
        eck_array *x = random_tensor(ECK_DTYPE_F32, 4, SHAPE, 12);
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tucker *t[2];
        float *const numbers = x->data;
        for (int64_t i = 0; i < eck_array_count(x); i++)
            numbers[i] *= (float)scales[k];
        for (int n = 0; n < 4; n++)
            o.ranks[n] = 3;
        o.sweeps = 2;
        for (int i = 0; i < 2; i++) {
            o.store = i ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
            t[i] = tucker_of(x, &o);
        }
        assert_true(t[0]->error == t[1]->error && t[0]->error < t[0]->truncated);
        eck_tucker_free(t[0]);
        eck_tucker_free(t[1]);
        eck_array_free(x);
    }
}

static void rules(void **state)
{
    (void)state;
    const int64_t shape[] = { 20, 24, 18 };
    eck_array *x = random_tensor(ECK_DTYPE_F32, 3, shape, 13);
    eck_array *low = low_rank_tensor(ECK_DTYPE_F64, 3, shape, 3, 14);
    double *a = low->data, size = 0.0;
    eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;

    o.rule = ECK_RULE_ERROR;
    for (o.target = 0.1; o.target < 1.0; o.target += 0.2) {
        eck_tucker *t = tucker_of(x, &o);
        assert_true(true_error(x, t) <= o.target);
        eck_tucker_free(t);
    }
    o.rule = ECK_RULE_ENERGY;
    o.target = 0.8;
    eck_tucker *t = tucker_of(x, &o);
    for (int n = 0; n < 3; n++)
        assert_true(t->tails[n] * t->tails[n] <= 0.2);
    eck_tucker_free(t);
    for (int64_t i = 0; i < eck_array_count(low); i++)
        size += a[i] * a[i];
    // Three terms that stand far above noise of a hundredth of their size.
    size = 0.01 * sqrt(size / (double)eck_array_count(low));
    for (int64_t i = 0; i < eck_array_count(low); i++)
        a[i] += size * ecki_random_normal(15, 1, (uint64_t)i);
    const eck_rule noise[] = { ECK_RULE_EVBMF, ECK_RULE_HARD_THRESHOLD };
    for (int k = 0; k < 2; k++) {
        o.rule = noise[k];
        t = tucker_of(low, &o);
        assert_true(t->ranks[0] == 3 && t->ranks[1] == 3 && t->ranks[2] == 3);
        eck_tucker_free(t);
    }
    eck_array_free(low);
    eck_array_free(x);
}

static void kept_modes(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, SHAPE, 16);

    for (uint32_t keep = 0; keep < 16; keep++) {
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        for (int n = 0; n < 4; n++)
            o.ranks[n] = 3;
        o.keep = keep;
        o.sweeps = 2;
        eck_tucker *t = tucker_of(x, &o);
        for (int n = 0; n < 4; n++) {
            assert_true((t->factors[n] == NULL) == (keep >> n & 1u));
            assert_int_equal(t->ranks[n], t->factors[n] ? 3 : SHAPE[n]);
        }
        at_most("error as said", fabs(true_error(x, t) - t->error), keep == 15 ? 1e-14 : 1e-13);
        eck_tucker_free(t);
    }
    eck_array_free(x);
}

static void extremes(void **state)
{
    (void)state;
    const int64_t shape[] = { 3, 4, 5 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, 3, shape, 17);
    eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
    const double scales[] = { 0.0, 0x1p-1000, 0x1p1000 };
    double *numbers = x->data;
    double kept[60];

    memcpy(kept, numbers, sizeof kept);
    for (int n = 0; n < 3; n++)
        o.ranks[n] = 2;
    o.sweeps = 3;
    eck_tucker *plain = tucker_of(x, &o);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 60; i++)
            numbers[i] = kept[i] * scales[k];
        eck_tucker *t = tucker_of(x, &o);
        if (k > 0) at_most("scaled", fabs(t->error - plain->error), 1e-14);
        if (k == 0) assert_true(t->error == 0.0 && t->certificate.error == 0.0);
        eck_tucker_free(t);
    }
    eck_tucker_free(plain);
    eck_array_free(x);
}

static void refused(void **state)
{
    (void)state;
    const int64_t shape[] = { 3, 4 }, empty[] = { 3, 0 };
    eck_array *x = random_tensor(ECK_DTYPE_F32, 2, shape, 18);
    eck_array *none = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_tucker *out = NULL;
    eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
    const eck_view view = eck_array_view(x);
    eck_view line = view;

    good(eck_array_create(&none, ECK_DTYPE_F32, 2, empty, &err), &err);
    line.ndim = 1;
    assert_int_equal(eck_tucker_compute(&out, line, &o, NULL, &err), ECK_E_SHAPE);
    assert_int_equal(eck_tucker_compute(&out, eck_array_view(none), &o, NULL, &err), ECK_E_SHAPE);
    o.keep = 4;
    assert_int_equal(eck_tucker_compute(&out, view, &o, NULL, &err), ECK_E_RANGE);
    eck_tucker_options_init(&o);
    o.ranks[1] = -1;
    assert_int_equal(eck_tucker_compute(&out, view, &o, NULL, &err), ECK_E_RANGE);
    eck_tucker_options_init(&o);
    o.rule = ECK_RULE_THIN;
    assert_int_equal(eck_tucker_compute(&out, view, &o, NULL, &err), ECK_E_RANGE);
    eck_tucker_options_init(&o);
    o.store = ECK_DTYPE_I8;
    assert_int_equal(eck_tucker_compute(&out, view, &o, NULL, &err), ECK_E_RANGE);
    ((float *)x->data)[5] = INFINITY;
    assert_int_equal(eck_tucker_compute(&out, view, NULL, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 5);
    assert_null(out);
    eck_array_free(none);
    eck_array_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_ranks),   cmocka_unit_test(sweeps_lower_the_error),
        cmocka_unit_test(narrow_sweeps), cmocka_unit_test(sweeps_beyond_f32),
        cmocka_unit_test(rules),         cmocka_unit_test(kept_modes),
        cmocka_unit_test(extremes),      cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
