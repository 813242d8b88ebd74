// jacobi.c and the builds of jacobi_tmpl.c (jacobi_f32_avx512.c, jacobi_f32_avx2.c, jacobi_f32_portable.c, jacobi_f64_avx512.c,
// jacobi_f64_avx2.c, jacobi_f64_portable.c), with lanes.h: every pair of columns meets once, every build gives the bytes of
// the portable one, whose answer is held against the matrix itself.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "linalg/jacobi.h"
#include "support.h"

enum { MANY = 70, SLACK = 64 };

// What one build makes of MANY matrices.
typedef struct solved {
    char *u, *s, *vt;
    bool finite;
    int64_t unconverged;
} solved;

static solved solve(const ecki_jacobi_plan *plan, const ecki_jacobi_kernel *kernel, const char *a,
                    int64_t bytes)
{
    const int64_t m = plan->rows, n = plan->cols, k = plan->kept;
    const int64_t width = ecki_jacobi_width(plan, kernel);
    solved out = { test_malloc((size_t)(MANY * m * k * bytes)),
                   test_malloc((size_t)(MANY * k * bytes)),
                   test_malloc((size_t)(MANY * k * n * bytes)), true, 0 };
    void *const work =
        aligned_alloc(64, (size_t)((width * ecki_jacobi_work(plan) * bytes + 63) / 64 * 64));
    assert_non_null(work);
    for (int64_t at = 0; at < MANY; at += width) {
        ecki_jacobi_block block = { .count = at + width < MANY ? width : MANY - at,
                                    .a = a + at * m * n * bytes,
                                    .u = out.u + at * m * k * bytes,
                                    .s = out.s + at * k * bytes,
                                    .vt = out.vt + at * k * n * bytes,
                                    .work = work };
        if (!plan->vectors) block.u = block.vt = NULL;
        kernel->solve(plan, &block);
        out.finite &= block.finite;
        out.unconverged += block.unconverged;
    }
    free(work);
    return out;
}

static void solved_free(const solved *s)
{
    test_free(s->u);
    test_free(s->s);
    test_free(s->vt);
}

// Normal numbers of very different sizes, with twins, zeros and ties among the columns.
static char *numbers_of(int64_t m, int64_t n, bool wide)
{
    const int64_t count = MANY * m * n, bytes = wide ? 8 : 4;
    char *const out = test_calloc((size_t)(count * bytes + SLACK), 1);
    for (int64_t i = 0; i < count; i++) {
        const int64_t matrix = i / (m * n), col = i % n;
        double x = ecki_random_normal(77, 1, (uint64_t)i) * pow(2.0, -(double)(matrix % 5 * col));
        if (matrix % 7 == 3 && col == n - 1) x = 0.0;
        if (matrix % 11 == 5) x = (double)(i % 3) - 1.0;
        const float single = (float)x;
        memcpy(out + i * bytes, wide ? (const void *)&x : &single, (size_t)bytes);
    }
    return out;
}

static double number(const char *x, int64_t i, bool wide)
{
    double out;
    float single;
    if (wide)
        memcpy(&out, x + 8 * i, sizeof out);
    else
        memcpy(&single, x + 4 * i, sizeof single);
    return wide ? out : (double)single;
}

// max |A - U diag(s) V^T| over all matrices, relative to the largest value of each.
static double worst_rest(const ecki_jacobi_plan *plan, const char *a, const solved *x, bool wide)
{
    const int64_t m = plan->rows, n = plan->cols, k = plan->kept;
    double worst = 0.0;
    for (int64_t e = 0; e < MANY * m * n; e++) {
        const int64_t matrix = e / (m * n), i = e / n % m, j = e % n;
        double rest = number(a, e, wide);
        for (int64_t p = 0; p < k; p++)
            rest -= number(x->u, (matrix * m + i) * k + p, wide) *
                    number(x->s, matrix * k + p, wide) *
                    number(x->vt, (matrix * k + p) * n + j, wide);
        worst = fmax(worst, fabs(rest) / number(x->s, matrix * k, wide));
    }
    return worst;
}

static const int64_t SHAPES[][2] = { { 1, 1 },  { 2, 2 },   { 3, 3 },  { 4, 9 },
                                     { 5, 5 },  { 9, 9 },   { 16, 8 }, { 16, 17 },
                                     { 64, 9 }, { 31, 32 }, { 3, 70 } };

static void builds_give_the_same_bytes(void **state)
{
    (void)state;
    const ecki_cpu here = ecki_cpu_features(), none = { 0 };
    const ecki_cpu tried[2] = { { .avx2 = here.avx2 }, here };
    for (size_t s = 0; s < sizeof SHAPES / sizeof SHAPES[0]; s++)
        for (int wide = 0; wide < 2; wide++) {
            const int64_t m = SHAPES[s][0], n = SHAPES[s][1], k = m < n ? m : n,
                          bytes = wide ? 8 : 4;
            const eck_dtype dtype = wide ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
            char *const a = numbers_of(m, n, wide);
            ecki_jacobi_plan plan;
            ecki_jacobi_plan_of(&plan, m, n, k, true);
            const ecki_jacobi_kernel portable = ecki_jacobi_kernel_of(dtype, &none);
            assert_string_equal(portable.name, "portable");
            const solved one = solve(&plan, &portable, a, bytes);
            assert_true(one.finite);
            assert_int_equal(one.unconverged, 0);
            expect_at_most("rest", worst_rest(&plan, a, &one, wide),
                           3.0 * (double)(m > n ? m : n) * (wide ? 0x1p-52 : 0x1p-23));
            for (int i = 0; i < 2; i++) {
                const ecki_jacobi_kernel kernel = ecki_jacobi_kernel_of(dtype, &tried[i]);
                const solved two = solve(&plan, &kernel, a, bytes);
                assert_memory_equal(one.u, two.u, (size_t)(MANY * m * k * bytes));
                assert_memory_equal(one.s, two.s, (size_t)(MANY * k * bytes));
                assert_memory_equal(one.vt, two.vt, (size_t)(MANY * k * n * bytes));
                solved_free(&two);
            }
            solved_free(&one);
            test_free(a);
        }
}

