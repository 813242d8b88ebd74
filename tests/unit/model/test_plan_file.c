/** A plan as text: what the report writes is read back; what people get wrong is named. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#include "eckart/report.h"

static void written_is_read_back(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *text = NULL, *again = NULL;
    eck_plan *read = NULL;
    eck_model *model = scene_open(s.in);
    eck_plan *plan = scene_plan(model, 0.5);
    plan->store = ECK_DTYPE_BF16;
    plan->split = ECK_SPLIT_LEFT;
    OK(eck_report_plan(&text, plan, err_));
    OK(eck_plan_parse(&read, text, (int64_t)strlen(text), "plan.json", err_));
    OK(eck_report_plan(&again, read, err_));
    assert_string_equal(text, again);
    assert_int_equal(read->store, ECK_DTYPE_BF16);
    assert_int_equal(read->split, ECK_SPLIT_LEFT);
    eck_text_free(text);
    eck_text_free(again);
    eck_plan_free(plan);
    eck_plan_free(read);
    eck_model_close(model);
    scene_remove(&s);
}

#define SOURCE "\"source\":\"0123456789012345678901234567890123456789012345678901234567890123\""
#define HEAD "{\"format\":\"eckart-plan\",\"version\":1," SOURCE ","

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
        cmocka_unit_test(written_is_read_back),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
