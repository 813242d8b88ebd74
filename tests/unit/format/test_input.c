// Opening what is not ours: only regular files, never waiting, noticing every change, never leaving
// a directory.
#include "scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/input.h"
#include "format/json.h"

static eck_error err;

static void test_only_regular_files(void **state)
{
    (void)state;
    ecki_file file = ECKI_FILE_NONE;
    const char *fifo = scratch_path("fifo"), *folder = scratch_path("folder"),
               *socket_path = scratch_path("socket");

    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);

    alarm(120); // a reader that waits for the FIFO's writer dies here
    assert_int_equal(ecki_input_open(&file, fifo, "fifo", &err), ECK_E_IO);
    alarm(0);
    assert_error(&err, ECK_E_IO, -1, "cannot read 'fifo': it is a FIFO, not a regular file");
    assert_int_equal(ecki_input_open(&file, folder, "folder", &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "it is a directory, not a regular file");
    assert_int_equal(ecki_input_open(&file, "/dev/null", "null", &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "it is a device, not a regular file");
    assert_int_equal(ecki_input_open(&file, socket_path, "socket", &err), ECK_E_IO);
    assert_int_equal(ecki_input_open(&file, scratch_path("gone"), "gone", &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot read 'gone': No such file or directory");
    assert_int_equal(file.descriptor, -1);
    close(listener);
}

static void test_reads_what_is_there(void **state)
{
    (void)state;
    ecki_file file = ECKI_FILE_NONE;
    char bytes[10] = "";
    scratch_text(scratch_path("plain"), "0123456789");
    assert_int_equal(ecki_input_open(&file, scratch_path("plain"), "plain", &err), ECK_OK);
    assert_int_equal(file.size, 10);
    assert_true(fcntl(file.descriptor, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(ecki_input_read(&file, NULL, 3, bytes, 4, &err), ECK_OK);
    assert_memory_equal(bytes, "3456", 4);
    assert_int_equal(ecki_input_read(&file, "w", 8, bytes, 4, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, 10, "cannot read tensor 'w' of 'plain': 2 bytes missing of 4");
    assert_string_equal(err.tensor, "w");
    assert_string_equal(err.file, "plain");
    assert_int_equal(ecki_input_unchanged(&file, &err), ECK_OK);
    ecki_input_close(&file);
    ecki_input_close(&file);
}

static void test_memory_reads_like_a_file(void **state)
{
    (void)state;
    char text[] = "0123456789", bytes[4];
    const ecki_file file = { .name = "-", .descriptor = -1, .size = 10, .memory = text };
    assert_int_equal(ecki_input_read(&file, NULL, 6, bytes, 4, &err), ECK_OK);
    assert_memory_equal(bytes, "6789", 4);
    assert_int_equal(ecki_input_read(&file, NULL, 7, bytes, 4, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, 7, "1 bytes missing of 4");
    assert_int_equal(ecki_input_read(&file, NULL, 11, bytes, 1, &err), ECK_E_IO);
}

// Opens "changing" with ten bytes, lets `change` loose, and wants reading and the last check
// refused as given.
static void changed(void (*change)(const char *path), bool reading_fails, const char *part)
{
    ecki_file file = ECKI_FILE_NONE;
    char bytes[4];
    const char *path = scratch_path("changing");
    scratch_text(path, "0123456789");
    assert_int_equal(ecki_input_open(&file, path, "changing", &err), ECK_OK);
    change(path);
    assert_int_equal(ecki_input_read(&file, "w", 0, bytes, 4, &err),
                     reading_fails ? ECK_E_IO : ECK_OK);
    if (reading_fails) assert_error(&err, ECK_E_IO, err.offset, part);
    assert_int_equal(ecki_input_unchanged(&file, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot read 'changing': the file changed while being read");
    ecki_input_close(&file);
}

static void shrink(const char *path)
{
    assert_int_equal(truncate(path, 7), 0);
}

static void shrink_below(const char *path)
{
    assert_int_equal(truncate(path, 1), 0);
}

static void grow(const char *path)
{
    assert_int_equal(truncate(path, 11), 0);
}

static void touch(const char *path)
{
    const struct timespec times[2] = { { 1, 5 }, { 1, 5 } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void exchange(const char *path)
{
    scratch_text(scratch_path("other"), "0123456789");
    assert_int_equal(rename(scratch_path("other"), path), 0);
}

static void delete (const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void test_every_change_is_noticed(void **state)
{
    (void)state;
    changed(shrink, true,
            "tensor 'w' of 'changing': the file changed while being read: 7 bytes, 10 when opened");
    changed(shrink_below, true, "3 bytes missing of 4");
    changed(grow, true, "11 bytes, 10 when opened");
    changed(touch, false, "");
    changed(exchange, false, "");
    changed(delete, false, "");
}

static void test_stays_in_its_directory(void **state)
{
    (void)state;
    ecki_file file = ECKI_FILE_NONE;
    char *folder = strdup(scratch_path("contained"));
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(scratch_path("contained/deep"), 0700), 0);
    scratch_text(scratch_path("contained/deep/real"), "x");
    scratch_text(scratch_path("outside"), "x");
    // a sibling whose name begins alike is outside too
    assert_int_equal(mkdir(scratch_path("contained-not"), 0700), 0);
    scratch_text(scratch_path("contained-not/real"), "x");
    assert_int_equal(symlink("deep/real", scratch_path("contained/in")), 0);
    assert_int_equal(symlink("../outside", scratch_path("contained/out")), 0);
    assert_int_equal(symlink("../contained-not/real", scratch_path("contained/beside")), 0);
    assert_int_equal(symlink(scratch_path("outside"), scratch_path("contained/absolute")), 0);

    assert_int_equal(ecki_input_open_in(&file, folder, "in", &err), ECK_OK);
    ecki_input_close(&file);
    static const char *const leaving[] = { "out", "beside", "absolute" };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ecki_input_open_in(&file, folder, leaving[i], &err), ECK_E_IO);
        assert_error(&err, ECK_E_IO, -1, "it is a symbolic link that leaves its directory");
        assert_int_equal(file.descriptor, -1);
    }
    // the directory itself may be reached by a link
    assert_int_equal(symlink("contained", scratch_path("alias")), 0);
    assert_int_equal(ecki_input_open_in(&file, scratch_path("alias"), "in", &err), ECK_OK);
    ecki_input_close(&file);
    free(folder);
}

static void test_read_file(void **state)
{
    (void)state;
    char *text;
    int64_t length;
    scratch_text(scratch_path("small"), "hello");
    assert_int_equal(ecki_read_file(&text, &length, scratch_path("small"), 5, &err), ECK_OK);
    assert_string_equal(text, "hello");
    assert_int_equal(length, 5);
    ecki_free(text);
    assert_int_equal(ecki_read_file(&text, &length, scratch_path("small"), 4, &err),
                     ECK_E_UNSUPPORTED);
    assert_error(&err, ECK_E_UNSUPPORTED, 4, "5 bytes, more than 4");
    scratch_text(scratch_path("pointer"), "version https://git-lfs.github.com/spec/v1\n");
    assert_int_equal(ecki_read_file(&text, &length, scratch_path("pointer"), 100, &err),
                     ECK_E_FORMAT);
}

/* A file that is there and cannot be read must not pass for none. */
static void test_read_file_if_there(void **state)
{
    (void)state;
    int64_t length = -7;
    char *text = (char *)&length;
    assert_int_equal(ecki_read_file_if_there(&text, &length, scratch_path("nothing"), 5, &err),
                     ECK_OK);
    assert_null(text);
    assert_int_equal(length, 0);
    scratch_text(scratch_path("there"), "12345");
    assert_int_equal(ecki_read_file_if_there(&text, &length, scratch_path("there"), 5, &err),
                     ECK_OK);
    assert_string_equal(text, "12345");
    ecki_free(text);
    assert_int_equal(ecki_read_file_if_there(&text, &length, scratch_path("there"), 4, &err),
                     ECK_E_UNSUPPORTED);
    assert_true(ecki_read_file_if_there(&text, &length, scratch_path("."), 5, &err) != ECK_OK);
    assert_int_equal(symlink("nowhere", scratch_path("dangling")), 0);
    assert_int_equal(ecki_read_file_if_there(&text, &length, scratch_path("dangling"), 5, &err),
                     ECK_E_IO);
}

static void test_drain(void **state)
{
    (void)state;
    char *text;
    int64_t length, count = 300000;
    char *bytes = malloc((size_t)count);
    assert_non_null(bytes);
    for (int64_t i = 0; i < count; i++)
        bytes[i] = (char)(i * 7);
    scratch_write(scratch_path("long"), bytes, count);
    const int descriptor = open(scratch_path("long"), O_RDONLY);
    assert_int_equal(ecki_input_drain(&text, &length, descriptor, "-", count, &err), ECK_OK);
    assert_int_equal(length, count);
    assert_memory_equal(text, bytes, count);
    assert_int_equal(text[count], 0);
    ecki_free(text);
    assert_int_equal(lseek(descriptor, 0, SEEK_SET), 0);
    assert_int_equal(ecki_input_drain(&text, &length, descriptor, "-", count - 1, &err),
                     ECK_E_UNSUPPORTED);
    close(descriptor);
    assert_int_equal(ecki_input_drain(&text, &length, descriptor, "-", count, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot read '-': Bad file descriptor");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_regular_files),
        cmocka_unit_test(test_reads_what_is_there),
        cmocka_unit_test(test_memory_reads_like_a_file),
        cmocka_unit_test(test_every_change_is_noticed),
        cmocka_unit_test(test_stays_in_its_directory),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_read_file_if_there),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
