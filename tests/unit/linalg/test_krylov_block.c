// Tall blocks of F32: projection, orthonormal columns, dependent ones, turns; the same bits for every number of threads.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/krylov.h"

enum { ROWS = 1300, L = 20, B = 8 };

static void fill(float *x, int64_t count, uint64_t stream)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)ecki_random_normal(5, stream, (uint64_t)i);
}

// max | X^T Y - (X == Y ? I : 0) |.
static double worst_product(ecki_block x, ecki_block y)
{
    double worst = 0.0;
    for (int64_t i = 0; i < x.columns; i++)
        for (int64_t j = 0; j < y.columns; j++) {
            double sum = x.data == y.data && i == j ? -1.0 : 0.0;
            for (int64_t r = 0; r < x.rows; r++)
                sum += (double)x.data[r * x.ld + i] * (double)y.data[r * y.ld + j];
            worst = fmax(worst, fabs(sum));
        }
    return worst;
}

static void orthonormal(void **state)
{
    (void)state;
    float *const z = test_malloc(ROWS * B * sizeof *z), *const x =
                                                            test_malloc(ROWS * B * sizeof *x);
    float *const old = test_malloc(ROWS * B * sizeof *old), *const first = test_malloc(
                                                                ROWS * B * sizeof *first);
    double r[B * B], least[B] = { 0.0 };
    int64_t fresh = -1;
    eck_error err = ECK_ERROR_INIT;
    fill(old, ROWS * B, 1);
    for (int64_t i = 0; i < ROWS; i++) // one nearly dependent column: kappa about 1e4
        old[i * B + 3] = old[i * B + 1] + 1e-4F * old[i * B + 3];
    const ecki_block zb = { z, ROWS, B, B }, xb = { x, ROWS, B, B };
    for (int32_t threads = 1; threads <= 3; threads++) {
        memcpy(z, old, ROWS * B * sizeof *z);
        expect_ok(ecki_block_orthonormalize(xb, zb, r, least, &fresh, threads, &err), &err);
        if (threads == 1) memcpy(first, x, ROWS * B * sizeof *x);
        assert_memory_equal(first, x, ROWS * B * sizeof *x);
    }
    assert_int_equal(fresh, 0);
    // Storing a column rounds it by u / 2 of its length.
    expect_at_most("loss of orthogonality", worst_product(xb, xb), 4.0 * 0x1p-24);
    double worst = 0.0;
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < B; j++) {
            double sum = -(double)old[i * B + j];
            for (int64_t t = 0; t < B; t++)
                sum += (double)x[i * B + t] * r[t * B + j];
            worst = fmax(worst, fabs(sum));
        }
    expect_at_most("x r - z", worst, 40.0 * 0x1p-24 * 4.0); // entries up to 4, sums of 8
    test_free(first);
    test_free(old);
    test_free(x);
    test_free(z);
}

// A copy of a column, and a column below its threshold, come out as zeros and are counted.
static void dependent(void **state)
{
    (void)state;
    float *const z = test_malloc(ROWS * B * sizeof *z), *const x =
                                                            test_malloc(ROWS * B * sizeof *x);
    double r[B * B], least[B] = { 0.0 };
    int64_t fresh = -1;
    eck_error err = ECK_ERROR_INIT;
    fill(z, ROWS * B, 2);
    for (int64_t i = 0; i < ROWS; i++) {
        z[i * B + 5] = z[i * B];
        z[i * B + 6] *= 1e-6F;
    }
    least[5] = 1e-3;
    least[6] = 1e-3; // of a length of 36e-6
    expect_ok(ecki_block_orthonormalize((ecki_block){ x, ROWS, B, B },
                                        (ecki_block){ z, ROWS, B, B }, r, least, &fresh, 2, &err),
              &err);
    assert_int_equal(fresh, 2);
    for (int64_t i = 0; i < ROWS; i++)
        assert_true(x[i * B + 5] == 0.0F && x[i * B + 6] == 0.0F && isfinite(x[i * B + 7]));
    assert_true(r[5 * B + 5] == 0.0 && r[6 * B + 6] == 0.0 && r[7 * B + 7] > 0.0);
    test_free(x);
    test_free(z);
}

static void projections_and_turns(void **state)
{
    (void)state;
    float *const v = test_malloc(ROWS * L * sizeof *v), *const z =
                                                            test_malloc(ROWS * B * sizeof *z);
    float *const q = test_malloc(ROWS * L * sizeof *q), *const out =
                                                            test_malloc(ROWS * B * sizeof *out);
    double r[L * L], least[L] = { 0.0 }, h[L * B], turn[L * B];
    int64_t fresh = 0;
    eck_error err = ECK_ERROR_INIT;
    fill(v, ROWS * L, 3);
    fill(z, ROWS * B, 4);
    const ecki_block basis = { q, ROWS, L, L }, zb = { z, ROWS, B, B }, ob = { out, ROWS, B, B };
    expect_ok(
        ecki_block_orthonormalize(basis, (ecki_block){ v, ROWS, L, L }, r, least, &fresh, 1, &err),
        &err);
    expect_ok(ecki_block_project(h, basis, zb, 3, &err), &err);
    // Lengths are about 36; sums of F32 products of 512 rows.
    expect_at_most("what projection leaves", worst_product(basis, zb), 36.0 * 512.0 * 0x1p-24);
    for (int64_t i = 0; i < L * B; i++)
        turn[i] = (double)(i % 7) - 3.0;
    expect_ok(ecki_block_turn(ob, basis, turn, 2, &err), &err);
    double lengths[B];
    ecki_block_lengths(lengths, ob);
    for (int64_t j = 0; j < B; j++) {
        double want = 0.0;
        for (int64_t i = 0; i < L; i++)
            want += turn[i * B + j] * turn[i * B + j];
        assert_true(fabs(lengths[j] / want - 1.0) < 1e-5); // 20 terms and the basis to 4 u
    }
    test_free(out);
    test_free(q);
    test_free(z);
    test_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(orthonormal), cmocka_unit_test(dependent),
                                        cmocka_unit_test(projections_and_turns) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
