// Half steps with every entry known, against their definitions.
#include "als_made.h"

#include "eckart/array.h"

// Numbers here are of the order of 10 at most, sums of at most 70 products.
#define ROUNDING (1000.0 * 70 * 0x1p-53)

// A minimiser: no change of any row lowers the objective.
static void solve_is_the_least(void **state)
{
    (void)state;
    static made m;
    for (int trial = 0; trial < 2; trial++) {
        made_open(&m, trial ? 0.7 : 0.0, 1);
        assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_LEFT, m.u, m.v, &m.err), ECK_OK);
        const double least = objective_of(&m, m.u, m.v);
        for (int i = 0; i < ROWS * RANK; i += 7) {
            memcpy(m.x, m.u, sizeof m.u);
            m.x[i] += 1e-3;
            // The objective rises by the square of the change times (v^T v + ridge)_ii, above 1 here.
            assert_true(objective_of(&m, m.x, m.v) > least + 1e-6);
        }
        assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_RIGHT, m.v, m.u, &m.err), ECK_OK);
        assert_true(objective_of(&m, m.u, m.v) < least);
        made_clear(&m);
    }
}

static void descend_descends(void **state)
{
    (void)state;
    static made m;
    made_open(&m, 0.3, 1);
    double before = objective_of(&m, m.u, m.v);
    for (int step = 0; step < 50; step++) {
        double v[COLS * RANK];
        assert_int_equal(ecki_als_dense_descend(&m.dense, ECK_SIDE_LEFT, m.x, m.u, m.v, &m.err),
                         ECK_OK);
        memcpy(m.u, m.x, sizeof m.u);
        memcpy(v, m.v, sizeof v);
        assert_int_equal(ecki_als_dense_descend(&m.dense, ECK_SIDE_RIGHT, m.v, v, m.u, &m.err),
                         ECK_OK);
        const double after = objective_of(&m, m.u, m.v);
        assert_true(after < before);
        before = after;
    }
    made_clear(&m);
}

// The loss by inner products and, where that would cancel, by the residual.
static void loss(void **state)
{
    (void)state;
    static made m;
    double found = 0.0;
    made_open(&m, 0.0, 1);
    assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_RIGHT, m.v, m.u, &m.err), ECK_OK);
    assert_int_equal(ecki_als_dense_loss(&found, &m.dense, m.u, m.v, &m.err), ECK_OK);
    const double exact = objective_of(&m, m.u, m.v);
    at_most("loss", fabs(found - exact), ROUNDING * m.dense.norm2);
    made_clear(&m);

    // A = u v^T but for rounding to F64: what is left is 1e-16, not the 1e-8 that differences leave.
    made_open(&m, 0.0, 1);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++) {
            m.a[i * COLS + j] = 0.0;
            for (int64_t l = 0; l < RANK; l++)
                m.a[i * COLS + j] += m.u[i * RANK + l] * m.v[j * RANK + l];
        }
    m.dense.scale = 1.0;
    assert_int_equal(ecki_als_dense_solve(&m.dense, ECK_SIDE_RIGHT, m.v, m.u, &m.err), ECK_OK);
    assert_int_equal(ecki_als_dense_loss(&found, &m.dense, m.u, m.v, &m.err), ECK_OK);
    at_most("root of the loss of an exact product", sqrt(found), ROUNDING * sqrt(m.dense.norm2));
    made_clear(&m);
}

// A matrix that does not lie in memory is read once, whatever its type.
static eck_status count_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)err;
    int *const reads = self;
    reads[0]++;
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++)
            if (out.dtype == ECK_DTYPE_F32)
                ((float *)out.data)[i * out.ld + j] = (float)(row + i - col - j);
            else
                ((double *)out.data)[i * out.ld + j] = (double)(row + i - col - j);
    return ECK_OK;
}

static void copies_what_is_elsewhere(void **state)
{
    (void)state;
    static const eck_dtype types[] = { ECK_DTYPE_BF16, ECK_DTYPE_F32, ECK_DTYPE_F64 };
    for (int t = 0; t < 3; t++) {
        int reads = 0;
        double x[300 * 2], f[7 * 2] = { 1, 0, 1, 0, 1, 0, 0, 2 };
        eck_error err = ECK_ERROR_INIT;
        eck_operator *a = NULL;
        eck_operator_info info = ECK_OPERATOR_INFO_INIT;
        const eck_operator_methods methods = { .version = 1, .read = count_read };
        info.rows = 300;
        info.cols = 7;
        info.storage = types[t];
        assert_int_equal(eck_operator_create(&a, &info, &methods, &reads, &err), ECK_OK);
        ecki_als_problem p = {
            .a = a, .threads = 1, .rows = 300, .cols = 7, .rank = 2, .dense = true
        };
        assert_int_equal(ecki_als_dense_open(&p, &err), ECK_OK);
        const int once = reads;
        for (int i = 0; i < 3; i++)
            assert_int_equal(ecki_als_dense_solve(&p, ECK_SIDE_LEFT, x, f, &err), ECK_OK);
        assert_int_equal(reads, once);
        assert_int_equal(p.copy->dtype, t == 2 ? ECK_DTYPE_F64 : ECK_DTYPE_F32);
        // Row i of A f: (i + i - 1 + i - 2, 2 (i - 3)) over the Gram diag(3, 4), times the scale.
        for (int i = 0; i < 300; i++) {
            assert_float_equal(x[2 * i], p.scale * (i - 1), 300 * 8 * 0x1p-52);
            assert_float_equal(x[2 * i + 1], p.scale * (i - 3) / 2, 300 * 8 * 0x1p-52);
        }
        ecki_als_problem_clear(&p);
        eck_operator_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solve_is_the_least),
        cmocka_unit_test(descend_descends),
        cmocka_unit_test(loss),
        cmocka_unit_test(copies_what_is_elsewhere),
    };
    return cmocka_run_group_tests_name("decompose/als_dense", tests, NULL, NULL);
}
