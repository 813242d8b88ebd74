// certificate.c: a residual in F32 brackets the one in F64, knows its own rounding, and leaves to F64 what that hides or what
// leaves the range of F32.
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "linalg/certificate.h"

enum { ROWS = 130, COLS = 1100, RANK = 24 };

// A = last first + off * noise as F32, and the product of the factors.
typedef struct pair {
    float a[ROWS * COLS], first[RANK * COLS], last[ROWS * RANK];
    eck_operator *matrix, *left, *right, *product;
} pair;

static pair *pair_new(double off, float size)
{
    pair *const p = test_malloc(sizeof *p);
    for (int64_t i = 0; i < RANK * COLS; i++)
        p->first[i] = (float)ecki_random_normal(1, 1, (uint64_t)i) / size;
    for (int64_t i = 0; i < ROWS * RANK; i++)
        p->last[i] = (float)ecki_random_normal(1, 2, (uint64_t)i) * size;
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++) {
            double sum = off * ecki_random_normal(1, 3, (uint64_t)(i * COLS + j));
            for (int64_t k = 0; k < RANK; k++)
                sum += (double)p->last[i * RANK + k] * (double)p->first[k * COLS + j];
            p->a[i * COLS + j] = (float)sum;
        }
    expect_ok(
        eck_operator_dense(&p->matrix, eck_view_matrix(p->a, ECK_DTYPE_F32, ROWS, COLS), NULL),
        NULL);
    expect_ok(
        eck_operator_dense(&p->left, eck_view_matrix(p->last, ECK_DTYPE_F32, ROWS, RANK), NULL),
        NULL);
    expect_ok(
        eck_operator_dense(&p->right, eck_view_matrix(p->first, ECK_DTYPE_F32, RANK, COLS), NULL),
        NULL);
    expect_ok(eck_operator_product(&p->product, p->left, p->right, 1.0, NULL), NULL);
    return p;
}

static void pair_free(pair *p)
{
    eck_operator_free(p->product);
    eck_operator_free(p->right);
    eck_operator_free(p->left);
    eck_operator_free(p->matrix);
    test_free(p);
}

static void both(const pair *p, eck_certificate *narrow, eck_certificate *wide)
{
    expect_ok(ecki_certify_narrow(narrow, p->matrix, p->product, NULL, NULL), NULL);
    expect_ok(eck_certify(wide, p->matrix, p->product, ECK_PROOF_RESIDUAL, 0, 0, NULL, NULL), NULL);
    assert_true(narrow->error_low <= wide->error && wide->error <= narrow->error_high);
    assert_true(fabs(narrow->norm2 - wide->norm2) <= 1e-12 * wide->norm2);
}

static void brackets(void **state)
{
    (void)state;
    eck_certificate narrow, wide;
    pair *const p = pair_new(1.0, 1.0F);
    both(p, &narrow, &wide);
    double left = 0, right = 0, norm = 0;
    for (int64_t i = 0; i < ROWS * RANK; i++)
        left += (double)p->last[i] * (double)p->last[i];
    for (int64_t i = 0; i < RANK * COLS; i++)
        right += (double)p->first[i] * (double)p->first[i];
    for (int64_t i = 0; i < ROWS * COLS; i++)
        norm += (double)p->a[i] * (double)p->a[i];
    // A dot product of RANK terms in F32, of the sums of absolute values: what the header promises, and no less.
    const double rounding = (RANK + 3) * 0x1p-24 * sqrt(left * right / norm);
    const double open = narrow.error_high - narrow.error;
    assert_true(open >= rounding && open <= 1.01 * rounding);
    assert_true(wide.error_high - wide.error <= 1e-12);
    pair_free(p);
}

static void left_to_f64(void **state)
{
    (void)state;
    eck_certificate narrow, wide;
    pair *p =
        pair_new(1e-4, 1.0F); // a residual that F32 rounding would open by more than a thousandth
    both(p, &narrow, &wide);
    assert_true(narrow.error_high - narrow.error_low <= 1e-3 * wide.error &&
                narrow.error == wide.error);
    pair_free(p);
    p = pair_new(1.0, 1.0F);
    p->last[5] = 3e38F; // a product beyond F32, not beyond F64
    p->first[5 * COLS] = 3e38F;
    both(p, &narrow, &wide);
    assert_true(isfinite(narrow.error) && narrow.error == wide.error);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(brackets), cmocka_unit_test(left_to_f64) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
