// Nodes of chains: which attributes and inputs each stage has. What they compute is tested in ONNX Runtime.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "../model/made_graph.h"
#include "base/memory.h"
#include "eckart/stage.h"
#include "format/input.h"
#include "format/onnx_chain.h"

// A graph of one node, opened.
static ecki_container *one_node(const char *node, int64_t opset)
{
    made_graph m = { .ir = 8, .opset = opset };
    const char *path = scratch_path("node.onnx");
    made_value(&m, 11, "x");
    made_value(&m, 11, "b");
    made_weight(&m, "w", 4, 4, 0);
    made_node(&m, node);
    ecki_text model = made_model(&m);
    scratch_write(path, model.data, model.length);
    ecki_text_clear(&model);
    return scratch_open(path);
}

// The chain's nodes, opened again as a graph.
static ecki_container *chained(const char *node, int64_t opset, ecki_site_kind kind,
                               const ecki_onnx_stage *stages, int32_t count)
{
    ecki_container *container = one_node(node, opset);
    eck_error err = ECK_ERROR_INIT;
    made_graph m = { .ir = 8, .opset = opset };
    const ecki_onnx_site site = { container->onnx, &container->files[0], 0, kind };
    made_value(&m, 11, "x");
    made_value(&m, 11, "b");
    for (int32_t i = 0; i < count; i++)
        made_weight(&m, stages[i].weight, 2, 2, 0);
    if (ecki_onnx_put_chain(&m.graph, &site, stages, count, &err) != ECK_OK)
        fail_msg("%s", err.message);
    ecki_text model = made_model(&m);
    const char *path = scratch_path("chain.onnx");
    scratch_write(path, model.data, model.length);
    ecki_text_clear(&model);
    ecki_container_close(container);
    return scratch_open(path);
}

static int64_t list_at(const ecki_onnx *onnx, int64_t node, const char *name, int32_t i)
{
    const ecki_onnx_attribute *a = ecki_onnx_attribute_of(onnx, &onnx->nodes[node], name);
    assert_non_null(a);
    assert_true(i < a->int_count);
    return onnx->integers[a->ints + i];
}

// A 3 x 5 kernel in two stages of one dimension each, behind and before stages of one tap.
static void test_each_dimension_with_its_kernel(void **state)
{
    (void)state;
    const int64_t one[] = { 1, 1 }, tall[] = { 3, 1 }, wide[] = { 1, 5 };
    const ecki_onnx_stage stages[] = { { eck_stage_conv(4, 2, 1, 2, one), "s0", false },
                                       { eck_stage_conv(2, 2, 2, 2, tall), "s1", false },
                                       { eck_stage_conv(2, 2, 2, 2, wide), "s2", false },
                                       { eck_stage_conv(2, 4, 1, 2, one), "s3", false } };
    ecki_container *c = chained("Conv x w b -> y strides=2,3 dilations=4,5 pads=6,7,8,9", 17,
                                ECKI_SITE_CONV, stages, 4);
    const ecki_onnx *onnx = c->onnx;
    assert_int_equal(onnx->node_count, 4);
    const int64_t strides[4][2] = { { 1, 1 }, { 2, 1 }, { 1, 3 }, { 1, 1 } };
    const int64_t dilations[4][2] = { { 1, 1 }, { 4, 1 }, { 1, 5 }, { 1, 1 } };
    const int64_t pads[4][4] = { { 0 }, { 6, 0, 8, 0 }, { 0, 7, 0, 9 }, { 0 } };
    for (int64_t i = 0; i < 4; i++) {
        for (int32_t d = 0; d < 2; d++) {
            assert_int_equal(list_at(onnx, i, "strides", d), strides[i][d]);
            assert_int_equal(list_at(onnx, i, "dilations", d), dilations[i][d]);
            assert_int_equal(list_at(onnx, i, "kernel_shape", d), stages[i].stage.kernel[d]);
        }
        for (int32_t d = 0; d < 4; d++)
            assert_int_equal(list_at(onnx, i, "pads", d), pads[i][d]);
        assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[i], "group", 0),
                         stages[i].stage.groups);
        assert_int_equal(onnx->nodes[i].input_count, i == 3 ? 3 : 2);
    }
    assert_string_equal(ecki_onnx_output(onnx, &onnx->nodes[3], 0), "y");
    ecki_container_close(c);
}

static eck_stage transposed(int64_t in, int64_t out, int64_t groups, const int64_t *kernel)
{
    eck_stage stage = eck_stage_conv(in, out, groups, 2, kernel);
    stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    return stage;
}

