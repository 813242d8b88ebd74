// Taking a full decomposition apart; what cannot be taken apart.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void parts(void **state)
{
    (void)state;
    const double numbers[15] = { 1.0, 2.0,  3.0, 4.0, 5.0, 2.0, 4.0, 6.0,
                                 8.0, 10.0, 0.0, 0.0, 1.0, 0.0, 0.0 };
    sample a = sample_of(numbers, 3, 5, ECK_DTYPE_F32);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_FULL;
    eck_svd *svd = NULL;
    eck_subspaces sub;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    expect_ok(eck_subspaces_compute(&sub, svd, &err), &err);
    assert_int_equal(sub.rank, 2);
    const eck_array *const bases[4] = { sub.column, sub.left_null, sub.row, sub.null };
    const int64_t shapes[4][2] = { { 3, 2 }, { 3, 1 }, { 5, 2 }, { 5, 3 } };
    for (int i = 0; i < 4; i++) {
        assert_true(bases[i]->shape[0] == shapes[i][0] && bases[i]->shape[1] == shapes[i][1]);
        assert_int_equal(bases[i]->dtype, ECK_DTYPE_F32);
    }
    const float *const u = svd->u->data, *const left = sub.left_null->data;
    for (int i = 0; i < 3; i++)
        assert_true(left[i] == u[i * 3 + 2]);
    // The left null space of these rows is (2, -1, 0) / sqrt 5.
    assert_true(fabs(fabs(left[0]) - 2.0 / sqrt(5.0)) < 1e-6 && fabs(left[2]) < 1e-6 &&
                left[0] * left[1] < 0.0f);
    eck_subspaces_clear(&sub);
    assert_null(sub.row);
    eck_subspaces_clear(&sub);
    eck_svd_free(svd);
    options.want = ECK_WANT_LEFT | ECK_WANT_RIGHT;
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    assert_int_equal(eck_subspaces_compute(&sub, svd, &err), ECK_E_RANGE);
    eck_svd_free(svd);
    options.want = ECK_WANT_FULL;
    options.rule = ECK_RULE_RANK;
    options.rank = 1; // below the numerical rank: vectors are missing
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    assert_int_equal(eck_subspaces_compute(&sub, svd, &err), ECK_E_RANGE);
    eck_svd_free(svd);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(parts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
