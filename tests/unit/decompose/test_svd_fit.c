// Chains made from weights: shapes, splits, storage types, and certificates against errors computed
// here.
#include "chains.h"

/** A weight as the tests know it, in F64 and in its storage type. */
struct weight {
    int64_t rows, cols;
    double *numbers; /**< what the stored numbers are */
    eck_array *stored;
    eck_operator *a;
};

static void weight_clear(struct weight *weight)
{
    eck_operator_free(weight->a);
    eck_array_free(weight->stored);
    free(weight->numbers);
}

/** Gaussian, columns falling so that the spectrum does; `scale` times that, in `dtype`. */
static struct weight make_weight(int64_t rows, int64_t cols, eck_dtype dtype, double scale)
{
    struct weight weight = { rows, cols, calloc((size_t)(rows * cols), sizeof(double)), NULL,
                             NULL };
    eck_array *back = NULL;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            weight.numbers[i * cols + j] = scale *
                                           ecki_random_normal(41, 0, (uint64_t)(i * cols + j)) /
                                           (1.0 + 0.3 * (double)j);
    const eck_view view = eck_view_matrix(weight.numbers, ECK_DTYPE_F64, rows, cols);
    assert_int_equal(eck_array_convert(&weight.stored, view, dtype, NULL), ECK_OK);
    assert_int_equal(eck_array_convert(&back, eck_array_view(weight.stored), ECK_DTYPE_F64, NULL),
                     ECK_OK);
    memcpy(weight.numbers, back->data, (size_t)(rows * cols) * sizeof(double));
    eck_array_free(back);
    assert_int_equal(eck_operator_dense(&weight.a, eck_array_view(weight.stored), NULL), ECK_OK);
    return weight;
}

static eck_point rank_point(int64_t rank)
{
    const eck_point point = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { rank } };

    return point;
}

static const eck_fit_options PLAIN = { 1, ECK_DTYPE_F32, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };

/** || W - last first || / || W ||, from the stored stages by the definition of a product. */
static double true_error(const struct weight *weight, const eck_chain *chain)
{
    double *first = layer_weight(&chain->stages[0]), *last = layer_weight(&chain->stages[1]);
    const int64_t rank = chain->stages[0].out;
    long double error2 = 0.0L, norm2 = 0.0L;

    for (int64_t i = 0; i < weight->rows; i++)
        for (int64_t j = 0; j < weight->cols; j++) {
            const double w = weight->numbers[i * weight->cols + j];
            long double rest = w;
            for (int64_t k = 0; k < rank; k++)
                rest -= (long double)last[i * rank + k] * first[k * weight->cols + j];
            error2 += rest * rest;
            norm2 += (long double)w * w;
        }
    free(first);
    free(last);
    return norm2 > 0.0L ? (double)sqrtl(error2 / norm2) : (double)sqrtl(error2);
}

/**
 * What storing may add. A matrix has at least 64 roundings here: 0.6 unit roundoffs are expected with a deviation of 8
 * percent, and 0.768 (3e-3 for BF16) are allowed. The few roundings of a vector may all be bad: both factors' worst,
 * 2 u + u^2. The exact lane itself adds at most 1e-7.
 */
static double allowed_of(eck_dtype store, bool vector)
{
    const double roundoff = 0.5 * eck_dtype_epsilon(store);

    return (vector ? 2.0 * roundoff + roundoff * roundoff : 0.768 * roundoff) +
           (store == ECK_DTYPE_F64 ? 1e-7 : 0.0);
}

static double worst; // error over what is allowed, of all fits

