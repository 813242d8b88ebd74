// A block of a view equals the elements it names, whatever the strides; what leaves the view is
// refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "eckart/array.h"
#include "tensor/codec.h"

static void contiguous_views(void **state)
{
    (void)state;
    const int64_t shape[] = { 3, 5, 7 };
    const eck_view view = eck_view_of(shape, ECK_DTYPE_I64, 3, shape);
    assert_ptr_equal(view.data, shape);
    assert_int_equal(view.stride[0], 35);
    assert_int_equal(view.stride[1], 7);
    assert_int_equal(view.stride[2], 1);
    assert_true(eck_view_count(&view) == 105);
    const eck_view scalar = eck_view_of(shape, ECK_DTYPE_I64, 0, NULL);
    assert_true(eck_view_count(&scalar) == 1);
    const eck_view matrix = eck_view_matrix(shape, ECK_DTYPE_F32, 4, 9);
    assert_true(matrix.ndim == 2 && matrix.shape[0] == 4 && matrix.shape[1] == 9 &&
                matrix.stride[0] == 9);
}

static void impossible_views(void **state)
{
    (void)state;
    const int64_t shape[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const eck_view nine = eck_view_of(shape, ECK_DTYPE_F32, 9, shape);
    assert_int_equal(nine.dtype, ECK_DTYPE_NONE);
    const eck_view negative = eck_view_of(shape, ECK_DTYPE_F32, -1, shape);
    assert_int_equal(negative.dtype, ECK_DTYPE_NONE);
    const int64_t huge[] = { INT64_C(1) << 40, INT64_C(1) << 40 };
    const eck_view large = eck_view_of(shape, ECK_DTYPE_F32, 2, huge);
    assert_true(eck_view_count(&large) == INT64_MAX);
    eck_array *copy = NULL;
    assert_int_equal(eck_array_convert(&copy, nine, ECK_DTYPE_F32, NULL), ECK_E_UNSUPPORTED);
    assert_int_equal(eck_array_convert(&copy, large, ECK_DTYPE_F32, NULL), ECK_E_SHAPE);
    assert_null(copy);
}

static void transposed_views(void **state)
{
    (void)state;
    const int64_t shape[] = { 2, 3, 5 };
    const eck_view view = eck_view_of(shape, ECK_DTYPE_F32, 3, shape);
    const eck_view turned = eck_view_transposed(view);
    assert_true(turned.shape[0] == 2 && turned.shape[1] == 5 && turned.shape[2] == 3);
    assert_true(turned.stride[0] == 15 && turned.stride[1] == 1 && turned.stride[2] == 5);
    const eck_view back = eck_view_transposed(turned);
    assert_memory_equal(&back, &view, sizeof view);
    const eck_view line = eck_view_transposed(eck_view_of(shape, ECK_DTYPE_F32, 1, shape));
    assert_true(line.ndim == 1 && line.shape[0] == 2);
}

enum { ROWS = 101, COLS = 83 };

// Reads the block (row, col) rows x cols of a view of small integers into a panel with a gap, and
// checks each element and the gap.
static void check_block(const eck_view *view, eck_dtype target, const int64_t block[4])
{
    const int64_t rows = block[2], cols = block[3], ld = cols + 3;
    const int64_t size = eck_dtype_bits(target) / 8;
    char *const room = malloc((size_t)(rows * ld * size + 1));
    memset(room, 0x7b, (size_t)(rows * ld * size));
    eck_panel panel = ecki_panel(room, target, rows, cols);
    panel.ld = ld;
    assert_int_equal(eck_view_read(view, block[0], block[1], panel, NULL), ECK_OK);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < ld; j++) {
            const char *const at = room + (i * ld + j) * size;
            double got;
            ecki_widen_f64(target, at, 1, &got, 1);
            const int64_t from =
                (block[0] + i) * view->stride[0] + (block[1] + j) * view->stride[1];
            if (j < cols)
                assert_true(got == ((const int16_t *)view->data)[from]);
            else
                assert_int_equal(*at, 0x7b);
        }
    }
    free(room);
}

