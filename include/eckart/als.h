/**
 * Low-rank products found step by step, A ~ last first: alternating least squares and gradient descent, also weighted
 * and with entries missing. Without weights and mask the truncated SVD is the better way; these are what it is compared
 * with, and what is left where it does not exist.
 */
#ifndef ECKART_ALS_H
#define ECKART_ALS_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/operator.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eck_als_options {
    uint32_t version; /**< 1 */
    eck_engine engine; /**< ALS (default) or GRADIENT */
    int64_t rank; /**< 1 .. min(rows,cols) */
    int64_t iterations; /**< at most; default 1000; one updates both factors */
    /** Done when an iteration lowers the objective by less than this part of it, or by less than
     * rounding can tell; default 1e-10, at least 0. */
    double tolerance;
    double ridge; /**< l of l (||U||^2 + ||V||^2), added to the objective; default 0 */
    uint64_t seed; /**< of the first factors; default 0 */
    eck_dtype store; /**< type of the factors; NONE (default): F64 for F64 storage, else F32 */
    const eck_operator *mask; /**< 0 where an entry is missing; NULL (default): none is. Borrowed */
    const eck_operator *weights; /**< >= 0, 0 is missing; NULL (default): all 1. Borrowed */
} eck_als_options;

#define ECK_ALS_OPTIONS_INIT \
    { \
        1, ECK_ENGINE_ALS, 0, 1000, 1e-10, 0.0, 0, ECK_DTYPE_NONE, NULL, NULL \
    }

/** The same defaults, for bindings. */
ECK_API void eck_als_options_init(eck_als_options *options);

/** Owned by the caller, eck_als_free(). */
typedef struct eck_als {
    int64_t rows, cols, rank;
    eck_array *first; /**< [rank,cols] */
    eck_array *last; /**< [rows,rank]; the singular values of the product are split evenly */
    eck_array *values; /**< F64 [rank]: singular values of the product, descending */
    eck_engine engine;
    bool converged; /**< by the tolerance, before the iterations ran out */
    int64_t iterations; /**< done */
    eck_array *objective; /**< F64 [iterations]: objective over sum of w a^2 after each */
    int64_t observed; /**< entries that are neither masked out nor weigh 0 */
    int64_t empty_rows, empty_cols; /**< without any such entry; their factors are 0 */
    bool reproducible; /**< same bytes for any number of threads */
    /** Of the factors as stored, over the observed entries, each times the root of its weight. The
     * optimum is known from above only, and only where ridge is 0. */
    eck_certificate certificate;
    double seconds;
} eck_als;

ECK_API void eck_als_free(eck_als *als);

/**
 * Minimises sum_ij w_ij (a_ij - u_i v_j^T)^2 + l (||U||^2 + ||V||^2) over U [rows,k] and V [cols,k].
 *
 * out      owned by the caller, eck_als_free()
 * a        any operator; NaN and infinity are allowed where an entry is missing
 * options  rank is needed
 * Cost     an iteration: 4 m n k operations without mask and weights; with them 2 N k^2 for ALS and
 *          8 N k for gradient descent, N the entries observed, and (m + n) k^3 / 3 for ALS
 * Accuracy without mask, weights and ridge a fixed point is the truncated SVD (docs/methods/als.md)
 * Errors   ECK_E_SHAPE mask or weights of another shape; ECK_E_RANGE rank, options, a negative
 *          weight, nothing observed; ECK_E_NONFINITE offset = flat index; ECK_E_BUDGET;
 *          ECK_E_CANCELLED. Not converging is none
 * Source   Gabriel and Zamir 1979 (weights); Hu, Koren and Volinsky 2008; Xu and Yin 2013 (descent)
 */
ECK_API eck_status eck_als_compute(eck_als **out, const eck_operator *a,
                                   const eck_als_options *options, const eck_context *context,
                                   eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
