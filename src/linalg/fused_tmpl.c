// Tiles of the fused products for one type and one kind of vector. A block of sums stays in registers while a line of the
// packed matrix goes by; each number of the matrix is spread over a vector and meets a few of them. Always true: sums run
// along the line in its order, one fused multiplication a term, so that every build gives the same bits.
// Defined before: ECK_REAL, ECK_BUILD (lanes.h), ECK_PACK, ECK_INNER and, for F32, ECK_OUTER.
#include "linalg/fused.h"
#include "linalg/lanes.h"

#include "base/checked.h"
#include "tensor/codec.h"

enum { R = ECKI_FUSED_ROWS, C = ECKI_FUSED_COLS, SUMS_MOST = 12, VECTORS_MOST = 4, PART = 512 };

// The same anywhere in memory.
typedef real lanes_anywhere ECKI_VECTOR_ANYWHERE(ECK_BUILD / 8, sizeof(real));

ECKI_INLINE lanes load(const real *x)
{
    return *(const lanes_anywhere *)x;
}

ECKI_INLINE void store(real *x, lanes value)
{
    *(lanes_anywhere *)x = value;
}

// Sixteen numbers of a row, widened.
typedef uint16_t halves ECKI_VECTOR_ANYWHERE(32, 2);
typedef uint32_t words ECKI_VECTOR(64);
typedef float floats ECKI_VECTOR_ANYWHERE(64, 4);
typedef real reals ECKI_VECTOR_ANYWHERE(16 * sizeof(real), sizeof(real));

ECKI_INLINE void widen(real *out, const ecki_fused_rows *from, int64_t at)
{
    floats wide;
    if (from->dtype == ECK_DTYPE_F32) {
        wide = *(const floats *)((const float *)from->data + at);
    } else if (from->dtype == ECK_DTYPE_BF16) {
        const halves short_ones = *(const halves *)((const uint16_t *)from->data + at);
        wide = (floats)(__builtin_convertvector(short_ones, words) << 16);
    } else {
        ecki_widen_f32(from->dtype, (const uint16_t *)from->data + at, 1, (float *)&wide, C);
    }
    *(reals *)out = __builtin_convertvector(wide, reals);
}

// The last columns of a row, fewer than sixteen.
static void widen_rest(real *out, const ecki_fused_rows *from, int64_t at, int64_t count)
{
    const char *const x = (const char *)from->data + at * (from->dtype == ECK_DTYPE_F32 ? 4 : 2);
    float wide[C] = { 0.0F };
    ecki_widen_f32(from->dtype, x, 1, wide, count);
    for (int i = 0; i < C; i++)
        out[i] = (real)wide[i];
}

// Columns first .. end of every row; a row's part is read in one go, since memory likes few long streams.
static void pack_part(const ecki_fused_rows *from, int64_t padded_rows, real *out,
                      const int64_t part[2])
{
    for (int64_t r = 0; r < padded_rows; r++)
        for (int64_t j = part[0]; j < part[1]; j += C) {
            real *const to = out + j * padded_rows + r * C;
            if (r >= from->rows)
                memset(to, 0, C * sizeof *to);
            else if (j + C <= from->cols)
                widen(to, from, r * from->step + j);
            else
                widen_rest(to, from, r * from->step + j, from->cols - j);
        }
}

void ECK_PACK(const ecki_fused_rows *from, int64_t padded_rows, real *out)
{
    for (int64_t j = 0; j < from->cols; j += PART) {
        const int64_t part[2] = { j, ecki_min(j + PART, from->cols) };
        pack_part(from, padded_rows, out, part);
    }
}

// y[r][v] += sum_j a(r,j) x[j][v] for `rows` rows from `first` and `vectors` vectors.
ECKI_INLINE void inner_block(const ecki_fused_tile *tile, const real *a, const real *x, real *y,
                             const int rows, const int vectors)
{
    lanes sum[SUMS_MOST][VECTORS_MOST];
    const int64_t width = tile->width;
    _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) sum[r][v] =
            load(y + r * width + v * LANES);
    for (int64_t j = 0; j < tile->cols; j += C, a += tile->rows * C) {
        const int64_t count = ecki_min(C, tile->cols - j);
        for (int64_t c = 0; c < count; c++, x += width) {
            lanes line[VECTORS_MOST];
            _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) line[v] = load(x + v * LANES);
            _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
            {
                const lanes spread = lanes_of(a[r * C + c]);
                _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) sum[r][v] =
                    product_sum(spread, line[v], sum[r][v]);
            }
        }
    }
    _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
            store(y + r * width + v * LANES, sum[r][v]);
}

