// Chains of transposed convolutions: which stages they have, that they compute the layer they stand for, and what they cost.
#include "chains.h"

#include "decompose/adjoint.h"
#include "decompose/outline.h"

#define U64 0x1p-53

static const struct {
    int64_t in, out, groups;
    int32_t spatial;
    int64_t kernel[3], stride[3];
} LAYERS[] = {
    { 8, 6, 1, 2, { 3, 4, 1 }, { 2, 3, 1 } },  { 8, 12, 2, 2, { 3, 3, 1 }, { 1, 2, 1 } },
    { 10, 7, 1, 1, { 4, 1, 1 }, { 3, 1, 1 } }, { 4, 5, 1, 3, { 2, 3, 2 }, { 2, 1, 2 } },
    { 6, 6, 1, 2, { 1, 3, 1 }, { 2, 2, 1 } },  { 9, 9, 3, 2, { 1, 1, 1 }, { 2, 1, 1 } },
};
enum { COUNT = sizeof LAYERS / sizeof *LAYERS };

static eck_stage layer_of(int which)
{
    eck_stage dense = eck_stage_conv(LAYERS[which].in, LAYERS[which].out, LAYERS[which].groups,
                                     LAYERS[which].spatial, LAYERS[which].kernel);
    dense.kind = ECK_STAGE_CONV_TRANSPOSE;
    for (int32_t d = 0; d < dense.spatial; d++) {
        dense.stride[d] = LAYERS[which].stride[d];
        dense.dilation[d] = 1;
    }
    return dense;
}

static eck_point point_of(eck_method method, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const int64_t ranks[] = { a, b, c, d };
    eck_point point = { .method = method };

    for (int i = 0; i < 4 && ranks[i] > 0; i++)
        point.ranks[point.rank_count++] = ranks[i];
    return point;
}

// ---- stages

/** "T" for a transposed convolution, "C" for one of one tap, with channels, kernel and groups: what a chain looks like. */
static void looks(const eck_stage *dense, eck_point point, const char *expected)
{
    char text[300];
    int length = 0;
    eck_chain chain = { NULL, 0 };

    assert_int_equal(eck_chain_outline(&chain, dense, &point, NULL), ECK_OK);
    for (int32_t i = 0; i < chain.count; i++) {
        const eck_stage *s = &chain.stages[i];
        assert_true(s->kind == ECK_STAGE_CONV || s->kind == ECK_STAGE_CONV_TRANSPOSE);
        length +=
            snprintf(text + length, sizeof text - (size_t)length, "%s%s%d>%d %dx%d by %dx%d of %d",
                     i ? ", " : "", s->kind == ECK_STAGE_CONV ? "C" : "T", (int)s->in, (int)s->out,
                     (int)s->kernel[0], (int)s->kernel[1], (int)s->stride[0], (int)s->stride[1],
                     (int)s->groups);
    }
    assert_string_equal(text, expected);
    eck_chain_clear(&chain);
}

static void test_stages(void **state)
{
    (void)state;
    const eck_stage plain = layer_of(0), grouped = layer_of(1), narrow = layer_of(4);

    looks(&plain, point_of(ECK_METHOD_SVD, 3, 0, 0, 0),
          "C8>3 1x1 by 1x1 of 1, T3>6 3x4 by 2x3 of 1");
    looks(&plain, point_of(ECK_METHOD_TUCKER1, 3, 0, 0, 0),
          "T8>3 3x4 by 2x3 of 1, C3>6 1x1 by 1x1 of 1");
    looks(&plain, point_of(ECK_METHOD_TUCKER2, 3, 2, 0, 0),
          "C8>3 1x1 by 1x1 of 1, T3>2 3x4 by 2x3 of 1, C2>6 1x1 by 1x1 of 1");
    looks(&plain, point_of(ECK_METHOD_SPATIAL, 5, 0, 0, 0),
          "T8>5 1x4 by 1x3 of 1, T5>6 3x1 by 2x1 of 1");
    looks(&plain, point_of(ECK_METHOD_CP, 2, 2, 2, 0),
          "C8>2 1x1 by 1x1 of 1, T2>2 1x4 by 1x3 of 2, T2>2 3x1 by 2x1 of 2, C2>6 1x1 by 1x1 of 1");
    looks(&plain, point_of(ECK_METHOD_TT, 2, 3, 4, 0),
          "C8>2 1x1 by 1x1 of 1, T2>3 1x4 by 1x3 of 1, T3>4 3x1 by 2x1 of 1, C4>6 1x1 by 1x1 of 1");
    looks(&plain, point_of(ECK_METHOD_DEPTHWISE, 12, 0, 0, 0),
          "C8>12 1x1 by 1x1 of 1, T12>6 3x4 by 2x3 of 6");
    looks(&grouped, point_of(ECK_METHOD_TUCKER2, 4, 6, 0, 0),
          "C8>4 1x1 by 1x1 of 2, T4>6 3x3 by 1x2 of 2, C6>12 1x1 by 1x1 of 2");
    // where the kernel has one tap the last stage strides, so that what comes before has less to do
    looks(&narrow, point_of(ECK_METHOD_TUCKER2, 3, 2, 0, 0),
          "C6>3 1x1 by 1x1 of 1, T3>2 1x3 by 1x2 of 1, T2>6 1x1 by 2x1 of 1");
    // some stage is a transposed convolution always: it takes what paddings there are
    const eck_stage mixer = eck_stage_conv(4, 6, 1, 2, (int64_t[]){ 1, 1 });
    eck_stage transposed = mixer;
    transposed.kind = ECK_STAGE_CONV_TRANSPOSE;
    eck_point svd = point_of(ECK_METHOD_SVD, 2, 0, 0, 0);
    eck_chain chain = { NULL, 0 };
    assert_int_equal(eck_chain_outline(&chain, &transposed, &svd, NULL), ECK_OK);
    assert_int_equal(chain.stages[0].kind, ECK_STAGE_CONV);
    assert_int_equal(chain.stages[1].kind, ECK_STAGE_CONV_TRANSPOSE);
    eck_chain_clear(&chain);
}

