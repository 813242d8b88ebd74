// The space: M basis = basis t + next c, orthonormal whatever the matrix, also after a restart; the small eigenproblem.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "linalg/krylov.h"
#include "tensor/codec.h"

enum { MOST = 48, BLOCK = 8 };

// max |V^T V - I| over the basis and next.
static double loss(const ecki_krylov *s)
{
    const int64_t ld = s->most + s->block, count = s->length + s->block;
    double worst = 0.0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (int64_t r = 0; r < s->n; r++)
                sum += (double)s->basis[r * ld + i] * (double)s->basis[r * ld + j];
            worst = fmax(worst, fabs(sum));
        }
    return worst;
}

// || M basis - basis t - next c ||_F, in F64.
static double recurrence(const ecki_krylov *s)
{
    const int64_t n = s->n, l = s->length, ld = s->most + s->block;
    double *const x = test_malloc((size_t)(n * l) * sizeof *x), *const z = test_malloc(
                                                                    (size_t)(n * l) * sizeof *z);
    eck_error err = ECK_ERROR_INIT;
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < l; j++)
            x[i * l + j] = (double)s->basis[i * ld + j];
    expect_ok(eck_operator_normal(s->a, s->side, s->scale, ecki_panel(x, ECK_DTYPE_F64, n, l),
                                  ecki_panel(z, ECK_DTYPE_F64, n, l), NULL, &err),
              &err);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < l; j++) {
            double rest = z[i * l + j];
            for (int64_t t = 0; t < l; t++)
                rest -= x[i * l + t] * s->t[t * s->most + j];
            for (int64_t t = 0; t < s->block; t++)
                rest -= (double)s->basis[i * ld + l + t] * s->c[t * s->most + j];
            sum += rest * rest;
        }
    test_free(z);
    test_free(x);
    return sqrt(sum);
}

static void expect_space(const ecki_krylov *s, double largest)
{
    // Rounding of F32 products with a matrix of norm `largest`: lengths up to 300 add at random.
    expect_at_most("loss of orthogonality", loss(s), 64.0 * 0x1p-24);
    expect_at_most("recurrence", recurrence(s), 64.0 * 0x1p-24 * largest * sqrt((double)s->length));
}

// Full rank, rank 3, zero: always orthonormal, always a recurrence; also of the other side and after a restart.
static void spaces(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        sample a = sample_create(130, 300, ECK_DTYPE_F32, kind == 1 ? 0.1 : 0.99, 3);
        if (kind == 2) memset(a.array->data, 0, 130 * 300 * sizeof(float));
        ecki_krylov s = { .a = a.op,
                          .side = kind == 3 ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT,
                          .scale = 0.25,
                          .block = BLOCK,
                          .most = MOST,
                          .seed = 7 };
        eck_error err = ECK_ERROR_INIT;
        double values[MOST], vectors[MOST * MOST], t[MOST * MOST];
        expect_ok(ecki_krylov_init(&s, &err), &err);
        for (int step = 0; step < 5; step++)
            expect_ok(ecki_krylov_step(&s, &err), &err);
        for (int64_t i = 0; i < s.length; i++)
            memcpy(t + i * s.length, s.t + i * s.most, (size_t)s.length * sizeof *t);
        expect_ok(ecki_small_eigen(values, vectors, t, s.length, s.length, &err), &err);
        expect_space(&s, fmax(values[0], 1e-30));
        for (int64_t i = 0; i < s.length; i++) // [length, 16] of [length, length]
            memmove(vectors + i * 16, vectors + i * s.length, 16 * sizeof *vectors);
        expect_ok(ecki_krylov_restart(&s, values, vectors, 16, &err), &err);
        expect_space(&s, fmax(values[0], 1e-30));
        expect_ok(ecki_krylov_step(&s, &err), &err);
        assert_int_equal(s.length, 24);
        expect_space(&s, fmax(values[0], 1e-30));
        assert_int_equal(s.passes, 6);
        ecki_krylov_clear(&s);
        sample_free(&a);
    }
}

// A space cannot have more directions than there are.
static void too_small(void **state)
{
    (void)state;
    sample a = sample_create(40, 12, ECK_DTYPE_F32, 1.0, 3);
    ecki_krylov s = {
        .a = a.op, .side = ECK_SIDE_RIGHT, .scale = 1.0, .block = BLOCK, .most = MOST
    };
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_krylov_init(&s, &err), &err);
    assert_int_equal(ecki_krylov_step(&s, &err), ECK_E_SOLVER);
    ecki_krylov_clear(&s);
    sample_free(&a);
}

static void small_eigen(void **state)
{
    (void)state;
    double t[9] = { 2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0 }, values[3], vectors[6];
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_small_eigen(values, vectors, t, 3, 2, &err), &err);
    assert_true(fabs(values[0] - (2.0 + sqrt(2.0))) < 1e-14 && fabs(values[1] - 2.0) < 1e-14 &&
                fabs(values[2] - (2.0 - sqrt(2.0))) < 1e-14);
    assert_true(fabs(fabs(vectors[1]) - sqrt(0.5)) < 1e-14 && fabs(vectors[3]) < 1e-14);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(spaces), cmocka_unit_test(too_small),
                                        cmocka_unit_test(small_eigen) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
