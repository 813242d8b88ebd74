// Arrays: made, refused, freed; conversions walk every element of a view once, in its order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eckart/array.h"

static void made_and_freed(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    const int64_t shape[] = { 2, 3, 4 };
    eck_array *array = NULL;
    assert_int_equal(eck_array_create(&array, ECK_DTYPE_F32, 3, shape, NULL), ECK_OK);
    assert_true(eck_array_count(array) == 24);
    assert_true(array->ndim == 3 && array->shape[2] == 4 && array->dtype == ECK_DTYPE_F32);
    for (int i = 0; i < 24; i++)
        assert_true(((float *)array->data)[i] == 0);
    const eck_view view = eck_array_view(array);
    assert_ptr_equal(view.data, array->data);
    assert_true(view.stride[0] == 12 && view.stride[1] == 4 && view.stride[2] == 1);
    eck_array_free(array);
    eck_array_free(NULL);
    assert_true(ecki_memory_now() == before);
}

static void scalars_and_empty_arrays(void **state)
{
    (void)state;
    eck_array *array = NULL;
    assert_int_equal(eck_array_create(&array, ECK_DTYPE_BF16, 0, NULL, NULL), ECK_OK);
    assert_true(eck_array_count(array) == 1 && array->data);
    eck_array_free(array);
    const int64_t shape[] = { 5, 0 };
    assert_int_equal(eck_array_create(&array, ECK_DTYPE_F64, 2, shape, NULL), ECK_OK);
    assert_true(eck_array_count(array) == 0);
    eck_array *copy = NULL;
    assert_int_equal(eck_array_convert(&copy, eck_array_view(array), ECK_DTYPE_F32, NULL), ECK_OK);
    assert_true(eck_array_count(copy) == 0 && copy->shape[0] == 5);
    eck_array_free(copy);
    eck_array_free(array);
}

