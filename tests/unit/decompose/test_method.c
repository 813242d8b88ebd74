// Names of methods, both ways.
#include "chains.h"

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i <= ECK_METHOD_DEPTHWISE; i++) {
        eck_method method = (eck_method)77;
        assert_int_equal(eck_method_parse(&method, eck_method_name((eck_method)i), NULL), ECK_OK);
        assert_int_equal(method, i);
    }
    assert_string_equal(eck_method_name(ECK_METHOD_DENSE), "dense");
    assert_string_equal(eck_method_name(ECK_METHOD_SVD), "svd");
    assert_string_equal(eck_method_name(ECK_METHOD_SPATIAL), "spatial");
    assert_string_equal(eck_method_name(ECK_METHOD_TUCKER2), "tucker2");
    assert_string_equal(eck_method_name(ECK_METHOD_DEPTHWISE), "depthwise");
    assert_string_equal(eck_method_name((eck_method)8), "?");
    assert_string_equal(eck_method_name((eck_method)-1), "?");
}

static void test_unknown_names(void **state)
{
    (void)state;
    const char *const names[] = { "", "SVD", "svd ", "svdd", "cp\n\x1b[2J" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        eck_method method = (eck_method)77;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(eck_method_parse(&method, names[i], &err), ECK_E_RANGE);
        assert_int_equal(method, 77);
        assert_non_null(strstr(err.message, "tt and depthwise"));
        assert_null(strpbrk(err.message, "\n\x1b"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_names),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
