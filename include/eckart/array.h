/**
 * Storage types, and the three ways to hold numbers: eck_view borrows any strided storage,
 * eck_panel borrows a writable block of F32 or F64 (arithmetic happens on nothing else), eck_array
 * owns.
 */
#ifndef ECKART_ARRAY_H
#define ECKART_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Storage types; values are part of the ABI. 1..31 can be read as numbers; 32 and above are only
 * copied, since their values mean nothing without a scheme stored elsewhere.
 */
typedef enum eck_dtype {
    ECK_DTYPE_NONE = 0,
    ECK_DTYPE_F64 = 1,
    ECK_DTYPE_F32 = 2,
    ECK_DTYPE_F16 = 3,
    ECK_DTYPE_BF16 = 4,
    ECK_DTYPE_F8_E4M3 = 5, /**< "e4m3fn": no infinity, NaN 0x7f and 0xff, largest 448 */
    ECK_DTYPE_F8_E5M2 = 6,
    ECK_DTYPE_I8 = 16,
    ECK_DTYPE_U8 = 17,
    ECK_DTYPE_I16 = 18,
    ECK_DTYPE_U16 = 19,
    ECK_DTYPE_I32 = 20,
    ECK_DTYPE_U32 = 21,
    ECK_DTYPE_I64 = 22,
    ECK_DTYPE_U64 = 23,
    ECK_DTYPE_BOOL = 24,
    ECK_DTYPE_F4 = 32,
    ECK_DTYPE_F6_E2M3 = 33,
    ECK_DTYPE_F6_E3M2 = 34,
    ECK_DTYPE_F8_E8M0 = 35,
    ECK_DTYPE_F8_E4M3FNUZ = 36,
    ECK_DTYPE_F8_E5M2FNUZ = 37,
    ECK_DTYPE_C64 = 38
} eck_dtype;

enum { ECK_DIMS_MAX = 8 };

/** Bits of one element; 0 for a value that is no dtype. */
ECK_API int32_t eck_dtype_bits(eck_dtype dtype);

/** Name as safetensors spells it ("F32", "BF16"), static; "?" for a value that is no dtype. */
ECK_API const char *eck_dtype_name(eck_dtype dtype);

/** The dtype of a name as safetensors spells it, in either case; ECK_DTYPE_NONE if unknown. */
ECK_API eck_dtype eck_dtype_parse(const char *name);

/** True for the types weights are factored in: F64, F32, F16, BF16. */
ECK_API bool eck_dtype_is_weight(eck_dtype dtype);

/** True if values can be widened to F64 (every value up to BOOL). */
ECK_API bool eck_dtype_is_readable(eck_dtype dtype);

/** Spacing of the numbers at 1 (2^-52, 2^-23, 2^-10, 2^-7, ...); 0 for integers. Unit roundoff is
 * half of it. */
ECK_API double eck_dtype_epsilon(eck_dtype dtype);

/** By value; borrows; any strides, in elements, negative ones too. */
typedef struct eck_view {
    const void *data;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], stride[ECK_DIMS_MAX];
} eck_view;

/** By value; borrows; a writable row-major block of F32 or F64. */
typedef struct eck_panel {
    void *data;
    eck_dtype dtype; /**< F32 or F64 */
    int64_t rows, cols;
    int64_t ld; /**< elements from one row to the next, >= cols */
} eck_panel;

/** Owned by the caller, eck_array_free(); contiguous, row-major; the only owner of numbers. */
typedef struct eck_array {
    void *data;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
} eck_array;

/**
 * A zeroed array. Zero dimensions are allowed (data is then NULL or unused).
 *
 * out     owned by the caller, eck_array_free()
 * dtype   one of a whole number of bytes an element
 * Errors  ECK_E_SHAPE ndim, a negative dimension or too many bytes; ECK_E_RANGE dtype; ECK_E_NOMEM
 */
ECK_API eck_status eck_array_create(eck_array **out, eck_dtype dtype, int32_t ndim,
                                    const int64_t *shape, eck_error *err);
ECK_API void eck_array_free(eck_array *array);

/** Elements; 1 for a scalar. */
ECK_API int64_t eck_array_count(const eck_array *array);

/** A contiguous view of the whole array, valid while it lives. */
ECK_API eck_view eck_array_view(const eck_array *array);

/** A contiguous view over memory of the caller. More dimensions than ECK_DIMS_MAX: dtype NONE. */
ECK_API eck_view eck_view_of(const void *data, eck_dtype dtype, int32_t ndim, const int64_t *shape);

/** A contiguous [rows,cols] view. */
ECK_API eck_view eck_view_matrix(const void *data, eck_dtype dtype, int64_t rows, int64_t cols);

/** The same numbers with the last two dimensions swapped. */
ECK_API eck_view eck_view_transposed(eck_view view);

/** Elements; 1 for a scalar. */
ECK_API int64_t eck_view_count(const eck_view *view);

/**
 * Widens a block of a 2-d view, view[row .. row+out.rows, col .. col+out.cols], into a panel. Exact
 * into F64 for every readable type up to 53 significant bits; exact into F32 for types of at most
 * 24 bits, else rounded to nearest even.
 *
 * Errors  ECK_E_SHAPE not 2-d; ECK_E_RANGE the block leaves the view, or a type without numbers
 */
ECK_API eck_status eck_view_read(const eck_view *view, int64_t row, int64_t col, eck_panel out,
                                 eck_error *err);

/**
 * A copy of any view in another type, contiguous; F64, F32, F16 and BF16 are rounded once, to
 * nearest even, overflow to infinity, NaN kept (quieted). The view's own type: every bit as it is.
 *
 * out     owned by the caller, eck_array_free()
 * dtype   F64, F32, F16 or BF16, or the view's own
 * Errors  ECK_E_UNSUPPORTED types; ECK_E_NOMEM
 */
ECK_API eck_status eck_array_convert(eck_array **out, eck_view view, eck_dtype dtype,
                                     eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