// ---- what they compute

/** The number a layer multiplies input channel i by for output channel o at a tap, 0 between groups. */
static double tap_of(const eck_stage *s, const double *weight, int64_t i, int64_t o, int64_t tap)
{
    const int64_t in = s->in / s->groups, out = s->out / s->groups;
    int64_t taps = 1;

    for (int32_t d = 0; d < s->spatial; d++)
        taps *= s->kernel[d];
    if (i / in != o / out) return 0.0;
    if (s->kind == ECK_STAGE_CONV_TRANSPOSE) return weight[(i * out + o % out) * taps + tap];
    assert_int_equal(taps, 1);
    return weight[o * in + i % in];
}

/** Adds one input channel to one output channel, tap by tap. */
static void scatter(struct signal *out, int64_t o, const struct signal *in, int64_t i,
                    const eck_stage *s, const double *weight)
{
    int64_t k[3] = { 1, 1, 1 }, stride[3] = { 1, 1, 1 }, tap = 0;

    memcpy(k, s->kernel, (size_t)s->spatial * sizeof *k);
    memcpy(stride, s->stride, (size_t)s->spatial * sizeof *stride);
    for (int64_t a = 0; a < k[0]; a++)
        for (int64_t b = 0; b < k[1]; b++)
            for (int64_t c = 0; c < k[2]; c++, tap++) {
                const double w = tap_of(s, weight, i, o, tap);
                for (int64_t p = 0; p < in->points; p++) {
                    const int64_t z = p % in->size[2] * stride[2] + c;
                    const int64_t y = p / in->size[2] % in->size[1] * stride[1] + b;
                    const int64_t x = p / in->size[2] / in->size[1] * stride[0] + a;
                    const int64_t at = (x * out->size[1] + y) * out->size[2] + z;
                    out->value[o * out->points + at] += w * in->value[i * in->points + p];
                }
            }
}

/** A transposed convolution, or one of one tap, by definition. */
static struct signal run(const struct signal *in, const eck_stage *s, const double *weight)
{
    int64_t size[3];

    for (int32_t d = 0; d < 3; d++)
        size[d] = d < s->spatial ? (in->size[d] - 1) * s->stride[d] + s->kernel[d] : in->size[d];
    struct signal out = signal_create(s->out, size);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            scatter(&out, o, in, i, s, weight);
    return out;
}

