/**
 * The tridiagonal form of a symmetric matrix by way of a band: almost all work is matrix products, in tiles whose
 * order depends on the size alone. Always true: results have the same bits for any number of threads.
 *
 * Stage 1, A -> band of ECKI_BAND subdiagonals, by blocks of reflectors (band_tmpl.c). Stage 2, band -> tridiagonal, by
 * chasing bulges (chase_tmpl.c). A = Q1 Q2 T Q2^T Q1^T; vectors go back through Q2 first. Every function is built for
 * float and for double: _f32, _f64.
 *
 * Source   Bischof, Lang, Sun, A framework for symmetric band reduction, ACM TOMS 26, 2000; Haidar, Ltaief, Dongarra,
 *          Parallel reduction to condensed forms, SC 2011
 */
#ifndef ECKI_TWO_STAGE_H
#define ECKI_TWO_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/context.h"
#include "linalg/lapack.h"

enum { ECKI_BAND = 64 };

/** Numbers the reflectors of both stages take, n^2 and a little; false when that does not fit. */
bool ecki_two_stage_count(int64_t n, int64_t *out);

/**
 * ecki_two_stage_reduce: tridiagonal form of the row-major [n,n] *matrix, of which the triangle i >= j is read.
 * t          diagonal and off_diagonal are filled; tau is not used
 * matrix     with room for ecki_two_stage_count() numbers if store_out; consumed on success: NULL afterwards
 * store_out  the reflectors, owned by the caller, ecki_free(); NULL: not wanted
 * Cost       4/3 n^3 operations as products, 6 n^2 ECKI_BAND in cache; memory beside the matrix: 620 n numbers
 *
 * ecki_two_stage_apply: z, row-major [k,n], one vector a row, from the tridiagonal basis to that of the matrix:
 * 4 n^2 k operations.
 */
#define ECKI_TWO_STAGE(real, type) \
    eck_status ecki_two_stage_reduce_##type(ecki_tridiagonal *t, real **matrix, real **store_out, \
                                            const eck_context *context, eck_error *err); \
    eck_status ecki_two_stage_apply_##type(real *z, int64_t k, const real *store, int64_t n, \
                                           const eck_context *context, eck_error *err)

ECKI_TWO_STAGE(float, f32);
ECKI_TWO_STAGE(double, f64);

/* What follows is for the parts and their tests. */

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

/** A(i,j) of a band in work lies at [j * stride + i], i = j .. j + 2 ECKI_BAND - 1; what lies between is not read. */
enum { ECKI_BAND_STRIDE_F32 = 2 * ECKI_BAND + 16, ECKI_BAND_STRIDE_F64 = 2 * ECKI_BAND + 8 };

/**
 * ecki_band_reduce: stage 1, the band of row-major a [n,n]; the panels' explicit V replace what they annihilate.
 *     band [n * (stride + 1)], zero on entry; panel_t [panels,b,b], or NULL: T is not kept
 * ecki_band_pack: moves the panels' V to the front of a, in the order of ecki_two_stage_layout
 * ecki_band_apply: z = z Q1^T, one vector a row of [k,n]
 * ecki_chase: stage 2, in place; v and tau (layout: sweeps, sweep_tau) may be NULL together
 * ecki_chase_apply: z = z Q2^T
 * ecki_reflector_triangle: T of I - V T V^T = H_0 H_1 .. from V^T V, [count,count], and the factors of the reflectors
 */
#define ECKI_TWO_STAGE_PARTS(real, type) \
    eck_status ecki_band_reduce_##type(real *band, real *a, int64_t n, real *panel_t, \
                                       const eck_context *context, eck_error *err); \
    void ecki_band_pack_##type(real *a, int64_t n); \
    eck_status ecki_band_apply_##type(real *z, int64_t k, const real *store, int64_t n, \
                                      const eck_context *context, eck_error *err); \
    eck_status ecki_chase_##type(real *band, int64_t n, real *v, real *tau, \
                                 const eck_context *context, eck_error *err); \
    eck_status ecki_chase_apply_##type(real *z, int64_t k, const real *store, int64_t n, \
                                       const eck_context *context, eck_error *err); \
    void ecki_reflector_triangle_##type(real *t, const real *gram, const real *tau, int64_t count)

ECKI_TWO_STAGE_PARTS(float, f32);
ECKI_TWO_STAGE_PARTS(double, f64);

#endif
