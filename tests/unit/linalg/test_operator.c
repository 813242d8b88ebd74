// The object: what it refuses, what it copies, when it frees, and the checks before every method.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

static int freed;

static void count_free(void *self)
{
    (void)self;
    freed++;
}

static eck_status read_ones(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++) {
            const double value = (double)(10 * (row + i) + col + j);
            if (out.dtype == ECK_DTYPE_F64)
                ((double *)out.data)[i * out.ld + j] = value;
            else
                ((float *)out.data)[i * out.ld + j] = (float)value;
        }
    return ECK_OK;
}

static void creation(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    eck_operator_methods methods = { .version = 1, .read = read_ones, .free = count_free };
    char name[] = "weight";
    info.rows = 3;
    info.cols = 4;
    info.name = name;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    name[0] = 'x'; // copied
    assert_string_equal(eck_operator_get_info(a)->name, "weight");
    eck_operator_free(a);
    assert_int_equal(freed, 1);
    info.name = NULL;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    assert_string_equal(eck_operator_get_info(a)->name, "");
    eck_operator_free(a);
    a = NULL;
    info.rows = -1;
    assert_int_equal(eck_operator_create(&a, &info, &methods, NULL, &err), ECK_E_SHAPE);
    info.rows = 3;
    info.storage = ECK_DTYPE_I8;
    assert_int_equal(eck_operator_create(&a, &info, &methods, NULL, &err), ECK_E_RANGE);
    info.storage = ECK_DTYPE_F32;
    info.read_error = -1.0;
    assert_int_equal(eck_operator_create(&a, &info, &methods, NULL, &err), ECK_E_RANGE);
    info.read_error = 0.0;
    methods.read = NULL;
    assert_int_equal(eck_operator_create(&a, &info, &methods, NULL, &err), ECK_E_RANGE);
    assert_null(a);
    assert_int_equal(freed, 2); // self stays the caller's where creation fails
    eck_operator_free(NULL);
}

static void panels_are_checked(void **state)
{
    (void)state;
    sample a = sample_create(4, 5, ECK_DTYPE_F32, 1.0, 1);
    double x[64];
    eck_error err = ECK_ERROR_INIT;
    const struct {
        int64_t row, col, rows, cols, ld;
        eck_dtype dtype;
        eck_status status;
    } cases[] = {
        { 0, 0, 4, 5, 5, ECK_DTYPE_F64, ECK_OK },
        { 3, 4, 1, 1, 1, ECK_DTYPE_F32, ECK_OK },
        { 0, 0, 5, 5, 5, ECK_DTYPE_F64, ECK_E_RANGE },
        { 1, 1, 4, 4, 4, ECK_DTYPE_F64, ECK_E_RANGE },
        { -1, 0, 1, 1, 1, ECK_DTYPE_F64, ECK_E_RANGE },
        { 0, INT64_MAX, 1, 1, 1, ECK_DTYPE_F64, ECK_E_RANGE },
        { 0, 0, 2, 3, 2, ECK_DTYPE_F64, ECK_E_SHAPE },
        { 0, 0, 2, 3, 3, ECK_DTYPE_BF16, ECK_E_RANGE },
        { 4, 5, 0, 0, 0, ECK_DTYPE_F64, ECK_OK },
        { 0, 0, 0, INT64_MAX, INT64_MAX, ECK_DTYPE_F64, ECK_E_RANGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const eck_panel p = { x, cases[i].dtype, cases[i].rows, cases[i].cols, cases[i].ld };
        assert_int_equal(eck_operator_read(a.op, cases[i].row, cases[i].col, p, &err),
                         cases[i].status);
    }
    const eck_panel good = ecki_panel(x, ECK_DTYPE_F64, 5, 2),
                    out = ecki_panel(x + 32, ECK_DTYPE_F64, 4, 2);
    const eck_panel narrow = ecki_panel(x, ECK_DTYPE_F32, 5, 2);
    assert_int_equal(eck_operator_apply(a.op, 1.0, good, out, NULL, &err), ECK_OK);
    assert_int_equal(eck_operator_apply(a.op, 1.0, out, good, NULL, &err), ECK_E_SHAPE);
    assert_int_equal(eck_operator_apply(a.op, 1.0, narrow, out, NULL, &err), ECK_E_RANGE);
    assert_int_equal(eck_operator_apply_transpose(a.op, 1.0, good, out, NULL, &err), ECK_E_SHAPE);
    assert_int_equal(eck_operator_gram(a.op, ECK_SIDE_RIGHT, 1.0,
                                       ecki_panel(x, ECK_DTYPE_F64, 4, 4), NULL, &err),
                     ECK_E_SHAPE);
    sample_free(&a);
}

// A power of two that brings the largest value into [1,2), at every end of the range.
static void scales(void **state)
{
    (void)state;
    const double sizes[] = {
        1.0, 1.5, 2.0, 0.3, 1e-300, 1e300, 0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023, 3e38
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int exponent = 0;
        const double scale = ecki_scale_of(sizes[i]);
        assert_true(frexp(scale, &exponent) == 0.5);
        assert_true(sizes[i] * scale < 2.0 && (sizes[i] * scale >= 1.0 || sizes[i] < 0x1p-1022));
        assert_true(sizes[i] * scale / scale == sizes[i]);
    }
    assert_true(ecki_scale_of(0.0) == 1.0 && ecki_scale_of(INFINITY) == 1.0);
}

static void staging(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    float narrow[6] = { 0.0f };
    double wide[6];
    eck_panel staged, out = ecki_panel(wide, ECK_DTYPE_F64, 2, 3);
    expect_ok(ecki_staging_begin(&staged, out, &err), &err);
    assert_ptr_equal(staged.data, wide);
    ecki_staging_end(&staged, out, true);
    out = ecki_panel(narrow, ECK_DTYPE_F32, 2, 2);
    out.ld = 3;
    expect_ok(ecki_staging_begin(&staged, out, &err), &err);
    for (int i = 0; i < 4; i++)
        ((double *)staged.data)[i] = (i + 1) / 10.0;
    ecki_staging_end(&staged, out, true);
    assert_true(narrow[0] == 0.1f && narrow[1] == 0.2f && narrow[2] == 0.0f && narrow[3] == 0.3f);
    assert_true(narrow[4] == 0.4f && narrow[5] == 0.0f);
}

// The bound of a custom operator is what its maker says; its size is the norm.
static void measures(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = read_ones };
    info.rows = 2;
    info.cols = 2;
    info.read_error = 0.25;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    ecki_measure m;
    expect_ok(ecki_operator_measure(&m, a, NULL, &err), &err);
    assert_true(m.error == 0.25 && m.depth == 0);
    const double norm = sqrt(1.0 + 100.0 + 121.0);
    assert_true(m.magnitude >= norm && m.magnitude < norm * (1.0 + 1e-8));
    double block[2];
    expect_ok(ecki_operator_block(a, 1, 0, ecki_panel(block, ECK_DTYPE_F64, 1, 2), 4.0, &err),
              &err);
    assert_true(block[0] == 40.0 && block[1] == 44.0);
    eck_operator_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation), cmocka_unit_test(panels_are_checked), cmocka_unit_test(scales),
        cmocka_unit_test(staging),  cmocka_unit_test(measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
