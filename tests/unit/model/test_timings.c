// Timings as text: what is read, what people get wrong, and what is predicted from it.
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"format\":\"eckart-timings\",\"version\":1,\"layers\":["
#define USES "\"uses\":[{\"rows\":1,\"input\":[],\"output\":[]}]"
#define DENSE "{\"method\":\"dense\",\"ranks\":[],\"milliseconds\":4}"

/** A linear layer of 40 -> 30: rank r takes 70 r multiply-adds. */
static const char LINEAR[] = HEAD
    "{\"name\":\"a\",\"shape\":[30,40]," USES ",\"points\":["
    "{\"method\":\"svd\",\"ranks\":[16],\"milliseconds\":3},"
    "{\"method\":\"svd\",\"ranks\":[4],\"milliseconds\":1}," DENSE ","
    "{\"method\":\"svd\",\"ranks\":[8],\"milliseconds\":1.5}]}],\"whole\":{\"milliseconds\":9.5}}";

static eck_timings *parse(const char *text)
{
    eck_timings *timings = NULL;
    OK(eck_timings_parse(&timings, text, (int64_t)strlen(text), "t.json", err_));
    return timings;
}

static double predict(const eck_timings *timings, const eck_layer *layer, eck_method method,
                      int64_t rank)
{
    const eck_point point = { .method = method, .rank_count = 1, .ranks = { rank } };
    return eck_timings_predict(timings, layer, &point);
}

static void close_to(double found, double wanted)
{
    // A few operations on numbers of this size.
    if (!(fabs(found - wanted) <= 8 * 0x1p-53 * fabs(wanted)))
        fail_msg("%.17g, wanted %.17g", found, wanted);
}

static void linear_layers(void **state)
{
    (void)state;
    eck_timings *timings = parse(LINEAR);
    eck_layer layer = { .name = "a", .dense = eck_stage_linear(40, 30) };
    const eck_point dense = { .method = ECK_METHOD_DENSE };

    assert_true(eck_timings_whole(timings) == 9.5);
    assert_true(eck_timings_predict(timings, &layer, NULL) == 4);
    assert_true(eck_timings_predict(timings, &layer, &dense) == 4);
    assert_true(predict(timings, &layer, ECK_METHOD_SVD, 4) == 1);
    assert_true(predict(timings, &layer, ECK_METHOD_SVD, 8) == 1.5);
    close_to(predict(timings, &layer, ECK_METHOD_SVD, 7), 1.375);
    close_to(predict(timings, &layer, ECK_METHOD_SVD, 12), 2.25);
    close_to(predict(timings, &layer, ECK_METHOD_SVD, 20), 3.75);
    assert_true(predict(timings, &layer, ECK_METHOD_SVD, 1) == 1);
    assert_true(predict(timings, &layer, ECK_METHOD_SPATIAL, 4) == -1);
    layer.name = "b";
    assert_true(eck_timings_predict(timings, &layer, NULL) == -1);
    layer.name = "a";
    layer.dense.out = 31;
    assert_true(eck_timings_predict(timings, &layer, NULL) == -1);
    eck_timings_free(timings);
    eck_timings_free(NULL);
}

