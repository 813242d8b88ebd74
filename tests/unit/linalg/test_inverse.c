// inverse.c: vectors of values from bisect.c against the definition, of random, graded and huge matrices; what
// has values that cannot be told apart is left to others.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/bisect.h"
#include "linalg/inverse.h"

enum { ROOM = 520, MOST = 140 };

typedef struct matrix {
    double diagonal[ROOM], off_diagonal[ROOM], values[MOST], z[ROOM * MOST];
    ecki_tridiagonal t;
    double largest;
} matrix;

static matrix *make(int64_t n, int kind, double scale)
{
    matrix *const m = test_calloc(1, sizeof *m);
    m->t = (ecki_tridiagonal){ n, m->diagonal, m->off_diagonal, NULL };
    for (int64_t i = 0; i < n; i++) {
        const double grade = kind == 1 ? pow(2.0, -0.05 * (double)i) : 1.0;
        m->diagonal[i] = scale * grade * ecki_random_normal(5, 1, (uint64_t)i);
        m->off_diagonal[i] = scale * grade * (0.1 + ecki_random_uniform(5, 2, (uint64_t)i));
        if (kind == 2) { // 2 on the diagonal, -1 beside it
            m->diagonal[i] = 2.0 * scale;
            m->off_diagonal[i] = -scale;
        }
        m->largest = fmax(m->largest, fabs(m->diagonal[i]) + 2.0 * fabs(m->off_diagonal[i]));
    }
    return m;
}

// Values of these places, ascending, then their vectors.
static int64_t find(matrix *m, int64_t first, int64_t count)
{
    double falling[MOST];
    int64_t info = -1;
    assert_int_equal(ecki_bisect(falling, &m->t, (ecki_places){ first, count }, 1, NULL), ECK_OK);
    for (int64_t i = 0; i < count; i++)
        m->values[i] = falling[count - 1 - i];
    assert_int_equal(ecki_inverse_iteration(m->z, &m->t, m->values, count, &info, NULL), ECK_OK);
    return info;
}

static double entry(const matrix *m, int64_t j, int64_t i)
{
    return i < 0 || i >= m->t.n ? 0.0 : m->z[j * m->t.n + i];
}

static void check(const matrix *m, int64_t count)
{
    const int64_t n = m->t.n;
    double worst = 0.0, off = 0.0;
    for (int64_t j = 0; j < count; j++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) {
            double r = (m->diagonal[i] - m->values[j]) * entry(m, j, i);
            if (i > 0) r += m->off_diagonal[i - 1] * entry(m, j, i - 1);
            if (i + 1 < n) r += m->off_diagonal[i] * entry(m, j, i + 1);
            sum += r / m->largest * (r / m->largest);
        }
        worst = fmax(worst, sqrt(sum));
        for (int64_t l = 0; l <= j; l++) {
            double product = l == j ? -1.0 : 0.0;
            for (int64_t i = 0; i < n; i++)
                product += entry(m, j, i) * entry(m, l, i);
            off = fmax(off, fabs(product));
        }
    }
    // found to 64 u g (ENOUGH), a pass as much again by rounding; by making them orthogonal four times that (APART)
    expect_at_most("T z - lambda z", worst, 4.0 * 2.0 * 64.0 * 0x1p-53);
    // 8 sqrt(k) u as orthonormal.h promises, and n u of the sums here
    expect_at_most("z^T z - I", off, (8.0 * sqrt((double)count) + (double)n) * 0x1p-53);
}

static void against_the_definition(void **state)
{
    (void)state;
    const int64_t sizes[][3] = { { 1, 0, 1 },   { 2, 0, 2 },    { 7, 3, 4 },      { 9, 0, 9 },
                                 { 64, 0, 17 }, { 320, 0, 32 }, { 512, 100, 140 } };
    const double scales[] = { 1.0, 0x1p-700, 0x1p700 };
    for (int s = 0; s < 7; s++)
        for (int kind = 0; kind < 3; kind++)
            for (int scale = 0; scale < 3; scale++) {
                matrix *const m = make(sizes[s][0], kind, scales[scale]);
                assert_int_equal(find(m, sizes[s][1], sizes[s][2]), 0);
                check(m, sizes[s][2]);
                test_free(m);
            }
}

// Wilkinson's W+: its largest values come in pairs that agree in all digits.
static void left_to_others(void **state)
{
    (void)state;
    matrix *m = make(201, 0, 1.0);
    for (int i = 0; i < 201; i++) {
        m->diagonal[i] = fabs((double)(i - 100));
        m->off_diagonal[i] = 1.0;
    }
    assert_int_equal(find(m, 0, 4), 1);
    test_free(m);
    m = make(20, 0, 1.0);
    m->off_diagonal[9] = 0x1p-60; // two parts, of different values
    m->off_diagonal[14] = 0.0;
    assert_int_equal(find(m, 0, 20), 0);
    check(m, 20);
    memcpy(m->diagonal + 10, m->diagonal, 10 * sizeof(double)); // of the same
    memcpy(m->off_diagonal + 10, m->off_diagonal, 9 * sizeof(double));
    assert_int_equal(find(m, 0, 4), 1);
    memset(m->diagonal, 0, sizeof m->diagonal);
    memset(m->off_diagonal, 0, sizeof m->off_diagonal);
    assert_int_equal(find(m, 0, 3), 1);
    int64_t info = -1;
    assert_int_equal(ecki_inverse_iteration(m->z, &m->t, m->values, 0, &info, NULL), ECK_OK);
    assert_int_equal(info, 0);
    test_free(m);
}

// A number that is no value of T has no vector.
static void not_a_value(void **state)
{
    (void)state;
    matrix *const m = make(64, 2, 1.0);
    int64_t info = 0;
    m->values[0] = 3.9; // between two of 2 - 2 cos(pi j / 65)
    assert_int_equal(ecki_inverse_iteration(m->z, &m->t, m->values, 1, &info, NULL), ECK_OK);
    assert_int_equal(info, 1);
    m->values[0] = NAN;
    assert_int_equal(ecki_inverse_iteration(m->z, &m->t, m->values, 1, &info, NULL), ECK_OK);
    assert_int_equal(info, 1);
    test_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(against_the_definition),
                                        cmocka_unit_test(left_to_others),
                                        cmocka_unit_test(not_a_value) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
