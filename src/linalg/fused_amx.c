// The fused product on the matrix unit of x86 processors (AMX), whose tiles multiply numbers of 8 significant bits (BF16) and
// add in F32. Every F32 number is the sum of three such parts to the last bit (F16: two, BF16: one), and a b is taken as
// a1 b1 + a1 b2 + a2 b1 + a2 b2 + a1 b3 + a3 b1, off by 2^-23 |a b| at most. Always true: a tile has 16 rows of 64 bytes; the
// two numbers that are multiplied and added in one go stand 16 places apart, in both factors, since a sum may run in any order.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX512)
#include "linalg/fused.h"

#include <immintrin.h>
#include <string.h>

#include "base/checked.h"

enum {
    SIDE = 16,
    ROWS = ECKI_TILED_ROWS, // of a panel: two tiles
    TILE = SIDE * SIDE, // numbers of 32 bits
    PARTS = ECKI_TILED_PARTS,
    SPLIT = PARTS * TILE, // a tile of numbers in parts
    STRIDE = 64 // bytes of a row of a tile
};

/* ---- tiles ----------------------------------------------------------------------------------- */

// Written out, since what compilers offer takes no note of what a load reads.
#define TILE_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"((long)(stride)) \
                     : "memor" \
                       "y")
#define TILE_STORE(tile, to, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"((long)(stride)) \
                     : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile :::)
#define TILE_PRODUCT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c :::)

typedef struct tile_shapes {
    uint8_t palette, start, unused[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_shapes;

static void tiles_begin(void)
{
    static const tile_shapes whole = { .palette = 1,
                                       .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                                       .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } };
    __asm__ volatile("ldtilecfg %0" ::"m"(whole));
}

// What is left in tiles would be saved whenever threads change places.
static void tiles_end(void)
{
    __asm__ volatile("tilerelease" :::);
}

// Parts of a and b in pairs, a's below, b's above. The first part is the nearest, so that the rest has either sign; what a part
// leaves is exact.
ECKI_INLINE void split(__m512 a, __m512 b, uint32_t *out, const int parts)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000), half = _mm512_set1_epi32(0x8000);
    __m512i x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    if (parts > 1) {
        x = _mm512_add_epi32(x, half);
        y = _mm512_add_epi32(y, half);
    }
    _Pragma("GCC unroll 3") for (int p = 0; p < parts; p++)
    {
        const __m512i below = _mm512_srli_epi32(x, 16);
        _mm512_store_si512(out + p * TILE, _mm512_ternarylogic_epi32(below, y, high, 0xf8));
        if (p + 1 == parts) break;
        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(x, high)));
        b = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(y, high)));
        x = _mm512_castps_si512(a);
        y = _mm512_castps_si512(b);
    }
}

ECKI_INLINE void transpose(__m512 *x)
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    __m512 y[SIDE];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < SIDE / 2; i++) {
            y[2 * i] = _mm512_permutex2var_ps(x[i], low, x[i + SIDE / 2]);
            y[2 * i + 1] = _mm512_permutex2var_ps(x[i], high, x[i + SIDE / 2]);
        }
        memcpy(x, y, sizeof y);
    }
}

void ecki_fused_lay_amx(const float *x, int64_t cols, int64_t width, uint32_t *out)
{
    const __m512 none = _mm512_setzero_ps();
    for (int64_t j = 0; j < ecki_tiled_columns(cols); j += 2 * SIDE)
        for (int64_t v = 0; v < width; v += SIDE, out += SPLIT)
            for (int64_t r = 0; r < SIDE; r++) {
                const float *const at = x + (j + r) * width + v;
                const __m512 a = j + r < cols ? _mm512_loadu_ps(at) : none;
                const __m512 b = j + r + SIDE < cols ? _mm512_loadu_ps(at + SIDE * width) : none;
                split(a, b, out + r * SIDE, PARTS);
            }
}

