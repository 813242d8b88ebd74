// Curves: costs against the stages they stand for, errors against the spectrum, the storage floor
// against rounding.
#include "chains.h"
#include "tensor/codec.h"

/** A spectrum that falls like 1 / i^0.7, for a matrix of any shape. */
struct made_spectrum {
    eck_spectrum_info info;
    double *values, *tails;
};

static struct made_spectrum make_spectrum(int64_t rows, int64_t cols)
{
    const int64_t count = rows < cols ? rows : cols;
    struct made_spectrum made = { { .rows = rows, .cols = cols, .count = count }, NULL, NULL };

    made.values = calloc((size_t)count, sizeof(double));
    made.tails = calloc((size_t)(count + 1), sizeof(double));
    for (int64_t i = count - 1; i >= 0; i--) {
        made.values[i] = 3.0 * pow((double)(i + 1), -0.7);
        made.info.norm2 += made.values[i] * made.values[i];
        made.tails[i] = made.info.norm2;
    }
    for (int64_t i = 0; i < count; i++)
        made.tails[i] = sqrt(made.tails[i] / made.info.norm2);
    made.info.values = made.values;
    made.info.tails = made.tails;
    return made;
}

static void free_spectrum(struct made_spectrum *made)
{
    free(made->values);
    free(made->tails);
}

/** Parameters of the two stages that rank k makes of a layer, by the shapes of the stages. */
static int64_t two_stages(const eck_stage *dense, int64_t rank)
{
    eck_stage first = *dense, last = eck_stage_linear(rank, dense->out);

    first.out = rank;
    return eck_stage_parameters(&first) + eck_stage_parameters(&last);
}

static eck_stage lookup(int64_t in, int64_t out)
{
    eck_stage stage = eck_stage_linear(in, out);

    stage.kind = ECK_STAGE_LOOKUP;
    return stage;
}

static void test_break_even(void **state)
{
    (void)state;
    const int64_t k33[] = { 3, 3 }, one[] = { 1 };

    for (int64_t in = 1; in < 30; in++)
        for (int64_t out = 1; out < 30; out++) {
            const eck_stage layers[] = { eck_stage_linear(in, out), lookup(in, out),
                                         eck_stage_conv(in, out, 1, 2, k33),
                                         eck_stage_conv(in, out, 1, 1, one) };
            for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
                const int64_t rank = eck_break_even_rank(&layers[i]);
                const int64_t dense = eck_stage_parameters(&layers[i]);
                assert_true(rank == 0 || two_stages(&layers[i], rank) < dense);
                assert_true(two_stages(&layers[i], rank + 1) >= dense);
            }
        }
}

static void test_break_even_of_others(void **state)
{
    (void)state;
    const int64_t k33[] = { 3, 3 };
    eck_stage stage = eck_stage_linear(64, 64);

    stage.kind = ECK_STAGE_SCALE;
    assert_int_equal(eck_break_even_rank(&stage), 0);
    // [64, 48 * 9] as it is stored: a rank costs 64 + 432 of the 27648 numbers
    stage = eck_stage_conv(64, 48, 1, 2, k33);
    stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    assert_int_equal(eck_break_even_rank(&stage), 55);
    // two groups of 32 x 32 x 3 x 3: a rank costs 32 * 9 + 32 numbers, so 57.6 of them cost as much; both groups have 28
    stage = eck_stage_conv(64, 64, 2, 2, k33);
    assert_int_equal(eck_break_even_rank(&stage), 56);
    stage = eck_stage_conv(64, 64, 64, 2, k33);
    assert_int_equal(eck_break_even_rank(&stage), 0);
    stage = eck_stage_linear(INT64_MAX, INT64_MAX);
    assert_int_equal(eck_break_even_rank(&stage), 0);
    stage = eck_stage_linear(0, 5);
    assert_int_equal(eck_break_even_rank(&stage), 0);
    stage = eck_stage_linear(4096, 4096);
    assert_int_equal(eck_break_even_rank(&stage), 2047);
}

