// fused.c and the builds of fused_tmpl.c (fused_f32_avx512.c, fused_f32_avx2.c, fused_f32_portable.c, fused_f64_avx512.c,
// fused_f64_avx2.c, fused_f64_portable.c): every build gives the bits of the scalar twin, and the twin what long double
// gives; any shape, storage and layout; the same bits for every number of threads. With an argument N the fast one is timed
// where it was checked: N rows and columns.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"
#include "linalg/fused.h"
#include "tensor/codec.h"

static int64_t timed; // rows and columns of the timing, 0: none

// Builds this processor can run, ended by NULL; the twin is the last.
static void builds_here(const ecki_fused_kernels *out[4])
{
    static const ecki_fused_kernels twin = { .name = "portable",
                                             .pack = ecki_fused_pack_f32_portable,
                                             .inner = ecki_fused_inner_f32_portable,
                                             .outer = ecki_fused_outer_f32_portable,
                                             .pack_f64 = ecki_fused_pack_f64_portable,
                                             .inner_f64 = ecki_fused_inner_f64_portable };
    ecki_cpu cpu = ecki_cpu_features();
    int count = 0;
    cpu.amx = false; // whose sums run in another order: test_fused_amx.c
    if (cpu.avx512) out[count++] = ecki_fused_kernels_of(&cpu);
    cpu.avx512 = false;
    if (cpu.avx2) out[count++] = ecki_fused_kernels_of(&cpu);
    out[count++] = &twin;
    out[count] = NULL;
}

enum { ROWS = 29, COLS = 70, PADDED_ROWS = 36, PADDED_COLS = 80 };

// What one build makes of a matrix of `dtype`: packed, y = a x, z = a^T y, and y in F64.
typedef struct results {
    float packed[PADDED_ROWS * PADDED_COLS], y[PADDED_ROWS * 112], z[PADDED_COLS * 112];
    double wide[PADDED_ROWS * 256], wide_y[PADDED_ROWS * 112];
} results;

static void run_build(results *out, const ecki_fused_kernels *k, const sample *a, int64_t width,
                      const float *x)
{
    double wide_x[COLS * 112];
    const ecki_fused_rows from = { a->array->data, a->array->dtype, COLS, ROWS, COLS };
    memset(out, 0, sizeof *out);
    const ecki_fused_tile tile = {
        .packed = out->packed, .rows = PADDED_ROWS, .cols = COLS, .width = width
    };
    const ecki_fused_tile wide = {
        .packed = out->wide, .rows = PADDED_ROWS, .cols = COLS, .width = width
    };
    for (int64_t i = 0; i < COLS * width; i++)
        wide_x[i] = (double)x[i];
    k->pack(&from, PADDED_ROWS, out->packed);
    k->inner(&tile, x, out->y);
    k->outer(&tile, out->y, out->z);
    k->pack_f64(&from, PADDED_ROWS, out->wide);
    k->inner_f64(&wide, wide_x, out->wide_y);
}

static void builds_agree(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16 };
    const int64_t widths[] = { 16, 32, 48, 64, 112 };
    const ecki_fused_kernels *builds[4];
    results *const twin = test_malloc(sizeof *twin), *const fast = test_malloc(sizeof *fast);
    float x[COLS * 112];
    builds_here(builds);
    for (int64_t i = 0; i < COLS * 112; i++)
        x[i] = (float)ecki_random_normal(3, 4, (uint64_t)i);
    for (int t = 0; t < 3; t++)
        for (int w = 0; w < 5; w++) {
            sample a = sample_create(ROWS, COLS, types[t], 1.0, (uint64_t)t);
            int last = 0;
            while (builds[last + 1])
                last++;
            run_build(twin, builds[last], &a, widths[w], x);
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t c = 0; c < widths[w]; c++) {
                    long double sum = 0.0L, size = 0.0L;
                    for (int64_t j = 0; j < COLS; j++) {
                        sum += (long double)a.wide[r * COLS + j] * x[j * widths[w] + c];
                        size += fabsl((long double)a.wide[r * COLS + j] * x[j * widths[w] + c]);
                    }
                    assert_true(fabsl(twin->y[r * widths[w] + c] - sum) <= COLS * 0x1p-24L * size);
                    assert_true(fabsl(twin->wide_y[r * widths[w] + c] - sum) <=
                                COLS * 0x1p-53L * size);
                }
            for (int b = 0; b < last; b++) {
                run_build(fast, builds[b], &a, widths[w], x);
                assert_memory_equal(twin, fast, sizeof *twin);
            }
            sample_free(&a);
        }
    test_free(fast);
    test_free(twin);
}

