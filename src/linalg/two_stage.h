/**
 * The tridiagonal form of a symmetric matrix by way of a band: almost all work is matrix products, in tiles whose
 * order depends on the size alone. Always true: results have the same bits for any number of threads.
 *
 * Stage 1, A -> band of ECKI_BAND subdiagonals, by blocks of reflectors (band.c). Stage 2, band -> tridiagonal, by
 * chasing bulges (chase.c). A = Q1 Q2 T Q2^T Q1^T; vectors go back through Q2 first.
 *
 * Source   Bischof, Lang, Sun, A framework for symmetric band reduction, ACM TOMS 26, 2000; Haidar, Ltaief, Dongarra,
 *          Parallel reduction to condensed forms, SC 2011
 */
#ifndef ECKI_TWO_STAGE_H
#define ECKI_TWO_STAGE_H

#include <stdint.h>

#include "base/error.h"
#include "eckart/context.h"
#include "linalg/lapack.h"

enum { ECKI_BAND = 64 };

/** Numbers the reflectors of both stages take, n^2 and a little; false when that does not fit. */
bool ecki_two_stage_count(int64_t n, int64_t *out);

/**
 * Tridiagonal form of the row-major [n,n] *gram, of which the triangle i >= j is read.
 * t          diagonal and off_diagonal are filled; tau is not used
 * gram       consumed on success: NULL afterwards
 * store_out  the reflectors, owned by the caller, ecki_free(); NULL: not wanted
 * Cost       4/3 n^3 operations as products, 6 n^2 ECKI_BAND in cache; memory beside gram: n^2 numbers after stage 1
 */
eck_status ecki_two_stage_reduce(ecki_tridiagonal *t, double **gram, double **store_out,
                                 const eck_context *context, eck_error *err);

/** z, row-major [k,n], one vector a row: from the tridiagonal basis to that of the matrix. 4 n^2 k operations. */
eck_status ecki_two_stage_apply(double *z, int64_t k, const double *store, int64_t n,
                                const eck_context *context, eck_error *err);

/* What follows is for band.c, chase.c and their tests. */

/** Where the parts of a store begin, in numbers. */
typedef struct ecki_two_stage_layout {
    int64_t panels; /**< V of the panels of stage 1, explicit, one after another */
    int64_t panel_t; /**< their triangles, [b,b] each */
    int64_t sweeps; /**< vectors of stage 2: sweep s takes n-1-s numbers */
    int64_t sweep_tau; /**< their factors, ecki_chase_blocks() a sweep */
    int64_t count;
} ecki_two_stage_layout;

ecki_two_stage_layout ecki_two_stage_layout_of(int64_t n);

/** Reflectors of one sweep of stage 2, at most. */
int64_t ecki_chase_blocks(int64_t n);

/** Numbers of a band in work: A(i,j) lies at [j * ECKI_BAND_STRIDE + i], i = j .. j + 2 ECKI_BAND - 1. */
enum { ECKI_BAND_STRIDE = 2 * ECKI_BAND + 8 };

/**
 * Stage 1: the band of row-major a [n,n]; the panels' explicit V replace what they annihilate.
 * band     [n * (ECKI_BAND_STRIDE + 1)], zero on entry
 * panel_t  [panels * b * b], or NULL: V and T are not kept
 */
eck_status ecki_band_reduce(double *band, double *a, int64_t n, double *panel_t,
                            const eck_context *context, eck_error *err);

/** Moves the panels' V to the front of a, in the order of ecki_two_stage_layout. */
void ecki_band_pack(double *a, int64_t n);

/** z = z Q1^T, one vector a row of [k,n]. */
eck_status ecki_band_apply(double *z, int64_t k, const double *store, int64_t n,
                           const eck_context *context, eck_error *err);

/** Stage 2, in place; v and tau (layout: sweeps, sweep_tau) may be NULL together. */
eck_status ecki_chase(double *band, int64_t n, double *v, double *tau, const eck_context *context,
                      eck_error *err);

/** z = z Q2^T. */
eck_status ecki_chase_apply(double *z, int64_t k, const double *store, int64_t n,
                            const eck_context *context, eck_error *err);

/** T of I - V T V^T = H_0 H_1 .. from V^T V, [count,count] row-major, and the factors of the reflectors, at `stride`. */
void ecki_reflector_triangle(double *t, const double *gram, const double *tau, int64_t count);

#endif
