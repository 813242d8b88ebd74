// batch.c, batch_lanes.c, batch_exact.c and batch_error.c: what is asked for and refused, storage types, parts of the result,
// memory, the larger matrices.
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "eckart/batch.h"
#include "support.h"

enum { COUNT = 23, ROWS = 7, COLS = 5, SIDE = 40 };

static float numbers[COUNT * SIDE * SIDE];

static int make_numbers(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT * SIDE * SIDE; i++)
        numbers[i] = (float)(sin(2.385 * i) + cos(0.17 * i * (i % 13)));
    return 0;
}

static eck_view batch_view(int64_t rows, int64_t cols)
{
    const int64_t shape[3] = { COUNT, rows, cols };
    return eck_view_of(numbers, ECK_DTYPE_F32, 3, shape);
}

static eck_svd_batch *batch_of(eck_view a, const eck_svd_batch_options *options)
{
    eck_svd_batch *out = NULL;
    eck_error err = ECK_ERROR_INIT;
    const eck_context two = { 1, 2, 0, NULL, NULL };
    expect_ok(eck_svd_batch_compute(&out, a, options, &two, &err), &err);
    return out;
}

static void refused(eck_view a, const eck_svd_batch_options *options, const eck_context *context,
                    eck_status expected, const char *says)
{
    eck_svd_batch *out = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_svd_batch_compute(&out, a, options, context, &err), expected);
    assert_null(out);
    assert_int_equal(err.status, expected);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
}

static void options_are_checked(void **state)
{
    (void)state;
    const eck_svd_batch_options right = ECK_SVD_BATCH_OPTIONS_INIT;
    const eck_view a = batch_view(ROWS, COLS);
    eck_svd_batch_options o;
    eck_svd_batch_options_init(&o);
    assert_true(o.version == 1 && o.rank == 0 && o.want == right.want && !o.errors &&
                o.compute == ECK_DTYPE_NONE);
    o.version = 2;
    refused(a, &o, NULL, ECK_E_RANGE, "version 2, not 1");
    o = right;
    o.rank = COLS + 1;
    refused(a, &o, NULL, ECK_E_RANGE, "rank: found 6, allowed: 0 to 5");
    o.rank = -1;
    refused(a, &o, NULL, ECK_E_RANGE, "rank: found -1");
    o = right;
    o.want = ECK_WANT_FULL;
    refused(a, &o, NULL, ECK_E_RANGE, "want: found 16");
    o.want = ECK_WANT_LEFT;
    o.errors = true;
    refused(a, &o, NULL, ECK_E_RANGE, "errors need left and right");
    o = right;
    o.compute = ECK_DTYPE_BF16;
    refused(a, &o, NULL, ECK_E_RANGE, "compute: found BF16, allowed for F32: F64 or F32");
    const double wide[4] = { 1, 2, 3, 4 };
    o.compute = ECK_DTYPE_F32;
    refused(eck_view_matrix(wide, ECK_DTYPE_F64, 2, 2), &o, NULL, ECK_E_RANGE,
            "compute: found F32, allowed for F64: F64");
}

static void views_are_checked(void **state)
{
    (void)state;
    const int64_t shape[3] = { COUNT, ROWS, COLS }, huge[4] = { 1LL << 40, 1LL << 40, 2, 2 };
    refused(eck_view_of(numbers, ECK_DTYPE_F32, 1, shape), NULL, NULL, ECK_E_SHAPE,
            "2 to 8 dimensions, not 1");
    refused(eck_view_of(numbers, ECK_DTYPE_C64, 3, shape), NULL, NULL, ECK_E_RANGE,
            "type C64 holds no numbers");
    refused(batch_view(0, 3), NULL, NULL, ECK_E_SHAPE, "are empty: [0,3]");
    refused(eck_view_of(numbers, ECK_DTYPE_F32, 4, huge), NULL, NULL, ECK_E_SHAPE,
            "can be counted");
}

static bool cancel(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user;
    assert_string_equal(what, "decompose");
    assert_true(done < total);
    return false;
}