// Both products against long double, rows or columns side by side, threads 1 to 3; the views that are not taken.
static void expect_products(const ecki_fused_kernels *kernels, const sample *a, eck_view view,
                            int64_t width)
{
    const int64_t m = view.shape[0], n = view.shape[1], count = n * width;
    float *const x = test_malloc((size_t)count * sizeof *x), *const out = test_malloc(
                                                                 (size_t)count * sizeof *out);
    float *const first = test_malloc((size_t)count * sizeof *first);
    double *const wide_x = test_malloc((size_t)count * sizeof *wide_x), *const wide = test_malloc(
                                                                            (size_t)(m * width) *
                                                                            sizeof *wide);
    const eck_panel panels[2] = { ecki_panel(x, ECK_DTYPE_F32, n, width),
                                  ecki_panel(out, ECK_DTYPE_F32, n, width) };
    const eck_panel wides[2] = { ecki_panel(wide_x, ECK_DTYPE_F64, n, width - 3),
                                 ecki_panel(wide, ECK_DTYPE_F64, m, width - 3) };
    const bool turned = view.shape[0] != a->rows || view.stride[0] != a->cols;
    eck_error err = ECK_ERROR_INIT;
    ecki_room room = { NULL, 0 }; // the same for all three
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(wide_x[i] = (double)(float)ecki_random_normal(6, 4, (uint64_t)i));
    assert_true(ecki_fused_takes(&view, ECK_SIDE_RIGHT, 0.5, panels) &&
                ecki_fused_takes_apply(&view, false));
    for (int32_t threads = 1; threads <= 3; threads++) {
        eck_context context = ECK_CONTEXT_INIT;
        const ecki_fused_matrix half = { &view, 0.5, kernels };
        context.threads = threads;
        expect_ok(ecki_fused_normal(&half, panels, &context, &room, &err), &err);
        if (threads == 1) memcpy(first, out, (size_t)count * sizeof *out);
        assert_memory_equal(first, out, (size_t)count * sizeof *out);
    }
    ecki_room_clear(&room);
    expect_ok(ecki_fused_apply(&view, 2.0, wides, NULL, &err), &err);
    for (int64_t c = 0; c < 2; c++) { // two columns tell
        long double *const want = test_calloc((size_t)n, sizeof *want), *const size = test_calloc(
                                                                            (size_t)n,
                                                                            sizeof *size);
        for (int64_t i = 0; i < m; i++) {
            long double inner = 0.0L, absolute = 0.0L, other = 0.0L, other_size = 0.0L;
            for (int64_t j = 0; j < n; j++) {
                const long double number = a->wide[turned ? j * a->cols + i : i * a->cols + j];
                inner += number * x[j * width + c];
                absolute += fabsl(number * x[j * width + c]);
                other += 2.0L * number * wide_x[j * (width - 3) + c];
                other_size += fabsl(2.0L * number * wide_x[j * (width - 3) + c]);
            }
            assert_true(fabsl(wide[i * (width - 3) + c] - other) <=
                        (n + 2) * 0x1p-53L * other_size);
            for (int64_t j = 0; j < n; j++) {
                const long double number = a->wide[turned ? j * a->cols + i : i * a->cols + j];
                want[j] += 0.25L * number * inner;
                size[j] += 0.25L * fabsl(number) * absolute;
            }
        }
        for (int64_t j = 0; j < n; j++)
            assert_true(fabsl(out[j * width + c] - want[j]) <= (m + n + 8) * 0x1p-24L * size[j]);
        test_free(size);
        test_free(want);
    }
    test_free(wide);
    test_free(wide_x);
    test_free(first);
    test_free(out);
    test_free(x);
}

