// Text that grows and numbers, under a locale whose decimal point is a comma.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

static void grows(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    ecki_text text = { 0 };
    for (int i = 0; i < 1000; i++) {
        ecki_text_add(&text, "ab", -1);
        ecki_text_add(&text, "cdef", 1);
        ecki_text_printf(&text, "%d,", i % 10);
    }
    assert_false(text.failed);
    assert_true(text.length == 5000);
    char *const whole = ecki_text_take(&text);
    assert_int_equal(strlen(whole), 5000);
    for (int i = 0; i < 1000; i++) {
        char wanted[8];
        snprintf(wanted, sizeof wanted, "abc%d,", i % 10);
        assert_memory_equal(whole + 5 * i, wanted, 5);
    }
    assert_true(text.data == NULL && text.length == 0 && text.room == 0);
    ecki_free(whole);
    assert_true(ecki_memory_now() == before);
}

static void empty(void **state)
{
    (void)state;
    ecki_text text = { 0 };
    char *const whole = ecki_text_take(&text);
    assert_string_equal(whole, "");
    ecki_free(whole);
    ecki_text_add(&text, NULL, 0);
    assert_string_equal(text.data, "");
    ecki_text_clear(&text);
    ecki_text_clear(&text);
}

// Grants allocations until the count runs out.
static int granted;

static void *grant(void *user, size_t bytes)
{
    (void)user;
    return granted-- > 0 ? malloc(bytes) : NULL;
}

static void *grant_more(void *user, void *memory, size_t bytes)
{
    (void)user;
    return granted-- > 0 ? realloc(memory, bytes) : NULL;
}

static void take_back(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static void failing_once_is_failing(void **state)
{
    (void)state;
    const eck_allocator poor = { 1, grant, grant_more, take_back, NULL };
    eck_allocator_set(&poor);
    ecki_text text = { 0 };
    granted = 1;
    ecki_text_add(&text, "kept", -1);
    assert_false(text.failed);
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    ecki_text_add(&text, long_text, sizeof long_text);
    assert_true(text.failed);
    granted = 10;
    ecki_text_add(&text, "more", -1);
    ecki_text_printf(&text, "%d", 1);
    assert_string_equal(text.data, "kept");
    assert_null(ecki_text_take(&text));
    assert_null(text.data);
    eck_allocator_set(NULL);
}

// Makes a German locale in a directory of its own and enters it: few machines have one, any with
// localedef can.
static void enter_comma_locale(char *directory)
{
    char command[200];
    assert_non_null(mkdtemp(directory));
    snprintf(command, sizeof command, "localedef --no-archive -i de_DE -f UTF-8 %s/de_DE.UTF-8",
             directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(setenv("LOCPATH", directory, 1), 0);
    assert_non_null(setlocale(LC_ALL, "de_DE.UTF-8"));
}

static void leave_comma_locale(const char *directory)
{
    char command[200];
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

static void numbers_without_the_locale(void **state)
{
    (void)state;
    char directory[] = "/tmp/eckart-locale-XXXXXX";
    enter_comma_locale(directory);
    char host[16];
    snprintf(host, sizeof host, "%.1f", 0.5);
    assert_string_equal(host, "0,5"); // or this test would show nothing

    ecki_text text = { 0 };
    ecki_text_printf(&text, "%.3f", 1.5);
    assert_string_equal(text.data, "1.500");
    ecki_text_clear(&text);
    char *const made = ecki_format("%g", 0.25);
    assert_string_equal(made, "0.25");
    ecki_free(made);
    eck_error err;
    ecki_error(&err, ECK_E_RANGE, -1, "%g", 2.5);
    assert_string_equal(err.message, "2.5");
    double value = 0;
    assert_true(ecki_parse_double("1.5", 3, &value));
    assert_true(value == 1.5);
    assert_false(ecki_parse_double("1,5", 3, &value));

    char after[16];
    snprintf(after, sizeof after, "%.1f", 0.5);
    assert_string_equal(after, host); // the host's locale is as it was
    leave_comma_locale(directory);
}

static void doubles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {
        { "0", 0.0 },
        { "-0", -0.0 },
        { "1", 1.0 },
        { "+1", 1.0 },
        { "-2.5", -2.5 },
        { ".5", 0.5 },
        { "5.", 5.0 },
        { "1e3", 1e3 },
        { "1E+3", 1e3 },
        { "1e-3", 1e-3 },
        { "1.7976931348623157e308", 0x1.fffffffffffffp1023 },
        { "4.9406564584124654e-324", 0x1p-1074 },
        { "2.4703282292062327e-324", 0.0 },
        { "1e400", INFINITY },
        { "-1e400", -INFINITY },
        { "inf", INFINITY },
        { "-Inf", -INFINITY },
        { "INFINITY", INFINITY },
        { "9007199254740993", 9007199254740992.0 },
        { "007", 7.0 },
        { "0.1", 0.1 },
    };
    const int saved = errno = 5;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double value = 77;
        if (!ecki_parse_double(good[i].text, (int64_t)strlen(good[i].text), &value))
            fail_msg("'%s'", good[i].text);
        assert_true(value == good[i].value && signbit(value) == signbit(good[i].value));
    }
    assert_int_equal(errno, saved);
    double value = 0;
    assert_true(ecki_parse_double("NaN", 3, &value));
    assert_true(isnan(value));
    assert_true(ecki_parse_double("12x", 2, &value)); // only so many bytes
    assert_true(value == 12.0);
}

static void bad_doubles(void **state)
{
    (void)state;
    static const char *const bad[] = { "",      " 1",    "1 ",     "1x",      "0x1p3",     "1e",
                                       "1e+",   ".",     "-",      "+",       "+-1",       "1..2",
                                       "e5",    "1.2.3", "nan(1)", "infinit", "infinityx", "na",
                                       "1e5.0", "1_000", "\t1",    "1\n",     "INFx",      "--1" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 77;
        if (ecki_parse_double(bad[i], (int64_t)strlen(bad[i]), &value)) fail_msg("'%s'", bad[i]);
        assert_true(value == 77);
    }
    double value = 77;
    assert_false(ecki_parse_double("1\0002", 3, &value));
    assert_false(ecki_parse_double("inf\0x", 5, &value));
    char digits[1200];
    memset(digits, '1', sizeof digits);
    assert_true(ecki_parse_double(digits, 1099, &value));
    assert_false(ecki_parse_double(digits, 1100, &value));
}

static void integers(void **state)
{
    (void)state;
    int64_t value = 77;
    assert_true(ecki_parse_int("0", 1, &value));
    assert_true(value == 0);
    assert_true(ecki_parse_int("9223372036854775807", 19, &value));
    assert_true(value == INT64_MAX);
    assert_true(ecki_parse_int("12x", 2, &value));
    assert_true(value == 12);
    static const char *const bad[] = { "",
                                       "00",
                                       "01",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "1.0",
                                       "9223372036854775808",
                                       "99999999999999999999",
                                       "a" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 77;
        assert_false(ecki_parse_int(bad[i], (int64_t)strlen(bad[i]), &value));
        assert_true(value == 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(empty),
        cmocka_unit_test(failing_once_is_failing),
        cmocka_unit_test(numbers_without_the_locale),
        cmocka_unit_test(doubles),
        cmocka_unit_test(bad_doubles),
        cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
