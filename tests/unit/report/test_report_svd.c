// Documents of one decomposed matrix, from a result computed here.
#include "expect.h"

#include <math.h>

#include "eckart/report.h"

static const double numbers[] = { 3, 0, 0, 0, 2.385, 0, 0, 0, 0 };

static const char svd_keys[] =
    "rows cols dtype rank numerical_rank tolerance engine solver reproducible seconds "
    "seconds_total bytes_read passes error energy certificate spectral singular_values";
static const char certificate_keys[] =
    "kind norm value low optimum excess floor probability stored orthogonality";

static void test_svd(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_operator *a = NULL;
    eck_svd *svd = NULL;
    char *text = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 1;
    options.spectral_proof = true;
    assert_int_equal(eck_operator_dense(&a, eck_view_matrix(numbers, ECK_DTYPE_F64, 3, 3), &err),
                     ECK_OK);
    assert_int_equal(eck_svd_compute(&svd, a, &options, NULL, &err), ECK_OK);
    assert_int_equal(eck_report_svd(&text, svd, eck_operator_get_info(a), 1.25, &err), ECK_OK);
    json_t *const document = expect_document(text);

    expect_keys(document, svd_keys);
    expect_keys(expect_member(document, "certificate"), certificate_keys);
    expect_integer(document, "rows", 3);
    expect_integer(document, "cols", 3);
    expect_text(document, "dtype", "F64");
    expect_integer(document, "rank", 1);
    expect_integer(document, "numerical_rank", 2);
    expect_real(document, "seconds_total", 1.25);
    expect_real(document, "error", svd->certificate.error);
    expect_real(document, "energy", svd->energy);
    expect_text(document, "certificate.kind", "residual");
    expect_text(document, "certificate.norm", "frobenius");
    expect_real(document, "certificate.value", svd->certificate.error_high);
    expect_real(document, "certificate.low", svd->certificate.error_low);
    expect_real(document, "certificate.optimum.0", svd->certificate.optimum_low);
    expect_real(document, "certificate.optimum.1", svd->certificate.optimum_high);
    expect_real(document, "certificate.probability", 0);
    expect_real(document, "spectral.bound", svd->spectral.bound);
    expect_real(document, "spectral.relative", svd->spectral.bound / 3);
    expect_integer(document, "spectral.above", 1); // 3 alone lies above a bound of 2.385
    assert_int_equal(json_array_size(expect_member(document, "singular_values")), 3);
    expect_real(document, "singular_values.0", ((const double *)svd->s->data)[0]);
    json_decref(document);
    eck_svd_free(svd);
    eck_operator_free(a);
}

// What is unknown is null: no orthonormal factor, an optimum of 0.
static void test_unknowns_are_null(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    char *text = NULL;
    const double value = 1;
    eck_array *values = NULL;
    const int64_t one = 1;
    assert_int_equal(eck_array_convert(&values, eck_view_of(&value, ECK_DTYPE_F64, 1, &one),
                                       ECK_DTYPE_F64, &err),
                     ECK_OK);
    eck_svd svd = { .rows = 1, .cols = 1, .rank = 1, .solver = "dgesdd", .s = values };
    svd.certificate.orthogonality = -1;
    svd.certificate.excess_high = INFINITY;
    svd.spectral.bound = -1;
    const eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    assert_int_equal(eck_report_svd(&text, &svd, &info, 0, &err), ECK_OK);
    json_t *const document = expect_document(text);
    expect_null(document, "certificate.orthogonality");
    expect_null(document, "certificate.excess");
    expect_null(document, "spectral");
    json_decref(document);
    eck_array_free(values);
}

static void test_eigen(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    char *text = NULL;
    const double signs[] = { -3, 2.385 };
    const int64_t two = 2;
    eck_array *values = NULL;
    assert_int_equal(
        eck_array_convert(&values, eck_view_of(signs, ECK_DTYPE_F64, 1, &two), ECK_DTYPE_F64, &err),
        ECK_OK);
    const eck_eigen eigen = { .size = 2, .rank = 2, .values = values, .asymmetry = 0.5 };
    const eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    assert_int_equal(eck_report_eigen(&text, &eigen, &info, &err), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document,
                "rows cols dtype rank engine asymmetry seconds error certificate eigenvalues");
    expect_real(document, "eigenvalues.0", -3);
    expect_real(document, "asymmetry", 0.5);
    json_decref(document);
    eck_array_free(values);
}

// A fit has the counts of its run; without one, of a matrix of zeros, there is no objective.
static void test_als(void **state)
{
    (void)state;
    for (int zeros = 0; zeros < 2; zeros++) {
        static const double nothing[9] = { 0 };
        eck_error err = ECK_ERROR_INIT;
        eck_operator *a = NULL;
        eck_als *als = NULL;
        char *text = NULL;
        eck_als_options options = ECK_ALS_OPTIONS_INIT;
        options.rank = 1;
        assert_int_equal(
            eck_operator_dense(&a, eck_view_matrix(zeros ? nothing : numbers, ECK_DTYPE_F64, 3, 3),
                               &err),
            ECK_OK);
        assert_int_equal(eck_als_compute(&als, a, &options, NULL, &err), ECK_OK);
        assert_int_equal(eck_report_als(&text, als, eck_operator_get_info(a), 2.5, &err), ECK_OK);
        json_t *const document = expect_document(text);
        expect_keys(document, "rows cols dtype rank engine iterations converged objective observed "
                              "empty_rows empty_cols reproducible seconds seconds_total error "
                              "energy certificate singular_values");
        expect_keys(expect_member(document, "certificate"), certificate_keys);
        expect_text(document, "engine", "als");
        expect_integer(document, "iterations", als->iterations);
        expect_integer(document, "observed", 9);
        expect_integer(document, "empty_rows", 0);
        expect_real(document, "seconds_total", 2.5);
        expect_real(document, "error", als->certificate.error);
        assert_true(json_is_true(expect_member(document, "converged")));
        assert_int_equal(json_is_null(expect_member(document, "objective")), zeros);
        if (!zeros)
            expect_real(document, "objective",
                        ((const double *)als->objective->data)[als->iterations - 1]);
        assert_int_equal(json_array_size(expect_member(document, "singular_values")), 1);
        json_decref(document);
        eck_als_free(als);
        eck_operator_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_svd),
        cmocka_unit_test(test_unknowns_are_null),
        cmocka_unit_test(test_eigen),
        cmocka_unit_test(test_als),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