static void products(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 1, 1 }, { 100, 37 }, { 130, 600 }, { 5, 1100 }, { 260, 16 } };
    const ecki_fused_kernels *builds[4];
    builds_here(builds);
    for (int i = 0; i < 5; i++)
        for (int t = 0; t < 3; t++) {
            const eck_dtype dtype = t == 0   ? ECK_DTYPE_F32
                                    : t == 1 ? ECK_DTYPE_BF16
                                             : ECK_DTYPE_F16;
            sample a = sample_create(shapes[i][0], shapes[i][1], dtype, 1.0, (uint64_t)i);
            const eck_view view = eck_array_view(a.array);
            expect_products(NULL, &a, view, t == 0 ? 32 : 16); // those of this processor
            for (int b = 0; builds[b]; b++) // and those it would have without a matrix unit
                expect_products(builds[b], &a, view, t == 0 ? 32 : 16);
            if (i > 0 && i < 4) {
                // The transpose of the transpose's numbers: columns side by side, of the other side.
                const eck_view turned = eck_view_transposed(view);
                eck_panel none[2] = { ecki_panel(NULL, ECK_DTYPE_F32, 0, 16),
                                      ecki_panel(NULL, ECK_DTYPE_F32, 0, 16) };
                assert_false(ecki_fused_takes(&turned, ECK_SIDE_RIGHT, 1.0, none));
                assert_true(ecki_fused_takes(&turned, ECK_SIDE_LEFT, 1.0, none));
                assert_false(ecki_fused_takes(&view, ECK_SIDE_RIGHT, 0x1p60, none));
                none[0].cols = 20;
                assert_false(ecki_fused_takes(&view, ECK_SIDE_RIGHT, 1.0, none));
                assert_true(ecki_fused_takes_apply(&turned, true) &&
                            !ecki_fused_takes_apply(&turned, false));
            }
            sample_free(&a);
        }
}

// GFLOP/s of the fused product at this size, for whoever asks.
static void timing(void **state)
{
    (void)state;
    for (int64_t width = 16; timed > 0 && width <= 64; width *= 2) {
        sample a = sample_create(timed, timed, ECK_DTYPE_F32, 1.0, 1);
        const eck_view view = eck_array_view(a.array);
        float *const x = test_calloc((size_t)(timed * width), sizeof *x), *const out = test_calloc(
                                                                              (size_t)(timed *
                                                                                       width),
                                                                              sizeof *out);
        const eck_panel panels[2] = { ecki_panel(x, ECK_DTYPE_F32, timed, width),
                                      ecki_panel(out, ECK_DTYPE_F32, timed, width) };
        double best = INFINITY;
        ecki_room room = { NULL, 0 };
        for (int run = 0; run < 9; run++) {
            const double start = ecki_clock();
            assert_int_equal(ecki_fused_normal(&(ecki_fused_matrix){ &view, 1.0, NULL }, panels,
                                               NULL, &room, NULL),
                             ECK_OK);
            best = fmin(best, ecki_clock() - start);
        }
        ecki_room_clear(&room);
        printf("  width %d: %.1f ms, %.0f GFLOP/s\n", (int)width, best * 1e3,
               4e-9 * (double)(timed * timed * width) / best);
        test_free(out);
        test_free(x);
        sample_free(&a);
    }
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(builds_agree),
                                        cmocka_unit_test(products) };
    const struct CMUnitTest timings[] = { cmocka_unit_test(timing) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed || count < 2) return failed;
    timed = strtoll(arguments[1], NULL, 10);
    return cmocka_run_group_tests(timings, NULL, NULL);
}