/** Fits one point and holds its certificate against the truth. */
static void check_fit(const struct weight *weight, const eck_stage *dense, int64_t rank,
                      const eck_fit_options *options)
{
    const eck_point point = rank_point(rank);
    eck_chain chain = { NULL, 0 };
    eck_certificate c;
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;

    const eck_status status = eck_chain_fit(&chain, &c, &(eck_weight){ weight->a, NULL, dense },
                                            &point, options, NULL, &err);
    if (status != ECK_OK) print_message("%s\n", err.message);
    assert_int_equal(status, ECK_OK);
    assert_int_equal(chain.count, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(chain.stages[i].weight->dtype, options->store);
    const double error = true_error(weight, &chain);
    assert_true(c.error_low <= error && error <= c.error_high);
    assert_true(c.error_low <= c.error && c.error <= c.error_high);
    assert_int_equal(c.stored, options->store);
    assert_int_equal(c.proof, options->proof);
    if (eck_operator_get_info(weight->a)->storage != ECK_DTYPE_F64) {
        assert_int_equal(eck_spectrum_create(&spectrum, weight->a, NULL, NULL), ECK_OK);
        const double tail = eck_spectrum_get_info(spectrum)->tails[rank];
        const bool vector = weight->rows == 1 || weight->cols == 1;
        const double allowed = hypot(tail, allowed_of(options->store, vector));
        worst = fmax(worst, error / allowed);
        assert_true(error <= allowed);
        assert_true(c.optimum_low <= tail && tail <= c.optimum_high);
        eck_spectrum_free(spectrum);
    }
    eck_chain_clear(&chain);
}

static void test_certificates(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };
    const int64_t shapes[][2] = { { 40, 24 }, { 24, 40 }, { 1, 7 }, { 7, 1 }, { 1, 1 } };

    for (int s = 0; s < 5; s++)
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++)
                for (int split = 0; split < 3; split++) {
                    struct weight weight = make_weight(shapes[s][0], shapes[s][1], types[a], 1.0);
                    const eck_stage dense = eck_stage_linear(shapes[s][1], shapes[s][0]);
                    const int64_t most = shapes[s][0] < shapes[s][1] ? shapes[s][0] : shapes[s][1];
                    const eck_fit_options options = { 1, types[b], (eck_split)split,
                                                      ECK_PROOF_RESIDUAL };
                    check_fit(&weight, &dense, 1, &options);
                    check_fit(&weight, &dense, (most + 1) / 2, &options);
                    check_fit(&weight, &dense, most, &options);
                    weight_clear(&weight);
                }
    printf("worst error: %.3f of what is allowed\n", worst);
}

static void test_bound(void **state)
{
    (void)state;
    struct weight weight = make_weight(50, 70, ECK_DTYPE_F32, 1.0);
    const eck_stage dense = eck_stage_linear(70, 50);
    const eck_fit_options options = { 1, ECK_DTYPE_F16, ECK_SPLIT_BALANCED, ECK_PROOF_BOUND };

    check_fit(&weight, &dense, 9, &options);
    weight_clear(&weight);
}

/** Squared lengths: columns of last, rows of first. */
static void lengths(double *of_last, double *of_first, const eck_chain *chain)
{
    double *first = layer_weight(&chain->stages[0]), *last = layer_weight(&chain->stages[1]);
    const int64_t rank = chain->stages[0].out, rows = chain->stages[1].out;
    const int64_t cols = eck_stage_parameters(&chain->stages[0]) / rank;

    for (int64_t k = 0; k < rank; k++) {
        of_last[k] = of_first[k] = 0.0;
        for (int64_t i = 0; i < rows; i++)
            of_last[k] += last[i * rank + k] * last[i * rank + k];
        for (int64_t j = 0; j < cols; j++)
            of_first[k] += first[k * cols + j] * first[k * cols + j];
    }
    free(first);
    free(last);
}

