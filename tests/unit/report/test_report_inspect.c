// What is in a model.
#include "expect.h"

#include "eckart/report.h"

static void test_inspect(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    char *text = NULL;
    eck_model *const model = written_model_open();
    const eck_selection selection = ECK_SELECTION_INIT;
    assert_int_equal(eck_model_select(model, &selection, &err), ECK_OK);
    assert_int_equal(eck_report_inspect(&text, model, &err), ECK_OK);
    json_t *const document = expect_document(text);

    expect_keys(document, "model format factored tensors bytes layers totals warnings");
    expect_text(document, "model", eck_model_path(model));
    expect_text(document, "format", "safetensors");
    expect_true(document, "factored", 0);
    expect_integer(document, "tensors", 3);
    expect_integer(document, "bytes", 384 + 24576 + 24);
    expect_keys(expect_member(document, "layers.0"),
                "name kind shape dtype parameters factored method skipped tied_to macs "
                "macs_unknown");
    expect_text(document, "layers.0.name", "encoder.dense");
    expect_text(document, "layers.0.kind", "linear");
    expect_integer(document, "layers.0.shape.0", 96);
    expect_integer(document, "layers.0.shape.1", 64);
    expect_text(document, "layers.0.dtype", "F32");
    expect_integer(document, "layers.0.parameters", 96 * 64);
    expect_null(document, "layers.0.skipped");
    expect_null(document, "layers.0.tied_to");
    // Six numbers are below --min-size.
    assert_true(json_is_string(expect_member(document, "layers.1.skipped")));
    expect_keys(expect_member(document, "totals"),
                "layers selected parameters selected_parameters macs");
    expect_integer(document, "totals.layers", 2);
    expect_integer(document, "totals.selected", 1);
    expect_integer(document, "totals.parameters", 96 * 64 + 6);
    expect_integer(document, "totals.selected_parameters", 96 * 64);
    json_decref(document);
    written_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inspect) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