// Of a transposed convolution everything about a dimension stands with one stage.
static void test_transposed(void **state)
{
    (void)state;
    const int64_t one[] = { 1, 1 }, tall[] = { 3, 1 }, wide[] = { 1, 5 };
    const ecki_onnx_stage stages[] = { { eck_stage_conv(4, 2, 1, 2, one), "s0", false },
                                       { transposed(2, 2, 2, wide), "s1", false },
                                       { transposed(2, 2, 2, tall), "s2", false },
                                       { eck_stage_conv(2, 4, 1, 2, one), "s3", false } };
    ecki_container *c = chained("ConvTranspose x w b -> y strides=2,3 dilations=4,5 pads=6,7,8,9 "
                                "output_padding=1,2",
                                17, ECKI_SITE_CONV_TRANSPOSE, stages, 4);
    const ecki_onnx *onnx = c->onnx;
    const char *const types[] = { "Conv", "ConvTranspose", "ConvTranspose", "Conv" };
    const int64_t strides[2][2] = { { 1, 3 }, { 2, 1 } }, dilations[2][2] = { { 1, 5 }, { 4, 1 } };
    const int64_t pads[2][4] = { { 0, 7, 0, 9 }, { 6, 0, 8, 0 } },
                  added[2][2] = { { 0, 2 }, { 1, 0 } };
    for (int64_t i = 0; i < 4; i++) {
        assert_string_equal(onnx->nodes[i].type, types[i]);
        assert_int_equal(onnx->nodes[i].input_count, i == 3 ? 3 : 2);
        assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[i], "group", 0), i % 3 ? 2 : 1);
        if (i % 3 == 0) assert_null(ecki_onnx_attribute_of(onnx, &onnx->nodes[i], "strides"));
        for (int32_t d = 0; i % 3 && d < 4; d++)
            assert_int_equal(list_at(onnx, i, "pads", d), pads[i - 1][d]);
        for (int32_t d = 0; i % 3 && d < 2; d++) {
            assert_int_equal(list_at(onnx, i, "kernel_shape", d), stages[i].stage.kernel[d]);
            assert_int_equal(list_at(onnx, i, "strides", d), strides[i - 1][d]);
            assert_int_equal(list_at(onnx, i, "dilations", d), dilations[i - 1][d]);
            assert_int_equal(list_at(onnx, i, "output_padding", d), added[i - 1][d]);
        }
    }
    ecki_container_close(c);
}

// Where no stage is wide the last transposed one strides; automatic padding goes with every one of them.
static void test_transposed_of_one_tap(void **state)
{
    (void)state;
    const int64_t one[] = { 1, 1 }, tall[] = { 3, 1 };
    const ecki_onnx_stage stages[] = { { transposed(4, 2, 1, tall), "s0", false },
                                       { transposed(2, 4, 1, one), "s1", false } };
    ecki_container *c = chained("ConvTranspose x w -> y strides=2,3 auto_pad=SAME_UPPER", 17,
                                ECKI_SITE_CONV_TRANSPOSE, stages, 2);
    const int64_t strides[2][2] = { { 2, 1 }, { 1, 3 } };
    for (int64_t i = 0; i < 2; i++) {
        for (int32_t d = 0; d < 2; d++)
            assert_int_equal(list_at(c->onnx, i, "strides", d), strides[i][d]);
        assert_string_equal(ecki_onnx_attribute_of(c->onnx, &c->onnx->nodes[i], "auto_pad")->text,
                            "SAME_UPPER");
        assert_null(ecki_onnx_attribute_of(c->onnx, &c->onnx->nodes[i], "pads"));
    }
    ecki_container_close(c);
}

// Padding that follows from the input stays with the stage that moves.
static void test_automatic_padding(void **state)
{
    (void)state;
    const int64_t one[] = { 1, 1 }, kernel[] = { 3, 3 };
    const ecki_onnx_stage stages[] = { { eck_stage_conv(4, 2, 1, 2, kernel), "s0", false },
                                       { eck_stage_conv(2, 4, 1, 2, one), "s1", false } };
    ecki_container *c = chained("Conv x w -> y auto_pad=SAME_UPPER", 17, ECKI_SITE_CONV, stages, 2);
    const ecki_onnx *onnx = c->onnx;
    assert_string_equal(ecki_onnx_attribute_of(onnx, &onnx->nodes[0], "auto_pad")->text,
                        "SAME_UPPER");
    assert_null(ecki_onnx_attribute_of(onnx, &onnx->nodes[1], "auto_pad"));
    ecki_container_close(c);
}

