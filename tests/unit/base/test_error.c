// An error is filled whole, once, from whatever bytes; the sentence carries the names in the end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

static void filled_whole(void **state)
{
    (void)state;
    eck_error err;
    memset(&err, 'x', sizeof err);
    assert_int_equal(ecki_error(&err, ECK_E_SHAPE, 41, "%d rows, not %s", 3, "four"), ECK_E_SHAPE);
    assert_int_equal(err.status, ECK_E_SHAPE);
    assert_true(err.offset == 41);
    assert_string_equal(err.message, "3 rows, not four");
    assert_string_equal(err.file, "");
    assert_string_equal(err.tensor, "");
}

static void null_is_fine(void **state)
{
    (void)state;
    assert_int_equal(ecki_error(NULL, ECK_E_RANGE, -1, "%d", 1), ECK_E_RANGE);
    assert_int_equal(ecki_error_where(NULL, ECK_E_RANGE, "f", "t"), ECK_E_RANGE);
    assert_int_equal(ecki_error_memory(NULL, 3), ECK_E_NOMEM);
    assert_int_equal(ecki_error_system(NULL, ENOENT, "cannot open", "f"), ECK_E_IO);
}

static void arguments_may_lie_in_the_error(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    ecki_error(&err, ECK_E_IO, -1, "inner");
    ecki_error(&err, ECK_E_IO, -1, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: inner");
}

static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    char text[1200];
    // Three-byte characters behind 0, 1, 2 bytes: the cut falls at every place within one.
    for (size_t lead = 0; lead < 3; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        eck_error err;
        ecki_error(&err, ECK_E_IO, -1, "%s", text);
        const size_t length = strlen(err.message);
        assert_true(length >= sizeof err.message - 3 && length < sizeof err.message);
        assert_true(ecki_utf8_valid(err.message, (int64_t)length));
    }
}

static void where_adds_what_is_missing(void **state)
{
    (void)state;
    eck_error err;
    ecki_error(&err, ECK_E_FORMAT, 8, "12 bytes missing of 400");
    assert_int_equal(ecki_error_where(&err, ECK_E_FORMAT, "m.safetensors", "wte"), ECK_E_FORMAT);
    assert_string_equal(err.file, "m.safetensors");
    assert_string_equal(err.tensor, "wte");
    assert_string_equal(err.message, "tensor 'wte' of 'm.safetensors': 12 bytes missing of 400");
    assert_true(err.offset == 8);
    // What is there stays.
    ecki_error_where(&err, ECK_E_FORMAT, "other", "other");
    assert_string_equal(err.file, "m.safetensors");
    assert_string_equal(err.message, "tensor 'wte' of 'm.safetensors': 12 bytes missing of 400");
}

static void where_does_not_repeat_a_name(void **state)
{
    (void)state;
    eck_error err;
    ecki_error(&err, ECK_E_FORMAT, -1, "cannot read tensor 'wte'");
    ecki_error_where(&err, ECK_E_FORMAT, NULL, "wte");
    assert_string_equal(err.message, "cannot read tensor 'wte'");
    ecki_error_where(&err, ECK_E_FORMAT, "f.npy", NULL);
    assert_string_equal(err.message, "'f.npy': cannot read tensor 'wte'");
    assert_int_equal(ecki_error_where(&err, ECK_OK, "g", "g"), ECK_OK);
}

static void names_are_escaped_and_shortened(void **state)
{
    (void)state;
    eck_error err;
    char name[600];
    memset(name, 'n', sizeof name);
    memcpy(name, "\x1b[2J", 4);
    memcpy(name + sizeof name - 5, ".end", 5);
    ecki_error(&err, ECK_E_FORMAT, -1, "bad");
    ecki_error_where(&err, ECK_E_FORMAT, name, NULL);
    assert_int_equal(strlen(err.file), sizeof err.file - 1);
    assert_memory_equal(err.file, "\\x1b[2J", 7);
    assert_string_equal(err.file + strlen(err.file) - 4, ".end");
    assert_non_null(strstr(err.file, "..."));
}

static void memory_and_system(void **state)
{
    (void)state;
    eck_error err;
    assert_int_equal(ecki_error_memory(&err, INT64_C(5000000000)), ECK_E_NOMEM);
    assert_string_equal(err.message, "not enough memory: 5000000000 bytes");
    assert_int_equal(ecki_error_memory(&err, -1), ECK_E_NOMEM);
    assert_string_equal(err.message, "not enough memory");
    assert_int_equal(ecki_error_system(&err, EEXIST, "cannot make", "a\nb"), ECK_E_EXISTS);
    assert_string_equal(err.message, "cannot make 'a\\x0ab': File exists");
    assert_string_equal(err.file, "a\\x0ab");
    assert_int_equal(ecki_error_system(&err, ENOSPC, "cannot write", "f"), ECK_E_IO);
    assert_string_equal(err.message, "cannot write 'f': No space left on device");
    assert_int_equal(ecki_error_system(&err, 12345, "cannot write", "f"), ECK_E_IO);
    assert_string_equal(err.message, "cannot write 'f': unknown error");
}

static void every_status_has_a_name(void **state)
{
    (void)state;
    const eck_status all[] = { ECK_OK,        ECK_E_NOMEM,   ECK_E_CANCELLED, ECK_E_BUDGET,
                               ECK_E_SHAPE,   ECK_E_RANGE,   ECK_E_NONFINITE, ECK_E_SOLVER,
                               ECK_E_PROMISE, ECK_E_NOTHING, ECK_E_FORMAT,    ECK_E_UNSUPPORTED,
                               ECK_E_IO,      ECK_E_EXISTS };
    const size_t count = sizeof all / sizeof all[0];
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(eck_status_name(all[i]), "unknown");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(eck_status_name(all[i]), eck_status_name(all[j]));
    }
    assert_string_equal(eck_status_name((eck_status)999), "unknown");
}

static eck_status requires(int number, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(number > 0, ECK_E_RANGE, 7, "rank %d", number);
done:
    return status;
}

static eck_status tries(int number, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(requires(number, err));
    status = ECK_E_IO; // reached only if the call succeeded
done:
    return status;
}

static void macros(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(tries(1, &err), ECK_E_IO);
    assert_int_equal(err.status, ECK_OK);
    assert_int_equal(tries(-2, &err), ECK_E_RANGE);
    assert_string_equal(err.message, "rank -2");
    assert_true(err.offset == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filled_whole),
        cmocka_unit_test(null_is_fine),
        cmocka_unit_test(arguments_may_lie_in_the_error),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(where_adds_what_is_missing),
        cmocka_unit_test(where_does_not_repeat_a_name),
        cmocka_unit_test(names_are_escaped_and_shortened),
        cmocka_unit_test(memory_and_system),
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
