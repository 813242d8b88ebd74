// A sparse operator against the dense one of the same numbers: reads, products, Grams and the scan; the same bytes for
// any number of threads; entries that are not finite; matrices without entries.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

// A sparse matrix and its dense twin.
typedef struct pair {
    int64_t rows, cols;
    int64_t *starts, *indices;
    double *values, *dense;
    float *narrow;
    eck_array *array;
    eck_operator *sparse, *twin;
} pair;

// About `each` entries a row, row 1 full, row 2 empty; by rows.
static pair pair_create(int64_t rows, int64_t cols, int64_t each, eck_dtype dtype)
{
    pair p = { .rows = rows, .cols = cols };
    eck_error err = ECK_ERROR_INIT;
    p.starts = test_calloc((size_t)rows + 1, sizeof *p.starts);
    p.indices = test_calloc((size_t)(rows * each + cols), sizeof *p.indices);
    p.values = test_calloc((size_t)(rows * each + cols), sizeof *p.values);
    p.narrow = test_calloc((size_t)(rows * each + cols), sizeof *p.narrow);
    p.dense = test_calloc((size_t)(rows * cols), sizeof *p.dense);
    int64_t at = 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t count = i == 1 ? cols : i == 2 ? 0 : each;
        for (int64_t e = 0; e < count; e++, at++) {
            p.indices[at] = i == 1 ? cols - 1 - e : (i * 7 + e * 11 + e * e) % cols;
            p.narrow[at] = (float)sin(1.3 * (double)at + 0.2);
            p.values[at] = p.narrow[at];
            p.dense[i * cols + p.indices[at]] += p.values[at];
        }
        p.starts[i + 1] = at;
    }
    const eck_sparse_view view = { ECK_SPARSE_ROWS,
                                   dtype,
                                   rows,
                                   cols,
                                   p.starts,
                                   p.indices,
                                   dtype == ECK_DTYPE_F32 ? (const void *)p.narrow : p.values };
    expect_ok(eck_operator_sparse(&p.sparse, &view, &err), &err);
    expect_ok(eck_array_convert(&p.array, eck_view_matrix(p.dense, ECK_DTYPE_F64, rows, cols),
                                dtype, &err),
              &err);
    expect_ok(eck_operator_dense(&p.twin, eck_array_view(p.array), &err), &err);
    return p;
}

static void pair_free(pair *p)
{
    eck_operator_free(p->sparse);
    eck_operator_free(p->twin);
    eck_array_free(p->array);
    test_free(p->starts);
    test_free(p->indices);
    test_free(p->values);
    test_free(p->narrow);
    test_free(p->dense);
}

static void reads(void **state)
{
    (void)state;
    pair p = pair_create(40, 31, 6, ECK_DTYPE_F32);
    eck_error err = ECK_ERROR_INIT;
    double a[12 * 9], b[12 * 9];
    float c[12 * 9];
    for (int64_t row = 0; row <= 28; row += 7)
        for (int64_t col = 0; col <= 22; col += 11) {
            memset(a, 0xff, sizeof a);
            memset(c, 0xff, sizeof c);
            expect_ok(
                eck_operator_read(p.sparse, row, col, ecki_panel(a, ECK_DTYPE_F64, 12, 9), &err),
                &err);
            expect_ok(
                eck_operator_read(p.sparse, row, col, ecki_panel(c, ECK_DTYPE_F32, 12, 9), &err),
                &err);
            expect_ok(
                eck_operator_read(p.twin, row, col, ecki_panel(b, ECK_DTYPE_F64, 12, 9), &err),
                &err);
            for (int i = 0; i < 12 * 9; i++)
                assert_true(a[i] == b[i] && c[i] == (float)b[i]);
        }
    const eck_operator_info *const info = eck_operator_get_info(p.sparse);
    assert_true(info->resident && info->storage == ECK_DTYPE_F32 && info->nonzeros > 0);
    assert_true(info->nonzeros <= p.starts[40]);
    pair_free(&p);
}

