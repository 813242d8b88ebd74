// Blocks: products with modes against sums by definition, in whatever order they are done.
#include "base/memory.h"
#include "decompose/multilinear_parts.h"
#include "tensors_made.h"

static const int64_t SHAPE[] = { 3, 4, 2, 5 };

/** The product of mode n with m [shape[n],width] by the definition; place stays. */
static double *multiplied(const double *x, int64_t *shape, int32_t n, const double *m,
                          int64_t width)
{
    int64_t before = 1, after = 1;
    for (int32_t i = 0; i < 4; i++)
        *(i < n ? &before : &after) *= i == n ? 1 : shape[i];
    double *out = calloc((size_t)(before * width * after), sizeof *out);
    for (int64_t b = 0; b < before; b++)
        for (int64_t w = 0; w < width; w++)
            for (int64_t s = 0; s < shape[n]; s++)
                for (int64_t a = 0; a < after; a++)
                    out[(b * width + w) * after + a] +=
                        x[(b * shape[n] + s) * after + a] * m[s * width + w];
    shape[n] = width;
    return out;
}

static void products(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F64, 4, SHAPE, 5);
    const eck_view view = eck_array_view(x);
    double m[4][25];
    eck_error err = ECK_ERROR_INIT;

    for (int n = 0; n < 4; n++)
        ecki_random_fill_normal(m[n], 25, 6, (uint64_t)n, 0);
    for (uint32_t set = 0; set < 16; set++)
        for (int32_t first = -1; first < 4; first++) {
            ecki_block whole, out;
            ecki_multipliers by = { .m = { NULL } };
            int64_t shape[4];
            memcpy(shape, SHAPE, sizeof shape);
            double *want = malloc(120 * sizeof *want);
            memcpy(want, x->data, 120 * sizeof *want);
            good(ecki_block_init(&whole, &view, NULL, &err), &err);
            for (int32_t n = 0; n < 4; n++) {
                if (!(set >> n & 1u)) continue;
                by.m[n] = m[n];
                by.width[n] = 2 + n % 3;
                double *next = multiplied(want, shape, n, m[n], by.width[n]);
                free(want);
                want = next;
            }
            good(ecki_block_multiply(&out, &whole, &by, first, &err), &err);
            if (first >= 0) assert_int_equal(out.mode[0], first);
            good(ecki_block_sort(&out, &err), &err);
            for (int32_t n = 0; n < 4; n++)
                assert_true(out.mode[n] == n && out.shape[n] == shape[n]);
            // At most 4 sums of 5 products each, of numbers of a few units.
            for (int64_t i = 0; i < ecki_block_count(&out); i++)
                assert_true(fabs(out.data[i] - want[i]) <= 40.0 * 0x1p-53 * 1e3);
            free(want);
            ecki_block_clear(&out);
            ecki_block_clear(&whole);
        }
    eck_array_free(x);
}

static void orders(void **state)
{
    (void)state;
    eck_array *x = random_tensor(ECK_DTYPE_F32, 4, SHAPE, 8);
    const eck_view view = eck_array_view(x);
    const int32_t order[] = { 2, 0, 3, 1 };
    ecki_block block;
    eck_error err = ECK_ERROR_INIT;

    good(ecki_block_init(&block, &view, order, &err), &err);
    for (int64_t i = 0; i < 120; i++) {
        const int64_t b = i % 4, d = i / 4 % 5, a = i / 20 % 3, c = i / 60;
        assert_true(block.data[i] == ((float *)x->data)[((a * 4 + b) * 2 + c) * 5 + d]);
    }
    good(ecki_block_rotate(&block, &err), &err);
    assert_true(block.mode[3] == 2 && block.mode[0] == 0 && block.shape[0] == 3);
    good(ecki_block_sort(&block, &err), &err);
    for (int64_t i = 0; i < 120; i++)
        assert_true(block.data[i] == ((float *)x->data)[i]);
    ecki_block_clear(&block);
    eck_array_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(products), cmocka_unit_test(orders) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
