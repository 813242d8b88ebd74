// fused_amx.c: a scalar twin does the same sums in the same order, splitting numbers by rounding them; the twin is as near long
// double as the header says, and the matrix unit, where there is one, gives its bits: all types, widths and ragged edges.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "linalg/fused.h"

enum { SIDE = 16, ROWS = ECKI_TILED_ROWS, MOST_ROWS = 70, MOST_COLS = 200, MOST_WIDTH = 80 };

// The BF16 number nearest x: what is added and taken away again rounds to eight bits; away from zero at a tie, as by adding half
// a unit to the bits.
static float nearest(float x)
{
    int exponent;
    (void)frexpf(x, &exponent);
    return x == 0 ? 0 : ldexpf(roundf(ldexpf(x, 8 - exponent)), exponent - 8);
}

// The same towards zero.
static float below(float x)
{
    int exponent;
    (void)frexpf(x, &exponent);
    return x == 0 ? 0 : ldexpf(truncf(ldexpf(x, 8 - exponent)), exponent - 8);
}

typedef struct parts {
    float part[3];
} parts;

// One part is all of a BF16 number; else the first is the nearest and the others are cut.
static parts parts_of(float x, int count)
{
    parts out = { { 0 } };
    for (int p = 0; p < count; p++) {
        out.part[p] = p == 0 && count > 1 ? nearest(x) : below(x);
        x -= out.part[p];
    }
    assert_true(x == 0);
    return out;
}

// Two columns of numbers in parts, `step` from one to the next.
typedef struct line {
    const parts *of;
    int64_t step;
} line;

// What one instruction adds: 32 products in two chains, even and odd places, which are numbers 16 apart.
static float tile_sum(line a, int p, line b, int q)
{
    float low = 0, high = 0;
    for (int64_t k = 0; k < SIDE; k++) {
        low = fmaf(a.of[k * a.step].part[p], b.of[k * b.step].part[q], low);
        high = fmaf(a.of[(k + SIDE) * a.step].part[p], b.of[(k + SIDE) * b.step].part[q], high);
    }
    return low + high;
}

// The terms in their order: which part of the matrix meets which of the other side, and which of two sums takes it up.
typedef struct term {
    int matrix, other, sum;
} term;
static const term WIDE[] = { { 0, 2, 0 }, { 0, 1, 0 }, { 1, 1, 0 },
                             { 1, 0, 0 }, { 2, 0, 0 }, { 0, 0, 0 } };
static const term NARROW[] = { { 0, 2, 0 }, { 0, 1, 1 }, { 1, 1, 0 },
                               { 0, 0, 1 }, { 1, 0, 0 }, { 2, 0, 1 } };

static void add_terms(float sum[2], const term *terms, line matrix, line other, int count)
{
    for (int t = 0; t < 6; t++)
        if (terms[t].matrix < count)
            sum[terms[t].sum] += tile_sum(matrix, terms[t].matrix, other, terms[t].other);
}

// A case: a [rows,cols] in `count` parts and x [cols,width], zeros beyond.
typedef struct product {
    int64_t rows, cols, width;
    int count;
    float scale;
    float a[(MOST_ROWS + ROWS) * MOST_COLS * 2], x[2 * MOST_COLS * MOST_WIDTH];
    parts split_a[(MOST_ROWS + ROWS) * MOST_COLS * 2], split_x[2 * MOST_COLS * MOST_WIDTH];
    parts split_y[ROWS * MOST_WIDTH];
    float z[2 * MOST_COLS * MOST_WIDTH], z_amx[2 * MOST_COLS * MOST_WIDTH];
} product;

// z [cols,width] = scale a^T (a x), a panel after another.
static void twin(product *c)
{
    const int64_t cols = ecki_tiled_columns(c->cols), width = c->width;
    const int64_t wide = width / (2 * SIDE) * 2 * SIDE;
    memset(c->z, 0, sizeof c->z);
    for (int64_t row = 0; row < c->rows; row += ROWS) {
        const parts *const a = c->split_a + row * cols;
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t v = 0; v < width; v++) {
                float sum[2] = { 0, 0 };
                for (int64_t j = 0; j < cols; j += 2 * SIDE)
                    add_terms(sum, v < wide ? WIDE : NARROW, (line){ a + i * cols + j, 1 },
                              (line){ c->split_x + j * width + v, width }, c->count);
                c->split_y[i * width + v] = parts_of((sum[0] + sum[1]) * c->scale, 3);
            }
        for (int64_t j = 0; j < cols; j++)
            for (int64_t v = 0; v < width; v++) {
                float sum[2] = { c->z[j * width + v], 0 };
                add_terms(sum, WIDE, (line){ a + j, cols }, (line){ c->split_y + v, width },
                          c->count);
                c->z[j * width + v] = sum[0];
            }
    }
}

