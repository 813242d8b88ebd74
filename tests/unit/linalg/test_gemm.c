// Row-major products against sums written out, every transposition, strides, nothing, and refusals.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

enum { M = 7, N = 5, K = 6, LD = 9 };

static double numbers[3][LD * LD];

static ecki_matrix matrix(int which, int64_t rows, int64_t cols, bool transposed)
{
    ecki_random_fill_normal(numbers[which], LD * LD, 5, (uint64_t)which, 0);
    const ecki_matrix stored = { numbers[which], transposed ? cols : rows, transposed ? rows : cols,
                                 LD, false };
    return transposed ? ecki_transposed(stored) : stored;
}

static double element(ecki_matrix a, int64_t i, int64_t j)
{
    return a.transposed ? a.data[j * a.ld + i] : a.data[i * a.ld + j];
}

// A dot product of K terms is off by at most K u times the sum of absolute values.
static void products(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    for (int t = 0; t < 4; t++) {
        const ecki_matrix a = matrix(0, M, K, t & 1), b = matrix(1, K, N, t & 2);
        double out[M * LD];
        for (int i = 0; i < M * LD; i++)
            out[i] = 0.5;
        const eck_panel c = { out, ECK_DTYPE_F64, M, N, LD };
        expect_ok(ecki_gemm(2.0, a, b, 3.0, c, &err), &err);
        for (int64_t i = 0; i < M; i++)
            for (int64_t j = 0; j < LD; j++) {
                double sum = j < N ? 1.5 : 0.5, size = 1.5; // beyond N nothing is touched
                for (int64_t k = 0; k < K && j < N; k++) {
                    sum += 2.0 * element(a, i, k) * element(b, k, j);
                    size += fabs(2.0 * element(a, i, k) * element(b, k, j));
                }
                assert_true(fabs(out[i * LD + j] - sum) <= 2.0 * (K + 2) * 0x1p-53 * size);
            }
    }
}

static void grams(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    for (int t = 0; t < 2; t++) {
        const ecki_matrix a = matrix(0, M, K, t);
        double out[M * LD];
        for (int i = 0; i < M * LD; i++)
            out[i] = 0.25;
        const eck_panel c = { out, ECK_DTYPE_F64, M, M, LD };
        expect_ok(ecki_syrk(1.0, a, 1.0, c, &err), &err);
        for (int64_t i = 0; i < M; i++)
            for (int64_t j = 0; j < LD; j++) {
                double sum = 0.25, size = 0.25;
                for (int64_t k = 0; k < K && j <= i; k++) {
                    sum += element(a, i, k) * element(a, j, k);
                    size += fabs(element(a, i, k) * element(a, j, k));
                }
                assert_true(fabs(out[i * LD + j] - sum) <= 2.0 * (K + 1) * 0x1p-53 * size);
            }
    }
}

// (x L^-T) L^T = x.
static void triangles(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double x[M * LD], old[M * LD];
    ecki_matrix lower = matrix(0, N, N, false);
    for (int i = 0; i < N; i++)
        numbers[0][i * LD + i] = 4.0;
    ecki_random_fill_normal(x, M * LD, 1, 1, 0);
    memcpy(old, x, sizeof x);
    const eck_panel panel = { x, ECK_DTYPE_F64, M, N, LD };
    expect_ok(ecki_trsm(lower, panel, &err), &err);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < LD; j++) {
            double sum = j < N ? 0.0 : x[i * LD + j];
            for (int64_t k = 0; k <= j && j < N; k++)
                sum += x[i * LD + k] * numbers[0][j * LD + k];
            // Diagonals of 4 and normal numbers below: the inverse is below 10 in norm.
            assert_true(fabs(sum - old[i * LD + j]) <= 100.0 * N * 0x1p-53);
        }
    assert_int_equal(ecki_trsm(ecki_transposed(lower), panel, &err), ECK_E_SHAPE);
}

static void nothing_to_add(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double out[4] = { NAN, NAN, NAN, NAN };
    const eck_panel c = ecki_panel(out, ECK_DTYPE_F64, 2, 2);
    const ecki_matrix tall = ecki_matrix_of(numbers[0], 2, 0),
                      flat = ecki_matrix_of(numbers[0], 0, 2);
    expect_ok(ecki_gemm(1.0, tall, flat, 0.0, c, &err), &err);
    for (int i = 0; i < 4; i++)
        assert_true(out[i] == 0.0);
    out[1] = 7.0;
    out[2] = 3.0;
    expect_ok(ecki_syrk(1.0, tall, 2.0, c, &err), &err);
    assert_true(out[1] == 7.0 && out[2] == 6.0);
    const eck_panel none = ecki_panel(out, ECK_DTYPE_F64, 0, 2);
    expect_ok(ecki_gemm(1.0, flat, ecki_matrix_of(numbers[0], 2, 2), 0.0, none, &err), &err);
    expect_ok(ecki_trsm(ecki_matrix_of(numbers[0], 2, 2), none, &err), &err);
    assert_true(out[1] == 7.0);
}

