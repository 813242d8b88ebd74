// Arrays and conversions, each request for memory refused in turn.
#include "failing_allocator.h"

#include "eckart/array.h"

static eck_status array_scenario(void *self, eck_error *err)
{
    (void)self;
    const int64_t shape[] = { 3, 700 };
    eck_array *array = UNTOUCHED;
    const eck_status status = eck_array_create(&array, ECK_DTYPE_F64, 2, shape, err);
    assert_untouched(status, array);
    for (int i = 0; array && i < 2100; i++)
        assert_true(((double *)array->data)[i] == 0);
    eck_array_free(array);
    return status;
}

static eck_status convert_scenario(void *self, eck_error *err)
{
    (void)self;
    const float numbers[6] = { 1, 2, 3, 4, 5, 6 };
    const eck_view turned = eck_view_transposed(eck_view_matrix(numbers, ECK_DTYPE_F32, 2, 3));
    eck_array *array = UNTOUCHED;
    const eck_status status = eck_array_convert(&array, turned, ECK_DTYPE_BF16, err);
    assert_untouched(status, array);
    const uint16_t wanted[6] = { 0x3f80, 0x4080, 0x4000, 0x40a0, 0x4040, 0x40c0 };
    if (array) assert_memory_equal(array->data, wanted, sizeof wanted);
    eck_array_free(array);
    return status;
}

static void arrays(void **state)
{
    (void)state;
    fail_every_allocation("eck_array_create", array_scenario, NULL);
    fail_every_allocation("eck_array_convert", convert_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
