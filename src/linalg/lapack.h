/**
 * The LAPACK front: column-major F64, sizes in int64, workspace by formula. Every function refuses
 * sizes that do not fit the 32-bit integers of the linked library. `info_out` is LAPACK's INFO when
 * it is positive (no convergence, not positive definite), for callers with another way; a negative
 * one is a defect of ours and becomes ECK_E_SOLVER.
 */
#ifndef ECKI_LAPACK_H
#define ECKI_LAPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** A symmetric tridiagonal matrix and the n-1 reflectors that made it. */
typedef struct ecki_tridiagonal {
    int64_t n;
    double *diagonal; /**< [n] */
    double *off_diagonal; /**< [n], the last unused */
    double *tau; /**< [n], the last unused; NULL for values only */
} ecki_tridiagonal;

/** Reduces the upper triangle (to LAPACK) of a [n,n]; a then holds the reflectors above its
 * superdiagonal. */
eck_status ecki_dsytrd(ecki_tridiagonal *t, double *a, eck_error *err);

/** Places in the order of the values, the largest first: first .. first + count - 1. */
typedef struct ecki_places {
    int64_t first, count;
} ecki_places;

/** Vectors of the values at these places, the smallest of them first, z column-major [n,count]; info_out also when
 * fewer came back. */
eck_status ecki_dstemr(double *z, const ecki_tridiagonal *t, ecki_places places, int64_t *info_out,
                       eck_error *err);

/** All vectors, ascending, z column-major [n,n]. */
eck_status ecki_dstedc(double *z, const ecki_tridiagonal *t, int64_t *info_out, eck_error *err);

/** k Householder vectors, column-major [m,k], with their factors. */
typedef struct ecki_reflectors {
    double *v;
    int64_t m, k;
    const double *tau;
    int64_t ld; /**< 0: m */
} ecki_reflectors;

/** The first m rows of c [ldc,columns] = H_k .. H_1 of them, reflectors as dsytrd leaves them: the
 * last ends in row m. */
eck_status ecki_dormql(double *c, int64_t ldc, int64_t columns, const ecki_reflectors *h,
                       eck_error *err);

/** Householder QR of a [m,n], ld >= max(m,1): R in the upper triangle, reflectors below, tau [min(m,n)]. */
eck_status ecki_dgeqrf(double *a, int64_t m, int64_t n, int64_t ld, double *tau, eck_error *err);

/** The names templates use: ecki_dgeqrf(), and the same in F32. */
eck_status ecki_geqrf_f64(double *a, int64_t m, int64_t n, int64_t ld, double *tau, eck_error *err);
eck_status ecki_geqrf_f32(float *a, int64_t m, int64_t n, int64_t ld, float *tau, eck_error *err);

/** The first `columns` columns of the Q of k reflectors, in place of a [m,columns]. */
eck_status ecki_dorgqr(double *a, int64_t m, int64_t columns, int64_t k, const double *tau,
                       eck_error *err);

/** c [m,columns] = Q c, reflectors as dgeqrf leaves them. */
eck_status ecki_dormqr(double *c, int64_t columns, const ecki_reflectors *h, eck_error *err);

typedef enum ecki_svd_solver {
    ECKI_DGESDD,
    ECKI_DGESVD,
    ECKI_DGESVJ,
    ECKI_SOLVERS
} ecki_svd_solver;

/** "dgesdd", "dgesvd", "dgesvj"; static. */
const char *ecki_svd_solver_name(ecki_svd_solver solver);

/** A = U diag(s) V^T of a column-major a [m,n], m >= n, which is destroyed. */
typedef struct ecki_dense_svd {
    int64_t m, n;
    double *a;
    double *s; /**< [n], descending */
    double *u; /**< [m,n], or NULL for values only */
    double *vt; /**< [n,n], or NULL */
} ecki_dense_svd;

/** One solver of the retry chain. info_out 0: converged. */
eck_status ecki_dgesvx(ecki_dense_svd *svd, ecki_svd_solver solver, int64_t *info_out,
                       eck_error *err);

/** Numbers of workspace a solver takes, on top of what the caller passes. */
int64_t ecki_dgesvx_work(int64_t m, int64_t n, bool vectors, ecki_svd_solver solver);

/** G = L L^T on the lower triangle of a row-major matrix. */
eck_status ecki_dpotrf(double *g, int64_t n, int64_t *info_out, eck_error *err);

/** a = L^T A L on the lower triangle of a row-major A [n,n], L as ecki_dpotrf() leaves it. */
eck_status ecki_dsygst(double *a, const double *lower, int64_t n, eck_error *err);

/** Positive eigenvalues of the symmetric matrix in the lower triangle of a row-major [n,n], by those of the D of
 *  L D L^T; destroys it. */
eck_status ecki_inertia(int64_t *positive_out, double *g, int64_t n, eck_error *err);

/** x = x G^-1 for a row-major x [rows,n], G as ecki_dpotrf() leaves it. */
eck_status ecki_dpotrs(double *x, int64_t rows, const double *lower, int64_t n, eck_error *err);

#endif
