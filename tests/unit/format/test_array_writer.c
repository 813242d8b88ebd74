// Files written in pieces are, byte for byte, those written at once; nothing appears before it is published; what is
// missing, too much or misplaced is refused.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eckart/file.h"

enum { ROWS = 37, COLS = 11 };

static float numbers[ROWS * COLS];
static double values[COLS];
static eck_error err;

static void fill(void)
{
    for (int i = 0; i < ROWS * COLS; i++)
        numbers[i] = 0.25F * (float)(i * 7 % 50) - 3;
    for (int i = 0; i < COLS; i++)
        values[i] = 1.0 / (i + 1);
}

static const eck_array_spec specs[] = { { "U", ECK_DTYPE_F32, 2, { ROWS, COLS } },
                                        { "S", ECK_DTYPE_F64, 1, { COLS } },
                                        { "empty", ECK_DTYPE_F32, 2, { 0, 4 } } };

static void at_once(const char *path)
{
    const eck_array u = { numbers, ECK_DTYPE_F32, 2, { ROWS, COLS } },
                    s = { values, ECK_DTYPE_F64, 1, { COLS } },
                    empty = { NULL, ECK_DTYPE_F32, 2, { 0, 4 } };
    const eck_named_array arrays[] = { { "U", &u }, { "S", &s }, { "empty", &empty } };
    if (eck_file_write_arrays(path, arrays, 3, true, &err) != ECK_OK) fail_msg("%s", err.message);
}

static eck_status in_pieces(eck_array_writer *writer, int64_t piece)
{
    eck_status status = eck_array_writer_write(writer, 1, 0, values, sizeof values, &err);
    const int64_t all = (int64_t)sizeof numbers;
    // backwards: the order is free
    for (int64_t end = all; end > 0 && status == ECK_OK; end -= piece) {
        const int64_t first = end > piece ? end - piece : 0;
        status = eck_array_writer_write(writer, 0, first, (const char *)numbers + first,
                                        end - first, &err);
    }
    return status;
}

static void same_file(void **state)
{
    (void)state;
    static const char *const endings[] = { "npz", "safetensors" };
    fill();
    for (int e = 0; e < 2; e++)
        for (int64_t piece = 5; piece < 3000; piece *= 7) {
            char once[300], pieces[300];
            int64_t once_bytes, bytes;
            eck_array_writer *writer = NULL;
            snprintf(once, sizeof once, "%s", scratch_path("once.%s", endings[e]));
            snprintf(pieces, sizeof pieces, "%s",
                     scratch_path("pieces%d.%s", (int)piece, endings[e]));
            at_once(once);
            if (eck_array_writer_create(&writer, pieces, specs, 3, false, &err) != ECK_OK)
                fail_msg("%s", err.message);
            if (in_pieces(writer, piece) != ECK_OK) fail_msg("%s", err.message);
            assert_int_equal(access(pieces, F_OK), -1);
            if (eck_array_writer_publish(writer, &err) != ECK_OK) fail_msg("%s", err.message);
            eck_array_writer_free(writer);
            char *const expected = scratch_read(once, &once_bytes);
            char *const found = scratch_read(pieces, &bytes);
            assert_int_equal(bytes, once_bytes);
            assert_memory_equal(found, expected, (size_t)bytes);
            free(found);
            free(expected);
        }
}

static void refusals(void **state)
{
    (void)state;
    eck_array_writer *writer = NULL;
    fill();
    const char *const path = scratch_path("refused.npz");
    assert_int_equal(eck_array_writer_create(&writer, "a.npy", specs, 1, false, &err), ECK_E_RANGE);
    assert_int_equal(eck_array_writer_create(&writer, path, specs, 0, false, &err), ECK_E_RANGE);
    const eck_array_spec twice[] = { specs[0], specs[0] };
    assert_int_equal(eck_array_writer_create(&writer, path, twice, 2, false, &err), ECK_E_RANGE);
    assert_non_null(strstr(err.message, "the name comes twice"));
    const eck_array_spec half = { "h", ECK_DTYPE_BF16, 1, { 2 } };
    assert_int_equal(eck_array_writer_create(&writer, path, &half, 1, false, &err),
                     ECK_E_UNSUPPORTED);
    const eck_array_spec huge = { "h", ECK_DTYPE_F64, 2, { INT64_C(1) << 40, INT64_C(1) << 40 } };
    assert_int_equal(eck_array_writer_create(&writer, path, &huge, 1, false, &err), ECK_E_SHAPE);
    assert_null(writer);

    assert_int_equal(eck_array_writer_create(&writer, path, specs, 3, false, &err), ECK_OK);
    assert_int_equal(eck_array_writer_write(writer, 3, 0, values, 1, &err), ECK_E_RANGE);
    assert_int_equal(eck_array_writer_write(writer, 1, 1, values, sizeof values, &err),
                     ECK_E_RANGE);
    assert_int_equal(eck_array_writer_write(writer, 1, -1, values, 1, &err), ECK_E_RANGE);
    assert_int_equal(eck_array_writer_write(writer, 1, 0, values, 8, &err), ECK_OK);
    assert_int_equal(eck_array_writer_publish(writer, &err), ECK_E_RANGE);
    assert_non_null(strstr(err.message, "0 bytes of array 0 were given, it has 1628"));
    eck_array_writer_free(writer);
    assert_int_equal(access(path, F_OK), -1);

    scratch_write(path, "x", 1);
    assert_int_equal(eck_array_writer_create(&writer, path, specs, 3, false, &err), ECK_E_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_file), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
