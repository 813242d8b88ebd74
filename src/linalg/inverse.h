/**
 * Vectors of a symmetric tridiagonal matrix whose values are known, by inverse iteration, eight at a time.
 */
#ifndef ECKI_INVERSE_H
#define ECKI_INVERSE_H

#include <stdint.h>

#include "base/error.h"
#include "linalg/lapack.h"

/** Vectors that are found together at most where memory is foreseen; numbers of 8 bytes that takes for `count` of them. */
enum { ECKI_TOGETHER = 192 };
double ecki_inverse_numbers(double n, double count);

/**
 * z         column-major [n,count]: orthonormal, (T - lambda) z of some n u || T ||
 * values    [count], ascending, as ecki_bisect() finds them
 * info_out  0: z is filled. Else it is not: values lie so near each other that their vectors cannot be told apart this way, or
 *           T is zero
 * Cost      some 40 n operations a vector and a pass, two passes mostly, and 4 n count^2 for the angles between them
 * Errors    ECK_E_NOMEM, those of a product
 * Source    J. H. Wilkinson, The Algebraic Eigenvalue Problem (1965), 5.54; I. Ipsen, Computing an eigenvector with inverse
 *           iteration, SIAM Review 39 (1997)
 */
eck_status ecki_inverse_iteration(double *z, const ecki_tridiagonal *t, const double *values,
                                  int64_t count, int64_t *info_out, eck_error *err);

#endif