static double norm_of(const double *x, int64_t count)
{
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static struct signal noise(int64_t channels, int32_t spatial)
{
    int64_t size[3] = { 1, 1, 1 };

    for (int32_t d = 0; d < spatial; d++)
        size[d] = 3 + d;
    struct signal x = signal_create(channels, size);
    for (int64_t i = 0; i < channels * x.points; i++)
        x.value[i] = ecki_random_uniform(3, 5, (uint64_t)i) - 0.5;
    return x;
}

/** The chain on a signal against the layer with the matrix the chain is said to be. */
static void check_runs(const eck_stage *dense, const eck_chain *chain, const double *matrix)
{
    struct signal x = noise(dense->in, dense->spatial), flow = x;
    struct signal wanted = run(&x, dense, matrix);

    for (int32_t i = 0; i < chain->count; i++) {
        struct signal next = run(&flow, &chain->stages[i], chain->stages[i].weight->data);
        if (flow.value != x.value) free(flow.value);
        flow = next;
    }
    assert_int_equal(flow.channels, wanted.channels);
    assert_int_equal(flow.points, wanted.points);
    const int64_t count = wanted.channels * wanted.points;
    const double size = norm_of(wanted.value, count);
    for (int64_t i = 0; i < count; i++)
        flow.value[i] -= wanted.value[i];
    // At most four stages whose sums have at most 120 terms, of factors whose norms multiply to a few times the layer's.
    assert_true(norm_of(flow.value, count) <= 4 * 120 * 8 * U64 * size);
    free(flow.value);
    free(wanted.value);
    free(x.value);
}

/** All values in the last stage: the first has orthonormal rows, one for each rank. */
static void check_split(const eck_chain *chain, double norm)
{
    const eck_array *first = chain->stages[0].weight, *last = chain->stages[1].weight;

    assert_int_equal(chain->count, 2);
    const double one = norm_of(first->data, eck_array_count(first));
    assert_true(fabs(one * one - (double)first->shape[0]) <= 1e3 * U64 * (double)first->shape[0]);
    assert_true(norm_of(last->data, eck_array_count(last)) <= norm * (1 + 1e3 * U64));
}

/** Fits one point and holds chain, matrix and certificate to each other. */
static void check_point(const eck_weight *weight, const eck_point *point, const double *numbers)
{
    const eck_fit_options options = { 1, ECK_DTYPE_F64, ECK_SPLIT_LEFT, ECK_PROOF_RESIDUAL };
    const int64_t count = eck_stage_parameters(weight->dense);
    eck_chain chain = { NULL, 0 };
    eck_certificate certificate;
    eck_operator *product = NULL;
    eck_error err = ECK_ERROR_INIT;
    int64_t parameters = 0;

    if (eck_chain_fit(&chain, &certificate, weight, point, &options, NULL, &err) != ECK_OK)
        fail_msg("%s", err.message);
    if (eck_operator_chain(&product, &chain, weight->dense, &err) != ECK_OK)
        fail_msg("%s", err.message);
    assert_int_equal(eck_operator_get_info(product)->rows, weight->dense->in);
    double *matrix = read_whole(product);
    check_runs(weight->dense, &chain, matrix);
    if (point->method == ECK_METHOD_SVD && weight->dense->groups == 1)
        check_split(&chain, norm_of(numbers, count));
    for (int32_t i = 0; i < chain.count; i++)
        parameters += eck_array_count(chain.stages[i].weight);
    assert_int_equal(parameters, point->parameters);
    for (int64_t i = 0; i < count; i++)
        matrix[i] -= numbers[i];
    const double error = norm_of(matrix, count) / norm_of(numbers, count);
    assert_true(certificate.error_low <= error && error <= certificate.error_high);
    // the curve is an upper end, but for CP, which is fitted briefly there
    if (point->method != ECK_METHOD_CP && error * error > point->damage + 64 * U64)
        fail_msg("%s: %g over %g", eck_method_name(point->method), error * error, point->damage);
    free(matrix);
    eck_operator_free(product);
    eck_chain_clear(&chain);
}

static void test_runs(void **state)
{
    (void)state;
    for (int which = 0; which < COUNT; which++) {
        const eck_stage plain = layer_of(which);
        eck_stage dense = random_stage(plain, ECK_DTYPE_F64, (uint64_t)(40 + which));
        double *numbers = dense.weight->data;
        eck_curve_options options = ECK_CURVE_OPTIONS_INIT;
        eck_curve curve = { NULL, 0 };
        eck_operator *w = NULL;
        int methods = 0;

        const eck_view view = eck_view_matrix(numbers, ECK_DTYPE_F64, plain.in,
                                              eck_stage_parameters(&plain) / plain.in);
        assert_int_equal(eck_operator_dense(&w, view, NULL), ECK_OK);
        const eck_weight weight = { w, NULL, &plain };
        options.original = options.store = ECK_DTYPE_F64;
        for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
            options.methods = 1u << m;
            assert_int_equal(eck_curve_compute(&curve, &weight, &options, NULL, NULL), ECK_OK);
            assert_true(eck_method_applies((eck_method)m, &plain) || curve.count == 1);
            for (int64_t i = 0; i + 1 < curve.count; i += 1 + curve.count / 5, methods |= 1 << m)
                check_point(&weight, &curve.points[i], numbers);
            eck_curve_clear(&curve);
        }
        assert_true(methods & 1 << ECK_METHOD_SVD);
        eck_operator_free(w);
        eck_array_free(dense.weight);
    }
}