static void blocks_of_any_strides(void **state)
{
    (void)state;
    static int16_t numbers[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++)
        numbers[i] = (int16_t)(i * 7 % 30011 - 15000);
    const eck_view plain = eck_view_matrix(numbers, ECK_DTYPE_I16, ROWS, COLS);
    eck_view flipped = plain, skipping = eck_view_transposed(plain), constant = plain;
    flipped.data = numbers + ROWS * COLS - 1;
    flipped.stride[0] = -COLS;
    flipped.stride[1] = -1;
    skipping.stride[0] *= 2;
    skipping.shape[0] /= 2;
    constant.stride[0] = 0;
    const eck_view views[] = { plain,    eck_view_transposed(plain),
                               flipped,  eck_view_transposed(flipped),
                               skipping, constant };
    for (size_t v = 0; v < sizeof views / sizeof views[0]; v++) {
        const int64_t m = views[v].shape[0], n = views[v].shape[1];
        const int64_t blocks[][4] = { { 0, 0, m, n },     { 1, 2, m - 1, n - 2 }, { 3, 5, 32, 32 },
                                      { 0, n - 1, m, 1 }, { m - 1, 0, 1, n },     { 7, 1, 33, 31 },
                                      { m, n, 0, 0 },     { 2, 2, 0, 5 },         { 2, 2, 5, 0 } };
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
            check_block(&views[v], ECK_DTYPE_F64, blocks[b]);
            check_block(&views[v], ECK_DTYPE_F32, blocks[b]);
        }
    }
}

static void what_leaves_the_view_is_refused(void **state)
{
    (void)state;
    double room[16] = { 77 };
    const float numbers[12] = { 0 };
    const eck_view view = eck_view_matrix(numbers, ECK_DTYPE_F32, 3, 4);
    const int64_t bad[][4] = { { -1, 0, 1, 1 }, { 0, -1, 1, 1 },        { 0, 0, 4, 1 },
                               { 0, 0, 1, 5 },  { 3, 0, 1, 1 },         { 0, 4, 1, 1 },
                               { 4, 0, 0, 0 },  { 2, 0, INT64_MAX, 1 }, { INT64_MAX, 0, 1, 1 },
                               { 0, 0, -1, 1 }, { 0, 0, 1, -1 } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        eck_error err = ECK_ERROR_INIT;
        const eck_panel panel = ecki_panel(room, ECK_DTYPE_F64, bad[i][2], bad[i][3]);
        assert_int_equal(eck_view_read(&view, bad[i][0], bad[i][1], panel, &err), ECK_E_RANGE);
        assert_true(strlen(err.message) > 0 && room[0] == 77);
    }
    eck_panel narrow = ecki_panel(room, ECK_DTYPE_F64, 2, 3);
    narrow.ld = 2;
    assert_int_equal(eck_view_read(&view, 0, 0, narrow, NULL), ECK_E_RANGE);
    assert_int_equal(eck_view_read(&view, 0, 0, ecki_panel(room, ECK_DTYPE_F16, 1, 1), NULL),
                     ECK_E_RANGE);
    const eck_view packed = eck_view_matrix(numbers, ECK_DTYPE_F4, 3, 4);
    assert_int_equal(eck_view_read(&packed, 0, 0, ecki_panel(room, ECK_DTYPE_F64, 1, 1), NULL),
                     ECK_E_RANGE);
    const int64_t shape[] = { 12 };
    const eck_view line = eck_view_of(numbers, ECK_DTYPE_F32, 1, shape);
    assert_int_equal(eck_view_read(&line, 0, 0, ecki_panel(room, ECK_DTYPE_F64, 1, 1), NULL),
                     ECK_E_SHAPE);
    assert_true(room[0] == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contiguous_views),
        cmocka_unit_test(impossible_views),
        cmocka_unit_test(transposed_views),
        cmocka_unit_test(blocks_of_any_strides),
        cmocka_unit_test(what_leaves_the_view_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
