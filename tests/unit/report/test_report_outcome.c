// What was written, whether it holds, what went wrong.
#include "expect.h"

#include <math.h>
#include <string.h>

#include "eckart/report.h"

static eck_check checks[] = {
    { .name = "a", .factored = true, .kept = true, .error = 0.125, .promised = 0.125 },
    { .name = "b",
      .factored = true,
      .kept = false,
      .error = 0.5,
      .promised = 0.25,
      .reason = "more" },
    { .name = "c.weight", .factored = false, .kept = false, .reason = "bytes differ at 7" },
};

static const eck_verdict broken = {
    .kept = false, .factored = 2, .identical = 5, .failed = 2, .checks = checks, .count = 3
};

static void test_verify(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(eck_report_verify(&text, &broken, NULL), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document, "ok layers identical failed");
    expect_true(document, "ok", 0);
    assert_int_equal(json_array_size(expect_member(document, "layers")), 2);
    expect_keys(expect_member(document, "layers.1"), "name error promised ok");
    expect_true(document, "layers.0.ok", 1);
    expect_true(document, "layers.1.ok", 0);
    expect_real(document, "layers.1.promised", 0.25);
    expect_integer(document, "identical", 5);
    assert_int_equal(json_array_size(expect_member(document, "failed")), 2);
    expect_text(document, "failed.1.name", "c.weight");
    expect_text(document, "failed.1.reason", "bytes differ at 7");
    json_decref(document);
}

static void test_outcome(void **state)
{
    (void)state;
    char *text = NULL;
    char first[] = "pytorch_model.bin";
    char second[] = "onnx";
    char *left_out[] = { first, second };
    const eck_outcome outcome = { .factored = 2,
                                  .copied = 5,
                                  .bytes_before = 100,
                                  .bytes_after = 60,
                                  .error = 0.25,
                                  .worst = NAN,
                                  .left_out = left_out,
                                  .left_out_count = 2,
                                  .peak_bytes = 1000,
                                  .seconds = 0.5 };
    assert_int_equal(eck_report_outcome(&text, "OUT", &outcome, &broken, NULL), ECK_OK);
    json_t *document = expect_document(text);
    expect_keys(document, "output factored copied bytes_before bytes_after error worst left_out "
                          "peak_bytes seconds verify");
    expect_text(document, "output", "OUT");
    expect_null(document, "worst");
    expect_text(document, "left_out.1", "onnx");
    expect_true(document, "verify.ok", 0);
    json_decref(document);

    assert_int_equal(eck_report_outcome(&text, "OUT", &outcome, NULL, NULL), ECK_OK);
    document = expect_document(text);
    expect_null(document, "verify");
    json_decref(document);
}

static void test_error(void **state)
{
    (void)state;
    char *text = NULL;
    eck_error error = ECK_ERROR_INIT;
    error.status = ECK_E_FORMAT;
    error.offset = 12;
    strcpy(error.file, "m.safetensors");
    strcpy(error.tensor, "wte");
    strcpy(error.message, "cannot read tensor 'wte'");
    assert_int_equal(eck_report_error(&text, &error), ECK_OK);
    assert_null(strchr(strchr(text, '\n') + 1, '\n')); // one line, for logs
    json_t *document = expect_document(text);
    expect_keys(document, "error");
    expect_keys(expect_member(document, "error"), "status message file tensor offset");
    expect_text(document, "error.status", "format");
    expect_text(document, "error.message", "cannot read tensor 'wte'");
    expect_text(document, "error.file", "m.safetensors");
    expect_text(document, "error.tensor", "wte");
    expect_integer(document, "error.offset", 12);
    json_decref(document);

    error = (eck_error)ECK_ERROR_INIT;
    assert_int_equal(eck_report_error(&text, &error), ECK_OK);
    document = expect_document(text);
    expect_null(document, "error.file");
    expect_null(document, "error.tensor");
    expect_null(document, "error.offset");
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_outcome),
        cmocka_unit_test(test_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
