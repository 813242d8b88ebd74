/**
 * Vectors of one build of a kernel: LANES numbers that go through the same operations, each as it would alone. The file
 * that includes this defines before
 *   ECK_REAL   32 or 64
 *   ECK_BUILD  512, 256 or 128: bits of a vector, and the instructions behind it: AVX-512, AVX2, those every processor
 *              of the architecture has
 * Every function rounds as IEEE 754 says, product_sum once: the builds give the same bits.
 */
#ifndef ECKI_LANES_H
#define ECKI_LANES_H

#ifndef ECK_REAL // read alone
#define ECK_REAL 32
#define ECK_BUILD 128
#endif

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#if ECK_BUILD > 128
#include <immintrin.h>
#endif

#if ECK_REAL == 32
typedef float real;
typedef int32_t bits;
enum { FRACTION = 23, BIAS = 127 };
#else
typedef double real;
typedef int64_t bits;
enum { FRACTION = 52, BIAS = 1023 };
#endif

typedef real lanes ECKI_VECTOR(ECK_BUILD / 8);
typedef bits lane_bits ECKI_VECTOR(ECK_BUILD / 8);
enum { LANES = ECK_BUILD / ECK_REAL };

ECKI_INLINE lanes lanes_of(real x)
{
    return x - (lanes){ 0 }; // keeps the sign of -0
}

/** a b + c, rounded once. */
ECKI_INLINE lanes product_sum(lanes a, lanes b, lanes c)
{
#if ECK_BUILD == 512 && ECK_REAL == 32
    return (lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif ECK_BUILD == 512
    return (lanes)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif ECK_BUILD == 256 && ECK_REAL == 32
    return (lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif ECK_BUILD == 256
    return (lanes)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    lanes out;
    for (int i = 0; i < LANES; i++)
        out[i] =
            ECK_REAL == 32 ? fmaf((float)a[i], (float)b[i], (float)c[i]) : fma(a[i], b[i], c[i]);
    return out;
#endif
}

ECKI_INLINE lanes square_root(lanes a)
{
#if ECK_BUILD == 512 && ECK_REAL == 32
    return (lanes)_mm512_sqrt_ps((__m512)a);
#elif ECK_BUILD == 512
    return (lanes)_mm512_sqrt_pd((__m512d)a);
#elif ECK_BUILD == 256 && ECK_REAL == 32
    return (lanes)_mm256_sqrt_ps((__m256)a);
#elif ECK_BUILD == 256
    return (lanes)_mm256_sqrt_pd((__m256d)a);
#else
    lanes out;
    for (int i = 0; i < LANES; i++)
        out[i] = ECK_REAL == 32 ? sqrtf((float)a[i]) : sqrt(a[i]);
    return out;
#endif
}

/** Which lanes; a register of its own on AVX-512, else all bits of a lane set or none. */
#if ECK_BUILD == 512
typedef uint32_t lane_mask;
#else
typedef lane_bits lane_mask;
#endif

ECKI_INLINE lane_mask greater(lanes a, lanes b)
{
#if ECK_BUILD == 512 && ECK_REAL == 32
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#elif ECK_BUILD == 512
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
#else
    return a > b;
#endif
}

/** Lane by lane: mask ? yes : no. */
ECKI_INLINE lanes choose(lane_mask mask, lanes yes, lanes no)
{
#if ECK_BUILD == 512 && ECK_REAL == 32
    return (lanes)_mm512_mask_blend_ps((__mmask16)mask, (__m512)no, (__m512)yes);
#elif ECK_BUILD == 512
    return (lanes)_mm512_mask_blend_pd((__mmask8)mask, (__m512d)no, (__m512d)yes);
#elif ECK_BUILD == 256 && ECK_REAL == 32
    return (lanes)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#elif ECK_BUILD == 256
    return (lanes)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)mask);
#else
    return (lanes)((mask & (lane_bits)yes) | (~mask & (lane_bits)no));
#endif
}

ECKI_INLINE bool any(lane_mask mask)
{
#if ECK_BUILD == 512
    return mask != 0;
#elif ECK_BUILD == 256
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    bits all = 0;
    for (int i = 0; i < LANES; i++)
        all |= mask[i];
    return all != 0;
#endif
}

ECKI_INLINE lane_bits sign_bits(void)
{
    return (lane_bits)lanes_of((real)-0.0);
}

ECKI_INLINE lanes absolute(lanes a)
{
    const lane_bits sign = sign_bits();
    return (lanes)((lane_bits)a & ~sign);
}

/** |a| with the sign of b. */
ECKI_INLINE lanes with_sign(lanes a, lanes b)
{
    const lane_bits sign = sign_bits();
    return (lanes)(((lane_bits)a & ~sign) | ((lane_bits)b & sign));
}

/** a0 b0 a1 b1 .. of the first halves. */
ECKI_INLINE lanes zip_first(lanes a, lanes b)
{
#if ECK_BUILD / ECK_REAL == 16
    return ECKI_SHUFFLE(lane_bits, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif ECK_BUILD / ECK_REAL == 8
    return ECKI_SHUFFLE(lane_bits, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#elif ECK_BUILD / ECK_REAL == 4
    return ECKI_SHUFFLE(lane_bits, a, b, 0, 4, 1, 5);
#else
    return ECKI_SHUFFLE(lane_bits, a, b, 0, 2);
#endif
}

/** The same of the second halves. */
ECKI_INLINE lanes zip_second(lanes a, lanes b)
{
#if ECK_BUILD / ECK_REAL == 16
    return ECKI_SHUFFLE(lane_bits, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                        31);
#elif ECK_BUILD / ECK_REAL == 8
    return ECKI_SHUFFLE(lane_bits, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#elif ECK_BUILD / ECK_REAL == 4
    return ECKI_SHUFFLE(lane_bits, a, b, 2, 6, 3, 7);
#else
    return ECKI_SHUFFLE(lane_bits, a, b, 1, 3);
#endif
}

/** x[i][k] = x[k][i]: every round zips the vectors whose numbers differ in the highest bit of i. */
ECKI_INLINE void transpose_lanes(lanes *x)
{
    lanes y[LANES];
    _Pragma("GCC unroll 4") for (int round = LANES; round > 1; round /= 2)
    {
        _Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2; i++)
        {
            y[2 * i] = zip_first(x[i], x[i + LANES / 2]);
            y[2 * i + 1] = zip_second(x[i], x[i + LANES / 2]);
        }
        _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
}

/** From and to numbers that lie anywhere. */
ECKI_INLINE lanes load_lanes(const real *from)
{
    lanes out;
    memcpy(&out, from, sizeof out);
    return out;
}

ECKI_INLINE void store_lanes(real *to, lanes x)
{
    memcpy(to, &x, sizeof x);
}

#endif
