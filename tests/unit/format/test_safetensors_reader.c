// The safetensors reader against the writer on random files, and what is too large for a golden file.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tensor/codec.h"

enum { SEED = 77, FILES = 150, TENSORS_MAX = 24 };
static eck_error err;

// A number below `count` for this file and index.
static int64_t pick(int64_t file, int64_t index, int64_t count)
{
    return (int64_t)(ecki_random_bits(SEED, (uint64_t)file, (uint64_t)index) % (uint64_t)count);
}

// Byte `at` of tensor `index`.
static char byte_of(int64_t file, int64_t index, int64_t at)
{
    return (char)(file * 13 + index * 7 + at * 3);
}

// Random types, shapes with zeros and ones among them, names with everything a name may have.
static int64_t random_specs(ecki_tensor_spec *specs, char (*names)[64], int64_t file)
{
    static const eck_dtype types[] = { ECK_DTYPE_F64,  ECK_DTYPE_F32, ECK_DTYPE_F16,
                                       ECK_DTYPE_BF16, ECK_DTYPE_I8,  ECK_DTYPE_BOOL,
                                       ECK_DTYPE_U64,  ECK_DTYPE_C64, ECK_DTYPE_F8_E4M3,
                                       ECK_DTYPE_F4 };
    static const char *const parts[] = { "layer", "größe", "\"q\"",    "back\\slash",
                                         "層",    "a b",   "Ä.weight", "\xf0\x9f\x98\x80" };
    const int64_t count = pick(file, 0, TENSORS_MAX + 1);
    for (int64_t i = 0; i < count; i++) {
        ecki_tensor_spec *spec = &specs[i];
        memset(spec, 0, sizeof *spec);
        snprintf(names[i], sizeof names[i], "%s.%lld", parts[pick(file, 100 + i, 8)], (long long)i);
        spec->name = names[i];
        spec->dtype = types[pick(file, 200 + i, 10)];
        spec->ndim = (int32_t)pick(file, 300 + i, 6);
        for (int32_t d = 0; d < spec->ndim; d++)
            spec->shape[d] = pick(file, 400 + 8 * i + d, 6);
        // an even count of half bytes
        if (spec->dtype == ECK_DTYPE_F4) spec->shape[spec->ndim++] = 2;
    }
    return count;
}

static void write_file(const char *path, const ecki_tensor_spec *specs, int64_t count, int64_t file)
{
    ecki_target *target;
    ecki_output *output;
    ecki_safetensors_writer *writer;
    const ecki_safetensors_layout layout = { .tensors = specs,
                                             .count = count,
                                             .reserved = pick(file, 1, 100) };
    assert_int_equal(
        ecki_target_create(&target, &(ecki_target_options){ .path = path, .replace = true }, &err),
        ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
    if (ecki_safetensors_writer_create(&writer, output, &layout, &err) != ECK_OK)
        fail_msg("%s", err.message);
    for (int64_t i = count - 1; i >= 0; i--) {
        int64_t elements, bytes;
        char data[20000];
        assert_true(ecki_shape_count(specs[i].ndim, specs[i].shape, &elements));
        assert_true(ecki_dtype_bytes(specs[i].dtype, elements, &bytes));
        assert_true(bytes <= (int64_t)sizeof data);
        for (int64_t at = 0; at < bytes; at++)
            data[at] = byte_of(file, i, at);
        assert_int_equal(ecki_safetensors_writer_write(writer, i, 0, data, bytes, &err), ECK_OK);
    }
    assert_int_equal(ecki_safetensors_writer_finish(writer, &err), ECK_OK);
    assert_int_equal(ecki_target_publish(target, &err), ECK_OK);
    ecki_safetensors_writer_free(writer);
    ecki_target_free(target);
}

static void check_file(const char *path, const ecki_tensor_spec *specs, int64_t count, int64_t file)
{
    ecki_container *container = scratch_open(path);
    assert_int_equal(container->entry_count, count);
    assert_string_equal(ecki_container_metadata(container, "format"), "pt");
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = ecki_container_find(container, specs[i].name);
        assert_true(at >= 0);
        const ecki_entry *entry = &container->entries[at];
        char data[20000];
        assert_int_equal(entry->dtype, specs[i].dtype);
        assert_int_equal(entry->ndim, specs[i].ndim);
        assert_memory_equal(entry->shape, specs[i].shape, sizeof(int64_t) * (size_t)entry->ndim);
        assert_int_equal(ecki_container_read(container, at, 0, data, entry->bytes, &err), ECK_OK);
        for (int64_t b = 0; b < entry->bytes; b++)
            if (data[b] != byte_of(file, i, b))
                fail_msg("byte %lld of '%s'", (long long)b, specs[i].name);
        // everything is aligned to its own size
        assert_int_equal(entry->offset % ((eck_dtype_bits(entry->dtype) + 7) / 8), 0);
    }
    ecki_container_close(container);
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    static ecki_tensor_spec specs[TENSORS_MAX];
    static char names[TENSORS_MAX][64];
    const char *path = scratch_path("random.safetensors"),
               *again = scratch_path("again.safetensors");
    for (int64_t file = 0; file < FILES; file++) {
        const int64_t count = random_specs(specs, names, file);
        int64_t first_bytes, second_bytes;
        write_file(path, specs, count, file);
        write_file(again, specs, count, file);
        char *first = scratch_read(path, &first_bytes),
             *second = scratch_read(again, &second_bytes);
        assert_int_equal(first_bytes, second_bytes);
        assert_memory_equal(first, second, first_bytes);
        free(first);
        free(second);
        check_file(path, specs, count, file);
    }
}

