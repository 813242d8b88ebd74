/**
 * Fits A ~ U V^T from inside: the problem, scaled, and the half steps that both engines are made of. A problem is
 * `dense` (every entry known, all of one weight: products with the operator) or a list of entries.
 */
#ifndef ECKI_ALS_PARTS_H
#define ECKI_ALS_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/als.h"
#include "linalg/gemm.h"

/** The observed entries row by row; of the transpose: column by column. */
typedef struct ecki_entries {
    int64_t rows;
    int64_t *start; /**< [rows+1]: entries start[i] .. start[i+1]-1 lie in row i */
    int32_t *index; /**< column, rising within a row */
    double *value; /**< scaled */
    double *root; /**< root of the scaled weight, or NULL: all 1 */
} ecki_entries;

/** What is to be minimised; freed by ecki_als_problem_clear(). All numbers are those of scale A. */
typedef struct ecki_als_problem {
    const eck_operator *a; /**< borrowed: what the caller gave */
    const eck_operator *mask, *weights; /**< borrowed or NULL */
    const eck_context *context; /**< borrowed */
    int32_t threads; /**< that the size of the problem is worth */
    int64_t rows, cols, rank;
    double scale; /**< power of two: the largest number into [1,2) */
    double weight_scale; /**< the same for weights */
    double norm2; /**< sum of w a^2 */
    double weight; /**< sum of w */
    double ridge; /**< of the scaled problem */
    int64_t observed, empty_rows, empty_cols;
    bool dense;
    eck_array *copy; /**< dense: A in memory, unless it already was */
    eck_operator *own; /**< dense: the operator of the copy */
    const eck_operator *source; /**< dense: what is read in every iteration */
    ecki_entries by_row, by_col; /**< else */
    double *product; /**< dense [max(rows,cols),rank]: scale A V or scale A^T U, the latest */
} ecki_als_problem;

/** Reads what is to be fitted. */
eck_status ecki_als_dense_open(ecki_als_problem *problem, eck_error *err);
eck_status ecki_als_entries_open(ecki_als_problem *problem, eck_error *err);
void ecki_als_problem_clear(ecki_als_problem *problem);

/**
 * Half steps. side LEFT: x is U [rows,rank], f is V [cols,rank]; RIGHT: the other way round.
 * solve    x minimises the objective for this f
 * descend  x = y - gradient(y) / L, L a Lipschitz constant of the gradient (of each row, where rows
 *          differ): the objective falls unless the gradient is 0. x and y differ
 */
eck_status ecki_als_dense_solve(const ecki_als_problem *problem, eck_side side, double *x,
                                const double *f, eck_error *err);
eck_status ecki_als_dense_descend(const ecki_als_problem *problem, eck_side side, double *x,
                                  const double *y, const double *f, eck_error *err);
eck_status ecki_als_entries_solve(const ecki_als_problem *problem, eck_side side, double *x,
                                  const double *f, eck_error *err);
eck_status ecki_als_entries_descend(const ecki_als_problem *problem, eck_side side, double *x,
                                    const double *y, const double *f, eck_error *err);

/** x = A f (LEFT) or A^T f (RIGHT), every entry times its weight and 0 where nothing is observed. */
eck_status ecki_als_entries_multiply(const ecki_als_problem *problem, eck_side side, double *x,
                                     const double *f, eck_error *err);

/** sum of w (a - u v^T)^2. Dense: to be called after a half step of the RIGHT with this u, whose
 * product with A it uses. */
eck_status ecki_als_dense_loss(double *out, const ecki_als_problem *problem, const double *u,
                               const double *v, eck_error *err);
eck_status ecki_als_entries_loss(double *out, const ecki_als_problem *problem, const double *u,
                                 const double *v, eck_error *err);

/** Systems x (G + ridge I) = b of one matrix, G positive semidefinite; borrows all of it. */
typedef struct ecki_als_system {
    double *gram; /**< [n,n], both triangles */
    double *lower; /**< [n,n]: the factor */
    int64_t n;
    double ridge;
    bool lifted; /**< singular to rounding: lower is that of a matrix slightly larger */
    bool zero; /**< the matrix is 0: so is every answer */
    double least; /**< pivot of G + ridge I over the largest diagonal element; <= 0: none */
} ecki_als_system;

/** gram [k,k] = f^T f, both triangles, f [rows,k]. */
eck_status ecki_als_gram(double *gram, const double *f, int64_t rows, int64_t k, eck_error *err);

/** Fills lower, lifted, zero and least from the rest. */
eck_status ecki_als_factorise(ecki_als_system *system, eck_error *err);

/** x [rows,n] arrives as b; finite if G and b are. A singular system gets nearly the shortest of its
 * best answers. work [2 rows n]. */
eck_status ecki_als_back(const ecki_als_system *system, double *x, int64_t rows, double *work,
                         eck_error *err);

/**
 * x [k] minimises || b x - t ||^2 + ridge || x ||^2, the shortest of its kind, by the singular values
 * of b [count,k], contiguous: right to rounding of b where the Gram has lost the root of that.
 */
eck_status ecki_als_least_squares(double *x, ecki_matrix b, const double *t, double ridge,
                                  eck_error *err);

/** A bound, tight to rounding, of the largest eigenvalue of a symmetric gram [k,k]. */
eck_status ecki_als_largest(double *out, const double *gram, int64_t k, eck_error *err);

/** b of the problem's shape, entry by entry times the root of its weight, 0 where nothing is
 * observed; b is A itself or an approximation. Borrows problem and b. */
eck_status ecki_als_observed(eck_operator **out, const ecki_als_problem *problem,
                             const eck_operator *b, eck_error *err);

#endif
