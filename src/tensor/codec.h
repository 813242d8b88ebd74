/**
 * The dtype table: one row per storage type, with what widens it to F32 or F64 and what rounds F64
 * or F32 to it. Everything between storage and arithmetic goes through here. Rounding is one step,
 * to nearest even; overflow gives infinity; NaN stays NaN, quieted, sign and top payload bits kept.
 * Subnormals are exact.
 */
#ifndef ECKI_CODEC_H
#define ECKI_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/array.h"

/** out[i] = src[i * stride], i < count; stride in elements, src unaligned allowed. Readable types
 * only. */
void ecki_widen_f64(eck_dtype dtype, const void *src, int64_t stride, double *out, int64_t count);
void ecki_widen_f32(eck_dtype dtype, const void *src, int64_t stride, float *out, int64_t count);

/** As ecki_widen_f32, but what F32 cannot hold is rounded to odd: rounding the result to F16, BF16
 * or F8 then is one rounding of the source. */
void ecki_widen_odd(eck_dtype dtype, const void *src, int64_t stride, float *out, int64_t count);

/** dst[i] = round(src[i]), contiguous; dtype F64, F32, F16, BF16, F8_E4M3 (saturating to NaN as
 * ml_dtypes does), F8_E5M2. */
void ecki_round_f64(eck_dtype dtype, const double *src, void *dst, int64_t count);
void ecki_round_f32(eck_dtype dtype, const float *src, void *dst, int64_t count);

/** Index of the first NaN or infinity among `count` contiguous numbers, -1 none. */
int64_t ecki_first_nonfinite(const double *x, int64_t count);

/** Bytes of `count` elements; false on overflow or when bits do not fill bytes. */
bool ecki_dtype_bytes(eck_dtype dtype, int64_t count, int64_t *bytes_out);

/** A panel over memory of ours. */
eck_panel ecki_panel(void *data, eck_dtype dtype, int64_t rows, int64_t cols);

#endif
