/**
 * From orthonormal vectors that capture what is wanted to a result: A times them, values, factors, certificate. For
 * lanes that know the values they keep and a bound of what better vectors could add.
 */
#ifndef ECKI_RITZ_H
#define ECKI_RITZ_H

#include "linalg/svd_job.h"

/** Cleared by ecki_ritz_clear(). near and far are row-major F64. */
typedef struct ecki_ritz {
    ecki_svd_job *job; /**< borrowed */
    eck_spectrum *spectrum; /**< knows k values, and no more */
    eck_side side; /**< of the near vectors */
    double scale, norm2; /**< || scale A ||_F^2 */
    int64_t k;
    double *near; /**< orthonormal, [cols,k] on the right side, [rows,k] on the left */
    double *far; /**< scale A near, or scale A^T near */
    double captured; /**< || far ||_F^2 */
} ecki_ritz;

eck_status ecki_ritz_init(ecki_ritz *ritz, ecki_svd_job *job, const eck_scan *scan, eck_side side,
                          eck_error *err);
void ecki_ritz_clear(ecki_ritz *ritz);

/**
 * far, captured and the values of k near vectors. Columns are put in order; where U is wanted and the columns of far are
 * not orthogonal to the precision of the store, both sides are turned by the eigenvectors of far^T far first.
 */
eck_status ecki_ritz_settle(ecki_ritz *ritz, int64_t k, eck_error *err);

/** The result; job->rank, engine and solver are set. slack: the k largest eigenvalues of the Gram sum to at most
 *  captured + slack, but for the probability `failure`. */
eck_status ecki_ritz_finish(eck_svd **out, ecki_ritz *ritz, double slack, double failure,
                            eck_error *err);

#endif
