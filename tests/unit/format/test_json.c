// Untrusted JSON behind its limits.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/json.h"

static eck_error err;

static eck_status parse(json_t **out, const char *text, const ecki_json_limits *limits)
{
    *out = NULL;
    return ecki_json_parse(out, text, (int64_t)strlen(text), limits, "f.json", &err);
}

static void test_parses(void **state)
{
    (void)state;
    json_t *value;
    assert_int_equal(parse(&value, " {\"a\":[1,2.5,\"x\\u00e9\"],\"b\":null} ", &ecki_json_config),
                     ECK_OK);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(value, "a"), 0)), 1);
    assert_true(json_real_value(json_array_get(json_object_get(value, "a"), 1)) == 2.5);
    assert_string_equal(json_string_value(json_array_get(json_object_get(value, "a"), 2)),
                        "x\xc3\xa9");
    json_decref(value);
    assert_int_equal(parse(&value, "7", &ecki_json_config), ECK_OK);
    json_decref(value);
}

static void test_duplicate_keys(void **state)
{
    (void)state;
    json_t *value;
    assert_int_equal(parse(&value, "{\"a\":1,\"\\u0061\":2}", &ecki_json_config), ECK_E_FORMAT);
    assert_non_null(strstr(err.message, "cannot read 'f.json': duplicate object key"));
    assert_null(value);
}

static void test_depth(void **state)
{
    (void)state;
    const struct {
        const ecki_json_limits *limits;
        int32_t depth;
    } cases[] = { { &ecki_json_config, 64 }, { &ecki_json_header, 32 } };
    for (size_t i = 0; i < 2; i++) {
        char text[200] = "";
        json_t *value;
        const size_t depth = (size_t)cases[i].depth;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parse(&value, text, cases[i].limits), ECK_OK);
        json_decref(value);
        memset(text, '[', depth + 1);
        memset(text + depth + 1, ']', depth + 1);
        assert_int_equal(parse(&value, text, cases[i].limits), ECK_E_FORMAT);
        assert_error(&err, ECK_E_FORMAT, cases[i].depth, "too deep a nesting");
    }
}

static void test_bytes_and_values(void **state)
{
    (void)state;
    const ecki_json_limits small = { 8, 4, 10 };
    json_t *value;
    assert_int_equal(parse(&value, "[1,2,3]", &small), ECK_OK);
    json_decref(value);
    assert_int_equal(parse(&value, "[1,2,3,4]", &small), ECK_E_FORMAT);
    assert_error(&err, ECK_E_FORMAT, 8, "too many values");
    assert_int_equal(parse(&value, "[1,       ]", &small), ECK_E_UNSUPPORTED);
    assert_error(&err, ECK_E_UNSUPPORTED, 10, "11 bytes of JSON, at most 10");
}

// The scan keeps the parser from holding much: the worst text per byte is an array of arrays.
static void test_memory_of_a_hostile_document(void **state)
{
    (void)state;
    const int64_t count = 4000000;
    char *text = malloc((size_t)count * 3 + 2);
    assert_non_null(text);
    text[0] = '[';
    for (int64_t i = 0; i < count; i++)
        memcpy(text + 1 + 3 * i, "[],", 3);
    text[3 * count] = ']';
    json_t *value = NULL;
    ecki_memory_reset_peak();
    const int64_t before = ecki_memory_now();
    assert_int_equal(ecki_json_parse(&value, text, 3 * count + 1, &ecki_json_config, "f", &err),
                     ECK_E_FORMAT);
    print_message("held at most %lld bytes\n", (long long)(ecki_memory_peak() - before));
    assert_true(ecki_memory_peak() - before < 1 << 20);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parses),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_bytes_and_values),
        cmocka_unit_test(test_memory_of_a_hostile_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