// Values alone, and fewer terms, are those of the whole.
static void parts_of_the_whole(void **state)
{
    (void)state;
    const ecki_cpu cpu = ecki_cpu_features();
    const ecki_jacobi_kernel kernel = ecki_jacobi_kernel_of(ECK_DTYPE_F32, &cpu);
    const int64_t shapes[][2] = { { 6, 5 }, { 24, 7 }, { 7, 24 } };
    for (int t = 0; t < 3; t++) {
        const int64_t m = shapes[t][0], n = shapes[t][1], k = m < n ? m : n;
        char *const a = numbers_of(m, n, false);
        ecki_jacobi_plan whole, values, part;
        ecki_jacobi_plan_of(&whole, m, n, k, true);
        ecki_jacobi_plan_of(&values, m, n, k, false);
        ecki_jacobi_plan_of(&part, m, n, 3, true);
        const solved all = solve(&whole, &kernel, a, 4), bare = solve(&values, &kernel, a, 4);
        const solved few = solve(&part, &kernel, a, 4);
        assert_memory_equal(all.s, bare.s, (size_t)(MANY * k * 4));
        for (int64_t i = 0; i < MANY; i++) {
            assert_memory_equal(all.s + i * k * 4, few.s + i * 12, 12);
            assert_memory_equal(all.vt + i * k * n * 4, few.vt + i * 3 * n * 4,
                                (size_t)(3 * n * 4));
            for (int64_t row = 0; row < m; row++)
                assert_memory_equal(all.u + (i * m + row) * k * 4, few.u + (i * m + row) * 12, 12);
        }
        solved_free(&few);
        solved_free(&bare);
        solved_free(&all);
        test_free(a);
    }
}

static void every_pair_once(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= ECKI_JACOBI_ORDER; n++) {
        bool met[ECKI_JACOBI_ORDER][ECKI_JACOBI_ORDER] = { { false } };
        ecki_jacobi_plan plan;
        ecki_jacobi_plan_of(&plan, n + 1, n, n, true);
        assert_int_equal(plan.pairs, n * (n - 1) / 2);
        for (int64_t i = 0; i < plan.pairs; i++) {
            assert_true(plan.first[i] < plan.second[i] && plan.second[i] < n);
            assert_false(met[plan.first[i]][plan.second[i]]);
            met[plan.first[i]][plan.second[i]] = true;
        }
        for (int64_t i = 0; i < plan.pairs; i += plan.together[i]) {
            bool taken[ECKI_JACOBI_ORDER] = { false };
            assert_in_range(plan.together[i], 1, ECKI_JACOBI_TOGETHER);
            for (int64_t k = i; k < i + plan.together[i]; k++) {
                assert_false(taken[plan.first[k]] || taken[plan.second[k]]);
                taken[plan.first[k]] = taken[plan.second[k]] = true;
            }
        }
    }
}

static void shapes_that_fit(void **state)
{
    (void)state;
    assert_true(ecki_jacobi_fits(1, 1) && ecki_jacobi_fits(1024, 32) && ecki_jacobi_fits(32, 1024));
    assert_false(ecki_jacobi_fits(33, 33) || ecki_jacobi_fits(1025, 2) || ecki_jacobi_fits(0, 3));
}

static void not_finite_is_said(void **state)
{
    (void)state;
    const double bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    const ecki_cpu cpu = ecki_cpu_features();
    for (int i = 0; i < 8; i++) {
        const bool wide = i >= 4;
        char *const a = numbers_of(3, 4, wide);
        const float single = (float)bad[i % 4];
        ecki_jacobi_plan plan;
        ecki_jacobi_plan_of(&plan, 3, 4, 3, true);
        const ecki_jacobi_kernel kernel =
            ecki_jacobi_kernel_of(wide ? ECK_DTYPE_F64 : ECK_DTYPE_F32, &cpu);
        memcpy(a + (MANY * 12 - 1) * (wide ? 8 : 4), wide ? (const void *)&bad[i % 4] : &single,
               wide ? 8 : 4);
        const solved x = solve(&plan, &kernel, a, wide ? 8 : 4);
        assert_false(x.finite);
        solved_free(&x);
        test_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(builds_give_the_same_bytes),
                                        cmocka_unit_test(parts_of_the_whole),
                                        cmocka_unit_test(every_pair_once),
                                        cmocka_unit_test(shapes_that_fit),
                                        cmocka_unit_test(not_finite_is_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
