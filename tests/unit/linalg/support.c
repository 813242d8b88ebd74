// Matrices and references for the tests of linalg.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

sample sample_of(const double *numbers, int64_t rows, int64_t cols, eck_dtype storage)
{
    sample s = { .rows = rows, .cols = cols };
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_array_convert(&s.array, eck_view_matrix(numbers, ECK_DTYPE_F64, rows, cols),
                                storage, &err),
              &err);
    s.wide = wide_copy(s.array);
    expect_ok(eck_operator_dense(&s.op, eck_array_view(s.array), &err), &err);
    return s;
}

sample sample_create(int64_t rows, int64_t cols, eck_dtype storage, double decay, uint64_t seed)
{
    double *const numbers = test_malloc((size_t)(rows * cols + 1) * sizeof *numbers);
    ecki_random_fill_normal(numbers, rows * cols, seed, 1, 0);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            numbers[i * cols + j] *= pow(decay, (double)j);
    const sample s = sample_of(numbers, rows, cols, storage);
    test_free(numbers);
    return s;
}

void sample_free(sample *s)
{
    eck_operator_free(s->op);
    eck_array_free(s->array);
    test_free(s->wide);
}

void expect_ok(eck_status status, const eck_error *err)
{
    if (status != ECK_OK) fail_msg("%s: %s", eck_status_name(status), err->message);
}

void expect_at_most(const char *what, double measured, double allowed)
{
    printf("  %-44s %10.3g <= %10.3g\n", what, measured, allowed);
    if (!(measured <= allowed)) fail_msg("%s: %g is more than %g", what, measured, allowed);
}

double *wide_copy(const eck_array *array)
{
    eck_array *copy = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_array_convert(&copy, eck_array_view(array), ECK_DTYPE_F64, &err), &err);
    const size_t bytes = (size_t)eck_array_count(array) * sizeof(double);
    double *const out = test_malloc(bytes + 1);
    if (bytes) memcpy(out, copy->data, bytes);
    eck_array_free(copy);
    return out;
}

double true_error(const sample *a, const eck_array *u, const double *s, const eck_array *v,
                  int64_t k)
{
    double *const left = wide_copy(u), *const right = wide_copy(v);
    long double error = 0.0L, norm = 0.0L;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            long double sum = a->wide[i * a->cols + j];
            norm += sum * sum;
            for (int64_t t = 0; t < k; t++)
                sum -= (long double)left[i * u->shape[1] + t] * (s ? (long double)s[t] : 1.0L) *
                       right[j * v->shape[1] + t];
            error += sum * sum;
        }
    test_free(left);
    test_free(right);
    return norm > 0.0L ? (double)sqrtl(error / norm) : (double)sqrtl(error);
}

double true_orthogonality(const eck_array *x, int64_t k)
{
    double *const wide = wide_copy(x);
    const int64_t m = x->shape[0], width = x->shape[1];
    long double worst = 0.0L;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k; j++) {
            long double dot = i == j ? -1.0L : 0.0L;
            for (int64_t t = 0; t < m; t++)
                dot += (long double)wide[t * width + i] * wide[t * width + j];
            worst = fmaxl(worst, fabsl(dot));
        }
    test_free(wide);
    return (double)worst;
}
