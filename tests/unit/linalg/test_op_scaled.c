// Weighted rows and columns, and what sums and centred matrices make of sparse ones: reads, products and A^T (A x), in
// both orders, against the matrix written out.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

enum { M = 31, N = 19, B = 5 };

// Blocks of both shapes, products by every method, against a dense matrix of these numbers.
static void compare(const char *what, const eck_operator *a, const double *dense)
{
    static double x[M * B], y[M * B], expected[M * B], read[M * N];
    static float narrow[M * B], single[M * B];
    eck_error err = ECK_ERROR_INIT;
    double size = 0.0;
    expect_ok(eck_operator_read(a, 0, 0, ecki_panel(read, ECK_DTYPE_F64, M, N), &err), &err);
    for (int i = 0; i < M * N; i++) {
        assert_true(fabs(read[i] - dense[i]) <= 4 * 0x1p-53 * (fabs(dense[i]) + 1.0));
        size = fmax(size, fabs(dense[i]));
    }
    for (int i = 0; i < M * B; i++)
        x[i] = narrow[i] = (float)cos(0.7 * i);
    for (int turned = 0; turned < 2; turned++) {
        const int64_t in = turned ? M : N, out = turned ? N : M;
        const eck_panel from = ecki_panel(x, ECK_DTYPE_F64, in, B);
        const eck_panel to = ecki_panel(y, ECK_DTYPE_F64, out, B);
        expect_ok(turned ? eck_operator_apply_transpose(a, 0.5, from, to, NULL, &err)
                         : eck_operator_apply(a, 0.5, from, to, NULL, &err),
                  &err);
        double apart = 0.0, normal = 0.0, small = 0.0;
        for (int64_t i = 0; i < out; i++)
            for (int64_t j = 0; j < B; j++) {
                long double sum = 0.0L;
                for (int64_t l = 0; l < in; l++)
                    sum += 0.5L * dense[turned ? l * N + i : i * N + l] * x[l * B + j];
                expected[i * B + j] = (double)sum;
                apart = fmax(apart, fabs(y[i * B + j] - expected[i * B + j]));
            }
        expect_at_most(what, apart, 4.0 * (double)(in + 4) * 0x1p-53 * (double)in * (size + 1.0));
        const eck_side side = turned ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
        expect_ok(eck_operator_normal(a, side, 0.5, from, ecki_panel(y, ECK_DTYPE_F64, in, B), NULL,
                                      &err),
                  &err);
        expect_ok(eck_operator_normal(a, side, 0.5, ecki_panel(narrow, ECK_DTYPE_F32, in, B),
                                      ecki_panel(single, ECK_DTYPE_F32, in, B), NULL, &err),
                  &err);
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 0; j < B; j++) {
                long double sum = 0.0L;
                for (int64_t l = 0; l < out; l++)
                    sum += 0.5L * dense[turned ? i * N + l : l * N + i] * expected[l * B + j];
                normal = fmax(normal, fabs(y[i * B + j] - (double)sum));
                small = fmax(small, fabs(single[i * B + j] - (double)sum));
            }
        const double bound = 8.0 * (M + N) * M * N * (size + 1.0) * (size + 1.0);
        expect_at_most("A^T (A x)", normal, bound * 0x1p-53);
        expect_at_most("A^T (A x) in F32", small, bound * 0x1p-24);
    }
}

// A sparse matrix of about a fifth of its entries, and the same written out.
static eck_operator *make_sparse(double *dense)
{
    static int64_t starts[M + 1], indices[M * N];
    static float values[M * N];
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    int64_t at = 0;
    memset(dense, 0, M * N * sizeof *dense);
    for (int64_t i = 0; i < M; i++) {
        for (int64_t j = 0; j < N; j++)
            if ((i * 7 + j * 3) % 5 == 0) {
                values[at] = (float)sin((double)(i * N + j));
                dense[i * N + j] = values[at];
                indices[at++] = j;
            }
        starts[i + 1] = at;
    }
    const eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, M, N, starts, indices, values };
    expect_ok(eck_operator_sparse(&a, &view, &err), &err);
    return a;
}

static double rows[M], cols[N];

static void make_weights(void)
{
    for (int i = 0; i < M; i++)
        rows[i] = 1.0 + 0.1 * i;
    for (int j = 0; j < N; j++)
        cols[j] = j == 3 ? 0.0 : -0.5 + 0.3 * j;
}

