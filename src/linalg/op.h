/**
 * Operators from inside: the object, the derived methods, and what only certificates ask for.
 */
#ifndef ECKI_OP_H
#define ECKI_OP_H

#include "base/error.h"
#include "base/memory.h"
#include "eckart/operator.h"
#include "tensor/compressed.h"

/** Derived methods work on panels of this many rows and columns; a result depends on these, never
 * on threads. */
enum {
    ECKI_PANEL_ROWS = 256,
    ECKI_PANEL_COLS = 4096,
    ECKI_SCAN_ROWS = 16, // with PANEL_COLS: what is scanned stays in the second cache
    ECKI_CHECK_ROWS = 64, // of what lies in memory and is compared element by element
    ECKI_CHECK_COLS = 1024,
    ECKI_GRAM_WIDTH = 512,
    ECKI_TRANSPOSE_ROWS = 2048,
    ECKI_TRANSPOSE_COLS = 512
};

/** How far rounding can take what an operator computes from what it stands for. */
typedef struct ecki_measure {
    double magnitude; /**< bound of the Frobenius norm of the sums of absolute values behind every
                         element */
    double error; /**< bound of the Frobenius norm of the errors of a read of the whole */
    int64_t depth; /**< roundings behind one element of a product with a vector, besides those over
                      its length */
} ecki_measure;

/** What operators of ours add to the public methods; NULL = derived. */
typedef struct ecki_operator_extra {
    eck_status (*measure)(ecki_measure *out, void *self, const eck_context *context,
                          eck_error *err);
    eck_status (*apply)(void *self, double scale, eck_panel x, eck_panel out,
                        const eck_context *context, eck_error *err);
    eck_status (*apply_transpose)(void *self, double scale, eck_panel y, eck_panel out,
                                  const eck_context *context, eck_error *err);
    /** panels = x, out: as the public method, with threads. */
    eck_status (*normal)(void *self, eck_side side, double scale, const eck_panel panels[2],
                         const eck_context *context, eck_error *err);
    eck_status (*gram)(void *self, eck_side side, double scale, eck_panel out,
                       const eck_context *context, eck_error *err);
    /** As the public read into an F32 panel, computed in F32: off by at most measure's depth 2^-24 magnitude, which
     *  is more than one rounding. */
    eck_status (*read_narrow)(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err);
} ecki_operator_extra;

struct eck_operator {
    eck_operator_info info; // name is `name`
    eck_operator_methods methods;
    ecki_operator_extra extra;
    void *self;
    const eck_view
        *view; // of a matrix in memory, borrowed from self, for the products of fused.h; else NULL
    bool
        stored; // reads give back numbers that lie somewhere in the type info.storage: nothing is computed
    bool
        scanned; // whoever filled it has found `scan`, in sums no longer than a scan's, and all is finite
    eck_scan scan;
    char *name;
};

/** True when products are made otherwise than by reading blocks. */
static inline bool ecki_operator_has_products(const eck_operator *a)
{
    return a->extra.apply || a->methods.apply;
}

/** eck_operator_read() into a contiguous F64 panel, times a power of two. */
eck_status ecki_operator_block(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                               double scale, eck_error *err);

/** Derived: the norm found by a scan, and info.read_error. */
eck_status ecki_operator_measure(ecki_measure *out, const eck_operator *a,
                                 const eck_context *context, eck_error *err);

/** u diag(s) v^T of stored factors, u [rows,k], v [cols,k], s [k] copied or NULL; borrows the data
 * of the views. */
eck_status ecki_operator_factored(eck_operator **out, eck_view u, const double *s, eck_view v,
                                  eck_error *err);

/** Another name for messages, copied. */
eck_status ecki_operator_rename(eck_operator *a, const char *name, eck_error *err);

/** A sparse matrix that others hold by rows and by columns; borrows both. */
eck_status ecki_operator_lines(eck_operator **out, const ecki_lines both[2], const char *name,
                               bool symmetric, eck_error *err);

/** The derived methods, for operator.c. */
eck_status ecki_derive_read(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                            eck_error *err);
eck_status ecki_derive_apply(const eck_operator *a, double scale, eck_panel x, eck_panel out,
                             const eck_context *context, eck_error *err);
eck_status ecki_derive_apply_transpose(const eck_operator *a, double scale, eck_panel y,
                                       eck_panel out, const eck_context *context, eck_error *err);
eck_status ecki_derive_gram(const eck_operator *a, eck_side side, double scale, eck_panel out,
                            const eck_context *context, eck_error *err);
eck_status ecki_derive_scan(eck_scan *out, const eck_operator *a, const eck_context *context,
                            eck_error *err);

/** The Gram, unscaled, and the scan, in one read: for storage of at most 32 bits, whose squares stay in the range of F64.
 *  Where the scan finds numbers that are not finite, the Gram is not filled. */
eck_status ecki_derive_gram_scan(eck_scan *scan_out, const eck_operator *a, eck_side side,
                                 eck_panel out, const eck_context *context, eck_error *err);

/** eck_operator_normal(), panels = x, out, for who calls it often: `room` is used again. */
eck_status ecki_operator_normal(const eck_operator *a, eck_side side, double scale,
                                const eck_panel panels[2], const eck_context *context,
                                ecki_room *room, eck_error *err);

/** eck_operator_normal() from reads, panels = x, out; or from the operator's own products, for those that have
 *  them, which works in `room`. */
eck_status ecki_derive_normal(const eck_operator *a, eck_side side, double scale,
                              const eck_panel panels[2], const eck_context *context,
                              eck_error *err);
eck_status ecki_normal_by_products(const eck_operator *a, eck_side side, double scale,
                                   const eck_panel panels[2], const eck_context *context,
                                   ecki_room *room, eck_error *err);

/** Lines of a panel of ecki_derive_normal(), each of so many numbers. */
int64_t ecki_normal_lines(int64_t length);

/** || scale A ||_F where its square may leave the range of F64; scale a power of two. */
eck_status ecki_derive_norm(double *out, const eck_operator *a, double scale,
                            const eck_context *context, eck_error *err);

/** Width of the panels of a Gram of order p: about 2^17 numbers, at least 512. */
int64_t ecki_gram_width(int64_t order);

/** Blocks of a scan that goes with a Gram of order p over so many lines, at most. */
double ecki_gram_blocks(double order, double length);

/** Numbers of 8 bytes that a Gram of order p over so many lines works in, beside the result. */
double ecki_gram_memory(double order, double length, int32_t threads);

/** Power of two that brings `max` into [1,2), so that squares neither overflow nor vanish; 1 for 0.
 */
double ecki_scale_of(double max);

/** The wider of two storage types, for operators made of others: F64, F32, or the common 16-bit
 * one. */
eck_dtype ecki_storage_of(eck_dtype a, eck_dtype b);

/** An F64 panel with room for out.rows x out.cols: `out` itself if it is F64, else one to be freed
 * by ecki_staging_end(), which rounds it into `out` when `good`. */
eck_status ecki_staging_begin(eck_panel *staged, eck_panel out, eck_error *err);
void ecki_staging_end(eck_panel *staged, eck_panel out, bool good);

#endif
