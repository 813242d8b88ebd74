// The safetensors writer: layout, metadata, ranges in any order, and what it refuses.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

// A target, its one output and a writer over it, opened together.
typedef struct fixture {
    ecki_target *target;
    ecki_output *output;
    ecki_safetensors_writer *writer;
} fixture;

static eck_status fixture_open(fixture *f, const char *path, const ecki_safetensors_layout *layout,
                               eck_error *err)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(ecki_target_create(
                         &f->target, &(ecki_target_options){ .path = path, .replace = true }, err),
                     ECK_OK);
    assert_int_equal(ecki_target_open(&f->output, f->target, NULL, err), ECK_OK);
    return ecki_safetensors_writer_create(&f->writer, f->output, layout, err);
}

static void fixture_close(fixture *f)
{
    ecki_safetensors_writer_free(f->writer);
    ecki_target_free(f->target);
}

static const ecki_tensor_spec two[] = {
    { "b", ECK_DTYPE_BF16, 2, { 2, 3 } },
    { "a", ECK_DTYPE_F32, 1, { 5 } },
};

static void test_layout_is_the_reference_s(void **state)
{
    (void)state;
    // what safetensors.numpy.save writes for these, metadata {"format": "pt"}
    static const char wanted[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_"
        "offsets\":[0,20]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[20,32]}}";
    const char *path = scratch_path("layout.safetensors");
    eck_error err = ECK_ERROR_INIT;
    fixture f;
    char bytes[20];

    for (int32_t i = 0; i < 20; i++)
        bytes[i] = (char)i;
    assert_int_equal(
        fixture_open(&f, path, &(ecki_safetensors_layout){ .tensors = two, .count = 2 }, &err),
        ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 0, 0, bytes, 12, &err), ECK_OK);
    // any order, any pieces
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 12, bytes + 12, 8, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 0, bytes, 4, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 4, bytes + 4, 8, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_OK);
    assert_int_equal(ecki_target_publish(f.target, &err), ECK_OK);
    fixture_close(&f);

    int64_t count;
    char *file = scratch_read(path, &count);
    const int64_t padded = (int64_t)(sizeof wanted - 1 + 7) / 8 * 8;
    assert_int_equal(count, 8 + padded + 32);
    assert_int_equal(file[0], (char)padded);
    assert_memory_equal(file + 8, wanted, sizeof wanted - 1);
    for (int64_t i = (int64_t)sizeof wanted - 1; i < padded; i++)
        assert_int_equal(file[8 + i], ' ');
    assert_memory_equal(file + 8 + padded, bytes, 20);
    assert_memory_equal(file + 8 + padded + 20, bytes, 12);
    free(file);

    ecki_container *container;
    assert_int_equal(ecki_container_open(&container, path, &err), ECK_OK);
    assert_int_equal(container->entry_count, 2);
    const int64_t b = ecki_container_find(container, "b");
    assert_int_equal(container->entries[b].bytes, 12);
    assert_int_equal(ecki_container_read(container, b, 3, bytes, 4, &err), ECK_OK);
    assert_memory_equal(bytes, ((char[]){ 3, 4, 5, 6 }), 4);
    assert_string_equal(ecki_container_metadata(container, "format"), "pt");
    assert_null(ecki_container_metadata(container, "Format"));
    ecki_container_close(container);
}

static void test_metadata_fits_what_was_reserved(void **state)
{
    (void)state;
    const char *path = scratch_path("metadata.safetensors"),
               *given[] = { "z", "1", "format", "np" };
    const ecki_safetensors_layout layout = { .metadata = given,
                                             .metadata_count = 4,
                                             .reserved = 40 };
    eck_error err = ECK_ERROR_INIT;
    fixture f;

    assert_int_equal(fixture_open(&f, path, &layout, &err), ECK_OK);
    assert_int_equal(
        ecki_safetensors_writer_metadata(f.writer, "eckart", "{\"a\":\"\t\x01\\\"}", &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_metadata(f.writer, "z", "2", &err), ECK_E_RANGE);
    assert_error(&err, ECK_E_RANGE, -1, "'z' comes twice");
    assert_int_equal(ecki_safetensors_writer_metadata(f.writer, "bad", "\xff", &err), ECK_E_RANGE);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_OK);
    assert_int_equal(ecki_target_publish(f.target, &err), ECK_OK);
    fixture_close(&f);

    ecki_container *container;
    assert_int_equal(ecki_container_open(&container, path, &err), ECK_OK);
    assert_string_equal(ecki_container_metadata(container, "eckart"), "{\"a\":\"\t\x01\\\"}");
    assert_string_equal(ecki_container_metadata(container, "format"), "np");
    assert_string_equal(ecki_container_metadata(container, "z"), "1");
    assert_int_equal(container->metadata_count, 6);
    ecki_container_close(container);

    assert_int_equal(fixture_open(&f, path, &layout, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_metadata(
                         f.writer, "k", "0123456789012345678901234567890123456789", &err),
                     ECK_OK);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_E_RANGE);
    assert_error(&err, ECK_E_RANGE, -1, "more than the header has room for");
    fixture_close(&f);
}

