// From storage to arithmetic and back. Every loop here runs over contiguous elements; strided ones
// are gathered into a small block first. Types of at most 24 significant bits pass through F32,
// exactly.
//
// F64 is rounded to the small types in one step by way of F32 rounded to odd: cut towards zero,
// last bit set if anything was cut off. With two bits more than the target (F32 has 24, F16 11,
// BF16 8) the rounding of that to nearest even is the rounding of the F64 itself (Boldo and
// Melquiond 2008), also among subnormals and at the overflow threshold.
//
// Assumes the floating-point environment C starts with: round to nearest, subnormals kept.
#include "tensor/codec.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/checked.h"
#include "base/compiler.h"

enum { BLOCK = 512 };

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- One element of each small type, written without branches so that the loops become vector
// code.

// yes or no. A choice by masks: of branches around arithmetic compilers make no vectors.
static inline uint32_t choose(bool which, uint32_t yes, uint32_t no)
{
    const uint32_t mask = 0 - (uint32_t)which;
    return (yes & mask) | (no & ~mask);
}

static inline float float_of_bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    const uint32_t quiet = choose((wide & 0x7fffffff) > 0x7f800000, 0x00400000, 0);
    return float_of_bits(wide | quiet);
}

static inline uint16_t bf16_of_float(float value)
{
    const uint32_t bits = bits_of_float(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const uint32_t quiet = bits >> 16 | 0x40;
    return (uint16_t)choose((bits & 0x7fffffff) > 0x7f800000, quiet, rounded);
}

static inline float float_of_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    const uint32_t rest = (uint32_t)(bits & 0x7fff) << 13;
    // The exponents of F32 and F16 differ by 112 in bias; those of infinity by as much again.
    const uint32_t normal = rest + (112u << 23);
    const uint32_t special = (rest + (224u << 23)) | choose(rest > 0x7c00u << 13, 0x00400000, 0);
    // Subnormal m 2^-24 = (1 + m 2^-10) 2^-14 - 2^-14, without a subnormal on the way.
    const uint32_t small = bits_of_float(float_of_bits(rest + (113u << 23)) - 0x1p-14f);
    uint32_t wide = choose(rest < 0x0400u << 13, small, normal);
    wide = choose(rest >= 0x7c00u << 13, special, wide);
    return float_of_bits(wide | sign);
}

static inline uint16_t f16_of_float(float value)
{
    const uint32_t bits = bits_of_float(value);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t rest = bits & 0x7fffffff;
    const uint32_t normal = (rest - (112u << 23) + 0x0fff + (rest >> 13 & 1)) >> 13;
    // In [1/2, 1) the numbers of F32 lie 2^-24 apart, as the subnormals of F16 do: the sum rounds
    // for us.
    const uint32_t small = bits_of_float(float_of_bits(rest) + 0.5f) - 0x3f000000;
    const uint32_t quiet = (rest >> 13 & 0x3ff) | 0x7e00;
    uint32_t narrow = choose(rest < 0x38800000, small, normal); // 2^-14
    narrow = choose(rest >= 0x47800000, 0x7c00, narrow); // 2^16
    narrow = choose(rest > 0x7f800000, quiet, narrow);
    return (uint16_t)(narrow | sign);
}

// An eight-bit floating type with `mantissa` bits after the point.
typedef struct small_float {
    int32_t mantissa, bias;
    uint32_t largest; // bits of the largest finite number
    uint32_t over; // bits of what lies above it
    uint32_t nan; // bits of a quiet NaN
} small_float;

static const small_float e4m3 = { 3, 7, 0x7e, 0x7f, 0x7f };
static const small_float e5m2 = { 2, 15, 0x7b, 0x7c, 0x7e };

static float float_of_f8(small_float type, uint32_t bits)
{
    const uint32_t rest = bits & 0x7f;
    const int32_t exponent = (int32_t)(rest >> type.mantissa);
    const int32_t fraction = (int32_t)(rest & ((1u << type.mantissa) - 1));
    const int32_t hidden = exponent > 0 ? 1 << type.mantissa : 0;
    const int32_t power = (exponent > 0 ? exponent : 1) - type.bias - type.mantissa;
    float value = ldexpf((float)(hidden + fraction), power);
    if (rest > type.largest) {
        const uint32_t payload = (uint32_t)fraction << (23 - type.mantissa);
        value = float_of_bits(rest == type.over && type.over != type.nan ? 0x7f800000
                                                                         : 0x7fc00000 | payload);
    }
    return bits & 0x80 ? -value : value;
}

