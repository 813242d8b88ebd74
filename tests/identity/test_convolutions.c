// Laws of the chains that methods make of convolutions: what the curve promises the fit keeps, full ranks give the kernel
// back, parameters and multiply-adds are those counted one by one. u = 2^-53.
#include "matrices.h"

#include <math.h>
#include <string.h>

#define U64 0x1p-53

static const struct {
    int64_t in, out, groups;
    int32_t spatial;
    int64_t kernel[3];
} LAYERS[] = {
    { 6, 8, 1, 2, { 3, 3, 1 } },  { 12, 8, 2, 2, { 3, 3, 1 } }, { 9, 6, 3, 2, { 5, 3, 1 } },
    { 7, 10, 1, 1, { 4, 1, 1 } }, { 5, 4, 1, 3, { 2, 3, 2 } },  { 6, 6, 1, 2, { 1, 4, 1 } },
};
enum { COUNT = sizeof LAYERS / sizeof *LAYERS };

/** A layer with its weight. */
typedef struct layer {
    eck_stage dense;
    subject weight;
    int64_t taps, in, out; /**< of a group */
} layer;

static layer layer_of(int which, eck_dtype storage, uint64_t stream)
{
    layer l = { .taps = 1 };
    l.dense = eck_stage_conv(LAYERS[which].in, LAYERS[which].out, LAYERS[which].groups,
                             LAYERS[which].spatial, LAYERS[which].kernel);
    for (int32_t d = 0; d < l.dense.spatial; d++)
        l.taps *= l.dense.kernel[d];
    l.in = l.dense.in / l.dense.groups;
    l.out = l.dense.out / l.dense.groups;
    const int64_t cols = l.in * l.taps, count = l.dense.out * cols;
    double *a = test_malloc((size_t)count * sizeof *a);
    for (int64_t i = 0; i < count; i++)
        a[i] = normal_number(900 + stream, (uint64_t)i);
    assert_true(subject_of(&l.weight, a, l.dense.out, cols, storage));
    test_free(a);
    return l;
}

static eck_curve curve_of(const layer *l, uint32_t methods)
{
    eck_curve curve = { NULL, 0 };
    eck_error err = ECK_ERROR_INIT;
    eck_curve_options o = ECK_CURVE_OPTIONS_INIT;
    const eck_weight weight = { l->weight.op, NULL, &l->dense };

    o.methods = methods;
    o.original = o.store = ECK_DTYPE_F64;
    must(eck_curve_compute(&curve, &weight, &o, NULL, &err), &err);
    return curve;
}

/** Fits a point in F64; the error of the chain as a matrix, element by element. */
static double error_of(eck_certificate *certificate, eck_chain *chain, const layer *l,
                       const eck_point *point)
{
    const eck_weight weight = { l->weight.op, NULL, &l->dense };
    const eck_fit_options o = { 1, ECK_DTYPE_F64, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    eck_operator *product = NULL;
    eck_error err = ECK_ERROR_INIT;
    const int64_t count = l->weight.m * l->weight.n;
    double *made = test_malloc((size_t)count * sizeof *made);

    must(eck_chain_fit(chain, certificate, &weight, point, &o, NULL, &err), &err);
    must(eck_operator_chain(&product, chain, &l->dense, &err), &err);
    const eck_panel out = { made, ECK_DTYPE_F64, l->weight.m, l->weight.n, l->weight.n };
    must(eck_operator_read(product, 0, 0, out, &err), &err);
    const double size = norm_of(l->weight.wide, count);
    for (int64_t i = 0; i < count; i++)
        made[i] -= l->weight.wide[i];
    const double error = norm_of(made, count) / size;
    eck_operator_free(product);
    test_free(made);
    return error;
}

// A point's error is an upper end of what its fit has; that of methods by SVDs alone is what it has. Groups have separate
// weights and equal ranks. 64 u allows for the tails of Grams.
static void fits_keep_the_curve(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };

    for (int which = 0; which < COUNT; which++)
        for (int k = 0; k < 3; k++) {
            layer l = layer_of(which, types[k], (uint64_t)(which * 3 + k));
            eck_curve curve = curve_of(&l, ECK_METHODS_ALL & ~(1u << ECK_METHOD_CP));
            for (int64_t i = 0; i + 1 < curve.count; i += 1 + curve.count / 40) {
                const eck_point *p = &curve.points[i];
                eck_chain chain = { NULL, 0 };
                eck_certificate certificate;
                const double error = error_of(&certificate, &chain, &l, p);
                int64_t parameters = 0;
                for (int32_t s = 0; s < chain.count; s++)
                    parameters += eck_array_count(chain.stages[s].weight);
                assert_int_equal(parameters, p->parameters);
                hold("fit at most the curve", eck_method_name(p->method), error * error - p->damage,
                     64.0 * U64);
                const bool exact = p->method != ECK_METHOD_TUCKER2 &&
                                   !(p->method == ECK_METHOD_TT && l.dense.spatial == 3);
                if (exact)
                    hold("fit is the curve", eck_method_name(p->method),
                         fabs(error * error - p->damage), 64.0 * U64);
                assert_true(certificate.error_low <= error && error <= certificate.error_high);
                eck_chain_clear(&chain);
            }
            eck_curve_clear(&curve);
            subject_clear(&l.weight);
        }
}

