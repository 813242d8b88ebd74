/**
 * Many small matrices of one shape decomposed at once: slices of convolutions, heads, blocks. Shapes that fit the lanes
 * (min <= 32, max <= 1024) go through one-sided Jacobi with one matrix a lane of the processor's vectors; larger ones
 * through the exact lane, one matrix a thread. Either way a matrix gives the same bytes whatever stands beside it in the
 * batch, and for any number of threads.
 */
#ifndef ECKART_BATCH_H
#define ECKART_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eck_svd_batch_options {
    uint32_t version; /**< 1 */
    int64_t rank; /**< terms kept of every matrix; default 0: min(rows,cols), the most there are */
    uint32_t
        want; /**< VALUES, LEFT and RIGHT of eck_svd_options; default all three; values always come */
    bool
        errors; /**< default false; true: the relative error of every matrix, from its factors as stored */
    /** What is computed in and handed out: F32 or F64. Default NONE: F32 for storage that it holds exactly (F32, F16,
     *  BF16, F8, integers up to 16 bits, BOOL), else F64; F32 is refused for the others. */
    eck_dtype compute;
} eck_svd_batch_options;

#define ECK_SVD_BATCH_OPTIONS_INIT \
    { \
        1, 0, ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT, false, ECK_DTYPE_NONE \
    }

/** The same defaults, for bindings. */
ECK_API void eck_svd_batch_options_init(eck_svd_batch_options *options);

/** Owned by the caller, eck_svd_batch_free(); members not wanted are NULL. [..] = the leading dimensions of the batch. */
typedef struct eck_svd_batch {
    int64_t count, rows, cols, rank;
    eck_array *u; /**< [..,rows,rank], orthonormal columns, completed where values are 0 */
    eck_array *s; /**< [..,rank], descending */
    eck_array *vt; /**< [..,rank,cols], orthonormal rows */
    eck_array *errors; /**< F64 [..]: || A - U diag(S) V^T ||_F / || A ||_F in F64; 0 for A = 0 */
    eck_engine engine; /**< JACOBI or EXACT */
    const char *kernel; /**< "avx512", "avx2", "portable", or the exact lane's "lapack"; static */
    int64_t
        unconverged; /**< matrices that 30 sweeps did not bring to orthogonality; 0 in all that was seen */
    double seconds;
} eck_svd_batch;

ECK_API void eck_svd_batch_free(eck_svd_batch *batch);

/**
 * A_i = U_i diag(S_i) V_i^T for every matrix of a batch, thin or cut after `rank` terms.
 *
 * out      owned by the caller, eck_svd_batch_free(). Signs as eck_svd_compute(): the largest |v| of every right vector is
 *          positive, lowest index on ties
 * a        [..,rows,cols], 2 to 8 dimensions, any readable storage type, any strides; borrowed; no dimension of a matrix
 *          is 0, a batch may be empty
 * options  NULL = defaults
 * Cost     5 to 9 sweeps of 3 n^2 (m + n) operations a matrix, m >= n; for m >= 2 n, 2 n^2 (m + kept) and sweeps of
 *          6 n^3. errors: 2 m n kept more. Memory as eck_svd_batch_memory()
 * Accuracy residual and values within 30 max(m,n) spacings of the type, relative to s_1; U and V orthonormal within
 *          30 max(m,n) spacings (tests/identity/test_batches.c). Powers of two scale exactly
 * Errors   ECK_E_NONFINITE offset = flat index in the batch; ECK_E_SHAPE; ECK_E_RANGE options or a type without numbers;
 *          ECK_E_BUDGET; ECK_E_NOMEM; ECK_E_CANCELLED; larger matrices also ECK_E_SOLVER
 * Source   Hestenes 1958; de Rijk 1989; Demmel and Veselic 1992; Drmac and Veselic 2008
 */
ECK_API eck_status eck_svd_batch_compute(eck_svd_batch **out, eck_view a,
                                         const eck_svd_batch_options *options,
                                         const eck_context *context, eck_error *err);

/** Bytes eck_svd_batch_compute() holds at most, result included, on so many threads; INT64_MAX if they cannot be counted
 *  or the batch would be refused. */
ECK_API int64_t eck_svd_batch_memory(const eck_view *a, const eck_svd_batch_options *options,
                                     int32_t threads);

#ifdef __cplusplus
}
#endif
#endif
