// Derived methods against sums written out; the same bits for every number of threads; matrices larger than a panel.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tensor/codec.h"

// A matrix known by its products alone.
static eck_status times(const sample *a, double scale, eck_panel x, eck_panel out, bool transposed)
{
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++) {
            double sum = 0.0;
            for (int64_t t = 0; t < x.rows; t++)
                sum += a->wide[transposed ? t * a->cols + i : i * a->cols + t] *
                       ((const double *)x.data)[t * x.ld + j];
            ((double *)out.data)[i * out.ld + j] = scale * sum;
        }
    return ECK_OK;
}

static eck_status by_apply(void *self, double scale, eck_panel x, eck_panel out, eck_error *err)
{
    (void)err;
    return times(self, scale, x, out, false);
}

static eck_status by_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                     eck_error *err)
{
    (void)err;
    return times(self, scale, y, out, true);
}

static void read_from_products(void **state)
{
    (void)state;
    sample a = sample_create(30, 600, ECK_DTYPE_F32, 1.0, 2);
    eck_operator *op = NULL;
    eck_error err = ECK_ERROR_INIT;
    const eck_operator_methods methods = { .version = 1,
                                           .apply = by_apply,
                                           .apply_transpose = by_apply_transpose };
    expect_ok(eck_operator_create(&op, eck_operator_get_info(a.op), &methods, &a, &err), &err);
    double wide[20 * 500];
    float narrow[4];
    expect_ok(eck_operator_read(op, 5, 70, ecki_panel(wide, ECK_DTYPE_F64, 20, 500), &err), &err);
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < 500; j++)
            assert_true(wide[i * 500 + j] == a.wide[(5 + i) * 600 + 70 + j]);
    expect_ok(eck_operator_read(op, 29, 598, ecki_panel(narrow, ECK_DTYPE_F32, 1, 2), &err), &err);
    assert_true(narrow[0] == (float)a.wide[29 * 600 + 598] &&
                narrow[1] == (float)a.wide[29 * 600 + 599]);
    eck_operator_free(op);
    sample_free(&a);
}

// Sums of n products: n + 2 roundings of the absolute values.
static void products(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 3, 4 },    { 300, 70 }, { 70, 1100 }, { 2100, 3 },
                                  { 2, 4200 }, { 0, 3 },    { 3, 0 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t m = shapes[s][0], n = shapes[s][1], k = 3;
        sample a = sample_create(m, n, ECK_DTYPE_F32, 1.0, s);
        eck_error err = ECK_ERROR_INIT;
        for (int transposed = 0; transposed < 2; transposed++) {
            const int64_t in = transposed ? m : n, rows = transposed ? n : m;
            double *const x = test_malloc((size_t)(in * k + 1) * sizeof *x);
            double *const out = test_malloc((size_t)(rows * k + 1) * sizeof *out);
            double *const want = test_malloc((size_t)(rows * k + 1) * sizeof *want);
            double *const first = test_malloc((size_t)(rows * k + 1) * sizeof *first);
            ecki_random_fill_normal(x, in * k, 9, 9, 0);
            const eck_panel xp = ecki_panel(x, ECK_DTYPE_F64, in, k),
                            op = ecki_panel(out, ECK_DTYPE_F64, rows, k);
            times(&a, 0.5, xp, ecki_panel(want, ECK_DTYPE_F64, rows, k), transposed);
            for (int32_t threads = 1; threads <= 3; threads++) {
                eck_context context = ECK_CONTEXT_INIT;
                context.threads = threads;
                for (int64_t i = 0; i < rows * k; i++)
                    out[i] = NAN;
                expect_ok(transposed
                              ? eck_operator_apply_transpose(a.op, 0.5, xp, op, &context, &err)
                              : eck_operator_apply(a.op, 0.5, xp, op, &context, &err),
                          &err);
                for (int64_t i = 0; i < rows * k; i++)
                    assert_true(fabs(out[i] - want[i]) <=
                                2.0 * (double)(in + 2) * 0x1p-53 * 40.0 * (double)in);
                if (threads == 1)
                    memcpy(first, out, (size_t)(rows * k) * sizeof *out);
                else if (rows * k > 0)
                    assert_memory_equal(first, out, (size_t)(rows * k) * sizeof *out);
            }
            test_free(first);
            test_free(want);
            test_free(out);
            test_free(x);
        }
        sample_free(&a);
    }
}

