// Every build of the gather kernel this processor runs, its scalar twin among them, against sums in long double.
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "linalg/kernel_gather.h"
#include "tensor/codec.h"

enum { LINES = 61, WIDTH = 300 };

// A matrix with lines of 0, 1, 2, .. entries, and a panel.
typedef struct made {
    ecki_lines a;
    double *x;
    float *narrow;
    int64_t cols;
} made;

static made make(eck_dtype dtype, int64_t cols)
{
    made m = { { LINES, WIDTH, dtype, NULL, NULL, NULL }, NULL, NULL, cols };
    m.a.starts = test_calloc(LINES + 1, sizeof *m.a.starts);
    for (int64_t i = 0; i < LINES; i++)
        m.a.starts[i + 1] = m.a.starts[i] + i;
    const int64_t count = m.a.starts[LINES];
    m.a.indices = test_calloc((size_t)count, sizeof *m.a.indices);
    m.a.values = test_calloc((size_t)count, sizeof(double));
    for (int64_t i = 0; i < LINES; i++)
        for (int64_t e = m.a.starts[i]; e < m.a.starts[i + 1]; e++) {
            m.a.indices[e] = (int32_t)((e - m.a.starts[i]) * 4 + i % 4);
            const double value = sin(1.0 + (double)e);
            if (dtype == ECK_DTYPE_F32)
                ((float *)m.a.values)[e] = (float)value;
            else
                ((double *)m.a.values)[e] = value;
        }
    m.x = test_calloc((size_t)(WIDTH * (cols + 3)), sizeof *m.x);
    m.narrow = test_calloc((size_t)(WIDTH * (cols + 3)), sizeof *m.narrow);
    for (int64_t i = 0; i < WIDTH * (cols + 3); i++) {
        m.narrow[i] = (float)cos(0.7 * (double)i);
        m.x[i] = m.narrow[i];
    }
    return m;
}

static void made_free(made *m)
{
    test_free(m->a.starts);
    test_free(m->a.indices);
    test_free(m->a.values);
    test_free(m->x);
    test_free(m->narrow);
}

// One line: |computed - exact| <= (entries + 2) eps sum |value x| (recursive summation, the value rounded once).
static double check_line(const made *m, int64_t line, eck_dtype panel, ecki_gather gather)
{
    const bool narrow = panel == ECK_DTYPE_F32;
    const ecki_gather_line of = { &m->a, line, 0.5 };
    const eck_panel x = { narrow ? (void *)m->narrow : m->x, panel, WIDTH, m->cols, m->cols + 3 };
    double wide[64];
    float single[64];
    double worst = 0.0;
    gather(&of, x, narrow ? (void *)single : wide);
    for (int64_t j = 0; j < m->cols; j++) {
        long double exact = 0.0L, size = 0.0L;
        for (int64_t e = m->a.starts[line]; e < m->a.starts[line + 1]; e++) {
            const long double term =
                0.5L * ecki_lines_value(&m->a, e) * m->x[m->a.indices[e] * x.ld + j];
            exact += term;
            size += fabsl(term);
        }
        const double eps = narrow ? FLT_EPSILON / 2 : DBL_EPSILON / 2;
        const double allowed = (double)(line + 2) * eps * (double)size;
        const double error = fabs((double)((narrow ? (long double)single[j] : wide[j]) - exact));
        assert_true(error <= allowed);
        worst = fmax(worst, allowed > 0.0 ? error / allowed : 0.0);
    }
    return worst;
}

static void builds(void **state)
{
    (void)state;
    const ecki_cpu best = ecki_cpu_features();
    const ecki_cpu tried[3] = { { 0 }, { .avx2 = best.avx2 }, best };
    static const int64_t widths[] = { 1, 15, 16, 17, 32, 48, 61 };
    double worst = 0.0;
    for (int t = 0; t < 2; t++)
        for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
            made m = make(t ? ECK_DTYPE_F32 : ECK_DTYPE_F64, widths[w]);
            for (int c = 0; c < 3; c++) {
                const ecki_gathers g = ecki_gather_choose(&tried[c]);
                for (int64_t line = 0; line < LINES; line++) {
                    worst = fmax(worst, check_line(&m, line, ECK_DTYPE_F32, g.f32));
                    worst = fmax(worst, check_line(&m, line, ECK_DTYPE_F64, g.f64));
                }
            }
            made_free(&m);
        }
    printf("worst error of a sum: %.3g of its bound\n", worst);
}

// The fast builds are others than the twins where the processor has more.
static void choices(void **state)
{
    (void)state;
    const ecki_cpu none = { 0 }, best = ecki_cpu_features();
    const ecki_gathers twin = ecki_gather_choose(&none), fast = ecki_gather_choose(&best);
    assert_true((twin.f32 != fast.f32) == best.avx2);
    assert_true((twin.f64 != fast.f64) == best.avx2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(builds), cmocka_unit_test(choices) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
