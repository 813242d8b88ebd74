// Bulge chasing on one block: a plain build for blocks of any size, and for whole blocks one in vectors of eight,
// which is compiled for each kind of processor. Always true: which operations are done, and in which order, depends
// on the size of the block alone.
#include "linalg/chase_kernel.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

#if ECK_REAL == 32
typedef ecki_f32x16 lanes;
typedef ecki_i32x16 marks;
#define PLACES \
    { \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 \
    }
#define ROOT sqrtf
#define SIGN copysignf
#define LEAST 0x1p-100F
#else
typedef ecki_f64x8 lanes;
typedef ecki_i64x8 marks;
#define PLACES \
    { \
        0, 1, 2, 3, 4, 5, 6, 7 \
    }
#define ROOT sqrt
#define SIGN copysign
#define LEAST 0x1p-960
#endif

enum { B = ECKI_BAND, S = ECKI_BAND_STRIDE, LANES = 64 / sizeof(real), PARTS = B / LANES };

// The reflector of x times the power of two that brings its largest number to 1, which is the same but for beta.
static real make_scaled(ECKI_FN(ecki_reflector) * h, const real *x)
{
    real scaled[B], largest = 0;
    for (int64_t i = 0; i < h->length; i++)
        largest = (real)fmax((double)largest, fabs((double)x[i]));
    const int exponent = -ilogb((double)largest);
    for (int64_t i = 0; i < h->length; i++)
        scaled[i] = (real)ldexp((double)x[i], exponent);
    return (real)ldexp((double)ECKI_FN(ecki_make_reflector)(h, scaled), -exponent);
}

real ECKI_FN(ecki_make_reflector)(ECKI_FN(ecki_reflector) * h, const real *x)
{
    // beta = -sign(x_0) ||x||, tau = (beta - x_0) / beta, v = x / (x_0 - beta).
    real tail2 = 0;
    for (int64_t i = 1; i < h->length; i++)
        tail2 += x[i] * x[i];
    h->v[0] = 1;
    h->tau = 0;
    for (int64_t i = 1; i < h->length; i++)
        h->v[i] = 0;
    if (tail2 == 0) return x[0];
    // Sums of squares this small have lost digits: tau would not fit v, and H not be orthogonal.
    if (x[0] * x[0] + tail2 < LEAST) return make_scaled(h, x);
    const real beta = -SIGN(ROOT(x[0] * x[0] + tail2), x[0]);
    const real factor = 1 / (x[0] - beta);
    for (int64_t i = 1; i < h->length; i++)
        h->v[i] = x[i] * factor;
    h->tau = (beta - x[0]) / beta;
    return beta;
}

// D -= v w^T + w v^T with w = tau D v - 1/2 tau (tau v^T D v) v.
static void both_sides_any(real *d, const ECKI_FN(ecki_reflector) * h)
{
    const int64_t n = h->length;
    const real *const v = h->v;
    real w[B] = { 0 }, dot = 0;
    for (int64_t j = 0; j < n; j++) {
        const real *const column = d + j * S;
        real sum = column[j] * v[j];
        for (int64_t i = j + 1; i < n; i++) {
            w[i] += column[i] * v[j];
            sum += column[i] * v[i];
        }
        w[j] += sum;
    }
    for (int64_t i = 0; i < n; i++)
        dot += w[i] * v[i];
    const real shift = (real)-0.5 * h->tau * h->tau * dot;
    for (int64_t i = 0; i < n; i++)
        w[i] = h->tau * w[i] + shift * v[i];
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++)
            d[j * S + i] -= v[j] * w[i] + w[j] * v[i];
}

// What is left of the first column, and the reflector that annihilates it. y = M v.
static void turn_first_column(real *m, const real *y, real tau, ECKI_FN(ecki_reflector) * below)
{
    real x[B];
    const int64_t rows = below->length;
    for (int64_t i = 0; i < rows; i++)
        x[i] = m[i] - tau * y[i];
    memset(m, 0, (size_t)rows * sizeof *m);
    m[0] = ECKI_FN(ecki_make_reflector)(below, x);
}

// M (I - tau v v^T) = M - tau y v^T, then column by column (I - tau2 v2 v2^T).
static void off_diagonal_any(real *m, const ECKI_FN(ecki_reflector) * h,
                             ECKI_FN(ecki_reflector) * below)
{
    const int64_t rows = below->length, cols = h->length;
    real y[B] = { 0 }, along = 0;
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++)
            y[i] += m[j * S + i] * h->v[j];
    turn_first_column(m, y, h->tau, below);
    for (int64_t i = 0; i < rows; i++)
        along += below->v[i] * y[i];
    for (int64_t j = 1; j < cols; j++) {
        real *const column = m + j * S;
        const real right = h->tau * h->v[j];
        real dot = 0;
        for (int64_t i = 0; i < rows; i++)
            dot += below->v[i] * column[i];
        const real left = below->tau * (dot - right * along);
        for (int64_t i = 0; i < rows; i++)
            column[i] -= right * y[i] + left * below->v[i];
    }
}

