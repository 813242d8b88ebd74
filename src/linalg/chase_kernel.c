// Bulge chasing on one block: a plain build for blocks of any size, and for whole blocks one in vectors of eight,
// which is compiled for each kind of processor. Always true: which operations are done, and in which order, depends
// on the size of the block alone.
#include "linalg/chase_kernel.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "linalg/two_stage.h"

enum { B = ECKI_BAND, S = ECKI_BAND_STRIDE, LANES = 8, PARTS = B / LANES };

double ecki_make_reflector(ecki_reflector *h, const double *x)
{
    // beta = -sign(x_0) ||x||, tau = (beta - x_0) / beta, v = x / (x_0 - beta).
    double tail2 = 0.0;
    for (int64_t i = 1; i < h->length; i++)
        tail2 += x[i] * x[i];
    h->v[0] = 1.0;
    h->tau = 0.0;
    for (int64_t i = 1; i < h->length; i++)
        h->v[i] = 0.0;
    if (tail2 == 0.0) return x[0];
    const double beta = -copysign(sqrt(x[0] * x[0] + tail2), x[0]);
    const double factor = 1.0 / (x[0] - beta);
    for (int64_t i = 1; i < h->length; i++)
        h->v[i] = x[i] * factor;
    h->tau = (beta - x[0]) / beta;
    return beta;
}

// D -= v w^T + w v^T with w = tau D v - 1/2 tau (tau v^T D v) v.
static void both_sides_any(double *d, const ecki_reflector *h)
{
    const int64_t n = h->length;
    const double *const v = h->v;
    double w[B] = { 0.0 }, dot = 0.0;
    for (int64_t j = 0; j < n; j++) {
        const double *const column = d + j * S;
        double sum = column[j] * v[j];
        for (int64_t i = j + 1; i < n; i++) {
            w[i] += column[i] * v[j];
            sum += column[i] * v[i];
        }
        w[j] += sum;
    }
    for (int64_t i = 0; i < n; i++)
        dot += w[i] * v[i];
    const double shift = -0.5 * h->tau * h->tau * dot;
    for (int64_t i = 0; i < n; i++)
        w[i] = h->tau * w[i] + shift * v[i];
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++)
            d[j * S + i] -= v[j] * w[i] + w[j] * v[i];
}

// What is left of the first column, and the reflector that annihilates it. y = M v.
static void turn_first_column(double *m, const double *y, double tau, ecki_reflector *below)
{
    double x[B];
    const int64_t rows = below->length;
    for (int64_t i = 0; i < rows; i++)
        x[i] = m[i] - tau * y[i];
    memset(m, 0, (size_t)rows * sizeof *m);
    m[0] = ecki_make_reflector(below, x);
}

// M (I - tau v v^T) = M - tau y v^T, then column by column (I - tau2 v2 v2^T).
static void off_diagonal_any(double *m, const ecki_reflector *h, ecki_reflector *below)
{
    const int64_t rows = below->length, cols = h->length;
    double y[B] = { 0.0 }, along = 0.0;
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++)
            y[i] += m[j * S + i] * h->v[j];
    turn_first_column(m, y, h->tau, below);
    for (int64_t i = 0; i < rows; i++)
        along += below->v[i] * y[i];
    for (int64_t j = 1; j < cols; j++) {
        double *const column = m + j * S;
        const double right = h->tau * h->v[j];
        double dot = 0.0;
        for (int64_t i = 0; i < rows; i++)
            dot += below->v[i] * column[i];
        const double left = below->tau * (dot - right * along);
        for (int64_t i = 0; i < rows; i++)
            column[i] -= right * y[i] + left * below->v[i];
    }
}

// Sum of the eight lanes, in pairs.
ECKI_INLINE double lane_sum(const ecki_f64x8 *x)
{
    const ecki_i64x8 four = { 4, 5, 6, 7, 0, 1, 2, 3 }, two = { 2, 3, 0, 1, 6, 7, 4, 5 },
                     one = { 1, 0, 3, 2, 5, 4, 7, 6 };
    ecki_f64x8 sum = *x + __builtin_shuffle(*x, four);
    sum += __builtin_shuffle(sum, two);
    sum += __builtin_shuffle(sum, one);
    return sum[0];
}

// Lanes of a number on or below the diagonal of a block of eight.
ECKI_INLINE void keep_from(ecki_f64x8 *x, int64_t lane)
{
    const ecki_i64x8 place = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const ecki_i64x8 mask = place >= lane;
    *x = (ecki_f64x8)((ecki_i64x8)*x & mask);
}