// (scale y)^T as tiles, of y [ROWS,width]: 16 columns after 16.
static void lay_inner(const float *y, float scale, int64_t width, uint32_t *out)
{
    const __m512 by = _mm512_set1_ps(scale);
    for (int64_t v = 0; v < width; v += SIDE, out += SPLIT) {
        __m512 a[SIDE], b[SIDE];
        for (int r = 0; r < SIDE; r++) {
            a[r] = _mm512_mul_ps(by, _mm512_loadu_ps(y + r * width + v));
            b[r] = _mm512_mul_ps(by, _mm512_loadu_ps(y + (r + SIDE) * width + v));
        }
        transpose(a);
        transpose(b);
        for (int r = 0; r < SIDE; r++)
            split(a[r], b[r], out + r * SIDE, PARTS);
    }
}

void ecki_fused_collect_amx(const float *z, int64_t cols, int64_t width, float *out)
{
    for (int64_t j = 0; j < cols; j += SIDE)
        for (int64_t v = 0; v < width; v += SIDE, z += TILE) {
            __m512 x[SIDE];
            for (int r = 0; r < SIDE; r++)
                x[r] = _mm512_loadu_ps(z + r * SIDE);
            transpose(x);
            for (int r = 0; r < ecki_min(SIDE, cols - j); r++)
                _mm512_storeu_ps(out + (j + r) * width + v, x[r]);
        }
}

/* ---- products of a panel --------------------------------------------------------------------- */

// ROWS rows whose columns are a multiple of ECKI_TILED_COLS.
typedef struct panel {
    const char *numbers;
    int64_t step; // bytes from one row to the next
    int64_t cols;
} panel;

// Two times sixteen numbers that become pairs; those of the rows below follow `step` bytes further.
typedef struct source {
    const char *a, *b;
    int64_t step;
} source;

// The matrix has its numbers in three parts if it is F32, in two if F16, in one if BF16.
ECKI_INLINE int64_t size_of(const int parts)
{
    return parts == PARTS ? 4 : 2;
}

