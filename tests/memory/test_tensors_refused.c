// Tensor decompositions, each request for memory refused in turn.
#include "failing_allocator.h"

#include <string.h>

#include "eckart/decompose.h"
#include "eckart/multilinear.h"
#include "eckart/report.h"

enum { A = 4, B = 3, C = 5 };
static double numbers[A * B * C];
static const int64_t shape[] = { A, B, C };

// One thread: which allocation comes first must not depend on luck.
static const eck_context alone = { 1, 1, 0, NULL, NULL };

static eck_view tensor_of(const void *storage)
{
    static float narrow[A * B * C];

    for (int i = 0; i < A * B * C; i++) {
        numbers[i] = (double)(1 + (i * i) % 7 - (i % 3) * (i % 5));
        narrow[i] = (float)numbers[i];
    }
    if (storage) return eck_view_of(narrow, ECK_DTYPE_F32, 3, shape);
    return eck_view_of(numbers, ECK_DTYPE_F64, 3, shape);
}

static eck_status tucker_scenario(void *self, eck_error *err)
{
    eck_tucker_options options = ECK_TUCKER_OPTIONS_INIT;
    eck_tucker *tucker = UNTOUCHED;
    eck_array *made = UNTOUCHED;
    options.ranks[0] = options.ranks[1] = options.ranks[2] = 2;
    options.sweeps = 1;
    eck_status status = eck_tucker_compute(&tucker, tensor_of(self), &options, &alone, err);
    assert_untouched(status, tucker);
    if (status != ECK_OK) return status;
    status = eck_tucker_reconstruct(&made, tucker, &alone, err);
    assert_untouched(status, made);
    eck_array_free(made);
    if (status == ECK_OK) {
        char *text = UNTOUCHED;
        status = eck_report_tucker(&text, tucker, err);
        assert_untouched(status, text);
        eck_text_free(text);
    }
    eck_tucker_free(tucker);
    return status;
}

static eck_status cp_scenario(void *self, eck_error *err)
{
    eck_cp_options options = ECK_CP_OPTIONS_INIT;
    eck_cp *cp = UNTOUCHED;
    eck_array *made = UNTOUCHED;
    options.rank = 3;
    options.iterations = 6;
    options.restarts = 1;
    options.degeneracy = 0.0; // terms are made smaller whatever they are
    eck_status status = eck_cp_compute(&cp, tensor_of(self), &options, &alone, err);
    assert_untouched(status, cp);
    if (status != ECK_OK) return status;
    status = eck_cp_reconstruct(&made, cp, &alone, err);
    assert_untouched(status, made);
    eck_array_free(made);
    if (status == ECK_OK) {
        char *text = UNTOUCHED;
        status = eck_report_cp(&text, cp, err);
        assert_untouched(status, text);
        eck_text_free(text);
    }
    eck_cp_free(cp);
    return status;
}

static eck_status tt_scenario(void *self, eck_error *err)
{
    eck_tt_options options = ECK_TT_OPTIONS_INIT;
    eck_tt *tt = UNTOUCHED;
    eck_array *made = UNTOUCHED;
    options.ranks[0] = options.ranks[1] = 2;
    eck_status status = eck_tt_compute(&tt, tensor_of(self), &options, &alone, err);
    assert_untouched(status, tt);
    if (status != ECK_OK) return status;
    status = eck_tt_reconstruct(&made, tt, &alone, err);
    assert_untouched(status, made);
    eck_array_free(made);
    if (status == ECK_OK) {
        char *text = UNTOUCHED;
        status = eck_report_tt(&text, tt, err);
        assert_untouched(status, text);
        eck_text_free(text);
    }
    eck_tt_free(tt);
    return status;
}

static eck_status unfolding_scenario(void *self, eck_error *err)
{
    const int32_t mode = 1;
    double g[B * B], norm = -1.0;
    eck_operator *a = UNTOUCHED;
    eck_status status = eck_operator_unfolding(&a, tensor_of(self), &mode, 1, err);
    assert_untouched(status, a);
    if (status == ECK_OK) {
        const eck_panel out = { g, ECK_DTYPE_F64, B, B, B };
        status = eck_mode_gram(out, tensor_of(self), mode, &alone, err);
    }
    eck_operator_free(a);
    if (status == ECK_OK) status = eck_view_norm(&norm, tensor_of(self), err);
    return status;
}

/** The curve of all methods, then the fit of its first point of one of them. */
static eck_status kernel_scenario(void *self, eck_error *err)
{
    static const int64_t k22[] = { 2, 2 };
    const eck_method method = *(const eck_method *)self;
    const eck_stage dense = eck_stage_conv(3, 5, 1, 2, k22);
    eck_operator *w = NULL;
    eck_curve curve = { UNTOUCHED, -3 };
    eck_chain chain = { UNTOUCHED, -3 };
    eck_curve_options options = ECK_CURVE_OPTIONS_INIT;
    const eck_fit_options how = { 1, ECK_DTYPE_F32, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    eck_certificate certificate;

    tensor_of(NULL);
    eck_status status = eck_operator_dense(&w, eck_view_matrix(numbers, ECK_DTYPE_F64, 5, 12), err);
    const eck_weight weight = { w, NULL, &dense };
    options.methods = 1u << method;
    if (status == ECK_OK) {
        status = eck_curve_compute(&curve, &weight, &options, &alone, err);
        assert_untouched(status, curve.points);
    }
    if (status == ECK_OK) {
        status = eck_chain_fit(&chain, &certificate, &weight, &curve.points[0], &how, &alone, err);
        assert_untouched(status, chain.stages);
        eck_curve_clear(&curve);
        if (status == ECK_OK) eck_chain_clear(&chain);
    }
    eck_operator_free(w);
    return status;
}

static void kernels(void **state)
{
    (void)state;
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
        eck_method method = (eck_method)m;
        fail_every_allocation(eck_method_name(method), kernel_scenario, &method);
    }
}

static void tensors(void **state)
{
    (void)state;
    for (int narrow = 0; narrow < 2; narrow++) {
        void *self = narrow ? numbers : NULL;
        fail_every_allocation("eck_tucker_compute", tucker_scenario, self);
        fail_every_allocation("eck_cp_compute", cp_scenario, self);
        fail_every_allocation("eck_tt_compute", tt_scenario, self);
        fail_every_allocation("eck_operator_unfolding", unfolding_scenario, self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tensors), cmocka_unit_test(kernels) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
