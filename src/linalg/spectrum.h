/**
 * The spectrum from inside: values, and the packed reduction from which vectors follow.
 */
#ifndef ECKI_SPECTRUM_H
#define ECKI_SPECTRUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/svd.h"
#include "linalg/lapack.h"

struct eck_spectrum {
    eck_spectrum_info info;
    eck_dtype storage;
    double scale; // power of two; the reduction is that of the Gram of scale A
    double norm2; // || scale A ||_F^2, where that of A may leave the range
    double *values; // [count], of A
    double *tails; // [count+1]
    ecki_tridiagonal t; // t.tau NULL: no reduction kept, values only
    bool two_stage; // from ECKI_TWO_STAGE_ORDER on
    double *packed; // two_stage: the store of two_stage.h; else column c = 1 .. n-1 of the reduced
        // triangle above the diagonal, c numbers each
    bool one_thread; // the BLAS ran on one thread
};

/** The side of the Gram: RIGHT when rows >= cols. */
eck_side ecki_near_side(int64_t rows, int64_t cols);

/** Allocates a spectrum of a [rows,cols] matrix with room for everything but `packed`. */
eck_status ecki_spectrum_new(eck_spectrum **out, int64_t rows, int64_t cols, bool reduction,
                             eck_error *err);

/** Fills values (of A), tails (from the small end) and info from the values of scale A, descending, and its squared
 *  norm. */
void ecki_spectrum_describe(eck_spectrum *spectrum, const double *scaled, double norm2);

/** Values, and the reduction if `reduction`: without it large matrices take a faster way. */
eck_status ecki_spectrum_build(eck_spectrum **out, const eck_operator *a, bool reduction,
                               const eck_context *context, eck_error *err);

/** With its reduction, of which the `count` largest values are found alone where the others leave enough of the trace:
 *  values[count] is then the root of all their squares, tails are right up to `count`, and the ranks in info are not to
 *  be used. */
eck_status ecki_spectrum_leading(eck_spectrum **out, const eck_operator *a, int64_t count,
                                 const eck_context *context, eck_error *err);

/** From this order on the way by a band is faster (docs/methods/svd.md). */
enum { ECKI_TWO_STAGE_ORDER = 1536 };

/** Numbers to allocate for a symmetric matrix of this order that will be reduced in place. */
eck_status ecki_spectrum_room(int64_t *out, int64_t order, eck_error *err);

/** Numbers of `packed`. */
int64_t ecki_spectrum_packed(int64_t order, bool two_stage);

/**
 * Tridiagonal form of row-major *matrix, [n,n] with the room of ecki_spectrum_room(); the triangle i >= j is read.
 * Consumed on success: NULL afterwards. What vectors need is kept if t.tau is there.
 */
eck_status ecki_spectrum_reduce(eck_spectrum *spectrum, double **matrix, const eck_context *context,
                                eck_error *err);

/** z, column-major [count,columns], from the tridiagonal basis to that of the Gram. */
eck_status ecki_spectrum_back_transform(double *z, const eck_spectrum *spectrum, int64_t columns,
                                        const eck_context *context, eck_error *err);

/** Gives the memory of the reduction back; values and tails stay. */
void ecki_spectrum_drop_reduction(eck_spectrum *spectrum);

/** Which vectors. */
typedef struct ecki_vector_request {
    int64_t k; /**< of the largest values */
    bool thorough; /**< start with the slower, safer solver */
    const eck_context *context; /**< may be NULL */
} ecki_vector_request;

/** Vectors of the tridiagonal matrix itself, z column-major [count,k], the smallest value first, in portions side by
 *  side; solver_out: the slower of the names of what answered; info_out > 0: not all were found. Reads info.count, scale,
 *  values and t. */
eck_status ecki_spectrum_portions(double *z, const char **solver_out, const eck_spectrum *spectrum,
                                  const ecki_vector_request *request, int64_t *info_out,
                                  eck_error *err);

/** Orthonormal columns of a row-major [count,k], of descending values; solver_out: name of what answered. */
eck_status ecki_spectrum_vectors(double *out, const char **solver_out, const eck_spectrum *spectrum,
                                 const ecki_vector_request *request, eck_error *err);

/**
 * A symmetric row-major [n,n], n > 0, of which the triangle i >= j is read: all values, descending, and the vectors of
 * the k largest, [n,k], or NULL. On the threads the BLAS has now; copies the matrix.
 */
eck_status ecki_small_eigen(double *values, double *vectors, const double *matrix, int64_t n,
                            int64_t k, eck_error *err);

#endif
