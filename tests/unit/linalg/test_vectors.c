// Vectors of few and of all values, by both solvers, in order and orthonormal, also where values cluster.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "linalg/orthonormal.h"
#include "linalg/spectrum.h"

// || A^T A v - s^2 v || for every vector, relative to s_1^2.
static void check(const sample *a, int64_t k, bool thorough, const char *wanted)
{
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    const char *solver = NULL;
    const int64_t n = a->cols;
    double *const v = test_malloc((size_t)(n * k + 1) * sizeof *v), *const image = test_malloc(
                                                                        (size_t)a->rows *
                                                                        sizeof *v);
    expect_ok(eck_spectrum_create(&spectrum, a->op, NULL, &err), &err);
    const ecki_vector_request request = { k, thorough, NULL };
    expect_ok(ecki_spectrum_vectors(v, &solver, spectrum, &request, &err), &err);
    assert_string_equal(solver, wanted);
    double worst = 0.0, off = 0.0;
    for (int64_t j = 0; j < k; j++) {
        for (int64_t i = 0; i < a->rows; i++) {
            image[i] = 0.0;
            for (int64_t t = 0; t < n; t++)
                image[i] += a->wide[i * n + t] * v[t * k + j];
        }
        for (int64_t t = 0; t < n; t++) {
            double sum = -spectrum->values[j] * spectrum->values[j] * v[t * k + j];
            for (int64_t i = 0; i < a->rows; i++)
                sum += a->wide[i * n + t] * image[i];
            worst = fmax(worst, fabs(sum));
        }
    }
    const double first2 = spectrum->values[0] * spectrum->values[0];
    expect_at_most("A^T A v - s^2 v", worst, 10.0 * (double)(a->rows + n) * 0x1p-53 * first2);
    expect_ok(ecki_orthogonality(&off, v, n, k, &err), &err);
    expect_at_most("V^T V - I", off, 100.0 * (double)n * 0x1p-53);
    eck_spectrum_free(spectrum);
    test_free(image);
    test_free(v);
}

static void few_and_all(void **state)
{
    (void)state;
    sample a = sample_create(120, 80, ECK_DTYPE_F32, 0.97, 1),
           large = sample_create(700, 600, ECK_DTYPE_F32, 1.0, 1);
    check(&a, 20, false, "inverse iteration");
    check(&a, 20, true, "dstedc");
    check(&a, 21, false, "dstedc");
    check(&a, 80, false, "dstedc");
    check(&a, 1, false, "inverse iteration");
    check(&large, 5, false, "inverse iteration"); // more reflectors than one block holds
    sample_free(&large);
    sample_free(&a);
}

static void clusters(void **state)
{
    (void)state;
    enum { N = 64 };
    double numbers[N * N] = { 0.0 };
    for (int i = 0; i < N; i++)
        numbers[i * N + i] = i < 40 ? 1.0 : 1e-3; // eigenvalues 40 and 24 times over
    sample a = sample_of(numbers, N, N, ECK_DTYPE_F32);
    check(&a, 16, false, "dstemr");
    check(&a, 50, false, "dstedc");
    memset(numbers, 0, sizeof numbers);
    sample zero = sample_of(numbers, N, N, ECK_DTYPE_F32);
    check(&zero, 10, false, "dstemr");
    sample_free(&zero);
    sample_free(&a);
}

// Found in portions: values close to 1 in groups of 40, so that cuts fall between groups, and groups where no cut may
// fall; the same bits for any threads.
static void portions(void **state)
{
    (void)state;
    enum { N = 1000, K = 240 };
    double *const numbers = test_calloc((size_t)N * N, sizeof *numbers);
    for (int i = 0; i < N; i++)
        numbers[i * N + i] = 1.0 + (i < 400 ? (double)(i / 40) : 1e-3 * (double)i);
    sample apart = sample_of(numbers, N, N, ECK_DTYPE_F32);
    check(&apart, K, false, "dstemr");
    sample_free(&apart);
    test_free(numbers);
}

// Portions found side by side, by each of the two solvers: the same bits for any threads.
static void portions_on_threads(const sample *a, const char *expected)
{
    enum { K = 240 };
    const int64_t n = a->cols;
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    const char *solver = NULL;
    const size_t bytes = (size_t)(n * K) * sizeof(double);
    double *const one = test_malloc(bytes), *const many = test_malloc(bytes);
    eck_context context = ECK_CONTEXT_INIT;
    expect_ok(eck_spectrum_create(&spectrum, a->op, NULL, &err), &err);
    for (context.threads = 1; context.threads <= 3; context.threads++) {
        const ecki_vector_request request = { K, false, &context };
        // The reflectors of one stage are applied by the BLAS: on one thread.
        const int32_t saved = ecki_blas_enter(1);
        expect_ok(ecki_spectrum_vectors(context.threads == 1 ? one : many, &solver, spectrum,
                                        &request, &err),
                  &err);
        ecki_blas_leave(saved);
        assert_string_equal(solver, expected);
        if (context.threads > 1) assert_memory_equal(one, many, bytes);
    }
    test_free(many);
    test_free(one);
    eck_spectrum_free(spectrum);
}

static void solvers(void **state)
{
    (void)state;
    enum { N = 980 };
    double *const numbers = test_calloc(N * N, sizeof *numbers);
    sample dense = sample_create(1040, 1000, ECK_DTYPE_F32, 1.0, 7);
    portions_on_threads(&dense, "inverse iteration");
    sample_free(&dense);
    for (int i = 0; i < N; i++) // every value twice
        numbers[i * N + i] = 1.0 + 0.25 * (i / 2);
    sample twice = sample_of(numbers, N, N, ECK_DTYPE_F32);
    portions_on_threads(&twice, "dstemr");
    sample_free(&twice);
    test_free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(few_and_all), cmocka_unit_test(clusters),
                                        cmocka_unit_test(portions), cmocka_unit_test(solvers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
