/**
 * CP fits on the way: factors in F64 of a contiguous tensor, all modes but one with columns of length 1.
 */
#ifndef ECKI_CP_PARTS_H
#define ECKI_CP_PARTS_H

#include "decompose/multilinear_parts.h"
#include "decompose/tucker_parts.h"

/** Factors, their Grams, and the relative squared error they were last found to have. */
typedef struct ecki_cp_state {
    double *factor[ECK_DIMS_MAX]; /**< [shape,rank] */
    double *gram[ECK_DIMS_MAX]; /**< [rank,rank] */
    double error2;
} ecki_cp_state;

/** One tensor and a fit of it. Modes come in two halves: a product of the tensor with the columns of one half serves every
 *  mode of the other. */
typedef struct ecki_cp_fit {
    const double *x; /**< contiguous, [shape] */
    int32_t ndim, half; /**< modes 0 .. half - 1 and the rest */
    int64_t shape[ECK_DIMS_MAX], rank;
    int64_t left, right; /**< elements of the halves */
    double norm2; /**< squared norm of x */
    ecki_cp_state now, before;
    double *partial; /**< [max(left,right),rank] */
    double *columns; /**< [max(left,right),rank] products of columns of one half */
    double *spare, *product; /**< contractions; [max shape,rank] */
    double *normal; /**< [rank,rank] */
    float
        *narrow; /**< x in F32 times a power of two, while products with it are in F32; else NULL */
    float *narrow_columns, *narrow_partial; /**< as the two above, where narrow is */
    double widen; /**< the inverse of that power */
    int64_t iterations; /**< done */
    bool converged;
} ecki_cp_fit;

typedef struct ecki_cp_limits {
    int64_t iterations;
    double tolerance;
    const eck_context *context;
} ecki_cp_limits;

void ecki_cp_fit_clear(ecki_cp_fit *fit);

/** Room for everything, factors zero. x borrowed. */
eck_status ecki_cp_fit_init(ecki_cp_fit *out, const double *x, int32_t ndim, const int64_t *shape,
                            int64_t rank, eck_error *err);

/** Products with x in F32 from now on, where x is large enough for them to count; ecki_cp_fit_run() ends them. For x of
 *  numbers that F32 holds to its last digits. */
eck_status ecki_cp_fit_narrow(ecki_cp_fit *fit, eck_error *err);

/** Alternating least squares with line search from fit->now.factor. Ends with columns of length 1 in all modes but the
 *  last, and now.error2. */
eck_status ecki_cp_fit_run(ecki_cp_fit *fit, const ecki_cp_limits *limits, eck_error *err);

/** fit->product [shape[mode],rank] = unfolding times the columns of all other modes. */
eck_status ecki_cp_product(ecki_cp_fit *fit, int32_t mode, eck_error *err);

/** fit->normal = elementwise product of the Grams of all modes but one (-1: none left out). */
void ecki_cp_normal(ecki_cp_fit *fit, int32_t but);

/** Columns of length 1; lengths_out [rank] or NULL; a column of zeros stays one. Its Gram is made anew. */
eck_status ecki_cp_normalize(ecki_cp_fit *fit, int32_t mode, double *lengths_out, eck_error *err);

/** The Gram of one mode's factor as it is now. */
eck_status ecki_cp_gram(ecki_cp_fit *fit, int32_t mode, eck_error *err);

/** sum of squares of the terms over the squared norm of their sum, where mode `ndim - 1` holds the lengths; 1 for zeros. */
double ecki_cp_degeneracy(ecki_cp_fit *fit);

/** Terms made smaller while the relative error stays below `bound`; a sweep for four iterations of the limits, at most 20. */
eck_status ecki_cp_shrink(ecki_cp_fit *fit, double bound, const ecki_cp_limits *limits,
                          eck_error *err);

/** What is to be fitted, and how. */
typedef struct ecki_cp_task {
    const ecki_subject *subject;
    const eck_cp_options *options;
    const ecki_tucker_work
        *bases; /**< of the subject, not truncated, if they are there already; else NULL */
    int64_t finish; /**< iterations on the whole after those on the core, at most */
    const eck_context *context;
} ecki_cp_task;

/** Starts, fits, makes smaller: everything eck_cp_compute() does but rounding and proving. Sets the report's degeneracies,
 *  iterations, start, error. */
eck_status ecki_cp_decompose(ecki_cp_fit *out, eck_cp *report, const ecki_cp_task *task,
                             eck_error *err);

#endif
