// Shapes of the stages that plain SVD makes.
#include "chains.h"

static eck_point point_of(eck_method method, int32_t count, int64_t rank)
{
    const eck_point point = { .method = method, .rank_count = count, .ranks = { rank } };

    return point;
}

/** Both weights of an outline have these shapes. */
static void check_shapes(const eck_stage *dense, int64_t rank, const int64_t *first,
                         const int64_t *last)
{
    const eck_point point = point_of(ECK_METHOD_SVD, 1, rank);
    eck_chain chain = { NULL, 0 };
    int64_t shape[ECK_DIMS_MAX];

    assert_int_equal(eck_chain_outline(&chain, dense, &point, NULL), ECK_OK);
    assert_int_equal(chain.count, 2);
    assert_int_equal(chain.stages[0].kind, dense->kind);
    int32_t ndim = eck_stage_shape(&chain.stages[0], shape);
    assert_memory_equal(shape, first, (size_t)ndim * sizeof *shape);
    ndim = eck_stage_shape(&chain.stages[1], shape);
    assert_memory_equal(shape, last, (size_t)ndim * sizeof *shape);
    for (int i = 0; i < 2; i++) {
        assert_null(chain.stages[i].weight);
        assert_null(chain.stages[i].bias);
        assert_int_equal(chain.stages[i].groups, 1);
    }
    eck_chain_clear(&chain);
}

static void test_shapes(void **state)
{
    (void)state;
    const int64_t k324[] = { 3, 2, 4 };
    eck_stage dense = eck_stage_linear(7, 9);

    check_shapes(&dense, 3, (int64_t[]){ 3, 7 }, (int64_t[]){ 9, 3 });
    dense.kind = ECK_STAGE_LOOKUP;
    check_shapes(&dense, 3, (int64_t[]){ 7, 3 }, (int64_t[]){ 9, 3 });
    dense = eck_stage_conv(7, 9, 1, 1, k324);
    check_shapes(&dense, 3, (int64_t[]){ 3, 7, 3 }, (int64_t[]){ 9, 3, 1 });
    dense = eck_stage_conv(7, 9, 1, 3, k324);
    check_shapes(&dense, 3, (int64_t[]){ 3, 7, 3, 2, 4 }, (int64_t[]){ 9, 3, 1, 1, 1 });
}

/** The first stage moves as the layer does, the last by one; weights and biases of the layer stay where they are. */
static void test_steps(void **state)
{
    (void)state;
    const int64_t k33[] = { 3, 3 };
    const eck_point point = point_of(ECK_METHOD_SVD, 1, 2);
    eck_stage dense = random_stage(eck_stage_conv(4, 6, 1, 2, k33), ECK_DTYPE_F32, 1);
    eck_chain chain = { NULL, 0 };

    dense.stride[0] = 2;
    dense.dilation[1] = 3;
    assert_int_equal(eck_chain_outline(&chain, &dense, &point, NULL), ECK_OK);
    assert_memory_equal(chain.stages[0].stride, dense.stride, sizeof dense.stride);
    assert_memory_equal(chain.stages[0].dilation, dense.dilation, sizeof dense.dilation);
    assert_null(chain.stages[0].weight);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(chain.stages[1].stride[d], 1);
        assert_int_equal(chain.stages[1].dilation[d], 1);
    }
    eck_chain_clear(&chain);
    eck_array_free(dense.weight);
}

static void refuse(const eck_stage *dense, eck_point point, eck_status expected)
{
    eck_chain chain = { NULL, -3 };
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(eck_chain_outline(&chain, dense, &point, &err), expected);
    assert_int_equal(err.status, expected);
    assert_int_equal(chain.count, -3);
}

static void test_refusals(void **state)
{
    (void)state;
    const int64_t k3[] = { 3 };
    const eck_stage dense = eck_stage_linear(7, 9), grouped = eck_stage_conv(8, 8, 2, 1, k3);
    eck_stage other = dense;

    refuse(&dense, point_of(ECK_METHOD_DENSE, 0, 0), ECK_E_RANGE);
    refuse(&dense, point_of(ECK_METHOD_SVD, 0, 3), ECK_E_RANGE);
    refuse(&dense, point_of(ECK_METHOD_SVD, 2, 3), ECK_E_RANGE);
    refuse(&dense, point_of(ECK_METHOD_SVD, 1, 0), ECK_E_RANGE);
    refuse(&grouped, point_of(ECK_METHOD_SVD, 1, 3), ECK_E_RANGE); // three channels in two groups
    refuse(&dense, point_of(ECK_METHOD_TUCKER1, 1, 2), ECK_E_UNSUPPORTED);
    other.kind = ECK_STAGE_SCALE;
    refuse(&other, point_of(ECK_METHOD_SVD, 1, 2), ECK_E_UNSUPPORTED);
    other.kind = ECK_STAGE_CONV_TRANSPOSE;
    refuse(&other, point_of(ECK_METHOD_TUCKER1, 1, 2), ECK_E_UNSUPPORTED); // no kernel
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
