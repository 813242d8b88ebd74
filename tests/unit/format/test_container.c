// The container: growth, the index by name, ranges, what is said of names that are alike.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/container.h"
#include "format/input.h"

static eck_error err;

// A container of one file in memory and `count` one-byte entries "t<i>" in falling order.
static ecki_container *filled(int64_t count)
{
    ecki_container *container;
    ecki_file file = { .descriptor = -1,
                       .size = count,
                       .name = ecki_strdup("memory"),
                       .path = ecki_strdup("memory"),
                       .memory = ecki_calloc(count, 1) };
    int32_t index;
    for (int64_t i = 0; i < count; i++)
        ((char *)file.memory)[i] = (char)(i % 127);
    assert_int_equal(ecki_container_create(&container, "memory", &err), ECK_OK);
    assert_int_equal(ecki_container_take_file(&index, container, &file, &err), ECK_OK);
    assert_null(file.memory);
    for (int64_t i = count - 1; i >= 0; i--) {
        ecki_entry *entry;
        char name[32];
        snprintf(name, sizeof name, "t%lld", (long long)i);
        assert_int_equal(ecki_container_add_entry(&entry, container, &err), ECK_OK);
        entry->name = ecki_container_string(container, name, (int64_t)strlen(name));
        entry->dtype = ECK_DTYPE_U8;
        entry->offset = i;
        entry->bytes = 1;
    }
    return container;
}

static void test_find(void **state)
{
    (void)state;
    const int64_t counts[] = { 0, 1, 2, 16, 17, 1000, 40000 };
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        ecki_container *container = filled(counts[c]);
        char name[32];
        assert_int_equal(ecki_container_finish(container, &err), ECK_OK);
        for (int64_t i = 0; i < counts[c]; i++) {
            char byte;
            snprintf(name, sizeof name, "t%lld", (long long)i);
            const int64_t at = ecki_container_find(container, name);
            assert_int_equal(at, counts[c] - 1 - i);
            assert_int_equal(ecki_container_read(container, at, 0, &byte, 1, &err), ECK_OK);
            assert_int_equal(byte, i % 127);
        }
        static const char *const absent[] = { "", "t", "t-1", "t00", "u", "\xff", "t0 " };
        for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
            assert_int_equal(ecki_container_find(container, absent[i]), -1);
        assert_int_equal(container->warning_count, 0);
        ecki_container_close(container);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    ecki_container *container = filled(3);
    char byte;
    assert_int_equal(ecki_container_finish(container, &err), ECK_OK);
    assert_int_equal(ecki_container_read(container, 1, 1, &byte, 0, &err), ECK_OK);
    const int64_t bad[][3] = { { 1, 0, 2 },         { 1, 1, 1 },
                               { 1, -1, 1 },        { 1, 0, -1 },
                               { 1, 2, 0 },         { 1, INT64_MAX, 1 },
                               { 1, 1, INT64_MAX }, { 1, INT64_MAX, INT64_MAX },
                               { -1, 0, 1 },        { 3, 0, 1 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            ecki_container_read(container, bad[i][0], bad[i][1], &byte, bad[i][2], &err),
            ECK_E_RANGE);
    ecki_container_close(container);
}

static void test_names_alike(void **state)
{
    (void)state;
    ecki_container *container = filled(3);
    container->entries[0].name = "Head";
    container->entries[1].name = "tail";
    container->entries[2].name = "heAd";
    assert_int_equal(ecki_container_finish(container, &err), ECK_OK);
    assert_int_equal(container->warning_count, 1);
    assert_string_equal(container->warnings[0],
                        "names that differ in case alone: 'Head' and 'heAd', 1 such pairs");
    ecki_container_close(container);

    container = filled(3);
    container->entries[0].name = container->entries[2].name = "w";
    assert_int_equal(ecki_container_finish(container, &err), ECK_E_FORMAT);
    assert_error(&err, ECK_E_FORMAT, container->entries[2].offset,
                 "tensor 'w' of 'memory': the name comes twice");
    ecki_container_close(container);
}

static void test_too_many_tensors(void **state)
{
    (void)state;
    ecki_container *container = filled(0);
    ecki_entry *entry;
    for (int64_t i = 0; i < ECKI_TENSORS_MAX; i++)
        if (ecki_container_add_entry(&entry, container, &err) != ECK_OK)
            fail_msg("%s", err.message);
    assert_int_equal(ecki_container_add_entry(&entry, container, &err), ECK_E_UNSUPPORTED);
    assert_error(&err, ECK_E_UNSUPPORTED, -1, "more than 1000000 tensors");
    ecki_container_close(container);
}

static void test_strings_outlive_growth(void **state)
{
    (void)state;
    ecki_container *container = filled(0);
    char *long_text = malloc(200001);
    assert_non_null(long_text);
    memset(long_text, 'x', 200000);
    long_text[200000] = '\0';
    const char *first = ecki_container_string(container, "first", 5);
    const char *whole = ecki_container_string(container, long_text, 200000);
    for (int32_t i = 0; i < 30000; i++)
        assert_non_null(ecki_container_string(container, "abcdefgh", 8));
    for (int32_t i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(ecki_container_add_metadata(container, key, key + 1, &err), ECK_OK);
        assert_int_equal(ecki_container_warn(container, &err, "warning %d", i), ECK_OK);
    }
    assert_string_equal(first, "first");
    assert_string_equal(whole, long_text);
    assert_string_equal(ecki_container_metadata(container, "k77"), "77");
    assert_string_equal(container->warnings[99], "warning 99");
    assert_null(ecki_container_metadata(container, "77"));
    ecki_container_close(container);
    free(long_text);
}

static void test_unchanged_names_the_file(void **state)
{
    (void)state;
    scratch_safetensors(scratch_path("a.safetensors"),
                        "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    ecki_container *container = scratch_open(scratch_path("a.safetensors"));
    char bytes[4];
    assert_int_equal(ecki_container_unchanged(container, &err), ECK_OK);
    assert_int_equal(truncate(container->path, container->files[0].size - 1), 0);
    assert_int_equal(ecki_container_read(container, 0, 0, bytes, 4, &err), ECK_E_IO);
    assert_non_null(strstr(err.message, "cannot read tensor 'w' of"));
    assert_non_null(strstr(err.message, "1 bytes missing of 4"));
    assert_int_equal(ecki_container_unchanged(container, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "a.safetensors': the file changed while being read");
    ecki_container_close(container);
}

static void test_swap(void **state)
{
    (void)state;
    unsigned char bytes[17] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    ecki_swap_bytes(bytes + 1, 2, ECK_DTYPE_F64);
    assert_memory_equal(
        bytes, ((unsigned char[]){ 0, 8, 7, 6, 5, 4, 3, 2, 1, 16, 15, 14, 13, 12, 11, 10, 9 }), 17);
    ecki_swap_bytes(bytes, 8, ECK_DTYPE_BF16);
    assert_memory_equal(
        bytes, ((unsigned char[]){ 8, 0, 6, 7, 4, 5, 2, 3, 16, 1, 14, 15, 12, 13, 10, 11, 9 }), 17);
    ecki_swap_bytes(bytes, 17, ECK_DTYPE_U8);
    assert_int_equal(bytes[0], 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_names_alike),
        cmocka_unit_test(test_too_many_tensors),
        cmocka_unit_test(test_strings_outlive_growth),
        cmocka_unit_test(test_unchanged_names_the_file),
        cmocka_unit_test(test_swap),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
