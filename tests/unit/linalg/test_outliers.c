// Outliers of made matrices are found, no other direction is, and what is left has lost them and nothing else.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/deflated.h"
#include "memory/failing_allocator.h"

enum { N = 150 };

// G = H diag(values) H for the reflector H of a random vector; the vector of value j is column j of H.
static void make(double *gram, double *h, const double *values)
{
    double v[N], length2 = 0.0;
    ecki_random_fill_normal(v, N, 21, 4, 0);
    for (int i = 0; i < N; i++)
        length2 += v[i] * v[i];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            h[i * N + j] = (i == j ? 1.0 : 0.0) - 2.0 * v[i] * v[j] / length2;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0.0;
            for (int t = 0; t < N; t++)
                sum += h[i * N + t] * values[t] * h[j * N + t];
            gram[i * N + j] = sum;
        }
}

static void found_and_removed(void **state)
{
    (void)state;
    double *const gram = test_malloc(sizeof(double) * N * N), *const h = test_malloc(
                                                                  sizeof(double) * N * N);
    double values[N], coupling = -1.0, worst = 0.0, left = 0.0;
    ecki_outliers outliers;
    eck_error err = ECK_ERROR_INIT;
    for (int i = 0; i < N; i++)
        values[i] = i < 3 ? 900.0 / (1.0 + i) : 1.0 / (1.0 + 0.01 * i);
    make(gram, h, values);
    expect_ok(ecki_outliers_find(&outliers, gram, N, 10, NULL, &err), &err);
    assert_int_equal(outliers.count, 3);
    for (int j = 0; j < 3; j++) {
        double along = 0.0;
        for (int i = 0; i < N; i++)
            along += h[i * N + j] * outliers.vectors[i * 3 + j];
        // Four rounds, each of which takes the rest off by a factor of 300.
        expect_at_most("angle to the outlier", 1.0 - fabs(along), 1e-13);
        expect_at_most("its value", fabs(outliers.values[j] - values[j]) / values[j], 1e-13);
    }
    expect_ok(ecki_outliers_remove(&coupling, gram, &outliers, N, NULL, &err), &err);
    // The start has about four times as much of the rest as of an outlier; three products take 0.7 / 300 off each.
    expect_at_most("coupling", coupling, 900.0 * 4.0 * pow(0.7 / 300.0, 3.0));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0.0;
            for (int t = 3; t < N; t++)
                sum += h[i * N + t] * values[t] * h[j * N + t];
            left = fmax(left, fabs(gram[i * N + j] - gram[j * N + i]));
            worst = fmax(worst, fabs(gram[i * N + j] - sum));
        }
    assert_true(left <= 1e-13 * 900.0);
    // The angle to the outliers is the coupling over their value, and what it turns is at most 1.
    expect_at_most("what is left", worst, coupling / 300.0 + 4.0 * 0x1p-53 * 900.0);
    ecki_outliers_clear(&outliers);
    ecki_outliers_clear(&outliers);
    test_free(h);
    test_free(gram);
}

static void none_stands_out(void **state)
{
    (void)state;
    double *const gram = test_calloc(N * N, sizeof *gram);
    ecki_outliers outliers;
    eck_error err = ECK_ERROR_INIT;
    double coupling = -1.0;
    for (int i = 0; i < N; i++)
        gram[i * N + i] = 1.0 + 0.05 * i;
    expect_ok(ecki_outliers_find(&outliers, gram, N, 10, NULL, &err), &err);
    assert_int_equal(outliers.count, 0);
    expect_ok(ecki_outliers_remove(&coupling, gram, &outliers, N, NULL, &err), &err);
    assert_true(coupling == 0.0 && gram[0] == 1.0);
    ecki_outliers_clear(&outliers);
    gram[5 * N + 5] = gram[9 * N + 9] = 500.0;
    expect_ok(ecki_outliers_find(&outliers, gram, N, 1, NULL, &err), &err);
    assert_int_equal(outliers.count, 1); // no more than were allowed
    ecki_outliers_clear(&outliers);
    test_free(gram);
}

static eck_status refused_scenario(void *self, eck_error *err)
{
    double coupling = -1.0;
    ecki_outliers outliers;
    eck_status status = ecki_outliers_find(&outliers, self, N, 10, NULL, err);
    if (status == ECK_OK) {
        double *const copy = test_malloc(sizeof(double) * N * N);
        memcpy(copy, self, sizeof(double) * N * N);
        status = ecki_outliers_remove(&coupling, copy, &outliers, N, NULL, err);
        test_free(copy);
    }
    ecki_outliers_clear(&outliers);
    return status;
}

static void refused(void **state)
{
    (void)state;
    double *const gram = test_calloc(N * N, sizeof *gram);
    for (int i = 0; i < N; i++)
        gram[i * N + i] = i < 2 ? 800.0 - 100.0 * i : 1.0;
    fail_every_allocation("outliers", refused_scenario, gram);
    test_free(gram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_and_removed),
        cmocka_unit_test(none_stands_out),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
