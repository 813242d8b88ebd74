// What the documents share: always valid JSON, whatever the numbers and names.
#include "expect.h"

#include <locale.h>
#include <math.h>

#include "report/json_text.h"

static json_t *finish(ecki_json object)
{
    char *text = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_json_finish(&text, object, &err), ECK_OK);
    return expect_document(text);
}

static void test_nan_and_infinity_are_null(void **state)
{
    (void)state;
    const double values[] = { 2.385, NAN, -INFINITY };
    ecki_json object = ecki_json_object();
    ecki_json_real(&object, "nan", NAN);
    ecki_json_real(&object, "inf", INFINITY);
    ecki_json_reals(&object, "list", values, 3);
    json_t *const document = finish(object);
    expect_null(document, "nan");
    expect_null(document, "inf");
    expect_real(document, "list.0", 2.385);
    expect_null(document, "list.1");
    expect_null(document, "list.2");
    json_decref(document);
}

static void test_numbers_survive(void **state)
{
    (void)state;
    const double values[] = { 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e22 };
    ecki_json object = ecki_json_object();
    ecki_json_reals(&object, "list", values, 6);
    ecki_json_integer(&object, "largest", INT64_MAX);
    ecki_json_integer(&object, "least", INT64_MIN);
    json_t *const document = finish(object);
    for (int i = 0; i < 6; i++)
        assert_true(json_real_value(json_array_get(expect_member(document, "list"), (size_t)i)) ==
                    values[i]);
    expect_integer(document, "largest", INT64_MAX);
    expect_integer(document, "least", INT64_MIN);
    json_decref(document);
}

static void test_names_are_escaped(void **state)
{
    (void)state;
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "quote", "a\"b\\c\n\x01");
    ecki_json_text(&object, "letters", "gr\xc3\xbc\xc3\x9f");
    ecki_json_text(&object, "bytes", "caf\xe9.npy");
    ecki_json_text(&object, "none", NULL);
    json_t *const document = finish(object);
    expect_text(document, "quote", "a\"b\\c\n\x01");
    expect_text(document, "letters", "gr\xc3\xbc\xc3\x9f");
    expect_text(document, "bytes", "caf\\xe9.npy");
    expect_null(document, "none");
    json_decref(document);
}

static void test_layout(void **state)
{
    (void)state;
    char *text = NULL;
    ecki_json inner = ecki_json_object();
    ecki_json_integer(&inner, "b", 1);
    ecki_json list = ecki_json_array();
    ecki_json_put(&list, NULL, inner);
    ecki_json object = ecki_json_object();
    ecki_json_bool(&object, "yes", true);
    ecki_json_put(&object, "list", list);
    ecki_json_put(&object, "empty", ecki_json_array());
    assert_int_equal(ecki_json_finish(&text, object, NULL), ECK_OK);
    assert_string_equal(
        text, "{\n  \"yes\": true,\n  \"list\": [\n    {\"b\": 1}\n  ],\n  \"empty\": []\n}\n");
    json_decref(expect_document(text));
}

static void test_a_single_member_is_one_line(void **state)
{
    (void)state;
    char *text = NULL;
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "a", 7);
    assert_int_equal(ecki_json_finish(&text, object, NULL), ECK_OK);
    assert_string_equal(text, "{\"a\": 7}\n");
    json_decref(expect_document(text));
}

// A host that writes 0,5 for a half changes nothing.
static void test_the_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8" };
    for (int i = 0; i < 3; i++)
        if (setlocale(LC_ALL, names[i])) break;
    ecki_json object = ecki_json_object();
    ecki_json_real(&object, "half", 0.5);
    json_t *const document = finish(object);
    setlocale(LC_ALL, "C");
    expect_real(document, "half", 0.5);
    json_decref(document);
}

static void test_a_failed_part_fails_the_document(void **state)
{
    (void)state;
    char *text = NULL;
    eck_error err = ECK_ERROR_INIT;
    ecki_json part = ecki_json_object();
    ecki_json_add(&part, "never", NULL);
    ecki_json object = ecki_json_object();
    ecki_json_put(&object, "part", part);
    assert_int_equal(ecki_json_finish(&text, object, &err), ECK_E_NOMEM);
    assert_null(text);
    assert_int_equal(err.status, ECK_E_NOMEM);
}

static void test_kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(ecki_kind_name(ECK_STAGE_LINEAR), "linear");
    assert_string_equal(ecki_kind_name(ECK_STAGE_CONV), "conv");
    assert_string_equal(ecki_kind_name(ECK_STAGE_CONV_TRANSPOSE), "conv_transpose");
    assert_string_equal(ecki_kind_name(ECK_STAGE_LOOKUP), "embedding");
    assert_string_equal(ecki_kind_name(ECK_STAGE_SCALE), "scale");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nan_and_infinity_are_null),
        cmocka_unit_test(test_numbers_survive),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_a_single_member_is_one_line),
        cmocka_unit_test(test_the_locale_does_not_matter),
        cmocka_unit_test(test_a_failed_part_fails_the_document),
        cmocka_unit_test(test_kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
