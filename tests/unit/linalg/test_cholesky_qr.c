// Orthonormal columns whatever comes in; X = Q R; condition numbers to 1e12; completion.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "linalg/orthonormal.h"

// max |X^T X - I| in long double.
static double off(const double *x, int64_t m, int64_t k)
{
    long double worst = 0.0L;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k; j++) {
            long double dot = i == j ? -1.0L : 0.0L;
            for (int64_t t = 0; t < m; t++)
                dot += (long double)x[t * k + i] * x[t * k + j];
            worst = fmaxl(worst, fabsl(dot));
        }
    return (double)worst;
}

// ||X - Q R|| / ||X||, R upper triangular with a diagonal that is not negative.
static double backward(const double *x, const double *q, const double *r, int64_t m, int64_t k)
{
    long double worst = 0.0L, norm = 0.0L;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) {
            long double sum = x[i * k + j];
            norm += sum * sum;
            for (int64_t t = 0; t < k; t++)
                sum -= (long double)q[i * k + t] * r[t * k + j];
            worst += sum * sum;
        }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++)
            assert_true(i == j ? r[i * k + j] >= 0.0 : r[i * k + j] == 0.0);
    return norm > 0.0L ? (double)sqrtl(worst / norm) : 0.0;
}

static void check(const char *what, const double *x, int64_t m, int64_t k)
{
    double *const q = test_malloc((size_t)(m * k + 1) * sizeof *q), *const r = test_malloc(
                                                                        (size_t)(k * k + 1) *
                                                                        sizeof *r);
    eck_error err = ECK_ERROR_INIT;
    memcpy(q, x, (size_t)(m * k) * sizeof *q);
    expect_ok(ecki_orthonormalize(q, m, k, r, &err), &err);
    printf("  %s\n", what);
    expect_at_most("Q^T Q - I", off(q, m, k), 8.0 * sqrt((double)k) * 0x1p-53);
    expect_at_most("X - Q R", backward(x, q, r, m, k), 10.0 * (double)(m + k) * 0x1p-53);
    double measured = 0.0;
    expect_ok(ecki_orthogonality(&measured, q, m, k, &err), &err);
    assert_true(fabs(measured - off(q, m, k)) <= (double)m * 0x1p-53);
    test_free(r);
    test_free(q);
}

static void condition_numbers(void **state)
{
    (void)state;
    enum { M = 200, K = 24 };
    double *const x = test_malloc(M * K * sizeof *x);
    for (int power = 0; power <= 12; power += 2) {
        // Columns that differ from one common column by less and less: kappa about 10^power.
        ecki_random_fill_normal(x, M * K, 3, (uint64_t)power, 0);
        for (int i = 0; i < M; i++)
            for (int j = 1; j < K; j++)
                x[i * K + j] = x[i * K] + pow(10.0, -power) * x[i * K + j];
        char what[32];
        snprintf(what, sizeof what, "kappa 1e%d", power);
        check(what, x, M, K);
    }
    test_free(x);
}

static void degenerate_columns(void **state)
{
    (void)state;
    enum { M = 40, K = 10 };
    double x[M * K];
    memset(x, 0, sizeof x);
    check("zero", x, M, K);
    ecki_random_fill_normal(x, M * K, 3, 3, 0);
    for (int i = 0; i < M; i++) {
        x[i * K + 4] = 0.0;
        x[i * K + 7] = x[i * K + 2];
        x[i * K + 9] = 1e-200 * x[i * K + 9];
    }
    check("a zero, a twin and a tiny column", x, M, K);
    for (int i = 0; i < M * K; i++)
        x[i] = 1.0;
    check("ones", x, M, K);
    check("one column", x, M, 1);
    check("one number", x, 1, 1);
    ecki_random_fill_normal(x, 100, 3, 4, 0);
    check("square", x, 10, 10);
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_orthonormalize(x, 10, 0, NULL, &err), &err);
}

static void completion(void **state)
{
    (void)state;
    enum { M = 30 };
    for (int64_t k = 0; k <= M; k += 6) {
        double x[M * M + 1], out[M * M];
        eck_error err = ECK_ERROR_INIT;
        ecki_random_fill_normal(x, M * k, 8, (uint64_t)k, 0);
        expect_ok(ecki_orthonormalize(x, M, k, NULL, &err), &err);
        expect_ok(ecki_complete(out, x, M, k, &err), &err);
        for (int64_t i = 0; i < M; i++)
            for (int64_t j = 0; j < k; j++)
                assert_true(out[i * M + j] == x[i * k + j]);
        expect_at_most("completed basis", off(out, M, M), 8.0 * sqrt(M) * 0x1p-53);
    }
}

static void sharpening(void **state)
{
    (void)state;
    enum { M = 50, K = 5 };
    double x[M * K];
    eck_error err = ECK_ERROR_INIT;
    ecki_random_fill_normal(x, M * K, 8, 1, 0);
    expect_ok(ecki_orthonormalize(x, M, K, NULL, &err), &err);
    for (int i = 0; i < M * K; i++)
        x[i] *= 1.0 + 1e-12 * (i % 7);
    expect_ok(ecki_sharpen(x, M, K, &err), &err);
    expect_at_most("sharpened", off(x, M, K), 8.0 * sqrt(K) * 0x1p-53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(condition_numbers),
        cmocka_unit_test(degenerate_columns),
        cmocka_unit_test(completion),
        cmocka_unit_test(sharpening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
