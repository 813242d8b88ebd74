/**
 * Products of a dense matrix that read it once: A^T (A X) for F32 panels, and A X in F64. Kernels for several
 * processors give the same bits: every number of a result is one chain of fused multiplications in the same order.
 */
#ifndef ECKI_FUSED_H
#define ECKI_FUSED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/memory.h"
#include "eckart/context.h"
#include "eckart/operator.h"

/** Rows and columns of a packed matrix: blocks of 16 columns, one after another, each row by row; rows are made up to a
 *  multiple of 12 and columns to one of 16 by zeros. */
enum { ECKI_FUSED_ROWS = 12, ECKI_FUSED_COLS = 16 };

/** Rows of F32, F16 or BF16 numbers, each row side by side, `step` numbers from one to the next. */
typedef struct ecki_fused_rows {
    const void *data;
    eck_dtype dtype;
    int64_t step, rows, cols;
} ecki_fused_rows;

/** A packed matrix [rows,cols] as what it meets: x [cols,width], y [rows,width], width a multiple of 16 (F32), 8 (F64). */
typedef struct ecki_fused_tile {
    const void *packed; /**< of the type of the kernel */
    int64_t rows; /**< a multiple of ECKI_FUSED_ROWS */
    int64_t cols; /**< of x; z has as many, made up to a multiple of ECKI_FUSED_COLS */
    int64_t width;
    const char
        *ahead; /**< outer: rows that will be packed next, from their own column 0 on; NULL: none */
    int64_t ahead_step; /**< bytes from one of them to the next */
    int64_t ahead_rows, ahead_block; /**< how many, and bytes of sixteen columns */
} ecki_fused_tile;

/** pack: into the layout above, widened. inner: y += a x. outer: z += a^T y, and while
 *  that is computed the lines `ahead` come from memory into the cache. */
#define ECKI_FUSED_KERNELS(build) \
    void ecki_fused_pack_f32_##build(const ecki_fused_rows *from, int64_t padded_rows, \
                                     float *out); \
    void ecki_fused_inner_f32_##build(const ecki_fused_tile *tile, const float *x, float *y); \
    void ecki_fused_outer_f32_##build(const ecki_fused_tile *tile, const float *y, float *z); \
    void ecki_fused_pack_f64_##build(const ecki_fused_rows *from, int64_t padded_rows, \
                                     double *out); \
    void ecki_fused_inner_f64_##build(const ecki_fused_tile *tile, const double *x, double *y)

ECKI_FUSED_KERNELS(portable);
#if defined(__x86_64__)
ECKI_FUSED_KERNELS(avx2);
ECKI_FUSED_KERNELS(avx512);
#endif

/** Of kernels for a matrix unit: rows of a panel, parts of BF16 that a number of 32 bits is the sum of, and what columns are
 *  made up to a multiple of by zeros. */
enum { ECKI_TILED_ROWS = 32, ECKI_TILED_PARTS = 3, ECKI_TILED_COLS = 64 };

static inline int64_t ecki_tiled_columns(int64_t cols)
{
    return (cols + ECKI_TILED_COLS - 1) / ECKI_TILED_COLS * ECKI_TILED_COLS;
}

/** A group of rows for a matrix unit. With c columns, made up, and width w, a multiple of 16: */
typedef struct ecki_fused_group {
    ecki_fused_rows rows; /**< A */
    int64_t width;
    float scale;
    const uint32_t *x; /**< X as lay() leaves it: 3/2 c w numbers */
    float *z; /**< out: scale A^T (A X) in tiles [c/16][w/16][16 of X][16 of A] */
    float *room; /**< ECKI_TILED_ROWS (c + 5/2 w) numbers, on a line of the cache */
} ecki_fused_group;

#if defined(__x86_64__)
void ecki_fused_lay_amx(const float *x, int64_t cols, int64_t width, uint32_t *out);
void ecki_fused_group_amx(const ecki_fused_group *group);
void ecki_fused_collect_amx(const float *z, int64_t cols, int64_t width, float *out);
#endif

typedef struct ecki_fused_kernels {
    const char *name;
    void (*pack)(const ecki_fused_rows *from, int64_t padded_rows, float *out);
    void (*inner)(const ecki_fused_tile *tile, const float *x, float *y);
    void (*outer)(const ecki_fused_tile *tile, const float *y, float *z);
    void (*pack_f64)(const ecki_fused_rows *from, int64_t padded_rows, double *out);
    void (*inner_f64)(const ecki_fused_tile *tile, const double *x, double *y);
    void (*lay)(const float *x, int64_t cols, int64_t width,
                uint32_t *out); /**< with the next two: of a matrix unit, else NULL */
    void (*group)(const ecki_fused_group *group);
    void (*collect)(const float *z, int64_t cols, int64_t width,
                    float *out); /**< rows of the first columns of A, one by one */
} ecki_fused_kernels;

/** scale A, and who multiplies by it; NULL: the kernels for this processor. */
typedef struct ecki_fused_matrix {
    const eck_view *view;
    double scale;
    const ecki_fused_kernels *kernels;
} ecki_fused_matrix;

/** The kernels for a processor; NULL where BLAS is faster than the portable ones. */
const ecki_fused_kernels *ecki_fused_kernels_of(const ecki_cpu *cpu);

/** True when eck_operator_normal() of a view is the fused product: F32 panels of 16, 32, .. columns, rows contiguous
 *  (RIGHT) or columns (LEFT), numbers of 32 or 16 bits. What it works in is taken from `room`. */
bool ecki_fused_takes(const eck_view *view, eck_side side, double scale, const eck_panel panels[2]);
eck_status ecki_fused_normal(const ecki_fused_matrix *a, const eck_panel panels[2],
                             const eck_context *context, ecki_room *room, eck_error *err);

/** The same for eck_operator_apply(), F64 panels, and for eck_operator_apply_transpose() of a view with contiguous
 *  columns, which is A X of its transpose. */
bool ecki_fused_takes_apply(const eck_view *view, bool transposed);
eck_status ecki_fused_apply(const eck_view *view, double scale, const eck_panel panels[2],
                            const eck_context *context, eck_error *err);

/** Numbers of 8 bytes that ecki_fused_normal() holds for [rows,cols], rows contiguous. */
double ecki_fused_memory(double rows, double cols, double width, int32_t threads);

#endif
