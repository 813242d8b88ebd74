// What fits found step by step must agree with: the Eckart-Young optimum, the rate of alternating least squares, soft
// thresholding for a ridge, exact recovery of missing entries, and the stationarity of weighted fits.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define U64 0x1p-53

enum { M = 48, N = 36 };

static const eck_engine ENGINES[] = { ECK_ENGINE_ALS, ECK_ENGINE_GRADIENT };

static double *normals(int64_t count, uint64_t stream)
{
    double *const x = test_malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = normal_number(stream, (uint64_t)i);
    return x;
}

// U diag(values) V^T with orthonormal factors of a normal matrix; count values, the rest 0.
static subject with_values(const double *values, int64_t count, uint64_t stream)
{
    subject normal, out;
    double *const numbers = normals(M * N, stream);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    assert_true(subject_of(&normal, numbers, M, N, ECK_DTYPE_F64));
    eck_svd *const svd = svd_of(normal.op, &options);
    const double *const u = svd->u->data, *const v = svd->v->data;
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            numbers[i * N + j] = 0.0;
            for (int64_t c = 0; c < count; c++)
                numbers[i * N + j] += u[i * N + c] * values[c] * v[j * N + c];
        }
    assert_true(subject_of(&out, numbers, M, N, ECK_DTYPE_F64));
    eck_svd_free(svd);
    subject_clear(&normal);
    test_free(numbers);
    return out;
}

static eck_als *fit_of(const subject *a, const eck_als_options *options)
{
    eck_error err = ECK_ERROR_INIT;
    eck_als *als = NULL;
    must(eck_als_compute(&als, a->op, options, NULL, &err), &err);
    return als;
}

static eck_als_options options_of(eck_engine engine, int64_t rank)
{
    eck_als_options options = ECK_ALS_OPTIONS_INIT;
    options.engine = engine;
    options.rank = rank;
    return options;
}

// A - last first, entry by entry.
static double *rest_of(const subject *a, const eck_als *als)
{
    double *const rest = test_malloc((size_t)(a->m * a->n) * sizeof *rest);
    double *const first = wide_of(als->first), *const last = wide_of(als->last);
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            double sum = a->wide[i * a->n + j];
            for (int64_t l = 0; l < als->rank; l++)
                sum -= last[i * als->rank + l] * first[l * a->n + j];
            rest[i * a->n + j] = sum;
        }
    test_free(first);
    test_free(last);
    return rest;
}

// With a gap both engines reach the optimum. An iteration that changes the objective by less than d leaves at most
// d q / (1 - q) of excess when it falls by q; the goal, 1e-6 of the error, leaves room for q up to 0.9999.
static void eckart_young_optimum(void **state)
{
    (void)state;
    double values[N];
    for (int trial = 0; trial < 24; trial++) {
        const double ratio = 0.5 + 0.1 * (trial % 4);
        for (int i = 0; i < N; i++)
            values[i] = pow(ratio, i);
        const int64_t k = 1 + trial % 6;
        subject a = with_values(values, N, (uint64_t)trial);
        const double tail = norm_of(values + k, N - k) / norm_of(values, N);
        for (int e = 0; e < 2; e++) {
            eck_als_options options = options_of(ENGINES[e], k);
            options.seed = (uint64_t)trial;
            eck_als *const als = fit_of(&a, &options);
            double *const rest = rest_of(&a, als);
            const double error = norm_of(rest, M * N) / norm_of(values, N);
            assert_true(als->converged);
            hold("excess over the optimum", eck_engine_name(ENGINES[e]), error / tail - 1.0, 1e-6);
            // Values of a matrix whose excess is e^2 - t^2 are off by no more than its root (Weyl, after Eckart-Young).
            for (int64_t i = 0; i < k; i++)
                hold("singular values of the product", eck_engine_name(ENGINES[e]),
                     fabs(((const double *)als->values->data)[i] - values[i]), 1e-3 * tail + 1e-12);
            test_free(rest);
            eck_als_free(als);
        }
        subject_clear(&a);
    }
}

