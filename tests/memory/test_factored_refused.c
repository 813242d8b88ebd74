// Sums of thin products with each request for memory refused in turn: by Grams, by QR, and what is asked of them.
#include "failing_allocator.h"

#include <math.h>

#include "eckart/factored.h"

enum { ROWS = 20, COLS = 15, WIDTH = 4 };

static double first_numbers[2][WIDTH * COLS], last_numbers[2][ROWS * WIDTH];
static eck_term terms[2];

static int make_terms(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < WIDTH * COLS; i++)
            first_numbers[t][i] = cos(2.385 * i * i + (1 + i % 7) * t);
        for (int i = 0; i < ROWS * WIDTH; i++)
            last_numbers[t][i] = sin(1.37 * i * i + (1 + i % 5) * t);
        terms[t] =
            (eck_term){ 1 - 1.5 * t, eck_view_matrix(first_numbers[t], ECK_DTYPE_F64, WIDTH, COLS),
                        eck_view_matrix(last_numbers[t], ECK_DTYPE_F64, ROWS, WIDTH) };
    }
    return 0;
}

// The sum of both terms and its two best terms, by the way the rank asks for: 0 QR, else Grams.
static eck_status sum_scenario(void *self, eck_error *err)
{
    const int64_t rank = *(const int64_t *)self;
    const eck_truncation cut = { 2, ECK_SPLIT_BALANCED, ECK_DTYPE_F32 };
    eck_factored *sum = UNTOUCHED;
    eck_array *first = UNTOUCHED, *last = UNTOUCHED;

    eck_status status = eck_factored_create(&sum, terms, 2, rank, err);
    assert_untouched(status, sum);
    if (status != ECK_OK) return status;
    assert_int_equal(eck_factored_get_info(sum)->orthogonal, rank == 0);
    status = eck_factored_truncate(&first, &last, sum, &cut, err);
    assert_untouched(status, first);
    assert_untouched(status, last);
    if (status == ECK_OK) assert_true(first->shape[0] == 2 && last->shape[1] == 2);
    eck_array_free(first);
    eck_array_free(last);
    eck_factored_free(sum);
    return status;
}

static void sums(void **state)
{
    (void)state;
    int64_t by_qr = 0, by_grams = 2;
    fail_every_allocation("eck_factored_create, by QR", sum_scenario, &by_qr);
    fail_every_allocation("eck_factored_create, by Grams", sum_scenario, &by_grams);
}

// What two sums, made beforehand, tell of each other.
static eck_status algebra_scenario(void *self, eck_error *err)
{
    const eck_factored *const *const sums = self;
    eck_array *cosines = UNTOUCHED;
    double inner = -7, distance = -7;

    eck_status status = eck_factored_inner(&inner, sums[0], sums[0], err);
    if (status != ECK_OK) {
        assert_true(inner == -7);
        return status;
    }
    const double norm = eck_factored_get_info(sums[0])->norm;
    assert_true(fabs(inner - norm * norm) <= 1e-12 * norm * norm);
    status = eck_factored_distance(&distance, sums[1], &terms[0], err);
    if (status != ECK_OK) {
        assert_true(distance == -7);
        return status;
    }
    assert_true(distance <= 1e-6 * norm);
    status = eck_factored_angles(&cosines, sums[0], sums[1], ECK_SIDE_LEFT, err);
    assert_untouched(status, cosines);
    if (status == ECK_OK) assert_int_equal(cosines->shape[0], WIDTH);
    eck_array_free(cosines);
    return status;
}

static void algebra(void **state)
{
    (void)state;
    eck_factored *sums[2] = { NULL, NULL };
    assert_int_equal(eck_factored_create(&sums[0], terms, 2, 0, NULL), ECK_OK);
    assert_int_equal(eck_factored_create(&sums[1], terms, 1, 0, NULL), ECK_OK);
    fail_every_allocation("inner products, distances, angles", algebra_scenario, sums);
    eck_factored_free(sums[0]);
    eck_factored_free(sums[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums), cmocka_unit_test(algebra) };
    return cmocka_run_group_tests(tests, make_terms, NULL);
}
