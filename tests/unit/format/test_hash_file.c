// The digest of a file is that of what the container reads, wherever it is held.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/container.h"
#include "format/hash_file.h"
#include "format/input.h"

static eck_error err;

static void test_known_digests(void **state)
{
    (void)state;
    // FIPS 180-2, B.1 and B.3: "abc" and a million times "a"
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char million[] =
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    char hex[ECKI_HASH_HEX], *text = malloc(1000000);
    assert_non_null(text);
    memset(text, 'a', 1000000);
    scratch_text(scratch_path("abc"), "abc");
    scratch_write(scratch_path("million"), text, 1000000);
    for (int32_t i = 0; i < 2; i++) {
        ecki_file file = ECKI_FILE_NONE;
        assert_int_equal(ecki_input_open(&file, scratch_path(i ? "million" : "abc"), "f", &err),
                         ECK_OK);
        assert_int_equal(ecki_file_hash(hex, &file, &err), ECK_OK);
        assert_string_equal(hex, i ? million : abc);
        ecki_input_close(&file);
    }
    const ecki_file held = { .name = "-", .descriptor = -1, .size = 1000000, .memory = text };
    assert_int_equal(ecki_file_hash(hex, &held, &err), ECK_OK);
    assert_string_equal(hex, million);
    free(text);
}

static void test_a_file_that_shrinks(void **state)
{
    (void)state;
    ecki_file file = ECKI_FILE_NONE;
    char hex[ECKI_HASH_HEX] = "untouched";
    scratch_text(scratch_path("shrinks"), "0123456789");
    assert_int_equal(ecki_input_open(&file, scratch_path("shrinks"), "shrinks", &err), ECK_OK);
    assert_int_equal(truncate(scratch_path("shrinks"), 4), 0);
    assert_int_equal(ecki_file_hash(hex, &file, &err), ECK_E_IO);
    assert_string_equal(hex, "untouched");
    ecki_input_close(&file);
}

// A table from standard input: its text is longer than the numbers that are held in its place.
static void test_a_table_in_memory(void **state)
{
    (void)state;
    enum { DIGITS = 100000 };
    ecki_container *container;
    int32_t index;
    char hex[ECKI_HASH_HEX];
    char *text = ecki_malloc(DIGITS, 1);
    assert_non_null(text);
    memset(text, ' ', DIGITS);
    text[0] = '7';
    ecki_file file = { .name = ecki_strdup("-"),
                       .path = ecki_strdup("-"),
                       .descriptor = -1,
                       .size = DIGITS,
                       .memory = text };
    assert_int_equal(ecki_container_create(&container, "-", &err), ECK_OK);
    assert_int_equal(ecki_container_take_file(&index, container, &file, &err), ECK_OK);
    assert_int_equal(ecki_reader_csv.open(container, &err), ECK_OK);
    assert_int_equal(container->files[0].size, 8);
    assert_int_equal(ecki_file_hash(hex, &container->files[0], &err), ECK_OK);
    ecki_container_close(container);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_digests),
        cmocka_unit_test(test_a_file_that_shrinks),
        cmocka_unit_test(test_a_table_in_memory),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
