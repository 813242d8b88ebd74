// Largest values and squares of blocks. Always true: sums go through sixteen lanes a row, then the rows, then the blocks; what
// is narrower than LINE is taken as if its rows were that long.
#include "linalg/scans.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "linalg/op.h"

enum { LANES = 16, LINE = 256 };

// |x| as bits grows with |x|, and is largest for what is not finite.
static int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & INT64_MAX;
}

// Largest |x| of a row: a number that is not finite if there is one.
ECKI_CLONES static double row_max(const double *row, int64_t count)
{
    int64_t most = 0;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < count; j++) {
        const int64_t bits = bits_of(row[j]);
        most = bits > most ? bits : most;
    }
    double max;
    memcpy(&max, &most, sizeof max);
    return max;
}

// Largest finite absolute value of a block; counts the others.
static double block_max(ecki_block_scan *scan, const double *x, eck_panel shape, int64_t origin,
                        int64_t stride)
{
    double max = row_max(x, shape.rows * shape.cols);
    if (isfinite(max)) return max;
    max = 0.0;
    for (int64_t i = 0; i < shape.rows; i++) {
        const double *const row = x + i * shape.cols;
        const double most = row_max(row, shape.cols);
        if (isfinite(most)) {
            max = most > max ? most : max;
            continue;
        }
        for (int64_t j = 0; j < shape.cols; j++) {
            if (isfinite(row[j])) {
                max = fabs(row[j]) > max ? fabs(row[j]) : max;
                continue;
            }
            if (scan->nonfinite++ == 0) scan->first_nonfinite = origin + i * stride + j;
        }
    }
    return max;
}

// Sum of the squares of a row, each number times `scale`: number j in lane j mod LANES, then the lanes in pairs.
ECKI_CLONES static double row_squares(const double *row, int64_t count, double scale)
{
    double lane[LANES] = { 0.0 };
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lane[l] += (row[j + l] * scale) * (row[j + l] * scale);
    }
    for (int l = 0; j + l < count; l++)
        lane[l] += (row[j + l] * scale) * (row[j + l] * scale);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

ecki_block_scan ecki_scan_block(const double *x, eck_panel shape, int64_t origin, int64_t stride)
{
    ecki_block_scan scan = { 0.0, 0.0, 0, -1, 0 };
    scan.max = block_max(&scan, x, shape, origin, stride);
    const double scale = ecki_scale_of(scan.max);
    scan.exponent = -ilogb(scale);
    const int64_t count = shape.rows * shape.cols, line = shape.cols < LINE ? LINE : shape.cols;
    for (int64_t at = 0; at < count && scan.nonfinite == 0; at += line)
        scan.sum += row_squares(x + at, count - at < line ? count - at : line, scale);
    return scan;
}

// At the exponent of the largest: norm2 = sum 2^(2 exponent).
eck_scan ecki_scans_add(double *sum_out, int *exponent_out, const ecki_block_scan *scans,
                        int64_t count)
{
    eck_scan all = { 0.0, 0.0, -1, 0 };
    int exponent = -2000;
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const ecki_block_scan *const tile = &scans[i];
        all.max = tile->max > all.max ? tile->max : all.max;
        all.nonfinite += tile->nonfinite;
        if (tile->nonfinite &&
            (all.first_nonfinite < 0 || tile->first_nonfinite < all.first_nonfinite))
            all.first_nonfinite = tile->first_nonfinite;
        if (tile->sum > 0.0 && tile->exponent > exponent) exponent = tile->exponent;
    }
    for (int64_t i = 0; i < count; i++)
        if (scans[i].sum > 0.0) sum += ldexp(scans[i].sum, 2 * (scans[i].exponent - exponent));
    all.norm2 = ldexp(sum, 2 * exponent);
    *sum_out = sum;
    *exponent_out = exponent;
    return all;
}
