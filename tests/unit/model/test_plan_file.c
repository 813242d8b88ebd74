/** A plan as text: everything in it is read; what people get wrong is named. (That what the report writes is read back,
 * tests/unit/report shows.) */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE "\"source\":\"0123456789012345678901234567890123456789012345678901234567890123\""
#define HEAD "{\"format\":\"eckart-plan\",\"version\":1," SOURCE ","

static void everything_is_read(void **state)
{
    (void)state;
    eck_plan *plan = NULL;
    const char *text = HEAD
        "\"dtype\":\"BF16\",\"split\":\"left\",\"layers\":["
        "{\"name\":\"a\",\"method\":\"svd\",\"ranks\":[7],\"error\":0.25,"
        "\"parameters_before\":100,\"parameters_after\":70,\"ms_before\":2.5,\"ms_after\":1.5},"
        "{\"name\":\"b\",\"method\":\"dense\",\"ranks\":[]}],"
        "\"totals\":{\"parameters_before\":200,\"bytes_after\":340,\"gap\":0.5}}";
    OK(eck_plan_parse(&plan, text, (int64_t)strlen(text), "plan.json", err_));
    assert_int_equal(plan->count, 2);
    assert_int_equal(plan->factored, 1);
    assert_int_equal(plan->store, ECK_DTYPE_BF16);
    assert_int_equal(plan->split, ECK_SPLIT_LEFT);
    assert_memory_equal(plan->source, "0123456789", 10);
    assert_string_equal(plan->choices[0].layer, "a");
    assert_int_equal(plan->choices[0].point.ranks[0], 7);
    assert_int_equal(plan->choices[0].parameters_before, 100);
    assert_true(plan->choices[0].point.error == 0.25);
    assert_int_equal(plan->choices[1].point.method, ECK_METHOD_DENSE);
    assert_int_equal(plan->parameters_before, 200);
    assert_int_equal(plan->bytes_after, 340);
    assert_true(plan->gap == 0.5);
    assert_true(plan->choices[0].ms_before == 2.5 && plan->choices[0].ms_after == 1.5);
    assert_true(plan->choices[1].ms_before == -1 && plan->ms_before == -1);
    eck_plan_free(plan);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    const struct {
        const char *text, *part;
        eck_status code;
    } cases[] = {
        { "{}", "eckart-plan", ECK_E_FORMAT },
        { "{\"format\":\"eckart-plan\",\"version\":9," SOURCE ",\"layers\":[]}", "version",
          ECK_E_UNSUPPORTED },
        { "{\"format\":\"eckart-plan\",\"version\":1,\"source\":\"1\",\"layers\":[]}", "source",
          ECK_E_FORMAT },
        { HEAD "\"layers\":{}}", "no layers", ECK_E_FORMAT },
        { HEAD "\"layers\":[{\"method\":\"svd\"}]}", "no name", ECK_E_FORMAT },
        { HEAD "\"layers\":[{\"name\":\"a\",\"method\":\"magic\",\"ranks\":[1]}]}", "layer 'a'",
          ECK_E_FORMAT },
        { HEAD "\"layers\":[{\"name\":\"a\",\"method\":\"svd\",\"ranks\":[0]}]}", "ranks",
          ECK_E_FORMAT },
        { HEAD "\"layers\":[{\"name\":\"a\",\"method\":\"svd\",\"ranks\":[1.5]}]}", "ranks",
          ECK_E_FORMAT },
        { HEAD "\"layers\":[{\"name\":\"a\",\"method\":\"dense\",\"ranks\":[4]}]}", "ranks",
          ECK_E_FORMAT },
        { HEAD "\"dtype\":\"I8\",\"layers\":[]}", "dtype", ECK_E_FORMAT },
        { HEAD "\"split\":\"middle\",\"layers\":[]}", "split", ECK_E_FORMAT },
        { HEAD "\"layers\":[", "", ECK_E_FORMAT },
    };
    eck_plan *plan = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        REFUSED(
            cases[i].code, cases[i].part,
            eck_plan_parse(&plan, cases[i].text, (int64_t)strlen(cases[i].text), "p.json", err_));
    assert_null(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
