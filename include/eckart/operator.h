/**
 * Linear operators: everything that is factored is one, so there is one SVD engine and nothing forms a matrix it
 * need not form. The one needed method is `read`; all others are derived from it, in panels, and may be overridden.
 */
#ifndef ECKART_OPERATOR_H
#define ECKART_OPERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/sparse.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eck_side {
    ECK_SIDE_RIGHT = 0, /**< A^T A, [cols,cols] */
    ECK_SIDE_LEFT = 1 /**< A A^T, [rows,rows] */
} eck_side;

/** A real matrix, immutable; owned by the caller, eck_operator_free(); borrows what it is made of. Thread-safe. */
typedef struct eck_operator eck_operator;

/** What one pass over a matrix tells. */
typedef struct eck_scan {
    double max; /**< largest absolute value */
    double norm2; /**< squared Frobenius norm, summed in F64 after exact scaling; may be infinity */
    int64_t first_nonfinite; /**< flat row-major index of the first NaN or infinity; -1 none */
    int64_t nonfinite; /**< how many there are */
} eck_scan;

/**
 * Methods of an operator. `read` is needed, or both products. NULL = derived: everything from `read`, in panels added
 * in a fixed order, so that results do not depend on threads. scale is a power of two, applied exactly.
 * Methods must be thread-safe: they are called from several threads at once.
 */
typedef struct eck_operator_methods {
    uint32_t version; /**< 2; 1 = without `normal` */
    /** Block A[row.., col..] of out.rows x out.cols, widened to the panel's type. */
    eck_status (*read)(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err);
    /** out [rows,x.cols] = scale A x, x [cols,*]; both F64. */
    eck_status (*apply)(void *self, double scale, eck_panel x, eck_panel out, eck_error *err);
    /** out [cols,y.cols] = scale A^T y, y [rows,*]; both F64. */
    eck_status (*apply_transpose)(void *self, double scale, eck_panel y, eck_panel out,
                                  eck_error *err);
    /** out [p,p] F64 = scale^2 A^T A or scale^2 A A^T; the triangle i >= j of the row-major panel is filled. */
    eck_status (*gram)(void *self, eck_side side, double scale, eck_panel out, eck_error *err);
    /** One pass. */
    eck_status (*scan)(void *self, eck_scan *out, eck_error *err);
    void (*free)(void *self); /**< may be NULL */
    /** out = scale^2 A^T (A x) (RIGHT, x and out [cols,*]) or scale^2 A (A^T x) (LEFT, [rows,*]), best in one read of A.
     *  Both panels are F32, or both F64: the arithmetic is of their type. */
    eck_status (*normal)(void *self, eck_side side, double scale, eck_panel x, eck_panel out,
                         eck_error *err);
} eck_operator_methods;

typedef struct eck_operator_info {
    uint32_t version; /**< 2; 1 = without `nonzeros` */
    int64_t rows, cols;
    eck_dtype
        storage; /**< type of the stored numbers; decides lanes and the numerical rank; F64 if mixed */
    bool resident; /**< reading costs memory bandwidth only */
    bool symmetric; /**< promised by the maker, checked by eck_eigen_compute() */
    const char *name; /**< for messages; copied; NULL = "" */
    double
        read_error; /**< bound of the Frobenius norm of what rounding adds to a read of the whole; 0 = reads
                                   are exact. Certificates add it to their own */
    int64_t nonzeros; /**< multiplications of a product with one vector; 0 = rows * cols */
} eck_operator_info;

#define ECK_OPERATOR_INFO_INIT \
    { \
        2, 0, 0, ECK_DTYPE_F32, false, false, 0, 0.0, 0 \
    }

/**
 * An operator of the caller's making.
 * out      owned by the caller, eck_operator_free()
 * methods  copied
 * self     moved on success: methods->free(self) is called by eck_operator_free()
 * Errors   ECK_E_SHAPE negative sizes; ECK_E_RANGE needed methods missing, storage no weight type; ECK_E_NOMEM
 */
ECK_API eck_status eck_operator_create(eck_operator **out, const eck_operator_info *info,
                                       const eck_operator_methods *methods, void *self,
                                       eck_error *err);
ECK_API void eck_operator_free(eck_operator *a);

