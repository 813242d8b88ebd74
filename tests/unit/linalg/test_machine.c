// The machine as it is measured: this BLAS computes rightly, rates are rates, and a caller can stop it.
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "eckart/machine.h"

static void measured(void **state)
{
    (void)state;
    eck_machine m;
    eck_error err = ECK_ERROR_INIT;
    const eck_context context = { 1, 2, 0, NULL, NULL };
    expect_ok(eck_machine_measure(&m, &context, &err), &err);
    assert_int_equal(m.threads, 2);
    assert_string_equal(m.blas, eck_blas_description());
    assert_true(m.gemm_f64 > 0.0 && m.gemm_f32 > 0.0 && m.bandwidth > 0.0);
    // Rounding happens: a check that finds none has compared nothing.
    expect_at_most("products in F64", m.check_f64, 1.0);
    expect_at_most("products in F32", m.check_f32, 1.0);
    assert_true(m.check_f64 > 1e-3 && m.check_f32 > 1e-3);
    assert_true((strcmp(m.cpu, "scalar") != 0) == (m.avx2 || m.neon));
}

static bool stop(void *user, const char *what, int64_t done, int64_t total)
{
    (void)done;
    (void)total;
    return strcmp(what, user) != 0;
}

static void cancelled(void **state)
{
    (void)state;
    static char *const stages[] = { "check", "products", "memory" };
    for (int i = 0; i < 3; i++) {
        eck_machine m = { .threads = -7 };
        const eck_context context = { 1, 1, 0, stop, stages[i] };
        assert_int_equal(eck_machine_measure(&m, &context, NULL), ECK_E_CANCELLED);
        assert_int_equal(m.threads, -7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(measured), cmocka_unit_test(cancelled) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
