// Unfoldings against the definition, element by element; Grams and norms against plain sums.
#include "decompose/multilinear_parts.h"
#include "tensors_made.h"

enum { NDIM = 4 };
static const int64_t SHAPE[NDIM] = { 3, 5, 1, 4 };

/** Element of the unfolding at (row, col) by the definition. */
static double element(const double *x, const int32_t *modes, int32_t count, int64_t row,
                      int64_t col)
{
    int64_t at[NDIM] = { 0 }, index = 0;
    bool taken[NDIM] = { false };

    for (int32_t i = count - 1; i >= 0; i--) {
        at[modes[i]] = row % SHAPE[modes[i]];
        row /= SHAPE[modes[i]];
        taken[modes[i]] = true;
    }
    for (int32_t n = NDIM - 1; n >= 0; n--) {
        if (taken[n]) continue;
        at[n] = col % SHAPE[n];
        col /= SHAPE[n];
    }
    for (int32_t n = 0; n < NDIM; n++)
        index = index * SHAPE[n] + at[n];
    return x[index];
}

static void unfoldings(void **state)
{
    (void)state;
    const int32_t lists[][NDIM] = { { 0 },    { 1 },    { 2 },       { 3 },
                                    { 3, 0 }, { 1, 3 }, { 0, 1, 2 }, { 2, 1, 3, 0 } };
    const int32_t counts[] = { 1, 1, 1, 1, 2, 2, 3, 4 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, NDIM, SHAPE, 7);
    eck_error err = ECK_ERROR_INIT;

    for (int i = 0; i < 8; i++) {
        eck_operator *a = NULL;
        good(eck_operator_unfolding(&a, eck_array_view(x), lists[i], counts[i], &err), &err);
        const eck_operator_info *info = eck_operator_get_info(a);
        assert_int_equal(info->rows * info->cols, 60);
        double block[60];
        for (int64_t row = 0; row < info->rows; row++) {
            const int64_t from = info->cols / 3, count = info->cols - from;
            const eck_panel out = { block, ECK_DTYPE_F64, 1, count, count };
            good(eck_operator_read(a, row, from, out, &err), &err);
            for (int64_t j = 0; j < count; j++)
                assert_true(block[j] == element(x->data, lists[i], counts[i], row, from + j));
        }
        eck_view flat;
        const eck_view view = eck_array_view(x);
        if (eck_view_unfold(&flat, &view, lists[i], counts[i]))
            for (int64_t r = 0; r < info->rows; r++)
                for (int64_t c = 0; c < info->cols; c++)
                    assert_true(
                        ((const double *)flat.data)[r * flat.stride[0] + c * flat.stride[1]] ==
                        element(x->data, lists[i], counts[i], r, c));
        eck_operator_free(a);
    }
    eck_array_free(x);
}

static void views_where_strides_allow(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F32, NDIM, SHAPE, 7);
    const eck_view view = eck_array_view(x);
    eck_view flat;
    const int32_t first[] = { 0, 1 }, last[] = { 3 }, middle[] = { 1 }, twice[] = { 1, 1 };
    const int32_t beyond[] = { 4 };
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;

    assert_true(eck_view_unfold(&flat, &view, first, 2));
    assert_true(flat.shape[0] == 15 && flat.shape[1] == 4 && flat.stride[0] == 4);
    assert_true(eck_view_unfold(&flat, &view, last, 1));
    assert_true(flat.shape[0] == 4 && flat.stride[0] == 1 && flat.stride[1] == 4);
    assert_false(eck_view_unfold(&flat, &view, middle, 1));
    assert_false(eck_view_unfold(&flat, &view, twice, 2));
    assert_int_equal(eck_operator_unfolding(&a, view, twice, 2, &err), ECK_E_RANGE);
    assert_int_equal(eck_operator_unfolding(&a, view, beyond, 1, &err), ECK_E_RANGE);
    assert_null(a);
    eck_array_free(x);
}

static void grams(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F32, NDIM, SHAPE, 9);
    eck_array *wide = widened(x);
    eck_error err = ECK_ERROR_INIT;
    double g[25];

    for (int32_t n = 0; n < NDIM; n++) {
        const int64_t size = SHAPE[n], rest = 60 / size;
        const eck_panel out = { g, ECK_DTYPE_F64, size, size, size };
        good(eck_mode_gram(out, eck_array_view(x), n, NULL, &err), &err);
        for (int64_t i = 0; i < size; i++)
            for (int64_t j = 0; j < size; j++) {
                double sum = 0.0, bulk = 0.0;
                for (int64_t c = 0; c < rest; c++) {
                    const double p =
                        element(wide->data, &n, 1, i, c) * element(wide->data, &n, 1, j, c);
                    sum += p;
                    bulk += fabs(p);
                }
                // Two sums of `rest` exact products, in another order.
                assert_true(fabs(sum - g[i * size + j]) <= 2.0 * (double)rest * 0x1p-53 * bulk);
            }
    }
    eck_array_free(wide);
    eck_array_free(x);
}

static void norms(void **state)
{
    (void)state;
    const double scales[] = { 1.0, 0x1p-900, 0x1p900 };
    eck_array *x = random_tensor(ECK_DTYPE_F64, NDIM, SHAPE, 3);
    double *numbers = x->data, sum = 0.0, norm;
    eck_error err = ECK_ERROR_INIT;

    for (int64_t i = 0; i < 60; i++)
        sum += numbers[i] * numbers[i];
    for (int k = 0; k < 3; k++) {
        for (int64_t i = 0; i < 60; i++)
            numbers[i] *= scales[k];
        good(eck_view_norm(&norm, eck_array_view(x), &err), &err);
        for (int64_t i = 0; i < 60; i++)
            numbers[i] /= scales[k];
        assert_true(fabs(norm / scales[k] - sqrt(sum)) <= 64.0 * 0x1p-53 * sqrt(sum));
    }
    numbers[17] = NAN;
    assert_int_equal(eck_view_norm(&norm, eck_array_view(x), &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 17);
    eck_array_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(unfoldings),
                                        cmocka_unit_test(views_where_strides_allow),
                                        cmocka_unit_test(grams), cmocka_unit_test(norms) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
