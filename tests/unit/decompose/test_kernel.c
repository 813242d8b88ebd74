// Kernels and their candidates: kernel.c itself, the tables of kernel_tucker.c against truncation by hand, the tails of
// kernel_pairs.c, the points of curve.c, the estimates of kernel_cp.c, and the refusals of kernel_fit.c. What the chains do is
// a law of its own (tests/identity/test_convolutions.c).
#include "decompose/kernel.h"

#include "base/memory.h"
#include "decompose/curve.h"
#include "tensors_made.h"

static const int64_t K33[] = { 3, 3 };

static eck_operator *operator_of(const eck_array *x, int64_t rows)
{
    eck_operator *w = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_operator_dense(&w, eck_view_matrix(x->data, x->dtype, rows, eck_array_count(x) / rows),
                            &err),
         &err);
    return w;
}

static void groups_lie_one_after_the_other(void **state)
{
    (void)state;
    const int64_t shape[] = { 6, 4, 1, 5 }, kernel[] = { 1, 5 };
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, shape, 51);
    eck_operator *w = operator_of(x, 6);
    const eck_stage dense = eck_stage_conv(8, 6, 2, 2, kernel);
    ecki_kernel k;
    eck_error err = ECK_ERROR_INIT;

    good(ecki_kernel_init(&k, w, &dense, NULL, &err), &err);
    assert_true(k.groups == 2 && k.out == 3 && k.in == 4 && k.taps == 5);
    assert_true(k.wide == 1 && k.first == 5 && k.rest == 1 && k.storage == ECK_DTYPE_F32);
    for (int64_t i = 0; i < 60; i++)
        assert_true(ecki_kernel_group(&k, 1)[i] == ((float *)x->data)[60 + i]);
    const eck_stage other = eck_stage_conv(8, 6, 1, 2, kernel);
    assert_int_equal(ecki_kernel_init(&k, w, &other, NULL, &err), ECK_E_SHAPE);
    ecki_kernel_clear(&k);
    eck_operator_free(w);
    eck_array_free(x);
}

static void pruning(void **state)
{
    (void)state;
    ecki_candidates c = { NULL, 0, 0 };
    eck_error err = ECK_ERROR_INIT;

    for (int64_t i = 0; i < 100; i++) {
        const int64_t parameters = (i * 37) % 100;
        const ecki_candidate a = { .ranks = { i },
                                   .parameters = parameters,
                                   .error2 = 1.0 / (double)(1 + parameters) };
        const ecki_candidate worse = { .ranks = { i }, .parameters = parameters, .error2 = 2.0 };
        good(ecki_candidates_add(&c, &worse, &err), &err);
        good(ecki_candidates_add(&c, &a, &err), &err);
    }
    ecki_candidates_prune(&c, 1000);
    assert_int_equal(c.count, 100);
    for (int64_t i = 0; i < 100; i++)
        assert_true(c.list[i].parameters == i && c.list[i].error2 <= 1.0);
    ecki_candidates_prune(&c, 10);
    assert_int_equal(c.count, 10);
    assert_true(c.list[0].parameters == 0 && c.list[9].parameters == 99);
    ecki_candidates_clear(&c);
}

/** The table of pairs is the error of a truncated HOSVD: the ranks of the modes' own bases, one after the other. */
static void pairs_of_ranks(void **state)
{
    (void)state;
    const int64_t shape[] = { 7, 5, 3, 3 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, shape, 52);
    eck_operator *w = operator_of(x, 7);
    const eck_stage dense = eck_stage_conv(5, 7, 1, 2, K33);
    ecki_kernel k;
    ecki_candidates c = { NULL, 0, 0 };
    eck_error err = ECK_ERROR_INIT;

    good(ecki_kernel_init(&k, w, &dense, NULL, &err), &err);
    good(ecki_kernel_find_channels(&k, NULL, &err), &err);
    good(ecki_tucker_curve(&c, &k, ECK_METHOD_TUCKER2, NULL, &err), &err);
    assert_true(c.count > 5);
    for (int64_t i = 0; i < c.count; i++) {
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tucker *in = NULL, *both = NULL;
        o.keep = 12;
        o.ranks[1] = c.list[i].ranks[0];
        o.ranks[0] = c.list[i].ranks[1];
        good(eck_tucker_compute(&both, eck_array_view(x), &o, NULL, &err), &err);
        o.keep = 13;
        good(eck_tucker_compute(&in, eck_array_view(x), &o, NULL, &err), &err);
        // Sequential truncation is no worse than the table; one mode alone is no worse than both.
        const double table = sqrt(c.list[i].error2 / k.norm2);
        assert_true(both->truncated <= table + 1e-13 && in->truncated <= table + 1e-13);
        eck_tucker_free(in);
        eck_tucker_free(both);
    }
    ecki_candidates_clear(&c);
    ecki_kernel_clear(&k);
    eck_operator_free(w);
    eck_array_free(x);
}