// max |x - y| over two panels.
static double distance(const double *x, const double *y, int64_t count)
{
    double worst = 0.0;
    for (int64_t i = 0; i < count; i++)
        worst = fmax(worst, fabs(x[i] - y[i]));
    return worst;
}

// Both products, both Grams, against the dense twin; on 1, 2, 3 and 7 threads the same bytes.
static void check_products(int64_t rows, int64_t cols, eck_dtype dtype)
{
    pair p = pair_create(rows, cols, 9, dtype);
    eck_error err = ECK_ERROR_INIT;
    enum { B = 19 };
    double *const x = test_calloc((size_t)(rows + cols) * B, sizeof *x);
    const int64_t larger = rows > cols ? rows : cols;
    double *const y = test_calloc((size_t)(larger * larger), sizeof *y);
    double *const z = test_calloc((size_t)(larger * larger), sizeof *z);
    double *const first = test_calloc((size_t)(larger * larger), sizeof *first);
    for (int64_t i = 0; i < (rows + cols) * B; i++)
        x[i] = cos(0.9 * (double)i);
    for (int what = 0; what < 4; what++)
        for (int32_t threads = 1; threads <= 7; threads += threads == 3 ? 4 : 1) {
            const eck_context context = { 1, threads, 0, NULL, NULL };
            const bool turned = what % 2;
            const int64_t in = turned ? rows : cols, out = turned ? cols : rows;
            const eck_panel from = ecki_panel(x, ECK_DTYPE_F64, in, B);
            const int64_t order = turned ? rows : cols;
            const int64_t count = what < 2 ? out * B : order * order;
            const eck_panel to = what < 2 ? ecki_panel(y, ECK_DTYPE_F64, out, B)
                                          : ecki_panel(y, ECK_DTYPE_F64, order, order);
            eck_panel other = to;
            other.data = z;
            memset(y, 0, (size_t)count * sizeof *y);
            memset(z, 0, (size_t)count * sizeof *z);
            const eck_side side = turned ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
            if (what == 0) {
                expect_ok(eck_operator_apply(p.sparse, 0.25, from, to, &context, &err), &err);
                expect_ok(eck_operator_apply(p.twin, 0.25, from, other, &context, &err), &err);
            } else if (what == 1) {
                expect_ok(eck_operator_apply_transpose(p.sparse, 0.25, from, to, &context, &err),
                          &err);
                expect_ok(eck_operator_apply_transpose(p.twin, 0.25, from, other, &context, &err),
                          &err);
            } else {
                expect_ok(eck_operator_gram(p.sparse, side, 2.0, to, &context, &err), &err);
                expect_ok(eck_operator_gram(p.twin, side, 2.0, other, &context, &err), &err);
                for (int64_t i = 0; i < order; i++)
                    memset(z + i * order + i + 1, 0, (size_t)(order - i - 1) * sizeof *z);
            }
            // Sums of at most larger products of numbers below 10, both sides rounding.
            expect_at_most("sparse against dense", distance(y, z, count),
                           2.0 * (double)larger * 0x1p-53 * 100.0 * (double)larger);
            if (threads == 1) memcpy(first, y, (size_t)count * sizeof *y);
            assert_memory_equal(first, y, (size_t)count * sizeof *y);
        }
    test_free(first);
    test_free(z);
    test_free(y);
    test_free(x);
    pair_free(&p);
}

static void products(void **state)
{
    (void)state;
    check_products(57, 33, ECK_DTYPE_F32);
    check_products(33, 57, ECK_DTYPE_F64);
    check_products(1200, 40, ECK_DTYPE_F32);
}

