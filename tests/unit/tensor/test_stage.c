// Shapes and sizes of every kind of stage; chains free what they own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "eckart/stage.h"

static void check_shape(const eck_stage *stage, int32_t ndim, const int64_t *wanted)
{
    int64_t shape[ECK_DIMS_MAX] = { 0 };
    assert_int_equal(eck_stage_shape(stage, shape), ndim);
    int64_t product = 1;
    for (int32_t i = 0; i < ndim; i++) {
        assert_true(shape[i] == wanted[i]);
        product *= wanted[i];
    }
    assert_true(eck_stage_parameters(stage) == product);
}

static void shapes(void **state)
{
    (void)state;
    const int64_t kernel[] = { 3, 5, 2 };
    const eck_stage linear = eck_stage_linear(7, 11);
    assert_true(linear.groups == 1 && linear.spatial == 0 && !linear.weight && !linear.bias);
    check_shape(&linear, 2, (const int64_t[]){ 11, 7 });
    eck_stage conv = eck_stage_conv(12, 8, 4, 2, kernel);
    assert_true(conv.stride[0] == -1 && conv.stride[1] == -1 && conv.dilation[1] == -1);
    check_shape(&conv, 4, (const int64_t[]){ 8, 3, 3, 5 });
    conv.kind = ECK_STAGE_CONV_TRANSPOSE;
    check_shape(&conv, 4, (const int64_t[]){ 12, 2, 3, 5 });
    const eck_stage cube = eck_stage_conv(6, 4, 1, 3, kernel);
    check_shape(&cube, 5, (const int64_t[]){ 4, 6, 3, 5, 2 });
    const eck_stage line = eck_stage_conv(6, 4, 2, 1, kernel);
    check_shape(&line, 3, (const int64_t[]){ 4, 3, 3 });
    eck_stage lookup = eck_stage_linear(1000, 16);
    lookup.kind = ECK_STAGE_LOOKUP;
    check_shape(&lookup, 2, (const int64_t[]){ 1000, 16 });
    eck_stage scale = eck_stage_linear(9, 9);
    scale.kind = ECK_STAGE_SCALE;
    check_shape(&scale, 1, (const int64_t[]){ 9 });
}

static void hostile_numbers(void **state)
{
    (void)state;
    const int64_t kernel[] = { INT64_C(1) << 40, 3, 3 };
    const eck_stage large = eck_stage_conv(INT64_C(1) << 30, 8, 1, 2, kernel);
    assert_true(eck_stage_parameters(&large) == INT64_MAX);
    const eck_stage no_groups = eck_stage_conv(6, 4, 0, 1, kernel + 1);
    check_shape(&no_groups, 3, (const int64_t[]){ 4, 6, 3 });
    const eck_stage many = eck_stage_conv(1, 1, 1, 77, kernel);
    assert_int_equal(many.spatial, ECK_SPATIAL_MAX);
    const eck_stage few = eck_stage_conv(1, 1, 1, -1, kernel);
    assert_int_equal(few.spatial, 0);
}

static void chains_own_their_arrays(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    eck_chain chain = { ecki_calloc(4, sizeof(eck_stage)), 4 };
    assert_non_null(chain.stages);
    for (int i = 0; i < 4; i++) {
        int64_t shape[ECK_DIMS_MAX];
        chain.stages[i] = eck_stage_linear(3 + i, 4 + i);
        const int32_t ndim = eck_stage_shape(&chain.stages[i], shape);
        if (i != 1)
            assert_int_equal(
                eck_array_create(&chain.stages[i].weight, ECK_DTYPE_F16, ndim, shape, NULL),
                ECK_OK);
    }
    assert_int_equal(
        eck_array_create(&chain.stages[3].bias, ECK_DTYPE_F16, 1, &chain.stages[3].out, NULL),
        ECK_OK);
    eck_chain_clear(&chain);
    assert_true(chain.stages == NULL && chain.count == 0);
    eck_chain_clear(&chain);
    eck_chain_clear(NULL);
    assert_true(ecki_memory_now() == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(hostile_numbers),
        cmocka_unit_test(chains_own_their_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
