// A^T (A X) and A (A^T X) from reads and from products, against sums written out; the same bits for every number of
// threads; what is refused.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tensor/codec.h"

enum { K = 3 };

// want = scale^2 A^T (A x), and the same of absolute values, in long double.
static void written_out(double *want, double *size, const sample *a, bool left, double scale,
                        const double *x)
{
    const int64_t order = left ? a->rows : a->cols, across = left ? a->cols : a->rows;
    for (int64_t c = 0; c < K; c++) {
        for (int64_t i = 0; i < order; i++)
            want[i * K + c] = size[i * K + c] = 0.0;
        for (int64_t t = 0; t < across; t++) {
            long double inner = 0.0L, absolute = 0.0L;
            for (int64_t i = 0; i < order; i++) {
                const long double product =
                    (long double)a->wide[left ? i * a->cols + t : t * a->cols + i] * x[i * K + c];
                inner += product;
                absolute += fabsl(product);
            }
            for (int64_t i = 0; i < order; i++) {
                const double number = a->wide[left ? i * a->cols + t : t * a->cols + i];
                want[i * K + c] += (double)(scale * scale * number * inner);
                size[i * K + c] += (double)(scale * scale * fabs(number) * absolute);
            }
        }
    }
}

static double number_of(eck_panel p, int64_t i)
{
    return p.dtype == ECK_DTYPE_F64 ? ((double *)p.data)[i] : (double)((float *)p.data)[i];
}

// One side, one type: both sums have at most order + across + 8 roundings of absolute values.
static void expect_normal(const sample *a, const eck_operator *op, bool left, eck_dtype dtype)
{
    const int64_t order = left ? a->rows : a->cols, count = order * K;
    const double unit = dtype == ECK_DTYPE_F64 ? 0x1p-53 : 0x1p-24, scale = 0.5;
    const double allowed = unit * (double)(a->rows + a->cols + 8);
    double *const x = test_calloc((size_t)count + 1, sizeof *x), *const out =
                                                                     test_calloc((size_t)count + 1,
                                                                                 sizeof *out);
    double *const want = test_calloc((size_t)count + 1, sizeof *want), *const size = test_calloc(
                                                                           (size_t)count + 1,
                                                                           sizeof *size);
    double *const first = test_calloc((size_t)count + 1, sizeof *first), *const in = test_calloc(
                                                                             (size_t)count + 1,
                                                                             sizeof *in);
    eck_error err = ECK_ERROR_INIT;
    const eck_panel xp = ecki_panel(in, dtype, order, K), op_out = ecki_panel(out, dtype, order, K);
    ecki_random_fill_normal(x, count, 9, 9, 0);
    ecki_round_f64(dtype, x, in, count);
    ecki_widen_f64(dtype, in, 1, x, count);
    written_out(want, size, a, left, scale, x);
    for (int32_t threads = 1; threads <= 3; threads++) {
        eck_context context = ECK_CONTEXT_INIT;
        context.threads = threads;
        memset(out, 0xff, (size_t)count * sizeof *out);
        expect_ok(eck_operator_normal(op, left ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT, scale, xp, op_out,
                                      &context, &err),
                  &err);
        for (int64_t i = 0; i < count; i++)
            assert_true(fabs(number_of(op_out, i) - want[i]) <= allowed * size[i]);
        if (threads == 1) memcpy(first, out, (size_t)count * sizeof *out);
        assert_memory_equal(first, out, (size_t)count * sizeof *out + 1);
    }
    test_free(in);
    test_free(first);
    test_free(size);
    test_free(want);
    test_free(out);
    test_free(x);
}

static void from_reads(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 1, 1 },   { 3, 4 },    { 300, 70 }, { 70, 1100 },
                                  { 600, 3 }, { 2, 4200 }, { 0, 3 },    { 3, 0 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        sample a = sample_create(shapes[s][0], shapes[s][1], ECK_DTYPE_F32, 1.0, s);
        for (int form = 0; form < 4; form++)
            expect_normal(&a, a.op, form % 2 == 1, form < 2 ? ECK_DTYPE_F64 : ECK_DTYPE_F32);
        sample_free(&a);
    }
}

// (c I) A has products of its own, which are used; its transpose turns the sides.
static void from_products(void **state)
{
    (void)state;
    const double two = 2.0;
    sample b = sample_of(&two, 1, 1, ECK_DTYPE_F32),
           a = sample_create(1, 40, ECK_DTYPE_F32, 1.0, 5);
    eck_operator *product = NULL, *turned = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_operator_product(&product, b.op, a.op, 0.5, &err), &err); // = A, exactly
    expect_ok(eck_operator_transposed(&turned, product, &err), &err);
    double flipped[40];
    memcpy(flipped, a.wide, sizeof flipped);
    sample t = sample_of(flipped, 40, 1, ECK_DTYPE_F32);
    for (int form = 0; form < 4; form++) {
        const eck_dtype dtype = form < 2 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
        expect_normal(&a, product, form % 2 == 1, dtype);
        expect_normal(&t, turned, form % 2 == 1, dtype);
    }
    eck_operator_free(turned);
    eck_operator_free(product);
    sample_free(&t);
    sample_free(&a);
    sample_free(&b);
}

static eck_status own_normal(void *self, eck_side side, double scale, eck_panel x, eck_panel out,
                             eck_error *err)
{
    (void)self;
    (void)err;
    ((double *)out.data)[0] = scale * ((double *)x.data)[0] * (side == ECK_SIDE_LEFT ? 10.0 : 20.0);
    return ECK_OK;
}

static eck_status nothing(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)row;
    (void)col;
    (void)err;
    memset(out.data, 0, (size_t)(out.rows * out.cols) * sizeof(double));
    return ECK_OK;
}

// An own method is used, of version 2 only; types must agree; a version nobody knows is refused.
static void own_and_refused(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    eck_operator_methods methods = { .version = 2, .read = nothing, .normal = own_normal };
    double x = 3.0, out = -1.0;
    const eck_panel xp = ecki_panel(&x, ECK_DTYPE_F64, 1, 1),
                    op = ecki_panel(&out, ECK_DTYPE_F64, 1, 1);
    info.rows = info.cols = 1;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    expect_ok(eck_operator_normal(a, ECK_SIDE_RIGHT, 2.0, xp, op, NULL, &err), &err);
    assert_true(out == 120.0);
    assert_int_equal(eck_operator_normal(a, ECK_SIDE_RIGHT, 1.0, xp,
                                         ecki_panel(&out, ECK_DTYPE_F32, 1, 1), NULL, &err),
                     ECK_E_RANGE);
    assert_int_equal(eck_operator_normal(a, ECK_SIDE_RIGHT, 1.0, xp,
                                         ecki_panel(&out, ECK_DTYPE_F64, 0, 1), NULL, &err),
                     ECK_E_SHAPE);
    eck_operator_free(a);
    methods.version = 1;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    expect_ok(eck_operator_normal(a, ECK_SIDE_RIGHT, 2.0, xp, op, NULL, &err), &err);
    assert_true(out == 0.0);
    eck_operator_free(a);
    a = NULL;
    methods.version = 3;
    assert_int_equal(eck_operator_create(&a, &info, &methods, NULL, &err), ECK_E_RANGE);
    assert_null(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(from_reads),
                                        cmocka_unit_test(from_products),
                                        cmocka_unit_test(own_and_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
