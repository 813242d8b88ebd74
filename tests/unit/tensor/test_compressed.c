// Compressed lines against a matrix written out: both layouts, entries out of order, several at one place; what is
// refused, with the entry it is about.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/compressed.h"

enum { ROWS = 7, COLS = 5, LINE = 8 };

// A matrix with LINE entries a line in any order and twice in one place, and its sum written out, [ROWS,COLS].
typedef struct made {
    int64_t starts[ROWS + 1], indices[ROWS * LINE];
    double wide[ROWS * LINE], dense[ROWS * COLS];
    float narrow[ROWS * LINE];
    eck_sparse_view view;
} made;

static void make(made *m, eck_sparse_layout layout, eck_dtype dtype)
{
    const bool rows = layout == ECK_SPARSE_ROWS;
    const int64_t lines = rows ? ROWS : COLS, width = rows ? COLS : ROWS;
    memset(m, 0, sizeof *m);
    for (int64_t i = 0; i < lines; i++) {
        m->starts[i + 1] = m->starts[i];
        for (int64_t e = 0; i != 2 && e < LINE; e++) { // line 2 is empty
            const int64_t at = m->starts[i + 1]++;
            m->indices[at] = (e * 3 + i * 2) % width;
            m->wide[at] = 0.25 * (double)(at * 7 % 23) - 2.375; // sums of such are exact
            m->narrow[at] = (float)m->wide[at];
            const int64_t row = rows ? i : m->indices[at], col = rows ? m->indices[at] : i;
            m->dense[row * COLS + col] += m->wide[at];
        }
    }
    const void *const values = dtype == ECK_DTYPE_F32 ? (const void *)m->narrow : m->wide;
    m->view = (eck_sparse_view){ layout, dtype, ROWS, COLS, m->starts, m->indices, values };
}

// Every element of the lines is that of the dense matrix, and indices rise.
static void assert_lines(const ecki_lines *a, const double *dense, bool rows)
{
    assert_int_equal(a->lines, rows ? ROWS : COLS);
    assert_int_equal(a->width, rows ? COLS : ROWS);
    for (int64_t i = 0; i < a->lines; i++) {
        for (int64_t j = 0; j < a->width; j++) {
            const double expected = dense[rows ? i * COLS + j : j * COLS + i];
            const int64_t e = ecki_lines_find(a, i, j);
            const bool there = e < a->starts[i + 1] && a->indices[e] == j;
            assert_true(expected == (there ? ecki_lines_value(a, e) : 0.0));
        }
        for (int64_t e = a->starts[i] + 1; e < a->starts[i + 1]; e++)
            assert_true(a->indices[e - 1] < a->indices[e]);
    }
}

static void both_layouts(void **state)
{
    (void)state;
    static const eck_dtype types[2] = { ECK_DTYPE_F64, ECK_DTYPE_F32 };
    for (int t = 0; t < 4; t++) {
        made m;
        ecki_lines rows, cols;
        int64_t added = -1;
        make(&m, t / 2 ? ECK_SPARSE_ROWS : ECK_SPARSE_COLS, types[t % 2]);
        assert_int_equal(ecki_sparse_check(&m.view, "", NULL), ECK_OK);
        assert_int_equal(ecki_lines_create(&rows, &cols, &added, &m.view, NULL), ECK_OK);
        assert_int_equal(rows.dtype, types[t % 2]);
        assert_lines(&rows, m.dense, true);
        assert_lines(&cols, m.dense, false);
        const int64_t given = m.starts[t / 2 ? ROWS : COLS];
        assert_int_equal(added, given - rows.starts[ROWS]);
        assert_true(added > 0);
        assert_int_equal(rows.starts[ROWS], cols.starts[COLS]);
        ecki_lines_clear(&rows);
        ecki_lines_clear(&cols);
    }
}