// Factors in F64, so that only the engine's own rounding remains: columns orthonormal to 8 sqrt(k)
// u, values to 1e-7 of the largest (the promise of the exact lane). Allowed: 1e-6.
static void test_split(void **state)
{
    (void)state;
    enum { RANK = 6 };
    const int64_t shapes[][2] = { { 40, 24 }, { 24, 40 } };

    for (int s = 0; s < 2; s++)
        for (int split = 0; split < 3; split++) {
            struct weight weight = make_weight(shapes[s][0], shapes[s][1], ECK_DTYPE_F32, 1.0);
            const eck_stage dense = eck_stage_linear(shapes[s][1], shapes[s][0]);
            const eck_fit_options options = { 1, ECK_DTYPE_F64, (eck_split)split,
                                              ECK_PROOF_RESIDUAL };
            const eck_point point = rank_point(RANK);
            double last[RANK], first[RANK];
            eck_chain chain = { NULL, 0 };
            eck_certificate c;
            assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense },
                                           &point, &options, NULL, NULL),
                             ECK_OK);
            lengths(last, first, &chain);
            for (int k = 0; k < RANK; k++) {
                if (split == ECK_SPLIT_BALANCED) assert_true(fabs(last[k] / first[k] - 1.0) < 1e-6);
                if (split == ECK_SPLIT_LEFT) assert_true(fabs(first[k] - 1.0) < 1e-6);
                if (split == ECK_SPLIT_RIGHT) assert_true(fabs(last[k] - 1.0) < 1e-6);
                if (k > 0) assert_true(last[k] * first[k] <= last[k - 1] * first[k - 1]);
            }
            eck_chain_clear(&chain);
            weight_clear(&weight);
        }
}

static void test_convolution(void **state)
{
    (void)state;
    const int64_t k34[] = { 3, 4 };
    eck_stage dense = eck_stage_conv(5, 20, 1, 2, k34);
    struct weight weight = make_weight(20, 60, ECK_DTYPE_F32, 1.0);
    const eck_point point = rank_point(4);
    eck_chain chain = { NULL, 0 };
    eck_certificate c;

    dense.stride[0] = 2;
    dense.dilation[1] = 3;
    assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense }, &point,
                                   &PLAIN, NULL, NULL),
                     ECK_OK);
    const eck_stage *first = &chain.stages[0], *last = &chain.stages[1];
    assert_int_equal(first->kind, ECK_STAGE_CONV);
    assert_int_equal(first->weight->ndim, 4);
    assert_memory_equal(first->weight->shape, ((int64_t[]){ 4, 5, 3, 4 }), 4 * sizeof(int64_t));
    assert_int_equal(first->stride[0], 2);
    assert_int_equal(first->stride[1], -1);
    assert_int_equal(first->dilation[1], 3);
    assert_int_equal(last->kind, ECK_STAGE_CONV);
    assert_int_equal(last->spatial, 2);
    assert_int_equal(last->weight->ndim, 4);
    assert_memory_equal(last->weight->shape, ((int64_t[]){ 20, 4, 1, 1 }), 4 * sizeof(int64_t));
    const double error = true_error(&weight, &chain);
    assert_true(c.error_low <= error && error <= c.error_high);
    eck_chain_clear(&chain);
    weight_clear(&weight);
    for (int32_t spatial = 1; spatial <= 3; spatial += 2) {
        const int64_t kernel[] = { 2, 3, 2 };
        dense = eck_stage_conv(5, 12, 1, spatial, kernel);
        weight = make_weight(12, spatial == 1 ? 10 : 60, ECK_DTYPE_BF16, 1.0);
        check_fit(&weight, &dense, 3, &PLAIN);
        weight_clear(&weight);
    }
}

static void test_lookup(void **state)
{
    (void)state;
    struct weight weight = make_weight(16, 90, ECK_DTYPE_F16, 1.0); // the table, transposed
    eck_stage dense = eck_stage_linear(90, 16);
    const eck_point point = rank_point(5);
    eck_chain chain = { NULL, 0 };
    eck_certificate c;

    dense.kind = ECK_STAGE_LOOKUP;
    check_fit(&weight, &dense, 5, &PLAIN);
    assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense }, &point,
                                   &PLAIN, NULL, NULL),
                     ECK_OK);
    assert_int_equal(chain.stages[0].kind, ECK_STAGE_LOOKUP);
    assert_memory_equal(chain.stages[0].weight->shape, ((int64_t[]){ 90, 5 }), 2 * sizeof(int64_t));
    assert_int_equal(chain.stages[1].kind, ECK_STAGE_LINEAR);
    assert_memory_equal(chain.stages[1].weight->shape, ((int64_t[]){ 16, 5 }), 2 * sizeof(int64_t));
    eck_chain_clear(&chain);
    weight_clear(&weight);
}