// Blocks (part, part): numbers above the diagonal are unused room of the band, not to be read as numbers.
ECKI_INLINE void multiply_corner(ecki_f64x8 *w, ecki_f64x8 *dots, const double *d,
                                 const ecki_f64x8 *v, int64_t part)
{
    for (int64_t c = 0; c < LANES; c++) {
        const int64_t j = part * LANES + c;
        ecki_f64x8 column = *(const ecki_f64x8 *)(d + j * S + part * LANES);
        keep_from(&column, c);
        w[part] += column * v[part][c];
        keep_from(&column, c + 1);
        dots[c] = column * v[part];
    }
}

// w = D v, from the triangle: every block left of the diagonal counts twice.
ECKI_INLINE void multiply_triangle(ecki_f64x8 *w, const double *d, const ecki_f64x8 *v)
{
    for (int64_t part = 0; part < PARTS; part++) {
        ecki_f64x8 dots[LANES];
        multiply_corner(w, dots, d, v, part);
        for (int64_t below = part + 1; below < PARTS; below++)
            for (int64_t c = 0; c < LANES; c++) {
                const ecki_f64x8 column =
                    *(const ecki_f64x8 *)(d + (part * LANES + c) * S + below * LANES);
                w[below] += column * v[part][c];
                dots[c] += column * v[below];
            }
        for (int64_t c = 0; c < LANES; c++)
            w[part][c] += lane_sum(&dots[c]);
    }
}

// Numbers above the diagonal are written too: nobody reads that room.
ECKI_INLINE void both_sides_whole(double *d, const ecki_reflector *h)
{
    const ecki_f64x8 *const v = (const ecki_f64x8 *)h->v;
    ecki_f64x8 w[PARTS], dot;
    memset(w, 0, sizeof w);
    multiply_triangle(w, d, v);
    dot = w[0] * v[0];
    for (int64_t part = 1; part < PARTS; part++)
        dot += w[part] * v[part];
    const double shift = -0.5 * h->tau * h->tau * lane_sum(&dot);
    for (int64_t part = 0; part < PARTS; part++)
        w[part] = w[part] * h->tau + v[part] * shift;
    for (int64_t j = 0; j < B; j++) {
        const double vj = h->v[j], wj = ((const double *)w)[j];
        for (int64_t part = j / LANES; part < PARTS; part++)
            *(ecki_f64x8 *)(d + j * S + part * LANES) -= w[part] * vj + v[part] * wj;
    }
}

ECKI_INLINE void off_diagonal_whole(double *m, const ecki_reflector *h, ecki_reflector *below)
{
    const ecki_f64x8 *const v2 = (const ecki_f64x8 *)below->v;
    ecki_f64x8 y[PARTS], dot;
    memset(y, 0, sizeof y);
    for (int64_t j = 0; j < B; j++)
        for (int64_t part = 0; part < PARTS; part++)
            y[part] += *(const ecki_f64x8 *)(m + j * S + part * LANES) * h->v[j];
    turn_first_column(m, (const double *)y, h->tau, below);
    dot = v2[0] * y[0];
    for (int64_t part = 1; part < PARTS; part++)
        dot += v2[part] * y[part];
    const double along = lane_sum(&dot);
    for (int64_t j = 1; j < B; j++) {
        ecki_f64x8 *const column = (ecki_f64x8 *)(m + j * S);
        const double right = h->tau * h->v[j];
        dot = v2[0] * column[0];
        for (int64_t part = 1; part < PARTS; part++)
            dot += v2[part] * column[part];
        const double left = below->tau * (lane_sum(&dot) - right * along);
        for (int64_t part = 0; part < PARTS; part++)
            column[part] -= y[part] * right + v2[part] * left;
    }
}

static void both_sides_plain(double *d, const ecki_reflector *h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

static void off_diagonal_plain(double *m, const ecki_reflector *h, ecki_reflector *below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}

#if defined(__x86_64__)
ECKI_TARGET_FUSED(ECKI_AVX2) static void both_sides_avx2(double *d, const ecki_reflector *h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

ECKI_TARGET_FUSED(ECKI_AVX2)
static void off_diagonal_avx2(double *m, const ecki_reflector *h, ecki_reflector *below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}

ECKI_TARGET_FUSED(ECKI_AVX512) static void both_sides_avx512(double *d, const ecki_reflector *h)
{
    h->length == B ? both_sides_whole(d, h) : both_sides_any(d, h);
}

ECKI_TARGET_FUSED(ECKI_AVX512)
static void off_diagonal_avx512(double *m, const ecki_reflector *h, ecki_reflector *below)
{
    h->length == B && below->length == B ? off_diagonal_whole(m, h, below)
                                         : off_diagonal_any(m, h, below);
}
#endif

ecki_chase_kernels ecki_chase_kernels_for(const ecki_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx512) return (ecki_chase_kernels){ both_sides_avx512, off_diagonal_avx512 };
    if (cpu->avx2) return (ecki_chase_kernels){ both_sides_avx2, off_diagonal_avx2 };
#endif
    (void)cpu;
    return (ecki_chase_kernels){ both_sides_plain, off_diagonal_plain };
}
