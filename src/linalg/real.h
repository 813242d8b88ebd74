/**
 * The type of numbers a template is built for: a file that includes one defines ECK_REAL first, 32 or 64 (the default).
 * ECKI_FN(name) is name_f32 or name_f64.
 */
#ifndef ECKI_REAL_H
#define ECKI_REAL_H

#include <stdint.h>

#include "eckart/array.h"
#include "linalg/gemm.h"

#ifndef ECK_REAL
#define ECK_REAL 64
#endif

#if ECK_REAL == 32
typedef float real;
#define ECKI_FN(name) name##_f32
#define ECKI_REAL_TYPE ECK_DTYPE_F32
#define ECKI_BAND_STRIDE ECKI_BAND_STRIDE_F32
#elif ECK_REAL == 64
typedef double real;
#define ECKI_FN(name) name##_f64
#define ECKI_REAL_TYPE ECK_DTYPE_F64
#define ECKI_BAND_STRIDE ECKI_BAND_STRIDE_F64
#else
#error "ECK_REAL is 32 or 64"
#endif

/** A rectangle to be written. */
static inline eck_panel ecki_place(real *data, int64_t rows, int64_t cols, int64_t ld)
{
    return (eck_panel){ data, ECKI_REAL_TYPE, rows, cols, ld };
}

/** A rectangle to be read; nobody writes through a factor. */
static inline ecki_factor ecki_block(const real *data, int64_t rows, int64_t cols, int64_t ld)
{
    return (ecki_factor){ { (void *)(uintptr_t)data, ECKI_REAL_TYPE, rows, cols, ld }, false };
}

static inline ecki_factor ecki_turned(ecki_factor a)
{
    a.transposed = !a.transposed;
    return a;
}

static inline ecki_factor ecki_whole(eck_panel panel)
{
    return (ecki_factor){ panel, false };
}

#endif
