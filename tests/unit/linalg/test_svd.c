// The front of the engine: shapes, forms, rules, refusals, and the factors held against a
// reference.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const uint32_t FORMS[] = { ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT,
                                  ECK_WANT_COMPACT, ECK_WANT_FULL };

// What storing two factors adds at most: every number moves by a part u of itself, so that
// ||dW V^T|| <= u ||A||, ||W dV^T|| <= u ||A|| for orthonormal V, and their product u^2.
static double storage_error(eck_dtype store)
{
    const double u = 0.5 * eck_dtype_epsilon(store);
    return 2.0 * u + u * u + (store == ECK_DTYPE_F64 ? 1e-14 : 0.0);
}

static void check(const sample *a, const eck_svd_options *options)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_compute(&svd, a->op, options, NULL, &err), &err);
    const int64_t n = a->rows < a->cols ? a->rows : a->cols, k = svd->rank;
    const int64_t want_rank = options->rank < n ? options->rank : n;
    assert_int_equal(k, want_rank);
    const bool full = (options->want & ECK_WANT_FULL) != 0;
    const bool compact = (options->want & ECK_WANT_COMPACT) != 0;
    assert_int_equal(svd->u->shape[0], a->rows);
    assert_int_equal(svd->u->shape[1], full ? a->rows : k);
    assert_int_equal(svd->v->shape[0], a->cols);
    assert_int_equal(svd->v->shape[1], full ? a->cols : k);
    assert_int_equal(svd->s->shape[0], n);
    const double *const s = svd->s->data;
    double tail2 = 0.0, norm2 = 0.0;
    for (int64_t i = n - 1; i >= 0; i--) {
        assert_true(s[i] >= 0.0 && (i == 0 || s[i] <= s[i - 1]));
        tail2 += i >= k ? s[i] * s[i] : 0.0;
        norm2 += s[i] * s[i];
    }
    const double tail = norm2 > 0.0 ? sqrt(tail2 / norm2) : 0.0;
    const double error = true_error(a, svd->u, compact ? NULL : s, svd->v, k);
    const double allowed = hypot(tail, storage_error(svd->certificate.stored)) + 1e-12;
    expect_at_most("error of the stored factors", error, allowed);
    assert_true(svd->certificate.error_low <= error && error <= svd->certificate.error_high);
    const double unit = 0.5 * eck_dtype_epsilon(svd->certificate.stored);
    if (!compact || svd->orthonormal == ECK_SIDE_RIGHT)
        expect_at_most("V^T V - I", true_orthogonality(svd->v, svd->v->shape[1]),
                       8.0 * sqrt((double)svd->v->shape[1]) * unit);
    if (!compact || svd->orthonormal == ECK_SIDE_LEFT)
        expect_at_most("U^T U - I", true_orthogonality(svd->u, svd->u->shape[1]),
                       8.0 * sqrt((double)svd->u->shape[1]) * unit);
    eck_svd_free(svd);
}

static void every_form_shape_and_type(void **state)
{
    (void)state;
    const int64_t shapes[][3] = { { 1, 1, 1 },    { 1, 7, 1 },   { 7, 1, 3 },    { 5, 5, 0 },
                                  { 20, 20, 20 }, { 33, 12, 5 }, { 12, 33, 12 }, { 40, 39, 9 },
                                  { 90, 20, 7 },  { 20, 90, 20 } };
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };
    for (size_t t = 0; t < 4; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (size_t f = 0; f < 3; f++) {
                sample a =
                    sample_create(shapes[i][0], shapes[i][1], types[t], f == 1 ? 0.5 : 1.0, i);
                eck_svd_options options = ECK_SVD_OPTIONS_INIT;
                options.rank = shapes[i][2];
                options.want = FORMS[f];
                options.store = types[(t + f) % 4];
                options.proof = (eck_proof)((t + i + f) % 2);
                options.engine = i % 3 == 2 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_AUTO;
                check(&a, &options);
                sample_free(&a);
            }
}

static void empty_matrices(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 0, 0 }, { 0, 5 }, { 5, 0 } };
    for (size_t i = 0; i < 3; i++)
        for (size_t f = 0; f < 3; f++) {
            sample a = sample_create(shapes[i][0], shapes[i][1],
                                     i == 1 ? ECK_DTYPE_F64 : ECK_DTYPE_F32, 1.0, 1);
            eck_svd_options options = ECK_SVD_OPTIONS_INIT;
            options.rank = 3;
            options.want = FORMS[f];
            check(&a, &options);
            sample_free(&a);
        }
}

static void zero_matrix(void **state)
{
    (void)state;
    const double zeros[35] = { 0.0 };
    for (size_t f = 0; f < 3; f++) {
        sample a = sample_of(zeros, 7, 5, f == 1 ? ECK_DTYPE_F64 : ECK_DTYPE_F32);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.want = FORMS[f];
        options.rank = 4;
        check(&a, &options);
        options.rule = ECK_RULE_ENERGY;
        options.target = 0.9;
        options.rank = 0;
        check(&a, &options);
        sample_free(&a);
    }
}

