/**
 * How often the layers of a graph run: shapes that are given, found, or not to be found, and why. Rules of single operators
 * (shape_rules.c, shape_moves.c) are held against sizes counted by hand; tests/peers/test_macs.py has the rest of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/file.h"
#include "eckart/model.h"
#include "fixture.h"
#include "made_graph.h"
#include "memory/failing_allocator.h"

static const int64_t sizes[] = { 2, 32, 20, 30 };

/** A convolution with a stride, one that reads what an unknown operator makes, and a product behind a Flatten. */
static char *save_graph(const char *folder)
{
    made_graph m = { .ir = 8, .opset = 17 };
    char *path = fixture_path(folder, "made.onnx");

    made_value(&m, 11, "x");
    made_value(&m, 12, "d");
    made_weight(&m, "wide", 64, 32, 3);
    made_weight(&m, "after", 64, 64, 3);
    made_weight(&m, "up", 64, 48, 3);
    made_weight(&m, "flat", 2, 64, 0);
    made_weight(&m, "unused", 64, 64, 0);
    made_node(&m, "Conv x wide -> a strides=2,1 pads=1,1,1,1");
    made_node(&m, "Strange a -> b");
    made_node(&m, "Conv b after -> c");
    made_node(&m, "ConvTranspose a up -> u strides=2,2");
    made_node(&m, "GlobalAveragePool a -> g");
    made_node(&m, "Flatten g -> f axis=1");
    made_node(&m, "Transpose flat -> t");
    made_node(&m, "MatMul f t -> d");
    ecki_text model = made_model(&m);
    assert_int_equal(eck_file_write(path, model.data, model.length, true, NULL), ECK_OK);
    ecki_text_clear(&model);
    return path;
}

static const eck_layer *layer_called(const eck_model *model, const char *name)
{
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        if (strcmp(eck_model_layer(model, i)->name, name) == 0) return eck_model_layer(model, i);
    fail_msg("no layer '%s'", name);
    return NULL;
}

static void expect_unknown(const eck_model *model, const char *name, const char *reason)
{
    const eck_layer *layer = layer_called(model, name);
    assert_int_equal(layer->macs, -1);
    assert_int_equal(layer->use_count, 0);
    assert_int_equal(eck_layer_macs(layer, NULL), -1);
    assert_string_equal(layer->macs_unknown, reason);
}

static void layers_run(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = save_graph(folder);
    eck_model *model = NULL;

    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    expect_unknown(model, "wide", "the shape of input 'x' is not fixed");
    expect_unknown(model, "flat", "the shape of input 'x' is not fixed");
    assert_int_equal(eck_model_set_input(model, "x", 4, sizes, NULL), ECK_OK);
    const eck_layer *wide = layer_called(model, "wide");
    assert_int_equal(wide->use_count, 1);
    assert_int_equal(wide->uses[0].rows, 2);
    assert_int_equal(wide->uses[0].input[1], 30);
    assert_int_equal(wide->uses[0].output[0], 10);
    assert_int_equal(wide->macs, 2 * 10 * 30 * 64 * 32 * 9);
    assert_null(wide->macs_unknown);
    expect_unknown(model, "after",
                   "the shape that 'Strange' makes of its inputs is not known (value 'b')");
    expect_unknown(model, "unused", "nothing is known to multiply with it");
    // every number that comes in meets the whole weight
    assert_int_equal(layer_called(model, "up")->macs, 2 * 10 * 30 * 64 * 48 * 9);
    assert_int_equal(layer_called(model, "flat")->macs, 2 * 64 * 2);
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

/** The stages of a chain at their own sizes: what comes before a stride sees more places. */
static void chains_run(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = save_graph(folder);
    eck_model *model = NULL;
    const eck_point channel = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { 5 } };
    const eck_point both = { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 7, 9 } };
    const eck_point wrong = { .method = ECK_METHOD_TUCKER2, .rank_count = 1, .ranks = { 7 } };
    const eck_point none = { .method = ECK_METHOD_DENSE };

    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    assert_int_equal(eck_model_set_input(model, "x", 4, sizes, NULL), ECK_OK);
    const eck_layer *wide = layer_called(model, "wide");
    assert_int_equal(eck_layer_macs(wide, &channel), 2 * 10 * 30 * (5 * 32 * 9 + 64 * 5));
    assert_int_equal(eck_layer_macs(wide, &both),
                     2 * 20 * 30 * 7 * 32 + 2 * 10 * 30 * (9 * 7 * 9 + 64 * 9));
    assert_int_equal(eck_layer_macs(wide, &none), wide->macs);
    assert_int_equal(eck_layer_macs(wide, &wrong), -1);
    assert_int_equal(eck_layer_macs(layer_called(model, "flat"), &both), -1);
    eck_point points[] = { channel, both };
    points[0].error = 0.3;
    points[1].error = 0.2;
    const eck_curve curve = { points, 2 };
    assert_ptr_equal(eck_layer_best(wide, &curve, ECK_METHOD_TUCKER2, wide->macs), &points[1]);
    assert_null(eck_layer_best(wide, &curve, ECK_METHOD_TUCKER2, 1000));
    assert_null(eck_layer_best(layer_called(model, "after"), &curve, ECK_METHOD_SVD, INT64_MAX));
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

