// The two steps of the gap: what probes bound, and what follows from it, held against matrices whose values are known.
#include "support.h"

#include <math.h>
#include <string.h>

#include "linalg/krylov.h"

// Quantiles of chi^2: for 2 degrees -2 ln(1 - p), exactly.
static void quantiles(void **state)
{
    (void)state;
    assert_true(fabs(ecki_chi_square_low(2, 0.25) / (-2.0 * log(0.75)) - 1.0) < 1e-12);
    assert_true(fabs(ecki_chi_square_low(16, 0.05) / 7.961645572378553 - 1.0) < 1e-12);
    const double c = ecki_chi_square_low(16, 1e-6); // leading terms of the series
    const double x = 0.5 * c, p = exp(-x) * pow(x, 8) / 40320.0 *
                                  (1.0 + x / 9.0 + x * x / 90.0 + x * x * x / 990.0);
    assert_true(fabs(p / 1e-6 - 1.0) < 1e-3);
}

// One step: p_0 = 1, p_1 = (x - alpha) / beta, so that the bound solves 1 + ((x - alpha) / beta)^2 = ratio.
static void one_step(void **state)
{
    (void)state;
    const double alpha[] = { 2.0, 1.0 }, beta[] = { 0.5, 0.0 };
    const double want = 2.0 + 0.5 * sqrt(99.0), bound = ecki_lanczos_bound(alpha, beta, 1, 100.0);
    assert_true(bound >= want && bound <= want * (1.0 + 1.0 / 256.0));
    // An invariant space: Gershgorin.
    assert_true(ecki_lanczos_bound(alpha, beta, 2, 100.0) == 2.5);
    const double none[] = { 0.0 };
    assert_true(ecki_lanczos_bound(none, none, 1, 100.0) == 0.0);
}

// A diagonal matrix [n,n], values falling.
static sample diagonal(int64_t n, double power)
{
    double *const numbers = test_calloc((size_t)(n * n), sizeof *numbers);
    for (int64_t i = 0; i < n; i++)
        numbers[i * n + i] = pow((double)(i + 1), power);
    sample a = sample_of(numbers, n, n, ECK_DTYPE_F32);
    test_free(numbers);
    return a;
}

// The largest value of (I - P) M (I - P), by 300 steps of the power method in F64.
static double left_out(const ecki_krylov *s, const sample *a)
{
    const int64_t n = s->n, ld = s->most + s->block;
    double *const x = test_malloc((size_t)n * sizeof *x), value = 0.0;
    for (int64_t i = 0; i < n; i++)
        x[i] = 1.0 + 0.01 * (double)(i % 17);
    for (int step = 0; step < 300; step++) {
        double norm = 0.0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < s->length; j++) {
                double dot = 0.0;
                for (int64_t i = 0; i < n; i++)
                    dot += (double)s->basis[i * ld + j] * x[i];
                for (int64_t i = 0; i < n; i++)
                    x[i] -= dot * (double)s->basis[i * ld + j];
            }
        for (int64_t i = 0; i < n; i++)
            norm += x[i] * x[i];
        value = 0.0;
        for (int64_t i = 0; i < n; i++) {
            x[i] /= sqrt(norm);
            value += x[i] * x[i] * a->wide[i * n + i] * a->wide[i * n + i];
            x[i] *= a->wide[i * n + i] * a->wide[i * n + i];
        }
    }
    test_free(x);
    return value;
}

// The bound holds, tightens with every probe and comes near; the sum of the k largest values is below its bound.
static void bounds(void **state)
{
    (void)state;
    const int64_t n = 300, k = 10;
    for (int which = 0; which < 2; which++) {
        sample a = diagonal(n, which ? -0.35 : -1.0);
        ecki_krylov s = {
            .a = a.op, .side = ECK_SIDE_RIGHT, .scale = 1.0, .block = 16, .most = 96, .seed = 11
        };
        ecki_deflated probe;
        eck_error err = ECK_ERROR_INIT;
        double values[96], t[96 * 96], truth = 0.0, sum = 0.0, bound = 0.0;
        expect_ok(ecki_krylov_init(&s, &err), &err);
        for (int step = 0; step < 5; step++)
            expect_ok(ecki_krylov_step(&s, &err), &err);
        const double mu = left_out(&s, &a);
        expect_ok(ecki_deflated_init(&probe, &s, 1e-6, &err), &err);
        double before = INFINITY;
        for (int step = 0; step < 7; step++) {
            expect_ok(ecki_deflated_step(&probe, &s, &err), &err);
            assert_true(probe.mu >= mu * (1.0 - 1e-5) && probe.mu <= before * (1.0 + 1.0 / 256.0));
            before = probe.mu;
        }
        expect_at_most("bound over truth after seven probes", probe.mu / mu, 1.25);
        for (int64_t i = 0; i < s.length; i++)
            memcpy(t + i * s.length, s.t + i * s.most, (size_t)s.length * sizeof *t);
        expect_ok(ecki_small_eigen(values, NULL, t, s.length, 0, &err), &err);
        for (int64_t i = 0; i < k; i++) {
            truth += a.wide[i * n + i] * a.wide[i * n + i];
            sum += values[i];
        }
        expect_ok(ecki_krylov_bound(&bound, &s, k, values[k - 1], probe.mu, &err), &err);
        assert_true(bound >= truth * (1.0 - 1e-6) && sum <= truth * (1.0 + 1e-6));
        expect_at_most("what the bound allows beyond the truth", bound / truth - 1.0,
                       which ? 1e-3 : 1e-5);
        // Without a gap it still holds, however loose.
        expect_ok(ecki_krylov_bound(&bound, &s, k, values[k - 1], 1.5 * values[k - 1], &err), &err);
        assert_true(bound >= truth && bound <= 2.0 * truth);
        ecki_deflated_clear(&probe);
        ecki_krylov_clear(&s);
        sample_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(quantiles), cmocka_unit_test(one_step),
                                        cmocka_unit_test(bounds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
