// A = V diag(lambda) V^T of small symmetric matrices; the matrix stays; values alone are the same.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/spectrum.h"

enum { N = 40 };

static void decomposes(void **state)
{
    (void)state;
    double a[N * N], before[N * N], values[N], alone[N], vectors[N * N], worst = 0.0, off = 0.0;
    eck_error err = ECK_ERROR_INIT;
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            a[i * N + j] = ecki_random_normal(6, 6, (uint64_t)(i * N + j));
            a[j * N + i] = i == j ? a[i * N + j] : NAN; // not to be read
        }
    memcpy(before, a, sizeof a);
    expect_ok(ecki_small_eigen(values, vectors, a, N, N, &err), &err);
    assert_memory_equal(a, before, sizeof a);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double sum = -a[i * N + j], inner = i == j ? -1.0 : 0.0;
            for (int t = 0; t < N; t++) {
                sum += vectors[i * N + t] * values[t] * vectors[j * N + t];
                inner += vectors[t * N + i] * vectors[t * N + j];
            }
            worst = fmax(worst, fabs(sum));
            off = fmax(off, fabs(inner));
            assert_true(i == 0 || values[i] <= values[i - 1]);
        }
    expect_at_most("A - V L V^T", worst, 8.0 * sqrt((double)N) * 0x1p-53 * 2.0 * sqrt((double)N));
    expect_at_most("V^T V - I", off, 8.0 * sqrt((double)N) * 0x1p-53);
    expect_ok(ecki_small_eigen(alone, NULL, a, N, 0, &err), &err);
    assert_memory_equal(alone, values, sizeof alone);
    double few[N * 3];
    expect_ok(ecki_small_eigen(alone, few, a, N, 3, &err), &err);
    for (int i = 0; i < N; i++)
        assert_true(fabs(fabs(few[i * 3]) - fabs(vectors[i * N])) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(decomposes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
