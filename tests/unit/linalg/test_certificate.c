// Residuals of matrices larger than a tile; the bits of every number of threads; roundings that must be counted.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/certificate.h"
#include "tensor/codec.h"

// ||A|| and ||A - B|| in long double.
static void truth(const sample *a, const sample *b, long double *norm, long double *rest)
{
    long double x = 0.0L, y = 0.0L;
    for (int64_t i = 0; i < a->rows * a->cols; i++) {
        const long double r = (long double)a->wide[i] - b->wide[i];
        x += (long double)a->wide[i] * a->wide[i];
        y += r * r;
    }
    *norm = sqrtl(x);
    *rest = sqrtl(y);
}

static void larger_than_a_tile(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 1, 1 }, { 600, 30 }, { 3, 9000 }, { 260, 4100 } };
    for (size_t i = 0; i < 4; i++) {
        sample a = sample_create(shapes[i][0], shapes[i][1], ECK_DTYPE_F32, 1.0, 1);
        sample b = sample_create(shapes[i][0], shapes[i][1], ECK_DTYPE_F32, 1.0, 2);
        long double norm = 0.0L, rest = 0.0L;
        truth(&a, &b, &norm, &rest);
        eck_certificate first;
        for (int32_t threads = 1; threads <= 3; threads++) {
            eck_context context = ECK_CONTEXT_INIT;
            eck_error err = ECK_ERROR_INIT;
            eck_certificate c;
            context.threads = threads;
            expect_ok(eck_certify(&c, a.op, b.op, ECK_PROOF_RESIDUAL, 0.0, 0, &context, &err),
                      &err);
            assert_true(c.error_low * norm <= rest && rest <= c.error_high * norm);
            assert_true(c.error_high <= c.error * (1.0 + 1e-11));
            assert_true(c.failure == 0.0 && c.optimum_low == 0.0 && c.orthogonality == -1.0);
            if (threads == 1) first = c;
            assert_true(c.error == first.error && c.error_high == first.error_high);
        }
        sample_free(&b);
        sample_free(&a);
    }
}

// An operator that says its reads are off by so much widens the bracket by as much.
static eck_status ones(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)row;
    (void)col;
    (void)err;
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++)
            ((double *)out.data)[i * out.ld + j] = 1.0;
    return ECK_OK;
}

static void declared_read_errors(void **state)
{
    (void)state;
    const double twos[4] = { 2.0, 2.0, 2.0, 2.0 };
    sample a = sample_of(twos, 2, 2, ECK_DTYPE_F64);
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = ones };
    eck_operator *b = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_certificate c;
    info.rows = info.cols = 2;
    info.read_error = 0.5;
    expect_ok(eck_operator_create(&b, &info, &methods, NULL, &err), &err);
    expect_ok(eck_certify(&c, a.op, b, ECK_PROOF_RESIDUAL, 0.0, 0, NULL, &err), &err);
    assert_true(c.error == 0.5 && fabs(c.error_high - 0.625) < 1e-12 &&
                fabs(c.error_low - 0.375) < 1e-12);
    eck_operator_free(b);
    sample_free(&a);
}

// A chain of sums and products: every rounding on the way is in the bound.
static void deep_chains(void **state)
{
    (void)state;
    sample a = sample_create(40, 30, ECK_DTYPE_F64, 1.0, 1),
           x = sample_create(40, 5, ECK_DTYPE_F64, 1.0, 2);
    sample y = sample_create(5, 30, ECK_DTYPE_F64, 1.0, 3);
    eck_operator *product = NULL, *sum = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_product(&product, x.op, y.op, 1e3, &err), &err);
    const eck_operator *const terms[2] = { a.op, product };
    const double weights[2] = { 1.0, 1.0 };
    expect_ok(eck_operator_sum(&sum, terms, weights, 2, &err), &err);
    long double rest2 = 0.0L, norm2 = 0.0L; // of (A + 1000 X Y) - 1000 X Y, which is A
    for (int64_t i = 0; i < 1200; i++)
        rest2 += (long double)a.wide[i] * a.wide[i];
    for (int64_t i = 0; i < 40; i++)
        for (int64_t j = 0; j < 30; j++) {
            long double value = a.wide[i * 30 + j];
            for (int64_t t = 0; t < 5; t++)
                value += 1e3L * x.wide[i * 5 + t] * y.wide[t * 30 + j];
            norm2 += value * value;
        }
    const long double error = sqrtl(rest2 / norm2);
    eck_certificate c;
    expect_ok(eck_certify(&c, sum, product, ECK_PROOF_RESIDUAL, 0.0, 0, NULL, &err), &err);
    assert_true(c.error_low <= error && error <= c.error_high);
    expect_at_most("width of the bracket", c.error_high - c.error_low, 1e-12);
    eck_operator_free(sum);
    eck_operator_free(product);
    sample_free(&y);
    sample_free(&x);
    sample_free(&a);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(eck_proof_name(ECK_PROOF_TAIL), "exact");
    assert_string_equal(eck_proof_name(ECK_PROOF_RESIDUAL), "residual");
    assert_string_equal(eck_proof_name(ECK_PROOF_BOUND), "bound");
    assert_string_equal(eck_proof_name((eck_proof)9), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(larger_than_a_tile),
        cmocka_unit_test(declared_read_errors),
        cmocka_unit_test(deep_chains),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