ECKI_INLINE void inner_strips(const ecki_fused_tile *tile, const real *x, real *y, const int rows,
                              const int vectors)
{
    for (int64_t r = 0; r < tile->rows; r += rows)
        inner_block(tile, (const real *)tile->packed + r * C, x, y + r * tile->width, rows,
                    vectors);
}

void ECK_INNER(const ecki_fused_tile *tile, const real *x, real *y)
{
    int64_t at = 0;
#if ECK_BUILD == 512
    for (; at + 4 * LANES <= tile->width; at += 4 * LANES)
        inner_strips(tile, x + at, y + at, 6, 4);
    for (; at + 2 * LANES <= tile->width; at += 2 * LANES)
        inner_strips(tile, x + at, y + at, 12, 2);
    for (; at < tile->width; at += LANES)
        inner_strips(tile, x + at, y + at, 12, 1);
#elif ECK_BUILD == 256
    for (; at < tile->width; at += 2 * LANES)
        inner_strips(tile, x + at, y + at, 6, 2);
#else
    for (; at < tile->width; at += 4 * LANES)
        inner_strips(tile, x + at, y + at, 4, 4);
#endif
}

#ifdef ECK_OUTER
// z[c][v] += sum_r a(r,c) y[r][v] for `cols` columns of one block of sixteen; lines from tile->ahead on are fetched meanwhile.
ECKI_INLINE void outer_block(const ecki_fused_tile *tile, const real *a, const real *y, real *z,
                             const int cols, const int vectors)
{
    lanes sum[C][VECTORS_MOST];
    const int64_t width = tile->width;
    _Pragma("GCC unroll 16") for (int c = 0; c < cols; c++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) sum[c][v] =
            load(z + c * width + v * LANES);
    for (int64_t r = 0; r < tile->rows; r++, a += C, y += width) {
        lanes line[VECTORS_MOST];
        if (tile->ahead && r < tile->ahead_rows)
            __builtin_prefetch(tile->ahead + r * tile->ahead_step, 0, 2);
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) line[v] = load(y + v * LANES);
        _Pragma("GCC unroll 16") for (int c = 0; c < cols; c++)
        {
            const lanes spread = lanes_of(a[c]);
            _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) sum[c][v] =
                product_sum(spread, line[v], sum[c][v]);
        }
    }
    _Pragma("GCC unroll 16") for (int c = 0; c < cols; c++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
            store(z + c * width + v * LANES, sum[c][v]);
}

void ECK_OUTER(const ecki_fused_tile *tile, const real *y, real *z)
{
    ecki_fused_tile fetching = *tile, quiet = *tile;
    quiet.ahead = NULL;
    for (int64_t j = 0; j < tile->cols; j += C) {
        const real *const a = (const real *)tile->packed + j * tile->rows;
        real *const to = z + j * tile->width;
        const ecki_fused_tile *now = &fetching; // the first of the calls fetches
        if (tile->ahead) fetching.ahead = tile->ahead + j / C * tile->ahead_block;
        int64_t at = 0;
#if ECK_BUILD == 512
        for (; at + 4 * LANES <= tile->width; at += 4 * LANES)
            for (int c = 0; c < C; c += 4, now = &quiet)
                outer_block(now, a + c, y + at, to + c * tile->width + at, 4, 4);
        for (; at + 2 * LANES <= tile->width; at += 2 * LANES)
            for (int c = 0; c < C; c += 8, now = &quiet)
                outer_block(now, a + c, y + at, to + c * tile->width + at, 8, 2);
        for (; at < tile->width; at += LANES, now = &quiet)
            outer_block(now, a, y + at, to + at, 16, 1);
#elif ECK_BUILD == 256
        for (; at < tile->width; at += 2 * LANES)
            for (int c = 0; c < C; c += 4, now = &quiet)
                outer_block(now, a + c, y + at, to + c * tile->width + at, 4, 2);
#else
        for (; at < tile->width; at += 4 * LANES)
            for (int c = 0; c < C; c += 4, now = &quiet)
                outer_block(now, a + c, y + at, to + c * tile->width + at, 4, 4);
#endif
    }
}
#endif