static uint8_t f8_of_float(small_float type, float value)
{
    const uint32_t bits = bits_of_float(value);
    const uint32_t sign = bits >> 24 & 0x80;
    const uint32_t rest = bits & 0x7fffffff;
    const int32_t cut = 23 - type.mantissa;
    if (rest > 0x7f800000)
        return (uint8_t)(sign | type.nan | (rest >> cut & ((1u << type.mantissa) - 1)));
    const float size = float_of_bits(rest);
    const float least_normal = ldexpf(1.0f, 1 - type.bias);
    uint32_t narrow;
    if (size < least_normal) {
        // Where the numbers of F32 lie as far apart as the subnormals of the type, the sum rounds
        // for us.
        const float shift = ldexpf(1.0f, 1 - type.bias + cut);
        narrow = bits_of_float(size + shift) - bits_of_float(shift);
    } else {
        const uint32_t rebias = (uint32_t)(127 - type.bias) << 23;
        narrow = (rest - rebias + (1u << (cut - 1)) - 1 + (rest >> cut & 1)) >> cut;
    }
    return (uint8_t)(sign | (narrow > type.largest ? type.over : narrow));
}

// F64 to F32, rounded to odd.
static inline float odd_float(double value)
{
    const float nearest = (float)value;
    const double back = nearest;
    const uint32_t beyond =
        fabs(back) > fabs(value) ? 1 : 0; // then the one before was cut towards zero
    const uint32_t inexact = back != value ? 1 : 0;
    return float_of_bits((bits_of_float(nearest) - beyond) | inexact);
}

// ---- Contiguous loops. `in` and `out` may be unaligned, so elements go through memcpy, which is
// no call.

typedef void widen32(const char *in, float *out, int64_t count);
typedef void widen64(const char *in, double *out, int64_t count);
typedef void round32(const float *in, char *out, int64_t count);

static void widen_f16_plain(const char *in, float *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, in + i * 2, 2);
        out[i] = float_of_f16(bits);
    }
}

#if defined(__x86_64__)
// The processor's own conversion; it quiets NaN and keeps subnormals as ours does.
ECKI_TARGET("avx512f") static void widen_f16_avx512(const char *in, float *out, int64_t count)
{
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i bits;
        memcpy(&bits, in + i * 2, sizeof bits);
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(bits));
    }
    widen_f16_plain(in + i * 2, out + i, count - i);
}
#endif

static void widen_f16(const char *in, float *out, int64_t count)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        widen_f16_avx512(in, out, count);
        return;
    }
#endif
    widen_f16_plain(in, out, count);
}

ECKI_CLONES static void round_f16(const float *in, char *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const uint16_t bits = f16_of_float(in[i]);
        memcpy(out + i * 2, &bits, 2);
    }
}

ECKI_CLONES static void widen_bf16(const char *in, float *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, in + i * 2, 2);
        out[i] = float_of_bf16(bits);
    }
}

ECKI_CLONES static void round_bf16(const float *in, char *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const uint16_t bits = bf16_of_float(in[i]);
        memcpy(out + i * 2, &bits, 2);
    }
}

// A table of all 256 values pays from as many elements on.
static void widen_f8(small_float type, const char *in, float *out, int64_t count)
{
    const uint8_t *const bytes = (const uint8_t *)in;
    if (count < 256) {
        for (int64_t i = 0; i < count; i++)
            out[i] = float_of_f8(type, bytes[i]);
        return;
    }
    float table[256];
    for (uint32_t bits = 0; bits < 256; bits++)
        table[bits] = float_of_f8(type, bits);
    for (int64_t i = 0; i < count; i++)
        out[i] = table[bytes[i]];
}

static void widen_e4m3(const char *in, float *out, int64_t count)
{
    widen_f8(e4m3, in, out, count);
}

static void widen_e5m2(const char *in, float *out, int64_t count)
{
    widen_f8(e5m2, in, out, count);
}

static void round_e4m3(const float *in, char *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (char)f8_of_float(e4m3, in[i]);
}

static void round_e5m2(const float *in, char *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (char)f8_of_float(e5m2, in[i]);
}

static void widen_f32(const char *in, float *out, int64_t count)
{
    memcpy(out, in, (size_t)count * sizeof *out);
}

