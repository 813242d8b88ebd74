// Arrays, conversions and chains, each request for memory refused in turn.
#include "failing_allocator.h"

#include "base/error.h"
#include "base/memory.h"
#include "eckart/stage.h"

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
    eck_array_free(array);
    return status;
}

// Three linear stages with weights, a bias on the last.
static eck_status chain_scenario(void *self, eck_error *err)
{
    (void)self;
    eck_status status = ECK_OK;
    eck_chain chain = { NULL, 0 };

    ECK_ALLOC(chain.stages, 3);
    for (; chain.count < 3; chain.count++)
        chain.stages[chain.count] = eck_stage_linear(4, 4);
    for (int i = 0; i < 3; i++) {
        int64_t shape[ECK_DIMS_MAX];
        const int32_t ndim = eck_stage_shape(&chain.stages[i], shape);
        ECK_TRY(eck_array_create(&chain.stages[i].weight, ECK_DTYPE_F32, ndim, shape, err));
    }
    ECK_TRY(eck_array_create(&chain.stages[2].bias, ECK_DTYPE_F32, 1, &chain.stages[2].out, err));
done:
    eck_chain_clear(&chain);
    return status;
}

static void arrays(void **state)
{
    (void)state;
    fail_every_allocation("eck_array_create", array_scenario, NULL);
    fail_every_allocation("eck_array_convert", convert_scenario, NULL);
}

static void chains(void **state)
{
    (void)state;
    fail_every_allocation("a chain", chain_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),
        cmocka_unit_test(chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