/** Two uses, of other sizes; methods do not mix; ranks of Tucker-2 are found as they were timed. */
static void convolutions(void **state)
{
    (void)state;
    const char *text = HEAD "{\"name\":\"c\",\"shape\":[8,6,3,3],\"uses\":[{\"rows\":2,\"input\":["
                            "9,7],\"output\":[9,7]},"
                            "{\"rows\":1,\"input\":[5,5],\"output\":[3,3]}],\"points\":[" DENSE ","
                            "{\"method\":\"tucker2\",\"ranks\":[2,4],\"milliseconds\":1},"
                            "{\"method\":\"tucker2\",\"ranks\":[4,2],\"milliseconds\":1.25},"
                            "{\"method\":\"tucker1\",\"ranks\":[3],\"milliseconds\":2}]}]}";
    eck_timings *timings = parse(text);
    const eck_layer layer = { .name = "c",
                              .dense = eck_stage_conv(6, 8, 1, 2, (const int64_t[]){ 3, 3 }) };
    eck_point point = { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 4, 2 } };

    assert_true(eck_timings_whole(timings) == -1);
    assert_true(eck_timings_predict(timings, &layer, &point) == 1.25);
    point.ranks[0] = 2, point.ranks[1] = 4;
    assert_true(eck_timings_predict(timings, &layer, &point) == 1);
    // Places: the first stage works on what comes in, 126 + 25, the others on what goes out, 126 + 9.
    const double low = 151 * 12 + 135 * (72 + 32), high = 151 * 24 + 135 * (72 + 16);
    const double larger = 151 * 24 + 135 * (144 + 32);
    point.ranks[0] = 4, point.ranks[1] = 4;
    const double ends[2][2] = { { fmin(low, high), low < high ? 1 : 1.25 },
                                { fmax(low, high), low < high ? 1.25 : 1 } };
    const double wanted =
        ends[1][1] + (ends[1][1] - ends[0][1]) * (larger - ends[1][0]) / (ends[1][0] - ends[0][0]);
    close_to(eck_timings_predict(timings, &layer, &point), fmax(wanted, ends[1][1]));
    // One time alone: in proportion above it, the same below.
    close_to(predict(timings, &layer, ECK_METHOD_TUCKER1, 6), 4);
    assert_true(predict(timings, &layer, ECK_METHOD_TUCKER1, 1) == 2);
    // A point of another layer.
    assert_true(predict(timings, &layer, ECK_METHOD_TUCKER2, 2) == -1);
    eck_timings_free(timings);
}

#define LAYER(shape, uses, points) \
    HEAD "{\"name\":\"a\",\"shape\":" shape ",\"uses\":" uses ",\"points\":" points "}]}"
#define ONE "[{\"rows\":1,\"input\":[],\"output\":[]}]"

static void mistakes_are_named(void **state)
{
    (void)state;
    const struct {
        const char *text, *part;
        eck_status code;
    } cases[] = {
        { "{}", "eckart-timings", ECK_E_FORMAT },
        { "[", "t.json", ECK_E_FORMAT },
        { "{\"format\":\"eckart-timings\",\"version\":2,\"layers\":[]}", "version",
          ECK_E_UNSUPPORTED },
        { "{\"format\":\"eckart-timings\",\"version\":1}", "no layers", ECK_E_FORMAT },
        { "{\"format\":\"eckart-timings\",\"version\":1,\"whole\":3,\"layers\":[]}", "whole",
          ECK_E_FORMAT },
        { "{\"format\":\"eckart-timings\",\"version\":1,\"whole\":{\"milliseconds\":0},\"layers\":["
          "]}",
          "whole", ECK_E_FORMAT },
        { HEAD "{\"shape\":[2,2]}]}", "no name", ECK_E_FORMAT },
        { LAYER("[2]", ONE, "[" DENSE "]"), "layer 'a': shape", ECK_E_FORMAT },
        { LAYER("[2,0]", ONE, "[" DENSE "]"), "shape", ECK_E_FORMAT },
        { LAYER("[2,2]", "[]", "[" DENSE "]"), "uses", ECK_E_FORMAT },
        { LAYER("[2,2]", "[{\"rows\":0,\"input\":[],\"output\":[]}]", "[" DENSE "]"), "rows",
          ECK_E_FORMAT },
        { LAYER("[2,2,3]", ONE, "[" DENSE "]"), "input", ECK_E_FORMAT },
        { LAYER("[2,2]", "[{\"rows\":1,\"input\":[4],\"output\":[]}]", "[" DENSE "]"), "input",
          ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "{}"), "points: a list", ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[]"), "no point of method dense", ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"magic\",\"ranks\":[1],\"milliseconds\":1}]"),
          "no known method", ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"svd\",\"ranks\":[],\"milliseconds\":1}]"), "ranks",
          ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"dense\",\"ranks\":[1],\"milliseconds\":1}]"), "ranks",
          ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"svd\",\"ranks\":[1,1,1,1,1],\"milliseconds\":1}]"),
          "ranks", ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"svd\",\"ranks\":[1],\"milliseconds\":-1}]"),
          "milliseconds", ECK_E_FORMAT },
        { LAYER("[2,2]", ONE, "[{\"method\":\"svd\",\"ranks\":[1]}]"), "milliseconds",
          ECK_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        eck_timings *timings = NULL;
        REFUSED(cases[i].code, cases[i].part,
                eck_timings_parse(&timings, cases[i].text, (int64_t)strlen(cases[i].text), "t.json",
                                  err_));
        assert_null(timings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
