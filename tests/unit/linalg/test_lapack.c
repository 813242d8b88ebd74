// Each routine does what its name says, on matrices whose answer is known, and refuses sizes beyond 32 bits.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "linalg/bisect.h"
#include "linalg/lapack.h"

enum { N = 24 };

// A symmetric matrix of normal numbers.
static void fill_symmetric(double *a)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            a[i * N + j] = a[j * N + i] = ecki_random_normal(3, 1, (uint64_t)(i * N + j));
}

static void expect_info(int64_t info, int64_t wanted)
{
    assert_int_equal(info, wanted);
}

// T has the trace and the Frobenius norm of A; Q^T A Q = T by applying the reflectors to vectors of T.
static void reduction_and_vectors(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double a[N * N], reduced[N * N], d[N], e[N], tau[N], values[N], falling[N], z[N * N];
    int64_t info = -1;
    fill_symmetric(a);
    memcpy(reduced, a, sizeof a);
    ecki_tridiagonal t = { N, d, e, tau };
    expect_ok(ecki_dsytrd(&t, reduced, &err), &err);
    expect_ok(ecki_bisect(falling, &t, (ecki_places){ 0, N }, 1, &err), &err);
    for (int i = 0; i < N; i++)
        values[i] = falling[N - 1 - i];
    for (int method = 0; method < 2; method++) {
        static const char *const names[] = { "A z - lambda z, dstemr", "A z - lambda z, dstedc" };
        const int64_t k = method == 1 ? N : 5;
        info = -1;
        if (method == 0)
            expect_ok(ecki_dstemr(z, &t, (ecki_places){ 0, k }, &info, &err), &err);
        else
            expect_ok(ecki_dstedc(z, &t, &info, &err), &err);
        expect_info(info, 0);
        // The reflectors lie above the superdiagonal, in columns 1 .. N-1.
        const ecki_reflectors h = { reduced + N, N - 1, N - 1, tau, N };
        expect_ok(ecki_dormql(z, N, k, &h, &err), &err);
        double worst = 0.0;
        for (int64_t j = 0; j < k; j++)
            for (int i = 0; i < N; i++) {
                double sum = -values[N - k + j] * z[j * N + i];
                for (int c = 0; c < N; c++)
                    sum += a[i * N + c] * z[j * N + c];
                worst = fmax(worst, fabs(sum));
            }
        // ||A z - lambda z|| <= c n u ||A||, ||A||_2 below 2 sqrt(n) + 4.
        expect_at_most(names[method], worst, 10.0 * N * 0x1p-53 * 14.0);
    }
}

// L^T A L by LAPACK and written out.
static void congruence(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double a[N * N], lower[N * N], found[N * N], worst = 0.0;
    fill_symmetric(a);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            lower[i * N + j] = j < i    ? ecki_random_normal(3, 2, (uint64_t)(i * N + j))
                               : j == i ? 1.0 + i
                                        : 0.0;
    memcpy(found, a, sizeof a);
    expect_ok(ecki_dsygst(found, lower, N, &err), &err);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double sum = -found[i * N + j];
            for (int p = 0; p < N; p++)
                for (int q = 0; q < N; q++)
                    sum += lower[p * N + i] * a[p * N + q] * lower[q * N + j];
            worst = fmax(worst, fabs(sum));
        }
    // Each element is a sum of n^2 products of at most about 24 * 3 * 24: c n u of that.
    expect_at_most("L^T A L", worst, 10.0 * N * 0x1p-53 * 24.0 * 3.0 * 24.0);
}

// Q R = A, Q^T Q = I, and dormqr applies the same Q.
static void qr(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    enum { M = 31, K = 9 };
    double a[M * K], f[M * K], q[M * M], tau[K], c[M * 2];
    ecki_random_fill_normal(a, M * K, 4, 4, 0);
    memcpy(f, a, sizeof a);
    expect_ok(ecki_dgeqrf(f, M, K, M, tau, &err), &err);
    memcpy(q, f, sizeof f);
    expect_ok(ecki_dorgqr(q, M, M, K, tau, &err), &err);
    double worst = 0.0, off = 0.0;
    for (int j = 0; j < K; j++)
        for (int i = 0; i < M; i++) {
            double sum = -a[j * M + i];
            for (int t = 0; t <= j; t++)
                sum += q[t * M + i] * f[j * M + t];
            worst = fmax(worst, fabs(sum));
        }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double dot = i == j ? -1.0 : 0.0;
            for (int t = 0; t < M; t++)
                dot += q[i * M + t] * q[j * M + t];
            off = fmax(off, fabs(dot));
        }
    expect_at_most("Q R - A", worst, 10.0 * M * 0x1p-53 * 10.0);
    expect_at_most("Q^T Q - I", off, 10.0 * M * 0x1p-53);
    memset(c, 0, sizeof c);
    c[3] = 1.0; // column 0: the fourth unit vector
    c[M + 20] = 1.0; // column 1: the twenty-first
    const ecki_reflectors h = { f, M, K, tau, 0 };
    expect_ok(ecki_dormqr(c, 2, &h, &err), &err);
    for (int i = 0; i < M; i++) {
        assert_true(fabs(c[i] - q[3 * M + i]) < 10.0 * M * 0x1p-53);
        assert_true(fabs(c[M + i] - q[20 * M + i]) < 10.0 * M * 0x1p-53);
    }
}

