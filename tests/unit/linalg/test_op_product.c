// scale B A against sums written out: reads, products with vectors, inner widths beyond a strip, none at all.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tensor/codec.h"

static void check(int64_t m, int64_t r, int64_t n)
{
    sample b = sample_create(m, r, ECK_DTYPE_F32, 1.0, 1),
           a = sample_create(r, n, ECK_DTYPE_BF16, 1.0, 2);
    eck_operator *product = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_product(&product, b.op, a.op, -2.0, &err), &err);
    assert_int_equal(eck_operator_get_info(product)->storage, ECK_DTYPE_F32);
    double *const whole = test_malloc((size_t)(m * n) * sizeof *whole);
    long double *const exact = test_malloc((size_t)(m * n) * sizeof *exact);
    expect_ok(eck_operator_read(product, 0, 0, ecki_panel(whole, ECK_DTYPE_F64, m, n), &err), &err);
    long double worst2 = 0.0L;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            exact[i * n + j] = 0.0L;
            for (int64_t t = 0; t < r; t++)
                exact[i * n + j] -= 2.0L * b.wide[i * r + t] * a.wide[t * n + j];
            worst2 += (whole[i * n + j] - exact[i * n + j]) * (whole[i * n + j] - exact[i * n + j]);
        }
    ecki_measure measure;
    expect_ok(ecki_operator_measure(&measure, product, NULL, &err), &err);
    expect_at_most("rounding of a product", (double)sqrtl(worst2), measure.error);
    float corner[1] = { 1.0f };
    expect_ok(
        eck_operator_read(product, m - 1, n - 1, ecki_panel(corner, ECK_DTYPE_F32, 1, 1), &err),
        &err);
    assert_true(fabsl(corner[0] - exact[m * n - 1]) <=
                0x1p-23L * fabsl(exact[m * n - 1]) + (long double)measure.error);
    for (int transposed = 0; transposed < 2; transposed++) {
        const int64_t in = transposed ? m : n, out = transposed ? n : m;
        double *const x = test_malloc((size_t)in * sizeof *x), *const y = test_malloc((size_t)out *
                                                                                      sizeof *y);
        ecki_random_fill_normal(x, in, 3, 3, 0);
        const eck_panel xp = ecki_panel(x, ECK_DTYPE_F64, in, 1),
                        yp = ecki_panel(y, ECK_DTYPE_F64, out, 1);
        expect_ok(transposed ? eck_operator_apply_transpose(product, 4.0, xp, yp, NULL, &err)
                             : eck_operator_apply(product, 4.0, xp, yp, NULL, &err),
                  &err);
        for (int64_t i = 0; i < out; i++) {
            long double sum = 0.0L;
            for (int64_t t = 0; t < in; t++)
                sum += 4.0L * exact[transposed ? t * n + i : i * n + t] * x[t];
            // Two chains, of the inner width and of the vector: their roundings add.
            const double allowed =
                4.0 * (double)(r + in + 8) * 0x1p-53 * measure.magnitude * 5.0 * sqrt((double)in);
            assert_true(fabsl(y[i] - sum) <= allowed);
        }
        test_free(y);
        test_free(x);
    }
    test_free(exact);
    test_free(whole);
    eck_operator_free(product);
    sample_free(&a);
    sample_free(&b);
}

static void products(void **state)
{
    (void)state;
    check(5, 3, 4);
    check(1, 600, 2);
    check(40, 257, 30);
    check(3, 0, 2);
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(2, 3, ECK_DTYPE_F64, 1.0, 1);
    eck_operator *product = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_product(&product, a.op, a.op, 1.0, &err), ECK_E_SHAPE);
    eck_operator *turned = NULL;
    expect_ok(eck_operator_transposed(&turned, a.op, &err), &err);
    assert_int_equal(eck_operator_product(&product, a.op, turned, INFINITY, &err), ECK_E_RANGE);
    expect_ok(eck_operator_product(&product, a.op, turned, 1.0, &err), &err);
    assert_int_equal(eck_operator_get_info(product)->storage, ECK_DTYPE_F64);
    eck_operator_free(product);
    eck_operator_free(turned);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(products), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