// Both orders of A^T (A x), in both types, against two products of the dense twin; no bit depends on threads.
static void normals(void **state)
{
    (void)state;
    enum { M = 70, N = 41, B = 17 };
    pair p = pair_create(M, N, 9, ECK_DTYPE_F32);
    eck_error err = ECK_ERROR_INIT;
    static double x[M * B], y[M * B], inner[M * B], expected[M * B];
    static float narrow[M * B], z[M * B], first[M * B];
    for (int i = 0; i < M * B; i++)
        x[i] = narrow[i] = (float)cos(0.7 * i);
    for (int left = 0; left < 2; left++) {
        const int64_t order = left ? M : N, across = left ? N : M;
        const eck_side side = left ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
        const eck_panel from = ecki_panel(x, ECK_DTYPE_F64, order, B);
        const eck_panel middle = ecki_panel(inner, ECK_DTYPE_F64, across, B);
        const eck_panel to = ecki_panel(expected, ECK_DTYPE_F64, order, B);
        if (left)
            expect_ok(eck_operator_apply_transpose(p.twin, 0.5, from, middle, NULL, &err), &err);
        expect_ok(left ? eck_operator_apply(p.twin, 0.5, middle, to, NULL, &err)
                       : eck_operator_apply(p.twin, 0.5, from, middle, NULL, &err),
                  &err);
        if (!left)
            expect_ok(eck_operator_apply_transpose(p.twin, 0.5, middle, to, NULL, &err), &err);
        for (int32_t threads = 1; threads <= 3; threads++) {
            const eck_context context = { 1, threads, 0, NULL, NULL };
            expect_ok(eck_operator_normal(p.sparse, side, 0.5, from,
                                          ecki_panel(y, ECK_DTYPE_F64, order, B), &context, &err),
                      &err);
            expect_ok(eck_operator_normal(p.sparse, side, 0.5,
                                          ecki_panel(narrow, ECK_DTYPE_F32, order, B),
                                          ecki_panel(z, ECK_DTYPE_F32, order, B), &context, &err),
                      &err);
            if (threads == 1) memcpy(first, z, sizeof first);
            assert_memory_equal(first, z, (size_t)(order * B) * sizeof *z);
            double apart = 0.0;
            for (int64_t i = 0; i < order * B; i++)
                apart = fmax(apart, fabs(z[i] - expected[i]));
            // Two sums of at most M products each, of numbers below 2 and 2 M.
            const double size = 4.0 * M * M;
            expect_at_most("normal in F64", distance(y, expected, order * B),
                           4.0 * M * 0x1p-53 * size);
            expect_at_most("normal in F32", apart, 4.0 * M * 0x1p-24 * size);
        }
    }
    pair_free(&p);
}

// A Gram row of more terms than one chain holds: parts are added, none is lost. Ones: every sum is a whole number.
static void long_lines(void **state)
{
    (void)state;
    enum { M = 200000, N = 3 };
    int64_t *const starts = test_calloc(M + 1, sizeof *starts);
    int64_t *const indices = test_calloc(M * 2, sizeof *indices);
    eck_error err = ECK_ERROR_INIT;
    for (int64_t i = 0; i < M; i++) {
        indices[2 * i] = 0;
        indices[2 * i + 1] = 1 + i % 2;
        starts[i + 1] = 2 * i + 2;
    }
    const eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, M, N, starts, indices, NULL };
    eck_operator *a = NULL;
    double gram[N * N] = { 0.0 };
    expect_ok(eck_operator_sparse(&a, &view, &err), &err);
    expect_ok(eck_operator_gram(a, ECK_SIDE_RIGHT, 1.0, ecki_panel(gram, ECK_DTYPE_F64, N, N), NULL,
                                &err),
              &err);
    const double expected[N * N] = { M, 0, 0, M / 2, M / 2, 0, M / 2, 0, M / 2 };
    for (int i = 0; i < N * N; i++)
        assert_true(gram[i] == expected[i]);
    eck_operator_free(a);
    test_free(indices);
    test_free(starts);
}

