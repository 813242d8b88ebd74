// The difference of two layers: spacings against nextafterf(), sums written out, and a held difference that knows what F32
// could not hold of it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "linalg/op.h"
#include "model/difference.h"

enum { ROWS = 3, COLS = 4, COUNT = ROWS * COLS };

static void spacings(void **state)
{
    (void)state;
    const float values[] = { 1.0F, 1.5F, -2.385F, 3.0e-5F, 6.1e4F, 1.2e-38F, 0x1p-126F, 7.0e37F };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const float size = fabsf(values[i]);
        const double ulp = (double)nextafterf(size, INFINITY) - (double)size;
        assert_true(ecki_spacing(ECK_DTYPE_F32, (double)values[i]) == ulp);
        // 8 bits for 24: 2^16 times as far apart
        assert_true(ecki_spacing(ECK_DTYPE_BF16, (double)values[i]) == ldexp(ulp, 16));
    }
    assert_true(ecki_spacing(ECK_DTYPE_F32, 0.0) == 0x1p-149);
    assert_true(ecki_spacing(ECK_DTYPE_F32, 0x1p-140) == 0x1p-149);
    assert_true(ecki_spacing(ECK_DTYPE_F16, 0.0) == 0x1p-24);
    assert_true(ecki_spacing(ECK_DTYPE_F16, 1.75) == 0x1p-10);
    assert_true(ecki_spacing(ECK_DTYPE_F64, 1.0) == 0.0);
}

// 1 - 2^-40 needs 40 bits; all other differences are exact.
static float base[COUNT] = { 0x1p-40F, 1.0F, 2.0F, -0.5F, 0.25F, 3.0F,
                             0.0F,     1.0F, 1.0F, 2.0F,  4.0F,  8.0F };
static float tuned[COUNT] = { 1.0F, 1.25F, 2.0F, -0.75F, 0.5F, 3.5F,
                              0.0F, 1.0F,  1.5F, 2.0F,   4.0F, 8.5F };

static ecki_difference_pair make_pair(void)
{
    ecki_difference_pair pair = { 0 };
    const eck_view x = eck_view_matrix(base, ECK_DTYPE_F32, ROWS, COLS);
    const eck_view y = eck_view_matrix(tuned, ECK_DTYPE_F32, ROWS, COLS);
    assert_int_equal(eck_operator_dense(&pair.base, x, NULL), ECK_OK);
    assert_int_equal(eck_operator_dense(&pair.tuned, y, NULL), ECK_OK);
    assert_int_equal(eck_operator_sum(&pair.difference,
                                      (const eck_operator *[]){ pair.tuned, pair.base },
                                      (double[]){ 1, -1 }, 2, NULL),
                     ECK_OK);
    return pair;
}

static void sums(void **state)
{
    (void)state;
    ecki_difference_pair pair = make_pair();
    ecki_difference_sums found, wanted = { 0 };
    for (int i = 0; i < COUNT; i++) {
        const double x = (double)base[i], y = (double)tuned[i];
        const double ulp = fmax(ecki_spacing(ECK_DTYPE_F32, x), ecki_spacing(ECK_DTYPE_F32, y));
        wanted.base += x * x;
        wanted.tuned += y * y;
        wanted.difference += (y - x) * (y - x);
        wanted.noise += ulp * ulp / 12;
        wanted.changed += x != y;
    }
    assert_int_equal(ecki_difference_scan(&found, &pair, NULL, NULL), ECK_OK);
    // twelve terms in another order: a few u each
    assert_true(fabs(found.base - wanted.base) <= 1e-14 * wanted.base);
    assert_true(fabs(found.tuned - wanted.tuned) <= 1e-14 * wanted.tuned);
    assert_true(fabs(found.difference - wanted.difference) <= 1e-14 * wanted.difference);
    assert_true(fabs(found.noise - wanted.noise) <= 1e-14 * wanted.noise);
    assert_int_equal(found.changed, wanted.changed);
    ecki_difference_close(&pair);
}

