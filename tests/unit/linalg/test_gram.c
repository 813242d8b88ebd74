// gram.c and the builds of gram_tmpl.c (gram_avx512.c, gram_avx2.c, gram_portable.c): every build, every way of packing and
// every number of threads gives the bits of a loop written out; without kernels BLAS comes within its bound; the other
// triangle stays. With an argument N the fast build is timed where it was checked, beside the BLAS: 128 lines of N.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"
#include "linalg/gram.h"
#include "tensor/codec.h"

static int64_t timed; // order of the timing, 0: none

// Builds this processor can run, ended by NULL.
static void builds_here(const ecki_gram_kernels *out[4])
{
    ecki_cpu cpu = ecki_cpu_features();
    int count = 0;
    if (cpu.avx512) out[count++] = ecki_gram_kernels_of(&cpu);
    cpu.avx512 = false;
    if (cpu.avx2) out[count++] = ecki_gram_kernels_of(&cpu);
    out[count++] = &ecki_gram_portable;
    out[count] = NULL;
}

static void choice(void **state)
{
    (void)state;
    ecki_cpu cpu = { .avx2 = true, .avx512 = true, .avx512_bf16 = true };
#if defined(__x86_64__)
    assert_string_equal(ecki_gram_kernels_of(&cpu)->name, "avx512");
    cpu.avx512 = false;
    assert_string_equal(ecki_gram_kernels_of(&cpu)->name, "avx2");
#endif
    cpu = (ecki_cpu){ .neon = true };
    assert_string_equal(ecki_gram_kernels_of(&cpu)->name, "portable");
    cpu.neon = false;
    assert_null(ecki_gram_kernels_of(&cpu));
}

// out += P^T P as the header says: chains of fused multiplications over 128 lines, added in their order.
static void written_out(double *out, int64_t ld, const double *p, int64_t lines, int64_t order)
{
    for (int64_t line = 0; line < lines; line += ECKI_GRAM_DEPTH)
        for (int64_t i = 0; i < order; i++)
            for (int64_t j = 0; j <= i; j++) {
                double sum = 0.0;
                for (int64_t l = line; l < lines && l < line + ECKI_GRAM_DEPTH; l++)
                    sum = fma(p[l * order + i], p[l * order + j], sum);
                out[i * ld + j] += sum;
            }
}

// Packs p [lines,order] in blocks of odd sizes: by lines, or by columns from its transpose.
static void pack_all(ecki_gram_panel *panel, const double *p, int64_t lines, bool turned)
{
    const int64_t order = panel->order, tall = turned ? ecki_gram_columns(panel, 30) : order;
    double *const other = test_malloc((size_t)(lines * order) * sizeof *other);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < order; j++)
            other[j * lines + i] = p[i * order + j];
    for (int64_t j = 0; turned && j < order; j += tall) {
        const int64_t count = tall < order - j ? tall : order - j;
        const ecki_matrix block = { other + j * lines, lines, count, lines, true };
        ecki_gram_pack(panel, 0, j, block);
    }
    for (int64_t i = 0; !turned && i < lines; i += 19) {
        const int64_t count = lines - i < 19 ? lines - i : 19;
        ecki_gram_pack(panel, i, 0, ecki_matrix_of(p + i * order, count, order));
    }
    test_free(other);
}

enum { LD_MORE = 3 };
static const double UNTOUCHED = -7.5;

// Two panels one after the other, the second a part of what there is room for.
static void expect_gram(const ecki_gram_kernels *kernels, int64_t order, int64_t lines, bool turned,
                        int32_t threads)
{
    const int64_t ld = order + LD_MORE, some = (lines + 1) / 2;
    const size_t bytes = (size_t)(order * ld) * sizeof(double);
    double *const p = test_malloc((size_t)(lines * order) * sizeof *p);
    double *const out = test_malloc(bytes), *const want = test_malloc(bytes);
    ecki_gram_panel panel = { 0 };
    eck_error err = ECK_ERROR_INIT;
    ecki_random_fill_normal(p, lines * order, 11, (uint64_t)order, 0);
    for (int64_t i = 0; i < order * ld; i++) {
        const bool lower = i % ld <= i / ld;
        out[i] = lower ? NAN : UNTOUCHED; // what was there does not count
        want[i] = lower ? 0.0 : UNTOUCHED;
    }
    expect_ok(ecki_gram_panel_init(&panel, kernels, order, lines, &err), &err);
    const eck_panel to = { out, ECK_DTYPE_F64, order, order, ld };
    pack_all(&panel, p, lines, turned);
    expect_ok(ecki_gram_add(true, to, &panel, lines, threads, &err), &err);
    pack_all(&panel, p, some, turned);
    expect_ok(ecki_gram_add(false, to, &panel, some, threads, &err), &err);
    written_out(want, ld, p, lines, order);
    written_out(want, ld, p, some, order);
    if (kernels) assert_memory_equal(out, want, bytes);
    for (int64_t i = 0; i < order; i++)
        for (int64_t j = 0; j < ld; j++)
            if (j > i)
                assert_true(out[i * ld + j] == UNTOUCHED);
            else // |x| is below 6 for so few normal numbers
                assert_true(fabs(out[i * ld + j] - want[i * ld + j]) <=
                            2.0 * (double)(lines * lines) * 36.0 * 0x1p-53);
    ecki_gram_panel_clear(&panel);
    test_free(want);
    test_free(out);
    test_free(p);
}

