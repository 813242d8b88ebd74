/**
 * The difference of two models, one layer at a time: what changed, by how much, and how much of it
 * is nothing but rounding. Only adapter_extract.c and its tests include this.
 */
#ifndef ECKI_DIFFERENCE_H
#define ECKI_DIFFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"

/** tuned - base of one layer as operators over the two files. Borrows both models. */
typedef struct ecki_difference_pair {
    eck_operator *base, *tuned, *difference;
    double
        rounded; /**< Frobenius norm of what rounding the held one to F32 has changed; mostly 0 */
    bool turned; /**< the held one is that of the transposes */
} ecki_difference_pair;

/** layer: of base; entry: the tensor of tuned that stands for its weight. */
eck_status ecki_difference_open(ecki_difference_pair *out, const eck_model *base, int64_t layer,
                                const eck_model *tuned, int64_t entry, eck_error *err);
void ecki_difference_close(ecki_difference_pair *pair);

/** Where a difference is kept; one for all layers. Zero it; room is owned, ecki_free(). */
typedef struct ecki_difference_room {
    float *room;
    int64_t count;
    int64_t
        largest; /**< numbers of the largest layer to come: one that grew would be paid for again */
} ecki_difference_room;

/**
 * Keeps the difference in memory as F32, where it is not too large, so that it is read from the files once and multiplied by
 * the kernels of dense matrices. Near each other numbers of 16 bits have a difference that is exact in F32; what is not adds
 * to `rounded`. Storage above 32 bits, and what is too large, stays as it was. Of a wide one the transpose is
 * kept, as the products want it (linalg/held.h). The pair borrows the room until it is closed.
 */
eck_status ecki_difference_hold(ecki_difference_pair *pair, ecki_difference_room *room,
                                const eck_context *context, eck_error *err);

/** Sums of squares over one layer. */
typedef struct ecki_difference_sums {
    double base, tuned, difference;
    double noise; /**< sum over the elements of max(ulp)^2 / 12: what rounding alone would leave */
    int64_t changed; /**< elements that differ */
} ecki_difference_sums;

/** One pass over both. */
eck_status ecki_difference_scan(ecki_difference_sums *out, const ecki_difference_pair *pair,
                                const eck_context *context, eck_error *err);

/** Spacing of the numbers of a type around x; 0 for F64, where it is never the noise. */
double ecki_spacing(eck_dtype dtype, double x);

/**
 * Energy of the best rank k of a change that carries noise: the noise's share of the tail and of the
 * whole are taken away. Noise has no direction, so that k terms of an m x n matrix catch
 * k (m + n - k) / (m n) of it. 0 if there is nothing but noise.
 */
double ecki_clean_energy(double tail, int64_t k, const ecki_difference_sums *sums, int64_t rows,
                         int64_t cols);

#endif
