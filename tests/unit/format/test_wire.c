// Protobuf fields: what is put is read again, in place, across windows; what is broken is refused with its byte.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/wire.h"

// A message as a file in memory.
static ecki_file held(const void *bytes, int64_t count)
{
    ecki_file file = {
        .name = ecki_strdup("m"), .path = ecki_strdup("m"), .descriptor = -1, .size = count
    };
    file.memory = ecki_malloc(count + 1, 1);
    assert_non_null(file.memory);
    memcpy(file.memory, bytes, (size_t)count);
    return file;
}

static ecki_wire walk(const ecki_file *file, eck_error *err)
{
    ecki_wire wire;
    assert_int_equal(ecki_wire_open(&wire, file, (ecki_span){ 0, file->size }, err), ECK_OK);
    return wire;
}

static void test_numbers_of_every_length(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    ecki_text text = { 0 };
    for (int32_t bit = 0; bit < 64; bit++)
        ecki_put_varint(&text, bit + 1, (UINT64_C(1) << bit) | 1);
    ecki_file file = held(text.data, text.length);
    ecki_wire wire = walk(&file, &err);
    ecki_field field;
    for (int32_t bit = 0; bit < 64; bit++) {
        assert_int_equal(ecki_wire_next(&field, &wire), ECK_OK);
        assert_int_equal(field.number, bit + 1);
        assert_true(field.value == ((UINT64_C(1) << bit) | 1));
        const uint64_t tag = (uint64_t)field.number << 3;
        assert_int_equal(field.end - field.start,
                         ecki_varint_bytes(tag) + ecki_varint_bytes(field.value));
    }
    assert_int_equal(ecki_wire_next(&field, &wire), ECK_OK);
    assert_int_equal(field.number, 0);
    ecki_wire_close(&wire);
    ecki_input_close(&file);
    ecki_text_clear(&text);
}

// A message longer than the window, with a message in it behind a large block.
static void test_messages_within(void **state)
{
    (void)state;
    enum { LARGE = 100000 };
    eck_error err = ECK_ERROR_INIT;
    ecki_text inner = { 0 }, outer = { 0 };
    char *large = calloc(1, LARGE);
    ecki_put_string(&inner, 3, "deep");
    ecki_put_varint(&inner, 4, 300);
    ecki_put_bytes(&outer, 1, large, LARGE);
    ecki_put_bytes(&outer, 2, inner.data, inner.length);
    ecki_put_varint(&outer, 5, 7);
    ecki_file file = held(outer.data, outer.length);
    ecki_wire wire = walk(&file, &err);
    ecki_field field, within;
    char bytes[4];
    assert_int_equal(ecki_wire_next(&field, &wire), ECK_OK);
    assert_int_equal(field.end - field.begin, LARGE);
    assert_int_equal(ecki_wire_next(&field, &wire), ECK_OK);
    assert_int_equal(field.begin - field.length_at, 1);
    ecki_wire inside = ecki_wire_inside(&wire, &field);
    assert_int_equal(ecki_wire_next(&within, &inside), ECK_OK);
    assert_int_equal(ecki_wire_bytes(bytes, &inside, within.begin, 4), ECK_OK);
    assert_memory_equal(bytes, "deep", 4);
    assert_int_equal(ecki_wire_next(&within, &inside), ECK_OK);
    assert_int_equal(within.value, 300);
    assert_int_equal(ecki_wire_next(&within, &inside), ECK_OK);
    assert_int_equal(within.number, 0);
    assert_int_equal(ecki_wire_next(&field, &wire), ECK_OK);
    assert_int_equal(field.value, 7);
    ecki_wire_close(&wire);
    ecki_input_close(&file);
    ecki_text_clear(&inner);
    ecki_text_clear(&outer);
    free(large);
}

static void expect_refused(const char *bytes, int64_t count, int64_t offset, const char *part)
{
    eck_error err = ECK_ERROR_INIT;
    ecki_file file = held(bytes, count);
    ecki_wire wire = walk(&file, &err);
    ecki_field field;
    assert_int_equal(ecki_wire_next(&field, &wire), ECK_E_FORMAT);
    assert_int_equal(err.offset, offset);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
    ecki_wire_close(&wire);
    ecki_input_close(&file);
}

static void test_broken(void **state)
{
    (void)state;
    expect_refused("\x08", 1, 1, "ends within a number");
    expect_refused("\x09\1\2\3", 4, 1, "ends within a number");
    expect_refused("\x0d\1\2", 3, 1, "ends within a number");
    expect_refused("\x0a\5abcd", 6, 0, "field 1 of 5 bytes in a message with 4 left");
    expect_refused("\x0b", 1, 0, "field 1 of type 3");
    expect_refused("\x0e", 1, 0, "field 1 of type 6");
    expect_refused("\x00\x01", 2, 0, "field 0");
    expect_refused("\x80\x80\x80\x80\x10\x01", 6, 0, "field 536870912");
    expect_refused("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, 1, "more than 64 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_every_length),
        cmocka_unit_test(test_messages_within),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
