// The list of observed entries: what is in it, what is refused, and what a certificate sees of it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decompose/als_parts.h"

enum { ROWS = 4, COLS = 5 };

// Row 2 and column 3 are empty.
static const double VALUES[] = { 1.5, NAN, -6.0, 2.0, INFINITY, //
                                 3.0, 0.0, NAN,  1.0, 0.25, //
                                 9.0, 9.0, 9.0,  9.0, 9.0, //
                                 NAN, 4.0, 2.5,  NAN, -1.0 };
static const unsigned char MASK[] = { 1, 0, 1, 0, 0, //
                                      1, 1, 0, 0, 7, //
                                      0, 0, 0, 0, 0, //
                                      0, 1, 1, 0, 1 };

typedef struct made {
    eck_operator *a, *mask, *weights;
    ecki_als_problem problem;
    eck_error err;
} made;

static eck_status open_made(made *m, const double *values, const unsigned char *mask,
                            const double *weights)
{
    memset(m, 0, sizeof *m);
    assert_int_equal(
        eck_operator_dense(&m->a, eck_view_matrix(values, ECK_DTYPE_F64, ROWS, COLS), &m->err),
        ECK_OK);
    if (mask)
        assert_int_equal(eck_operator_dense(
                             &m->mask, eck_view_matrix(mask, ECK_DTYPE_BOOL, ROWS, COLS), &m->err),
                         ECK_OK);
    if (weights)
        assert_int_equal(eck_operator_dense(&m->weights,
                                            eck_view_matrix(weights, ECK_DTYPE_F64, ROWS, COLS),
                                            &m->err),
                         ECK_OK);
    m->problem = (ecki_als_problem){ .a = m->a,
                                     .mask = m->mask,
                                     .weights = m->weights,
                                     .threads = 1,
                                     .rows = ROWS,
                                     .cols = COLS,
                                     .rank = 2 };
    return ecki_als_entries_open(&m->problem, &m->err);
}

static void clear_made(made *m)
{
    ecki_als_problem_clear(&m->problem);
    eck_operator_free(m->a);
    eck_operator_free(m->mask);
    eck_operator_free(m->weights);
}

static void lists(void **state)
{
    (void)state;
    made m;
    assert_int_equal(open_made(&m, VALUES, MASK, NULL), ECK_OK);
    const ecki_als_problem *const p = &m.problem;
    const int64_t starts[] = { 0, 2, 5, 5, 8 }, col_starts[] = { 0, 2, 4, 6, 6, 8 };
    const int32_t index[] = { 0, 2, 0, 1, 4, 1, 2, 4 }, col_index[] = { 0, 1, 1, 3, 0, 3, 1, 3 };
    const double value[] = { 1.5, -6, 3, 0, 0.25, 4, 2.5, -1 };
    assert_int_equal(p->observed, 8);
    assert_int_equal(p->empty_rows, 1);
    assert_int_equal(p->empty_cols, 1);
    assert_memory_equal(p->by_row.start, starts, sizeof starts);
    assert_memory_equal(p->by_col.start, col_starts, sizeof col_starts);
    assert_memory_equal(p->by_row.index, index, sizeof index);
    assert_memory_equal(p->by_col.index, col_index, sizeof col_index);
    assert_true(p->scale == 0.25); // 6 -> 1.5
    for (int i = 0; i < 8; i++)
        assert_true(p->by_row.value[i] == value[i] * 0.25);
    assert_true(p->by_col.value[5] == 2.5 * 0.25 && p->by_col.value[4] == -6 * 0.25);
    assert_null(p->by_row.root);
    assert_true(p->weight == 8.0);
    // 1.5^2 + 6^2 + 3^2 + 0.25^2 + 4^2 + 2.5^2 + 1, exact
    assert_true(p->norm2 == (2.25 + 36 + 9 + 0.0625 + 16 + 6.25 + 1) / 16);
    clear_made(&m);
}