/** Every number of a curve of one layer. */
static void check_curve(const eck_stage *dense, eck_dtype original, eck_dtype store)
{
    const int64_t parameters = eck_stage_parameters(dense);
    struct made_spectrum made = make_spectrum(dense->out, parameters / dense->out);
    eck_curve curve = { NULL, 0 };

    assert_int_equal(eck_curve_svd(&curve, dense, &made.info, original, store, NULL), ECK_OK);
    assert_int_equal(curve.count, eck_break_even_rank(dense) + 1);
    for (int64_t i = 0; i + 1 < curve.count; i++) {
        const eck_point *p = &curve.points[i];
        assert_int_equal(p->method, ECK_METHOD_SVD);
        assert_int_equal(p->rank_count, 1);
        assert_int_equal(p->ranks[0], i + 1);
        assert_int_equal(p->parameters, two_stages(dense, i + 1));
        assert_int_equal(p->bytes, p->parameters * eck_dtype_bits(store) / 8);
        assert_true(p->parameters < p[1].parameters);
        const double error2 = made.tails[i + 1] * made.tails[i + 1] +
                              eck_storage_floor(store) * eck_storage_floor(store);
        assert_true(fabs(p->error * p->error - error2) <= 4.0 * DBL_EPSILON * error2);
        assert_true(p->damage == p->error * p->error);
    }
    const eck_point *last = &curve.points[curve.count - 1];
    assert_int_equal(last->method, ECK_METHOD_DENSE);
    assert_int_equal(last->rank_count, 0);
    assert_int_equal(last->parameters, parameters);
    assert_int_equal(last->bytes, parameters * eck_dtype_bits(original) / 8);
    assert_true(last->error == 0.0 && last->damage == 0.0);
    eck_curve_clear(&curve);
    assert_null(curve.points);
    assert_int_equal(curve.count, 0);
    free_spectrum(&made);
}

static void test_curves(void **state)
{
    (void)state;
    const int64_t k33[] = { 3, 3 };
    const eck_stage layers[] = { eck_stage_linear(96, 64), lookup(500, 48),
                                 eck_stage_conv(24, 40, 1, 2, k33), eck_stage_linear(1, 9),
                                 eck_stage_linear(1, 1) };
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };

    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++)
                check_curve(&layers[i], types[a], types[b]);
}

static void test_operations(void **state)
{
    (void)state;
    const eck_stage layers[] = { eck_stage_linear(96, 64), lookup(500, 48) };
    const int64_t dense[] = { 96 * 64, 0 }, each[] = { 96 + 64, 48 };

    for (int i = 0; i < 2; i++) {
        struct made_spectrum made = make_spectrum(layers[i].out, layers[i].in);
        eck_curve curve = { NULL, 0 };
        assert_int_equal(
            eck_curve_svd(&curve, &layers[i], &made.info, ECK_DTYPE_F32, ECK_DTYPE_F32, NULL),
            ECK_OK);
        assert_int_equal(curve.points[6].macs, 7 * each[i]);
        assert_int_equal(curve.points[curve.count - 1].macs, dense[i]);
        eck_curve_clear(&curve);
        free_spectrum(&made);
    }
}

static void test_dense_only(void **state)
{
    (void)state;
    const int64_t k33[] = { 3, 3 };
    const eck_stage grouped = eck_stage_conv(32, 32, 32, 2, k33);
    eck_curve curve = { NULL, 0 };

    assert_int_equal(eck_curve_svd(&curve, &grouped, NULL, ECK_DTYPE_F32, ECK_DTYPE_F32, NULL),
                     ECK_OK);
    assert_int_equal(curve.count, 1);
    assert_int_equal(curve.points[0].parameters, 288);
    eck_curve_clear(&curve);
}

static void test_zero_matrix(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(8, 8);
    struct made_spectrum made = make_spectrum(8, 8);
    eck_curve curve = { NULL, 0 };

    memset(made.values, 0, 8 * sizeof(double));
    memset(made.tails, 0, 9 * sizeof(double));
    made.info.norm2 = 0.0;
    assert_int_equal(eck_curve_svd(&curve, &dense, &made.info, ECK_DTYPE_F32, ECK_DTYPE_BF16, NULL),
                     ECK_OK);
    assert_true(curve.points[0].error == 0.0 && curve.points[0].damage == 0.0);
    eck_curve_clear(&curve);
    free_spectrum(&made);
}

static void test_refusals(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(8, 9), huge = eck_stage_linear(INT64_MAX, 2);
    struct made_spectrum made = make_spectrum(8, 9);
    eck_curve curve = { NULL, -5 };
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(eck_curve_svd(&curve, &dense, &made.info, ECK_DTYPE_F32, ECK_DTYPE_F32, &err),
                     ECK_E_SHAPE);
    assert_non_null(strstr(err.message, "[8,9]"));
    assert_int_equal(eck_curve_svd(&curve, &huge, &made.info, ECK_DTYPE_F32, ECK_DTYPE_F32, NULL),
                     ECK_E_SHAPE);
    const eck_stage turned = eck_stage_linear(9, 8);
    assert_int_equal(eck_curve_svd(&curve, &turned, &made.info, ECK_DTYPE_F32, ECK_DTYPE_I8, NULL),
                     ECK_E_RANGE);
    assert_int_equal(eck_curve_svd(&curve, &turned, &made.info, ECK_DTYPE_F4, ECK_DTYPE_F32, NULL),
                     ECK_E_RANGE);
    assert_int_equal(curve.count, -5);
    free_spectrum(&made);
}

