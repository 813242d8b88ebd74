/**
 * One singular value decomposition on its way: the lanes fill the F64 factors, finishing rounds and
 * proves them.
 */
#ifndef ECKI_SVD_JOB_H
#define ECKI_SVD_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/svd.h"
#include "linalg/held.h"
#include "linalg/lapack.h"
#include "linalg/spectrum.h"

/** What an iterative lane knows of the optimum, of scale A. */
typedef struct ecki_gap {
    bool set; /**< else the spectrum knows every value */
    double
        slack; /**< the squared values of the optimum sum to at most || A V ||_F^2 + slack, but for `failure` */
    double
        rounding; /**< bound of the error of || A ||_F^2 - || A V ||_F^2, relative to the first */
    double failure;
} ecki_gap;

/** Factors are of scale A; freed by ecki_svd_job_clear(). */
typedef struct ecki_svd_job {
    const eck_operator *a; /**< borrowed */
    const eck_context *context; /**< borrowed */
    const eck_spectrum *spectrum; /**< borrowed: values, tails, scale */
    eck_spectrum *own; /**< the same if nobody else needs its reduction, or NULL */
    eck_svd_options options; /**< checked; store is never NONE */
    int64_t rank;
    double *u, *v; /**< [rows,rank], [cols,rank] row-major; NULL when only values are wanted */
    double *s; /**< [rank] between them, or NULL: one of the two carries the values (COMPACT) */
    eck_side orthonormal; /**< COMPACT: the side without the values */
    double captured; /**< || A P ||_F^2 for the projector P on the vectors of the near side; -1 not
                        computed */
    double
        defect; /**< bound of || A P - u diag(s) v^T ||_F: the price of orthonormal far vectors */
    double backward; /**< F64 lane: || E ||_F / || A ||_F of the matrix A + E that the factors
                        belong to; else 0 */
    ecki_gap gap;
    eck_engine engine;
    int64_t reads; /**< of A, after which KRYLOV gives up */
    ecki_holding holding; /**< KRYLOV: the copy of A it makes */
    const char *solver;
    bool one_thread;
    double start; /**< clock at the first number read */
} ecki_svd_job;

void ecki_svd_job_clear(ecki_svd_job *job);

/** Fills the defaults in and refuses what is out of range. */
eck_status ecki_svd_check_options(eck_svd_options *out, const eck_svd_options *given,
                                  const eck_operator_info *info, eck_error *err);

/** The context, on one thread where the work is too small to share; the same for every number of threads given. */
eck_context ecki_fit_context(const eck_context *context, const eck_operator_info *info);

/** eck_svd_memory() for a number of threads. */
int64_t ecki_svd_memory(const eck_operator_info *info, const eck_svd_options *options, int64_t rank,
                        int32_t threads);

/** ECK_E_BUDGET where so many terms take more memory than the context allows; -1: values alone. */
eck_status ecki_svd_require_memory(const ecki_svd_job *job, int64_t rank, eck_error *err);

/** eck_svd_stream_memory() for a number of threads, and ECK_E_BUDGET when the context allows less. */
int64_t ecki_stream_memory(const eck_operator_info *info, const eck_svd_options *options,
                           int64_t rank, int32_t threads);
eck_status ecki_stream_require_memory(const ecki_svd_job *job, int64_t rank, eck_error *err);

/** True when factors are wanted at all. */
bool ecki_wants_factors(const eck_svd_options *options);

/** Vectors of the near side, products for the far one, from a spectrum with its reduction. */
eck_status ecki_factor_exact(ecki_svd_job *job, eck_error *err);

/** From near vectors, orthonormal on side job->orthonormal, and A times them: u, s, v as wanted. Both move into the job
 *  on success. */
eck_status ecki_factor_expand(ecki_svd_job *job, double **near, double **far, eck_error *err);

/** Signs, rounding to storage, completion, certificate. */
eck_status ecki_svd_finish(eck_svd **out, ecki_svd_job *job, eck_error *err);

/** The certificate of factors as stored, by the proof the options ask for. */
eck_status ecki_svd_certify(eck_certificate *out, const ecki_svd_job *job, const eck_svd *svd,
                            eck_error *err);

/** The F64 lane (engine EXACT) and the reference (GOLUB_KAHAN): spectrum and factors at once. */
eck_status ecki_svd_dense(eck_svd **out, ecki_svd_job *job, eck_error *err);

/** || E ||_F / || A ||_F of the matrix A + E that LAPACK's answer for a [m,n] matrix belongs to. */
double ecki_backward_error(int64_t m, int64_t n);

/** Fills a matrix that a solver will destroy: column-major [m,n]. */
typedef eck_status (*ecki_dense_load)(void *self, double *a, eck_error *err);

/** gesdd, then gesvd, then gesvj, beginning with `first`, until one gives finite values in order.
 */
eck_status ecki_dense_solve(ecki_dense_svd *svd, ecki_svd_solver first, const char **solver_out,
                            ecki_dense_load load, void *self, eck_error *err);

#endif
