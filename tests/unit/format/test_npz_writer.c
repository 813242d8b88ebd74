// .npz as written: read back, same bytes every time, zip64 where sizes need it.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/format.h"
#include "format/npz.h"

static eck_error err;

static void write_arrays(const char *path, const eck_named_array *arrays, int64_t count)
{
    ecki_target *target;
    ecki_output *output;
    assert_int_equal(
        ecki_target_create(&target, &(ecki_target_options){ .path = path, .replace = true }, &err),
        ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
    if (ecki_npz_write(output, arrays, count, &err) != ECK_OK) fail_msg("%s", err.message);
    if (ecki_target_publish(target, &err) != ECK_OK) fail_msg("%s", err.message);
    ecki_target_free(target);
}

static void test_round_trip(void **state)
{
    (void)state;
    double numbers[6] = { 2.385, -1.5, 0, 1e300, 3, 4 };
    int8_t bytes[3] = { -1, 2, 3 };
    const eck_array a = { numbers, ECK_DTYPE_F64, 2, { 2, 3 } },
                    b = { bytes, ECK_DTYPE_I8, 1, { 3 } };
    const eck_array empty = { NULL, ECK_DTYPE_F32, 2, { 0, 7 } },
                    scalar = { numbers, ECK_DTYPE_F64, 0, { 0 } };
    const eck_named_array arrays[] = {
        { "U", &a }, { "größe", &b }, { "empty", &empty }, { "dir/s", &scalar }
    };
    const char *path = scratch_path("a.npz"), *again = scratch_path("b.npz");
    write_arrays(path, arrays, 4);
    write_arrays(again, arrays, 4);
    int64_t first_bytes, second_bytes;
    char *first = scratch_read(path, &first_bytes), *second = scratch_read(again, &second_bytes);
    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first, second, first_bytes);
    free(first);
    free(second);

    ecki_container *container = scratch_open(path);
    assert_int_equal(container->entry_count, 4);
    assert_int_equal(container->warning_count, 0);
    for (int32_t i = 0; i < 4; i++) {
        const int64_t at = ecki_container_find(container, arrays[i].name);
        assert_int_equal(at, i);
        const ecki_entry *entry = &container->entries[at];
        char data[100];
        assert_int_equal(entry->dtype, arrays[i].array->dtype);
        assert_int_equal(entry->ndim, arrays[i].array->ndim);
        assert_int_equal(ecki_container_read(container, at, 0, data, entry->bytes, &err), ECK_OK);
        if (entry->bytes > 0) assert_memory_equal(data, arrays[i].array->data, entry->bytes);
    }
    ecki_container_close(container);
}

// 65,535 members are one more than the old end record can count.
static void test_many_members_need_zip64(void **state)
{
    (void)state;
    const int64_t counts[] = { 65534, 65535, 65537 };
    char(*names)[16] = malloc(sizeof *names * 65537);
    eck_named_array *arrays = malloc(sizeof *arrays * 65537);
    assert_non_null(names);
    assert_non_null(arrays);
    const eck_array empty = { NULL, ECK_DTYPE_F32, 1, { 0 } };
    for (int32_t i = 0; i < 65537; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        arrays[i] = (eck_named_array){ names[i], &empty };
    }
    for (size_t c = 0; c < 3; c++) {
        write_arrays(scratch_path("many.npz"), arrays, counts[c]);
        ecki_container *container = scratch_open(scratch_path("many.npz"));
        assert_int_equal(container->entry_count, counts[c]);
        assert_int_equal(ecki_container_find(container, "65533"), 65533);
        ecki_container_close(container);
    }
    free(names);
    free(arrays);
}

static void test_refusals(void **state)
{
    (void)state;
    ecki_target *target;
    ecki_output *output;
    uint16_t number = 0;
    const eck_array half = { &number, ECK_DTYPE_BF16, 1, { 1 } };
    const eck_named_array arrays[] = { { "w", &half } };
    assert_int_equal(ecki_target_create(
                         &target, &(ecki_target_options){ .path = scratch_path("bf16.npz") }, &err),
                     ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
    assert_int_equal(ecki_npz_write(output, arrays, 1, &err), ECK_E_UNSUPPORTED);
    assert_error(&err, ECK_E_UNSUPPORTED, -1, "cannot write BF16 as npy");
    ecki_target_free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_many_members_need_zip64),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
