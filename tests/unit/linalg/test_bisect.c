// bisect.c: values within what the header promises, by counts in long double, of matrices that fall into parts, graded ones, of
// one row, of huge and tiny numbers; any places give what all give; threads change no bit; values in closed form.
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "linalg/bisect.h"

enum { ROOM = 700 };

typedef struct matrix {
    double diagonal[ROOM], off_diagonal[ROOM];
    ecki_tridiagonal t;
    double largest; // sum of absolute values of a row
} matrix;

static void make(matrix *m, int64_t n, int kind, double scale)
{
    m->t = (ecki_tridiagonal){ n, m->diagonal, m->off_diagonal, NULL };
    for (int64_t i = 0; i < n; i++) {
        const double d = ecki_random_normal(3, (uint64_t)kind, (uint64_t)(2 * i));
        const double e = ecki_random_normal(3, (uint64_t)kind, (uint64_t)(2 * i + 1));
        const double grade = kind == 1 ? pow(2.0, -0.2 * (double)i) : 1.0;
        m->diagonal[i] = scale * (kind == 3 ? 0.0 : d * grade);
        m->off_diagonal[i] = scale * e * grade;
        if (kind == 2 && i % 5 != 1) m->off_diagonal[i] = 0.0; // parts of one and two rows
        if (kind == 4 && i % 7 == 0) m->off_diagonal[i] *= 0x1p-60;
    }
    m->largest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double before = i > 0 ? fabs(m->off_diagonal[i - 1]) : 0.0;
        const double after = i + 1 < n ? fabs(m->off_diagonal[i]) : 0.0;
        m->largest = fmax(m->largest, before + fabs(m->diagonal[i]) + after);
    }
}

// Values of T below x, by the quotients of its minors in long double.
static int64_t below(const matrix *m, long double x)
{
    int64_t count = 0;
    long double quotient = 1.0L;
    for (int64_t i = 0; i < m->t.n; i++) {
        const long double e = i > 0 ? m->off_diagonal[i - 1] : 0.0;
        quotient = (long double)m->diagonal[i] - x - e / quotient * e;
        if (quotient == 0.0L) quotient = (long double)m->largest * 0x1p-80L;
        count += quotient < 0.0L;
    }
    return count;
}

static void within_the_bound(void **state)
{
    (void)state;
    const int64_t orders[] = { 1, 2, 3, 4, 5, 31, 32, 33, 64, 100, 321, 700 };
    const double scales[] = { 1.0, 0x1p-900, 0x1p900, 0x1p-1040 };
    matrix *const m = test_malloc(sizeof *m);
    double *const ours = test_malloc(ROOM * sizeof *ours);
    for (int o = 0; o < 12; o++)
        for (int kind = 0; kind < 5; kind++)
            for (int s = 0; s < 4; s++) {
                const int64_t n = orders[o];
                make(m, n, kind, scales[s]);
                assert_int_equal(ecki_bisect(ours, &m->t, (ecki_places){ 0, n }, 2, NULL), ECK_OK);
                // 8 u g, and numbers below the normal range have no more digits than 2^-1074
                const long double bound =
                    8.0L * 0x1p-53L * (long double)m->largest + 2.0L * 0x1p-1074L;
                for (int64_t i = 0; i < n; i++) {
                    assert_true(below(m, (long double)ours[i] - bound) <= n - 1 - i);
                    assert_true(below(m, (long double)ours[i] + bound) > n - 1 - i);
                    assert_true(i == 0 || ours[i] <= ours[i - 1]);
                }
            }
    test_free(ours);
    test_free(m);
}

// -1 2 -1: 2 - 2 cos(pi j / (n+1)); and the parts of a matrix with rows of zeros give exact zeros.
static void closed_form(void **state)
{
    (void)state;
    enum { N = 500 };
    const double pi = 3.14159265358979323846;
    matrix *const m = test_malloc(sizeof *m);
    double *const ours = test_malloc(N * sizeof *ours);
    m->t = (ecki_tridiagonal){ N, m->diagonal, m->off_diagonal, NULL };
    for (int i = 0; i < N; i++) {
        m->diagonal[i] = 2.0;
        m->off_diagonal[i] = -1.0;
    }
    assert_int_equal(ecki_bisect(ours, &m->t, (ecki_places){ 0, N }, 1, NULL), ECK_OK);
    for (int i = 0; i < N; i++) // g = 4, and as much again for the cosine
        assert_true(fabs(ours[i] - (2.0 - 2.0 * cos(pi * (N - i) / (N + 1)))) <=
                    2 * 8 * 4 * 0x1p-53);
    memset(m->diagonal, 0, sizeof m->diagonal);
    memset(m->off_diagonal, 0, sizeof m->off_diagonal);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ecki_bisect(ours, &m->t, (ecki_places){ 0, N }, 1, NULL), ECK_OK);
        for (int j = 0; j < N; j++)
            assert_true(fabs(ours[j] - (j < i ? 1.0 : 0.0)) <= (j < i ? 0x1p-50 : 0.0));
        m->diagonal[100 * i] = 1.0;
    }
    test_free(ours);
    test_free(m);
}

static void places_and_threads(void **state)
{
    (void)state;
    enum { N = 300 };
    const ecki_places some[] = {
        { 0, 1 }, { 0, 8 }, { 5, 3 }, { 0, 33 }, { 290, 10 }, { 100, 70 }
    };
    matrix *const m = test_malloc(sizeof *m);
    double *const all = test_malloc(N * sizeof *all), *const one = test_malloc(N * sizeof *one),
                  *const part = test_malloc(N * sizeof *part);
    make(m, N, 0, 1.0);
    assert_int_equal(ecki_bisect(one, &m->t, (ecki_places){ 0, N }, 1, NULL), ECK_OK);
    for (int32_t threads = 2; threads < 5; threads++) {
        assert_int_equal(ecki_bisect(all, &m->t, (ecki_places){ 0, N }, threads, NULL), ECK_OK);
        assert_memory_equal(all, one, N * sizeof *all);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ecki_bisect(part, &m->t, some[i], 2, NULL), ECK_OK);
        for (int64_t j = 0; j < some[i].count; j++) // both are 8 u g off at most
            assert_true(fabs(part[j] - all[some[i].first + j]) <= 16 * 0x1p-53 * m->largest);
    }
    assert_int_equal(ecki_bisect(part, &m->t, (ecki_places){ 0, 0 }, 2, NULL), ECK_OK);
    test_free(part);
    test_free(one);
    test_free(all);
    test_free(m);
}

static void not_finite(void **state)
{
    (void)state;
    matrix *const m = test_malloc(sizeof *m);
    double values[4];
    eck_error err = ECK_ERROR_INIT;
    make(m, 4, 0, 1.0);
    m->off_diagonal[2] = INFINITY;
    assert_int_equal(ecki_bisect(values, &m->t, (ecki_places){ 0, 4 }, 1, &err), ECK_E_SOLVER);
    assert_non_null(strstr(err.message, "row 2"));
    m->off_diagonal[2] = 0.0;
    m->diagonal[3] = NAN;
    assert_int_equal(ecki_bisect(values, &m->t, (ecki_places){ 0, 4 }, 1, &err), ECK_E_SOLVER);
    assert_non_null(strstr(err.message, "row 3"));
    test_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(within_the_bound),
                                        cmocka_unit_test(closed_form),
                                        cmocka_unit_test(places_and_threads),
                                        cmocka_unit_test(not_finite) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
