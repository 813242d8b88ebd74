// Tiles of a Gram matrix for one kind of vector: a block of sums stays in registers while lines go by.
// Defined before: ECK_BUILD (lanes.h), ECK_KERNELS, the name of the table.
#define ECK_REAL 64
#include "linalg/gram.h"
#include "linalg/lanes.h"

#if ECK_BUILD == 128
enum { VECTORS = 4, ROWS = 4 };
#else
enum { VECTORS = 3, ROWS = LANES };
#endif
enum { STRIP = VECTORS * LANES };

static void tile(const double *rows, const double *columns, int64_t depth, double *out, int64_t ld)
{
    lanes sum[ROWS][VECTORS];
    _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++)
    {
        sum[i][v] = lanes_of(0.0);
        __builtin_prefetch(out + i * ld + v * LANES, 1, 3);
    }
    for (int64_t line = 0; line < depth; line++, rows += STRIP, columns += STRIP) {
        lanes column[VECTORS];
        _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++) column[v] =
            load_lanes(columns + v * LANES);
        _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)
        {
            const lanes spread = lanes_of(rows[i]);
            _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++) sum[i][v] =
                product_sum(spread, column[v], sum[i][v]);
        }
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++)
    {
        double *const to = out + i * ld + v * LANES;
        store_lanes(to, load_lanes(to) + sum[i][v]);
    }
}

static void turn(const double *from, int64_t ld, double *to)
{
    for (int64_t j = 0; j < STRIP; j += LANES)
        for (int64_t line = 0; line < 8; line += LANES) {
            lanes block[LANES];
            _Pragma("GCC unroll 8") for (int i = 0; i < LANES; i++) block[i] =
                load_lanes(from + (j + i) * ld + line);
            transpose_lanes(block);
            _Pragma("GCC unroll 8") for (int i = 0; i < LANES; i++)
                store_lanes(to + (line + i) * STRIP + j, block[i]);
        }
}

const ecki_gram_kernels ECK_KERNELS = { ECK_NAME, STRIP, ROWS, turn, tile };