ECKI_INLINE __m512 widened(const void *from, const int parts)
{
    if (parts == PARTS) return _mm512_loadu_ps(from);
    const __m256i halves = _mm256_loadu_si256(from);
    if (parts == 2) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// For the inner product: columns j .. j + 32 of both halves of the rows, paired along a row.
ECKI_INLINE void along_rows(source out[2], const panel *of, int64_t j, const int parts)
{
    const int64_t size = size_of(parts);
    for (int i = 0; i < 2; i++) {
        const char *const at = of->numbers + j * size + i * SIDE * of->step;
        out[i] = (source){ at, at + SIDE * size, of->step };
    }
}

// For the outer one: `tiles` times sixteen columns from j on, paired across the halves.
ECKI_INLINE void across_rows(source *out, const int tiles, const panel *of, int64_t j,
                             const int parts)
{
    for (int i = 0; i < tiles; i++) {
        const char *const at = of->numbers + (j + i * SIDE) * size_of(parts);
        out[i] = (source){ at, at + SIDE * of->step, of->step };
    }
}

// Tiles of parts on their way through the products: while one set is multiplied, the next is split, four rows at a time.
typedef struct making {
    const source *from; // NULL: none comes after
    uint32_t *to;
} making;

ECKI_INLINE void split_four(const making *next, const int chunk, const int parts)
{
    if (!next->from) return;
    const source from = next->from[chunk / 4];
    uint32_t *const to = next->to + chunk / 4 * SPLIT;
    for (int r = chunk % 4 * 4; r < chunk % 4 * 4 + 4; r++)
        split(widened(from.a + r * from.step, parts), widened(from.b + r * from.step, parts),
              to + r * SIDE, parts);
}

ECKI_INLINE void split_all(const source *from, uint32_t *to, const int tiles, const int parts)
{
    for (int chunk = 0; chunk < 4 * tiles; chunk++)
        split_four(&(making){ from, to }, chunk, parts);
}

// What the matrix unit does with tiles 4 and 5 (parts of the matrix) and 5, 6, 7 (of what it meets): sum c += a x, or y^T a.
#define INNER(c, matrix, other) TILE_PRODUCT(c, matrix, other)
#define OUTER(c, matrix, other) TILE_PRODUCT(c, other, matrix)
#define MATRIX(tile, i, p) TILE_LOAD(tile, matrix + (i)*SPLIT + (p)*TILE, STRIDE)
#define OTHER(tile, i, p) TILE_LOAD(tile, other + (i)*SPLIT + (p)*TILE, STRIDE)

ECKI_INLINE void meanwhile(const making *next, const int first, const int count, const int parts)
{
    for (int chunk = first; chunk < first + count; chunk++)
        split_four(next, chunk, parts);
}

// Two tiles of the matrix, two others: four sums.
#define TWO_BY_TWO(KIND) \
    KIND(0, 4, 6); \
    KIND(1, 4, 7); \
    KIND(2, 5, 6); \
    KIND(3, 5, 7)
#define TWO_BY_TWO_FUNCTION(name, KIND) \
    ECKI_INLINE void name(const uint32_t *matrix, const uint32_t *other, const making *next, \
                          const int parts) \
    { \
        MATRIX(4, 0, 0); \
        MATRIX(5, 1, 0); \
        OTHER(6, 0, 2); \
        OTHER(7, 1, 2); \
        TWO_BY_TWO(KIND); \
        meanwhile(next, 0, 2, parts); \
        OTHER(6, 0, 1); \
        OTHER(7, 1, 1); \
        TWO_BY_TWO(KIND); \
        meanwhile(next, 2, 2, parts); \
        if (parts > 1) { \
            MATRIX(4, 0, 1); \
            MATRIX(5, 1, 1); \
            TWO_BY_TWO(KIND); \
        } \
        meanwhile(next, 4, 1, parts); \
        OTHER(6, 0, 0); \
        OTHER(7, 1, 0); \
        if (parts > 1) { \
            TWO_BY_TWO(KIND); \
        } \
        meanwhile(next, 5, 1, parts); \
        if (parts > 2) { \
            MATRIX(4, 0, 2); \
            MATRIX(5, 1, 2); \
            TWO_BY_TWO(KIND); \
        } \
        meanwhile(next, 6, 1, parts); \
        if (parts > 1) { \
            MATRIX(4, 0, 0); \
            MATRIX(5, 1, 0); \
        } \
        TWO_BY_TWO(KIND); \
        meanwhile(next, 7, 1, parts); \
    }
TWO_BY_TWO_FUNCTION(inner_step_two, INNER)
TWO_BY_TWO_FUNCTION(outer_step_two, OUTER)

// Two tiles of the matrix, one other, and two sums of each: a sum has to wait for the one before.
#define TWO_TILES(p, t, first, second) \
    MATRIX(4, 0, p); \
    INNER(first, 4, t); \
    MATRIX(4, 1, p); \
    INNER(second, 4, t)
ECKI_INLINE void inner_step_one(const uint32_t *matrix, const uint32_t *other, const making *next,
                                const int parts)
{
    OTHER(7, 0, 2);
    OTHER(6, 0, 1);
    OTHER(5, 0, 0);
    TWO_TILES(0, 7, 0, 1);
    meanwhile(next, 0, 2, parts);
    TWO_TILES(0, 6, 2, 3);
    meanwhile(next, 2, 2, parts);
    if (parts > 1) {
        TWO_TILES(1, 6, 0, 1);
    }
    meanwhile(next, 4, 1, parts);
    TWO_TILES(0, 5, 2, 3);
    meanwhile(next, 5, 1, parts);
    if (parts > 1) {
        TWO_TILES(1, 5, 0, 1);
    }
    meanwhile(next, 6, 1, parts);
    if (parts > 2) {
        TWO_TILES(2, 5, 2, 3);
    }
    meanwhile(next, 7, 1, parts);
}

// Four tiles of the matrix, one other.
#define FOUR_TILES(p, t) \
    MATRIX(4, 0, p); \
    OUTER(0, 4, t); \
    MATRIX(4, 1, p); \
    OUTER(1, 4, t); \
    MATRIX(4, 2, p); \
    OUTER(2, 4, t); \
    MATRIX(4, 3, p); \
    OUTER(3, 4, t)
ECKI_INLINE void outer_step_one(const uint32_t *matrix, const uint32_t *other, const making *next,
                                const int parts)
{
    OTHER(7, 0, 2);
    OTHER(6, 0, 1);
    OTHER(5, 0, 0);
    FOUR_TILES(0, 7);
    meanwhile(next, 0, 4, parts);
    FOUR_TILES(0, 6);
    meanwhile(next, 4, 4, parts);
    if (parts > 1) {
        FOUR_TILES(1, 6);
    }
    meanwhile(next, 8, 2, parts);
    if (parts > 1) {
        FOUR_TILES(1, 5);
    }
    meanwhile(next, 10, 2, parts);
    if (parts > 2) {
        FOUR_TILES(2, 5);
    }
    meanwhile(next, 12, 2, parts);
    FOUR_TILES(0, 5);
    meanwhile(next, 14, 2, parts);
}

// The four sums, at these places.
#define SUMS(ACTION, at0, at1, at2, at3, stride) \
    ACTION(0, at0, stride); \
    ACTION(1, at1, stride); \
    ACTION(2, at2, stride); \
    ACTION(3, at3, stride)

// y [ROWS,width] = a x for 32 columns of x.
ECKI_INLINE void inner_two(const panel *a, const uint32_t *x, int64_t width, float *y,
                           const int parts)
{
    uint32_t room[2][2 * SPLIT] __attribute__((aligned(STRIDE)));
    const int64_t bytes = width * (int64_t)sizeof *y, down = SIDE * width, each = 2 * SIDE;
    source from[2];
    along_rows(from, a, 0, parts);
    split_all(from, room[0], 2, parts);
    SUMS(TILE_LOAD, y, y + SIDE, y + down, y + down + SIDE, bytes);
    for (int64_t j = 0, now = 0; j < a->cols; j += each, now = !now) {
        const bool more = j + each < a->cols;
        along_rows(from, a, j + each, parts);
        inner_step_two(room[now], x + j / each * (width / SIDE) * SPLIT,
                       &(making){ more ? from : NULL, room[!now] }, parts);
    }
    SUMS(TILE_STORE, y, y + SIDE, y + down, y + down + SIDE, bytes);
}

// The same for 16 columns of x.
ECKI_INLINE void inner_one(const panel *a, const uint32_t *x, int64_t width, float *y,
                           const int parts)
{
    uint32_t room[2][2 * SPLIT] __attribute__((aligned(STRIDE)));
    float sums[2 * TILE] __attribute__((aligned(STRIDE)));
    const int64_t bytes = width * (int64_t)sizeof *y, down = SIDE * width, each = 2 * SIDE;
    source from[2];
    along_rows(from, a, 0, parts);
    split_all(from, room[0], 2, parts);
    TILE_LOAD(0, y, bytes);
    TILE_LOAD(1, y + down, bytes);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int64_t j = 0, now = 0; j < a->cols; j += each, now = !now) {
        const bool more = j + each < a->cols;
        along_rows(from, a, j + each, parts);
        inner_step_one(room[now], x + j / each * (width / SIDE) * SPLIT,
                       &(making){ more ? from : NULL, room[!now] }, parts);
    }
    TILE_STORE(0, y, bytes);
    TILE_STORE(1, y + down, bytes);
    TILE_STORE(2, sums, STRIDE);
    TILE_STORE(3, sums + TILE, STRIDE);
    for (int64_t r = 0; r < ROWS; r++, y += width)
        _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), _mm512_load_ps(sums + r * SIDE)));
}

