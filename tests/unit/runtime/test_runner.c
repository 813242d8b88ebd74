/**
 * runner.c and onednn.c: chains against the definition of their layers. All numbers are whole and small enough for every
 * sum to be exact in F32, in any order, so that both sides must agree to the last bit; with other numbers, within the
 * bound the header states.
 */
#include "plain.h"

#include <stdio.h>
#include <string.h>

#include "eckart/decompose.h"

typedef struct shape_case {
    int64_t in, out, groups;
    int32_t spatial; // 0: linear
    int64_t batch, input[3], kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3];
    bool bias;
} shape_case;

static const shape_case CASES[] = {
    { 7, 5, 1, 0, 3, { 1, 1, 1 }, { 1 }, { 1 }, { 1 }, { 0 }, { 0 }, false },
    { 33, 50, 1, 0, 1, { 1, 1, 1 }, { 1 }, { 1 }, { 1 }, { 0 }, { 0 }, true },
    { 6, 4, 1, 1, 2, { 11 }, { 3 }, { 1 }, { 1 }, { 1 }, { 1 }, true },
    { 6, 8, 2, 1, 1, { 12 }, { 5 }, { 2 }, { 2 }, { 3 }, { 1 }, false },
    { 5, 7, 1, 2, 2, { 9, 8 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, true },
    { 4, 6, 2, 2, 1, { 10, 7 }, { 3, 5 }, { 2, 1 }, { 1, 2 }, { 2, 0 }, { 0, 4 }, false },
    { 16, 32, 1, 2, 1, { 14, 14 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, true },
    { 8, 8, 8, 2, 1, { 7, 9 }, { 3, 3 }, { 1, 1 }, { 2, 2 }, { 2, 2 }, { 2, 2 }, false },
    { 6, 9, 3, 2, 1, { 8, 8 }, { 1, 1 }, { 2, 3 }, { 1, 1 }, { 1, 0 }, { 0, 2 }, true },
    { 4,
      4,
      1,
      3,
      1,
      { 5, 6, 7 },
      { 3, 3, 3 },
      { 1, 2, 1 },
      { 1, 1, 2 },
      { 1, 0, 2 },
      { 1, 1, 2 },
      true },
    { 6,
      4,
      2,
      3,
      2,
      { 4, 5, 5 },
      { 1, 3, 2 },
      { 1, 1, 2 },
      { 1, 1, 1 },
      { 0, 1, 0 },
      { 0, 1, 1 },
      false },
    // from here on transposed convolutions
    { 6, 4, 1, 1, 2, { 7 }, { 4 }, { 2 }, { 1 }, { 1 }, { 1 }, true },
    { 5, 7, 1, 2, 2, { 6, 5 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, { 1, 0 }, true },
    { 8, 6, 2, 2, 1, { 5, 6 }, { 3, 5 }, { 1, 3 }, { 2, 1 }, { 0, 2 }, { 1, 1 }, false },
    { 16, 16, 1, 2, 1, { 9, 9 }, { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0, 0 }, { 0, 0 }, true },
    { 6, 9, 3, 2, 1, { 4, 5 }, { 1, 3 }, { 2, 1 }, { 1, 1 }, { 0, 1 }, { 0, 1 }, false },
    { 4, 6, 1, 2, 1, { 4, 3 }, { 1, 1 }, { 2, 2 }, { 1, 1 }, { 0, 0 }, { 0, 0 }, true },
    { 4,
      6,
      2,
      3,
      1,
      { 3, 4, 3 },
      { 3, 2, 3 },
      { 1, 2, 2 },
      { 1, 1, 1 },
      { 1, 0, 1 },
      { 0, 0, 1 },
      true },
};

enum { CASE_COUNT = sizeof CASES / sizeof *CASES, TURNED_FIRST = 11 };

/** Output padding of the transposed ones. */
static const int64_t OUTPUT_PADDING[CASE_COUNT - TURNED_FIRST][3] = {
    { 0 }, { 1, 0 }, { 0, 2 }, { 0, 0 }, { 1, 0 }, { 0, 1 }, { 0, 1, 0 }
};

static bool is_turned(const shape_case *c)
{
    return c - CASES >= TURNED_FIRST;
}

static eck_stage dense_of(const shape_case *c)
{
    eck_stage stage = c->spatial == 0
                          ? eck_stage_linear(c->in, c->out)
                          : eck_stage_conv(c->in, c->out, c->groups, c->spatial, c->kernel);
    if (is_turned(c)) stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    for (int d = 0; d < c->spatial; d++) {
        stage.stride[d] = c->stride[d];
        stage.dilation[d] = c->dilation[d];
    }
    return stage;
}

static eck_place place_of(const shape_case *c)
{
    eck_place place = ECK_PLACE_INIT;
    place.batch = c->batch;
    for (int d = 0; d < c->spatial; d++) {
        place.input[d] = c->input[d];
        place.pad_begin[d] = c->pad_begin[d];
        place.pad_end[d] = c->pad_end[d];
        place.output_padding[d] = is_turned(c) ? OUTPUT_PADDING[c - CASES - TURNED_FIRST][d] : 0;
    }
    return place;
}

static int64_t count_of(const int64_t *shape, int32_t ndim)
{
    int64_t count = 1;
    for (int32_t i = 0; i < ndim; i++)
        count *= shape[i];
    return count;
}

/** Runs a chain on x, whose numbers F32 holds; the number of results is put into *count_out. Owned, free(). */
static float *run(const eck_chain *chain, const eck_place *place, const double *x,
                  int64_t *count_out)
{
    int64_t shape[ECK_DIMS_MAX];
    eck_runner *runner = NULL;
    eck_error error = ECK_ERROR_INIT;

    if (eck_runner_create(&runner, chain, place, NULL, &error) != ECK_OK)
        fail_msg("%s", error.message);
    const int64_t in = count_of(shape, eck_runner_input(runner, shape));
    const int64_t out = count_of(shape, eck_runner_output(runner, shape));
    float *given = calloc((size_t)in, sizeof *given), *made = calloc((size_t)out, sizeof *made);
    for (int64_t i = 0; i < in; i++)
        given[i] = (float)x[i];
    // Twice: nothing is left over from a pass.
    for (int i = 0; i < 2; i++)
        assert_int_equal(eck_runner_run(runner, made, given, &error), ECK_OK);
    *count_out = out;
    free(given);
    eck_runner_free(runner);
    return made;
}

static double *signal_of(const shape_case *c, bool whole)
{
    const int64_t count = c->batch * c->in * count_of(c->input, c->spatial);
    double *x = calloc((size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] =
            whole ? whole_number(3, i, 4) : (double)(float)ecki_random_normal(12, 3, (uint64_t)i);
    return x;
}

/** One stage, to the last bit. */
static void test_layers(void **state)
{
    (void)state;
    for (int n = 0; n < CASE_COUNT; n++) {
        const shape_case *c = &CASES[n];
        eck_stage stage = dense_of(c);
        eck_place place = place_of(c);
        int64_t count;
        fill_stage(&stage, 20, 4, c->bias);
        double *x = signal_of(c, true);
        float *made = run(&(eck_chain){ &stage, 1 }, &place, x, &count);
        int64_t sizes[ECK_SPATIAL_MAX];
        assert_int_equal(eck_place_output(sizes, &place, &stage), c->spatial);
        double *want = plain_layer(&stage, &place, x, true);
        assert_memory_equal(sizes, place.input, (size_t)c->spatial * sizeof *sizes);
        assert_int_equal(count, c->batch * c->out * count_of(place.input, c->spatial));
        for (int64_t i = 0; i < count; i++)
            assert_true((double)made[i] == want[i]);
        free(x);
        free(made);
        free(want);
        eck_array_free(stage.weight);
        eck_array_free(stage.bias);
    }
}

/** Stride and dilation that a file does not say come from the place. */
static void test_place_fills_in(void **state)
{
    (void)state;
    const shape_case *c = &CASES[5];
    eck_stage stage = dense_of(c);
    eck_place place = place_of(c);
    int64_t first, second;
    fill_stage(&stage, 21, 4, false);
    double *x = signal_of(c, true);
    float *said = run(&(eck_chain){ &stage, 1 }, &place, x, &first);
    for (int d = 0; d < 3; d++) {
        place.stride[d] = stage.stride[d];
        place.dilation[d] = stage.dilation[d];
        stage.stride[d] = stage.dilation[d] = -1;
    }
    float *filled = run(&(eck_chain){ &stage, 1 }, &place, x, &second);
    assert_int_equal(first, second);
    assert_memory_equal(said, filled, (size_t)first * sizeof *said);
    free(x);
    free(said);
    free(filled);
    eck_array_free(stage.weight);
}

static eck_point point_of(eck_method method, const eck_stage *dense)
{
    int32_t wide = 0;
    for (int d = 0; d < dense->spatial; d++)
        wide += dense->kernel[d] > 1;
    eck_point point = { .method = method, .rank_count = 1 };
    if (method == ECK_METHOD_TUCKER2) point.rank_count = 2;
    if (method == ECK_METHOD_CP || method == ECK_METHOD_TT) point.rank_count = wide + 1;
    for (int32_t i = 0; i < point.rank_count; i++)
        point.ranks[i] = method == ECK_METHOD_DEPTHWISE
                             ? 2 * (dense->kind == ECK_STAGE_CONV ? dense->in : dense->out)
                             : dense->groups * (method == ECK_METHOD_CP ? 3 : 2 + i % 2);
    return point;
}

/** The layer a chain stands for: the dense stage with the weight of eck_operator_chain(). */
static eck_stage rebuilt(const eck_chain *chain, const eck_stage *dense)
{
    eck_stage stage = *dense;
    eck_operator *w = NULL;
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(dense, shape);

    assert_int_equal(eck_operator_chain(&w, chain, dense, NULL), ECK_OK);
    const eck_operator_info *info = eck_operator_get_info(w);
    assert_int_equal(eck_array_create(&stage.weight, ECK_DTYPE_F64, ndim, shape, NULL), ECK_OK);
    assert_int_equal(info->rows * info->cols, eck_array_count(stage.weight));
    const eck_panel all = { stage.weight->data, ECK_DTYPE_F64, info->rows, info->cols, info->cols };
    assert_int_equal(eck_operator_read(w, 0, 0, all, NULL), ECK_OK);
    eck_operator_free(w);
    return stage;
}

/** The products a chain adds up one after another, and its bound: sum over stages of (K + 1) u. */
static double bound_of(const eck_chain *chain)
{
    double terms = 0;
    for (int32_t i = 0; i < chain->count; i++) {
        const eck_stage *s = &chain->stages[i];
        terms += (double)(eck_stage_parameters(s) / s->out) + 2;
    }
    return terms * 0x1p-24;
}

/** True if a stage has the padding along a dimension, as the header says. */
static bool pads(const eck_chain *chain, int32_t i, int d)
{
    int32_t where = -1;
    for (int32_t j = chain->count - 1; j >= 0; j--) // the first that is wide comes last
        if (chain->stages[j].kind == ECK_STAGE_CONV_TRANSPOSE &&
            (where < 0 || chain->stages[j].kernel[d] > 1))
            where = j;
    if (where >= 0) return where == i;
    for (int32_t j = chain->count - 1; j >= 0; j--)
        if (chain->stages[j].kernel[d] > 1) where = j;
    return i == (where < 0 ? 0 : where);
}

/** A chain of a method, as it is run and as the kernel it multiplies out to is convolved. */
static void compare_method(eck_method method, const shape_case *c, bool whole, double *worst)
{
    const eck_stage dense = dense_of(c);
    const eck_point point = point_of(method, &dense);
    eck_chain chain = { NULL, 0 };
    eck_place place = place_of(c);
    int64_t count;

    eck_error err = ECK_ERROR_INIT;
    if (eck_chain_outline(&chain, &dense, &point, &err) != ECK_OK) fail_msg("%s", err.message);
    for (int32_t i = 0; i < chain.count; i++)
        fill_stage(&chain.stages[i], (uint64_t)(30 + 2 * i), whole ? 2 : 0,
                   i + 1 == chain.count && c->bias);
    double *x = signal_of(c, whole);
    float *made = run(&chain, &place, x, &count);
    eck_stage stage = rebuilt(&chain, &dense);
    stage.bias = chain.stages[chain.count - 1].bias;
    double *want = plain_layer(&stage, &place, x, true);
    // Sums of absolute values, through the stages as they are: what the bound is relative to.
    eck_place step = place_of(c);
    double *size = signal_of(c, whole);
    for (int32_t i = 0; i < chain.count && !whole; i++) {
        eck_place here = step;
        for (int d = 0; d < c->spatial; d++) {
            if (!pads(&chain, i, d))
                here.pad_begin[d] = here.pad_end[d] = here.output_padding[d] = 0;
        }
        double *next = plain_layer(&chain.stages[i], &here, size, false);
        memcpy(step.input, here.input, sizeof step.input);
        free(size);
        size = next;
    }
    for (int64_t i = 0; i < count; i++) {
        if (whole) {
            assert_true(fabs(want[i]) < 0x1p24);
            assert_true((double)made[i] == want[i]);
            continue;
        }
        const double allowed = bound_of(&chain) * size[i];
        const double off = fabs((double)made[i] - want[i]);
        *worst = fmax(*worst, allowed > 0 ? off / allowed : off > 0);
        assert_true(off <= allowed);
    }
    free(x);
    free(size);
    free(made);
    free(want);
    eck_array_free(stage.weight);
    eck_chain_clear(&chain);
}

static void test_methods(void **state)
{
    (void)state;
    int compared = 0;
    double worst = 0;
    for (int n = 0; n < CASE_COUNT; n++)
        for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
            const eck_stage dense = dense_of(&CASES[n]);
            if (!eck_method_applies((eck_method)m, &dense)) continue;
            compare_method((eck_method)m, &CASES[n], true, &worst);
            compare_method((eck_method)m, &CASES[n], false, &worst);
            compared++;
        }
    printf("%d chains; worst error over its bound %.3g\n", compared, worst);
    assert_true(compared >= 40);
}

/** Makes a runner that must be refused. */
static void refused(eck_status wanted, const eck_chain *chain, const eck_place *place,
                    const char *part)
{
    eck_runner *runner = NULL;
    eck_error error = ECK_ERROR_INIT;

    assert_int_equal(eck_runner_create(&runner, chain, place, NULL, &error), wanted);
    assert_null(runner);
    if (!strstr(error.message, part)) fail_msg("'%s' is not in '%s'", part, error.message);
}

static void test_places_refused(void **state)
{
    (void)state;
    const shape_case *c = &CASES[4];
    eck_stage stage = dense_of(c);
    const eck_chain chain = { &stage, 1 };
    const eck_place good = place_of(c);
    eck_place place = good;

    refused(ECK_E_SHAPE, &(eck_chain){ NULL, 0 }, &good, "no stage");
    refused(ECK_E_SHAPE, &chain, &good, "stage 0 has no weight");
    fill_stage(&stage, 20, 4, true);
    place.batch = 0;
    refused(ECK_E_RANGE, &chain, &place, "batch 0");
    place = good;
    place.input[1] = 0;
    refused(ECK_E_RANGE, &chain, &place, "input size 0");
    place = good;
    place.input[0] = INT64_C(1) << 31;
    refused(ECK_E_RANGE, &chain, &place, "input size 2147483648");
    place = good;
    place.pad_begin[0] = -1;
    refused(ECK_E_RANGE, &chain, &place, "padding -1");
    place.pad_begin[0] = place.pad_end[0] = 0;
    place.input[0] = 2;
    refused(ECK_E_SHAPE, &chain, &place, "reaches over 3 does not fit into 2");
    stage.stride[0] = 0;
    refused(ECK_E_RANGE, &chain, &good, "stride 0");
    stage.stride[0] = -1;
    place = good;
    place.stride[0] = 0;
    refused(ECK_E_RANGE, &chain, &place, "stride 0");
    stage.stride[0] = 1;
    stage.dilation[0] = 0;
    refused(ECK_E_RANGE, &chain, &good, "dilation 0");
    eck_array_free(stage.weight);
    eck_array_free(stage.bias);
}

static void test_transposed_refused(void **state)
{
    (void)state;
    eck_stage stage = eck_stage_conv(4, 3, 1, 1, (const int64_t[]){ 3 });
    const eck_chain chain = { &stage, 1 };
    eck_place place = ECK_PLACE_INIT;

    stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    fill_stage(&stage, 1, 4, false);
    place.input[0] = 5;
    place.stride[0] = 2;
    place.output_padding[0] = 2;
    refused(ECK_E_RANGE, &chain, &place, "stage 0: output padding 2: 0 to 1 are allowed");
    place.output_padding[0] = -1;
    refused(ECK_E_RANGE, &chain, &place, "output padding -1");
    place.output_padding[0] = 1;
    place.pad_begin[0] = place.pad_end[0] = 6; // of 2 * 4 + 3 + 1
    refused(ECK_E_SHAPE, &chain, &place, "stage 0: padding cuts 12 off of 12");
    stage.weight->shape[0] = 3;
    stage.weight->shape[1] = 4;
    refused(ECK_E_SHAPE, &chain, &place, "its weight is not of its shape");
    eck_array_free(stage.weight);
}

static void test_chains_refused(void **state)
{
    (void)state;
    eck_stage stages[2] = { eck_stage_linear(4, 3), eck_stage_linear(3, 5) };
    const eck_chain chain = { stages, 2 };
    const eck_place place = ECK_PLACE_INIT;

    fill_stage(&stages[0], 1, 4, false);
    fill_stage(&stages[1], 3, 4, true);
    stages[1].bias->shape[0] = 4;
    refused(ECK_E_SHAPE, &chain, &place, "its bias is not one of 5 numbers");
    stages[1].bias->shape[0] = 5;
    stages[1].weight->shape[1] = 2;
    refused(ECK_E_SHAPE, &chain, &place, "stage 1: its weight is not of its shape");
    stages[1].weight->shape[1] = 3;
    stages[1].in = 2;
    refused(ECK_E_SHAPE, &chain, &place, "stage 1 takes 2 channels, it is given 3");
    stages[1].in = 3;
    stages[1].kind = ECK_STAGE_SCALE;
    refused(ECK_E_UNSUPPORTED, &chain, &place, "kind 5");
    stages[1].kind = ECK_STAGE_LINEAR;
    stages[0].groups = 2;
    refused(ECK_E_SHAPE, &chain, &place, "2 groups of 4 -> 3");
    stages[0].groups = 1;
    stages[0].in = 0;
    refused(ECK_E_RANGE, &chain, &place, "channels in 0");
    stages[0].in = 4;
    eck_stage conv = eck_stage_conv(3, 5, 1, 1, (const int64_t[]){ 1 });
    conv.weight = stages[1].weight;
    conv.weight->ndim = 3;
    conv.weight->shape[2] = 1;
    refused(ECK_E_SHAPE, &(eck_chain){ (eck_stage[]){ stages[0], conv }, 2 }, &place,
            "stage 1 has 1 spatial dimensions, the one before it 0");
    conv.spatial = 0;
    refused(ECK_E_SHAPE, &(eck_chain){ &conv, 1 }, &place, "0 spatial dimensions");
    for (int i = 0; i < 2; i++)
        eck_array_free(stages[i].weight);
    eck_array_free(stages[1].bias);
    eck_runner_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_place_fills_in),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_places_refused),
        cmocka_unit_test(test_transposed_refused),
        cmocka_unit_test(test_chains_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