/** A curve of break-even 2047, as an LLM's square layers have. */
static void test_memory(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(4096, 4096);
    struct made_spectrum made = make_spectrum(4096, 4096);
    eck_curve curve = { NULL, 0 };
    const int64_t before = ecki_memory_now();

    assert_int_equal(
        eck_curve_svd(&curve, &dense, &made.info, ECK_DTYPE_BF16, ECK_DTYPE_BF16, NULL), ECK_OK);
    const int64_t bytes = ecki_memory_now() - before;
    const int64_t allowed = 2048 * (int64_t)sizeof(eck_point) + 4096; // and the head of one block
    printf("curve of 4096 x 4096: %lld points, %lld bytes, allowed %lld\n", (long long)curve.count,
           (long long)bytes, (long long)allowed);
    assert_true(bytes <= allowed);
    eck_curve_clear(&curve);
    free_spectrum(&made);
}

// ---- the storage floor

enum { SIDE = 192, RANK = 32 };

/** Gaussian factors whose columns have lengths over three decades, split as asked. */
static void make_factors(double *last, double *first, eck_split split)
{
    for (int64_t j = 0; j < RANK; j++) {
        const double s = pow(1000.0, -(double)j / RANK);
        const double of_last = split == ECK_SPLIT_BALANCED ? sqrt(s)
                               : split == ECK_SPLIT_LEFT   ? s
                                                           : 1.0;
        for (int64_t i = 0; i < SIDE; i++) {
            last[i * RANK + j] = of_last * ecki_random_normal(31, 0, (uint64_t)(i * RANK + j));
            first[j * SIDE + i] = s / of_last * ecki_random_normal(31, 1, (uint64_t)(i * RANK + j));
        }
    }
}

static void multiply(double *out, const double *last, const double *first)
{
    memset(out, 0, SIDE * SIDE * sizeof *out);
    for (int64_t i = 0; i < SIDE; i++)
        for (int64_t j = 0; j < RANK; j++)
            for (int64_t k = 0; k < SIDE; k++)
                out[i * SIDE + k] += last[i * RANK + j] * first[j * SIDE + k];
}

static void round_trip(double *numbers, eck_dtype dtype)
{
    static unsigned char stored[SIDE * RANK * 8];

    ecki_round_f64(dtype, numbers, stored, SIDE * RANK);
    ecki_widen_f64(dtype, stored, 1, numbers, SIDE * RANK);
}

// The squared error is a sum over 2 * 192 * 32 roundings, weighted by s_j^2, which counts like 2 *
// 192 * 5 equal ones: its standard deviation is about 3 percent, that of the root half as much.
// Gaussian mantissas shift the mean by at most 0.3 percent. Allowed: 5 percent.
static void test_floor(void **state)
{
    (void)state;
    static double last[SIDE * RANK], first[SIDE * RANK], exact[SIDE * SIDE], stored[SIDE * SIDE];
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };

    for (int t = 0; t < 3; t++)
        for (int split = 0; split < 3; split++) {
            double norm2 = 0.0, error2 = 0.0;
            make_factors(last, first, (eck_split)split);
            multiply(exact, last, first);
            round_trip(last, types[t]);
            round_trip(first, types[t]);
            multiply(stored, last, first);
            for (int64_t i = 0; i < SIDE * SIDE; i++) {
                norm2 += exact[i] * exact[i];
                error2 += (stored[i] - exact[i]) * (stored[i] - exact[i]);
            }
            const double measured = sqrt(error2 / norm2), derived = eck_storage_floor(types[t]);
            printf("floor of %-4s split %d: measured %.3e, derived %.3e, ratio %.3f, allowed 0.95 "
                   ".. 1.05\n",
                   eck_dtype_name(types[t]), split, measured, derived, measured / derived);
            assert_true(fabs(measured / derived - 1.0) < 0.05);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_break_even), cmocka_unit_test(test_break_even_of_others),
        cmocka_unit_test(test_curves),     cmocka_unit_test(test_operations),
        cmocka_unit_test(test_dense_only), cmocka_unit_test(test_zero_matrix),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_floor),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