static void fill(product *c, const sample *a)
{
    const int64_t cols = ecki_tiled_columns(c->cols);
    memset(c->split_a, 0, sizeof c->split_a);
    memset(c->split_x, 0, sizeof c->split_x);
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->cols; j++) {
            c->a[i * cols + j] = (float)a->wide[i * c->cols + j];
            c->split_a[i * cols + j] = parts_of(c->a[i * cols + j], c->count);
        }
    for (int64_t i = 0; i < c->cols * c->width; i++) {
        c->x[i] = (float)ecki_random_normal(8, 9, (uint64_t)i);
        c->split_x[i] = parts_of(c->x[i], 3);
    }
}

// A product of parts is off by 2^-23, three parts by three; sums add (cols + rows) / 32 tiles of six terms and 17 within one.
static void expect_near(const product *c)
{
    const int64_t cols = ecki_tiled_columns(c->cols), width = c->width;
    const long double roundings = 2 * (2 + 18) + 6 * (c->cols / 32 + c->rows / 32 + 2) + 2;
    for (int64_t v = 0; v < width; v += 7)
        for (int64_t j = 0; j < c->cols; j++) {
            long double want = 0, size = 0;
            for (int64_t i = 0; i < c->rows; i++) {
                long double inner = 0, absolute = 0;
                for (int64_t l = 0; l < c->cols; l++) {
                    const long double one =
                        (long double)c->a[i * cols + l] * c->x[l * width + v] * c->scale;
                    inner += one;
                    absolute += fabsl(one);
                }
                want += inner * c->a[i * cols + j];
                size += absolute * fabsl((long double)c->a[i * cols + j]);
            }
            assert_true(fabsl(c->z[j * width + v] - want) <= roundings * 0x1p-24L * size);
        }
}

static void run_amx(product *c, const sample *a)
{
#if defined(__x86_64__)
    const int64_t cols = ecki_tiled_columns(c->cols), width = c->width;
    const int64_t lines = cols * width + ROWS * (cols + 3 * width);
    uint32_t *const x = test_malloc((size_t)(cols * width * 2) * sizeof *x);
    float *const room = test_malloc((size_t)(lines + SIDE) * sizeof *room);
    float *const z = room + (SIDE - (int64_t)((uintptr_t)room / sizeof *room % SIDE));
    uint32_t *const laid = x + (SIDE - (int64_t)((uintptr_t)x / sizeof *x % SIDE));
    memset(room, 0xff, (size_t)lines * sizeof *room); // NaN, wherever it would be read
    const ecki_fused_group group = { .rows = { a->array->data, a->array->dtype, c->cols, c->rows,
                                               c->cols },
                                     .width = width,
                                     .scale = c->scale,
                                     .x = laid,
                                     .z = z,
                                     .room = z + cols * width };
    ecki_fused_lay_amx(c->x, c->cols, width, laid);
    ecki_fused_group_amx(&group);
    ecki_fused_collect_amx(z, c->cols, width, c->z_amx);
    test_free(room);
    test_free(x);
#else
    (void)a;
    (void)c;
#endif
}

static void same_bits(void **state)
{
    (void)state;
    const struct {
        int64_t rows, cols, width;
    } shapes[] = { { 1, 1, 16 },    { 31, 33, 32 },  { 32, 64, 48 },
                   { 70, 130, 80 }, { 64, 128, 16 }, { 33, 200, 64 } };
    const eck_dtype types[] = { ECK_DTYPE_BF16, ECK_DTYPE_F16, ECK_DTYPE_F32 };
    const bool amx = ecki_cpu_features().amx;
    product *const c = test_calloc(1, sizeof *c);
    for (int s = 0; s < 6; s++)
        for (int t = 0; t < 3; t++) {
            c->rows = shapes[s].rows;
            c->cols = shapes[s].cols;
            c->width = shapes[s].width;
            c->count = t + 1;
            c->scale = s % 2 ? 0.25F : 1.0F;
            sample a = sample_create(c->rows, c->cols, types[t], 1.0, (uint64_t)(s * 3 + t));
            fill(c, &a);
            twin(c);
            expect_near(c);
            if (amx) {
                run_amx(c, &a);
                assert_memory_equal(c->z, c->z_amx, (size_t)(c->cols * c->width) * sizeof *c->z);
            }
            sample_free(&a);
        }
    test_free(c);
    if (!amx) printf("no matrix unit here: the twin alone was held against long double\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_bits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
