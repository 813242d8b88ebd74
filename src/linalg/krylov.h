/**
 * Algorithm B: the block Krylov space of M = (scale A)^T (scale A), or of (scale A) (scale A)^T, in F32 with F64 inner
 * problems, and the proof of how far its best approximation is from the optimum (docs/methods/krylov.md).
 */
#ifndef ECKI_KRYLOV_H
#define ECKI_KRYLOV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"
#include "eckart/svd.h"
#include "linalg/spectrum.h"

/** Vectors of one side, row-major: `columns` of them, rows `ld` apart. */
typedef struct ecki_block {
    float *data;
    int64_t rows, columns, ld;
} ecki_block;

/** h [basis.columns, z.columns] = basis^T z in F64 sums; z -= basis h. Same bits for any number of threads. */
eck_status ecki_block_project(double *h, ecki_block basis, ecki_block z, int32_t threads,
                              eck_error *err);

/** x = z R^-1 orthonormal, z is used up; r [b,b] row-major, upper. fresh_out: how many columns at the end were within
 *  `least` of depending on those before them and came out as zeros, with zero rows in r. least [b]. */
eck_status ecki_block_orthonormalize(ecki_block x, ecki_block z, double *r, const double *least,
                                     int64_t *fresh_out, int32_t threads, eck_error *err);

/** out = basis turn, turn [basis.columns, out.columns] F64; out may not be basis. */
eck_status ecki_block_turn(ecki_block out, ecki_block basis, const double *turn, int32_t threads,
                           eck_error *err);

/** sums[j] = squared length of column j, F64. */
void ecki_block_lengths(double *sums, ecki_block z);

/** The space on its way. M basis = basis t + next c up to rounding; basis and next are orthonormal. */
typedef struct ecki_krylov {
    const eck_operator *a; /**< borrowed */
    const eck_context *context; /**< borrowed */
    eck_side side; /**< RIGHT: vectors have cols numbers */
    double scale;
    int64_t n; /**< length of a vector */
    int64_t block; /**< columns of a step */
    int64_t most; /**< columns of basis there is room for */
    int64_t length; /**< columns of basis */
    int64_t passes; /**< reads of A so far */
    float *basis; /**< [n, most + block]; next begins in column `length` */
    float *x, *z; /**< [n, block] each */
    double *t; /**< [most, most], the first length rows and columns */
    double *c; /**< [block, most]: coupling to next */
    double *h; /**< [most, block] twice */
    ecki_room room; /**< of products with A */
    uint64_t seed, drawn; /**< random columns used so far */
} ecki_krylov;

eck_status ecki_krylov_init(ecki_krylov *space, eck_error *err);
void ecki_krylov_clear(ecki_krylov *space);

/** Takes `next` into the basis and makes the next one; one read of A. length + block <= most. */
eck_status ecki_krylov_step(ecki_krylov *space, eck_error *err);

/** Keeps the `keep` leading Ritz vectors (thick restart): vectors [length, keep], values [keep] of t. */
eck_status ecki_krylov_restart(ecki_krylov *space, const double *values, const double *vectors,
                               int64_t keep, eck_error *err);

/** out [n,block] = normal numbers not seen before, less what lies in the basis. */
eck_status ecki_krylov_draw(ecki_krylov *space, float *out, int64_t columns, eck_error *err);

/** The c with P(chi^2 of p degrees < c) = failure. */
double ecki_chi_square_low(int64_t p, double failure);

/** Bound of the largest eigenvalue of a positive C from `count` Lanczos steps, alpha and beta [count] (the last beta leads
 *  out), from a start whose squared length is at most `ratio` times its squared part along the largest vector. */
double ecki_lanczos_bound(const double *alpha, const double *beta, int64_t count, double ratio);

/** Upper bound of the sum of the k largest eigenvalues of M, when mu bounds those of what the space leaves out; kth is
 *  the k-th largest of t. */
eck_status ecki_krylov_bound(double *out, const ecki_krylov *space, int64_t k, double kth,
                             double mu, eck_error *err);

/** mu by fresh probes, one read of A a call; *done when another one would not help. */
typedef struct ecki_deflated {
    float *x, *before, *z; /**< [n, block] each */
    double *h;
    double alpha[12], beta[12];
    int64_t count;
    double ratio; /**< squared length of the start over what its share of one vector is at least */
    double mu;
} ecki_deflated;

enum { ECKI_DEFLATED_MOST = 12 };

eck_status ecki_deflated_init(ecki_deflated *probe, ecki_krylov *space, double failure,
                              eck_error *err);
eck_status ecki_deflated_step(ecki_deflated *probe, ecki_krylov *space, eck_error *err);
void ecki_deflated_clear(ecki_deflated *probe);

#endif