// z^T += y^T a for 32 rows of y^T.
ECKI_INLINE void outer_two(const panel *a, const uint32_t *y, int64_t width, float *z,
                           const int parts)
{
    uint32_t room[2][2 * SPLIT] __attribute__((aligned(STRIDE)));
    const int64_t across = width * SIDE, each = 2 * SIDE;
    source from[2];
    across_rows(from, 2, a, 0, parts);
    split_all(from, room[0], 2, parts);
    for (int64_t j = 0, now = 0; j < a->cols; j += each, now = !now, z += 2 * across) {
        const bool more = j + each < a->cols;
        across_rows(from, 2, a, j + each, parts);
        SUMS(TILE_LOAD, z, z + TILE, z + across, z + across + TILE, STRIDE);
        outer_step_two(room[now], y, &(making){ more ? from : NULL, room[!now] }, parts);
        SUMS(TILE_STORE, z, z + TILE, z + across, z + across + TILE, STRIDE);
    }
}

// The same for 16 rows of y^T.
ECKI_INLINE void outer_one(const panel *a, const uint32_t *y, int64_t width, float *z,
                           const int parts)
{
    uint32_t room[2][4 * SPLIT] __attribute__((aligned(STRIDE)));
    const int64_t across = width * SIDE, each = 4 * SIDE;
    source from[4];
    across_rows(from, 4, a, 0, parts);
    split_all(from, room[0], 4, parts);
    for (int64_t j = 0, now = 0; j < a->cols; j += each, now = !now, z += 4 * across) {
        const bool more = j + each < a->cols;
        across_rows(from, 4, a, j + each, parts);
        SUMS(TILE_LOAD, z, z + across, z + 2 * across, z + 3 * across, STRIDE);
        outer_step_one(room[now], y, &(making){ more ? from : NULL, room[!now] }, parts);
        SUMS(TILE_STORE, z, z + across, z + 2 * across, z + 3 * across, STRIDE);
    }
}

