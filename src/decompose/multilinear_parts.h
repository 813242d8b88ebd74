/**
 * What the tensor decompositions share: F64 blocks whose modes are turned front to end, truncations of a matrix, and the
 * certificate of what was stored.
 */
#ifndef ECKI_MULTILINEAR_PARTS_H
#define ECKI_MULTILINEAR_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/multilinear.h"

// ---- unfold.c

typedef struct ecki_made {
    eck_dtype storage; /**< of the numbers it was made from: decides the engine's lane */
    double error; /**< bound of the Frobenius norm of its rounding errors */
} ecki_made;

/** A contiguous row-major F64 matrix [rows,cols] that was computed; borrows. */
eck_status ecki_operator_made(eck_operator **out, const double *data, int64_t rows, int64_t cols,
                              const ecki_made *what, eck_error *err);

// ---- block.c

/** A contiguous row-major F64 tensor; place i holds mode mode[i] of the tensor it comes from. */
typedef struct ecki_block {
    double *data;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int32_t mode[ECK_DIMS_MAX];
} ecki_block;

void ecki_block_clear(ecki_block *block);
int64_t ecki_block_count(const ecki_block *block);

/** A tensor widened to F64 in the order of places given; order NULL: as it is. */
eck_status ecki_block_init(ecki_block *out, const eck_view *tensor, const int32_t *order,
                           eck_error *err);

/** The shape after the first mode has gone to the end with a new size; the numbers are the caller's business. */
void ecki_block_turned(ecki_block *block, int64_t width);

/** out [cols,rows] = in [rows,cols]^T, in blocks that stay in cache. */
void ecki_transpose(double *out, const double *in, int64_t rows, int64_t cols);

/** The block with its first mode moved to the end. */
eck_status ecki_block_rotate(ecki_block *block, eck_error *err);

/** in with its first mode multiplied by m [size of the mode, width] and moved to the end; *out may be *in, freed then. */
eck_status ecki_block_multiply_first(ecki_block *out, ecki_block *in, const double *m,
                                     int64_t width, eck_error *err);

/** in with its last mode multiplied by m [size of the mode, width], in its place; as above. */
eck_status ecki_block_multiply_last(ecki_block *out, ecki_block *in, const double *m, int64_t width,
                                    eck_error *err);

/** Matrices for the modes of a block, by mode: m[n] [size, width[n]]; NULL: left alone. */
typedef struct ecki_multipliers {
    const double *m[ECK_DIMS_MAX];
    int64_t width[ECK_DIMS_MAX];
} ecki_multipliers;

/** Every mode that has a matrix is multiplied by it; `first`, unless -1, is turned to the first place in the end. */
eck_status ecki_block_multiply(ecki_block *out, const ecki_block *in, const ecki_multipliers *by,
                               int32_t first, eck_error *err);

/** Modes in their natural order, place n holds mode n. */
eck_status ecki_block_sort(ecki_block *block, eck_error *err);

// ---- mode_cut.c

/** Rank by a rule; rank is the wanted one or a cap, 0 none. */
typedef struct ecki_cut {
    eck_rule rule;
    double target;
    int64_t rank;
} ecki_cut;

/** A ~ basis core^T: basis [rows,rank] orthonormal, core [cols,rank] = A^T basis. */
typedef struct ecki_truncated {
    int64_t rank;
    double *basis, *core;
    double tail; /**< relative to A */
} ecki_truncated;

void ecki_truncated_clear(ecki_truncated *truncated);

/** At least one term. */
eck_status ecki_truncate(ecki_truncated *out, const eck_operator *a, const ecki_cut *cut,
                         const eck_context *context, eck_error *err);

// ---- stored.c

/** A tensor to be decomposed. */
typedef struct ecki_subject {
    eck_view view;
    eck_dtype storage; /**< decides the engine's lane */
    eck_dtype store; /**< of the factors */
    double
        scale; /**< power of two that brings numbers whose squares would leave the range into it; else 1 */
    double norm; /**< of scale X */
} ecki_subject;

/** Checks what every decomposition asks of its tensor: 2 .. 8 modes, no size 0, finite numbers. store NONE: the default. */
eck_status ecki_subject_init(ecki_subject *out, const eck_view *tensor, eck_dtype store,
                             eck_error *err);

/** scale X in F64, in the order of places given (NULL: as it is). */
eck_status ecki_subject_block(ecki_block *out, const ecki_subject *subject, const int32_t *order,
                              eck_error *err);

/** `count` numbers of F64 times `factor` as an array of that shape, rounded; refused where the largest leaves the type. */
eck_status ecki_store(eck_array **out, const double *numbers, double factor, eck_dtype store,
                      int32_t ndim, const int64_t *shape, eck_error *err);

/** An array widened to F64; owned by the caller, ecki_free(). */
eck_status ecki_widened(double **out, const eck_array *array, eck_error *err);

/** scale X as the matrix whose rows are those of the first place in the order given: the subject's own numbers, or those of
 *  a block that *held_out keeps (scaled numbers have to lie somewhere). */
eck_status ecki_subject_operator(eck_operator **out, double **held_out, const ecki_subject *subject,
                                 const int32_t *order, eck_error *err);

/** What a decomposition stands for, as a matrix: left [rows,rank] right [rank,cols], where rows are numbered by the first
 *  modes. left NULL: right is all of it, rank = rows. Bounds of the rounding errors in both. */
typedef struct ecki_halves {
    double *left, *right;
    int64_t rows, rank, cols;
    double left_error, right_error;
} ecki_halves;

void ecki_halves_clear(ecki_halves *halves);

/** The product, [shape]. */
eck_status ecki_halves_array(eck_array **out, const ecki_halves *halves, int32_t ndim,
                             const int64_t *shape, eck_error *err);

/** The residual of what two halves stand for; rows of the halves are those of the first `modes` modes. */
eck_status ecki_subject_certify(eck_certificate *out, const ecki_subject *subject,
                                const ecki_halves *halves, int32_t modes,
                                const eck_context *context, eck_error *err);

/** Frobenius norm, scaled inside so that nothing overflows. */
double ecki_norm_of(const double *x, int64_t count);

#endif