static void weights(void **state)
{
    (void)state;
    sample a = sample_create(M, N, ECK_DTYPE_F32, 1.0, 3);
    static double sparse_dense[M * N], expected[M * N];
    eck_operator *const sparse = make_sparse(sparse_dense);
    make_weights();
    for (int t = 0; t < 8; t++) {
        const bool by_rows = t & 1, by_cols = t & 2, dense = t & 4;
        const double *const from = dense ? a.wide : sparse_dense;
        eck_operator *s = NULL;
        eck_error err = ECK_ERROR_INIT;
        for (int i = 0; i < M * N; i++)
            expected[i] = from[i] * ((by_rows ? rows[i / N] : 1.0) * (by_cols ? cols[i % N] : 1.0));
        expect_ok(eck_operator_scaled(&s, dense ? a.op : sparse, by_rows ? rows : NULL,
                                      by_cols ? cols : NULL, &err),
                  &err);
        compare("weighted", s, expected);
        eck_operator_free(s);
    }
    eck_operator_free(sparse);
    sample_free(&a);
}

static void sums(void **state)
{
    (void)state;
    sample b = sample_create(M, 4, ECK_DTYPE_F32, 1.0, 3),
           a = sample_create(4, N, ECK_DTYPE_F32, 1.0, 4);
    static double dense[M * N];
    eck_operator *const sparse = make_sparse(dense);
    eck_operator *product = NULL, *sum = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_product(&product, b.op, a.op, 1.0, &err), &err);
    const eck_operator *const terms[2] = { sparse, product };
    const double factors[2] = { 0.75, -1.25 };
    expect_ok(eck_operator_sum(&sum, terms, factors, 2, &err), &err);
    assert_non_null(sum->extra.apply);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double inner = 0.0;
            for (int l = 0; l < 4; l++)
                inner += b.wide[i * 4 + l] * a.wide[l * N + j];
            dense[i * N + j] = 0.75 * dense[i * N + j] - 1.25 * inner;
        }
    compare("sparse plus product", sum, dense);
    eck_operator_free(sum);
    eck_operator_free(product);
    eck_operator_free(sparse);
    sample_free(&a);
    sample_free(&b);
}

static void centred(void **state)
{
    (void)state;
    static double dense[M * N];
    eck_operator *const sparse = make_sparse(dense);
    eck_operator *c = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_centered(&c, sparse, NULL, &err), &err);
    assert_non_null(c->extra.apply);
    for (int j = 0; j < N; j++) {
        double mean = 0.0;
        for (int i = 0; i < M; i++)
            mean += dense[i * N + j] / M;
        for (int i = 0; i < M; i++)
            dense[i * N + j] -= mean;
    }
    compare("centred sparse", c, dense);
    eck_operator_free(c);
    eck_operator_free(sparse);
}

// The bound of rounding holds what an SVD's certificate needs: residual against the truth of the weighted matrix.
static void certified(void **state)
{
    (void)state;
    sample a = sample_create(M, N, ECK_DTYPE_F32, 1.0, 3);
    eck_operator *s = NULL;
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    static double read[M * N];
    options.rank = 6;
    options.store = ECK_DTYPE_F64;
    make_weights();
    expect_ok(eck_operator_scaled(&s, a.op, rows, cols, &err), &err);
    expect_ok(eck_svd_compute(&svd, s, &options, NULL, &err), &err);
    expect_ok(eck_operator_read(s, 0, 0, ecki_panel(read, ECK_DTYPE_F64, M, N), &err), &err);
    sample truth = sample_of(read, M, N, ECK_DTYPE_F64);
    const double error = true_error(&truth, svd->u, svd->s->data, svd->v, 6);
    assert_true(error >= svd->certificate.error_low && error <= svd->certificate.error_high);
    sample_free(&truth);
    eck_svd_free(svd);
    eck_operator_free(s);
    sample_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(3, 2, ECK_DTYPE_F32, 1.0, 1);
    const double bad[3] = { 1.0, 2.0, INFINITY };
    eck_operator *s = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_scaled(&s, a.op, bad, NULL, &err), ECK_E_RANGE);
    assert_int_equal(err.offset, 2);
    assert_null(s);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(weights), cmocka_unit_test(sums),
                                        cmocka_unit_test(centred), cmocka_unit_test(certified),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
