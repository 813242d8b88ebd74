// One stage after a map: shapes, windows of rows and columns, bounds. What the numbers mean is tested by test_chain.c.
#include "chains.h"
#include "decompose/compose.h"
#include "tensor/codec.h"

static void test_wiring(void **state)
{
    (void)state;
    const int64_t k34[] = { 3, 4 };
    eck_stage stage = eck_stage_linear(6, 6);

    assert_int_equal(ecki_stage_taps(&stage), 1);
    assert_int_equal(ecki_stage_groups(&stage), 1);
    stage.kind = ECK_STAGE_SCALE;
    assert_int_equal(ecki_stage_groups(&stage), 6);
    stage = eck_stage_conv(6, 8, 2, 2, k34);
    assert_int_equal(ecki_stage_taps(&stage), 12);
    assert_int_equal(ecki_stage_groups(&stage), 2);
}

/** A grouped convolution as a map, and what a grouped 1 x 1 makes of it. */
static void test_maps(void **state)
{
    (void)state;
    const int64_t k34[] = { 3, 4 }, k21[] = { 2, 1 };
    eck_stage first = random_stage(eck_stage_conv(8, 12, 4, 2, k34), ECK_DTYPE_BF16, 1);
    eck_stage next = random_stage(eck_stage_conv(12, 6, 2, 2, k21), ECK_DTYPE_F32, 2);
    const ecki_map map = ecki_map_of_stage(&first);
    const ecki_joint joint = { map, &next, 2 };
    const ecki_map made = ecki_joint_map(&joint);

    assert_ptr_equal(map.data, first.weight->data);
    assert_int_equal(map.channels, 12);
    assert_int_equal(map.blocks, 4);
    assert_int_equal(map.width, 2);
    assert_int_equal(map.taps, 12);
    assert_int_equal(map.row_step, 24);
    assert_int_equal(made.channels, 6);
    assert_int_equal(made.blocks, 2);
    assert_int_equal(made.width, 4);
    assert_memory_equal(made.kernel, ((int64_t[]){ 4, 4, 1 }), sizeof made.kernel);
    assert_int_equal(made.row_step, 4 * 16);
    eck_array_free(first.weight);
    eck_array_free(next.weight);
}

/** Every window of a small joint holds what the whole read holds, and touches nothing beside itself. */
static void check_windows(const ecki_joint *joint)
{
    const ecki_map map = ecki_joint_map(joint);
    const int64_t rows = map.channels, cols = map.row_step;
    double *whole = calloc((size_t)(rows * cols), sizeof(double));
    double *part = calloc((size_t)(rows * (cols + 2)), sizeof(double));

    assert_int_equal(
        ecki_joint_read(joint, 0, 0, ecki_panel(whole, ECK_DTYPE_F64, rows, cols), NULL), ECK_OK);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t col = 0; col < cols; col++) {
            const int64_t height = 1 + (row + col) % (rows - row),
                          width = 1 + (7 * row + col) % (cols - col);
            eck_panel panel = ecki_panel(part, ECK_DTYPE_F64, height, width);
            panel.ld = width + 2;
            for (int64_t i = 0; i < height * panel.ld; i++)
                part[i] = 0.25;
            assert_int_equal(ecki_joint_read(joint, row, col, panel, NULL), ECK_OK);
            for (int64_t i = 0; i < height * panel.ld; i++) {
                const int64_t r = i / panel.ld, c = i % panel.ld;
                assert_true(part[i] == (c < width ? whole[(row + r) * cols + col + c] : 0.25));
            }
        }
    free(whole);
    free(part);
}

static void test_windows(void **state)
{
    (void)state;
    const int64_t k23[] = { 2, 3 }, k32[] = { 3, 2 }, one[] = { 1, 1 };
    const int64_t blocks[] = { 1, 2 };

    for (int g = 0; g < 2; g++) {
        eck_stage first =
            random_stage(eck_stage_conv(4, 6, 2 * blocks[g], 2, k23), ECK_DTYPE_F16, 3);
        if (blocks[g] == 2) {
            eck_array_free(first.weight);
            first = random_stage(eck_stage_conv(4, 8, 4, 2, k23), ECK_DTYPE_F16, 3);
        }
        eck_stage wide =
            random_stage(eck_stage_conv(first.out, 6, blocks[g], 2, k32), ECK_DTYPE_F32, 4);
        eck_stage narrow =
            random_stage(eck_stage_conv(first.out, 6, blocks[g], 2, one), ECK_DTYPE_F64, 5);
        const ecki_joint joints[] = { { ecki_map_of_stage(&first), &wide, blocks[g] },
                                      { ecki_map_of_stage(&first), &narrow, blocks[g] },
                                      { ecki_map_of_stage(&first), &narrow, 1 } };
        for (int i = 0; i < 3; i++)
            check_windows(&joints[i]);
        eck_array_free(first.weight);
        eck_array_free(wide.weight);
        eck_array_free(narrow.weight);
    }
}

static double norm_of(const double *x, int64_t count)
{
    long double sum = 0.0L;

    for (int64_t i = 0; i < count; i++)
        sum += (long double)x[i] * x[i];
    return (double)sqrtl(sum);
}

/** The magnitude bounds the norm of the product of absolute values, which all-positive weights attain. */
static void test_magnitude(void **state)
{
    (void)state;
    const int64_t k3[] = { 3 };
    eck_stage first = random_stage(eck_stage_conv(5, 7, 1, 1, k3), ECK_DTYPE_F64, 6);
    eck_stage next = random_stage(eck_stage_conv(7, 4, 1, 1, k3), ECK_DTYPE_F64, 7);
    double product[4 * 25];

    for (int64_t i = 0; i < 5 * 7 * 3; i++)
        ((double *)first.weight->data)[i] = 1.0;
    for (int64_t i = 0; i < 7 * 4 * 3; i++)
        ((double *)next.weight->data)[i] = 2.0;
    const ecki_map map = ecki_map_of_stage(&first);
    const ecki_joint joint = { map, &next, 1 };
    ecki_map bound = ecki_joint_map(&joint);
    ecki_joint_bound(&bound, &joint);
    assert_int_equal(ecki_joint_read(&joint, 0, 0, ecki_panel(product, ECK_DTYPE_F64, 4, 25), NULL),
                     ECK_OK);
    const double norm = norm_of(product, 100);
    printf("norm %.3f, bound %.3f\n", norm, bound.magnitude);
    // Here only the taps cost: || 1 2 3 2 1 || = 4.36 against sqrt(3) * sqrt(3) * sqrt(3) = 5.20.
    assert_true(norm <= bound.magnitude && bound.magnitude <= 1.2 * norm);
    assert_true(map.magnitude >= norm_of(first.weight->data, 105));
    assert_true(map.magnitude <= norm_of(first.weight->data, 105) * (1.0 + 1e-12));
    assert_true(map.error == 0.0 && bound.error > 0.0);
    eck_array_free(first.weight);
    eck_array_free(next.weight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wiring),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_magnitude),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