static void set_point(eck_point *p, eck_method method, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const int64_t ranks[] = { a, b, c, d };
    memset(p, 0, sizeof *p);
    p->method = method;
    for (int i = 0; i < 4 && ranks[i] > 0; i++)
        p->ranks[p->rank_count++] = ranks[i];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Every method with the largest ranks it can use: T = taps terms of depthwise-separable convolutions are exact. A few
// products of orthonormal factors, each good to a few tens of u.
static void full_ranks(void **state)
{
    (void)state;
    for (int which = 0; which < COUNT; which++) {
        layer l = layer_of(which, ECK_DTYPE_F64, (uint64_t)(50 + which));
        const int64_t g = l.dense.groups, k0 = l.dense.kernel[0], k1 = l.dense.kernel[1];
        const int64_t in = least(l.in, l.out * l.taps), out = least(l.out, l.in * l.taps);
        eck_point points[7];
        int count = 0;

        set_point(&points[count++], ECK_METHOD_SVD, g * out, 0, 0, 0);
        set_point(&points[count++], ECK_METHOD_TUCKER1, g * in, 0, 0, 0);
        set_point(&points[count++], ECK_METHOD_TUCKER2, g * in, g * out, 0, 0);
        set_point(&points[count++], ECK_METHOD_DEPTHWISE, l.dense.in * least(l.taps, l.out), 0, 0,
                  0);
        if (eck_method_applies(ECK_METHOD_SPATIAL, &l.dense)) {
            const int64_t rest = l.taps / k0, cut = least(in * k0, out * rest);
            const int64_t next = least(cut * k1, out * rest / k1);
            set_point(&points[count++], ECK_METHOD_SPATIAL, g * least(l.in * k0, l.out * rest), 0,
                      0, 0);
            if (l.dense.spatial == 3)
                set_point(&points[count++], ECK_METHOD_TT, g * in, g * cut, g * next, g * out);
            else
                set_point(&points[count++], ECK_METHOD_TT, g * in, g * cut, g * out, 0);
        }
        for (int i = 0; i < count; i++) {
            eck_chain chain = { NULL, 0 };
            eck_certificate certificate;
            hold("full ranks give the kernel back", eck_method_name(points[i].method),
                 error_of(&certificate, &chain, &l, &points[i]), 200.0 * U64);
            eck_chain_clear(&chain);
        }
        subject_clear(&l.weight);
    }
}

// Closed formulas of parameters and multiply-adds against stages counted one by one, with strides.
static void costs(void **state)
{
    (void)state;
    for (int which = 0; which < COUNT; which++) {
        layer l = layer_of(which, ECK_DTYPE_F32, (uint64_t)(70 + which));
        const int64_t input[] = { 20, 18, 10 }, output[] = { 10, 6, 5 }, stride[] = { 2, 3, 2 };
        int64_t before = 1, after = 1;
        for (int32_t d = 0; d < l.dense.spatial; d++) {
            l.dense.stride[d] = stride[d];
            l.dense.dilation[d] = 1;
            before *= input[d];
            after *= output[d];
        }
        const int64_t g = l.dense.groups, r = 2 * g, t = 3 * g;
        eck_point p;
        eck_chain chain = { NULL, 0 };
        eck_error err = ECK_ERROR_INIT;

        set_point(&p, ECK_METHOD_TUCKER2, r, t, 0, 0);
        must(eck_chain_outline(&chain, &l.dense, &p, &err), &err);
        const bool wide0 = l.dense.kernel[0] > 1;
        // Dimensions of one tap are strided by the first stage.
        const int64_t first = wide0 ? before : before / input[0] * output[0];
        assert_int_equal(eck_chain_macs(&chain, input, output), l.in * r * first +
                                                                    r / g * t * l.taps * after +
                                                                    t / g * l.dense.out * after);
        eck_chain_clear(&chain);
        set_point(&p, ECK_METHOD_DEPTHWISE, 2 * l.dense.in, 0, 0, 0);
        must(eck_chain_outline(&chain, &l.dense, &p, &err), &err);
        assert_int_equal(eck_chain_macs(&chain, input, output),
                         (2 * l.dense.in * l.taps + 2 * l.in * l.dense.out) * after);
        assert_true(chain.stages[0].groups == l.dense.in && chain.stages[1].groups == g);
        eck_chain_clear(&chain);
        if (eck_method_applies(ECK_METHOD_SPATIAL, &l.dense)) {
            set_point(&p, ECK_METHOD_SPATIAL, r, 0, 0, 0);
            must(eck_chain_outline(&chain, &l.dense, &p, &err), &err);
            assert_true(chain.stages[0].stride[0] == 2 && chain.stages[0].stride[1] == 1);
            assert_true(chain.stages[1].stride[0] == 1 && chain.stages[1].stride[1] == 3);
            const int64_t half = before / input[0] * output[0];
            assert_int_equal(eck_chain_macs(&chain, input, output),
                             l.in * r * l.dense.kernel[0] * half +
                                 r / g * l.dense.out * (l.taps / l.dense.kernel[0]) * after);
            eck_chain_clear(&chain);
        }
        subject_clear(&l.weight);
    }
}

// CP chains are what they say they are, and a kernel of few terms is found again.
static void terms(void **state)
{
    (void)state;
    layer l = layer_of(0, ECK_DTYPE_F64, 90);
    const int64_t taps = l.taps;
    for (int64_t o = 0; o < l.dense.out; o++)
        for (int64_t i = 0; i < l.in; i++)
            for (int64_t s = 0; s < taps; s++) {
                double sum = 0.0;
                for (uint64_t r = 0; r < 3; r++)
                    sum += normal_number(91 + r, (uint64_t)o) * normal_number(94 + r, (uint64_t)i) *
                           normal_number(97 + r, (uint64_t)(s / 3)) *
                           normal_number(100 + r, (uint64_t)(s % 3));
                const int64_t at = (o * l.in + i) * taps + s;
                ((double *)l.weight.array->data)[at] = l.weight.wide[at] = sum;
            }
    eck_point p;
    eck_chain chain = { NULL, 0 };
    eck_certificate certificate;
    set_point(&p, ECK_METHOD_CP, 3, 3, 3, 0);
    const double error = error_of(&certificate, &chain, &l, &p);
    assert_true(certificate.error_low <= error && error <= certificate.error_high);
    // ALS stops when an iteration gains less than 1e-7 of the squared norm, sqrt(1e-7) of the norm.
    hold("three terms are found again", "", error, 3.2e-4);
    assert_true(chain.count == 4 && chain.stages[1].groups == 3 && chain.stages[2].groups == 3);
    eck_chain_clear(&chain);
    subject_clear(&l.weight);
}

static void report(void **state)
{
    (void)state;
    report_worst();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_keep_the_curve),
        cmocka_unit_test(full_ranks),
        cmocka_unit_test(costs),
        cmocka_unit_test(terms),
        cmocka_unit_test(report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
