// The public writers: by ending, to standard output, and what they refuse.
#include "scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eckart/context.h"
#include "eckart/file.h"
#include "format/format.h"

static eck_error err;
static float numbers[6] = { 1.5f, -2.385f, 3.25f, 4.125f, 5.0625f, 6.7f };
static const eck_array matrix = { numbers, ECK_DTYPE_F32, 2, { 2, 3 } };
static const eck_array halves = { numbers, ECK_DTYPE_BF16, 1, { 12 } };

static void assert_holds_matrix(const char *path, const char *format, const char *name)
{
    ecki_container *container = scratch_open(path);
    float found[6];
    assert_string_equal(container->format, format);
    const int64_t at = ecki_container_find(container, name);
    assert_true(at >= 0);
    assert_int_equal(container->entries[at].ndim, 2);
    assert_int_equal(ecki_container_read(container, at, 0, found, sizeof found, &err), ECK_OK);
    assert_memory_equal(found, numbers, sizeof found);
    ecki_container_close(container);
}

static void test_by_ending(void **state)
{
    (void)state;
    const eck_named_array arrays[] = { { "w", &matrix }, { "b", &matrix } };
    static const struct {
        const char *name, *format, *array;
        int64_t count;
    } cases[] = { { "a.npy", "npy", "", 1 },
                  { "a.NPZ", "npz", "w", 2 },
                  { "a.safetensors", "safetensors", "b", 2 } };
    for (size_t i = 0; i < 3; i++) {
        const char *path = scratch_path("%s", cases[i].name);
        assert_int_equal(eck_file_write_arrays(path, arrays, cases[i].count, false, &err), ECK_OK);
        assert_holds_matrix(path, cases[i].format, cases[i].array);
        assert_int_equal(eck_file_write_arrays(path, arrays, cases[i].count, false, &err),
                         ECK_E_EXISTS);
        assert_int_equal(eck_file_write_arrays(path, arrays, cases[i].count, true, &err), ECK_OK);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    const eck_named_array twice[] = { { "w", &matrix }, { "w", &matrix } },
                          nameless[] = { { "", &matrix } };
    const eck_named_array half[] = { { "w", &halves } };
    const struct {
        const char *name;
        const eck_named_array *arrays;
        int64_t count;
        eck_status status;
        const char *part;
    } cases[] = {
        { "a.txt", twice, 1, ECK_E_RANGE, "its name must end in .npy, .npz or .safetensors" },
        { "b.npy", twice, 2, ECK_E_RANGE, "2 arrays where one is needed" },
        { "b.npy", twice, 0, ECK_E_RANGE, "0 arrays where one is needed" },
        { "b.npz", twice, 2, ECK_E_RANGE, "array 'w': the name comes twice" },
        { "b.safetensors", twice, 2, ECK_E_RANGE, "array 'w': the name comes twice" },
        { "b.npz", nameless, 1, ECK_E_RANGE, "not a name an array may have" },
        { "b.npy", half, 1, ECK_E_UNSUPPORTED,
          "cannot write BF16 as npy: NumPy has no such type; convert" },
        { "b.npz", half, 1, ECK_E_UNSUPPORTED, "cannot write BF16 as npy" },
        { "gone/b.npz", twice, 1, ECK_E_IO, "No such file or directory" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = scratch_path("%s", cases[i].name);
        assert_int_equal(eck_file_write_arrays(path, cases[i].arrays, cases[i].count, false, &err),
                         cases[i].status);
        assert_error(&err, cases[i].status, -1, cases[i].part);
        assert_false(scratch_exists(path));
        // every refusal works without an error object too
        assert_int_equal(eck_file_write_arrays(path, cases[i].arrays, cases[i].count, false, NULL),
                         cases[i].status);
    }
    assert_int_equal(eck_file_write_arrays(scratch_path("b.safetensors"), half, 1, false, &err),
                     ECK_OK);
}

static void test_bytes_and_text(void **state)
{
    (void)state;
    const char *path = scratch_path("plan.json");
    char *text;
    int64_t length;
    assert_int_equal(eck_file_write(path, "{}\n", 3, false, &err), ECK_OK);
    assert_int_equal(eck_file_write(path, "[]\n", 3, false, &err), ECK_E_EXISTS);
    assert_int_equal(eck_file_read(&text, &length, path, 100, &err), ECK_OK);
    assert_string_equal(text, "{}\n");
    assert_int_equal(length, 3);
    eck_text_free(text);
    assert_int_equal(eck_file_write(scratch_path("empty"), "", 0, false, &err), ECK_OK);
    assert_int_equal(eck_file_read(&text, &length, scratch_path("empty"), 100, &err), ECK_OK);
    assert_string_equal(text, "");
    eck_text_free(text);
    assert_int_equal(eck_file_read(&text, &length, scratch_path("gone"), 100, &err), ECK_E_IO);
}

// What a child writes to standard output, as a file.
static void test_standard_output(void **state)
{
    (void)state;
    const char *path = scratch_path("stdout.npy");
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const eck_named_array arrays[] = { { "w", &matrix } };
        const bool redirected = freopen(path, "wb", stdout) != NULL;
        _exit(!redirected || eck_file_write_arrays("-", arrays, 1, false, NULL) != ECK_OK);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_holds_matrix(path, "npy", "");
    const eck_named_array two[] = { { "a", &matrix }, { "b", &matrix } };
    assert_int_equal(eck_file_write_arrays("-", two, 2, false, &err), ECK_E_RANGE);
    assert_error(&err, ECK_E_RANGE, -1, "2 arrays where one is needed");
}

// A reader that went away is an error of the write, not a death: the signal is the host's to set.
static void test_closed_pipe(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    close(pipes[0]);
    const pid_t child = fork();
    if (child == 0) {
        const bool set = signal(SIGPIPE, SIG_IGN) != SIG_ERR && dup2(pipes[1], STDOUT_FILENO) >= 0;
        _exit(!set || eck_file_write("-", "x", 1, false, NULL) != ECK_E_IO);
    }
    close(pipes[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_ending),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bytes_and_text), cmocka_unit_test(test_standard_output),
        cmocka_unit_test(test_closed_pipe),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