// ---- what they cost

/** A transposed convolution does what its mirror does, inputs for outputs. */
static void test_costs(void **state)
{
    (void)state;
    for (int which = 0; which < COUNT; which++) {
        int64_t small[] = { 5, 6, 7 }, large[] = { 11, 20, 15 };
        for (int32_t d = 0; d < LAYERS[which].spatial; d++)
            if (LAYERS[which].kernel[d] == 1 && LAYERS[which].stride[d] == 1) large[d] = small[d];
        const eck_stage dense = layer_of(which), mirror = ecki_mirror(&dense);
        eck_curve points = { NULL, 0 }, others = { NULL, 0 };
        assert_int_equal(eck_trial_points(&points, &dense, ECK_METHODS_ALL, 1, NULL), ECK_OK);
        assert_int_equal(eck_trial_points(&others, &mirror, ECK_METHODS_ALL, 1, NULL), ECK_OK);
        assert_true(points.count > 0 && points.count == others.count);
        for (int64_t i = 0; i < points.count; i++) {
            const eck_point *p = &points.points[i], *q = &others.points[i];
            eck_chain chain = { NULL, 0 }, other = { NULL, 0 };
            for (int32_t r = 0; r < p->rank_count; r++)
                assert_int_equal(p->ranks[r], q->ranks[q->rank_count - 1 - r]);
            assert_int_equal(p->macs, q->macs);
            assert_int_equal(p->macs, ecki_outline_macs(&dense, p->method, p->ranks));
            assert_int_equal(p->parameters, ecki_outline_parameters(&dense, p->method, p->ranks));
            assert_int_equal(eck_chain_outline(&chain, &dense, p, NULL), ECK_OK);
            assert_int_equal(eck_chain_outline(&other, &mirror, q, NULL), ECK_OK);
            assert_int_equal(eck_chain_macs(&chain, small, large),
                             eck_chain_macs(&other, large, small));
            eck_chain_clear(&chain);
            eck_chain_clear(&other);
        }
        assert_int_equal(eck_break_even_rank(&dense), eck_break_even_rank(&mirror));
        eck_curve_clear(&points);
        eck_curve_clear(&others);
    }
}

// ---- what is refused

static void refuse(const eck_stage *dense, eck_stage *stages, int32_t count, const char *part)
{
    eck_chain chain = chain_of(stages, count);
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;

    assert_int_not_equal(eck_operator_chain(&a, &chain, dense, &err), ECK_OK);
    if (!strstr(err.message, part)) fail_msg("'%s' has no '%s'", err.message, part);
    assert_null(a);
    eck_chain_clear(&chain);
}

static eck_stage stage_of(eck_stage_kind kind, int64_t in, int64_t out, int64_t kernel,
                          int64_t stride)
{
    eck_stage stage = eck_stage_conv(in, out, 1, 1, &kernel);

    stage.kind = kind;
    stage.stride[0] = stride;
    stage.dilation[0] = 1;
    return random_stage(stage, ECK_DTYPE_F32, 9);
}

static void test_refusals(void **state)
{
    (void)state;
    const int64_t three = 3;
    eck_stage dense = eck_stage_conv(6, 8, 1, 1, &three), conv = dense;
    dense.kind = ECK_STAGE_CONV_TRANSPOSE;
    dense.stride[0] = conv.stride[0] = 2;
    dense.dilation[0] = conv.dilation[0] = 1;
    const eck_stage_kind c = ECK_STAGE_CONV, t = ECK_STAGE_CONV_TRANSPOSE;

    refuse(&dense, (eck_stage[]){ stage_of(c, 6, 4, 3, 1), stage_of(t, 4, 8, 1, 2) }, 2,
           "stage 0 is of a kind (2)");
    refuse(&conv, (eck_stage[]){ stage_of(t, 6, 8, 3, 2) }, 1, "stage 0 is of a kind (3)");
    refuse(&dense, (eck_stage[]){ stage_of(t, 6, 4, 3, 1), stage_of(t, 4, 8, 1, 2) }, 2,
           "stage 0 has a kernel of 3 before a stride of 2");
    refuse(&dense, (eck_stage[]){ stage_of(c, 6, 4, 1, 1), stage_of(t, 4, 8, 3, 1) }, 2,
           "the stages stride by 1, the layer by 2");
    refuse(&dense, (eck_stage[]){ stage_of(c, 6, 4, 1, 1), stage_of(t, 5, 8, 3, 2) }, 2,
           "stage 1 takes 5 channels, it is given 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
