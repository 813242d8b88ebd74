// Writing and reading files as a user does, each request for memory refused in turn.
#include "failing_allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/eckart.h"

static char directory[64];

static int enter_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/eckart-memory-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

// "<directory>/<name>", valid until the next call.
static char *place(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

// Writes one array or two by way of the public writer; `self` is the path.
static eck_status write_scenario(void *self, eck_error *err)
{
    eck_array *first = NULL;
    eck_array *second = NULL;
    const int64_t shape[] = { 4, 5 };
    const int64_t count = strstr(self, ".npy") ? 1 : 2;

    eck_status status = eck_array_create(&first, ECK_DTYPE_F32, 2, shape, err);
    if (status == ECK_OK) status = eck_array_create(&second, ECK_DTYPE_F64, 2, shape, err);
    const eck_named_array arrays[] = { { "first", first }, { "second", second } };
    if (status == ECK_OK) status = eck_file_write_arrays(self, arrays, count, true, err);
    eck_array_free(first);
    eck_array_free(second);
    return status;
}

// The same in pieces.
static eck_status pieces_scenario(void *self, eck_error *err)
{
    static const double numbers[20] = { 1 };
    const eck_array_spec arrays[] = { { "first", ECK_DTYPE_F32, 2, { 4, 5 } },
                                      { "second", ECK_DTYPE_F64, 2, { 4, 5 } } };
    eck_array_writer *writer = NULL;
    eck_status status = eck_array_writer_create(&writer, self, arrays, 2, true, err);
    if (status == ECK_OK) status = eck_array_writer_write(writer, 1, 0, numbers, 160, err);
    if (status == ECK_OK) status = eck_array_writer_write(writer, 0, 0, numbers, 40, err);
    if (status == ECK_OK) status = eck_array_writer_write(writer, 0, 40, numbers, 40, err);
    if (status == ECK_OK) status = eck_array_writer_publish(writer, err);
    eck_array_writer_free(writer);
    return status;
}

static void written(void **state)
{
    (void)state;
    fail_every_allocation("writing safetensors", write_scenario, place("tensors.safetensors"));
    fail_every_allocation("writing npy", write_scenario, place("array.npy"));
    fail_every_allocation("writing npz", write_scenario, place("arrays.npz"));
    fail_every_allocation("writing npz in pieces", pieces_scenario, place("pieces.npz"));
    fail_every_allocation("writing safetensors in pieces", pieces_scenario,
                          place("pieces.safetensors"));
}

static const char document[] = "{\"text\": \"kept in a file\"}";

static eck_status text_scenario(void *self, eck_error *err)
{
    char *text = UNTOUCHED;
    int64_t length = -7;
    const eck_status status = eck_file_read(&text, &length, self, 1000, err);
    assert_untouched(status, text);
    assert_true(status == ECK_OK ? length == sizeof document - 1 : length == -7);
    if (text) assert_string_equal(text, document);
    eck_text_free(text);
    return status;
}

static eck_status bytes_scenario(void *self, eck_error *err)
{
    return eck_file_write(self, document, sizeof document - 1, true, err);
}

static void whole_files(void **state)
{
    (void)state;
    fail_every_allocation("eck_file_write", bytes_scenario, place("document.json"));
    fail_every_allocation("eck_file_read", text_scenario, place("document.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written),
        cmocka_unit_test(whole_files),
    };
    return cmocka_run_group_tests(tests, enter_directory, remove_directory);
}