static void weights_are_scaled(void **state)
{
    (void)state;
    made m;
    double weights[ROWS * COLS], values[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) {
        weights[i] = i % 3 == 0 ? 0.0 : 4.0 * i;
        values[i] = i % 3 == 0 ? NAN : 0.5 + i;
    }
    assert_int_equal(open_made(&m, values, NULL, weights), ECK_OK);
    const ecki_als_problem *const p = &m.problem;
    assert_int_equal(p->observed, 13);
    assert_true(p->weight_scale == 0x1p-6); // 4 * 19 = 76 -> 1.1875
    int64_t at = 0;
    for (int i = 0; i < ROWS * COLS; i++)
        if (i % 3 != 0) assert_true(p->by_row.root[at++] == sqrt(4.0 * i * 0x1p-6));
    clear_made(&m);
}

static void refused(void **state)
{
    (void)state;
    made m;
    double weights[ROWS * COLS], values[ROWS * COLS];
    unsigned char none[ROWS * COLS] = { 0 };
    for (int i = 0; i < ROWS * COLS; i++)
        weights[i] = values[i] = 1.0;

    assert_int_equal(open_made(&m, VALUES, none, NULL), ECK_E_RANGE);
    assert_non_null(strstr(m.err.message, "every entry is masked out or weighs 0"));
    clear_made(&m);
    weights[7] = -0.5;
    assert_int_equal(open_made(&m, values, NULL, weights), ECK_E_RANGE);
    assert_int_equal(m.err.offset, 7);
    clear_made(&m);
    assert_int_equal(open_made(&m, VALUES, MASK, weights), ECK_OK); // masked out: not looked at
    clear_made(&m);
    weights[7] = NAN;
    assert_int_equal(open_made(&m, values, NULL, weights), ECK_E_RANGE);
    clear_made(&m);
    values[11] = NAN;
    weights[7] = 1.0;
    assert_int_equal(open_made(&m, values, NULL, weights), ECK_E_NONFINITE);
    assert_int_equal(m.err.offset, 11);
    clear_made(&m);
}

// What is observed keeps its value, what is not reads as 0, in either panel type and any block.
static void observed_reads(void **state)
{
    (void)state;
    made m;
    double weights[ROWS * COLS], wide[2 * 3];
    float narrow[2 * 3];
    for (int i = 0; i < ROWS * COLS; i++)
        weights[i] = i == 6 ? -1.0 : 1.0 + i % 4;
    unsigned char mask[sizeof MASK];
    memcpy(mask, MASK, sizeof MASK);
    mask[6] = 0;
    assert_int_equal(open_made(&m, VALUES, mask, weights), ECK_OK);
    eck_operator *seen = NULL;
    assert_int_equal(ecki_als_observed(&seen, &m.problem, m.a, &m.err), ECK_OK);
    const eck_panel in_double = { wide, ECK_DTYPE_F64, 2, 3, 3 };
    const eck_panel in_float = { narrow, ECK_DTYPE_F32, 2, 3, 3 };
    assert_int_equal(eck_operator_read(seen, 0, 0, in_double, &m.err), ECK_OK);
    assert_int_equal(eck_operator_read(seen, 0, 0, in_float, &m.err), ECK_OK);
    for (int i = 0; i < 6; i++) {
        const int flat = i / 3 * COLS + i % 3;
        const double root = sqrt((1.0 + flat % 4) * m.problem.weight_scale);
        assert_true(wide[i] == (mask[flat] ? VALUES[flat] * root : 0.0));
        assert_true(narrow[i] == (float)wide[i]);
    }
    eck_operator_free(seen);
    clear_made(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(weights_are_scaled),
        cmocka_unit_test(refused),
        cmocka_unit_test(observed_reads),
    };
    return cmocka_run_group_tests_name("decompose/als_entries", tests, NULL, NULL);
}
