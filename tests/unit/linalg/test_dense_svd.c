// The F64 lane: every solver of the retry chain alone, with and without a QR first, tall and wide; and one that fails.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/svd_job.h"

enum { M = 30, N = 12 };

typedef struct source {
    double numbers[M * N];
    int loads, spoil; // so many loads give NaN, which makes a solver fail
} source;

static eck_status load(void *self, double *a, eck_error *err)
{
    source *const s = self;
    (void)err;
    memcpy(a, s->numbers, sizeof s->numbers);
    if (s->loads++ < s->spoil) a[5] = NAN;
    return ECK_OK;
}

// Rank 5 of 12, so that dgesvj leaves left vectors out.
static void fill(source *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int t = 0; t < 5; t++)
                s->numbers[j * M + i] +=
                    (double)((i * 3 + t * 7) % 11 - 5) * (double)((j * 2 + t * 5) % 7 - 3);
}

static void solve(source *s, ecki_svd_solver first, const char *wanted)
{
    double a[M * N], sigma[N], u[M * N], vt[N * N];
    ecki_dense_svd svd = { M, N, a, sigma, u, vt };
    const char *solver = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_dense_solve(&svd, first, &solver, load, s, &err), &err);
    assert_string_equal(solver, wanted);
    double worst = 0.0, off = 0.0;
    for (int j = 0; j < N; j++)
        for (int i = 0; i < M; i++) {
            double sum = -s->numbers[j * M + i];
            for (int t = 0; t < N; t++)
                sum += u[t * M + i] * sigma[t] * vt[j * N + t];
            worst = fmax(worst, fabs(sum));
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double dot = i == j ? -1.0 : 0.0;
            for (int t = 0; t < M; t++)
                dot += u[i * M + t] * u[j * M + t];
            off = fmax(off, fabs(dot));
        }
    expect_at_most(wanted, worst, 10.0 * M * 0x1p-53 * sigma[0]);
    expect_at_most("U^T U - I", off, 10.0 * M * 0x1p-53);
}

static void each_solver(void **state)
{
    (void)state;
    source s;
    fill(&s);
    solve(&s, ECKI_DGESDD, "dgesdd");
    solve(&s, ECKI_DGESVD, "dgesvd");
    solve(&s, ECKI_DGESVJ, "dgesvj");
}

static void a_solver_that_fails_hands_on(void **state)
{
    (void)state;
    source s;
    fill(&s);
    s.spoil = 1;
    solve(&s, ECKI_DGESDD, "dgesvd");
    assert_int_equal(s.loads, 2);
    fill(&s);
    s.spoil = 3;
    double a[M * N], sigma[N], u[M * N], vt[N * N];
    ecki_dense_svd svd = { M, N, a, sigma, u, vt };
    const char *solver = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_dense_solve(&svd, ECKI_DGESDD, &solver, load, &s, &err), ECK_E_SOLVER);
}

// The companion matrix whose values dgesdd once changed with its vectors, and both sides of 11/6.
static void lanes_agree(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 26, 26 }, { 55, 30 }, { 56, 30 }, { 30, 56 },
                                  { 200, 7 }, { 7, 200 }, { 1, 5 } };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        sample a = sample_create(shapes[i][0], shapes[i][1], ECK_DTYPE_F64, 0.8, i);
        eck_svd *lane[4] = { NULL };
        eck_error err = ECK_ERROR_INIT;
        for (int t = 0; t < 4; t++) {
            eck_svd_options options = ECK_SVD_OPTIONS_INIT;
            options.rule = ECK_RULE_THIN;
            options.engine = t % 2 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_EXACT;
            if (t / 2) options.want = ECK_WANT_VALUES;
            expect_ok(eck_svd_compute(&lane[t], a.op, &options, NULL, &err), &err);
            assert_int_equal(lane[t]->engine, options.engine);
        }
        const double *const s = lane[0]->s->data;
        const int64_t p = shapes[i][0] < shapes[i][1] ? shapes[i][0] : shapes[i][1];
        for (int t = 1; t < 4; t++)
            for (int64_t j = 0; j < p; j++)
                assert_true(fabs(((double *)lane[t]->s->data)[j] - s[j]) <=
                            10.0 * (double)(a.rows + a.cols) * 0x1p-53 * s[0]);
        expect_at_most("A - U diag(s) V^T", true_error(&a, lane[0]->u, s, lane[0]->v, p),
                       10.0 * (double)(a.rows + a.cols) * 0x1p-53);
        for (int t = 0; t < 4; t++)
            eck_svd_free(lane[t]);
        sample_free(&a);
    }
}

// What every F64 answer adds to its claims grows with the size, and stays tiny.
static void backward_errors(void **state)
{
    (void)state;
    assert_true(ecki_backward_error(4096, 4096) < 1e-11 &&
                ecki_backward_error(1, 1) > 10.0 * 0x1p-53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_solver),
        cmocka_unit_test(a_solver_that_fails_hands_on),
        cmocka_unit_test(lanes_agree),
        cmocka_unit_test(backward_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
