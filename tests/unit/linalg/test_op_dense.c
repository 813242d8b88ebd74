// Any readable type, any strides; the storage that decides the lane.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

static void storages(void **state)
{
    (void)state;
    const struct {
        eck_dtype dtype, storage;
    } cases[] = { { ECK_DTYPE_F64, ECK_DTYPE_F64 },  { ECK_DTYPE_F32, ECK_DTYPE_F32 },
                  { ECK_DTYPE_F16, ECK_DTYPE_F16 },  { ECK_DTYPE_BF16, ECK_DTYPE_BF16 },
                  { ECK_DTYPE_U8, ECK_DTYPE_F32 },   { ECK_DTYPE_I16, ECK_DTYPE_F32 },
                  { ECK_DTYPE_I32, ECK_DTYPE_F64 },  { ECK_DTYPE_U64, ECK_DTYPE_F64 },
                  { ECK_DTYPE_BOOL, ECK_DTYPE_F32 }, { ECK_DTYPE_F8_E4M3, ECK_DTYPE_F32 } };
    const unsigned char bytes[64] = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eck_operator *a = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_operator_dense(&a, eck_view_matrix(bytes, cases[i].dtype, 2, 3), &err), &err);
        const eck_operator_info *const info = eck_operator_get_info(a);
        assert_int_equal(info->storage, cases[i].storage);
        assert_true(info->rows == 2 && info->cols == 3 && info->resident);
        eck_operator_free(a);
    }
}

static void refusals(void **state)
{
    (void)state;
    const double x[8] = { 0.0 };
    const int64_t cube[3] = { 2, 2, 2 };
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_dense(&a, eck_view_of(x, ECK_DTYPE_F64, 3, cube), &err),
                     ECK_E_SHAPE);
    assert_int_equal(eck_operator_dense(&a, eck_view_matrix(x, ECK_DTYPE_F4, 2, 2), &err),
                     ECK_E_RANGE);
    assert_null(a);
}

static void strides(void **state)
{
    (void)state;
    float x[40];
    for (int i = 0; i < 40; i++)
        x[i] = (float)(i * i);
    eck_view view = eck_view_matrix(x + 39, ECK_DTYPE_F32, 3, 4);
    view.stride[0] = -3;
    view.stride[1] = -9;
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    double out[4];
    expect_ok(eck_operator_dense(&a, view, &err), &err);
    expect_ok(eck_operator_read(a, 1, 2, ecki_panel(out, ECK_DTYPE_F64, 2, 2), &err), &err);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            assert_true(out[i * 2 + j] == x[39 - 3 * (1 + i) - 9 * (2 + j)]);
    eck_operator_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(storages), cmocka_unit_test(refusals),
                                        cmocka_unit_test(strides) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
