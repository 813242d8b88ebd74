// tall.c: lengths, scaling, triangles and Grams of tall matrices against long double, for any number of pieces; the same bits
// on one thread and on several.
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

static const int64_t SIZES[][2] = { { 1, 1 },     { 5, 3 },    { 64, 64 },   { 1000, 7 },
                                    { 4100, 64 }, { 900, 70 }, { 700, 300 }, { 70000, 2 } };
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static double *numbers(int64_t m, int64_t k, uint64_t seed)
{
    double *const x = test_malloc((size_t)(m * k) * sizeof *x);
    ecki_random_fill_normal(x, m * k, 21, seed, 0);
    return x;
}

static void squares(void **state)
{
    (void)state;
    for (int s = 0; s < SIZE_COUNT; s++) {
        const int64_t m = SIZES[s][0], k = SIZES[s][1];
        double *const x = numbers(m, k, 1), *const sum = test_malloc((size_t)k * sizeof *sum);
        for (int64_t i = 0; i < m; i++)
            x[i * k] = 0.1; // equal terms: a plain sum drifts
        assert_int_equal(ecki_tall_squares(sum, x, m, k, NULL), ECK_OK);
        for (int64_t j = 0; j < k; j++) {
            // a sum of equal terms drifts in long double too
            long double want = j == 0 ? (long double)m * ((long double)0.1 * 0.1) : 0.0L;
            for (int64_t i = 0; j > 0 && i < m; i++)
                want += (long double)x[i * k + j] * x[i * k + j];
            assert_true(fabsl(sum[j] - want) <= 2.0L * 0x1p-53L * want);
        }
        test_free(sum);
        test_free(x);
    }
    double none[3] = { 7.0, 7.0, 7.0 };
    assert_int_equal(ecki_tall_squares(none, NULL, 0, 3, NULL), ECK_OK);
    assert_true(none[0] == 0.0 && none[2] == 0.0);
}

static void scaling(void **state)
{
    (void)state;
    const int64_t m = 1500, k = 37;
    double *const x = numbers(m, k, 2), *const y = numbers(m, k, 2), factor[37];
    for (int64_t j = 0; j < k; j++)
        factor[j] = 1.0 + (double)j / 3.0;
    assert_int_equal(ecki_tall_scale(x, m, k, factor, true, NULL), ECK_OK);
    for (int64_t i = 0; i < m * k; i++)
        assert_true(x[i] == y[i] / factor[i % k]);
    memcpy(x, y, (size_t)(m * k) * sizeof *x);
    assert_int_equal(ecki_tall_scale(x, m, k, factor, false, NULL), ECK_OK);
    for (int64_t i = 0; i < m * k; i++)
        assert_true(x[i] == y[i] * factor[i % k]);
    test_free(y);
    test_free(x);
}

// X L^-T times L^T is X: every row solves a triangle with a small backward error (Higham, theorem 8.5).
static void solving(void **state)
{
    (void)state;
    const int64_t m = 1300, k = 50;
    double *const x = numbers(m, k, 3), *const y = numbers(m, k, 3),
                  *const lower = numbers(k, k, 4);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++)
            lower[i * k + j] = j > i ? NAN : j == i ? 2.0 + (double)i : lower[i * k + j];
    assert_int_equal(ecki_tall_solve(x, m, k, lower, NULL), ECK_OK);
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < k; i++) {
            long double sum = 0.0L, size = 0.0L;
            for (int64_t j = 0; j <= i; j++) {
                sum += (long double)x[r * k + j] * lower[i * k + j];
                size += fabsl((long double)x[r * k + j] * lower[i * k + j]);
            }
            assert_true(fabsl(sum - y[r * k + i]) <= (long double)(k + 2) * 0x1p-53L * size);
        }
    test_free(lower);
    test_free(y);
    test_free(x);
}

static void grams(void **state)
{
    (void)state;
    for (int s = 0; s < SIZE_COUNT; s++) {
        const int64_t m = SIZES[s][0], k = SIZES[s][1];
        const size_t bytes = (size_t)(k * k) * sizeof(double);
        double *const x = numbers(m, k, 5), *const first = test_malloc(bytes),
                      *const gram = test_malloc(bytes);
        for (int32_t threads = 1; threads <= 3; threads++) {
            for (int64_t i = 0; i < k * k; i++)
                gram[i] = -3.0;
            const int32_t saved = ecki_blas_enter(threads);
            assert_int_equal(ecki_crew(), threads);
            assert_int_equal(ecki_tall_gram(gram, x, m, k, NULL), ECK_OK);
            ecki_blas_leave(saved);
            if (threads == 1) memcpy(first, gram, bytes);
            if (k <= 256) assert_memory_equal(first, gram, bytes); // beyond, it is BLAS's
        }
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j += j == 2 ? 41 : 1) { // not all of the large ones
                long double want = 0.0L, size = 0.0L;
                for (int64_t r = 0; r < m && j <= i; r++) {
                    want += (long double)x[r * k + i] * x[r * k + j];
                    size += fabsl((long double)x[r * k + i] * x[r * k + j]);
                }
                if (j > i)
                    assert_true(gram[i * k + j] == -3.0);
                else
                    assert_true(fabsl(gram[i * k + j] - want) <= (long double)m * 0x1p-53L * size);
            }
        test_free(gram);
        test_free(first);
        test_free(x);
    }
}

static eck_status mark(void *self, int64_t first, int64_t rows, eck_error *err)
{
    char *const seen = self;
    if (first <= 500 && 500 < first + rows && seen[1000])
        return ecki_error(err, ECK_E_RANGE, 500, "row 500");
    for (int64_t i = first; i < first + rows; i++)
        seen[i]++;
    return ECK_OK;
}

static void every_row_once(void **state)
{
    (void)state;
    char seen[1001] = { 0 };
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_tall_each(1000, 64, mark, seen, &err), ECK_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    seen[1000] = 1;
    assert_int_equal(ecki_tall_each(1000, 64, mark, seen, &err), ECK_E_RANGE);
    assert_int_equal(err.offset, 500);
    assert_int_equal(ecki_tall_each(0, 64, mark, seen, &err), ECK_OK);
    assert_true(ecki_tall_rows(1) == 1 << 15 && ecki_tall_rows(64) == 512 &&
                ecki_tall_rows(1 << 20) == 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(squares), cmocka_unit_test(scaling),
                                        cmocka_unit_test(solving), cmocka_unit_test(grams),
                                        cmocka_unit_test(every_row_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