static void held(void **state)
{
    (void)state;
    ecki_difference_pair pair = make_pair();
    ecki_difference_room room = { 0 };
    float block[COUNT];
    assert_int_equal(ecki_difference_hold(&pair, &room, NULL, NULL), ECK_OK);
    assert_int_equal(room.count, COUNT);
    const eck_panel panel = { block, ECK_DTYPE_F32, ROWS, COLS, COLS };
    assert_int_equal(eck_operator_read(pair.difference, 0, 0, panel, NULL), ECK_OK);
    for (int i = 0; i < COUNT; i++)
        assert_true(block[i] == (float)((double)tuned[i] - (double)base[i]));
    assert_true(pair.rounded == 0x1p-40);
    ecki_difference_close(&pair);
    ecki_free(room.room);
}

// A wide difference is held turned, tile by tile: ragged ones on both sides.
static void held_turned(void **state)
{
    (void)state;
    enum { WIDE_ROWS = 70, WIDE_COLS = 8200 };
    ecki_difference_pair pair = { 0 };
    ecki_difference_room room = { 0 };
    float *const x = ecki_malloc(2 * WIDE_ROWS * WIDE_COLS, sizeof *x), *const y =
                                                                            x +
                                                                            WIDE_ROWS * WIDE_COLS;
    float column[WIDE_ROWS];
    assert_non_null(x);
    for (int64_t i = 0; i < WIDE_ROWS * WIDE_COLS; i++) {
        x[i] = (float)(i % 8191);
        y[i] = x[i] + (float)(i % 31) + (i == 5 * WIDE_COLS + 8199 ? 0x1p-11F : 0.0F);
    }
    x[5 * WIDE_COLS + 8199] = 0x1p-40F;
    assert_int_equal(eck_operator_dense(
                         &pair.base, eck_view_matrix(x, ECK_DTYPE_F32, WIDE_ROWS, WIDE_COLS), NULL),
                     ECK_OK);
    assert_int_equal(eck_operator_dense(&pair.tuned,
                                        eck_view_matrix(y, ECK_DTYPE_F32, WIDE_ROWS, WIDE_COLS),
                                        NULL),
                     ECK_OK);
    assert_int_equal(ecki_difference_hold(&pair, &room, NULL, NULL), ECK_OK);
    assert_true(pair.turned);
    for (int64_t j = 0; j < WIDE_COLS; j++) {
        const eck_panel line = { column, ECK_DTYPE_F32, 1, WIDE_ROWS, WIDE_ROWS };
        assert_int_equal(eck_operator_read(pair.difference, j, 0, line, NULL), ECK_OK);
        for (int64_t i = 0; i < WIDE_ROWS; i++)
            assert_true(column[i] == y[i * WIDE_COLS + j] - x[i * WIDE_COLS + j]);
    }
    const double lost =
        (double)y[5 * WIDE_COLS + 8199] - 0x1p-40 - (double)(y[5 * WIDE_COLS + 8199] - 0x1p-40F);
    assert_true(lost != 0 && pair.rounded == fabs(lost));
    // What it knows of itself is what a scan of the same numbers finds, but for the order of half a million squares.
    eck_scan told, found;
    eck_operator *plain = NULL;
    const eck_view view = *pair.difference->view;
    assert_int_equal(eck_operator_dense(&plain, view, NULL), ECK_OK);
    assert_int_equal(eck_operator_scan(&told, pair.difference, NULL, NULL), ECK_OK);
    assert_int_equal(eck_operator_scan(&found, plain, NULL, NULL), ECK_OK);
    assert_true(pair.difference->scanned && told.max == found.max);
    assert_true(fabs(told.norm2 - found.norm2) <= 1e-12 * found.norm2);
    eck_operator_free(plain);
    ecki_difference_close(&pair);
    ecki_free(room.room);
    ecki_free(x);
}

// A limit of memory too small for it leaves the difference where it was.
static void not_held(void **state)
{
    (void)state;
    ecki_difference_pair pair = make_pair();
    ecki_difference_room room = { 0 };
    eck_context poor = ECK_CONTEXT_INIT;
    poor.memory = 4 * COUNT * (int64_t)sizeof(float) - 1;
    const eck_operator *before = pair.difference;
    assert_int_equal(ecki_difference_hold(&pair, &room, &poor, NULL), ECK_OK);
    assert_ptr_equal(pair.difference, before);
    assert_null(room.room);
    ecki_difference_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(spacings), cmocka_unit_test(sums),
                                        cmocka_unit_test(held), cmocka_unit_test(held_turned),
                                        cmocka_unit_test(not_held) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