/** Brief fits from bases that all ranks share: a little above what fits of their own reach, and hardly below. */
static void fits_of_a_curve(void **state)
{
    (void)state;
    const int64_t shape[] = { 26, 22, 3, 3 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, shape, 57);
    // as trained kernels have it, later channels hold less
    for (int64_t i = 0; i < eck_array_count(x); i++)
        ((double *)x->data)[i] /= sqrt((1.0 + (double)(i / 198)) * (1.0 + (double)(i / 9 % 22)));
    eck_operator *w = operator_of(x, 26);
    const eck_stage dense = eck_stage_conv(22, 26, 1, 2, K33);
    ecki_kernel k;
    ecki_candidates c = { NULL, 0, 0 };
    eck_error err = ECK_ERROR_INIT;
    double worst = 0.0;

    good(ecki_kernel_init(&k, w, &dense, NULL, &err), &err);
    good(ecki_kernel_find_channels(&k, NULL, &err), &err);
    good(ecki_cp_curve(&c, &k, NULL, &err), &err);
    for (int64_t i = 0; i < c.count; i++) {
        eck_cp_options o = ECK_CP_OPTIONS_INIT;
        eck_cp *cp = NULL;
        o.rank = c.list[i].ranks[0];
        if (c.list[i].estimated) continue;
        good(eck_cp_compute(&cp, eck_array_view(x), &o, NULL, &err), &err);
        const double apart = sqrt(c.list[i].error2 / k.norm2) / cp->error;
        assert_true(apart > 0.98); // another start may end elsewhere
        worst = fmax(worst, apart);
        eck_cp_free(cp);
    }
    at_most("a brief fit above a long one", worst, 1.1);
    ecki_candidates_clear(&c);
    ecki_kernel_clear(&k);
    eck_operator_free(w);
    eck_array_free(x);
}

static void curves(void **state)
{
    (void)state;
    const int64_t shape[] = { 12, 8, 3, 3 };
    eck_array *x = random_tensor(ECK_DTYPE_BF16, 4, shape, 53);
    eck_operator *w = operator_of(x, 12);
    eck_stage dense = eck_stage_conv(8, 12, 1, 2, K33);
    const eck_weight weight = { w, NULL, &dense };
    eck_curve_options o = ECK_CURVE_OPTIONS_INIT;
    eck_curve curve = { NULL, 0 };
    eck_error err = ECK_ERROR_INIT;

    o.methods = ECK_METHODS_ALL;
    o.original = o.store = ECK_DTYPE_BF16;
    good(eck_curve_compute(&curve, &weight, &o, NULL, &err), &err);
    const eck_point *last = &curve.points[curve.count - 1];
    assert_true(last->method == ECK_METHOD_DENSE && last->error == 0.0);
    for (int64_t i = 0; i + 1 < curve.count; i++) {
        const eck_point *p = &curve.points[i];
        assert_true(p->parameters < 864 && p->bytes == 2 * p->parameters);
        assert_true(i == 0 || p->parameters >= curve.points[i - 1].parameters);
        assert_true(p->error >= eck_storage_floor(ECK_DTYPE_BF16) && p->error < 1.1);
        assert_true(!p->estimated || p->method == ECK_METHOD_CP);
        // Strides are not known: only what strides first is counted.
        const bool first = p->method == ECK_METHOD_SVD || p->method == ECK_METHOD_DEPTHWISE;
        assert_true(p->macs == (first ? p->parameters : -1));
    }
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
        const eck_point *best = eck_curve_best(&curve, (eck_method)m, 500);
        assert_true(best && best->parameters <= 500);
        for (int64_t i = 0; i < curve.count; i++)
            assert_true(curve.points[i].method != (eck_method)m ||
                        curve.points[i].parameters > 500 || curve.points[i].error >= best->error);
        assert_null(eck_curve_best(&curve, (eck_method)m, 3));
    }
    eck_curve_clear(&curve);
    dense.stride[0] = dense.stride[1] = 2;
    o.methods = 1u << ECK_METHOD_TUCKER2;
    good(eck_curve_compute(&curve, &weight, &o, NULL, &err), &err);
    const eck_point *p = &curve.points[0];
    // The first stage sees four positions for each output.
    assert_true(p->macs == p->parameters + 3 * 8 * p->ranks[0]);
    eck_curve_clear(&curve);
    eck_operator_free(w);
    eck_array_free(x);
}