static void round_f32(const float *in, char *out, int64_t count)
{
    memcpy(out, in, (size_t)count * sizeof *in);
}

static void copy_f64(const char *in, double *out, int64_t count)
{
    memcpy(out, in, (size_t)count * sizeof *out);
}

static void widen_i8(const char *in, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (signed char)in[i];
}

static void widen_u8(const char *in, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (unsigned char)in[i];
}

static void widen_bool(const char *in, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = in[i] != 0;
}

static void widen_i16(const char *in, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int16_t value;
        memcpy(&value, in + i * 2, 2);
        out[i] = value;
    }
}

static void widen_u16(const char *in, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, in + i * 2, 2);
        out[i] = value;
    }
}

static void widen_i32(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t value;
        memcpy(&value, in + i * 4, 4);
        out[i] = value;
    }
}

static void widen_u32(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t value;
        memcpy(&value, in + i * 4, 4);
        out[i] = value;
    }
}

static void widen_i64(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, in + i * 8, 8);
        out[i] = (double)value;
    }
}

static void widen_u64(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, in + i * 8, 8);
        out[i] = (double)value;
    }
}

// A 64-bit size rounded to odd into 53 bits, to be rounded once more.
static double odd_double(uint64_t size)
{
    const uint64_t cut = size & 0x7ff;
    const bool too_long = size >> 53 != 0;
    return (double)(too_long ? (size - cut) | (cut ? 0x800 : 0) : size);
}

static void odd_i64(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, in + i * 8, 8);
        out[i] = value < 0 ? -odd_double(0 - (uint64_t)value) : odd_double((uint64_t)value);
    }
}

static void odd_u64(const char *in, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, in + i * 8, 8);
        out[i] = odd_double(value);
    }
}

ECKI_CLONES static void double_of_float(const float *in, double *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        out[i] = in[i];
}

ECKI_CLONES static void odd_of_double(const double *in, float *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        out[i] = odd_float(in[i]);
}

ECKI_CLONES static void float_of_double(const double *in, float *out, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)in[i];
}

// ---- The table.

// How a type is read and written. `small` is exact; where it is NULL, `large` is, or for 64-bit
// integers is rounded to nearest, and `odd` (NULL: as large) is right to be rounded again.
typedef struct codec {
    eck_dtype dtype;
    widen32 *small;
    widen64 *large, *odd;
    round32 *round;
} codec;

static const codec codecs[] = {
    { ECK_DTYPE_F64, NULL, copy_f64, NULL, NULL },
    { ECK_DTYPE_F32, widen_f32, NULL, NULL, round_f32 },
    { ECK_DTYPE_F16, widen_f16, NULL, NULL, round_f16 },
    { ECK_DTYPE_BF16, widen_bf16, NULL, NULL, round_bf16 },
    { ECK_DTYPE_F8_E4M3, widen_e4m3, NULL, NULL, round_e4m3 },
    { ECK_DTYPE_F8_E5M2, widen_e5m2, NULL, NULL, round_e5m2 },
    { ECK_DTYPE_I8, widen_i8, NULL, NULL, NULL },
    { ECK_DTYPE_U8, widen_u8, NULL, NULL, NULL },
    { ECK_DTYPE_I16, widen_i16, NULL, NULL, NULL },
    { ECK_DTYPE_U16, widen_u16, NULL, NULL, NULL },
    { ECK_DTYPE_I32, NULL, widen_i32, NULL, NULL },
    { ECK_DTYPE_U32, NULL, widen_u32, NULL, NULL },
    { ECK_DTYPE_I64, NULL, widen_i64, odd_i64, NULL },
    { ECK_DTYPE_U64, NULL, widen_u64, odd_u64, NULL },
    { ECK_DTYPE_BOOL, widen_bool, NULL, NULL, NULL },
};

// The codec of a readable type.
static const codec *find(eck_dtype dtype)
{
    const int count = sizeof codecs / sizeof codecs[0];
    for (int i = 0; i < count; i++)
        if (codecs[i].dtype == dtype) return &codecs[i];
    assert(!"a type that can be read");
    return &codecs[0];
}