// Sum of the lanes, in pairs: those half the vector apart, then a quarter, and so on.
ECKI_INLINE real lane_sum(const lanes *x)
{
    lanes sum = *x;
#if ECK_REAL == 32
    sum += ECKI_SHUFFLE(marks, sum, sum, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    sum += ECKI_SHUFFLE(marks, sum, sum, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    sum += ECKI_SHUFFLE(marks, sum, sum, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    sum += ECKI_SHUFFLE(marks, sum, sum, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#else
    sum += ECKI_SHUFFLE(marks, sum, sum, 4, 5, 6, 7, 0, 1, 2, 3);
    sum += ECKI_SHUFFLE(marks, sum, sum, 2, 3, 0, 1, 6, 7, 4, 5);
    sum += ECKI_SHUFFLE(marks, sum, sum, 1, 0, 3, 2, 5, 4, 7, 6);
#endif
    return sum[0];
}

// Lanes from `lane` on; the others become 0.
ECKI_INLINE void keep_from(lanes *x, int lane)
{
    const marks place = PLACES;
    const marks mask = place >= lane;
    *x = (lanes)((marks)*x & mask);
}

// Blocks (part, part): numbers above the diagonal are unused room of the band, not to be read as numbers.
ECKI_INLINE void multiply_corner(lanes *w, lanes *dots, const real *d, const lanes *v, int64_t part)
{
    for (int c = 0; c < LANES; c++) {
        const int64_t j = part * LANES + c;
        lanes column = *(const lanes *)(d + j * S + part * LANES);
        keep_from(&column, c);
        w[part] += column * v[part][c];
        keep_from(&column, c + 1);
        dots[c] = column * v[part];
    }
}

// w = D v, from the triangle: every block left of the diagonal counts twice.
ECKI_INLINE void multiply_triangle(lanes *w, const real *d, const lanes *v)
{
    for (int64_t part = 0; part < PARTS; part++) {
        lanes dots[LANES];
        multiply_corner(w, dots, d, v, part);
        for (int64_t below = part + 1; below < PARTS; below++)
            for (int c = 0; c < LANES; c++) {
                const lanes column = *(const lanes *)(d + (part * LANES + c) * S + below * LANES);
                w[below] += column * v[part][c];
                dots[c] += column * v[below];
            }
        for (int64_t c = 0; c < LANES; c++)
            w[part][c] += lane_sum(&dots[c]);
    }
}

// Numbers above the diagonal are written too: nobody reads that room.
ECKI_INLINE void both_sides_whole(real *d, const ECKI_FN(ecki_reflector) * h)
{
    const lanes *const v = (const lanes *)h->v;
    lanes w[PARTS], dot;
    memset(w, 0, sizeof w);
    multiply_triangle(w, d, v);
    dot = w[0] * v[0];
    for (int64_t part = 1; part < PARTS; part++)
        dot += w[part] * v[part];
    const real shift = (real)-0.5 * h->tau * h->tau * lane_sum(&dot);
    for (int64_t part = 0; part < PARTS; part++)
        w[part] = w[part] * h->tau + v[part] * shift;
    for (int64_t j = 0; j < B; j++) {
        const real vj = h->v[j], wj = ((const real *)w)[j];
        for (int64_t part = j / LANES; part < PARTS; part++)
            *(lanes *)(d + j * S + part * LANES) -= w[part] * vj + v[part] * wj;
    }
}

ECKI_INLINE void off_diagonal_whole(real *m, const ECKI_FN(ecki_reflector) * h,
                                    ECKI_FN(ecki_reflector) * below)
{
    const lanes *const v2 = (const lanes *)below->v;
    lanes y[PARTS], dot;
    memset(y, 0, sizeof y);
    for (int64_t j = 0; j < B; j++)
        for (int64_t part = 0; part < PARTS; part++)
            y[part] += *(const lanes *)(m + j * S + part * LANES) * h->v[j];
    turn_first_column(m, (const real *)y, h->tau, below);
    dot = v2[0] * y[0];
    for (int64_t part = 1; part < PARTS; part++)
        dot += v2[part] * y[part];
    const real along = lane_sum(&dot);
    for (int64_t j = 1; j < B; j++) {
        lanes *const column = (lanes *)(m + j * S);
        const real right = h->tau * h->v[j];
        dot = v2[0] * column[0];
        for (int64_t part = 1; part < PARTS; part++)
            dot += v2[part] * column[part];
        const real left = below->tau * (lane_sum(&dot) - right * along);
        for (int64_t part = 0; part < PARTS; part++)
            column[part] -= y[part] * right + v2[part] * left;
    }
}

static void both_sides_plain(real *d, const ECKI_FN(ecki_reflector) * h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

static void off_diagonal_plain(real *m, const ECKI_FN(ecki_reflector) * h,
                               ECKI_FN(ecki_reflector) * below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}

#if defined(__x86_64__)
ECKI_TARGET_FUSED(ECKI_AVX2) static void both_sides_avx2(real *d, const ECKI_FN(ecki_reflector) * h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

ECKI_TARGET_FUSED(ECKI_AVX2)
static void off_diagonal_avx2(real *m, const ECKI_FN(ecki_reflector) * h,
                              ECKI_FN(ecki_reflector) * below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}

ECKI_TARGET_FUSED(ECKI_AVX512)
static void both_sides_avx512(real *d, const ECKI_FN(ecki_reflector) * h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

ECKI_TARGET_FUSED(ECKI_AVX512)
static void off_diagonal_avx512(real *m, const ECKI_FN(ecki_reflector) * h,
                                ECKI_FN(ecki_reflector) * below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}
#endif

ECKI_FN(ecki_chase_kernels) ECKI_FN(ecki_chase_kernels_for)(const ecki_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx512) return (ECKI_FN(ecki_chase_kernels)){ both_sides_avx512, off_diagonal_avx512 };
    if (cpu->avx2) return (ECKI_FN(ecki_chase_kernels)){ both_sides_avx2, off_diagonal_avx2 };
#endif
    (void)cpu;
    return (ECKI_FN(ecki_chase_kernels)){ both_sides_plain, off_diagonal_plain };
}
