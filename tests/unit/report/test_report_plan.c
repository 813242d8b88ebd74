// Plans are read back by the library to the last bit; frontiers keep their rows.
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include "eckart/context.h"
#include "eckart/report.h"

static const char source[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// Two layers, one factored; the names live in the caller's array.
static eck_plan make_plan(eck_choice choices[2], char names[2][32])
{
    memset(choices, 0, 2 * sizeof *choices);
    strcpy(names[0], "h.0.mlp");
    strcpy(names[1], "h.1.\xc3\xa9");
    choices[0].layer = names[0];
    choices[0].parameters_before = 6144;
    choices[0].ms_before = 2.5, choices[0].ms_after = 1.25;
    choices[1].ms_before = choices[1].ms_after = -1;
    choices[0].point = (eck_point){
        .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { 7 }, .error = 0.1, .parameters = 1120
    };
    choices[1].layer = names[1];
    choices[1].parameters_before = 6;
    choices[1].point = (eck_point){ .method = ECK_METHOD_DENSE, .parameters = 6 };
    eck_plan plan = { .choices = choices,
                      .count = 2,
                      .store = ECK_DTYPE_BF16,
                      .split = ECK_SPLIT_RIGHT,
                      .parameters_before = 6150,
                      .parameters_after = 1126,
                      .bytes_before = 24600,
                      .bytes_after = 2264,
                      .factored = 1,
                      .error = 0.1,
                      .worst = 0.1,
                      .mean = 0.1,
                      .gap = 1.0 / 3 };
    memcpy(plan.source, source, sizeof source);
    return plan;
}

static void test_plan(void **state)
{
    (void)state;
    eck_choice choices[2];
    char names[2][32];
    char *text = NULL;
    const eck_plan plan = make_plan(choices, names);
    assert_int_equal(eck_report_plan(&text, &plan, NULL), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document, "format version source dtype split layers totals");
    expect_text(document, "format", "eckart-plan");
    expect_integer(document, "version", 1);
    expect_text(document, "source", source);
    expect_text(document, "dtype", "BF16");
    expect_text(document, "split", "right");
    expect_keys(expect_member(document, "layers.0"),
                "name method ranks error parameters_before parameters_after ms_before ms_after "
                "macs_before macs_after");
    expect_text(document, "layers.0.method", "svd");
    expect_integer(document, "layers.0.ranks.0", 7);
    expect_text(document, "layers.1.method", "dense");
    assert_int_equal(json_array_size(expect_member(document, "layers.1.ranks")), 0);
    expect_keys(expect_member(document, "totals"),
                "layers factored parameters_before parameters_after bytes_before bytes_after "
                "macs_before macs_after error mean worst gap ms_before ms_after");
    expect_real(document, "totals.gap", 1.0 / 3);
    expect_real(document, "layers.0.ms_after", 1.25);
    assert_true(json_is_null(expect_member(document, "layers.1.ms_before")));
    assert_true(json_is_null(expect_member(document, "totals.ms_after")));
    json_decref(document);
}

static void test_plan_is_read_back(void **state)
{
    (void)state;
    eck_choice choices[2];
    char names[2][32];
    char *text = NULL;
    eck_plan *read = NULL;
    eck_error err = ECK_ERROR_INIT;
    const eck_plan plan = make_plan(choices, names);
    assert_int_equal(eck_report_plan(&text, &plan, NULL), ECK_OK);
    if (eck_plan_parse(&read, text, (int64_t)strlen(text), "plan.json", &err) != ECK_OK)
        fail_msg("%s", err.message);
    assert_string_equal(read->source, source);
    assert_int_equal(read->store, ECK_DTYPE_BF16);
    assert_int_equal(read->split, ECK_SPLIT_RIGHT);
    assert_int_equal(read->count, 2);
    assert_int_equal(read->factored, 1);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(read->choices[i].layer, choices[i].layer);
        assert_int_equal(read->choices[i].point.method, choices[i].point.method);
        assert_int_equal(read->choices[i].point.rank_count, choices[i].point.rank_count);
        assert_int_equal(read->choices[i].point.ranks[0], choices[i].point.ranks[0]);
        assert_true(read->choices[i].point.error == choices[i].point.error);
    }
    eck_plan_free(read);
    eck_text_free(text);
}

static void test_frontier(void **state)
{
    (void)state;
    char *text = NULL;
    const eck_frontier_row rows[] = { { 0.95, 1, 5000, 20000, 0.1, 0.05, 0.07, -1 },
                                      { 0.5, 2, 3000, 12000, 0.4, 0.2, 0.3, 7000 } };
    eck_model *const model = written_model_open();
    assert_int_equal(eck_report_frontier(&text, model, rows, 2, NULL), ECK_OK);
    json_t *const document = expect_document(text);
    expect_keys(document, "model frontier");
    expect_keys(expect_member(document, "frontier.1"),
                "keep factored parameters bytes macs error mean worst");
    expect_real(document, "frontier.0.keep", 0.95);
    expect_integer(document, "frontier.1.factored", 2);
    expect_integer(document, "frontier.1.bytes", 12000);
    expect_real(document, "frontier.1.worst", 0.3);
    expect_integer(document, "frontier.1.macs", 7000);
    json_decref(document);
    written_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_is_read_back),
        cmocka_unit_test(test_frontier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
