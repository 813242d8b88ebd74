// Every build of the kernels against the definition, in long double, on whole blocks and on parts of one; what lies
// outside a block stays. Included once for each type, which defines ECK_REAL.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/chase_kernel.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

enum { B = ECKI_BAND, S = ECKI_BAND_STRIDE };

#define UNIT (ECK_REAL == 32 ? 0x1p-24 : 0x1p-53)

static void fill(real *x, int64_t count, uint64_t seed, uint64_t stream)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = (real)ecki_random_normal(seed, stream, (uint64_t)i);
}

// Builds that this processor can run, the plain one first.
static int builds(ECKI_FN(ecki_chase_kernels) * out)
{
    const ecki_cpu found = ecki_cpu_features();
    ecki_cpu use = { 0 };
    int count = 0;
    out[count++] = ECKI_FN(ecki_chase_kernels_for)(&use);
    use.avx2 = found.avx2;
    if (use.avx2) out[count++] = ECKI_FN(ecki_chase_kernels_for)(&use);
    use.avx512 = found.avx512;
    if (use.avx512) out[count++] = ECKI_FN(ecki_chase_kernels_for)(&use);
    return count;
}

static void make(ECKI_FN(ecki_reflector) * h, real *v, int64_t length, uint64_t seed)
{
    real x[B];
    fill(x, length, seed, 1);
    *h = (ECKI_FN(ecki_reflector)){ v, length, 0.0 };
    ECKI_FN(ecki_make_reflector)(h, x);
}

static long double element(const ECKI_FN(ecki_reflector) * h, int64_t i, int64_t j)
{
    return (i == j ? 1.0L : 0.0L) - (long double)h->tau * h->v[i] * h->v[j];
}

// H is orthogonal, tau v^T v = 2, and annihilates, however small the vector; or what it leaves is below any square.
static void reflectors_of_small_vectors(void **state)
{
    (void)state;
    const int lowest = ECK_REAL == 32 ? -148 : -1073;
    for (int64_t length = 2; length <= B; length += 31)
        for (int exponent = 0; exponent >= lowest; exponent--) {
            real x[B], v[B];
            ECKI_FN(ecki_reflector) h = { v, length, -7.0 };
            fill(x, length, 5, (uint64_t)-exponent);
            for (int64_t i = 0; i < length; i++)
                x[i] = (real)ldexp((double)x[i], exponent);
            const long double beta = ECKI_FN(ecki_make_reflector)(&h, x);
            long double square = 0.0L, along = 0.0L, tail = 0.0L;
            for (int64_t i = 0; i < length; i++) {
                square += (long double)v[i] * v[i];
                along += (long double)v[i] * x[i];
                tail += i > 0 ? (long double)x[i] * x[i] : 0.0L;
            }
            const long double size = sqrtl(tail + (long double)x[0] * x[0]);
            tail = sqrtl(tail);
            // below this squares count as nothing
            const long double gone = 8.0L * ldexpl(1.0L, lowest / 2 + 1);
            if (h.tau == 0) {
                assert_true(tail <= gone && beta == x[0]);
                continue;
            }
            // v and tau have a few roundings each, every one in its first power
            assert_true(fabsl(h.tau * square - 2.0L) <= 16.0L * UNIT);
            // a vector of numbers with few digits left is still turned as far as they reach
            const long double least = ldexpl(1.0L, lowest - 1);
            const long double allowed = 32.0L * UNIT * size + 2.0L * least;
            for (int64_t i = 0; i < length; i++) {
                const long double turned = x[i] - (long double)h.tau * v[i] * along;
                assert_true(fabsl(turned - (i == 0 ? beta : 0.0L)) <= allowed);
            }
        }
}

static void check_both_sides(const ECKI_FN(ecki_chase_kernels) * k, int64_t n, uint64_t seed)
{
    real d[B * S + B], v[B], before[B * S + B];
    ECKI_FN(ecki_reflector) h;
    double worst = 0.0;
    fill(d, B * S + B, seed, 2);
    memcpy(before, d, sizeof d);
    make(&h, v, n, seed);
    k->both_sides(d, &h);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++) {
            long double sum = 0.0L;
            for (int64_t p = 0; p < n; p++)
                for (int64_t q = 0; q < n; q++) {
                    const real a = p >= q ? before[q * S + p] : before[p * S + q];
                    sum += element(&h, i, p) * a * element(&h, q, j);
                }
            worst = fmax(worst, fabs((double)(sum - d[j * S + i])));
        }
    // Four sums of n products of numbers of order 1; roundings add up like the root of their number.
    expect_at_most("H D H", worst, 4.0 * sqrt((double)n + 8.0) * UNIT * 8.0);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = n; i < S; i++)
            assert_true(d[j * S + i] == before[j * S + i] || i >= S - 64 / (int64_t)sizeof(real));
}

static void check_off_diagonal(const ECKI_FN(ecki_chase_kernels) * k, int64_t rows, int64_t cols,
                               uint64_t seed)
{
    real m[B * S + B], v[B], v2[B], before[B * S + B];
    ECKI_FN(ecki_reflector) h, below = { v2, rows, -7.0 };
    double worst = 0.0;
    fill(m, B * S + B, seed, 3);
    memcpy(before, m, sizeof m);
    make(&h, v, cols, seed);
    k->off_diagonal(m, &h, &below);
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++) {
            long double sum = 0.0L;
            for (int64_t p = 0; p < rows; p++)
                for (int64_t q = 0; q < cols; q++)
                    sum += element(&below, i, p) * before[q * S + p] * element(&h, q, j);
            worst = fmax(worst, fabs((double)(sum - m[j * S + i])));
        }
    expect_at_most("H2 M H", worst, 4.0 * sqrt((double)(rows + cols) + 8.0) * UNIT * 8.0);
    for (int64_t i = 1; i < rows; i++)
        assert_true(m[i] == 0.0);
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = rows; i < S; i++)
            assert_true(m[j * S + i] == before[j * S + i]);
}

static void every_build(void **state)
{
    (void)state;
    ECKI_FN(ecki_chase_kernels) kernels[3];
    const int count = builds(kernels);
    const int64_t lengths[] = { 1, 2, 7, 63, 64 };
    for (int b = 0; b < count; b++)
        for (int i = 0; i < 5; i++) {
            check_both_sides(&kernels[b], lengths[i], (uint64_t)i);
            check_off_diagonal(&kernels[b], lengths[i], 64, (uint64_t)i);
        }
}

static void reflector(void **state)
{
    (void)state;
    real v[4];
    ECKI_FN(ecki_reflector) h = { v, 3, 0.0 };
    const real x[3] = { 2.0, -1.0, 2.0 };
    assert_true(ECKI_FN(ecki_make_reflector)(&h, x) == -3.0);
    assert_true(v[0] == 1.0 && fabs(v[1] + 0.2) < UNIT && fabs(v[2] - 0.4) < UNIT);
    assert_true(fabs(h.tau - 5.0 / 3.0) < 8.0 * UNIT);
    const real done[3] = { -2.5, 0.0, 0.0 };
    assert_true(ECKI_FN(ecki_make_reflector)(&h, done) == -2.5 && h.tau == 0.0 && v[1] == 0.0);
    const real vanishing[3] = { 1, ECK_REAL == 32 ? (real)1e-25 : (real)1e-170,
                                0 }; // its square is 0
    assert_true(ECKI_FN(ecki_make_reflector)(&h, vanishing) == 1.0 && h.tau == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_build), cmocka_unit_test(reflector),
                                        cmocka_unit_test(reflectors_of_small_vectors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