/** A spectrum computed before gives the same bytes as one computed inside. */
static void test_given_spectrum(void **state)
{
    (void)state;
    struct weight weight = make_weight(30, 50, ECK_DTYPE_BF16, 1.0);
    const eck_stage dense = eck_stage_linear(50, 30);
    const eck_point point = rank_point(7);
    eck_chain a = { NULL, 0 }, b = { NULL, 0 };
    eck_spectrum *spectrum = NULL;
    eck_certificate c;

    assert_int_equal(eck_spectrum_create(&spectrum, weight.a, NULL, NULL), ECK_OK);
    assert_int_equal(eck_chain_fit(&a, &c, &(eck_weight){ weight.a, spectrum, &dense }, &point,
                                   &PLAIN, NULL, NULL),
                     ECK_OK);
    assert_int_equal(
        eck_chain_fit(&b, &c, &(eck_weight){ weight.a, NULL, &dense }, &point, &PLAIN, NULL, NULL),
        ECK_OK);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(a.stages[i].weight->data, b.stages[i].weight->data,
                            (size_t)eck_stage_parameters(&a.stages[i]) * 4);
    eck_spectrum_free(spectrum);
    eck_chain_clear(&a);
    eck_chain_clear(&b);
    weight_clear(&weight);
}

static void test_zero_weight(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_F64 };

    for (int t = 0; t < 2; t++) {
        struct weight weight = make_weight(12, 9, types[t], 0.0);
        const eck_stage dense = eck_stage_linear(9, 12);
        const eck_point point = rank_point(1);
        eck_chain chain = { NULL, 0 };
        eck_certificate c;
        assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense }, &point,
                                       &PLAIN, NULL, NULL),
                         ECK_OK);
        assert_true(true_error(&weight, &chain) == 0.0);
        assert_true(c.error == 0.0 && c.error_high == 0.0);
        eck_chain_clear(&chain);
        weight_clear(&weight);
    }
}

/** A rank beyond that of the matrix: columns that are only noise do no harm. */
static void test_deficient(void **state)
{
    (void)state;
    struct weight weight = make_weight(20, 30, ECK_DTYPE_F32, 1.0);
    const eck_stage dense = eck_stage_linear(30, 20);
    float *data = weight.stored->data;

    for (int64_t i = 1; i < 20; i++)
        for (int64_t j = 0; j < 30; j++) {
            data[i * 30 + j] = (float)(i % 3) * data[j];
            weight.numbers[i * 30 + j] = data[i * 30 + j];
        }
    for (int split = 0; split < 3; split++) {
        const eck_fit_options options = { 1, ECK_DTYPE_BF16, (eck_split)split, ECK_PROOF_RESIDUAL };
        check_fit(&weight, &dense, 12, &options);
    }
    weight_clear(&weight);
}

static void test_overflow(void **state)
{
    (void)state;
    const eck_split splits[] = { ECK_SPLIT_LEFT, ECK_SPLIT_RIGHT };
    const char *const names[] = { "factor 'last'", "factor 'first'" };
    struct weight weight = make_weight(20, 30, ECK_DTYPE_F32, 1e5);
    const eck_stage dense = eck_stage_linear(30, 20);
    const eck_point point = rank_point(3);

    for (int i = 0; i < 2; i++) {
        const eck_fit_options options = { 1, ECK_DTYPE_F16, splits[i], ECK_PROOF_RESIDUAL };
        eck_chain chain = { NULL, -3 };
        eck_certificate c;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense }, &point,
                                       &options, NULL, &err),
                         ECK_E_RANGE);
        assert_non_null(strstr(err.message, names[i]));
        assert_non_null(strstr(err.message, "F16"));
        assert_int_equal(chain.count, -3);
    }
    const eck_fit_options balanced = { 1, ECK_DTYPE_F16, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    check_fit(&weight, &dense, 3, &balanced);
    weight_clear(&weight);
}