// Copies `count` elements of `size` bytes that lie `step` bytes apart.
static void gather(const char *in, int64_t step, int64_t size, char *out, int64_t count)
{
    switch (size) {
    case 1:
        for (int64_t i = 0; i < count; i++)
            out[i] = in[i * step];
        break;
    case 2:
        for (int64_t i = 0; i < count; i++)
            memcpy(out + i * 2, in + i * step, 2);
        break;
    case 4:
        for (int64_t i = 0; i < count; i++)
            memcpy(out + i * 4, in + i * step, 4);
        break;
    default:
        for (int64_t i = 0; i < count; i++)
            memcpy(out + i * 8, in + i * step, 8);
        break;
    }
}

// One block of contiguous elements as F32; `odd`: what does not fit is rounded to odd, not to
// nearest.
static void block_f32(const codec *how, bool odd, const char *in, float *out, int64_t count)
{
    double wide[BLOCK];
    if (how->small) {
        how->small(in, out, count);
        return;
    }
    (how->odd ? how->odd : how->large)(in, wide, count);
    (odd ? odd_of_double : float_of_double)(wide, out, count);
}

// One block of contiguous elements as F64.
static void block_f64(const codec *how, const char *in, double *out, int64_t count)
{
    float narrow[BLOCK];
    if (how->large) {
        how->large(in, out, count);
        return;
    }
    how->small(in, narrow, count);
    double_of_float(narrow, out, count);
}

// `count` elements of a strided row, made contiguous in `room` if they are not.
static const char *contiguous(const char *src, int64_t size, int64_t stride, int64_t count,
                              char *room)
{
    if (stride == 1) return src;
    gather(src, stride * size, size, room, count);
    return room;
}

static void widen_to_f32(eck_dtype dtype, bool odd, const char *src, int64_t stride, float *out,
                         int64_t count)
{
    const codec *const how = find(dtype);
    const int64_t size = eck_dtype_bits(dtype) / 8;
    char room[BLOCK * 8];
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t some = ecki_min(BLOCK, count - first);
        const char *const in = contiguous(src + first * stride * size, size, stride, some, room);
        block_f32(how, odd, in, out + first, some);
    }
}

void ecki_widen_f32(eck_dtype dtype, const void *src, int64_t stride, float *out, int64_t count)
{
    widen_to_f32(dtype, false, src, stride, out, count);
}

void ecki_widen_odd(eck_dtype dtype, const void *src, int64_t stride, float *out, int64_t count)
{
    widen_to_f32(dtype, true, src, stride, out, count);
}

void ecki_widen_f64(eck_dtype dtype, const void *src, int64_t stride, double *out, int64_t count)
{
    const codec *const how = find(dtype);
    const int64_t size = eck_dtype_bits(dtype) / 8;
    char room[BLOCK * 8];
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t some = ecki_min(BLOCK, count - first);
        const char *const in =
            contiguous((const char *)src + first * stride * size, size, stride, some, room);
        block_f64(how, in, out + first, some);
    }
}

void ecki_round_f64(eck_dtype dtype, const double *src, void *dst, int64_t count)
{
    if (count <= 0) return; // and then the pointers may be NULL
    if (dtype == ECK_DTYPE_F64) {
        memcpy(dst, src, (size_t)count * sizeof *src);
        return;
    }
    const codec *const how = find(dtype);
    const int64_t size = eck_dtype_bits(dtype) / 8;
    float narrow[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t some = ecki_min(BLOCK, count - first);
        if (dtype == ECK_DTYPE_F32)
            float_of_double(src + first, narrow, some);
        else
            odd_of_double(src + first, narrow, some);
        how->round(narrow, (char *)dst + first * size, some);
    }
}

void ecki_round_f32(eck_dtype dtype, const float *src, void *dst, int64_t count)
{
    if (count <= 0) return;
    if (dtype != ECK_DTYPE_F64) {
        find(dtype)->round(src, dst, count);
        return;
    }
    double wide[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t some = ecki_min(BLOCK, count - first);
        double_of_float(src + first, wide, some);
        memcpy((char *)dst + first * 8, wide, (size_t)some * 8);
    }
}

int64_t ecki_first_nonfinite(const double *x, int64_t count)
{
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t end = first + ecki_min(BLOCK, count - first);
        int64_t bad = 0;
#pragma omp simd reduction(+ : bad)
        for (int64_t i = first; i < end; i++)
            bad += fabs(x[i]) <= DBL_MAX ? 0 : 1;
        if (bad == 0) continue;
        int64_t at = first;
        while (fabs(x[at]) <= DBL_MAX)
            at++;
        return at;
    }
    return -1;
}
