// One file being written: pieces in any order, from several writers, and its size at the end.
#include "scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"
#include "format/output_file.h"

static eck_error err;

static ecki_output *create(const char *path, int flags)
{
    ecki_output *output;
    const int descriptor = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(ecki_output_create(&output, descriptor, path, &err), ECK_OK);
    return output;
}

enum { PIECES = 64, PIECE = 5000 };

static eck_status write_piece(void *self, int64_t index, eck_error *error)
{
    char piece[PIECE];
    memset(piece, (int)index, sizeof piece);
    return ecki_output_write(self, index * PIECE, piece, sizeof piece, error);
}

static void test_pieces_from_several_threads(void **state)
{
    (void)state;
    const char *path = scratch_path("pieces");
    ecki_output *output = create(path, O_RDWR);
    assert_int_equal(ecki_output_reserve(output, PIECES * PIECE, &err), ECK_OK);
    assert_int_equal(ecki_parallel_for(PIECES, 4, write_piece, output, &err), ECK_OK);
    assert_int_equal(ecki_output_finish(output, &err), ECK_OK);
    ecki_output_close(output);
    int64_t count;
    char *bytes = scratch_read(path, &count);
    assert_int_equal(count, PIECES * PIECE);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(bytes[i], i / PIECE);
    free(bytes);
}

static void test_sizes(void **state)
{
    (void)state;
    ecki_output *output = create(scratch_path("any"), O_RDWR);
    assert_int_equal(ecki_output_finish(output, &err), ECK_OK); // nothing promised
    assert_int_equal(ecki_output_reserve(output, 0, &err), ECK_OK);
    assert_int_equal(ecki_output_finish(output, &err), ECK_OK);
    assert_int_equal(ecki_output_write(output, 0, "x", 1, &err), ECK_OK);
    assert_int_equal(ecki_output_finish(output, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "any': 1 bytes on the disk of 0");
    ecki_output_close(output);
}

static void test_failing_writes(void **state)
{
    (void)state;
    ecki_output *output = create(scratch_path("fixed"), O_RDONLY);
    assert_int_equal(ecki_output_write(output, 0, "x", 1, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "fixed': Bad file descriptor");
    assert_int_equal(ecki_output_write(output, 0, "", 0, &err), ECK_OK);
    ecki_output_close(output);
    output = create("/dev/full", O_RDWR);
    assert_int_equal(ecki_output_write(output, 0, "x", 1, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot write '/dev/full': No space left on device");
    ecki_output_close(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_from_several_threads),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_failing_writes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
