// The fit as a whole: what it hands out, what it refuses, and that bytes depend on options alone.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "eckart/als.h"

enum { ROWS = 67, COLS = 50 };

typedef struct made {
    double a[ROWS * COLS], weights[ROWS * COLS];
    unsigned char mask[ROWS * COLS];
    eck_operator *matrix, *mask_of, *weights_of;
    eck_error err;
} made;

static eck_operator *dense(const void *data, eck_dtype dtype, int64_t rows, int64_t cols)
{
    eck_operator *out = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_dense(&out, eck_view_matrix(data, dtype, rows, cols), &err),
                     ECK_OK);
    return out;
}

static void open_made(made *m)
{
    ecki_random_fill_normal(m->a, ROWS * COLS, 9, 1, 0);
    for (int i = 0; i < ROWS * COLS; i++) {
        m->mask[i] = ecki_random_uniform(9, 2, (uint64_t)i) < 0.5;
        m->weights[i] = m->mask[i];
    }
    m->matrix = dense(m->a, ECK_DTYPE_F64, ROWS, COLS);
    m->mask_of = dense(m->mask, ECK_DTYPE_BOOL, ROWS, COLS);
    m->weights_of = dense(m->weights, ECK_DTYPE_F64, ROWS, COLS);
    m->err = (eck_error)ECK_ERROR_INIT;
}

static void clear_made(made *m)
{
    eck_operator_free(m->matrix);
    eck_operator_free(m->mask_of);
    eck_operator_free(m->weights_of);
}

static eck_als_options options_of(eck_engine engine, int64_t rank, int64_t iterations)
{
    eck_als_options options;
    eck_als_options_init(&options);
    options.engine = engine;
    options.rank = rank;
    options.iterations = iterations;
    return options;
}

static eck_als *fit(made *m, const eck_als_options *options, int32_t threads)
{
    eck_als *als = NULL;
    eck_context context = ECK_CONTEXT_INIT;
    context.threads = threads;
    const eck_status status = eck_als_compute(&als, m->matrix, options, &context, &m->err);
    if (status != ECK_OK) print_error("%s\n", m->err.message);
    assert_int_equal(status, ECK_OK);
    return als;
}

static void same_bytes(const eck_als *a, const eck_als *b)
{
    const size_t size = (size_t)eck_dtype_bits(a->first->dtype) / 8;
    assert_memory_equal(a->first->data, b->first->data, (size_t)eck_array_count(a->first) * size);
    assert_memory_equal(a->last->data, b->last->data, (size_t)eck_array_count(a->last) * size);
    assert_int_equal(a->iterations, b->iterations);
    assert_memory_equal(a->objective->data, b->objective->data,
                        (size_t)a->iterations * sizeof(double));
    assert_memory_equal(&a->certificate, &b->certificate, sizeof a->certificate);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    for (int trial = 0; trial < 6; trial++) {
        eck_als_options options =
            options_of(trial & 1 ? ECK_ENGINE_GRADIENT : ECK_ENGINE_ALS, 24, 12);
        if (trial / 2 == 1) options.mask = m.mask_of;
        if (trial / 2 == 2) options.weights = m.weights_of;
        eck_als *const one = fit(&m, &options, 1), *const three = fit(&m, &options, 3);
        same_bytes(one, three);
        assert_true(one->reproducible);
        eck_als_free(one);
        eck_als_free(three);
    }
    clear_made(&m);
}

static void weights_of_0_and_1_are_a_mask(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    for (int e = 0; e < 2; e++) {
        eck_als_options options = options_of(e ? ECK_ENGINE_GRADIENT : ECK_ENGINE_ALS, 4, 30);
        options.mask = m.mask_of;
        eck_als *const masked = fit(&m, &options, 0);
        options.mask = NULL;
        options.weights = m.weights_of;
        eck_als *const weighted = fit(&m, &options, 0);
        // Both are the same sums of the same numbers; the bound of reading knows of a product more.
        weighted->certificate = masked->certificate;
        same_bytes(masked, weighted);
        eck_als_free(masked);
        eck_als_free(weighted);
    }
    clear_made(&m);
}

