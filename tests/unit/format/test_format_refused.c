// Reading files, each request for memory refused in turn: the library's and the JSON reader's.
#include "memory/failing_allocator.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "eckart/file.h"
#include "format/format.h"
#include "format/json.h"
#include "scratch.h"

static const char *golden; // folder of the golden files

static eck_status json_scenario(void *self, eck_error *err)
{
    (void)self;
    const char text[] = "{\"layers\": [{\"name\": \"a long name that has to be held\", \"ranks\": "
                        "[1, 2, 3]}, null, true],"
                        " \"error\": 0.125, \"count\": 7, \"text\": \"\\u00e9\"}";
    json_t *document = UNTOUCHED;
    const eck_status status =
        ecki_json_parse(&document, text, sizeof text - 1, &ecki_json_config, "plan.json", err);
    assert_untouched(status, document);
    // A reader that goes on with half a string would return a document, too.
    const char *const name = json_string_value(
        json_object_get(json_array_get(json_object_get(document, "layers"), 0), "name"));
    if (document) assert_string_equal(name, "a long name that has to be held");
    json_decref(document);
    return status;
}

static void json(void **state)
{
    (void)state;
    fail_every_allocation("ecki_json_parse", json_scenario, NULL);
}

// Opens a file, reads every tensor, closes.
static eck_status read_scenario(void *self, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_container *container = UNTOUCHED;
    char *bytes = NULL;

    status = ecki_container_open(&container, self, err);
    assert_untouched(status, container);
    if (status != ECK_OK) goto done;
    for (int64_t i = 0; i < container->entry_count; i++) {
        ecki_free(bytes);
        bytes = NULL;
        ECK_ALLOC(bytes, container->entries[i].bytes);
        ECK_TRY(ecki_container_read(container, i, 0, bytes, container->entries[i].bytes, err));
    }
    ECK_TRY(ecki_container_unchanged(container, err));
done:
    ecki_free(bytes);
    ecki_container_close(container);
    return status;
}

static void write_arrays(const char *path, int64_t count)
{
    const float numbers[4] = { 1, 2, 3, 4 };
    const int64_t shape[] = { 4 };
    eck_array *array = NULL;
    assert_int_equal(eck_array_convert(&array, eck_view_of(numbers, ECK_DTYPE_F32, 1, shape),
                                       ECK_DTYPE_F32, NULL),
                     ECK_OK);
    const eck_named_array arrays[] = { { "first", array }, { "second", array } };
    assert_int_equal(eck_file_write_arrays(path, arrays, count, true, NULL), ECK_OK);
    eck_array_free(array);
}

static void read_one(const char *name, int64_t count)
{
    char path[200], what[60];
    snprintf(path, sizeof path, "%s", scratch_path("%s", name));
    snprintf(what, sizeof what, "reading %s", name);
    write_arrays(path, count);
    fail_every_allocation(what, read_scenario, path);
}

static void files(void **state)
{
    (void)state;
    read_one("tensors.safetensors", 2);
    read_one("array.npy", 1);
    read_one("arrays.npz", 2);
}

static void csv(void **state)
{
    (void)state;
    char path[200];
    snprintf(path, sizeof path, "%s", scratch_path("table.csv"));
    scratch_text(path, "1,2.5,3\n4,5,-6e3\n");
    fail_every_allocation("reading table.csv", read_scenario, path);
}

// A graph with a node in a graph in a node, a number stored by itself, and external data.
static void onnx(void **state)
{
    (void)state;
    char path[1000];
    static const char *const names[] = { "graphs-with-one-name", "integers", "external",
                                         "constant" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/onnx/%s.onnx", golden, names[i]);
        fail_every_allocation(names[i], read_scenario, path);
    }
}

// A checkpoint in an archive, with a view that is gathered, and one of the old form.
static void torch(void **state)
{
    (void)state;
    char path[1000];
    static const char *const names[] = { "turned.pt", "state_dict.pt", "legacy.pth" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/torch/%s", golden, names[i]);
        fail_every_allocation(names[i], read_scenario, path);
    }
}

// A directory of two shards and their index, made by hand.
static void write_shards(void)
{
    eck_error err;
    const float numbers[4] = { 1, 2, 3, 4 };
    const int64_t shape[] = { 4 };
    eck_array *array = NULL;
    assert_int_equal(eck_array_convert(&array, eck_view_of(numbers, ECK_DTYPE_F32, 1, shape),
                                       ECK_DTYPE_F32, &err),
                     ECK_OK);
    const eck_named_array a = { "a", array }, b = { "b", array };
    assert_int_equal(
        eck_file_write_arrays(scratch_path("model-00001-of-00002.safetensors"), &a, 1, true, &err),
        ECK_OK);
    assert_int_equal(
        eck_file_write_arrays(scratch_path("model-00002-of-00002.safetensors"), &b, 1, true, &err),
        ECK_OK);
    eck_array_free(array);
    const char index[] = "{\"metadata\": {\"total_size\": 32}, \"weight_map\": {\"a\": "
                         "\"model-00001-of-00002.safetensors\","
                         " \"b\": \"model-00002-of-00002.safetensors\"}}";
    assert_int_equal(eck_file_write(scratch_path("model.safetensors.index.json"), index,
                                    sizeof index - 1, true, &err),
                     ECK_OK);
}

static void sharded(void **state)
{
    (void)state;
    char path[200];
    snprintf(path, sizeof path, "%s", scratch_path("."));
    write_shards();
    fail_every_allocation("reading shards", read_scenario, path);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    golden = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json),    cmocka_unit_test(files), cmocka_unit_test(csv),
        cmocka_unit_test(sharded), cmocka_unit_test(onnx),  cmocka_unit_test(torch),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