static void test_products(void **state)
{
    (void)state;
    ecki_onnx_stage stages[] = { { eck_stage_linear(4, 2), "s0", true },
                                 { eck_stage_linear(2, 4), "s1", true } };
    stages[0].stage.kind = ECK_STAGE_LOOKUP;
    stages[0].turned = false;
    ecki_container *c = chained("Gather w x -> y", 17, ECKI_SITE_GATHER, stages, 2);
    assert_string_equal(c->onnx->nodes[0].type, "Gather");
    assert_string_equal(ecki_onnx_input(c->onnx, &c->onnx->nodes[0], 0), "s0");
    assert_string_equal(c->onnx->nodes[1].type, "MatMul");
    ecki_container_close(c);
    stages[0].stage.kind = ECK_STAGE_LINEAR;
    c = chained("Gemm x w b -> y transA=1 transB=1", 17, ECKI_SITE_GEMM, stages, 2);
    const ecki_onnx *onnx = c->onnx;
    assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[0], "transA", 0), 1);
    assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[0], "transB", 0), 1);
    assert_int_equal(onnx->nodes[0].input_count, 2);
    assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[1], "transA", 0), 0);
    assert_int_equal(ecki_onnx_integer(onnx, &onnx->nodes[1], "transB", 0), 0);
    assert_int_equal(onnx->nodes[1].input_count, 3);
    ecki_container_close(c);
}

// A scale between two stages is a product element by element, its shape that of the channels.
static void test_scale(void **state)
{
    (void)state;
    int64_t shape[ECK_DIMS_MAX];
    const int64_t one[] = { 1, 1 };
    ecki_onnx_stage stages[] = { { eck_stage_conv(4, 2, 1, 2, one), "s0", false },
                                 { eck_stage_linear(2, 2), "s1", false },
                                 { eck_stage_conv(2, 4, 1, 2, one), "s2", false } };
    stages[1].stage.kind = ECK_STAGE_SCALE;
    ecki_container *c = chained("Conv x w b -> y", 17, ECKI_SITE_CONV, stages, 3);
    assert_string_equal(c->onnx->nodes[1].type, "Mul");
    assert_int_equal(ecki_onnx_stage_shape(&stages[1], ECKI_SITE_CONV, shape), 3 - 2);
    stages[1].stage.spatial = 2;
    assert_int_equal(ecki_onnx_stage_shape(&stages[1], ECKI_SITE_CONV, shape), 3);
    assert_int_equal(ecki_onnx_stage_shape(&stages[1], ECKI_SITE_MATMUL, shape), 1);
    assert_int_equal(ecki_onnx_stage_shape(&stages[1], ECKI_SITE_MATMUL_LEFT, shape), 2);
    ecki_container_close(c);
}

static void test_refused(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    ecki_text out = { 0 };
    const int64_t kernel[] = { 3 };
    ecki_container *c = one_node("MatMul x w -> y", 17);
    const ecki_onnx_site site = { c->onnx, &c->files[0], 0, ECKI_SITE_MATMUL };
    const ecki_onnx_stage conv = { eck_stage_conv(4, 4, 1, 1, kernel), "s0", false };
    assert_int_equal(ecki_onnx_put_chain(&out, &site, &conv, 1, &err), ECK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "cannot stand in a MatMul"));
    ecki_text_clear(&out);
    ecki_container_close(c);
    c = one_node("Conv x w -> y auto_pad=SAME_LOWER", 17);
    const ecki_onnx_site same = { c->onnx, &c->files[0], 0, ECKI_SITE_CONV };
    const ecki_onnx_stage both[] = { { eck_stage_conv(4, 2, 1, 1, kernel), "s0", false },
                                     { eck_stage_conv(2, 4, 1, 1, kernel), "s1", false } };
    assert_int_equal(ecki_onnx_put_chain(&out, &same, both, 2, &err), ECK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "two stages"));
    ecki_text_clear(&out);
    ecki_container_close(c);
    const int64_t tall[] = { 3, 1 }, wide[] = { 1, 3 };
    const ecki_onnx_stage split[] = { { transposed(4, 2, 1, tall), "s0", false },
                                      { transposed(2, 4, 1, wide), "s1", false } },
                          again[] = { split[0], { transposed(2, 4, 1, tall), "s1", false } };
    c = one_node("ConvTranspose x w -> y output_shape=8,8", 17);
    const ecki_onnx_site sized = { c->onnx, &c->files[0], 0, ECKI_SITE_CONV_TRANSPOSE };
    assert_int_equal(ecki_onnx_put_chain(&out, &sized, split, 2, &err), ECK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "a size of its own"));
    ecki_text_clear(&out);
    ecki_container_close(c);
    c = one_node("ConvTranspose x w -> y", 17);
    const ecki_onnx_site plain = { c->onnx, &c->files[0], 0, ECKI_SITE_CONV_TRANSPOSE };
    assert_int_equal(ecki_onnx_put_chain(&out, &plain, again, 2, &err), ECK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "wide along dimension 0"));
    ecki_text_clear(&out);
    ecki_container_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_dimension_with_its_kernel),
        cmocka_unit_test(test_automatic_padding),
        cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_transposed_of_one_tap),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