// 2^p A gives 2^p times the same product, bit for bit: p even, shared by both factors.
static void scale_is_exact(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    for (int e = 0; e < 4; e++) {
        eck_als_options options = options_of(e & 1 ? ECK_ENGINE_GRADIENT : ECK_ENGINE_ALS, 3, 9);
        if (e & 2) options.mask = m.mask_of;
        for (int p = -600; p <= 600; p += 400) {
            for (int i = 0; i < ROWS * COLS; i++)
                m.a[i] = ldexp(ecki_random_normal(9, 1, (uint64_t)i), p);
            eck_als *const scaled = fit(&m, &options, 1);
            ecki_random_fill_normal(m.a, ROWS * COLS, 9, 1, 0);
            eck_als *const plain = fit(&m, &options, 1);
            const double *const x = scaled->last->data, *const y = plain->last->data;
            for (int64_t i = 0; i < ROWS * 3; i++)
                assert_true(x[i] == ldexp(y[i], p / 2));
            assert_true(scaled->certificate.error == plain->certificate.error);
            eck_als_free(scaled);
            eck_als_free(plain);
        }
    }
    clear_made(&m);
}

// More unknowns than entries, rows and columns without any, rank as large as it can be: finite numbers, zeros where
// nothing is known, and an objective that never rises.
static void never_nan(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    for (int i = 0; i < ROWS * COLS; i++)
        m.mask[i] = ecki_random_uniform(9, 3, (uint64_t)i) < 0.03;
    memset(m.mask + 5 * COLS, 0, COLS);
    for (int i = 0; i < ROWS; i++)
        m.mask[i * COLS + 7] = 0;
    for (int trial = 0; trial < 8; trial++) {
        eck_als_options options =
            options_of(trial & 1 ? ECK_ENGINE_GRADIENT : ECK_ENGINE_ALS, trial & 2 ? COLS : 9, 40);
        options.mask = m.mask_of;
        options.ridge = trial & 4 ? 0.01 : 0.0;
        eck_als *const als = fit(&m, &options, 0);
        const double *const first = als->first->data, *const last = als->last->data;
        assert_true(als->empty_rows >= 1 && als->empty_cols >= 1);
        for (int64_t i = 0; i < eck_array_count(als->first); i++)
            assert_true(isfinite(first[i]));
        for (int64_t i = 0; i < eck_array_count(als->last); i++)
            assert_true(isfinite(last[i]));
        for (int64_t l = 0; l < options.rank; l++)
            assert_true(last[5 * options.rank + l] == 0.0 && first[l * COLS + 7] == 0.0);
        const double *const value = als->objective->data;
        for (int64_t t = 1; t < als->iterations; t++) // but for rounding: an element is off by k u
            assert_true(sqrt(value[t]) <= sqrt(value[t - 1]) + 4.0 * (COLS + 8) * 0x1p-53);
        eck_als_free(als);
    }
    clear_made(&m);
}

// A rank above that of A, a constant matrix, and zeros.
static void degenerate(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    for (int trial = 0; trial < 8; trial++) {
        eck_als_options options =
            options_of(trial & 1 ? ECK_ENGINE_GRADIENT : ECK_ENGINE_ALS, 6, trial & 1 ? 3000 : 100);
        if (trial & 2) options.mask = m.mask_of;
        for (int i = 0; i < ROWS * COLS; i++)
            m.a[i] = trial & 4 ? 0.0 : 3.0;
        eck_als *const als = fit(&m, &options, 0);
        assert_true(als->converged);
        // Where normal equations are trusted, to pivots of 2^-20, an error E of the Gram matrix G costs the residual
        // || E || / (2^-10 || G ||), and solving by Cholesky is an error of k (3 k + 1) u || G || (Higham, Accuracy and
        // Stability of Numerical Algorithms, theorem 10.4).
        assert_true(als->certificate.error <= 6 * (3 * 6 + 1) * 0x1p-53 / 0x1p-10);
        assert_int_equal(als->iterations == 0, (trial & 4) != 0);
        for (int64_t i = 0; i < ROWS * 6; i++)
            assert_true(isfinite(((double *)als->last->data)[i]));
        eck_als_free(als);
    }
    clear_made(&m);
}

