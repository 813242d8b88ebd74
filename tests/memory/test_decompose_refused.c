// Curves, factors and chains, each request for memory refused in turn.
#include "failing_allocator.h"

#include <string.h>

#include "eckart/als.h"
#include "eckart/decompose.h"

enum { ROWS = 12, COLS = 9, RANK = 3 };

// A sum of three products of a row's and a column's number: rank 3.
static float numbers[ROWS * COLS];

static void fill_numbers(void)
{
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            numbers[i * COLS + j] = (float)(1 + i * j + (i % 3) * (j % 2));
}

// One thread: which allocation comes first must not depend on luck.
static const eck_context alone = { 1, 1, 0, NULL, NULL };

static eck_status outline_scenario(void *self, eck_error *err)
{
    (void)self;
    const eck_stage dense = eck_stage_linear(COLS, ROWS);
    const eck_point point = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { RANK } };
    eck_chain chain = { UNTOUCHED, -3 };
    const eck_status status = eck_chain_outline(&chain, &dense, &point, err);
    assert_untouched(status, chain.stages);
    if (status != ECK_OK) assert_int_equal(chain.count, -3);
    if (status == ECK_OK) eck_chain_clear(&chain);
    return status;
}

static eck_status curve_scenario(void *self, eck_error *err)
{
    (void)self;
    const eck_stage dense = eck_stage_linear(4, 4);
    const double values[4] = { 2, 1, 1, 1 }, tails[5] = { 1, 0.65, 0.53, 0.37, 0 };
    const eck_spectrum_info info = {
        .rows = 4, .cols = 4, .count = 4, .values = values, .tails = tails, .norm2 = 7
    };
    eck_curve curve = { UNTOUCHED, -3 };
    const eck_status status =
        eck_curve_svd(&curve, &dense, &info, ECK_DTYPE_F32, ECK_DTYPE_F32, err);
    assert_untouched(status, curve.points);
    if (status == ECK_OK) {
        assert_int_equal(curve.count, 2);
        assert_true(curve.points[0].error > 0.65 && curve.points[0].error < 0.651);
        eck_curve_clear(&curve);
    }
    return status;
}

static eck_status fit_scenario(void *self, eck_error *err)
{
    const eck_stage dense = eck_stage_linear(COLS, ROWS);
    const eck_point point = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { RANK } };
    const eck_fit_options options = { 1, *(const eck_dtype *)self, ECK_SPLIT_BALANCED,
                                      ECK_PROOF_RESIDUAL };
    eck_chain chain = { UNTOUCHED, -3 };
    eck_certificate certificate = { .error = -1 };
    eck_operator *a = NULL;

    eck_status status =
        eck_operator_dense(&a, eck_view_matrix(numbers, ECK_DTYPE_F32, ROWS, COLS), err);
    if (status != ECK_OK) return status;
    status = eck_chain_fit(&chain, &certificate, &(eck_weight){ a, NULL, &dense }, &point, &options,
                           &alone, err);
    assert_untouched(status, chain.stages);
    if (status == ECK_OK) {
        // The rank is 3, so only storing costs: both factors' worst, 2 u and the square of it.
        assert_true(certificate.error_high < 1.1 * eck_dtype_epsilon(options.store));
        eck_chain_clear(&chain);
    } else {
        assert_true(certificate.error == -1);
    }
    eck_operator_free(a);
    return status;
}

// A transposed convolution: its mirror is fitted, the chain turned around, and proven as one that is turned back.
static eck_status adjoint_scenario(void *self, eck_error *err)
{
    const eck_point *const point = self;
    const int64_t kernel[] = { 3 };
    eck_stage dense = eck_stage_conv(ROWS, COLS / 3, 1, 1, kernel);
    const eck_fit_options options = { 1, ECK_DTYPE_F32, ECK_SPLIT_BALANCED, ECK_PROOF_RESIDUAL };
    eck_chain chain = { UNTOUCHED, -3 };
    eck_certificate certificate = { .error = -1 };
    eck_operator *a = NULL, *back = UNTOUCHED;

    dense.kind = ECK_STAGE_CONV_TRANSPOSE;
    eck_status status =
        eck_operator_dense(&a, eck_view_matrix(numbers, ECK_DTYPE_F32, ROWS, COLS), err);
    if (status != ECK_OK) return status;
    status = eck_chain_fit(&chain, &certificate, &(eck_weight){ a, NULL, &dense }, point, &options,
                           &alone, err);
    assert_untouched(status, chain.stages);
    if (status == ECK_OK) {
        status = eck_operator_chain(&back, &chain, &dense, err);
        assert_untouched(status, back);
        if (status == ECK_OK) eck_operator_free(back);
        eck_chain_clear(&chain);
    } else {
        assert_true(certificate.error == -1);
    }
    eck_operator_free(a);
    return status;
}

