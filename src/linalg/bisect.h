/**
 * Values of a symmetric tridiagonal matrix by bisection, many at a time: the same for any number of threads and on every
 * processor, each found apart from all others.
 */
#ifndef ECKI_BISECT_H
#define ECKI_BISECT_H

#include <stdint.h>

#include "base/error.h"
#include "linalg/lapack.h"

/**
 * The values at these places, the largest first.
 * values   [places.count], descending
 * t        n > 0; only its two diagonals are read
 * Cost     about 50 n operations a value on vectors of 32 values; on at most `threads` threads
 * Accuracy 8 u g each, where g <= 2 || T || is the largest sum of absolute values of a row
 * Errors   ECK_E_SOLVER a number of T is not finite; ECK_E_NOMEM
 * Source   W. Givens, Numerical computation of the characteristic values of a real symmetric matrix, ORNL-1574 (1954);
 *          J. Demmel, I. Dhillon, H. Ren, On the correctness of some bisection-like parallel eigenvalue algorithms in
 *          floating point arithmetic, ETNA 3 (1995)
 */
eck_status ecki_bisect(double *values, const ecki_tridiagonal *t, ecki_places places,
                       int32_t threads, eck_error *err);

#endif