static void memory_and_cancelling(void **state)
{
    (void)state;
    const int64_t sides[] = { 6, SIDE };
    for (int i = 0; i < 2; i++) {
        const eck_view a = batch_view(sides[i], sides[i]);
        eck_svd_batch_options o = ECK_SVD_BATCH_OPTIONS_INIT;
        o.errors = true;
        const int64_t least = eck_svd_batch_memory(&a, &o, 1);
        eck_context context = { 1, 2, least - 1, NULL, NULL };
        refused(a, &o, &context, ECK_E_BUDGET, "are allowed");
        context.memory = least;
        eck_svd_batch *out = NULL;
        const int64_t before = ecki_memory_now();
        ecki_memory_reset_peak();
        expect_ok(eck_svd_batch_compute(&out, a, &o, &context, NULL), NULL);
        // Heads of blocks: 80 bytes each, five arrays of two.
        expect_at_most("bytes held", (double)(ecki_memory_peak() - before),
                       (double)(least + 10 * 80));
        eck_svd_batch_free(out);
        context.memory = 0;
        context.progress = cancel;
        refused(a, &o, &context, ECK_E_CANCELLED, "cancelled");
    }
    const eck_view bad = batch_view(0, 1);
    assert_true(eck_svd_batch_memory(&bad, NULL, 1) == INT64_MAX);
}

static void not_finite_is_named(void **state)
{
    (void)state;
    const int64_t sides[] = { 6, SIDE };
    for (int i = 0; i < 2; i++) {
        const int64_t size = sides[i] * sides[i],
                      places[] = { 0, 17 * size + 2 * sides[i] + 3, COUNT * size - 1 };
        for (int p = 2; p >= 0; p--) {
            eck_svd_batch *out = NULL;
            eck_error err = ECK_ERROR_INIT;
            const float kept = numbers[places[p]];
            const float last = numbers[COUNT * size - 1];
            numbers[COUNT * size - 1] = INFINITY; // the first is named, not any
            numbers[places[p]] = NAN;
            assert_int_equal(
                eck_svd_batch_compute(&out, batch_view(sides[i], sides[i]), NULL, NULL, &err),
                ECK_E_NONFINITE);
            numbers[COUNT * size - 1] = last;
            numbers[places[p]] = kept;
            assert_null(out);
            assert_int_equal(err.offset, places[p]);
            if (p == 1)
                assert_non_null(strstr(err.message, "matrix 17 of the batch: element (2,3)"));
        }
    }
}

// The same numbers in every type that holds them give the same bytes.
static void storage_types(void **state)
{
    (void)state;
    const int64_t shape[3] = { 11, 4, 6 };
    float small[11 * 4 * 6];
    int32_t whole[11 * 4 * 6];
    for (int i = 0; i < 11 * 4 * 6; i++)
        small[i] = (float)(whole[i] = (i * 37 + i * i) % 15 - 7);
    const eck_view plain = eck_view_of(small, ECK_DTYPE_F32, 3, shape);
    eck_svd_batch *const one = batch_of(plain, NULL);
    const eck_dtype types[] = { ECK_DTYPE_F16, ECK_DTYPE_BF16, ECK_DTYPE_F64 };
    for (int t = 0; t < 3; t++) {
        eck_array *copy = NULL;
        expect_ok(eck_array_convert(&copy, plain, types[t], NULL), NULL);
        eck_svd_batch *const two = batch_of(eck_array_view(copy), NULL);
        assert_int_equal(two->s->dtype, types[t] == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32);
        if (types[t] != ECK_DTYPE_F64)
            assert_memory_equal(one->u->data, two->u->data, 11 * 4 * 4 * sizeof(float));
        eck_svd_batch_free(two);
        eck_array_free(copy);
    }
    eck_svd_batch_options o = ECK_SVD_BATCH_OPTIONS_INIT;
    o.compute = ECK_DTYPE_F64;
    eck_svd_batch *const wide = batch_of(plain, &o);
    eck_svd_batch *const ints = batch_of(eck_view_of(whole, ECK_DTYPE_I32, 3, shape), NULL);
    assert_int_equal(ints->s->dtype, ECK_DTYPE_F64);
    assert_memory_equal(wide->vt->data, ints->vt->data, 11 * 4 * 6 * sizeof(double));
    eck_svd_batch_free(ints);
    eck_svd_batch_free(wide);
    eck_svd_batch_free(one);
}

