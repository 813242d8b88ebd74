/**
 * Sparse matrices of our own: compressed lines (rows or columns) with 32-bit indices.
 */
#ifndef ECKI_COMPRESSED_H
#define ECKI_COMPRESSED_H

#include <stdint.h>

#include "base/error.h"
#include "eckart/sparse.h"

/** Owned, ecki_lines_clear(). Entries of a line are sorted by index and no index comes twice. */
typedef struct ecki_lines {
    int64_t lines; /**< rows or columns that are compressed */
    int64_t width; /**< of a line */
    eck_dtype dtype; /**< F64 or F32 */
    int64_t *starts; /**< [lines+1] */
    int32_t *indices; /**< [starts[lines]] */
    void *values; /**< [starts[lines]] */
} ecki_lines;

/** Refuses sizes, types, starts and indices that are not allowed. name: for messages, or "". */
eck_status ecki_sparse_check(const eck_sparse_view *view, const char *name, eck_error *err);

/**
 * The same matrix by rows and by columns, from a view that was checked.
 * rows_out, cols_out  owned by the caller
 * added_out           how many entries were added to another of their place; may be NULL
 */
eck_status ecki_lines_create(ecki_lines *rows_out, ecki_lines *cols_out, int64_t *added_out,
                             const eck_sparse_view *view, eck_error *err);
void ecki_lines_clear(ecki_lines *lines);

/** Entries one by one, in any order; indices inside the matrix. Owned by the caller. */
typedef struct ecki_triples {
    int64_t rows, cols, count;
    int32_t *row, *col;
    double *value;
} ecki_triples;

/** As ecki_lines_create(), in F64. */
eck_status ecki_lines_of_triples(ecki_lines *rows_out, ecki_lines *cols_out, int64_t *added_out,
                                 const ecki_triples *entries, eck_error *err);

/** Both layouts of a matrix in F32 instead of F64, if that holds every value; else nothing happens. */
void ecki_lines_narrow(ecki_lines *rows, ecki_lines *cols);

/** Bytes [offset, offset + count) of the dense row-major matrix these rows stand for, in their type. */
void ecki_lines_dense(char *out, const ecki_lines *rows, int64_t offset, int64_t count);

/** The value of an entry in F64. */
static inline double ecki_lines_value(const ecki_lines *a, int64_t entry)
{
    return a->dtype == ECK_DTYPE_F32 ? (double)((const float *)a->values)[entry]
                                     : ((const double *)a->values)[entry];
}

/** The first entry of a line with an index of at least `index`, or the end of the line. */
int64_t ecki_lines_find(const ecki_lines *a, int64_t line, int64_t index);

#endif