static void scans(void **state)
{
    (void)state;
    pair p = pair_create(50, 23, 5, ECK_DTYPE_F64);
    eck_error err = ECK_ERROR_INIT;
    eck_scan a, b;
    expect_ok(eck_operator_scan(&a, p.sparse, NULL, &err), &err);
    expect_ok(eck_operator_scan(&b, p.twin, NULL, &err), &err);
    assert_true(a.max == b.max && a.nonfinite == 0 && a.first_nonfinite == -1);
    expect_at_most("squared norm", fabs(a.norm2 - b.norm2), 2.0 * 1150 * 0x1p-53 * b.norm2);
    pair_free(&p);

    const int64_t starts[4] = { 0, 2, 2, 4 }, indices[4] = { 2, 0, 1, 0 };
    double values[4] = { NAN, 0x1p-700, -INFINITY, 1.0 };
    eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F64, 3, 3, starts, indices, values };
    eck_operator *op = NULL;
    expect_ok(eck_operator_sparse(&op, &view, &err), &err);
    expect_ok(eck_operator_scan(&a, op, NULL, &err), &err);
    assert_true(a.nonfinite == 2 && a.first_nonfinite == 2 && a.max == 1.0);
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 1;
    assert_int_equal(eck_svd_compute(&svd, op, &options, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 2);
    eck_operator_free(op);

    // Squares that leave the range.
    for (int i = 0; i < 4; i++)
        values[i] = 0x1p-700 * (i + 1);
    expect_ok(eck_operator_sparse(&op, &view, &err), &err);
    expect_ok(eck_operator_scan(&a, op, NULL, &err), &err);
    assert_true(a.max == 0x1p-698 && a.norm2 == 0.0);
    eck_operator_free(op);
}

// No rows, no columns, no entries: products are zero, and nothing is read beyond the end.
static void empty(void **state)
{
    (void)state;
    const int64_t starts[5] = { 0, 0, 0, 0, 0 };
    static const int64_t shapes[3][2] = { { 4, 3 }, { 4, 0 }, { 0, 3 } };
    for (int t = 0; t < 3; t++) {
        const int64_t m = shapes[t][0], n = shapes[t][1];
        const eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, m, n, starts, NULL, NULL };
        eck_operator *a = NULL;
        eck_error err = ECK_ERROR_INIT;
        double x[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, y[8] = { 7, 7, 7, 7, 7, 7, 7, 7 };
        eck_scan scan;
        expect_ok(eck_operator_sparse(&a, &view, &err), &err);
        expect_ok(eck_operator_apply(a, 1.0, ecki_panel(x, ECK_DTYPE_F64, n, 2),
                                     ecki_panel(y, ECK_DTYPE_F64, m, 2), NULL, &err),
                  &err);
        for (int64_t i = 0; i < 2 * m; i++)
            assert_true(y[i] == 0.0);
        expect_ok(eck_operator_scan(&scan, a, NULL, &err), &err);
        assert_true(scan.max == 0.0 && scan.norm2 == 0.0);
        eck_operator_free(a);
    }
}

static void refusals(void **state)
{
    (void)state;
    const int64_t starts[2] = { 0, 1 }, indices[1] = { 5 };
    const eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, 1, 5, starts, indices, NULL };
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_sparse(&a, &view, &err), ECK_E_RANGE);
    assert_int_equal(err.offset, 0);
    assert_null(a);
}

// The transpose of a sparse operator keeps its own Gram.
static void transposes(void **state)
{
    (void)state;
    pair p = pair_create(30, 20, 4, ECK_DTYPE_F32);
    eck_operator *t = NULL;
    eck_error err = ECK_ERROR_INIT;
    double straight[20 * 20] = { 0.0 }, turned[20 * 20] = { 0.0 };
    expect_ok(eck_operator_transposed(&t, p.sparse, &err), &err);
    assert_non_null(t->extra.gram);
    expect_ok(eck_operator_gram(p.sparse, ECK_SIDE_RIGHT, 1.0,
                                ecki_panel(straight, ECK_DTYPE_F64, 20, 20), NULL, &err),
              &err);
    expect_ok(eck_operator_gram(t, ECK_SIDE_LEFT, 1.0, ecki_panel(turned, ECK_DTYPE_F64, 20, 20),
                                NULL, &err),
              &err);
    assert_memory_equal(straight, turned, sizeof straight);
    eck_operator_free(t);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),      cmocka_unit_test(products), cmocka_unit_test(long_lines),
        cmocka_unit_test(scans),      cmocka_unit_test(empty),    cmocka_unit_test(refusals),
        cmocka_unit_test(transposes), cmocka_unit_test(normals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