static void rules(void **state)
{
    (void)state;
    const double numbers[9] = { 4.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0 };
    sample a = sample_of(numbers, 3, 3, ECK_DTYPE_F32);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_spectrum_create(&spectrum, a.op, NULL, &err), &err);
    const eck_spectrum_info *const info = eck_spectrum_get_info(spectrum);
    // Energies: 16/21, 20/21, 1; errors sqrt(5/21) = 0.488, sqrt(1/21) = 0.218, 0.
    const struct {
        eck_rule rule;
        double target;
        int64_t cap, rank;
    } cases[] = { { ECK_RULE_RANK, 0.0, 2, 2 },     { ECK_RULE_RANK, 0.0, 9, 3 },
                  { ECK_RULE_ENERGY, 0.76, 0, 1 },  { ECK_RULE_ENERGY, 0.77, 0, 2 },
                  { ECK_RULE_ENERGY, 1.0, 0, 3 },   { ECK_RULE_ENERGY, 1.0, 2, 2 },
                  { ECK_RULE_ERROR, 0.49, 0, 1 },   { ECK_RULE_ERROR, 0.48, 0, 2 },
                  { ECK_RULE_ERROR, 0.0, 0, 3 },    { ECK_RULE_THIN, 0.0, 0, 3 },
                  { ECK_RULE_NUMERICAL, 0.0, 0, 3 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t rank = -1;
        expect_ok(eck_rule_rank(&rank, info, cases[i].rule, cases[i].target, cases[i].cap, &err),
                  &err);
        assert_int_equal(rank, cases[i].rank);
    }
    int64_t rank = 77;
    assert_int_equal(eck_rule_rank(&rank, info, ECK_RULE_ENERGY, 0.0, 0, &err), ECK_E_RANGE);
    assert_int_equal(eck_rule_rank(&rank, info, ECK_RULE_ENERGY, NAN, 0, &err), ECK_E_RANGE);
    assert_int_equal(eck_rule_rank(&rank, info, ECK_RULE_ERROR, 1.0, 0, &err), ECK_E_RANGE);
    assert_int_equal(eck_rule_rank(&rank, info, ECK_RULE_RANK, 0.0, -1, &err), ECK_E_RANGE);
    assert_int_equal(eck_rule_rank(&rank, info, (eck_rule)99, 0.0, 1, &err), ECK_E_RANGE);
    assert_int_equal(rank, 77);
    eck_spectrum_free(spectrum);
    sample_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(6, 4, ECK_DTYPE_F32, 1.0, 3);
    eck_error err = ECK_ERROR_INIT;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = -1;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_RANGE);
    options.rank = 2;
    options.store = ECK_DTYPE_I8;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_RANGE);
    options.store = ECK_DTYPE_NONE;
    options.proof = ECK_PROOF_BOUND;
    options.failure = 0.0;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_RANGE);
    options.proof = ECK_PROOF_RESIDUAL;
    options.engine = ECK_ENGINE_JACOBI; // no lane answers to it
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_RANGE);
    options.engine = ECK_ENGINE_AUTO;
    eck_context small = ECK_CONTEXT_INIT;
    small.memory = 1000;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, &small, &err), ECK_E_BUDGET);
    assert_null(svd);
    sample_free(&a);
}

static void nonfinite_values_are_refused(void **state)
{
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };
    for (int64_t at = 0; at < 15; at += 7)
        for (size_t t = 0; t < 4; t++) {
            double numbers[15] = { 0.0 };
            numbers[at] = bad[at % 3];
            numbers[14] = at == 14 ? numbers[14] : NAN; // a later one too
            sample a = sample_of(numbers, 3, 5, types[t]);
            eck_svd *svd = NULL;
            eck_error err = ECK_ERROR_INIT;
            eck_svd_options options = ECK_SVD_OPTIONS_INIT;
            options.rank = 2;
            assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_NONFINITE);
            assert_int_equal(err.offset, at);
            assert_null(svd);
            sample_free(&a);
        }
}

static bool never(void *user, const char *what, int64_t done, int64_t total)
{
    (void)what;
    (void)done;
    (void)total;
    return --*(int *)user > 0;
}

static void cancelling(void **state)
{
    (void)state;
    sample a = sample_create(30, 20, ECK_DTYPE_F32, 1.0, 3);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 2;
    int cancelled = 0;
    for (int calls = 1; calls < 20; calls++) {
        int left = calls;
        eck_context context = { 1, 0, 0, never, &left };
        eck_svd *svd = NULL;
        eck_error err = ECK_ERROR_INIT;
        const eck_status status = eck_svd_compute(&svd, a.op, &options, &context, &err);
        assert_true(status == ECK_OK || (status == ECK_E_CANCELLED && !svd));
        cancelled += status == ECK_E_CANCELLED;
        eck_svd_free(svd);
        if (status == ECK_OK) break;
    }
    assert_true(cancelled >= 3);
    sample_free(&a);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(eck_engine_name(ECK_ENGINE_AUTO), "auto");
    assert_string_equal(eck_engine_name(ECK_ENGINE_EXACT), "exact");
    assert_string_equal(eck_engine_name(ECK_ENGINE_GOLUB_KAHAN), "golub-kahan");
    assert_string_equal(eck_engine_name(ECK_ENGINE_DEFLATED), "deflated");
    assert_string_equal(eck_engine_name((eck_engine)77), "?");
    const eck_svd_options defaults = ECK_SVD_OPTIONS_INIT;
    eck_svd_options options;
    eck_svd_options_init(&options);
    assert_int_equal(options.want, defaults.want);
    assert_true(options.failure == defaults.failure && options.proof == defaults.proof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_shape_and_type),
        cmocka_unit_test(empty_matrices),
        cmocka_unit_test(zero_matrix),
        cmocka_unit_test(rules),
        cmocka_unit_test(refusals),
        cmocka_unit_test(nonfinite_values_are_refused),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