// No values: ones. Two at one place: 2. No entries at all.
static void patterns(void **state)
{
    (void)state;
    const int64_t starts[4] = { 0, 2, 2, 3 }, indices[3] = { 1, 1, 0 };
    const int64_t none[4] = { 0, 0, 0, 0 };
    ecki_lines rows, cols;
    eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, 3, 2, starts, indices, NULL };
    assert_int_equal(ecki_lines_create(&rows, &cols, NULL, &view, NULL), ECK_OK);
    assert_int_equal(rows.starts[3], 2);
    assert_true(ecki_lines_value(&rows, 0) == 2.0 && ecki_lines_value(&rows, 1) == 1.0);
    ecki_lines_clear(&rows);
    ecki_lines_clear(&cols);
    view = (eck_sparse_view){ ECK_SPARSE_ROWS, ECK_DTYPE_F32, 3, 2, none, NULL, NULL };
    assert_int_equal(ecki_sparse_check(&view, "", NULL), ECK_OK);
    assert_int_equal(ecki_lines_create(&rows, &cols, NULL, &view, NULL), ECK_OK);
    assert_int_equal(cols.starts[2], 0);
    ecki_lines_clear(&rows);
    ecki_lines_clear(&cols);
}

// F32 values of one place are added in F64 and rounded once: 2^24 + 1 - 2^24 is 1, not 0.
static void one_rounding(void **state)
{
    (void)state;
    const int64_t starts[2] = { 0, 3 }, indices[3] = { 0, 0, 0 };
    const float values[3] = { 0x1p24F, 1.0F, -0x1p24F };
    const eck_sparse_view view = { ECK_SPARSE_COLS, ECK_DTYPE_F32, 1, 1, starts, indices, values };
    ecki_lines rows, cols;
    assert_int_equal(ecki_lines_create(&rows, &cols, NULL, &view, NULL), ECK_OK);
    assert_true(ecki_lines_value(&rows, 0) == 1.0 && ecki_lines_value(&cols, 0) == 1.0);
    ecki_lines_clear(&rows);
    ecki_lines_clear(&cols);
}

static void expect_refused(eck_sparse_view view, eck_status expected, int64_t offset,
                           const char *words)
{
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_sparse_check(&view, "m", &err), expected);
    assert_int_equal(err.offset, offset);
    if (!strstr(err.message, words)) fail_msg("'%s' is not in '%s'", words, err.message);
}

static void refusals(void **state)
{
    (void)state;
    const int64_t starts[3] = { 0, 1, 2 }, late[3] = { 1, 1, 2 }, back[3] = { 0, 2, 1 };
    const int64_t good[2] = { 0, 2 }, high[2] = { 0, 3 }, low[2] = { 0, -1 };
    const eck_sparse_view m = { ECK_SPARSE_ROWS, ECK_DTYPE_F64, 2, 3, starts, good, NULL };
    assert_int_equal(ecki_sparse_check(&m, "", NULL), ECK_OK);
    eck_sparse_view v = m;
    v.layout = 2;
    expect_refused(v, ECK_E_RANGE, -1, "layout 2");
    v = m;
    v.dtype = ECK_DTYPE_BF16;
    expect_refused(v, ECK_E_RANGE, -1, "BF16");
    v = m;
    v.cols = INT64_C(1) << 31;
    expect_refused(v, ECK_E_SHAPE, -1, "2^31 - 1");
    v = m;
    v.rows = -1;
    expect_refused(v, ECK_E_SHAPE, -1, "[-1,3]");
    v = m;
    v.starts = late;
    expect_refused(v, ECK_E_RANGE, 0, "begin with 1");
    v.starts = NULL;
    expect_refused(v, ECK_E_RANGE, 0, "begin with -1");
    v.starts = back;
    expect_refused(v, ECK_E_RANGE, 2, "row 1 would start at 2 and end at 1");
    v = m;
    v.indices = NULL;
    expect_refused(v, ECK_E_RANGE, -1, "no indices");
    v.indices = high;
    expect_refused(v, ECK_E_RANGE, 1, "index 3, 0 to 2");
    v.indices = low;
    expect_refused(v, ECK_E_RANGE, 1, "entry 0 of row 1 has index -1");
    v = (eck_sparse_view){ ECK_SPARSE_COLS, ECK_DTYPE_F64, 3, 2, starts, high, NULL };
    expect_refused(v, ECK_E_RANGE, 1, "column 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_layouts), cmocka_unit_test(patterns),
                                        cmocka_unit_test(one_rounding),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
