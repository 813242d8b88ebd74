// Directories: what cannot be kept in tests/golden, many shards and shards that are no files.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "format/format.h"

static const char index_file[] = "model.safetensors.index.json";

// A directory of `count` shards with one tensor "t<i>" of byte i each, and its index.
static const char *make_shards(const char *name, int32_t count)
{
    ecki_text index = { 0 };
    assert_int_equal(mkdir(scratch_path("%s", name), 0700), 0);
    ecki_text_add(&index, "{\"weight_map\":{", -1);
    for (int32_t i = 0; i < count; i++) {
        char header[200];
        snprintf(header, sizeof header,
                 "{\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", i);
        scratch_safetensors(scratch_path("%s/model-%05d-of-%05d.safetensors", name, i + 1, count),
                            header, 1);
        ecki_text_printf(&index, "%s\"t%d\":\"model-%05d-of-%05d.safetensors\"", i ? "," : "", i,
                         i + 1, count);
    }
    ecki_text_add(&index, "}}", 2);
    scratch_text(scratch_path("%s/%s", name, index_file), index.data);
    ecki_text_clear(&index);
    return scratch_path("%s", name);
}

static void test_many_shards(void **state)
{
    (void)state;
    ecki_container *container = scratch_open(make_shards("many", 300));
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(container->file_count, 300);
    assert_int_equal(container->entry_count, 300);
    assert_true(container->directory);
    for (int32_t i = 0; i < 300; i++) {
        char name[16], file[64];
        snprintf(name, sizeof name, "t%d", i);
        snprintf(file, sizeof file, "model-%05d-of-00300.safetensors", i + 1);
        const int64_t at = ecki_container_find(container, name);
        assert_int_equal(at, i);
        assert_string_equal(container->files[container->entries[at].file].name, file);
    }
    assert_int_equal(ecki_container_unchanged(container, &err), ECK_OK);
    scratch_text(scratch_path("many/model-00123-of-00300.safetensors"), "other");
    assert_int_equal(ecki_container_unchanged(container, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1,
                 "'model-00123-of-00300.safetensors': the file changed while being read");
    ecki_container_close(container);
}

static void test_shards_that_are_no_files(void **state)
{
    (void)state;
    make_shards("odd", 3);
    const char *second = scratch_path("odd/model-00002-of-00003.safetensors");
    assert_int_equal(unlink(second), 0);
    assert_int_equal(mkfifo(second, 0600), 0);
    alarm(120);
    assert_refused(scratch_path("odd"), ECK_E_IO, -1, "it is a FIFO, not a regular file");
    alarm(0);
    assert_int_equal(unlink(second), 0);
    assert_int_equal(mkdir(second, 0700), 0);
    assert_refused(scratch_path("odd"), ECK_E_IO, -1, "it is a directory, not a regular file");
    assert_int_equal(rmdir(second), 0);
    assert_int_equal(symlink("/dev/zero", second), 0);
    assert_refused(scratch_path("odd"), ECK_E_IO, -1, "it is a device, not a regular file");
    assert_int_equal(unlink(second), 0);
    assert_int_equal(symlink(index_file, second), 0);
    assert_refused(scratch_path("odd"), ECK_E_FORMAT, 0,
                   "cannot read 'model-00002-of-00003.safetensors': a header of");

    const char *index = scratch_path("odd/%s", index_file);
    assert_int_equal(unlink(index), 0);
    assert_int_equal(mkfifo(index, 0600), 0);
    alarm(120);
    assert_refused(scratch_path("odd"), ECK_E_IO, -1, "it is a FIFO, not a regular file");
    alarm(0);
}

static void test_metadata_is_of_the_first(void **state)
{
    (void)state;
    make_shards("metadata", 2);
    scratch_safetensors(scratch_path("metadata/model-00001-of-00002.safetensors"),
                        "{\"__metadata__\":{\"format\":\"pt\",\"a\":\"1\"},"
                        "\"t0\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                        1);
    scratch_safetensors(scratch_path("metadata/model-00002-of-00002.safetensors"),
                        "{\"__metadata__\":{\"format\":\"np\",\"b\":\"2\"},"
                        "\"t1\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                        1);
    ecki_container *container = scratch_open(scratch_path("metadata"));
    assert_int_equal(container->metadata_count, 4);
    assert_string_equal(ecki_container_metadata(container, "format"), "pt");
    assert_null(ecki_container_metadata(container, "b"));
    ecki_container_close(container);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_shards),
        cmocka_unit_test(test_shards_that_are_no_files),
        cmocka_unit_test(test_metadata_is_of_the_first),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
