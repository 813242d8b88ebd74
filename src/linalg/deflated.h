/**
 * Engine DEFLATED: the exact lane's way at the speed of F32. The F64 Gram loses its few outlying directions, what is
 * left is reduced to tridiagonal form in F32, and the tridiagonal matrix is solved in F64 (docs/methods/deflated.md).
 */
#ifndef ECKI_DEFLATED_H
#define ECKI_DEFLATED_H

#include <stdbool.h>

#include "linalg/spectrum.h"
#include "linalg/svd_job.h"

/** True when the lane can take these options at all: a rank of at most half the values, factors wanted. */
bool ecki_deflated_fits(const eck_operator_info *info, const eck_svd_options *options);

/** *answered_out false: the result would not be near enough to the optimum, or is not for this lane; nothing is written
 *  then, and no error. */
eck_status ecki_svd_deflated(eck_svd **out, ecki_svd_job *job, bool *answered_out, eck_error *err);

/** The leading eigenvectors of a symmetric G that stand out, found in F64. Cleared by ecki_outliers_clear(). */
typedef struct ecki_outliers {
    int64_t count;
    double *vectors; /**< row-major [n,count], orthonormal */
    double *images; /**< row-major [n,count]: G times them */
    double *values; /**< [count], descending */
} ecki_outliers;

enum { ECKI_OUTLIERS_MOST = 40 };

/** gram whole, row-major [n,n]; at most `most` of them, those of values >= 16 trace / n. */
eck_status ecki_outliers_find(ecki_outliers *out, const double *gram, int64_t n, int64_t most,
                              const eck_context *context, eck_error *err);
void ecki_outliers_clear(ecki_outliers *outliers);

/** gram = P gram P with P = I - X X^T for the outliers' vectors X; *coupling_out = || P G X ||_F, which that drops. */
eck_status ecki_outliers_remove(double *coupling_out, double *gram, const ecki_outliers *outliers,
                                int64_t n, const eck_context *context, eck_error *err);

#endif
