// Reads, products and Grams of the transpose are those of the original, the other way round.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tensor/codec.h"

static void everything_is_turned(void **state)
{
    (void)state;
    sample a = sample_create(70, 45, ECK_DTYPE_F32, 1.0, 1);
    eck_operator *t = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_transposed(&t, a.op, &err), &err);
    assert_true(eck_operator_get_info(t)->rows == 45 && eck_operator_get_info(t)->cols == 70);
    double wide[12 * 50];
    float narrow[6];
    const eck_panel panel = { wide, ECK_DTYPE_F64, 12, 40, 50 };
    expect_ok(eck_operator_read(t, 30, 25, panel, &err), &err);
    expect_ok(eck_operator_read(t, 40, 67, ecki_panel(narrow, ECK_DTYPE_F32, 2, 3), &err), &err);
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 40; j++)
            assert_true(wide[i * 50 + j] == a.wide[(25 + j) * 45 + 30 + i]);
    for (int i = 0; i < 6; i++)
        assert_true(narrow[i] == (float)a.wide[(67 + i % 3) * 45 + 40 + i / 3]);
    double x[70], one[45], two[45];
    ecki_random_fill_normal(x, 70, 1, 1, 0);
    expect_ok(eck_operator_apply(t, 2.0, ecki_panel(x, ECK_DTYPE_F64, 70, 1),
                                 ecki_panel(one, ECK_DTYPE_F64, 45, 1), NULL, &err),
              &err);
    expect_ok(eck_operator_apply_transpose(a.op, 2.0, ecki_panel(x, ECK_DTYPE_F64, 70, 1),
                                           ecki_panel(two, ECK_DTYPE_F64, 45, 1), NULL, &err),
              &err);
    assert_memory_equal(one, two, sizeof one);
    ecki_measure m, n;
    expect_ok(ecki_operator_measure(&m, t, NULL, &err), &err);
    expect_ok(ecki_operator_measure(&n, a.op, NULL, &err), &err);
    assert_true(m.magnitude == n.magnitude && m.error == n.error);
    eck_operator_free(t);
    sample_free(&a);
}

static eck_status own_gram(void *self, eck_side side, double scale, eck_panel out, eck_error *err)
{
    (void)self;
    (void)err;
    ((double *)out.data)[0] = scale * (side == ECK_SIDE_LEFT ? 10.0 : 20.0);
    return ECK_OK;
}

static eck_status nothing(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)row;
    (void)col;
    memset(out.data, 0, (size_t)(out.rows * out.cols) * sizeof(double));
    (void)err;
    return ECK_OK;
}

// A method of the original's own making is used, on the other side.
static void overrides_are_kept(void **state)
{
    (void)state;
    eck_operator *a = NULL, *t = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = nothing, .gram = own_gram };
    double g = 0.0;
    info.rows = info.cols = 1;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    expect_ok(eck_operator_transposed(&t, a, &err), &err);
    expect_ok(
        eck_operator_gram(t, ECK_SIDE_RIGHT, 2.0, ecki_panel(&g, ECK_DTYPE_F64, 1, 1), NULL, &err),
        &err);
    assert_true(g == 20.0);
    eck_operator_free(t);
    eck_operator_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(everything_is_turned),
                                        cmocka_unit_test(overrides_are_kept) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
