// Spectra of a model.
#include "expect.h"

#include "eckart/report.h"

static json_t *analyze(eck_model *model, eck_analysis *analysis, bool spectrum)
{
    char *text = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_report_analyze(&text, model, analysis, spectrum, &err), ECK_OK);
    return expect_document(text);
}

static void test_analyze(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_analysis *analysis = NULL;
    eck_model *const model = written_model_open();
    const eck_selection selection = ECK_SELECTION_INIT;
    assert_int_equal(eck_model_select(model, &selection, &err), ECK_OK);
    assert_int_equal(eck_model_analyze(&analysis, model, NULL, NULL, &err), ECK_OK);
    const eck_spectrum_info *const spectrum = &eck_analysis_layer(analysis, 0)->spectrum;

    json_t *document = analyze(model, analysis, false);
    expect_keys(document, "model layers totals");
    assert_int_equal(json_array_size(expect_member(document, "layers")), 1);
    expect_keys(expect_member(document, "layers.0"),
                "name kind shape parameters macs numerical_rank stable_rank effective_rank "
                "break_even_rank rank_at_energy cached seconds");
    expect_text(document, "layers.0.name", "encoder.dense");
    // Five outer products, exact in F32.
    expect_integer(document, "layers.0.numerical_rank", 5);
    expect_integer(document, "layers.0.break_even_rank", 96 * 64 / (96 + 64));
    expect_real(document, "layers.0.stable_rank", spectrum->stable_rank);
    expect_real(document, "layers.0.effective_rank", spectrum->effective_rank);
    expect_keys(expect_member(document, "layers.0.rank_at_energy"), "0.90 0.95 0.99");
    const json_t *const ranks = expect_member(document, "layers.0.rank_at_energy");
    const json_int_t low = json_integer_value(json_object_get(ranks, "0.90"));
    const json_int_t high = json_integer_value(json_object_get(ranks, "0.99"));
    assert_true(1 <= low && low <= high && high <= 5);
    expect_integer(document, "totals.layers", 1);
    expect_integer(document, "totals.parameters", 96 * 64);
    json_decref(document);

    document = analyze(model, analysis, true);
    assert_int_equal(json_array_size(expect_member(document, "layers.0.singular_values")), 64);
    expect_real(document, "layers.0.singular_values.0", spectrum->values[0]);
    json_decref(document);
    eck_analysis_free(analysis);
    written_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_analyze) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
