// Half steps by entries: with all of them listed they are the dense ones; threads change no bit.
#include "als_made.h"

#define ROUNDING (1000.0 * 70 * 0x1p-53)

static void as_dense(void **state)
{
    (void)state;
    static made m;
    for (int trial = 0; trial < 2; trial++) {
        double first = 0.0, second = 0.0;
        made_open(&m, trial ? 0.4 : 0.0, 1);
        assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_LEFT, m.x, m.v, &m.err), ECK_OK);
        assert_int_equal(ecki_als_entries_solve(&m.listed, ECK_SIDE_LEFT, m.y, m.v, &m.err),
                         ECK_OK);
        at_most("U", largest_difference(m.x, m.y, ROWS * RANK), ROUNDING);
        assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_RIGHT, m.x, m.u, &m.err), ECK_OK);
        assert_int_equal(ecki_als_entries_solve(&m.listed, ECK_SIDE_RIGHT, m.y, m.u, &m.err),
                         ECK_OK);
        at_most("V", largest_difference(m.x, m.y, COLS * RANK), ROUNDING);
        // 45 entries a row: the trace of v^T v is never the smaller bound, so the steps are the same.
        assert_int_equal(ecki_als_dense_descend(&m.dense, ECK_SIDE_RIGHT, m.x, m.v, m.u, &m.err),
                         ECK_OK);
        assert_int_equal(ecki_als_entries_descend(&m.listed, ECK_SIDE_RIGHT, m.y, m.v, m.u, &m.err),
                         ECK_OK);
        at_most("V, descended", largest_difference(m.x, m.y, COLS * RANK), ROUNDING);
        assert_int_equal(ecki_als_dense_loss(&first, &m.dense, m.u, m.x, &m.err), ECK_OK);
        assert_int_equal(ecki_als_entries_loss(&second, &m.listed, m.u, m.x, &m.err), ECK_OK);
        at_most("loss", fabs(first - second), ROUNDING * m.dense.norm2);
        made_clear(&m);
    }
}

static void threads_change_nothing(void **state)
{
    (void)state;
    static made one, more;
    for (int32_t threads = 2; threads <= 4; threads++) {
        double first = 0.0, second = 1.0;
        made_open(&one, 0.1, 1);
        made_open(&more, 0.1, threads);
        assert_int_equal(ecki_als_entries_solve(&one.listed, ECK_SIDE_LEFT, one.x, one.v, &one.err),
                         ECK_OK);
        assert_int_equal(
            ecki_als_entries_solve(&more.listed, ECK_SIDE_LEFT, more.x, more.v, &more.err), ECK_OK);
        assert_memory_equal(one.x, more.x, sizeof one.x);
        assert_int_equal(
            ecki_als_entries_descend(&one.listed, ECK_SIDE_LEFT, one.y, one.u, one.v, &one.err),
            ECK_OK);
        assert_int_equal(ecki_als_entries_descend(&more.listed, ECK_SIDE_LEFT, more.y, more.u,
                                                  more.v, &more.err),
                         ECK_OK);
        assert_memory_equal(one.y, more.y, sizeof one.y);
        assert_int_equal(ecki_als_entries_loss(&first, &one.listed, one.u, one.v, &one.err),
                         ECK_OK);
        assert_int_equal(ecki_als_entries_loss(&second, &more.listed, more.u, more.v, &more.err),
                         ECK_OK);
        assert_true(first == second);
        made_clear(&one);
        made_clear(&more);
    }
}

static void product_with_holes(void **state)
{
    (void)state;
    static made m;
    made_open(&m, 0.0, 1);
    for (int i = 0; i < ROWS * COLS; i++)
        m.ones[i] = i % 3 == 0;
    memset(m.ones + 4 * COLS, 0, COLS);
    ecki_als_problem holed = m.listed;
    memset(&holed.by_row, 0, sizeof holed.by_row);
    memset(&holed.by_col, 0, sizeof holed.by_col);
    holed.norm2 = holed.weight = 0.0;
    assert_int_equal(ecki_als_entries_open(&holed, &m.err), ECK_OK);
    assert_int_equal(ecki_als_entries_multiply(&holed, ECK_SIDE_LEFT, m.x, m.v, &m.err), ECK_OK);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t l = 0; l < RANK; l++) {
            double sum = 0.0;
            for (int64_t j = 0; j < COLS; j++)
                if (m.ones[i * COLS + j])
                    sum += holed.scale * m.a[i * COLS + j] * m.v[j * RANK + l];
            assert_float_equal(m.x[i * RANK + l], sum, ROUNDING);
        }
    // A row without entries gets zeros from every half step.
    double zeros[RANK] = { 0.0 };
    assert_int_equal(ecki_als_entries_solve(&holed, ECK_SIDE_LEFT, m.x, m.v, &m.err), ECK_OK);
    assert_memory_equal(m.x + 4 * RANK, zeros, sizeof zeros);
    assert_int_equal(ecki_als_entries_descend(&holed, ECK_SIDE_LEFT, m.y, m.u, m.v, &m.err),
                     ECK_OK);
    assert_memory_equal(m.y + 4 * RANK, zeros, sizeof zeros);
    ecki_als_problem_clear(&holed);
    made_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_dense),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(product_with_holes),
    };
    return cmocka_run_group_tests_name("decompose/als_rows", tests, NULL, NULL);
}