/** Borrowed until eck_operator_free(). */
ECK_API const eck_operator_info *eck_operator_get_info(const eck_operator *a);

/** A 2-d view in any readable storage type and any strides; borrows its data. */
ECK_API eck_status eck_operator_dense(eck_operator **out, eck_view a, eck_error *err);

/**
 * A sparse matrix. Nothing is borrowed after the call: it is held by rows and by columns, so that neither product writes
 * to scattered places, sorted, with entries of one place added in F64 and rounded once to the type. Products, Grams and
 * the scan cost what the entries cost and give the same bytes for any number of threads.
 *
 * out     owned by the caller, eck_operator_free(); 2 (4 + bytes of the type) bytes an entry, 8 a row and a column
 * a       F64 or F32, at most 2^31 - 1 rows and columns; checked; entries that are 0 stay entries
 * Cost    O(rows + cols + entries)
 * Errors  ECK_E_SHAPE sizes; ECK_E_RANGE type, starts or an index that leaves the matrix, offset = the entry; ECK_E_NOMEM
 */
ECK_API eck_status eck_operator_sparse(eck_operator **out, const eck_sparse_view *a,
                                       eck_error *err);

/** sum_i weights[i] terms[i]; borrows the terms. Used for `tuned - base` and `W - first last`. */
ECK_API eck_status eck_operator_sum(eck_operator **out, const eck_operator *const *terms,
                                    const double *weights, int64_t count, eck_error *err);

/** scale B A, never formed; borrows both. B [rows,r], A [r,cols]. */
ECK_API eck_status eck_operator_product(eck_operator **out, const eck_operator *b,
                                        const eck_operator *a, double scale, eck_error *err);

/**
 * diag(rows) A diag(cols): weighted rows and columns, never formed; borrows A.
 * rows, cols  [rows], [cols], copied; finite; NULL: ones
 * Errors      ECK_E_RANGE a weight that is not finite, offset = its index; ECK_E_NOMEM
 */
ECK_API eck_status eck_operator_scaled(eck_operator **out, const eck_operator *a,
                                       const double *rows, const double *cols, eck_error *err);

/** A^T; borrows. */
ECK_API eck_status eck_operator_transposed(eck_operator **out, const eck_operator *a,
                                           eck_error *err);

/** A - 1 mean^T, mean over the rows of every column computed in F64 at creation: the operator of PCA; borrows. */
ECK_API eck_status eck_operator_centered(eck_operator **out, const eck_operator *a,
                                         const eck_context *context, eck_error *err);

/**
 * The methods, derived where the operator has none. Shapes as in eck_operator_methods, and checked.
 * Threads: as the context allows. Errors: ECK_E_SHAPE, ECK_E_RANGE panel types, and those of the operator.
 */
ECK_API eck_status eck_operator_read(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                                     eck_error *err);
ECK_API eck_status eck_operator_apply(const eck_operator *a, double scale, eck_panel x,
                                      eck_panel out, const eck_context *context, eck_error *err);
ECK_API eck_status eck_operator_apply_transpose(const eck_operator *a, double scale, eck_panel y,
                                                eck_panel out, const eck_context *context,
                                                eck_error *err);
ECK_API eck_status eck_operator_gram(const eck_operator *a, eck_side side, double scale,
                                     eck_panel out, const eck_context *context, eck_error *err);
/**
 * out = scale^2 A^T (A x) (side RIGHT, x and out [cols,*]) or scale^2 A (A^T x) (LEFT, [rows,*]): a step of every
 * iterative method.
 *
 * x, out   both F32 or both F64, not overlapping; F32 sums in F32
 * Cost     4 rows cols x.cols operations; A is read once where it is read in panels, 256 lines of it held at a time
 * Threads  as the context allows; no bit depends on how many, if those of the operator's own methods do not
 * Errors   ECK_E_SHAPE; ECK_E_RANGE panel types; those of the operator
 */
ECK_API eck_status eck_operator_normal(const eck_operator *a, eck_side side, double scale,
                                       eck_panel x, eck_panel out, const eck_context *context,
                                       eck_error *err);
ECK_API eck_status eck_operator_scan(eck_scan *out, const eck_operator *a,
                                     const eck_context *context, eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