// A header of `count` entries of one byte each; names from a printf format with one number.
static char *large_header(int64_t count, const char *name)
{
    ecki_text text = { 0 };
    ecki_text_add(&text, "{", 1);
    for (int64_t i = 0; i < count; i++) {
        char key[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(key, sizeof key, name, (long long)i);
#pragma GCC diagnostic pop
        ecki_text_printf(&text,
                         "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%lld,%lld]}",
                         i ? "," : "", key, (long long)i, (long long)i + 1);
    }
    ecki_text_add(&text, "}", 1);
    return ecki_text_take(&text);
}

// What is held while a header is read: its text, and for each tensor an entry, its name and two places in orders;
// arrays grow by doubling, and while one is moved both are there: at most 3 times their final size.
static void test_memory_is_bounded(void **state)
{
    (void)state;
    const int64_t count = 100000;
    char *header = large_header(count, "model.layers.%lld.weight");
    const int64_t length = (int64_t)strlen(header);
    scratch_safetensors(scratch_path("large.safetensors"), header, count);
    ecki_free(header);
    ecki_memory_reset_peak();
    const int64_t before = ecki_memory_now();
    ecki_container *container = scratch_open(scratch_path("large.safetensors"));
    const int64_t held = ecki_memory_peak() - before;
    const int64_t allowed =
        length + count * (3 * (int64_t)sizeof(ecki_entry) + 32 + 2 * 8) + (1 << 17);
    print_message("a header of %lld bytes: held %lld, allowed %lld\n", (long long)length,
                  (long long)held, (long long)allowed);
    assert_true(held <= allowed);
    assert_int_equal(ecki_container_find(container, "model.layers.77777.weight"), 77777);
    ecki_container_close(container);
    assert_int_equal(ecki_memory_now(), before);
}

static void test_a_million_brackets(void **state)
{
    (void)state;
    const int64_t count = 1000000;
    char *header = malloc((size_t)count + 1);
    assert_non_null(header);
    memset(header, '[', (size_t)count);
    header[count] = '\0';
    scratch_safetensors(scratch_path("deep.safetensors"), header, 0);
    assert_refused(scratch_path("deep.safetensors"), ECK_E_FORMAT, 8, "'{' is missing at byte 8");
    memcpy(header, "{\"w\":{\"x\":", 10);
    scratch_safetensors(scratch_path("deep.safetensors"), header, 0);
    assert_refused(scratch_path("deep.safetensors"), ECK_E_FORMAT, 8 + 10 + 30,
                   "too deep a nesting");
    free(header);
}

static void test_too_many_dimensions_of_numbers(void **state)
{
    (void)state;
    // numbers without end must not be read twice or grow anything
    ecki_text text = { 0 };
    ecki_text_add(&text, "{\"w\":{\"x\":[0", -1);
    for (int32_t i = 0; i < 300000; i++)
        ecki_text_add(&text, ",0", 2);
    ecki_text_add(&text, "],\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", -1);
    scratch_safetensors(scratch_path("numbers.safetensors"), text.data, 1);
    ecki_text_clear(&text);
    ecki_container *container = scratch_open(scratch_path("numbers.safetensors"));
    assert_int_equal(container->warning_count, 1);
    ecki_container_close(container);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_a_million_brackets),
        cmocka_unit_test(test_too_many_dimensions_of_numbers),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
