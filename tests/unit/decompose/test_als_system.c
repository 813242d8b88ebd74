// Small systems: answers held against the equations, singular ones against their shortest answer.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "decompose/als_parts.h"

enum { K = 9, ROWS = 5 };

static void at_most(const char *what, double measured, double allowed)
{
    printf("%s: %.3g, allowed %.3g\n", what, measured, allowed);
    assert_true(measured <= allowed);
}

// A Gram of `rows` random rows of K numbers, and b in its range.
static void make(double *gram, double *b, int64_t rows, uint64_t stream)
{
    double f[32 * K];
    ecki_random_fill_normal(f, rows * K, 3, stream, 0);
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_als_gram(gram, f, rows, K, &err), ECK_OK);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < K; j++) {
            b[r * K + j] = 0.0;
            for (int64_t i = 0; i < rows; i++)
                b[r * K + j] += f[i * K + j] * cos((double)(r + 3 * i));
        }
}

static double worst_residual(const double *gram, double ridge, const double *x, const double *b)
{
    double worst = 0.0;
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < K; j++) {
            double sum = ridge * x[r * K + j] - b[r * K + j];
            for (int64_t l = 0; l < K; l++)
                sum += x[r * K + l] * gram[l * K + j];
            worst = fmax(worst, fabs(sum));
        }
    return worst;
}

static double largest_of(const double *x, int64_t count)
{
    double most = 0.0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

static void solve(ecki_als_system *system, double *x, const double *b)
{
    double work[2 * ROWS * K];
    eck_error err = ECK_ERROR_INIT;
    memcpy(x, b, ROWS * K * sizeof *x);
    assert_int_equal(ecki_als_factorise(system, &err), ECK_OK);
    assert_int_equal(ecki_als_back(system, x, ROWS, work, &err), ECK_OK);
}

static void well_posed(void **state)
{
    (void)state;
    double gram[K * K], lower[K * K], b[ROWS * K], x[ROWS * K];
    for (int trial = 0; trial < 4; trial++) {
        make(gram, b, 25, (uint64_t)trial);
        ecki_als_system system = {
            .gram = gram, .lower = lower, .n = K, .ridge = trial & 1 ? 0.5 : 0.0
        };
        solve(&system, x, b);
        assert_false(system.lifted || system.zero);
        // Backward stability of Cholesky: 4 K (K + 1) u || G || || x ||, Higham, 10.1.
        const double size = K * largest_of(gram, K * K) * largest_of(x, ROWS * K);
        at_most("residual", worst_residual(gram, system.ridge, x, b),
                4.0 * K * (K + 1) * 0x1p-53 * size);
    }
}

// Fewer rows than unknowns: the equations hold, and the answer is the shortest, a combination of the rows.
static void singular(void **state)
{
    (void)state;
    double gram[K * K], lower[K * K], b[ROWS * K], x[ROWS * K];
    for (int64_t rows = 1; rows < K; rows++) {
        make(gram, b, rows, (uint64_t)(20 + rows));
        ecki_als_system system = { .gram = gram, .lower = lower, .n = K, .ridge = 0.0 };
        solve(&system, x, b);
        assert_true(system.lifted);
        // Two refinements leave the third power of lift over the least eigenvalue, far below rounding, and rounding
        // amplified by 1 / lift in directions without data, which the Gram multiplies by 0 to rounding again.
        const double size = K * largest_of(gram, K * K) * largest_of(x, ROWS * K);
        at_most("residual", worst_residual(gram, 0.0, x, b), 1e3 * K * 0x1p-53 * size);
        // x lies in the range of G: x = y G again, so that G x^T = 0 implies x = 0; compare with a second solve.
        double again[ROWS * K], product[ROWS * K];
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t j = 0; j < K; j++) {
                product[r * K + j] = 0.0;
                for (int64_t l = 0; l < K; l++)
                    product[r * K + j] += x[r * K + l] * gram[l * K + j];
            }
        solve(&system, again, product);
        double off = 0.0;
        for (int64_t i = 0; i < ROWS * K; i++)
            off = fmax(off, fabs(again[i] - x[i]));
        at_most("shortest answer", off, 4.0 * K * 0x1p-53 / 0x1p-26 * size);
    }
}