static void products(void **state)
{
    (void)state;
    const int64_t sizes[][2] = { { 1, 1 },    { 7, 5 },     { 8, 128 },   { 24, 129 }, { 25, 40 },
                                 { 47, 300 }, { 120, 256 }, { 205, 140 }, { 720, 9 } };
    const ecki_gram_kernels *builds[4];
    builds_here(builds);
    for (int s = 0; s < 9; s++)
        for (int turned = 0; turned < 2; turned++) {
            for (int b = 0; builds[b]; b++)
                expect_gram(builds[b], sizes[s][0], sizes[s][1], turned, 1 + s % 3);
            expect_gram(NULL, sizes[s][0], sizes[s][1], turned, 1);
        }
}

static void memory(void **state)
{
    (void)state;
    const int64_t sizes[][2] = { { 1, 1 }, { 23, 127 }, { 24, 128 }, { 25, 129 }, { 4096, 512 } };
    const ecki_gram_kernels *builds[4];
    builds_here(builds);
    for (int s = 0; s < 5; s++)
        for (int b = 0; builds[b]; b++) {
            ecki_gram_panel panel = { 0 };
            const int64_t order = sizes[s][0], lines = sizes[s][1];
            assert_int_equal(ecki_gram_panel_init(&panel, builds[b], order, lines, NULL), ECK_OK);
            assert_true((double)(panel.strips * panel.strip * panel.lines) <=
                        ecki_gram_panel_numbers((double)order, (double)lines));
            assert_true(panel.lines >= lines && panel.strips * panel.strip >= order);
            ecki_gram_panel_clear(&panel);
        }
    ecki_gram_panel panel = { 0 };
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_gram_panel_init(&panel, builds[0], INT64_MAX / 4, 512, &err),
                     ECK_E_NOMEM);
    assert_null(panel.data);
}

// GFLOP/s at this order, for whoever asks.
static void timing(void **state)
{
    (void)state;
    const int64_t lines = 512;
    double *const p = test_calloc((size_t)(lines * timed), sizeof *p);
    double *const out = test_calloc((size_t)(timed * timed), sizeof *out);
    const eck_panel to = ecki_panel(out, ECK_DTYPE_F64, timed, timed);
    ecki_random_fill_normal(p, lines * timed, 1, 2, 3);
    double ours = INFINITY, blas = INFINITY;
    const int runs = (int)(2e9 / (double)(timed * timed * lines)) + 5;
    ecki_gram_panel panel = { 0 };
    assert_int_equal(ecki_gram_panel_init(&panel, ecki_gram_kernels_here(), timed, lines, NULL),
                     ECK_OK);
    for (int run = 0; run < runs; run++) {
        double start = ecki_clock();
        ecki_gram_pack(&panel, 0, 0, ecki_matrix_of(p, lines, timed));
        assert_int_equal(ecki_gram_add(false, to, &panel, lines, 1, NULL), ECK_OK);
        ours = fmin(ours, ecki_clock() - start);
        start = ecki_clock();
        const int32_t saved = ecki_blas_enter(1);
        assert_int_equal(
            ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(p, lines, timed)), 1.0, to, NULL),
            ECK_OK);
        ecki_blas_leave(saved);
        blas = fmin(blas, ecki_clock() - start);
    }
    const double flops = 1e-9 * (double)(timed * timed * lines);
    printf("  order %d, one thread: %.1f GFLOP/s, packing counted; dsyrk %.1f GFLOP/s\n",
           (int)timed, flops / ours, flops / blas);
    ecki_gram_panel_clear(&panel);
    test_free(out);
    test_free(p);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(choice), cmocka_unit_test(products),
                                        cmocka_unit_test(memory) };
    const struct CMUnitTest timings[] = { cmocka_unit_test(timing) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed || count < 2) return failed;
    timed = strtoll(arguments[1], NULL, 10);
    return cmocka_run_group_tests(timings, NULL, NULL);
}