// A sweep multiplies the tangents of all angles to the leading subspace by at most (s_{k+1} / s_k)^2, and the excess of
// the objective is quadratic in them: it falls by the fourth power, and no faster where that value stands alone.
static void rate_of_alternating(void **state)
{
    (void)state;
    for (int trial = 0; trial < 8; trial++) {
        const double ratio = 0.6 + 0.04 * trial, q = pow(ratio, 4);
        const double values[] = { 4.0, 2.0, 1.0, ratio, 0.1, 0.05 };
        const int64_t k = 3;
        subject a = with_values(values, 6, (uint64_t)(40 + trial));
        eck_als_options options = options_of(ECK_ENGINE_ALS, k);
        options.tolerance = 0.0;
        options.iterations = 60;
        eck_als *const als = fit_of(&a, &options);
        const double *const value = als->objective->data, norm = norm_of(values, 6);
        const double tail = norm_of(values + k, 6 - k) / norm, best = tail * tail;
        int seen = 0;
        for (int64_t t = 1; t < als->iterations; t++) {
            const double before = value[t - 1] - best, after = value[t] - best;
            // Below 1e-3 the angles are small enough for squares; above 1e-9 rounding is not seen.
            if (before > 1e-3 * best || after < 1e-9 * best) continue;
            hold("fall of the excess in a sweep", "at most the fourth power", after / before,
                 1.01 * q);
            if (seen++ > 2)
                hold("the fourth power", "at most the fall, and a part", q, 1.1 * after / before);
        }
        assert_true(seen >= 3);
        eck_als_free(als);
        subject_clear(&a);
    }
}

// min ||A - U V^T||^2 + l (||U||^2 + ||V||^2) is min ||A - X||^2 + 2 l ||X||_*: values s_i become max(s_i - l, 0).
static void ridge_is_soft_thresholding(void **state)
{
    (void)state;
    double values[N];
    for (int i = 0; i < N; i++)
        values[i] = pow(0.75, i);
    subject a = with_values(values, N, 60);
    for (int e = 0; e < 2; e++)
        for (int trial = 0; trial < 3; trial++) {
            eck_als_options options = options_of(ENGINES[e], 6);
            options.ridge = 0.26 + 0.1 * trial; // above s_6, so that rank 6 is no bound
            options.tolerance = 1e-15;
            options.iterations = 5000;
            eck_als *const als = fit_of(&a, &options);
            const double *const found = als->values->data;
            const double excess = 1e-13 * pow(norm_of(values, N), 2);
            for (int64_t i = 0; i < 6; i++)
                // f(X) - f(X*) >= ||X - X*||^2 >= (difference of values)^2; rounding is 1e-13 of f at the most
                hold("soft thresholding", eck_engine_name(ENGINES[e]),
                     fabs(found[i] - fmax(0.0, values[i] - options.ridge)), sqrt(excess));
            eck_als_free(als);
        }
    subject_clear(&a);
}

// A mask of the given part of ones.
static subject mask_of(int64_t m, int64_t n, double part, uint64_t stream)
{
    subject out;
    double *const numbers = test_malloc((size_t)(m * n) * sizeof *numbers);
    for (int64_t i = 0; i < m * n; i++)
        numbers[i] = uniform_number(stream, (uint64_t)i) < part;
    assert_true(subject_of(&out, numbers, m, n, ECK_DTYPE_F32));
    test_free(numbers);
    return out;
}

// A matrix of rank 3 from 60 % of its entries: what was hidden, NaN in the matrix given, comes back. The systems' condition
// is below 1e5 here, so that rounding of the observed entries comes back below 1e5 * (k + 8) u.
static void hidden_entries_return(void **state)
{
    (void)state;
    const double values[] = { 3.0, 2.0, 1.5 };
    for (int trial = 0; trial < 10; trial++) {
        subject a = with_values(values, 3, (uint64_t)(70 + trial));
        subject mask = mask_of(M, N, 0.6, (uint64_t)(90 + trial)), holed;
        double *const numbers = test_malloc((size_t)(M * N) * sizeof *numbers);
        for (int64_t i = 0; i < M * N; i++)
            numbers[i] = mask.wide[i] != 0.0 ? a.wide[i] : 0.0;
        assert_true(subject_of(&holed, numbers, M, N, ECK_DTYPE_F64));
        double *const stored = holed.array->data;
        for (int64_t i = 0; i < M * N; i++)
            if (mask.wide[i] == 0.0) stored[i] = i % 2 ? NAN : INFINITY;
        for (int e = 0; e < 2; e++) {
            eck_als_options options = options_of(ENGINES[e], 3);
            options.mask = mask.op;
            options.seed = (uint64_t)trial;
            options.iterations = 5000;
            eck_als *const als = fit_of(&holed, &options);
            double *const rest = rest_of(&a, als);
            assert_true(als->converged);
            hold("error of hidden and seen entries", eck_engine_name(ENGINES[e]),
                 norm_of(rest, M * N) / norm_of(values, 3), 1e5 * 11.0 * U64);
            test_free(rest);
            eck_als_free(als);
        }
        subject_clear(&holed);
        subject_clear(&mask);
        subject_clear(&a);
        test_free(numbers);
    }
}

