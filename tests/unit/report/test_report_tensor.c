// Documents of tensor decompositions, from results computed here.
#include "expect.h"

#include "eckart/report.h"

static const int64_t shape[] = { 3, 4, 2 };
static double numbers[24];

static eck_view tensor_of(void)
{
    for (int i = 0; i < 24; i++)
        numbers[i] = 2.385 + (double)(i * i % 7) - (double)(i % 5);
    return eck_view_of(numbers, ECK_DTYPE_F64, 3, shape);
}

static void test_tucker(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_tucker_options options = ECK_TUCKER_OPTIONS_INIT;
    eck_tucker *t = NULL;
    char *text = NULL;

    options.ranks[0] = options.ranks[1] = options.ranks[2] = 2;
    assert_int_equal(eck_tucker_compute(&t, tensor_of(), &options, NULL, &err), ECK_OK);
    assert_int_equal(eck_report_tucker(&text, t, &err), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document,
                "method shape ranks tails sweeps converged parameters dtype error error_low "
                "error_high floor seconds");
    expect_text(document, "method", "tucker");
    expect_text(document, "dtype", "F64");
    expect_integer(document, "parameters", 8 + 6 + 8 + 4);
    expect_real(document, "error", t->certificate.error);
    json_decref(document);
    eck_tucker_free(t);
}

static void test_cp(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_cp_options options = ECK_CP_OPTIONS_INIT;
    eck_cp *cp = NULL;
    char *text = NULL;

    options.rank = 3;
    assert_int_equal(eck_cp_compute(&cp, tensor_of(), &options, NULL, &err), ECK_OK);
    assert_int_equal(eck_report_cp(&text, cp, &err), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document,
                "method shape ranks weights degeneracy degeneracy_before iterations converged "
                "start parameters dtype error error_low error_high floor seconds");
    expect_text(document, "method", "cp");
    expect_integer(document, "parameters", 3 * (1 + 3 + 4 + 2));
    expect_integer(document, "iterations", cp->iterations);
    expect_real(document, "degeneracy", cp->degeneracy);
    json_decref(document);
    eck_cp_free(cp);
}

static void test_tt(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_tt_options options = ECK_TT_OPTIONS_INIT;
    eck_tt *tt = NULL;
    char *text = NULL;

    options.ranks[0] = options.ranks[1] = 2;
    assert_int_equal(eck_tt_compute(&tt, tensor_of(), &options, NULL, &err), ECK_OK);
    assert_int_equal(eck_report_tt(&text, tt, &err), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(
        document,
        "method shape ranks tails parameters dtype error error_low error_high floor seconds");
    expect_text(document, "method", "tt");
    expect_integer(document, "parameters", 6 + 16 + 4);
    expect_real(document, "error_high", tt->certificate.error_high);
    json_decref(document);
    eck_tt_free(tt);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tucker), cmocka_unit_test(test_cp),
                                        cmocka_unit_test(test_tt) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
