/**
 * Tall row-major F64 matrices [m,k], worked on in pieces of rows by as many threads as products may use here
 * (ecki_crew()). Always true: the pieces depend on m and k alone and their sums are added in their order, so that no bit
 * depends on threads.
 */
#ifndef ECKI_TALL_H
#define ECKI_TALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** Rows of a piece of columns that many: about 2^15 numbers, at least 64. */
int64_t ecki_tall_rows(int64_t k);

/** sum[j] = squared length of column j, to within 2 u whatever m: what each addition loses (Knuth's two-sum) is added at
 * the end. Plain sums of equal terms lose a multiple of m u, always to one side. */
eck_status ecki_tall_squares(double *sum, const double *x, int64_t m, int64_t k, eck_error *err);

/** x = x diag(factor), or x diag(1 / factor) where `divide`. */
eck_status ecki_tall_scale(double *x, int64_t m, int64_t k, const double *factor, bool divide,
                           eck_error *err);

/** x = x L^-T for L lower triangular [k,k], row-major. */
eck_status ecki_tall_solve(double *x, int64_t m, int64_t k, const double *lower, eck_error *err);

/** The triangle i >= j of X^T X into gram [k,k]; the other is not touched. */
eck_status ecki_tall_gram(double *gram, const double *x, int64_t m, int64_t k, eck_error *err);

/** Numbers of 8 bytes that the largest of these works in, on so many threads. */
double ecki_tall_memory(double m, double k, int32_t threads);

/** Rows first .. first+rows-1 of something. */
typedef eck_status (*ecki_rows_task)(void *self, int64_t first, int64_t rows, eck_error *err);

/** Runs a task over all rows, `rows` at a time, on the same threads. */
eck_status ecki_tall_each(int64_t m, int64_t rows, ecki_rows_task task, void *self, eck_error *err);

#endif
