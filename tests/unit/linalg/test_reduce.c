// One stage and two give the same values and vectors, and what is kept has the size that is said.
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "linalg/bisect.h"
#include "linalg/spectrum.h"

static void rooms(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    int64_t room = 0;
    expect_ok(ecki_spectrum_room(&room, 100, &err), &err);
    assert_int_equal(room, 10000);
    expect_ok(ecki_spectrum_room(&room, ECKI_TWO_STAGE_ORDER, &err), &err);
    assert_true(room >= ecki_spectrum_packed(ECKI_TWO_STAGE_ORDER, true));
    assert_int_equal(ecki_spectrum_packed(10, false), 45);
    assert_int_equal(ecki_spectrum_room(&room, (int64_t)1 << 31, &err), ECK_E_SHAPE);
}

// || A z - lambda z || of the largest and of a middle value, and the sum of all values against the trace.
static void vectors_of(int64_t n)
{
    eck_error err = ECK_ERROR_INIT;
    eck_spectrum *spectrum = NULL;
    int64_t room = 0, info = 0;
    double trace = 0.0, sum = 0.0, worst = 0.0;
    expect_ok(ecki_spectrum_new(&spectrum, n, n, true, &err), &err);
    expect_ok(ecki_spectrum_room(&room, n, &err), &err);
    double *matrix = ecki_malloc(room, sizeof *matrix);
    double *const a = test_malloc((size_t)(n * n) * sizeof *a), *const z = test_malloc(
                                                                    (size_t)(2 * n) * sizeof *z);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = ecki_random_normal(9, 9, (uint64_t)(i * n + j));
    memcpy(matrix, a, (size_t)(n * n) * sizeof *a);
    expect_ok(ecki_spectrum_reduce(spectrum, &matrix, NULL, &err), &err);
    assert_null(matrix);
    assert_int_equal(spectrum->two_stage, n >= ECKI_TWO_STAGE_ORDER);
    expect_ok(ecki_dstemr(z, &spectrum->t, (ecki_places){ 0, 2 }, &info, &err), &err);
    expect_ok(ecki_spectrum_back_transform(z, spectrum, 2, NULL, &err), &err);
    double *const values = test_malloc((size_t)n * sizeof *a);
    expect_ok(ecki_bisect(values, &spectrum->t, (ecki_places){ 0, n }, 2, &err), &err);
    for (int64_t i = 0; i < n; i++) {
        trace += a[i * n + i];
        sum += values[i];
    }
    for (int64_t j = 0; j < 2; j++)
        for (int64_t i = 0; i < n; i++) {
            double residual = -values[1 - j] * z[j * n + i];
            for (int64_t t = 0; t < n; t++)
                residual += a[i * n + t] * z[j * n + t];
            worst = fmax(worst, fabs(residual));
        }
    const double norm = 2.0 * sqrt((double)n);
    expect_at_most("A z - lambda z", worst, 32.0 * 0x1p-53 * norm);
    expect_at_most("trace", fabs(trace - sum), 4.0 * (double)n * 0x1p-53 * norm);
    test_free(values);
    test_free(z);
    test_free(a);
    eck_spectrum_free(spectrum);
}

static void one_stage_and_two(void **state)
{
    (void)state;
    vectors_of(300);
    vectors_of(ECKI_TWO_STAGE_ORDER + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rooms),
                                        cmocka_unit_test(one_stage_and_two) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