static void nothing(void **state)
{
    (void)state;
    double gram[K * K] = { 0.0 }, lower[K * K], b[ROWS * K] = { 1.0, 2.0 }, x[ROWS * K];
    ecki_als_system system = { .gram = gram, .lower = lower, .n = K, .ridge = 0.0 };
    solve(&system, x, b);
    assert_true(system.zero && largest_of(x, ROWS * K) == 0.0);
    system.ridge = 4.0;
    solve(&system, x, b);
    assert_true(x[0] == 0.25 && x[1] == 0.5);
}

// By singular values: tall and wide, of full and of lower rank, against the equations of the shortest answer: b^T (t - b x)
// = ridge x, and x a combination of rows of b.
static void by_values(void **state)
{
    (void)state;
    for (int trial = 0; trial < 12; trial++) {
        const int64_t count = trial % 3 == 0 ? 4 : trial % 3 == 1 ? 9 : 25;
        const double ridge = trial & 1 ? 0.3 : 0.0;
        double b[25 * K], t[25], x[K], rest[25];
        eck_error err = ECK_ERROR_INIT;
        ecki_random_fill_normal(b, count * K, 4, (uint64_t)trial, 0);
        ecki_random_fill_normal(t, count, 4, (uint64_t)(100 + trial), 0);
        if (trial > 5) // the last three unknowns are the first three again
            for (int64_t i = 0; i < count; i++)
                memcpy(b + i * K + 6, b + i * K, 3 * sizeof *b);
        assert_int_equal(ecki_als_least_squares(x, ecki_matrix_of(b, count, K), t, ridge, &err),
                         ECK_OK);
        for (int64_t i = 0; i < count; i++) {
            rest[i] = t[i];
            for (int64_t l = 0; l < K; l++)
                rest[i] -= b[i * K + l] * x[l];
        }
        double worst = 0.0;
        for (int64_t l = 0; l < K; l++) {
            double sum = -ridge * x[l];
            for (int64_t i = 0; i < count; i++)
                sum += b[i * K + l] * rest[i];
            worst = fmax(worst, fabs(sum));
        }
        // Values of b lie in 0.01 .. 10 here, x below 100: 25 products of 10 by 100, and their rounding.
        at_most("normal equations", worst, 25.0 * 10.0 * 100.0 * 8.0 * 0x1p-53);
        if (trial > 5)
            for (int l = 0; l < 3; l++)
                at_most("shared between equal columns", fabs(x[l] - x[6 + l]), 1e4 * 25 * 0x1p-53);
    }
}

static void tiny_and_huge(void **state)
{
    (void)state;
    double gram[K * K], lower[K * K], b[ROWS * K], x[ROWS * K], y[ROWS * K];
    make(gram, b, 4, 50);
    ecki_als_system system = { .gram = gram, .lower = lower, .n = K, .ridge = 0.0 };
    solve(&system, x, b);
    for (int64_t i = 0; i < K * K; i++)
        gram[i] *= 0x1p200;
    solve(&system, y, b);
    for (int64_t i = 0; i < ROWS * K; i++)
        assert_true(isfinite(y[i]) && y[i] == x[i] * 0x1p-200);
}

static void largest_eigenvalue(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double found = 0.0;
    for (int64_t k = 1; k <= 30; k++) {
        // k x k with 3 on the diagonal and 1 beside it everywhere: the largest is 3 + (k - 1).
        double gram[30 * 30];
        for (int64_t i = 0; i < k * k; i++)
            gram[i] = i % (k + 1) == 0 ? 3.0 : 1.0;
        assert_int_equal(ecki_als_largest(&found, gram, k, &err), ECK_OK);
        const double exact = 2.0 + (double)k;
        assert_true(found >= exact * (1.0 - 0x1p-52));
        assert_true(found <= exact * (1.0 + 32.0 * (double)k * 0x1p-52));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_posed),
        cmocka_unit_test(singular),
        cmocka_unit_test(nothing),
        cmocka_unit_test(tiny_and_huge),
        cmocka_unit_test(largest_eigenvalue),
        cmocka_unit_test(by_values),
    };
    return cmocka_run_group_tests_name("decompose/als_system", tests, NULL, NULL);
}