static void grams(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 3, 4 },   { 1300, 20 }, { 20, 1300 },
                                  { 70, 70 }, { 3, 0 },     { 1, 300000 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int left = 0; left < 2; left++) {
            sample a = sample_create(shapes[s][0], shapes[s][1], ECK_DTYPE_BF16, 1.0, s);
            const int64_t order = left ? a.rows : a.cols, inner = left ? a.cols : a.rows;
            if (order > 100) {
                sample_free(&a);
                continue;
            }
            eck_error err = ECK_ERROR_INIT;
            double *const g = test_malloc((size_t)(order * order + 1) * sizeof *g);
            for (int64_t i = 0; i < order * order; i++)
                g[i] = NAN;
            expect_ok(eck_operator_gram(a.op, left ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT, 2.0,
                                        ecki_panel(g, ECK_DTYPE_F64, order, order), NULL, &err),
                      &err);
            for (int64_t i = 0; i < order; i++)
                for (int64_t j = 0; j <= i; j++) {
                    long double sum = 0.0L, size = 0.0L;
                    for (int64_t t = 0; t < inner; t++) {
                        const long double x =
                            (long double)(left ? a.wide[i * a.cols + t] : a.wide[t * a.cols + i]) *
                            (left ? a.wide[j * a.cols + t] : a.wide[t * a.cols + j]);
                        sum += 4.0L * x;
                        size += 4.0L * fabsl(x);
                    }
                    // Products of 8-bit numbers are exact; the chain of sums is a panel, then panels.
                    const double chain =
                        (double)(inner < 600 ? inner : ecki_gram_width(order) + 600);
                    assert_true(fabsl(g[i * order + j] - sum) <= chain * 0x1p-53 * size);
                }
            test_free(g);
            sample_free(&a);
        }
}

static void scans(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 1, 1 }, { 300, 20 }, { 5, 9000 }, { 0, 4 } };
    for (size_t s = 0; s < 4; s++) {
        sample a = sample_create(shapes[s][0], shapes[s][1], ECK_DTYPE_F32, 1.0, s);
        const int64_t count = a.rows * a.cols;
        long double norm2 = 0.0L, max = 0.0L;
        for (int64_t i = 0; i < count; i++) {
            norm2 += (long double)a.wide[i] * a.wide[i];
            max = fmaxl(max, fabsl(a.wide[i]));
        }
        eck_scan scan;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_operator_scan(&scan, a.op, NULL, &err), &err);
        assert_true(scan.max == (double)max && scan.nonfinite == 0 && scan.first_nonfinite == -1);
        assert_true(fabsl(scan.norm2 - norm2) <= 1000.0L * 0x1p-53L * norm2);
        sample_free(&a);
    }
}

// Every NaN and infinity is counted and the first one found, wherever it stands; the finite rest keeps
// its maximum.
static void nonfinite(void **state)
{
    (void)state;
    const int64_t rows = 300, cols = 4100,
                  places[] = { 0, 5, 4099, 4100 * 255 + 4096, 4100 * 299 + 4099 };
    double *const numbers = test_calloc((size_t)(rows * cols), sizeof *numbers);
    numbers[77] = -3.0;
    for (int first = 4; first >= 0; first--) {
        numbers[places[first]] = first % 2 ? NAN : -INFINITY;
        sample a = sample_of(numbers, rows, cols, ECK_DTYPE_F32);
        eck_scan scan;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_operator_scan(&scan, a.op, NULL, &err), &err);
        assert_true(scan.max == 3.0);
        assert_int_equal(scan.first_nonfinite, places[first]);
        assert_int_equal(scan.nonfinite, 5 - first);
        sample_free(&a);
    }
    test_free(numbers);
}

// Squares that leave the range do not hurt the norm.
static void norms_at_the_ends(void **state)
{
    (void)state;
    const double sizes[] = { 1e300, 1e-300, 1e-310, 1.0 };
    for (size_t i = 0; i < 4; i++) {
        const double numbers[3] = { 2.0 * sizes[i], -sizes[i], 2.0 * sizes[i] };
        sample a = sample_of(numbers, 3, 1, ECK_DTYPE_F64);
        const double scale = ecki_scale_of(2.0 * sizes[i]);
        double norm = 0.0;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(ecki_derive_norm(&norm, a.op, scale, NULL, &err), &err);
        // 1e-310 is a subnormal number of 41 bits.
        assert_true(fabs(norm / scale / (3.0 * sizes[i]) - 1.0) < (i == 2 ? 1e-11 : 1e-14));
        eck_scan scan;
        expect_ok(eck_operator_scan(&scan, a.op, NULL, &err), &err);
        assert_true(i == 0 ? isinf(scan.norm2) : scan.norm2 >= 0.0);
        sample_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_from_products),
        cmocka_unit_test(products),
        cmocka_unit_test(grams),
        cmocka_unit_test(scans),
        cmocka_unit_test(nonfinite),
        cmocka_unit_test(norms_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