/** Values below the normal range of F16 lose digits; the certificate says so. */
static void test_subnormal(void **state)
{
    (void)state;
    struct weight weight = make_weight(20, 30, ECK_DTYPE_F32, 1e-6);
    const eck_stage dense = eck_stage_linear(30, 20);
    const eck_fit_options options = { 1, ECK_DTYPE_F16, ECK_SPLIT_LEFT, ECK_PROOF_RESIDUAL };
    const eck_point point = rank_point(20);
    eck_chain chain = { NULL, 0 };
    eck_certificate c;

    assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight.a, NULL, &dense }, &point,
                                   &options, NULL, NULL),
                     ECK_OK);
    const double error = true_error(&weight, &chain);
    printf("F16 factor below its normal range: error %.3g, certified %.3g\n", error, c.error_high);
    assert_true(error > 10.0 * eck_storage_floor(ECK_DTYPE_F16));
    assert_true(c.error_low <= error && error <= c.error_high);
    eck_chain_clear(&chain);
    weight_clear(&weight);
}

static void refuse(const struct weight *weight, const eck_stage *dense, const eck_point *point,
                   const eck_fit_options *options, eck_status expected)
{
    eck_chain chain = { NULL, -3 };
    eck_certificate c;
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(eck_chain_fit(&chain, &c, &(eck_weight){ weight->a, NULL, dense }, point,
                                   options, NULL, &err),
                     expected);
    assert_int_equal(err.status, expected);
    assert_int_equal(chain.count, -3);
}

static void test_refusals(void **state)
{
    (void)state;
    struct weight weight = make_weight(12, 18, ECK_DTYPE_F32, 1.0);
    eck_stage dense = eck_stage_linear(18, 12), other = eck_stage_linear(12, 18);
    eck_point point = rank_point(3), bad = rank_point(0);
    eck_fit_options options = PLAIN;
    const int64_t k3[] = { 3 };

    refuse(&weight, &dense, &bad, &PLAIN, ECK_E_RANGE);
    bad = rank_point(13);
    refuse(&weight, &dense, &bad, &PLAIN, ECK_E_RANGE);
    bad = rank_point(3);
    bad.rank_count = 2;
    refuse(&weight, &dense, &bad, &PLAIN, ECK_E_RANGE);
    bad = (eck_point){ .method = ECK_METHOD_DENSE };
    refuse(&weight, &dense, &bad, &PLAIN, ECK_E_RANGE);
    refuse(&weight, &other, &point, &PLAIN, ECK_E_SHAPE);
    other = eck_stage_conv(12, 12, 2, 1, k3);
    refuse(&weight, &other, &point, &PLAIN, ECK_E_RANGE); // three channels in two groups
    other = eck_stage_conv(6, 12, 1, 1, k3); // [12, 18], but [6, 36] as it is stored
    other.kind = ECK_STAGE_CONV_TRANSPOSE;
    refuse(&weight, &other, &point, &PLAIN, ECK_E_SHAPE);
    options.store = ECK_DTYPE_I8;
    refuse(&weight, &dense, &point, &options, ECK_E_RANGE);
    options = PLAIN;
    options.version = 7;
    refuse(&weight, &dense, &point, &options, ECK_E_RANGE);
    options = PLAIN;
    options.proof = ECK_PROOF_TAIL;
    refuse(&weight, &dense, &point, &options, ECK_E_RANGE);
    options = PLAIN;
    options.split = (eck_split)9;
    refuse(&weight, &dense, &point, &options, ECK_E_RANGE);
    ((float *)weight.stored->data)[40] = NAN;
    refuse(&weight, &dense, &point, &PLAIN, ECK_E_NONFINITE);
    weight_clear(&weight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_split),        cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_lookup),       cmocka_unit_test(test_given_spectrum),
        cmocka_unit_test(test_zero_weight),  cmocka_unit_test(test_deficient),
        cmocka_unit_test(test_overflow),     cmocka_unit_test(test_subnormal),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