static void three_solvers(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    enum { M = 17, K = 6 };
    double a[M * K];
    ecki_random_fill_normal(a, M * K, 4, 9, 0);
    for (int solver = 0; solver < ECKI_SOLVERS; solver++)
        for (int vectors = 0; vectors < 2; vectors++) {
            double copy[M * K], s[K], u[M * K], vt[K * K], worst = 0.0;
            int64_t info = -1;
            memcpy(copy, a, sizeof a);
            ecki_dense_svd svd = { M, K, copy, s, vectors ? u : NULL, vectors ? vt : NULL };
            expect_ok(ecki_dgesvx(&svd, (ecki_svd_solver)solver, &info, &err), &err);
            expect_info(info, 0);
            double norm2 = 0.0, sum2 = 0.0;
            for (int i = 0; i < M * K; i++)
                norm2 += a[i] * a[i];
            for (int i = 0; i < K; i++)
                sum2 += s[i] * s[i];
            expect_at_most(ecki_svd_solver_name((ecki_svd_solver)solver), fabs(norm2 - sum2),
                           10.0 * M * 0x1p-53 * norm2);
            for (int j = 0; vectors && j < K; j++)
                for (int i = 0; i < M; i++) {
                    double sum = -a[j * M + i];
                    for (int t = 0; t < K; t++)
                        sum += u[t * M + i] * s[t] * vt[j * K + t];
                    worst = fmax(worst, fabs(sum));
                }
            expect_at_most("U diag(s) V^T - A", worst, 10.0 * M * 0x1p-53 * sqrt(norm2));
        }
    assert_string_equal(ecki_svd_solver_name(ECKI_DGESDD), "dgesdd");
}

static void cholesky(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double g[9] = { 4.0, -1.0, -1.0, 2.0, 5.0, -1.0, 6.0, 7.0, 30.0 };
    int64_t info = -1;
    expect_ok(ecki_dpotrf(g, 3, &info, &err), &err);
    expect_info(info, 0);
    const double wanted[6] = { 2.0, 1.0, 2.0, 3.0, 2.0, sqrt(17.0) };
    const double found[6] = { g[0], g[3], g[4], g[6], g[7], g[8] };
    for (int i = 0; i < 6; i++)
        assert_true(fabs(found[i] - wanted[i]) < 1e-15 * 8.0);
    double indefinite[4] = { 1.0, 0.0, 2.0, 1.0 };
    expect_ok(ecki_dpotrf(indefinite, 2, &info, &err), &err);
    expect_info(info, 2);
}

// Empty matrices need no LAPACK; sizes beyond 32 bits are refused before it.
static void nothing_and_too_much(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double x[1] = { 0.0 };
    int64_t info = 0;
    ecki_tridiagonal none = { 0, x, x, x };
    expect_ok(ecki_dsytrd(&none, x, &err), &err);
    expect_ok(ecki_dstedc(x, &none, &info, &err), &err);
    expect_ok(ecki_dgeqrf(x, 5, 0, 5, x, &err), &err);
    expect_ok(ecki_dorgqr(x, 5, 0, 0, x, &err), &err);
    expect_ok(ecki_dpotrf(x, 0, &info, &err), &err);
    expect_ok(ecki_dsygst(x, x, 0, &err), &err);
    const int64_t large = (int64_t)1 << 31;
    ecki_tridiagonal huge = { large, x, x, x };
    assert_int_equal(ecki_dsytrd(&huge, x, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dstemr(x, &huge, (ecki_places){ 0, 1 }, &info, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dsygst(x, x, large, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dstedc(x, &huge, &info, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dgeqrf(x, large, 1, large, x, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dorgqr(x, large, 1, 1, x, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_dpotrf(x, large, &info, &err), ECK_E_SHAPE);
    // 4 n^2 of workspace does not fit 32 bits long before n does.
    ecki_dense_svd svd = { 30000, 30000, x, x, x, x };
    assert_int_equal(ecki_dgesvx(&svd, ECKI_DGESDD, &info, &err), ECK_E_SHAPE);
    assert_true(ecki_dgesvx_work(large, large, true, ECKI_DGESDD) > INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reduction_and_vectors),
        cmocka_unit_test(congruence),
        cmocka_unit_test(qr),
        cmocka_unit_test(three_solvers),
        cmocka_unit_test(cholesky),
        cmocka_unit_test(nothing_and_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
