// The documents about adapters.
#include "expect.h"

#include <string.h>

#include "eckart/adapter.h"
#include "eckart/context.h"
#include "eckart/report.h"

// What a resize of two modules, one of them small enough already, says.
static void test_outcome(void **state)
{
    (void)state;
    char *text = NULL, *remarks[] = { "module 'b' keeps its rank" };
    char first[] = "a", second[] = "b";
    eck_adapter_change changes[] = { { .name = first,
                                       .rank_before = 32,
                                       .rank = 8,
                                       .norm = 2.5,
                                       .error = 0.25,
                                       .energy = -1,
                                       .energy_clean = -1 },
                                     { .name = second,
                                       .rank_before = 4,
                                       .rank = 4,
                                       .kept = true,
                                       .norm = 1.5,
                                       .energy = -1,
                                       .energy_clean = -1 } };
    const eck_adapter_outcome outcome = {
        ECK_ADAPTER_PEFT, changes, 2, 1, 4000, 1000, 2.75, 0.125, 0.25, -1, -1, remarks, 1, 0.5
    };
    assert_int_equal(eck_report_adapter_outcome(&text, "out", &outcome, NULL), ECK_OK);
    json_t *document = expect_document(text);
    expect_text(document, "output", "out");
    expect_text(document, "modules.0.name", "a");
    expect_integer(document, "modules.0.rank_before", 32);
    expect_integer(document, "modules.0.rank", 8);
    expect_real(document, "modules.0.error", 0.25);
    expect_true(document, "modules.0.kept", 0);
    expect_true(document, "modules.1.kept", 1);
    expect_integer(document, "totals.kept", 1);
    expect_integer(document, "totals.bytes_after", 1000);
    expect_real(document, "totals.worst", 0.25);
    expect_text(document, "remarks.0", "module 'b' keeps its rank");
    expect_real(document, "seconds", 0.5);
    json_decref(document);
}

// An extraction says what it kept, what is noise, and how near the best it is.
static void test_extraction(void **state)
{
    (void)state;
    char *text = NULL, name[] = "a";
    eck_adapter_change change = { .name = name,
                                  .rank_before = -1,
                                  .rank = 8,
                                  .norm = 2.5,
                                  .error = 0.25,
                                  .energy = 0.9375,
                                  .energy_clean = 0.96875,
                                  .noise = 0.125,
                                  .rank50 = 2,
                                  .rank80 = 5,
                                  .rank90 = -1,
                                  .optimum_low = 0.21875,
                                  .optimum_high = 0.234375,
                                  .engine = ECK_ENGINE_KRYLOV };
    const eck_adapter_outcome outcome = { .layout = ECK_ADAPTER_PEFT,
                                          .changes = &change,
                                          .count = 1 };
    assert_int_equal(eck_report_adapter_outcome(&text, NULL, &outcome, NULL), ECK_OK);
    json_t *document = expect_document(text);
    expect_keys(expect_member(document, "modules.0"),
                "name rank_before rank kept norm error energy energy_clean noise rank_at_energy "
                "optimum engine");
    expect_real(document, "modules.0.energy_clean", 0.96875);
    expect_real(document, "modules.0.optimum.0", 0.21875);
    expect_real(document, "modules.0.optimum.1", 0.234375);
    expect_text(document, "modules.0.engine", "krylov");
    json_decref(document);
}

static void test_comparison(void **state)
{
    (void)state;
    char *text = NULL;
    eck_adapter_relation relations[] = { { "a", 8, 4, 2.0, 1.0, 1.5, 0.75, 0.5, 0.25, 0.125, 1.5,
                                           0.5 } };
    const eck_adapter_comparison comparison = { relations, 1, 1, 2.0, 1.0, 0.75, 0.5 };
    assert_int_equal(eck_report_adapter_comparison(&text, &comparison, NULL), ECK_OK);
    json_t *document = expect_document(text);
    expect_text(document, "modules.0.name", "a");
    expect_integer(document, "modules.0.rank_b", 4);
    expect_real(document, "modules.0.cosine", 0.75);
    expect_real(document, "modules.0.overlap_left", 0.25);
    expect_real(document, "modules.0.angle_right", 0.5);
    expect_integer(document, "totals.common", 1);
    expect_real(document, "totals.distance", 0.5);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcome),
        cmocka_unit_test(test_extraction),
        cmocka_unit_test(test_comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
