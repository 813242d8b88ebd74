// Signs, what is kept and what is dropped, rounding that would leave the range of a type.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static eck_svd *compute(const sample *a, const eck_svd_options *options)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_compute(&svd, a->op, options, NULL, &err), &err);
    return svd;
}

// The largest |v_i| of every right vector is positive.
static void signs(void **state)
{
    (void)state;
    const uint32_t wants[] = { ECK_WANT_LEFT | ECK_WANT_RIGHT, ECK_WANT_COMPACT, ECK_WANT_FULL };
    for (int t = 0; t < 12; t++) {
        sample a = sample_create(t % 2 ? 20 : 13, t % 2 ? 13 : 20,
                                 t % 3 ? ECK_DTYPE_F32 : ECK_DTYPE_F64, 1.0, (uint64_t)t);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rank = 5;
        options.want = wants[t / 4];
        options.engine = t == 5 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_AUTO;
        eck_svd *const svd = compute(&a, &options);
        double *const v = wide_copy(svd->v);
        const int64_t k = svd->v->shape[1];
        for (int64_t j = 0; j < k; j++) {
            double largest = 0.0;
            for (int64_t i = 0; i < svd->v->shape[0]; i++)
                if (fabs(v[i * k + j]) > fabs(largest)) largest = v[i * k + j];
            assert_true(largest > 0.0);
        }
        test_free(v);
        eck_svd_free(svd);
        sample_free(&a);
    }
}

// A vector so long that its pieces are looked at apart: the largest of all counts, not that of the last piece.
static void sign_of_a_long_vector(void **state)
{
    (void)state;
    enum { LONG = 40000, EARLY = 9, LATE = 39000 };
    for (int late = 0; late < 2; late++) {
        double *const numbers = test_calloc(2 * LONG, sizeof *numbers);
        for (int i = 0; i < 2; i++) {
            numbers[i * LONG + EARLY] = (i + 1) * (late ? 0.75 : -1.0);
            numbers[i * LONG + LATE] = (i + 1) * (late ? -1.0 : 0.75);
        }
        sample a = sample_of(numbers, 2, LONG, ECK_DTYPE_F32);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rank = 1;
        eck_svd *const svd = compute(&a, &options);
        double *const v = wide_copy(svd->v);
        assert_true(fabs(v[EARLY] - (late ? -0.6 : 0.8)) < 1e-6);
        assert_true(fabs(v[LATE] - (late ? 0.8 : -0.6)) < 1e-6);
        test_free(v);
        eck_svd_free(svd);
        sample_free(&a);
        test_free(numbers);
    }
}

static void only_what_is_wanted(void **state)
{
    (void)state;
    sample a = sample_create(9, 6, ECK_DTYPE_F32, 1.0, 1);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 2;
    for (uint32_t want = 0; want < 8; want++) {
        options.want = want;
        eck_svd *const svd = compute(&a, &options);
        assert_true((svd->u != NULL) == ((want & ECK_WANT_LEFT) != 0));
        assert_true((svd->v != NULL) == ((want & ECK_WANT_RIGHT) != 0));
        assert_int_equal(svd->s->shape[0], 6);
        assert_true(svd->certificate.proof == (want & 6 ? ECK_PROOF_RESIDUAL : ECK_PROOF_TAIL));
        assert_true(svd->certificate.orthogonality >= 0.0 || !(want & 6));
        assert_true(svd->seconds >= 0.0);
        eck_svd_free(svd);
    }
    sample_free(&a);
}

// Factors keep their dtype; U and V always fit; a COMPACT factor may not, and is then refused by name.
static void ranges(void **state)
{
    (void)state;
    double numbers[20];
    for (int i = 0; i < 20; i++)
        numbers[i] = 3e4 + i;
    sample a = sample_of(numbers, 5, 4, ECK_DTYPE_F32);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 1;
    options.store = ECK_DTYPE_F16;
    eck_svd *svd = compute(&a, &options);
    assert_true(svd->u->dtype == ECK_DTYPE_F16 && svd->v->dtype == ECK_DTYPE_F16 &&
                svd->s->dtype == ECK_DTYPE_F64);
    eck_svd_free(svd);
    svd = NULL;
    options.want = ECK_WANT_COMPACT;
    eck_error err = ECK_ERROR_INIT;
    numbers[0] = 9e4;
    sample b = sample_of(numbers, 5, 4, ECK_DTYPE_F32);
    assert_int_equal(eck_svd_compute(&svd, b.op, &options, NULL, &err), ECK_E_RANGE);
    assert_non_null(strstr(err.message, "F16"));
    assert_null(svd);
    options.store = ECK_DTYPE_BF16;
    svd = compute(&b, &options);
    eck_svd_free(svd);
    sample_free(&b);
    sample_free(&a);
    for (int i = 0; i < 20; i++)
        numbers[i] = 1.7e308;
    sample c = sample_of(numbers, 5, 4, ECK_DTYPE_F64);
    assert_int_equal(eck_svd_compute(&svd, c.op, NULL, NULL, &err),
                     ECK_E_RANGE); // sigma_1 is beyond F64
    sample_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(signs),
                                        cmocka_unit_test(sign_of_a_long_vector),
                                        cmocka_unit_test(only_what_is_wanted),
                                        cmocka_unit_test(ranges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
