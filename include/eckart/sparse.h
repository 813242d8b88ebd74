/**
 * Sparse matrices as their owners hold them: compressed rows or compressed columns, borrowed.
 */
#ifndef ECKART_SPARSE_H
#define ECKART_SPARSE_H

#include <stdint.h>

#include "eckart/array.h"
#include "eckart/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eck_sparse_layout {
    ECK_SPARSE_ROWS = 0, /**< CSR: the entries of one row after those of another */
    ECK_SPARSE_COLS = 1 /**< CSC: columns instead of rows */
} eck_sparse_layout;

/**
 * By value; borrows. Lines are the rows of ROWS and the columns of COLS: line i holds the entries starts[i] up to
 * starts[i+1]. Entries of a line may come in any order; several at one place stand for their sum.
 */
typedef struct eck_sparse_view {
    eck_sparse_layout layout;
    eck_dtype dtype; /**< F64 or F32 */
    int64_t rows, cols; /**< each at most 2^31 - 1 */
    const int64_t *starts; /**< [lines+1], the first 0, none below the one before */
    const int64_t *indices; /**< [starts[lines]], the place of every entry in its line */
    const void *values; /**< [starts[lines]] of dtype; NULL: every entry is 1 */
} eck_sparse_view;

#ifdef __cplusplus
}
#endif
#endif
