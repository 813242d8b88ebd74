// Signed values by size, vectors, ranks by rule, and what is refused.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void known_values(void **state)
{
    (void)state;
    const double numbers[16] = { 1.0, 2.0, 0.0,  0.0, 2.0, 1.0, 0.0, 0.0,
                                 0.0, 0.0, -5.0, 0.0, 0.0, 0.0, 0.0, 3.0 };
    const double wanted[4] = { -5.0, 3.0, 3.0, -1.0 };
    const eck_dtype types[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };
    for (int t = 0; t < 3; t++) {
        sample a = sample_of(numbers, 4, 4, types[t]);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rule = t ? ECK_RULE_ENERGY : ECK_RULE_RANK; // 25, 34, 43, 44 of 44
        options.target = 0.97;
        options.rank = t ? 0 : 4;
        eck_eigen *eigen = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_eigen_compute(&eigen, a.op, &options, NULL, &err), &err);
        assert_int_equal(eigen->size, 4);
        assert_int_equal(eigen->rank, t ? 3 : 4);
        for (int i = 0; i < 4; i++)
            assert_true(fabs(((double *)eigen->values->data)[i] - wanted[i]) <
                        40.0 * 0x1p-53 * 5.0);
        const double error =
            true_error(&a, eigen->vectors, eigen->values->data, eigen->vectors, eigen->rank);
        assert_true(eigen->certificate.error_low <= error &&
                    error <= eigen->certificate.error_high);
        expect_at_most("V^T V - I", true_orthogonality(eigen->vectors, eigen->rank),
                       8.0 * sqrt(4.0) * 0.5 * eck_dtype_epsilon(eigen->vectors->dtype));
        eck_eigen_free(eigen);
        sample_free(&a);
    }
}

// Rounding of storage is symmetrised and reported; more is refused with the worst element.
static void asymmetry(void **state)
{
    (void)state;
    double numbers[9] = { 1.0, 0.5, 0.0, 0.5 * (1.0 + 0x1p-50), 2.0, 0.25, 0.0, 0.25, 3.0 };
    sample a = sample_of(numbers, 3, 3, ECK_DTYPE_F64);
    eck_eigen *eigen = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_eigen_compute(&eigen, a.op, NULL, NULL, &err), &err);
    assert_true(eigen->asymmetry == 0x1p-51);
    eck_eigen_free(eigen);
    eigen = NULL;
    sample_free(&a);
    numbers[7] = 0.26;
    sample b = sample_of(numbers, 3, 3, ECK_DTYPE_F64);
    assert_int_equal(eck_eigen_compute(&eigen, b.op, NULL, NULL, &err), ECK_E_RANGE);
    eck_svd_options proven = ECK_SVD_OPTIONS_INIT;
    proven.rank = 1;
    proven.spectral_proof = true;
    eck_error why = ECK_ERROR_INIT;
    assert_int_equal(eck_eigen_compute(&eigen, b.op, &proven, NULL, &why), ECK_E_RANGE);
    assert_string_equal(why.message, "a spectral proof is of U, S and V");
    assert_int_equal(err.offset, 7);
    sample_free(&b);
    numbers[7] = NAN;
    sample c = sample_of(numbers, 3, 3, ECK_DTYPE_F32);
    assert_int_equal(eck_eigen_compute(&eigen, c.op, NULL, NULL, &err), ECK_E_NONFINITE);
    sample_free(&c);
    sample d = sample_create(3, 4, ECK_DTYPE_F32, 1.0, 1);
    assert_int_equal(eck_eigen_compute(&eigen, d.op, NULL, NULL, &err), ECK_E_SHAPE);
    sample_free(&d);
    assert_null(eigen);
    eck_eigen_free(NULL);
}

static void edges(void **state)
{
    (void)state;
    const double zeros[25] = { 0.0 }, one[1] = { -2.5 };
    for (int n = 0; n <= 5; n += 5) {
        sample a = sample_of(zeros, n, n, ECK_DTYPE_F32);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rule = ECK_RULE_THIN;
        eck_eigen *eigen = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_eigen_compute(&eigen, a.op, &options, NULL, &err), &err);
        assert_int_equal(eigen->rank, n);
        assert_true(eigen->certificate.error_high == 0.0);
        eck_eigen_free(eigen);
        options.want = ECK_WANT_VALUES;
        expect_ok(eck_eigen_compute(&eigen, a.op, &options, NULL, &err), &err);
        assert_null(eigen->vectors);
        eck_eigen_free(eigen);
        sample_free(&a);
    }
    sample a = sample_of(one, 1, 1, ECK_DTYPE_F32);
    eck_eigen *eigen = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 1;
    expect_ok(eck_eigen_compute(&eigen, a.op, &options, NULL, &err), &err);
    assert_true(((double *)eigen->values->data)[0] == -2.5 &&
                ((float *)eigen->vectors->data)[0] == 1.0f);
    eck_eigen_free(eigen);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_values), cmocka_unit_test(asymmetry),
                                        cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