static void expect(made *m, const eck_als_options *options, eck_status status, const char *words)
{
    eck_als *als = NULL;
    assert_int_equal(eck_als_compute(&als, m->matrix, options, NULL, &m->err), status);
    assert_null(als);
    if (!strstr(m->err.message, words)) print_error("%s\n", m->err.message);
    assert_non_null(strstr(m->err.message, words));
}

static void refused(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    eck_operator *const other = dense(m.mask, ECK_DTYPE_U8, ROWS - 1, COLS);
    eck_als_options options = options_of(ECK_ENGINE_ALS, COLS + 1, 5);
    expect(&m, &options, ECK_E_RANGE, "allowed: 1 .. 50");
    options.rank = 0;
    expect(&m, &options, ECK_E_RANGE, "allowed: 1 .. 50");
    expect(&m, NULL, ECK_E_RANGE, "allowed: 1 .. 50");
    options = options_of(ECK_ENGINE_EXACT, 3, 5);
    expect(&m, &options, ECK_E_RANGE, "als or gradient");
    options = options_of(ECK_ENGINE_ALS, 3, 0);
    expect(&m, &options, ECK_E_RANGE, "iterations");
    options = options_of(ECK_ENGINE_ALS, 3, 5);
    options.tolerance = NAN;
    expect(&m, &options, ECK_E_RANGE, "tolerance");
    options.tolerance = 0.0;
    options.ridge = -1.0;
    expect(&m, &options, ECK_E_RANGE, "ridge");
    options.ridge = INFINITY;
    expect(&m, &options, ECK_E_RANGE, "ridge");
    options.ridge = 0.0;
    options.store = ECK_DTYPE_I8;
    expect(&m, &options, ECK_E_RANGE, "cannot be stored");
    options.store = ECK_DTYPE_NONE;
    options.version = 2;
    expect(&m, &options, ECK_E_RANGE, "version 2");
    options.version = 1;
    options.mask = other;
    expect(&m, &options, ECK_E_SHAPE, "mask '' is 66 x 50, the matrix is 67 x 50");
    options.mask = NULL;
    options.weights = other;
    expect(&m, &options, ECK_E_SHAPE, "weights '' is 66 x 50");
    options.weights = NULL;
    m.a[123] = NAN;
    expect(&m, &options, ECK_E_NONFINITE, "element 123");
    assert_int_equal(m.err.offset, 123);
    options.mask = m.mask_of;
    m.mask[123] = 1;
    expect(&m, &options, ECK_E_NONFINITE, "element 123 is observed and nan");
    eck_operator_free(other);
    clear_made(&m);
}

static bool stop_at_3(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user;
    (void)total;
    return strcmp(what, "fit") != 0 || done < 3;
}

static void cancelled_and_budget(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    eck_als *als = NULL;
    eck_context context = ECK_CONTEXT_INIT;
    const eck_als_options options = options_of(ECK_ENGINE_ALS, 3, 50);
    context.progress = stop_at_3;
    assert_int_equal(eck_als_compute(&als, m.matrix, &options, &context, &m.err), ECK_E_CANCELLED);
    context.progress = NULL;
    context.memory = 1000;
    assert_int_equal(eck_als_compute(&als, m.matrix, &options, &context, &m.err), ECK_E_BUDGET);
    assert_null(als);
    clear_made(&m);
}

static void says_whether_it_converged(void **state)
{
    (void)state;
    static made m;
    open_made(&m);
    eck_als_options options = options_of(ECK_ENGINE_ALS, 3, 2);
    eck_als *als = fit(&m, &options, 0);
    assert_false(als->converged);
    assert_int_equal(als->iterations, 2);
    eck_als_free(als);
    options.tolerance = 0.5;
    options.iterations = 50;
    als = fit(&m, &options, 0);
    assert_true(als->converged && als->iterations == 2);
    assert_int_equal(als->observed, ROWS * COLS);
    eck_als_free(als);
    clear_made(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(weights_of_0_and_1_are_a_mask),
        cmocka_unit_test(scale_is_exact),
        cmocka_unit_test(never_nan),
        cmocka_unit_test(degenerate),
        cmocka_unit_test(refused),
        cmocka_unit_test(cancelled_and_budget),
        cmocka_unit_test(says_whether_it_converged),
    };
    return cmocka_run_group_tests_name("decompose/als", tests, NULL, NULL);
}
