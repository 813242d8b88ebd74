// Sums of terms against sums written out, in both panel types; what is refused; the bound of rounding.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

static void sums(void **state)
{
    (void)state;
    sample a = sample_create(9, 7, ECK_DTYPE_F32, 1.0, 1),
           b = sample_create(9, 7, ECK_DTYPE_BF16, 1.0, 2);
    const eck_operator *const terms[3] = { a.op, b.op, a.op };
    const double weights[3] = { 1.0, -1.0, 0.375 };
    eck_operator *sum = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_sum(&sum, terms, weights, 3, &err), &err);
    assert_int_equal(eck_operator_get_info(sum)->storage, ECK_DTYPE_F32);
    double wide[63], worst2 = 0.0;
    float narrow[6];
    expect_ok(eck_operator_read(sum, 0, 0, ecki_panel(wide, ECK_DTYPE_F64, 9, 7), &err), &err);
    expect_ok(eck_operator_read(sum, 3, 2, ecki_panel(narrow, ECK_DTYPE_F32, 2, 3), &err), &err);
    for (int i = 0; i < 63; i++) {
        const long double exact = (long double)a.wide[i] - b.wide[i] + 0.375L * a.wide[i];
        worst2 += (double)((wide[i] - exact) * (wide[i] - exact));
    }
    for (int i = 0; i < 6; i++)
        assert_true(narrow[i] == (float)wide[(3 + i / 3) * 7 + 2 + i % 3]);
    ecki_measure m;
    expect_ok(ecki_operator_measure(&m, sum, NULL, &err), &err);
    expect_at_most("rounding of a sum", sqrt(worst2), m.error);
    eck_operator_free(sum);
    sample_free(&b);
    sample_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(2, 3, ECK_DTYPE_F32, 1.0, 1),
           b = sample_create(3, 2, ECK_DTYPE_F64, 1.0, 2);
    const eck_operator *const terms[2] = { a.op, b.op };
    const double weights[2] = { 1.0, NAN };
    eck_operator *sum = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_sum(&sum, terms, weights, 2, &err), ECK_E_SHAPE);
    assert_int_equal(eck_operator_sum(&sum, terms, weights + 1, 1, &err), ECK_E_RANGE);
    assert_int_equal(eck_operator_sum(&sum, terms, weights, 0, &err), ECK_E_RANGE);
    assert_null(sum);
    sample_free(&b);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