static void test_every_byte_once(void **state)
{
    (void)state;
    const ecki_safetensors_layout layout = { .tensors = two, .count = 2 };
    eck_error err = ECK_ERROR_INIT;
    fixture f;

    assert_int_equal(fixture_open(&f, scratch_path("ranges"), &layout, &err), ECK_OK);
    const char bytes[20] = { 0 };
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 0, 0, bytes, 12, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 4, bytes, 4, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 12, bytes, 4, &err), ECK_OK);
    // each kind of overlap
    const int64_t overlaps[][2] = { { 4, 4 }, { 0, 5 },  { 7, 1 },  { 5, 2 },
                                    { 7, 6 }, { 15, 5 }, { 0, 20 }, { 10, 3 } };
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++) {
        assert_int_equal(
            ecki_safetensors_writer_write(f.writer, 1, overlaps[i][0], bytes, overlaps[i][1], &err),
            ECK_E_RANGE);
        assert_error(&err, ECK_E_RANGE, overlaps[i][0], "written twice");
    }
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 0, bytes, 0, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 16, bytes, 5, &err), ECK_E_RANGE);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, -1, bytes, 1, &err), ECK_E_RANGE);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 2, 0, bytes, 1, &err), ECK_E_RANGE);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_E_RANGE);
    assert_error(&err, ECK_E_RANGE, 0, "tensor 'a': bytes from 0 on were never given");
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 0, bytes, 4, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_E_RANGE);
    assert_error(&err, ECK_E_RANGE, 8, "tensor 'a': bytes from 8 on were never given");
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 8, bytes, 4, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_write(f.writer, 1, 16, bytes, 4, &err), ECK_OK);
    assert_int_equal(ecki_safetensors_writer_finish(f.writer, &err), ECK_OK);
    fixture_close(&f);
    assert_false(scratch_exists(scratch_path("ranges")));
}

static void test_specifications_refused(void **state)
{
    (void)state;
    const struct {
        ecki_tensor_spec specs[2];
        int64_t count;
        eck_status status;
        const char *part;
    } cases[] = {
        { { { "", ECK_DTYPE_F32, 0, { 0 } } }, 1, ECK_E_RANGE, "not a name" },
        { { { "a\nb", ECK_DTYPE_F32, 0, { 0 } } }, 1, ECK_E_RANGE, "'a\\x0ab'" },
        { { { "__metadata__", ECK_DTYPE_F32, 0, { 0 } } }, 1, ECK_E_RANGE, "not a name" },
        { { { "a", ECK_DTYPE_NONE, 0, { 0 } } }, 1, ECK_E_RANGE, "dtype 0" },
        { { { "a", ECK_DTYPE_F32, 9, { 0 } } }, 1, ECK_E_SHAPE, "9 dimensions" },
        { { { "a", ECK_DTYPE_F32, 1, { -1 } } }, 1, ECK_E_SHAPE, "dimension 0 is -1" },
        { { { "a", ECK_DTYPE_F32, 2, { INT64_C(1) << 40, INT64_C(1) << 40 } } },
          1,
          ECK_E_SHAPE,
          "too large" },
        { { { "a", ECK_DTYPE_F4, 1, { 3 } } }, 1, ECK_E_SHAPE, "too large" },
        { { { "a", ECK_DTYPE_F32, 0, { 0 } }, { "a", ECK_DTYPE_F16, 0, { 0 } } },
          2,
          ECK_E_RANGE,
          "comes twice" },
        { { { "a", ECK_DTYPE_U8, 1, { INT64_MAX - 1 } },
            { "b", ECK_DTYPE_U8, 1, { INT64_MAX - 1 } } },
          2,
          ECK_E_SHAPE,
          "too many bytes" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        eck_error err = ECK_ERROR_INIT;
        fixture f;
        const ecki_safetensors_layout layout = { .tensors = cases[i].specs,
                                                 .count = cases[i].count };
        assert_int_equal(fixture_open(&f, scratch_path("refused"), &layout, &err), cases[i].status);
        assert_error(&err, cases[i].status, -1, cases[i].part);
        assert_null(f.writer);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_is_the_reference_s),
        cmocka_unit_test(test_metadata_fits_what_was_reserved),
        cmocka_unit_test(test_every_byte_once),
        cmocka_unit_test(test_specifications_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