/* ---- a group of rows ------------------------------------------------------------------------- */

// A panel as it lies, or in `room` with zeros where the matrix ends.
static panel panel_of(const ecki_fused_rows *a, int64_t row, float *room)
{
    const int64_t size = eck_dtype_bits(a->dtype) / 8, cols = ecki_tiled_columns(a->cols);
    const int64_t rows = ecki_min(ROWS, a->rows - row);
    const char *const from = (const char *)a->data + row * a->step * size;
    char *const to = (char *)room;
    if (rows == ROWS && cols == a->cols) return (panel){ from, a->step * size, cols };
    memset(to, 0, (size_t)(ROWS * cols * size));
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * cols * size, from + i * a->step * size, (size_t)(a->cols * size));
    return (panel){ to, cols * size, cols };
}

ECKI_INLINE void one_panel(const ecki_fused_group *group, const panel *a, const int parts)
{
    const int64_t width = group->width, left = width % (2 * SIDE), whole = width - left;
    float *const y = group->room + ROWS * a->cols;
    uint32_t *const laid = (uint32_t *)(y + ROWS * width);
    memset(y, 0, (size_t)(ROWS * width) * sizeof *y);
    for (int64_t v = 0; v < whole; v += 2 * SIDE)
        inner_two(a, group->x + v / SIDE * SPLIT, width, y + v, parts);
    if (left) inner_one(a, group->x + whole / SIDE * SPLIT, width, y + whole, parts);
    lay_inner(y, group->scale, width, laid);
    for (int64_t v = 0; v < whole; v += 2 * SIDE)
        outer_two(a, laid + v / SIDE * SPLIT, width, group->z + v * SIDE, parts);
    if (left) outer_one(a, laid + whole / SIDE * SPLIT, width, group->z + whole * SIDE, parts);
}

void ecki_fused_group_amx(const ecki_fused_group *group)
{
    const ecki_fused_rows *const a = &group->rows;
    memset(group->z, 0, (size_t)(ecki_tiled_columns(a->cols) * group->width) * sizeof *group->z);
    tiles_begin();
    for (int64_t row = 0; row < a->rows; row += ROWS) {
        const panel now = panel_of(a, row, group->room);
        if (a->dtype == ECK_DTYPE_BF16)
            one_panel(group, &now, 1);
        else if (a->dtype == ECK_DTYPE_F16)
            one_panel(group, &now, 2);
        else
            one_panel(group, &now, PARTS);
    }
    tiles_end();
}

ECKI_TARGET_END
#endif
