// CP, with the loops of cp_als.c and the smaller terms of cp_shrink.c. Known tensors are found again; errors are those of
// a reconstruction by definition.
#include "decompose/cp_parts.h"
#include "tensors_made.h"

static eck_cp *cp_of(const eck_array *x, const eck_cp_options *options)
{
    eck_cp *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_cp_compute(&out, eck_array_view(x), options, NULL, &err), &err);
    return out;
}

/** sum_r weights[r] prod factors, element by element. */
static eck_array *sum_of_terms(const eck_cp *cp)
{
    eck_array *out = NULL, *wide[ECK_DIMS_MAX];
    eck_error err = ECK_ERROR_INIT;

    good(eck_array_create(&out, ECK_DTYPE_F64, cp->ndim, cp->shape, &err), &err);
    for (int32_t n = 0; n < cp->ndim; n++)
        wide[n] = widened(cp->factors[n]);
    for (int64_t i = 0; i < eck_array_count(out); i++)
        for (int64_t r = 0; r < cp->rank; r++) {
            double product = ((double *)cp->weights->data)[r];
            int64_t rest = i;
            for (int32_t n = cp->ndim - 1; n >= 0; n--) {
                product *= ((double *)wide[n]->data)[rest % cp->shape[n] * cp->rank + r];
                rest /= cp->shape[n];
            }
            ((double *)out->data)[i] += product;
        }
    for (int32_t n = 0; n < cp->ndim; n++)
        eck_array_free(wide[n]);
    return out;
}

static void terms_are_found_again(void **state)
{
    (void)state;
    const int64_t shapes[][4] = { { 9, 8, 7, 1 }, { 6, 5, 4, 7 }, { 12, 10, 3, 3 } };
    const int32_t ndims[] = { 3, 4, 4 };

    for (int k = 0; k < 3; k++) {
        eck_array *x = low_rank_tensor(ECK_DTYPE_F64, ndims[k], shapes[k], 4, 31 + (uint64_t)k);
        eck_cp_options o = ECK_CP_OPTIONS_INIT;
        o.rank = 4;
        o.restarts = 3;
        o.iterations = 3000;
        o.tolerance = 1e-15;
        o.slack = 0.0;
        eck_cp *cp = cp_of(x, &o);
        // Four random terms are unique; ALS converges linearly to them, until an iteration changes the squared error by
        // less than 1e-15.
        at_most("known terms", cp->certificate.error, 1e-5);
        eck_array *made = NULL, *sum = sum_of_terms(cp);
        eck_error err = ECK_ERROR_INIT;
        good(eck_cp_reconstruct(&made, cp, NULL, &err), &err);
        at_most("reconstruction", distance(sum, made), 100.0 * 0x1p-53 * 10.0);
        eck_array_free(sum);
        eck_array_free(made);
        eck_cp_free(cp);
        eck_array_free(x);
    }
}

static void what_is_said_is_so(void **state)
{
    (void)state;
    const int64_t shape[] = { 7, 6, 5, 4 };
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, shape, 41);

    for (int64_t rank = 1; rank < 20; rank += 6) {
        eck_cp_options o = ECK_CP_OPTIONS_INIT;
        o.rank = rank;
        o.store = ECK_DTYPE_F64;
        eck_cp *cp = cp_of(x, &o);
        eck_array *sum = sum_of_terms(cp);
        const double found = distance(x, sum), *w = cp->weights->data;
        // The fit knows its squared error from inner products, to a few roundings times its degeneracy.
        at_most("error as said", fabs(found - cp->error), 1e-11 * cp->degeneracy_before);
        assert_true(cp->certificate.error_low <= found && found <= cp->certificate.error_high);
        double terms = 0.0, whole = 0.0;
        for (int64_t r = 0; r < rank; r++) {
            terms += w[r] * w[r];
            assert_true(w[r] >= 0.0 && (r == 0 || w[r] <= w[r - 1]));
        }
        for (int64_t i = 0; i < eck_array_count(sum); i++)
            whole += ((double *)sum->data)[i] * ((double *)sum->data)[i];
        at_most("degeneracy", fabs(terms / whole / cp->degeneracy - 1.0), 1e-9);
        eck_array_free(sum);
        eck_cp_free(cp);
    }
    eck_array_free(x);
}

static void smaller_terms(void **state)
{
    (void)state;
    // Noise has no few terms: those that are fitted cancel each other.
    const int64_t shape[] = { 7, 9, 11, 5 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, shape, 42);
    eck_cp_options o = ECK_CP_OPTIONS_INIT;

    o.rank = 20;
    o.slack = 0.0;
    o.store = ECK_DTYPE_F64;
    eck_cp *raw = cp_of(x, &o);
    o.slack = 0.01;
    eck_cp *kept = cp_of(x, &o);
    assert_true(raw->degeneracy > 10.0); // above which terms are made smaller
    assert_true(raw->degeneracy == raw->degeneracy_before);
    assert_true(kept->degeneracy_before == raw->degeneracy);
    assert_true(kept->degeneracy < 0.2 * raw->degeneracy);
    // The bound is met in the squared error, which inner products give to 1e-15 or so.
    at_most("error bound", kept->certificate.error, 1.01 * raw->certificate.error * (1.0 + 1e-9));
    eck_cp_free(kept);
    eck_cp_free(raw);
    eck_array_free(x);
}