// c = 2 a b + 3 c and 2 a^T b + 3 c of small whole numbers in F32: exact.
static void singles(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    float a[6] = { 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F },
          b[6] = { 1.0F, -1.0F, 0.0F, 2.0F, 3.0F, 1.0F };
    float c[4] = { 1.0F, 1.0F, 1.0F, 1.0F };
    const eck_panel whole = ecki_panel(c, ECK_DTYPE_F32, 2, 2),
                    right = ecki_panel(b, ECK_DTYPE_F32, 3, 2);
    expect_ok(
        ecki_gemm_f32(2.0F, ecki_panel(a, ECK_DTYPE_F32, 2, 3), false, right, 3.0F, whole, &err),
        &err);
    assert_true(c[0] == 23.0F && c[1] == 15.0F && c[2] == 47.0F && c[3] == 27.0F);
    c[0] = c[1] = c[2] = c[3] = 1.0F;
    expect_ok(
        ecki_gemm_f32(2.0F, ecki_panel(a, ECK_DTYPE_F32, 3, 2), true, right, 3.0F, whole, &err),
        &err);
    assert_true(c[0] == 35.0F && c[1] == 23.0F && c[2] == 43.0F && c[3] == 27.0F);
    c[3] = NAN;
    expect_ok(ecki_gemm_f32(2.0F, ecki_panel(a, ECK_DTYPE_F32, 2, 0), false,
                            ecki_panel(b, ECK_DTYPE_F32, 0, 2), 0.0F, whole, &err),
              &err);
    assert_true(c[0] == 0.0F && c[3] == 0.0F);
    assert_int_equal(
        ecki_gemm_f32(1.0F, ecki_panel(a, ECK_DTYPE_F32, 2, 2), false, right, 0.0F, whole, &err),
        ECK_E_SHAPE);
}

// Either factor turned, either type; what is empty only scales; types that do not match are refused.
static void either_type(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    const double a[6] = { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0 }, b[6] = { 1.0, -1.0, 2.0, 0.5, 3.0, 1.0 };
    float a32[6], b32[6], c32[4] = { 1.0F, 1.0F, 1.0F, NAN };
    double c[4] = { 1.0, 1.0, 1.0, NAN };
    for (int i = 0; i < 6; i++) {
        a32[i] = (float)a[i];
        b32[i] = (float)b[i];
    }
    // A B^T + 0 C with A, B [2,3]; then (A')^T (B')^T - C with A' [3,2], B' [2,3].
    const ecki_factor left = { ecki_panel((void *)(uintptr_t)a, ECK_DTYPE_F64, 2, 3), false };
    const ecki_factor right = { ecki_panel((void *)(uintptr_t)b, ECK_DTYPE_F64, 2, 3), true };
    const eck_panel out = ecki_panel(c, ECK_DTYPE_F64, 2, 2),
                    out32 = ecki_panel(c32, ECK_DTYPE_F32, 2, 2);
    expect_ok(ecki_multiply(1.0, left, right, 0.0, out, &err), &err);
    assert_true(c[0] == 5.0 && c[1] == 9.5 && c[2] == 11.0 && c[3] == 23.0);
    const ecki_factor tall = { ecki_panel(a32, ECK_DTYPE_F32, 3, 2), true };
    const ecki_factor wide = { ecki_panel(b32, ECK_DTYPE_F32, 2, 3), true };
    expect_ok(ecki_multiply(1.0, (ecki_factor){ ecki_panel(a32, ECK_DTYPE_F32, 2, 3), false }, wide,
                            0.0, out32, &err),
              &err);
    assert_true(c32[0] == 5.0F && c32[1] == 9.5F && c32[2] == 11.0F && c32[3] == 23.0F);
    expect_ok(ecki_multiply(1.0, tall, wide, -1.0, out32, &err), &err);
    assert_true(c32[0] == 3.0F && c32[1] == 5.0F && c32[2] == -1.0F && c32[3] == -4.0F);
    assert_int_equal(ecki_multiply(1.0, left, right, 0.0, out32, &err), ECK_E_RANGE);
    assert_int_equal(ecki_multiply(1.0, left, left, 0.0, out, &err), ECK_E_SHAPE);
}

// Shapes that do not fit, and sizes beyond 32 bits, which never reach the BLAS.
static void refusals(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    double out[4] = { 1.0, 2.0, 3.0, 4.0 };
    const eck_panel c = ecki_panel(out, ECK_DTYPE_F64, 2, 2);
    const ecki_matrix a = ecki_matrix_of(numbers[0], 2, 3);
    assert_int_equal(ecki_gemm(1.0, a, a, 0.0, c, &err), ECK_E_SHAPE);
    assert_int_equal(ecki_syrk(1.0, ecki_transposed(a), 0.0, c, &err), ECK_E_SHAPE);
    const int64_t large = (int64_t)INT32_MAX + 1;
    const ecki_matrix wide = { numbers[0], 2, 1, large, false };
    assert_int_equal(ecki_gemm(1.0, wide, ecki_matrix_of(numbers[0], 1, 2), 0.0, c, &err),
                     ECK_E_SHAPE);
    assert_int_equal(ecki_syrk(1.0, wide, 0.0, c, &err), ECK_E_SHAPE);
    assert_non_null(strstr(err.message, "2147483648"));
    const ecki_matrix triangle = { numbers[0], 2, 2, large, false };
    assert_int_equal(ecki_trsm(triangle, c, &err), ECK_E_SHAPE);
    assert_true(out[0] == 1.0 && out[3] == 4.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),       cmocka_unit_test(grams),   cmocka_unit_test(triangles),
        cmocka_unit_test(nothing_to_add), cmocka_unit_test(singles), cmocka_unit_test(refusals),
        cmocka_unit_test(either_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
