// Engine DEFLATED (deflated.c, ritz.c) beside the exact lane: as good an approximation, a bracket that holds the
// optimum, outliers or not, either side, every form; what it cannot prove goes to the exact lane.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "linalg/deflated.h"

// A sample with a few columns much larger than the others.
static sample with_outliers(int64_t rows, int64_t cols, eck_dtype storage, double factor)
{
    sample plain = sample_create(rows, cols, ECK_DTYPE_F32, 1.0, 5);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < 4; j++)
            plain.wide[i * cols + 37 * j] *= factor / (1.0 + (double)j);
    sample out = sample_of(plain.wide, rows, cols, storage);
    sample_free(&plain);
    return out;
}

static eck_svd *compute(const sample *a, eck_engine engine, int64_t rank, uint32_t want)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = engine;
    options.rank = rank;
    options.want = want;
    expect_ok(eck_svd_compute(&svd, a->op, &options, NULL, &err), &err);
    return svd;
}

// The Eckart-Young optimum of the rank, from the complete spectrum.
static double tail_of(const eck_svd *exact, int64_t rank)
{
    const double *const s = exact->s->data;
    double tail2 = 0.0, all2;
    const int64_t n = exact->rows < exact->cols ? exact->rows : exact->cols;
    for (int64_t i = n - 1; i >= rank; i--)
        tail2 += s[i] * s[i];
    all2 = tail2;
    for (int64_t i = 0; i < rank; i++)
        all2 += s[i] * s[i];
    return sqrt(tail2 / all2);
}

static void beside_exact(const char *what, const sample *a, int64_t rank, uint32_t want)
{
    eck_svd *const exact = compute(a, ECK_ENGINE_EXACT, rank, want);
    eck_svd *const fast = compute(a, ECK_ENGINE_DEFLATED, rank, want);
    const double best = tail_of(exact, rank);
    printf("  %s\n", what);
    assert_int_equal(fast->engine, ECK_ENGINE_DEFLATED);
    const double *const s = want & ECK_WANT_COMPACT ? NULL : fast->s->data;
    const double error = true_error(a, fast->u, s, fast->v, rank);
    expect_at_most("excess over the best", error / best - 1.0, 1e-6);
    assert_true(fast->certificate.error_low <= error && error <= fast->certificate.error_high);
    assert_true(fast->certificate.optimum_low <= best * (1.0 + 1e-12));
    assert_true(best <= fast->certificate.optimum_high * (1.0 + 1e-12));
    assert_true(fast->certificate.excess_high <= 1e-4);
    // Rayleigh quotients are wrong by the square of what the vectors are, a few units of F32 as a rule.
    for (int64_t j = 0; j < rank; j++)
        expect_at_most("value, in units of s_1",
                       fabs(((double *)fast->s->data)[j] - ((double *)exact->s->data)[j]),
                       0x1p-33 * ((double *)exact->s->data)[0]);
    const eck_array *const near = fast->orthonormal == ECK_SIDE_LEFT && !s ? fast->u : fast->v;
    expect_at_most("V^T V - I", true_orthogonality(near, rank), 8.0 * sqrt((double)rank) * 0x1p-24);
    if (s)
        expect_at_most("U^T U - I", true_orthogonality(fast->u, rank),
                       8.0 * sqrt((double)rank) * 0x1p-24);
    eck_svd_free(fast);
    eck_svd_free(exact);
}

static void as_good_as_exact(void **state)
{
    (void)state;
    const uint32_t both = ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT;
    sample tall = sample_create(260, 180, ECK_DTYPE_F32, 1.0, 3);
    beside_exact("tall", &tall, 40, both);
    beside_exact("tall, compact", &tall, 80, ECK_WANT_COMPACT);
    sample wide = sample_create(170, 290, ECK_DTYPE_BF16, 1.0, 4);
    beside_exact("wide", &wide, 85, both);
    beside_exact("wide, compact", &wide, 30, ECK_WANT_COMPACT);
    sample outliers = with_outliers(300, 200, ECK_DTYPE_F32, 50.0);
    beside_exact("outliers", &outliers, 60, both);
    beside_exact("outliers, compact", &outliers, 10, ECK_WANT_COMPACT);
    sample_free(&outliers);
    sample_free(&wide);
    sample_free(&tall);
}

// Steep spectra leave a tail below what F32 resolves; rules and sizes that are not its own: the exact lane answers.
static void goes_to_the_exact_lane(void **state)
{
    (void)state;
    sample steep = sample_create(200, 150, ECK_DTYPE_F32, 0.8, 3);
    sample plain = sample_create(200, 150, ECK_DTYPE_F32, 1.0, 3);
    const double nothing[12] = { 0.0 };
    sample zero = sample_of(nothing, 3, 4, ECK_DTYPE_F32);
    eck_svd *svd = compute(&steep, ECK_ENGINE_DEFLATED, 60, ECK_WANT_COMPACT);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    svd = compute(&plain, ECK_ENGINE_DEFLATED, 76, ECK_WANT_COMPACT); // more than half
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    svd = compute(&zero, ECK_ENGINE_DEFLATED, 1, ECK_WANT_COMPACT);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    sample_free(&zero);
    sample_free(&plain);
    sample_free(&steep);
}

static void nonfinite(void **state)
{
    (void)state;
    double numbers[12] = { 1.0, 2.0, 3.0, 4.0, 5.0, NAN, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0 };
    sample a = sample_of(numbers, 3, 4, ECK_DTYPE_F32);
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_DEFLATED;
    options.rank = 1;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 5);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_good_as_exact),
        cmocka_unit_test(goes_to_the_exact_lane),
        cmocka_unit_test(nonfinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