// A chain of three stages and its last read; weights of ones, so that the product is known.
static eck_status chain_scenario(void *self, eck_error *err)
{
    (void)self;
    eck_stage stages[3] = { eck_stage_linear(4, 3), eck_stage_linear(3, 2),
                            eck_stage_linear(2, 5) };
    const eck_stage dense = eck_stage_linear(4, 5);
    const eck_chain chain = { stages, 3 };
    eck_array weights[3];
    float ones[12], block[20];
    eck_operator *a = UNTOUCHED;

    for (int i = 0; i < 12; i++)
        ones[i] = 1;
    for (int i = 0; i < 3; i++) {
        weights[i] = (eck_array){ ones, ECK_DTYPE_F32, 2, { stages[i].out, stages[i].in } };
        stages[i].weight = &weights[i];
    }
    eck_status status = eck_operator_chain(&a, &chain, &dense, err);
    assert_untouched(status, a);
    if (status != ECK_OK) return status;
    status = eck_operator_read(a, 0, 0, (eck_panel){ block, ECK_DTYPE_F32, 5, 4, 4 }, err);
    for (int i = 0; status == ECK_OK && i < 20; i++)
        assert_true(block[i] == 6);
    eck_operator_free(a);
    return status;
}

typedef struct als_case {
    const char *name;
    eck_engine engine;
    bool masked, weighted;
} als_case;

// A fit, dense and by entries; a row of three entries has less than the unknowns of rank 4.
static eck_status als_scenario(void *self, eck_error *err)
{
    const als_case *const tried = self;
    unsigned char mask[ROWS * COLS];
    eck_als_options options = ECK_ALS_OPTIONS_INIT;
    eck_operator *a = NULL, *seen = NULL, *weights = NULL;
    eck_als *als = UNTOUCHED;

    for (int i = 0; i < ROWS * COLS; i++)
        mask[i] = i < COLS ? i < 3 : i % 5 != 0;
    const eck_view view = eck_view_matrix(mask, ECK_DTYPE_U8, ROWS, COLS);
    eck_status status =
        eck_operator_dense(&a, eck_view_matrix(numbers, ECK_DTYPE_F32, ROWS, COLS), err);
    if (status == ECK_OK && tried->masked) status = eck_operator_dense(&seen, view, err);
    if (status == ECK_OK && tried->weighted) status = eck_operator_dense(&weights, view, err);
    options.engine = tried->engine;
    options.rank = RANK + 1;
    options.iterations = 3;
    options.mask = seen;
    options.weights = weights;
    if (status == ECK_OK) {
        status = eck_als_compute(&als, a, &options, &alone, err);
        assert_untouched(status, als);
        if (status == ECK_OK) eck_als_free(als);
    }
    eck_operator_free(weights);
    eck_operator_free(seen);
    eck_operator_free(a);
    return status;
}

static void fits(void **state)
{
    (void)state;
    static als_case cases[] = {
        { "als", ECK_ENGINE_ALS, false, false },
        { "als with a mask", ECK_ENGINE_ALS, true, false },
        { "als with mask and weights", ECK_ENGINE_ALS, true, true },
        { "gradient", ECK_ENGINE_GRADIENT, false, false },
        { "gradient with weights", ECK_ENGINE_GRADIENT, false, true },
    };
    fill_numbers();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fail_every_allocation(cases[i].name, als_scenario, &cases[i]);
}

static void decompose(void **state)
{
    (void)state;
    const eck_dtype stores[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16 };

    fill_numbers();
    fail_every_allocation("eck_chain_outline", outline_scenario, NULL);
    fail_every_allocation("eck_curve_svd", curve_scenario, NULL);
    fail_every_allocation("eck_operator_chain", chain_scenario, NULL);
    for (int i = 0; i < 2; i++)
        fail_every_allocation("eck_chain_fit", fit_scenario, (void *)(uintptr_t)&stores[i]);
    eck_point points[] = { { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { RANK } },
                           { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 3, 2 } } };
    for (int i = 0; i < 2; i++)
        fail_every_allocation("eck_chain_fit of an adjoint", adjoint_scenario, &points[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decompose),
        cmocka_unit_test(fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