static void refused(void **state)
{
    (void)state;
    const int64_t shape[] = { 6, 4, 3, 3 };
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, shape, 54);
    eck_operator *w = operator_of(x, 6);
    const eck_stage dense = eck_stage_conv(4, 6, 1, 2, K33),
                    grouped = eck_stage_conv(8, 6, 2, 2, K33);
    const eck_fit_options o = { 1, ECK_DTYPE_F32, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    const struct {
        eck_point point;
        const eck_stage *dense;
        eck_status status;
    } cases[] = {
        { { .method = ECK_METHOD_TUCKER2, .rank_count = 1, .ranks = { 2 } }, &dense, ECK_E_RANGE },
        { { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 5, 2 } },
          &dense,
          ECK_E_RANGE },
        { { .method = ECK_METHOD_TUCKER1, .rank_count = 1, .ranks = { 5 } }, &dense, ECK_E_RANGE },
        { { .method = ECK_METHOD_SPATIAL, .rank_count = 1, .ranks = { 13 } }, &dense, ECK_E_RANGE },
        { { .method = ECK_METHOD_CP, .rank_count = 3, .ranks = { 2, 2, 3 } }, &dense, ECK_E_RANGE },
        { { .method = ECK_METHOD_TT, .rank_count = 3, .ranks = { 2, 7, 2 } }, &dense, ECK_E_RANGE },
        { { .method = ECK_METHOD_DEPTHWISE, .rank_count = 1, .ranks = { 6 } },
          &dense,
          ECK_E_RANGE },
        { { .method = ECK_METHOD_DEPTHWISE, .rank_count = 1, .ranks = { 40 } },
          &dense,
          ECK_E_RANGE },
        { { .method = ECK_METHOD_TUCKER1, .rank_count = 1, .ranks = { 3 } },
          &grouped,
          ECK_E_RANGE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const eck_weight weight = { w, NULL, cases[i].dense };
        eck_chain chain = { NULL, 0 };
        eck_certificate certificate;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(
            eck_chain_fit(&chain, &certificate, &weight, &cases[i].point, &o, NULL, &err),
            cases[i].status);
        assert_null(chain.stages);
    }
    eck_operator_free(w);
    eck_array_free(x);
}

static void what_applies(void **state)
{
    (void)state;
    const int64_t one[] = { 1, 1 }, line[] = { 5 }, flat[] = { 1, 3 }, cube[] = { 3, 3, 3 };
    const struct {
        eck_stage dense;
        uint32_t methods;
    } cases[] = {
        { eck_stage_linear(8, 9), 1u << 1 },
        { eck_stage_conv(8, 9, 1, 2, one), 1u << 1 },
        { eck_stage_conv(8, 9, 1, 1, line), 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7 },
        { eck_stage_conv(8, 9, 1, 2, flat), 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7 },
        { eck_stage_conv(8, 8, 8, 2, K33), 1u << 1 },
        { eck_stage_conv(8, 8, 2, 2, K33), ECK_METHODS_ALL },
        { eck_stage_conv(8, 8, 1, 3, cube), ECK_METHODS_ALL },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int m = 0; m < 9; m++)
            assert_int_equal(eck_method_applies((eck_method)m, &cases[i].dense),
                             cases[i].methods >> m & 1u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_lie_one_after_the_other),
        cmocka_unit_test(pruning),
        cmocka_unit_test(pairs_of_ranks),
        cmocka_unit_test(fits_of_a_curve),
        cmocka_unit_test(curves),
        cmocka_unit_test(refused),
        cmocka_unit_test(what_applies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
