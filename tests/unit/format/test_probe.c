// Which reader gets a file: content before name, standard input read whole.
#include "scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/container.h"
#include "format/format.h"

static const char header[] = "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
static const char *golden;

static void assert_format(const char *path, const char *format)
{
    ecki_container *container = scratch_open(path);
    assert_string_equal(container->format, format);
    ecki_container_close(container);
}

static void copy(const char *from, const char *to)
{
    int64_t count;
    char *bytes = scratch_read(from, &count);
    scratch_write(to, bytes, count);
    free(bytes);
}

static void test_content_before_name(void **state)
{
    (void)state;
    char npy[1000], npz[1000];
    snprintf(npy, sizeof npy, "%s/npy/version-1.npy", golden);
    snprintf(npz, sizeof npz, "%s/npz/stored.npz", golden);
    static const char *const endings[] = { "",     ".bin", ".safetensors", ".npy",
                                           ".npz", ".csv", ".json" };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const char *path = scratch_path("any%s", endings[i]);
        scratch_safetensors(path, header, 4);
        assert_format(path, "safetensors");
        copy(npy, path);
        assert_format(path, "npy");
        copy(npz, path);
        assert_format(path, "npz");
    }
    scratch_text(scratch_path("table.CSV"), "1,2\n");
    assert_format(scratch_path("table.CSV"), "csv");
    scratch_text(scratch_path("table.dat"), "1,2\n");
    assert_refused(scratch_path("table.dat"), ECK_E_UNSUPPORTED, 0,
                   "neither safetensors nor npy, npz, mtx, onnx, torch or csv");
}

static void test_endings(void **state)
{
    (void)state;
    assert_true(ecki_ends_with("a.npy", ".npy"));
    assert_true(ecki_ends_with("a.NPY", ".npy"));
    assert_true(ecki_ends_with(".npy", ".npy"));
    assert_false(ecki_ends_with("npy", ".npy"));
    assert_false(ecki_ends_with("a.npy.gz", ".npy"));
}

// Opens "-" while these bytes come through a pipe in pieces of `piece`; NULL and an error if it is refused.
static ecki_container *open_stream(const char *bytes, int64_t count, int64_t piece, eck_error *err)
{
    int pipes[2];
    ecki_container *container = NULL;
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
        close(pipes[0]);
        for (int64_t at = 0; at < count; at += piece)
            if (write(pipes[1], bytes + at, (size_t)(count - at < piece ? count - at : piece)) < 0)
                _exit(1);
        _exit(0);
    }
    close(pipes[1]);
    const int saved = dup(STDIN_FILENO);
    assert_int_equal(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
    close(pipes[0]);
    ecki_container_open(&container, "-", err);
    dup2(saved, STDIN_FILENO);
    close(saved);
    waitpid(child, NULL, 0);
    return container;
}

static void test_standard_input(void **state)
{
    (void)state;
    static const struct {
        const char *file, *format;
    } cases[] = {
        { "npy/version-1.npy", "npy" },       { "npy/big-endian.npy", "npy" },
        { "npz/stored.npz", "npz" },          { "npz/deflated.npz", "npz" },
        { "csv/comma.csv", "csv" },           { "csv/header.csv", "csv" },
        { "csv/byte-order-mark.csv", "csv" }, { "safetensors/one.safetensors", "safetensors" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[1000], wanted[2048], found[2048];
        int64_t count;
        eck_error err = ECK_ERROR_INIT;
        snprintf(path, sizeof path, "%s/%s", golden, cases[i].file);
        char *bytes = scratch_read(path, &count);
        ecki_container *stream = open_stream(bytes, count, 7, &err);
        if (!stream) fail_msg("%s: %s", cases[i].file, err.message);
        ecki_container *file = scratch_open(path);
        assert_string_equal(stream->format, cases[i].format);
        assert_string_equal(stream->path, "-");
        assert_int_equal(stream->entry_count, file->entry_count);
        for (int64_t e = 0; e < file->entry_count; e++) {
            const int64_t size = file->entries[e].bytes;
            assert_int_equal(stream->entries[e].bytes, size);
            assert_int_equal(ecki_container_read(file, e, 0, wanted, size, &err), ECK_OK);
            assert_int_equal(ecki_container_read(stream, e, 0, found, size, &err), ECK_OK);
            assert_memory_equal(wanted, found, size);
        }
        assert_int_equal(ecki_container_unchanged(stream, &err), ECK_OK);
        ecki_container_close(stream);
        ecki_container_close(file);
        free(bytes);
    }
}

static void test_standard_input_refused(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    assert_null(open_stream("", 0, 1, &err));
    assert_error(&err, ECK_E_FORMAT, 0, "cannot read '-': the file is empty");
    assert_null(open_stream("1,2\n3\n", 6, 1, &err));
    assert_error(&err, ECK_E_FORMAT, 4, "cannot read '-': line 2 has 1 numbers, line 1 has 2");
    assert_null(open_stream("\0\1\2\3", 4, 1, &err));
    assert_error(&err, ECK_E_UNSUPPORTED, 0, "neither safetensors nor npy");
    assert_null(open_stream("\x93NUMPY\1\0\x10\0{'descr", 17, 3, &err));
    assert_error(&err, ECK_E_FORMAT, 0, "a header of 16 bytes, 7 are there");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_before_name),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_standard_input_refused),
    };
    if (argc != 2) return 2;
    golden = argv[1];
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
