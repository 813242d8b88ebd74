// Columns less their means; matrices that cannot be centred.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

static void means_go(void **state)
{
    (void)state;
    sample a = sample_create(300, 5, ECK_DTYPE_F32, 1.0, 1);
    eck_operator *c = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_centered(&c, a.op, NULL, &err), &err);
    double *const all = test_malloc(1500 * sizeof *all);
    float narrow[2];
    expect_ok(eck_operator_read(c, 0, 0, ecki_panel(all, ECK_DTYPE_F64, 300, 5), &err), &err);
    expect_ok(eck_operator_read(c, 7, 3, ecki_panel(narrow, ECK_DTYPE_F32, 1, 2), &err), &err);
    assert_true(narrow[1] == (float)all[7 * 5 + 4]);
    for (int j = 0; j < 5; j++) {
        long double mean = 0.0L, left = 0.0L, size = 0.0L;
        for (int i = 0; i < 300; i++) {
            mean += (long double)a.wide[i * 5 + j] / 300.0L;
            size += fabsl(a.wide[i * 5 + j]);
        }
        for (int i = 0; i < 300; i++) {
            left += all[i * 5 + j];
            assert_true(fabsl(all[i * 5 + j] - (a.wide[i * 5 + j] - mean)) <=
                        310.0L * 0x1p-53L * size / 300.0L * 10.0L);
        }
        assert_true(fabsl(left) <= 600.0L * 0x1p-53L * size);
    }
    ecki_measure m;
    expect_ok(ecki_operator_measure(&m, c, NULL, &err), &err);
    assert_true(m.error > 0.0 && m.depth == 1);
    test_free(all);
    eck_operator_free(c);
    sample_free(&a);
}

static void edges(void **state)
{
    (void)state;
    double bad[6] = { 1.0, 2.0, 3.0, INFINITY, 5.0, 6.0 };
    sample a = sample_of(bad, 2, 3, ECK_DTYPE_F32),
           none = sample_create(0, 3, ECK_DTYPE_F32, 1.0, 1);
    eck_operator *c = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_operator_centered(&c, a.op, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 3);
    expect_ok(eck_operator_centered(&c, none.op, NULL, &err), &err);
    eck_operator_free(c);
    sample_free(&none);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(means_go), cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