static void parts(void **state)
{
    (void)state;
    const int64_t sides[] = { 6, SIDE };
    for (int i = 0; i < 2; i++) {
        const int64_t n = sides[i];
        eck_svd_batch_options o = ECK_SVD_BATCH_OPTIONS_INIT;
        eck_svd_batch *const whole = batch_of(batch_view(n, n), &o);
        assert_int_equal(whole->engine, i == 0 ? ECK_ENGINE_JACOBI : ECK_ENGINE_EXACT);
        assert_string_equal(eck_engine_name(whole->engine), i == 0 ? "jacobi" : "exact");
        assert_null(whole->errors);
        o.want = ECK_WANT_VALUES;
        eck_svd_batch *const values = batch_of(batch_view(n, n), &o);
        assert_true(!values->u && !values->vt);
        // The two lanes of values may differ by the last bit for larger matrices.
        for (int64_t p = 0; p < COUNT * n; p++)
            expect_at_most("values",
                           fabs(((float *)whole->s->data)[p] - ((float *)values->s->data)[p]),
                           i == 0 ? 0.0 : 0x1p-23 * ((float *)whole->s->data)[p / n * n]);
        o.want = ECK_WANT_RIGHT;
        o.rank = 2;
        eck_svd_batch *const right = batch_of(batch_view(n, n), &o);
        assert_null(right->u);
        assert_int_equal(right->vt->shape[1], 2);
        for (int64_t b = 0; b < COUNT && i == 0; b++)
            assert_memory_equal((float *)right->vt->data + b * 2 * n,
                                (float *)whole->vt->data + b * n * n,
                                (size_t)(2 * n) * sizeof(float));
        eck_svd_batch_free(right);
        eck_svd_batch_free(values);
        eck_svd_batch_free(whole);
    }
}

// [[3,0],[0,-4]]: values 4 and 3; ties in v go to the lowest index: 1/sqrt(2) [1,1; 1,-1] has rows of equal numbers.
static void by_hand(void **state)
{
    (void)state;
    const double a[2][4] = { { 3, 0, 0, -4 }, { -2, -2, 1, -1 } };
    const int64_t shape[3] = { 2, 2, 2 };
    eck_svd_batch *const x = batch_of(eck_view_of(a, ECK_DTYPE_F64, 3, shape), NULL);
    const double *const s = x->s->data, *const u = x->u->data, *const vt = x->vt->data;
    const double u0[4] = { 0, 1, -1, 0 }, vt0[4] = { 0, 1, 1, 0 };
    assert_true(s[0] == 4 && s[1] == 3);
    assert_memory_equal(u, u0, sizeof u0);
    assert_memory_equal(vt, vt0, sizeof vt0);
    expect_at_most("sqrt 8", fabs(s[2] - sqrt(8.0)), 0x1p-51);
    expect_at_most("sqrt 2", fabs(s[3] - sqrt(2.0)), 0x1p-52);
    assert_true(vt[4] > 0 && vt[5] > 0 && vt[6] > 0 && vt[7] < 0);
    assert_true(u[4] < 0);
    eck_svd_batch_free(x);
}

static void an_empty_batch(void **state)
{
    (void)state;
    const int64_t shape[3] = { 0, 3, 2 };
    eck_svd_batch *const x = batch_of(eck_view_of(numbers, ECK_DTYPE_F32, 3, shape), NULL);
    assert_int_equal(x->count, 0);
    assert_int_equal(x->u->shape[0], 0);
    eck_svd_batch_free(x);
    eck_svd_batch *const one = batch_of(eck_view_matrix(numbers, ECK_DTYPE_F32, 3, 2), NULL);
    assert_int_equal(one->s->ndim, 1);
    assert_int_equal(one->count, 1);
    eck_svd_batch_free(one);
    eck_svd_batch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(options_are_checked),
                                        cmocka_unit_test(views_are_checked),
                                        cmocka_unit_test(memory_and_cancelling),
                                        cmocka_unit_test(not_finite_is_named),
                                        cmocka_unit_test(storage_types),
                                        cmocka_unit_test(parts),
                                        cmocka_unit_test(by_hand),
                                        cmocka_unit_test(an_empty_batch) };
    return cmocka_run_group_tests(tests, make_numbers, NULL);
}