/** What a convolution of one tap behind `nodes` runs on: how many places. */
static int64_t places_behind(const char *folder, const char *nodes)
{
    made_graph m = { .ir = 8, .opset = 17 };
    char *path = fixture_path(folder, "one.onnx"), copy[200], *rest = copy;
    eck_model *model = NULL;

    snprintf(copy, sizeof copy, "%s", nodes);
    made_value(&m, 11, "x");
    made_value(&m, 12, "z");
    made_weight(&m, "w", 8, 32, 1);
    for (char *node = strtok_r(rest, ";", &rest); node; node = strtok_r(NULL, ";", &rest))
        made_node(&m, node);
    made_node(&m, "Conv y w -> z");
    ecki_text text = made_model(&m);
    assert_int_equal(eck_file_write(path, text.data, text.length, true, NULL), ECK_OK);
    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    assert_int_equal(eck_model_set_input(model, "x", 4, sizes, NULL), ECK_OK);
    const int64_t macs = layer_called(model, "w")->macs;
    eck_model_close(model);
    ecki_text_clear(&text);
    free(path);
    return macs < 0 ? -1 : macs / (8 * 32);
}

static void single_operators(void **state)
{
    (void)state;
    const struct {
        const char *nodes;
        int64_t places;
    } cases[] = {
        { "Relu x -> y", 2 * 20 * 30 },
        { "MaxPool x -> y kernel_shape=3,3 strides=2,2 pads=1,1,1,1", 2 * 10 * 15 },
        // 30 = 9 * 3 + 3: rounding up would begin a window behind the last column
        { "AveragePool x -> y kernel_shape=2,2 strides=3,3 ceil_mode=1", 2 * 7 * 10 },
        { "AveragePool x -> y kernel_shape=2,5 strides=7,7 ceil_mode=1", 2 * 3 * 5 },
        { "GlobalMaxPool x -> y", 2 },
        { "Concat x x -> y axis=2", 2 * 40 * 30 },
        { "Pad x -> y pads=0,0,1,2,0,0,3,4", 2 * 24 * 36 },
        { "Slice x -> y starts=1,2 ends=9,100 axes=2,3", 2 * 8 * 28 },
        { "Split x -> y other axis=2", 2 * 10 * 30 },
        { "Unsqueeze x -> u axes=0,1;Squeeze u -> y axes=0,1", 2 * 20 * 30 },
        { "Unsqueeze x -> u axes=0,0;Squeeze u -> y", -1 },
        { "ReduceMean x -> y axes=2,3", 2 },
        { "Transpose x -> y perm=3,1,0,2", 30 * 2 * 20 },
        { "Transpose x -> y perm=3,1,0", -1 },
        { "Add x y2 -> y;GlobalAveragePool x -> y2", 2 * 20 * 30 },
        { "DepthToSpace c -> y blocksize=2;Concat x x x x -> c axis=1", 2 * 40 * 60 },
        { "DepthToSpace x -> y blocksize=3", -1 },
        { "Shape x -> s;Reshape x s -> y", 2 * 20 * 30 },
        { "Size x -> s;Reshape x s -> y", -1 },
        { "Shape x -> s start=1 end=3;ConstantOfShape s -> k;Unsqueeze k -> y axes=2,3", 32 },
    };
    char *folder = fixture_folder();

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (places_behind(folder, cases[i].nodes) != cases[i].places)
            fail_msg("%s: %lld places, wanted %lld", cases[i].nodes,
                     (long long)places_behind(folder, cases[i].nodes), (long long)cases[i].places);
    fixture_remove(folder);
}

static void expect_refused(eck_model *model, const char *name, int32_t ndim, const int64_t *shape,
                           eck_status wanted, const char *part)
{
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_model_set_input(model, name, ndim, shape, &err), wanted);
    if (!strstr(err.message, part)) fail_msg("'%s', wanted '%s'", err.message, part);
}

static void shapes_refused(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = save_graph(folder);
    eck_model *model = NULL;
    const int64_t bad[] = { 2, 32, 0, 30 };

    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    expect_refused(model, "y", 4, sizes, ECK_E_RANGE, "has no input 'y'");
    expect_refused(model, "wide", 4, sizes, ECK_E_RANGE, "has no input 'wide'");
    expect_refused(model, "x", 4, bad, ECK_E_RANGE, "is anything in the file, found 2x32x?x30");
    expect_refused(model, "x", 9, sizes, ECK_E_SHAPE, "9 dimensions: 0 to 8");
    assert_int_equal(eck_model_set_input(model, "x", 4, sizes, NULL), ECK_OK);
    expect_refused(model, "x", 4, sizes, ECK_E_RANGE, "input 'x' is given two shapes");
    assert_true(layer_called(model, "wide")->macs > 0);
    eck_model_close(model);
    // a window that is larger than what it moves over makes nothing
    assert_int_equal(eck_model_open(&model, path, NULL), ECK_OK);
    const int64_t flat[] = { 2, 32, 1, 0x1p39 };
    assert_int_equal(eck_model_set_input(model, "x", 4, flat, NULL), ECK_OK);
    assert_int_equal(layer_called(model, "wide")->macs, 2 * (int64_t)0x1p39 * 64 * 32 * 9);
    expect_unknown(model, "up",
                   "the shape that 'ConvTranspose' makes of its inputs is not known (value 'u')");
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

static eck_status open_scenario(void *self, eck_error *err)
{
    eck_model *model = NULL;
    eck_status status = eck_model_open(&model, self, err);
    if (status == ECK_OK) status = eck_model_set_input(model, "x", 4, sizes, err);
    if (status == ECK_OK) {
        assert_int_equal(layer_called(model, "wide")->macs, 2 * 10 * 30 * 64 * 32 * 9);
        assert_non_null(layer_called(model, "after")->macs_unknown);
    }
    eck_model_close(model);
    return status;
}

static void every_allocation(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = save_graph(folder);
    fail_every_allocation("eck_model_set_input", open_scenario, path);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_run),       cmocka_unit_test(single_operators),
        cmocka_unit_test(chains_run),       cmocka_unit_test(shapes_refused),
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
