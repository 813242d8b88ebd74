// kill -9 in the middle of writing, at random moments: the old output or nothing at all, never a
// part; and the next writer of the same target leaves identical bytes and nothing else.
#include "scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "format/safetensors.h"

enum { KILLS = 100, PIECES = 16, PIECE = 16384, FILES = 3, VERSIONS = 2, SEED = 20240607 };

// The piece at `at` of a file of a version.
static void fill(char piece[PIECE], int32_t version, int32_t file, int32_t at)
{
    for (int32_t i = 0; i < PIECE; i++)
        piece[i] = (char)(version * 101 + file * 31 + at * 7 + i);
}

// One safetensors file of one tensor.
static eck_status write_weights(ecki_output *output, int32_t version, int32_t file)
{
    static char piece[PIECE];
    const ecki_tensor_spec spec = { "w", ECK_DTYPE_U8, 1, { PIECES * PIECE } };
    ecki_safetensors_writer *writer = NULL;
    eck_status status = ecki_safetensors_writer_create(
        &writer, output, &(ecki_safetensors_layout){ .tensors = &spec, .count = 1 }, NULL);
    for (int32_t at = 0; at < PIECES && status == ECK_OK; at++) {
        fill(piece, version, file, at);
        status = ecki_safetensors_writer_write(writer, 0, (int64_t)at * PIECE, piece, PIECE, NULL);
    }
    if (status == ECK_OK) status = ecki_safetensors_writer_finish(writer, NULL);
    ecki_safetensors_writer_free(writer);
    return status;
}

// The whole output: one file, or a directory of some with the marker.
static eck_status write_output(const char *path, bool directory, int32_t version)
{
    const ecki_target_options options = {
        .path = path, .directory = directory, .replace = true, .marker = "weights-0"
    };
    ecki_target *target = NULL;
    ecki_output *output;
    char name[32];
    eck_status status = ecki_target_create(&target, &options, NULL);
    for (int32_t file = 0; file < (directory ? FILES : 1) && status == ECK_OK; file++) {
        snprintf(name, sizeof name, "weights-%d", file);
        status = ecki_target_open(&output, target, directory ? name : NULL, NULL);
        if (status == ECK_OK) status = write_weights(output, version, file);
    }
    if (status == ECK_OK) status = ecki_target_publish(target, NULL);
    ecki_target_free(target);
    return status;
}

// The version that a file holds, whole; -1 if it is of none.
static int32_t version_of(const char *path, int32_t file)
{
    static char piece[PIECE], wanted[PIECE];
    eck_error err = ECK_ERROR_INIT;
    ecki_container *container;
    int32_t found = -1;
    if (ecki_container_open(&container, path, &err) != ECK_OK) fail_msg("%s", err.message);
    for (int32_t version = 0; version < VERSIONS && found < 0; version++) {
        bool same = true;
        for (int32_t at = 0; at < PIECES && same; at++) {
            assert_int_equal(
                ecki_container_read(container, 0, (int64_t)at * PIECE, piece, PIECE, &err), ECK_OK);
            fill(wanted, version, file, at);
            same = memcmp(piece, wanted, PIECE) == 0;
        }
        if (same) found = version;
    }
    ecki_container_close(container);
    return found;
}

// The version that an output holds, all of its files alike; -1 if a file is of none or they differ.
static int32_t output_version(const char *path, bool directory)
{
    if (!directory) return version_of(path, 0);
    if (scratch_entries(path) != FILES) return -1;
    const int32_t version = version_of(scratch_path("folder/out.safetensors/weights-0"), 0);
    for (int32_t file = 1; file < FILES; file++)
        if (version_of(scratch_path("folder/out.safetensors/weights-%d", file), file) != version)
            return -1;
    return version;
}

// A child writes one version after the other without end, until it is killed: some time after it was seen at it.
static void kill_writer(const char *path, bool directory, int32_t round)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        for (int32_t version = 0;; version = 1 - version)
            if (write_output(path, directory, version) != ECK_OK) _exit(1);
    const char *folder = directory ? "folder" : "file";
    while (scratch_entries(scratch_path("%s", folder)) <= scratch_exists(path))
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    const double moment = ecki_random_uniform(SEED, directory, (uint64_t)round);
    usleep((useconds_t)(1000 + moment * 30000));
    assert_int_equal(kill(child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); // and did not give up by itself
}

static void remove_output(const char *path, bool directory)
{
    for (int32_t file = 0; directory && file < FILES; file++)
        assert_int_equal(unlink(scratch_path("folder/out.safetensors/weights-%d", file)), 0);
    assert_int_equal(remove(path), 0);
}

static void kill_many(bool directory)
{
    const char *name = directory ? "folder" : "file";
    char *path = strdup(scratch_path("%s/out.safetensors", name));
    int32_t left = 0, absent = 0;
    assert_int_equal(mkdir(scratch_path("%s", name), 0700), 0);
    for (int32_t round = 0; round < KILLS; round++) {
        kill_writer(path, directory, round);
        const bool there = scratch_exists(path);
        left += scratch_entries(scratch_path("%s", name)) > there;
        absent += !there;
        if (there && output_version(path, directory) < 0)
            fail_msg("round %d left a part of an output", round);

        // the next writer succeeds, cleans up, and writes what it always writes
        const int32_t version = round % VERSIONS;
        assert_int_equal(write_output(path, directory, version), ECK_OK);
        assert_int_equal(output_version(path, directory), version);
        assert_int_equal(scratch_entries(scratch_path("%s", name)), 1);
        if (round % 4 == 3) remove_output(path, directory); // the next begins with nothing
    }
    print_message("%s: %d kills, %d in the middle of writing, %d without an output\n", name, KILLS,
                  left, absent);
    assert_true(left >= KILLS / 10);
    free(path);
}

static void test_one_file(void **state)
{
    (void)state;
    kill_many(false);
}

static void test_directory(void **state)
{
    (void)state;
    kill_many(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_file),
                                        cmocka_unit_test(test_directory) };
    return cmocka_run_group_tests(tests, scratch_setup_on_disk, scratch_teardown);
}
