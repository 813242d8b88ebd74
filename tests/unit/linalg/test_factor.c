// Far vectors where the Gram resolves nothing: steep spectra, exact rank loss, a block of tiny values.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/svd_job.h"

// A diagonal matrix in F32, so that the values are known exactly; expanded, stored in F64.
static void check(const double *values, int64_t m, int64_t n)
{
    double *const numbers = test_calloc((size_t)(m * n), sizeof *numbers);
    const int64_t p = m < n ? m : n;
    for (int64_t i = 0; i < p; i++)
        numbers[i * n + (i * 5 + 2) % p] = values[i];
    sample a = sample_of(numbers, m, n, ECK_DTYPE_F32);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    options.store = ECK_DTYPE_F64;
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    const double *const s = svd->s->data;
    double worst = 0.0;
    for (int64_t i = 0; i < p; i++)
        worst = fmax(worst, fabs(s[i] - fabs((double)(float)values[i])));
    expect_at_most("values", worst, 0x1p-23 * s[0]);
    expect_at_most("error with every vector", true_error(&a, svd->u, s, svd->v, p), 3e-7);
    expect_at_most("U^T U - I", true_orthogonality(svd->u, p), 8.0 * sqrt((double)p) * 0x1p-53);
    expect_at_most("V^T V - I", true_orthogonality(svd->v, p), 8.0 * sqrt((double)p) * 0x1p-53);
    eck_svd_free(svd);
    sample_free(&a);
    test_free(numbers);
}

static void steep_spectra(void **state)
{
    (void)state;
    enum { N = 24 };
    double values[N];
    for (int i = 0; i < N; i++)
        values[i] = pow(10.0, -0.5 * i);
    check(values, N, N);
    check(values, 31, N);
    check(values, N, 40);
    for (int i = 0; i < N; i++)
        values[i] = i == 0 ? 1.0 : 2e-8 * (double)(N - i) / N;
    check(values, N, N);
    for (int i = 0; i < N; i++)
        values[i] = i < 7 ? (double)(10 - i) : 0.0;
    check(values, 30, N);
}

// Random matrices of low rank: nothing but rounding is left behind the rank, and it is told as zero.
static void lost_rank(void **state)
{
    (void)state;
    enum { M = 40, N = 30, R = 6 };
    double numbers[M * N];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            numbers[i * N + j] = 0.0;
            for (int t = 0; t < R; t++)
                numbers[i * N + j] +=
                    (double)((i * 7 + t * 3) % 11 - 5) * (double)((j * 5 + t * t) % 13 - 6);
        }
    sample a = sample_of(numbers, M, N, ECK_DTYPE_F32);
    for (int wide = 0; wide < 2; wide++) {
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rule = ECK_RULE_THIN;
        options.want = wide ? ECK_WANT_FULL : options.want;
        eck_svd *svd = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
        const double *const s = svd->s->data;
        assert_int_equal(svd->numerical_rank, R);
        for (int i = R; i < N; i++)
            expect_at_most("a value beyond the rank", s[i], 1e-14 * s[0]);
        expect_at_most("error with every vector", true_error(&a, svd->u, s, svd->v, N), 1e-7);
        expect_at_most("U^T U - I", true_orthogonality(svd->u, svd->u->shape[1]),
                       8.0 * sqrt(M) * 0x1p-24);
        eck_svd_free(svd);
    }
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(steep_spectra),
                                        cmocka_unit_test(lost_rank) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