static void refused(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    const int64_t huge[] = { INT64_C(1) << 40, INT64_C(1) << 40 }, wide[] = { INT64_C(1) << 61 };
    const int64_t hidden[] = { 0, INT64_C(1) << 40, INT64_C(1) << 40 }, negative[] = { 2, -1 };
    const int64_t large[] = { INT64_C(1) << 56 };
    const int64_t ones[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const struct {
        eck_dtype dtype;
        int32_t ndim;
        const int64_t *shape;
        eck_status status;
    } cases[] = {
        { ECK_DTYPE_F32, 2, huge, ECK_E_SHAPE },  { ECK_DTYPE_F64, 1, wide, ECK_E_SHAPE },
        { ECK_DTYPE_U8, 3, hidden, ECK_E_SHAPE }, { ECK_DTYPE_F32, 2, negative, ECK_E_SHAPE },
        { ECK_DTYPE_F32, 9, ones, ECK_E_SHAPE },  { ECK_DTYPE_F32, -1, ones, ECK_E_SHAPE },
        { ECK_DTYPE_F4, 1, ones, ECK_E_RANGE },   { ECK_DTYPE_NONE, 1, ones, ECK_E_RANGE },
        { (eck_dtype)99, 1, ones, ECK_E_RANGE },  { ECK_DTYPE_F64, 1, large, ECK_E_NOMEM },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eck_array *array = NULL;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(
            eck_array_create(&array, cases[i].dtype, cases[i].ndim, cases[i].shape, &err),
            cases[i].status);
        assert_null(array);
        assert_int_equal(err.status, cases[i].status);
        assert_true(strlen(err.message) > 0);
    }
    assert_true(ecki_memory_now() == before);
}

// Element by element with an odometer, the slow way.
static void check_conversion(eck_view view, eck_dtype dtype)
{
    eck_array *copy = NULL;
    assert_int_equal(eck_array_convert(&copy, view, dtype, NULL), ECK_OK);
    assert_int_equal(copy->dtype, dtype);
    int64_t index[ECK_DIMS_MAX] = { 0 };
    const int64_t size = eck_dtype_bits(dtype) / 8;
    const int64_t count = eck_view_count(&view);
    for (int64_t n = 0; n < count; n++) {
        int64_t from = 0;
        for (int32_t d = 0; d < view.ndim; d++)
            from += index[d] * view.stride[d];
        const int64_t one[] = { 1 };
        eck_array *alone = NULL;
        const eck_view element = eck_view_of((const int32_t *)view.data + from, view.dtype, 1, one);
        assert_int_equal(eck_array_convert(&alone, element, dtype, NULL), ECK_OK);
        assert_memory_equal((char *)copy->data + n * size, alone->data, (size_t)size);
        eck_array_free(alone);
        for (int32_t d = view.ndim - 1; d >= 0 && ++index[d] == view.shape[d]; d--)
            index[d] = 0;
    }
    eck_array_free(copy);
}

static void conversions_walk_in_order(void **state)
{
    (void)state;
    static int32_t numbers[2 * 3 * 5 * 7];
    for (int i = 0; i < 210; i++)
        numbers[i] = i * i * 31 - 1000;
    const int64_t shape[] = { 2, 3, 5, 7 };
    const eck_view plain = eck_view_of(numbers, ECK_DTYPE_I32, 4, shape);
    const eck_view turned = eck_view_transposed(plain);
    eck_view reversed = plain, swapped = plain, repeated = plain, skipping = plain;
    for (int d = 0; d < 4; d++) {
        reversed.stride[d] = -plain.stride[d];
        swapped.shape[d] = plain.shape[3 - d];
        swapped.stride[d] = plain.stride[3 - d];
    }
    reversed.data = numbers + 209;
    repeated.stride[1] = 0;
    skipping.shape[3] = 4;
    skipping.stride[3] = 2;
    const eck_view views[] = { plain, turned, reversed, swapped, repeated, skipping };
    const eck_dtype targets[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16,
                                  ECK_DTYPE_I32 };
    for (size_t v = 0; v < sizeof views / sizeof views[0]; v++)
        for (size_t t = 0; t < sizeof targets / sizeof targets[0]; t++)
            check_conversion(views[v], targets[t]);
}

static void the_own_type_is_copied_bit_for_bit(void **state)
{
    (void)state;
    // A signalling NaN would not survive arithmetic.
    const uint32_t bits[] = { 0x7f800001, 0xff812345, 0x00000001, 0x80000000 };
    const eck_view view = eck_view_matrix(bits, ECK_DTYPE_F32, 2, 2);
    eck_array *copy = NULL;
    assert_int_equal(eck_array_convert(&copy, view, ECK_DTYPE_F32, NULL), ECK_OK);
    assert_memory_equal(copy->data, bits, sizeof bits);
    eck_array_free(copy);
    const eck_view opaque = eck_view_matrix(bits, ECK_DTYPE_C64, 1, 2);
    assert_int_equal(eck_array_convert(&copy, opaque, ECK_DTYPE_C64, NULL), ECK_OK);
    assert_memory_equal(copy->data, bits, sizeof bits);
    eck_array_free(copy);
}

static void unsupported_conversions(void **state)
{
    (void)state;
    const uint64_t bits[] = { 1, 2, 3, 4 };
    const eck_dtype pairs[][2] = {
        { ECK_DTYPE_F32, ECK_DTYPE_I8 },    { ECK_DTYPE_F32, ECK_DTYPE_F8_E4M3 },
        { ECK_DTYPE_C64, ECK_DTYPE_F32 },   { ECK_DTYPE_F4, ECK_DTYPE_F4 },
        { ECK_DTYPE_F4, ECK_DTYPE_F32 },    { ECK_DTYPE_F8_E8M0, ECK_DTYPE_F64 },
        { ECK_DTYPE_NONE, ECK_DTYPE_NONE }, { ECK_DTYPE_F32, ECK_DTYPE_NONE }
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        eck_array *copy = NULL;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(
            eck_array_convert(&copy, eck_view_matrix(bits, pairs[i][0], 2, 2), pairs[i][1], &err),
            ECK_E_UNSUPPORTED);
        assert_null(copy);
        assert_int_equal(err.status, ECK_E_UNSUPPORTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_freed),
        cmocka_unit_test(scalars_and_empty_arrays),
        cmocka_unit_test(refused),
        cmocka_unit_test(conversions_walk_in_order),
        cmocka_unit_test(the_own_type_is_copied_bit_for_bit),
        cmocka_unit_test(unsupported_conversions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