static void starts(void **state)
{
    (void)state;
    const int64_t shape[] = { 6, 7, 5 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, 3, shape, 43);
    eck_cp_options o = ECK_CP_OPTIONS_INIT;
    double before = 1.0;

    o.rank = 6;
    o.slack = 0.0;
    for (o.restarts = 0; o.restarts < 4; o.restarts++) {
        eck_cp *cp = cp_of(x, &o), *again = cp_of(x, &o);
        assert_true(cp->error <= before);
        assert_true(cp->start <= o.restarts);
        assert_int_equal(memcmp(cp->factors[1]->data, again->factors[1]->data,
                                (size_t)eck_array_count(cp->factors[1]) * sizeof(double)),
                         0);
        before = cp->error;
        eck_cp_free(again);
        eck_cp_free(cp);
    }
    eck_array_free(x);
}

static void zeros_and_refusals(void **state)
{
    (void)state;
    const int64_t shape[] = { 3, 4, 2 };
    eck_array *x = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_cp_options o = ECK_CP_OPTIONS_INIT;
    eck_cp *out = NULL;

    good(eck_array_create(&x, ECK_DTYPE_F32, 3, shape, &err), &err);
    o.rank = 5;
    eck_cp *cp = cp_of(x, &o);
    assert_true(cp->error == 0.0 && cp->certificate.error == 0.0 && cp->degeneracy == 1.0);
    eck_cp_free(cp);
    o.rank = 0;
    assert_int_equal(eck_cp_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    o.rank = 2;
    o.iterations = 0;
    assert_int_equal(eck_cp_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    o.iterations = 5;
    o.slack = -1.0;
    assert_int_equal(eck_cp_compute(&out, eck_array_view(x), &o, NULL, &err), ECK_E_RANGE);
    assert_null(out);
    eck_array_free(x);
}

/** Large enough for products in F32. */
static eck_array *large_tensor(int64_t rank, uint64_t seed)
{
    const int64_t shape[] = { 120, 110, 80 };
    return rank > 0 ? low_rank_tensor(ECK_DTYPE_F32, 3, shape, rank, seed)
                    : random_tensor(ECK_DTYPE_F32, 3, shape, seed);
}

static void products_in_floats_end_in_doubles(void **state)
{
    (void)state;
    eck_array *noise = large_tensor(0, 51), *known = large_tensor(4, 52);
    eck_cp_options o = ECK_CP_OPTIONS_INIT;

    o.rank = 4;
    o.store = ECK_DTYPE_F64;
    o.slack = 0.0;
    // At the tolerance, and where iterations run out.
    for (o.iterations = 200; o.iterations > 0; o.iterations /= 15) {
        eck_cp *cp = cp_of(noise, &o);
        // An inner product of 1e6 numbers in F64: sqrt(1e6) roundings. One in F32 is off by 1e-9 and more.
        at_most("error as said", fabs(cp->certificate.error - cp->error),
                1e3 * 0x1p-53 * cp->degeneracy);
        eck_cp_free(cp);
    }
    o.iterations = 300;
    o.tolerance = 1e-14;
    eck_cp *cp = cp_of(known, &o);
    // Numbers of the tensor are rounded to 2^-24 of themselves; what ALS leaves at that tolerance is as much again.
    at_most("known terms", cp->certificate.error, 2.0 * 0x1p-24);
    eck_cp_free(cp);
    eck_array_free(known);
    eck_array_free(noise);
}

static void no_float_overflows(void **state)
{
    (void)state;
    eck_array *x = large_tensor(0, 53);
    eck_cp_options o = ECK_CP_OPTIONS_INIT;

    o.rank = 5;
    o.iterations = 20;
    eck_cp *once = cp_of(x, &o);
    for (int64_t i = 0; i < eck_array_count(x); i++)
        ((float *)x->data)[i] *= 0x1p120F;
    eck_cp *scaled = cp_of(x, &o);
    // a power of two changes no digit
    at_most("error of large numbers", fabs(once->error - scaled->error), 0.0);
    eck_cp_free(scaled);
    eck_cp_free(once);
    eck_array_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_found_again),
        cmocka_unit_test(what_is_said_is_so),
        cmocka_unit_test(smaller_terms),
        cmocka_unit_test(starts),
        cmocka_unit_test(zeros_and_refusals),
        cmocka_unit_test(no_float_overflows),
        cmocka_unit_test(products_in_floats_end_in_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
