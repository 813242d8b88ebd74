// Points worth timing: smaller than the layer, in order, with ranks the chain takes, at the parts that are promised.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eckart/decompose.h"
#include "eckart/stage.h"

static eck_stage conv(int64_t in, int64_t out, int64_t groups, int32_t spatial, int64_t taps)
{
    eck_stage stage =
        eck_stage_conv(in, out, groups, spatial, (const int64_t[]){ taps, taps, taps });
    for (int d = 0; d < spatial; d++)
        stage.stride[d] = stage.dilation[d] = 1;
    return stage;
}

/** Every point makes a chain of the parameters it says; points of a method rise and stay below the layer. */
static void check_points(const eck_curve *curve, const eck_stage *dense, int64_t multiple)
{
    const int64_t size = eck_stage_parameters(dense);

    for (int64_t i = 0; i < curve->count; i++) {
        const eck_point *p = &curve->points[i];
        eck_chain chain = { NULL, 0 };
        int64_t parameters = 0;
        assert_int_equal(eck_chain_outline(&chain, dense, p, NULL), ECK_OK);
        for (int32_t s = 0; s < chain.count; s++)
            parameters += eck_stage_parameters(&chain.stages[s]);
        eck_chain_clear(&chain);
        assert_int_equal(parameters, p->parameters);
        assert_true(parameters < size && isnan(p->error));
        for (int32_t r = 0; r < p->rank_count; r++)
            if (p->method != ECK_METHOD_DEPTHWISE) assert_int_equal(p->ranks[r] % multiple, 0);
        if (i > 0 && p[-1].method == p->method) assert_true(p[-1].parameters < parameters);
        if (i > 0) assert_true(p[-1].method <= p->method);
    }
}

static void linear_layers(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(400, 300);
    static const double parts[] = { 0.1, 0.25, 0.5, 0.75, 0.9 };
    eck_curve curve = { NULL, 0 };

    assert_int_equal(eck_trial_points(&curve, &dense, ECK_METHODS_ALL, 1, NULL), ECK_OK);
    assert_int_equal(curve.count, 5);
    check_points(&curve, &dense, 1);
    for (int i = 0; i < 5; i++) {
        // The largest rank below: one more would pass it.
        const double part = (double)curve.points[i].parameters / (400.0 * 300.0);
        assert_true(part <= parts[i] && part + 700.0 / (400.0 * 300.0) > parts[i]);
    }
    eck_curve_clear(&curve);
    assert_int_equal(eck_trial_points(&curve, &dense, 1u << ECK_METHOD_SVD, 8, NULL), ECK_OK);
    assert_int_equal(curve.count, 5);
    check_points(&curve, &dense, 8);
    eck_curve_clear(&curve);
    // No multiple of 256 is below break-even, 171: ranks as they are.
    assert_int_equal(eck_trial_points(&curve, &dense, 1u << ECK_METHOD_SVD, 256, NULL), ECK_OK);
    assert_int_equal(curve.count, 5);
    check_points(&curve, &dense, 1);
    eck_curve_clear(&curve);
}

static void convolutions(void **state)
{
    (void)state;
    const eck_stage layers[] = { conv(64, 96, 1, 2, 3), conv(48, 48, 1, 1, 5),
                                 conv(16, 24, 1, 3, 3), conv(64, 64, 4, 2, 3),
                                 conv(32, 64, 1, 2, 1), conv(32, 32, 32, 2, 3) };
    for (size_t n = 0; n < sizeof layers / sizeof *layers; n++) {
        const eck_stage *dense = &layers[n];
        eck_curve curve = { NULL, 0 };
        uint32_t found = 0;
        assert_int_equal(eck_trial_points(&curve, dense, ECK_METHODS_ALL, 4, NULL), ECK_OK);
        check_points(&curve, dense, dense->groups > 1 ? dense->groups : 4);
        for (int64_t i = 0; i < curve.count; i++)
            found |= 1u << curve.points[i].method;
        for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE && dense->groups < dense->in; m++)
            assert_int_equal(found >> m & 1u, eck_method_applies((eck_method)m, dense));
        // One channel a group: nothing is smaller.
        if (dense->groups == dense->in) assert_int_equal(curve.count, 0);
        printf("layer %zu: %lld points\n", n, (long long)curve.count);
        eck_curve_clear(&curve);
    }
}

static void refuses(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(4, 3);
    eck_curve curve = { NULL, -3 };
    eck_error error = ECK_ERROR_INIT;

    assert_int_equal(eck_trial_points(&curve, &dense, 2, 0, &error), ECK_E_RANGE);
    assert_non_null(strstr(error.message, "multiple 0"));
    assert_int_equal(curve.count, -3);
    assert_int_equal(eck_trial_points(&curve, &dense, 0, 1, NULL), ECK_OK);
    assert_int_equal(curve.count, 0);
    eck_curve_clear(&curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(linear_layers),
                                        cmocka_unit_test(convolutions), cmocka_unit_test(refuses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
