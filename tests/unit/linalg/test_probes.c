// Probes are the same for a seed, differ between seeds, and estimate what they should.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/certificate.h"

static void estimates(void **state)
{
    (void)state;
    sample a = sample_create(50, 70, ECK_DTYPE_F32, 1.0, 1),
           b = sample_create(50, 70, ECK_DTYPE_F32, 1.0, 2);
    double rest2 = 0.0, norm2 = 0.0;
    for (int64_t i = 0; i < 3500; i++) {
        rest2 += (a.wide[i] - b.wide[i]) * (a.wide[i] - b.wide[i]);
        norm2 += a.wide[i] * a.wide[i];
    }
    const double error = sqrt(rest2 / norm2);
    double previous = 0.0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        eck_certificate c[2];
        eck_error err = ECK_ERROR_INIT;
        for (int run = 0; run < 2; run++) {
            eck_context context = ECK_CONTEXT_INIT;
            context.threads = run + 1;
            expect_ok(eck_certify(&c[run], a.op, b.op, ECK_PROOF_BOUND, 1e-3, seed, &context, &err),
                      &err);
        }
        assert_true(c[0].error == c[1].error && c[0].error_high == c[1].error_high);
        assert_true(c[0].error != previous);
        previous = c[0].error;
        assert_true(c[0].error_low <= error && error <= c[0].error_high);
        // p >= 128 probes of a residual of 50 equal directions: deviation 1 / sqrt(2 p 50), six of them.
        expect_at_most("estimate against the truth", fabs(c[0].error / error - 1.0),
                       6.0 / sqrt(2.0 * 128.0 * 25.0));
        expect_at_most("tightness", c[0].error_high / error, 1.7);
    }
    sample_free(&b);
    sample_free(&a);
}

// A smaller probability of being wrong costs width, and is refused outside its range.
static void failures(void **state)
{
    (void)state;
    sample a = sample_create(9, 8, ECK_DTYPE_F64, 1.0, 1),
           b = sample_create(9, 8, ECK_DTYPE_F64, 1.0, 2);
    const double allowed[] = { 0.5, 1e-2, 1e-6, 1e-12 };
    eck_error err = ECK_ERROR_INIT;
    for (int i = 0; i < 4; i++) {
        eck_certificate c;
        expect_ok(eck_certify(&c, a.op, b.op, ECK_PROOF_BOUND, allowed[i], 0, NULL, &err), &err);
        assert_true(c.failure == allowed[i]);
        expect_at_most("claim over estimate", c.error_high / c.error, 1.26);
    }
    const double refused[] = { 0.0, 1e-13, 0.51, -1.0, NAN, INFINITY };
    for (int i = 0; i < 6; i++) {
        eck_certificate c;
        assert_int_equal(eck_certify(&c, a.op, b.op, ECK_PROOF_BOUND, refused[i], 0, NULL, &err),
                         ECK_E_RANGE);
    }
    sample_free(&b);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(estimates), cmocka_unit_test(failures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