// At the end of a weighted fit the gradient vanishes: || grad ||^2 <= 2 L (f - min f), L = 2 max w || factor ||^2.
static void weighted_fits_are_stationary(void **state)
{
    (void)state;
    for (int trial = 0; trial < 10; trial++) {
        subject a, weights;
        double *const numbers = normals(M * N, (uint64_t)(110 + trial));
        assert_true(subject_of(&a, numbers, M, N, ECK_DTYPE_F32));
        for (int64_t i = 0; i < M * N; i++)
            numbers[i] = 2.0 * uniform_number((uint64_t)(130 + trial), (uint64_t)i);
        assert_true(subject_of(&weights, numbers, M, N, ECK_DTYPE_F64));
        for (int e = 0; e < 2; e++) {
            eck_als_options options = options_of(ENGINES[e], 4);
            options.weights = weights.op;
            options.store = ECK_DTYPE_F64;
            options.iterations = 20000;
            options.tolerance = 1e-12;
            eck_als *const als = fit_of(&a, &options);
            double *const rest = rest_of(&a, als);
            const double *const first = als->first->data;
            double loss = 0.0, gradient2 = 0.0;
            for (int64_t i = 0; i < M; i++)
                for (int64_t l = 0; l < 4; l++) {
                    double sum = 0.0;
                    for (int64_t j = 0; j < N; j++)
                        sum += -2.0 * weights.wide[i * N + j] * rest[i * N + j] * first[l * N + j];
                    gradient2 += sum * sum;
                }
            for (int64_t i = 0; i < M * N; i++)
                loss += weights.wide[i] * rest[i] * rest[i];
            const double *const values = als->values->data;
            // Excess: what the tolerance leaves when an iteration takes a thousandth of it.
            const double excess = 1e3 * options.tolerance * loss;
            assert_true(als->converged);
            hold("gradient of a weighted fit", eck_engine_name(ENGINES[e]), sqrt(gradient2),
                 sqrt(2.0 * 2.0 * 2.0 * values[0] * excess));
            test_free(rest);
            eck_als_free(als);
        }
        subject_clear(&weights);
        subject_clear(&a);
        test_free(numbers);
    }
}

// The certificate is the residual of the stored factors over what is observed, each times the root of its weight.
static void certificates_hold(void **state)
{
    (void)state;
    static const eck_dtype stores[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };
    double *const numbers = normals(M * N, 150);
    subject a, weights, mask = mask_of(M, N, 0.7, 151);
    assert_true(subject_of(&a, numbers, M, N, ECK_DTYPE_F32));
    for (int64_t i = 0; i < M * N; i++)
        numbers[i] = 5.0 * uniform_number(152, (uint64_t)i);
    assert_true(subject_of(&weights, numbers, M, N, ECK_DTYPE_F64));
    for (int trial = 0; trial < 12; trial++) {
        eck_als_options options = options_of(ENGINES[trial % 2], 5);
        options.store = stores[trial % 3];
        options.iterations = 10;
        if (trial & 4) options.mask = mask.op;
        if (trial & 2) options.weights = weights.op;
        eck_als *const als = fit_of(&a, &options);
        double *const rest = rest_of(&a, als);
        double above = 0.0, below = 0.0;
        for (int64_t i = 0; i < M * N; i++) {
            const double w = (trial & 4 ? mask.wide[i] : 1.0) * (trial & 2 ? weights.wide[i] : 1.0);
            above += w * rest[i] * rest[i];
            below += w * a.wide[i] * a.wide[i];
        }
        const double error = sqrt(above / below), own = (M * N + 8) * U64;
        hold("the certificate's low end", "fits", als->certificate.error_low - error, own);
        hold("the certificate's high end", "fits", error - als->certificate.error_high, own);
        hold("the certificate's width", "fits",
             als->certificate.error_high - als->certificate.error_low, 1e-10);
        assert_int_equal(als->certificate.stored, stores[trial % 3]);
        test_free(rest);
        eck_als_free(als);
    }
    subject_clear(&mask);
    subject_clear(&weights);
    subject_clear(&a);
    test_free(numbers);
}

static int report(void **state)
{
    (void)state;
    report_worst();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eckart_young_optimum),         cmocka_unit_test(rate_of_alternating),
        cmocka_unit_test(ridge_is_soft_thresholding),   cmocka_unit_test(hidden_entries_return),
        cmocka_unit_test(weighted_fits_are_stationary), cmocka_unit_test(certificates_hold),
    };
    return cmocka_run_group_tests(tests, NULL, report);
}
