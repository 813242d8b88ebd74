// Timings are read back by the library as they were found.
#include "expect.h"

#include <string.h>

#include "eckart/context.h"
#include "eckart/report.h"

static void test_timings(void **state)
{
    (void)state;
    const eck_context context = { 1, 3, 0, NULL, NULL };
    eck_stage conv = eck_stage_conv(6, 8, 2, 2, (const int64_t[]){ 3, 5 });
    const eck_stage linear = eck_stage_linear(6, 8);
    eck_place place = ECK_PLACE_INIT;
    place.batch = 4, place.input[0] = 9, place.input[1] = 11, place.stride[0] = 2,
    place.pad_end[1] = 4;
    const eck_point point = { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 2, 4 } };
    const eck_timing first[] = { { 0.25, 0.125, 0.5, 3 }, { 0.0625, 0.03125, 0.125, 3 } },
                     second[] = { { 2, 1, 3, 3 } };
    const eck_timing *const times[] = { first, second };
    const eck_bench_layer layers[] = { { "c", &conv, &place, 1, &point, 1 },
                                       { "l", &linear, &place, 1, NULL, 0 } };
    const eck_bench_report report = { "m.onnx", "a processor", &context, 15, layers, times, 2 };
    char *text = NULL;
    eck_timings *read = NULL;

    assert_int_equal(eck_report_timings(&text, &report, NULL), ECK_OK);
    assert_int_equal(eck_timings_parse(&read, text, (int64_t)strlen(text), "t.json", NULL), ECK_OK);
    const eck_layer layer = { .name = "c", .dense = conv };
    assert_true(eck_timings_predict(read, &layer, NULL) == 250);
    assert_true(eck_timings_predict(read, &layer, &point) == 62.5);
    assert_true(eck_timings_whole(read) == -1);
    eck_timings_free(read);
    json_t *const document = expect_document(text);
    expect_keys(
        document,
        "format version model runtime runtime_version cpu threads rounds inputs whole layers");
    expect_text(document, "model", "m.onnx");
    expect_text(document, "runtime", "oneDNN");
    expect_text(document, "cpu", "a processor");
    expect_integer(document, "threads", 3);
    expect_integer(document, "rounds", 15);
    expect_integer(document, "layers.0.shape.1", 3);
    expect_integer(document, "layers.0.uses.0.rows", 4);
    expect_integer(document, "layers.0.uses.0.output.0", 4);
    expect_integer(document, "layers.0.uses.0.output.1", 11);
    expect_integer(document, "layers.0.points.1.ranks.1", 4);
    expect_real(document, "layers.0.points.1.low", 31.25);
    expect_text(document, "layers.1.points.0.method", "dense");
    assert_int_equal(json_array_size(expect_member(document, "layers.1.uses.0.input")), 0);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_timings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
