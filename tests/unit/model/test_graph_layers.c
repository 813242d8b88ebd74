/** Weights of graphs: what their uses make of them, and why some are left alone. Models are put together here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/file.h"
#include "eckart/model.h"
#include "fixture.h"
#include "made_graph.h"
#include "model/model.h"

static eck_model *open_graph(const char *folder, made_graph *m)
{
    ecki_text model = made_model(m);
    char *path = fixture_path(folder, "made.onnx");
    eck_model *out = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_file_write(path, model.data, model.length, true, &err), ECK_OK);
    if (eck_model_open(&out, path, &err) != ECK_OK) fail_msg("%s", err.message);
    ecki_text_clear(&model);
    free(path);
    return out;
}

static void expect_reason(const eck_model *model, const char *name, const char *part)
{
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const eck_layer *layer = eck_model_layer(model, i);
        if (strcmp(layer->name, name) != 0) continue;
        if (!part && layer->skipped) fail_msg("'%s': %s", name, layer->skipped);
        if (part && (!layer->skipped || !strstr(layer->skipped, part)))
            fail_msg("'%s': '%s', wanted '%s'", name, layer->skipped ? layer->skipped : "none",
                     part);
        return;
    }
    fail_msg("no layer '%s'", name);
}

static const eck_layer *layer_called(const eck_model *model, const char *name)
{
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        if (strcmp(eck_model_layer(model, i)->name, name) == 0) return eck_model_layer(model, i);
    fail_msg("no layer '%s'", name);
    return NULL;
}

static void products(void **state)
{
    (void)state;
    made_graph m = { .ir = 8, .opset = 17 };
    char *folder = fixture_folder();
    made_value(&m, 11, "x");
    made_value(&m, 12, "a");
    made_weight(&m, "right.weight", 96, 64, 0);
    made_weight(&m, "left", 96, 64, 0);
    made_weight(&m, "gemm", 96, 64, 0);
    made_weight(&m, "gemm_b", 96, 64, 0);
    made_weight(&m, "turned", 96, 64, 0);
    made_weight(&m, "both", 96, 96, 0);
    made_weight(&m, "table", 96, 64, 0);
    made_node(&m, "MatMul x right.weight -> a");
    made_node(&m, "MatMul left x -> b");
    made_node(&m, "Gemm x gemm -> c");
    made_node(&m, "Gemm x gemm_b -> d transB=1");
    made_node(&m, "Transpose turned -> t");
    made_node(&m, "MatMul x t -> e");
    made_node(&m, "MatMul x both -> f");
    made_node(&m, "MatMul both x -> g");
    made_node(&m, "Gather table x -> h");
    eck_model *model = open_graph(folder, &m);
    expect_reason(model, "right", NULL);
    assert_int_equal(layer_called(model, "right")->dense.in, 96);
    assert_true(layer_called(model, "right")->stored_transposed);
    assert_int_equal(layer_called(model, "left")->dense.out, 96);
    assert_false(layer_called(model, "left")->stored_transposed);
    assert_int_equal(layer_called(model, "gemm")->dense.out, 64);
    assert_int_equal(layer_called(model, "gemm_b")->dense.out, 96);
    assert_int_equal(layer_called(model, "turned")->dense.out, 96);
    expect_reason(model, "turned", NULL);
    expect_reason(model, "both", "tied");
    expect_reason(model, "table", "embeddings");
    assert_int_equal(layer_called(model, "table")->dense.kind, ECK_STAGE_LOOKUP);
    eck_model_close(model);
    fixture_remove(folder);
}

static void convolutions(void **state)
{
    (void)state;
    made_graph m = { .ir = 8, .opset = 17 };
    char *folder = fixture_folder();
    made_value(&m, 11, "x");
    made_weight(&m, "wide", 64, 32, 3);
    made_weight(&m, "stem", 64, 3, 7);
    made_weight(&m, "deep", 64, 1, 9);
    made_weight(&m, "up", 64, 64, 3);
    made_weight(&m, "wrong", 64, 32, 3);
    made_node(&m, "Conv x wide -> a");
    made_node(&m, "Conv x stem -> b");
    made_node(&m, "Conv x deep -> c group=64");
    made_weight(&m, "sized", 64, 64, 3);
    made_weight(&m, "each", 64, 1, 3);
    made_node(&m, "ConvTranspose x up -> d");
    made_node(&m, "ConvTranspose x sized -> f output_shape=9,9");
    made_node(&m, "ConvTranspose x each -> g group=64");
    made_node(&m, "Conv x wrong -> e group=7");
    eck_model *model = open_graph(folder, &m);
    expect_reason(model, "wide", NULL);
    assert_int_equal(layer_called(model, "wide")->dense.stride[1], 1);
    expect_reason(model, "stem", "stem convolution");
    expect_reason(model, "deep", "depthwise convolution");
    expect_reason(model, "wrong", "the attributes of 'Conv' do not fit its shape");
    expect_reason(model, "up", NULL);
    expect_reason(model, "sized", NULL);
    expect_reason(model, "each", "depthwise convolution");
    assert_int_equal(layer_called(model, "up")->dense.kind, ECK_STAGE_CONV_TRANSPOSE);
    for (int64_t i = 0; i < model->layer_count; i++) {
        const ecki_layer *layer = &model->layers[i];
        const bool sized = strcmp(layer->name, "sized") == 0;
        if (strcmp(layer->name, "up") != 0 && !sized) continue;
        // sizes between stages are not told: one stage alone may move
        assert_true(ecki_layer_takes(layer, ECK_METHOD_SVD));
        assert_true(ecki_layer_takes(layer, ECK_METHOD_TUCKER2));
        assert_int_equal(ecki_layer_takes(layer, ECK_METHOD_SPATIAL), !sized);
        assert_int_equal(ecki_layer_takes(layer, ECK_METHOD_CP), !sized);
    }
    eck_model_close(model);
    fixture_remove(folder);
}

static void left_alone(void **state)
{
    (void)state;
    made_graph m = { .ir = 8, .opset = 17 };
    char *folder = fixture_folder();
    made_value(&m, 11, "x");
    made_value(&m, 11, "default");
    made_value(&m, 12, "shown");
    made_weight(&m, "default", 96, 64, 0);
    made_weight(&m, "shown", 96, 64, 0);
    made_weight(&m, "added", 96, 64, 0);
    made_weight(&m, "unused", 96, 64, 0);
    made_weight(&m, "addend", 96, 64, 0);
    made_node(&m, "MatMul x default -> a");
    made_node(&m, "MatMul x shown -> b");
    made_node(&m, "Add x added -> c");
    made_node(&m, "Gemm x x addend -> d");
    eck_model *model = open_graph(folder, &m);
    expect_reason(model, "default", "an input of the graph may override it");
    expect_reason(model, "shown", "it is an output of the graph");
    expect_reason(model, "added", "a Add uses it as input 1");
    expect_reason(model, "unused", "nothing uses it");
    expect_reason(model, "addend", "'Gemm' adds it");
    eck_model_close(model);
    fixture_remove(folder);
}

static void old_operators(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    for (int64_t opset = 6; opset <= 11; opset += 5) {
        made_graph m = { .ir = 3, .opset = opset };
        made_value(&m, 11, "x");
        made_value(&m, 11, "w");
        made_value(&m, 11, "v");
        made_weight(&m, "w", 96, 64, 0);
        made_weight(&m, "v", 96, 64, 0);
        made_node(&m, "MatMul x w -> a");
        made_node(&m, "Gemm x v -> b transA=1");
        eck_model *model = open_graph(folder, &m);
        expect_reason(model, "w", opset == 6 ? "operators of opset 6, below 7" : NULL);
        if (opset == 11) expect_reason(model, "v", NULL);
        eck_model_close(model);
    }
    made_graph m = { .ir = 4, .opset = 9 };
    made_value(&m, 11, "x");
    made_weight(&m, "v", 96, 64, 0);
    made_node(&m, "Gemm x v -> b transA=1");
    eck_model *model = open_graph(folder, &m);
    expect_reason(model, "v", "transposes its input, below opset 11");
    eck_model_close(model);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(products), cmocka_unit_test(convolutions),
                                        cmocka_unit_test(left_alone),
                                        cmocka_unit_test(old_operators) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
