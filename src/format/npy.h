/**
 * The head of a .npy array, as it stands in a file of its own or in a member of an .npz:
 *
 *   1. "\x93NUMPY", one byte major, one byte minor version (1.0, 2.0 or 3.0)
 *   2. little-endian length of the text: 16 bits in version 1, else 32; at most 10,000 here, as
 * NumPy itself allows
 *   3. the text, a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), },
 * blanks, a newline
 *   4. the numbers
 */
#ifndef ECKI_NPY_H
#define ECKI_NPY_H

#include "base/error.h"
#include "base/text.h"
#include "eckart/array.h"
#include "format/input.h"

enum { ECKI_NPY_HEAD_MAX = 12 + 10000 };

typedef struct ecki_npy_head {
    eck_dtype dtype;
    bool fortran_order, swapped;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int64_t start; /**< bytes of the head */
    int64_t bytes; /**< of numbers */
} ecki_npy_head;

/**
 * Reads a head.
 * bytes, count  the first ECKI_NPY_HEAD_MAX bytes, or all there are
 * place         for messages; its offset is where the bytes begin
 */
eck_status ecki_npy_parse(ecki_npy_head *out, const char *bytes, int64_t count, ecki_place place,
                          eck_error *err);

/** Appends the head NumPy would write. ECK_E_UNSUPPORTED for a type NumPy has no name for. */
eck_status ecki_npy_write_head(ecki_text *out, const eck_array *array, eck_error *err);

#endif
