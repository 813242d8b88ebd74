/**
 * Orthonormal columns: Cholesky QR with an F64 Gram, Householder where that cannot do it.
 */
#ifndef ECKI_ORTHONORMAL_H
#define ECKI_ORTHONORMAL_H

#include <stdint.h>

#include "base/error.h"

/** max | X^T X - I | of a row-major X [m,k], F64. */
eck_status ecki_orthogonality(double *out, const double *x, int64_t m, int64_t k, eck_error *err);

/**
 * Makes the columns of a row-major X [m,k], k <= m, orthonormal in place, keeping the spans of the
 * first 1, 2, .. columns as far as they are independent; dependent and zero columns become
 * orthonormal completions, never NaN. r_out  X = Q R, [k,k] row-major, upper triangle; may be NULL
 */
eck_status ecki_orthonormalize(double *x, int64_t m, int64_t k, double *r_out, eck_error *err);

/** Orthonormal to 8 sqrt(k) u where LAPACK promised a multiple of n u: X [m,k] again through ecki_orthonormalize() if
 *  it is not so already. */
eck_status ecki_sharpen(double *x, int64_t m, int64_t k, eck_error *err);

/** Completes orthonormal columns X [m,k] to a square orthonormal matrix, row-major [m,m]; its first
 * k columns are X. */
eck_status ecki_complete(double *out, const double *x, int64_t m, int64_t k, eck_error *err);

#endif
