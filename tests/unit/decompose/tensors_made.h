/** Tensors for the tests of the tensor decompositions, and the plainest way to compare them. */
#ifndef TENSORS_MADE_H
#define TENSORS_MADE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "eckart/multilinear.h"

static inline void good(eck_status status, const eck_error *err)
{
    if (status != ECK_OK) fail_msg("%s", err->message);
}

/** Normal numbers. */
static inline eck_array *random_tensor(eck_dtype dtype, int32_t ndim, const int64_t *shape,
                                       uint64_t seed)
{
    eck_array *wide = NULL, *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_array_create(&wide, ECK_DTYPE_F64, ndim, shape, &err), &err);
    ecki_random_fill_normal(wide->data, eck_array_count(wide), seed, 1, 0);
    good(eck_array_convert(&out, eck_array_view(wide), dtype, &err), &err);
    eck_array_free(wide);
    return out;
}

/** A sum of `rank` products of random columns, rounded once. */
static inline eck_array *low_rank_tensor(eck_dtype dtype, int32_t ndim, const int64_t *shape,
                                         int64_t rank, uint64_t seed)
{
    eck_array *wide = NULL, *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_array_create(&wide, ECK_DTYPE_F64, ndim, shape, &err), &err);
    for (int64_t i = 0; i < eck_array_count(wide); i++)
        for (int64_t r = 0; r < rank; r++) {
            double product = 1.0;
            int64_t rest = i;
            for (int32_t n = ndim - 1; n >= 0; n--) {
                product *= ecki_random_normal(seed, (uint64_t)(n + 2),
                                              (uint64_t)(rest % shape[n] * rank + r));
                rest /= shape[n];
            }
            ((double *)wide->data)[i] += product;
        }
    good(eck_array_convert(&out, eck_array_view(wide), dtype, &err), &err);
    eck_array_free(wide);
    return out;
}

/** Any array in F64; eck_array_free(). */
static inline eck_array *widened(const eck_array *array)
{
    eck_array *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    good(eck_array_convert(&out, eck_array_view(array), ECK_DTYPE_F64, &err), &err);
    return out;
}

/** || a - b || / || a ||, summed in long double. */
static inline double distance(const eck_array *a, const eck_array *b)
{
    eck_array *x = widened(a), *y = widened(b);
    long double difference = 0.0L, whole = 0.0L;

    assert_int_equal(eck_array_count(a), eck_array_count(b));
    for (int64_t i = 0; i < eck_array_count(x); i++) {
        const long double u = ((double *)x->data)[i], v = ((double *)y->data)[i];
        difference += (u - v) * (u - v);
        whole += u * u;
    }
    eck_array_free(x);
    eck_array_free(y);
    return whole > 0.0L ? (double)sqrtl(difference / whole) : (double)sqrtl(difference);
}

/** Prints both sides. */
static inline void at_most(const char *what, double measured, double allowed)
{
    printf("%s: %.3g, allowed %.3g\n", what, measured, allowed);
    assert_true(measured <= allowed);
}

/** max | X^T X - I | of [m,k] F64. */
static inline double off_orthonormal(const eck_array *x)
{
    const int64_t m = x->shape[0], k = x->shape[1];
    const double *a = x->data;
    double worst = 0.0;

    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (int64_t r = 0; r < m; r++)
                sum += a[r * k + i] * a[r * k + j];
            worst = fmax(worst, fabs(sum));
        }
    return worst;
}

#endif
