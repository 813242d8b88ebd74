// The JSON cursor: grammar, escapes, integers, depth; at every byte of what is broken.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/scan.h"

static eck_error err;

static ecki_scan scan_of(const char *text)
{
    return (ecki_scan){ .text = text,
                        .length = (int64_t)strlen(text),
                        .start = 1000,
                        .file = "f",
                        .depth_limit = 8,
                        .err = &err };
}

static void test_values(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        "1.5e-3",
        "12E+7",
        "\"\"",
        "\"\\u00e9\\n\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[[],{},[0]]",
        " [ 1 , 2 ] ",
        "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":\"\"}",
        "[[[[[[[[]]]]]]]]",
        "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"",
        "\"\\ud83d\\ude00\"",
        "[1,[2,[3],4],5]",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ecki_scan scan = scan_of(good[i]);
        if (ecki_scan_skip(&scan) != ECK_OK || ecki_scan_end(&scan) != ECK_OK)
            fail_msg("%s: %s", good[i], err.message);
        assert_int_equal(scan.depth, 0);
        // every proper beginning that is not a whole value itself is refused, in bounds
        for (size_t cut = 0; cut < strlen(good[i]); cut++) {
            char *part = strndup(good[i], cut);
            scan = scan_of(part);
            if (ecki_scan_skip(&scan) != ECK_OK)
                assert_true(err.offset >= 1000 && err.offset <= 1000 + (int64_t)cut);
            free(part);
        }
    }
}

static void test_broken_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at;
        const char *part;
    } bad[] = {
        { "", 0, "a value is missing" },
        { "[1,]", 3, "a value is missing" },
        { "[,1]", 1, "a value is missing" },
        { "[1 2]", 3, "',' or ']' is missing" },
        { "{\"a\" 1}", 5, "':' is missing" },
        { "{\"a\":1,}", 7, "a string is missing" },
        { "{1:2}", 1, "a string is missing" },
        { "[1}", 2, "',' or ']' is missing" },
        { "{\"a\":1]", 6, "',' or '}' is missing" },
        { "01", 0, "a value is missing" },
        { "+1", 0, "a value is missing" },
        { ".5", 0, "a value is missing" },
        { "5.", 0, "a value is missing" },
        { "1e", 0, "a value is missing" },
        { "-", 0, "a value is missing" },
        { "0x10", 1, "more text" },
        { "nul", 0, "a value is missing" },
        { "nulls", 4, "more text" },
        { "NaN", 0, "a value is missing" },
        { "'a'", 0, "a value is missing" },
        { "\"a", 0, "a string without an end" },
        { "\"\\\"", 0, "a string without an end" },
        { "\"\t\"", 1, "a control character" },
        { "\"\\q\"", 1, "an escape that means" },
        { "\"\\u12g4\"", 1, "an escape that" },
        { "\"\\ud800x\"", 1, "an escape that" },
        { "\"\\ud800\\u0041\"", 1, "an escape" },
        { "\"\\udfff\"", 1, "an escape that" },
        { "\"\\u0000\"", 1, "an escape that" },
        { "\"\xff\"", 1, "not UTF-8" },
        { "\"\xc0\x80\"", 1, "not UTF-8" },
        { "[[[[[[[[[]]]]]]]]]", 8, "too deep" },
        { "[]\f", 2, "more text" },
        { "[]]", 2, "more text" },
        { "\xef\xbb\xbf[]", 0, "a value is" },
        { "[1]/**/", 3, "more text" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ecki_scan scan = scan_of(bad[i].text);
        eck_status status = ecki_scan_skip(&scan);
        if (status == ECK_OK) status = ecki_scan_end(&scan);
        if (status == ECK_OK) fail_msg("'%s' is accepted", bad[i].text);
        assert_error(&err, ECK_E_FORMAT, 1000 + bad[i].at, bad[i].part);
    }
}

static void test_unescape(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "plain", "plain" },
        { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
        { "\\u0041\\u007f\\u0080\\u07ff\\u0800\\uFfFf",
          "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf" },
        { "\\ud800\\udc00\\udbff\\udfff", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char quoted[200], out[200];
        const char *raw;
        int64_t length;
        snprintf(quoted, sizeof quoted, "\"%s\"", cases[i][0]);
        ecki_scan scan = scan_of(quoted);
        assert_int_equal(ecki_scan_string(&scan, &raw, &length), ECK_OK);
        assert_int_equal(ecki_scan_unescape(out, raw, length), strlen(cases[i][1]));
        assert_string_equal(out, cases[i][1]);
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const char *const good[] = { "0", "7", "9223372036854775807" };
    static const char *const bad[] = { "-1", "00", "1.0", "1e2", "9223372036854775808",
                                       "",   "a",  "+1",  "1-",  "--" };
    int64_t value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ecki_scan scan = scan_of(good[i]);
        assert_int_equal(ecki_scan_integer(&scan, &value), ECK_OK);
        assert_int_equal(value, strtoll(good[i], NULL, 10));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ecki_scan scan = scan_of(bad[i]);
        assert_int_equal(ecki_scan_integer(&scan, &value), ECK_E_FORMAT);
    }
}

static void test_a_million_brackets(void **state)
{
    (void)state;
    const int64_t count = 1000000;
    char *text = malloc((size_t)count + 1);
    assert_non_null(text);
    memset(text, '[', (size_t)count);
    text[count] = '\0';
    ecki_scan scan = scan_of(text);
    assert_int_equal(ecki_scan_skip(&scan), ECK_E_FORMAT);
    assert_error(&err, ECK_E_FORMAT, 1008, "too deep a nesting");
    free(text);
}

static void test_values_are_counted(void **state)
{
    (void)state;
    // an object, a key, an array, three numbers
    ecki_scan scan = scan_of("{\"a\":[1,2,3]}");
    scan.values_limit = 6;
    assert_int_equal(ecki_scan_skip(&scan), ECK_OK);
    assert_int_equal(scan.values, 6);
    scan = scan_of("{\"a\":[1,2,3]}");
    scan.values_limit = 5;
    assert_int_equal(ecki_scan_skip(&scan), ECK_E_FORMAT);
    assert_error(&err, ECK_E_FORMAT, 1011, "too many values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_broken_values),
        cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_a_million_brackets),
        cmocka_unit_test(test_values_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
