// Values and what is told of them; the same bits under powers of two, on one thread and inside a parallel loop.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

static void known_values(void **state)
{
    (void)state;
    const double numbers[12] = { 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0, 12.0, 0.0, 0.0, 0.0 };
    sample a = sample_of(numbers, 3, 4, ECK_DTYPE_BF16);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_spectrum_create(&spectrum, a.op, NULL, &err), &err);
    const eck_spectrum_info *const info = eck_spectrum_get_info(spectrum);
    assert_true(info->rows == 3 && info->cols == 4 && info->count == 3);
    assert_true(info->values[0] == 12.0 && info->values[1] == 4.0 && info->values[2] == 3.0);
    assert_true(info->norm2 == 169.0 && info->tails[0] == 1.0 && info->tails[3] == 0.0);
    assert_true(fabs(info->tails[1] - 5.0 / 13.0) < 1e-15 &&
                fabs(info->tails[2] - 3.0 / 13.0) < 1e-15);
    assert_true(info->tolerance == 4.0 * 0x1p-7 * 12.0 && info->numerical_rank == 3);
    assert_true(fabs(info->stable_rank - 169.0 / 144.0) < 1e-15);
    const double p[3] = { 12.0 / 19.0, 4.0 / 19.0, 3.0 / 19.0 };
    const double entropy = -p[0] * log(p[0]) - p[1] * log(p[1]) - p[2] * log(p[2]);
    assert_true(fabs(info->effective_rank - exp(entropy)) < 1e-14);
    assert_true(info->tail_error > 0.0 && info->tail_error < 1e-13);
    eck_spectrum_free(spectrum);
    sample_free(&a);
}

static void without_a_reduction(void **state)
{
    (void)state;
    sample a = sample_create(90, 60, ECK_DTYPE_F32, 0.9, 4);
    eck_spectrum *one = NULL, *two = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_spectrum_build(&one, a.op, true, NULL, &err), &err);
    expect_ok(ecki_spectrum_build(&two, a.op, false, NULL, &err), &err);
    assert_non_null(one->packed);
    assert_null(two->packed);
    assert_memory_equal(one->values, two->values, 60 * sizeof(double));
    ecki_spectrum_drop_reduction(one);
    assert_null(one->packed);
    eck_spectrum_free(two);
    eck_spectrum_free(one);
    eck_spectrum_free(NULL);
    sample_free(&a);
}

static void f64_is_refused(void **state)
{
    (void)state;
    sample a = sample_create(3, 3, ECK_DTYPE_F64, 1.0, 4);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_spectrum_create(&spectrum, a.op, NULL, &err), ECK_E_RANGE);
    assert_null(spectrum);
    sample_free(&a);
}

static eck_status wrong_gram(void *self, eck_side side, double scale, eck_panel out, eck_error *err)
{
    (void)self;
    (void)side;
    (void)scale;
    (void)err;
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++)
            ((double *)out.data)[i * out.ld + j] = i == j ? 1.5 : 0.0;
    return ECK_OK;
}

static eck_status ones(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)row;
    (void)col;
    (void)err;
    for (int64_t i = 0; i < out.rows * out.cols; i++)
        ((double *)out.data)[i] = 1.0;
    return ECK_OK;
}

// A Gram that is not that of the matrix shows in its trace.
static void a_wrong_gram_is_noticed(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = ones, .gram = wrong_gram };
    info.rows = 6;
    info.cols = 5;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    assert_int_equal(eck_spectrum_create(&spectrum, a, NULL, &err), ECK_E_SOLVER);
    assert_non_null(strstr(err.message, "trace"));
    eck_operator_free(a);
}

// What two tasks of a loop compute.
typedef struct layers {
    sample *samples;
    eck_svd *results[4];
} layers;

static eck_status factor_one(void *self, int64_t index, eck_error *err)
{
    layers *const l = self;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 40;
    options.want = index % 2 ? ECK_WANT_COMPACT : ECK_WANT_LEFT | ECK_WANT_RIGHT;
    return eck_svd_compute(&l->results[index], l->samples[index].op, &options, NULL, err);
}

// Layers in parallel: the same bytes for every number of threads, and they say so.
static void inside_a_loop(void **state)
{
    (void)state;
    sample samples[4];
    for (int i = 0; i < 4; i++)
        samples[i] =
            sample_create(i < 2 ? 300 : 200, i % 2 ? 190 : 310, ECK_DTYPE_F32, 0.99, (uint64_t)i);
    layers one = { samples, { NULL } };
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_parallel_for(4, 1, factor_one, &one, &err), &err);
    for (int32_t threads = 2; threads <= 5; threads++) {
        layers many = { samples, { NULL } };
        expect_ok(ecki_parallel_for(4, threads, factor_one, &many, &err), &err);
        for (int i = 0; i < 4; i++) {
            assert_true(many.results[i]->reproducible);
            const eck_array *const x[3] = { one.results[i]->u, one.results[i]->s,
                                            one.results[i]->v };
            const eck_array *const y[3] = { many.results[i]->u, many.results[i]->s,
                                            many.results[i]->v };
            for (int t = 0; t < 3; t++)
                assert_memory_equal(
                    x[t]->data, y[t]->data,
                    (size_t)(eck_array_count(x[t]) * eck_dtype_bits(x[t]->dtype) / 8));
            eck_svd_free(many.results[i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        eck_svd_free(one.results[i]);
        sample_free(&samples[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),   cmocka_unit_test(without_a_reduction),
        cmocka_unit_test(f64_is_refused), cmocka_unit_test(a_wrong_gram_is_noticed),
        cmocka_unit_test(inside_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
