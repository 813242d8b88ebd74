// scans.c: the largest value and the squares of blocks of any width, from the smallest numbers to the largest, against long
// double; numbers that are not finite are counted and the first one found, wherever it stands.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/scans.h"
#include "tensor/codec.h"

enum { ROWS = 5, MOST = 70, STRIDE = 1000, ORIGIN = 17 };

static void fill(double *x, int64_t count, double scale, uint64_t seed)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = scale * ecki_random_normal(seed, 3, (uint64_t)i);
}

static void sums(void **state)
{
    (void)state;
    const double scales[] = { 1.0, 0x1p-1060, 0x1p1020, 3e-200 };
    double x[ROWS * MOST];
    for (int64_t cols = 1; cols <= MOST; cols++)
        for (int s = 0; s < 4; s++) {
            long double want = 0.0L;
            double max = 0.0;
            fill(x, ROWS * cols, scales[s], (uint64_t)cols);
            for (int64_t i = 0; i < ROWS * cols; i++) {
                want += (long double)x[i] * x[i];
                max = fmax(max, fabs(x[i]));
            }
            const ecki_block_scan scan =
                ecki_scan_block(x, ecki_panel(x, ECK_DTYPE_F64, ROWS, cols), ORIGIN, STRIDE);
            const long double found = ldexpl((long double)scan.sum, 2 * scan.exponent);
            assert_true(scan.max == max && scan.nonfinite == 0 && scan.first_nonfinite == -1);
            // no number loses more than its own rounding, and sums of squares nothing but u a step
            assert_true(fabsl(found - want) <= (ROWS + MOST + 4) * 0x1p-53L * want);
        }
}

static void not_finite(void **state)
{
    (void)state;
    const double odd[] = { NAN, -NAN, INFINITY, -INFINITY };
    double x[ROWS * MOST];
    for (int64_t at = 0; at < ROWS * 37; at++)
        for (int k = 0; k < 4; k++) {
            fill(x, ROWS * 37, 1.0, 9);
            x[at] = odd[k];
            x[ROWS * 37 - 1] = odd[3 - k];
            const ecki_block_scan scan =
                ecki_scan_block(x, ecki_panel(x, ECK_DTYPE_F64, ROWS, 37), ORIGIN, STRIDE);
            assert_int_equal(scan.nonfinite, at == ROWS * 37 - 1 ? 1 : 2);
            assert_int_equal(scan.first_nonfinite, ORIGIN + at / 37 * STRIDE + at % 37);
            assert_true(isfinite(scan.max) && scan.max > 0.0 && scan.sum == 0.0);
        }
}

static void together(void **state)
{
    (void)state;
    const double numbers[] = { 3.0, 0x1p-600, -0x1p600, 4.0 };
    ecki_block_scan scans[4];
    double sum = 0.0;
    int exponent = 0;
    for (int i = 0; i < 4; i++)
        scans[i] = ecki_scan_block(&numbers[i], ecki_panel(NULL, ECK_DTYPE_F64, 1, 1), i, 1);
    eck_scan all = ecki_scans_add(&sum, &exponent, scans, 4);
    assert_true(all.max == 0x1p600 && isinf(all.norm2) && ldexp(sqrt(sum), exponent) == 0x1p600);
    all = ecki_scans_add(&sum, &exponent, scans, 2);
    assert_true(all.max == 3.0 && all.norm2 == 9.0 && all.first_nonfinite == -1);
    scans[3].nonfinite = 1;
    scans[3].first_nonfinite = 3;
    scans[1].nonfinite = 2;
    scans[1].first_nonfinite = 1;
    all = ecki_scans_add(&sum, &exponent, scans, 4);
    assert_true(all.nonfinite == 3 && all.first_nonfinite == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums), cmocka_unit_test(not_finite),
                                        cmocka_unit_test(together) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
